/*
 * The batch processor: gathers requests into larger ones, so that fewer and fuller messages go out.
 *
 *   processors:
 *     batch: {send_batch_size: 8192, timeout: 200ms}
 *
 * One instance per lane and pipeline. Merging joins lists of received bytes: nothing is copied or decoded. With `ack: queued` (the default) a request is answered as
 * soon as its items are held here, so nobody waits for the timer; with `ack: delivered` it hears what became of the batch it went into.
 */
#include <stdio.h>
#include <stdlib.h>

#include <weir/metrics.h>
#include <weir/stage.h>
#include <weir/timer.h>

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
    "Keeps requests with different metadata apart. Not in this version yet: setting it is an error.", NULL, 0 },
  { "metadata_cardinality_limit", WEIR_T_UINT, 0, offsetof(struct batch_config, metadata_cardinality_limit), "1000", NULL, NULL, NULL, "combinations",
    "How many combinations of metadata_keys are kept apart. Without effect until metadata_keys is offered.", NULL, 0 },
  WEIR_FIELD_END,
};

struct batcher {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct batch_config *cfg;
  const struct weir_timer_service *timers;
  const struct weir_metrics_service *metrics;
  struct weir_timer *timer;
  struct weir_batch *held; /* NULL when empty */
  struct weir_cell *sizes, *bytes, *by_timeout, *by_size;
};

static void send(struct batcher *b, struct weir_batch *batch, struct weir_cell *trigger) {
  b->metrics->add(trigger, 1);
  b->metrics->observe(b->sizes, (double)b->host->batch_items(batch));
  b->metrics->observe(b->bytes, (double)b->host->batch_bytes(batch));
  b->host->emit(b->stage, 0, batch);
}

/* Sends what is held, cut to the largest size that is wanted. With leave_rest a rest below send_batch_size stays for later. */
static void flush(struct batcher *b, struct weir_cell *trigger, int leave_rest) {
  uint64_t max = b->cfg->send_batch_max_size;
  while (b->held) {
    uint64_t items = b->host->batch_items(b->held);
    if (leave_rest && items < b->cfg->send_batch_size) return;
    struct weir_batch *head = max && items > max ? b->host->split(b->stage, b->held, max) : NULL;
    if (!head) {
      head = b->held;
      b->held = NULL;
    }
    send(b, head, trigger);
  }
  b->timers->cancel(b->timer);
}

static void on_timeout(void *arg) {
  struct batcher *b = arg;
  flush(b, b->by_timeout, 0);
}

static void batch_consume(void *self, struct weir_batch *batch) {
  struct batcher *b = self;
  if (!b->held) {
    b->held = b->host->batch_new(b->stage, b->host->batch_signal(batch));
    if (b->cfg->timeout > 0) b->timers->set(b->timer, b->cfg->timeout);
  }
  b->host->merge(b->stage, b->held, batch);
  if (b->cfg->timeout <= 0) flush(b, b->by_size, 0);
  else if (b->host->batch_items(b->held) >= b->cfg->send_batch_size) flush(b, b->by_size, 1);
}

static void batch_drain(void *self) {
  struct batcher *b = self;
  flush(b, b->by_timeout, 0);
  b->host->drained(b->stage);
}

static void batch_close(void *self) {
  struct batcher *b = self;
  if (!b) return;
  if (b->held) b->host->drop(b->stage, b->held, "closed");
  if (b->timers) b->timers->timer_free(b->timer);
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
}

static int check(const struct batch_config *cfg, struct weir_error *err) {
  if (cfg->metadata_keys.n) {
    weir_fail_field(err, "metadata_keys", "metadata_keys is not in this version yet");
    weir_hint(err, "remove metadata_keys");
    return WEIR_E_CONFIG;
  }
  if (cfg->send_batch_max_size && cfg->send_batch_max_size < cfg->send_batch_size) {
    weir_fail_field(err, "send_batch_max_size", "send_batch_max_size must be greater or equal to send_batch_size (%llu)", (unsigned long long)cfg->send_batch_size);
    weir_hint(err, "raise send_batch_max_size, lower send_batch_size, or write 0 for no limit");
    return WEIR_E_CONFIG;
  }
  return 0;
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
  b->timer = b->timers->timer_new(stage, on_timeout, b);
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
