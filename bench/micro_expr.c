/*
 * bench/micro_expr.c - what one evaluation of a condition costs, in ns of CPU: a span with 10 attributes under a resource with 8, as in bench/otlp_sample.h.
 * Usage: micro_expr [CONDITION]. Minimum of 7 rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/expr.h"

#define ROUNDS 7
#define RUNS 400000

static struct weir_attr span_attrs[10], resource_attrs[8];
static struct weir_resource resource = { .rec = { .kind = WEIR_R_RESOURCE, .attrs = resource_attrs, .n_attrs = 8 } };
static struct weir_scope scope = { .rec = { .kind = WEIR_R_SCOPE } };
static struct weir_span span = { .rec = { .kind = WEIR_R_SPAN, .attrs = span_attrs, .n_attrs = 10 }, .start_time_unix_nano = 1000, .end_time_unix_nano = 2000000000 };
static struct weir_expr_input input = { sizeof input, 0, &resource, &scope, &span, NULL };

static double cpu_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void fill(void) {
  static const char *const keys[] = { "http.request.method", "url.path", "server.address", "server.port", "http.route", "http.status_code", "thread.id", "net.peer.ip", "user_agent.original", "enduser.id" };
  static const char *const names[] = { "telemetry.sdk.language", "telemetry.sdk.version", "host.name", "service.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "process.pid" };
  for (int i = 0; i < 10; i++) span_attrs[i] = (struct weir_attr){ .key = weir_str_of(keys[i]), .value = i == 5 ? weir_value_int(503) : weir_value_str("/api/v1/orders", 14) };
  for (int i = 0; i < 8; i++) resource_attrs[i] = (struct weir_attr){ .key = weir_str_of(names[i]), .value = weir_value_str("x", 1) };
  span.name = weir_str_of("GET /api/v1/orders");
}

static void measure(const char *name, const char *text) {
  struct weir_expr *e;
  struct weir_error err = { 0 };
  double best = 1e18;
  if (expr_compile(WEIR_EXPR_SPAN, text, &e, &err)) {
    fprintf(stderr, "%s: %s\n", text, err.msg);
    exit(1);
  }
  for (int round = 0; round < ROUNDS; round++) {
    int hits = 0;
    double before = cpu_ns();
    for (int i = 0; i < RUNS; i++) {
      span_attrs[5].value.u.i = 400 + i % 200;
      hits += expr_eval(e, &input, NULL) == 1;
    }
    double took = (cpu_ns() - before) / RUNS;
    if (took < best) best = took;
    if (hits < 0) exit(1);
  }
  printf("%s %.1f ns\n", name, best);
  expr_free(e);
}

int main(int argc, char **argv) {
  fill();
  if (argc > 1) {
    measure("expr", argv[1]);
    return 0;
  }
  measure("expr-attributes", "attributes[\"http.status_code\"] >= 500 and resource.attributes[\"service.name\"] == \"x\"");
  measure("expr-duration", "end_time_unix_nano - start_time_unix_nano > 1000000000");
  measure("expr-match", "IsMatch(name, \"^GET /api/v[0-9]+/\")");
  return 0;
}
