/*
 * tests/stage/prometheus_fixture.h - the prometheus exporter on the harness: OTLP/JSON in (with ' for "), its page out.
 */
#ifndef TESTS_PROMETHEUS_FIXTURE_H
#define TESTS_PROMETHEUS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/otlp_json.h"
#include "harness_check.h"
#include "harness_net.h"

#define REJECTS "weir_exporter_prometheus_dropped_points_total"

struct prom_fixture {
  struct harness *h;
  struct harness_client client;
  struct harness_waiter waiter; /* of the latest batch */
};

static inline void prom_open(struct prom_fixture *f, const char *yaml) {
  char text[1024];
  memset(f, 0, sizeof *f);
  snprintf(text, sizeof text, "{endpoint: 127.0.0.1:0%s%s}", *yaml ? ", " : "", yaml);
  f->h = harness_new(WEIR_EXPORTER, "prometheus", text, WEIR_METRICS);
  harness_client_http(&f->client, f->h, harness_port());
}

static inline void prom_close(struct prom_fixture *f) {
  harness_client_close(&f->client);
  harness_free(f->h);
}

/* A whole request in JSON. */
static inline void prom_feed(struct prom_fixture *f, const char *json) {
  struct otlp_counts counts;
  struct weir_error err = { 0 };
  struct weir_body *body;
  char *text = strdup(json);
  for (char *c = text; *c; c++)
    if (*c == '\'') *c = '"';
  if (otlp_json_decode(f->h->loop.pool, WEIR_METRICS, text, strlen(text), NULL, &body, &counts, &err)) fail_msg("%s: %s", err.msg, text);
  memset(&f->waiter, 0, sizeof f->waiter);
  harness_feed(f->h, harness_batch_bytes(f->h, WEIR_METRICS, body->p, body->n, &f->waiter));
  body_free(body);
  free(text);
  assert_int_equal(f->waiter.heard, 1);
  assert_int_equal(f->waiter.verdict.code, WEIR_DELIVERED);
}

/* Metrics of a resource without attributes. */
static inline void prom_metrics(struct prom_fixture *f, const char *fmt, ...) {
  static char metrics[60000], json[61000];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(metrics, sizeof metrics, fmt, ap);
  va_end(ap);
  snprintf(json, sizeof json, "{'resourceMetrics':[{'scopeMetrics':[{'metrics':[%s]}]}]}", metrics);
  prom_feed(f, json);
}

/* What a GET with this Accept gives; the caller empties it. */
static inline void prom_get(struct prom_fixture *f, const char *accept, struct harness_reply *r) {
  struct weir_http_header header = { weir_str_of("accept"), weir_str_of(accept) };
  struct harness_http q = { .method = "GET", .path = "/metrics", .more = &header, .n_more = *accept ? 1u : 0u };
  memset(r, 0, sizeof *r);
  harness_send_http(&f->client, &q, r);
  harness_wait_reply(f->h, r);
  if (r->status != 200) fail_msg("status %u: %s%s", r->status, r->msg, r->body);
}

static inline void prom_page(struct prom_fixture *f, const char *accept, const char *want) {
  struct harness_reply r;
  prom_get(f, accept, &r);
  if (strcmp(r.body, want)) fail_msg("got:\n%swanted:\n%s", r.body, want);
  harness_reply_done(&r);
}

#define OPENMETRICS "application/openmetrics-text; version=1.0.0"

#endif
