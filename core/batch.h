/*
 * core/batch.h - batch handles and acks.
 *
 * A batch is a list of parts plus the acks that wait for its outcome. It has one owner at a time. An ack is one waiter
 * (a receiver's request); it counts the handles that still carry it and hears once, on its home loop in a later step,
 * when the last of them is settled: any retry -> retry (longest delay), else rejected if any (rejected items added), else delivered.
 * Threads: a batch belongs to the lane that holds it; acks may be settled from any lane (settling posts home).
 */
#ifndef CORE_BATCH_H
#define CORE_BATCH_H

#include "core/context.h"
#include "core/loop.h"
#include "core/part.h"

#define BATCH_MAGIC 0xba7cba7cu
#define ACK_MAGIC 0xacacacacu

struct ack {
  uint32_t magic;
  _Atomic uint32_t pending; /* handles that carry it: raised by any holder, lowered on home only */
  struct loop *home;
  weir_ack_f *fn;
  void *arg;
  struct weir_verdict verdict; /* the worst so far; msg points at msg_buf */
  char msg_buf[256];
  struct defer step;
};

/* What one of the merged batches brought: so many items, so many acks, in the order of both lists. */
struct batch_parent {
  uint64_t items;
  uint32_t n_acks, reserved;
};

struct weir_batch {
  uint32_t magic, signal;
  uint32_t n_parts, cap_parts;
  struct part **parts; /* parts_inline until it grows */
  struct part *parts_inline[2];
  uint32_t n_acks, cap_acks;
  struct ack **acks;
  struct ack *acks_inline[2];
  struct batch_parent *parents; /* of a batch merged under `ack: delivered`; none: it is one */
  uint32_t n_parents, cap_parents;
  struct loop *loop; /* whose pool new memory comes from: the lane that holds it now */
  uint64_t items;
  int64_t deadline_ns;   /* of the running attempt */
  struct weir_data view; /* all parts' resources, built by batch_read */
  struct arena scratch;  /* view, encoded bytes, batch_alloc memory */
  struct iov_list wire;  /* cached by batch_encode */
  size_t wire_bytes;
  uint32_t wire_valid, view_valid;
  int ack_delivered;       /* the pipeline's `ack: delivered` */
  struct weir_batch *next; /* for the list of whoever holds it */
  int64_t enqueued_ns;
  uint32_t attempts;
  void *holder;      /* the sender's attempt that waits on it */
  uint32_t reserved; /* a fan-out above reserved room for it in every queue it reaches before a stage that holds */
  uint64_t charge;   /* what it takes of its queue, in the queue's unit */
  int stored;        /* its acks are those of records on disk (pipelines/sender_disk.c) */
  const struct weir_context *context; /* one reference, or NULL: who sent it */
};

struct weir_batch *batch_new(struct loop *, uint32_t signal);
struct weir_batch *batch_of_part(struct loop *, struct part *part); /* takes the part's reference */
/* Frees a batch that was never given an ack or whose acks were taken over; asserts n_acks == 0. */
void batch_free(struct weir_batch *);
/* Settles every ack of the batch and frees it. Takes. */
void batch_settle(struct weir_batch *, const struct weir_verdict *);
/* Settles every ack now and keeps the batch, which from then on nobody waits for (`ack: queued`). */
void batch_answer(struct weir_batch *, const struct weir_verdict *);
/* Adds a waiter on the current lane. */
void batch_on_verdict(struct weir_batch *, weir_ack_f *, void *arg);
/* Takes a reference of its own; NULL = none. */
void batch_set_context(struct weir_batch *, const struct weir_context *);
/* A second handle on the same parts that carries the same acks (fan-out). */
struct weir_batch *batch_fork(struct weir_batch *);
/* Moves from's parts and acks behind into's; takes from. With settle_now from's acks are settled as delivered instead of moved. An empty batch gets from's
 * context, another keeps its own only when from's is equal. */
void batch_merge(struct weir_batch *into, struct weir_batch *from, int settle_now);
/* Cuts off the first `items` items: the head. Acks go with their items; one whose items stand on both sides is carried by both. NULL: nothing to cut. */
struct weir_batch *batch_split(struct weir_batch *, uint64_t items);
/* Cuts off the first half of the batches it was merged from. NULL when it is one, or edits changed how many items there are. */
struct weir_batch *batch_split_parents(struct weir_batch *);
/* Cuts by the keys of the records: ret[key % n] gets them, NULL where there are none. Takes the batch; all acks are carried by all. A batch without records, or with
 * one that can not be read, is ret[own]; one whose records all have one lane is not cut. 0; or WEIR_E_NOMEM, when somebody waits and there is no room: the batch is as it was. */
int batch_place(struct weir_batch *, weir_key_f *, uint32_t n, uint32_t own, struct weir_batch **ret, struct weir_error *);
uint64_t batch_bytes(const struct weir_batch *); /* an upper bound when a part was edited */
/* Exact: an edited part is encoded now, once, as batch_encode keeps what it made. */
uint64_t batch_measure(struct weir_batch *);
const struct weir_data *batch_read(struct weir_batch *, struct weir_error *);
/* Leaves the batch with exactly one, exclusively held part; its tree. */
struct weir_data *batch_write(struct weir_batch *, struct weir_error *);
void *batch_alloc(struct weir_batch *, size_t n); /* from the one part after batch_write, else from scratch */
int batch_encode(struct weir_batch *, const struct weir_iov **ret, size_t *ret_n, size_t *ret_bytes, struct weir_error *);
/* Hands it to another lane: its parts become immutable, its loop changes. Call before posting. */
void batch_cross(struct weir_batch *, struct loop *to);
/* part_seal for each of its parts. */
void batch_seal(struct weir_batch *);
void batch_attr_set(struct weir_batch *, struct weir_rec *, struct weir_str key, struct weir_value);
void batch_attr_delete(struct weir_batch *, struct weir_rec *, struct weir_str key);
void batch_touch(struct weir_batch *, struct weir_rec *);

static inline struct weir_verdict verdict_delivered(void) {
  struct weir_verdict v = { .code = WEIR_DELIVERED };
  return v;
}

static inline struct weir_verdict verdict_retry(int64_t after_ns, const char *msg) {
  struct weir_verdict v = { .code = WEIR_RETRY, .retry_after_ns = after_ns, .msg = msg };
  return v;
}

static inline struct weir_verdict verdict_rejected(uint64_t n, const char *msg) {
  struct weir_verdict v = { .code = WEIR_REJECTED, .rejected = n, .msg = msg };
  return v;
}

#endif
