/* Steps, posts, timers on a virtual clock, and the pool across threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/loop.h"

static int hits;
static char order[32];
static struct loop loop;

static void hit(void *arg) {
  size_t n = strlen(order);
  order[n] = *(const char *)arg;
  order[n + 1] = 0;
  hits++;
}

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  hits = 0;
  order[0] = 0;
  return loop_init(&loop, 0, NULL, &err);
}

static int teardown(void **state) {
  (void)state;
  loop_done(&loop);
  return 0;
}

static void steps_run_later_in_order_and_once(void **state) {
  (void)state;
  struct defer a = { .fn = hit, .arg = "a" }, b = { .fn = hit, .arg = "b" }, c = { .fn = hit, .arg = "c" };
  loop_defer(&loop, &a);
  loop_defer(&loop, &b);
  loop_defer(&loop, &a);
  loop_defer(&loop, &c);
  loop_cancel(&loop, &b);
  assert_int_equal(hits, 0);
  loop_run_once(&loop);
  assert_string_equal(order, "ac");
  loop_defer(&loop, &b);
  loop_run_once(&loop);
  assert_string_equal(order, "acb");
}

static void timers_follow_the_virtual_clock(void **state) {
  (void)state;
  clock_set_virtual(1000, 5000);
  struct timer a = { .fn = hit, .arg = "a" }, b = { .fn = hit, .arg = "b" }, c = { .fn = hit, .arg = "c" };
  timer_set(&loop, &a, 30);
  timer_set(&loop, &b, 10);
  timer_set(&loop, &c, 20);
  timer_cancel(&loop, &c);
  loop_run_timers(&loop);
  assert_int_equal(hits, 0);
  clock_advance(10);
  loop_run_timers(&loop);
  assert_string_equal(order, "b");
  timer_set(&loop, &a, 5); /* re-armed earlier */
  clock_advance(5);
  loop_run_timers(&loop);
  assert_string_equal(order, "ba");
  clock_advance(NS_PER_S);
  loop_run_timers(&loop);
  assert_string_equal(order, "ba");
}

static void many_timers_fire_in_due_order(void **state) {
  (void)state;
  enum { N = 500 };
  static struct timer t[N];
  static char name = 'x';
  int64_t last = 0;
  for (int i = 0; i < N; i++) {
    t[i] = (struct timer){ .fn = hit, .arg = &name };
    timer_set(&loop, &t[i], (i * 7919) % 1000 + 1);
  }
  for (int i = 0; i < N; i += 3) timer_cancel(&loop, &t[i]);
  while (loop.n_heap) {
    assert_true(loop.heap[1]->due_ns >= last);
    last = loop.heap[1]->due_ns;
    timer_cancel(&loop, loop.heap[1]);
  }
}

struct poster {
  struct loop *to;
  struct pool *pool;
};

static _Atomic int arrived;

static void count(void *arg) {
  (void)arg;
  arrived++;
}

static void *post_many(void *arg) {
  struct poster *p = arg;
  for (int i = 0; i < 10000; i++) {
    loop_post(p->to, count, NULL);
    if (i % 10 == 0) body_free(body_new(p->pool, 100)); /* foreign threads may free, and here the pool has no lane yet */
  }
  return NULL;
}

static void add_one(void *arg) { ++*(int *)arg; }

static void posts_from_threads_all_arrive(void **state) {
  (void)state;
  struct loop lane;
  struct weir_error err = { 0 };
  struct pool *pool[3];
  pthread_t thread[3];
  struct poster poster[3];
  assert_int_equal(loop_init(&lane, 1, NULL, &err), 0);
  arrived = 0;
  assert_int_equal(loop_start_thread(&lane, &err), 0);
  for (int i = 0; i < 3; i++) {
    pool[i] = pool_new(NULL);
    poster[i] = (struct poster){ &lane, pool[i] };
    pthread_create(&thread[i], NULL, post_many, &poster[i]);
  }
  for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
  int seen = 0;
  loop_call(&lane, add_one, &seen); /* comes after all posts */
  assert_int_equal(seen, 1);
  assert_int_equal(arrived, 30000);
  loop_stop(&lane);
  loop_join(&lane);
  loop_done(&lane);
  for (int i = 0; i < 3; i++) pool_free(pool[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(steps_run_later_in_order_and_once, setup, teardown),
    cmocka_unit_test_setup_teardown(posts_from_threads_all_arrive, setup, teardown),
    cmocka_unit_test_setup_teardown(timers_follow_the_virtual_clock, setup, teardown),
    cmocka_unit_test_setup_teardown(many_timers_fire_in_due_order, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
