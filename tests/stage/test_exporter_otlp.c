/* The otlp exporter: what it sends over gRPC, and what it makes of every kind of answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/otlp.h"
#include "harness_check.h"
#include "harness_net.h"

struct fixture {
  struct harness *h;
  struct harness_sink sink;
};

/* Opened for the sink's address; nobody listens there yet. */
static void open_for(struct fixture *f, struct harness_setup s, const char *keys) {
  char yaml[512];
  harness_sink_init(&f->sink);
  snprintf(yaml, sizeof yaml, "{endpoint: '127.0.0.1:%d', tls: {insecure: true}%s%s}", f->sink.port, *keys ? ", " : "", keys);
  s.role = WEIR_EXPORTER;
  s.type = "otlp";
  s.yaml = yaml;
  f->h = harness_open(&s);
}

static void set_up(struct fixture *f, const char *keys) {
  open_for(f, (struct harness_setup){ 0 }, keys);
  harness_sink_grpc(&f->sink, f->h);
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
  return &f->h->done[f->h->n_done - 1];
}

/* --- what is sent ------------------------------------------------------------------------------------------------------- */

static void each_signal_goes_to_its_service_as_it_came(void **state) {
  (void)state;
  static const struct {
    uint32_t signal;
    const char *path;
  } signals[] = { { WEIR_TRACES, HARNESS_TRACES_RPC }, { WEIR_METRICS, HARNESS_METRICS_RPC }, { WEIR_LOGS, HARNESS_LOGS_RPC } };
  static const struct {
    const char *keys, *encoding;
  } compression[] = { { "", "gzip" }, { "compression: none", NULL }, { "compression: zstd", "zstd" }, { "compression: snappy", "snappy" } };
  for (size_t i = 0; i < 12; i++) {
    struct fixture f;
    struct harness_waiter w = { 0 };
    uint32_t signal = signals[i % 3].signal;
    size_t n;
    char *p = harness_request(signal, 5, &n);
    open_for(&f, (struct harness_setup){ .signal = signal }, compression[i / 3].keys);
    harness_sink_grpc(&f.sink, f.h);
    harness_feed(f.h, harness_batch_bytes(f.h, signal, p, n, &w));
    assert_int_equal(w.heard, 0);
    harness_wait_done(f.h, 1);
    assert_string_equal(f.sink.path, signals[i % 3].path);
    assert_int_equal(f.sink.n, n);
    assert_memory_equal(f.sink.body, p, n);
    harness_has_header(f.sink.headers, "content-type", "application/grpc");
    if (compression[i / 3].encoding)
      harness_has_header(f.sink.headers, "grpc-encoding", compression[i / 3].encoding);
    else
      assert_null(strstr(f.sink.headers, "grpc-encoding"));
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
  set_up(&f, "user_agent: me/1, headers: {X-Scope-OrgID: team a, authorization: Bearer x}");
  send_three(&f);
  harness_has_header(f.sink.headers, "user-agent", "me/1");
  harness_has_header(f.sink.headers, "x-scope-orgid", "team a"); /* HTTP/2 names are lower case */
  harness_has_header(f.sink.headers, "authorization", "Bearer x");
  tear_down(&f);
  char keys[256], name[151];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = 0;
  snprintf(keys, sizeof keys, "headers: {%s: v}", name);
  set_up(&f, keys);
  send_three(&f);
  harness_has_header(f.sink.headers, name, "v");
  tear_down(&f);
  set_up(&f, "");
  send_three(&f);
  harness_has_header(f.sink.headers, "user-agent", "weir");
  tear_down(&f);
}

static void the_authority_may_be_another_than_the_address(void **state) {
  (void)state;
  static const char *const keys[] = { "authority: traces.example", "" };
  for (size_t i = 0; i < 2; i++) {
    struct fixture f;
    char address[32];
    open_for(&f, (struct harness_setup){ 0 }, keys[i]);
    harness_sink_http(&f.sink, f.h); /* which sees :authority */
    send_three(&f);
    snprintf(address, sizeof address, "127.0.0.1:%d", f.sink.port);
    assert_string_equal(f.sink.authority, i ? address : "traces.example");
    tear_down(&f);
  }
}

static void http_before_the_address_means_plaintext(void **state) {
  (void)state;
  struct fixture f;
  char yaml[64];
  harness_sink_init(&f.sink);
  snprintf(yaml, sizeof yaml, "endpoint: http://127.0.0.1:%d", f.sink.port);
  f.h = harness_new(WEIR_EXPORTER, "otlp_grpc", yaml, WEIR_TRACES); /* the type's other name */
  harness_sink_grpc(&f.sink, f.h);
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  assert_int_equal(f.sink.n_requests, 1);
  tear_down(&f);
}

static void several_batches_are_under_way_at_once(void **state) {
  (void)state;
  struct fixture f;
  struct harness_waiter w[5] = { { 0 } };
  set_up(&f, "");
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

static void what_encodes_to_too_much_is_not_sent(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "max_message_bytes: 1KiB");
  harness_feed(f.h, harness_batch(f.h, 50, NULL));
  assert_int_equal(f.h->n_done, 1);
  harness_done_is(f.h, WEIR_REJECTED, "over max_message_bytes");
  assert_int_equal(f.h->done[0].verdict.too_large, 1); /* the sender cuts it and tries again */
  assert_int_equal(f.sink.n_requests, 0);
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  assert_int_equal(f.sink.n_requests, 1);
  tear_down(&f);
}

static void a_single_record_that_is_too_large_is_tried(void **state) {
  (void)state;
  struct fixture f;
  char p[2048] = { 0x0a, (char)0xfd, 0x0f, 0x12, (char)0xfa, 0x0f, 0x12, (char)0xf7, 0x0f, 0x2a, (char)0xf4,
    0x0f }; /* a span with a name of 2036 bytes */
  memset(p + 12, 'x', sizeof p - 12);
  set_up(&f, "max_message_bytes: 1KiB");
  f.sink.status = WEIR_GRPC_RESOURCE_EXHAUSTED;
  f.sink.msg = "grpc: received message larger than max (2048 vs. 1024)";
  harness_feed(f.h, harness_batch_bytes(f.h, WEIR_TRACES, p, sizeof p, NULL));
  harness_wait_done(f.h, 1);
  assert_int_equal(f.sink.n, sizeof p);
  harness_done_is(f.h, WEIR_REJECTED, "larger than max");
  assert_int_equal(f.h->done[0].verdict.too_large, 1);
  tear_down(&f);
}

/* --- answers -------------------------------------------------------------------------------------------------------------- */

static void each_status_is_a_verdict(void **state) {
  (void)state;
  static const int64_t none = -1, s7 = 7 * NS_PER_S, ms1500 = 1500 * NS_PER_MS;
  const struct {
    uint32_t status;
    const char *msg;
    int64_t asked_ns;
    int code, too_large;
    int64_t after_ns;
  } cases[] = {
    { WEIR_GRPC_CANCELLED, "gone", none, WEIR_RETRY, 0, 0 },
    { WEIR_GRPC_DEADLINE_EXCEEDED, "too slow", none, WEIR_RETRY, 0, 0 },
    { WEIR_GRPC_ABORTED, "aborted", none, WEIR_RETRY, 0, 0 },
    { WEIR_GRPC_OUT_OF_RANGE, "range", none, WEIR_RETRY, 0, 0 },
    { WEIR_GRPC_UNAVAILABLE, "down", none, WEIR_RETRY, 0, 0 },
    { WEIR_GRPC_UNAVAILABLE, "busy", s7, WEIR_RETRY, 0, s7 },
    { WEIR_GRPC_UNAVAILABLE, "at once", 0, WEIR_RETRY, 0, 0 },
    { WEIR_GRPC_DATA_LOSS, "lost", ms1500, WEIR_RETRY, 0, ms1500 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "slow down", s7, WEIR_RETRY, 0, s7 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "slow down", 0, WEIR_RETRY, 0, 0 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "quota is used up", none, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (5 vs. 4)", none, WEIR_REJECTED, 1, 0 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "grpc: received message after decompression larger than max 4", none, WEIR_REJECTED, 1, 0 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "gRPC message exceeds maximum size 4: 5", none, WEIR_REJECTED, 1, 0 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "Decompressed gRPC message exceeds maximum size 4", none, WEIR_REJECTED, 1, 0 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (5 vs. 4)", none, WEIR_REJECTED, 1, 0 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "Received message exceeds the maximum configured message size.", none, WEIR_REJECTED, 1, 0 },
    { WEIR_GRPC_OUT_OF_RANGE, "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes", none, WEIR_REJECTED, 1, 0 },
    { WEIR_GRPC_OUT_OF_RANGE, "cursor is behind the end", none, WEIR_RETRY, 0, 0 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "memory: larger than max for now", s7, WEIR_RETRY, 0, s7 },
    { WEIR_GRPC_RESOURCE_EXHAUSTED, "message of 5 bytes is over max_recv_msg_size_mib (4 MiB)", none, WEIR_REJECTED, 1, 0 },
    { WEIR_GRPC_UNKNOWN, "what?", none, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_INVALID_ARGUMENT, "bad span", none, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_INVALID_ARGUMENT, "message larger than max", s7, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_NOT_FOUND, "no tenant", none, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_ALREADY_EXISTS, "again", none, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_PERMISSION_DENIED, "no", none, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_FAILED_PRECONDITION, "not so", none, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_UNIMPLEMENTED, "no traces here", none, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_INTERNAL, "broken", none, WEIR_REJECTED, 0, 0 },
    { WEIR_GRPC_UNAUTHENTICATED, "who?", none, WEIR_REJECTED, 0, 0 },
  };
  struct fixture f;
  set_up(&f, "");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    f.sink.status = cases[i].status;
    f.sink.msg = cases[i].msg;
    f.sink.retry_after_ns = cases[i].asked_ns;
    const struct harness_done *d = send_three(&f);
    harness_done_is(f.h, cases[i].code, cases[i].msg);
    assert_int_equal(d->verdict.too_large, cases[i].too_large);
    assert_int_equal(d->verdict.retry_after_ns, cases[i].after_ns);
    assert_int_equal(d->verdict.rejected, 0); /* all of it */
    if (cases[i].code == WEIR_REJECTED) assert_int_equal(d->verdict.status, cases[i].too_large ? WEIR_GRPC_RESOURCE_EXHAUSTED : cases[i].status);
  }
  tear_down(&f);
}

static void a_partial_success_is_passed_on(void **state) {
  (void)state;
  struct fixture f;
  struct harness_waiter w = { 0 };
  char answer[128];
  set_up(&f, "");
  f.sink.answer = answer;
  f.sink.answer_n = otlp_response_make(2, "two were too old", answer, sizeof answer);
  harness_feed(f.h, harness_batch(f.h, 3, &w));
  harness_wait_done(f.h, 1);
  harness_run(f.h);
  harness_done_is(f.h, WEIR_DELIVERED, "two were too old");
  assert_int_equal(f.h->done[0].verdict.rejected, 2);
  assert_int_equal(w.verdict.rejected, 2);
  assert_true(harness_metric(f.h, "weir_stage_items_out_total", NULL) == 1);
  assert_true(harness_metric(f.h, "weir_stage_items_dropped_total", "reason=\"rejected\"") == 2);
  f.sink.answer_n = otlp_response_make(0, "old protocol", answer, sizeof answer); /* a warning: all was taken */
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, "old protocol");
  assert_int_equal(f.h->done[1].verdict.rejected, 0);
  tear_down(&f);
}

static void ok_with_a_message_that_is_no_answer_is_delivered(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "");
  f.sink.answer = "\xff\xff";
  f.sink.answer_n = 2;
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL); /* the back end said OK: to send it again would double it */
  tear_down(&f);
}

static void an_answer_that_is_longer_than_we_read_does_not_cut_the_batch(void **state) {
  (void)state;
  static char answer[5 << 20];
  struct fixture f;
  set_up(&f, "");
  f.sink.answer = answer;
  f.sink.answer_n = sizeof answer;
  const struct harness_done *d = send_three(&f);
  harness_done_is(f.h, WEIR_REJECTED, "longer than the");
  assert_int_equal(d->verdict.too_large, 0); /* what was sent is not too large: two halves would get such answers, too */
  f.sink.answer_n = 0;
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  tear_down(&f);
}

static void a_peer_that_is_no_grpc_server_is_told_by_its_http_status(void **state) {
  (void)state;
  static const struct {
    uint32_t status;
    int code;
  } cases[] = { { 200, WEIR_REJECTED }, { 404, WEIR_REJECTED }, { 401, WEIR_REJECTED }, { 429, WEIR_RETRY }, { 502, WEIR_RETRY },
    { 503, WEIR_RETRY }, { 504, WEIR_RETRY } };
  struct fixture f;
  open_for(&f, (struct harness_setup){ 0 }, "");
  harness_sink_http(&f.sink, f.h);
  f.sink.content_type = "text/html";
  f.sink.answer = "<html>";
  f.sink.answer_n = 6;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[80];
    f.sink.status = cases[i].status;
    snprintf(text, sizeof text, "HTTP status %u without grpc-status, content-type \"text/html\"", cases[i].status);
    send_three(&f);
    harness_done_is(f.h, cases[i].code, text);
  }
  tear_down(&f);
}

static void rubbish_and_a_hang_up_are_tried_again(void **state) {
  (void)state;
  static const char *const rubbish[] = { "", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n" };
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
  harness_sink_grpc(&f.sink, f.h);
  send_three(&f);
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  tear_down(&f);
}

static void no_answer_before_the_deadline_is_tried_again(void **state) {
  (void)state;
  struct fixture f;
  open_for(&f, (struct harness_setup){ .timeout_ns = 2 * NS_PER_S }, "");
  harness_sink_grpc(&f.sink, f.h);
  f.sink.hold = 1;
  harness_feed(f.h, harness_batch(f.h, 3, NULL));
  harness_sink_wait(&f.sink, 1);
  harness_has_header(f.sink.headers, "grpc-timeout", "2000m");
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
  harness_sink_grpc(&f.sink, f.h);
  f.sink.answer = answer;
  f.sink.answer_n = otlp_response_make(1, "one was too old", answer, sizeof answer);
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
    { "{}", "`endpoint`" },
    { "endpoint: ''", "`endpoint`" },
    { "{endpoint: 'b:4317', headers: {a: b, Transfer-Encoding: chunked}}", "headers: `Transfer-Encoding` belongs to the exporter" },
    { "{endpoint: 'b:4317', headers: {grpc-timeout: 1S}}", "headers: `grpc-timeout` belongs to gRPC" },
    { "{endpoint: 'b:4317', headers: {Host: a}}", "headers: `Host` is `authority` in gRPC" },
    { "{endpoint: 'b:4317', headers: {x-key: \"a\\nb\"}}", "headers: `x-key` has a control character in its value" },
    { "{endpoint: 'b:4317', headers: {a: b, Transfer-Encoding: chunked}}", "headers: `Transfer-Encoding` belongs to the exporter" },
    { "{endpoint: 'b:4317', headers: {grpc-timeout: 1S}}", "headers: `grpc-timeout` belongs to gRPC" },
    { "{endpoint: 'b:4317', headers: {Host: a}}", "headers: `Host` is `authority` in gRPC" },
    { "{endpoint: 'b:4317', headers: {x-key: \"a\\nb\"}}", "headers: `x-key` has a control character in its value" },
    { "{endpoint: 'b:4317', tls: {ca_file: /none.pem}}", "tls.ca_file: ca_file /none.pem: No such file or directory" },
    { "{endpoint: 'https://b:4317', tls: {insecure: true, cert_file: /none.pem, key_file: /none.key}}", "tls.cert_file: cert_file /none.pem: No such file or directory" },
    { "{endpoint: 'b:4317', tls: {cert_file: /none.pem}}", "tls.cert_file: a certificate and its key belong together" },
    { "{endpoint: 'b:4317', tls: {tpm: {enabled: true}}}", "tls.tpm: keys in a TPM are not supported" },
    { "{endpoint: 'http://b:4317', tls: {ca_file: /none.pem}}", "endpoint: http:// asks for plaintext, and `tls` has certificates" },
    { "{endpoint: 'xds:///b:4317', tls: {insecure: true}}", "endpoint: `xds:///b:4317` has a scheme that this version does not know" },
    { "{endpoint: 'http://b', tls: {insecure: true}}", "endpoint: " },
    { "{endpoint: 'http://b:4317', compression: lz4}", "expected one of gzip, none, zstd, snappy" },
    { "{endpoint: 'http://b', tls: {insecure: true}}", "endpoint: " },
    { "{endpoint: 'unix://@b', tls: {insecure: true}}", "endpoint: `unix://@b` is no address to connect to; write unix:///path with an absolute path; abstract sockets are not supported" },
    { "{endpoint: 'http://b:4317', compression: brotli}", "`compression`" },
    { "{endpoint: 'http://b:4317', auth: {authenticator: a}}", "auth.authenticator: extension `a` is not configured" },
    { "{endpoint: 'http://b:4317', max_message_bytes: 1000}", "`max_message_bytes`" },
    { "{endpoint: 'http://b:4317', endpiont: b}", "did you mean `endpoint`?" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    harness_refuses(WEIR_EXPORTER, "otlp", WEIR_TRACES, cases[i].yaml, cases[i].text);
}

static void more_headers_than_fit_are_refused(void **state) {
  (void)state;
  for (int n = 64; n <= 65; n++) {
    char yaml[2048];
    size_t at = (size_t)snprintf(yaml, sizeof yaml, "{endpoint: 'http://127.0.0.1:1', headers: {");
    for (int i = 0; i < n; i++) at += (size_t)snprintf(yaml + at, sizeof yaml - at, "%sh%d: v", i ? ", " : "", i);
    snprintf(yaml + at, sizeof yaml - at, "}}");
    if (n == 64)
      harness_free(harness_new(WEIR_EXPORTER, "otlp", yaml, WEIR_TRACES));
    else
      harness_refuses(WEIR_EXPORTER, "otlp", WEIR_TRACES, yaml, "headers: more than 64 headers");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_signal_goes_to_its_service_as_it_came),
    cmocka_unit_test(headers_and_the_user_agent_are_sent),
    cmocka_unit_test(the_authority_may_be_another_than_the_address),
    cmocka_unit_test(http_before_the_address_means_plaintext),
    cmocka_unit_test(several_batches_are_under_way_at_once),
    cmocka_unit_test(what_encodes_to_too_much_is_not_sent),
    cmocka_unit_test(a_single_record_that_is_too_large_is_tried),
    cmocka_unit_test(each_status_is_a_verdict),
    cmocka_unit_test(a_partial_success_is_passed_on),
    cmocka_unit_test(ok_with_a_message_that_is_no_answer_is_delivered),
    cmocka_unit_test(an_answer_that_is_longer_than_we_read_does_not_cut_the_batch),
    cmocka_unit_test(a_peer_that_is_no_grpc_server_is_told_by_its_http_status),
    cmocka_unit_test(rubbish_and_a_hang_up_are_tried_again),
    cmocka_unit_test(a_back_end_that_is_down_is_tried_again_and_found_when_it_is_up),
    cmocka_unit_test(no_answer_before_the_deadline_is_tried_again),
    cmocka_unit_test(without_memory_what_was_taken_is_sent_all_the_same),
    cmocka_unit_test(refusals),
    cmocka_unit_test(more_headers_than_fit_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
