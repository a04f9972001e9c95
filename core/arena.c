#include "core/arena.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/assert.h"

#define ARENA_FIRST 4000u
#define ARENA_LARGEST (256u << 10) /* chunks double up to this */

void arena_init(struct arena *a, struct pool *pool, size_t first_chunk) {
  memset(a, 0, sizeof *a);
  a->pool = pool;
  a->next_size = first_chunk ? first_chunk : ARENA_FIRST;
}

static struct block *chunk_new(struct arena *a, size_t n) {
  struct block *b = a->pool ? pool_take(a->pool, n) : malloc(sizeof *b + n);
  WEIR_ASSERT(b != NULL);
  if (!a->pool) {
    b->home = NULL;
    b->cap = n;
  }
  a->taken += b->cap;
  return b;
}

void *arena_slow(struct arena *a, size_t n) {
  WEIR_ASSERT(n <= SIZE_MAX / 4);
  struct block *b = chunk_new(a, n > a->next_size ? n : a->next_size);
  b->next = a->chunks;
  a->chunks = b;
  if (a->next_size < ARENA_LARGEST) a->next_size *= 2;
  if (b->cap - n >= (size_t)(a->end - a->at)) { /* else the old chunk has more room left: keep bumping there */
    a->at = b->data + n;
    a->end = b->data + b->cap;
  }
  return b->data;
}

void arena_reserve(struct arena *a) {
  struct block *b = chunk_new(a, a->next_size);
  b->next = a->chunks;
  a->chunks = b;
  a->at = b->data;
  a->end = b->data + b->cap;
  a->next_size = a->next_size / 8 > ARENA_FIRST ? a->next_size / 8 : ARENA_FIRST;
}

void arena_done(struct arena *a) {
  for (struct block *b = a->chunks, *next; b; b = next) {
    next = b->next;
    if (b->home) pool_put(b);
    else free(b);
  }
  a->chunks = NULL;
  a->at = a->end = NULL;
  a->taken = 0;
}

char *arena_strndup(struct arena *a, const char *s, size_t n) {
  char *copy = arena_alloc(a, n + 1);
  if (n) memcpy(copy, s, n);
  copy[n] = 0;
  return copy;
}

char *arena_strdup(struct arena *a, const char *s) { return arena_strndup(a, s, strlen(s)); }

char *arena_printf(struct arena *a, const char *fmt, ...) {
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  WEIR_ASSERT(n >= 0);
  char *out = arena_alloc(a, (size_t)n + 1);
  vsnprintf(out, (size_t)n + 1, fmt, again);
  va_end(again);
  return out;
}

