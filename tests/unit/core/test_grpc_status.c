/* The text forms in gRPC headers: message, time-out, details, codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/grpc_status.h"

static void codes_are_read_and_named(void **state) {
  (void)state;
  assert_int_equal(grpc_code_parse(weir_str_of("0")), WEIR_GRPC_OK);
  assert_int_equal(grpc_code_parse(weir_str_of("14")), WEIR_GRPC_UNAVAILABLE);
  static const char *const broken[] = { "", "17", "99", "-1", "1x", "014", " 1", "abc" };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) assert_int_equal(grpc_code_parse(weir_str_of(broken[i])), WEIR_GRPC_UNKNOWN);
  for (uint32_t c = 0; c <= 16; c++) assert_int_equal(grpc_code_parse(grpc_code_text(c)), c);
  assert_int_equal(grpc_code_text(1000).n, 1);
  assert_string_equal(grpc_code_name(8), "RESOURCE_EXHAUSTED");
  assert_string_equal(grpc_code_name(77), "UNKNOWN");
}

static void http_status_maps_as_the_table_says(void **state) {
  (void)state;
  static const struct {
    uint32_t http, code;
  } t[] = { { 400, 13 }, { 401, 16 }, { 403, 7 }, { 404, 12 }, { 429, 14 }, { 502, 14 }, { 503, 14 }, { 504, 14 }, { 200, 2 }, { 500, 2 },
    { 415, 2 }, { 302, 2 } };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) assert_int_equal(grpc_code_of_http(t[i].http), t[i].code);
}

static void encode_is(const char *in, const char *want) {
  char buf[3 * GRPC_MSG_MAX];
  size_t n = grpc_msg_encode(in, buf, sizeof buf);
  assert_int_equal(n, strlen(want));
  assert_memory_equal(buf, want, n);
}

static void messages_are_percent_encoded(void **state) {
  (void)state;
  encode_is("", "");
  encode_is("plain, with ~ and space", "plain, with ~ and space");
  encode_is("100%\r\n", "100%25%0D%0A");
  encode_is("\xc3\xa9\x7f", "%C3%A9%7F");
}

static void long_messages_are_cut_between_characters(void **state) {
  (void)state;
  char in[GRPC_MSG_MAX + 100], buf[3 * GRPC_MSG_MAX];
  memset(in, 'a', sizeof in);
  in[sizeof in - 1] = 0;
  memcpy(in + GRPC_MSG_MAX - 2, "\xe2\x82\xac", 3); /* the last byte of a euro sign would be left out */
  assert_int_equal(grpc_msg_encode(in, buf, sizeof buf), GRPC_MSG_MAX - 2);
  memset(in, 0x80, sizeof in - 1); /* never valid UTF-8: cut a little, not to nothing */
  assert_true(grpc_msg_encode(in, buf, sizeof buf) > 3 * (GRPC_MSG_MAX - 4));
  assert_int_equal(grpc_msg_encode("\n\n", buf, 5), 3); /* no half escape when the room ends */
}

static void decode_is(const char *in, const char *want) {
  char buf[64];
  grpc_msg_decode(weir_str_of(in), buf, sizeof buf);
  assert_string_equal(buf, want);
}

static void broken_escapes_survive_decoding(void **state) {
  (void)state;
  decode_is("100%25", "100%");
  decode_is("%c3%A9", "\xc3\xa9");
  decode_is("%", "%");
  decode_is("%4", "%4");
  decode_is("%zz%41", "%zzA");
  decode_is("a%00b", "a b");
  char small[4];
  grpc_msg_decode(weir_str_of("abcdef"), small, sizeof small);
  assert_string_equal(small, "abc");
}

static void timeouts_are_read(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t ns;
  } ok[] = { { "1H", 3600000000000 }, { "2M", 120000000000 }, { "5S", 5000000000 }, { "250m", 250000000 }, { "7u", 7000 },
    { "99999999n", 99999999 }, { "0n", 0 }, { "99999999H", INT64_MAX }, { "00000001S", 1000000000 } };
  static const char *const broken[] = { "", "5", "S", "5s", "123456789n", "-1S", "+1S", " 1S", "1 S", "1.5S", "0x1S", "5SS" };
  int64_t ns;
  for (size_t i = 0; i < sizeof ok / sizeof *ok; i++) {
    assert_int_equal(grpc_timeout_parse(weir_str_of(ok[i].text), &ns), 0);
    assert_int_equal(ns, ok[i].ns);
  }
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    ns = 42;
    assert_int_equal(grpc_timeout_parse(weir_str_of(broken[i]), &ns), WEIR_E_INVALID);
    assert_int_equal(ns, 42);
  }
}

static void timeouts_are_written_never_shorter(void **state) {
  (void)state;
  static const struct {
    int64_t ns;
    const char *text;
  } t[] = { { 5000000000, "5000m" }, { 4999000001, "5000m" }, { 99999999, "99999999n" }, { 100000000, "100m" }, { 1, "1n" }, { 0, "1n" },
    { -7, "1n" }, { INT64_MAX, "2562048H" } };
  char buf[GRPC_TIMEOUT_CAP];
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    size_t n = grpc_timeout_format(t[i].ns, buf);
    assert_int_equal(n, strlen(t[i].text));
    assert_string_equal(buf, t[i].text);
  }
  for (int64_t ns = 1; ns > 0 && ns < INT64_MAX / 3; ns = ns * 3 + 1) {
    int64_t back;
    size_t n = grpc_timeout_format(ns, buf);
    assert_int_equal(grpc_timeout_parse((struct weir_str){ buf, (uint32_t)n, 0 }, &back), 0);
    assert_true(back >= ns);
    assert_true((double)back <= (double)ns * 1.02);
  }
}

static void base64_follows_rfc_4648(void **state) {
  (void)state;
  static const struct {
    const char *plain, *text;
  } t[] = { { "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" }, { "\xfb\xff", "+/8" } };
  char buf[16];
  size_t n;
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    n = grpc_base64_encode(t[i].plain, strlen(t[i].plain), buf, sizeof buf);
    assert_int_equal(n, strlen(t[i].text));
    assert_memory_equal(buf, t[i].text, n);
    assert_int_equal(grpc_base64_decode(weir_str_of(t[i].text), buf, sizeof buf, &n), 0);
    assert_int_equal(n, strlen(t[i].plain));
    assert_memory_equal(buf, t[i].plain, n);
  }
  assert_int_equal(grpc_base64_decode(weir_str_of("Zg=="), buf, sizeof buf, &n), 0); /* padded peers */
  assert_int_equal(n, 1);
  static const char *const broken[] = { "Z", "Zm9vY", "Zm9v!", "Z g=", "=", "====", "Zg=", "Zm9vZm9vZm9vZm9vZm9vZm9v" };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
    assert_int_equal(grpc_base64_decode(weir_str_of(broken[i]), buf, sizeof buf, &n), WEIR_E_INVALID);
  assert_int_equal(grpc_base64_encode("foo", 3, buf, 3), 0);
}

static void details_carry_the_delay(void **state) {
  (void)state;
  char buf[GRPC_DETAILS_MAX * 2];
  size_t n = grpc_details_make(WEIR_GRPC_UNAVAILABLE, "later", 1500000000, buf, sizeof buf);
  assert_true(n > 0);
  assert_int_equal(grpc_details_retry_after((struct weir_str){ buf, (uint32_t)n, 0 }), 1500000000);
  n = grpc_details_make(WEIR_GRPC_UNAVAILABLE, "no delay", -1, buf, sizeof buf);
  assert_int_equal(grpc_details_retry_after((struct weir_str){ buf, (uint32_t)n, 0 }), -1);
  assert_int_equal(grpc_details_retry_after(weir_str_of("not base64!")), -1);
  assert_int_equal(grpc_details_retry_after(weir_str_of("/////w")), -1);
  char huge[8192];
  memset(huge, 'x', sizeof huge - 1);
  huge[sizeof huge - 1] = 0;
  n = grpc_details_make(WEIR_GRPC_UNAVAILABLE, huge, 7, buf, sizeof buf); /* a long message does not cost the delay */
  assert_true(n > 0);
  assert_int_equal(grpc_details_retry_after((struct weir_str){ buf, (uint32_t)n, 0 }), 7);
  assert_int_equal(grpc_details_retry_after(weir_str_of(huge)), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(codes_are_read_and_named),
    cmocka_unit_test(http_status_maps_as_the_table_says),
    cmocka_unit_test(messages_are_percent_encoded),
    cmocka_unit_test(long_messages_are_cut_between_characters),
    cmocka_unit_test(broken_escapes_survive_decoding),
    cmocka_unit_test(timeouts_are_read),
    cmocka_unit_test(timeouts_are_written_never_shorter),
    cmocka_unit_test(base64_follows_rfc_4648),
    cmocka_unit_test(details_carry_the_delay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
