/* The headers_setter extension: each action on headers that are there and that are not, each source of a value, and what it will not send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness_auth.h"
#include "harness_check.h"

#define SETTER(list) "headers: [" list "]"

/* Opens, signs one request, and compares. */
static void check_with(const char *yaml, struct weir_stage *extension, const char *metadata, const char *auth, const char *headers, const char *expected) {
  struct harness_setup setup = { .role = WEIR_EXTENSION, .type = "headers_setter", .yaml = yaml, .extension = extension };
  struct harness *h = harness_open(&setup);
  struct weir_auth_signer *s = harness_signer(h);
  const struct weir_context *c = metadata || auth ? harness_context(h, metadata, auth) : NULL;
  assert_string_equal(harness_sign(h, s, c, headers), expected);
  context_unref(c);
  harness_signer_close(h, s);
  harness_free(h);
}

static void check(const char *yaml, const char *metadata, const char *auth, const char *headers, const char *expected) {
  check_with(yaml, NULL, metadata, auth, headers, expected);
}

static void actions(void **state) {
  (void)state;
  check(SETTER("{action: insert, key: X-A, value: new}"), NULL, NULL, "b: 1\n", "b: 1\nx-a: new\n");
  check(SETTER("{action: insert, key: X-A, value: new}"), NULL, NULL, "x-a: old\n", "x-a: old\n");
  check(SETTER("{action: update, key: X-A, value: new}"), NULL, NULL, "b: 1\n", "b: 1\n");
  check(SETTER("{action: update, key: X-A, value: new}"), NULL, NULL, "X-A: old\nb: 1\nx-a: old\n", "b: 1\nx-a: new\n");
  check(SETTER("{key: X-A, value: new}"), NULL, NULL, "b: 1\n", "b: 1\nx-a: new\n");
  check(SETTER("{action: upsert, key: X-A, value: new}"), NULL, NULL, "x-a: old\n", "x-a: new\n");
  check(SETTER("{action: delete, key: X-A}"), NULL, NULL, "x-A: old\nb: 1\n", "b: 1\n");
  check(SETTER("{action: delete, key: X-A}"), NULL, NULL, "b: 1\n", "b: 1\n");
  check(SETTER("{key: a, value: '1'}, {action: update, key: a, value: '2'}, {action: insert, key: b, value: '3'}"), NULL, NULL, "", "a: 2\nb: 3\n"); /* in their order */
}

static void values_of_the_context(void **state) {
  (void)state;
  static const char tenant[] = SETTER("{key: x-out, from_context: X-Tenant}"), or_default[] = SETTER("{key: x-out, from_context: x-tenant, default_value: none}");
  check(tenant, "x-tenant: blue\n", NULL, "", "x-out: blue\n");
  check(tenant, "other: blue\n", NULL, "a: b\n", "a: b\n"); /* no value, no header */
  check(tenant, NULL, NULL, "a: b\n", "a: b\n");
  check(or_default, "x-tenant: blue\n", NULL, "", "x-out: blue\n");
  check(or_default, "other: blue\n", NULL, "", "x-out: none\n");
  check(or_default, NULL, NULL, "", "x-out: none\n");
  check(tenant, "x-tenant: blue\nX-Tenant: red\n", NULL, "", "error: 2 source keys found in the context, can't determine which one to use: x-tenant");
  check(SETTER("{key: x-user, from_attribute: username}"), NULL, "username: ann\n", "", "x-user: ann\n");
  check(SETTER("{key: x-user, from_attribute: username, default_value: nobody}"), "username: ann\n", NULL, "", "x-user: nobody\n");
}

static void a_value_cannot_add_lines(void **state) {
  (void)state;
  struct harness *h = harness_new(WEIR_EXTENSION, "headers_setter", SETTER("{key: x-user, from_attribute: username}"), 0);
  struct weir_auth_signer *s = harness_signer(h);
  struct weir_pair p = { weir_str_of("username"), weir_str_of("ann\r\nx-admin: 1") };
  struct weir_context what = { .size = sizeof what, .auth = &p, .n_auth = 1 };
  const struct weir_context *c;
  struct weir_error err = { 0 };
  assert_int_equal(context_new(h->loop.pool, &what, &c, &err), 0);
  harness_contains(harness_sign(h, s, c, ""), "error: the value of username in the context holds a control character");
  context_unref(c);
  harness_signer_close(h, s);
  harness_free(h);
}

static void a_file_that_changes(void **state) {
  (void)state;
  char path[] = "/tmp/weir-header-XXXXXX", yaml[300];
  close(mkstemp(path));
  harness_put_file(path, "one\n");
  snprintf(yaml, sizeof yaml, SETTER("{key: a, value: fixed}, {key: x-key, value_file: %s}"), path);
  struct harness *h = harness_new(WEIR_EXTENSION, "headers_setter", yaml, 0);
  struct weir_auth_signer *s = harness_signer(h);
  assert_string_equal(harness_sign(h, s, NULL, ""), "a: fixed\nx-key: one\n");
  harness_put_file(path, "three\n");
  harness_advance(h, NS_PER_S);
  assert_string_equal(harness_sign(h, s, NULL, ""), "a: fixed\nx-key: three\n");
  harness_put_file(path, "bad\nlines\n");
  harness_advance(h, NS_PER_S);
  assert_string_equal(harness_sign(h, s, NULL, ""), "a: fixed\nx-key: three\n");
  unlink(path);
  harness_advance(h, NS_PER_S);
  assert_string_equal(harness_sign(h, s, NULL, ""), "a: fixed\nx-key: three\n");
  harness_signer_close(h, s);
  harness_free(h);
}

static void another_extension_comes_first(void **state) {
  (void)state;
  check_with("{additional_auth: fake, headers: [{key: x-b, value: v}, {action: update, key: authorization, value: mine}]}", harness_fake_auth(), NULL, NULL, "", "x-b: v\nauthorization: mine\n");
  assert_int_equal(harness_fake_handles, 0);
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { NULL, "`headers`" },
    { "headers: []", "headers" },
    { SETTER("{value: a}"), "`headers[0].key`" },
    { SETTER("{key: a}"), "headers[0]: missing header source" },
    { SETTER("{key: a, value: b, from_context: c}"), "headers[0]: invalid header source" },
    { SETTER("{key: 'a b', value: c}"), "headers[0].key: `a b` is no header name" },
    { SETTER("{key: ':path', value: c}"), "headers[0].key: `:path` is no header name" },
    { SETTER("{key: a, value: b}, {key: Content-Length, value: '1'}"), "headers[1].key: `Content-Length` belongs to the exporter" },
    { SETTER("{key: grpc-timeout, value: 1S}"), "headers[0].key: `grpc-timeout` belongs to gRPC" },
    { SETTER("{key: a, value: \"hunter2\\r\\nb: c\"}"), "headers[0].value: a header's value can hold no control characters" },
    { SETTER("{key: a, value_file: /nonexistent/x}"), "headers[0].value_file: cannot open /nonexistent/x" },
    { SETTER("{key: a, value: b, action: replace}"), "`headers[0].action`" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct harness_setup s = { .role = WEIR_EXTENSION, .type = "headers_setter", .yaml = cases[i].yaml };
    char *why = harness_refused(&s);
    if (!strstr(why, cases[i].text) || strstr(why, "hunter2")) fail_msg("wanted \"%s\" in: %s", cases[i].text, why);
    free(why);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(actions),
    cmocka_unit_test(values_of_the_context),
    cmocka_unit_test(a_value_cannot_add_lines),
    cmocka_unit_test(a_file_that_changes),
    cmocka_unit_test(another_extension_comes_first),
    cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
