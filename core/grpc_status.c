#include "core/grpc_status.h"

#include "core/otlp.h"

static const char *const code_names[] = { "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
  "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
  "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED" };
static const char *const code_texts[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16" };

static uint32_t known_code(uint32_t code) { return code <= WEIR_GRPC_UNAUTHENTICATED ? code : WEIR_GRPC_UNKNOWN; }

struct weir_str grpc_code_text(uint32_t code) {
  return weir_str_of(code_texts[known_code(code)]);
}

const char *grpc_code_name(uint32_t code) { return code_names[known_code(code)]; }

uint32_t grpc_code_parse(struct weir_str s) {
  uint32_t code = 0;
  if (s.n < 1 || s.n > 2) return WEIR_GRPC_UNKNOWN;
  for (uint32_t i = 0; i < s.n; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return WEIR_GRPC_UNKNOWN;
    code = code * 10 + (uint32_t)(s.p[i] - '0');
  }
  return known_code(code);
}

uint32_t grpc_code_of_http(uint32_t http_status) {
  switch (http_status) {
  case 400:
    return WEIR_GRPC_INTERNAL;
  case 401:
    return WEIR_GRPC_UNAUTHENTICATED;
  case 403:
    return WEIR_GRPC_PERMISSION_DENIED;
  case 404:
    return WEIR_GRPC_UNIMPLEMENTED;
  case 429:
  case 502:
  case 503:
  case 504:
    return WEIR_GRPC_UNAVAILABLE;
  default:
    return WEIR_GRPC_UNKNOWN;
  }
}

/* --- grpc-message ------------------------------------------------------------------------------------ */

static size_t msg_length(const char *msg) {
  size_t n = strnlen(msg, GRPC_MSG_MAX);
  if (n < GRPC_MSG_MAX) return n;
  for (int i = 0; i < 3 && ((unsigned char)msg[n] & 0xc0) == 0x80; i++) n--; /* msg[n], the first byte left out, is inside a sequence */
  return n;
}

size_t grpc_msg_encode(const char *msg, char *buf, size_t cap) {
  static const char hex[] = "0123456789ABCDEF";
  size_t n = msg_length(msg), out = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)msg[i];
    if (c >= 0x20 && c <= 0x7e && c != '%') {
      if (out == cap) break;
      buf[out++] = (char)c;
    } else {
      if (cap - out < 3) break;
      buf[out++] = '%';
      buf[out++] = hex[c >> 4];
      buf[out++] = hex[c & 15];
    }
  }
  return out;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

void grpc_msg_decode(struct weir_str s, char *buf, size_t cap) {
  size_t out = 0;
  for (uint32_t i = 0; i < s.n && out + 1 < cap; i++) {
    char c = s.p[i];
    if (c == '%' && s.n - i > 2 && hex_value(s.p[i + 1]) >= 0 && hex_value(s.p[i + 2]) >= 0) {
      c = (char)(hex_value(s.p[i + 1]) * 16 + hex_value(s.p[i + 2]));
      i += 2;
    }
    buf[out++] = c ? c : ' ';
  }
  buf[out] = 0;
}

/* --- grpc-timeout ------------------------------------------------------------------------------------ */

static int64_t unit_ns(char unit) {
  switch (unit) {
  case 'H':
    return 3600000000000LL;
  case 'M':
    return 60000000000LL;
  case 'S':
    return 1000000000LL;
  case 'm':
    return 1000000LL;
  case 'u':
    return 1000LL;
  case 'n':
    return 1LL;
  default:
    return 0;
  }
}

int grpc_timeout_parse(struct weir_str s, int64_t *ret_ns) {
  if (s.n < 2 || s.n > 9) return WEIR_E_INVALID;
  int64_t value = 0, unit = unit_ns(s.p[s.n - 1]);
  if (!unit) return WEIR_E_INVALID;
  for (uint32_t i = 0; i + 1 < s.n; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return WEIR_E_INVALID;
    value = value * 10 + (s.p[i] - '0');
  }
  *ret_ns = value > INT64_MAX / unit ? INT64_MAX : value * unit;
  return 0;
}

size_t grpc_timeout_format(int64_t ns, char buf[GRPC_TIMEOUT_CAP]) {
  static const char units[] = { 'n', 'u', 'm', 'S', 'M', 'H' };
  int64_t value = ns < 1 ? 1 : ns; /* a deadline that has passed still has to be a timeout */
  size_t u = value < 100000000LL ? 0 : 2;
  while (u < 5 && (value - 1) / unit_ns(units[u]) >= 99999999) u++; /* 8 digits at most */
  value = (value - 1) / unit_ns(units[u]) + 1;
  int n = snprintf(buf, GRPC_TIMEOUT_CAP, "%lld%c", (long long)value, units[u]);
  return (size_t)n;
}

/* --- base64 and details -------------------------------------------------------------------------------- */

size_t grpc_base64_encode(const char *p, size_t n, char *buf, size_t cap) {
  static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t need = n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0), out = 0;
  if (need > cap) return 0;
  uint32_t bits = 0;
  int held = 0;
  for (size_t i = 0; i < n; i++) {
    bits = bits << 8 | (unsigned char)p[i];
    for (held += 8; held >= 6; held -= 6) buf[out++] = abc[bits >> (held - 6) & 63];
  }
  if (held) buf[out++] = abc[bits << (6 - held) & 63];
  return out;
}

static int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int grpc_base64_decode(struct weir_str s, char *buf, size_t cap, size_t *ret_n) {
  size_t n = s.n, out = 0;
  if (n % 4 == 0)
    for (int i = 0; i < 2 && n && s.p[n - 1] == '='; i++) n--;
  if (n % 4 == 1) return WEIR_E_INVALID;
  uint32_t bits = 0;
  int held = 0;
  for (size_t i = 0; i < n; i++) {
    int v = base64_value(s.p[i]);
    if (v < 0) return WEIR_E_INVALID;
    bits = bits << 6 | (uint32_t)v;
    held += 6;
    if (held < 8) continue;
    if (out == cap) return WEIR_E_INVALID;
    held -= 8;
    buf[out++] = (char)(bits >> held & 255);
  }
  *ret_n = out;
  return 0;
}

size_t grpc_details_make(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap) {
  char status[GRPC_DETAILS_MAX], cut[GRPC_MSG_MAX + 1];
  size_t msg_n = msg ? msg_length(msg) : 0;
  memcpy(cut, msg ? msg : "", msg_n);
  cut[msg_n] = 0;
  size_t n = rpc_status_make(code, cut, retry_after_ns, status, sizeof status);
  return n ? grpc_base64_encode(status, n, buf, cap) : 0;
}

int64_t grpc_details_retry_after(struct weir_str value) {
  char bytes[GRPC_DETAILS_MAX];
  size_t n;
  struct weir_rpc_status status = { .retry_after_ns = -1 };
  if (grpc_base64_decode(value, bytes, sizeof bytes, &n) || rpc_status_parse(bytes, n, &status)) return -1;
  return status.retry_after_ns;
}
