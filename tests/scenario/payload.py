"""OTLP requests made to measure, and bodies that no honest client sends."""
import itertools
import os
import random
import struct
import threading
import time

import items
import otlp_json
import packing

_ids = itertools.count(1)
_lock = threading.Lock()
_random = random.Random(os.environ.get("SCENARIO_SEED", "weir"))

SERVICE = {"service.name": "generated", "host.name": "unit-test"}


def _next():
    with _lock:
        return next(_ids)


def _set(attributes, values):
    for k, v in values.items():
        a = attributes.add(key=k)
        if isinstance(v, bool):
            a.value.bool_value = v
        elif isinstance(v, int):
            a.value.int_value = v
        elif isinstance(v, float):
            a.value.double_value = v
        elif isinstance(v, bytes):
            a.value.bytes_value = v
        else:
            a.value.string_value = v


def message(signal, n, pad=0, service="generated", scopes=1, trace=None):
    """A request of n items, none equal to any other of this process. pad: bytes of text added to each item; trace: the id (hex) of all spans, else one at random."""
    request = items.REQUEST[signal]()
    filler = "x" * pad
    make = {"traces": _spans, "metrics": _points, "logs": _logs}[signal]
    for i in range(scopes):
        make(request, n // scopes + (1 if i < n % scopes else 0), filler, service)
    for span in (span for r in getattr(request, "resource_spans", []) for s in r.scope_spans for span in s.spans if trace is not None):
        span.trace_id = bytes.fromhex(trace)
    return request


def _spans(request, n, filler, service):
    r = request.resource_spans.add()
    _set(r.resource.attributes, {**SERVICE, "service.name": service})
    s = r.scope_spans.add()
    s.scope.name = "generator"
    trace_id = _random.randbytes(16)
    now = time.time_ns()
    for i in range(n):
        number = _next()
        span = s.spans.add(trace_id=trace_id, span_id=struct.pack(">Q", number), name=f"operation {i % 10}", kind=2,
                           start_time_unix_nano=now, end_time_unix_nano=now + 1_000_000 + i)
        _set(span.attributes, {"number": number, "http.route": "/users/{id}", "sampled": True, "load": 0.5, "raw": b"\x00\x01"})
        if filler:
            _set(span.attributes, {"filler": filler})


def _points(request, n, filler, service):
    r = request.resource_metrics.add()
    _set(r.resource.attributes, {**SERVICE, "service.name": service})
    s = r.scope_metrics.add()
    s.scope.name = "generator"
    metric = s.metrics.add(name="generated.count", unit="1", description="made for a test")
    metric.sum.aggregation_temporality, metric.sum.is_monotonic = 2, True
    for _ in range(n):
        number = _next()
        point = metric.sum.data_points.add(time_unix_nano=time.time_ns(), as_int=number)
        _set(point.attributes, {"number": number, **({"filler": filler} if filler else {})})


def _logs(request, n, filler, service):
    r = request.resource_logs.add()
    _set(r.resource.attributes, {**SERVICE, "service.name": service})
    s = r.scope_logs.add()
    s.scope.name = "generator"
    for _ in range(n):
        number = _next()
        record = s.log_records.add(time_unix_nano=time.time_ns(), severity_number=9, severity_text="INFO")
        record.body.string_value = f"line {number} {filler}"
        _set(record.attributes, {"number": number})


def _varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _field(number, data):
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def nested(depth, kind="array"):
    """A trace request with one attribute whose value holds `depth` values inside each other."""
    heads, size = [], 0
    for _ in range(depth):  # from the inside out: each head stands before what was made so far
        if kind == "array":  # AnyValue{array_value{values: ...}}
            inner = b"\x0a" + _varint(size)
        else:  # AnyValue{kvlist_value{values: {key: "k", value: ...}}}
            value = b"\x0a\x01k\x12" + _varint(size)
            inner = b"\x0a" + _varint(len(value) + size) + value
        head = (b"\x2a" if kind == "array" else b"\x32") + _varint(len(inner) + size) + inner
        heads.append(head)
        size += len(head)
    value = b"".join(reversed(heads))
    attribute = _field(9, _field(1, b"deep") + _field(2, value))
    span = _field(1, bytes(range(1, 17))) + _field(2, bytes(range(1, 9))) + _field(5, b"deep") + attribute
    return _field(1, _field(2, _field(2, span)))


def body(spec):
    """Bytes from a description: {hex|text|zeros|otlp|nested|random: ..., json: true, packed: encoding, cut: n}."""
    if isinstance(spec, str):
        return spec.encode()
    if "hex" in spec:
        data = bytes.fromhex(spec["hex"])
    elif "text" in spec:
        data = spec["text"].encode()
    elif "zeros" in spec:
        data = bytes(int(spec["zeros"]))
    elif "random" in spec:
        data = _random.randbytes(int(spec["random"]))
    elif "nested" in spec:
        data = nested(int(spec["nested"]), spec.get("kind", "array"))
    else:
        o = spec["otlp"]
        request = message(o.get("signal", "traces"), o.get("items", 1), o.get("pad", 0))
        data = otlp_json.dump(request) if spec.get("json") else request.SerializeToString()
    if "packed" in spec:
        data = packing.pack(spec["packed"], data, 9)
    if "cut" in spec:
        data = data[: int(spec["cut"])]
    return data
