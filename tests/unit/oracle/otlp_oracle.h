/*
 * tests/unit/oracle/otlp_oracle.h - compares weir's tree with what protobuf-c read from the same bytes, field by field and by name.
 *
 * Every function returns 0 when equal; else it remembers the first place that differs in `oracle_where` and returns 1.
 */
#ifndef OTLP_ORACLE_H
#define OTLP_ORACLE_H

#include <stdio.h>
#include <string.h>

#include <weir/data.h>

#include "otlp.pb-c.h"

static const char *oracle_where = "";

#define DIFFER(cond, what) do { if (cond) { oracle_where = what; return 1; } } while (0)
#define SAME(call) do { if (call) return 1; } while (0)

static inline int oracle_str(struct weir_str s, ProtobufCBinaryData b, const char *what) {
  DIFFER(s.n != b.len || (b.len && memcmp(s.p, b.data, b.len) != 0), what);
  return 0;
}

static inline int oracle_double(double a, double b, const char *what) {
  DIFFER(memcmp(&a, &b, sizeof a) != 0, what);
  return 0;
}

static inline int oracle_attrs(const struct weir_attr *a, uint32_t n, Oracle__KeyValue **kv, size_t n_kv);

static inline int oracle_value(const struct weir_value *v, const Oracle__AnyValue *o) {
  switch (o->value_case) {
  case ORACLE__ANY_VALUE__VALUE_STRING_VALUE:
    DIFFER(v->kind != WEIR_V_STRING, "value: string kind");
    return oracle_str((struct weir_str){ v->u.s, v->n, 0 }, o->string_value, "string_value");
  case ORACLE__ANY_VALUE__VALUE_BYTES_VALUE:
    DIFFER(v->kind != WEIR_V_BYTES, "value: bytes kind");
    return oracle_str((struct weir_str){ v->u.s, v->n, 0 }, o->bytes_value, "bytes_value");
  case ORACLE__ANY_VALUE__VALUE_BOOL_VALUE: DIFFER(v->kind != WEIR_V_BOOL || v->u.i != !!o->bool_value, "bool_value"); return 0;
  case ORACLE__ANY_VALUE__VALUE_INT_VALUE: DIFFER(v->kind != WEIR_V_INT || v->u.i != o->int_value, "int_value"); return 0;
  case ORACLE__ANY_VALUE__VALUE_DOUBLE_VALUE:
    DIFFER(v->kind != WEIR_V_DOUBLE, "value: double kind");
    return oracle_double(v->u.d, o->double_value, "double_value");
  case ORACLE__ANY_VALUE__VALUE_ARRAY_VALUE:
    DIFFER(v->kind != WEIR_V_ARRAY || v->n != o->array_value->n_values, "array_value");
    for (uint32_t i = 0; i < v->n; i++) SAME(oracle_value(&v->u.items[i], o->array_value->values[i]));
    return 0;
  case ORACLE__ANY_VALUE__VALUE_KVLIST_VALUE:
    DIFFER(v->kind != WEIR_V_KVLIST, "value: kvlist kind");
    return oracle_attrs(v->u.attrs, v->n, o->kvlist_value->values, o->kvlist_value->n_values);
  default: DIFFER(v->kind != WEIR_V_EMPTY, "value: empty kind"); return 0;
  }
}

static inline int oracle_attrs(const struct weir_attr *a, uint32_t n, Oracle__KeyValue **kv, size_t n_kv) {
  static const struct weir_value none;
  DIFFER(n != n_kv, "number of attributes");
  for (uint32_t i = 0; i < n; i++) {
    SAME(oracle_str(a[i].key, kv[i]->key, "key"));
    if (kv[i]->value) SAME(oracle_value(&a[i].value, kv[i]->value));
    else DIFFER(a[i].value.kind != none.kind, "absent value");
  }
  return 0;
}

static inline int oracle_rec(const struct weir_rec *r, uint16_t kind, Oracle__KeyValue **kv, size_t n_kv, uint32_t dropped) {
  DIFFER(r->kind != kind, "record kind");
  DIFFER(r->dropped_attrs != dropped, "dropped_attributes_count");
  return oracle_attrs(r->attrs, r->n_attrs, kv, n_kv);
}

static inline int oracle_resource(const struct weir_resource *r, const Oracle__Resource *o, ProtobufCBinaryData schema_url, size_t n_scopes) {
  SAME(oracle_rec(&r->rec, WEIR_R_RESOURCE, o ? o->attributes : NULL, o ? o->n_attributes : 0, o ? o->dropped_attributes_count : 0));
  DIFFER(r->n_scopes != n_scopes, "number of scopes");
  return oracle_str(r->schema_url, schema_url, "resource schema_url");
}

static inline int oracle_scope(const struct weir_scope *s, const Oracle__InstrumentationScope *o, ProtobufCBinaryData schema_url, size_t n_records) {
  static const ProtobufCBinaryData none;
  SAME(oracle_rec(&s->rec, WEIR_R_SCOPE, o ? o->attributes : NULL, o ? o->n_attributes : 0, o ? o->dropped_attributes_count : 0));
  SAME(oracle_str(s->name, o ? o->name : none, "scope name"));
  SAME(oracle_str(s->version, o ? o->version : none, "scope version"));
  DIFFER(s->n_records != n_records, "number of records");
  return oracle_str(s->schema_url, schema_url, "scope schema_url");
}

/* --- traces ------------------------------------------------------------------------------------------ */

static inline int oracle_event(const struct weir_event *e, const Oracle__Span__Event *o) {
  SAME(oracle_rec(&e->rec, WEIR_R_EVENT, o->attributes, o->n_attributes, o->dropped_attributes_count));
  DIFFER(e->time_unix_nano != o->time_unix_nano, "event time_unix_nano");
  return oracle_str(e->name, o->name, "event name");
}

static inline int oracle_link(const struct weir_link *l, const Oracle__Span__Link *o) {
  SAME(oracle_rec(&l->rec, WEIR_R_LINK, o->attributes, o->n_attributes, o->dropped_attributes_count));
  SAME(oracle_str(l->trace_id, o->trace_id, "link trace_id"));
  SAME(oracle_str(l->span_id, o->span_id, "link span_id"));
  DIFFER(l->flags != o->flags, "link flags");
  return oracle_str(l->trace_state, o->trace_state, "link trace_state");
}

static inline int oracle_span(const struct weir_span *s, const Oracle__Span *o) {
  SAME(oracle_rec(&s->rec, WEIR_R_SPAN, o->attributes, o->n_attributes, o->dropped_attributes_count));
  SAME(oracle_str(s->trace_id, o->trace_id, "trace_id"));
  SAME(oracle_str(s->span_id, o->span_id, "span_id"));
  SAME(oracle_str(s->parent_span_id, o->parent_span_id, "parent_span_id"));
  SAME(oracle_str(s->trace_state, o->trace_state, "trace_state"));
  SAME(oracle_str(s->name, o->name, "span name"));
  DIFFER(s->kind != (int32_t)o->kind, "span kind");
  DIFFER(s->start_time_unix_nano != o->start_time_unix_nano, "start_time_unix_nano");
  DIFFER(s->end_time_unix_nano != o->end_time_unix_nano, "end_time_unix_nano");
  DIFFER(s->dropped_events != o->dropped_events_count, "dropped_events_count");
  DIFFER(s->dropped_links != o->dropped_links_count, "dropped_links_count");
  DIFFER(s->flags != o->flags, "span flags");
  DIFFER(!s->has_status != !o->status, "status present");
  DIFFER(s->status_code != (o->status ? (int32_t)o->status->code : 0), "status code");
  if (o->status) SAME(oracle_str(s->status_message, o->status->message, "status message"));
  DIFFER(s->n_events != o->n_events, "number of events");
  DIFFER(s->n_links != o->n_links, "number of links");
  for (uint32_t i = 0; i < s->n_events; i++) SAME(oracle_event(s->events[i], o->events[i]));
  for (uint32_t i = 0; i < s->n_links; i++) SAME(oracle_link(s->links[i], o->links[i]));
  return 0;
}

static inline int oracle_traces(const struct weir_data *d, const Oracle__ExportTraceServiceRequest *o) {
  DIFFER(d->n_resources != o->n_resource_spans, "number of resource_spans");
  for (uint32_t i = 0; i < d->n_resources; i++) {
    const struct weir_resource *r = d->resources[i];
    const Oracle__ResourceSpans *ro = o->resource_spans[i];
    SAME(oracle_resource(r, ro->resource, ro->schema_url, ro->n_scope_spans));
    for (uint32_t k = 0; k < r->n_scopes; k++) {
      const Oracle__ScopeSpans *so = ro->scope_spans[k];
      SAME(oracle_scope(r->scopes[k], so->scope, so->schema_url, so->n_spans));
      for (uint32_t j = 0; j < r->scopes[k]->n_records; j++) SAME(oracle_span(r->scopes[k]->u.spans[j], so->spans[j]));
    }
  }
  return 0;
}

/* --- metrics ----------------------------------------------------------------------------------------- */

static inline int oracle_number(const struct weir_value *v, int is_int, int is_double, int64_t i, double d) {
  if (is_int) DIFFER(v->kind != WEIR_V_INT || v->u.i != i, "as_int");
  else if (is_double) DIFFER(v->kind != WEIR_V_DOUBLE || memcmp(&v->u.d, &d, sizeof d) != 0, "as_double");
  else DIFFER(v->kind != WEIR_V_EMPTY, "number without a value");
  return 0;
}

static inline int oracle_exemplar(const struct weir_exemplar *e, const Oracle__Exemplar *o) {
  SAME(oracle_rec(&e->rec, WEIR_R_EXEMPLAR, o->filtered_attributes, o->n_filtered_attributes, 0));
  DIFFER(e->time_unix_nano != o->time_unix_nano, "exemplar time_unix_nano");
  SAME(oracle_str(e->trace_id, o->trace_id, "exemplar trace_id"));
  SAME(oracle_str(e->span_id, o->span_id, "exemplar span_id"));
  return oracle_number(&e->value, o->value_case == ORACLE__EXEMPLAR__VALUE_AS_INT, o->value_case == ORACLE__EXEMPLAR__VALUE_AS_DOUBLE, o->as_int,
    o->as_double);
}

/* What all kinds of points share; o is any of their messages. */
#define ORACLE_POINT(pt, o)                                                                                                    \
  SAME(oracle_rec(&(pt)->rec, WEIR_R_POINT, (o)->attributes, (o)->n_attributes, 0));                                            \
  DIFFER((pt)->start_time_unix_nano != (o)->start_time_unix_nano, "point start_time_unix_nano");                                \
  DIFFER((pt)->time_unix_nano != (o)->time_unix_nano, "point time_unix_nano");                                                  \
  DIFFER((pt)->flags != (o)->flags, "point flags")

static inline int oracle_exemplars(const struct weir_point *pt, Oracle__Exemplar **o, size_t n) {
  DIFFER(pt->n_exemplars != n, "number of exemplars");
  for (uint32_t i = 0; i < pt->n_exemplars; i++) SAME(oracle_exemplar(pt->exemplars[i], o[i]));
  return 0;
}

static inline int oracle_number_point(const struct weir_number_point *p, const Oracle__NumberDataPoint *o) {
  ORACLE_POINT(&p->pt, o);
  SAME(oracle_exemplars(&p->pt, o->exemplars, o->n_exemplars));
  return oracle_number(&p->value, o->value_case == ORACLE__NUMBER_DATA_POINT__VALUE_AS_INT, o->value_case == ORACLE__NUMBER_DATA_POINT__VALUE_AS_DOUBLE,
    o->as_int, o->as_double);
}

/* sum, min, max with their presence. */
#define ORACLE_OPTIONALS(p, o)                                                                                                 \
  DIFFER(!((p)->has & WEIR_HAS_SUM) != !(o)->optional_sum_case, "sum present");                                                 \
  DIFFER(!((p)->has & WEIR_HAS_MIN) != !(o)->optional_min_case, "min present");                                                 \
  DIFFER(!((p)->has & WEIR_HAS_MAX) != !(o)->optional_max_case, "max present");                                                 \
  if ((o)->optional_sum_case) SAME(oracle_double((p)->sum, (o)->sum, "sum"));                                                   \
  if ((o)->optional_min_case) SAME(oracle_double((p)->min, (o)->min, "min"));                                                   \
  if ((o)->optional_max_case) SAME(oracle_double((p)->max, (o)->max, "max"))

static inline int oracle_histogram_point(const struct weir_histogram_point *p, const Oracle__HistogramDataPoint *o) {
  ORACLE_POINT(&p->pt, o);
  ORACLE_OPTIONALS(p, o);
  DIFFER(p->count != o->count, "histogram count");
  DIFFER(p->n_bucket_counts != o->n_bucket_counts, "number of bucket_counts");
  DIFFER(p->n_explicit_bounds != o->n_explicit_bounds, "number of explicit_bounds");
  DIFFER(o->n_bucket_counts && memcmp(p->bucket_counts, o->bucket_counts, o->n_bucket_counts * 8) != 0, "bucket_counts");
  DIFFER(o->n_explicit_bounds && memcmp(p->explicit_bounds, o->explicit_bounds, o->n_explicit_bounds * 8) != 0, "explicit_bounds");
  return oracle_exemplars(&p->pt, o->exemplars, o->n_exemplars);
}

static inline int oracle_buckets(const struct weir_buckets *b, const Oracle__ExponentialHistogramDataPoint__Buckets *o) {
  DIFFER(!b->present != !o, "buckets present");
  DIFFER(b->offset != (o ? o->offset : 0), "buckets offset");
  DIFFER(b->n != (o ? o->n_bucket_counts : 0), "number of buckets");
  DIFFER(b->n && memcmp(b->counts, o->bucket_counts, b->n * sizeof *b->counts) != 0, "buckets");
  return 0;
}

static inline int oracle_exp_histogram_point(const struct weir_exp_histogram_point *p, const Oracle__ExponentialHistogramDataPoint *o) {
  ORACLE_POINT(&p->pt, o);
  ORACLE_OPTIONALS(p, o);
  DIFFER(p->count != o->count, "exponential count");
  DIFFER(p->zero_count != o->zero_count, "zero_count");
  DIFFER(p->scale != o->scale, "scale");
  SAME(oracle_double(p->zero_threshold, o->zero_threshold, "zero_threshold"));
  SAME(oracle_buckets(&p->positive, o->positive));
  SAME(oracle_buckets(&p->negative, o->negative));
  return oracle_exemplars(&p->pt, o->exemplars, o->n_exemplars);
}

static inline int oracle_summary_point(const struct weir_summary_point *p, const Oracle__SummaryDataPoint *o) {
  ORACLE_POINT(&p->pt, o);
  DIFFER(p->pt.n_exemplars != 0, "exemplars of a summary");
  DIFFER(p->count != o->count, "summary count");
  SAME(oracle_double(p->sum, o->sum, "summary sum"));
  DIFFER(p->n_quantiles != o->n_quantile_values, "number of quantiles");
  for (uint32_t i = 0; i < p->n_quantiles; i++) {
    SAME(oracle_double(p->quantiles[i].quantile, o->quantile_values[i]->quantile, "quantile"));
    SAME(oracle_double(p->quantiles[i].value, o->quantile_values[i]->value, "quantile value"));
  }
  return 0;
}

#define ORACLE_POINTS(m, member, o, compare)                                                                                  \
  DIFFER((m)->n_points != (o)->n_data_points, "number of data_points");                                                        \
  for (uint32_t i = 0; i < (m)->n_points; i++) SAME(compare((m)->points.member[i], (o)->data_points[i]))

static inline int oracle_metric_data(const struct weir_metric *m, const Oracle__Metric *o) {
  int32_t temporality = 0, monotonic = 0;
  switch (o->data_case) {
  case ORACLE__METRIC__DATA_GAUGE: ORACLE_POINTS(m, number, o->gauge, oracle_number_point); break;
  case ORACLE__METRIC__DATA_SUM:
    ORACLE_POINTS(m, number, o->sum, oracle_number_point);
    temporality = (int32_t)o->sum->aggregation_temporality;
    monotonic = !!o->sum->is_monotonic;
    break;
  case ORACLE__METRIC__DATA_HISTOGRAM:
    ORACLE_POINTS(m, histogram, o->histogram, oracle_histogram_point);
    temporality = (int32_t)o->histogram->aggregation_temporality;
    break;
  case ORACLE__METRIC__DATA_EXPONENTIAL_HISTOGRAM:
    ORACLE_POINTS(m, exp_histogram, o->exponential_histogram, oracle_exp_histogram_point);
    temporality = (int32_t)o->exponential_histogram->aggregation_temporality;
    break;
  case ORACLE__METRIC__DATA_SUMMARY: ORACLE_POINTS(m, summary, o->summary, oracle_summary_point); break;
  default: DIFFER(m->n_points != 0, "points without data"); break;
  }
  DIFFER(m->temporality != temporality, "aggregation_temporality");
  DIFFER(m->is_monotonic != (uint32_t)monotonic, "is_monotonic");
  return 0;
}

static inline int oracle_metric(const struct weir_metric *m, const Oracle__Metric *o) {
  SAME(oracle_rec(&m->rec, WEIR_R_METRIC, o->metadata, o->n_metadata, 0));
  SAME(oracle_str(m->name, o->name, "metric name"));
  SAME(oracle_str(m->description, o->description, "metric description"));
  SAME(oracle_str(m->unit, o->unit, "metric unit"));
  DIFFER(m->type != (uint32_t)o->data_case, "metric type");
  return oracle_metric_data(m, o);
}

static inline int oracle_metrics(const struct weir_data *d, const Oracle__ExportMetricsServiceRequest *o) {
  DIFFER(d->n_resources != o->n_resource_metrics, "number of resource_metrics");
  for (uint32_t i = 0; i < d->n_resources; i++) {
    const struct weir_resource *r = d->resources[i];
    const Oracle__ResourceMetrics *ro = o->resource_metrics[i];
    SAME(oracle_resource(r, ro->resource, ro->schema_url, ro->n_scope_metrics));
    for (uint32_t k = 0; k < r->n_scopes; k++) {
      const Oracle__ScopeMetrics *so = ro->scope_metrics[k];
      SAME(oracle_scope(r->scopes[k], so->scope, so->schema_url, so->n_metrics));
      for (uint32_t j = 0; j < r->scopes[k]->n_records; j++) SAME(oracle_metric(r->scopes[k]->u.metrics[j], so->metrics[j]));
    }
  }
  return 0;
}

/* --- logs -------------------------------------------------------------------------------------------- */

static inline int oracle_log(const struct weir_log *l, const Oracle__LogRecord *o) {
  SAME(oracle_rec(&l->rec, WEIR_R_LOG, o->attributes, o->n_attributes, o->dropped_attributes_count));
  DIFFER(l->time_unix_nano != o->time_unix_nano, "time_unix_nano");
  DIFFER(l->observed_time_unix_nano != o->observed_time_unix_nano, "observed_time_unix_nano");
  DIFFER(l->severity_number != (int32_t)o->severity_number, "severity_number");
  DIFFER(l->flags != o->flags, "log flags");
  SAME(oracle_str(l->severity_text, o->severity_text, "severity_text"));
  SAME(oracle_str(l->trace_id, o->trace_id, "log trace_id"));
  SAME(oracle_str(l->span_id, o->span_id, "log span_id"));
  SAME(oracle_str(l->event_name, o->event_name, "event_name"));
  DIFFER(!l->has_body != !o->body, "body present");
  return o->body ? oracle_value(&l->body, o->body) : 0;
}

static inline int oracle_logs(const struct weir_data *d, const Oracle__ExportLogsServiceRequest *o) {
  DIFFER(d->n_resources != o->n_resource_logs, "number of resource_logs");
  for (uint32_t i = 0; i < d->n_resources; i++) {
    const struct weir_resource *r = d->resources[i];
    const Oracle__ResourceLogs *ro = o->resource_logs[i];
    SAME(oracle_resource(r, ro->resource, ro->schema_url, ro->n_scope_logs));
    for (uint32_t k = 0; k < r->n_scopes; k++) {
      const Oracle__ScopeLogs *so = ro->scope_logs[k];
      SAME(oracle_scope(r->scopes[k], so->scope, so->schema_url, so->n_log_records));
      for (uint32_t j = 0; j < r->scopes[k]->n_records; j++) SAME(oracle_log(r->scopes[k]->u.logs[j], so->log_records[j]));
    }
  }
  return 0;
}

/* The descriptor of a signal's request, and the comparison of its tree. */
static inline const ProtobufCMessageDescriptor *oracle_request(uint32_t signal) {
  if (signal == WEIR_TRACES) return &oracle__export_trace_service_request__descriptor;
  return signal == WEIR_METRICS ? &oracle__export_metrics_service_request__descriptor : &oracle__export_logs_service_request__descriptor;
}

static inline int oracle_differs(const struct weir_data *d, const ProtobufCMessage *m) {
  if (d->signal == WEIR_TRACES) return oracle_traces(d, (const Oracle__ExportTraceServiceRequest *)(const void *)m);
  if (d->signal == WEIR_METRICS) return oracle_metrics(d, (const Oracle__ExportMetricsServiceRequest *)(const void *)m);
  return oracle_logs(d, (const Oracle__ExportLogsServiceRequest *)(const void *)m);
}

#endif
