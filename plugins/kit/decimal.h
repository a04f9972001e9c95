/*
 * plugins/kit/decimal.h - the shortest decimal that reads back as a double, and how it is written: what Go's strconv and with it the Collector and Prometheus show.
 *
 * Pure; [any].
 */
#ifndef KIT_DECIMAL_H
#define KIT_DECIMAL_H

#include <stddef.h>

#define KIT_DECIMAL_CAP 348u /* more than kit_decimal_plain writes: the smallest normal double has 324 characters with 17 digits, the largest 309 */

struct kit_decimal { /* 0.DIGITS * 10^point, without leading or trailing zeros */
  char digits[24];
  int n, point;
};

void kit_decimal_of(double v, struct kit_decimal *ret); /* v: finite, over 0 */
/* Both return how many characters they wrote, without a NUL. */
size_t kit_decimal_plain(const struct kit_decimal *, char *to);                         /* 0.00012, 1500000 */
size_t kit_decimal_exponent(const struct kit_decimal *, int exponent_digits, char *to); /* 1.2e-04 with two digits at least, 1.2e-4 with one */

#endif
