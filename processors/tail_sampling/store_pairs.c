/* Resource and scope, once by content. */
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define CHUNK 64u /* numbers */

/* A message or text, and the field it stands in. There is a difference between an empty message and none. */
struct part {
  const char *p;
  uint32_t n, there;
};

static struct part part_of(const char *p, uint32_t n, int there) { return (struct part){ p, n, there != 0 }; }

static void parts_of(const struct weir_resource *r, const struct weir_scope *s, struct part out[4]) {
  out[0] = part_of(r->rec.raw, r->rec.raw_n, r->rec.raw != NULL);
  out[1] = part_of(s->rec.raw, s->rec.raw_n, s->rec.raw != NULL);
  out[2] = part_of(s->schema_url.p, s->schema_url.n, s->schema_url.n != 0);
  out[3] = part_of(r->schema_url.p, r->schema_url.n, r->schema_url.n != 0);
}

static size_t part_bytes(const struct part *p) { return p->there ? 1 + kit_varint_size(p->n) + p->n : 0; }

static uint32_t hash_of(const struct ts_pairs *pairs, const struct part parts[4]) {
  struct kit_hash_state h;
  kit_hash_begin(&h, &pairs->key);
  for (int i = 0; i < 4; i++) {
    kit_hash_number(&h, parts[i].there);
    kit_hash_text(&h, parts[i].p, parts[i].n);
  }
  return (uint32_t)kit_hash_end(&h);
}

static int is_pair(const struct ts_pair *pair, const struct part parts[4]) {
  const char *at = pair->fields;
  for (int i = 0; i < 4; at += pair->parts[i], i++) {
    if (pair->parts[i] != part_bytes(&parts[i])) return 0;
    if (parts[i].n && memcmp(at + pair->parts[i] - parts[i].n, parts[i].p, parts[i].n) != 0) return 0;
  }
  return 1;
}

int ts_pairs_init(struct ts_store *s) {
  kit_hash_key_draw(&s->pairs.key);
  return ts_index_init(&s->pairs.index);
}

static void chunks_done(struct ts_store *s) {
  struct ts_pairs *p = &s->pairs;
  for (uint32_t i = 0; i < p->n_chunks; i++) ts_store_give(s, (void *)p->chunks[i], CHUNK * sizeof **p->chunks);
  ts_store_give(s, (void *)p->chunks, p->cap_chunks * sizeof *p->chunks);
  p->chunks = NULL;
  p->n_chunks = p->cap_chunks = p->free_from = 0;
}

static size_t pair_bytes(const struct ts_pair *pair) {
  return sizeof *pair + (size_t)pair->parts[0] + pair->parts[1] + pair->parts[2] + pair->parts[3];
}

void ts_pairs_done(struct ts_store *s) {
  for (uint32_t i = 0; i < s->pairs.n_chunks * CHUNK; i++) free(ts_pair_of(s, i));
  chunks_done(s);
  ts_index_done(&s->pairs.index);
}

struct ts_pair *ts_pair_of(const struct ts_store *s, uint32_t number) { return s->pairs.chunks[number / CHUNK][number % CHUNK]; }

/* --- numbers: the lowest that is free ------------------------------------------------------------------ */

static int more_numbers(struct ts_store *s) {
  struct ts_pairs *p = &s->pairs;
  if (p->n_chunks == p->cap_chunks) {
    struct ts_pair ***chunks = ts_store_widen(s, (void *)p->chunks, p->cap_chunks, 4, sizeof *chunks);
    if (!chunks) return 0;
    p->chunks = chunks;
    p->cap_chunks = p->cap_chunks ? p->cap_chunks * 2 : 4;
  }
  struct ts_pair **chunk = ts_store_alloc(s, CHUNK * sizeof *chunk);
  if (!chunk) return 0;
  memset((void *)chunk, 0, CHUNK * sizeof *chunk);
  p->chunks[p->n_chunks++] = chunk;
  return 1;
}

static int number_of(struct ts_store *s, uint32_t *ret) {
  struct ts_pairs *p = &s->pairs;
  while (p->free_from < p->n_chunks * CHUNK && ts_pair_of(s, p->free_from)) p->free_from++;
  *ret = p->free_from;
  return p->free_from < p->n_chunks * CHUNK || more_numbers(s);
}

/* --- pairs ---------------------------------------------------------------------------------------------- */

static void write_fields(struct ts_pair *pair, const struct part parts[4]) {
  static const char tags[4] = { 1 << 3 | 2, 1 << 3 | 2, 3 << 3 | 2, 3 << 3 | 2 }; /* resource, scope, schema_url (trace.proto) */
  char *at = pair->fields;
  for (int i = 0; i < 4; i++) {
    pair->parts[i] = (uint32_t)part_bytes(&parts[i]);
    if (!parts[i].there) continue;
    *at++ = tags[i];
    at = kit_varint_at(at, parts[i].n);
    if (parts[i].n) memcpy(at, parts[i].p, parts[i].n);
    at += parts[i].n;
  }
}

static struct ts_pair *pair_new(struct ts_store *s, uint32_t hash, const struct part parts[4]) {
  uint32_t number;
  size_t n = sizeof(struct ts_pair);
  for (int i = 0; i < 4; i++) n += part_bytes(&parts[i]);
  struct ts_pair *pair = number_of(s, &number) ? ts_store_alloc(s, n) : NULL;
  if (!pair) return NULL;
  if (ts_index_add(&s->pairs.index, hash, number)) {
    ts_store_give(s, pair, n);
    return NULL;
  }
  pair->refs = 0;
  pair->number = number;
  pair->hash = hash;
  write_fields(pair, parts);
  s->pairs.chunks[number / CHUNK][number % CHUNK] = pair;
  s->pairs.n++;
  s->pairs.bytes += n;
  return pair;
}

static struct ts_pair *find_or_make(struct ts_store *s, const struct weir_resource *resource, const struct weir_scope *scope) {
  struct part parts[4];
  struct ts_index_at at;
  parts_of(resource, scope, parts);
  uint32_t hash = hash_of(&s->pairs, parts);
  for (uint32_t i = ts_index_first(&s->pairs.index, hash, &at); i != TS_INDEX_NONE; i = ts_index_next(&at))
    if (is_pair(ts_pair_of(s, i), parts)) return ts_pair_of(s, i);
  return pair_new(s, hash, parts);
}

struct ts_pair *ts_pair_ref(struct ts_store *s, const struct weir_resource *resource, const struct weir_scope *scope) {
  struct ts_pairs *p = &s->pairs;
  if (!p->last || p->resource != resource || p->scope != scope) {
    struct ts_pair *pair = find_or_make(s, resource, scope);
    if (!pair) return NULL;
    p->resource = resource;
    p->scope = scope;
    p->last = pair;
  }
  p->last->refs++;
  return p->last;
}

void ts_pair_unref(struct ts_store *s, struct ts_pair *pair) {
  struct ts_pairs *p = &s->pairs;
  if (--pair->refs) return;
  if (p->last == pair) p->last = NULL;
  ts_index_remove(&p->index, pair->hash, pair->number);
  p->chunks[pair->number / CHUNK][pair->number % CHUNK] = NULL;
  if (pair->number < p->free_from) p->free_from = pair->number;
  p->n--;
  p->bytes -= pair_bytes(pair);
  ts_store_give(s, pair, pair_bytes(pair));
  if (!p->n) chunks_done(s);
}
