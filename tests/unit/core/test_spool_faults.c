/*
 * The disk queue on a disk that fails: the Nth call of each kind fails in each way, for N = 1, 2, ... until it is not reached. What was acknowledged is there
 * afterwards, and what comes was appended. Then the single rules: a failed sync, a failed second one, no space, a segment that can not be unlinked.
 */
#include "spool_fixture.h"

#define SHORT (-1) /* does a part of it */
#define FOR_EVER 1000000

enum { PWRITEV, PREAD, FDATASYNC, FSYNC, FTRUNCATE, FALLOCATE, OPENAT, UNLINKAT, RENAMEAT, KINDS };

static struct {
  _Atomic int kind, error, from, times; /* the calls number from .. from + times - 1 of that kind fail */
  _Atomic int n, hits;
  _Atomic uint64_t free_bytes; /* 0 = as it is */
} fault;

/* The error of this call, SHORT, or 0. */
static int fails(int kind) {
  if (fault.kind != kind) return 0;
  int n = ++fault.n;
  if (n < fault.from || n >= fault.from + fault.times) return 0;
  fault.hits++;
  return fault.error;
}

static int refused(int kind) {
  int e = fails(kind);
  if (e > 0) errno = e;
  return e > 0;
}

static int my_openat(int d, const char *name, int flags, mode_t mode) { return refused(OPENAT) ? -1 : openat(d, name, flags, mode); }
static int my_fdatasync(int fd) { return refused(FDATASYNC) ? -1 : fdatasync(fd); }
static int my_fsync(int fd) { return refused(FSYNC) ? -1 : fsync(fd); }
static int my_ftruncate(int fd, off_t n) { return refused(FTRUNCATE) ? -1 : ftruncate(fd, n); }
static int my_fallocate(int fd, int mode, off_t at, off_t n) { return refused(FALLOCATE) ? -1 : fallocate(fd, mode, at, n); }
static int my_unlinkat(int d, const char *name, int flags) { return refused(UNLINKAT) ? -1 : unlinkat(d, name, flags); }
static int my_renameat(int d, const char *from, int e, const char *to) { return refused(RENAMEAT) ? -1 : renameat(d, from, e, to); }

static ssize_t my_pread(int fd, void *p, size_t n, off_t at) {
  int e = fails(PREAD);
  if (e > 0) errno = e;
  return e > 0 ? -1 : pread(fd, p, e == SHORT ? n / 2 + 1 : n, at);
}

static ssize_t my_pwritev(int fd, const struct iovec *iov, int n, off_t at) {
  int e = fails(PWRITEV);
  struct iovec first = { iov->iov_base, iov->iov_len / 2 + 1 };
  if (e > 0) {
    if (e == ENOSPC || e == EIO) (void)!pwritev(fd, &first, 1, at); /* some of it is there */
    errno = e;
    return -1;
  }
  return e == SHORT ? pwritev(fd, &first, 1, at) : pwritev(fd, iov, n, at);
}

static int my_fstatvfs(int fd, struct statvfs *v) {
  int r = fstatvfs(fd, v);
  if (!r && fault.free_bytes) v->f_bavail = (fsblkcnt_t)(fault.free_bytes / v->f_frsize);
  return r;
}

static const struct spool_sys sys = { my_openat, my_pwritev, my_pread, my_fdatasync, my_fsync, my_ftruncate, my_fallocate, my_unlinkat, my_renameat, my_fstatvfs };

static void set_fault(int kind, int error, int from, int times) {
  fault.kind = -1;
  fault.error = error;
  fault.from = from;
  fault.times = times;
  fault.n = fault.hits = 0;
  fault.kind = kind;
}

/* --- the Nth call ------------------------------------------------------------------------------------------------- */

enum { N = 24 };

static int acked[N], released[N], refusals;

/* Opens (which may fail), appends, reads, releases, closes: over several segments. */
static void work_under_faults(void) {
  struct weir_error err = { 0 };
  uint64_t id, seq;
  memset(acked, 0, sizeof acked);
  memset(released, 0, sizeof released);
  refusals = 0;
  options.sys = &sys;
  if (spool_open(&spool, &options, &err)) {
    assert_true(err.msg[0] != 0);
    spool = NULL;
    return;
  }
  lane = spool_add_lane(spool, &loop, NULL, NULL);
  for (uint64_t i = 0; i < N; i++) {
    acked[i] = add(i) == 0;
    refusals += !acked[i];
    if (i % 3 == 0 && take(&id, &seq)) {
      assert_true(id < N && acked[id]);
      released[id] = 1;
      spool_release(spool, seq);
    }
  }
  stop_queue();
}

/* Opens on a disk that is well again: all that was acknowledged and not released must come, and nothing that was not appended. */
static void expect_acknowledged(void) {
  int came[N] = { 0 };
  uint64_t id, seq;
  options.sys = NULL;
  start_queue();
  while (take(&id, &seq)) {
    assert_true(id < N);
    assert_int_equal(came[id]++, 0);
    spool_release(spool, seq);
  }
  for (int i = 0; i < N; i++)
    if (acked[i] && !released[i]) assert_int_equal(came[i], 1);
  stop_queue();
}

static void the_nth_call_fails(void **state) {
  (void)state;
  static const int errors[] = { EIO, ENOSPC, EINTR, SHORT };
  options.segment_bytes = 2400;
  int runs = 0;
  for (int kind = 0; kind < KINDS; kind++)
    for (size_t e = 0; e < 4; e++) {
      if (errors[e] == SHORT && kind != PWRITEV && kind != PREAD) continue;
      if (errors[e] > 0 && errors[e] != EINTR && kind == PREAD) continue; /* what can not be read is lost: below */
      for (int n = 1;; n++, runs++) {
        clear_files();
        set_fault(kind, errors[e], n, 1);
        work_under_faults();
        int hit = fault.hits;
        if (errors[e] == EINTR || errors[e] == SHORT) assert_int_equal(refusals, 0);
        assert_true(refusals <= 1); /* a failure that passes costs one request at most, and that can be tried again */
        set_fault(-1, 0, 0, 0);
        expect_acknowledged();
        if (!hit) break;
      }
    }
  assert_true(runs > 200);
}

static void from_the_nth_call_on_all_fail(void **state) {
  (void)state;
  static const int errors[] = { EIO, ENOSPC };
  options.segment_bytes = 2400;
  for (int kind = 0; kind < KINDS; kind++)
    for (size_t e = 0; e < 2; e++) {
      if (kind == PREAD) continue;
      for (int n = 1;; n++) {
        clear_files();
        set_fault(kind, errors[e], n, FOR_EVER);
        work_under_faults();
        int hit = fault.hits;
        set_fault(-1, 0, 0, 0);
        expect_acknowledged();
        if (!hit) break;
      }
    }
}

static void faults_while_it_recovers(void **state) {
  (void)state;
  static const struct {
    int kind, error;
  } cases[] = { { OPENAT, EMFILE }, { OPENAT, EINTR }, { OPENAT, EACCES }, { PREAD, EINTR }, { PREAD, SHORT }, { FTRUNCATE, EIO }, { FSYNC, EIO }, { PWRITEV, EIO },
    { FDATASYNC, EIO }, { UNLINKAT, EIO } };
  options.segment_bytes = 2400;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int n = 1;; n++) {
      struct weir_error err = { 0 };
      clear_files();
      set_fault(-1, 0, 0, 0);
      work_under_faults();
      set_fault(cases[i].kind, cases[i].error, n, 1);
      options.sys = &sys;
      int r = spool_open(&spool, &options, &err);
      if (r) assert_true(err.msg[0] != 0);
      else stop_queue();
      int hit = fault.hits;
      spool = NULL;
      set_fault(-1, 0, 0, 0);
      expect_acknowledged();
      if (!hit) break;
    }
}

/* --- single rules ------------------------------------------------------------------------------------------------- */

static void expect_come(uint64_t from, uint64_t to) {
  for (uint64_t id, seq; from < to; from++) {
    assert_int_equal(take(&id, &seq), 1);
    assert_int_equal(id, from);
    spool_release(spool, seq);
  }
}

static void a_failed_sync_is_not_repeated_but_written_anew(void **state) {
  (void)state;
  options.sys = &sys;
  start_queue();
  assert_int_equal(add(0), 0);
  set_fault(FDATASYNC, EIO, 1, 1);
  assert_int_equal(add(1), 0);
  assert_int_equal(fault.hits, 1);
  struct spool_stats st = stats();
  assert_int_equal(st.sync_errors, 1);
  assert_int_equal(st.failed, 0);
  set_fault(-1, 0, 0, 0);
  assert_int_equal(add(2), 0);
  restart_queue();
  assert_int_equal(stats().recovered_records, 3); /* the one that stands twice comes once */
  assert_int_equal(stats().corrupt_records, 0);
  expect_come(0, 3);
}

static void a_second_failure_ends_writing_but_not_reading(void **state) {
  (void)state;
  uint64_t id, seq;
  options.sys = &sys;
  start_queue();
  assert_int_equal(add(0), 0);
  assert_int_equal(add(1), 0);
  set_fault(FDATASYNC, EIO, 1, 2);
  assert_int_equal(add(2), WEIR_E_IO);
  assert_int_equal(stats().failed, 1);
  struct adding x;
  assert_int_equal(add_begin(&x, 3, 0), WEIR_E_IO); /* at once */
  assert_int_equal(spool_reserve(spool, 1), WEIR_E_IO);
  expect_come(0, 2);
  assert_int_equal(take(&id, &seq), 0);
  set_fault(-1, 0, 0, 0);
  restart_queue();
  assert_int_equal(add(4), 0);
}

static uint64_t size_of_first_segment(void) {
  char path[160];
  struct stat st;
  path_of(path, sizeof path, "00000000000000000001.seg");
  assert_int_equal(stat(path, &st), 0);
  return (uint64_t)st.st_size;
}

static void without_space_it_refuses_and_goes_on_when_there_is_some(void **state) {
  (void)state;
  options.sys = &sys;
  start_queue();
  assert_int_equal(add(0), 0);
  set_fault(PWRITEV, ENOSPC, 1, FOR_EVER);
  for (uint64_t i = 1; i < 5; i++) assert_int_equal(add(i), WEIR_E_LIMIT);
  struct spool_stats st = stats();
  assert_true(st.full_errors >= 4);
  assert_int_equal(st.records, 1);
  assert_int_equal(st.disk_bytes, st.bytes);
  assert_int_equal(size_of_first_segment(), SEGMENT_HEADER + st.bytes); /* what was half written is cut off */
  set_fault(-1, 0, 0, 0);
  assert_int_equal(add(1), 0);
  restart_queue();
  assert_int_equal(stats().torn_tails, 0);
  expect_come(0, 2);
}

static void the_reserve_of_the_filesystem_is_kept(void **state) {
  (void)state;
  options.sys = &sys;
  options.fs_reserve_bytes = 10u << 20;
  start_queue();
  fault.free_bytes = 10u << 20;
  assert_int_equal(add(0), WEIR_E_LIMIT);
  fault.free_bytes = (10u << 20) + 8192; /* not enough for a whole segment, but for a record */
  assert_int_equal(add(0), 0);
  fault.free_bytes = 1u << 20;
  int n = 1;
  while (add((uint64_t)n) == 0) n++;
  assert_true(n > 3 && n < 40); /* what was set aside for the segment is used up, no more */
  fault.free_bytes = 0;
  assert_int_equal(add((uint64_t)n), 0);
  expect_come(0, (uint64_t)n + 1);
}

static void a_segment_that_stays_is_unlinked_later(void **state) {
  (void)state;
  options.sys = &sys;
  options.segment_bytes = 2400;
  start_queue();
  for (uint64_t i = 0; i < N; i++) assert_int_equal(add(i), 0);
  expect_come(0, N);
  set_fault(UNLINKAT, EIO, 1, FOR_EVER);
  stop_queue();
  set_fault(-1, 0, 0, 0);
  options.sys = NULL;
  start_queue();
  assert_int_equal(stats().records, 0);
  int64_t end = spool_now_ns() + 5 * NS_PER_S;
  while (stats().disk_bytes > 0) assert_true(spool_now_ns() < end);
}

static void what_can_not_be_read_is_lost_and_counted(void **state) {
  (void)state;
  uint64_t id, seq;
  options.sys = &sys;
  start_queue();
  for (uint64_t i = 0; i < 3; i++) assert_int_equal(add(i), 0);
  set_fault(PREAD, EIO, 1, 1);
  assert_int_equal(take(&id, &seq), 1);
  assert_int_equal(id, 1);
  spool_release(spool, seq);
  assert_int_equal(stats().corrupt_records, 1);
  assert_int_equal(stats().read_errors, 1);
  expect_come(2, 3);
  restart_queue();
  assert_int_equal(stats().records, 0);
}

static void too_many_open_files_lose_nothing(void **state) {
  (void)state;
  options.sys = &sys;
  options.segment_bytes = 2400;
  start_queue();
  for (uint64_t i = 0; i < N; i++) assert_int_equal(add(i), 0);
  set_fault(OPENAT, EMFILE, 1, FOR_EVER);
  struct taking t = { .r = { .done = taken, .arg = &t } };
  assert_int_equal(spool_read(lane, &t.r), 1);
  pump(&t.done);
  assert_null(t.r.body);
  assert_int_equal(t.r.op.error, WEIR_E_IO);
  set_fault(-1, 0, 0, 0);
  expect_come(0, N);
  assert_int_equal(stats().corrupt_records, 0);
}

static int setup_faults(void **state) {
  fault.free_bytes = 0;
  set_fault(-1, 0, 0, 0);
  return setup_folder(state);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup_faults, teardown_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
    CASE(the_nth_call_fails),
    CASE(from_the_nth_call_on_all_fail),
    CASE(faults_while_it_recovers),
    CASE(a_failed_sync_is_not_repeated_but_written_anew),
    CASE(a_second_failure_ends_writing_but_not_reading),
    CASE(without_space_it_refuses_and_goes_on_when_there_is_some),
    CASE(the_reserve_of_the_filesystem_is_kept),
    CASE(a_segment_that_stays_is_unlinked_later),
    CASE(what_can_not_be_read_is_lost_and_counted),
    CASE(too_many_open_files_lose_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
