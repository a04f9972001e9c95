/*
 * What tests of parts share: a pool whose blocks must all come back, parts of spans, their wire form.
 */
#ifndef TESTS_PART_FIXTURE_H
#define TESTS_PART_FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/otlp_sample.h"
#include "core/otlp.h"
#include "core/part.h"
#include "tests/unit/oracle/otlp_oracle.h"
#include "tests/unit/support/otlp_gen.h"

static struct budget budget;
static struct pool *pool;

static inline int set_up(void **state) {
  (void)state;
  budget_init(&budget, 0);
  pool = pool_new(&budget);
  pool_adopt(pool);
  return 0;
}

/* Whatever a test did, every block must be back. */
static inline int tear_down(void **state) {
  (void)state;
  uint64_t left = budget.used;
  pool_free(pool);
  return left != 0;
}

static inline struct part *part_of(uint32_t signal, const char *p, size_t n, int validation, int decode) {
  struct weir_error err = { 0 };
  struct part *part = NULL;
  struct weir_body *body = body_new(pool, n);
  memcpy(body->p, p, n);
  body->n = n;
  if (part_from_otlp(pool, signal, body, body->p, n, validation, decode, NULL, &part, &err)) fail_msg("%s", err.msg);
  return part;
}

static inline struct part *spans_part(uint64_t first, uint64_t n, int decode) {
  struct sample s = sample_request(first, n);
  struct part *part = part_of(WEIR_TRACES, s.p, s.n, WEIR_VALIDATE_FULL, decode);
  free(s.p);
  return part;
}

/* The part's wire form, copied. */
static inline struct gen_bytes encoded(struct part *part) {
  struct gen_bytes b = { NULL, 0, 0 };
  struct iov_list out = { NULL, 0, 0, { { NULL, 0 } } };
  struct arena scratch;
  size_t n, bound = part_bytes(part);
  arena_init(&scratch, pool, 0);
  assert_int_equal(part_encode(part, &scratch, &out, &n, NULL), 0);
  const struct weir_iov *v = out.v ? out.v : out.inline_v;
  for (size_t i = 0; i < out.n; i++) gen_append(&b, v[i].p, v[i].n);
  assert_int_equal(b.n, n);
  assert_true(bound >= n);
  if (!(part->flags & PART_DIRTY)) assert_int_equal(bound, n);
  assert_int_equal(part_bytes(part) >= n, 1);
  iov_done(&out);
  arena_done(&scratch);
  return b;
}

static inline struct weir_span *span_at(const struct part *part, uint32_t i) {
  for (uint32_t r = 0; r < part->tree->n_resources; r++)
    for (uint32_t s = 0; s < part->tree->resources[r]->n_scopes; s++) {
      struct weir_scope *scope = part->tree->resources[r]->scopes[s];
      if (i < scope->n_records) return scope->u.spans[i];
      i -= scope->n_records;
    }
  fail_msg("no span %u", i);
  return NULL;
}

static inline const struct weir_attr *attr_of(const struct weir_rec *rec, const char *key) { return weir_attr_find(rec, weir_str_of(key)); }

static inline int has_text(const struct weir_rec *rec, const char *key, const char *text) {
  const struct weir_attr *a = attr_of(rec, key);
  return a && a->value.kind == WEIR_V_STRING && a->value.n == strlen(text) && memcmp(a->value.u.s, text, a->value.n) == 0;
}

static inline struct part *own(struct part *part) {
  struct part *ret = NULL;
  assert_int_equal(part_own(pool, &part, 1, &ret, NULL), 0);
  return ret;
}

static inline struct weir_value text(const char *s) { return weir_value_str(s, (uint32_t)strlen(s)); }

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

#endif
