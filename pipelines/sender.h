/*
 * pipelines/sender.h - the queue, the time-out and the retries in front of an exporter: owned by the host, so that no exporter writes them.
 *
 * A sender exists once per (exporter id, signal); what the user limits (queue_size, num_consumers) is the limit of the process. Its lanes share the
 * room by one atomic counter and divide the consumers; each lane has its own FIFO, so a batch is sent on the lane that queued it. When the exporter
 * has one instance only (WEIR_ONE_LANE), the other lanes' parts take the room and post the batch to the lane where the exporter lives.
 * Semantics and names are those of the Collector's exporterhelper; room counts what is queued and what is being sent, as there.
 *
 * Law, in items: enqueued = sent + rejected(reason) + queued + in flight. A batch that was refused for lack of room was never enqueued.
 * Threads: sender_new/free [control]; everything on a lane's part [lane]; a parked batch may be woken from another lane.
 */
#ifndef PIPELINES_SENDER_H
#define PIPELINES_SENDER_H

#include "core/batch.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "pipelines/config.h"
#include "plugins/host.h"

struct sender;
struct sender_lane;
struct disks;
struct weir_storage_settings;

struct sender *sender_new(const struct sender_config *, const char *id, uint32_t signal, uint32_t n_lanes, struct metrics *);
void sender_free(struct sender *); /* with all its lanes; NULL allowed. Nothing may be queued or on its way any more */
/* The part on one lane. exporter: the instance there; NULL when it lives on another lane, whose part was added first. */
struct sender_lane *sender_add_lane(struct sender *, struct loop *, struct weir_stage *exporter);

/* Opens the queue on disk and the place of dead letters (each NULL: none), and begins to send what stands there. Once, when the exporter's instances were started.
 * What fails has opened nothing. [control]; the lanes may run. */
int sender_open_storage(struct sender *, struct disks *, const struct weir_storage_settings *queue, const struct weir_storage_settings *dead, struct weir_error *);

/* Queues a batch (or begins to send it, when the queue is disabled). Takes. */
void sender_put(struct sender_lane *, struct weir_batch *);
/* Takes room for one such batch ahead of a fan-out. 0; else the batch may go nowhere, and *ret says why (its msg lives as long as the sender). */
int sender_reserve(struct sender_lane *, const struct weir_batch *, struct weir_verdict *ret);
/* How much is reserved now, and: gives back what was reserved above this level and not used. */
struct sender_level {
  uint64_t room, disk;
};
struct sender_level sender_reserved(const struct sender_lane *);
void sender_unreserve(struct sender_lane *, struct sender_level);

/* Sends the dead letters that are there now on their way again, as if they had just come. 0, or WEIR_E_STATE: there is no such queue (by its directory's name). [control] */
int sender_replay(struct sender *, const char *queue, uint64_t *ret_items);

/* The exporter's answer to the attempt that consume began (ops->done). Takes. */
void sender_done(struct sender_lane *, struct weir_batch *, const struct weir_verdict *);

/* Sends what is left without waiting out long delays, then calls fn(arg) (NULL allowed) in a later step. Once. */
void sender_drain(struct sender_lane *, weir_fn_f *fn, void *arg);
/* A reload replaced it: when its successor shares the disk, what is queued is left to that one, and only what the exporter has in its hands is waited for. */
void sender_retire(struct sender_lane *);
/* Whether nothing waits or is under way on this lane. */
int sender_is_empty(const struct sender_lane *);
/* The drain's time is over: gives up what is not in the exporter's hands, answers whoever waits for what is. What the exporter answers from now on is final. */
void sender_abandon(struct sender_lane *);
/* After the exporter was closed: nothing is left. */
void sender_close(struct sender_lane *);
/* Instead of sender_close, when the exporter still has a request in its hands and can not be closed: counts that as lost. The process must end without freeing. */
void sender_leave(struct sender_lane *);

/* Since the start of the process: items that arrived, and items that were given up with nobody to tell. [any] */
uint64_t sender_items_sent(const struct sender *);
uint64_t sender_items_lost(const struct sender *);

#endif
