/* The debug exporter and an output that nobody reads: the text is lost, the lane is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

static char dir[] = "/tmp/weir-debug-XXXXXX", fifo[64];

static int setup(void **state) {
  (void)state;
  memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
  if (!mkdtemp(dir)) return -1;
  snprintf(fifo, sizeof fifo, "%s/fifo", dir);
  return mkfifo(fifo, 0600);
}

static int teardown(void **state) {
  (void)state;
  unlink(fifo);
  return rmdir(dir);
}

/* stdout, as a shell or a container runtime makes it: a pipe without O_NONBLOCK. */
static void feed_more_than_a_pipe_holds(const char *output) {
  char yaml[200];
  snprintf(yaml, sizeof yaml, "verbosity: detailed\nsampling_initial: 1000\noutput_paths: [%s]\n", output);
  struct harness *h = harness_new(WEIR_EXPORTER, "debug", yaml, WEIR_TRACES);
  for (int i = 0; i < 20; i++) harness_feed(h, harness_batch(h, 100, NULL)); /* a pipe holds 64 KiB: the first few */
  assert_int_equal(h->n_done, 20);
  harness_free(h);
}

static void a_pipe_that_nobody_reads_does_not_hold_the_lane(void **state) {
  (void)state;
  int reader = open(fifo, O_RDWR), before = dup(1);
  alarm(60); /* the end of a lane that waits */
  feed_more_than_a_pipe_holds(fifo);
  dup2(reader, 1);
  feed_more_than_a_pipe_holds("stdout");
  dup2(before, 1);
  alarm(0);
  close(before);
  close(reader);
}

static void what_is_read_arrives_whole(void **state) {
  (void)state;
  char text[65536];
  int reader = open(fifo, O_RDWR | O_NONBLOCK);
  char yaml[200];
  snprintf(yaml, sizeof yaml, "verbosity: normal\noutput_paths: [%s]\n", fifo);
  struct harness *h = harness_new(WEIR_EXPORTER, "debug", yaml, WEIR_TRACES);
  harness_feed(h, harness_batch(h, 3, NULL));
  ssize_t n = read(reader, text, sizeof text - 1);
  assert_true(n > 0);
  text[n] = 0;
  assert_non_null(strstr(text, "spans: 3"));
  assert_true(text[n - 1] == '\n');
  harness_free(h);
  close(reader);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(a_pipe_that_nobody_reads_does_not_hold_the_lane), T(what_is_read_arrives_whole) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
