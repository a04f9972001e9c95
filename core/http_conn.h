/*
 * core/http_conn.h - inside the HTTP server: connections and exchanges, shared by http_server.c, http_exchange.c, http1_server.c and http2_server.c.
 *
 * An exchange is one request and its answer. While it is being received it belongs to its connection; from on_request to the reply it belongs to the
 * handler, and outlives a connection that ends meanwhile (conn == NULL then). A server outlives its connections and exchanges. All [lane].
 */
#ifndef CORE_HTTP_CONN_H
#define CORE_HTTP_CONN_H

#include <llhttp.h>
#include <nghttp2/nghttp2.h>

#include "core/http_io.h"
#include "core/http_server.h"
#include "core/listener.h"
#include "core/metrics.h"

#define CONN_MAGIC 0xc022c022u
#define EXCHANGE_MAGIC 0xe8c4e8c4u
#define SERVER_MAGIC 0x5e12e125u

#define HTTP_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define HTTP_PREFACE_N 24u
#define EXCHANGES_KEPT 64u /* recycled exchanges per server */
#define HTTP_EARLY_BODY 4000u
#define HTTP_EARLY_NS (50 * NS_PER_MS)

enum exchange_state { EX_RECEIVING, EX_HANDLED, EX_REPLIED };

/* Why the transport itself refused a request or a connection; the label of weir_http_refused_total. */
enum refused { REFUSED_MALFORMED, REFUSED_HEADERS, REFUSED_TOO_LARGE, REFUSED_MEMORY, REFUSED_TIMEOUT, REFUSED_FLOOD, REFUSED_CONNECTIONS, REFUSED_TLS, REFUSED_REASONS };

struct header_at {
  uint32_t name, name_n, value, value_n; /* offsets into text */
};

struct weir_http_exchange {
  uint32_t magic;
  enum exchange_state state;
  struct http_conn *conn; /* NULL: the peer is gone */
  struct weir_http_server *server;
  struct weir_http_exchange *next, *prev; /* the connection's list, or the recycled ones (next) */
  int32_t stream_id;
  int refused, keep_alive, headers_over, head_only, value_ended; /* value_ended: the last header is whole (HTTP/1.1) */
  int unjudged; /* HTTP/2: on_headers is not asked yet, see exchange_headers_done */
  size_t decoded;          /* HTTP/2: bytes that its header lines, and trailers, came to so far, 32 more for each, kept or not */
  uint64_t content_length; /* UINT64_MAX: not given */
  int64_t began_ns, progress_ns; /* progress: when a piece of it last came, or went */
  struct weir_http_request req;
  char *text; /* method, target, header names and values, peer */
  size_t text_n, text_cap;
  uint64_t charged; /* of the byte budget, for text */
  struct header_at authority, method_at, path_at; /* values only */
  struct header_at *at;
  struct weir_http_header *headers;
  size_t n_at, cap_at;
  char *out; /* HTTP/2: the answer's body and trailers, until sent */
  size_t out_n, out_at;
  nghttp2_nv *trailers;
  size_t n_trailers;
};

/* Where header lines are being checked (HTTP/1.1). */
enum scan { SCAN_BEGIN, SCAN_REQUEST, SCAN_LINE_START, SCAN_LINE, SCAN_END };

/* So many at once, then so many a second. */
struct bucket {
  double left;
  int64_t at_ns;
};

struct http_conn {
  struct http_io io; /* first */
  uint32_t magic, proto; /* proto: 0 not known yet, 1, 2 */
  struct weir_http_server *server;
  struct http_conn *prev, *next;
  struct timer timer;
  int64_t progress_ns; /* last time that bytes came or the state changed */
  int64_t header_ns;   /* when the headers, or the connection, began */
  struct weir_http_exchange *exchanges;
  uint32_t n_exchanges;
  char peer[72];
  char preface[HTTP_PREFACE_N];
  uint32_t preface_n;
  int lingering; /* all is said: what still comes is discarded until the peer closes, or a second has passed since the last byte was written */
  struct defer resume;
  /* http_keepalive.c */
  int64_t idle_ns;      /* since when there is no request */
  int64_t old_ns;       /* when it has reached its age; INT64_MAX = never */
  int64_t retire_ns;    /* HTTP/2: when the peer was given notice; 0 = not yet */
  int64_t pinged_ns;    /* when a PING went out that nothing came after; 0 = none */
  int64_t peer_ping_ns; /* the peer's last PING; 0 = none */
  uint32_t strikes;     /* PINGs that came too early */
  int old, evicted, answered_since_ping; /* evicted: closed when the GOAWAY is written, whatever runs */
  /* HTTP/1.1 */
  llhttp_t parser;
  struct weir_http_exchange *current; /* being received, or waiting for its answer */
  struct weir_body *backlog; /* pipelined bytes behind the current request, from backlog_at on; NULL when there are none */
  size_t backlog_at, header_bytes;
  enum scan scan;
  int in_headers, complete, close_after, answered;
  /* HTTP/2 */
  nghttp2_session *h2;
  struct bucket resets, empties;
  uint32_t top_id;   /* highest request so far: stream id / 2 + 1 */
  uint64_t used_ids, ended_ids; /* bit n: top_id - n was a request; the peer ended or reset it */
  int goaway_sent, in_session;
  int notice_heard; /* the final GOAWAY follows when this read is done: gRPC's library writes requests behind the PING's answer */
};

struct weir_http_server {
  uint32_t magic;
  struct loop *loop;
  struct weir_http_server_config cfg;
  char *owner, *endpoint;
  struct listener_member *member;
  struct http_conn *conns;
  uint32_t n_conns, n_spare, n_open; /* n_open: exchanges that exist */
  struct weir_http_exchange *spare;
  struct weir_http_keepalive keepalive;
  int draining, closed;
  int64_t drain_ns;
  weir_fn_f *drained;
  void *drained_arg;
  struct defer drained_step;
  struct http_extra *extra; /* NULL: answers go out as they come */
  struct weir_cell *connections, *refused[REFUSED_REASONS];
  struct tls_use tls; /* of no effect in plaintext */
};

/* --- http_exchange.c --- */
struct weir_http_exchange *exchange_new(struct http_conn *);
void exchange_free(struct weir_http_exchange *); /* drops the body, takes it off its connection, recycles it */
void exchange_detach(struct weir_http_exchange *); /* the handler keeps it, its peer is gone */
void exchange_text(struct weir_http_exchange *, const char *p, size_t n); /* appends to text */
void exchange_add_header(struct weir_http_exchange *, const struct header_at *);
/* All headers are there: builds req, asks on_headers. 0 = go on; else the request was answered.
 * may_wait: more frames of the request are to come (HTTP/2). Then on_headers is asked by exchange_judge, at the request's end, before its body is longer than
 * HTTP_EARLY_BODY, or after HTTP_EARLY_NS, so that what comes with the headers is judged by the protocol's rules before an early refusal ends the stream. */
int exchange_headers_done(struct weir_http_exchange *, int may_wait);
int exchange_judge(struct weir_http_exchange *); /* the same, when it waited */
/* More body. 0 = go on; else the request was answered (413, 503). */
int exchange_body(struct weir_http_exchange *, const char *p, size_t n);
void exchange_dispatch(struct weir_http_exchange *); /* hands it to the handler */
/* Answers with a status and a line of text, and marks the exchange refused. */
void exchange_refuse(struct weir_http_exchange *, uint32_t status, const char *text);
void exchange_free_spare(struct weir_http_server *);
const char *http_reason(uint32_t status);

/* --- http_server.c --- */
/* A connection on a connected socket; takes fd. NULL when the server has too many, or is draining. */
struct http_conn *conn_open(struct weir_http_server *, int fd);
void conn_read(struct http_conn *, const char *p, size_t n); /* bytes from the peer */
void conn_count_refused(struct http_conn *, enum refused);
void conn_close(struct http_conn *);
void conn_linger(struct http_conn *); /* the write side ends behind what is written; then as `lingering` says */
void conn_touch(struct http_conn *);  /* progress was made: time-outs start anew */
void conn_idle(struct http_conn *);   /* its last exchange ended */
void server_maybe_free(struct weir_http_server *);

/* --- http_cors.c --- */
int http_extra_config(struct weir_http_server *, struct weir_error *); /* takes over what cfg.cors and cfg.response_headers point at */
void http_extra_free(struct http_extra *);                              /* NULL is allowed */
int http_is_preflight(const struct weir_http_exchange *); /* whether it is to be answered 204 by the server itself */
/* The answer with the headers that the server adds; they are valid until the next call. */
struct weir_http_reply http_extra_reply(const struct weir_http_exchange *, const struct weir_http_reply *);

/* --- http1_server.c --- */
void http1_begin(struct http_conn *);
void http1_read(struct http_conn *, const char *p, size_t n);
void http1_reply(struct weir_http_exchange *, const struct weir_http_reply *);
void http1_drain(struct http_conn *);
void http1_written(struct http_conn *); /* all that was unwritten is written */

/* --- http2_server.c --- */
int http2_begin(struct http_conn *);
void http2_read(struct http_conn *, const char *p, size_t n);
void http2_reply(struct weir_http_exchange *, const struct weir_http_reply *);
void http2_goaway(struct http_conn *); /* the final one */
void http2_cancel_stream(struct weir_http_exchange *);
void http2_pump(struct http_conn *); /* gives what the session wants to write to the socket */
void http2_done(struct http_conn *);

/* --- http_keepalive.c --- */
void keepalive_config(struct weir_http_server *); /* takes over what cfg.keepalive points at */
void keepalive_begin(struct http_conn *);
int64_t keepalive_due_ns(const struct http_conn *, int64_t due); /* the earlier of due and what is to be done here */
void keepalive_tick(struct http_conn *, int64_t now); /* may close the connection */
void keepalive_retire(struct http_conn *); /* HTTP/2: notice to the peer, then GOAWAY, then the end with the last request */
void keepalive_ping_received(struct http_conn *, const nghttp2_frame *);

#endif
