/* core/budget: the room, and the limit that cgroups set, from files as kernels show them. */
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

#include "core/budget.h"

static char root[64];

static int setup(void **state) {
  (void)state;
  strcpy(root, "/tmp/weir-budget-XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  char command[100];
  snprintf(command, sizeof command, "rm -rf %s", root);
  return system(command);
}

static void put(const char *path, const char *text) {
  char full[5000];
  snprintf(full, sizeof full, "%s/%s", root, path);
  for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    mkdir(full, 0700);
    *slash = '/';
  }
  FILE *f = fopen(full, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

#define SELF(text) put("proc/self/cgroup", text)
#define V2(group, text) put("sys/fs/cgroup" group "/memory.max", text)
#define V1(group, text) put("sys/fs/cgroup/memory" group "/memory.limit_in_bytes", text)
#define limit_is(n) assert_true(budget_cgroup_limit(root) == (n))
#define NONE UINT64_MAX

static void without_files_there_is_no_limit(void **state) {
  (void)state;
  limit_is(NONE);
  SELF("0::/a/b\n");
  limit_is(NONE);
  V2("/a/b", "max\n");
  limit_is(NONE);
}

static void v2_the_tightest_of_the_group_and_those_above(void **state) {
  (void)state;
  SELF("0::/a/b/c\n");
  V2("/a/b/c", "3000\n");
  limit_is(3000);
  V2("/a/b", "max\n");
  V2("/a", "2000\n");
  limit_is(2000);
  V2("", "2500\n");
  limit_is(2000);
  V2("/a/b/c", "1000\n");
  limit_is(1000);
  V2("/a/b/c/d", "10\n"); /* below, beside: of others */
  V2("/x", "10\n");
  V1("/a/b/c", "10\n"); /* v1 is not said to be in use */
  limit_is(1000);
}

static void v1_as_well(void **state) {
  (void)state;
  SELF("5:cpuset:/x\n4:memory:/a/b\n1:cpu,cpuacct:/y\n");
  V1("/a/b", "9223372036854771712\n"); /* the kernel's word for none */
  limit_is(9223372036854771712u);
  V1("/a", "2000\n");
  limit_is(2000);
  V1("/x", "10\n");
  V2("/a/b", "10\n");
  limit_is(2000);
  SELF("4:hugetlb,memory,pids:/a/b\n");
  limit_is(2000);
  SELF("4:memoryless:/a/b\n");
  limit_is(NONE);
}

static void both_are_mounted(void **state) {
  (void)state;
  SELF("4:memory:/a\n1:name=systemd:/s\n0::/b\n");
  V1("/a", "4000\n");
  limit_is(4000);
  V2("/b", "3000\n");
  limit_is(3000);
  V1("", "2000\n");
  limit_is(2000);
}

/* What is mounted is the container's own group, and its path is one of the machine's. */
static void in_a_container(void **state) {
  (void)state;
  SELF("0::/docker/0123\n");
  V2("", "5000\n");
  limit_is(5000);
  SELF("4:memory:/docker/0123\n");
  V1("", "6000\n");
  limit_is(6000);
  SELF("0::/\n");
  limit_is(5000);
  SELF("0::/../../outside\n"); /* another cgroup namespace */
  V2("/outside", "10\n");
  limit_is(5000);
}

static void without_proc_the_mount_counts(void **state) {
  (void)state;
  V2("", "5000\n");
  limit_is(5000);
  V1("", "4000\n");
  limit_is(4000);
}

static void garbage_is_no_limit(void **state) {
  (void)state;
  static const char *const bad[] = { "", "\n", "-1\n", "12 monkeys\n", "99999999999999999999999\n", "maximum\n" };
  SELF("0::/a\n");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    V2("/a", bad[i]);
    limit_is(NONE);
  }
  V2("/a", "77"); /* no end of line */
  limit_is(77);
  SELF("\n0\n0:\n::\n:::\nnonsense\n0::/a\n");
  limit_is(77);
  SELF("0::/a"); /* the last line has none */
  limit_is(77);
  SELF("0::/a///\n");
  limit_is(77);
}

static void long_paths(void **state) {
  (void)state;
  char line[6000] = "0::";
  for (int i = 0; i < 400; i++) strcat(line, "/0123456789");
  SELF(line);
  V2("", "500\n");
  limit_is(500);
  strcat(line, "/0123456789/0123456789\n0::/a\n");
  for (int i = 0; i < 50; i++) strcat(line, "/0123456789");
  SELF(line);
  limit_is(500);
}

static void this_machine_has_a_limit(void **state) {
  (void)state;
  assert_true(budget_total() >= 1 && budget_total() < NONE);
  assert_true(budget_default_limit() == budget_total() / 10 * 8);
}

static void room_is_taken_and_given(void **state) {
  (void)state;
  struct budget b;
  budget_init(&b, 100);
  assert_true(budget_take(&b, 60));
  assert_true(budget_has_room(&b, 40) && !budget_has_room(&b, 41));
  assert_false(budget_take(&b, 41));
  assert_false(budget_take(&b, UINT64_MAX));
  assert_int_equal(atomic_load(&b.refused), 2);
  assert_true(budget_take(&b, 40));
  budget_give(&b, 100);
  assert_int_equal(atomic_load(&b.used), 0);
  budget_init(&b, 0);
  assert_true(budget_take(&b, (uint64_t)1 << 60));
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(without_files_there_is_no_limit), T(v2_the_tightest_of_the_group_and_those_above), T(v1_as_well), T(both_are_mounted), T(in_a_container),
    T(without_proc_the_mount_counts), T(garbage_is_no_limit), T(long_paths), T(this_machine_has_a_limit), T(room_is_taken_and_given) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
