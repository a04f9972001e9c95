/* Connections of the HTTP client: connecting, matching calls to them, their ends. Where they go is in http_address.c. What goes over the wire is in http1_client.c and http2_client.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_call.h"

#define REOPEN_MIN_NS NS_PER_MS

/* --- links ---------------------------------------------------------------------------------------------------- */

static void link_free(struct http_link *l) {
  struct weir_http_client *cl = l->client;
  if (l->prev) l->prev->next = l->next;
  else cl->links = l->next;
  if (l->next) l->next->prev = l->prev;
  cl->n_links--;
  l->magic = 0;
  free(l);
  if (cl->waiting && !cl->closed) loop_defer(cl->loop, &cl->work);
  client_maybe_free(cl);
}

void link_close(struct http_link *l, const char *why) {
  if (l->state == LINK_CLOSING) return;
  l->state = LINK_CLOSING;
  timer_cancel(l->client->loop, &l->timer);
  timer_cancel(l->client->loop, &l->ping);
  loop_cancel(l->client->loop, &l->pump);
  while (l->calls) {
    struct weir_http_call *call = l->calls;
    int fresh = l->n_served == 0;
    if (!fresh && !l->h2 && !l->got_bytes) call_again(call, why); /* a kept connection that had gone stale */
    else call_fail(call, WEIR_E_IO, "%s", why);
  }
  if (l->h2) http2_link_done(l);
  if (l->has_io) http_io_close(&l->io);
  else link_free(l);
}

void link_retire(struct http_link *l) {
  l->retiring = 1;
  if (l->state == LINK_CONNECTING) link_close(l, "the name has not got this address any more");
  else link_idle(l);
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
  if (!l->heard_ns) address_answered(l->client, &l->to);
  l->heard_ns = clock_mono_ns();
  l->pinged_ns = 0;
  if (l->h2) http2_link_read(l, p, n);
  else http1_link_read(l, p, n);
}

static void connect_failed(struct http_link *);
static void on_io_secure(struct http_io *, uint32_t alpn);

static int others_work(const struct http_link *l) {
  for (const struct http_link *o = l->client->links; o; o = o->next)
    if (o != l && o->state == LINK_READY && !o->retiring) return 1;
  return 0;
}

static void on_io_end(struct http_io *io, int uv_error) {
  struct http_link *l = (struct http_link *)(void *)io;
  if (!l->heard_ns && (l->h2 || l->calls)) address_failed(l->client, &l->to, others_work(l)); /* accepts, and says nothing: as good as a refusal */
  l->client->renew = 1;
  if (!l->h2 && uv_error == 0) http1_link_end(l);
  const char *tls = http_io_tls_failure(io);
  char why[400];
  if (tls) snprintf(why, sizeof why, "TLS: %s", tls);
  else snprintf(why, sizeof why, "the connection was closed%s%s", uv_error ? ": " : " by the peer", uv_error ? uv_strerror(uv_error) : "");
  if (l->state == LINK_CONNECTING) { /* in the TLS handshake */
    weir_fail(&l->err, WEIR_E_IO, "%s: %s", l->client->endpoint, why);
    connect_failed(l);
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

void client_fail_waiting(struct weir_http_client *cl, const struct weir_error *err) {
  while (cl->waiting) {
    struct weir_http_call *call = cl->waiting;
    call_leave_line(call);
    call->err = *err;
    call_over(call);
  }
}

static int is_opening(const struct weir_http_client *cl) {
  for (const struct http_link *l = cl->links; l; l = l->next)
    if (l->state == LINK_CONNECTING) return 1;
  return 0;
}

/* This address refused or is silent. Those who wait hear of it when no other one is left to try now. */
static void connect_failed(struct http_link *l) {
  struct weir_http_client *cl = l->client;
  struct weir_error err = l->err;
  int others = others_work(l);
  snprintf(cl->why, sizeof cl->why, "%s", err.msg);
  address_failed(cl, &l->to, others);
  link_close(l, cl->why);
  if (!others && !is_opening(cl) && !address_next(cl, 0, 0) && !address_next(cl, 1, 0)) client_fail_waiting(cl, &err);
}

static void link_ready(struct http_link *l) {
  struct weir_http_client *cl = l->client;
  cl->why[0] = 0;
  l->state = LINK_READY;
  l->ready_ns = clock_mono_ns();
  timer_cancel(cl->loop, &l->timer);
  if (cl->cfg.flags & WEIR_HTTP_H2_ONLY) {
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

static void on_connect(uv_connect_t *req, int status) {
  struct http_link *l = req->data;
  if (l->state == LINK_CLOSING || status == UV_ECANCELED) return;
  if (status < 0) {
    weir_fail(&l->err, WEIR_E_IO, "%s: %s", l->client->endpoint, uv_strerror(status));
    connect_failed(l);
    return;
  }
  if (l->to.ss_family != AF_UNIX) {
    uv_tcp_nodelay(&l->io.u.tcp, 1);
    uv_tcp_keepalive(&l->io.u.tcp, 1, HTTP_IO_KEEPALIVE_S);
  }
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

static void on_io_secure(struct http_io *io, uint32_t alpn) {
  struct http_link *l = (struct http_link *)(void *)io;
  if (!(l->client->cfg.flags & WEIR_HTTP_H2_ONLY) || alpn == TLS_ALPN_H2) {
    link_ready(l);
    return;
  }
  weir_fail(&l->err, WEIR_E_IO, "%s: TLS: the server does not agree on HTTP/2 (ALPN h2), which gRPC needs: is it a gRPC port?", l->client->endpoint);
  connect_failed(l);
}

static void on_link_timer(void *arg) {
  struct http_link *l = arg;
  if (l->state == LINK_READY) {
    link_close(l, "idle");
    return;
  }
  weir_fail(&l->err, WEIR_E_IO, "%s: no connection within the connect time-out%s", l->client->endpoint, l->has_io && l->io.tls ? ": the TLS handshake stands still" : "");
  connect_failed(l);
}

/* A failure that is known at once is told in a later step, as the others are. */
static void on_refused(void *arg) { connect_failed(arg); }

static void connect_to(struct http_link *l) {
  int is_unix = l->to.ss_family == AF_UNIX;
  int r = http_io_init(&l->io, l->client->loop, &link_ops, is_unix);
  l->has_io = r == 0;
  l->connect.data = l;
  if (!r && is_unix) uv_pipe_connect(&l->connect, &l->io.u.pipe, ((struct sockaddr_un *)&l->to)->sun_path, on_connect);
  else if (!r) r = uv_tcp_connect(&l->connect, &l->io.u.tcp, (struct sockaddr *)&l->to, on_connect);
  if (!r) return;
  weir_fail(&l->err, WEIR_E_IO, "%s: %s", l->client->endpoint, uv_strerror(r));
  l->timer.fn = on_refused;
  timer_set(l->client->loop, &l->timer, 0);
}

static void link_open(struct weir_http_client *cl, const struct http_address *to, int probe) {
  struct http_link *l = calloc(1, sizeof *l);
  WEIR_ASSERT(l != NULL);
  l->magic = LINK_MAGIC;
  l->client = cl;
  l->to = to->to;
  l->probe = probe;
  l->state = LINK_CONNECTING;
  l->next = cl->links;
  if (cl->links) cl->links->prev = l;
  cl->links = l;
  cl->n_links++;
  l->timer.fn = on_link_timer;
  l->timer.arg = l;
  timer_set(cl->loop, &l->timer, cl->cfg.connect_timeout_ns);
  connect_to(l);
}

/* --- matching calls and links ---------------------------------------------------------------------------------------- */

/* fresh: only a connection on which nothing can have gone stale. In turn, or the one with the fewest calls. */
static struct http_link *ready_link(struct weir_http_client *cl, int fresh) {
  struct http_link *best = NULL;
  int in_turn = cl->cfg.flags & WEIR_HTTP_ROUND_ROBIN ? 1 : 0;
  for (struct http_link *l = cl->links; l; l = l->next) {
    if (l->state != LINK_READY || l->retiring || (fresh && !l->h2 && l->n_served) || (l->h2 ? !http2_has_room(l) : l->n_calls > 0)) continue;
    if (!best || (in_turn ? l->turn < best->turn : l->n_calls < best->n_calls)) best = l;
  }
  return best;
}

static uint32_t opening_links(const struct weir_http_client *cl) {
  uint32_t n = 0;
  for (const struct http_link *l = cl->links; l; l = l->next) n += l->state == LINK_CONNECTING && !l->probe;
  return n;
}

static uint32_t live_links(const struct weir_http_client *cl) {
  uint32_t n = 0;
  for (const struct http_link *l = cl->links; l; l = l->next) n += l->state != LINK_CLOSING && (!l->retiring || !l->h2);
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
  l->turn = ++l->client->turn;
  if (l->client->cfg.flags & WEIR_HTTP_NO_KEEP_ALIVE) l->retiring = 1;
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

/* To each address that has no connection: calls take turns. */
static void open_all(struct weir_http_client *cl) {
  for (int failed = 0; failed < 2; failed++)
    for (struct http_address *a; live_links(cl) < RESOLVE_MAX && (a = address_next(cl, failed, 1));) link_open(cl, a, failed);
}

/* As many as calls wait for (HTTP/2: one), to addresses that have not failed where there are such. */
static void open_some(struct weir_http_client *cl, uint32_t want) {
  while (opening_links(cl) < want && live_links(cl) < cl->cfg.max_connections) {
    struct http_address *a = address_next(cl, 0, 0);
    if (!a && opening_links(cl)) return; /* one that failed is tried once at a time */
    if (!a && !(a = address_next(cl, 1, 0))) return;
    link_open(cl, a, 0);
  }
}

/* HTTP/1.1: an address that failed gets its chance when its wait is over, beside the others. */
static void open_probe(struct weir_http_client *cl) {
  struct http_address *a = live_links(cl) < cl->cfg.max_connections ? address_next(cl, 1, 1) : NULL;
  if (a) link_open(cl, a, 1);
}

static void open_links(struct weir_http_client *cl, uint32_t waiting) {
  int h2 = cl->cfg.flags & WEIR_HTTP_H2_ONLY ? 1 : 0;
  addresses_renew(cl);
  if (cl->cfg.flags & WEIR_HTTP_ROUND_ROBIN) open_all(cl);
  else if (waiting) {
    open_some(cl, h2 ? 1 : waiting);
    if (!h2) open_probe(cl);
  }
  int64_t wait_ns = waiting && !is_opening(cl) && !cl->resolving ? address_wait_ns(cl) : INT64_MAX;
  if (wait_ns != INT64_MAX) timer_set(cl->loop, &cl->reopen, wait_ns > REOPEN_MIN_NS ? wait_ns : REOPEN_MIN_NS);
}

static void work(void *arg) {
  struct weir_http_client *cl = arg;
  uint32_t waiting = 0;
  if (cl->closed) return;
  while (cl->waiting) {
    struct weir_http_call *call = cl->waiting;
    struct http_link *l = ready_link(cl, call->retried);
    if (!l) break;
    call_leave_line(call);
    start_call(l, call);
  }
  for (struct weir_http_call *call = cl->waiting; call; call = call->next) waiting++;
  if (cl->waiting && cl->waiting->retried) close_stale(cl);
  open_links(cl, waiting);
}

/* HTTP/1.1: whether enough others idle already. */
static int is_surplus(const struct http_link *l) {
  uint32_t idle = 0, max = l->client->cfg.max_idle_connections;
  if (l->h2 || !max || l->client->waiting) return 0;
  for (const struct http_link *o = l->client->links; o; o = o->next) idle += o->state == LINK_READY && !o->n_calls;
  return idle > max;
}

void link_idle(struct http_link *l) {
  struct weir_http_client *cl = l->client;
  if (l->state != LINK_READY) return;
  if (l->n_calls == 0) {
    if (l->retiring || cl->closed || is_surplus(l)) {
      link_close(l, "closed");
      return;
    }
    timer_set(cl->loop, &l->timer, cl->cfg.idle_timeout_ns);
  }
  if (cl->waiting) loop_defer(cl->loop, &cl->work);
}

/* --- the client ------------------------------------------------------------------------------------------------------- */

static int open_tls(struct weir_http_client *cl, struct weir_error *err) {
  const struct weir_tls_config *tls = cl->cfg.tls;
  snprintf(cl->tls_name, sizeof cl->tls_name, "%s", tls && tls->server_name && *tls->server_name ? tls->server_name : cl->host);
  cl->cfg.tls = NULL; /* borrowed */
  return tls_use_begin(&cl->tls, cl->loop, 0, tls, err);
}

int http_client_open(struct loop *loop, const struct weir_http_client_config *cfg, struct weir_http_client **ret, struct weir_error *err) {
  struct weir_http_client *cl = calloc(1, sizeof *cl);
  WEIR_ASSERT(cl != NULL);
  cl->magic = CLIENT_MAGIC;
  cl->loop = loop;
  memcpy(&cl->cfg, cfg, cfg->size < sizeof cl->cfg ? cfg->size : sizeof cl->cfg);
  cl->cfg.endpoint = cl->endpoint = strdup(cfg->endpoint);
  WEIR_ASSERT(cl->endpoint != NULL);
  int r = address_init(cl, err);
  if (!r) r = open_tls(cl, err);
  if (r) {
    address_done(cl);
    free(cl->endpoint);
    free(cl);
    return r;
  }
  if (!cl->cfg.max_response_bytes) cl->cfg.max_response_bytes = 4u << 20;
  if (!cl->cfg.max_connections) cl->cfg.max_connections = cfg->flags & WEIR_HTTP_H2_ONLY ? 1 : 16;
  if (!cl->cfg.connect_timeout_ns) cl->cfg.connect_timeout_ns = 5 * NS_PER_S;
  if (!cl->cfg.idle_timeout_ns) cl->cfg.idle_timeout_ns = 90 * NS_PER_S;
  if (!cl->cfg.ping_timeout_ns) cl->cfg.ping_timeout_ns = 20 * NS_PER_S;
  if (!(cl->cfg.flags & WEIR_HTTP_H2_ONLY)) cl->cfg.flags &= ~WEIR_HTTP_ROUND_ROBIN;
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
  address_done(cl);
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
  addresses_stop(cl);
  client_fail_waiting(cl, &err);
  for (struct http_link *l = cl->links, *next; l; l = next) {
    next = l->next;
    link_close(l, "the client was closed");
  }
  cl->n_calls--;
  client_maybe_free(cl);
}
