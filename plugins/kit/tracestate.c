#include "plugins/kit/tracestate.h"

#include <string.h>

#include <weir/error.h>

#define TH_DIGITS 14

/* --- characters ------------------------------------------------------------------------------- */

static int is_lower(char c) { return c >= 'a' && c <= 'z'; }
static int is_digit(char c) { return c >= '0' && c <= '9'; }
static int is_key_char(char c) { return is_lower(c) || is_digit(c) || c == '_' || c == '-' || c == '*' || c == '/'; }
static int is_space(char c) { return c == ' ' || c == '\t'; }
static int is_value_char(char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; }

static int key_part(const char *p, size_t n, size_t max) {
  if (n < 1 || n > max) return 0;
  for (size_t i = 0; i < n; i++)
    if (!is_key_char(p[i])) return 0;
  return 1;
}

/* Level 2 has one kind of key; Level 1 told simple-key from tenant-id "@" system-id. */
static int key_ok(const char *p, size_t n) {
  if (n < 1 || n > 256 || !(is_lower(*p) || is_digit(*p))) return 0;
  for (size_t i = 0; i < n; i++)
    if (!is_key_char(p[i]) && p[i] != '@') return 0;
  return 1;
}

static int key_ok_level1(const char *p, size_t n) {
  const char *at = memchr(p, '@', n);
  if (!at) return key_part(p, n, 256) && is_lower(*p);
  size_t tenant = (size_t)(at - p), system = n - tenant - 1;
  return key_part(p, tenant, 241) && (is_lower(*p) || is_digit(*p)) && key_part(at + 1, system, 14) && is_lower(at[1]);
}

static int value_ok(const char *p, size_t n) {
  if (n < 1 || n > KIT_TRACESTATE_VALUE_MAX || p[n - 1] == ' ') return 0;
  for (size_t i = 0; i < n; i++)
    if (!is_value_char(p[i])) return 0;
  return 1;
}

/* --- ot ------------------------------------------------------------------------------------------ */

/* 1 and the number when all are hexadecimal digits; fewer than 14 are the leading ones. */
static int hex56(struct weir_str s, uint64_t *ret) {
  uint64_t v = 0;
  if (s.n < 1 || s.n > TH_DIGITS) return 0;
  for (uint32_t i = 0; i < s.n; i++) {
    char c = s.p[i], lower = (char)(c | 0x20);
    if (is_digit(c))
      v = v << 4 | (uint64_t)(c - '0');
    else if (lower >= 'a' && lower <= 'f')
      v = v << 4 | (uint64_t)(lower - 'a' + 10);
    else
      return 0;
  }
  *ret = v << 4 * (TH_DIGITS - s.n);
  return 1;
}

struct sub {
  struct weir_str key, value;
};

/* The next key:value of `ot` from *at on, which moves behind it; 0: none that parses. */
static int next_sub(struct weir_str ot, uint32_t *at, struct sub *ret) {
  uint32_t i = *at, colon;
  for (colon = i; colon < ot.n && (is_lower(ot.p[colon]) || (colon > i && is_digit(ot.p[colon]))); colon++) continue;
  if (colon == i || colon == ot.n || ot.p[colon] != ':') return 0;
  uint32_t end = colon + 1;
  for (; end < ot.n && ot.p[end] != ';'; end++) {
    char c = ot.p[end];
    if (!is_lower(c) && !(c >= 'A' && c <= 'Z') && !is_digit(c) && c != '.' && c != '_' && c != '-') return 0;
  }
  ret->key = (struct weir_str){ ot.p + i, colon - i, 0 };
  ret->value = (struct weir_str){ ot.p + colon + 1, end - colon - 1, 0 };
  *at = end < ot.n ? end + 1 : end;
  return end + 1 != ot.n; /* a ";" at the end has nothing behind it */
}

static int is(struct weir_str s, const char *name) { return s.n == 2 && memcmp(s.p, name, 2) == 0; }

static int repeated(struct weir_str ot, uint32_t before, struct weir_str key) {
  struct sub s;
  for (uint32_t at = 0; at < before;)
    if (!next_sub(ot, &at, &s) || (s.key.p != key.p && weir_str_eq(s.key, key))) return 1;
  return 0;
}

static void read_ot(struct kit_tracestate *t) {
  struct weir_str ot = t->v[t->ot].value;
  struct sub s;
  t->flags |= KIT_TRACESTATE_OT;
  for (uint32_t at = 0; at < ot.n;) {
    if (!next_sub(ot, &at, &s) || repeated(ot, at, s.key)) {
      t->flags = KIT_TRACESTATE_OT | KIT_TRACESTATE_BAD_OT;
      return;
    }
    if (is(s.key, "th") && hex56(s.value, &t->th)) t->flags |= KIT_TRACESTATE_TH;
    if (is(s.key, "rv") && s.value.n == TH_DIGITS && hex56(s.value, &t->rv)) t->flags |= KIT_TRACESTATE_RV;
  }
}

/* --- the list --------------------------------------------------------------------------------------- */

static int add(struct kit_tracestate *t, const char *p, size_t n) {
  const char *eq = memchr(p, '=', n);
  if (!eq) return WEIR_E_INVALID;
  size_t key_n = (size_t)(eq - p), value_n = n - key_n - 1;
  if (!key_ok(p, key_n) || !value_ok(eq + 1, value_n)) return WEIR_E_INVALID;
  if (t->n == KIT_TRACESTATE_MEMBERS) return WEIR_E_LIMIT;
  struct weir_str key = { p, (uint32_t)key_n, 0 };
  if (kit_tracestate_get(t, key).p) return WEIR_E_INVALID;
  if (is(key, "ot")) {
    t->ot = t->n;
    t->flags |= KIT_TRACESTATE_OT;
  }
  t->v[t->n].key = key;
  t->v[t->n++].value = (struct weir_str){ eq + 1, (uint32_t)value_n, 0 };
  return 0;
}

int kit_tracestate_parse(const char *p, size_t n, struct kit_tracestate *ret) {
  const char *end = p + n;
  ret->n = ret->flags = ret->ot = 0;
  ret->th = ret->rv = 0;
  if (n > KIT_TRACESTATE_MAX) return WEIR_E_LIMIT;
  while (p < end) {
    const char *comma = memchr(p, ',', (size_t)(end - p)), *to = comma ? comma : end, *next = comma ? comma + 1 : end;
    while (p < to && is_space(*p)) p++;
    while (to > p && is_space(to[-1])) to--;
    int rc = p < to ? add(ret, p, (size_t)(to - p)) : 0; /* empty members are allowed */
    if (rc) return rc;
    p = next;
  }
  if (ret->flags & KIT_TRACESTATE_OT) read_ot(ret);
  return 0;
}

struct weir_str kit_tracestate_get(const struct kit_tracestate *t, struct weir_str key) {
  for (uint32_t i = 0; i < t->n; i++)
    if (weir_str_eq(t->v[i].key, key)) return t->v[i].value;
  return (struct weir_str){ NULL, 0, 0 };
}

int kit_tracestate_level1(const struct kit_tracestate *t) {
  for (uint32_t i = 0; i < t->n; i++)
    if (!key_ok_level1(t->v[i].key.p, t->v[i].key.n)) return 0;
  return 1;
}

/* --- writing ------------------------------------------------------------------------------------------ */

static char *put(char *to, const char *p, size_t n) {
  if (n) memcpy(to, p, n);
  return to + n;
}

static char *put_th(char *to, uint64_t th) {
  to = put(to, "th:", 3);
  do {
    *to++ = "0123456789abcdef"[th >> 52 & 15];
    th = th << 4 & ((1ull << 56) - 1);
  } while (th);
  return to;
}

/* `ot` with this th where its old one stood, or at the end. */
static char *put_ot(char *to, const struct kit_tracestate *t, uint64_t th) {
  int written = 0;
  struct sub s;
  to = put(to, "ot=", 3);
  char *first = to;
  struct weir_str ot = t->flags & KIT_TRACESTATE_OT ? t->v[t->ot].value : (struct weir_str){ NULL, 0, 0 };
  for (uint32_t at = 0; at < ot.n && next_sub(ot, &at, &s);) {
    if (to > first) *to++ = ';';
    if (is(s.key, "th")) {
      to = put_th(to, th);
      written = 1;
    } else {
      to = put(to, s.key.p, s.key.n + 1 + s.value.n);
    }
  }
  if (written) return to;
  if (to > first) *to++ = ';';
  return put_th(to, th);
}

size_t kit_tracestate_set_th(const struct kit_tracestate *t, uint64_t th, char *out) {
  if (t->flags & KIT_TRACESTATE_BAD_OT || (t->flags & KIT_TRACESTATE_TH && t->th >= th)) return 0;
  char *to = put_ot(out, t, th);
  if ((size_t)(to - out) - 3 > KIT_TRACESTATE_VALUE_MAX) return 0;
  uint32_t has_ot = (t->flags & KIT_TRACESTATE_OT) != 0, members = 1;
  for (uint32_t i = 0; i < t->n && members < KIT_TRACESTATE_MEMBERS; i++) {
    if (has_ot && i == t->ot) continue;
    *to++ = ',';
    to = put(to, t->v[i].key.p, t->v[i].key.n);
    *to++ = '=';
    to = put(to, t->v[i].value.p, t->v[i].value.n);
    members++;
  }
  return (size_t)(to - out);
}
