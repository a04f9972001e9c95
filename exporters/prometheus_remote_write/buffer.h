/*
 * prometheus_remote_write/buffer.h - protobuf messages written into a growing run of bytes (plugins/kit/bytes.h). Source: protobuf.dev "Encoding".
 *
 * A message whose length is not known yet is opened with room for the length it will most likely have; where it turns out longer or shorter the
 * content is moved. Most series have 128 to 16,383 bytes, so that is rare. Threads: [lane] of the instance.
 */
#ifndef RW_BUFFER_H
#define RW_BUFFER_H

#include "plugins/kit/bytes.h"

static inline uint64_t rw_zigzag(int64_t v) { return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0); }

#define RW_FIELD(number, type) ((uint64_t)(number) << 3 | (type))
#define RW_VARINT 0u
#define RW_64 1u
#define RW_LEN 2u

/* A field with a number, also when it is 0. */
static inline void rw_number(struct kit_bytes *b, uint32_t field, uint64_t v) {
  kit_put_varint(b, RW_FIELD(field, RW_VARINT));
  kit_put_varint(b, v);
}

static inline void rw_fixed64(struct kit_bytes *b, double v) {
  if (!kit_bytes_room(b, 8)) return;
  memcpy(b->p + b->n, &v, 8); /* little endian, as the wire; so is every machine that weir builds for (core/otlp_table.c) */
  b->n += 8;
}

/* A double; +0 is left out, as proto3 has it. -0 and every NaN keep their bits. */
static inline void rw_double(struct kit_bytes *b, uint32_t field, double v) {
  uint64_t bits;
  memcpy(&bits, &v, 8);
  if (!bits) return;
  kit_put_varint(b, RW_FIELD(field, RW_64));
  rw_fixed64(b, v);
}

static inline void rw_bytes(struct kit_bytes *b, uint32_t field, struct weir_str s) {
  if (!kit_bytes_room(b, 20 + (size_t)s.n)) return;
  char *o = kit_varint_at(kit_varint_at(b->p + b->n, RW_FIELD(field, RW_LEN)), s.n);
  if (s.n) memcpy(o, s.p, s.n);
  b->n = (size_t)(o - b->p) + s.n;
}

/* Begins a message or packed list in `field` whose length will probably need `digits` bytes; returns what rw_close wants. */
static inline size_t rw_open(struct kit_bytes *b, uint32_t field, size_t digits) {
  kit_put_varint(b, RW_FIELD(field, RW_LEN));
  if (kit_bytes_room(b, digits)) b->n += digits;
  return b->n;
}

static inline void rw_close(struct kit_bytes *b, size_t begin, size_t digits) {
  if (b->failed) return;
  size_t length = b->n - begin, want = kit_varint_size(length);
  if (want != digits) {
    if (want > digits && !kit_bytes_room(b, want - digits)) return;
    memmove(b->p + begin + want - digits, b->p + begin, length);
    b->n = begin + want - digits + length;
  }
  kit_varint_at(b->p + begin - digits, length);
}

#endif
