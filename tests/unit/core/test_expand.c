#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/expand_source.h"

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

struct pair {
  const char *name, *value;
};

static const struct pair env_vars[] = { { "HOST", "tempo" }, { "PORT", "4317" }, { "ZIP", "0123" }, { "EMPTY", "" }, { "NAME", "HOST" },
  { "LOOP", "${env:LOOP}" }, { "A", "${env:B}x" }, { "B", "${HOST}" }, { "LIST", "[a, b]" }, { "MAP", "{x: 1, y: \"${PORT}\"}" },
  { "COLON", "a: b" }, { "BAD", "[unclosed" }, { "QUOTED", "\"q\"" }, { "NULL", "null" }, { "DOLLAR", "pa$$word" },
  { "BOOM0", "${BOOM1}${BOOM1}" }, { "BOOM1", "${BOOM2}${BOOM2}" }, { "BOOM2", "${BOOM3}${BOOM3}" },
  { "BOOM3", "${BOOM4}${BOOM4}${BOOM4}${BOOM4}${BOOM4}${BOOM4}${BOOM4}${BOOM4}" },
  { "BOOM4", "${BOOM5}${BOOM5}${BOOM5}${BOOM5}${BOOM5}${BOOM5}${BOOM5}${BOOM5}" },
  { "BOOM5", "${BOOM6}${BOOM6}${BOOM6}${BOOM6}${BOOM6}${BOOM6}${BOOM6}" }, { "BOOM6", "${EMPTY}${EMPTY}${EMPTY}${EMPTY}${EMPTY}${EMPTY}" },
  { "FAT", NULL } };
static const struct pair files[] = { { "token", "s3cret\n" }, { "map.yaml", "a: 1\nb:\n  c: ${env:PORT}\n" },
  { "pem", "-----BEGIN X-----\nabc\n-----END X-----\n" } };
static char fat[1u << 20];

static const char *fake_env(const char *name) {
  for (size_t i = 0; i < sizeof env_vars / sizeof *env_vars; i++)
    if (strcmp(env_vars[i].name, name) == 0) return env_vars[i].value ? env_vars[i].value : fat;
  return NULL;
}

static int fake_read(struct arena *arena, const char *path, char **ret, size_t *ret_n, struct weir_error *err) {
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    if (strcmp(files[i].name, path) != 0) continue;
    *ret = arena_strdup(arena, files[i].value);
    *ret_n = strlen(*ret);
    return 0;
  }
  return weir_fail(err, WEIR_E_IO, "cannot open %s: No such file or directory", path);
}

static const struct source_io fake = { fake_env, fake_read };

/* The value of key `v` in the document `v: TEXT`, expanded. */
static struct yaml_node *expand(const char *text) {
  char doc[1024];
  int n = snprintf(doc, sizeof doc, "v: %s\n", text);
  struct yaml_node *root = yaml_parse(&a, &ds, diags_add_file(&ds, "a.yaml", doc, (size_t)n));
  assert_non_null(root);
  yaml_expand_with(&a, &ds, root, &fake);
  return yaml_get(root, "v");
}

static void assert_text(const char *text, const char *want) {
  struct yaml_node *n = expand(text);
  if (n->kind != YAML_SCALAR || strcmp(n->text, want) != 0)
    fail_msg("%s gave kind %d `%s`, wanted `%s`", text, n->kind, n->text ? n->text : "", want);
  assert_int_equal(ds.n_errors + ds.n_warnings, 0);
}

static void assert_string(const char *text, const char *want) {
  struct yaml_node *n = expand(text);
  assert_non_null(yaml_string(n));
  assert_string_equal(yaml_string(n), want);
  assert_int_equal(ds.n_errors + ds.n_warnings, 0);
}

static void assert_error(const char *text, const char *msg, uint32_t col) {
  struct yaml_node *n = expand(text);
  if (ds.n_errors == 0 || !strstr(ds.first->msg, msg)) fail_msg("%s: `%s`, wanted `%s`", text, ds.first ? ds.first->msg : "accepted", msg);
  assert_int_equal(ds.first->pos.line, 1);
  assert_int_equal(ds.first->pos.col, col);
  assert_int_equal(n->kind, YAML_BROKEN);
  tear_down(NULL);
  set_up(NULL);
}

static void variables(void **state) {
  (void)state;
  assert_text("${env:HOST}", "tempo");
  assert_text("${HOST}", "tempo");
  assert_text("\"${HOST}\"", "tempo");
  assert_text("${env:HOST}:${env:PORT}", "tempo:4317");
  assert_text("http://${HOST}/x", "http://tempo/x");
  assert_text("${env:${env:NAME}}", "tempo");
  assert_text("${env:A}", "tempox");
  assert_text("<${env:A}>", "<tempox>");
  assert_text("${env:UNSET:-4318}", "4318");
  assert_text("${UNSET:-4318}", "4318");
  assert_text("${env:HOST:-other}", "tempo");
  assert_text("${env:UNSET:-${env:HOST}}", "tempo");
  assert_text("x${env:UNSET:-a:-b}y", "xa:-by");
  assert_text("${env:UNSET:-http://x:1}", "http://x:1");
  assert_text("${yaml:abc}", "abc");
}

static void dollars(void **state) {
  (void)state;
  assert_text("a$$b", "a$b");
  assert_text("$${HOST}", "${HOST}");
  assert_text("$$${HOST}", "$tempo");
  assert_text("$$$${HOST}", "$${HOST}");
}

static void dollars_alone(void **state) {
  (void)state;
  assert_text("5$", "5$");
  assert_text("$HOST", "$HOST");
  assert_text("$1", "$1");
  assert_text("a$b$$c", "a$b$c");
  assert_string("${env:DOLLAR}", "pa$word");
}

static void whole_values_are_yaml(void **state) {
  (void)state;
  struct yaml_node *n = expand("${env:LIST}");
  assert_int_equal(n->kind, YAML_SEQ);
  assert_int_equal(n->n, 2);
  assert_int_equal(n->items[1]->pos.col, 4); /* the site */
  assert_int_equal(n->items[1]->expanded, 1);
  n = expand("${env:MAP}");
  assert_int_equal(n->kind, YAML_MAP);
  assert_string_equal(yaml_get(n, "y")->text, "4317");
  n = expand("${env:PORT}");
  assert_int_equal(n->quoted, 0);
  assert_int_equal(n->expanded, 1);
  n = expand("${env:NULL}");
  assert_int_equal(n->kind, YAML_NULL);
  n = expand("${env:BAD}");
  assert_int_equal(n->kind, YAML_SCALAR);
  assert_string_equal(n->text, "[unclosed");
  assert_int_equal(ds.n_errors + ds.n_warnings, 0);
}

static void strings_keep_what_was_given(void **state) {
  (void)state;
  assert_string("${env:ZIP}", "0123");
  assert_string("${env:COLON}", "a: b");
  assert_string("${env:LIST}", "[a, b]");
  assert_string("${env:NULL}", "null");
  assert_string("${env:QUOTED}", "\"q\"");
  assert_string("${env:BAD}", "[unclosed");
}

static void files_lose_their_last_newline(void **state) {
  (void)state;
  assert_string("${file:token}", "s3cret");
  assert_text("\"Bearer ${file:token}\"", "Bearer s3cret");
  assert_string("${file:pem}", "-----BEGIN X-----\nabc\n-----END X-----");
}

static void a_file_can_hold_a_mapping(void **state) {
  (void)state;
  struct yaml_node *n = expand("${file:map.yaml}");
  assert_int_equal(n->kind, YAML_MAP);
  const struct yaml_node *c = yaml_get(yaml_get(n, "b"), "c");
  assert_string_equal(c->text, "4317");
  assert_int_equal(c->pos.line, 3); /* in the file */
  assert_string_equal(ds.files[c->pos.file].name, "map.yaml");
  assert_int_equal(ds.n_errors, 0);
}

static void unset_is_empty_and_said(void **state) {
  (void)state;
  struct yaml_node *n = expand("${env:UNSET}");
  assert_int_equal(n->kind, YAML_NULL);
  assert_int_equal(ds.n_errors, 0);
  assert_int_equal(ds.n_warnings, 1);
  assert_non_null(strstr(ds.first->msg, "unset environment variable `UNSET`"));
  n = expand("a-${env:UNSET}-b");
  assert_string_equal(n->text, "a--b");
  assert_int_equal(ds.n_warnings, 2);
  n = expand("${env:EMPTY:-x}"); /* set, but empty: stays empty */
  assert_int_equal(n->kind, YAML_NULL);
  assert_int_equal(ds.n_warnings, 2);
}

static void errors(void **state) {
  (void)state;
  assert_error("${env:HOST", "`${` is never closed", 4);
  assert_error("ab${env:HOST", "`${` is never closed", 6);
  assert_error("${}", "names nothing", 4);
  assert_error("${1}", "invalid name", 4);
  assert_error("x ${foo-bar} y", "invalid name", 6);
  assert_error("${evn:HOST}", "scheme \"evn\" is not supported", 4);
  assert_error("${http://x}", "scheme \"http\" is not supported", 4);
  assert_error("${file:nope}", "cannot open nope", 4);
  assert_error("${file:}", "needs a path", 4);
  assert_error("${env:LOOP}", "too many recursive expansions", 4);
  assert_error("x${env:LOOP}", "too many recursive expansions", 4);
}

static void floods_are_stopped(void **state) {
  (void)state;
  assert_error("${BOOM0}${BOOM0}${BOOM0}", "more than 10000 expansions", 4);
  memset(fat, 'x', sizeof fat - 1);
  assert_error("${FAT}${FAT}${FAT}${FAT}${FAT}", "more than 4 MiB", 4);
  char deep[900];
  size_t n = 0;
  for (int i = 0; i < 150; i++) n += (size_t)snprintf(deep + n, 3, "${");
  for (int i = 0; i < 150; i++) n += (size_t)snprintf(deep + n, 2, "}");
  assert_error(deep, "too many recursive expansions", 4);
}

static void the_real_system(void **state) {
  (void)state;
  char path[] = "/tmp/weir-test-XXXXXX", doc[128];
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "from file\n", 10), 10);
  close(fd);
  setenv("WEIR_TEST_EXPAND", "yes", 1);
  int n = snprintf(doc, sizeof doc, "a: ${env:WEIR_TEST_EXPAND}\nb: ${file:%s}\nc: ${file:/tmp}\n", path);
  struct yaml_node *root = yaml_parse(&a, &ds, diags_add_file(&ds, "a.yaml", doc, (size_t)n));
  yaml_expand(&a, &ds, root);
  unlink(path);
  assert_string_equal(yaml_get(root, "a")->text, "yes");
  assert_string_equal(yaml_get(root, "b")->text, "from file");
  assert_int_equal(ds.n_errors, 1);
  assert_non_null(strstr(ds.first->msg, "is a directory"));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
  const struct CMUnitTest tests[] = { T(variables), T(dollars), T(dollars_alone), T(whole_values_are_yaml), T(strings_keep_what_was_given),
    T(files_lose_their_last_newline), T(a_file_can_hold_a_mapping), T(unset_is_empty_and_said), T(errors), T(floods_are_stopped),
    T(the_real_system) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
