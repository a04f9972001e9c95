/*
 * The otlp_http exporter (also otlphttp): sends traces, metrics and logs over OTLP/HTTP, as protobuf or JSON.
 *
 *   exporters:
 *     otlp_http: {endpoint: http://backend:4318}
 *
 * Source: the OTLP specification, "OTLP/HTTP Response" and "Throttling". The host's sender in front queues, times out and retries.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <weir/grpc.h>
#include <weir/http.h>
#include <weir/otlp.h>

#include "plugins/kit/otlp_export.h"

#define NONE 1 /* compression */
#define MAX_HEADERS 64
#define RETRY_MAX_S (24 * 3600L)

struct http_export_config {
  const char *endpoint, *traces_endpoint, *metrics_endpoint, *logs_endpoint, *user_agent;
  int32_t compression, encoding;
  int64_t level; /* of compression_params */
  int64_t timeout, idle_conn_timeout;
  uint64_t max_conns_per_host, max_idle_conns, max_idle_conns_per_host, read_buffer_size, write_buffer_size;
  int32_t disable_keep_alives, force_attempt_http2;
  int64_t http2_read_idle_timeout, http2_ping_timeout;
  const char *proxy_url;
  struct weir_map headers;
  const struct kit_auth_config *auth;
  const struct tls_settings *tls;
};

static const struct weir_field compression_fields[] = {
  { "level", WEIR_T_INT, 0, offsetof(struct http_export_config, level), "0", "-1", NULL, NULL, NULL,
    "1 (fastest) to 9 for gzip, zlib and deflate, to 11 for zstd; 0 or -1 for the default, which is 1 here.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field fields[] = {
  { "endpoint", WEIR_T_STRING, 0, offsetof(struct http_export_config, endpoint), NULL, NULL, NULL, NULL, NULL,
    "The back end's base URL, http:// or https://; /v1/traces, /v1/metrics or /v1/logs is added. Or unix:///path. Required unless the signal's own URL is set.", NULL, 0 },
  { "traces_endpoint", WEIR_T_STRING, 0, offsetof(struct http_export_config, traces_endpoint), NULL, NULL, NULL, NULL, NULL, "The whole URL for traces.", NULL, 0 },
  { "metrics_endpoint", WEIR_T_STRING, 0, offsetof(struct http_export_config, metrics_endpoint), NULL, NULL, NULL, NULL, NULL, "The whole URL for metrics.", NULL, 0 },
  { "logs_endpoint", WEIR_T_STRING, 0, offsetof(struct http_export_config, logs_endpoint), NULL, NULL, NULL, NULL, NULL, "The whole URL for logs.", NULL, 0 },
  { "timeout", WEIR_T_DURATION, 0, offsetof(struct http_export_config, timeout), "30s", "1ms", NULL, NULL, NULL, "How long one attempt may take.", NULL, 0 },
  { "compression", WEIR_T_ENUM, 0, offsetof(struct http_export_config, compression), "gzip", NULL, NULL, "gzip|none|zstd|snappy|zlib|deflate|x-snappy-framed", NULL,
    "How bodies are compressed; deflate and zlib are one format, snappy is a block.", NULL, 0 },
  { "compression_params", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "How hard compression tries.", compression_fields, 0 },
  { "encoding", WEIR_T_ENUM, 0, offsetof(struct http_export_config, encoding), "proto", NULL, NULL, "proto|json", NULL,
    "proto, or json (OTLP/JSON: larger and dearer; unknown fields are left out, invalid UTF-8 becomes U+FFFD). Answers are read as what they say they are.", NULL, 0 },
  { "headers", WEIR_T_MAP, WEIR_SECRET, offsetof(struct http_export_config, headers), NULL, NULL, NULL, NULL, NULL, "Headers sent with each request. `Host` and `User-Agent` replace what is sent otherwise; those of the body and the connection are the exporter's.", NULL, 0 },
  { "tls", WEIR_T_OPT_GROUP, 0, offsetof(struct http_export_config, tls), NULL, NULL, NULL, NULL, NULL, "How an https:// connection is secured; http:// is plaintext.", tls_client_fields,
    sizeof(struct tls_settings) },
  { "user_agent", WEIR_T_STRING, 0, offsetof(struct http_export_config, user_agent), "weir", NULL, NULL, NULL, NULL, "The user-agent to send.", NULL, 0 },
  { "max_conns_per_host", WEIR_T_UINT, 0, offsetof(struct http_export_config, max_conns_per_host), "16", "1", "1000", NULL, "connections",
    "The most connections per lane. They spread over the addresses of the name.", NULL, 0 },
  { "max_idle_conns", WEIR_T_UINT, 0, offsetof(struct http_export_config, max_idle_conns), "100", "0", NULL, NULL, "connections",
    "The most connections per lane that are kept without a request; 0 = without limit.", NULL, 0 },
  { "max_idle_conns_per_host", WEIR_T_UINT, 0, offsetof(struct http_export_config, max_idle_conns_per_host), "0", "0", NULL, NULL, "connections",
    "The same, as an exporter has one host; 0 = as many as max_conns_per_host allows.", NULL, 0 },
  { "idle_conn_timeout", WEIR_T_DURATION, 0, offsetof(struct http_export_config, idle_conn_timeout), "90s", "1s", NULL, NULL, NULL, "Closes a connection that was idle this long.", NULL, 0 },
  { "disable_keep_alives", WEIR_T_BOOL, 0, offsetof(struct http_export_config, disable_keep_alives), "false", NULL, NULL, NULL, NULL,
    "true: a connection for each request.", NULL, 0 },
  { "force_attempt_http2", WEIR_T_BOOL, 0, offsetof(struct http_export_config, force_attempt_http2), "true", NULL, NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: requests are HTTP/1.1.", NULL, 0 },
  { "http2_read_idle_timeout", WEIR_T_DURATION, 0, offsetof(struct http_export_config, http2_read_idle_timeout), "0", "0", NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: requests are HTTP/1.1.", NULL, 0 },
  { "http2_ping_timeout", WEIR_T_DURATION, 0, offsetof(struct http_export_config, http2_ping_timeout), "15s", "0", NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: requests are HTTP/1.1.", NULL, 0 },
  { "read_buffer_size", WEIR_T_BYTES, 0, offsetof(struct http_export_config, read_buffer_size), "0", NULL, NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: a lane reads through one buffer.", NULL, 0 },
  { "write_buffer_size", WEIR_T_BYTES, 0, offsetof(struct http_export_config, write_buffer_size), "512KiB", NULL, NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: bodies are sent from where they stand.", NULL, 0 },
  { "proxy_url", WEIR_T_STRING, WEIR_SECRET, offsetof(struct http_export_config, proxy_url), NULL, NULL, NULL, NULL, NULL,
    "Proxies are not supported: setting it is an error. HTTP_PROXY and its like are not read.", NULL, 0 },
  { "auth", WEIR_T_OPT_GROUP, 0, offsetof(struct http_export_config, auth), NULL, NULL, NULL, NULL, NULL, "Adds credentials or other headers to each request; absent = none.",
    kit_auth_client_fields, sizeof(struct kit_auth_config) },
  WEIR_FIELD_END,
};

static const struct coding {
  const char *name;
  int highest; /* level */
} codings[] = { { "gzip", 9 }, { "none", 0 }, { "zstd", 11 }, { "snappy", 0 }, { "zlib", 9 }, { "deflate", 9 }, { "x-snappy-framed", 0 } }; /* in the field's order */

struct exporter {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct http_export_config *cfg;
  const struct weir_http_service *http;
  const struct weir_otlp_service *otlp;
  struct weir_http_client *client;
  const char *address; /* where to connect: the authority, or unix:///path */
  char *authority, *path;
  const char *host_header; /* `Host` of the configuration, which goes before the authority */
  struct weir_http_header headers[MAX_HEADERS + 4], signed_headers[MAX_HEADERS + 4 + KIT_AUTH_ROOM];
  size_t n_headers;
  int use_tls;
  struct kit_signer signer;
};

struct attempt {
  struct exporter *e;
  struct weir_batch *batch;
  struct weir_body *packed; /* compressed or JSON; NULL when sent as it stands */
};

/* --- the answer ---------------------------------------------------------------------------------------------------------- */

/* The three forms of a date that a recipient must take (RFC 9110 section 5.6.7), in seconds since 1970; -1: none of them. */
static time_t http_date(const char *text) {
  static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y" };
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    const char *end = strptime(text, forms[i], &tm);
    if (end && !*end) return timegm(&tm);
  }
  return -1;
}

/* Retry-After: seconds or an HTTP date (RFC 9110 section 10.2.3), at most a day. */
static int64_t retry_after_ns(struct exporter *e, const struct weir_http_response *r) {
  struct weir_str v = weir_http_find(r->headers, r->n_headers, "retry-after");
  char text[64], *end;
  if (!v.n || v.n >= sizeof text) return 0;
  memcpy(text, v.p, v.n);
  text[v.n] = 0;
  long s = strtol(text, &end, 10);
  if (end == text) s = (long)(http_date(text) - (time_t)(e->host->now_unix_ns() / 1000000000));
  else if (*end) return 0;
  return s <= 0 ? 0 : (s < RETRY_MAX_S ? s : RETRY_MAX_S) * 1000000000L;
}

static int says_json(struct weir_str content_type) { return content_type.n >= 16 && !memcmp(content_type.p, "application/json", 16); }

/* What the back end says: a Status as protobuf or JSON, else the text itself, shortened. */
static void message_of(struct exporter *e, const struct weir_http_response *r, char *text, size_t cap) {
  struct weir_rpc_status status;
  struct weir_str type = weir_http_find(r->headers, r->n_headers, "content-type");
  int n = snprintf(text, cap, "HTTP %u", r->status);
  if (!r->body || !r->body->n || n < 0) return;
  int is_json = says_json(type), is_text = is_json || (type.n >= 4 && !memcmp(type.p, "text", 4));
  if ((!is_text && e->otlp->status_parse(r->body->p, r->body->n, &status) == 0 && status.msg[0]) ||
      (is_json && e->otlp->status_json_parse(r->body->p, r->body->n, &status) == 0 && status.msg[0]))
    snprintf(text + n, cap - (size_t)n, ": %.400s", status.msg);
  else if (is_text) snprintf(text + n, cap - (size_t)n, ": %.*s", (int)(r->body->n < 300 ? r->body->n : 300), r->body->p);
}

static void verdict_of_success(struct exporter *e, const struct weir_http_response *r, struct weir_verdict *v, char *text, size_t cap) {
  struct weir_otlp_response o;
  char said[400];
  if (!r->body) return;
  int json = says_json(weir_http_find(r->headers, r->n_headers, "content-type"));
  int bad = json ? e->otlp->response_json_parse(r->body->p, r->body->n, &o, said, sizeof said) : e->otlp->response_parse(r->body->p, r->body->n, &o);
  if (bad || (!o.rejected && !o.message.n)) return;
  snprintf(text, cap, "%.*s", (int)(o.message.n < 400 ? o.message.n : 400), o.message.n ? o.message.p : "");
  v->rejected = o.rejected;
  v->msg = text;
  e->host->log(e->stage, WEIR_LOG_WARN, "%s answered with a partial success, %llu items refused: %s", e->authority, (unsigned long long)o.rejected, text);
}

/* The Collector's reading of HTTP statuses. */
static uint32_t status_of(uint32_t http) {
  switch (http) {
  case 400: return WEIR_GRPC_INVALID_ARGUMENT;
  case 401: return WEIR_GRPC_UNAUTHENTICATED;
  case 403: return WEIR_GRPC_PERMISSION_DENIED;
  case 404: return WEIR_GRPC_UNIMPLEMENTED;
  default: return WEIR_GRPC_UNKNOWN;
  }
}

static void on_response(void *arg, const struct weir_http_response *r) {
  struct attempt *a = arg;
  struct exporter *e = a->e;
  struct weir_verdict v = { .code = WEIR_DELIVERED };
  char text[512];
  if (r->status >= 200 && r->status < 300) {
    verdict_of_success(e, r, &v, text, sizeof text);
  } else if (r->status == 0) {
    v.code = WEIR_RETRY;
    v.msg = r->err ? r->err->msg : "no answer";
  } else {
    message_of(e, r, text, sizeof text);
    v.msg = text;
    v.code = r->status == 429 || r->status == 502 || r->status == 503 || r->status == 504 ? WEIR_RETRY : WEIR_REJECTED;
    v.too_large = r->status == 413;
    v.status = status_of(r->status);
    if (r->status == 401 && kit_signer_refused(&e->signer)) v.code = WEIR_RETRY;
    if (v.code == WEIR_RETRY) v.retry_after_ns = retry_after_ns(e, r);
  }
  struct weir_batch *batch = a->batch;
  e->http->body_free(a->packed);
  free(a);
  e->host->done(e->stage, batch, &v);
}

/* --- the attempt ------------------------------------------------------------------------------------------------------------ */

static void not_now(struct exporter *e, struct attempt *a, int code, const char *msg) {
  struct weir_verdict v = { .code = code, .msg = msg };
  struct weir_batch *batch = a->batch;
  free(a);
  e->host->done(e->stage, batch, &v);
}

/* The request's body: pieces that live as long as the batch or a->packed. `one` is room for a piece. */
static int make_body(struct exporter *e, struct attempt *a, struct weir_iov *one, const struct weir_iov **ret, size_t *ret_n, struct weir_error *err) {
  struct weir_body *json = NULL;
  size_t bytes;
  int r;
  if (!e->cfg->encoding) {
    if ((r = e->otlp->encode(a->batch, ret, ret_n, &bytes, err))) return r;
  } else {
    if ((r = e->otlp->encode_json(e->stage, a->batch, &json, err))) return r;
    a->packed = json;
    *one = (struct weir_iov){ json->p, json->n };
    *ret = one;
    *ret_n = 1;
  }
  if (e->cfg->compression == NONE) return 0;
  a->packed = NULL;
  r = e->http->deflate(e->stage, codings[e->cfg->compression].name, e->cfg->level > 0 ? (int)e->cfg->level : 0, *ret, *ret_n, &a->packed, err);
  e->http->body_free(json);
  if (r) return WEIR_E_NOMEM;
  *one = (struct weir_iov){ a->packed->p, a->packed->n };
  *ret = one;
  *ret_n = 1;
  return 0;
}

/* The headers of one request: the exporter's and the configuration's, then as the authenticator wants it. */
static int sign(struct exporter *e, struct weir_batch *batch, size_t *ret_n, struct weir_error *err) {
  struct weir_auth_headers h = { .size = sizeof h, .v = e->signed_headers, .n = e->n_headers, .cap = sizeof e->signed_headers / sizeof *e->signed_headers };
  memcpy(e->signed_headers, e->headers, e->n_headers * sizeof *e->headers);
  int code = kit_signer_sign(&e->signer, e->host->batch_context(batch), &h, err);
  *ret_n = h.n;
  return code;
}

static void http_consume(void *self, struct weir_batch *batch) {
  struct exporter *e = self;
  const struct weir_iov *iov;
  struct weir_iov one;
  size_t n, n_headers = 0;
  struct weir_error err;
  struct attempt *a = calloc(1, sizeof *a);
  err.msg[0] = 0;
  if (!a) {
    struct weir_verdict later = { .code = WEIR_RETRY, .msg = "no memory" };
    e->host->done(e->stage, batch, &later);
    return;
  }
  a->e = e;
  a->batch = batch;
  int code = sign(e, batch, &n_headers, &err);
  if (code) {
    not_now(e, a, code == WEIR_E_INVALID ? WEIR_REJECTED : WEIR_RETRY, err.msg);
    return;
  }
  code = make_body(e, a, &one, &iov, &n, &err);
  if (code) {
    not_now(e, a, code == WEIR_E_NOMEM ? WEIR_RETRY : WEIR_REJECTED, err.msg);
    return;
  }
  struct weir_http_call_config call = { .method = "POST", .path = e->path, .authority = e->host_header ? e->host_header : e->authority, .headers = e->signed_headers, .n_headers = n_headers,
    .body = iov, .n_body = n, .deadline_ns = e->host->batch_deadline_ns(batch), .on_response = on_response, .arg = a };
  e->http->call(e->client, &call);
}

/* --- life ---------------------------------------------------------------------------------------------------------------------- */

static const char *own_url(const struct http_export_config *cfg, uint32_t signal, const char **ret_field, const char **ret_suffix) {
  if (signal == WEIR_TRACES) return *ret_field = "traces_endpoint", *ret_suffix = "/v1/traces", cfg->traces_endpoint;
  if (signal == WEIR_METRICS) return *ret_field = "metrics_endpoint", *ret_suffix = "/v1/metrics", cfg->metrics_endpoint;
  return *ret_field = "logs_endpoint", *ret_suffix = "/v1/logs", cfg->logs_endpoint;
}

/* unix:///path: the signal's usual path on that socket. */
static int use_socket(struct exporter *e, const char *url, const char *field, const char *suffix, struct weir_error *err) {
  if (!suffix) {
    weir_fail_field(err, field, "a socket is no URL of a signal");
    weir_hint(err, "write `endpoint: %s`", url);
    return WEIR_E_CONFIG;
  }
  e->address = url;
  e->authority = malloc(sizeof "localhost");
  e->path = malloc(strlen(suffix) + 1);
  if (!e->authority || !e->path) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  memcpy(e->authority, "localhost", sizeof "localhost");
  memcpy(e->path, suffix, strlen(suffix) + 1);
  return 0;
}

/* Cuts http[s]://host[:port][/path] into authority and path. */
static int split_url(struct exporter *e, const char *url, const char *field, const char *suffix, struct weir_error *err) {
  int skip = 0;
  if (strncmp(url, "unix://", 7) == 0) return use_socket(e, url, field, suffix, err);
  if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) {
    weir_fail_field(err, field, "`%s` is no URL", url);
    weir_hint(err, "write http://host:port or https://host:port");
    return WEIR_E_CONFIG;
  }
  int r = otlp_security(url, field, e->cfg->tls, &skip, &e->use_tls, err);
  if (r) return r;
  const char *host = url + skip, *path = strchr(host, '/');
  size_t host_n = path ? (size_t)(path - host) : strlen(host), path_n = path ? strlen(path) : 0;
  while (suffix && path_n && path[path_n - 1] == '/') path_n--;
  int has_port = host_n && memchr(host, ':', host_n) && host[host_n - 1] != ']';
  e->authority = malloc(host_n + 5);
  e->path = malloc(path_n + strlen(suffix ? suffix : "") + 2);
  if (!host_n || !e->authority || !e->path) return weir_fail_field(err, field, "`%s` names no host", url);
  snprintf(e->authority, host_n + 5, "%.*s%s", (int)host_n, host, has_port ? "" : e->use_tls ? ":443" : ":80");
  snprintf(e->path, path_n + strlen(suffix ? suffix : "") + 2, "%.*s%s", (int)path_n, path ? path : "", suffix ? suffix : path_n ? "" : "/");
  e->address = e->authority;
  return 0;
}

/* The level, and whether the library is there. */
static int check_compression(struct exporter *e, struct weir_error *err) {
  const struct coding *c = &codings[e->cfg->compression];
  struct weir_iov nothing = { "", 0 };
  struct weir_body *probe;
  if (e->cfg->level > 0 && !c->highest) return weir_fail_field(err, "compression_params.level", "%s has no levels", c->name);
  if (e->cfg->level > c->highest)
    return weir_fail_field(err, "compression_params.level", "%lld is over %d, the highest level of %s", (long long)e->cfg->level, c->highest, c->name);
  if (e->cfg->compression == NONE) return 0;
  int r = e->http->deflate(e->stage, c->name, 0, &nothing, 1, &probe, err);
  if (r) snprintf(err->field, sizeof err->field, "compression");
  else e->http->body_free(probe);
  return r;
}

static int check(const struct http_export_config *cfg, struct weir_error *err) {
  if (cfg->proxy_url && *cfg->proxy_url) {
    weir_fail_field(err, "proxy_url", "proxies are not supported");
    weir_hint(err, "let the endpoint name a relay that forwards, such as a weir or a reverse proxy beside it");
    return WEIR_E_CONFIG;
  }
  if (cfg->headers.n > MAX_HEADERS) return weir_fail_field(err, "headers", "more than %d headers", MAX_HEADERS);
  return kit_headers_check(&cfg->headers, err);
}

static void add_header(struct exporter *e, const char *name, const char *value) {
  e->headers[e->n_headers].name = weir_str_of(name);
  e->headers[e->n_headers++].value = weir_str_of(value);
}

static void http_close(void *self) {
  struct exporter *e = self;
  if (!e) return;
  if (e->http) e->http->client_close(e->client);
  kit_signer_close(&e->signer);
  free(e->authority);
  free(e->path);
  free(e);
}

/* The smaller of the two limits; 0 = none. */
static uint32_t max_idle(const struct http_export_config *cfg) {
  uint64_t all = cfg->max_idle_conns, host = cfg->max_idle_conns_per_host, least = all && (!host || all < host) ? all : host;
  return least < 1000 ? (uint32_t)least : 1000;
}

static int open_parts(struct exporter *e, struct weir_error *err) {
  const char *field, *suffix, *url = own_url(e->cfg, e->host->stage_signal(e->stage), &field, &suffix);
  if (!url && !e->cfg->endpoint) {
    weir_fail_field(err, "endpoint", "at least one endpoint must be specified");
    weir_hint(err, "add `endpoint: http://host:4318`");
    return WEIR_E_CONFIG;
  }
  int r = check_compression(e, err);
  if (r) return r;
  r = url ? split_url(e, url, field, NULL, err) : split_url(e, e->cfg->endpoint, "endpoint", suffix, err);
  if (r) return r;
  add_header(e, "content-type", e->cfg->encoding ? "application/json" : "application/x-protobuf");
  if (e->cfg->compression != NONE) add_header(e, "content-encoding", codings[e->cfg->compression].name);
  const char *agent = e->cfg->user_agent;
  for (size_t i = 0; i < e->cfg->headers.n; i++) {
    const struct weir_map_entry *h = &e->cfg->headers.v[i];
    if (!strcasecmp(h->key, "host")) e->host_header = h->value;
    else if (!strcasecmp(h->key, "user-agent")) agent = h->value;
    else add_header(e, h->key, h->value);
  }
  add_header(e, "user-agent", agent);
  r = kit_signer_open(&e->signer, e->host, e->stage, e->cfg->auth, err);
  if (r) return r;
  if (!e->use_tls) kit_signer_warn_plain(&e->signer, e->host, e->stage, e->authority);
  struct weir_http_client_config cfg = { .size = sizeof cfg, .flags = e->cfg->disable_keep_alives ? WEIR_HTTP_NO_KEEP_ALIVE : 0, .endpoint = e->address,
    .max_response_bytes = 64u << 10, .max_connections = (uint32_t)e->cfg->max_conns_per_host, .idle_timeout_ns = e->cfg->idle_conn_timeout,
    .max_idle_connections = max_idle(e->cfg) };
  struct weir_tls_config tls;
  if (e->use_tls && (r = tls_settings_fill(e->cfg->tls, e->host->stage_id(e->stage), &tls, err))) return r;
  if (e->use_tls) cfg.tls = &tls;
  r = e->http->client_open(e->stage, &cfg, &e->client, err);
  if (r && !err->field[0]) snprintf(err->field, sizeof err->field, "%s", url ? field : "endpoint");
  return r;
}

static int http_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  int r = check(config, err);
  if (r) return r;
  struct exporter *e = calloc(1, sizeof *e);
  if (!e) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->host = host;
  e->stage = stage;
  e->cfg = config;
  e->http = host->service(stage, WEIR_HTTP_SERVICE);
  e->otlp = host->service(stage, WEIR_OTLP_SERVICE);
  r = e->http && e->otlp ? open_parts(e, err) : weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that otlp_http needs");
  if (r) {
    http_close(e);
    return r;
  }
  *ret_self = e;
  return 0;
}

static int http_need(void *self) {
  const struct exporter *e = self;
  return e->cfg->encoding ? WEIR_NEED_RECORDS : WEIR_NEED_COUNTS;
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
  .config_size = sizeof(struct http_export_config),
  .open = http_open,
  .consume = http_consume,
  .close = http_close,
  .need = http_need,
};

WEIR_PLUGIN("otlp_http exporter", "0.1.0", "Apache-2.0", &type);
