/* HTTP/1.1 on the server: messages as they come, in order, in pieces, malformed, over limits, late. Raw bytes on loopback sockets. */
#include "tests/unit/core/http_fixture.h"

#define POST_HELLO "POST /v1/traces?a=b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 5\r\n\r\nhello"

static void a_request_is_answered(void **state) {
  (void)state;
  struct net_peer p;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, POST_HELLO);
  NET_UNTIL(&fix.loop, net_has(&p, "\r\n\r\nhello"));
  assert_true(net_has(&p, "HTTP/1.1 200 OK\r\n"));
  assert_true(net_has(&p, "content-length: 5\r\n"));
  assert_true(net_has(&p, "content-type: text/plain\r\n"));
  assert_true(net_has(&p, "date: "));
  assert_false(net_has(&p, "connection: close"));
  assert_string_equal(fix.seen, "POST /v1/traces?a=b 11 h:1 hello\n");
  NET_UNTIL(&fix.loop, fix.n_released == 1);
  net_forget(&p); /* kept alive: a second one on the same connection */
  net_puts(&fix.loop, &p, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  NET_UNTIL(&fix.loop, net_has(&p, "content-length: 0\r\n"));
  net_peer_done(&p);
}

/* Two pipelined requests, the first chunked with a trailer, split into two writes at every byte. */
static void every_split_gives_the_same(void **state) {
  (void)state;
  static const char bytes[] = "POST /a HTTP/1.1\r\nHost: one\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n ab\r\n4\r\ncde \r\n0\r\nX-Sum: 1\r\n\r\n"
                              "POST /b HTTP/1.1\r\nContent-Length: 3\r\nHost: two\r\n\r\n\t z";
  size_t n = sizeof bytes - 1;
  for (size_t cut = 1; cut < n; cut++) {
    struct net_peer p;
    fix.seen[0] = 0;
    net_peer_init(&p, net_connect(fix.port));
    net_send(&fix.loop, &p, bytes, cut);
    for (int i = 0; i < 3; i++) net_turn(&fix.loop);
    net_send(&fix.loop, &p, bytes + cut, n - cut);
    NET_UNTIL(&fix.loop, net_count(&p, "HTTP/1.1 200 OK") == 2 && net_has(&p, "\r\n\r\n\t z"));
    assert_string_equal(fix.seen, "POST /a? 11 one  abcde \nPOST /b? 11 two \t z\n");
    net_peer_done(&p);
  }
}

static void one_byte_at_a_time(void **state) {
  (void)state;
  struct net_peer p;
  net_peer_init(&p, net_connect(fix.port));
  for (const char *at = POST_HELLO; *at; at++) {
    net_send(&fix.loop, &p, at, 1);
    net_turn(&fix.loop);
  }
  NET_UNTIL(&fix.loop, net_has(&p, "\r\n\r\nhello"));
  net_peer_done(&p);
}

/* Answers given late and in any order leave in the order of the requests. */
static void pipelined_requests_are_answered_in_order(void **state) {
  (void)state;
  struct net_peer p;
  char bytes[4096] = "";
  fix.hold = 1;
  for (int i = 0; i < 20; i++) {
    size_t n = strlen(bytes);
    snprintf(bytes + n, sizeof bytes - n, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n#%02d.", i, i);
  }
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, bytes);
  for (int i = 0; i < 20; i++) {
    NET_UNTIL(&fix.loop, fix.n_held == 1);
    struct weir_http_exchange *ex = fix.held[--fix.n_held];
    fix_answer(ex);
  }
  NET_UNTIL(&fix.loop, net_count(&p, "HTTP/1.1 200 OK") == 20 && net_has(&p, "#19."));
  const char *at = p.got;
  for (int i = 0; i < 20; i++) {
    char want[8];
    snprintf(want, sizeof want, "#%02d.", i);
    at = strstr(at, want);
    assert_non_null(at);
  }
  net_peer_done(&p);
}

static void head_has_no_body_and_http10_closes(void **state) {
  (void)state;
  struct net_peer p;
  fix.big_reply = 10;
  fix_text(&p, "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL);
  assert_true(net_has(&p, "content-length: 10\r\n"));
  assert_true(net_has(&p, "connection: close\r\n"));
  assert_false(net_has(&p, "abcdef"));
  net_peer_done(&p);
  fix_text(&p, "GET / HTTP/1.0\r\n\r\n", NULL); /* no Host is allowed here */
  assert_true(net_has(&p, "abcdefghij"));
  net_peer_done(&p);
  fix_text(&p, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "abcdefghij");
  assert_true(net_has(&p, "connection: keep-alive\r\n"));
  assert_false(p.eof);
  net_peer_done(&p);
  assert_string_equal(fix.seen, "HEAD /? 11 h \nGET /? 10  \nGET /? 10  \n");
}

static void expect_100_continue_is_answered(void **state) {
  (void)state;
  struct net_peer p;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  NET_UNTIL(&fix.loop, net_has(&p, "HTTP/1.1 100 Continue\r\n\r\n"));
  assert_int_equal(fix.n_requests, 0);
  net_puts(&fix.loop, &p, "abc");
  NET_UNTIL(&fix.loop, net_has(&p, "\r\n\r\nabc"));
  net_peer_done(&p);
}

static void a_large_answer_to_a_slow_reader_arrives_whole(void **state) {
  (void)state;
  struct net_peer p;
  fix.big_reply = 12u << 20;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  NET_UNTIL(&fix.loop, (net_read(&p), p.n > fix.big_reply));
  const char *body = strstr(p.got, "\r\n\r\n") + 4;
  NET_UNTIL(&fix.loop, (net_read(&p), body = strstr(p.got, "\r\n\r\n") + 4, (size_t)(p.got + p.n - body) == fix.big_reply));
  for (size_t i = 0; i < fix.big_reply; i++)
    if (body[i] != (char)('a' + i % 23)) fail_msg("byte %zu differs", i);
  NET_UNTIL(&fix.loop, fix.n_released == 1);
  net_peer_done(&p);
}

/* A trailer section grows the header text while the request's strings point into it. */
static void trailers_are_ignored_and_bounded(void **state) {
  (void)state;
  struct net_peer p;
  char bytes[16384] = "POST /t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
  for (int i = 0; i < 100; i++) {
    size_t n = strlen(bytes);
    snprintf(bytes + n, sizeof bytes - n, "x-trailer-%d: %0100d\r\n", i, i);
  }
  strcat(bytes, "\r\n");
  fix_text(&p, bytes, "\r\n\r\nx");
  assert_string_equal(fix.seen, "POST /t? 11 h x\n");
  net_puts(&fix.loop, &p, "POST /t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n");
  net_forget(&p);
  for (int i = 0; i < 3000 && !net_eof(&p); i++) net_puts(&fix.loop, &p, "x-more: 0123456789012345678901234567890123456789\r\n");
  NET_UNTIL(&fix.loop, net_eof(&p));
  assert_int_equal(fix.n_requests, 1);
  net_peer_done(&p);
}

/* --- limits ----------------------------------------------------------------------------------------------- */

static int setup_limits(void **state) {
  (void)state;
  struct weir_http_server_config c = fix_config();
  c.max_body_bytes = 1000;
  c.max_header_bytes = 2000;
  c.max_headers = 10;
  fix_open(&c, 0);
  return 0;
}

static void limits_have_their_answers(void **state) {
  (void)state;
  struct net_peer p;
  char bytes[8192], fill[4001];
  memset(fill, 'x', sizeof fill);
  fill[4000] = 0;
  snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: h\r\nA: %s\r\n\r\n", fill);
  fix_text(&p, bytes, NULL);
  assert_true(net_has(&p, "HTTP/1.1 431 ") && net_has(&p, "max_header_bytes"));
  net_peer_done(&p);
  snprintf(bytes, sizeof bytes, "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n", fill);
  fix_text(&p, bytes, NULL);
  assert_true(net_has(&p, "HTTP/1.1 414 "));
  net_peer_done(&p);
  fix_text(&p, "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\nj:\r\n\r\n", NULL);
  assert_true(net_has(&p, "HTTP/1.1 431 ") && net_has(&p, "max_headers"));
  net_peer_done(&p);
  fix_text(&p, "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\n\r\n", "200 OK");
  net_peer_done(&p);
  assert_int_equal(fix.n_requests, 1);
}

static void too_large_bodies_are_refused_before_they_are_held(void **state) {
  (void)state;
  struct net_peer p;
  char bytes[4096], fill[1101];
  memset(fill, 'x', sizeof fill);
  fill[1100] = 0;
  snprintf(bytes, sizeof bytes, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999\r\n\r\n");
  fix_text(&p, bytes, NULL);
  assert_true(net_has(&p, "HTTP/1.1 413 ") && net_has(&p, "1000"));
  assert_int_equal(atomic_load(&fix.env.budget.used), 0);
  net_peer_done(&p);
  snprintf(bytes, sizeof bytes, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n44c\r\n%s\r\n", fill);
  fix_text(&p, bytes, NULL);
  assert_true(net_has(&p, "HTTP/1.1 413 "));
  net_peer_done(&p);
  snprintf(bytes, sizeof bytes, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n%.1000s", fill);
  fix_text(&p, bytes, "200 OK");
  net_peer_done(&p);
  snprintf(bytes, sizeof bytes, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n%.1001sGET / HTTP/1.1\r\nHost: h\r\n\r\n", fill);
  fix_text(&p, bytes, "200 OK"); /* a short body is skipped and the connection goes on */
  assert_true(net_has(&p, "HTTP/1.1 413 "));
  net_peer_done(&p);
  assert_int_equal(fix.n_refusals, 3);
  assert_int_equal(fix.refused_status, 413);
  assert_int_equal(fix.n_requests, 2);
}

static void on_headers_refuses_without_a_body(void **state) {
  (void)state;
  struct net_peer p;
  fix.refuse_with = 404;
  fix_text(&p, POST_HELLO POST_HELLO, "no such thing\n");
  NET_UNTIL(&fix.loop, net_count(&p, "HTTP/1.1 404 Not Found") == 2);
  net_peer_done(&p);
  fix_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n", NULL); /* too long to skip: closed */
  assert_true(net_has(&p, "connection: close"));
  net_peer_done(&p);
  fix_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 404");
  assert_false(net_has(&p, "100 Continue"));
  net_peer_done(&p);
  assert_int_equal(fix.n_headers_calls, 4);
  assert_int_equal(fix.n_requests, 0);
}

static int setup_small_budget(void **state) {
  (void)state;
  struct weir_http_server_config c = fix_config();
  fix_open(&c, 100000);
  return 0;
}

static void a_full_budget_answers_503(void **state) {
  (void)state;
  struct net_peer a, b;
  char fill[60001], head[200];
  memset(fill, 'x', sizeof fill);
  fill[60000] = 0;
  fix.hold = 1;
  snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n");
  net_peer_init(&a, net_connect(fix.port));
  net_puts(&fix.loop, &a, head);
  net_puts(&fix.loop, &a, fill);
  NET_UNTIL(&fix.loop, fix.n_held == 1);
  net_peer_init(&b, net_connect(fix.port));
  net_puts(&fix.loop, &b, head);
  net_puts(&fix.loop, &b, fill);
  NET_UNTIL(&fix.loop, net_has(&b, "HTTP/1.1 503 Service Unavailable"));
  assert_true(net_has(&b, "retry-after: 1\r\n"));
  assert_int_equal(fix.refused_status, 503);
  fix_answer(fix.held[--fix.n_held]);
  NET_UNTIL(&fix.loop, net_has(&a, "200 OK"));
  fix.hold = 0;
  net_forget(&b);
  net_puts(&fix.loop, &b, POST_HELLO);
  NET_UNTIL(&fix.loop, net_has(&b, "200 OK"));
  net_peer_done(&a);
  net_peer_done(&b);
}

static int setup_h2_only(void **state) {
  (void)state;
  struct weir_http_server_config c = fix_config();
  c.flags = WEIR_HTTP_H2_ONLY;
  fix_open(&c, 0);
  return 0;
}

static void http1_on_a_http2_port_is_told_so(void **state) {
  (void)state;
  struct net_peer p;
  fix_text(&p, POST_HELLO, NULL);
  assert_true(net_has(&p, "HTTP/1.1 505 HTTP Version Not Supported"));
  assert_true(net_has(&p, "HTTP/2"));
  assert_int_equal(fix.n_requests, 0);
  net_peer_done(&p);
}

/* --- time-outs --------------------------------------------------------------------------------------------- */

static int setup_times(void **state) {
  (void)state;
  struct weir_http_server_config c = fix_config();
  c.read_header_timeout_ns = 60 * NS_PER_MS;
  c.body_timeout_ns = 60 * NS_PER_MS;
  c.idle_timeout_ns = 60 * NS_PER_MS;
  c.write_timeout_ns = 60 * NS_PER_MS;
  fix_open(&c, 0);
  return 0;
}

/* Sends `text`, then one byte a millisecond: each piece comes in time, the whole does not. */
static void drip(const char *text, const char *byte) {
  struct net_peer p;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, text);
  for (int i = 0; i < 2000 && !net_eof(&p); i++) {
    net_puts(&fix.loop, &p, byte);
    net_turn(&fix.loop);
    usleep(1000);
  }
  assert_true(net_has(&p, "HTTP/1.1 408 ") && p.eof);
  net_peer_done(&p);
  assert_int_equal(fix.n_requests, 0);
}

static void slow_senders_are_timed_out(void **state) {
  (void)state;
  struct net_peer p;
  fix_text(&p, "POST / HTTP/1.1\r\nHost: h\r\n", NULL);
  assert_true(net_has(&p, "HTTP/1.1 408 "));
  net_peer_done(&p);
  fix_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc", NULL);
  assert_true(net_has(&p, "HTTP/1.1 408 "));
  net_peer_done(&p);
  drip("POST / HTTP/1.1\r\nHost: ", "h");
}

static void read_timeout_is_for_the_whole_request(void **state) {
  (void)state;
  drip("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n", "b");
}

static int setup_read_time(void **state) {
  (void)state;
  struct weir_http_server_config c = fix_config();
  c.read_timeout_ns = 100 * NS_PER_MS;
  fix_open(&c, 0);
  return 0;
}

static void idle_connections_close_silently(void **state) {
  (void)state;
  struct net_peer p;
  fix_text(&p, "", NULL);
  assert_int_equal(p.n, 0);
  net_peer_done(&p);
  fix_text(&p, POST_HELLO, NULL);
  assert_int_equal(net_count(&p, "HTTP/1.1 "), 1);
  net_peer_done(&p);
}

static void a_slow_handler_is_not_timed_out(void **state) {
  (void)state;
  struct net_peer p;
  fix.hold = 1;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, POST_HELLO);
  for (int i = 0; i < 300; i++) {
    net_turn(&fix.loop);
    usleep(500);
  }
  assert_int_equal(fix.n_held, 1);
  fix_answer(fix.held[--fix.n_held]);
  NET_UNTIL(&fix.loop, net_has(&p, "\r\n\r\nhello"));
  net_peer_done(&p);
}

static void a_reader_that_does_not_read_is_dropped(void **state) {
  (void)state;
  struct net_peer p;
  fix.big_reply = 12u << 20;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  NET_UNTIL(&fix.loop, fix.n_requests == 1 && atomic_load(&fix.loop.n_connections) == 0);
  NET_UNTIL(&fix.loop, fix.n_released == 1);
  net_peer_done(&p);
}

/* --- ends --------------------------------------------------------------------------------------------------- */

static void a_peer_that_leaves_at_any_point_harms_nothing(void **state) {
  (void)state;
  struct net_peer p;
  fix.hold = 1;
  for (size_t cut = 0; cut < sizeof POST_HELLO; cut++) {
    net_peer_init(&p, net_connect(fix.port));
    net_send(&fix.loop, &p, POST_HELLO, cut);
    for (int i = 0; i < 3; i++) net_turn(&fix.loop);
    struct linger now = { 1, 0 };
    if (cut % 2) setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* by reset */
    net_peer_done(&p);
    NET_UNTIL(&fix.loop, atomic_load(&fix.loop.n_connections) == 0);
  }
  assert_int_equal(fix.n_held, 1);
  fix_answer(fix.held[--fix.n_held]); /* its connection is gone */
  assert_int_equal(fix.n_released, 0);
  NET_UNTIL(&fix.loop, fix.n_released == 1);
}

static void drain_ends_the_idle_and_waits_for_the_running(void **state) {
  (void)state;
  struct net_peer idle, busy, half;
  net_peer_init(&idle, net_connect(fix.port));
  net_peer_init(&busy, net_connect(fix.port));
  net_peer_init(&half, net_connect(fix.port));
  net_puts(&fix.loop, &idle, POST_HELLO);
  NET_UNTIL(&fix.loop, net_has(&idle, "hello"));
  fix.hold = 1;
  net_puts(&fix.loop, &busy, POST_HELLO);
  net_send(&fix.loop, &half, POST_HELLO, sizeof POST_HELLO - 3);
  NET_UNTIL(&fix.loop, fix.n_held == 1 && fix.n_headers_calls == 3);
  http_server_drain(fix.server, fix_drained, &fix);
  NET_UNTIL(&fix.loop, net_eof(&idle));
  assert_int_equal(fix.n_drained, 0);
  fix_answer(fix.held[--fix.n_held]);
  NET_UNTIL(&fix.loop, net_eof(&busy));
  assert_true(net_has(&busy, "connection: close\r\n"));
  assert_int_equal(fix.n_drained, 0);
  fix.hold = 0;
  net_puts(&fix.loop, &half, "lo");
  NET_UNTIL(&fix.loop, net_eof(&half));
  assert_true(net_has(&half, "200 OK") && net_has(&half, "connection: close\r\n"));
  NET_UNTIL(&fix.loop, fix.n_drained == 1);
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)fix.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), -1); /* the port is closed */
  close(fd);
  net_peer_done(&idle);
  net_peer_done(&busy);
  net_peer_done(&half);
}

static void drain_of_an_idle_server_is_told_in_a_later_step(void **state) {
  (void)state;
  http_server_drain(fix.server, fix_drained, &fix);
  assert_int_equal(fix.n_drained, 0);
  NET_UNTIL(&fix.loop, fix.n_drained == 1);
}

static void close_with_open_exchanges_leaves_them_inert(void **state) {
  (void)state;
  struct net_peer p;
  fix.hold = 1;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, POST_HELLO);
  NET_UNTIL(&fix.loop, fix.n_held == 1);
  http_server_close(fix.server);
  fix.server = NULL;
  for (int i = 0; i < 5; i++) loop_run_once(&fix.loop);
  fix_answer(fix.held[--fix.n_held]);
  NET_UNTIL(&fix.loop, fix.n_released == 1 && net_eof(&p));
  assert_int_equal(net_count(&p, "200 OK"), 0);
  net_peer_done(&p);
}

static void own_metrics_count(void **state) {
  (void)state;
  struct net_peer p, q;
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, POST_HELLO);
  NET_UNTIL(&fix.loop, net_has(&p, "200 OK"));
  assert_true(fix_metric("weir_http_connections{server=\"test\"} 1\n"));
  fix_text(&q, "bad\r\n\r\n", NULL);
  assert_true(fix_metric("weir_http_refused_total{server=\"test\",reason=\"malformed\"} 1\n"));
  net_peer_done(&p);
  net_peer_done(&q);
}

static int setup_few_connections(void **state) {
  (void)state;
  struct weir_http_server_config c = fix_config();
  c.max_connections = 2;
  fix_open(&c, 0);
  return 0;
}

static void too_many_connections_are_closed(void **state) {
  (void)state;
  struct net_peer p[3];
  for (int i = 0; i < 2; i++) {
    net_peer_init(&p[i], net_connect(fix.port));
    net_puts(&fix.loop, &p[i], POST_HELLO);
    NET_UNTIL(&fix.loop, net_has(&p[i], "200 OK"));
  }
  fix_text(&p[2], "", NULL);
  assert_int_equal(p[2].n, 0);
  for (int i = 0; i < 3; i++) net_peer_done(&p[i]);
  NET_UNTIL(&fix.loop, atomic_load(&fix.loop.n_connections) == 0);
  fix_text(&p[0], POST_HELLO, "200 OK");
  net_peer_done(&p[0]);
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, fix_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    T(a_request_is_answered, fix_setup),
    T(every_split_gives_the_same, fix_setup),
    T(one_byte_at_a_time, fix_setup),
    T(pipelined_requests_are_answered_in_order, fix_setup),
    T(head_has_no_body_and_http10_closes, fix_setup),
    T(expect_100_continue_is_answered, fix_setup),
    T(a_large_answer_to_a_slow_reader_arrives_whole, fix_setup),
    T(trailers_are_ignored_and_bounded, fix_setup),
    T(limits_have_their_answers, setup_limits),
    T(too_large_bodies_are_refused_before_they_are_held, setup_limits),
    T(on_headers_refuses_without_a_body, fix_setup),
    T(a_full_budget_answers_503, setup_small_budget),
    T(http1_on_a_http2_port_is_told_so, setup_h2_only),
    T(slow_senders_are_timed_out, setup_times),
    T(read_timeout_is_for_the_whole_request, setup_read_time),
    T(idle_connections_close_silently, setup_times),
    T(a_slow_handler_is_not_timed_out, setup_times),
    T(a_reader_that_does_not_read_is_dropped, setup_times),
    T(a_peer_that_leaves_at_any_point_harms_nothing, fix_setup),
    T(drain_ends_the_idle_and_waits_for_the_running, fix_setup),
    T(drain_of_an_idle_server_is_told_in_a_later_step, fix_setup),
    T(close_with_open_exchanges_leaves_them_inert, fix_setup),
    T(own_metrics_count, fix_setup),
    T(too_many_connections_are_closed, setup_few_connections),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
