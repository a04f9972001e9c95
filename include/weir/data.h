/*
 * weir/data.h - the telemetry records that stages read and edit.
 *
 * Shapes follow opentelemetry-proto v1 (trace.proto, metrics.proto, logs.proto, common.proto, resource.proto); units are
 * theirs: times are Unix nanoseconds, ids are raw bytes. Records are allocated by the host only and reached through
 * arrays of pointers, so fields are appended without breaking a compiled stage. weir_str, weir_value and weir_attr are
 * frozen in size. Strings are (pointer, length), not NUL-terminated, may hold NUL and invalid UTF-8, and usually point
 * into the received message.
 *
 * Reading: plain field access, from the moment host->batch_read returned the tree until the batch is given away.
 * Changing: only in a tree from host->batch_write, and either through the host table (attributes) or by assigning a
 * plain field and then calling host->touch on the record. New strings must live in host->batch_alloc memory.
 * Nothing here locks: a batch belongs to one lane at a time.
 */
#ifndef WEIR_DATA_H
#define WEIR_DATA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_TRACES 1u
#define WEIR_METRICS 2u
#define WEIR_LOGS 4u

/* 16 bytes, frozen. `aux` is the host's; 0 in what a stage makes. */
struct weir_str {
  const char *p;
  uint32_t n, aux;
};

/* AnyValue kinds (common.proto). WEIR_V_EMPTY is an AnyValue with no member set. */
#define WEIR_V_EMPTY 0u
#define WEIR_V_STRING 1u
#define WEIR_V_BOOL 2u
#define WEIR_V_INT 3u
#define WEIR_V_DOUBLE 4u
#define WEIR_V_ARRAY 5u
#define WEIR_V_KVLIST 6u
#define WEIR_V_BYTES 7u

struct weir_attr;

/* 16 bytes, frozen. For STRING and BYTES u.s / n, for ARRAY u.items / n, for KVLIST u.attrs / n. */
struct weir_value {
  uint32_t kind, n;
  union {
    const char *s;
    int64_t i; /* INT; BOOL as 0 or 1 */
    double d;
    const struct weir_value *items;
    const struct weir_attr *attrs;
  } u;
};

/* 40 bytes, frozen. `raw` is the host's: the received KeyValue, so that unknown fields survive; NULL in what a stage makes. */
struct weir_attr {
  struct weir_str key;
  struct weir_value value;
  const char *raw;
};

/* Record kinds. */
#define WEIR_R_RESOURCE 1u
#define WEIR_R_SCOPE 2u
#define WEIR_R_SPAN 3u
#define WEIR_R_EVENT 4u
#define WEIR_R_LINK 5u
#define WEIR_R_METRIC 6u
#define WEIR_R_POINT 7u
#define WEIR_R_EXEMPLAR 8u
#define WEIR_R_LOG 9u

/* Every record starts with this. attrs may be read in place after batch_read; duplicate keys are kept in order.
 * For a metric, attrs is Metric.metadata; for an exemplar, filtered_attributes. */
struct weir_rec {
  uint16_t kind;
  uint16_t dirty;       /* host's */
  uint32_t raw_n;       /* host's */
  const char *raw;      /* host's: the received message of this record */
  struct weir_attr *attrs;
  uint32_t n_attrs;
  uint32_t cap_attrs;   /* host's */
  uint32_t dropped_attrs;
  uint32_t n_raw_attrs; /* host's: attributes that `raw` holds unchanged */
};

/* ResourceSpans / ResourceMetrics / ResourceLogs together with their Resource. */
struct weir_resource {
  struct weir_rec rec;
  struct weir_str schema_url;
  uint32_t n_scopes, flags;
  struct weir_scope **scopes;
  const char *envelope; /* host's: the received Resource* message */
  size_t envelope_n;
};

/* ScopeSpans / ScopeMetrics / ScopeLogs together with their InstrumentationScope. */
struct weir_scope {
  struct weir_rec rec;
  struct weir_str name, version, schema_url;
  uint32_t n_records, flags;
  union {
    struct weir_span **spans;
    struct weir_metric **metrics;
    struct weir_log **logs;
    struct weir_rec **recs;
  } u;
  const char *envelope; /* host's: the received Scope* message */
  size_t envelope_n;
};

/* The tree of a batch. `resources` of a merged batch are those of its parts, one after the other. */
struct weir_data {
  uint32_t signal; /* WEIR_TRACES, WEIR_METRICS or WEIR_LOGS */
  uint32_t n_resources;
  struct weir_resource **resources;
  const char *envelope; /* host's: the received message if it has unknown fields, else NULL */
  size_t envelope_n;
};

struct weir_event {
  struct weir_rec rec;
  uint64_t time_unix_nano;
  struct weir_str name;
};

struct weir_link {
  struct weir_rec rec;
  struct weir_str trace_id, span_id, trace_state;
  uint32_t flags, reserved;
};

struct weir_span {
  struct weir_rec rec;
  struct weir_str trace_id, span_id, parent_span_id, trace_state, name;
  uint64_t start_time_unix_nano, end_time_unix_nano;
  uint32_t flags;
  int32_t kind; /* Span.SpanKind */
  int32_t status_code; /* Status.StatusCode */
  uint32_t n_events, n_links;
  uint32_t dropped_events, dropped_links;
  uint32_t has_status;
  struct weir_str status_message;
  struct weir_event **events;
  struct weir_link **links;
};

/* Metric.data */
#define WEIR_M_NONE 0u
#define WEIR_M_GAUGE 5u
#define WEIR_M_SUM 7u
#define WEIR_M_HISTOGRAM 9u
#define WEIR_M_EXP_HISTOGRAM 10u
#define WEIR_M_SUMMARY 11u

struct weir_exemplar {
  struct weir_rec rec;
  uint64_t time_unix_nano;
  struct weir_str trace_id, span_id;
  struct weir_value value; /* WEIR_V_INT, WEIR_V_DOUBLE or WEIR_V_EMPTY */
};

/* The start that all data points share. */
struct weir_point {
  struct weir_rec rec;
  uint64_t start_time_unix_nano, time_unix_nano;
  uint32_t flags; /* DataPointFlags */
  uint32_t n_exemplars;
  struct weir_exemplar **exemplars;
};

/* NumberDataPoint: gauge and sum. */
struct weir_number_point {
  struct weir_point pt;
  struct weir_value value; /* WEIR_V_INT, WEIR_V_DOUBLE or WEIR_V_EMPTY */
};

#define WEIR_HAS_SUM 1u
#define WEIR_HAS_MIN 2u
#define WEIR_HAS_MAX 4u

struct weir_histogram_point {
  struct weir_point pt;
  uint64_t count;
  double sum, min, max;
  uint32_t has; /* WEIR_HAS_* */
  uint32_t n_bucket_counts, n_explicit_bounds, reserved;
  const uint64_t *bucket_counts;
  const double *explicit_bounds;
};

struct weir_buckets {
  int32_t offset;
  uint32_t n;
  const uint64_t *counts;
  uint32_t present, reserved; /* present: the message was there, even if empty */
};

struct weir_exp_histogram_point {
  struct weir_point pt;
  uint64_t count, zero_count;
  double sum, min, max, zero_threshold;
  uint32_t has; /* WEIR_HAS_* */
  int32_t scale;
  struct weir_buckets positive, negative;
};

struct weir_quantile {
  double quantile, value;
};

struct weir_summary_point {
  struct weir_point pt;
  uint64_t count;
  double sum;
  uint32_t n_quantiles, reserved;
  const struct weir_quantile *quantiles;
};

struct weir_metric {
  struct weir_rec rec;
  struct weir_str name, description, unit;
  uint32_t type;         /* WEIR_M_* decides which struct `points` holds */
  int32_t temporality;   /* AggregationTemporality: 0 unspecified, 1 delta, 2 cumulative */
  uint32_t is_monotonic; /* sums */
  uint32_t n_points;
  union {
    struct weir_number_point **number;
    struct weir_histogram_point **histogram;
    struct weir_exp_histogram_point **exp_histogram;
    struct weir_summary_point **summary;
    struct weir_point **any;
  } points;
};

struct weir_log {
  struct weir_rec rec;
  uint64_t time_unix_nano, observed_time_unix_nano;
  int32_t severity_number;
  uint32_t flags;
  struct weir_str severity_text, trace_id, span_id, event_name;
  struct weir_value body;
  uint32_t has_body;
  uint32_t body_raw_n;         /* host's */
  const char *body_raw;        /* host's: the received AnyValue, so that unknown fields in an unchanged body survive */
  struct weir_value body_read; /* host's */
};

static inline struct weir_str weir_str_of(const char *s) {
  struct weir_str r = { s, (uint32_t)strlen(s), 0 };
  return r;
}

static inline int weir_str_eq(struct weir_str a, struct weir_str b) {
  return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline struct weir_value weir_value_str(const char *p, uint32_t n) {
  struct weir_value v;
  v.kind = WEIR_V_STRING;
  v.n = n;
  v.u.s = p;
  return v;
}

static inline struct weir_value weir_value_int(int64_t i) {
  struct weir_value v;
  v.kind = WEIR_V_INT;
  v.n = 0;
  v.u.i = i;
  return v;
}

/* The first attribute with this key, or NULL. Linear, as records hold few. */
static inline const struct weir_attr *weir_attr_find(const struct weir_rec *rec, struct weir_str key) {
  for (uint32_t i = 0; i < rec->n_attrs; i++)
    if (weir_str_eq(rec->attrs[i].key, key)) return &rec->attrs[i];
  return NULL;
}

#ifdef __cplusplus
}
#endif
#endif
