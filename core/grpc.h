/*
 * core/grpc.h - unary gRPC: the interface that every engine implements.
 *
 * The functions mirror struct weir_grpc_service (include/weir/grpc.h has the semantics) with the lane's loop in place of the stage.
 * `native` is gRPC over our own HTTP/2 transport, on the lane's thread, with nothing between the socket and the handler. An engine
 * that is loaded on demand fills the same table; tests/unit/core/test_grpc.c holds for each of them. A process may use several: each
 * struct weir_grpc_server, _exchange and _client begins with a pointer to its engine, so that whoever has one finds the way back.
 * Source of the rules: "gRPC over HTTP2", "Status codes and their use in gRPC", "HTTP to gRPC status code mapping".
 * Threads: everything [lane]; callbacks come on the lane in a later step, never inside the call that caused them.
 */
#ifndef CORE_GRPC_H
#define CORE_GRPC_H

#include <weir/grpc.h>

struct loop;

struct grpc_engine {
  const char *name;
  int (*listen)(struct loop *, const struct weir_grpc_server_config *, struct weir_grpc_server **ret, struct weir_error *);
  int (*port)(const struct weir_grpc_server *); /* the bound TCP port, for endpoints with port 0 */
  void (*drain)(struct weir_grpc_server *, weir_fn_f *drained, void *arg); /* a server; NULL is the service table's matter */
  /* Calls that are still with their handler may be answered afterwards: the answer goes nowhere. NULL is allowed. */
  void (*close)(struct weir_grpc_server *);
  struct weir_body *(*body_take)(struct weir_grpc_exchange *);
  void (*reply)(struct weir_grpc_exchange *, const struct weir_grpc_status *, const char *msg, size_t msg_n);
  int (*client_open)(struct loop *, const struct weir_grpc_client_config *, struct weir_grpc_client **ret, struct weir_error *);
  void (*client_close)(struct weir_grpc_client *);
  void (*call)(struct weir_grpc_client *, const char *path, const struct weir_iov *msg, size_t n, int64_t deadline_ns,
    weir_grpc_response_f *on_response, void *arg);
  void (*call_with)(struct weir_grpc_client *, const char *path, const struct weir_http_header *metadata, size_t n_metadata,
    const struct weir_iov *msg, size_t n, int64_t deadline_ns, weir_grpc_response_f *on_response, void *arg);
  int (*tls_check)(const struct weir_tls_config *, struct weir_error *); /* what it cannot follow of a server's settings; NULL: nothing */
};

extern const struct grpc_engine grpc_native;

/* The engine of a server, an exchange or a client. */
static inline const struct grpc_engine *grpc_engine_of(const void *handle) { return *(const struct grpc_engine *const *)handle; }

/* What of `native` stands in another file (core/grpc_native_client.c). */
int native_client_open(struct loop *, const struct weir_grpc_client_config *, struct weir_grpc_client **ret, struct weir_error *);
void native_client_close(struct weir_grpc_client *);
void native_call(struct weir_grpc_client *, const char *path, const struct weir_iov *msg, size_t n, int64_t deadline_ns,
  weir_grpc_response_f *on_response, void *arg);
void native_call_with(struct weir_grpc_client *, const char *path, const struct weir_http_header *metadata, size_t n_metadata,
  const struct weir_iov *msg, size_t n, int64_t deadline_ns, weir_grpc_response_f *on_response, void *arg);

#endif
