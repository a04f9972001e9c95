// An application instrumented with the official OpenTelemetry SDK for JavaScript.
//
// It makes traces, metrics and logs and exports each batch twice: to --endpoint (weir) and, as the SDK encoded it, to --reference
// (a sink), so that a test can compare what arrived behind weir with what was really sent.
// Prints one line of JSON: items made per signal, and exports that failed.
'use strict';
const { parseArgs } = require('node:util');
const { context, trace, SpanKind, SpanStatusCode, ROOT_CONTEXT } = require('@opentelemetry/api');
const { SeverityNumber } = require('@opentelemetry/api-logs');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { NodeTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-node');
const { MeterProvider, PeriodicExportingMetricReader, AggregationType } = require('@opentelemetry/sdk-metrics');
const { LoggerProvider, BatchLogRecordProcessor } = require('@opentelemetry/sdk-logs');

const { values: args } = parseArgs({
  options: {
    transport: { type: 'string' }, endpoint: { type: 'string' }, reference: { type: 'string' },
    compression: { type: 'string', default: 'none' }, signals: { type: 'string', default: 'traces,metrics,logs' },
    count: { type: 'string', default: '50' }, json: { type: 'boolean', default: false }, batch: { type: 'string', default: '40' },
  },
});
const count = Number(args.count), batch = Number(args.batch);
const failures = [];

const ATTRIBUTES = {
  'http.request.method': 'GET', empty: '', umlaut: 'Grüße, 世界 \u{1f600}', big: Number.MAX_SAFE_INTEGER, negative: -42, ratio: 0.1, yes: true,
  no: false, 'list.str': ['a', '', 'c'], 'list.int': [1, -2, 3], 'list.bool': [true, false], long: 'x'.repeat(3000),
};

function exporter(signal, endpoint) {
  const suffix = { traces: 'trace', metrics: 'metrics', logs: 'logs' }[signal];
  const name = { traces: 'OTLPTraceExporter', metrics: 'OTLPMetricExporter', logs: 'OTLPLogExporter' }[signal];
  const kind = args.transport === 'grpc' ? 'grpc' : args.json ? 'http' : 'proto'; // the packages called http send JSON
  const Exporter = require(`@opentelemetry/exporter-${suffix}-otlp-${kind}`)[name];
  const url = args.transport === 'grpc' ? `http://${endpoint}` : `http://${endpoint}/v1/${signal}`;
  return new Exporter({ url, compression: args.compression, timeoutMillis: 10000 });
}

// An exporter that sends each batch to weir and, unchanged, to the reference sink.
function tee(signal) {
  const all = [args.endpoint, args.reference].filter(Boolean).map((e) => exporter(signal, e));
  const send = (one, data) => new Promise((done) => one.export(data, done));
  return {
    async export(data, callback) {
      const results = await Promise.all(all.map((one) => send(one, data)));
      for (const r of results) if (r.code !== 0) failures.push(`${signal}: ${r.error && r.error.message}`);
      callback(results[0]);
    },
    forceFlush: () => Promise.all(all.map((one) => one.forceFlush && one.forceFlush())).then(() => {}),
    shutdown: () => Promise.all(all.map((one) => one.shutdown())).then(() => {}),
  };
}

async function makeTraces(resource) {
  const provider = new NodeTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(tee('traces'), { maxExportBatchSize: batch, scheduledDelayMillis: 200 })] });
  const tracer = provider.getTracer('weir.test', '1.2.3', { schemaUrl: 'https://opentelemetry.io/schemas/1.30.0' });
  const elsewhere = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: '00f067aa0ba902b7', traceFlags: 1, isRemote: true };
  const kinds = [SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER];
  let made = 0;
  while (made < count) {
    const from = made % 10 === 9 ? trace.setSpanContext(ROOT_CONTEXT, elsewhere) : ROOT_CONTEXT;
    const root = tracer.startSpan(`request ${made++}`, { kind: SpanKind.SERVER, attributes: ATTRIBUTES, links: [{ context: elsewhere, attributes: { why: 'batch' } }] }, from);
    const inside = trace.setSpan(from, root);
    for (let i = 0; i < 4 && made < count; i++, made++) {
      const child = tracer.startSpan(`step ${i}`, { kind: kinds[i % 5], attributes: { i } }, inside);
      child.addEvent('tick', { at: i, text: 'one\ntwo' });
      if (i === 1) { child.setStatus({ code: SpanStatusCode.ERROR, message: 'it broke: ünable' }); child.recordException(new Error('broken')); }
      if (i === 2) child.setStatus({ code: SpanStatusCode.OK });
      child.end();
    }
    root.end();
  }
  await provider.forceFlush();
  await provider.shutdown();
  return made;
}

async function makeMetrics(resource) {
  const reader = new PeriodicExportingMetricReader({ exporter: tee('metrics'), exportIntervalMillis: 3600000 });
  const provider = new MeterProvider({ resource, readers: [reader], views: [{ instrumentName: 'exponential', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }] });
  const meter = provider.getMeter('weir.test.metrics', '0.1');
  const counter = meter.createCounter('requests', { unit: '1', description: 'how many' });
  const updown = meter.createUpDownCounter('active');
  const histogram = meter.createHistogram('latency', { unit: 'ms' });
  const exponential = meter.createHistogram('exponential', { unit: 'By' });
  meter.createObservableGauge('temperature', { unit: 'Cel' }).addCallback((r) => { r.observe(20.5, { sensor: 'a' }); r.observe(-3, { sensor: 'b' }); });
  for (let i = 0; i < count; i++) {
    counter.add(1, { route: `/r${i % 7}`, code: 200 + (i % 3) });
    updown.add(i % 3 ? 1 : -1, { pool: 'p' });
    histogram.record(i * 1.5, { route: `/r${i % 7}` });
    exponential.record(i % 5 ? 2 ** (i % 30) : 0);
  }
  await provider.forceFlush();
  await reader.shutdown();
  return count;
}

async function makeLogs(resource) {
  const provider = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: tee('logs'), maxExportBatchSize: batch, scheduledDelayMillis: 200 })] });
  const logger = provider.getLogger('weir.test.logs', '9');
  const bodies = ['plain text', '', { nested: { a: [1, 2.5, null, true], b: new Uint8Array([0, 255]) } }, 42, ['x', { y: 'z' }]];
  const inside = trace.setSpanContext(ROOT_CONTEXT, { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: '00f067aa0ba902b7', traceFlags: 1 });
  for (let i = 0; i < count; i++) {
    logger.emit({ timestamp: Date.now(), severityNumber: SeverityNumber.INFO + (i % 4), severityText: 'INFO', body: bodies[i % bodies.length],
      attributes: { ...ATTRIBUTES, n: i }, context: inside, eventName: i % 2 ? 'happened' : undefined });
  }
  await provider.forceFlush();
  await provider.shutdown();
  return count;
}

async function main() {
  const resource = resourceFromAttributes({ 'service.name': 'node-app', 'service.instance.id': 'i-1', list: ['r1', 'r2'] });
  const make = { traces: makeTraces, metrics: makeMetrics, logs: makeLogs };
  const made = {};
  for (const s of args.signals.split(',')) made[s] = await make[s](resource);
  console.log(JSON.stringify({ made, failures }));
  process.exit(failures.length ? 1 : 0);
}

main().catch((e) => { console.error(e); process.exit(1); });
