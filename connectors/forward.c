/*
 * The forward connector: joins pipelines of one signal. As exporter of one and receiver of another it passes batches on as they are.
 *
 *   connectors:
 *     forward:
 */
#include <stdlib.h>

#include <weir/stage.h>

struct forward {
  const struct weir_host *host;
  struct weir_stage *stage;
};

static int forward_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  struct forward *f = calloc(1, sizeof *f);
  (void)config;
  if (!f) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  f->host = host;
  f->stage = stage;
  *ret_self = f;
  return 0;
}

static void forward_consume(void *self, struct weir_batch *batch) {
  struct forward *f = self;
  f->host->emit(f->stage, 0, batch);
}

static void forward_close(void *self) { free(self); }

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_CONNECTOR,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .name = "forward",
  .doc = "Joins pipelines of one signal: what one pipeline exports to it, the others receive from it.",
  .example_yaml = "{}\n",
  .stability = "alpha",
  .open = forward_open,
  .consume = forward_consume,
  .close = forward_close,
};

WEIR_PLUGIN("forward connector", "0.1.0", "Apache-2.0", &type);
