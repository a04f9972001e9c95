/*
 * The nop receiver: brings nothing. For pipelines that have to name a receiver.
 *
 *   receivers:
 *     nop:
 */
#include <weir/stage.h>

static int nop_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  (void)host;
  (void)stage;
  (void)config;
  (void)err;
  *ret_self = NULL;
  return 0;
}

static void nop_close(void *self) { (void)self; }

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_RECEIVER,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .name = "nop",
  .doc = "Brings nothing. For pipelines that have to name a receiver.",
  .example_yaml = "{}\n",
  .stability = "alpha",
  .open = nop_open,
  .close = nop_close,
};

WEIR_PLUGIN("nop receiver", "0.1.0", "Apache-2.0", &type);
