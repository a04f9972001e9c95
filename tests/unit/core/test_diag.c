#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/diag.h"
#include "core/nearest.h"

static struct diags ds;

static int set_up(void **state) {
  (void)state;
  diags_init(&ds);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  diags_done(&ds);
  return 0;
}

static void expect(const char *want) {
  char *got = diags_render(&ds);
  assert_string_equal(got, want);
  free(got);
}

static uint32_t file(const char *text) { return diags_add_file(&ds, "a.yaml", text, strlen(text)); }

static void shows_line_caret_and_notes(void **state) {
  (void)state;
  struct pos pos = { file("a: 1\n  b: two\n"), 2, 6, 3 };
  diag_error(&ds, pos, "bad %s", "value");
  diag_caret(&ds, "did you mean `%s`?", "2");
  diag_note(&ds, "first");
  diag_note(&ds, "second");
  expect("error: bad value\n --> a.yaml:2:6\n  |\n2 |   b: two\n  |      ^^^ did you mean `2`?\n  = first\n  = second\n1 error\n");
}

static void sorts_by_place_and_counts(void **state) {
  (void)state;
  uint32_t f = file("a\nb\n");
  diag_warn(&ds, (struct pos){ f, 2, 1, 1 }, "second");
  diag_error(&ds, (struct pos){ f, 1, 1, 1 }, "first");
  diag_error(&ds, (struct pos){ f, 0, 0, 0 }, "whole file");
  expect("error: whole file\n --> a.yaml\nerror: first\n --> a.yaml:1:1\n  |\n1 | a\n  | ^\n"
         "warning: second\n --> a.yaml:2:1\n  |\n2 | b\n  | ^\n2 errors, 1 warning\n");
}

static void says_a_repeated_mistake_once(void **state) {
  (void)state;
  struct pos pos = { file("a\n"), 1, 1, 1 };
  diag_error(&ds, pos, "same");
  diag_error(&ds, pos, "same");
  expect("error: same\n --> a.yaml:1:1\n  |\n1 | a\n  | ^\n1 error\n");
}

static void without_a_file_there_is_no_arrow(void **state) {
  (void)state;
  diag_error(&ds, (struct pos){ UINT32_MAX, 0, 0, 0 }, "no file");
  diag_note(&ds, "use --config");
  expect("error: no file\n  = use --config\n1 error\n");
}

static void what_was_shown_is_forgotten_and_files_stay(void **state) {
  (void)state;
  struct pos pos = { file("a: 1\n"), 1, 4, 1 };
  diag_warn(&ds, pos, "old");
  diags_forget(&ds);
  diag_note(&ds, "of nothing");
  expect("");
  diag_error(&ds, pos, "new");
  expect("error: new\n --> a.yaml:1:4\n  |\n1 | a: 1\n  |    ^\n1 error\n");
}

static void nothing_is_an_empty_text(void **state) {
  (void)state;
  expect("");
}

static void columns_are_characters_below_a_line_with_utf8(void **state) {
  (void)state;
  struct pos pos = { file("\xc3\xa9\xc3\xa9: x\n"), 1, 7, 1 };
  diag_error(&ds, pos, "m");
  expect("error: m\n --> a.yaml:1:7\n  |\n1 | \xc3\xa9\xc3\xa9: x\n  |     ^\n1 error\n");
}

static void terminal_controls_do_not_pass(void **state) {
  (void)state;
  struct pos pos = { file("a: \x1b[2Jx\t\xff \xe2\x80\xae\n"), 1, 1, 1 };
  diag_error(&ds, pos, "key `\x1b[31m` and \xc2\x9b");
  char *got = diags_render(&ds);
  assert_null(strchr(got, '\x1b'));
  assert_null(strstr(got, "\xc2\x9b"));
  assert_null(strstr(got, "\xe2\x80\xae"));
  assert_null(strchr(got, '\xff'));
  assert_non_null(strstr(got, "\xe2\x86\x92")); /* the tab is an arrow */
  free(got);
}

static void long_lines_are_cut_around_the_place(void **state) {
  (void)state;
  char line[5000];
  memset(line, 'x', sizeof line);
  memcpy(line + 3000, "HERE", 4);
  uint32_t f = diags_add_file(&ds, "a.yaml", line, sizeof line);
  diag_error(&ds, (struct pos){ f, 1, 3001, 4 }, "m");
  char *got = diags_render(&ds);
  assert_true(strlen(got) < 600);
  const char *here = strstr(got, "HERE"), *caret = strstr(got, "^^^^");
  assert_non_null(here);
  assert_non_null(caret);
  const char *line_start = here, *caret_start = caret;
  while (line_start[-1] != '\n') line_start--;
  while (caret_start[-1] != '\n') caret_start--;
  assert_int_equal(here - line_start, caret - caret_start);
  free(got);
}

static void secrets_are_hidden_by_place_and_by_name(void **state) {
  (void)state;
  uint32_t f = file("a: hunter2 # end\npassword: hunter2\n{x: 1, api_key: hunter2}\ntokens: 5\n");
  diag_secret(&ds, (struct pos){ f, 1, 4, 7 });
  diag_error(&ds, (struct pos){ f, 1, 1, 1 }, "bound");
  diag_error(&ds, (struct pos){ f, 2, 1, 8 }, "untyped");
  ds.newest->untyped = 1;
  diag_error(&ds, (struct pos){ f, 3, 2, 1 }, "flow");
  ds.newest->untyped = 1;
  diag_error(&ds, (struct pos){ f, 4, 1, 6 }, "typed");
  char *got = diags_render(&ds);
  assert_null(strstr(got, "hunter2"));
  assert_non_null(strstr(got, "1 | a: *** # end"));
  assert_non_null(strstr(got, "2 | password: ***\n"));
  assert_non_null(strstr(got, "3 | {x: 1, api_key: ***\n"));
  assert_non_null(strstr(got, "4 | tokens: 5"));
  free(got);
}

static void userinfo_is(const char *text, const char *hidden) {
  size_t from = 0, to = 0;
  int found = diag_userinfo(text, strlen(text), 0, &from, &to);
  assert_int_equal(found, hidden != NULL);
  if (!hidden) return;
  assert_int_equal(to - from, strlen(hidden));
  assert_memory_equal(text + from, hidden, to - from);
}

static void users_and_passwords_of_addresses_are_found(void **state) {
  (void)state;
  userinfo_is("https://user:pw@host:4317/path", "user:pw");
  userinfo_is("https://token@host", "token");
  userinfo_is("see `https://user:p@w@host`, and more", "user:p@w");
  userinfo_is("https://user:p/w@host", "user:p/w"); /* in a URL it would end at the slash */
  userinfo_is("https://user:12/w@host@x", NULL);    /* but this is a port and a path */
  userinfo_is("{endpoint: user:pw@host:4317}", "user:pw");
  userinfo_is("[user:pw@host]", "user:pw");
  userinfo_is("joe@example.com, @, a: b@c", NULL);
  userinfo_is("http://host:4318/a@b http://host/a@b http://[::1]:80/a@b", NULL);
  userinfo_is("host:4317", NULL);
  userinfo_is("", NULL);
  userinfo_is("@", NULL);
  userinfo_is("://@", NULL);
}

static void passwords_of_addresses_are_hidden(void **state) {
  (void)state;
  uint32_t f = file("a: https://u:hunter2@host # and u2:hunter2@b\nb: 1\n");
  diag_error(&ds, (struct pos){ f, 1, 1, 1 }, "`https://u:hunter2@host` is wrong");
  diag_caret(&ds, "u:hunter2@host");
  diag_note(&ds, "https://u:hunter2@host, https://u:hunter2@host");
  diag_error(&ds, (struct pos){ f, 2, 1, 1 }, "b");
  diag_caret(&ds, "u:hunter2@host");
  char *got = diags_render(&ds);
  assert_null(strstr(got, "hunter2"));
  assert_non_null(strstr(got, "error: `https://***@host` is wrong\n"));
  assert_non_null(strstr(got, "1 | a: https://***@host # and ***@b\n"));
  assert_non_null(strstr(got, "= https://***@host, https://***@host\n"));
  free(got);
}

static void many_errors_are_counted_but_not_kept(void **state) {
  (void)state;
  uint32_t f = file("a\n");
  for (int i = 0; i < 5000; i++) {
    diag_error(&ds, (struct pos){ f, 1, 1, 1 }, "number %d", i);
    diag_caret(&ds, "caret %d", i);
    diag_note(&ds, "note %d", i);
  }
  char *got = diags_render(&ds);
  assert_non_null(strstr(got, "number 99\n"));
  assert_null(strstr(got, "number 100\n"));
  assert_null(strstr(got, "caret 100\n"));
  assert_non_null(strstr(got, "5000 errors (the first 100 are shown)\n"));
  free(got);
}

static void a_place_outside_of_the_text_is_survived(void **state) {
  (void)state;
  uint32_t f = file("a\n");
  diag_error(&ds, (struct pos){ f, 99, 1, 1 }, "line");
  diag_error(&ds, (struct pos){ f, 1, 99, 5 }, "column");
  char *got = diags_render(&ds);
  assert_non_null(strstr(got, "2 errors\n"));
  free(got);
}

static const char *nearest(const char *word, const char *const *known) {
  struct nearest n;
  nearest_init(&n, word);
  for (; *known; known++) nearest_offer(&n, *known);
  return n.best ? n.best : "";
}

static void nearest_word(void **state) {
  (void)state;
  static const char *const keys[] = { "compression", "endpoint", "tls", "timeout", "sending_queue", NULL };
  assert_string_equal(nearest("compresion", keys), "compression");
  assert_string_equal(nearest("tiemout", keys), "timeout");
  assert_string_equal(nearest("TIMEOUT", keys), "timeout");
  assert_string_equal(nearest("tsl", keys), "tls");
  assert_string_equal(nearest("sendingQueue", keys), "sending_queue");
  assert_string_equal(nearest("x", keys), "");
  assert_string_equal(nearest("abc", keys), "");
  assert_string_equal(nearest("", keys), "");
  assert_string_equal(nearest("verbosity", keys), "");
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
  const struct CMUnitTest tests[] = { T(shows_line_caret_and_notes), T(sorts_by_place_and_counts), T(says_a_repeated_mistake_once),
    T(without_a_file_there_is_no_arrow), T(nothing_is_an_empty_text), T(what_was_shown_is_forgotten_and_files_stay), T(columns_are_characters_below_a_line_with_utf8),
    T(terminal_controls_do_not_pass), T(long_lines_are_cut_around_the_place), T(secrets_are_hidden_by_place_and_by_name), T(users_and_passwords_of_addresses_are_found), T(passwords_of_addresses_are_hidden),
    T(many_errors_are_counted_but_not_kept), T(a_place_outside_of_the_text_is_survived), T(nearest_word) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
