#include "memory.h"

#include <stdlib.h>
#include <string.h>

#include "index.h"

#define MOST (1ull << 30) /* traces of either kind */
#define CHUNK 1024u       /* kept traces in one allocation */
#define PRINT_BYTES 6u    /* of a dropped one */
#define PIECE 3072u       /* dropped ones in a generation of one piece */
#define FIRST_SLOTS 32u

/* --- kept ------------------------------------------------------------------------------------------------- */

struct kept {
  uint8_t id[16];
  uint64_t threshold;
  uint32_t hash;
  uint16_t policy, indexed;
};

/* --- dropped ----------------------------------------------------------------------------------------------
 * A piece for each so many, chosen by the upper half of the hash. Each has two generations of its own, so that no call touches more than one piece. */

struct generation {
  uint8_t *slots; /* PRINT_BYTES each, 0 = empty */
  uint32_t n, n_slots;
};

struct piece {
  struct generation young, old;
};

struct ts_memory {
  struct ts_index index; /* of kept ones, by their place in the ring */
  struct kept **chunks;
  uint64_t max_kept, n_kept, oldest; /* a ring once max_kept is reached */
  uint64_t n_chunks, cap_chunks;
  struct piece *pieces;
  uint32_t n_pieces, per_generation, full_slots; /* of a piece: what a generation holds, in so many slots */
  uint64_t bytes;
};

static uint64_t at_most(uint64_t n, uint64_t limit) { return n < limit ? n : limit; }

static void plan_dropped(struct ts_memory *m, uint64_t max) {
  m->n_pieces = (uint32_t)((max + PIECE - 1) / PIECE);
  if (!m->n_pieces) return;
  uint64_t each = (max + m->n_pieces - 1) / m->n_pieces;
  if (m->n_pieces > 1) each += each / 14; /* four times the square root of PIECE: pieces do not get equally many */
  m->per_generation = (uint32_t)each;
  m->full_slots = (uint32_t)(each + each / 3 + 1);
}

struct ts_memory *ts_memory_new(uint64_t max_kept, uint64_t max_dropped) {
  struct ts_memory *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  m->max_kept = at_most(max_kept, MOST);
  plan_dropped(m, at_most(max_dropped, MOST));
  m->bytes = sizeof *m + m->n_pieces * sizeof *m->pieces;
  if (ts_index_init(&m->index) || (m->n_pieces && !(m->pieces = calloc(m->n_pieces, sizeof *m->pieces)))) {
    ts_memory_free(m);
    return NULL;
  }
  return m;
}

void ts_memory_free(struct ts_memory *m) {
  if (!m) return;
  for (uint64_t i = 0; i < m->n_chunks; i++) free(m->chunks[i]);
  free((void *)m->chunks);
  for (uint32_t i = 0; i < m->n_pieces && m->pieces; i++) {
    free(m->pieces[i].young.slots);
    free(m->pieces[i].old.slots);
  }
  free(m->pieces);
  ts_index_done(&m->index);
  free(m);
}

uint64_t ts_memory_bytes(const struct ts_memory *m) { return m->bytes + m->index.bytes; }

/* A record, and 8 bytes of index of which 3/8 are used after a split. */
uint64_t ts_memory_kept_in(uint64_t bytes) { return bytes / (sizeof(struct kept) + 8 * 8 / 3 + 3); }

/* Two generations of plan_dropped. */
uint64_t ts_memory_dropped_in(uint64_t bytes) { return bytes / (2 * PRINT_BYTES * 3 / 2); }

/* --- kept: a ring in chunks ------------------------------------------------------------------------------- */

static struct kept *kept_at(const struct ts_memory *m, uint64_t place) { return &m->chunks[place / CHUNK][place % CHUNK]; }

static struct kept *find_kept(const struct ts_memory *m, const uint8_t id[16], uint64_t hash) {
  struct ts_index_at at;
  for (uint32_t i = ts_index_first(&m->index, (uint32_t)hash, &at); i != TS_INDEX_NONE; i = ts_index_next(&at))
    if (memcmp(kept_at(m, i)->id, id, 16) == 0) return kept_at(m, i);
  return NULL;
}

static int more_chunks(struct ts_memory *m) {
  if (m->n_chunks == m->cap_chunks) {
    uint64_t cap = m->cap_chunks ? m->cap_chunks * 2 : 16;
    struct kept **chunks = realloc((void *)m->chunks, cap * sizeof *chunks);
    if (!chunks) return 0;
    m->bytes += (cap - m->cap_chunks) * sizeof *chunks;
    m->chunks = chunks;
    m->cap_chunks = cap;
  }
  uint64_t bytes = at_most(CHUNK, m->max_kept - m->n_kept) * sizeof(struct kept);
  struct kept *chunk = malloc(bytes);
  if (!chunk) return 0;
  m->bytes += bytes;
  m->chunks[m->n_chunks++] = chunk;
  return 1;
}

/* The next place, or that of the oldest. */
static struct kept *next_place(struct ts_memory *m, uint64_t *place) {
  if (m->n_kept < m->max_kept) {
    if (m->n_kept == m->n_chunks * CHUNK && !more_chunks(m)) return NULL;
    *place = m->n_kept++;
    return kept_at(m, *place);
  }
  *place = m->oldest;
  m->oldest = (m->oldest + 1) % m->max_kept;
  struct kept *k = kept_at(m, *place);
  if (k->indexed) ts_index_remove(&m->index, k->hash, (uint32_t)*place);
  return k;
}

void ts_memory_keep(struct ts_memory *m, const uint8_t id[16], uint64_t hash, struct ts_remembered what) {
  uint64_t place;
  struct kept *k = find_kept(m, id, hash);
  if (k) {
    k->threshold = what.threshold;
    k->policy = what.policy;
    return;
  }
  if (!m->max_kept || !(k = next_place(m, &place))) return;
  *k = (struct kept){ .threshold = what.threshold, .hash = (uint32_t)hash, .policy = what.policy };
  memcpy(k->id, id, 16);
  k->indexed = ts_index_add(&m->index, k->hash, (uint32_t)place) == 0;
}

/* --- dropped: open addressing by the low half of the hash --------------------------------------------- */

static uint64_t print_of(uint64_t hash) {
  uint64_t print = hash & 0xffffffffffffu;
  return print ? print : 1;
}

static uint32_t home_of(uint64_t print, uint32_t n_slots) { return (uint32_t)((print & UINT32_MAX) * n_slots >> 32); }

static struct piece *piece_of(const struct ts_memory *m, uint64_t hash) { return &m->pieces[(hash >> 32) * m->n_pieces >> 32]; }

static uint64_t print_at(const struct generation *g, uint32_t slot) {
  uint64_t print = 0;
  memcpy(&print, g->slots + (size_t)slot * PRINT_BYTES, PRINT_BYTES); /* little endian */
  return print;
}

/* Its slot, or the empty one where the search ends. */
static uint32_t search(const struct generation *g, uint64_t print) {
  uint32_t slot = home_of(print, g->n_slots);
  for (uint64_t there; (there = print_at(g, slot)) != 0 && there != print;)
    if (++slot == g->n_slots) slot = 0;
  return slot;
}

static int is_in(const struct generation *g, uint64_t print) { return g->n && print_at(g, search(g, print)) == print; }

static void put_print(struct generation *g, uint64_t print) {
  memcpy(g->slots + (size_t)search(g, print) * PRINT_BYTES, &print, PRINT_BYTES);
  g->n++;
}

static int grow(struct ts_memory *m, struct generation *g) {
  uint32_t n_slots = (uint32_t)at_most(g->n_slots ? g->n_slots * 2 : FIRST_SLOTS, m->full_slots);
  struct generation wide = { calloc(n_slots, PRINT_BYTES), 0, n_slots };
  if (!wide.slots) return 0;
  for (uint32_t i = 0; i < g->n_slots; i++)
    if (print_at(g, i)) put_print(&wide, print_at(g, i));
  m->bytes += (uint64_t)(n_slots - g->n_slots) * PRINT_BYTES;
  free(g->slots);
  *g = wide;
  return 1;
}

static void turn(struct piece *p) {
  struct generation oldest = p->old;
  p->old = p->young;
  p->young = (struct generation){ oldest.slots, 0, oldest.n_slots };
  if (oldest.n_slots) memset(oldest.slots, 0, (size_t)oldest.n_slots * PRINT_BYTES);
}

/* Without memory it fills up to the last slot; then it is not remembered. */
void ts_memory_drop(struct ts_memory *m, const uint8_t id[16], uint64_t hash) {
  (void)id;
  if (!m->n_pieces) return;
  struct piece *p = piece_of(m, hash);
  uint64_t print = print_of(hash);
  if (is_in(&p->young, print)) return;
  if (p->young.n >= m->per_generation) turn(p);
  struct generation *g = &p->young;
  if (g->n >= g->n_slots / 4 * 3 && g->n_slots < m->full_slots && !grow(m, g) && g->n + 1 >= g->n_slots) return;
  put_print(g, print);
}

int ts_memory_find(const struct ts_memory *m, const uint8_t id[16], uint64_t hash, struct ts_remembered *ret) {
  const struct kept *k = find_kept(m, id, hash);
  if (k) {
    *ret = (struct ts_remembered){ k->policy, k->threshold };
    return TS_WAS_KEPT;
  }
  if (!m->n_pieces) return TS_FORGOTTEN;
  const struct piece *p = piece_of(m, hash);
  uint64_t print = print_of(hash);
  return is_in(&p->young, print) || is_in(&p->old, print) ? TS_WAS_DROPPED : TS_FORGOTTEN;
}
