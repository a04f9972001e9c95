#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/yaml.h"

static struct diags ds;
static struct arena a;

static int set_up(void **state) {
  (void)state;
  diags_init(&ds);
  arena_init(&a, NULL, 4096);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  arena_done(&a);
  diags_done(&ds);
  return 0;
}

static struct yaml_node *parse_n(const char *text, size_t n) { return yaml_parse(&a, &ds, diags_add_file(&ds, "a.yaml", text, n)); }
static struct yaml_node *parse(const char *text) { return parse_n(text, strlen(text)); }

static void assert_pos(struct pos p, uint32_t line, uint32_t col, uint32_t len) {
  assert_int_equal(p.line, line);
  assert_int_equal(p.col, col);
  assert_int_equal(p.len, len);
}

/* The first diagnostic says `msg` at line:col and has `caret` in its hint. */
static void assert_refused(const char *text, const char *msg, uint32_t line, uint32_t col, const char *caret) {
  (void)parse(text);
  if (ds.n_errors == 0) fail_msg("accepted: %s", text);
  const struct diag *d = ds.first;
  if (!strstr(d->msg, msg) || d->pos.line != line || d->pos.col != col || (caret && (!d->caret || !strstr(d->caret, caret)))) {
    char *got = diags_render(&ds);
    print_error("for:\n%s\nwanted `%s` (%s) at %u:%u, got:\n%s", text, msg, caret ? caret : "", line, col, got);
    free(got);
    fail();
  }
  tear_down(NULL);
  set_up(NULL);
}

static void kinds_and_places(void **state) {
  (void)state;
  struct yaml_node *n = parse("a: 1\nb:\n  - \"x y\"\n  - ~\nc: {d: 'e', f: }\n");
  assert_non_null(n);
  assert_int_equal(ds.n_errors, 0);
  assert_int_equal(n->kind, YAML_MAP);
  assert_int_equal(n->n, 3);
  assert_string_equal(yaml_get(n, "a")->text, "1");
  assert_int_equal(yaml_get(n, "a")->quoted, 0);
  assert_pos(yaml_get(n, "a")->pos, 1, 4, 1);
  const struct yaml_node *b = yaml_get(n, "b");
  assert_int_equal(b->kind, YAML_SEQ);
  assert_int_equal(b->n, 2);
  assert_int_equal(b->items[0]->quoted, 1);
  assert_pos(b->items[0]->pos, 3, 5, 5);
  assert_int_equal(b->items[1]->kind, YAML_NULL);
  const struct yaml_node *c = yaml_get(n, "c");
  assert_int_equal(c->kind, YAML_MAP);
  assert_pos(yaml_key(c, "d")->pos, 5, 5, 1);
  assert_int_equal(yaml_get(c, "f")->kind, YAML_NULL);
  assert_null(yaml_get(n, "z"));
  assert_null(yaml_get(NULL, "z"));
}

static void columns_are_bytes_behind_utf8(void **state) {
  (void)state;
  struct yaml_node *n = parse("\xef\xbb\xbf# \xc3\xa9\xe2\x82\xac\nk\xc3\xa9: v\n");
  assert_non_null(n);
  assert_pos(n->keys[0]->pos, 2, 1, 3);
  assert_pos(n->items[0]->pos, 2, 6, 1);
}

static void line_ends_of_windows(void **state) {
  (void)state;
  struct yaml_node *n = parse("a: 1\r\nb: two\r\n");
  assert_non_null(n);
  assert_pos(yaml_get(n, "b")->pos, 2, 4, 3);
}

static void scalars_keep_their_text(void **state) {
  (void)state;
  struct yaml_node *n = parse("a: 0123\nb: yes\nc: \"null\"\nd: !!str 5\ne: |\n  two\n  lines\n");
  assert_string_equal(yaml_get(n, "a")->text, "0123");
  assert_string_equal(yaml_get(n, "b")->text, "yes");
  assert_int_equal(yaml_get(n, "c")->kind, YAML_SCALAR);
  assert_int_equal(yaml_get(n, "d")->quoted, 1);
  assert_string_equal(yaml_get(n, "e")->text, "two\nlines\n");
  assert_int_equal(yaml_get(n, "e")->quoted, 1);
}

static void anchors_and_merge_keys(void **state) {
  (void)state;
  struct yaml_node *n = parse("base: &b {x: 1, y: 2}\nother: &o {y: 7, z: 3}\none: {<<: *b, y: 5}\ntwo: {<<: [*b, *o]}\ncopy: *b\n");
  assert_non_null(n);
  assert_int_equal(ds.n_errors, 0);
  assert_string_equal(yaml_get(yaml_get(n, "one"), "x")->text, "1");
  assert_string_equal(yaml_get(yaml_get(n, "one"), "y")->text, "5");
  assert_string_equal(yaml_get(yaml_get(n, "two"), "y")->text, "2");
  assert_string_equal(yaml_get(yaml_get(n, "two"), "z")->text, "3");
  assert_int_equal(yaml_get(n, "copy")->n, 2);
  assert_ptr_not_equal(yaml_get(n, "copy"), yaml_get(n, "base"));
}

static void what_users_get_wrong(void **state) {
  (void)state;
  assert_refused("", "empty configuration file", 0, 0, NULL);
  assert_refused("# only a comment\n", "empty configuration file", 0, 0, NULL);
  assert_refused("a:\n\tb: 1\n", "a tab is used for indentation", 2, 1, "use spaces");
  assert_refused("a:\n  b: 1\n  \tc: 2\n", "a tab is used for indentation", 3, 3, "use spaces");
  assert_refused("a: 1\na: 2\n", "mapping key `a` already defined at line 1", 2, 1, NULL);
  assert_refused("r:\n  otlp: 1\n  otlp: 2\n", "already defined at line 2", 3, 3, "`otlp/2`");
  assert_refused("r:\n  endpoint:x\n  tls: 1\n", "a space is missing after the colon", 2, 3, "`endpoint:`");
  assert_refused("r:\n  otlp\n  b: 1\n", "a colon is missing after the key `otlp`", 2, 3, NULL);
  assert_refused("a: b: c\n", "a value that holds `: ` must be in quotes", 1, 4, "single quotes");
  assert_refused("a: 1\n  b: 2\n", "indented deeper", 2, 3, "column 1");
  assert_refused("a:\n    b: 1\n  c: 2\n", "indentation of this line fits nothing", 3, 3, "column 5");
  assert_refused("a:\n  b: 1\n  - c\n", "a list item stands among the keys", 3, 3, NULL);
  assert_refused("a:\n  - b\n  c: 1\n", "a list goes on with something that is not a list item", 3, 3, NULL);
  assert_refused("a: \"x\" y\n", "unexpected text behind a value", 1, 8, NULL);
  assert_refused("a: [b, c\nd: 1\n", "`[` is opened here and never closed", 1, 4, "`]`");
  assert_refused("a: {b: 1, c: 2\n", "`{` is opened here and never closed", 1, 4, "`}`");
  assert_refused("a: [x} \n", "expected `,` or `]`", 1, 6, "column 4");
  assert_refused("a: {b: ${env:X}}\n", "`${...}` between `{` and `}` must be in quotes", 1, 8, NULL);
  assert_refused("a: [${env:X}, c]\n", "`${...}` between `[` and `]` must be in quotes", 1, 5, NULL);
  assert_refused("a: 'x\nb: 1\n", "a quote is opened here and never closed", 1, 4, NULL);
  assert_refused("a: @b\n", "a value can not begin with `@`", 1, 4, "in quotes");
  assert_refused("a: %b\n", "a value can not begin with `%`", 1, 4, "in quotes");
  assert_refused("a: *\n", "a value can not begin with `*`", 1, 4, "in quotes");
  assert_refused("a: *b\n", "no anchor `&b`", 1, 4, "in quotes");
  assert_refused("a: &x [*x]\n", "stands inside the value", 1, 8, NULL);
  assert_refused("a: {{ .X }}\n", "`{{` can not begin a value", 1, 4, "quotes");
  assert_refused("a: \"\\d\"\n", "unknown escape `\\d`", 1, 5, "single quotes");
  assert_refused("a: \"x\\0y\"\n", "NUL character", 1, 4, NULL);
  assert_refused("a: - b\n", "a list item can not stand here", 1, 4, "new line");
  assert_refused("a: 1\n---\nb: 2\n", "a second YAML document begins here", 2, 1, NULL);
  assert_refused("a: \xc2\xa0x\n", "no-break space", 1, 4, "plain space");
  assert_refused("a:\xc2\xa0x\n", "no-break space", 1, 3, "plain space");
  assert_refused("a:\n\xc2\xa0 b: 1\n", "no-break space", 2, 1, "plain space");
  assert_refused("a: \xe2\x80\x9cx\xe2\x80\x9d\n", "typographic quote", 1, 4, "plain quotes");
  assert_refused("a: !foo x\n", "the YAML tag `!foo` is not supported", 1, 4, "remove the tag");
  assert_refused(": x\n", "a key is missing before the `:`", 1, 1, NULL);
  assert_refused("[a]: x\n", "a key must be plain text", 1, 1, NULL);
  assert_refused("a: \x01\n", "control character (U+0001)", 1, 4, NULL);
  assert_refused("a: \xf6\n", "not UTF-8: byte 0xF6", 1, 4, "UTF-8");
  assert_refused("\x7f"
                 "ELF\x02\x01",
    "this is a program", 0, 0, NULL);
  assert_refused("\xff\xfe"
                 "a",
    "the file is UTF-16", 0, 0, NULL);
}

static void a_no_break_space_inside_text_is_text(void **state) {
  (void)state;
  struct yaml_node *n = parse("a: x\xc2\xa0y\nb: \"\xc2\xa0z\"\n");
  assert_int_equal(ds.n_errors, 0);
  assert_string_equal(yaml_get(n, "a")->text, "x\xc2\xa0y");
}

static void reading_goes_on_after_a_duplicate(void **state) {
  (void)state;
  struct yaml_node *n = parse("a: 1\na: 2\nb: &x 1\nc: *y\n");
  assert_non_null(n);
  assert_int_equal(ds.n_errors, 2);
  assert_int_equal(n->n, 3);
  assert_string_equal(yaml_get(n, "a")->text, "1");
  assert_int_equal(yaml_get(n, "c")->kind, YAML_BROKEN);
}

/* reliability S9: no crash, no hang (the runner gives a program two minutes), bombs refused in bounded memory. */
static char *repeat(const char *head, const char *part, size_t n, size_t *ret_n) {
  size_t h = strlen(head), p = strlen(part);
  char *s = malloc(h + p * n + 1);
  assert_non_null(s);
  memcpy(s, head, h);
  for (size_t i = 0; i < n; i++) memcpy(s + h + i * p, part, p);
  *ret_n = h + p * n;
  return s;
}

static void assert_bomb(const char *head, const char *part, size_t times, const char *msg) {
  size_t n;
  char *s = repeat(head, part, times, &n);
  assert_null(parse_n(s, n));
  assert_non_null(strstr(ds.first->msg, msg));
  assert_true(arena_size(&a) + arena_size(&ds.arena) < 100u << 20);
  free(s);
  tear_down(NULL);
  set_up(NULL);
}

static void bombs(void **state) {
  (void)state;
  assert_bomb("a: ", "[", 4000000, "nested more than 100 levels");
  assert_bomb("a: ", "{x: ", 1000000, "nested more than 100 levels");
  assert_bomb("a: [", "x,", 1000000, "more than 100000 values");
  assert_bomb("", "- - - - - ", 400000, "nested more than 100 levels");
  assert_bomb("a: ", "x", 4200000, "larger than 4 MiB");
  assert_bomb("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: [", "*a,", 200, "more than 100 aliases");
  assert_bomb("a: &a {}\n? ", "? ", 500000, "nested more than 100 levels");
  assert_null(parse("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e]\n"));
  assert_non_null(strstr(ds.first->msg, "more than 100000 values"));
}

static void many_keys(void **state) {
  (void)state;
  char *s = malloc(1 << 20);
  size_t n = 0;
  assert_non_null(s);
  for (int i = 0; i < 20000; i++) n += (size_t)snprintf(s + n, 32, "k%d: 1\n", i);
  assert_null(parse_n(s, n));
  assert_non_null(strstr(ds.first->msg, "more than 10000 keys"));
  free(s);
}

static void merging(void **state) {
  (void)state;
  struct yaml_node *base = parse("a: {x: 1, y: [1, 2]}\nb: {k: v}\nc: 5\n"), *over = parse("a: {y: [3], z: 9}\nb:\nd: 6\n");
  struct yaml_node *m = yaml_merge(&a, base, over);
  assert_string_equal(yaml_get(yaml_get(m, "a"), "x")->text, "1");
  assert_int_equal(yaml_get(yaml_get(m, "a"), "y")->n, 1);
  assert_string_equal(yaml_get(yaml_get(m, "a"), "z")->text, "9");
  assert_int_equal(yaml_get(m, "b")->kind, YAML_NULL);
  assert_int_equal(yaml_get(m, "c")->pos.file, 0);
  assert_int_equal(yaml_get(m, "d")->pos.file, 1);
  assert_ptr_equal(yaml_merge(&a, base, NULL), base);
  assert_ptr_equal(yaml_merge(&a, NULL, over), over);
  assert_int_equal(yaml_get(base, "b")->n, 1); /* the inputs stay */
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
  const struct CMUnitTest tests[] = { T(kinds_and_places), T(columns_are_bytes_behind_utf8), T(line_ends_of_windows),
    T(scalars_keep_their_text), T(anchors_and_merge_keys), T(what_users_get_wrong), T(a_no_break_space_inside_text_is_text),
    T(reading_goes_on_after_a_duplicate), T(bombs), T(many_keys), T(merging) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
