/*
 * plugins/kit/hash.h - SipHash-1-3 with a key of its own for each holder, and a table by it: for names and values that peers choose.
 *
 * Whoever knows a hash can make values that share a bucket; a table of them is a list, and looking through it stops the lane. SipHash is made for this: without
 * the key no such values are known. One round per word and three at the end is what Rust's and Python's tables use.
 * The table grows with what it holds: whoever bounds it counts its entries. Threads: none of its own; a key does not change once drawn.
 */
#ifndef PLUGINS_KIT_HASH_H
#define PLUGINS_KIT_HASH_H

#include <stddef.h>
#include <stdint.h>

struct kit_hash_key {
  uint64_t k[2];
};

void kit_hash_key_draw(struct kit_hash_key *); /* at random */

/* SipHash-1-3 of one text. */
uint64_t kit_hash(const struct kit_hash_key *, const char *p, size_t n);

/* Of several texts and numbers: "ab", "c" and "a", "bc" differ. */
struct kit_hash_state {
  uint64_t v[4];
};

void kit_hash_begin(struct kit_hash_state *, const struct kit_hash_key *);
void kit_hash_number(struct kit_hash_state *, uint64_t);
void kit_hash_text(struct kit_hash_state *, const char *p, size_t n);
uint64_t kit_hash_end(struct kit_hash_state *);

/* --- a table: entries embed a node, and are compared by whoever looks ---------------------------- */

struct kit_node {
  struct kit_node *next;
  uint64_t hash;
};

struct kit_table {
  struct kit_node **buckets;
  size_t n, n_buckets; /* buckets: 0 or a power of two */
};

/* 0, or WEIR_E_NOMEM with nothing added. */
int kit_table_add(struct kit_table *, struct kit_node *, uint64_t hash);
void kit_table_remove(struct kit_table *, struct kit_node *); /* it is in there */
void kit_table_done(struct kit_table *);                      /* the entries are their owner's; a zeroed table allowed */

/* All entries with this hash: the first, and the one behind. NULL at the end. */
struct kit_node *kit_table_first(const struct kit_table *, uint64_t hash);
struct kit_node *kit_table_next(const struct kit_node *);

#endif
