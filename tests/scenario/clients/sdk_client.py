"""An application instrumented with the official OpenTelemetry SDK for Python.

It makes traces, metrics and logs of every shape the SDK offers and exports each batch twice: to --endpoint (weir) and, as the
SDK encoded it, to --reference (a sink), so that a test can compare what arrived behind weir with what was really sent.
Prints one line of JSON: items made per signal, and exports that failed.
"""
import argparse
import json
import logging
import sys
import time

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

failures = []

ATTRIBUTES = {
    "http.request.method": "GET",
    "empty": "",
    "umlaut": "Grüße, 世界 \U0001f600",
    "big": 2**53 + 1,
    "negative": -(2**63),
    "ratio": 0.1,
    "yes": True,
    "no": False,
    "list.str": ["a", "", "c"],
    "list.int": [1, -2, 3],
    "list.double": [0.5, 1e300],
    "list.bool": [True, False],
    "long": "x" * 3000,
}


def security(args, endpoint):
    """TLS to weir, where asked for; the reference sink is plaintext."""
    if not args.ca or endpoint != args.endpoint:
        return {"insecure": True}
    import grpc
    read = lambda path: open(path, "rb").read() if path else None
    return {"insecure": False, "credentials": grpc.ssl_channel_credentials(read(args.ca), read(args.key), read(args.cert))}


def exporters(args, endpoint):
    """The three OTLP exporters of one transport."""
    if args.transport == "grpc":
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        how = {"endpoint": endpoint, "timeout": 10, **security(args, endpoint),
               "compression": Compression.Gzip if args.compression == "gzip" else Compression.NoCompression}
        return {"traces": lambda: OTLPSpanExporter(**how), "metrics": lambda: OTLPMetricExporter(**how),
                "logs": lambda: OTLPLogExporter(**how)}
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    kinds = {"gzip": Compression.Gzip, "deflate": Compression.Deflate}
    how = {"timeout": 10, "compression": kinds.get(args.compression, Compression.NoCompression)}
    tls = args.ca if endpoint == args.endpoint else None
    if tls:
        how.update(certificate_file=args.ca, client_certificate_file=args.cert, client_key_file=args.key)
    base = f"http{'s' if tls else ''}://{endpoint}/v1/"
    return {"traces": lambda: OTLPSpanExporter(endpoint=base + "traces", **how),
            "metrics": lambda: OTLPMetricExporter(endpoint=base + "metrics", **how),
            "logs": lambda: OTLPLogExporter(endpoint=base + "logs", **how)}


def tee(args, signal):
    """An exporter that sends each batch to weir and, unchanged, to the reference sink."""
    base, ok = {"traces": (SpanExporter, SpanExportResult.SUCCESS), "metrics": (MetricExporter, MetricExportResult.SUCCESS),
                "logs": (LogRecordExporter, LogRecordExportResult.SUCCESS)}[signal]
    first = exporters(args, args.endpoint)[signal]()
    second = exporters(args, args.reference)[signal]() if args.reference else None

    class Tee(base):
        def export(self, batch, *rest, **options):
            result = first.export(batch, *rest, **options)
            if result != ok:
                failures.append(f"{signal}: export to {args.endpoint} failed")
            if second and second.export(batch, *rest, **options) != ok:
                failures.append(f"{signal}: export to the reference sink failed")
            return result

        def force_flush(self, timeout_millis=10000):
            return True

        def shutdown(self, *_, **__):
            first.shutdown()
            if second:
                second.shutdown()

    return Tee()


def make_traces(args, resource):
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(tee(args, "traces"), max_export_batch_size=args.batch, schedule_delay_millis=200))
    tracer = provider.get_tracer("weir.test", "1.2.3", schema_url="https://opentelemetry.io/schemas/1.30.0",
                                 attributes={"scope.attribute": "yes"})
    elsewhere = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7, True, TraceFlags(1), TraceState([("vendor", "a:b")]))
    made = 0
    kinds = [SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER]
    while made < args.count:
        parent = trace.set_span_in_context(trace.NonRecordingSpan(elsewhere)) if made % 10 == 9 else None
        with tracer.start_as_current_span(f"request {made}", context=parent, kind=SpanKind.SERVER, links=[Link(elsewhere, {"why": "batch", "n": 3})]) as root:
            root.set_attributes(ATTRIBUTES)
            made += 1
            for i in range(min(4, args.count - made)):
                with tracer.start_as_current_span(f"step {i}", kind=kinds[i % 5], attributes={"i": i}) as child:
                    child.add_event("tick", {"at": i, "text": "one\ntwo\ttabbed"})
                    if i == 1:
                        child.set_status(Status(StatusCode.ERROR, "it broke: ünable"))
                        child.record_exception(ValueError("broken"))
                    if i == 2:
                        child.set_status(Status(StatusCode.OK))
                    made += 1
    provider.force_flush(20000)
    provider.shutdown()
    return made


def make_metrics(args, resource):
    reader = PeriodicExportingMetricReader(tee(args, "metrics"), export_interval_millis=3600_000)
    view = View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider(resource=resource, metric_readers=[reader], views=[view], shutdown_on_exit=False)
    meter = provider.get_meter("weir.test.metrics", "0.1")
    counter = meter.create_counter("requests", unit="1", description="how many")
    updown = meter.create_up_down_counter("active")
    histogram = meter.create_histogram("latency", unit="ms", description="how long")
    exponential = meter.create_histogram("exponential", unit="By")
    doubles = meter.create_counter("seconds", unit="s")

    def observe(_: CallbackOptions):
        return [Observation(20.5, {"sensor": "a"}), Observation(-3, {"sensor": "b"}), Observation(7, {})]

    meter.create_observable_gauge("temperature", [observe], unit="Cel")
    tracer = TracerProvider().get_tracer("exemplars")
    for i in range(args.count):
        with tracer.start_as_current_span("exemplar"):
            counter.add(1, {"route": f"/r{i % 7}", "code": 200 + i % 3})
            updown.add(1 if i % 3 else -1, {"pool": "p"})
            histogram.record(i * 1.5, {"route": f"/r{i % 7}"})
            exponential.record(2.0**(i % 30) if i % 5 else 0, {})
            doubles.add(0.25)
    provider.force_flush(20000)
    provider.shutdown(20000)
    return args.count


def make_logs(args, resource):
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(tee(args, "logs"), max_export_batch_size=args.batch, schedule_delay_millis=200))
    logger = provider.get_logger("weir.test.logs", "9", attributes={"scope": "log"})
    tracer = TracerProvider().get_tracer("context")
    bodies = ["plain text", "", {"nested": {"a": [1, 2.5, None, True], "b": b"\x00\xff"}}, 42, None, ["x", {"y": "z"}]]
    levels = list(SeverityNumber)
    for i in range(args.count):
        with tracer.start_as_current_span("logging"):
            logger.emit(LogRecord(timestamp=time.time_ns(), observed_timestamp=time.time_ns(), severity_number=levels[i % len(levels)],
                                  severity_text=levels[i % len(levels)].name, body=bodies[i % len(bodies)],
                                  attributes={**ATTRIBUTES, "n": i}, event_name="happened" if i % 2 else None))
    provider.force_flush(20000)
    provider.shutdown()
    return args.count


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--transport", choices=["grpc", "http"], required=True)
    p.add_argument("--endpoint", required=True, help="host:port of weir")
    p.add_argument("--reference", help="host:port of the reference sink")
    p.add_argument("--compression", choices=["none", "gzip", "deflate"], default="none")
    for name in ("--ca", "--cert", "--key"):
        p.add_argument(name, help="PEM file: TLS to --endpoint")
    p.add_argument("--signals", default="traces,metrics,logs")
    p.add_argument("--count", type=int, default=50)
    p.add_argument("--batch", type=int, default=40)
    args = p.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    resource = Resource.create({"service.name": "python-app", "service.instance.id": "i-1", "list": ["r1", "r2"]}, schema_url="https://opentelemetry.io/schemas/1.27.0")
    make = {"traces": make_traces, "metrics": make_metrics, "logs": make_logs}
    made = {s: make[s](args, resource) for s in args.signals.split(",")}
    print(json.dumps({"made": made, "failures": failures}))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
