/*
 * Writing past the page cache, in whole blocks, on a filesystem that has a disk (where it has not, the same through the page cache): what stands there is the same, to the byte, and
 * zeros up to the end of a block are no damage. Writes that end inside of a block, and disks that want larger ones, are gone on with through the page cache.
 */
#define SPOOL_FOLDER "/var/tmp"
#include "spool_fixture.h"

static struct spool_sys sys;
static int odd_writes, refused_writes; /* the next so many end early; are refused as not aligned */

static ssize_t my_pwritev(int fd, const struct iovec *iov, int n, off_t at) {
  if (iov->iov_len >= DIRECT_BLOCK && refused_writes > 0) {
    refused_writes--;
    errno = EINVAL;
    return -1;
  }
  ssize_t done = pwritev(fd, iov, n, at);
  return done > 3000 && odd_writes > 0 && odd_writes-- ? done - 3000 : done;
}

static int begin(void **state) {
  sys = spool_sys_default;
  sys.pwritev = my_pwritev;
  odd_writes = refused_writes = 0;
  int r = setup_folder(state);
  options.sys = &sys;
  return r;
}

static void expect_run(uint64_t from, uint64_t to) {
  for (uint64_t id, seq, want = from; want < to; want++) {
    assert_int_equal(take(&id, &seq), 1);
    assert_int_equal(id, want);
  }
}

static off_t largest;

static void look_at_size(const char *path, const char *name) {
  struct stat st;
  if (strstr(name, SEGMENT_SUFFIX) && stat(path, &st) == 0 && st.st_size > largest) largest = st.st_size;
}

static off_t file_size(void) {
  largest = 0;
  each_file(look_at_size);
  return largest;
}

/* What a kill leaves: the files as they are now, opened as another queue. */
static void copy_away(const char *path, const char *name) {
  char to[512], buf[65536];
  path_of(to, sizeof to, "");
  snprintf(to + strlen(to) - 2, sizeof to - strlen(to), "copy/%s", name); /* q/ -> copy/ */
  int in = open(path, O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0600);
  for (ssize_t n; (n = read(in, buf, sizeof buf)) > 0;) assert_int_equal(write(out, buf, (size_t)n), n);
  close(in);
  close(out);
}

static void zeros_up_to_the_end_of_a_block_are_no_damage(void **state) {
  (void)state;
  char copy[128];
  start_queue();
  for (uint64_t n = 1; n <= 40; n++) {
    assert_int_equal(add(n - 1), 0);
    if (spool->direct) assert_int_equal(file_size() % DIRECT_BLOCK, 0);
    snprintf(copy, sizeof copy, "%s/copy", dir);
    assert_int_equal(mkdir(copy, 0700), 0);
    each_file(copy_away);
    struct spool *there;
    struct weir_error err = { 0 };
    struct spool_options o = { .directory = copy, .max_bytes = 64u << 20, .fs_reserve_bytes = 1 };
    assert_int_equal(spool_open(&there, &o, &err), 0);
    struct spool_stats st;
    spool_stats(there, &st);
    spool_close(there);
    assert_int_equal(st.recovered_records, n);
    assert_int_equal(st.torn_tails + st.corrupt_records + st.corrupt_bytes + st.lost_segments, 0);
    char command[160];
    snprintf(command, sizeof command, "rm -r %s", copy);
    assert_int_equal(system(command), 0);
  }
  expect_run(0, 40);
}

static void what_is_written_is_read(void **state) {
  (void)state;
  start_queue();
  for (uint64_t i = 0; i < 3000; i++) assert_int_equal(add(i), 0); /* over two segments */
  expect_run(0, 1500);
  restart_queue();
  for (uint64_t i = 3000; i < 3100; i++) assert_int_equal(add(i), 0);
  expect_run(0, 3100);
  assert_int_equal(stats().torn_tails + stats().corrupt_records + stats().write_errors, 0);
}

/* More than the buffer holds, and exactly as much as it does. */
static void large_records(void **state) {
  (void)state;
  static char bytes[3 << 20];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 2654435761u >> 13);
  const size_t sizes[] = { sizeof bytes, 5, GROUP_BYTES, GROUP_BYTES + DIRECT_BLOCK - SEGMENT_HEADER - RECORD_HEADER, GROUP_BYTES - 1, 4000 };
  start_queue();
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct adding x = { .done = 0 };
    x.iov[0] = (struct weir_iov){ bytes, sizes[i] };
    x.a = (struct spool_append){ .iov = x.iov, .n_iov = 1, .items = 1, .done = added, .arg = &x };
    assert_int_equal(spool_append(lane, &x.a), 0);
    pump(&x.done);
    assert_int_equal(x.a.op.error, 0);
  }
  stop_queue();
  struct weir_error err = { 0 };
  struct spool_view v;
  assert_int_equal(spool_peek_open(&spool, options.directory, &err), 0);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    assert_int_equal(spool_peek_next(spool, &v), 1);
    assert_int_equal(v.payload_n, sizes[i]);
    assert_memory_equal(v.payload, bytes, sizes[i]);
  }
  spool_peek_close(spool);
  spool = NULL;
}

static void writes_that_end_inside_of_a_block(void **state) {
  (void)state;
  start_queue();
  for (uint64_t i = 0; i < 20; i++) {
    odd_writes = i % 5 == 3;
    assert_int_equal(add(i), 0);
  }
  expect_run(0, 20);
  restart_queue();
  expect_run(0, 20);
  assert_int_equal(stats().torn_tails + stats().corrupt_records, 0);
}

static void disks_that_want_larger_blocks(void **state) {
  (void)state;
  start_queue();
  assert_int_equal(add(0), 0);
  int was_direct = spool->direct;
  refused_writes = 1;
  assert_int_equal(add(1), 0);
  if (was_direct) assert_int_equal(spool->direct, 0);
  for (uint64_t i = 2; i < 20; i++) assert_int_equal(add(i), 0);
  expect_run(0, 20);
  restart_queue();
  expect_run(0, 20);
  assert_int_equal(stats().torn_tails + stats().corrupt_records + stats().write_errors, 0);
}

static void only_what_is_synced_goes_past_the_page_cache(void **state) {
  (void)state;
  options.sync = SPOOL_OS;
  start_queue();
  assert_int_equal(add(0), 0);
  assert_int_equal(spool->direct, 0);
  stop_queue();
  options.sync = SPOOL_ALWAYS;
  options.buffered = 1;
  start_queue();
  assert_int_equal(add(1), 0);
  assert_int_equal(spool->direct, 0);
  expect_run(0, 2);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, begin, teardown_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
    CASE(zeros_up_to_the_end_of_a_block_are_no_damage),
    CASE(what_is_written_is_read),
    CASE(large_records),
    CASE(writes_that_end_inside_of_a_block),
    CASE(disks_that_want_larger_blocks),
    CASE(only_what_is_synced_goes_past_the_page_cache),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
