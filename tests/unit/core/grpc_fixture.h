/*
 * A gRPC server and client of one engine on one loop, and raw HTTP peers to be rude with. For test_grpc*.c.
 */
#ifndef TESTS_GRPC_FIXTURE_H
#define TESTS_GRPC_FIXTURE_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/compress.h"
#include "core/grpc.h"
#include "core/grpc_message.h"
#include "core/grpc_status.h"
#include "core/http_client.h"
#include "core/http_server.h"
#include "core/listener.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "plugins/grpc_engine.h"

/* How long a test waits before it fails. ThreadSanitizer works through thousands of reports in gRPC's uninstrumented code before it drops them. */
#if defined(__SANITIZE_THREAD__)
#define PATIENCE_NS (30 * NS_PER_S)
#define SLOW 1
#else
#define PATIENCE_NS (5 * NS_PER_S)
#define SLOW 0
#endif
#define MAX_MESSAGE (256u << 10)

static struct env env;
static struct loop loop;

static inline void fixture_loop_open(void) {
  struct weir_error err = { 0 };
  memset(&env, 0, sizeof env);
  budget_init(&env.budget, 0);
  env.metrics = metrics_new();
  env.listeners = listeners_new();
  assert_int_equal(loop_init(&loop, 0, &env, &err), 0);
}

static inline void fixture_loop_close(void) {
  loop_done(&loop);
  listeners_free(env.listeners);
  metrics_free(env.metrics);
}

/* One turn of the loop; waits for I/O a little. */
static inline void turn(void) {
  struct pollfd fd = { uv_backend_fd(&loop.uv), POLLIN, 0 };
  poll(&fd, 1, 1);
  loop_run_once(&loop);
}

/* Turns the loop until *flag reaches n. */
static inline void wait_for(const int *flag, int n) {
  for (int64_t end = clock_mono_ns() + PATIENCE_NS; *flag < n && clock_mono_ns() < end;) turn();
  assert_int_equal(*flag, n);
}

static inline void turn_for_ms(int ms) {
  for (int64_t end = clock_mono_ns() + ms * NS_PER_MS; clock_mono_ns() < end;) turn();
}

/* The outcome of a call, kept. */
struct outcome {
  int done;
  uint32_t code;
  int64_t retry_after_ns;
  char msg[2048];
  char *answer;
  size_t n;
};

static inline void keep_outcome(void *arg, const struct weir_grpc_status *st, const char *msg, size_t n) {
  struct outcome *o = arg;
  o->done++;
  o->code = st->code;
  o->retry_after_ns = st->retry_after_ns;
  snprintf(o->msg, sizeof o->msg, "%s", st->msg ? st->msg : "");
  o->answer = malloc(n + 1);
  if (n) memcpy(o->answer, msg, n);
  o->n = n;
}

static inline void outcome_done(struct outcome *o) {
  free(o->answer);
  memset(o, 0, sizeof *o);
}

/* The C-core engine from BUILD/engines (the program is BUILD/tests/unit/core/test_X), or NULL with a reason on the output where it was not built. */
static inline const struct grpc_engine *core_engine(void) {
  char exe[2000], path[2100];
  const struct grpc_engine *core = NULL;
  struct weir_error err = { 0 };
  ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  exe[n > 0 ? n : 0] = 0;
  for (int i = 0; i < 4 && strrchr(exe, '/'); i++) *strrchr(exe, '/') = 0;
  snprintf(path, sizeof path, "%s/engines/grpc_core.so", exe);
  if (access(path, F_OK)) print_message("skipped: engine core: there is no %s (Debian: libgrpc-dev)\n", path);
  else if (grpc_engine_load(path, &core, &err)) fail_msg("%s", err.msg);
  return core;
}

static inline void endpoint_of(int port, char *buf, size_t cap) { snprintf(buf, cap, "127.0.0.1:%d", port); }

#endif
