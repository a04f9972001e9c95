/*
 * core/tls.h - TLS for the HTTP transport: the engine (loaded with the first use), contexts made from files, and their renewal.
 *
 * A context belongs to all lanes of a component that have the same settings: certificates are read and parsed once, a session ticket holds on
 * whichever lane the client comes back to, and there is one expiry per file in the own metrics. It is immutable once made (the library's context is
 * thread-safe by reference); when files change a new one takes its place for new connections, under a lock that is held for a pointer or to make
 * one session. Files are looked at (stat of what the path leads to, so that a symlink swap is seen) every reload_interval by whichever lane's
 * timer comes first. A bad new file keeps what was there, is logged once and counted.
 *
 * A library that makes TLS connections itself (gRPC C-core) takes the texts that were read and checked here, and is told when there are others.
 * Threads: tls_use_* and tls_session_new [lane]; tls_engine_path before the first use; tls_texts_release [any].
 */
#ifndef CORE_TLS_H
#define CORE_TLS_H

#include <stdatomic.h>

#include <weir/tls.h>

#include "core/loop.h"
#include "core/tls_engine.h"

#define TLS_RELOAD_NS (10 * 1000000000LL) /* by default */
#define TLS_FILE_MAX (1u << 20)

struct tls_context;

/* The PEM texts of a context, NULL where nothing is configured; immutable, and counted. */
struct tls_texts {
  _Atomic int refs;
  char *cert, *key, *ca; /* ca: whom to trust: of a server its client_ca_file */
};

/* One server or client on one lane; embedded in it. `context` NULL = plaintext. */
struct tls_use {
  struct tls_context *context;
  struct loop *loop;
  struct timer look;
  void (*on_change)(struct tls_use *); /* NULL, or told that there are other texts, reload_interval after that at most */
  uint64_t generation;                 /* of the texts that it took last */
};

/* Where the engine is, instead of engines/tls.so beside the program and ../lib/weir/engines/tls.so. Borrowed. */
void tls_engine_path(const char *);
/* Loads the engine, reads the files, or joins who has done so. cfg NULL: no effect. Errors name the field as "tls.cert_file". */
int tls_use_begin(struct tls_use *, struct loop *, int is_server, const struct weir_tls_config *cfg, struct weir_error *);
/* What tls_use_begin would say of these settings and of the files as they are now; nothing is kept. [any] */
int tls_check(int is_server, const struct weir_tls_config *cfg, struct weir_error *);
void tls_use_end(struct tls_use *);
/* A session with what the files say now. name: a client's peer; NULL on servers. NULL: no memory. */
void *tls_session_new(struct tls_use *, const char *name, uint32_t alpn);
const struct tls_engine *tls_engine_of(const struct tls_use *);
/* What the files say now; the caller has one ref. on_change has to take it, or is called again. */
struct tls_texts *tls_texts_of(struct tls_use *);
void tls_texts_release(struct tls_texts *); /* NULL allowed */

#endif
