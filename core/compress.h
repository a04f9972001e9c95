/*
 * core/compress.h - whole-body compression under the names of HTTP and gRPC: gzip, deflate and zlib by libdeflate, zstd by libzstd, snappy by libsnappy.
 * Source: RFC 1950, 1951, 1952, 8878, RFC 9110 section 8.4; core/snappy.h for the two formats of snappy.
 *
 * Output is limited by bytes, whatever the ratio and whatever size the input declares: a bomb is refused without holding more than the limit.
 * Contexts are kept per thread; those of zstd that grew over COMPRESS_KEEP_BYTES are freed after use. libsnappy is loaded when it is first used, as it
 * brings the C++ library along; linking libzstd costs an idle process 0.04 MiB.
 */
#ifndef CORE_COMPRESS_H
#define CORE_COMPRESS_H

#include <weir/batch.h>
#include <weir/error.h>

#include "core/pool.h"

#define COMPRESS_NAMES "gzip, zstd, deflate, zlib, snappy, x-snappy-framed" /* besides none; for texts */
#define COMPRESS_KEEP_BYTES (4u << 20)
#define COMPRESS_ZSTD_WINDOW_LOG 23 /* 8 MiB, what RFC 8878 section 3.1.1.1.2 asks decoders for; no limit on frames that declare their size */

/* encoding: one of COMPRESS_NAMES (also x-gzip). Concatenated gzip members and zstd frames are one body; snappy is taken as a block and framed. overdraw:
 * as body_overdraw does, else the budget may refuse. Errors: WEIR_E_UNSUPPORTED (also a library that is not installed), _LIMIT, _INVALID, _NOMEM. */
int compress_inflate(struct pool *, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes, int overdraw, struct weir_body **ret,
  struct weir_error *);
/* level: 0 = the default, 1; of snappy: none. Overdraws the budget: what is compressed is on its way out. "snappy" makes a block, x-snappy-framed frames.
 * Errors: WEIR_E_UNSUPPORTED, _NOMEM. */
int compress_deflate(struct pool *, const char *encoding, int level, const struct weir_iov *, size_t n, struct weir_body **ret, struct weir_error *);
/* The highest level of an encoding: 12 (libdeflate), 19 (zstd), 0 (snappy); -1 when it is not known. */
int compress_max_level(const char *encoding);
/* 0 when compress_deflate can make it; loads the library. WEIR_E_UNSUPPORTED. */
int compress_check(const char *encoding, struct weir_error *);
/* Frees this thread's contexts; at the end of a lane. */
void compress_thread_done(void);

#endif
