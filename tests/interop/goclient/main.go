// An application instrumented with the official OpenTelemetry SDK for Go.
//
// It makes traces, metrics and logs and exports each batch twice: to -endpoint (weir) and, as the SDK encoded it, to -reference
// (a sink), so that a test can compare what arrived behind weir with what was really sent. The Go SDK writes its fields in
// descending order, which no other SDK does. Prints one line of JSON: items made per signal, and exports that failed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

var (
	transport   = flag.String("transport", "grpc", "grpc or http")
	endpoint    = flag.String("endpoint", "", "host:port of weir")
	reference   = flag.String("reference", "", "host:port of the reference sink")
	compression = flag.String("compression", "none", "none or gzip")
	signals     = flag.String("signals", "traces,metrics,logs", "what to send")
	count       = flag.Int("count", 100, "items of each")

	failed   []string
	failedMu sync.Mutex
)

func note(what string, errs ...error) error {
	err := errors.Join(errs...)
	if err != nil {
		failedMu.Lock()
		failed = append(failed, what+": "+err.Error())
		failedMu.Unlock()
	}
	return err
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "goclient:", err)
		os.Exit(1)
	}
}

// Each tee sends a batch to weir and, unchanged, to the reference sink.
type spanTee struct{ a, b sdktrace.SpanExporter }

func (t spanTee) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return note("traces", t.a.ExportSpans(ctx, spans), t.b.ExportSpans(ctx, spans))
}
func (t spanTee) Shutdown(ctx context.Context) error {
	return errors.Join(t.a.Shutdown(ctx), t.b.Shutdown(ctx))
}

type metricTee struct{ a, b sdkmetric.Exporter }

func (t metricTee) Temporality(k sdkmetric.InstrumentKind) metricdata.Temporality {
	return t.a.Temporality(k)
}
func (t metricTee) Aggregation(k sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return t.a.Aggregation(k)
}
func (t metricTee) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	return note("metrics", t.a.Export(ctx, rm), t.b.Export(ctx, rm))
}
func (t metricTee) ForceFlush(ctx context.Context) error {
	return errors.Join(t.a.ForceFlush(ctx), t.b.ForceFlush(ctx))
}
func (t metricTee) Shutdown(ctx context.Context) error {
	return errors.Join(t.a.Shutdown(ctx), t.b.Shutdown(ctx))
}

type logTee struct{ a, b sdklog.Exporter }

func (t logTee) Export(ctx context.Context, records []sdklog.Record) error {
	return note("logs", t.a.Export(ctx, records), t.b.Export(ctx, records))
}
func (t logTee) ForceFlush(ctx context.Context) error {
	return errors.Join(t.a.ForceFlush(ctx), t.b.ForceFlush(ctx))
}
func (t logTee) Shutdown(ctx context.Context) error {
	return errors.Join(t.a.Shutdown(ctx), t.b.Shutdown(ctx))
}

func spanExporter(ctx context.Context, to string) sdktrace.SpanExporter {
	if *transport == "http" {
		o := []otlptracehttp.Option{otlptracehttp.WithEndpoint(to), otlptracehttp.WithInsecure()}
		if *compression == "gzip" {
			o = append(o, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		}
		e, err := otlptracehttp.New(ctx, o...)
		check(err)
		return e
	}
	o := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(to), otlptracegrpc.WithInsecure()}
	if *compression == "gzip" {
		o = append(o, otlptracegrpc.WithCompressor("gzip"))
	}
	e, err := otlptracegrpc.New(ctx, o...)
	check(err)
	return e
}

func metricExporter(ctx context.Context, to string) sdkmetric.Exporter {
	if *transport == "http" {
		o := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpoint(to), otlpmetrichttp.WithInsecure()}
		if *compression == "gzip" {
			o = append(o, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
		}
		e, err := otlpmetrichttp.New(ctx, o...)
		check(err)
		return e
	}
	o := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(to), otlpmetricgrpc.WithInsecure()}
	if *compression == "gzip" {
		o = append(o, otlpmetricgrpc.WithCompressor("gzip"))
	}
	e, err := otlpmetricgrpc.New(ctx, o...)
	check(err)
	return e
}

func logExporter(ctx context.Context, to string) sdklog.Exporter {
	if *transport == "http" {
		o := []otlploghttp.Option{otlploghttp.WithEndpoint(to), otlploghttp.WithInsecure()}
		if *compression == "gzip" {
			o = append(o, otlploghttp.WithCompression(otlploghttp.GzipCompression))
		}
		e, err := otlploghttp.New(ctx, o...)
		check(err)
		return e
	}
	o := []otlploggrpc.Option{otlploggrpc.WithEndpoint(to), otlploggrpc.WithInsecure()}
	if *compression == "gzip" {
		o = append(o, otlploggrpc.WithCompressor("gzip"))
	}
	e, err := otlploggrpc.New(ctx, o...)
	check(err)
	return e
}

var attributes = []attribute.KeyValue{
	attribute.String("http.request.method", "GET"), attribute.String("empty", ""), attribute.String("umlaut", "Grüße, 世界 \U0001f600"),
	attribute.Int64("negative", -1<<63), attribute.Float64("ratio", 0.1), attribute.Bool("yes", true), attribute.Bool("no", false),
	attribute.StringSlice("list.str", []string{"a", "", "c"}), attribute.Int64Slice("list.int", []int64{1, -2, 3}),
	attribute.Float64Slice("list.double", []float64{0.5, 1e300}), attribute.BoolSlice("list.bool", []bool{true, false}),
	attribute.ByteSlice("bytes", []byte{0, 1, 255}), attribute.Map("map", attribute.String("a", "b"), attribute.Int("n", 1)),
	attribute.String("long", strings.Repeat("x", 3000)),
}

func makeTraces(ctx context.Context, res *resource.Resource) int {
	tee := spanTee{spanExporter(ctx, *endpoint), spanExporter(ctx, *reference)}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(tee, sdktrace.WithMaxExportBatchSize(40)))
	tracer := provider.Tracer("weir.test", trace.WithInstrumentationVersion("1.2.3"), trace.WithSchemaURL("https://opentelemetry.io/schemas/1.30.0"))
	elsewhere := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: 1, Remote: true})
	kinds := []trace.SpanKind{trace.SpanKindInternal, trace.SpanKindServer, trace.SpanKindClient, trace.SpanKindProducer, trace.SpanKindConsumer}
	made := 0
	for made < *count {
		inside, root := tracer.Start(ctx, fmt.Sprintf("request %d", made), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...),
			trace.WithLinks(trace.Link{SpanContext: elsewhere, Attributes: []attribute.KeyValue{attribute.String("why", "batch")}}))
		made++
		for i := 0; i < 4 && made < *count; i++ {
			_, child := tracer.Start(inside, fmt.Sprintf("step %d", i), trace.WithSpanKind(kinds[i%5]), trace.WithAttributes(attribute.Int("i", i)))
			child.AddEvent("tick", trace.WithAttributes(attribute.Int("at", i), attribute.String("text", "one\ntwo")))
			switch i {
			case 1:
				child.SetStatus(codes.Error, "it broke: ünable")
				child.RecordError(errors.New("broken"))
			case 2:
				child.SetStatus(codes.Ok, "")
			}
			child.End()
			made++
		}
		root.End()
	}
	check(provider.ForceFlush(ctx))
	check(provider.Shutdown(ctx))
	return made
}

func makeMetrics(ctx context.Context, res *resource.Resource) int {
	tee := metricTee{metricExporter(ctx, *endpoint), metricExporter(ctx, *reference)}
	view := sdkmetric.NewView(sdkmetric.Instrument{Name: "exponential"},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithView(view),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(tee, sdkmetric.WithInterval(time.Hour))))
	meter := provider.Meter("weir.test.metrics", metric.WithInstrumentationVersion("0.1"))
	counter, _ := meter.Int64Counter("requests", metric.WithUnit("1"), metric.WithDescription("how many"))
	updown, _ := meter.Int64UpDownCounter("active")
	histogram, _ := meter.Float64Histogram("latency", metric.WithUnit("ms"))
	exponential, _ := meter.Float64Histogram("exponential", metric.WithUnit("By"))
	gauge, _ := meter.Float64Gauge("temperature", metric.WithUnit("Cel"))
	for i := 0; i < *count; i++ {
		route := metric.WithAttributes(attribute.String("route", fmt.Sprintf("/r%d", i%7)))
		counter.Add(ctx, 1, route)
		updown.Add(ctx, int64(i%3)-1)
		histogram.Record(ctx, float64(i)*1.5, route)
		exponential.Record(ctx, float64(int64(1)<<(i%30)))
		gauge.Record(ctx, float64(i)-3.5, route)
	}
	check(provider.ForceFlush(ctx))
	// Shutdown would collect once more; what was sent is whole already.
	return *count
}

func makeLogs(ctx context.Context, res *resource.Resource) int {
	tee := logTee{logExporter(ctx, *endpoint), logExporter(ctx, *reference)}
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(sdklog.NewBatchProcessor(tee, sdklog.WithExportMaxBatchSize(40))))
	logger := provider.Logger("weir.test.logs", log.WithInstrumentationVersion("9"))
	bodies := []attribute.Value{attribute.StringValue("plain text"), attribute.StringValue(""), attribute.IntValue(42),
		attribute.ByteSliceValue([]byte{0, 255}), attribute.SliceValue(attribute.StringValue("x"), attribute.BoolValue(true)),
		attribute.MapValue(attribute.Slice("a", attribute.IntValue(1), attribute.Float64Value(2.5)), attribute.String("b", ""))}
	for i := 0; i < *count; i++ {
		var r log.Record
		r.SetTimestamp(time.Now())
		r.SetSeverity(log.Severity(1 + i%24))
		r.SetSeverityText("LEVEL")
		r.SetBody(bodies[i%len(bodies)])
		r.AddAttributes(attribute.Int("n", i), attribute.String("umlaut", "Grüße"), attribute.Map("map", attribute.Int("i", i)))
		r.SetEventName("happened")
		logger.Emit(ctx, r)
	}
	check(provider.ForceFlush(ctx))
	check(provider.Shutdown(ctx))
	return *count
}

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	res := resource.NewSchemaless(attribute.String("service.name", "go-app"), attribute.StringSlice("list", []string{"r1", "r2"}))
	makers := map[string]func(context.Context, *resource.Resource) int{"traces": makeTraces, "metrics": makeMetrics, "logs": makeLogs}
	made := map[string]int{}
	for _, s := range strings.Split(*signals, ",") {
		made[s] = makers[s](ctx, res)
	}
	if failed == nil {
		failed = []string{}
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{"made": made, "failures": failed}))
	if len(failed) > 0 {
		os.Exit(1)
	}
}
