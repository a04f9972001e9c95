/* Query strings: what is found, decoded and passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugins/kit/query.c"

static void values_are_found_and_decoded(void **state) {
  (void)state;
  static const struct {
    const char *query, *value; /* of `token`; NULL: not there */
  } cases[] = {
    { "token=abc", "abc" },
    { "a=1&token=abc&token=def", "abc" },
    { "token=Bearer%20a+b%2b%2B", "Bearer a b++" },
    { "%74oken=a%3d=b", "a==b" },
    { "token", "" },
    { "token=", "" },
    { "&&token=a&", "a" },
    { "x=token", NULL },
    { "Token=a", NULL },
    { "tokens=a", NULL },
    { "toke=a", NULL },
    { "to+ken=a", NULL },
    { "", NULL },
    { "token=a;b", NULL },
    { "token=a%zz&token=c", "c" },
    { "token=a%2", NULL },
    { "token=%", NULL },
    { "tok%en=1", NULL },
    { "=a", NULL },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char buf[40];
    struct weir_str got = { 0 };
    int found = kit_query_get(weir_str_of(cases[i].query), "token", buf, sizeof buf, &got);
    if (found != (cases[i].value != NULL)) fail_msg("%s: %d", cases[i].query, found);
    if (found && !weir_str_eq(got, weir_str_of(cases[i].value))) fail_msg("%s: %.*s", cases[i].query, (int)got.n, got.p);
  }
}

static void limits_are_told(void **state) {
  (void)state;
  char buf[4];
  struct weir_str got;
  assert_int_equal(kit_query_get(weir_str_of("a=%31234"), "a", buf, 4, &got), 1);
  assert_int_equal(got.n, 4);
  assert_int_equal(kit_query_get(weir_str_of("a=%312345"), "a", buf, 4, &got), -1);
  assert_int_equal(kit_query_get(weir_str_of("a=1"), "a", buf, 0, &got), -1);
  assert_int_equal(kit_query_get(weir_str_of("a=%00b"), "a", buf, 4, &got), 1); /* bytes are bytes */
  assert_memory_equal(got.p, "\0b", 2);
  assert_int_equal(kit_query_get((struct weir_str){ 0 }, "a", buf, 4, &got), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(values_are_found_and_decoded), cmocka_unit_test(limits_are_told) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
