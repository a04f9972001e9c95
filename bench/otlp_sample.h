/*
 * bench/otlp_sample.h - the requests that all benchmarks use. Traces: spans of about 400 bytes with 10 attributes and one event, two resources. Metrics: points of
 * counters and gauges with 5 attributes, 10 points a metric, one resource a request. Logs: records of about 310 bytes with 5 attributes, two resources of 8.
 */
#ifndef BENCH_OTLP_SAMPLE_H
#define BENCH_OTLP_SAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire.h"

struct sample {
  char *p;
  size_t n, cap;
};

static inline void sample_bytes(struct sample *s, const void *p, size_t n) {
  if (s->cap - s->n < n) {
    s->cap = (s->cap + n) * 2;
    s->p = realloc(s->p, s->cap);
    if (!s->p) abort();
  }
  if (n) memcpy(s->p + s->n, p, n);
  s->n += n;
}

static inline void sample_varint(struct sample *s, uint64_t v) {
  char tmp[10];
  sample_bytes(s, tmp, (size_t)(wire_put_varint(tmp, v) - tmp));
}

static inline void sample_field(struct sample *s, uint32_t number, const void *p, size_t n) {
  sample_varint(s, number << 3 | WIRE_LEN);
  sample_varint(s, n);
  sample_bytes(s, p, n);
}

static inline void sample_sub(struct sample *s, uint32_t number, struct sample *inner) {
  sample_field(s, number, inner->p, inner->n);
  inner->n = 0;
}

static inline void sample_fixed64(struct sample *s, uint32_t number, uint64_t v) {
  sample_varint(s, number << 3 | WIRE_64);
  sample_bytes(s, &v, 8);
}

/* KeyValue with a string (i < 0) or an integer. */
static inline void sample_attr(struct sample *s, uint32_t number, const char *key, const char *text, int64_t i) {
  struct sample kv = { NULL, 0, 0 }, value = { NULL, 0, 0 };
  sample_field(&kv, 1, key, strlen(key));
  if (text) {
    sample_field(&value, 1, text, strlen(text));
  } else {
    sample_varint(&value, 3 << 3 | WIRE_VARINT);
    sample_varint(&value, (uint64_t)i);
  }
  sample_sub(&kv, 2, &value);
  sample_sub(s, number, &kv);
  free(kv.p);
  free(value.p);
}

static inline void sample_span(struct sample *s, uint64_t id) {
  static const char *const methods[] = { "GET", "POST", "PUT" };
  struct sample event = { NULL, 0, 0 }, status = { NULL, 0, 0 };
  uint64_t trace[2] = { id / 10 * 0x9e3779b97f4a7c15u + 1, 0x0123456789abcdefu + id / 10 }, span = id + 1, parent = id | 1;
  uint64_t start = 1700000000000000000u + id * 1000000;
  char path[64];
  snprintf(path, sizeof path, "/api/v1/orders/%llu", (unsigned long long)(id % 100000));
  sample_field(s, 1, trace, 16);
  sample_field(s, 2, &span, 8);
  sample_field(s, 4, &parent, 8);
  sample_field(s, 5, "GET /api/v1/orders/:id", 22);
  sample_varint(s, 6 << 3 | WIRE_VARINT);
  sample_varint(s, 2);
  sample_fixed64(s, 7, start);
  sample_fixed64(s, 8, start + 12345678);
  sample_attr(s, 9, "http.request.method", methods[id % 3], 0);
  sample_attr(s, 9, "url.path", path, 0);
  sample_attr(s, 9, "url.scheme", "https", 0);
  sample_attr(s, 9, "server.address", "shop.example", 0);
  sample_attr(s, 9, "http.response.status_code", NULL, 200);
  sample_attr(s, 9, "network.protocol.version", "1.1", 0);
  sample_attr(s, 9, "client.address", "10.1.2.3", 0);
  sample_attr(s, 9, "server.port", NULL, 443);
  sample_attr(s, 9, "thread.id", NULL, (int64_t)(id % 64));
  sample_attr(s, 9, "http.route", "/api/v1/orders/:id", 0);
  sample_fixed64(&event, 1, start + 1000);
  sample_field(&event, 2, "db.query", 8);
  sample_sub(s, 11, &event);
  sample_varint(&status, 3 << 3 | WIRE_VARINT);
  sample_varint(&status, 1);
  sample_sub(s, 15, &status);
  free(event.p);
  free(status.p);
}

/* An ExportTraceServiceRequest of n spans whose ids begin at first. The caller frees p. */
static inline struct sample sample_request(uint64_t first, uint64_t n) {
  struct sample req = { NULL, 0, 0 }, rs = { NULL, 0, 0 }, ss = { NULL, 0, 0 }, tmp = { NULL, 0, 0 };
  for (uint64_t half = 0; half < 2; half++) {
    uint64_t from = half ? n / 2 : 0, to = half ? n : n / 2;
    if (from == to) continue;
    sample_attr(&tmp, 1, "service.name", half ? "checkout" : "frontend", 0);
    sample_attr(&tmp, 1, "k8s.pod.name", "checkout-7d4b9c6f5-x2x9z", 0);
    sample_sub(&rs, 1, &tmp);
    sample_field(&tmp, 1, "io.opentelemetry.http", 21);
    sample_field(&tmp, 2, "1.27.0", 6);
    sample_sub(&ss, 1, &tmp);
    for (uint64_t i = from; i < to; i++) {
      sample_span(&tmp, first + i);
      sample_sub(&ss, 2, &tmp);
    }
    sample_sub(&rs, 2, &ss);
    sample_sub(&req, 1, &rs);
  }
  free(rs.p);
  free(ss.p);
  free(tmp.p);
  return req;
}

/* A record with 120 bytes of text, 5 attributes and ids. */
static inline void sample_log(struct sample *s, uint64_t i) {
  struct sample body = { NULL, 0, 0 };
  uint64_t trace[2] = { i * 0x9e3779b97f4a7c15u + 1, i + 7 }, span = i + 1;
  char text[160];
  int n = snprintf(text, sizeof text, "GET /api/v1/orders/%llu 200 in %llu ms: user %llu, cache miss, 3 items, upstream orders-db replied after retry", (unsigned long long)(i * 7919 % 100000),
    (unsigned long long)(i % 97), (unsigned long long)(i * 31));
  sample_field(&body, 1, text, (size_t)n);
  sample_fixed64(s, 1, 1700000000000000000u + i * 1000);
  sample_fixed64(s, 11, 1700000000000000100u + i * 1000);
  sample_varint(s, 2 << 3 | WIRE_VARINT);
  sample_varint(s, 9);
  sample_field(s, 3, "INFO", 4);
  sample_sub(s, 5, &body);
  sample_attr(s, 6, "http.request.method", "GET", -1);
  sample_attr(s, 6, "http.response.status_code", NULL, 200);
  sample_attr(s, 6, "url.path", "/api/v1/orders", -1);
  sample_attr(s, 6, "thread.id", NULL, (int64_t)(i % 16));
  sample_attr(s, 6, "log.iostream", "stdout", -1);
  sample_field(s, 9, trace, 16);
  sample_field(s, 10, &span, 8);
  free(body.p);
}

/* An ExportLogsServiceRequest of n records whose numbers begin at first, of two resources with 8 attributes. The caller frees p. */
static inline struct sample sample_logs_request(uint64_t first, uint64_t n) {
  struct sample req = { NULL, 0, 0 }, resource = { NULL, 0, 0 }, tmp = { NULL, 0, 0 }, scope = { NULL, 0, 0 };
  for (uint64_t half = 0; half < 2; half++) {
    uint64_t from = half ? n / 2 : 0, to = half ? n : n / 2;
    if (from == to) continue;
    sample_attr(&tmp, 1, "service.name", half ? "cart" : "checkout", -1);
    sample_attr(&tmp, 1, "k8s.namespace.name", "shop", -1);
    sample_attr(&tmp, 1, "k8s.pod.name", "checkout-6b7c9d5f4-x2x7z", -1);
    sample_attr(&tmp, 1, "k8s.container.name", "app", -1);
    sample_attr(&tmp, 1, "host.name", "node-17.example.internal", -1);
    sample_attr(&tmp, 1, "telemetry.sdk.language", "java", -1);
    sample_attr(&tmp, 1, "telemetry.sdk.version", "1.42.0", -1);
    sample_attr(&tmp, 1, "process.pid", NULL, 4711);
    sample_sub(&resource, 1, &tmp);
    for (uint64_t i = from; i < to; i++) {
      sample_log(&tmp, first + i);
      sample_sub(&scope, 2, &tmp);
    }
    sample_sub(&resource, 2, &scope);
    sample_sub(&req, 1, &resource);
  }
  free(resource.p);
  free(scope.p);
  free(tmp.p);
  return req;
}

/* Point `id` of a series of its own, cumulative. */
static inline void sample_point(struct sample *s, uint64_t id) {
  static const char *const methods[] = { "GET", "POST", "PUT" };
  char shard[32];
  double value = (double)id * 1.25;
  uint64_t bits;
  snprintf(shard, sizeof shard, "shard-%llu", (unsigned long long)id);
  sample_fixed64(s, 2, 1700000000000000000u);
  sample_fixed64(s, 3, 1700000060000000000u);
  memcpy(&bits, &value, sizeof bits);
  sample_fixed64(s, 4, bits);
  sample_attr(s, 7, "http.request.method", methods[id % 3], 0);
  sample_attr(s, 7, "http.route", "/api/v1/orders/:id", 0);
  sample_attr(s, 7, "http.response.status_code", NULL, 200);
  sample_attr(s, 7, "server.address", "shop.example", 0);
  sample_attr(s, 7, "shard", shard, 0);
}

/* An ExportMetricsServiceRequest of n points, of the series from first on. The caller frees p. */
static inline struct sample sample_metrics_request(uint64_t first, uint64_t n) {
  struct sample req = { NULL, 0, 0 }, rm = { NULL, 0, 0 }, sm = { NULL, 0, 0 }, tmp = { NULL, 0, 0 }, metric = { NULL, 0, 0 }, data = { NULL, 0, 0 };
  char name[64];
  sample_attr(&tmp, 1, "service.name", "checkout", 0);
  sample_attr(&tmp, 1, "service.instance.id", "7d4b9c6f5-x2x9z", 0);
  sample_attr(&tmp, 1, "k8s.pod.name", "checkout-7d4b9c6f5-x2x9z", 0);
  sample_sub(&rm, 1, &tmp);
  sample_field(&tmp, 1, "io.opentelemetry.http", 21);
  sample_field(&tmp, 2, "1.27.0", 6);
  sample_sub(&sm, 1, &tmp);
  for (uint64_t i = 0; i < n; i += 10) {
    uint64_t kind = (first + i) / 10 % 10; /* ten metrics, the last two gauges */
    for (uint64_t k = i; k < i + 10 && k < n; k++) {
      sample_point(&tmp, first + k);
      sample_sub(&data, 1, &tmp);
    }
    if (kind < 8) {
      sample_varint(&data, 2 << 3 | WIRE_VARINT);
      sample_varint(&data, 2);
      sample_varint(&data, 3 << 3 | WIRE_VARINT);
      sample_varint(&data, 1);
    }
    sample_field(&metric, 1, name, (size_t)snprintf(name, sizeof name, "http.server.requests.%llu", (unsigned long long)kind));
    sample_field(&metric, 2, "Requests that were served.", 26);
    sample_field(&metric, 3, "By", 2);
    sample_sub(&metric, kind < 8 ? 7 : 5, &data);
    sample_sub(&sm, 2, &metric);
  }
  sample_sub(&rm, 2, &sm);
  sample_sub(&req, 1, &rm);
  free(rm.p);
  free(sm.p);
  free(tmp.p);
  free(metric.p);
  free(data.p);
  return req;
}

#endif
