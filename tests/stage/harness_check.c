/* Checks that the tests of every stage share. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness_check.h"

#define INDEXES_MAX 256

void harness_contains(const char *text, const char *part) {
  if (!strstr(text, part)) fail_msg("wanted \"%s\" in: %s", part, text);
}

void harness_put_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

void harness_refuses(uint32_t role, const char *type, uint32_t signal, const char *yaml, const char *text) {
  struct harness_setup s = { .role = role, .type = type, .yaml = yaml, .signal = signal };
  char *why = harness_refused(&s);
  harness_contains(why, text);
  free(why);
}

void harness_expect(struct harness *h, const char *indexes, int code) {
  int64_t v[INDEXES_MAX];
  char text[INDEXES_MAX * 4] = "";
  struct weir_batch *b = harness_take_emitted(h);
  if (!b) fail_msg("nothing was emitted, expected %s", indexes);
  size_t n = harness_indexes(b, v, INDEXES_MAX), at = 0;
  assert_int_equal(n, b->items);
  for (size_t i = 0; i < n && at < sizeof text; i++)
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%" PRId64, i ? " " : "", v[i]);
  assert_string_equal(text, indexes);
  harness_settle(h, b, code);
}

void harness_same_bytes(struct weir_batch *b, const void *p, size_t n) {
  size_t got_n;
  char *got = harness_encode(b, &got_n);
  assert_int_equal(got_n, n);
  if (n) assert_memory_equal(got, p, n);
  free(got);
}

void harness_done_is(const struct harness *h, int code, const char *msg) {
  assert_true(h->n_done > 0);
  const struct harness_done *d = &h->done[h->n_done - 1];
  if (d->verdict.code != code) fail_msg("verdict %d \"%s\", expected %d", d->verdict.code, d->msg, code);
  if (msg)
    harness_contains(d->msg, msg);
  else
    assert_string_equal(d->msg, "");
}

uint64_t harness_exhaust(struct harness *h) {
  uint64_t rest = h->env.budget.limit - h->env.budget.used;
  assert_true(h->env.budget.limit > 0);
  assert_true(budget_take(&h->env.budget, rest));
  return rest;
}
