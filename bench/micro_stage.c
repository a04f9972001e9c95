/*
 * bench/micro_stage.c - what a batch boundary costs: from one stage's emit through the host table and the edge into the next one's consume, counters
 * included. A batch of 100 items runs down a chain of 16 processors that pass it on. Usage: micro_stage. The minimum of 7 rounds, in ns of CPU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/metrics.h"
#include "pipelines/edge.h"

#define STAGES 16
#define BATCHES 1000000
#define ROUNDS 7

static struct stage_entry entry;
static struct env env;
static struct loop loop;
static struct weir_stage stages[STAGES + 1]; /* the last one takes */
static struct edge edges[STAGES];
static struct target targets[STAGES];
static uint64_t arrived;

struct pass {
  const struct weir_host *host;
  struct weir_stage *stage;
};

static int pass_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  static struct pass all[STAGES + 1];
  (void)config;
  (void)err;
  struct pass *p = &all[stage - stages];
  *p = (struct pass){ host, stage };
  *ret_self = p;
  return 0;
}

static void pass_consume(void *self, struct weir_batch *b) {
  struct pass *p = self;
  if (p->stage == &stages[STAGES]) arrived++;
  else p->host->emit(p->stage, 0, b);
}

static void pass_close(void *self) { (void)self; }

static void on_emit(struct weir_stage *s, uint32_t output, struct weir_batch *b) {
  (void)output;
  edge_send(s->owner, b);
}

static double cpu_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int build_chain(struct weir_error *err) {
  static const struct stage_ops ops = { .emit = on_emit };
  static const struct weir_stage_type type = { .size = sizeof type, .role = WEIR_PROCESSOR, .signals = WEIR_TRACES, .name = "pass", .doc = "Passes on.",
    .open = pass_open, .consume = pass_consume, .close = pass_close };
  entry.type = type;
  for (int i = STAGES; i >= 0; i--) {
    stages[i] = (struct weir_stage){ .magic = STAGE_MAGIC, .entry = &entry, .id = "pass", .pipeline = "traces", .signal = WEIR_TRACES, .lanes = 1,
      .loop = &loop, .ops = &ops };
    if (stage_open(&stages[i], err) || stage_start(&stages[i], err)) return -1;
    if (i == STAGES) continue;
    targets[i] = (struct target){ .stage = &stages[i + 1] };
    edges[i] = (struct edge){ .targets = &targets[i], .n_targets = 1 };
    stages[i].owner = &edges[i];
  }
  return 0;
}

int main(void) {
  struct weir_error err = { 0 };
  double best = 1e18;
  env.metrics = metrics_new();
  if (loop_init(&loop, 0, &env, &err) || build_chain(&err)) {
    fprintf(stderr, "micro_stage: %s\n", err.msg);
    return 1;
  }
  struct weir_batch *b = batch_new(&loop, WEIR_TRACES);
  b->items = 100;
  for (int round = 0; round < ROUNDS; round++) {
    double began = cpu_ns();
    for (int i = 0; i < BATCHES; i++) stage_consume(&stages[0], b);
    double took = (cpu_ns() - began) / BATCHES / STAGES;
    if (took < best) best = took;
  }
  if (arrived != (uint64_t)BATCHES * ROUNDS) return 1;
  printf("batch boundary %.1f ns\n", best);
  batch_free(b);
  for (int i = 0; i <= STAGES; i++) stage_close(&stages[i]);
  loop_done(&loop);
  metrics_free(env.metrics);
  return 0;
}
