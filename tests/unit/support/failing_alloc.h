/*
 * tests/unit/support/failing_alloc.h - malloc of what a test links: it counts what is held, in bytes as asked for, and fails when told.
 *
 * For a program that is linked with ALLOC_WRAP (tests/tests.mk): all that is in it calls these; shared libraries do not. Threads: none.
 */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t alloc_live;       /* bytes held */
static uint64_t alloc_calls;    /* since the test set it to 0 */
static uint64_t alloc_fail_at;  /* the call that fails; 0 = none */
static uint32_t alloc_fail_one_in; /* one in so many fails; 0 = none */
static uint64_t alloc_random = 1;

#define ALLOC_HEAD 16u

void *__real_realloc(void *, size_t);
void __real_free(void *);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void __wrap_free(void *);

static inline int alloc_fails(void) {
  if (++alloc_calls == alloc_fail_at) return 1;
  alloc_random = alloc_random * 6364136223846793005u + 1442695040888963407u;
  return alloc_fail_one_in && (alloc_random >> 33) % alloc_fail_one_in == 0;
}

void *__wrap_realloc(void *p, size_t n) {
  char *was = p ? (char *)p - ALLOC_HEAD : NULL;
  size_t before = 0;
  if (alloc_fails()) return NULL;
  if (was) memcpy(&before, was, sizeof before);
  char *q = __real_realloc(was, n + ALLOC_HEAD);
  if (!q) abort();
  memcpy(q, &n, sizeof n);
  alloc_live += n - before;
  return q + ALLOC_HEAD;
}

void *__wrap_malloc(size_t n) { return __wrap_realloc(NULL, n); }

void *__wrap_calloc(size_t n, size_t each) {
  char *p = __wrap_realloc(NULL, n * each);
  return p ? memset(p, 0, n * each) : NULL;
}

void __wrap_free(void *p) {
  size_t n;
  if (!p) return;
  memcpy(&n, (char *)p - ALLOC_HEAD, sizeof n);
  alloc_live -= n;
  __real_free((char *)p - ALLOC_HEAD);
}

#endif
