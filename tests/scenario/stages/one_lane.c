/*
 * A plugin for scenario tests: a processor and an exporter that exist once in the process, whatever the number of lanes. Each fails the
 * process when it is called from more than one thread, or from two at a time.
 *
 *   service: {plugins: [build/tests/scenario/one_lane.so]}
 *   processors: {one_lane: {}}
 */
#include <pthread.h>
#include <stdlib.h>

#include <weir/stage.h>

struct one_lane {
  const struct weir_host *host;
  struct weir_stage *stage;
  pthread_t thread;
  int known, inside;
};

static int one_lane_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  (void)config;
  struct one_lane *o = calloc(1, sizeof *o);
  if (!o) return weir_fail(err, WEIR_E_NOMEM, "out of memory");
  o->host = host;
  o->stage = stage;
  *ret_self = o;
  return 0;
}

/* Notes the thread of the first batch; 0 when this one comes from another. */
static int same_thread(struct one_lane *o) {
  if (!o->known) o->thread = pthread_self();
  o->known = 1;
  if (!o->inside && pthread_equal(o->thread, pthread_self())) return 1;
  struct weir_error err = { 0 };
  weir_fail(&err, WEIR_E_STATE, "a one-lane stage was called from two threads");
  o->host->fail(o->stage, &err, 1);
  return 0;
}

static void processor_consume(void *self, struct weir_batch *batch) {
  struct one_lane *o = self;
  same_thread(o);
  o->inside = 1;
  o->host->emit(o->stage, 0, batch);
  o->inside = 0;
}

static void exporter_consume(void *self, struct weir_batch *batch) {
  struct one_lane *o = self;
  static const struct weir_verdict delivered = { .code = WEIR_DELIVERED };
  same_thread(o);
  o->inside = 1;
  o->host->done(o->stage, batch, &delivered);
  o->inside = 0;
}

static void one_lane_close(void *self) { free(self); }

static const struct weir_stage_type processor = {
  .size = sizeof(struct weir_stage_type),
  .role = WEIR_PROCESSOR,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .flags = WEIR_ONE_LANE,
  .name = "one_lane",
  .doc = "Passes batches on, from one lane.",
  .stability = "alpha",
  .open = one_lane_open,
  .consume = processor_consume,
  .close = one_lane_close,
};

static const struct weir_stage_type exporter = {
  .size = sizeof(struct weir_stage_type),
  .role = WEIR_EXPORTER,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .flags = WEIR_ONE_LANE | WEIR_QUEUED,
  .name = "one_lane",
  .doc = "Takes everything, on one lane.",
  .stability = "alpha",
  .open = one_lane_open,
  .consume = exporter_consume,
  .close = one_lane_close,
};

WEIR_PLUGIN("one_lane", "1.0", "Apache-2.0", &processor, &exporter);
