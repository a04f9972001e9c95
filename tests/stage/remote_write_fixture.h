/*
 * tests/stage/remote_write_fixture.h - the prometheus_remote_write exporter on the harness, and a back end that keeps what it got as text, a line per series.
 */
#ifndef TESTS_STAGE_REMOTE_WRITE_FIXTURE_H
#define TESTS_STAGE_REMOTE_WRITE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/compress.h"
#include "core/otlp_json.h"
#include "harness_check.h"
#include "harness_net.h"
#include "remote_write.pb-c.h"

#define MAX_REQUESTS 64
#define V2 "protobuf_message: io.prometheus.write.v2.Request"
#define TIME "\"timeUnixNano\":\"1700000001500000000\",\"startTimeUnixNano\":\"1700000000000000000\""
#define LABELS(id) "{__name__=\"" id "\""
#define SCOPE ",job=\"shop\",otel_scope_name=\"s\""

/* What arrived: each request as text, a line per sample. */
struct fixture {
  struct harness *h;
  struct harness_sink sink;
  char *requests[MAX_REQUESTS];
  size_t sizes[MAX_REQUESTS]; /* not compressed */
  int v2[MAX_REQUESTS], n;
  const uint32_t *statuses; /* of the requests in their order, then 0 */
  const char *const *written; /* what each answer says: samples, or samples/histograms; NULL = nothing */
  char samples[32];
  struct weir_http_header more[3];
};

/* --- requests as text ---------------------------------------------------------------------------------------------- */

struct text {
  char *p;
  size_t n, cap;
};

static void put(struct text *t, const char *fmt, ...) {
  va_list ap;
  char piece[4096];
  va_start(ap, fmt);
  int n = vsnprintf(piece, sizeof piece, fmt, ap);
  va_end(ap);
  assert_true(n >= 0 && n < (int)sizeof piece);
  if (t->n + (size_t)n + 1 > t->cap) t->p = realloc(t->p, t->cap = 2 * (t->n + (size_t)n + 64));
  assert_non_null(t->p);
  memcpy(t->p + t->n, piece, (size_t)n + 1);
  t->n += (size_t)n;
}

static void put_label(struct text *t, int first, ProtobufCBinaryData name, ProtobufCBinaryData value) {
  put(t, "%s%.*s=\"%.*s\"", first ? "{" : ",", (int)name.len, (char *)name.data, (int)value.len, (char *)value.data);
}

static void put_value(struct text *t, double v) {
  uint64_t bits;
  memcpy(&bits, &v, 8);
  if (bits == 0x7ff0000000000002u) put(t, " stale");
  else put(t, " %.17g", v);
}

static void put_histogram(struct text *t, const Rw__Histogram *h) {
  put(t, " histogram count=%llu sum=%g schema=%d zero=%llu", (unsigned long long)h->count_int, h->sum, h->schema, (unsigned long long)h->zero_count_int);
  for (size_t i = 0; i < h->n_positive_spans; i++) put(t, " +%d:%u", h->positive_spans[i]->offset, h->positive_spans[i]->length);
  for (size_t i = 0; i < h->n_positive_deltas; i++) put(t, " %lld", (long long)h->positive_deltas[i]);
  for (size_t i = 0; i < h->n_custom_values; i++) put(t, " <=%g", h->custom_values[i]);
  put(t, " @%lld", (long long)h->timestamp);
  if (h->start_timestamp) put(t, " since %lld", (long long)h->start_timestamp);
}

static void text_of_1(struct text *t, const Rw__Request1 *r) {
  for (size_t i = 0; i < r->n_metadata; i++) {
    const Rw__MetricMetadata *m = r->metadata[i];
    put(t, "# %.*s %u %.*s %.*s\n", (int)m->metric_family_name.len, (char *)m->metric_family_name.data, m->type, (int)m->unit.len, (char *)m->unit.data, (int)m->help.len,
      (char *)m->help.data);
  }
  for (size_t i = 0; i < r->n_timeseries; i++) {
    const Rw__TimeSeries1 *s = r->timeseries[i];
    for (size_t k = 0; k < s->n_labels; k++) put_label(t, !k, s->labels[k]->name, s->labels[k]->value);
    put(t, "}");
    for (size_t k = 0; k < s->n_samples; k++) put_value(t, s->samples[k]->value), put(t, " @%lld", (long long)s->samples[k]->timestamp);
    for (size_t k = 0; k < s->n_histograms; k++) put_histogram(t, s->histograms[k]);
    for (size_t k = 0; k < s->n_exemplars; k++) {
      put(t, " # ");
      for (size_t l = 0; l < s->exemplars[k]->n_labels; l++) put_label(t, !l, s->exemplars[k]->labels[l]->name, s->exemplars[k]->labels[l]->value);
      put(t, "} %g @%lld", s->exemplars[k]->value, (long long)s->exemplars[k]->timestamp);
    }
    put(t, "\n");
  }
}

static void text_of_2(struct text *t, const Rw__Request2 *r) {
  for (size_t i = 0; i < r->n_timeseries; i++) {
    const Rw__TimeSeries2 *s = r->timeseries[i];
    for (size_t k = 0; k + 1 < s->n_labels_refs; k += 2) put_label(t, !k, r->symbols[s->labels_refs[k]], r->symbols[s->labels_refs[k + 1]]);
    put(t, "}");
    for (size_t k = 0; k < s->n_samples; k++) {
      put_value(t, s->samples[k]->value);
      put(t, " @%lld", (long long)s->samples[k]->timestamp);
      if (s->samples[k]->start_timestamp) put(t, " since %lld", (long long)s->samples[k]->start_timestamp);
    }
    for (size_t k = 0; k < s->n_histograms; k++) put_histogram(t, s->histograms[k]);
    if (s->n_exemplars) put(t, " # %zu", s->n_exemplars);
    if (s->metadata) put(t, " # %u %.*s", s->metadata->type, (int)r->symbols[s->metadata->help_ref].len, (char *)r->symbols[s->metadata->help_ref].data);
    put(t, "\n");
  }
}

static void read_request(struct fixture *f) {
  struct weir_body *plain = NULL;
  struct weir_error err;
  struct text t = { malloc(1), 0, 1 };
  assert_true(f->n < MAX_REQUESTS);
  harness_has_header(f->sink.headers, "content-encoding", "snappy");
  if (compress_inflate(f->h->loop.pool, weir_str_of("snappy"), f->sink.body, f->sink.n, 64 << 20, 1, &plain, &err)) fail_msg("%s", err.msg);
  f->v2[f->n] = strstr(f->sink.headers, "content-type: application/x-protobuf;proto=io.prometheus.write.v2.Request\n") != NULL;
  harness_has_header(f->sink.headers, "x-prometheus-remote-write-version", f->v2[f->n] ? "2.0.0" : "0.1.0");
  if (!f->v2[f->n]) harness_has_header(f->sink.headers, "content-type", "application/x-protobuf");
  *t.p = 0;
  if (f->v2[f->n]) {
    Rw__Request2 *r = rw__request2__unpack(NULL, plain->n, (uint8_t *)plain->p);
    assert_non_null(r);
    text_of_2(&t, r);
    rw__request2__free_unpacked(r, NULL);
  } else {
    Rw__Request1 *r = rw__request1__unpack(NULL, plain->n, (uint8_t *)plain->p);
    assert_non_null(r);
    text_of_1(&t, r);
    rw__request1__free_unpacked(r, NULL);
  }
  f->sizes[f->n] = plain->n;
  body_free(plain);
  f->requests[f->n++] = t.p;
}

static void on_request(struct harness_sink *s) {
  struct fixture *f = s->arg;
  int i = f->n;
  read_request(f);
  s->status = f->statuses && f->statuses[i] ? f->statuses[i] : 0;
  if (!s->status) f->statuses = NULL;
  if (!f->written) return;
  const char *says = f->written[i] ? f->written[i] : "", *slash = strchr(says, '/');
  s->n_more = !*says ? 0 : slash ? 2 : 1;
  snprintf(f->samples, sizeof f->samples, "%.*s", slash ? (int)(slash - says) : 31, says);
  f->more[0] = (struct weir_http_header){ weir_str_of("X-Prometheus-Remote-Write-Samples-Written"), weir_str_of(f->samples) };
  f->more[1] = (struct weir_http_header){ weir_str_of("X-Prometheus-Remote-Write-Histograms-Written"), weir_str_of(slash ? slash + 1 : "") };
}

/* --- fixture ------------------------------------------------------------------------------------------------------------- */

static void set_up(struct fixture *f, const char *keys) {
  char yaml[1024];
  memset(f, 0, sizeof *f);
  harness_sink_init(&f->sink);
  snprintf(yaml, sizeof yaml, "{endpoint: 'http://127.0.0.1:%d/api/v1/write'%s%s}", f->sink.port, *keys ? ", " : "", keys);
  f->sink.on_request = on_request;
  f->sink.arg = f;
  f->sink.more = f->more;
  f->h = harness_open(&(struct harness_setup){ .role = WEIR_EXPORTER, .type = "prometheus_remote_write", .yaml = yaml, .signal = WEIR_METRICS });
  harness_sink_http(&f->sink, f->h);
}

static void tear_down(struct fixture *f) {
  harness_sink_close(&f->sink);
  harness_free(f->h);
  for (int i = 0; i < f->n; i++) free(f->requests[i]);
}

static struct weir_batch *batch_of(struct fixture *f, const char *metrics) {
  struct weir_body *body;
  struct otlp_counts counts;
  struct weir_error err;
  size_t n = strlen(metrics) + 300;
  char *json = malloc(n);
  assert_non_null(json);
  snprintf(json, n, "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"s\"},\"metrics\":[%s]}]}]}", metrics);
  if (otlp_json_decode(f->h->loop.pool, WEIR_METRICS, json, strlen(json), NULL, &body, &counts, &err)) fail_msg("%s: %s", err.msg, json);
  struct weir_batch *b = harness_batch_bytes(f->h, WEIR_METRICS, body->p, body->n, NULL);
  body_free(body);
  free(json);
  return b;
}

static const struct harness_done *post(struct fixture *f, const char *metrics) {
  size_t n = f->h->n_done + 1;
  harness_feed(f->h, batch_of(f, metrics));
  harness_wait_done(f->h, n);
  return &f->h->done[n - 1];
}

static const struct harness_done *send_ok(struct fixture *f, const char *metrics) {
  const struct harness_done *d = post(f, metrics);
  if (d->verdict.code != WEIR_DELIVERED || d->verdict.rejected) fail_msg("not delivered: %s", d->msg);
  return d;
}

#endif
