/*
 * HTTP/2 on a client connection, by nghttp2, with prior knowledge. Source: RFC 9113. DATA frames are gathered: frame headers from a small buffer, payload from
 * where the caller has it, many frames in one system call.
 */
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_call.h"

#define STREAM_WINDOW (1 << 20)
#define CONNECTION_WINDOW (8 << 20)
#define FRAME_HEADER 9u

static struct weir_http_call *call_at(struct http_link *l, int32_t stream_id) { return nghttp2_session_get_stream_user_data(l->h2, stream_id); }

/* --- writing ------------------------------------------------------------------------------------------------ */

/* Hands the gathered pieces to the socket; what it does not take is copied, at most HTTP_IO_BLOCKED of it. */
static void flush_gather(struct http_link *l) {
  size_t wrote = http_io_writev(&l->io, l->gather, l->n_gather);
  for (size_t i = 0; i < l->n_gather; i++) {
    size_t n = l->gather[i].n, skip = wrote < n ? wrote : n;
    wrote -= skip;
    if (n > skip) http_io_put(&l->io, (const char *)l->gather[i].p + skip, n - skip);
  }
  l->n_gather = l->heads_n = 0;
}

static void gather(struct http_link *l, const void *p, size_t n) { l->gather[l->n_gather++] = (struct weir_iov){ p, n }; }

/* Small frames are kept in `heads`, between the bodies that they stand between. */
static void gather_copy(struct http_link *l, const void *p, size_t n) {
  memcpy(l->heads + l->heads_n, p, n);
  gather(l, l->heads + l->heads_n, n);
  l->heads_n += n;
}

static ssize_t on_send(nghttp2_session *h2, const uint8_t *p, size_t n, int flags, void *arg) {
  struct http_link *l = arg;
  (void)h2;
  (void)flags;
  if (http_io_unwritten(&l->io) >= HTTP_IO_BLOCKED) return NGHTTP2_ERR_WOULDBLOCK;
  if (l->n_gather + 2 > HTTP_IO_SEGMENTS || n > sizeof l->heads - l->heads_n) flush_gather(l);
  if (n > sizeof l->heads) {
    http_io_put(&l->io, p, n); /* nothing is gathered now, so order holds */
    return (ssize_t)n;
  }
  gather_copy(l, p, n);
  return (ssize_t)n;
}

static int on_send_data(nghttp2_session *h2, nghttp2_frame *frame, const uint8_t *head, size_t length, nghttp2_data_source *src, void *arg) {
  struct http_link *l = arg;
  struct weir_http_call *call = call_at(l, frame->hd.stream_id);
  (void)h2;
  (void)src;
  if (!call) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* over meanwhile: its bytes may be gone */
  if (http_io_unwritten(&l->io) >= HTTP_IO_BLOCKED) return NGHTTP2_ERR_WOULDBLOCK;
  if (l->n_gather + 4 > HTTP_IO_SEGMENTS || sizeof l->heads - l->heads_n < FRAME_HEADER) flush_gather(l);
  gather_copy(l, head, FRAME_HEADER);
  while (length) {
    size_t left = call->body[call->iov_at].n - call->iov_off, n = length < left ? length : left;
    if (l->n_gather + 1 > HTTP_IO_SEGMENTS - 1) flush_gather(l);
    gather(l, (const char *)call->body[call->iov_at].p + call->iov_off, n);
    length -= n;
    call->iov_off += n;
    if (call->iov_off == call->body[call->iov_at].n) {
      call->iov_at++;
      call->iov_off = 0;
    }
  }
  return 0;
}

static ssize_t on_source(nghttp2_session *h2, int32_t stream_id, uint8_t *buf, size_t cap, uint32_t *flags, nghttp2_data_source *src, void *arg) {
  struct weir_http_call *call = call_at(arg, stream_id);
  if (!call) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  size_t left = call->body_bytes - call->body_given, n = left < cap ? left : cap;
  (void)h2;
  (void)buf;
  (void)src;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  call->body_given += n;
  if (n == left) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)n;
}

void http2_link_pump(struct http_link *l) {
  if (l->state != LINK_READY || l->in_session) return;
  l->in_session = 1;
  int r = nghttp2_session_send(l->h2);
  l->in_session = 0;
  flush_gather(l);
  http_io_flush(&l->io);
  if (r || (!nghttp2_session_want_read(l->h2) && !nghttp2_session_want_write(l->h2))) link_close(l, "the HTTP/2 session ended");
}

static void pump_step(void *arg) { http2_link_pump(arg); }

static void pump_later(struct http_link *l) {
  l->pump.fn = pump_step;
  l->pump.arg = l;
  loop_defer(l->client->loop, &l->pump);
}

static nghttp2_nv nv_text(const char *name, const char *value) {
  nghttp2_nv nv = { (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
  return nv;
}

void http2_send(struct http_link *l, struct weir_http_call *call) {
  nghttp2_nv *nva = malloc((call->n_headers + 4) * sizeof *nva);
  size_t n = 0;
  WEIR_ASSERT(nva != NULL);
  nva[n++] = nv_text(":method", call->method);
  nva[n++] = nv_text(":scheme", l->client->tls.context ? "https" : "http");
  nva[n++] = nv_text(":authority", call->authority);
  nva[n++] = nv_text(":path", call->path);
  for (size_t i = 0; i < call->n_headers; i++) {
    const struct weir_http_header *h = &call->headers[i];
    nva[n++] = (nghttp2_nv){ (uint8_t *)(uintptr_t)h->name.p, (uint8_t *)(uintptr_t)h->value.p, h->name.n, h->value.n, NGHTTP2_NV_FLAG_NONE };
  }
  nghttp2_data_provider data = { { .ptr = NULL }, on_source };
  call->body_given = 0;
  call->stream_id = nghttp2_submit_request(l->h2, NULL, nva, n, call->n_body ? &data : NULL, call);
  free(nva);
  if (call->stream_id < 0) {
    l->retiring = 1; /* stream ids used up, or no memory */
    call_again(call, "no more streams on this connection");
    return;
  }
  http2_link_watch(l);
  pump_later(l);
}

void http2_cancel(struct http_link *l, struct weir_http_call *call) {
  nghttp2_session_set_stream_user_data(l->h2, call->stream_id, NULL);
  nghttp2_submit_rst_stream(l->h2, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
  pump_later(l);
}

int http2_has_room(const struct http_link *l) {
  return l->n_calls < nghttp2_session_get_remote_settings(l->h2, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

/* --- keepalive: as grpc-go's client ------------------------------------------------------------------------------- */

static int64_t ping_due(const struct http_link *l) {
  const struct weir_http_client_config *cfg = &l->client->cfg;
  int64_t from = l->heard_ns > l->ready_ns ? l->heard_ns : l->ready_ns;
  return l->pinged_ns ? l->pinged_ns + cfg->ping_timeout_ns : from + cfg->ping_after_ns;
}

static void on_ping_timer(void *arg) {
  struct http_link *l = arg;
  int64_t now = clock_mono_ns();
  if (ping_due(l) <= now && l->pinged_ns) {
    address_failed(l->client, &l->to, 0);
    link_close(l, "the peer does not answer (keepalive)");
    return;
  }
  if (ping_due(l) <= now) {
    l->pinged_ns = now;
    nghttp2_submit_ping(l->h2, NGHTTP2_FLAG_NONE, NULL);
    pump_later(l);
  }
  http2_link_watch(l);
}

/* The timer comes early when something was heard meanwhile; it is then armed anew. Without calls it rests, unless pings are wanted then, too. */
void http2_link_watch(struct http_link *l) {
  const struct weir_http_client_config *cfg = &l->client->cfg;
  if (cfg->ping_after_ns <= 0 || l->state != LINK_READY || l->ping.slot || (!l->n_calls && !l->pinged_ns && !(cfg->flags & WEIR_HTTP_PING_IDLE))) return;
  l->ping.fn = on_ping_timer;
  l->ping.arg = l;
  timer_set(l->client->loop, &l->ping, ping_due(l) - clock_mono_ns());
}

/* The server finds our pings too many: half as many from now on. */
static void heed_goaway(struct http_link *l, const nghttp2_goaway *goaway) {
  static const char why[] = "too_many_pings";
  l->retiring = l->client->renew = 1;
  if (goaway->error_code != NGHTTP2_ENHANCE_YOUR_CALM || goaway->opaque_data_len != sizeof why - 1 || memcmp(goaway->opaque_data, why, sizeof why - 1) != 0) return;
  if (l->client->cfg.ping_after_ns < INT64_MAX / 4) l->client->cfg.ping_after_ns *= 2;
}

/* --- reading -------------------------------------------------------------------------------------------------- */

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t n, const uint8_t *value, size_t value_n, uint8_t flags,
  void *arg) {
  struct http_link *l = arg;
  struct weir_http_call *call = call_at(l, frame->hd.stream_id);
  (void)flags;
  if (!call) return 0;
  if (n == 7 && memcmp(name, ":status", 7) == 0) {
    call_forget_headers(call); /* of an interim response before it */
    call->in_head = 1;
    for (size_t i = 0; i < value_n; i++) call->status = call->status * 10 + (uint32_t)(value[i] - '0');
    return 0;
  }
  /* Behind an interim response the final one has this category, too: only trailers have no :status. */
  if (frame->headers.cat == NGHTTP2_HCAT_HEADERS && call->status >= 200 && !call->in_head && !call->in_trailers) {
    call->in_trailers = 1;
    call->n_first = call->n_at;
  }
  if (!call_header(call, (const char *)name, n, (const char *)value, value_n)) return 0;
  nghttp2_session_set_stream_user_data(h2, frame->hd.stream_id, NULL);
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* over a limit: the stream is reset */
}

static int on_data_chunk(nghttp2_session *h2, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t n, void *arg) {
  struct http_link *l = arg;
  struct weir_http_call *call = call_at(l, stream_id);
  (void)flags;
  if (!call || !call_body(call, (const char *)data, n)) return 0;
  nghttp2_session_set_stream_user_data(h2, stream_id, NULL);
  nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_CANCEL);
  return 0;
}

static int on_frame_recv(nghttp2_session *h2, const nghttp2_frame *frame, void *arg) {
  struct http_link *l = arg;
  (void)h2;
  if (frame->hd.type == NGHTTP2_GOAWAY) heed_goaway(l, &frame->goaway);
  struct weir_http_call *headed = frame->hd.type == NGHTTP2_HEADERS ? call_at(l, frame->hd.stream_id) : NULL;
  if (headed) headed->in_head = 0;
  if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
    struct weir_http_call *call = call_at(l, frame->hd.stream_id);
    if (call && call->status >= 200) call->ended = 1;
    if (call && call->ended && call->body_given < call->body_bytes) /* answered early: the rest is not wanted */
      nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  }
  return 0;
}

/* A request that the session will not send any more: the peer said GOAWAY. The stream is closed next. */
static int on_frame_not_send(nghttp2_session *h2, const nghttp2_frame *frame, int error, void *arg) {
  struct weir_http_call *call = frame->hd.type == NGHTTP2_HEADERS ? call_at(arg, frame->hd.stream_id) : NULL;
  (void)h2;
  if (call && (error == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED || error == NGHTTP2_ERR_SESSION_CLOSING)) call->not_sent = 1;
  return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t stream_id, uint32_t error_code, void *arg) {
  struct http_link *l = arg;
  struct weir_http_call *call = call_at(l, stream_id);
  if (!call) return 0;
  nghttp2_session_set_stream_user_data(h2, stream_id, NULL);
  l->n_served++;
  if (call->ended) call_done(call); /* also when the peer then resets the rest of the request with NO_ERROR */
  else if (error_code == NGHTTP2_REFUSED_STREAM || call->not_sent) { /* not processed: RFC 9113 section 8.7 */
    call->sent = 0;
    call_again(call, "the peer refused the stream, and again when it was sent anew");
  } else call_fail(call, WEIR_E_IO, "the stream was reset: %s", nghttp2_http2_strerror(error_code));
  return 0;
}

int http2_link_begin(struct http_link *l) {
  nghttp2_session_callbacks *cb;
  nghttp2_option *opt;
  WEIR_ASSERT(nghttp2_session_callbacks_new(&cb) == 0);
  WEIR_ASSERT(nghttp2_option_new(&opt) == 0);
  nghttp2_session_callbacks_set_send_callback(cb, on_send);
  nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
  nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
  nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
  nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
  nghttp2_option_set_no_closed_streams(opt, 1);
  int r = nghttp2_session_client_new2(&l->h2, cb, l, opt);
  nghttp2_option_del(opt);
  nghttp2_session_callbacks_del(cb);
  if (r) return r;
  nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 }, { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW } };
  nghttp2_submit_settings(l->h2, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
  nghttp2_session_set_local_window_size(l->h2, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
  http2_link_watch(l);
  pump_later(l);
  return 0;
}

static void after_session(struct http_link *l) {
  http2_link_pump(l);
  if (l->state == LINK_READY && (l->n_calls == 0 || l->client->waiting)) link_idle(l);
}

void http2_link_read(struct http_link *l, const char *p, size_t n) {
  l->in_session = 1;
  ssize_t r = nghttp2_session_mem_recv(l->h2, (const uint8_t *)p, n);
  l->in_session = 0;
  if (r < 0) {
    link_close(l, "the peer does not speak HTTP/2 here");
    return;
  }
  after_session(l);
}

void http2_link_done(struct http_link *l) {
  nghttp2_session_del(l->h2);
  l->h2 = NULL;
}
