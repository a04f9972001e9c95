#include "core/http_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_io_tls.h"

#define OUT_KEEP (64u << 10) /* a larger output buffer is not kept */

static void flush_step(void *arg) { http_io_flush(arg); }
static void read_more(void *arg);

static void init_common(struct http_io *io, struct loop *loop, const struct http_io_ops *ops) {
  memset(io, 0, sizeof *io);
  io->loop = loop;
  io->ops = ops;
  io->flush.fn = flush_step;
  io->flush.arg = io;
  io->more.fn = read_more;
  io->more.arg = io;
  io->written_ns = clock_mono_ns();
}

int http_io_init(struct http_io *io, struct loop *loop, const struct http_io_ops *ops, int is_pipe) {
  init_common(io, loop, ops);
  int r = is_pipe ? uv_pipe_init(&loop->uv, &io->u.pipe, 0) : uv_tcp_init(&loop->uv, &io->u.tcp);
  if (!r) io->u.handle.data = io;
  return r;
}

int http_io_adopt(struct http_io *io, struct loop *loop, const struct http_io_ops *ops, int fd) {
  struct sockaddr_storage ss;
  socklen_t len = sizeof ss;
  int is_pipe = getsockname(fd, (struct sockaddr *)&ss, &len) == 0 && ss.ss_family == AF_UNIX;
  int r = http_io_init(io, loop, ops, is_pipe);
  if (!r) r = is_pipe ? uv_pipe_open(&io->u.pipe, fd) : uv_tcp_open(&io->u.tcp, fd);
  if (r) close(fd);
  else if (!is_pipe) uv_tcp_nodelay(&io->u.tcp, 1), uv_tcp_keepalive(&io->u.tcp, 1, HTTP_IO_KEEPALIVE_S);
  return r;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
  struct http_io *io = h->data;
  (void)suggested;
  *buf = uv_buf_init(io->loop->read_buf, LOOP_READ_BUF);
}

/* A socket that fills the buffer has more. libuv would read it 32 times, 8 MiB, before another socket has its turn: one peer that sends what is costly to
 * read kept the others waiting for seconds. So it goes on behind them. */
static void yield(struct http_io *io) {
  uv_read_stop(&io->u.stream);
  loop_defer(io->loop, &io->more);
}

static void on_stream_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf) {
  struct http_io *io = s->data;
  if (n > 0 && io->tls) http_io_tls_read(io, buf->base, (size_t)n);
  else if (n > 0) io->ops->on_read(io, buf->base, (size_t)n);
  else if (n == UV_EOF) http_io_ended(io, io->tls ? http_io_tls_end(io) : 0);
  else if (n < 0) http_io_ended(io, (int)n);
  if (n == (ssize_t)LOOP_READ_BUF && io->reading && !io->closing) yield(io);
}

void http_io_ended(struct http_io *io, int uv_error) {
  if (io->closing) return;
  uv_read_stop(&io->u.stream);
  io->reading = 0;
  io->ops->on_end(io, uv_error);
}

static void read_more(void *arg) {
  struct http_io *io = arg;
  if (io->reading && !io->closing) uv_read_start(&io->u.stream, on_alloc, on_stream_read);
}

int http_io_start(struct http_io *io) {
  if (io->reading || io->closing) return 0;
  io->reading = 1;
  return uv_read_start(&io->u.stream, on_alloc, on_stream_read);
}

void http_io_pause(struct http_io *io) {
  if (!io->reading) return;
  io->reading = 0;
  uv_read_stop(&io->u.stream);
}

size_t http_io_unwritten(const struct http_io *io) { return io->out_n + io->flying_n + (io->tls ? http_io_tls_unwritten(io) : 0); }

int http_io_stuck(const struct http_io *io) { return io->flying_n > 0; }

char *http_io_room(struct http_io *io, size_t n) {
  if (io->out_cap - io->out_n < n) {
    size_t cap = io->out_cap ? io->out_cap * 2 : 1024;
    while (cap - io->out_n < n) cap *= 2;
    io->out = realloc(io->out, cap);
    WEIR_ASSERT(io->out != NULL);
    io->out_cap = cap;
  }
  return io->out + io->out_n;
}

void http_io_took(struct http_io *io, size_t n) {
  if (io->failed) return; /* nobody would ever take it */
  io->out_n += n;
  if (!io->closing) loop_defer(io->loop, &io->flush);
}

void http_io_put(struct http_io *io, const void *p, size_t n) {
  if (io->closing || io->failed || !n) return;
  memcpy(http_io_room(io, n), p, n);
  http_io_took(io, n);
}

static void begin_shutdown(struct http_io *io);
static void fly(struct http_io *io, char *p, size_t from, size_t n);

/* Ciphertext that came meanwhile goes first. */
static int fly_behind(struct http_io *io) {
  size_t n;
  char *p = io->tls ? http_io_tls_take_behind(io, &n) : NULL;
  if (p) fly(io, p, 0, n);
  return p != NULL;
}

static void on_written(uv_write_t *req, int status) {
  struct http_io *io = req->data;
  free(io->flying);
  io->flying = NULL;
  io->flying_n = 0;
  if (status < 0) {
    io->failed = 1;
    if (!io->closing) io->ops->on_end(io, status);
    return;
  }
  io->written_ns = clock_mono_ns();
  if (io->closing || fly_behind(io)) return;
  http_io_flush(io);
  if (http_io_unwritten(io) == 0) {
    if (io->shutting == 1) begin_shutdown(io);
    if (!io->tls || http_io_tls_open(io)) io->ops->on_drain(io);
  }
}

/* Hands [from, n) of p to uv_write, which keeps them until the socket takes more. Takes p. */
static void fly(struct http_io *io, char *p, size_t from, size_t n) {
  uv_buf_t buf = uv_buf_init(p + from, (unsigned)(n - from));
  io->flying = p;
  io->flying_n = n - from;
  io->write.data = io;
  io->written_ns = clock_mono_ns(); /* a stall begins now, however long ago the last write was */
  if (uv_write(&io->write, &io->u.stream, &buf, 1, on_written)) {
    io->failed = 1;
    free(io->flying);
    io->flying = NULL;
    io->flying_n = 0;
  }
}

void http_io_send_raw(struct http_io *io, const char *p, size_t n) {
  uv_buf_t buf = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
  int r = uv_try_write(&io->u.stream, &buf, 1);
  if (r < 0 && r != UV_EAGAIN) {
    io->failed = 1; /* reading tells the owner */
    return;
  }
  size_t wrote = r > 0 ? (size_t)r : 0;
  if (wrote) io->written_ns = clock_mono_ns();
  if (wrote == n) return;
  char *rest = malloc(n - wrote);
  WEIR_ASSERT(rest != NULL);
  memcpy(rest, p + wrote, n - wrote);
  fly(io, rest, 0, n - wrote);
}

static void drop_large_out(struct http_io *io) {
  if (io->out_cap <= OUT_KEEP || io->out_n) return;
  free(io->out);
  io->out = NULL;
  io->out_cap = 0;
}

size_t http_io_writev(struct http_io *io, const struct weir_iov *iov, size_t n) {
  if (io->closing || io->failed || io->flying) return 0;
  if (io->tls) {
    size_t took = http_io_tls_writev(io, iov, n);
    drop_large_out(io);
    return took;
  }
  uv_buf_t bufs[HTTP_IO_SEGMENTS];
  size_t used = 0, total = 0;
  if (io->out_n) bufs[used++] = uv_buf_init(io->out, (unsigned)io->out_n);
  for (size_t i = 0; i < n && used < HTTP_IO_SEGMENTS; i++)
    if (iov[i].n) {
      bufs[used++] = uv_buf_init((char *)(uintptr_t)iov[i].p, (unsigned)iov[i].n);
      total += iov[i].n;
    }
  if (!used) return 0;
  int r = uv_try_write(&io->u.stream, bufs, (unsigned)used);
  if (r < 0 && r != UV_EAGAIN) {
    io->failed = 1; /* reading tells the owner */
    io->out_n = 0;
    return total;
  }
  size_t wrote = r > 0 ? (size_t)r : 0;
  if (wrote) io->written_ns = clock_mono_ns();
  if (wrote >= io->out_n) {
    wrote -= io->out_n;
    io->out_n = 0;
    drop_large_out(io);
    return wrote;
  }
  char *out = io->out;
  size_t out_n = io->out_n;
  io->out = NULL;
  io->out_n = io->out_cap = 0;
  fly(io, out, wrote, out_n);
  return 0;
}

void http_io_flush(struct http_io *io) {
  if (io->out_n) http_io_writev(io, NULL, 0);
  if (io->shutting == 1 && http_io_unwritten(io) == 0) begin_shutdown(io);
}

static void on_shut(uv_shutdown_t *req, int status) {
  (void)req;
  (void)status;
}

static void begin_shutdown(struct http_io *io) {
  if (io->tls) http_io_tls_say_close(io);
  if (http_io_unwritten(io) && !io->failed) return; /* on_written comes back here */
  io->shutting = 2;
  uv_shutdown(&io->shut, &io->u.stream, on_shut);
}

void http_io_shutdown(struct http_io *io) {
  if (io->closing || io->shutting) return;
  io->shutting = 1;
  loop_defer(io->loop, &io->flush);
}

static void on_handle_closed(uv_handle_t *h) {
  struct http_io *io = h->data;
  http_io_tls_free(io);
  free(io->out);
  free(io->flying); /* a write that was under way has been cancelled by now */
  io->out = io->flying = NULL;
  io->ops->on_closed(io);
}

void http_io_close(struct http_io *io) {
  if (io->closing) return;
  if (io->tls && !io->failed) {
    if (io->out_n) http_io_writev(io, NULL, 0);
    http_io_tls_say_close(io);
  }
  io->closing = 1;
  loop_cancel(io->loop, &io->flush);
  loop_cancel(io->loop, &io->more);
  if (!io->tls && !io->flying && io->out_n && !io->failed) { /* a last word (GOAWAY, an error answer): as much as the socket takes now */
    uv_buf_t buf = uv_buf_init(io->out, (unsigned)io->out_n);
    uv_try_write(&io->u.stream, &buf, 1);
  }
  uv_close(&io->u.handle, on_handle_closed);
}

void http_io_peer(const struct http_io *io, char *buf, size_t cap) {
  struct sockaddr_storage ss;
  int len = sizeof ss;
  char host[64];
  snprintf(buf, cap, "unix");
  if (io->u.handle.type != UV_TCP || uv_tcp_getpeername(&io->u.tcp, (struct sockaddr *)&ss, &len)) return;
  if (ss.ss_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
    uv_ip6_name(in6, host, sizeof host);
    int v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && strncmp(host, "::ffff:", 7) == 0; /* an IPv4 peer of a socket for all addresses */
    snprintf(buf, cap, v4 ? "%s:%d" : "[%s]:%d", v4 ? host + 7 : host, ntohs(in6->sin6_port));
  } else {
    const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
    uv_ip4_name(in, host, sizeof host);
    snprintf(buf, cap, "%s:%d", host, ntohs(in->sin_port));
  }
}
