/* The command socket: who may use it, where it may stand, and what comes back. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "pipelines/control.h"
#include "pipelines/run.h"

static struct env env;
static struct loop loop;
static char dir[64], path[80], heard[64];
static struct weir_error err;

static int setup(void **state) {
  (void)state;
  err = (struct weir_error){ 0 };
  heard[0] = 0;
  snprintf(dir, sizeof dir, "/tmp/weir-control-XXXXXX");
  if (!mkdtemp(dir)) return -1;
  snprintf(path, sizeof path, "%s/socket", dir);
  return loop_init(&loop, UINT32_MAX, &env, &err);
}

static int teardown(void **state) {
  (void)state;
  loop_done(&loop);
  unlink(path);
  return rmdir(dir);
}

static struct control_request *later;

static int on_command(void *arg, struct control_request *request, const char *command, char **ret_text) {
  (void)arg;
  snprintf(heard, sizeof heard, "%s", command);
  if (strcmp(command, "later") == 0) {
    later = request;
    return CONTROL_LATER;
  }
  *ret_text = strdup("");
  return 7;
}

static struct control *start(void) {
  struct control *c = NULL;
  if (control_start(&loop, path, on_command, NULL, &c, &err)) print_error("%s\n", err.msg);
  assert_non_null(c);
  return c;
}

static void refused(const char *with) {
  struct control *c = NULL;
  err = (struct weir_error){ 0 };
  assert_int_not_equal(control_start(&loop, path, on_command, NULL, &c, &err), 0);
  assert_null(c);
  if (!strstr(err.msg, with)) fail_msg("it says: %s", err.msg);
}

static _Atomic int asked;
static int code;

static void *ask(void *arg) {
  code = control_ask(path, arg);
  asked = 1;
  return NULL;
}

static void a_command_is_answered_with_its_exit_code(void **state) {
  (void)state;
  struct control *c = start();
  struct stat st;
  pthread_t thread;
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  asked = 0;
  pthread_create(&thread, NULL, ask, (void *)(uintptr_t) "reload");
  for (int64_t end = clock_mono_ns() + 5 * NS_PER_S; !asked && clock_mono_ns() < end;) {
    loop_run_once(&loop);
    usleep(1000);
  }
  pthread_join(thread, NULL);
  assert_int_equal(code, 7);
  assert_string_equal(heard, "reload");
  control_stop(c);
  assert_int_not_equal(access(path, F_OK), 0);
}

static int connect_raw(void) {
  struct sockaddr_un un = { .sun_family = AF_UNIX };
  snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
  return fd;
}

static void run_until(int (*done)(void)) {
  for (int64_t end = clock_mono_ns() + 5 * NS_PER_S; !done() && clock_mono_ns() < end;) {
    loop_run_once(&loop);
    usleep(1000);
  }
}

static int is_later(void) { return later != NULL; }
static int has_asked(void) { return asked; }

static void a_command_may_be_answered_later(void **state) {
  (void)state;
  struct control *c = start();
  pthread_t thread;
  asked = 0;
  later = NULL;
  pthread_create(&thread, NULL, ask, (void *)(uintptr_t) "later");
  run_until(is_later);
  assert_non_null(later);
  for (int i = 0; i < 20; i++) loop_run_once(&loop);
  assert_int_equal(asked, 0);
  control_answer(later, 5, strdup("text"));
  run_until(has_asked);
  pthread_join(thread, NULL);
  assert_int_equal(code, 5);
  control_stop(c);
}

static void a_line_that_is_too_long_and_one_that_never_ends_are_cut_off(void **state) {
  (void)state;
  struct control *c = start();
  char line[600], byte;
  memset(line, 'x', sizeof line);
  int fd = connect_raw(), waits = connect_raw();
  assert_int_equal(write(fd, line, sizeof line), sizeof line);
  for (int i = 0; i < 20; i++) loop_run_once(&loop);
  assert_true(read(fd, &byte, 1) <= 0);
  assert_string_equal(heard, "");
  close(fd);
  control_stop(c); /* while one is connected */
  for (int i = 0; i < 5; i++) loop_run_once(&loop);
  assert_true(read(waits, &byte, 1) <= 0);
  close(waits);
}

static void who_asked_may_be_gone_before_the_answer(void **state) {
  (void)state;
  struct control *c = start();
  for (int stopped = 0; stopped < 2; stopped++) {
    later = NULL;
    int fd = connect_raw();
    assert_int_equal(write(fd, "later\n", 6), 6);
    run_until(is_later);
    assert_non_null(later);
    if (stopped) control_stop(c);
    close(fd);
    for (int i = 0; i < 5; i++) loop_run_once(&loop);
    control_answer(later, 0, strdup("nobody reads this"));
    for (int i = 0; i < 5; i++) loop_run_once(&loop);
  }
}

static void a_folder_for_everyone_is_refused(void **state) {
  (void)state;
  chmod(dir, 01777);
  refused("stands in a folder that everyone can write to");
}

static void a_socket_in_use_is_refused_and_a_dead_one_replaced(void **state) {
  (void)state;
  struct control *first = start();
  refused("is in use by another process");
  assert_int_equal(access(path, F_OK), 0);
  control_stop(first);
  struct sockaddr_un un = { .sun_family = AF_UNIX };
  snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
  int dead = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(dead, (struct sockaddr *)&un, sizeof un), 0);
  close(dead);
  control_stop(start());
}

static void a_file_of_that_name_stays(void **state) {
  (void)state;
  FILE *f = fopen(path, "w");
  fclose(f);
  refused("there is a file of that name");
  assert_int_equal(access(path, F_OK), 0);
}

static void nobody_there(void **state) {
  (void)state;
  assert_int_equal(control_ask(path, "reload"), EXIT_FAILED);
  unsetenv("XDG_RUNTIME_DIR");
  assert_int_equal(control_ask(NULL, "reload"), EXIT_USAGE);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  signal(SIGPIPE, SIG_IGN); /* as the program does */
  const struct CMUnitTest tests[] = { T(a_command_is_answered_with_its_exit_code), T(a_command_may_be_answered_later), T(who_asked_may_be_gone_before_the_answer),
    T(a_line_that_is_too_long_and_one_that_never_ends_are_cut_off),
    T(a_folder_for_everyone_is_refused), T(a_socket_in_use_is_refused_and_a_dead_one_replaced), T(a_file_of_that_name_stays), T(nobody_there) };
  return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
