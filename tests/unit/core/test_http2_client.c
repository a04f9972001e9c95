/* The HTTP/2 client against a server that the test plays, frame by frame: interim responses, trailers, a peer that falls silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/http_client.h"
#include "core/listener.h"
#include "core/metrics.h"
#include "tests/unit/support/net.h"

static struct env env;
static struct loop loop;
static struct weir_http_client *client;
static int listening;
static char endpoint[40];

/* The outcome of a call: names of the headers, "|", names of the trailers. */
static struct {
  int done, timed_out;
  uint32_t status;
  char names[256], error[512];
} got;

static void add_names(const struct weir_http_header *h, size_t n) {
  for (size_t i = 0; i < n; i++) {
    size_t at = strlen(got.names);
    snprintf(got.names + at, sizeof got.names - at, "%.*s ", (int)h[i].name.n, h[i].name.p);
  }
}

static void on_response(void *arg, const struct weir_http_response *r) {
  (void)arg;
  got.done++;
  got.status = r->status;
  got.timed_out = r->timed_out;
  add_names(r->headers, r->n_headers);
  strcat(got.names, "| ");
  add_names(r->trailers, r->n_trailers);
  if (r->err) snprintf(got.error, sizeof got.error, "%s", r->err->msg);
}

static void call(int64_t timeout_ns) {
  struct weir_http_call_config c = { .method = "GET", .path = "/", .deadline_ns = timeout_ns ? clock_mono_ns() + timeout_ns : 0, .on_response = on_response };
  memset(&got, 0, sizeof got);
  http_call(client, &c);
}

static int open_client(void) {
  struct weir_error err = { 0 };
  struct weir_http_client_config c = { .size = sizeof c, .flags = WEIR_HTTP_H2_ONLY, .endpoint = endpoint };
  return http_client_open(&loop, &c, &client, &err);
}

static int setup(void **state) {
  struct weir_error err = { 0 };
  int port;
  (void)state;
  memset(&env, 0, sizeof env);
  env.metrics = metrics_new();
  env.listeners = listeners_new();
  if (loop_init(&loop, 0, &env, &err)) return -1;
  listening = net_listen(&port);
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  return open_client();
}

static int teardown(void **state) {
  (void)state;
  http_client_close(client);
  close(listening);
  for (int i = 0; i < 10; i++) loop_run_once(&loop);
  loop_done(&loop);
  listeners_free(env.listeners);
  metrics_free(env.metrics);
  return 0;
}

/* The next connection, once its preface and request are there. */
static void take_request(struct net_peer *p) {
  int fd = -1;
  NET_UNTIL(&loop, (fd = accept(listening, NULL, NULL)) >= 0);
  net_nonblocking(fd);
  net_peer_init(p, fd);
  NET_UNTIL(&loop, (net_read(p), p->n > 24 + 9 + 9)); /* preface, SETTINGS, and more */
}

#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define HEADERS(length, flags) "\0\0" length "\1" flags "\0\0\0\1"
#define STATUS_103 HEADERS("\5", "\4") "\10\003" "103"
#define STATUS_200_X HEADERS("\7", "\4") "\210\0\1x\2ab"
#define DATA "\0\0\1\0\0\0\0\0\1" "d"
#define TRAILER_Y HEADERS("\5", "\5") "\0\1y\1c"
#define LAST_DATA "\0\0\1\0\1\0\0\0\1" "d"

static void expect_names(const char *frames, size_t n, const char *names) {
  struct net_peer p;
  call(0);
  take_request(&p);
  net_send(&loop, &p, frames, n);
  NET_UNTIL(&loop, got.done);
  assert_int_equal(got.status, 200);
  assert_string_equal(got.names, names);
  net_peer_done(&p);
}

static void headers_and_trailers_are_told_apart(void **state) {
  (void)state;
  static const char frames[] = SETTINGS STATUS_200_X DATA TRAILER_Y;
  expect_names(frames, sizeof frames - 1, "x | y ");
}

static void headers_after_an_interim_response_are_no_trailers(void **state) {
  (void)state;
  static const char frames[] = SETTINGS STATUS_103 STATUS_200_X LAST_DATA;
  expect_names(frames, sizeof frames - 1, "x | ");
}

static void trailers_after_an_interim_response_are_trailers(void **state) {
  (void)state;
  static const char frames[] = SETTINGS STATUS_103 STATUS_103 STATUS_200_X DATA TRAILER_Y;
  expect_names(frames, sizeof frames - 1, "x | y ");
}

/* A peer that vanished without a word: the next call goes to a connection of its own, not into the same hole. */
static void a_silent_connection_is_left_after_a_time_out(void **state) {
  (void)state;
  struct net_peer silent, fresh;
  static const char answer[] = SETTINGS STATUS_200_X LAST_DATA;
  call(100 * NS_PER_MS);
  take_request(&silent);
  NET_UNTIL(&loop, got.done);
  assert_true(got.timed_out);
  NET_UNTIL(&loop, net_eof(&silent));
  call(0);
  take_request(&fresh);
  net_send(&loop, &fresh, answer, sizeof answer - 1);
  NET_UNTIL(&loop, got.done);
  assert_int_equal(got.status, 200);
  net_peer_done(&silent);
  net_peer_done(&fresh);
}

/* One that said something while the call ran is slow, not gone: it is kept. */
static void a_slow_connection_is_kept_after_a_time_out(void **state) {
  (void)state;
  struct net_peer p;
  call(100 * NS_PER_MS);
  take_request(&p);
  net_send(&loop, &p, SETTINGS, 9);
  NET_UNTIL(&loop, got.done);
  assert_true(got.timed_out);
  size_t before = p.n;
  call(0);
  NET_UNTIL(&loop, (net_read(&p), p.n > before + 13)); /* RST_STREAM, and a request behind it */
  assert_false(p.eof);
  net_peer_done(&p);
  NET_UNTIL(&loop, got.done);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(headers_and_trailers_are_told_apart), T(headers_after_an_interim_response_are_no_trailers),
    T(trailers_after_an_interim_response_are_trailers), T(a_silent_connection_is_left_after_a_time_out), T(a_slow_connection_is_kept_after_a_time_out) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
