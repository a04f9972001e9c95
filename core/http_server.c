/* Connections of the HTTP server and their time-outs, which protocol they speak, and the server's own life: listen, drain, close. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_conn.h"
#include "core/log.h"

#define LINGER_NS NS_PER_S
#define TLS_HANDSHAKE 22 /* the first byte of a TLS connection: RFC 8446 section 5.1 */

/* --- time-outs ------------------------------------------------------------------------------------------- */

static int64_t earlier(int64_t due, int64_t from_ns, int64_t limit_ns) { return from_ns < due - limit_ns ? from_ns + limit_ns : due; }

static int64_t exchange_due_ns(const struct http_conn *c, const struct weir_http_exchange *ex, int64_t due) {
  const struct weir_http_server_config *cfg = &c->server->cfg;
  if (ex->unjudged) due = earlier(due, ex->began_ns, HTTP_EARLY_NS);
  if (ex->state == EX_RECEIVING && cfg->read_timeout_ns > 0) due = earlier(due, ex->began_ns, cfg->read_timeout_ns);
  if (ex->state == EX_RECEIVING && ex->req.size == 0) return earlier(due, ex->progress_ns, cfg->read_header_timeout_ns);
  if (ex->state == EX_RECEIVING || (c->proto == 1 && !c->complete)) return earlier(due, ex->progress_ns, cfg->body_timeout_ns);
  if (ex->state == EX_REPLIED && c->proto == 2) return earlier(due, ex->progress_ns, cfg->write_timeout_ns);
  return due;
}

/* When the connection's present state must have ended; INT64_MAX = never. */
static int64_t conn_stalls_ns(const struct http_conn *c) {
  const struct weir_http_server_config *cfg = &c->server->cfg;
  int64_t due = INT64_MAX;
  if (c->lingering && !http_io_stuck(&c->io)) return (c->io.written_ns > c->progress_ns ? c->io.written_ns : c->progress_ns) + LINGER_NS;
  if (c->lingering) return c->io.written_ns + cfg->write_timeout_ns;
  if (http_io_stuck(&c->io)) due = earlier(due, c->io.written_ns, cfg->write_timeout_ns);
  if (c->proto == 0 || c->in_headers > 1) due = earlier(due, c->header_ns, cfg->read_header_timeout_ns);
  for (const struct weir_http_exchange *ex = c->exchanges; ex; ex = ex->next) due = exchange_due_ns(c, ex, due);
  return due;
}

/* The timer may come early, as what is due moves on; it is then armed anew. */
static void conn_watch(struct http_conn *c) {
  int64_t due = conn_stalls_ns(c);
  if (!c->lingering) due = keepalive_due_ns(c, due);
  if (due == INT64_MAX || c->io.closing || (c->timer.slot && c->timer.due_ns <= due)) return;
  timer_set(c->server->loop, &c->timer, due - clock_mono_ns());
}

void conn_touch(struct http_conn *c) {
  c->progress_ns = clock_mono_ns();
  conn_watch(c);
}

void conn_idle(struct http_conn *c) {
  if (c->io.closing) return;
  c->idle_ns = clock_mono_ns();
  conn_watch(c);
}

static void http1_timed_out(struct http_conn *c) {
  struct weir_http_exchange *ex = c->current;
  if (!ex || ex->state != EX_RECEIVING || c->lingering) {
    conn_close(c);
    return;
  }
  c->close_after = 1;
  exchange_refuse(ex, 408, ex->req.size ? "the request did not arrive in time (body_timeout between two pieces of a body, or read_timeout)\n"
                                        : "the request headers did not arrive in time (read_header_timeout)\n");
}

/* Requests that wait to be judged are; streams that stand still are answered or reset; the connection stays while others move. */
static void http2_timed_out(struct http_conn *c, int64_t now) {
  int stalled = 0;
  for (struct weir_http_exchange *ex = c->exchanges; ex; ex = ex->next) {
    if (exchange_due_ns(c, ex, INT64_MAX) > now) continue;
    stalled = 1;
    if (ex->unjudged) {
      exchange_judge(ex);
      continue;
    }
    int receiving = ex->state == EX_RECEIVING;
    ex->progress_ns = now; /* what is done now has as long again */
    if (receiving && ex->req.size) exchange_refuse(ex, 408, "the request did not arrive in time (body_timeout between two pieces of a body, or read_timeout)\n");
    else http2_cancel_stream(ex);
    if (receiving && !ex->req.size) stalled = 0; /* in the middle of a header block nothing else can come: the connection is over */
  }
  if (!stalled) http2_goaway(c);
  http2_pump(c);
  if (!stalled) conn_close(c);
}

static void conn_tick(void *arg) {
  struct http_conn *c = arg;
  CHECK_MAGIC(c, CONN_MAGIC);
  int64_t now = clock_mono_ns(), write_due = INT64_MAX;
  if (http_io_stuck(&c->io)) write_due = earlier(write_due, c->io.written_ns, c->server->cfg.write_timeout_ns);
  if (!c->lingering) keepalive_tick(c, now);
  if (!c->io.closing && conn_stalls_ns(c) <= now) {
    if (c->lingering || write_due <= now || c->proto == 0) {
      conn_close(c);
    } else if (c->proto == 1) {
      http1_timed_out(c);
    } else {
      http2_timed_out(c, now);
    }
  }
  conn_watch(c);
}

/* --- connections ----------------------------------------------------------------------------------------- */

void conn_count_refused(struct http_conn *c, enum refused reason) {
  if (c->server->refused[reason]) metric_add(c->server->refused[reason], 1);
}

void conn_linger(struct http_conn *c) {
  c->lingering = 1;
  c->progress_ns = clock_mono_ns();
  timer_cancel(c->server->loop, &c->timer); /* it may stand later than the second that is left */
  http_io_shutdown(&c->io);
  http_io_flush(&c->io);
  conn_watch(c);
  http_io_start(&c->io);
}

static void begin_http2(struct http_conn *c, const char *p, size_t n) {
  c->proto = 2;
  if (http2_begin(c)) {
    conn_close(c);
    return;
  }
  if (c->server->draining) keepalive_retire(c); /* its client found the server that is being replaced */
  http2_read(c, HTTP_PREFACE, HTTP_PREFACE_N);
  if (n && !c->io.closing && !c->lingering) http2_read(c, p, n);
}

static void begin_http1(struct http_conn *c, const char *p, size_t n) {
  uint32_t kept = c->preface_n; /* what looked like a preface so far */
  c->proto = 1;
  http1_begin(c);
  if (kept) http1_read(c, HTTP_PREFACE, kept);
  if (!c->io.closing && !c->lingering) http1_read(c, p, n);
}

/* A whole first line whose third word is no version of HTTP: an invalid preface (RFC 9113 section 3.4), or another protocol. A 400 would answer neither; HTTP/0.9 has
 * two words and gets one. */
static int is_no_http(const char *p, size_t n) {
  const char *end = p[0] == TLS_HANDSHAKE ? NULL : memchr(p, '\n', n), *blank = end ? memchr(p, ' ', (size_t)(end - p)) : NULL;
  return blank && memchr(blank + 1, ' ', (size_t)(end - blank - 1)) && !memmem(p, (size_t)(end - p), "HTTP/", 5);
}

static void refuse_no_http(struct http_conn *c) {
  conn_count_refused(c, REFUSED_MALFORMED);
  log_warn(c->server->owner, "%s speaks no HTTP to %s", c->peer, c->server->endpoint);
  conn_linger(c);
}

/* Which protocol: the HTTP/2 preface comes first in cleartext with prior knowledge. */
static void first_bytes(struct http_conn *c, const char *p, size_t n) {
  size_t i = 0;
  if (!c->preface_n && p[0] == TLS_HANDSHAKE) /* it will not understand the 400 that comes */
    log_warn(c->server->owner, "%s speaks TLS to %s, which is plaintext: let the client use http://, or insecure", c->peer, c->server->endpoint);
  while (i < n && c->preface_n < HTTP_PREFACE_N && p[i] == HTTP_PREFACE[c->preface_n]) c->preface_n++, i++;
  if (c->preface_n == HTTP_PREFACE_N) begin_http2(c, p + i, n - i);
  else if (i < n && is_no_http(p + i, n - i)) refuse_no_http(c);
  else if (i < n) begin_http1(c, p + i, n - i);
}

void conn_read(struct http_conn *c, const char *p, size_t n) {
  CHECK_MAGIC(c, CONN_MAGIC);
  if (c->lingering || c->io.closing || !n) return;
  c->pinged_ns = 0;
  if (c->proto == 0) first_bytes(c, p, n);
  else if (c->proto == 1) http1_read(c, p, n);
  else http2_read(c, p, n);
  if (!c->lingering) conn_touch(c);
}

static void on_read(struct http_io *io, const char *p, size_t n) { conn_read((struct http_conn *)(void *)io, p, n); }

/* What TLS refused, or could not: certificates, versions, peers that speak something else. The log holds repeats back. */
static void tell_tls_failure(struct http_conn *c) {
  const char *why = http_io_tls_failure(&c->io);
  if (!why || c->proto || c->lingering) return; /* a connection that was in use just ends */
  conn_count_refused(c, REFUSED_TLS);
  log_warn(c->server->owner, "%s: no TLS connection from %s: %s", c->server->endpoint, c->peer, why);
}

static void on_end(struct http_io *io, int uv_error) {
  struct http_conn *c = (struct http_conn *)(void *)io;
  int last_word = uv_error == UV_EPROTO && !c->proto && !c->lingering; /* an alert stands before the end: bytes left unread would reset it away */
  if (uv_error) tell_tls_failure(c);
  if (last_word) conn_linger(c);
  else conn_close(c);
}

/* On a port for HTTP/2 alone a client has to say that it speaks it, as grpc-go has it from 1.67 on. What else was agreed changes nothing: the preface tells. */
static void on_secure(struct http_io *io, uint32_t alpn) {
  struct http_conn *c = (struct http_conn *)(void *)io;
  if (!(c->server->cfg.flags & WEIR_HTTP_H2_ONLY) || alpn == TLS_ALPN_H2) return;
  conn_count_refused(c, REFUSED_TLS);
  log_warn(c->server->owner, "%s: no TLS connection from %s: the client does not offer HTTP/2 (ALPN h2), which gRPC needs", c->server->endpoint, c->peer);
  conn_close(c);
}

static void on_drain(struct http_io *io) {
  struct http_conn *c = (struct http_conn *)(void *)io;
  if (c->proto == 2 && !c->lingering) http2_pump(c);
  if (c->io.closing) return;
  if (c->proto == 1 && c->backlog) http1_written(c);
  else http_io_start(io);
  if (c->lingering) conn_watch(c); /* from here on it is a second */
}

static void on_closed(struct http_io *io) {
  struct http_conn *c = (struct http_conn *)(void *)io;
  struct weir_http_server *s = c->server;
  if (c->prev) c->prev->next = c->next;
  else s->conns = c->next;
  if (c->next) c->next->prev = c->prev;
  s->n_conns--;
  if (s->connections) metric_add(s->connections, -1);
  listener_conn_closed(s->member);
  body_free(c->backlog);
  c->magic = 0;
  free(c);
  if (s->draining && s->n_conns == 0 && s->drained) loop_defer(s->loop, &s->drained_step);
  server_maybe_free(s);
}

void conn_close(struct http_conn *c) {
  if (c->io.closing) return;
  timer_cancel(c->server->loop, &c->timer);
  loop_cancel(c->server->loop, &c->resume);
  http_io_close(&c->io); /* first: an HTTP/2 session that ends must not write any more */
  while (c->exchanges) {
    struct weir_http_exchange *ex = c->exchanges;
    if (ex->state == EX_HANDLED) exchange_detach(ex); /* the handler's answer will find nobody */
    else exchange_free(ex);
  }
  if (c->proto == 2) http2_done(c);
}

static const struct http_io_ops conn_ops = { on_read, on_end, on_drain, on_closed, on_secure };

struct http_conn *conn_open(struct weir_http_server *s, int fd) {
  CHECK_MAGIC(s, SERVER_MAGIC);
  struct http_conn *c = calloc(1, sizeof *c);
  WEIR_ASSERT(c != NULL);
  c->magic = CONN_MAGIC;
  c->server = s;
  if (http_io_adopt(&c->io, s->loop, &conn_ops, fd)) {
    free(c);
    listener_conn_closed(s->member);
    return NULL;
  }
  http_io_peer(&c->io, c->peer, sizeof c->peer);
  c->timer.fn = conn_tick;
  c->timer.arg = c;
  c->next = s->conns;
  if (s->conns) s->conns->prev = c;
  s->conns = c;
  s->n_conns++;
  if (s->connections) metric_add(s->connections, 1);
  if (s->draining || listener_connections(s->member) > s->cfg.max_connections) {
    conn_count_refused(c, REFUSED_CONNECTIONS);
    conn_close(c);
    return NULL;
  }
  c->header_ns = clock_mono_ns(); /* the TLS handshake is within read_header_timeout */
  keepalive_begin(c);
  conn_touch(c);
  uint32_t alpn = s->cfg.flags & WEIR_HTTP_H2_ONLY ? TLS_ALPN_H2 : TLS_ALPN_H2 | TLS_ALPN_HTTP1;
  if (s->tls.context && http_io_secure(&c->io, &s->tls, NULL, alpn)) {
    conn_close(c);
    return NULL;
  }
  http_io_start(&c->io);
  return c;
}

static void on_conn(void *arg, int fd) { conn_open(arg, fd); }

/* --- the server ------------------------------------------------------------------------------------------ */

static void tell_drained(void *arg) {
  struct weir_http_server *s = arg;
  weir_fn_f *fn = s->drained;
  s->drained = NULL;
  if (fn && !s->closed) fn(s->drained_arg);
}

static void fill_defaults(struct weir_http_server_config *cfg) {
  if (!cfg->max_body_bytes) cfg->max_body_bytes = 20u << 20;
  if (!cfg->max_header_bytes) cfg->max_header_bytes = 64u << 10;
  if (!cfg->max_headers) cfg->max_headers = 128;
  if (!cfg->max_concurrent_streams) cfg->max_concurrent_streams = 100;
  if (!cfg->max_connections) cfg->max_connections = 10000;
  if (!cfg->read_header_timeout_ns) cfg->read_header_timeout_ns = 60 * NS_PER_S;
  if (!cfg->body_timeout_ns) cfg->body_timeout_ns = 30 * NS_PER_S;
  if (!cfg->write_timeout_ns) cfg->write_timeout_ns = 30 * NS_PER_S;
}

static const char *const reason_names[REFUSED_REASONS] = { "malformed", "headers", "too_large", "memory", "timeout", "flood", "connections", "tls" };

static void make_cells(struct weir_http_server *s) {
  struct metrics *m = s->loop->env->metrics;
  char labels[256], owner[160];
  if (!m) return;
  metrics_escape(s->owner, owner, sizeof owner);
  snprintf(labels, sizeof labels, "server=\"%s\"", owner);
  s->connections = metrics_cell(m, METRIC_GAUGE, "weir_http_connections", labels, "Open connections.", NULL, 0);
  for (int i = 0; i < REFUSED_REASONS; i++) {
    snprintf(labels, sizeof labels, "server=\"%s\",reason=\"%s\"", owner, reason_names[i]);
    s->refused[i] = metrics_cell(m, METRIC_COUNTER, "weir_http_refused_total", labels,
      "Requests and connections that the transport itself refused (limits, malformed, time-outs, floods).", NULL, 0);
  }
}

static void release_cells(struct weir_http_server *s) {
  struct metrics *m = s->loop->env->metrics;
  if (!m) return;
  metrics_release(m, s->connections);
  s->connections = NULL;
  for (int i = 0; i < REFUSED_REASONS; i++) {
    metrics_release(m, s->refused[i]);
    s->refused[i] = NULL;
  }
}

int http_listen(struct loop *loop, const struct weir_http_server_config *cfg, struct weir_http_server **ret, struct weir_error *err) {
  struct weir_http_server *s = calloc(1, sizeof *s);
  WEIR_ASSERT(s != NULL && cfg->on_request != NULL);
  s->magic = SERVER_MAGIC;
  s->loop = loop;
  memcpy(&s->cfg, cfg, cfg->size < sizeof s->cfg ? cfg->size : sizeof s->cfg);
  s->owner = strdup(cfg->owner);
  s->endpoint = strdup(cfg->endpoint);
  WEIR_ASSERT(s->owner && s->endpoint);
  s->cfg.owner = s->owner;
  s->cfg.endpoint = s->endpoint;
  s->drained_step.fn = tell_drained;
  s->drained_step.arg = s;
  fill_defaults(&s->cfg);
  keepalive_config(s);
  int r = http_extra_config(s, err);
  if (!r) r = tls_use_begin(&s->tls, loop, 1, s->cfg.tls, err);
  s->cfg.tls = NULL;
  const char *protocol = s->cfg.flags & WEIR_HTTP_H2_ONLY ? "gRPC" : "HTTP";
  if (!r) r = listener_join(loop->env->listeners, loop, s->owner, protocol, s->endpoint, on_conn, s, &s->member, err);
  if (r) {
    tls_use_end(&s->tls);
    http_extra_free(s->extra);
    free(s->owner);
    free(s->endpoint);
    free(s);
    return r;
  }
  make_cells(s);
  *ret = s;
  return 0;
}

int http_listen_check(const struct weir_http_server_config *cfg, struct weir_error *err) {
  struct weir_http_server_config c = { 0 };
  memcpy(&c, cfg, cfg->size < sizeof c ? cfg->size : sizeof c);
  int r = listener_check(c.endpoint, err);
  return r ? r : tls_check(1, c.tls, err);
}

int http_server_port(const struct weir_http_server *s) { return listener_port(s->member); }

/* HTTP/1.1 has no way to say "no more requests" but with an answer: where a successor listens already, an idle connection may send one more, as closing
 * it now would lose the request that is on its way. */
static void drain_conn(struct http_conn *c, int succeeded) {
  if (c->io.closing || c->lingering) return;
  if (c->proto == 2) keepalive_retire(c);
  else if (succeeded) conn_watch(c);
  else if (c->proto == 1) http1_drain(c);
  else if (!c->preface_n) conn_close(c);
  if (!c->io.closing) conn_watch(c);
}

void http_server_drain(struct weir_http_server *s, weir_fn_f *drained, void *arg) {
  CHECK_MAGIC(s, SERVER_MAGIC);
  s->drained = drained;
  s->drained_arg = arg;
  if (!s->draining) {
    s->draining = 1;
    s->drain_ns = clock_mono_ns();
    int succeeded = listener_succeeded(s->member);
    listener_leave(s->member);
    for (struct http_conn *c = s->conns, *next; c; c = next) {
      next = c->next;
      drain_conn(c, succeeded);
    }
  }
  if (s->n_conns == 0) loop_defer(s->loop, &s->drained_step);
}

/* The struct goes when nothing points at it any more: no connection, no exchange with a handler. */
void server_maybe_free(struct weir_http_server *s) {
  if (!s->closed || s->n_conns || s->n_open) return;
  loop_cancel(s->loop, &s->drained_step);
  tls_use_end(&s->tls);
  exchange_free_spare(s);
  listener_release(s->member);
  http_extra_free(s->extra);
  s->magic = 0;
  free(s->owner);
  free(s->endpoint);
  free(s);
}

void http_server_close(struct weir_http_server *s) {
  if (!s) return;
  CHECK_MAGIC(s, SERVER_MAGIC);
  int left = s->draining;
  s->closed = s->draining = 1;
  if (!left) listener_leave(s->member);
  s->n_open++; /* keeps it while its connections go */
  for (struct http_conn *c = s->conns; c; c = c->next) conn_close(c);
  release_cells(s);
  s->n_open--;
  server_maybe_free(s);
}
