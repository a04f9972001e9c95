/* Points as samples: plain ones for text and remote write 1.0, native histograms, exemplars. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/prom_internal.h"

#define ZERO_THRESHOLD 1e-128 /* when it is unset, as the Collector's */
#define MAX_SCHEMA 8
#define MIN_SCHEMA (-4)
#define EXEMPLAR_CHARACTERS 128 /* OpenMetrics 1.0, "Exemplars" */

double prom_stale(void) {
  uint64_t bits = PROM_STALE_BITS;
  double v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

double prom_value(const struct weir_value *v) { return v->kind == WEIR_V_DOUBLE ? v->u.d : v->kind == WEIR_V_INT ? (double)v->u.i : 0; }

/* --- plain samples ---------------------------------------------------------------------------------------------------------------------- */

struct expand {
  prom_sample_f *fn;
  void *arg;
  int form, stale;
  const char *label; /* "le" or "quantile" */
};

static void give(const struct expand *e, const char *suffix, const double *at, double value, int is_count, double above, double upto) {
  char text[PROM_NUM_CAP];
  struct prom_label extra = { weir_str_of(e->label), { text, 0, 0 } };
  struct prom_sample s = { .suffix = suffix, .value = e->stale ? prom_stale() : value, .is_count = is_count, .above = above, .upto = upto };
  if (at) {
    extra.value.n = (uint32_t)prom_number(*at, e->form, text);
    s.extra = &extra;
  }
  e->fn(e->arg, &s);
}

static void give_sum_count(const struct expand *e, int has_sum, double sum, uint64_t count) {
  if (has_sum) give(e, "_sum", NULL, sum, 0, 0, 0);
  give(e, "_count", NULL, (double)count, 1, 0, 0);
}

static void expand_histogram(const struct expand *e, const struct weir_histogram_point *h) {
  uint64_t count = 0;
  double above = -INFINITY, inf = INFINITY;
  for (uint32_t i = 0; i < h->n_explicit_bounds; i++) {
    double upto = h->explicit_bounds[i];
    if (i < h->n_bucket_counts) count += h->bucket_counts[i];
    if (isinf(upto) && upto > 0) break;
    give(e, "_bucket", &upto, (double)count, 1, above, upto);
    above = upto;
  }
  give(e, "_bucket", &inf, (double)h->count, 1, above, INFINITY);
  give_sum_count(e, h->has & WEIR_HAS_SUM || e->stale, h->sum, h->count);
}

static void expand_exponential(const struct expand *e, const struct weir_exp_histogram_point *h) {
  double inf = INFINITY;
  give(e, "_bucket", &inf, (double)h->count, 1, -INFINITY, INFINITY);
  give_sum_count(e, h->has & WEIR_HAS_SUM || e->stale, h->sum, h->count);
}

static void expand_summary(const struct expand *e, const struct weir_summary_point *s) {
  for (uint32_t i = 0; i < s->n_quantiles; i++) give(e, "", &s->quantiles[i].quantile, s->quantiles[i].value, 0, 0, 0);
  give_sum_count(e, 1, s->sum, s->count);
}

void prom_expand(struct prom *p, const struct weir_metric *m, const struct weir_point *pt, int le_form, prom_sample_f *fn, void *arg) {
  struct expand e = { .fn = fn, .arg = arg, .form = le_form, .stale = prom_is_stale(pt), .label = m->type == WEIR_M_SUMMARY ? "quantile" : "le" };
  (void)p;
  switch (m->type) {
  case WEIR_M_HISTOGRAM: expand_histogram(&e, (const struct weir_histogram_point *)pt); break;
  case WEIR_M_EXP_HISTOGRAM: expand_exponential(&e, (const struct weir_exp_histogram_point *)pt); break;
  case WEIR_M_SUMMARY: expand_summary(&e, (const struct weir_summary_point *)pt); break;
  default: give(&e, "", NULL, prom_value(&((const struct weir_number_point *)pt)->value), 0, -INFINITY, INFINITY); break;
  }
}

/* --- native histograms -------------------------------------------------------------------------------------------------------------------- */

struct native {
  struct prom_span *spans;
  int64_t *deltas, last;
  size_t n_spans, n_deltas;
  int64_t next; /* index behind the last bucket */
};

static void native_put(struct native *n, uint64_t count) {
  n->deltas[n->n_deltas++] = (int64_t)count - n->last;
  n->last = (int64_t)count;
  n->spans[n->n_spans - 1].length++;
  n->next++;
}

/* A gap of up to two buckets is filled with empty ones, a longer one begins a span, as client_golang does. */
static void native_bucket(struct native *n, int64_t index, uint64_t count) {
  int64_t gap = n->n_spans ? index - n->next : index;
  if (n->n_spans && gap <= 2)
    while (n->next < index) native_put(n, 0);
  else
    n->spans[n->n_spans++] = (struct prom_span){ (int32_t)gap, 0 };
  n->next = index;
  native_put(n, count);
}

/* 1, 0 without memory, -1 when an index is beyond what an offset can say. Buckets of OTLP begin at their lower bound, those of Prometheus are named by the upper: one more. Empty ones are left out. */
static int native_side(struct prom *p, const struct weir_buckets *b, int shift, struct prom_buckets *ret) {
  struct native n = { .spans = NULL };
  *ret = (struct prom_buckets){ 0 };
  if (!b->n) return 1;
  if ((int64_t)b->offset + b->n > INT32_MAX) return -1;
  n.spans = scratch_take(&p->out, b->n * sizeof *n.spans);
  n.deltas = scratch_take(&p->out, b->n * sizeof *n.deltas);
  if (!n.spans || !n.deltas) return 0;
  for (uint32_t i = 0; i < b->n;) {
    int64_t index = ((int64_t)b->offset + i) >> shift;
    uint64_t count = 0;
    for (; i < b->n && ((int64_t)b->offset + i) >> shift == index; i++) count += b->counts[i];
    if (count) native_bucket(&n, index + 1, count);
  }
  *ret = (struct prom_buckets){ n.spans, n.deltas, n.n_spans, n.n_deltas };
  return 1;
}

int prom_native(struct prom *p, const struct weir_exp_histogram_point *h, struct prom_native *ret) {
  *ret = (struct prom_native){ .schema = h->scale, .has_sum = (h->has & WEIR_HAS_SUM) != 0, .count = h->count, .zero_count = h->zero_count };
  ret->zero_threshold = h->zero_threshold != 0 ? h->zero_threshold : ZERO_THRESHOLD;
  ret->sum = ret->has_sum ? h->sum : 0;
  scratch_reset(&p->out);
  if (prom_is_stale(&h->pt)) {
    ret->sum = prom_stale();
    ret->schema = 0;
    ret->count = ret->zero_count = 0;
    return 0;
  }
  if (h->scale < MIN_SCHEMA) return WEIR_E_UNSUPPORTED;
  int shift = h->scale > MAX_SCHEMA ? h->scale - MAX_SCHEMA : 0;
  if (shift) ret->schema = MAX_SCHEMA;
  if (shift > 40) shift = 40; /* all 2^32 indexes are one by then */
  int a = native_side(p, &h->positive, shift, &ret->positive), b = native_side(p, &h->negative, shift, &ret->negative);
  return a > 0 && b > 0 ? 0 : a && b ? WEIR_E_UNSUPPORTED : WEIR_E_NOMEM;
}

/* --- exemplars ------------------------------------------------------------------------------------------------------------------------------ */

static size_t characters(struct weir_str s) {
  size_t n = 0;
  for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
  return n;
}

static int add_id(struct prom *p, const char *name, struct weir_str id) {
  static const char digits[] = "0123456789abcdef";
  char *to = id.n && id.n <= 16 ? scratch_take(&p->out, id.n * 2) : NULL;
  if (!to) return 1;
  for (uint32_t i = 0; i < id.n; i++) {
    to[2 * i] = digits[(unsigned char)id.p[i] >> 4];
    to[2 * i + 1] = digits[(unsigned char)id.p[i] & 15];
  }
  struct prom_item item = { .name = weir_str_of(name), .value = { to, id.n * 2, 0 }, .rank = RANK_FIXED };
  return prom_items_add(p, &p->target, item);
}

size_t prom_exemplar(struct prom *p, const struct weir_exemplar *e, const struct prom_label **ret) {
  struct prom_items *items = &p->target, none = { 0 };
  struct prom_label *labels = NULL;
  size_t ids, length = 0;
  items->n = 0;
  items->bytes = 0;
  scratch_reset(&p->out);
  if (!add_id(p, "trace_id", e->trace_id) || !add_id(p, "span_id", e->span_id)) return 0;
  ids = items->n;
  for (uint32_t i = 0; i < e->rec.n_attrs && items->n < ids + EXEMPLAR_CHARACTERS; i++)
    if (!prom_items_attr(p, items, &p->out, "", &e->rec.attrs[i], RANK_ATTRIBUTE)) length = EXEMPLAR_CHARACTERS + 1;
  for (size_t i = 0; i < items->n; i++) length += characters(items->v[i].name) + characters(items->v[i].value);
  if (length > EXEMPLAR_CHARACTERS) items->n = ids;
  if (!prom_items_combine(p, items, &p->out)) return 0;
  long n = prom_labels_merge(p, &none, items, &p->out, &labels);
  *ret = labels;
  return n < 0 ? 0 : (size_t)n;
}

const char *prom_type_name(int type) {
  static const char *const names[] = { "unknown", "counter", "gauge", "histogram", "summary", "info", "stateset", "histogram" };
  return type >= 0 && type <= PROM_NATIVE_HISTOGRAM ? names[type] : names[0];
}
