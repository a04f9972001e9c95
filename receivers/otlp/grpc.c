/* OTLP/gRPC: one method per signal that a pipeline uses; others are UNIMPLEMENTED. */
#include "otlp.h"

static void on_export(struct otlp *r, uint32_t signal, struct weir_grpc_exchange *ex, const struct weir_grpc_request *req) {
  struct pending *p = pending_new(r);
  p->grpc = ex;
  p->transport = TRANSPORT_GRPC;
  p->deadline_ns = req->deadline_ns;
  const char *msg = req->msg;
  size_t n = req->msg_n;
  struct weir_body *body = r->grpc->body_take(ex);
  if (otlp_admit(r, p, body, req->metadata, req->n_metadata, weir_str_of(""), req->authority, req->peer)) return;
  otlp_take(r, p, signal, body, msg, n);
}

/* Before the message is held. It is asked again with the message, as an engine need not come here. */
static int on_metadata(void *self, const struct weir_grpc_request *req, struct weir_grpc_status *status) {
  struct otlp *r = self;
  struct weir_auth_result result;
  uint32_t code = kit_gate_check(&r->gate[TRANSPORT_GRPC], req->metadata, req->n_metadata, weir_str_of(""), req->peer, &result);
  if (code == WEIR_AUTH_OK) return 0;
  status->code = code == WEIR_AUTH_BUSY ? WEIR_GRPC_UNAVAILABLE : WEIR_GRPC_UNAUTHENTICATED;
  status->msg = result.msg;
  status->retry_after_ns = code == WEIR_AUTH_BUSY ? 1000000000 : -1;
  return -1;
}

static void on_traces(void *self, struct weir_grpc_exchange *ex, const struct weir_grpc_request *req) { on_export(self, WEIR_TRACES, ex, req); }
static void on_metrics(void *self, struct weir_grpc_exchange *ex, const struct weir_grpc_request *req) { on_export(self, WEIR_METRICS, ex, req); }
static void on_logs(void *self, struct weir_grpc_exchange *ex, const struct weir_grpc_request *req) { on_export(self, WEIR_LOGS, ex, req); }

#define NS_PER_S INT64_C(1000000000)

/* grpc-go's defaults (keepalive.ServerParameters, EnforcementPolicy), which also hold where the key is not written. */
static struct weir_http_keepalive keepalive_of(const struct keepalive_config *k) {
  struct weir_http_keepalive ka = { .size = sizeof ka, .ping_after_ns = 7200 * NS_PER_S, .ping_timeout_ns = 20 * NS_PER_S, .ping_min_ns = 300 * NS_PER_S };
  if (!k) return ka;
  ka.max_age_ns = k->server_parameters.max_connection_age;
  ka.max_age_grace_ns = k->server_parameters.max_connection_age_grace;
  if (k->server_parameters.time) ka.ping_after_ns = k->server_parameters.time < NS_PER_S ? NS_PER_S : k->server_parameters.time;
  if (k->server_parameters.timeout) ka.ping_timeout_ns = k->server_parameters.timeout;
  if (k->enforcement_policy.min_time) ka.ping_min_ns = k->enforcement_policy.min_time;
  if (k->enforcement_policy.permit_without_stream) ka.flags |= WEIR_HTTP_PING_IDLE;
  return ka;
}

int otlp_grpc_check(const struct otlp *r, struct weir_error *err) {
  const struct grpc_config *g = r->cfg->protocols.grpc;
  char address[ADDRESS_CAP];
  struct weir_tls_config tls;
  struct weir_grpc_server_config cfg = { .size = sizeof cfg, .owner = r->host->stage_id(r->stage), .engine = g->engine ? "core" : "native",
    .endpoint = otlp_address(g->transport, g->endpoint, address, sizeof address) };
  int code = g->tls ? tls_settings_fill(g->tls, cfg.owner, &tls, err) : 0;
  if (g->tls) cfg.tls = &tls;
  return code ? code : r->grpc->listen_check(r->stage, &cfg, err);
}

int otlp_grpc_start(struct otlp *r, struct weir_error *err) {
  static const struct {
    uint32_t signal;
    struct weir_grpc_method method;
  } all[] = { { WEIR_TRACES, { "/opentelemetry.proto.collector.trace.v1.TraceService/Export", on_traces } },
    { WEIR_METRICS, { "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", on_metrics } },
    { WEIR_LOGS, { "/opentelemetry.proto.collector.logs.v1.LogsService/Export", on_logs } } };
  const struct grpc_config *g = r->cfg->protocols.grpc;
  struct weir_grpc_method methods[3];
  struct weir_http_keepalive keepalive = keepalive_of(g->keepalive);
  char address[ADDRESS_CAP];
  size_t n = 0;
  for (size_t i = 0; i < 3; i++)
    if (r->host->stage_signal(r->stage) & all[i].signal) methods[n++] = all[i].method;
  struct weir_grpc_server_config cfg = {
    .size = sizeof cfg,
    .max_concurrent_streams = (uint32_t)g->max_concurrent_streams,
    .owner = r->host->stage_id(r->stage),
    .endpoint = otlp_address(g->transport, g->endpoint, address, sizeof address),
    .max_message_bytes = (g->max_recv_msg_size_mib ? g->max_recv_msg_size_mib : 4) << 20,
    .methods = methods,
    .n_methods = n,
    .self = r,
    .on_metadata = g->auth ? on_metadata : NULL,
    .engine = g->engine ? "core" : "native",
    .keepalive = &keepalive,
    .idle_timeout_ns = g->keepalive ? g->keepalive->server_parameters.max_connection_idle : 0,
    .max_header_bytes = g->limits.max_header_bytes,
    .max_headers = (uint32_t)g->limits.max_headers,
    .max_connections = (uint32_t)g->limits.max_connections,
    .read_header_timeout_ns = g->limits.read_header_timeout,
    .body_timeout_ns = g->limits.body_timeout,
    .write_timeout_ns = g->write_timeout,
  };
  struct weir_tls_config tls;
  int code = 0;
  if (g->tls) {
    if ((code = tls_settings_fill(g->tls, cfg.owner, &tls, err))) return code;
    cfg.tls = &tls;
  }
  code = r->grpc->listen(r->stage, &cfg, &r->grpc_server, err);
  if (code) return code;
  otlp_tell_address(r, "gRPC", cfg.endpoint, g->tls != NULL, "grpc");
  return 0;
}
