/* The exporters otlp and otlp_http with `auth`: what an authenticator adds to each request, and what a refusal of the credentials means. */
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
  int is_grpc;
};

static void set_up(struct fixture *f, int is_grpc, const char *keys) {
  char yaml[300];
  memset(f, 0, sizeof *f);
  harness_sink_init(&f->sink);
  snprintf(yaml, sizeof yaml, "{endpoint: 'http://127.0.0.1:%d', headers: {X-Fixed: '1'}%s}", f->sink.port, keys);
  struct harness_setup s = { .role = WEIR_EXPORTER, .type = is_grpc ? "otlp" : "otlp_http", .yaml = yaml, .extension = harness_fake_auth() };
  f->h = harness_open(&s);
  f->is_grpc = is_grpc;
  if (is_grpc) harness_sink_grpc(&f->sink, f->h);
  else harness_sink_http(&f->sink, f->h);
}

static void tear_down(struct fixture *f) {
  harness_sink_close(&f->sink);
  harness_free(f->h);
  assert_int_equal(harness_fake_handles, 0);
}

static void send_one(struct fixture *f, const char *metadata) {
  struct weir_batch *b = harness_batch(f->h, 2, NULL);
  const struct weir_context *c = metadata ? harness_context(f->h, metadata, NULL) : NULL;
  size_t n = f->h->n_done + 1;
  batch_set_context(b, c);
  context_unref(c);
  harness_feed(f->h, b);
  harness_wait_done(f->h, n);
}

static void each_request_is_signed(void **state) {
  (void)state;
  for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
    struct fixture f;
    set_up(&f, is_grpc, ", auth: {authenticator: fake}");
    send_one(&f, NULL);
    harness_done_is(f.h, WEIR_DELIVERED, NULL);
    harness_has_header(f.sink.headers, "authorization", "ok");
    harness_has_header(f.sink.headers, "x-fixed", "1");
    assert_null(strstr(f.sink.headers, "x-out"));
    send_one(&f, "x-tenant: blue\nx-other: 1\n");
    harness_has_header(f.sink.headers, "x-out", "blue");
    assert_null(strstr(f.sink.headers, "x-other"));
    send_one(&f, "x-tenant: red\n");
    harness_has_header(f.sink.headers, "x-out", "red");
    harness_has_header(f.sink.headers, "x-fixed", "1");
    harness_has_header(f.sink.headers, "content-type", is_grpc ? "application/grpc" : "application/x-protobuf");
    tear_down(&f);
  }
}

static void without_auth_nothing_of_the_context_is_sent(void **state) {
  (void)state;
  for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
    struct fixture f;
    set_up(&f, is_grpc, "");
    send_one(&f, "x-tenant: blue\nauthorization: secret\n");
    assert_null(strstr(f.sink.headers, "blue"));
    assert_null(strstr(f.sink.headers, "secret"));
    tear_down(&f);
  }
}

static void refused_credentials_are_final_unless_newer_ones_may_come(void **state) {
  (void)state;
  for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
    struct fixture f;
    set_up(&f, is_grpc, ", auth: {authenticator: fake}");
    f.sink.status = is_grpc ? WEIR_GRPC_UNAUTHENTICATED : 401;
    send_one(&f, NULL);
    assert_int_equal(f.h->done[0].verdict.code, WEIR_REJECTED);
    assert_int_equal(f.h->done[0].verdict.status, WEIR_GRPC_UNAUTHENTICATED);
    harness_fake_refused = 1;
    send_one(&f, NULL);
    assert_int_equal(f.h->done[1].verdict.code, WEIR_RETRY);
    f.sink.status = is_grpc ? WEIR_GRPC_PERMISSION_DENIED : 403;
    send_one(&f, NULL);
    assert_int_equal(f.h->done[2].verdict.code, WEIR_REJECTED);
    tear_down(&f);
  }
}

static void what_cannot_be_signed_is_not_sent(void **state) {
  (void)state;
  for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
    struct fixture f;
    set_up(&f, is_grpc, ", auth: {authenticator: fake}");
    send_one(&f, "x-tenant: a\nx-tenant: b\n");
    harness_done_is(f.h, WEIR_REJECTED, "two tenants");
    assert_int_equal(f.sink.n_requests, 0);
    tear_down(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_request_is_signed),
    cmocka_unit_test(without_auth_nothing_of_the_context_is_sent),
    cmocka_unit_test(refused_credentials_are_final_unless_newer_ones_may_come),
    cmocka_unit_test(what_cannot_be_signed_is_not_sent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
