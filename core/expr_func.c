/* Functions of conditions (OTTL's converters): contrib pkg/ottl/ottlfuncs. */
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "core/expr_internal.h"
#include "core/nearest.h"
#include "core/parse.h"
#include "core/regex.h"

#define NUMBER_MAX 400u /* characters of a number in a string */

enum function {
  FN_CONCAT, FN_CONTAINS_VALUE, FN_DOUBLE, FN_DURATION, FN_HAS_PREFIX, FN_HAS_SUFFIX, FN_HEX, FN_HOURS, FN_INT, FN_IS_BOOL, FN_IS_DOUBLE, FN_IS_INT, FN_IS_LIST, FN_IS_MAP,
  FN_IS_MATCH, FN_IS_ROOT_SPAN, FN_IS_STRING, FN_LEN, FN_MICROSECONDS, FN_MILLISECONDS, FN_MINUTES, FN_NANOSECONDS, FN_SECONDS, FN_SPAN_ID, FN_STRING, FN_TO_LOWER_CASE,
  FN_TO_UPPER_CASE, FN_TRACE_ID
};

#define M EXPR_MASK
#define ALL 0x7fffffffu
#define STRING M(WEIR_V_STRING)
#define SCALAR (M(WEIR_V_EMPTY) | M(WEIR_V_STRING) | M(WEIR_V_BOOL) | M(WEIR_V_INT) | M(WEIR_V_DOUBLE))
#define TEXT (SCALAR | M(WEIR_V_BYTES))
#define DURATION M(EXPR_V_DURATION)
#define SPANS WEIR_EXPR_SPAN
#define BOTH (WEIR_EXPR_SPAN | WEIR_EXPR_SPANEVENT)

static const struct expr_function functions[] = {
  [FN_CONCAT] = { "Concat", 2, WEIR_V_STRING, BOTH, 1, { M(EXPR_LIST), STRING } },
  [FN_CONTAINS_VALUE] = { "ContainsValue", 2, WEIR_V_BOOL, BOTH, 0, { M(WEIR_V_ARRAY), ALL } },
  [FN_DOUBLE] = { "Double", 1, EXPR_V_ANY, BOTH, 0, { SCALAR, 0 } },
  [FN_DURATION] = { "Duration", 1, EXPR_V_DURATION, BOTH, 0, { STRING, 0 } },
  [FN_HAS_PREFIX] = { "HasPrefix", 2, WEIR_V_BOOL, BOTH, 0, { STRING, STRING } },
  [FN_HAS_SUFFIX] = { "HasSuffix", 2, WEIR_V_BOOL, BOTH, 0, { STRING, STRING } },
  [FN_HEX] = { "Hex", 1, WEIR_V_STRING, BOTH, 1, { TEXT, 0 } },
  [FN_HOURS] = { "Hours", 1, WEIR_V_DOUBLE, BOTH, 0, { DURATION, 0 } },
  [FN_INT] = { "Int", 1, EXPR_V_ANY, BOTH, 0, { SCALAR, 0 } },
  [FN_IS_BOOL] = { "IsBool", 1, WEIR_V_BOOL, BOTH, 0, { ALL, 0 } },
  [FN_IS_DOUBLE] = { "IsDouble", 1, WEIR_V_BOOL, BOTH, 0, { ALL, 0 } },
  [FN_IS_INT] = { "IsInt", 1, WEIR_V_BOOL, BOTH, 0, { ALL, 0 } },
  [FN_IS_LIST] = { "IsList", 1, WEIR_V_BOOL, BOTH, 0, { ALL, 0 } },
  [FN_IS_MAP] = { "IsMap", 1, WEIR_V_BOOL, BOTH, 0, { ALL, 0 } },
  [FN_IS_MATCH] = { "IsMatch", 2, WEIR_V_BOOL, BOTH, 1, { TEXT, STRING } },
  [FN_IS_ROOT_SPAN] = { "IsRootSpan", 0, WEIR_V_BOOL, SPANS, 0, { 0, 0 } },
  [FN_IS_STRING] = { "IsString", 1, WEIR_V_BOOL, BOTH, 0, { ALL, 0 } },
  [FN_LEN] = { "Len", 1, WEIR_V_INT, BOTH, 0, { STRING | M(WEIR_V_BYTES) | M(WEIR_V_ARRAY) | M(WEIR_V_KVLIST), 0 } },
  [FN_MICROSECONDS] = { "Microseconds", 1, WEIR_V_INT, BOTH, 0, { DURATION, 0 } },
  [FN_MILLISECONDS] = { "Milliseconds", 1, WEIR_V_INT, BOTH, 0, { DURATION, 0 } },
  [FN_MINUTES] = { "Minutes", 1, WEIR_V_DOUBLE, BOTH, 0, { DURATION, 0 } },
  [FN_NANOSECONDS] = { "Nanoseconds", 1, WEIR_V_INT, BOTH, 0, { DURATION, 0 } },
  [FN_SECONDS] = { "Seconds", 1, WEIR_V_DOUBLE, BOTH, 0, { DURATION, 0 } },
  [FN_SPAN_ID] = { "SpanID", 1, EXPR_V_SPAN_ID, BOTH, 1, { STRING | M(WEIR_V_BYTES), 0 } },
  [FN_STRING] = { "String", 1, EXPR_V_ANY, BOTH, 1, { TEXT, 0 } },
  [FN_TO_LOWER_CASE] = { "ToLowerCase", 1, WEIR_V_STRING, BOTH, 1, { STRING, 0 } },
  [FN_TO_UPPER_CASE] = { "ToUpperCase", 1, WEIR_V_STRING, BOTH, 1, { STRING, 0 } },
  [FN_TRACE_ID] = { "TraceID", 1, EXPR_V_TRACE_ID, BOTH, 1, { STRING | M(WEIR_V_BYTES), 0 } },
};

int expr_function_find(const char *name, const struct expr_function **ret, const char **nearest) {
  struct nearest best;
  nearest_init(&best, name);
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    *ret = &functions[i];
    if (!strcmp(functions[i].name, name)) return (int)i;
    nearest_offer(&best, functions[i].name);
  }
  *nearest = best.best;
  return -1;
}

int expr_function_is_match(int fn) { return fn == FN_IS_MATCH; }

/* --- conversions ------------------------------------------------------------------------------------------------------ */

/* A copy that ends with NUL. 0: too long, or a NUL inside. */
static int number_text(const struct weir_value *v, char buf[NUMBER_MAX + 1]) {
  if (v->n == 0 || v->n > NUMBER_MAX || memchr(v->u.s, 0, v->n)) return 0;
  memcpy(buf, v->u.s, v->n);
  buf[v->n] = 0;
  return 1;
}

/* strconv.ParseInt(s, 10, 64) */
static int int_of_text(struct expr_run *run, const struct weir_value *v, struct weir_value *ret) {
  char buf[NUMBER_MAX + 1];
  int ok = number_text(v, buf);
  const char *p = buf;
  if (ok && (*p == '-' || *p == '+')) p++;
  size_t digits = ok ? strspn(p, "0123456789") : 0;
  int64_t i = 0;
  ok = ok && digits > 0 && !p[digits];
  for (size_t k = 0; ok && k < digits; k++)
    ok = !__builtin_mul_overflow(i, 10, &i) && !(*buf == '-' ? __builtin_sub_overflow(i, p[k] - '0', &i) : __builtin_add_overflow(i, p[k] - '0', &i));
  if (!ok) return expr_fail(run, WEIR_E_INVALID, "Int: \"%.*s\" is no int", (int)(v->n > 64 ? 64 : v->n), v->u.s ? v->u.s : "");
  *ret = weir_value_int(i);
  return 0;
}

/* strconv.ParseFloat(s, 64), without hexadecimal floats. */
static int double_of_text(struct expr_run *run, const struct weir_value *v, struct weir_value *ret) {
  char buf[NUMBER_MAX + 1], *end = buf;
  int ok = number_text(v, buf);
  size_t plain = ok ? strspn(buf, "+-.0123456789eE") : 0;
  double d = 0;
  if (ok && buf[plain]) {
    const char *word = buf + (*buf == '-' || *buf == '+');
    ok = !strcasecmp(word, "inf") || !strcasecmp(word, "infinity") || (!strcasecmp(word, "nan") && word == buf);
    plain = 0;
  }
  if (ok) d = strtod(buf, &end);
  ok = ok && end != buf && !*end && !(plain && isinf(d));
  if (!ok) return expr_fail(run, WEIR_E_INVALID, "Double: \"%.*s\" is no float", (int)(v->n > 64 ? 64 : v->n), v->u.s ? v->u.s : "");
  ret->kind = WEIR_V_DOUBLE;
  ret->u.d = d;
  return 0;
}

/* Go's int64(f) on amd64: towards zero, and the least int where it does not fit. */
static int64_t truncated(double d) { return d >= -9223372036854775808.0 && d < 9223372036854775808.0 ? (int64_t)d : INT64_MIN; }

static int to_int(struct expr_run *run, const struct weir_value *v, struct weir_value *ret) {
  switch (v->kind) {
  case WEIR_V_EMPTY:
  case WEIR_V_INT: *ret = *v; return 0;
  case WEIR_V_BOOL: *ret = weir_value_int(v->u.i); return 0;
  case WEIR_V_DOUBLE: *ret = weir_value_int(truncated(v->u.d)); return 0;
  case WEIR_V_STRING: return int_of_text(run, v, ret);
  default: return expr_fail(run, WEIR_E_INVALID, "Int: %s is no number", expr_kind_name(v->kind));
  }
}

static int to_double(struct expr_run *run, const struct weir_value *v, struct weir_value *ret) {
  double d;
  switch (v->kind) {
  case WEIR_V_EMPTY:
  case WEIR_V_DOUBLE: *ret = *v; return 0;
  case WEIR_V_BOOL:
  case WEIR_V_INT: d = (double)v->u.i; break;
  case WEIR_V_STRING: return double_of_text(run, v, ret);
  default: return expr_fail(run, WEIR_E_INVALID, "Double: %s is no number", expr_kind_name(v->kind));
  }
  ret->kind = WEIR_V_DOUBLE;
  ret->u.d = d;
  return 0;
}

static int to_duration(struct expr_run *run, const struct weir_value *v, struct weir_value *ret) {
  char buf[NUMBER_MAX + 1];
  int64_t ns;
  if (!number_text(v, buf) || parse_duration_ns(buf, &ns))
    return expr_fail(run, WEIR_E_INVALID, "Duration: \"%.*s\" is no duration such as \"500ms\" or \"1m30s\"", (int)(v->n > 64 ? 64 : v->n), v->u.s ? v->u.s : "");
  ret->kind = EXPR_V_DURATION;
  ret->u.i = ns;
  return 0;
}

static int to_string(struct expr_run *run, const struct weir_value *v, struct weir_value *ret) {
  const char *p;
  size_t n;
  int r = expr_value_text(run, v, &p, &n);
  if (r > 0) *ret = weir_value_str(p, (uint32_t)n);
  else if (r == 0) ret->kind = WEIR_V_EMPTY;
  return r < 0 ? r : 0;
}

/* Bytes of OTTL's "byte-like": numbers big-endian, a bool one byte. */
static int to_hex(struct expr_run *run, const struct weir_value *v, struct weir_value *ret) {
  unsigned char be[8];
  uint64_t bits = v->kind == WEIR_V_EMPTY ? 0 : (uint64_t)v->u.i; /* a double's bits as they are */
  const char *p = (const char *)be;
  size_t n = v->kind == WEIR_V_EMPTY ? 0 : v->kind == WEIR_V_BOOL ? 1 : 8;
  for (int i = 0; i < 8; i++) be[i] = (unsigned char)(bits >> (8 * (n == 1 ? 0 : 7 - i)));
  if (v->kind == WEIR_V_STRING || v->kind == WEIR_V_BYTES) p = v->u.s, n = v->n;
  else if (!(EXPR_MASK(v->kind) & SCALAR)) return expr_fail(run, WEIR_E_INVALID, "Hex: %s has no bytes here", expr_kind_name(v->kind));
  *ret = expr_hex(run, p, n);
  return ret->kind == WEIR_V_EMPTY ? WEIR_E_LIMIT : 0;
}

static int hex_digit(int c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

static int to_id(struct expr_run *run, uint32_t kind, const struct weir_value *v, struct weir_value *ret) {
  uint32_t size = kind == EXPR_V_TRACE_ID ? 16 : 8;
  const char *name = size == 16 ? "TraceID" : "SpanID";
  if (v->kind != WEIR_V_STRING && v->kind != WEIR_V_BYTES) return expr_fail(run, WEIR_E_INVALID, "%s: %s is no id", name, expr_kind_name(v->kind));
  const char *p = v->u.s;
  if (v->n == 2 * size) {
    char *out = expr_scratch(run, size);
    if (!out) return WEIR_E_LIMIT;
    for (uint32_t i = 0; i < size; i++) {
      int high = hex_digit((unsigned char)p[2 * i]), low = hex_digit((unsigned char)p[2 * i + 1]);
      if (high < 0 || low < 0) return expr_fail(run, WEIR_E_INVALID, "%s: %u characters that are no hex digits", name, v->n);
      out[i] = (char)(high << 4 | low);
    }
    p = out;
  } else if (v->n != size) {
    return expr_fail(run, WEIR_E_INVALID, "%s: %u bytes, it takes %u or twice as many hex digits", name, v->n, size);
  }
  *ret = weir_value_str(p, size);
  ret->kind = kind;
  return 0;
}

/* --- text ---------------------------------------------------------------------------------------------------------------- */

static int need_string(struct expr_run *run, const struct weir_value *v, const char *fn) {
  return v->kind == WEIR_V_STRING ? 0 : expr_fail(run, WEIR_E_INVALID, "%s: %s is no string", fn, expr_kind_name(v->kind));
}

static int affix(struct expr_run *run, const struct weir_value *a, int suffix) {
  const char *fn = suffix ? "HasSuffix" : "HasPrefix";
  if (need_string(run, &a[0], fn) || need_string(run, &a[1], fn)) return WEIR_E_INVALID;
  if (a[1].n > a[0].n) return 0;
  return a[1].n == 0 || !memcmp(a[0].u.s + (suffix ? a[0].n - a[1].n : 0), a[1].u.s, a[1].n);
}

/* ASCII letters; docs/expressions.md says so. */
static int change_case(struct expr_run *run, const struct weir_value *v, int upper, struct weir_value *ret) {
  if (need_string(run, v, upper ? "ToUpperCase" : "ToLowerCase")) return WEIR_E_INVALID;
  char *out = expr_scratch(run, v->n);
  if (!out) return WEIR_E_LIMIT;
  for (uint32_t i = 0; i < v->n; i++) {
    char c = v->u.s[i];
    out[i] = upper && c >= 'a' && c <= 'z' ? (char)(c - 32) : !upper && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
  }
  *ret = weir_value_str(out, v->n);
  return 0;
}

static int append(struct expr_run *run, const char *p, size_t n) {
  char *out = expr_scratch(run, n);
  if (out && n) memmove(out, p, n);
  return out ? 0 : WEIR_E_LIMIT;
}

/* args: the elements, then the delimiter. A text that is made on the way, as a number's, stands where it is needed or moves there. */
static int concat(struct expr_run *run, const struct weir_value *args, uint32_t n, struct weir_value *ret) {
  const struct weir_value *delimiter = &args[n];
  if (need_string(run, delimiter, "Concat")) return WEIR_E_INVALID;
  size_t begin = run->used;
  for (uint32_t i = 0; i < n; i++) {
    const char *p = "<nil>";
    size_t len = 5, before;
    if (i && append(run, delimiter->u.s, delimiter->n)) return WEIR_E_LIMIT;
    before = run->used;
    int r = expr_value_text(run, &args[i], &p, &len);
    if (r < 0) return r;
    run->used = before;
    if (append(run, p, len)) return WEIR_E_LIMIT;
  }
  *ret = weir_value_str(run->scratch + begin, (uint32_t)(run->used - begin));
  return 0;
}

static int is_match(struct expr_run *run, const struct expr_op *op, const struct weir_value *a) {
  const char *p;
  size_t n;
  struct weir_regex *own = NULL;
  struct weir_error why = { 0 };
  const struct weir_regex *re = op->arg == EXPR_NO_REGEX ? NULL : run->e->regexes[op->arg];
  if (!re && need_string(run, &a[1], "IsMatch")) return WEIR_E_INVALID;
  int r = re ? 0 : regex_compile(a[1].u.s ? a[1].u.s : "", a[1].n, &own, &why);
  if (r) return expr_fail(run, r, "IsMatch: %s (at byte %llu of the pattern)", why.msg, (unsigned long long)why.offset);
  r = expr_value_text(run, &a[0], &p, &n);
  if (r > 0 && (r = regex_match(re ? re : own, p, n)) < 0) expr_fail(run, r, "IsMatch: the pattern takes too many steps on this text (REGEX_STEPS_MAX)");
  regex_free(own);
  return r;
}

/* --- the rest ---------------------------------------------------------------------------------------------------------------- */

static int length(struct expr_run *run, const struct weir_value *v, struct weir_value *ret) {
  if (!(EXPR_MASK(v->kind) & functions[FN_LEN].args[0])) return expr_fail(run, WEIR_E_INVALID, "Len: %s has no length", expr_kind_name(v->kind));
  *ret = weir_value_int(v->n);
  return 0;
}

static int contains_value(struct expr_run *run, const struct weir_value *a) {
  if (a[0].kind != WEIR_V_ARRAY) return expr_fail(run, WEIR_E_INVALID, "ContainsValue: %s is no list", expr_kind_name(a[0].kind));
  for (uint32_t i = 0; i < a[0].n; i++) {
    int r = expr_value_compare(run, &a[0].u.items[i], &a[1], EXPR_EQ);
    if (r) return r;
  }
  return 0;
}

static int is_root(const struct weir_span *s) {
  for (uint32_t i = 0; i < s->parent_span_id.n; i++)
    if (s->parent_span_id.p[i]) return 0;
  return 1;
}

static int of_duration(struct expr_run *run, int fn, const struct weir_value *v, struct weir_value *ret) {
  if (v->kind != EXPR_V_DURATION) return expr_fail(run, WEIR_E_INVALID, "%s: %s is no duration", functions[fn].name, expr_kind_name(v->kind));
  int64_t i = v->u.i, unit = fn == FN_NANOSECONDS ? 1 : fn == FN_MICROSECONDS ? 1000 : fn == FN_MILLISECONDS ? 1000000 : fn == FN_SECONDS ? 1000000000 : fn == FN_MINUTES ? 60000000000 : 3600000000000;
  if (functions[fn].kind == WEIR_V_INT) {
    *ret = weir_value_int(i / unit);
  } else { /* as Go: whole units and the rest apart */
    ret->kind = WEIR_V_DOUBLE;
    ret->u.d = (double)(i / unit) + (double)(i % unit) / (double)unit;
  }
  return 0;
}

static int to_bool(int r, struct weir_value *ret) {
  if (r < 0) return r;
  ret->kind = WEIR_V_BOOL;
  ret->n = 0;
  ret->u.i = r;
  return 0;
}

int expr_function_call(struct expr_run *run, const struct expr_op *op, const struct weir_value *a, struct weir_value *ret) {
  switch (op->sub) {
  case FN_CONCAT: return concat(run, a, op->argc - 1u, ret);
  case FN_CONTAINS_VALUE: return to_bool(contains_value(run, a), ret);
  case FN_DOUBLE: return to_double(run, a, ret);
  case FN_DURATION: return need_string(run, a, "Duration") ? WEIR_E_INVALID : to_duration(run, a, ret);
  case FN_HAS_PREFIX: return to_bool(affix(run, a, 0), ret);
  case FN_HAS_SUFFIX: return to_bool(affix(run, a, 1), ret);
  case FN_HEX: return to_hex(run, a, ret);
  case FN_INT: return to_int(run, a, ret);
  case FN_IS_BOOL: return to_bool(a->kind == WEIR_V_BOOL, ret);
  case FN_IS_DOUBLE: return to_bool(a->kind == WEIR_V_DOUBLE, ret);
  case FN_IS_INT: return to_bool(a->kind == WEIR_V_INT, ret);
  case FN_IS_LIST: return to_bool(a->kind == WEIR_V_ARRAY, ret);
  case FN_IS_MAP: return to_bool(a->kind == WEIR_V_KVLIST, ret);
  case FN_IS_MATCH: return to_bool(is_match(run, op, a), ret);
  case FN_IS_ROOT_SPAN: return to_bool(is_root(run->in->span), ret);
  case FN_IS_STRING: return to_bool(a->kind == WEIR_V_STRING, ret);
  case FN_LEN: return length(run, a, ret);
  case FN_SPAN_ID: return to_id(run, EXPR_V_SPAN_ID, a, ret);
  case FN_STRING: return to_string(run, a, ret);
  case FN_TO_LOWER_CASE: return change_case(run, a, 0, ret);
  case FN_TO_UPPER_CASE: return change_case(run, a, 1, ret);
  case FN_TRACE_ID: return to_id(run, EXPR_V_TRACE_ID, a, ret);
  default: return of_duration(run, op->sub, a, ret);
  }
}
