"""OTLP/JSON by Google's json_format: what the tests hold weir's own reader and writer against.

OTLP differs from proto3's JSON in two places: trace and span ids are hex, and enums are numbers.
"""
import base64
import json

from google.protobuf import json_format

import items

IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}


def _walk(value, change):
    if isinstance(value, dict):
        return {k: change(v) if k in IDS and isinstance(v, str) else _walk(v, change) for k, v in value.items()}
    if isinstance(value, list):
        return [_walk(v, change) for v in value]
    return value


def parse(signal, text):
    """Strict about names and types; unknown names fail, as nobody who uses this sends any."""
    plain = _walk(json.loads(text), lambda v: base64.b64encode(bytes.fromhex(v)).decode())
    return json_format.ParseDict(plain, items.REQUEST[signal]())


def dump(request):
    plain = json_format.MessageToDict(request, use_integers_for_enums=True)
    return json.dumps(_walk(plain, lambda v: base64.b64decode(v).hex()), ensure_ascii=False).encode()


def signal_of(text):
    """Which signal a line of a file is of."""
    names = {"resourceSpans": "traces", "resourceMetrics": "metrics", "resourceLogs": "logs"}
    return names[next(iter(json.loads(text)))]
