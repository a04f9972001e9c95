/*
 * core/part.h - the data behind batches: received bytes, and the tree decoded from them.
 *
 * A part is one received message (or what an edit made of it), shared by reference between batches. While it has more
 * than one reference, or once it was posted to another lane, it is immutable, caches included. `raw` is the message's
 * run of repeated resource fields (ResourceSpans = 1, ...): runs concatenate to a valid message, so merging batches and
 * sending them copies nothing. An edited part is PART_DIRTY: its tree is the truth and raw is what clean records are
 * copied from.
 * Threads: part_ref/unref [any]; the rest [lane] of the holder.
 */
#ifndef CORE_PART_H
#define CORE_PART_H

#include <stdatomic.h>

#include <weir/batch.h>
#include <weir/otlp.h>

#include "core/arena.h"
#include "core/pool.h"

#define PART_MAGIC 0x9a279a27u
#define PART_DIRTY 1u   /* tree differs from raw */
#define PART_CROSSED 2u /* was posted to another lane: never written again, caches included */
#define PART_CHECKED 4u /* raw passed the full scan: decoding cannot fail */

#define PART_LANES_MAX 64u /* that a part can be cut for */

/* Limits on what is accepted; every one is named in messages. 0 = the default in the comment. */
struct otlp_limits {
  uint32_t max_depth;    /* 100 messages, as other parsers count */
  uint32_t max_records;  /* 1,000,000 records in one message */
  uint32_t max_attributes; /* 10,000 attributes on one record */
  uint32_t max_elements;   /* 4,000,000 attributes, values, records of any kind ... in one message: bounds the tree of 2-byte elements */
  uint64_t max_tree_bytes; /* memory that decoding may take; no limit */
};

struct part {
  uint32_t magic, signal, flags;
  _Atomic uint32_t refs;
  struct weir_body *body; /* owned; NULL when the bytes are its origins' */
  struct part **origins;  /* referenced parts whose memory the tree points into (an own copy); NULL for a received part */
  uint32_t n_origins, wire_valid;
  const char *raw;
  size_t raw_n;
  const char *wire; /* of a dirty part: its encoded form, made once by part_encode and shared by all who send it */
  size_t wire_n, added_bytes; /* added_bytes: bound of what edits may have added to raw_n */
  uint64_t items; /* spans, data points or log records */
  struct weir_data *tree; /* NULL until decoded */
  struct otlp_limits limits; /* under which it was accepted */
  struct arena arena;
};

/* Makes a part from a message that stands at p..p+n inside body; takes body, also on failure. validation: WEIR_VALIDATE_*.
 * decode != 0 also builds the tree (then one pass does both). */
int part_from_otlp(struct pool *, uint32_t signal, struct weir_body *body, const char *p, size_t n, int validation, int decode,
  const struct otlp_limits *, struct part **ret, struct weir_error *);
struct part *part_ref(struct part *);
void part_unref(struct part *); /* NULL allowed */
/* The tree, decoded now if need be. When *part may not be written (shared across lanes) it is replaced by an own part.
 * NULL + err when the bytes are malformed (only possible under WEIR_VALIDATE_ENVELOPE) or over a limit. */
const struct weir_data *part_read(struct pool *, struct part **part, struct weir_error *);
/* One part that may be written, made of n parts in their order (takes their references, also on failure): records of exclusively held parts
 * are moved, those of shared parts are copied (structs, not strings). So a batch that is edited has exactly one part, and
 * memory from that part's arena lives as long as its records. A single exclusively held part is returned as it is, decoded. */
int part_own(struct pool *, struct part **parts, size_t n, struct part **ret, struct weir_error *);
/* Gives the tree back, and writes what was edited to bytes of its own before: for a part that will wait and whose records nobody below reads. Done while
 * the tree is in the cache, it costs half of what it costs later. Leaves a part alone that others see, too. */
void part_seal(struct pool *, struct part *);
/* Cuts the first `items` items into *ret_head; *part keeps the rest (a metric is cut between its data points and stands in both). Requires
 * 0 < items < part->items. The head is a clean, undecoded part with bytes of its own; the rest is framed when it is encoded or read. Costs what
 * the head holds, and one look at the whole for the first cut. On failure (only bytes that were never checked) *part is unchanged. */
int part_split(struct pool *, struct part **part, uint64_t items, struct part **ret_head, struct weir_error *);
/* Cuts by where records belong: lanes[i], below n, is that of the i-th record in the tree's order (a metric is one, however many points it has); the part was read. ret[lane] is a part
 * with that lane's records and what of their resources and scopes they need, NULL when there are none. Records and bytes are shared, not copied, so they stay
 * until the last piece is gone; pieces are immutable from the start, as if they had crossed. When one lane gets all, that is the part itself. The caller keeps its reference.
 * 0; WEIR_E_NOMEM where the budget has no room, never with overdraw. */
int part_place(struct pool *, struct part *, const uint8_t *lanes, uint32_t n, int overdraw, struct part **ret, struct weir_error *);
/* Pieces of a message to send. */
struct iov_list {
  struct weir_iov *v;
  size_t n, cap;
  struct weir_iov inline_v[4];
};
void iov_push(struct iov_list *, const void *p, size_t n);
void iov_done(struct iov_list *);
/* Appends the part's wire form to out: its raw run when clean, else its encoded form, cached in the part unless it crossed lanes
 * (then it is made in `scratch`, which must live as long as the list is used). Any later edit makes the cache invalid. 0, or WEIR_E_NOMEM. */
int part_encode(struct part *, struct arena *scratch, struct iov_list *out, size_t *ret_bytes, struct weir_error *);
/* What the part would take on the wire: exact when clean, an upper bound when dirty (which encodes once more after part_touch). */
size_t part_bytes(const struct part *);

/* Editing; the record must be in a tree of a part from part_own: `part`. Borrow rules: weir/stage.h. */
void part_attr_set(struct part *, struct weir_rec *, struct weir_str key, struct weir_value);
void part_attr_delete(struct part *, struct weir_rec *, struct weir_str key);
void part_touch(struct part *, struct weir_rec *);

#endif
