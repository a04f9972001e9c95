/* From words to the line of a question, and what is said about wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "pipelines/question.h"

static char line[QUESTION_MAX_N];
static struct weir_error err;

static void becomes(struct question q, const char *text) {
  err = (struct weir_error){ 0 };
  if (question_line(&q, line, &err)) fail_msg("%s", err.msg);
  assert_string_equal(line, text);
}

static void refused(struct question q, const char *with, const char *hint) {
  err = (struct weir_error){ 0 };
  assert_int_not_equal(question_line(&q, line, &err), 0);
  if (!strstr(err.msg, with) || !strstr(err.hint, hint)) fail_msg("it says: %s; %s", err.msg, err.hint);
}

static void words_become_a_line(void **state) {
  (void)state;
  clock_set_virtual(0, 1000 * NS_PER_S);
  becomes((struct question){ .trace_id = "4BF92F35-77b3-4da6-a3ce-929d0e0e4736" }, "why trace_id=4bf92f3577b34da6a3ce929d0e0e4736");
  becomes((struct question){ .trace_id = "00000000000000000000000000000000", .stage = "tail_sampling/x", .json = 1 },
    "why trace_id=00000000000000000000000000000000 stage=tail_sampling/x format=json");
  becomes((struct question){ .json = 0 }, "decisions");
  becomes((struct question){ .outcome = "dropped", .policy = "slow ones\n", .since = "1m40s", .limit = "0" }, "decisions outcome=dropped since_unix_ns=900000000000 limit=0 policy=slow%20ones%0A");
  becomes((struct question){ .since = "1000h" }, "decisions since_unix_ns=0");
}

static void wrong_words_are_refused(void **state) {
  (void)state;
  char policy[QUESTION_MAX_N + 1];
  refused((struct question){ .trace_id = "" }, "this has 0", "as in 4bf92f");
  refused((struct question){ .trace_id = "4bf92f3577b34da6a3ce929d0e0e473" }, "this has 31", "as in");
  refused((struct question){ .trace_id = "4bf92f3577b34da6a3ce929d0e0e47366" }, "this has 33", "as in");
  refused((struct question){ .trace_id = "4bf92\x1b[2Jf" }, "character 6 is none", "as in");
  assert_null(strchr(err.msg, '\x1b'));
  refused((struct question){ .outcome = "lost" }, "`outcome`", "kept or dropped");
  refused((struct question){ .since = "5" }, "`since` is no duration", "5m");
  refused((struct question){ .since = "-5m" }, "`since` is no duration", "5m");
  refused((struct question){ .limit = "-1" }, "`limit` is no number", "");
  refused((struct question){ .limit = "many" }, "`limit` is no number", "");
  memset(policy, ' ', sizeof policy);
  policy[sizeof policy - 1] = 0;
  refused((struct question){ .policy = policy }, "longer than", "");
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(words_become_a_line), cmocka_unit_test(wrong_words_are_refused) };
  return cmocka_run_group_tests_name("question", tests, NULL, NULL);
}
