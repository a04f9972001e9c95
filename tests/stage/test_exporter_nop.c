/* The nop exporter: delivers everything to nowhere, and counts it as delivered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness_check.h"

static void everything_is_delivered_at_once(void **state) {
  (void)state;
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };
  for (size_t i = 0; i < 3; i++) {
    struct harness_waiter w[2] = { { 0 } };
    struct harness *h = harness_new(WEIR_EXPORTER, "nop", NULL, signals[i]);
    harness_feed(h, harness_batch(h, 10, &w[0]));
    harness_feed(h, harness_batch(h, 0, &w[1]));
    assert_int_equal(h->n_done, 2);
    assert_int_equal(h->done[0].items, 10);
    for (size_t k = 0; k < 2; k++) {
      assert_int_equal(h->done[k].verdict.code, WEIR_DELIVERED);
      assert_int_equal(h->done[k].verdict.rejected, 0);
      assert_int_equal(w[k].heard, 1);
      assert_int_equal(w[k].verdict.code, WEIR_DELIVERED);
    }
    assert_true(harness_metric(h, "weir_stage_items_in_total", "stage=\"exporter/nop\"") == 10);
    assert_true(harness_metric(h, "weir_stage_items_out_total", "stage=\"exporter/nop\"") == 10);
    harness_free(h);
  }
}

static void keys_are_refused(void **state) {
  (void)state;
  harness_refuses(WEIR_EXPORTER, "nop", WEIR_TRACES, "endpoint: localhost:4317", "`endpoint`");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(everything_is_delivered_at_once),
    cmocka_unit_test(keys_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
