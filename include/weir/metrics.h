/*
 * weir/metrics.h - service "weir.metrics/1": a stage's own metrics, shown on the process's Prometheus endpoint.
 *
 * Each call makes a cell of this instance; cells with the same name and labels are summed at the scrape. Names are full
 * Prometheus names ("otelcol_receiver_accepted_spans_total"). Cells are written by their lane and read by anyone.
 */
#ifndef WEIR_METRICS_H
#define WEIR_METRICS_H

#include <weir/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_METRICS_SERVICE "weir.metrics/1"

struct weir_cell; /* freed by the host when the stage is closed */

struct weir_metrics_service {
  uint32_t size, reserved;
  /* `labels` is written as in the exposition: receiver="otlp",transport="grpc" (values escaped by the caller's choice of
   * plain ids); NULL = none. Never NULL. [control or lane] */
  struct weir_cell *(*counter)(struct weir_stage *, const char *name, const char *labels, const char *help);
  struct weir_cell *(*gauge)(struct weir_stage *, const char *name, const char *labels, const char *help);
  /* bounds are copied; ascending. */
  struct weir_cell *(*histogram)(struct weir_stage *, const char *name, const char *labels, const char *help,
    const double *bounds, size_t n_bounds);
  void (*add)(struct weir_cell *, int64_t delta); /* counters (delta >= 0) and gauges */
  void (*observe)(struct weir_cell *, double value);
};

#ifdef __cplusplus
}
#endif
#endif
