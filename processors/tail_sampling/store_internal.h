/*
 * processors/tail_sampling/store_internal.h - what the store's files share: segments, pairs of resource and scope, compressed frames.
 *
 * A segment is one block: bytes from its beginning on, index entries from its end backward. Compressed, the block is the index, the frames' ends and the frames: each TS_FRAME_BYTES of the
 * bytes are a zstd frame with a checksum, so that reading one span does not decompress the whole segment.
 */
#ifndef TAIL_SAMPLING_STORE_INTERNAL_H
#define TAIL_SAMPLING_STORE_INTERNAL_H

#include <zstd.h>

#include "index.h"
#include "plugins/kit/hash.h"
#include "store.h"

#define TS_FRAME_BYTES (32u << 10)
#define TS_BLOCK_BYTES (TS_SEGMENT_BYTES - 64u) /* with malloc's header, a whole number of pages */
#define TS_SEGMENT_SPANS 65535u
#define TS_SPARE_BLOCKS 8u /* freed ones that are kept, and one more for each 16 segments: what is put into a new block costs 230 ns a span of page faults, 22 in a used one */
#define TS_CACHED_FRAMES 32u /* 1 MiB: traces decided one after the other have spans in the same segments, as many as a trace has spans. Frames of 64 KiB would be 7 % smaller, and twice as slow where nothing is shared */

/* Of one span. 24 bytes. */
struct ts_entry {
  ts_ref before;
  uint32_t end; /* of its bytes; they begin where the one before ends */
  uint32_t pair;
  uint32_t span_hash, parent_hash; /* keyed; 0: there is no id */
};

enum ts_segment_state { TS_OPEN, TS_SEALED, TS_PACKED, TS_INCOMPRESSIBLE };

struct ts_segment {
  uint64_t seq;
  char *block;
  struct ts_entry *index; /* behind the entry of the first span */
  size_t block_bytes;
  uint32_t n, live; /* entries; those not released */
  uint32_t bytes;   /* of spans */
  uint32_t state;   /* enum ts_segment_state */
};

/* A resource and a scope with their schema URLs, as the fields in which they stand in ResourceSpans and ScopeSpans. */
struct ts_pair {
  uint64_t refs; /* spans */
  uint32_t number, hash;
  uint32_t parts[4]; /* lengths: resource, scope; schema URL of the scope, of the resource */
  char fields[];
};

struct ts_pairs {
  struct kit_hash_key key;
  struct ts_index index; /* by number */
  struct ts_pair ***chunks;
  uint32_t n_chunks, cap_chunks, free_from, reserved;
  uint64_t n, bytes; /* pairs; memory of them alone */
  const struct weir_resource *resource; /* the ones asked for last, and what they are here */
  const struct weir_scope *scope;
  struct ts_pair *last;
};

struct ts_frame {
  uint64_t seq, used;
  char *p;
  uint32_t number, n; /* n: bytes, 0 = nothing in it */
};

/* A compression under way: a segment of more than TS_SEGMENT_BYTES takes several calls. `out`: the frames' ends, then the frames. */
struct ts_packing {
  uint64_t next; /* no segment before it is to be compressed */
  uint64_t seq;
  char *out;
  size_t cap, n;
  uint32_t frame, reserved;
};

/* One span of a trace that is written. */
struct ts_piece {
  const struct ts_segment *segment;
  uint32_t from, n, pair, reserved;
};

struct ts_store {
  uint64_t bytes, wire_bytes, spans;
  uint64_t segments, packed_segments, packed_bytes;
  uint64_t id_key[2];
  struct ts_segment **ring; /* by sequence number; NULL: gone */
  uint64_t cap, first, end; /* of the ring, a power of two; the sequence numbers in it */
  struct ts_segment *open;
  char *spare; /* a list through their first bytes */
  uint64_t n_spare;
  struct ts_pairs pairs;
  struct ts_packing packing;
  ZSTD_CCtx *cctx;
  ZSTD_DCtx *dctx;
  struct ts_frame frames[TS_CACHED_FRAMES];
  uint64_t clock; /* of frames */
  uint64_t unpacked;
  struct ts_piece *pieces;
  size_t cap_pieces;
};

/* malloc and free, counted. */
void *ts_store_alloc(struct ts_store *, size_t);
void ts_store_give(struct ts_store *, void *, size_t);
/* Twice as long an array, at least `first` elements; NULL: no memory, nothing has changed. */
void *ts_store_widen(struct ts_store *, void *p, size_t cap, size_t first, size_t element);

/* store_pairs.c */
int ts_pairs_init(struct ts_store *);
void ts_pairs_done(struct ts_store *);
/* The pair, made if need be, with one reference more; NULL: no memory. */
struct ts_pair *ts_pair_ref(struct ts_store *, const struct weir_resource *, const struct weir_scope *);
struct ts_pair *ts_pair_of(const struct ts_store *, uint32_t number);
void ts_pair_unref(struct ts_store *, struct ts_pair *);

/* store_segment.c */
static inline struct ts_entry *ts_entry_at(const struct ts_segment *s, uint32_t i) { return s->index - 1 - i; }
static inline uint32_t ts_entry_from(const struct ts_segment *s, uint32_t i) { return i ? ts_entry_at(s, i - 1)->end : 0; }
/* The segment of a ref, and the span's place in its index. */
struct ts_segment *ts_segment_of(const struct ts_store *, ts_ref, uint32_t *ret_place);
/* One that has room for a span of n bytes; NULL: no memory. */
struct ts_segment *ts_segment_for(struct ts_store *, size_t n);
void ts_segment_free(struct ts_store *, struct ts_segment *);
void ts_block_give(struct ts_store *, char *block, size_t bytes);
void ts_blocks_trim(struct ts_store *);

/* store_pack.c */
/* Appends bytes of a segment to `out`, which has room. 0, WEIR_E_NOMEM, WEIR_E_INVALID. */
int ts_segment_read(struct ts_store *, const struct ts_segment *, uint32_t from, uint32_t n, struct kit_bytes *out);
void ts_pack_trim(struct ts_store *);
void ts_pack_stop(struct ts_store *); /* forgets a compression under way */

#endif
