/*
 * core/otlp_json_text.h - JSON as text: the tokens of RFC 8259, checked to the byte, and the values that stand in them.
 *
 * A reader walks `in->p` to `in->end`. Every function returns 0 and leaves p behind what it read, or returns -1 with `at` and `what` saying where and
 * what is wrong. Nothing is allocated. [any]
 */
#ifndef CORE_OTLP_JSON_TEXT_H
#define CORE_OTLP_JSON_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JSON_NUMBER_MAX 400u /* characters of a number that is converted; 309 digits are the largest double */

struct json_in {
  const char *p, *end;
  const char *at, *what; /* of the first failure; what: a literal, "expected ..." or a sentence */
};

/* A string's or number's text as it stands in the document, without the quotes. */
struct json_token {
  const char *p;
  size_t n;
  int escaped; /* a string with escapes: json_unescape tells what it says. A number with a fraction or an exponent */
};

static inline int json_fail(struct json_in *in, const char *at, const char *what) {
  in->at = at;
  in->what = what;
  return -1;
}

static inline void json_space(struct json_in *in) {
  while (in->p < in->end && (unsigned char)*in->p <= ' ' && (*in->p == ' ' || *in->p == '\n' || *in->p == '\r' || *in->p == '\t')) in->p++;
}

/* Whether the next token begins with c; it is then passed. Skips space before it. */
static inline int json_is(struct json_in *in, char c) {
  json_space(in);
  if (in->p >= in->end || *in->p != c) return 0;
  in->p++;
  return 1;
}

static inline int json_expect(struct json_in *in, char c, const char *what) { return json_is(in, c) ? 0 : json_fail(in, in->p, what); }

int json_string(struct json_in *, struct json_token *ret);
int json_number(struct json_in *, struct json_token *ret);
/* Passes the literal when it stands at p; no space is skipped. */
int json_literal(struct json_in *, const char *word);
extern const char json_too_deep[]; /* what json_skip says then: whoever set the depth knows its number */
/* One value of any kind, nested at most `depth` arrays and objects. */
int json_skip(struct json_in *, uint32_t depth);
/* After a value in an object or array: 1 = another follows, 0 = `close` was passed, -1. */
int json_more(struct json_in *, char close);
/* The document must end here. */
int json_end(struct json_in *);

/* What a string says: at most its n bytes. Returns how many. */
size_t json_unescape(const struct json_token *, char *out);
/* An integer, exact whatever its form (12, 1.2e1): 0 and the magnitude, or the text that says why not. */
const char *json_integer(const struct json_token *, int *ret_negative, uint64_t *ret);
const char *json_double(const struct json_token *, double *ret);
/* n bytes as text between quotes: at most 6 n + 2 bytes. Invalid UTF-8 becomes U+FFFD. Returns the end. */
char *json_quote(char *out, const char *p, size_t n);
/* A double in the shortest of 15, 16, 17 digits that reads back as the same; NaN and infinities as strings. At most 32 bytes. */
char *json_put_double(char *out, double v);
char *json_put_uint(char *out, uint64_t v);

#define JSON_ONES 0x0101010101010101u
/* Which of 8 bytes end a plain run of a string: quotes, backslashes, controls, and what is not ASCII. Exact for the lowest one. */
static inline uint64_t json_special(uint64_t v) {
  uint64_t quote = v ^ JSON_ONES * '"', back = v ^ JSON_ONES * '\\';
  return (((v - JSON_ONES * 0x20) & ~v) | ((quote - JSON_ONES) & ~quote) | ((back - JSON_ONES) & ~back) | v) & JSON_ONES * 0x80;
}

/* The end of the plain run at p. */
static inline const char *json_plain(const char *p, const char *end) {
  while (end - p >= 8) {
    uint64_t v;
    memcpy(&v, p, 8);
    uint64_t special = json_special(v);
    if (special) return p + (__builtin_ctzll(special) >> 3);
    p += 8;
  }
  while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\') p++;
  return p;
}

#endif
