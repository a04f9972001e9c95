#include "symbols.h"

#include <stdlib.h>

#include <weir/error.h>

#define FIRST_SLOTS 1024u

/* 64 x 64 -> 128 bits, folded: the step of wyhash, whose quality is known. */
__extension__ typedef unsigned __int128 wide;
static uint64_t mix(uint64_t a, uint64_t b) {
  wide r = (wide)a * b;
  return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static uint64_t load(const char *p, size_t n) {
  uint64_t v = 0;
  if (n) memcpy(&v, p, n);
  return v;
}

static uint32_t hash_of(uint64_t key, struct weir_str s) {
  const char *p = s.p;
  size_t n = s.n;
  uint64_t h = key ^ n * 0x9e3779b97f4a7c15u;
  for (; n > 16; p += 16, n -= 16) h = mix(load(p, 8) ^ h, load(p + 8, 8) ^ key ^ 0xa0761d6478bd642fu);
  uint64_t a = n > 8 ? load(p, 8) : load(p, n), b = n > 8 ? load(p + 8, n - 8) : 0;
  h = mix(a ^ h ^ 0xe7037ed1a0b428dbu, b ^ key ^ 0x8ebc6af09c88c6e3u);
  return (uint32_t)(h ^ h >> 32);
}

int rw_symbols_init(struct rw_symbols *t, uint64_t key) {
  t->key = key | 1;
  t->cap = FIRST_SLOTS / 2;
  t->mask = FIRST_SLOTS - 1;
  t->v = malloc(t->cap * sizeof *t->v);
  t->slots = calloc(FIRST_SLOTS, sizeof *t->slots);
  if (!t->v || !t->slots) return WEIR_E_NOMEM;
  rw_symbols_clear(t);
  return t->wire.failed ? WEIR_E_NOMEM : 0;
}

void rw_symbols_done(struct rw_symbols *t) {
  kit_bytes_free(&t->wire);
  free(t->v);
  free(t->slots);
  memset(t, 0, sizeof *t);
}

void rw_symbols_clear(struct rw_symbols *t) {
  t->wire.n = 0;
  t->wire.failed = 0;
  t->n = 0;
  if (++t->generation == 0) { /* 2^32 requests later: what is left of the first must not look new */
    memset(t->slots, 0, ((size_t)t->mask + 1) * sizeof *t->slots);
    t->generation = 1;
  }
  rw_symbol(t, weir_str_of(""));
}

static void put_slot(struct rw_symbols *t, struct rw_slot s) {
  uint32_t i = s.hash & t->mask;
  while (t->slots[i].generation == t->generation) i = (i + 1) & t->mask;
  t->slots[i] = s;
}

/* Twice the room. */
static int widen(struct rw_symbols *t) {
  size_t slots = ((size_t)t->mask + 1) * 2;
  struct rw_slot *old = t->slots, *fresh = calloc(slots, sizeof *fresh);
  struct rw_symbol *v = realloc(t->v, slots / 2 * sizeof *v);
  if (v) t->v = v;
  if (!fresh || !v) {
    free(fresh);
    return -1;
  }
  uint32_t before = t->mask;
  t->slots = fresh;
  t->mask = (uint32_t)(slots - 1);
  t->cap = (uint32_t)(slots / 2);
  for (uint32_t i = 0; i <= before; i++)
    if (old[i].generation == t->generation) put_slot(t, old[i]);
  free(old);
  return 0;
}

static uint32_t add(struct rw_symbols *t, uint32_t hash, struct weir_str s) {
  if (t->n == t->cap && widen(t)) t->wire.failed = 1;
  rw_bytes(&t->wire, 4, s);
  if (t->wire.failed) return 0;
  t->v[t->n] = (struct rw_symbol){ (uint32_t)(t->wire.n - s.n), s.n };
  put_slot(t, (struct rw_slot){ hash, t->n, t->generation });
  return t->n++;
}

uint32_t rw_symbol(struct rw_symbols *t, struct weir_str s) {
  uint32_t hash = hash_of(t->key, s), i = hash & t->mask;
  for (; t->slots[i].generation == t->generation; i = (i + 1) & t->mask) {
    const struct rw_slot *slot = &t->slots[i];
    const struct rw_symbol *v = &t->v[slot->ref];
    if (slot->hash == hash && v->n == s.n && (!s.n || !memcmp(t->wire.p + v->at, s.p, s.n))) return slot->ref;
  }
  return add(t, hash, s);
}
