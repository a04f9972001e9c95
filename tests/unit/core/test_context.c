/* Contexts: what is kept and in which order, limits, counting, equality; and how batches carry them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "core/context.h"

static struct env env;
static struct loop loop, other;

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  budget_init(&env.budget, 8u << 20);
  return loop_init(&loop, 0, &env, &err) || loop_init(&other, 1, &env, &err);
}

static int teardown(void **state) {
  (void)state;
  loop_done(&other);
  loop_done(&loop);
  return 0;
}

static struct weir_pair pair(const char *name, const char *value) { return (struct weir_pair){ weir_str_of(name), weir_str_of(value) }; }

static const struct weir_context *make(const char *name, const char *value) {
  struct weir_pair p = pair(name, value);
  struct weir_context what = { .size = sizeof what, .metadata = &p, .n_metadata = 1, .peer = weir_str_of("127.0.0.1:1") };
  const struct weir_context *c;
  struct weir_error err;
  assert_int_equal(context_new(loop.pool, &what, &c, &err), 0);
  return c;
}

static void value_is(const struct weir_context *c, const char *name, uint32_t i, const char *value) {
  uint32_t n;
  const struct weir_pair *v = weir_pairs_find(c->metadata, c->n_metadata, weir_str_of(name), &n);
  assert_true(i < n);
  assert_true(weir_str_eq(v[i].value, weir_str_of(value)));
}

static void names_are_lowered_and_values_keep_their_order(void **state) {
  (void)state;
  char source[] = "b-value";
  struct weir_pair in[] = { pair("X-Tenant", "b"), pair("accept", "*"), pair("x-tenant", "A"), pair("zz", ""), pair("X-TENANT", "c") };
  struct weir_pair auth[] = { pair("Username", "Ann") };
  in[1].value = weir_str_of(source);
  struct weir_context what = { .size = sizeof what, .metadata = in, .n_metadata = 5, .auth = auth, .n_auth = 1, .peer = weir_str_of("10.0.0.1:99") };
  const struct weir_context *c;
  struct weir_error err;
  uint32_t n;
  assert_int_equal(context_new(loop.pool, &what, &c, &err), 0);
  memset(source, 0, sizeof source); /* it is a copy */
  assert_int_equal(c->n_metadata, 5);
  value_is(c, "accept", 0, "b-value");
  value_is(c, "x-tenant", 0, "b");
  value_is(c, "x-tenant", 1, "A");
  value_is(c, "x-tenant", 2, "c");
  value_is(c, "zz", 0, "");
  assert_null(weir_pairs_find(c->metadata, c->n_metadata, weir_str_of("X-Tenant"), &n));
  assert_int_equal(n, 0);
  assert_non_null(weir_pairs_find(c->auth, c->n_auth, weir_str_of("Username"), &n)); /* attributes are as the authenticator names them */
  assert_true(weir_str_eq(c->peer, weir_str_of("10.0.0.1:99")));
  context_unref(c);
}

static void many_lines_are_sorted(void **state) {
  (void)state;
  char names[WEIR_CONTEXT_MAX_PAIRS][8];
  struct weir_pair in[WEIR_CONTEXT_MAX_PAIRS];
  for (uint32_t i = 0; i < WEIR_CONTEXT_MAX_PAIRS; i++) {
    snprintf(names[i], sizeof names[i], "h%03u", (i * 37u) % WEIR_CONTEXT_MAX_PAIRS);
    in[i] = pair(names[i], names[i]);
  }
  struct weir_context what = { .size = sizeof what, .metadata = in, .n_metadata = WEIR_CONTEXT_MAX_PAIRS };
  const struct weir_context *c;
  struct weir_error err;
  assert_int_equal(context_new(loop.pool, &what, &c, &err), 0);
  for (uint32_t i = 1; i < c->n_metadata; i++) assert_true(memcmp(c->metadata[i - 1].name.p, c->metadata[i].name.p, 4) <= 0);
  context_unref(c);
}

static void over_the_limits_is_refused(void **state) {
  (void)state;
  static struct weir_pair in[WEIR_CONTEXT_MAX_PAIRS + 1];
  struct weir_context what = { .size = sizeof what, .metadata = in, .n_metadata = WEIR_CONTEXT_MAX_PAIRS + 1 };
  const struct weir_context *c = NULL;
  struct weir_error err;
  for (size_t i = 0; i <= WEIR_CONTEXT_MAX_PAIRS; i++) in[i] = pair("a", "b");
  assert_int_equal(context_new(loop.pool, &what, &c, &err), WEIR_E_LIMIT);
  char *large = calloc(1, WEIR_CONTEXT_MAX_BYTES);
  assert_non_null(large);
  in[0].value = (struct weir_str){ large, WEIR_CONTEXT_MAX_BYTES, 0 };
  what.n_metadata = 1;
  assert_int_equal(context_new(loop.pool, &what, &c, &err), WEIR_E_LIMIT);
  in[0].value.n--;
  assert_int_equal(context_new(loop.pool, &what, &c, &err), 0);
  context_unref(c);
  free(large);
}

static void it_is_charged_and_freed_with_the_last_reference(void **state) {
  (void)state;
  uint64_t before = atomic_load(&env.budget.used);
  const struct weir_context *c = make("a", "b");
  assert_true(atomic_load(&env.budget.used) > before);
  assert_ptr_equal(context_ref(c), c);
  context_unref(c);
  assert_true(atomic_load(&env.budget.used) > before);
  context_unref(c);
  assert_int_equal(atomic_load(&env.budget.used), before);
  assert_null(context_ref(NULL));
  context_unref(NULL);
}

static void without_room_in_the_budget_there_is_none(void **state) {
  (void)state;
  struct weir_context what = { .size = sizeof what, .peer = weir_str_of("p") };
  const struct weir_context *c = NULL;
  struct weir_error err;
  uint64_t left = (8u << 20) - atomic_load(&env.budget.used);
  assert_int_equal(budget_take(&env.budget, left), 1);
  assert_int_equal(context_new(loop.pool, &what, &c, &err), WEIR_E_NOMEM);
  budget_give(&env.budget, left);
}

static void equal_is_by_content(void **state) {
  (void)state;
  const struct weir_context *a = make("x", "1"), *b = make("X", "1"), *c = make("x", "2"), *d = make("y", "1");
  assert_true(context_equal(a, a) && context_equal(a, b));
  assert_false(context_equal(a, c) || context_equal(a, d) || context_equal(a, NULL) || context_equal(NULL, a));
  assert_true(context_equal(NULL, NULL));
  context_unref(a);
  context_unref(b);
  context_unref(c);
  context_unref(d);
}

static struct weir_batch *batch_with(uint32_t n, const struct weir_context *c) {
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, n);
  batch_set_context(b, c);
  return b;
}

static void forks_and_cuts_share_it(void **state) {
  (void)state;
  const struct weir_context *c = make("x", "1");
  struct weir_batch *b = batch_with(4, c), *f = batch_fork(b), *head = batch_split(b, 1);
  assert_ptr_equal(f->context, c);
  assert_ptr_equal(head->context, c);
  assert_ptr_equal(b->context, c);
  batch_cross(f, &other);
  assert_ptr_equal(f->context, c);
  context_unref(c); /* the batches hold it */
  value_is(b->context, "x", 0, "1");
  batch_free(head);
  batch_free(b);
  value_is(f->context, "x", 0, "1");
  batch_free(f);
}

static void a_merge_keeps_what_is_the_same_on_both_sides(void **state) {
  (void)state;
  const struct weir_context *a = make("x", "1"), *same = make("x", "1"), *b = make("x", "2");
  struct weir_batch *into = batch_new(&loop, WEIR_TRACES);
  batch_merge(into, batch_with(1, a), 1); /* an empty batch is whoever comes first's */
  assert_ptr_equal(into->context, a);
  batch_merge(into, batch_with(1, same), 1);
  assert_ptr_equal(into->context, a);
  batch_merge(into, batch_with(1, b), 1);
  assert_null(into->context);
  batch_merge(into, batch_with(1, a), 1); /* what is of several stays of several */
  assert_null(into->context);
  struct weir_batch *from_a = batch_with(1, a);
  batch_merge(from_a, batch_with(1, NULL), 1);
  assert_null(from_a->context);
  batch_free(from_a);
  batch_free(into);
  context_unref(a);
  context_unref(same);
  context_unref(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names_are_lowered_and_values_keep_their_order),
    cmocka_unit_test(many_lines_are_sorted),
    cmocka_unit_test(over_the_limits_is_refused),
    cmocka_unit_test(it_is_charged_and_freed_with_the_last_reference),
    cmocka_unit_test(without_room_in_the_budget_there_is_none),
    cmocka_unit_test(equal_is_by_content),
    cmocka_unit_test(forks_and_cuts_share_it),
    cmocka_unit_test(a_merge_keeps_what_is_the_same_on_both_sides),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
