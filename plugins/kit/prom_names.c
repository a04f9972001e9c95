/* Names: metrics, labels, units; what the Collector's translator (otlptranslator) makes of them, checked against the Collector itself. */
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/prom_internal.h"

#define L 1
#define D 2
#define U 4
#define C 8
const unsigned char prom_class[256] = {
  ['a'] = L, ['b'] = L, ['c'] = L, ['d'] = L, ['e'] = L, ['f'] = L, ['g'] = L, ['h'] = L, ['i'] = L, ['j'] = L, ['k'] = L, ['l'] = L, ['m'] = L,
  ['n'] = L, ['o'] = L, ['p'] = L, ['q'] = L, ['r'] = L, ['s'] = L, ['t'] = L, ['u'] = L, ['v'] = L, ['w'] = L, ['x'] = L, ['y'] = L, ['z'] = L,
  ['A'] = L, ['B'] = L, ['C'] = L, ['D'] = L, ['E'] = L, ['F'] = L, ['G'] = L, ['H'] = L, ['I'] = L, ['J'] = L, ['K'] = L, ['L'] = L, ['M'] = L,
  ['N'] = L, ['O'] = L, ['P'] = L, ['Q'] = L, ['R'] = L, ['S'] = L, ['T'] = L, ['U'] = L, ['V'] = L, ['W'] = L, ['X'] = L, ['Y'] = L, ['Z'] = L,
  ['0'] = D, ['1'] = D, ['2'] = D, ['3'] = D, ['4'] = D, ['5'] = D, ['6'] = D, ['7'] = D, ['8'] = D, ['9'] = D, ['_'] = U, [':'] = C,
};
#undef C

static int class_of(struct weir_str s, size_t i) { return prom_class[(unsigned char)s.p[i]]; }
static struct weir_str str(const char *p, size_t n) { return (struct weir_str){ p, (uint32_t)n, 0 }; }
static int is(struct weir_str s, const char *text) { return weir_str_eq(s, weir_str_of(text)); }
static int ends_with(struct weir_str s, struct weir_str end) { return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0; }

int prom_name_valid(struct weir_str s, int is_metric) {
  int ok = L | U | D | (is_metric ? 8 : 0);
  if (!s.n || class_of(s, 0) == D) return 0;
  for (size_t i = 0; i < s.n; i++)
    if (!(class_of(s, i) & ok)) return 0;
  return 1;
}

/* --- labels: runs of `_` and of what is not allowed become one `_`; none begins with `_` or a digit ------------------------------- */

/* Whether a key needs no work: valid, no `__`, no `_` in front. */
static int label_clean(struct weir_str key) {
  int last = U;
  for (size_t i = 0; i < key.n; i++) {
    int c = class_of(key, i);
    if (!(c & (L | D | U)) || (c == U && last == U)) return 0;
    last = c;
  }
  return key.n > 0 && class_of(key, 0) == L;
}

static size_t underscored(char *to, size_t n, struct weir_str from) {
  for (size_t i = 0; i < from.n; i++) {
    int keep = class_of(from, i) & (L | D);
    if (keep) to[n++] = from.p[i];
    else if (!n || to[n - 1] != '_') to[n++] = '_';
  }
  return n;
}

struct weir_str prom_label_name(struct prom *p, struct scratch *s, const char *prefix, struct weir_str key) {
  size_t skip = strlen(prefix);
  if (!key.n) return str("", 0);
  if (p->opt.utf8_names) { /* what begins with `__` is Prometheus' own */
    key = prom_text_repaired(p, s, key, p->opt.max_label_bytes);
    if (!key.p) return str("", 0);
    if (!skip && key.n >= 2 && key.p[0] == '_' && key.p[1] == '_') prefix = "key", skip = 3;
    if (!skip) return key;
  } else if (!skip && label_clean(key)) {
    return key;
  }
  if (key.n > p->opt.max_label_bytes) return str("", 0);
  char *to = scratch_take(s, key.n + skip + 4);
  if (!to) return str("", 0);
  memcpy(to, prefix, skip);
  if (p->opt.utf8_names) {
    memcpy(to + skip, key.p, key.n);
    return str(to, key.n + skip);
  }
  if (!skip && class_of(key, 0) == D) memcpy(to, "key_", skip = 4);
  else if (!skip && class_of(key, 0) != L) memcpy(to, "key", skip = 3);
  return str(to, underscored(to, skip, key));
}

/* --- units ---------------------------------------------------------------------------------------------------------------------- */

struct word {
  const char *unit, *word;
};
/* UCUM to words, as the Collector has them: "TiBy" too. */
static const struct word units[] = { { "d", "days" }, { "h", "hours" }, { "min", "minutes" }, { "s", "seconds" }, { "ms", "milliseconds" }, { "us", "microseconds" },
  { "ns", "nanoseconds" }, { "By", "bytes" }, { "KiBy", "kibibytes" }, { "MiBy", "mebibytes" }, { "GiBy", "gibibytes" }, { "TiBy", "tibibytes" }, { "KBy", "kilobytes" },
  { "MBy", "megabytes" }, { "GBy", "gigabytes" }, { "TBy", "terabytes" }, { "m", "meters" }, { "V", "volts" }, { "A", "amperes" }, { "J", "joules" }, { "W", "watts" },
  { "g", "grams" }, { "Cel", "celsius" }, { "Hz", "hertz" }, { "1", "" }, { "%", "percent" }, { NULL, NULL } };
static const struct word per_units[] = { { "s", "second" }, { "m", "minute" }, { "h", "hour" }, { "d", "day" }, { "w", "week" }, { "mo", "month" }, { "y", "year" }, { NULL, NULL } };

static struct weir_str word_of(const struct word *words, struct weir_str unit) {
  for (; words->unit; words++)
    if (is(unit, words->unit)) return weir_str_of(words->word);
  return unit;
}

static struct weir_str trimmed(struct weir_str s) {
  while (s.n && strchr(" \t\r\n\v\f", s.p[0])) s.p++, s.n--;
  while (s.n && strchr(" \t\r\n\v\f", s.p[s.n - 1])) s.n--;
  return s;
}

/* One side of a unit in words; empty when it has `{}`: annotations are no units. */
static struct weir_str unit_side(const struct word *words, struct weir_str side) {
  side = trimmed(side);
  for (size_t i = 0; i < side.n; i++)
    if (side.p[i] == '{' || side.p[i] == '}' || side.p[i] == 0) return str("", 0);
  return side.n ? word_of(words, side) : side;
}

/* Appends, made valid unless names may be UTF-8: `_` for each run of what is not allowed, none in front. Returns the new length. */
static size_t unit_put(struct prom *p, char *to, size_t n, struct weir_str word) {
  size_t from = n;
  if (p->opt.utf8_names) {
    memcpy(to + n, word.p, word.n);
    return n + word.n;
  }
  for (size_t i = 0; i < word.n; i++) {
    if (class_of(word, i) & (L | D | 8)) to[n++] = word.p[i];
    else if (n > from && to[n - 1] != '_') to[n++] = '_';
  }
  return n;
}

/* "By/s" -> main "bytes", per "per_second". Both in `to`, which has room for the unit, 40 bytes more and twice the longest word. */
static void unit_words(struct prom *p, struct weir_str unit, char *to, struct weir_str *ret_main, struct weir_str *ret_per) {
  const char *slash = unit.n ? memchr(unit.p, '/', unit.n) : NULL;
  struct weir_str first = str(unit.p, slash ? (size_t)(slash - unit.p) : unit.n), second = slash ? str(slash + 1, unit.n - first.n - 1) : str("", 0);
  struct weir_str per = unit_side(per_units, second);
  size_t n = unit_put(p, to, 0, unit_side(units, first)), at = n;
  *ret_main = str(to, n);
  memcpy(to + n, "per_", 4);
  if (per.n) n = unit_put(p, to, n + 4, per);
  while (n > at && to[n - 1] == '_' && !p->opt.utf8_names) n--;
  *ret_per = n > at + 4 ? str(to + at, n - at) : str("", 0);
  while (!p->opt.utf8_names && ret_per->n && ret_main->n && ret_main->p[ret_main->n - 1] == '_') ret_main->n--;
}

/* --- metrics ---------------------------------------------------------------------------------------------------------------------- */

/* Tokens of [a-zA-Z0-9:] joined by `_`, without those that are `drop`. ret_has: whether one of them is `want`. */
static size_t tokens_put(char *to, size_t n, struct weir_str name, const char *drop, struct weir_str want, int *ret_has) {
  *ret_has = 0;
  for (size_t i = 0; i < name.n;) {
    size_t from = i;
    while (i < name.n && (class_of(name, i) & (L | D | 8))) i++;
    struct weir_str token = str(name.p + from, i - from);
    if (!token.n) {
      i++;
      continue;
    }
    *ret_has |= weir_str_eq(token, want);
    if (drop && is(token, drop)) continue;
    if (n) to[n++] = '_';
    memcpy(to + n, token.p, token.n);
    n += token.n;
  }
  return n;
}

static size_t joined(char *to, size_t n, struct weir_str s) {
  if (!s.n) return n;
  if (n) to[n++] = '_';
  memcpy(to + n, s.p, s.n);
  return n + s.n;
}

/* What a type puts behind the name; counters of things with the unit 1 are no ratios. */
static const char *type_suffix(struct weir_str unit, int type) {
  return type == PROM_COUNTER ? "total" : type == PROM_GAUGE && is(unit, "1") ? "ratio" : NULL;
}

static size_t compliant_name(char *to, struct weir_str space, struct weir_str name, struct weir_str main, struct weir_str per, const char *suffix) {
  int has;
  size_t n = tokens_put(to, 0, name, suffix, main, &has);
  if (!has) n = joined(to, n, main);
  n = joined(to, n, per);
  if (suffix) n = joined(to, n, weir_str_of(suffix));
  if (space.n && n) {
    memmove(to + space.n + 1, to, n);
    memcpy(to, space.p, space.n);
    to[space.n] = '_';
    n += space.n + 1;
  }
  if (n && prom_class[(unsigned char)to[0]] == D) {
    memmove(to + 1, to, n++);
    to[0] = '_';
  }
  return n;
}

/* Without suffixes: runs of what is not allowed become `_`, none at the ends; `__` stays. */
static size_t plain_name(char *to, struct weir_str space, struct weir_str name) {
  size_t n = space.n;
  int gap = 0;
  if (n) memcpy(to, space.p, n), to[n++] = '_';
  size_t from = n;
  for (size_t i = 0; i < name.n; i++) {
    if (!class_of(name, i)) {
      gap = n > from;
      continue;
    }
    if (n == 0 && class_of(name, i) == D) to[n++] = '_';
    if (gap) to[n++] = '_';
    gap = 0;
    to[n++] = name.p[i];
  }
  return n;
}

/* Without the ending and the character before it, whichever that is, as the Collector has it; there a byte, which may be the end of a character. */
static size_t without_end(const char *to, size_t n, struct weir_str end) {
  if (!ends_with(str(to, n), end) || n <= end.n + 1) return n;
  n -= end.n + 1;
  while (n && ((unsigned char)to[n] & 0xc0) == 0x80) n--;
  return n;
}

static size_t utf8_name(char *to, struct weir_str space, struct weir_str name, struct weir_str main, struct weir_str per, const char *suffix) {
  size_t n = joined(to, 0, space);
  n = joined(to, n, name);
  if (suffix) n = without_end(to, n, weir_str_of(suffix));
  if (per.n) n = without_end(to, n, per);
  if (!ends_with(str(to, n), main)) n = joined(to, n, main);
  n = joined(to, n, per);
  return suffix ? joined(to, n, weir_str_of(suffix)) : n;
}

static int has_more_than_underscores(struct weir_str s) {
  for (size_t i = 0; i < s.n; i++)
    if (s.p[i] != '_') return 1;
  return 0;
}

struct weir_str prom_metric_name(struct prom *p, struct weir_str name, struct weir_str unit, int type, int suffixes, struct weir_str *ret_unit) {
  struct weir_str space = p->opt.name_space, main, per;
  if (p->opt.utf8_names) {
    name = prom_text_repaired(p, &p->point, name, p->opt.max_label_bytes);
    unit = prom_text_repaired(p, &p->point, unit, p->opt.max_label_bytes);
  }
  *ret_unit = str("", 0);
  if (!name.n || (uint64_t)name.n + unit.n > PROM_NAME_BYTES) return str("", 0);
  char *to = scratch_take(&p->point, (size_t)name.n + space.n + unit.n + 80u), *words = to ? scratch_take(&p->point, unit.n + 80u) : NULL;
  char *whole = words ? scratch_take(&p->point, unit.n + 80u) : NULL;
  if (!whole) return str("", 0);
  unit_words(p, unit, words, &main, &per);
  const char *suffix = suffixes ? type_suffix(unit, type) : NULL;
  *ret_unit = suffix && type == PROM_GAUGE ? weir_str_of(suffix) : str(whole, joined(whole, joined(whole, 0, main), per));
  if (!suffixes) main = per = str("", 0);
  size_t n = p->opt.utf8_names ? utf8_name(to, space, name, main, per, suffix)
             : suffixes        ? compliant_name(to, space, name, main, per, suffix)
                               : plain_name(to, space, name);
  struct weir_str made = str(to, n);
  return has_more_than_underscores(made) || weir_str_eq(made, name) ? made : str("", 0);
}

/* --- families ---------------------------------------------------------------------------------------------------------------------- */

static int hinted(const struct weir_metric *m, const char *type) {
  const struct weir_attr *a = weir_attr_find(&m->rec, weir_str_of("prometheus.type"));
  return a && a->value.kind == WEIR_V_STRING && is(str(a->value.u.s, a->value.n), type);
}

static int type_of(const struct weir_metric *m) {
  switch (m->type) {
  case WEIR_M_GAUGE: return m->rec.n_attrs && hinted(m, "unknown") ? PROM_UNKNOWN : PROM_GAUGE;
  case WEIR_M_SUM:
    if (m->is_monotonic) return PROM_COUNTER;
    if (m->rec.n_attrs && hinted(m, "info")) return PROM_INFO;
    return m->rec.n_attrs && hinted(m, "stateset") ? PROM_STATESET : PROM_GAUGE;
  case WEIR_M_HISTOGRAM: return PROM_HISTOGRAM;
  case WEIR_M_EXP_HISTOGRAM: return PROM_NATIVE_HISTOGRAM;
  case WEIR_M_SUMMARY: return PROM_SUMMARY;
  default: return PROM_UNKNOWN;
  }
}

/* As for naming: only a real gauge is a ratio, only a monotonic sum a counter. */
static int naming_type(const struct weir_metric *m) { return m->type == WEIR_M_GAUGE ? PROM_GAUGE : m->type == WEIR_M_SUM && m->is_monotonic ? PROM_COUNTER : PROM_UNKNOWN; }

static int cache_hit(const struct prom_cached *c, uint64_t hash, int type, const struct weir_metric *m) {
  return c->text && c->hash == hash && c->type == type && c->n_name == m->name.n && c->n_unit == m->unit.n && memcmp(c->text, m->name.p, m->name.n) == 0 &&
         (!m->unit.n || memcmp(c->text + m->name.n, m->unit.p, m->unit.n) == 0);
}

static int cache_fill(struct prom *p, struct prom_cached *c, uint64_t hash, int type, const struct weir_metric *m) {
  struct weir_str unit, full = prom_metric_name(p, m->name, m->unit, type, p->opt.add_metric_suffixes, &unit);
  p->why = "name";
  if (!full.n) return 0;
  char *text = malloc((size_t)m->name.n + m->unit.n + full.n + unit.n + 1u);
  p->why = "memory";
  if (!text) return 0;
  free(c->text);
  *c = (struct prom_cached){ hash, type, m->name.n, m->unit.n, full.n, unit.n, text };
  memcpy(text, m->name.p, m->name.n);
  if (m->unit.n) memcpy(text + m->name.n, m->unit.p, m->unit.n);
  text += m->name.n + m->unit.n;
  memcpy(text, full.p, full.n);
  if (unit.n) memcpy(text + full.n, unit.p, unit.n);
  return 1;
}

int prom_family_of(struct prom *p, const struct weir_metric *m, struct prom_family *ret) {
  int type = naming_type(m);
  struct prom_label unit = { m->unit, { NULL, 0, 0 } };
  p->why = "name";
  if (!m->name.n) return 0;
  uint64_t hash = prom_hash((uint64_t)type, m->name, &unit, 1);
  struct prom_cached *c = &p->cache[hash % PROM_CACHE];
  scratch_reset(&p->point);
  if (!cache_hit(c, hash, type, m) && !cache_fill(p, c, hash, type, m)) return 0;
  const char *made = c->text + c->n_name + c->n_unit;
  ret->name = str(made, c->n_full);
  ret->unit = str(made + c->n_full, c->n_words);
  ret->type = type_of(m);
  ret->metric = m;
  ret->help = m->description;
  return 1;
}

/* --- escaping for readers without UTF-8 names --------------------------------------------------------------------------------------- */

static int decoded(struct weir_str s, size_t i, uint32_t *ret) {
  unsigned char a = (unsigned char)s.p[i];
  int more = a < 0x80 ? 0 : a < 0xe0 ? 1 : a < 0xf0 ? 2 : 3;
  *ret = more ? a & (0x3fu >> more) : a;
  for (int k = 1; k <= more && i + (size_t)k < s.n; k++) *ret = *ret << 6 | ((unsigned char)s.p[i + (size_t)k] & 0x3fu);
  return 1 + more;
}

static size_t put(char *to, const char *text) {
  memcpy(to, text, strlen(text));
  return strlen(text);
}

static size_t put_hex(char *to, uint32_t code) {
  static const char digits[] = "0123456789abcdef";
  size_t n = 0;
  to[n++] = '_';
  int shift = 28;
  while (shift && !(code >> shift)) shift -= 4;
  for (; shift >= 0; shift -= 4) to[n++] = digits[code >> shift & 15];
  to[n++] = '_';
  return n;
}

size_t prom_escape_name(struct weir_str s, int scheme, int is_metric, char *buf) {
  size_t n = 0;
  int ok = L | U | D | (is_metric ? 8 : 0);
  if (scheme == PROM_ESCAPE_UTF8 || prom_name_valid(s, is_metric)) {
    memcpy(buf, s.p, s.n);
    return s.n;
  }
  if (scheme == PROM_ESCAPE_VALUES) n = put(buf, "U__");
  for (size_t i = 0; i < s.n;) {
    uint32_t code;
    size_t len = (size_t)decoded(s, i, &code);
    int good = (class_of(s, i) & ok) && !(i == 0 && class_of(s, 0) == D);
    if (scheme != PROM_ESCAPE_UNDERSCORES && s.p[i] == '_') n += put(buf + n, "__");
    else if (good) buf[n++] = s.p[i];
    else if (scheme == PROM_ESCAPE_DOTS && s.p[i] == '.') n += put(buf + n, "_dot_");
    else if (scheme == PROM_ESCAPE_VALUES) n += put_hex(buf + n, code);
    else n += put(buf + n, scheme == PROM_ESCAPE_DOTS ? "__" : "_");
    i += len;
  }
  return n;
}
