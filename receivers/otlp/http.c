/* OTLP/HTTP: POST of protobuf or JSON to one path per signal; answers are what the request is. Source: the OTLP specification, "OTLP/HTTP". */
#include <stdio.h>
#include <string.h>
#include <strings.h>

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
static uint32_t refuse(struct otlp *r, struct weir_http_reply *reply, uint32_t status, const char *text) {
  static const struct weir_http_header headers[] = { { { "content-type", 12, 0 }, { "text/plain", 10, 0 } }, { { "allow", 5, 0 }, { "POST", 4, 0 } } };
  r->early.body = (struct weir_iov){ text, strlen(text) };
  reply->headers = headers;
  reply->n_headers = status == 405 ? 2 : 1;
  reply->body = &r->early.body;
  reply->n_body = 1;
  return status;
}

/* A gRPC client on the HTTP port: told in gRPC's words, which is what its log shows. */
static uint32_t refuse_grpc(struct otlp *r, struct weir_http_reply *reply) {
  static const char elsewhere[] = "this port takes OTLP over HTTP (protocol http/protobuf or http/json)%s%s";
  struct weir_http_header *headers = r->early.headers;
  const struct grpc_config *g = r->cfg->protocols.grpc;
  snprintf(r->early.text, sizeof r->early.text, elsewhere, g ? "; gRPC is at " : "", g ? g->endpoint : "");
  headers[0] = (struct weir_http_header){ weir_str_of("content-type"), weir_str_of("application/grpc") };
  headers[1] = (struct weir_http_header){ weir_str_of("grpc-status"), weir_str_of("12") };
  headers[2] = (struct weir_http_header){ weir_str_of("grpc-message"), weir_str_of(r->early.text) };
  reply->headers = headers;
  reply->n_headers = 3;
  return 200;
}

/* 401 with the scheme to use, or 503 where the client may come again: before anything else is said, as the Collector does. */
static uint32_t refuse_stranger(struct otlp *r, const struct weir_http_request *req, struct weir_http_reply *reply) {
  struct weir_http_header *headers = r->early.headers;
  struct weir_iov *body = &r->early.body;
  char *text = r->early.text, *challenge = r->early.challenge;
  struct weir_auth_result result;
  uint32_t code = kit_gate_check(&r->gate[TRANSPORT_HTTP], req->headers, req->n_headers, req->query, req->peer, &result);
  if (code == WEIR_AUTH_OK) return 0;
  uint32_t grpc_code = code == WEIR_AUTH_BUSY ? WEIR_GRPC_UNAVAILABLE : WEIR_GRPC_UNAUTHENTICATED;
  struct weir_str type = weir_http_find(req->headers, req->n_headers, "content-type");
  int64_t retry_after_ns = code == WEIR_AUTH_BUSY ? 1000000000 : -1;
  const char *form;
  if (ct_is(type, form = "application/x-protobuf")) {
    body->n = r->otlp->status_make(grpc_code, result.msg, retry_after_ns, text, sizeof r->early.text);
  } else if (ct_is(type, form = "application/json")) {
    body->n = r->otlp->status_json_make(grpc_code, result.msg, retry_after_ns, text, sizeof r->early.text);
  } else {
    form = "text/plain; charset=utf-8";
    body->n = (size_t)snprintf(text, sizeof r->early.text, "%.300s\n", result.msg);
  }
  body->p = text;
  headers[0] = (struct weir_http_header){ weir_str_of("content-type"), weir_str_of(form) };
  snprintf(challenge, sizeof r->early.challenge, "%s", code == WEIR_AUTH_BUSY ? "1" : result.challenge ? result.challenge : "");
  headers[1] = (struct weir_http_header){ weir_str_of(code == WEIR_AUTH_BUSY ? "retry-after" : "www-authenticate"), weir_str_of(challenge) };
  *reply = (struct weir_http_reply){ .headers = headers, .n_headers = challenge[0] ? 2 : 1, .body = body, .n_body = 1 };
  return code == WEIR_AUTH_BUSY ? 503 : 401;
}

static uint32_t on_headers(void *self, const struct weir_http_request *req, struct weir_http_reply *reply) {
  struct otlp *r = self;
  uint32_t stranger = refuse_stranger(r, req, reply);
  if (stranger) return stranger;
  struct weir_str type = weir_http_find(req->headers, req->n_headers, "content-type");
  if (ct_is(type, "application/grpc") || ct_is(type, "application/grpc+proto")) return refuse_grpc(r, reply);
  if (!signal_of(r, req->path)) return refuse(r, reply, 404, "404 not found: OTLP is taken at /v1/traces, /v1/metrics and /v1/logs, for the signals that a pipeline uses\n");
  if (!weir_str_eq(req->method, weir_str_of("POST"))) return refuse(r, reply, 405, "405 method not allowed, supported: [POST]");
  if (!ct_is(type, "application/json") && !ct_is(type, "application/x-protobuf"))
    return refuse(r, reply, 415, "415 unsupported media type, supported: [application/json, application/x-protobuf]");
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

static int is_taken(const struct otlp *r, struct weir_str encoding) {
  const struct weir_strings *list = &r->cfg->protocols.http->compression_algorithms;
  if (encoding.n == 6 && !strncasecmp(encoding.p, "x-gzip", 6)) encoding = weir_str_of("gzip"); /* RFC 9110 section 8.4.1.3 */
  for (size_t i = 0; i < list->n; i++)
    if (encoding.n == strlen(list->v[i]) && !strncasecmp(encoding.p, list->v[i], encoding.n)) return 1;
  return 0;
}

static void refuse_encoding(struct otlp *r, struct weir_http_exchange *ex, int json, struct weir_str encoding) {
  const struct weir_strings *list = &r->cfg->protocols.http->compression_algorithms;
  char msg[256], *to = msg;
  to += snprintf(to, sizeof msg, "content-encoding \"%.*s\" is not taken here: use ", (int)(encoding.n < 40 ? encoding.n : 40), encoding.p);
  for (size_t i = 0; i < list->n && to < msg + sizeof msg - 64; i++)
    if (*list->v[i]) to += snprintf(to, 40, "%s, ", list->v[i]);
  snprintf(to, 20, "%s", to[-1] == ' ' && to[-2] == ',' ? "or none" : "none");
  otlp_http_answer(r, ex, json, 415, WEIR_GRPC_INVALID_ARGUMENT, msg, -1);
}

/* The body as it is meant: inflated within the limit. NULL: answered. */
static struct weir_body *plain_body(struct otlp *r, struct weir_http_exchange *ex, const struct weir_http_request *req, int json) {
  struct weir_str encoding = weir_http_find(req->headers, req->n_headers, "content-encoding");
  struct weir_body *body = r->http->body_take(ex), *plain = NULL;
  struct weir_error err;
  if (encoding.n == 0 || weir_str_eq(encoding, weir_str_of("identity"))) return body;
  if (!is_taken(r, encoding)) {
    r->http->body_free(body);
    refuse_encoding(r, ex, json, encoding);
    return NULL;
  }
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
  if (otlp_admit(r, p, body, req->headers, req->n_headers, req->query, req->authority, req->peer)) return;
  otlp_take(r, p, signal, body, body->p, body->n);
}

int otlp_http_check(const struct otlp *r, struct weir_error *err) {
  const struct http_config *h = r->cfg->protocols.http;
  char address[ADDRESS_CAP];
  struct weir_tls_config tls;
  struct weir_http_server_config cfg = { .size = sizeof cfg, .owner = r->host->stage_id(r->stage),
    .endpoint = otlp_address(h->transport, h->endpoint, address, sizeof address) };
  int code = h->tls ? tls_settings_fill(h->tls, cfg.owner, &tls, err) : 0;
  if (h->tls) cfg.tls = &tls;
  return code ? code : r->http->listen_check(r->stage, &cfg, err);
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
    .max_header_bytes = h->limits.max_header_bytes,
    .max_headers = (uint32_t)h->limits.max_headers,
    .max_concurrent_streams = (uint32_t)h->max_concurrent_streams,
    .max_connections = (uint32_t)h->limits.max_connections,
    .read_header_timeout_ns = h->limits.read_header_timeout,
    .body_timeout_ns = h->limits.body_timeout,
    .read_timeout_ns = h->read_timeout,
    .idle_timeout_ns = h->idle_timeout,
    .write_timeout_ns = h->write_timeout,
    .on_headers = on_headers,
    .on_request = on_request,
    .self = r,
    .keepalive = &keepalive,
  };
  struct weir_tls_config tls;
  int code = 0;
  if (h->tls) {
    if ((code = tls_settings_fill(h->tls, cfg.owner, &tls, err))) return code;
    cfg.tls = &tls;
  }
  struct kit_http_extra extra;
  code = kit_http_extra_fill(&extra, h->cors, &h->response_headers, &cfg, err);
  if (!code) code = r->http->listen(r->stage, &cfg, &r->http_server, err);
  kit_http_extra_done(&extra);
  if (code) return code;
  kit_cors_warn(h->cors, r->host, r->stage);
  otlp_tell_address(r, "HTTP", cfg.endpoint, h->tls != NULL, "http/protobuf or http/json");
  return 0;
}
