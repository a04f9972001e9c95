/* What must never reach the handler: forms of HTTP/1.1 that two servers may read in two ways, and what is no HTTP. */
#include <sys/mman.h>

#include "core/http_conn.h"
#include "tests/unit/core/http_fixture.h"

#define H "Host: h\r\n"
static const char *const smuggling[] = {
  "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
  "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Content-Length: \r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Content-Length\t: 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\x0b" "chunked\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "X: a\r\n folded\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n",
  "POST / HTTP/1.1\r\n Host: h\r\n\r\n",
  "POST / HTTP/1.1\nHost: h\n\n",
  "POST / HTTP/1.1\r\nHost: h\nContent-Length: 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\nHost: h\rContent-Length: 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\nHost: h\r\rX: y\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "X: a\x01" "b\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "X Y: a\r\n\r\n",
  "POST / HTTP/1.1\r\n" H ": empty\r\n\r\n",
  "POST / HTTP/1.1\r\n: first\r\n" H "\r\n",
  "POST / HTTP/1.1\r\n:\r\n" H "\r\n",
  "POST / HTTP/1.1\r\n" H ":\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "a(b: x\r\n\r\n",
  "POST / HTTP/1.1\r\n" H "no colon\r\n\r\n",
  "POST / HTTP/1.1\r\n\r\n",
  "POST / HTTP/1.1\r\n" H H "\r\n",
  "POST / HTTP/1.2\r\n" H "\r\n",
  "POST / HTTP/2.0\r\n" H "\r\n",
  "POST / HTTP/0.9\r\n\r\n",
  "POST / HTTP/11\r\n" H "\r\n",
  "POST /\r\n\r\n",
  "POST / HTTP/1.1 \r\n" H "\r\n",
  "POST /a b HTTP/1.1\r\n" H "\r\n",
  "POST /\x01 HTTP/1.1\r\n" H "\r\n",
  "post / HTTP/1.1\r\n" H "\r\n",
  "CONNECT h:1 HTTP/1.1\r\n" H "\r\n",
  "NONSENSE / HTTP/1.1\r\n" H "\r\n",
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /* a TLS ClientHello */
  "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
  "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
};

static void smuggling_forms_are_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof smuggling / sizeof *smuggling; i++) {
    struct net_peer p;
    char bytes[1024];
    snprintf(bytes, sizeof bytes, "%sGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", smuggling[i]);
    fix_text(&p, bytes, NULL); /* until it is closed */
    int refused = net_has(&p, "HTTP/1.1 4") || net_has(&p, "HTTP/1.1 501 ") || net_has(&p, "HTTP/1.1 505 ");
    if (fix.n_requests || !refused || net_count(&p, "\r\ncontent-length: ") != 1 || !net_has(&p, "\r\nconnection: close\r\n")) {
      print_error("form %zu reached a handler or was not refused once:\n%s\n--\n%s\n--\n%s\n", i, smuggling[i], p.got, fix.seen);
      fail();
    }
    net_peer_done(&p);
  }
}

/* RFC 9113 section 3.4: an invalid preface; also what speaks something else. */
static void what_is_no_http_is_closed_without_a_word(void **state) {
  static const char *const lines[] = { "INVALID CONNECTION PREFACE\n\n", "SETUP / RTSP/1.0\r\n\r\n", "<13>1 a line of syslog\n" };
  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    struct net_peer p;
    fix_text(&p, lines[i], NULL); /* until it is closed */
    assert_int_equal(p.n, 0);
    assert_int_equal(fix.n_requests, 0);
    net_peer_done(&p);
  }
}

/* A first piece that is wholly a prefix of HTTP/2's preface, at the end of readable memory: nothing behind it may be looked at. */
static void a_piece_of_a_preface_is_read_to_its_end_only(void **state) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  struct net_peer p;
  (void)state;
  char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(at != MAP_FAILED && mprotect(at + page, page, PROT_NONE) == 0);
  memcpy(at + page - 5, "PRI *", 5);
  net_peer_init(&p, net_connect(fix.port));
  NET_UNTIL(&fix.loop, fix.server->conns != NULL);
  conn_read(fix.server->conns, at + page - 5, 5);
  assert_int_equal(fix.server->conns->proto, 0);
  net_puts(&fix.loop, &p, " HTTP/2.0\r\n\r\nSM\r\n\r\n");
  NET_UNTIL(&fix.loop, p.n > 0 || (net_read(&p), p.n > 0));
  assert_int_equal(fix.server->conns->proto, 2);
  net_peer_done(&p);
  munmap(at, 2 * page);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(smuggling_forms_are_refused), T(what_is_no_http_is_closed_without_a_word),
    T(a_piece_of_a_preface_is_read_to_its_end_only) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
