/* Passwords and credentials: every kind of hash, hostile htpasswd files and Authorization headers. The code is the stage's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <crypt.h>

#include "extensions/basicauth/htpasswd.c"
#include "extensions/basicauth/server.c"
#include "plugins/kit/base64.c"
#include "plugins/kit/secret.c"

#define PASSWORD "s3cret!"

static struct crypt_data scratch;

/* Made with libxcrypt, `openssl passwd -apr1` and Python's hashlib. */
static const char *const hashes[] = {
  "$1$abcdefgh$CSiVTZddYDOMinbJG4io/1",
  "$5$saltsalt$ywm3fh9hlsnP3CjHIq/FB4.Fd4RXGIh17PjuacBS6v7",
  "$6$rounds=1000$saltsalt$ARwsnCnZLEWvlqNMnVeQ/0MdCBbbTdOLUW40bkLwO4Ogzk1ev1PU5AEyJEGu9RlJH27InU4VhaaKRXa2WMInU0",
  "$2y$04$abcdefghijklmnopqrstuuh4cO4ROu.nJXUIr7hh2pSZ4sXan9mjm",
  "$y$j75$abcdefgh$O5DC/KjtP5t/ml5JrE6PO.uYc2Cpc3ZOgX2sE071318",
  "$apr1$abcdefgh$bVV7NaVHYRzxwFOgvxozT1",
  "{SHA}YWXIkDPDfrJ6I4yV+0kqTJdT5SE=",
  "{SSHA}kPyoF52SbJL6c6YSotkqJinDq15zYWx0",
  PASSWORD,
};

static int read_inline(struct htpasswd *h, const char *text, struct weir_error *err) {
  return htpasswd_read(h, NULL, 0, NULL, text, strlen(text), err);
}

static int matches(const char *hash, const char *password) {
  struct htpasswd_user u = { "u", hash, 1, 0 };
  return htpasswd_matches(&u, password, strlen(password), &scratch);
}

static void every_kind_of_hash(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
    char line[300];
    struct htpasswd h;
    struct weir_error err = { 0 };
    snprintf(line, sizeof line, "ann:%s\n", hashes[i]);
    if (read_inline(&h, line, &err)) fail_msg("%s: %s", hashes[i], err.msg);
    const struct htpasswd_user *u = htpasswd_find(&h, "ann", 3);
    assert_non_null(u);
    if (!htpasswd_matches(u, PASSWORD, 7, &scratch)) fail_msg("%s does not match", hashes[i]);
    assert_false(htpasswd_matches(u, "s3cret", 6, &scratch));
    assert_false(htpasswd_matches(u, "s3cret!!", 8, &scratch));
    assert_false(htpasswd_matches(u, "", 0, &scratch));
    assert_false(htpasswd_matches(u, PASSWORD "\0x", 9, &scratch)); /* a NUL does not end a password */
    assert_int_equal(htpasswd_is_costly(u), hashes[i][0] == '$');
    htpasswd_done(&h);
  }
}

static void apr1_of_short_and_long_passwords(void **state) {
  (void)state;
  assert_true(matches("$apr1$xy$43..WIhbfuznGvwoCyUek/", ""));
  assert_true(matches("$apr1$abcdefgh$TnBcfkViHnW1JGFSj9dHm1", "a much longer password than sixteen bytes, it is"));
  assert_false(matches("$apr1$abcdefgh$TnBcfkViHnW1JGFSj9dHm1", "a much longer password than sixteen bytes, it iz"));
}

static void a_password_over_the_limit_matches_nothing(void **state) {
  (void)state;
  char longest[HTPASSWD_MAX_SECRET + 2];
  memset(longest, 'a', sizeof longest);
  longest[HTPASSWD_MAX_SECRET] = 0;
  assert_true(matches(longest, longest));
  longest[HTPASSWD_MAX_SECRET] = 'a';
  longest[HTPASSWD_MAX_SECRET + 1] = 0;
  assert_false(matches(longest, longest));
}

static void files(void **state) {
  (void)state;
  struct htpasswd h;
  struct weir_error err = { 0 };
  char text[] = "# who\n\nbob:one\r\n  ann:two  \nbob:three\nann2:x:y\n\tcid:last";
  assert_int_equal(read_inline(&h, text, &err), 0);
  assert_int_equal(h.n, 4);
  assert_string_equal(htpasswd_find(&h, "bob", 3)->hash, "three"); /* the last of a name counts */
  assert_string_equal(htpasswd_find(&h, "ann", 3)->hash, "two");
  assert_string_equal(htpasswd_find(&h, "ann2", 4)->hash, "x:y");
  assert_string_equal(htpasswd_find(&h, "cid", 3)->hash, "last");
  assert_null(htpasswd_find(&h, "an", 2));
  assert_null(htpasswd_find(&h, "", 0));
  assert_null(htpasswd_find(&h, "zed", 3));
  htpasswd_done(&h);
}

static void inline_overrides_the_file(void **state) {
  (void)state;
  struct htpasswd h;
  struct weir_error err = { 0 };
  assert_int_equal(htpasswd_read(&h, "ann:file\nbob:file\n", 18, "/f", "ann:inline", 10, &err), 0);
  assert_string_equal(htpasswd_find(&h, "ann", 3)->hash, "inline");
  assert_string_equal(htpasswd_find(&h, "bob", 3)->hash, "file");
  htpasswd_done(&h);
}

static void broken_lines_are_named_and_not_shown(void **state) {
  (void)state;
  static const char *const broken[] = { "hunter2", ":hunter2", "ann:", "ann:$2y$04$hunter2", "ann:$9$hunter2", "ann:{MD5}hunter2", "ann:{SHA}hunter2", "ann:{SHA}", "ann:{SSHA}aHVudGVyMg==",
    "ann:$apr1$hunter2", "ann:$apr1$abcdefghi$bVV7NaVHYRzxwFOgvxozT1", "ann:{hunter2" };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    char text[200];
    struct htpasswd h;
    struct weir_error err = { 0 };
    snprintf(text, sizeof text, "ok:fine\n%s\nok2:fine\n", broken[i]);
    if (read_inline(&h, text, &err) == 0) fail_msg("taken: %s", broken[i]);
    assert_non_null(strstr(err.msg, "htpasswd.inline, line 2"));
    assert_null(strstr(err.msg, "hunter2"));
    assert_null(strstr(err.hint, "hunter2"));
    assert_null(h.users);
  }
}

static void limits_of_a_file(void **state) {
  (void)state;
  struct htpasswd h;
  struct weir_error err = { 0 };
  char *line = malloc(HTPASSWD_MAX_LINE + 10), *many = malloc(8u * (HTPASSWD_MAX_USERS + 2));
  size_t n = 0;
  assert_true(line && many);
  memset(line, 'a', HTPASSWD_MAX_LINE + 1);
  line[3] = ':';
  line[HTPASSWD_MAX_LINE + 1] = 0;
  assert_int_equal(read_inline(&h, line, &err), WEIR_E_LIMIT);
  line[HTPASSWD_MAX_LINE] = 0;
  assert_int_equal(read_inline(&h, line, &err), 0);
  htpasswd_done(&h);
  for (unsigned i = 0; i <= HTPASSWD_MAX_USERS; i++) n += (size_t)sprintf(many + n, "%u:p\n", i);
  assert_int_equal(read_inline(&h, many, &err), WEIR_E_LIMIT);
  assert_int_equal(htpasswd_read(&h, "a\0:b", 4, "/f", NULL, 0, &err), WEIR_E_INVALID);
  free(line);
  free(many);
}

/* --- headers ----------------------------------------------------------------------------------------------------------- */

static const char *parse(const char *header, struct basic_credentials *c) { return basic_parse(weir_str_of(header), c); }

static void credentials_are_cut_at_the_first_colon(void **state) {
  (void)state;
  struct basic_credentials c;
  assert_null(parse("Basic YW5uOnM6M2NyZXQ=", &c)); /* ann:s:3cret */
  assert_int_equal(c.user_n, 3);
  assert_memory_equal(c.text, "ann", 3);
  assert_int_equal(c.n - c.password_at, 7);
  assert_memory_equal(c.text + c.password_at, "s:3cret", 7);
  assert_null(parse("bASIC Og==", &c)); /* a colon alone: empty and empty */
  assert_int_equal(c.user_n, 0);
  assert_int_equal(c.n, 1);
}

static void hostile_headers(void **state) {
  (void)state;
  static const char *const bad[] = { "", "B", "Basic", "Basic ", "Basic\tYTpi", "Bearer YTpi", "BasicYTpi", "Basic  YTpi", "Basic YTpi=", "Basic YTp", "Basic YTp*", "Basic YWI=", "Basic ====", "Basic YTpi YTpi",
    "Basic YT==pi", "Basic YTpi\n", "Basic YQA6Yg==", "Basic YTpiAA==", "Basic YTp=", "Basic YT==", "Basic _-==" };
  struct basic_credentials c;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (!parse(bad[i], &c)) fail_msg("taken: %s", bad[i]);
  char *large = malloc(65536);
  assert_non_null(large);
  memset(large, 'Y', 65536);
  memcpy(large, "Basic ", 6);
  assert_non_null(basic_parse((struct weir_str){ large, 65534, 0 }, &c));
  free(large);
}

static void base64_both_ways(void **state) {
  (void)state;
  for (size_t n = 0; n < 70; n++) {
    uint8_t in[70] = { 0 }, out[70];
    char text[KIT_BASE64_CAP(70)];
    for (size_t i = 0; i < n; i++) in[i] = (uint8_t)(i * 37 + n);
    size_t k = kit_base64_encode(in, n, text);
    assert_int_equal(k, strlen(text));
    assert_int_equal(kit_base64_decode(text, k, out, n), (long)n);
    assert_memory_equal(in, out, n);
    if (n) assert_int_equal(kit_base64_decode(text, k, out, n - 1), -1);
  }
  assert_int_equal(kit_base64_decode("YR==", 4, (char[4]){ 0 }, 4), -1); /* bits behind the end */
  assert_int_equal(kit_base64_decode("YWJ=", 4, (char[4]){ 0 }, 4), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_kind_of_hash),
    cmocka_unit_test(apr1_of_short_and_long_passwords),
    cmocka_unit_test(a_password_over_the_limit_matches_nothing),
    cmocka_unit_test(files),
    cmocka_unit_test(inline_overrides_the_file),
    cmocka_unit_test(broken_lines_are_named_and_not_shown),
    cmocka_unit_test(limits_of_a_file),
    cmocka_unit_test(credentials_are_cut_at_the_first_colon),
    cmocka_unit_test(hostile_headers),
    cmocka_unit_test(base64_both_ways),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
