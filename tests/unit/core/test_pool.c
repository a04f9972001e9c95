/* Recycled blocks, bodies, arenas, and the byte budget behind them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/pool.h"

static void blocks_are_recycled_and_charged(void **state) {
  (void)state;
  struct budget budget;
  budget_init(&budget, 1u << 20);
  struct pool *p = pool_new(&budget);
  pool_adopt(p);
  struct weir_body *a = body_new(p, 5000);
  assert_non_null(a);
  assert_true(a->cap >= 5000);
  assert_true(budget.used >= 5000);
  body_free(a);
  assert_int_equal(budget.used, 0);
  struct weir_body *b = body_new(p, 5000);
  assert_ptr_equal(a, b);
  assert_null(body_new(p, 2u << 20));
  assert_int_equal(budget.refused, 1);
  for (int i = 0; i < 300; i++) assert_int_equal(body_append(&b, "0123456789abcdef", 16), 0);
  assert_int_equal(b->n, 4800);
  while (body_append(&b, "0123456789abcdef", 16) == 0) assert_true(b->n < 1u << 20); /* ends by the budget */
  assert_true(b->n >= 128 * 1024);
  assert_memory_equal(b->p + b->n - 16, "0123456789abcdef", 16);
  body_free(b);
  assert_int_equal(budget.used, 0);
  pool_free(p);
}

static void *free_it(void *arg) {
  body_free(arg);
  return NULL;
}

static void a_foreign_thread_gives_back(void **state) {
  (void)state;
  struct pool *p = pool_new(NULL);
  pool_adopt(p);
  struct weir_body *a = body_new(p, 100000);
  pthread_t t;
  pthread_create(&t, NULL, free_it, a);
  pthread_join(t, NULL);
  assert_ptr_equal(body_new(p, 100000), a);
  body_free(a);
  pool_trim(p);
  pool_trim(p);
  pool_free(p);
}

static void arenas_grow_and_overdraw(void **state) {
  (void)state;
  struct budget budget;
  budget_init(&budget, 10000);
  struct pool *p = pool_new(&budget);
  struct arena a;
  arena_init(&a, p, 0);
  char *first = arena_strdup(&a, "first");
  for (int i = 0; i < 1000; i++) memset(arena_alloc(&a, 100), i, 100);
  assert_string_equal(first, "first");
  assert_true(budget.used > budget.limit); /* never NULL after admission */
  assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
  char *big = arena_alloc(&a, 1u << 20);
  memset(big, 1, 1u << 20);
  assert_true(arena_size(&a) > (1u << 20));
  arena_done(&a);
  assert_int_equal(budget.used, 0);
  pool_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(blocks_are_recycled_and_charged), cmocka_unit_test(a_foreign_thread_gives_back),
    cmocka_unit_test(arenas_grow_and_overdraw) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
