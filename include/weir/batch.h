/*
 * weir/batch.h - what travels between stages.
 *
 * A batch is a handle on some records of one signal, with a context and an ack. Handing a batch on gives it away; a
 * handle has one owner at any time, on one lane. The bytes and trees behind handles are shared by reference and
 * immutable while shared: batch_write makes the holder's own copy of what it touches when it is not the only one.
 *
 * Every batch is settled exactly once with a verdict, which reaches whoever waits for it (the receiver's request) in a
 * later step of the waiting lane, never inside the call that settled it.
 */
#ifndef WEIR_BATCH_H
#define WEIR_BATCH_H

#include <weir/data.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_batch;

#define WEIR_DELIVERED 0 /* the next owner has it (queued or delivered, as the pipeline's `ack` says) */
#define WEIR_RETRY 1     /* not taken; the sender may try again after retry_after_ns (0 = its own backoff) */
#define WEIR_REJECTED 2  /* refused for good; `rejected` items of it (0 = all), because of `msg` */

/* The outcome of one batch. A partial refusal (OTLP partial_success) is WEIR_DELIVERED with rejected > 0 and a message. */
struct weir_verdict {
  int32_t code;
  int32_t too_large; /* WEIR_REJECTED because of size: the sender splits the batch and tries again */
  int64_t retry_after_ns;
  uint64_t rejected;
  const char *msg; /* NUL-terminated, borrowed for the call; NULL = none */
  uint32_t status; /* WEIR_REJECTED: the gRPC code (weir/grpc.h) that the next hop gave, for whoever answers a client in its words; 0 = none */
  uint32_t cut;    /* too_large: the first piece is to have so many items, as they go to another tenant than what follows; 0 = half of them */
};

/* Called once with the verdict of a batch. [lane] of the stage that emitted it, in a later step. */
typedef void weir_ack_f(void *arg, const struct weir_verdict *verdict);

/* A body of received or encoded bytes in a recycled buffer, counted against the byte budget while it is held.
 * p and n may be read by its holder; the rest is the host's. */
struct weir_body {
  char *p;
  size_t n, cap;
};

/* A run of bytes to send: gathered, never copied. */
struct weir_iov {
  const void *p;
  size_t n;
};

#ifdef __cplusplus
}
#endif
#endif
