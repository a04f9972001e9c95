/* Numbers, durations, sizes and endpoints as users write them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <weir/error.h>

#include "core/parse.h"

static void durations(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t ns;
  } good[] = { { "200ms", 200000000 }, { "5s", 5000000000 }, { "1m30s", 90000000000 }, { "-1.5h", -5400000000000 }, { "0", 0 }, { "1us", 1000 },
    { "1\302\265s", 1000 }, { "2h45m", 9900000000000 }, { ".5s", 500000000 } };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    int64_t ns = -1;
    assert_int_equal(parse_duration_ns(good[i].text, &ns), 0);
    assert_int_equal(ns, good[i].ns);
  }
  static const char *const bad[] = { "", "5", "5 s", "s", "1x", "1.2.3s", "5sx", "--1s", "1e3s", "+", "." };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int64_t ns = 42;
    assert_int_equal(parse_duration_ns(bad[i], &ns), WEIR_E_INVALID);
    assert_int_equal(ns, 42);
  }
  int64_t ns;
  assert_int_equal(parse_duration_ns("9999999999h", &ns), WEIR_E_LIMIT);
}

static void sizes(void **state) {
  (void)state;
  uint64_t n;
  assert_int_equal(parse_bytes("4194304", &n), 0);
  assert_int_equal(n, 4194304);
  assert_int_equal(parse_bytes("4MiB", &n), 0);
  assert_int_equal(n, 4194304);
  assert_int_equal(parse_bytes("20MB", &n), 0);
  assert_int_equal(n, 20000000);
  assert_int_equal(parse_bytes("1.5 GiB", &n), 0);
  assert_int_equal(n, 1610612736);
  assert_int_equal(parse_bytes("1 apple", &n), WEIR_E_INVALID);
  assert_int_equal(parse_bytes("-1", &n), WEIR_E_INVALID);
  assert_int_equal(parse_bytes("99999999999TiB", &n), WEIR_E_LIMIT);
}

static void numbers(void **state) {
  (void)state;
  int64_t i;
  uint64_t u;
  double d;
  assert_int_equal(parse_i64("-9223372036854775808", &i), 0);
  assert_true(i == INT64_MIN);
  assert_int_equal(parse_i64("9223372036854775808", &i), WEIR_E_LIMIT);
  assert_int_equal(parse_i64("0x1f", &i), 0);
  assert_int_equal(i, 31);
  assert_int_equal(parse_u64("-1", &u), WEIR_E_INVALID);
  assert_int_equal(parse_u64(" 1", &u), WEIR_E_INVALID);
  assert_int_equal(parse_u64("1 ", &u), WEIR_E_INVALID);
  assert_int_equal(parse_double("1e3", &d), 0);
  assert_true(d > 999.5 && d < 1000.5);
  assert_int_equal(parse_double("-.inf", &d), 0);
  assert_true(isinf(d) && d < 0);
  assert_int_equal(parse_double("inf", &d), WEIR_E_INVALID);
  assert_int_equal(parse_double("0x10", &d), WEIR_E_INVALID);
}

static void endpoints(void **state) {
  (void)state;
  char host[64];
  int port;
  assert_int_equal(parse_endpoint("127.0.0.1:4317", host, sizeof host, &port), 0);
  assert_string_equal(host, "127.0.0.1");
  assert_int_equal(port, 4317);
  assert_int_equal(parse_endpoint("[::1]:80", host, sizeof host, &port), 0);
  assert_string_equal(host, "::1");
  assert_int_equal(parse_endpoint(":80", host, sizeof host, &port), 0);
  assert_string_equal(host, "");
  assert_int_equal(parse_endpoint("unix:///run/x.sock", host, sizeof host, &port), 0);
  assert_string_equal(host, "/run/x.sock");
  assert_int_equal(port, -1);
  static const char *const bad[] = { "localhost", "::1:80", "http://x:80", "a b:80", "x:", "x:-1", "[::1:80", "[]" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_not_equal(parse_endpoint(bad[i], host, sizeof host, &port), 0);
  assert_int_equal(parse_endpoint("x:65536", host, sizeof host, &port), WEIR_E_LIMIT);
}

static void formats(void **state) {
  (void)state;
  char buf[64];
  assert_string_equal(parse_format_duration(90000000000, buf, sizeof buf), "1m30s");
  assert_string_equal(parse_format_duration(200000000, buf, sizeof buf), "200ms");
  assert_string_equal(parse_format_duration(0, buf, sizeof buf), "0s");
  assert_string_equal(parse_format_bytes(4194304, buf, sizeof buf), "4 MiB");
  assert_string_equal(parse_format_bytes(1000, buf, sizeof buf), "1000 B");
  assert_int_equal(parse_distance("compresion", "compression"), 1);
  assert_int_equal(parse_distance("recievers", "receivers"), 1);
  assert_int_equal(parse_distance("", "abc"), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(durations), cmocka_unit_test(sizes), cmocka_unit_test(numbers), cmocka_unit_test(endpoints),
    cmocka_unit_test(formats) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
