/*
 * tests/unit/core/tls_fixture.h - TLS servers and clients on one loop, and raw TLS peers on sockets.
 */
#ifndef TESTS_UNIT_CORE_TLS_FIXTURE_H
#define TESTS_UNIT_CORE_TLS_FIXTURE_H

#include <poll.h>

#include "core/http_client.h"
#include "core/log.h"
#include "core/tls.h"
#include "tests/unit/core/cert_fixture.h"
#include "tests/unit/core/http_fixture.h"

static inline void tls_listen(const struct weir_tls_config *tls, uint32_t flags) {
  struct weir_http_server_config c = fix_config();
  c.tls = tls;
  c.flags = flags;
  c.read_header_timeout_ns = 2 * NS_PER_S;
  fix_open(&c, 0);
}

static inline void turn(void) {
  struct pollfd fd = { uv_backend_fd(&fix.loop.uv), POLLIN, 0 };
  poll(&fd, 1, 1);
  loop_run_once(&fix.loop);
}

/* Evaluates cond until it is true, once a turn. */
#define TURN_UNTIL(cond)                                                                      \
  do {                                                                                        \
    int held_ = 0;                                                                            \
    for (int64_t end_ = clock_mono_ns() + NET_WAIT_NS; !(held_ = (cond)) && clock_mono_ns() < end_;) turn(); \
    if (!held_) print_error("%s:%d: waited for: %s\n", __FILE__, __LINE__, #cond);            \
    assert_true(held_);                                                                       \
  } while (0)

/* --- a call ---------------------------------------------------------------------------------------------- */

struct outcome {
  int done;
  uint32_t status;
  size_t body_n;
  char err[600], body[256];
};

static inline void on_outcome(void *arg, const struct weir_http_response *r) {
  struct outcome *o = arg;
  o->done++;
  o->status = r->status;
  if (r->err) snprintf(o->err, sizeof o->err, "%s", r->err->msg);
  if (!r->body) return;
  o->body_n = r->body->n;
  snprintf(o->body, sizeof o->body, "%.*s", (int)(r->body->n < 200 ? r->body->n : 200), r->body->p);
}

/* One POST on a client of its own. endpoint NULL: localhost and the port of the server. */
static inline struct outcome tls_post(const struct weir_tls_config *tls, uint32_t flags, const char *endpoint, const char *body, size_t n) {
  struct outcome o = { 0 };
  struct weir_error err = { 0 };
  struct weir_http_client *client = NULL;
  char at[64];
  snprintf(at, sizeof at, "localhost:%d", fix.port);
  struct weir_http_client_config c = { .size = sizeof c, .flags = flags, .endpoint = endpoint ? endpoint : at, .max_response_bytes = 64u << 20,
    .connect_timeout_ns = NS_PER_S, .tls = tls };
  if (http_client_open(&fix.loop, &c, &client, &err)) print_error("%s\n", err.msg);
  assert_non_null(client);
  struct weir_iov iov = { body, n };
  struct weir_http_call_config call = { .method = "POST", .path = "/x", .body = &iov, .n_body = 1, .on_response = on_outcome, .arg = &o,
    .deadline_ns = clock_mono_ns() + NET_WAIT_NS };
  http_call(client, &call);
  TURN_UNTIL(o.done);
  http_client_close(client);
  for (int i = 0; i < 10; i++) turn();
  return o;
}

/* --- raw peers ---------------------------------------------------------------------------------------------- */

/* The other end of a connection, with TLS by the engine itself: bytes go out when and as the test says. */
struct raw {
  struct net_peer net;
  size_t read_at;
  struct tls_use use;
  const struct tls_engine *engine;
  void *session;
  struct tls_bytes out;
  int shaken, failed, closed;
  char plain[65536];
  size_t plain_n;
};

static inline struct raw *raw_new(int fd, int is_server, const struct weir_tls_config *tls, uint32_t alpn) {
  struct raw *r = calloc(1, sizeof *r);
  struct weir_error err = { 0 };
  WEIR_ASSERT(r != NULL);
  net_peer_init(&r->net, fd);
  if (tls_use_begin(&r->use, &fix.loop, is_server, tls, &err)) print_error("%s\n", err.msg);
  assert_non_null(r->use.context);
  r->engine = tls_engine_of(&r->use);
  r->session = tls_session_new(&r->use, is_server ? NULL : "localhost", alpn);
  return r;
}

/* Takes in what came; what TLS has to say stands in `out` afterwards. */
static inline void raw_think(struct raw *r) {
  net_read(&r->net);
  struct tls_wire w = { r->net.got + r->read_at, r->net.n - r->read_at, &r->out };
  if (!r->shaken && !r->failed) {
    int s = r->engine->handshake(r->session, &w);
    r->shaken = s == TLS_DONE;
    r->failed = s == TLS_FAILED;
  }
  while (r->shaken && !r->failed && !r->closed) {
    ssize_t n = r->engine->read(r->session, &w, r->plain + r->plain_n, sizeof r->plain - 1 - r->plain_n);
    if (n == TLS_FAILED) r->failed = 1;
    else if (n == TLS_PEER_CLOSED) r->closed = 1;
    if (n <= 0) break;
    r->plain_n += (size_t)n;
  }
  r->read_at = r->net.n - w.in_n;
  r->plain[r->plain_n] = 0;
}

/* Sends what stands in `out`, `step` bytes at a time with a turn of the loop between. */
static inline void raw_send(struct raw *r, size_t step) {
  for (size_t at = 0; at < r->out.n; at += step) {
    size_t n = r->out.n - at < step ? r->out.n - at : step;
    if (send(r->net.fd, r->out.p + at, n, MSG_NOSIGNAL) < 0) break;
    turn();
  }
  r->out.n = 0;
}

static inline void raw_step(struct raw *r, size_t step) {
  raw_think(r);
  raw_send(r, step);
  turn();
}

static inline void raw_write(struct raw *r, const char *text, size_t step) {
  struct tls_wire w = { NULL, 0, &r->out };
  assert_int_equal(r->engine->write(r->session, &w, text, strlen(text)), 0);
  raw_send(r, step);
}

static inline void raw_free(struct raw *r) {
  r->engine->session_free(r->session);
  tls_use_end(&r->use);
  net_peer_done(&r->net);
  free(r->out.p);
  free(r);
}

#endif
