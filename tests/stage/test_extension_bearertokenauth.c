/* The bearertokenauth extension: tokens that pass, the token that is sent, and a file of tokens that changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness_auth.h"
#include "harness_check.h"

static struct harness *open_with(const char *yaml) { return harness_new(WEIR_EXTENSION, "bearertokenauth", yaml, 0); }

static void check(struct harness *h, const char *header, const char *value, uint32_t code) {
  struct weir_auth_checker *c = harness_checker(h);
  struct weir_auth_result r = harness_check(h, c, header, value);
  if (r.code != code) fail_msg("%s: %s: %u, expected %u", header, value, r.code, code);
  if (r.code != WEIR_AUTH_OK && value && !strncmp(value, "Bearer ", 7) && value[7])
    assert_null(strstr(r.msg, value + 7)); /* no part of a token in an answer */
  harness_checker_close(h, c);
}

static void tokens_that_pass(void **state) {
  (void)state;
  struct harness *h = open_with("tokens: [first-token, second-token]");
  check(h, "authorization", "Bearer first-token", WEIR_AUTH_OK);
  check(h, "authorization", "Bearer second-token", WEIR_AUTH_OK);
  check(h, "authorization", "bearer first-token", WEIR_AUTH_INVALID); /* as the Collector: the scheme as it is written */
  check(h, "authorization", "Bearer first-tokem", WEIR_AUTH_INVALID);
  check(h, "authorization", "Bearer first-token2", WEIR_AUTH_INVALID);
  check(h, "authorization", "Bearer first-toke", WEIR_AUTH_INVALID);
  check(h, "authorization", "Bearer ", WEIR_AUTH_INVALID);
  check(h, "authorization", "first-token", WEIR_AUTH_INVALID);
  check(h, "authorization", "", WEIR_AUTH_MISSING);
  check(h, "x-other", "Bearer first-token", WEIR_AUTH_MISSING);
  check(h, NULL, NULL, WEIR_AUTH_MISSING);
  harness_free(h);
}

/* The rule for all header values: a tab is allowed, other control characters are not (refusals). */
static void a_tab_may_be_in_a_token(void **state) {
  (void)state;
  struct harness *h = open_with("token: \"a\\tb c\"");
  check(h, "authorization", "Bearer a\tb c", WEIR_AUTH_OK);
  check(h, "authorization", "Bearer a b c", WEIR_AUTH_INVALID);
  struct weir_auth_signer *s = harness_signer(h);
  assert_string_equal(harness_sign(h, s, NULL, ""), "authorization: Bearer a\tb c\n");
  harness_signer_close(h, s);
  harness_free(h);
}

static void another_header_and_no_scheme(void **state) {
  (void)state;
  struct harness *h = open_with("{scheme: '', token: abc, header: X-Api-Key}");
  check(h, "x-api-key", "abc", WEIR_AUTH_OK);
  check(h, "x-api-key", "Bearer abc", WEIR_AUTH_INVALID);
  check(h, "authorization", "abc", WEIR_AUTH_MISSING);
  struct weir_auth_signer *s = harness_signer(h);
  assert_string_equal(harness_sign(h, s, NULL, "a: b\nX-Api-Key: old\n"), "a: b\nx-api-key: abc\n");
  harness_signer_close(h, s);
  harness_free(h);
}

static void a_file_that_changes(void **state) {
  (void)state;
  char path[] = "/tmp/weir-bearer-XXXXXX", yaml[200];
  close(mkstemp(path));
  harness_put_file(path, "one\n\n  two \r\n");
  snprintf(yaml, sizeof yaml, "{filename: %s, token: ignored}", path);
  struct harness *h = open_with(yaml);
  struct weir_auth_signer *s = harness_signer(h);
  const struct weir_auth_client *table = harness_offer(h, WEIR_AUTH_CLIENT_SERVICE);
  check(h, "authorization", "Bearer one", WEIR_AUTH_OK);
  check(h, "authorization", "Bearer two", WEIR_AUTH_OK);
  check(h, "authorization", "Bearer ignored", WEIR_AUTH_INVALID);
  assert_string_equal(harness_sign(h, s, NULL, ""), "authorization: Bearer one\n");
  harness_put_file(path, "three");
  check(h, "authorization", "Bearer three", WEIR_AUTH_INVALID); /* not looked at yet */
  harness_advance(h, NS_PER_S);
  check(h, "authorization", "Bearer three", WEIR_AUTH_OK);
  check(h, "authorization", "Bearer one", WEIR_AUTH_INVALID);
  assert_string_equal(harness_sign(h, s, NULL, ""), "authorization: Bearer three\n");
  harness_put_file(path, " \n"); /* no token: what was read stays */
  harness_advance(h, NS_PER_S);
  check(h, "authorization", "Bearer three", WEIR_AUTH_OK);
  unlink(path);
  harness_advance(h, NS_PER_S);
  check(h, "authorization", "Bearer three", WEIR_AUTH_OK);
  harness_put_file(path, "fours");
  harness_advance(h, NS_PER_S);
  check(h, "authorization", "Bearer fours", WEIR_AUTH_OK);
  assert_string_equal(harness_sign(h, s, NULL, ""), "authorization: Bearer fours\n");
  assert_int_equal(table->refused(s), 1);
  harness_advance(h, 4 * NS_PER_S);
  assert_int_equal(table->refused(s), 0);
  unlink(path);
  harness_signer_close(h, s);
  harness_free(h);
}

static void a_fixed_token_that_is_refused_is_refused_for_good(void **state) {
  (void)state;
  struct harness *h = open_with("token: abc");
  struct weir_auth_signer *s = harness_signer(h);
  const struct weir_auth_client *table = harness_offer(h, WEIR_AUTH_CLIENT_SERVICE);
  assert_string_equal(harness_sign(h, s, NULL, ""), "authorization: Bearer abc\n");
  assert_int_equal(table->refused(s), 0);
  harness_signer_close(h, s);
  harness_free(h);
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { NULL, "token: no bearer token provided; set token, tokens or filename" },
    { "{token: hunter2, tokens: [hunter2]}", "token: either tokens or token should be set, not both" },
    { "filename: /nonexistent/x", "filename: cannot open /nonexistent/x" },
    { "token: \"hunter2\\n\"", "token: token 1 is empty or holds a control character" },
    { "tokens: [ok, \"hunter2\\x01\"]", "tokens: token 2 is empty or holds a control character" },
    { "tokens: [ok, '']", "tokens: token 2 is empty" },
    { "token: \"hunter2\\x7f\"", "token: token 1 is empty or holds a control character" },
    { "token: [hunter2]", "`token`" },
    { "{token: abc, scheme: \"Bea\\nrer\"}", "scheme: a header's value can hold no control characters" },
    { "{token: abc, header: \"x y\"}", "header: `x y` is no header name" },
    { "{token: abc, header: Content-Length}", "header: `Content-Length` belongs to the exporter" },
    { "{token: abc, header: ''}", "`header`" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct harness_setup s = { .role = WEIR_EXTENSION, .type = "bearertokenauth", .yaml = cases[i].yaml };
    char *why = harness_refused(&s);
    if (!strstr(why, cases[i].text) || strstr(why, "hunter2")) fail_msg("wanted \"%s\" in: %s", cases[i].text, why);
    free(why);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(tokens_that_pass),
    cmocka_unit_test(a_tab_may_be_in_a_token),
    cmocka_unit_test(another_header_and_no_scheme),
    cmocka_unit_test(a_file_that_changes),
    cmocka_unit_test(a_fixed_token_that_is_refused_is_refused_for_good),
    cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
