/*
 * tests/unit/support/metrics.h - trees of metrics from OTLP/JSON, for tests of what reads them.
 */
#ifndef TESTS_METRICS_H
#define TESTS_METRICS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/otlp_json.h"

struct metrics {
  struct budget budget;
  struct pool *pool;
  struct arena arena;
  struct weir_body *body;
  struct weir_data data;
};

static inline void metrics_read(struct metrics *m, const char *json) {
  struct otlp_counts counts;
  struct weir_error err = { 0 };
  memset(m, 0, sizeof *m);
  budget_init(&m->budget, 0);
  m->pool = pool_new(&m->budget);
  pool_adopt(m->pool);
  arena_init(&m->arena, m->pool, 4096);
  if (otlp_json_decode(m->pool, WEIR_METRICS, json, strlen(json), NULL, &m->body, &counts, &err) ||
      otlp_decode(WEIR_METRICS, &m->arena, m->body->p, m->body->n, NULL, &m->data, &counts, &err)) {
    fprintf(stderr, "%s\nin: %s\n", err.msg, json);
    abort();
  }
}

static inline void metrics_done(struct metrics *m) {
  arena_done(&m->arena);
  body_free(m->body);
  pool_free(m->pool);
}

#endif
