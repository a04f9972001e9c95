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

/* At most max_bits / 7 bytes. */
static inline const char *wire_varint_slow(const char *p, const char *end, unsigned max_bits, uint64_t *ret) {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < max_bits; shift += 7) {
    if (p >= end) return NULL;
    uint64_t byte = (unsigned char)*p++;
    if (shift < 64) v |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      *ret = v;
      return p;
    }
  }
  return NULL;
}

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

/* The next field of a message; requires p < end. */
static inline const char *wire_next(const char *p, const char *end, struct wire_field *f) {
  uint64_t tag;
  if (!(p = wire_varint32(p, end, &tag)) || tag > UINT32_MAX || tag < 8) return NULL;
  f->number = (uint32_t)(tag >> 3);
  f->type = (uint32_t)(tag & 7);
  f->p = p;
  switch (f->type) {
  case WIRE_LEN:
    if (!(p = wire_varint32(p, end, &f->v)) || f->v > (uint64_t)(end - p)) return NULL;
    f->p = p;
    return p + f->v;
  case WIRE_VARINT: return wire_varint(p, end, &f->v);
  case WIRE_64:
    if (end - p < 8) return NULL;
    f->v = wire_load64(p);
    return p + 8;
  case WIRE_32:
    if (end - p < 4) return NULL;
    f->v = wire_load32(p);
    return p + 4;
  default: return NULL;
  }
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
