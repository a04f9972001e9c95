/*
 * OTLP metrics from outside as remote write requests: whatever comes is accounted for, twice the same, and what is sent is well formed. The first byte chooses
 * the message and the settings.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/otlp.h"
#include "core/part.h"
#include "core/wire.h"
#include "exporters/prometheus_remote_write/request.c"
#include "exporters/prometheus_remote_write/series.c"
#include "exporters/prometheus_remote_write/symbols.c"

#define MUST(cond) do { if (!(cond)) abort(); } while (0)
#define MAX_SYMBOLS 100000u

static struct pool *pool;
static struct weir_str symbols[MAX_SYMBOLS];
static uint32_t n_symbols;

static struct weir_body *new_body(struct weir_stage *s, size_t cap) {
  (void)s;
  return body_new(pool, cap);
}

static int64_t now_unix_ns(void) { return 1; }

static const char *must_next(const char *p, const char *end, struct wire_field *f) {
  p = wire_next(p, end, f);
  MUST(p != NULL);
  return p;
}

/* --- labels: sorted, each name once, with a name -------------------------------------------------------------------- */

struct label_check {
  struct weir_str last;
  int n, named;
};

static void next_label(struct label_check *c, struct weir_str name, struct weir_str value) {
  MUST(name.n > 0 && (c->n == 0 || compare(c->last, name) < 0));
  MUST(value.n > 0);
  if (weir_str_eq(name, weir_str_of("__name__"))) c->named = 1;
  c->last = name;
  c->n++;
}

static struct weir_str str_at(const struct wire_field *f) { return (struct weir_str){ f->p, (uint32_t)f->v, 0 }; }

static void label_1(struct label_check *c, const char *p, const char *end) {
  struct wire_field f;
  struct weir_str name = { 0 }, value = { 0 };
  while (p < end) {
    p = must_next(p, end, &f);
    if (f.number == 1) name = str_at(&f);
    if (f.number == 2) value = str_at(&f);
  }
  next_label(c, name, value);
}

static void refs(struct label_check *c, const char *p, const char *end) {
  while (p < end) {
    uint64_t name, value;
    p = wire_varint(p, end, &name);
    MUST(p && p < end && name < n_symbols);
    p = wire_varint(p, end, &value);
    MUST(p && value < n_symbols);
    next_label(c, symbols[name], symbols[value]);
  }
}

static void check_histogram(const char *p, const char *end) {
  struct wire_field f, g;
  uint64_t lengths[2] = { 0 }, deltas[2] = { 0 }, v;
  while (p < end) {
    p = must_next(p, end, &f);
    int positive = f.number >= 11;
    if (f.number == 8 || f.number == 11)
      for (const char *q = f.p, *last = f.p + f.v; q < last;) {
        q = must_next(q, last, &g);
        if (g.number == 2) lengths[positive] += g.v;
      }
    if (f.number == 9 || f.number == 12)
      for (const char *q = f.p, *last = f.p + f.v; q < last; deltas[positive]++) MUST((q = wire_varint(q, last, &v)) != NULL);
  }
  MUST(lengths[0] == deltas[0] && lengths[1] == deltas[1]);
}

static void check_series(const char *p, const char *end, int v2) {
  struct wire_field f;
  struct label_check labels = { 0 };
  int values = 0;
  while (p < end) {
    p = must_next(p, end, &f);
    if (f.number == 1) v2 ? refs(&labels, f.p, f.p + f.v) : label_1(&labels, f.p, f.p + f.v);
    if (f.number == 2) values++;
    if (f.number == (v2 ? 3u : 4u)) values++, check_histogram(f.p, f.p + f.v);
  }
  MUST(labels.named && values == 1);
}

static void check_request(const struct weir_body *b, const struct rw_counts *counts, int v2) {
  const char *p = b->p, *end = b->p + b->n;
  struct wire_field f;
  uint64_t n = 0;
  n_symbols = 0;
  while (p < end) {
    p = must_next(p, end, &f);
    if (v2 && f.number == 4 && n_symbols < MAX_SYMBOLS) symbols[n_symbols++] = str_at(&f);
    if (f.number != (v2 ? 5u : 1u)) continue;
    check_series(f.p, f.p + f.v, v2);
    n++;
  }
  MUST(n == counts->series && n == counts->samples + counts->histograms);
  MUST(!v2 || (n_symbols > 0 && symbols[0].n == 0));
}

static uint64_t check_all(const struct rw_encoded *r, uint64_t max_bytes, int v2, uint64_t digests[256]) {
  uint64_t items = 0, n = 0;
  for (uint32_t i = 0; i < r->n_shards; i++)
    for (const struct rw_request *q = r->first[i]; q; q = q->next) {
      check_request(q->body, &q->counts, v2);
      MUST(q->body->n <= max_bytes || q->counts.series <= 1 || !v2); /* metadata of 1.0 may stand before a series */
      items += q->counts.items;
      digests[n++ % 256] ^= q->digest;
    }
  MUST(n == r->n_requests);
  return items;
}

static void run(struct rw_encoder *e, const struct weir_data *tree, uint64_t points, uint64_t max_bytes, int v2) {
  static const struct weir_http_service http = { .body_free = body_free };
  uint64_t digests[256] = { 0 };
  for (int again = 0; again < 2; again++) { /* the second time the same: what was xored in is xored out */
    struct rw_encoded r;
    MUST(rw_encode(e, tree, points, v2, &r) == 0);
    MUST(check_all(&r, max_bytes, v2, digests) + r.items_dropped == points);
    rw_encoded_free(&r, &http);
  }
  for (size_t i = 0; i < 256; i++) MUST(digests[i] == 0);
  rw_encoder_settled(e);
}

static uint64_t points_of(const struct weir_data *tree) {
  uint64_t n = 0;
  for (uint32_t r = 0; r < tree->n_resources; r++)
    for (uint32_t s = 0; s < tree->resources[r]->n_scopes; s++)
      for (uint32_t m = 0; m < tree->resources[r]->scopes[s]->n_records; m++) n += tree->resources[r]->scopes[s]->u.metrics[m]->n_points;
  return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const uint64_t limits[] = { 1, 300, 5000, 3000000 };
  static const struct weir_host host = { .now_unix_ns = now_unix_ns };
  static const struct weir_http_service http = { .body_new = new_body, .body_free = body_free };
  static struct budget budget;
  struct weir_map_entry constant = { "zone", "east" };
  struct weir_error err;
  struct arena arena;
  struct weir_data tree;
  struct otlp_counts counts;
  if (!size) return 0;
  if (!pool) {
    budget_init(&budget, 0);
    pool = pool_new(&budget);
    pool_adopt(pool);
  }
  uint8_t how = data[0];
  arena_init(&arena, pool, 0);
  if (otlp_decode(WEIR_METRICS, &arena, (const char *)data + 1, size - 1, NULL, &tree, &counts, &err) == 0) {
    struct prom_options o = { .add_metric_suffixes = 1, .scope_labels = 1, .utf8_names = how >> 7, .constant = { &constant, 1 }, .target_constant = 1 };
    struct prom *prom;
    struct rw_encoder *e;
    MUST(prom_new(&o, "external_labels", &prom, &err) == 0);
    struct rw_encoder_config cfg = { .host = &host, .http = &http, .prom = prom, .max_bytes = limits[how >> 4 & 3], .max_shards = how & 64 ? 4 : 1, .send_metadata = how >> 3 & 1,
      .target_info = 1, .nhcb = how >> 1 & 1, .keep_classic = how >> 2 & 1 };
    MUST(rw_encoder_new(&cfg, &e, &err) == 0);
    for (int twice = 0; twice < 2; twice++) run(e, &tree, points_of(&tree), cfg.max_bytes, how & 1);
    rw_encoder_free(e);
    prom_free(prom);
  }
  arena_done(&arena);
  return 0;
}
