/*
 * plugins/grpc_engine.h - gRPC C-core as a second engine: how the program loads it, and what it gets from the program.
 *
 * The engine (plugins/grpc_core) is a shared object that links libgrpc; the program does not. It is loaded when a configuration says `engine: core`, and then
 * stays: gRPC leaves threads' and other state behind that must not be unmapped. It calls back through the table below and exports one function. It is part of
 * this build and includes core/ headers, so a file of another build is refused.
 * Threads: grpc_engine_core [control] or [lane].
 */
#ifndef PLUGINS_GRPC_ENGINE_H
#define PLUGINS_GRPC_ENGINE_H

#include <weir/otlp.h>

#include "core/grpc.h"
#include "core/grpc_message.h"
#include "core/loop.h"
#include "core/tls.h"

struct listener_claim;

/* What the engine calls. The functions are core's own and keep its rules for threads. */
struct grpc_host {
  uint32_t size, loop_size; /* sizeof this, sizeof(struct loop): both sides were compiled together */
  const char *version;
  void (*panic)(const char *expr, const char *file, int line, const char *func);
  void (*log)(int level, const char *logger, const char *fmt, va_list);
  int64_t (*now_mono_ns)(void);
  void (*post)(struct loop *, weir_fn_f *, void *arg);
  void (*defer)(struct loop *, struct defer *);
  struct loop *(*current)(void);
  struct weir_body *(*body_new)(struct pool *, size_t cap);
  struct weir_body *(*body_overdraw)(struct pool *, size_t cap);
  void (*body_free)(struct weir_body *);
  int (*deflate)(struct pool *, const char *encoding, int level, const struct weir_iov *, size_t n, struct weir_body **ret, struct weir_error *);
  uint32_t (*message_read)(struct pool *, struct weir_str encoding, const char *body, size_t n, const struct grpc_limit *, struct grpc_message *ret,
    struct weir_error *);
  uint32_t (*message_over)(uint64_t n, const struct grpc_limit *, struct weir_error *);
  size_t (*status_make)(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap);
  int (*status_parse)(const char *p, size_t n, struct weir_rpc_status *ret);
  int (*endpoint_parse)(const char *s, char *host, size_t cap, int *ret_port);
  int (*listen_claim)(struct listeners *, const char *owner, const char *endpoint, struct listener_claim **ret, struct weir_error *);
  void (*listen_unclaim)(struct listener_claim *);
  int (*tls_begin)(struct tls_use *, struct loop *, int is_server, const struct weir_tls_config *, struct weir_error *);
  void (*tls_end)(struct tls_use *);
  struct tls_texts *(*tls_texts)(struct tls_use *);
  void (*tls_release)(struct tls_texts *);
};

/* The one symbol of the shared object. Called once; the table must live as long as the process. */
typedef int grpc_core_init_f(const struct grpc_host *, const struct grpc_engine **ret, struct weir_error *);
#define GRPC_CORE_INIT "weir_grpc_core_init"

/* NULL or "native": the engine in the program; "core": loads the other one on first use, from engines/ beside the program or ../lib/weir/engines. Errors
 * name the Debian package that is missing. */
int grpc_engine_find(const char *name, const struct grpc_engine **ret, struct weir_error *);
/* Loads a file. For tests, whose program stands elsewhere. */
int grpc_engine_load(const char *path, const struct grpc_engine **ret, struct weir_error *);

#endif
