/*
 * pipelines/sender_internal.h - shared by pipelines/sender*.c only: a sender, its part on one lane, and one request being sent.
 */
#ifndef PIPELINES_SENDER_INTERNAL_H
#define PIPELINES_SENDER_INTERNAL_H

#include "pipelines/disk.h"
#include "pipelines/sender.h"
#include "plugins/kit/metadata_keys.h"

#define SENDER_WATCH_NS (1000000000LL)      /* how long after the time-out an exporter's silence is logged */
#define SENDER_GATHER_MOST 256u              /* requests that a lane gathers before its sockets and timers have their turn */
#define SENDER_DRAIN_WAIT_NS (1000000000LL) /* longest delay between retries while draining */

/* Why items were given up: the label `reason`. */
#define REASON_PERMANENT 0
#define REASON_PARTIAL 1
#define REASON_TOO_LARGE 2
#define REASON_RETRIES 3
#define REASON_QUEUE_FULL 4
#define REASON_SHUTDOWN 5
#define REASON_CORRUPT 6 /* read back from disk, and no request any more */
#define REASON_STORAGE 7 /* the disk refused what nobody waits for */
#define N_REASONS 8

#define DISK_READS 4u                 /* records that a lane reads back at the same time */
#define DISK_MEMORY_MAX (8u << 20)    /* bytes of what is on disk that a lane's queue keeps in memory, too: more waits on disk alone */
#define DISK_PAUSE_NS (1000000000LL)  /* before the disk, or the memory, is asked again */

struct sender_cells {
  struct weir_cell *sent, *send_failed, *enqueue_failed, *queue_size, *in_flight_requests; /* the Collector's */
  struct weir_cell *batch_items, *batch_bytes; /* of sending_queue.batch, else NULL */
  struct weir_cell *partitions, *partitions_max, *evicted; /* with partition.metadata_keys, else NULL */
  struct weir_cell *enqueued, *items_sent, *queued, *in_flight, *rejected[N_REASONS];      /* the law's */
};

struct batch_list {
  struct weir_batch *head, **tail;
};

#define ATTEMPT_SENDING 1 /* in the exporter's hands */
#define ATTEMPT_DONE 2    /* answered; handled in the next step */
#define ATTEMPT_WAITING 3 /* until the next try */

/* One request that holds a consumer, from its first try to its end; split ones end when their last piece does. */
struct attempt {
  uint32_t state, tries;
  int told; /* whoever waited was answered when the drain's time was over */
  struct sender_lane *lane;
  struct weir_batch *batch, *pieces; /* pieces: the rest of a split request, in order */
  struct weir_verdict verdict;
  char msg[256];
  struct timer timer; /* the next try, or the watch over this one */
  int64_t give_up_ns; /* on the mono clock; 0 = never */
  int64_t interval_ns;
  uint64_t charge;
  struct attempt *next, **prev_next; /* of lane->active */
  struct attempt *next_done;
};

/* sending_queue.batch: the requests that grow into one, those with the same values of partition.metadata_keys (without keys: all). Stands while it holds
 * something, in the table and in the order of last use. */
struct partition {
  struct kit_node node; /* first: a node of the table is a partition */
  struct sender_lane *lane;
  int stored; /* holds what stands on disk, and nothing else */
  struct weir_batch *gathered;
  uint64_t size; /* in the unit of batch.sizer */
  struct timer flush;
  const struct weir_context *context; /* the keys' values, which all that is sent carries; one reference, NULL for none */
  int alone;                          /* no memory for that context: one request with its own, sent at once */
  struct partition *older, *newer;
};
struct partitions {
  struct kit_table table; /* by the values of the keys */
  struct partition *oldest, *newest;
};

/* What a batch takes of an append. */
struct disk_payload {
  const struct weir_iov *iov;
  size_t n_iov;
  uint64_t bytes;
  struct weir_iov single;
  struct weir_body *copy; /* of a batch in too many pieces */
};

/* A lane's part of the queue on disk (sender_disk.c). */
struct sender_disk {
  struct disk *disk;
  struct spool_lane *spool;
  struct disk_user user;
  struct spool_read reads[DISK_READS];
  uint32_t reading;           /* bits of `reads` */
  uint32_t n_ops, n_records;  /* operations under way; records that this lane has */
  struct disk_record *spare;
  uint32_t n_spare;
  uint64_t given_back;        /* items that left the law on their way back to the disk */
  int stopped;                /* what is left stays on disk: nothing is read, what fails goes back */
  struct timer pause;
  int paused;
  _Atomic int unread;         /* there may be records that nobody has. Of the lane with the exporter, as the next */
  _Atomic uint64_t memory;    /* bytes of queued batches that stand on disk, too */
};

/* A lane's part of the dead letters (sender_dead.c). */
struct sender_dead {
  struct disk *disk;
  struct spool_lane *spool;
  struct spool_read purge;
  int purging;
  struct spool_read replay; /* sender_replay: one after the other */
  uint64_t to_replay;
  int replaying;
  uint64_t *unreadable; /* seqs of letters that are no request: held until the replay ends, so that it goes on behind them */
  size_t n_unreadable;
  uint32_t n_ops;
  struct weir_cell *stored, *dropped, *failed, *skipped;
};

struct sender_lane {
  struct sender *sender;
  struct loop *loop;
  struct weir_stage *exporter; /* NULL: the home lane has it */
  struct batch_list queue, parked;
  struct partitions partitions; /* sending_queue.batch: what grows until it is sent */
  struct batch_list ready; /* gathered, waiting for a consumer; while one does, the queue is left alone */
  struct attempt *active, *spare;
  struct attempt *done, **done_tail;
  uint32_t n_active, max_active, n_spare;
  uint64_t reserved, reserved_disk;
  struct sender_disk *disk; /* NULL: the queue is in memory */
  struct sender_dead *dead; /* NULL: there are no dead letters */
  struct defer step;
  struct timer more; /* gathering goes on in the loop's next pass */
  _Atomic int waking, has_parked;
  int draining, abandoned;
  weir_fn_f *drained;
  void *drained_arg;
  uint64_t random;
  struct sender_cells cells;
};

struct sender {
  const struct sender_config *config;
  const char *id, *items_name; /* "spans" */
  struct kit_metadata_keys keys; /* of sending_queue.batch.partition */
  uint32_t signal, n_lanes, max_lanes;
  struct sender_lane **lanes;
  int in_order; /* WEIR_IN_ORDER */
  struct sender_lane *home; /* the lane with the exporter, for those without */
  struct metrics *metrics;
  struct weir_cell *capacity;
  _Atomic uint64_t own_used, *used; /* room taken, in the sizer's unit; own, or the disk's */
  _Atomic uint64_t coming;          /* records that lanes without the exporter write, until the lane with it has them */
  struct disk *disk, *dead;         /* sending_queue.storage, dead_letter */
  _Atomic uint32_t parking; /* lanes with parked batches */
  _Atomic uint64_t lost;
  char full_msg[192], large_msg[256], disk_full_msg[256], disk_failed_msg[256];
};

/* sender_queue.c: room, FIFO, parking */
uint64_t queue_unit(const struct sender *, const struct weir_batch *); /* of bytes, an upper bound when it was edited */
uint64_t queue_measure(const struct sender *, struct weir_batch *);    /* exact */
int queue_take_room(struct sender *, uint64_t n);
void queue_give_room(struct sender_lane *, uint64_t n);
void queue_wake_parked(struct sender_lane *); /* there may be room */
void queue_leave(struct sender_lane *, uint64_t n); /* as queue_give_room, for what had entered */
void queue_use_reserved(struct sender_lane *, uint64_t n);
void queue_push(struct batch_list *, struct weir_batch *);
struct weir_batch *queue_pop(struct batch_list *);
void queue_enter(struct sender_lane *, struct weir_batch *); /* it has its room: count, answer, line up. Takes */
void queue_park(struct sender_lane *, struct weir_batch *);
void queue_unpark(struct sender_lane *);

static inline int sender_gathers(const struct sender *s) { return s->config->queue.enabled && s->config->queue.batch; }
/* sender_batch.c: requests gathered into larger ones; what they take stays counted as queued */
void gather_add(struct sender_lane *, struct weir_batch *);
void gather_flush(struct sender_lane *); /* what is gathered is ready */
void partition_flush(struct partition *); /* as gather_flush, of one; ends it */

/* sender_partition.c: which requests are gathered together */
/* Where this batch belongs. From now on it carries the partition's context. Beyond cache_size the one that was used least recently is made ready. */
struct partition *partition_for(struct sender_lane *, struct weir_batch *);
void partition_end(struct partition *); /* it holds nothing; frees it */
void partitions_done(struct sender_lane *);

/* sender_retry.c: one request's tries */
void attempt_begin(struct sender_lane *, struct weir_batch *);
void attempt_handle(struct attempt *);                              /* its answer is there */
void attempt_hurry(struct attempt *);                               /* draining: do not wait on */
void attempt_answer(struct attempt *, const struct weir_verdict *); /* whoever waits for it; the batch stays */
void attempt_abandon(struct attempt *);
int attempt_is_stored(const struct attempt *); /* what is left of it stands on disk */
int64_t retry_delay_ns(const struct sender_config *, int64_t *interval_ns, int64_t server_ns, double random01);

/* sender_disk.c: the queue on disk. A batch of it is `stored`: one ack is the disk's, and its charge is what it takes of `memory` */
int disk_put(struct sender_lane *, struct weir_batch *, int reserved); /* as sender_put. Takes, but for WEIR_E_LIMIT: it is to wait for room */
int disk_reserve(struct sender_lane *, const struct weir_batch *, struct weir_verdict *ret);
void disk_read_more(struct sender_lane *);
void disk_left_queue(struct sender_lane *, const struct weir_batch *); /* a stored batch is sent now */
void disk_put_back(struct sender_lane *, struct weir_batch *);         /* a stored batch of the queue. Takes */
void disk_stop(struct sender_lane *);                                  /* what is left stays on disk */
/* What a record says, with its context. Takes the read's body. 0; WEIR_E_INVALID: it is no request; WEIR_E_NOMEM: not now. */
int disk_batch_of(struct sender_lane *, struct spool_read *, struct weir_batch **ret);
int disk_is_done(const struct sender_lane *);
static inline int disk_keeps(const struct sender_lane *l, const struct weir_batch *b) { return b->stored && (l->draining || l->disk->stopped); }

int disk_payload_init(struct disk_payload *, struct weir_batch *); /* 0, or WEIR_E_NOMEM; valid while nobody touches the batch */
void disk_payload_done(struct disk_payload *);
void disk_lane_done(struct sender_lane *);

/* sender_dead.c: what is given up for good. Takes; settles the batch with this verdict when it is stored, or can not be. */
void dead_put(struct sender_lane *, struct weir_batch *, int reason, const struct weir_verdict *);
void dead_open_cells(struct sender_lane *);
void dead_lane_done(struct sender_lane *);

/* sender.c */
extern const char *const sender_reasons[N_REASONS];
void sender_count_queued(struct sender_lane *, int64_t items);
/* What never entered is given back with this verdict; when nobody waits for it, it is lost, and counted. Takes. */
void sender_turn_away(struct sender_lane *, struct weir_batch *, int reason, const struct weir_verdict *);
/* Best effort (on_full: drop): counted, and answered as taken. Takes. */
void sender_drop(struct sender_lane *, struct weir_batch *, int reason, const char *why);
void sender_wake(struct sender_lane *); /* its step runs soon */
/* Items that will not be sent: counts them (as lost when nobody waits and nobody was told), tells whoever waits with this verdict, frees the batch. Takes. */
void sender_give_up(struct sender_lane *, struct weir_batch *, int reason, const struct weir_verdict *, int told);

#endif
