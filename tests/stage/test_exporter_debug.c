/* The debug exporter: the text of each verbosity for each signal, what is sampled, and where it goes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness_check.h"
#include "harness_message.h"

/* --- what is expected of harness_message.h ------------------------------------------------------------------------------------ */

static const char traces_basic[] = "Traces  resource spans: 1, spans: 2\n";

static const char traces_normal[] =
  "Traces  resource spans: 1, spans: 2\n"
  "ResourceSpans #0 service.name=shop\n"
  " ScopeSpans #0 lib@1.2 build=7\n"
  "  GET /a\\nFORGED trace=0102030405060708090a0b0c0d0e0fff span=01020304050607ab Server 1.500ms status=Error str=a \"b\"\\n\\x1b[31mé\\xff marks=\\x7f\\xc2\\x85\\xe2\\x80\\xa8\\xe2\\x80\\xae\\xc0\\x80\\xed\\xa0\\x80 bool=true int=-5 double=0.1 array=[1,true] map={\"k\":\"v\\t\"} bytes=00fe empty=\n"
  "  bare trace= span= Unspecified 0.000ms\n";

static const char traces_detailed[] = "Traces  resource spans: 1, spans: 2\n"
                                      "ResourceSpans #0\n"
                                      "Resource SchemaURL: https://s/1\n"
                                      "Resource attributes:\n"
                                      "     -> service.name: Str(shop)\n"
                                      "ScopeSpans #0\n"
                                      "ScopeSpans SchemaURL: https://s/2\n"
                                      "InstrumentationScope lib 1.2\n"
                                      "InstrumentationScope attributes:\n"
                                      "     -> build: Int(7)\n"
                                      "Span #0\n"
                                      "    Trace ID       : 0102030405060708090a0b0c0d0e0fff\n"
                                      "    Parent ID      : 706172656e746964\n"
                                      "    ID             : 01020304050607ab\n"
                                      "    Name           : GET /a\\nFORGED\n"
                                      "    Kind           : Server\n"
                                      "    TraceState     : vendor=1\n"
                                      "    Flags          : 0x101\n"
                                      "    Start time     : 2023-11-14 22:13:20 +0000 UTC\n"
                                      "    End time       : 2023-11-14 22:13:20.00150025 +0000 UTC\n"
                                      "    Status code    : Error\n"
                                      "    Status message : it broke\n"
                                      "    DroppedAttributesCount: 3\n"
                                      "    DroppedEventsCount: 4\n"
                                      "    DroppedLinksCount: 5\n"
                                      "Attributes:\n"
                                      "     -> str: Str(a \"b\"\\n\\x1b[31mé\\xff)\n"
                                      "     -> marks: Str(\\x7f\\xc2\\x85\\xe2\\x80\\xa8\\xe2\\x80\\xae\\xc0\\x80\\xed\\xa0\\x80)\n"
                                      "     -> bool: Bool(true)\n"
                                      "     -> int: Int(-5)\n"
                                      "     -> double: Double(0.1)\n"
                                      "     -> array: Slice([1,true])\n"
                                      "     -> map: Map({\"k\":\"v\\t\"})\n"
                                      "     -> bytes: Bytes(00fe)\n"
                                      "     -> empty: Empty()\n"
                                      "Events:\n"
                                      "SpanEvent #0\n"
                                      "     -> Name: exception\n"
                                      "     -> Timestamp: 2023-11-14 22:13:20.12 +0000 UTC\n"
                                      "     -> DroppedAttributesCount: 0\n"
                                      "     -> Attributes::\n"
                                      "          -> exception.type: Str(E)\n"
                                      "Links:\n"
                                      "SpanLink #0\n"
                                      "     -> Trace ID: 0102030405060708090a0b0c0d0e0fff\n"
                                      "     -> ID: 01020304050607ab\n"
                                      "     -> TraceState: s=1\n"
                                      "     -> DroppedAttributesCount: 2\n"
                                      "     -> Attributes::\n"
                                      "          -> n: Int(1)\n"
                                      "Span #1\n"
                                      "    Trace ID       : \n"
                                      "    Parent ID      : \n"
                                      "    ID             : \n"
                                      "    Name           : bare\n"
                                      "    Kind           : Unspecified\n"
                                      "    Start time     : 1970-01-01 00:00:00 +0000 UTC\n"
                                      "    End time       : 1970-01-01 00:00:00 +0000 UTC\n"
                                      "    Status code    : Unset\n"
                                      "    Status message : \n"
                                      "    DroppedAttributesCount: 0\n"
                                      "    DroppedEventsCount: 0\n"
                                      "    DroppedLinksCount: 0\n";

static const char logs_basic[] = "Logs  resource logs: 1, log records: 2\n";

static const char logs_normal[] = "Logs  resource logs: 1, log records: 2\n"
                                  "ResourceLog #0 service.name=shop\n"
                                  " ScopeLogs #0 lib@1.2 build=7\n"
                                  "  2023-11-14 22:13:20.000000005 +0000 UTC WARN disk.full disk is full\\nnow disk=sda\n"
                                  "  2023-11-14 22:13:20 +0000 UTC severity=9 \n";

static const char logs_detailed[] = "Logs  resource logs: 1, log records: 2\n"
                                    "ResourceLog #0\n"
                                    "Resource SchemaURL: https://s/1\n"
                                    "Resource attributes:\n"
                                    "     -> service.name: Str(shop)\n"
                                    "ScopeLogs #0\n"
                                    "ScopeLogs SchemaURL: https://s/2\n"
                                    "InstrumentationScope lib 1.2\n"
                                    "InstrumentationScope attributes:\n"
                                    "     -> build: Int(7)\n"
                                    "LogRecord #0\n"
                                    "ObservedTimestamp: 2023-11-14 22:13:21 +0000 UTC\n"
                                    "Timestamp: 2023-11-14 22:13:20.000000005 +0000 UTC\n"
                                    "SeverityText: WARN\n"
                                    "SeverityNumber: Warn(13)\n"
                                    "EventName: disk.full\n"
                                    "Body: Str(disk is full\\nnow)\n"
                                    "Attributes:\n"
                                    "     -> disk: Str(sda)\n"
                                    "Trace ID: 0102030405060708090a0b0c0d0e0fff\n"
                                    "Span ID: 01020304050607ab\n"
                                    "Flags: 1\n"
                                    "LogRecord #1\n"
                                    "ObservedTimestamp: 2023-11-14 22:13:20 +0000 UTC\n"
                                    "Timestamp: 1970-01-01 00:00:00 +0000 UTC\n"
                                    "SeverityText: \n"
                                    "SeverityNumber: Info(9)\n"
                                    "Body: Empty()\n"
                                    "Trace ID: \n"
                                    "Span ID: \n"
                                    "Flags: 0\n";

static const char metrics_basic[] = "Metrics  resource metrics: 1, metrics: 6, data points: 5\n";

static const char metrics_normal[] = "Metrics  resource metrics: 1, metrics: 6, data points: 5\n"
                                     "ResourceMetrics #0 service.name=shop\n"
                                     " ScopeMetrics #0 lib@1.2 build=7\n"
                                     "  cpu (1) Gauge 0.1 cpu=0\n"
                                     "  requests Sum 1234567.25 cpu=0\n"
                                     "  latency Histogram Count=6 Sum=1234567.25 Min=-1 Max=20 le0.5=1 le10=2 inf=3\n"
                                     "  sizes ExponentialHistogram Count=4 Sum=8 scale=-2 zero=1 buckets=1+2\n"
                                     "  old Summary Count=9 Sum=4.5 q0.99=2.5\n"
                                     "  nothing Empty without data points\n";

static const char metrics_detailed[] = "Metrics  resource metrics: 1, metrics: 6, data points: 5\n"
                                       "ResourceMetrics #0\n"
                                       "Resource SchemaURL: https://s/1\n"
                                       "Resource attributes:\n"
                                       "     -> service.name: Str(shop)\n"
                                       "ScopeMetrics #0\n"
                                       "ScopeMetrics SchemaURL: https://s/2\n"
                                       "InstrumentationScope lib 1.2\n"
                                       "InstrumentationScope attributes:\n"
                                       "     -> build: Int(7)\n"
                                       "Metric #0\n"
                                       "Descriptor:\n"
                                       "     -> Name: cpu\n"
                                       "     -> Description: How busy it is\n"
                                       "     -> Unit: 1\n"
                                       "     -> DataType: Gauge\n"
                                       "     -> Metadata:\n"
                                       "          -> origin: Str(test)\n"
                                       "NumberDataPoints #0\n"
                                       "Data point attributes:\n"
                                       "     -> cpu: Str(0)\n"
                                       "StartTimestamp: 2023-11-14 22:13:20 +0000 UTC\n"
                                       "Timestamp: 2023-11-14 22:13:21 +0000 UTC\n"
                                       "Flags: 1\n"
                                       "Value: 0.1\n"
                                       "Exemplars:\n"
                                       "Exemplar #0\n"
                                       "     -> Trace ID: 0102030405060708090a0b0c0d0e0fff\n"
                                       "     -> Span ID: 01020304050607ab\n"
                                       "     -> Timestamp: 2023-11-14 22:13:20 +0000 UTC\n"
                                       "     -> Value: 1.5\n"
                                       "     -> FilteredAttributes:\n"
                                       "          -> user: Str(u)\n"
                                       "Metric #1\n"
                                       "Descriptor:\n"
                                       "     -> Name: requests\n"
                                       "     -> Description: \n"
                                       "     -> Unit: \n"
                                       "     -> DataType: Sum\n"
                                       "     -> IsMonotonic: true\n"
                                       "     -> AggregationTemporality: Cumulative\n"
                                       "NumberDataPoints #0\n"
                                       "Data point attributes:\n"
                                       "     -> cpu: Str(0)\n"
                                       "StartTimestamp: 2023-11-14 22:13:20 +0000 UTC\n"
                                       "Timestamp: 2023-11-14 22:13:21 +0000 UTC\n"
                                       "Value: 1234567.25\n"
                                       "Metric #2\n"
                                       "Descriptor:\n"
                                       "     -> Name: latency\n"
                                       "     -> Description: \n"
                                       "     -> Unit: \n"
                                       "     -> DataType: Histogram\n"
                                       "     -> AggregationTemporality: Delta\n"
                                       "HistogramDataPoints #0\n"
                                       "StartTimestamp: 1970-01-01 00:00:00 +0000 UTC\n"
                                       "Timestamp: 2023-11-14 22:13:20 +0000 UTC\n"
                                       "Count: 6 Sum: 1234567.25 Min: -1 Max: 20\n"
                                       "ExplicitBounds #0: 0.5\n"
                                       "ExplicitBounds #1: 10\n"
                                       "Buckets #0, Count: 1\n"
                                       "Buckets #1, Count: 2\n"
                                       "Buckets #2, Count: 3\n"
                                       "Metric #3\n"
                                       "Descriptor:\n"
                                       "     -> Name: sizes\n"
                                       "     -> Description: \n"
                                       "     -> Unit: \n"
                                       "     -> DataType: ExponentialHistogram\n"
                                       "     -> AggregationTemporality: Cumulative\n"
                                       "ExponentialHistogramDataPoints #0\n"
                                       "StartTimestamp: 1970-01-01 00:00:00 +0000 UTC\n"
                                       "Timestamp: 2023-11-14 22:13:20 +0000 UTC\n"
                                       "Count: 4 Sum: 8\n"
                                       "Scale: -2\n"
                                       "Zero count: 1, threshold 0.25\n"
                                       "Negative bucket 0, Count: 3\n"
                                       "Positive bucket 1, Count: 1\n"
                                       "Positive bucket 2, Count: 2\n"
                                       "Metric #4\n"
                                       "Descriptor:\n"
                                       "     -> Name: old\n"
                                       "     -> Description: \n"
                                       "     -> Unit: \n"
                                       "     -> DataType: Summary\n"
                                       "SummaryDataPoints #0\n"
                                       "StartTimestamp: 1970-01-01 00:00:00 +0000 UTC\n"
                                       "Timestamp: 2023-11-14 22:13:20 +0000 UTC\n"
                                       "Count: 9\n"
                                       "Sum: 4.5\n"
                                       "QuantileValue #0: Quantile 0.99, Value 2.5\n"
                                       "Metric #5\n"
                                       "Descriptor:\n"
                                       "     -> Name: nothing\n"
                                       "     -> Description: \n"
                                       "     -> Unit: \n"
                                       "     -> DataType: Empty\n";

/* --- the stage --------------------------------------------------------------------------------------------------------------- */

static char output[] = "/tmp/weir-debug-XXXXXX";

static int make_output(void **state) {
  (void)state;
  int fd = mkstemp(output);
  assert_true(fd >= 0);
  close(fd);
  return 0;
}

static int remove_output(void **state) {
  (void)state;
  return unlink(output);
}

/* What was written since the last time. */
static char *written(void) {
  static char text[16384];
  FILE *f = fopen(output, "r");
  assert_non_null(f);
  size_t n = fread(text, 1, sizeof text - 1, f);
  text[n] = 0;
  fclose(f);
  assert_int_equal(truncate(output, 0), 0);
  return text;
}

static struct harness *open_debug(const char *keys, uint32_t signal) {
  char yaml[256];
  snprintf(yaml, sizeof yaml, "{output_paths: [%s]%s%s}", output, *keys ? ", " : "", keys);
  return harness_new(WEIR_EXPORTER, "debug", yaml, signal);
}

static char *text_of(const char *keys, uint32_t signal, const struct message *m) {
  struct harness_waiter w = { 0 };
  struct harness *h = open_debug(keys, signal);
  harness_feed(h, harness_batch_bytes(h, signal, m->p, m->n, &w));
  assert_int_equal(w.heard, 1);
  harness_done_is(h, WEIR_DELIVERED, NULL);
  harness_free(h);
  return written();
}

/* --- text ---------------------------------------------------------------------------------------------------------------------- */

static void each_verbosity_has_its_text(void **state) {
  (void)state;
  static const struct {
    uint32_t signal;
    const char *basic, *normal, *detailed;
  } cases[] = { { WEIR_TRACES, traces_basic, traces_normal, traces_detailed }, { WEIR_LOGS, logs_basic, logs_normal, logs_detailed },
    { WEIR_METRICS, metrics_basic, metrics_normal, metrics_detailed } };
  for (size_t i = 0; i < 3; i++) {
    struct message m = harness_every_field(cases[i].signal);
    assert_string_equal(text_of("", cases[i].signal, &m), cases[i].basic);
    assert_string_equal(text_of("verbosity: basic", cases[i].signal, &m), cases[i].basic);
    assert_string_equal(text_of("verbosity: normal", cases[i].signal, &m), cases[i].normal);
    assert_string_equal(text_of("verbosity: detailed", cases[i].signal, &m), cases[i].detailed);
  }
}

static void an_empty_batch_is_a_line(void **state) {
  (void)state;
  static const struct message none = { .n = 0 };
  assert_string_equal(text_of("verbosity: detailed", WEIR_LOGS, &none), "Logs  resource logs: 0, log records: 0\n");
}

static void a_batch_that_cannot_be_read_is_told_and_delivered(void **state) {
  (void)state;
  static const char bad_span[] = { 0x0a, 0x06, 0x12, 0x04, 0x12, 0x02, 0x0a, 0x7f }; /* its envelope is well-formed */
  struct harness *h = open_debug("verbosity: normal", WEIR_TRACES);
  struct weir_body *body = body_new(h->loop.pool, sizeof bad_span);
  struct part *part = NULL;
  struct weir_error err;
  memcpy(body->p, bad_span, sizeof bad_span);
  body->n = sizeof bad_span;
  assert_int_equal(part_from_otlp(h->loop.pool, WEIR_TRACES, body, body->p, body->n, WEIR_VALIDATE_ENVELOPE, 0, NULL, &part, &err), 0);
  harness_feed(h, batch_of_part(&h->loop, part));
  harness_done_is(h, WEIR_DELIVERED, NULL);
  harness_contains(written(), "a batch of 1 items cannot be read: resource_spans.scope_spans.spans: ");
  harness_free(h);
}

/* --- sampling -------------------------------------------------------------------------------------------------------------------- */

/* Feeds batches of 1, 2, 3 ... spans in one second; which of them were written, as digits. */
static const char *sampled(struct harness *h, uint32_t n) {
  static char digits[32];
  size_t at = 0;
  for (uint32_t i = 1; i <= n; i++) {
    harness_feed(h, harness_batch(h, i, NULL));
    harness_done_is(h, WEIR_DELIVERED, NULL); /* also when it is not written */
  }
  for (char *line = written(), *spans; (spans = strstr(line, "spans: ")); line = spans + 1) {
    if (!strncmp(spans - 9, "resource", 8)) continue;
    at += (size_t)snprintf(digits + at, sizeof digits - at, "%d", atoi(spans + 7));
  }
  digits[at] = 0;
  return digits;
}

static void the_first_of_each_second_and_then_every_nth(void **state) {
  (void)state;
  struct harness *h = open_debug("sampling_initial: 2, sampling_thereafter: 3", WEIR_TRACES);
  assert_string_equal(sampled(h, 9), "1258");
  harness_advance(h, 999 * NS_PER_MS);
  assert_string_equal(sampled(h, 2), "2"); /* the tenth and the eleventh of the same second */
  harness_advance(h, 1 * NS_PER_MS);
  assert_string_equal(sampled(h, 4), "12");
  harness_free(h);
}

static void without_a_step_all_are_written(void **state) {
  (void)state;
  static const char *const keys[] = { "", "sampling_thereafter: 0", "sampling_initial: 0, sampling_thereafter: 1",
    "sampling_initial: 5, sampling_thereafter: 9" };
  for (size_t i = 0; i < 4; i++) {
    struct harness *h = open_debug(keys[i], WEIR_TRACES);
    assert_string_equal(sampled(h, 5), "12345");
    harness_free(h);
  }
}

/* --- where it goes ----------------------------------------------------------------------------------------------------------------- */

static void text_is_appended_to_every_output(void **state) {
  (void)state;
  char yaml[256], second[] = "/tmp/weir-debug-XXXXXX", got[256] = "";
  int fd = mkstemp(second);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "before\n", 7), 7);
  snprintf(yaml, sizeof yaml, "output_paths: [%s, %s]", second, output);
  for (int i = 0; i < 2; i++) {
    struct harness *h = harness_new(WEIR_EXPORTER, "debug", yaml, WEIR_TRACES);
    harness_feed(h, harness_batch(h, 1, NULL));
    harness_free(h);
  }
  assert_true(pread(fd, got, sizeof got - 1, 0) > 0);
  assert_string_equal(got, "before\nTraces  resource spans: 1, spans: 1\nTraces  resource spans: 1, spans: 1\n");
  assert_string_equal(written(), got + 7);
  close(fd);
  unlink(second);
}

/* Feeds one span while `fd` is the output file. */
static void feed_with(int fd, const char *yaml) {
  fflush(stdout);
  int kept = dup(fd), out = open(output, O_WRONLY | O_APPEND);
  assert_true(kept >= 0 && out >= 0);
  dup2(out, fd);
  struct harness *h = harness_new(WEIR_EXPORTER, "debug", yaml, WEIR_TRACES);
  harness_feed(h, harness_batch(h, 1, NULL));
  harness_free(h);
  dup2(kept, fd);
  close(kept);
  close(out);
}

static void stdout_is_the_default_and_stderr_is_offered(void **state) {
  (void)state;
  feed_with(1, NULL);
  assert_string_equal(written(), "Traces  resource spans: 1, spans: 1\n");
  feed_with(2, "output_paths: [stderr]");
  assert_string_equal(written(), "Traces  resource spans: 1, spans: 1\n");
  feed_with(1, "output_paths: [stderr]"); /* on the terminal this time */
  assert_string_equal(written(), "");
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { "verbosity: verbose", "`verbosity`" },
    { "output_paths: [/nowhere/at/all]", "output_paths: cannot open /nowhere/at/all: No such file or directory" },
    { "output_paths: [stdout, stderr, stdout, stderr, stdout]", "output_paths: more than 4 outputs" },
    { "sampling_inital: 2", "did you mean `sampling_initial`?" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    harness_refuses(WEIR_EXPORTER, "debug", WEIR_TRACES, cases[i].yaml, cases[i].text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_verbosity_has_its_text),
    cmocka_unit_test(an_empty_batch_is_a_line),
    cmocka_unit_test(a_batch_that_cannot_be_read_is_told_and_delivered),
    cmocka_unit_test(the_first_of_each_second_and_then_every_nth),
    cmocka_unit_test(without_a_step_all_are_written),
    cmocka_unit_test(text_is_appended_to_every_output),
    cmocka_unit_test(stdout_is_the_default_and_stderr_is_offered),
    cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, make_output, remove_output);
}
