/*
 * pipelines/edge.h - from one output of a stage to what stands below it on the same lane: hand-over, fan-out, crossing to another lane.
 *
 * A single consumer gets the batch itself. Several get a handle each, on the same bytes and trees; a fan-out below a fan-out without a stage in
 * between is one flat list. So that a refusal never makes a duplicate, room is first reserved in every queue that the batch reaches before a stage that
 * holds it (`reach`), and the batch goes to all or to none; one that nobody waits for goes to all, and a full queue counts its loss. Below a reserved fan-out nothing reserves again: its handles carry the mark.
 * A stage on another lane gets the batch by post, and its lane's inbox is the queue that must have room. Records that are placed by key (WEIR_BY_KEY) go to the
 * lanes that own them, each lane's in a batch of their own: to all lanes or to none.
 * Threads: [lane]; edges are built on the control thread before the lanes run and do not change.
 */
#ifndef PIPELINES_EDGE_H
#define PIPELINES_EDGE_H

#include "core/batch.h"
#include "plugins/host.h"

struct sender_lane;

#define EDGE_REACH_MAX 256 /* queues below one fan-out; the graph refuses more */

/* An instance on each lane, and records go to the one that their key names. Of the site. */
struct placement {
  weir_key_f *key;
  uint32_t n;
  struct weir_stage **stages;    /* one per lane */
  struct sender_lane **senders;  /* in front of them; NULL: there are none */
};

/* One consumer. */
struct target {
  struct weir_stage *stage;   /* NULL when a sender stands there */
  struct sender_lane *sender; /* this lane's part; it knows where its exporter lives */
  struct loop *away;          /* the stage's loop when that is another lane, else NULL */
  int ack_delivered;          /* the pipeline says `ack: delivered` */
  int holds;                  /* what comes out of it again is another batch: reservations end here */
  const struct placement *placement; /* NULL: it takes batches whole. Else this is all that counts, with `ack_delivered` and the lane where the edge is */
  uint32_t lane;
};

struct edge {
  struct target *targets;
  uint32_t n_targets, n_reach;
  struct sender_lane **reach; /* one entry per path */
};

/* Takes the batch. */
void edge_send(struct edge *, struct weir_batch *);
void edge_done(struct edge *); /* frees the lists */

#endif
