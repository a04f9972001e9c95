/* gzip and zlib bodies: round trips, concatenated members, damage, and limits that hold whatever the ratio. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/compress.h"

static struct budget budget;
static struct pool *pool;

static int setup(void **state) {
  (void)state;
  budget_init(&budget, 64u << 20);
  pool = pool_new(&budget);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  pool_free(pool);
  compress_thread_done();
  assert_int_equal(atomic_load(&budget.used), 0);
  return 0;
}

static struct weir_body *deflate_of(const char *encoding, const void *p, size_t n) {
  struct weir_iov iov = { p, n };
  struct weir_body *body = NULL;
  struct weir_error err = { 0 };
  assert_int_equal(compress_deflate(pool, encoding, 1, &iov, 1, &body, &err), 0);
  return body;
}

static int inflate_to(const char *encoding, const void *p, size_t n, uint64_t max, struct weir_body **ret, struct weir_error *err) {
  memset(err, 0, sizeof *err);
  *ret = NULL;
  return compress_inflate(pool, weir_str_of(encoding), p, n, max, 0, ret, err);
}

static void what_is_deflated_inflates_to_the_same(void **state) {
  (void)state;
  static const size_t sizes[] = { 0, 1, 17, 511, 4096, 65537, 3000000 };
  static const char *const encodings[] = { "gzip", "deflate" };
  struct weir_error err;
  for (size_t e = 0; e < 2; e++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      size_t n = sizes[i];
      char *plain = malloc(n + 1);
      uint32_t x = 1;
      for (size_t k = 0; k < n; k++) plain[k] = (char)((x = x * 1664525u + 1013904223u) >> (k % 3 ? 28 : 20));
      struct weir_body *small = deflate_of(encodings[e], plain, n), *back;
      assert_int_equal(inflate_to(encodings[e], small->p, small->n, n ? n : 1, &back, &err), 0);
      assert_int_equal(back->n, n);
      assert_memory_equal(back->p, plain, n);
      body_free(back);
      if (n > 1) assert_int_equal(inflate_to(encodings[e], small->p, small->n, n - 1, &back, &err), WEIR_E_LIMIT);
      body_free(small);
      free(plain);
    }
}

static void pieces_are_gathered_in_order(void **state) {
  (void)state;
  struct weir_iov iov[3] = { { "one ", 4 }, { "", 0 }, { "two", 3 } };
  struct weir_body *small = NULL, *back;
  struct weir_error err = { 0 };
  assert_int_equal(compress_deflate(pool, "gzip", 6, iov, 3, &small, &err), 0);
  assert_int_equal(inflate_to("gzip", small->p, small->n, 100, &back, &err), 0);
  assert_int_equal(back->n, 7);
  assert_memory_equal(back->p, "one two", 7);
  body_free(small);
  body_free(back);
}

static void concatenated_members_are_one_body(void **state) {
  (void)state;
  struct weir_body *a = deflate_of("gzip", "hello ", 6), *b = deflate_of("gzip", "world", 5), *back;
  struct weir_error err;
  char both[256];
  memcpy(both, a->p, a->n);
  memcpy(both + a->n, b->p, b->n);
  assert_int_equal(inflate_to("gzip", both, a->n + b->n, 100, &back, &err), 0);
  assert_int_equal(back->n, 11);
  assert_memory_equal(back->p, "hello world", 11);
  body_free(back);
  assert_int_equal(inflate_to("gzip", both, a->n + b->n, 10, &back, &err), WEIR_E_LIMIT);
  body_free(a);
  body_free(b);
}

static void damage_is_told(void **state) {
  (void)state;
  struct weir_body *a = deflate_of("gzip", "hello world, hello world", 24), *back;
  struct weir_error err;
  char bytes[256];
  for (size_t cut = 0; cut < a->n; cut++) {
    char *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees a read past the end */
    memcpy(exact, a->p, cut);
    assert_int_equal(inflate_to("gzip", exact, cut, 1000, &back, &err), WEIR_E_INVALID);
    assert_true(err.msg[0] != 0);
    free(exact);
  }
  for (size_t i = 0; i < a->n; i++) { /* a changed byte is found by a check or changes nothing that matters (the header's time and system) */
    memcpy(bytes, a->p, a->n);
    bytes[i] ^= 0x10;
    int r = inflate_to("gzip", bytes, a->n, 1000, &back, &err);
    if (r == 0) assert_memory_equal(back->p, "hello world, hello world", 24);
    body_free(back);
  }
  memcpy(bytes, a->p, a->n);
  memcpy(bytes + a->n, "rest", 4);
  assert_int_equal(inflate_to("gzip", bytes, a->n + 4, 1000, &back, &err), WEIR_E_INVALID);
  body_free(a);
  struct weir_body *z = deflate_of("deflate", "x", 1);
  memcpy(bytes, z->p, z->n);
  bytes[z->n] = 0;
  assert_int_equal(inflate_to("deflate", bytes, z->n + 1, 1000, &back, &err), WEIR_E_INVALID);
  body_free(z);
}

static void a_bomb_is_refused_within_the_limit(void **state) {
  (void)state;
  size_t n = 50u << 20;
  char *zeros = calloc(1, n);
  struct pool *own = pool_new(NULL);
  struct weir_iov iov = { zeros, n };
  struct weir_body *bomb = NULL, *back;
  struct weir_error err = { 0 };
  assert_int_equal(compress_deflate(own, "gzip", 9, &iov, 1, &bomb, &err), 0);
  free(zeros);
  assert_true(bomb->n < n / 900);
  budget_init(&budget, 3u << 20); /* the doubling holds the old and the new body for a moment */
  assert_int_equal(inflate_to("gzip", bomb->p, bomb->n, 1u << 20, &back, &err), WEIR_E_LIMIT);
  assert_non_null(strstr(err.msg, "limit"));
  assert_int_equal(atomic_load(&budget.refused), 0);
  /* The size that gzip states at its end lies: small for a bomb, large for nothing. */
  memset(bomb->p + bomb->n - 4, 0, 4);
  assert_int_not_equal(inflate_to("gzip", bomb->p, bomb->n, 1u << 20, &back, &err), 0);
  struct weir_body *tiny = deflate_of("gzip", "tiny", 4);
  memset(tiny->p + tiny->n - 4, 0xff, 4);
  assert_int_equal(inflate_to("gzip", tiny->p, tiny->n, 1ull << 40, &back, &err), WEIR_E_INVALID);
  assert_int_equal(atomic_load(&budget.refused), 0);
  body_free(tiny);
  body_free(bomb);
  pool_free(own);
}

static void the_byte_budget_refuses_with_nomem(void **state) {
  (void)state;
  size_t n = 4u << 20;
  char *zeros = calloc(1, n);
  struct weir_body *small = deflate_of("gzip", zeros, n), *back;
  struct weir_error err;
  free(zeros);
  budget.limit = atomic_load(&budget.used) + (1u << 20);
  assert_int_equal(inflate_to("gzip", small->p, small->n, 8u << 20, &back, &err), WEIR_E_NOMEM);
  /* What empties the queues is not refused. */
  assert_int_equal(compress_inflate(pool, weir_str_of("gzip"), small->p, small->n, 8u << 20, 1, &back, &err), 0);
  assert_int_equal(back->n, n);
  struct weir_body *out = deflate_of("gzip", back->p, back->n);
  assert_true(atomic_load(&budget.used) > budget.limit);
  body_free(out);
  body_free(back);
  body_free(small);
}

static void other_encodings_are_named(void **state) {
  (void)state;
  struct weir_body *back = NULL;
  struct weir_error err;
  assert_int_equal(inflate_to("br", "x", 1, 100, &back, &err), WEIR_E_UNSUPPORTED);
  assert_non_null(strstr(err.msg, "br"));
  struct weir_iov iov = { "x", 1 };
  assert_int_equal(compress_deflate(pool, "zstd", 1, &iov, 1, &back, &err), WEIR_E_UNSUPPORTED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(what_is_deflated_inflates_to_the_same, setup, teardown),
    cmocka_unit_test_setup_teardown(pieces_are_gathered_in_order, setup, teardown),
    cmocka_unit_test_setup_teardown(concatenated_members_are_one_body, setup, teardown),
    cmocka_unit_test_setup_teardown(damage_is_told, setup, teardown),
    cmocka_unit_test_setup_teardown(a_bomb_is_refused_within_the_limit, setup, teardown),
    cmocka_unit_test_setup_teardown(the_byte_budget_refuses_with_nomem, setup, teardown),
    cmocka_unit_test_setup_teardown(other_encodings_are_named, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
