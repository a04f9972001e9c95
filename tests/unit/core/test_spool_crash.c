/*
 * The disk queue under kill -9 at random moments. A child appends, reads and releases, and tells each acknowledgement and release through a pipe; it is killed,
 * and the parent opens the queue: each record that was acknowledged and is not known as released must be there, and no record that the child had not begun to append.
 * The queue goes from one child to the next, so that what one crash leaves is what the next begins with.
 */
#include "spool_fixture.h"

#include <sys/wait.h>
#include <time.h>

enum { KILLS = 220, IN_FLIGHT = 8, MAX_IDS = 1 << 20 };

#define SAY_BEGUN 1
#define SAY_ACKED 2
#define SAY_RELEASED 3

struct said {
  uint32_t what, id;
};

static unsigned char known[MAX_IDS]; /* bits: begun, acknowledged, maybe released */
static int out_fd;

static void say(uint32_t what, uint64_t id) {
  struct said m = { what, (uint32_t)id };
  if (write(out_fd, &m, sizeof m) != sizeof m) _exit(3);
}

/* --- the child ------------------------------------------------------------------------------------------------------ */

static struct adding adds[IN_FLIGHT];
static struct taking takes[2];
static uint64_t next_id;

static void child_begin(struct adding *x) {
  say(SAY_BEGUN, next_id);
  int r = add_begin(x, next_id, 0);
  if (r && r != WEIR_E_LIMIT) _exit(4);
  if (r) x->done = 2; /* full: again with the next number */
  next_id++;
}

static void child_step(void) {
  for (int i = 0; i < IN_FLIGHT; i++)
    if (adds[i].done) {
      if (adds[i].done == 1 && adds[i].a.op.error == 0) say(SAY_ACKED, adds[i].id);
      child_begin(&adds[i]);
    }
  for (int i = 0; i < 2; i++) {
    if (takes[i].done == 1 && takes[i].r.body) {
      if (takes[i].id == UINT64_MAX) _exit(5);
      say(SAY_RELEASED, takes[i].id); /* told before it is done: it may be gone from now on */
      spool_release(spool, takes[i].r.seq);
    }
    if (takes[i].done) {
      takes[i] = (struct taking){ .r = { .done = taken, .arg = &takes[i] } };
      takes[i].done = 2 * !spool_read(lane, &takes[i].r);
    }
  }
}

static void child(void) {
  struct weir_error err = { 0 };
  if (loop_init(&loop, 0, NULL, &err) || spool_open(&spool, &options, &err)) _exit(6);
  lane = spool_add_lane(spool, &loop, NULL, NULL);
  for (int i = 0; i < 2; i++) takes[i].done = 2;
  for (int i = 0; i < IN_FLIGHT; i++) child_begin(&adds[i]);
  for (;;) {
    struct pollfd ready = { .fd = uv_backend_fd(&loop.uv), .events = POLLIN };
    loop_run_once(&loop);
    child_step();
    poll(&ready, 1, 1);
  }
}

/* --- the parent ----------------------------------------------------------------------------------------------------- */

/* The next thing that it said, which a pipe keeps whole; 0 at the end. */
static int hear(int fd) {
  struct said m;
  if (read(fd, &m, sizeof m) != sizeof m) return 0;
  assert_true(m.id < MAX_IDS);
  known[m.id] |= (unsigned char)(1 << m.what);
  if (m.id >= next_id) next_id = m.id + 1;
  return 1;
}

/* What stands in the queue against what is known. */
static void compare(void) {
  struct spool_view v;
  struct spool_stats st;
  static unsigned char present[MAX_IDS];
  struct weir_error err = { 0 };
  struct spool *peek;
  memset(present, 0, next_id);
  assert_int_equal(spool_peek_open(&peek, options.directory, &err), 0);
  while (spool_peek_next(peek, &v)) {
    uint64_t id = sample_id(v.payload, v.payload_n, v.context, v.context_n, v.items);
    assert_true(id < next_id && known[id]); /* somebody began to append it */
    assert_int_equal(present[id]++, 0);
  }
  spool_stats(peek, &st);
  assert_int_equal(st.corrupt_records, 0);
  spool_peek_close(peek);
  for (uint64_t id = 0; id < next_id; id++)
    if (known[id] >> SAY_ACKED & 1 && !(known[id] >> SAY_RELEASED & 1)) assert_int_equal(present[id], 1);
}

static void run_and_kill(int round) {
  int fd[2], status;
  assert_int_equal(pipe(fd), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    close(fd[0]);
    out_fd = fd[1];
    child();
    _exit(0);
  }
  close(fd[1]);
  if (round % 8) (void)hear(fd[0]); /* most are killed at work, some while they open */
  struct pollfd p = { .fd = fd[0], .events = POLLIN };
  struct timespec none = { 0, 50000 };
  for (int64_t end = spool_now_ns() + (int64_t)(random() % 6000) * 1000; spool_now_ns() < end;)
    if (ppoll(&p, 1, &none, NULL) > 0) (void)hear(fd[0]);
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSIGNALED(status)); /* it did not end by itself */
  while (hear(fd[0])) {}
  close(fd[0]);
}

static void killed_at_any_moment_it_has_what_it_acknowledged(void **state) {
  (void)state;
  options.segment_bytes = 8192;
  options.max_bytes = 256u << 10;
  srandom(4711);
  assert_int_equal(mkdir(options.directory, 0700), 0); /* the first child may not come so far */
  uint64_t acked = 0;
  for (int round = 0; round < KILLS; round++) {
    options.sync = round % 3; /* the page cache survives in each mode */
    run_and_kill(round);
    compare();
  }
  for (uint64_t id = 0; id < next_id; id++) acked += known[id] >> SAY_ACKED & 1;
  assert_true(acked > KILLS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(killed_at_any_moment_it_has_what_it_acknowledged, setup_folder, teardown_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
