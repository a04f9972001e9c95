/* Tail sampling's table of undecided traces, and the index it is made of: against lists, with memory that fails, with ids that are chosen to collide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "processors/tail_sampling/index.h"
#include "processors/tail_sampling/table.h"
#include "tests/unit/support/failing_alloc.h"

#define IDS 20000u

static uint64_t rnd = 7;

static uint32_t below(uint32_t n) {
  rnd = rnd * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((rnd >> 33) % n);
}

static void id_of(uint64_t n, uint8_t id[16]) {
  memset(id, 0, 16);
  memcpy(id + 8, &n, 8);
}

static struct ts_trace *find(const struct ts_table *t, uint64_t n) {
  uint8_t id[16];
  id_of(n, id);
  return ts_table_find(t, id, ts_table_hash(t, id));
}

static struct ts_trace *add(struct ts_table *t, uint64_t n) {
  uint8_t id[16];
  id_of(n, id);
  return ts_table_add(t, id, ts_table_hash(t, id));
}

/* --- the table ---------------------------------------------------------------------------------------------- */

static struct ts_trace *there[IDS];
static uint64_t born[IDS];

static void one_step(struct ts_table *t, uint64_t now) {
  uint32_t k = below(IDS);
  uint64_t n = ts_table_count(t), bytes = ts_table_bytes(t);
  assert_ptr_equal(find(t, k), there[k]);
  if (there[k] && below(2)) {
    if (below(3)) ts_table_root(t, there[k]);
    else ts_table_unroot(t, there[k]);
  } else if (there[k]) {
    assert_int_equal(there[k]->facts.bits[1], k);
    ts_table_remove(t, there[k]);
    there[k] = NULL;
  } else if ((there[k] = add(t, k)) != NULL) {
    for (const char *p = (char *)&there[k]->newest, *end = (char *)there[k]->facts.id; p < end; p++) assert_int_equal(*p, 0);
    assert_int_equal(there[k]->facts.bits[0] | there[k]->facts.bits[1] | there[k]->facts.bytes, 0);
    there[k]->facts.bits[1] = k;
    born[k] = now;
  } else {
    assert_int_equal(ts_table_count(t), n);
    assert_true(ts_table_bytes(t) >= bytes);
  }
  assert_int_equal(ts_table_bytes(t), alloc_live);
}

static void check_orders(const struct ts_table *t) {
  uint64_t n = 0, last = 0;
  for (const struct ts_trace *e = ts_table_oldest(t); e; e = e->newer, n++) {
    uint64_t k = e->facts.bits[1];
    assert_ptr_equal(there[k], e);
    assert_true(born[k] > last);
    last = born[k];
    assert_true(!e->newer || e->newer->older == e);
  }
  assert_int_equal(n, ts_table_count(t));
  uint64_t roots = 0;
  for (const struct ts_trace *e = ts_table_oldest(t); e; e = e->newer) roots += e->in_roots;
  for (const struct ts_trace *e = ts_table_oldest_root(t); e; e = e->root_newer, roots--) assert_true(e->in_roots && (!e->root_newer || e->root_newer->root_older == e));
  assert_int_equal(roots, 0);
}

static void random_operations_agree_with_a_list(void **state) {
  (void)state;
  struct ts_table *t = ts_table_new(2);
  uint64_t idle = ts_table_bytes(t);
  for (uint64_t i = 1; i < 400000; i++) {
    alloc_fail_one_in = i / 50000 % 2 ? 3 : 0;
    one_step(t, i);
    if (i % 20000 == 0) check_orders(t);
  }
  alloc_fail_one_in = 0;
  for (uint32_t k = 0; k < IDS; k++)
    if (there[k]) ts_table_remove(t, there[k]);
  assert_int_equal(ts_table_count(t), 0);
  assert_null(ts_table_oldest(t));
  assert_null(ts_table_oldest_root(t));
  assert_true(ts_table_bytes(t) < idle + IDS / 64 * 16 + 64 * (sizeof(struct ts_trace) + 16) + 64); /* one slab, and the list of slabs */
  ts_table_free(t);
  assert_int_equal(alloc_live, 0);
}

/* 150,000 traces: the index of them takes 11 to 22 bytes each, and memory goes back as they go. */
static void memory_follows_the_count(void **state) {
  (void)state;
  struct ts_table *t = ts_table_new(1);
  uint64_t entry = sizeof(struct ts_trace) + 8;
  for (uint32_t i = 0; i < 150000; i++) {
    assert_non_null(add(t, i));
    if (i > 20000) assert_true(ts_table_bytes(t) < (i + 1) * (entry + 24) + 20000);
  }
  for (uint32_t i = 0; i < 150000; i++) {
    struct ts_trace *oldest = ts_table_oldest(t);
    assert_ptr_equal(find(t, i), oldest);
    ts_table_remove(t, oldest);
    if (i % 1000 == 0) assert_true(ts_table_bytes(t) < (150000 - i) * (entry + 80) + 100000);
  }
  assert_true(ts_table_bytes(t) < 64 * entry + 40000);
  ts_table_free(t);
  assert_int_equal(alloc_live, 0);
}

static void each_allocation_fails_in_turn(void **state) {
  (void)state;
  for (uint64_t n = 1, done = 0; !done; n++) {
    alloc_calls = 0;
    alloc_fail_at = n;
    struct ts_table *t = ts_table_new(1);
    for (uint32_t i = 0; t && i < 5000; i++) {
      struct ts_trace *e = add(t, i);
      if (!e) e = add(t, i);
      assert_ptr_equal(find(t, i), e);
      assert_int_equal(ts_table_count(t), i + 1);
    }
    done = alloc_calls < n;
    while (t && ts_table_oldest(t)) ts_table_remove(t, ts_table_oldest(t));
    alloc_fail_at = 0;
    assert_true(t || n <= 3);
    ts_table_free(t);
    assert_int_equal(alloc_live, 0);
  }
}

/* Ids that a peer would choose: low bits alike, high bits alike, one byte long, zero. With the key they are spread as any others: no hash is met more than a few times. */
static void chosen_ids_do_not_collide(void **state) {
  (void)state;
  struct ts_table *t = ts_table_new(1), *other = ts_table_new_like(t, 4), *fresh = ts_table_new(1);
  static uint8_t seen[1 << 20];
  uint8_t id[16] = { 0 };
  uint32_t most = 0;
  assert_non_null(add(t, 0));
  for (uint64_t n = 1; n < 200000; n++) {
    uint64_t high[2] = { n << (n % 3 ? 40 : 0), n % 3 == 1 ? n << 32 : 0 };
    memcpy(id, high, 16);
    uint64_t h = ts_table_hash(t, id);
    uint32_t at = (uint32_t)h & ((1 << 20) - 1);
    if (++seen[at] > most) most = seen[at];
    assert_non_null(ts_table_add(t, id, h));
    assert_true(ts_table_hash(other, id) == h);
  }
  assert_true(most < 12);
  assert_true(ts_table_hash(fresh, id) != ts_table_hash(t, id));
  assert_non_null(find(t, 0));
  ts_table_free(t);
  ts_table_free(other);
  ts_table_free(fresh);
}

/* --- the index with hashes that are bad: it is slow, not wrong --------------------------------------------- */

static void equal_hashes_are_all_found(void **state) {
  (void)state;
  struct ts_index ix;
  struct ts_index_at at;
  static uint8_t found[10000];
  assert_int_equal(ts_index_init(&ix), 0);
  for (uint32_t i = 0; i < 10000; i++) assert_int_equal(ts_index_add(&ix, i % 2 ? 0x80000fffu : 0xffffffffu, i), 0);
  uint32_t n = 0;
  for (uint32_t i = ts_index_first(&ix, 0x80000fffu, &at); i != TS_INDEX_NONE; i = ts_index_next(&at), n++) assert_true(i % 2 && !found[i]++);
  assert_int_equal(n, 5000);
  for (uint32_t i = 0; i < 10000; i++) ts_index_remove(&ix, i % 2 ? 0x80000fffu : 0xffffffffu, i);
  assert_int_equal(ix.n, 0);
  assert_int_equal(ix.bytes, alloc_live);
  assert_true(ix.bytes < 256);
  ts_index_done(&ix);
  assert_int_equal(alloc_live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(random_operations_agree_with_a_list),
    cmocka_unit_test(memory_follows_the_count),
    cmocka_unit_test(each_allocation_fails_in_turn),
    cmocka_unit_test(chosen_ids_do_not_collide),
    cmocka_unit_test(equal_hashes_are_all_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
