/* The table: families by name, series by family and labels, labels held once. Everything is counted in bytes. */
#include <stdlib.h>
#include <string.h>

#include "prometheus.h"

#define FIRST_CAP 1024u
#define NAME_CAP 8192u /* of a family's name; the mapping gives 2 KiB and the namespace. A longer one is not looked for */
#define MALLOC_COST 8u /* what an allocation takes beside its bytes, about */

/* --- tables of chains ----------------------------------------------------------------------------------------------------------------- */

int table_init(struct table *t, uint64_t seed) {
  *t = (struct table){ .seed = seed, .cap_series = FIRST_CAP, .cap_families = FIRST_CAP, .cap_labels = FIRST_CAP };
  t->series = calloc(FIRST_CAP, sizeof *t->series);
  t->families = calloc(FIRST_CAP, sizeof *t->families);
  t->labels = calloc(FIRST_CAP, sizeof *t->labels);
  t->bytes = 3u * FIRST_CAP * sizeof(void *);
  return t->series && t->families && t->labels ? 0 : -1;
}

/* One chain per entry on average. Without memory the chains grow longer. */
#define GROW(t, what, type)                                                           \
  static void grow_##what(struct table *t) {                                          \
    size_t cap = t->cap_##what * 2;                                                   \
    struct type **v = t->n_##what < t->cap_##what ? NULL : calloc(cap, sizeof *v);    \
    if (!v) return;                                                                   \
    for (size_t i = 0; i < t->cap_##what; i++)                                        \
      for (struct type *s = t->what[i], *next; s; s = next) {                         \
        next = s->chain;                                                              \
        s->chain = v[s->hash & (cap - 1)];                                            \
        v[s->hash & (cap - 1)] = s;                                                   \
      }                                                                               \
    free(t->what);                                                                    \
    t->what = v;                                                                      \
    t->bytes += (cap - t->cap_##what) * sizeof *v;                                    \
    t->cap_##what = cap;                                                              \
  }
GROW(t, series, series)
GROW(t, families, family)
GROW(t, labels, label)

/* --- labels ------------------------------------------------------------------------------------------------------------------------------ */

static const char *value_of(const struct label *l) { return l->text + l->n_name + 2; }

static int label_is(const struct label *l, const struct prom_label *want) {
  return l->n_name == want->name.n && l->n_value == want->value.n && memcmp(l->text, want->name.p, l->n_name) == 0 &&
         memcmp(value_of(l), want->value.p, l->n_value) == 0;
}

static int needs_escape(struct weir_str s) {
  for (uint32_t i = 0; i < s.n; i++)
    if (s.p[i] == '\\' || s.p[i] == '"' || s.p[i] == '\n') return 1;
  return 0;
}

static size_t label_size(const struct label *l) { return sizeof *l + l->n_name + 3u + l->n_value + l->n_escaped + MALLOC_COST; }

static struct label *label_make(const struct prom_label *from, uint32_t hash) {
  int escaped = needs_escape(from->value);
  size_t n = (size_t)from->name.n + 3 + from->value.n;
  struct label *l = malloc(sizeof *l + n + (escaped ? n + from->value.n : 0u));
  if (!l) return NULL;
  *l = (struct label){ .refs = 1, .hash = hash, .n_name = from->name.n, .n_value = from->value.n };
  char *p = l->text;
  memcpy(p, from->name.p, from->name.n);
  memcpy(p += from->name.n, "=\"", 2);
  memcpy(p += 2, from->value.p, from->value.n);
  *(p += from->value.n) = '"';
  if (!prom_name_valid(from->name, 0)) l->flags |= LABEL_QUOTED;
  if (!escaped) return l;
  char *e = ++p;
  memcpy(e, l->text, from->name.n + 2u);
  e += from->name.n + 2u;
  e += prom_escape_text(from->value, 1, e);
  *e++ = '"';
  l->n_escaped = (uint32_t)(e - p);
  l->flags |= LABEL_ESCAPED;
  return l;
}

static struct label *label_get(struct table *t, const struct prom_label *want) {
  uint32_t hash = (uint32_t)prom_hash(t->seed, want->name, want, 1);
  struct label **at = &t->labels[hash & (t->cap_labels - 1)], *l = *at;
  while (l && !(l->hash == hash && label_is(l, want))) l = l->chain;
  if (l) {
    l->refs++;
    return l;
  }
  if (!(l = label_make(want, hash))) return NULL;
  l->chain = *at;
  *at = l;
  t->n_labels++;
  t->bytes += label_size(l);
  grow_labels(t);
  return l;
}

static void label_put(struct table *t, struct label *l) {
  struct label **at = &t->labels[l->hash & (t->cap_labels - 1)];
  if (--l->refs) return;
  while (*at != l) at = &(*at)->chain;
  *at = l->chain;
  t->n_labels--;
  t->bytes -= label_size(l);
  free(l);
}

/* --- families ------------------------------------------------------------------------------------------------------------------------------ */

static void list_empty(struct table *t, struct family *f) {
  if (f->is_empty_listed) return;
  f->is_empty_listed = 1;
  f->next_empty = t->empty;
  t->empty = f;
}

static struct family *family_make(struct table *t, const struct prom_family *from, uint64_t hash) {
  size_t n = (size_t)from->name.n + from->help.n + from->unit.n;
  struct family *f = malloc(sizeof *f + n);
  if (!f) return NULL;
  *f = (struct family){ .hash = hash, .type = from->type, .n_name = from->name.n, .n_help = from->help.n, .n_unit = from->unit.n };
  f->bytes = (uint32_t)(sizeof *f + n + MALLOC_COST);
  memcpy(f->text, from->name.p, from->name.n);
  if (from->help.n) memcpy(f->text + from->name.n, from->help.p, from->help.n);
  if (from->unit.n) memcpy(f->text + from->name.n + from->help.n, from->unit.p, from->unit.n);
  f->chain = t->families[hash & (t->cap_families - 1)];
  t->families[hash & (t->cap_families - 1)] = f;
  t->n_families++;
  t->bytes += f->bytes;
  list_empty(t, f);
  grow_families(t);
  return f;
}

static struct family *family_find(const struct table *t, struct weir_str name, uint64_t hash) {
  struct family *f = t->families[hash & (t->cap_families - 1)];
  while (f && !(f->hash == hash && f->n_name == name.n && memcmp(f->text, name.p, f->n_name) == 0)) f = f->chain;
  return f;
}

const struct family *table_held(const struct table *t, const char *name, size_t n, const char *end) {
  char text[NAME_CAP];
  size_t n_end = strlen(end);
  if (n + n_end > sizeof text) return NULL;
  memcpy(text, name, n);
  memcpy(text + n, end, n_end);
  struct weir_str s = { text, (uint32_t)(n + n_end), 0 };
  const struct family *f = family_find(t, s, prom_hash(t->seed, s, NULL, 0));
  return f && f->first ? f : NULL;
}

/* What stands behind the name in a histogram's or summary's samples. _created is written by nobody here, but OpenMetrics keeps the name for them. */
static const char *const parts[] = { "_count", "_sum", "_bucket", "_created" };
#define N_PARTS (sizeof parts / sizeof *parts)
#define BUCKET 2
#define CREATED 3

static int has_part(int type, size_t part, int openmetrics) {
  int is_histogram = type == PROM_HISTOGRAM || type == PROM_NATIVE_HISTOGRAM;
  if (!is_histogram && type != PROM_SUMMARY) return 0;
  return part == CREATED ? openmetrics : part == BUCKET ? is_histogram : 1;
}

const struct family *table_whole(const struct table *t, const char *name, size_t n, int openmetrics) {
  for (size_t i = 0; i < N_PARTS; i++) {
    size_t n_part = strlen(parts[i]);
    if (n <= n_part || memcmp(name + n - n_part, parts[i], n_part) != 0) continue;
    const struct family *f = table_held(t, name, n - n_part, "");
    return f && has_part(f->type, i, openmetrics) ? f : NULL; /* no part ends with another */
  }
  return NULL;
}

const struct family *table_clash(const struct table *t, const struct family *f, int openmetrics) {
  const struct family *other = table_whole(t, f->text, f->n_name, openmetrics);
  for (size_t i = 0; i < N_PARTS && !other; i++)
    if (has_part(f->type, i, openmetrics)) other = table_held(t, f->text, f->n_name, parts[i]);
  return other;
}

struct family *table_family(struct table *t, const struct prom_family *want) {
  uint64_t hash = prom_hash(t->seed, want->name, NULL, 0);
  struct family *f = family_find(t, want->name, hash);
  if (!f) return family_make(t, want, hash);
  if (!f->first) f->type = want->type;
  return f;
}

static void family_free(struct table *t, struct family *f) {
  struct family **at = &t->families[f->hash & (t->cap_families - 1)];
  while (*at != f) at = &(*at)->chain;
  *at = f->chain;
  t->n_families--;
  t->bytes -= f->bytes;
  free(f);
}

void table_reap(struct table *t) {
  struct family *next;
  for (struct family *f = t->empty; f; f = next) {
    next = f->next_empty;
    f->is_empty_listed = 0;
    if (!f->first) family_free(t, f);
  }
  t->empty = NULL;
}

/* --- series ------------------------------------------------------------------------------------------------------------------------------------ */

int series_has_labels(const struct series *s, const struct prom_label *labels, size_t n) {
  size_t i = 0;
  if (s->n_labels != n) return 0;
  while (i < n && label_is(s->labels[i], &labels[i])) i++;
  return i == n;
}

struct series *table_find(struct table *t, struct family *f, const struct prom_label *labels, size_t n, uint64_t *ret_hash) {
  uint64_t hash = prom_hash(f->hash, (struct weir_str){ NULL, 0, 0 }, labels, n);
  struct series *s = t->series[hash & (t->cap_series - 1)];
  *ret_hash = hash;
  while (s && !(s->hash == hash && s->family == f && series_has_labels(s, labels, n))) s = s->chain;
  return s;
}

static int has_label(const struct series *s, const struct prom_label *want) {
  for (uint32_t i = 0; i < s->n_labels; i++)
    if (label_is(s->labels[i], want)) return 1;
  return 0;
}

struct series *table_find_key(struct table *t, struct family *f, const struct prom_label *key, size_t n_key, uint64_t *ret_hash) {
  uint64_t hash = prom_hash(f->hash, (struct weir_str){ NULL, 0, 0 }, key, n_key);
  struct series *s = t->series[hash & (t->cap_series - 1)];
  *ret_hash = hash;
  for (; s; s = s->chain) {
    size_t i = 0;
    if (s->hash != hash || s->family != f) continue;
    while (i < n_key && has_label(s, &key[i])) i++;
    if (i == n_key) return s;
  }
  return NULL;
}

static void join_family(struct family *f, struct series *s) {
  s->prev = f->last;
  if (f->last) f->last->next = s;
  else f->first = s;
  f->last = s;
}

static void join_newest(struct table *t, struct series *s, int64_t now_ns) {
  s->updated_ns = now_ns;
  s->older = t->newest;
  s->newer = NULL;
  if (t->newest) t->newest->newer = s;
  else t->oldest = s;
  t->newest = s;
}

static void leave_ages(struct table *t, struct series *s) {
  if (s->older) s->older->newer = s->newer;
  else t->oldest = s->newer;
  if (s->newer) s->newer->older = s->older;
  else t->newest = s->older;
}

struct series *table_add(struct table *t, struct family *f, uint64_t hash, const struct prom_label *labels, size_t n, int64_t now_ns) {
  struct series *s = calloc(1, sizeof *s + n * sizeof *s->labels);
  if (!s) return NULL;
  for (; s->n_labels < n; s->n_labels++) {
    if ((s->labels[s->n_labels] = label_get(t, &labels[s->n_labels]))) continue;
    while (s->n_labels) label_put(t, s->labels[--s->n_labels]);
    free(s);
    return NULL;
  }
  s->family = f;
  s->hash = hash;
  s->bytes = (uint32_t)(sizeof *s + n * sizeof *s->labels + MALLOC_COST);
  t->bytes += s->bytes;
  s->chain = t->series[hash & (t->cap_series - 1)];
  t->series[hash & (t->cap_series - 1)] = s;
  t->n_series++;
  join_family(f, s);
  join_newest(t, s, now_ns);
  grow_series(t);
  return s;
}

void table_touch(struct table *t, struct series *s, int64_t now_ns) {
  s->updated_ns = now_ns;
  if (t->newest == s) return;
  leave_ages(t, s);
  join_newest(t, s, now_ns);
}

void table_remove(struct table *t, struct series *s) {
  struct series **at = &t->series[s->hash & (t->cap_series - 1)];
  struct family *f = s->family;
  while (*at != s) at = &(*at)->chain;
  *at = s->chain;
  t->n_series--;
  if (s->prev) s->prev->next = s->next;
  else f->first = s->next;
  if (s->next) s->next->prev = s->prev;
  else f->last = s->prev;
  leave_ages(t, s);
  table_clear_exemplars(t, s);
  table_clear_value(t, s);
  for (uint32_t i = 0; i < s->n_labels; i++) label_put(t, s->labels[i]);
  t->bytes -= s->bytes;
  free(s);
  if (!f->first) list_empty(t, f);
}

/* --- what belongs to a series -------------------------------------------------------------------------------------------------------------------- */

void *table_alloc(struct table *t, struct series *s, size_t n) {
  void *p = calloc(1, n);
  if (!p) return NULL;
  s->bytes += (uint32_t)n + MALLOC_COST;
  t->bytes += n + MALLOC_COST;
  return p;
}

void table_release(struct table *t, struct series *s, void *p, size_t n) {
  if (!p) return;
  s->bytes -= (uint32_t)n + MALLOC_COST;
  t->bytes -= n + MALLOC_COST;
  free(p);
}

/* Histograms of a family nearly always have the same bounds: looked for in its latest series only. */
struct bounds *table_bounds(struct table *t, struct family *f, const double *v, uint32_t n) {
  const struct series *near[2] = { f->first, f->last };
  if (!n) return NULL;
  for (int i = 0; i < 2; i++) {
    struct bounds *b = near[i] && near[i]->v.histogram ? near[i]->v.histogram->bounds : NULL;
    if (!b || b->n != n || memcmp(b->v, v, n * sizeof *v) != 0) continue;
    b->refs++;
    return b;
  }
  struct bounds *b = malloc(sizeof *b + n * sizeof *v);
  if (!b) return NULL;
  b->refs = 1;
  b->n = n;
  memcpy(b->v, v, n * sizeof *v);
  t->bytes += sizeof *b + n * sizeof *v + MALLOC_COST;
  return b;
}

void table_bounds_put(struct table *t, struct bounds *b) {
  if (!b || --b->refs) return;
  t->bytes -= sizeof *b + b->n * sizeof *b->v + MALLOC_COST;
  free(b);
}

void table_clear_value(struct table *t, struct series *s) {
  int type = s->family->type;
  if ((type == PROM_HISTOGRAM || type == PROM_NATIVE_HISTOGRAM) && s->v.histogram) {
    struct histogram *h = s->v.histogram;
    size_t n = h->bounds ? h->bounds->n + 1u : 0;
    table_bounds_put(t, h->bounds);
    table_release(t, s, h, sizeof *h + n * sizeof *h->counts);
  } else if (type == PROM_SUMMARY && s->v.summary) {
    table_release(t, s, s->v.summary, sizeof *s->v.summary + s->v.summary->cap * sizeof *s->v.summary->v);
  }
  memset(&s->v, 0, sizeof s->v);
}

void table_clear_exemplars(struct table *t, struct series *s) {
  for (struct exemplar *e = s->exemplars, *next; e; e = next) {
    next = e->next;
    table_release(t, s, e, sizeof *e + e->n_text);
  }
  s->exemplars = NULL;
}

void table_done(struct table *t) {
  while (t->oldest) table_remove(t, t->oldest);
  table_reap(t);
  free(t->series);
  free(t->families);
  free(t->labels);
  *t = (struct table){ .seed = 0 };
}
