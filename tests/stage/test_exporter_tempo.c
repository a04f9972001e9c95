/* The tempo exporter: both protocols, tenants, sizes. The answers in full are those of test_exporter_otlp.c and test_exporter_otlp_http.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness_auth.h"
#include "harness_check.h"
#include "harness_net.h"

struct fixture {
  struct harness *h;
  struct harness_sink sink;
};

static void set_up(struct fixture *f, int is_http, const char *keys) {
  char yaml[400];
  harness_sink_init(&f->sink);
  snprintf(yaml, sizeof yaml, "{endpoint: 'http://127.0.0.1:%d'%s%s}", f->sink.port, is_http ? ", protocol: http" : "", keys);
  struct harness_setup s = { .role = WEIR_EXPORTER, .type = "tempo", .yaml = yaml, .extension = harness_fake_auth() };
  f->h = harness_open(&s);
  if (is_http) harness_sink_http(&f->sink, f->h);
  else harness_sink_grpc(&f->sink, f->h);
}

static void tear_down(struct fixture *f) {
  harness_sink_close(&f->sink);
  harness_free(f->h);
}

static const struct harness_done *send_batch(struct fixture *f, struct weir_batch *b) {
  size_t n = f->h->n_done + 1;
  harness_feed(f->h, b);
  harness_wait_done(f->h, n);
  return &f->h->done[n - 1];
}

static void spans_go_as_they_came(void **state) {
  (void)state;
  for (int is_http = 0; is_http < 2; is_http++) {
    struct fixture f;
    size_t n;
    char *p = harness_request(WEIR_TRACES, 5, &n);
    set_up(&f, is_http, ", compression: none, headers: {X-Mine: '1'}, user_agent: me/1");
    send_batch(&f, harness_batch_bytes(f.h, WEIR_TRACES, p, n, NULL));
    harness_done_is(f.h, WEIR_DELIVERED, NULL);
    assert_string_equal(f.sink.path, is_http ? "/v1/traces" : HARNESS_TRACES_RPC);
    assert_int_equal(f.sink.n, n);
    assert_memory_equal(f.sink.body, p, n);
    harness_has_header(f.sink.headers, "x-mine", "1");
    harness_has_header(f.sink.headers, "user-agent", "me/1");
    assert_null(strstr(f.sink.headers, "x-scope-orgid"));
    free(p);
    tear_down(&f);
  }
}

#define OF(tenant, spans) "{\"resource\":{\"attributes\":[{\"key\":\"tenant.id\",\"value\":{\"stringValue\":\"" tenant "\"}}]},\"scopeSpans\":[{\"spans\":[" spans "]}]}"
#define TRACES(resources) "{\"resourceSpans\":[" resources "]}"

static void a_request_has_one_tenant(void **state) {
  (void)state;
  for (int is_http = 0; is_http < 2; is_http++) {
    struct fixture f;
    set_up(&f, is_http, ", tenant: rest, tenant_from_attribute: tenant.id, headers: {X-Scope-OrgID: other}, auth: {authenticator: fake}");
    send_batch(&f, harness_batch_json(f.h, TRACES(OF("blue", "{},{}")), NULL));
    harness_has_header(f.sink.headers, "x-scope-orgid", "blue");
    assert_null(strstr(f.sink.headers, "other"));
    harness_has_header(f.sink.headers, "authorization", "ok");
    send_batch(&f, harness_batch(f.h, 2, NULL));
    harness_has_header(f.sink.headers, "x-scope-orgid", "rest");
    const struct harness_done *d = send_batch(&f, harness_batch_json(f.h, TRACES(OF("blue", "{},{}") "," OF("red", "{}")), NULL));
    assert_int_equal(d->verdict.code, WEIR_REJECTED);
    assert_int_equal(d->verdict.too_large, 1);
    assert_int_equal(d->verdict.cut, 2);
    send_batch(&f, harness_batch_json(f.h, TRACES(OF("a b", "{}")), NULL));
    harness_done_is(f.h, WEIR_REJECTED, "`a b` is no tenant");
    assert_int_equal(f.sink.n_requests, 2);
    tear_down(&f);
    set_up(&f, is_http, ", tenant_from_context: x-team");
    struct weir_batch *b = harness_batch(f.h, 1, NULL);
    const struct weir_context *c = harness_context(f.h, "x-team: green\n", NULL);
    batch_set_context(b, c);
    context_unref(c);
    send_batch(&f, b);
    harness_has_header(f.sink.headers, "x-scope-orgid", "green");
    send_batch(&f, harness_batch(f.h, 1, NULL)); /* and the next request has none */
    assert_null(strstr(f.sink.headers, "x-scope-orgid"));
    tear_down(&f);
  }
}

static void what_is_too_large_is_given_back(void **state) {
  (void)state;
  for (int is_http = 0; is_http < 2; is_http++) {
    struct fixture f;
    set_up(&f, is_http, ", max_message_bytes: 1KiB");
    const struct harness_done *d = send_batch(&f, harness_batch(f.h, 100, NULL));
    harness_done_is(f.h, WEIR_REJECTED, "over max_message_bytes");
    assert_int_equal(d->verdict.too_large, 1);
    assert_int_equal(d->verdict.cut, 0);
    assert_int_equal(f.sink.n_requests, 0);
    send_batch(&f, harness_batch(f.h, 3, NULL));
    harness_done_is(f.h, WEIR_DELIVERED, NULL);
    tear_down(&f);
  }
}

static void answers_are_verdicts(void **state) {
  (void)state;
  static const struct {
    uint32_t grpc, http;
    int code;
  } cases[] = { { WEIR_GRPC_UNAVAILABLE, 503, WEIR_RETRY }, { WEIR_GRPC_INVALID_ARGUMENT, 400, WEIR_REJECTED }, { WEIR_GRPC_OK, 200, WEIR_DELIVERED } };
  for (int is_http = 0; is_http < 2; is_http++) {
    struct fixture f;
    set_up(&f, is_http, "");
    for (size_t i = 0; i < 3; i++) {
      f.sink.status = is_http ? cases[i].http : cases[i].grpc;
      f.sink.msg = "says Tempo";
      const struct harness_done *d = send_batch(&f, harness_batch(f.h, 3, NULL));
      assert_int_equal(d->verdict.code, cases[i].code);
    }
    tear_down(&f);
  }
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { "{}", "endpoint" },
    { "{endpoint: 'tempo:4318', protocol: http}", "endpoint: `tempo:4318` is no URL" },
    { "{endpoint: 'ftp://tempo:1'}", "endpoint" },
    { "{endpoint: 'http://t:1', tenant: 'a|b'}", "tenant: `a|b` is no tenant" },
    { "{endpoint: 'http://t:1', headers: {Content-Type: x}}", "headers: `Content-Type` belongs to the exporter" },
    { "{endpoint: 'http://t:1', protocol: http, headers: {Content-Type: x}}", "headers: `Content-Type` belongs to the exporter" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) harness_refuses(WEIR_EXPORTER, "tempo", WEIR_TRACES, cases[i].yaml, cases[i].text);
}

#define T(f) cmocka_unit_test(f)

int main(void) {
  const struct CMUnitTest tests[] = { T(spans_go_as_they_came), T(a_request_has_one_tenant), T(what_is_too_large_is_given_back), T(answers_are_verdicts), T(refusals) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
