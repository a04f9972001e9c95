/* Inside the otlp receiver: its configuration, its state, and a request that waits for its verdict. */
#ifndef RECEIVERS_OTLP_H
#define RECEIVERS_OTLP_H

#include <weir/grpc.h>
#include <weir/http.h>
#include <weir/metrics.h>
#include <weir/otlp.h>
#include <weir/stage.h>
#include <weir/timer.h>

#include "plugins/kit/auth.h"
#include "plugins/kit/http_server.h"
#include "plugins/kit/tls_config.h"

#define ADDRESS_CAP 256 /* unix sockets have at most 107 bytes */
#define ADDRESS_UNIX 1

#define TRANSPORT_GRPC 0
#define TRANSPORT_HTTP 1

struct keepalive_config {
  struct {
    int64_t max_connection_idle, max_connection_age, max_connection_age_grace, time, timeout;
  } server_parameters;
  struct {
    int64_t min_time;
    int32_t permit_without_stream;
  } enforcement_policy;
};

/* Against hostile peers; the same keys on both ports. */
struct limits {
  uint64_t max_header_bytes, max_headers, max_connections;
  int64_t read_header_timeout, body_timeout;
};

struct grpc_config {
  const char *endpoint;
  int32_t transport, engine; /* engine: 0 native, 1 core */
  uint64_t max_recv_msg_size_mib, max_concurrent_streams, read_buffer_size, write_buffer_size;
  struct limits limits;
  int64_t write_timeout;
  int32_t include_metadata;
  const struct tls_settings *tls;
  const struct kit_auth_config *auth;
  const struct keepalive_config *keepalive;
};

struct http_config {
  int32_t transport, keep_alives_enabled;
  int64_t max_connection_age;
  const char *endpoint, *traces_url_path, *metrics_url_path, *logs_url_path;
  struct weir_strings compression_algorithms;
  uint64_t max_request_body_size, max_concurrent_streams;
  struct limits limits;
  int64_t read_timeout, idle_timeout, write_timeout;
  int32_t include_metadata;
  const struct tls_settings *tls;
  const struct kit_auth_config *auth;
  const struct kit_cors_config *cors;
  struct weir_map response_headers;
};

struct otlp_config {
  struct {
    const struct grpc_config *grpc;
    const struct http_config *http;
  } protocols;
  int32_t validation; /* WEIR_VALIDATE_* */
};

struct pending;

struct otlp {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct otlp_config *cfg;
  const struct weir_http_service *http;
  const struct weir_grpc_service *grpc;
  const struct weir_otlp_service *otlp;
  const struct weir_metrics_service *metrics;
  const struct weir_timer_service *timers;
  struct weir_http_server *http_server;
  struct weir_grpc_server *grpc_server;
  struct weir_cell *accepted[3][2], *refused[3][2], *failed[3][2];
  struct kit_gate gate[2]; /* by transport: who may pass, and what is kept of the request */
  struct weir_timer *sweep;
  int sweeping, draining; /* draining: servers that have not drained yet */
  struct pending *waiting, *spare;
  uint32_t n_spare;
  struct { /* the answer to headers alone, until the next one */
    struct weir_http_header headers[3];
    struct weir_iov body;
    char text[2400], challenge[160];
  } early;
};

/* One request between its batch and its answer. */
struct pending {
  struct otlp *r;
  struct pending *next, *prev;
  struct weir_http_exchange *http; /* one of the two, until it is answered */
  struct weir_grpc_exchange *grpc;
  uint32_t signal;
  int transport, json; /* json: the request was, so its answer is */
  uint64_t items;
  int64_t deadline_ns;
  const struct weir_context *context; /* one reference, until the batch has it */
};

/* --- pending.c: from a message to a batch, from a verdict to an answer --- */
/* Decodes and emits; answers through the pending in any case, once. Takes body. */
void otlp_take(struct otlp *, struct pending *, uint32_t signal, struct weir_body *body, const char *msg, size_t n);
struct pending *pending_new(struct otlp *);
void pending_free_all(struct otlp *);
int signal_index(uint32_t signal);
/* A request that no batch is made of: answered, and its body freed. http_status 0: retryable. Takes body. */
void otlp_refuse(struct otlp *, struct pending *, struct weir_body *body, uint32_t http_status, uint32_t code, const char *msg);
/* Asks authentication about the whole request and keeps what its context needs in p. 0: go on; else it was answered, p is gone and body was taken. */
int otlp_admit(struct otlp *, struct pending *, struct weir_body *body, const struct weir_http_header *headers, size_t n, struct weir_str query,
  struct weir_str authority, struct weir_str peer);

/* The address in the listener's spelling: with transport: unix the Collector's files have the bare path. Into buf, when it has to be written anew. */
const char *otlp_address(int32_t transport, const char *endpoint, char *buf, size_t cap);
/* One line, of the first lane, that says where clients find the server. */
void otlp_tell_address(struct otlp *, const char *what, const char *address, int secure, const char *protocols);

/* --- http.c --- */
int otlp_http_start(struct otlp *, struct weir_error *);
int otlp_http_check(const struct otlp *, struct weir_error *); /* the address and TLS, before the start */
/* retry_after_ns < 0: no Retry-After. */
void otlp_http_answer(struct otlp *, struct weir_http_exchange *, int json, uint32_t http_status, uint32_t code, const char *msg, int64_t retry_after_ns);
void otlp_http_ok(struct otlp *, struct weir_http_exchange *, int json, uint32_t signal, uint64_t rejected, const char *msg);

/* --- grpc.c --- */
int otlp_grpc_start(struct otlp *, struct weir_error *);
int otlp_grpc_check(const struct otlp *, struct weir_error *);

#endif
