/*
 * The otlp_http exporter (also otlphttp): sends traces, metrics and logs over OTLP/HTTP, as protobuf or JSON.
 *
 *   exporters:
 *     otlp_http: {endpoint: http://backend:4318}
 *
 * What it says on the wire is plugins/kit/otlp_http.h's, which back ends that take OTLP share. The host's sender in front queues, times out and retries.
 */
#include <stdlib.h>

#include "plugins/kit/otlp_http.h"

struct otlp_http_config {
  const char *endpoint, *traces_endpoint, *metrics_endpoint, *logs_endpoint;
  int32_t encoding;
  struct http_export_config http;
};

#define AT(member) offsetof(struct otlp_http_config, member)

static const struct weir_field fields[] = {
  { "endpoint", WEIR_T_STRING, 0, AT(endpoint), NULL, NULL, NULL, NULL, NULL,
    "The back end's base URL, http:// or https://; /v1/traces, /v1/metrics or /v1/logs is added. Or unix:///path. Required unless the signal's own URL is set.", NULL, 0 },
  { "traces_endpoint", WEIR_T_STRING, 0, AT(traces_endpoint), NULL, NULL, NULL, NULL, NULL, "The whole URL for traces.", NULL, 0 },
  { "metrics_endpoint", WEIR_T_STRING, 0, AT(metrics_endpoint), NULL, NULL, NULL, NULL, NULL, "The whole URL for metrics.", NULL, 0 },
  { "logs_endpoint", WEIR_T_STRING, 0, AT(logs_endpoint), NULL, NULL, NULL, NULL, NULL, "The whole URL for logs.", NULL, 0 },
  HTTP_EXPORT_TIMEOUT(AT(http), "30s"),
  HTTP_EXPORT_COMPRESSION(AT(http), "gzip", HTTP_EXPORT_COMPRESSION_DOC),
  { "encoding", WEIR_T_ENUM, 0, AT(encoding), "proto", NULL, NULL, "proto|json", NULL,
    "proto, or json (OTLP/JSON: larger and dearer; unknown fields are left out, invalid UTF-8 becomes U+FFFD). Answers are read as what they say they are.", NULL, 0 },
  HTTP_EXPORT_CLIENT(AT(http)),
  WEIR_FIELD_END,
};

static const char *own_url(const struct otlp_http_config *cfg, uint32_t signal, const char **ret_field) {
  if (signal == WEIR_TRACES) return *ret_field = "traces_endpoint", cfg->traces_endpoint;
  if (signal == WEIR_METRICS) return *ret_field = "metrics_endpoint", cfg->metrics_endpoint;
  return *ret_field = "logs_endpoint", cfg->logs_endpoint;
}

static void http_consume(void *self, struct weir_batch *batch) { otlp_http_send(self, batch, NULL, 0); }

static void http_close(void *self) {
  if (self) otlp_http_close(self);
  free(self);
}

static int http_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct otlp_http_config *cfg = config;
  uint32_t signal = host->stage_signal(stage);
  struct http_export_setup setup = { .host = host, .stage = stage, .config = &cfg->http };
  setup.url = own_url(cfg, signal, &setup.field);
  if (!setup.url && !cfg->endpoint) {
    weir_fail_field(err, "endpoint", "at least one endpoint must be specified");
    weir_hint(err, "add `endpoint: http://host:4318`");
    return WEIR_E_CONFIG;
  }
  if (!setup.url) {
    setup.url = cfg->endpoint;
    setup.field = "endpoint";
    setup.suffix = otlp_http_path(signal);
  }
  struct otlp_http *o = calloc(1, sizeof *o);
  if (!o) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  o->json = cfg->encoding;
  int r = otlp_http_open(o, &setup, err);
  if (r) {
    http_close(o);
    return r;
  }
  *ret_self = o;
  return 0;
}

static int http_need(void *self) {
  const struct otlp_http *o = self;
  return o->json ? WEIR_NEED_RECORDS : WEIR_NEED_COUNTS;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .flags = WEIR_QUEUED,
  .name = "otlp_http",
  .aliases = "otlphttp",
  .doc = "Sends traces, metrics and logs over OTLP/HTTP, as protobuf or JSON.",
  .example_yaml = "endpoint: http://localhost:4318\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct otlp_http_config),
  .open = http_open,
  .consume = http_consume,
  .close = http_close,
  .need = http_need,
};

WEIR_PLUGIN("otlp_http exporter", "0.1.0", "Apache-2.0", &type);
