/* Tokens of conditions: contrib pkg/ottl/grammar.go, buildLexer; strings have the escapes of Go's. */
#include <math.h>
#include <stdlib.h>

#include "core/expr_parser.h"

#define NUMBER_MAX 400u /* characters of a number */

WEIR_PRINTF(4, 5) int expr_refuse(struct expr_parser *p, int code, size_t at, const char *fmt, ...) {
  if (!p->err) return code;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(p->err->msg, sizeof p->err->msg, fmt, ap);
  va_end(ap);
  p->err->code = code;
  p->err->offset = at;
  return code;
}

static int is_digit(int c) { return c >= '0' && c <= '9'; }
static int is_word(int c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static int hex_of(int c) { return is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

static int char_at(const struct expr_parser *p, size_t at) { return at < p->n ? (unsigned char)p->text[at] : -1; }

static size_t digits(const struct expr_parser *p, size_t at) {
  while (is_digit(char_at(p, at))) at++;
  return at;
}

/* 0x... */
static int read_bytes(struct expr_parser *p) {
  size_t begin = p->at + 2, end = begin;
  while (hex_of(char_at(p, end)) >= 0) end++;
  if (end == begin || (end - begin) % 2) return EXPR_INVALID(p, p->at, "bytes are written as 0x and an even number of hex digits");
  uint32_t n = (uint32_t)(end - begin) / 2;
  char *out = arena_alloc(&p->e->arena, n);
  for (uint32_t i = 0; i < n; i++) out[i] = (char)(hex_of(char_at(p, begin + 2 * i)) << 4 | hex_of(char_at(p, begin + 2 * i + 1)));
  p->literal = weir_value_str(out, n);
  p->literal.kind = WEIR_V_BYTES;
  p->token = EXPR_T_BYTES;
  p->next = end;
  return 0;
}

static int read_number(struct expr_parser *p) {
  char buf[NUMBER_MAX + 1];
  size_t end = digits(p, p->at), exponent;
  int is_float = char_at(p, end) == '.';
  if (is_float) {
    end = digits(p, end + 1);
    exponent = end + 1;
    if ((char_at(p, end) | 32) == 'e') {
      if (char_at(p, exponent) == '-' || char_at(p, exponent) == '+') exponent++;
      if (is_digit(char_at(p, exponent))) end = digits(p, exponent);
    }
  }
  if (end - p->at > NUMBER_MAX) return EXPR_INVALID(p, p->at, "a number of over %u characters", NUMBER_MAX);
  memcpy(buf, p->text + p->at, end - p->at);
  buf[end - p->at] = 0;
  p->next = end;
  p->token = is_float ? EXPR_T_FLOAT : EXPR_T_INT;
  if (is_float) {
    p->literal.kind = WEIR_V_DOUBLE;
    p->literal.u.d = strtod(buf, NULL);
    return isinf(p->literal.u.d) ? EXPR_INVALID(p, p->at, "this number is too large for a float") : 0;
  }
  int64_t v = 0;
  for (const char *c = buf; *c; c++)
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c - '0', &v)) return EXPR_INVALID(p, p->at, "this number is too large for an int: 64 bits");
  p->literal = weir_value_int(v);
  return 0;
}

static char *put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    *out++ = (char)c;
    return out;
  }
  int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  *out++ = (char)((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | c >> (6 * more));
  while (more--) *out++ = (char)(0x80 | (c >> (6 * more) & 63));
  return out;
}

/* The digits of an escape; -1: not that many. */
static int64_t escape_number(const struct expr_parser *p, size_t at, int count, int base) {
  int64_t v = 0;
  for (int i = 0; i < count; i++) {
    int h = hex_of(char_at(p, at + (size_t)i));
    if (h < 0 || h >= base) return -1;
    v = v * base + h;
  }
  return v;
}

/* One escape of Go's string literals, behind its backslash; *at moves behind it. */
static char *read_escape(struct expr_parser *p, size_t *at, char *out) {
  static const char names[] = "abfnrtv\\\"", values[] = "\a\b\f\n\r\t\v\\\"";
  int c = char_at(p, (*at)++);
  const char *named = c > 0 ? memchr(names, c, sizeof names - 1) : NULL;
  int64_t v;
  if (named) {
    *out = values[named - names];
    return out + 1;
  }
  int count = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 3, octal = c >= '0' && c <= '7';
  if (!octal && count == 3) return NULL;
  v = escape_number(p, octal ? *at - 1 : *at, count, octal ? 8 : 16);
  *at += (size_t)count - (octal ? 1 : 0);
  if (v < 0 || (octal && v > 255) || v > 0x10ffff || (count != 2 && !octal && v >= 0xd800 && v <= 0xdfff)) return NULL;
  if (count > 3) return put_utf8(out, (uint32_t)v);
  *out = (char)v;
  return out + 1;
}

static int read_string(struct expr_parser *p) {
  size_t at = p->at + 1, end = at;
  while (end < p->n && p->text[end] != '"') end += p->text[end] == '\\' ? 2 : 1;
  if (end >= p->n) return EXPR_INVALID(p, p->at, "a string without its closing quote");
  char *out = arena_alloc(&p->e->arena, end - at + 1), *begin = out; /* no escape is shorter than what it stands for */
  while (at < end) {
    size_t escape = at;
    int c = char_at(p, at++);
    if (c == '\n') return EXPR_INVALID(p, escape, "a line break inside of a string: write \\n");
    if (c != '\\') *out++ = (char)c;
    else if (!(out = read_escape(p, &at, out))) return EXPR_INVALID(p, escape, "this escape is not known: strings have those of Go, so a backslash is written twice");
  }
  p->literal = weir_value_str(begin, (uint32_t)(out - begin));
  p->token = EXPR_T_STRING;
  p->next = end + 1;
  return 0;
}

static int read_word(struct expr_parser *p) {
  size_t end = p->at;
  while (is_word(char_at(p, end))) end++;
  if (end - p->at > EXPR_WORD_MAX) return EXPR_INVALID(p, p->at, "a name of over %u characters", EXPR_WORD_MAX);
  memcpy(p->word, p->text + p->at, end - p->at);
  p->word[end - p->at] = 0;
  p->token = EXPR_T_WORD;
  p->next = end;
  return 0;
}

static int read_sign(struct expr_parser *p, int c) {
  int second = char_at(p, p->at + 1) == '=';
  p->next = p->at + 1;
  p->token = EXPR_T_SIGN;
  p->sign = c;
  if (c == '<' || c == '>' || (second && (c == '=' || c == '!'))) {
    p->token = EXPR_T_COMPARE;
    p->sign = c == '=' ? EXPR_EQ : c == '!' ? EXPR_NE : c == '<' ? (second ? EXPR_LE : EXPR_LT) : second ? EXPR_GE : EXPR_GT;
    p->next += (size_t)second;
    return 0;
  }
  if (c == '=') return EXPR_INVALID(p, p->at, "one `=` alone: `==` compares, and arguments have no names here");
  if (c == '&' || c == '|' || c == '!') return EXPR_INVALID(p, p->at, "`%c` is not known: write `%s`", c, c == '&' ? "and" : c == '|' ? "or" : "not");
  if (c == '\'') return EXPR_INVALID(p, p->at, "strings stand in double quotes");
  return strchr("+-*/()[]{},.:", c) ? 0 : EXPR_INVALID(p, p->at, "this character means nothing here");
}

int expr_advance(struct expr_parser *p) {
  p->at = p->next;
  while (p->at < p->n && strchr(" \t\n\f\r", p->text[p->at])) p->at++;
  int c = char_at(p, p->at);
  p->token = EXPR_T_END;
  p->next = p->at;
  if (c < 0) return 0;
  if (c == '0' && char_at(p, p->at + 1) == 'x') return read_bytes(p);
  if (is_digit(c) || (c == '.' && is_digit(char_at(p, p->at + 1)))) return read_number(p);
  if (c == '"') return read_string(p);
  if (is_word(c)) return read_word(p);
  return read_sign(p, c);
}

