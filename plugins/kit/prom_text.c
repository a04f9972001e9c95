/* Text: numbers, attribute values as strings, UTF-8, escaping; the scratch arena; hashing. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/base64.h"
#include "plugins/kit/prom_internal.h"

/* --- scratch ---------------------------------------------------------------------------------------------------------------------- */

#define CHUNK_MIN 4096u

struct scratch_chunk {
  struct scratch_chunk *next;
  size_t cap, reserved;
};

void *scratch_take(struct scratch *s, size_t n) {
  n = (n + 15u) & ~(size_t)15;
  while (s->cur && s->used + n > s->cur->cap && s->cur->next) s->cur = s->cur->next, s->used = 0;
  if (!s->cur || s->used + n > s->cur->cap) {
    size_t cap = n > CHUNK_MIN ? n : CHUNK_MIN;
    struct scratch_chunk *c = malloc(sizeof *c + cap);
    if (!c) return NULL;
    *c = (struct scratch_chunk){ NULL, cap, 0 };
    if (s->cur) s->cur->next = c;
    else s->first = c;
    s->cur = c;
    s->used = 0;
  }
  void *p = (char *)(s->cur + 1) + s->used;
  s->used += n;
  return p;
}

void scratch_reset(struct scratch *s) {
  s->cur = s->first;
  s->used = 0;
}

void scratch_done(struct scratch *s) {
  for (struct scratch_chunk *c = s->first, *next; c; c = next) {
    next = c->next;
    free(c);
  }
  *s = (struct scratch){ NULL, NULL, 0 };
}

/* --- numbers: Go's strconv.FormatFloat(v, 'g', -1, 64), which is what Prometheus' own pages have ---------------------------------------- */

/* The digits of the shortest decimal that reads back, without leading or trailing zeros, and where the point stands (v = 0.DIGITS * 10^point). */
struct decimal {
  char digits[24];
  int n, point;
};

static void digits_of(uint64_t n, int shift, struct decimal *ret) {
  char buf[24];
  int len = snprintf(buf, sizeof buf, "%" PRIu64, n);
  ret->point = len - shift;
  while (len > 1 && buf[len - 1] == '0') len--;
  memcpy(ret->digits, buf, (size_t)len);
  ret->n = len;
}

/* Most values are whole or have a few decimals: n / 10^k is rounded once, so if it is v and n has at most 15 digits, no shorter text is nearer. */
static int decimal_simple(double v, struct decimal *ret) {
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

static void decimal_of(double v, struct decimal *ret) {
  char buf[40];
  if (decimal_simple(v, ret)) return;
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

static size_t put_exponent(char *to, const struct decimal *d) {
  size_t n = 0;
  to[n++] = d->digits[0];
  if (d->n > 1) to[n++] = '.';
  for (int i = 1; i < d->n; i++) to[n++] = d->digits[i];
  return n + (size_t)snprintf(to + n, 8, "e%c%02d", d->point > 0 ? '+' : '-', abs(d->point - 1));
}

static size_t put_plain(char *to, const struct decimal *d) {
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

static size_t put_special(double v, char *to) {
  const char *text = isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf";
  memcpy(to, text, strlen(text));
  return strlen(text);
}

size_t prom_number(double v, int form, char buf[PROM_NUM_CAP]) {
  struct decimal d = { "0", 1, 1 };
  size_t n = 0;
  if (!isfinite(v)) return put_special(v, buf);
  if (signbit(v)) buf[n++] = '-';
  if (v != 0) decimal_of(fabs(v), &d);
  int exponent = d.point - 1, plain = form == PROM_NUM_PLAIN || (exponent >= -4 && exponent < 6);
  if (plain || v == 0) {
    int whole = d.n <= d.point;
    n += put_plain(buf + n, &d);
    if (form == PROM_NUM_OPENMETRICS && whole) memcpy(buf + n, ".0", 2), n += 2;
    return n;
  }
  return n + put_exponent(buf + n, &d);
}

/* --- UTF-8 ------------------------------------------------------------------------------------------------------------------------ */

/* RFC 3629 (core/utf8.c, which a stage may not include): length of the character at p, 0 when it is damaged. */
static size_t utf8_length(const char *p, size_t n) {
  unsigned char a = (unsigned char)p[0], b = n > 1 ? (unsigned char)p[1] : 0;
  size_t len = a < 0x80 ? 1 : a >= 0xc2 && a < 0xe0 ? 2 : a >= 0xe0 && a < 0xf0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;
  if (len > n) return 0;
  for (size_t i = 1; i < len; i++)
    if (((unsigned char)p[i] & 0xc0) != 0x80) return 0;
  if ((a == 0xe0 && b < 0xa0) || (a == 0xf0 && b < 0x90) || (a == 0xed && b > 0x9f) || (a == 0xf4 && b > 0x8f)) return 0;
  return len;
}

/* How many bytes from the start are undamaged. */
static size_t utf8_good(const char *p, size_t n) {
  size_t i = 0;
  while (i < n) {
    uint64_t eight;
    while (n - i >= 8 && (memcpy(&eight, p + i, 8), !(eight & 0x8080808080808080u))) i += 8;
    if (i == n) break;
    size_t len = utf8_length(p + i, n - i);
    if (!len) break;
    i += len;
  }
  return i;
}

static struct weir_str too_long(struct prom *p) {
  p->why = "label_bytes";
  return (struct weir_str){ NULL, 0, 0 };
}

static struct weir_str no_memory(struct prom *p) {
  p->why = "memory";
  return (struct weir_str){ NULL, 0, 0 };
}

struct weir_str prom_text_repaired(struct prom *p, struct scratch *s, struct weir_str in, uint64_t room) {
  if (!in.n) return (struct weir_str){ "", 0, 0 };
  if (in.n > room) return too_long(p);
  size_t i = utf8_good(in.p, in.n), n = i;
  if (i == in.n) return in;
  char *to = scratch_take(s, (size_t)in.n * 3);
  if (!to) return no_memory(p);
  memcpy(to, in.p, i);
  while (i < in.n) {
    size_t len = utf8_length(in.p + i, in.n - i);
    memcpy(to + n, len ? in.p + i : "\xef\xbf\xbd", len ? len : 3);
    n += len ? len : 3;
    i += len ? len : 1;
  }
  return n > room ? too_long(p) : (struct weir_str){ to, (uint32_t)n, 0 };
}

/* --- values as strings: specification/common, "AnyValue representation for non-OTLP protocols"; numbers as Go's JSON has them --------------- */

struct text {
  struct scratch *s;
  char *p;
  size_t n, cap;
  uint64_t room;
  int failed; /* 1: over room, 2: no memory */
};

static void text_put(struct text *t, const char *p, size_t n) {
  if (t->failed) return;
  if (t->n + n > t->room) {
    t->failed = 1;
    return;
  }
  if (t->n + n > t->cap) {
    size_t cap = (t->n + n) * 2 + 64;
    char *to = scratch_take(t->s, cap);
    if (!to) {
      t->failed = 2;
      return;
    }
    if (t->n) memcpy(to, t->p, t->n);
    t->p = to;
    t->cap = cap;
  }
  memcpy(t->p + t->n, p, n);
  t->n += n;
}

static void text_str(struct text *t, const char *s) { text_put(t, s, strlen(s)); }

static void text_int(struct text *t, int64_t v) {
  char buf[24];
  text_put(t, buf, (size_t)snprintf(buf, sizeof buf, "%" PRId64, v));
}

/* Plain from 1e-6 to 1e21, an exponent without leading zero beyond; NaN and infinity have no JSON form and are named. */
static void text_double(struct text *t, double v) {
  char buf[PROM_NUM_CAP];
  double a = fabs(v);
  if (!isfinite(v) || v == 0 || (a >= 1e-6 && a < 1e21)) {
    text_put(t, buf, prom_number(v, PROM_NUM_PLAIN, buf));
    return;
  }
  size_t n = prom_number(v, PROM_NUM_TEXT, buf);
  if (n > 4 && buf[n - 4] == 'e' && buf[n - 3] == '-' && buf[n - 2] == '0') buf[n - 2] = buf[n - 1], n--;
  text_put(t, buf, n);
}

static void text_quoted(struct text *t, const char *p, size_t n) {
  static const char from[] = "\"\\\n\r\t", to[] = "\"\\nrt";
  text_put(t, "\"", 1);
  for (size_t i = 0; i < n && !t->failed;) {
    size_t run = i, len;
    while (run < n && (len = utf8_length(p + run, n - run)) && (len > 1 || ((unsigned char)p[run] >= 0x20 && p[run] != '"' && p[run] != '\\'))) run += len;
    text_put(t, p + i, run - i);
    i = run;
    if (i >= n) break;
    const char *simple = p[i] ? strchr(from, p[i]) : NULL;
    char code[8];
    if (simple) text_put(t, (char[]){ '\\', to[simple - from] }, 2);
    else if ((unsigned char)p[i] < 0x20) text_put(t, code, (size_t)snprintf(code, sizeof code, "\\u%04x", p[i]));
    else text_str(t, "\xef\xbf\xbd");
    i++;
  }
  text_put(t, "\"", 1);
}

static void text_base64(struct text *t, const char *p, size_t n) {
  char buf[KIT_BASE64_CAP(768)];
  for (size_t i = 0; i < n && !t->failed; i += 768) text_put(t, buf, kit_base64_encode(p + i, n - i < 768 ? n - i : 768, buf));
}

static void text_json(struct text *, const struct weir_value *);

static int attr_before(const struct weir_attr *a, const struct weir_attr *b) {
  uint32_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
  int c = n ? memcmp(a->key.p, b->key.p, n) : 0;
  return c < 0 || (c == 0 && (a->key.n < b->key.n || (a->key.n == b->key.n && a < b)));
}

/* Members by key, as Go writes maps. Picking the next smallest is quadratic, so long lists keep their order. */
static void text_kvlist(struct text *t, const struct weir_attr *v, uint32_t n) {
  const struct weir_attr *last = NULL;
  text_put(t, "{", 1);
  for (uint32_t i = 0; i < n && !t->failed; i++) {
    const struct weir_attr *next = n > 64 ? v + i : NULL;
    for (uint32_t k = 0; k < n && n <= 64; k++)
      if ((!last || attr_before(last, v + k)) && (!next || attr_before(v + k, next))) next = v + k;
    if (i) text_put(t, ",", 1);
    text_quoted(t, next->key.p, next->key.n);
    text_put(t, ":", 1);
    text_json(t, &next->value);
    last = next;
  }
  text_put(t, "}", 1);
}

static void text_array(struct text *t, const struct weir_value *v, uint32_t n) {
  text_put(t, "[", 1);
  for (uint32_t i = 0; i < n && !t->failed; i++) {
    if (i) text_put(t, ",", 1);
    text_json(t, v + i);
  }
  text_put(t, "]", 1);
}

/* Recursion ends where the decoder's limit of nesting does. */
static void text_json(struct text *t, const struct weir_value *v) {
  switch (v->kind) {
  case WEIR_V_STRING: text_quoted(t, v->u.s, v->n); break;
  case WEIR_V_BOOL: text_str(t, v->u.i ? "true" : "false"); break;
  case WEIR_V_INT: text_int(t, v->u.i); break;
  case WEIR_V_DOUBLE: text_double(t, v->u.d); break;
  case WEIR_V_ARRAY: text_array(t, v->u.items, v->n); break;
  case WEIR_V_KVLIST: text_kvlist(t, v->u.attrs, v->n); break;
  case WEIR_V_BYTES:
    text_put(t, "\"", 1);
    text_base64(t, v->u.s, v->n);
    text_put(t, "\"", 1);
    break;
  default: text_str(t, "null"); break;
  }
}

struct weir_str prom_text_of(struct prom *p, struct scratch *s, const struct weir_value *v, uint64_t room) {
  if (v->kind == WEIR_V_STRING) return prom_text_repaired(p, s, (struct weir_str){ v->u.s, v->n, 0 }, room);
  struct text t = { .s = s, .room = room };
  if (v->kind == WEIR_V_BYTES) text_base64(&t, v->u.s, v->n);
  else if (v->kind != WEIR_V_EMPTY) text_json(&t, v);
  if (t.failed) return t.failed == 1 ? too_long(p) : no_memory(p);
  return (struct weir_str){ t.n ? t.p : "", (uint32_t)t.n, 0 };
}

/* --- escaping, hash -------------------------------------------------------------------------------------------------------------------- */

size_t prom_escape_text(struct weir_str s, int quote, char *buf) {
  size_t n = 0;
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (c == '\\' || c == '\n' || (quote && c == '"')) buf[n++] = '\\';
    buf[n++] = c == '\n' ? 'n' : c;
  }
  return n;
}

/* Multiply and fold 8 bytes at a time: a series is hashed for each of its points. */
static uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}

static uint64_t mix_str(uint64_t h, struct weir_str s) {
  size_t i = 0;
  uint64_t v;
  for (; i + 8 <= s.n; i += 8) {
    memcpy(&v, s.p + i, 8);
    h = mix(h, v);
  }
  v = 0;
  if (i < s.n) memcpy(&v, s.p + i, s.n - i);
  return mix(h, v ^ (uint64_t)s.n << 56);
}

uint64_t prom_hash(uint64_t seed, struct weir_str name, const struct prom_label *labels, size_t n) {
  uint64_t h = mix_str(seed ^ 0x8ebc6af09c88c6e3u, name);
  for (size_t i = 0; i < n; i++) h = mix_str(mix_str(h, labels[i].name), labels[i].value);
  h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
  return h ^ h >> 32;
}
