/*
 * plugins/kit/bytes.h - a growing run of bytes to encode into, and the protobuf numbers that stand in it.
 *
 * Out of memory is remembered (`failed`) and asked for once at the end: what was put since is not there. Inline, no state of its own; [lane] of the
 * owner. Source of the numbers: protobuf.dev "Encoding".
 */
#ifndef KIT_BYTES_H
#define KIT_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <weir/data.h>

struct kit_bytes {
  char *p;
  size_t n, cap;
  int failed;
};

/* Room for n more bytes; 0 when there is no memory. */
int kit_bytes_grow(struct kit_bytes *, size_t n);
void kit_bytes_free(struct kit_bytes *);

static inline int kit_bytes_room(struct kit_bytes *b, size_t n) { return b->p && b->cap - b->n >= n ? 1 : kit_bytes_grow(b, n); }

static inline void kit_put(struct kit_bytes *b, const void *p, size_t n) {
  if (!n || !kit_bytes_room(b, n)) return;
  memcpy(b->p + b->n, p, n);
  b->n += n;
}

static inline void kit_put_char(struct kit_bytes *b, char c) {
  if (kit_bytes_room(b, 1)) b->p[b->n++] = c;
}

static inline void kit_put_str(struct kit_bytes *b, struct weir_str s) { kit_put(b, s.p, s.n); }
static inline void kit_put_text(struct kit_bytes *b, const char *s) { kit_put(b, s, strlen(s)); }

/* --- protobuf ----------------------------------------------------------------------------------------------------------- */

#define KIT_VARINT_MAX 10u

static inline size_t kit_varint_size(uint64_t v) {
  size_t n = 1;
  while (v >= 0x80) {
    v >>= 7;
    n++;
  }
  return n;
}

/* Writes at `out`, which has room; the place behind it. */
static inline char *kit_varint_at(char *out, uint64_t v) {
  while (v >= 0x80) {
    *out++ = (char)(v | 0x80);
    v >>= 7;
  }
  *out++ = (char)v;
  return out;
}

static inline void kit_put_varint(struct kit_bytes *b, uint64_t v) {
  if (kit_bytes_room(b, KIT_VARINT_MAX)) b->n = (size_t)(kit_varint_at(b->p + b->n, v) - b->p);
}

/* The head of a length-delimited field: number under 16. */
static inline void kit_put_len(struct kit_bytes *b, uint32_t number, size_t n) {
  kit_put_char(b, (char)(number << 3 | 2));
  kit_put_varint(b, n);
}

#endif
