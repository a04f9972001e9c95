#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/manual.h"
#include "plugins/schema.h"

struct inner {
  const char *name;
  int64_t port;
};

struct outer {
  int32_t on;
  int64_t count;
  uint64_t items;
  double ratio;
  int64_t wait_ns;
  uint64_t room;
  const char *text;
  const char *token;
  int32_t mode;
  struct weir_strings list;
  struct weir_map map, headers;
  struct inner group;
  const struct inner *opt;
  struct weir_groups groups;
  int32_t old;
};

static const struct weir_field inner_fields[] = {
  { .name = "name", .type = WEIR_T_STRING, .offset = offsetof(struct inner, name), .dflt = "none", .doc = "A name." },
  { .name = "port",
    .type = WEIR_T_INT,
    .offset = offsetof(struct inner, port),
    .dflt = "80",
    .min = "1",
    .max = "65535",
    .doc = "A port." },
  WEIR_FIELD_END,
};

#define O(m) .offset = offsetof(struct outer, m)
static const struct weir_field outer_fields[] = {
  { .name = "on", .type = WEIR_T_BOOL, O(on), .dflt = "true", .doc = "Switch." },
  { .name = "count", .type = WEIR_T_INT, O(count), .dflt = "-5", .min = "-10", .max = "10", .doc = "Count." },
  { .name = "items", .type = WEIR_T_UINT, O(items), .dflt = "7", .unit = "spans", .min = "1", .doc = "Items." },
  { .name = "ratio", .type = WEIR_T_DOUBLE, O(ratio), .dflt = "0.5", .min = "0", .max = "1", .doc = "Ratio." },
  { .name = "wait", .type = WEIR_T_DURATION, O(wait_ns), .dflt = "200ms", .min = "1ms", .max = "1h", .doc = "Wait. More about it." },
  { .name = "room", .type = WEIR_T_BYTES, O(room), .dflt = "4MiB", .min = "1KiB", .max = "1GiB", .doc = "Room." },
  { .name = "text", .type = WEIR_T_STRING, O(text), .flags = WEIR_NONEMPTY, .doc = "Text." },
  { .name = "token", .type = WEIR_T_STRING, O(token), .flags = WEIR_SECRET, .doc = "Token." },
  { .name = "mode", .type = WEIR_T_ENUM, O(mode), .choices = "basic|normal|detailed", .doc = "Mode." },
  { .name = "list", .type = WEIR_T_STRINGS, O(list), .dflt = "[a, b]", .doc = "List." },
  { .name = "map", .type = WEIR_T_MAP, O(map), .dflt = "{k: v}", .doc = "Map." },
  { .name = "headers", .type = WEIR_T_MAP, O(headers), .flags = WEIR_SECRET, .doc = "Headers." },
  { .name = "group", .type = WEIR_T_GROUP, O(group), .group = inner_fields, .group_size = sizeof(struct inner), .doc = "Group." },
  { .name = "opt", .type = WEIR_T_OPT_GROUP, O(opt), .group = inner_fields, .group_size = sizeof(struct inner), .doc = "Optional group." },
  { .name = "groups", .type = WEIR_T_GROUPS, O(groups), .group = inner_fields, .group_size = sizeof(struct inner), .doc = "Groups." },
  { .name = "old", .type = WEIR_T_BOOL, O(old), .flags = WEIR_DEPRECATED, .doc = "Use `mode` instead." },
  WEIR_FIELD_END,
};

static const struct weir_field needy_fields[] = {
  { .name = "must", .type = WEIR_T_STRING, .offset = 0, .flags = WEIR_REQUIRED, .doc = "What must be." },
  WEIR_FIELD_END,
};

static struct diags ds;
static struct arena a;
static struct outer out;
static struct yaml_node *root;

static int set_up(void **state) {
  (void)state;
  diags_init(&ds);
  arena_init(&a, NULL, 4096);
  memset(&out, 0, sizeof out);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  arena_done(&a);
  diags_done(&ds);
  return 0;
}

static void bind_to(const char *text, const struct weir_field *fields, void *into) {
  struct schema_binding b = { { fields, sizeof *fields }, into };
  root = yaml_parse_part(&a, &ds, diags_add_file(&ds, "a.yaml", text, strlen(text)), 0, strlen(text));
  assert_non_null(root);
  yaml_expand(&a, &ds, root);
  schema_bind(&a, &ds, "thing `x`", (struct pos){ 0, 1, 1, 1 }, root, &b, 1);
}

static void bind(const char *text) { bind_to(text, outer_fields, &out); }

static void assert_clean(void) {
  if (ds.n_errors + ds.n_warnings == 0) return;
  char *got = diags_render(&ds);
  print_error("%s", got);
  free(got);
  fail();
}

/* One error: its message, what stands behind the caret (NULL = nothing), its place. */
static void refused(const char *text, const char *msg, const char *caret, uint32_t line, uint32_t col) {
  bind(text);
  const struct diag *d = ds.first;
  int same_caret = d && ((!caret && !d->caret) || (caret && d->caret && strcmp(d->caret, caret) == 0));
  if (ds.n_errors != 1 || strcmp(d->msg, msg) != 0 || !same_caret || d->pos.line != line || d->pos.col != col) {
    char *got = diags_render(&ds);
    print_error("for:\n%s\nwanted: %s\n(%s) at %u:%u, got:\n%s", text, msg, caret ? caret : "", line, col, got);
    free(got);
    fail();
  }
  tear_down(NULL);
  set_up(NULL);
}

static void defaults(void **state) {
  (void)state;
  bind("");
  assert_clean();
  assert_int_equal(out.on, 1);
  assert_int_equal(out.count, -5);
  assert_int_equal(out.items, 7);
  assert_true(fabs(out.ratio - 0.5) < 1e-9);
  assert_int_equal(out.wait_ns, 200000000);
  assert_int_equal(out.room, 4 << 20);
  assert_null(out.text);
  assert_int_equal(out.mode, -1);
  assert_int_equal(out.list.n, 2);
  assert_string_equal(out.list.v[1], "b");
  assert_int_equal(out.map.n, 1);
  assert_string_equal(out.map.v[0].value, "v");
  assert_string_equal(out.group.name, "none");
  assert_int_equal(out.group.port, 80);
  assert_null(out.opt);
  assert_int_equal(out.groups.n, 0);
}

static void values(void **state) {
  (void)state;
  bind(
    "on: false\ncount: 3\nitems: 9\nratio: 1\nwait: 1m30s\nroom: 512KiB\ntext: 0123\ntoken: t\nmode: Normal\nlist: [x]\nmap: {a: 1, b: }\n"
    "group: {name: n}\nopt:\ngroups:\n  - port: 1\n  - name: two\n");
  assert_clean();
  assert_int_equal(out.on, 0);
  assert_int_equal(out.count, 3);
  assert_int_equal(out.items, 9);
  assert_true(fabs(out.ratio - 1) < 1e-9);
  assert_int_equal(out.wait_ns, 90000000000);
  assert_int_equal(out.room, 512 << 10);
  assert_string_equal(out.text, "0123");
  assert_int_equal(out.mode, 1);
  assert_int_equal(out.list.n, 1);
  assert_int_equal(out.map.n, 2);
  assert_string_equal(out.map.v[0].value, "1");
  assert_string_equal(out.map.v[1].value, "");
  assert_string_equal(out.group.name, "n");
  assert_int_equal(out.group.port, 80);
  assert_non_null(out.opt);
  assert_int_equal(out.opt->port, 80);
  assert_int_equal(out.groups.n, 2);
  const struct inner *g = out.groups.v;
  assert_int_equal(g[0].port, 1);
  assert_string_equal(g[0].name, "none");
  assert_string_equal(g[1].name, "two");
}

static void one_text_for_a_list(void **state) {
  (void)state;
  bind("list: a, b,c\n");
  assert_clean();
  assert_int_equal(out.list.n, 3);
  assert_string_equal(out.list.v[1], "b");
  assert_string_equal(out.list.v[2], "c");
}

static void expanded_values(void **state) {
  (void)state;
  setenv("WEIR_T_INT", "3", 1);
  setenv("WEIR_T_LIST", "[p, q]", 1);
  setenv("WEIR_T_ZIP", "0123", 1);
  bind(
    "count: ${env:WEIR_T_INT}\nitems: \"${env:WEIR_T_INT}\"\nlist: ${env:WEIR_T_LIST}\ntext: ${env:WEIR_T_ZIP}\nmap: {k: \"${env:WEIR_T_ZIP}\"}\non: ${X:-false}\n");
  assert_clean();
  assert_int_equal(out.count, 3);
  assert_int_equal(out.items, 3);
  assert_int_equal(out.list.n, 2);
  assert_string_equal(out.text, "0123");
  assert_string_equal(out.map.v[0].value, "0123");
  assert_int_equal(out.on, 0);
}

static void wrong_values(void **state) {
  (void)state;
  refused("on: yes\n", "`on` of thing `x`: expected true or false, got `yes`", "write `true`", 1, 5);
  refused("on: \"true\"\n", "`on` of thing `x`: expected true or false, got `\"true\"`", "remove the quotes", 1, 5);
  refused("count: many\n", "`count` of thing `x`: expected a whole number, got `many`", NULL, 1, 8);
  refused("count: 1.5\n", "`count` of thing `x`: expected a whole number, got `1.5`", NULL, 1, 8);
  refused("count: \"3\"\n", "`count` of thing `x`: expected a whole number, got `\"3\"`", "remove the quotes", 1, 8);
  refused("count: 11\n", "`count` of thing `x` must be between -10 and 10, got `11`", NULL, 1, 8);
  refused("count: 99999999999999999999\n", "`count` of thing `x` must be between -10 and 10, got `99999999999999999999`", NULL, 1, 8);
  refused("items: 0\n", "`items` of thing `x` must be at least 1 (spans), got `0`", NULL, 1, 8);
  refused("items: -3\n", "`items` of thing `x` must be at least 1 (spans), got `-3`", NULL, 1, 8);
  refused("ratio: .nan\n", "`ratio` of thing `x` must be between 0 and 1, got `.nan`", NULL, 1, 8);
  refused("ratio: half\n", "`ratio` of thing `x`: expected a number, got `half`", NULL, 1, 8);
  refused("wait: 5\n", "`wait` of thing `x`: expected a duration such as 200ms, got `5`", "give a unit: `5s`", 1, 7);
  refused("wait: 5 s\n", "`wait` of thing `x`: expected a duration such as 200ms, got `5 s`", "write `5s`", 1, 7);
  refused("wait: 5 apples\n", "`wait` of thing `x`: expected a duration such as 200ms, got `5 apples`",
    "units: ns, us, ms, s, m, h, as in 1m30s", 1, 7);
  refused("wait: 2h\n", "`wait` of thing `x` must be between 1ms and 1h, got `2h`", NULL, 1, 7);
  refused("room: big\n", "`room` of thing `x`: expected a size such as 4MiB, got `big`",
    "units: KiB, MiB, GiB (powers of 1024), KB, MB, GB (of 1000)", 1, 7);
  refused("room: 1\n", "`room` of thing `x` must be between 1KiB and 1GiB, got `1`", NULL, 1, 7);
  refused("text: [a]\n", "`text` of thing `x`: expected text, got a list", "write the one value alone, without `-` or brackets", 1, 7);
  refused("text: \"\"\n", "`text` of thing `x` may not be empty", NULL, 1, 7);
  refused(
    "mode: detaild\n", "`mode` of thing `x`: expected one of basic, normal, detailed, got `detaild`", "did you mean `detailed`?", 1, 7);
  refused("list: {a: b}\n", "`list` of thing `x`: expected a list of texts, got a mapping",
    "as in [a, b], or one item with `- ` on each line", 1, 7);
  refused("list: [a, [b]]\n", "`list` of thing `x`: expected a list of texts, got a list", "this item is not text", 1, 11);
  refused("map: a\n", "`map` of thing `x`: expected a mapping of names to texts, got `a`", NULL, 1, 6);
  refused("map: {k: [v]}\n", "`map.k` of thing `x`: expected text, got a list", NULL, 1, 10);
  refused("group: x\n", "`group` of thing `x`: expected a mapping, got text", NULL, 1, 8);
  refused("group: name:n\n", "`group` of thing `x`: expected a mapping, got text", "put a space after `name:`", 1, 8);
  refused("group: [a]\n", "`group` of thing `x`: expected a mapping, got a list", "remove the `-` or the brackets", 1, 8);
  refused(
    "groups: {name: n}\n", "`groups` of thing `x`: expected a list of mappings, got a mapping", "put `- ` in front of each one", 1, 9);
  refused("groups: [{port: 0}]\n", "`groups[0].port` of thing `x` must be between 1 and 65535, got `0`", NULL, 1, 17);
}

static void unknown_keys(void **state) {
  (void)state;
  refused("cuont: 1\n", "unknown key `cuont` in thing `x`", "did you mean `count`?", 1, 1);
  refused("zzzzzzz: 1\n", "unknown key `zzzzzzz` in thing `x`", NULL, 1, 1);
  refused("port: 1\n", "unknown key `port` in thing `x`", "`port` belongs below `group`", 1, 1);
  refused("group:\n  ratio: 1\n", "unknown key `ratio` in `group` of thing `x`", "`ratio` belongs to thing `x`: indent it less", 2, 3);
  refused("name:x\n", "a space is missing after the colon", "put a space after `name:`", 1, 1);
  refused("- a\n", "thing `x`: expected a mapping of its keys, got a list", "remove the `-` or the brackets", 1, 1);
  bind("cuont: 1\n");
  assert_string_equal(ds.first->note,
    "allowed here: count, group, groups, headers, items, list, map, mode, on, opt, ratio, room, text, token, wait"); /* not the deprecated one */
}

static void all_errors_at_once_and_good_values_stay(void **state) {
  (void)state;
  bind("count: x\nwait: y\nzz: 1\nitems: 3\n");
  assert_int_equal(ds.n_errors, 3);
  assert_int_equal(out.items, 3);
  assert_int_equal(out.count, -5);
}

static void missing_and_empty(void **state) {
  (void)state;
  const char *must = NULL;
  bind_to("", needy_fields, &must);
  assert_int_equal(ds.n_errors, 1);
  assert_string_equal(ds.first->msg, "`must` of thing `x` is missing");
  tear_down(NULL);
  set_up(NULL);
  bind_to("must:\n", needy_fields, &must);
  assert_string_equal(ds.first->msg, "`must` of thing `x` has no value");
  tear_down(NULL);
  set_up(NULL);
  bind("count:\n");
  assert_int_equal(ds.n_errors, 0);
  assert_int_equal(ds.n_warnings, 1);
  assert_string_equal(ds.first->caret, "the default -5 is used");
  assert_int_equal(out.count, -5);
}

static void deprecated(void **state) {
  (void)state;
  bind("old: true\n");
  assert_int_equal(ds.n_errors, 0);
  assert_int_equal(ds.n_warnings, 1);
  assert_string_equal(ds.first->msg, "`old` of thing `x` is deprecated");
  assert_int_equal(out.old, 1);
}

static void secrets_stay_secret(void **state) {
  (void)state;
  setenv("WEIR_T_SECRET", "[hunter2]", 1);
  setenv("WEIR_T_NUMBER", "hunter2", 1);
  bind("token: {a: hunter2}\nheaders: {x: [hunter2], y: hunter2}\ntokne: hunter2\nheader: {z: hunter2}\ncount: 99\n");
  char *got = diags_render(&ds);
  assert_int_equal(ds.n_errors, 5);
  assert_null(strstr(got, "hunter2"));
  free(got);
  tear_down(NULL);
  set_up(NULL);
  bind("headers: ${env:WEIR_T_SECRET}\ncount: ${env:WEIR_T_NUMBER}\n");
  got = diags_render(&ds);
  assert_non_null(strstr(got, "`headers` of thing `x`: expected a mapping of names to texts, got a list"));
  assert_null(strstr(got, "[hunter2]"));
  assert_non_null(strstr(got, "gives `hunter2`")); /* not a secret: shown */
  free(got);
}

/* A mapping where a text belongs: one blank too many makes a key of a token. */
static void keys_in_a_secrets_place_are_secret(void **state) {
  (void)state;
  bind("token: {hunter2: }\nheaders: {x-name: {hunter2: [hunter2: a]}}\ntokne: {hunter2: {hunter2: x}}\nheader: {x-other: {hunter2: x}}\n");
  char *got = diags_render(&ds);
  assert_int_equal(ds.n_errors, 4);
  if (strstr(got, "hunter2")) fail_msg("%s", got);
  assert_non_null(strstr(got, "x-name")); /* headers have names */
  assert_non_null(strstr(got, "x-other"));
  free(got);
}

static void two_tables_in_one_mapping(void **state) {
  (void)state;
  static const struct weir_field host_fields[] = {
    { .name = "wait", .type = WEIR_T_DURATION, .offset = 0, .dflt = "9s", .doc = "The host's." },
    { .name = "extra", .type = WEIR_T_INT, .offset = 8, .dflt = "1", .doc = "Extra." },
    WEIR_FIELD_END,
  };
  int64_t host[2] = { 0, 0 };
  struct schema_binding b[] = { { { outer_fields, sizeof *outer_fields }, &out }, { { host_fields, sizeof *host_fields }, host } };
  const char *text = "wait: 1s\nextra: 5\nextre: 1\n";
  root = yaml_parse(&a, &ds, diags_add_file(&ds, "a.yaml", text, strlen(text)));
  schema_bind(&a, &ds, "thing `x`", (struct pos){ 0, 1, 1, 1 }, root, b, 2);
  assert_int_equal(out.wait_ns, 1000000000);
  assert_int_equal(host[1], 5);
  assert_int_equal(ds.n_errors, 1);
  assert_string_equal(ds.first->caret, "did you mean `extra`?");
}

/* A plugin of a later minor has longer fields: the table is walked by its own stride. */
static void a_table_with_a_longer_stride(void **state) {
  (void)state;
  struct longer {
    struct weir_field f;
    const char *newer[3];
  };
  static const struct longer fields[] = { { { .name = "a", .type = WEIR_T_INT, .offset = 0, .doc = "A." }, { "x", "y", "z" } },
    { { .name = "b", .type = WEIR_T_INT, .offset = 8, .doc = "B." }, { "x", "y", "z" } }, { WEIR_FIELD_END, { NULL, NULL, NULL } } };
  int64_t v[2] = { 0, 0 };
  struct schema_binding b = { { &fields[0].f, sizeof(struct longer) }, v };
  const char *text = "a: 1\nb: 2\n";
  root = yaml_parse(&a, &ds, diags_add_file(&ds, "a.yaml", text, strlen(text)));
  schema_bind(&a, &ds, "thing `x`", (struct pos){ 0, 1, 1, 1 }, root, &b, 1);
  assert_clean();
  assert_int_equal(v[0], 1);
  assert_int_equal(v[1], 2);
}

static void finding_places(void **state) {
  (void)state;
  bind("group:\n  name: n\ngroups:\n  - port: 7\n");
  struct pos dflt = { 0, 77, 1, 1 }, p = schema_find(root, dflt, "group.name");
  assert_int_equal(p.line, 2);
  assert_int_equal(p.col, 9);
  assert_int_equal(schema_find(root, dflt, "group.port").line, 1);
  assert_int_equal(schema_find(root, dflt, "nothing").line, 77);
  assert_int_equal(schema_find(root, dflt, "groups[0].port").line, 4);
  assert_int_equal(schema_find(root, dflt, "groups[9].port").line, 3);
  assert_int_equal(schema_find(NULL, dflt, "a.b").line, 77);
  assert_int_equal(schema_find(root, dflt, "groups[").line, 4);
}

static void check_one(struct weir_field f, const char *want) {
  struct weir_field table[] = { f, WEIR_FIELD_END };
  struct weir_error err = { 0 };
  int rc = schema_check_table("s", (struct schema_table){ table, sizeof f }, 8, &err);
  assert_int_equal(rc, want ? WEIR_E_INVALID : 0);
  if (want && !strstr(err.msg, want)) fail_msg("got `%s`, wanted `%s`", err.msg, want);
}

static void checking_tables(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct weir_field f = { .name = "a", .type = WEIR_T_INT, .doc = "A." };
  assert_int_equal(schema_check_table("s", (struct schema_table){ outer_fields, sizeof *outer_fields }, sizeof out, &err), 0);
  assert_int_equal(schema_check_table("s", (struct schema_table){ NULL, 0 }, 0, &err), 0);
  assert_int_equal(schema_check_table("s", (struct schema_table){ outer_fields, 8 }, sizeof out, &err), WEIR_E_INVALID);
  check_one(f, NULL);
  f.doc = NULL, check_one(f, "doc is missing"), f.doc = "A.";
  f.name = "a.b", check_one(f, "a name has"), f.name = "a";
  f.offset = 1, check_one(f, "behind the end"), f.offset = SIZE_MAX, check_one(f, "behind the end"), f.offset = 0;
  f.type = 99, check_one(f, "type is not known"), f.type = WEIR_T_INT;
  f.dflt = "x", check_one(f, "the default is not"), f.dflt = NULL;
  f.min = "x", check_one(f, "min or max"), f.min = "5", f.dflt = "1", check_one(f, "out of its own range"), f.min = f.dflt = NULL;
  f.dflt = "1", f.flags = WEIR_REQUIRED, check_one(f, "required key has no default"), f.flags = 0, f.dflt = NULL;
  f.type = WEIR_T_ENUM, check_one(f, "needs `choices`"), f.choices = "a|b", f.dflt = "c", check_one(f, "the default is not"), f.dflt = NULL;
  f.type = WEIR_T_OPT_GROUP, check_one(f, "a group needs a table"), f.group = inner_fields, check_one(f, "group_size is missing");
  f.group_size = sizeof(struct inner), check_one(f, NULL);
  f.group_size = 8, check_one(f, "behind the end");
  f.type = WEIR_T_INT, check_one(f, "only a group");
  struct weir_field twice[] = { { .name = "a", .type = WEIR_T_INT, .doc = "A." }, { .name = "a", .type = WEIR_T_INT, .doc = "A." },
    WEIR_FIELD_END };
  assert_int_equal(schema_check_table("s", (struct schema_table){ twice, sizeof *twice }, 8, &err), WEIR_E_INVALID);
  assert_non_null(strstr(err.msg, "declared twice"));
}

static void a_table_may_contain_itself(void **state) {
  (void)state;
  static struct weir_field policy[3] = { { .name = "name", .type = WEIR_T_STRING, .doc = "Name." },
    { .name = "and", .type = WEIR_T_GROUPS, .offset = 8, .group_size = 24, .doc = "All of these." }, WEIR_FIELD_END };
  struct {
    const char *name;
    struct weir_groups and;
  } got = { 0 };
  struct weir_error err = { 0 };
  policy[1].group = policy;
  assert_int_equal(schema_check_table("s", (struct schema_table){ policy, sizeof *policy }, 24, &err), 0);
  bind_to("and: [{name: a, and: [{name: b}]}]\n", policy, &got);
  assert_clean();
  assert_int_equal(got.and.n, 1);
  char deep[600] = "";
  for (int i = 0; i < 30; i++) memcpy(deep + strlen(deep), "and: [{", 8);
  memcpy(deep + strlen(deep), "name: x", 8);
  for (int i = 0; i < 30; i++) memcpy(deep + strlen(deep), "}]", 3);
  bind_to(deep, policy, &got);
  assert_int_equal(ds.n_errors, 1);
  assert_non_null(strstr(ds.first->msg, "nested more than 16 levels deep"));
}

static void the_manual_page(void **state) {
  (void)state;
  struct stage_entry e = { .type = { .role = WEIR_EXPORTER,
                             .signals = WEIR_TRACES | WEIR_LOGS,
                             .flags = WEIR_QUEUED,
                             .name = "thing",
                             .aliases = "thingy|thong",
                             .doc = "Does things.",
                             .example_yaml = "wait: 1s\ngroup:\n  port: 1\n",
                             .stability = "alpha",
                             .fields = outer_fields,
                             .field_size = sizeof *outer_fields } };
  char *text = NULL;
  size_t n = 0;
  FILE *f = open_memstream(&text, &n);
  manual_page(f, &e, (struct schema_table){ needy_fields, sizeof *needy_fields });
  fclose(f);
  static const char *const parts[] = { "# thing exporter\n\nDoes things.\n", "- signals: traces, logs\n",
    "- also called: `thingy`, `thong`\n", "```yaml\nexporters:\n  thing:\n    wait: 1s\n    group:\n      port: 1\n```\n",
    "- `count` (whole number, default `-5`, -10 to 10)\n  Count.\n", "- `mode` (one of `basic`, `normal`, `detailed`)\n",
    "- `token` (text, secret)\n", "- `group.port` (whole number, default `80`, 1 to 65535)\n",
    "- `opt` (group, off unless the key is there)\n", "- `groups[].name` (text, default `none`)\n", "- `old` (true or false, deprecated)\n",
    "## Queue and retry\n", "- `must` (text, required)\n" };
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (!strstr(text, parts[i])) fail_msg("not in the page: %s\n%s", parts[i], text);
  free(text);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
  const struct CMUnitTest tests[] = { T(defaults), T(values), T(one_text_for_a_list), T(expanded_values), T(wrong_values), T(unknown_keys),
    T(all_errors_at_once_and_good_values_stay), T(missing_and_empty), T(deprecated), T(secrets_stay_secret), T(keys_in_a_secrets_place_are_secret), T(two_tables_in_one_mapping),
    T(a_table_with_a_longer_stride), T(finding_places), T(checking_tables), T(a_table_may_contain_itself), T(the_manual_page) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
