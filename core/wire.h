/*
 * core/wire.h - the protobuf wire format, inline: varints, tags, bounds. Source: protobuf.dev "Encoding".
 *
 * Readers return the place behind what they read, or NULL when it is malformed: a number of more than 10 bytes, a tag or a length of
 * more than 5, a length past the end, field number 0 or over 2^29-1, wire types 3, 4 (groups, as protobuf-c refuses them), 6 and 7.
 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIRE_VARINT 0u
#define WIRE_64 1u
#define WIRE_LEN 2u
#define WIRE_32 5u

/* One field as it stands on the wire. For WIRE_LEN p..p+v is the payload; else v is the number. */
struct wire_field {
  uint32_t number, type;
  uint64_t v;
  const char *p;
};

/* Out of line: what takes more than one byte. At most max_bits / 7 bytes. */
const char *wire_varint_slow(const char *p, const char *end, unsigned max_bits, uint64_t *ret);
const char *wire_next_any(const char *p, const char *end, struct wire_field *f);

static inline const char *wire_varint(const char *p, const char *end, uint64_t *ret) {
  if (p < end && (unsigned char)*p < 0x80) {
    *ret = (unsigned char)*p;
    return p + 1;
  }
  return wire_varint_slow(p, end, 70, ret);
}

/* Tags and lengths: 5 bytes at most, as every parser has it. */
static inline const char *wire_varint32(const char *p, const char *end, uint64_t *ret) {
  if (p < end && (unsigned char)*p < 0x80) {
    *ret = (unsigned char)*p;
    return p + 1;
  }
  return wire_varint_slow(p, end, 35, ret);
}

static inline uint64_t wire_load64(const char *p) {
  uint64_t v;
  memcpy(&v, p, 8); /* little endian, as the wire; asserted by otlp_table.c */
  return v;
}

static inline uint32_t wire_load32(const char *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

/* The next field of a message; requires p < end. Most fields are length-delimited with a tag and a length of one byte each. */
static inline const char *wire_next(const char *p, const char *end, struct wire_field *f) {
  unsigned tag = (unsigned char)*p;
  if ((tag & 0x87) != WIRE_LEN || tag < 8 || end - p < 2 || (unsigned char)p[1] > 0x7f || (unsigned char)p[1] > end - p - 2) return wire_next_any(p, end, f);
  f->number = tag >> 3;
  f->type = WIRE_LEN;
  f->v = (unsigned char)p[1];
  f->p = p + 2;
  return f->p + f->v;
}

static inline size_t wire_varint_size(uint64_t v) {
  size_t n = 1;
  while (v >= 0x80) {
    v >>= 7;
    n++;
  }
  return n;
}

static inline char *wire_put_varint(char *out, uint64_t v) {
  while (v >= 0x80) {
    *out++ = (char)(v | 0x80);
    v >>= 7;
  }
  *out++ = (char)v;
  return out;
}

#endif
