#include "core/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */
#define SLICES 8

static uint32_t table[SLICES][256];

static void make_table(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
    table[0][i] = c;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int s = 1; s < SLICES; s++) table[s][i] = table[s - 1][i] >> 8 ^ table[0][table[s - 1][i] & 0xff];
}

static uint32_t step(uint32_t c, const unsigned char *p) {
  uint32_t a = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
  return table[7][a & 0xff] ^ table[6][a >> 8 & 0xff] ^ table[5][a >> 16 & 0xff] ^ table[4][a >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^
         table[1][p[6]] ^ table[0][p[7]];
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t n) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  const unsigned char *p = data;
  uint32_t c = ~crc;
  if (n == 0) return crc;
  pthread_once(&once, make_table);
  for (; n >= SLICES; n -= SLICES, p += SLICES) c = step(c, p);
  for (; n; n--, p++) c = c >> 8 ^ table[0][(c ^ *p) & 0xff];
  return ~c;
}

#ifdef __x86_64__

#define TARGET __attribute__((target("sse4.2")))

/* The instruction takes a word per cycle, but its result comes after three: three independent runs at once, joined by moving a CRC over RUN zero bytes. */
#define RUN 1024u

static uint32_t over_run[4][256];

TARGET static uint32_t words(uint64_t c, const char *p, size_t n) {
  for (uint64_t w; n >= 8; n -= 8, p += 8) {
    memcpy(&w, p, 8);
    c = __builtin_ia32_crc32di(c, w);
  }
  return (uint32_t)c;
}

static uint32_t zeros(uint32_t c) {
  static const char none[RUN];
  return words(c, none, RUN);
}

/* Moving over zeros is linear: the sum over the bytes of what each becomes. */
static void make_over_run(void) {
  for (uint32_t k = 0; k < 4; k++)
    for (uint32_t i = 0; i < 256; i++) over_run[k][i] = zeros(i << (8 * k));
}

static uint32_t shift(uint32_t c) {
  return over_run[0][c & 0xff] ^ over_run[1][c >> 8 & 0xff] ^ over_run[2][c >> 16 & 0xff] ^ over_run[3][c >> 24];
}

TARGET static uint32_t three_runs(uint64_t a, const char *p) {
  uint64_t b = 0, c = 0, w[3];
  for (size_t i = 0; i < RUN; i += 8) {
    memcpy(&w[0], p + i, 8);
    memcpy(&w[1], p + RUN + i, 8);
    memcpy(&w[2], p + 2 * RUN + i, 8);
    a = __builtin_ia32_crc32di(a, w[0]);
    b = __builtin_ia32_crc32di(b, w[1]);
    c = __builtin_ia32_crc32di(c, w[2]);
  }
  return shift(shift((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

TARGET static uint32_t by_instruction(uint32_t crc, const char *p, size_t n) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  uint32_t c = ~crc;
  if (n == 0) return crc; /* p may be NULL */
  if (n >= 3 * RUN) pthread_once(&once, make_over_run);
  for (; n >= 3 * RUN; n -= 3 * RUN, p += 3 * RUN) c = three_runs(c, p);
  c = words(c, p, n);
  for (p += n & ~(size_t)7, n &= 7; n; n--, p++) c = __builtin_ia32_crc32qi(c, (unsigned char)*p);
  return ~c;
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n) {
  return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, p, n) : crc32c_portable(crc, p, n);
}

#else

uint32_t crc32c(uint32_t crc, const void *p, size_t n) { return crc32c_portable(crc, p, n); }

#endif
