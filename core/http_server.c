/* What HTTP/1.1 and HTTP/2 servers share: connections and their time-outs, exchanges and their limits, drain and close. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_conn.h"
#include "core/parse.h"

/* --- exchanges ------------------------------------------------------------------------------------------ */

struct weir_http_exchange *exchange_new(struct http_conn *c) {
  struct weir_http_server *s = c->server;
  struct weir_http_exchange *ex = s->spare;
  if (ex) {
    s->spare = ex->next;
    s->n_spare--;
  } else {
    ex = calloc(1, sizeof *ex);
    WEIR_ASSERT(ex != NULL);
  }
  ex->magic = EXCHANGE_MAGIC;
  ex->state = EX_RECEIVING;
  ex->conn = c;
  ex->server = s;
  ex->content_length = UINT64_MAX;
  ex->prev = NULL;
  ex->next = c->exchanges;
  if (c->exchanges) c->exchanges->prev = ex;
  c->exchanges = ex;
  c->n_exchanges++;
  s->n_open++;
  return ex;
}

void exchange_detach(struct weir_http_exchange *ex) {
  struct http_conn *c = ex->conn;
  if (!c) return;
  if (ex->prev) ex->prev->next = ex->next;
  else c->exchanges = ex->next;
  if (ex->next) ex->next->prev = ex->prev;
  if (c->current == ex) c->current = NULL;
  c->n_exchanges--;
  ex->conn = NULL;
}

static void server_maybe_free(struct weir_http_server *);

static void free_for_good(struct weir_http_exchange *ex) {
  free(ex->text);
  free(ex->at);
  free(ex->headers);
  free(ex);
}

void exchange_free(struct weir_http_exchange *ex) {
  CHECK_MAGIC(ex, EXCHANGE_MAGIC);
  struct weir_http_server *s = ex->server;
  exchange_detach(ex);
  body_free(ex->req.body);
  free(ex->out);
  free(ex->trailers);
  struct weir_http_exchange kept = { .text = ex->text, .text_cap = ex->text_cap, .at = ex->at, .headers = ex->headers, .cap_at = ex->cap_at };
  s->n_open--;
  if (s->n_spare < EXCHANGES_KEPT && !s->closed) {
    *ex = kept;
    ex->next = s->spare;
    s->spare = ex;
    s->n_spare++;
  } else {
    ex->magic = 0;
    free_for_good(ex);
    server_maybe_free(s);
  }
}

void exchange_text(struct weir_http_exchange *ex, const char *p, size_t n) {
  if (ex->text_cap - ex->text_n < n) {
    size_t cap = ex->text_cap ? ex->text_cap * 2 : 1024;
    while (cap - ex->text_n < n) cap *= 2;
    ex->text = realloc(ex->text, cap);
    WEIR_ASSERT(ex->text != NULL);
    ex->text_cap = cap;
  }
  if (n) memcpy(ex->text + ex->text_n, p, n);
  ex->text_n += n;
}

void exchange_add_header(struct weir_http_exchange *ex, const struct header_at *h) {
  if (ex->n_at == ex->cap_at) {
    ex->cap_at = ex->cap_at ? ex->cap_at * 2 : 16;
    ex->at = realloc(ex->at, ex->cap_at * sizeof *ex->at);
    ex->headers = realloc(ex->headers, ex->cap_at * sizeof *ex->headers);
    WEIR_ASSERT(ex->at && ex->headers);
  }
  ex->at[ex->n_at++] = *h;
}

static struct weir_str text_at(const struct weir_http_exchange *ex, uint32_t at, uint32_t n) {
  struct weir_str s = { ex->text + at, n, 0 };
  return s;
}

static void build_request(struct weir_http_exchange *ex) {
  struct weir_http_request *r = &ex->req;
  r->size = sizeof *r;
  r->method = text_at(ex, ex->method_at.value, ex->method_n);
  struct weir_str target = text_at(ex, ex->conn->proto == 2 ? ex->path_at.value : ex->method_n, ex->target_n);
  const char *q = target.n ? memchr(target.p, '?', target.n) : NULL;
  r->path = target;
  r->query = (struct weir_str){ NULL, 0, 0 };
  if (q) {
    r->path.n = (uint32_t)(q - target.p);
    r->query = (struct weir_str){ q + 1, target.n - r->path.n - 1, 0 };
  }
  for (size_t i = 0; i < ex->n_at; i++) {
    ex->headers[i].name = text_at(ex, ex->at[i].name, ex->at[i].name_n);
    ex->headers[i].value = text_at(ex, ex->at[i].value, ex->at[i].value_n);
  }
  r->headers = ex->headers;
  r->n_headers = ex->n_at;
  r->authority = text_at(ex, ex->authority.value, ex->authority.value_n);
  r->peer = weir_str_of(ex->conn->peer);
}

/* --- refusals ---------------------------------------------------------------------------------------------- */

const char *http_reason(uint32_t status) {
  static const struct {
    uint32_t status;
    const char *reason;
  } reasons[] = { { 200, "OK" }, { 204, "No Content" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
    { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 413, "Content Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
    { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
    { 503, "Service Unavailable" }, { 505, "HTTP Version Not Supported" } };
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
    if (reasons[i].status == status) return reasons[i].reason;
  return "Status";
}

void conn_count_refused(struct http_conn *c) {
  if (c->server->refused) metric_add(c->server->refused, 1);
}

static void send_reply(struct weir_http_exchange *ex, const struct weir_http_reply *reply) {
  ex->state = EX_REPLIED;
  if (ex->conn->proto == 2) http2_reply(ex, reply);
  else http1_reply(ex, reply);
}

void exchange_refuse(struct weir_http_exchange *ex, uint32_t status, const char *text) {
  struct weir_http_header headers[2] = { { weir_str_of("content-type"), weir_str_of("text/plain; charset=utf-8") },
    { weir_str_of("retry-after"), weir_str_of("1") } };
  struct weir_iov body = { text, strlen(text) };
  struct weir_http_reply reply = { status, headers, status == 503 ? 2 : 1, &body, 1, NULL, 0, NULL, NULL };
  struct weir_http_server *s = ex->server;
  ex->refused = 1;
  conn_count_refused(ex->conn);
  body_free(ex->req.body);
  ex->req.body = NULL;
  if (s->cfg.on_refuse && !s->closed && (status == 413 || status == 503) && ex->req.size) s->cfg.on_refuse(s->cfg.self, status, &ex->req, &reply);
  send_reply(ex, &reply);
}

static int refuse_too_large(struct weir_http_exchange *ex) {
  char text[160], size[40];
  snprintf(text, sizeof text, "the request body is over the limit of %s (max_request_body_size)\n",
    parse_format_bytes(ex->server->cfg.max_body_bytes, size, sizeof size));
  exchange_refuse(ex, 413, text);
  return 1;
}

static int refuse_no_room(struct weir_http_exchange *ex) {
  exchange_refuse(ex, 503, "the memory limit of this process is reached; try again later\n");
  return 1;
}

/* --- the request as it comes ---------------------------------------------------------------------------------- */

int exchange_headers_done(struct weir_http_exchange *ex) {
  struct weir_http_server *s = ex->server;
  build_request(ex);
  if (ex->headers_over) {
    exchange_refuse(ex, 431, "the request headers are over the limits of this server (max_header_bytes, max_headers)\n");
    return 1;
  }
  if (s->closed) {
    exchange_refuse(ex, 503, "this server is shutting down\n");
    return 1;
  }
  if (s->cfg.on_headers) {
    struct weir_http_reply reply = { 0 };
    uint32_t status = s->cfg.on_headers(s->cfg.self, &ex->req, &reply);
    if (status) {
      reply.status = status;
      ex->refused = 1;
      conn_count_refused(ex->conn);
      send_reply(ex, &reply);
      return 1;
    }
  }
  if (ex->content_length != UINT64_MAX && ex->content_length > s->cfg.max_body_bytes) return refuse_too_large(ex);
  if (!budget_has_room(&s->loop->env->budget, 1)) return refuse_no_room(ex);
  return 0;
}

/* Room for what came, and not much more: a declared length is believed up to 64 KiB, then the body grows by doubling. */
static int make_room(struct weir_http_exchange *ex, size_t n) {
  struct weir_body *b = ex->req.body;
  uint64_t declared = ex->content_length == UINT64_MAX ? 0 : ex->content_length;
  if (!b) {
    size_t first = n < 4000 ? 4000 : n;
    if (declared > first) first = declared < (64u << 10) ? (size_t)declared : first < (64u << 10) ? 64u << 10 : first;
    ex->req.body = body_new(ex->server->loop->pool, first);
    return ex->req.body ? 0 : WEIR_E_NOMEM;
  }
  if (b->cap - b->n >= n) return 0;
  size_t want = b->cap * 2 > b->n + n ? b->cap * 2 : b->n + n;
  if (declared && want > declared && declared >= b->n + n) want = (size_t)declared;
  return body_grow(&ex->req.body, want);
}

int exchange_body(struct weir_http_exchange *ex, const char *p, size_t n) {
  if (ex->refused || !n) return 0;
  size_t have = ex->req.body ? ex->req.body->n : 0;
  if (n > ex->server->cfg.max_body_bytes - have) return refuse_too_large(ex);
  if (make_room(ex, n)) return refuse_no_room(ex);
  memcpy(ex->req.body->p + have, p, n);
  ex->req.body->n = have + n;
  return 0;
}

void exchange_dispatch(struct weir_http_exchange *ex) {
  struct weir_http_server *s = ex->server;
  if (!ex->req.body && !(ex->req.body = body_new(s->loop->pool, 0))) {
    refuse_no_room(ex);
    return;
  }
  ex->state = EX_HANDLED;
  s->cfg.on_request(s->cfg.self, ex, &ex->req);
}

struct release {
  struct defer step;
  weir_fn_f *fn;
  void *arg;
};

static void run_release(void *arg) {
  struct release *r = arg;
  r->fn(r->arg);
  free(r);
}

/* The answer was copied, so its memory is free; told in a later step, as promised. */
static void release_later(struct loop *loop, const struct weir_http_reply *reply) {
  if (!reply->release) return;
  struct release *r = calloc(1, sizeof *r);
  WEIR_ASSERT(r != NULL);
  *r = (struct release){ { NULL, run_release, r, 0 }, reply->release, reply->release_arg };
  loop_defer(loop, &r->step);
}

void http_reply(struct weir_http_exchange *ex, const struct weir_http_reply *reply) {
  CHECK_MAGIC(ex, EXCHANGE_MAGIC);
  WEIR_ASSERT(ex->state == EX_HANDLED); /* exactly one reply */
  struct loop *loop = ex->server->loop;
  if (ex->conn) send_reply(ex, reply);
  else exchange_free(ex);
  release_later(loop, reply);
}

struct weir_body *http_body_take(struct weir_http_exchange *ex) {
  CHECK_MAGIC(ex, EXCHANGE_MAGIC);
  struct weir_body *body = ex->req.body;
  ex->req.body = NULL;
  return body;
}

struct loop *http_exchange_loop(struct weir_http_exchange *ex) { return ex->server->loop; }

/* --- connections ------------------------------------------------------------------------------------------------- */

static void conn_tick(void *arg);

/* When the connection's present state must have ended; INT64_MAX = never. */
static int64_t conn_due_ns(const struct http_conn *c) {
  const struct weir_http_server_config *cfg = &c->server->cfg;
  int64_t due = INT64_MAX, limit = 0;
  if (http_io_unwritten(&c->io)) due = c->io.written_ns + cfg->write_timeout_ns;
  if (c->lingering) limit = NS_PER_S;
  else if (c->proto == 0 || c->in_headers > 1) limit = cfg->read_header_timeout_ns;
  else if (c->exchanges) {
    for (const struct weir_http_exchange *ex = c->exchanges; ex; ex = ex->next)
      if (ex->state == EX_RECEIVING || (c->proto == 1 && !c->complete)) limit = cfg->body_timeout_ns;
  } else if (c->server->draining) {
    limit = 50 * NS_PER_MS;
  } else {
    limit = cfg->idle_timeout_ns;
  }
  if (limit > 0 && c->progress_ns + limit < due) due = c->progress_ns + limit;
  return due;
}

static void conn_arm(struct http_conn *c) {
  int64_t due = conn_due_ns(c), now = clock_mono_ns();
  if (due == INT64_MAX) due = now + NS_PER_S; /* look again: what is due may change without a touch */
  if (due > now + NS_PER_S) due = now + NS_PER_S;
  timer_set(c->server->loop, &c->timer, due - now);
}

void conn_touch(struct http_conn *c) { c->progress_ns = clock_mono_ns(); }

static void conn_timed_out(struct http_conn *c) {
  if (c->proto == 1 && c->current && c->current->state == EX_RECEIVING && !c->lingering && !c->current->refused) {
    c->close_after = 1;
    exchange_refuse(c->current, 408, "the request did not arrive in time (read_header_timeout, body_timeout)\n");
    return;
  }
  if (c->proto == 2 && !http_io_unwritten(&c->io)) {
    for (struct weir_http_exchange *ex = c->exchanges; ex; ex = ex->next)
      if (ex->state == EX_RECEIVING) nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, ex->stream_id, NGHTTP2_CANCEL);
    int stalled = c->exchanges != NULL;
    conn_touch(c);
    if (!stalled) http2_goaway(c);
    http2_pump(c);
    if (stalled) return;
  }
  conn_close(c);
}

static void conn_tick(void *arg) {
  struct http_conn *c = arg;
  CHECK_MAGIC(c, CONN_MAGIC);
  if (c->server->draining && c->proto == 2 && !c->goaway_sent) {
    http2_goaway(c);
    http2_pump(c);
  }
  if (conn_due_ns(c) <= clock_mono_ns()) conn_timed_out(c);
  if (!c->io.closing) conn_arm(c);
}

/* Which protocol: the HTTP/2 preface comes first in cleartext with prior knowledge. */
static void first_bytes(struct http_conn *c, const char *p, size_t n) {
  size_t i = 0;
  while (i < n && c->preface_n < HTTP_PREFACE_N && p[i] == HTTP_PREFACE[c->preface_n]) c->preface[c->preface_n++] = p[i++];
  if (c->preface_n < HTTP_PREFACE_N && i == n) return; /* could still be either */
  char kept[HTTP_PREFACE_N];
  uint32_t kept_n = c->preface_n;
  memcpy(kept, c->preface, kept_n);
  if (c->preface_n == HTTP_PREFACE_N) {
    c->proto = 2;
    if (http2_begin(c)) {
      conn_close(c);
      return;
    }
    http2_read(c, kept, kept_n);
    if (!c->io.closing && n > i) http2_read(c, p + i, n - i);
    return;
  }
  c->proto = 1;
  http1_begin(c);
  if (kept_n) http1_read(c, kept, kept_n);
  if (!c->io.closing) http1_read(c, p + i, n - i);
}

static void on_read(struct http_io *io, const char *p, size_t n) {
  struct http_conn *c = (struct http_conn *)(void *)io;
  CHECK_MAGIC(c, CONN_MAGIC);
  if (c->lingering) return; /* answered and closing: what still comes is discarded, for a second */
  conn_touch(c);
  if (c->proto == 0) first_bytes(c, p, n);
  else if (c->proto == 1) http1_read(c, p, n);
  else http2_read(c, p, n);
}

static void on_end(struct http_io *io, int uv_error) {
  (void)uv_error;
  conn_close((struct http_conn *)(void *)io);
}

static void on_drain(struct http_io *io) {
  struct http_conn *c = (struct http_conn *)(void *)io;
  if (c->proto == 2) http2_pump(c);
  if (!c->io.closing && !(c->proto == 1 && c->current && c->current->state != EX_RECEIVING)) http_io_start(io);
}

static void on_closed(struct http_io *io) {
  struct http_conn *c = (struct http_conn *)(void *)io;
  struct weir_http_server *s = c->server;
  if (c->prev) c->prev->next = c->next;
  else s->conns = c->next;
  if (c->next) c->next->prev = c->prev;
  s->n_conns--;
  if (s->connections) metric_add(s->connections, -1);
  atomic_fetch_sub_explicit(&s->loop->n_connections, 1, memory_order_relaxed);
  free(c->backlog);
  c->magic = 0;
  free(c);
  if (s->draining && s->n_conns == 0 && s->drained) loop_defer(s->loop, &s->drained_step);
  server_maybe_free(s);
}

void conn_close(struct http_conn *c) {
  if (c->io.closing) return;
  timer_cancel(c->server->loop, &c->timer);
  loop_cancel(c->server->loop, &c->resume);
  while (c->exchanges) {
    struct weir_http_exchange *ex = c->exchanges;
    if (ex->state == EX_HANDLED) exchange_detach(ex); /* the handler's answer will find nobody */
    else exchange_free(ex);
  }
  if (c->proto == 2) http2_done(c);
  http_io_close(&c->io);
}

static const struct http_io_ops conn_ops = { on_read, on_end, on_drain, on_closed };

static void on_conn(void *arg, int fd) {
  struct weir_http_server *s = arg;
  CHECK_MAGIC(s, SERVER_MAGIC);
  struct http_conn *c = calloc(1, sizeof *c);
  WEIR_ASSERT(c != NULL);
  c->magic = CONN_MAGIC;
  c->server = s;
  if (http_io_adopt(&c->io, s->loop, &conn_ops, fd)) {
    free(c);
    atomic_fetch_sub_explicit(&s->loop->n_connections, 1, memory_order_relaxed);
    return;
  }
  http_io_peer(&c->io, c->peer, sizeof c->peer);
  c->timer.fn = conn_tick;
  c->timer.arg = c;
  c->next = s->conns;
  if (s->conns) s->conns->prev = c;
  s->conns = c;
  s->n_conns++;
  if (s->connections) metric_add(s->connections, 1);
  conn_touch(c);
  if (s->n_conns > s->cfg.max_connections || s->draining) {
    conn_count_refused(c);
    conn_close(c);
    return;
  }
  conn_arm(c);
  http_io_start(&c->io);
}

/* --- the server ------------------------------------------------------------------------------------------------------ */

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

static void make_cells(struct weir_http_server *s) {
  struct metrics *m = s->loop->env->metrics;
  char labels[256], owner[160];
  if (!m) return;
  snprintf(labels, sizeof labels, "server=\"%s\"", metrics_escape(s->owner, owner, sizeof owner));
  s->connections = metrics_cell(m, METRIC_GAUGE, "weir_http_connections", labels, "Open connections.", NULL, 0);
  s->refused = metrics_cell(m, METRIC_COUNTER, "weir_http_refused_total", labels,
    "Requests and connections that the transport refused before a stage saw them (limits, malformed, time-outs).", NULL, 0);
}

int http_listen(struct loop *loop, const struct weir_http_server_config *cfg, struct weir_http_server **ret, struct weir_error *err) {
  struct weir_http_server *s = calloc(1, sizeof *s);
  WEIR_ASSERT(s != NULL);
  WEIR_ASSERT(cfg->on_request != NULL);
  s->magic = SERVER_MAGIC;
  s->loop = loop;
  s->cfg = *cfg;
  s->owner = strdup(cfg->owner);
  s->endpoint = strdup(cfg->endpoint);
  WEIR_ASSERT(s->owner && s->endpoint);
  s->cfg.owner = s->owner;
  s->cfg.endpoint = s->endpoint;
  s->drained_step.fn = tell_drained;
  s->drained_step.arg = s;
  fill_defaults(&s->cfg);
  int r = listener_join(loop->env->listeners, loop, s->owner, s->endpoint, on_conn, s, &s->member, err);
  if (r) {
    free(s->owner);
    free(s->endpoint);
    free(s);
    return r;
  }
  make_cells(s);
  *ret = s;
  return 0;
}

int http_server_port(const struct weir_http_server *s) { return listener_port(s->member); }

void http_server_drain(struct weir_http_server *s, weir_fn_f *drained, void *arg) {
  CHECK_MAGIC(s, SERVER_MAGIC);
  s->drained = drained;
  s->drained_arg = arg;
  if (!s->draining) {
    s->draining = 1;
    listener_leave(s->member);
    s->member = NULL;
    for (struct http_conn *c = s->conns, *next; c; c = next) {
      next = c->next;
      if (c->io.closing) continue;
      if (c->proto == 2) http2_drain(c);
      else if (c->proto == 1) http1_drain(c);
      else conn_close(c);
      if (!c->io.closing) conn_touch(c), conn_arm(c);
    }
  }
  if (s->n_conns == 0) loop_defer(s->loop, &s->drained_step);
}

/* The struct goes when nothing points at it any more: no connection, no exchange with a handler. */
static void server_maybe_free(struct weir_http_server *s) {
  if (!s->closed || s->n_conns || s->n_open) return;
  loop_cancel(s->loop, &s->drained_step);
  while (s->spare) {
    struct weir_http_exchange *ex = s->spare;
    s->spare = ex->next;
    free_for_good(ex);
  }
  s->magic = 0;
  free(s->owner);
  free(s->endpoint);
  free(s);
}

void http_server_close(struct weir_http_server *s) {
  if (!s) return;
  CHECK_MAGIC(s, SERVER_MAGIC);
  s->closed = s->draining = 1;
  listener_leave(s->member);
  s->member = NULL;
  for (struct http_conn *c = s->conns, *next; c; c = next) {
    next = c->next;
    conn_close(c);
  }
  if (s->loop->env->metrics) {
    metrics_release(s->loop->env->metrics, s->connections);
    metrics_release(s->loop->env->metrics, s->refused);
    s->connections = s->refused = NULL;
  }
  server_maybe_free(s);
}
