/* OTLP/HTTP: POST of protobuf or JSON to one path per signal; answers are what the request is. Source: the OTLP specification, "OTLP/HTTP". */
#include <stdio.h>
#include <string.h>

#include "otlp.h"

static int ct_is(struct weir_str v, const char *type) {
  size_t n = strlen(type);
  if (v.n < n) return 0;
  for (size_t i = 0; i < n; i++) {
    char c = v.p[i];
    if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != type[i]) return 0;
  }
  return v.n == n || v.p[n] == ';' || v.p[n] == ' ';
}

/* Which signal a path means; 0 = none, or one that no pipeline uses. */
static uint32_t signal_of(const struct otlp *r, struct weir_str path) {
  const struct http_config *h = r->cfg->protocols.http;
  uint32_t used = r->host->stage_signal(r->stage), signal = 0;
  if (weir_str_eq(path, weir_str_of(h->traces_url_path))) signal = WEIR_TRACES;
  else if (weir_str_eq(path, weir_str_of(h->metrics_url_path))) signal = WEIR_METRICS;
  else if (weir_str_eq(path, weir_str_of(h->logs_url_path))) signal = WEIR_LOGS;
  return signal & used;
}

/* A refusal before the body, in plain text; the texts live as long as the program. */
static uint32_t refuse(struct weir_http_reply *reply, uint32_t status, const char *text) {
  static const struct weir_http_header headers[] = { { { "content-type", 12, 0 }, { "text/plain", 10, 0 } }, { { "allow", 5, 0 }, { "POST", 4, 0 } } };
  static _Thread_local struct weir_iov body;
  body.p = text;
  body.n = strlen(text);
  reply->headers = headers;
  reply->n_headers = status == 405 ? 2 : 1;
  reply->body = &body;
  reply->n_body = 1;
  return status;
}

/* A gRPC client on the HTTP port: told in gRPC's words, which is what its log shows. */
static uint32_t refuse_grpc(const struct otlp *r, struct weir_http_reply *reply) {
  static const char elsewhere[] = "this port takes OTLP over HTTP (protocol http/protobuf or http/json)%s%s";
  static _Thread_local char text[400];
  static _Thread_local struct weir_http_header headers[3];
  const struct grpc_config *g = r->cfg->protocols.grpc;
  snprintf(text, sizeof text, elsewhere, g ? "; gRPC is at " : "", g ? g->endpoint : "");
  headers[0] = (struct weir_http_header){ weir_str_of("content-type"), weir_str_of("application/grpc") };
  headers[1] = (struct weir_http_header){ weir_str_of("grpc-status"), weir_str_of("12") };
  headers[2] = (struct weir_http_header){ weir_str_of("grpc-message"), weir_str_of(text) };
  reply->headers = headers;
  reply->n_headers = 3;
  return 200;
}

static uint32_t on_headers(void *self, const struct weir_http_request *req, struct weir_http_reply *reply) {
  struct otlp *r = self;
  struct weir_str type = weir_http_find(req->headers, req->n_headers, "content-type");
  if (ct_is(type, "application/grpc") || ct_is(type, "application/grpc+proto")) return refuse_grpc(r, reply);
  if (!signal_of(r, req->path)) return refuse(reply, 404, "404 not found: OTLP is taken at /v1/traces, /v1/metrics and /v1/logs, for the signals that a pipeline uses\n");
  if (!weir_str_eq(req->method, weir_str_of("POST"))) return refuse(reply, 405, "405 method not allowed, supported: [POST]");
  if (!ct_is(type, "application/json") && !ct_is(type, "application/x-protobuf"))
    return refuse(reply, 415, "415 unsupported media type, supported: [application/json, application/x-protobuf]");
  return 0;
}

static void reply_with(struct otlp *r, struct weir_http_exchange *ex, int json, uint32_t status, const char *body, size_t n, int64_t retry_after_ns) {
  char seconds[24];
  snprintf(seconds, sizeof seconds, "%lld", (long long)((retry_after_ns + 999999999) / 1000000000));
  struct weir_http_header headers[2] = { { weir_str_of("content-type"), weir_str_of(json ? "application/json" : "application/x-protobuf") },
    { weir_str_of("retry-after"), weir_str_of(seconds) } };
  struct weir_iov iov = { body, n };
  struct weir_http_reply reply = { .status = status, .headers = headers, .n_headers = retry_after_ns >= 0 ? 2 : 1, .body = &iov, .n_body = 1 };
  r->http->reply(ex, &reply);
}

void otlp_http_answer(struct otlp *r, struct weir_http_exchange *ex, int json, uint32_t http_status, uint32_t code, const char *msg, int64_t retry_after_ns) {
  char body[4096]; /* JSON: a character of the text may take six */
  size_t n = json ? r->otlp->status_json_make(code, msg, retry_after_ns, body, sizeof body) : r->otlp->status_make(code, msg, retry_after_ns, body, sizeof body);
  reply_with(r, ex, json, http_status, body, n, retry_after_ns);
}

void otlp_http_ok(struct otlp *r, struct weir_http_exchange *ex, int json, uint32_t signal, uint64_t rejected, const char *msg) {
  char body[4096];
  size_t n = json ? r->otlp->response_json_make(signal, rejected, msg, body, sizeof body) : r->otlp->response_make(rejected, msg, body, sizeof body);
  reply_with(r, ex, json, 200, body, n, -1);
}

/* The body as it is meant: inflated within the limit. NULL: answered. */
static struct weir_body *plain_body(struct otlp *r, struct weir_http_exchange *ex, const struct weir_http_request *req, int json) {
  struct weir_str encoding = weir_http_find(req->headers, req->n_headers, "content-encoding");
  struct weir_body *body = r->http->body_take(ex), *plain = NULL;
  struct weir_error err;
  if (encoding.n == 0 || weir_str_eq(encoding, weir_str_of("identity"))) return body;
  int code = r->http->inflate(r->stage, encoding, body->p, body->n, r->cfg->protocols.http->max_request_body_size, &plain, &err);
  r->http->body_free(body);
  if (code == 0) return plain;
  if (code == WEIR_E_NOMEM) otlp_http_answer(r, ex, json, 503, WEIR_GRPC_UNAVAILABLE, err.msg, 1000000000);
  else if (code == WEIR_E_LIMIT) otlp_http_answer(r, ex, json, 413, WEIR_GRPC_INVALID_ARGUMENT, err.msg, -1);
  else if (code == WEIR_E_UNSUPPORTED) otlp_http_answer(r, ex, json, 415, WEIR_GRPC_INVALID_ARGUMENT, err.msg, -1);
  else otlp_http_answer(r, ex, json, 400, WEIR_GRPC_INVALID_ARGUMENT, err.msg, -1);
  return NULL;
}

static void on_request(void *self, struct weir_http_exchange *ex, const struct weir_http_request *req) {
  struct otlp *r = self;
  uint32_t signal = signal_of(r, req->path);
  int json = ct_is(weir_http_find(req->headers, req->n_headers, "content-type"), "application/json");
  struct weir_body *body = plain_body(r, ex, req, json);
  if (!body) return;
  struct pending *p = pending_new(r);
  p->http = ex;
  p->json = json;
  p->transport = TRANSPORT_HTTP;
  otlp_take(r, p, signal, body, body->p, body->n);
}

int otlp_http_start(struct otlp *r, struct weir_error *err) {
  const struct http_config *h = r->cfg->protocols.http;
  struct weir_http_keepalive keepalive = { .size = sizeof keepalive, .max_age_ns = h->max_connection_age };
  char address[ADDRESS_CAP];
  struct weir_http_server_config cfg = {
    .size = sizeof cfg,
    .flags = h->keep_alives_enabled ? 0 : WEIR_HTTP_NO_KEEP_ALIVE,
    .owner = r->host->stage_id(r->stage),
    .endpoint = otlp_address(h->transport, h->endpoint, address, sizeof address),
    .max_body_bytes = h->max_request_body_size,
    .read_header_timeout_ns = h->read_header_timeout,
    .read_timeout_ns = h->read_timeout,
    .idle_timeout_ns = h->idle_timeout,
    .write_timeout_ns = h->write_timeout,
    .on_headers = on_headers,
    .on_request = on_request,
    .self = r,
    .keepalive = &keepalive,
  };
  int code = r->http->listen(r->stage, &cfg, &r->http_server, err);
  if (code) return code;
  if (r->host->stage_lane(r->stage) == 0)
    r->host->log(r->stage, WEIR_LOG_INFO, "OTLP over HTTP on %s (SDKs: OTEL_EXPORTER_OTLP_ENDPOINT=http://%s, protocol http/protobuf or http/json)", h->endpoint, h->endpoint);
  return 0;
}
