/* Values as text: numbers as Go writes them, JSON as Go's encoder without HTML escapes, and text that is not UTF-8. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugins/kit/base64.c"
#include "plugins/kit/bytes.c"
#include "plugins/kit/decimal.c"
#include "plugins/kit/value_text.c"

static struct kit_bytes out;

static const char *text_of(struct weir_value v) {
  out.n = 0;
  kit_put_value(&out, &v);
  kit_put_char(&out, 0);
  return out.p;
}

static const char *double_text(double d) {
  struct weir_value v = { WEIR_V_DOUBLE, 0, { .d = d } };
  return text_of(v);
}

/* Expected texts are those of Go's pcommon.Value.AsString. */
static void doubles(void **state) {
  (void)state;
  static const struct {
    double d;
    const char *text;
  } cases[] = { { 0, "0" }, { -0.0, "-0" }, { 1, "1" }, { -1.5, "-1.5" }, { 0.1, "0.1" }, { 1.0 / 3, "0.3333333333333333" }, { 100, "100" }, { 1e20, "100000000000000000000" }, { 1e21, "1e+21" },
    { 123456789012345680., "123456789012345680" }, { 1e-6, "0.000001" }, { 1.25e-7, "1.25e-7" }, { 1e300, "1e+300" }, { 1.7976931348623157e308, "1.7976931348623157e+308" }, { 5e-324, "5e-324" },
    { 2.2250738585072014e-308, "2.2250738585072014e-308" }, { 0.1 + 0.2, "0.30000000000000004" }, { 12345.678, "12345.678" } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_string_equal(double_text(cases[i].d), cases[i].text);
  assert_string_equal(double_text(NAN), "NaN");
  assert_string_equal(double_text(INFINITY), "Infinity");
  assert_string_equal(double_text(-INFINITY), "-Infinity");
}

static void scalars(void **state) {
  (void)state;
  assert_string_equal(text_of(weir_value_int(INT64_MIN)), "-9223372036854775808");
  assert_string_equal(text_of(weir_value_int(0)), "0");
  assert_string_equal(text_of(weir_value_int(INT64_MAX)), "9223372036854775807");
  assert_string_equal(text_of(weir_value_str("as it is\n", 9)), "as it is\n");
  assert_string_equal(text_of((struct weir_value){ WEIR_V_BOOL, 0, { .i = 1 } }), "true");
  assert_string_equal(text_of((struct weir_value){ WEIR_V_BYTES, 3, { .s = "\x00\xff\x01" } }), "AP8B");
  assert_string_equal(text_of((struct weir_value){ WEIR_V_EMPTY, 0, { .s = NULL } }), "");
  out.n = 0;
  kit_put_hex(&out, (struct weir_str){ "\x00\xa5", 2, 0 });
  assert_memory_equal(out.p, "00a5", 4);
}

static void lists_and_mappings_are_json(void **state) {
  (void)state;
  const struct weir_value items[] = { weir_value_str("a\"\\\n\t\x01<\xc3\xbc\xe2\x80\xa8", 14 - 2), weir_value_int(-1), { WEIR_V_DOUBLE, 0, { .d = 1e21 } }, { WEIR_V_DOUBLE, 0, { .d = NAN } },
    { WEIR_V_EMPTY, 0, { .s = NULL } }, { WEIR_V_BYTES, 1, { .s = "A" } }, { WEIR_V_BOOL, 0, { .i = 0 } } };
  const struct weir_attr attrs[] = { { .key = { "b", 1, 0 }, .value = weir_value_int(1) }, { .key = { "a", 1, 0 }, .value = { WEIR_V_ARRAY, 7, { .items = items } } },
    { .key = { "b", 1, 0 }, .value = weir_value_int(2) }, { .key = { "aa", 2, 0 }, .value = { WEIR_V_KVLIST, 0, { .attrs = NULL } } } };
  assert_string_equal(text_of((struct weir_value){ WEIR_V_KVLIST, 4, { .attrs = attrs } }),
    "{\"a\":[\"a\\\"\\\\\\n\\t\\u0001<\xc3\xbc\\u2028\",-1,1e+21,\"NaN\",null,\"QQ==\",false],\"aa\":{},\"b\":2}");
}

static void text_that_is_not_utf8(void **state) {
  (void)state;
  static const struct {
    const char *from, *to;
  } cases[] = { { "\xff", "\"\\ufffd\"" }, { "a\xc3", "\"a\\ufffd\"" }, { "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" }, { "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
    { "\xc0\x80", "\"\\ufffd\\ufffd\"" }, { "\x7f", "\"\x7f\"" }, { "", "\"\"" } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    out.n = 0;
    kit_put_json_str(&out, weir_str_of(cases[i].from));
    kit_put_char(&out, 0);
    assert_string_equal(out.p, cases[i].to);
  }
}

static void nested_without_end_is_cut(void **state) {
  (void)state;
  static struct weir_value v[DEPTH_MAX + 5];
  v[0] = weir_value_int(1);
  for (size_t i = 1; i < sizeof v / sizeof *v; i++) v[i] = (struct weir_value){ WEIR_V_ARRAY, 1, { .items = &v[i - 1] } };
  const char *text = text_of(v[DEPTH_MAX + 4]);
  assert_non_null(strstr(text, "[null]"));
}

static int tear_down(void **state) {
  (void)state;
  kit_bytes_free(&out);
  return 0;
}

#define T(f) cmocka_unit_test(f)

int main(void) {
  const struct CMUnitTest tests[] = { T(doubles), T(scalars), T(lists_and_mappings_are_json), T(text_that_is_not_utf8), T(nested_without_end_is_cut) };
  return cmocka_run_group_tests(tests, NULL, tear_down);
}
