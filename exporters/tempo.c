/*
 * The tempo exporter: sends traces to Grafana Tempo over OTLP, by gRPC or HTTP, each request for one tenant.
 *
 *   exporters:
 *     tempo: {endpoint: tempo:4317, tls: {insecure: true}, tenant_from_attribute: tenant.id}
 *
 * The work is in plugins/kit: otlp_export.c, otlp_http.c, tenant.c.
 */
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/otlp_export.h"
#include "plugins/kit/otlp_http.h"
#include "plugins/kit/tenant.h"

struct tempo_config {
  int32_t protocol;               /* 0 grpc, 1 http */
  struct otlp_export_config grpc; /* what both protocols have stands here */
  struct http_export_config http;
  struct tenant_config tenant;
};

#define AT(member) offsetof(struct tempo_config, member)

static const struct weir_field fields[] = {
  { "endpoint", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, AT(grpc.endpoint), NULL, NULL, NULL, NULL, NULL,
    "Where Tempo takes OTLP. grpc: host:4317 or https://host:4317, with TLS unless `tls` says `insecure: true`; http://host:4317 is plaintext. http: http://host:4318 or https://host:4318, "
    "/v1/traces is added. Or unix:///path.", NULL, 0 },
  { "protocol", WEIR_T_ENUM, 0, AT(protocol), "grpc", NULL, NULL, "grpc|http", NULL, "OTLP over gRPC, or over HTTP as protobuf.", NULL, 0 },
  { "compression", WEIR_T_ENUM, 0, AT(grpc.compression), "gzip", NULL, NULL, "gzip|none|zstd", NULL, "How requests are compressed, at level 1.", NULL, 0 },
  TENANT_FIELDS(AT(tenant)),
  { "max_message_bytes", WEIR_T_BYTES, 0, AT(grpc.max_message_bytes), "4MiB", "1KiB", NULL, NULL, NULL,
    "A batch that encodes to more is cut before it is sent, as Tempo's gRPC server refuses over 4 MiB by default.", NULL, 0 },
  { "headers", WEIR_T_MAP, WEIR_SECRET, AT(grpc.headers), NULL, NULL, NULL, NULL, NULL, "Headers or metadata sent with each request.", NULL, 0 },
  { "tls", WEIR_T_OPT_GROUP, 0, AT(grpc.tls), NULL, NULL, NULL, NULL, NULL,
    "How the connection is secured. grpc: absent = TLS with the system's CAs, `insecure: true` says that plaintext is meant. http: the endpoint's scheme decides.", tls_client_fields,
    sizeof(struct tls_settings) },
  { "user_agent", WEIR_T_STRING, 0, AT(grpc.user_agent), "weir", NULL, NULL, NULL, NULL, "The user-agent to send.", NULL, 0 },
  { "auth", WEIR_T_OPT_GROUP, 0, AT(grpc.auth), NULL, NULL, NULL, NULL, NULL, "Adds credentials or other headers to each request; absent = none.", kit_auth_client_fields,
    sizeof(struct kit_auth_config) },
  { "balancer_name", WEIR_T_ENUM, 0, AT(grpc.balancer_name), "round_robin", NULL, NULL, "round_robin|pick_first", NULL,
    "grpc: a connection to each address of the endpoint's name, in turn, or one to the first that answers.", NULL, 0 },
  { "max_conns_per_host", WEIR_T_UINT, 0, AT(http.max_conns_per_host), "16", "1", "1000", NULL, "connections", "http: the most connections per lane.", NULL, 0 },
  { "idle_conn_timeout", WEIR_T_DURATION, 0, AT(http.idle_conn_timeout), "90s", "1s", NULL, NULL, NULL, "http: closes a connection that was idle this long.", NULL, 0 },
  WEIR_FIELD_END,
};

struct tempo {
  const struct weir_host *host;
  struct weir_stage *stage;
  struct tenant tenant;
  void *grpc; /* NULL: over HTTP */
  struct http_export_config http_config;
  struct otlp_http http;
};

static void tempo_consume(void *self, struct weir_batch *batch) {
  struct tempo *t = self;
  struct weir_http_header header;
  struct weir_verdict v;
  struct weir_error err;
  int n = tenant_of(&t->tenant, t->host, batch, &header, &v, &err);
  if (n < 0) t->host->done(t->stage, batch, &v);
  else if (t->grpc) otlp_export_send(t->grpc, batch, &header, (size_t)n);
  else otlp_http_send(&t->http, batch, &header, (size_t)n);
}

static void tempo_close(void *self) {
  struct tempo *t = self;
  if (!t) return;
  otlp_export_close(t->grpc);
  otlp_http_close(&t->http);
  free(t);
}

static int open_http(struct tempo *t, const struct tempo_config *cfg, struct weir_error *err) {
  const struct otlp_export_config *both = &cfg->grpc;
  t->http_config = cfg->http;
  t->http_config.compression = both->compression;
  t->http_config.headers = both->headers;
  t->http_config.tls = both->tls;
  t->http_config.user_agent = both->user_agent;
  t->http_config.auth = both->auth;
  t->http.max_message_bytes = both->max_message_bytes;
  struct http_export_setup setup = { .host = t->host, .stage = t->stage, .config = &t->http_config, .url = both->endpoint, .field = "endpoint", .suffix = otlp_http_path(WEIR_TRACES) };
  return otlp_http_open(&t->http, &setup, err);
}

static int tempo_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct tempo_config *cfg = config;
  struct tempo *t = calloc(1, sizeof *t);
  if (!t) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  t->host = host;
  t->stage = stage;
  int r = tenant_open(&t->tenant, &cfg->tenant, err);
  if (!r) r = cfg->protocol ? open_http(t, cfg, err) : otlp_export_open(host, stage, &cfg->grpc, &t->grpc, err);
  if (r) {
    tempo_close(t);
    return r;
  }
  *ret_self = t;
  return 0;
}

static int tempo_need(void *self) {
  const struct tempo *t = self;
  return tenant_reads_records(&t->tenant) ? WEIR_NEED_RECORDS : WEIR_NEED_COUNTS;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_TRACES,
  .flags = WEIR_QUEUED,
  .name = "tempo",
  .doc = "Sends traces to Grafana Tempo over OTLP, by gRPC or HTTP, each request for one tenant.",
  .example_yaml = "endpoint: localhost:4317\ntls:\n  insecure: true\ntenant: team-a\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct tempo_config),
  .open = tempo_open,
  .consume = tempo_consume,
  .close = tempo_close,
  .need = tempo_need,
};

WEIR_PLUGIN("tempo exporter", "0.1.0", "Apache-2.0", &type);
