#include "core/http_io_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/assert.h"

#define STAGE_BYTES (64u << 10)  /* plaintext pieces are joined here, so that records are full */
#define WRITE_AT_ONCE (128u << 10) /* so much is encrypted before the socket is asked again */
#define BEHIND_MAX (64u << 10)   /* the library's own words (key updates, alerts) to a peer that does not read */
#define TLS_HANDSHAKE 22         /* the first byte of a TLS connection: RFC 8446 section 5.1 */

enum tls_state { TLS_HANDSHAKING, TLS_OPEN, TLS_OVER };

struct http_io_tls {
  const struct tls_engine *engine;
  void *session;
  enum tls_state state;
  int is_server, began, said_close, heard_close;
  char *behind; /* ciphertext behind what is flying */
  size_t behind_n;
  char why[320];
};

/* One per lane, made with its first TLS connection: LOOP_READ_BUF of plaintext, the pieces to encrypt, and what came of them. */
struct tls_scratch {
  char *plain, *stage;
  struct tls_bytes out;
};

static struct tls_scratch *scratch_of(struct loop *l) {
  if (l->tls) return l->tls;
  struct tls_scratch *s = calloc(1, sizeof *s);
  WEIR_ASSERT(s != NULL);
  s->plain = malloc(LOOP_READ_BUF);
  s->stage = malloc(STAGE_BYTES);
  WEIR_ASSERT(s->plain && s->stage);
  return l->tls = s;
}

void tls_scratch_free(struct tls_scratch *s) {
  if (!s) return;
  free(s->plain);
  free(s->stage);
  free(s->out.p);
  free(s);
}

/* Gives what the library wrote to the socket. */
static void send_out(struct http_io *io) {
  struct tls_scratch *s = io->loop->tls;
  struct http_io_tls *t = io->tls;
  size_t n = s->out.n;
  s->out.n = 0;
  if (!n || io->failed) return;
  if (!io->flying) {
    http_io_send_raw(io, s->out.p, n);
    return;
  }
  if (t->behind_n + n > BEHIND_MAX) {
    snprintf(t->why, sizeof t->why, "the peer makes TLS answer and does not read");
    t->state = TLS_OVER;
    return;
  }
  t->behind = realloc(t->behind, t->behind_n + n);
  WEIR_ASSERT(t->behind != NULL);
  memcpy(t->behind + t->behind_n, s->out.p, n);
  t->behind_n += n;
}

static void fail(struct http_io *io) {
  struct http_io_tls *t = io->tls;
  if (!*t->why) snprintf(t->why, sizeof t->why, "%s", t->engine->why(t->session));
  t->state = TLS_OVER;
  http_io_ended(io, UV_EPROTO);
}

static void shake(struct http_io *io, struct tls_wire *w) {
  struct http_io_tls *t = io->tls;
  int r = t->engine->handshake(t->session, w);
  send_out(io);
  if (r == TLS_WANTS_MORE) return;
  if (r != TLS_DONE) {
    fail(io);
    return;
  }
  t->state = TLS_OPEN;
  io->ops->on_secure(io, t->engine->alpn(t->session));
  if (!io->closing) http_io_flush(io);
}

int http_io_secure(struct http_io *io, struct tls_use *use, const char *peer, uint32_t alpn) {
  struct http_io_tls *t = calloc(1, sizeof *t);
  WEIR_ASSERT(t != NULL && io->ops->on_secure != NULL);
  t->engine = tls_engine_of(use);
  t->is_server = peer == NULL;
  t->session = tls_session_new(use, peer, alpn);
  if (!t->session) {
    free(t);
    return UV_ENOMEM;
  }
  io->tls = t;
  struct tls_wire w = { NULL, 0, &scratch_of(io->loop)->out };
  if (!t->is_server) shake(io, &w); /* says ClientHello */
  return 0;
}

const char *http_io_tls_failure(const struct http_io *io) { return io->tls && *io->tls->why ? io->tls->why : NULL; }
int http_io_tls_open(const struct http_io *io) { return io->tls->state == TLS_OPEN; }
size_t http_io_tls_unwritten(const struct http_io *io) { return io->tls->behind_n; }

/* --- reading ------------------------------------------------------------------------------------------------ */

/* A client that speaks HTTP/1 in cleartext hears it in its own tongue, as Go's servers say it; HTTP/2 clients understand no word. */
static int plaintext_client(struct http_io *io, const char *p, size_t n) {
  static const char sorry[] = "HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nthis port speaks TLS: use https://\n";
  struct http_io_tls *t = io->tls;
  if (!t->is_server || t->began || p[0] == TLS_HANDSHAKE) {
    t->began = 1;
    return 0;
  }
  snprintf(t->why, sizeof t->why, "the client speaks no TLS (plaintext?)");
  t->state = TLS_OVER;
  int is_h2 = n >= 3 && !memcmp(p, "PRI", 3);
  if (p[0] >= 'A' && p[0] <= 'Z' && !is_h2) http_io_send_raw(io, sorry, sizeof sorry - 1);
  http_io_ended(io, UV_EPROTO);
  return 1;
}

void http_io_tls_read(struct http_io *io, const char *p, size_t n) {
  struct http_io_tls *t = io->tls;
  struct tls_scratch *s = scratch_of(io->loop);
  struct tls_wire w = { p, n, &s->out };
  if (t->state == TLS_OVER || plaintext_client(io, p, n)) return;
  if (t->state == TLS_HANDSHAKING) shake(io, &w);
  while (t->state == TLS_OPEN && !io->closing) {
    ssize_t r = t->engine->read(t->session, &w, s->plain, LOOP_READ_BUF);
    send_out(io);
    if (t->state == TLS_OVER) {
      http_io_ended(io, UV_EPROTO);
      return;
    }
    if (r > 0) {
      io->ops->on_read(io, s->plain, (size_t)r);
    } else if (r == TLS_PEER_CLOSED) {
      t->heard_close = 1;
      http_io_ended(io, 0);
      return;
    } else {
      if (r == TLS_FAILED) fail(io);
      return;
    }
  }
}

int http_io_tls_end(struct http_io *io) {
  struct http_io_tls *t = io->tls;
  if (t->heard_close || t->state == TLS_OVER) return 0;
  if (t->is_server && (!t->began || t->state == TLS_OPEN)) return 0; /* a probe that only connects; a request that was cut is not served anyway */
  snprintf(t->why, sizeof t->why, "the peer ended the connection %s", t->state == TLS_OPEN ? "without TLS close_notify" : "in the TLS handshake");
  t->state = TLS_OVER;
  return UV_ECONNRESET;
}

/* --- writing ------------------------------------------------------------------------------------------------ */

/* A walk over what is collected, then the segments. */
struct walk {
  const struct weir_iov *iov;
  struct weir_iov first;
  size_t n, i, off;
};

static const struct weir_iov *piece(const struct walk *k) { return k->i == 0 ? &k->first : &k->iov[k->i - 1]; }

/* Up to `cap` bytes in one piece: in place where a piece is long, else joined in `stage`. */
static size_t next_bytes(struct walk *k, char *stage, size_t cap, const char **ret) {
  size_t n = 0;
  for (; k->i <= k->n; k->i++, k->off = 0) {
    const struct weir_iov *at = piece(k);
    size_t left = at->n - k->off, take = left < cap - n ? left : cap - n;
    if (!n && left >= cap) {
      *ret = (const char *)at->p + k->off;
      k->off += cap;
      return cap;
    }
    if (take) memcpy(stage + n, (const char *)at->p + k->off, take);
    n += take;
    k->off += take;
    if (n == cap) break;
  }
  *ret = stage;
  return n;
}

/* The library has failed: with the socket shut, reading tells the owner. */
static void broken(struct http_io *io) {
  uv_os_fd_t fd;
  io->failed = 1;
  if (uv_fileno(&io->u.handle, &fd) == 0) shutdown(fd, SHUT_RDWR);
}

size_t http_io_tls_writev(struct http_io *io, const struct weir_iov *iov, size_t n) {
  struct http_io_tls *t = io->tls;
  struct tls_scratch *s = scratch_of(io->loop);
  struct walk k = { iov, { io->out, io->out_n }, n, 0, 0 };
  struct tls_wire w = { NULL, 0, &s->out };
  size_t total = 0, own = io->out_n, bytes;
  const char *p;
  if (t->state != TLS_OPEN || t->said_close) return 0;
  while (!io->flying && !io->failed && (bytes = next_bytes(&k, s->stage, STAGE_BYTES, &p)) > 0) {
    if (t->engine->write(t->session, &w, p, bytes)) {
      s->out.n = 0;
      broken(io);
    }
    total += bytes;
    if (s->out.n >= WRITE_AT_ONCE) send_out(io);
  }
  send_out(io);
  /* what was collected is all encrypted now, or its rest moves up */
  size_t used = total < own ? total : own;
  if (io->out && used < own) memmove(io->out, io->out + used, own - used);
  io->out_n = own - used;
  return total - used;
}

void http_io_tls_say_close(struct http_io *io) {
  struct http_io_tls *t = io->tls;
  if (t->said_close || t->state != TLS_OPEN) return;
  struct tls_wire w = { NULL, 0, &scratch_of(io->loop)->out };
  t->said_close = 1;
  t->engine->close(t->session, &w);
  send_out(io);
}

char *http_io_tls_take_behind(struct http_io *io, size_t *ret_n) {
  struct http_io_tls *t = io->tls;
  char *p = t->behind;
  *ret_n = t->behind_n;
  t->behind = NULL;
  t->behind_n = 0;
  return p;
}

void http_io_tls_free(struct http_io *io) {
  if (!io->tls) return;
  io->tls->engine->session_free(io->tls->session);
  free(io->tls->behind);
  free(io->tls);
  io->tls = NULL;
}
