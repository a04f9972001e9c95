/*
 * What holds for tail sampling whatever comes: spans are conserved, traces are kept whole or not at all, the order of spans, their grouping into batches and the order of
 * fields on the wire change no decision, and thresholds count what was there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"
#include "plugins/kit/bytes.h"

#define TRACES 120u
#define SPANS_MAX 12u

/* --- inputs --------------------------------------------------------------------------------------------------------------------------- */

static uint64_t seed, salt;

static uint32_t roll(uint32_t n) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33) % n;
}

struct one {
  uint32_t trace, number; /* number: 0 is the root */
  uint32_t service, status, route;
  uint64_t start_ms, took_ms;
};

static struct one spans[TRACES * SPANS_MAX];
static uint32_t n_spans, sizes[TRACES];

static void make_spans(uint64_t from) {
  seed = from;
  salt = from * 0xbf58476d1ce4e5b9u;
  n_spans = 0;
  for (uint32_t t = 0; t < TRACES; t++) {
    sizes[t] = 1 + roll(SPANS_MAX);
    for (uint32_t i = 0; i < sizes[t]; i++)
      spans[n_spans++] = (struct one){ t, i, roll(4), roll(25) ? 0 : 2, roll(6), roll(300), roll(20) ? roll(100) : 400 + roll(400) };
  }
}

static void shuffle(void) {
  for (uint32_t i = n_spans; i > 1; i--) {
    uint32_t k = roll(i);
    struct one tmp = spans[i - 1];
    spans[i - 1] = spans[k];
    spans[k] = tmp;
  }
}

static void id_of(uint32_t trace, char id[16]) {
  uint64_t v[2] = { trace * 0x9e3779b97f4a7c15u + 77, (trace + 1 + salt) * 0xff51afd7ed558ccdu };
  v[1] ^= v[1] >> 32;
  v[1] *= 0xc4ceb9fe1a85ec53u;
  memcpy(id, v, 16);
}

static void put_attr(struct kit_bytes *out, uint32_t number, const char *key, const char *value) {
  size_t k = strlen(key), v = strlen(value);
  kit_put_len(out, number, 2 + k + 2 + 2 + v);
  kit_put_len(out, 1, k);
  kit_put(out, key, k);
  kit_put_len(out, 2, 2 + v);
  kit_put_len(out, 1, v);
  kit_put(out, value, v);
}

static void put_fixed(struct kit_bytes *out, uint32_t number, uint64_t v) {
  kit_put_char(out, (char)(number << 3 | 1));
  kit_put(out, &v, 8);
}

/* Fields of a span one by one, so that they can come in either order. */
static void put_span_field(struct kit_bytes *out, const struct one *s, int field) {
  static const char *const routes[] = { "/", "/cart", "/pay", "/healthz", "/search", "/login" };
  char id[16];
  uint64_t own = (uint64_t)s->trace << 16 | (s->number + 1), parent = (uint64_t)s->trace << 16 | 1, start = 1700000000000000000u + s->start_ms * 1000000;
  if (field == 0) id_of(s->trace, id), kit_put_len(out, 1, 16), kit_put(out, id, 16);
  if (field == 1) kit_put_len(out, 2, 8), kit_put(out, &own, 8);
  if (field == 2 && s->number) kit_put_len(out, 4, 8), kit_put(out, &parent, 8);
  if (field == 3) kit_put_len(out, 5, 4), kit_put(out, "work", 4);
  if (field == 4) put_fixed(out, 7, start);
  if (field == 5) put_fixed(out, 8, start + s->took_ms * 1000000);
  if (field == 6) put_attr(out, 9, "route", routes[s->route]);
  if (field == 7 && s->status) kit_put_len(out, 15, 2), kit_put_char(out, 3 << 3), kit_put_char(out, (char)s->status);
}

static void put_sub(struct kit_bytes *out, uint32_t number, struct kit_bytes *inner) {
  kit_put_len(out, number, inner->n);
  kit_put(out, inner->p, inner->n);
  inner->n = 0;
}

/* One ResourceSpans for each span; `down`: fields in descending order, as the Go SDK writes them. */
static void put_request(struct kit_bytes *out, const struct one *s, int down) {
  static const char *const services[] = { "shop", "bank", "mail", "search" };
  struct kit_bytes span = { 0 }, scope = { 0 }, resource = { 0 }, all = { 0 };
  for (int f = 0; f < 8; f++) put_span_field(&span, s, down ? 7 - f : f);
  put_sub(&scope, 2, &span);
  put_attr(&resource, 1, "service.name", services[s->service]);
  for (int f = 0; f < 2; f++)
    if (f == down) put_sub(&all, 1, &resource);
    else put_sub(&all, 2, &scope);
  put_sub(out, 1, &all);
  kit_bytes_free(&span);
  kit_bytes_free(&scope);
  kit_bytes_free(&resource);
  kit_bytes_free(&all);
}

/* --- outcomes ------------------------------------------------------------------------------------------------------------------------- */

struct outcome {
  uint32_t kept[TRACES];
  double adjusted; /* spans that those kept stand for */
};

static void note(void *arg, const struct weir_rec *rec) {
  struct outcome *o = arg;
  const struct weir_span *span = (const struct weir_span *)(const void *)rec;
  char id[16];
  for (uint32_t t = 0; t < TRACES; t++) {
    id_of(t, id);
    if (memcmp(id, span->trace_id.p, 16) != 0) continue;
    o->kept[t]++;
    uint64_t th = 0, unit = 1ull << 52;
    if (span->trace_state.n > 6 && memcmp(span->trace_state.p, "ot=th:", 6) == 0)
      for (uint32_t i = 6; i < span->trace_state.n; i++, unit >>= 4) {
        char c = span->trace_state.p[i];
        th += (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0') * unit;
      }
    o->adjusted += 72057594037927936.0 / (72057594037927936.0 - (double)th);
    return;
  }
  fail_msg("a trace came out that did not go in");
}

static void take(struct harness *h, struct outcome *o) {
  for (struct weir_batch *b; (b = harness_take_emitted(h)) != NULL; harness_settle(h, b, WEIR_DELIVERED)) harness_each(b, note, o);
}

static void run(const char *yaml, uint32_t most_a_batch, int down, struct outcome *o) {
  struct harness *h = harness_new(WEIR_PROCESSOR, "tail_sampling", yaml, WEIR_TRACES);
  struct kit_bytes request = { 0 };
  memset(o, 0, sizeof *o);
  for (uint32_t i = 0; i < n_spans;) {
    request.n = 0;
    for (uint32_t n = 1 + roll(most_a_batch); n > 0 && i < n_spans; n--) put_request(&request, &spans[i++], down);
    harness_feed(h, harness_batch_bytes(h, WEIR_TRACES, request.p, request.n, NULL));
    take(h, o);
  }
  harness_advance(h, 60 * NS_PER_S);
  take(h, o);
  kit_bytes_free(&request);
  double in = harness_metric(h, "weir_stage_items_in_total", NULL), out = harness_metric(h, "weir_stage_items_out_total", NULL);
  assert_true(in == n_spans);
  assert_true(in == out + harness_metric(h, "weir_stage_items_dropped_total", NULL)); /* nothing is held any more */
  harness_free(h);
}

static void assert_whole(const struct outcome *o) {
  for (uint32_t t = 0; t < TRACES; t++)
    if (o->kept[t] && o->kept[t] != sizes[t]) fail_msg("trace %u: %u of %u spans were kept", t, o->kept[t], sizes[t]);
}

static uint32_t n_kept(const struct outcome *o) {
  uint32_t n = 0;
  for (uint32_t t = 0; t < TRACES; t++) n += o->kept[t] != 0;
  return n;
}

/* --- properties ----------------------------------------------------------------------------------------------------------------------- */

static const char *const policies[] = {
  "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}",
  "{name: slow, type: latency, latency: {threshold_ms: 500}}",
  "{name: middling, type: latency, latency: {threshold_ms: 200, upper_threshold_ms: 400}}",
  "{name: long, type: span_count, span_count: {min_spans: 4, max_spans: 7}}",
  "{name: pay, type: string_attribute, string_attribute: {key: route, values: [/pay]}}",
  "{name: no-cart, type: string_attribute, string_attribute: {key: route, values: [\"^/ca\"], enabled_regex_matching: true, invert_match: true}}",
  "{name: bank-errors, type: and, and: {and_sub_policy: [{name: a, type: status_code, status_code: {status_codes: [ERROR]}}, {name: b, type: string_attribute, string_attribute: {key: service.name, values: [bank]}}]}}",
  "{name: probes, type: drop, drop: {drop_sub_policy: [{name: p, type: string_attribute, string_attribute: {key: route, values: [/healthz]}}]}}",
  "{name: some, type: probabilistic, probabilistic: {sampling_percentage: 30}}",
  "{name: not-short, type: not, not: {not_sub_policy: {name: s, type: span_count, span_count: {min_spans: 1, max_spans: 5}}}}",
  "{name: words, type: ottl_condition, ottl_condition: {span: ['attributes[\"route\"] == \"/search\" and status.code == 2']}}",
};
#define N_POLICIES (sizeof policies / sizeof *policies)

static void pick_policies(char *yaml, size_t cap) {
  size_t n = (size_t)snprintf(yaml, cap, "decision_wait: 10s\npolicies:\n");
  for (size_t i = 0, any = 0; i < N_POLICIES; i++) {
    if (roll(3) && (any || i + 1 < N_POLICIES)) continue;
    any = 1;
    n += (size_t)snprintf(yaml + n, cap - n, "  - %s\n", policies[i]);
  }
}

static void test_no_order_changes_a_decision(void **state) {
  (void)state;
  char yaml[4000];
  uint32_t some = 0, all = 0;
  for (uint32_t round = 0; round < 40; round++) {
    struct outcome first, again;
    make_spans(round + 1);
    pick_policies(yaml, sizeof yaml);
    run(yaml, 1, 0, &first);
    assert_whole(&first);
    for (uint32_t variant = 0; variant < 4; variant++) {
      shuffle();
      run(yaml, variant == 0 ? 1 : variant == 1 ? 7 : 500, variant % 2 == 1, &again);
      assert_whole(&again);
      for (uint32_t t = 0; t < TRACES; t++)
        if (!first.kept[t] != !again.kept[t]) fail_msg("round %u, variant %u, trace %u: kept %u and %u spans under\n%s", round, variant, t, first.kept[t], again.kept[t], yaml);
    }
    some += n_kept(&first);
    all += TRACES;
  }
  assert_true(some > all / 10 && some < all * 9 / 10); /* else nothing was shown */
}

/* A policy more that drops never keeps more; one that keeps everything keeps all that is not dropped. */
static void test_policies_add_up(void **state) {
  (void)state;
  char yaml[4000], more[4400];
  for (uint32_t round = 0; round < 10; round++) {
    struct outcome before, after;
    make_spans(round + 100);
    pick_policies(yaml, sizeof yaml);
    run(yaml, 20, 0, &before);
    snprintf(more, sizeof more, "%s  - {name: no-pay, type: drop, drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: route, values: [/pay]}}]}}\n", yaml);
    run(more, 20, 0, &after);
    for (uint32_t t = 0; t < TRACES; t++) assert_true(!after.kept[t] || before.kept[t]);
    snprintf(more, sizeof more, "%s  - {name: all, type: always_sample}\n", yaml);
    run(more, 20, 0, &after);
    for (uint32_t t = 0; t < TRACES; t++) assert_true(after.kept[t] || strstr(yaml, "type: drop"));
  }
}

/* The same percentage keeps the same traces, a higher one keeps those and more, and weights bring back what was there. */
static void test_thresholds_count_what_was_there(void **state) {
  (void)state;
  char yaml[400];
  struct outcome less, more;
  double adjusted = 0, truth = 0;
  for (uint32_t round = 0; round < 30; round++) {
    make_spans(round + 500);
    snprintf(yaml, sizeof yaml, "decision_wait: 1s\npolicies: [{name: p, type: probabilistic, probabilistic: {sampling_percentage: 25}}]\n");
    run(yaml, 20, 0, &less);
    assert_whole(&less);
    snprintf(yaml, sizeof yaml, "decision_wait: 1s\npolicies: [{name: p, type: probabilistic, probabilistic: {sampling_percentage: 60}}]\n");
    run(yaml, 20, 0, &more);
    for (uint32_t t = 0; t < TRACES; t++) assert_true(!less.kept[t] || more.kept[t]);
    adjusted += less.adjusted;
    truth += n_spans;
  }
  double sigma = truth * 1.15 / 34.6; /* of 3600 traces: sqrt(3 / 3600), and 1.15 for their different sizes */
  assert_true(adjusted > truth - 4 * sigma && adjusted < truth + 4 * sigma);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_no_order_changes_a_decision),
    cmocka_unit_test(test_policies_add_up),
    cmocka_unit_test(test_thresholds_count_what_was_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
