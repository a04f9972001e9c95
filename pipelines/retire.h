/*
 * pipelines/retire.h - the end of what a reload replaced: drained and closed in the order of the data, while its successor runs.
 *
 * A graph that was swapped (or one that could not start) has only the sites that nobody feeds any more. Receivers drain until their connections are closed and
 * all verdicts are heard; then processors and connectors, producers first; then senders empty their queues, with their own backoff and without a time limit;
 * then everything is closed and freed. service.drain.timeout bounds the waiting for receivers, processors and connectors. Several may retire at a time; as an older
 * one may still feed what a younger one retires, the younger waits for the older one's processors; with extensions that offer services, for its exporters.
 * Threads: [control]; looks at lanes by loop_call.
 */
#ifndef PIPELINES_RETIRE_H
#define PIPELINES_RETIRE_H

#include "pipelines/graph.h"

struct retire;

struct retirement {
  struct loop *control;
  struct retire *first;       /* oldest first */
  uint64_t sent, lost;        /* of senders that are gone */
  struct config **kept;       /* of editing stages that are gone: see retire.c */
  size_t n_kept;
  void (*on_empty)(void *arg); /* nothing retires any more. NULL allowed */
  void *arg;
};

/* Takes the graph. timeout_ns: service.drain.timeout. */
void retire_begin(struct retirement *, struct graph *, int64_t timeout_ns);
/* The process drains: nobody waits out a backoff, and limits begin now. */
void retire_hurry(struct retirement *, int64_t timeout_ns);
/* Stops waiting. The graphs, for graph_close_all; *ret is malloc'ed, the caller frees it. Returns how many. */
size_t retire_stop(struct retirement *, struct graph ***ret);
void retire_free(struct retirement *); /* after all graphs were closed and the lanes have stopped */
/* Items sent and lost, of what retires and what has. */
void retire_count(const struct retirement *, uint64_t *sent, uint64_t *lost);

#endif
