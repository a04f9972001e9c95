/* The tail_sampling processor: what is kept, when, and what becomes of the rest. Policies by themselves: tests/unit/processors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

#define ERRORS "policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]\n"
#define ALL "policies: [{name: all, type: always_sample}]\n"

/* --- traces made to measure ------------------------------------------------------------------------------------------------------- */

struct made {
  unsigned trace, span, parent; /* parent 0: a root */
  int error, ms;
  const char *attributes; /* JSON of the list's inside; NULL: none */
  const char *tracestate;
};

static const char *hex_trace(unsigned trace, char *buf) {
  snprintf(buf, 33, "%08x%08x%08x%08x", 0xabcdef01u, trace * 2654435761u, trace, trace * 40503u + 7u);
  return buf;
}

static void feed_with(struct harness *h, struct made m, struct harness_waiter *w) {
  char text[1500], parent[60] = "", id[33];
  if (m.parent) snprintf(parent, sizeof parent, "\"parentSpanId\":\"%016x\",", m.parent);
  snprintf(text, sizeof text,
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"s\"},\"spans\":[{"
    "\"traceId\":\"%s\",\"spanId\":\"%016x\",%s\"traceState\":\"%s\",\"name\":\"n\",\"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":\"%lld\","
    "\"attributes\":[%s],\"status\":{\"code\":%d}}]}]}]}",
    hex_trace(m.trace, id), m.span, parent, m.tracestate ? m.tracestate : "", 1700000000000000000LL + (long long)m.ms * 1000000, m.attributes ? m.attributes : "", m.error ? 2 : 0);
  harness_feed(h, harness_batch_json(h, text, w));
}

static void feed(struct harness *h, struct made m) { feed_with(h, m, NULL); }

static struct harness *open_with(const char *yaml) { return harness_new(WEIR_PROCESSOR, "tail_sampling", yaml, WEIR_TRACES); }

static uint64_t take_all(struct harness *h) {
  uint64_t n = 0;
  for (struct weir_batch *b; (b = harness_take_emitted(h)) != NULL;) {
    n += b->items;
    harness_settle(h, b, WEIR_DELIVERED);
  }
  return n;
}

static double dropped(struct harness *h, const char *reason) {
  char label[80];
  snprintf(label, sizeof label, "reason=\"%s\"", reason);
  return harness_metric(h, "weir_stage_items_dropped_total", label);
}

/* --- the wait --------------------------------------------------------------------------------------------------------------------- */

static void test_kept_and_dropped_as_a_whole(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 10s\npolicies: [{name: slow, type: latency, latency: {threshold_ms: 500, upper_threshold_ms: 100000}}]\n");
  struct harness_waiter w = { 0 };
  feed_with(h, (struct made){ .trace = 1, .span = 1, .ms = 10 }, &w);
  assert_int_equal(w.heard, 1); /* answered when held */
  assert_int_equal(w.verdict.code, WEIR_DELIVERED);
  feed(h, (struct made){ .trace = 2, .span = 2, .ms = 10 });
  feed(h, (struct made){ .trace = 1, .span = 3, .parent = 1, .ms = 800 });
  harness_advance(h, 9 * NS_PER_S);
  assert_int_equal(take_all(h), 0);
  assert_true(harness_metric(h, "weir_stage_items_held", NULL) == 3);
  harness_advance(h, 2 * NS_PER_S);
  assert_int_equal(take_all(h), 2);
  assert_true(dropped(h, "not_sampled") == 1);
  assert_true(harness_metric(h, "otelcol_processor_tail_sampling_global_count_traces_sampled_total", "sampled=\"true\"") == 1);
  assert_true(harness_metric(h, "otelcol_processor_tail_sampling_global_count_traces_sampled_total", "decision=\"not_sampled\"") == 1);
  assert_true(harness_metric(h, "weir_tail_sampling_held_spans", NULL) == 0);
  harness_free(h);
}

static void test_late_spans_follow(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 1s\n" ERRORS);
  feed(h, (struct made){ .trace = 1, .span = 1, .error = 1 });
  feed(h, (struct made){ .trace = 2, .span = 2 });
  harness_advance(h, 2 * NS_PER_S);
  assert_int_equal(take_all(h), 1);
  feed(h, (struct made){ .trace = 1, .span = 3, .parent = 1 });
  feed(h, (struct made){ .trace = 2, .span = 4, .parent = 2, .error = 1 });
  assert_int_equal(take_all(h), 1); /* at once */
  harness_advance(h, 2 * NS_PER_S);
  assert_int_equal(take_all(h), 0);
  assert_true(dropped(h, "late") == 1);
  harness_free(h);
}

static void test_settled_traces_stream_through(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 100s\n" ERRORS);
  feed(h, (struct made){ .trace = 1, .span = 1 });
  assert_int_equal(take_all(h), 0);
  feed(h, (struct made){ .trace = 1, .span = 2, .parent = 1, .error = 1 });
  assert_int_equal(take_all(h), 2);
  feed(h, (struct made){ .trace = 1, .span = 3, .parent = 1 });
  assert_int_equal(take_all(h), 1);
  assert_true(harness_metric(h, "weir_tail_sampling_decisions_total", "when=\"settled\"") == 1);
  harness_free(h);
}

/* A root that has not come yet says nothing of the wait when the trace did not have to wait. */
static void test_rootless_is_who_waited(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 2s\n" ERRORS);
  feed(h, (struct made){ .trace = 1, .span = 2, .parent = 1, .error = 1 });
  feed(h, (struct made){ .trace = 2, .span = 3, .parent = 9 });
  harness_advance(h, 3 * NS_PER_S);
  assert_int_equal(take_all(h), 1);
  assert_true(harness_metric(h, "weir_tail_sampling_traces_without_root_total", NULL) == 1);
  harness_free(h);
}

static void test_root_brings_the_decision_forward(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 30s\ndecision_wait_after_root_received: 2s\npolicies: [{name: few, type: span_count, span_count: {min_spans: 1, max_spans: 5}}]\n");
  feed(h, (struct made){ .trace = 1, .span = 2, .parent = 1 });
  feed(h, (struct made){ .trace = 2, .span = 3, .parent = 9 });
  harness_advance(h, 5 * NS_PER_S);
  assert_int_equal(take_all(h), 0);
  feed(h, (struct made){ .trace = 1, .span = 1 });
  harness_advance(h, 3 * NS_PER_S);
  assert_int_equal(take_all(h), 2);
  harness_advance(h, 30 * NS_PER_S);
  assert_int_equal(take_all(h), 1);
  assert_true(harness_metric(h, "weir_tail_sampling_traces_without_root_total", NULL) == 1);
  harness_free(h);
}

/* --- limits ------------------------------------------------------------------------------------------------------------------------ */

static void test_num_traces_decides_the_oldest(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 30s\nnum_traces: 2\npolicies: [{name: few, type: span_count, span_count: {min_spans: 2, max_spans: 5}}]\n");
  feed(h, (struct made){ .trace = 1, .span = 1 });
  feed(h, (struct made){ .trace = 1, .span = 2, .parent = 1 });
  feed(h, (struct made){ .trace = 2, .span = 3 });
  feed(h, (struct made){ .trace = 3, .span = 4 });
  assert_int_equal(take_all(h), 2); /* trace 1: as it was then */
  feed(h, (struct made){ .trace = 4, .span = 5 });
  assert_int_equal(take_all(h), 0);
  assert_true(dropped(h, "num_traces") == 1);
  harness_free(h);
}

static void test_num_traces_as_the_collector(void **state) {
  (void)state;
  struct harness *h = open_with("semantics: collector\ndecision_wait: 2s\nnum_traces: 2\n" ALL);
  feed(h, (struct made){ .trace = 1, .span = 1 });
  feed(h, (struct made){ .trace = 2, .span = 2 });
  feed(h, (struct made){ .trace = 3, .span = 3 });
  assert_true(dropped(h, "num_traces") == 1);
  harness_advance(h, 4 * NS_PER_S);
  assert_int_equal(take_all(h), 2);
  feed(h, (struct made){ .trace = 2, .span = 4, .parent = 2 }); /* decided, no cache: still known */
  assert_int_equal(take_all(h), 1);
  harness_free(h);
}

static void test_block_on_overflow_evicts_nothing(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 2s\nnum_traces: 2\nblock_on_overflow: true\npolicies: [{name: few, type: span_count, span_count: {min_spans: 2, max_spans: 5}}]\n");
  struct harness_waiter w = { 0 };
  char text[2000] = "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[", id[33];
  for (unsigned i = 1; i <= 4; i++) snprintf(text + strlen(text), 200, "%s{\"traceId\":\"%s\",\"spanId\":\"%016x\",\"name\":\"n\"}", i > 1 ? "," : "", hex_trace(i, id), i);
  harness_feed(h, harness_batch_json(h, strcat(text, "]}]}]}"), NULL)); /* all of a batch, or nothing */
  assert_true(dropped(h, "not_sampled") == 0 && harness_metric(h, "weir_stage_items_held", NULL) == 4);
  feed_with(h, (struct made){ .trace = 1, .span = 9, .parent = 1 }, &w);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  harness_advance(h, 3 * NS_PER_S);
  assert_true(dropped(h, "not_sampled") == 4);
  harness_free(h);
}

static void test_a_trace_too_large(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 2s\nmaximum_trace_size_bytes: 200\npolicies: [{name: few, type: span_count, span_count: {min_spans: 1, max_spans: 500}}]\n");
  for (unsigned i = 1; i < 6; i++) feed(h, (struct made){ .trace = 1, .span = i });
  feed(h, (struct made){ .trace = 2, .span = 9 });
  harness_advance(h, 3 * NS_PER_S);
  assert_int_equal(take_all(h), 1);
  assert_true(dropped(h, "trace_too_large") >= 2);
  assert_true(dropped(h, "trace_too_large") + dropped(h, "late") == 5);
  assert_true(harness_metric(h, "otelcol_processor_tail_sampling_traces_dropped_too_large_total", NULL) == 1);
  harness_free(h);
}

static void test_ids_that_are_none(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 1s\n" ALL);
  harness_feed(h, harness_batch_json(h, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"spanId\":\"0000000000000001\",\"name\":\"a\"},{\"traceId\":\"00000000000000000000000000000000\",\"name\":\"b\"}]}]}]}", NULL));
  assert_true(dropped(h, "invalid_trace_id") == 2);
  harness_advance(h, 2 * NS_PER_S);
  assert_int_equal(take_all(h), 0);
  harness_free(h);
}

static int feed_noise(struct harness *h, unsigned trace, unsigned span) {
  char attribute[700] = "{\"key\":\"k\",\"value\":{\"stringValue\":\"";
  size_t n = strlen(attribute);
  uint64_t x = span * 0x9e3779b97f4a7c15u + 1;
  struct harness_waiter w = { 0 };
  for (size_t k = 0; k < 600; k++) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    attribute[n + k] = (char)('A' + (x >> 33) % 57 % (k % 3 ? 57 : 7));
    if (attribute[n + k] == '\\') attribute[n + k] = '-';
  }
  strcpy(attribute + n + 600, "\"}}");
  feed_with(h, (struct made){ .trace = trace, .span = span, .attributes = attribute }, &w);
  return w.verdict.code == WEIR_RETRY;
}

/* More than max_bytes of undecided traces: compressed from half of it on, new ones thinned out, and in the end senders pushed back. */
static void test_the_ladder(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 100s\nnum_traces: 1000000\nmax_bytes: 2MiB\npolicies: [{name: few, type: span_count, span_count: {min_spans: 1, max_spans: 50000}}]\n");
  int refused = 0;
  for (unsigned i = 1; i < 8000 && !refused; i++) refused = feed_noise(h, i, i);
  assert_true(harness_metric(h, "weir_tail_sampling_compressed_segments", NULL) > 0);
  assert_true(harness_metric(h, "weir_tail_sampling_shed_traces_total", NULL) > 0);
  for (unsigned i = 10000; i < 20000 && !refused; i++) refused = feed_noise(h, 1 + i % 20, i); /* traces that are held already are not thinned out */
  assert_true(refused);
  assert_true(harness_metric(h, "weir_tail_sampling_held_bytes", NULL) < 2.6 * 1024 * 1024);
  double held = harness_metric(h, "weir_stage_items_held", NULL);
  harness_advance(h, 101 * NS_PER_S);
  assert_true((double)take_all(h) == held);
  assert_true(harness_metric(h, "weir_tail_sampling_held_bytes", NULL) < 256 * 1024);
  assert_false(feed_noise(h, 100000, 1)); /* what is kept for use again is no reason to refuse or thin out */
  assert_true(harness_metric(h, "weir_stage_items_held", NULL) == 1);
  harness_free(h);
}

/* --- thresholds -------------------------------------------------------------------------------------------------------------------- */

struct states {
  int n;
  char text[8][80];
};

static void note_state(void *arg, const struct weir_rec *rec) {
  struct states *s = arg;
  const struct weir_span *span = (const struct weir_span *)(const void *)rec;
  if (s->n < 8) snprintf(s->text[s->n++], 80, "%.*s", (int)span->trace_state.n, span->trace_state.p);
}

static void test_thresholds_are_written_and_never_lowered(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 1s\npolicies: [{name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}]\n");
  struct states s = { 0 };
  feed(h, (struct made){ .trace = 1, .span = 1, .tracestate = "ot=rv:ffffffffffffff,v=1" });
  feed(h, (struct made){ .trace = 2, .span = 2, .tracestate = "ot=th:c;rv:ffffffffffffff" });
  feed(h, (struct made){ .trace = 3, .span = 3, .tracestate = "ot=rv:00000000000001" });
  harness_advance(h, 2 * NS_PER_S);
  for (struct weir_batch *b; (b = harness_take_emitted(h)) != NULL; harness_settle(h, b, WEIR_DELIVERED)) harness_each(b, note_state, &s);
  assert_int_equal(s.n, 2);
  assert_string_equal(s.text[0], "ot=rv:ffffffffffffff;th:8,v=1");
  assert_string_equal(s.text[1], "ot=th:c;rv:ffffffffffffff");
  harness_free(h);
}

/* --- the end ----------------------------------------------------------------------------------------------------------------------- */

static void test_drain_decides_what_is_there(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 30s\npolicies: [{name: few, type: span_count, span_count: {min_spans: 1, max_spans: 5}}]\n");
  for (unsigned i = 1; i <= 1000; i++) feed(h, (struct made){ .trace = i, .span = i });
  harness_drain(h);
  assert_int_equal(h->n_drained, 1);
  assert_int_equal(take_all(h), 1000);
  harness_free(h);
}

static void test_drain_may_drop(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 30s\ndrop_pending_traces_on_shutdown: true\npolicies: [{name: few, type: span_count, span_count: {min_spans: 1, max_spans: 5}}]\n");
  for (unsigned i = 1; i <= 10; i++) feed(h, (struct made){ .trace = i, .span = i });
  harness_drain(h);
  assert_int_equal(take_all(h), 0);
  assert_true(dropped(h, "shutdown") == 10);
  harness_free(h);
}

/* --- why, and reload ---------------------------------------------------------------------------------------------------------------- */

static void assert_says(struct harness *h, unsigned trace, const char *what) {
  char question[80], id[33];
  snprintf(question, sizeof question, "why trace_id=%s", hex_trace(trace, id));
  char *answer = harness_ask(h, question);
  if (!strstr(answer, what)) fail_msg("asked why, it said: %s", answer);
  free(answer);
}

static void test_why(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 5s\npolicies:\n  - {name: probes, type: drop, drop: {drop_sub_policy: [{name: p, type: string_attribute, string_attribute: {key: url.path, values: [/healthz]}}]}}\n"
                                "  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}\n");
  feed(h, (struct made){ .trace = 1, .span = 0x11 });
  feed(h, (struct made){ .trace = 1, .span = 0x12, .parent = 0x11, .error = 1 });
  feed(h, (struct made){ .trace = 2, .span = 0x21, .parent = 0x20 });
  feed(h, (struct made){ .trace = 3, .span = 0x31, .attributes = "{\"key\":\"url.path\",\"value\":{\"stringValue\":\"/healthz\"}}" });
  assert_says(h, 1, "undecided");
  harness_advance(h, 6 * NS_PER_S);
  assert_int_equal(take_all(h), 2);
  assert_says(h, 1, "kept by policy \"errors\"");
  assert_says(h, 1, "at span 0000000000000012");
  assert_says(h, 2, "no policy");
  assert_says(h, 2, "1 parent missing");
  assert_says(h, 3, "\"probes\"");
  harness_free(h);
}

static void test_reload_keeps_traces_and_asks_the_new_policies(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 30s\n" ERRORS);
  for (unsigned i = 1; i <= 300; i++) feed(h, (struct made){ .trace = i, .span = i, .ms = i <= 100 ? 900 : 1 });
  harness_advance(h, 10 * NS_PER_S);
  harness_adopt(h, "decision_wait: 20s\npolicies: [{name: slow, type: latency, latency: {threshold_ms: 500, upper_threshold_ms: 1000}}, {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]\n");
  assert_true(harness_metric(h, "weir_stage_items_held", NULL) == 300);
  feed(h, (struct made){ .trace = 200, .span = 1000, .parent = 200, .error = 1, .ms = 1 });
  harness_advance(h, 11 * NS_PER_S);
  assert_int_equal(take_all(h), 102);
  assert_true(dropped(h, "not_sampled") == 199);
  assert_says(h, 5, "\"slow\"");
  harness_free(h);
}

/* The way from the Go processor: what was decided there and stayed known is remembered, and judged no second time. */
static void test_reload_from_collector_to_strict(void **state) {
  (void)state;
  struct harness *h = open_with("semantics: collector\ndecision_wait: 1s\nnum_traces: 3\n" ERRORS);
  for (unsigned i = 1; i <= 3; i++) feed(h, (struct made){ .trace = i, .span = i, .error = i == 1 });
  harness_advance(h, 4 * NS_PER_S);
  assert_int_equal(take_all(h), 1);
  harness_adopt(h, "decision_wait: 1s\nnum_traces: 3\n" ERRORS);
  for (unsigned i = 11; i <= 15; i++) feed(h, (struct made){ .trace = i, .span = i });
  harness_advance(h, 2 * NS_PER_S);
  assert_true(dropped(h, "not_sampled") == 5 && dropped(h, "num_traces") == 2);
  assert_true(harness_metric(h, "otelcol_processor_tail_sampling_sampling_traces_on_memory", NULL) == 0);
  feed(h, (struct made){ .trace = 1, .span = 4, .parent = 1 });
  feed(h, (struct made){ .trace = 2, .span = 5, .parent = 2, .error = 1 });
  feed(h, (struct made){ .trace = 11, .span = 6, .parent = 11, .error = 1 });
  assert_int_equal(take_all(h), 1);
  assert_true(dropped(h, "late") == 2);
  harness_free(h);
}

/* There is room for the trace, but not for it and a copy to read: what was counted stays true. */
static void test_reload_without_memory(void **state) {
  (void)state;
  struct harness *h = harness_open(&(struct harness_setup){ .role = WEIR_PROCESSOR, .type = "tail_sampling", .signal = WEIR_TRACES, .budget_bytes = 4u << 20,
    .yaml = "decision_wait: 30s\nmax_bytes: 100MiB\npolicies: [{name: few, type: span_count, span_count: {min_spans: 2, max_spans: 50000}}]\n" });
  unsigned n = 3000;
  for (unsigned i = 1; i <= n; i++) assert_false(feed_noise(h, 1, i));
  harness_adopt(h, "decision_wait: 20s\nmax_bytes: 100MiB\npolicies: [{name: many, type: span_count, span_count: {min_spans: 1000, max_spans: 50000}}]\n");
  assert_true(harness_metric(h, "weir_stage_items_held", NULL) == n);
  harness_advance(h, 21 * NS_PER_S);
  uint64_t out = take_all(h);
  for (int i = 0; i < 10 && out < n; i++, out += take_all(h)) harness_advance(h, NS_PER_S); /* in pieces, as those before give their memory back */
  assert_int_equal(out, n);
  harness_free(h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_kept_and_dropped_as_a_whole),
    cmocka_unit_test(test_late_spans_follow),
    cmocka_unit_test(test_settled_traces_stream_through),
    cmocka_unit_test(test_rootless_is_who_waited),
    cmocka_unit_test(test_root_brings_the_decision_forward),
    cmocka_unit_test(test_num_traces_decides_the_oldest),
    cmocka_unit_test(test_num_traces_as_the_collector),
    cmocka_unit_test(test_block_on_overflow_evicts_nothing),
    cmocka_unit_test(test_a_trace_too_large),
    cmocka_unit_test(test_ids_that_are_none),
    cmocka_unit_test(test_the_ladder),
    cmocka_unit_test(test_thresholds_are_written_and_never_lowered),
    cmocka_unit_test(test_drain_decides_what_is_there),
    cmocka_unit_test(test_drain_may_drop),
    cmocka_unit_test(test_why),
    cmocka_unit_test(test_reload_keeps_traces_and_asks_the_new_policies),
    cmocka_unit_test(test_reload_from_collector_to_strict),
    cmocka_unit_test(test_reload_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
