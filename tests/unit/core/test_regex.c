/*
 * Regular expressions: what matches as in Go's regexp (the expected values are Go's), what is refused and where, and that no pattern takes long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "core/clock.h"
#include "core/regex.h"
#include "core/regex_syntax.h"

static int try(const char *pattern, const char *text, size_t n) {
  struct weir_regex *re;
  struct weir_error err = { 0 };
  if (regex_compile(pattern, strlen(pattern), &re, &err)) fail_msg("%s: %s", pattern, err.msg);
  char *exact = malloc(n ? n : 1); /* so that a sanitizer sees a read past the end */
  if (n) memcpy(exact, text, n);
  int r = regex_match(re, exact, n);
  free(exact);
  regex_free(re);
  return r;
}

static void matches_as_go_does(void **state) {
  static const struct {
    const char *pattern, *text;
    int match;
  } cases[] = { { "", "", 1 }, { "b", "abc", 1 }, { "^b", "abc", 0 }, { "c$", "abc", 1 }, { "c$", "abc\n", 0 }, { "(?m)c$", "abc\n", 1 }, { "(?m)^$", "a\n", 1 }, { "^a\\z", "a", 1 },
    { "a.c", "a\nc", 0 }, { "(?s)a.c", "a\nc", 1 }, { "a.c", "a\rc", 1 }, { "(?i)ABC", "xabcx", 1 }, { "(?i:A)B", "aB", 1 }, { "(?i:A)B", "ab", 0 }, { "(?-i)a", "A", 0 },
    { "a(?i)b|c", "C", 1 }, { "(?i)\xe2\x84\xaa", "k", 1 }, { "\\d", "\xd9\xa3", 0 }, { "\\w", "\xc3\xa9", 0 }, { "\\s", "\v", 0 }, { "[\\s]", "\v", 0 }, { "\\S", "\v", 1 }, { "[\\S]", "\v", 1 }, { "[^\\S]", "\v", 0 },
    { "[[:space:]]", "\v", 1 }, { "\\v", "\n", 0 }, { "\\v", "\v", 1 }, { "\\x41\\x{42}", "AB", 1 }, { "\\101", "A", 1 }, { "\\07", "\a", 1 }, { "\\a\\f\\t\\n\\r", "\a\f\t\n\r", 1 }, { "\\pL", "\xc3\xa9", 1 },
    { "\\p{Greek}", "\xce\xb1", 1 }, { "\\P{Greek}", "\xce\xb1", 0 }, { "\\p{^Greek}", "a", 1 }, { "\\PL", "1", 1 }, { "[\\pL\\d]", "7", 1 }, { "[^\\pL]", "a", 0 }, { "\\p{Lu}", "a", 0 },
    { "(?P<x>a)(?<y>b)", "ab", 1 }, { "(?P<x>a)|(?P<x>b)", "b", 1 }, { "(?U)a+", "a", 1 }, { "(?U-i:a)", "a", 1 }, { "(?)a", "a", 1 }, { "a{,2}", "a{,2}", 1 }, { "a{2}", "aa", 1 }, { "a{2}", "a", 0 }, { "a{2,}b", "aaab", 1 }, { "^a{1,2}$", "aaa", 0 }, { "a{", "a{", 1 },
    { "a{01}", "a{01}", 1 }, { "]", "]", 1 }, { "}", "}", 1 }, { "[]a]", "]", 1 }, { "[^]a]", "]", 0 }, { "[a-]", "-", 1 }, { "[a\\-z]", "b", 0 }, { "[^a]", "\n", 1 }, { "[[:^alpha:]]", "1", 1 }, { "[[.a.]]", "a]", 1 },
    { "[[:word:]]", "_", 1 }, { "\\Qa.b\\E+", "a.bbb", 1 }, { "\\Qa.b", "axb", 0 }, { "\\Q\\E", "", 1 }, { "\\bfoo\\b", "a foo b", 1 }, { "\\Boo", "foo", 1 }, { "^*a", "ba", 1 }, { "(?:^)+a", "ba", 0 }, { "\\b+a", " a", 1 }, { "a|", "", 1 }, { "()", "", 1 },
    { "(a|b)*c|(a|ab)*c", "abac", 1 }, { "^(?:a?)*$", "aa", 1 }, { "a #b", "a #b", 1 }, { "\xc3\xa9+", "\xc3\xa9\xc3\xa9", 1 }, { "[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", 1 }, { ".", "\xe2\x82\xac", 1 }, { "^.$", "\xe2\x82\xac", 1 },
    { "a", "\xff" "a", 1 }, { "b$", "a\xc3" "b", 1 }, { "^a", "\xff" "a", 0 }, { "\\/\\-\\_", "/-_", 1 }, { "[\\n]", "\n", 1 }, { "[\\]\\\\]", "\\", 1 }, { "(?i)[a-c]", "B", 1 }, { "(?i)[^b]", "B", 0 } };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (try(cases[i].pattern, cases[i].text, strlen(cases[i].text)) != cases[i].match) fail_msg("%s on %s: expected %d", cases[i].pattern, cases[i].text, cases[i].match);
  assert_int_equal(try("a\\x00b", "a\0b", 3), 1);
  assert_int_equal(try("x*", NULL, 0), 1);
}

static void refuses_what_re2_refuses(void **state) {
  static const struct {
    const char *pattern;
    size_t at;
    const char *why;
  } cases[] = { { "(a)\\1", 3, "backreferences" }, { "(?P<n>a)(?P=n)", 8, "backreferences" }, { "\\k<n>", 0, "backreferences" }, { "a(?=b)", 1, "look-ahead" }, { "a(?!b)", 1, "look-ahead" },
    { "(?<=a)b", 0, "look-behind" }, { "(?<!a)b", 0, "look-behind" }, { "(?>a)", 0, "atomic" }, { "a++", 2, "possessive" }, { "a*+", 2, "possessive" }, { "a**", 2, "a repeat of a repeat" },
    { "a{2}{3}", 4, "a repeat of a repeat" }, { "(?R)", 0, "recursion" }, { "(?1)", 0, "recursion" }, { "(?&n)", 0, "recursion" }, { "(?(1)a|b)", 0, "conditional" }, { "(?C1)", 0, "callouts" },
    { "a\\Kb", 1, "\\K" }, { "\\Ga", 0, "\\G" }, { "(*ACCEPT)", 0, "verbs" }, { "(*UTF)", 0, "verbs" }, { "a\\Z", 1, "\\z is the end" }, { "\\C", 0, "not known" }, { "\\R", 0, "not known" }, { "\\h", 0, "not known" },
    { "\\N", 0, "not known" }, { "\\X", 0, "not known" }, { "\\e", 0, "not known" }, { "\\cA", 0, "not known" }, { "ab\\", 2, "backslash" }, { "*a", 0, "nothing to repeat" }, { "a|*", 2, "nothing to repeat" }, { "(+)", 1, "nothing to repeat" },
    { "(?i)*", 4, "nothing to repeat" }, { "(a", 0, "without its )" }, { "a(b(c)", 1, "without its )" }, { "a)", 1, "without its (" }, { "[a", 0, "without its ]" }, { "x[]", 1, "without its ]" }, { "[b-a]", 1, "wrong way round" },
    { "[a-\\d]", 3, "not known" }, { "[[:foo:]]", 1, "[: :]" }, { "a{1001}", 1, "1000" }, { "a{3,2}", 1, "1000" }, { "(a{100}){100}", 8, "1000" }, { "((a{10}){10}){11}", 13, "1000" }, { "a{99999999999}", 1, "1000" },
    { "(?P<>x)", 0, "named group" }, { "(?P<a-b>x)", 0, "letters" }, { "(?P<a", 0, "named group" }, { "(?ix)a", 0, "not known" }, { "(?i-)a", 0, "not known" }, { "(?^:a)", 0, "not known" },
    { "(?|a)", 0, "not known" }, { "(?#a)", 0, "not known" }, { "(?", 0, "not known" }, { "\\p{Foo}", 0, "unknown property" }, { "ab\\pX", 2, "not known" }, { "\\p{lu}", 0, "not known" }, { "\\p{Xan}", 0, "unknown" },
    { "\\p{L", 0, "without its }" }, { "\\p", 0, "wants the name" }, { "\\x4", 0, "two hex digits" }, { "\\x{}", 0, "two hex digits" }, { "\\x{110000}", 0, "10FFFF" }, { "\\x{D800}", 0, "surrogate" }, { "ab\xff", 2, "UTF-8" }, { "\\8", 0, "backreferences" } };
  struct weir_regex *re;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct weir_error err = { 0 };
    if (regex_compile(cases[i].pattern, strlen(cases[i].pattern), &re, &err) != WEIR_E_INVALID) fail_msg("%s: not refused", cases[i].pattern);
    if (err.offset != cases[i].at || !strstr(err.msg, cases[i].why)) fail_msg("%s: at %d: %s", cases[i].pattern, (int)err.offset, err.msg);
  }
}

/* Each on a text that RE2 decides in linear time. */
static void no_pattern_takes_long(void **state) {
  static const struct {
    const char *pattern, *unit, *end;
    int units, expected;
  } cases[] = { { "(a+)+$", "a", "b", 30, WEIR_E_LIMIT }, { "(a|a)*$", "a", "b", 40, WEIR_E_LIMIT }, { "(a|aa)+$", "a", "b", 60, WEIR_E_LIMIT }, { "^(a?){20}a{20}$", "a", "b", 60, WEIR_E_LIMIT },
    { "(.*)(.*)(.*)(.*)(.*)[xy]", "a", "", 2000, WEIR_E_LIMIT }, { "(a?){16}[bc]", "a", "", 65536, WEIR_E_LIMIT }, { "a*[bc]", "a", "", 1000000, WEIR_E_LIMIT }, { "(?:a*c|a)*[bd]", "a", "", 100000, WEIR_E_LIMIT },
    { "(a|b|ab)*[cd]", "ab", "", 5000, WEIR_E_LIMIT }, { "(?:a|a){30}[bc]", "a", "", 40, WEIR_E_LIMIT }, { "(((a*)*)*)*[bc]", "a", "", 1000, WEIR_E_LIMIT },
    /* and these are no reason to give up */
    { "foo.*bar", "foo ", "bar", 10000, 1 }, { "^[a-z]+(/[a-z]+)*$", "/abc", "!", 1000, 0 }, { "x", "a", "", 1000000, 0 }, { "\\w+@\\w+\\.com", "some text ", "me@example.com", 2000, 1 }, { "(foo|bar|baz)+x", "foo ", "", 10000, 0 } };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t unit = strlen(cases[i].unit), n = unit * (size_t)cases[i].units, end = strlen(cases[i].end);
    char *text = malloc(n + end + 1);
    for (size_t k = 0; k < (size_t)cases[i].units; k++) memcpy(text + k * unit, cases[i].unit, unit);
    memcpy(text + n, cases[i].end, end);
    int64_t before = clock_mono_ns();
    int r = try(cases[i].pattern, text, n + end);
    int64_t took = clock_mono_ns() - before;
    free(text);
    if (r != cases[i].expected) fail_msg("%s: %d", cases[i].pattern, r);
    if (took > 2000000000) fail_msg("%s took %d ms", cases[i].pattern, (int)(took / 1000000));
    if (getenv("VERBOSE")) printf("%-30s %3d in %.2f ms\n", cases[i].pattern, r, (double)took / 1e6);
  }
}

static void limits_have_names(void **state) {
  struct weir_error err = { 0 };
  struct weir_regex *re;
  size_t n = REGEX_PATTERN_MAX + 1;
  char *big = malloc(n);
  (void)state;
  memset(big, 'a', n);
  assert_int_equal(regex_compile(big, n, &re, &err), WEIR_E_LIMIT);
  assert_non_null(strstr(err.msg, "REGEX_PATTERN_MAX"));
  assert_int_equal(regex_compile(big, n - 1, &re, &err), 0);
  regex_free(re);
  memset(big, '(', n);
  assert_int_equal(regex_compile(big, 1000, &re, &err), WEIR_E_LIMIT);
  assert_int_equal(err.offset, REGEX_NEST_MAX);
  assert_non_null(strstr(err.msg, "REGEX_NEST_MAX"));
  for (size_t i = 0; i < n - 1; i += 2) memcpy(big + i, "\\S", 2);
  for (size_t i = 0; i < 4; i++) big[i] = "[\\Sa"[i];
  big[n - 2] = ']';
  big[n - 3] = 'x';
  if (!regex_compile(big, n - 1, &re, &err)) regex_free(re); /* the longest that is written for PCRE2 */
  regex_free(NULL);
  free(big);
}

static void *match_much(void *arg) {
  for (int i = 0; i < 2000; i++)
    if (regex_match(arg, "GET /api/v1/orders/1234", 23) != 1 || regex_match(arg, "nothing", 7) != 0) return arg;
  return NULL;
}

static void one_pattern_on_many_threads(void **state) {
  struct weir_regex *re;
  pthread_t t[4];
  void *bad;
  (void)state;
  assert_int_equal(regex_compile("/api/v[0-9]+/(orders|carts)/[0-9]+$", 35, &re, NULL), 0);
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, match_much, re), 0);
  for (int i = 0; i < 4; i++) {
    pthread_join(t[i], &bad);
    assert_null(bad);
  }
  regex_free(re);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(matches_as_go_does), cmocka_unit_test(refuses_what_re2_refuses), cmocka_unit_test(no_pattern_takes_long),
    cmocka_unit_test(limits_have_names), cmocka_unit_test(one_pattern_on_many_threads) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
