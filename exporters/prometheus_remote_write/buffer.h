/*
 * prometheus_remote_write/buffer.h - a growing run of bytes that protobuf messages are written into. Source: protobuf.dev "Encoding".
 *
 * A buffer keeps its memory from one request to the next. When memory is out it is `failed`: nothing more is written, and its owner looks at the end.
 * A message whose length is not known yet is opened with room for the length it will most likely have; where it turns out longer or shorter the
 * content is moved. Most series have 128 to 16,383 bytes, so that is rare. Threads: [lane] of the instance.
 */
#ifndef RW_BUFFER_H
#define RW_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <weir/data.h>

struct rw_buf {
  char *p;
  size_t n, cap;
  int failed;
};

/* Makes room for n more bytes. 0, or -1 and failed. */
int rw_grow(struct rw_buf *, size_t n);
void rw_buf_done(struct rw_buf *);

static inline int rw_need(struct rw_buf *b, size_t n) { return b->cap - b->n >= n ? 0 : rw_grow(b, n); }

static inline size_t rw_varint_size(uint64_t v) {
  size_t n = 1;
  for (; v >= 0x80; v >>= 7) n++;
  return n;
}

static inline char *rw_put_varint(char *o, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *o++ = (char)(v | 0x80);
  *o++ = (char)v;
  return o;
}

static inline uint64_t rw_zigzag(int64_t v) { return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0); }

#define RW_FIELD(number, type) ((uint64_t)(number) << 3 | (type))
#define RW_VARINT 0u
#define RW_64 1u
#define RW_LEN 2u

static inline void rw_varint(struct rw_buf *b, uint64_t v) {
  if (rw_need(b, 10)) return;
  b->n = (size_t)(rw_put_varint(b->p + b->n, v) - b->p);
}

/* A field with a number, also when it is 0. */
static inline void rw_number(struct rw_buf *b, uint32_t field, uint64_t v) {
  rw_varint(b, RW_FIELD(field, RW_VARINT));
  rw_varint(b, v);
}

static inline void rw_fixed64(struct rw_buf *b, double v) {
  if (rw_need(b, 8)) return;
  memcpy(b->p + b->n, &v, 8); /* little endian, as the wire; so is every machine that weir builds for (core/otlp_table.c) */
  b->n += 8;
}

/* A double; +0 is left out, as proto3 has it. -0 and every NaN keep their bits. */
static inline void rw_double(struct rw_buf *b, uint32_t field, double v) {
  uint64_t bits;
  memcpy(&bits, &v, 8);
  if (!bits) return;
  rw_varint(b, RW_FIELD(field, RW_64));
  rw_fixed64(b, v);
}

static inline void rw_bytes(struct rw_buf *b, uint32_t field, struct weir_str s) {
  if (rw_need(b, 20 + (size_t)s.n)) return;
  char *o = rw_put_varint(rw_put_varint(b->p + b->n, RW_FIELD(field, RW_LEN)), s.n);
  if (s.n) memcpy(o, s.p, s.n);
  b->n = (size_t)(o - b->p) + s.n;
}

/* Begins a message or packed list in `field` whose length will probably need `digits` bytes; returns what rw_close wants. */
static inline size_t rw_open(struct rw_buf *b, uint32_t field, size_t digits) {
  rw_varint(b, RW_FIELD(field, RW_LEN));
  if (!rw_need(b, digits)) b->n += digits;
  return b->n;
}
void rw_close(struct rw_buf *, size_t begin, size_t digits);

#endif
