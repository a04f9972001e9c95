/* The batch processor with metadata_keys: requests of different senders are gathered apart, and what is sent says whose it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness_auth.h"
#include "harness_check.h"

static struct harness *open_batch(const char *yaml) { return harness_new(WEIR_PROCESSOR, "batch", yaml, WEIR_TRACES); }

static void feed(struct harness *h, uint32_t n, const char *metadata, struct harness_waiter *w) {
  struct weir_batch *b = harness_batch(h, n, w);
  const struct weir_context *c = metadata ? harness_context(h, metadata, "username: ann\n") : NULL;
  batch_set_context(b, c);
  context_unref(c);
  harness_feed(h, b);
  harness_advance(h, NS_PER_MS); /* timers that are due at once come in any order */
}

/* The context of the oldest batch that was sent, as lines; "none". */
static void expect(struct harness *h, uint64_t items, const char *lines) {
  char text[1000] = "";
  size_t at = 0;
  struct weir_batch *b = harness_take_emitted(h);
  assert_non_null(b);
  assert_int_equal(b->items, items);
  for (uint32_t i = 0; b->context && i < b->context->n_metadata; i++) {
    const struct weir_pair *p = &b->context->metadata[i];
    at += (size_t)snprintf(text + at, sizeof text - at, "%.*s: %.*s\n", (int)p->name.n, p->name.p, (int)p->value.n, p->value.p);
  }
  if (b->context) assert_int_equal(b->context->n_auth, 0);
  assert_string_equal(b->context ? text : "none", lines);
  harness_settle(h, b, WEIR_DELIVERED);
}

static void each_combination_is_gathered_apart(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 4, timeout: 1s, metadata_keys: [X-Tenant, zone]}");
  feed(h, 2, "x-tenant: a\nother: 1\n", NULL);
  feed(h, 2, "x-tenant: b\nother: 1\n", NULL);
  feed(h, 2, "x-tenant: a\nzone: z\n", NULL);
  assert_int_equal(h->n_emitted, 0);
  feed(h, 2, "x-tenant: a\nother: 2\n", NULL); /* what is no key keeps nothing apart, and is not sent on */
  assert_int_equal(h->n_emitted, 1);
  expect(h, 4, "x-tenant: a\n");
  harness_advance(h, NS_PER_S);
  assert_int_equal(h->n_emitted, 2);
  expect(h, 2, "x-tenant: b\n");
  expect(h, 2, "x-tenant: a\nzone: z\n");
  assert_true(harness_metric(h, "otelcol_processor_batch_metadata_cardinality", NULL) == 3);
  harness_free(h);
}

static void each_has_its_own_timer(void **state) {
  (void)state;
  struct harness *h = open_batch("{timeout: 1s, metadata_keys: [t]}");
  feed(h, 1, "t: a\n", NULL);
  harness_advance(h, NS_PER_S / 2);
  feed(h, 1, "t: b\n", NULL);
  harness_advance(h, NS_PER_S / 2);
  assert_int_equal(h->n_emitted, 1);
  expect(h, 1, "t: a\n");
  harness_advance(h, NS_PER_S / 2);
  expect(h, 1, "t: b\n");
  harness_free(h);
}

static void none_one_empty_and_several_values_differ(void **state) {
  (void)state;
  struct harness *h = open_batch("{timeout: 1s, metadata_keys: [t, u]}");
  feed(h, 1, NULL, NULL);
  feed(h, 2, "other: a\n", NULL); /* as without a context */
  feed(h, 1, "t: \n", NULL);
  feed(h, 1, "t: a\n", NULL);
  feed(h, 1, "t: a\nt: b\n", NULL);
  feed(h, 1, "t: b\nt: a\n", NULL);
  feed(h, 1, "t: ab\n", NULL);
  feed(h, 1, "u: a\n", NULL);
  harness_advance(h, NS_PER_S);
  expect(h, 3, "");
  expect(h, 1, "t: \n");
  expect(h, 1, "t: a\n");
  expect(h, 1, "t: a\nt: b\n");
  expect(h, 1, "t: b\nt: a\n");
  expect(h, 1, "t: ab\n");
  expect(h, 1, "u: a\n");
  assert_true(harness_metric(h, "otelcol_processor_batch_metadata_cardinality", NULL) == 7);
  harness_free(h);
}

static void further_combinations_are_refused(void **state) {
  (void)state;
  struct harness_waiter w = { 0 };
  struct harness *h = open_batch("{timeout: 1s, metadata_keys: [t], metadata_cardinality_limit: 2}");
  feed(h, 1, "t: a\n", NULL);
  feed(h, 1, "t: b\n", NULL);
  harness_advance(h, NS_PER_S);
  expect(h, 1, "t: a\n");
  expect(h, 1, "t: b\n");
  feed(h, 3, "t: c\n", &w); /* the others are idle, and still count */
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_REJECTED);
  assert_string_equal(w.msg, "too many batcher metadata-value combinations");
  feed(h, 1, "t: a\n", NULL);
  harness_advance(h, NS_PER_S);
  expect(h, 1, "t: a\n");
  assert_true(harness_metric(h, "weir_stage_items_refused_total", NULL) == 3);
  harness_free(h);
}

static void zero_is_no_limit(void **state) {
  (void)state;
  struct harness *h = open_batch("{timeout: 1h, metadata_keys: [t], metadata_cardinality_limit: 0}");
  for (int i = 0; i < 1500; i++) {
    char line[32];
    snprintf(line, sizeof line, "t: %d\n", i);
    feed(h, 1, line, NULL);
  }
  assert_true(harness_metric(h, "otelcol_processor_batch_metadata_cardinality", NULL) == 1500);
  harness_drain(h);
  for (int i = 0; i < 1500; i++) harness_settle(h, harness_take_emitted(h), WEIR_DELIVERED);
  harness_free(h);
}

static void without_room_for_a_new_one_the_request_may_come_again(void **state) {
  (void)state;
  struct harness_setup s = { .role = WEIR_PROCESSOR, .type = "batch", .yaml = "{timeout: 1s, metadata_keys: [t]}", .budget_bytes = 4u << 20 };
  struct harness *h = harness_open(&s);
  struct harness_waiter w = { 0 };
  struct weir_batch *b = harness_batch(h, 1, &w);
  uint64_t taken = harness_exhaust(h);
  harness_feed(h, b);
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  budget_give(&h->env.budget, taken);
  harness_free(h);
}

static void cuts_carry_it_and_a_drain_sends_all(void **state) {
  (void)state;
  struct harness *h = open_batch("{send_batch_size: 2, send_batch_max_size: 2, timeout: 1h, metadata_keys: [t]}");
  feed(h, 3, "t: a\n", NULL);
  expect(h, 2, "t: a\n");
  feed(h, 1, "t: b\n", NULL);
  harness_drain(h);
  assert_int_equal(h->n_emitted, 2);
  expect(h, 1, "t: b\n");
  expect(h, 1, "t: a\n");
  harness_free(h);
}

static void without_keys_nothing_is_known_of_the_senders(void **state) {
  (void)state;
  struct harness *h = open_batch("timeout: 1s");
  feed(h, 1, "t: a\n", NULL);
  harness_advance(h, NS_PER_S);
  expect(h, 1, "none"); /* also when all were of one */
  assert_true(harness_metric(h, "otelcol_processor_batch_metadata_cardinality", NULL) == 1);
  harness_free(h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_combination_is_gathered_apart),
    cmocka_unit_test(each_has_its_own_timer),
    cmocka_unit_test(none_one_empty_and_several_values_differ),
    cmocka_unit_test(further_combinations_are_refused),
    cmocka_unit_test(zero_is_no_limit),
    cmocka_unit_test(without_room_for_a_new_one_the_request_may_come_again),
    cmocka_unit_test(cuts_carry_it_and_a_drain_sends_all),
    cmocka_unit_test(without_keys_nothing_is_known_of_the_senders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
