/* Metrics of all five kinds. */
#include "debug.h"

#include <inttypes.h>

static const char *type_name(uint32_t type) {
  switch (type) {
  case WEIR_M_GAUGE: return "Gauge";
  case WEIR_M_SUM: return "Sum";
  case WEIR_M_HISTOGRAM: return "Histogram";
  case WEIR_M_EXP_HISTOGRAM: return "ExponentialHistogram";
  case WEIR_M_SUMMARY: return "Summary";
  default: return "Empty";
  }
}

static const char *temporality_name(int32_t v) {
  static const char *const names[] = { "Unspecified", "Delta", "Cumulative" };
  return v >= 0 && v <= 2 ? names[v] : "?";
}

static void stat(struct text *t, const char *name, const char *sep, double v) {
  text_put(t, " %s", name);
  text_double(t, sep, v);
}

static void stats(struct text *t, const char *sep, uint64_t count, double sum, double min, double max, uint32_t has) {
  text_put(t, "Count%s%" PRIu64, sep, count);
  if (has & WEIR_HAS_SUM) stat(t, "Sum", sep, sum);
  if (has & WEIR_HAS_MIN) stat(t, "Min", sep, min);
  if (has & WEIR_HAS_MAX) stat(t, "Max", sep, max);
}

static void buckets(struct text *t, const char *name, const struct weir_buckets *b) {
  for (uint32_t i = 0; i < b->n; i++) text_put(t, "%s bucket %" PRId64 ", Count: %" PRIu64 "\n", name, (int64_t)b->offset + i, b->counts[i]);
}

static void detailed_value(struct text *t, const struct weir_metric *m, uint32_t i) {
  if (m->type == WEIR_M_GAUGE || m->type == WEIR_M_SUM) {
    text_put(t, "Value: ");
    text_inline_value(t, &m->points.number[i]->value, 0);
    text_put(t, "\n");
  } else if (m->type == WEIR_M_HISTOGRAM) {
    const struct weir_histogram_point *p = m->points.histogram[i];
    stats(t, ": ", p->count, p->sum, p->min, p->max, p->has);
    text_put(t, "\n");
    for (uint32_t k = 0; k < p->n_explicit_bounds; k++) {
      text_put(t, "ExplicitBounds #%u", k);
      text_double(t, ": ", p->explicit_bounds[k]);
      text_put(t, "\n");
    }
    for (uint32_t k = 0; k < p->n_bucket_counts; k++) text_put(t, "Buckets #%u, Count: %" PRIu64 "\n", k, p->bucket_counts[k]);
  } else if (m->type == WEIR_M_EXP_HISTOGRAM) {
    const struct weir_exp_histogram_point *p = m->points.exp_histogram[i];
    stats(t, ": ", p->count, p->sum, p->min, p->max, p->has);
    text_put(t, "\nScale: %d\nZero count: %" PRIu64, p->scale, p->zero_count);
    text_double(t, ", threshold ", p->zero_threshold);
    text_put(t, "\n");
    buckets(t, "Negative", &p->negative);
    buckets(t, "Positive", &p->positive);
  } else {
    const struct weir_summary_point *p = m->points.summary[i];
    text_put(t, "Count: %" PRIu64 "\n", p->count);
    text_double(t, "Sum: ", p->sum);
    for (uint32_t k = 0; k < p->n_quantiles; k++) {
      text_put(t, "\nQuantileValue #%u", k);
      text_double(t, ": Quantile ", p->quantiles[k].quantile);
      text_double(t, ", Value ", p->quantiles[k].value);
    }
    text_put(t, "\n");
  }
}

static void exemplars(struct text *t, const struct weir_point *p) {
  if (p->n_exemplars) text_put(t, "Exemplars:\n");
  for (uint32_t i = 0; i < p->n_exemplars; i++) {
    const struct weir_exemplar *e = p->exemplars[i];
    text_put(t, "Exemplar #%u\n     -> Trace ID: ", i);
    text_hex(t, e->trace_id);
    text_put(t, "\n     -> Span ID: ");
    text_hex(t, e->span_id);
    text_put(t, "\n     -> Timestamp: ");
    text_time(t, e->time_unix_nano);
    text_put(t, "\n     -> Value: ");
    text_inline_value(t, &e->value, 0);
    text_put(t, "\n");
    text_attrs(t, "     -> ", "FilteredAttributes", &e->rec);
  }
}

static void detailed_metric(struct text *t, uint32_t i, const struct weir_metric *m) {
  text_put(t, "Metric #%u\nDescriptor:\n     -> Name: ", i);
  text_str(t, m->name);
  text_put(t, "\n     -> Description: ");
  text_str(t, m->description);
  text_put(t, "\n     -> Unit: ");
  text_str(t, m->unit);
  text_put(t, "\n     -> DataType: %s\n", type_name(m->type));
  text_attrs(t, "     -> ", "Metadata", &m->rec);
  if (m->type == WEIR_M_SUM) text_put(t, "     -> IsMonotonic: %s\n", m->is_monotonic ? "true" : "false");
  if (m->type == WEIR_M_SUM || m->type == WEIR_M_HISTOGRAM || m->type == WEIR_M_EXP_HISTOGRAM)
    text_put(t, "     -> AggregationTemporality: %s\n", temporality_name(m->temporality));
  for (uint32_t k = 0; k < m->n_points; k++) {
    const struct weir_point *p = m->points.any[k];
    text_put(t, "%sDataPoints #%u\n", m->type == WEIR_M_GAUGE || m->type == WEIR_M_SUM ? "Number" : type_name(m->type), k);
    text_attrs(t, "", "Data point attributes", &p->rec);
    text_put(t, "StartTimestamp: ");
    text_time(t, p->start_time_unix_nano);
    text_put(t, "\nTimestamp: ");
    text_time(t, p->time_unix_nano);
    text_put(t, "\n");
    if (p->flags) text_put(t, "Flags: %u\n", p->flags);
    detailed_value(t, m, k);
    exemplars(t, p);
  }
}

static void normal_value(struct text *t, const struct weir_metric *m, uint32_t i) {
  if (m->type == WEIR_M_GAUGE || m->type == WEIR_M_SUM) {
    text_put(t, " ");
    text_inline_value(t, &m->points.number[i]->value, 0);
  } else if (m->type == WEIR_M_HISTOGRAM) {
    const struct weir_histogram_point *p = m->points.histogram[i];
    text_put(t, " ");
    stats(t, "=", p->count, p->sum, p->min, p->max, p->has);
    for (uint32_t k = 0; k < p->n_bucket_counts; k++) {
      if (k < p->n_explicit_bounds) text_double(t, " le", p->explicit_bounds[k]);
      else text_put(t, " inf");
      text_put(t, "=%" PRIu64, p->bucket_counts[k]);
    }
  } else if (m->type == WEIR_M_EXP_HISTOGRAM) {
    const struct weir_exp_histogram_point *p = m->points.exp_histogram[i];
    text_put(t, " ");
    stats(t, "=", p->count, p->sum, p->min, p->max, p->has);
    text_put(t, " scale=%d zero=%" PRIu64 " buckets=%u+%u", p->scale, p->zero_count, p->negative.n, p->positive.n);
  } else if (m->type == WEIR_M_SUMMARY) {
    const struct weir_summary_point *p = m->points.summary[i];
    text_put(t, " Count=%" PRIu64, p->count);
    text_double(t, " Sum=", p->sum);
    for (uint32_t k = 0; k < p->n_quantiles; k++) {
      text_double(t, " q", p->quantiles[k].quantile);
      text_double(t, "=", p->quantiles[k].value);
    }
  }
}

static void normal_metric(struct text *t, const struct weir_metric *m) {
  for (uint32_t i = 0; i < m->n_points; i++) {
    text_put(t, "  ");
    text_str(t, m->name);
    if (m->unit.n) text_put(t, " (");
    text_str(t, m->unit);
    if (m->unit.n) text_put(t, ")");
    text_put(t, " %s", type_name(m->type));
    normal_value(t, m, i);
    text_inline_attrs(t, &m->points.any[i]->rec);
    text_put(t, "\n");
  }
  if (!m->n_points) {
    text_put(t, "  ");
    text_str(t, m->name);
    text_put(t, " %s without data points\n", type_name(m->type));
  }
}

void debug_metrics(struct text *t, const struct weir_data *d, int detailed) {
  for (uint32_t r = 0; r < d->n_resources; r++) {
    const struct weir_resource *res = d->resources[r];
    if (detailed) debug_resource(t, "Metrics", r, res);
    else debug_resource_line(t, "Metrics", r, res);
    for (uint32_t s = 0; s < res->n_scopes; s++) {
      const struct weir_scope *scope = res->scopes[s];
      if (detailed) debug_scope(t, "Metrics", s, scope);
      else debug_scope_line(t, "Metrics", s, scope);
      for (uint32_t i = 0; i < scope->n_records; i++) {
        if (detailed) detailed_metric(t, i, scope->u.metrics[i]);
        else normal_metric(t, scope->u.metrics[i]);
      }
    }
  }
}
