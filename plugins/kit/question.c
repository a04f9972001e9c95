#include "plugins/kit/question.h"

#include <string.h>

int kit_question_is(const char *question, const char *name) {
  size_t n = strlen(name);
  return strncmp(question, name, n) == 0 && (!question[n] || question[n] == ' ');
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 1, or -1. */
static int decode(const char *p, size_t n, char *buf, size_t cap) {
  size_t to = 0;
  for (size_t i = 0; i < n; i++) {
    int c = (unsigned char)p[i];
    if (c == '%') {
      int high = n - i > 2 ? hex(p[i + 1]) : -1, low = n - i > 2 ? hex(p[i + 2]) : -1;
      if (high < 0 || low < 0) return -1;
      c = high * 16 + low;
      i += 2;
    }
    if (!c || to + 1 >= cap) return -1;
    buf[to++] = (char)c;
  }
  buf[to] = 0;
  return 1;
}

int kit_question_get(const char *question, const char *key, char *buf, size_t cap) {
  size_t n = strlen(key);
  for (const char *p = question + strcspn(question, " "); *p; p += strcspn(p, " ")) {
    p += strspn(p, " ");
    if (strncmp(p, key, n) == 0 && p[n] == '=') return decode(p + n + 1, strcspn(p + n + 1, " "), buf, cap);
  }
  return 0;
}

static int is_plain(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("._~/:-", c)); }

int kit_question_put(char *buf, size_t cap, const char *key, const char *value) {
  static const char digits[] = "0123456789ABCDEF";
  size_t from = strlen(buf), n = from + 1 + strlen(key) + 1;
  if (n >= cap) return -1;
  buf[from] = ' ';
  memcpy(buf + from + 1, key, n - from - 2);
  buf[n - 1] = '=';
  for (; *value; value++) {
    unsigned c = (unsigned char)*value;
    if (n + 3 >= cap) {
      buf[from] = 0;
      return -1;
    }
    if (is_plain(*value)) {
      buf[n++] = *value;
    } else {
      buf[n++] = '%';
      buf[n++] = digits[c >> 4];
      buf[n++] = digits[c & 15];
    }
  }
  buf[n] = 0;
  return 0;
}
