/* Listening sockets: who joins, who owns the path of a unix socket, how one generation takes an address over from another. */
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

static struct listener_member *member; /* who got the connection says that it is closed */

static void on_conn(void *arg, int fd) {
  int *got = arg;
  if (got) ++*got;
  close(fd);
  if (member) listener_conn_closed(member);
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
  if (listener_join(ls, &loop, "otlp", "gRPC", endpoint, on_conn, NULL, &m, &err)) print_error("%s\n", err.msg);
  assert_non_null(m);
  return m;
}

static void run(void) {
  for (int i = 0; i < 5; i++) loop_run_once(&loop);
}

static void go(struct listener_member *m) {
  listener_leave(m);
  run();
  listener_release(m);
}

static void leave(struct listeners *ls, struct listener_member *m) {
  go(m);
  listeners_free(ls);
}

/* A process that drains has stopped to listen; another one takes the path over, and keeps it when the first one ends. */
static void a_path_that_another_took_over_is_left_alone(void **state) {
  (void)state;
  struct listeners *first = listeners_new(), *second = listeners_new();
  struct listener_member *m = join(first);
  assert_true(can_connect());
  go(m);
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
  go(a);
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
  assert_int_not_equal(listener_join(ls, &loop, owner, "gRPC", where, on_conn, NULL, &m, &err), 0);
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

/* --- take-over --------------------------------------------------------------------------------------------- */

static struct listener_member *join_as(struct listeners *ls, const char *owner, int *got, struct weir_error *err) {
  struct listener_member *m = NULL;
  *err = (struct weir_error){ 0 };
  return listener_join(ls, &loop, owner, "gRPC", endpoint, on_conn, got, &m, err) ? NULL : m;
}

static void connect_to(struct listener_member *expected) {
  member = expected;
  assert_true(can_connect());
  run();
  member = NULL;
}

static void new_connections_go_to_the_newest_generation(void **state) {
  (void)state;
  struct listeners *ls = listeners_new();
  struct weir_error err;
  int old_got = 0, new_got = 0;
  struct listener_member *old = join_as(ls, "otlp", &old_got, &err);
  connect_to(old);
  assert_int_equal(old_got, 1);
  listeners_next_generation(ls);
  struct listener_member *newer = join_as(ls, "otlp", &new_got, &err);
  assert_non_null(newer);
  assert_true(listener_succeeded(old));
  assert_false(listener_succeeded(newer));
  for (int i = 0; i < 3; i++) connect_to(newer);
  go(old); /* does not stop the listening */
  for (int i = 0; i < 3; i++) connect_to(newer);
  assert_int_equal(old_got, 1);
  assert_int_equal(new_got, 6);
  leave(ls, newer);
  assert_false(can_connect());
}

static void when_the_newer_ones_give_up_the_older_go_on(void **state) {
  (void)state;
  struct listeners *ls = listeners_new();
  struct weir_error err;
  int old_got = 0, new_got = 0;
  struct listener_member *old = join_as(ls, "otlp", &old_got, &err);
  listeners_next_generation(ls);
  struct listener_member *newer = join_as(ls, "otlp", &new_got, &err);
  go(newer);
  connect_to(old);
  assert_int_equal(old_got, 1);
  assert_int_equal(new_got, 0);
  leave(ls, old);
}

static void another_owner_joins_only_what_yields(void **state) {
  (void)state;
  struct listeners *ls = listeners_new();
  struct weir_error err;
  int got = 0;
  struct listener_member *old = join_as(ls, "otlp", NULL, &err);
  listeners_next_generation(ls);
  assert_null(join_as(ls, "otlp/new", &got, &err));
  assert_non_null(strstr(err.msg, "is in use by `otlp` of this configuration"));
  listeners_yield(ls, "otlp", 1);
  struct listener_member *newer = join_as(ls, "otlp/new", &got, &err);
  assert_non_null(newer);
  go(old);
  connect_to(newer);
  assert_int_equal(got, 1);
  leave(ls, newer);
}

/* One listener gives its connections to all members alike: those of another protocol would get what they do not understand. */
static void protocols_of_one_owner_do_not_share(void **state) {
  (void)state;
  struct listeners *ls = listeners_new();
  struct weir_error err = { 0 };
  struct listener_member *grpc = join(ls), *http = NULL, *ports[2] = { NULL, NULL };
  assert_int_equal(listener_join(ls, &loop, "otlp", "HTTP", endpoint, on_conn, NULL, &http, &err), WEIR_E_CONFIG);
  assert_non_null(strstr(err.msg, "is in use by `otlp` of this configuration"));
  assert_string_equal(err.hint, "it serves gRPC there: give each protocol its own endpoint");
  assert_int_equal(listener_join(ls, &loop, "otlp", "gRPC", "127.0.0.1:0", on_conn, NULL, &ports[0], &err), 0);
  assert_int_equal(listener_join(ls, &loop, "otlp", "HTTP", "127.0.0.1:0", on_conn, NULL, &ports[1], &err), 0);
  assert_int_not_equal(listener_port(ports[0]), listener_port(ports[1]));
  listeners_next_generation(ls);
  listeners_yield(ls, "otlp", 1); /* a reload may change what is spoken there */
  assert_int_equal(listener_join(ls, &loop, "otlp", "HTTP", endpoint, on_conn, NULL, &http, &err), 0);
  go(ports[0]);
  go(ports[1]);
  go(grpc);
  leave(ls, http);
}

/* --- sockets of a library ----------------------------------------------------------------------------------- */

static struct listener_claim *claim(struct listeners *ls, const char *owner, struct weir_error *err) {
  struct listener_claim *c = NULL;
  *err = (struct weir_error){ 0 };
  return listener_claim(ls, owner, endpoint, &c, err) ? NULL : c;
}

static void what_a_library_holds_needs_a_restart(void **state) {
  (void)state;
  struct listeners *ls = listeners_new();
  struct weir_error err;
  struct listener_claim *c = claim(ls, "otlp", &err);
  assert_non_null(c);
  assert_int_not_equal(access(path, F_OK), 0); /* the library binds */
  refused(ls, "otlp", endpoint, "is held by the engine core of `otlp`, and cannot go to another engine or component while weir runs");
  refused(ls, "otlp", endpoint, "restart weir");
  refused(ls, "otlp/b", endpoint, "is in use by `otlp` of this configuration");
  assert_null(claim(ls, "otlp/b", &err));
  assert_non_null(strstr(err.msg, "is in use by `otlp` of this configuration"));
  listeners_yield(ls, "otlp", 1);
  refused(ls, "otlp/b", endpoint, "restart weir");
  assert_null(claim(ls, "otlp/b", &err));
  assert_string_equal(err.hint, "restart weir");
  listeners_next_generation(ls); /* the reload is over, and it stayed */
  refused(ls, "otlp/b", endpoint, "is in use by `otlp` of this configuration");
  listener_unclaim(c);
  leave(ls, join(ls));
}

static void a_library_gets_no_address_that_is_held(void **state) {
  (void)state;
  struct listeners *ls = listeners_new();
  struct weir_error err;
  struct listener_member *m = join(ls);
  assert_null(claim(ls, "otlp", &err));
  assert_non_null(strstr(err.msg, "is held by the engine native of `otlp`, and cannot go to another engine or component while weir runs"));
  assert_string_equal(err.hint, "restart weir");
  assert_null(claim(ls, "otlp/b", &err));
  assert_non_null(strstr(err.msg, "is in use by `otlp` of this configuration"));
  listeners_yield(ls, "otlp", 1);
  assert_null(claim(ls, "otlp/b", &err));
  assert_string_equal(err.hint, "restart weir");
  go(m);
  struct listener_claim *c = claim(ls, "otlp", &err);
  assert_non_null(c);
  listener_unclaim(c);
  listeners_free(ls);
}

/* What `weir validate` can tell of an address: nothing is bound, and no name is looked up. */
static void the_form_of_an_address_is_checked(void **state) {
  (void)state;
  static const struct {
    const char *endpoint, *text;
  } cases[] = { { "127.0.0.1:4317", NULL }, { ":4317", NULL }, { "[::1]:0", NULL }, { "localhost:1", NULL }, { "no.such.host.invalid:4317", NULL },
    { "[fe80::1%nowhere]:4317", NULL }, { "unix:///nowhere/at/all.sock", NULL }, { "127.0.0.1:65535", NULL },
    { "127.0.0.1:99999", "`127.0.0.1:99999` is no address to listen on: the highest port is 65535" }, { "127.0.0.1", "`127.0.0.1` is no address to listen on" },
    { "127.0.0.1:http", "`127.0.0.1:http` is no address to listen on" }, { "300.0.0.1:4317", "`300.0.0.1` is no IP address" }, { "[a:b]:4317", "`a:b` is no IP address" },
    { "::1:4317", "is no address to listen on" }, { "unix://run/x.sock", "`run/x.sock` is no path of a socket" },
    { "unix:///0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901", "is longer than 107 bytes" } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct weir_error err = { 0 };
    int r = listener_check(cases[i].endpoint, &err);
    if (!r != !cases[i].text || (r && !strstr(err.msg, cases[i].text))) fail_msg("%s: %s", cases[i].endpoint, err.msg);
  }
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(a_path_that_another_took_over_is_left_alone), T(a_path_that_is_taken_over_early_is_left_alone),
    T(a_stale_socket_is_replaced), T(a_living_owner_is_named), T(what_is_no_socket_stays),
    T(new_connections_go_to_the_newest_generation), T(when_the_newer_ones_give_up_the_older_go_on), T(another_owner_joins_only_what_yields),
    T(protocols_of_one_owner_do_not_share), T(what_a_library_holds_needs_a_restart), T(a_library_gets_no_address_that_is_held),
     T(the_form_of_an_address_is_checked) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
