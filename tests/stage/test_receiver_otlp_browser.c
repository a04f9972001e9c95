/* The otlp receiver and browsers: preflights before authentication, what a page may read, credentials in the query string, headers of every answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness_auth.h"
#include "harness_check.h"
#include "harness_net.h"

#define H(name, value) { { name, sizeof name - 1, 0 }, { value, sizeof value - 1, 0 } }

static const struct weir_http_header origin = H("origin", "https://shop.example.com"), method = H("access-control-request-method", "POST");

struct fixture {
  struct harness *h;
  struct harness_client client;
  struct harness_reply r;
  char *p;
  size_t n;
};

static void set_up(struct fixture *f, const char *keys) {
  char yaml[400];
  memset(f, 0, sizeof *f);
  snprintf(yaml, sizeof yaml, "protocols: {http: {endpoint: '127.0.0.1:0', %s}}", keys);
  struct harness_setup s = { .role = WEIR_RECEIVER, .type = "otlp", .yaml = yaml, .extension = harness_fake_auth() };
  f->h = harness_open(&s);
  harness_client_http(&f->client, f->h, harness_port());
  f->p = harness_request(WEIR_TRACES, 3, &f->n);
}

static void tear_down(struct fixture *f) {
  harness_reply_done(&f->r);
  harness_client_close(&f->client);
  harness_free(f->h);
  assert_int_equal(harness_fake_handles, 0);
  free(f->p);
}

/* OPTIONS has no body and is answered at once; a POST goes on to a batch, or is refused. */
static void send_it(struct fixture *f, const char *how, const char *path, const struct weir_http_header *v, size_t n) {
  int is_post = !strcmp(how, "POST");
  struct harness_http q = { .method = how, .path = path, .body = is_post ? f->p : NULL, .n = is_post ? f->n : 0, .more = v, .n_more = n };
  harness_reply_done(&f->r);
  harness_send_http(&f->client, &q, &f->r);
}

static void answered(struct fixture *f, const char *how, const char *path, const struct weir_http_header *v, size_t n, uint32_t status) {
  send_it(f, how, path, v, n);
  harness_wait_reply(f->h, &f->r);
  assert_int_equal(f->r.status, status);
  assert_int_equal(f->h->n_emitted, 0);
}

static void taken(struct fixture *f, const char *path, const struct weir_http_header *v, size_t n) {
  send_it(f, "POST", path, v, n);
  harness_wait_emitted(f->h, 1);
  harness_settle(f->h, harness_take_emitted(f->h), WEIR_DELIVERED);
  harness_wait_reply(f->h, &f->r);
  assert_int_equal(f->r.status, 200);
}

static void lacks(struct fixture *f, const char *text) {
  if (strstr(f->r.headers, text)) fail_msg("`%s` in\n%s", text, f->r.headers);
}

#define AUTH ", auth: {authenticator: fake}"
#define CORS "cors: {allowed_origins: ['https://*.example.com'], exposed_headers: [Retry-After], max_age: 7200}"

static void a_preflight_is_answered_before_anybody_asks_who_it_is(void **state) {
  (void)state;
  struct fixture f;
  struct weir_http_header asks[] = { origin, method, H("access-control-request-headers", "content-type") };
  set_up(&f, CORS AUTH);
  answered(&f, "OPTIONS", "/v1/traces", asks, 3, 204);
  harness_has_header(f.r.headers, "access-control-allow-origin", "https://shop.example.com");
  harness_has_header(f.r.headers, "access-control-allow-methods", "POST");
  harness_has_header(f.r.headers, "access-control-allow-headers", "content-type");
  harness_has_header(f.r.headers, "access-control-allow-credentials", "true");
  harness_has_header(f.r.headers, "access-control-max-age", "7200");
  assert_int_equal(f.r.n, 0);
  assert_true(harness_metric(f.h, "weir_receiver_auth_refused_total", "reason=\"missing\"") == 0);
  answered(&f, "OPTIONS", "/v1/traces", asks, 1, 401); /* no preflight */
  tear_down(&f);
}

static void a_page_may_read_what_it_is_told(void **state) {
  (void)state;
  struct fixture f;
  const struct weir_http_header right[] = { origin, H("authorization", "ok") }, elsewhere[] = { H("origin", "https://evil.com"), H("authorization", "ok") };
  set_up(&f, CORS AUTH);
  taken(&f, "/v1/traces", right, 2);
  harness_has_header(f.r.headers, "access-control-allow-origin", "https://shop.example.com");
  harness_has_header(f.r.headers, "access-control-expose-headers", "Retry-After");
  harness_has_header(f.r.headers, "vary", "Origin");
  answered(&f, "POST", "/v1/traces", right, 1, 401);
  harness_has_header(f.r.headers, "access-control-allow-origin", "https://shop.example.com");
  taken(&f, "/v1/traces", elsewhere, 2); /* served: who sends is for authentication to say */
  harness_has_header(f.r.headers, "vary", "Origin");
  lacks(&f, "access-control");
  tear_down(&f);
}

static void without_cors_nothing_is_added(void **state) {
  (void)state;
  static const char *const keys[] = { "keep_alives_enabled: true", "cors: ", "cors: {allowed_headers: [x-a], exposed_headers: [x-b]}", "response_headers: {}" };
  const struct weir_http_header asks[] = { origin, method };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    struct fixture f;
    set_up(&f, keys[i]);
    answered(&f, "OPTIONS", "/v1/traces", asks, 2, 405);
    lacks(&f, "access-control");
    lacks(&f, "vary");
    tear_down(&f);
  }
}

/* --- response_headers ---------------------------------------------------------------------------------------- */

static void every_answer_has_the_fixed_headers(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "response_headers: {X-Frame-Options: DENY, Cache-Control: no-store}, max_request_body_size: 4KiB");
  taken(&f, "/v1/traces", NULL, 0);
  harness_has_header(f.r.headers, "x-frame-options", "DENY");
  harness_has_header(f.r.headers, "cache-control", "no-store");
  harness_has_header(f.r.headers, "content-type", "application/x-protobuf");
  answered(&f, "POST", "/nowhere", NULL, 0, 404);
  harness_has_header(f.r.headers, "x-frame-options", "DENY");
  free(f.p);
  f.n = 5000;
  f.p = calloc(1, f.n);
  answered(&f, "POST", "/v1/traces", NULL, 0, 413);
  harness_has_header(f.r.headers, "x-frame-options", "DENY");
  tear_down(&f);
}

/* --- request_params -------------------------------------------------------------------------------------------- */

static void a_credential_may_stand_in_the_query(void **state) {
  (void)state;
  struct fixture f;
  const struct weir_http_header wrong = H("authorization", "guess"), right = H("authorization", "ok");
  set_up(&f, "include_metadata: true, auth: {authenticator: fake, request_params: [tenant, Authorization]}");
  answered(&f, "POST", "/v1/traces", NULL, 0, 401);
  answered(&f, "POST", "/v1/traces?x=Authorization", NULL, 0, 401);
  answered(&f, "POST", "/v1/traces?authorization=ok", NULL, 0, 401); /* names of parameters have their case */
  answered(&f, "POST", "/v1/traces?Authorization=guess", &right, 1, 401); /* the query's counts */
  taken(&f, "/v1/traces?tenant=a&Authorization=%6fk&Authorization=guess", &wrong, 1);
  taken(&f, "/v1/traces?tenant=a", &right, 1);
  send_it(&f, "POST", "/v1/traces?Authorization=ok", &wrong, 1);
  harness_wait_emitted(f.h, 1);
  const struct weir_context *c = f.h->emitted->context; /* the headers as they came: the query is not kept */
  uint32_t n = 0;
  const struct weir_pair *kept = weir_pairs_find(c->metadata, c->n_metadata, weir_str_of("authorization"), &n);
  assert_int_equal(n, 1);
  assert_true(weir_str_eq(kept->value, weir_str_of("guess")));
  harness_settle(f.h, harness_take_emitted(f.h), WEIR_DELIVERED);
  harness_wait_reply(f.h, &f.r);
  tear_down(&f);
}

static void without_the_key_a_query_is_nobodys_business(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "auth: {authenticator: fake}");
  answered(&f, "POST", "/v1/traces?authorization=ok", NULL, 0, 401);
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_preflight_is_answered_before_anybody_asks_who_it_is), cmocka_unit_test(a_page_may_read_what_it_is_told),
    cmocka_unit_test(without_cors_nothing_is_added), cmocka_unit_test(every_answer_has_the_fixed_headers),
    cmocka_unit_test(a_credential_may_stand_in_the_query), cmocka_unit_test(without_the_key_a_query_is_nobodys_business),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
