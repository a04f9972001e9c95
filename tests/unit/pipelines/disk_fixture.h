/*
 * tests/unit/pipelines/disk_fixture.h - senders with a queue on disk, on one lane, with exporters whose answers the test gives; a folder of its own.
 */
#ifndef TESTS_UNIT_PIPELINES_DISK_FIXTURE_H
#define TESTS_UNIT_PIPELINES_DISK_FIXTURE_H

#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "../support/metric.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/spool_internal.h"
#include "pipelines/disk_context.h"
#include "pipelines/sender_internal.h"

static struct env env;
static struct loop loop;
static struct sender_config config;
static struct weir_storage_settings storage;
static char directory[64];
static int with_dead;
static struct flow_waiter waiters[FLOW_MAX];

/* One sender with its exporter. */
struct side {
  struct sender *sender;
  struct sender_lane *lane;
  struct flow_stage exporter;
};
static struct side one, two;

static void on_done(struct weir_stage *stage, struct weir_batch *b, const struct weir_verdict *v) { sender_done(stage->owner, b, v); }
static void on_drained(struct weir_stage *stage) { (void)stage; }
static const struct stage_ops ops = { .done = on_done, .drained = on_drained };

static inline void open_side(struct side *s) {
  struct weir_error err = { 0 };
  s->sender = sender_new(&config, "otlp/2", WEIR_TRACES, 1, env.metrics);
  flow_stage_open(&s->exporter, &loop, WEIR_EXPORTER, "otlp/2", &ops, NULL);
  s->lane = sender_add_lane(s->sender, &loop, &s->exporter.stage);
  s->exporter.stage.owner = s->lane;
  int r = sender_open_storage(s->sender, env.disks, &storage, with_dead ? &storage : NULL, &err);
  if (r) fail_msg("%s", err.msg);
}

/* Waits for real things (the disk) while the clock stands still. */
#define WAIT(what)                                                              \
  do {                                                                          \
    int turns = 0;                                                              \
    while (!(what)) {                                                           \
      struct pollfd ready = { .fd = uv_backend_fd(&loop.uv), .events = POLLIN }; \
      loop_run_once(&loop);                                                     \
      if (!(what)) poll(&ready, 1, 5);                                          \
      if (++turns > 4000) fail_msg("waited in vain for " #what);                \
    }                                                                           \
  } while (0)

static inline void settle(void) {
  WAIT(!disks_busy(env.disks));
  for (int i = 0; i < 4; i++) loop_run_once(&loop);
}

static inline int64_t value(const char *series) { return metric_value(env.metrics, series); }

#define LAW(name) value("weir_sender_items_" name "{exporter=\"otlp/2\",signal=\"traces\"}")
#define REJECTED(reason) value("weir_sender_items_rejected_total{exporter=\"otlp/2\",signal=\"traces\",reason=\"" reason "\"}")
#define QUEUE(name) value("weir_queue_" name "{exporter=\"otlp/2\",queue=\"sending\",signal=\"traces\"}")
#define DEAD(outcome) value("weir_dead_letter_items_total{exporter=\"otlp/2\",outcome=\"" outcome "\",signal=\"traces\"}")

static inline void law_holds(void) {
  int64_t rejected = REJECTED("permanent") + REJECTED("partial_success") + REJECTED("too_large") + REJECTED("retries_exhausted") + REJECTED("queue_full") +
                     REJECTED("shutdown") + REJECTED("corrupt") + REJECTED("storage");
  assert_int_equal(LAW("enqueued_total"), LAW("sent_total") + rejected + LAW("queued") + LAW("in_flight"));
}

/* As the graph does it at the end. */
static inline void close_side(struct side *s) {
  if (!s->sender) return;
  settle();
  law_holds();
  sender_abandon(s->lane);
  while (s->exporter.n_got) {
    struct weir_verdict v = verdict_retry(0, "closed");
    sender_done(s->lane, flow_take(&s->exporter), &v);
  }
  stage_close(&s->exporter.stage);
  sender_close(s->lane);
  settle();
  law_holds();
  assert_int_equal(LAW("in_flight"), 0);
  assert_int_equal(LAW("queued"), QUEUE("items"));
  sender_free(s->sender);
  s->sender = NULL;
}

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  clock_set_virtual(1000 * NS_PER_S, 1700000000 * NS_PER_S);
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  env = (struct env){ .metrics = metrics_new() };
  config = (struct sender_config){ .timeout_ns = 5 * NS_PER_S,
    .queue = { .enabled = 1, .num_consumers = 10, .queue_size = 1000, .storage = "file_storage" },
    .retry = { 1, 5 * NS_PER_S, 30 * NS_PER_S, 300 * NS_PER_S, 0.5, 1.5 } };
  memset(waiters, 0, sizeof waiters);
  strcpy(directory, "/tmp/weir-disk-XXXXXX");
  assert_non_null(mkdtemp(directory));
  storage = (struct weir_storage_settings){ .size = sizeof storage, .directory = directory, .max_bytes = 1u << 30, .segment_bytes = 16u << 20 };
  with_dead = 0;
  assert_int_equal(loop_init(&loop, 0, &env, &err), 0);
  env.disks = disks_new(env.metrics, &loop);
  return 0;
}

static inline void remove_folder(const char *path) {
  DIR *d = opendir(path);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d));) {
    char below[800];
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    snprintf(below, sizeof below, "%.500s/%s", path, e->d_name);
    if (unlink(below)) remove_folder(below);
  }
  closedir(d);
  rmdir(path);
}

static int teardown(void **state) {
  (void)state;
  close_side(&one);
  close_side(&two);
  loop_done(&loop); /* runs what is posted */
  disks_free(env.disks);
  metrics_free(env.metrics);
  remove_folder(directory);
  return 0;
}

static inline void put_at(struct side *s, uint32_t n, struct flow_waiter *w) {
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, n);
  if (w) batch_on_verdict(b, flow_hear, w);
  sender_put(s->lane, b);
}
static inline void put(uint32_t n, struct flow_waiter *w) { put_at(&one, n, w); }

static inline void answer_at(struct side *s, struct weir_verdict v) {
  sender_done(s->lane, flow_take(&s->exporter), &v);
  for (int i = 0; i < 3; i++) loop_run_once(&loop);
}
static inline void answer(struct weir_verdict v) { answer_at(&one, v); }

static inline struct spool_stats stats(void) {
  struct spool_stats s;
  spool_stats(one.sender ? one.sender->disk->spool : two.sender->disk->spool, &s);
  return s;
}

static int written;

static inline void on_written(struct spool_append *a) {
  (void)a;
  written = 1;
}

static inline const struct weir_context *make_context(const char *tenant) {
  struct weir_pair pairs[] = { { { "x-tenant", 8, 0 }, { tenant, (uint32_t)strlen(tenant), 0 } } };
  struct weir_context what = { .size = sizeof what, .n_metadata = 1, .metadata = pairs, .peer = { "10.0.0.1:99", 11, 0 } };
  const struct weir_context *c;
  struct weir_error err = { 0 };
  assert_int_equal(context_new(loop.pool, &what, &c, &err), 0);
  return c;
}

#endif
