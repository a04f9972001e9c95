/* The sender's dead letters. */
#include "disk_fixture.h"

static void a_dead_letter_is_kept_with_its_reason(void **state) {
  (void)state;
  const struct weir_context *c = make_context("blue");
  with_dead = 1;
  open_side(&one);
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 3);
  batch_set_context(b, c);
  sender_put(one.lane, b);
  WAIT(one.exporter.n_got == 1);
  answer(verdict_rejected(0, "bad tenant"));
  WAIT(stats().records == 0);
  assert_int_equal(DEAD("stored"), 3);
  assert_int_equal(sender_items_lost(one.sender), 0);
  struct spool *p;
  struct spool_view v;
  struct weir_error err = { 0 };
  struct disk_context dc;
  char *path = disk_path(directory, "otlp/2", WEIR_TRACES, 1);
  assert_int_equal(spool_peek_open(&p, path, &err), 0);
  assert_int_equal(spool_peek_next(p, &v), 1);
  assert_int_equal(v.items, 3);
  assert_int_equal(disk_context_read(v.context, v.context_n, &dc), 0);
  assert_memory_equal(dc.reason.p, "permanent", dc.reason.n);
  assert_memory_equal(dc.message.p, "bad tenant", dc.message.n);
  assert_true(context_equal(dc.context, c) || dc.context->n_metadata == 1);
  assert_int_equal(spool_peek_next(p, &v), 0);
  spool_peek_close(p);
  free(path);
  context_unref(c);
}

/* In their order, each once, with the context; what is refused again is a new letter. */
static void dead_letters_are_queued_again(void **state) {
  (void)state;
  uint64_t items = 0;
  const struct weir_context *c = make_context("blue");
  with_dead = 1;
  open_side(&one);
  for (uint32_t i = 0; i < 4; i++) {
    struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, i + 1);
    batch_set_context(b, c);
    sender_put(one.lane, b);
    WAIT(one.exporter.n_got == 1);
    answer(verdict_rejected(0, "no"));
    settle();
  }
  assert_int_equal(sender_replay(one.sender, "otlp-traces.dead", &items), WEIR_E_STATE);
  assert_int_equal(sender_replay(one.sender, "otlp%2F2-traces.dead", &items), 0);
  assert_int_equal(items, 10);
  WAIT(one.exporter.n_got == 4);
  assert_true(context_equal(one.exporter.got[3]->context, c));
  context_unref(c);
  for (uint32_t i = 0; i < 4; i++) {
    assert_int_equal(one.exporter.got[0]->items, i + 1);
    answer(i == 1 ? verdict_rejected(0, "no") : verdict_delivered());
  }
  settle();
  assert_int_equal(LAW("sent_total"), 8);
  assert_int_equal(DEAD("stored"), 12);
  assert_int_equal(value("weir_queue_items{exporter=\"otlp/2\",queue=\"dead_letter\",signal=\"traces\"}"), 2);
  config.queue.queue_size = 0; /* full */
  assert_int_equal(sender_replay(one.sender, "otlp%2F2-traces.dead", &items), 0);
  settle();
  assert_int_equal(value("weir_queue_items{exporter=\"otlp/2\",queue=\"dead_letter\",signal=\"traces\"}"), 2);
  config.queue.queue_size = 1000;
}

static void a_dead_letter_that_is_no_request_is_skipped(void **state) {
  (void)state;
  uint64_t items = 0;
  struct spool *spool;
  struct weir_error err = { 0 };
  char *path = disk_path(directory, "otlp/2", WEIR_TRACES, 1);
  struct weir_iov iov = { "\x0a\xff\xff", 3 };
  struct spool_append a = { .iov = &iov, .n_iov = 1, .items = 5, .signal = WEIR_TRACES, .enqueue_unix_ns = 1, .done = on_written };
  assert_int_equal(spool_open(&spool, &(struct spool_options){ .directory = path, .max_bytes = 1u << 30 }, &err), 0);
  written = 0;
  assert_int_equal(spool_append(spool_add_lane(spool, &loop, NULL, NULL), &a), 0);
  WAIT(written);
  spool_close(spool);
  loop_run_once(&loop);
  free(path);
  with_dead = 1;
  open_side(&one);
  put(3, NULL);
  WAIT(one.exporter.n_got == 1);
  answer(verdict_rejected(0, "no"));
  settle();
  for (int i = 1; i <= 2; i++) {
    assert_int_equal(sender_replay(one.sender, "otlp%2F2-traces.dead", &items), 0);
    WAIT(one.exporter.n_got == 1);
    assert_int_equal(one.exporter.got[0]->items, 3);
    answer(i == 1 ? verdict_rejected(0, "no") : verdict_delivered());
    settle();
    assert_int_equal(DEAD("skipped"), 5 * i);
  }
  assert_int_equal(value("weir_queue_items{exporter=\"otlp/2\",queue=\"dead_letter\",signal=\"traces\"}"), 5);
}

static void old_dead_letters_make_room(void **state) {
  (void)state;
  with_dead = 1;
  storage.max_bytes = 1u << 20;
  storage.segment_bytes = 64u << 10;
  open_side(&one);
  for (int i = 0; i < 60; i++) {
    put(20000, NULL); /* 40 KB */
    WAIT(one.exporter.n_got == 1);
    answer(verdict_rejected(0, "no"));
    WAIT(stats().records == 0);
  }
  settle();
  assert_int_equal(DEAD("failed"), 0);
  assert_int_equal(DEAD("stored"), 60 * 20000);
  assert_true(DEAD("dropped") >= 30 * 20000);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = { T(a_dead_letter_is_kept_with_its_reason), T(dead_letters_are_queued_again), T(a_dead_letter_that_is_no_request_is_skipped),
    T(old_dead_letters_make_room) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
