/*
 * core/utf8.h - UTF-8 (RFC 3629): telling characters from damage, and repairing text for those who take nothing else.
 *
 * Strings from outside pass through weir as bytes. Where an output needs text (a proto3 string that official parsers check, a terminal), damage
 * becomes U+FFFD. Pure functions; [any].
 */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stddef.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Length of the character at p, of n > 0 bytes; 0 when it is cut, overlong, a surrogate, or none at all. */
size_t utf8_len(const char *p, size_t n);
/* Copies whole characters while they fit, each damaged byte as U+FFFD. Returns the bytes written; no NUL behind them. */
size_t utf8_repair(const char *p, size_t n, char *buf, size_t cap);

#endif
