/* Segments, and their order by sequence numbers. */
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define FIRST_RING 64u

static struct ts_segment **place_of(const struct ts_store *s, uint64_t seq) { return &s->ring[seq & (s->cap - 1)]; }

struct ts_segment *ts_segment_of(const struct ts_store *s, ts_ref ref, uint32_t *ret_place) {
  ref--;
  *ret_place = (uint32_t)(ref & 0xffff);
  return *place_of(s, ref >> 16);
}

/* --- blocks --------------------------------------------------------------------------------------------- */

static char *spare_take(struct ts_store *s) {
  char *block = s->spare;
  memcpy(&s->spare, block, sizeof s->spare);
  s->n_spare--;
  return block;
}

static char *block_take(struct ts_store *s, size_t bytes) {
  return bytes == TS_BLOCK_BYTES && s->spare ? spare_take(s) : ts_store_alloc(s, bytes);
}

void ts_block_give(struct ts_store *s, char *block, size_t bytes) {
  if (bytes != TS_BLOCK_BYTES || s->n_spare >= TS_SPARE_BLOCKS + s->segments / 16) {
    ts_store_give(s, block, bytes);
    return;
  }
  memcpy(block, &s->spare, sizeof s->spare);
  s->spare = block;
  s->n_spare++;
}

void ts_blocks_trim(struct ts_store *s) {
  while (s->spare) ts_store_give(s, spare_take(s), TS_BLOCK_BYTES);
}

/* --- the ring -------------------------------------------------------------------------------------------- */

static int widen_ring(struct ts_store *s) {
  uint64_t cap = s->cap ? s->cap * 2 : FIRST_RING;
  struct ts_segment **ring = ts_store_alloc(s, cap * sizeof *ring);
  if (!ring) return 0;
  memset((void *)ring, 0, cap * sizeof *ring);
  for (uint64_t seq = s->first; seq < s->end; seq++) ring[seq & (cap - 1)] = *place_of(s, seq);
  ts_store_give(s, (void *)s->ring, s->cap * sizeof *ring);
  s->ring = ring;
  s->cap = cap;
  return 1;
}

static void enter(struct ts_store *s, struct ts_segment *seg) {
  seg->seq = s->end++;
  *place_of(s, seg->seq) = seg;
  s->segments++;
}

/* With the last segment the ring goes too: a long-lived trace may have made it long. */
static void leave(struct ts_store *s, struct ts_segment *seg) {
  *place_of(s, seg->seq) = NULL;
  while (s->first < s->end && !*place_of(s, s->first)) s->first++;
  if (s->packing.next < s->first) s->packing.next = s->first;
  if (--s->segments) return;
  ts_store_give(s, (void *)s->ring, s->cap * sizeof(struct ts_segment *));
  s->ring = NULL;
  s->cap = 0;
}

/* --- segments ------------------------------------------------------------------------------------------- */

static struct ts_segment *segment_new(struct ts_store *s, size_t block_bytes) {
  if (s->end - s->first == s->cap && !widen_ring(s)) return NULL;
  struct ts_segment *seg = ts_store_alloc(s, sizeof *seg);
  char *block = seg ? block_take(s, block_bytes) : NULL;
  if (!block) {
    ts_store_give(s, seg, sizeof *seg);
    return NULL;
  }
  *seg = (struct ts_segment){ .block = block, .index = (struct ts_entry *)(void *)(block + block_bytes), .block_bytes = block_bytes };
  enter(s, seg);
  return seg;
}

void ts_segment_free(struct ts_store *s, struct ts_segment *seg) {
  if (seg == s->open) s->open = NULL;
  if (seg->state == TS_PACKED) {
    s->packed_segments--;
    s->packed_bytes -= seg->block_bytes;
  }
  leave(s, seg);
  ts_block_give(s, seg->block, seg->block_bytes);
  ts_store_give(s, seg, sizeof *seg);
}

static int has_room(const struct ts_segment *seg, size_t n) {
  return seg->n < TS_SEGMENT_SPANS && seg->block_bytes - seg->bytes - seg->n * sizeof(struct ts_entry) >= n + sizeof(struct ts_entry);
}

struct ts_segment *ts_segment_for(struct ts_store *s, size_t n) {
  if (n + sizeof(struct ts_entry) > TS_BLOCK_BYTES) { /* one of its own; the open one stays open */
    struct ts_segment *seg = segment_new(s, ((n + 7) & ~(size_t)7) + sizeof(struct ts_entry));
    if (seg) seg->state = TS_SEALED;
    return seg;
  }
  if (s->open && has_room(s->open, n)) return s->open;
  struct ts_segment *seg = segment_new(s, TS_BLOCK_BYTES);
  if (!seg) return NULL;
  if (s->open) s->open->state = TS_SEALED;
  return s->open = seg;
}
