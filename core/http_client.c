/* Connections of the HTTP client: resolving, connecting, matching calls to them, their ends. What goes over the wire is in http1_client.c and http2_client.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_call.h"
#include "core/parse.h"

#define REOPEN_NS (100 * NS_PER_MS) /* before another connection is tried beside those that are up */

/* --- links ---------------------------------------------------------------------------------------------------- */

static void link_free(struct http_link *l) {
  struct weir_http_client *cl = l->client;
  if (l->prev) l->prev->next = l->next;
  else cl->links = l->next;
  if (l->next) l->next->prev = l->prev;
  cl->n_links--;
  if (l->addresses) uv_freeaddrinfo(l->addresses);
  l->magic = 0;
  free(l);
  if (cl->waiting && !cl->closed) loop_defer(cl->loop, &cl->work);
  client_maybe_free(cl);
}

void link_close(struct http_link *l, const char *why) {
  if (l->state == LINK_CLOSING) return;
  l->state = LINK_CLOSING;
  timer_cancel(l->client->loop, &l->timer);
  loop_cancel(l->client->loop, &l->pump);
  while (l->calls) {
    struct weir_http_call *call = l->calls;
    int fresh = l->n_served == 0;
    if (!fresh && !l->h2 && !l->got_bytes) call_again(call, why); /* a kept connection that had gone stale */
    else call_fail(call, WEIR_E_IO, "%s", why);
  }
  if (l->h2) http2_link_done(l);
  if (l->has_io) http_io_close(&l->io);
  else if (l->resolving) uv_cancel((uv_req_t *)&l->resolve); /* its callback comes, and frees */
  else link_free(l);
}

static void on_io_closed(struct http_io *io) {
  struct http_link *l = (struct http_link *)(void *)io;
  l->has_io = 0;
  link_free(l);
}

static void on_io_read(struct http_io *io, const char *p, size_t n) {
  struct http_link *l = (struct http_link *)(void *)io;
  CHECK_MAGIC(l, LINK_MAGIC);
  l->got_bytes = 1;
  l->heard_ns = clock_mono_ns();
  if (l->h2) http2_link_read(l, p, n);
  else http1_link_read(l, p, n);
}

static void address_failed(struct http_link *);
static void on_io_secure(struct http_io *, uint32_t alpn);

static void on_io_end(struct http_io *io, int uv_error) {
  struct http_link *l = (struct http_link *)(void *)io;
  if (!l->h2 && uv_error == 0) http1_link_end(l);
  const char *tls = http_io_tls_failure(io);
  char why[400];
  if (tls) snprintf(why, sizeof why, "TLS: %s", tls);
  else snprintf(why, sizeof why, "the connection was closed%s%s", uv_error ? ": " : " by the peer", uv_error ? uv_strerror(uv_error) : "");
  if (l->state == LINK_CONNECTING) { /* in the TLS handshake */
    weir_fail(&l->err, WEIR_E_IO, "%s: %s", l->client->endpoint, why);
    address_failed(l);
    return;
  }
  link_close(l, why);
}

static void on_io_drain(struct http_io *io) {
  struct http_link *l = (struct http_link *)(void *)io;
  if (l->h2) http2_link_pump(l);
  else http1_continue(l);
}

static const struct http_io_ops link_ops = { on_io_read, on_io_end, on_io_drain, on_io_closed, on_io_secure };

static void fail_waiting(struct weir_http_client *cl, const struct weir_error *err) {
  while (cl->waiting) {
    struct weir_http_call *call = cl->waiting;
    call_leave_line(call);
    call->err = *err;
    call_over(call);
  }
}

/* No address answered: those who wait for a connection hear why. Where another one is up they wait for that, and this is tried again in a while. */
static void connect_failed(struct http_link *l) {
  struct weir_http_client *cl = l->client;
  int others = 0;
  for (struct http_link *o = cl->links; o; o = o->next) others += o != l && o->state == LINK_READY && !o->retiring;
  if (!others) fail_waiting(cl, &l->err);
  else timer_set(cl->loop, &cl->reopen, REOPEN_NS);
  link_close(l, l->err.msg);
}

/* This address refused or is silent: the link closes quietly, and as it is freed the waiting calls open another one, to the next address. */
static void address_failed(struct http_link *l) {
  if (l->address && l->address->ai_next) {
    l->client->address_skip++;
    link_close(l, l->err.msg);
    return;
  }
  l->client->address_skip = 0;
  connect_failed(l);
}

static void link_ready(struct http_link *);

static void on_io_secure(struct http_io *io, uint32_t alpn) {
  struct http_link *l = (struct http_link *)(void *)io;
  if (!(l->client->cfg.flags & WEIR_HTTP_H2_ONLY) || alpn == TLS_ALPN_H2) {
    link_ready(l);
    return;
  }
  weir_fail(&l->err, WEIR_E_IO, "%s: TLS: the server does not agree on HTTP/2 (ALPN h2), which gRPC needs: is it a gRPC port?", l->client->endpoint);
  address_failed(l);
}

static void on_connect(uv_connect_t *req, int status) {
  struct http_link *l = req->data;
  if (l->state == LINK_CLOSING || status == UV_ECANCELED) return;
  if (status < 0) {
    weir_fail(&l->err, WEIR_E_IO, "%s: %s", l->client->endpoint, uv_strerror(status));
    address_failed(l);
    return;
  }
  uv_tcp_nodelay(&l->io.u.tcp, 1);
  uv_tcp_keepalive(&l->io.u.tcp, 1, HTTP_IO_KEEPALIVE_S);
  if (!l->client->tls.context) {
    link_ready(l);
    return;
  }
  if (http_io_secure(&l->io, &l->client->tls, l->client->tls_name, l->client->cfg.flags & WEIR_HTTP_H2_ONLY ? TLS_ALPN_H2 : TLS_ALPN_HTTP1)) {
    link_close(l, "cannot begin TLS");
    return;
  }
  http_io_start(&l->io); /* the connect time-out runs until the handshake is done */
}

static void link_ready(struct http_link *l) {
  l->state = LINK_READY;
  l->client->address_skip = 0;
  timer_cancel(l->client->loop, &l->timer);
  if (l->client->cfg.flags & WEIR_HTTP_H2_ONLY) {
    if (http2_link_begin(l)) {
      link_close(l, "cannot begin HTTP/2");
      return;
    }
  } else {
    http1_link_begin(l);
  }
  http_io_start(&l->io);
  link_idle(l);
}

static void connect_address(struct http_link *l) {
  int r = http_io_init(&l->io, l->client->loop, &link_ops, 0);
  if (r) {
    weir_fail(&l->err, WEIR_E_IO, "%s: %s", l->client->endpoint, uv_strerror(r));
    connect_failed(l);
    return;
  }
  l->has_io = 1;
  l->state = LINK_CONNECTING;
  l->connect.data = l;
  r = uv_tcp_connect(&l->connect, &l->io.u.tcp, l->address->ai_addr, on_connect);
  if (r) {
    weir_fail(&l->err, WEIR_E_IO, "%s: %s", l->client->endpoint, uv_strerror(r));
    address_failed(l);
  }
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
  struct http_link *l = req->data;
  l->resolving = 0;
  l->addresses = list;
  if (l->state == LINK_CLOSING) {
    link_free(l);
    return;
  }
  if (status < 0 || !list) {
    weir_fail(&l->err, WEIR_E_IO, "%s: cannot resolve the name: %s", l->client->endpoint, uv_strerror(status));
    connect_failed(l);
    return;
  }
  l->address = list;
  for (uint32_t skip = l->client->address_skip; skip && l->address->ai_next; skip--) l->address = l->address->ai_next;
  connect_address(l);
}

static void on_link_timer(void *arg) {
  struct http_link *l = arg;
  if (l->state == LINK_READY) {
    link_close(l, "idle");
    return;
  }
  weir_fail(&l->err, WEIR_E_IO, "%s: no connection within the connect time-out%s", l->client->endpoint, l->has_io && l->io.tls ? ": the TLS handshake stands still" : "");
  address_failed(l);
}

static int literal_address(struct http_link *l) {
  const struct weir_http_client *cl = l->client;
  struct sockaddr_in *in = (struct sockaddr_in *)&l->literal_to;
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&l->literal_to;
  if (uv_ip4_addr(cl->host, cl->port, in) == 0) l->literal.ai_addrlen = sizeof *in;
  else if (uv_ip6_addr(cl->host, cl->port, in6) == 0) l->literal.ai_addrlen = sizeof *in6;
  else return 0;
  l->literal.ai_addr = (struct sockaddr *)&l->literal_to;
  return 1;
}

static void link_open(struct weir_http_client *cl) {
  struct http_link *l = calloc(1, sizeof *l);
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
  char service[16];
  WEIR_ASSERT(l != NULL);
  l->magic = LINK_MAGIC;
  l->client = cl;
  l->next = cl->links;
  if (cl->links) cl->links->prev = l;
  cl->links = l;
  cl->n_links++;
  l->timer.fn = on_link_timer;
  l->timer.arg = l;
  l->resolve.data = l;
  timer_set(cl->loop, &l->timer, cl->cfg.connect_timeout_ns);
  snprintf(service, sizeof service, "%d", cl->port);
  if (literal_address(l)) { /* no thread is started for it */
    l->address = &l->literal;
    connect_address(l);
    return;
  }
  l->resolving = 1;
  int r = uv_getaddrinfo(&cl->loop->uv, &l->resolve, on_resolved, cl->host, service, &hints);
  if (r == 0) return;
  l->resolving = 0;
  weir_fail(&l->err, WEIR_E_IO, "%s: cannot resolve the name: %s", cl->endpoint, uv_strerror(r));
  connect_failed(l);
}

/* --- matching calls and links ---------------------------------------------------------------------------------------- */

/* fresh: only a connection on which nothing can have gone stale. */
static struct http_link *ready_link(struct weir_http_client *cl, int fresh) {
  struct http_link *best = NULL;
  for (struct http_link *l = cl->links; l; l = l->next) {
    if (l->state != LINK_READY || l->retiring || (fresh && !l->h2 && l->n_served) || (l->h2 ? !http2_has_room(l) : l->n_calls > 0)) continue;
    if (!best || l->n_calls < best->n_calls) best = l;
  }
  return best;
}

static uint32_t opening_links(const struct weir_http_client *cl) {
  uint32_t n = 0;
  for (const struct http_link *l = cl->links; l; l = l->next) n += l->state == LINK_RESOLVING || l->state == LINK_CONNECTING;
  return n;
}

static uint32_t live_links(const struct weir_http_client *cl) {
  uint32_t n = 0;
  for (const struct http_link *l = cl->links; l; l = l->next) n += l->state != LINK_CLOSING && !l->retiring;
  return n;
}

static void start_call(struct http_link *l, struct weir_http_call *call) {
  call->link = l;
  call->prev = NULL;
  call->next = l->calls;
  if (l->calls) l->calls->prev = call;
  l->calls = call;
  l->n_calls++;
  timer_cancel(l->client->loop, &l->timer);
  call->sent = 1;
  call->begun_ns = clock_mono_ns();
  if (l->h2) http2_send(l, call);
  else http1_send(l, call);
}

/* A kept connection had gone stale, so the others that idle may have, too: they make room for a fresh one. */
static void close_stale(struct weir_http_client *cl) {
  for (struct http_link *l = cl->links, *next; l; l = next) {
    next = l->next;
    if (l->state == LINK_READY && !l->h2 && l->n_calls == 0 && l->n_served) link_close(l, "stale");
  }
}

static void work(void *arg) {
  struct weir_http_client *cl = arg;
  uint32_t waiting = 0;
  while (cl->waiting) {
    struct weir_http_call *call = cl->waiting;
    struct http_link *l = ready_link(cl, call->retried);
    if (!l) break;
    call_leave_line(call);
    start_call(l, call);
  }
  for (struct weir_http_call *call = cl->waiting; call; call = call->next) waiting++;
  int h2 = cl->cfg.flags & WEIR_HTTP_H2_ONLY ? 1 : 0;
  uint32_t want = h2 ? (waiting > 0) : waiting;
  if (cl->waiting && cl->waiting->retried) close_stale(cl);
  while (cl->waiting && !cl->reopen.slot && opening_links(cl) < want && live_links(cl) < cl->cfg.max_connections) link_open(cl);
}

void link_idle(struct http_link *l) {
  struct weir_http_client *cl = l->client;
  if (l->state != LINK_READY) return;
  if (l->n_calls == 0) {
    if (l->retiring || cl->closed) {
      link_close(l, "closed");
      return;
    }
    timer_set(cl->loop, &l->timer, cl->cfg.idle_timeout_ns);
  }
  if (cl->waiting) loop_defer(cl->loop, &cl->work);
}

/* --- the client ------------------------------------------------------------------------------------------------------- */

int http_client_open(struct loop *loop, const struct weir_http_client_config *cfg, struct weir_http_client **ret, struct weir_error *err) {
  struct weir_http_client *cl = calloc(1, sizeof *cl);
  WEIR_ASSERT(cl != NULL);
  if (parse_endpoint(cfg->endpoint, cl->host, sizeof cl->host, &cl->port) || cl->port <= 0 || !cl->host[0]) {
    free(cl);
    weir_fail(err, WEIR_E_CONFIG, "`%s` is no address to connect to", cfg->endpoint);
    weir_hint(err, "write host:port, such as localhost:4317");
    return WEIR_E_CONFIG;
  }
  cl->magic = CLIENT_MAGIC;
  cl->loop = loop;
  memcpy(&cl->cfg, cfg, cfg->size < sizeof cl->cfg ? cfg->size : sizeof cl->cfg);
  cl->cfg.endpoint = cl->endpoint = strdup(cfg->endpoint);
  WEIR_ASSERT(cl->endpoint != NULL);
  if (!cl->cfg.max_response_bytes) cl->cfg.max_response_bytes = 4u << 20;
  if (!cl->cfg.max_connections) cl->cfg.max_connections = cfg->flags & WEIR_HTTP_H2_ONLY ? 1 : 16;
  if (!cl->cfg.connect_timeout_ns) cl->cfg.connect_timeout_ns = 5 * NS_PER_S;
  if (!cl->cfg.idle_timeout_ns) cl->cfg.idle_timeout_ns = 90 * NS_PER_S;
  const char *name = cfg->size > offsetof(struct weir_http_client_config, tls) && cfg->tls ? cfg->tls->server_name : NULL;
  snprintf(cl->tls_name, sizeof cl->tls_name, "%s", name && *name ? name : cl->host);
  int r = tls_use_begin(&cl->tls, loop, 0, cl->cfg.tls, err);
  cl->cfg.tls = NULL;
  if (r) {
    free(cl->endpoint);
    free(cl);
    return r;
  }
  cl->waiting_tail = &cl->waiting;
  cl->work.fn = work;
  cl->work.arg = cl;
  cl->reopen.fn = work;
  cl->reopen.arg = cl;
  *ret = cl;
  return 0;
}

void client_maybe_free(struct weir_http_client *cl) {
  if (!cl->closed || cl->n_links || cl->n_calls) return;
  loop_cancel(cl->loop, &cl->work);
  timer_cancel(cl->loop, &cl->reopen);
  tls_use_end(&cl->tls);
  cl->magic = 0;
  free(cl->endpoint);
  free(cl);
}

void http_client_close(struct weir_http_client *cl) {
  if (!cl) return;
  CHECK_MAGIC(cl, CLIENT_MAGIC);
  struct weir_error err = { 0 };
  weir_fail(&err, WEIR_E_STATE, "%s: the client was closed", cl->endpoint);
  cl->n_calls++; /* holds the client while its parts go */
  cl->closed = 1;
  fail_waiting(cl, &err);
  for (struct http_link *l = cl->links, *next; l; l = next) {
    next = l->next;
    link_close(l, "the client was closed");
  }
  cl->n_calls--;
  client_maybe_free(cl);
}
