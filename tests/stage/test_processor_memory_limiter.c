/* The memory_limiter processor: when it refuses, with what verdict, and what it takes for a limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness_check.h"

#define MIB (1u << 20)

static struct harness *open_limiter(const char *yaml) { return harness_new(WEIR_PROCESSOR, "memory_limiter", yaml, WEIR_TRACES); }

static void hold(struct harness *h, uint64_t bytes) { assert_true(budget_take(&h->env.budget, bytes)); }

static double counted(struct harness *h, const char *what) {
  char name[96];
  snprintf(name, sizeof name, "otelcol_processor_memory_limiter_%s_spans_total", what);
  return harness_metric(h, name, "processor=\"memory_limiter\"");
}

/* Whether a batch of three is let through now. */
static int takes(struct harness *h) {
  struct harness_waiter w = { 0 };
  harness_feed(h, harness_batch(h, 3, &w));
  struct weir_batch *b = harness_take_emitted(h);
  if (b) harness_settle(h, b, WEIR_DELIVERED);
  harness_run(h);
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, b ? WEIR_DELIVERED : WEIR_RETRY);
  if (!b) assert_string_equal(w.verdict.msg, "data refused due to high memory usage");
  return b != NULL;
}

/* Soft limit: limit less spike; what the test's own batches take is far below 1 MiB. */
static void expect_limit(const char *yaml, uint64_t soft_mib) {
  struct harness *h = open_limiter(yaml);
  hold(h, (soft_mib - 1) * MIB);
  assert_true(takes(h));
  hold(h, MIB + 1);
  assert_false(takes(h));
  budget_give(&h->env.budget, MIB + 1);
  assert_true(takes(h)); /* as soon as there is room again */
  assert_true(counted(h, "accepted") == 6);
  assert_true(counted(h, "refused") == 3);
  budget_give(&h->env.budget, (soft_mib - 1) * MIB);
  harness_free(h);
}

static void over_the_soft_limit_all_is_refused_as_retryable(void **state) {
  (void)state;
  expect_limit("{check_interval: 1s, limit_mib: 100, spike_limit_mib: 30}", 70);
}

static void the_spike_is_a_fifth_by_default(void **state) {
  (void)state;
  expect_limit("{check_interval: 1s, limit_mib: 100}", 80);
}

static void mib_wins_over_percentages(void **state) {
  (void)state;
  expect_limit("{check_interval: 1s, limit_mib: 100, limit_percentage: 1, spike_limit_percentage: 0}", 80);
}

static void percentages_are_of_what_the_process_may_take(void **state) {
  (void)state;
  struct harness *h = open_limiter("{check_interval: 1s, limit_percentage: 50, spike_limit_percentage: 25}");
  uint64_t quarter = budget_total() / 100 * 25;
  hold(h, quarter - MIB);
  assert_true(takes(h));
  hold(h, 2 * MIB);
  assert_false(takes(h));
  budget_give(&h->env.budget, quarter + MIB);
  harness_free(h);
}

static void refused(const char *yaml, const char *with) {
  struct harness_setup s = { .role = WEIR_PROCESSOR, .type = "memory_limiter", .yaml = yaml };
  char *text = harness_refused(&s);
  if (!strstr(text, with)) fail_msg("%s: %s", yaml, text);
  free(text);
}

static void settings_that_make_no_sense_are_refused_as_in_the_collector(void **state) {
  (void)state;
  refused("{limit_mib: 100}", "check_interval: 'check_interval' must be greater than zero");
  refused("{check_interval: 1s}", "limit_mib: 'limit_mib' or 'limit_percentage' must be greater than zero");
  refused("{check_interval: 1s, limit_mib: 10, spike_limit_mib: 10}", "'spike_limit_mib' must be smaller than 'limit_mib'");
  refused("{check_interval: 1s, limit_percentage: 101}", "limit_percentage: 'limit_percentage' and 'spike_limit_percentage' must be");
  refused("{check_interval: 1s, limit_percentage: 50, spike_limit_percentage: 50}", "'spike_limit_percentage' must be smaller than 'limit_percentage'");
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(over_the_soft_limit_all_is_refused_as_retryable), cmocka_unit_test(the_spike_is_a_fifth_by_default),
    cmocka_unit_test(mib_wins_over_percentages), cmocka_unit_test(percentages_are_of_what_the_process_may_take),
    cmocka_unit_test(settings_that_make_no_sense_are_refused_as_in_the_collector) };
  return cmocka_run_group_tests_name("memory_limiter", tests, NULL, NULL);
}
