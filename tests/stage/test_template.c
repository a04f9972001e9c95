/* The stage that people copy: one attribute in every record of every signal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

static const struct harness_setup template = { .role = WEIR_PROCESSOR, .type = "my_stage", .file = "template/my_stage.so" };

static struct harness *open_template(const char *yaml, uint32_t signal) {
  struct harness_setup s = template;
  s.yaml = yaml;
  s.signal = signal;
  return harness_open(&s);
}

struct look {
  const char *key, *value;
  size_t n;
};

static void has_attribute(void *arg, const struct weir_rec *rec) {
  struct look *l = arg;
  size_t found = 0;
  for (uint32_t i = 0; i < rec->n_attrs; i++) {
    if (!weir_str_eq(rec->attrs[i].key, weir_str_of(l->key))) continue;
    const struct weir_value *v = &rec->attrs[i].value;
    assert_int_equal(v->kind, WEIR_V_STRING);
    assert_int_equal(v->n, strlen(l->value));
    assert_memory_equal(v->u.s, l->value, v->n);
    found++;
  }
  assert_int_equal(found, 1);
  l->n++;
}

/* What stands in the batch is also what would be sent: it is encoded and read again. */
static void check_emitted(struct harness *h, uint32_t n, const char *key, const char *value) {
  struct weir_batch *b = harness_take_emitted(h);
  struct look here = { key, value, 0 }, sent = { key, value, 0 };
  size_t bytes;
  assert_non_null(b);
  harness_each(b, has_attribute, &here);
  char *wire = harness_encode(b, &bytes);
  struct weir_batch *again = harness_batch_bytes(h, b->signal, wire, bytes, NULL);
  harness_each(again, has_attribute, &sent);
  assert_int_equal(here.n, n);
  assert_int_equal(sent.n, n);
  free(wire);
  harness_settle(h, again, WEIR_DELIVERED);
  harness_settle(h, b, WEIR_DELIVERED);
}

static void every_record_of_every_signal(void **state) {
  (void)state;
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };
  for (size_t i = 0; i < 3; i++) {
    struct harness_waiter w = { 0 };
    struct harness *h = open_template("key: team\nvalue: blue", signals[i]);
    harness_feed(h, harness_batch(h, 20, &w));
    assert_int_equal(w.heard, 0); /* passed on: whoever has it answers */
    check_emitted(h, 20, "team", "blue");
    assert_int_equal(w.heard, 1);
    assert_int_equal(w.verdict.code, WEIR_DELIVERED);
    harness_free(h);
  }
}

static void defaults(void **state) {
  (void)state;
  struct harness *h = open_template(NULL, WEIR_LOGS);
  harness_feed(h, harness_batch(h, 3, NULL));
  check_emitted(h, 3, "weir.stage", "my_stage");
  harness_feed(h, harness_batch(h, 0, NULL)); /* nothing in it: it goes on all the same */
  check_emitted(h, 0, "weir.stage", "my_stage");
  harness_free(h);
}

static void what_is_there_stays_unless_told(void **state) {
  (void)state;
  struct harness *h = open_template("{key: team, value: blue}", WEIR_TRACES);
  harness_feed(h, harness_batch(h, 2, NULL));
  struct weir_batch *b = harness_take_emitted(h);
  size_t n;
  char *wire = harness_encode(b, &n);
  harness_settle(h, b, WEIR_DELIVERED);
  harness_free(h);
  const char *const yaml[] = { "{key: team, value: red}", "{key: team, value: red, overwrite: true}" };
  for (int overwrite = 0; overwrite < 2; overwrite++) {
    h = open_template(yaml[overwrite], WEIR_TRACES);
    harness_feed(h, harness_batch_bytes(h, WEIR_TRACES, wire, n, NULL));
    check_emitted(h, 2, "team", overwrite ? "red" : "blue");
    harness_free(h);
  }
  free(wire);
}

static void a_shared_batch_is_not_changed(void **state) {
  (void)state;
  struct harness *h = open_template("key: team", WEIR_TRACES);
  struct harness_waiter w = { 0 };
  struct weir_batch *mine = harness_batch(h, 5, &w), *theirs = batch_fork(mine);
  size_t n, n_before;
  char *before = harness_encode(theirs, &n_before);
  harness_feed(h, mine);
  check_emitted(h, 5, "team", "my_stage");
  char *after = harness_encode(theirs, &n);
  assert_int_equal(n, n_before);
  assert_memory_equal(after, before, n);
  assert_int_equal(w.heard, 0); /* the other branch has not answered */
  harness_settle(h, theirs, WEIR_RETRY);
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  free(before);
  free(after);
  harness_free(h);
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { "key: ''", "`key`" },
    { "key: '  '", "key: a key of spaces only" },
    { "keys: x", "did you mean `key`?" },
    { "overwrite: perhaps", "expected true or false" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct harness_setup s = template;
    s.yaml = cases[i].yaml;
    char *why = harness_refused(&s);
    if (!strstr(why, cases[i].text)) fail_msg("wanted \"%s\" in: %s", cases[i].text, why);
    free(why);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_record_of_every_signal),
    cmocka_unit_test(defaults),
    cmocka_unit_test(what_is_there_stays_unless_told),
    cmocka_unit_test(a_shared_batch_is_not_changed),
    cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
