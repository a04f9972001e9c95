"""OTLP requests as lists of items (spans, data points, log records), for counting and for comparing what was sent with what arrived.

An item stands for one record with all that surrounds it: resource, scope and, for a data point, its metric. Two items are equal
when every field is, known to this library or not, in the same order; how a request groups them does not matter.
"""
from collections import Counter

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2

REQUEST = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}
RESPONSE = {
    "traces": trace_service_pb2.ExportTraceServiceResponse,
    "metrics": metrics_service_pb2.ExportMetricsServiceResponse,
    "logs": logs_service_pb2.ExportLogsServiceResponse,
}
REJECTED_FIELD = {"traces": "rejected_spans", "metrics": "rejected_data_points", "logs": "rejected_log_records"}
METHOD = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
NOUN = {"traces": "spans", "metrics": "points", "logs": "logs"}


def _plain(message):
    return message.SerializeToString(deterministic=True)


def containers(signal, request):
    """(resource container, scope container, record) of each record."""
    resources, scopes, records = {
        "traces": ("resource_spans", "scope_spans", "spans"),
        "metrics": ("resource_metrics", "scope_metrics", "metrics"),
        "logs": ("resource_logs", "scope_logs", "log_records"),
    }[signal]
    for r in getattr(request, resources):
        for s in getattr(r, scopes):
            for record in getattr(s, records):
                yield r, s, record


def _points(metric):
    """Each data point of a metric with the metric's own fields; a metric without points is one item."""
    kind = metric.WhichOneof("data")
    points = list(getattr(metric, kind).data_points) if kind else []
    head = metrics_pb2.Metric()
    head.CopyFrom(metric)
    if kind:
        del getattr(head, kind).data_points[:]
    return _plain(head), points


def items(signal, request):
    """The request's items, each as a tuple of bytes that is equal for equal items."""
    around, key = None, ()
    for r, s, record in containers(signal, request):
        if s is not around:  # kept, as the id of one that is gone may come again
            around, key = s, (_plain(r.resource), r.schema_url, _plain(s.scope), s.schema_url)
        if signal != "metrics":
            yield key + (b"", _plain(record))
            continue
        head, points = _points(record)
        for p in points:
            yield key + (head, _plain(p))


def count(signal, request):
    if signal == "metrics":
        return sum(len(_points(m)[1]) for _, _, m in containers(signal, request))
    return sum(1 for _ in containers(signal, request))


def parse(signal, body):
    request = REQUEST[signal]()
    request.ParseFromString(body)
    return request


def collect(signal, requests, loosely=False):
    """A multiset of all items of these requests. loosely: a span's status that is there but empty counts as absent."""
    found = Counter()
    for request in requests:
        if loosely and signal == "traces":
            for _, _, span in containers(signal, request):
                if span.HasField("status") and not span.status.ByteSize():
                    span.ClearField("status")
        found.update(items(signal, request))
    return found


def _show(signal, item):
    from opentelemetry.proto.common.v1 import common_pb2
    from opentelemetry.proto.logs.v1 import logs_pb2
    from opentelemetry.proto.resource.v1 import resource_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2
    resource, resource_url, scope, scope_url, head, record = item
    out = {}
    for name, kind, data in (("resource", resource_pb2.Resource, resource), ("scope", common_pb2.InstrumentationScope, scope)):
        message = kind()
        message.ParseFromString(data)
        out[name] = json_format.MessageToDict(message)
    out["schema_url"] = [resource_url, scope_url]
    if signal == "metrics":
        metric = metrics_pb2.Metric()
        metric.ParseFromString(head)
        out["metric"], out["point"] = json_format.MessageToDict(metric), record.hex()
    else:
        message = trace_pb2.Span() if signal == "traces" else logs_pb2.LogRecord()
        message.ParseFromString(record)
        out["record"] = json_format.MessageToDict(message)
    return out


def _flat(value, path=""):
    if isinstance(value, dict):
        for k, v in value.items():
            yield from _flat(v, f"{path}.{k}" if path else k)
    elif isinstance(value, list):
        yield path + ".length", len(value)
        for i, v in enumerate(value):
            yield from _flat(v, f"{path}[{i}]")
    else:
        yield path, value


def difference(signal, expected, found):
    """None when the multisets are equal, else a text that names the first fields that differ."""
    missing, extra = expected - found, found - expected
    if not missing and not extra:
        return None
    text = f"{signal}: {sum(missing.values())} items missing, {sum(extra.values())} unexpected"
    if missing and extra:
        a = dict(_flat(_show(signal, next(iter(missing)))))
        b = dict(min((_show_flat(signal, e) for e in list(extra)[:200]), key=lambda d: _distance(a, d)))
        fields = [k for k in {**a, **b} if a.get(k) != b.get(k)][:8]
        text += "".join(f"\n    {k}: expected {a.get(k)!r}, got {b.get(k)!r}" for k in fields)
    else:
        text += f"\n    first: {_show(signal, next(iter(missing or extra)))}"
    return text


def _show_flat(signal, item):
    return dict(_flat(_show(signal, item)))


def _distance(a, b):
    return sum(1 for k in {**a, **b} if a.get(k) != b.get(k))
