/* What a data point does to its series: the newest wins, deltas add up. Source: metrics data model, "Temporality", "Resets and Gaps", "Overlap". */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "prometheus.h"

#define DELTA 1

/* --- numbers ------------------------------------------------------------------------------------------------------------------------- */

static void take_number(struct series *s, const struct weir_number_point *p, int adds) {
  double v = prom_value(&p->value);
  s->v.number = adds ? s->v.number + v : v;
}

/* --- histograms ------------------------------------------------------------------------------------------------------------------------ */

static int same_bounds(const struct histogram *h, const struct weir_histogram_point *p) {
  uint32_t n = h->bounds ? h->bounds->n : 0;
  return n == p->n_explicit_bounds && (!n || memcmp(h->bounds->v, p->explicit_bounds, n * sizeof(double)) == 0);
}

/* The count, which metrics.proto wants to be the sum of the buckets. Where it is less the buckets are believed: +Inf may not be below them. */
static uint64_t count_of(const struct weir_histogram_point *p) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < p->n_bucket_counts; i++) sum = count_add(sum, p->bucket_counts[i]);
  return p->count > sum ? p->count : sum;
}

/* 0 without memory. A point with other bounds begins anew. */
static int take_histogram(struct exporter *e, struct series *s, const struct weir_histogram_point *p, int adds) {
  struct histogram *h = s->v.histogram;
  if (!h || !same_bounds(h, p)) {
    struct bounds *b = table_bounds(&e->table, s->family, p->explicit_bounds, p->n_explicit_bounds);
    if (p->n_explicit_bounds && !b) return 0;
    table_clear_value(&e->table, s);
    h = table_alloc(&e->table, s, sizeof *h + (b ? b->n + 1u : 0) * sizeof *h->counts);
    if (!h) {
      table_bounds_put(&e->table, b);
      return 0;
    }
    h->bounds = b;
    s->v.histogram = h;
    adds = 0;
  }
  uint32_t n = h->bounds ? h->bounds->n + 1u : 0;
  if (!adds) {
    memset(h->counts, 0, n * sizeof *h->counts);
    h->sum = 0;
    h->count = 0;
    h->has_sum = 1;
  }
  for (uint32_t i = 0; i < n; i++) h->counts[i] = count_add(h->counts[i], p->bucket_counts[i]);
  h->count = count_add(h->count, count_of(p));
  h->sum += p->sum;
  h->has_sum = h->has_sum && (p->has & WEIR_HAS_SUM);
  return 1;
}

/* Text carries a native histogram's sum and count, so these are kept. */
static int take_exponential(struct exporter *e, struct series *s, const struct weir_exp_histogram_point *p, int adds) {
  struct histogram *h = s->v.histogram;
  if (!h && !(h = s->v.histogram = table_alloc(&e->table, s, sizeof *h))) return 0;
  h->count = p->count + (adds ? h->count : 0);
  h->sum = p->sum + (adds ? h->sum : 0);
  h->has_sum = (p->has & WEIR_HAS_SUM) && (!adds || h->has_sum);
  return 1;
}

/* By quantile, those of one quantile as they came. NaN is the last, and one. */
static int by_quantile(const void *a, const void *b) {
  const struct weir_quantile *p = *(const struct weir_quantile *const *)a, *q = *(const struct weir_quantile *const *)b;
  if (p->quantile < q->quantile || p->quantile > q->quantile) return p->quantile < q->quantile ? -1 : 1;
  if (isnan(p->quantile) != isnan(q->quantile)) return isnan(p->quantile) ? 1 : -1;
  return p < q ? -1 : 1;
}

static int is_ascending(const struct weir_summary_point *p) {
  for (uint32_t i = 1; i < p->n_quantiles; i++)
    if (!(p->quantiles[i].quantile > p->quantiles[i - 1].quantile)) return 0;
  return 1;
}

/* Each quantile once, the first of its points: two would be one series twice, and Prometheus refuses such a page. The number of them; ret has room for all. 0 without memory. */
static uint32_t quantiles_once(const struct weir_summary_point *p, struct weir_quantile *ret) {
  const struct weir_quantile **v = malloc(p->n_quantiles * sizeof *v);
  uint32_t n = 0;
  if (!v) return 0;
  for (uint32_t i = 0; i < p->n_quantiles; i++) v[i] = &p->quantiles[i];
  qsort(v, p->n_quantiles, sizeof *v, by_quantile);
  for (uint32_t i = 0; i < p->n_quantiles; i++)
    if (!n || !(ret[n - 1].quantile == v[i]->quantile || (isnan(ret[n - 1].quantile) && isnan(v[i]->quantile)))) ret[n++] = *v[i];
  free(v);
  return n;
}

static int take_summary(struct exporter *e, struct series *s, const struct weir_summary_point *p) {
  struct summary *v = s->v.summary;
  if (!v || v->cap != p->n_quantiles) {
    table_clear_value(&e->table, s);
    v = s->v.summary = table_alloc(&e->table, s, sizeof *v + p->n_quantiles * sizeof *v->v);
    if (!v) return 0;
    v->cap = p->n_quantiles;
  }
  v->sum = p->sum;
  v->count = p->count;
  v->n = p->n_quantiles;
  if (!is_ascending(p)) v->n = quantiles_once(p, v->v);
  else if (v->n) memcpy(v->v, p->quantiles, v->n * sizeof *v->v);
  return v->n || !p->n_quantiles;
}

/* --- order -------------------------------------------------------------------------------------------------------------------------------- */

/* Why a point does not go on from what is there. A delta over a gap still adds up: begun anew at a value above the old one, the reset would be invisible
 * to rate(), and the difference lost. (The Collector begins anew.) */
static const char *misplaced(const struct series *s, const struct weir_point *pt, int delta) {
  if (pt->time_unix_nano < s->time_ns) return "out_of_order";
  if (delta && pt->start_time_unix_nano && pt->start_time_unix_nano < s->time_ns) return "overlap";
  return NULL;
}

const char *series_apply(struct exporter *e, struct series *s, const struct weir_metric *m, const struct weir_point *pt, int is_new) {
  int delta = m->type != WEIR_M_GAUGE && m->type != WEIR_M_SUMMARY && m->temporality == DELTA, adds = delta && !is_new, ok = 1;
  const char *why = is_new ? NULL : misplaced(s, pt, delta);
  if (why) return why;
  switch (m->type) {
  case WEIR_M_HISTOGRAM: ok = take_histogram(e, s, (const struct weir_histogram_point *)pt, adds); break;
  case WEIR_M_EXP_HISTOGRAM: ok = take_exponential(e, s, (const struct weir_exp_histogram_point *)pt, adds); break;
  case WEIR_M_SUMMARY: ok = take_summary(e, s, (const struct weir_summary_point *)pt); break;
  default: take_number(s, (const struct weir_number_point *)pt, adds); break;
  }
  if (!ok) return "memory_limit";
  if (!adds) s->start_ns = pt->start_time_unix_nano;
  s->time_ns = pt->time_unix_nano;
  if (e->cfg->enable_open_metrics) series_exemplars(e, s, pt);
  return NULL;
}

/* --- exemplars: those of the latest point that had some, as a scrape may come less often than points; counters and histograms alone have them - */

static size_t exemplar_text(const struct prom_label *l, size_t n, char *to) {
  char *p = to;
  *p++ = '{';
  for (size_t i = 0; i < n; i++) {
    if (i) *p++ = ',';
    p += prom_escape_name(l[i].name, PROM_ESCAPE_UNDERSCORES, 0, p);
    *p++ = '=';
    *p++ = '"';
    p += prom_escape_text(l[i].value, 1, p);
    *p++ = '"';
  }
  *p++ = '}';
  return (size_t)(p - to);
}

static void add_exemplar(struct exporter *e, struct series *s, const struct weir_exemplar *from) {
  const struct prom_label *l;
  char text[4096]; /* 128 characters at most, but for ids */
  size_t n = prom_exemplar(e->prom, from, &l), bytes = 16;
  if (from->value.kind != WEIR_V_INT && from->value.kind != WEIR_V_DOUBLE) return;
  for (size_t i = 0; i < n; i++) bytes += prom_escaped_cap(l[i].name.n) + 2u * l[i].value.n + 4;
  if (bytes > sizeof text) n = 0;
  size_t n_text = exemplar_text(l, n, text);
  struct exemplar *x = table_alloc(&e->table, s, sizeof *x + n_text);
  if (!x) return;
  *x = (struct exemplar){ s->exemplars, prom_value(&from->value), from->time_unix_nano, (uint32_t)n_text, 0 };
  memcpy(x->text, text, n_text);
  s->exemplars = x;
}

#define EXEMPLARS_MAX 64u /* of one series; a page shows one per bucket */

void series_exemplars(struct exporter *e, struct series *s, const struct weir_point *pt) {
  int type = s->family->type;
  if (!pt->n_exemplars || (type != PROM_COUNTER && type != PROM_HISTOGRAM && type != PROM_NATIVE_HISTOGRAM)) return;
  table_clear_exemplars(&e->table, s);
  for (uint32_t i = 0; i < pt->n_exemplars && i < EXEMPLARS_MAX; i++) add_exemplar(e, s, pt->exemplars[i]);
}
