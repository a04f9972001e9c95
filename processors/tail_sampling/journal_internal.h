/*
 * processors/tail_sampling/journal_internal.h - what journal.c (the ring) and journal_answer.c (questions about it) share.
 *
 * Record number i, counted from the first that was ever added, stands in slot i % cap. Numbers wrap at a multiple of cap below 2^32; those of the n newest are told apart by their
 * distance to `next`. heads[hash] is the number of the newest record with that hash of the trace id, older[slot] that of the one before; a number that is no longer among the n
 * newest ends the chain. Threads: [lane].
 */
#ifndef TAIL_SAMPLING_JOURNAL_INTERNAL_H
#define TAIL_SAMPLING_JOURNAL_INTERNAL_H

#include "journal.h"
#include "plugins/kit/hash.h"

struct journal_text {
  struct kit_node node;
  uint16_t number;
  char text[];
};

struct ts_journal {
  struct ts_record *ring;
  uint32_t *older, *heads;
  uint32_t cap, n, next, n_heads; /* n_heads: a power of two, at most cap */
  uint64_t wrap;
  struct kit_hash_key key;
  struct kit_table table;
  struct journal_text **texts; /* by number - 1 */
  uint32_t n_texts, cap_texts;
  uint64_t text_bytes;
};

/* How far a number is behind `next`; 1: the newest, 0: none. */
static inline uint32_t journal_age(const struct ts_journal *j, uint32_t number) { return (uint32_t)(j->next >= number ? j->next - number : j->next + j->wrap - number); }
/* The other way round: the number of the i-th newest. */
static inline uint32_t journal_number(const struct ts_journal *j, uint32_t i) { return (uint32_t)(j->next >= i ? j->next - i : j->next + j->wrap - i); }

/* The record with this number, NULL when it is not there (any more). */
static inline const struct ts_record *journal_at(const struct ts_journal *j, uint32_t number) {
  return journal_age(j, number) - 1u < j->n ? &j->ring[number % j->cap] : NULL;
}

static inline const char *journal_text_of(const struct ts_journal *j, uint16_t number) { return number && number <= j->n_texts ? j->texts[number - 1]->text : NULL; }

/* The head of the chain of this trace. */
uint32_t *journal_head(const struct ts_journal *, const uint8_t id[16]);

#endif
