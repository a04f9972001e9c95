/* Questions to stages: words that are written are read again; what is broken is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/kit/question.h"

static char buf[64];

static void words_are_found(void **state) {
  (void)state;
  static const char q[] = "why trace_id=ab  format=json policy=slow%20ones%2f%E2%82%ac x= format=text";
  assert_true(kit_question_is(q, "why"));
  assert_false(kit_question_is(q, "wh"));
  assert_false(kit_question_is(q, "whys"));
  assert_true(kit_question_is("why", "why"));
  assert_int_equal(kit_question_get(q, "trace_id", buf, sizeof buf), 1);
  assert_string_equal(buf, "ab");
  assert_int_equal(kit_question_get(q, "format", buf, sizeof buf), 1);
  assert_string_equal(buf, "json");
  assert_int_equal(kit_question_get(q, "policy", buf, sizeof buf), 1);
  assert_string_equal(buf, "slow ones/\xe2\x82\xac");
  assert_int_equal(kit_question_get(q, "x", buf, sizeof buf), 1);
  assert_string_equal(buf, "");
  assert_int_equal(kit_question_get(q, "race_id", buf, sizeof buf), 0);
  assert_int_equal(kit_question_get(q, "why", buf, sizeof buf), 0);
  assert_int_equal(kit_question_get("why=1", "why", buf, sizeof buf), 0);
}

static void what_is_broken_is_refused(void **state) {
  (void)state;
  static const char *const broken[] = { "q a=%", "q a=%2", "q a=%zz", "q a=%00", "q a=x%2 b=1", "q a=toolong" };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) assert_int_equal(kit_question_get(broken[i], "a", buf, 7), -1);
  assert_int_equal(kit_question_get("q a=fits67", "a", buf, 7), 1);
}

static void what_is_put_is_read_again(void **state) {
  (void)state;
  char line[64] = "decisions";
  static const char hostile[] = "a b=%20\n\t\x7f\xff\"";
  assert_int_equal(kit_question_put(line, sizeof line, "policy", hostile), 0);
  assert_null(strpbrk(line, "\n\t\"\x7f"));
  assert_int_equal(kit_question_get(line, "policy", buf, sizeof buf), 1);
  assert_string_equal(buf, hostile);
  char before[64];
  strcpy(before, line);
  assert_int_equal(kit_question_put(line, sizeof line, "x", "0123456789012345678901234567890"), -1);
  assert_string_equal(line, before);
  for (size_t cap = 1; cap < 12; cap++) {
    char small[12] = "";
    kit_question_put(small, cap, "k", "v v");
    assert_true(strlen(small) < cap);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(words_are_found), cmocka_unit_test(what_is_broken_is_refused), cmocka_unit_test(what_is_put_is_read_again) };
  return cmocka_run_group_tests_name("question", tests, NULL, NULL);
}
