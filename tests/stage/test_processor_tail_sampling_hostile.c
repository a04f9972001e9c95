/* Tail sampling under hostile input: traces of 100,000 spans, ids and tracestates that are none, ids made to collide, a pattern that backtracks. Bounded, counted, explained. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "harness.h"
#include "plugins/kit/bytes.h"

#define COUNTS "policies: [{name: some, type: span_count, span_count: {min_spans: 1, max_spans: 1000000}}]\n"
#define LARGE 100000u
#define PIECE_SPANS 2048u /* TS_STEP_SPANS */
#define A_BATCH 500u

/* --- spans made to measure ------------------------------------------------------------------------------------------------ */

struct made {
  const char *id; /* of the trace, id_n bytes */
  size_t id_n;
  uint64_t span; /* its parent is span 1 */
  const char *tracestate, *text; /* NULL: none; text: the attribute "text" */
  uint64_t load; /* bytes of an attribute that nobody asks for */
  int error;
};

static void put_attr(struct kit_bytes *out, const char *key, const char *value, size_t n) {
  size_t k = strlen(key);
  kit_put_len(out, 9, 1 + kit_varint_size(k) + k + 1 + kit_varint_size(1 + kit_varint_size(n) + n) + 1 + kit_varint_size(n) + n);
  kit_put_len(out, 1, k);
  kit_put(out, key, k);
  kit_put_len(out, 2, 1 + kit_varint_size(n) + n);
  kit_put_len(out, 1, n);
  kit_put(out, value, n);
}

static void put_load(struct kit_bytes *out, uint64_t from, uint64_t n) {
  char load[2000];
  for (uint64_t i = 0, x = from * 0x9e3779b97f4a7c15u; i < n; i++, x = x * 6364136223846793005u + 1442695040888963407u) load[i] = (char)('a' + (x >> 33) % 26);
  put_attr(out, "load", load, n);
}

static void put_span(struct kit_bytes *scope, struct made m) {
  struct kit_bytes s = { 0 };
  uint64_t root = 1, start = 1700000000000000000u, end = start + 1000000;
  kit_put_len(&s, 1, m.id_n), kit_put(&s, m.id, m.id_n);
  kit_put_len(&s, 2, 8), kit_put(&s, &m.span, 8);
  if (m.tracestate) kit_put_len(&s, 3, strlen(m.tracestate)), kit_put(&s, m.tracestate, strlen(m.tracestate));
  if (m.span != root) kit_put_len(&s, 4, 8), kit_put(&s, &root, 8);
  kit_put_len(&s, 5, 1), kit_put(&s, "n", 1);
  kit_put_char(&s, 7 << 3 | 1), kit_put(&s, &start, 8);
  kit_put_char(&s, 8 << 3 | 1), kit_put(&s, &end, 8);
  if (m.text) put_attr(&s, "text", m.text, strlen(m.text));
  if (m.load) put_load(&s, m.span, m.load);
  if (m.error) kit_put_len(&s, 15, 2), kit_put_char(&s, 3 << 3), kit_put_char(&s, 2);
  kit_put_len(scope, 2, s.n);
  kit_put(scope, s.p, s.n);
  kit_bytes_free(&s);
}

/* Feeds what was put, as one request. */
static void feed_spans(struct harness *h, struct kit_bytes *scope, struct harness_waiter *w) {
  struct kit_bytes all = { 0 };
  kit_put_len(&all, 1, 1 + kit_varint_size(scope->n) + scope->n);
  kit_put_len(&all, 2, scope->n);
  kit_put(&all, scope->p, scope->n);
  scope->n = 0;
  harness_feed(h, harness_batch_bytes(h, WEIR_TRACES, all.p, all.n, w));
  kit_bytes_free(&all);
}

static void feed(struct harness *h, struct made m) {
  struct kit_bytes scope = { 0 };
  put_span(&scope, m);
  feed_spans(h, &scope, NULL);
  kit_bytes_free(&scope);
}

static const char big[] = "a-large-trace-id"; /* 16 bytes */
#define BIG big, 16

static void feed_large(struct harness *h, uint64_t from, uint64_t n, uint64_t error_at, uint64_t load) {
  struct kit_bytes scope = { 0 };
  for (uint64_t i = from; i < from + n; i++) {
    put_span(&scope, (struct made){ BIG, i + 1, NULL, NULL, load, i + 1 == error_at });
    if ((i + 1 - from) % A_BATCH == 0 || i + 1 == from + n) feed_spans(h, &scope, NULL);
  }
  kit_bytes_free(&scope);
}

static struct harness *open_with(const char *yaml) { return harness_new(WEIR_PROCESSOR, "tail_sampling", yaml, WEIR_TRACES); }

static double dropped(struct harness *h, const char *reason) {
  char label[80];
  snprintf(label, sizeof label, "reason=\"%s\"", reason);
  return harness_metric(h, "weir_stage_items_dropped_total", label);
}

static double held(struct harness *h) { return harness_metric(h, "weir_stage_items_held", NULL); }
static double held_bytes(struct harness *h) { return harness_metric(h, "weir_tail_sampling_held_bytes", NULL); }

static void assert_says(struct harness *h, const char *id, const char *what) {
  char question[80] = "why trace_id=";
  for (int i = 0; i < 16; i++) snprintf(question + 13 + 2 * i, 3, "%02x", (unsigned char)id[i]);
  char *answer = harness_ask(h, question);
  if (!answer || !strstr(answer, what)) fail_msg("asked why, it said: %s", answer ? answer : "nothing");
  free(answer);
}

/* --- what came out -------------------------------------------------------------------------------------------------------- */

static uint8_t seen[LARGE + 1000];
static uint64_t n_seen, most_in_a_batch;

static void note(void *arg, const struct weir_rec *rec) {
  const struct weir_span *span = (const struct weir_span *)(const void *)rec;
  uint64_t number;
  (void)arg;
  memcpy(&number, span->span_id.p, 8);
  assert_true(number < sizeof seen);
  if (seen[number]++) fail_msg("span %llu came out twice", (unsigned long long)number);
  n_seen++;
}

static uint64_t take(struct harness *h) {
  uint64_t before = n_seen;
  for (struct weir_batch *b; (b = harness_take_emitted(h)) != NULL; harness_settle(h, b, WEIR_DELIVERED)) {
    if (b->items > most_in_a_batch) most_in_a_batch = b->items;
    harness_each(b, note, NULL);
  }
  return n_seen - before;
}

static void see_nothing(void) {
  memset(seen, 0, sizeof seen);
  n_seen = most_in_a_batch = 0;
}

/* The next timer alone: one step of the lane. 0: none is due up to then. */
static int one_step(struct harness *h, int64_t until) {
  struct loop *l = &h->loop;
  struct timer *t = l->n_heap ? l->heap[1] : NULL;
  if (!t || t->due_ns > until) return 0;
  if (t->due_ns > clock_mono_ns()) clock_advance(t->due_ns - clock_mono_ns());
  timer_cancel(l, t);
  t->fn(t->arg);
  return 1;
}

static int64_t in(int64_t ns) { return clock_mono_ns() + ns; }

/* --- a trace of 100,000 spans --------------------------------------------------------------------------------------------- */

static void test_a_large_trace_leaves_in_steps(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 10s\nmax_bytes: 200MiB\n" COUNTS);
  see_nothing();
  feed_large(h, 0, LARGE, 0, 350);
  assert_true(held(h) == LARGE);
  assert_true(held_bytes(h) > LARGE * 400.0 && held_bytes(h) < LARGE * 440.0 * 1.2);
  uint64_t steps = 0, most = 0;
  for (int64_t until = in(11 * NS_PER_S), before = 0, now; one_step(h, until); before = now) {
    now = (int64_t)h->items_emitted;
    steps += now > before;
    if ((uint64_t)(now - before) > most) most = (uint64_t)(now - before);
  }
  take(h);
  assert_int_equal(n_seen, LARGE);
  assert_true(most <= PIECE_SPANS && steps >= LARGE / PIECE_SPANS); /* a step is bounded, and so is a batch */
  assert_true(held(h) == 0 && held_bytes(h) < 20e6);
  assert_says(h, big, "kept by policy \"some\"");
  assert_says(h, big, "100000 spans");
  assert_true(harness_metric(h, "weir_tail_sampling_decisions_total", "when=\"wait\"") == 1);
  harness_free(h);
}

/* While it leaves, others come: the trace is decided from the first step on, and its late spans follow. */
static void test_late_spans_follow_a_trace_that_leaves(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 10s\nmax_bytes: 200MiB\n" COUNTS);
  see_nothing();
  feed_large(h, 0, 20000, 0, 350);
  int64_t until = in(11 * NS_PER_S);
  while (h->items_emitted == 0) assert_true(one_step(h, until));
  assert_true(h->items_emitted < 20000);
  feed_large(h, 20000, 3, 0, 350);
  take(h);
  assert_true(harness_metric(h, "otelcol_processor_tail_sampling_early_releases_from_cache_decision_total", "sampled=\"true\"") == 3);
  while (one_step(h, until)) continue;
  take(h);
  assert_int_equal(n_seen, 20003);
  harness_free(h);
}

/* The span that decided is found though it does not leave first, and the threshold of a later policy is written on all. */
static void test_a_large_trace_is_explained(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 10s\nmax_bytes: 200MiB\npolicies:\n  - {name: both, type: and, and: {and_sub_policy: [{name: e, type: status_code, status_code: {status_codes: [ERROR]}}, "
                                "{name: n, type: span_count, span_count: {min_spans: 1, max_spans: 1000000}}]}}\n");
  see_nothing();
  feed_large(h, 0, 9000, 0x1234, 350);
  harness_advance(h, 11 * NS_PER_S);
  take(h);
  assert_int_equal(n_seen, 9000);
  assert_true(most_in_a_batch <= PIECE_SPANS);
  assert_says(h, big, "at span 3412000000000000");
  harness_free(h);
}

static void test_a_large_trace_is_let_go(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 10s\nmax_bytes: 200MiB\npolicies:\n  - {name: never, type: drop, drop: {drop_sub_policy: [{name: e, type: status_code, status_code: {status_codes: [ERROR]}}, "
                                "{name: n, type: span_count, span_count: {min_spans: 1, max_spans: 1000000}}]}}\n");
  see_nothing();
  feed_large(h, 0, LARGE, 0x4321, 60);
  harness_advance(h, 11 * NS_PER_S);
  assert_int_equal(take(h), 0);
  assert_true(dropped(h, "drop_policy") == LARGE);
  assert_true(held_bytes(h) < 20e6);
  assert_says(h, big, "at span 2143000000000000");
  harness_free(h);
}

static void test_a_large_trace_is_compressed(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 10s\nmax_bytes: 12MiB\n" COUNTS);
  see_nothing();
  feed_large(h, 0, 20000, 0, 350);
  assert_true(harness_metric(h, "weir_tail_sampling_compressed_segments", NULL) > 4);
  for (int64_t until = in(11 * NS_PER_S); one_step(h, until);) continue;
  take(h);
  assert_int_equal(n_seen, 20000);
  assert_true(most_in_a_batch <= PIECE_SPANS);
  harness_free(h);
}

static void test_a_drain_ends_with_a_large_trace(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 1h\nmax_bytes: 200MiB\n" COUNTS);
  see_nothing();
  feed_large(h, 0, 20000, 0, 350);
  stage_drain(h->now);
  assert_true(one_step(h, in(NS_PER_S)));
  h->env.budget.limit = 1; /* no memory: it waits */
  for (int i = 0; i < 3; i++) assert_true(one_step(h, in(NS_PER_S)));
  assert_int_equal(h->n_drained, 0); /* not before all of it has left */
  h->env.budget.limit = 0;
  harness_advance(h, NS_PER_S);
  assert_int_equal(h->n_drained, 1);
  take(h);
  assert_int_equal(n_seen, 20000);
  assert_says(h, big, "kept by");
  harness_free(h);
}

static void test_a_reload_while_a_large_trace_leaves(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 10s\nmax_bytes: 200MiB\n" COUNTS);
  see_nothing();
  feed_large(h, 0, 20000, 0, 350);
  int64_t until = in(11 * NS_PER_S);
  while (h->items_emitted == 0) assert_true(one_step(h, until));
  uint64_t left = h->items_emitted;
  h->env.budget.limit = 1; /* no memory: it waits */
  assert_true(one_step(h, until));
  assert_true(h->items_emitted == left && left < 20000);
  harness_adopt(h, "decision_wait: 20s\nmax_bytes: 200MiB\npolicies: [{name: none, type: status_code, status_code: {status_codes: [ERROR]}}]\n");
  harness_advance(h, NS_PER_S);
  assert_true(h->items_emitted == left);
  h->env.budget.limit = 0;
  harness_advance(h, NS_PER_S);
  take(h);
  assert_int_equal(n_seen, 20000);
  assert_says(h, big, "kept by policy \"some\"");
  harness_free(h);
}

/* After a reload a large trace is read again in steps; a span that comes in the middle of that counts once, and the decision waits for the rest. */
static void test_a_reload_with_a_large_trace_undecided(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 10s\nmax_bytes: 200MiB\n" COUNTS);
  see_nothing();
  feed_large(h, 0, 20000, 0x77, 350);
  harness_adopt(h, "decision_wait: 10s\nmax_bytes: 200MiB\npolicies:\n  - {name: never, type: drop, drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: nothing, values: [x]}}]}}\n"
                   "  - {name: both, type: and, and: {and_sub_policy: [{name: e, type: status_code, status_code: {status_codes: [ERROR]}}, {name: n, type: span_count, span_count: {min_spans: 20001, max_spans: 20001}}]}}\n");
  feed_large(h, 20000, 1, 0, 350);
  assert_says(h, big, "undecided");
  harness_advance(h, 11 * NS_PER_S);
  take(h);
  assert_int_equal(n_seen, 20001);
  assert_says(h, big, "kept by policy \"both\"");
  assert_says(h, big, "20001 spans");
  harness_free(h);
}

/* maximum_trace_size_bytes is what keeps such a trace from taking the budget. */
static void test_a_large_trace_may_be_refused(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 10s\nmaximum_trace_size_bytes: 1000000\n" COUNTS);
  see_nothing();
  feed_large(h, 0, 20000, 0, 350);
  assert_true(held_bytes(h) < 4e6);
  assert_true(dropped(h, "trace_too_large") > 2000 && dropped(h, "trace_too_large") + dropped(h, "late") == 20000);
  assert_says(h, big, "dropped");
  harness_advance(h, 11 * NS_PER_S);
  assert_int_equal(take(h), 0);
  harness_free(h);
}

/* --- ids -------------------------------------------------------------------------------------------------------------------- */

static void test_ids_that_are_none(void **state) {
  (void)state;
  static const char zeros[16];
  struct harness *h = open_with("decision_wait: 1s\n" COUNTS);
  see_nothing();
  struct kit_bytes scope = { 0 };
  for (uint64_t i = 1; i <= 1000; i++) put_span(&scope, (struct made){ zeros, 16, i, NULL, NULL, 0, 0 });
  feed_spans(h, &scope, NULL);
  assert_true(dropped(h, "invalid_trace_id") == 1000);
  assert_true(held(h) == 0);
  kit_bytes_free(&scope);
  harness_free(h);
}

/* Of one byte: a receiver refuses them; those that come another way are counted as well. */
static void test_ids_of_one_byte(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 1s\n" COUNTS);
  struct harness_waiter w = { 0 };
  struct kit_bytes scope = { 0 };
  put_span(&scope, (struct made){ "x", 1, 1, NULL, NULL, 0, 0 });
  put_span(&scope, (struct made){ BIG, 2, NULL, NULL, 0, 0 });
  feed_spans(h, &scope, &w);
  assert_int_equal(w.heard, 1);
  assert_true(dropped(h, "invalid_trace_id") == 1);
  assert_true(held(h) == 1);
  kit_bytes_free(&scope);
  harness_free(h);
}

static double cpu_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* CPU of feeding 100,000 traces of one span each. */
static double flood(void make(uint64_t i, char id[16]), uint64_t *ret_held) {
  struct harness *h = open_with("decision_wait: 1h\nnum_traces: 1000000\nmax_bytes: 1GiB\n" COUNTS);
  struct kit_bytes scope = { 0 };
  double before = cpu_ms();
  for (uint64_t i = 0; i < 100000; i++) {
    char id[16];
    make(i, id);
    put_span(&scope, (struct made){ id, 16, 1, NULL, NULL, 0, 0 });
    if ((i + 1) % A_BATCH == 0) feed_spans(h, &scope, NULL);
  }
  double took = cpu_ms() - before;
  *ret_held = (uint64_t)harness_metric(h, "otelcol_processor_tail_sampling_sampling_traces_on_memory", NULL);
  kit_bytes_free(&scope);
  harness_drain(h);
  for (struct weir_batch *b; (b = harness_take_emitted(h)) != NULL;) harness_settle(h, b, WEIR_DELIVERED);
  harness_free(h);
  return took;
}

static void spread_ids(uint64_t i, char id[16]) {
  uint64_t v[2] = { (i + 1) * 0x9e3779b97f4a7c15u, (i + 7) * 0xbf58476d1ce4e5b9u };
  memcpy(id, v, 16);
}

/* The low half the same in all, the high half in steps of 2^40: every table that takes some bits of the id as they are has one bucket for them. */
static void flooding_ids(uint64_t i, char id[16]) {
  uint64_t v[2] = { (i + 1) << 40, 0x4141414141414141u };
  memcpy(id, v, 16);
}

static void test_ids_made_to_collide(void **state) {
  (void)state;
  uint64_t n_spread, n_flood;
  double spread = flood(spread_ids, &n_spread), flooded = flood(flooding_ids, &n_flood);
  assert_int_equal(n_spread, 100000);
  assert_int_equal(n_flood, 100000); /* none was taken for another */
  if (flooded > 3 * spread + 20) fail_msg("100,000 traces took %.0f ms of CPU, with ids made to collide %.0f ms", spread, flooded);
}

/* --- tracestate --------------------------------------------------------------------------------------------------------------- */

static void test_tracestates_that_do_not_parse(void **state) {
  (void)state;
  static const char *const bad[] = { "=", "a==b", "ot", "ot=th", "ot=th:0;th:1", "a=b,a=c", "ot=th:8,=d" }, *const odd[] = { "ot=th:zz", "ot=rv:1", "ot=th:0123456789abcdef0", ",,,,," };
  struct harness *h = open_with("decision_wait: 1s\npolicies: [{name: half, type: probabilistic, probabilistic: {sampling_percentage: 99.9999}}]\n");
  char huge[3001];
  memset(huge, 'a', 3000);
  huge[3000] = 0;
  see_nothing();
  size_t n = sizeof bad / sizeof *bad, n_odd = sizeof odd / sizeof *odd;
  for (uint64_t i = 0; i <= n + n_odd; i++) {
    char id[16];
    spread_ids(i + 100, id);
    feed(h, (struct made){ id, 16, i + 1, i < n ? bad[i] : i < n + n_odd ? odd[i - n] : huge, NULL, 0, 0 });
    double counted = harness_metric(h, "otelcol_processor_tail_sampling_count_spans_with_unparseable_tracestate_total", NULL);
    double expected = i < n ? (double)(i + 1) : (double)(n + (i == n + n_odd)); /* a th or rv that is no number is as if it were not there (kit/tracestate.h) */
    if (counted != expected) fail_msg("number %d: %.0f tracestates were counted", (int)i, counted);
  }
  harness_advance(h, 2 * NS_PER_S);
  assert_int_equal(take(h), n + n_odd + 1); /* what does not parse loses no span */
  harness_free(h);
}

/* --- a pattern that backtracks ------------------------------------------------------------------------------------------------- */

static void test_a_pattern_that_backtracks(void **state) {
  (void)state;
  struct harness *h = open_with("decision_wait: 1s\npolicies:\n  - {name: slow, type: string_attribute, string_attribute: {key: text, values: ['(a|b|ab)*[cd]'], enabled_regex_matching: true}}\n"
                                "  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}\n");
  char text[5001], id[16];
  for (int i = 0; i < 5000; i++) text[i] = "ab"[i % 2];
  text[5000] = 0;
  see_nothing();
  double before = cpu_ms(), spans = 20;
  for (uint64_t i = 0; i < (uint64_t)spans; i++) {
    spread_ids(i, id);
    feed(h, (struct made){ id, 16, i + 1, NULL, text, 0, i == 3 });
  }
  double each = (cpu_ms() - before) / spans;
  harness_advance(h, 2 * NS_PER_S);
  assert_int_equal(take(h), 1); /* the other policies go on */
  assert_true(harness_metric(h, "otelcol_processor_tail_sampling_sampling_policy_evaluation_error_total", NULL) == spans);
  assert_true(dropped(h, "not_sampled") == spans - 1);
  spread_ids(3, id);
  assert_says(h, id, "\"errors\"");
  spread_ids(4, id);
  assert_says(h, id, "no policy");
  if (each > 200) fail_msg("a span took %.1f ms of CPU", each); /* 1 to 2; without a limit it is years */
  harness_free(h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_large_trace_leaves_in_steps),
    cmocka_unit_test(test_late_spans_follow_a_trace_that_leaves),
    cmocka_unit_test(test_a_large_trace_is_explained),
    cmocka_unit_test(test_a_large_trace_is_let_go),
    cmocka_unit_test(test_a_large_trace_is_compressed),
    cmocka_unit_test(test_a_drain_ends_with_a_large_trace),
    cmocka_unit_test(test_a_reload_while_a_large_trace_leaves),
    cmocka_unit_test(test_a_reload_with_a_large_trace_undecided),
    cmocka_unit_test(test_a_large_trace_may_be_refused),
    cmocka_unit_test(test_ids_that_are_none),
    cmocka_unit_test(test_ids_of_one_byte),
    cmocka_unit_test(test_ids_made_to_collide),
    cmocka_unit_test(test_tracestates_that_do_not_parse),
    cmocka_unit_test(test_a_pattern_that_backtracks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
