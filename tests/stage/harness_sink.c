/* A back end on the harness's loop that answers as it is told and remembers the last request. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/grpc.h"
#include "core/http_server.h"
#include "harness_net.h"

/* Bound and not listening: connections are refused, nobody else gets the port, and with SO_REUSEADDR the server may listen on it. */
void harness_sink_init(struct harness_sink *s) {
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t n = sizeof in;
  int one = 1;
  memset(s, 0, sizeof *s);
  s->retry_after_ns = -1;
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(s->fd >= 0);
  assert_int_equal(setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
  assert_int_equal(bind(s->fd, (struct sockaddr *)&in, sizeof in), 0);
  assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &n), 0);
  s->port = ntohs(in.sin_port);
}

static void remember(
  struct harness_sink *s, struct weir_str path, const struct weir_http_header *headers, size_t n_headers, const char *p, size_t n) {
  size_t at = 0;
  s->n_requests++;
  snprintf(s->path, sizeof s->path, "%.*s", (int)path.n, path.p);
  s->headers[0] = 0;
  for (size_t i = 0; i < n_headers && at < sizeof s->headers; i++)
    at += (size_t)snprintf(s->headers + at, sizeof s->headers - at, "%.*s: %.*s\n", (int)headers[i].name.n, headers[i].name.p,
      (int)headers[i].value.n, headers[i].value.p);
  free(s->body);
  s->body = malloc(n + 1);
  assert_non_null(s->body);
  if (n) memcpy(s->body, p, n);
  s->body[n] = 0;
  s->n = n;
}

/* --- HTTP ---------------------------------------------------------------------------------------------------------------------- */

static void answer_http(struct harness_sink *s, struct weir_http_exchange *ex) {
  const char *type = s->content_type ? s->content_type : "application/x-protobuf";
  struct weir_http_header headers[10] = { { weir_str_of("content-type"), weir_str_of(type) },
    { weir_str_of("retry-after"), weir_str_of(s->retry_after ? s->retry_after : "") } };
  size_t n = s->retry_after ? 2 : 1;
  for (size_t i = 0; i < s->n_more; i++) headers[n++] = s->more[i];
  struct weir_iov body = { s->answer, s->answer_n };
  struct weir_http_reply reply = { .status = s->status ? s->status : 200,
    .headers = headers,
    .n_headers = n,
    .body = &body,
    .n_body = s->answer_n ? 1 : 0 };
  http_reply(ex, &reply);
}

static void on_http(void *self, struct weir_http_exchange *ex, const struct weir_http_request *r) {
  struct harness_sink *s = self;
  remember(s, r->path, r->headers, r->n_headers, r->body->p, r->body->n);
  snprintf(s->method, sizeof s->method, "%.*s", (int)r->method.n, r->method.p);
  snprintf(s->authority, sizeof s->authority, "%.*s", (int)r->authority.n, r->authority.p);
  if (s->on_request) s->on_request(s);
  if (!s->hold) {
    answer_http(s, ex);
    return;
  }
  assert_null(s->held_http); /* one is enough */
  s->held_http = ex;
}

void harness_sink_http(struct harness_sink *s, struct harness *h) {
  char endpoint[32];
  struct weir_error err = { 0 };
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", s->port);
  struct weir_http_server_config cfg = { .size = sizeof cfg, .owner = "sink", .endpoint = endpoint, .on_request = on_http, .self = s };
  s->h = h;
  if (http_listen(&h->loop, &cfg, &s->http, &err)) fail_msg("no back end: %s", err.msg);
}

/* --- gRPC ---------------------------------------------------------------------------------------------------------------------- */

static void answer_grpc(struct harness_sink *s, struct weir_grpc_exchange *ex) {
  struct weir_grpc_status st = { sizeof st, s->status, s->msg, s->retry_after_ns };
  grpc_native.reply(ex, &st, s->answer, s->answer_n);
}

static void on_grpc(void *self, struct weir_grpc_exchange *ex, const struct weir_grpc_request *r) {
  struct harness_sink *s = self;
  remember(s, r->path, r->metadata, r->n_metadata, r->msg, r->msg_n);
  if (!s->hold) {
    answer_grpc(s, ex);
    return;
  }
  assert_null(s->held_grpc);
  s->held_grpc = ex;
}

void harness_sink_grpc(struct harness_sink *s, struct harness *h) {
  static const struct weir_grpc_method methods[] = { { HARNESS_TRACES_RPC, on_grpc }, { HARNESS_METRICS_RPC, on_grpc },
    { HARNESS_LOGS_RPC, on_grpc } };
  char endpoint[32];
  struct weir_error err = { 0 };
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", s->port);
  struct weir_grpc_server_config cfg = {
    .size = sizeof cfg, .owner = "sink", .endpoint = endpoint, .max_message_bytes = 64u << 20, .methods = methods, .n_methods = 3, .self = s
  };
  s->h = h;
  if (grpc_native.listen(&h->loop, &cfg, &s->grpc, &err)) fail_msg("no back end: %s", err.msg);
}

/* --- a peer that speaks neither ------------------------------------------------------------------------------------------------- */

void harness_sink_raw(struct harness_sink *s, struct harness *h) {
  s->h = h;
  assert_int_equal(fcntl(s->fd, F_SETFL, O_NONBLOCK), 0);
  assert_int_equal(listen(s->fd, 1), 0);
}

static int has_come(void *arg) {
  struct harness_sink *s = arg;
  s->raw_fd = accept(s->fd, NULL, NULL);
  return s->raw_fd >= 0;
}

static int has_spoken(void *arg) {
  char some[16];
  return recv(((struct harness_sink *)arg)->raw_fd, some, sizeof some, MSG_DONTWAIT) > 0;
}

void harness_sink_raw_answer(struct harness_sink *s, const char *bytes) {
  harness_run_until(s->h, has_come, s);
  harness_run_until(s->h, has_spoken, s);
  assert_int_equal(send(s->raw_fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
  close(s->raw_fd);
}

/* --- the end ---------------------------------------------------------------------------------------------------------------------- */

struct requests {
  const struct harness_sink *s;
  int n;
};

static int has_requests(void *arg) {
  const struct requests *r = arg;
  return r->s->n_requests >= r->n;
}

void harness_sink_wait(struct harness_sink *s, int n_requests) {
  struct requests r = { s, n_requests };
  harness_run_until(s->h, has_requests, &r);
  assert_int_equal(s->n_requests, n_requests);
}

void harness_sink_release(struct harness_sink *s) {
  struct weir_http_exchange *http = s->held_http;
  struct weir_grpc_exchange *grpc = s->held_grpc;
  s->held_http = NULL;
  s->held_grpc = NULL;
  if (http) answer_http(s, http);
  if (grpc) answer_grpc(s, grpc);
}

void harness_sink_close(struct harness_sink *s) {
  harness_sink_release(s);
  if (s->http) http_server_close(s->http);
  if (s->grpc) grpc_native.close(s->grpc);
  if (s->h) harness_run(s->h);
  close(s->fd);
  free(s->body);
  memset(s, 0, sizeof *s);
}
