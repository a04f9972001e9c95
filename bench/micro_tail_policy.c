/*
 * bench/micro_tail_policy.c - what it costs to look at a span for tail sampling's policies, in ns of CPU per span, on a tree that is there: five policies (errors, latency, a text attribute, a
 * probability, a number), spans of about 400 bytes with 10 attributes, 10 of each trace in a row, two resources. And per trace: to ask whether it is settled, and to decide it.
 * Usage: micro_tail_policy [spans per request, default 1000]. Minimum of 9 rounds.
 */
#include <time.h>

#include "bench/otlp_sample.h"
#include "core/otlp.h"
#include "plugins/schema.h"
#include "processors/tail_sampling/policy.h"
#include "processors/tail_sampling/policy_config.h"

#define ROUNDS 9
#define RUNS 300

static const char policies[] = "policies:\n"
                               "- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}\n"
                               "- {name: slow, type: latency, latency: {threshold_ms: 5000}}\n"
                               "- {name: orders, type: string_attribute, string_attribute: {key: http.route, values: [/api/v1/payments, /api/v1/refunds]}}\n"
                               "- {name: some, type: probabilistic, probabilistic: {sampling_percentage: 1}}\n"
                               "- {name: status, type: numeric_attribute, numeric_attribute: {key: http.response.status_code, min_value: 500}}\n";
static struct pool *pool;
static struct weir_data data;
static struct ts_config config;
static struct ts_program *program;

static double cpu_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void make_program(void) {
  static struct diags ds;
  static struct arena a;
  static const struct weir_host host = { .size = sizeof host };
  struct weir_error err = { 0 };
  diags_init(&ds);
  arena_init(&a, pool, 0);
  const struct yaml_node *root = yaml_parse_part(&a, &ds, diags_add_file(&ds, "policies", policies, sizeof policies - 1), 0, sizeof policies - 1);
  struct schema_binding b = { { ts_fields, sizeof *ts_fields }, &config };
  schema_bind(&a, &ds, "tail_sampling", (struct pos){ 0, 1, 1, 1 }, root, &b, 1);
  if (ds.n_errors || ts_program_new(&host, NULL, &config, &program, &err)) {
    fprintf(stderr, "%s\n", err.msg);
    exit(1);
  }
}

static void make_spans(uint64_t n) {
  static struct arena a;
  struct sample request = sample_request(0, n);
  struct otlp_counts c;
  arena_init(&a, pool, 0);
  if (otlp_decode(WEIR_TRACES, &a, request.p, request.n, NULL, &data, &c, NULL) || c.items != n) exit(1);
}

struct sink {
  uint64_t traces, settled, kept;
};

/* what: 0 the walk alone, 1 with ts_observe, 2 and ts_settled when it has news, and ts_decide at the end of a trace. */
static void walk(struct ts_observer *o, int what, struct sink *sink) {
  uint64_t bits[8];
  uint8_t said[8];
  struct ts_facts f = { .bits = bits };
  struct ts_verdict v = { .said = said };
  ts_observer_batch(o);
  for (uint32_t r = 0; r < data.n_resources; r++)
    for (uint32_t s = 0; s < data.resources[r]->n_scopes; s++) {
      struct weir_scope *scope = data.resources[r]->scopes[s];
      for (uint32_t i = 0; i < scope->n_records; i++) {
        const struct weir_span *span = scope->u.spans[i];
        if (i % 10 == 0) {
          if (what == 2 && f.n_spans) {
            ts_decide(program, &f, 1, &v);
            sink->kept += v.outcome == TS_KEEP;
          }
          f = (struct ts_facts){ .bits = bits };
          ts_facts_init(program, &f, (const uint8_t *)span->trace_id.p);
          sink->traces++;
        }
        int news = what ? ts_observe(o, data.resources[r], scope, span, span->rec.raw_n, &f) : (int)(span->rec.raw_n & 1);
        if (what == 2 && (news || i % 10 == 0)) sink->settled += (uint64_t)ts_settled(program, &f, &v);
        if (!what) sink->settled += (uint64_t)news;
      }
    }
}

static double run(int what, uint64_t spans) {
  struct ts_observer o;
  double best = 1e18;
  struct sink sink = { 0, 0, 0 };
  if (ts_observer_init(&o, program)) exit(1);
  for (int round = 0; round < ROUNDS; round++) {
    double began = cpu_ns();
    for (int i = 0; i < RUNS; i++) walk(&o, what, &sink);
    double took = (cpu_ns() - began) / RUNS / (double)spans;
    if (took < best) best = took;
  }
  ts_observer_done(&o);
  if (sink.traces == 0) exit(1);
  return best;
}

int main(int argc, char **argv) {
  uint64_t spans = argc > 1 ? strtoull(argv[1], NULL, 10) / 20 * 20 : 1000;
  pool_adopt(pool = pool_new(NULL));
  make_program();
  make_spans(spans);
  printf("walk %.1f ns\n", run(0, spans));
  printf("observe %.1f ns\n", run(1, spans));
  printf("observe+settled+decide %.1f ns\n", run(2, spans));
  return 0;
}
