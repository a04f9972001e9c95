/* Names as Loki's otlptranslator makes them, and the labels of a stream. */
#include <stdio.h>

#include "loki.h"
#include "plugins/kit/value_text.h"

static int is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

static void put_clean(struct kit_bytes *b, size_t at, struct weir_str s) {
  if (!kit_bytes_room(b, s.n)) return;
  char *out = b->p + b->n;
  int gap = b->n > at && out[-1] == '_';
  for (uint32_t i = 0; i < s.n; i++) {
    if (is_alnum(s.p[i])) {
      *out++ = s.p[i];
      gap = 0;
    } else if (!gap) {
      *out++ = '_';
      gap = 1;
    }
  }
  b->n = (size_t)(out - b->p);
}

static void insert(struct kit_bytes *b, size_t at, const char *text) {
  size_t n = strlen(text);
  if (!kit_bytes_room(b, n)) return;
  memmove(b->p + at + n, b->p + at, b->n - at);
  memcpy(b->p + at, text, n);
  b->n += n;
}

static int only_underscores(const char *p, size_t n) {
  while (n && p[n - 1] == '_') n--;
  return n == 0;
}

void loki_put_name(struct kit_bytes *b, size_t prefix, size_t prefix_n, struct weir_str key) {
  size_t at = b->n;
  int is_reserved = !prefix_n && key.n >= 4 && !memcmp(key.p, "__", 2) && !memcmp(key.p + key.n - 2, "__", 2);
  if (prefix_n && kit_bytes_room(b, prefix_n + 1)) {
    memcpy(b->p + b->n, b->p + prefix, prefix_n);
    b->n += prefix_n;
    if (b->p[b->n - 1] != '_') b->p[b->n++] = '_';
  }
  if (is_reserved) {
    kit_put_text(b, "__");
    put_clean(b, b->n, (struct weir_str){ key.p + 2, key.n - 4, 0 });
    kit_put_text(b, "__");
  } else {
    put_clean(b, at, key);
  }
  if (b->failed) return;
  if (b->n > at && b->p[at] >= '0' && b->p[at] <= '9') insert(b, at, "key_");
  if (only_underscores(b->p + at, b->n - at)) insert(b, at, "key"); /* Loki refuses the whole request for such a name */
}

/* --- a stream's labels --------------------------------------------------------------------------------------------------- */

int loki_labels_check(const struct loki_labels_config *c, struct weir_error *err) {
  if (c->fixed.n > c->max) return weir_fail_field(err, "labels.static", "%zu labels are more than `max` allows (%llu)", c->fixed.n, (unsigned long long)c->max);
  for (size_t i = 0; i < c->fixed.n; i++) {
    const char *name = c->fixed.v[i].key;
    int ok = *name && !(*name >= '0' && *name <= '9');
    for (const char *p = name; *p; p++) ok &= is_alnum(*p) || *p == '_';
    if (!ok) return weir_fail_field(err, "labels.static", "`%s` is no label name: letters, digits and underscores are allowed, and a digit not in front", name);
    if (!*c->fixed.v[i].value) return weir_fail_field(err, "labels.static", "`%s` has no value", name);
  }
  return 0;
}

static struct weir_str text_at(const struct loki_labels *l, uint32_t at, uint32_t n) { return (struct weir_str){ l->text.p + at, n, 0 }; }

static int has_name(const struct loki_labels *l, size_t at, size_t n) {
  for (size_t i = 0; i < l->n; i++)
    if (l->v[i].name_n == n && !memcmp(l->text.p + l->v[i].name, l->text.p + at, n)) return 1;
  return 0;
}

/* Whether the name and value that stand at the end of the text are a label that may be added. */
static int add(struct loki_labels *l, size_t name, size_t name_n, size_t value) {
  size_t value_n = l->text.n - value;
  if (l->text.failed) return 0;
  if (!value_n) return 1;
  if (l->n >= l->config->max || name_n > LOKI_LABEL_NAME_MAX || value_n > LOKI_LABEL_VALUE_MAX || has_name(l, name, name_n)) return 0;
  l->v[l->n++] = (struct loki_label){ (uint32_t)name, (uint32_t)name_n, (uint32_t)value, (uint32_t)value_n };
  return 1;
}

static int add_attr(struct loki_labels *l, size_t prefix, size_t prefix_n, const struct weir_attr *a) {
  size_t at = l->text.n;
  loki_put_name(&l->text, prefix, prefix_n, a->key);
  size_t n = l->text.n - at;
  if (a->value.kind != WEIR_V_KVLIST) {
    size_t value = l->text.n;
    kit_put_value(&l->text, &a->value);
    return add(l, at, n, value);
  }
  if (n > LOKI_LABEL_NAME_MAX) return 0;
  for (uint32_t i = 0; i < a->value.n; i++)
    if (!add_attr(l, at, n, &a->value.u.attrs[i])) return 0;
  return 1;
}

void loki_labels_cut(struct loki_labels *l, size_t n) { l->n = n; }

void loki_labels_begin(struct loki_labels *l) {
  const struct weir_map *fixed = &l->config->fixed;
  l->text.n = 0;
  l->n = 0;
  for (size_t i = 0; i < fixed->n; i++) {
    size_t name = l->text.n, n = strlen(fixed->v[i].key);
    kit_put(&l->text, fixed->v[i].key, n);
    size_t value = l->text.n;
    kit_put_text(&l->text, fixed->v[i].value);
    add(l, name, n, value);
  }
}

void loki_labels_take(struct loki_labels *l, const struct weir_strings *rules, const struct weir_rec *rec, const struct weir_attr **ret_taken, size_t *ret_n) {
  size_t n = 0;
  for (size_t i = 0; i < rules->n && n < LOKI_LABELS_MAX; i++) {
    const struct weir_attr *a = weir_attr_find(rec, weir_str_of(rules->v[i]));
    size_t before = l->n, text = l->text.n;
    if (!a) continue;
    if (add_attr(l, 0, 0, a)) {
      ret_taken[n++] = a;
    } else { /* all of a mapping, or nothing */
      l->n = before;
      l->text.n = text;
    }
  }
  *ret_n = n;
}

/* A string as Go's parsers of label matchers read it: bytes that are not UTF-8 become U+FFFD. */
static void put_quoted(struct kit_bytes *b, struct weir_str s) {
  static const char hex[] = "0123456789abcdef";
  kit_put_char(b, '"');
  for (size_t i = 0; i < s.n;) {
    unsigned char c = (unsigned char)s.p[i];
    size_t len = kit_utf8_len(s.p + i, s.n - i);
    if (c == '"' || c == '\\') kit_put_char(b, '\\');
    if (c < 0x20 || c == 0x7f) {
      kit_put_text(b, c == '\n' ? "\\n" : "\\x");
      if (c != '\n') kit_put(b, (char[]){ hex[c >> 4], hex[c & 15] }, 2);
    } else if (len) {
      kit_put(b, s.p + i, len);
    } else {
      kit_put_text(b, "\xef\xbf\xbd");
    }
    i += len ? len : 1;
  }
  kit_put_char(b, '"');
}

static int comes_before(const struct loki_labels *l, const struct loki_label *a, const struct loki_label *b) {
  uint32_t n = a->name_n < b->name_n ? a->name_n : b->name_n;
  int r = memcmp(l->text.p + a->name, l->text.p + b->name, n);
  return r < 0 || (r == 0 && a->name_n < b->name_n);
}

void loki_labels_put(struct loki_labels *l, int json, struct kit_bytes *out) {
  const struct loki_label *sorted[LOKI_LABELS_MAX];
  for (size_t i = 0; i < l->n; i++) {
    size_t k = i;
    for (; k && comes_before(l, &l->v[i], sorted[k - 1]); k--) sorted[k] = sorted[k - 1];
    sorted[k] = &l->v[i];
  }
  kit_put_char(out, '{');
  for (size_t i = 0; i < l->n; i++) {
    struct weir_str name = text_at(l, sorted[i]->name, sorted[i]->name_n), value = text_at(l, sorted[i]->value, sorted[i]->value_n);
    if (i) kit_put_text(out, json ? "," : ", ");
    if (json) {
      kit_put_json_str(out, name);
      kit_put_char(out, ':');
      kit_put_json_str(out, value);
    } else {
      kit_put_str(out, name);
      kit_put_char(out, '=');
      put_quoted(out, value);
    }
  }
  if (!l->n) kit_put_text(out, json ? "\"service_name\":\"unknown_service\"" : "service_name=\"unknown_service\"");
  kit_put_char(out, '}');
}
