/*
 * core/snappy.h - the two formats of snappy: the block (libsnappy's) and the framed stream around blocks, which is written here.
 *
 * gRPC's "snappy" and HTTP's "x-snappy-framed" are framed, HTTP's "snappy" is a block (the Collector wrote frames under that name until 0.131). On input
 * both are taken under both names, as a framed stream begins with ten fixed bytes: read as a block, they would declare 895 bytes and then copy from
 * before the start, which no block may. Source: snappy's framing_format.txt and format_description.txt.
 * Threads: [any]. libsnappy.so.1 is loaded by the first call that needs it; the loader's own lock makes that safe.
 */
#ifndef CORE_SNAPPY_H
#define CORE_SNAPPY_H

#include "core/compress_internal.h"

#define SNAPPY_CHUNK 65536u /* the most that one chunk of a framed stream holds */

int snappy_inflate(struct inflated *, const char *p, size_t n, struct weir_error *);
/* Into a body of its own, which overdraws. */
int snappy_deflate(struct pool *, int framed, const char *p, size_t n, struct weir_body **ret, struct weir_error *);
int snappy_check(struct weir_error *); /* WEIR_E_UNSUPPORTED: the library can not be loaded */
/* CRC-32C (Castagnoli), masked as the framing wants it. */
uint32_t snappy_masked_crc(const char *p, size_t n);

#endif
