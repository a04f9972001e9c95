/* Values of conditions: comparing (contrib pkg/ottl/compare.go), arithmetic (math.go), and their text. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "core/expr_internal.h"

const char *expr_kind_name(uint32_t kind) {
  static const char *const names[] = { "nil", "a string", "a bool", "an int", "a float", "a list", "a map", "bytes", "a time", "a duration", "a trace id", "a span id", "a value" };
  return names[kind <= EXPR_V_ANY ? kind : EXPR_V_ANY];
}

char *expr_scratch(struct expr_run *run, size_t n) {
  if (n > run->cap - run->used) {
    expr_fail(run, WEIR_E_LIMIT, "the texts that this makes are over %u bytes (EXPR_SCRATCH_MAX)", EXPR_SCRATCH_MAX);
    return NULL;
  }
  char *p = run->scratch + run->used;
  run->used += n;
  return p;
}

struct weir_value expr_hex(struct expr_run *run, const char *p, size_t n) {
  static const char digits[] = "0123456789abcdef";
  struct weir_value v = weir_value_str(NULL, 0);
  char *out = expr_scratch(run, 2 * n);
  for (size_t i = 0; out && i < n; i++) {
    out[2 * i] = digits[(unsigned char)p[i] >> 4];
    out[2 * i + 1] = digits[p[i] & 15];
  }
  v.u.s = out;
  v.n = (uint32_t)(2 * n);
  v.kind = out ? WEIR_V_STRING : WEIR_V_EMPTY;
  return v;
}

/* --- comparing ---------------------------------------------------------------------------------------------------------- */

static int ordered(int sign, int op) {
  switch (op) {
  case EXPR_EQ: return sign == 0;
  case EXPR_NE: return sign != 0;
  case EXPR_LT: return sign < 0;
  case EXPR_LE: return sign <= 0;
  case EXPR_GT: return sign > 0;
  default: return sign >= 0;
  }
}

/* NaN is equal to nothing, and neither less nor more. */
static int doubles(double a, double b, int op) {
  switch (op) {
  case EXPR_EQ: return a == b;
  case EXPR_NE: return a != b;
  case EXPR_LT: return a < b;
  case EXPR_LE: return a <= b;
  case EXPR_GT: return a > b;
  default: return a >= b;
  }
}

static int bytes(const struct weir_value *a, const struct weir_value *b, int op) {
  if (a->n != b->n && op <= EXPR_NE) return op == EXPR_NE;
  uint32_t n = a->n < b->n ? a->n : b->n;
  int sign = n ? memcmp(a->u.s, b->u.s, n) : 0;
  return ordered(sign ? sign : (a->n > b->n) - (a->n < b->n), op);
}

/* OTTL takes bytes that are empty for nil. */
static uint32_t kind_of(const struct weir_value *v) { return v->kind == WEIR_V_BYTES && !v->n ? WEIR_V_EMPTY : v->kind; }

int expr_value_compare(struct expr_run *run, const struct weir_value *a, const struct weir_value *b, int op) {
  uint32_t ka = kind_of(a), kb = kind_of(b);
  if (ka == WEIR_V_INT && kb == WEIR_V_DOUBLE) return doubles((double)a->u.i, b->u.d, op);
  if (ka == WEIR_V_DOUBLE && kb == WEIR_V_INT) return doubles(a->u.d, (double)b->u.i, op);
  if (ka != kb) return op == EXPR_NE;
  switch (ka) {
  case WEIR_V_EMPTY: return ordered(0, op);
  case WEIR_V_DOUBLE: return doubles(a->u.d, b->u.d, op);
  case WEIR_V_STRING:
  case WEIR_V_BYTES: return bytes(a, b, op);
  case EXPR_V_TRACE_ID:
  case EXPR_V_SPAN_ID: return op <= EXPR_NE && bytes(a, b, op);
  case WEIR_V_ARRAY:
  case WEIR_V_KVLIST: return expr_fail(run, WEIR_E_UNSUPPORTED, "lists and maps are not compared with each other here");
  default: return ordered((a->u.i > b->u.i) - (a->u.i < b->u.i), op);
  }
}

/* --- arithmetic ------------------------------------------------------------------------------------------------------------ */

/* Go's integers wrap. */
static int ints(struct expr_run *run, int64_t a, int64_t b, int op, int64_t *ret) {
  uint64_t x = (uint64_t)a, y = (uint64_t)b;
  if (op == '/' && b == 0) return expr_fail(run, WEIR_E_INVALID, "division by zero");
  if (op == '/') *ret = b == -1 ? (int64_t)(0 - x) : a / b;
  else *ret = (int64_t)(op == '+' ? x + y : op == '-' ? x - y : x * y);
  return 0;
}

static int floats(struct expr_run *run, double a, double b, int op, struct weir_value *ret) {
  if (op == '/' && b == 0) return expr_fail(run, WEIR_E_INVALID, "division by zero");
  ret->kind = WEIR_V_DOUBLE;
  ret->u.d = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
  return 0;
}

static int64_t saturated(int64_t a, int64_t b, int op) {
  int64_t v;
  int over = op == '+' ? __builtin_add_overflow(a, b, &v) : __builtin_sub_overflow(a, b, &v);
  return !over ? v : a < 0 ? INT64_MIN : INT64_MAX;
}

/* time - time, time +- duration, duration +- duration, duration + time. */
static int times(struct expr_run *run, const struct weir_value *a, const struct weir_value *b, int op, struct weir_value *ret) {
  uint32_t ka = a->kind, kb = b->kind, kind = 0;
  if (ka == EXPR_V_TIME && kb == EXPR_V_TIME && op == '-') kind = EXPR_V_DURATION;
  else if (ka == EXPR_V_TIME && kb == EXPR_V_DURATION && (op == '+' || op == '-')) kind = EXPR_V_TIME;
  else if (ka == EXPR_V_DURATION && kb == EXPR_V_TIME && op == '+') kind = EXPR_V_TIME;
  else if (ka == EXPR_V_DURATION && kb == EXPR_V_DURATION && (op == '+' || op == '-')) kind = EXPR_V_DURATION;
  if (!kind) return expr_fail(run, WEIR_E_INVALID, "%s %c %s can not be computed", expr_kind_name(ka), op, expr_kind_name(kb));
  ret->u.i = saturated(a->u.i, b->u.i, op);
  ret->kind = kind;
  return 0;
}

int expr_value_math(struct expr_run *run, const struct weir_value *a, const struct weir_value *b, int op, struct weir_value *ret) {
  int ai = a->kind == WEIR_V_INT, bi = b->kind == WEIR_V_INT, ad = a->kind == WEIR_V_DOUBLE, bd = b->kind == WEIR_V_DOUBLE;
  if (ai && bi) return ints(run, a->u.i, b->u.i, op, &ret->u.i);
  if ((ai || ad) && (bi || bd)) return floats(run, ai ? (double)a->u.i : a->u.d, bi ? (double)b->u.i : b->u.d, op, ret);
  return times(run, a, b, op, ret);
}

int expr_value_negate(struct expr_run *run, const struct weir_value *a, struct weir_value *ret) {
  if (a->kind == WEIR_V_INT) ret->u.i = (int64_t)(0 - (uint64_t)a->u.i);
  else if (a->kind == WEIR_V_DOUBLE) ret->u.d = -a->u.d;
  else return expr_fail(run, WEIR_E_INVALID, "%s has no negative", expr_kind_name(a->kind));
  return 0;
}

/* --- text ------------------------------------------------------------------------------------------------------------------ */

/* The shortest digits that read back as v; returns how many, and the exponent of the first. */
static int shortest(double v, char digits[20], int *exponent) {
  char text[40];
  int n = 0;
  for (int precision = 15; precision <= 17; precision++) {
    snprintf(text, sizeof text, "%.*e", precision - 1, v);
    if (strtod(text, NULL) == v) break;
  }
  const char *e = strchr(text, 'e');
  *exponent = (int)strtol(e + 1, NULL, 10);
  for (const char *p = text; p < e; p++)
    if (*p != '.') digits[n++] = *p;
  while (n > 1 && digits[n - 1] == '0') n--;
  return n;
}

/* As the JSON library behind OTTL (goccy/go-json): no exponent from 1e-6 up to below 1e21. */
static int double_text(struct expr_run *run, double v, const char **ret, size_t *ret_n) {
  char digits[20], *out = expr_scratch(run, 40), *p = out;
  int x, n;
  if (!out) return WEIR_E_LIMIT;
  if (!isfinite(v)) return expr_fail(run, WEIR_E_INVALID, "%s has no text", isnan(v) ? "NaN" : "an infinite number");
  n = shortest(fabs(v), digits, &x);
  if (signbit(v)) *p++ = '-';
  if (v != 0 && (fabs(v) < 1e-6 || fabs(v) >= 1e21)) {
    *p++ = digits[0];
    if (n > 1) *p++ = '.';
    memcpy(p, digits + 1, (size_t)n - 1);
    p += n - 1;
    p += snprintf(p, 8, "e%+03d", x);
  } else {
    int whole = x < 0 ? 0 : x + 1; /* digits before the point */
    if (!whole) *p++ = '0';
    for (int i = 0; i < whole; i++) *p++ = i < n ? digits[i] : '0';
    if (whole < n) *p++ = '.';
    for (int i = x; i < -1; i++) *p++ = '0';
    for (int i = whole; i < n; i++) *p++ = digits[i];
  }
  *ret = out;
  *ret_n = (size_t)(p - out);
  return 1;
}

int expr_value_text(struct expr_run *run, const struct weir_value *v, const char **ret, size_t *ret_n) {
  struct weir_value hex;
  char *out;
  switch (v->kind) {
  case WEIR_V_EMPTY: return 0;
  case WEIR_V_STRING:
    *ret = v->u.s;
    *ret_n = v->n;
    return 1;
  case WEIR_V_BOOL:
    *ret = v->u.i ? "true" : "false";
    *ret_n = strlen(*ret);
    return 1;
  case WEIR_V_INT:
    if (!(out = expr_scratch(run, 24))) return WEIR_E_LIMIT;
    *ret_n = (size_t)snprintf(out, 24, "%" PRId64, v->u.i);
    *ret = out;
    return 1;
  case WEIR_V_DOUBLE: return double_text(run, v->u.d, ret, ret_n);
  case WEIR_V_BYTES:
    hex = expr_hex(run, v->u.s, v->n);
    *ret = hex.u.s;
    *ret_n = hex.n;
    return hex.kind == WEIR_V_EMPTY ? WEIR_E_LIMIT : 1;
  default: return expr_fail(run, WEIR_E_UNSUPPORTED, "%s has no text here", expr_kind_name(v->kind));
  }
}
