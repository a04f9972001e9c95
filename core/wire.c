#include "core/wire.h"

const char *wire_varint_slow(const char *p, const char *end, unsigned max_bits, uint64_t *ret) {
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

const char *wire_next_any(const char *p, const char *end, struct wire_field *f) {
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
