/*
 * core/crc32c.h - CRC-32C (Castagnoli), as RFC 3720 has it: SSE 4.2's instruction where the processor has it, eight tables elsewhere.
 *
 * Debian has no C library for it (libdeflate's and zlib's crc32 are of another polynomial). Measured per byte: docs/design/queue.md. [any]
 */
#ifndef CORE_CRC32C_H
#define CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc: of what stands before; 0 at the start. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same by tables, for tests. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);

#endif
