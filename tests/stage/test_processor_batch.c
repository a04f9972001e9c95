/* The batch processor: when it sends, how it cuts, who is answered when, and what a drain does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness_check.h"

#define MS NS_PER_MS

static struct harness *open_batch(const char *yaml, int ack_delivered) {
  struct harness_setup s = { .role = WEIR_PROCESSOR, .type = "batch", .yaml = yaml, .ack_delivered = ack_delivered };
  return harness_open(&s);
}

static double sends(struct harness *h, const char *trigger) {
  char name[128];
  snprintf(name, sizeof name, "otelcol_processor_batch_%s_trigger_send_total", trigger);
  return harness_metric(h, name, "processor=\"batch\"");
}

static void requests_are_gathered_until_the_size_is_reached(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 5, timeout: 1s}", 0);
  harness_feed(h, harness_batch(h, 2, NULL));
  harness_feed(h, harness_batch(h, 2, NULL));
  assert_int_equal(h->n_emitted, 0);
  harness_feed(h, harness_batch(h, 3, NULL)); /* over the size: it is not cut without send_batch_max_size */
  assert_int_equal(h->n_emitted, 1);
  harness_expect(h, "0 1 0 1 0 1 2", WEIR_DELIVERED);
  assert_true(sends(h, "batch_size") == 1);
  assert_true(sends(h, "timeout") == 0);
  harness_advance(h, 2 * NS_PER_S); /* the timer of what was sent is gone */
  assert_int_equal(h->n_emitted, 0);
  harness_free(h);
}

static void what_is_there_goes_when_the_time_is_over(void **state) {
  (void)state;
  struct harness *h = open_batch(NULL, 0); /* 8192 items, 200 ms */
  harness_feed(h, harness_batch(h, 1, NULL));
  harness_advance(h, 150 * MS);
  harness_feed(h, harness_batch(h, 2, NULL)); /* the time counts from the first */
  harness_advance(h, 49 * MS);
  assert_int_equal(h->n_emitted, 0);
  harness_advance(h, 1 * MS);
  assert_int_equal(h->n_emitted, 1);
  harness_expect(h, "0 0 1", WEIR_DELIVERED);
  assert_true(sends(h, "timeout") == 1);
  harness_feed(h, harness_batch(h, 1, NULL)); /* and anew for the next */
  harness_advance(h, 199 * MS);
  assert_int_equal(h->n_emitted, 0);
  harness_advance(h, 1 * MS);
  harness_expect(h, "0", WEIR_DELIVERED);
  harness_free(h);
}

static void sizes_of_what_is_sent_are_counted(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 4, timeout: 1s}", 0);
  size_t bytes;
  char *p = harness_request(WEIR_TRACES, 4, &bytes);
  harness_feed(h, harness_batch(h, 4, NULL));
  harness_feed(h, harness_batch(h, 6, NULL));
  assert_true(harness_metric(h, "otelcol_processor_batch_batch_send_size_count", NULL) == 2);
  assert_true(harness_metric(h, "otelcol_processor_batch_batch_send_size_sum", NULL) == 10);
  assert_true(harness_metric(h, "otelcol_processor_batch_batch_send_size_bytes_sum", NULL) > (double)bytes);
  free(p);
  harness_free(h);
}

static void larger_batches_are_cut_to_the_largest_size(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 4, send_batch_max_size: 6, timeout: 1s}", 0);
  harness_feed(h, harness_batch(h, 15, NULL));
  assert_int_equal(h->n_emitted, 2); /* 6 and 6; the rest of 3 is under send_batch_size and stays */
  harness_expect(h, "0 1 2 3 4 5", WEIR_DELIVERED);
  harness_expect(h, "6 7 8 9 10 11", WEIR_DELIVERED);
  harness_advance(h, 1 * NS_PER_S);
  harness_expect(h, "12 13 14", WEIR_DELIVERED);
  harness_feed(h, harness_batch(h, 6, NULL)); /* exactly the largest size is not cut */
  harness_expect(h, "0 1 2 3 4 5", WEIR_DELIVERED);
  harness_feed(h, harness_batch(h, 11, NULL)); /* a rest of 5 is enough to go at once */
  assert_int_equal(h->n_emitted, 2);
  harness_expect(h, "0 1 2 3 4 5", WEIR_DELIVERED);
  harness_expect(h, "6 7 8 9 10", WEIR_DELIVERED);
  harness_free(h);
}

static void a_cut_goes_through_the_middle_of_a_request(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 5, send_batch_max_size: 5, timeout: 1s}", 0);
  harness_feed(h, harness_batch(h, 3, NULL));
  harness_feed(h, harness_batch(h, 4, NULL));
  harness_expect(h, "0 1 2 0 1", WEIR_DELIVERED);
  harness_feed(h, harness_batch(h, 3, NULL)); /* behind what was left */
  harness_expect(h, "2 3 0 1 2", WEIR_DELIVERED);
  assert_int_equal(h->n_emitted, 0);
  harness_free(h);
}

static void without_a_size_or_a_time_every_request_goes_at_once(void **state) {
  (void)state;
  static const char *const yaml[] = { "send_batch_size: 0", "timeout: 0", "timeout: 0s" };
  for (size_t i = 0; i < 3; i++) {
    struct harness *h = open_batch(yaml[i], 0);
    harness_feed(h, harness_batch(h, 1, NULL));
    assert_int_equal(h->n_emitted, 1);
    harness_expect(h, "0", WEIR_DELIVERED);
    harness_feed(h, harness_batch(h, 2, NULL));
    harness_expect(h, "0 1", WEIR_DELIVERED);
    harness_free(h);
  }
  struct harness *h = open_batch("{send_batch_size: 0, timeout: 0, send_batch_max_size: 2}", 0); /* still cut */
  harness_feed(h, harness_batch(h, 5, NULL));
  assert_int_equal(h->n_emitted, 3);
  harness_expect(h, "0 1", WEIR_DELIVERED);
  harness_expect(h, "2 3", WEIR_DELIVERED);
  harness_expect(h, "4", WEIR_DELIVERED);
  harness_free(h);
}

static void queued_answers_when_the_items_are_held(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 10, timeout: 1s}", 0);
  struct harness_waiter w = { 0 };
  harness_feed(h, harness_batch(h, 3, &w));
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_DELIVERED);
  assert_int_equal(h->n_emitted, 0);
  harness_advance(h, 1 * NS_PER_S);
  harness_expect(h, "0 1 2", WEIR_REJECTED); /* too late for whoever asked */
  assert_int_equal(w.heard, 1);
  harness_free(h);
}

static void delivered_answers_everybody_with_what_became_of_the_batch(void **state) {
  (void)state;
  static const int codes[] = { WEIR_DELIVERED, WEIR_RETRY, WEIR_REJECTED };
  for (size_t i = 0; i < 3; i++) {
    struct harness *h = open_batch("{send_batch_size: 5, timeout: 1s}", 1);
    struct harness_waiter w[3] = { { 0 } };
    for (size_t k = 0; k < 3; k++) harness_feed(h, harness_batch(h, 2, &w[k]));
    assert_int_equal(h->n_emitted, 1);
    for (size_t k = 0; k < 3; k++) assert_int_equal(w[k].heard, 0);
    harness_expect(h, "0 1 0 1 0 1", codes[i]);
    for (size_t k = 0; k < 3; k++) {
      assert_int_equal(w[k].heard, 1);
      assert_int_equal(w[k].verdict.code, codes[i]);
      if (codes[i] != WEIR_DELIVERED) assert_string_equal(w[k].msg, "said by the test");
      if (codes[i] == WEIR_RETRY) assert_int_equal(w[k].verdict.retry_after_ns, NS_PER_S);
    }
    harness_free(h);
  }
}

static void delivered_waits_for_all_pieces_of_a_request_that_was_cut(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 4, send_batch_max_size: 4, timeout: 1s}", 1);
  struct harness_waiter w = { 0 };
  harness_feed(h, harness_batch(h, 10, &w));
  harness_expect(h, "0 1 2 3", WEIR_DELIVERED);
  harness_expect(h, "4 5 6 7", WEIR_RETRY);
  assert_int_equal(w.heard, 0); /* two are still here */
  harness_advance(h, 1 * NS_PER_S);
  harness_expect(h, "8 9", WEIR_DELIVERED);
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  harness_free(h);
}

static void a_drain_sends_what_is_held_cut_as_ever(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 4, send_batch_max_size: 4, timeout: 1h}", 0);
  harness_feed(h, harness_batch(h, 2, NULL));
  harness_feed(h, harness_batch(h, 1, NULL));
  harness_drain(h);
  assert_int_equal(h->n_drained, 1);
  harness_expect(h, "0 1 0", WEIR_DELIVERED);
  assert_int_equal(h->n_emitted, 0);
  harness_free(h);
  h = open_batch(NULL, 0);
  harness_drain(h); /* nothing is held: nothing is sent */
  assert_int_equal(h->n_drained, 1);
  assert_int_equal(h->items_emitted, 0);
  assert_int_equal(h->n_emitted, 0);
  harness_free(h);
}

static void a_drain_answers_nobody_too_early_under_delivered(void **state) {
  (void)state;
  struct harness *h = open_batch("timeout: 1h", 1);
  struct harness_waiter w = { 0 };
  harness_feed(h, harness_batch(h, 2, &w));
  harness_drain(h);
  assert_int_equal(w.heard, 0);
  harness_expect(h, "0 1", WEIR_RETRY);
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  harness_free(h);
}

static void all_three_signals_are_merged_byte_for_byte(void **state) {
  (void)state;
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };
  for (size_t i = 0; i < 3; i++) {
    size_t n[2];
    struct harness *h = harness_new(WEIR_PROCESSOR, "batch", "send_batch_size: 7", signals[i]);
    char *p[2] = { harness_request(signals[i], 3, &n[0]), harness_request(signals[i], 4, &n[1]) };
    char *both = malloc(n[0] + n[1]);
    assert_non_null(both);
    memcpy(both, p[0], n[0]);
    memcpy(both + n[0], p[1], n[1]);
    for (size_t k = 0; k < 2; k++) harness_feed(h, harness_batch_bytes(h, signals[i], p[k], n[k], NULL));
    struct weir_batch *b = harness_take_emitted(h);
    assert_non_null(b);
    assert_int_equal(b->signal, signals[i]);
    assert_int_equal(b->items, 7);
    harness_same_bytes(b, both, n[0] + n[1]);
    harness_settle(h, b, WEIR_DELIVERED);
    free(p[0]);
    free(p[1]);
    free(both);
    harness_free(h);
  }
}

static void metrics_are_cut_by_data_points(void **state) {
  (void)state;
  struct harness *h = harness_new(WEIR_PROCESSOR, "batch", "{send_batch_size: 2, send_batch_max_size: 2}", WEIR_METRICS);
  harness_feed(h, harness_batch(h, 5, NULL)); /* five points of one gauge */
  harness_expect(h, "0 1", WEIR_DELIVERED);
  harness_expect(h, "2 3", WEIR_DELIVERED);
  harness_advance(h, 200 * MS);
  harness_expect(h, "4", WEIR_DELIVERED);
  harness_free(h);
}

static void another_branch_keeps_its_own_batch(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 4, send_batch_max_size: 4}", 1);
  struct harness_waiter w = { 0 };
  size_t n;
  char *p = harness_request(WEIR_TRACES, 6, &n);
  struct weir_batch *mine = harness_batch_bytes(h, WEIR_TRACES, p, n, &w), *theirs = batch_fork(mine);
  harness_feed(h, mine);
  harness_expect(h, "0 1 2 3", WEIR_DELIVERED);
  harness_same_bytes(theirs, p, n);
  harness_settle(h, theirs, WEIR_DELIVERED);
  assert_int_equal(w.heard, 0);
  harness_advance(h, 200 * MS);
  harness_expect(h, "4 5", WEIR_DELIVERED);
  assert_int_equal(w.heard, 1);
  free(p);
  harness_free(h);
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { "metadata_keys: [tenant, Tenant]", "metadata_keys: duplicate entry in metadata_keys: \"Tenant\" (case-insensitive)" },
    { "send_batch_max_size: 100", "send_batch_max_size: send_batch_max_size must be greater or equal to send_batch_size (8192)" },
    { "{send_batch_size: 10, send_batch_max_size: 9}", "send_batch_size (10); raise send_batch_max_size, lower send_batch_size" },
    { "timeout: -1s", "`timeout`" },
    { "send_batch_size: -1", "`send_batch_size`" },
    { "send_batch_sizes: 1", "did you mean `send_batch_size`?" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    harness_refuses(WEIR_PROCESSOR, "batch", WEIR_TRACES, cases[i].yaml, cases[i].text);
  harness_free(open_batch("{send_batch_size: 9, send_batch_max_size: 9, metadata_keys: [], metadata_cardinality_limit: 5}", 0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(requests_are_gathered_until_the_size_is_reached),
    cmocka_unit_test(what_is_there_goes_when_the_time_is_over),
    cmocka_unit_test(sizes_of_what_is_sent_are_counted),
    cmocka_unit_test(larger_batches_are_cut_to_the_largest_size),
    cmocka_unit_test(a_cut_goes_through_the_middle_of_a_request),
    cmocka_unit_test(without_a_size_or_a_time_every_request_goes_at_once),
    cmocka_unit_test(queued_answers_when_the_items_are_held),
    cmocka_unit_test(delivered_answers_everybody_with_what_became_of_the_batch),
    cmocka_unit_test(delivered_waits_for_all_pieces_of_a_request_that_was_cut),
    cmocka_unit_test(a_drain_sends_what_is_held_cut_as_ever),
    cmocka_unit_test(a_drain_answers_nobody_too_early_under_delivered),
    cmocka_unit_test(all_three_signals_are_merged_byte_for_byte),
    cmocka_unit_test(metrics_are_cut_by_data_points),
    cmocka_unit_test(another_branch_keeps_its_own_batch),
    cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
