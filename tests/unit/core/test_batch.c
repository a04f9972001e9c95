/* Batch handles: parts by reference, splitting, writing to a copy, encoding, crossing lanes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/flow.h"

static struct loop loop, other;

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  return loop_init(&loop, 0, NULL, &err) || loop_init(&other, 1, NULL, &err);
}

static int teardown(void **state) {
  (void)state;
  loop_done(&other);
  loop_done(&loop);
  return 0;
}

static size_t n_spans(const struct weir_data *d) {
  size_t n = 0;
  for (uint32_t r = 0; r < d->n_resources; r++)
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) n += d->resources[r]->scopes[s]->n_records;
  return n;
}

static struct weir_span *first_span(const struct weir_data *d) { return d->resources[0]->scopes[0]->u.spans[0]; }

/* The wire form, decoded again. */
static size_t encoded_spans(struct weir_batch *b, size_t *ret_bytes) {
  const struct weir_iov *v;
  size_t n, bytes;
  struct weir_error err = { 0 };
  assert_int_equal(batch_encode(b, &v, &n, &bytes, &err), 0);
  struct weir_body *body = body_new(loop.pool, bytes ? bytes : 1);
  for (size_t i = 0; i < n; i++) assert_int_equal(body_append(&body, v[i].p, v[i].n), 0);
  assert_int_equal(body->n, bytes);
  struct part *part;
  assert_int_equal(part_from_otlp(loop.pool, WEIR_TRACES, body, body->p, body->n, WEIR_VALIDATE_FULL, 1, NULL, &part, &err), 0);
  size_t spans = n_spans(part->tree);
  part_unref(part);
  *ret_bytes = bytes;
  return spans;
}

static void a_merge_copies_nothing_and_is_one_message(void **state) {
  (void)state;
  struct weir_batch *b = batch_new(&loop, WEIR_TRACES);
  size_t bytes;
  assert_int_equal(encoded_spans(b, &bytes), 0);
  for (uint32_t i = 1; i <= 5; i++) { /* more than the handle's inline places */
    struct weir_batch *more = flow_batch(&loop, WEIR_TRACES, i);
    struct part *part = more->parts[0];
    batch_merge(b, more, 0);
    assert_ptr_equal(b->parts[i - 1], part);
  }
  assert_int_equal(b->items, 15);
  assert_int_equal(encoded_spans(b, &bytes), 15);
  assert_int_equal(bytes, batch_bytes(b));
  struct weir_error err = { 0 };
  assert_int_equal(n_spans(batch_read(b, &err)), 15);
  batch_free(b);
}

static void a_split_keeps_order_and_shares_the_waiter(void **state) {
  (void)state;
  struct flow_waiter waiter = { 0 };
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 4);
  size_t bytes;
  batch_merge(b, flow_batch(&loop, WEIR_TRACES, 6), 0);
  batch_on_verdict(b, flow_hear, &waiter);
  assert_null(batch_split(b, 0));
  assert_null(batch_split(b, 10));
  struct weir_batch *head = batch_split(b, 7); /* through the second part */
  assert_int_equal(head->items, 7);
  assert_int_equal(b->items, 3);
  assert_int_equal(encoded_spans(head, &bytes), 7);
  assert_int_equal(encoded_spans(b, &bytes), 3);
  struct weir_verdict v = verdict_delivered();
  batch_settle(head, &v);
  loop_run_once(&loop);
  assert_int_equal(waiter.heard, 0);
  batch_settle(b, &v);
  loop_run_once(&loop);
  assert_int_equal(waiter.heard, 1);
}

static void writing_to_a_shared_batch_leaves_the_other_alone(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct weir_batch *a = flow_batch(&loop, WEIR_TRACES, 2), *b = batch_fork(a);
  struct weir_value one = { .kind = WEIR_V_INT, .u.i = 1 };
  size_t before, after;
  encoded_spans(b, &before);
  struct weir_data *d = batch_write(a, &err);
  assert_non_null(d);
  batch_attr_set(a, &first_span(d)->rec, weir_str_of("k"), one);
  assert_int_equal(encoded_spans(a, &after), 2);
  assert_true(after > before);
  assert_int_equal(encoded_spans(b, &after), 2);
  assert_int_equal(after, before);
  batch_free(b);
  batch_free(a);
}

static void memory_made_before_the_edit_lives_with_the_data(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 1), *into = batch_new(&loop, WEIR_TRACES);
  char *text = batch_alloc(b, 6);
  memcpy(text, "value", 6);
  struct weir_value v = { .kind = WEIR_V_STRING, .n = 5, .u.s = text };
  batch_attr_set(b, &first_span(batch_write(b, &err))->rec, weir_str_of("key"), v);
  batch_merge(into, b, 0); /* the handle is gone, its data is not */
  size_t bytes;
  assert_int_equal(encoded_spans(into, &bytes), 1);
  batch_free(into);
}

static void a_batch_that_crossed_is_not_written_in_place(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 3);
  struct part *part = b->parts[0];
  batch_cross(b, &other);
  assert_ptr_equal(b->loop, &other);
  assert_int_equal(n_spans(batch_read(b, &err)), 3);
  assert_null(part->tree); /* decoded beside it, in this lane's memory */
  assert_ptr_not_equal(b->parts[0], part);
  batch_free(b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(a_merge_copies_nothing_and_is_one_message), T(a_split_keeps_order_and_shares_the_waiter),
    T(writing_to_a_shared_batch_leaves_the_other_alone), T(memory_made_before_the_edit_lives_with_the_data),
    T(a_batch_that_crossed_is_not_written_in_place) };
  return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
