/*
 * core/metrics.h - the process's own metrics and their Prometheus text form (exposition 0.0.4).
 *
 * A cell belongs to one writer; cells of the same name and labels are summed when rendered. `struct weir_cell` is the
 * cell of weir/metrics.h. Registering takes a lock; writing and reading values is relaxed atomics. [any]
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/metrics.h>

struct metrics;

#define METRIC_COUNTER 1
#define METRIC_GAUGE 2
#define METRIC_HISTOGRAM 3

struct weir_cell {
  _Atomic int64_t value; /* counter, gauge */
  struct metric_histogram *histogram;
  struct metric_family *family;
  struct weir_cell *next;
  char *labels;
  double scale; /* gauge and counter: shown as value * scale (1 unless set) */
};

struct metrics *metrics_new(void);
void metrics_free(struct metrics *);
/* Never NULL. labels as in the exposition, without braces; NULL = none. A second type for a name is a bug of ours (assert). */
struct weir_cell *metrics_cell(struct metrics *, int type, const char *name, const char *labels, const char *help,
  const double *bounds, size_t n_bounds);
/* Removes a gauge cell; the value of a counter or histogram cell is kept in the family's sum. NULL allowed. */
void metrics_release(struct metrics *, struct weir_cell *);
void metric_observe(struct weir_cell *, double v);
static inline void metric_add(struct weir_cell *c, int64_t d) { atomic_fetch_add_explicit(&c->value, d, memory_order_relaxed); }
/* As metric_add, where no other thread writes this cell: a plain store, as a locked add costs 5 ns. */
static inline void metric_add_own(struct weir_cell *c, int64_t d) {
  atomic_store_explicit(&c->value, atomic_load_explicit(&c->value, memory_order_relaxed) + d, memory_order_relaxed);
}
static inline void metric_put(struct weir_cell *c, int64_t v) { atomic_store_explicit(&c->value, v, memory_order_relaxed); }
/* Called before each rendering, for gauges that are read rather than written (queue size, memory). */
void metrics_on_scrape(struct metrics *, weir_fn_f *, void *arg);
/* The whole page, malloc'ed, NUL-terminated; caller frees. legacy = names without `_total`. */
char *metrics_render(struct metrics *, size_t *ret_n, int legacy);
/* Escapes a label value into buf (backslash, quote, newline). Returns buf. */
const char *metrics_escape(const char *value, char *buf, size_t cap);

#endif
