/*
 * The otlp exporter (also otlp_grpc): sends traces, metrics and logs over OTLP/gRPC.
 *
 *   exporters:
 *     otlp: {endpoint: backend:4317, tls: {insecure: true}}
 *
 * One attempt at a time is encoded and sent here; the host's sender in front queues, times out and retries. The work is in plugins/kit/otlp_export.c.
 */
#include "plugins/kit/otlp_export.h"

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .flags = WEIR_QUEUED,
  .name = "otlp",
  .aliases = "otlp_grpc|otlpgrpc",
  .doc = "Sends traces, metrics and logs over OTLP/gRPC. Data that is not edited on its way is sent from the received bytes.",
  .example_yaml = "endpoint: localhost:4317\ntls:\n  insecure: true\n",
  .stability = "alpha",
  .fields = otlp_export_fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct otlp_export_config),
  .open = otlp_export_open,
  .consume = otlp_export_consume,
  .close = otlp_export_close,
};

WEIR_PLUGIN("otlp exporter", "0.1.0", "Apache-2.0", &type);
