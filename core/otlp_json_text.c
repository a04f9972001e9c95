#include "core/otlp_json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/utf8.h"

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* --- tokens ---------------------------------------------------------------------------------------------------------- */

/* p stands behind the backslash; returns the end of the escape or NULL. */
static const char *escape_end(struct json_in *in, const char *p) {
  if (p >= in->end || !memchr("\"\\/bfnrtu", *p, 9)) {
    json_fail(in, p, "expected one of \" \\ / b f n r t u after the backslash");
    return NULL;
  }
  if (*p++ != 'u') return p;
  for (int i = 0; i < 4; i++, p++)
    if (p >= in->end || hex(*p) < 0) {
      json_fail(in, p, "expected four hex digits after \\u");
      return NULL;
    }
  return p;
}

int json_string(struct json_in *in, struct json_token *ret) {
  if (in->p >= in->end || *in->p != '"') return json_fail(in, in->p, "expected a string");
  const char *p = in->p + 1;
  ret->p = p;
  ret->escaped = 0;
  for (;;) {
    p = json_plain(p, in->end);
    if (p >= in->end) return json_fail(in, p, "expected the closing quote of a string");
    if (*p == '"') break;
    if (*p == '\\') {
      ret->escaped = 1;
      if (!(p = escape_end(in, p + 1))) return -1;
    } else if ((unsigned char)*p < 0x20) {
      return json_fail(in, p, "a control character in a string must be written as an escape");
    } else {
      size_t n = utf8_len(p, (size_t)(in->end - p));
      if (!n) return json_fail(in, p, "this string is not valid UTF-8 here");
      p += n;
    }
  }
  ret->n = (size_t)(p - ret->p);
  in->p = p + 1;
  return 0;
}

static const char *digits(const char *p, const char *end) {
  while (p < end && *p >= '0' && *p <= '9') p++;
  return p;
}

int json_number(struct json_in *in, struct json_token *ret) {
  const char *p = in->p, *end = in->end, *from;
  ret->p = p;
  ret->escaped = 0;
  if (p < end && *p == '-') p++;
  if (p >= end || *p < '0' || *p > '9') return json_fail(in, p, "expected a digit");
  if (*p == '0' && p + 1 < end && p[1] >= '0' && p[1] <= '9') return json_fail(in, p, "a number must not begin with 0");
  p = digits(p, end);
  if (p < end && *p == '.') {
    ret->escaped = 1;
    p = digits(from = p + 1, end);
    if (p == from) return json_fail(in, p, "expected a digit after the decimal point");
  }
  if (p < end && (*p | 0x20) == 'e') {
    ret->escaped = 1;
    p++;
    if (p < end && (*p == '+' || *p == '-')) p++;
    p = digits(from = p, end);
    if (p == from) return json_fail(in, p, "expected a digit of the exponent");
  }
  ret->n = (size_t)(p - ret->p);
  in->p = p;
  return 0;
}

int json_literal(struct json_in *in, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(in->end - in->p) < n || memcmp(in->p, word, n) != 0) return 0;
  in->p += n;
  return 1;
}

int json_more(struct json_in *in, char close) {
  if (json_is(in, close)) return 0;
  if (json_is(in, ',')) return 1;
  return json_fail(in, in->p, close == '}' ? "expected , or }" : "expected , or ]");
}

int json_end(struct json_in *in) {
  json_space(in);
  return in->p == in->end ? 0 : json_fail(in, in->p, "expected the end of the document");
}

const char json_too_deep[] = "nested deeper than the limit";

static int skip_object(struct json_in *in, uint32_t depth) {
  struct json_token key;
  int more = !json_is(in, '}');
  while (more > 0) {
    json_space(in);
    if (in->p >= in->end || *in->p != '"') return json_fail(in, in->p, "expected a name in quotes");
    if (json_string(in, &key) || json_expect(in, ':', "expected :") || json_skip(in, depth)) return -1;
    more = json_more(in, '}');
  }
  return more;
}

static int skip_array(struct json_in *in, uint32_t depth) {
  int more = !json_is(in, ']');
  while (more > 0) {
    if (json_skip(in, depth)) return -1;
    more = json_more(in, ']');
  }
  return more;
}

int json_skip(struct json_in *in, uint32_t depth) {
  struct json_token token;
  json_space(in);
  char c = in->p < in->end ? *in->p : 0;
  if (c == '"') return json_string(in, &token);
  if (c == '-' || (c >= '0' && c <= '9')) return json_number(in, &token);
  if (c == '{' || c == '[') {
    if (depth == 0) return json_fail(in, in->p, json_too_deep);
    in->p++;
    return c == '{' ? skip_object(in, depth - 1) : skip_array(in, depth - 1);
  }
  if (json_literal(in, "true") || json_literal(in, "false") || json_literal(in, "null")) return 0;
  return json_fail(in, in->p, "expected a value");
}

/* --- values ------------------------------------------------------------------------------------------------------------ */

static uint32_t hex4(const char *p) { return (uint32_t)(hex(p[0]) << 12 | hex(p[1]) << 8 | hex(p[2]) << 4 | hex(p[3])); }

static char *put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    *out++ = (char)c;
    return out;
  }
  if (c >= 0x10000) {
    *out++ = (char)(0xf0 | c >> 18);
    *out++ = (char)(0x80 | (c >> 12 & 0x3f));
  } else if (c >= 0x800) {
    *out++ = (char)(0xe0 | c >> 12);
  }
  if (c >= 0x800) *out++ = (char)(0x80 | (c >> 6 & 0x3f));
  else *out++ = (char)(0xc0 | c >> 6);
  *out++ = (char)(0x80 | (c & 0x3f));
  return out;
}

/* \uXXXX, and the second half of a pair; p stands behind the u. */
static const char *unescape_unicode(const char *p, const char *end, char **out) {
  uint32_t c = hex4(p);
  p += 4;
  if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
    uint32_t low = hex4(p + 2);
    if (low >= 0xdc00 && low < 0xe000) {
      c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
      p += 6;
    }
  }
  if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
  *out = put_utf8(*out, c);
  return p;
}

size_t json_unescape(const struct json_token *t, char *out) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *p = t->p, *end = t->p + t->n;
  char *at = out;
  while (p < end) {
    const char *back = memchr(p, '\\', (size_t)(end - p));
    size_t plain = (size_t)((back ? back : end) - p);
    memcpy(at, p, plain);
    at += plain;
    if (!back) break;
    p = back + 2;
    if (back[1] == 'u') p = unescape_unicode(p, end, &at);
    else *at++ = to[strchr(from, back[1]) - from];
  }
  return (size_t)(at - out);
}

/* A number's digits without the point, and the power of ten that they are multiplied with. */
struct decimal {
  char digits[JSON_NUMBER_MAX];
  int n, negative;
  long power;
};

static int read_decimal(const struct json_token *t, struct decimal *d) {
  const char *p = t->p, *end = t->p + t->n;
  long exponent = 0, fraction = 0;
  int behind = 0;
  d->n = 0;
  if (t->n > JSON_NUMBER_MAX) return -1;
  d->negative = *p == '-';
  if (d->negative) p++;
  for (; p < end && (*p | 0x20) != 'e'; p++) {
    if (*p == '.') {
      behind = 1;
      continue;
    }
    fraction += behind;
    if (d->n || *p != '0') d->digits[d->n++] = *p;
  }
  if (p < end) {
    int minus = *++p == '-';
    if (*p == '-' || *p == '+') p++;
    for (; p < end; p++)
      if (exponent < 100000) exponent = exponent * 10 + (*p - '0');
    if (minus) exponent = -exponent;
  }
  while (d->n && d->digits[d->n - 1] == '0') {
    d->n--;
    exponent++;
  }
  d->power = exponent - fraction;
  return 0;
}

static const char too_long[] = "this number is longer than 400 characters", too_large[] = "this number is too large for its field";

const char *json_integer(const struct json_token *t, int *ret_negative, uint64_t *ret) {
  struct decimal d;
  uint64_t v = 0;
  if (read_decimal(t, &d)) return too_long;
  *ret_negative = d.negative;
  *ret = 0;
  if (!d.n) return NULL;
  if (d.power < 0) return "expected an integer";
  if (d.n + d.power > 20) return too_large;
  for (int i = 0; i < d.n + (int)d.power; i++)
    if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, i < d.n ? (uint64_t)(d.digits[i] - '0') : 0u, &v)) return too_large;
  *ret = v;
  return NULL;
}

const char *json_double(const struct json_token *t, double *ret) {
  static const double tens[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
    1e22 };
  struct decimal d;
  if (read_decimal(t, &d)) return too_long;
  if (d.n <= 15 && d.power >= -22 && d.power <= 22) { /* both factors are exact, so one rounding is right (W. Clinger 1990) */
    uint64_t mantissa = 0;
    for (int i = 0; i < d.n; i++) mantissa = mantissa * 10 + (uint64_t)(d.digits[i] - '0');
    double v = (double)mantissa;
    v = d.power < 0 ? v / tens[-d.power] : v * tens[d.power];
    *ret = d.negative ? -v : v;
    return NULL;
  }
  char text[JSON_NUMBER_MAX + 1];
  memcpy(text, t->p, t->n);
  text[t->n] = 0;
  *ret = strtod(text, NULL);
  return isinf(*ret) ? too_large : NULL;
}

/* --- writing ------------------------------------------------------------------------------------------------------------- */

static char *put_escape(char *out, unsigned char c) {
  static const char digits16[] = "0123456789abcdef", named[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
  const char *at = c ? strchr(named, c) : NULL;
  *out++ = '\\';
  if (at) {
    *out++ = names[at - named];
    return out;
  }
  memcpy(out, "u00", 3);
  out[3] = digits16[c >> 4];
  out[4] = digits16[c & 15];
  return out + 5;
}

char *json_quote(char *out, const char *p, size_t n) {
  const char *end = p + n;
  *out++ = '"';
  while (n && p < end) {
    const char *plain = json_plain(p, end);
    memcpy(out, p, (size_t)(plain - p));
    out += plain - p;
    if ((p = plain) == end) break;
    if ((unsigned char)*p < 0x80) {
      out = put_escape(out, (unsigned char)*p++);
      continue;
    }
    size_t len = utf8_len(p, (size_t)(end - p));
    memcpy(out, len ? p : UTF8_REPLACEMENT, len ? len : 3);
    out += len ? len : 3;
    p += len ? len : 1;
  }
  *out++ = '"';
  return out;
}

char *json_put_uint(char *out, uint64_t v) {
  char tmp[20], *at = tmp + sizeof tmp;
  do *--at = (char)('0' + v % 10);
  while (v /= 10);
  size_t n = (size_t)(tmp + sizeof tmp - at);
  memcpy(out, at, n);
  return out + n;
}

char *json_put_double(char *out, double v) {
  if (isnan(v)) return (char *)memcpy(out, "\"NaN\"", 5) + 5;
  if (isinf(v)) return v < 0 ? (char *)memcpy(out, "\"-Infinity\"", 11) + 11 : (char *)memcpy(out, "\"Infinity\"", 10) + 10;
  if (fabs(v) < 1e15 && v == (double)(int64_t)v) {
    if (signbit(v)) *out++ = '-';
    return json_put_uint(out, (uint64_t)fabs(v));
  }
  int n = 0;
  for (int precision = 15; precision <= 17; precision++) {
    n = snprintf(out, 32, "%.*g", precision, v);
    if (precision == 17 || strtod(out, NULL) == v) break;
  }
  return out + n;
}
