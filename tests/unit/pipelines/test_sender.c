/* The sender on a virtual clock, with an exporter whose answers the test gives. */
#include "sender_fixture.h"

/* --- queue ---------------------------------------------------------------------------------------------- */

/* An exporter that settles what it was given has answered: its consumer is free, and nothing points at the batch any more. */
static void an_exporter_may_settle(void **state) {
  (void)state;
  struct weir_verdict retry = verdict_retry(0, "not now");
  start();
  put(3, NULL);
  loop_run_once(&loop);
  host_table()->settle(&exporter.stage, flow_take(&exporter), &retry);
  loop_run_once(&loop);
  assert_int_equal(LAW("in_flight"), 3); /* it waits for its next try */
  pass(10 * NS_PER_S);
  assert_int_equal(exporter.n_got, 1);
  answer(verdict_delivered());
  assert_int_equal(LAW("sent_total"), 3);
}

/* What was answered for already (by `batch`) cannot be given back: it is lost, and that is counted. */
static void a_full_queue_counts_what_nobody_waits_for_as_lost(void **state) {
  (void)state;
  config.queue.queue_size = 1;
  start();
  put(3, NULL);
  put(5, NULL);
  put(7, &waiters[0]);
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_RETRY);
  assert_int_equal(LAW("enqueued_total"), 8);
  assert_int_equal(REJECTED("queue_full"), 5);
  assert_int_equal(sender_items_lost(sender), 5);
  answer(verdict_delivered());
}

static void parked_at_the_end_is_lost_when_nobody_waits_for_it(void **state) {
  (void)state;
  config.queue.queue_size = 1;
  config.queue.block_on_overflow = 1;
  start();
  put(3, NULL);
  put(5, NULL);
  put(7, &waiters[0]);
  loop_run_once(&loop);
  answer(verdict_retry(0, "down"));
  sender_abandon(lane);
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_RETRY);
  assert_int_equal(sender_items_lost(sender), 8);
  assert_int_equal(REJECTED("shutdown"), 8);
}

static void a_queued_batch_is_answered_at_once_and_sent(void **state) {
  (void)state;
  start();
  put(7, &waiters[0]);
  assert_int_equal(waiters[0].heard, 0); /* never inside the call */
  loop_run_once(&loop);
  assert_int_equal(waiters[0].heard, 1);
  assert_int_equal(waiters[0].verdict.code, WEIR_DELIVERED);
  assert_int_equal(exporter.n_got, 1);
  assert_int_equal(exporter.got[0]->deadline_ns, clock_mono_ns() + 5 * NS_PER_S);
  assert_int_equal(LAW("in_flight"), 7);
  answer(verdict_delivered());
  assert_int_equal(LAW("sent_total"), 7);
  assert_int_equal(value("otelcol_exporter_sent_spans_total{exporter=\"otlp\"}"), 7);
  assert_int_equal(value("otelcol_exporter_in_flight_requests{data_type=\"traces\",exporter=\"otlp\"}"), 0);
}

static void a_full_queue_refuses_with_its_name(void **state) {
  (void)state;
  config.queue.queue_size = 2;
  config.queue.num_consumers = 1;
  start();
  for (int i = 0; i < 3; i++) put(1, &waiters[i]);
  loop_run_once(&loop);
  assert_int_equal(waiters[1].verdict.code, WEIR_DELIVERED);
  assert_int_equal(waiters[2].verdict.code, WEIR_RETRY);
  assert_string_equal(waiters[2].msg, "sending queue of exporter `otlp` is full");
  assert_int_equal(value("otelcol_exporter_enqueue_failed_spans_total{exporter=\"otlp\"}"), 1);
  assert_int_equal(exporter.n_got, 1); /* one consumer */
  assert_int_equal(LAW("queued"), 1);
  put(1, &waiters[4]); /* what is being sent takes room too, as in the Collector */
  assert_int_equal(LAW("enqueued_total"), 2);
  answer(verdict_delivered());
  assert_int_equal(exporter.n_got, 1);
  put(1, &waiters[3]);
  loop_run_once(&loop);
  assert_int_equal(waiters[3].verdict.code, WEIR_DELIVERED);
}

static void the_sizer_counts_items(void **state) {
  (void)state;
  config.queue.queue_size = 10;
  config.queue.sizer = SIZER_ITEMS;
  start();
  put(6, &waiters[0]);
  put(5, &waiters[1]);
  put(4, &waiters[2]);
  put(11, &waiters[3]);
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_DELIVERED);
  assert_int_equal(waiters[1].verdict.code, WEIR_RETRY);
  assert_int_equal(waiters[2].verdict.code, WEIR_DELIVERED);
  assert_int_equal(waiters[3].verdict.code, WEIR_REJECTED); /* it would never fit */
  assert_string_equal(waiters[3].msg, "request is larger than the whole sending queue of exporter `otlp` (queue_size: 10 spans)");
}

static void the_sizer_counts_bytes(void **state) {
  (void)state;
  config.queue.queue_size = 30; /* 10 spans take 24 bytes: 2 * 10, and 4 around them */
  config.queue.sizer = SIZER_BYTES;
  start();
  put(10, &waiters[0]);
  assert_int_equal(value("otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"otlp\"}"), 24);
  put(2, &waiters[1]);
  put(1, &waiters[2]);
  loop_run_once(&loop);
  assert_int_equal(waiters[1].verdict.code, WEIR_RETRY);
  assert_int_equal(waiters[2].verdict.code, WEIR_DELIVERED);
  assert_int_equal(value("otelcol_exporter_queue_capacity{data_type=\"traces\",exporter=\"otlp\"}"), 30);
}

static void on_full_drop_counts_and_does_not_refuse(void **state) {
  (void)state;
  config.queue.queue_size = 1;
  config.queue.on_full = 1;
  start();
  put(1, NULL);
  put(3, &waiters[0]);
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_DELIVERED);
  assert_int_equal(REJECTED("queue_full"), 3);
}

static void block_on_overflow_parks_in_order(void **state) {
  (void)state;
  config.queue.queue_size = 2;
  config.queue.sizer = SIZER_ITEMS;
  config.queue.block_on_overflow = 1;
  start();
  put(2, &waiters[0]);
  put(2, &waiters[1]);
  put(1, &waiters[2]); /* would fit after the first, but others wait already */
  loop_run_once(&loop);
  assert_int_equal(waiters[0].heard, 1);
  assert_int_equal(waiters[1].heard + waiters[2].heard, 0);
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(waiters[1].verdict.code, WEIR_DELIVERED);
  assert_int_equal(waiters[1].heard, 1);
  assert_int_equal(waiters[2].heard, 0);
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(waiters[2].heard, 1);
}

static void wait_for_result_and_ack_delivered_hear_the_end(void **state) {
  (void)state;
  start();
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 3);
  batch_on_verdict(b, flow_hear, &waiters[0]);
  b->ack_delivered = 1;
  sender_put(lane, b);
  loop_run_once(&loop);
  assert_int_equal(waiters[0].heard, 0);
  answer(verdict_rejected(0, "bad span"));
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_REJECTED);
  assert_int_equal(waiters[0].verdict.rejected, 3);
  assert_string_equal(waiters[0].msg, "bad span");
  config.queue.wait_for_result = 1;
  put(1, &waiters[1]);
  loop_run_once(&loop);
  assert_int_equal(waiters[1].heard, 0);
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(waiters[1].verdict.code, WEIR_DELIVERED);
}

static void without_a_queue_all_are_sent_and_heard(void **state) {
  (void)state;
  config.queue.enabled = 0;
  start();
  for (int i = 0; i < 20; i++) put(1, &waiters[i]);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 20);
  assert_int_equal(waiters[0].heard, 0);
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_DELIVERED);
  assert_int_equal(waiters[1].heard, 0);
}

static void an_empty_batch_is_delivered_and_not_sent(void **state) {
  (void)state;
  start();
  put(0, &waiters[0]);
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_DELIVERED);
  assert_int_equal(exporter.consumed, 0);
}

/* --- retry ---------------------------------------------------------------------------------------------- */

static void delays_grow_with_jitter_to_the_maximum(void **state) {
  (void)state;
  start();
  static const double base[] = { 5, 7.5, 11.25, 16.875, 25.3125, 30, 30 };
  int64_t interval = config.retry.initial_interval_ns;
  for (size_t i = 0; i < sizeof base / sizeof *base; i++) {
    int64_t low = interval, mid = interval, high = interval;
    double s = (double)NS_PER_S;
    assert_int_equal(retry_delay_ns(&config, &low, 0, 0.0), (int64_t)(0.5 * base[i] * s));
    assert_int_equal(retry_delay_ns(&config, &mid, 0, 0.5), (int64_t)(base[i] * s));
    assert_true(retry_delay_ns(&config, &high, 0, 0.999999) > (int64_t)(1.49 * base[i] * s));
    assert_int_equal(low, high);
    interval = mid;
  }
  interval = 5 * NS_PER_S;
  assert_int_equal(retry_delay_ns(&config, &interval, 60 * NS_PER_S, 0.5), 60 * NS_PER_S); /* the server wants longer */
  interval = 5 * NS_PER_S;
  assert_int_equal(retry_delay_ns(&config, &interval, 1 * NS_PER_S, 0.5), 5 * NS_PER_S); /* or shorter */
}

static void a_failed_try_comes_again_and_holds_its_consumer(void **state) {
  (void)state;
  config.queue.num_consumers = 1;
  config.retry.randomization_factor = 0;
  start();
  put(1, NULL);
  put(2, NULL);
  loop_run_once(&loop);
  answer(verdict_retry(0, "no connection"));
  assert_int_equal(exporter.n_got, 0);
  pass(5 * NS_PER_S - 1);
  assert_int_equal(exporter.n_got, 0); /* the second batch does not overtake on this consumer */
  pass(1);
  assert_int_equal(exporter.n_got, 1);
  assert_int_equal(exporter.got[0]->items, 1);
  assert_int_equal(exporter.got[0]->attempts, 2);
  answer(verdict_retry(0, "no connection"));
  pass(7500 * NS_PER_MS - 1);
  assert_int_equal(exporter.n_got, 0);
  pass(1);
  answer(verdict_delivered());
  assert_int_equal(LAW("sent_total"), 1);
  assert_int_equal(exporter.n_got, 1);
  assert_int_equal(exporter.got[0]->items, 2);
}

/* WEIR_IN_ORDER: one batch at a time, whatever num_consumers says, also when there is no other lane; and those that come are sent as they came. */
static void in_order_no_batch_overtakes_one_that_waits(void **state) {
  (void)state;
  config.queue.num_consumers = 10;
  config.retry.randomization_factor = 0;
  sender = sender_new(&config, "otlp", WEIR_TRACES, 1, env.metrics);
  flow_stage_open(&exporter, &loop, WEIR_EXPORTER, "otlp", &ops, NULL);
  exporter.entry.type.flags = WEIR_IN_ORDER;
  lane = sender_add_lane(sender, &loop, &exporter.stage);
  exporter.stage.owner = lane;
  for (uint32_t n = 1; n <= 3; n++) put(n, NULL);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
  answer(verdict_retry(0, "no connection"));
  assert_int_equal(exporter.n_got, 0);
  pass(5 * NS_PER_S);
  for (uint64_t n = 1; n <= 3; n++) {
    assert_int_equal(exporter.n_got, 1);
    assert_int_equal(exporter.got[0]->items, n);
    answer(verdict_delivered());
  }
  assert_int_equal(LAW("sent_total"), 6);
}

static void the_servers_delay_is_kept(void **state) {
  (void)state;
  start();
  put(1, NULL);
  loop_run_once(&loop);
  answer(verdict_retry(20 * NS_PER_S, "throttled"));
  pass(20 * NS_PER_S - 1);
  assert_int_equal(exporter.n_got, 0);
  pass(1);
  assert_int_equal(exporter.n_got, 1);
}

static void after_max_elapsed_time_it_is_given_up_and_counted(void **state) {
  (void)state;
  config.queue.wait_for_result = 1;
  config.retry.max_elapsed_time_ns = 12 * NS_PER_S;
  config.retry.randomization_factor = 0;
  start();
  put(4, &waiters[0]);
  loop_run_once(&loop);
  answer(verdict_retry(0, "down"));
  pass(5 * NS_PER_S);
  answer(verdict_retry(0, "down"));
  loop_run_once(&loop);
  assert_int_equal(waiters[0].heard, 1); /* the next try would be at 12.5 s */
  assert_int_equal(waiters[0].verdict.code, WEIR_RETRY);
  assert_string_equal(waiters[0].msg, "down");
  assert_int_equal(REJECTED("retries_exhausted"), 4);
  assert_int_equal(value("otelcol_exporter_send_failed_spans_total{exporter=\"otlp\"}"), 4);
  assert_int_equal(sender_items_lost(sender), 0); /* somebody was told */
}

static void without_retries_one_failure_is_the_end(void **state) {
  (void)state;
  config.retry.enabled = 0;
  start();
  put(4, NULL);
  loop_run_once(&loop);
  answer(verdict_retry(0, "down"));
  assert_int_equal(REJECTED("retries_exhausted"), 4);
  assert_int_equal(sender_items_lost(sender), 4);
}

static void permanent_and_partial_refusals_are_counted_not_retried(void **state) {
  (void)state;
  start();
  put(4, NULL);
  put(10, NULL);
  loop_run_once(&loop);
  answer(verdict_rejected(0, "bad"));
  struct weir_verdict partial = { .code = WEIR_DELIVERED, .rejected = 3, .msg = "3 spans have no name" };
  answer(partial);
  pass(60 * NS_PER_S);
  assert_int_equal(exporter.n_got, 0);
  assert_int_equal(REJECTED("permanent"), 4);
  assert_int_equal(REJECTED("partial_success"), 3);
  assert_int_equal(LAW("sent_total"), 7);
}

static void what_is_too_large_goes_out_in_halves(void **state) {
  (void)state;
  config.queue.wait_for_result = 1;
  start();
  put(5, &waiters[0]);
  loop_run_once(&loop);
  struct weir_verdict large = { .code = WEIR_REJECTED, .too_large = 1, .msg = "over 4 MiB" };
  answer(large);
  assert_int_equal(exporter.got[0]->items, 2);
  answer(verdict_delivered());
  assert_int_equal(exporter.got[0]->items, 3);
  answer(large);
  assert_int_equal(exporter.got[0]->items, 1);
  answer(large); /* one record alone is refused for good */
  assert_int_equal(exporter.got[0]->items, 2);
  assert_int_equal(waiters[0].heard, 0);
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(waiters[0].heard, 1);
  assert_int_equal(waiters[0].verdict.code, WEIR_REJECTED);
  assert_int_equal(waiters[0].verdict.rejected, 1);
  assert_int_equal(REJECTED("too_large"), 1);
  assert_int_equal(LAW("sent_total"), 4);
}

static void a_request_is_cut_where_the_exporter_says(void **state) {
  (void)state;
  start();
  put(7, NULL);
  loop_run_once(&loop);
  struct weir_verdict cut = { .code = WEIR_REJECTED, .too_large = 1, .cut = 5, .msg = "two tenants" };
  answer(cut);
  assert_int_equal(exporter.got[0]->items, 5);
  answer(verdict_delivered());
  assert_int_equal(exporter.got[0]->items, 2);
  cut.cut = 2; /* nothing would be behind it */
  answer(cut);
  assert_int_equal(exporter.n_got, 0);
  assert_int_equal(REJECTED("too_large"), 2);
  assert_int_equal(LAW("sent_total"), 5);
}

static void only_the_culprit_of_merged_requests_hears_the_refusal(void **state) {
  (void)state;
  config.queue.wait_for_result = 1;
  start();
  struct weir_batch *b = batch_new(&loop, WEIR_TRACES);
  for (uint32_t i = 0; i < 4; i++) {
    struct weir_batch *one = flow_batch(&loop, WEIR_TRACES, i + 1);
    batch_on_verdict(one, flow_hear, &waiters[i]);
    batch_merge(b, one, 0);
  }
  sender_put(lane, b);
  loop_run_once(&loop);
  struct weir_verdict bad = { .code = WEIR_REJECTED, .msg = "bad", .status = 3 };
  answer(bad);
  assert_int_equal(exporter.got[0]->items, 3); /* the first two */
  answer(verdict_delivered());
  assert_int_equal(exporter.got[0]->items, 7);
  answer(bad);
  assert_int_equal(exporter.got[0]->items, 3);
  answer(bad);
  assert_int_equal(exporter.got[0]->items, 4);
  answer(verdict_delivered());
  loop_run_once(&loop);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(waiters[i].heard, 1);
    assert_int_equal(waiters[i].verdict.code, i == 2 ? WEIR_REJECTED : WEIR_DELIVERED);
  }
  assert_int_equal(waiters[2].verdict.status, 3);
  assert_int_equal(REJECTED("permanent"), 3);
  assert_int_equal(LAW("sent_total"), 7);
}

/* --- reservation and drain ---------------------------------------------------------------------------------- */

static void reserved_room_is_used_or_given_back(void **state) {
  (void)state;
  config.queue.queue_size = 1;
  start();
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 1);
  struct weir_verdict v;
  assert_int_equal(sender_reserve(lane, b, &v), 0);
  assert_int_equal(sender_reserve(lane, b, &v), WEIR_E_LIMIT);
  assert_int_equal(v.code, WEIR_RETRY);
  put(1, &waiters[0]); /* not reserved: no room */
  b->reserved = 1;
  sender_put(lane, b);
  assert_int_equal(sender_reserved(lane).room, 0);
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_RETRY);
  assert_int_equal(exporter.n_got, 1);
  answer(verdict_delivered());
  b = flow_batch(&loop, WEIR_TRACES, 1);
  assert_int_equal(sender_reserve(lane, b, &v), 0);
  sender_unreserve(lane, (struct sender_level){ 0, 0 });
  assert_int_equal(sender_reserve(lane, b, &v), 0);
  sender_unreserve(lane, (struct sender_level){ 0, 0 });
  batch_free(b);
}

static void count_call(void *arg) { ++*(int *)arg; }

static void a_drain_does_not_wait_out_backoffs(void **state) {
  (void)state;
  int drained = 0;
  config.queue.num_consumers = 1;
  start();
  put(1, NULL);
  put(1, NULL);
  loop_run_once(&loop);
  answer(verdict_retry(0, "down"));
  sender_drain(lane, count_call, &drained);
  pass(0);
  assert_int_equal(exporter.n_got, 1); /* at once */
  answer(verdict_retry(0, "down"));
  pass(SENDER_DRAIN_WAIT_NS);
  assert_int_equal(exporter.n_got, 1);
  answer(verdict_delivered());
  assert_int_equal(drained, 0);
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(drained, 1);
  assert_int_equal(LAW("sent_total"), 2);
}

static void what_is_left_at_the_deadline_is_counted_as_lost(void **state) {
  (void)state;
  config.queue.num_consumers = 1;
  start();
  put(1, NULL);
  put(2, NULL);
  put(4, NULL);
  loop_run_once(&loop);
  answer(verdict_retry(0, "down"));
  sender_abandon(lane);
  assert_int_equal(REJECTED("shutdown"), 7);
  assert_int_equal(sender_items_lost(sender), 7);
  put(8, &waiters[0]); /* and what comes now is not taken */
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_RETRY);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(an_exporter_may_settle), T(a_full_queue_counts_what_nobody_waits_for_as_lost),
    T(parked_at_the_end_is_lost_when_nobody_waits_for_it), T(a_queued_batch_is_answered_at_once_and_sent), T(a_full_queue_refuses_with_its_name),
    T(the_sizer_counts_items), T(the_sizer_counts_bytes), T(on_full_drop_counts_and_does_not_refuse), T(block_on_overflow_parks_in_order),
    T(wait_for_result_and_ack_delivered_hear_the_end), T(without_a_queue_all_are_sent_and_heard),
    T(an_empty_batch_is_delivered_and_not_sent), T(delays_grow_with_jitter_to_the_maximum),
    T(a_failed_try_comes_again_and_holds_its_consumer), T(in_order_no_batch_overtakes_one_that_waits), T(the_servers_delay_is_kept), T(after_max_elapsed_time_it_is_given_up_and_counted),
    T(without_retries_one_failure_is_the_end), T(permanent_and_partial_refusals_are_counted_not_retried),
    T(what_is_too_large_goes_out_in_halves), T(a_request_is_cut_where_the_exporter_says), T(only_the_culprit_of_merged_requests_hears_the_refusal), T(reserved_room_is_used_or_given_back), T(a_drain_does_not_wait_out_backoffs),
    T(what_is_left_at_the_deadline_is_counted_as_lost) };
  return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
