#include "core/snappy.h"

#include <dlfcn.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdatomic.h>
#include <string.h>

#include "core/assert.h"
#include "core/crc32c.h"

#define LIBRARY "libsnappy.so.1"
#define HEADER 4u /* of a chunk: its type, 3 bytes of length */
#define CRC 4u
#define CHUNK_COMPRESSED 0x00
#define CHUNK_PLAIN 0x01
#define CHUNK_MUST_KNOW 0x7f /* the last of the types that may not be skipped */
#define CHUNK_BEGIN 0xff
#define MAX_RATIO 22u /* the format's best is a copy of 64 bytes in 3 */

static const char begin[] = { (char)CHUNK_BEGIN, 6, 0, 0, 's', 'N', 'a', 'P', 'p', 'Y' };

/* --- libsnappy ---------------------------------------------------------------------------------------- */

struct library {
  __typeof__(snappy_compress) *compress;
  __typeof__(snappy_uncompress) *uncompress;
  __typeof__(snappy_uncompressed_length) *uncompressed_length;
  __typeof__(snappy_max_compressed_length) *max_compressed_length;
};

static int find(void *handle, const char *name, void *ret, struct weir_error *err) {
  void *at = dlsym(handle, name);
  if (!at) return weir_fail(err, WEIR_E_UNSUPPORTED, "snappy is not available: %s lacks %s", LIBRARY, name);
  memcpy(ret, &at, sizeof at); /* a function pointer; ISO C has no cast for it */
  return 0;
}

static int load(struct library *l, struct weir_error *err) {
  void *h = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!h) return weir_fail(err, WEIR_E_UNSUPPORTED, "snappy is not available: %s is not installed (Debian: libsnappy1v5)", LIBRARY);
  int r = find(h, "snappy_compress", &l->compress, err);
  if (!r) r = find(h, "snappy_uncompress", &l->uncompress, err);
  if (!r) r = find(h, "snappy_uncompressed_length", &l->uncompressed_length, err);
  if (!r) r = find(h, "snappy_max_compressed_length", &l->max_compressed_length, err);
  return r;
}

/* NULL: it could not be loaded, and the next call tries again. */
static const struct library *library(struct weir_error *err) {
  static struct library loaded;
  static _Atomic int ready;
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  if (atomic_load_explicit(&ready, memory_order_acquire)) return &loaded;
  pthread_mutex_lock(&lock);
  int r = ready ? 0 : load(&loaded, err);
  if (!r) atomic_store_explicit(&ready, 1, memory_order_release);
  pthread_mutex_unlock(&lock);
  return r ? NULL : &loaded;
}

int snappy_check(struct weir_error *err) { return library(err) ? 0 : WEIR_E_UNSUPPORTED; }

uint32_t snappy_masked_crc(const char *data, size_t n) {
  uint32_t c = crc32c(0, data, n);
  return (c >> 15 | c << 17) + 0xa282ead8u;
}

/* --- in ------------------------------------------------------------------------------------------------- */

static uint32_t little(const char *p, uint32_t bytes) {
  uint32_t v = 0;
  for (uint32_t i = 0; i < bytes; i++) v |= (uint32_t)(unsigned char)p[i] << (8 * i);
  return v;
}

static int damaged(size_t at, const char *what, struct weir_error *err) {
  return weir_fail(err, WEIR_E_INVALID, "the snappy data is damaged at byte %zu: %s", at, what);
}

/* max: what its length may be; 0 = only the body's limit. */
static int block(struct inflated *out, const char *p, size_t n, size_t max, size_t at, struct weir_error *err) {
  const struct library *lib = library(err);
  size_t size = 0;
  if (!lib) return WEIR_E_UNSUPPORTED;
  if (lib->uncompressed_length(p, n, &size) != SNAPPY_OK) return damaged(at, "no length", err);
  if (size / MAX_RATIO > n || (max && size > max)) return damaged(at, "the length can not be", err);
  int r = inflated_need(out, size, err);
  if (r) return r;
  if (lib->uncompress(p, n, out->body->p + out->body->n, &size) != SNAPPY_OK) return damaged(at, "no valid block", err);
  out->body->n += size;
  return 0;
}

static int chunk(struct inflated *out, int compressed, const char *p, size_t n, size_t at, struct weir_error *err) {
  if (n < CRC) return damaged(at, "a chunk without its checksum", err);
  size_t before = out->body->n;
  int r = 0;
  if (compressed) {
    r = block(out, p + CRC, n - CRC, SNAPPY_CHUNK, at, err);
  } else if (n - CRC > SNAPPY_CHUNK) {
    r = damaged(at, "a chunk over 64 KiB", err);
  } else if ((r = inflated_need(out, n - CRC, err)) == 0) {
    memcpy(out->body->p + before, p + CRC, n - CRC);
    out->body->n += n - CRC;
  }
  if (r) return r;
  if (snappy_masked_crc(out->body->p + before, out->body->n - before) != little(p, CRC)) return damaged(at, "wrong checksum", err);
  return 0;
}

/* What all chunks declare, so that room is made once. Broken ones are told when they are read. */
static size_t declared(const struct library *lib, const char *p, size_t n) {
  size_t all = 0, size;
  for (size_t at = 0, length; n - at >= HEADER + CRC; at += HEADER + length) {
    length = little(p + at + 1, 3);
    if (length > n - at - HEADER) break;
    if (length < CRC) continue;
    const char *data = p + at + HEADER + CRC;
    if (p[at] == CHUNK_PLAIN) all += length - CRC;
    else if (p[at] == CHUNK_COMPRESSED && lib->uncompressed_length(data, length - CRC, &size) == SNAPPY_OK && size <= SNAPPY_CHUNK) all += size;
  }
  return all;
}

static int framed(struct inflated *out, const char *p, size_t n, struct weir_error *err) {
  const struct library *lib = library(err);
  int need = lib ? inflated_need(out, declared(lib, p, n), err) : WEIR_E_UNSUPPORTED;
  if (need) return need;
  for (size_t at = 0; at < n;) {
    if (n - at < HEADER) return damaged(at, "it ends inside a chunk's header", err);
    int type = (unsigned char)p[at], r = 0;
    size_t length = little(p + at + 1, 3);
    if (length > n - at - HEADER) return damaged(at, "it ends inside a chunk", err);
    if (type == CHUNK_COMPRESSED || type == CHUNK_PLAIN)
      r = chunk(out, type == CHUNK_COMPRESSED, p + at + HEADER, length, at, err);
    else if (type <= CHUNK_MUST_KNOW)
      r = damaged(at, "a chunk of a type that is not known", err);
    else if (type == CHUNK_BEGIN && (length != sizeof begin - HEADER || memcmp(p + at, begin, sizeof begin) != 0))
      r = damaged(at, "a wrong stream identifier", err);
    if (r) return r;
    at += HEADER + length;
  }
  return 0;
}

int snappy_inflate(struct inflated *out, const char *p, size_t n, struct weir_error *err) {
  if (n >= sizeof begin && memcmp(p, begin, sizeof begin) == 0) return framed(out, p, n, err);
  return block(out, p, n, 0, 0, err);
}

/* --- out ------------------------------------------------------------------------------------------------- */

static void put_little(char *to, uint32_t v, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i++) to[i] = (char)(v >> (8 * i));
}

/* One chunk behind the body: compressed when that saves an eighth. */
static void put_chunk(const struct library *lib, struct weir_body *body, const char *p, size_t n) {
  char *head = body->p + body->n, *data = head + HEADER + CRC;
  size_t made = body->cap - body->n - HEADER - CRC;
  snappy_status st = lib->compress(p, n, data, &made);
  WEIR_ASSERT(st == SNAPPY_OK); /* the bound was enough */
  int plain = made >= n - n / 8;
  if (plain) memcpy(data, p, n);
  if (plain) made = n;
  head[0] = plain ? CHUNK_PLAIN : CHUNK_COMPRESSED;
  put_little(head + 1, (uint32_t)(made + CRC), 3);
  put_little(head + HEADER, snappy_masked_crc(p, n), CRC);
  body->n += HEADER + CRC + made;
}

int snappy_deflate(struct pool *pool, int in_frames, const char *p, size_t n, struct weir_body **ret, struct weir_error *err) {
  const struct library *lib = library(err);
  if (!lib) return WEIR_E_UNSUPPORTED;
  struct weir_body *body;
  if (in_frames) {
    size_t chunks = n / SNAPPY_CHUNK + 1;
    body = body_overdraw(pool, sizeof begin + chunks * (HEADER + CRC + lib->max_compressed_length(SNAPPY_CHUNK)));
    memcpy(body->p, begin, sizeof begin);
    body->n = sizeof begin;
    for (size_t at = 0; at < n; at += SNAPPY_CHUNK) put_chunk(lib, body, p + at, n - at < SNAPPY_CHUNK ? n - at : SNAPPY_CHUNK);
  } else {
    body = body_overdraw(pool, lib->max_compressed_length(n));
    size_t made = body->cap;
    snappy_status st = lib->compress(p, n, body->p, &made);
    WEIR_ASSERT(st == SNAPPY_OK);
    body->n = made;
  }
  *ret = body;
  return 0;
}
