/* Text for people: escaped strings, hex ids, times, values as the Collector's debug exporter writes them. */
#include "debug.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 32

static int room(struct text *t, size_t n) {
  if (t->failed) return 0;
  if (t->cap - t->n > n) return 1;
  size_t cap = t->cap ? t->cap * 2 : 8192;
  while (cap - t->n <= n) cap *= 2;
  char *p = realloc(t->p, cap);
  if (!p) {
    t->failed = 1;
    return 0;
  }
  t->p = p;
  t->cap = cap;
  return 1;
}

static void put_raw(struct text *t, const char *p, size_t n) {
  if (!n || !room(t, n)) return;
  memcpy(t->p + t->n, p, n);
  t->n += n;
}

void text_put(struct text *t, const char *fmt, ...) {
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n > 0 && room(t, (size_t)n + 1)) {
    vsnprintf(t->p + t->n, (size_t)n + 1, fmt, again);
    t->n += (size_t)n;
  }
  va_end(again);
}

/* The length of a well-formed, printable UTF-8 character at p, or 0. C1 controls and overlong forms are not printable. */
static size_t printable(const unsigned char *p, size_t n) {
  if (p[0] < 0x80) return p[0] >= 0x20 && p[0] != 0x7f;
  size_t len = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : 0;
  if (!len || len > n) return 0;
  for (size_t i = 1; i < len; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0) return 0;
  if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) return 0;
  if (p[0] == 0xe2 && (p[1] == 0x80 || p[1] == 0x81) && ((p[2] >= 0xa8 && p[2] <= 0xae) || (p[1] == 0x81 && p[2] >= 0xa6))) return 0; /* line separators, direction marks */
  return len;
}

void text_str(struct text *t, struct weir_str s) {
  size_t i = 0;
  while (i < s.n) {
    size_t len = printable((const unsigned char *)s.p + i, s.n - i);
    if (len) put_raw(t, s.p + i, len);
    else if (s.p[i] == '\n') put_raw(t, "\\n", 2);
    else if (s.p[i] == '\t') put_raw(t, "\\t", 2);
    else text_put(t, "\\x%02x", (unsigned char)s.p[i]);
    i += len ? len : 1;
  }
}

void text_hex(struct text *t, struct weir_str s) {
  static const char digits[] = "0123456789abcdef";
  for (uint32_t i = 0; i < s.n; i++) {
    char two[2] = { digits[(unsigned char)s.p[i] >> 4], digits[(unsigned char)s.p[i] & 15] };
    put_raw(t, two, 2);
  }
}

void text_time(struct text *t, uint64_t unix_ns) {
  time_t s = (time_t)(unix_ns / 1000000000);
  struct tm tm;
  char buf[40];
  gmtime_r(&s, &tm);
  strftime(buf, sizeof buf, "%Y-%m-%d %H:%M:%S", &tm);
  uint64_t ns = unix_ns % 1000000000;
  if (ns) {
    char frac[12];
    int n = snprintf(frac, sizeof frac, "%09" PRIu64, ns);
    while (n > 1 && frac[n - 1] == '0') frac[--n] = 0;
    text_put(t, "%s.%s +0000 UTC", buf, frac);
  } else {
    text_put(t, "%s +0000 UTC", buf);
  }
}

void text_double(struct text *t, const char *before, double d) {
  char buf[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(buf, sizeof buf, "%.*g", digits, d);
    if (strtod(buf, NULL) == d) break;
  }
  text_put(t, "%s%s", before, buf);
}

/* --- values ------------------------------------------------------------------------------------------------------------ */

static struct weir_str str_of(const struct weir_value *v) {
  struct weir_str s = { v->u.s, v->n, 0 };
  return s;
}

static void put_json(struct text *t, const struct weir_value *v, int depth) {
  if (depth > DEPTH_MAX) {
    text_put(t, "...");
    return;
  }
  switch (v->kind) {
  case WEIR_V_STRING:
    text_put(t, "\"");
    text_str(t, str_of(v));
    text_put(t, "\"");
    break;
  case WEIR_V_ARRAY:
    text_put(t, "[");
    for (uint32_t i = 0; i < v->n; i++) {
      if (i) text_put(t, ",");
      put_json(t, &v->u.items[i], depth + 1);
    }
    text_put(t, "]");
    break;
  case WEIR_V_KVLIST:
    text_put(t, "{");
    for (uint32_t i = 0; i < v->n; i++) {
      text_put(t, i ? ",\"" : "\"");
      text_str(t, v->u.attrs[i].key);
      text_put(t, "\":");
      put_json(t, &v->u.attrs[i].value, depth + 1);
    }
    text_put(t, "}");
    break;
  default: text_inline_value(t, v, depth); break;
  }
}

void text_inline_value(struct text *t, const struct weir_value *v, int depth) {
  switch (v->kind) {
  case WEIR_V_STRING: text_str(t, str_of(v)); break;
  case WEIR_V_BOOL: text_put(t, v->u.i ? "true" : "false"); break;
  case WEIR_V_INT: text_put(t, "%" PRId64, v->u.i); break;
  case WEIR_V_DOUBLE: text_double(t, "", v->u.d); break;
  case WEIR_V_BYTES: text_hex(t, str_of(v)); break;
  case WEIR_V_ARRAY:
  case WEIR_V_KVLIST: put_json(t, v, depth); break;
  default: break;
  }
}

void text_value(struct text *t, const struct weir_value *v, int depth) {
  static const char *const names[] = { "Empty", "Str", "Bool", "Int", "Double", "Slice", "Map", "Bytes" };
  text_put(t, "%s(", v->kind <= WEIR_V_BYTES ? names[v->kind] : "?");
  text_inline_value(t, v, depth);
  text_put(t, ")");
}

void text_attrs(struct text *t, const char *indent, const char *title, const struct weir_rec *rec) {
  if (!rec->n_attrs) return;
  text_put(t, "%s%s:\n", indent, title);
  for (uint32_t i = 0; i < rec->n_attrs; i++) {
    text_put(t, "%*s     -> ", *indent ? 5 : 0, ""); /* below the title's arrow */
    text_str(t, rec->attrs[i].key);
    text_put(t, ": ");
    text_value(t, &rec->attrs[i].value, 0);
    text_put(t, "\n");
  }
}

void text_inline_attrs(struct text *t, const struct weir_rec *rec) {
  for (uint32_t i = 0; i < rec->n_attrs; i++) {
    text_put(t, " ");
    text_str(t, rec->attrs[i].key);
    text_put(t, "=");
    text_inline_value(t, &rec->attrs[i].value, 0);
  }
}
