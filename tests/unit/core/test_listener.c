/* Listening sockets: who joins, who owns the path of a unix socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/listener.h"

static struct env env;
static struct loop loop;
static char dir[] = "/tmp/weir-listener-XXXXXX", path[64], endpoint[80];

static int setup(void **state) {
  struct weir_error err = { 0 };
  (void)state;
  memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
  if (!mkdtemp(dir)) return -1;
  snprintf(path, sizeof path, "%s/socket", dir);
  snprintf(endpoint, sizeof endpoint, "unix://%s", path);
  return loop_init(&loop, 0, &env, &err);
}

static int teardown(void **state) {
  (void)state;
  loop_done(&loop);
  unlink(path);
  return rmdir(dir);
}

static void on_conn(void *arg, int fd) {
  (void)arg;
  close(fd);
}

static int can_connect(void) {
  struct sockaddr_un un = { .sun_family = AF_UNIX };
  snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0), ok = connect(fd, (struct sockaddr *)&un, sizeof un) == 0;
  close(fd);
  return ok;
}

static struct listener_member *join(struct listeners *ls) {
  struct weir_error err = { 0 };
  struct listener_member *m = NULL;
  if (listener_join(ls, &loop, "otlp", endpoint, on_conn, NULL, &m, &err)) print_error("%s\n", err.msg);
  assert_non_null(m);
  return m;
}

static void leave(struct listeners *ls, struct listener_member *m) {
  listener_leave(m);
  for (int i = 0; i < 5; i++) loop_run_once(&loop);
  listeners_free(ls);
}

/* A process that drains has stopped to listen; another one takes the path over, and keeps it when the first one ends. */
static void a_path_that_another_took_over_is_left_alone(void **state) {
  (void)state;
  struct listeners *first = listeners_new(), *second = listeners_new();
  struct listener_member *m = join(first);
  assert_true(can_connect());
  listener_leave(m);
  for (int i = 0; i < 5; i++) loop_run_once(&loop);
  assert_false(can_connect());
  struct listener_member *other = join(second);
  assert_true(can_connect());
  listeners_free(first);
  assert_true(can_connect());
  leave(second, other);
  assert_int_not_equal(access(path, F_OK), 0); /* its own path goes with it */
}

/* The same while another lane of the first one has not left yet, so that its descriptor is still open. */
static void a_path_that_is_taken_over_early_is_left_alone(void **state) {
  (void)state;
  struct listeners *first = listeners_new(), *second = listeners_new();
  struct listener_member *a = join(first), *b = join(first);
  listener_leave(a);
  for (int i = 0; i < 5; i++) loop_run_once(&loop);
  assert_false(can_connect());
  struct listener_member *other = join(second);
  leave(first, b);
  assert_true(can_connect());
  leave(second, other);
  assert_int_not_equal(access(path, F_OK), 0);
}

static void refused(struct listeners *ls, const char *owner, const char *where, const char *text) {
  struct weir_error err = { 0 };
  struct listener_member *m = NULL;
  assert_int_not_equal(listener_join(ls, &loop, owner, where, on_conn, NULL, &m, &err), 0);
  if (!strstr(err.msg, text) && !strstr(err.hint, text)) print_error("%s; %s\n", err.msg, err.hint);
  assert_true(strstr(err.msg, text) || strstr(err.hint, text));
}

/* What a killed process left is replaced. */
static void a_stale_socket_is_replaced(void **state) {
  struct sockaddr_un un = { .sun_family = AF_UNIX };
  struct listeners *ls = listeners_new();
  (void)state;
  snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
  close(fd);
  assert_false(can_connect());
  struct listener_member *m = join(ls);
  assert_true(can_connect());
  leave(ls, m);
}

static void a_living_owner_is_named(void **state) {
  struct listeners *first = listeners_new(), *second = listeners_new();
  (void)state;
  struct listener_member *m = join(first);
  refused(second, "otlp", endpoint, "is in use by");
  refused(second, "otlp", endpoint, "another component of this process"); /* as told by /proc */
  assert_true(can_connect());
  listeners_free(second);
  leave(first, m);
}

static void what_is_no_socket_stays(void **state) {
  struct listeners *ls = listeners_new();
  (void)state;
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fclose(f);
  refused(ls, "otlp", endpoint, "there is a file that is no socket");
  assert_int_equal(access(path, F_OK), 0);
  refused(ls, "otlp", "unix:///nowhere/weir/socket", "make the directory first");
  refused(ls, "otlp", "unix://@weir", "abstract sockets are not supported");
  refused(ls, "otlp", "unix://relative", "with an absolute path");
  listeners_free(ls);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(a_path_that_another_took_over_is_left_alone), T(a_path_that_is_taken_over_early_is_left_alone),
    T(a_stale_socket_is_replaced), T(a_living_owner_is_named), T(what_is_no_socket_stays) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
