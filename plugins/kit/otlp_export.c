#include "plugins/kit/otlp_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/grpc.h>
#include <weir/otlp.h>

#define GZIP 0
#define NONE 1
#define MAX_HEADERS 64
#define PING_MIN_NS INT64_C(10000000000) /* as grpc-go's KeepaliveMinPingTime */

/* --- configuration --------------------------------------------------------------------------------------------------- */

const struct weir_field otlp_tls_fields[] = {
  { "insecure", WEIR_T_BOOL, 0, offsetof(struct otlp_tls_config, insecure), "false", NULL, NULL, NULL, NULL,
    "true sends in plaintext. TLS is not in this version yet, so it has to be true unless the endpoint begins with http://.", NULL, 0 },
  { "insecure_skip_verify", WEIR_T_BOOL, 0, offsetof(struct otlp_tls_config, insecure_skip_verify), "false", NULL, NULL, NULL, NULL, "For TLS, which is not in this version yet.", NULL, 0 },
  { "ca_file", WEIR_T_STRING, 0, offsetof(struct otlp_tls_config, ca_file), NULL, NULL, NULL, NULL, NULL, "For TLS, which is not in this version yet.", NULL, 0 },
  { "cert_file", WEIR_T_STRING, 0, offsetof(struct otlp_tls_config, cert_file), NULL, NULL, NULL, NULL, NULL, "For TLS, which is not in this version yet.", NULL, 0 },
  { "key_file", WEIR_T_STRING, 0, offsetof(struct otlp_tls_config, key_file), NULL, NULL, NULL, NULL, NULL, "For TLS, which is not in this version yet.", NULL, 0 },
  { "server_name_override", WEIR_T_STRING, 0, offsetof(struct otlp_tls_config, server_name_override), NULL, NULL, NULL, NULL, NULL, "For TLS, which is not in this version yet.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field keepalive_fields[] = {
  { "time", WEIR_T_DURATION, 0, offsetof(struct otlp_keepalive_config, time), "10s", "0", NULL, NULL, NULL,
    "How long it may be silent; under 10s is 10s. Servers refuse pings that come too often: by default those of less than 5 minutes.", NULL, 0 },
  { "timeout", WEIR_T_DURATION, 0, offsetof(struct otlp_keepalive_config, timeout), "10s", "1ms", NULL, NULL, NULL, "How long the answer may take before the connection is left.", NULL, 0 },
  { "permit_without_stream", WEIR_T_BOOL, 0, offsetof(struct otlp_keepalive_config, permit_without_stream), "false", NULL, NULL, NULL, NULL,
    "Ping without a request, too.", NULL, 0 },
  WEIR_FIELD_END,
};

const struct weir_field otlp_export_fields[] = {
  { "endpoint", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, offsetof(struct otlp_export_config, endpoint), NULL, NULL, NULL, NULL, NULL,
    "The back end's gRPC address: host:port, http://host:port for plaintext, unix:///path, or dns://server[:port]/host:port to ask a DNS server of its own.", NULL, 0 },
  { "compression", WEIR_T_ENUM, 0, offsetof(struct otlp_export_config, compression), "gzip", NULL, NULL, "gzip|none|zstd|snappy", NULL,
    "gzip (level 1: higher levels cost more than the rest of the pipeline) or none. zstd and snappy are not in this version yet.", NULL, 0 },
  { "headers", WEIR_T_MAP, WEIR_SECRET, offsetof(struct otlp_export_config, headers), NULL, NULL, NULL, NULL, NULL, "Metadata sent with each request.", NULL, 0 },
  { "tls", WEIR_T_OPT_GROUP, 0, offsetof(struct otlp_export_config, tls), NULL, NULL, NULL, NULL, NULL,
    "How the connection is secured. TLS is not in this version yet: `insecure: true` says that plaintext is meant.", otlp_tls_fields, sizeof(struct otlp_tls_config) },
  { "authority", WEIR_T_STRING, 0, offsetof(struct otlp_export_config, authority), NULL, NULL, NULL, NULL, NULL, "The :authority to send instead of the endpoint.", NULL, 0 },
  { "user_agent", WEIR_T_STRING, 0, offsetof(struct otlp_export_config, user_agent), "weir", NULL, NULL, NULL, NULL, "The user-agent to send.", NULL, 0 },
  { "max_message_bytes", WEIR_T_BYTES, 0, offsetof(struct otlp_export_config, max_message_bytes), "4MiB", "1KiB", NULL, NULL, NULL,
    "A batch that encodes to more is cut before it is sent, as gRPC servers refuse over 4 MiB by default. A key of weir's own.", NULL, 0 },
  { "balancer_name", WEIR_T_ENUM, 0, offsetof(struct otlp_export_config, balancer_name), "round_robin", NULL, NULL, "round_robin|pick_first", NULL,
    "round_robin keeps a connection to each address of the endpoint's name and sends in turn; pick_first uses the first address that answers. The name is resolved anew when a connection "
    "ends or its TTL is over, at most every 30 s; an address that it has not got any more gets no further requests.", NULL, 0 },
  { "keepalive", WEIR_T_OPT_GROUP, 0, offsetof(struct otlp_export_config, keepalive), NULL, NULL, NULL, NULL, NULL,
    "Pings a back end that is silent while requests are under way; absent = off, as in the Collector's otlp exporter.", keepalive_fields, sizeof(struct otlp_keepalive_config) },
  { "wait_for_ready", WEIR_T_BOOL, 0, offsetof(struct otlp_export_config, wait_for_ready), "false", NULL, NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: a call waits for its connection until its time-out.", NULL, 0 },
  { "read_buffer_size", WEIR_T_BYTES, 0, offsetof(struct otlp_export_config, read_buffer_size), "32KiB", NULL, NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: a lane reads through one buffer.", NULL, 0 },
  { "write_buffer_size", WEIR_T_BYTES, 0, offsetof(struct otlp_export_config, write_buffer_size), "512KiB", NULL, NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: messages are sent from where they stand.", NULL, 0 },
  { "auth", WEIR_T_MAP, 0, offsetof(struct otlp_export_config, auth), NULL, NULL, NULL, NULL, NULL, "Authentication is not in this version yet: setting it is an error.", NULL, 0 },
  WEIR_FIELD_END,
};

int otlp_check_plain(const char *endpoint, int insecure, int tls_given, int *ret_skip, struct weir_error *err) {
  *ret_skip = 0;
  if (strncmp(endpoint, "http://", 7) == 0) {
    *ret_skip = 7;
    return 0;
  }
  if (strncmp(endpoint, "https://", 8) == 0) {
    weir_fail_field(err, "endpoint", "TLS is not in this version yet, and https:// asks for it");
    weir_hint(err, "write http:// for a plaintext connection, with a TLS proxy beside weir if the way is not safe");
    return WEIR_E_CONFIG;
  }
  if (strstr(endpoint, "://") && strncmp(endpoint, "unix://", 7) != 0 && strncmp(endpoint, "dns://", 6) != 0) {
    weir_fail_field(err, "endpoint", "`%s` has a scheme that this version does not know", endpoint);
    weir_hint(err, "write host:port or http://host:port");
    return WEIR_E_CONFIG;
  }
  if (insecure) return 0;
  weir_fail_field(err, tls_given ? "tls" : "endpoint", "TLS is not in this version yet, and a connection to %s would use it", endpoint);
  weir_hint(err, "set `tls: {insecure: true}` for a plaintext connection");
  return WEIR_E_CONFIG;
}

int otlp_says_too_large(const char *msg) {
  static const char *const signs[] = { "larger than max", "message size", "too large", "is over max_recv_msg_size", "exceeds maximum", "over the limit" };
  for (size_t i = 0; msg && i < sizeof signs / sizeof *signs; i++)
    if (strstr(msg, signs[i])) return 1;
  return 0;
}

/* --- state ------------------------------------------------------------------------------------------------------------- */

struct exporter {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct otlp_export_config *cfg;
  const struct weir_grpc_service *grpc;
  const struct weir_otlp_service *otlp;
  struct weir_grpc_client *client;
  const char *path;
};

/* One attempt under way. */
struct attempt {
  struct exporter *e;
  struct weir_batch *batch;
};

/* Retryable by the specification's table; RESOURCE_EXHAUSTED only with RetryInfo. */
static int is_retryable(const struct weir_grpc_status *s) {
  switch (s->code) {
  case WEIR_GRPC_CANCELLED:
  case WEIR_GRPC_DEADLINE_EXCEEDED:
  case WEIR_GRPC_ABORTED:
  case WEIR_GRPC_OUT_OF_RANGE:
  case WEIR_GRPC_UNAVAILABLE:
  case WEIR_GRPC_DATA_LOSS: return 1;
  case WEIR_GRPC_RESOURCE_EXHAUSTED: return s->retry_after_ns >= 0;
  default: return 0;
  }
}

static void verdict_of_ok(struct exporter *e, const char *msg, size_t n, struct weir_verdict *v, char *text, size_t cap) {
  struct weir_otlp_response r;
  if (e->otlp->response_parse(msg, n, &r)) {
    e->host->log(e->stage, WEIR_LOG_WARN, "%s answered OK with a message that is no export response", e->cfg->endpoint);
    return;
  }
  if (!r.rejected && !r.message.n) return;
  snprintf(text, cap, "%.*s", (int)(r.message.n < 400 ? r.message.n : 400), r.message.n ? r.message.p : "");
  v->rejected = r.rejected;
  v->msg = text;
  if (r.rejected) e->host->log(e->stage, WEIR_LOG_WARN, "%s refused %llu items of a request (partial success): %s", e->cfg->endpoint, (unsigned long long)r.rejected, text);
  else e->host->log(e->stage, WEIR_LOG_WARN, "%s took a request with a warning: %s", e->cfg->endpoint, text);
}

static void on_response(void *arg, const struct weir_grpc_status *s, const char *msg, size_t n) {
  struct attempt *a = arg;
  struct exporter *e = a->e;
  struct weir_verdict v = { .code = WEIR_DELIVERED };
  char text[512];
  if (s->code == WEIR_GRPC_OK) {
    verdict_of_ok(e, msg, n, &v, text, sizeof text);
  } else if (is_retryable(s)) {
    v.code = WEIR_RETRY;
    v.retry_after_ns = s->retry_after_ns > 0 ? s->retry_after_ns : 0;
    v.msg = s->msg;
  } else {
    v.code = WEIR_REJECTED;
    v.too_large = s->code == WEIR_GRPC_RESOURCE_EXHAUSTED && otlp_says_too_large(s->msg);
    v.msg = s->msg;
    v.status = s->code;
  }
  struct weir_batch *batch = a->batch;
  free(a);
  e->host->done(e->stage, batch, &v);
}

static void not_sent(struct exporter *e, struct weir_batch *batch, int code, int too_large, const char *msg) {
  struct weir_verdict v = { .code = code, .too_large = too_large, .msg = msg };
  e->host->done(e->stage, batch, &v);
}

void otlp_export_consume(void *self, struct weir_batch *batch) {
  struct exporter *e = self;
  const struct weir_iov *iov;
  size_t n, bytes;
  struct weir_error err;
  err.msg[0] = 0;
  int code = e->otlp->encode(batch, &iov, &n, &bytes, &err);
  if (code) {
    not_sent(e, batch, code == WEIR_E_NOMEM ? WEIR_RETRY : WEIR_REJECTED, 0, err.msg);
    return;
  }
  if (bytes > e->cfg->max_message_bytes && e->host->batch_items(batch) > 1) {
    not_sent(e, batch, WEIR_REJECTED, 1, "over max_message_bytes");
    return;
  }
  struct attempt *a = malloc(sizeof *a);
  if (!a) {
    not_sent(e, batch, WEIR_RETRY, 0, "no memory");
    return;
  }
  a->e = e;
  a->batch = batch;
  e->grpc->call(e->client, e->path, iov, n, e->host->batch_deadline_ns(batch), on_response, a);
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static const char *path_of(uint32_t signal) {
  if (signal == WEIR_TRACES) return "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
  if (signal == WEIR_METRICS) return "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
  return "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
}

static int check(const struct otlp_export_config *cfg, int *ret_skip, struct weir_error *err) {
  if (cfg->compression > NONE) {
    weir_fail_field(err, "compression", "%s is not in this version yet", cfg->compression == 2 ? "zstd" : "snappy");
    weir_hint(err, "use gzip or none");
    return WEIR_E_CONFIG;
  }
  if (cfg->auth.n) return weir_fail_field(err, "auth", "authentication is not in this version yet");
  if (cfg->headers.n > MAX_HEADERS) return weir_fail_field(err, "headers", "more than %d headers", MAX_HEADERS);
  return otlp_check_plain(cfg->endpoint, cfg->tls && cfg->tls->insecure, cfg->tls != NULL, ret_skip, err);
}

static int open_client(struct exporter *e, const char *endpoint, struct weir_error *err) {
  struct weir_http_header metadata[MAX_HEADERS];
  size_t n = 0;
  for (; n < e->cfg->headers.n; n++) { /* the HTTP client writes names in lower case */
    metadata[n].name = weir_str_of(e->cfg->headers.v[n].key);
    metadata[n].value = weir_str_of(e->cfg->headers.v[n].value);
  }
  struct weir_grpc_client_config cfg = { .size = sizeof cfg, .endpoint = endpoint, .authority = e->cfg->authority,
    .compression = e->cfg->compression == GZIP ? "gzip" : "none", .user_agent = e->cfg->user_agent, .metadata = metadata, .n_metadata = n,
    .flags = e->cfg->balancer_name == 0 ? WEIR_HTTP_ROUND_ROBIN : 0 };
  const struct otlp_keepalive_config *k = e->cfg->keepalive;
  if (k) {
    cfg.ping_after_ns = k->time < PING_MIN_NS ? PING_MIN_NS : k->time;
    cfg.ping_timeout_ns = k->timeout;
    if (k->permit_without_stream) cfg.flags |= WEIR_HTTP_PING_IDLE;
  }
  int r = e->grpc->client_open(e->stage, &cfg, &e->client, err);
  if (r && !err->field[0]) snprintf(err->field, sizeof err->field, "endpoint");
  return r;
}

int otlp_export_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct otlp_export_config *cfg = config;
  int skip, r = check(cfg, &skip, err);
  if (r) return r;
  struct exporter *e = calloc(1, sizeof *e);
  if (!e) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->host = host;
  e->stage = stage;
  e->cfg = cfg;
  e->grpc = host->service(stage, WEIR_GRPC_SERVICE);
  e->otlp = host->service(stage, WEIR_OTLP_SERVICE);
  e->path = path_of(host->stage_signal(stage));
  r = e->grpc && e->otlp ? open_client(e, cfg->endpoint + skip, err) : weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that OTLP exporters need");
  if (r) {
    free(e);
    return r;
  }
  *ret_self = e;
  return 0;
}

void otlp_export_close(void *self) {
  struct exporter *e = self;
  if (!e) return;
  e->grpc->client_close(e->client);
  free(e);
}
