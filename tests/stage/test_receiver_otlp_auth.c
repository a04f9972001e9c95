/* The otlp receiver: who may send, over both protocols, and what is kept of a request (include_metadata, the client's address, attributes). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness_auth.h"
#include "harness_check.h"
#include "harness_net.h"

#define LOCAL "endpoint: '127.0.0.1:0'"

static const struct weir_http_header lines[] = { { { "authorization", 13, 0 }, { "ok", 2, 0 } }, { { "X-Tenant", 8, 0 }, { "blue", 4, 0 } }, { { "x-tenant", 8, 0 }, { "red", 3, 0 } } },
                                     wrong = { { "authorization", 13, 0 }, { "guess", 5, 0 } }, busy = { { "authorization", 13, 0 }, { "busy", 4, 0 } };

struct fixture {
  struct harness *h;
  struct harness_client client;
  struct harness_reply r;
  int is_grpc;
  char *p;
  size_t n;
};

static void set_up_within(struct fixture *f, int is_grpc, const char *keys, uint64_t budget_bytes) {
  char yaml[300];
  memset(f, 0, sizeof *f);
  snprintf(yaml, sizeof yaml, "protocols: {%s: {" LOCAL "%s}}", is_grpc ? "grpc" : "http", keys);
  struct harness_setup s = { .role = WEIR_RECEIVER, .type = "otlp", .yaml = yaml, .extension = harness_fake_auth(), .budget_bytes = budget_bytes };
  f->h = harness_open(&s);
  f->is_grpc = is_grpc;
  if (is_grpc) harness_client_grpc(&f->client, f->h, harness_port(), "none", NULL);
  else harness_client_http(&f->client, f->h, harness_port());
  f->p = harness_request(WEIR_TRACES, 3, &f->n);
}

static void set_up(struct fixture *f, int is_grpc, const char *keys) { set_up_within(f, is_grpc, keys, 0); }

static void tear_down(struct fixture *f) {
  harness_reply_done(&f->r);
  harness_client_close(&f->client);
  harness_free(f->h);
  assert_int_equal(harness_fake_handles, 0);
  free(f->p);
}

static void send_one(struct fixture *f, const struct weir_http_header *v, size_t n) {
  struct harness_http q = { .path = "/v1/traces", .body = f->p, .n = f->n, .more = v, .n_more = n };
  harness_reply_done(&f->r);
  if (f->is_grpc) harness_send_grpc_with(&f->client, HARNESS_TRACES_RPC, v, n, f->p, f->n, &f->r);
  else harness_send_http(&f->client, &q, &f->r);
}

static void refused(struct fixture *f, const struct weir_http_header *v, size_t n, const char *reason, uint32_t grpc_status, uint32_t http_status) {
  char labels[100];
  send_one(f, v, n);
  harness_wait_reply(f->h, &f->r);
  assert_int_equal(f->r.status, f->is_grpc ? grpc_status : http_status);
  assert_int_equal(f->h->n_emitted, 0);
  snprintf(labels, sizeof labels, "transport=\"%s\",reason=\"%s\"", f->is_grpc ? "grpc" : "http", reason);
  assert_true(harness_metric(f->h, "weir_receiver_auth_refused_total", labels) == 1);
}

static void taken(struct fixture *f, const struct weir_http_header *v, size_t n) {
  send_one(f, v, n);
  harness_wait_emitted(f->h, 1);
}

static void answer(struct fixture *f) {
  harness_settle(f->h, harness_take_emitted(f->h), WEIR_DELIVERED);
  harness_wait_reply(f->h, &f->r);
  assert_int_equal(f->r.status, f->is_grpc ? WEIR_GRPC_OK : 200);
}

static const struct weir_context *context(struct fixture *f) { return f->h->emitted->context; }

static void has(const struct weir_context *c, const char *name, uint32_t i, const char *value) {
  uint32_t n;
  const struct weir_pair *v = weir_pairs_find(c->metadata, c->n_metadata, weir_str_of(name), &n);
  if (i >= n) fail_msg("%s has %u values", name, n);
  if (value) assert_true(weir_str_eq(v[i].value, weir_str_of(value)));
}

static void has_not(const struct weir_context *c, const char *name) {
  uint32_t n;
  if (weir_pairs_find(c->metadata, c->n_metadata, weir_str_of(name), &n)) fail_msg("%s is kept", name);
}

static void strangers_are_refused_in_the_protocols_words(void **state) {
  (void)state;
  for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
    struct fixture f;
    set_up(&f, is_grpc, ", auth: {authenticator: fake}");
    refused(&f, NULL, 0, "missing", WEIR_GRPC_UNAUTHENTICATED, 401);
    if (is_grpc) {
      assert_string_equal(f.r.msg, "who are you");
    } else {
      harness_has_header(f.r.headers, "www-authenticate", "Fake realm=\"x\"");
      harness_has_header(f.r.headers, "content-type", "application/x-protobuf");
      harness_contains(f.r.body, "who are you");
    }
    refused(&f, &wrong, 1, "invalid", WEIR_GRPC_UNAUTHENTICATED, 401);
    refused(&f, &busy, 1, "busy", WEIR_GRPC_UNAVAILABLE, 503);
    if (is_grpc) assert_int_equal(f.r.retry_after_ns, NS_PER_S);
    else harness_has_header(f.r.headers, "retry-after", "1");
    taken(&f, lines, 1);
    answer(&f);
    tear_down(&f);
  }
}

static void a_stranger_hears_401_before_anything_else(void **state) {
  (void)state;
  struct fixture f;
  struct harness_http q = { .path = "/nowhere", .method = "GET", .content_type = "text/html" };
  set_up(&f, 0, ", auth: {authenticator: fake}");
  harness_send_http(&f.client, &q, &f.r);
  harness_wait_reply(f.h, &f.r);
  assert_int_equal(f.r.status, 401);
  assert_string_equal(f.r.body, "who are you\n");
  tear_down(&f);
}

static void who_was_let_in_stands_in_the_context(void **state) {
  (void)state;
  for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
    struct fixture f;
    set_up(&f, is_grpc, ", auth: {authenticator: fake}");
    taken(&f, lines, 3);
    assert_int_equal(context(&f)->n_auth, 1);
    assert_true(weir_str_eq(context(&f)->auth[0].value, weir_str_of("ann")));
    assert_int_equal(context(&f)->n_metadata, 0); /* without include_metadata */
    assert_memory_equal(context(&f)->peer.p, "127.0.0.1:", 10);
    answer(&f);
    tear_down(&f);
  }
}

static void metadata_is_kept_when_it_is_wanted(void **state) {
  (void)state;
  for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
    struct fixture f;
    set_up(&f, is_grpc, ", include_metadata: true");
    taken(&f, lines, 3);
    const struct weir_context *c = context(&f);
    has(c, "x-tenant", 0, "blue");
    has(c, "x-tenant", 1, "red");
    has(c, "authorization", 0, "ok");
    has(c, "content-type", 0, is_grpc ? "application/grpc" : "application/x-protobuf");
    has(c, "host", 0, NULL);
    assert_int_equal(c->n_auth, 0);
    assert_memory_equal(c->peer.p, "127.0.0.1:", 10);
    if (is_grpc) { /* as grpc-go gives it on */
      has(c, "user-agent", 0, NULL);
      has(c, "grpc-accept-encoding", 0, NULL);
      has_not(c, "te");
      has_not(c, "grpc-timeout");
    }
    for (uint32_t i = 0; i < c->n_metadata; i++) assert_true(c->metadata[i].name.p[0] != ':');
    answer(&f);
    tear_down(&f);
  }
}

static void nothing_is_kept_when_nobody_asked(void **state) {
  (void)state;
  for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
    struct fixture f;
    set_up(&f, is_grpc, "");
    taken(&f, lines, 3);
    assert_null(context(&f));
    answer(&f);
    tear_down(&f);
  }
}

static void without_room_for_a_context_a_request_may_come_again(void **state) {
  (void)state;
  struct fixture f;
  set_up_within(&f, 0, ", include_metadata: true", 4u << 20);
  uint64_t taken_bytes = harness_exhaust(f.h);
  budget_give(&f.h->env.budget, 4096 + 1); /* the body finds room, the context does not */
  send_one(&f, lines, 3);
  harness_wait_reply(f.h, &f.r);
  assert_int_equal(f.r.status, 503);
  budget_give(&f.h->env.budget, taken_bytes - 4096 - 1);
  taken(&f, lines, 3);
  answer(&f);
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(strangers_are_refused_in_the_protocols_words),
    cmocka_unit_test(a_stranger_hears_401_before_anything_else),
    cmocka_unit_test(who_was_let_in_stands_in_the_context),
    cmocka_unit_test(metadata_is_kept_when_it_is_wanted),
    cmocka_unit_test(nothing_is_kept_when_nobody_asked),
    cmocka_unit_test(without_room_for_a_context_a_request_may_come_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
