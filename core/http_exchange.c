/* Requests of the HTTP server, whatever the version: their text, body and limits, what is refused, and the answer's way back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_conn.h"
#include "core/parse.h"

#define TRUSTED_LENGTH (64u << 10) /* a declared length is believed up to here; then a body grows with what comes */
#define FIRST_BODY 4000u
#define TEXT_FREE 4096u /* header text up to here is not charged to the byte budget */

/* --- life ------------------------------------------------------------------------------------------------ */

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
  ex->began_ns = ex->progress_ns = clock_mono_ns();
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
  ex->conn = NULL;
  if (--c->n_exchanges == 0) conn_idle(c);
}

static void free_text(struct weir_http_exchange *ex) {
  free(ex->text);
  ex->text = NULL;
  ex->text_n = ex->text_cap = 0;
  if (ex->charged) budget_give(&ex->server->loop->env->budget, ex->charged);
  ex->charged = 0;
}

/* Long headers pin memory as bodies do: a peer makes 64 KiB of them from a few bytes of HPACK, a hundred times on one connection. */
static int charge_text(struct weir_http_exchange *ex) {
  if (ex->text_cap <= TEXT_FREE) return 0;
  if (!budget_take(&ex->server->loop->env->budget, ex->text_cap)) return WEIR_E_NOMEM;
  ex->charged = ex->text_cap;
  return 0;
}

/* Of a request that was refused: a peer that does not take the answer makes it stay. */
static void forget_text(struct weir_http_exchange *ex) {
  if (ex->text_cap <= TEXT_FREE) return;
  free_text(ex);
  ex->n_at = 0;
  ex->req = (struct weir_http_request){ .size = ex->req.size, .version = ex->req.version };
}

static void free_for_good(struct weir_http_exchange *ex) {
  ex->magic = 0;
  free(ex->text);
  free(ex->at);
  free(ex->headers);
  free(ex);
}

void exchange_free_spare(struct weir_http_server *s) {
  while (s->spare) {
    struct weir_http_exchange *ex = s->spare;
    s->spare = ex->next;
    free_for_good(ex);
  }
  s->n_spare = 0;
}

void exchange_free(struct weir_http_exchange *ex) {
  CHECK_MAGIC(ex, EXCHANGE_MAGIC);
  struct weir_http_server *s = ex->server;
  exchange_detach(ex);
  body_free(ex->req.body);
  free(ex->out);
  free(ex->trailers);
  if (ex->text_cap > TEXT_FREE) free_text(ex);
  struct weir_http_exchange kept = { .text = ex->text, .text_cap = ex->text_cap, .at = ex->at, .headers = ex->headers, .cap_at = ex->cap_at };
  s->n_open--;
  if (s->n_spare < EXCHANGES_KEPT && !s->closed) {
    *ex = kept;
    ex->next = s->spare;
    s->spare = ex;
    s->n_spare++;
  } else {
    free_for_good(ex);
    server_maybe_free(s);
  }
}

/* --- text ------------------------------------------------------------------------------------------------- */

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

static struct weir_str text_at(const struct weir_http_exchange *ex, uint32_t at, uint32_t n) { return (struct weir_str){ ex->text + at, n, 0 }; }

static void build_request(struct weir_http_exchange *ex) {
  struct weir_http_request *r = &ex->req;
  uint32_t peer_at = (uint32_t)ex->text_n, peer_n = (uint32_t)strlen(ex->conn->peer);
  exchange_text(ex, ex->conn->peer, peer_n); /* the request outlives its connection */
  r->size = sizeof *r;
  r->peer = text_at(ex, peer_at, peer_n);
  r->method = text_at(ex, ex->method_at.value, ex->method_at.value_n);
  r->authority = text_at(ex, ex->authority.value, ex->authority.value_n);
  r->path = text_at(ex, ex->path_at.value, ex->path_at.value_n);
  r->query = (struct weir_str){ NULL, 0, 0 };
  const char *q = r->path.n ? memchr(r->path.p, '?', r->path.n) : NULL;
  if (q) {
    r->query = (struct weir_str){ q + 1, (uint32_t)(r->path.p + r->path.n - q - 1), 0 };
    r->path.n = (uint32_t)(q - r->path.p);
  }
  for (size_t i = 0; i < ex->n_at; i++) {
    ex->headers[i].name = text_at(ex, ex->at[i].name, ex->at[i].name_n);
    ex->headers[i].value = text_at(ex, ex->at[i].value, ex->at[i].value_n);
  }
  r->headers = ex->headers;
  r->n_headers = ex->n_at;
}

/* --- refusals ---------------------------------------------------------------------------------------------- */

const char *http_reason(uint32_t status) {
  static const struct {
    uint32_t status;
    const char *reason;
  } reasons[] = { { 200, "OK" }, { 204, "No Content" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
    { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 413, "Content Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
    { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
    { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" } };
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
    if (reasons[i].status == status) return reasons[i].reason;
  return "Status";
}

static enum refused refused_by(uint32_t status) {
  switch (status) {
  case 408: return REFUSED_TIMEOUT;
  case 413: return REFUSED_TOO_LARGE;
  case 414: case 431: return REFUSED_HEADERS;
  case 503: return REFUSED_MEMORY;
  default: return REFUSED_MALFORMED;
  }
}

static void send_reply(struct weir_http_exchange *ex, const struct weir_http_reply *reply) {
  ex->state = EX_REPLIED;
  ex->progress_ns = clock_mono_ns();
  struct weir_http_reply more;
  if (ex->server->extra) {
    more = http_extra_reply(ex, reply);
    reply = &more;
  }
  if (ex->conn->proto == 2) http2_reply(ex, reply);
  else http1_reply(ex, reply);
}

void exchange_refuse(struct weir_http_exchange *ex, uint32_t status, const char *text) {
  struct weir_http_header headers[2] = { { weir_str_of("content-type"), weir_str_of("text/plain; charset=utf-8") },
    { weir_str_of("retry-after"), weir_str_of("1") } };
  struct weir_iov body = { text, strlen(text) };
  struct weir_http_reply reply = { .status = status, .headers = headers, .n_headers = status == 503 ? 2 : 1, .body = &body, .n_body = 1 };
  struct weir_http_server *s = ex->server;
  ex->refused = 1;
  ex->unjudged = 0;
  conn_count_refused(ex->conn, refused_by(status));
  body_free(ex->req.body);
  ex->req.body = NULL;
  if (s->cfg.on_refuse && !s->closed && (status == 413 || status == 431 || status == 503) && ex->req.size) s->cfg.on_refuse(s->cfg.self, status, &ex->req, &reply);
  send_reply(ex, &reply);
  forget_text(ex);
}

static int refuse_too_large(struct weir_http_exchange *ex) {
  char text[160], size[40];
  uint64_t limit = ex->server->cfg.max_body_bytes;
  snprintf(text, sizeof text, "the request body is over the limit of %s (%llu bytes, max_request_body_size)\n", parse_format_bytes(limit, size, sizeof size),
    (unsigned long long)limit);
  exchange_refuse(ex, 413, text);
  return 1;
}

static int refuse_no_room(struct weir_http_exchange *ex) {
  exchange_refuse(ex, 503, "the memory limit of this process is reached; try again later\n");
  return 1;
}

/* --- the request as it comes ---------------------------------------------------------------------------------- */

static uint32_t ask_on_headers(struct weir_http_exchange *ex) {
  struct weir_http_server *s = ex->server;
  struct weir_http_reply reply = { 0 };
  uint32_t status = 0;
  if (s->extra && http_is_preflight(ex)) status = 204;
  else if (s->cfg.on_headers) status = s->cfg.on_headers(s->cfg.self, &ex->req, &reply);
  if (!status) return 0;
  reply.status = status;
  ex->refused = 1;
  send_reply(ex, &reply);
  forget_text(ex);
  return status;
}

int exchange_judge(struct weir_http_exchange *ex) {
  struct weir_http_server *s = ex->server;
  struct weir_body *early = ex->req.body;
  ex->unjudged = 0;
  ex->req.body = NULL;
  if (ask_on_headers(ex)) {
    body_free(early);
    return 1;
  }
  ex->req.body = early;
  if (ex->content_length != UINT64_MAX && ex->content_length > s->cfg.max_body_bytes) return refuse_too_large(ex);
  if ((!early && !budget_has_room(&s->loop->env->budget, 1)) || charge_text(ex)) return refuse_no_room(ex);
  return 0;
}

int exchange_headers_done(struct weir_http_exchange *ex, int may_wait) {
  build_request(ex);
  if (ex->headers_over) {
    exchange_refuse(ex, 431, "the request headers are over the limits of this server (max_header_bytes, max_headers)\n");
    return 1;
  }
  if (may_wait && ex->text_cap <= TEXT_FREE) { /* longer ones are charged at once */
    ex->unjudged = 1;
    return 0;
  }
  return exchange_judge(ex);
}

/* Room for what came, and at most as much again, unless a short declared length says better. */
static int make_room(struct weir_http_exchange *ex, size_t n) {
  struct weir_body *b = ex->req.body;
  uint64_t declared = ex->content_length == UINT64_MAX ? 0 : ex->content_length;
  if (!b) {
    size_t first = n < FIRST_BODY ? FIRST_BODY : n;
    if (declared > first && declared <= TRUSTED_LENGTH) first = (size_t)declared;
    ex->req.body = body_new(ex->server->loop->pool, first);
    return ex->req.body ? 0 : WEIR_E_NOMEM;
  }
  if (b->cap - b->n >= n) return 0;
  size_t want = b->cap * 2 > b->n + n ? b->cap * 2 : b->n + n;
  if (declared >= b->n + n && want > declared) want = (size_t)declared;
  return body_grow(&ex->req.body, want);
}

int exchange_body(struct weir_http_exchange *ex, const char *p, size_t n) {
  if (ex->refused || !n) return 0;
  size_t have = ex->req.body ? ex->req.body->n : 0;
  if (ex->unjudged && (n > HTTP_EARLY_BODY - have || n > ex->server->cfg.max_body_bytes - have) && exchange_judge(ex)) return 1;
  if (n > ex->server->cfg.max_body_bytes - have) return refuse_too_large(ex);
  if (make_room(ex, n)) return refuse_no_room(ex);
  memcpy(ex->req.body->p + have, p, n);
  ex->req.body->n = have + n;
  ex->progress_ns = clock_mono_ns();
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

/* --- the answer -------------------------------------------------------------------------------------------------- */

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

/* What the socket did not take was copied, so the answer's memory is free; told in a later step, as promised. */
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
