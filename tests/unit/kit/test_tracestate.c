/* plugins/kit/tracestate: what the two specifications allow, the sampling numbers in `ot`, and how a threshold is raised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weir/error.h>

#include "plugins/kit/tracestate.h"

static struct kit_tracestate t;

static int parse(const char *text) { return kit_tracestate_parse(text, strlen(text), &t); }

static void value_is(const char *key, const char *value) {
  struct weir_str v = kit_tracestate_get(&t, weir_str_of(key));
  if (!v.p || v.n != strlen(value) || memcmp(v.p, value, v.n) != 0) fail_msg("%s: expected %s, got %.*s", key, value, (int)v.n, v.p ? v.p : "");
}

static void members_are_read(void **state) {
  (void)state;
  assert_int_equal(parse(""), 0);
  assert_int_equal(t.n, 0);
  assert_int_equal(parse("a=1,\tb=x y ,, c@d=%&"), 0);
  assert_int_equal(t.n, 3);
  value_is("a", "1");
  value_is("b", "x y");
  value_is("c@d", "%&");
  assert_null(kit_tracestate_get(&t, weir_str_of("d")).p);
}

static void what_breaks_the_grammar(void **state) {
  static const char *const bad[] = { "a", "=1", "a=", "A=1", "a=1,a=2", "a=1=2", "-a=1", "@a=1", "a=\x01", "a=\x7f", "a b=1" };
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (parse(bad[i]) != WEIR_E_INVALID) fail_msg("`%s` was read", bad[i]);
}

static void limits(void **state) {
  (void)state;
  char text[KIT_TRACESTATE_MAX + 2], *to = text;
  for (int i = 0; i < 32; i++) to += snprintf(to, 16, "k%d=v,", i);
  assert_int_equal(parse(text), 0);
  assert_int_equal(t.n, 32);
  snprintf(to, 16, "more=v");
  assert_int_equal(parse(text), WEIR_E_LIMIT);
  memset(text, 'a', sizeof text);
  assert_int_equal(kit_tracestate_parse(text, KIT_TRACESTATE_MAX + 1, &t), WEIR_E_LIMIT);
  text[256] = '=';
  assert_int_equal(kit_tracestate_parse(text, 257 + 256, &t), 0);
  assert_int_equal(kit_tracestate_parse(text, 257 + 257, &t), WEIR_E_INVALID);
  text[256] = 'a';
  text[257] = '=';
  assert_int_equal(kit_tracestate_parse(text, 300, &t), WEIR_E_INVALID);
}

static void level_1_is_told(void **state) {
  (void)state;
  assert_int_equal(parse("a=1,t1@sys=2"), 0);
  assert_true(kit_tracestate_level1(&t));
  assert_int_equal(parse("1a=1"), 0);
  assert_false(kit_tracestate_level1(&t));
  assert_int_equal(parse("a@1=1"), 0);
  assert_false(kit_tracestate_level1(&t));
}

static void sampling_numbers(void **state) {
  (void)state;
  assert_int_equal(parse("ot=p:8;rv:0123456789abcd;th:fd70a4"), 0);
  assert_int_equal(t.flags, KIT_TRACESTATE_OT | KIT_TRACESTATE_TH | KIT_TRACESTATE_RV);
  assert_true(t.th == 0xfd70a400000000 && t.rv == 0x0123456789abcd);
  assert_int_equal(parse("ot=th:0"), 0);
  assert_true(t.flags & KIT_TRACESTATE_TH && t.th == 0);
  assert_int_equal(parse("ot=th:;rv:123"), 0);
  assert_int_equal(t.flags, KIT_TRACESTATE_OT);
  assert_int_equal(parse("ot=th:0123456789abcde"), 0);
  assert_int_equal(t.flags, KIT_TRACESTATE_OT);
  static const char *const bad[] = { "ot=th", "ot=th:1;", "ot=;th:1", "ot=th:1;th:2", "ot=1a:2", "ot=a:b/c", "ot=a:b:c", "ot=A:1" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(parse(bad[i]), 0);
    if (t.flags != (KIT_TRACESTATE_OT | KIT_TRACESTATE_BAD_OT)) fail_msg("`%s` was read", bad[i]);
  }
}

/* NULL: it stays as it is. */
static void raised(const char *text, uint64_t th, const char *want) {
  char out[1024];
  assert_int_equal(parse(text), 0);
  size_t n = kit_tracestate_set_th(&t, th, out);
  assert_true(n <= strlen(text) + KIT_TRACESTATE_TH_ROOM);
  if (want ? n != strlen(want) || memcmp(out, want, n) != 0 : n != 0) fail_msg("`%s` became `%.*s`", text, (int)n, out);
}

static void th_is_written(void **state) {
  (void)state;
  raised("", 0, "ot=th:0");
  raised("", 0xfd70a400000000, "ot=th:fd70a4");
  raised("", 1, "ot=th:00000000000001");
  raised("a=1,b=2", 0x80000000000000, "ot=th:8,a=1,b=2");
  raised("a=1, ot=p:8;th:4;k:x ,b=2", 0x80000000000000, "ot=p:8;th:8;k:x,a=1,b=2");
  raised("ot=rv:0123456789abcd", 0x80000000000000, "ot=rv:0123456789abcd;th:8");
  raised("ot=th:zz;k:x", 0x80000000000000, "ot=th:8;k:x");
}

static void th_never_falls(void **state) {
  (void)state;
  raised("ot=th:8", 0x80000000000000, NULL);
  raised("ot=th:8,a=1", 0x7fffffffffffff, NULL);
  raised("ot=th:0", 0, NULL);
  raised("ot=th:8;", 0x90000000000000, NULL);
}

static void rooms_are_kept(void **state) {
  (void)state;
  char text[1024], want[1024], *to = text, *w = want + snprintf(want, 16, "ot=th:8");
  for (int i = 0; i < 32; i++) to += snprintf(to, 16, "%sk%d=v", i ? "," : "", i);
  for (int i = 0; i < 31; i++) w += snprintf(w, 16, ",k%d=v", i);
  raised(text, 0x80000000000000, want);
  memset(text, 'a', sizeof text);
  memcpy(text, "ot=k:", 5);
  text[3 + 251] = 0;
  memcpy(want, text, 3 + 251);
  memcpy(want + 3 + 251, ";th:8", 6);
  raised(text, 0x80000000000000, want);
  raised(text, 0x88000000000000, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(members_are_read),
    cmocka_unit_test(what_breaks_the_grammar),
    cmocka_unit_test(limits),
    cmocka_unit_test(level_1_is_told),
    cmocka_unit_test(sampling_numbers),
    cmocka_unit_test(th_is_written),
    cmocka_unit_test(th_never_falls),
    cmocka_unit_test(rooms_are_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
