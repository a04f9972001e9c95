#include "plugins/kit/query.h"

#include <string.h>

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* The character at *p, and past it; -1: a broken escape. */
static int next_char(const char **p, const char *end) {
  char c = *(*p)++;
  if (c == '+') return ' ';
  if (c != '%') return (unsigned char)c;
  if (end - *p < 2 || hex((*p)[0]) < 0 || hex((*p)[1]) < 0) return -1;
  int code = hex((*p)[0]) * 16 + hex((*p)[1]);
  *p += 2;
  return code;
}

static int is_whole(const char *p, const char *end) {
  if (memchr(p, ';', (size_t)(end - p))) return 0;
  while (p < end)
    if (next_char(&p, end) < 0) return 0;
  return 1;
}

static int is_named(const char *p, const char *end, const char *name) {
  for (; p < end && *name; name++)
    if (next_char(&p, end) != (unsigned char)*name) return 0;
  return p == end && !*name;
}

int kit_query_get(struct weir_str query, const char *name, char *buf, size_t cap, struct weir_str *ret) {
  const char *p = query.p, *end = query.n ? query.p + query.n : query.p;
  while (p < end) {
    const char *amp = memchr(p, '&', (size_t)(end - p)), *to = amp ? amp : end, *equals = memchr(p, '=', (size_t)(to - p));
    const char *value = equals ? equals + 1 : to;
    if (is_whole(p, to) && is_named(p, equals ? equals : to, name)) {
      size_t n = 0;
      for (; value < to && n < cap; n++) buf[n] = (char)next_char(&value, to);
      *ret = (struct weir_str){ buf, (uint32_t)n, 0 };
      return value < to ? -1 : 1;
    }
    p = to + (amp != NULL);
  }
  return 0;
}
