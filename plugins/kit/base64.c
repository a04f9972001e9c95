#include "plugins/kit/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long kit_base64_decode(const char *p, size_t n, void *to, size_t cap) {
  uint8_t *out = to;
  size_t k = 0, pad = 0;
  if (n % 4) return -1;
  if (n && p[n - 1] == '=') pad = p[n - 2] == '=' ? 2 : 1;
  if (n / 4 * 3 - pad > cap) return -1;
  for (size_t i = 0; i < n; i += 4) {
    size_t missing = i + 4 == n ? pad : 0;
    uint32_t word = 0;
    for (size_t j = 0; j < 4; j++) {
      int v = j < 4 - missing ? value_of(p[i + j]) : 0;
      if (v < 0) return -1;
      word = word << 6 | (uint32_t)v;
    }
    if (missing && (word & (missing == 2 ? 0xffffu : 0xffu))) return -1; /* bits behind the end */
    out[k++] = (uint8_t)(word >> 16);
    if (missing < 2) out[k++] = (uint8_t)(word >> 8);
    if (missing < 1) out[k++] = (uint8_t)word;
  }
  return (long)k;
}

size_t kit_base64_encode(const void *p, size_t n, char *to) {
  const uint8_t *in = p;
  size_t k = 0;
  for (size_t i = 0; i < n; i += 3) {
    uint32_t word = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
    to[k++] = alphabet[word >> 18];
    to[k++] = alphabet[word >> 12 & 63];
    to[k++] = i + 1 < n ? alphabet[word >> 6 & 63] : '=';
    to[k++] = i + 2 < n ? alphabet[word & 63] : '=';
  }
  to[k] = 0;
  return k;
}
