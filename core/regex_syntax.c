#include "core/regex_syntax.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/regex.h"
#include "core/utf8.h"

#define RUNE_MAX 0x10ffff

enum atom { ATOM_NONE, ATOM_ONE, ATOM_REPEATED };

struct level {
  size_t open;
  uint32_t deep; /* the largest product of repeats inside */
};

struct syntax {
  const char *p;
  size_t n, at, token; /* token: where the piece that is being read begins */
  char *out;
  size_t out_n, probe, probe_at;
  enum atom atom;
  uint32_t atom_deep;
  uint32_t depth;
  struct level level[REGEX_NEST_MAX + 1];
  struct weir_error *err;
};

static int refuse(struct syntax *s, int code, size_t at, const char *what) {
  if (s->err) s->err->offset = at;
  return weir_fail(s->err, code, "%s", what);
}

static int invalid(struct syntax *s, size_t at, const char *what) { return refuse(s, WEIR_E_INVALID, at, what); }

/* --- out ---------------------------------------------------------------------------------------------------------- */

static void put(struct syntax *s, const char *p, size_t n) {
  if (s->out_n <= s->probe) s->probe_at = s->token;
  memcpy(s->out + s->out_n, p, n);
  s->out_n += n;
}

static void put_text(struct syntax *s, const char *text) { put(s, text, strlen(text)); }

static int is_digit(int c) { return c >= '0' && c <= '9'; }
static int is_octal(int c) { return c >= '0' && c <= '7'; }
static int is_alnum(int c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* A character that stands for itself, in a class or outside. */
static void put_rune(struct syntax *s, int32_t c) {
  char text[16];
  if (is_alnum(c)) snprintf(text, sizeof text, "%c", (char)c);
  else snprintf(text, sizeof text, "\\x{%x}", (unsigned)c);
  put_text(s, text);
}

/* --- characters ------------------------------------------------------------------------------------------------------ */

static int peek(const struct syntax *s, size_t ahead) { return s->n - s->at > ahead ? (unsigned char)s->p[s->at + ahead] : -1; }

/* The text was checked to be UTF-8. */
static int32_t next_rune(struct syntax *s) {
  const unsigned char *p = (const unsigned char *)s->p + s->at;
  size_t len = utf8_len(s->p + s->at, s->n - s->at);
  s->at += len;
  if (len == 1) return p[0];
  if (len == 2) return (p[0] & 31) << 6 | (p[1] & 63);
  if (len == 3) return (p[0] & 15) << 12 | (p[1] & 63) << 6 | (p[2] & 63);
  return (p[0] & 7) << 18 | (p[1] & 63) << 12 | (p[2] & 63) << 6 | (p[3] & 63);
}

static int hex_of(int c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Behind "\x". */
static int escape_hex(struct syntax *s, int32_t *ret) {
  size_t digits = 0;
  int32_t c = 0;
  int braces = peek(s, 0) == '{';
  if (braces) s->at++;
  for (int h; (h = hex_of(peek(s, 0))) >= 0 && (braces || digits < 2) && c <= RUNE_MAX; digits++, s->at++) c = c * 16 + h;
  if (!digits || (!braces && digits < 2) || (braces && peek(s, 0) != '}') || c > RUNE_MAX) return invalid(s, s->token, "\\x wants two hex digits, or some in braces, up to \\x{10FFFF}");
  if (braces) s->at++;
  if (c >= 0xd800 && c <= 0xdfff) return invalid(s, s->token, "a surrogate is no character: it could never match");
  *ret = c;
  return 0;
}

static const char *why_not(int c) {
  if (c >= '1' && c <= '9') return "backreferences are not supported";
  if (c == 'k' || c == 'g') return "backreferences and subroutine calls are not supported";
  if (c == 'Z') return "\\Z is not supported: \\z is the end of the text";
  if (c == 'K' || c == 'G') return "\\K and \\G are not supported";
  if (c == 'E') return "\\E without \\Q";
  return "this escape is not known";
}

/* An escape that is one character; s->at stands on the backslash. */
static int escape_rune(struct syntax *s, int32_t *ret) {
  static const char names[] = "afnrtv", values[] = "\a\f\n\r\t\v";
  size_t begin = s->at++;
  int c = peek(s, 0);
  if (c < 0) return invalid(s, begin, "the pattern ends with a backslash");
  if (c >= 0x80) return invalid(s, begin, why_not(0));
  s->at++;
  if (is_octal(c) && (c == '0' || is_octal(peek(s, 0)))) {
    *ret = c - '0';
    for (int i = 0; i < 2 && is_octal(peek(s, 0)); i++) *ret = *ret * 8 + peek(s, 0) - '0', s->at++;
    return 0;
  }
  if (c == 'x') return escape_hex(s, ret);
  const char *named = memchr(names, c, sizeof names - 1);
  if (named) *ret = values[named - names];
  else if (!is_alnum(c)) *ret = c;
  else return invalid(s, begin, why_not(c));
  return 0;
}

/* --- sets that have a name ------------------------------------------------------------------------------------------------- */

static int is_category(const char *p, size_t n) {
  static const char *const all[] = { "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf",
    "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "Any" };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strlen(all[i]) == n && !memcmp(all[i], p, n)) return 1;
  return 0;
}

/* \pL, \p{Greek}, \P{^Lu}. PCRE2 would take \p{Greek} for the script's extensions, and names in any case. */
static int property(struct syntax *s) {
  size_t begin = s->at, n;
  int negative = s->p[s->at + 1] == 'P';
  const char *name;
  s->at += 2;
  if (peek(s, 0) == '{') {
    const char *end = memchr(s->p + s->at, '}', s->n - s->at);
    if (!end) return invalid(s, begin, "\\p{ without its }");
    s->at++;
    if (peek(s, 0) == '^') negative = !negative, s->at++;
    name = s->p + s->at;
    n = (size_t)(end - name);
    s->at += n + 1;
  } else {
    if (peek(s, 0) < 0) return invalid(s, begin, "\\p wants the name of a set of characters");
    name = s->p + s->at;
    n = 1;
    s->at++;
  }
  int known = n > 0 && n <= 40 && name[0] >= 'A' && name[0] <= 'Z' && (n > 2 || is_category(name, n));
  for (size_t i = 1; known && i < n; i++) known = (name[i] >= 'a' && name[i] <= 'z') || (n > 3 && (is_alnum(name[i]) || name[i] == '_'));
  if (!known) return invalid(s, begin, "this set of characters is not known: categories are written \\pL or \\p{Lu}, scripts \\p{Greek}");
  put_text(s, negative ? "\\P{" : "\\p{");
  if (!is_category(name, n)) put_text(s, "sc:");
  put(s, name, n);
  put_text(s, "}");
  return 0;
}

/* \d \D \s \S \w \W \pL: writes it and returns 1; 0: something else; negative: refused. */
static int named_set(struct syntax *s, int in_class) {
  int c = peek(s, 1);
  if (c == 'p' || c == 'P') {
    int r = property(s);
    return r ? r : 1;
  }
  if (c < 0 || !strchr("dDsSwW", c)) return 0;
  if (c == 's') put_text(s, in_class ? "\\t\\n\\f\\r\\x{20}" : "[\\t\\n\\f\\r\\x{20}]"); /* PCRE2's has the vertical tab, too */
  else if (c == 'S') put_text(s, in_class ? "\\x{0}-\\x{8}\\x{b}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}" : "[^\\t\\n\\f\\r\\x{20}]");
  else put(s, s->p + s->at, 2);
  s->at += 2;
  return 1;
}

/* [:alpha:] and [:^alpha:] in a class; as named_set. */
static int posix_set(struct syntax *s) {
  static const char *const all[] = { "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit" };
  const char *p = s->p + s->at, *end = NULL;
  if (peek(s, 1) != ':') return 0;
  for (size_t i = 2; i + 1 < s->n - s->at && !end; i++)
    if (p[i] == ':' && p[i + 1] == ']') end = p + i;
  if (!end) return 0;
  const char *name = p + 2 + (p[2] == '^');
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (end <= name || strlen(all[i]) != (size_t)(end - name) || memcmp(all[i], name, strlen(all[i])) != 0) continue;
    s->at += (size_t)(end + 2 - p);
    put(s, p, (size_t)(end + 2 - p));
    return 1;
  }
  return invalid(s, s->at, "there is no such class as this one in [: :]");
}

static int class_rune(struct syntax *s, int32_t *ret) {
  s->token = s->at;
  if (peek(s, 0) == '\\') return escape_rune(s, ret);
  *ret = next_rune(s);
  return 0;
}

static int class_item(struct syntax *s) {
  int32_t low, high;
  size_t begin = s->token = s->at;
  int r = peek(s, 0) == '[' ? posix_set(s) : peek(s, 0) == '\\' ? named_set(s, 1) : 0;
  if (r) return r < 0 ? r : 0;
  if ((r = class_rune(s, &low))) return r;
  high = low;
  if (peek(s, 0) == '-' && peek(s, 1) >= 0 && peek(s, 1) != ']') {
    s->at++;
    if ((r = class_rune(s, &high))) return r;
    if (high < low) return invalid(s, begin, "the range is the wrong way round");
  }
  s->token = begin;
  put_rune(s, low);
  if (high != low) put_text(s, "-"), put_rune(s, high);
  return 0;
}

static int class(struct syntax *s) {
  size_t begin = s->at++;
  put_text(s, "[");
  if (peek(s, 0) == '^') put_text(s, "^"), s->at++;
  for (int first = 1; first || peek(s, 0) != ']'; first = 0) {
    if (peek(s, 0) < 0) return invalid(s, begin, "[ without its ]");
    int r = class_item(s);
    if (r) return r;
  }
  s->at++;
  put_text(s, "]");
  return 0;
}

/* --- repeats -------------------------------------------------------------------------------------------------------------------- */

/* A number without leading zeros; -1: none, -2: more than any limit. */
static int32_t number(struct syntax *s, size_t *at) {
  int32_t v = 0;
  size_t begin = *at;
  while (*at < s->n && is_digit((unsigned char)s->p[*at])) {
    if (v >= 0) v = v * 10 + s->p[*at] - '0';
    if (v > 99999999) v = -2;
    ++*at;
  }
  if (*at == begin || (*at - begin > 1 && s->p[begin] == '0')) return -1;
  return v;
}

/* {n} {n,} {n,m}: its length, 0 when it is plain text. max -1: without end. */
static size_t braces(struct syntax *s, int32_t *min, int32_t *max) {
  size_t at = s->at + 1;
  *min = *max = number(s, &at);
  if (*min == -1) return 0;
  if (at < s->n && s->p[at] == ',') {
    at++;
    if (at < s->n && s->p[at] == '}') *max = -1;
    else if ((*max = number(s, &at)) == -1) return 0;
  }
  return at < s->n && s->p[at] == '}' ? at + 1 - s->at : 0;
}

static int is_repeat(struct syntax *s) {
  int32_t min, max;
  int c = peek(s, 0);
  return c == '*' || c == '+' || c == '?' || (c == '{' && braces(s, &min, &max));
}

static int repeat(struct syntax *s) {
  int32_t min = 0, max = -1;
  size_t begin = s->at, len = peek(s, 0) == '{' ? braces(s, &min, &max) : 1;
  if (s->atom == ATOM_REPEATED) return invalid(s, begin, "a repeat of a repeat: put the inner one in a group (possessive repeats are not supported)");
  if (s->atom == ATOM_NONE) return invalid(s, begin, "there is nothing to repeat");
  if (peek(s, 0) == '{') {
    if (min == -2 || max == -2 || min > (int32_t)REGEX_REPEAT_MAX || max > (int32_t)REGEX_REPEAT_MAX || (max >= 0 && min > max))
      return invalid(s, begin, "a repeat goes up to 1000, the smaller number first");
    uint32_t times = (uint32_t)(max < 0 ? min : max);
    if (times > 1 && s->atom_deep > REGEX_REPEAT_MAX / times) return invalid(s, begin, "repeats within repeats multiply to more than 1000");
    if (times > 1) s->atom_deep *= times;
  }
  put(s, s->p + begin, len);
  s->at += len;
  if (peek(s, 0) == '?') put_text(s, "?"), s->at++;
  put_text(s, "(?C)");
  if (s->level[s->depth].deep < s->atom_deep) s->level[s->depth].deep = s->atom_deep;
  s->atom = ATOM_REPEATED;
  return 0;
}

/* --- groups ----------------------------------------------------------------------------------------------------------------------- */

static int group_name(struct syntax *s, size_t skip) {
  size_t begin = s->at;
  const char *p = s->p + s->at + skip, *end = memchr(p, '>', s->n - s->at - skip);
  if (!end || end == p) return invalid(s, begin, "a named group is written (?P<name>...)");
  size_t n = (size_t)(end - p);
  for (size_t i = 0; i < n; i++)
    if (!is_alnum((unsigned char)p[i]) && p[i] != '_') return invalid(s, begin, "a group's name has letters, digits and _");
  s->at += skip + n + 1;
  put_text(s, "(?:");
  return 0;
}

static const char *why_no_group(const char *p, size_t n) {
  if (n > 1 && p[0] == '<' && (p[1] == '=' || p[1] == '!')) return "look-behind is not supported";
  if (n > 0 && (p[0] == '=' || p[0] == '!')) return "look-ahead is not supported";
  if (n > 0 && p[0] == '>') return "atomic groups are not supported";
  if (n > 0 && p[0] == '(') return "conditional groups are not supported";
  if (n > 0 && (p[0] == 'R' || p[0] == '&' || p[0] == '+' || is_digit((unsigned char)p[0]))) return "recursion is not supported";
  if (n > 1 && p[0] == 'P' && (p[1] == '=' || p[1] == '>')) return "backreferences and recursion are not supported";
  if (n > 0 && p[0] == 'C') return "callouts are not supported";
  return "this kind of group is not known";
}

/* (?flags) and (?flags:re), behind "(?". Returns 1 when a group begins. U is left out: which of several matches is found is all the same. */
static int group_flags(struct syntax *s) {
  size_t begin = s->at - 2, start = s->at;
  int negative = 0, any = 0;
  put_text(s, "(?");
  for (;; s->at++) {
    int c = peek(s, 0);
    if (c == 'i' || c == 'm' || c == 's' || c == 'U') {
      any = 1;
      if (c == 'U') continue;
      if (negative == 1) put_text(s, "-"), negative = 2;
      put(s, s->p + s->at, 1);
    } else if (c == '-' && !negative) {
      negative = 1;
      any = 0;
    } else if ((c == ':' || c == ')') && (any || !negative)) {
      put(s, s->p + s->at, 1);
      s->at++;
      return c == ':';
    } else {
      return invalid(s, begin, why_no_group(s->p + start, s->n - start));
    }
  }
}

static int open_group(struct syntax *s) {
  size_t begin = s->at;
  int r = 1;
  if (s->depth == REGEX_NEST_MAX) return refuse(s, WEIR_E_LIMIT, begin, "over 100 groups within each other (REGEX_NEST_MAX)");
  if (peek(s, 1) == '*') return invalid(s, begin, "verbs are not supported, and there is nothing to repeat");
  if (peek(s, 1) != '?') {
    s->at++;
    put_text(s, "(?:");
  } else if (peek(s, 2) == 'P' && peek(s, 3) == '<') {
    r = group_name(s, 4);
  } else if (peek(s, 2) == '<' && peek(s, 3) != '=' && peek(s, 3) != '!') {
    r = group_name(s, 3);
  } else {
    s->at += 2;
    r = group_flags(s);
    if (r == 0) {
      s->atom = ATOM_NONE;
      return 0;
    }
  }
  if (r < 0) return r;
  s->level[++s->depth] = (struct level){ begin, 1 };
  s->atom = ATOM_NONE;
  return 0;
}

static int close_group(struct syntax *s) {
  if (!s->depth) return invalid(s, s->at, ") without its (");
  uint32_t deep = s->level[s->depth--].deep;
  s->at++;
  put_text(s, ")");
  s->atom = ATOM_ONE;
  s->atom_deep = deep;
  if (s->level[s->depth].deep < deep) s->level[s->depth].deep = deep;
  return 0;
}

/* --- the whole ------------------------------------------------------------------------------------------------------------------------ */

static int one(struct syntax *s, int32_t c) {
  put_rune(s, c);
  s->atom = ATOM_ONE;
  s->atom_deep = 1;
  return 0;
}

/* ^ $ \A \z \b \B: PCRE2 repeats them only in a group. */
static int place(struct syntax *s, const char *text, size_t len) {
  s->at += len;
  int wrap = is_repeat(s);
  if (wrap) put_text(s, "(?:");
  put_text(s, text);
  if (wrap) put_text(s, ")");
  s->atom = ATOM_ONE;
  s->atom_deep = 1;
  return 0;
}

static int quoted(struct syntax *s) {
  for (s->at += 2; s->at < s->n;) {
    if (peek(s, 0) == '\\' && peek(s, 1) == 'E') {
      s->at += 2;
      return 0;
    }
    one(s, next_rune(s));
  }
  return 0;
}

static int escape(struct syntax *s) {
  int32_t c;
  switch (peek(s, 1)) {
  case 'A': return place(s, "\\A", 2);
  case 'z': return place(s, "\\z", 2);
  case 'b': return place(s, "\\b", 2);
  case 'B': return place(s, "\\B", 2);
  case 'Q': return quoted(s);
  default: break;
  }
  int r = named_set(s, 0);
  if (r < 0) return r;
  if (r == 0) return (r = escape_rune(s, &c)) ? r : one(s, c);
  s->atom = ATOM_ONE;
  s->atom_deep = 1;
  return 0;
}

static int piece(struct syntax *s) {
  int c = peek(s, 0), r;
  s->token = s->at;
  if (is_repeat(s)) return repeat(s);
  switch (c) {
  case '(': return open_group(s);
  case ')': return close_group(s);
  case '\\': return escape(s);
  case '^': return place(s, "^", 1);
  case '$': return place(s, "$", 1);
  case '|':
    put_text(s, "|(?C)");
    s->at++;
    s->atom = ATOM_NONE;
    return 0;
  case '[':
    if ((r = class(s))) return r;
    break;
  case '.':
    put_text(s, ".");
    s->at++;
    break;
  default: return one(s, next_rune(s));
  }
  s->atom = ATOM_ONE;
  s->atom_deep = 1;
  return 0;
}

static int translate(struct syntax *s) {
  int r = 0;
  if (s->n > REGEX_PATTERN_MAX) return refuse(s, WEIR_E_LIMIT, REGEX_PATTERN_MAX, "the pattern is longer than 8192 bytes (REGEX_PATTERN_MAX)");
  for (size_t at = 0, len; at < s->n; at += len)
    if (!(len = utf8_len(s->p + at, s->n - at))) return invalid(s, at, "no valid UTF-8");
  s->level[0].deep = 1;
  while (!r && s->at < s->n) r = piece(s);
  if (r) return r;
  if (s->depth) return invalid(s, s->level[s->depth].open, "( without its )");
  return 0;
}

int regex_translate(const char *p, size_t n, char *out, size_t *ret_n, struct weir_error *err) {
  struct syntax s = { .p = p, .n = n, .out = out, .err = err };
  int r = translate(&s);
  *ret_n = s.out_n;
  return r;
}

size_t regex_translated_from(const char *p, size_t n, char *out, size_t at) {
  struct syntax s = { .p = p, .n = n, .out = out, .probe = at };
  (void)translate(&s);
  return s.probe_at;
}
