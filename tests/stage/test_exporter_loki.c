/* The loki exporter: both protocols on the wire, tenants, and what it makes of Loki's answers. What a push holds is told by tests/unit/exporters/test_loki.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/compress.h"
#include "core/otlp.h"
#include "harness_auth.h"
#include "harness_check.h"
#include "harness_net.h"

#define PUSH "protocol: push"
#define PUSH_JSON "protocol: push, encoding: json, compression: none"

struct fixture {
  struct harness *h;
  struct harness_sink sink;
};

static void open_at(struct fixture *f, const char *path, const char *keys, uint64_t budget) {
  char yaml[512];
  harness_sink_init(&f->sink);
  snprintf(yaml, sizeof yaml, "{endpoint: 'http://127.0.0.1:%d%s'%s%s}", f->sink.port, path, *keys ? ", " : "", keys);
  struct harness_setup s = { .role = WEIR_EXPORTER, .type = "loki", .yaml = yaml, .signal = WEIR_LOGS, .budget_bytes = budget };
  f->h = harness_open(&s);
  harness_sink_http(&f->sink, f->h);
}

static void set_up(struct fixture *f, const char *keys) { open_at(f, "", keys, 0); }

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

static const struct harness_done *send_three(struct fixture *f) { return send_batch(f, harness_batch(f->h, 3, NULL)); }

/* The body as it was before `encoding`: the caller frees it. */
static struct weir_body *plain(struct fixture *f, const char *encoding) {
  struct weir_body *body = NULL;
  struct weir_error err = { 0 };
  if (compress_inflate(f->h->loop.pool, weir_str_of(encoding), f->sink.body, f->sink.n, 1 << 20, 0, &body, &err)) fail_msg("%s: %s", encoding, err.msg);
  return body;
}

/* --- what is sent ------------------------------------------------------------------------------------------------------------ */

static void each_protocol_has_its_path(void **state) {
  (void)state;
  static const struct {
    const char *path, *keys, *to, *type, *encoding;
  } cases[] = {
    { "", "", "/otlp/v1/logs", "application/x-protobuf", "gzip" },
    { "/", "", "/otlp/v1/logs", "application/x-protobuf", "gzip" },
    { "/otlp", "compression: none", "/otlp/v1/logs", "application/x-protobuf", NULL },
    { "/logs/otlp/", "compression: zstd", "/logs/otlp/v1/logs", "application/x-protobuf", "zstd" },
    { "", "encoding: json", "/otlp/v1/logs", "application/json", "gzip" },
    { "", PUSH, "/loki/api/v1/push", "application/x-protobuf", "snappy" },
    { "/", PUSH ", compression: none", "/loki/api/v1/push", "application/x-protobuf", "snappy" },
    { "/loki/api/v1/push", PUSH, "/loki/api/v1/push", "application/x-protobuf", "snappy" },
    { "/proxy/push", PUSH, "/proxy/push", "application/x-protobuf", "snappy" },
    { "", PUSH_JSON, "/loki/api/v1/push", "application/json", NULL },
    { "", "protocol: push, encoding: json", "/loki/api/v1/push", "application/json", "gzip" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct fixture f;
    open_at(&f, cases[i].path, cases[i].keys, 0);
    f.sink.status = 204;
    send_three(&f);
    harness_done_is(f.h, WEIR_DELIVERED, NULL);
    assert_string_equal(f.sink.path, cases[i].to);
    harness_has_header(f.sink.headers, "content-type", cases[i].type);
    if (cases[i].encoding) harness_has_header(f.sink.headers, "content-encoding", cases[i].encoding);
    else assert_null(strstr(f.sink.headers, "content-encoding"));
    assert_null(strstr(f.sink.headers, "x-scope-orgid"));
    tear_down(&f);
  }
}

static void otlp_goes_as_it_came(void **state) {
  (void)state;
  struct fixture f;
  size_t n;
  char *p = harness_request(WEIR_LOGS, 5, &n);
  set_up(&f, "compression: none");
  send_batch(&f, harness_batch_bytes(f.h, WEIR_LOGS, p, n, NULL));
  assert_int_equal(f.sink.n, n);
  assert_memory_equal(f.sink.body, p, n);
  free(p);
  tear_down(&f);
}

static void a_push_is_what_the_encoder_made(void **state) {
  (void)state;
  static const char expected[] = "{\"streams\":[{\"stream\":{\"env\":\"t\",\"service_name\":\"s\"},\"values\":[[\"7\",\"hello\",{\"a\":\"1\"}]]}]}";
  static const char logs[] = "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"s\"}}]},\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"7\","
                             "\"body\":{\"stringValue\":\"hello\"},\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}}]}]}]}]}";
  struct fixture f;
  set_up(&f, PUSH_JSON ", max_conns_per_host: 1, labels: {static: {env: t}}");
  f.sink.hold = 1;
  harness_feed(f.h, harness_batch(f.h, 1, NULL));
  harness_sink_wait(&f.sink, 1);
  harness_feed(f.h, harness_batch_json(f.h, logs, NULL)); /* waits for the connection, */
  harness_feed(f.h, harness_batch(f.h, 50, NULL));        /* while the encoder's buffers are used again */
  harness_sink_release(&f.sink);
  harness_sink_wait(&f.sink, 2);
  assert_int_equal(f.sink.n, sizeof expected - 1);
  assert_memory_equal(f.sink.body, expected, f.sink.n);
  f.sink.hold = 0;
  harness_sink_release(&f.sink);
  harness_wait_done(f.h, 3);
  tear_down(&f);
  set_up(&f, "protocol: push, encoding: json, labels: {static: {env: t}}");
  send_batch(&f, harness_batch_json(f.h, logs, NULL));
  struct weir_body *json = plain(&f, "gzip");
  assert_int_equal(json->n, sizeof expected - 1);
  assert_memory_equal(json->p, expected, json->n);
  body_free(json);
  tear_down(&f);
  set_up(&f, PUSH);
  send_batch(&f, harness_batch_json(f.h, logs, NULL));
  struct weir_body *body = plain(&f, "snappy");
  assert_true(body->n > 30 && memmem(body->p, body->n, "{service_name=\"s\"}", 18) && memmem(body->p, body->n, "\x12\x05hello", 7));
  body_free(body);
  tear_down(&f);
}

static void what_is_too_large_is_given_back(void **state) {
  (void)state;
  static const char *const keys[] = { "", "encoding: json", PUSH, PUSH_JSON };
  for (size_t i = 0; i < 4; i++) {
    struct fixture f;
    char all[128];
    snprintf(all, sizeof all, "%s%smax_message_bytes: 1KiB", keys[i], *keys[i] ? ", " : "");
    set_up(&f, all);
    const struct harness_done *d = send_batch(&f, harness_batch(f.h, 100, NULL));
    harness_done_is(f.h, WEIR_REJECTED, "over max_message_bytes");
    assert_int_equal(d->verdict.too_large, 1);
    assert_int_equal(d->verdict.cut, 0);
    assert_int_equal(f.sink.n_requests, 0);
    send_three(&f);
    harness_done_is(f.h, WEIR_DELIVERED, NULL);
    tear_down(&f);
  }
}

static void without_memory_it_is_tried_again(void **state) {
  (void)state;
  static const char *const keys[] = { PUSH, PUSH_JSON };
  for (size_t i = 0; i < 2; i++) {
    struct fixture f;
    open_at(&f, "", keys[i], 1 << 20);
    struct weir_batch *b = harness_batch(f.h, 3, NULL);
    struct weir_error err;
    batch_read(b, &err);
    uint64_t taken = harness_exhaust(f.h);
    const struct harness_done *d = send_batch(&f, b);
    assert_true(d->verdict.code == WEIR_RETRY || d->verdict.code == WEIR_DELIVERED); /* a body on its way out may overdraw */
    budget_give(&f.h->env.budget, taken);
    send_three(&f);
    harness_done_is(f.h, WEIR_DELIVERED, NULL);
    tear_down(&f);
  }
}

/* --- tenants ------------------------------------------------------------------------------------------------------------------ */

#define OF(tenant, line) "{\"resource\":{\"attributes\":[{\"key\":\"tenant.id\",\"value\":{\"stringValue\":\"" tenant "\"}}]},\"scopeLogs\":[{\"logRecords\":[" line "]}]}"
#define NOBODY "{\"scopeLogs\":[{\"logRecords\":[{}]}]}"
#define LOGS(resources) "{\"resourceLogs\":[" resources "]}"

static void a_request_has_one_tenant(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, PUSH ", tenant: team-a, headers: {X-Scope-OrgID: other}");
  send_three(&f);
  harness_has_header(f.sink.headers, "x-scope-orgid", "team-a");
  assert_null(strstr(f.sink.headers, "other"));
  tear_down(&f);
  set_up(&f, "tenant_from_attribute: tenant.id, tenant: rest");
  send_batch(&f, harness_batch_json(f.h, LOGS(OF("blue", "{}") "," OF("blue", "{},{}") "," OF("empty one is no request", "")), NULL));
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  harness_has_header(f.sink.headers, "x-scope-orgid", "blue");
  send_batch(&f, harness_batch_json(f.h, LOGS(NOBODY), NULL));
  harness_has_header(f.sink.headers, "x-scope-orgid", "rest");
  tear_down(&f);
  set_up(&f, "tenant_from_attribute: tenant.id");
  send_batch(&f, harness_batch_json(f.h, LOGS(NOBODY), NULL));
  harness_done_is(f.h, WEIR_DELIVERED, NULL);
  assert_null(strstr(f.sink.headers, "x-scope-orgid"));
  tear_down(&f);
}

static void a_batch_of_several_tenants_is_cut(void **state) {
  (void)state;
  static const struct {
    const char *logs;
    uint32_t cut;
  } cases[] = { { LOGS(OF("blue", "{},{}") "," OF("red", "{}")), 2 }, { LOGS(OF("blue", "{}") "," OF("blue", "{},{},{}") "," NOBODY), 4 }, { LOGS(NOBODY "," OF("rest", "{}") "," OF("red", "{}")), 2 } };
  static const char *const keys[] = { "", ", " PUSH };
  for (size_t i = 0; i < 6; i++) {
    struct fixture f;
    char all[128];
    snprintf(all, sizeof all, "tenant: rest, tenant_from_attribute: tenant.id%s", keys[i % 2]);
    set_up(&f, all);
    const struct harness_done *d = send_batch(&f, harness_batch_json(f.h, cases[i / 2].logs, NULL));
    assert_int_equal(d->verdict.code, WEIR_REJECTED);
    assert_int_equal(d->verdict.too_large, 1);
    assert_int_equal(d->verdict.cut, cases[i / 2].cut);
    assert_int_equal(f.sink.n_requests, 0);
    tear_down(&f);
  }
}

static void metadata_may_name_the_tenant(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "tenant_from_context: X-Scope-OrgID, tenant: rest");
  struct weir_batch *b = harness_batch(f.h, 1, NULL);
  const struct weir_context *c = harness_context(f.h, "x-scope-orgid: green\nx-scope-orgid: second\n", NULL);
  batch_set_context(b, c);
  context_unref(c);
  send_batch(&f, b);
  harness_has_header(f.sink.headers, "x-scope-orgid", "green");
  send_three(&f);
  harness_has_header(f.sink.headers, "x-scope-orgid", "rest");
  tear_down(&f);
}

static void names_that_are_no_tenants_are_refused(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "tenant_from_attribute: tenant.id, tenant: rest");
  static const char *const logs[] = { LOGS(OF("a|b", "{}")), LOGS(OF("a\\r\\nX-Evil: 1", "{}")), LOGS(OF("..", "{}")), LOGS(OF("a b", "{}")) };
  for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) {
    send_batch(&f, harness_batch_json(f.h, logs[i], NULL));
    harness_done_is(f.h, WEIR_REJECTED, "is no tenant");
    assert_int_equal(f.h->done[i].verdict.too_large, 0);
  }
  assert_int_equal(f.sink.n_requests, 0);
  tear_down(&f);
}

/* --- answers ------------------------------------------------------------------------------------------------------------------ */

#define BEHIND(n) "entry with timestamp x ignored, reason: 'entry too far behind',\nuser 'fake', total ignored: " n " out of 3 for stream: {a=\"b\"}"

static void answers_are_verdicts(void **state) {
  (void)state;
  static const struct {
    uint32_t status;
    const char *text;
    int code;
    uint64_t rejected;
  } cases[] = {
    { 204, "", WEIR_DELIVERED, 0 },
    { 400, BEHIND("2"), WEIR_DELIVERED, 2 },
    { 400, BEHIND("3"), WEIR_REJECTED, 0 }, /* all of it */
    { 400, BEHIND("4000"), WEIR_REJECTED, 0 },
    { 400, "1 errors like: entry for stream '{}' has timestamp too old: x", WEIR_DELIVERED, 1 },
    { 400, "error parsing labels", WEIR_REJECTED, 0 },
    { 422, BEHIND("2"), WEIR_REJECTED, 0 }, /* the text counts with 400 only */
    { 401, "no org id", WEIR_REJECTED, 0 },
    { 429, "Ingestion rate limit exceeded for user fake", WEIR_RETRY, 0 },
    { 500, "at least 1 live replicas required, could only find 0", WEIR_RETRY, 0 },
    { 500, "no schema config found for time 1500000000", WEIR_REJECTED, 0 },
    { 503, "no schema config found for time 1500000000", WEIR_REJECTED, 0 },
    { 503, "busy", WEIR_RETRY, 0 },
    { 507, "disk full", WEIR_RETRY, 0 },
  };
  for (int is_push = 0; is_push < 2; is_push++) {
    struct fixture f;
    set_up(&f, is_push ? PUSH : "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      char status[600];
      f.sink.status = cases[i].status;
      f.sink.content_type = is_push ? "text/plain; charset=utf-8" : "application/octet-stream";
      f.sink.answer = is_push ? cases[i].text : status;
      f.sink.answer_n = is_push ? strlen(cases[i].text) : rpc_status_make(0, cases[i].text, -1, status, sizeof status);
      f.sink.retry_after = "3";
      const struct harness_done *d = send_three(&f);
      harness_done_is(f.h, cases[i].code, *cases[i].text ? cases[i].text : NULL);
      assert_int_equal(d->verdict.rejected, cases[i].rejected);
      assert_int_equal(d->verdict.retry_after_ns, cases[i].code == WEIR_RETRY ? 3 * NS_PER_S : 0);
    }
    tear_down(&f);
  }
}

/* Loki names each entry that it refuses; what is too long to be read whole says nothing of how many. */
static void a_long_refusal_is_read_and_a_longer_one_is_not_guessed(void **state) {
  (void)state;
  char *text = malloc(3 << 20);
  struct fixture f;
  set_up(&f, PUSH);
  f.sink.status = 400;
  f.sink.content_type = "text/plain";
  memset(text, 'x', 3 << 20);
  memcpy(text + 900000, BEHIND("2"), sizeof BEHIND("2") - 1);
  f.sink.answer = text;
  f.sink.answer_n = 1000000;
  const struct harness_done *d = send_three(&f);
  assert_int_equal(d->verdict.code, WEIR_DELIVERED);
  assert_int_equal(d->verdict.rejected, 2);
  f.sink.answer_n = 3 << 20;
  d = send_three(&f);
  assert_int_equal(d->verdict.code, WEIR_REJECTED);
  assert_int_equal(d->verdict.rejected, 0);
  free(text);
  tear_down(&f);
}

/* --- configuration -------------------------------------------------------------------------------------------------------------- */

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { "{}", "endpoint" },
    { "{endpoint: 'loki:3100'}", "`loki:3100` is no URL" },
    { "{endpoint: 'http://l:1/loki/api/v1/push'}", "endpoint: this is the URL of Loki's push API, and `protocol` is otlp" },
    { "{endpoint: 'http://l:1/x/loki/api/v1/push//', protocol: otlp}", "endpoint: this is the URL of Loki's push API, and `protocol` is otlp" },
    { "{endpoint: 'http://u:p@l:1/loki/api/v1/push'}", "endpoint: user and password in an endpoint are not supported" },
    { "{endpoint: 'http://l:1/otlp/v1/logs'}", "endpoint: /v1/logs is added to this URL, which ends with it" },
    { "{endpoint: 'http://l:1', labels: {}}", "labels: with OTLP, Loki decides what becomes a label" },
    { "{endpoint: 'http://l:1', protocol: push, encoding: json, compression: zstd}", "compression: Loki's push API does not take zstd" },
    { "{endpoint: 'http://l:1', protocol: push, labels: {static: {'a.b': x}}}", "labels.static: `a.b` is no label name" },
    { "{endpoint: 'http://l:1', protocol: push, labels: {max: 65}}", "max" },
    { "{endpoint: 'http://l:1', tenant: 'a|b'}", "tenant: `a|b` is no tenant" },
    { "{endpoint: 'http://l:1', tenant: ''}", "tenant: `` is no tenant" },
    { "{endpoint: 'http://l:1', tenant_from_attribute: ''}", "tenant_from_attribute: it may not be empty" },
    { "{endpoint: 'http://l:1', tenant_from_context: ''}", "tenant_from_context: it must have 1 to 127 characters" },
    { "{endpoint: 'http://l:1', max_message_bytes: 1}", "max_message_bytes" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) harness_refuses(WEIR_EXPORTER, "loki", WEIR_LOGS, cases[i].yaml, cases[i].text);
}

#define T(f) cmocka_unit_test(f)

int main(void) {
  const struct CMUnitTest tests[] = { T(each_protocol_has_its_path), T(otlp_goes_as_it_came), T(a_push_is_what_the_encoder_made), T(what_is_too_large_is_given_back), T(without_memory_it_is_tried_again),
    T(a_request_has_one_tenant), T(a_batch_of_several_tenants_is_cut), T(metadata_may_name_the_tenant), T(names_that_are_no_tenants_are_refused), T(answers_are_verdicts),
    T(a_long_refusal_is_read_and_a_longer_one_is_not_guessed), T(refusals) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
