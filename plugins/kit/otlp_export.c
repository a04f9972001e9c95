#include "plugins/kit/otlp_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <weir/grpc.h>
#include <weir/otlp.h>

#define MAX_HEADERS 64
#define PING_MIN_NS INT64_C(10000000000) /* as grpc-go's KeepaliveMinPingTime */

/* --- configuration --------------------------------------------------------------------------------------------------- */

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
    "The back end's gRPC address: host:port or https://host:port, with TLS unless `tls` says `insecure: true`; http://host:port is plaintext; unix:///path, or dns://server[:port]/host:port to ask a DNS server of its own.", NULL, 0 },
  { "compression", WEIR_T_ENUM, 0, offsetof(struct otlp_export_config, compression), "gzip", NULL, NULL, "gzip|none|zstd|snappy", NULL,
    "gzip or zstd (level 1: higher levels cost more than the rest of the pipeline), snappy (framed, as gRPC peers have it) or none.", NULL, 0 },
  { "headers", WEIR_T_MAP, WEIR_SECRET, offsetof(struct otlp_export_config, headers), NULL, NULL, NULL, NULL, NULL, "Metadata sent with each request.", NULL, 0 },
  { "tls", WEIR_T_OPT_GROUP, 0, offsetof(struct otlp_export_config, tls), NULL, NULL, NULL, NULL, NULL,
    "How the connection is secured. Absent = TLS with the system's CAs; `insecure: true` says that plaintext is meant.", tls_client_fields, sizeof(struct tls_settings) },
  { "authority", WEIR_T_STRING, 0, offsetof(struct otlp_export_config, authority), NULL, NULL, NULL, NULL, NULL, "The :authority to send instead of the endpoint.", NULL, 0 },
  { "user_agent", WEIR_T_STRING, 0, offsetof(struct otlp_export_config, user_agent), "weir", NULL, NULL, NULL, NULL, "The user-agent to send.", NULL, 0 },
  { "max_message_bytes", WEIR_T_BYTES, 0, offsetof(struct otlp_export_config, max_message_bytes), "4MiB", "1KiB", NULL, NULL, NULL,
    "A batch that encodes to more is cut before it is sent, as gRPC servers refuse over 4 MiB by default. A key of weir's own.", NULL, 0 },
  { "engine", WEIR_T_ENUM, 0, offsetof(struct otlp_export_config, engine), "native", NULL, NULL, "native|core", NULL,
    "What speaks gRPC: native is weir's own; core is gRPC C-core (Debian's libgrpc29), loaded when it is asked for: it costs more, and takes gRPC's own names "
    "(dns:///host:port, xds:///name) as endpoint. It refuses tls.min_version 1.3, tls.max_version 1.2, tls.cipher_suites and curves but P256. A key of weir's own; docs/design/grpc.md tells when to choose it.", NULL, 0 },
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
  { "auth", WEIR_T_OPT_GROUP, 0, offsetof(struct otlp_export_config, auth), NULL, NULL, NULL, NULL, NULL, "Adds credentials or other headers to each request; absent = none.",
    kit_auth_client_fields, sizeof(struct kit_auth_config) },
  WEIR_FIELD_END,
};

int otlp_refuse_userinfo(const char *endpoint, const char *field, struct weir_error *err) {
  const char *host = strstr(endpoint, "://");
  host = host ? host + 3 + strspn(host + 3, "/") : endpoint; /* dns:///host */
  size_t n = strcspn(host, "/?#"), name_n = strcspn(host, ":/?#");
  int odd_port = host[name_n] == ':' && *host != '[' && name_n + 1 + strspn(host + name_n + 1, "0123456789") < n; /* a password with a slash */
  if (!strncmp(endpoint, "unix:", 5) || !strchr(host, '@') || (!memchr(host, '@', n) && !odd_port)) return 0;
  weir_fail_field(err, field, "user and password in an endpoint are not supported");
  weir_hint(err, "move them to an extension, `basicauth: {client_auth: {username: ..., password: ...}}`, and name it in this exporter: `auth: {authenticator: basicauth}`");
  return WEIR_E_CONFIG;
}

int otlp_security(const char *endpoint, const char *field, const struct tls_settings *tls, int *ret_skip, int *ret_tls, struct weir_error *err) {
  int r = otlp_refuse_userinfo(endpoint, field, err);
  if (r) return r;
  *ret_skip = 0;
  *ret_tls = tls_settings_wanted(tls);
  if (strncmp(endpoint, "https://", 8) == 0) {
    *ret_skip = 8;
    *ret_tls = 1;
    return 0;
  }
  if (strncmp(endpoint, "http://", 7) == 0) {
    *ret_skip = 7;
    *ret_tls = 0;
    if (!tls || !(tls->ca_file || tls->ca_pem || tls->cert_file || tls->cert_pem)) return 0;
    weir_fail_field(err, field, "http:// asks for plaintext, and `tls` has certificates");
    weir_hint(err, "write https://, or remove `tls`");
    return WEIR_E_CONFIG;
  }
  if (!strstr(endpoint, "://") || !strncmp(endpoint, "unix://", 7) || !strncmp(endpoint, "dns://", 6)) return 0;
  weir_fail_field(err, field, "`%s` has a scheme that this version does not know", endpoint);
  weir_hint(err, "write host:port, https://host:port or http://host:port");
  return WEIR_E_CONFIG;
}

/* As grpc-go, grpc-java, C-core (Python, C++, .NET), grpc-js, tonic and weir put it. */
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
  struct kit_signer signer;
  struct weir_http_header metadata[MAX_HEADERS + OTLP_EXPORT_REQUEST_HEADERS + KIT_AUTH_ROOM]; /* the configuration's first, then a request's and what a signer adds */
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

/* OUT_OF_RANGE is how tonic says it: retryable by the table, but the same bytes would fail again. */
static int is_too_large(const struct weir_grpc_status *s) {
  if (s->code != WEIR_GRPC_RESOURCE_EXHAUSTED && s->code != WEIR_GRPC_OUT_OF_RANGE) return 0;
  return s->retry_after_ns < 0 && otlp_says_too_large(s->msg);
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
  } else if (is_too_large(s)) {
    v = (struct weir_verdict){ .code = WEIR_REJECTED, .too_large = 1, .msg = s->msg, .status = WEIR_GRPC_RESOURCE_EXHAUSTED };
  } else if (is_retryable(s)) {
    v.code = WEIR_RETRY;
    v.retry_after_ns = s->retry_after_ns > 0 ? s->retry_after_ns : 0;
    v.msg = s->msg;
  } else {
    v.code = s->code == WEIR_GRPC_UNAUTHENTICATED && kit_signer_refused(&e->signer) ? WEIR_RETRY : WEIR_REJECTED;
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

/* The configuration's; the HTTP client writes names in lower case. */
static size_t own_metadata(struct exporter *e) {
  size_t n = 0;
  for (; n < e->cfg->headers.n; n++) e->metadata[n] = (struct weir_http_header){ weir_str_of(e->cfg->headers.v[n].key), weir_str_of(e->cfg->headers.v[n].value) };
  return n;
}

/* The metadata of one request: the configuration's, its own in place of those, then as the authenticator wants it. */
static int sign(struct exporter *e, struct weir_batch *batch, const struct weir_http_header *own, size_t n, size_t *ret_n, struct weir_error *err) {
  struct weir_auth_headers h = { .size = sizeof h, .v = e->metadata, .n = own_metadata(e), .cap = MAX_HEADERS + OTLP_EXPORT_REQUEST_HEADERS + KIT_AUTH_ROOM };
  for (size_t i = 0; i < n; i++)
    if (kit_headers_set(&h, own[i].name, own[i].value, err)) return WEIR_E_INVALID;
  int code = kit_signer_sign(&e->signer, e->host->batch_context(batch), &h, err);
  *ret_n = h.n;
  return code;
}

static void send(struct exporter *e, struct attempt *a, const struct weir_iov *iov, size_t n, size_t n_metadata) {
  int64_t deadline_ns = e->host->batch_deadline_ns(a->batch);
  if (e->signer.table || n_metadata) e->grpc->call_with(e->client, e->path, e->metadata, n_metadata, iov, n, deadline_ns, on_response, a);
  else e->grpc->call(e->client, e->path, iov, n, deadline_ns, on_response, a);
}

void otlp_export_consume(void *self, struct weir_batch *batch) { otlp_export_send(self, batch, NULL, 0); }

void otlp_export_send(void *self, struct weir_batch *batch, const struct weir_http_header *headers, size_t n_headers) {
  struct exporter *e = self;
  const struct weir_iov *iov;
  size_t n, bytes, n_metadata = 0;
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
  if ((e->signer.table || n_headers) && (code = sign(e, batch, headers, n_headers, &n_metadata, &err))) {
    not_sent(e, batch, code == WEIR_E_INVALID ? WEIR_REJECTED : WEIR_RETRY, 0, err.msg);
    return;
  }
  struct attempt *a = malloc(sizeof *a);
  if (!a) {
    not_sent(e, batch, WEIR_RETRY, 0, "no memory");
    return;
  }
  a->e = e;
  a->batch = batch;
  send(e, a, iov, n, n_metadata);
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static const char *path_of(uint32_t signal) {
  if (signal == WEIR_TRACES) return "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
  if (signal == WEIR_METRICS) return "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
  return "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
}

/* The address in a name that gRPC's own resolvers know, for engine core: "dns:///host:port". NULL when it is none. */
static const char *grpc_name(const struct otlp_export_config *cfg) {
  static const char *const schemes[] = { "dns:///", "xds:///", "ipv4:", "ipv6:", "unix:" };
  for (size_t i = 0; cfg->engine && i < sizeof schemes / sizeof *schemes; i++)
    if (!strncmp(cfg->endpoint, schemes[i], strlen(schemes[i]))) return cfg->endpoint + strlen(schemes[i]);
  return NULL;
}

static int check(const struct otlp_export_config *cfg, int *ret_skip, int *ret_tls, struct weir_error *err) {
  if (cfg->headers.n > MAX_HEADERS) return weir_fail_field(err, "headers", "more than %d headers", MAX_HEADERS);
  int r = kit_headers_check(&cfg->headers, err);
  if (r) return r;
  for (size_t i = 0; i < cfg->headers.n; i++)
    if (!strcasecmp(cfg->headers.v[i].key, "host")) return weir_fail_field(err, "headers", "`%s` is `authority` in gRPC", cfg->headers.v[i].key);
  const char *name = grpc_name(cfg); /* goes to gRPC as it is */
  return otlp_security(name ? name : cfg->endpoint, "endpoint", cfg->tls, ret_skip, ret_tls, err);
}

static const char *const compressions[] = { "gzip", "none", "zstd", "snappy" }; /* in the field's order */

/* As grpc-go has it: the name to verify is also the authority, and an authority is also the name to verify. */
static int fill_tls(struct exporter *e, struct weir_grpc_client_config *cfg, struct weir_tls_config *tls, char *name, size_t cap, struct weir_error *err) {
  int r = tls_settings_fill(e->cfg->tls, e->host->stage_id(e->stage), tls, err);
  if (!cfg->authority) cfg->authority = tls->server_name;
  else if (!tls->server_name && cfg->authority[0] != '[') {
    snprintf(name, cap, "%.*s", (int)strcspn(cfg->authority, ":"), cfg->authority);
    tls->server_name = name;
  }
  cfg->tls = tls;
  return r;
}

static int open_client(struct exporter *e, const char *endpoint, int use_tls, struct weir_error *err) {
  size_t n = own_metadata(e);
  struct weir_grpc_client_config cfg = { .size = sizeof cfg, .endpoint = endpoint, .authority = e->cfg->authority,
    .compression = compressions[e->cfg->compression], .user_agent = e->cfg->user_agent, .metadata = e->metadata, .n_metadata = n,
    .engine = e->cfg->engine ? "core" : "native", .balancer_name = e->cfg->balancer_name == 0 ? "round_robin" : "pick_first",
    .flags = e->cfg->balancer_name == 0 ? WEIR_HTTP_ROUND_ROBIN : 0 };
  const struct otlp_keepalive_config *k = e->cfg->keepalive;
  if (k) {
    cfg.ping_after_ns = k->time < PING_MIN_NS ? PING_MIN_NS : k->time;
    cfg.ping_timeout_ns = k->timeout;
    if (k->permit_without_stream) cfg.flags |= WEIR_HTTP_PING_IDLE;
  }
  struct weir_tls_config tls;
  char name[256];
  int r = use_tls ? fill_tls(e, &cfg, &tls, name, sizeof name, err) : 0;
  if (!r) r = e->grpc->client_open(e->stage, &cfg, &e->client, err);
  if (r && !err->field[0]) snprintf(err->field, sizeof err->field, "endpoint");
  return r;
}

static int open_parts(struct exporter *e, const char *endpoint, int use_tls, struct weir_error *err) {
  if (!e->grpc || !e->otlp) return weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that OTLP exporters need");
  if (!e->grpc->call_with) return weir_fail(err, WEIR_E_UNSUPPORTED, "this host's gRPC can not send metadata per request");
  int r = kit_signer_open(&e->signer, e->host, e->stage, e->cfg->auth, err);
  if (r) return r;
  if (!use_tls) kit_signer_warn_plain(&e->signer, e->host, e->stage, endpoint);
  return open_client(e, endpoint, use_tls, err);
}

int otlp_export_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct otlp_export_config *cfg = config;
  int skip, use_tls, r = check(cfg, &skip, &use_tls, err);
  if (r) return r;
  struct exporter *e = calloc(1, sizeof *e);
  if (!e) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->host = host;
  e->stage = stage;
  e->cfg = cfg;
  e->grpc = host->service(stage, WEIR_GRPC_SERVICE);
  e->otlp = host->service(stage, WEIR_OTLP_SERVICE);
  e->path = path_of(host->stage_signal(stage));
  r = open_parts(e, cfg->endpoint + skip, use_tls, err);
  if (r) {
    otlp_export_close(e);
    return r;
  }
  *ret_self = e;
  return 0;
}

void otlp_export_close(void *self) {
  struct exporter *e = self;
  if (!e) return;
  if (e->grpc) e->grpc->client_close(e->client);
  kit_signer_close(&e->signer);
  free(e);
}
