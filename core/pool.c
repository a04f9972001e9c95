#include "core/pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"

#define STEPS 4u /* classes per doubling: a block wastes at most a fifth of itself */
#define CLASSES ((POOL_MAX_SHIFT - POOL_MIN_SHIFT) * STEPS + 1)
#define NO_CLASS UINT32_MAX

#define NOT_CHARGED 0u
#define CHARGED 1u
#define OVERDRAWN 2u /* charged beyond the limit, if need be */

struct pool {
  struct budget *budget;
  struct block *idle[CLASSES];
  uint32_t n_idle[CLASSES];
  uint32_t least_idle[CLASSES]; /* since the last trim: what was never needed */
  size_t idle_bytes;
  _Atomic(struct block *) returned; /* freed on other threads; the owner takes the whole list at once, so no ABA */
};

static __thread struct pool *mine; /* the pool of this thread's lane: its blocks go back without atomics */

struct pool *pool_new(struct budget *budget) {
  struct pool *p = calloc(1, sizeof *p);
  WEIR_ASSERT(p != NULL);
  p->budget = budget;
  return p;
}

void pool_adopt(struct pool *p) { mine = p; }

static size_t class_bytes(uint32_t c) { return ((size_t)1 << (POOL_MIN_SHIFT + c / STEPS)) / STEPS * (STEPS + c % STEPS); }

/* The smallest class that holds n bytes behind the header, or NO_CLASS. */
static uint32_t class_of(size_t n) {
  size_t size = n + sizeof(struct block);
  if (size <= (size_t)1 << POOL_MIN_SHIFT) return 0;
  uint32_t shift = 63u - (uint32_t)__builtin_clzll(size - 1); /* the largest power of two below size */
  uint32_t c = (shift - POOL_MIN_SHIFT) * STEPS;
  while (class_bytes(c) < size) c++;
  return c < CLASSES ? c : NO_CLASS;
}

/* What a block for n bytes pins. */
static size_t block_bytes(size_t n) {
  uint32_t c = class_of(n);
  return c == NO_CLASS ? n + sizeof(struct block) : class_bytes(c);
}

static void keep_idle(struct pool *p, struct block *b) {
  uint32_t c = b->class;
  if (c == NO_CLASS || p->idle_bytes + b->cap > POOL_IDLE_MAX) {
    free(b);
    return;
  }
  b->next = p->idle[c];
  p->idle[c] = b;
  p->n_idle[c]++;
  p->idle_bytes += b->cap;
}

static void collect_returned(struct pool *p) {
  if (atomic_load_explicit(&p->returned, memory_order_relaxed) == NULL) return;
  struct block *b = atomic_exchange_explicit(&p->returned, NULL, memory_order_acquire);
  while (b) {
    struct block *next = b->next;
    keep_idle(p, b);
    b = next;
  }
}

void pool_free(struct pool *p) {
  if (!p) return;
  if (mine == p) mine = NULL;
  collect_returned(p);
  for (uint32_t c = 0; c < CLASSES; c++)
    for (struct block *b = p->idle[c], *next; b; b = next) {
      next = b->next;
      free(b);
    }
  free(p);
}

static struct block *take(struct pool *p, size_t n) {
  uint32_t c = class_of(n);
  if (c != NO_CLASS) {
    if (!p->idle[c]) collect_returned(p);
    struct block *b = p->idle[c];
    if (b) {
      p->idle[c] = b->next;
      p->idle_bytes -= b->cap;
      if (--p->n_idle[c] < p->least_idle[c]) p->least_idle[c] = p->n_idle[c];
      return b;
    }
  }
  size_t size = block_bytes(n);
  struct block *b = malloc(size);
  if (!b) return NULL;
  b->home = p;
  b->class = c;
  b->cap = size - sizeof *b;
  return b;
}

struct block *pool_get(struct pool *p, size_t n) {
  if (n > SIZE_MAX / 2) return NULL;
  size_t size = block_bytes(n);
  if (p->budget && !budget_take(p->budget, size)) return NULL;
  struct block *b = take(p, n);
  if (!b) {
    if (p->budget) budget_give(p->budget, size);
    return NULL;
  }
  b->next = NULL;
  b->charged = p->budget ? CHARGED : NOT_CHARGED;
  return b;
}

struct block *pool_take(struct pool *p, size_t n) {
  WEIR_ASSERT(n <= SIZE_MAX / 2);
  struct block *b = take(p, n);
  WEIR_ASSERT(b != NULL);
  if (p->budget) atomic_fetch_add_explicit(&p->budget->used, block_bytes(n), memory_order_relaxed);
  b->next = NULL;
  b->charged = p->budget ? OVERDRAWN : NOT_CHARGED;
  return b;
}

uint64_t pool_limit(const struct pool *p) { return p->budget ? p->budget->limit : 0; }

uint64_t pool_room(const struct pool *p) {
  uint64_t limit = pool_limit(p), used = limit ? atomic_load_explicit(&p->budget->used, memory_order_relaxed) : 0;
  return !limit ? UINT64_MAX : used < limit ? limit - used : 0;
}

void pool_put(struct block *b) {
  if (!b) return;
  struct pool *p = b->home;
  if (b->charged) budget_give(p->budget, b->cap + sizeof *b);
  b->charged = NOT_CHARGED;
  if (p == mine) {
    keep_idle(p, b);
    return;
  }
  struct block *head = atomic_load_explicit(&p->returned, memory_order_relaxed);
  do b->next = head;
  while (!atomic_compare_exchange_weak_explicit(&p->returned, &head, b, memory_order_release, memory_order_relaxed));
}

void pool_trim(struct pool *p) {
  collect_returned(p);
  for (uint32_t c = 0; c < CLASSES; c++) {
    for (; p->least_idle[c] > 0 && p->idle[c]; p->least_idle[c]--) {
      struct block *b = p->idle[c];
      p->idle[c] = b->next;
      p->n_idle[c]--;
      p->idle_bytes -= b->cap;
      free(b);
    }
    p->least_idle[c] = p->n_idle[c];
  }
}

static struct block *block_of(struct weir_body *body) { return (struct block *)(void *)((char *)body - offsetof(struct block, data)); }

static struct weir_body *body_in(struct block *b) {
  struct weir_body *body = (struct weir_body *)(void *)b->data;
  body->p = b->data + sizeof *body;
  body->n = 0;
  body->cap = b->cap - sizeof *body;
  return body;
}

struct weir_body *body_new(struct pool *p, size_t cap) {
  if (cap > SIZE_MAX / 2 - sizeof(struct weir_body)) return NULL;
  struct block *b = pool_get(p, cap + sizeof(struct weir_body));
  return b ? body_in(b) : NULL;
}

struct weir_body *body_overdraw(struct pool *p, size_t cap) { return body_in(pool_take(p, cap + sizeof(struct weir_body))); }

int body_grow(struct weir_body **body, size_t cap) {
  if (cap <= (*body)->cap) return 0;
  const struct block *b = block_of(*body);
  struct weir_body *grown = b->charged == OVERDRAWN ? body_overdraw(b->home, cap) : body_new(b->home, cap);
  if (!grown) return WEIR_E_NOMEM;
  memcpy(grown->p, (*body)->p, (*body)->n);
  grown->n = (*body)->n;
  body_free(*body);
  *body = grown;
  return 0;
}

void body_free(struct weir_body *body) {
  if (body) pool_put(block_of(body));
}

int body_append(struct weir_body **body, const void *p, size_t n) {
  size_t have = (*body)->n;
  if (n > SIZE_MAX / 4 - have) return WEIR_E_NOMEM;
  if (n > (*body)->cap - have) {
    size_t want = (*body)->cap * 2 > have + n ? (*body)->cap * 2 : have + n;
    int r = body_grow(body, want);
    if (r) return r;
  }
  memcpy((*body)->p + have, p, n);
  (*body)->n += n;
  return 0;
}
