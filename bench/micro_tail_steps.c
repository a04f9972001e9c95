/*
 * bench/micro_tail_steps.c - the longest step of a lane in tail_sampling, in CPU time of the thread: each batch that comes in (consume), each timer (decide, send).
 *
 * Usage: WEIR_BUILD=build micro_tail_steps [spans, default 400000]. One lane on the stage harness with the five policies of bench/tail.yaml, 100 spans of about 440 bytes a batch. `whole`: a batch is ten traces;
 * `spread`: one span of each of 100. `keep`: a policy more keeps all at the end of its wait. `half`: and one that keeps half of them, with a threshold to write. `compressed`: max_bytes is small, so that nearly all segments are. `large`: one trace of all spans, `among`: of every 50th.
 * The virtual clock goes on by a millisecond with each batch, so traces wait for 2000 batches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "bench/otlp_sample.h"
#include "plugins/kit/bytes.h"
#include "tests/stage/harness.h"

enum { PER_BATCH = 100, SPANS = 10 };

static uint64_t n_spans = 400000;

static double cpu_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

struct kind {
  uint64_t n, over;
  double sum, most;
};

static void add(struct kind *k, double ms) {
  k->n++;
  k->sum += ms;
  k->over += ms > 2.0;
  if (ms > k->most) k->most = ms;
}

static uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Span k of a trace; its ids and random text are new. */
static void put_span(struct sample *scope, uint64_t trace, uint64_t k, int tiny) {
  struct sample s = { NULL, 0, 0 };
  char user[32];
  uint64_t id[2] = { mix(trace + 1), mix(trace + 0x123456789u) }, span = mix(trace * 100003 + k + 7);
  if (tiny) {
    sample_field(&s, 1, id, 16);
    sample_field(&s, 2, &span, 8);
  } else {
    sample_span(&s, trace * SPANS + k);
    snprintf(user, sizeof user, "u-%016llx", (unsigned long long)mix(span));
    sample_attr(&s, 9, "enduser.id", user, 0);
  }
  memcpy(s.p + 2, id, 16);
  memcpy(s.p + 20, &span, 8);
  sample_field(scope, 2, s.p, s.n);
  free(s.p);
}

static struct weir_batch *make_batch(struct harness *h, const char *shape, uint64_t i) {
  struct sample scope = { NULL, 0, 0 }, all = { NULL, 0, 0 };
  for (uint64_t k = 0; k < PER_BATCH; k++) {
    uint64_t at = i * PER_BATCH + k;
    if (*shape == 'l' || *shape == 't') put_span(&scope, 0, at, *shape == 't');
    else if (*shape == 'a' && k % 50 == 0) put_span(&scope, UINT32_MAX, at, 0);
    else if (*shape == 'w') put_span(&scope, at / SPANS, at % SPANS, 0);
    else put_span(&scope, i / SPANS * PER_BATCH + k, i % SPANS, 0);
  }
  sample_field(&all, 2, scope.p, scope.n);
  struct sample request = { NULL, 0, 0 };
  sample_field(&request, 1, all.p, all.n);
  struct weir_batch *b = harness_batch_bytes(h, WEIR_TRACES, request.p, request.n, NULL);
  free(scope.p);
  free(all.p);
  free(request.p);
  return b;
}

static void take(struct harness *h) {
  for (struct weir_batch *b; (b = harness_take_emitted(h)) != NULL;) {
    struct weir_verdict v = { .code = WEIR_DELIVERED };
    batch_settle(b, &v);
  }
}

static void run_timers(struct harness *h, int64_t until, struct kind *k) {
  for (struct timer *t; h->loop.n_heap && (t = h->loop.heap[1])->due_ns <= until;) {
    if (t->due_ns > clock_mono_ns()) clock_advance(t->due_ns - clock_mono_ns());
    timer_cancel(&h->loop, t);
    double from = cpu_ms();
    t->fn(t->arg);
    add(k, cpu_ms() - from);
    take(h);
  }
  if (until > clock_mono_ns()) clock_advance(until - clock_mono_ns());
}

#define POLICIES "  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}\n  - {name: slow, type: latency, latency: {threshold_ms: 5000}}\n" \
  "  - {name: deletes, type: string_attribute, string_attribute: {key: http.request.method, values: [DELETE]}}\n" \
  "  - {name: server-errors, type: numeric_attribute, numeric_attribute: {key: http.response.status_code, min_value: 500, max_value: 599}}\n" \
  "  - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 5}}\n"
#define KEEP "  - {name: keep, type: span_count, span_count: {min_spans: 1, max_spans: 100000000}}\n"
#define NONE "  - {name: errors, type: string_attribute, string_attribute: {key: nothing, values: [x]}}\n"
#define CHANCE(percent) "  - {name: c, type: and, and: {and_sub_policy: [{name: p, type: probabilistic, probabilistic: {sampling_percentage: " percent "}}, " \
  "{name: n, type: span_count, span_count: {min_spans: 1, max_spans: 100000000}}]}}\n"
#define HALF CHANCE("50")

static void run(const char *name, const char *shape, const char *settings, const char *policies) {
  struct kind consume = { 0 }, timer = { 0 };
  char yaml[3000];
  snprintf(yaml, sizeof yaml, "decision_wait: 2s\n%s%s", settings, policies);
  struct harness *h = harness_new(WEIR_PROCESSOR, "tail_sampling", yaml, WEIR_TRACES);
  for (uint64_t i = 0; i < n_spans / PER_BATCH; i++) {
    struct weir_batch *b = make_batch(h, shape, i);
    double from = cpu_ms();
    stage_consume(h->now, b);
    add(&consume, cpu_ms() - from);
    take(h);
    run_timers(h, clock_mono_ns() + NS_PER_MS, &timer);
  }
  harness_run(h);
  run_timers(h, clock_mono_ns() + 4 * NS_PER_S, &timer);
  printf("%-24s consume: longest %6.2f ms, mean %.3f, over 2 ms %llu of %llu   timer: longest %6.2f ms, mean %.3f, over 2 ms %llu of %llu\n", name, consume.most, consume.sum / (double)consume.n,
    (unsigned long long)consume.over, (unsigned long long)consume.n, timer.most, timer.n ? timer.sum / (double)timer.n : 0, (unsigned long long)timer.over, (unsigned long long)timer.n);
  harness_run(h);
  take(h);
  harness_free(h);
}

static void all(void **state) {
  (void)state;
  static const char small[] = "num_traces: 2000000\nmax_bytes: 40MiB\npolicies:\n", large[] = "num_traces: 2000000\nmax_bytes: 2GiB\npolicies:\n", few[] = "num_traces: 2000\nmax_bytes: 40MiB\npolicies:\n";
  run("whole", "whole", large, POLICIES);
  run("spread", "spread", large, POLICIES);
  run("whole, keep", "whole", large, POLICIES KEEP);
  run("spread, keep", "spread", large, POLICIES KEEP);
  run("whole, half", "whole", large, POLICIES HALF);
  run("spread, half", "spread", large, POLICIES HALF);
  run("whole, compressed", "whole", small, POLICIES);
  run("spread, compressed", "spread", small, POLICIES);
  run("spread, comp., keep", "spread", small, POLICIES KEEP);
  run("spread, comp., half", "spread", small, POLICIES HALF);
  run("spread, evicted", "spread", few, POLICIES HALF);
  run("large", "large", large, KEEP);
  run("large, threshold", "large", large, CHANCE("99.9999"));
  run("large, compressed", "large", small, KEEP);
  run("large of tiny spans", "tiny", large, KEEP);
  run("large among others", "among", small, KEEP);
  run("large, dropped", "large", large, NONE);
}

int main(int argc, char **argv) {
  if (argc > 1) n_spans = strtoull(argv[1], NULL, 10);
  const struct CMUnitTest tests[] = { cmocka_unit_test(all) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
