/* A client of what a stage serves. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "core/grpc.h"
#include "core/http_client.h"
#include "harness_net.h"

/* --- where it listens --------------------------------------------------------------------------------------------------- */

static int listening_port(int fd) {
  struct sockaddr_in in = { 0 };
  socklen_t n = sizeof in;
  int listens = 0;
  socklen_t listens_n = sizeof listens;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_n) || !listens) return 0;
  if (getsockname(fd, (struct sockaddr *)&in, &n) || in.sin_family != AF_INET) return 0;
  return ntohs(in.sin_port);
}

int harness_port(void) {
  int found = 0, port = 0;
  for (int fd = 3; fd < 256; fd++) {
    int p = listening_port(fd);
    if (!p) continue;
    port = p;
    found++;
  }
  if (found != 1) fail_msg("%d sockets are listening, expected the stage's one", found);
  return port;
}

/* --- replies --------------------------------------------------------------------------------------------------------------- */

static void keep_body(struct harness_reply *r, const char *p, size_t n) {
  r->body = malloc(n + 1);
  assert_non_null(r->body);
  if (n) memcpy(r->body, p, n);
  r->body[n] = 0;
  r->n = n;
}

static void on_http(void *arg, const struct weir_http_response *got) {
  struct harness_reply *r = arg;
  size_t at = 0;
  r->done++;
  r->status = got->status;
  r->retry_after_ns = -1;
  for (size_t i = 0; i < got->n_headers && at < sizeof r->headers; i++)
    at += (size_t)snprintf(r->headers + at, sizeof r->headers - at, "%.*s: %.*s\n", (int)got->headers[i].name.n, got->headers[i].name.p,
      (int)got->headers[i].value.n, got->headers[i].value.p);
  snprintf(r->msg, sizeof r->msg, "%s", got->err ? got->err->msg : "");
  keep_body(r, got->body ? got->body->p : NULL, got->body ? got->body->n : 0);
}

static void on_grpc(void *arg, const struct weir_grpc_status *st, const char *msg, size_t n) {
  struct harness_reply *r = arg;
  r->done++;
  r->status = st->code;
  r->retry_after_ns = st->retry_after_ns;
  snprintf(r->msg, sizeof r->msg, "%s", st->msg ? st->msg : "");
  keep_body(r, msg, n);
}

static int is_replied(void *arg) { return ((struct harness_reply *)arg)->done; }

void harness_wait_reply(struct harness *h, struct harness_reply *r) {
  harness_run_until(h, is_replied, r);
  assert_int_equal(r->done, 1);
}

void harness_reply_done(struct harness_reply *r) {
  free(r->body);
  memset(r, 0, sizeof *r);
}

void harness_has_header(const char *lines, const char *name, const char *value) {
  char line[512], text[2200];
  snprintf(line, sizeof line, "\n%s: %s\n", name, value);
  snprintf(text, sizeof text, "\n%s", lines);
  if (!strstr(text, line)) fail_msg("no \"%s: %s\" in:\n%s", name, value, lines);
}

/* --- requests ---------------------------------------------------------------------------------------------------------------- */

void harness_client_http(struct harness_client *c, struct harness *h, int port) {
  char endpoint[32];
  struct weir_error err = { 0 };
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  struct weir_http_client_config cfg = { .size = sizeof cfg, .endpoint = endpoint };
  *c = (struct harness_client){ .h = h };
  if (http_client_open(&h->loop, &cfg, &c->http, &err)) fail_msg("no HTTP client: %s", err.msg);
}

void harness_client_grpc(struct harness_client *c, struct harness *h, int port, const char *compression, const char *timeout) {
  char endpoint[32];
  struct weir_error err = { 0 };
  struct weir_http_header claim = { weir_str_of("grpc-timeout"), weir_str_of(timeout ? timeout : "") };
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  struct weir_grpc_client_config cfg = { .size = sizeof cfg, .endpoint = endpoint, .compression = compression, .metadata = &claim,
    .n_metadata = timeout ? 1 : 0 };
  *c = (struct harness_client){ .h = h };
  if (grpc_native.client_open(&h->loop, &cfg, &c->grpc, &err)) fail_msg("no gRPC client: %s", err.msg);
}

void harness_client_close(struct harness_client *c) {
  if (c->http) http_client_close(c->http);
  if (c->grpc) grpc_native.client_close(c->grpc);
  c->http = NULL;
  c->grpc = NULL;
  harness_run(c->h);
}

void harness_send_http(struct harness_client *c, const struct harness_http *q, struct harness_reply *r) {
  const char *type = q->content_type ? q->content_type : "application/x-protobuf";
  struct weir_http_header headers[10] = { { weir_str_of("content-type"), weir_str_of(type) },
    { weir_str_of("content-encoding"), weir_str_of(q->encoding ? q->encoding : "") } };
  size_t n_headers = q->encoding ? 2 : 1;
  assert_true(q->n_more <= 8);
  for (size_t i = 0; i < q->n_more; i++) headers[n_headers++] = q->more[i];
  struct weir_iov body = { q->body, q->n };
  struct weir_http_call_config call = { .method = q->method ? q->method : "POST", .path = q->path, .headers = headers,
    .n_headers = n_headers, .body = &body, .n_body = q->n ? 1 : 0, .on_response = on_http, .arg = r };
  http_call(c->http, &call);
}

void harness_send_grpc(struct harness_client *c, const char *path, const void *msg, size_t n, struct harness_reply *r) {
  struct weir_iov body = { msg, n };
  grpc_native.call(c->grpc, path, &body, n ? 1 : 0, 0, on_grpc, r);
}

void harness_send_grpc_with(struct harness_client *c, const char *path, const struct weir_http_header *metadata, size_t n_metadata, const void *msg, size_t n,
  struct harness_reply *r) {
  struct weir_iov body = { msg, n };
  grpc_native.call_with(c->grpc, path, metadata, n_metadata, &body, n ? 1 : 0, 0, on_grpc, r);
}

/* --- what the stage made of it ------------------------------------------------------------------------------------------------- */

struct target {
  const size_t *value;
  size_t n;
};

static int is_reached(void *arg) {
  const struct target *t = arg;
  return *t->value >= t->n;
}

void harness_wait_emitted(struct harness *h, size_t n) {
  struct target t = { &h->n_emitted, n };
  harness_run_until(h, is_reached, &t);
  assert_int_equal(h->n_emitted, n);
}

void harness_wait_done(struct harness *h, size_t n) {
  struct target t = { &h->n_done, n };
  harness_run_until(h, is_reached, &t);
  assert_int_equal(h->n_done, n);
}
