/* The sender with its queue on disk. */
#include <fcntl.h>
#include <pthread.h>

#include "disk_fixture.h"

#include <weir/health.h>

/* --- a disk whose sync waits for the test ------------------------------------------------------------------ */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_cond = PTHREAD_COND_INITIALIZER;
static int gate_open, gate_error;

static int gated_sync(int fd) {
  pthread_mutex_lock(&gate_lock);
  while (!gate_open) pthread_cond_wait(&gate_cond, &gate_lock);
  int e = gate_error;
  pthread_mutex_unlock(&gate_lock);
  if (!e) return fdatasync(fd);
  errno = EIO;
  return -1;
}

static void set_gate(int is_open, int error) {
  pthread_mutex_lock(&gate_lock);
  gate_open = is_open;
  gate_error = error;
  pthread_cond_broadcast(&gate_cond);
  pthread_mutex_unlock(&gate_lock);
}

static struct spool_sys gated;

static void use_gate(void) {
  gated = spool_sys_default;
  gated.fdatasync = gated_sync;
  disks_set_sys(env.disks, &gated);
  set_gate(1, 0);
}

/* --- the way of a batch --------------------------------------------------------------------------------------- */

static void it_is_acknowledged_when_the_disk_has_it(void **state) {
  (void)state;
  use_gate();
  open_side(&one);
  settle();
  set_gate(0, 0);
  put(7, &waiters[0]);
  for (int i = 0; i < 20; i++) {
    loop_run_once(&loop);
    nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
  }
  assert_int_equal(waiters[0].heard, 0);
  assert_int_equal(one.exporter.n_got, 0);
  set_gate(1, 0);
  WAIT(waiters[0].heard);
  assert_int_equal(waiters[0].verdict.code, WEIR_DELIVERED);
  WAIT(one.exporter.n_got == 1);
  assert_int_equal(stats().records, 1);
  answer(verdict_delivered());
  assert_int_equal(stats().records, 0);
  assert_int_equal(LAW("sent_total"), 7);
  assert_int_equal(atomic_load(one.sender->used), 0);
}

static void what_is_not_delivered_comes_again_in_its_order(void **state) {
  (void)state;
  config.queue.num_consumers = 1;
  open_side(&one);
  for (uint32_t i = 0; i < 5; i++) put(i + 1, &waiters[i]);
  WAIT(waiters[4].heard && one.exporter.n_got == 1);
  answer(verdict_delivered());
  WAIT(one.exporter.n_got == 1);
  close_side(&one);
  open_side(&one);
  assert_int_equal(QUEUE("recovered_items_total"), 2 + 3 + 4 + 5);
  for (uint32_t i = 1; i < 5; i++) {
    WAIT(one.exporter.n_got == 1);
    assert_int_equal(one.exporter.got[0]->items, i + 1);
    answer(verdict_delivered());
  }
  assert_int_equal(stats().records, 0);
  assert_int_equal(LAW("queued"), 0);
  assert_int_equal(sender_items_lost(one.sender), 0);
}

static void what_is_refused_or_tried_for_too_long_leaves_the_disk(void **state) {
  (void)state;
  open_side(&one);
  put(3, NULL);
  WAIT(one.exporter.n_got == 1);
  answer(verdict_rejected(0, "no"));
  WAIT(stats().records == 0);
  assert_int_equal(REJECTED("permanent"), 3);
  config.retry.max_elapsed_time_ns = NS_PER_S;
  put(4, NULL);
  WAIT(one.exporter.n_got == 1);
  answer(verdict_retry(0, "down"));
  WAIT(stats().records == 0);
  assert_int_equal(REJECTED("retries_exhausted"), 4);
  assert_int_equal(sender_items_lost(one.sender), 7);
  put(5, NULL);
  WAIT(one.exporter.n_got == 1);
  struct weir_verdict partial = verdict_delivered();
  partial.rejected = 2;
  answer(partial);
  WAIT(stats().records == 0);
  assert_int_equal(LAW("sent_total"), 3);
}

static void merged_and_cut_requests_release_what_is_done(void **state) {
  (void)state;
  struct sender_batch_config batch = { .flush_timeout_ns = NS_PER_S, .min_size = 20, .max_size = 20, .sizer = -1, .cache_size = 10 };
  config.queue.batch = &batch;
  open_side(&one);
  for (int i = 0; i < 3; i++) put(10, &waiters[i]);
  put(9, &waiters[3]);
  WAIT(waiters[3].heard && one.exporter.n_got == 1);
  assert_int_equal(one.exporter.got[0]->items, 20);
  settle(); /* the other 19 are gathered */
  clock_advance(NS_PER_S);
  WAIT(one.exporter.n_got == 2);
  assert_int_equal(one.exporter.got[1]->items, 19);
  answer(verdict_delivered());
  WAIT(stats().records == 2);
  struct weir_verdict large = verdict_rejected(0, "too large");
  large.too_large = 1;
  answer(large);
  WAIT(one.exporter.n_got == 1);
  assert_int_equal(one.exporter.got[0]->items, 9);
  answer(verdict_delivered()); /* 9 of the first one's 10 */
  WAIT(one.exporter.n_got == 1);
  assert_int_equal(stats().records, 2);
  law_holds();
  close_side(&one); /* the rest is not sent: both come again, 9 of them for the second time */
  open_side(&one);
  assert_int_equal(stats().records, 2);
  WAIT(stats().unread == 0);
  settle(); /* both are gathered */
  clock_advance(NS_PER_S);
  WAIT(one.exporter.n_got == 1);
  assert_int_equal(one.exporter.got[0]->items, 19);
  answer(verdict_delivered());
  WAIT(stats().records == 0);
  law_holds();
}

/* Of requests that were merged only the one that is refused is given up. */
static void the_culprit_is_found(void **state) {
  (void)state;
  struct sender_batch_config batch = { .flush_timeout_ns = NS_PER_S, .min_size = 30, .sizer = -1, .cache_size = 10 };
  config.queue.batch = &batch;
  open_side(&one);
  for (int i = 0; i < 3; i++) put(10, NULL);
  WAIT(one.exporter.n_got == 1);
  answer(verdict_rejected(0, "one is bad"));
  answer(verdict_rejected(0, "this one"));
  assert_int_equal(one.exporter.got[0]->items, 20);
  answer(verdict_delivered());
  WAIT(stats().records == 0);
  assert_int_equal(LAW("sent_total"), 20);
  assert_int_equal(REJECTED("permanent"), 10);
}

/* --- memory -------------------------------------------------------------------------------------------------------- */

static void a_long_queue_waits_on_disk_and_keeps_its_order(void **state) {
  (void)state;
  config.queue.num_consumers = 1;
  open_side(&one);
  for (uint32_t i = 0; i < 20; i++) {
    put(500000 + i, &waiters[i]); /* a megabyte */
    WAIT(waiters[i].heard);
  }
  assert_true(stats().unread >= 10);
  assert_true(atomic_load(&one.lane->disk->memory) <= DISK_MEMORY_MAX);
  for (uint32_t i = 0; i < 20; i++) {
    WAIT(one.exporter.n_got == 1);
    assert_int_equal(one.exporter.got[0]->items, 500000 + i);
    answer(verdict_delivered());
  }
  WAIT(stats().records == 0);
  settle();
  assert_int_equal(atomic_load(&one.lane->disk->memory), 0);
  assert_int_equal(LAW("queued"), 0);
  put(1, &waiters[20]);
  WAIT(one.exporter.n_got == 1);
  answer(verdict_delivered());
}

/* --- full, failing ----------------------------------------------------------------------------------------------------- */

static void a_full_queue_counts_what_is_on_disk(void **state) {
  (void)state;
  config.queue.queue_size = 3;
  open_side(&one);
  for (int i = 0; i < 4; i++) put(2, &waiters[i]);
  WAIT(waiters[2].heard && waiters[3].heard);
  assert_int_equal(waiters[3].verdict.code, WEIR_RETRY);
  assert_string_equal(waiters[3].msg, "sending queue of exporter `otlp/2` is full");
  close_side(&one);
  open_side(&one);
  put(2, &waiters[4]);
  WAIT(waiters[4].heard);
  assert_int_equal(waiters[4].verdict.code, WEIR_RETRY);
  WAIT(one.exporter.n_got == 3);
  answer(verdict_delivered());
  put(2, &waiters[5]);
  WAIT(waiters[5].heard);
  assert_int_equal(waiters[5].verdict.code, WEIR_DELIVERED);
}

static void a_full_disk_refuses_and_takes_again(void **state) {
  (void)state;
  storage.max_bytes = 1u << 20;
  storage.segment_bytes = 64u << 10;
  open_side(&one);
  uint32_t i = 0;
  for (; i < 40; i++) {
    put(30000, &waiters[i]); /* 60 KB */
    WAIT(waiters[i].heard);
    if (waiters[i].verdict.code != WEIR_DELIVERED) break;
  }
  assert_in_range(i, 10, 17);
  assert_int_equal(waiters[i].verdict.code, WEIR_RETRY);
  assert_non_null(strstr(waiters[i].msg, "max_size"));
  while (stats().records) {
    WAIT(one.exporter.n_got);
    answer(verdict_delivered());
  }
  WAIT(stats().disk_bytes < storage.max_bytes / 2);
  put(30000, &waiters[41]);
  WAIT(waiters[41].heard);
  assert_int_equal(waiters[41].verdict.code, WEIR_DELIVERED);
}

static void blocked_requests_go_on_when_there_is_room(void **state) {
  (void)state;
  config.queue.queue_size = 1;
  config.queue.block_on_overflow = 1;
  open_side(&one);
  for (int i = 0; i < 3; i++) put(2, &waiters[i]);
  WAIT(waiters[0].heard);
  settle();
  assert_int_equal(waiters[1].heard, 0);
  for (int i = 0; i < 3; i++) {
    WAIT(one.exporter.n_got == 1);
    answer(verdict_delivered());
  }
  WAIT(waiters[2].heard);
  assert_int_equal(LAW("sent_total"), 6);
}

static void best_effort_drops(void **state) {
  (void)state;
  config.queue.queue_size = 1;
  config.queue.on_full = 1;
  open_side(&one);
  put(2, &waiters[0]);
  put(3, &waiters[1]);
  WAIT(waiters[0].heard && waiters[1].heard);
  assert_int_equal(waiters[1].verdict.code, WEIR_DELIVERED);
  assert_int_equal(REJECTED("queue_full"), 3);
}

static void a_disk_that_fails_refuses_what_comes_and_sends_what_it_has(void **state) {
  (void)state;
  use_gate();
  open_side(&one);
  put(2, &waiters[0]);
  WAIT(waiters[0].heard);
  set_gate(1, 1);
  put(3, &waiters[1]);
  WAIT(waiters[1].heard);
  assert_int_equal(waiters[1].verdict.code, WEIR_RETRY);
  assert_non_null(strstr(waiters[1].msg, "can not write"));
  assert_int_equal(host_health(), WEIR_HEALTH_FAILED);
  put(4, &waiters[2]);
  WAIT(waiters[2].heard);
  assert_int_equal(waiters[2].verdict.code, WEIR_RETRY);
  put(5, NULL); /* nobody waits, so it is lost */
  settle();
  assert_int_equal(REJECTED("storage"), 5);
  WAIT(one.exporter.n_got == 1);
  answer(verdict_delivered());
  assert_int_equal(LAW("sent_total"), 2);
  set_gate(1, 0);
}

static _Atomic int no_segments;

static int refusing_openat(int dir, const char *name, int flags, mode_t mode) {
  if (!(flags & O_CREAT) || !atomic_load(&no_segments)) return openat(dir, name, flags, mode);
  errno = EACCES;
  return -1;
}

static void a_segment_that_could_not_be_made_is_tried_again(void **state) {
  (void)state;
  host_set_health(WEIR_HEALTH_READY);
  gated = spool_sys_default;
  gated.openat = refusing_openat;
  disks_set_sys(env.disks, &gated);
  open_side(&one);
  atomic_store(&no_segments, 1);
  put(2, &waiters[0]);
  WAIT(waiters[0].heard);
  assert_int_equal(waiters[0].verdict.code, WEIR_RETRY);
  assert_int_equal(host_health(), WEIR_HEALTH_FAILED);
  atomic_store(&no_segments, 0);
  put(3, &waiters[1]);
  WAIT(waiters[1].heard);
  assert_int_equal(waiters[1].verdict.code, WEIR_DELIVERED);
  assert_int_equal(host_health(), WEIR_HEALTH_READY);
  WAIT(one.exporter.n_got == 1);
  answer(verdict_delivered());
}

/* Its checksum is right, so whoever wrote it meant it. */
static void what_is_no_request_is_counted_and_skipped(void **state) {
  (void)state;
  struct spool *spool;
  struct weir_error err = { 0 };
  struct weir_iov iov = { "\x0a\x7f", 2 };
  struct spool_append a = { .iov = &iov, .n_iov = 1, .items = 9, .signal = WEIR_TRACES, .done = on_written };
  char *path = disk_path(directory, "otlp/2", WEIR_TRACES, 0);
  assert_non_null(strstr(path, "/otlp%2F2-traces"));
  assert_int_equal(spool_open(&spool, &(struct spool_options){ .directory = path }, &err), 0);
  written = 0;
  assert_int_equal(spool_append(spool_add_lane(spool, &loop, NULL, NULL), &a), 0);
  WAIT(written);
  spool_close(spool);
  free(path);
  open_side(&one);
  put(2, NULL);
  WAIT(one.exporter.n_got == 1);
  settle();
  assert_int_equal(REJECTED("corrupt"), 9);
  assert_int_equal(stats().records, 1);
  answer(verdict_delivered());
}

/* A byte flips on the disk while the record waits there. */
static void a_record_that_is_damaged_later_leaves_the_law(void **state) {
  (void)state;
  char *path = disk_path(directory, "otlp/2", WEIR_TRACES, 0), name[200];
  config.queue.num_consumers = 1;
  open_side(&one);
  for (uint32_t i = 0; i < 3; i++) put(5, &waiters[i]);
  WAIT(waiters[2].heard && one.exporter.n_got == 1);
  close_side(&one);
  snprintf(name, sizeof name, "%s/00000000000000000001.seg", path);
  open_side(&one); /* with one consumer, one is read */
  WAIT(one.exporter.n_got == 1);
  settle();
  FILE *f = fopen(name, "r+");
  assert_non_null(f);
  fseek(f, -6, SEEK_END);
  fputs("x", f);
  fclose(f);
  answer(verdict_delivered());
  WAIT(one.exporter.n_got == 1);
  answer(verdict_delivered());
  settle();
  assert_int_equal(stats().records, 0);
  assert_int_equal(REJECTED("corrupt"), 5);
  assert_int_equal(LAW("sent_total"), 10);
  assert_int_equal(atomic_load(one.sender->used), 0);
  free(path);
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */

static void count(void *arg) { ++*(int *)arg; }

static void a_drain_sends_and_leaves_what_fails_on_disk(void **state) {
  (void)state;
  int drained = 0;
  config.queue.num_consumers = 1;
  open_side(&one);
  for (int i = 0; i < 4; i++) put(2, &waiters[i]);
  WAIT(waiters[3].heard && one.exporter.n_got == 1);
  sender_drain(one.lane, count, &drained);
  settle();
  assert_int_equal(drained, 0);
  answer(verdict_delivered());
  WAIT(one.exporter.n_got == 1);
  answer(verdict_retry(0, "down"));
  WAIT(drained);
  assert_int_equal(one.exporter.n_got, 0);
  assert_int_equal(stats().items, 6);
  assert_int_equal(LAW("queued"), 6);
  uint64_t left;
  assert_int_equal(disks_items(env.disks, &left), 1);
  assert_int_equal(left, 6);
  assert_int_equal(sender_items_lost(one.sender), 0);
}

static void a_drain_waits_for_what_is_on_disk_alone(void **state) {
  (void)state;
  int drained = 0;
  config.queue.num_consumers = 1;
  open_side(&one);
  for (uint32_t i = 0; i < 12; i++) put(500000, &waiters[i]);
  WAIT(waiters[11].heard && one.exporter.n_got == 1);
  assert_true(stats().unread > 0);
  sender_drain(one.lane, count, &drained);
  for (int i = 0; i < 12; i++) {
    WAIT(one.exporter.n_got == 1);
    assert_int_equal(drained, 0);
    answer(verdict_delivered());
  }
  WAIT(drained);
  assert_int_equal(stats().items, 0);
}

/* The exporter answers after the deadline: that counts, too. */
static void a_late_answer_counts(void **state) {
  (void)state;
  open_side(&one);
  put(2, NULL);
  put(3, NULL);
  WAIT(one.exporter.n_got == 2);
  sender_abandon(one.lane);
  settle();
  answer(verdict_delivered());
  assert_int_equal(stats().items, 3);
  assert_int_equal(LAW("sent_total"), 2);
}

/* --- reload ------------------------------------------------------------------------------------------------------------ */

static void a_successor_takes_over_what_is_queued(void **state) {
  (void)state;
  config.queue.num_consumers = 2;
  open_side(&one);
  for (int i = 0; i < 6; i++) put(2, &waiters[i]);
  WAIT(waiters[5].heard && one.exporter.n_got == 2);
  answer(verdict_retry(0, "down")); /* waits for its next try */
  WAIT(one.exporter.n_got == 1);
  open_side(&two);
  sender_retire(one.lane);
  WAIT(two.exporter.n_got == 2);
  put(1, &waiters[6]); /* what still comes the old way */
  WAIT(waiters[6].heard);
  assert_int_equal(sender_is_empty(one.lane), 0);
  answer(verdict_delivered());
  WAIT(sender_is_empty(one.lane));
  for (int i = 0; i < 6; i++) {
    WAIT(two.exporter.n_got >= 1);
    answer_at(&two, verdict_delivered());
  }
  settle();
  assert_int_equal(stats().items, 0);
  assert_int_equal(LAW("sent_total"), 13);
  assert_int_equal(atomic_load(two.sender->used), 0);
  close_side(&one);
  law_holds();
  put_at(&two, 3, &waiters[7]);
  WAIT(waiters[7].heard);
}

static void without_a_successor_all_is_sent(void **state) {
  (void)state;
  config.queue.num_consumers = 1;
  open_side(&one);
  for (int i = 0; i < 3; i++) put(2, &waiters[i]);
  WAIT(waiters[2].heard);
  sender_retire(one.lane);
  for (int i = 0; i < 3; i++) {
    WAIT(one.exporter.n_got == 1);
    assert_int_equal(sender_is_empty(one.lane), 0);
    answer(verdict_delivered());
  }
  WAIT(sender_is_empty(one.lane));
}

static void another_process_is_refused(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct disk *other;
  open_side(&one);
  struct metrics *metrics = metrics_new();
  struct disks *disks = disks_new(metrics, &loop); /* a lock is the open file's: as another process */
  assert_int_equal(disk_open(disks, &storage, "otlp/2", WEIR_TRACES, 0, 0, &other, &err), WEIR_E_STATE);
  assert_non_null(strstr(err.msg, "in use by process"));
  disks_free(disks);
  metrics_free(metrics);
  storage.directory = "/nonexistent/queues";
  assert_int_equal(disk_open(env.disks, &storage, "otlp/2", WEIR_TRACES, 0, 0, &other, &err), WEIR_E_IO);
  assert_non_null(strstr(err.hint, "create_directory"));
}

/* --- context, dead letters ------------------------------------------------------------------------------------------------ */

/* Not while somebody has the queue, be it another process. */
static void a_queue_that_nobody_opened_is_told(void **state) {
  (void)state;
  char *series = malloc(700), with_slash[80];
  struct disks *others = disks_new(env.metrics, &loop);
  open_side(&one);
  put(7, &waiters[0]);
  WAIT(waiters[0].heard);
  snprintf(series, 700, "weir_queue_orphaned_items{queue=\"%s/otlp%%2F2-traces\"}", directory);
  snprintf(with_slash, sizeof with_slash, "%s/", directory);
  disks_find_orphans(env.disks, directory);
  disks_find_orphans(others, directory);
  assert_int_equal(value(series), -1);
  close_side(&one);
  disks_find_orphans(env.disks, with_slash);
  disks_find_orphans(env.disks, directory);
  assert_int_equal(value(series), 7);
  storage.directory = with_slash;
  open_side(&one);
  assert_int_equal(value(series), -1);
  WAIT(one.exporter.n_got == 1);
  answer(verdict_delivered());
  close_side(&one);
  disks_find_orphans(env.disks, directory);
  assert_int_equal(value(series), -1);
  disks_free(others);
  free(series);
}

static void the_context_is_kept(void **state) {
  (void)state;
  const struct weir_context *c = make_context("blue");
  open_side(&one);
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 3);
  batch_set_context(b, c);
  batch_on_verdict(b, flow_hear, &waiters[0]);
  sender_put(one.lane, b);
  WAIT(waiters[0].heard && one.exporter.n_got == 1);
  close_side(&one);
  open_side(&one);
  WAIT(one.exporter.n_got == 1);
  assert_true(context_equal(one.exporter.got[0]->context, c));
  context_unref(c);
  answer(verdict_delivered());
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = { T(it_is_acknowledged_when_the_disk_has_it), T(what_is_not_delivered_comes_again_in_its_order),
    T(what_is_refused_or_tried_for_too_long_leaves_the_disk), T(merged_and_cut_requests_release_what_is_done), T(the_culprit_is_found),
    T(a_long_queue_waits_on_disk_and_keeps_its_order), T(a_full_queue_counts_what_is_on_disk), T(a_full_disk_refuses_and_takes_again),
    T(blocked_requests_go_on_when_there_is_room), T(best_effort_drops), T(a_disk_that_fails_refuses_what_comes_and_sends_what_it_has),
    T(a_segment_that_could_not_be_made_is_tried_again),
    T(what_is_no_request_is_counted_and_skipped), T(a_record_that_is_damaged_later_leaves_the_law), T(a_drain_sends_and_leaves_what_fails_on_disk), T(a_drain_waits_for_what_is_on_disk_alone), T(a_late_answer_counts),
    T(a_successor_takes_over_what_is_queued), T(without_a_successor_all_is_sent), T(another_process_is_refused), T(a_queue_that_nobody_opened_is_told), T(the_context_is_kept) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
