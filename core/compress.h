/*
 * core/compress.h - whole-body compression by libdeflate (gzip, deflate as zlib). Source: RFC 1950, 1951, 1952, RFC 9110 section 8.4.
 *
 * Output is limited by bytes, whatever the ratio: a bomb is refused without holding more than the limit. (De)compressors are kept per thread.
 */
#ifndef CORE_COMPRESS_H
#define CORE_COMPRESS_H

#include <weir/batch.h>
#include <weir/error.h>

#include "core/pool.h"

/* encoding: "gzip" or "deflate"; concatenated gzip members are one body. overdraw: as body_overdraw does, else the budget may refuse.
 * Errors: WEIR_E_UNSUPPORTED, _LIMIT, _INVALID, _NOMEM. */
int compress_inflate(struct pool *, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes, int overdraw, struct weir_body **ret,
  struct weir_error *);
/* Overdraws the budget: what is compressed is on its way out. Errors: WEIR_E_UNSUPPORTED, _NOMEM. */
int compress_deflate(struct pool *, const char *encoding, int level, const struct weir_iov *, size_t n, struct weir_body **ret, struct weir_error *);
/* Frees this thread's (de)compressors; at the end of a lane. */
void compress_thread_done(void);

#endif
