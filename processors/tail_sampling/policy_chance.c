/*
 * Choosing by chance: OpenTelemetry's consistent probability (a trace is kept iff R >= T, 56 bits each), and the Collector's hash of salt and trace id.
 */
#include <math.h>

#include "policy_internal.h"

#define COLLECTOR_SALT "default-hash-seed"

/* FNV-1a, 64 bits */
static uint64_t fnv(uint64_t h, const void *p, size_t n) {
  for (size_t i = 0; i < n; i++) h = (h ^ ((const unsigned char *)p)[i]) * 0x100000001b3u;
  return h;
}

/* (2^64 - 1) * ratio, to 64 significant bits, half to even, the rest cut off: what Go's big.Float makes of it, to the last bit. */
static uint64_t share_of_64_bits(double ratio) {
  int exponent;
  if (!(ratio > 0)) return 0;
  if (ratio >= 1) return UINT64_MAX;
  uint64_t m = (uint64_t)ldexp(frexp(ratio, &exponent), 53); /* ratio = m * 2^(exponent - 53) */
  uint64_t high = m - 1, low = 0 - m;                        /* the product is m * 2^64 - m, 116 or 117 bits */
  int shift = 117 - 64 - (high >> 52 & 1 ? 0 : 1);
  uint64_t top = high << (64 - shift) | low >> shift, rest = low << (64 - shift), half = 1ull << 63;
  int up = rest > half || (rest == half && (top & 1));
  int scale = shift + exponent - 53; /* the result is top * 2^scale, scale <= 0 */
  if (up && top == UINT64_MAX) { /* a power of two */
    top = half;
    scale++;
  } else {
    top += (uint64_t)up;
  }
  if (scale > 0) return UINT64_MAX;
  return scale <= -64 ? 0 : top >> -scale;
}

/* (1 - probability) * 2^56 */
static uint64_t rejected(double ratio) {
  if (ratio >= 1) return 0;
  if (!(ratio >= 1.0 / (double)TS_R_ALWAYS)) return TS_R_ALWAYS;
  return TS_R_ALWAYS - (uint64_t)round(ratio * (double)TS_R_ALWAYS);
}

void ts_chance_set(struct ts_leaf *l, double percent, const char *salt) {
  double ratio = percent / 100;
  l->u.chance.reject = rejected(ratio);
  l->u.chance.salted = salt != NULL;
  if (salt && !*salt) salt = COLLECTOR_SALT;
  if (salt) l->u.chance.salt = fnv(0xcbf29ce484222325u, salt, strlen(salt));
  l->u.chance.hash = share_of_64_bits(ratio);
  l->threshold = l->u.chance.reject;
}

int ts_chance(const struct ts_leaf *l, const struct ts_facts *f) {
  if (l->u.chance.salted) return fnv(l->u.chance.salt, f->id, sizeof f->id) <= l->u.chance.hash;
  return f->randomness >= l->u.chance.reject;
}
