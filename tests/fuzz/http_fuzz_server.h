/*
 * tests/fuzz/http_fuzz_server.h - one connection to an HTTP server, for fuzz_http1_server.c and fuzz_http2_server.c: small limits, and a handler that
 * answers at once, later or at the end, or refuses by the headers. After each input nothing may be left: no exchange, no connection, no byte of the budget.
 */
#ifndef TESTS_FUZZ_HTTP_FUZZ_SERVER_H
#define TESTS_FUZZ_HTTP_FUZZ_SERVER_H

#include <stdio.h>
#include <sys/un.h>

#include "core/http_conn.h"
#include "core/log.h"
#include "tests/fuzz/http_fuzz.h"

#define LATER 1u       /* a request is answered after the next piece */
#define AT_END 2u      /* when all pieces were given */
#define LARGE 4u       /* answers of 300 KiB */
#define READS_NOTHING 8u
#define HELD_MAX 256

static struct weir_http_server *fuzz_server;
static unsigned fuzz_switches;
static struct http_conn *fuzz_conn;
static int fuzz_fd;
static struct weir_http_exchange *held[HELD_MAX];
static int n_held;

static void answer(struct weir_http_exchange *ex) {
  static const struct weir_http_header plain = { { "content-type", 12, 0 }, { "text/plain", 10, 0 } }, trailer = { { "x-end", 5, 0 }, { "1", 1, 0 } };
  static char large[300u << 10];
  struct weir_iov iov = { large, fuzz_switches & LARGE ? sizeof large : 3 };
  struct weir_http_reply reply = { .status = 200, .headers = &plain, .n_headers = 1, .body = &iov, .n_body = 1, .trailers = &trailer, .n_trailers = 1 };
  http_reply(ex, &reply);
}

static void answer_held(void) {
  int n = n_held;
  n_held = 0;
  for (int i = 0; i < n; i++) answer(held[i]);
}

static void read_request(const struct weir_http_request *r) {
  const struct weir_str *texts[] = { &r->method, &r->path, &r->query, &r->authority, &r->peer };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) fuzz_read_all(texts[i]->p, texts[i]->n);
  fuzz_read_headers(r->headers, r->n_headers);
  if (r->body) fuzz_read_all(r->body->p, r->body->n);
}

static uint32_t on_headers(void *self, const struct weir_http_request *r, struct weir_http_reply *reply) {
  static const struct weir_iov text = { "no\n", 3 };
  (void)self;
  WEIR_ASSERT(r->body == NULL && r->n_headers <= 20);
  read_request(r);
  if (r->path.n < 2 || r->path.p[1] != 'r') return 0;
  *reply = (struct weir_http_reply){ .body = &text, .n_body = 1 };
  return 404;
}

static void on_request(void *self, struct weir_http_exchange *ex, const struct weir_http_request *r) {
  (void)self;
  WEIR_ASSERT(r->body != NULL && r->body->n <= 2000);
  read_request(r);
  if (!(fuzz_switches & (LATER | AT_END)) || n_held == HELD_MAX) answer(ex);
  else held[n_held++] = ex;
}

static void open_server(void) {
  static char endpoint[64];
  static const char *const origins[] = { "https://a", "https://*.b" }, *const names[] = { "content-type", "x" };
  static const struct weir_http_header fixed = { { "x-fixed", 7, 0 }, { "1", 1, 0 } };
  static const struct weir_http_cors cors = { .size = sizeof cors, .origins = { origins, 2 }, .headers = { names, 2 }, .exposed = { names, 2 }, .max_age_s = 9 };
  struct weir_error err = { 0 };
  fuzz_open_loop();
  log_setup(&(struct log_config){ WEIR_LOG_ERROR, 0, 2, 0 }); /* one line per client that speaks TLS is too many */
  snprintf(endpoint, sizeof endpoint, "unix:///tmp/weir-fuzz-%d", (int)getpid());
  struct weir_http_server_config c = { .size = sizeof c, .owner = "fuzz", .endpoint = endpoint, .max_body_bytes = 2000, .max_header_bytes = 1000,
    .max_headers = 20, .max_concurrent_streams = 8, .on_headers = on_headers, .on_request = on_request, .cors = &cors, .response_headers = &fixed,
    .n_response_headers = 1 };
  WEIR_ASSERT(http_listen(&fuzz_loop, &c, &fuzz_server, &err) == 0);
}

static void close_server(void) {
  http_server_close(fuzz_server);
  for (int i = 0; i < 20; i++) loop_run_once(&fuzz_loop);
  loop_done(&fuzz_loop);
  listeners_free(fuzz_env.listeners);
}

static void connect_to_server(void) {
  struct sockaddr_un un = { .sun_family = AF_UNIX };
  snprintf(un.sun_path, sizeof un.sun_path, "/tmp/weir-fuzz-%d", (int)getpid());
  fuzz_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  WEIR_ASSERT(fuzz_fd >= 0 && connect(fuzz_fd, (struct sockaddr *)&un, sizeof un) == 0);
  for (int i = 0; i < FUZZ_TURNS && !fuzz_server->conns; i++) loop_run_once(&fuzz_loop);
  fuzz_conn = fuzz_server->conns;
  WEIR_ASSERT(fuzz_conn != NULL);
}

/* As the socket does: nothing while reading pauses. */
static void give(const char *p, size_t n) {
  for (int i = 0; i < 8 && fuzz_server->conns && !fuzz_conn->io.reading; i++) {
    if (!(fuzz_switches & READS_NOTHING)) fuzz_swallow(fuzz_fd);
    if (!(fuzz_switches & AT_END)) answer_held();
    loop_run_once(&fuzz_loop);
  }
  if (!fuzz_server->conns || fuzz_conn->io.closing || !fuzz_conn->io.reading) return;
  conn_read(fuzz_conn, p, n);
  loop_run_once(&fuzz_loop);
  if (fuzz_switches & LATER) answer_held();
  if (!(fuzz_switches & READS_NOTHING)) fuzz_swallow(fuzz_fd);
}

static void serve(const uint8_t *data, size_t size, size_t piece) {
  if (!fuzz_server) open_server(), atexit(close_server);
  connect_to_server();
  fuzz_give(data, size, piece, give);
  for (int i = 0; i < FUZZ_TURNS && (n_held || i < 2); i++) { /* answers to what is pipelined, too */
    answer_held();
    loop_run_once(&fuzz_loop);
    fuzz_swallow(fuzz_fd);
  }
  close(fuzz_fd);
  for (int i = 0; i < FUZZ_TURNS && fuzz_server->n_conns; i++) {
    answer_held();
    loop_run_once(&fuzz_loop);
  }
  WEIR_ASSERT(fuzz_server->n_conns == 0 && fuzz_server->n_open == 0 && n_held == 0);
  WEIR_ASSERT(atomic_load(&fuzz_env.budget.used) == 0 && atomic_load(&fuzz_loop.n_connections) == 0);
}

#endif
