/* The prometheus exporter's page: forms, negotiation, methods and paths, what a reader without UTF-8 names gets, large pages in pieces. */
#include "prometheus_fixture.h"

#include "core/compress.h"

#define POINT(value) "{'timeUnixNano':'1000000000','asDouble':" value "}"
#define GAUGE(name, value) "{'name':'" name "','gauge':{'dataPoints':[" POINT(value) "]}}"

static void text_of_each_kind(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "");
  prom_metrics(&f, "{'name':'req','unit':'1','description':'all \\\\ \\n \\'q\\'','sum':{'aggregationTemporality':2,'isMonotonic':true,'dataPoints':[" POINT("3.5") "]}},"
                   "{'name':'temp','unit':'Cel','gauge':{'dataPoints':[" POINT("1e21") "]}},"
                   "{'name':'odd','metadata':[{'key':'prometheus.type','value':{'stringValue':'unknown'}}],'gauge':{'dataPoints':[" POINT("1") "]}},"
                   "{'name':'lat','unit':'s','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'6','sum':7,'bucketCounts':['1','2','3'],'explicitBounds':[0.5,10]}]}},"
                   "{'name':'exp','exponentialHistogram':{'aggregationTemporality':2,'dataPoints':[{'count':'2','sum':3,'scale':1,'positive':{'bucketCounts':['2']}}]}},"
                   "{'name':'sum','summary':{'dataPoints':[{'count':'2','sum':3,'quantileValues':[{'quantile':0.5,'value':1},{'quantile':1,'value':2}]}]}}");
  prom_page(&f, "",
    "# TYPE exp histogram\nexp_bucket{le=\"+Inf\"} 2\nexp_sum 3\nexp_count 2\n"
    "# TYPE lat_seconds histogram\nlat_seconds_bucket{le=\"0.5\"} 1\nlat_seconds_bucket{le=\"10\"} 3\nlat_seconds_bucket{le=\"+Inf\"} 6\nlat_seconds_sum 7\nlat_seconds_count 6\n"
    "# TYPE odd untyped\nodd 1\n"
    "# HELP req_total all \\\\ \\n \"q\"\n# TYPE req_total counter\nreq_total 3.5\n"
    "# TYPE sum summary\nsum{quantile=\"0.5\"} 1\nsum{quantile=\"1\"} 2\nsum_sum 3\nsum_count 2\n"
    "# TYPE temp_celsius gauge\ntemp_celsius 1e+21\n");
  prom_page(&f, OPENMETRICS, /* is not offered unless it is enabled */
    "# TYPE exp histogram\nexp_bucket{le=\"+Inf\"} 2\nexp_sum 3\nexp_count 2\n"
    "# TYPE lat_seconds histogram\nlat_seconds_bucket{le=\"0.5\"} 1\nlat_seconds_bucket{le=\"10\"} 3\nlat_seconds_bucket{le=\"+Inf\"} 6\nlat_seconds_sum 7\nlat_seconds_count 6\n"
    "# TYPE odd untyped\nodd 1\n"
    "# HELP req_total all \\\\ \\n \"q\"\n# TYPE req_total counter\nreq_total 3.5\n"
    "# TYPE sum summary\nsum{quantile=\"0.5\"} 1\nsum{quantile=\"1\"} 2\nsum_sum 3\nsum_count 2\n"
    "# TYPE temp_celsius gauge\ntemp_celsius 1e+21\n");
  prom_close(&f);
}

#define EXEMPLAR(value) "{'timeUnixNano':'1500000000','asDouble':" value ",'traceId':'0102030405060708090a0b0c0d0e0f10','spanId':'0102030405060708'}"
#define IDS "{span_id=\"0102030405060708\",trace_id=\"0102030405060708090a0b0c0d0e0f10\"}"

static void openmetrics_with_exemplars(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "enable_open_metrics: true, without_scope_info: true");
  prom_feed(&f, "{'resourceMetrics':[{'resource':{'attributes':[{'key':'service.name','value':{'stringValue':'s'}},{'key':'service.instance.id','value':{'stringValue':'i'}},"
                "{'key':'os','value':{'stringValue':'x'}}]},'scopeMetrics':[{'metrics':["
                "{'name':'req','unit':'By','description':'a \\'q\\'','sum':{'aggregationTemporality':2,'isMonotonic':true,'dataPoints':[{'asDouble':3,'exemplars':[" EXEMPLAR("2") "," EXEMPLAR("1") "]}]}},"
                "{'name':'g','gauge':{'dataPoints':[{'asInt':'1','exemplars':[" EXEMPLAR("1") "]}]}},"
                "{'name':'lat','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'1000000','sum':7,'bucketCounts':['1','2','3'],'explicitBounds':[0.5,10],"
                "'exemplars':[" EXEMPLAR("0.5") "," EXEMPLAR("0.1") "," EXEMPLAR("99") "]}]}},"
                "{'name':'neg','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'3','sum':7,'bucketCounts':['1','2'],'explicitBounds':[-1]}]}}]}]}]}");
  prom_page(&f, OPENMETRICS,
    "# TYPE g gauge\ng{instance=\"i\",job=\"s\"} 1.0\n"
    "# TYPE lat histogram\nlat_bucket{instance=\"i\",job=\"s\",le=\"0.5\"} 1 # " IDS " 0.5 1.5\nlat_bucket{instance=\"i\",job=\"s\",le=\"10.0\"} 3\n"
    "lat_bucket{instance=\"i\",job=\"s\",le=\"+Inf\"} 1000000 # " IDS " 99.0 1.5\nlat_sum{instance=\"i\",job=\"s\"} 7.0\nlat_count{instance=\"i\",job=\"s\"} 1000000\n"
    "# TYPE neg histogram\nneg_bucket{instance=\"i\",job=\"s\",le=\"-1.0\"} 1\nneg_bucket{instance=\"i\",job=\"s\",le=\"+Inf\"} 3\n"
    "# HELP req_bytes a \\\"q\\\"\n# TYPE req_bytes counter\n# UNIT req_bytes bytes\nreq_bytes_total{instance=\"i\",job=\"s\"} 3.0 # " IDS " 2.0 1.5\n"
    "# HELP target Target metadata\n# TYPE target info\ntarget_info{instance=\"i\",job=\"s\",os=\"x\"} 1.0\n# EOF\n");
  prom_close(&f);
}

/* A counter whose short name another family has, and one that does not end in _total, are of unknown type there. */
static void openmetrics_names_that_clash(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "enable_open_metrics: true, add_metric_suffixes: false");
  prom_metrics(&f, GAUGE("dup", "1") ",{'name':'dup_total','sum':{'aggregationTemporality':2,'isMonotonic':true,'dataPoints':[{'asDouble':3,'exemplars':[" EXEMPLAR("2") "]}]}},"
                                     "{'name':'c','sum':{'aggregationTemporality':2,'isMonotonic':true,'dataPoints':[" POINT("2") "]}}");
  prom_page(&f, OPENMETRICS, "# TYPE c unknown\nc 2.0\n# TYPE dup gauge\ndup 1.0\n# TYPE dup_total unknown\ndup_total 3.0\n# EOF\n");
  prom_close(&f);
}

static void an_empty_page(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "enable_open_metrics: true");
  prom_page(&f, "", "");
  prom_page(&f, OPENMETRICS, "# EOF\n");
  prom_close(&f);
}

/* --- content negotiation ------------------------------------------------------------------------------------------------------------ */

static const struct {
  const char *accept, *type;
} accepts[] = {
  { "", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
  { "*/*", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
  { "text/html, ,;;=,\"", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
  { "text/plain", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
  { "text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
  { "text/plain;version=1.0.0", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores" },
  { "text/plain;version=2.0.0", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
  { "Text/Plain; Version=\"1.0.0\"; escaping=allow-utf-8", "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8" },
  { "application/openmetrics-text", "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=underscores" },
  { "application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores" },
  { "application/openmetrics-text;version=1.0.0;escaping=dots", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots" },
  { "application/openmetrics-text;version=1.0.0;escaping=values,*/*;q=0.1", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values" },
  { "application/openmetrics-text;version=1.0.0;escaping=nonsense", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores" },
  { "application/openmetrics-text;version=2.0.0,text/plain;q=0.1", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
  { "application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.5", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
  { "application/openmetrics-text;version=1.0.0;q=0", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
  { "text/plain;version=1.0.0;q=0.5,application/openmetrics-text;version=1.0.0;q=0.5", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores" },
  /* Prometheus 2.42 and 3.5 */
  { "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores" },
  { "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8" },
  { "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" },
};

static void content_negotiation(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "enable_open_metrics: true");
  for (size_t i = 0; i < sizeof accepts / sizeof *accepts; i++) {
    struct harness_reply r;
    prom_get(&f, accepts[i].accept, &r);
    harness_has_header(r.headers, "content-type", accepts[i].type);
    harness_reply_done(&r);
  }
  prom_close(&f);
}

static void names_as_the_reader_wants_them(void **state) {
  (void)state;
  struct prom_fixture f;
  prom_open(&f, "translation_strategy: NoUTF8EscapingWithSuffixes, enable_open_metrics: true");
  prom_metrics(&f, "{'name':'a.b','sum':{'aggregationTemporality':2,'isMonotonic':true,'dataPoints':[{'asInt':'1','attributes':[{'key':'k.1','value':{'stringValue':'v\\'1'}},{'key':'ok','value':{'stringValue':'2'}}]}]}},"
                   "{'name':'with \\'quote','gauge':{'dataPoints':[{'asInt':'2'}]}}");
  prom_page(&f, "text/plain;version=1.0.0;escaping=allow-utf-8",
    "# TYPE \"a.b_total\" counter\n{\"a.b_total\",\"k.1\"=\"v\\\"1\",ok=\"2\"} 1\n# TYPE \"with \\\"quote\" gauge\n{\"with \\\"quote\"} 2\n");
  prom_page(&f, "", "# TYPE a_b_total counter\na_b_total{k_1=\"v\\\"1\",ok=\"2\"} 1\n# TYPE with__quote gauge\nwith__quote 2\n");
  prom_page(&f, "text/plain;version=1.0.0;escaping=dots",
    "# TYPE a_dot_b__total counter\na_dot_b__total{k_dot_1=\"v\\\"1\",ok=\"2\"} 1\n# TYPE with____quote gauge\nwith____quote 2\n");
  prom_page(&f, "text/plain;version=1.0.0;escaping=values",
    "# TYPE U__a_2e_b__total counter\nU__a_2e_b__total{U__k_2e_1=\"v\\\"1\",ok=\"2\"} 1\n# TYPE U__with_20__22_quote gauge\nU__with_20__22_quote 2\n");
  prom_page(&f, "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
    "# TYPE \"a.b\" counter\n{\"a.b_total\",\"k.1\"=\"v\\\"1\",ok=\"2\"} 1.0\n# TYPE \"with \\\"quote\" gauge\n{\"with \\\"quote\"} 2.0\n# EOF\n");
  prom_close(&f);
}

/* --- requests ------------------------------------------------------------------------------------------------------------------------ */

static void ask(struct prom_fixture *f, const char *method, const char *path, const struct weir_http_header *more, size_t n, struct harness_reply *r) {
  struct harness_http q = { .method = method, .path = path, .more = more, .n_more = n };
  memset(r, 0, sizeof *r);
  harness_send_http(&f->client, &q, r);
  harness_wait_reply(f->h, r);
}

static void methods_and_paths(void **state) {
  (void)state;
  struct prom_fixture f;
  struct harness_reply r;
  prom_open(&f, "");
  prom_metrics(&f, GAUGE("g", "1"));
  ask(&f, "HEAD", "/metrics", NULL, 0, &r);
  assert_int_equal(r.status, 200);
  assert_int_equal(r.n, 0);
  harness_has_header(r.headers, "content-length", "19");
  harness_reply_done(&r);
  ask(&f, "GET", "/metrics?debug=1", NULL, 0, &r);
  assert_int_equal(r.status, 200);
  harness_reply_done(&r);
  ask(&f, "GET", "/", NULL, 0, &r);
  assert_int_equal(r.status, 404);
  harness_reply_done(&r);
  ask(&f, "GET", "/metrics/", NULL, 0, &r);
  assert_int_equal(r.status, 404);
  harness_reply_done(&r);
  ask(&f, "POST", "/metrics", NULL, 0, &r);
  assert_int_equal(r.status, 405);
  harness_has_header(r.headers, "allow", "GET, HEAD");
  harness_reply_done(&r);
  prom_close(&f);
  prom_open(&f, "path: /other");
  ask(&f, "GET", "/metrics", NULL, 0, &r);
  assert_int_equal(r.status, 404);
  harness_reply_done(&r);
  prom_close(&f);
}

static void feed_many(struct prom_fixture *f, int from, int to, const char *rest) {
  char *points = malloc(60000);
  for (int i = from; i < to;) {
    size_t n = 0;
    points[0] = 0;
    for (int k = 0; k < 300 && i < to; k++, i++)
      n += (size_t)snprintf(points + n, 60000 - n, "%s{'timeUnixNano':'1000','asInt':'%d'%s,'attributes':[{'key':'i','value':{'intValue':'%d'}}]}", k ? "," : "", i, rest, i);
    prom_metrics(f, "{'name':'many','gauge':{'dataPoints':[%s]}}", points);
  }
  free(points);
}

static void gzip_in_pieces(void **state) {
  (void)state;
  struct prom_fixture f;
  struct harness_reply plain, r;
  struct weir_body *inflated = NULL;
  struct weir_error err = { 0 };
  struct weir_http_header gzip = { weir_str_of("accept-encoding"), weir_str_of("br;q=1.0, gzip;q=0.8, *;q=0.1") }, none = { weir_str_of("accept-encoding"), weir_str_of("gzip;q=0, *") };
  prom_open(&f, "");
  feed_many(&f, 0, 30000, "");
  prom_get(&f, "", &plain);
  assert_true(plain.n > 600000);
  ask(&f, "GET", "/metrics", &gzip, 1, &r);
  harness_has_header(r.headers, "content-encoding", "gzip");
  assert_true(r.n < plain.n / 4);
  if (compress_inflate(f.h->loop.pool, weir_str_of("gzip"), r.body, r.n, 4u << 20, 0, &inflated, &err)) fail_msg("%s", err.msg); /* one member: curl reads no more */
  assert_int_equal(inflated->n, plain.n);
  assert_memory_equal(inflated->p, plain.body, plain.n);
  body_free(inflated);
  harness_reply_done(&r);
  ask(&f, "GET", "/metrics", &none, 1, &r);
  assert_null(strstr(r.headers, "content-encoding"));
  assert_int_equal(r.n, plain.n);
  harness_reply_done(&r);
  harness_reply_done(&plain);
  prom_close(&f);
}

/* Series end, and others come, while a page is made. */
static void a_page_while_data_comes(void **state) {
  (void)state;
  struct prom_fixture f;
  struct harness_reply r = { 0 };
  struct harness_http q = { .method = "GET", .path = "/metrics" };
  prom_open(&f, "");
  feed_many(&f, 0, 30000, "");
  prom_metrics(&f, GAUGE("zz", "1"));
  harness_send_http(&f.client, &q, &r);
  for (int i = 0; !r.done && i < 30000; i += 3000) {
    loop_run_once(&f.h->loop);
    feed_many(&f, i, i + 3000, ",'flags':1");
  }
  harness_wait_reply(f.h, &r);
  assert_int_equal(r.status, 200);
  assert_non_null(strstr(r.body, "\nzz 1\n"));
  harness_reply_done(&r);
  feed_many(&f, 0, 30000, ",'flags':1");
  prom_page(&f, "", "# TYPE zz gauge\nzz 1\n");
  prom_close(&f);
}

static void scrapes_over_the_limit(void **state) {
  (void)state;
  struct prom_fixture f;
  struct harness_reply r[3];
  struct harness_http q = { .method = "GET", .path = "/metrics" };
  memset(r, 0, sizeof r);
  prom_open(&f, "max_concurrent_scrapes: 2");
  feed_many(&f, 0, 30000, "");
  for (int i = 0; i < 3; i++) harness_send_http(&f.client, &q, &r[i]);
  for (int i = 0; i < 3; i++) harness_wait_reply(f.h, &r[i]);
  int served = 0, refused = 0;
  for (int i = 0; i < 3; i++) {
    served += r[i].status == 200;
    refused += r[i].status == 503;
    if (r[i].status == 503) harness_has_header(r[i].headers, "retry-after", "1");
    harness_reply_done(&r[i]);
  }
  assert_int_equal(served, 2);
  assert_int_equal(refused, 1);
  assert_int_equal((int)harness_metric(f.h, "weir_exporter_prometheus_scrapes_total", "refused"), 1);
  prom_close(&f);
}

/* The process ends in the middle of a page. */
static void a_scrape_that_is_cut_off(void **state) {
  (void)state;
  struct prom_fixture f;
  struct harness_reply r = { 0 };
  struct harness_http q = { .method = "GET", .path = "/metrics" };
  prom_open(&f, "");
  feed_many(&f, 0, 30000, "");
  harness_send_http(&f.client, &q, &r);
  loop_run_once(&f.h->loop);
  loop_run_once(&f.h->loop);
  harness_drain(f.h); /* what runs is served to its end */
  harness_wait_reply(f.h, &r);
  assert_int_equal(r.status, 200);
  harness_reply_done(&r);
  prom_close(&f);
}

static void no_memory_for_a_page(void **state) {
  (void)state;
  struct harness_setup setup = { .role = WEIR_EXPORTER, .type = "prometheus", .yaml = "endpoint: 127.0.0.1:0", .signal = WEIR_METRICS, .budget_bytes = 1u << 20 };
  struct prom_fixture f = { .h = harness_open(&setup) };
  struct harness_reply r;
  harness_client_http(&f.client, f.h, harness_port());
  feed_many(&f, 0, 60000, "");
  ask(&f, "GET", "/metrics", NULL, 0, &r);
  assert_int_equal(r.status, 503);
  harness_has_header(r.headers, "retry-after", "1");
  harness_reply_done(&r);
  prom_close(&f);
}

static void settings_that_can_not_be(void **state) {
  (void)state;
  static const char *const cases[][2] = {
    { "{endpoint: 127.0.0.1:0, path: metrics}", "path: a path begins with /, got `metrics`" },
    { "{endpoint: 127.0.0.1:0, response_headers: {content-length: x}}", NULL },
    { "{endpoint: 127.0.0.1:0, cors: {allowed_origins: ['*a*']}}", NULL },
    { "{endpoint: nonsense}", "endpoint: `nonsense` is no address to listen on; write host:port, such as 127.0.0.1:4317, [::1]:4317, :4317 for all addresses, or unix:///path" },
    { "{endpoint: 127.0.0.1:0, tls: {cert_file: /nope.pem, key_file: /nope.key}}", "tls.cert_file: cert_file /nope.pem: No such file or directory" },
    { "{endpoint: 127.0.0.1:0, const_labels: {\"\": x}}", "const_labels: `` is no name for a label" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct harness_setup setup = { .role = WEIR_EXPORTER, .type = "prometheus", .yaml = cases[i][0], .signal = WEIR_METRICS };
    char *text = harness_refused(&setup);
    if (cases[i][1]) assert_string_equal(text, cases[i][1]);
    else assert_true(strncmp(text, "response_headers: ", 18) == 0 || strncmp(text, "cors.allowed_origins[0]: ", 25) == 0); /* the kit's words */
    free(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(text_of_each_kind),
    cmocka_unit_test(openmetrics_with_exemplars),
    cmocka_unit_test(openmetrics_names_that_clash),
    cmocka_unit_test(an_empty_page),
    cmocka_unit_test(content_negotiation),
    cmocka_unit_test(names_as_the_reader_wants_them),
    cmocka_unit_test(methods_and_paths),
    cmocka_unit_test(gzip_in_pieces),
    cmocka_unit_test(a_page_while_data_comes),
    cmocka_unit_test(scrapes_over_the_limit),
    cmocka_unit_test(a_scrape_that_is_cut_off),
    cmocka_unit_test(no_memory_for_a_page),
    cmocka_unit_test(settings_that_can_not_be),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
