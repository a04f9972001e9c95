/* plugins/kit/metadata_keys: which contexts have the same values, and what is picked of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/kit/metadata_keys.h"

#define P(name, value) { { name, sizeof name - 1, 0 }, { value, sizeof value - 1, 0 } }
#define CONTEXT(pairs) { .size = sizeof(struct weir_context), .metadata = pairs, .n_metadata = sizeof pairs / sizeof *pairs }

static const char *const names[] = { "X-Tenant", "zone" };
static const struct weir_strings two = { names, 2 };
static struct kit_metadata_keys keys;

static int setup(void **state) {
  (void)state;
  return kit_metadata_keys_init(&keys, &two);
}

static int teardown(void **state) {
  (void)state;
  kit_metadata_keys_done(&keys);
  assert_null(keys.v);
  kit_metadata_keys_done(&keys);
  return 0;
}

static void same(int expected, const struct weir_context *x, const struct weir_context *y) {
  assert_int_equal(kit_metadata_same(&keys, x, y), expected);
  assert_int_equal(kit_metadata_same(&keys, y, x), expected);
  assert_int_equal(kit_metadata_hash(&keys, x) == kit_metadata_hash(&keys, y), expected);
}

static void values_of_the_keys_alone_make_the_identity(void **state) {
  (void)state;
  static const struct weir_pair a[] = { P("other", "1"), P("x-tenant", "a") }, b[] = { P("x-tenant", "a"), P("y", "2") }, c[] = { P("x-tenant", "b") },
                                upper[] = { P("x-tenant", "A") }, zone[] = { P("zone", "a") };
  struct weir_context ca = CONTEXT(a), cb = CONTEXT(b), cc = CONTEXT(c), cu = CONTEXT(upper), cz = CONTEXT(zone);
  same(1, &ca, &cb);
  same(0, &ca, &cc);
  same(0, &ca, &cu); /* values keep their case */
  same(0, &ca, &cz); /* the same value of another key */
  same(1, NULL, NULL);
}

static void none_empty_and_several_differ(void **state) {
  (void)state;
  static const struct weir_pair none[] = { P("other", "1") }, empty[] = { P("x-tenant", "") }, ab[] = { P("x-tenant", "a"), P("x-tenant", "b") },
                                ba[] = { P("x-tenant", "b"), P("x-tenant", "a") }, joined[] = { P("x-tenant", "ab") };
  struct weir_context cn = CONTEXT(none), ce = CONTEXT(empty), cab = CONTEXT(ab), cba = CONTEXT(ba), cj = CONTEXT(joined);
  same(1, &cn, NULL);
  same(0, &cn, &ce);
  same(0, &cab, &cba);
  same(0, &cab, &cj);
  same(0, &ce, &cj);
}

/* Whoever could compute it could send values that share a bucket. */
static void each_holders_hash_has_a_key_of_its_own(void **state) {
  (void)state;
  static const struct weir_pair a[] = { P("x-tenant", "a") };
  struct weir_context c = CONTEXT(a);
  struct kit_metadata_keys other;
  assert_int_equal(kit_metadata_keys_init(&other, &two), 0);
  assert_true(kit_metadata_hash(&keys, &c) == kit_metadata_hash(&keys, &c));
  assert_true(kit_metadata_hash(&keys, &c) != kit_metadata_hash(&other, &c));
  kit_metadata_keys_done(&other);
}

static void the_keys_pairs_are_picked(void **state) {
  (void)state;
  static const struct weir_pair all[] = { P("a", "1"), P("x-tenant", "t"), P("x-tenant", "u"), P("y", "2"), P("zone", "z") };
  struct weir_context c = CONTEXT(all);
  struct weir_pair to[5];
  assert_int_equal(kit_metadata_pick(&keys, &c, to), 3);
  assert_true(weir_str_eq(to[0].value, weir_str_of("t")));
  assert_true(weir_str_eq(to[1].value, weir_str_of("u")));
  assert_true(weir_str_eq(to[2].name, weir_str_of("zone")));
  assert_int_equal(kit_metadata_pick(&keys, NULL, to), 0);
}

static void without_keys_all_are_the_same(void **state) {
  (void)state;
  static const struct weir_pair a[] = { P("x-tenant", "a") };
  static const struct weir_strings no_names = { NULL, 0 };
  struct weir_context c = CONTEXT(a);
  struct kit_metadata_keys none;
  assert_int_equal(kit_metadata_keys_init(&none, &no_names), 0);
  assert_true(kit_metadata_same(&none, &c, NULL));
  assert_int_equal(kit_metadata_hash(&none, &c), kit_metadata_hash(&none, NULL));
}

static void names_twice_and_too_many_are_refused(void **state) {
  (void)state;
  static const char *const twice[] = { "a", "b", "A" };
  char text[KIT_METADATA_KEYS_MAX + 1][8];
  const char *many[KIT_METADATA_KEYS_MAX + 1];
  struct weir_error err = { 0 };
  assert_int_equal(kit_metadata_keys_check(&two, "f", &err), 0);
  assert_int_equal(kit_metadata_keys_check(&(struct weir_strings){ twice, 3 }, "f.keys", &err), WEIR_E_CONFIG);
  assert_string_equal(err.field, "f.keys");
  assert_string_equal(err.msg, "duplicate entry in metadata_keys: \"A\" (case-insensitive)");
  for (uint32_t i = 0; i <= KIT_METADATA_KEYS_MAX; i++) {
    snprintf(text[i], sizeof text[i], "k%u", i);
    many[i] = text[i];
  }
  assert_int_equal(kit_metadata_keys_check(&(struct weir_strings){ many, KIT_METADATA_KEYS_MAX }, "f", &err), 0);
  assert_int_equal(kit_metadata_keys_check(&(struct weir_strings){ many, KIT_METADATA_KEYS_MAX + 1 }, "f", &err), WEIR_E_CONFIG);
  assert_string_equal(err.msg, "more than 32 keys");
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(values_of_the_keys_alone_make_the_identity), T(none_empty_and_several_differ), T(each_holders_hash_has_a_key_of_its_own), T(the_keys_pairs_are_picked),
    T(without_keys_all_are_the_same), T(names_twice_and_too_many_are_refused) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
