/* HTTP/1.1 on the server: what one connection may pin while it pipelines requests, and how its last answer leaves. Raw bytes on loopback sockets. */
#include "core/http_conn.h"
#include "tests/unit/core/http_fixture.h"

#define GET_ONE "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

/* A peer that asks and does not read: the answers that wait for it are bounded, so it is not read from any more. */
static void a_peer_that_does_not_read_answers_is_not_read_from(void **state) {
  (void)state;
  struct net_peer p;
  enum { REQUESTS = 600 };
  int sent = 0, stalled = 0;
  size_t got = 0;
  fix.big_reply = 64u << 10;
  net_peer_init(&p, net_connect(fix.port));
  for (; sent < REQUESTS && stalled < 200; sent++) {
    while (send(p.fd, GET_ONE, sizeof GET_ONE - 1, MSG_NOSIGNAL) < 0 && stalled < 200) net_turn(&fix.loop), stalled++;
    net_turn(&fix.loop);
  }
  for (int i = 0; i < 50; i++) net_turn(&fix.loop);
  assert_true(fix.n_requests < 400); /* what the kernel's buffers take, and 256 KiB */
  NET_UNTIL(&fix.loop, (net_read(&p), got += p.n, net_forget(&p), got > fix.big_reply * (size_t)sent)); /* the rest is served as it reads */
  assert_int_equal(fix.n_requests, sent);
  net_peer_done(&p);
}

/* A peer that always has the next requests under way: what was parsed is not kept. */
static void pipelining_without_a_pause_pins_no_memory(void **state) {
  (void)state;
  struct net_peer p;
  static const char head[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n";
  static char body[60000];
  fix.hold = 1;
  memset(body, 'x', sizeof body);
  net_peer_init(&p, net_connect(fix.port));
  for (int i = 0; i < 300; i++) {
    net_puts(&fix.loop, &p, head);
    net_send(&fix.loop, &p, body, sizeof body);
    if (i < 2) continue;
    NET_UNTIL(&fix.loop, fix.n_held == 1);
    fix_answer(fix.held[--fix.n_held]);
    net_read(&p);
    net_forget(&p);
  }
  assert_true(fix.server->conns->backlog->n < 1u << 20);
  net_peer_done(&p);
}

/* "connection: close" to a slow reader: the end of the answer is not cut off. */
static void a_last_answer_to_a_slow_reader_arrives_whole(void **state) {
  (void)state;
  struct net_peer p;
  size_t seen = 0;
  fix.big_reply = 12u << 20;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  NET_UNTIL(&fix.loop, fix.n_requests == 1);
  for (int i = 0; i < 8; i++) { /* a second and a half, in which something is read now and then */
    char some[65536];
    for (int k = 0; k < 190; k++) {
      net_turn(&fix.loop);
      usleep(1000);
    }
    ssize_t n = recv(p.fd, some, sizeof some, 0);
    if (n > 0) seen += (size_t)n;
  }
  NET_UNTIL(&fix.loop, net_eof(&p));
  assert_true(seen + p.n > fix.big_reply);
  net_peer_done(&p);
  NET_UNTIL(&fix.loop, atomic_load(&fix.loop.n_connections) == 0);
}

static void a_refusal_of_a_request_without_a_body_keeps_the_connection(void **state) {
  (void)state;
  struct net_peer p;
  fix.refuse_with = 404;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, GET_ONE);
  NET_UNTIL(&fix.loop, net_has(&p, "no such thing"));
  assert_false(net_has(&p, "connection: close"));
  net_puts(&fix.loop, &p, GET_ONE);
  NET_UNTIL(&fix.loop, net_count(&p, "HTTP/1.1 404") == 2);
  net_peer_done(&p);
}

static int setup_small_budget(void **state) {
  (void)state;
  struct weir_http_server_config c = fix_config();
  fix_open(&c, 200000);
  return 0;
}

/* What is pipelined behind a request that is with its handler is charged; where there is no room the connection ends. */
static void pipelined_bytes_are_charged_to_the_budget(void **state) {
  (void)state;
  struct net_peer p;
  static char rest[300000];
  fix.hold = 1;
  memset(rest, 'x', sizeof rest);
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, GET_ONE "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
  NET_UNTIL(&fix.loop, fix.n_held == 1);
  net_send(&fix.loop, &p, rest, sizeof rest);
  NET_UNTIL(&fix.loop, net_eof(&p));
  assert_true(fix_metric("reason=\"memory\"} 1\n"));
  fix_answer(fix.held[--fix.n_held]); /* its connection is gone */
  NET_UNTIL(&fix.loop, atomic_load(&fix.env.budget.used) == 0);
  net_peer_done(&p);
}

/* Requests with long headers and no body pin memory, too. */
static void long_headers_are_charged_to_the_budget(void **state) {
  (void)state;
  enum { N = 12 };
  struct net_peer p[N];
  static char bytes[50000];
  int refused = 0;
  size_t n = (size_t)snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
  memset(bytes + n, 'x', 40000);
  strcpy(bytes + n + 40000, "\r\n\r\n");
  fix.hold = 1;
  for (int i = 0; i < N; i++) {
    net_peer_init(&p[i], net_connect(fix.port));
    net_puts(&fix.loop, &p[i], bytes);
    NET_UNTIL(&fix.loop, fix.n_held + refused == i + 1 || (net_has(&p[i], "HTTP/1.1 503 ") && ++refused));
  }
  assert_true(fix.n_held > 0 && fix.n_held < 5);
  assert_int_equal(refused, N - fix.n_held);
  while (fix.n_held) fix_answer(fix.held[--fix.n_held]);
  for (int i = 0; i < N; i++) {
    NET_UNTIL(&fix.loop, net_has(&p[i], "HTTP/1.1 "));
    net_peer_done(&p[i]);
  }
  NET_UNTIL(&fix.loop, atomic_load(&fix.env.budget.used) == 0);
}

#define WITH(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    WITH(a_peer_that_does_not_read_answers_is_not_read_from),
    WITH(pipelining_without_a_pause_pins_no_memory),
    WITH(a_last_answer_to_a_slow_reader_arrives_whole),
    WITH(a_refusal_of_a_request_without_a_body_keeps_the_connection),
    cmocka_unit_test_setup_teardown(pipelined_bytes_are_charged_to_the_budget, setup_small_budget, fix_teardown),
    cmocka_unit_test_setup_teardown(long_headers_are_charged_to_the_budget, setup_small_budget, fix_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
