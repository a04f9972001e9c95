/* Sets of texts: values to compare with, and the keys of attributes. */
#include <stdlib.h>
#include <string.h>

#include "policy_internal.h"

/* --- values ------------------------------------------------------------------------------------- */

static int compare(const char *a, uint32_t n, const char *b, uint32_t m) {
  if (n != m) return n < m ? -1 : 1;
  return n ? memcmp(a, b, n) : 0;
}

static int compare_texts(const void *a, const void *b) {
  const struct weir_str *x = a, *y = b;
  return compare(x->p, x->n, y->p, y->n);
}

int ts_texts_make(struct ts_program *p, struct weir_strings from, size_t max_bytes, struct ts_texts *ret) {
  ret->n = 0;
  ret->v = ts_keep(p, (from.n + 1) * sizeof *ret->v);
  if (!ret->v) return WEIR_E_NOMEM;
  for (size_t i = 0; i < from.n; i++) {
    size_t n = strlen(from.v[i]);
    if ((p->collector && n == 0) || n > max_bytes) continue;
    const char *copy = ts_keep_text(p, from.v[i]);
    if (!copy) return WEIR_E_NOMEM;
    ret->v[ret->n++] = (struct weir_str){ copy, (uint32_t)n, 0 };
  }
  qsort(ret->v, ret->n, sizeof *ret->v, compare_texts);
  return 0;
}

int ts_texts_have(const struct ts_texts *t, const char *p, uint32_t n) {
  uint32_t from = 0, to = t->n;
  while (from < to) {
    uint32_t mid = from + (to - from) / 2;
    int c = compare(p, n, t->v[mid].p, t->v[mid].n);
    if (c == 0) return 1;
    if (c < 0)
      to = mid;
    else
      from = mid + 1;
  }
  return 0;
}

/* --- keys ------------------------------------------------------------------------------------------ */

static struct ts_key *place(struct ts_program *p, const char *key, uint32_t n) {
  for (uint64_t i = ts_key_hash(p->key_seed, key, n);; i++) {
    struct ts_key *k = &p->keys[i & p->keys_mask];
    if (!k->key.p || (k->key.n == n && memcmp(k->key.p, key, n) == 0)) return k;
  }
}

/* How many keys are not where their hash says. */
static uint32_t fill(struct ts_program *p, const char *const *key_of_leaf) {
  uint32_t astray = 0;
  memset(p->keys, 0, (p->keys_mask + 1) * sizeof *p->keys);
  p->n_keys = 0;
  for (uint32_t i = 0; i < p->n_leaves; i++) {
    if (!key_of_leaf[i]) continue;
    uint32_t n = (uint32_t)strlen(key_of_leaf[i]);
    struct ts_key *k = place(p, key_of_leaf[i], n);
    if (!k->key.p) {
      k->key = (struct weir_str){ key_of_leaf[i], n, 0 };
      p->key_lengths |= 1ull << (n & 63);
      p->n_keys++;
      astray += k != &p->keys[ts_key_hash(p->key_seed, key_of_leaf[i], n) & p->keys_mask];
    }
    k->n++;
  }
  return astray;
}

#define SEEDS 64

/* Of some seeds the one with the fewest keys astray, mostly none. */
static void choose_seed(struct ts_program *p, const char *const *key_of_leaf) {
  uint64_t best = 0, seed = 0x9e3779b97f4a7c15u;
  uint32_t least = UINT32_MAX;
  for (int i = 0; i < SEEDS && least; i++, seed = (seed * 6364136223846793005u + 1442695040888963407u) | 1) {
    p->key_seed = seed;
    uint32_t astray = fill(p, key_of_leaf);
    if (astray >= least) continue;
    least = astray;
    best = seed;
  }
  p->key_seed = best;
  fill(p, key_of_leaf);
}

int ts_keys_make(struct ts_program *p, const char *const *key_of_leaf) {
  uint32_t n = 0, places = 4, at = 0;
  for (uint32_t i = 0; i < p->n_leaves; i++) n += key_of_leaf[i] != NULL;
  while (places < n * 4) places *= 2;
  p->keys_mask = places - 1;
  p->keys = ts_keep(p, places * sizeof *p->keys);
  p->by_key = ts_keep(p, (n + 1) * sizeof *p->by_key);
  if (!p->keys || !p->by_key) return WEIR_E_NOMEM;
  choose_seed(p, key_of_leaf);
  for (uint32_t i = 0; i <= p->keys_mask; i++) {
    p->keys[i].first = at;
    at += p->keys[i].n;
    p->keys[i].n = 0;
  }
  for (uint32_t i = 0; i < p->n_leaves; i++) {
    if (!key_of_leaf[i]) continue;
    struct ts_key *k = place(p, key_of_leaf[i], (uint32_t)strlen(key_of_leaf[i]));
    p->by_key[k->first + k->n++] = (uint16_t)i;
    p->leaves[i].key = k->key;
  }
  return 0;
}
