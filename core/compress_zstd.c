/* zstd by libzstd. A frame that declares its size is decoded straight into the body; another one needs its window, which is bounded. */
#include <zstd.h>
#include <zstd_errors.h>

#include "core/assert.h"
#include "core/compress.h"
#include "core/compress_internal.h"

static __thread ZSTD_DCtx *reader;
static __thread ZSTD_CCtx *writer;

void zstd_thread_done(void) {
  ZSTD_freeDCtx(reader);
  ZSTD_freeCCtx(writer);
  reader = NULL;
  writer = NULL;
}

static int failed(size_t code, size_t at, struct weir_error *err) {
  if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation) return weir_fail(err, WEIR_E_NOMEM, "no memory to decompress zstd");
  if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
    return weir_fail(err, WEIR_E_INVALID, "the zstd frame at byte %zu needs a window over %d MiB", at, 1 << (COMPRESS_ZSTD_WINDOW_LOG - 20));
  return weir_fail(err, WEIR_E_INVALID, "the zstd data is damaged at byte %zu: %s", at, ZSTD_getErrorName(code));
}

/* Room for what the frame at p declares: then libzstd decodes it in one go and without its window. */
static int frame_begin(struct inflated *out, const char *p, size_t n, struct weir_error *err) {
  unsigned long long size = n ? ZSTD_getFrameContentSize(p, n) : 0;
  if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR || size == 0) return 0;
  return inflated_need(out, size < SIZE_MAX / 2 ? (size_t)size : SIZE_MAX / 2, err);
}

static int decode(struct inflated *out, ZSTD_inBuffer *in, struct weir_error *err) {
  size_t left = 0;
  do {
    const char *at = (const char *)in->src + in->pos;
    int r = left == 0 ? frame_begin(out, at, in->size - in->pos, err) : 0;
    if (r) return r;
    ZSTD_outBuffer to = { out->body->p + out->body->n, inflated_room(out), 0 };
    left = ZSTD_decompressStream(reader, &to, in);
    if (ZSTD_isError(left)) return failed(left, in->pos, err);
    out->body->n += to.pos;
    if (left && to.pos == to.size)
      r = inflated_need(out, inflated_room(out) + 1, err);
    else if (left && in->pos == in->size)
      r = weir_fail(err, WEIR_E_INVALID, "the zstd data ends early, after %zu bytes", in->size);
    if (r) return r;
  } while (left || in->pos < in->size);
  return 0;
}

size_t zstd_guess(const char *p, size_t n) {
  unsigned long long size = ZSTD_getFrameContentSize(p, n);
  return size == 0 || size >= SIZE_MAX / 2 ? n * 4 : (size_t)size; /* the two codes for "unknown" and "no frame" are the largest values */
}

int zstd_inflate(struct inflated *out, const char *p, size_t n, struct weir_error *err) {
  if (n == 0) return weir_fail(err, WEIR_E_INVALID, "the zstd data is empty");
  if (!reader) {
    reader = ZSTD_createDCtx();
    if (!reader) return weir_fail(err, WEIR_E_NOMEM, "no memory to decompress zstd");
    ZSTD_DCtx_setParameter(reader, ZSTD_d_windowLogMax, COMPRESS_ZSTD_WINDOW_LOG);
  }
  ZSTD_DCtx_reset(reader, ZSTD_reset_session_only);
  ZSTD_inBuffer in = { p, n, 0 };
  int r = decode(out, &in, err);
  if (ZSTD_sizeof_DCtx(reader) > COMPRESS_KEEP_BYTES) {
    ZSTD_freeDCtx(reader);
    reader = NULL;
  }
  return r;
}

int zstd_deflate(struct pool *pool, int level, const char *p, size_t n, struct weir_body **ret, struct weir_error *err) {
  if (!writer) writer = ZSTD_createCCtx();
  if (!writer) return weir_fail(err, WEIR_E_NOMEM, "no memory to compress");
  ZSTD_CCtx_reset(writer, ZSTD_reset_session_only);
  ZSTD_CCtx_setParameter(writer, ZSTD_c_compressionLevel, level);
  struct weir_body *body = body_overdraw(pool, ZSTD_compressBound(n));
  size_t made = ZSTD_compress2(writer, body->p, body->cap, p, n);
  if (ZSTD_sizeof_CCtx(writer) > COMPRESS_KEEP_BYTES) {
    ZSTD_freeCCtx(writer);
    writer = NULL;
  }
  if (ZSTD_isError(made)) { /* the bound was enough, so it is memory */
    body_free(body);
    return weir_fail(err, WEIR_E_NOMEM, "zstd: %s", ZSTD_getErrorName(made));
  }
  body->n = made;
  *ret = body;
  return 0;
}
