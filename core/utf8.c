#include "core/utf8.h"

#include <string.h>

size_t utf8_len(const char *p, size_t n) {
  unsigned char a = (unsigned char)p[0], b = n > 1 ? (unsigned char)p[1] : 0;
  size_t len = a < 0x80 ? 1 : a >= 0xc2 && a < 0xe0 ? 2 : a >= 0xe0 && a < 0xf0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;
  if (len > n) return 0;
  for (size_t i = 1; i < len; i++)
    if (((unsigned char)p[i] & 0xc0) != 0x80) return 0;
  if ((a == 0xe0 && b < 0xa0) || (a == 0xf0 && b < 0x90)) return 0; /* overlong */
  if ((a == 0xed && b > 0x9f) || (a == 0xf4 && b > 0x8f)) return 0; /* surrogates; over U+10FFFF */
  return len;
}

size_t utf8_repair(const char *p, size_t n, char *buf, size_t cap) {
  size_t out = 0;
  for (size_t i = 0; i < n;) {
    size_t len = utf8_len(p + i, n - i), need = len ? len : sizeof UTF8_REPLACEMENT - 1;
    if (need > cap - out) break;
    memcpy(buf + out, len ? p + i : UTF8_REPLACEMENT, need);
    out += need;
    i += len ? len : 1;
  }
  return out;
}
