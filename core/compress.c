#include "core/compress.h"

#include <libdeflate.h>
#include <string.h>
#include <strings.h>

#include "core/assert.h"
#include "core/compress_internal.h"
#include "core/snappy.h"

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
  zstd_thread_done();
}

enum encoding { UNKNOWN, GZIP, ZLIB, ZSTD, SNAPPY, SNAPPY_FRAMED };

static enum encoding encoding_of(struct weir_str name) {
  static const struct {
    const char *name;
    enum encoding is;
  } known[] = { { "gzip", GZIP }, { "zstd", ZSTD }, { "deflate", ZLIB }, { "zlib", ZLIB }, { "snappy", SNAPPY }, { "x-snappy-framed", SNAPPY_FRAMED },
    { "x-gzip", GZIP } };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (name.n == strlen(known[i].name) && strncasecmp(name.p, known[i].name, name.n) == 0) return known[i].is; /* RFC 9110 section 8.4.1 */
  return UNKNOWN;
}

int compress_max_level(const char *encoding) {
  switch (encoding_of(weir_str_of(encoding))) {
  case GZIP:
  case ZLIB: return LEVELS - 1;
  case ZSTD: return 19;
  case SNAPPY:
  case SNAPPY_FRAMED: return 0;
  default: return -1;
  }
}

static int not_known(struct weir_str name, struct weir_error *err) {
  return weir_fail(
    err, WEIR_E_UNSUPPORTED, "encoding \"%.*s\" is not supported: use %s, or none", (int)(name.n < 40 ? name.n : 40), name.p, COMPRESS_NAMES);
}

int compress_check(const char *encoding, struct weir_error *err) {
  enum encoding e = encoding_of(weir_str_of(encoding));
  if (!e) return not_known(weir_str_of(encoding), err);
  return e >= SNAPPY ? snappy_check(err) : 0;
}

/* --- in ------------------------------------------------------------------------------------------------- */

static int no_budget(struct weir_error *err) { return weir_fail(err, WEIR_E_NOMEM, "no memory in the byte budget for the decompressed body"); }

int inflated_begin(struct inflated *o, size_t guess, struct weir_error *err) {
  if (guess < 512) guess = 512;
  if (guess > o->limit) guess = o->limit;
  o->body = o->overdraw ? body_overdraw(o->pool, guess) : body_new(o->pool, guess);
  return o->body ? 0 : no_budget(err);
}

int inflated_need(struct inflated *o, size_t more, struct weir_error *err) {
  if (more > o->limit - o->body->n) return weir_fail(err, WEIR_E_LIMIT, "the decompressed body is over the limit of %zu bytes", o->limit);
  if (more <= inflated_room(o)) return 0;
  size_t want = o->body->n + more, twice = o->body->cap * 2;
  if (want < twice) want = twice;
  if (want > o->limit) want = o->limit;
  if (o->body->n) return body_grow(&o->body, want) ? no_budget(err) : 0;
  body_free(o->body); /* nothing to keep: never two at a time */
  o->body = o->overdraw ? body_overdraw(o->pool, want) : body_new(o->pool, want);
  return o->body ? 0 : no_budget(err);
}

/* What was made room for and not used, as the input declared more than it held, is not kept: it would count against the budget. */
static void give_back(struct inflated *o) {
  struct weir_body *all = o->body;
  if (all->cap < 65536 || all->cap / 4 < all->n) return;
  struct weir_body *fit = o->overdraw ? body_overdraw(o->pool, all->n) : body_new(o->pool, all->n);
  if (!fit) return;
  memcpy(fit->p, all->p, all->n);
  fit->n = all->n;
  body_free(all);
  o->body = fit;
}

/* A first guess of the output: gzip ends with its size; trusted only up to 1032:1, the format's best. */
static size_t guess_size(enum encoding e, const char *p, size_t n) {
  const unsigned char *end = (const unsigned char *)p + n;
  size_t guess = n * 4;
  if (e == GZIP && n >= 18) guess = (size_t)end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 | (size_t)end[-1] << 24;
  if (e == ZSTD) guess = zstd_guess(p, n);
  return guess / 1032 > n && e == GZIP ? n * 4 : guess;
}

static enum libdeflate_result one_member(int gzip, struct inflated *out, const char *p, size_t n, size_t *ret_used) {
  char *to = out->body->p + out->body->n;
  size_t room = inflated_room(out), made = 0;
  enum libdeflate_result r = gzip ? libdeflate_gzip_decompress_ex(inflater, p, n, to, room, ret_used, &made)
                                  : libdeflate_zlib_decompress_ex(inflater, p, n, to, room, ret_used, &made);
  if (r == LIBDEFLATE_SUCCESS) out->body->n += made;
  return r;
}

/* libdeflate can not go on where it stopped: a member for which the room was too small is read again. */
static int flate_inflate(int gzip, struct inflated *out, const char *p, size_t n, struct weir_error *err) {
  size_t at = 0;
  if (!inflater) inflater = libdeflate_alloc_decompressor();
  if (!inflater) return weir_fail(err, WEIR_E_NOMEM, "no memory to decompress");
  do {
    size_t used = 0;
    int r = 0;
    switch (one_member(gzip, out, p + at, n - at, &used)) {
    case LIBDEFLATE_SUCCESS: at += used; break;
    case LIBDEFLATE_INSUFFICIENT_SPACE: r = inflated_need(out, inflated_room(out) + 1, err); break;
    default: r = weir_fail(err, WEIR_E_INVALID, "the %s data is damaged at byte %zu", gzip ? "gzip" : "deflate", at);
    }
    if (r) return r;
  } while (at < n && (gzip || at == 0));
  if (at < n) return weir_fail(err, WEIR_E_INVALID, "%zu bytes follow the end of the compressed data", n - at);
  return 0;
}

static int inflate(enum encoding e, struct inflated *out, const char *p, size_t n, struct weir_error *err) {
  switch (e) {
  case ZSTD: return zstd_inflate(out, p, n, err);
  case SNAPPY:
  case SNAPPY_FRAMED: return snappy_inflate(out, p, n, err);
  default: return flate_inflate(e == GZIP, out, p, n, err);
  }
}

int compress_inflate(struct pool *pool, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes, int overdraw, struct weir_body **ret,
  struct weir_error *err) {
  enum encoding e = encoding_of(encoding);
  if (!e) return not_known(encoding, err);
  struct inflated out = { pool, max_bytes < SIZE_MAX / 4 ? (size_t)max_bytes : SIZE_MAX / 4, overdraw, NULL };
  int r = inflated_begin(&out, guess_size(e, p, n), err);
  if (!r) r = inflate(e, &out, p, n, err);
  if (r) {
    body_free(out.body);
    return r;
  }
  give_back(&out);
  *ret = out.body;
  return 0;
}

/* --- out ------------------------------------------------------------------------------------------------ */

static int flate_deflate(struct pool *pool, int gzip, int level, const char *p, size_t n, struct weir_body **ret, struct weir_error *err) {
  if (!deflaters[level]) deflaters[level] = libdeflate_alloc_compressor(level);
  struct libdeflate_compressor *c = deflaters[level];
  if (!c) return weir_fail(err, WEIR_E_NOMEM, "no memory to compress");
  struct weir_body *body = body_overdraw(pool, gzip ? libdeflate_gzip_compress_bound(c, n) : libdeflate_zlib_compress_bound(c, n));
  body->n = gzip ? libdeflate_gzip_compress(c, p, n, body->p, body->cap) : libdeflate_zlib_compress(c, p, n, body->p, body->cap);
  WEIR_ASSERT(body->n > 0); /* the bound was enough */
  *ret = body;
  return 0;
}

/* The libraries take one run of bytes. */
static struct weir_body *gather(struct pool *pool, const struct weir_iov *iov, size_t n, size_t total) {
  struct weir_body *all = body_overdraw(pool, total);
  for (size_t i = 0; i < n; i++) {
    memcpy(all->p + all->n, iov[i].p, iov[i].n);
    all->n += iov[i].n;
  }
  return all;
}

static int deflate(enum encoding e, struct pool *pool, int level, const char *p, size_t n, struct weir_body **ret, struct weir_error *err) {
  switch (e) {
  case ZSTD: return zstd_deflate(pool, level, p, n, ret, err);
  case SNAPPY:
  case SNAPPY_FRAMED: return snappy_deflate(pool, e == SNAPPY_FRAMED, p, n, ret, err);
  default: return flate_deflate(pool, e == GZIP, level, p, n, ret, err);
  }
}

int compress_deflate(struct pool *pool, const char *encoding, int level, const struct weir_iov *iov, size_t n, struct weir_body **ret,
  struct weir_error *err) {
  enum encoding e = encoding_of(weir_str_of(encoding));
  if (!e) return not_known(weir_str_of(encoding), err);
  WEIR_ASSERT(level >= 0 && (level <= compress_max_level(encoding) || e >= SNAPPY));
  size_t total = 0;
  for (size_t i = 0; i < n; i++) total += iov[i].n;
  struct weir_body *joined = n != 1 ? gather(pool, iov, n, total) : NULL;
  int r = deflate(e, pool, level ? level : 1, joined ? joined->p : iov[0].p, total, ret, err);
  body_free(joined);
  return r;
}
