/*
 * HTTP/1.1 on a server connection, parsed by llhttp (strict). Source: RFC 9112. llhttp refuses what requests are smuggled with (CL with TE, two lengths,
 * bare LF); obsolete line folding is refused here. Pipelined requests are served one after the other, in order.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_conn.h"

#define BACKLOG_MAX (256u << 10) /* pipelined bytes kept while a request is served; then reading pauses */

static struct http_conn *conn_of(llhttp_t *p) { return p->data; }

/* --- what llhttp tells ---------------------------------------------------------------------------------- */

static int on_url(llhttp_t *p, const char *at, size_t n) {
  struct weir_http_exchange *ex = conn_of(p)->current;
  if (ex->target_n == 0) {
    const char *method = llhttp_method_name((llhttp_method_t)p->method);
    exchange_text(ex, method, strlen(method));
    ex->method_n = (uint32_t)strlen(method);
  }
  exchange_text(ex, at, n);
  ex->target_n += (uint32_t)n;
  return 0;
}

static struct header_at *last_header(struct weir_http_exchange *ex) { return &ex->at[ex->n_at - 1]; }

static int on_header_field(llhttp_t *p, const char *at, size_t n) {
  struct weir_http_exchange *ex = conn_of(p)->current;
  if (ex->n_at == 0 || ex->value_ended) {
    struct header_at h = { (uint32_t)ex->text_n, 0, 0, 0 };
    if (ex->n_at >= ex->server->cfg.max_headers) {
      ex->headers_over = 1;
      return 0;
    }
    exchange_add_header(ex, &h);
    ex->value_ended = 0;
  }
  exchange_text(ex, at, n);
  for (size_t i = ex->text_n - n; i < ex->text_n; i++) ex->text[i] = (char)tolower((unsigned char)ex->text[i]);
  last_header(ex)->name_n += (uint32_t)n;
  return 0;
}

static int on_header_value(llhttp_t *p, const char *at, size_t n) {
  struct weir_http_exchange *ex = conn_of(p)->current;
  if (ex->headers_over) return 0;
  if (last_header(ex)->value_n == 0) last_header(ex)->value = (uint32_t)ex->text_n;
  exchange_text(ex, at, n);
  last_header(ex)->value_n += (uint32_t)n;
  return 0;
}

static int on_value_complete(llhttp_t *p) {
  struct weir_http_exchange *ex = conn_of(p)->current;
  ex->value_ended = 1;
  if (!ex->headers_over && last_header(ex)->value_n == 0) last_header(ex)->value = (uint32_t)ex->text_n;
  return 0;
}

static void find_special_headers(struct weir_http_exchange *ex, int *ret_hosts, int *ret_continue) {
  for (size_t i = 0; i < ex->n_at; i++) {
    const char *name = ex->text + ex->at[i].name;
    size_t n = ex->at[i].name_n;
    if (n == 4 && memcmp(name, "host", 4) == 0) {
      ex->authority = ex->at[i];
      ++*ret_hosts;
    }
    if (n == 6 && memcmp(name, "expect", 6) == 0) *ret_continue = 1;
  }
}

/* Returns 0 to go on. What is answered early keeps being parsed, so that a short body can be skipped, but is not held. */
static int on_headers_complete(llhttp_t *p) {
  struct http_conn *c = conn_of(p);
  struct weir_http_exchange *ex = c->current;
  int hosts = 0, wants_continue = 0;
  c->in_headers = 0;
  conn_touch(c);
  ex->req.version = (uint32_t)p->http_major * 10 + p->http_minor;
  ex->head_only = p->method == HTTP_HEAD;
  ex->keep_alive = llhttp_should_keep_alive(p);
  if (p->flags & F_CONTENT_LENGTH) ex->content_length = p->content_length;
  find_special_headers(ex, &hosts, &wants_continue);
  if (p->upgrade) c->close_after = 1; /* not supported: answered as a plain request, then closed */
  if (ex->req.version >= 11 && hosts != 1) {
    c->close_after = 1;
    exchange_refuse(ex, 400, hosts ? "more than one Host header\n" : "the Host header is missing\n");
    return 0;
  }
  if (c->server->cfg.flags & WEIR_HTTP_H2_ONLY) {
    c->close_after = 1;
    exchange_refuse(ex, 505, "this port speaks HTTP/2 (gRPC) only; OTLP over HTTP/1.1 has its own port, usually 4318\n");
    return 0;
  }
  if (exchange_headers_done(ex)) return 0;
  if (wants_continue && ex->req.version >= 11 && ex->content_length != 0) http_io_put(&c->io, "HTTP/1.1 100 Continue\r\n\r\n", 25);
  return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n) {
  struct weir_http_exchange *ex = conn_of(p)->current;
  exchange_body(ex, at, n);
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

/* --- the connection -------------------------------------------------------------------------------------- */

static void resume(void *arg);

static void begin_request(struct http_conn *c) {
  c->in_headers = 1; /* 2 once a byte has come: then the header time-out runs */
  c->line_start = 0;
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

static void bad_request(struct http_conn *c, uint32_t status, const char *text) {
  c->close_after = 1;
  if (!c->current) c->current = exchange_new(c);
  if (c->current->state == EX_RECEIVING) exchange_refuse(c->current, status, text);
  else conn_close(c);
}

/* Counts header bytes and looks for a line that begins with a blank (obsolete folding). 0, or the status to refuse with. */
static uint32_t check_header_bytes(struct http_conn *c, const char *p, size_t n, size_t *ret_n) {
  for (size_t i = 0; i < n; i++) {
    char ch = p[i];
    if (c->line_start && (ch == ' ' || ch == '\t')) return 400;
    if (c->line_start && ch == '\r') { /* the empty line: the headers end here, whatever follows is checked by llhttp */
      *ret_n = n;
      return 0;
    }
    c->line_start = ch == '\n';
    if (++c->header_bytes > c->server->cfg.max_header_bytes) return 431;
  }
  *ret_n = n;
  return 0;
}

static void keep_backlog(struct http_conn *c, const char *p, size_t n) {
  if (!n) return;
  char *all = realloc(c->backlog, c->backlog_n + n);
  WEIR_ASSERT(all != NULL);
  memcpy(all + c->backlog_n, p, n);
  c->backlog = all;
  c->backlog_n += n;
  if (c->backlog_n >= BACKLOG_MAX) http_io_pause(&c->io);
}

static int check_headers(struct http_conn *c, const char *p, size_t n) {
  size_t checked = 0;
  if (!c->in_headers) return 0;
  if (!c->current) c->current = exchange_new(c);
  if (c->in_headers == 1) {
    c->in_headers = 2;
    conn_touch(c);
  }
  uint32_t status = check_header_bytes(c, p, n, &checked);
  if (status == 400) bad_request(c, 400, "a header line begins with a blank (obsolete line folding)\n");
  if (status == 431) bad_request(c, 431, "the request headers are over the limit of this server (max_header_bytes)\n");
  return status != 0;
}

/* The request that just ended was answered: on to the next one, or the end. */
static void next_request(struct http_conn *c) {
  if (c->current) exchange_free(c->current);
  c->current = NULL;
  if (c->close_after || c->server->draining) {
    c->lingering = 1; /* the peer may still be sending: it reads our answer before the end */
    conn_touch(c);
    http_io_shutdown(&c->io);
    http_io_start(&c->io);
    return;
  }
  begin_request(c);
  llhttp_resume(&c->parser);
  conn_touch(c);
  http_io_start(&c->io);
}

static void parse(struct http_conn *c, const char *p, size_t n) {
  while (n && !c->io.closing && !c->lingering) {
    if (c->complete) { /* a request is being served */
      keep_backlog(c, p, n);
      return;
    }
    if (check_headers(c, p, n)) return;
    llhttp_errno_t e = llhttp_execute(&c->parser, p, n);
    if (c->io.closing) return;
    if (e == HPE_OK) return;
    if (!c->complete) {
      if (c->answered) c->lingering = 1; /* refused already, and the rest is no HTTP: nothing more to say */
      else bad_request(c, 400, "malformed HTTP/1.1 request\n");
      return;
    }
    size_t used = (size_t)(llhttp_get_error_pos(&c->parser) - p);
    p += used;
    n -= used;
    if (c->answered) next_request(c); /* refused while it was being received */
    else exchange_dispatch(c->current);
    if (c->complete && c->answered && !c->io.closing && !c->lingering && c->current) next_request(c);
  }
}

void http1_read(struct http_conn *c, const char *p, size_t n) { parse(c, p, n); }

/* After an answer given in a later step: the pipelined rest is parsed now. */
static void resume(void *arg) {
  struct http_conn *c = arg;
  if (c->io.closing || !c->complete || !c->answered) return;
  next_request(c);
  if (c->lingering || !c->backlog_n) return;
  char *p = c->backlog;
  size_t n = c->backlog_n;
  c->backlog = NULL;
  c->backlog_n = 0;
  parse(c, p, n);
  free(p);
}

/* --- the answer --------------------------------------------------------------------------------------------- */

static void put_text(struct http_conn *c, const char *text) { http_io_put(&c->io, text, strlen(text)); }

static void put_date(struct http_conn *c) {
  static __thread char line[64];
  static __thread time_t when;
  time_t now = (time_t)(clock_unix_ns() / NS_PER_S);
  if (now != when) {
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(line, sizeof line, "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    when = now;
  }
  put_text(c, line);
}

static void put_head(struct http_conn *c, const struct weir_http_exchange *ex, const struct weir_http_reply *r, size_t body_n, int keep) {
  char line[128];
  snprintf(line, sizeof line, "HTTP/1.1 %u %s\r\n", r->status, http_reason(r->status));
  put_text(c, line);
  for (size_t i = 0; i < r->n_headers; i++) {
    http_io_put(&c->io, r->headers[i].name.p, r->headers[i].name.n);
    http_io_put(&c->io, ": ", 2);
    http_io_put(&c->io, r->headers[i].value.p, r->headers[i].value.n);
    http_io_put(&c->io, "\r\n", 2);
  }
  put_date(c);
  if (r->status >= 200 && r->status != 204 && r->status != 304) {
    snprintf(line, sizeof line, "content-length: %zu\r\n", body_n);
    put_text(c, line);
  }
  if (!keep) put_text(c, "connection: close\r\n");
  else if (ex->req.version == 10) put_text(c, "connection: keep-alive\r\n");
  put_text(c, "\r\n");
}

void http1_reply(struct weir_http_exchange *ex, const struct weir_http_reply *r) {
  struct http_conn *c = ex->conn;
  size_t body_n = 0;
  for (size_t i = 0; i < r->n_body; i++) body_n += r->body[i].n;
  /* A refused request whose body is long or of unknown length is not read to its end. */
  if (ex->refused && !c->complete && !(ex->content_length <= (64u << 10))) c->close_after = 1;
  if (!ex->keep_alive || c->server->draining) c->close_after = 1;
  put_head(c, ex, r, body_n, !c->close_after);
  if (!ex->head_only)
    for (size_t i = 0; i < r->n_body; i++) http_io_put(&c->io, r->body[i].p, r->body[i].n);
  c->answered = 1;
  conn_touch(c);
  if (c->complete) {
    loop_defer(c->server->loop, &c->resume);
  } else if (c->close_after) { /* answered before its end, which is not waited for */
    c->lingering = 1;
    http_io_shutdown(&c->io);
  }
}

void http1_drain(struct http_conn *c) {
  if (!c->current || (c->in_headers && c->header_bytes == 0)) conn_close(c);
}
