/* The jaeger exporter: the otlp exporter's work under its own name, for traces. test_exporter_otlp.c has the answers in full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness_check.h"
#include "harness_net.h"

static struct harness *open_for(struct harness_sink *s) {
  char yaml[96];
  harness_sink_init(s);
  snprintf(yaml, sizeof yaml, "{endpoint: '127.0.0.1:%d', tls: {insecure: true}}", s->port);
  struct harness *h = harness_new(WEIR_EXPORTER, "jaeger", yaml, WEIR_TRACES);
  harness_sink_grpc(s, h);
  return h;
}

static void spans_go_to_jaegers_otlp_port_as_they_came(void **state) {
  (void)state;
  struct harness_sink sink;
  struct harness *h = open_for(&sink);
  size_t n;
  char *p = harness_request(WEIR_TRACES, 5, &n);
  harness_feed(h, harness_batch_bytes(h, WEIR_TRACES, p, n, NULL));
  harness_wait_done(h, 1);
  harness_done_is(h, WEIR_DELIVERED, NULL);
  assert_string_equal(sink.path, HARNESS_TRACES_RPC);
  assert_int_equal(sink.n, n);
  assert_memory_equal(sink.body, p, n);
  harness_has_header(sink.headers, "grpc-encoding", "gzip");
  free(p);
  harness_sink_close(&sink);
  harness_free(h);
}

static void answers_are_verdicts(void **state) {
  (void)state;
  static const struct {
    uint32_t status;
    int code;
  } cases[] = { { WEIR_GRPC_UNAVAILABLE, WEIR_RETRY }, { WEIR_GRPC_INVALID_ARGUMENT, WEIR_REJECTED }, { WEIR_GRPC_OK, WEIR_DELIVERED } };
  struct harness_sink sink;
  struct harness *h = open_for(&sink);
  for (size_t i = 0; i < 3; i++) {
    struct harness_waiter w = { 0 };
    sink.status = cases[i].status;
    sink.msg = "says Jaeger";
    harness_feed(h, harness_batch(h, 2, &w));
    harness_wait_done(h, i + 1);
    harness_run(h);
    harness_done_is(h, cases[i].code, cases[i].status ? "says Jaeger" : NULL);
    assert_int_equal(w.heard, 1);
    assert_int_equal(w.verdict.code, cases[i].code);
  }
  harness_sink_close(&sink);
  harness_free(h);
}

static void refusals(void **state) {
  (void)state;
  harness_refuses(WEIR_EXPORTER, "jaeger", WEIR_TRACES, "{}", "`endpoint`");
  harness_refuses(WEIR_EXPORTER, "jaeger", WEIR_TRACES, "{endpoint: 'jaeger:4317', tls: {ca_file: /none.pem}}", "tls.ca_file: ca_file /none.pem: No such file or directory");
  harness_refuses(WEIR_EXPORTER, "jaeger", WEIR_TRACES, "{endpoint: 'http://jaeger:4317', tls: {ca_file: /none.pem}}", "endpoint: http:// asks for plaintext, and `tls` has certificates");
  harness_refuses(
    WEIR_EXPORTER, "jaeger", WEIR_TRACES, "{endpoint: 'http://jaeger:4317', compression: lz4}", "expected one of gzip, none, zstd, snappy");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(spans_go_to_jaegers_otlp_port_as_they_came),
    cmocka_unit_test(answers_are_verdicts),
    cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
