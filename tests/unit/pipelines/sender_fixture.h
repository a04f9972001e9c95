/*
 * tests/unit/pipelines/sender_fixture.h - one sender on one lane and a virtual clock, with an exporter whose answers the test gives; what it counted.
 */
#ifndef TESTS_UNIT_PIPELINES_SENDER_FIXTURE_H
#define TESTS_UNIT_PIPELINES_SENDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "../support/metric.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/sender_internal.h"

static struct env env;
static struct loop loop;
static struct sender_config config;
static struct sender *sender;
static struct sender_lane *lane;
static struct flow_stage exporter;
static struct flow_waiter waiters[FLOW_MAX];

static void on_done(struct weir_stage *stage, struct weir_batch *b, const struct weir_verdict *v) { sender_done(stage->owner, b, v); }
static void on_drained(struct weir_stage *stage) { (void)stage; }
static const struct stage_ops ops = { .done = on_done, .drained = on_drained };

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  clock_set_virtual(1000 * NS_PER_S, 1700000000 * NS_PER_S);
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  env = (struct env){ .metrics = metrics_new() };
  config = (struct sender_config){ .timeout_ns = 5 * NS_PER_S,
    .queue = { .enabled = 1, .num_consumers = 10, .queue_size = 1000 },
    .retry = { 1, 5 * NS_PER_S, 30 * NS_PER_S, 300 * NS_PER_S, 0.5, 1.5 } };
  memset(waiters, 0, sizeof waiters);
  return loop_init(&loop, 0, &env, &err);
}

/* The sender is made when the test has set its configuration. */
static void start(void) {
  sender = sender_new(&config, "otlp", WEIR_TRACES, 1, env.metrics);
  flow_stage_open(&exporter, &loop, WEIR_EXPORTER, "otlp", &ops, NULL);
  lane = sender_add_lane(sender, &loop, &exporter.stage);
  exporter.stage.owner = lane;
}

static int64_t value(const char *series) { return metric_value(env.metrics, series); }

#define LAW(name) value("weir_sender_items_" name "{exporter=\"otlp\",signal=\"traces\"}")
#define REJECTED(reason) value("weir_sender_items_rejected_total{exporter=\"otlp\",signal=\"traces\",reason=\"" reason "\"}")
#define QUEUE_SIZE value("otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"otlp\"}")

static void law_holds(void) {
  int64_t rejected = REJECTED("permanent") + REJECTED("partial_success") + REJECTED("too_large") + REJECTED("retries_exhausted") +
                     REJECTED("queue_full") + REJECTED("shutdown");
  assert_int_equal(LAW("enqueued_total"), LAW("sent_total") + rejected + LAW("queued") + LAW("in_flight"));
}

static int teardown(void **state) {
  (void)state;
  law_holds();
  while (exporter.n_got) { /* what the exporter still holds when it is closed */
    struct weir_verdict v = verdict_retry(0, "closed");
    sender_done(lane, flow_take(&exporter), &v);
  }
  sender_abandon(lane);
  stage_close(&exporter.stage);
  sender_close(lane);
  loop_run_once(&loop);
  law_holds();
  assert_int_equal(LAW("queued"), 0);
  assert_int_equal(LAW("in_flight"), 0);
  assert_int_equal(QUEUE_SIZE, 0);
  assert_int_equal(atomic_load(sender->used), 0);
  sender_free(sender);
  loop_done(&loop);
  metrics_free(env.metrics);
  return 0;
}

static void put(uint32_t n, struct flow_waiter *w) {
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, n);
  if (w) batch_on_verdict(b, flow_hear, w);
  sender_put(lane, b);
}

static void answer(struct weir_verdict v) {
  sender_done(lane, flow_take(&exporter), &v);
  loop_run_once(&loop);
}

static void pass(int64_t ns) {
  clock_advance(ns);
  loop_run_once(&loop);
}

#endif
