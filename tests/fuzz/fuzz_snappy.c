/* Framed snappy with checksums that are right, so that a fuzzer comes past them: plain chunks get theirs from here, others keep what they have. */
#include <stdlib.h>
#include <string.h>

#include "core/snappy.h"

#define LIMIT (256u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth) {
  if (!truth) abort();
}

static void correct(char *p, size_t n) {
  for (size_t at = 0, length; n - at >= 4; at += 4 + length) {
    length = (size_t)(unsigned char)p[at + 1] | (size_t)(unsigned char)p[at + 2] << 8 | (size_t)(unsigned char)p[at + 3] << 16;
    if (length > n - at - 4) return;
    if (p[at] != 1 || length < 4) continue;
    uint32_t crc = snappy_masked_crc(p + at + 8, length - 4);
    for (int i = 0; i < 4; i++) p[at + 4 + (size_t)i] = (char)(crc >> (8 * i));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char begin[] = "\xff\x06\0\0sNaPpY";
  struct pool *pool = pool_new(NULL);
  struct inflated out = { pool, LIMIT, 0, NULL };
  struct weir_error err = { 0 };
  size_t n = size + sizeof begin - 1;
  char *p = malloc(n);
  memcpy(p, begin, sizeof begin - 1);
  if (size) memcpy(p + sizeof begin - 1, data, size);
  correct(p, n);
  must(inflated_begin(&out, n, &err) == 0);
  if (snappy_inflate(&out, p, n, &err))
    must(err.msg[0] != 0);
  else
    must(out.body->n <= LIMIT);
  body_free(out.body);
  free(p);
  pool_free(pool);
  return 0;
}
