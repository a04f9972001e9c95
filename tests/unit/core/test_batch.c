/* Batch handles: parts by reference, splitting, writing to a copy, encoding, crossing lanes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "bench/otlp_sample.h"

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

/* Three merged batches with a waiter each: 4, 6 and 2 items. */
static struct weir_batch *merged_of_three(struct flow_waiter *w) {
  static const uint32_t items[] = { 4, 6, 2 };
  struct weir_batch *b = batch_new(&loop, WEIR_TRACES);
  for (int i = 0; i < 3; i++) {
    struct weir_batch *one = flow_batch(&loop, WEIR_TRACES, items[i]);
    w[i] = (struct flow_waiter){ 0 };
    batch_on_verdict(one, flow_hear, &w[i]);
    batch_merge(b, one, 0);
  }
  return b;
}

static void heard_are(const struct flow_waiter *w, int a, int b, int c) {
  loop_run_once(&loop);
  assert_int_equal(w[0].heard, a);
  assert_int_equal(w[1].heard, b);
  assert_int_equal(w[2].heard, c);
}

static void a_split_of_merged_batches_takes_their_waiters_along(void **state) {
  (void)state;
  struct flow_waiter w[3];
  struct weir_verdict ok = verdict_delivered(), bad = verdict_rejected(0, "bad");
  struct weir_batch *b = merged_of_three(w), *head = batch_split(b, 5), *fork = batch_fork(head);
  batch_settle(head, &ok); /* the first, and a piece of the second */
  heard_are(w, 0, 0, 0);
  batch_settle(fork, &ok);
  heard_are(w, 1, 0, 0);
  head = batch_split(b, 5);
  assert_int_equal(head->n_acks, 1);
  batch_settle(b, &bad);
  heard_are(w, 1, 0, 1);
  assert_int_equal(w[2].verdict.rejected, 2);
  batch_settle(head, &ok);
  heard_are(w, 1, 1, 1);
  assert_int_equal(w[1].verdict.code, WEIR_DELIVERED);
}

static void merged_batches_are_told_apart_by_halving(void **state) {
  (void)state;
  struct flow_waiter w[3];
  struct weir_verdict ok = verdict_delivered();
  struct weir_batch *rest = merged_of_three(w), *first = batch_split_parents(rest), *second = batch_split_parents(rest);
  assert_int_equal(first->items, 4);
  assert_int_equal(second->items, 6);
  assert_int_equal(rest->items, 2);
  assert_null(batch_split_parents(rest));
  batch_settle(second, &ok);
  heard_are(w, 0, 1, 0);
  batch_settle(first, &ok);
  batch_settle(rest, &ok);
  heard_are(w, 1, 1, 1);
  struct weir_batch *queued = batch_new(&loop, WEIR_TRACES); /* nobody waits: it is one */
  batch_merge(queued, flow_batch(&loop, WEIR_TRACES, 1), 1);
  batch_merge(queued, flow_batch(&loop, WEIR_TRACES, 1), 1);
  assert_null(batch_split_parents(queued));
  batch_free(queued);
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

/* A fan-out of an edited batch to three exporters: one copy of the data, encoded by the first that sends. */
static void three_holders_share_the_data_and_one_encoding(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct weir_batch *held[3] = { flow_batch(&loop, WEIR_TRACES, 100), NULL, NULL };
  const struct weir_iov *v[3];
  size_t n[3], bytes[3];
  struct weir_value one = { .kind = WEIR_V_INT, .u.i = 1 };
  batch_attr_set(held[0], &first_span(batch_write(held[0], &err))->rec, weir_str_of("k"), one);
  held[1] = batch_fork(held[0]);
  held[2] = batch_fork(held[0]);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(batch_encode(held[i], &v[i], &n[i], &bytes[i], &err), 0);
    assert_ptr_equal(held[i]->parts[0], held[0]->parts[0]);
    assert_int_equal(n[i], n[0]);
    for (size_t k = 0; k < n[0]; k++) assert_ptr_equal(v[i][k].p, v[0][k].p);
  }
  for (int i = 0; i < 3; i++) batch_free(held[i]);
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

/* --- placement by key -------------------------------------------------------------------------------------- */

/* The first span's number is `first`; 1000 and above: only counted, so that reading is the first look into them. */
static struct weir_batch *sample_batch(uint64_t first, uint64_t n) {
  struct sample s = sample_request(first, n);
  struct weir_body *body = body_new(loop.pool, s.n);
  struct part *part = NULL;
  memcpy(body->p, s.p, s.n);
  body->n = s.n;
  assert_int_equal(part_from_otlp(loop.pool, WEIR_TRACES, body, body->p, s.n, WEIR_VALIDATE_FULL, first < 1000, NULL, &part, NULL), 0);
  free(s.p);
  return batch_of_part(&loop, part);
}

static uint32_t keys_asked;

static uint64_t number_of(const struct weir_resource *resource, const struct weir_scope *scope, const struct weir_rec *rec) {
  assert_int_equal(resource->rec.kind, WEIR_R_RESOURCE);
  assert_int_equal(scope->rec.kind, WEIR_R_SCOPE);
  keys_asked++;
  return (((const struct weir_span *)(const void *)rec)->start_time_unix_nano - 1700000000000000000u) / 1000000u;
}

/* Decoded and undecoded parts, one that is another batch's as well, one of a single record, an edited one; two waiters, a context. */
static void merged_parts_are_placed_record_by_record(void **state) {
  (void)state;
  struct flow_waiter waiters[2] = { 0 };
  struct weir_error err = { 0 };
  struct weir_batch *b = sample_batch(0, 30), *other_holder = sample_batch(1000, 20), *pieces[3];
  batch_on_verdict(b, flow_hear, &waiters[0]);
  batch_write(b, &err);
  batch_attr_set(b, &first_span(batch_read(b, &err))->rec, weir_str_of("new"), weir_value_int(1));
  struct weir_batch *more = batch_fork(other_holder);
  batch_on_verdict(more, flow_hear, &waiters[1]);
  batch_merge(b, more, 0);
  batch_merge(b, sample_batch(2, 1), 0);
  b->ack_delivered = 1;
  assert_int_equal(batch_place(b, number_of, 3, 1, pieces, &err), 0);
  uint64_t items = 0;
  struct weir_verdict delivered = verdict_delivered(), retry = verdict_retry(0, "no");
  for (uint64_t k = 0; k < 3; k++) {
    const struct weir_data *d = batch_read(pieces[k], &err);
    size_t bytes;
    assert_int_equal(n_spans(d), pieces[k]->items);
    assert_int_equal(encoded_spans(pieces[k], &bytes), pieces[k]->items);
    assert_int_equal(pieces[k]->ack_delivered, 1);
    for (uint32_t r = 0; r < d->n_resources; r++)
      for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++)
        for (uint32_t i = 0; i < d->resources[r]->scopes[s]->n_records; i++)
          assert_int_equal(number_of(d->resources[r], d->resources[r]->scopes[s], d->resources[r]->scopes[s]->u.recs[i]) % 3, k);
    items += pieces[k]->items;
  }
  assert_int_equal(items, 51);
  for (int k = 0; k < 3; k++) {
    loop_run_once(&loop);
    assert_int_equal(waiters[0].heard + waiters[1].heard, 0);
    batch_settle(pieces[k], k == 1 ? &retry : &delivered);
  }
  loop_run_once(&loop);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(waiters[i].heard, 1);
    assert_int_equal(waiters[i].verdict.code, WEIR_RETRY); /* the worst of the three */
  }
  batch_free(other_holder);
}

static void what_belongs_to_one_lane_is_not_cut(void **state) {
  (void)state;
  struct weir_batch *b = sample_batch(7, 1), *pieces[4];
  struct weir_error err = { 0 };
  keys_asked = 0;
  assert_int_equal(batch_place(b, number_of, 4, 0, pieces, &err), 0);
  assert_ptr_equal(pieces[3], b);
  assert_int_equal(keys_asked, 1);
  assert_true(!pieces[0] && !pieces[1] && !pieces[2]);
  batch_merge(b, sample_batch(11, 1), 0);
  assert_int_equal(batch_place(b, number_of, 4, 0, pieces, &err), 0);
  assert_ptr_equal(pieces[3], b);
  assert_int_equal(b->n_parts, 2);
  batch_free(b);
  b = batch_new(&loop, WEIR_TRACES); /* without records */
  assert_int_equal(batch_place(b, number_of, 4, 2, pieces, &err), 0);
  assert_ptr_equal(pieces[2], b);
  batch_free(b);
}

/* Only counted when it came: whose it is can not be told, so this lane's instance gets it and says what is wrong. */
static void what_can_not_be_read_stays_on_its_lane(void **state) {
  (void)state;
  static const char bad[] = "\x0a\x06\x12\x04\x12\x02\x4a\x05"; /* an attribute that runs past its span */
  struct weir_body *body = body_new(loop.pool, sizeof bad);
  struct part *part = NULL;
  struct weir_error err = { 0 };
  memcpy(body->p, bad, sizeof bad - 1);
  assert_int_equal(part_from_otlp(loop.pool, WEIR_TRACES, body, body->p, sizeof bad - 1, WEIR_VALIDATE_ENVELOPE, 0, NULL, &part, &err), 0);
  struct weir_batch *b = sample_batch(0, 4), *pieces[4];
  batch_merge(b, batch_of_part(&loop, part), 0);
  assert_int_equal(batch_place(b, number_of, 4, 2, pieces, &err), 0);
  assert_ptr_equal(pieces[2], b);
  assert_int_equal(b->items, 5);
  batch_free(b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(a_merge_copies_nothing_and_is_one_message), T(a_split_keeps_order_and_shares_the_waiter),
    T(a_split_of_merged_batches_takes_their_waiters_along), T(merged_batches_are_told_apart_by_halving),
    T(writing_to_a_shared_batch_leaves_the_other_alone), T(three_holders_share_the_data_and_one_encoding),
    T(memory_made_before_the_edit_lives_with_the_data),
    T(a_batch_that_crossed_is_not_written_in_place), T(merged_parts_are_placed_record_by_record), T(what_belongs_to_one_lane_is_not_cut),
    T(what_can_not_be_read_stays_on_its_lane) };
  return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
