/*
 * bench/stages/bench_edit.c - two processors for bench/run.sh: what it costs when a stage reads or edits every record.
 *
 * bench_read walks every attribute of every record; bench_insert inserts one attribute in every record. The file is built outside
 * the search path and loaded by `service.plugins`:
 *
 *   processors:
 *     bench_insert:
 */
#include <stdlib.h>

#include <weir/stage.h>

struct bench_edit {
  const struct weir_host *host;
  struct weir_stage *stage;
  volatile uint64_t seen; /* keeps the walk from being optimised away */
};

typedef void record_f(struct bench_edit *, struct weir_batch *, struct weir_rec *);

static int bench_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  (void)config;
  struct bench_edit *self = malloc(sizeof *self);
  if (!self) return weir_fail(err, WEIR_E_NOMEM, "out of memory");
  *self = (struct bench_edit){ host, stage, 0 };
  *ret_self = self;
  return 0;
}

static void bench_close(void *self) { free(self); }

static void each_in_scope(struct bench_edit *self, struct weir_batch *b, const struct weir_scope *scope, uint32_t signal, record_f *fn) {
  for (uint32_t i = 0; i < scope->n_records; i++) {
    if (signal != WEIR_METRICS) {
      fn(self, b, scope->u.recs[i]);
      continue;
    }
    const struct weir_metric *m = scope->u.metrics[i];
    for (uint32_t k = 0; k < m->n_points; k++) fn(self, b, &m->points.any[k]->rec);
  }
}

static void each_record(struct bench_edit *self, struct weir_batch *b, const struct weir_data *data, record_f *fn) {
  for (uint32_t r = 0; r < data->n_resources; r++)
    for (uint32_t s = 0; s < data->resources[r]->n_scopes; s++) each_in_scope(self, b, data->resources[r]->scopes[s], data->signal, fn);
}

static void retry(struct bench_edit *self, struct weir_batch *b, const struct weir_error *err) {
  struct weir_verdict verdict = { .code = WEIR_RETRY, .msg = err->msg };
  self->host->settle(self->stage, b, &verdict);
}

static void read_record(struct bench_edit *self, struct weir_batch *b, struct weir_rec *rec) {
  (void)b;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < rec->n_attrs; i++) sum += rec->attrs[i].key.n + rec->attrs[i].value.n;
  self->seen += sum;
}

static void bench_read_consume(void *arg, struct weir_batch *b) {
  struct bench_edit *self = arg;
  struct weir_error err = { 0 };
  const struct weir_data *data = self->host->batch_read(b, &err);
  if (!data) {
    retry(self, b, &err);
    return;
  }
  each_record(self, b, data, read_record);
  self->host->emit(self->stage, 0, b);
}

static int bench_read_need(void *self) {
  (void)self;
  return WEIR_NEED_RECORDS;
}

static void insert_attribute(struct bench_edit *self, struct weir_batch *b, struct weir_rec *rec) {
  static const struct weir_str key = { "bench.edited", 12, 0 };
  self->host->attr_set(b, rec, key, weir_value_str("yes", 3));
}

static void bench_insert_consume(void *arg, struct weir_batch *b) {
  struct bench_edit *self = arg;
  struct weir_error err = { 0 };
  const struct weir_data *data = self->host->batch_write(b, &err);
  if (!data) {
    retry(self, b, &err);
    return;
  }
  each_record(self, b, data, insert_attribute);
  self->host->emit(self->stage, 0, b);
}

static const struct weir_stage_type bench_read_type = {
  .size = sizeof bench_read_type,
  .role = WEIR_PROCESSOR,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .name = "bench_read",
  .doc = "Walks the attributes of every span, data point and log record.",
  .example_yaml = "{}",
  .stability = "alpha",
  .open = bench_open,
  .consume = bench_read_consume,
  .close = bench_close,
  .need = bench_read_need,
};

static const struct weir_stage_type bench_insert_type = {
  .size = sizeof bench_insert_type,
  .role = WEIR_PROCESSOR,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .flags = WEIR_MUTATES,
  .name = "bench_insert",
  .doc = "Inserts the attribute bench.edited in every span, data point and log record.",
  .example_yaml = "{}",
  .stability = "alpha",
  .open = bench_open,
  .consume = bench_insert_consume,
  .close = bench_close,
};

WEIR_PLUGIN("bench_edit", "1", "Apache-2.0", &bench_read_type, &bench_insert_type);
