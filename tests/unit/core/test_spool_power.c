/*
 * The disk queue at power loss. Every system call is written down while it is done; then, for each moment, disks are made as they may be when the power fails there:
 * of what was not synced, any part may be on the disk, in sectors of 512 bytes; of names that were made or removed since the directory was synced, any may stand.
 * A sync that failed drops what it was for. On each such disk: what was acknowledged and not released is there, nothing comes that was not appended, nothing twice.
 */
#include "spool_fixture.h"

#include <pthread.h>

enum { IN_FLIGHT = 4, EVENTS = 4000, NAMES = 200, FILE_MAX = 32768, RECORDS = 64, SECTOR = 512 };

enum { CREATE, WRITE, CUT, SYNC, SYNC_FAILED, REMOVE, SYNC_NAMES, ACKED, RELEASED };

struct event {
  int what, file; /* file: index of its name; for ACKED and RELEASED the record */
  uint64_t at, n;
  char *p;
};

static struct event events[EVENTS];
static int n_events, n_names, fail_sync_at, n_syncs;
static char names[NAMES][64];
static int file_of_fd[1024];
static pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER;

static void note(int what, int file, uint64_t at, const char *p, uint64_t n) {
  assert_true(n_events < EVENTS);
  events[n_events] = (struct event){ what, file, at, n, NULL };
  if (p) memcpy(events[n_events].p = malloc(n + 1), p, n);
  n_events++;
}

static void tell(int what, uint64_t id) {
  pthread_mutex_lock(&journal_lock);
  note(what, (int)id, 0, NULL, 0);
  pthread_mutex_unlock(&journal_lock);
}

/* Every file has a name of its own for ever: sequence numbers rise. */
static int name_index(const char *name) {
  for (int i = 0; i < n_names; i++)
    if (strcmp(names[i], name) == 0) return i;
  assert_true(n_names < NAMES);
  snprintf(names[n_names], sizeof names[0], "%s", name);
  return n_names++;
}

/* --- the calls ---------------------------------------------------------------------------------------------------------- */

static int my_openat(int d, const char *name, int flags, mode_t mode) {
  pthread_mutex_lock(&journal_lock);
  int is_new = faccessat(d, name, F_OK, AT_SYMLINK_NOFOLLOW), fd = openat(d, name, flags, mode);
  if (fd >= 0 && fd < 1024) {
    file_of_fd[fd] = name_index(name);
    if (is_new) note(CREATE, file_of_fd[fd], 0, NULL, 0);
  }
  pthread_mutex_unlock(&journal_lock);
  return fd;
}

static ssize_t my_pwritev(int fd, const struct iovec *iov, int n, off_t at) {
  pthread_mutex_lock(&journal_lock);
  ssize_t r = pwritev(fd, iov, n, at);
  uint64_t to = (uint64_t)at;
  for (int i = 0; i < n; to += iov[i++].iov_len) note(WRITE, file_of_fd[fd], to, iov[i].iov_base, iov[i].iov_len);
  pthread_mutex_unlock(&journal_lock);
  return r;
}

static int my_fdatasync(int fd) {
  pthread_mutex_lock(&journal_lock);
  int fails = ++n_syncs == fail_sync_at;
  note(fails ? SYNC_FAILED : SYNC, file_of_fd[fd], 0, NULL, 0);
  pthread_mutex_unlock(&journal_lock);
  if (fails) errno = EIO;
  return -fails;
}

static int my_fsync(int fd) {
  (void)fd; /* the directory's */
  pthread_mutex_lock(&journal_lock);
  note(SYNC_NAMES, 0, 0, NULL, 0);
  pthread_mutex_unlock(&journal_lock);
  return 0;
}

static int my_ftruncate(int fd, off_t n) {
  pthread_mutex_lock(&journal_lock);
  note(CUT, file_of_fd[fd], (uint64_t)n, NULL, 0);
  pthread_mutex_unlock(&journal_lock);
  return ftruncate(fd, n);
}

static int my_unlinkat(int d, const char *name, int flags) {
  pthread_mutex_lock(&journal_lock);
  int r = unlinkat(d, name, flags);
  if (!r) note(REMOVE, name_index(name), 0, NULL, 0);
  pthread_mutex_unlock(&journal_lock);
  return r;
}

static struct spool_sys sys;

/* --- a run ---------------------------------------------------------------------------------------------------------------- */

static void forget_run(void) {
  for (int i = 0; i < n_events; i++) free(events[i].p);
  n_events = n_names = n_syncs = 0;
}

static void read_some(int n) {
  uint64_t id, seq;
  while (n-- > 0 && take(&id, &seq)) {
    tell(RELEASED, id);
    spool_release(spool, seq);
  }
}

/* Appends in small groups, reads behind, stops and starts in the middle. */
static void run(void) {
  static struct adding x[IN_FLIGHT];
  forget_run();
  clear_files();
  start_queue();
  for (uint64_t i = 0; i < RECORDS; i += IN_FLIGHT) {
    for (uint64_t k = 0; k < IN_FLIGHT; k++) x[k].done = add_begin(&x[k], i + k, 0) ? 2 : 0;
    for (int k = 0; k < IN_FLIGHT; k++) {
      pump(&x[k].done);
      if (x[k].done == 1 && x[k].a.op.error == 0) tell(ACKED, x[k].id);
    }
    read_some((int)(i % 6));
    if (i == RECORDS / 2) restart_queue();
  }
  stop_queue();
}

/* --- disks ---------------------------------------------------------------------------------------------------------------- */

static struct {
  char p[FILE_MAX];
  uint64_t n;
  int named;
} disk[NAMES];

static void put_bytes(int f, uint64_t at, const char *p, uint64_t n) {
  assert_true(at + n <= FILE_MAX);
  if (at > disk[f].n) memset(disk[f].p + disk[f].n, 0, at - disk[f].n);
  memcpy(disk[f].p + at, p, n);
  if (at + n > disk[f].n) disk[f].n = at + n;
}

static void apply(const struct event *e) {
  if (e->what == WRITE) put_bytes(e->file, e->at, e->p, e->n);
  if (e->what == CUT && e->at < disk[e->file].n) disk[e->file].n = e->at;
}

/* Part of it, by sectors. */
static void apply_some(const struct event *e) {
  if (e->what != WRITE) {
    if (random() % 2) apply(e);
    return;
  }
  long kind = random() % 3;
  for (uint64_t at = e->at, n; kind && at < e->at + e->n; at += n) {
    n = SECTOR - at % SECTOR;
    if (n > e->at + e->n - at) n = e->at + e->n - at;
    if (kind == 1 || random() % 2) put_bytes(e->file, at, e->p + (at - e->at), n);
  }
}

/* Until when event i is safe: 1 before `end`; -1: the sync that was for it failed, so it may be nowhere for ever; 0: not yet. */
static int fate(int i, int end) {
  for (int k = i + 1; k < end; k++) {
    int names_too = events[k].what == SYNC_NAMES && (events[i].what == CREATE || events[i].what == REMOVE);
    if (names_too || (events[k].what == SYNC && events[k].file == events[i].file && events[i].what <= CUT && events[i].what != CREATE)) return 1;
    if (events[k].what == SYNC_FAILED && events[k].file == events[i].file && events[i].what == WRITE) return -1;
  }
  return 0;
}

static void make_disk(int end) {
  for (int i = 0; i < n_names; i++) disk[i].n = 0, disk[i].named = 0;
  for (int i = 0; i < end; i++) {
    const struct event *e = &events[i];
    int safe = fate(i, end);
    if (e->what == CREATE && (safe || random() % 2)) disk[e->file].named = 1;
    if (e->what == REMOVE && (safe || random() % 2)) disk[e->file].named = 0;
    if ((e->what == WRITE || e->what == CUT) && safe > 0) apply(e);
    if ((e->what == WRITE || e->what == CUT) && safe <= 0) apply_some(e);
  }
}

static void write_disk(void) {
  char path[160];
  clear_files();
  for (int i = 0; i < n_names; i++) {
    if (!disk[i].named) continue;
    path_of(path, sizeof path, names[i]);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, disk[i].p, disk[i].n) == (ssize_t)disk[i].n);
    close(fd);
  }
}

static void check_disk(int end) {
  char acked[RECORDS] = { 0 }, released[RECORDS] = { 0 }, came[RECORDS] = { 0 };
  struct spool_view v;
  struct spool *peek;
  for (int i = 0; i < end; i++) {
    if (events[i].what == ACKED) acked[events[i].file] = 1;
    if (events[i].what == RELEASED) released[events[i].file] = 1;
  }
  assert_int_equal(spool_peek_open(&peek, options.directory, NULL), 0);
  while (spool_peek_next(peek, &v)) {
    uint64_t id = sample_id(v.payload, v.payload_n, v.context, v.context_n, v.items);
    assert_true(id < RECORDS);
    assert_int_equal(came[id]++, 0);
  }
  struct spool_stats st;
  spool_stats(peek, &st);
  assert_true(st.corrupt_records <= IN_FLIGHT); /* of what was not acknowledged; what is released and unlinked is not missed */
  spool_peek_close(peek);
  if (end % 8 == 0) { /* as its owner: the same records */
    uint64_t id, seq;
    options.sys = NULL;
    for (start_queue(); take(&id, &seq); spool_release(spool, seq)) assert_int_equal(came[id]++, 1);
    stop_queue();
    options.sys = &sys;
  }
  for (int i = 0; i < RECORDS; i++)
    if (acked[i] && !released[i] && !came[i]) fail_msg("record %d is gone after event %d of %d", i, end, n_events);
}

static void lose_power_everywhere(int times) {
  assert_true(n_events > 200);
  for (int end = 0; end <= n_events; end++)
    for (int i = 0; i < times; i++) {
      make_disk(end);
      write_disk();
      check_disk(end);
    }
}

static int setup_power(void **state) {
  int r = setup_folder(state);
  sys = spool_sys_default;
  sys.openat = my_openat;
  sys.pwritev = my_pwritev;
  sys.fdatasync = my_fdatasync;
  sys.fsync = my_fsync;
  sys.ftruncate = my_ftruncate;
  sys.unlinkat = my_unlinkat;
  options.sys = &sys;
  options.segment_bytes = 2400;
  options.max_bytes = 24000; /* short of room: segments go while others come */
  fail_sync_at = 0;
  srandom(17);
  return r;
}

static int teardown_power(void **state) {
  forget_run();
  return teardown_folder(state);
}

static void power_fails_at_any_moment(void **state) {
  (void)state;
  run();
  int removed = 0;
  for (int i = 0; i < n_events; i++) removed += events[i].what == REMOVE;
  assert_true(removed > 3);
  lose_power_everywhere(4);
}

static void power_fails_after_a_sync_failed(void **state) {
  (void)state;
  for (fail_sync_at = 2; fail_sync_at < 22; fail_sync_at += 3) {
    run();
    lose_power_everywhere(1);
  }
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup_power, teardown_power)

int main(void) {
  const struct CMUnitTest tests[] = {
    CASE(power_fails_at_any_moment),
    CASE(power_fails_after_a_sync_failed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
