/*
 * The prometheus exporter: a page that Prometheus scrapes, of what arrived last.
 *
 *   exporters:
 *     prometheus: {endpoint: 127.0.0.1:8889, enable_open_metrics: true}
 *
 * Keys and defaults are the Collector's (contrib, exporter/prometheusexporter). There is one instance on one lane, whose state is one table of series:
 * docs/design/prometheus.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/hash.h"
#include "prometheus.h"

#define EXPIRE_AT_ONCE 10000u /* series that one step removes */

static const struct weir_field conversion_fields[] = {
  { "enabled", WEIR_T_BOOL, 0, offsetof(struct prometheus_config, resource_to_telemetry.enabled), "false", NULL, NULL, NULL, NULL,
    "Whether all resource attributes become labels of every series.", NULL, 0 },
  { "exclude_service_attributes", WEIR_T_BOOL, 0, offsetof(struct prometheus_config, resource_to_telemetry.exclude_service_attributes), "false", NULL, NULL, NULL, NULL,
    "Without service.name, service.namespace and service.instance.id, which are in job and instance already.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field constant_fields[] = {
  { "included", WEIR_T_STRINGS, 0, offsetof(struct prometheus_config, resource_constant.included), NULL, NULL, NULL, NULL, NULL,
    "Keys, in which `*` stands for anything. Empty, with something excluded: all others.", NULL, 0 },
  { "excluded", WEIR_T_STRINGS, 0, offsetof(struct prometheus_config, resource_constant.excluded), NULL, NULL, NULL, NULL, NULL, "Keys that are left out, whatever `included` says.", NULL, 0 },
  WEIR_FIELD_END,
};

#define AT(field) offsetof(struct prometheus_config, field)
static const struct weir_field fields[] = {
  { "endpoint", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, AT(endpoint), NULL, NULL, NULL, NULL, NULL,
    "The address to listen on: host:port, :port for all addresses, or unix:///path. By custom port 8889.", NULL, 0 },
  { "path", WEIR_T_STRING, WEIR_NONEMPTY, AT(path), "/metrics", NULL, NULL, NULL, NULL, "The path of the page; other paths are answered 404, other methods than GET and HEAD 405. A key of weir's own.", NULL, 0 },
  { "namespace", WEIR_T_STRING, 0, AT(name_space), NULL, NULL, NULL, NULL, NULL, "Put before the name of every metric, with `_`.", NULL, 0 },
  { "const_labels", WEIR_T_MAP, 0, AT(const_labels), NULL, NULL, NULL, NULL, NULL,
    "Labels of every series. A label of the same name that the data brings wins.", NULL, 0 },
  { "send_timestamps", WEIR_T_BOOL, 0, AT(send_timestamps), "false", NULL, NULL, NULL, NULL,
    "Whether samples carry the time of their data point. Prometheus then takes no staleness from the scrape.", NULL, 0 },
  { "metric_expiration", WEIR_T_DURATION, 0, AT(metric_expiration), "5m", "1ms", NULL, NULL, NULL, "How long a series without new data points stays on the page.", NULL, 0 },
  { "enable_open_metrics", WEIR_T_BOOL, 0, AT(enable_open_metrics), "false", NULL, NULL, NULL, NULL,
    "Whether readers who ask for OpenMetrics get it, with exemplars on counters and histograms; else they get the text format.", NULL, 0 },
  { "add_metric_suffixes", WEIR_T_BOOL, 0, AT(add_metric_suffixes), "true", NULL, NULL, NULL, NULL,
    "Whether names get their unit and `_total`. Without effect beside translation_strategy, which replaces it.", NULL, 0 },
  { "translation_strategy", WEIR_T_ENUM, 0, AT(translation_strategy), NULL, NULL, NULL,
    "UnderscoreEscapingWithSuffixes|UnderscoreEscapingWithoutSuffixes|NoUTF8EscapingWithSuffixes|NoTranslation", NULL,
    "How names are made: escaped to [a-zA-Z0-9_:] or kept as they are, with or without the suffixes of unit and type. Kept names reach readers who ask for escaping=allow-utf-8; for others "
    "they are escaped on the page. Absent: as add_metric_suffixes says, escaped.", NULL, 0 },
  { "without_scope_info", WEIR_T_BOOL, 0, AT(without_scope_info), "false", NULL, NULL, NULL, NULL, "Whether series go without the labels otel_scope_name, otel_scope_version, otel_scope_schema_url and those of scope attributes.", NULL, 0 },
  { "resource_constant_labels", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "Which resource attributes become labels of every series, beside target_info.", constant_fields, 0 },
  { "resource_to_telemetry_conversion", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "The older way to say it; without effect beside resource_constant_labels.", conversion_fields, 0 },
  { "max_series", WEIR_T_UINT, 0, AT(max_series), "500000", "1", "100000000", NULL, "series",
    "How many series are held. Points of further ones are dropped (series_limit) until others expire. A histogram is one. A key of weir's own.", NULL, 0 },
  { "max_state_bytes", WEIR_T_BYTES, 0, AT(max_state_bytes), "256MiB", "64KiB", NULL, NULL, NULL,
    "How much memory series may take; then further ones are dropped (memory_limit). A key of weir's own.", NULL, 0 },
  { "max_label_bytes", WEIR_T_BYTES, 0, AT(max_label_bytes), "64KiB", "256", "16MiB", NULL, NULL,
    "How long the labels of one series may be, names and values together. Points over it are dropped (label_bytes). A key of weir's own.", NULL, 0 },
  { "max_concurrent_scrapes", WEIR_T_UINT, 0, AT(max_concurrent_scrapes), "8", "1", "1000", NULL, "scrapes",
    "How many pages are made at the same time; further requests are answered 503. A key of weir's own.", NULL, 0 },
  { "max_connections", WEIR_T_UINT, 0, AT(max_connections), "256", "1", "1000000", NULL, "connections", "How many connections are taken; more are closed at once. A key of weir's own.", NULL, 0 },
  { "read_header_timeout", WEIR_T_DURATION, 0, AT(read_header_timeout), "1m", "1ms", NULL, NULL, NULL, "How long a request's headers may take; then 408.", NULL, 0 },
  { "read_timeout", WEIR_T_DURATION, 0, AT(read_timeout), "0", "0", NULL, NULL, NULL, "How long a whole request may take; then 408. 0 = without limit.", NULL, 0 },
  { "write_timeout", WEIR_T_DURATION, 0, AT(write_timeout), "30s", "1ms", NULL, NULL, NULL, "How long an answer may make no progress before the connection is closed.", NULL, 0 },
  { "idle_timeout", WEIR_T_DURATION, 0, AT(idle_timeout), "1m", "0", NULL, NULL, NULL, "Closes a connection without requests after this time; 0 = never.", NULL, 0 },
  { "keep_alives_enabled", WEIR_T_BOOL, 0, AT(keep_alives_enabled), "true", NULL, NULL, NULL, NULL, "false: every answer ends its connection.", NULL, 0 },
  { "tls", WEIR_T_OPT_GROUP, 0, AT(tls), NULL, NULL, NULL, NULL, NULL, "Serve TLS; absent = plaintext.", tls_server_fields, sizeof(struct tls_settings) },
  { "auth", WEIR_T_OPT_GROUP, 0, AT(auth), NULL, NULL, NULL, NULL, NULL, "Who may scrape; absent = everybody.", kit_auth_server_fields, sizeof(struct kit_auth_config) },
  { "cors", WEIR_T_OPT_GROUP, 0, AT(cors), NULL, NULL, NULL, NULL, NULL, "Requests from pages of other origins in browsers. Preflights are answered 204 before authentication.", kit_cors_fields,
    sizeof(struct kit_cors_config) },
  KIT_RESPONSE_HEADERS_FIELD(AT(response_headers)),
  WEIR_FIELD_END,
};

/* --- data points ------------------------------------------------------------------------------------------------------------------------ */

static const char *const reasons[] = { "temporality", "delta_non_monotonic", "no_value", "name", "label_bytes", "histogram_bounds", "memory", "type_conflict", "out_of_order", "overlap",
  "series_limit", "memory_limit" };
#define N_REASONS (sizeof reasons / sizeof *reasons)

static void drop(struct exporter *e, uint64_t items, const char *why) {
  size_t i = 0;
  while (i < N_REASONS - 1 && strcmp(reasons[i], why) != 0) i++;
  e->metrics->add(e->dropped[i], (int64_t)items);
  e->walk.n_dropped += items;
  if (!e->walk.reason) e->walk.reason = reasons[i];
}

static void on_dropped(void *arg, const struct weir_metric *m, uint64_t items, const char *why) {
  (void)m;
  drop(arg, items, why);
}

static void remove_series(struct exporter *e, struct series *s) {
  if (e->scrapes) scrape_leave(e, s);
  table_remove(&e->table, s);
}

/* The family of a metric's points, looked up once for all of them. */
static struct family *family_of(struct exporter *e, const struct prom_family *f) {
  if (e->walk.metric != f->metric || !e->walk.family) {
    e->walk.metric = f->metric;
    e->walk.family = table_family(&e->table, f);
  }
  return e->walk.family;
}

static const char *room_for_series(const struct exporter *e) {
  if (e->table.n_series >= e->cfg->max_series) return "series_limit";
  return e->table.bytes >= e->cfg->max_state_bytes ? "memory_limit" : NULL;
}

static const char *take(struct exporter *e, struct family *f, const struct prom_label *l, size_t n, const struct weir_metric *m, const struct weir_point *pt) {
  uint64_t hash;
  int64_t now = e->host->now_mono_ns();
  struct series *s = table_find(&e->table, f, l, n, &hash);
  int is_new = !s;
  if (prom_is_stale(pt)) { /* the series ends: off the page at once */
    if (s) remove_series(e, s);
    return NULL;
  }
  const char *why = is_new ? room_for_series(e) : NULL;
  if (why) return why;
  if (is_new && !(s = table_add(&e->table, f, hash, l, n, now))) return "memory";
  if ((why = series_apply(e, s, m, pt, is_new))) {
    if (is_new) remove_series(e, s);
    return why;
  }
  table_touch(&e->table, s, now);
  return NULL;
}

/* Said of each point; the log limits itself. */
static void log_conflict(struct exporter *e, const struct prom_family *came, const struct family *held) {
  int n = (int)(came->name.n < 100 ? came->name.n : 100), n_held = (int)(held->n_name < 100 ? held->n_name : 100);
  if (held->type != came->type && held->n_name == came->name.n)
    e->host->log(e->stage, WEIR_LOG_WARN, "`%.*s` came as %s and is held as %s: its points are dropped", n, came->name.p, prom_type_name(came->type), prom_type_name(held->type));
  else
    e->host->log(e->stage, WEIR_LOG_WARN, "`%.*s` (%s) and `%.*s` (%s), which is held, would mix on the page: its points are dropped", n, came->name.p, prom_type_name(came->type), n_held,
      held->text, prom_type_name(held->type));
}

/* The family that is held in this one's place, or NULL. One that has series has had its place since the first. */
static const struct family *conflict(const struct exporter *e, const struct family *f, int type) {
  if (f->type != type) return f;
  return f->first ? NULL : table_clash(&e->table, f, e->cfg->enable_open_metrics);
}

static void on_point(void *arg, const struct prom_family *family, const struct prom_label *labels, size_t n, const struct weir_metric *m, const struct weir_point *pt) {
  struct exporter *e = arg;
  struct family *f = family_of(e, family);
  const struct family *held = f ? conflict(e, f, family->type) : NULL;
  const char *why = !f ? "memory" : held ? "type_conflict" : take(e, f, labels, n, m, pt);
  if (why) drop(e, 1, why);
  if (held) log_conflict(e, family, held);
}

/* One target_info for each job and instance, with the attributes that came last. As the Collector, only where both are known. */
static void on_target(void *arg, const struct prom_target *t) {
  struct exporter *e = arg;
  struct prom_label key[2];
  size_t n = 0;
  uint64_t hash;
  if (!t->has_job || !t->has_instance) return;
  for (size_t i = 0; i < t->n_labels && n < 2; i++)
    if (weir_str_eq(t->labels[i].name, weir_str_of("job")) || weir_str_eq(t->labels[i].name, weir_str_of("instance"))) key[n++] = t->labels[i];
  struct family *f = table_family(&e->table, t->family);
  if (!f || f->type != PROM_INFO) return;
  struct series *s = table_find_key(&e->table, f, key, n, &hash);
  if (s && !series_has_labels(s, t->labels, t->n_labels)) {
    remove_series(e, s);
    s = NULL;
  }
  if (!s && (room_for_series(e) || !(s = table_add(&e->table, f, hash, t->labels, t->n_labels, 0)))) return;
  s->v.number = 1;
  s->time_ns = t->time_unix_nano;
  table_touch(&e->table, s, e->host->now_mono_ns());
}

static void show_state(struct exporter *e) {
  e->metrics->add(e->held_series, (int64_t)e->table.n_series - e->shown_series);
  e->metrics->add(e->held_bytes, (int64_t)e->table.bytes - e->shown_bytes);
  e->shown_series = (int64_t)e->table.n_series;
  e->shown_bytes = (int64_t)e->table.bytes;
}

static void prometheus_consume(void *self, struct weir_batch *batch) {
  struct exporter *e = self;
  struct weir_error err;
  char text[160];
  struct weir_verdict v = { .code = WEIR_DELIVERED };
  const struct prom_visitor visitor = { e, on_point, on_target, on_dropped };
  const struct weir_data *data = e->host->batch_read(batch, &err);
  memset(&e->walk, 0, sizeof e->walk);
  if (data) {
    prom_walk(e->prom, data, &visitor);
    if (!e->scrapes) table_reap(&e->table);
    show_state(e);
  } else {
    v = (struct weir_verdict){ .code = WEIR_RETRY, .msg = err.msg };
  }
  if (e->walk.n_dropped) {
    snprintf(text, sizeof text, "%llu data points have no place on a Prometheus page (%s)", (unsigned long long)e->walk.n_dropped, e->walk.reason);
    v.rejected = e->walk.n_dropped;
    v.msg = text;
  }
  e->host->done(e->stage, batch, &v);
}

/* --- expiry ----------------------------------------------------------------------------------------------------------------------------------- */

static void on_expiry(void *arg) {
  struct exporter *e = arg;
  int64_t now = e->host->now_mono_ns(), limit = now - e->cfg->metric_expiration, wait = 0;
  uint64_t n = 0;
  while (e->table.oldest && e->table.oldest->updated_ns < limit && n < EXPIRE_AT_ONCE) {
    remove_series(e, e->table.oldest);
    n++;
  }
  e->metrics->add(e->expired, (int64_t)n);
  if (!e->scrapes) table_reap(&e->table);
  show_state(e);
  if (n < EXPIRE_AT_ONCE) wait = e->cfg->metric_expiration / 4 < 10000000000 ? e->cfg->metric_expiration / 4 + 1 : 10000000000;
  e->timers->set(e->expiry, wait);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------------------- */

static void prometheus_close(void *self) {
  struct exporter *e = self;
  if (!e) return;
  if (e->http) e->http->close(e->server);
  scrape_free_all(e);
  if (e->timers) {
    e->timers->timer_free(e->work);
    e->timers->timer_free(e->expiry);
  }
  kit_gate_close(&e->gate);
  table_done(&e->table);
  prom_free(e->prom);
  free(e);
}

static void make_cells(struct exporter *e) {
  const struct weir_metrics_service *m = e->metrics;
  char labels[256];
  const char *id = e->host->stage_id(e->stage);
  for (size_t i = 0; i < N_REASONS; i++) {
    snprintf(labels, sizeof labels, "exporter=\"%s\",reason=\"%s\"", id, reasons[i]);
    e->dropped[i] = m->counter(e->stage, "weir_exporter_prometheus_dropped_points_total", labels, "Data points that have no place on the page, by reason.");
  }
  for (int i = 0; i < 2; i++) {
    snprintf(labels, sizeof labels, "exporter=\"%s\",outcome=\"%s\"", id, i ? "refused" : "served");
    e->pages[i] = m->counter(e->stage, "weir_exporter_prometheus_scrapes_total", labels, "Requests for the page.");
  }
  snprintf(labels, sizeof labels, "exporter=\"%s\"", id);
  e->expired = m->counter(e->stage, "weir_exporter_prometheus_expired_series_total", labels, "Series that had no new data points for metric_expiration.");
  e->held_series = m->gauge(e->stage, "weir_exporter_prometheus_series", labels, "Series that are held; a histogram is one.");
  e->held_bytes = m->gauge(e->stage, "weir_exporter_prometheus_state_bytes", labels, "Memory that series take.");
  e->page_bytes = m->counter(e->stage, "weir_exporter_prometheus_scraped_bytes_total", labels, "Bytes of the pages served, as sent.");
}

/* What becomes a label of the resource: the newer group, or the older one in its words. */
static void choose_resource(const struct prometheus_config *c, struct prom_options *o) {
  static const char *const all[] = { "*" }, *const service[] = { "service.name", "service.namespace", "service.instance.id" };
  o->resource_included = c->resource_constant.included;
  o->resource_excluded = c->resource_constant.excluded;
  if (o->resource_included.n || o->resource_excluded.n || !c->resource_to_telemetry.enabled) return;
  o->resource_included = (struct weir_strings){ all, 1 };
  if (c->resource_to_telemetry.exclude_service_attributes) o->resource_excluded = (struct weir_strings){ service, 3 };
}

static int make_prom(struct exporter *e, struct weir_error *err) {
  const struct prometheus_config *c = e->cfg;
  int strategy = c->translation_strategy;
  struct prom_options o = {
    .add_metric_suffixes = strategy < 0 ? c->add_metric_suffixes : strategy == 0 || strategy == 2,
    .utf8_names = strategy >= 2,
    .scope_labels = !c->without_scope_info,
    .keep_delta = 1,
    .name_space = weir_str_of(c->name_space ? c->name_space : ""),
    .constant = c->const_labels,
    .max_label_bytes = c->max_label_bytes,
  };
  choose_resource(c, &o);
  return prom_new(&o, "const_labels", &e->prom, err);
}

static int check(const struct prometheus_config *cfg, struct weir_error *err) {
  if (cfg->path[0] != '/') return weir_fail_field(err, "path", "a path begins with /, got `%s`", cfg->path);
  int r = kit_http_check(cfg->cors, &cfg->response_headers, "", err);
  if (r && err->field[0] == '.') memmove(err->field, err->field + 1, strlen(err->field)); /* the keys stand at the top here */
  return r;
}

static int prometheus_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct prometheus_config *cfg = config;
  struct kit_hash_key key;
  int r = check(cfg, err);
  if (r) return r;
  struct exporter *e = calloc(1, sizeof *e);
  if (!e) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->host = host;
  e->stage = stage;
  e->cfg = cfg;
  e->http = host->service(stage, WEIR_HTTP_SERVICE);
  e->metrics = host->service(stage, WEIR_METRICS_SERVICE);
  e->timers = host->service(stage, WEIR_TIMER_SERVICE);
  r = e->http && e->metrics && e->timers ? 0 : weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that the prometheus exporter needs");
  if (!r) r = scrape_check(e, err);
  kit_hash_key_draw(&key);
  if (!r && table_init(&e->table, key.k[0])) r = weir_fail(err, WEIR_E_NOMEM, "no memory");
  if (!r) r = make_prom(e, err);
  if (!r) r = kit_gate_open(&e->gate, host, stage, cfg->auth, 0, "auth", "http", err);
  if (r) {
    prometheus_close(e);
    return r;
  }
  e->work = e->timers->timer_new(stage, scrape_step, e);
  e->expiry = e->timers->timer_new(stage, on_expiry, e);
  make_cells(e);
  *ret_self = e;
  return 0;
}

static int prometheus_start(void *self, struct weir_error *err) {
  struct exporter *e = self;
  int r = scrape_listen(e, err);
  if (!r) on_expiry(e);
  return r;
}

static void on_drained(void *arg) {
  struct exporter *e = arg;
  e->host->drained(e->stage);
}

static void prometheus_drain(void *self) {
  struct exporter *e = self;
  e->http->drain(e->server, on_drained, e);
}

static int prometheus_need(void *self) {
  (void)self;
  return WEIR_NEED_RECORDS;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_METRICS,
  .flags = WEIR_ONE_LANE,
  .name = "prometheus",
  .doc = "Serves metrics for Prometheus to scrape: the latest value of each series, in the text format or OpenMetrics, by content negotiation, with gzip. Delta sums and histograms are "
         "accumulated. Names, units, labels, job, instance and target_info follow OpenTelemetry's compatibility specification. What has no place on the page is counted by reason and told "
         "to the sender.",
  .example_yaml = "endpoint: 127.0.0.1:8889\nenable_open_metrics: true\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct prometheus_config),
  .open = prometheus_open,
  .start = prometheus_start,
  .consume = prometheus_consume,
  .drain = prometheus_drain,
  .close = prometheus_close,
  .need = prometheus_need,
};

WEIR_PLUGIN("prometheus exporter", "0.1.0", "Apache-2.0", &type);
