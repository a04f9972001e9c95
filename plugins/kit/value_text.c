#include "plugins/kit/value_text.h"

#include <math.h>
#include <stdio.h>

#include "plugins/kit/base64.h"
#include "plugins/kit/decimal.h"

#define DEPTH_MAX 100 /* as the decoder's */

static const char digits[] = "0123456789abcdef";

void kit_put_uint(struct kit_bytes *b, uint64_t v) {
  char text[24], *p = text + sizeof text;
  do *--p = (char)('0' + v % 10);
  while (v /= 10);
  kit_put(b, p, (size_t)(text + sizeof text - p));
}

void kit_put_int(struct kit_bytes *b, int64_t v) {
  if (v < 0) kit_put_char(b, '-');
  kit_put_uint(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void kit_put_hex(struct kit_bytes *b, struct weir_str s) {
  if (!kit_bytes_room(b, 2 * (size_t)s.n)) return;
  for (uint32_t i = 0; i < s.n; i++) {
    b->p[b->n++] = digits[(unsigned char)s.p[i] >> 4];
    b->p[b->n++] = digits[(unsigned char)s.p[i] & 15];
  }
}

/* --- doubles ------------------------------------------------------------------------------------------------------------ */

void kit_put_double(struct kit_bytes *b, double d) {
  struct kit_decimal dec;
  if (isnan(d)) {
    kit_put_text(b, "NaN");
    return;
  }
  if (signbit(d)) kit_put_char(b, '-');
  if (isinf(d) || d == 0) {
    kit_put_text(b, d == 0 ? "0" : "Infinity");
    return;
  }
  if (!kit_bytes_room(b, KIT_DECIMAL_CAP)) return;
  d = fabs(d);
  kit_decimal_of(d, &dec);
  b->n += d >= 1e-6 && d < 1e21 ? kit_decimal_plain(&dec, b->p + b->n) : kit_decimal_exponent(&dec, 1, b->p + b->n);
}

/* --- text ----------------------------------------------------------------------------------------------------------------- */

size_t kit_utf8_len(const char *s, size_t n) {
  const unsigned char *p = (const unsigned char *)s;
  if (p[0] < 0x80) return 1;
  size_t len = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : 0;
  if (!len || len > n) return 0;
  for (size_t i = 1; i < len; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) return 0;
  return len;
}

static void put_json_special(struct kit_bytes *b, unsigned char c) {
  static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
  const char *at = memchr(from, c, sizeof from - 1);
  kit_put_char(b, '\\');
  if (at) {
    kit_put_char(b, to[at - from]);
    return;
  }
  kit_put_text(b, "u00");
  kit_put_char(b, digits[c >> 4]);
  kit_put_char(b, digits[c & 15]);
}

void kit_put_json_str(struct kit_bytes *b, struct weir_str s) {
  size_t i = 0, from = 0;
  kit_put_char(b, '"');
  while (i < s.n) {
    unsigned char c = (unsigned char)s.p[i];
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
      i++;
      continue;
    }
    size_t len = c < 0x80 ? 0 : kit_utf8_len(s.p + i, s.n - i);
    int line_end = len == 3 && c == 0xe2 && (unsigned char)s.p[i + 1] == 0x80 && ((unsigned char)s.p[i + 2] & 0xfe) == 0xa8;
    if (len && !line_end) {
      i += len;
      continue;
    }
    kit_put(b, s.p + from, i - from);
    if (line_end) kit_put_text(b, (unsigned char)s.p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029");
    else if (c < 0x80) put_json_special(b, c);
    else kit_put_text(b, "\\ufffd");
    i += line_end ? 3 : 1;
    from = i;
  }
  if (from < s.n) kit_put(b, s.p + from, s.n - from);
  kit_put_char(b, '"');
}

/* --- values ----------------------------------------------------------------------------------------------------------------- */

static void put_json(struct kit_bytes *b, const struct weir_value *v, int depth);

static int by_key(const void *a, const void *b) {
  const struct weir_attr *x = *(const struct weir_attr *const *)a, *y = *(const struct weir_attr *const *)b;
  uint32_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
  int r = n ? memcmp(x->key.p, y->key.p, n) : 0;
  if (r || x->key.n != y->key.n) return r ? r : x->key.n < y->key.n ? -1 : 1;
  return x < y ? -1 : 1;
}

static void put_map(struct kit_bytes *b, const struct weir_value *v, int depth) {
  const struct weir_attr **sorted = malloc(v->n * sizeof *sorted + 1);
  if (!sorted) {
    b->failed = 1;
    return;
  }
  for (uint32_t i = 0; i < v->n; i++) sorted[i] = &v->u.attrs[i];
  qsort(sorted, v->n, sizeof *sorted, by_key);
  kit_put_char(b, '{');
  for (uint32_t i = 0, n = 0; i < v->n; i++) {
    if (i + 1 < v->n && weir_str_eq(sorted[i]->key, sorted[i + 1]->key)) continue; /* the last of a key stays, as in a Go map */
    if (n++) kit_put_char(b, ',');
    kit_put_json_str(b, sorted[i]->key);
    kit_put_char(b, ':');
    put_json(b, &sorted[i]->value, depth + 1);
  }
  kit_put_char(b, '}');
  free(sorted);
}

static void put_bytes(struct kit_bytes *b, const struct weir_value *v) {
  if (kit_bytes_room(b, KIT_BASE64_CAP((size_t)v->n))) b->n += kit_base64_encode(v->u.s, v->n, b->p + b->n);
}

static void put_json(struct kit_bytes *b, const struct weir_value *v, int depth) {
  int quoted = v->kind == WEIR_V_BYTES || (v->kind == WEIR_V_DOUBLE && !isfinite(v->u.d));
  if (depth > DEPTH_MAX || v->kind == WEIR_V_EMPTY) {
    kit_put_text(b, "null");
    return;
  }
  if (v->kind == WEIR_V_STRING) {
    kit_put_json_str(b, (struct weir_str){ v->u.s, v->n, 0 });
  } else if (v->kind == WEIR_V_ARRAY) {
    kit_put_char(b, '[');
    for (uint32_t i = 0; i < v->n; i++) {
      if (i) kit_put_char(b, ',');
      put_json(b, &v->u.items[i], depth + 1);
    }
    kit_put_char(b, ']');
  } else if (v->kind == WEIR_V_KVLIST) {
    put_map(b, v, depth);
  } else {
    if (quoted) kit_put_char(b, '"');
    kit_put_value(b, v);
    if (quoted) kit_put_char(b, '"');
  }
}

void kit_put_value(struct kit_bytes *b, const struct weir_value *v) {
  switch (v->kind) {
  case WEIR_V_STRING: kit_put(b, v->u.s, v->n); break;
  case WEIR_V_BOOL: kit_put_text(b, v->u.i ? "true" : "false"); break;
  case WEIR_V_INT: kit_put_int(b, v->u.i); break;
  case WEIR_V_DOUBLE: kit_put_double(b, v->u.d); break;
  case WEIR_V_BYTES: put_bytes(b, v); break;
  case WEIR_V_ARRAY:
  case WEIR_V_KVLIST: put_json(b, v, 0); break;
  default: break;
  }
}
