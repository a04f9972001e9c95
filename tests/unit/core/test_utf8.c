/* What is a character, and what becomes of damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/utf8.h"

static void characters_are_told_from_damage(void **state) {
  (void)state;
  static const struct {
    const char *p;
    size_t len;
  } cases[] = {
    { "a", 1 },
    { "\x7f", 1 },
    { "\xc3\xa9", 2 },
    { "\xe2\x82\xac", 3 },
    { "\xed\x9f\xbf", 3 },
    { "\xef\xbf\xbf", 3 },
    { "\xf0\x90\x80\x80", 4 },
    { "\xf4\x8f\xbf\xbf", 4 },
    { "\x80", 0 },             /* the middle of one */
    { "\xc3", 0 },             /* cut */
    { "\xe2\x82", 0 },         /* cut */
    { "\xc3(", 0 },            /* goes on wrong */
    { "\xc0\x80", 0 },         /* overlong */
    { "\xe0\x9f\xbf", 0 },     /* overlong */
    { "\xf0\x8f\xbf\xbf", 0 }, /* overlong */
    { "\xed\xa0\x80", 0 },     /* a surrogate */
    { "\xf4\x90\x80\x80", 0 }, /* over U+10FFFF */
    { "\xff", 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_int_equal(utf8_len(cases[i].p, strlen(cases[i].p)), cases[i].len);
}

static void check_repair(const char *in, size_t cap, const char *want) {
  char buf[64];
  size_t n = utf8_repair(in, strlen(in), buf, cap);
  assert_int_equal(n, strlen(want));
  assert_memory_equal(buf, want, n);
}

static void damage_is_replaced_and_the_end_is_a_whole_character(void **state) {
  (void)state;
  check_repair("", 64, "");
  check_repair("caf\xc3\xa9!", 64, "caf\xc3\xa9!");
  check_repair("caf\xe9!", 64, "caf\xef\xbf\xbd!");
  check_repair("\xe2\x82", 64, "\xef\xbf\xbd\xef\xbf\xbd");
  check_repair("caf\xc3\xa9", 4, "caf");
  check_repair("caf\xc3\xa9", 5, "caf\xc3\xa9");
  check_repair("ca\xe9", 4, "ca");
  check_repair("abc", 0, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(characters_are_told_from_damage),
    cmocka_unit_test(damage_is_replaced_and_the_end_is_a_whole_character),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
