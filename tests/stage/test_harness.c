/* The harness itself, where no shipped stage needs it: state that is adopted, and questions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

static struct harness *open_holder(const char *yaml) {
  struct harness_setup s = { .role = WEIR_PROCESSOR, .type = "holder", .file = "tests/scenario/holder.so", .yaml = yaml };
  return harness_open(&s);
}

static void what_is_held_outlives_its_instance(void **state) {
  (void)state;
  struct harness *h = open_holder("hold: 10s");
  struct harness_waiter w = { 0 };
  harness_feed(h, harness_batch(h, 3, &w));
  assert_int_equal(w.heard, 1);
  harness_adopt(h, "hold: 2s");
  harness_feed(h, harness_batch(h, 4, NULL));
  harness_adopt(h, "hold: 3s");
  assert_int_equal(h->n_emitted, 0);
  assert_true(harness_metric(h, "weir_stage_items_held", NULL) == 7);
  assert_true(harness_metric(h, "weir_stage_items_in_total", NULL) == 7);
  harness_advance(h, 2999 * NS_PER_MS);
  assert_int_equal(h->n_emitted, 0);
  harness_advance(h, NS_PER_MS);
  assert_int_equal(h->items_emitted, 7);
  assert_true(harness_metric(h, "weir_stage_items_held", NULL) == 0);
  harness_feed(h, harness_batch(h, 2, NULL));
  harness_free(h); /* and the law holds */
}

static void who_holds_answers(void **state) {
  (void)state;
  struct harness *h = open_holder("{hold: 10s, mark: one}");
  harness_feed(h, harness_batch(h, 3, NULL));
  char *text = harness_ask(h, "decisions");
  assert_string_equal(text, "2023-11-14T22:13:20.000000000Z held by \"one\": 3 spans on lane 0\n");
  free(text);
  assert_null(harness_ask(h, "reload"));
  text = harness_ask(h, "why trace_id=ffffffffffffffffffffffffffffffff");
  assert_string_equal(text, "");
  free(text);
  harness_adopt(h, "{hold: 10s, mark: two}");
  text = harness_ask(h, "decisions");
  assert_non_null(strstr(text, "held by \"two\": 3 spans"));
  free(text);
  harness_free(h);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_held_outlives_its_instance), cmocka_unit_test(who_holds_answers) };
  return cmocka_run_group_tests_name("harness", tests, NULL, NULL);
}
