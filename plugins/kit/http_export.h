/*
 * plugins/kit/http_export.h - the client side of an exporter over HTTP: the settings of the Collector's confighttp, one request, and what its
 * answer means.
 *
 * A stage has `struct http_export_config` in its own struct and its fields in its own table (HTTP_EXPORT_TIMEOUT, _COMPRESSION, _CLIENT). It opens
 * a client for a URL and sends bodies; each gives exactly one verdict, in a later step. The kit knows transport, signing, compression and statuses;
 * what is written in bodies is the stage's. Everything is [lane] of the instance. Source of the statuses: RFC 9110 and OTLP/HTTP, "Failures".
 */
#ifndef KIT_HTTP_EXPORT_H
#define KIT_HTTP_EXPORT_H

#include <weir/config.h>
#include <weir/http.h>
#include <weir/stage.h>

#include "plugins/kit/auth.h"
#include "plugins/kit/tls_config.h"

struct http_export_params {
  int64_t level;
};

struct http_export_config {
  const char *user_agent, *proxy_url;
  int32_t compression; /* of the field's choices: HTTP_EXPORT_NO_COMPRESSION or a coding */
  struct http_export_params params;
  int64_t timeout, idle_conn_timeout;
  uint64_t max_conns_per_host, max_idle_conns, max_idle_conns_per_host, read_buffer_size, write_buffer_size;
  int32_t disable_keep_alives, force_attempt_http2;
  int64_t http2_read_idle_timeout, http2_ping_timeout;
  struct weir_map headers;
  const struct kit_auth_config *auth;
  const struct tls_settings *tls;
};

#define HTTP_EXPORT_NO_COMPRESSION 1

extern const struct weir_field http_export_params_fields[];

/* --- the fields, for a table of a stage whose struct has a http_export_config at offset `at` ------------------------------ */

#define HTTP_EXPORT_AT(at, member) ((at) + offsetof(struct http_export_config, member))
#define HTTP_EXPORT_UNUSED "Accepted for the Collector's files and without effect: "

#define HTTP_EXPORT_TIMEOUT(at, dflt) \
  { "timeout", WEIR_T_DURATION, 0, HTTP_EXPORT_AT(at, timeout), dflt, "1ms", NULL, NULL, NULL, "How long one attempt may take.", NULL, 0 }

#define HTTP_EXPORT_COMPRESSION_DOC "How bodies are compressed; deflate and zlib are one format, snappy is a block."

#define HTTP_EXPORT_COMPRESSION(at, dflt, doc) \
  { "compression", WEIR_T_ENUM, 0, HTTP_EXPORT_AT(at, compression), dflt, NULL, NULL, "gzip|none|zstd|snappy|zlib|deflate|x-snappy-framed", NULL, doc, NULL, 0 }, \
  HTTP_EXPORT_COMPRESSION_PARAMS(at)

#define HTTP_EXPORT_COMPRESSION_PARAMS(at) \
  { "compression_params", WEIR_T_GROUP, 0, HTTP_EXPORT_AT(at, params), NULL, NULL, NULL, NULL, NULL, "How hard compression tries.", \
    http_export_params_fields, sizeof(struct http_export_params) }

#define HTTP_EXPORT_CLIENT(at) \
  { "headers", WEIR_T_MAP, WEIR_SECRET, HTTP_EXPORT_AT(at, headers), NULL, NULL, NULL, NULL, NULL, "Headers sent with each request. `Host` and `User-Agent` replace what is sent otherwise; those of the body and the connection are the exporter's.", NULL, 0 }, \
  { "tls", WEIR_T_OPT_GROUP, 0, HTTP_EXPORT_AT(at, tls), NULL, NULL, NULL, NULL, NULL, "How an https:// connection is secured; http:// is plaintext.", tls_client_fields, \
    sizeof(struct tls_settings) }, \
  { "user_agent", WEIR_T_STRING, 0, HTTP_EXPORT_AT(at, user_agent), "weir", NULL, NULL, NULL, NULL, "The user-agent to send.", NULL, 0 }, \
  { "max_conns_per_host", WEIR_T_UINT, 0, HTTP_EXPORT_AT(at, max_conns_per_host), "16", "1", "1000", NULL, "connections", \
    "The most connections per lane. They spread over the addresses of the name.", NULL, 0 }, \
  { "max_idle_conns", WEIR_T_UINT, 0, HTTP_EXPORT_AT(at, max_idle_conns), "100", "0", NULL, NULL, "connections", \
    "The most connections per lane that are kept without a request; 0 = without limit.", NULL, 0 }, \
  { "max_idle_conns_per_host", WEIR_T_UINT, 0, HTTP_EXPORT_AT(at, max_idle_conns_per_host), "0", "0", NULL, NULL, "connections", \
    "The same, as an exporter has one host; 0 = as many as max_conns_per_host allows.", NULL, 0 }, \
  { "idle_conn_timeout", WEIR_T_DURATION, 0, HTTP_EXPORT_AT(at, idle_conn_timeout), "90s", "1s", NULL, NULL, NULL, "Closes a connection that was idle this long.", NULL, 0 }, \
  { "disable_keep_alives", WEIR_T_BOOL, 0, HTTP_EXPORT_AT(at, disable_keep_alives), "false", NULL, NULL, NULL, NULL, \
    "true: a connection for each request.", NULL, 0 }, \
  { "force_attempt_http2", WEIR_T_BOOL, 0, HTTP_EXPORT_AT(at, force_attempt_http2), "true", NULL, NULL, NULL, NULL, \
    HTTP_EXPORT_UNUSED "requests are HTTP/1.1.", NULL, 0 }, \
  { "http2_read_idle_timeout", WEIR_T_DURATION, 0, HTTP_EXPORT_AT(at, http2_read_idle_timeout), "0", "0", NULL, NULL, NULL, \
    HTTP_EXPORT_UNUSED "requests are HTTP/1.1.", NULL, 0 }, \
  { "http2_ping_timeout", WEIR_T_DURATION, 0, HTTP_EXPORT_AT(at, http2_ping_timeout), "15s", "0", NULL, NULL, NULL, \
    HTTP_EXPORT_UNUSED "requests are HTTP/1.1.", NULL, 0 }, \
  { "read_buffer_size", WEIR_T_BYTES, 0, HTTP_EXPORT_AT(at, read_buffer_size), "0", NULL, NULL, NULL, NULL, \
    HTTP_EXPORT_UNUSED "a lane reads through one buffer.", NULL, 0 }, \
  { "write_buffer_size", WEIR_T_BYTES, 0, HTTP_EXPORT_AT(at, write_buffer_size), "512KiB", NULL, NULL, NULL, NULL, \
    HTTP_EXPORT_UNUSED "bodies are sent from where they stand.", NULL, 0 }, \
  { "proxy_url", WEIR_T_STRING, WEIR_SECRET, HTTP_EXPORT_AT(at, proxy_url), NULL, NULL, NULL, NULL, NULL, \
    "Proxies are not supported: setting it is an error. HTTP_PROXY and its like are not read.", NULL, 0 }, \
  { "auth", WEIR_T_OPT_GROUP, 0, HTTP_EXPORT_AT(at, auth), NULL, NULL, NULL, NULL, NULL, "Adds credentials or other headers to each request; absent = none.", \
    kit_auth_client_fields, sizeof(struct kit_auth_config) }

/* --- opening ---------------------------------------------------------------------------------------------------------------- */

struct http_export;

/* Reads an answer for the stage and may change the verdict. `arg` is the request's. v->msg points at text (cap bytes, for its words) or is NULL. */
typedef void http_export_answer_f(void *self, void *arg, const struct weir_http_response *, struct weir_verdict *v, char *text, size_t cap);

/* What one client is for. Strings are borrowed until close. */
struct http_export_setup {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct http_export_config *config;
  const char *url, *field; /* http[s]://host[:port][/path] or unix:///path; the key to blame for it */
  const char *suffix;      /* added to the URL's path, whose trailing slashes go; NULL: the URL is whole (and no socket) */
  const char *content_type;
  const char *coding; /* the Content-Encoding when the protocol knows one alone ("snappy"); NULL = as the configuration says */
  uint64_t max_response_bytes; /* of an answer's body; 0 = 64 KiB */
  void *self;
  /* Exactly once for each request that was sent, in a later step. */
  void (*on_verdict)(void *self, void *arg, const struct weir_verdict *);
  /* 2xx: the verdict is WEIR_DELIVERED without message. NULL = nothing to read. */
  http_export_answer_f *success;
  /* Any other status: the verdict is the status's, text is "HTTP 400: " with a textual body's beginning. NULL = that is all. */
  http_export_answer_f *refusal;
};

/* Checks URL, headers, compression and credentials and makes the client. On failure err->field names the key, and nothing is left behind. */
int http_export_open(const struct http_export_setup *, struct http_export **ret, struct weir_error *);
/* NULL is allowed. */
void http_export_close(struct http_export *);
/* host:port, for logs. */
const char *http_export_authority(const struct http_export *);

/* --- sending ----------------------------------------------------------------------------------------------------------------- */

#define HTTP_EXPORT_REQUEST_HEADERS 8u

/* One request. */
struct http_export_request {
  struct weir_batch *batch;   /* whose context is signed for and whose deadline holds; it lives until the verdict */
  const struct weir_iov *iov; /* the body, not compressed; the array is borrowed for the call, what it points at until the verdict */
  size_t n_iov;
  int32_t transient;          /* what iov points at lives until the call returns only */
  struct weir_body *own;      /* a body that iov points into; taken, also on failure. NULL = none */
  const struct weir_http_header *headers; /* of this request alone, at most HTTP_EXPORT_REQUEST_HEADERS, names in lower case: each goes before the client's of its name. */
  size_t n_headers;                       /* Borrowed for the call */
  void *arg;
};

/* Compresses, signs and sends. 0: the verdict follows. Else nothing was sent, no verdict follows, and *ret_v is what to say of it (its message is err's). */
int http_export_send(struct http_export *, const struct http_export_request *, struct weir_verdict *ret_v, struct weir_error *);

/* Frees a body that was made for a request and is not sent. NULL is allowed. */
void http_export_free(struct http_export *, struct weir_body *);
/* Whether an answer's content type is JSON, or text/... */
int http_export_is_json(const struct weir_http_response *);
int http_export_is_text(const struct weir_http_response *);

#endif
