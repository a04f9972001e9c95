/*
 * plugins/kit/prom.h - OTLP metrics as Prometheus sees them: families, labels, samples. Shared by the exporters prometheus and prometheus_remote_write.
 *
 * The rules are those of OpenTelemetry's "Prometheus and OpenMetrics Compatibility" (OTLP Metric points to Prometheus), with the Collector's choices where
 * that leaves one; docs/design/prometheus.md tells them apart. Nothing here keeps state of series: a walk looks at one tree and calls a visitor per data point.
 *
 * Threads: a `struct prom` belongs to one instance and its lane. Ownership: all that a callback gets (labels, families, extra labels) is borrowed
 * until it returns; strings point into the tree, into the options or into the scratch memory of the `struct prom`. Times are Unix nanoseconds.
 * Memory: scratch grows to what one series needs (bounded by max_label_bytes) and is kept; points cost no malloc once it has grown.
 */
#ifndef KIT_PROM_H
#define KIT_PROM_H

#include <weir/config.h>
#include <weir/data.h>
#include <weir/error.h>

/* Family types; as prom_type_name writes them. */
#define PROM_UNKNOWN 0
#define PROM_COUNTER 1
#define PROM_GAUGE 2
#define PROM_HISTOGRAM 3
#define PROM_SUMMARY 4
#define PROM_INFO 5
#define PROM_STATESET 6
#define PROM_NATIVE_HISTOGRAM 7 /* an exponential histogram */

struct prom_label {
  struct weir_str name, value;
};

/* name: whole, with namespace, unit and type suffix ("http_requests_total"), without _bucket, _sum, _count. unit: "" or in Prometheus' words
 * ("seconds", "bytes_per_second"). help: the description, valid UTF-8, not escaped. metric is NULL for target_info. */
struct prom_family {
  struct weir_str name, unit, help;
  int type;
  const struct weir_metric *metric;
};

struct prom_options {
  int add_metric_suffixes; /* unit and type suffixes */
  int utf8_names;          /* names stay as they are (any UTF-8); else [a-zA-Z0-9_:] with `_` for the rest */
  int scope_labels;        /* otel_scope_name, otel_scope_version, otel_scope_schema_url, otel_scope_ATTRIBUTE */
  int keep_delta;          /* the visitor accumulates: delta sums and histograms come as points; else they are dropped */
  struct weir_str name_space;
  /* Resource attributes that become labels of every point: key matches one of `included` ('*' stands for anything) and none of `excluded`.
   * An empty `included` with a non-empty `excluded` is everything else; both empty is none. */
  struct weir_strings resource_included, resource_excluded;
  struct weir_map constant; /* const_labels, external_labels: lowest rank; names are made valid */
  int target_constant;      /* target_info has them, too (external_labels) */
  uint64_t max_label_bytes; /* of one series, names and values together; 0 = 64 KiB. Over it the point is dropped ("label_bytes") */
};

/* The resource of what follows, as its target_info. labels: job, instance and all other attributes, as labels are. has_*: the label is there and not
 * empty. n_other: labels beside the two and the constant ones. time: the newest point of the resource. Only called when job or instance is there. */
struct prom_target {
  const struct prom_family *family; /* target_info, with the namespace; PROM_INFO */
  const struct prom_label *labels;
  size_t n_labels, n_other;
  int has_job, has_instance;
  uint64_t time_unix_nano;
};

struct prom_visitor {
  void *arg;
  /* One data point. labels: those of the series without le and quantile, sorted by name (bytes), unique, none empty, valid UTF-8. A point with the flag
   * NoRecordedValue comes too (prom_is_stale): its series ends. Numbers are never WEIR_V_EMPTY otherwise; histograms have one bucket more than bounds, which ascend, or none of both. */
  void (*point)(void *arg, const struct prom_family *, const struct prom_label *labels, size_t n, const struct weir_metric *, const struct weir_point *);
  /* After the points of a resource. NULL = not wanted. */
  void (*target)(void *arg, const struct prom_target *);
  /* Data points that have no place in Prometheus. reason is a literal: temporality, delta, delta_non_monotonic, no_value, name, label_bytes,
   * histogram_bounds, memory. */
  void (*dropped)(void *arg, const struct weir_metric *, uint64_t items, const char *reason);
};

struct prom;

/* Options are copied, what they point at is borrowed until prom_free. WEIR_E_NOMEM, or WEIR_E_CONFIG with the field (`constant` is the key of the constant labels). */
int prom_new(const struct prom_options *, const char *constant, struct prom **ret, struct weir_error *);
void prom_free(struct prom *); /* NULL is allowed */

void prom_walk(struct prom *, const struct weir_data *, const struct prom_visitor *);

/* --- points ------------------------------------------------------------------------------------------------------------------ */

#define PROM_STALE_BITS 0x7ff0000000000002u /* the NaN that ends a series */
double prom_stale(void);

/* DataPointFlags: NoRecordedValue. */
static inline int prom_is_stale(const struct weir_point *pt) { return (int)(pt->flags & 1u); }

/* A number point's value; integers over 2^53 are rounded, as Prometheus knows doubles only. */
double prom_value(const struct weir_value *);

/* How numbers are written. */
#define PROM_NUM_TEXT 0        /* text format: 1, 0.5, 1e+06, +Inf, NaN */
#define PROM_NUM_OPENMETRICS 1 /* the same, but 1.0 and 1e+06: always a float */
#define PROM_NUM_PLAIN 2       /* never an exponent: 1000000; `le` and `quantile` in remote write */
#define PROM_NUM_CAP 352       /* room for any number in any form (PLAIN: 1e308) */
/* Writes the shortest text that reads back as the same double. Returns its length; no NUL behind it. */
size_t prom_number(double, int form, char buf[PROM_NUM_CAP]);

/* One plain sample of a point. suffix: "", "_bucket", "_sum", "_count". extra: le or quantile, or NULL. is_count: value is a whole number of observations.
 * An exemplar belongs to it when above < its value <= upto; those of _sum and _count and of quantiles fit nowhere (above >= upto). */
struct prom_sample {
  const char *suffix;
  const struct prom_label *extra;
  double value;
  int is_count;
  double above, upto;
};
typedef void prom_sample_f(void *arg, const struct prom_sample *);
/* A number, histogram or summary point as its samples, in the order of the exposition formats; histograms cumulative, with +Inf. A stale point gives the stale
 * NaN everywhere. An exponential histogram gives what fits in text: its +Inf bucket, _sum, _count. le_form: PROM_NUM_* of le and quantile. A sum that is
 * not there is left out. */
void prom_expand(struct prom *, const struct weir_metric *, const struct weir_point *, int le_form, prom_sample_f *, void *arg);

/* An exemplar's labels: trace_id, span_id (lower-case hex), then the filtered attributes if all have at most 128 characters, names and values together
 * (OpenMetrics 1.0, "Exemplars"). Sorted, unique, made valid. Borrowed until the next call on this prom. */
size_t prom_exemplar(struct prom *, const struct weir_exemplar *, const struct prom_label **ret);

/* --- exponential histograms ---------------------------------------------------------------------------------------------------- */

struct prom_span {
  int32_t offset; /* the first: of its first bucket; the others: gap to the one before */
  uint32_t length;
};
struct prom_buckets {
  const struct prom_span *spans;
  const int64_t *deltas; /* counts, each as the difference to the one before */
  size_t n_spans, n_deltas;
};
struct prom_native {
  int32_t schema;   /* -4 .. 8 */
  int32_t has_sum;
  uint64_t count, zero_count;
  double sum, zero_threshold; /* sum 0 without one; threshold 1e-128 when unset, as the Collector's */
  struct prom_buckets positive, negative;
};
/* 0; WEIR_E_UNSUPPORTED when the scale is under -4 (nothing can be made finer) or an index over 2^31; WEIR_E_NOMEM. Over 8 is scaled down. A stale point has sum the stale NaN and no buckets.
 * Borrowed until the next call on this prom. */
int prom_native(struct prom *, const struct weir_exp_histogram_point *, struct prom_native *ret);

/* --- names and text ------------------------------------------------------------------------------------------------------------- */

const char *prom_type_name(int type); /* OpenMetrics' words: "unknown", "counter", ... a native histogram is a "histogram" */

/* Legacy validity: [a-zA-Z_:][a-zA-Z0-9_:]* for metrics, without ':' for labels. */
int prom_name_valid(struct weir_str, int is_metric);

/* How a name that is not valid is escaped for a reader who takes no UTF-8 names (content negotiation, `escaping`). */
#define PROM_ESCAPE_UNDERSCORES 0
#define PROM_ESCAPE_DOTS 1
#define PROM_ESCAPE_VALUES 2
#define PROM_ESCAPE_UTF8 3 /* not at all */
/* Into buf, which has room for prom_escaped_cap(n); valid names are copied. Returns the length. */
size_t prom_escape_name(struct weir_str, int scheme, int is_metric, char *buf);
static inline size_t prom_escaped_cap(size_t n) { return 10 * n + 4; }

/* Backslash, newline and, if quote, `"` behind a backslash. buf has room for 2 * n. Returns the length. */
size_t prom_escape_text(struct weir_str, int quote, char *buf);

/* A hash of a series: family name and labels, by SipHash (plugins/kit/hash.h). seed: drawn at random where the place in a table matters, as labels come from outside. */
uint64_t prom_hash(uint64_t seed, struct weir_str name, const struct prom_label *, size_t n);

#endif
