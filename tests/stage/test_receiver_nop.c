/* The nop receiver: brings nothing, for any signal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness_check.h"

static void nothing_comes_and_a_drain_is_answered(void **state) {
  (void)state;
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS, WEIR_TRACES | WEIR_METRICS | WEIR_LOGS };
  for (size_t i = 0; i < 4; i++) {
    struct harness *h = harness_new(WEIR_RECEIVER, "nop", NULL, signals[i]);
    harness_advance(h, 3600 * NS_PER_S);
    assert_int_equal(h->n_emitted, 0);
    assert_int_equal(h->n_drained, 0);
    harness_drain(h);
    assert_int_equal(h->n_drained, 1);
    harness_free(h);
  }
}

static void keys_are_refused(void **state) {
  (void)state;
  harness_refuses(WEIR_RECEIVER, "nop", WEIR_TRACES, "endpoint: localhost:4317", "`endpoint`");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(nothing_comes_and_a_drain_is_answered),
    cmocka_unit_test(keys_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
