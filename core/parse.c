#include "core/parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/error.h>

/* Digits of an unsigned number in base 10, 0x or 0o; all of s. */
static int parse_digits(const char *s, uint64_t *ret) {
  int base = 10;
  if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o')) {
    base = s[1] == 'x' ? 16 : 8;
    s += 2;
  }
  if (!isxdigit((unsigned char)*s)) return WEIR_E_INVALID;
  char *end;
  errno = 0;
  unsigned long long v = strtoull(s, &end, base);
  if (*end) return WEIR_E_INVALID;
  if (errno == ERANGE) return WEIR_E_LIMIT;
  *ret = v;
  return 0;
}

int parse_u64(const char *s, uint64_t *ret) { return parse_digits(*s == '+' ? s + 1 : s, ret); }

int parse_i64(const char *s, int64_t *ret) {
  int neg = *s == '-';
  uint64_t v;
  int r = parse_digits(*s == '-' || *s == '+' ? s + 1 : s, &v);
  if (r) return r;
  if (v > (uint64_t)INT64_MAX + (uint64_t)neg) return WEIR_E_LIMIT;
  *ret = neg ? (int64_t)(0 - v) : (int64_t)v;
  return 0;
}

int parse_double(const char *s, double *ret) {
  const char *t = *s == '-' || *s == '+' ? s + 1 : s;
  double sign = *s == '-' ? -1.0 : 1.0;
  if (!strcmp(t, ".inf") || !strcmp(t, ".Inf") || !strcmp(t, ".INF")) {
    *ret = sign * (double)INFINITY;
    return 0;
  }
  if (!strcmp(s, ".nan") || !strcmp(s, ".NaN") || !strcmp(s, ".NAN")) {
    *ret = (double)NAN;
    return 0;
  }
  if (!isdigit((unsigned char)*t) && *t != '.') return WEIR_E_INVALID; /* keeps strtod's "inf", "nan", blanks out */
  if (t[0] == '0' && (t[1] == 'x' || t[1] == 'X')) return WEIR_E_INVALID;
  char *end;
  errno = 0;
  double v = strtod(s, &end);
  if (end == s || *end) return WEIR_E_INVALID;
  if (errno == ERANGE && isinf(v)) return WEIR_E_LIMIT;
  *ret = v;
  return 0;
}

int parse_bool(const char *s, int *ret) {
  int yes = !strcmp(s, "true") || !strcmp(s, "True") || !strcmp(s, "TRUE");
  int no = !strcmp(s, "false") || !strcmp(s, "False") || !strcmp(s, "FALSE");
  if (!yes && !no) return WEIR_E_INVALID;
  *ret = yes;
  return 0;
}

struct unit {
  const char *name;
  double factor;
};

static const struct unit *find_unit(const struct unit *units, const char *s, size_t n) {
  for (; units->name; units++)
    if (strlen(units->name) == n && memcmp(units->name, s, n) == 0) return units;
  return NULL;
}

/* "1.5h": the number and where it ends. Digits, at most one dot; no exponent, as in Go. */
static int parse_amount(const char *s, double *ret, const char **ret_end) {
  const char *p = s;
  int digits = 0, dots = 0;
  for (; isdigit((unsigned char)*p) || *p == '.'; p++) {
    if (*p == '.') dots++;
    else digits++;
  }
  if (!digits || dots > 1 || p - s > 40) return WEIR_E_INVALID;
  char buf[48];
  memcpy(buf, s, (size_t)(p - s));
  buf[p - s] = 0;
  *ret = strtod(buf, NULL);
  *ret_end = p;
  return 0;
}

int parse_duration_ns(const char *s, int64_t *ret) {
  static const struct unit units[] = { { "ns", 1 }, { "us", 1e3 }, { "\302\265s", 1e3 }, { "\316\274s", 1e3 }, { "ms", 1e6 }, { "s", 1e9 },
    { "m", 60e9 }, { "h", 3600e9 }, { NULL, 0 } };
  double sign = 1, total = 0;
  if (*s == '-' || *s == '+') sign = *s++ == '-' ? -1 : 1;
  if (!strcmp(s, "0")) {
    *ret = 0;
    return 0;
  }
  if (!*s) return WEIR_E_INVALID;
  while (*s) {
    double amount;
    const char *end;
    if (parse_amount(s, &amount, &end)) return WEIR_E_INVALID;
    size_t n = 0;
    while (end[n] && !isdigit((unsigned char)end[n]) && end[n] != '.') n++;
    const struct unit *u = find_unit(units, end, n);
    if (!u) return WEIR_E_INVALID;
    total += amount * u->factor;
    s = end + n;
  }
  if (total >= 9.2e18) return WEIR_E_LIMIT;
  *ret = (int64_t)(sign * total + (sign > 0 ? 0.5 : -0.5));
  return 0;
}

int parse_bytes(const char *s, uint64_t *ret) {
  static const struct unit units[] = { { "", 1 }, { "B", 1 }, { "kB", 1e3 }, { "KB", 1e3 }, { "k", 1e3 }, { "K", 1e3 }, { "MB", 1e6 }, { "M", 1e6 },
    { "GB", 1e9 }, { "G", 1e9 }, { "TB", 1e12 }, { "T", 1e12 }, { "KiB", 1024.0 }, { "Ki", 1024.0 }, { "MiB", 1048576.0 }, { "Mi", 1048576.0 },
    { "GiB", 1073741824.0 }, { "Gi", 1073741824.0 }, { "TiB", 1099511627776.0 }, { "Ti", 1099511627776.0 }, { NULL, 0 } };
  uint64_t whole;
  if (parse_u64(s, &whole) == 0) {
    *ret = whole;
    return 0;
  }
  double amount;
  const char *end;
  if (parse_amount(s, &amount, &end)) return WEIR_E_INVALID;
  while (*end == ' ') end++;
  const struct unit *u = find_unit(units, end, strlen(end));
  if (!u) return WEIR_E_INVALID;
  if (amount * u->factor >= 1.8e19) return WEIR_E_LIMIT;
  *ret = (uint64_t)(amount * u->factor + 0.5);
  return 0;
}

static int parse_port(const char *s, int *ret) {
  uint64_t v;
  if (!isdigit((unsigned char)*s) || parse_u64(s, &v)) return WEIR_E_INVALID;
  if (v > 65535) return WEIR_E_LIMIT;
  *ret = (int)v;
  return 0;
}

int parse_endpoint(const char *s, char *host, size_t cap, int *ret_port) {
  if (strncmp(s, "unix://", 7) == 0) {
    if (!s[7] || strlen(s + 7) >= cap) return WEIR_E_INVALID;
    memcpy(host, s + 7, strlen(s + 7) + 1);
    *ret_port = -1;
    return 0;
  }
  const char *colon = strrchr(s, ':'), *from = s, *to = colon;
  if (!colon) return WEIR_E_INVALID;
  if (*s == '[') {
    from = s + 1;
    to = colon - 1;
    if (to < from || *to != ']') return WEIR_E_INVALID;
  } else if (memchr(s, ':', (size_t)(colon - s))) {
    return WEIR_E_INVALID; /* a bare IPv6 address needs brackets */
  }
  size_t n = (size_t)(to - from);
  for (size_t i = 0; i < n; i++)
    if (isspace((unsigned char)from[i]) || from[i] == '/') return WEIR_E_INVALID;
  if (n >= cap) return WEIR_E_LIMIT;
  int r = parse_port(colon + 1, ret_port);
  if (r) return r;
  memcpy(host, from, n);
  host[n] = 0;
  return 0;
}

const char *parse_format_duration(int64_t ns, char *buf, size_t cap) {
  const char *sign = ns < 0 ? "-" : "";
  uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
  if (v == 0) snprintf(buf, cap, "0s");
  else if (v % 1000) snprintf(buf, cap, "%s%" PRIu64 "ns", sign, v);
  else if (v % 1000000) snprintf(buf, cap, "%s%" PRIu64 "us", sign, v / 1000);
  else if (v % 1000000000) snprintf(buf, cap, "%s%" PRIu64 "ms", sign, v / 1000000);
  else {
    uint64_t s = v / 1000000000, h = s / 3600, m = s % 3600 / 60;
    int n = snprintf(buf, cap, "%s", sign);
    if (h) n += snprintf(buf + n, cap - (size_t)n, "%" PRIu64 "h", h);
    if (m) n += snprintf(buf + n, cap - (size_t)n, "%" PRIu64 "m", m);
    if (s % 60) snprintf(buf + n, cap - (size_t)n, "%" PRIu64 "s", s % 60);
  }
  return buf;
}

const char *parse_format_bytes(uint64_t n, char *buf, size_t cap) {
  static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB" };
  size_t i = 0;
  uint64_t unit = 1;
  while (i < 4 && n >= unit * 1024 && n % (unit * 1024) == 0) {
    unit *= 1024;
    i++;
  }
  if (i == 0 && n >= 1048576) snprintf(buf, cap, "%.1f MiB", (double)n / 1048576.0);
  else snprintf(buf, cap, "%" PRIu64 " %s", n / unit, names[i]);
  return buf;
}

int parse_distance(const char *a, const char *b) {
  enum { MAX = 64 };
  size_t n = strlen(a), m = strlen(b);
  if (n >= MAX || m >= MAX) return 16;
  int d[MAX + 1][MAX + 1];
  for (size_t i = 0; i <= n; i++) d[i][0] = (int)i;
  for (size_t j = 0; j <= m; j++) d[0][j] = (int)j;
  for (size_t i = 1; i <= n; i++)
    for (size_t j = 1; j <= m; j++) {
      int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
      if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
      d[i][j] = best;
    }
  return d[n][m] < 16 ? d[n][m] : 16;
}
