/*
 * core/spool.h - the disk queue: one log of append-only segments in one directory, for all lanes (file format and rules: docs/design/queue.md).
 *
 * Records are opaque bytes with a context, a signal and a count of items. They are appended at one end, handed out in order, each to one reader, and leave when
 * they are released. One writer thread does all that may wait for the disk: lanes only queue an operation and hear of its end in a later step of their own loop.
 * Under SPOOL_ALWAYS, "appended" means that fdatasync has returned; what was appended together is synced together.
 * The promise is at-least-once: after a crash a released record may come again, an appended one is never missing; what is damaged is skipped and counted.
 *
 * Ownership: operations (struct spool_append, struct spool_read) belong to the caller and live until their `done` runs, exactly once; no memory is allocated for them.
 * Threads: open, close [control]; operations, reserve, release, return, stats [any], with `done` on the lane that is named. A lock is held for some loads and
 * stores, never over a system call.
 */
#ifndef CORE_SPOOL_H
#define CORE_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include <weir/batch.h>
#include <weir/error.h>

#include "core/loop.h"

struct spool;
struct spool_lane;
struct spool_sys; /* of core/spool_internal.h: the system calls, for tests that let them fail */

#define SPOOL_ALWAYS 0   /* done after fdatasync: survives power loss */
#define SPOOL_INTERVAL 1 /* done after write, fdatasync every sync_interval_ns: survives kill -9 */
#define SPOOL_OS 2       /* done after write; the system writes when it likes */

#define SPOOL_RECORD_MAX (64u << 20) /* one record with its header; longer ones are refused with WEIR_E_INVALID */
#define SPOOL_IOV_MAX 1000u          /* pieces of one record */
#define SPOOL_CONTEXT_MAX 65535u

struct spool_options {
  const char *directory;     /* its last part is created (0700) when missing */
  uint64_t max_bytes;        /* of records on disk, those included that are released but whose segment still stands; 0 = 1 GiB */
  uint64_t segment_bytes;    /* 0 = 16 MiB; at most max_bytes / 4 */
  int sync;                  /* SPOOL_ALWAYS, ... */
  int64_t sync_interval_ns;  /* 0 = 200 ms */
  uint64_t fs_reserve_bytes; /* left free on the filesystem; 0 = 64 MiB, or 5 % of it if that is less */
  weir_fn_f *on_room;        /* optional: room was given back. Runs on the writer thread, may only post */
  void *on_room_arg;
  int buffered;              /* never write past the page cache */
  const struct spool_sys *sys; /* NULL = the system's */
};

struct spool_stats {
  uint64_t records, items, bytes;  /* queued: appended and not released; bytes with their headers */
  uint64_t unread;                 /* of these, records that no reader has */
  uint64_t disk_bytes, max_bytes;  /* records that stand in segments, reservations included; the limit */
  int64_t oldest_unix_ns;          /* enqueue time of the oldest queued record; 0 = none */
  uint64_t appended_records, appended_items, appended_bytes; /* since open; as the rest: counters */
  uint64_t released_records, released_items;
  uint64_t recovered_records, recovered_items; /* queued when it was opened: recovered + appended = queued + released + corrupt found later */
  uint64_t corrupt_records, corrupt_items;     /* lost to damage, at open and later. Items may be too few when a whole end is gone */
  uint64_t corrupt_found_records, corrupt_found_items; /* of these, found while reading: they had been counted as queued */
  uint64_t corrupt_bytes;                      /* skipped */
  uint64_t lost_segments;  /* unreadable (renamed to NAME.bad), of another queue, or missing */
  uint64_t torn_tails;     /* ends that were cut off at open: an append that a crash interrupted */
  uint64_t syncs, sync_errors, write_errors, read_errors;
  uint64_t full_errors;    /* refused: max_bytes or the filesystem is full */
  int failed;              /* writing failed twice in a row: every append is refused until it is opened anew */
};

/* --- life ------------------------------------------------------------------------------------------------ */

/* Opens or creates the queue, recovers what it holds and starts its thread. WEIR_E_STATE: another process has it (msg names the pid). Damage is never an error. */
int spool_open(struct spool **ret, const struct spool_options *, struct weir_error *);
/* Writes the cursor, ends the thread, unlocks. No operation may be under way. NULL allowed. */
void spool_close(struct spool *);
/* The spool's mailbox on a loop, for operations from there. `wake` (NULL allowed) runs on the loop when there may be a record after spool_read found none. [control or lane] */
struct spool_lane *spool_add_lane(struct spool *, struct loop *, weir_fn_f *wake, void *arg);
void spool_stats(struct spool *, struct spool_stats *ret);

/* --- room ------------------------------------------------------------------------------------------------ */

/* What a record takes, with header and padding. */
uint64_t spool_record_bytes(uint64_t context_n, uint64_t payload_n);
/* Takes room ahead. 0 or WEIR_E_LIMIT (full), WEIR_E_IO (failed). */
int spool_reserve(struct spool *, uint64_t bytes);
void spool_unreserve(struct spool *, uint64_t bytes);

/* --- operations ------------------------------------------------------------------------------------------ */

/* First member of an operation; the spool's. */
struct spool_op {
  struct spool_op *next;
  struct spool_lane *lane;
  int32_t kind;
  int32_t error; /* out: 0, or WEIR_E_LIMIT (full: retryable), WEIR_E_IO (the disk failed: retryable elsewhere) */
};

/* The borrowed bytes stay valid and unchanged until `done`. */
struct spool_append {
  struct spool_op op;
  const struct weir_iov *iov; /* payload, in pieces; borrowed */
  size_t n_iov;
  const void *context; /* opaque; borrowed */
  uint32_t context_n;
  uint32_t items;
  uint8_t signal, flags;
  uint8_t reserved; /* room was taken by spool_reserve: exactly its spool_record_bytes. The call takes it, also when it fails */
  uint8_t keep;     /* the appender keeps the record as if it had read it: it must release or return it */
  int64_t enqueue_unix_ns;
  void (*done)(struct spool_append *); /* seq and op.error are set */
  void *arg;
  uint64_t seq; /* out */
  /* the spool's */
  uint64_t bytes;
  uint32_t data_crc, data_n;
  unsigned char header[48];
};

/* Appends. 0: `done` comes. Else it does not: WEIR_E_LIMIT (full), WEIR_E_INVALID (too large), WEIR_E_IO (the queue has failed). */
int spool_append(struct spool_lane *, struct spool_append *);

struct spool_read {
  struct spool_op op;
  void (*done)(struct spool_read *);
  void *arg;
  /* out; body == NULL: nothing was there after all (what there was is damaged) */
  struct weir_body *body; /* of the lane's pool, overdrawn; the reader's (body_free) */
  const char *payload, *context; /* in body */
  uint32_t payload_n, context_n, items;
  uint8_t signal, flags;
  int64_t enqueue_unix_ns;
  uint64_t seq;
  /* the spool's */
  void *segment;
  uint64_t offset;
  uint32_t data_n;
};

/* Takes the oldest unread record. 1: `done` comes; 0: there is none, and the lane is woken when there may be. [lane] */
int spool_read(struct spool_lane *, struct spool_read *);
/* Delivered, or given up for good: never handed out again. */
void spool_release(struct spool *, uint64_t seq);
/* Unread again, at its old place. */
void spool_return(struct spool *, uint64_t seq);

/* --- looking without owning ------------------------------------------------------------------------------ */

struct spool_view {
  uint64_t seq;
  int64_t enqueue_unix_ns;
  uint32_t items, payload_n, context_n;
  uint8_t signal, flags;
  const char *payload, *context; /* valid until the next call */
};

/* Whether a process has the queue open. [any] */
int spool_is_locked(const char *directory);
/* Reads a queue that this or another process may have open: nothing is locked or changed, so what is appended or removed meanwhile may be missed. [any] */
int spool_peek_open(struct spool **ret, const char *directory, struct weir_error *);
/* The next unreleased record; 1, or 0 at the end. Damaged ones are skipped and counted (spool_stats), but for the last of all while a process has the queue: it may be one that is being written. */
int spool_peek_next(struct spool *, struct spool_view *ret);
void spool_peek_close(struct spool *); /* NULL allowed */

#endif
