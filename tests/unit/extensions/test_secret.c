/* Secrets of the kit: comparing, files that change (rewritten, renamed over, behind a swapped symlink), and a value that is replaced while lanes read it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugins/kit/secret.c"

static char dir[64];

static int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/weir-secret-XXXXXX");
  return mkdtemp(dir) == NULL;
}

static char *path(const char *name) {
  static char paths[4][128];
  static int next;
  char *p = paths[next++ % 4];
  snprintf(p, sizeof paths[0], "%s/%s", dir, name);
  return p;
}

static void put(const char *name, const char *text, size_t n) {
  FILE *f = fopen(path(name), "w");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, n, f), n);
  fclose(f);
}

static void expect(struct kit_secret_file *f, const char *text) {
  char *p = NULL;
  size_t n;
  struct weir_error err = { 0 };
  int code = kit_secret_read(f, &p, &n, &err);
  if (code != 1) fail_msg("expected `%s`: %d %s", text, code, err.msg);
  assert_string_equal(p, text);
  assert_int_equal(n, strlen(text));
  kit_secret_free(p, n);
  assert_int_equal(kit_secret_read(f, &p, &n, &err), 0); /* unchanged */
}

static void comparing(void **state) {
  (void)state;
  assert_true(kit_secret_equal("abc", 3, "abc", 3));
  assert_false(kit_secret_equal("abc", 3, "abd", 3));
  assert_false(kit_secret_equal("abc", 3, "ab", 2));
  assert_true(kit_secret_equal("", 0, NULL, 0));
}

static void a_file_is_read_again_when_it_is_another_one(void **state) {
  (void)state;
  struct kit_secret_file f = { .path = strdup(path("token")) };
  put("token", "  one \r\n", 8);
  expect(&f, "one");
  put("token", "three\n", 6);
  expect(&f, "three");
  put("new", "fours", 5);
  assert_int_equal(rename(path("new"), path("token")), 0);
  expect(&f, "fours");
  put("token", "", 0);
  expect(&f, "");
  free((char *)(uintptr_t)f.path);
}

/* As Kubernetes does it: token -> ..data/token, ..data -> a folder that is swapped. */
static void a_symlink_that_is_swapped(void **state) {
  (void)state;
  char old[128], new[128], data[128], tmp[128], link_path[128];
  snprintf(old, sizeof old, "%s", path("v1"));
  snprintf(new, sizeof new, "%s", path("v2"));
  snprintf(data, sizeof data, "%s", path("..data"));
  snprintf(tmp, sizeof tmp, "%s", path("..tmp"));
  snprintf(link_path, sizeof link_path, "%s", path("mounted"));
  assert_int_equal(mkdir(old, 0700) | mkdir(new, 0700), 0);
  put("v1/token", "aaaa", 4);
  put("v2/token", "bbbb", 4);
  assert_int_equal(symlink("v1", data) | symlink("..data/token", link_path), 0);
  struct kit_secret_file f = { .path = link_path };
  expect(&f, "aaaa");
  assert_int_equal(symlink("v2", tmp) | rename(tmp, data), 0);
  expect(&f, "bbbb");
}

static void what_cannot_be_read_is_said_without_what_is_in_it(void **state) {
  (void)state;
  static char large[KIT_SECRET_MAX + 1];
  char *p = NULL, *at = strdup(path("gone"));
  size_t n;
  struct weir_error err = { 0 };
  struct kit_secret_file f = { .path = at };
  assert_int_equal(kit_secret_read(&f, &p, &n, &err), WEIR_E_IO);
  assert_non_null(strstr(err.msg, at));
  assert_true(f.failing);
  memset(large, 'x', sizeof large);
  put("gone", large, sizeof large);
  assert_int_equal(kit_secret_read(&f, &p, &n, &err), WEIR_E_LIMIT);
  put("gone", large, sizeof large - 1);
  assert_int_equal(kit_secret_read(&f, &p, &n, &err), 1);
  assert_int_equal(n, KIT_SECRET_MAX);
  kit_secret_free(p, n);
  f.path = dir;
  assert_int_equal(kit_secret_read(&f, &p, &n, &err), WEIR_E_IO);
  free(at);
}

/* --- publishing -------------------------------------------------------------------------------------------------------- */

#define READERS 3
#define ROUNDS 3000

struct value {
  int a, b;
};

static struct kit_published published;
static _Atomic int stop, n_freed;

static void free_value(void *arg) {
  struct value *v = arg;
  v->a = -1; /* a reader that still looks would see it */
  atomic_fetch_add(&n_freed, 1);
  free(v);
}

static void *reader(void *arg) {
  intptr_t bad = 0;
  (void)arg;
  while (!atomic_load(&stop)) {
    const struct value *v = kit_published_enter(&published);
    if (!v || v->a < 0 || v->a != v->b) bad++;
    kit_published_leave(&published);
  }
  return (void *)bad;
}

static void publish(int i) {
  struct value *v = malloc(sizeof *v);
  assert_non_null(v);
  v->a = v->b = i;
  kit_published_set(&published, v);
}

static void readers_see_whole_values_while_they_are_replaced(void **state) {
  (void)state;
  pthread_t threads[READERS];
  published.free = free_value;
  publish(0);
  for (int i = 0; i < READERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, reader, NULL), 0);
  for (int i = 1; i < ROUNDS; i++) publish(i);
  atomic_store(&stop, 1);
  for (int i = 0; i < READERS; i++) {
    void *bad;
    pthread_join(threads[i], &bad);
    assert_null(bad);
  }
  kit_published_sweep(&published);
  assert_int_equal(atomic_load(&n_freed), ROUNDS - 1); /* all but the newest */
  kit_published_done(&published);
  assert_int_equal(atomic_load(&n_freed), ROUNDS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(comparing),
    cmocka_unit_test(a_file_is_read_again_when_it_is_another_one),
    cmocka_unit_test(a_symlink_that_is_swapped),
    cmocka_unit_test(what_cannot_be_read_is_said_without_what_is_in_it),
    cmocka_unit_test(readers_see_whole_values_while_they_are_replaced),
  };
  return cmocka_run_group_tests(tests, setup, NULL);
}
