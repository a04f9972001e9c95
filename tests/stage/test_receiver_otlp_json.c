/* The otlp receiver over HTTP with JSON: what came as JSON is as if it had come as protobuf, and every answer is JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/otlp_json.h"
#include "harness_check.h"
#include "harness_net.h"

static const struct {
  uint32_t signal;
  const char *path;
} signals[] = { { WEIR_TRACES, "/v1/traces" }, { WEIR_METRICS, "/v1/metrics" }, { WEIR_LOGS, "/v1/logs" } };

struct fixture {
  struct harness *h;
  struct harness_client client;
  struct harness_reply r;
  struct pool *pool; /* outside the budget */
};

static void set_up(struct fixture *f, int need) {
  struct harness_setup s = { .role = WEIR_RECEIVER, .type = "otlp", .yaml = "protocols: {http: {endpoint: '127.0.0.1:0'}}",
    .signal = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS, .need = need };
  memset(f, 0, sizeof *f);
  f->h = harness_open(&s);
  harness_client_http(&f->client, f->h, harness_port());
  f->pool = pool_new(NULL);
}

static void tear_down(struct fixture *f) {
  harness_reply_done(&f->r);
  harness_client_close(&f->client);
  harness_free(f->h);
  pool_free(f->pool);
}

/* The request of n records as JSON, from the fixture's pool. */
static struct weir_body *as_json(struct fixture *f, uint32_t signal, const char *p, size_t n) {
  struct weir_data tree;
  struct otlp_counts counts;
  struct weir_body *text;
  struct arena a;
  arena_init(&a, NULL, 0);
  assert_int_equal(otlp_decode(signal, &a, p, n, NULL, &tree, &counts, NULL), 0);
  assert_int_equal(otlp_json_encode(f->pool, &tree, &text, NULL), 0);
  arena_done(&a);
  return text;
}

static void post_json(struct fixture *f, const char *path, const char *p, size_t n) {
  struct harness_http q = { .path = path, .content_type = "application/json; charset=utf-8", .body = p, .n = n };
  harness_reply_done(&f->r);
  harness_send_http(&f->client, &q, &f->r);
}

static void post_text(struct fixture *f, const char *path, const char *text) { post_json(f, path, text, strlen(text)); }

static void check_json(struct fixture *f, uint32_t http, const char *text) {
  harness_wait_reply(f->h, &f->r);
  if (f->r.status != http) fail_msg("HTTP %u, expected %u: %s %s", f->r.status, http, f->r.msg, f->r.body);
  harness_has_header(f->r.headers, "content-type", "application/json");
  harness_contains(f->r.body, text);
}

static void json_of_each_signal_becomes_the_same_batch(void **state) {
  (void)state;
  static const char *const partial[] = { "{\"partialSuccess\":{\"rejectedSpans\":\"1\",\"errorMessage\":\"old\"}}",
    "{\"partialSuccess\":{\"rejectedDataPoints\":\"1\",\"errorMessage\":\"old\"}}", "{\"partialSuccess\":{\"rejectedLogRecords\":\"1\",\"errorMessage\":\"old\"}}" };
  for (size_t i = 0; i < 6; i++) { /* with a tree and without */
    struct fixture f;
    struct weir_verdict v = { .code = WEIR_DELIVERED, .rejected = 1, .msg = "old" };
    int64_t indexes[8];
    size_t n;
    set_up(&f, i < 3 ? WEIR_NEED_COUNTS : WEIR_NEED_RECORDS);
    char *p = harness_request(signals[i % 3].signal, 4, &n);
    struct weir_body *text = as_json(&f, signals[i % 3].signal, p, n);
    for (int answer = 0; answer < 2; answer++) {
      post_json(&f, signals[i % 3].path, text->p, text->n);
      harness_wait_emitted(f.h, 1);
      struct weir_batch *b = harness_take_emitted(f.h);
      assert_int_equal(b->items, 4);
      assert_int_equal(harness_indexes(b, indexes, 8), 4);
      assert_int_equal(indexes[3], 3);
      batch_settle(b, &v);
      check_json(&f, 200, answer ? "{}" : partial[i % 3]);
      v.rejected = 0;
      v.msg = NULL;
    }
    body_free(text);
    free(p);
    tear_down(&f);
  }
}

static void json_is_refused_in_json(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, WEIR_NEED_COUNTS);
  post_text(&f, "/v1/traces", "{\"resourceSpans\":[1]}");
  check_json(&f, 400, "{\"code\":3,\"message\":\"resourceSpans: expected {, got `1` (at byte 18)\"}");
  post_text(&f, "/v1/logs", "");
  check_json(&f, 400, "expected {, got the end of the document (at byte 0)");
  post_text(&f, "/v1/metrics", " {} ");
  check_json(&f, 200, "{}");
  struct weir_verdict later = { .code = WEIR_RETRY, .retry_after_ns = 2500000000, .msg = "full" };
  post_text(&f, "/v1/traces", "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{}]}]}]}");
  harness_wait_emitted(f.h, 1);
  batch_settle(harness_take_emitted(f.h), &later);
  check_json(&f, 503, "\"retryDelay\":\"2.500000000s\"");
  harness_has_header(f.r.headers, "retry-after", "3");
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(json_of_each_signal_becomes_the_same_batch),
    cmocka_unit_test(json_is_refused_in_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
