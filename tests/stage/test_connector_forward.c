/* The forward connector: passes batches on as they are, with their waiters, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness_check.h"

static void batches_of_every_signal_go_on_unchanged(void **state) {
  (void)state;
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };
  for (size_t i = 0; i < 3; i++) {
    struct harness *h = harness_new(WEIR_CONNECTOR, "forward", NULL, signals[i]);
    size_t n;
    char *p = harness_request(signals[i], 5, &n);
    struct weir_batch *in = harness_batch_bytes(h, signals[i], p, n, NULL);
    harness_feed(h, in);
    struct weir_batch *out = harness_take_emitted(h);
    assert_ptr_equal(out, in); /* the same one: nothing is copied */
    assert_int_equal(out->signal, signals[i]);
    harness_same_bytes(out, p, n);
    harness_settle(h, out, WEIR_DELIVERED);
    free(p);
    harness_free(h);
  }
}

static void whoever_has_it_next_answers(void **state) {
  (void)state;
  static const int codes[] = { WEIR_DELIVERED, WEIR_RETRY, WEIR_REJECTED };
  struct harness *h = harness_new(WEIR_CONNECTOR, "forward", NULL, WEIR_TRACES);
  struct harness_waiter w[3] = { { 0 } };
  for (size_t i = 0; i < 3; i++) harness_feed(h, harness_batch(h, (uint32_t)i + 1, &w[i]));
  assert_int_equal(h->n_emitted, 3);
  static const char *const indexes[] = { "0", "0 1", "0 1 2" };
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(w[i].heard, 0);
    harness_expect(h, indexes[i], codes[i]);
    assert_int_equal(w[i].heard, 1);
    assert_int_equal(w[i].verdict.code, codes[i]);
  }
  harness_free(h);
}

static void keys_are_refused(void **state) {
  (void)state;
  harness_refuses(WEIR_CONNECTOR, "forward", WEIR_TRACES, "to: traces/2", "`to`");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(batches_of_every_signal_go_on_unchanged),
    cmocka_unit_test(whoever_has_it_next_answers),
    cmocka_unit_test(keys_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
