/*
 * core/pool.h - recycled memory blocks, one pool per lane.
 *
 * malloc/free of bodies of some hundred KB costs 3-4x the CPU of recycling them (page faults), so request bodies and
 * arena chunks come from here. Blocks have sizes in steps of a quarter of a power of two (4 KiB .. 64 MiB); what is freed goes back to the pool
 * it came from, from any thread; idle blocks are bounded (POOL_IDLE_MAX) and given back to the system when unused.
 * Charged blocks count against the process's byte budget while they are out.
 * Threads: pool_get [lane]; pool_put [any].
 */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <weir/batch.h>
#include <weir/error.h>

#include "core/budget.h"

#define POOL_MIN_SHIFT 12
#define POOL_MAX_SHIFT 26
#define POOL_IDLE_MAX (16u << 20)

struct pool;

/* A block: `cap` usable bytes at `data`. */
struct block {
  struct pool *home;
  struct block *next; /* for the owner's own lists while it is out */
  size_t cap;
  uint32_t class, charged; /* the pool's: size class; NOT_CHARGED, CHARGED or OVERDRAWN */
  char data[];
};

struct pool *pool_new(struct budget *budget); /* budget may be NULL: nothing is charged */
void pool_free(struct pool *); /* all blocks must be back; NULL allowed */
/* A block with cap >= n, or NULL when the budget refuses it. Over the largest class it is not recycled. */
struct block *pool_get(struct pool *, size_t n);
/* As pool_get, and overdraws the budget rather than fail; for what must be finished after admission. Never NULL. */
struct block *pool_take(struct pool *, size_t n);
/* What the budget has left and its limit; UINT64_MAX and 0 without one. */
uint64_t pool_room(const struct pool *);
uint64_t pool_limit(const struct pool *);
void pool_put(struct block *); /* NULL allowed */
/* Says that this thread is the pool's lane from now on (its blocks go back without atomics); the loop calls it. */
void pool_adopt(struct pool *);
/* Gives idle blocks that were not needed since the last trim back to the system. [lane] */
void pool_trim(struct pool *);

/* struct weir_body on top of a block. */
struct weir_body *body_new(struct pool *, size_t cap);
/* As body_new, and overdraws the budget rather than fail, as its growth does: for what empties queues (answers of back ends, compressed requests), so
 * that a full budget can not stand in its own way. The caller bounds it. Never NULL. */
struct weir_body *body_overdraw(struct pool *, size_t cap);
int body_grow(struct weir_body **, size_t cap); /* 0 or WEIR_E_NOMEM; content kept */
void body_free(struct weir_body *);             /* NULL allowed; [any] */
/* n more bytes at the end; 0 or WEIR_E_NOMEM. Grows by doubling. */
int body_append(struct weir_body **, const void *p, size_t n);

#endif
