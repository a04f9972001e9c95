#include "index.h"

#include <stdlib.h>
#include <string.h>

#include <weir/error.h>

#define FIRST_SLOTS 16u
#define DEPTH_MAX 18u /* a directory of 2 MiB; a piece that is full at this depth gets longer */

static size_t piece_bytes(uint32_t n_slots) { return sizeof(struct ts_index_piece) + n_slots * sizeof(uint64_t); }

static struct ts_index_piece *piece_new(struct ts_index *ix, uint32_t n_slots, uint32_t depth) {
  struct ts_index_piece *p = calloc(1, piece_bytes(n_slots));
  if (!p) return NULL;
  p->n_slots = n_slots;
  p->depth = depth;
  ix->bytes += piece_bytes(n_slots);
  return p;
}

static void piece_free(struct ts_index *ix, struct ts_index_piece *p) {
  if (!p) return;
  ix->bytes -= piece_bytes(p->n_slots);
  free(p);
}

static void piece_put(struct ts_index_piece *p, uint64_t v) {
  uint32_t mask = p->n_slots - 1, i = (uint32_t)(v >> 32) & mask;
  while (p->slots[i]) i = (i + 1) & mask;
  p->slots[i] = v;
  p->n++;
}

/* Directory entries of the piece that `hash` is in, from `from` on. */
static uint32_t entries_of(const struct ts_index *ix, uint32_t hash, uint32_t depth, uint32_t *from) {
  uint32_t each = 1u << (ix->depth - depth);
  *from = (uint32_t)((uint64_t)hash << depth >> 32) * each;
  return each;
}

static void enter(struct ts_index *ix, uint32_t hash, struct ts_index_piece *p) {
  uint32_t from, n = entries_of(ix, hash, p->depth, &from);
  for (uint32_t i = 0; i < n; i++) ix->pieces[from + i] = p;
}

int ts_index_init(struct ts_index *ix) {
  *ix = (struct ts_index){ .pieces = malloc(sizeof *ix->pieces) };
  if (!ix->pieces) return WEIR_E_NOMEM;
  ix->pieces[0] = piece_new(ix, FIRST_SLOTS, 0);
  ix->bytes += sizeof *ix->pieces;
  if (ix->pieces[0]) return 0;
  free((void *)ix->pieces);
  *ix = (struct ts_index){ 0 };
  return WEIR_E_NOMEM;
}

void ts_index_done(struct ts_index *ix) {
  for (uint32_t i = 0, step; ix->pieces && i < 1u << ix->depth; i += step) {
    step = 1u << (ix->depth - ix->pieces[i]->depth);
    piece_free(ix, ix->pieces[i]);
  }
  free((void *)ix->pieces);
  *ix = (struct ts_index){ 0 };
}

/* --- growing -------------------------------------------------------------------------------------------- */

static int resize(struct ts_index *ix, uint32_t hash, struct ts_index_piece *p, uint32_t n_slots) {
  struct ts_index_piece *q = piece_new(ix, n_slots, p->depth);
  if (!q) return WEIR_E_NOMEM;
  for (uint32_t i = 0; i < p->n_slots; i++)
    if (p->slots[i]) piece_put(q, p->slots[i]);
  enter(ix, hash, q);
  piece_free(ix, p);
  return 0;
}

static int deepen(struct ts_index *ix) {
  uint32_t n = 1u << ix->depth;
  struct ts_index_piece **pieces = malloc(2 * n * sizeof *pieces);
  if (!pieces) return WEIR_E_NOMEM;
  for (uint32_t i = 0; i < 2 * n; i++) pieces[i] = ix->pieces[i / 2];
  free((void *)ix->pieces);
  ix->pieces = pieces;
  ix->bytes += n * sizeof *pieces;
  ix->depth++;
  return 0;
}

static int split(struct ts_index *ix, uint32_t hash, struct ts_index_piece *p) {
  if (p->depth == ix->depth && deepen(ix)) return WEIR_E_NOMEM;
  uint32_t bit = 0x80000000u >> p->depth;
  struct ts_index_piece *half[2] = { piece_new(ix, p->n_slots, p->depth + 1), piece_new(ix, p->n_slots, p->depth + 1) };
  if (!half[0] || !half[1]) {
    piece_free(ix, half[0]);
    piece_free(ix, half[1]);
    return WEIR_E_NOMEM;
  }
  for (uint32_t i = 0; i < p->n_slots; i++)
    if (p->slots[i]) piece_put(half[(p->slots[i] >> 32 & bit) != 0], p->slots[i]);
  enter(ix, hash & ~bit, half[0]);
  enter(ix, hash | bit, half[1]);
  piece_free(ix, p);
  return 0;
}

static struct ts_index_piece *piece_of(const struct ts_index *ix, uint32_t hash) { return ix->pieces[(uint64_t)hash << ix->depth >> 32]; }

/* One that is over 3/4 full gives way, once: without memory, or when all of it goes to one side, it fills up to its last slot. */
int ts_index_add(struct ts_index *ix, uint32_t hash, uint32_t number) {
  struct ts_index_piece *p = piece_of(ix, hash);
  if (p->n >= p->n_slots / 4 * 3) {
    int r = p->n_slots < TS_INDEX_PIECE || p->depth == DEPTH_MAX ? resize(ix, hash, p, p->n_slots * 2) : split(ix, hash, p);
    if (r && p->n + 1 >= p->n_slots) return WEIR_E_NOMEM;
    p = piece_of(ix, hash);
    if (p->n + 1 >= p->n_slots) return ts_index_add(ix, hash, number);
  }
  piece_put(p, (uint64_t)hash << 32 | (number + 1));
  ix->n++;
  return 0;
}

/* --- shrinking ------------------------------------------------------------------------------------------ */

/* With its neighbour, when both are nearly empty. Without memory all stays as it is. */
static void join(struct ts_index *ix, uint32_t hash, struct ts_index_piece *p) {
  uint32_t bit = 0x80000000u >> (p->depth - 1);
  struct ts_index_piece *other = piece_of(ix, hash ^ bit), *q;
  if (other->depth != p->depth || p->n + other->n > p->n_slots / 4) return;
  if (!(q = piece_new(ix, TS_INDEX_PIECE, p->depth - 1))) return;
  for (uint32_t i = 0; i < p->n_slots; i++)
    if (p->slots[i]) piece_put(q, p->slots[i]);
  for (uint32_t i = 0; i < other->n_slots; i++)
    if (other->slots[i]) piece_put(q, other->slots[i]);
  enter(ix, hash, q);
  piece_free(ix, p);
  piece_free(ix, other);
}

/* Nothing is in there: the directory goes too. */
static void restart(struct ts_index *ix) {
  struct ts_index fresh;
  if ((ix->depth == 0 && ix->pieces[0]->n_slots == FIRST_SLOTS) || ts_index_init(&fresh)) return;
  ts_index_done(ix);
  *ix = fresh;
}

/* Knuth 6.4 algorithm R: what stands behind moves up, so that no search ends early. */
static void close_gap(struct ts_index_piece *p, uint32_t gap) {
  uint32_t mask = p->n_slots - 1;
  for (uint32_t i = (gap + 1) & mask; p->slots[i]; i = (i + 1) & mask) {
    uint32_t home = (uint32_t)(p->slots[i] >> 32) & mask;
    if (((i - home) & mask) < ((i - gap) & mask)) continue;
    p->slots[gap] = p->slots[i];
    gap = i;
  }
  p->slots[gap] = 0;
  p->n--;
}

void ts_index_remove(struct ts_index *ix, uint32_t hash, uint32_t number) {
  struct ts_index_piece *p = piece_of(ix, hash);
  uint32_t mask = p->n_slots - 1, i = hash & mask;
  while (p->slots[i] != ((uint64_t)hash << 32 | (number + 1))) i = (i + 1) & mask;
  close_gap(p, i);
  if (--ix->n == 0) restart(ix);
  else if (p->depth && p->n < p->n_slots / 8) join(ix, hash, p);
  else if (!p->depth && p->n < p->n_slots / 8 && p->n_slots > FIRST_SLOTS) (void)resize(ix, hash, p, p->n_slots / 2);
}
