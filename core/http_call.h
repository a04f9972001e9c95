/*
 * core/http_call.h - inside the HTTP client: calls and connections, shared by http_call.c, http_client.c, http1_client.c and http2_client.c. All [lane].
 */
#ifndef CORE_HTTP_CALL_H
#define CORE_HTTP_CALL_H

#include <llhttp.h>
#include <nghttp2/nghttp2.h>

#include "core/http_client.h"
#include "core/http_io.h"
#include "core/resolve.h"

#define CALL_MAGIC 0xca11ca11u
#define CLIENT_MAGIC 0xc11ec11eu
#define LINK_MAGIC 0x11c811c8u
#define CALL_MAX_HEADERS 128u
#define CALL_MAX_HEADER_TEXT (64u << 10)

struct text_at {
  uint32_t at, n;
};

/* One request and what has come of its response. */
struct weir_http_call {
  uint32_t magic;
  struct weir_http_client *client;
  struct weir_http_call *next, *prev; /* the client's waiting list or its link's running list */
  struct http_link *link;             /* NULL while waiting and when over */
  int32_t stream_id;
  char *method, *path, *authority, *header_text;
  struct weir_http_header *headers;
  size_t n_headers;
  struct weir_iov *body;
  size_t n_body, body_bytes, iov_at, iov_off; /* position of what is still to be sent */
  size_t body_given;                          /* HTTP/2: promised to nghttp2 in DATA frames */
  struct timer deadline;
  int64_t begun_ns; /* when it was given to its connection */
  weir_http_response_f *on_response;
  void *arg;
  struct defer deliver;
  int sent, retried, over, timed_out, in_trailers, ended, cut; /* cut: there is more of the response than is wanted */
  int in_head; /* HTTP/2: the header block being read began with :status */
  int not_sent; /* HTTP/2: the session refused to send it, as the peer is going away */
  /* the response */
  uint32_t status;
  char *text;
  size_t text_n, text_cap;
  struct text_at at[2 * CALL_MAX_HEADERS]; /* name, value */
  size_t n_at, n_first; /* n_first: headers; behind them trailers */
  struct weir_body *reply;
  struct weir_error err;
};

enum link_state { LINK_CONNECTING, LINK_READY, LINK_CLOSING };

/* One connection to the peer. */
struct http_link {
  struct http_io io; /* first */
  uint32_t magic;
  enum link_state state;
  struct weir_http_client *client;
  struct http_link *next, *prev;
  struct weir_http_call *calls;
  uint32_t n_calls, n_served;
  struct timer timer; /* connect or idle time-out */
  uv_connect_t connect;
  struct sockaddr_storage to;
  uint64_t turn; /* the client's count when it last took a call */
  int probe;     /* to an address that failed, while others do: no call waits for it */
  int retiring; /* GOAWAY, Connection: close, or silence: no more calls */
  int64_t heard_ns; /* when the peer last sent something */
  int has_io;
  struct weir_error err; /* why it ended */
  /* HTTP/1.1 */
  llhttp_t parser;
  int message_done, got_bytes, in_value, headers_done;
  /* HTTP/2 */
  nghttp2_session *h2;
  struct weir_iov gather[HTTP_IO_SEGMENTS];
  size_t n_gather, heads_n;
  char heads[8192]; /* frame headers between gathered bodies */
  struct defer pump;
  int in_session;
  struct timer ping;
  int64_t ready_ns, pinged_ns; /* pinged: when a PING went out that nothing came after; 0 = none */
};

/* One of the addresses of the endpoint's name. */
struct http_address {
  struct sockaddr_storage to;
  int64_t backoff_ns;    /* of its last failure; 0 = it has not failed */
  int64_t not_before_ns; /* not tried before */
};

struct weir_http_client {
  uint32_t magic;
  struct loop *loop;
  struct weir_http_client_config cfg;
  char *endpoint, host[256], tls_name[256], *authority, *dns_server; /* dns_server: NULL = the system's */
  struct tls_use tls; /* tls_name: whom TLS asks for and verifies */
  int port, closed, fixed; /* fixed: the endpoint is an address */
  struct http_address *addresses;
  uint32_t n_addresses, next_address;
  struct resolve *resolving;
  struct timer resolve_timer;
  int renew; /* something failed: the name may have other addresses by now */
  int64_t resolve_not_before_ns, resolve_backoff_ns, stale_ns;
  uint64_t turn;
  char why[sizeof((struct weir_error *)0)->msg]; /* the last failure to connect; empty after a success */
  struct http_link *links;
  uint32_t n_links, n_calls; /* n_calls: that exist */
  struct weir_http_call *waiting, **waiting_tail;
  struct defer work;
  struct timer reopen; /* armed: no connection is opened now */
};

/* --- http_call.c --- */
void call_over(struct weir_http_call *); /* its outcome stands: told in a later step */
void call_leave_line(struct weir_http_call *);
/* Response pieces as they come. Non-zero: over a limit, the call was ended. */
int call_header(struct weir_http_call *, const char *name, size_t name_n, const char *value, size_t value_n);
int call_header_more(struct weir_http_call *, int is_value, const char *p, size_t n); /* the rest of the last header's name or value */
int call_body(struct weir_http_call *, const char *p, size_t n);
void call_forget_headers(struct weir_http_call *); /* of a 1xx response */
void call_done(struct weir_http_call *);           /* the response is whole */
void call_fail(struct weir_http_call *, int code, const char *fmt, ...) WEIR_PRINTF(3, 4); /* a WEIR_E_ code */
/* Back to the waiting list, once, as the peer did not process it; after that it fails with `why`. */
void call_again(struct weir_http_call *, const char *why);

/* --- http_client.c --- */
void client_maybe_free(struct weir_http_client *);
void client_fail_waiting(struct weir_http_client *, const struct weir_error *);
void link_retire(struct http_link *); /* no more calls; it ends with its last one */
void link_close(struct http_link *, const char *why); /* ends its calls */
void link_idle(struct http_link *);                /* a call ended: take another, or wait, or close */

/* --- http_address.c --- */
int address_init(struct weir_http_client *, struct weir_error *); /* from cl->endpoint */
void address_done(struct weir_http_client *);
void address_failed(struct weir_http_client *, const struct sockaddr_storage *, int others); /* others: there are connections that work */
void address_answered(struct weir_http_client *, const struct sockaddr_storage *);
/* The next to connect to, of those that have failed (and waited) or that have not; unlinked: without a connection. NULL: none now. */
struct http_address *address_next(struct weir_http_client *, int failed, int unlinked);
int64_t address_wait_ns(const struct weir_http_client *); /* until one may be tried, or the name be asked for; INT64_MAX: nothing to wait for */
void addresses_renew(struct weir_http_client *); /* asks for the name's addresses, when it is time */
void addresses_stop(struct weir_http_client *);

/* --- http1_client.c --- */
void http1_link_begin(struct http_link *);
void http1_send(struct http_link *, struct weir_http_call *);
void http1_continue(struct http_link *); /* room to write */
void http1_link_read(struct http_link *, const char *p, size_t n);
/* End of stream: a body that lasts until the connection closes is whole now. */
void http1_link_end(struct http_link *);

/* --- http2_client.c --- */
int http2_link_begin(struct http_link *);
int http2_has_room(const struct http_link *);
void http2_send(struct http_link *, struct weir_http_call *);
void http2_cancel(struct http_link *, struct weir_http_call *);
void http2_link_pump(struct http_link *);
void http2_link_read(struct http_link *, const char *p, size_t n);
void http2_link_done(struct http_link *);
void http2_link_watch(struct http_link *); /* keepalive: a call began, or it became ready */

#endif
