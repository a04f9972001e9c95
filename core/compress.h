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

/* encoding: "gzip" or "deflate"; concatenated gzip members are one body. Errors: WEIR_E_UNSUPPORTED, _LIMIT, _INVALID, _NOMEM. Deflating overdraws the byte budget,
 * as it is how data leaves. */
int compress_inflate(struct pool *, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes, struct weir_body **ret, struct weir_error *);
int compress_inflate_over(struct pool *, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes, struct weir_body **ret,
  struct weir_error *); /* over the byte budget: for responses */
int compress_deflate(struct pool *, const char *encoding, int level, const struct weir_iov *, size_t n, struct weir_body **ret, struct weir_error *);
/* Frees this thread's (de)compressors; at the end of a lane. */
void compress_thread_done(void);

#endif
