/*
 * core/arena.h - memory by lifetime: bump allocation, freed as a whole.
 *
 * Chunks come from a lane's pool (batch arenas) or from malloc (pool == NULL: process, generation, configuration).
 * Never returns NULL: an arena over a pool whose budget is used up overdraws it (admission was decided before).
 * One owner at a time; arena_free may run on any thread.
 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <weir/data.h>
#include <weir/error.h>

#include "core/pool.h"

struct arena {
  char *at, *end; /* the free part of the newest chunk */
  struct block *chunks;
  struct pool *pool;
  size_t next_size, taken; /* taken: bytes of all chunks */
};

void arena_init(struct arena *, struct pool *pool, size_t first_chunk);
void arena_done(struct arena *); /* frees all; the arena may be used again */
/* Takes the first chunk now; later ones start at an eighth of it. For an arena whose size is known beforehand. */
void arena_reserve(struct arena *);
void *arena_slow(struct arena *, size_t n);

/* n bytes, 8-aligned, not cleared. */
static inline void *arena_alloc(struct arena *a, size_t n) {
  n = (n + 7u) & ~(size_t)7u;
  if ((size_t)(a->end - a->at) < n) return arena_slow(a, n);
  void *p = a->at;
  a->at += n;
  return p;
}

/* Bytes held, free room included. */
static inline size_t arena_size(const struct arena *a) { return a->taken; }

static inline void *arena_zalloc(struct arena *a, size_t n) { return memset(arena_alloc(a, n), 0, n); }
char *arena_strdup(struct arena *, const char *s);
char *arena_strndup(struct arena *, const char *s, size_t n); /* NUL-terminated copy */
char *arena_printf(struct arena *, const char *fmt, ...) WEIR_PRINTF(2, 3);

#endif
