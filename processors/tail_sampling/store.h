/*
 * processors/tail_sampling/store.h - undecided spans as bytes, one store per lane.
 *
 * Spans are copied, as received, to the end of the open segment (TS_SEGMENT_BYTES); a span longer than that gets a segment of its own. Beside the bytes stands an
 * index entry for each span (24 bytes): where it ends, which resource and scope it has, which span of its trace came before. So a trace is a chain, newest first,
 * that is walked without its bytes, and sealed segments can be compressed as a whole. Resources and scopes are kept once by content, as their
 * received bytes, counted by the spans that use them. A segment is freed when its last undecided span has left.
 * The format is a log with sequence numbers: fit to be written to a disk as it is.
 *
 * Memory: everything is counted in ts_store_bytes. Nothing is ever evicted here. Threads: [lane] of the owner.
 */
#ifndef TAIL_SAMPLING_STORE_H
#define TAIL_SAMPLING_STORE_H

#include <weir/data.h>

#include "plugins/kit/bytes.h"

#define TS_SEGMENT_BYTES (256u << 10)

struct ts_store;

/* One span in the store: segment sequence number << 16 | index in the segment, plus 1; 0 = none. */
typedef uint64_t ts_ref;

struct ts_store_stats {
  uint64_t bytes;            /* memory that it takes, all in all */
  uint64_t wire_bytes;       /* bytes of the spans held */
  uint64_t spans;
  uint64_t segments, compressed_segments, compressed_bytes; /* what compressed ones take now */
  uint64_t interned, interned_bytes;                        /* resource and scope pairs */
};

struct ts_store *ts_store_new(void); /* NULL: no memory */
void ts_store_free(struct ts_store *);
void ts_store_batch(struct ts_store *); /* a new batch begins: pointers to resources and scopes of the one before are void */
/* Appends a span whose rec.raw is its received form (rec.dirty == 0, and so for its resource and scope). `before` is the newest span of its trace, 0 for the first. Returns its
 * ref; 0: no memory, nothing has changed. */
ts_ref ts_store_put(struct ts_store *, const struct weir_resource *, const struct weir_scope *, const struct weir_span *, ts_ref before);
/* Appends the trace, in order of arrival, to `out` as ResourceSpans of a TracesData (opentelemetry-proto trace.proto): neighbours of one resource and scope share one.
 * 0; WEIR_E_NOMEM; WEIR_E_INVALID: a compressed segment is damaged (an own bug or bad memory). */
int ts_store_write(struct ts_store *, ts_ref newest, struct kit_bytes *out);
/* The same for the newest of its spans alone: at most so many, and at most `bytes` of their bytes and of frames that have to be decompressed, but one at least. *ret_n: how many they are, *ret_rest:
 * the newest of those before them, 0 = none; both are set when WEIR_E_INVALID is returned too. For traces of many thousand spans, in steps: then ts_store_release_some(newest, *ret_n). */
int ts_store_write_some(struct ts_store *, ts_ref newest, uint32_t spans, uint64_t bytes, struct kit_bytes *out, uint32_t *ret_n, ts_ref *ret_rest);
/* Bytes that were decompressed so far: what reading costs beside what is read. */
uint64_t ts_store_unpacked(const struct ts_store *);
/* Lets go of the trace's spans. */
void ts_store_release(struct ts_store *, ts_ref newest);
/* At most so many of them, the newest first; returns the newest of those that are left, 0 = none. For traces of many thousand spans, in steps. */
ts_ref ts_store_release_some(struct ts_store *, ts_ref newest, uint32_t most);
/* Spans of the trace whose parent is not among them (parent_span_id is not empty); compares 32-bit hashes. At most TS_COMPLETE_MAX spans are looked at:
 * UINT32_MAX when there are more. */
#define TS_COMPLETE_MAX 4096u
uint32_t ts_store_missing_parents(struct ts_store *, ts_ref newest);
/* Compresses the oldest sealed segment that is not: 1 done, 0 there is none, negative: no memory. At most TS_SEGMENT_BYTES of work per call. */
int ts_store_compress_one(struct ts_store *);
/* Of the open segment's end, to be called after a pause: lets go of scratch memory that is not needed. */
void ts_store_trim(struct ts_store *);
/* Of that only the blocks that are kept for use again: what compresses goes on with its own. */
void ts_store_trim_blocks(struct ts_store *);
void ts_store_stats(const struct ts_store *, struct ts_store_stats *ret);

#endif
