/*
 * Inside the prometheus exporter: its settings, the table of series, and scrapes under way.
 *
 * One instance on one lane, so nothing here is shared. Times are Unix nanoseconds where they come from points, `updated_ns` is on the clock of now_mono_ns.
 */
#ifndef EXPORTERS_PROMETHEUS_H
#define EXPORTERS_PROMETHEUS_H

#include <weir/http.h>
#include <weir/metrics.h>
#include <weir/stage.h>
#include <weir/timer.h>

#include "plugins/kit/auth.h"
#include "plugins/kit/http_server.h"
#include "plugins/kit/prom.h"
#include "plugins/kit/tls_config.h"

struct prometheus_config {
  const char *endpoint, *path, *name_space;
  struct weir_map const_labels;
  int32_t send_timestamps, enable_open_metrics, add_metric_suffixes, without_scope_info, translation_strategy; /* -1: as add_metric_suffixes says */
  int64_t metric_expiration;
  struct {
    int32_t enabled, exclude_service_attributes;
  } resource_to_telemetry;
  struct {
    struct weir_strings included, excluded;
  } resource_constant;
  uint64_t max_series, max_state_bytes, max_label_bytes, max_concurrent_scrapes, max_connections;
  int64_t read_timeout, read_header_timeout, write_timeout, idle_timeout;
  int32_t keep_alives_enabled;
  const struct tls_settings *tls;
  const struct kit_auth_config *auth;
  const struct kit_cors_config *cors;
  struct weir_map response_headers;
};

/* --- table.c: families, series, labels ------------------------------------------------------------------------------------------- */

/* A name and a value, held once for all series that have it. text: name="value", as the exposition has it. */
#define LABEL_ESCAPED 1u /* the escaped text stands behind the raw one */
#define LABEL_QUOTED 2u  /* the name is no legacy name: it is written as the reader wants it */
struct label {
  struct label *chain;
  uint32_t refs, hash, n_name, n_value, n_escaped, flags;
  char text[]; /* n_name + 3 + n_value bytes, then n_escaped */
};

struct bounds { /* shared by the histograms that have the same */
  uint32_t refs, n;
  double v[];
};

struct histogram {
  double sum;
  uint64_t count;
  struct bounds *bounds; /* counts has one more; NULL: neither */
  int has_sum;
  uint32_t reserved;
  uint64_t counts[];
};

struct summary {
  double sum;
  uint64_t count;
  uint32_t n, cap;
  struct weir_quantile v[]; /* each quantile once; room for cap */
};

/* What stands behind ` # `. at: the value, which tells the bucket. */
struct exemplar {
  struct exemplar *next;
  double at;
  uint64_t time_ns;
  uint32_t n_text, reserved;
  char text[];
};

struct series {
  struct series *chain;
  struct series *prev, *next;       /* of the family */
  struct series *older, *newer;     /* by updated_ns */
  struct family *family;
  uint64_t hash, start_ns, time_ns; /* of the value */
  int64_t updated_ns;
  union {
    double number;
    struct histogram *histogram; /* also PROM_NATIVE_HISTOGRAM: sum and count are what text has of it */
    struct summary *summary;
  } v;
  struct exemplar *exemplars;
  uint32_t n_labels, bytes; /* bytes: all that is its own */
  struct label *labels[];
};

struct family {
  struct family *chain;
  struct family *next_empty;
  struct series *first, *last;
  uint64_t hash;
  int type, is_empty_listed;
  uint32_t n_name, n_help, n_unit, bytes;
  char text[]; /* name, help, unit */
};

struct table {
  uint64_t seed;
  struct series **series;
  struct family **families;
  struct label **labels;
  size_t n_series, n_families, n_labels, cap_series, cap_families, cap_labels; /* caps: powers of two */
  struct series *oldest, *newest;
  struct family *empty; /* without series: freed by table_reap */
  uint64_t bytes;
};

int table_init(struct table *, uint64_t seed);
void table_done(struct table *);
/* The family of this name, made if need be. NULL: no memory. An empty one takes the type that comes. */
struct family *table_family(struct table *, const struct prom_family *);
/* The family of this name and end, if it has series. */
const struct family *table_held(const struct table *, const char *name, size_t n, const char *end);
/* The histogram or summary with series whose samples have this name: h for h_count. openmetrics: h_created is its too. */
const struct family *table_whole(const struct table *, const char *name, size_t n, int openmetrics);
/* The family with series whose samples this one, which has none, would mix with: one is part of the other. */
const struct family *table_clash(const struct table *, const struct family *, int openmetrics);
/* The series with these labels, or NULL; hash is for table_add. */
struct series *table_find(struct table *, struct family *, const struct prom_label *, size_t n, uint64_t *ret_hash);
/* The series of which these labels are the key, whatever else it has (target_info: one for each job and instance). */
struct series *table_find_key(struct table *, struct family *, const struct prom_label *key, size_t n_key, uint64_t *ret_hash);
int series_has_labels(const struct series *, const struct prom_label *, size_t n);
/* A new one, without a value. NULL: no memory. */
struct series *table_add(struct table *, struct family *, uint64_t hash, const struct prom_label *, size_t n, int64_t now_ns);
void table_remove(struct table *, struct series *);
/* It has been updated: the last to expire. */
void table_touch(struct table *, struct series *, int64_t now_ns);
/* Frees families without series. Nobody may hold one. */
void table_reap(struct table *);
/* Memory that belongs to a series (its histogram, exemplars), counted. */
void *table_alloc(struct table *, struct series *, size_t n);
void table_release(struct table *, struct series *, void *p, size_t n);
struct bounds *table_bounds(struct table *, struct family *, const double *v, uint32_t n);
void table_bounds_put(struct table *, struct bounds *); /* NULL is allowed */
void table_clear_value(struct table *, struct series *);
void table_clear_exemplars(struct table *, struct series *);

/* Counts of hostile points end at the largest; cumulated they must not fall. */
static inline uint64_t count_add(uint64_t a, uint64_t b) { return a + b < a ? UINT64_MAX : a + b; }

/* --- points.c: what a data point does to a series ---------------------------------------------------------------------------------- */

struct exporter;
/* NULL, or why the point has no place. */
const char *series_apply(struct exporter *, struct series *, const struct weir_metric *, const struct weir_point *, int is_new);
void series_exemplars(struct exporter *, struct series *, const struct weir_point *);

/* --- page.c: series as text ----------------------------------------------------------------------------------------------------------- */

#define FORMAT_TEXT 0 /* text/plain, 0.0.4 and 1.0.0 */
#define FORMAT_OPENMETRICS 1

struct page {
  const struct weir_http_service *http;
  struct weir_body *body; /* what is written so far */
  const struct table *table;
  int format, escaping, timestamps, failed;
  char *name; /* of the family that is under way, escaped; room for cap_name */
  size_t n_name, cap_name;
  int is_quoted, shows_exemplars;
};
void page_family(struct page *, const struct family *);
void page_series(struct page *, const struct series *);
void page_end(struct page *);
void page_done(struct page *);

/* --- negotiate.c, scrape.c --------------------------------------------------------------------------------------------------------------- */

/* What a reader wants. Pure. */
struct wanted {
  int format, escaping, gzip;
  char content_type[160];
};
void negotiate(const struct weir_http_request *, int openmetrics, struct wanted *ret);

struct scrape;
int scrape_listen(struct exporter *, struct weir_error *);
int scrape_check(const struct exporter *, struct weir_error *); /* the address and TLS, before the start */
void scrape_step(void *exporter);
/* A series is about to go: scrapes that stand on it move on. */
void scrape_leave(struct exporter *, const struct series *);
void scrape_free_all(struct exporter *);

struct exporter {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct prometheus_config *cfg;
  const struct weir_http_service *http;
  const struct weir_metrics_service *metrics;
  const struct weir_timer_service *timers;
  struct weir_http_server *server;
  struct kit_gate gate;
  struct weir_timer *work, *expiry;
  struct prom *prom;
  struct table table;
  struct scrape *scrapes; /* a ring: the next to work on */
  uint32_t n_scrapes;
  struct weir_cell *dropped[16], *expired, *held_series, *held_bytes, *pages[2], *page_bytes;
  int64_t shown_series, shown_bytes; /* what the gauges say */
  struct { /* the batch that is being taken */
    struct family *family;
    const struct weir_metric *metric;
    uint64_t n_dropped;
    const char *reason; /* of the first */
  } walk;
  struct { /* the answer to headers alone, until the next one */
    struct weir_http_header headers[3];
    struct weir_iov body;
    char text[400], challenge[160];
  } early;
};

#endif
