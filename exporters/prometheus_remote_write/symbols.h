/*
 * prometheus_remote_write/symbols.h - the symbol table of one remote write 2.0 request: each text once, referred to by its place.
 *
 * The table holds its texts as the wire has them (Request.symbols, field 4), so that closing a request is a copy. symbols[0] is "". The hash is
 * keyed at random, as labels come from outside. Threads: [lane] of the instance.
 */
#ifndef RW_SYMBOLS_H
#define RW_SYMBOLS_H

#include "buffer.h"

struct rw_symbol {
  uint32_t at, n; /* in wire.p */
};

struct rw_slot {
  uint32_t hash, ref, generation; /* of another generation: free */
};

struct rw_symbols {
  struct kit_bytes wire;
  struct rw_symbol *v;
  struct rw_slot *slots;
  uint32_t n, cap, mask, generation;
  uint64_t key;
};

int rw_symbols_init(struct rw_symbols *, uint64_t key); /* 0, or WEIR_E_NOMEM */
void rw_symbols_done(struct rw_symbols *);
void rw_symbols_clear(struct rw_symbols *); /* back to "" alone */
/* The reference of a text; 0 and wire.failed when memory is out. */
uint32_t rw_symbol(struct rw_symbols *, struct weir_str);

#endif
