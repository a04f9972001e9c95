/*
 * core/tls_engine.h - what the TLS library gives to core/tls.c: one table of functions, the only symbol of build/engines/tls.so.
 *
 * The engine knows nothing of files, sockets and loops: PEM texts come in, and each call of a session gets the bytes that the socket had and
 * a buffer for those that it shall have. Nothing blocks, nothing is called back. A context is immutable and may be shared by lanes [any]; a
 * session belongs to one lane.
 */
#ifndef CORE_TLS_ENGINE_H
#define CORE_TLS_ENGINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <weir/error.h>
#include <weir/tls.h>

#define TLS_ENGINE_SYMBOL "weir_tls_engine_v0"

#define TLS_ALPN_NONE 0u /* clients: offer nothing */
#define TLS_ALPN_HTTP1 1u
#define TLS_ALPN_H2 2u

/* One PEM text and what to call it in messages. */
struct tls_pem {
  const char *field; /* "cert_file" or "cert_pem" */
  const char *where; /* the file, or the field again */
  const char *p;     /* NULL: not configured */
  size_t n;
};

struct tls_setup {
  int is_server;
  const struct weir_tls_config *cfg; /* for the settings; what are files is in the texts */
  struct tls_pem cert, key, ca, client_ca;
};

/* Ends of validity, Unix time; 0 = there is no such certificate. */
struct tls_facts {
  int64_t cert_not_after, ca_not_after; /* ca: the earliest of the bundle */
  char subject[128];                    /* of the own certificate */
};

struct tls_bytes {
  char *p;
  size_t n, cap; /* malloc'ed */
};

/* The socket's side of one call: what came, and what is to go. */
struct tls_wire {
  const char *in;
  size_t in_n;
  struct tls_bytes *out; /* appended to */
};

#define TLS_WANTS_MORE 0
#define TLS_DONE 1
#define TLS_FAILED (-1)
#define TLS_PEER_CLOSED (-2) /* close_notify */

struct tls_engine {
  uint32_t size, reserved;
  const char *library; /* "OpenSSL 3.0.19 ..." */
  /* 0 or an error with `field` ("cert_file"). */
  int (*context_new)(const struct tls_setup *, void **ret, struct tls_facts *, struct weir_error *);
  void (*context_free)(void *context);
  /* name: a client's peer, host name or IP address. alpn: TLS_ALPN_ bits. The session keeps the context alive. */
  void *(*session_new)(void *context, const char *name, uint32_t alpn);
  void (*session_free)(void *session);
  int (*handshake)(void *session, struct tls_wire *);
  /* As much as there is and fits. Bytes, or TLS_WANTS_MORE, TLS_FAILED, TLS_PEER_CLOSED. */
  ssize_t (*read)(void *session, struct tls_wire *, char *buf, size_t cap);
  int (*write)(void *session, struct tls_wire *, const char *p, size_t n); /* all of it; 0 or TLS_FAILED */
  void (*close)(void *session, struct tls_wire *);                        /* says close_notify */
  uint32_t (*alpn)(void *session);                                        /* what was agreed */
  const char *(*why)(void *session);                                      /* of the last failure, for people */
};

#endif
