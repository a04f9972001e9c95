/* Calls, the connections they run on, deadlines and failures; what goes over the wire is in http1_client.c and http2_client.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_call.h"
#include "core/parse.h"

static void client_maybe_free(struct weir_http_client *);

/* --- calls ------------------------------------------------------------------------------------------------ */

static void call_unlink(struct weir_http_call *call) {
  struct http_link *l = call->link;
  if (!l) return;
  if (call->prev) call->prev->next = call->next;
  else l->calls = call->next;
  if (call->next) call->next->prev = call->prev;
  call->next = call->prev = NULL;
  call->link = NULL;
  l->n_calls--;
}

static void call_free(struct weir_http_call *call) {
  struct weir_http_client *cl = call->client;
  timer_cancel(cl->loop, &call->deadline);
  free(call->method);
  free(call->path);
  free(call->authority);
  free(call->header_text);
  free(call->headers);
  free(call->body);
  free(call->text);
  body_free(call->reply);
  call->magic = 0;
  free(call);
  cl->n_calls--;
  client_maybe_free(cl);
}

static void deliver(void *arg) {
  struct weir_http_call *call = arg;
  CHECK_MAGIC(call, CALL_MAGIC);
  struct weir_http_header headers[CALL_MAX_HEADERS];
  for (size_t i = 0; i < call->n_at; i++) {
    headers[i].name = (struct weir_str){ call->text + call->at[2 * i].at, call->at[2 * i].n, 0 };
    headers[i].value = (struct weir_str){ call->text + call->at[2 * i + 1].at, call->at[2 * i + 1].n, 0 };
  }
  size_t first = call->in_trailers ? call->n_first : call->n_at;
  struct weir_http_response r = { sizeof r, call->err.code ? 0 : call->status, headers, first, headers + first, call->n_at - first, call->reply,
    call->sent, call->timed_out, call->err.code ? &call->err : NULL };
  call->on_response(call->arg, &r);
  call_free(call);
}

static void call_over(struct weir_http_call *call) {
  if (call->over) return;
  call->over = 1;
  timer_cancel(call->client->loop, &call->deadline);
  call_unlink(call);
  loop_defer(call->client->loop, &call->deliver);
}

void call_done(struct weir_http_call *call) { call_over(call); }

void call_fail(struct weir_http_call *call, const char *fmt, ...) {
  if (call->over) return;
  va_list ap;
  char text[400];
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  weir_fail(&call->err, WEIR_E_IO, "%s: %s", call->client->endpoint, text);
  call_over(call);
}

static void wait_in_line(struct weir_http_call *call) {
  struct weir_http_client *cl = call->client;
  call->next = NULL;
  *cl->waiting_tail = call;
  cl->waiting_tail = &call->next;
  loop_defer(cl->loop, &cl->work);
}

static void leave_line(struct weir_http_call *call) {
  struct weir_http_client *cl = call->client;
  for (struct weir_http_call **at = &cl->waiting; *at; at = &(*at)->next)
    if (*at == call) {
      *at = call->next;
      if (!*at) cl->waiting_tail = at;
      break;
    }
  call->next = NULL;
}

void call_forget_headers(struct weir_http_call *call) {
  call->n_at = call->text_n = 0;
  call->status = 0;
}

void call_again(struct weir_http_call *call) {
  if (call->retried || call->client->closed) {
    call_fail(call, "the peer closed the connection before it answered");
    return;
  }
  call->retried = 1;
  call->sent = 0;
  call->iov_at = call->iov_off = 0;
  call_forget_headers(call);
  call_unlink(call);
  wait_in_line(call);
}

static uint32_t add_text(struct weir_http_call *call, const char *p, size_t n) {
  if (call->text_cap - call->text_n < n) {
    size_t cap = call->text_cap ? call->text_cap * 2 : 512;
    while (cap - call->text_n < n) cap *= 2;
    call->text = realloc(call->text, cap);
    WEIR_ASSERT(call->text != NULL);
    call->text_cap = cap;
  }
  if (n) memcpy(call->text + call->text_n, p, n);
  call->text_n += n;
  return (uint32_t)(call->text_n - n);
}

int call_header(struct weir_http_call *call, const char *name, size_t name_n, const char *value, size_t value_n) {
  if (call->n_at == CALL_MAX_HEADERS || call->text_n + name_n + value_n > CALL_MAX_HEADER_TEXT) {
    call_fail(call, "the response headers are over the limit of %u lines or %u bytes", CALL_MAX_HEADERS, CALL_MAX_HEADER_TEXT);
    return 1;
  }
  call->at[2 * call->n_at] = (struct text_at){ add_text(call, name, name_n), (uint32_t)name_n };
  call->at[2 * call->n_at + 1] = (struct text_at){ add_text(call, value, value_n), (uint32_t)value_n };
  call->n_at++;
  return 0;
}

int call_body(struct weir_http_call *call, const char *p, size_t n) {
  size_t have = call->reply ? call->reply->n : 0;
  if (n > call->client->cfg.max_response_bytes - have) {
    call_fail(call, "the response body is over the limit of %llu bytes", (unsigned long long)call->client->cfg.max_response_bytes);
    return 1;
  }
  if (!call->reply) call->reply = body_new(call->client->loop->pool, n);
  if (!call->reply || body_append(&call->reply, p, n)) {
    call_fail(call, "no memory in the byte budget for the response");
    return 1;
  }
  return 0;
}

static void on_deadline(void *arg) {
  struct weir_http_call *call = arg;
  struct http_link *l = call->link;
  call->timed_out = 1;
  if (!l) {
    leave_line(call);
    call_fail(call, "no connection in time");
    return;
  }
  int h2 = l->h2 != NULL;
  if (h2) http2_cancel(l, call);
  call_fail(call, "no answer in time");
  if (!h2) link_close(l, "a call on it timed out");
}

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
    if (!fresh && !l->h2 && !l->got_bytes) call_again(call); /* a kept connection that had gone stale */
    else call_fail(call, "%s", why);
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
  if (l->h2) http2_link_read(l, p, n);
  else http1_link_read(l, p, n);
}

static void on_io_end(struct http_io *io, int uv_error) {
  struct http_link *l = (struct http_link *)(void *)io;
  if (!l->h2 && uv_error == 0) http1_link_end(l);
  char why[160];
  snprintf(why, sizeof why, "the connection was closed%s%s", uv_error ? ": " : " by the peer", uv_error ? uv_strerror(uv_error) : "");
  link_close(l, why);
}

static void on_io_drain(struct http_io *io) {
  struct http_link *l = (struct http_link *)(void *)io;
  if (l->h2) http2_link_pump(l);
  else http1_continue(l);
}

static const struct http_io_ops link_ops = { on_io_read, on_io_end, on_io_drain, on_io_closed };

static void fail_waiting(struct weir_http_client *cl, const struct weir_error *err) {
  while (cl->waiting) {
    struct weir_http_call *call = cl->waiting;
    leave_line(call);
    call->err = *err;
    call_over(call);
  }
}

/* No address answered: those who wait for a connection hear why, unless another one is up. */
static void connect_failed(struct http_link *l) {
  struct weir_http_client *cl = l->client;
  int others = 0;
  for (struct http_link *o = cl->links; o; o = o->next) others += o != l && o->state == LINK_READY;
  if (!others) fail_waiting(cl, &l->err);
  link_close(l, l->err.msg);
}

/* This address refused: the link closes quietly and its freeing lets the waiting calls open another, to the next address. */
static void retry_link(struct http_link *l) { link_close(l, l->err.msg); }

static void on_connect(uv_connect_t *req, int status) {
  struct http_link *l = req->data;
  if (l->state == LINK_CLOSING || status == UV_ECANCELED) return;
  if (status < 0) {
    weir_fail(&l->err, WEIR_E_IO, "%s: %s", l->client->endpoint, uv_strerror(status));
    if (l->address->ai_next) l->client->address_skip++; /* the next attempt takes the next address */
    else l->client->address_skip = 0;
    if (l->client->address_skip) retry_link(l);
    else connect_failed(l);
    return;
  }
  l->client->address_skip = 0;
  uv_tcp_nodelay(&l->io.u.tcp, 1);
  l->state = LINK_READY;
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
    connect_failed(l);
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
  weir_fail(&l->err, WEIR_E_IO, "%s: no connection within the connect time-out", l->client->endpoint);
  connect_failed(l);
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
  l->resolving = 1;
  int r = uv_getaddrinfo(&cl->loop->uv, &l->resolve, on_resolved, cl->host, service, &hints);
  if (r == 0) return;
  l->resolving = 0;
  weir_fail(&l->err, WEIR_E_IO, "%s: cannot resolve the name: %s", cl->endpoint, uv_strerror(r));
  connect_failed(l);
}

/* --- matching calls and links ---------------------------------------------------------------------------------------- */

static struct http_link *ready_link(struct weir_http_client *cl) {
  struct http_link *best = NULL;
  for (struct http_link *l = cl->links; l; l = l->next) {
    if (l->state != LINK_READY || l->retiring || (l->h2 ? !http2_has_room(l) : l->n_calls > 0)) continue;
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
  if (l->h2) http2_send(l, call);
  else http1_send(l, call);
}

static void work(void *arg) {
  struct weir_http_client *cl = arg;
  uint32_t waiting = 0;
  while (cl->waiting) {
    struct http_link *l = ready_link(cl);
    if (!l) break;
    struct weir_http_call *call = cl->waiting;
    leave_line(call);
    start_call(l, call);
  }
  for (struct weir_http_call *call = cl->waiting; call; call = call->next) waiting++;
  int h2 = cl->cfg.flags & WEIR_HTTP_H2_ONLY ? 1 : 0;
  uint32_t want = h2 ? (waiting > 0) : waiting;
  while (cl->waiting && opening_links(cl) < want && live_links(cl) < cl->cfg.max_connections) link_open(cl);
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

static char *copy_text(const char *s) {
  char *c = strdup(s);
  WEIR_ASSERT(c != NULL);
  return c;
}

static void copy_headers(struct weir_http_call *call, const struct weir_http_call_config *cfg) {
  size_t text = 0;
  for (size_t i = 0; i < cfg->n_headers; i++) text += cfg->headers[i].name.n + cfg->headers[i].value.n;
  call->headers = calloc(cfg->n_headers + 1, sizeof *call->headers);
  char *at = call->header_text = malloc(text + 1);
  WEIR_ASSERT(call->headers && at);
  for (size_t i = 0; i < cfg->n_headers; i++) {
    struct weir_http_header h = cfg->headers[i];
    memcpy(at, h.name.p, h.name.n);
    h.name.p = at;
    at += h.name.n;
    if (h.value.n) memcpy(at, h.value.p, h.value.n);
    h.value.p = at;
    at += h.value.n;
    call->headers[call->n_headers++] = h;
  }
}

void http_call(struct weir_http_client *cl, const struct weir_http_call_config *cfg) {
  CHECK_MAGIC(cl, CLIENT_MAGIC);
  struct weir_http_call *call = calloc(1, sizeof *call);
  WEIR_ASSERT(call != NULL);
  call->magic = CALL_MAGIC;
  call->client = cl;
  cl->n_calls++;
  call->method = copy_text(cfg->method);
  call->path = copy_text(cfg->path);
  call->authority = copy_text(cfg->authority ? cfg->authority : cl->endpoint);
  copy_headers(call, cfg);
  call->body = malloc((cfg->n_body + 1) * sizeof *call->body);
  WEIR_ASSERT(call->body != NULL);
  for (size_t i = 0; i < cfg->n_body; i++) {
    if (!cfg->body[i].n) continue;
    call->body[call->n_body++] = cfg->body[i];
    call->body_bytes += cfg->body[i].n;
  }
  call->on_response = cfg->on_response;
  call->arg = cfg->arg;
  call->deliver.fn = deliver;
  call->deliver.arg = call;
  call->deadline.fn = on_deadline;
  call->deadline.arg = call;
  if (cl->closed) {
    call_fail(call, "the client is closed");
    return;
  }
  if (cfg->deadline_ns) timer_set(cl->loop, &call->deadline, cfg->deadline_ns - clock_mono_ns());
  wait_in_line(call);
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
  cl->cfg = *cfg;
  cl->cfg.endpoint = cl->endpoint = copy_text(cfg->endpoint);
  if (!cl->cfg.max_response_bytes) cl->cfg.max_response_bytes = 4u << 20;
  if (!cl->cfg.max_connections) cl->cfg.max_connections = cfg->flags & WEIR_HTTP_H2_ONLY ? 1 : 16;
  if (!cl->cfg.connect_timeout_ns) cl->cfg.connect_timeout_ns = 5 * NS_PER_S;
  if (!cl->cfg.idle_timeout_ns) cl->cfg.idle_timeout_ns = 90 * NS_PER_S;
  cl->waiting_tail = &cl->waiting;
  cl->work.fn = work;
  cl->work.arg = cl;
  *ret = cl;
  return 0;
}

static void client_maybe_free(struct weir_http_client *cl) {
  if (!cl->closed || cl->n_links || cl->n_calls) return;
  loop_cancel(cl->loop, &cl->work);
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
