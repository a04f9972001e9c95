/* The prometheus exporter's table: the newest wins, deltas add up, series end and expire, limits, conflicts, hostile labels. */
#include "prometheus_fixture.h"

/* Times in seconds. */
static void sum(struct prom_fixture *f, int temporality, int start, int time, double value) {
  prom_metrics(f, "{'name':'c','sum':{'aggregationTemporality':%d,'isMonotonic':true,'dataPoints':[{'startTimeUnixNano':'%lld','timeUnixNano':'%lld','asDouble':%g}]}}", temporality,
    start * 1000000000LL, time * 1000000000LL, value);
}

static void counter_is(struct prom_fixture *f, const char *value) {
  char want[128];
  snprintf(want, sizeof want, "# TYPE c_total counter\nc_total %s\n", value);
  prom_page(f, "", want);
}

static void dropped(struct prom_fixture *f, const char *reason, int items) {
  char labels[64];
  snprintf(labels, sizeof labels, "reason=\"%s\"", reason);
  assert_int_equal((int)harness_metric(f->h, REJECTS, labels), items);
}

static void the_newest_wins(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  sum(&f, 2, 1, 10, 5);
  sum(&f, 2, 1, 20, 7);
  counter_is(&f, "7");
  sum(&f, 2, 1, 15, 6); /* late */
  counter_is(&f, "7");
  dropped(&f, "out_of_order", 1);
  assert_int_equal(f.waiter.verdict.rejected, 1);
  assert_string_equal(f.waiter.msg, "1 data points have no place on a Prometheus page (out_of_order)");
  sum(&f, 2, 1, 20, 8); /* again: replaced */
  counter_is(&f, "8");
  sum(&f, 2, 25, 30, 1); /* the program was started anew */
  counter_is(&f, "1");
  prom_close(&f);
}

static void a_gauge_without_time(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  prom_metrics(&f, "{'name':'g','gauge':{'dataPoints':[{'asInt':'1'}]}}");
  prom_metrics(&f, "{'name':'g','gauge':{'dataPoints':[{'asInt':'2'}]}}");
  prom_page(&f, "", "# TYPE g gauge\ng 2\n");
  prom_close(&f);
}

/* --- deltas: data model, "Delta-to-Cumulative", "Overlap" --------------------------------------------------------------------------- */

static void deltas_of_a_sum(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  sum(&f, 1, 0, 10, 5);
  sum(&f, 1, 10, 20, 2);
  counter_is(&f, "7");
  sum(&f, 1, 30, 40, 4); /* after a gap: goes on */
  counter_is(&f, "11");
  sum(&f, 1, 35, 50, 100); /* overlaps */
  counter_is(&f, "11");
  dropped(&f, "overlap", 1);
  sum(&f, 1, 30, 40, 4); /* sent twice */
  counter_is(&f, "11");
  dropped(&f, "overlap", 2);
  sum(&f, 1, 0, 60, 1); /* an unknown start */
  counter_is(&f, "12");
  prom_close(&f);
}

static void histogram(struct prom_fixture *f, int start, int time, const char *counts, const char *bounds) {
  prom_metrics(f, "{'name':'h','histogram':{'aggregationTemporality':1,'dataPoints':[{'startTimeUnixNano':'%d','timeUnixNano':'%d','count':'3','sum':1.5,'bucketCounts':%s,'explicitBounds':%s}]}}", start, time, counts, bounds);
}

static void deltas_of_a_histogram(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  histogram(&f, 1, 2, "['1','2']", "[1]");
  histogram(&f, 2, 3, "['3','0']", "[1]");
  prom_page(&f, "", "# TYPE h histogram\nh_bucket{le=\"1\"} 4\nh_bucket{le=\"+Inf\"} 6\nh_sum 3\nh_count 6\n");
  histogram(&f, 3, 4, "['1','1','1']", "[1,2]"); /* other bounds: begins anew */
  prom_page(&f, "", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 1.5\nh_count 3\n");
  histogram(&f, 4, 5, "[]", "[]");
  prom_page(&f, "", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 1.5\nh_count 3\n");
  prom_close(&f);
}

static void deltas_of_an_exponential_histogram(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  for (int i = 1; i < 4; i++)
    prom_metrics(&f, "{'name':'e','exponentialHistogram':{'aggregationTemporality':1,'dataPoints':[{'startTimeUnixNano':'%d','timeUnixNano':'%d','count':'2','sum':%d,'scale':%d}]}}", i, i + 1, i, i);
  prom_page(&f, "", "# TYPE e histogram\ne_bucket{le=\"+Inf\"} 6\ne_sum 6\ne_count 6\n");
  prom_close(&f);
}

static void what_can_not_be_accumulated(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  prom_metrics(&f, "{'name':'a','sum':{'aggregationTemporality':1,'dataPoints':[{'asInt':'1'},{'asInt':'2'}]}},{'name':'b','sum':{'dataPoints':[{'asInt':'1'}]}},{'name':'c','gauge':{'dataPoints':[{'asInt':'1'},{'timeUnixNano':'1'}]}}");
  prom_page(&f, "", "# TYPE c gauge\nc 1\n");
  dropped(&f, "delta_non_monotonic", 2);
  dropped(&f, "temporality", 1);
  dropped(&f, "no_value", 1);
  assert_int_equal(f.waiter.verdict.rejected, 4);
  prom_close(&f);
}

/* --- ends ------------------------------------------------------------------------------------------------------------------------------ */

static void a_point_without_recorded_value_ends_its_series(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "enable_open_metrics: true");
  prom_metrics(&f, "{'name':'g','gauge':{'dataPoints':[{'asInt':'1','attributes':[{'key':'a','value':{'stringValue':'x'}}]},{'asInt':'2'}]}}");
  prom_metrics(&f, "{'name':'g','gauge':{'dataPoints':[{'flags':1,'attributes':[{'key':'a','value':{'stringValue':'x'}}]},{'flags':1,'attributes':[{'key':'a','value':{'stringValue':'unknown'}}]}]}}");
  prom_page(&f, "", "# TYPE g gauge\ng 2\n");
  prom_metrics(&f, "{'name':'g','gauge':{'dataPoints':[{'flags':1}]}}");
  prom_page(&f, "", "");
  assert_int_equal((int)harness_metric(f.h, "weir_exporter_prometheus_series", NULL), 0);
  prom_close(&f);
}

static void series_expire(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "metric_expiration: 10s");
  prom_metrics(&f, "{'name':'a','gauge':{'dataPoints':[{'asInt':'1'}]}},{'name':'b','gauge':{'dataPoints':[{'asInt':'2'}]}}");
  harness_advance(f.h, 6 * NS_PER_S);
  prom_metrics(&f, "{'name':'b','gauge':{'dataPoints':[{'asInt':'3'}]}}");
  harness_advance(f.h, 4 * NS_PER_S + 1); /* no longer on the page, even before it is removed */
  harness_client_close(&f.client);
  harness_client_http(&f.client, f.h, harness_port());
  prom_page(&f, "", "# TYPE b gauge\nb 3\n");
  harness_advance(f.h, 3 * NS_PER_S);
  assert_int_equal((int)harness_metric(f.h, "weir_exporter_prometheus_series", NULL), 1);
  assert_int_equal((int)harness_metric(f.h, "weir_exporter_prometheus_expired_series_total", NULL), 1);
  harness_advance(f.h, 60 * NS_PER_S);
  assert_int_equal((int)harness_metric(f.h, "weir_exporter_prometheus_series", NULL), 0);
  prom_metrics(&f, "{'name':'a','sum':{'aggregationTemporality':2,'dataPoints':[{'asInt':'1'}]}}"); /* the name is free again, for another type */
  prom_close(&f);
}

/* --- conflicts: compatibility specification, "Metric Metadata" ---------------------------------------------------------------------------- */

static void a_name_of_two_types(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  prom_metrics(&f, "{'name':'x','description':'first','gauge':{'dataPoints':[{'asInt':'1'}]}},{'name':'x','description':'second','gauge':{'dataPoints':[{'asInt':'2','attributes':[{'key':'a','value':{'intValue':'1'}}]}]}},"
                   "{'name':'x','summary':{'dataPoints':[{'count':'1'},{'count':'2'}]}}");
  prom_page(&f, "", "# HELP x first\n# TYPE x gauge\nx 1\nx{a=\"1\"} 2\n");
  dropped(&f, "type_conflict", 2);
  prom_close(&f);
}

#define GAUGE(name) "{'name':'" name "','gauge':{'dataPoints':[{'asInt':'1'}]}}"
#define TOTAL(name) "{'name':'" name "','sum':{'aggregationTemporality':2,'isMonotonic':true,'dataPoints':[{'asInt':'1'}]}}"
#define HISTOGRAM(name) "{'name':'" name "','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'1','sum':1}]}}"
#define SUMMARY(name) "{'name':'" name "','summary':{'dataPoints':[{'count':'1','sum':1}]}}"
#define EXPONENTIAL(name) "{'name':'" name "','exponentialHistogram':{'aggregationTemporality':2,'dataPoints':[{'count':'1','sum':1,'zeroCount':'1'}]}}"

/* What the second metric loses beside the first. */
static void a_part_of_another(void **state) {
  (void)state;
  static const struct {
    const char *first, *second;
    int text, openmetrics;
  } t[] = {
    { HISTOGRAM("h"), GAUGE("h_count"), 1, 1 },
    { HISTOGRAM("h"), GAUGE("h_sum"), 1, 1 },
    { HISTOGRAM("h"), GAUGE("h_bucket"), 1, 1 },
    { HISTOGRAM("h"), HISTOGRAM("h_count"), 1, 1 },
    { HISTOGRAM("h"), GAUGE("h_created"), 0, 1 },
    { GAUGE("h_count"), HISTOGRAM("h"), 1, 1 },
    { GAUGE("h_bucket"), HISTOGRAM("h"), 1, 1 },
    { GAUGE("h_created"), HISTOGRAM("h"), 0, 1 },
    { EXPONENTIAL("h"), GAUGE("h_bucket"), 1, 1 },
    { GAUGE("h_count"), EXPONENTIAL("h"), 1, 1 },
    { SUMMARY("s"), GAUGE("s_sum"), 1, 1 },
    { GAUGE("s_count"), SUMMARY("s"), 1, 1 },
    { SUMMARY("s"), GAUGE("s_bucket"), 0, 0 },
    { SUMMARY("s"), GAUGE("s_created"), 0, 1 },
    { GAUGE("g"), GAUGE("g_count"), 0, 0 },
    { HISTOGRAM("h"), GAUGE("h_counts"), 0, 0 },
    { HISTOGRAM("h"), GAUGE("_count"), 0, 0 },
    { HISTOGRAM("h"), TOTAL("h_count"), 0, 0 }, /* h_count_total */
  };
  for (size_t i = 0; i < 2 * sizeof t / sizeof *t; i++) {
    struct prom_fixture f;
    int openmetrics = i % 2;
    prom_open(&f, openmetrics ? "enable_open_metrics: true" : "");
    prom_metrics(&f, "%s,%s", t[i / 2].first, t[i / 2].second);
    dropped(&f, "type_conflict", openmetrics ? t[i / 2].openmetrics : t[i / 2].text);
    prom_close(&f);
  }
}

static void a_part_of_another_until_that_has_gone(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "metric_expiration: 10s");
  prom_metrics(&f, HISTOGRAM("h") "," GAUGE("h_count"));
  assert_non_null(strstr(f.waiter.verdict.msg, "type_conflict"));
  prom_page(&f, "", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n");
  harness_advance(f.h, 60 * NS_PER_S);
  prom_metrics(&f, GAUGE("h_count") "," HISTOGRAM("h"));
  prom_page(&f, "", "# TYPE h_count gauge\nh_count 1\n");
  dropped(&f, "type_conflict", 2);
  prom_close(&f);
}

/* In OpenMetrics a counter x_total is named x, and x_created is its too. */
static void short_names_that_are_taken(void **state) {
  (void)state;
  static const char *const t[][2] = {
    { HISTOGRAM("h") "," TOTAL("h_count"), "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1.0\nh_count 1\n# TYPE h_count_total unknown\nh_count_total 1.0\n# EOF\n" },
    { TOTAL("x") "," GAUGE("x_created"), "# TYPE x_created gauge\nx_created 1.0\n# TYPE x_total unknown\nx_total 1.0\n# EOF\n" },
    { TOTAL("x") "," TOTAL("x_created"), "# TYPE x_created_total unknown\nx_created_total 1.0\n# TYPE x counter\nx_total 1.0\n# EOF\n" },
    { TOTAL("x") "," GAUGE("x"), "# TYPE x gauge\nx 1.0\n# TYPE x_total unknown\nx_total 1.0\n# EOF\n" },
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    struct prom_fixture f;
    prom_open(&f, "enable_open_metrics: true");
    prom_metrics(&f, "%s", t[i][0]);
    prom_page(&f, OPENMETRICS, t[i][1]);
    dropped(&f, "type_conflict", 0);
    prom_close(&f);
  }
}

#define RESOURCE(rest) "{'resource':{'attributes':[{'key':'service.name','value':{'stringValue':'s'}},{'key':'service.instance.id','value':{'stringValue':'i'}}" rest "]},'scopeMetrics':[{'metrics':[{'name':'g','gauge':{'dataPoints':[{'timeUnixNano':'1','asInt':'1'}]}}]}]}"

static void one_target_info_per_target(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "send_timestamps: true, const_labels: {env: test}, namespace: ns");
  prom_feed(&f, "{'resourceMetrics':[" RESOURCE(",{'key':'v','value':{'stringValue':'1'}}") "]}");
  prom_feed(&f, "{'resourceMetrics':[" RESOURCE(",{'key':'v','value':{'stringValue':'2'}},{'key':'w','value':{'stringValue':'3'}}") "]}");
  prom_page(&f, "", "# TYPE ns_g gauge\nns_g{env=\"test\",instance=\"i\",job=\"s\"} 1 0\n# HELP ns_target_info Target metadata\n# TYPE ns_target_info gauge\nns_target_info{instance=\"i\",job=\"s\",v=\"2\",w=\"3\"} 1\n");
  prom_close(&f);
}

static void resources_as_labels(void **state) {
  (void)state;
  static const char *const yaml[] = { "resource_to_telemetry_conversion: {enabled: true}", "resource_to_telemetry_conversion: {enabled: true, exclude_service_attributes: true}",
    "resource_constant_labels: {included: ['service.n*', v]}", "resource_constant_labels: {excluded: ['service.*']}, resource_to_telemetry_conversion: {enabled: true}" };
  static const char *const want[] = { "g{instance=\"i\",job=\"s\",service_instance_id=\"i\",service_name=\"s\",v=\"1\"} 1", "g{instance=\"i\",job=\"s\",v=\"1\"} 1",
    "g{instance=\"i\",job=\"s\",service_name=\"s\",v=\"1\"} 1", "g{instance=\"i\",job=\"s\",v=\"1\"} 1" };
  for (int i = 0; i < 4; i++) {
    struct prom_fixture f;
    struct harness_reply r;
    prom_open(&f, yaml[i]);
    prom_feed(&f, "{'resourceMetrics':[" RESOURCE(",{'key':'v','value':{'stringValue':'1'}}") "]}");
    prom_get(&f, "", &r);
    if (!strstr(r.body, want[i])) fail_msg("%s: %s", yaml[i], r.body);
    harness_reply_done(&r);
    prom_close(&f);
  }
}

static void timestamps_of_points(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "send_timestamps: true, enable_open_metrics: true");
  prom_metrics(&f, "{'name':'g','gauge':{'dataPoints':[{'timeUnixNano':'1700000000123456789','asInt':'1'}]}},{'name':'n','gauge':{'dataPoints':[{'asInt':'1'}]}}");
  prom_page(&f, "", "# TYPE g gauge\ng 1 1700000000123\n# TYPE n gauge\nn 1\n");
  prom_page(&f, OPENMETRICS, "# TYPE g gauge\ng 1.0 1700000000.123\n# TYPE n gauge\nn 1.0\n# EOF\n");
  prom_close(&f);
}

/* --- bounds ------------------------------------------------------------------------------------------------------------------------------- */

static void series_over_the_limit(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "max_series: 2");
  prom_metrics(&f, "{'name':'a','gauge':{'dataPoints':[{'asInt':'1'}]}},{'name':'b','gauge':{'dataPoints':[{'asInt':'2'}]}},{'name':'c','gauge':{'dataPoints':[{'asInt':'3'}]}}");
  prom_metrics(&f, "{'name':'b','gauge':{'dataPoints':[{'asInt':'4'}]}},{'name':'a','gauge':{'dataPoints':[{'flags':1}]}},{'name':'c','gauge':{'dataPoints':[{'asInt':'5'}]}}");
  prom_page(&f, "", "# TYPE b gauge\nb 4\n# TYPE c gauge\nc 5\n");
  dropped(&f, "series_limit", 1);
  prom_close(&f);
}

static void memory_over_the_limit(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "max_state_bytes: 64KiB");
#define BIG "{'asInt':'1','attributes':[{'key':'i','value':{'stringValue':'a value that takes some memory, number %d'}}]}"
  for (int i = 0; i < 250; i++) prom_metrics(&f, "{'name':'m','gauge':{'dataPoints':[" BIG "," BIG "]}}", 2 * i, 2 * i + 1);
  int held = (int)harness_metric(f.h, "weir_exporter_prometheus_series", NULL), bytes = (int)harness_metric(f.h, "weir_exporter_prometheus_state_bytes", NULL);
  assert_in_range(held, 20, 300);
  assert_in_range(bytes, 60000, 70000);
  dropped(&f, "memory_limit", 500 - held);
  harness_advance(f.h, 400 * NS_PER_S); /* all of it comes back */
  assert_in_range((int)harness_metric(f.h, "weir_exporter_prometheus_state_bytes", NULL), 0, 25000);
  prom_close(&f);
}

/* A million bytes in one label; newlines, quotes, backslashes, NUL: what is on the page is one line, escaped. */
static void hostile_labels(void **state) {
  (void)state;
  struct prom_fixture f;
  struct harness_reply r;
  size_t n = 1u << 20;
  char *json = malloc(n + 1000);
  prom_open(&f, "");
  int at = sprintf(json, "{'resourceMetrics':[{'scopeMetrics':[{'metrics':[{'name':'m','gauge':{'dataPoints':[{'asInt':'1','attributes':[{'key':'big','value':{'stringValue':'");
  memset(json + at, 'x', n);
  strcpy(json + at + n, "'}}]}]}}]}]}]}");
  prom_feed(&f, json);
  dropped(&f, "label_bytes", 1);
  free(json);
  prom_metrics(&f, "{'name':'m\\ninjected 1','description':'a\\nb','gauge':{'dataPoints':[{'asInt':'1','attributes':[{'key':'k\\'} 5\\n','value':{'stringValue':'a\\n\\'} 2\\nfake 3\\\\'}},{'key':'nul','value':{'stringValue':'x\\u0000y'}}]}]}}");
  prom_get(&f, "", &r);
  static const char want[] = "# HELP m_injected_1 a\\nb\n# TYPE m_injected_1 gauge\nm_injected_1{k_5_=\"a\\n\\\"} 2\\nfake 3\\\\\",nul=\"x\0y\"} 1\n";
  assert_int_equal(r.n, sizeof want - 1);
  assert_memory_equal(r.body, want, sizeof want - 1);
  harness_reply_done(&r);
  prom_close(&f);
}

static void a_hostile_histogram(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  prom_metrics(&f, "{'name':'h','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'3','bucketCounts':['1','2'],'explicitBounds':[1,2,3]}]}}");
  dropped(&f, "histogram_bounds", 1);
  prom_metrics(&f, "{'name':'h','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'18446744073709551615','sum':'NaN','bucketCounts':['18446744073709551615','2'],'explicitBounds':['Infinity']}]}}");
  prom_page(&f, "", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1.8446744073709552e+19\nh_sum NaN\nh_count 1.8446744073709552e+19\n");
  prom_close(&f);
}

/* OpenMetrics 1.0, "Histogram": _count if and only if there is a _sum. */
static void a_histogram_without_sum(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "enable_open_metrics: true");
  prom_metrics(&f, "{'name':'h','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'3','bucketCounts':['1','2'],'explicitBounds':[1]}]}},"
                   "{'name':'n','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'3','sum':1,'bucketCounts':['1','2'],'explicitBounds':[-1]}]}},"
                   "{'name':'x','exponentialHistogram':{'aggregationTemporality':2,'dataPoints':[{'count':'3','zeroCount':'3'}]}}");
  prom_page(&f, OPENMETRICS, "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 3\n# TYPE n histogram\nn_bucket{le=\"-1.0\"} 1\nn_bucket{le=\"+Inf\"} 3\n# TYPE x histogram\nx_bucket{le=\"+Inf\"} 3\n# EOF\n");
  prom_page(&f, "", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_count 3\n# TYPE n histogram\nn_bucket{le=\"-1\"} 1\nn_bucket{le=\"+Inf\"} 3\nn_sum 1\nn_count 3\n# TYPE x histogram\nx_bucket{le=\"+Inf\"} 3\nx_count 3\n");
  prom_close(&f);
}

static void a_count_below_the_buckets(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  prom_metrics(&f, "{'name':'d','histogram':{'aggregationTemporality':1,'dataPoints':[{'count':'2','sum':1,'bucketCounts':['1','2'],'explicitBounds':[1]},{'count':'4','sum':1,'bucketCounts':['1','2'],'explicitBounds':[1]}]}},"
                   "{'name':'m','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'2','sum':1,'bucketCounts':['18446744073709551615','2','1'],'explicitBounds':[1,2]}]}}");
  prom_page(&f, "", "# TYPE d histogram\nd_bucket{le=\"1\"} 2\nd_bucket{le=\"+Inf\"} 7\nd_sum 2\nd_count 7\n# TYPE m histogram\nm_bucket{le=\"1\"} 1.8446744073709552e+19\nm_bucket{le=\"2\"} 1.8446744073709552e+19\n"
                    "m_bucket{le=\"+Inf\"} 1.8446744073709552e+19\nm_sum 1\nm_count 1.8446744073709552e+19\n");
  prom_close(&f);
}

static void quantiles_that_stand_twice(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  prom_metrics(&f, "{'name':'s','summary':{'dataPoints':[{'count':'1','quantileValues':[{'quantile':0.9,'value':1},{'quantile':'NaN','value':2},{'quantile':0.5,'value':3},{'quantile':0.9,'value':4},{'quantile':'NaN','value':5},{'quantile':0.5,'value':6}]}]}}");
  prom_page(&f, "", "# TYPE s summary\ns{quantile=\"0.5\"} 3\ns{quantile=\"0.9\"} 1\ns{quantile=\"NaN\"} 2\ns_sum 0\ns_count 1\n");
  prom_metrics(&f, "{'name':'s','summary':{'dataPoints':[{'count':'2','quantileValues':[{'quantile':0.1,'value':1},{'quantile':0.2,'value':2},{'quantile':0.3,'value':3},{'quantile':0.4,'value':4},{'quantile':0.5,'value':5},{'quantile':0.6,'value':6}]}]}}");
  prom_page(&f, "", "# TYPE s summary\ns{quantile=\"0.1\"} 1\ns{quantile=\"0.2\"} 2\ns{quantile=\"0.3\"} 3\ns{quantile=\"0.4\"} 4\ns{quantile=\"0.5\"} 5\ns{quantile=\"0.6\"} 6\ns_sum 0\ns_count 2\n");
  prom_metrics(&f, "{'name':'s','summary':{'dataPoints':[{'count':'3'}]}}");
  prom_page(&f, "", "# TYPE s summary\ns_sum 0\ns_count 3\n");
  prom_close(&f);
}

/* Counters of the stage: in = out + dropped, which harness_free checks; what is dropped is the sum over the reasons. */
static void reasons_add_up(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "max_series: 1");
  prom_metrics(&f, "{'name':'a','gauge':{'dataPoints':[{'asInt':'1'},{},{'asInt':'1','attributes':[{'key':'','value':{}}]}]}},{'name':'','gauge':{'dataPoints':[{'asInt':'1'}]}},{'name':'b','gauge':{'dataPoints':[{'asInt':'1'}]}}");
  assert_int_equal((int)harness_metric(f.h, REJECTS, NULL), 4);
  assert_int_equal((int)harness_metric(f.h, "weir_stage_items_dropped_total", NULL), 4);
  assert_int_equal((int)harness_metric(f.h, "weir_stage_items_out_total", NULL), 1);
  prom_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_newest_wins),
    cmocka_unit_test(a_gauge_without_time),
    cmocka_unit_test(deltas_of_a_sum),
    cmocka_unit_test(deltas_of_a_histogram),
    cmocka_unit_test(deltas_of_an_exponential_histogram),
    cmocka_unit_test(what_can_not_be_accumulated),
    cmocka_unit_test(a_point_without_recorded_value_ends_its_series),
    cmocka_unit_test(series_expire),
    cmocka_unit_test(a_name_of_two_types),
    cmocka_unit_test(a_part_of_another),
    cmocka_unit_test(a_part_of_another_until_that_has_gone),
    cmocka_unit_test(short_names_that_are_taken),
    cmocka_unit_test(one_target_info_per_target),
    cmocka_unit_test(resources_as_labels),
    cmocka_unit_test(timestamps_of_points),
    cmocka_unit_test(series_over_the_limit),
    cmocka_unit_test(memory_over_the_limit),
    cmocka_unit_test(hostile_labels),
    cmocka_unit_test(a_hostile_histogram),
    cmocka_unit_test(a_histogram_without_sum),
    cmocka_unit_test(a_count_below_the_buckets),
    cmocka_unit_test(quantiles_that_stand_twice),
    cmocka_unit_test(reasons_add_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
