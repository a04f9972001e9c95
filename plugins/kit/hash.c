#include "plugins/kit/hash.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weir/error.h>

#define FIRST_BUCKETS 64u

/* --- SipHash (Aumasson, Bernstein 2012; reference: github.com/veorq/SipHash), little endian ------------- */

void kit_hash_key_draw(struct kit_hash_key *key) {
  if (getentropy(key, sizeof *key) == 0) return;
  struct timespec t; /* a kernel or filter without it: where the program lies in memory, and the time */
  clock_gettime(CLOCK_REALTIME, &t);
  key->k[0] = (uint64_t)t.tv_nsec << 32 ^ (uint64_t)t.tv_sec;
  key->k[1] = (uint64_t)(uintptr_t)key ^ (uint64_t)(uintptr_t)&t << 17;
}

static inline uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

#define INLINE static inline __attribute__((always_inline)) /* so that the state stays in registers: 19 ns become 10 for 16 bytes */

INLINE void round_of(uint64_t v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = rotate(v[1], 13) ^ v[0];
  v[3] = rotate(v[3], 16) ^ v[2];
  v[0] = rotate(v[0], 32);
  v[2] += v[1];
  v[0] += v[3];
  v[1] = rotate(v[1], 17) ^ v[2];
  v[3] = rotate(v[3], 21) ^ v[0];
  v[2] = rotate(v[2], 32);
}

INLINE void add_word(uint64_t v[4], uint64_t m) {
  v[3] ^= m;
  round_of(v);
  v[0] ^= m;
}

/* The whole words; returns the rest in the low bytes of one. */
INLINE uint64_t add_words(uint64_t v[4], const char *p, size_t n) {
  uint64_t m;
  for (; n >= 8; p += 8, n -= 8) {
    memcpy(&m, p, 8);
    add_word(v, m);
  }
  m = 0;
  if (n) memcpy(&m, p, n);
  return m;
}

void kit_hash_begin(struct kit_hash_state *s, const struct kit_hash_key *key) {
  s->v[0] = key->k[0] ^ 0x736f6d6570736575u;
  s->v[1] = key->k[1] ^ 0x646f72616e646f6du;
  s->v[2] = key->k[0] ^ 0x6c7967656e657261u;
  s->v[3] = key->k[1] ^ 0x7465646279746573u;
}

void kit_hash_number(struct kit_hash_state *s, uint64_t n) { add_word(s->v, n); }

/* The length first: no text is the beginning of another. */
void kit_hash_text(struct kit_hash_state *s, const char *p, size_t n) {
  uint64_t v[4] = { s->v[0], s->v[1], s->v[2], s->v[3] };
  add_word(v, n);
  uint64_t rest = add_words(v, p, n);
  if (n % 8) add_word(v, rest);
  memcpy(s->v, v, sizeof v);
}

uint64_t kit_hash_end(struct kit_hash_state *s) {
  s->v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) round_of(s->v);
  return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

uint64_t kit_hash(const struct kit_hash_key *key, const char *p, size_t n) {
  struct kit_hash_state s;
  kit_hash_begin(&s, key);
  uint64_t rest = add_words(s.v, p, n);
  add_word(s.v, rest | (uint64_t)n << 56);
  return kit_hash_end(&s);
}

/* --- the table -------------------------------------------------------------------------------------------- */

static struct kit_node **bucket_of(const struct kit_table *t, uint64_t hash) { return &t->buckets[hash & (t->n_buckets - 1)]; }

/* Twice the buckets. Without memory it stays as it is: chains get longer. */
static void widen(struct kit_table *t) {
  size_t n = t->n_buckets ? t->n_buckets * 2 : FIRST_BUCKETS, before = t->n_buckets;
  struct kit_node **old = t->buckets, **fresh = calloc(n, sizeof *fresh);
  if (!fresh) return;
  t->buckets = fresh;
  t->n_buckets = n;
  for (size_t i = 0; i < before; i++)
    for (struct kit_node *e = old[i], *next; e; e = next) {
      next = e->next;
      e->next = *bucket_of(t, e->hash);
      *bucket_of(t, e->hash) = e;
    }
  free((void *)old);
}

int kit_table_add(struct kit_table *t, struct kit_node *e, uint64_t hash) {
  if (t->n >= t->n_buckets) widen(t);
  if (!t->n_buckets) return WEIR_E_NOMEM;
  struct kit_node **bucket = bucket_of(t, hash);
  *e = (struct kit_node){ *bucket, hash };
  *bucket = e;
  t->n++;
  return 0;
}

void kit_table_remove(struct kit_table *t, struct kit_node *e) {
  struct kit_node **at = bucket_of(t, e->hash);
  while (*at != e) at = &(*at)->next;
  *at = e->next;
  t->n--;
}

void kit_table_done(struct kit_table *t) {
  free((void *)t->buckets);
  *t = (struct kit_table){ 0 };
}

static struct kit_node *same(struct kit_node *e, uint64_t hash) {
  while (e && e->hash != hash) e = e->next;
  return e;
}

struct kit_node *kit_table_first(const struct kit_table *t, uint64_t hash) { return t->n_buckets ? same(*bucket_of(t, hash), hash) : NULL; }

struct kit_node *kit_table_next(const struct kit_node *e) { return same(e->next, e->hash); }
