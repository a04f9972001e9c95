#include "plugins/kit/http_export.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <weir/grpc.h>

#include "plugins/kit/otlp_export.h"

#define MAX_HEADERS 64
#define OWN_HEADERS 4 /* content-type, content-encoding, user-agent */
#define MAX_RESPONSE_BYTES (64u << 10)
#define RETRY_MAX_S (24 * 3600L)

const struct weir_field http_export_params_fields[] = {
  { "level", WEIR_T_INT, 0, offsetof(struct http_export_params, level), "0", "-1", NULL, NULL, NULL,
    "1 (fastest) to 9 for gzip, zlib and deflate, to 11 for zstd; 0 or -1 for the default, which is 1 here.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct coding {
  const char *name;
  int highest; /* level */
} codings[] = { { "gzip", 9 }, { "none", 0 }, { "zstd", 11 }, { "snappy", 0 }, { "zlib", 9 }, { "deflate", 9 }, { "x-snappy-framed", 0 } }; /* in the field's order */

struct http_export {
  struct http_export_setup setup;
  const struct weir_http_service *http;
  struct weir_http_client *client;
  const char *address; /* where to connect: the authority, or unix:///path */
  char *authority, *path;
  const char *host_header; /* `Host` of the configuration, which goes before the authority */
  const char *coding;      /* NULL: bodies go as they are */
  struct weir_http_header headers[MAX_HEADERS + OWN_HEADERS], signed_headers[MAX_HEADERS + OWN_HEADERS + HTTP_EXPORT_REQUEST_HEADERS + KIT_AUTH_ROOM];
  size_t n_headers;
  int use_tls;
  struct kit_signer signer;
};

/* One request under way. */
struct attempt {
  struct http_export *e;
  struct weir_body *body; /* what is sent points into it; NULL when that is the batch's */
  void *arg;
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
static int64_t retry_after_ns(struct http_export *e, const struct weir_http_response *r) {
  struct weir_str v = weir_http_find(r->headers, r->n_headers, "retry-after");
  char text[64], *end;
  if (!v.n || v.n >= sizeof text) return 0;
  memcpy(text, v.p, v.n);
  text[v.n] = 0;
  long s = strtol(text, &end, 10);
  if (end == text) s = (long)(http_date(text) - (time_t)(e->setup.host->now_unix_ns() / 1000000000));
  else if (*end) return 0;
  return s <= 0 ? 0 : (s < RETRY_MAX_S ? s : RETRY_MAX_S) * 1000000000L;
}

int http_export_is_json(const struct weir_http_response *r) {
  struct weir_str type = weir_http_find(r->headers, r->n_headers, "content-type");
  return type.n >= 16 && !memcmp(type.p, "application/json", 16);
}

/* A body without a type may be looked at (RFC 9110 section 8.3): Go's servers say so that their port speaks TLS. Protobuf begins with a control character. */
static int reads_as_text(const struct weir_body *b) {
  for (size_t i = 0; b && i < b->n; i++)
    if ((unsigned char)b->p[i] < ' ' && !strchr("\t\r\n", b->p[i])) return 0;
  return b && b->n && (unsigned char)b->p[0] >= ' ';
}

int http_export_is_text(const struct weir_http_response *r) {
  struct weir_str type = weir_http_find(r->headers, r->n_headers, "content-type");
  return type.n ? type.n >= 4 && !memcmp(type.p, "text", 4) : reads_as_text(r->body);
}

/* The status, and what the peer says where it is text, shortened. */
static void message_of(const struct weir_http_response *r, char *text, size_t cap) {
  int is_text = http_export_is_json(r) || http_export_is_text(r);
  int n = snprintf(text, cap, "HTTP %u", r->status);
  size_t body_n = is_text && r->body ? r->body->n : 0;
  if (body_n > 300) body_n = 300;
  while (body_n && isspace((unsigned char)r->body->p[body_n - 1])) body_n--;
  if (body_n && n > 0) snprintf(text + n, cap - (size_t)n, ": %.*s", (int)body_n, r->body->p);
}

/* 3xx with Location: where the endpoint should point. What may be secret in it is left out: user and password, rather too much than too little, and the query. */
static void redirect_of(const struct http_export *e, const struct weir_http_response *r, char *text, size_t cap) {
  struct weir_str at = weir_http_find(r->headers, r->n_headers, "location");
  char shown[256];
  size_t n = 0, from = 0, to = 0;
  while (n < at.n && n < sizeof shown - 4 && at.p[n] != '?' && at.p[n] != '#') n++;
  for (size_t i = 0; i + 1 < n && !from; i++)
    if (at.p[i] == '/' && at.p[i + 1] == '/') from = i + 2;
  for (size_t i = from; from && i < at.n; i++)
    if (at.p[i] == '@') to = i;
  snprintf(shown, sizeof shown, "%.*s%s%.*s", (int)(to ? from : n), at.p, to ? "***" : "", (int)(to && to < n ? n - to : 0), at.p + to);
  for (char *c = shown; *c; c++)
    if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
  snprintf(text, cap, "HTTP %u: redirects are not followed; this one leads to `%s`: set `%s` so that requests go there", r->status, shown, e->setup.field);
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

static void verdict_of_refusal(struct attempt *a, const struct weir_http_response *r, struct weir_verdict *v, char *text, size_t cap) {
  struct http_export *e = a->e;
  if (r->status >= 300 && r->status < 400 && weir_http_find(r->headers, r->n_headers, "location").n) redirect_of(e, r, text, cap);
  else message_of(r, text, cap);
  v->msg = text;
  v->code = r->status == 429 || r->status == 502 || r->status == 503 || r->status == 504 ? WEIR_RETRY : WEIR_REJECTED;
  v->too_large = r->status == 413;
  v->status = status_of(r->status);
  if (r->status == 401 && kit_signer_refused(&e->signer)) v->code = WEIR_RETRY;
  if (e->setup.refusal) e->setup.refusal(e->setup.self, a->arg, r, v, text, cap);
  if (v->code == WEIR_RETRY) v->retry_after_ns = retry_after_ns(e, r);
}

static void on_response(void *arg, const struct weir_http_response *r) {
  struct attempt *a = arg;
  struct http_export *e = a->e;
  struct weir_verdict v = { .code = WEIR_DELIVERED };
  char text[512];
  if (r->status >= 200 && r->status < 300) {
    if (e->setup.success) e->setup.success(e->setup.self, a->arg, r, &v, text, sizeof text);
  } else if (r->status == 0) {
    v.code = WEIR_RETRY;
    v.msg = r->err ? r->err->msg : "no answer";
  } else {
    verdict_of_refusal(a, r, &v, text, sizeof text);
  }
  void *mine = a->arg;
  e->http->body_free(a->body);
  free(a);
  e->setup.on_verdict(e->setup.self, mine, &v);
}

/* --- a request -------------------------------------------------------------------------------------------------------------- */

/* The headers of one request: the client's, its own in place of those, then as the authenticator wants it. */
static int sign(struct http_export *e, const struct http_export_request *q, size_t *ret_n, struct weir_error *err) {
  struct weir_auth_headers h = { .size = sizeof h, .v = e->signed_headers, .n = e->n_headers, .cap = sizeof e->signed_headers / sizeof *e->signed_headers };
  memcpy(e->signed_headers, e->headers, e->n_headers * sizeof *e->headers);
  for (size_t i = 0; i < q->n_headers; i++)
    if (kit_headers_set(&h, q->headers[i].name, q->headers[i].value, err)) return WEIR_E_INVALID;
  int code = kit_signer_sign(&e->signer, e->setup.host->batch_context(q->batch), &h, err);
  *ret_n = h.n;
  return code;
}

static int copy(struct http_export *e, const struct weir_iov *iov, size_t n, struct weir_body **ret, struct weir_error *err) {
  size_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += iov[i].n;
  struct weir_body *body = e->http->body_new(e->setup.stage, bytes);
  if (!body) return weir_fail(err, WEIR_E_NOMEM, "no memory for a request");
  for (size_t i = 0; i < n; i++) {
    memcpy(body->p + body->n, iov[i].p, iov[i].n);
    body->n += iov[i].n;
  }
  *ret = body;
  return 0;
}

/* Gives a->body what the request's headers say that it is. `one` is room for a piece. */
static int pack(struct http_export *e, struct attempt *a, int transient, struct weir_iov *one, const struct weir_iov **iov, size_t *n, struct weir_error *err) {
  struct weir_body *plain = a->body;
  if (!e->coding && !transient) return 0;
  a->body = NULL;
  int64_t level = e->setup.coding ? 0 : e->setup.config->params.level;
  int r = e->coding ? e->http->deflate(e->setup.stage, e->coding, level > 0 ? (int)level : 0, *iov, *n, &a->body, err) : copy(e, *iov, *n, &a->body, err);
  e->http->body_free(plain);
  if (r) return WEIR_E_NOMEM;
  *one = (struct weir_iov){ a->body->p, a->body->n };
  *iov = one;
  *n = 1;
  return 0;
}

static int send(struct http_export *e, struct attempt *a, const struct http_export_request *q, struct weir_error *err) {
  const struct weir_iov *iov = q->iov;
  struct weir_iov one;
  size_t n = q->n_iov, n_headers = 0;
  int code = sign(e, q, &n_headers, err);
  if (!code) code = pack(e, a, q->transient, &one, &iov, &n, err);
  if (code) return code;
  struct weir_http_call_config call = { .method = "POST", .path = e->path, .authority = e->host_header ? e->host_header : e->authority, .headers = e->signed_headers, .n_headers = n_headers,
    .body = iov, .n_body = n, .deadline_ns = e->setup.host->batch_deadline_ns(q->batch), .on_response = on_response, .arg = a };
  e->http->call(e->client, &call);
  return 0;
}

int http_export_send(struct http_export *e, const struct http_export_request *q, struct weir_verdict *ret_v, struct weir_error *err) {
  struct attempt *a = calloc(1, sizeof *a);
  err->msg[0] = 0;
  *ret_v = (struct weir_verdict){ .code = WEIR_RETRY, .msg = err->msg };
  if (!a) {
    e->http->body_free(q->own);
    return weir_fail(err, WEIR_E_NOMEM, "no memory");
  }
  *a = (struct attempt){ e, q->own, q->arg };
  int code = send(e, a, q, err);
  if (!code) return 0;
  if (code == WEIR_E_INVALID) ret_v->code = WEIR_REJECTED;
  e->http->body_free(a->body);
  free(a);
  return code;
}

/* --- life ---------------------------------------------------------------------------------------------------------------------- */

/* unix:///path: the protocol's usual path on that socket. */
static int use_socket(struct http_export *e, struct weir_error *err) {
  const char *suffix = e->setup.suffix;
  if (!suffix) {
    weir_fail_field(err, e->setup.field, "a socket is no URL of a signal");
    weir_hint(err, "write `endpoint: %s`", e->setup.url);
    return WEIR_E_CONFIG;
  }
  e->address = e->setup.url;
  e->authority = strdup("localhost");
  e->path = strdup(suffix);
  return e->authority && e->path ? 0 : weir_fail(err, WEIR_E_NOMEM, "no memory");
}

/* Cuts http[s]://host[:port][/path] into authority and path. */
static int split_url(struct http_export *e, struct weir_error *err) {
  const char *url = e->setup.url, *field = e->setup.field, *suffix = e->setup.suffix;
  int skip = 0, r = otlp_refuse_userinfo(url, field, err);
  if (r) return r;
  if (strncmp(url, "unix://", 7) == 0) return use_socket(e, err);
  if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) {
    weir_fail_field(err, field, "`%s` is no URL", url);
    weir_hint(err, "write http://host:port or https://host:port");
    return WEIR_E_CONFIG;
  }
  r = otlp_security(url, field, e->setup.config->tls, &skip, &e->use_tls, err);
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
static int choose_coding(struct http_export *e, struct weir_error *err) {
  const struct http_export_config *cfg = e->setup.config;
  const struct coding *c = &codings[cfg->compression];
  int64_t level = e->setup.coding ? 0 : cfg->params.level;
  struct weir_iov nothing = { "", 0 };
  struct weir_body *probe;
  if (level > 0 && !c->highest) return weir_fail_field(err, "compression_params.level", "%s has no levels", c->name);
  if (level > c->highest) return weir_fail_field(err, "compression_params.level", "%lld is over %d, the highest level of %s", (long long)level, c->highest, c->name);
  e->coding = e->setup.coding ? e->setup.coding : cfg->compression != HTTP_EXPORT_NO_COMPRESSION ? c->name : NULL;
  if (!e->coding) return 0;
  int r = e->http->deflate(e->setup.stage, e->coding, 0, &nothing, 1, &probe, err);
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

static void add_header(struct http_export *e, const char *name, const char *value) {
  e->headers[e->n_headers].name = weir_str_of(name);
  e->headers[e->n_headers++].value = weir_str_of(value);
}

static void fill_headers(struct http_export *e) {
  const struct http_export_config *cfg = e->setup.config;
  const char *agent = cfg->user_agent;
  add_header(e, "content-type", e->setup.content_type);
  if (e->coding) add_header(e, "content-encoding", e->coding);
  for (size_t i = 0; i < cfg->headers.n; i++) {
    const struct weir_map_entry *h = &cfg->headers.v[i];
    if (!strcasecmp(h->key, "host")) e->host_header = h->value;
    else if (!strcasecmp(h->key, "user-agent")) agent = h->value;
    else add_header(e, h->key, h->value);
  }
  add_header(e, "user-agent", agent);
}

/* The smaller of the two limits; 0 = none. */
static uint32_t max_idle(const struct http_export_config *cfg) {
  uint64_t all = cfg->max_idle_conns, host = cfg->max_idle_conns_per_host, least = all && (!host || all < host) ? all : host;
  return least < 1000 ? (uint32_t)least : 1000;
}

static int open_client(struct http_export *e, struct weir_error *err) {
  const struct http_export_config *c = e->setup.config;
  struct weir_http_client_config cfg = { .size = sizeof cfg, .flags = c->disable_keep_alives ? WEIR_HTTP_NO_KEEP_ALIVE : 0, .endpoint = e->address,
    .max_response_bytes = e->setup.max_response_bytes ? e->setup.max_response_bytes : MAX_RESPONSE_BYTES, .max_connections = (uint32_t)c->max_conns_per_host, .idle_timeout_ns = c->idle_conn_timeout,
    .max_idle_connections = max_idle(c) };
  struct weir_tls_config tls;
  int r = e->use_tls ? tls_settings_fill(c->tls, e->setup.host->stage_id(e->setup.stage), &tls, err) : 0;
  if (r) return r;
  if (e->use_tls) cfg.tls = &tls;
  r = e->http->client_open(e->setup.stage, &cfg, &e->client, err);
  if (r && !err->field[0]) snprintf(err->field, sizeof err->field, "%s", e->setup.field);
  return r;
}

static int open_parts(struct http_export *e, struct weir_error *err) {
  int r = choose_coding(e, err);
  if (!r) r = split_url(e, err);
  if (r) return r;
  fill_headers(e);
  r = kit_signer_open(&e->signer, e->setup.host, e->setup.stage, e->setup.config->auth, err);
  if (r) return r;
  if (!e->use_tls) kit_signer_warn_plain(&e->signer, e->setup.host, e->setup.stage, e->authority);
  return open_client(e, err);
}

int http_export_open(const struct http_export_setup *setup, struct http_export **ret, struct weir_error *err) {
  int r = check(setup->config, err);
  if (r) return r;
  struct http_export *e = calloc(1, sizeof *e);
  if (!e) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->setup = *setup;
  e->http = setup->host->service(setup->stage, WEIR_HTTP_SERVICE);
  r = e->http ? open_parts(e, err) : weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks the service %s", WEIR_HTTP_SERVICE);
  if (r) {
    http_export_close(e);
    return r;
  }
  *ret = e;
  return 0;
}

void http_export_close(struct http_export *e) {
  if (!e) return;
  if (e->http) e->http->client_close(e->client);
  kit_signer_close(&e->signer);
  free(e->authority);
  free(e->path);
  free(e);
}

const char *http_export_authority(const struct http_export *e) { return e->authority; }

void http_export_free(struct http_export *e, struct weir_body *body) { e->http->body_free(body); }
