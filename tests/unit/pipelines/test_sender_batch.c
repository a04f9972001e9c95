/* sending_queue.batch on a virtual clock: what requests become, who hears what, and what the queue counts meanwhile. */
#include "sender_fixture.h"

#include <weir/grpc.h>

static struct sender_batch_config batching;

static int setup_batching(void **state) {
  batching = (struct sender_batch_config){ .flush_timeout_ns = 200 * NS_PER_MS, .min_size = 10, .sizer = -1 };
  int code = setup(state);
  config.queue.batch = &batching;
  return code;
}

/* A request of one resource whose spans have names of these lengths. */
static struct weir_batch *named(const uint32_t *lengths, uint32_t n) {
  size_t spans = 0, at = 0;
  char head[24], inner[12], span[12], name[12];
  for (uint32_t i = 0; i < n; i++) {
    size_t body = 1 + put_varint(name, lengths[i]) + lengths[i];
    spans += 1 + put_varint(span, body) + body;
  }
  inner[0] = 0x12;
  size_t n_inner = 1 + put_varint(inner + 1, spans);
  head[0] = 0x0a;
  size_t n_head = 1 + put_varint(head + 1, n_inner + spans);
  struct weir_body *body = body_new(loop.pool, n_head + n_inner + spans);
  memcpy(body->p, head, n_head);
  memcpy(body->p + n_head, inner, n_inner);
  at = n_head + n_inner;
  for (uint32_t i = 0; i < n; i++) {
    size_t n_name = put_varint(name, lengths[i]);
    body->p[at++] = 0x12;
    at += put_varint(body->p + at, 1 + n_name + lengths[i]);
    body->p[at++] = 0x2a;
    memcpy(body->p + at, name, n_name);
    memset(body->p + at + n_name, 'n', lengths[i]);
    at += n_name + lengths[i];
  }
  body->n = at;
  struct part *part = NULL;
  struct weir_error err = { 0 };
  assert_int_equal(part_from_otlp(loop.pool, WEIR_TRACES, body, body->p, body->n, WEIR_VALIDATE_FULL, 0, NULL, &part, &err), 0);
  assert_int_equal(part->items, n);
  return batch_of_part(&loop, part);
}

static size_t encoded(struct weir_batch *b) {
  const struct weir_iov *iov;
  size_t n, bytes, sum = 0;
  assert_int_equal(batch_encode(b, &iov, &n, &bytes, NULL), 0);
  for (size_t i = 0; i < n; i++) sum += iov[i].n;
  assert_int_equal(sum, bytes);
  return bytes;
}

/* --- when it is sent ------------------------------------------------------------------------------------------ */

static void requests_are_gathered_to_min_size(void **state) {
  (void)state;
  start();
  put(4, &waiters[0]);
  put(5, &waiters[1]);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 0);
  assert_int_equal(waiters[0].heard, 1); /* answered when it entered the queue, as without batch */
  assert_int_equal(LAW("queued"), 9);
  assert_int_equal(QUEUE_SIZE, 2);
  put(3, NULL);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
  assert_int_equal(exporter.got[0]->items, 12); /* without max_size, whole requests */
  assert_int_equal(LAW("queued"), 0);
  assert_int_equal(LAW("in_flight"), 12);
  assert_int_equal(QUEUE_SIZE, 3);
  answer(verdict_delivered());
  assert_int_equal(QUEUE_SIZE, 0);
  assert_int_equal(LAW("sent_total"), 12);
  assert_int_equal(value("otelcol_exporter_queue_batch_send_size_sum{data_type=\"traces\",exporter=\"otlp\"}"), 12);
  assert_int_equal(value("otelcol_exporter_queue_batch_send_size_count{data_type=\"traces\",exporter=\"otlp\"}"), 1);
  assert_int_equal(value("otelcol_exporter_queue_batch_send_size_bytes_sum{data_type=\"traces\",exporter=\"otlp\"}"), 24 + 3 * 4);
  pass(NS_PER_S); /* its timer is gone */
  assert_int_equal(exporter.consumed, 1);
}

static void the_timeout_counts_from_the_first(void **state) {
  (void)state;
  start();
  put(1, NULL);
  loop_run_once(&loop);
  pass(150 * NS_PER_MS);
  put(1, NULL);
  loop_run_once(&loop);
  pass(49 * NS_PER_MS);
  assert_int_equal(exporter.n_got, 0);
  pass(NS_PER_MS);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
  assert_int_equal(exporter.got[0]->items, 2);
  answer(verdict_delivered());
  put(1, NULL);
  loop_run_once(&loop);
  pass(199 * NS_PER_MS);
  assert_int_equal(exporter.n_got, 0);
  pass(2 * NS_PER_MS);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
}

static void min_size_zero_sends_at_once(void **state) {
  (void)state;
  batching.min_size = 0;
  start();
  put(1, NULL);
  put(2, NULL);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 2);
}

static void max_size_cuts_and_the_rest_waits(void **state) {
  (void)state;
  batching.max_size = 10;
  start();
  put(8, NULL);
  loop_run_once(&loop);
  pass(150 * NS_PER_MS);
  put(25, NULL);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 3);
  for (int i = 0; i < 3; i++) assert_int_equal(exporter.got[i]->items, 10);
  assert_int_equal(LAW("queued"), 3);
  pass(150 * NS_PER_MS); /* the rest is a new one: its time began with the cut */
  assert_int_equal(exporter.n_got, 3);
  pass(51 * NS_PER_MS);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 4);
  assert_int_equal(exporter.got[3]->items, 3);
  assert_int_equal(QUEUE_SIZE, 2);
  for (int i = 0; i < 4; i++) answer(verdict_delivered());
  assert_int_equal(QUEUE_SIZE, 0);
}

static void sizes_in_bytes_are_exact(void **state) {
  (void)state;
  static const uint32_t uneven[] = { 5, 500, 5, 5, 5, 300, 5, 5, 900, 5, 5, 5, 200, 5, 5 };
  uint32_t n = sizeof uneven / sizeof *uneven, items = 0;
  batching.sizer = 1;
  batching.min_size = batching.max_size = 600;
  start();
  sender_put(lane, named(uneven, n));
  sender_put(lane, named(uneven, n));
  loop_run_once(&loop);
  pass(NS_PER_S);
  loop_run_once(&loop);
  assert_true(exporter.n_got >= 6);
  for (uint32_t i = 0; i < exporter.n_got; i++) {
    struct weir_batch *b = exporter.got[i];
    assert_true(encoded(b) <= 600 || b->items == 1); /* a span of 900 bytes goes alone */
    items += (uint32_t)b->items;
  }
  assert_int_equal(items, 2 * n);
  while (exporter.n_got) answer(verdict_delivered());
}

static void a_batch_reaches_min_size_by_its_exact_bytes(void **state) {
  (void)state;
  batching.sizer = 1;
  batching.min_size = 48; /* two requests of 24 bytes: 10 spans of 2, and 4 around them */
  start();
  put(10, NULL);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 0);
  put(10, NULL);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
}

static struct weir_batch *edited(void) {
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 10);
  struct weir_error err = { 0 };
  struct weir_data *d = batch_write(b, &err);
  struct weir_value v = { .kind = WEIR_V_INT, .u.i = 1 };
  for (int i = 0; i < 10; i++) batch_attr_set(b, &d->resources[0]->scopes[0]->u.spans[i]->rec, weir_str_of("k"), v);
  return b;
}

static void edited_requests_have_exact_sizes_too(void **state) {
  (void)state;
  struct weir_batch *b = edited();
  uint64_t bound = batch_bytes(b), exact = encoded(b);
  assert_true(exact < bound);
  batch_free(b);
  config.queue.sizer = SIZER_BYTES; /* batch counts bytes too then */
  batching.min_size = (int64_t)exact + 1;
  start();
  sender_put(lane, edited());
  assert_int_equal(QUEUE_SIZE, exact);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 0);
  assert_null(lane->partitions.oldest->gathered->parts[0]->tree); /* what waits gives its tree back */
  put(1, NULL);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
}

/* --- consumers and room ----------------------------------------------------------------------------------------- */

static void while_consumers_are_busy_the_queue_fills(void **state) {
  (void)state;
  config.queue.num_consumers = 1;
  config.queue.queue_size = 4;
  start();
  put(10, NULL); /* sent */
  put(10, NULL); /* ready */
  put(3, NULL);  /* left in the queue, as one is ready */
  put(9, NULL);
  loop_run_once(&loop);
  put(1, &waiters[0]);
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_RETRY);
  assert_int_equal(exporter.n_got, 1);
  assert_int_equal(QUEUE_SIZE, 4);
  answer(verdict_delivered());
  assert_int_equal(exporter.got[0]->items, 10);
  answer(verdict_delivered());
  assert_int_equal(exporter.got[0]->items, 12);
  assert_int_equal(QUEUE_SIZE, 2);
}

static void room_is_given_back_with_each_piece(void **state) {
  (void)state;
  config.queue.sizer = SIZER_ITEMS;
  batching.max_size = 10;
  start();
  put(30, NULL);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 3);
  assert_int_equal(QUEUE_SIZE, 30);
  answer(verdict_delivered());
  assert_int_equal(QUEUE_SIZE, 20);
  answer(verdict_delivered());
  answer(verdict_delivered());
  assert_int_equal(QUEUE_SIZE, 0);
}

/* --- who hears what ---------------------------------------------------------------------------------------------- */

static void who_waits_hears_the_end_of_all_pieces(void **state) {
  (void)state;
  config.queue.wait_for_result = 1;
  batching.max_size = 10;
  start();
  put(6, &waiters[0]);
  put(6, &waiters[1]); /* 4 of it are in the first request, 2 in the second */
  put(8, &waiters[2]);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 2);
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(waiters[0].heard, 1);
  assert_int_equal(waiters[1].heard, 0);
  answer(verdict_delivered());
  loop_run_once(&loop);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(waiters[i].heard, 1);
    assert_int_equal(waiters[i].verdict.code, WEIR_DELIVERED);
  }
}

static void only_the_culprit_hears_the_refusal(void **state) {
  (void)state;
  config.queue.wait_for_result = 1;
  config.queue.num_consumers = 1;
  start();
  put(4, &waiters[0]);
  put(5, &waiters[1]); /* the culprit */
  put(3, &waiters[2]);
  loop_run_once(&loop);
  assert_int_equal(exporter.got[0]->items, 12);
  answer(verdict_rejected(0, "bad span"));
  assert_int_equal(exporter.got[0]->items, 4);
  answer(verdict_delivered());
  assert_int_equal(exporter.got[0]->items, 8);
  answer(verdict_rejected(0, "bad span"));
  assert_int_equal(exporter.got[0]->items, 5);
  answer(verdict_rejected(0, "bad span"));
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_DELIVERED);
  assert_int_equal(waiters[1].verdict.code, WEIR_REJECTED);
  assert_int_equal(waiters[2].verdict.code, WEIR_DELIVERED);
  assert_int_equal(REJECTED("permanent"), 5);
}

static void a_refusal_of_the_sender_is_not_looked_into(void **state) {
  (void)state;
  static const uint32_t statuses[] = { WEIR_GRPC_UNAUTHENTICATED, WEIR_GRPC_PERMISSION_DENIED, WEIR_GRPC_UNIMPLEMENTED };
  start();
  for (int i = 0; i < 3; i++) {
    put(6, NULL);
    put(4, NULL);
    loop_run_once(&loop);
    struct weir_verdict no = verdict_rejected(0, "who are you?");
    no.status = statuses[i];
    answer(no);
    assert_int_equal(exporter.n_got, 0);
    assert_int_equal(REJECTED("permanent"), 10 * (i + 1));
  }
}

/* --- the end -------------------------------------------------------------------------------------------------------- */

static void count_call(void *arg) { ++*(int *)arg; }

static void a_drain_sends_what_is_gathered(void **state) {
  (void)state;
  int drained = 0;
  start();
  put(3, NULL);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 0);
  sender_drain(lane, count_call, &drained);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
  assert_int_equal(drained, 0);
  put(2, NULL); /* what still comes is not kept for min_size */
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 2);
  answer(verdict_delivered());
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(drained, 1);
}

static void what_is_gathered_at_the_deadline_is_lost_or_refused(void **state) {
  (void)state;
  config.queue.num_consumers = 1;
  start();
  put(10, NULL);
  put(10, NULL);
  put(10, NULL);
  loop_run_once(&loop);
  sender_abandon(lane);
  loop_run_once(&loop);
  assert_int_equal(REJECTED("shutdown"), 20);
  assert_int_equal(sender_items_lost(sender), 20);
}

static void who_waits_for_what_is_gathered_hears_of_the_end(void **state) {
  (void)state;
  config.queue.wait_for_result = 1;
  start();
  put(3, &waiters[0]);
  loop_run_once(&loop);
  sender_abandon(lane);
  loop_run_once(&loop);
  assert_int_equal(waiters[0].verdict.code, WEIR_RETRY);
  assert_int_equal(sender_items_lost(sender), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup_batching, teardown)

/* --- a long queue ------------------------------------------------------------------------------------------- */

static uint64_t gathered(void) { return lane->partitions.oldest ? lane->partitions.oldest->gathered->items : 0; }

static void note_gathered(void *arg) { *(uint64_t *)arg = gathered(); }

static void others_have_their_turn_while_a_long_queue_is_gathered(void **state) {
  (void)state;
  uint64_t seen = 0;
  struct timer other = { .fn = note_gathered, .arg = &seen };
  config.queue.queue_size = 100000;
  batching.min_size = 100000;
  start();
  for (int i = 0; i < 20 * (int)SENDER_GATHER_MOST; i++) put(1, NULL);
  timer_set(&loop, &other, 1);
  clock_advance(1);
  loop_run_once(&loop);
  assert_in_range(seen, 1, SENDER_GATHER_MOST);
  assert_in_range(gathered(), 1, 4 * SENDER_GATHER_MOST); /* a run of the loop has several passes */
  for (int i = 0; i < 20; i++) loop_run_once(&loop);
  assert_int_equal(gathered(), 20 * SENDER_GATHER_MOST);
  assert_int_equal(exporter.n_got, 0);
  pass(201 * NS_PER_MS);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
  answer(verdict_delivered());
}

static void note_drained(void *arg) { ++*(int *)arg; }

static void the_end_does_not_wait_for_a_long_queue(void **state) {
  (void)state;
  int drained = 0;
  config.queue.queue_size = 100000;
  batching.min_size = 100000;
  start();
  for (int i = 0; i < 20 * (int)SENDER_GATHER_MOST; i++) put(1, NULL);
  sender_drain(lane, note_drained, &drained);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 0);
  assert_int_equal(drained, 0);
  sender_abandon(lane); /* the drain's time is over */
  assert_int_equal(REJECTED("shutdown"), 20 * SENDER_GATHER_MOST);
  loop_run_once(&loop);
  assert_int_equal(drained, 1);
}

static void a_drain_gathers_a_long_queue_to_its_end(void **state) {
  (void)state;
  int drained = 0;
  config.queue.queue_size = 100000;
  batching.min_size = 100000;
  start();
  for (int i = 0; i < 20 * (int)SENDER_GATHER_MOST; i++) put(1, NULL);
  sender_drain(lane, note_drained, &drained);
  for (int i = 0; i < 21; i++) loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
  assert_int_equal(exporter.got[0]->items, 20 * SENDER_GATHER_MOST);
  answer(verdict_delivered());
  assert_int_equal(drained, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = { T(requests_are_gathered_to_min_size), T(the_timeout_counts_from_the_first), T(min_size_zero_sends_at_once),
    T(max_size_cuts_and_the_rest_waits), T(sizes_in_bytes_are_exact), T(a_batch_reaches_min_size_by_its_exact_bytes),
    T(edited_requests_have_exact_sizes_too), T(while_consumers_are_busy_the_queue_fills), T(room_is_given_back_with_each_piece),
    T(who_waits_hears_the_end_of_all_pieces), T(only_the_culprit_hears_the_refusal), T(a_refusal_of_the_sender_is_not_looked_into), T(a_drain_sends_what_is_gathered),
    T(what_is_gathered_at_the_deadline_is_lost_or_refused), T(who_waits_for_what_is_gathered_hears_of_the_end), T(others_have_their_turn_while_a_long_queue_is_gathered),
    T(the_end_does_not_wait_for_a_long_queue), T(a_drain_gathers_a_long_queue_to_its_end) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
