/*
 * prometheus_remote_write/series.h - series as bytes: prometheus.WriteRequest (remote write 1.0) and io.prometheus.write.v2.Request (2.0).
 *
 * A writer collects the series of one request. The labels of a data point are encoded once, in three runs around `__name__` and le or quantile,
 * so that each further series of the point (a histogram has a dozen) copies them. Order of calls, per data point:
 *
 *   rw_point(labels)  { rw_begin(name)  rw_sample | rw_histogram  rw_exemplar ...  rw_end() } ...
 *
 * Messages: proto files of prometheus/prometheus, as the two specifications print them. All times are milliseconds. Samples with value and times
 * are proto3 fields: what is 0 is left out. A failed allocation is told by rw_writer_failed. Threads: [lane] of the instance.
 */
#ifndef RW_SERIES_H
#define RW_SERIES_H

#include "plugins/kit/prom.h"
#include "symbols.h"

struct rw_counts {
  uint64_t items, series, samples, histograms, exemplars; /* items: data points */
};

#define RW_HINTS 64u

struct rw_writer {
  int v2; /* changed by rw_reset only */
  struct kit_bytes out;          /* encoded TimeSeries, and MetricMetadata of 1.0 */
  struct rw_symbols symbols;  /* 2.0 */
  struct kit_bytes labels;       /* of the current point, without __name__ and extra */
  size_t at_name, at_extra;   /* where those belong */
  struct kit_bytes name;         /* name and suffix joined */
  uint32_t hints[RW_HINTS][2], at_hint; /* references that stood at these places in the point before: most of them are the same again */
  int type;                   /* metadata of the current point's family, 2.0 */
  uint32_t help, unit;
  size_t begin;               /* of the series being written */
  struct rw_counts counts;
};

int rw_writer_init(struct rw_writer *, uint64_t key); /* 0, or WEIR_E_NOMEM */
void rw_writer_done(struct rw_writer *);
void rw_reset(struct rw_writer *, int v2); /* an empty request; memory is kept */
int rw_writer_failed(const struct rw_writer *);
/* The request's size: what is encoded so far. */
static inline size_t rw_size(const struct rw_writer *w) { return w->out.n + (w->v2 ? w->symbols.wire.n : 0); }
/* Copies the request's bytes, rw_size of them, to `to`. */
void rw_copy(const struct rw_writer *, char *to);

/* The labels of a point and, for 2.0, its family's metadata. extra: "le", "quantile" or "". A label of that name, or __name__, is left out. */
void rw_point(struct rw_writer *, const struct prom_family *, const struct prom_label *, size_t n, const char *extra);
void rw_begin(struct rw_writer *, struct weir_str name, const char *suffix, const struct prom_label *extra);
void rw_sample(struct rw_writer *, double value, int64_t time_ms, int64_t start_ms);
void rw_histogram(struct rw_writer *, const struct prom_native *, int64_t time_ms, int64_t start_ms);
/* A histogram with custom buckets (schema -53, 2.0 only): counts per bucket, one more than bounds. sum: as it stands in the message. */
void rw_custom_histogram(struct rw_writer *, const struct weir_histogram_point *, double sum, int64_t time_ms, int64_t start_ms);
void rw_exemplar(struct rw_writer *, const struct prom_label *, size_t n, double value, int64_t time_ms);
void rw_end(struct rw_writer *);

/* 1.0: what a family is. */
void rw_metadata(struct rw_writer *, const struct prom_family *);

#endif
