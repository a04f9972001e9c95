/*
 * bench/load.c - OTLP load: a closed-loop sender of trace requests, and a sink that counts what arrives.
 *
 *   load send --grpc|--http HOST:PORT [--spans N] [--per-request 100] [--connections 4] [--streams 4] [--gzip|--zstd|--snappy] [--json]
 *             [--rate SPANS] [--limit SECONDS] [--tls CA_FILE]      --json: OTLP/JSON, over HTTP
 *             [--series N]                                          metrics instead of traces: points of N series in turn
 *             [--whole | --spread]                                  traces of ten spans that are never sent twice: whole in one request, or a span in each of ten
 *             [--logs]                                              logs instead of traces
 *   load sink PORT      gRPC on PORT, HTTP on PORT+1 (OTLP, remote write on /api/v1/write, Loki's push on /loki/api/v1/push); answers at once; SIGTERM prints the counts
 *
 * Closed loop: connections * streams requests are always under way, each answer starts the next; with --rate no faster than so many spans a second, so
 * that a receiver that answers before it has sent on is not fed faster than it sends. Requests are made once and sent
 * again and again (bench/otlp_sample.h). The transports are weir's own; bench/run.sh measures only the process in between.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/otlp_sample.h"
#include "core/clock.h"
#include "core/compress.h"
#include "core/grpc.h"
#include "core/http_client.h"
#include "core/http_server.h"
#include "core/listener.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "core/otlp_json.h"
#include "core/parse.h"
#include "core/tls.h"

#define N_REQUESTS 8 /* different requests, sent in turn; of metrics as many as --series needs */
#define SINK_MAX_BYTES (64u << 20)
#define TRACES_GRPC "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define METRICS_GRPC "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
#define LOGS_GRPC "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

static struct env env; /* no budget limit, no metrics page */
static struct loop loop;
static uv_signal_t on_term;

static void die(const char *what, const char *why) {
  fprintf(stderr, "load: %s: %s\n", what, why);
  exit(1);
}

static void stop(uv_signal_t *h, int sig) {
  (void)h;
  (void)sig;
  loop_stop(&loop);
}

static void loop_begin(void) {
  struct weir_error err = { 0 };
  signal(SIGPIPE, SIG_IGN);
  env.metrics = metrics_new();
  env.listeners = listeners_new();
  if (loop_init(&loop, 0, &env, &err)) die("loop", err.msg);
  uv_signal_init(&loop.uv, &on_term);
  uv_signal_start(&on_term, stop, SIGTERM);
}

/* --- send ------------------------------------------------------------------------------------------------- */

struct options {
  const char *target, *ca_file; /* ca_file: TLS */
  int grpc, json;
  uint32_t signal;
  const char *encoding; /* NULL = none */
  int64_t spans, per_request, connections, streams, limit_s, rate, series;
  int whole, spread;
};

struct lane { /* one request after the other */
  struct weir_grpc_client *grpc;
  struct weir_http_client *http;
  int64_t began_ns;
  struct timer pause;
  struct weir_iov own; /* --whole, --spread: its copy of a request, for new ids */
};

static struct options opt = { NULL, NULL, 1, 0, WEIR_TRACES, NULL, 1000000, 100, 4, 4, 120, 0, 0, 0, 0 };
static int64_t run_began_ns;
static struct weir_iov *requests;
static uint64_t n_made, to_send, n_sent, n_answered, n_errors;
static uint32_t *latency_us;
static char first_error[256];

static void send_next(struct lane *l);

static void send_now(void *arg) {
  if (n_sent < to_send) send_next(arg);
}

static void send_in_time(struct lane *l) {
  int64_t due_ns = opt.rate ? run_began_ns + (int64_t)((double)n_sent * (double)opt.per_request / (double)opt.rate * 1e9) : 0;
  int64_t wait_ns = due_ns - clock_mono_ns();
  l->pause = (struct timer){ .fn = send_now, .arg = l };
  if (wait_ns > 0) timer_set(&loop, &l->pause, wait_ns);
  else send_next(l);
}

static void answered(struct lane *l, int ok, const char *why) {
  int64_t took_us = (clock_mono_ns() - l->began_ns) / 1000;
  latency_us[n_answered++] = took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
  if (!ok && n_errors++ == 0) snprintf(first_error, sizeof first_error, "%s", why);
  if (n_sent < to_send)
    send_in_time(l);
  else if (n_answered == to_send)
    loop_stop(&loop);
}

static void on_grpc(void *arg, const struct weir_grpc_status *st, const char *msg, size_t n) {
  (void)msg;
  (void)n;
  answered(arg, st->code == WEIR_GRPC_OK, st->msg ? st->msg : "no message");
}

static void on_http(void *arg, const struct weir_http_response *r) {
  char status[32];
  snprintf(status, sizeof status, "HTTP status %u", r->status);
  answered(arg, r->status == 200, r->status || !r->err ? status : r->err->msg);
}

#define SPANS_A_TRACE 10u

/* A trace id stands at the begin of each span, and the span id behind it: 0a 10 ... 12 08 ... (bench/otlp_sample.h). */
static void put_ids(char *p, size_t n, uint64_t request) {
  uint64_t k = 0, per_request = (uint64_t)opt.per_request;
  for (char *end = p + n - 28; p < end; p++) {
    if (p[0] != 0x0a || p[1] != 0x10 || p[18] != 0x12 || p[19] != 0x08) continue;
    uint64_t trace = opt.whole ? (request * per_request + k) / SPANS_A_TRACE : request / SPANS_A_TRACE * per_request + k;
    uint64_t id[2] = { (trace + 1) * 0x9e3779b97f4a7c15u, (trace + (uint64_t)run_began_ns) * 0xff51afd7ed558ccdu }, span = request * per_request + k++ + 1;
    memcpy(p + 2, id, 16);
    memcpy(p + 20, &span, 8);
    p += 27;
  }
}

static const struct weir_iov *next_request(struct lane *l) {
  const struct weir_iov *body = &requests[n_sent % n_made];
  if (!opt.whole && !opt.spread) return body;
  char *copy = realloc((void *)(uintptr_t)l->own.p, body->n);
  if (!copy) die("requests", "no memory");
  memcpy(copy, body->p, body->n);
  put_ids(copy, body->n, n_sent);
  l->own = (struct weir_iov){ copy, body->n };
  return &l->own;
}

static void send_next(struct lane *l) {
  const struct weir_http_header headers[] = {
    { { "content-type", 12, 0 }, weir_str_of(opt.json ? "application/json" : "application/x-protobuf") },
    { { "content-encoding", 16, 0 }, weir_str_of(opt.encoding ? opt.encoding : "") },
  };
  const struct weir_iov *body = next_request(l);
  n_sent++;
  l->began_ns = clock_mono_ns();
  if (opt.grpc) {
    grpc_native.call(l->grpc, opt.signal == WEIR_METRICS ? METRICS_GRPC : opt.signal == WEIR_LOGS ? LOGS_GRPC : TRACES_GRPC, body, 1, 0, on_grpc, l);
    return;
  }
  struct weir_http_call_config call = { .method = "POST",
    .path = opt.signal == WEIR_METRICS ? "/v1/metrics" : opt.signal == WEIR_LOGS ? "/v1/logs" : "/v1/traces",
    .headers = headers,
    .n_headers = opt.encoding ? 2 : 1,
    .body = body,
    .n_body = 1,
    .on_response = on_http,
    .arg = l };
  http_call(l->http, &call);
}

/* gRPC: one client, so one connection, per `connections`, shared by `streams` lanes. HTTP/1.1: one client with all connections. */
static void open_lanes(struct lane *lanes, size_t n) {
  struct weir_error err = { 0 };
  struct weir_grpc_client_config g = {
    .size = sizeof g, .endpoint = opt.target, .compression = opt.encoding ? opt.encoding : "none", .user_agent = "weir-load", .max_connections = 1
  };
  struct weir_http_client_config h = { .size = sizeof h, .endpoint = opt.target, .max_connections = (uint32_t)n };
  struct weir_http_client *http = NULL;
  struct weir_tls_config tls = { .size = sizeof tls, .ca_file = opt.ca_file };
  if (opt.ca_file) g.tls = h.tls = &tls;
  if (!opt.grpc && http_client_open(&loop, &h, &http, &err)) die(opt.target, err.msg);
  for (size_t i = 0; i < n; i++) {
    lanes[i].http = http;
    if (opt.grpc && i >= (size_t)opt.connections)
      lanes[i].grpc = lanes[i % (size_t)opt.connections].grpc;
    else if (opt.grpc && grpc_native.client_open(&loop, &g, &lanes[i].grpc, &err))
      die(opt.target, err.msg);
  }
}

static void close_lanes(struct lane *lanes) {
  if (!opt.grpc) http_client_close(lanes[0].http);
  for (int64_t i = 0; opt.grpc && i < opt.connections; i++) grpc_native.client_close(lanes[i].grpc);
}

/* Kept until the process ends. */
static struct weir_iov as_json(struct weir_iov message) {
  struct arena a;
  struct weir_data tree;
  struct otlp_counts c;
  struct weir_body *text = NULL;
  struct weir_error err = { 0 };
  arena_init(&a, NULL, 0);
  if (otlp_decode(opt.signal, &a, message.p, message.n, NULL, &tree, &c, &err) || otlp_json_encode(loop.pool, &tree, &text, &err)) die("json", err.msg);
  arena_done(&a);
  return (struct weir_iov){ text->p, text->n };
}

static void make_requests(void) {
  n_made = opt.series ? (uint64_t)((opt.series + opt.per_request - 1) / opt.per_request) : N_REQUESTS;
  requests = calloc(n_made, sizeof *requests);
  if (!requests) die("requests", "no memory");
  for (uint64_t i = 0; i < n_made; i++) {
    uint64_t first = i * (uint64_t)opt.per_request;
    struct sample s = (opt.signal == WEIR_METRICS ? sample_metrics_request : opt.signal == WEIR_LOGS ? sample_logs_request : sample_request)(first, (uint64_t)opt.per_request);
    struct weir_iov plain = { s.p, s.n };
    struct weir_body *packed;
    struct weir_error err = { 0 };
    if (opt.json) plain = as_json(plain);
    requests[i] = plain;
    if (!opt.encoding || opt.grpc) continue;
    if (compress_deflate(loop.pool, opt.encoding, 0, &plain, 1, &packed, &err)) die(opt.encoding, err.msg);
    requests[i] = (struct weir_iov){ packed->p, packed->n }; /* kept until the process ends */
  }
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void out_of_time(void *arg) {
  (void)arg;
  snprintf(first_error, sizeof first_error, "stopped at --limit");
  n_errors++;
  loop_stop(&loop);
}

static int report(int64_t took_ns) {
  qsort(latency_us, n_answered, sizeof *latency_us, by_size);
  printf("spans=%llu requests=%llu errors=%llu seconds=%.3f bytes_per_span=%.0f p50_us=%u p99_us=%u max_us=%u\n",
    (unsigned long long)(n_answered - (n_errors < n_answered ? n_errors : n_answered)) * (unsigned long long)opt.per_request,
    (unsigned long long)n_answered, (unsigned long long)n_errors, (double)took_ns / 1e9, (double)requests[0].n / (double)opt.per_request,
    n_answered ? latency_us[n_answered / 2] : 0, n_answered ? latency_us[n_answered * 99 / 100] : 0,
    n_answered ? latency_us[n_answered - 1] : 0);
  if (n_errors) fprintf(stderr, "load: first error: %s\n", first_error);
  return n_errors ? 1 : 0;
}

static int send_all(void) {
  loop_begin();
  make_requests();
  to_send = (uint64_t)(opt.spans / opt.per_request);
  size_t n = (size_t)(opt.connections * opt.streams);
  if (to_send < n) n = (size_t)to_send;
  struct lane *lanes = calloc(n ? n : 1, sizeof *lanes);
  latency_us = calloc(to_send + 1, sizeof *latency_us);
  if (!lanes || !latency_us || !to_send) die("send", "nothing to send");
  if ((size_t)opt.connections > n) opt.connections = (int64_t)n;
  open_lanes(lanes, n);
  struct timer limit = { .fn = out_of_time };
  timer_set(&loop, &limit, opt.limit_s * NS_PER_S);
  int64_t began = run_began_ns = clock_mono_ns();
  for (size_t i = 0; i < n; i++) send_next(&lanes[i]);
  loop_run(&loop);
  int r = report(clock_mono_ns() - began);
  if (!n_errors) close_lanes(lanes); /* else calls may be under way: the process ends with them */
  return r;
}

/* --- sink -------------------------------------------------------------------------------------------------- */

static uint64_t n_requests, n_items[8], n_refused;

static int count(uint32_t signal, const char *p, size_t n) {
  struct otlp_counts c = { 0 };
  struct otlp_limits limits = { 0 };
  struct weir_error err;
  n_requests++;
  if (otlp_count(signal, p, n, &limits, &c, &err)) {
    n_refused++;
    return -1;
  }
  n_items[signal] += c.items;
  return 0;
}

static void answer_grpc(uint32_t signal, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  struct weir_grpc_status st = { sizeof st, WEIR_GRPC_OK, NULL, -1 };
  if (count(signal, r->msg, r->msg_n)) st.code = WEIR_GRPC_INVALID_ARGUMENT;
  grpc_native.reply(x, &st, NULL, 0);
}

static void on_traces(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  answer_grpc(WEIR_TRACES, x, r);
}

static void on_metrics(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  answer_grpc(WEIR_METRICS, x, r);
}

static void on_logs(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  answer_grpc(WEIR_LOGS, x, r);
}

static int count_http(uint32_t signal, const struct weir_http_request *r) {
  struct weir_str encoding = weir_http_find(r->headers, r->n_headers, "content-encoding");
  struct weir_body *plain = NULL;
  struct weir_error err;
  if (!encoding.n) return count(signal, r->body->p, r->body->n);
  if (compress_inflate(loop.pool, encoding, r->body->p, r->body->n, SINK_MAX_BYTES, 0, &plain, &err)) return -1;
  int bad = count(signal, plain->p, plain->n);
  body_free(plain);
  return bad;
}

/* Samples and histograms of a remote write request, 1.0 or 2.0; -1: no protobuf. */
static int64_t count_series(const char *p, const char *end, int v2) {
  int64_t n = 0;
  struct wire_field f, inner;
  while (p < end && (p = wire_next(p, end, &f))) {
    if (f.number != (v2 ? 5u : 1u) || f.type != WIRE_LEN) continue;
    for (const char *q = f.p, *last = f.p + f.v; q && q < last && (q = wire_next(q, last, &inner));)
      n += inner.type == WIRE_LEN && (inner.number == 2 || inner.number == (v2 ? 3u : 4u));
  }
  return p ? n : -1;
}

/* Entries of a push to Loki; -1: no protobuf. */
static int64_t count_entries(const char *p, const char *end) {
  int64_t n = 0;
  struct wire_field f, inner;
  while (p < end && (p = wire_next(p, end, &f))) {
    if (f.number != 1 || f.type != WIRE_LEN) continue;
    for (const char *q = f.p, *last = f.p + f.v; q && q < last && (q = wire_next(q, last, &inner));) n += inner.type == WIRE_LEN && inner.number == 2;
  }
  return p ? n : -1;
}

static void answer_push(struct weir_http_exchange *x, const struct weir_http_request *r) {
  struct weir_body *plain = NULL;
  struct weir_error err;
  int64_t n = -1;
  n_requests++;
  if (r->body && !compress_inflate(loop.pool, weir_str_of("snappy"), r->body->p, r->body->n, SINK_MAX_BYTES, 0, &plain, &err)) n = count_entries(plain->p, plain->p + plain->n);
  body_free(plain);
  if (n < 0) n_refused++;
  else n_items[WEIR_LOGS] += (uint64_t)n;
  struct weir_http_reply reply = { .status = n < 0 ? 400 : 204 };
  http_reply(x, &reply);
}

static void answer_remote_write(struct weir_http_exchange *x, const struct weir_http_request *r) {
  struct weir_str type = weir_http_find(r->headers, r->n_headers, "content-type");
  struct weir_body *plain = NULL;
  struct weir_error err;
  char written[24];
  int64_t n = -1;
  n_requests++;
  if (r->body && !compress_inflate(loop.pool, weir_str_of("snappy"), r->body->p, r->body->n, SINK_MAX_BYTES, 0, &plain, &err))
    n = count_series(plain->p, plain->p + plain->n, type.n > 30);
  body_free(plain);
  if (n < 0) n_refused++;
  else n_items[WEIR_METRICS] += (uint64_t)n;
  snprintf(written, sizeof written, "%lld", (long long)n);
  const struct weir_http_header header = { weir_str_of("x-prometheus-remote-write-samples-written"), weir_str_of(written) };
  struct weir_http_reply reply = { .status = n < 0 ? 400 : 204, .headers = &header, .n_headers = type.n > 30 };
  http_reply(x, &reply);
}

static void on_http_request(void *self, struct weir_http_exchange *x, const struct weir_http_request *r) {
  (void)self;
  if (weir_str_eq(r->path, weir_str_of("/api/v1/write"))) {
    answer_remote_write(x, r);
    return;
  }
  if (weir_str_eq(r->path, weir_str_of("/loki/api/v1/push"))) {
    answer_push(x, r);
    return;
  }
  static const struct weir_http_header type = { { "content-type", 12, 0 }, { "application/x-protobuf", 22, 0 } };
  struct weir_http_reply reply = { .status = 404, .headers = &type, .n_headers = 1 };
  uint32_t signal = weir_str_eq(r->path, weir_str_of("/v1/traces"))    ? WEIR_TRACES
                    : weir_str_eq(r->path, weir_str_of("/v1/metrics")) ? WEIR_METRICS
                    : weir_str_eq(r->path, weir_str_of("/v1/logs"))    ? WEIR_LOGS
                                                                       : 0;
  if (signal && r->body) reply.status = count_http(signal, r) ? 400 : 200;
  http_reply(x, &reply);
}

static int run_sink(int64_t port) {
  struct weir_error err = { 0 };
  char grpc_at[32], http_at[32];
  static const struct weir_grpc_method methods[] = { { TRACES_GRPC, on_traces }, { METRICS_GRPC, on_metrics }, { LOGS_GRPC, on_logs } };
  snprintf(grpc_at, sizeof grpc_at, "127.0.0.1:%d", (int)port);
  snprintf(http_at, sizeof http_at, "127.0.0.1:%d", (int)port + 1);
  struct weir_grpc_server_config g = {
    .size = sizeof g, .owner = "sink", .endpoint = grpc_at, .max_message_bytes = SINK_MAX_BYTES, .methods = methods, .n_methods = 3
  };
  struct weir_http_server_config h = {
    .size = sizeof h, .owner = "sink", .endpoint = http_at, .max_body_bytes = SINK_MAX_BYTES, .on_request = on_http_request
  };
  struct weir_grpc_server *grpc;
  struct weir_http_server *http;
  loop_begin();
  if (grpc_native.listen(&loop, &g, &grpc, &err)) die(grpc_at, err.msg);
  if (http_listen(&loop, &h, &http, &err)) die(http_at, err.msg);
  printf("ready\n");
  fflush(stdout);
  loop_run(&loop);
  printf("requests=%llu refused=%llu spans=%llu points=%llu logs=%llu\n", (unsigned long long)n_requests, (unsigned long long)n_refused,
    (unsigned long long)n_items[WEIR_TRACES], (unsigned long long)n_items[WEIR_METRICS], (unsigned long long)n_items[WEIR_LOGS]);
  return n_refused ? 1 : 0;
}

/* --- arguments ------------------------------------------------------------------------------------------- */

static int usage(void) {
  fprintf(stderr,
    "usage: load send --grpc|--http HOST:PORT [--spans N] [--per-request N] [--connections N] [--streams N] [--gzip|--zstd|--snappy] [--json] [--rate N] [--limit SECONDS]\n"
    "                 [--tls CA_FILE] [--series N | --logs]\n"
    "       load sink PORT\n");
  return 2;
}

static int read_number(const char *name, const char *value) {
  const struct {
    const char *name;
    int64_t *to;
  } numbers[] = { { "--spans", &opt.spans }, { "--per-request", &opt.per_request }, { "--connections", &opt.connections },
    { "--streams", &opt.streams }, { "--limit", &opt.limit_s }, { "--rate", &opt.rate }, { "--series", &opt.series } };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (strcmp(name, numbers[i].name) == 0) return parse_i64(value, numbers[i].to) || *numbers[i].to < 1;
  return -1;
}

static int read_options(int argc, char **argv) {
  for (int i = 2; i < argc; i++) {
    if (strcmp(argv[i], "--gzip") == 0 || strcmp(argv[i], "--zstd") == 0 || strcmp(argv[i], "--snappy") == 0) {
      opt.encoding = argv[i] + 2;
      continue;
    }
    if (strcmp(argv[i], "--whole") == 0 || strcmp(argv[i], "--spread") == 0) {
      *(argv[i][2] == 'w' ? &opt.whole : &opt.spread) = 1;
      continue;
    }
    if (strcmp(argv[i], "--json") == 0) {
      opt.json = 1;
      continue;
    }
    if (strcmp(argv[i], "--logs") == 0) {
      opt.signal = WEIR_LOGS;
      continue;
    }
    if (i + 1 == argc) return -1;
    if (strcmp(argv[i], "--tls") == 0) {
      opt.ca_file = argv[++i];
    } else if (strcmp(argv[i], "--grpc") == 0 || strcmp(argv[i], "--http") == 0) {
      opt.grpc = argv[i][2] == 'g';
      opt.target = argv[++i];
    } else if (read_number(argv[i], argv[i + 1])) {
      return -1;
    } else {
      i++;
    }
  }
  if (opt.series) opt.signal = WEIR_METRICS;
  return opt.target && !(opt.json && opt.grpc) ? 0 : -1;
}

/* The engine stands beside this program's folder: build/bench, build/engines. */
static void find_engine(const char *argv0) {
  static char path[512];
  const char *slash = strrchr(argv0, '/');
  snprintf(path, sizeof path, "%.*s/../engines/tls.so", slash ? (int)(slash - argv0) : 1, slash ? argv0 : ".");
  tls_engine_path(path);
}

int main(int argc, char **argv) {
  int64_t port;
  find_engine(argv[0]);
  if (argc == 3 && strcmp(argv[1], "sink") == 0 && !parse_i64(argv[2], &port) && port > 0 && port < 65535) return run_sink(port);
  if (argc < 4 || strcmp(argv[1], "send") != 0 || read_options(argc, argv)) return usage();
  return send_all();
}
