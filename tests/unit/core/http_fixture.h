/*
 * tests/unit/core/http_fixture.h - an HTTP server on an ephemeral port, with a handler that records, echoes, or holds requests back.
 */
#ifndef TESTS_UNIT_CORE_HTTP_FIXTURE_H
#define TESTS_UNIT_CORE_HTTP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/http_server.h"
#include "core/listener.h"
#include "core/metrics.h"
#include "tests/unit/support/metric.h"
#include "tests/unit/support/net.h"

#define FIX_HELD 64

/* What the handler saw and what it is to do. */
struct fix {
  struct env env;
  struct loop loop;
  struct weir_http_server *server;
  int port, hold, no_trailers;
  int n_headers_calls, n_requests, n_released, n_drained, n_refusals;
  uint32_t refuse_with, refused_status; /* refuse_with: what on_headers answers */
  struct weir_http_exchange *held[FIX_HELD];
  int n_held;
  char seen[8192]; /* a line per request: METHOD path?query version authority body */
  size_t big_reply; /* answer with that many bytes instead of the echo */
};

static struct fix fix;

struct fix_answer {
  struct weir_body *body;
  char *text;
};

static inline void fix_released(void *arg) {
  struct fix_answer *a = arg;
  body_free(a->body);
  free(a->text);
  free(a);
  fix.n_released++;
}

static inline void fix_answer(struct weir_http_exchange *ex) {
  static const struct weir_http_header plain = { { "content-type", 12, 0 }, { "text/plain", 10, 0 } };
  static const struct weir_http_header trailer = { { "x-trailer", 9, 0 }, { "the-end", 7, 0 } };
  struct fix_answer *a = calloc(1, sizeof *a);
  WEIR_ASSERT(a != NULL);
  a->body = http_body_take(ex);
  struct weir_iov iov = { a->body->p, a->body->n };
  if (fix.big_reply) {
    a->text = malloc(fix.big_reply);
    WEIR_ASSERT(a->text != NULL);
    for (size_t i = 0; i < fix.big_reply; i++) a->text[i] = (char)('a' + i % 23);
    iov = (struct weir_iov){ a->text, fix.big_reply };
  }
  struct weir_http_reply reply = { .status = 200, .headers = &plain, .n_headers = 1, .body = &iov, .n_body = 1, .trailers = &trailer,
    .n_trailers = fix.no_trailers ? 0 : 1, .release = fix_released, .release_arg = a };
  http_reply(ex, &reply);
}

static inline void fix_note(const struct weir_http_request *r) {
  size_t n = strlen(fix.seen);
  int body_n = (int)(r->body->n < 200 ? r->body->n : 200);
  snprintf(fix.seen + n, sizeof fix.seen - n, "%.*s %.*s?%.*s %u %.*s %.*s\n", (int)r->method.n, r->method.p, (int)r->path.n, r->path.p, (int)r->query.n,
    r->query.p ? r->query.p : "", r->version, (int)r->authority.n, r->authority.p, body_n, r->body->p);
}

static inline void fix_on_request(void *self, struct weir_http_exchange *ex, const struct weir_http_request *r) {
  WEIR_ASSERT(self == &fix && http_exchange_loop(ex) == &fix.loop);
  fix.n_requests++;
  fix_note(r);
  if (!fix.hold) {
    fix_answer(ex);
    return;
  }
  WEIR_ASSERT(fix.n_held < FIX_HELD);
  fix.held[fix.n_held++] = ex;
}

static inline uint32_t fix_on_headers(void *self, const struct weir_http_request *r, struct weir_http_reply *reply) {
  static const struct weir_iov text = { "no such thing\n", 14 };
  WEIR_ASSERT(self == &fix && r->body == NULL && r->peer.n > 0);
  fix.n_headers_calls++;
  if (fix.refuse_with) *reply = (struct weir_http_reply){ .body = &text, .n_body = 1 };
  return fix.refuse_with;
}

static inline void fix_on_refuse(void *self, uint32_t status, const struct weir_http_request *r, struct weir_http_reply *reply) {
  WEIR_ASSERT(self == &fix && r->body == NULL && reply->status == status);
  fix.n_refusals++;
  fix.refused_status = status;
}

static inline void fix_drained(void *arg) {
  WEIR_ASSERT(arg == &fix);
  fix.n_drained++;
}

static inline struct weir_http_server_config fix_config(void) {
  return (struct weir_http_server_config){ .size = sizeof(struct weir_http_server_config), .owner = "test", .endpoint = "127.0.0.1:0",
    .on_headers = fix_on_headers, .on_request = fix_on_request, .on_refuse = fix_on_refuse, .self = &fix };
}

static inline void fix_open_loop(uint64_t budget_bytes) {
  struct weir_error err = { 0 };
  memset(&fix, 0, sizeof fix);
  budget_init(&fix.env.budget, budget_bytes);
  fix.env.metrics = metrics_new();
  fix.env.listeners = listeners_new();
  WEIR_ASSERT(loop_init(&fix.loop, 0, &fix.env, &err) == 0);
}

static inline void fix_open(const struct weir_http_server_config *config, uint64_t budget_bytes) {
  struct weir_error err = { 0 };
  fix_open_loop(budget_bytes);
  if (http_listen(&fix.loop, config, &fix.server, &err)) print_error("%s\n", err.msg);
  assert_non_null(fix.server);
  fix.port = http_server_port(fix.server);
}

static inline void fix_close(void) {
  for (int i = 0; i < fix.n_held; i++) fix_answer(fix.held[i]);
  fix.n_held = 0;
  http_server_close(fix.server);
  for (int i = 0; i < 20; i++) loop_run_once(&fix.loop);
  assert_int_equal(atomic_load(&fix.loop.n_connections), 0);
  loop_done(&fix.loop);
  listeners_free(fix.env.listeners);
  metrics_free(fix.env.metrics);
  assert_int_equal(atomic_load(&fix.env.budget.used), 0);
}

static inline int fix_teardown(void **state) {
  (void)state;
  fix_close();
  return 0;
}

static inline int fix_setup(void **state) {
  (void)state;
  struct weir_http_server_config c = fix_config();
  fix_open(&c, 0);
  return 0;
}

/* Sends one request on a new connection and runs until the server closes it or `until` came. */
static inline void fix_text(struct net_peer *p, const char *bytes, const char *until) {
  net_peer_init(p, net_connect(fix.port));
  net_puts(&fix.loop, p, bytes);
  NET_UNTIL(&fix.loop, net_eof(p) || (until && net_has(p, until)));
}

static inline int fix_metric(const char *line) { return metric_shown(fix.env.metrics, line); }

#endif
