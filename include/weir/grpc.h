/*
 * weir/grpc.h - service "weir.grpc/1": unary gRPC, server and client.
 *
 * One interface for every engine; `native` is gRPC over HTTP/2 on the lane, `core` is gRPC C-core, loaded when it is asked for. Rules: the gRPC over HTTP/2 protocol
 * document, status codes and google.rpc.Status details (RetryInfo). The server enforces message size before and after
 * decompression, grpc-timeout, identity, gzip, zstd and snappy (framed) encodings (others: UNIMPLEMENTED with grpc-accept-encoding).
 * Requests that are not gRPC get HTTP 415, unknown methods UNIMPLEMENTED. Everything is [lane].
 */
#ifndef WEIR_GRPC_H
#define WEIR_GRPC_H

#include <weir/http.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_GRPC_SERVICE "weir.grpc/1"

/* Status codes (google.rpc.Code). */
#define WEIR_GRPC_OK 0u
#define WEIR_GRPC_CANCELLED 1u
#define WEIR_GRPC_UNKNOWN 2u
#define WEIR_GRPC_INVALID_ARGUMENT 3u
#define WEIR_GRPC_DEADLINE_EXCEEDED 4u
#define WEIR_GRPC_NOT_FOUND 5u
#define WEIR_GRPC_ALREADY_EXISTS 6u
#define WEIR_GRPC_PERMISSION_DENIED 7u
#define WEIR_GRPC_RESOURCE_EXHAUSTED 8u
#define WEIR_GRPC_FAILED_PRECONDITION 9u
#define WEIR_GRPC_ABORTED 10u
#define WEIR_GRPC_OUT_OF_RANGE 11u
#define WEIR_GRPC_UNIMPLEMENTED 12u
#define WEIR_GRPC_INTERNAL 13u
#define WEIR_GRPC_UNAVAILABLE 14u
#define WEIR_GRPC_DATA_LOSS 15u
#define WEIR_GRPC_UNAUTHENTICATED 16u

struct weir_grpc_server;
struct weir_grpc_client;
struct weir_grpc_exchange;

/* A unary request: the message, decompressed, without its 5-byte prefix. */
struct weir_grpc_request {
  uint32_t size, reserved;
  struct weir_str path; /* "/opentelemetry...TraceService/Export" */
  struct weir_str peer;
  const struct weir_http_header *metadata;
  size_t n_metadata;
  struct weir_body *body; /* the message stands at msg, inside body */
  const char *msg;
  size_t msg_n;
  int64_t deadline_ns; /* from grpc-timeout, on now_mono_ns; 0 = none */
  struct weir_str authority;
};

typedef void weir_grpc_request_f(void *self, struct weir_grpc_exchange *, const struct weir_grpc_request *);

/* The metadata is there, the message is not (body NULL, msg NULL). 0: go on. Else `status` is filled, is the answer, and the message is not held. What msg
 * points at must stay valid until the next call. An engine need not call it: what must hold is checked in on_request as well. */
struct weir_grpc_status;
typedef int weir_grpc_metadata_f(void *self, const struct weir_grpc_request *, struct weir_grpc_status *status);

struct weir_grpc_method {
  const char *path; /* "/package.Service/Method" */
  weir_grpc_request_f *on_request;
};

struct weir_grpc_server_config {
  uint32_t size, max_concurrent_streams; /* 0 = 100 */
  const char *owner, *endpoint;          /* as in weir_http_server_config */
  uint64_t max_message_bytes;            /* 0 = 4 MiB */
  const struct weir_grpc_method *methods; /* copied */
  size_t n_methods;
  void *self;
  const struct weir_tls_config *tls; /* NULL = plaintext; borrowed for the call */
  weir_grpc_metadata_f *on_metadata; /* optional */
  const char *engine; /* NULL or "native", or "core" */
  const struct weir_http_keepalive *keepalive; /* NULL = all off; borrowed for the call */
  int64_t idle_timeout_ns;                     /* 0 = none: a connection without a request */
  uint64_t max_header_bytes; /* from here on as in weir_http_server_config, with the same defaults for 0 */
  uint32_t max_headers, max_connections;
  int64_t read_header_timeout_ns, body_timeout_ns, write_timeout_ns;
};

/* Outcome of a client call or of a served one. retry_after_ns > 0 travels as RetryInfo in grpc-status-details-bin. */
struct weir_grpc_status {
  uint32_t size, code;
  const char *msg; /* NUL-terminated; percent-encoded on the wire by the engine; NULL = none */
  int64_t retry_after_ns;  /* -1 = no RetryInfo */
};

/* Response of a call: message bytes borrowed for the callback. */
typedef void weir_grpc_response_f(void *arg, const struct weir_grpc_status *, const char *msg, size_t msg_n);

struct weir_grpc_client_config {
  uint32_t size, flags;
  const char *endpoint;        /* as in weir_http_client_config */
  const char *authority;       /* NULL = host:port of the endpoint; "localhost" for a unix socket */
  const char *compression;     /* "gzip", "zstd", "snappy" or "none" */
  const char *user_agent;
  const struct weir_http_header *metadata; /* sent with each call; copied */
  size_t n_metadata;
  uint32_t max_connections, reserved; /* 0 = 1 */
  const struct weir_tls_config *tls;  /* NULL = plaintext; borrowed for the call */
  const char *engine;          /* NULL or "native", or "core": then endpoint may be a gRPC name ("dns:///host:port", "xds:///name") */
  const char *balancer_name;   /* core: "round_robin" or "pick_first" over the addresses of that name; NULL = pick_first */
  int64_t ping_after_ns, ping_timeout_ns; /* as in weir_http_client_config; flags there: WEIR_HTTP_ROUND_ROBIN, WEIR_HTTP_PING_IDLE */
};

struct weir_grpc_service {
  uint32_t size, reserved;
  int (*listen)(struct weir_stage *, const struct weir_grpc_server_config *, struct weir_grpc_server **ret, struct weir_error *);
  void (*drain)(struct weir_grpc_server *, weir_fn_f *drained, void *arg); /* as http drain */
  void (*close)(struct weir_grpc_server *);
  /* Takes the body away from the exchange (to give it to a batch). */
  struct weir_body *(*body_take)(struct weir_grpc_exchange *);
  /* Answers: with code OK the message is msg (copied; OTLP answers are tiny), else the status alone. Exactly once. */
  void (*reply)(struct weir_grpc_exchange *, const struct weir_grpc_status *, const char *msg, size_t msg_n);

  int (*client_open)(struct weir_stage *, const struct weir_grpc_client_config *, struct weir_grpc_client **ret, struct weir_error *);
  void (*client_close)(struct weir_grpc_client *);
  /* One unary call. The message is gathered from iovecs that must live until on_response (exactly once, in a later step).
   * No connection: UNAVAILABLE with the reason; the client reconnects on the next call. */
  void (*call)(struct weir_grpc_client *, const char *path, const struct weir_iov *msg, size_t n, int64_t deadline_ns,
    weir_grpc_response_f *on_response, void *arg);
  /* As call, with this metadata instead of the client's own (lower-case names; borrowed for the call). NULL: the engine can not. */
  void (*call_with)(struct weir_grpc_client *, const char *path, const struct weir_http_header *metadata, size_t n_metadata, const struct weir_iov *msg,
    size_t n, int64_t deadline_ns, weir_grpc_response_f *on_response, void *arg);
  /* As weir_http_service.listen_check; and whether the engine can be loaded and follow these settings ("engine", "tls.min_version"). */
  int (*listen_check)(struct weir_stage *, const struct weir_grpc_server_config *, struct weir_error *);
};

#ifdef __cplusplus
}
#endif
#endif
