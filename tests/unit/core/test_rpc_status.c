/* google.rpc.Status with RetryInfo: round trip, what others send, and hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/otlp.h"

static void a_status_round_trips(void **state) {
  (void)state;
  char buf[256];
  struct weir_rpc_status s;
  size_t n = rpc_status_make(14, "try later", 1500000000, buf, sizeof buf);
  static const char expected[] = "\x08\x0e\x12\x09try later\x1a\x36\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x0a\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01";
  assert_int_equal(n, sizeof expected - 1);
  assert_memory_equal(buf, expected, n);
  assert_int_equal(rpc_status_parse(buf, n, &s), 0);
  assert_int_equal(s.code, 14);
  assert_string_equal(s.msg, "try later");
  assert_int_equal(s.retry_after_ns, 1500000000);
}

static void the_delay_and_the_text_may_be_absent(void **state) {
  (void)state;
  char buf[64];
  struct weir_rpc_status s;
  size_t n = rpc_status_make(3, NULL, -1, buf, sizeof buf);
  assert_int_equal(n, 2);
  assert_int_equal(rpc_status_parse(buf, n, &s), 0);
  assert_int_equal(s.code, 3);
  assert_int_equal(s.retry_after_ns, -1);
  assert_string_equal(s.msg, "");
  assert_int_equal(rpc_status_parse("", 0, &s), 0);
  assert_int_equal(s.code, 0);
  n = rpc_status_make(8, "", 0, buf, sizeof buf); /* RetryInfo with a delay of 0 is not the same as none */
  assert_int_equal(rpc_status_parse(buf, n, &s), 0);
  assert_int_equal(s.retry_after_ns, 0);
}

static void a_long_text_is_cut_and_the_delay_stays(void **state) {
  (void)state;
  char text[2000], buf[700];
  struct weir_rpc_status s;
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = 0;
  size_t n = rpc_status_make(14, text, 2000000000, buf, sizeof buf);
  assert_true(n > 0 && n <= sizeof buf);
  assert_int_equal(rpc_status_parse(buf, n, &s), 0);
  assert_int_equal(s.retry_after_ns, 2000000000);
  assert_int_equal(strlen(s.msg), sizeof s.msg - 1);
  assert_int_equal(rpc_status_make(14, text, 0, buf, 10), 0); /* no room for the delay: nothing rather than a lie */
}

static void the_text_is_utf8_whatever_was_said(void **state) {
  (void)state;
  char buf[40];
  struct weir_rpc_status s;
  size_t n = rpc_status_make(3, "caf\xe9", -1, buf, sizeof buf);
  assert_int_equal(rpc_status_parse(buf, n, &s), 0);
  assert_string_equal(s.msg, "caf\xef\xbf\xbd");
  n = rpc_status_make(3, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", -1, buf, 11); /* 2 for the code, 2 before the text */
  assert_int_equal(rpc_status_parse(buf, n, &s), 0);
  assert_string_equal(s.msg, "\xc3\xa9\xc3\xa9\xc3\xa9");
}

static void other_details_are_passed_over(void **state) {
  (void)state;
  static const char bytes[] = "\x08\x08\x1a\x0b\x0a\x05other\x12\x02\xff\xff\x1a\x2e\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x02\x0a\x00\x28\x07";
  struct weir_rpc_status s;
  assert_int_equal(rpc_status_parse(bytes, sizeof bytes - 1, &s), 0);
  assert_int_equal(s.code, 8);
  assert_int_equal(s.retry_after_ns, 0);
}

static void delays_are_kept_in_reason(void **state) {
  (void)state;
  static const char negative[] = "\x1a\x39\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x0d\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
  static const char broken[] = "\x1a\x38\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x0c\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff";
  static const char huge[] = "\x1a\x38\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x0c\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
  struct weir_rpc_status s;
  assert_int_equal(rpc_status_parse(negative, sizeof negative - 1, &s), 0);
  assert_int_equal(s.retry_after_ns, 0);
  assert_int_equal(rpc_status_parse(broken, sizeof broken - 1, &s), 0);
  assert_int_equal(s.retry_after_ns, -1); /* a detail that cannot be read says nothing */
  assert_int_equal(rpc_status_parse(huge, sizeof huge - 1, &s), 0);
  assert_true(s.retry_after_ns > 0 && s.retry_after_ns <= 30 * 24 * 3600 * 1000000000LL);
}

static void hostile_bytes_are_refused(void **state) {
  (void)state;
  struct weir_rpc_status s;
  assert_int_equal(rpc_status_parse("\x12\xff\x01x", 4, &s), WEIR_E_INVALID);
  assert_int_equal(rpc_status_parse("\x08", 1, &s), WEIR_E_INVALID);
  char *big = calloc(1, 70000);
  assert_int_equal(rpc_status_parse(big, 70000, &s), WEIR_E_LIMIT);
  free(big);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_status_round_trips),
    cmocka_unit_test(the_delay_and_the_text_may_be_absent),
    cmocka_unit_test(a_long_text_is_cut_and_the_delay_stays),
    cmocka_unit_test(the_text_is_utf8_whatever_was_said),
    cmocka_unit_test(other_details_are_passed_over),
    cmocka_unit_test(delays_are_kept_in_reason),
    cmocka_unit_test(hostile_bytes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
