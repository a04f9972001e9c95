#include "plugins/kit/decimal.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void digits_of(uint64_t n, int shift, struct kit_decimal *ret) {
  char buf[24];
  int len = snprintf(buf, sizeof buf, "%" PRIu64, n);
  ret->point = len - shift;
  while (len > 1 && buf[len - 1] == '0') len--;
  memcpy(ret->digits, buf, (size_t)len);
  ret->n = len;
}

/* Most values are whole or have a few decimals: n / 10^k is rounded once, so if it is v and n has at most 15 digits, no shorter text is nearer. */
static int is_simple(double v, struct kit_decimal *ret) {
  static const double p10[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9 };
  for (int k = 0; k < 10; k++) {
    double scaled = v * p10[k];
    if (!(scaled < 1e15)) return 0;
    uint64_t n = (uint64_t)(scaled + 0.5);
    if (n && (double)n / p10[k] == v) {
      digits_of(n, k, ret);
      return 1;
    }
  }
  return 0;
}

void kit_decimal_of(double v, struct kit_decimal *ret) {
  char buf[40];
  if (is_simple(v, ret)) return;
  for (int prec = v < DBL_MIN ? 0 : 14; prec <= 16; prec++) { /* 15 digits name every normal double that has a text of 15 */
    snprintf(buf, sizeof buf, "%.*e", prec, v);
    if (strtod(buf, NULL) == v) break;
  }
  char *e = strchr(buf, 'e');
  ret->n = 0;
  for (char *c = buf; c < e; c++)
    if (*c >= '0' && *c <= '9') ret->digits[ret->n++] = *c;
  while (ret->n > 1 && ret->digits[ret->n - 1] == '0') ret->n--;
  ret->point = (int)strtol(e + 1, NULL, 10) + 1;
}

size_t kit_decimal_exponent(const struct kit_decimal *d, int exponent_digits, char *to) {
  size_t n = 0;
  to[n++] = d->digits[0];
  if (d->n > 1) to[n++] = '.';
  for (int i = 1; i < d->n; i++) to[n++] = d->digits[i];
  return n + (size_t)snprintf(to + n, 8, "e%c%0*d", d->point > 0 ? '+' : '-', exponent_digits, abs(d->point - 1));
}

size_t kit_decimal_plain(const struct kit_decimal *d, char *to) {
  size_t n = 0;
  if (d->point <= 0) {
    to[n++] = '0';
    to[n++] = '.';
    for (int i = d->point; i < 0; i++) to[n++] = '0';
  }
  for (int i = 0; i < d->n || i < d->point; i++) {
    if (i && i == d->point) to[n++] = '.';
    to[n++] = i < d->n ? d->digits[i] : '0';
  }
  return n;
}
