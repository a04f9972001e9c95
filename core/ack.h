/*
 * core/ack.h - the inside of acks: who waits for the outcome of a batch. See core/batch.h for the rules.
 */
#ifndef CORE_ACK_H
#define CORE_ACK_H

#include "core/batch.h"

/* A waiter on this loop, carried by one handle. Never NULL. [lane] */
struct ack *ack_new(struct loop *home, weir_ack_f *fn, void *arg);
/* One more handle carries it. [any], by a holder. */
void ack_share(struct ack *);
/* One handle less, with this outcome; the message is copied. On another lane than home it is posted there. [any] */
void ack_settle(struct ack *, const struct weir_verdict *);

#endif
