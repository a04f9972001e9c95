/* HTTP/2 on the server, frame by frame: when a request is judged by its headers, frames on streams that are over, and floods. Raw frames on loopback sockets. */
#include "tests/unit/core/http_fixture.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
#define REQUEST "\203\206\204\101\001h" /* POST http / h */
#define DATA 0
#define HEADERS 1
#define RST_STREAM 3
#define GOAWAY 7
#define WINDOW_UPDATE 8
#define END_STREAM 1
#define END_HEADERS 4
#define PADDED 8
#define STREAM_CLOSED 5
#define ENHANCE_YOUR_CALM 11

static struct net_peer peer;

static int put(int type, int flags, uint32_t stream, const void *payload, size_t n) {
  char frame[20000] = { (char)(n >> 16), (char)(n >> 8), (char)n, (char)type, (char)flags, (char)(stream >> 24), (char)(stream >> 16), (char)(stream >> 8), (char)stream };
  assert_true(n <= sizeof frame - 9);
  memcpy(frame + 9, payload, n);
  return net_send(&fix.loop, &peer, frame, n + 9);
}

static void begin(void) {
  net_peer_init(&peer, net_connect(fix.port));
  assert_true(net_send(&fix.loop, &peer, PREFACE, sizeof PREFACE - 1));
}

static void request(uint32_t stream, int flags) { put(HEADERS, END_HEADERS | flags, stream, REQUEST, sizeof REQUEST - 1); }

static void turns(int n) {
  for (int i = 0; i < n; i++) net_turn(&fix.loop);
}

/* How many frames of this type came; the last one's payload. */
static int frames(int type, const unsigned char **ret_payload) {
  int found = 0;
  net_read(&peer);
  const unsigned char *p = (const unsigned char *)peer.got, *end = p + peer.n;
  while (end - p >= 9) {
    size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    if ((size_t)(end - p) < 9 + n) break;
    if (p[3] == type) {
      found++;
      if (ret_payload) *ret_payload = p + 9;
    }
    p += 9 + n;
  }
  return found;
}

/* The connection ends with this code. */
static void expect_goaway(unsigned code) {
  const unsigned char *payload = NULL;
  NET_UNTIL(&fix.loop, net_eof(&peer));
  assert_true(frames(GOAWAY, &payload) > 0);
  assert_int_equal(payload[7], code);
  net_peer_done(&peer);
}

/* --- judging by the headers ------------------------------------------------------------------------------ */

static void an_early_refusal_waits_for_the_end(void **state) {
  (void)state;
  fix.refuse_with = 404;
  begin();
  request(1, 0);
  put(DATA, 0, 1, "abc", 3);
  turns(5);
  assert_int_equal(fix.n_headers_calls, 0);
  put(DATA, END_STREAM, 1, "def", 3);
  NET_UNTIL(&fix.loop, net_has(&peer, "no such thing\n"));
  assert_int_equal(fix.n_headers_calls, 1);
  assert_int_equal(fix.n_requests, 0);
  net_peer_done(&peer);
}

static void an_early_refusal_waits_for_50_ms(void **state) {
  (void)state;
  fix.refuse_with = 404;
  begin();
  request(1, 0);
  put(DATA, 0, 1, "abc", 3);
  int64_t began = clock_mono_ns();
  NET_UNTIL(&fix.loop, net_has(&peer, "no such thing\n"));
  assert_true(clock_mono_ns() - began > 30 * NS_PER_MS);
  NET_UNTIL(&fix.loop, frames(RST_STREAM, NULL) == 1); /* the rest is not wanted */
  request(3, END_STREAM);
  NET_UNTIL(&fix.loop, fix.n_headers_calls == 2);
  net_peer_done(&peer);
}

static void an_early_refusal_waits_for_some_kilobytes(void **state) {
  (void)state;
  static const char body[2500];
  fix.refuse_with = 404;
  begin();
  request(1, 0);
  put(DATA, 0, 1, body, sizeof body);
  turns(2);
  assert_int_equal(fix.n_headers_calls, 0);
  put(DATA, 0, 1, body, sizeof body);
  turns(10);
  assert_int_equal(fix.n_headers_calls, 1);
  NET_UNTIL(&fix.loop, net_has(&peer, "no such thing\n"));
  assert_int_equal(fix.n_requests, 0);
  net_peer_done(&peer);
}

static void what_came_before_the_judgement_is_kept(void **state) {
  (void)state;
  begin();
  request(1, 0);
  put(DATA, 0, 1, "abc", 3);
  NET_UNTIL(&fix.loop, fix.n_headers_calls == 1); /* 50 ms */
  put(DATA, END_STREAM, 1, "def", 3);
  NET_UNTIL(&fix.loop, net_has(&peer, "abcdef"));
  assert_string_equal(fix.seen, "POST /? 20 h abcdef\n");
  net_peer_done(&peer);
}

static void a_stream_may_be_reset_before_it_is_judged(void **state) {
  (void)state;
  begin();
  request(1, 0);
  put(DATA, 0, 1, "abc", 3);
  put(RST_STREAM, 0, 1, "\0\0\0\10", 4);
  request(3, END_STREAM);
  NET_UNTIL(&fix.loop, fix.n_requests == 1);
  turns(80);
  assert_int_equal(fix.n_headers_calls, 1);
  net_peer_done(&peer);
}

/* --- streams that are over ---------------------------------------------------------------------------------- */

static void data_behind_end_stream_ends_the_connection(void **state) {
  (void)state;
  begin();
  request(1, END_STREAM);
  NET_UNTIL(&fix.loop, frames(HEADERS, NULL) == 2); /* and its trailers: the stream is closed on both sides: nghttp2 would pass over what comes */
  put(DATA, 0, 1, "abc", 3);
  expect_goaway(STREAM_CLOSED);
}

static void headers_behind_a_reset_end_the_connection(void **state) {
  (void)state;
  begin();
  request(1, 0);
  put(RST_STREAM, 0, 1, "\0\0\0\10", 4);
  request(1, END_STREAM);
  expect_goaway(STREAM_CLOSED);
}

static void data_behind_our_own_reset_is_passed_over(void **state) {
  (void)state;
  fix.refuse_with = 404;
  begin();
  request(1, 0);
  NET_UNTIL(&fix.loop, frames(RST_STREAM, NULL) == 1);
  put(DATA, 0, 1, "abc", 3); /* was on its way */
  request(3, END_STREAM);
  NET_UNTIL(&fix.loop, fix.n_headers_calls == 2);
  assert_int_equal(frames(GOAWAY, NULL), 0);
  net_peer_done(&peer);
}

/* --- floods -------------------------------------------------------------------------------------------------- */

static void expect_calm(void) {
  expect_goaway(ENHANCE_YOUR_CALM);
  assert_true(fix_metric("weir_http_refused_total{server=\"test\",reason=\"flood\"} "));
}

static void resets_by_the_peer_are_counted(void **state) {
  (void)state;
  begin();
  for (uint32_t id = 1; id < 4000; id += 2) {
    request(id, 0);
    if (!put(RST_STREAM, 0, id, "\0\0\0\10", 4)) break;
  }
  expect_goaway(ENHANCE_YOUR_CALM);
}

/* A window that overflows is an error of its stream, so that the server resets it. */
static void resets_that_the_peer_provokes_are_counted(void **state) {
  (void)state;
  begin();
  for (uint32_t id = 1; id < 4000; id += 2) {
    request(id, 0);
    if (!put(WINDOW_UPDATE, 0, id, "\177\377\377\377", 4)) break;
  }
  expect_calm();
}

static void data_that_is_nothing_but_padding_is_counted(void **state) {
  (void)state;
  begin();
  request(1, 0);
  for (int i = 0; i < 15000; i++)
    if (!put(DATA, PADDED, 1, "\2\0\0", 3)) break;
  expect_calm();
}

/* A header of 4000 bytes in the table, then references to it, of one byte each. */
static void refer(int times, int as_trailers) {
  char block[8000] = REQUEST "\100\001x\177\241\036"; /* the length: 127 + 33 + 30 * 128 = 4000 */
  memset(block + 12, 'y', 4000);
  begin();
  put(HEADERS, END_HEADERS | END_STREAM, 1, block, 4012);
  char more[2000] = REQUEST; /* its :authority is then the newest in the table, and x the one behind it */
  size_t n = as_trailers ? 0 : sizeof REQUEST - 1;
  memset(more + n, 0277, (size_t)times);
  if (as_trailers) request(3, 0);
  put(HEADERS, END_HEADERS | END_STREAM, 3, more, n + (size_t)times);
}

static void headers_over_the_limit_are_answered(void **state) {
  (void)state;
  refer(30, 0); /* 120 KB */
  NET_UNTIL(&fix.loop, net_has(&peer, "max_header_bytes"));
  assert_int_equal(fix.n_requests, 1);
  assert_int_equal(frames(GOAWAY, NULL), 0);
  net_peer_done(&peer);
}

static void headers_far_over_the_limit_end_the_connection(void **state) {
  (void)state;
  refer(100, 0);
  expect_calm();
}

static void trailers_far_over_the_limit_end_the_connection(void **state) {
  (void)state;
  refer(100, 1);
  expect_calm();
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, fix_setup, fix_teardown)
  const struct CMUnitTest tests[] = {
    T(an_early_refusal_waits_for_the_end),
    T(an_early_refusal_waits_for_50_ms),
    T(an_early_refusal_waits_for_some_kilobytes),
    T(what_came_before_the_judgement_is_kept),
    T(a_stream_may_be_reset_before_it_is_judged),
    T(data_behind_end_stream_ends_the_connection),
    T(headers_behind_a_reset_end_the_connection),
    T(data_behind_our_own_reset_is_passed_over),
    T(resets_by_the_peer_are_counted),
    T(resets_that_the_peer_provokes_are_counted),
    T(data_that_is_nothing_but_padding_is_counted),
    T(headers_over_the_limit_are_answered),
    T(headers_far_over_the_limit_end_the_connection),
    T(trailers_far_over_the_limit_end_the_connection),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
