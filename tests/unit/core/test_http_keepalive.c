/* How a server ends connections that nothing is wrong with: age, idleness, PINGs. The clock is the test's. */
#include "tests/unit/core/http_fixture.h"

#include "core/jitter.h"

#define S(n) ((n) * NS_PER_S)
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
#define GET(stream) "\0\0\6\1\5\0\0\0" stream "\x82\x86\x84\1\1h"
#define PING "\0\0\x08\6\0\0\0\0\0" "12345678"
#define ACK_NOTICE "\0\0\x08\6\1\0\0\0\0" "weirdone"
#define GET1 "GET / HTTP/1.1\r\nhost: h\r\n\r\n"

enum { T_HEADERS = 1, T_RST = 3, T_PING = 6, T_GOAWAY = 7 };

static struct weir_http_keepalive ka;
static struct net_peer peer;

/* Opens a server with `ka` and a connection to it. */
static void begin(uint32_t flags, int64_t idle_ns, const char *first, size_t n) {
  struct weir_http_server_config c = fix_config();
  clock_set_virtual(S(1000), S(1000000));
  ka.size = sizeof ka;
  c.keepalive = &ka;
  c.flags = flags;
  c.idle_timeout_ns = idle_ns;
  fix_open(&c, 0);
  fix.no_trailers = 1;
  net_peer_init(&peer, net_connect(fix.port));
  net_send(&fix.loop, &peer, first, n);
}

static int setup(void **state) {
  (void)state;
  memset(&ka, 0, sizeof ka);
  return 0;
}

static int teardown(void **state) {
  net_peer_done(&peer);
  fix_close();
  (void)state;
  return 0;
}

static void turns(int n) {
  for (int i = 0; i < n; i++) net_turn(&fix.loop);
  net_read(&peer);
}

static void later(int64_t ns) {
  clock_advance(ns);
  turns(4);
}

/* The n-th frame of a type, from 0; NULL when it has not come. */
static const uint8_t *frame(int type, int n) {
  net_read(&peer);
  const uint8_t *p = (const uint8_t *)peer.got, *end = p + peer.n;
  while (end - p >= 9) {
    size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    if ((size_t)(end - p) < 9 + len) break;
    if (p[3] == type && n-- == 0) return p;
    p += 9 + len;
  }
  return NULL;
}

static uint32_t word(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static uint32_t last_stream(const uint8_t *goaway) { return word(goaway + 9); }
static uint32_t error_code(const uint8_t *goaway) { return word(goaway + 13); }

#define SEND(bytes) net_send(&fix.loop, &peer, bytes, sizeof bytes - 1)
#define BEGIN2(idle_ns) begin(0, idle_ns, PREFACE GET("\1"), sizeof(PREFACE GET("\1")) - 1)

/* --- age ------------------------------------------------------------------------------------------------------- */

static void jitter_stays_within_its_bounds_and_uses_them(void **state) {
  int64_t low = INT64_MAX, high = 0;
  (void)state;
  for (int i = 0; i < 10000; i++) {
    int64_t ns = jitter_ns(S(100), 10);
    assert_in_range(ns, S(90), S(110));
    if (ns < low) low = ns;
    if (ns > high) high = ns;
  }
  assert_true(low < S(91) && high > S(109));
  assert_int_equal(jitter_ns(INT64_MAX, 10), INT64_MAX);
}

static void an_old_http1_connection_ends_with_an_answer_that_says_so(void **state) {
  (void)state;
  ka.max_age_ns = S(60);
  begin(0, 0, GET1, sizeof GET1 - 1);
  NET_UNTIL(&fix.loop, net_has(&peer, "200 OK"));
  later(S(53));
  SEND(GET1);
  NET_UNTIL(&fix.loop, net_count(&peer, "200 OK") == 2);
  assert_false(net_has(&peer, "connection: close"));
  later(S(14)); /* over 66 s: idle, it is not closed, as a request may be on its way */
  assert_false(net_eof(&peer));
  SEND(GET1);
  NET_UNTIL(&fix.loop, net_eof(&peer));
  assert_int_equal(net_count(&peer, "200 OK"), 3);
  assert_int_equal(net_count(&peer, "connection: close"), 1);
}

static void an_old_http2_connection_gives_notice_and_serves_what_is_on_its_way(void **state) {
  (void)state;
  ka.max_age_ns = S(60);
  BEGIN2(0);
  NET_UNTIL(&fix.loop, frame(T_HEADERS, 0));
  later(S(53));
  assert_null(frame(T_GOAWAY, 0));
  later(S(14));
  NET_UNTIL(&fix.loop, frame(T_PING, 0));
  assert_int_equal(last_stream(frame(T_GOAWAY, 0)), 0x7fffffff);
  assert_null(frame(T_GOAWAY, 1));
  SEND(GET("\3")); /* sent before the notice was read */
  NET_UNTIL(&fix.loop, frame(T_HEADERS, 1));
  fix.hold = 1;
  SEND(GET("\5") ACK_NOTICE);
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 1));
  assert_int_equal(last_stream(frame(T_GOAWAY, 1)), 5);
  assert_int_equal(error_code(frame(T_GOAWAY, 1)), 0);
  later(S(10));
  assert_false(net_eof(&peer)); /* the held one is waited for */
  fix_answer(fix.held[0]);
  fix.n_held = 0;
  NET_UNTIL(&fix.loop, frame(T_HEADERS, 2));
  NET_UNTIL(&fix.loop, net_eof(&peer));
}

/* gRPC C-core writes the PING's answer before the requests that it had begun: none may be both served and named as not served. */
static void a_request_behind_the_answer_to_the_notice_is_served_and_named(void **state) {
  (void)state;
  ka.max_age_ns = S(60);
  BEGIN2(0);
  NET_UNTIL(&fix.loop, frame(T_HEADERS, 0));
  later(S(67));
  NET_UNTIL(&fix.loop, frame(T_PING, 0));
  SEND(ACK_NOTICE GET("\3"));
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 1));
  NET_UNTIL(&fix.loop, net_eof(&peer));
  assert_int_equal(last_stream(frame(T_GOAWAY, 1)), 3);
  assert_non_null(frame(T_HEADERS, 1));
  assert_int_equal(fix.n_requests, 2);
}

static void a_peer_that_does_not_answer_the_notice_is_left_after_5_s(void **state) {
  (void)state;
  ka.max_age_ns = S(60);
  BEGIN2(0);
  NET_UNTIL(&fix.loop, frame(T_HEADERS, 0));
  later(S(67));
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 0));
  later(S(4));
  assert_null(frame(T_GOAWAY, 1));
  later(S(2));
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 1));
  assert_int_equal(last_stream(frame(T_GOAWAY, 1)), 1);
  NET_UNTIL(&fix.loop, net_eof(&peer));
}

static void the_grace_bounds_what_still_runs(void **state) {
  (void)state;
  ka.max_age_ns = S(60);
  ka.max_age_grace_ns = S(30);
  begin(0, 0, PREFACE, sizeof PREFACE - 1);
  turns(5);
  fix.hold = 1;
  SEND(GET("\1"));
  NET_UNTIL(&fix.loop, fix.n_held == 1);
  later(S(67));
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 0));
  SEND(ACK_NOTICE);
  later(S(29));
  assert_false(net_eof(&peer));
  later(S(2));
  NET_UNTIL(&fix.loop, net_eof(&peer));
}

/* --- idleness ----------------------------------------------------------------------------------------------------- */

static void an_idle_http2_connection_ends_in_two_steps_whatever_it_pings(void **state) {
  (void)state;
  BEGIN2(S(60));
  NET_UNTIL(&fix.loop, frame(T_HEADERS, 0));
  later(S(40));
  SEND(PING);
  later(S(19));
  assert_null(frame(T_GOAWAY, 0));
  later(S(2));
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 0));
  SEND(ACK_NOTICE);
  NET_UNTIL(&fix.loop, net_eof(&peer));
}

/* The timer of the connection went off while a request was with its handler: idleness still counts from its end. */
static void a_connection_that_becomes_idle_late_ends_as_well(void **state) {
  (void)state;
  begin(0, S(60), PREFACE, sizeof PREFACE - 1);
  turns(5);
  fix.hold = 1;
  SEND(GET("\1"));
  NET_UNTIL(&fix.loop, fix.n_held == 1);
  later(S(300));
  fix_answer(fix.held[0]);
  fix.n_held = 0;
  NET_UNTIL(&fix.loop, frame(T_HEADERS, 0));
  assert_null(frame(T_GOAWAY, 0));
  later(S(61));
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 0));
}

static void without_keep_alive_http1_answers_once(void **state) {
  (void)state;
  begin(WEIR_HTTP_NO_KEEP_ALIVE, 0, GET1 GET1, 2 * (sizeof GET1 - 1));
  NET_UNTIL(&fix.loop, net_eof(&peer));
  assert_int_equal(net_count(&peer, "200 OK"), 1);
  assert_true(net_has(&peer, "connection: close"));
}

static void without_keep_alive_http2_ends_when_idle(void **state) {
  (void)state;
  begin(WEIR_HTTP_NO_KEEP_ALIVE, 0, PREFACE, sizeof PREFACE - 1);
  turns(5);
  assert_null(frame(T_GOAWAY, 0));
  SEND(GET("\1"));
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 0));
  assert_non_null(frame(T_HEADERS, 0));
  SEND(ACK_NOTICE);
  NET_UNTIL(&fix.loop, net_eof(&peer));
}

/* --- pings -------------------------------------------------------------------------------------------------------- */

static void a_silent_peer_is_asked_and_then_left(void **state) {
  (void)state;
  ka.ping_after_ns = S(100);
  ka.ping_timeout_ns = S(20);
  BEGIN2(0);
  NET_UNTIL(&fix.loop, frame(T_HEADERS, 0));
  later(S(101));
  NET_UNTIL(&fix.loop, frame(T_PING, 0));
  SEND("\0\0\x08\6\1\0\0\0\0\0\0\0\0\0\0\0\0"); /* its answer */
  turns(4);
  later(S(50));
  assert_null(frame(T_PING, 1));
  later(S(51));
  NET_UNTIL(&fix.loop, frame(T_PING, 1));
  later(S(19));
  assert_false(net_eof(&peer));
  later(S(2));
  NET_UNTIL(&fix.loop, net_eof(&peer));
}

static void expect_calm(void) {
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 0));
  const uint8_t *goaway = frame(T_GOAWAY, 0);
  assert_int_equal(error_code(goaway), 11); /* ENHANCE_YOUR_CALM */
  assert_memory_equal(goaway + 17, "too_many_pings", 14);
  NET_UNTIL(&fix.loop, net_eof(&peer));
  assert_true(fix_metric("weir_http_refused_total{server=\"test\",reason=\"flood\"} 1"));
}

static void ping(int64_t wait_ns) {
  later(wait_ns);
  SEND(PING);
  turns(4);
}

static void pings_that_come_too_often_end_the_connection(void **state) {
  (void)state;
  ka.ping_min_ns = S(300);
  begin(0, 0, PREFACE, sizeof PREFACE - 1);
  fix.hold = 1;
  SEND(GET("\1"));
  NET_UNTIL(&fix.loop, fix.n_held == 1);
  for (int i = 0; i < 3; i++) ping(S(301)); /* often enough apart */
  ping(S(10));
  ping(S(10));
  assert_null(frame(T_GOAWAY, 0));
  ping(S(10));
  expect_calm();
}

static void a_request_behind_the_ping_too_many_is_not_served(void **state) {
  (void)state;
  ka.ping_min_ns = S(300);
  begin(0, 0, PREFACE, sizeof PREFACE - 1);
  fix.hold = 1;
  SEND(GET("\1"));
  NET_UNTIL(&fix.loop, fix.n_held == 1);
  SEND(PING PING PING PING GET("\3"));
  NET_UNTIL(&fix.loop, frame(T_GOAWAY, 0));
  turns(4);
  assert_int_equal(last_stream(frame(T_GOAWAY, 0)), 1);
  assert_int_equal(fix.n_requests, 1);
}

static void pings_without_a_request_count_unless_they_are_allowed(void **state) {
  for (int allowed = 0; allowed < 2; allowed++) {
    setup(state);
    ka.ping_min_ns = S(300);
    ka.flags = allowed ? WEIR_HTTP_PING_IDLE : 0;
    begin(0, 0, PREFACE, sizeof PREFACE - 1);
    for (int i = 0; i < 4; i++) ping(S(301));
    if (!allowed) expect_calm();
    turns(4);
    assert_int_equal(net_eof(&peer), !allowed);
    if (!allowed) teardown(state);
  }
}

static void a_ping_after_an_answer_is_always_allowed(void **state) {
  (void)state;
  ka.ping_min_ns = S(300);
  begin(0, 0, PREFACE, sizeof PREFACE - 1);
  for (int i = 0; i < 20; i++) {
    char get[] = GET("\1");
    get[8] = (char)(2 * i + 1);
    net_send(&fix.loop, &peer, get, sizeof get - 1);
    NET_UNTIL(&fix.loop, frame(T_HEADERS, i));
    ping(S(1));
  }
  assert_null(frame(T_GOAWAY, 0));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(jitter_stays_within_its_bounds_and_uses_them),
    T(an_old_http1_connection_ends_with_an_answer_that_says_so), T(an_old_http2_connection_gives_notice_and_serves_what_is_on_its_way),
    T(a_request_behind_the_answer_to_the_notice_is_served_and_named), T(a_peer_that_does_not_answer_the_notice_is_left_after_5_s), T(the_grace_bounds_what_still_runs),
    T(an_idle_http2_connection_ends_in_two_steps_whatever_it_pings), T(a_connection_that_becomes_idle_late_ends_as_well),
    T(without_keep_alive_http1_answers_once), T(without_keep_alive_http2_ends_when_idle), T(a_silent_peer_is_asked_and_then_left),
    T(pings_that_come_too_often_end_the_connection), T(a_request_behind_the_ping_too_many_is_not_served), T(pings_without_a_request_count_unless_they_are_allowed),
    T(a_ping_after_an_answer_is_always_allowed) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
