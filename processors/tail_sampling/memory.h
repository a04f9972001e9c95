/*
 * processors/tail_sampling/memory.h - what was decided of traces that are gone, so that late spans follow: bounded in bytes, per lane.
 *
 * Kept ones are exact: id, policy, threshold, in the order of arrival; over the limit the oldest is forgotten. Dropped ones are far more: 48-bit keyed fingerprints in two generations, the older of
 * which is forgotten when the younger is full. A fingerprint may belong to another trace too: at most one in 2^31 lookups with full tables is answered wrong (a whole new trace
 * dropped), which a test measures. Both grow and forget in pieces, so that no call takes longer than clearing 24 KiB. When memory runs out, what comes is not remembered.
 * Threads: [lane].
 */
#ifndef TAIL_SAMPLING_MEMORY_H
#define TAIL_SAMPLING_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct ts_memory;

struct ts_remembered {
  uint16_t policy; /* as it was put */
  uint64_t threshold;
};

#define TS_FORGOTTEN 0
#define TS_WAS_KEPT 1
#define TS_WAS_DROPPED 2

/* max_kept, max_dropped: traces; 0 = none is remembered, over 2^30 is 2^30. The newest max_dropped are remembered, and at most 2.2 times as many. Memory is taken as it is needed. NULL: no memory. */
struct ts_memory *ts_memory_new(uint64_t max_kept, uint64_t max_dropped);
void ts_memory_free(struct ts_memory *);
/* How many traces fit into so many bytes. */
uint64_t ts_memory_kept_in(uint64_t bytes);
uint64_t ts_memory_dropped_in(uint64_t bytes);
/* hash: ts_table_hash of the id. */
int ts_memory_find(const struct ts_memory *, const uint8_t id[16], uint64_t hash, struct ts_remembered *ret);
void ts_memory_keep(struct ts_memory *, const uint8_t id[16], uint64_t hash, struct ts_remembered);
void ts_memory_drop(struct ts_memory *, const uint8_t id[16], uint64_t hash);
uint64_t ts_memory_bytes(const struct ts_memory *);

#endif
