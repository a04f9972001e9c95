/* Series as text. Sources: Prometheus "Exposition formats" (text 0.0.4, and 1.0.0 with quoted names), OpenMetrics 1.0.0. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "prometheus.h"

/* --- writing -------------------------------------------------------------------------------------------------------------------------- */

static char *room(struct page *p, size_t n) {
  if (p->failed) return NULL;
  if (p->body->cap - p->body->n < n && p->http->body_grow(&p->body, (p->body->n + n) * 2)) {
    p->failed = 1;
    return NULL;
  }
  return p->body->p + p->body->n;
}

static void put(struct page *p, const char *text, size_t n) {
  char *to = room(p, n);
  if (!to) return;
  memcpy(to, text, n);
  p->body->n += n;
}

static void put_str(struct page *p, const char *text) { put(p, text, strlen(text)); }

static void put_number(struct page *p, double v, int form) {
  char *to = room(p, PROM_NUM_CAP);
  if (to) p->body->n += prom_number(v, form, to);
}

static void put_escaped(struct page *p, const char *text, size_t n, int quote) {
  char *to = room(p, 2 * n);
  if (to) p->body->n += prom_escape_text((struct weir_str){ text, (uint32_t)n, 0 }, quote, to);
}

static int is_openmetrics(const struct page *p) { return p->format == FORMAT_OPENMETRICS; }

/* --- families -------------------------------------------------------------------------------------------------------------------------- */

static int ends_with(const struct family *f, const char *end) {
  size_t n = strlen(end);
  return f->n_name > n && memcmp(f->text + f->n_name - n, end, n) == 0;
}

/* Whether the name without its end (n bytes) is free in OpenMetrics, where x stands for x, x_total and x_created of a counter, x and x_info of an info. */
static int is_short_free(const struct page *p, const struct family *f, size_t n) {
  static const char created[] = "_created";
  const size_t n_created = sizeof created - 1;
  const struct family *counter = f->type == PROM_INFO ? table_held(p->table, f->text, n, "_total") : NULL;
  if (!counter && n > n_created && memcmp(f->text + n - n_created, created, n_created) == 0) counter = table_held(p->table, f->text, n - n_created, "_total");
  if (counter && counter->type == PROM_COUNTER) return 0;
  if (f->type == PROM_COUNTER && table_held(p->table, f->text, n, created)) return 0;
  return !table_held(p->table, f->text, n, "") && !table_whole(p->table, f->text, n, 1);
}

/* What TYPE says, and how much of the name's end it leaves out. OpenMetrics names a counter without its _total, an info without _info; one that has no
 * such end is none there, nor one whose short name is taken. */
static const char *type_in(const struct page *p, const struct family *f, uint32_t *ret_end) {
  uint32_t end = f->type == PROM_INFO && ends_with(f, "_info") ? 5 : f->type == PROM_COUNTER && ends_with(f, "_total") ? 6 : 0;
  *ret_end = 0;
  if (!is_openmetrics(p)) return f->type == PROM_UNKNOWN ? "untyped" : f->type == PROM_INFO || f->type == PROM_STATESET ? "gauge" : prom_type_name(f->type);
  if (end && !is_short_free(p, f, f->n_name - end)) end = 0;
  if (f->type == PROM_STATESET || (f->type == PROM_INFO && !end)) return "gauge";
  if (f->type == PROM_COUNTER && !end) return "unknown";
  *ret_end = end;
  return prom_type_name(f->type);
}

static void put_name(struct page *p, uint32_t less) {
  if (p->is_quoted) put(p, "\"", 1);
  put_escaped(p, p->name, p->n_name - less, p->is_quoted);
  if (p->is_quoted) put(p, "\"", 1);
}

static void comment(struct page *p, const char *what, uint32_t less) {
  put_str(p, what);
  put_name(p, less);
  put(p, " ", 1);
}

/* UNIT only where the name ends with it, which OpenMetrics asks for. */
static int shows_unit(const struct page *p, const struct family *f, uint32_t less) {
  const char *unit = f->text + f->n_name + f->n_help;
  size_t n = f->n_unit;
  return is_openmetrics(p) && n && p->n_name > less + n + 1 && p->name[p->n_name - less - n - 1] == '_' && memcmp(p->name + p->n_name - less - n, unit, n) == 0;
}

void page_family(struct page *p, const struct family *f) {
  struct weir_str name = { f->text, f->n_name, 0 };
  uint32_t less;
  const char *type = type_in(p, f, &less);
  if (p->cap_name < prom_escaped_cap(name.n)) {
    free(p->name);
    p->cap_name = prom_escaped_cap(name.n) + 256;
    p->name = malloc(p->cap_name);
    if (!p->name) p->cap_name = 0, p->failed = 1;
  }
  if (p->failed) return;
  p->shows_exemplars = is_openmetrics(p) && (f->type != PROM_COUNTER || less);
  p->n_name = prom_escape_name(name, p->escaping, 1, p->name);
  p->is_quoted = !prom_name_valid((struct weir_str){ p->name, (uint32_t)p->n_name, 0 }, 1);
  if (p->escaping == PROM_ESCAPE_VALUES && p->n_name <= less) less = 0;
  if (f->n_help) {
    comment(p, "# HELP ", less);
    put_escaped(p, f->text + f->n_name, f->n_help, is_openmetrics(p));
    put(p, "\n", 1);
  }
  comment(p, "# TYPE ", less);
  put_str(p, type);
  put(p, "\n", 1);
  if (!shows_unit(p, f, less)) return;
  comment(p, "# UNIT ", less);
  put(p, f->text + f->n_name + f->n_help, f->n_unit);
  put(p, "\n", 1);
}

/* --- samples ---------------------------------------------------------------------------------------------------------------------------- */

static void put_label(struct page *p, const struct label *l) {
  if (!(l->flags & LABEL_QUOTED)) {
    uint32_t raw = l->n_name + 3 + l->n_value;
    if (l->flags & LABEL_ESCAPED) put(p, l->text + raw, l->n_escaped);
    else put(p, l->text, raw);
    return;
  }
  struct weir_str name = { l->text, l->n_name, 0 };
  char *to = room(p, prom_escaped_cap(name.n) + 2 * (size_t)name.n + 2);
  if (!to) return;
  if (p->escaping != PROM_ESCAPE_UTF8) {
    p->body->n += prom_escape_name(name, p->escaping, 0, to);
  } else {
    put(p, "\"", 1);
    put_escaped(p, name.p, name.n, 1);
    put(p, "\"", 1);
  }
  put(p, "=\"", 2);
  put_escaped(p, l->text + l->n_name + 2, l->n_value, 1);
  put(p, "\"", 1);
}

/* `name{labels,extra} `; a name that is quoted stands among the labels. */
static void begin_sample(struct page *p, const struct series *s, const char *suffix, const char *extra, const double *extra_value) {
  int open = p->is_quoted;
  if (open) put(p, "{\"", 2);
  put_escaped(p, p->name, p->n_name, p->is_quoted);
  put_str(p, suffix);
  if (open) put(p, "\"", 1);
  for (uint32_t i = 0; i < s->n_labels; i++) {
    put(p, open ? "," : "{", 1);
    put_label(p, s->labels[i]);
    open = 1;
  }
  if (extra) {
    put(p, open ? "," : "{", 1);
    put_str(p, extra);
    put(p, "=\"", 2);
    put_number(p, *extra_value, is_openmetrics(p) ? PROM_NUM_OPENMETRICS : PROM_NUM_TEXT);
    put(p, "\"", 1);
    open = 1;
  }
  put_str(p, open ? "} " : " ");
}

static void put_seconds(struct page *p, uint64_t ns) {
  put_number(p, (double)(ns / 1000000) / 1e3, PROM_NUM_PLAIN);
}

static void put_exemplar(struct page *p, const struct exemplar *e) {
  put(p, " # ", 3);
  put(p, e->text, e->n_text);
  put(p, " ", 1);
  put_number(p, e->at, PROM_NUM_OPENMETRICS);
  if (!e->time_ns) return;
  put(p, " ", 1);
  put_seconds(p, e->time_ns);
}

static void end_sample(struct page *p, const struct series *s, const struct exemplar *e) {
  if (p->timestamps && s->time_ns && s->family->type != PROM_INFO) {
    put(p, " ", 1);
    if (is_openmetrics(p)) put_seconds(p, s->time_ns);
    else put_number(p, (double)(s->time_ns / 1000000), PROM_NUM_PLAIN);
  }
  if (e) put_exemplar(p, e);
  put(p, "\n", 1);
}

/* Counts are integers in OpenMetrics; the text format writes all numbers alike. */
static void put_count(struct page *p, uint64_t n) { put_number(p, (double)n, is_openmetrics(p) ? PROM_NUM_PLAIN : PROM_NUM_TEXT); }
static void put_value(struct page *p, double v) { put_number(p, v, is_openmetrics(p) ? PROM_NUM_OPENMETRICS : PROM_NUM_TEXT); }

/* The one for a bucket: the largest (spec, "Exemplars"). */
static const struct exemplar *exemplar_in(const struct page *p, const struct series *s, double above, double upto) {
  const struct exemplar *best = NULL;
  if (!p->shows_exemplars) return NULL;
  for (const struct exemplar *e = s->exemplars; e; e = e->next)
    if (e->at > above && e->at <= upto && (!best || e->at > best->at)) best = e;
  return best;
}

static void count_sample(struct page *p, const struct series *s, uint64_t count) {
  begin_sample(p, s, "_count", NULL, NULL);
  put_count(p, count);
  end_sample(p, s, NULL);
}

static void sum_sample(struct page *p, const struct series *s, double sum) {
  begin_sample(p, s, "_sum", NULL, NULL);
  put_value(p, sum);
  end_sample(p, s, NULL);
}

static void bucket_sample(struct page *p, const struct series *s, double above, double upto, uint64_t count) {
  begin_sample(p, s, "_bucket", "le", &upto);
  put_count(p, count);
  end_sample(p, s, exemplar_in(p, s, above, upto));
}

static void histogram(struct page *p, const struct series *s) {
  const struct histogram *h = s->v.histogram;
  uint64_t count = 0;
  double above = -INFINITY;
  uint32_t n = h->bounds ? h->bounds->n : 0;
  int shows_sum = h->has_sum && !(is_openmetrics(p) && n && h->bounds->v[0] < 0); /* OpenMetrics: none where buckets may be negative, as it could fall */
  for (uint32_t i = 0; i < n; i++) {
    double upto = h->bounds->v[i];
    count = count_add(count, h->counts[i]);
    if (isinf(upto) && upto > 0) break;
    bucket_sample(p, s, above, upto, count);
    above = upto;
  }
  bucket_sample(p, s, above, INFINITY, h->count);
  if (shows_sum) sum_sample(p, s, h->sum);
  if (shows_sum || !is_openmetrics(p)) count_sample(p, s, h->count); /* OpenMetrics 1.0, "Histogram": _count if and only if there is a _sum */
}

static void summary(struct page *p, const struct series *s) {
  const struct summary *v = s->v.summary;
  for (uint32_t i = 0; i < v->n; i++) {
    begin_sample(p, s, "", "quantile", &v->v[i].quantile);
    put_value(p, v->v[i].value);
    end_sample(p, s, NULL);
  }
  sum_sample(p, s, v->sum);
  count_sample(p, s, v->count);
}

void page_series(struct page *p, const struct series *s) {
  switch (s->family->type) {
  case PROM_HISTOGRAM:
  case PROM_NATIVE_HISTOGRAM: histogram(p, s); return;
  case PROM_SUMMARY: summary(p, s); return;
  default: break;
  }
  begin_sample(p, s, "", NULL, NULL);
  put_value(p, s->v.number);
  end_sample(p, s, exemplar_in(p, s, -INFINITY, INFINITY));
}

void page_end(struct page *p) {
  if (is_openmetrics(p)) put_str(p, "# EOF\n");
}

void page_done(struct page *p) {
  free(p->name);
  p->name = NULL;
}
