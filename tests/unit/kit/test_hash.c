/* plugins/kit/hash: SipHash-1-3 against OpenSSL's, what several texts are told apart by, and that a table's chains stay short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/kit/hash.h"

/* The reference's key 00 01 .. 0f and texts 00 01 02 ..: the values are those of `openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt size:8
 * -macopt c-rounds:1 -macopt d-rounds:3 SIPHASH`, whose bytes are the number's from the lowest on. */
static const struct kit_hash_key reference = { { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u } };
static const struct {
  size_t n;
  uint64_t hash;
} vectors[] = { { 0, 0xabac0158050fc4dcu }, { 1, 0xc9f49bf37d57ca93u }, { 2, 0x82cb9b024dc7d44du }, { 7, 0xd3927d989bb11140u }, { 8, 0x369095118d299a8eu },
  { 9, 0x25a48eb36c063de4u }, { 15, 0xd320d86d2a519956u }, { 63, 0x9d199062b7bbb3a8u } };

static void it_is_siphash_1_3(void **state) {
  (void)state;
  char text[64];
  for (int i = 0; i < 64; i++) text[i] = (char)i;
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) assert_true(kit_hash(&reference, text, vectors[i].n) == vectors[i].hash);
}

static void keys_are_drawn_at_random(void **state) {
  (void)state;
  struct kit_hash_key a = { { 0, 0 } }, b = { { 0, 0 } };
  kit_hash_key_draw(&a);
  kit_hash_key_draw(&b);
  assert_true(a.k[0] != b.k[0] && a.k[1] != b.k[1]);
  assert_true(kit_hash(&a, "x", 1) != kit_hash(&b, "x", 1));
}

static uint64_t of_two(const char *a, size_t n, const char *b, size_t m) {
  struct kit_hash_state s;
  kit_hash_begin(&s, &reference);
  kit_hash_text(&s, a, n);
  kit_hash_text(&s, b, m);
  return kit_hash_end(&s);
}

static void where_a_text_ends_counts(void **state) {
  (void)state;
  assert_true(of_two("ab", 2, "c", 1) == of_two("ab", 2, "c", 1));
  assert_true(of_two("ab", 2, "c", 1) != of_two("a", 1, "bc", 2));
  assert_true(of_two("", 0, "abc", 3) != of_two("abc", 3, "", 0));
  assert_true(of_two("12345678", 8, "", 0) != of_two("12345678\0\0\0\0\0\0\0\0", 16, "", 0));
  assert_true(of_two("a", 1, "", 0) != of_two("a\0", 2, "", 0)); /* the rest is filled with zeros */
}

#define MANY 100000u

static size_t chain_of(const struct kit_table *t, size_t bucket) {
  size_t n = 0;
  for (const struct kit_node *e = t->buckets[bucket]; e; e = e->next) n++;
  return n;
}

static void chains_stay_short(void **state) {
  (void)state;
  struct kit_table t = { 0 };
  struct kit_node *all = calloc(MANY, sizeof *all);
  size_t longest = 0;
  assert_non_null(all);
  for (uint32_t i = 0; i < MANY; i++) assert_int_equal(kit_table_add(&t, &all[i], kit_hash(&reference, (const char *)&i, sizeof i)), 0);
  assert_int_equal(t.n, MANY);
  for (size_t i = 0; i < t.n_buckets; i++) longest = chain_of(&t, i) > longest ? chain_of(&t, i) : longest;
  assert_in_range(longest, 1, 16);
  for (uint32_t i = 0; i < MANY; i += 2) kit_table_remove(&t, &all[i]);
  for (uint32_t i = 0; i < MANY; i++) {
    const struct kit_node *found = kit_table_first(&t, kit_hash(&reference, (const char *)&i, sizeof i));
    assert_ptr_equal(found, i % 2 ? &all[i] : NULL);
  }
  kit_table_done(&t);
  free(all);
}

static void entries_of_one_hash_are_all_found(void **state) {
  (void)state;
  struct kit_table t = { 0 };
  struct kit_node a, b, other;
  assert_null(kit_table_first(&t, 7));
  assert_int_equal(kit_table_add(&t, &a, 7) + kit_table_add(&t, &other, 7 + (1u << 20)) + kit_table_add(&t, &b, 7), 0);
  struct kit_node *first = kit_table_first(&t, 7), *second = kit_table_next(first);
  assert_ptr_equal(first, &b);
  assert_ptr_equal(second, &a);
  assert_null(kit_table_next(second));
  kit_table_done(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(it_is_siphash_1_3), cmocka_unit_test(keys_are_drawn_at_random), cmocka_unit_test(where_a_text_ends_counts),
    cmocka_unit_test(chains_stay_short), cmocka_unit_test(entries_of_one_hash_are_all_found) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
