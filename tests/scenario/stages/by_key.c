/*
 * A plugin for scenario tests: a processor and an exporter whose records are placed by key. All instances at one place share a table of who met which key; the
 * process fails when a key meets two of them, or when an instance is called from two threads.
 *
 *   service: {plugins: [build/tests/scenario/by_key.so]}
 *   processors: {by_key: {}}
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <weir/metrics.h>
#include <weir/stage.h>

#define KEYS 1000u

struct config {
  uint64_t keys;
};

static const struct weir_field fields[] = {
  { .name = "keys", .type = WEIR_T_UINT, .offset = offsetof(struct config, keys), .dflt = "1000", .doc = "Room of the table." },
  WEIR_FIELD_END,
};

struct table {
  uint64_t n;
  _Atomic uint32_t owner[]; /* lane + 1 */
};

struct by_key {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct weir_metrics_service *metrics;
  struct weir_cell *records;
  pthread_t thread;
  int known, inside;
};

static int by_key_prepare(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_shared, struct weir_error *err) {
  const struct config *c = config;
  (void)host;
  (void)stage;
  if (c->keys < KEYS) {
    weir_fail_field(err, "keys", "a table of %llu keys is too small", (unsigned long long)c->keys);
    weir_hint(err, "there are %u", KEYS);
    return WEIR_E_CONFIG;
  }
  struct table *t = calloc(1, sizeof *t + c->keys * sizeof *t->owner);
  if (!t) return weir_fail(err, WEIR_E_NOMEM, "out of memory");
  t->n = c->keys;
  *ret_shared = t;
  return 0;
}

static int by_key_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  char labels[32];
  (void)config;
  struct by_key *b = calloc(1, sizeof *b);
  if (!b || !host->shared(stage)) {
    free(b);
    return weir_fail(err, WEIR_E_STATE, "nothing was prepared, or no memory");
  }
  b->host = host;
  b->stage = stage;
  b->metrics = host->service(stage, WEIR_METRICS_SERVICE);
  snprintf(labels, sizeof labels, "lane=\"%u\"", host->stage_lane(stage));
  b->records = b->metrics->counter(stage, "by_key_records_total", labels, "Records that met this lane's instances.");
  *ret_self = b;
  return 0;
}

/* The generator's number of the item, the same key for each 1000th. */
static uint64_t by_key_key(const struct weir_resource *resource, const struct weir_scope *scope, const struct weir_rec *rec) {
  (void)resource;
  (void)scope;
  const struct weir_attr *number = weir_attr_find(rec, weir_str_of("number"));
  return number ? (uint64_t)number->value.u.i % KEYS : 0;
}

static void fail(struct by_key *b, const char *what) {
  struct weir_error err = { 0 };
  weir_fail(&err, WEIR_E_STATE, "%s", what);
  b->host->fail(b->stage, &err, 1);
}

static void meet(struct by_key *b, uint64_t key) {
  struct table *t = b->host->shared(b->stage);
  uint32_t nobody = 0, me = b->host->stage_lane(b->stage) + 1;
  if (!atomic_compare_exchange_strong(&t->owner[key], &nobody, me) && nobody != me) fail(b, "a key met two instances");
  b->metrics->add(b->records, 1);
}

static void look(struct by_key *b, struct weir_batch *batch) {
  struct weir_error err = { 0 };
  if (!b->known) b->thread = pthread_self();
  b->known = 1;
  if (b->inside || !pthread_equal(b->thread, pthread_self())) fail(b, "an instance was called from two threads");
  const struct weir_data *d = b->host->batch_read(batch, &err);
  for (uint32_t r = 0; d && r < d->n_resources; r++)
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) {
      const struct weir_scope *scope = d->resources[r]->scopes[s];
      for (uint32_t i = 0; i < scope->n_records; i++) meet(b, by_key_key(d->resources[r], scope, scope->u.recs[i]));
    }
}

static void processor_consume(void *self, struct weir_batch *batch) {
  struct by_key *b = self;
  look(b, batch);
  b->inside = 1;
  b->host->emit(b->stage, 0, batch);
  b->inside = 0;
}

static void exporter_consume(void *self, struct weir_batch *batch) {
  struct by_key *b = self;
  static const struct weir_verdict delivered = { .code = WEIR_DELIVERED };
  look(b, batch);
  b->host->done(b->stage, batch, &delivered);
}

static void by_key_close(void *self) { free(self); }

#define TYPE(r, fl, take)                                  \
  {                                                        \
    .size = sizeof(struct weir_stage_type),                \
    .role = r,                                             \
    .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,     \
    .flags = fl,                                           \
    .name = "by_key",                                      \
    .doc = "Sees to it that no key meets two instances.",  \
    .stability = "alpha",                                  \
    .fields = fields,                                      \
    .field_size = sizeof(struct weir_field),               \
    .config_size = sizeof(struct config),                  \
    .open = by_key_open,                                   \
    .consume = take,                                       \
    .close = by_key_close,                                 \
    .prepare = by_key_prepare,                             \
    .release = free,                                       \
    .key = by_key_key                                      \
  }

static const struct weir_stage_type processor = TYPE(WEIR_PROCESSOR, WEIR_BY_KEY, processor_consume);
static const struct weir_stage_type exporter = TYPE(WEIR_EXPORTER, WEIR_BY_KEY | WEIR_QUEUED, exporter_consume);

WEIR_PLUGIN("by_key", "1.0", "Apache-2.0", &processor, &exporter);
