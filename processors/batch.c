/*
 * The batch processor: gathers requests into larger ones, so that fewer and fuller messages go out.
 *
 *   processors:
 *     batch: {send_batch_size: 8192, timeout: 200ms}
 *
 * A shard gathers one batch. There is one, or with metadata_keys one for each combination of their values, for the life of the process: what it sends
 * carries exactly these values as its context. Without metadata_keys what is sent carries no context, as one batch is of many senders.
 *
 * One instance per lane and pipeline. Merging joins lists of received bytes: nothing is copied or decoded. With `ack: queued` (the default) a request is answered as
 * soon as its items are held here, so nobody waits for the timer; with `ack: delivered` it hears what became of the batch it went into.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/metrics.h>
#include <weir/stage.h>
#include <weir/timer.h>

#include "plugins/kit/metadata_keys.h"

struct batch_config {
  uint64_t send_batch_size, send_batch_max_size;
  int64_t timeout;
  struct weir_strings metadata_keys;
  uint64_t metadata_cardinality_limit;
};

static const struct weir_field fields[] = {
  { "send_batch_size", WEIR_T_UINT, 0, offsetof(struct batch_config, send_batch_size), "8192", NULL, NULL, NULL, "items",
    "Sends as soon as this many spans, data points or log records are there; 0 = every request at once. Per lane.", NULL, 0 },
  { "timeout", WEIR_T_DURATION, 0, offsetof(struct batch_config, timeout), "200ms", "0", NULL, NULL, NULL,
    "Sends what is there after this time, however little; 0 = every request at once.", NULL, 0 },
  { "send_batch_max_size", WEIR_T_UINT, 0, offsetof(struct batch_config, send_batch_max_size), "0", NULL, NULL, NULL, "items",
    "Cuts larger batches; 0 = no limit, else at least send_batch_size.", NULL, 0 },
  { "metadata_keys", WEIR_T_STRINGS, 0, offsetof(struct batch_config, metadata_keys), NULL, NULL, NULL, NULL, NULL,
    "Names of request metadata (in any case; the receiver needs `include_metadata: true`): requests with different values are gathered apart, and what is sent carries these "
    "values, for `from_context` of headers_setter.", NULL, 0 },
  { "metadata_cardinality_limit", WEIR_T_UINT, 0, offsetof(struct batch_config, metadata_cardinality_limit), "1000", NULL, NULL, NULL, "combinations",
    "How many combinations of values are kept apart, per lane, until the process ends; requests with further ones are refused for good. 0 = no limit.", NULL, 0 },
  WEIR_FIELD_END,
};

struct batcher;

struct shard {
  struct kit_node node; /* first: a node of the table is a shard */
  struct batcher *b;
  struct shard *next_of_all;
  const struct weir_context *context; /* the values of metadata_keys; NULL without */
  struct weir_timer *timer;
  struct weir_batch *held; /* NULL when empty */
};

struct batcher {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct batch_config *cfg;
  const struct weir_timer_service *timers;
  const struct weir_metrics_service *metrics;
  struct kit_metadata_keys keys;
  struct kit_table shards; /* by the values of the keys; without keys there is only `all` */
  struct shard *all;
  uint64_t n_shards;
  struct weir_cell *sizes, *bytes, *by_timeout, *by_size, *cardinality;
};

/* --- one shard ---------------------------------------------------------------------------------------------------------- */

static void send(struct shard *s, struct weir_batch *batch, struct weir_cell *trigger) {
  struct batcher *b = s->b;
  b->metrics->add(trigger, 1);
  b->metrics->observe(b->sizes, (double)b->host->batch_items(batch));
  b->metrics->observe(b->bytes, (double)b->host->batch_bytes(batch));
  b->host->batch_set_context(batch, s->context);
  b->host->emit(b->stage, 0, batch);
}

/* Sends what is held, cut to the largest size that is wanted. With leave_rest a rest below send_batch_size stays for later. */
static void flush(struct shard *s, struct weir_cell *trigger, int leave_rest) {
  struct batcher *b = s->b;
  uint64_t max = b->cfg->send_batch_max_size;
  while (s->held) {
    uint64_t items = b->host->batch_items(s->held);
    if (leave_rest && items < b->cfg->send_batch_size) return;
    struct weir_batch *head = max && items > max ? b->host->split(b->stage, s->held, max) : NULL;
    if (!head) {
      head = s->held;
      s->held = NULL;
    }
    send(s, head, trigger);
  }
  b->timers->cancel(s->timer);
}

static void on_timeout(void *arg) {
  struct shard *s = arg;
  flush(s, s->b->by_timeout, 0);
}

static void take(struct shard *s, struct weir_batch *batch) {
  struct batcher *b = s->b;
  if (!s->held) {
    s->held = b->host->batch_new(b->stage, b->host->batch_signal(batch));
    if (b->cfg->timeout > 0) b->timers->set(s->timer, b->cfg->timeout);
  }
  b->host->batch_set_context(batch, NULL); /* the shard's is given to what is sent */
  b->host->merge(b->stage, s->held, batch);
  if (b->cfg->timeout <= 0) flush(s, b->by_size, 0);
  else if (b->host->batch_items(s->held) >= b->cfg->send_batch_size) flush(s, b->by_size, 1);
}

/* Takes the context. NULL when memory is out. */
static struct shard *add_shard(struct batcher *b, const struct weir_context *context) {
  struct shard *s = calloc(1, sizeof *s);
  if (!s) {
    b->host->context_unref(context);
    return NULL;
  }
  s->b = b;
  s->context = context;
  s->timer = b->timers->timer_new(b->stage, on_timeout, s);
  s->next_of_all = b->all;
  b->all = s;
  b->n_shards++;
  return s;
}

static void free_shard(struct batcher *b, struct shard *s) {
  if (s->held) b->host->drop(b->stage, s->held, "closed");
  b->timers->timer_free(s->timer);
  b->host->context_unref(s->context);
  free(s);
}

/* --- which shard: the values of metadata_keys ------------------------------------------------------------------------------ */

/* A context of the keys alone. */
static int narrow(struct batcher *b, const struct weir_context *from, const struct weir_context **ret, struct weir_error *err) {
  struct weir_context what = { .size = sizeof what };
  struct weir_pair *pairs = calloc((from ? from->n_metadata : 0) + 1u, sizeof *pairs);
  if (!pairs) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  what.metadata = pairs;
  what.n_metadata = kit_metadata_pick(&b->keys, from, pairs);
  int code = b->host->context_new(b->stage, &what, ret, err);
  free(pairs);
  return code;
}

static struct shard *new_shard(struct batcher *b, const struct weir_context *c, uint64_t hash, struct weir_verdict *why) {
  struct weir_error err;
  const struct weir_context *own;
  uint64_t limit = b->cfg->metadata_cardinality_limit;
  if (limit && b->n_shards >= limit) {
    *why = (struct weir_verdict){ .code = WEIR_REJECTED, .msg = "too many batcher metadata-value combinations" };
    b->host->log(b->stage, WEIR_LOG_WARN, "a request was refused: more than %llu combinations of metadata_keys on this lane (metadata_cardinality_limit)", (unsigned long long)limit);
    return NULL;
  }
  struct shard *s = narrow(b, c, &own, &err) == 0 ? add_shard(b, own) : NULL;
  if (s && kit_table_add(&b->shards, &s->node, hash)) {
    b->all = s->next_of_all;
    b->n_shards--;
    free_shard(b, s);
    s = NULL;
  }
  if (!s) {
    *why = (struct weir_verdict){ .code = WEIR_RETRY, .msg = "the memory limit of this process is reached" };
    return NULL;
  }
  b->metrics->add(b->cardinality, 1);
  return s;
}

static struct shard *find_shard(struct batcher *b, struct weir_batch *batch, struct weir_verdict *why) {
  if (!b->keys.n) return b->all;
  const struct weir_context *c = b->host->batch_context(batch);
  uint64_t hash = kit_metadata_hash(&b->keys, c);
  for (struct kit_node *e = kit_table_first(&b->shards, hash); e; e = kit_table_next(e)) {
    struct shard *s = (struct shard *)(void *)e;
    if (kit_metadata_same(&b->keys, s->context, c)) return s;
  }
  return new_shard(b, c, hash, why);
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

static void batch_consume(void *self, struct weir_batch *batch) {
  struct batcher *b = self;
  struct weir_verdict why = { .code = WEIR_RETRY };
  struct shard *s = find_shard(b, batch, &why);
  if (s) take(s, batch);
  else b->host->settle(b->stage, batch, &why);
}

static void batch_drain(void *self) {
  struct batcher *b = self;
  for (struct shard *s = b->all; s; s = s->next_of_all) flush(s, b->by_timeout, 0);
  b->host->drained(b->stage);
}

static void batch_close(void *self) {
  struct batcher *b = self;
  if (!b) return;
  for (struct shard *s = b->all, *next; s; s = next) {
    next = s->next_of_all;
    free_shard(b, s);
  }
  kit_metadata_keys_done(&b->keys);
  kit_table_done(&b->shards);
  free(b);
}

static void make_cells(struct batcher *b) {
  static const double sizes[] = { 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 20000, 30000, 50000, 100000 };
  static const double bytes[] = { 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 20000, 30000, 50000, 100000,
    200000, 300000, 400000, 500000, 600000, 700000, 800000, 900000, 1000000, 2000000, 3000000, 4000000, 5000000, 6000000, 7000000, 8000000, 9000000 };
  const struct weir_metrics_service *m = b->metrics;
  char labels[256];
  snprintf(labels, sizeof labels, "processor=\"%s\"", b->host->stage_id(b->stage));
  b->sizes = m->histogram(b->stage, "otelcol_processor_batch_batch_send_size", labels, "Items in a batch that was sent.", sizes, sizeof sizes / sizeof *sizes);
  b->bytes = m->histogram(b->stage, "otelcol_processor_batch_batch_send_size_bytes", labels, "Bytes in a batch that was sent.", bytes, sizeof bytes / sizeof *bytes);
  b->by_timeout = m->counter(b->stage, "otelcol_processor_batch_timeout_trigger_send_total", labels, "Batches sent because the time was over.");
  b->by_size = m->counter(b->stage, "otelcol_processor_batch_batch_size_trigger_send_total", labels, "Batches sent because they were full.");
  b->cardinality = m->gauge(b->stage, "otelcol_processor_batch_metadata_cardinality", labels, "Combinations of metadata_keys that are kept apart, added up over the lanes; 1 without.");
  if (!b->cfg->metadata_keys.n && b->host->stage_lane(b->stage) == 0) m->add(b->cardinality, 1);
}

static int check(const struct batch_config *cfg, struct weir_error *err) {
  int code = kit_metadata_keys_check(&cfg->metadata_keys, "metadata_keys", err);
  if (code) return code;
  if (cfg->send_batch_max_size && cfg->send_batch_max_size < cfg->send_batch_size) {
    weir_fail_field(err, "send_batch_max_size", "send_batch_max_size must be greater or equal to send_batch_size (%llu)", (unsigned long long)cfg->send_batch_size);
    weir_hint(err, "raise send_batch_max_size, lower send_batch_size, or write 0 for no limit");
    return WEIR_E_CONFIG;
  }
  return 0;
}

/* Without metadata_keys: the one shard. */
static int make_shards(struct batcher *b) {
  if (!b->cfg->metadata_keys.n) return add_shard(b, NULL) ? 0 : WEIR_E_NOMEM;
  return kit_metadata_keys_init(&b->keys, &b->cfg->metadata_keys);
}

static int batch_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  int code = check(config, err);
  if (code) return code;
  struct batcher *b = calloc(1, sizeof *b);
  if (!b) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  b->host = host;
  b->stage = stage;
  b->cfg = config;
  b->timers = host->service(stage, WEIR_TIMER_SERVICE);
  b->metrics = host->service(stage, WEIR_METRICS_SERVICE);
  if (!b->timers || !b->metrics) {
    batch_close(b);
    return weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that the batch processor needs");
  }
  if (make_shards(b)) {
    batch_close(b);
    return weir_fail(err, WEIR_E_NOMEM, "no memory");
  }
  make_cells(b);
  *ret_self = b;
  return 0;
}

static int batch_need(void *self) {
  (void)self;
  return WEIR_NEED_COUNTS;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_PROCESSOR,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .flags = WEIR_HOLDS,
  .name = "batch",
  .doc = "Gathers requests into larger ones before they are exported. Sizes count per lane: with n lanes up to n batches are being gathered. Requests are answered when "
         "their items are held, not when the batch is sent.",
  .example_yaml = "send_batch_size: 8192\ntimeout: 200ms\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct batch_config),
  .open = batch_open,
  .consume = batch_consume,
  .drain = batch_drain,
  .close = batch_close,
  .need = batch_need,
};

WEIR_PLUGIN("batch processor", "0.1.0", "Apache-2.0", &type);
