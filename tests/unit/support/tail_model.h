/*
 * tests/unit/support/tail_model.h - a naive model beside tail sampling's store: traces as lists of spans, written the obvious way. What the store says is held against it
 * at each step; aborts at a difference. For the unit test and the fuzz target.
 */
#ifndef TAIL_MODEL_H
#define TAIL_MODEL_H

#include <stdio.h>

#include <weir/error.h>

#include "processors/tail_sampling/store_internal.h"

#define MODEL_TRACES 300u
#define MODEL_RESOURCES 10u
#define MODEL_SCOPES 4u

#define MODEL_MUST(truth) \
  do { \
    if (truth) break; \
    fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #truth); \
    abort(); \
  } while (0)

struct model_span {
  uint32_t seed, n;
  uint8_t resource, scope;
};

struct model_trace {
  struct model_span *spans;
  uint32_t n, cap;
  ts_ref newest;
};

struct model {
  struct ts_store *store;
  struct model_trace traces[MODEL_TRACES];
  uint64_t spans, wire_bytes;
  uint32_t shift; /* of the batch: which content each record has */
  struct weir_resource resources[MODEL_RESOURCES];
  struct weir_scope scopes[MODEL_SCOPES];
  char text[MODEL_RESOURCES + MODEL_SCOPES][512];
  char *bytes; /* of one span */
  uint32_t cap_bytes;
};

/* Every third span's bytes do not compress; the others do. */
static inline const char *model_bytes(struct model *m, const struct model_span *s) {
  if (s->n > m->cap_bytes || !m->bytes) {
    free(m->bytes);
    m->cap_bytes = s->n + 64;
    while (!(m->bytes = malloc(m->cap_bytes))) continue; /* it may be told to fail */
  }
  uint64_t x = s->seed * 0x9e3779b97f4a7c15u + 1;
  for (uint32_t i = 0; i < s->n; i += 8) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    uint64_t word = s->seed % 3 ? i % 296 + (x % 61 == 0) : x;
    memcpy(m->bytes + i, &word, s->n - i < 8 ? s->n - i : 8);
  }
  return m->bytes;
}

/* Resource 0 is absent, 1 is empty; lengths of one and two bytes. */
static inline struct weir_rec model_rec(char *text, uint32_t k) {
  struct weir_rec rec = { 0 };
  memset(text, 'a' + (int)k, 512);
  if (k) rec.raw = text;
  rec.raw_n = k < 2 ? 0 : k * 50;
  return rec;
}

/* New content behind the same pointers. */
static inline void model_batch(struct model *m, uint32_t shift) {
  m->shift = shift;
  for (uint32_t i = 0; i < MODEL_RESOURCES; i++) {
    uint32_t k = (i + shift) % MODEL_RESOURCES;
    m->resources[i] = (struct weir_resource){ .rec = model_rec(m->text[i], k) };
    if (k % 3 == 1) m->resources[i].schema_url = weir_str_of("https://opentelemetry.io/schemas/1.27.0");
  }
  for (uint32_t i = 0; i < MODEL_SCOPES; i++) {
    uint32_t k = (i + shift) % MODEL_SCOPES;
    m->scopes[i] = (struct weir_scope){ .rec = model_rec(m->text[MODEL_RESOURCES + i], k) };
    if (k % 2) m->scopes[i].schema_url = weir_str_of("s");
  }
  ts_store_batch(m->store);
}

/* Whether there was memory. */
static inline int model_start(struct model *m) {
  *m = (struct model){ .store = ts_store_new() };
  if (m->store) model_batch(m, 0);
  return m->store != NULL;
}

static inline void model_stats(const struct model *m) {
  struct ts_store_stats st;
  ts_store_stats(m->store, &st);
  MODEL_MUST(st.spans == m->spans && st.wire_bytes == m->wire_bytes);
  MODEL_MUST(st.interned <= MODEL_RESOURCES * MODEL_SCOPES && (st.interned == 0) == (st.spans == 0));
  MODEL_MUST((st.segments == 0) == (st.spans == 0) && st.compressed_segments <= st.segments);
  MODEL_MUST(st.bytes >= st.compressed_bytes + st.interned_bytes);
}

static inline int model_put(struct model *m, uint32_t trace, uint32_t resource, uint32_t scope, uint32_t n, uint32_t seed) {
  struct model_trace *t = &m->traces[trace];
  if (t->n == t->cap) {
    struct model_span *spans = realloc(t->spans, (t->cap * 2 + 4) * sizeof *spans);
    if (!spans) return 0;
    t->spans = spans;
    t->cap = t->cap * 2 + 4;
  }
  struct model_span s = { seed, n, (uint8_t)((resource + m->shift) % MODEL_RESOURCES), (uint8_t)((scope + m->shift) % MODEL_SCOPES) };
  struct weir_span span = { .rec = { .raw = model_bytes(m, &s), .raw_n = n } };
  ts_ref ref = ts_store_put(m->store, &m->resources[resource], &m->scopes[scope], &span, t->newest);
  if (ref) {
    t->newest = ref;
    t->spans[t->n++] = s;
    m->spans++;
    m->wire_bytes += n;
  }
  model_stats(m);
  return ref != 0;
}

static inline void model_put_field(struct kit_bytes *out, uint32_t number, const char *p, size_t n) {
  kit_put_len(out, number, n);
  kit_put(out, p, n);
}

static inline int model_same(const struct model_span *a, const struct model_span *b) { return a->resource == b->resource && a->scope == b->scope; }

static inline void model_write(struct model *m, const struct model_trace *t, struct kit_bytes *out) {
  char text[512];
  for (uint32_t i = 0, end; i < t->n; i = end) {
    const struct model_span *first = &t->spans[i];
    struct kit_bytes scope = { 0 }, resource = { 0 };
    struct weir_rec rec = model_rec(text, first->scope);
    if (rec.raw) model_put_field(&scope, 1, rec.raw, rec.raw_n);
    for (end = i; end < t->n && model_same(first, &t->spans[end]); end++) model_put_field(&scope, 2, model_bytes(m, &t->spans[end]), t->spans[end].n);
    if (first->scope % 2) model_put_field(&scope, 3, "s", 1);
    rec = model_rec(text, first->resource);
    if (rec.raw) model_put_field(&resource, 1, rec.raw, rec.raw_n);
    model_put_field(&resource, 2, scope.p, scope.n);
    if (first->resource % 3 == 1) model_put_field(&resource, 3, "https://opentelemetry.io/schemas/1.27.0", 39);
    model_put_field(out, 1, resource.p, resource.n);
    out->failed |= scope.failed | resource.failed;
    kit_bytes_free(&scope);
    kit_bytes_free(&resource);
  }
}

/* In pieces, the newest first: each is what a trace of these spans alone would be. */
static inline void model_check_pieces(struct model *m, const struct model_trace *t) {
  struct kit_bytes got = { 0 }, want = { 0 };
  uint32_t left = t->n, n = 0;
  int r = 0;
  for (ts_ref at = t->newest, rest; at && !r; at = rest) {
    got.n = want.n = 0;
    r = ts_store_write_some(m->store, at, 3, 5000, &got, &n, &rest);
    if (r) break;
    MODEL_MUST(n >= 1 && n <= 3 && n <= left);
    model_write(m, &(struct model_trace){ .spans = t->spans + (left - n), .n = n }, &want);
    if (!want.failed) MODEL_MUST(got.n == want.n && memcmp(got.p, want.p, want.n) == 0);
    left -= n;
  }
  MODEL_MUST(r == WEIR_E_NOMEM || (r == 0 && left == 0));
  kit_bytes_free(&got);
  kit_bytes_free(&want);
}

/* Byte for byte, behind what is there already. Returns the store's answer, which without failing memory is 0. */
static inline int model_check(struct model *m, uint32_t trace) {
  struct kit_bytes got = { 0 }, want = { 0 };
  kit_put(&got, "before", 6);
  int r = got.n == 6 ? ts_store_write(m->store, m->traces[trace].newest, &got) : WEIR_E_NOMEM;
  MODEL_MUST(r == 0 || r == WEIR_E_NOMEM);
  MODEL_MUST(r == 0 || got.n == 6 || got.n == 0);
  if (r == 0) model_write(m, &m->traces[trace], &want);
  if (r == 0 && !want.failed) MODEL_MUST(got.n == want.n + 6 && (want.n == 0 || memcmp(got.p + 6, want.p, want.n) == 0));
  kit_bytes_free(&got);
  kit_bytes_free(&want);
  if (r == 0) model_check_pieces(m, &m->traces[trace]);
  model_stats(m);
  return r;
}

static inline void model_release(struct model *m, uint32_t trace) {
  struct model_trace *t = &m->traces[trace];
  if (t->n % 2) ts_store_release(m->store, t->newest);
  else
    while ((t->newest = ts_store_release_some(m->store, t->newest, 3)) != 0) continue;
  for (uint32_t i = 0; i < t->n; i++) m->wire_bytes -= t->spans[i].n;
  m->spans -= t->n;
  t->n = 0;
  t->newest = 0;
  model_stats(m);
}

/* Everything goes, and the store is what it was at the beginning, in bytes. */
static inline void model_empty(struct model *m, uint64_t idle_bytes) {
  struct ts_store_stats st;
  for (uint32_t i = 0; i < MODEL_TRACES; i++) {
    model_check(m, i * 7 % MODEL_TRACES);
    model_release(m, i * 7 % MODEL_TRACES);
  }
  ts_store_trim(m->store);
  ts_store_stats(m->store, &st);
  MODEL_MUST(st.spans == 0 && st.interned == 0 && st.segments == 0 && st.compressed_bytes == 0 && st.bytes == idle_bytes);
}

static inline void model_end(struct model *m) {
  ts_store_free(m->store);
  for (uint32_t i = 0; i < MODEL_TRACES; i++) free(m->traces[i].spans);
  free(m->bytes);
}

#endif
