/*
 * The jaeger exporter: sends traces to a Jaeger collector, which takes OTLP/gRPC on port 4317.
 *
 *   exporters:
 *     jaeger: {endpoint: jaeger:4317, tls: {insecure: true}}
 *
 * The work is in plugins/kit/otlp_export.c.
 */
#include "plugins/kit/otlp_export.h"

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_TRACES,
  .flags = WEIR_QUEUED,
  .name = "jaeger",
  .doc = "Sends traces to a Jaeger collector (1.35 or newer, v2) over OTLP/gRPC. The keys are those of the otlp exporter.",
  .example_yaml = "endpoint: localhost:4317\ntls:\n  insecure: true\n",
  .stability = "alpha",
  .fields = otlp_export_fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct otlp_export_config),
  .open = otlp_export_open,
  .consume = otlp_export_consume,
  .close = otlp_export_close,
};

WEIR_PLUGIN("jaeger exporter", "0.1.0", "Apache-2.0", &type);
