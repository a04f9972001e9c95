/* The walk: resources, scopes, metrics, points; what each adds to the labels of a series, and what has no place in Prometheus. */
#include "plugins/kit/prom.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/prom_internal.h"

#define MAX_LABEL_BYTES (64u << 10)

static struct weir_str str(const char *p, size_t n) { return (struct weir_str){ p, (uint32_t)n, 0 }; }

/* --- life ---------------------------------------------------------------------------------------------------------------------------- */

static int constants_make(struct prom *p, const char *key, struct weir_error *err) {
  for (size_t i = 0; i < p->opt.constant.n; i++) {
    const struct weir_map_entry *e = &p->opt.constant.v[i];
    struct prom_item item = { .key = weir_str_of(e->key), .rank = RANK_CONSTANT };
    item.name = prom_label_name(p, &p->fixed, "", item.key);
    if (!item.name.n) return weir_fail_field(err, key, "`%s` is no name for a label", e->key);
    item.value = prom_text_repaired(p, &p->fixed, weir_str_of(e->value ? e->value : ""), p->opt.max_label_bytes);
    if (!item.value.p || !prom_items_add(p, &p->constant, item)) return weir_fail_field(err, key, "these labels are longer than a series' may be");
  }
  return prom_items_combine(p, &p->constant, &p->fixed) ? 0 : weir_fail(err, WEIR_E_NOMEM, "no memory");
}

/* The namespace as names have it, and target_info's name with it. */
static int names_make(struct prom *p) {
  struct weir_str unit, space = p->opt.name_space;
  p->opt.name_space = str("", 0);
  if (space.n && !p->opt.utf8_names) space = prom_metric_name(p, space, unit = str("", 0), PROM_UNKNOWN, 0, &unit);
  char *own = scratch_take(&p->fixed, (size_t)space.n * 2 + 16);
  if (!own) return 0;
  if (space.n) memcpy(own, space.p, space.n);
  p->opt.name_space = str(own, space.n);
  char *name = own + space.n;
  size_t n = 0;
  if (space.n) {
    memcpy(name, own, n = space.n);
    name[n++] = '_';
  }
  memcpy(name + n, "target_info", 11);
  p->target_family = (struct prom_family){ .name = str(name, n + 11), .unit = str("", 0), .help = weir_str_of("Target metadata"), .type = PROM_INFO };
  return 1;
}

int prom_new(const struct prom_options *opt, const char *constant, struct prom **ret, struct weir_error *err) {
  struct prom *p = calloc(1, sizeof *p);
  if (!p) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  p->opt = *opt;
  if (!p->opt.max_label_bytes) p->opt.max_label_bytes = MAX_LABEL_BYTES;
  int r = names_make(p) ? constants_make(p, constant, err) : weir_fail(err, WEIR_E_NOMEM, "no memory");
  if (r) {
    prom_free(p);
    return r;
  }
  *ret = p;
  return 0;
}

void prom_free(struct prom *p) {
  if (!p) return;
  struct scratch *scratches[] = { &p->fixed, &p->resource, &p->scope, &p->point, &p->out };
  struct prom_items *items[] = { &p->constant, &p->base, &p->items, &p->target };
  for (size_t i = 0; i < sizeof scratches / sizeof *scratches; i++) scratch_done(scratches[i]);
  for (size_t i = 0; i < sizeof items / sizeof *items; i++) free(items[i]->v);
  for (size_t i = 0; i < PROM_CACHE; i++) free(p->cache[i].text);
  kit_bytes_free(&p->text);
  free(p);
}

/* --- a resource ------------------------------------------------------------------------------------------------------------------------ */

struct resource {
  struct prom_item job, instance; /* a name without bytes: not there */
  int base_failed;
  const char *why;
};

static const struct weir_attr *attr(const struct weir_rec *rec, const char *key) { return weir_attr_find(rec, weir_str_of(key)); }

/* service.namespace/service.name or service.name; service.instance.id. Spec: "Resource Attributes". */
static int identity(struct prom *p, const struct weir_rec *rec, struct resource *r) {
  const struct weir_attr *name = attr(rec, "service.name"), *space = attr(rec, "service.namespace"), *id = attr(rec, "service.instance.id");
  uint64_t room = p->opt.max_label_bytes;
  struct weir_str a = str("", 0), b;
  if (id) {
    r->instance = (struct prom_item){ .name = weir_str_of("instance"), .value = prom_text_of(p, &p->resource, &id->value, room), .rank = RANK_FIXED };
    if (!r->instance.value.p) return 0;
  }
  if (!name) return 1;
  if (space) a = prom_text_of(p, &p->resource, &space->value, room);
  b = prom_text_of(p, &p->resource, &name->value, room);
  if (!a.p || !b.p) return 0;
  if (a.n) {
    char *to = scratch_take(&p->resource, (size_t)a.n + b.n + 1);
    p->why = "memory";
    if (!to) return 0;
    memcpy(to, a.p, a.n);
    to[a.n] = '/';
    memcpy(to + a.n + 1, b.p, b.n);
    b = str(to, (size_t)a.n + b.n + 1);
  }
  r->job = (struct prom_item){ .name = weir_str_of("job"), .value = b, .rank = RANK_FIXED };
  return 1;
}

static int glob(const char *pattern, struct weir_str s) {
  const char *star = NULL;
  size_t i = 0, mark = 0;
  while (i < s.n) {
    if (*pattern == '*') star = ++pattern, mark = i;
    else if (*pattern && *pattern == s.p[i]) pattern++, i++;
    else if (star) pattern = star, i = ++mark;
    else return 0;
  }
  while (*pattern == '*') pattern++;
  return !*pattern;
}

static int matches(const struct weir_strings *patterns, struct weir_str key) {
  for (size_t i = 0; i < patterns->n; i++)
    if (glob(patterns->v[i], key)) return 1;
  return 0;
}

static int wanted(const struct prom_options *o, struct weir_str key) {
  if (!o->resource_included.n && !o->resource_excluded.n) return 0;
  return (!o->resource_included.n || matches(&o->resource_included, key)) && !matches(&o->resource_excluded, key);
}

static int is_identity(struct weir_str key) {
  return weir_str_eq(key, weir_str_of("service.name")) || weir_str_eq(key, weir_str_of("service.namespace")) || weir_str_eq(key, weir_str_of("service.instance.id"));
}

/* --- a scope: everything that its points share ---------------------------------------------------------------------------------------- */

static int add_fixed(struct prom *p, const char *name, struct weir_str value) {
  struct prom_item item = { .name = weir_str_of(name), .rank = RANK_FIXED };
  if (!value.n) return 1;
  item.value = prom_text_repaired(p, &p->scope, value, p->opt.max_label_bytes);
  return item.value.p && prom_items_add(p, &p->base, item);
}

static int add_scope(struct prom *p, const struct weir_scope *s) {
  if (!p->opt.scope_labels) return 1;
  for (uint32_t i = 0; i < s->rec.n_attrs; i++)
    if (!prom_items_attr(p, &p->base, &p->scope, "otel_scope_", &s->rec.attrs[i], RANK_SCOPE_ATTRIBUTE)) return 0;
  return add_fixed(p, "otel_scope_name", s->name) && add_fixed(p, "otel_scope_version", s->version) && add_fixed(p, "otel_scope_schema_url", s->schema_url);
}

static int base_make(struct prom *p, const struct weir_resource *res, const struct weir_scope *s, const struct resource *r) {
  p->base.n = 0;
  p->base.bytes = 0;
  scratch_reset(&p->scope);
  for (size_t i = 0; i < p->constant.n; i++)
    if (!prom_items_add(p, &p->base, p->constant.v[i])) return 0;
  for (uint32_t i = 0; i < res->rec.n_attrs; i++)
    if (wanted(&p->opt, res->rec.attrs[i].key) && !prom_items_attr(p, &p->base, &p->scope, "", &res->rec.attrs[i], RANK_ATTRIBUTE)) return 0;
  if (r->job.name.n && !prom_items_add(p, &p->base, r->job)) return 0;
  if (r->instance.name.n && !prom_items_add(p, &p->base, r->instance)) return 0;
  return add_scope(p, s) && prom_items_combine(p, &p->base, &p->scope);
}

/* --- points ------------------------------------------------------------------------------------------------------------------------------ */

/* Labels that the exposition itself needs may not come from attributes: the samples of one point would have a name twice. */
static int is_reserved(struct weir_str name, int type) {
  if (name.n == 2) return name.p[0] == 'l' && name.p[1] == 'e' && (type == PROM_HISTOGRAM || type == PROM_NATIVE_HISTOGRAM);
  return name.n == 8 && type == PROM_SUMMARY && memcmp(name.p, "quantile", 8) == 0;
}

static long labels_of(struct prom *p, const struct weir_point *pt, int type, struct prom_label **ret) {
  struct prom_items *items = &p->items;
  int any = 0;
  items->n = 0;
  items->bytes = 0;
  scratch_reset(&p->point);
  for (uint32_t i = 0; i < pt->rec.n_attrs; i++) {
    if (!prom_items_attr(p, items, &p->point, "", &pt->rec.attrs[i], RANK_ATTRIBUTE)) return -1;
    if (is_reserved(items->v[items->n - 1].name, type)) items->n--;
    else any = 1;
  }
  if (any && !prom_items_combine(p, items, &p->point)) return -1;
  return prom_labels_merge(p, &p->base, items, &p->point, ret);
}

/* One bucket more than bounds, which ascend and are no NaN; or neither. metrics.proto, HistogramDataPoint. */
static int histogram_fits(const struct weir_histogram_point *h) {
  if (!h->n_bucket_counts && !h->n_explicit_bounds) return 1;
  if (h->n_bucket_counts != (uint64_t)h->n_explicit_bounds + 1) return 0;
  for (uint32_t i = 0; i < h->n_explicit_bounds; i++)
    if (isnan(h->explicit_bounds[i]) || (i && !(h->explicit_bounds[i] > h->explicit_bounds[i - 1]))) return 0;
  return 1;
}

static const char *point_wrong(const struct weir_metric *m, uint32_t i) {
  if (prom_is_stale(m->type == WEIR_M_HISTOGRAM ? &m->points.histogram[i]->pt : m->points.any[i])) return NULL;
  if (m->type == WEIR_M_HISTOGRAM) return histogram_fits(m->points.histogram[i]) ? NULL : "histogram_bounds";
  if (m->type == WEIR_M_GAUGE || m->type == WEIR_M_SUM) return m->points.number[i]->value.kind == WEIR_V_EMPTY ? "no_value" : NULL;
  return NULL;
}

/* Whether a metric as a whole has no place. Spec: "Sums", "Histograms", "Exponential Histograms". */
static const char *metric_wrong(const struct prom *p, const struct weir_metric *m) {
  if (m->type == WEIR_M_NONE) return "no_value";
  if (m->type == WEIR_M_GAUGE || m->type == WEIR_M_SUMMARY) return NULL;
  if (m->temporality != 1 && m->temporality != 2) return "temporality";
  if (m->temporality == 2) return NULL;
  if (m->type == WEIR_M_SUM && !m->is_monotonic) return "delta_non_monotonic";
  return p->opt.keep_delta ? NULL : "delta";
}

static void walk_metric(struct prom *p, const struct weir_metric *m, const struct resource *r, const struct prom_visitor *v, uint64_t *newest) {
  struct prom_family family;
  const char *why = metric_wrong(p, m);
  if (!m->n_points) return;
  if (!why && r->base_failed) why = r->why;
  if (!why && !prom_family_of(p, m, &family)) why = p->why;
  if (!why) {
    family.help = prom_text_repaired(p, &p->scope, family.help, UINT32_MAX);
    if (!family.help.p) family.help = str("", 0);
  }
  if (why) {
    v->dropped(v->arg, m, m->n_points, why);
    return;
  }
  for (uint32_t i = 0; i < m->n_points; i++) {
    const struct weir_point *pt = m->points.any[i];
    struct prom_label *labels;
    why = point_wrong(m, i);
    long n = why ? -1 : labels_of(p, pt, family.type, &labels);
    if (pt->time_unix_nano > *newest) *newest = pt->time_unix_nano;
    if (n < 0) v->dropped(v->arg, m, 1, why ? why : p->why);
    else v->point(v->arg, &family, labels, (size_t)n, m, pt);
  }
}

static void target(struct prom *p, const struct weir_resource *res, const struct resource *r, const struct prom_visitor *v, uint64_t newest) {
  struct prom_items *items = &p->target, none = { 0 };
  struct prom_label *labels;
  items->n = 0;
  items->bytes = 0;
  for (uint32_t i = 0; i < res->rec.n_attrs; i++)
    if (!is_identity(res->rec.attrs[i].key) && !prom_items_attr(p, items, &p->resource, "", &res->rec.attrs[i], RANK_ATTRIBUTE)) return;
  if (r->job.name.n && !prom_items_add(p, items, r->job)) return;
  if (r->instance.name.n && !prom_items_add(p, items, r->instance)) return;
  if (!prom_items_combine(p, items, &p->resource)) return;
  long n = prom_labels_merge(p, &none, items, &p->resource, &labels);
  if (n < 0) return;
  struct prom_target t = { .family = &p->target_family, .labels = labels, .n_labels = (size_t)n, .time_unix_nano = newest };
  t.has_job = r->job.value.n > 0;
  t.has_instance = r->instance.value.n > 0;
  t.n_other = (size_t)n - (size_t)t.has_job - (size_t)t.has_instance;
  if (p->opt.target_constant && p->constant.n) {
    n = prom_labels_merge(p, &p->constant, items, &p->resource, &labels);
    if (n < 0) return;
    t.labels = labels;
    t.n_labels = (size_t)n;
  }
  if (t.has_job || t.has_instance) v->target(v->arg, &t);
}

void prom_walk(struct prom *p, const struct weir_data *data, const struct prom_visitor *v) {
  for (uint32_t i = 0; i < data->n_resources; i++) {
    const struct weir_resource *res = data->resources[i];
    struct resource r = { .base_failed = 0 };
    uint64_t newest = 0;
    scratch_reset(&p->resource);
    int known = identity(p, &res->rec, &r);
    r.why = p->why;
    for (uint32_t k = 0; k < res->n_scopes; k++) {
      const struct weir_scope *s = res->scopes[k];
      r.base_failed = !known;
      if (known && !base_make(p, res, s, &r)) {
        r.base_failed = 1;
        r.why = p->why;
      }
      for (uint32_t m = 0; m < s->n_records; m++) walk_metric(p, s->u.metrics[m], &r, v, &newest);
    }
    if (known && v->target) target(p, res, &r, v, newest);
  }
}
