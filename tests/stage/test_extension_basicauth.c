/* The basicauth extension: who passes, what costly checks cost at most, and what a client sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness_auth.h"
#include "harness_check.h"

#define ANN_OK "Basic YW5uOnMzY3JldCE="   /* ann:s3cret! */
#define ANN_WRONG "Basic YW5uOndyb25n"    /* ann:wrong */
#define ANN_WRONG2 "Basic YW5uOndyb25nMg==" /* ann:wrong2 */
#define BOB_OK "Basic Ym9iOnMzY3JldCE="   /* bob:s3cret! */
#define EVE "Basic ZXZlOnMzY3JldCE="      /* eve:s3cret! */
#define BCRYPT "$2y$04$abcdefghijklmnopqrstuuh4cO4ROu.nJXUIr7hh2pSZ4sXan9mjm"
#define TWO_USERS "htpasswd: {inline: \"ann:" BCRYPT "\\nbob:" BCRYPT "\\n\", max_checks_per_second: 2}"

struct fixture {
  struct harness *h;
  struct weir_auth_checker *c;
};

static void set_up(struct fixture *f, const char *yaml) {
  f->h = harness_new(WEIR_EXTENSION, "basicauth", yaml, 0);
  f->c = harness_checker(f->h);
}

static void tear_down(struct fixture *f) {
  harness_checker_close(f->h, f->c);
  harness_free(f->h);
}

static uint32_t ask(struct fixture *f, const char *authorization) { return harness_check(f->h, f->c, authorization ? "authorization" : NULL, authorization).code; }

static void who_passes(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "htpasswd: {inline: \"ann:{SHA}YWXIkDPDfrJ6I4yV+0kqTJdT5SE=\\nbob:s3cret!\"}");
  struct weir_auth_result r = harness_check(f.h, f.c, "authorization", ANN_OK);
  assert_int_equal(r.code, WEIR_AUTH_OK);
  assert_int_equal(r.n_attrs, 1);
  assert_true(weir_str_eq(r.attrs[0].name, weir_str_of("username")) && weir_str_eq(r.attrs[0].value, weir_str_of("ann")));
  assert_int_equal(ask(&f, BOB_OK), WEIR_AUTH_OK);
  for (int i = 0; i < 100; i++) assert_int_equal(ask(&f, ANN_WRONG), WEIR_AUTH_INVALID); /* a cheap hash is checked each time */
  assert_int_equal(ask(&f, EVE), WEIR_AUTH_INVALID);
  assert_int_equal(ask(&f, NULL), WEIR_AUTH_MISSING);
  assert_int_equal(ask(&f, "Bearer x"), WEIR_AUTH_MALFORMED);
  r = harness_check(f.h, f.c, "authorization", EVE);
  assert_string_equal(r.msg, "invalid credentials");
  assert_non_null(strstr(r.challenge, "Basic realm="));
  tear_down(&f);
}

static void what_was_checked_is_known(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, TWO_USERS);
  assert_int_equal(ask(&f, ANN_OK), WEIR_AUTH_OK);
  assert_int_equal(ask(&f, ANN_WRONG), WEIR_AUTH_INVALID);
  for (int i = 0; i < 1000; i++) { /* no time passes: nothing is checked anew */
    assert_int_equal(ask(&f, ANN_OK), WEIR_AUTH_OK);
    assert_int_equal(ask(&f, ANN_WRONG), WEIR_AUTH_INVALID);
  }
  tear_down(&f);
}

static void costly_checks_are_limited(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, TWO_USERS);
  assert_int_equal(ask(&f, ANN_WRONG), WEIR_AUTH_INVALID);
  assert_int_equal(ask(&f, ANN_WRONG2), WEIR_AUTH_BUSY); /* one wrong password a second for a name */
  assert_int_equal(ask(&f, ANN_OK), WEIR_AUTH_BUSY);
  assert_int_equal(ask(&f, BOB_OK), WEIR_AUTH_OK); /* others have their turn */
  harness_advance(f.h, NS_PER_S);
  assert_int_equal(ask(&f, ANN_OK), WEIR_AUTH_OK);
  assert_int_equal(ask(&f, ANN_WRONG2), WEIR_AUTH_INVALID);
  assert_int_equal(ask(&f, "Basic Ym9iOng="), WEIR_AUTH_BUSY); /* bob:x, the third check in this second */
  assert_int_equal(ask(&f, EVE), WEIR_AUTH_INVALID);           /* an unknown name costs nothing */
  assert_int_equal(ask(&f, ANN_OK), WEIR_AUTH_OK);
  tear_down(&f);
}

static void handles_share_nothing(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, TWO_USERS);
  struct weir_auth_checker *other = harness_checker(f.h), *first = f.c;
  assert_int_equal(ask(&f, ANN_WRONG), WEIR_AUTH_INVALID);
  assert_int_equal(ask(&f, ANN_OK), WEIR_AUTH_BUSY);
  f.c = other;
  assert_int_equal(ask(&f, ANN_OK), WEIR_AUTH_OK);
  f.c = first;
  harness_checker_close(f.h, other);
  tear_down(&f);
}

static void a_client_sends_its_credentials(void **state) {
  (void)state;
  struct harness *h = harness_new(WEIR_EXTENSION, "basicauth", "client_auth: {username: ann, password: 's3cret!'}", 0);
  struct weir_auth_signer *s = harness_signer(h);
  assert_string_equal(harness_sign(h, s, NULL, "a: b\n"), "a: b\nauthorization: " ANN_OK "\n");
  assert_string_equal(harness_sign(h, s, NULL, "Authorization: old\na: b\nauthorization: old\n"), "a: b\nauthorization: " ANN_OK "\n");
  const struct weir_auth_client *table = harness_offer(h, WEIR_AUTH_CLIENT_SERVICE);
  assert_int_equal(table->refused(s), 0); /* nothing that could change */
  assert_null(h->stage.entry->type.offer(h->stage.self, WEIR_AUTH_SERVER_SERVICE));
  harness_signer_close(h, s);
  harness_free(h);
}

static void a_password_in_a_file_may_change(void **state) {
  (void)state;
  char path[] = "/tmp/weir-basic-XXXXXX", yaml[200];
  close(mkstemp(path));
  harness_put_file(path, "wrong\n");
  snprintf(yaml, sizeof yaml, "client_auth: {username: ann, password_file: %s}", path);
  struct harness *h = harness_new(WEIR_EXTENSION, "basicauth", yaml, 0);
  struct weir_auth_signer *s = harness_signer(h);
  const struct weir_auth_client *table = harness_offer(h, WEIR_AUTH_CLIENT_SERVICE);
  assert_string_equal(harness_sign(h, s, NULL, ""), "authorization: " ANN_WRONG "\n");
  assert_int_equal(table->refused(s), 1); /* the file may be about to change */
  harness_put_file(path, "s3cret!\n");
  assert_string_equal(harness_sign(h, s, NULL, ""), "authorization: " ANN_WRONG "\n");
  harness_advance(h, NS_PER_S);
  assert_string_equal(harness_sign(h, s, NULL, ""), "authorization: " ANN_OK "\n");
  unlink(path);
  harness_advance(h, 3 * NS_PER_S); /* gone: what was read stays */
  assert_string_equal(harness_sign(h, s, NULL, ""), "authorization: " ANN_OK "\n");
  assert_int_equal(table->refused(s), 1);
  harness_advance(h, 4 * NS_PER_S);
  assert_int_equal(table->refused(s), 0); /* still the same: it was refused for good */
  harness_signer_close(h, s);
  harness_free(h);
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { NULL, "no credential source provided; set htpasswd for servers, or client_auth for clients" },
    { "htpasswd: {}", "htpasswd: no credential source provided" },
    { "{htpasswd: {inline: 'a:b'}, client_auth: {username: a}}", "client_auth: only one of `htpasswd` or `client_auth` can be specified" },
    { "htpasswd: {file: /nonexistent/x}", "htpasswd.file: cannot open /nonexistent/x" },
    { "htpasswd: {inline: '# nobody'}", "htpasswd.inline: no credential source provided: there is no user in it" },
    { "htpasswd: {inline: 'ann:$2y$hunter2'}", "htpasswd.inline: htpasswd.inline, line 1: this kind of hash is not known" },
    { "htpasswd: {inline: 'a:b', max_checks_per_second: 0}", "`htpasswd.max_checks_per_second`" },
    { "client_auth: {username: 'a:b', password: hunter2}", "client_auth.username: a user name with a colon can not be sent" },
    { "client_auth: {username: a, password_file: /nonexistent/x}", "client_auth.password_file: cannot open" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct harness_setup s = { .role = WEIR_EXTENSION, .type = "basicauth", .yaml = cases[i].yaml };
    char *why = harness_refused(&s);
    if (!strstr(why, cases[i].text) || strstr(why, "hunter2")) fail_msg("wanted \"%s\" in: %s", cases[i].text, why);
    free(why);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(who_passes),
    cmocka_unit_test(what_was_checked_is_known),
    cmocka_unit_test(costly_checks_are_limited),
    cmocka_unit_test(handles_share_nothing),
    cmocka_unit_test(a_client_sends_its_credentials),
    cmocka_unit_test(a_password_in_a_file_may_change),
    cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
