/* HTTP/1.1 on a client connection: one call at a time, kept alive between calls. Source: RFC 9112. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/assert.h"
#include "core/http_call.h"

#define SEND_PIECE (64u << 10) /* copied at a time while the socket is full */

/* --- sending ---------------------------------------------------------------------------------------------- */

static void put(struct http_link *l, const char *p, size_t n) { http_io_put(&l->io, p, n); }
static void put_text(struct http_link *l, const char *s) { put(l, s, strlen(s)); }

static void put_head(struct http_link *l, const struct weir_http_call *call) {
  char length[64];
  put_text(l, call->method);
  put_text(l, " ");
  put_text(l, call->path);
  put_text(l, " HTTP/1.1\r\nhost: ");
  put_text(l, call->authority);
  put_text(l, "\r\n");
  for (size_t i = 0; i < call->n_headers; i++) {
    put(l, call->headers[i].name.p, call->headers[i].name.n);
    put(l, ": ", 2);
    put(l, call->headers[i].value.p, call->headers[i].value.n);
    put(l, "\r\n", 2);
  }
  if (l->retiring) put_text(l, "connection: close\r\n"); /* WEIR_HTTP_NO_KEEP_ALIVE */
  snprintf(length, sizeof length, "content-length: %zu\r\n\r\n", call->body_bytes);
  put_text(l, call->n_body || strcmp(call->method, "GET") != 0 ? length : "\r\n");
}

/* Moves the call's position on by n sent bytes. */
static void advance(struct weir_http_call *call, size_t n) {
  while (n && call->iov_at < call->n_body) {
    size_t left = call->body[call->iov_at].n - call->iov_off;
    size_t step = n < left ? n : left;
    call->iov_off += step;
    n -= step;
    if (call->iov_off == call->body[call->iov_at].n) {
      call->iov_at++;
      call->iov_off = 0;
    }
  }
}

/* The body straight from where it stands; only when the socket is full is a piece copied, so that its drain tells when to go on. */
void http1_continue(struct http_link *l) {
  struct weir_http_call *call = l->calls;
  while (call && !call->over && call->iov_at < call->n_body && http_io_unwritten(&l->io) < SEND_PIECE) {
    struct weir_iov iov[HTTP_IO_SEGMENTS - 1];
    size_t n = 0;
    for (size_t i = call->iov_at; i < call->n_body && n < HTTP_IO_SEGMENTS - 1; i++) {
      size_t off = i == call->iov_at ? call->iov_off : 0;
      iov[n++] = (struct weir_iov){ (const char *)call->body[i].p + off, call->body[i].n - off };
    }
    size_t wrote = http_io_writev(&l->io, iov, n);
    advance(call, wrote);
    if (wrote) continue;
    size_t piece = iov[0].n < SEND_PIECE ? iov[0].n : SEND_PIECE;
    put(l, iov[0].p, piece);
    advance(call, piece);
  }
}

void http1_send(struct http_link *l, struct weir_http_call *call) {
  l->got_bytes = 0;
  l->message_done = l->in_value = l->headers_done = 0;
  put_head(l, call);
  http1_continue(l);
}

/* --- the response --------------------------------------------------------------------------------------------- */

static struct http_link *link_of(llhttp_t *p) { return p->data; }

/* Names and values come in pieces, possibly empty ones; lines behind the body are trailers. */
static int on_header_field(llhttp_t *p, const char *at, size_t n) {
  struct http_link *l = link_of(p);
  struct weir_http_call *call = l->calls;
  if (!call) return -1;
  if (l->headers_done && !call->in_trailers) {
    call->in_trailers = 1;
    call->n_first = call->n_at;
  }
  if ((l->in_value || call->n_at == 0) && call_header(call, "", 0, "", 0)) return -1;
  l->in_value = 0;
  if (n == 0) return 0;
  if (call_header_more(call, 0, at, n)) return -1;
  char *text = call->text + call->text_n - n;
  for (size_t i = 0; i < n; i++) text[i] = (char)tolower((unsigned char)text[i]);
  return 0;
}

static int on_header_value(llhttp_t *p, const char *at, size_t n) {
  struct http_link *l = link_of(p);
  if (!l->calls || !l->calls->n_at || !l->calls->at[2 * l->calls->n_at - 2].n) return -1; /* a line without a name */
  l->in_value = 1;
  return call_header_more(l->calls, 1, at, n) ? -1 : 0;
}

static int on_value_complete(llhttp_t *p) {
  link_of(p)->in_value = 1;
  return 0;
}

static int on_headers_complete(llhttp_t *p) {
  struct http_link *l = link_of(p);
  if (!l->calls || p->status_code < 100) return -1; /* 1xx have no body, less is no status */
  l->calls->status = p->status_code;
  l->headers_done = 1;
  if (!llhttp_should_keep_alive(p)) l->retiring = 1;
  return strcmp(l->calls->method, "HEAD") == 0 ? 1 : 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n) {
  struct weir_http_call *call = link_of(p)->calls;
  return !call || call_body(call, at, n) ? -1 : 0;
}

static int on_message_complete(llhttp_t *p) {
  link_of(p)->message_done = 1;
  return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
  .on_header_field = on_header_field,
  .on_header_value = on_header_value,
  .on_header_value_complete = on_value_complete,
  .on_headers_complete = on_headers_complete,
  .on_body = on_body,
  .on_message_complete = on_message_complete,
};

void http1_link_begin(struct http_link *l) {
  llhttp_init(&l->parser, HTTP_RESPONSE, &settings);
  l->parser.data = l;
}

static void response_whole(struct http_link *l) {
  struct weir_http_call *call = l->calls;
  l->message_done = l->in_value = l->headers_done = 0;
  if (call->status < 200) { /* an interim response: the real one follows */
    call_forget_headers(call);
    return;
  }
  int unsent = call->iov_at < call->n_body || http_io_unwritten(&l->io) > 0;
  l->n_served++;
  call_done(call);
  if (unsent || l->retiring) link_close(l, "closed after the response");
  else link_idle(l);
}

void http1_link_read(struct http_link *l, const char *p, size_t n) {
  while (n && l->state == LINK_READY) {
    if (!l->calls) { /* bytes that nobody asked for */
      link_close(l, "unexpected data from the peer");
      return;
    }
    llhttp_errno_t e = llhttp_execute(&l->parser, p, n);
    if (e == HPE_OK) return;
    if (!l->message_done) {
      link_close(l, "the response is not HTTP/1.1");
      return;
    }
    size_t used = (size_t)(llhttp_get_error_pos(&l->parser) - p);
    p += used;
    n -= used;
    llhttp_resume(&l->parser);
    response_whole(l);
  }
}

void http1_link_end(struct http_link *l) {
  if (l->state != LINK_READY || !l->calls || !l->calls->status) return;
  llhttp_finish(&l->parser);
  if (l->message_done && l->calls->status >= 200) {
    l->retiring = 1;
    call_done(l->calls);
  }
}
