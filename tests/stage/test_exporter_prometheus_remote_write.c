/* The prometheus_remote_write exporter: what it sends, read by protobuf-c, and what it makes of every kind of answer. */
#include "remote_write_fixture.h"

#define COUNTER "{\"name\":\"requests\",\"description\":\"How many.\",\"sum\":{\"isMonotonic\":true,\"aggregationTemporality\":2,\"dataPoints\":[{" TIME ",\"asInt\":\"7\"}]}}"
#define GAUGE "{\"name\":\"heat\",\"unit\":\"Cel\",\"gauge\":{\"dataPoints\":[{" TIME ",\"asDouble\":21.5,\"attributes\":[{\"key\":\"room.name\",\"value\":{\"stringValue\":\"a\"}}]}]}}"
#define HISTOGRAM "{\"name\":\"took\",\"unit\":\"s\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" TIME ",\"count\":\"6\",\"sum\":4.5,\"bucketCounts\":[\"1\",\"2\",\"3\"],\"explicitBounds\":[0.5,10]," \
  "\"exemplars\":[{\"timeUnixNano\":\"1700000001000000000\",\"asDouble\":0.75,\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0102030405060708\"}]}]}}"
#define NATIVE "{\"name\":\"size\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" TIME ",\"count\":\"6\",\"sum\":4.5,\"scale\":3,\"zeroCount\":\"1\",\"positive\":{\"offset\":-2,\"bucketCounts\":[\"1\",\"0\",\"4\"]}}]}}"
#define SUMMARY "{\"name\":\"rpc\",\"summary\":{\"dataPoints\":[{" TIME ",\"count\":\"3\",\"sum\":9,\"quantileValues\":[{\"quantile\":0.5,\"value\":2}]}]}}"
#define STALE "{\"name\":\"gone\",\"gauge\":{\"dataPoints\":[{" TIME ",\"flags\":1}]}}"
#define DELTA "{\"name\":\"delta\",\"sum\":{\"isMonotonic\":true,\"aggregationTemporality\":1,\"dataPoints\":[{" TIME ",\"asInt\":\"7\"},{" TIME ",\"asInt\":\"8\"}]}}"

static void same_text(const char *got, const char *want) {
  if (strcmp(got, want) != 0) fail_msg("got:\n%s\nexpected:\n%s", got, want);
}

/* --- what is sent ---------------------------------------------------------------------------------------------------------- */

static void every_kind_of_metric_as_1_0(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "");
  send_ok(&f, COUNTER "," GAUGE "," HISTOGRAM "," NATIVE "," SUMMARY "," STALE);
  assert_string_equal(f.sink.path, "/api/v1/write");
  assert_string_equal(f.sink.method, "POST");
  assert_int_equal(f.n, 1);
  assert_int_equal(f.v2[0], 0);
  same_text(f.requests[0],
    LABELS("requests_total") SCOPE "} 7 @1700000001500\n"
    LABELS("heat_celsius") SCOPE ",room_name=\"a\"} 21.5 @1700000001500\n"
    LABELS("took_seconds_bucket") ",job=\"shop\",le=\"0.5\",otel_scope_name=\"s\"} 1 @1700000001500\n"
    LABELS("took_seconds_bucket") ",job=\"shop\",le=\"10\",otel_scope_name=\"s\"} 3 @1700000001500 # {span_id=\"0102030405060708\",trace_id=\"0102030405060708090a0b0c0d0e0f10\"} 0.75 @1700000001000\n"
    LABELS("took_seconds_bucket") ",job=\"shop\",le=\"+Inf\",otel_scope_name=\"s\"} 6 @1700000001500\n"
    LABELS("took_seconds_sum") SCOPE "} 4.5 @1700000001500\n"
    LABELS("took_seconds_count") SCOPE "} 6 @1700000001500\n"
    LABELS("size") SCOPE "} histogram count=6 sum=4.5 schema=3 zero=1 +-1:3 1 -1 4 @1700000001500\n"
    LABELS("rpc") SCOPE ",quantile=\"0.5\"} 2 @1700000001500\n"
    LABELS("rpc_sum") SCOPE "} 9 @1700000001500\n"
    LABELS("rpc_count") SCOPE "} 3 @1700000001500\n"
    LABELS("gone") SCOPE "} stale @1700000001500\n");
  tear_down(&f);
}

static void as_2_0_with_metadata_and_start(void **state) {
  (void)state;
  static const char *const written[] = { "5/1" };
  struct fixture f;
  set_up(&f, V2 ", disable_scope_info: true, external_labels: {zone: east}");
  f.written = written;
  send_ok(&f, COUNTER "," GAUGE "," NATIVE "," SUMMARY);
  assert_int_equal(f.v2[0], 1);
  same_text(f.requests[0],
    LABELS("requests_total") ",job=\"shop\",zone=\"east\"} 7 @1700000001500 since 1700000000000 # 1 How many.\n"
    LABELS("heat_celsius") ",job=\"shop\",room_name=\"a\",zone=\"east\"} 21.5 @1700000001500 # 2 \n"
    LABELS("size") ",job=\"shop\",zone=\"east\"} histogram count=6 sum=4.5 schema=3 zero=1 +-1:3 1 -1 4 @1700000001500 since 1700000000000 # 3 \n"
    LABELS("rpc") ",job=\"shop\",quantile=\"0.5\",zone=\"east\"} 2 @1700000001500 since 1700000000000 # 5 \n"
    LABELS("rpc_sum") ",job=\"shop\",zone=\"east\"} 9 @1700000001500 since 1700000000000 # 5 \n"
    LABELS("rpc_count") ",job=\"shop\",zone=\"east\"} 3 @1700000001500 since 1700000000000 # 5 \n");
  tear_down(&f);
}

static void explicit_histograms_with_custom_buckets(void **state) {
  (void)state;
  static const char *const written[] = { "0/1" };
  struct fixture f;
  set_up(&f, V2 ", disable_scope_info: true, convert_explicit_histograms_to_nhcb: true");
  f.written = written;
  send_ok(&f, HISTOGRAM);
  same_text(f.requests[0], LABELS("took_seconds") ",job=\"shop\"} histogram count=6 sum=4.5 schema=-53 zero=0 +0:3 1 1 1 <=0.5 <=10 @1700000001500 since 1700000000000 # 1 # 3 \n");
  tear_down(&f);
}

static void metadata_once_a_batch_on_demand(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "send_metadata: true, add_metric_suffixes: false, namespace: n");
  send_ok(&f, COUNTER "," COUNTER "," GAUGE);
  same_text(f.requests[0], "# n_requests 1  How many.\n# n_heat 2 celsius \n" LABELS("n_requests") SCOPE "} 7 @1700000001500\n" LABELS("n_requests") SCOPE "} 7 @1700000001500\n"
    LABELS("n_heat") SCOPE ",room_name=\"a\"} 21.5 @1700000001500\n");
  send_ok(&f, GAUGE);
  assert_non_null(strstr(f.requests[1], "# n_heat 2"));
  tear_down(&f);
}

/* target_info goes with what else a resource says; one that is older than what was sent of it stays away. */
static void target_info_never_goes_back(void **state) {
  (void)state;
  static const char *const times[] = { "3", "2", "3", "4" };
  static const int told[] = { 1, 0, 1, 1 };
  struct fixture f;
  set_up(&f, "external_labels: {zone: east}");
  for (int i = 0; i < 4; i++) {
    char json[600];
    snprintf(json, sizeof json, "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}},{\"key\":\"host.name\",\"value\":{\"stringValue\":\"h\"}}]},"
      "\"scopeMetrics\":[{\"metrics\":[{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"%s000000000\",\"asInt\":\"1\"}]}}]}]}]}", times[i]);
    struct weir_body *body;
    struct otlp_counts counts;
    struct weir_error err;
    assert_int_equal(otlp_json_decode(f.h->loop.pool, WEIR_METRICS, json, strlen(json), NULL, &body, &counts, &err), 0);
    harness_feed(f.h, harness_batch_bytes(f.h, WEIR_METRICS, body->p, body->n, NULL));
    body_free(body);
    harness_wait_done(f.h, (size_t)i + 1);
    assert_int_equal(strstr(f.requests[i], "{__name__=\"target_info\",host_name=\"h\",job=\"shop\",zone=\"east\"} 1 @") != NULL, told[i]);
  }
  tear_down(&f);
}

/* --- what is left out ----------------------------------------------------------------------------------------------------------- */

static void delta_is_left_out_and_counted(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "");
  const struct harness_done *d = post(&f, DELTA "," GAUGE);
  assert_int_equal(d->verdict.code, WEIR_DELIVERED);
  assert_int_equal(d->verdict.rejected, 2);
  assert_non_null(strstr(d->msg, "left out: delta (2)"));
  assert_true(harness_metric(f.h, "weir_exporter_prometheusremotewrite_dropped_points_total", "reason=\"delta\"") == 2);
  d = post(&f, DELTA); /* nothing is left: nothing is sent */
  assert_int_equal(d->verdict.code, WEIR_DELIVERED);
  assert_int_equal(d->verdict.rejected, 2);
  assert_int_equal(f.n, 1);
  d = post(&f, "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{\"asInt\":\"1\"}]}}");
  assert_non_null(strstr(d->msg, "no_time (1)"));
  tear_down(&f);
}

/* --- answers ---------------------------------------------------------------------------------------------------------------------- */

static void statuses(void **state) {
  (void)state;
  static const struct {
    uint32_t status;
    int code;
  } cases[] = { { 200, WEIR_DELIVERED }, { 204, WEIR_DELIVERED }, { 400, WEIR_REJECTED }, { 401, WEIR_REJECTED }, { 404, WEIR_REJECTED }, { 409, WEIR_REJECTED },
    { 422, WEIR_REJECTED }, { 429, WEIR_RETRY }, { 500, WEIR_RETRY }, { 501, WEIR_RETRY }, { 503, WEIR_RETRY }, { 599, WEIR_RETRY } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct fixture f;
    uint32_t status[] = { cases[i].status, 0 };
    set_up(&f, "");
    f.statuses = status;
    f.sink.retry_after = "7";
    f.sink.content_type = "text/plain; charset=utf-8";
    f.sink.answer = status[0] == 204 ? NULL : "out of order sample\n";
    f.sink.answer_n = status[0] == 204 ? 0 : 20;
    const struct harness_done *d = post(&f, GAUGE "," COUNTER);
    assert_int_equal(d->verdict.code, cases[i].code);
    assert_int_equal(d->verdict.rejected, 0);
    assert_true(d->verdict.retry_after_ns == (cases[i].code == WEIR_RETRY ? 7 * NS_PER_S : 0));
    if (cases[i].code != WEIR_DELIVERED) assert_non_null(strstr(d->msg, "out of order sample"));
    tear_down(&f);
  }
}

static void too_large_is_for_the_sender_to_halve(void **state) {
  (void)state;
  static const uint32_t status[] = { 413, 0 };
  struct fixture f;
  set_up(&f, "");
  f.statuses = status;
  const struct harness_done *d = post(&f, GAUGE);
  assert_int_equal(d->verdict.code, WEIR_REJECTED);
  assert_int_equal(d->verdict.too_large, 1);
  tear_down(&f);
}

static void success_without_counts_means_1_0(void **state) {
  (void)state;
  static const uint32_t silent[] = { 204, 0 }, unsupported[] = { 415, 0 };
  for (int i = 0; i < 2; i++) {
    struct fixture f;
    set_up(&f, V2 ", translation_strategy: NoTranslation");
    f.statuses = i ? unsupported : silent;
    send_ok(&f, "{\"name\":\"g.\\u00fc\",\"gauge\":{\"dataPoints\":[{" TIME ",\"asInt\":\"1\"}]}}");
    assert_int_equal(f.n, 2);
    assert_int_equal(f.v2[0], 1);
    assert_non_null(strstr(f.requests[0], "__name__=\"g.\u00fc\""));
    assert_int_equal(f.v2[1], 0); /* the same samples; UTF-8 names are of 2.0 */
    same_text(f.requests[1], LABELS("g") SCOPE "} 1 @1700000001500\n");
    send_ok(&f, GAUGE);
    assert_int_equal(f.n, 3);
    assert_int_equal(f.v2[2], 0); /* remembered */
    assert_true(harness_metric(f.h, "weir_exporter_prometheusremotewrite_fallbacks_total", NULL) == 1);
    tear_down(&f);
  }
}

static void counts_tell_what_was_not_written(void **state) {
  (void)state;
  static const char *const written[] = { "1", "0", "9999999999999999999999", "2", "x" };
  static const uint32_t status[] = { 200, 400, 400, 400, 500, 0 };
  struct fixture f;
  set_up(&f, V2);
  f.written = written;
  f.statuses = status;
  const struct harness_done *d = post(&f, GAUGE "," COUNTER); /* 200, 1 of 2 */
  assert_int_equal(d->verdict.code, WEIR_DELIVERED);
  assert_int_equal(d->verdict.rejected, 1);
  d = post(&f, GAUGE "," COUNTER); /* 400, none */
  assert_int_equal(d->verdict.code, WEIR_REJECTED);
  assert_int_equal(d->verdict.rejected, 0);
  d = post(&f, GAUGE "," COUNTER); /* 400, a count that is none */
  assert_int_equal(d->verdict.code, WEIR_REJECTED);
  send_ok(&f, GAUGE "," COUNTER); /* 400, and all are there: it refused exemplars */
  assert_int_equal(post(&f, GAUGE)->verdict.code, WEIR_RETRY); /* 500 with a count that is no number */
  assert_true(harness_metric(f.h, "otelcol_exporter_prometheusremotewrite_written_samples_total", NULL) == 3);
  tear_down(&f);
}

/* --- large batches ------------------------------------------------------------------------------------------------------------------- */

/* n points of as many series, `times` samples each in the order of time. */
static char *many(int n, int times) {
  struct text t = { NULL, 0, 0 };
  put(&t, "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[");
  for (int k = 0; k < times; k++)
    for (int i = 0; i < n; i++)
      put(&t, "%s{\"timeUnixNano\":\"17000000%02d000000000\",\"asInt\":\"%d\",\"attributes\":[{\"key\":\"i\",\"value\":{\"intValue\":\"%d\"}}]}", i || k ? "," : "", 10 + k, k, i);
  put(&t, "]}}");
  return t.p;
}

/* Each sample of many(n, times) exactly once, each series in its order. */
static void all_there_in_order(struct fixture *f, int from, int n, int times) {
  int *next = calloc((size_t)n, sizeof *next), seen = 0;
  assert_non_null(next);
  for (int r = from; r < f->n; r++)
    for (char *line = f->requests[r], *end; *line; line = end + 1) {
      int i, value;
      end = strchr(line, '\n');
      assert_int_equal(sscanf(line, "{__name__=\"g\",i=\"%d\",job=\"shop\",otel_scope_name=\"s\"} %d @", &i, &value), 2);
      assert_int_equal(value, next[i]++);
      seen++;
    }
  assert_int_equal(seen, n * times);
  free(next);
}

static void requests_are_bounded_and_series_stay_in_order(void **state) {
  (void)state;
  static const char *const keys[] = { "max_batch_size_bytes: 2000", "max_batch_size_bytes: 2000, max_batch_request_parallelism: 4", ("max_batch_size_bytes: 2000, " V2) };
  const char *written[MAX_REQUESTS];
  for (size_t i = 0; i < MAX_REQUESTS; i++) written[i] = "999";
  for (size_t k = 0; k < 3; k++) {
    struct fixture f;
    char *json = many(40, 5);
    set_up(&f, keys[k]);
    if (k == 2) f.written = written;
    send_ok(&f, json);
    assert_true(f.n > 3);
    for (int i = 0; i < f.n; i++) assert_true(f.sizes[i] <= 2000);
    all_there_in_order(&f, 0, 40, 5);
    free(json);
    tear_down(&f);
  }
}

/* A series that is larger than the limit is sent all the same, alone. */
static void a_series_is_not_cut(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "max_batch_size_bytes: 10");
  send_ok(&f, GAUGE "," COUNTER "," HISTOGRAM);
  assert_int_equal(f.n, 7);
  tear_down(&f);
}

static void what_was_accepted_is_not_sent_again(void **state) {
  (void)state;
  static const uint32_t status[MAX_REQUESTS] = { 200, 400, 503, 0 };
  struct fixture f;
  char *json = many(40, 1);
  set_up(&f, "max_batch_size_bytes: 1000, max_batch_request_parallelism: 1");
  f.statuses = status;
  const struct harness_done *d = post(&f, json);
  assert_int_equal(d->verdict.code, WEIR_RETRY);
  assert_int_equal(f.n, 3); /* those behind the one that failed wait for it */
  d = post(&f, json);
  assert_int_equal(d->verdict.code, WEIR_DELIVERED);
  assert_true(d->verdict.rejected > 0 && d->verdict.rejected < 40); /* what the first try had refused is still refused */
  for (int i = 3; i < f.n; i++) assert_true(strcmp(f.requests[i], f.requests[0]) != 0 && strcmp(f.requests[i], f.requests[1]) != 0);
  assert_string_equal(f.requests[3], f.requests[2]);
  int before = f.n;
  send_ok(&f, json); /* another batch that happens to be equal: it is sent whole */
  all_there_in_order(&f, before, 40, 1);
  free(json);
  tear_down(&f);
}

/* What an encoding remembers (target_info, sizes) may not change the next one of the same batch. */
static void a_batch_is_encoded_the_same_again(void **state) {
  (void)state;
  static const uint32_t status[] = { 503, 503, 200, 0 };
  static const char resource[] = "{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}},{\"key\":\"host.name\",\"value\":{\"stringValue\":\"h\"}}]},"
                                 "\"scopeMetrics\":[{\"metrics\":[{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"%d000000000\",\"asInt\":\"1\"}]}}]}]}";
  struct fixture f;
  struct weir_body *body;
  struct otlp_counts counts;
  struct weir_error err;
  char json[2000];
  int n = snprintf(json, sizeof json, "{\"resourceMetrics\":[");
  for (int i = 0; i < 3; i++) {
    if (i) json[n++] = ',';
    n += snprintf(json + n, sizeof json - (size_t)n, resource, 5 + i);
  }
  snprintf(json + n, sizeof json - (size_t)n, "]}");
  set_up(&f, "");
  f.statuses = status;
  assert_int_equal(otlp_json_decode(f.h->loop.pool, WEIR_METRICS, json, strlen(json), NULL, &body, &counts, &err), 0);
  for (size_t i = 0; i < 3; i++) {
    harness_feed(f.h, harness_batch_bytes(f.h, WEIR_METRICS, body->p, body->n, NULL));
    harness_wait_done(f.h, i + 1);
    same_text(f.requests[i], f.requests[0]);
  }
  assert_non_null(strstr(f.requests[0], "job=\"shop\"} 1 @5000"));
  body_free(body);
  tear_down(&f);
}

static void a_batch_waits_for_the_one_before(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "");
  f.sink.hold = 1;
  harness_feed(f.h, batch_of(&f, GAUGE));
  harness_feed(f.h, batch_of(&f, COUNTER));
  harness_sink_wait(&f.sink, 1);
  harness_run(f.h);
  assert_int_equal(f.n, 1);
  harness_sink_release(&f.sink);
  f.sink.hold = 0;
  harness_wait_done(f.h, 2);
  assert_non_null(strstr(f.requests[0], "heat"));
  assert_non_null(strstr(f.requests[1], "requests"));
  tear_down(&f);
}

static void a_back_end_that_is_not_there(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "");
  harness_sink_close(&f.sink);
  const struct harness_done *d = post(&f, GAUGE);
  assert_int_equal(d->verdict.code, WEIR_RETRY);
  harness_free(f.h);
}

/* --- configuration ------------------------------------------------------------------------------------------------------------------- */

static void refused_settings(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *why;
  } cases[] = {
    { "{}", "an endpoint must be specified" },
    { "{endpoint: prometheus:9090}", "is no URL" },
    { "{endpoint: 'http://h', wal: {directory: /x}}", "a write-ahead log is not supported" },
    { "{endpoint: 'http://h', include_metadata_keys: [x]}", "headers_setter" },
    { "{endpoint: 'http://h', compression: gzip}", "compression" },
    { "{endpoint: 'http://h', translation_strategy: NoTranslation}", "require remote write 2.0" },
    { "{endpoint: 'http://h', external_labels: {a: ''}}", "empty key or value" },
    { "{endpoint: 'http://h', max_batch_size_bytes: -1}", "max_batch_size_bytes" },
    { "{endpoint: 'http://h', protobuf_message: x}", "prometheus.WriteRequest" },
    { "{endpoint: 'http://h', resource_constant_labels: {included: [a]}, resource_to_telemetry_conversion: {enabled: true}}", "cannot configure both" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *text = harness_refused(&(struct harness_setup){ .role = WEIR_EXPORTER, .type = "prometheusremotewrite", .yaml = cases[i].yaml, .signal = WEIR_METRICS });
    if (!strstr(text, cases[i].why)) fail_msg("%s: %s", cases[i].yaml, text);
    free(text);
  }
}

static void the_http_block_goes_before(void **state) {
  (void)state;
  struct fixture f;
  char keys[200];
  memset(&f, 0, sizeof f);
  harness_sink_init(&f.sink);
  snprintf(keys, sizeof keys, "{http: {endpoint: 'http://127.0.0.1:%d/x', headers: {X-Scope-OrgID: t}}, endpoint: 'http://127.0.0.1:1/y'}", f.sink.port);
  f.sink.on_request = on_request;
  f.sink.arg = &f;
  f.h = harness_open(&(struct harness_setup){ .role = WEIR_EXPORTER, .type = "prometheus_remote_write", .yaml = keys, .signal = WEIR_METRICS });
  harness_sink_http(&f.sink, f.h);
  send_ok(&f, GAUGE);
  assert_string_equal(f.sink.path, "/x");
  harness_has_header(f.sink.headers, "x-scope-orgid", "t");
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_kind_of_metric_as_1_0),
    cmocka_unit_test(as_2_0_with_metadata_and_start),
    cmocka_unit_test(explicit_histograms_with_custom_buckets),
    cmocka_unit_test(metadata_once_a_batch_on_demand),
    cmocka_unit_test(target_info_never_goes_back),
    cmocka_unit_test(delta_is_left_out_and_counted),
    cmocka_unit_test(statuses),
    cmocka_unit_test(too_large_is_for_the_sender_to_halve),
    cmocka_unit_test(success_without_counts_means_1_0),
    cmocka_unit_test(counts_tell_what_was_not_written),
    cmocka_unit_test(requests_are_bounded_and_series_stay_in_order),
    cmocka_unit_test(a_series_is_not_cut),
    cmocka_unit_test(what_was_accepted_is_not_sent_again),
    cmocka_unit_test(a_batch_is_encoded_the_same_again),
    cmocka_unit_test(a_batch_waits_for_the_one_before),
    cmocka_unit_test(a_back_end_that_is_not_there),
    cmocka_unit_test(refused_settings),
    cmocka_unit_test(the_http_block_goes_before),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
