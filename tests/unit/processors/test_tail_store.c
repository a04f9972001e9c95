/* Tail sampling's store: against a naive model, with memory that fails, with damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/otlp.h"
#include "tests/unit/support/failing_alloc.h"
#include "tests/unit/support/tail_model.h"

ZSTD_CCtx *__real_ZSTD_createCCtx(void);
ZSTD_DCtx *__real_ZSTD_createDCtx(void);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
ZSTD_DCtx *__wrap_ZSTD_createDCtx(void);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void) { return alloc_fails() ? NULL : __real_ZSTD_createCCtx(); }
ZSTD_DCtx *__wrap_ZSTD_createDCtx(void) { return alloc_fails() ? NULL : __real_ZSTD_createDCtx(); }

static struct model m;
static uint64_t idle; /* bytes of an empty store */
static size_t base;   /* what else is held */

static uint64_t rnd = 7;

static uint32_t below(uint32_t n) {
  rnd = rnd * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((rnd >> 33) % n);
}

static void begin(void) {
  struct ts_store_stats st;
  base = alloc_live;
  assert_true(model_start(&m));
  ts_store_stats(m.store, &st);
  idle = st.bytes;
  assert_true(idle < 4096);
  assert_int_equal(alloc_live - base, idle);
}

static void end(void) {
  model_end(&m);
  assert_int_equal(alloc_live, base);
}

/* Not one byte is forgotten: what malloc was asked for, beside what the codec has. */
static void bytes_are_exact(void) {
  struct ts_store_stats st;
  size_t models = m.bytes ? m.cap_bytes : 0;
  for (uint32_t i = 0; i < MODEL_TRACES; i++) models += m.traces[i].cap * sizeof(struct model_span);
  ts_store_stats(m.store, &st);
  assert_int_equal(st.bytes, alloc_live - base - models + ZSTD_sizeof_CCtx(m.store->cctx) + ZSTD_sizeof_DCtx(m.store->dctx));
}

static uint32_t some_length(void) {
  uint32_t k = below(2000);
  if (k == 0) return TS_SEGMENT_BYTES - 200 + below(200);
  if (k == 1) return TS_SEGMENT_BYTES + below(3 * TS_SEGMENT_BYTES);
  return k < 100 ? below(20000) : below(900);
}

static void some_operation(void) {
  uint32_t trace = below(MODEL_TRACES), k = below(100);
  if (k < 70) model_put(&m, trace, below(3), below(2), some_length(), below(1u << 20));
  else if (k < 79) model_check(&m, trace);
  else if (k < 88) model_release(&m, trace);
  else if (k < 95) ts_store_compress_one(m.store);
  else if (k < 99) model_batch(&m, below(20));
  else if (below(20) == 0) ts_store_trim(m.store);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OPERATIONS 20000 /* sanitizers make each of them 5 to 20 times slower */
#define STRIDE 7         /* and not every allocation fails */
#else
#define OPERATIONS 100000
#define STRIDE 1
#endif

static void random_operations_agree_with_a_model(void **state) {
  (void)state;
  struct ts_store_stats st;
  uint64_t packed = 0;
  begin();
  for (int i = 0; i < OPERATIONS; i++) {
    some_operation();
    if (i % 100 == 0) bytes_are_exact();
    ts_store_stats(m.store, &st);
    if (st.compressed_segments > packed) packed = st.compressed_segments;
  }
  assert_true(packed > 10);
  model_empty(&m, idle);
  bytes_are_exact();
  end();
}

static void allocations_that_fail_change_nothing(void **state) {
  (void)state;
  static const uint32_t one_in[] = { 2, 5, 30, 0 };
  begin();
  for (int i = 0; i < OPERATIONS / 2; i++) {
    alloc_fail_one_in = one_in[i / 500 % 4];
    some_operation();
    alloc_fail_one_in = 0;
    if (i % 100 == 0) bytes_are_exact();
  }
  model_empty(&m, idle);
  end();
}

/* Each allocation of a short life in turn. */
static int live_and_fail_at(uint64_t n) {
  alloc_calls = 0;
  alloc_fail_at = n;
  int failed = 0;
  if (!model_start(&m)) {
    alloc_fail_at = 0;
    assert_int_equal(alloc_live, base);
    return 1;
  }
  for (uint32_t i = 0; i < 1500; i++) failed += !model_put(&m, i % 4, i / 300, i / 700, 400, i * 3 + 1);
  for (int r = 1; r;) failed += (r = ts_store_compress_one(m.store)) < 0;
  for (uint32_t i = 0; i < 4; i++) failed += model_check(&m, i) != 0;
  failed += alloc_calls >= n;
  alloc_fail_at = 0;
  for (int r = 1; r;) assert_true((r = ts_store_compress_one(m.store)) >= 0);
  model_empty(&m, idle);
  end();
  return failed;
}

static void each_allocation_fails_in_turn(void **state) {
  (void)state;
  begin();
  end();
  uint64_t n = 1;
  while (live_and_fail_at(n)) n += STRIDE;
  assert_true(n > 40);
}

static void more_spans_than_a_segment_has_numbers(void **state) {
  (void)state;
  begin();
  for (uint32_t i = 0; i < 200000; i++) assert_true(model_put(&m, i % 3, 2, 2, i % 2, i));
  for (int r = 1; r;) r = ts_store_compress_one(m.store);
  model_empty(&m, idle);
  end();
}

static void damage_is_found(void **state) {
  (void)state;
  begin();
  for (uint32_t i = 0; i < 2000; i++) assert_true(model_put(&m, i % 4, 2, 2, 440, i * 3 + 1));
  assert_int_equal(ts_store_compress_one(m.store), 1);
  struct ts_segment *seg = m.store->ring[1];
  assert_int_equal(seg->state, TS_PACKED);
  for (size_t i = 0, n = 0; i < seg->block_bytes - seg->n * sizeof(struct ts_entry); i += 1 + seg->block_bytes / 400, n++) {
    struct kit_bytes out = { 0 };
    char *byte = (char *)seg->index + i;
    *byte = (char)(*byte ^ 1 << n % 8);
    ts_store_trim(m.store); /* nothing decompressed is left */
    kit_put(&out, "before", 6);
    assert_int_equal(ts_store_write(m.store, m.traces[0].newest, &out), WEIR_E_INVALID);
    assert_int_equal(out.n, 6);
    kit_bytes_free(&out);
    *byte = (char)(*byte ^ 1 << n % 8);
  }
  model_empty(&m, idle);
  end();
}

/* A span over many frames is compressed in steps, which a trim does not undo, and a release in the middle ends. */
static void long_spans_are_compressed_in_steps(void **state) {
  (void)state;
  struct ts_store_stats st;
  for (int released = 0; released < 2; released++) {
    begin();
    assert_true(model_put(&m, 0, 2, 2, 5 * TS_SEGMENT_BYTES + 1, 1));
    for (int i = 0; i < 5; i++) {
      assert_int_equal(ts_store_compress_one(m.store), 1);
      if (i % 2) ts_store_trim(m.store);
      ts_store_stats(m.store, &st);
      assert_int_equal(st.compressed_segments, 0);
    }
    if (released) {
      model_release(&m, 0);
      assert_true(model_put(&m, 0, 2, 2, TS_SEGMENT_BYTES, 2));
    }
    assert_int_equal(ts_store_compress_one(m.store), 1);
    assert_int_equal(ts_store_compress_one(m.store), 0);
    ts_store_stats(m.store, &st);
    assert_int_equal(st.compressed_segments, 1);
    bytes_are_exact();
    model_empty(&m, idle);
    end();
  }
}

static void what_does_not_compress_stays(void **state) {
  (void)state;
  struct ts_store_stats st;
  begin();
  for (uint32_t i = 0; i < 1000; i++) assert_true(model_put(&m, 0, 2, 2, 1000, i * 3));
  int steps = 0;
  while (ts_store_compress_one(m.store) == 1) steps++;
  ts_store_stats(m.store, &st);
  assert_int_equal(steps, st.segments - 1);
  assert_int_equal(st.compressed_segments, 0);
  model_empty(&m, idle);
  end();
}

/* One trace that stays, and hundreds of segments that come and go beside it. */
static void a_trace_that_stays_holds_little(void **state) {
  (void)state;
  struct ts_store_stats st;
  begin();
  assert_true(model_put(&m, 0, 2, 2, 400, 1));
  for (uint32_t i = 0; i < 200; i++) {
    assert_true(model_put(&m, 1, 2, 2, TS_SEGMENT_BYTES, 1));
    model_release(&m, 1);
  }
  ts_store_trim(m.store);
  ts_store_stats(m.store, &st);
  assert_int_equal(st.segments, 1);
  assert_true(st.bytes < TS_SEGMENT_BYTES + 256 * 8 + 4096);
  model_empty(&m, idle);
  end();
}

static struct weir_span span_of(uint64_t *ids, uint64_t id, uint64_t parent) {
  ids[0] = id;
  ids[1] = parent;
  return (struct weir_span){ .rec = { .raw = "x", .raw_n = 1 }, .span_id = { (char *)&ids[0], 8, 0 }, .parent_span_id = { (char *)&ids[1], parent ? 8 : 0, 0 } };
}

static void parents_that_are_missing_are_counted(void **state) {
  (void)state;
  uint64_t ids[2];
  struct weir_resource resource = { .flags = 0 };
  struct weir_scope scope = { .flags = 0 };
  begin();
  for (uint64_t n = 1; n <= TS_COMPLETE_MAX; n *= 2) {
    ts_ref newest = 0;
    for (uint64_t i = n; i > 0; i--) { /* children first: a chain, whose every fifth link is broken */
      struct weir_span span = span_of(ids, i << 40 | 0xff, i == 1 ? 0 : (i % 5 ? (i - 1) << 40 | 0xff : i));
      newest = ts_store_put(m.store, &resource, &scope, &span, newest);
    }
    assert_int_equal(ts_store_missing_parents(m.store, newest), n / 5);
    ts_store_release(m.store, newest);
  }
  ts_ref newest = 0;
  for (uint64_t i = 0; i <= TS_COMPLETE_MAX; i++) {
    struct weir_span span = span_of(ids, i + 1, 0);
    newest = ts_store_put(m.store, &resource, &scope, &span, newest);
  }
  assert_true(ts_store_missing_parents(m.store, newest) == UINT32_MAX);
  ts_store_release(m.store, newest);
  assert_int_equal(ts_store_missing_parents(m.store, 0), 0);
  model_empty(&m, idle);
  end();
}

/* Ids of other lengths than 8 are ids. */
static void short_ids_are_compared(void **state) {
  (void)state;
  struct weir_resource resource = { .flags = 0 };
  struct weir_scope scope = { .flags = 0 };
  struct weir_span root = { .rec = { .raw = "x", .raw_n = 1 }, .span_id = { "a", 1, 0 } }, child = { .rec = { .raw = "x", .raw_n = 1 }, .span_id = { "0123456789", 10, 0 } };
  begin();
  for (int there = 0; there < 2; there++) {
    child.parent_span_id = (struct weir_str){ there ? "a" : "b", 1, 0 };
    ts_ref newest = ts_store_put(m.store, &resource, &scope, &child, ts_store_put(m.store, &resource, &scope, &root, 0));
    assert_int_equal(ts_store_missing_parents(m.store, newest), !there);
    ts_store_release(m.store, newest);
  }
  end();
}

/* What is written is read by the decoder, spans in order. */
static void what_is_written_is_otlp(void **state) {
  (void)state;
  struct weir_resource resource = { .rec = { .raw = "\x0a\x05\x0a\x01k\x12\x00", .raw_n = 7 }, .schema_url = { "u", 1, 0 } };
  struct weir_scope scope[2] = { { .rec = { .raw = "\x0a\x01s", .raw_n = 3 } }, { .rec = { .raw = NULL }, .schema_url = { "v", 1, 0 } } };
  struct kit_bytes out = { 0 };
  struct pool *pool;
  struct weir_data data;
  struct otlp_counts counts;
  struct arena arena;
  ts_ref newest = 0;
  begin();
  pool_adopt(pool = pool_new(NULL));
  for (int i = 0; i < 9; i++) {
    char raw[3] = { 0x2a, 1, (char)('0' + i) }; /* the name */
    struct weir_span span = { .rec = { .raw = raw, .raw_n = 3 } };
    newest = ts_store_put(m.store, &resource, &scope[i / 3 % 2], &span, newest);
  }
  assert_int_equal(ts_store_write(m.store, newest, &out), 0);
  arena_init(&arena, pool, 0);
  assert_int_equal(otlp_decode(WEIR_TRACES, &arena, out.p, out.n, NULL, &data, &counts, NULL), 0);
  assert_int_equal(data.n_resources, 3);
  for (uint32_t i = 0; i < 9; i++) {
    const struct weir_resource *r = data.resources[i / 3];
    assert_int_equal(r->n_scopes, 1);
    assert_true(r->schema_url.n == 1 && r->rec.n_attrs == 1);
    assert_int_equal(r->scopes[0]->name.n, i / 3 != 1);
    assert_int_equal(r->scopes[0]->schema_url.n, i / 3 == 1);
    assert_int_equal(r->scopes[0]->u.spans[i % 3]->name.p[0], '0' + i);
  }
  ts_store_release(m.store, newest);
  arena_done(&arena);
  kit_bytes_free(&out);
  model_end(&m);
  pool_adopt(NULL);
  pool_free(pool);
  assert_int_equal(alloc_live, 0);
}

/* Thousands of resources at once, and none when they are gone. */
static void interned_is_what_is_used(void **state) {
  (void)state;
  struct ts_store_stats st;
  struct weir_scope scope = { .flags = 0 };
  static ts_ref refs[50000];
  char text[16];
  begin();
  for (uint32_t round = 0; round < 2; round++)
    for (uint32_t i = 0; i < 50000; i++) {
      struct weir_resource resource = { .rec = { .raw = text, .raw_n = (uint32_t)snprintf(text, sizeof text, "%u", i) } };
      struct weir_span span = { .rec = { .raw = "x", .raw_n = 1 } };
      ts_store_batch(m.store);
      refs[i] = ts_store_put(m.store, &resource, &scope, &span, refs[i]);
    }
  ts_store_stats(m.store, &st);
  assert_int_equal(st.interned, 50000);
  for (uint32_t i = 0; i < 50000; i++) ts_store_release(m.store, refs[i * 7919u % 50000]);
  model_empty(&m, idle);
  end();
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(random_operations_agree_with_a_model),
    cmocka_unit_test(allocations_that_fail_change_nothing),
    cmocka_unit_test(each_allocation_fails_in_turn),
    cmocka_unit_test(more_spans_than_a_segment_has_numbers),
    cmocka_unit_test(damage_is_found),
    cmocka_unit_test(long_spans_are_compressed_in_steps),
    cmocka_unit_test(what_does_not_compress_stays),
    cmocka_unit_test(a_trace_that_stays_holds_little),
    cmocka_unit_test(parents_that_are_missing_are_counted),
    cmocka_unit_test(short_ids_are_compared),
    cmocka_unit_test(what_is_written_is_otlp),
    cmocka_unit_test(interned_is_what_is_used),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
