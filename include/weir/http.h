/*
 * weir/http.h - service "weir.http/1": HTTP server and client, HTTP/1.1 and HTTP/2, in cleartext (prior knowledge) or over TLS (ALPN).
 *
 * Server: one listener per address for the whole process; each connection goes to the least-loaded lane that called
 * listen with the same address and owner id, and is then served by that lane's instance. The body of a request is
 * collected whole in a recycled buffer (limit enforced from content-length and from what arrives), then on_request is called.
 * Client: connections per instance, kept alive. Bodies are gathered from iovecs, never copied in clear.
 * Threads: everything here is [lane]; callbacks come on the lane, never inside the call that caused them.
 * Rules: RFC 9110 (semantics), 9112 (HTTP/1.1), 9113 (HTTP/2). Header names reach stages in lower case.
 */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include <weir/stage.h>
#include <weir/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_HTTP_SERVICE "weir.http/1"

struct weir_http_header {
  struct weir_str name, value;
};

struct weir_http_server;
struct weir_http_client;
struct weir_http_exchange; /* one request being served */
struct weir_http_call;     /* one request being made */

/* A request as the server hears it; valid until the reply. Header names are lower case; pseudo-headers are in the fields. */
struct weir_http_request {
  uint32_t size, version; /* version: 11 or 20 (10 for HTTP/1.0) */
  struct weir_str method, path, query, authority, peer; /* path without '?query'; peer "127.0.0.1:1234" or "unix" */
  const struct weir_http_header *headers;
  size_t n_headers;
  struct weir_body *body; /* decoded per content-encoding by nobody: as received. NULL in on_headers; may be empty. See body_take */
};

/* What to answer. Body is gathered; it is kept alive by `release(release_arg)`, called once when the last byte is
 * written or the connection is gone. release may be NULL when the memory outlives the server (literals). */
struct weir_http_reply {
  uint32_t status;
  const struct weir_http_header *headers; /* borrowed for the call; content-length is added */
  size_t n_headers;
  const struct weir_iov *body; /* the array is borrowed for the call, what it points at until release */
  size_t n_body;
  const struct weir_http_header *trailers; /* HTTP/2 only; borrowed for the call */
  size_t n_trailers;
  weir_fn_f *release;
  void *release_arg;
};

/* All headers are there, the body is not. Return 0 to go on, or an HTTP status (404, 405, 413, 415, 503): the server
 * then answers it at once (filled `reply` headers and body if the handler set them) and does not hold the body. */
typedef uint32_t weir_http_headers_f(void *self, const struct weir_http_request *, struct weir_http_reply *);
/* The whole request is there. Answer with `reply`, now or later, exactly once. */
typedef void weir_http_request_f(void *self, struct weir_http_exchange *, const struct weir_http_request *);

/* The server itself is about to refuse a request, with `status`: 413 (declared or received body over max_body_bytes), 431 (headers) or 503 (the
 * byte budget has no room for the body). `reply` holds the answer it would send; the hook may replace status, headers, body and
 * trailers (gRPC has its own). What the hook fills in must stay valid until the hook is called again. body of the request is NULL. */
typedef void weir_http_refuse_f(void *self, uint32_t status, const struct weir_http_request *, struct weir_http_reply *);

/* When a server ends connections by itself, and which pings it sends and takes. Times in ns; 0 = off, unless it says otherwise. */
struct weir_http_keepalive {
  uint32_t size;
  uint32_t flags;           /* WEIR_HTTP_PING_IDLE */
  int64_t max_age_ns;       /* from then on: HTTP/2 is sent GOAWAY, HTTP/1.1 `connection: close` with its next answer. Spread by 10 % to both sides */
  int64_t max_age_grace_ns; /* HTTP/2: how long requests may still run then; 0 = without limit */
  int64_t ping_after_ns;    /* HTTP/2: a peer that was silent so long is asked by a PING */
  int64_t ping_timeout_ns;  /* and left when it stays silent so much longer; 0 = 20 s */
  int64_t ping_min_ns;      /* HTTP/2: shortest time between the peer's pings; the third that comes too early ends the connection (too_many_pings) */
};

/* Which pages of other origins a browser lets post here, and read the answers: the CORS protocol of the Fetch standard, as the Collector's servers have it.
 * The server answers preflights (OPTIONS with access-control-request-method) 204 by itself, before on_headers, as they carry no credentials, and adds the
 * headers to every answer. A request of another origin is served without them: the browser keeps the answer from its page. */
struct weir_http_cors {
  uint32_t size, reserved;
  struct weir_strings origins; /* "https://shop.example.com"; one `*` in it stands for any text, alone for every origin. In any case. None = CORS is off */
  struct weir_strings headers; /* of requests, beside those that need no leave; `*` = all. None = accept, content-type, x-requested-with */
  struct weir_strings exposed; /* headers of answers that a page may read beside those that need no leave */
  int64_t max_age_s;           /* how long a browser may keep a preflight's answer; 0 = not said (browsers take 5 s), below 0 = not at all */
};
#define WEIR_HTTP_CORS_MAX 100u            /* origins, headers and exposed headers, each */
#define WEIR_HTTP_RESPONSE_HEADERS_MAX 32u

struct weir_http_server_config {
  uint32_t size, flags;
  const char *owner;    /* instances with the same owner and endpoint share one listener; by custom the stage id */
  const char *endpoint; /* "127.0.0.1:4318", "localhost:4318", "[::1]:4318", ":4318" (all), "unix:///path" */
  uint64_t max_body_bytes;            /* 0 = 20 MiB */
  uint64_t max_header_bytes;          /* 0 = 64 KiB, all header lines together */
  uint32_t max_headers;               /* 0 = 128 lines */
  uint32_t max_concurrent_streams;    /* HTTP/2, 0 = 100 */
  uint32_t max_connections;           /* 0 = 10000, of all lanes of the listener; more are closed at accept, counted */
  uint32_t reserved;
  int64_t read_header_timeout_ns;     /* 0 = 60 s: from first byte (or preface) to the end of the headers; also until a new connection's first byte */
  int64_t body_timeout_ns;            /* 0 = 30 s: longest pause between two pieces of a body; then 408 and close */
  int64_t idle_timeout_ns;            /* 0 = none: a connection without a request */
  int64_t write_timeout_ns;           /* 0 = 30 s without progress while an answer is being written */
  int64_t read_timeout_ns;            /* 0 = none: a whole request, from its first byte; then as above */
  weir_http_headers_f *on_headers;    /* optional */
  weir_http_request_f *on_request;
  void *self;
  weir_http_refuse_f *on_refuse; /* optional */
  const struct weir_tls_config *tls; /* NULL = plaintext; borrowed for the call */
  const struct weir_http_keepalive *keepalive; /* NULL = all off; borrowed for the call */
  const struct weir_http_cors *cors;           /* NULL = off; borrowed for the call */
  const struct weir_http_header *response_headers; /* added to each answer that has no header of that name; lower case; borrowed for the call */
  size_t n_response_headers;
};

#define WEIR_HTTP_H2_ONLY 1u /* server: refuse HTTP/1.1 with 505 and a sentence; client: HTTP/2 with prior knowledge.
                               * With TLS both insist that ALPN agrees on h2 */
#define WEIR_HTTP_NO_KEEP_ALIVE 2u /* server and client: a connection serves one request; HTTP/2: those that are under way together */
#define WEIR_HTTP_ROUND_ROBIN 4u   /* client, HTTP/2: a connection to each address of the name, calls in turn; else one, to the first that answers */
#define WEIR_HTTP_PING_IDLE 8u     /* pings also without a request: sent (client), allowed (weir_http_keepalive) */

/* The outcome of a client call. status 0 = no answer: `err` says why; sent != 0 when the request may have reached the peer.
 * A status and `err` (WEIR_E_LIMIT): the peer's answer, with the beginning of a body that is longer than max_response_bytes. */
struct weir_http_response {
  uint32_t size, status;
  const struct weir_http_header *headers;
  size_t n_headers;
  const struct weir_http_header *trailers;
  size_t n_trailers;
  struct weir_body *body; /* capped at max_response_bytes; borrowed for the callback */
  int32_t sent, timed_out;
  const struct weir_error *err;
};
typedef void weir_http_response_f(void *arg, const struct weir_http_response *);

struct weir_http_client_config {
  uint32_t size, flags;
  const char *endpoint; /* "host:port", "dns:///host:port", "dns://server[:port]/host:port" (asks that DNS server), "unix:///path" */
  uint64_t max_response_bytes; /* 0 = 4 MiB */
  uint32_t max_connections;    /* 0 = 1 for HTTP/2, 16 for HTTP/1.1; per instance */
  uint32_t reserved;
  int64_t connect_timeout_ns; /* 0 = 5 s; with the TLS handshake */
  int64_t idle_timeout_ns;    /* 0 = 90 s */
  const struct weir_tls_config *tls; /* NULL = plaintext; borrowed for the call */
  int64_t ping_after_ns;   /* HTTP/2: a peer that was silent so long, with calls under way, is asked by a PING; 0 = never */
  int64_t ping_timeout_ns; /* and left when it stays silent so much longer; 0 = 20 s */
  uint32_t max_idle_connections, reserved2; /* HTTP/1.1: of those without a call; 0 = max_connections */
};

struct weir_http_call_config {
  const char *method; /* "POST" */
  const char *path;   /* with query */
  const char *authority; /* Host; NULL = the endpoint */
  const struct weir_http_header *headers; /* borrowed for the call */
  size_t n_headers;
  const struct weir_iov *body; /* array borrowed for the call; what it points at must live until on_response */
  size_t n_body;
  int64_t deadline_ns; /* on now_mono_ns; 0 = none */
  weir_http_response_f *on_response; /* exactly once, in a later step */
  void *arg;
};

struct weir_http_service {
  uint32_t size, reserved;
  /* Listens, or joins the listener of the same owner and endpoint. Errors name the address and, where known, who holds it. */
  int (*listen)(struct weir_stage *, const struct weir_http_server_config *, struct weir_http_server **ret, struct weir_error *);
  /* Stops accepting, sends GOAWAY / Connection: close, lets running requests end, then calls drained(arg) in a later step.
   * NULL server is allowed (drained is called). */
  void (*drain)(struct weir_http_server *, weir_fn_f *drained, void *arg);
  /* Closes what is left and frees. NULL is allowed. */
  void (*close)(struct weir_http_server *);
  /* Answers. The exchange is gone afterwards. A peer that left meanwhile is no error: release is called all the same. */
  void (*reply)(struct weir_http_exchange *, const struct weir_http_reply *);
  /* Takes the request's body away from the exchange, to be given to a batch or freed with body_free. */
  struct weir_body *(*body_take)(struct weir_http_exchange *);

  int (*client_open)(struct weir_stage *, const struct weir_http_client_config *, struct weir_http_client **ret, struct weir_error *);
  /* Ends running calls with status 0 (each still gets its callback, in a later step), then frees itself. NULL is allowed. */
  void (*client_close)(struct weir_http_client *);
  void (*call)(struct weir_http_client *, const struct weir_http_call_config *);

  /* Recycled buffers. body_new: n = 0, cap >= cap; NULL when the byte budget refuses. body_grow keeps the content; on
   * failure the body is unchanged. [lane] to allocate, [any] to free. */
  struct weir_body *(*body_new)(struct weir_stage *, size_t cap);
  int (*body_grow)(struct weir_body **, size_t cap);
  void (*body_free)(struct weir_body *);

  /* Content-Encoding. inflate: encoding by name (gzip, zstd, deflate, zlib, snappy, x-snappy-framed) -> new body of at most max_bytes; WEIR_E_UNSUPPORTED for a name
   * it does not know, WEIR_E_LIMIT when the output is larger, WEIR_E_INVALID when damaged, WEIR_E_NOMEM when the budget refuses. */
  int (*inflate)(struct weir_stage *, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes,
    struct weir_body **ret, struct weir_error *);
  /* `encoding` as for inflate, at `level`; 0 is the default, 1 (level 6 of gzip costs more than the rest of the pipeline). */
  int (*deflate)(struct weir_stage *, const char *encoding, int level, const struct weir_iov *, size_t n, struct weir_body **ret,
    struct weir_error *);
  /* Whether listen would take this, as far as that is known without listening: the form of the address, and TLS with its files as they are now. For `open`, so
   * that `weir validate` sees it. Errors name the field as listen's do: "tls.cert_file", or none for the endpoint. */
  int (*listen_check)(struct weir_stage *, const struct weir_http_server_config *, struct weir_error *);
};

/* The value of a header by lower-case name, or an empty string with p == NULL. */
static inline struct weir_str weir_http_find(const struct weir_http_header *h, size_t n, const char *name) {
  struct weir_str want = weir_str_of(name), none = { NULL, 0, 0 };
  for (size_t i = 0; i < n; i++)
    if (weir_str_eq(h[i].name, want)) return h[i].value;
  return none;
}

#ifdef __cplusplus
}
#endif
#endif
