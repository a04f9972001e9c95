#include "core/compress.h"

#include <libdeflate.h>
#include <string.h>

#include "core/assert.h"

#define LEVELS 13

static __thread struct libdeflate_decompressor *inflater;
static __thread struct libdeflate_compressor *deflaters[LEVELS];

void compress_thread_done(void) {
  libdeflate_free_decompressor(inflater);
  inflater = NULL;
  for (int i = 0; i < LEVELS; i++) {
    libdeflate_free_compressor(deflaters[i]);
    deflaters[i] = NULL;
  }
}

static int is(struct weir_str s, const char *name) { return s.n == strlen(name) && memcmp(s.p, name, s.n) == 0; }

/* A first guess of the output: gzip ends with its size; trusted only within the limit and 1032:1, the format's best. */
static size_t guess_size(int gzip, const unsigned char *p, size_t n, uint64_t max_bytes) {
  size_t guess = n * 4;
  if (gzip && n >= 18) guess = (size_t)p[n - 4] | (size_t)p[n - 3] << 8 | (size_t)p[n - 2] << 16 | (size_t)p[n - 1] << 24;
  if (guess / 1032 > n) guess = n * 4;
  if (guess < 512) guess = 512;
  return guess < max_bytes ? guess : (size_t)max_bytes;
}

/* One member into body's free room. *ret_used: input bytes it took. */
static enum libdeflate_result one_member(int gzip, const char *p, size_t n, struct weir_body *body, size_t limit, size_t *ret_used) {
  size_t room = (body->cap < limit ? body->cap : limit) - body->n, made = 0;
  enum libdeflate_result r = gzip ? libdeflate_gzip_decompress_ex(inflater, p, n, body->p + body->n, room, ret_used, &made)
                                  : libdeflate_zlib_decompress_ex(inflater, p, n, body->p + body->n, room, ret_used, &made);
  if (r == LIBDEFLATE_SUCCESS) body->n += made;
  return r;
}

static int grow(struct weir_body **body, size_t cap, int over) {
  if (!over) return body_grow(body, cap);
  body_grow_over(body, cap);
  return 0;
}

static int inflate_all(int gzip, const char *p, size_t n, uint64_t max_bytes, int over, struct weir_body **body, struct weir_error *err) {
  size_t at = 0, limit = (size_t)max_bytes;
  do {
    size_t used = 0;
    switch (one_member(gzip, p + at, n - at, *body, limit, &used)) {
    case LIBDEFLATE_SUCCESS: at += used; break;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
      if ((*body)->cap >= limit) return weir_fail(err, WEIR_E_LIMIT, "the decompressed body is over the limit of %zu bytes", limit);
      if (grow(body, (*body)->cap * 2 < limit ? (*body)->cap * 2 : limit, over))
        return weir_fail(err, WEIR_E_NOMEM, "no memory in the byte budget for the decompressed body");
      break;
    default: return weir_fail(err, WEIR_E_INVALID, "the %s data is damaged at byte %zu", gzip ? "gzip" : "deflate", at);
    }
  } while (at < n && gzip);
  if (at < n) return weir_fail(err, WEIR_E_INVALID, "%zu bytes follow the end of the compressed data", n - at);
  return 0;
}

static int inflate(struct pool *pool, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes, int over, struct weir_body **ret,
  struct weir_error *err) {
  int gzip = is(encoding, "gzip") || is(encoding, "x-gzip");
  if (!gzip && !is(encoding, "deflate") && !is(encoding, "zlib"))
    return weir_fail(err, WEIR_E_UNSUPPORTED, "content-encoding %.*s is not supported: use gzip, deflate or none", (int)(encoding.n < 40 ? encoding.n : 40), encoding.p);
  if (!inflater) inflater = libdeflate_alloc_decompressor();
  size_t guess = guess_size(gzip, p, n, max_bytes);
  struct weir_body *body = !inflater ? NULL : over ? body_new_over(pool, guess) : body_new(pool, guess);
  if (!body) return weir_fail(err, WEIR_E_NOMEM, "no memory in the byte budget for the decompressed body");
  int r = inflate_all(gzip, p, n, max_bytes, over, &body, err);
  if (r) {
    body_free(body);
    return r;
  }
  *ret = body;
  return 0;
}

int compress_inflate(struct pool *pool, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes, struct weir_body **ret,
  struct weir_error *err) {
  return inflate(pool, encoding, p, n, max_bytes, 0, ret, err);
}

int compress_inflate_over(struct pool *pool, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes, struct weir_body **ret,
  struct weir_error *err) {
  return inflate(pool, encoding, p, n, max_bytes, 1, ret, err);
}

/* libdeflate takes one run of bytes. */
static struct weir_body *gather(struct pool *pool, const struct weir_iov *iov, size_t n, size_t total) {
  struct weir_body *all = body_new_over(pool, total);
  for (size_t i = 0; i < n; i++) {
    memcpy(all->p + all->n, iov[i].p, iov[i].n);
    all->n += iov[i].n;
  }
  return all;
}

int compress_deflate(struct pool *pool, const char *encoding, int level, const struct weir_iov *iov, size_t n, struct weir_body **ret,
  struct weir_error *err) {
  int gzip = strcmp(encoding, "gzip") == 0;
  if (!gzip && strcmp(encoding, "deflate") != 0) return weir_fail(err, WEIR_E_UNSUPPORTED, "compression %s is not supported: use gzip, deflate or none", encoding);
  WEIR_ASSERT(level >= 0 && level < LEVELS);
  if (!deflaters[level]) deflaters[level] = libdeflate_alloc_compressor(level);
  struct libdeflate_compressor *c = deflaters[level];
  size_t total = 0;
  for (size_t i = 0; i < n; i++) total += iov[i].n;
  size_t bound = !c ? 0 : gzip ? libdeflate_gzip_compress_bound(c, total) : libdeflate_zlib_compress_bound(c, total);
  struct weir_body *joined = c && n != 1 ? gather(pool, iov, n, total) : NULL, *body = c ? body_new_over(pool, bound) : NULL;
  if (!body) return weir_fail(err, WEIR_E_NOMEM, "no memory to compress %zu bytes", total);
  const void *from = joined ? joined->p : iov[0].p;
  body->n = gzip ? libdeflate_gzip_compress(c, from, total, body->p, body->cap) : libdeflate_zlib_compress(c, from, total, body->p, body->cap);
  body_free(joined);
  WEIR_ASSERT(body->n > 0); /* the bound was enough */
  *ret = body;
  return 0;
}
