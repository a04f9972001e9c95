/*
 * HTTP/1.1 on a server connection, parsed by llhttp (strict). Source: RFC 9112. llhttp refuses what requests are smuggled with (CL with TE, two lengths,
 * bare LF); obsolete line folding and what is over the header limits is refused here. Pipelined requests are served one after the other, in order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_conn.h"

#define BACKLOG_MAX (256u << 10) /* pipelined bytes kept while a request is served or answers are not read; then reading pauses */
#define REQUEST_LINE_MAX 8192u   /* as RFC 9112 section 3 recommends at least */
#define SKIP_MAX (64u << 10)     /* the body of a refused request is read to its end up to this length; else the connection closes */
#define UNCOPIED_BODY (16u << 10) /* a body from here on is written from where it is */

static struct http_conn *conn_of(llhttp_t *p) { return p->data; }

/* --- what llhttp tells ---------------------------------------------------------------------------------- */

static int on_url(llhttp_t *p, const char *at, size_t n) {
  struct weir_http_exchange *ex = conn_of(p)->current;
  if (ex->path_at.value_n == 0) {
    const char *method = llhttp_method_name((llhttp_method_t)p->method);
    ex->method_at.value_n = (uint32_t)strlen(method);
    exchange_text(ex, method, ex->method_at.value_n);
    ex->path_at.value = (uint32_t)ex->text_n;
  }
  exchange_text(ex, at, n);
  ex->path_at.value_n += (uint32_t)n;
  return 0;
}

static struct header_at *last_header(struct weir_http_exchange *ex) { return &ex->at[ex->n_at - 1]; }

/* Trailers are not used, and the request points into its text by now: they are counted and passed over. */
static int skip_trailer(struct http_conn *c, size_t n) {
  c->header_bytes += n;
  return c->header_bytes > c->server->cfg.max_header_bytes ? -1 : 0;
}

/* To lower case; 0 when it is no token (RFC 9110 section 5.6.2): llhttp as it is shipped lets blanks pass. */
static int lower_token(char *p, size_t n) {
  static const uint64_t token[4] = { 0x3ff6cfa00000000u, 0x57ffffffc7fffffeu, 0, 0 };
  for (size_t i = 0; i < n; i++) {
    unsigned char ch = (unsigned char)p[i];
    if (!(token[ch >> 6] >> (ch & 63) & 1)) return 0;
    if (ch >= 'A' && ch <= 'Z') p[i] = (char)(ch | 0x20);
  }
  return 1;
}

static int bad_header(llhttp_t *p, const char *what) {
  llhttp_set_error_reason(p, what);
  return -1;
}

static int on_header_field(llhttp_t *p, const char *at, size_t n) {
  struct http_conn *c = conn_of(p);
  struct weir_http_exchange *ex = c->current;
  if (!c->in_headers) return skip_trailer(c, n);
  if (ex->headers_over) return 0;
  if (ex->n_at == 0 || ex->value_ended) {
    if (ex->n_at >= c->server->cfg.max_headers) {
      ex->headers_over = 1;
      return 0;
    }
    exchange_add_header(ex, &(struct header_at){ (uint32_t)ex->text_n, 0, 0, 0 });
    ex->value_ended = 0;
  }
  exchange_text(ex, at, n);
  last_header(ex)->name_n += (uint32_t)n;
  if (lower_token(ex->text + ex->text_n - n, n)) return 0;
  return bad_header(p, "Invalid character in a header name");
}

static int on_header_value(llhttp_t *p, const char *at, size_t n) {
  struct http_conn *c = conn_of(p);
  struct weir_http_exchange *ex = c->current;
  if (!c->in_headers) return skip_trailer(c, n);
  if (ex->headers_over || ex->n_at == 0) return 0;
  if (last_header(ex)->value_n == 0) last_header(ex)->value = (uint32_t)ex->text_n;
  exchange_text(ex, at, n);
  last_header(ex)->value_n += (uint32_t)n;
  return 0;
}

static int on_value_complete(llhttp_t *p) {
  struct http_conn *c = conn_of(p);
  struct weir_http_exchange *ex = c->current;
  if (!c->in_headers || ex->headers_over) return 0;
  if (ex->n_at == 0 || last_header(ex)->name_n == 0) return bad_header(p, "Header without a name");
  ex->value_ended = 1;
  return 0;
}

static int has_text(const char *p, size_t n, const char *want) { return n == strlen(want) && memcmp(p, want, n) == 0; }

/* Returns the number of Host lines. */
static int find_special_headers(struct weir_http_exchange *ex, int *ret_continue) {
  int hosts = 0;
  for (size_t i = 0; i < ex->n_at; i++) {
    const char *name = ex->text + ex->at[i].name;
    if (has_text(name, ex->at[i].name_n, "host")) {
      ex->authority = ex->at[i];
      hosts++;
    } else if (has_text(name, ex->at[i].name_n, "expect")) {
      *ret_continue = 1;
    }
  }
  return hosts;
}

/* llhttp also knows the methods of WebDAV, RTSP and others. */
static int is_served(uint8_t method) {
  switch (method) {
  case HTTP_GET: case HTTP_HEAD: case HTTP_POST: case HTTP_PUT: case HTTP_DELETE: case HTTP_PATCH: case HTTP_OPTIONS: return 1;
  default: return 0;
  }
}

static void refuse_and_close(struct http_conn *c, uint32_t status, const char *text) {
  c->close_after = 1;
  exchange_refuse(c->current, status, text);
}

/* What is answered early keeps being parsed, so that a short body can be skipped, but is not held. */
static int on_headers_complete(llhttp_t *p) {
  struct http_conn *c = conn_of(p);
  struct weir_http_exchange *ex = c->current;
  int wants_continue = 0, hosts = find_special_headers(ex, &wants_continue);
  c->in_headers = 0;
  c->header_bytes = 0; /* from here on it counts trailers */
  ex->progress_ns = clock_mono_ns();
  ex->req.version = (uint32_t)p->http_major * 10 + p->http_minor;
  ex->head_only = p->method == HTTP_HEAD;
  ex->keep_alive = llhttp_should_keep_alive(p);
  if (p->flags & F_CONTENT_LENGTH) ex->content_length = p->content_length;
  else if (!(p->flags & F_TRANSFER_ENCODING)) ex->content_length = 0;
  if (ex->headers_over) c->close_after = 1;
  if (p->upgrade) c->close_after = 1; /* not supported: answered as a plain request, then closed */
  if (!is_served(p->method)) refuse_and_close(c, 501, "this server knows GET, HEAD, POST, PUT, DELETE, PATCH and OPTIONS\n");
  else if (ex->req.version != 10 && ex->req.version != 11) refuse_and_close(c, 505, "this server speaks HTTP/1.0, HTTP/1.1 and HTTP/2\n");
  else if (ex->req.version == 10 && p->flags & F_TRANSFER_ENCODING) refuse_and_close(c, 400, "Transfer-Encoding in an HTTP/1.0 request\n");
  else if (hosts > 1 || (ex->req.version == 11 && !hosts)) refuse_and_close(c, 400, hosts ? "more than one Host header\n" : "the Host header is missing\n");
  else if (c->server->cfg.flags & WEIR_HTTP_H2_ONLY)
    refuse_and_close(c, 505, "this port speaks HTTP/2 (gRPC) only; OTLP over HTTP/1.1 has its own port, usually 4318\n");
  else if (!exchange_headers_done(ex, 0) && wants_continue && ex->req.version == 11 && ex->content_length != 0)
    http_io_put(&c->io, "HTTP/1.1 100 Continue\r\n\r\n", 25);
  return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n) {
  exchange_body(conn_of(p)->current, at, n);
  return 0;
}

/* Parsing pauses here: the next request on the connection begins when this one is answered. */
static int on_message_complete(llhttp_t *p) {
  conn_of(p)->complete = 1;
  return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
  .on_url = on_url,
  .on_header_field = on_header_field,
  .on_header_value = on_header_value,
  .on_header_value_complete = on_value_complete,
  .on_headers_complete = on_headers_complete,
  .on_body = on_body,
  .on_message_complete = on_message_complete,
};

/* --- header lines, before llhttp sees them ---------------------------------------------------------------- */

/* Counts the bytes of the request line and the headers, and finds a line that begins with a blank (obsolete folding). 0, or the status to refuse with. */
static uint32_t check_lines(struct http_conn *c, const char *p, size_t n) {
  const struct weir_http_server_config *cfg = &c->server->cfg;
  for (size_t i = 0; i < n && c->scan != SCAN_END;) {
    size_t step = 1;
    if (c->scan == SCAN_BEGIN && p[i] != '\r' && p[i] != '\n') c->scan = SCAN_REQUEST;
    if (c->scan == SCAN_LINE_START) {
      if (p[i] == ' ' || p[i] == '\t') return 400;
      c->scan = p[i] == '\r' ? SCAN_END : SCAN_LINE;
    }
    if (c->scan == SCAN_REQUEST || c->scan == SCAN_LINE) {
      const char *nl = memchr(p + i, '\n', n - i);
      step = nl ? (size_t)(nl - p) - i + 1 : n - i;
    }
    c->header_bytes += step;
    if (c->scan == SCAN_REQUEST && c->header_bytes > (cfg->max_header_bytes < REQUEST_LINE_MAX ? cfg->max_header_bytes : REQUEST_LINE_MAX)) return 414;
    if (c->header_bytes > cfg->max_header_bytes) return 431;
    i += step;
    if (c->scan != SCAN_BEGIN && c->scan != SCAN_END && p[i - 1] == '\n') c->scan = SCAN_LINE_START;
  }
  return 0;
}

static void bad_request(struct http_conn *c, uint32_t status, const char *text) {
  if (c->current->state == EX_RECEIVING) refuse_and_close(c, status, text);
  else conn_close(c);
}

/* 0 to go on. */
static int check_headers(struct http_conn *c, const char *p, size_t n) {
  if (!c->in_headers) return 0;
  if (c->in_headers == 1) {
    c->current = exchange_new(c);
    c->in_headers = 2;
    c->header_ns = clock_mono_ns();
  }
  uint32_t status = check_lines(c, p, n);
  if (status == 400) bad_request(c, 400, "a header line begins with a blank (obsolete line folding)\n");
  if (status == 414) bad_request(c, 414, "the request line is over the limit of this server (8 KiB or max_header_bytes)\n");
  if (status == 431) bad_request(c, 431, "the request headers are over the limit of this server (max_header_bytes)\n");
  return status != 0;
}

/* --- the connection -------------------------------------------------------------------------------------- */

static void resume(void *arg);

static void begin_request(struct http_conn *c) {
  c->in_headers = 1; /* 2 once a byte has come: then the header time-out runs */
  c->scan = SCAN_BEGIN;
  c->header_bytes = 0;
  c->complete = c->answered = 0;
}

void http1_begin(struct http_conn *c) {
  llhttp_init(&c->parser, HTTP_REQUEST, &settings);
  c->parser.data = c;
  c->resume.fn = resume;
  c->resume.arg = c;
  begin_request(c);
}

/* The request that just ended was answered: on to the next one, or the end. */
static void next_request(struct http_conn *c) {
  loop_cancel(c->server->loop, &c->resume);
  if (c->current) exchange_free(c->current);
  c->current = NULL;
  if (c->close_after || c->server->draining) {
    conn_linger(c);
    return;
  }
  begin_request(c);
  llhttp_resume(&c->parser);
  conn_touch(c);
}

static void malformed(struct http_conn *c) {
  char text[160];
  if (c->answered) { /* refused already, and the rest is no HTTP: nothing more to say */
    conn_linger(c);
    return;
  }
  if (c->server->cfg.flags & WEIR_HTTP_H2_ONLY) { /* neither: no words that the peer could read */
    conn_count_refused(c, REFUSED_MALFORMED);
    conn_close(c);
    return;
  }
  const char *reason = llhttp_get_error_reason(&c->parser);
  snprintf(text, sizeof text, "malformed HTTP/1.1 request: %s\n", reason && *reason ? reason : "not HTTP");
  bad_request(c, 400, text);
}

/* While the peer leaves this much of its answers unread, no more of its requests are parsed. */
static int is_blocked(struct http_conn *c) {
  if (http_io_unwritten(&c->io) < HTTP_IO_BLOCKED) return 0;
  http_io_flush(&c->io);
  return http_io_unwritten(&c->io) >= HTTP_IO_BLOCKED;
}

/* Parses until the bytes end, a request is with its handler, or too much is unwritten. Returns how many bytes it took; all when the connection is over. */
static size_t feed(struct http_conn *c, const char *p, size_t n) {
  size_t at = 0;
  while (at < n && !c->complete && !is_blocked(c)) {
    if (check_headers(c, p + at, n - at)) return n;
    llhttp_errno_t e = llhttp_execute(&c->parser, p + at, n - at);
    if (c->io.closing || c->lingering) return n;
    if (e == HPE_OK) return n;
    if (!c->complete) {
      malformed(c);
      return n;
    }
    at = (size_t)(llhttp_get_error_pos(&c->parser) - p);
    if (!c->answered) exchange_dispatch(c->current);
    if (c->answered && !c->io.closing) next_request(c);
    if (c->io.closing || c->lingering) return n;
  }
  return at;
}

static void keep_backlog(struct http_conn *c, const char *p, size_t n) {
  struct weir_body *b = c->backlog;
  if (c->backlog_at) { /* else a peer that never lets it run empty makes it grow for ever */
    b->n -= c->backlog_at;
    memmove(b->p, b->p + c->backlog_at, b->n);
    c->backlog_at = 0;
  }
  if (!b) c->backlog = body_new(c->server->loop->pool, n);
  if (!c->backlog || body_append(&c->backlog, p, n)) { /* what was parsed of it is with its handler; the rest the peer sends again */
    conn_count_refused(c, REFUSED_MEMORY);
    conn_close(c);
    return;
  }
  if (c->backlog->n >= BACKLOG_MAX) http_io_pause(&c->io);
}

void http1_read(struct http_conn *c, const char *p, size_t n) {
  size_t used = c->backlog ? 0 : feed(c, p, n);
  if (used < n) keep_backlog(c, p + used, n - used);
}

static void feed_backlog(struct http_conn *c) {
  struct weir_body *b = c->backlog;
  if (!c->lingering && b) c->backlog_at += feed(c, b->p + c->backlog_at, b->n - c->backlog_at);
  if (b && c->backlog_at == b->n) {
    body_free(b);
    c->backlog = NULL;
    c->backlog_at = 0;
  }
  if (!c->backlog || c->backlog->n - c->backlog_at < BACKLOG_MAX) http_io_start(&c->io);
}

/* After an answer given in a later step: the pipelined rest is parsed now. */
static void resume(void *arg) {
  struct http_conn *c = arg;
  if (c->io.closing || !c->complete || !c->answered) return;
  next_request(c);
  feed_backlog(c);
}

void http1_written(struct http_conn *c) {
  if (!c->complete) feed_backlog(c);
}

/* --- the answer --------------------------------------------------------------------------------------------- */

static char *add(char *to, const char *p, size_t n) {
  if (n) memcpy(to, p, n);
  return to + n;
}

static char *add_text(char *to, const char *text) { return add(to, text, strlen(text)); }

static char *add_number(char *to, uint64_t v) {
  char digits[20];
  size_t n = 0;
  do digits[n++] = (char)('0' + v % 10);
  while (v /= 10);
  while (n) *to++ = digits[--n];
  return to;
}

static char *add_date(char *to) {
  static __thread char line[64];
  static __thread time_t when;
  time_t now = (time_t)(clock_unix_ns() / NS_PER_S);
  if (now != when || !*line) {
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(line, sizeof line, "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    when = now;
  }
  return add_text(to, line);
}

static void put_head(struct http_conn *c, const struct weir_http_exchange *ex, const struct weir_http_reply *r, size_t body_n) {
  size_t bound = 256;
  for (size_t i = 0; i < r->n_headers; i++) bound += r->headers[i].name.n + r->headers[i].value.n + 4;
  char *begin = http_io_room(&c->io, bound), *to = begin;
  to = add_text(to, "HTTP/1.1 ");
  to = add_number(to, r->status);
  to = add_text(to, " ");
  to = add_text(to, http_reason(r->status));
  to = add_text(to, "\r\n");
  for (size_t i = 0; i < r->n_headers; i++) {
    to = add(to, r->headers[i].name.p, r->headers[i].name.n);
    to = add_text(to, ": ");
    to = add(to, r->headers[i].value.p, r->headers[i].value.n);
    to = add_text(to, "\r\n");
  }
  to = add_date(to);
  if (r->status >= 200 && r->status != 204 && r->status != 304) {
    to = add_text(to, "content-length: ");
    to = add_number(to, body_n);
    to = add_text(to, "\r\n");
  }
  if (c->close_after) to = add_text(to, "connection: close\r\n");
  else if (ex->req.version == 10) to = add_text(to, "connection: keep-alive\r\n");
  to = add_text(to, "\r\n");
  http_io_took(&c->io, (size_t)(to - begin));
}

/* Large bodies go out from where they are; only what the socket does not take at once is copied. */
static void put_body(struct http_conn *c, const struct weir_http_reply *r, size_t body_n) {
  size_t i = 0, wrote = 0;
  if (body_n >= UNCOPIED_BODY && r->n_body < HTTP_IO_SEGMENTS) wrote = http_io_writev(&c->io, r->body, r->n_body);
  for (; i < r->n_body && wrote >= r->body[i].n; i++) wrote -= r->body[i].n;
  for (; i < r->n_body; i++, wrote = 0) http_io_put(&c->io, (const char *)r->body[i].p + wrote, r->body[i].n - wrote);
}

void http1_reply(struct weir_http_exchange *ex, const struct weir_http_reply *r) {
  struct http_conn *c = ex->conn;
  size_t body_n = 0;
  for (size_t i = 0; i < r->n_body; i++) body_n += r->body[i].n;
  if (ex->refused && !c->complete && ex->content_length > SKIP_MAX) c->close_after = 1; /* also of unknown length */
  if (!ex->keep_alive || c->server->draining || c->old || c->server->cfg.flags & WEIR_HTTP_NO_KEEP_ALIVE) c->close_after = 1;
  put_head(c, ex, r, body_n);
  if (!ex->head_only) put_body(c, r, body_n);
  c->answered = 1;
  conn_touch(c);
  if (c->complete) loop_defer(c->server->loop, &c->resume);
  else if (c->close_after) conn_linger(c); /* answered before its end, which is not waited for */
}

void http1_drain(struct http_conn *c) {
  if (!c->current) conn_close(c);
}
