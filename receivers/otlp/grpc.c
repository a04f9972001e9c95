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
  if (otlp_admit(r, p, body, req->metadata, req->n_metadata, req->authority, req->peer)) return;
  otlp_take(r, p, signal, body, msg, n);
}

/* Before the message is held. It is asked again with the message, as an engine need not come here. */
static int on_metadata(void *self, const struct weir_grpc_request *req, struct weir_grpc_status *status) {
  struct otlp *r = self;
  struct weir_auth_result result;
  uint32_t code = kit_gate_check(&r->gate[TRANSPORT_GRPC], req->metadata, req->n_metadata, req->peer, &result);
  if (code == WEIR_AUTH_OK) return 0;
  status->code = code == WEIR_AUTH_BUSY ? WEIR_GRPC_UNAVAILABLE : WEIR_GRPC_UNAUTHENTICATED;
  status->msg = result.msg;
  status->retry_after_ns = code == WEIR_AUTH_BUSY ? 1000000000 : -1;
  return -1;
}

static void on_traces(void *self, struct weir_grpc_exchange *ex, const struct weir_grpc_request *req) { on_export(self, WEIR_TRACES, ex, req); }
static void on_metrics(void *self, struct weir_grpc_exchange *ex, const struct weir_grpc_request *req) { on_export(self, WEIR_METRICS, ex, req); }
static void on_logs(void *self, struct weir_grpc_exchange *ex, const struct weir_grpc_request *req) { on_export(self, WEIR_LOGS, ex, req); }

int otlp_grpc_start(struct otlp *r, struct weir_error *err) {
  static const struct {
    uint32_t signal;
    struct weir_grpc_method method;
  } all[] = { { WEIR_TRACES, { "/opentelemetry.proto.collector.trace.v1.TraceService/Export", on_traces } },
    { WEIR_METRICS, { "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", on_metrics } },
    { WEIR_LOGS, { "/opentelemetry.proto.collector.logs.v1.LogsService/Export", on_logs } } };
  const struct grpc_config *g = r->cfg->protocols.grpc;
  struct weir_grpc_method methods[3];
  size_t n = 0;
  for (size_t i = 0; i < 3; i++)
    if (r->host->stage_signal(r->stage) & all[i].signal) methods[n++] = all[i].method;
  struct weir_grpc_server_config cfg = {
    .size = sizeof cfg,
    .max_concurrent_streams = (uint32_t)g->max_concurrent_streams,
    .owner = r->host->stage_id(r->stage),
    .endpoint = g->endpoint,
    .max_message_bytes = (g->max_recv_msg_size_mib ? g->max_recv_msg_size_mib : 4) << 20,
    .methods = methods,
    .n_methods = n,
    .self = r,
    .on_metadata = g->auth ? on_metadata : NULL,
    .engine = g->engine ? "core" : "native",
  };
  struct weir_tls_config tls;
  int code = 0;
  if (g->tls) {
    if ((code = tls_settings_fill(g->tls, cfg.owner, &tls, err))) return code;
    cfg.tls = &tls;
  }
  code = r->grpc->listen(r->stage, &cfg, &r->grpc_server, err);
  if (code) return code;
  if (r->host->stage_lane(r->stage) == 0)
    r->host->log(r->stage, WEIR_LOG_INFO, "OTLP over gRPC on %s (SDKs: OTEL_EXPORTER_OTLP_ENDPOINT=http%s://%s, protocol grpc)", g->endpoint, g->tls ? "s" : "", g->endpoint);
  return 0;
}
