/* When a change of files is told, and when it is not. Real files, real time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "pipelines/watch.h"

static struct env env;
static struct loop loop;
static char dir[64], config[80], data[80], link_path[80];
static int told;

static const char *in(const char *name) {
  static char paths[4][128];
  static int n;
  char *p = paths[n++ % 4];
  snprintf(p, sizeof paths[0], "%s/%s", dir, name);
  return p;
}

static void put(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void swap_link(const char *to) {
  assert_int_equal(symlink(to, in("..new")), 0);
  assert_int_equal(rename(in("..new"), in("..data")), 0);
}

static int setup(void **state) {
  struct weir_error err = { 0 };
  (void)state;
  told = 0;
  snprintf(dir, sizeof dir, "/tmp/weir-watch-XXXXXX");
  if (!mkdtemp(dir)) return -1;
  snprintf(config, sizeof config, "%s/weir.yaml", dir);
  snprintf(data, sizeof data, "%s/..data", dir);
  snprintf(link_path, sizeof link_path, "%s/value", dir);
  put(config, "one");
  mkdir(in("..1"), 0700);
  mkdir(in("..2"), 0700);
  put(in("..1/value"), "1");
  put(in("..2/value"), "2");
  swap_link("..1");
  if (symlink("..data/value", link_path)) return -1;
  return loop_init(&loop, 0, &env, &err);
}

static int teardown(void **state) {
  char command[160];
  (void)state;
  loop_done(&loop);
  snprintf(command, sizeof command, "rm -rf '%s'", dir);
  return system(command);
}

static void on_change(void *arg) {
  (void)arg;
  told++;
}

/* Runs until it was told so often, at most 5 s; with `wanted` not reached, for 150 ms. */
static void run(int wanted) {
  int64_t end = clock_mono_ns() + (told < wanted ? 5 * NS_PER_S : 150 * NS_PER_MS);
  while (clock_mono_ns() < end && (told < wanted || end - clock_mono_ns() < 200 * NS_PER_MS)) {
    loop_run_once(&loop);
    usleep(1000);
  }
  assert_int_equal(told, wanted);
}

static struct watch *watch(uint64_t known) {
  const char *files[] = { config, link_path };
  return watch_start(&loop, files, 2, 20 * NS_PER_MS, known ? known : watch_identity(files, 2), on_change, NULL);
}

static void a_file_that_is_written_or_replaced_is_told_once(void **state) {
  (void)state;
  struct watch *w = watch(0);
  run(0);
  put(config, "two and more");
  run(1);
  put(in("weir.yaml.new"), "three");
  assert_int_equal(rename(in("weir.yaml.new"), config), 0);
  run(2);
  run(2); /* nothing more comes of it */
  watch_stop(w);
}

static void another_file_beside_it_is_not(void **state) {
  (void)state;
  struct watch *w = watch(0);
  put(in("weir.log"), "a line");
  run(0);
  watch_stop(w);
}

static void a_link_that_is_swapped_on_the_way_is_told(void **state) {
  (void)state;
  struct watch *w = watch(0);
  swap_link("..2");
  run(1);
  watch_stop(w);
}

static void what_changed_before_the_watch_began_is_told(void **state) {
  (void)state;
  struct watch *w = watch(1); /* something else was known */
  run(1);
  watch_stop(w);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(a_file_that_is_written_or_replaced_is_told_once), T(another_file_beside_it_is_not),
    T(a_link_that_is_swapped_on_the_way_is_told), T(what_changed_before_the_watch_began_is_told) };
  return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
