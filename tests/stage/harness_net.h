/*
 * tests/stage/harness_net.h - the other end of a stage that speaks over a socket: a client of what it serves, and a back end for what it sends to.
 *
 * Both live on the harness's loop, so that nothing runs beside the test and the virtual clock is theirs too. Close them before harness_free.
 *
 *   struct harness_client c;                        struct harness_sink s;
 *   struct harness_reply r = { 0 };                  harness_sink_init(&s);                  s.port goes into the YAML
 *   harness_client_http(&c, h, harness_port());      struct harness *h = harness_new(...);
 *   harness_send_http(&c, &request, &r);             harness_sink_http(&s, h);
 *   harness_wait_reply(h, &r);                       s.status = 503; s.retry_after = "7";
 *   harness_reply_done(&r);                          harness_feed(h, batch); harness_wait_done(h, 1);
 *   harness_client_close(&c);                        harness_sink_close(&s);
 */
#ifndef TESTS_STAGE_HARNESS_NET_H
#define TESTS_STAGE_HARNESS_NET_H

#include <weir/grpc.h>
#include <weir/http.h>

#include "harness.h"

#define HARNESS_TRACES_RPC "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define HARNESS_METRICS_RPC "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
#define HARNESS_LOGS_RPC "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

/* --- a client ------------------------------------------------------------------------------------------------------- */

/* What came back. Zero it first; the caller frees it with harness_reply_done. */
struct harness_reply {
  int done;
  uint32_t status;        /* of HTTP, 0 = no answer; or the gRPC code */
  int64_t retry_after_ns; /* gRPC: RetryInfo, -1 = none */
  char headers[1024];     /* HTTP: "name: value\n" for each */
  char msg[1024];         /* gRPC: grpc-message; HTTP: why there was no answer */
  char *body;             /* with a NUL behind it */
  size_t n;
};

/* One request. What is NULL: POST, application/x-protobuf, no content-encoding. */
struct harness_http {
  const char *method, *path, *content_type, *encoding;
  const void *body; /* lives until the reply is there */
  size_t n;
  const struct weir_http_header *more; /* further headers, at most 8 */
  size_t n_more;
};

struct harness_client {
  struct harness *h;
  struct weir_http_client *http;
  struct weir_grpc_client *grpc;
};

/* The port that the stage listens on; the test fails when it is not exactly one. */
int harness_port(void);
void harness_client_http(struct harness_client *, struct harness *, int port);
/* compression "none" or "gzip"; timeout: a grpc-timeout to claim ("2S") without keeping it oneself, NULL = none. */
void harness_client_grpc(struct harness_client *, struct harness *, int port, const char *compression, const char *timeout);
void harness_client_close(struct harness_client *);
void harness_send_http(struct harness_client *, const struct harness_http *, struct harness_reply *);
void harness_send_grpc(struct harness_client *, const char *path, const void *msg, size_t n, struct harness_reply *);
/* With this metadata; both live until the reply is there. */
void harness_send_grpc_with(struct harness_client *, const char *path, const struct weir_http_header *metadata, size_t n_metadata, const void *msg, size_t n,
  struct harness_reply *);
void harness_wait_reply(struct harness *, struct harness_reply *);
void harness_reply_done(struct harness_reply *); /* empties it for the next one */
/* Until n batches were emitted and not taken; until an exporter gave n verdicts. */
void harness_wait_emitted(struct harness *, size_t n);
void harness_wait_done(struct harness *, size_t n);

/* --- a back end -------------------------------------------------------------------------------------------------------- */

struct harness_sink {
  struct harness *h;
  int port, fd; /* fd holds the port; nobody listens on it until one of the calls below */
  struct weir_http_server *http;
  struct weir_grpc_server *grpc;
  /* What it answers from now on: status 0 = 200 or OK. */
  uint32_t status;
  int hold;           /* nothing, until harness_sink_release */
  const void *answer; /* body or message */
  size_t answer_n;
  const char *content_type, *retry_after; /* HTTP; default: application/x-protobuf, none */
  const struct weir_http_header *more;    /* HTTP: further headers of the answer, at most 8 */
  size_t n_more;
  void (*on_request)(struct harness_sink *); /* HTTP: after it was remembered and before it is answered; may change what is answered. NULL = none */
  void *arg;                                 /* on_request's */
  const char *msg;                        /* gRPC */
  int64_t retry_after_ns;                 /* gRPC; -1 (after init) = none */
  /* What it got last. */
  int n_requests;
  char path[128], headers[2048];   /* as in harness_reply */
  char authority[128], method[16]; /* HTTP */
  char *body;                      /* as on the wire for HTTP, the plain message for gRPC */
  size_t n;
  struct weir_http_exchange *held_http;
  struct weir_grpc_exchange *held_grpc;
  int raw_fd;
};

void harness_sink_init(struct harness_sink *);                   /* finds a port */
void harness_sink_http(struct harness_sink *, struct harness *); /* HTTP/1.1 and HTTP/2 */
void harness_sink_grpc(struct harness_sink *, struct harness *); /* the three Export methods */
void harness_sink_wait(struct harness_sink *, int n_requests);
void harness_sink_release(struct harness_sink *); /* answers what is held, as told by now */
void harness_sink_close(struct harness_sink *);
/* No server at all: listens; then takes the connection that comes, reads a little of what it says, writes `bytes` and hangs up. */
void harness_sink_raw(struct harness_sink *, struct harness *);
void harness_sink_raw_answer(struct harness_sink *, const char *bytes);
/* Fails the test unless "name: value" is among the lines. */
void harness_has_header(const char *lines, const char *name, const char *value);

#endif
