/* What tail sampling remembers of decided traces: order, bounds, false positives, memory that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/kit/hash.h"
#include "processors/tail_sampling/memory.h"
#include "tests/unit/support/failing_alloc.h"

static const struct kit_hash_key key = { { 1, 2 } };

struct trace {
  uint8_t id[16];
  uint64_t hash;
};

static struct trace trace_of(uint64_t n) {
  struct trace t = { { 0 }, 0 };
  memcpy(t.id + 4, &n, 8);
  t.hash = kit_hash(&key, (const char *)t.id, 16);
  return t;
}

static int find(const struct ts_memory *m, uint64_t n, struct ts_remembered *ret) {
  struct trace t = trace_of(n);
  return ts_memory_find(m, t.id, t.hash, ret);
}

static void keep(struct ts_memory *m, uint64_t n, uint16_t policy) {
  struct trace t = trace_of(n);
  ts_memory_keep(m, t.id, t.hash, (struct ts_remembered){ policy, n * 3 });
}

static void drop(struct ts_memory *m, uint64_t n) {
  struct trace t = trace_of(n);
  ts_memory_drop(m, t.id, t.hash);
}

static void kept_ones_are_exact_and_the_oldest_goes(void **state) {
  (void)state;
  static const uint64_t limits[] = { 1, 2, 1000, 1024, 1025, 30000 };
  struct ts_remembered r;
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    uint64_t max = limits[i];
    struct ts_memory *m = ts_memory_new(max, 0);
    for (uint64_t n = 0; n < 3 * max + 5; n++) {
      keep(m, n, (uint16_t)n);
      if (n % 7 == 0) keep(m, n, (uint16_t)(n + 1)); /* again: its place in the order is the first */
      assert_int_equal(find(m, n + 1, &r), TS_FORGOTTEN);
      assert_int_equal(find(m, n < max ? 0 : n - max + 1, &r), TS_WAS_KEPT);
      if (n >= max) assert_int_equal(find(m, n - max, &r), TS_FORGOTTEN);
    }
    for (uint64_t n = 2 * max + 5; n < 3 * max + 5; n++) {
      assert_int_equal(find(m, n, &r), TS_WAS_KEPT);
      assert_int_equal(r.policy, (uint16_t)(n + (n % 7 == 0)));
      assert_int_equal(r.threshold, n * 3);
    }
    assert_int_equal(ts_memory_bytes(m), alloc_live);
    ts_memory_free(m);
    assert_int_equal(alloc_live, 0);
  }
}

static void dropped_ones_are_remembered_up_to_the_limit(void **state) {
  (void)state;
  static const uint64_t limits[] = { 1, 2, 3, 31, 1000, 3072, 3073, 100000 };
  struct ts_remembered r;
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    uint64_t max = limits[i], end = 5 * max + 10, forgotten = 0;
    struct ts_memory *m = ts_memory_new(0, max);
    assert_true(ts_memory_bytes(m) < 400 + max / 50);
    for (uint64_t n = 0; n < end; n++) {
      drop(m, n);
      assert_int_equal(find(m, n, &r), TS_WAS_DROPPED);
      assert_int_equal(find(m, n + 1, &r), TS_FORGOTTEN);
      if (n % 97 == 0 && n >= max) assert_int_equal(find(m, n - max + 1 + n % max, &r), TS_WAS_DROPPED);
    }
    for (uint64_t n = end - max; n < end; n++) assert_int_equal(find(m, n, &r), TS_WAS_DROPPED);
    for (uint64_t n = 0; n < end - max * 22 / 10 - 1; n++) forgotten += find(m, n, &r) == TS_FORGOTTEN;
    assert_true(forgotten >= (end - max * 22 / 10 - 1) * 99 / 100);
    assert_int_equal(ts_memory_bytes(m), alloc_live);
    ts_memory_free(m);
  }
}

/* With full tables at most one lookup in 2^31 is answered wrong. That many would take too long: here 16 of the bits that tell fingerprints apart are the same in all hashes, which makes wrong answers
 * 2^16 times as frequent, so at most one in 2^15. */
static void false_positives_are_rare(void **state) {
  (void)state;
  struct ts_memory *m = ts_memory_new(0, 1000000);
  struct ts_remembered r;
  uint8_t id[16] = { 0 };
  uint64_t wrong = 0, lookups = 1u << 22, same = ~(0xffffull << 32);
  for (uint64_t n = 0; n < 2200000; n++) ts_memory_drop(m, id, trace_of(n).hash & same);
  for (uint64_t n = 0; n < lookups; n++) wrong += ts_memory_find(m, id, trace_of(n + (1u << 30)).hash & same, &r) != TS_FORGOTTEN;
  print_message("%llu of %llu lookups wrong, 2^16 times as many as there would be\n", (unsigned long long)wrong, (unsigned long long)lookups);
  assert_true(wrong <= lookups >> 15);
  assert_true(wrong > 0); /* the test sees them */
  ts_memory_free(m);
}

/* The limits that are told for so many bytes hold them. */
static void bytes_are_bounded(void **state) {
  (void)state;
  static const uint64_t sizes[] = { 4000, 40000, 1000000, 3000000 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint64_t bytes = sizes[i], kept = ts_memory_kept_in(bytes), dropped = ts_memory_dropped_in(bytes);
    assert_true(kept > bytes / 60 && dropped > bytes / 20);
    struct ts_memory *m = ts_memory_new(kept, dropped);
    uint64_t empty = ts_memory_bytes(m);
    assert_true(empty < 1000 + bytes / 1000);
    for (uint64_t n = 0; n < 3 * kept; n++) {
      keep(m, n, 1);
      assert_true(ts_memory_bytes(m) <= bytes + 1000);
    }
    uint64_t so_far = ts_memory_bytes(m);
    for (uint64_t n = 0; n < 3 * dropped; n++) {
      drop(m, n);
      assert_true(ts_memory_bytes(m) <= so_far + bytes + 1000);
    }
    assert_int_equal(ts_memory_bytes(m), alloc_live);
    ts_memory_free(m);
  }
}

static void kept_comes_before_dropped(void **state) {
  (void)state;
  struct ts_memory *m = ts_memory_new(10, 10), *none = ts_memory_new(0, 0);
  struct ts_remembered r;
  drop(m, 1);
  keep(m, 1, 9);
  assert_int_equal(find(m, 1, &r), TS_WAS_KEPT);
  keep(m, 2, 9);
  drop(m, 2);
  assert_int_equal(find(m, 2, &r), TS_WAS_KEPT);
  keep(none, 1, 1);
  drop(none, 1);
  assert_int_equal(find(none, 1, &r), TS_FORGOTTEN);
  ts_memory_free(m);
  ts_memory_free(none);
  ts_memory_free(ts_memory_new(UINT64_MAX, 0));
}

/* Fingerprints and ids that are all alike, or zero. */
static void bad_hashes_are_not_wrong(void **state) {
  (void)state;
  struct ts_memory *m = ts_memory_new(2000, 10000);
  struct ts_remembered r;
  uint8_t id[16] = { 0 };
  ts_memory_drop(m, id, 0);
  assert_int_equal(ts_memory_find(m, id, 0, &r), TS_WAS_DROPPED);
  for (uint32_t n = 0; n < 3000; n++) {
    memcpy(id, &n, 4);
    ts_memory_keep(m, id, 5, (struct ts_remembered){ 1, n });
    ts_memory_drop(m, id, (uint64_t)n << 34 | 0xffffffffu);
    assert_int_equal(ts_memory_find(m, id, (uint64_t)n << 34 | 0xffffffffu, &r), TS_WAS_DROPPED);
    assert_int_equal(ts_memory_find(m, id, 5, &r), TS_WAS_KEPT);
    assert_int_equal(r.threshold, n);
  }
  ts_memory_free(m);
}

static void without_memory_it_is_not_remembered(void **state) {
  (void)state;
  struct ts_remembered r;
  assert_int_equal(alloc_live, 0);
  for (uint64_t n = 1; n < 5; n++) {
    alloc_calls = 0;
    alloc_fail_at = n;
    ts_memory_free(ts_memory_new(10, 10));
    assert_int_equal(alloc_live, 0);
  }
  alloc_fail_at = 0;
  struct ts_memory *m = ts_memory_new(5000, 20000);
  for (uint64_t n = 0; n < 200000; n++) {
    alloc_fail_one_in = n / 1000 % 2 ? 2 : 1; /* half of them, all of them */
    keep(m, n, 1);
    drop(m, n + (1u << 30));
    assert_int_equal(ts_memory_bytes(m), alloc_live);
  }
  for (uint64_t n = 200000; n < 300000; n++) {
    alloc_fail_one_in = 0;
    keep(m, n, 1);
    drop(m, n + (1u << 30));
    assert_int_equal(find(m, n, &r), TS_WAS_KEPT);
    assert_int_equal(find(m, n + (1u << 30), &r), TS_WAS_DROPPED);
  }
  for (uint64_t n = 295000; n < 300000; n++) assert_int_equal(find(m, n, &r), TS_WAS_KEPT);
  for (uint64_t n = 0; n < 295000; n++) assert_int_equal(find(m, n, &r), TS_FORGOTTEN);
  ts_memory_free(m);
  assert_int_equal(alloc_live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(kept_ones_are_exact_and_the_oldest_goes),
    cmocka_unit_test(dropped_ones_are_remembered_up_to_the_limit),
    cmocka_unit_test(false_positives_are_rare),
    cmocka_unit_test(bytes_are_bounded),
    cmocka_unit_test(kept_comes_before_dropped),
    cmocka_unit_test(bad_hashes_are_not_wrong),
    cmocka_unit_test(without_memory_it_is_not_remembered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
