/* One sender with its queue on disk on several lanes, each with its thread, with an exporter on each or on the first one alone; a successor takes over under way. */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/sender_internal.h"

#define LANES 3
#define BATCHES 200 /* per lane */

struct side {
  struct sender *sender;
  struct sender_lane *parts[LANES];
  struct flow_stage exporters[LANES];
  struct defer answers[LANES];
};

static struct env env;
static struct loop control, lanes[LANES];
static struct sender_config config;
static struct weir_storage_settings storage;
static char directory[64];
static struct side one, two;
static _Atomic int acked, refused, sent, fail_every;
static int in_order;
static _Atomic int exporters_used[LANES];

static void on_done(struct weir_stage *s, struct weir_batch *b, const struct weir_verdict *v) { sender_done(s->owner, b, v); }
static void on_drained(struct weir_stage *s) { (void)s; }
static const struct stage_ops ops = { .done = on_done, .drained = on_drained };

static void answer(void *arg) {
  struct flow_stage *f = arg;
  while (f->n_got) {
    struct weir_batch *b = flow_take(f);
    int every = atomic_load(&fail_every);
    struct weir_verdict v = every && f->consumed % (uint32_t)every == 0 ? verdict_retry(0, "not now") : verdict_delivered();
    if (v.code == WEIR_DELIVERED) atomic_fetch_add(&sent, (int)b->items);
    sender_done(f->stage.owner, b, &v);
  }
}

static void consume(void *self, struct weir_batch *b) {
  struct flow_stage *f = self;
  struct side *s = f >= one.exporters && f < one.exporters + LANES ? &one : &two;
  f->got[f->n_got++] = b;
  f->consumed++;
  exporters_used[f->stage.lane]++;
  loop_defer(f->stage.loop, &s->answers[f->stage.lane]);
}

static void hear(void *arg, const struct weir_verdict *v) {
  (void)arg;
  atomic_fetch_add(v->code == WEIR_DELIVERED ? &acked : &refused, 1);
}

static void produce(void *arg) {
  struct sender_lane *part = arg;
  for (int i = 0; i < BATCHES; i++) {
    struct weir_batch *b = flow_batch(loop_current(), WEIR_TRACES, 2);
    batch_on_verdict(b, hear, NULL);
    sender_put(part, b);
  }
}

static void open_exporter(struct side *s, uint32_t i, uint32_t n) {
  struct flow_stage *f = &s->exporters[i];
  flow_stage_open(f, &lanes[i], WEIR_EXPORTER, "otlp", &ops, NULL);
  f->entry.type.consume = consume;
  f->entry.type.flags = in_order ? WEIR_IN_ORDER : 0;
  f->stage.lane = i;
  f->stage.lanes = n;
  s->answers[i].fn = answer;
  s->answers[i].arg = f;
}

static void open_side(struct side *s, uint32_t exporters) {
  struct weir_error err = { 0 };
  s->sender = sender_new(&config, "otlp", WEIR_TRACES, LANES, env.metrics);
  for (uint32_t i = 0; i < LANES; i++) {
    if (i < exporters) open_exporter(s, i, exporters);
    s->parts[i] = sender_add_lane(s->sender, &lanes[i], i < exporters ? &s->exporters[i].stage : NULL);
    s->exporters[i].stage.owner = s->parts[i];
  }
  assert_int_equal(sender_open_storage(s->sender, env.disks, &storage, NULL, &err), 0);
}

static void close_part(void *arg) { sender_close(arg); }
static void retire_part(void *arg) { sender_retire(arg); }
static void nothing(void *arg) { (void)arg; }

static void settle(void) {
  for (int turns = 0; turns < 4 || disks_busy(env.disks); turns++) {
    for (int i = 0; i < LANES; i++) loop_call(&lanes[i], nothing, NULL);
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  }
}

static void close_side(struct side *s, uint32_t exporters) {
  if (!s->sender) return;
  for (int i = 0; i < LANES; i++) loop_call(&lanes[i], close_part, s->parts[i]);
  settle();
  for (uint32_t i = 0; i < exporters; i++) stage_close(&s->exporters[i].stage);
  sender_free(s->sender);
  s->sender = NULL;
}

static uint64_t on_disk(void) {
  uint64_t n;
  disks_items(env.disks, &n);
  return n;
}

static void wait_until_all_is_sent(void) {
  for (int i = 0; i < 10000 && (acked + refused < LANES * BATCHES || on_disk()); i++) nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
  assert_int_equal(acked, LANES * BATCHES);
  assert_int_equal(refused, 0);
  assert_int_equal(on_disk(), 0);
}

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  env = (struct env){ .metrics = metrics_new() };
  config = (struct sender_config){ .timeout_ns = 5 * NS_PER_S,
    .queue = { .enabled = 1, .num_consumers = 9, .queue_size = LANES * BATCHES, .storage = "file_storage" },
    .retry = { 1, NS_PER_MS, NS_PER_MS, 300 * NS_PER_S, 0.5, 1.5 } };
  strcpy(directory, "/tmp/weir-lanes-XXXXXX");
  assert_non_null(mkdtemp(directory));
  storage = (struct weir_storage_settings){ .size = sizeof storage, .directory = directory, .sync = WEIR_SYNC_OS, .segment_bytes = 64u << 10 };
  acked = refused = sent = fail_every = 0;
  for (int i = 0; i < LANES; i++) exporters_used[i] = 0;
  assert_int_equal(loop_init(&control, UINT32_MAX, &env, &err), 0);
  env.disks = disks_new(env.metrics, &control);
  for (uint32_t i = 0; i < LANES; i++) assert_int_equal(loop_init(&lanes[i], i, &env, &err), 0);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  for (int i = 0; i < LANES; i++) loop_stop(&lanes[i]);
  for (int i = 0; i < LANES; i++) loop_join(&lanes[i]);
  loop_run_once(&control);
  disks_free(env.disks);
  for (int i = 0; i < LANES; i++) loop_done(&lanes[i]);
  loop_done(&control);
  metrics_free(env.metrics);
  char command[100];
  snprintf(command, sizeof command, "rm -r %s", directory);
  return system(command);
}

static void start_lanes(void) {
  struct weir_error err = { 0 };
  for (int i = 0; i < LANES; i++) assert_int_equal(loop_start_thread(&lanes[i], &err), 0);
}

static void run(uint32_t exporters) {
  open_side(&one, exporters);
  start_lanes();
  for (int i = 0; i < LANES; i++) loop_post(&lanes[i], produce, one.parts[i]);
  wait_until_all_is_sent();
  settle();
  assert_int_equal(atomic_load(one.sender->used), 0);
  for (int i = 0; i < LANES; i++) assert_true(sender_is_empty(one.parts[i]));
  assert_int_equal(sent, LANES * BATCHES * 2);
  close_side(&one, exporters);
}

static void an_exporter_on_each_lane(void **state) {
  (void)state;
  fail_every = 7;
  run(LANES);
}

static void one_exporter_for_all_lanes(void **state) {
  (void)state;
  fail_every = 7;
  run(1);
}

/* One lane sends for all, or what stands on disk would be overtaken by another lane. */
static void an_exporter_that_keeps_an_order(void **state) {
  (void)state;
  fail_every = 7;
  in_order = 1;
  run(LANES);
  in_order = 0;
  for (int i = 1; i < LANES; i++) assert_int_equal(exporters_used[i], 0);
}

static void take_over(uint32_t exporters) {
  open_side(&one, exporters);
  start_lanes();
  fail_every = 5;
  for (int i = 0; i < LANES; i++) loop_post(&lanes[i], produce, one.parts[i]);
  while (acked < 20) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  open_side(&two, exporters);
  for (int i = 0; i < LANES; i++) loop_call(&lanes[i], retire_part, one.parts[i]);
  wait_until_all_is_sent();
  settle();
  assert_int_equal(atomic_load(two.sender->used), 0);
  assert_int_equal(sent, LANES * BATCHES * 2);
  for (int i = 0; i < LANES; i++) assert_true(sender_is_empty(one.parts[i]));
  close_side(&one, exporters);
  close_side(&two, exporters);
}

static void a_successor_on_each_lane(void **state) {
  (void)state;
  take_over(LANES);
}

static void one_successor_for_all_lanes(void **state) {
  (void)state;
  take_over(1);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = { T(an_exporter_on_each_lane), T(one_exporter_for_all_lanes), T(an_exporter_that_keeps_an_order), T(a_successor_on_each_lane), T(one_successor_for_all_lanes) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
