/* The otlp receiver over HTTP: requests become batches, verdicts become answers, and everything that is refused hears why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/compress.h"
#include "core/otlp.h"
#include "core/utf8.h"
#include "harness_check.h"
#include "harness_net.h"

#define ALL (WEIR_TRACES | WEIR_METRICS | WEIR_LOGS)
#define HTTP(keys) "protocols: {http: {endpoint: '127.0.0.1:0'" keys "}}"

static const struct {
  uint32_t signal;
  const char *path, *items;
} signals[] = { { WEIR_TRACES, "/v1/traces", "spans" }, { WEIR_METRICS, "/v1/metrics", "metric_points" },
  { WEIR_LOGS, "/v1/logs", "log_records" } };

struct fixture {
  struct harness *h;
  struct harness_client client;
  struct harness_reply r;
  struct pool *pool; /* outside the budget */
  char *p;           /* a request of three spans */
  size_t n;
};

static void set_up_as(struct fixture *f, struct harness_setup s) {
  memset(f, 0, sizeof *f);
  s.role = WEIR_RECEIVER;
  s.type = "otlp";
  if (!s.yaml) s.yaml = HTTP("");
  if (!s.signal) s.signal = ALL;
  f->h = harness_open(&s);
  harness_client_http(&f->client, f->h, harness_port());
  f->pool = pool_new(NULL);
  f->p = harness_request(WEIR_TRACES, 3, &f->n);
}

static void set_up(struct fixture *f, const char *yaml) { set_up_as(f, (struct harness_setup){ .yaml = yaml }); }

static void tear_down(struct fixture *f) {
  harness_reply_done(&f->r);
  harness_client_close(&f->client);
  harness_free(f->h);
  pool_free(f->pool);
  free(f->p);
}

static void post(struct fixture *f, const char *path, const char *encoding, const void *p, size_t n) {
  struct harness_http q = { .path = path, .encoding = encoding, .body = p, .n = n };
  harness_reply_done(&f->r);
  harness_send_http(&f->client, &q, &f->r);
}

/* Posts the three spans and settles their batch. */
static void post_and_settle(struct fixture *f, struct weir_verdict v) {
  post(f, "/v1/traces", NULL, f->p, f->n);
  harness_wait_emitted(f->h, 1);
  assert_int_equal(f->r.done, 0);
  batch_settle(harness_take_emitted(f->h), &v);
  harness_wait_reply(f->h, &f->r);
}

/* The answer is this HTTP status with a google.rpc.Status of this code, message and delay (-1 = none). */
static void check_status(struct fixture *f, uint32_t http, uint32_t code, const char *msg, int64_t retry_after_ns) {
  struct weir_rpc_status st;
  harness_wait_reply(f->h, &f->r);
  if (f->r.status != http) fail_msg("HTTP %u, expected %u: %s", f->r.status, http, f->r.msg);
  harness_has_header(f->r.headers, "content-type", "application/x-protobuf");
  assert_int_equal(rpc_status_parse(f->r.body, f->r.n, &st), 0);
  assert_int_equal(st.code, code);
  harness_contains(st.msg, msg);
  assert_int_equal(st.retry_after_ns, retry_after_ns);
  if (retry_after_ns < 0) assert_null(strstr(f->r.headers, "retry-after"));
}

static void check_ok(struct fixture *f) {
  harness_wait_reply(f->h, &f->r);
  if (f->r.status != 200) fail_msg("HTTP %u, expected 200: %s %s", f->r.status, f->r.msg, f->r.body);
  harness_has_header(f->r.headers, "content-type", "application/x-protobuf");
  assert_int_equal(f->r.n, 0);
}

/* A refusal in plain text. */
static void check_text(struct fixture *f, uint32_t http, const char *text) {
  harness_wait_reply(f->h, &f->r);
  if (f->r.status != http) fail_msg("HTTP %u, expected %u: %s %s", f->r.status, http, f->r.msg, f->r.body);
  harness_contains(f->r.body, text);
}

static double counted(struct fixture *f, const char *what, const char *items) {
  char name[96];
  snprintf(name, sizeof name, "otelcol_receiver_%s_%s_total", what, items);
  return harness_metric(f->h, name, "receiver=\"otlp\",transport=\"http\"");
}

static struct weir_body *packed_as(struct fixture *f, const char *encoding, const void *p, size_t n) {
  struct weir_iov iov = { p, n };
  struct weir_body *body = NULL;
  struct weir_error err;
  assert_int_equal(compress_deflate(f->pool, encoding, 0, &iov, 1, &body, &err), 0);
  return body;
}

/* --- requests that are taken ------------------------------------------------------------------------------------------- */

static void a_request_of_each_signal_becomes_a_batch(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  for (size_t i = 0; i < 3; i++) {
    size_t n;
    char *p = harness_request(signals[i].signal, 4, &n);
    post(&f, signals[i].path, NULL, p, n);
    harness_wait_emitted(f.h, 1);
    assert_int_equal(f.r.done, 0); /* the answer is the batch's verdict */
    struct weir_batch *b = harness_take_emitted(f.h);
    assert_int_equal(b->signal, signals[i].signal);
    assert_int_equal(b->items, 4);
    harness_same_bytes(b, p, n);
    harness_settle(f.h, b, WEIR_DELIVERED);
    check_ok(&f);
    assert_true(counted(&f, "accepted", signals[i].items) == 4);
    free(p);
  }
  tear_down(&f);
}

static void the_records_are_readable(void **state) {
  (void)state;
  struct fixture f;
  set_up_as(&f, (struct harness_setup){ .need = WEIR_NEED_RECORDS });
  post(&f, "/v1/traces", NULL, f.p, f.n);
  harness_wait_emitted(f.h, 1);
  harness_expect(f.h, "0 1 2", WEIR_DELIVERED);
  check_ok(&f);
  tear_down(&f);
}

static void an_empty_request_is_a_success_of_which_nobody_below_hears(void **state) {
  (void)state;
  static const char no_spans[] = { 0x0a, 0x02, 0x12, 0x00 }; /* a resource with a scope without spans */
  struct fixture f;
  set_up(&f, NULL);
  post(&f, "/v1/traces", NULL, NULL, 0);
  check_ok(&f);
  post(&f, "/v1/traces", NULL, no_spans, sizeof no_spans);
  check_ok(&f);
  assert_int_equal(f.h->items_emitted, 0);
  assert_int_equal(f.h->n_emitted, 0);
  tear_down(&f);
}

static void compressed_bodies_are_unpacked(void **state) {
  (void)state;
  static const char *const encodings[] = { "gzip", "x-gzip", "GZIP", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed", "identity" };
  struct fixture f;
  set_up(&f, NULL);
  for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) {
    int plain = strcmp(encodings[i], "identity") == 0;
    struct weir_body *packed = plain ? NULL : packed_as(&f, encodings[i], f.p, f.n);
    post(&f, "/v1/traces", encodings[i], plain ? f.p : packed->p, plain ? f.n : packed->n);
    harness_wait_emitted(f.h, 1);
    struct weir_batch *b = harness_take_emitted(f.h);
    harness_same_bytes(b, f.p, f.n);
    harness_settle(f.h, b, WEIR_DELIVERED);
    check_ok(&f);
    body_free(packed);
  }
  struct weir_body *packed = packed_as(&f, "gzip", f.p, f.n);
  post(&f, "/v1/traces", "gzip", packed->p, packed->n - 9);
  check_status(&f, 400, WEIR_GRPC_INVALID_ARGUMENT, "gzip data", -1);
  post(&f, "/v1/traces", "zstd", packed->p, packed->n);
  check_status(&f, 400, WEIR_GRPC_INVALID_ARGUMENT, "zstd data", -1);
  post(&f, "/v1/traces", "snappy", packed->p, packed->n);
  check_status(&f, 400, WEIR_GRPC_INVALID_ARGUMENT, "snappy data", -1);
  post(&f, "/v1/traces", "br", packed->p, packed->n);
  check_status(&f, 415, WEIR_GRPC_INVALID_ARGUMENT,
    "content-encoding \"br\" is not taken here: use gzip, zstd, zlib, snappy, deflate, x-snappy-framed, or none", -1);
  post(&f, "/v1/traces", "lz4", packed->p, packed->n);
  check_status(&f, 415, WEIR_GRPC_INVALID_ARGUMENT, "\"lz4\" is not taken here: use gzip, zstd,", -1);
  post(&f, "/v1/traces", "gzip, gzip", packed->p, packed->n);
  check_status(&f, 415, WEIR_GRPC_INVALID_ARGUMENT, "\"gzip, gzip\" is not taken here", -1);
  body_free(packed);
  tear_down(&f);
}

static void encodings_may_be_chosen(void **state) {
  (void)state;
  static const char *const yaml[] = { HTTP(", compression_algorithms: ['', zstd]"), HTTP(", compression_algorithms: []") };
  static const char *const texts[] = { "\"gzip\" is not taken here: use zstd, or none", "\"gzip\" is not taken here: use none" };
  for (int i = 0; i < 2; i++) {
    struct fixture f;
    set_up(&f, yaml[i]);
    struct weir_body *packed = packed_as(&f, "gzip", f.p, f.n);
    post(&f, "/v1/traces", "gzip", packed->p, packed->n);
    check_status(&f, 415, WEIR_GRPC_INVALID_ARGUMENT, texts[i], -1);
    post(&f, "/v1/traces", NULL, f.p, f.n);
    harness_wait_emitted(f.h, 1);
    harness_expect(f.h, "0 1 2", WEIR_DELIVERED);
    check_ok(&f);
    body_free(packed);
    tear_down(&f);
  }
  harness_refuses(WEIR_RECEIVER, "otlp", WEIR_TRACES, "{protocols: {http: {compression_algorithms: [gzip, lz4]}}}",
    "protocols.http.compression_algorithms: `lz4` is not offered; use some of gzip, zstd, zlib, snappy, deflate, x-snappy-framed");
}

static void paths_of_ones_own(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, HTTP(", traces_url_path: /otlp/t, logs_url_path: /l"));
  post(&f, "/otlp/t?x=1", NULL, f.p, f.n);
  harness_wait_emitted(f.h, 1);
  harness_expect(f.h, "0 1 2", WEIR_DELIVERED);
  check_ok(&f);
  post(&f, "/v1/traces", NULL, f.p, f.n);
  check_text(&f, 404, "404 not found");
  post(&f, "/v1/metrics", NULL, NULL, 0);
  check_ok(&f);
  tear_down(&f);
}

/* --- verdicts ---------------------------------------------------------------------------------------------------------- */

static void a_partial_success_says_how_many_and_why(void **state) {
  (void)state;
  struct fixture f;
  struct weir_otlp_response o;
  set_up(&f, NULL);
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_DELIVERED, .rejected = 2, .msg = "two were too old" });
  assert_int_equal(f.r.status, 200);
  assert_int_equal(otlp_response_parse(f.r.body, f.r.n, &o), 0);
  assert_int_equal(o.rejected, 2);
  assert_int_equal(o.message.n, strlen("two were too old"));
  assert_memory_equal(o.message.p, "two were too old", o.message.n);
  assert_true(counted(&f, "accepted", "spans") == 1);
  assert_true(counted(&f, "failed", "spans") == 2);
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_DELIVERED, .rejected = 99, .msg = "a back end that cannot count" });
  assert_int_equal(f.r.status, 200);
  assert_true(counted(&f, "accepted", "spans") == 1); /* no more is counted than there was */
  assert_true(counted(&f, "failed", "spans") == 5);
  tear_down(&f);
}

static void a_retryable_refusal_says_when(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_RETRY, .retry_after_ns = 2300 * NS_PER_MS, .msg = "the queue is full" });
  check_status(&f, 503, WEIR_GRPC_UNAVAILABLE, "the queue is full", 2300 * NS_PER_MS);
  harness_has_header(f.r.headers, "retry-after", "3"); /* whole seconds, up */
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_RETRY });
  check_status(&f, 503, WEIR_GRPC_UNAVAILABLE, "try again", NS_PER_S);
  harness_has_header(f.r.headers, "retry-after", "1");
  assert_true(counted(&f, "refused", "spans") == 6);
  assert_true(counted(&f, "accepted", "spans") == 0);
  tear_down(&f);
}

static void a_refusal_for_good_says_why(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_REJECTED, .msg = "the back end knows no such tenant" });
  check_status(&f, 500, WEIR_GRPC_INTERNAL, "the back end knows no such tenant", -1);
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_REJECTED });
  check_status(&f, 500, WEIR_GRPC_INTERNAL, "refused for good", -1);
  assert_true(counted(&f, "failed", "spans") == 6);
  tear_down(&f);
}

static void a_refusal_for_good_is_told_in_the_next_hops_words(void **state) {
  (void)state;
  static const struct {
    uint32_t status, http;
  } cases[] = { { WEIR_GRPC_INVALID_ARGUMENT, 400 }, { WEIR_GRPC_UNAUTHENTICATED, 401 }, { WEIR_GRPC_PERMISSION_DENIED, 403 },
    { WEIR_GRPC_UNIMPLEMENTED, 404 }, { WEIR_GRPC_UNKNOWN, 500 }, { WEIR_GRPC_RESOURCE_EXHAUSTED, 500 } };
  struct fixture f;
  set_up(&f, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    post_and_settle(&f, (struct weir_verdict){ .code = WEIR_REJECTED, .status = cases[i].status, .msg = "no" });
    check_status(&f, cases[i].http, cases[i].status, "no", -1);
  }
  tear_down(&f);
}

static void what_is_said_is_utf8_whatever_was_said_below(void **state) {
  (void)state;
  struct fixture f;
  struct weir_otlp_response o;
  char accents[500], text[300];
  for (size_t i = 0; i + 2 < sizeof accents; i += 2) memcpy(accents + i, "\xc3\xa9", 3);
  set_up(&f, NULL);
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_REJECTED, .msg = "HTTP 400: caf\xe9" });
  check_status(&f, 500, WEIR_GRPC_INTERNAL, "HTTP 400: caf\xef\xbf\xbd", -1);
  post_and_settle(
    &f, (struct weir_verdict){ .code = WEIR_DELIVERED, .rejected = 1, .msg = accents }); /* cut in the middle of a character */
  assert_int_equal(otlp_response_parse(f.r.body, f.r.n, &o), 0);
  assert_true(o.message.n > 200 && o.message.n < sizeof accents);
  assert_int_equal(utf8_repair(o.message.p, o.message.n, text, sizeof text), o.message.n);
  assert_memory_equal(text, o.message.p, o.message.n); /* nothing is left to repair */
  tear_down(&f);
}

static void each_request_hears_its_own_verdict(void **state) {
  (void)state;
  static const int codes[] = { WEIR_DELIVERED, WEIR_RETRY, WEIR_REJECTED };
  static const uint32_t answers[] = { 200, 503, 500 };
  static const size_t orders[][3] = { { 2, 1, 0 }, { 1, 2, 0 }, { 0, 1, 2 }, { 2, 0, 1 } };
  struct fixture f;
  set_up(&f, NULL);
  for (size_t o = 0; o < 4; o++) {
    struct harness_reply r[3] = { { 0 } };
    struct weir_batch *b[3];
    struct harness_http q = { .path = "/v1/traces", .body = f.p, .n = f.n };
    for (size_t i = 0; i < 3; i++) {
      harness_send_http(&f.client, &q, &r[i]);
      harness_wait_emitted(f.h, 1);
      b[i] = harness_take_emitted(f.h);
    }
    for (size_t i = 0; i < 3; i++) {
      size_t k = orders[o][i];
      assert_int_equal(r[k].done, 0);
      harness_settle(f.h, b[k], codes[k]);
      harness_wait_reply(f.h, &r[k]);
      assert_int_equal(r[k].status, answers[k]);
    }
    for (size_t i = 0; i < 3; i++) harness_reply_done(&r[i]);
    harness_advance(f.h, NS_PER_S); /* nobody is left to be answered late */
  }
  tear_down(&f);
}

static void a_client_that_left_is_nobodys_trouble(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  post(&f, "/v1/traces", NULL, f.p, f.n);
  harness_wait_emitted(f.h, 1);
  harness_client_close(&f.client);
  harness_wait_reply(f.h, &f.r);
  assert_int_equal(f.r.status, 0);
  harness_expect(f.h, "0 1 2", WEIR_DELIVERED);
  assert_true(counted(&f, "accepted", "spans") == 3);
  tear_down(&f);
}

static void a_verdict_that_does_not_come_in_ten_seconds_is_a_retry(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  post(&f, "/v1/traces", NULL, f.p, f.n);
  harness_wait_emitted(f.h, 1);
  harness_advance(f.h, 9900 * NS_PER_MS);
  assert_int_equal(f.r.done, 0);
  harness_advance(f.h, 350 * NS_PER_MS);
  check_status(&f, 503, WEIR_GRPC_UNAVAILABLE, "no delivery within the request's deadline", NS_PER_S);
  harness_expect(f.h, "0 1 2", WEIR_DELIVERED); /* comes too late */
  assert_int_equal(f.r.done, 1);
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_DELIVERED }); /* the next one is served */
  check_ok(&f);
  tear_down(&f);
}

static void everybody_who_still_waits_hears_at_the_deadline(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  for (size_t answered = 0; answered < 3; answered++) {
    struct harness_reply r[3] = { { 0 } };
    struct weir_batch *b[3];
    struct harness_http q = { .path = "/v1/traces", .body = f.p, .n = f.n };
    for (size_t i = 0; i < 3; i++) {
      harness_send_http(&f.client, &q, &r[i]);
      harness_wait_emitted(f.h, 1);
      b[i] = harness_take_emitted(f.h);
    }
    harness_settle(f.h, b[answered], WEIR_DELIVERED);
    harness_advance(f.h, 10250 * NS_PER_MS);
    for (size_t i = 0; i < 3; i++) {
      harness_wait_reply(f.h, &r[i]);
      assert_int_equal(r[i].status, i == answered ? 200 : 503);
      if (i != answered) harness_settle(f.h, b[i], WEIR_DELIVERED);
      harness_reply_done(&r[i]);
    }
  }
  tear_down(&f);
}

/* --- requests that are refused -------------------------------------------------------------------------------------------- */

static void malformed_bytes_are_told_by_their_place(void **state) {
  (void)state;
  static const char cut[] = { 0x0a, 0x05, 0x12 };
  struct fixture f;
  char at[32];
  set_up(&f, NULL);
  post(&f, "/v1/traces", NULL, cut, sizeof cut);
  check_status(&f, 400, WEIR_GRPC_INVALID_ARGUMENT, "(at byte 0)", -1);
  char *p = malloc(f.n + 2);
  assert_non_null(p);
  memcpy(p, f.p, f.n);
  memcpy(p + f.n, "\x0a\x7f", 2); /* behind a good one: 127 bytes that are not there */
  snprintf(at, sizeof at, "(at byte %zu)", f.n);
  post(&f, "/v1/traces", NULL, p, f.n + 2);
  check_status(&f, 400, WEIR_GRPC_INVALID_ARGUMENT, at, -1);
  harness_contains(f.r.body, "runs past its message");
  assert_int_equal(f.h->items_emitted, 0);
  free(p);
  tear_down(&f);
}

static void what_the_envelope_does_not_show_passes_when_senders_are_trusted(void **state) {
  (void)state;
  static const char bad_span[] = { 0x0a, 0x06, 0x12, 0x04, 0x12, 0x02, 0x0a, 0x7f }; /* a span with a field that runs past it */
  struct fixture f;
  set_up(&f, NULL);
  post(&f, "/v1/traces", NULL, bad_span, sizeof bad_span);
  check_status(&f, 400, WEIR_GRPC_INVALID_ARGUMENT, "resource_spans.scope_spans.spans", -1);
  tear_down(&f);
  set_up(&f, "{validation: envelope, protocols: {http: {endpoint: '127.0.0.1:0'}}}");
  post(&f, "/v1/traces", NULL, bad_span, sizeof bad_span);
  harness_wait_emitted(f.h, 1);
  struct weir_batch *b = harness_take_emitted(f.h);
  assert_int_equal(b->items, 1);
  harness_same_bytes(b, bad_span, sizeof bad_span);
  harness_settle(f.h, b, WEIR_DELIVERED);
  check_ok(&f);
  tear_down(&f);
}

static void other_paths_methods_and_types_are_refused(void **state) {
  (void)state;
  static const struct {
    struct harness_http q;
    uint32_t status;
    const char *text;
  } cases[] = {
    { { .path = "/" }, 404, "OTLP is taken at /v1/traces" },
    { { .path = "/v1/trace" }, 404, "404 not found" },
    { { .path = "/v1/traces/" }, 404, "404 not found" },
    { { .path = "/v1/traces", .method = "GET" }, 405, "supported: [POST]" },
    { { .path = "/v1/traces", .method = "PUT" }, 405, "supported: [POST]" },
    { { .path = "/v1/traces", .content_type = "text/plain" }, 415, "supported: [application/json, application/x-protobuf]" },
    { { .path = "/v1/traces", .content_type = "application/x-protobuffer" }, 415, "supported: [application/json, application/x-protobuf]" },
    { { .path = "/v1/traces", .content_type = "application/jsonl" }, 415, "supported: [application/json, application/x-protobuf]" },
    { { .path = "/v1/traces", .content_type = "Application/X-Protobuf; charset=utf-8" }, 200, "" },
  };
  struct fixture f;
  set_up(&f, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    harness_reply_done(&f.r);
    harness_send_http(&f.client, &cases[i].q, &f.r);
    check_text(&f, cases[i].status, cases[i].text);
    if (cases[i].status == 405) harness_has_header(f.r.headers, "allow", "POST");
  }
  assert_int_equal(f.h->items_emitted, 0);
  tear_down(&f);
}

static void a_grpc_client_hears_that_this_is_the_other_port(void **state) {
  (void)state;
  struct fixture f;
  struct harness_client grpc;
  set_up(&f, NULL);
  harness_client_grpc(&grpc, f.h, harness_port(), "none", NULL);
  harness_send_grpc(&grpc, HARNESS_TRACES_RPC, f.p, f.n, &f.r);
  harness_wait_reply(f.h, &f.r);
  assert_int_equal(f.r.status, WEIR_GRPC_UNIMPLEMENTED);
  harness_contains(f.r.msg, "this port takes OTLP over HTTP (protocol http/protobuf or http/json)");
  harness_client_close(&grpc);
  tear_down(&f);
}

static void signals_that_no_pipeline_uses_are_not_found(void **state) {
  (void)state;
  struct fixture f;
  set_up_as(&f, (struct harness_setup){ .signal = WEIR_TRACES | WEIR_LOGS });
  post(&f, "/v1/metrics", NULL, NULL, 0);
  check_text(&f, 404, "for the signals that a pipeline uses");
  post(&f, "/v1/logs", NULL, NULL, 0);
  check_ok(&f);
  tear_down(&f);
}

static void a_body_over_the_limit_is_refused_packed_or_not(void **state) {
  (void)state;
  struct fixture f;
  static char big[5000];
  set_up(&f, HTTP(", max_request_body_size: 4KiB"));
  post(&f, "/v1/traces", NULL, big, sizeof big);
  check_text(&f, 413, "max_request_body_size");
  struct weir_body *packed = packed_as(&f, "gzip", big, sizeof big);
  assert_true(packed->n < 4096);
  post(&f, "/v1/traces", "gzip", packed->p, packed->n);
  check_status(&f, 413, WEIR_GRPC_INVALID_ARGUMENT, "", -1);
  body_free(packed);
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_DELIVERED }); /* under it all is well */
  check_ok(&f);
  tear_down(&f);
}

static void without_memory_a_request_may_come_again(void **state) {
  (void)state;
  struct fixture f;
  static char big[300000];
  set_up_as(&f, (struct harness_setup){ .budget_bytes = 128 << 10 });
  post(&f, "/v1/traces", NULL, big, sizeof big);
  check_text(&f, 503, "the memory limit of this process is reached");
  harness_has_header(f.r.headers, "retry-after", "1");
  struct weir_body *packed = packed_as(&f, "gzip", big, sizeof big);
  post(&f, "/v1/traces", "gzip", packed->p, packed->n);
  check_status(&f, 503, WEIR_GRPC_UNAVAILABLE, "memory", NS_PER_S);
  harness_has_header(f.r.headers, "retry-after", "1");
  body_free(packed);
  post_and_settle(&f, (struct weir_verdict){ .code = WEIR_DELIVERED });
  check_ok(&f);
  tear_down(&f);
}

/* --- the end ------------------------------------------------------------------------------------------------------------------ */

static void a_drain_waits_for_the_answer_and_takes_nobody_new(void **state) {
  (void)state;
  struct fixture f;
  struct harness_client late;
  struct harness_reply r = { 0 };
  struct harness_http q = { .path = "/v1/traces" };
  set_up(&f, NULL);
  int port = harness_port();
  post(&f, "/v1/traces", NULL, f.p, f.n);
  harness_wait_emitted(f.h, 1);
  harness_drain(f.h);
  harness_client_http(&late, f.h, port);
  harness_send_http(&late, &q, &r);
  harness_wait_reply(f.h, &r);
  assert_int_equal(r.status, 0);
  harness_contains(r.msg, "refused");
  assert_int_equal(f.h->n_drained, 0); /* one is still waiting */
  harness_expect(f.h, "0 1 2", WEIR_DELIVERED);
  check_ok(&f);
  harness_has_header(f.r.headers, "connection", "close");
  harness_reply_done(&r);
  harness_client_close(&late);
  tear_down(&f); /* which waits for the drain's end */
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_request_of_each_signal_becomes_a_batch),
    cmocka_unit_test(the_records_are_readable),
    cmocka_unit_test(an_empty_request_is_a_success_of_which_nobody_below_hears),
    cmocka_unit_test(compressed_bodies_are_unpacked),
    cmocka_unit_test(encodings_may_be_chosen),
    cmocka_unit_test(paths_of_ones_own),
    cmocka_unit_test(a_partial_success_says_how_many_and_why),
    cmocka_unit_test(a_retryable_refusal_says_when),
    cmocka_unit_test(a_refusal_for_good_says_why),
    cmocka_unit_test(a_refusal_for_good_is_told_in_the_next_hops_words),
    cmocka_unit_test(what_is_said_is_utf8_whatever_was_said_below),
    cmocka_unit_test(each_request_hears_its_own_verdict),
    cmocka_unit_test(a_client_that_left_is_nobodys_trouble),
    cmocka_unit_test(a_verdict_that_does_not_come_in_ten_seconds_is_a_retry),
    cmocka_unit_test(everybody_who_still_waits_hears_at_the_deadline),
    cmocka_unit_test(malformed_bytes_are_told_by_their_place),
    cmocka_unit_test(what_the_envelope_does_not_show_passes_when_senders_are_trusted),
    cmocka_unit_test(other_paths_methods_and_types_are_refused),
    cmocka_unit_test(a_grpc_client_hears_that_this_is_the_other_port),
    cmocka_unit_test(signals_that_no_pipeline_uses_are_not_found),
    cmocka_unit_test(a_body_over_the_limit_is_refused_packed_or_not),
    cmocka_unit_test(without_memory_a_request_may_come_again),
    cmocka_unit_test(a_drain_waits_for_the_answer_and_takes_nobody_new),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
