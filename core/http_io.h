/*
 * core/http_io.h - one socket of the HTTP transport, for servers and clients: reading in place, collected writes, an orderly end.
 *
 * Reads land in the loop's shared read buffer and are valid only inside on_read. What is put for writing is collected and flushed once per loop step, so
 * that several replies share one system call; what the kernel does not take at once is owned here until it does. Embedded in a connection as its first member.
 * With TLS (http_io_secure) reads deliver plaintext and writes encrypt, 16 KiB a record; nothing is read or written by the owner until on_secure.
 * Threads: [lane].
 */
#ifndef CORE_HTTP_IO_H
#define CORE_HTTP_IO_H

#include <weir/batch.h>

#include "core/loop.h"
#include "core/tls.h"

#define HTTP_IO_BLOCKED (256u << 10) /* with this much unwritten, producers stop until on_drain */
#define HTTP_IO_SEGMENTS 64u
#define HTTP_IO_KEEPALIVE_S 60 /* a peer that vanished without a word is found by TCP keep-alive */

struct http_io;

struct http_io_ops {
  void (*on_read)(struct http_io *, const char *p, size_t n);
  void (*on_end)(struct http_io *, int uv_error); /* end of stream (0) or failure; the io is still to be closed by its owner */
  void (*on_drain)(struct http_io *);             /* all that was unwritten is written */
  void (*on_closed)(struct http_io *);            /* after http_io_close; the last callback: free here */
  void (*on_secure)(struct http_io *, uint32_t alpn); /* the TLS handshake is done; which protocol was agreed (TLS_ALPN_) */
};

struct http_io {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } u;
  struct loop *loop;
  const struct http_io_ops *ops;
  char *out; /* collected, not yet given to the kernel */
  size_t out_n, out_cap;
  char *flying; /* what uv_write holds */
  size_t flying_n;
  struct http_io_tls *tls; /* NULL: plaintext */
  uv_write_t write;
  uv_shutdown_t shut;
  struct defer flush, more; /* more: goes on reading when others had their turn */
  int reading, closing, failed, shutting;
  int64_t written_ns; /* when the kernel last took something, for write time-outs */
};

/* Takes fd over (server side). 0 or a libuv error, with fd closed. */
int http_io_adopt(struct http_io *, struct loop *, const struct http_io_ops *, int fd);
/* Prepares a client socket; the owner calls uv_tcp_connect / uv_pipe_connect on it. */
int http_io_init(struct http_io *, struct loop *, const struct http_io_ops *, int is_pipe);
int http_io_start(struct http_io *); /* begins to read */
void http_io_pause(struct http_io *);
void http_io_put(struct http_io *, const void *p, size_t n);      /* collects; flushed in a later step */
char *http_io_room(struct http_io *, size_t n);                   /* room for n bytes to fill in place; then http_io_took */
void http_io_took(struct http_io *, size_t n);
/* TLS from here on, before a byte is read or written; peer: a client's server, by name or address, NULL on servers. 0, or a libuv error. */
int http_io_secure(struct http_io *, struct tls_use *, const char *peer, uint32_t alpn);
/* Why TLS failed, for people; NULL when it did not. */
const char *http_io_tls_failure(const struct http_io *);
/* Collected bytes, then the segments, in as few system calls as may be, uncopied. Returns how many bytes of the segments were taken. */
size_t http_io_writev(struct http_io *, const struct weir_iov *, size_t n);
void http_io_flush(struct http_io *); /* now */
size_t http_io_unwritten(const struct http_io *);
int http_io_stuck(const struct http_io *); /* the kernel has not taken all that it was given: since written_ns */
/* After what is collected is written, the write side ends; reading goes on until the owner closes. */
void http_io_shutdown(struct http_io *);
void http_io_close(struct http_io *); /* at once; idempotent */
/* "127.0.0.1:4317" or "unix". */
void http_io_peer(const struct http_io *, char *buf, size_t cap);

#endif
