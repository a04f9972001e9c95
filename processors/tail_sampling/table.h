/*
 * processors/tail_sampling/table.h - the undecided traces of one lane: found by id, and in the order of their arrival and of their roots' arrival.
 *
 * Entries keep their address from add to remove. The index grows a piece at a time, so that no single call takes longer than a rehash of TS_TABLE_PIECE entries.
 * The hash is keyed, as peers choose ids. Threads: [lane] of the owner.
 */
#ifndef TAIL_SAMPLING_TABLE_H
#define TAIL_SAMPLING_TABLE_H

#include "plugins/kit/hash.h"
#include "policy.h"
#include "store.h"

#define TS_TABLE_PIECE 4096u

struct ts_table;

/* One undecided trace; its bits stand behind it. */
struct ts_trace {
  struct ts_trace *older, *newer;           /* by arrival; the table's */
  struct ts_trace *root_older, *root_newer; /* by arrival of the root, when in_roots; the table's */
  uint64_t hash;
  ts_ref newest;
  ts_ref unread;             /* the owner's: from here on older spans are not yet in the facts; 0: all are */
  int64_t first_ns, root_ns; /* monotonic; when its first span came, and its first root */
  uint8_t in_roots;          /* the table's */
  uint8_t state, outcome;    /* the owner's */
  uint8_t generation;        /* the owner's: of the policies that its bits are of */
  uint32_t spans;            /* in the store; facts may know fewer of them for a while after a reload */
  uint32_t alone;            /* span-ingest under `semantics: collector`: where its spans of this batch are looked at, plus 1 */
  uint64_t shed_threshold;   /* it came while new traces were thinned out by this; 0: it did not */
  struct ts_facts facts;
};

struct ts_table *ts_table_new(uint32_t bit_words); /* NULL: no memory */
/* With the hash of another one: for the same lane after a reload, so that ts_memory goes on to be asked with the same hashes. */
struct ts_table *ts_table_new_like(const struct ts_table *, uint32_t bit_words);
void ts_table_free(struct ts_table *);
uint64_t ts_table_hash(const struct ts_table *, const uint8_t id[16]);
struct ts_trace *ts_table_find(const struct ts_table *, const uint8_t id[16], uint64_t hash);
/* A new one at the end of the order of arrival, zeroed but for hash, id and bits (zeroed too). NULL: no memory. */
struct ts_trace *ts_table_add(struct ts_table *, const uint8_t id[16], uint64_t hash);
void ts_table_remove(struct ts_table *, struct ts_trace *);
/* Puts it at the end of the order of roots, once. */
void ts_table_root(struct ts_table *, struct ts_trace *);
void ts_table_unroot(struct ts_table *, struct ts_trace *); /* takes it out of that order again, if it is there */
struct ts_trace *ts_table_oldest(const struct ts_table *);      /* by arrival; NULL when empty */
struct ts_trace *ts_table_oldest_root(const struct ts_table *); /* NULL when empty */
uint64_t ts_table_count(const struct ts_table *);
uint64_t ts_table_bytes(const struct ts_table *);

#endif
