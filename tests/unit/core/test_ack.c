/* Acks: one verdict per waiter, however many handles carry it and whatever lane settles them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/flow.h"

static struct loop loop;
static struct flow_waiter waiter;

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  waiter = (struct flow_waiter){ 0 };
  return loop_init(&loop, 0, NULL, &err);
}

static int teardown(void **state) {
  (void)state;
  loop_done(&loop);
  return 0;
}

static const struct weir_verdict delivered = { .code = WEIR_DELIVERED };

/* One waiter, n handles settled with these verdicts in this order. */
static void settle_all(const struct weir_verdict *v, size_t n) {
  waiter = (struct flow_waiter){ 0 };
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 10);
  batch_on_verdict(b, flow_hear, &waiter);
  for (size_t i = 0; i + 1 < n; i++) batch_settle(batch_fork(b), &v[i]);
  loop_run_once(&loop);
  assert_int_equal(waiter.heard, 0); /* one handle is still out */
  batch_settle(b, &v[n - 1]);
  assert_int_equal(waiter.heard, 0); /* and never inside the call */
  loop_run_once(&loop);
  assert_int_equal(waiter.heard, 1);
}

static void any_retry_wins_with_the_longest_delay(void **state) {
  (void)state;
  struct weir_verdict v[] = { verdict_retry(3, "a"), verdict_rejected(0, "bad"), verdict_retry(7, "b"), delivered };
  settle_all(v, 4);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
  assert_int_equal(waiter.verdict.retry_after_ns, 7);
  assert_string_equal(waiter.msg, "a");
  struct weir_verdict last[] = { delivered, verdict_rejected(0, "bad"), verdict_retry(0, "full") };
  settle_all(last, 3);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
  assert_string_equal(waiter.msg, "full");
}

static void a_refusal_beats_delivery_and_items_add_up(void **state) {
  (void)state;
  struct weir_verdict v[] = { verdict_rejected(2, "two"), delivered, verdict_rejected(3, "three") };
  settle_all(v, 3);
  assert_int_equal(waiter.verdict.code, WEIR_REJECTED);
  assert_int_equal(waiter.verdict.rejected, 5);
  assert_string_equal(waiter.msg, "two");
  struct weir_verdict all[] = { delivered, verdict_rejected(0, "all of it") };
  settle_all(all, 2);
  assert_int_equal(waiter.verdict.rejected, 10);
}

static void a_partial_success_keeps_its_message(void **state) {
  (void)state;
  struct weir_verdict v[] = { delivered, { .code = WEIR_DELIVERED, .rejected = 4, .msg = "no name" }, delivered };
  settle_all(v, 3);
  assert_int_equal(waiter.verdict.code, WEIR_DELIVERED);
  assert_int_equal(waiter.verdict.rejected, 4);
  assert_string_equal(waiter.msg, "no name");
}

static void a_batch_of_two_waiters_answers_both(void **state) {
  (void)state;
  struct flow_waiter other = { 0 };
  struct weir_batch *a = flow_batch(&loop, WEIR_LOGS, 1), *b = flow_batch(&loop, WEIR_LOGS, 2);
  batch_on_verdict(a, flow_hear, &waiter);
  batch_on_verdict(b, flow_hear, &other);
  batch_merge(a, b, 0);
  assert_int_equal(a->items, 3);
  struct weir_verdict v = verdict_retry(0, "later");
  batch_settle(a, &v);
  loop_run_once(&loop);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
  assert_int_equal(other.verdict.code, WEIR_RETRY);
  assert_int_equal(waiter.heard + other.heard, 2);
}

static void a_merge_may_answer_at_once(void **state) {
  (void)state;
  struct weir_batch *a = flow_batch(&loop, WEIR_LOGS, 1), *b = flow_batch(&loop, WEIR_LOGS, 2);
  batch_on_verdict(b, flow_hear, &waiter);
  batch_merge(a, b, 1);
  loop_run_once(&loop);
  assert_int_equal(waiter.heard, 1);
  assert_int_equal(waiter.verdict.code, WEIR_DELIVERED);
  assert_int_equal(a->n_acks, 0);
  batch_free(a);
}

static void an_answered_batch_lives_on(void **state) {
  (void)state;
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 3);
  batch_on_verdict(b, flow_hear, &waiter);
  batch_answer(b, &delivered);
  loop_run_once(&loop);
  assert_int_equal(waiter.heard, 1);
  assert_int_equal(b->items, 3);
  struct weir_verdict v = verdict_retry(0, NULL);
  batch_settle(b, &v); /* nobody waits any more */
  loop_run_once(&loop);
  assert_int_equal(waiter.heard, 1);
}

/* --- several lanes ------------------------------------------------------------------------------------------ */

#define ROUNDS 200
#define LANES 3

static struct loop lanes[LANES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int heard, retries;

static void hear_on_home(void *arg, const struct weir_verdict *v) {
  (void)arg;
  assert_ptr_equal(loop_current(), &lanes[0]);
  pthread_mutex_lock(&lock);
  heard++;
  retries += v->code == WEIR_RETRY && v->msg && !strcmp(v->msg, "from afar");
  pthread_cond_signal(&cond);
  pthread_mutex_unlock(&lock);
}

static void settle_here(void *arg) {
  struct weir_batch *b = arg;
  char text[] = "from afar"; /* gone when this returns: the verdict's text is copied */
  struct weir_verdict v = b->loop == &lanes[1] ? verdict_retry(1, text) : delivered;
  batch_settle(b, &v);
}

static void send_round(void *arg) {
  (void)arg;
  struct weir_batch *b = flow_batch(&lanes[0], WEIR_TRACES, 5);
  batch_on_verdict(b, hear_on_home, NULL);
  struct weir_batch *one = batch_fork(b), *two = batch_fork(b);
  batch_cross(one, &lanes[1]);
  loop_post(&lanes[1], settle_here, one);
  batch_cross(two, &lanes[2]);
  loop_post(&lanes[2], settle_here, two);
  settle_here(b);
}

static void verdicts_from_other_lanes_come_home(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  for (uint32_t i = 0; i < LANES; i++) assert_int_equal(loop_init(&lanes[i], i, NULL, &err), 0);
  for (int i = 0; i < LANES; i++) assert_int_equal(loop_start_thread(&lanes[i], &err), 0);
  for (int i = 0; i < ROUNDS; i++) loop_post(&lanes[0], send_round, NULL);
  pthread_mutex_lock(&lock);
  while (heard < ROUNDS) pthread_cond_wait(&cond, &lock);
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < LANES; i++) loop_stop(&lanes[i]);
  for (int i = 0; i < LANES; i++) loop_join(&lanes[i]);
  for (int i = 0; i < LANES; i++) loop_done(&lanes[i]);
  assert_int_equal(heard, ROUNDS);
  assert_int_equal(retries, ROUNDS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(any_retry_wins_with_the_longest_delay), T(a_refusal_beats_delivery_and_items_add_up),
    T(a_partial_success_keeps_its_message), T(a_batch_of_two_waiters_answers_both), T(a_merge_may_answer_at_once),
    T(an_answered_batch_lives_on), cmocka_unit_test(verdicts_from_other_lanes_come_home) };
  return cmocka_run_group_tests_name("ack", tests, NULL, NULL);
}
