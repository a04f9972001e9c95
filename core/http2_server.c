/*
 * HTTP/2 on a server connection, by nghttp2. Source: RFC 9113. Floods: the number of streams, the header list, queued acknowledgements, resets and empty
 * frames are each limited, and nothing is read while too much is unwritten, so a connection's memory is bounded.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_conn.h"

#define STREAM_WINDOW (1 << 20)
#define CONNECTION_WINDOW (8 << 20)
#define MAX_ACKS 1000u
#define RESETS_BURST 1000.0 /* as nghttp2 1.57 limits them: 1000 at once, then 33 a second */
#define RESETS_PER_S 33.0
#define EMPTIES_BURST 10000.0 /* DATA frames without data that end nothing */
#define EMPTIES_PER_S 1000.0
#define HEADERS_OVER 4u /* times max_header_bytes: up to here they are refused with an answer; over it the connection ends, as decoding alone costs too much */
#define REPLY_HEADERS (64u + WEIR_HTTP_RESPONSE_HEADERS_MAX + 9u) /* the handler's, and what http_cors.c adds */

static struct weir_http_exchange *exchange_at(struct http_conn *c, int32_t stream_id) { return nghttp2_session_get_stream_user_data(c->h2, stream_id); }

/* --- requests that nghttp2 would pass over --------------------------------------------------------------- */

static void connection_error(nghttp2_session *h2, uint32_t code) {
  nghttp2_session_terminate_session2(h2, nghttp2_session_get_last_proc_stream_id(h2), code);
}

/* Connection errors that nghttp2 does not see, as it takes the stream for one that was closed long ago: a request on a stream id below the highest, that was
 * never used (RFC 9113 section 5.1.1), and HEADERS or DATA behind the peer's own END_STREAM or RST_STREAM (section 5.1). The last 64 ids are remembered. */
static int on_begin_frame(nghttp2_session *h2, const nghttp2_frame_hd *hd, void *arg) {
  struct http_conn *c = arg;
  if ((hd->type != NGHTTP2_HEADERS && hd->type != NGHTTP2_DATA) || hd->stream_id <= 0 || hd->stream_id % 2 == 0) return 0;
  uint32_t id = (uint32_t)hd->stream_id / 2 + 1, below = c->top_id - id;
  if (id > c->top_id) {
    if (hd->type != NGHTTP2_HEADERS) return 0;
    c->used_ids = id - c->top_id < 64 ? c->used_ids << (id - c->top_id) | 1 : 1;
    c->ended_ids = id - c->top_id < 64 ? c->ended_ids << (id - c->top_id) : 0;
    c->top_id = id;
  } else if (below < 64 && c->ended_ids >> below & 1) {
    connection_error(h2, NGHTTP2_STREAM_CLOSED);
  } else if (below < 64 && hd->type == NGHTTP2_HEADERS && !(c->used_ids >> below & 1)) {
    connection_error(h2, NGHTTP2_PROTOCOL_ERROR);
  }
  return 0;
}

static void note_ended(struct http_conn *c, int32_t stream_id) {
  uint32_t below = c->top_id - ((uint32_t)stream_id / 2 + 1);
  if (below < 64) c->ended_ids |= 1ull << below;
}

/* --- requests ------------------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *arg) {
  struct http_conn *c = arg;
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  if (c->goaway_sent) { /* the GOAWAY, which may still wait to be written, says that it is not served: its client sends it elsewhere */
    nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  if (c->n_exchanges >= c->server->cfg.max_concurrent_streams) { /* a peer that has not seen our SETTINGS yet */
    conn_count_refused(c, REFUSED_FLOOD);
    nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* its headers are decoded, but not looked at */
  }
  struct weir_http_exchange *ex = exchange_new(c);
  ex->stream_id = frame->hd.stream_id;
  ex->req.version = 20;
  nghttp2_session_set_stream_user_data(h2, ex->stream_id, ex);
  return 0;
}

/* :method and :path stand first in text; they may come in either order, so they are kept apart until the headers end. */
static void pseudo_header(struct weir_http_exchange *ex, const char *name, size_t n, const char *value, size_t value_n) {
  struct header_at h = { 0, 0, (uint32_t)ex->text_n, (uint32_t)value_n };
  exchange_text(ex, value, value_n);
  if (n == 7 && memcmp(name, ":method", 7) == 0) ex->method_at = h;
  else if (n == 5 && memcmp(name, ":path", 5) == 0) ex->path_at = h;
  else if (n == 10 && memcmp(name, ":authority", 10) == 0) ex->authority = h;
}

/* A byte of HPACK may stand for 4 KiB of headers, each of which nghttp2 checks byte by byte: 16 KiB on the wire kept a lane busy for a tenth of a second. */
static int headers_cost_too_much(struct http_conn *c, struct weir_http_exchange *ex, size_t n) {
  ex->decoded += n + 32;
  if (ex->decoded / HEADERS_OVER <= c->server->cfg.max_header_bytes) return 0;
  conn_count_refused(c, REFUSED_FLOOD);
  connection_error(c->h2, NGHTTP2_ENHANCE_YOUR_CALM);
  return 1;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t n, const uint8_t *value, size_t value_n, uint8_t flags,
  void *arg) {
  struct http_conn *c = arg;
  struct weir_http_exchange *ex = exchange_at(c, frame->hd.stream_id);
  (void)h2;
  (void)flags;
  if (ex && headers_cost_too_much(c, ex, n + value_n)) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (!ex || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0; /* trailers are not used */
  if (ex->headers_over) return 0;
  if (ex->text_n + n + value_n + 32 * ex->n_at > c->server->cfg.max_header_bytes || ex->n_at >= c->server->cfg.max_headers) {
    ex->headers_over = 1;
    return 0;
  }
  if (n && name[0] == ':') {
    pseudo_header(ex, (const char *)name, n, (const char *)value, value_n);
    return 0;
  }
  struct header_at h = { (uint32_t)ex->text_n, (uint32_t)n, (uint32_t)(ex->text_n + n), (uint32_t)value_n };
  exchange_text(ex, (const char *)name, n);
  exchange_text(ex, (const char *)value, value_n);
  exchange_add_header(ex, &h);
  if (n == 14 && memcmp(name, "content-length", 14) == 0 && value_n < 19) { /* nghttp2 has checked that it is a number, and checks the body against it */
    ex->content_length = 0;
    for (size_t i = 0; i < value_n; i++) ex->content_length = ex->content_length * 10 + (uint64_t)(value[i] - '0');
  }
  return 0;
}

static void end_of_request(struct weir_http_exchange *ex) {
  if (ex->unjudged) exchange_judge(ex);
  if (ex->state == EX_RECEIVING && !ex->refused) exchange_dispatch(ex);
}

static void take_one(struct http_conn *c, struct bucket *b, double burst, double per_s) {
  int64_t now = clock_mono_ns();
  b->left += (double)(now - b->at_ns) / (double)NS_PER_S * per_s;
  if (b->left > burst) b->left = burst;
  b->at_ns = now;
  if ((b->left -= 1) >= 0) return;
  conn_count_refused(c, REFUSED_FLOOD);
  connection_error(c->h2, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void count_reset(struct http_conn *c) { take_one(c, &c->resets, RESETS_BURST, RESETS_PER_S); }

static void request_headers_whole(struct weir_http_exchange *ex, int ends) {
  ex->head_only = ex->method_at.value_n == 4 && memcmp(ex->text + ex->method_at.value, "HEAD", 4) == 0;
  ex->progress_ns = clock_mono_ns();
  exchange_headers_done(ex, !ends);
}

static int on_frame_recv(nghttp2_session *h2, const nghttp2_frame *frame, void *arg) {
  struct http_conn *c = arg;
  (void)h2;
  if (frame->hd.type == NGHTTP2_PING) keepalive_ping_received(c, frame);
  if (frame->hd.type == NGHTTP2_RST_STREAM) {
    count_reset(c);
    note_ended(c, frame->hd.stream_id);
  }
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  struct weir_http_exchange *ex = exchange_at(c, frame->hd.stream_id);
  int ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
  if (ends) note_ended(c, frame->hd.stream_id);
  if (frame->hd.type == NGHTTP2_DATA && frame->hd.length == frame->data.padlen && !ends) take_one(c, &c->empties, EMPTIES_BURST, EMPTIES_PER_S);
  if (ex && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) request_headers_whole(ex, ends);
  if (ex && ends) end_of_request(ex);
  return 0;
}

static int on_data_chunk(nghttp2_session *h2, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t n, void *arg) {
  struct weir_http_exchange *ex = exchange_at(arg, stream_id);
  (void)h2;
  (void)flags;
  if (ex && ex->state == EX_RECEIVING) exchange_body(ex, (const char *)data, n);
  return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t stream_id, uint32_t error_code, void *arg) {
  struct http_conn *c = arg;
  struct weir_http_exchange *ex = exchange_at(c, stream_id);
  (void)h2;
  (void)error_code;
  if (!ex) return 0;
  nghttp2_session_set_stream_user_data(c->h2, stream_id, NULL);
  if (ex->state == EX_HANDLED) exchange_detach(ex);
  else exchange_free(ex);
  return 0;
}

/* An answer that ends before its request does: the rest of the request is not wanted (RFC 9113 section 8.1).
 * Resets that the peer makes us send count as its own: both sides do the work of a stream and drop it. */
static int on_frame_send(nghttp2_session *h2, const nghttp2_frame *frame, void *arg) {
  struct http_conn *c = arg;
  if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR) count_reset(c);
  if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) c->answered_since_ping = 1;
  if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
  struct weir_http_exchange *ex = exchange_at(c, frame->hd.stream_id);
  if (ex && ex->refused && nghttp2_session_get_stream_remote_close(h2, frame->hd.stream_id) == 0)
    nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  return 0;
}

/* --- the session -------------------------------------------------------------------------------------------- */

static nghttp2_session_callbacks *make_callbacks(void) {
  nghttp2_session_callbacks *cb;
  WEIR_ASSERT(nghttp2_session_callbacks_new(&cb) == 0);
  nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
  nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
  return cb;
}

int http2_begin(struct http_conn *c) {
  const struct weir_http_server_config *cfg = &c->server->cfg;
  nghttp2_session_callbacks *cb = make_callbacks();
  nghttp2_option *opt;
  WEIR_ASSERT(nghttp2_option_new(&opt) == 0);
  nghttp2_option_set_max_outbound_ack(opt, MAX_ACKS);
  int r = nghttp2_session_server_new2(&c->h2, cb, c, opt);
  nghttp2_option_del(opt);
  nghttp2_session_callbacks_del(cb);
  if (r) return r;
  nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, cfg->max_concurrent_streams },
    { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
    { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)(cfg->max_header_bytes < UINT32_MAX ? cfg->max_header_bytes : UINT32_MAX) } };
  nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
  nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
  c->resets = (struct bucket){ RESETS_BURST, clock_mono_ns() };
  c->empties = (struct bucket){ EMPTIES_BURST, clock_mono_ns() };
  return 0;
}

static void pump_step(void *arg) { http2_pump(arg); }

void http2_read(struct http_conn *c, const char *p, size_t n) {
  c->in_session = 1;
  ssize_t r = nghttp2_session_mem_recv(c->h2, (const uint8_t *)p, n);
  c->in_session = 0;
  if (r < 0) { /* no HTTP/2, or a flood of what must be acknowledged */
    conn_count_refused(c, r == NGHTTP2_ERR_FLOODED ? REFUSED_FLOOD : REFUSED_MALFORMED);
    nghttp2_session_terminate_session(c->h2, r == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
    http2_pump(c);
    if (!c->io.closing && !c->lingering) conn_linger(c);
    return;
  }
  http2_pump(c);
  if (!c->io.closing && http_io_unwritten(&c->io) >= HTTP_IO_BLOCKED) http_io_pause(&c->io);
}

/* Moves what the session has to the socket until either has enough. */
static void move_frames(struct http_conn *c) {
  for (;;) {
    const uint8_t *out;
    size_t before = http_io_unwritten(&c->io), moved = 0;
    while (before + moved < HTTP_IO_BLOCKED) {
      c->in_session = 1;
      ssize_t n = nghttp2_session_mem_send(c->h2, &out);
      c->in_session = 0;
      if (n <= 0) break;
      http_io_put(&c->io, out, (size_t)n);
      moved += (size_t)n;
    }
    http_io_flush(&c->io);
    if (!moved || http_io_unwritten(&c->io)) return; /* nothing is left, or on_drain goes on */
  }
}

void http2_pump(struct http_conn *c) {
  if (c->io.closing || c->lingering || c->in_session) return;
  if (c->notice_heard) http2_goaway(c);
  move_frames(c);
  int over = !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2);
  if (over || (c->goaway_sent && (c->evicted || !c->n_exchanges) && !http_io_unwritten(&c->io))) conn_linger(c);
}

void http2_done(struct http_conn *c) {
  nghttp2_session_del(c->h2);
  c->h2 = NULL;
}

void http2_goaway(struct http_conn *c) {
  if (c->goaway_sent || c->lingering) return;
  c->goaway_sent = 1;
  nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->h2), NGHTTP2_NO_ERROR, NULL, 0);
}

void http2_cancel_stream(struct weir_http_exchange *ex) {
  nghttp2_submit_rst_stream(ex->conn->h2, NGHTTP2_FLAG_NONE, ex->stream_id, NGHTTP2_CANCEL);
}

/* --- the answer ----------------------------------------------------------------------------------------------- */

static nghttp2_nv nv_of(const struct weir_http_header *h) {
  nghttp2_nv nv = { (uint8_t *)(uintptr_t)h->name.p, (uint8_t *)(uintptr_t)h->value.p, h->name.n, h->value.n, NGHTTP2_NV_FLAG_NONE };
  return nv;
}

static ssize_t read_body(nghttp2_session *h2, int32_t stream_id, uint8_t *buf, size_t cap, uint32_t *flags, nghttp2_data_source *src, void *arg) {
  struct weir_http_exchange *ex = src->ptr;
  size_t n = ex->out_n - ex->out_at < cap ? ex->out_n - ex->out_at : cap;
  (void)arg;
  if (n) memcpy(buf, ex->out + ex->out_at, n);
  ex->out_at += n;
  ex->progress_ns = clock_mono_ns();
  if (ex->out_at < ex->out_n) return (ssize_t)n;
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (ex->n_trailers) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(h2, stream_id, ex->trailers, ex->n_trailers);
  }
  return (ssize_t)n;
}

/* Body and trailers live until they are sent: copied into one block. */
static void keep_answer(struct weir_http_exchange *ex, const struct weir_http_reply *r) {
  size_t n = 0, text = 0;
  for (size_t i = 0; i < r->n_body; i++) n += r->body[i].n;
  for (size_t i = 0; i < r->n_trailers; i++) text += r->trailers[i].name.n + r->trailers[i].value.n;
  if (ex->head_only) n = 0;
  ex->out = n + text ? malloc(n + text) : NULL;
  WEIR_ASSERT(ex->out || n + text == 0);
  for (size_t i = 0; i < r->n_body && n; i++) {
    memcpy(ex->out + ex->out_n, r->body[i].p, r->body[i].n);
    ex->out_n += r->body[i].n;
  }
  if (!r->n_trailers) return;
  char *at = ex->out + n;
  ex->trailers = malloc(r->n_trailers * sizeof *ex->trailers);
  WEIR_ASSERT(ex->trailers != NULL);
  for (size_t i = 0; i < r->n_trailers; i++) {
    struct weir_http_header h = r->trailers[i];
    memcpy(at, h.name.p, h.name.n);
    memcpy(at + h.name.n, h.value.p, h.value.n);
    h.name.p = at;
    h.value.p = at + h.name.n;
    at += h.name.n + h.value.n;
    ex->trailers[ex->n_trailers++] = nv_of(&h);
  }
}

void http2_reply(struct weir_http_exchange *ex, const struct weir_http_reply *r) {
  struct http_conn *c = ex->conn;
  nghttp2_nv nva[REPLY_HEADERS + 2]; /* and :status, content-length */
  char status[12], length[24];
  size_t n = 0;
  WEIR_ASSERT(r->n_headers <= REPLY_HEADERS);
  keep_answer(ex, r);
  snprintf(status, sizeof status, "%u", r->status);
  struct weir_http_header first = { weir_str_of(":status"), weir_str_of(status) };
  nva[n++] = nv_of(&first);
  for (size_t i = 0; i < r->n_headers; i++) nva[n++] = nv_of(&r->headers[i]);
  struct weir_http_header len;
  if (!r->n_trailers && ex->out_n) {
    snprintf(length, sizeof length, "%zu", ex->out_n);
    len = (struct weir_http_header){ weir_str_of("content-length"), weir_str_of(length) };
    nva[n++] = nv_of(&len);
  }
  nghttp2_data_provider data = { { .ptr = ex }, read_body };
  int has_data = ex->out_n > 0 || ex->n_trailers > 0;
  if (nghttp2_submit_response(c->h2, ex->stream_id, nva, n, has_data ? &data : NULL))
    nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, ex->stream_id, NGHTTP2_INTERNAL_ERROR);
  c->resume.fn = pump_step;
  c->resume.arg = c;
  loop_defer(c->server->loop, &c->resume); /* several answers of one step share a write */
}
