#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "index.h"

_Static_assert(TS_INDEX_PIECE <= TS_TABLE_PIECE, "no call rehashes more");

#define SLAB 64u /* entries: one word says which are free */

struct slab {
  uint64_t free;              /* bits of entries */
  struct slab *before, *after; /* among those that have room */
  uint32_t number, reserved;
  uint64_t entries[]; /* SLAB times entry_bytes */
};

struct list {
  struct ts_trace *oldest, *newest;
};

struct ts_table {
  struct kit_hash_key key;
  struct ts_index index; /* numbers: slab * SLAB + entry */
  struct slab **slabs;   /* NULL: free number */
  struct slab *with_room;
  size_t entry_bytes;
  uint32_t n_slabs, cap_slabs, used_slabs, empty_slabs;
  uint32_t free_from; /* no number below is free */
  uint32_t bit_words;
  uint64_t n;
  struct list arrival, roots;
};

struct ts_table *ts_table_new(uint32_t bit_words) {
  struct ts_table *t = calloc(1, sizeof *t);
  if (!t || ts_index_init(&t->index)) {
    free(t);
    return NULL;
  }
  kit_hash_key_draw(&t->key);
  t->bit_words = bit_words;
  t->entry_bytes = sizeof(struct ts_trace) + bit_words * sizeof(uint64_t);
  return t;
}

struct ts_table *ts_table_new_like(const struct ts_table *other, uint32_t bit_words) {
  struct ts_table *t = ts_table_new(bit_words);
  if (t) t->key = other->key;
  return t;
}

void ts_table_free(struct ts_table *t) {
  if (!t) return;
  for (uint32_t i = 0; i < t->n_slabs; i++) free(t->slabs[i]);
  free((void *)t->slabs);
  ts_index_done(&t->index);
  free(t);
}

uint64_t ts_table_hash(const struct ts_table *t, const uint8_t id[16]) { return kit_hash(&t->key, (const char *)id, 16); }

/* --- slabs ---------------------------------------------------------------------------------------------- */

static size_t slab_bytes(const struct ts_table *t) { return sizeof(struct slab) + SLAB * t->entry_bytes; }

static struct ts_trace *entry(const struct ts_table *t, uint32_t number) {
  return (struct ts_trace *)(void *)((char *)t->slabs[number / SLAB]->entries + number % SLAB * t->entry_bytes);
}

static void link_slab(struct ts_table *t, struct slab *s) {
  s->before = NULL;
  s->after = t->with_room;
  if (s->after) s->after->before = s;
  t->with_room = s;
}

static void unlink_slab(struct ts_table *t, struct slab *s) {
  if (s->after) s->after->before = s->before;
  *(s->before ? &s->before->after : &t->with_room) = s->after;
}

/* A number that no slab has. */
static int slab_number(struct ts_table *t, uint32_t *ret) {
  while (t->free_from < t->n_slabs && t->slabs[t->free_from]) t->free_from++;
  *ret = t->free_from;
  if (*ret < t->n_slabs) return 1;
  if (t->n_slabs == t->cap_slabs) {
    uint32_t cap = t->cap_slabs ? t->cap_slabs * 2 : 16;
    struct slab **slabs = cap <= UINT32_MAX / SLAB ? realloc((void *)t->slabs, cap * sizeof *slabs) : NULL;
    if (!slabs) return 0;
    t->slabs = slabs;
    t->cap_slabs = cap;
  }
  t->slabs[t->n_slabs++] = NULL;
  return 1;
}

static struct slab *slab_with_room(struct ts_table *t) {
  uint32_t number;
  if (t->with_room) return t->with_room;
  struct slab *s = slab_number(t, &number) ? malloc(slab_bytes(t)) : NULL;
  if (!s) return NULL;
  s->free = UINT64_MAX;
  s->number = number;
  t->slabs[number] = s;
  t->used_slabs++;
  t->empty_slabs++;
  link_slab(t, s);
  return s;
}

/* One empty slab stays, so that a trace that comes and goes costs no malloc. */
static void slab_put_back(struct ts_table *t, uint32_t number) {
  struct slab *s = t->slabs[number / SLAB];
  if (!s->free) link_slab(t, s);
  s->free |= 1ull << number % SLAB;
  if (s->free != UINT64_MAX || t->empty_slabs++ == 0) return;
  unlink_slab(t, s);
  t->empty_slabs--;
  t->used_slabs--;
  t->slabs[s->number] = NULL;
  if (s->number < t->free_from) t->free_from = s->number;
  free(s);
}

/* --- traces --------------------------------------------------------------------------------------------- */

struct ts_trace *ts_table_find(const struct ts_table *t, const uint8_t id[16], uint64_t hash) {
  struct ts_index_at at;
  for (uint32_t i = ts_index_first(&t->index, (uint32_t)hash, &at); i != TS_INDEX_NONE; i = ts_index_next(&at)) {
    struct ts_trace *e = entry(t, i);
    if (memcmp(e->facts.id, id, 16) == 0) return e;
  }
  return NULL;
}

struct ts_trace *ts_table_add(struct ts_table *t, const uint8_t id[16], uint64_t hash) {
  struct slab *s = slab_with_room(t);
  uint32_t number = s ? s->number * SLAB + (uint32_t)__builtin_ctzll(s->free) : 0;
  if (!s || ts_index_add(&t->index, (uint32_t)hash, number)) return NULL;
  if (s->free == UINT64_MAX) t->empty_slabs--;
  s->free &= s->free - 1;
  if (!s->free) unlink_slab(t, s);
  struct ts_trace *e = entry(t, number);
  memset(e, 0, t->entry_bytes);
  e->hash = hash;
  memcpy(e->facts.id, id, 16);
  e->facts.bits = (uint64_t *)(void *)(e + 1);
  e->older = t->arrival.newest;
  *(e->older ? &e->older->newer : &t->arrival.oldest) = e;
  t->arrival.newest = e;
  t->n++;
  return e;
}

static void leave_roots(struct ts_table *t, struct ts_trace *e) {
  *(e->root_older ? &e->root_older->root_newer : &t->roots.oldest) = e->root_newer;
  *(e->root_newer ? &e->root_newer->root_older : &t->roots.newest) = e->root_older;
}

void ts_table_remove(struct ts_table *t, struct ts_trace *e) {
  struct ts_index_at at;
  uint32_t number = ts_index_first(&t->index, (uint32_t)e->hash, &at);
  while (entry(t, number) != e) number = ts_index_next(&at);
  *(e->older ? &e->older->newer : &t->arrival.oldest) = e->newer;
  *(e->newer ? &e->newer->older : &t->arrival.newest) = e->older;
  if (e->in_roots) leave_roots(t, e);
  ts_index_remove(&t->index, (uint32_t)e->hash, number);
  slab_put_back(t, number);
  t->n--;
}

void ts_table_root(struct ts_table *t, struct ts_trace *e) {
  if (e->in_roots) return;
  e->in_roots = 1;
  e->root_older = t->roots.newest;
  *(e->root_older ? &e->root_older->root_newer : &t->roots.oldest) = e;
  t->roots.newest = e;
}

void ts_table_unroot(struct ts_table *t, struct ts_trace *e) {
  if (e->in_roots) leave_roots(t, e);
  e->in_roots = 0;
}

struct ts_trace *ts_table_oldest(const struct ts_table *t) { return t->arrival.oldest; }

struct ts_trace *ts_table_oldest_root(const struct ts_table *t) { return t->roots.oldest; }

uint64_t ts_table_count(const struct ts_table *t) { return t->n; }

uint64_t ts_table_bytes(const struct ts_table *t) {
  return sizeof *t + t->index.bytes + t->cap_slabs * sizeof(struct slab *) + (uint64_t)t->used_slabs * slab_bytes(t);
}
