/* Bodies in each encoding: round trips, concatenated members and frames, damage, and limits that hold whatever the ratio. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

#include "core/compress.h"
#include "core/snappy.h"

static const char *const encodings[] = { "gzip", "deflate", "zlib", "zstd", "snappy", "x-snappy-framed" };
#define N_ENCODINGS (sizeof encodings / sizeof *encodings)

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
  struct weir_error err;
  for (size_t e = 0; e < N_ENCODINGS; e++)
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
  static const char *const which[] = { "gzip", "zstd", "x-snappy-framed" };
  for (size_t e = 0; e < 3; e++) {
    struct weir_body *a = deflate_of(which[e], "hello ", 6), *b = deflate_of(which[e], "world", 5), *back;
    struct weir_error err;
    char both[256];
    memcpy(both, a->p, a->n);
    memcpy(both + a->n, b->p, b->n);
    assert_int_equal(inflate_to(which[e], both, a->n + b->n, 100, &back, &err), 0);
    assert_int_equal(back->n, 11);
    assert_memory_equal(back->p, "hello world", 11);
    body_free(back);
    assert_int_equal(inflate_to(which[e], both, a->n + b->n, 10, &back, &err), WEIR_E_LIMIT);
    body_free(a);
    body_free(b);
  }
}

/* A cut of framed snappy between two chunks is a shorter stream: the format does not say how long it is. */
static int may_be_cut(const char *encoding, size_t cut) { return strcmp(encoding, "x-snappy-framed") == 0 && cut == 10; }

static void damage_is_told(void **state) {
  (void)state;
  struct weir_body *back;
  struct weir_error err;
  char bytes[256];
  for (size_t e = 0; e < N_ENCODINGS; e++) {
    struct weir_body *a = deflate_of(encodings[e], "hello world, hello world", 24);
    for (size_t cut = 0; cut < a->n; cut++) {
      char *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees a read past the end */
      memcpy(exact, a->p, cut);
      assert_int_equal(inflate_to(encodings[e], exact, cut, 1000, &back, &err), may_be_cut(encodings[e], cut) ? 0 : WEIR_E_INVALID);
      assert_true(back || err.msg[0] != 0);
      body_free(back);
      free(exact);
    }
    for (size_t i = 0; i < a->n; i++) { /* a changed byte is found by a check or changes nothing that matters (the header's time and system) */
      memcpy(bytes, a->p, a->n);
      bytes[i] ^= 0x10;
      int r = inflate_to(encodings[e], bytes, a->n, 1000, &back, &err);
      if (r == 0 && e < 3) assert_memory_equal(back->p, "hello world, hello world", 24); /* the others here have no checksum over all */
      body_free(back);
    }
    memcpy(bytes, a->p, a->n);
    memcpy(bytes + a->n, "rest", 4);
    assert_int_equal(inflate_to(encodings[e], bytes, a->n + 4, 1000, &back, &err), WEIR_E_INVALID);
    body_free(a);
  }
}

/* --- zstd ------------------------------------------------------------------------------------------------ */

/* A frame that does not declare its size, as streaming writers make it. */
static size_t streamed(const void *p, size_t n, int window_log, char *out, size_t cap) {
  ZSTD_CCtx *c = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
  ZSTD_inBuffer in = { p, n, 0 };
  ZSTD_outBuffer to = { out, cap, 0 };
  while (in.pos < n) assert_false(ZSTD_isError(ZSTD_compressStream2(c, &to, &in, ZSTD_e_continue)));
  assert_int_equal(ZSTD_compressStream2(c, &to, &in, ZSTD_e_end), 0);
  ZSTD_freeCCtx(c);
  assert_int_equal(ZSTD_getFrameContentSize(out, to.pos), ZSTD_CONTENTSIZE_UNKNOWN);
  return to.pos;
}

static void zstd_of_unknown_size_needs_its_window(void **state) {
  (void)state;
  size_t n = 3u << 20, small;
  char *plain = calloc(1, n), *out = malloc(n);
  struct weir_body *back;
  struct weir_error err;
  for (size_t i = 0; i < n; i += 1000) plain[i] = (char)(i / 1000 * 7);
  small = streamed(plain, n, 20, out, n);
  assert_int_equal(inflate_to("zstd", out, small, n, &back, &err), 0);
  assert_int_equal(back->n, n);
  assert_memory_equal(back->p, plain, n);
  body_free(back);
  assert_int_equal(inflate_to("zstd", out, small, n - 1, &back, &err), WEIR_E_LIMIT);
  small = streamed(plain, n, 23, out, n);
  assert_int_equal(inflate_to("zstd", out, small, n, &back, &err), 0);
  body_free(back);
  small = streamed(plain, n, 27, out, n);
  assert_int_equal(inflate_to("zstd", out, small, n, &back, &err), WEIR_E_INVALID);
  assert_non_null(strstr(err.msg, "window over 8 MiB"));
  free(plain);
  free(out);
}

static void zstd_frames_may_be_skippable(void **state) {
  (void)state;
  static const char skip[] = "\x50\x2a\x4d\x18\x03\0\0\0abc";
  struct weir_body *a = deflate_of("zstd", "hello", 5), *back;
  struct weir_error err;
  char bytes[256];
  size_t n = sizeof skip - 1;
  memcpy(bytes, skip, n);
  memcpy(bytes + n, a->p, a->n);
  memcpy(bytes + n + a->n, skip, n);
  assert_int_equal(inflate_to("zstd", bytes, 2 * n + a->n, 5, &back, &err), 0);
  assert_int_equal(back->n, 5);
  body_free(back);
  assert_int_equal(inflate_to("zstd", bytes, 2 * n + a->n - 1, 6, &back, &err), WEIR_E_INVALID);
  body_free(a);
}

/* A frame of nothing that declares much: what was made room for is not kept. */
static void zstd_sizes_that_lie_cost_nothing(void **state) {
  (void)state;
  static const char lie[] = "\x28\xb5\x2f\xfd\xa0\0\0\x80\0\x01\0\0"; /* declares 8 MiB, one empty last block */
  struct weir_body *back;
  struct weir_error err;
  assert_int_equal(ZSTD_getFrameContentSize(lie, sizeof lie - 1), 8u << 20);
  assert_int_equal(inflate_to("zstd", lie, sizeof lie - 1, 4u << 20, &back, &err), WEIR_E_LIMIT);
  assert_int_equal(inflate_to("zstd", lie, sizeof lie - 1, 16u << 20, &back, &err), WEIR_E_INVALID);
  char blocks[4 + 2 + 3000]; /* no size declared: a thousand empty blocks */
  memcpy(blocks, "\x28\xb5\x2f\xfd\0\x58", 6);
  memset(blocks + 6, 0, sizeof blocks - 6);
  blocks[sizeof blocks - 3] = 1;
  assert_int_equal(inflate_to("zstd", blocks, sizeof blocks, 16u << 20, &back, &err), 0);
  assert_int_equal(back->n, 0);
  assert_true(back->cap <= 65536);
  body_free(back);
}

/* --- limits ------------------------------------------------------------------------------------------------ */

static void a_bomb_is_refused_within_the_limit(void **state) {
  (void)state;
  size_t n = 50u << 20;
  char *zeros = calloc(1, n);
  struct pool *own = pool_new(NULL);
  struct weir_iov iov = { zeros, n };
  budget_init(&budget, 3u << 20); /* the doubling holds the old and the new body for a moment */
  for (size_t e = 0; e < N_ENCODINGS; e++) {
    struct weir_body *bomb = NULL, *back;
    struct weir_error err = { 0 };
    assert_int_equal(compress_deflate(own, encodings[e], 9, &iov, 1, &bomb, &err), 0);
    assert_true(bomb->n < n / (e < 4 ? 900 : 20));
    assert_int_equal(inflate_to(encodings[e], bomb->p, bomb->n, 1u << 20, &back, &err), WEIR_E_LIMIT);
    assert_non_null(strstr(err.msg, "limit"));
    assert_int_equal(atomic_load(&budget.refused), 0);
    body_free(bomb);
  }
  char *out = malloc(1u << 20);
  struct weir_body *back;
  struct weir_error err;
  size_t small = streamed(zeros, n, 23, out, 1u << 20);
  assert_int_equal(inflate_to("zstd", out, small, 1u << 20, &back, &err), WEIR_E_LIMIT);
  assert_int_equal(atomic_load(&budget.refused), 0);
  free(out);
  free(zeros);
  pool_free(own);
}

/* The size that gzip states at its end lies: small for a bomb, large for nothing. */
static void gzip_sizes_that_lie_are_found(void **state) {
  (void)state;
  size_t n = 2u << 20;
  char *zeros = calloc(1, n);
  struct weir_error err;
  struct weir_body *bomb = deflate_of("gzip", zeros, n), *tiny = deflate_of("gzip", "tiny", 4), *back;
  free(zeros);
  memset(bomb->p + bomb->n - 4, 0, 4);
  assert_int_not_equal(inflate_to("gzip", bomb->p, bomb->n, 1u << 20, &back, &err), 0);
  memset(tiny->p + tiny->n - 4, 0xff, 4);
  assert_int_equal(inflate_to("gzip", tiny->p, tiny->n, 1ull << 40, &back, &err), WEIR_E_INVALID);
  assert_int_equal(atomic_load(&budget.refused), 0);
  body_free(tiny);
  body_free(bomb);
}

static void the_byte_budget_refuses_with_nomem(void **state) {
  (void)state;
  size_t n = 4u << 20;
  char *zeros = calloc(1, n);
  for (size_t e = 0; e < N_ENCODINGS; e++) {
    budget.limit = 64u << 20;
    struct weir_body *small = deflate_of(encodings[e], zeros, n), *back;
    struct weir_error err;
    budget.limit = atomic_load(&budget.used) + (1u << 20);
    assert_int_equal(inflate_to(encodings[e], small->p, small->n, 8u << 20, &back, &err), WEIR_E_NOMEM);
    /* What empties the queues is not refused. */
    assert_int_equal(compress_inflate(pool, weir_str_of(encodings[e]), small->p, small->n, 8u << 20, 1, &back, &err), 0);
    assert_int_equal(back->n, n);
    struct weir_body *out = deflate_of(encodings[e], back->p, back->n);
    assert_true(atomic_load(&budget.used) > budget.limit);
    body_free(out);
    body_free(back);
    body_free(small);
  }
  free(zeros);
}

/* --- snappy -------------------------------------------------------------------------------------------------- */

#define BEGIN "\xff\x06\0\0sNaPpY"

static void snappy_frames_follow_the_format(void **state) {
  (void)state;
  static const struct {
    const char *what;
    const char *p;
    size_t n;
    int code;
    const char *text;
  } cases[] = {
    { "identifier alone", BEGIN, 10, 0, "" },
    { "plain chunk", BEGIN "\x01\x0d\0\0\xe5\xb0\x8a\xc7" "123456789", 27, 0, "123456789" }, /* CRC-32C e3069283, masked */
    { "padding and skippable chunks", BEGIN "\xfe\x02\0\0ab" "\x80\0\0\0" "\x01\x0d\0\0\xe5\xb0\x8a\xc7" "123456789", 37, 0, "123456789" },
    { "block chunk", BEGIN "\0\x0f\0\0\xe5\xb0\x8a\xc7" "\x09\x20" "123456789", 29, 0, "123456789" },
    { "wrong checksum", BEGIN "\x01\x0d\0\0\xe4\xb0\x8a\xc7" "123456789", 27, WEIR_E_INVALID, "checksum" },
    { "no checksum", BEGIN "\x01\x03\0\0abc", 17, WEIR_E_INVALID, "checksum" },
    { "reserved chunk", BEGIN "\x02\0\0\0", 14, WEIR_E_INVALID, "not known" },
    { "reserved chunk, the last", BEGIN "\x7f\0\0\0", 14, WEIR_E_INVALID, "not known" },
    { "second identifier wrong", BEGIN "\xff\x06\0\0sNaPpX", 20, WEIR_E_INVALID, "identifier" },
    { "chunk that goes on behind the end", BEGIN "\x01\xff\xff\xff\0\0\0\0", 18, WEIR_E_INVALID, "ends inside a chunk" },
    { "block that declares 4 GiB", "\xff\xff\xff\xff\x0f\0", 6, WEIR_E_INVALID, "can not be" },
    { "block that copies from before its start", "\x08\x01\x01", 3, WEIR_E_INVALID, "no valid block" },
    { "empty block", "\0", 1, 0, "" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct weir_body *back;
    struct weir_error err;
    int r = inflate_to(i % 2 ? "snappy" : "x-snappy-framed", cases[i].p, cases[i].n, 1u << 20, &back, &err);
    if (r != cases[i].code) fail_msg("%s: %d %s", cases[i].what, r, err.msg);
    if (r && !strstr(err.msg, cases[i].text)) fail_msg("%s: %s", cases[i].what, err.msg);
    if (!r && (back->n != strlen(cases[i].text) || memcmp(back->p, cases[i].text, back->n))) fail_msg("%s: %zu bytes", cases[i].what, back->n);
    body_free(back);
  }
}

static void snappy_chunks_are_limited(void **state) {
  (void)state;
  size_t n = SNAPPY_CHUNK + 1;
  char *big = calloc(1, n + 32);
  struct weir_body *back;
  struct weir_error err;
  memcpy(big, BEGIN "\x01\x05\0\x01", 14); /* 65541 bytes: a checksum and one byte too many */
  assert_int_equal(inflate_to("snappy", big, 14 + 4 + n, 1u << 20, &back, &err), WEIR_E_INVALID);
  assert_non_null(strstr(err.msg, "over 64 KiB"));
  free(big);
}

static void snappy_is_written_as_its_name_says(void **state) {
  (void)state;
  struct weir_body *block = deflate_of("snappy", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 32), *frames = deflate_of("x-snappy-framed", "abc", 3), *back;
  struct weir_error err;
  assert_int_equal(block->p[0], 32);
  assert_memory_equal(frames->p, BEGIN "\x01\x07\0\0", 14); /* too short to gain: a plain chunk */
  assert_int_equal(frames->n, 21);
  assert_int_equal(inflate_to("snappy", frames->p, frames->n, 100, &back, &err), 0); /* either is taken under either name */
  body_free(back);
  assert_int_equal(inflate_to("x-snappy-framed", block->p, block->n, 100, &back, &err), 0);
  body_free(back);
  body_free(block);
  body_free(frames);
}

/* --- names --------------------------------------------------------------------------------------------------- */

static void other_encodings_are_named(void **state) {
  (void)state;
  static const char *const unknown[] = { "br", "lz4", "", "gzipp", "gzi", "gzip, gzip" };
  struct weir_body *back = NULL;
  struct weir_error err;
  struct weir_iov iov = { "x", 1 };
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    assert_int_equal(inflate_to(unknown[i], "x", 1, 100, &back, &err), WEIR_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, unknown[i]));
    assert_non_null(strstr(err.msg, COMPRESS_NAMES));
    assert_int_equal(compress_deflate(pool, unknown[i], 1, &iov, 1, &back, &err), WEIR_E_UNSUPPORTED);
    assert_int_equal(compress_max_level(unknown[i]), -1);
  }
}

static void names_have_no_case(void **state) {
  (void)state;
  struct weir_body *a = deflate_of("GZip", "x", 1), *back;
  struct weir_error err;
  assert_int_equal(inflate_to("X-GZIP", a->p, a->n, 100, &back, &err), 0);
  body_free(back);
  body_free(a);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(what_is_deflated_inflates_to_the_same), T(pieces_are_gathered_in_order), T(concatenated_members_are_one_body),
    T(damage_is_told), T(zstd_of_unknown_size_needs_its_window), T(zstd_frames_may_be_skippable), T(zstd_sizes_that_lie_cost_nothing),
    T(a_bomb_is_refused_within_the_limit), T(gzip_sizes_that_lie_are_found), T(the_byte_budget_refuses_with_nomem), T(snappy_frames_follow_the_format),
    T(snappy_chunks_are_limited), T(snappy_is_written_as_its_name_says), T(other_encodings_are_named), T(names_have_no_case) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
