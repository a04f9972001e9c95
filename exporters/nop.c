/*
 * The nop exporter: takes everything and does nothing with it. For measuring what stands before it.
 *
 *   exporters:
 *     nop:
 */
#include <stdlib.h>

#include <weir/stage.h>

struct nop {
  const struct weir_host *host;
  struct weir_stage *stage;
};

static int nop_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  struct nop *n = calloc(1, sizeof *n);
  (void)config;
  if (!n) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  n->host = host;
  n->stage = stage;
  *ret_self = n;
  return 0;
}

static void nop_consume(void *self, struct weir_batch *batch) {
  struct nop *n = self;
  struct weir_verdict delivered = { .code = WEIR_DELIVERED };
  n->host->done(n->stage, batch, &delivered);
}

static void nop_close(void *self) { free(self); }

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .name = "nop",
  .doc = "Takes everything and does nothing with it. For measuring what stands before it.",
  .example_yaml = "{}\n",
  .stability = "alpha",
  .open = nop_open,
  .consume = nop_consume,
  .close = nop_close,
};

WEIR_PLUGIN("nop exporter", "0.1.0", "Apache-2.0", &type);
