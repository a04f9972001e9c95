/* Batches made to measure, and a look into those that come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/otlp_json.h"
#include "core/wire.h"
#include "harness.h"

/* --- writing: messages grow from the end, so that lengths are known when they are written ------------------------------ */

struct writer {
  char *base, *at; /* at: the first byte that is written */
};

static void put_bytes(struct writer *w, const void *p, size_t n) {
  w->at -= n;
  memcpy(w->at, p, n);
}

static void put_varint(struct writer *w, uint64_t v) {
  char buf[10];
  put_bytes(w, buf, (size_t)(wire_put_varint(buf, v) - buf));
}

static void put_int(struct writer *w, uint32_t field, uint64_t v) {
  put_varint(w, v);
  put_varint(w, field << 3 | WIRE_VARINT);
}

static void put_fixed64(struct writer *w, uint32_t field, uint64_t v) {
  put_bytes(w, &v, sizeof v);
  put_varint(w, field << 3 | WIRE_64);
}

/* The length and tag of the message that ends at `end`. */
static void put_head(struct writer *w, uint32_t field, const char *end) {
  put_varint(w, (uint64_t)(end - w->at));
  put_varint(w, field << 3 | WIRE_LEN);
}

static void put_text(struct writer *w, uint32_t field, const char *s) {
  const char *end = w->at;
  put_bytes(w, s, strlen(s));
  put_head(w, field, end);
}

/* KeyValue {key = 1, value = 2 {string_value = 1 or int_value = 3}}; text NULL = the number. */
static void put_attr(struct writer *w, uint32_t field, const char *key, const char *text, uint64_t number) {
  const char *end = w->at;
  if (text)
    put_text(w, 1, text);
  else
    put_int(w, 3, number);
  put_head(w, 2, end);
  put_text(w, 1, key);
  put_head(w, field, end);
}

static void put_span(struct writer *w, uint32_t i) {
  char name[32], id[16] = "harness-trace-id";
  const char *end = w->at;
  snprintf(name, sizeof name, "span %u", i);
  put_attr(w, 9, "i", NULL, i);
  put_fixed64(w, 8, HARNESS_UNIX_NS + i + 1000);
  put_fixed64(w, 7, HARNESS_UNIX_NS + i);
  put_text(w, 5, name);
  const char *id_end = w->at;
  memcpy(id, &i, sizeof i);
  put_bytes(w, id, 8);
  put_head(w, 2, id_end);
  id_end = w->at;
  put_bytes(w, id, 16);
  put_head(w, 1, id_end);
  put_head(w, 2, end);
}

static void put_log(struct writer *w, uint32_t i) {
  char line[32];
  const char *end = w->at;
  snprintf(line, sizeof line, "line %u", i);
  put_attr(w, 6, "i", NULL, i);
  const char *body_end = w->at;
  put_text(w, 1, line);
  put_head(w, 5, body_end);
  put_int(w, 2, 9);
  put_fixed64(w, 1, HARNESS_UNIX_NS + i);
  put_head(w, 2, end);
}

static void put_point(struct writer *w, uint32_t i) {
  const char *end = w->at;
  put_attr(w, 7, "i", NULL, i);
  put_fixed64(w, 6, i);
  put_fixed64(w, 3, HARNESS_UNIX_NS + i);
  put_head(w, 1, end);
}

static void put_records(struct writer *w, uint32_t signal, uint32_t n) {
  const char *end = w->at;
  for (uint32_t i = n; i-- > 0;) {
    if (signal == WEIR_TRACES)
      put_span(w, i);
    else if (signal == WEIR_LOGS)
      put_log(w, i);
    else
      put_point(w, i);
  }
  if (signal != WEIR_METRICS) return;
  put_head(w, 5, end); /* Metric.gauge */
  put_text(w, 1, "harness.gauge");
  put_head(w, 2, end);
}

char *harness_request(uint32_t signal, uint32_t n, size_t *ret_n) {
  size_t cap = 512 + (size_t)n * 128;
  struct writer w = { malloc(cap), NULL };
  assert_non_null(w.base);
  w.at = w.base + cap;
  const char *end = w.at, *part = w.at;
  put_records(&w, signal, n);
  part = w.at;
  put_text(&w, 1, "harness"); /* InstrumentationScope.name */
  put_head(&w, 1, part);
  put_head(&w, 2, end); /* Scope* */
  part = w.at;
  put_attr(&w, 1, "service.name", "harness", 0);
  put_head(&w, 1, part);
  put_head(&w, 1, end); /* Resource* */
  *ret_n = (size_t)(end - w.at);
  memmove(w.base, w.at, *ret_n);
  return w.base;
}

/* --- batches ------------------------------------------------------------------------------------------------------------- */

static void hear(void *arg, const struct weir_verdict *v) {
  struct harness_waiter *w = arg;
  struct harness *h = w->harness;
  w->heard++;
  w->verdict = *v;
  snprintf(w->msg, sizeof w->msg, "%s", v->msg ? v->msg : "");
  w->verdict.msg = w->msg;
  if (h->n_waiting == 0) fail_msg("a verdict was heard that nobody waits for");
  h->n_waiting--;
}

struct weir_batch *harness_batch_bytes(struct harness *h, uint32_t signal, const void *p, size_t n, struct harness_waiter *w) {
  struct part *part = NULL;
  struct weir_error err = { 0 };
  struct weir_body *body = body_new(h->loop.pool, n ? n : 1);
  assert_non_null(body);
  if (n) memcpy(body->p, p, n);
  body->n = n;
  if (part_from_otlp(h->loop.pool, signal, body, body->p, n, WEIR_VALIDATE_FULL, 0, NULL, &part, &err))
    fail_msg("no batch of these bytes: %s", err.msg);
  struct weir_batch *b = batch_of_part(&h->loop, part);
  if (!w) w = &h->unnamed;
  w->harness = h;
  h->n_waiting++;
  batch_on_verdict(b, hear, w);
  return b;
}

struct weir_batch *harness_batch_json(struct harness *h, const char *text, struct harness_waiter *w) {
  struct otlp_counts c;
  struct weir_error err = { 0 };
  struct weir_body *body = NULL;
  uint32_t signal = h->stage.signal;
  if (otlp_json_decode(h->loop.pool, signal, text, strlen(text), NULL, &body, &c, &err)) fail_msg("no batch of this JSON: %s", err.msg);
  struct weir_batch *b = harness_batch_bytes(h, signal, body->p, body->n, w);
  body_free(body);
  return b;
}

struct weir_batch *harness_batch_of(struct harness *h, uint32_t signal, uint32_t n, struct harness_waiter *w) {
  size_t bytes;
  char *p = harness_request(signal, n, &bytes);
  struct weir_batch *b = harness_batch_bytes(h, signal, p, bytes, w);
  free(p);
  assert_int_equal(b->items, n);
  return b;
}

struct weir_batch *harness_batch(struct harness *h, uint32_t n, struct harness_waiter *w) {
  return harness_batch_of(h, h->stage.signal, n, w);
}

/* --- a look inside --------------------------------------------------------------------------------------------------------- */

static void each_in_scope(const struct weir_scope *scope, uint32_t signal, void (*fn)(void *, const struct weir_rec *), void *arg) {
  for (uint32_t i = 0; i < scope->n_records; i++) {
    if (signal != WEIR_METRICS) {
      fn(arg, scope->u.recs[i]);
      continue;
    }
    const struct weir_metric *m = scope->u.metrics[i];
    for (uint32_t k = 0; k < m->n_points; k++) fn(arg, &m->points.any[k]->rec);
  }
}

void harness_each(struct weir_batch *b, void (*fn)(void *, const struct weir_rec *), void *arg) {
  struct weir_error err = { 0 };
  const struct weir_data *d = batch_read(b, &err);
  if (!d) fail_msg("the batch cannot be read: %s", err.msg);
  for (uint32_t r = 0; r < d->n_resources; r++)
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) each_in_scope(d->resources[r]->scopes[s], d->signal, fn, arg);
}

struct indexes {
  int64_t *v;
  size_t n, cap;
};

static void add_index(void *arg, const struct weir_rec *rec) {
  struct indexes *x = arg;
  const struct weir_attr *a = weir_attr_find(rec, weir_str_of("i"));
  if (!a || a->value.kind != WEIR_V_INT) fail_msg("a record has lost its attribute \"i\"");
  if (x->n < x->cap) x->v[x->n++] = a->value.u.i;
}

size_t harness_indexes(struct weir_batch *b, int64_t *ret, size_t cap) {
  struct indexes x = { ret, 0, cap };
  harness_each(b, add_index, &x);
  return x.n;
}

char *harness_encode(struct weir_batch *b, size_t *ret_n) {
  const struct weir_iov *v;
  size_t n, at = 0;
  struct weir_error err = { 0 };
  if (batch_encode(b, &v, &n, ret_n, &err)) fail_msg("the batch cannot be encoded: %s", err.msg);
  char *p = malloc(*ret_n + 1);
  assert_non_null(p);
  for (size_t i = 0; i < n; at += v[i++].n) memcpy(p + at, v[i].p, v[i].n);
  assert_int_equal(at, *ret_n);
  return p;
}
