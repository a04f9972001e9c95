/*
 * core/http_io_tls.h - inside http_io: the TLS half of a connection, between the socket and what is above. All [lane].
 *
 * Ciphertext goes out through one buffer per lane (`tls_scratch`): what the socket does not take of it is kept by the connection. So an idle TLS
 * connection holds the library's session and nothing else.
 */
#ifndef CORE_HTTP_IO_TLS_H
#define CORE_HTTP_IO_TLS_H

#include "core/http_io.h"

/* Bytes for the socket, in order, behind what is flying; what it does not take now is copied. */
void http_io_send_raw(struct http_io *, const char *p, size_t n);
/* The stream from the peer ended: 0 or a libuv error. Tells the owner once. */
void http_io_ended(struct http_io *, int uv_error);

void http_io_tls_read(struct http_io *, const char *p, size_t n);
/* The socket's end of stream, as the owner shall hear it: an end without close_notify may be an attacker's cut. */
int http_io_tls_end(struct http_io *);
/* As http_io_writev, of what is collected and the segments. */
size_t http_io_tls_writev(struct http_io *, const struct weir_iov *, size_t n);
void http_io_tls_say_close(struct http_io *);
int http_io_tls_open(const struct http_io *); /* the handshake is done */
size_t http_io_tls_unwritten(const struct http_io *);
/* What waited behind the write that just ended; 0 when there is none. */
char *http_io_tls_take_behind(struct http_io *, size_t *ret_n);
void http_io_tls_free(struct http_io *);

#endif
