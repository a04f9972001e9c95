/* Edges: hand-over, fan-out in all or in none, nested fan-outs, another lane. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "core/log.h"
#include "pipelines/edge.h"
#include "pipelines/sender.h"

#define N 3

static struct env env;
static struct loop loop, away;
static struct sender_config configs[N];
static struct sender *senders[N];
static struct sender_lane *lanes[N];
static struct flow_stage exporters[N], stage;
static struct edge edge, below;
static struct flow_waiter waiter;

static void on_done(struct weir_stage *s, struct weir_batch *b, const struct weir_verdict *v) { sender_done(s->owner, b, v); }
static void on_emit(struct weir_stage *s, uint32_t output, struct weir_batch *b) {
  (void)output;
  edge_send(s->owner, b);
}
static void on_drained(struct weir_stage *s) { (void)s; }
static const struct stage_ops ops = { .done = on_done, .emit = on_emit, .drained = on_drained };

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  static const char *const ids[N] = { "a", "b", "c" };
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  env = (struct env){ .metrics = metrics_new() };
  waiter = (struct flow_waiter){ 0 };
  if (loop_init(&loop, 0, &env, &err) || loop_init(&away, 1, &env, &err)) return -1;
  for (int i = 0; i < N; i++) {
    configs[i] = (struct sender_config){ .queue = { .enabled = 1, .num_consumers = 1, .queue_size = 2 } };
    senders[i] = sender_new(&configs[i], ids[i], WEIR_TRACES, 1, env.metrics);
    flow_stage_open(&exporters[i], &loop, WEIR_EXPORTER, ids[i], &ops, NULL);
    lanes[i] = sender_add_lane(senders[i], &loop, &exporters[i].stage);
    exporters[i].stage.owner = lanes[i];
  }
  flow_stage_open(&stage, &loop, WEIR_PROCESSOR, "p", &ops, &below);
  return 0;
}

/* The edge gives its lists back; those of the tests stand in arrays. */
static void use(struct edge *e, const struct target *targets, uint32_t n, struct sender_lane *const *reach, uint32_t n_reach) {
  *e = (struct edge){ calloc(n, sizeof *targets), n, n_reach, calloc(n_reach + 1, sizeof(struct sender_lane *)) };
  memcpy(e->targets, targets, n * sizeof *targets);
  if (n_reach) memcpy(e->reach, reach, n_reach * sizeof *reach);
}

static int teardown(void **state) {
  (void)state;
  for (int i = 0; i < N; i++) {
    sender_abandon(lanes[i]);
    while (exporters[i].n_got) {
      struct weir_verdict v = verdict_delivered();
      sender_done(lanes[i], flow_take(&exporters[i]), &v);
    }
    stage_close(&exporters[i].stage);
    sender_close(lanes[i]);
    assert_int_equal(sender_reserved(lanes[i]).room, 0);
  }
  if (stage.stage.state != STAGE_CLOSED) stage_close(&stage.stage);
  loop_run_once(&loop);
  for (int i = 0; i < N; i++) sender_free(senders[i]);
  edge_done(&edge);
  edge_done(&below);
  loop_done(&away);
  loop_done(&loop);
  metrics_free(env.metrics);
  return 0;
}

static struct weir_batch *send_one(struct edge *e) {
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 4);
  waiter = (struct flow_waiter){ 0 };
  batch_on_verdict(b, flow_hear, &waiter);
  edge_send(e, b);
  return b;
}

/* How many batches have entered a sender: those its exporter saw, and those behind them, which a second room of its own shows. */
static uint64_t room_left(struct sender_lane *l) {
  struct weir_batch *b = batch_new(&loop, WEIR_TRACES);
  struct weir_verdict v;
  uint64_t n = 0;
  b->items = 1;
  while (n < 10 && sender_reserve(l, b, &v) == 0) n++;
  sender_unreserve(l, (struct sender_level){ 0, 0 });
  batch_free(b);
  return n;
}

static void fill(struct sender_lane *l) {
  while (room_left(l)) sender_put(l, flow_batch(&loop, WEIR_TRACES, 1));
  loop_run_once(&loop);
}

static void one_consumer_gets_the_batch_itself(void **state) {
  (void)state;
  struct target t = { .stage = &stage.stage, .ack_delivered = 1 };
  use(&edge, &t, 1, NULL, 0);
  struct weir_batch *b = send_one(&edge);
  assert_int_equal(stage.n_got, 1);
  assert_ptr_equal(stage.got[0], b);
  assert_int_equal(b->ack_delivered, 1);
  struct weir_verdict v = verdict_delivered();
  batch_settle(flow_take(&stage), &v);
}

static void nobody_below_is_a_refusal(void **state) {
  (void)state;
  send_one(&edge);
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_REJECTED);
}

/* Behind `batch` the senders have had their answer: a refusal would lose the batch for all, so those with room get it, and the full queue counts its loss. */
static void a_fan_out_that_nobody_waits_for_enters_where_there_is_room(void **state) {
  (void)state;
  struct target t[N] = { { .sender = lanes[0] }, { .sender = lanes[1] }, { .sender = lanes[2] } };
  use(&edge, t, N, lanes, N);
  fill(lanes[1]);
  uint64_t before = sender_items_lost(senders[1]);
  edge_send(&edge, flow_batch(&loop, WEIR_TRACES, 4));
  loop_run_once(&loop);
  assert_int_equal(exporters[0].n_got, 1);
  assert_int_equal(exporters[2].n_got, 1);
  assert_int_equal(sender_items_lost(senders[1]) - before, 4);
  assert_int_equal(sender_items_lost(senders[0]), 0);
}

static void a_fan_out_enters_all(void **state) {
  (void)state;
  struct target t[N] = { { .sender = lanes[0] }, { .sender = lanes[1] }, { .sender = lanes[2] } };
  use(&edge, t, N, lanes, N);
  send_one(&edge);
  loop_run_once(&loop);
  assert_int_equal(waiter.heard, 1);
  assert_int_equal(waiter.verdict.code, WEIR_DELIVERED);
  for (int i = 0; i < N; i++) {
    assert_int_equal(exporters[i].n_got, 1);
    assert_int_equal(room_left(lanes[i]), 1);
  }
  assert_ptr_equal(exporters[0].got[0]->parts[0], exporters[2].got[0]->parts[0]); /* by reference */
}

static void or_none_when_the_last_is_full(void **state) {
  (void)state;
  struct target t[N] = { { .sender = lanes[0] }, { .sender = lanes[1] }, { .sender = lanes[2] } };
  use(&edge, t, N, lanes, N);
  fill(lanes[2]);
  send_one(&edge);
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
  assert_string_equal(waiter.msg, "sending queue of exporter `c` is full");
  assert_int_equal(exporters[0].consumed + exporters[1].consumed, 0);
  assert_int_equal(room_left(lanes[0]), 2); /* given back */
  assert_int_equal(room_left(lanes[1]), 2);
}

static void one_queue_that_is_reached_twice_needs_room_for_two(void **state) {
  (void)state;
  struct target t[2] = { { .sender = lanes[0] }, { .sender = lanes[0] } };
  struct sender_lane *reach[2] = { lanes[0], lanes[0] };
  use(&edge, t, 2, reach, 2);
  sender_put(lanes[0], flow_batch(&loop, WEIR_TRACES, 1));
  send_one(&edge);
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
  assert_int_equal(room_left(lanes[0]), 1);
}

static void best_effort_does_not_hold_the_others_up(void **state) {
  (void)state;
  struct target t[N] = { { .sender = lanes[0] }, { .sender = lanes[1] }, { .sender = lanes[2] } };
  use(&edge, t, N, lanes, N);
  configs[2].queue.on_full = 0;
  fill(lanes[2]);
  configs[2].queue.on_full = 1;
  send_one(&edge);
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_DELIVERED);
  assert_int_equal(exporters[0].n_got, 1);
  assert_int_equal(exporters[1].n_got, 1);
}

/* edge -> a, and -> p -> below -> b, c: the room of b and c is taken before a gets anything, and not taken twice. */
static void room_behind_a_stage_is_reserved_too(void **state) {
  (void)state;
  struct target upper[2] = { { .sender = lanes[0] }, { .stage = &stage.stage } };
  struct target lower[2] = { { .sender = lanes[1] }, { .sender = lanes[2] } };
  use(&edge, upper, 2, lanes, N);
  use(&below, lower, 2, lanes + 1, 2);
  send_one(&edge);
  assert_int_equal(stage.n_got, 1);
  edge_send(&below, flow_take(&stage)); /* late, as no stage should: its reservation is gone, so it takes room like any other */
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_DELIVERED);
  for (int i = 0; i < N; i++) assert_int_equal(room_left(lanes[i]), 1);
  fill(lanes[2]);
  uint32_t before = stage.consumed;
  send_one(&edge);
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
  assert_int_equal(stage.consumed, before);
  assert_int_equal(room_left(lanes[0]), 1);
}

static void pass_through(void *self, struct weir_batch *b) { edge_send(((struct flow_stage *)self)->stage.owner, b); }

static void a_stage_that_sends_on_at_once_uses_the_reservation(void **state) {
  (void)state;
  struct target upper[2] = { { .sender = lanes[0] }, { .stage = &stage.stage } };
  struct target lower[2] = { { .sender = lanes[1] }, { .sender = lanes[2] } };
  use(&edge, upper, 2, lanes, N);
  use(&below, lower, 2, lanes + 1, 2);
  stage.entry.type.consume = pass_through;
  for (int i = 0; i < N; i++) sender_put(lanes[i], flow_batch(&loop, WEIR_TRACES, 1)); /* room for one more: twice would not fit */
  send_one(&edge);
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_DELIVERED);
  for (int i = 0; i < N; i++) assert_int_equal(room_left(lanes[i]), 0);
}

static void a_stage_on_another_lane_gets_it_by_post(void **state) {
  (void)state;
  stage.stage.loop = &away;
  struct target t[2] = { { .stage = &stage.stage, .away = &away, .holds = 1 }, { .sender = lanes[0] } };
  use(&edge, t, 2, lanes, 1);
  send_one(&edge);
  assert_int_equal(stage.n_got, 0);
  loop_run_once(&away);
  assert_int_equal(stage.n_got, 1);
  assert_ptr_equal(stage.got[0]->loop, &away);
  assert_int_equal(stage.got[0]->reserved, 0);
  atomic_store(&away.inbox_n, LOOP_INBOX_MAX); /* that lane is behind: nobody gets the next one */
  send_one(&edge);
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
  assert_int_equal(exporters[0].consumed, 1);
  atomic_store(&away.inbox_n, 0);
  struct weir_verdict v = verdict_delivered();
  batch_settle(flow_take(&stage), &v);
  loop_run_once(&loop);
}

static void a_closed_stage_answers_retry(void **state) {
  (void)state;
  struct target t = { .stage = &stage.stage };
  use(&edge, &t, 1, NULL, 0);
  stage_close(&stage.stage);
  send_one(&edge);
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(one_consumer_gets_the_batch_itself), T(nobody_below_is_a_refusal), T(a_fan_out_enters_all), T(a_fan_out_that_nobody_waits_for_enters_where_there_is_room),
    T(or_none_when_the_last_is_full), T(one_queue_that_is_reached_twice_needs_room_for_two), T(best_effort_does_not_hold_the_others_up),
    T(room_behind_a_stage_is_reserved_too), T(a_stage_that_sends_on_at_once_uses_the_reservation),
    T(a_stage_on_another_lane_gets_it_by_post), T(a_closed_stage_answers_retry) };
  return cmocka_run_group_tests_name("edge", tests, NULL, NULL);
}
