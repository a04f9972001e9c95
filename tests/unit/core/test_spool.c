/* The disk queue with nothing wrong: order, lanes, room, release, restart, looking at it. */
#include "spool_fixture.h"

static int n_segments;

static void count_segment(const char *path, const char *name) {
  (void)path;
  n_segments += strstr(name, SEGMENT_SUFFIX) != NULL;
}

static int segments(void) {
  n_segments = 0;
  each_file(count_segment);
  return n_segments;
}

/* Reads all, which must be these in order, and releases them. */
static void expect_run(uint64_t from, uint64_t to) {
  for (uint64_t id, seq, want = from; want < to; want++) {
    assert_int_equal(take(&id, &seq), 1);
    assert_int_equal(id, want);
    spool_release(spool, seq);
  }
}

static void expect_empty(void) {
  uint64_t id, seq;
  assert_int_equal(take(&id, &seq), 0);
}

static void expect_law(void) {
  struct spool_stats st = stats();
  assert_int_equal(st.recovered_items + st.appended_items, st.items + st.released_items + st.corrupt_found_items);
  assert_int_equal(st.recovered_records + st.appended_records, st.records + st.released_records + st.corrupt_found_records);
}

static void what_goes_in_comes_out_in_order(void **state) {
  (void)state;
  start_queue();
  expect_empty();
  for (uint64_t i = 0; i < 300; i++) assert_int_equal(add(i), 0);
  struct spool_stats st = stats();
  assert_int_equal(st.records, 300);
  assert_int_equal(st.unread, 300);
  assert_int_equal(st.oldest_unix_ns, 1000);
  assert_true(st.syncs >= 300);
  assert_int_equal(st.disk_bytes, st.bytes);
  expect_run(0, 300);
  expect_empty();
  st = stats();
  assert_int_equal(st.records, 0);
  assert_int_equal(st.items, 0);
  assert_int_equal(st.bytes, 0);
  assert_int_equal(st.oldest_unix_ns, 0);
  expect_law();
}

static void records_survive_a_restart(void **state) {
  (void)state;
  start_queue();
  for (uint64_t i = 0; i < 100; i++) assert_int_equal(add(i), 0);
  expect_run(0, 30);
  restart_queue();
  struct spool_stats st = stats();
  assert_int_equal(st.recovered_records, 70);
  assert_int_equal(st.corrupt_records + st.torn_tails + st.lost_segments, 0);
  for (uint64_t i = 100; i < 120; i++) assert_int_equal(add(i), 0);
  expect_run(30, 120);
  expect_empty();
  restart_queue();
  expect_empty();
  for (uint64_t i = 120; i < 130; i++) assert_int_equal(add(i), 0); /* numbers go on where they were */
  restart_queue();
  expect_run(120, 130);
  expect_law();
}

static void out_of_order_releases_are_remembered(void **state) {
  (void)state;
  enum { N = 1 + CURSOR_BITS };
  uint64_t id[N], seq[N];
  start_queue();
  for (uint64_t i = 0; i < N; i++) assert_int_equal(add(i), 0);
  for (int i = 0; i < N; i++) assert_int_equal(take(&id[i], &seq[i]), 1);
  for (int i = 0; i < N; i++)
    if (i % 3 != 1) spool_release(spool, seq[i]);
  restart_queue(); /* who held the others is gone */
  for (uint64_t i = 1; i < N; i += 3) expect_run(i, i + 1);
  expect_empty();
}

static void without_its_cursor_all_that_stands_is_queued(void **state) {
  (void)state;
  char path[128];
  start_queue();
  for (uint64_t i = 0; i < 50; i++) assert_int_equal(add(i), 0);
  expect_run(0, 20);
  stop_queue();
  path_of(path, sizeof path, CURSOR_NAME);
  assert_int_equal(unlink(path), 0);
  start_queue();
  struct spool_stats st = stats();
  assert_int_equal(st.recovered_records, 50);
  assert_int_equal(st.corrupt_records, 0);
  expect_run(0, 50);
}

static void kept_records_are_the_appender_s_until_it_returns_them(void **state) {
  (void)state;
  uint64_t seq[10];
  start_queue();
  for (uint64_t i = 0; i < 10; i++) assert_int_equal(add_kept(i, 1, &seq[i]), 0);
  assert_int_equal(stats().unread, 0);
  assert_int_equal(stats().records, 10);
  expect_empty();
  spool_return(spool, seq[7]);
  spool_return(spool, seq[3]);
  expect_run(3, 4);
  expect_run(7, 8);
  spool_release(spool, seq[0]);
  restart_queue();
  expect_run(1, 3);
  expect_run(4, 7);
  expect_run(8, 10);
  expect_empty();
}

static int wakes;

static void on_wake(void *arg) {
  (void)arg;
  wakes++;
}

static void a_lane_that_found_nothing_is_woken(void **state) {
  (void)state;
  uint64_t id, seq;
  start_queue();
  struct spool_lane *other = spool_add_lane(spool, &loop, on_wake, NULL);
  struct taking t = { .r = { .done = taken, .arg = &t } };
  wakes = 0;
  assert_int_equal(spool_read(other, &t.r), 0);
  assert_int_equal(add(1), 0);
  wait_no_post();
  assert_int_equal(wakes, 1);
  assert_int_equal(take(&id, &seq), 1);
  assert_int_equal(spool_read(other, &t.r), 0);
  spool_return(spool, seq);
  wait_no_post();
  assert_int_equal(wakes, 2);
  expect_run(1, 2);
}

static void room_is_bounded_exactly(void **state) {
  (void)state;
  struct adding x;
  options.max_bytes = 100000;
  start_queue();
  uint64_t one = 0, n = 0;
  for (;; n++) {
    sample_make(&x.m, n);
    one = spool_record_bytes(x.m.context_n, x.m.payload_n);
    if (stats().disk_bytes + one > options.max_bytes) break;
    assert_int_equal(add(n), 0);
  }
  assert_int_equal(add(n), WEIR_E_LIMIT);
  assert_int_equal(stats().full_errors, 1);
  uint64_t left = options.max_bytes - stats().disk_bytes;
  assert_int_equal(spool_reserve(spool, left + 1), WEIR_E_LIMIT);
  assert_int_equal(spool_reserve(spool, left), 0);
  assert_int_equal(spool_reserve(spool, 1), WEIR_E_LIMIT);
  spool_unreserve(spool, left);
  expect_run(0, n);
  assert_int_equal(spool_reserve(spool, options.max_bytes + 1), WEIR_E_LIMIT);
  /* what is released gives its room back, to the last byte, and at once as it is wanted */
  int64_t end = spool_now_ns() + 5 * NS_PER_S;
  while (spool_reserve(spool, options.max_bytes)) {
    assert_true(spool_now_ns() < end);
    sched_yield();
  }
  spool_unreserve(spool, options.max_bytes);
  assert_int_equal(segments(), 0);
  assert_int_equal(add(n), 0);
  expect_run(n, n + 1);
  expect_law();
}

static void reserved_room_is_used_by_its_append(void **state) {
  (void)state;
  struct adding x, y;
  options.max_bytes = 4096;
  start_queue();
  sample_make(&x.m, 5);
  uint64_t one = spool_record_bytes(x.m.context_n, x.m.payload_n);
  assert_int_equal(spool_reserve(spool, one), 0);
  assert_int_equal(spool_reserve(spool, 4096 - one), 0);
  assert_int_equal(add(6), WEIR_E_LIMIT);
  memset(&y, 0, sizeof y);
  sample_make(&y.m, 5);
  y.iov[0] = (struct weir_iov){ y.m.payload, y.m.payload_n };
  y.a = (struct spool_append){ .iov = y.iov, .n_iov = 1, .context = y.m.context, .context_n = y.m.context_n, .items = y.m.items, .signal = 1, .flags = 7,
    .reserved = 1, .enqueue_unix_ns = 1005, .done = added, .arg = &y };
  assert_int_equal(spool_append(lane, &y.a), 0);
  pump(&y.done);
  assert_int_equal(y.a.op.error, 0);
  assert_int_equal(stats().disk_bytes, 4096);
  spool_unreserve(spool, 4096 - one);
  expect_run(5, 6);
}

static void large_and_impossible_records(void **state) {
  (void)state;
  static char big[3 << 20];
  struct weir_iov iov = { big, sizeof big }, many[2] = { { big, SPOOL_RECORD_MAX }, { big, 1 } };
  struct adding x = { .done = 0 };
  x.a = (struct spool_append){ .iov = &iov, .n_iov = 1, .items = 1, .done = added, .arg = &x };
  start_queue();
  memset(big, 'x', sizeof big);
  assert_int_equal(spool_append(lane, &x.a), 0); /* larger than a segment */
  pump(&x.done);
  assert_int_equal(x.a.op.error, 0);
  struct spool_append a = { .iov = many, .n_iov = 2, .done = added };
  assert_int_equal(spool_append(lane, &a), WEIR_E_INVALID);
  a.n_iov = SPOOL_IOV_MAX + 1;
  assert_int_equal(spool_append(lane, &a), WEIR_E_INVALID);
  a.n_iov = 0;
  a.context_n = SPOOL_CONTEXT_MAX + 1;
  assert_int_equal(spool_append(lane, &a), WEIR_E_INVALID);
  struct adding none = { .done = 0 };
  none.a = (struct spool_append){ .done = added, .arg = &none }; /* not even a byte */
  assert_int_equal(spool_append(lane, &none.a), 0);
  pump(&none.done);
  restart_queue();
  assert_int_equal(stats().records, 2);
  struct spool_view v;
  struct spool *peek;
  assert_int_equal(spool_peek_open(&peek, options.directory, NULL), 0);
  assert_int_equal(spool_peek_next(peek, &v), 1);
  assert_int_equal(v.payload_n, sizeof big);
  assert_memory_equal(v.payload, big, sizeof big);
  assert_int_equal(spool_peek_next(peek, &v), 1);
  assert_int_equal(v.payload_n, 0);
  assert_int_equal(spool_peek_next(peek, &v), 0);
  spool_peek_close(peek);
}

static void what_is_appended_together_is_synced_together(void **state) {
  (void)state;
  enum { N = 400 };
  static struct adding x[N];
  start_queue();
  assert_int_equal(add(1000), 0);
  uint64_t before = stats().syncs;
  for (uint64_t i = 0; i < N; i++) assert_int_equal(add_begin(&x[i], i, 0), 0);
  for (int i = 0; i < N; i++) pump(&x[i].done);
  assert_true(stats().syncs - before < N / 2);
  expect_run(1000, 1001);
  expect_run(0, N);
}

static void segments_go_when_they_are_released(void **state) {
  (void)state;
  options.max_bytes = 1u << 20;
  options.segment_bytes = 16384;
  start_queue();
  for (uint64_t i = 0; i < 400; i++) assert_int_equal(add(i), 0);
  int most = segments();
  assert_true(most > 5);
  expect_run(0, 350);
  restart_queue();
  assert_true(segments() < most / 2);
  assert_true(stats().disk_bytes < 60 * 700 + 2 * 16384);
  expect_run(350, 400);
  restart_queue();
  restart_queue();
  assert_int_equal(segments(), 0);
}

static void the_other_sync_modes(void **state) {
  (void)state;
  for (int mode = SPOOL_INTERVAL; mode <= SPOOL_OS; mode++) {
    options.sync = mode;
    options.sync_interval_ns = 5 * NS_PER_MS;
    start_queue();
    uint64_t before = stats().syncs;
    for (uint64_t i = 0; i < 200; i++) assert_int_equal(add(i), 0);
    int64_t end = spool_now_ns() + 5 * NS_PER_S;
    while (mode == SPOOL_INTERVAL && stats().syncs == before) assert_true(spool_now_ns() < end);
    if (mode == SPOOL_OS) assert_true(stats().syncs < before + 10);
    restart_queue();
    expect_run(0, 200);
    stop_queue();
  }
}

static void one_owner(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct spool *second;
  char want[128];
  start_queue();
  assert_int_equal(spool_open(&second, &options, &err), WEIR_E_STATE);
  assert_null(second);
  snprintf(want, sizeof want, "the queue %s is in use by process %d", options.directory, (int)getpid());
  assert_string_equal(err.msg, want);
}

static void directories_that_can_not_be(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct spool *s;
  char path[128], link[128];
  snprintf(path, sizeof path, "%s/no/q", dir);
  struct spool_options o = options;
  o.directory = path;
  assert_int_equal(spool_open(&s, &o, &err), WEIR_E_IO);
  assert_non_null(strstr(err.msg, path));
  snprintf(link, sizeof link, "%s/link", dir);
  assert_int_equal(symlink("/tmp", link), 0);
  o.directory = link;
  assert_int_equal(spool_open(&s, &o, &err), WEIR_E_IO);
  unlink(link);
  assert_int_equal(mkdir(options.directory, 0700), 0);
  assert_int_equal(chmod(options.directory, 0777), 0);
  assert_int_equal(spool_open(&s, &options, &err), WEIR_E_IO);
  assert_non_null(strstr(err.msg, "writable for everybody"));
  assert_int_equal(chmod(options.directory, 0700), 0);
  start_queue();
  struct stat st;
  snprintf(path, sizeof path, "%s/%s", options.directory, CURSOR_NAME);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_peek_sees_what_is_queued_and_changes_nothing(void **state) {
  (void)state;
  struct spool_view v;
  struct spool *peek;
  struct weir_error err = { 0 };
  start_queue();
  for (uint64_t i = 0; i < 20; i++) assert_int_equal(add(i), 0);
  expect_run(0, 5);
  restart_queue(); /* writes the cursor */
  assert_int_equal(spool_peek_open(&peek, options.directory, &err), 0);
  for (uint64_t i = 5; i < 20; i++) {
    assert_int_equal(spool_peek_next(peek, &v), 1);
    assert_int_equal(sample_id(v.payload, v.payload_n, v.context, v.context_n, v.items), i);
  }
  assert_int_equal(spool_peek_next(peek, &v), 0);
  spool_peek_close(peek);
  expect_run(5, 20);
  assert_int_equal(spool_peek_open(&peek, "/nowhere/at/all", &err), WEIR_E_IO);
}

/* Its segment goes away, and the last record is not all there yet. */
static void a_peek_at_a_queue_that_moves_tells_no_damage(void **state) {
  (void)state;
  struct spool_view v;
  struct spool_stats st;
  struct spool *peek;
  struct weir_error err = { 0 };
  char command[700];
  start_queue();
  for (uint64_t i = 0; i < 3; i++) assert_int_equal(add(i), 0);
  restart_queue();
  for (uint64_t i = 3; i < 6; i++) assert_int_equal(add(i), 0); /* in a segment of their own */
  assert_int_equal(spool_peek_open(&peek, options.directory, &err), 0);
  assert_int_equal(spool_peek_next(peek, &v), 1);
  struct segment *first = peek->segs[0], *last = peek->segs[peek->n_segs - 1];
  assert_true(first != last);
  snprintf(command, sizeof command, "%s/%s", options.directory, last->name);
  int fd = open(command, O_RDWR);
  char zero = 0x55;
  assert_int_equal(pwrite(fd, &zero, 1, (off_t)(last->entries[last->n - 1].offset + RECORD_HEADER)), 1);
  close(fd);
  assert_int_equal(spool_peek_next(peek, &v), 1);
  assert_int_equal(spool_peek_next(peek, &v), 1);
  assert_int_equal(spool_peek_next(peek, &v), 1);
  assert_int_equal(spool_peek_next(peek, &v), 1);
  assert_int_equal(spool_peek_next(peek, &v), 0);
  spool_stats(peek, &st);
  assert_int_equal(st.corrupt_records, 0);
  spool_peek_close(peek);
  assert_int_equal(spool_peek_open(&peek, options.directory, &err), 0);
  for (size_t i = 0; i < peek->n_segs; i++) {
    snprintf(command, sizeof command, "%s/%s", options.directory, peek->segs[i]->name);
    assert_int_equal(unlink(command), 0);
  }
  assert_int_equal(spool_peek_next(peek, &v), 0);
  spool_stats(peek, &st);
  assert_int_equal(st.corrupt_records, 0);
  spool_peek_close(peek);
}

/* --- several lanes --------------------------------------------------------------------------------------------- */

enum { LANES = 3, PER_LANE = 400 };

struct worker {
  struct loop loop;
  struct spool_lane *lane;
  struct adding x[PER_LANE];
  struct spool_read read;
  uint64_t id_base, n_read;
  uint32_t pending, reading;
};

static struct worker workers[LANES];
static _Atomic uint32_t seen[LANES * PER_LANE], n_seen;

static void read_more(void *arg);

static void worker_took(struct spool_read *r) {
  struct worker *w = r->arg;
  w->reading = 0;
  if (r->body) {
    uint64_t id = sample_id(r->payload, r->payload_n, r->context, r->context_n, r->items);
    body_free(r->body);
    if (w->n_read++ % 8 == 7) { /* some are given back */
      spool_return(spool, r->seq);
    } else {
      if (id < LANES * PER_LANE) seen[id]++;
      n_seen++;
      spool_release(spool, r->seq);
    }
  }
  read_more(w);
}

static void read_more(void *arg) {
  struct worker *w = arg;
  if (w->reading) return;
  w->read = (struct spool_read){ .done = worker_took, .arg = w };
  w->reading = (uint32_t)spool_read(w->lane, &w->read);
}

static void worker_added(struct spool_append *a) { ((struct worker *)a->arg)->pending--; }

static void worker_begin(void *arg) {
  struct worker *w = arg;
  read_more(w);
  for (uint64_t i = 0; i < PER_LANE; i++) {
    struct adding *x = &w->x[i];
    memset(x, 0, sizeof *x);
    sample_make(&x->m, w->id_base + i);
    x->iov[0] = (struct weir_iov){ x->m.payload, x->m.payload_n };
    x->a = (struct spool_append){ .iov = x->iov, .n_iov = 1, .context = x->m.context, .context_n = x->m.context_n, .items = x->m.items, .done = worker_added, .arg = w };
    w->pending++;
    if (spool_append(w->lane, &x->a)) abort();
  }
}

static void ask_idle(void *arg) {
  const struct worker *w = arg;
  if (w->pending || w->reading) wakes = 0;
}

static void lanes_append_and_read_at_once(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  options.segment_bytes = 65536;
  start_queue();
  memset((void *)seen, 0, sizeof seen);
  n_seen = 0;
  for (int i = 0; i < LANES; i++) {
    struct worker *w = &workers[i];
    memset(w, 0, sizeof *w);
    w->id_base = (uint64_t)i * PER_LANE;
    assert_int_equal(loop_init(&w->loop, (uint32_t)i + 1, NULL, &err), 0);
    w->lane = spool_add_lane(spool, &w->loop, read_more, w);
    assert_int_equal(loop_start_thread(&w->loop, &err), 0);
  }
  for (int i = 0; i < LANES; i++) loop_post(&workers[i].loop, worker_begin, &workers[i]);
  int64_t end = spool_now_ns() + 60 * NS_PER_S;
  while (n_seen < LANES * PER_LANE) {
    assert_true(spool_now_ns() < end);
    struct spool_stats st = stats();
    assert_true(st.records <= st.appended_records);
    sched_yield();
  }
  do { /* reads under way that find nothing */
    wakes = 1;
    for (int i = 0; i < LANES; i++) loop_call(&workers[i].loop, ask_idle, &workers[i]);
  } while (!wakes);
  for (int i = 0; i < LANES; i++) {
    loop_stop(&workers[i].loop);
    loop_join(&workers[i].loop);
  }
  for (int i = 0; i < LANES * PER_LANE; i++) assert_int_equal(seen[i], 1);
  assert_int_equal(stats().records, 0);
  expect_law();
  stop_queue();
  for (int i = 0; i < LANES; i++) loop_done(&workers[i].loop);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup_folder, teardown_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
    CASE(what_goes_in_comes_out_in_order),
    CASE(records_survive_a_restart),
    CASE(out_of_order_releases_are_remembered),
    CASE(without_its_cursor_all_that_stands_is_queued),
    CASE(kept_records_are_the_appender_s_until_it_returns_them),
    CASE(a_lane_that_found_nothing_is_woken),
    CASE(room_is_bounded_exactly),
    CASE(reserved_room_is_used_by_its_append),
    CASE(large_and_impossible_records),
    CASE(what_is_appended_together_is_synced_together),
    CASE(segments_go_when_they_are_released),
    CASE(the_other_sync_modes),
    CASE(one_owner),
    CASE(directories_that_can_not_be),
    CASE(a_peek_sees_what_is_queued_and_changes_nothing),
    CASE(a_peek_at_a_queue_that_moves_tells_no_damage),
    CASE(lanes_append_and_read_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
