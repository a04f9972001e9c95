/*
 * plugins/kit/base64.h - base64 as in HTTP credentials: the standard alphabet with padding (RFC 4648 section 4), nothing else.
 *
 * Pure functions; no memory of their own. Decoding is strict: other characters, missing padding and bits behind the end are refused.
 */
#ifndef KIT_BASE64_H
#define KIT_BASE64_H

#include <stddef.h>

/* Decodes n characters to at most cap bytes. Returns how many, or -1. */
long kit_base64_decode(const char *p, size_t n, void *to, size_t cap);
/* Encodes and ends with NUL; `to` has room for KIT_BASE64_CAP(n). Returns the length. */
#define KIT_BASE64_CAP(n) (((n) + 2) / 3 * 4 + 1)
size_t kit_base64_encode(const void *p, size_t n, char *to);

#endif
