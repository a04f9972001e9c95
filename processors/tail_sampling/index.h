/*
 * processors/tail_sampling/index.h - from a hash to numbers that the owner gave: what tables are made of that grow without a pause.
 *
 * Extendible hashing (Fagin and others 1979): a directory of pieces by the upper bits of the hash, each an open-addressed table of at most TS_INDEX_PIECE slots. A full piece is split in two, two
 * that are nearly empty are joined, so that no call moves more than one piece. A slot is 8 bytes: 32 bits of the hash and the number; between 1/4 and 3/4 of them are used. Whoever looks
 * compares what the number stands for. The hash is keyed by the owner. Threads: none of its own.
 */
#ifndef TAIL_SAMPLING_INDEX_H
#define TAIL_SAMPLING_INDEX_H

#include <stddef.h>
#include <stdint.h>

#define TS_INDEX_PIECE 4096u
#define TS_INDEX_NONE UINT32_MAX /* not a number that can be added */

struct ts_index_piece {
  uint32_t n, n_slots; /* slots: a power of two, never all used */
  uint32_t depth, reserved;
  uint64_t slots[]; /* hash << 32 | number + 1; 0 = empty */
};

struct ts_index {
  struct ts_index_piece **pieces; /* 2^depth; a piece of less depth stands there several times */
  uint32_t depth, reserved;
  uint64_t n, bytes; /* numbers; memory */
};

/* Where a search stands. */
struct ts_index_at {
  const struct ts_index_piece *piece;
  uint32_t hash, slot;
};

int ts_index_init(struct ts_index *); /* 0, or WEIR_E_NOMEM */
void ts_index_done(struct ts_index *); /* a zeroed one allowed */
int ts_index_add(struct ts_index *, uint32_t hash, uint32_t number); /* 0, or WEIR_E_NOMEM with nothing added */
void ts_index_remove(struct ts_index *, uint32_t hash, uint32_t number); /* it is in there, once */

/* The numbers with this hash, one after the other; TS_INDEX_NONE at the end. */
static inline uint32_t ts_index_next(struct ts_index_at *at) {
  const struct ts_index_piece *p = at->piece;
  for (uint64_t v; (v = p->slots[at->slot & (p->n_slots - 1)]) != 0;) {
    at->slot++;
    if (v >> 32 == at->hash) return (uint32_t)v - 1;
  }
  return TS_INDEX_NONE;
}

static inline uint32_t ts_index_first(const struct ts_index *ix, uint32_t hash, struct ts_index_at *at) {
  *at = (struct ts_index_at){ ix->pieces[(uint64_t)hash << ix->depth >> 32], hash, hash };
  return ts_index_next(at);
}

#endif
