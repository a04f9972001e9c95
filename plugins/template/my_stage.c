/*
 * my_stage: a processor to copy. It inserts one attribute into every span, data point and log record.
 *
 *   processors:
 *     my_stage: {key: deployment.environment.name, value: staging}
 *
 * The parts of a stage, in the order in which all stages have them: config struct, field table, state, open, consume, close, type, plugin.
 * Everything that it may call is in <weir/...>; it links to nothing but the C library.
 */
#include <stdlib.h>
#include <string.h>

#include <weir/stage.h>

/* --- configuration: the host reads the YAML, checks it against the table and fills the struct ------------------- */

struct my_config {
  const char *key, *value;
  int32_t overwrite;
};

static const struct weir_field fields[] = {
  { .name = "key",
    .type = WEIR_T_STRING,
    .flags = WEIR_NONEMPTY,
    .offset = offsetof(struct my_config, key),
    .dflt = "weir.stage",
    .doc = "Key of the attribute." },
  { .name = "value", .type = WEIR_T_STRING, .offset = offsetof(struct my_config, value), .dflt = "my_stage", .doc = "Its value." },
  { .name = "overwrite",
    .type = WEIR_T_BOOL,
    .offset = offsetof(struct my_config, overwrite),
    .dflt = "false",
    .doc = "Whether a value that is there already is replaced." },
  WEIR_FIELD_END,
};

/* --- state: one per lane and pipeline; its calls never overlap, so it needs no lock ------------------------------ */

struct my_stage {
  const struct weir_host *host;
  struct weir_stage *stage;
  struct weir_str key; /* points into the config, which lives until close */
  struct weir_value value;
  int32_t overwrite;
};

static int my_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct my_config *cfg = config;
  /* What the table cannot say is checked here. The error names the key, so that the host can point at its line. */
  if (cfg->key[strspn(cfg->key, " ")] == 0) return weir_fail_field(err, "key", "a key of spaces only helps nobody");
  struct my_stage *self = calloc(1, sizeof *self);
  if (!self) return weir_fail(err, WEIR_E_NOMEM, "out of memory");
  self->host = host;
  self->stage = stage;
  self->key = weir_str_of(cfg->key);
  self->value = weir_value_str(cfg->value, (uint32_t)strlen(cfg->value));
  self->overwrite = cfg->overwrite;
  *ret_self = self;
  return 0;
}

static void my_close(void *self) { free(self); }

/* --- the work --------------------------------------------------------------------------------------------------- */

static void insert(struct my_stage *self, struct weir_batch *batch, struct weir_rec *rec) {
  if (self->overwrite || !weir_attr_find(rec, self->key)) self->host->attr_set(batch, rec, self->key, self->value);
}

/* Spans and log records stand in a scope; metrics do too, and their records are the data points. */
static void insert_in_scope(struct my_stage *self, struct weir_batch *batch, uint32_t signal, const struct weir_scope *scope) {
  for (uint32_t i = 0; i < scope->n_records; i++) {
    if (signal != WEIR_METRICS) {
      insert(self, batch, scope->u.recs[i]);
      continue;
    }
    const struct weir_metric *metric = scope->u.metrics[i];
    for (uint32_t p = 0; p < metric->n_points; p++) insert(self, batch, &metric->points.any[p]->rec);
  }
}

/* Takes the batch: it must end in exactly one of emit, settle and drop, here or later. */
static void my_consume(void *arg, struct weir_batch *batch) {
  struct my_stage *self = arg;
  struct weir_error err = { 0 };
  const struct weir_data *data = self->host->batch_write(batch, &err);
  if (!data) { /* no memory for it now: whoever sent it may try again */
    struct weir_verdict retry = { .code = WEIR_RETRY, .msg = err.msg };
    self->host->settle(self->stage, batch, &retry);
    return;
  }
  for (uint32_t r = 0; r < data->n_resources; r++)
    for (uint32_t s = 0; s < data->resources[r]->n_scopes; s++) insert_in_scope(self, batch, data->signal, data->resources[r]->scopes[s]);
  self->host->emit(self->stage, 0, batch);
}

/* --- what the host is told --------------------------------------------------------------------------------------- */

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_PROCESSOR,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .flags = WEIR_MUTATES,
  .name = "my_stage",
  .doc = "Inserts one attribute into every span, data point and log record.",
  .example_yaml = "key: deployment.environment.name\nvalue: staging\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct my_config),
  .open = my_open,
  .consume = my_consume,
  .close = my_close,
};

WEIR_PLUGIN("my_stage", "0.1.0", "Apache-2.0", &type);
