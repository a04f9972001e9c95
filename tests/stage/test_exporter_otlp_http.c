/* The otlp_http exporter: what it sends over HTTP, and what it makes of every kind of answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/compress.h"
#include "core/otlp.h"
#include "harness_check.h"
#include "harness_net.h"

#define DAY_NS (24 * 3600 * NS_PER_S)

struct fixture {
  struct harness *h;
  struct harness_sink sink;
};

/* Opened for the sink's address; nobody listens there yet. */
static void open_for(struct fixture *f, struct harness_setup s, const char *keys) {
  char yaml[512];
  harness_sink_init(&f->sink);
  snprintf(yaml, sizeof yaml, "{endpoint: 'http://127.0.0.1:%d'%s%s}", f->sink.port, *keys ? ", " : "", keys);
  s.role = WEIR_EXPORTER;
  s.type = "otlp_http";
  s.yaml = yaml;
  f->h = harness_open(&s);
}

static void set_up(struct fixture *f, const char *keys) {
  open_for(f, (struct harness_setup){ 0 }, keys);
  harness_sink_http(&f->sink, f->h);
}

static void tear_down(struct fixture *f) {
  harness_sink_close(&f->sink);
  harness_free(f->h);
}

/* Sends three records and waits for the verdict. */
static const struct harness_done *send_three(struct fixture *f) {
  size_t n = f->h->n_done + 1;
  harness_feed(f->h, harness_batch(f->h, 3, NULL));
  harness_wait_done(f->h, n);
  return &f->h->done[n - 1];
}

static void answer_with(struct fixture *f, uint32_t status, const char *type, const void *p, size_t n) {
  f->sink.status = status;
  f->sink.content_type = type;
  f->sink.answer = p;
  f->sink.answer_n = n;
}

/* --- what is sent ------------------------------------------------------------------------------------------------------- */

static void check_body(struct fixture *f, const char *encoding, const char *p, size_t n) {
  if (!encoding) {
    assert_int_equal(f->sink.n, n);
    assert_memory_equal(f->sink.body, p, n);
    return;
  }
  struct weir_body *plain = NULL;
  struct weir_error err;
  assert_int_equal(compress_inflate(f->h->loop.pool, weir_str_of(encoding), f->sink.body, f->sink.n, 1 << 20, 0, &plain, &err), 0);
  assert_int_equal(plain->n, n);
  assert_memory_equal(plain->p, p, n);
  body_free(plain);
}

static void each_signal_is_posted_to_its_path_as_it_came(void **state) {
  (void)state;
  static const struct {
    uint32_t signal;
    const char *path;
  } signals[] = { { WEIR_TRACES, "/v1/traces" }, { WEIR_METRICS, "/v1/metrics" }, { WEIR_LOGS, "/v1/logs" } };
  static const struct {
    const char *keys, *encoding;
  } compression[] = { { "", "gzip" }, { "compression: none", NULL }, { "compression: zstd", "zstd" }, { "compression: snappy", "snappy" },
    { "compression: deflate", "deflate" }, { "compression: zlib", "zlib" }, { "compression: x-snappy-framed", "x-snappy-framed" },
    { "compression: zstd, compression_params: {level: 11}", "zstd" }, { "compression_params: {level: 9}", "gzip" },
    { "compression: deflate, compression_params: {level: -1}", "deflate" } };
  for (size_t i = 0; i < 3 * sizeof compression / sizeof *compression; i++) {
    struct fixture f;
    struct harness_waiter w = { 0 };
    char address[32];
    uint32_t signal = signals[i % 3].signal;
    size_t n;
    char *p = harness_request(signal, 5, &n);
    open_for(&f, (struct harness_setup){ .signal = signal }, compression[i / 3].keys);
    harness_sink_http(&f.sink, f.h);
    harness_feed(f.h, harness_batch_bytes(f.h, signal, p, n, &w));
    assert_int_equal(w.heard, 0);
    harness_wait_done(f.h, 1);
    assert_string_equal(f.sink.method, "POST");
    assert_string_equal(f.sink.path, signals[i % 3].path);
    snprintf(address, sizeof address, "127.0.0.1:%d", f.sink.port);
    assert_string_equal(f.sink.authority, address);
    harness_has_header(f.sink.headers, "content-type", "application/x-protobuf");
    if (compression[i / 3].encoding)
      harness_has_header(f.sink.headers, "content-encoding", compression[i / 3].encoding);
    else
      assert_null(strstr(f.sink.headers, "content-encoding"));
    check_body(&f, compression[i / 3].encoding, p, n);
    harness_done_is(f.h, WEIR_DELIVERED, NULL);
    harness_run(f.h);
    assert_int_equal(w.heard, 1);
    free(p);
    tear_down(&f);
  }
}

static void headers_and_the_user_agent_are_sent(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "user_agent: me/1, headers: {X-Scope-OrgID: team a, Authorization: Bearer x}");
  send_three(&f);
  harness_has_header(f.sink.headers, "user-agent", "me/1");
  harness_has_header(f.sink.headers, "x-scope-orgid", "team a");
  harness_has_header(f.sink.headers, "authorization", "Bearer x");
  tear_down(&f);
  set_up(&f, "");
  send_three(&f);
  harness_has_header(f.sink.headers, "user-agent", "weir");
  tear_down(&f);
  set_up(&f, "headers: {User-Agent: other/2, Host: tenant.example}");
  send_three(&f);
  harness_has_header(f.sink.headers, "user-agent", "other/2");
  harness_has_header(f.sink.headers, "host", "tenant.example");
  assert_null(strstr(f.sink.headers, "weir"));
  tear_down(&f);
}

static void urls_may_have_paths_and_signals_their_own(void **state) {
  (void)state;
  static const struct {
    const char *yaml; /* %d: the port */
    uint32_t signal;
    const char *path;
  } cases[] = {
    { "endpoint: 'http://127.0.0.1:%d/'", WEIR_TRACES, "/v1/traces" },
    { "endpoint: 'http://127.0.0.1:%d/otlp'", WEIR_LOGS, "/otlp/v1/logs" },
    { "endpoint: 'http://127.0.0.1:%d/api/otlp/'", WEIR_METRICS, "/api/otlp/v1/metrics" },
    { "{endpoint: 'http://127.0.0.1:1', traces_endpoint: 'http://127.0.0.1:%d/t/in?key=1'}", WEIR_TRACES, "/t/in" },
    { "{endpoint: 'http://127.0.0.1:%d', traces_endpoint: 'http://127.0.0.1:1/t'}", WEIR_LOGS, "/v1/logs" },
    { "metrics_endpoint: 'http://127.0.0.1:%d'", WEIR_METRICS, "/" },
    { "logs_endpoint: 'http://127.0.0.1:%d/l/'", WEIR_LOGS, "/l/" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct fixture f;
    char yaml[256];
    const char *at = strstr(cases[i].yaml, "%d");
    harness_sink_init(&f.sink);
    snprintf(yaml, sizeof yaml, "%.*s%d%s", (int)(at - cases[i].yaml), cases[i].yaml, f.sink.port, at + 2);
    f.h = harness_new(WEIR_EXPORTER, "otlphttp", yaml, cases[i].signal); /* the type's other name */
    harness_sink_http(&f.sink, f.h);
    send_three(&f);
    harness_done_is(f.h, WEIR_DELIVERED, NULL);
    assert_string_equal(f.sink.path, cases[i].path);
    tear_down(&f);
  }
}

static void several_batches_are_under_way_at_once(void **state) {
  (void)state;
  struct fixture f;
  struct harness_waiter w[5] = { { 0 } };
  set_up(&f, "max_conns_per_host: 2"); /* the others wait for a connection */
  for (size_t i = 0; i < 5; i++) harness_feed(f.h, harness_batch(f.h, (uint32_t)i + 1, &w[i]));
  harness_wait_done(f.h, 5);
  harness_run(f.h);
  assert_int_equal(f.sink.n_requests, 5);
  for (size_t i = 0; i < 5; i++) {
    assert_int_equal(w[i].heard, 1);
    assert_int_equal(w[i].verdict.code, WEIR_DELIVERED);
  }
  tear_down(&f);
}

static void there_are_no_more_connections_than_allowed(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "max_conns_per_host: 1");
  f.sink.hold = 1;
  for (size_t i = 0; i < 3; i++) harness_feed(f.h, harness_batch(f.h, 3, NULL));
  harness_sink_wait(&f.sink, 1);
  harness_advance(f.h, NS_PER_S);
  assert_int_equal(f.sink.n_requests, 1); /* the others wait for it */
  f.sink.hold = 0;
  harness_sink_release(&f.sink);
  harness_wait_done(f.h, 3);
  assert_int_equal(f.sink.n_requests, 3);
  tear_down(&f);
}

/* --- answers -------------------------------------------------------------------------------------------------------------- */

static void each_status_is_a_verdict(void **state) {
  (void)state;
  static const struct {
    uint32_t status;
    int code, too_large;
    uint32_t grpc; /* what a client that waits hears */
  } cases[] = {
    { 200, WEIR_DELIVERED, 0, 0 },
    { 202, WEIR_DELIVERED, 0, 0 },
    { 204, WEIR_DELIVERED, 0, 0 },
    { 301, WEIR_REJECTED, 0, WEIR_GRPC_UNKNOWN },
    { 400, WEIR_REJECTED, 0, WEIR_GRPC_INVALID_ARGUMENT },
    { 401, WEIR_REJECTED, 0, WEIR_GRPC_UNAUTHENTICATED },
    { 403, WEIR_REJECTED, 0, WEIR_GRPC_PERMISSION_DENIED },
    { 404, WEIR_REJECTED, 0, WEIR_GRPC_UNIMPLEMENTED },
    { 408, WEIR_REJECTED, 0, WEIR_GRPC_UNKNOWN },
    { 413, WEIR_REJECTED, 1, WEIR_GRPC_UNKNOWN },
    { 429, WEIR_RETRY, 0, 0 },
    { 500, WEIR_REJECTED, 0, WEIR_GRPC_UNKNOWN },
    { 501, WEIR_REJECTED, 0, WEIR_GRPC_UNKNOWN },
    { 502, WEIR_RETRY, 0, 0 },
    { 503, WEIR_RETRY, 0, 0 },
    { 504, WEIR_RETRY, 0, 0 },
    { 505, WEIR_REJECTED, 0, WEIR_GRPC_UNKNOWN },
  };
  struct fixture f;
  set_up(&f, "");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[16];
    f.sink.status = cases[i].status;
    snprintf(text, sizeof text, "HTTP %u", cases[i].status);
    const struct harness_done *d = send_three(&f);
    harness_done_is(f.h, cases[i].code, cases[i].code == WEIR_DELIVERED ? NULL : text);
    assert_int_equal(d->verdict.too_large, cases[i].too_large);
    if (cases[i].code == WEIR_REJECTED) assert_int_equal(d->verdict.status, cases[i].grpc);
    assert_int_equal(d->verdict.retry_after_ns, 0);
    assert_int_equal(d->verdict.rejected, 0); /* all of it */
  }
  tear_down(&f);
}

static void retry_after_is_seconds_or_a_date(void **state) {
  (void)state;
  static const struct {
    const char *value;
    int64_t after_ns;
  } cases[] = {
    { "7", 7 * NS_PER_S },
    { "0", 0 },
    { "-5", 0 },
    { "7.5", 0 },
    { "soon", 0 },
    { "", 0 },
    { "99999999", DAY_NS }, /* not longer than a day, whatever is asked for */
    { "99999999999999999999999", DAY_NS },
    { "Tue, 14 Nov 2023 22:13:50 GMT", 30 * NS_PER_S },
    { "Tue, 14 Nov 2023 22:13:19 GMT", 0 }, /* has passed */
    { "Tuesday, 14-Nov-23 22:13:50 GMT", 30 * NS_PER_S }, /* the two obsolete forms of a date */
    { "Tue Nov 14 22:13:50 2023", 30 * NS_PER_S },
    { "Tue, 14 Nov 2023 22:13:50 GMT, more", 0 },
    { "Sat, 14 Nov 2099 22:13:50 GMT", DAY_NS },
    { "Tue, 14 Nov 2023 22:13:50", 0 },
  };
  static const uint32_t statuses[] = { 429, 502, 503, 504 };
  struct fixture f;
  set_up(&f, "");
  for (size_t i = 0; i < 4 * sizeof cases / sizeof *cases; i++) {
    f.sink.status = statuses[i % 4];
    f.sink.retry_after = cases[i / 4].value;
    const struct harness_done *d = send_three(&f);
    harness_done_is(f.h, WEIR_RETRY, "HTTP ");
    if (d->verdict.retry_after_ns != cases[i / 4].after_ns)
      fail_msg("Retry-After \"%s\" was read as %lld ns", cases[i / 4].value, (long long)d->verdict.retry_after_ns);
  }
  f.sink.status = 400;
  f.sink.retry_after = "7";
  assert_int_equal(send_three(&f)->verdict.retry_after_ns, 0);
  harness_done_is(f.h, WEIR_REJECTED, "HTTP 400");
  tear_down(&f);
}

static void what_the_back_end_says_is_in_the_message(void **state) {
  (void)state;
  struct fixture f;
  char status[256], longest[400];
  size_t n = rpc_status_make(WEIR_GRPC_INVALID_ARGUMENT, "bad span", -1, status, sizeof status);
  memset(longest, 'x', sizeof longest);
  set_up(&f, "");
  answer_with(&f, 400, "application/x-protobuf", status, n);
  send_three(&f);
  harness_done_is(f.h, WEIR_REJECTED, "HTTP 400: bad span");
  answer_with(&f, 503, "text/plain; charset=utf-8", "come back later", 15);
  send_three(&f);
  harness_done_is(f.h, WEIR_RETRY, "HTTP 503: come back later");
  answer_with(&f, 403, "application/json", "{\"message\":\"no\"}", 16);
  send_three(&f);
  harness_done_is(f.h, WEIR_REJECTED, "HTTP 403: no");
  answer_with(&f, 403, "application/json", "{\"error\":\"no\"}", 14); /* JSON, but no Status */
  send_three(&f);
  harness_done_is(f.h, WEIR_REJECTED, "HTTP 403: {\"error\":\"no\"}");
  answer_with(&f, 500, "application/octet-stream", "\xff\xfe", 2); /* no text, and no Status */
  send_three(&f);
  assert_string_equal(f.h->done[4].msg, "HTTP 500");
  answer_with(&f, 500, "text/html", longest, sizeof longest);
  send_three(&f);
  assert_true(strlen(f.h->done[5].msg) > 100);
  tear_down(&f);
}

/* Both are what servers say that speak TLS; Go's sends no type. */
static void text_without_a_type_is_in_the_message(void **state) {
  (void)state;
  static const char *const answers[][2] = {
    { "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", "HTTP 400: Client sent an HTTP request to an HTTPS server." },
    { "HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nuse https://\r\n", "HTTP 400: use https://" },
    { "HTTP/1.0 400 Bad Request\r\n\r\n\b\3\022\010bad span", "HTTP 400: bad span" } };
  struct fixture f;
  open_for(&f, (struct harness_setup){ 0 }, "");
  harness_sink_raw(&f.sink, f.h);
  for (size_t i = 0; i < 3; i++) {
    harness_feed(f.h, harness_batch(f.h, 3, NULL));
    harness_sink_raw_answer(&f.sink, answers[i][0]);
    harness_wait_done(f.h, i + 1);
    assert_string_equal(f.h->done[i].msg, answers[i][1]);
  }
  tear_down(&f);
}

static void json_is_sent_and_answered(void **state) {
  (void)state;
  static const char *const compression[] = { "encoding: json", "encoding: json, compression: none" };
  static const char answer[] = "{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"too \\\"old\\\"\"}}";
  static const char head[] = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\"";
  for (int i = 0; i < 2; i++) {
    struct fixture f;
    struct weir_body *plain = NULL;
    struct weir_error err;
    set_up(&f, compression[i]);
    answer_with(&f, 200, "application/json", answer, sizeof answer - 1);
    const struct harness_done *d = send_three(&f);
    harness_has_header(f.sink.headers, "content-type", "application/json");
    if (i == 0) assert_int_equal(compress_inflate(f.h->loop.pool, weir_str_of("gzip"), f.sink.body, f.sink.n, 1 << 20, 0, &plain, &err), 0);
    assert_memory_equal(i ? f.sink.body : plain->p, head, sizeof head - 1);
    harness_done_is(f.h, WEIR_DELIVERED, "too \"old\"");
    assert_int_equal(d->verdict.rejected, 2);
    body_free(plain);
    tear_down(&f);
  }
}

static void a_partial_success_is_passed_on(void **state) {
  (void)state;
  struct fixture f;
  struct harness_waiter w = { 0 };
  char answer[128];
  set_up(&f, "");
  answer_with(&f, 200, NULL, answer, otlp_response_make(2, "two were too old", answer, sizeof answer));
  harness_feed(f.h, harness_batch(f.h, 3, &w));
  harness_wait_done(f.h, 1);
  harness_run(f.h);
  harness_done_is(f.h, WEIR_DELIVERED, "two were too old");
  assert_int_equal(f.h->done[0].verdict.rejected, 2);
  assert_int_equal(w.verdict.rejected, 2);
  assert_true(harness_metric(f.h, "weir_stage_items_out_total", NULL) == 1);
  assert_true(harness_metric(f.h, "weir_stage_items_dropped_total", "reason=\"rejected\"") == 2);
  answer_with(&f, 200, NULL, answer, otlp_response_make(0, "old protocol", answer, sizeof answer)); /* a warning: all was taken */
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, "old protocol");
  assert_int_equal(f.h->done[1].verdict.rejected, 0);
  tear_down(&f);
}

static void success_with_a_body_that_is_no_answer_is_delivered(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "");
  answer_with(&f, 200, "application/x-protobuf", "\xff\xff", 2);
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL); /* to send it again would double it */
  answer_with(&f, 200, "text/html", "<html>", 6);
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  tear_down(&f);
}

static void an_answer_that_is_longer_than_we_read_is_an_answer(void **state) {
  (void)state;
  static char page[100 << 10];
  struct fixture f;
  memset(page, 'x', sizeof page);
  set_up(&f, "");
  answer_with(&f, 200, "text/html", page, sizeof page);
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  answer_with(&f, 400, "text/html", page, sizeof page);
  send_three(&f);
  harness_done_is(f.h, WEIR_REJECTED, "HTTP 400: xxx");
  answer_with(&f, 503, "text/html", page, sizeof page);
  send_three(&f);
  harness_done_is(f.h, WEIR_RETRY, "HTTP 503: xxx");
  answer_with(&f, 200, NULL, NULL, 0);
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  tear_down(&f);
}

/* What may be secret in the Location is not shown. */
static void a_redirect_says_where_it_leads(void **state) {
  (void)state;
  static const struct {
    uint32_t status;
    const char *location, *msg;
  } t[] = {
    { 308, "https://b:4318/v1/traces", "HTTP 308: redirects are not followed; this one leads to `https://b:4318/v1/traces`: set `endpoint` so that requests go there" },
    { 307, "https://u:p@b/v1/traces?token=hunter2#x", "leads to `https://***@b/v1/traces`:" },
    { 302, "https://u:p/@hunter2@b/login", "leads to `https://***@b/login`:" },
    { 301, "//u:p?@b/", "leads to `//***`:" },
    { 307, "/else/where@home", "leads to `/else/where@home`:" },
    { 304, NULL, "HTTP 304" },
  };
  struct fixture f;
  set_up(&f, "");
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    struct weir_http_header location = { weir_str_of("location"), weir_str_of(t[i].location ? t[i].location : "") };
    f.sink.status = t[i].status;
    f.sink.more = &location;
    f.sink.n_more = t[i].location ? 1 : 0;
    send_three(&f);
    harness_done_is(f.h, WEIR_REJECTED, t[i].msg);
  }
  tear_down(&f);
}

static void rubbish_and_a_hang_up_are_tried_again(void **state) {
  (void)state;
  static const char *const rubbish[] = { "", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf" };
  struct fixture f;
  open_for(&f, (struct harness_setup){ 0 }, "");
  harness_sink_raw(&f.sink, f.h);
  for (size_t i = 0; i < 3; i++) {
    harness_feed(f.h, harness_batch(f.h, 3, NULL));
    harness_sink_raw_answer(&f.sink, rubbish[i]);
    harness_wait_done(f.h, i + 1);
    harness_done_is(f.h, WEIR_RETRY, "127.0.0.1");
    harness_advance(f.h, NS_PER_S); /* an address that failed is left alone for a moment */
  }
  tear_down(&f);
}

static void a_back_end_that_is_down_is_tried_again_and_found_when_it_is_up(void **state) {
  (void)state;
  struct fixture f;
  open_for(&f, (struct harness_setup){ 0 }, "");
  send_three(&f);
  harness_done_is(f.h, WEIR_RETRY, "connection refused");
  harness_advance(f.h, NS_PER_S); /* an address that failed is left alone for a moment */
  send_three(&f);
  harness_done_is(f.h, WEIR_RETRY, "connection refused");
  harness_advance(f.h, NS_PER_S); /* an address that failed is left alone for a moment */
  harness_sink_http(&f.sink, f.h);
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  tear_down(&f);
}

static void no_answer_before_the_deadline_is_tried_again(void **state) {
  (void)state;
  struct fixture f;
  open_for(&f, (struct harness_setup){ .timeout_ns = 2 * NS_PER_S }, "");
  harness_sink_http(&f.sink, f.h);
  f.sink.hold = 1;
  harness_feed(f.h, harness_batch(f.h, 3, NULL));
  harness_sink_wait(&f.sink, 1);
  harness_advance(f.h, 2 * NS_PER_S - 1);
  assert_int_equal(f.h->n_done, 0);
  harness_advance(f.h, 1);
  harness_wait_done(f.h, 1);
  harness_done_is(f.h, WEIR_RETRY, "no answer in time");
  harness_sink_release(&f.sink); /* too late */
  f.sink.hold = 0;
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  assert_int_equal(f.h->n_done, 2);
  tear_down(&f);
}

static void without_memory_what_was_taken_is_sent_all_the_same(void **state) {
  (void)state;
  struct fixture f;
  char answer[128];
  open_for(&f, (struct harness_setup){ .budget_bytes = 1 << 20 }, ""); /* gzip needs memory */
  harness_sink_http(&f.sink, f.h);
  answer_with(&f, 200, NULL, answer, otlp_response_make(1, "one was too old", answer, sizeof answer));
  f.sink.hold = 1;
  struct weir_batch *b = harness_batch(f.h, 3, NULL);
  uint64_t used_up = harness_exhaust(f.h);
  stage_consume(&f.h->stage, b);
  budget_give(&f.h->env.budget, used_up);
  harness_sink_wait(&f.sink, 1);
  used_up = harness_exhaust(f.h);
  harness_sink_release(&f.sink); /* the answer needs some too */
  harness_wait_done(f.h, 1);
  budget_give(&f.h->env.budget, used_up);
  harness_done_is(f.h, WEIR_DELIVERED, "one was too old");
  tear_down(&f);
}

/* --- configuration -------------------------------------------------------------------------------------------------------------- */

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { "{}", "endpoint: at least one endpoint must be specified; add `endpoint: http://host:4318`" },
    { "logs_endpoint: 'http://b:1'", "endpoint: at least one endpoint must be specified" }, /* this is the traces' instance */
    { "endpoint: 'b:4318'", "endpoint: `b:4318` is no URL; write http://host:port" },
    { "endpoint: 'ftp://b:4318'", "endpoint: `ftp://b:4318` is no URL" },
    { "endpoint: 'unix://b'", "endpoint: `unix://b` is no address to connect to; write unix:///path" },
    { "traces_endpoint: 'unix:///b'", "traces_endpoint: a socket is no URL of a signal; write `endpoint: unix:///b`" },
    { "{endpoint: 'http://b:1', proxy_url: 'http://user:secret@p:3128'}", "proxy_url: proxies are not supported; let the endpoint name a relay" },
    { "endpoint: 'http://'", "endpoint: `http://` names no host" },
    { "endpoint: 'http:///v1'", "endpoint: `http:///v1` names no host" },
    { "{endpoint: 'https://b:4318', tls: {ca_file: /none.pem}}", "tls.ca_file: ca_file /none.pem: No such file or directory" },
    { "{endpoint: 'https://b:1', traces_endpoint: 'http://b:4318', tls: {ca_pem: x}}", "traces_endpoint: http:// asks for plaintext, and `tls` has certificates" },
    { "{endpoint: 'http://b:1', traces_endpoint: 'b'}", "traces_endpoint: `b` is no URL" },
    { "{endpoint: 'http://b:1', compression: lz4}", "expected one of gzip, none, zstd, snappy, zlib, deflate, x-snappy-framed" },
    { "{endpoint: 'http://b:1', compression_params: {level: 10}}", "compression_params.level: 10 is over 9, the highest level of gzip" },
    { "{endpoint: 'http://b:1', compression: zstd, compression_params: {level: 12}}", "12 is over 11, the highest level of zstd" },
    { "{endpoint: 'http://b:1', compression: snappy, compression_params: {level: 1}}", "compression_params.level: snappy has no levels" },
    { "{endpoint: 'http://b:1', compression: none, compression_params: {level: 1}}", "compression_params.level: none has no levels" },
    { "{endpoint: 'http://b:1', compression_params: {level: -2}}", "`compression_params.level`" },
    { "{endpoint: 'http://b:1', compression: brotli}", "`compression`" },
    { "{endpoint: 'http://b:1', auth: {authenticator: a}}", "auth.authenticator: extension `a` is not configured" },
    { "{endpoint: 'http://b:1', headers: {a: b, Content-Length: '1'}}", "headers: `Content-Length` belongs to the exporter" },
    { "{endpoint: 'http://b:1', headers: {'a b': c}}", "headers: `a b` is no header name" },
    { "{endpoint: 'http://b:1', headers: {x-key: \"a\\r\\nb: c\"}}", "headers: `x-key` has a control character in its value" },
    { "{endpoint: 'http://b:1', max_conns_per_host: 0}", "`max_conns_per_host`" },
    { "{endpont: 'http://b:1'}", "did you mean `endpoint`?" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    harness_refuses(WEIR_EXPORTER, "otlp_http", WEIR_TRACES, cases[i].yaml, cases[i].text);
}

static void more_headers_than_fit_are_refused(void **state) {
  (void)state;
  for (int n = 64; n <= 65; n++) {
    char yaml[2048];
    size_t at = (size_t)snprintf(yaml, sizeof yaml, "{endpoint: 'http://127.0.0.1:1', headers: {");
    for (int i = 0; i < n; i++) at += (size_t)snprintf(yaml + at, sizeof yaml - at, "%sh%d: v", i ? ", " : "", i);
    snprintf(yaml + at, sizeof yaml - at, "}}");
    if (n == 64)
      harness_free(harness_new(WEIR_EXPORTER, "otlp_http", yaml, WEIR_TRACES));
    else
      harness_refuses(WEIR_EXPORTER, "otlp_http", WEIR_TRACES, yaml, "headers: more than 64 headers");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_signal_is_posted_to_its_path_as_it_came),
    cmocka_unit_test(headers_and_the_user_agent_are_sent),
    cmocka_unit_test(urls_may_have_paths_and_signals_their_own),
    cmocka_unit_test(several_batches_are_under_way_at_once),
    cmocka_unit_test(there_are_no_more_connections_than_allowed),
    cmocka_unit_test(each_status_is_a_verdict),
    cmocka_unit_test(retry_after_is_seconds_or_a_date),
    cmocka_unit_test(what_the_back_end_says_is_in_the_message), cmocka_unit_test(text_without_a_type_is_in_the_message),
    cmocka_unit_test(a_partial_success_is_passed_on),
    cmocka_unit_test(json_is_sent_and_answered),
    cmocka_unit_test(success_with_a_body_that_is_no_answer_is_delivered),
    cmocka_unit_test(an_answer_that_is_longer_than_we_read_is_an_answer),
    cmocka_unit_test(a_redirect_says_where_it_leads),
    cmocka_unit_test(rubbish_and_a_hang_up_are_tried_again),
    cmocka_unit_test(a_back_end_that_is_down_is_tried_again_and_found_when_it_is_up),
    cmocka_unit_test(no_answer_before_the_deadline_is_tried_again),
    cmocka_unit_test(without_memory_what_was_taken_is_sent_all_the_same),
    cmocka_unit_test(refusals),
    cmocka_unit_test(more_headers_than_fit_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
