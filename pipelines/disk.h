/*
 * pipelines/disk.h - the disk queues that this process has open: one per directory, counted, whoever asks for it.
 *
 * A sender exists once per configuration, its queue on disk longer: during a reload the new sender and the one that retires share it, so that nothing is
 * lost between them and the lock is never refused. What both count in stands here: the room that is taken, what is queued.
 * Threads: [control], but for what says otherwise.
 */
#ifndef PIPELINES_DISK_H
#define PIPELINES_DISK_H

#include <stdatomic.h>

#include <weir/storage.h>

#include "core/loop.h"
#include "core/metrics.h"
#include "core/spool.h"

#define DISK_DIRECTORY "/var/lib/otelcol/file_storage" /* the default of file_storage */
#define DISK_ORPHANS_MAX 1000u /* queues without an exporter that are looked at: each costs what opening it costs */
#define DISK_UNITS 3 /* SIZER_REQUESTS, SIZER_ITEMS, SIZER_BYTES (with headers, as they stand on disk) */

struct disks;
struct disk;

/* One that uses a disk on one loop. wake(arg): there may be something unread, or room. [lane] */
struct disk_user {
  struct disk_lane *lane;
  struct disk_user *next;
  weir_fn_f *wake;
  void *arg;
};

/* The mailbox of a disk on a loop, and who uses it there. */
struct disk_lane {
  struct disk *disk;
  struct loop *loop;
  struct spool_lane *spool;
  struct disk_user *users;
  struct disk_lane *next;
};

struct disk_cells {
  struct weir_cell *queue_size, *enqueued, *queued, *corrupt; /* the sender's families: what several senders share */
  struct weir_cell *records, *items, *bytes, *disk_bytes, *max_bytes, *oldest, *appended, *released, *recovered, *corrupt_records, *corrupt_items, *corrupt_bytes,
    *lost_segments, *torn_tails, *syncs, *errors[4];
};

struct disk {
  struct disks *all;
  struct disk *next;
  char *path;
  struct spool *spool;
  uint32_t users; /* senders */
  int sizer;      /* of the newest sender: what queue_size is shown in */
  int is_dead;    /* dead letters: no law */
  _Atomic uint64_t used[DISK_UNITS];
  _Atomic uint64_t ops;       /* appends and reads under way */
  _Atomic int room_posted, shared; /* shared: by more than one sender */
  _Atomic int in_trouble;          /* the last append failed, and the next one is tried again */
  pthread_mutex_t corrupt_lock;
  uint64_t corrupt_records, corrupt_items, corrupt_bytes; /* damage found while reading that was taken out of the law */
  struct spool_stats at_open;
  struct weir_storage_settings settings; /* at open; directory is not kept */
  struct disk_lane *lanes;
  struct disk_cells cells;
};

struct disks *disks_new(struct metrics *, struct loop *control);
void disks_set_sys(struct disks *, const struct spool_sys *); /* for tests that let system calls fail; before any is opened */
/* Ends all that is open (cursors are written); for a process that leaves senders open. Nothing may run on the lanes any more. */
void disks_close(struct disks *);
void disks_free(struct disks *); /* NULL allowed; all users are gone. The metrics page is not made any more */
/* Whether any is open, and the items that all of them hold. */
int disks_items(const struct disks *, uint64_t *ret);
/* Whether operations are under way in any. */
int disks_busy(const struct disks *);

/* Queues with records below this directory that neither this process has open nor another one: a metric (weir_queue_orphaned_items), and a
 * warning for each that was not known. Opening one ends its metric. */
void disks_find_orphans(struct disks *, const char *directory);

/* Whether a directory's name is one that disk_path gives. */
int disk_is_queue_name(const char *name);
/* DIRECTORY/<exporter escaped>-<signal>, for dead letters with ".dead" behind it. Malloc'ed. */
char *disk_path(const char *directory, const char *exporter, uint32_t signal, int dead);
/* The disk of one queue, opened by the first who asks. Each success needs a disk_unref. */
int disk_open(struct disks *, const struct weir_storage_settings *, const char *exporter, uint32_t signal, int sizer, int dead, struct disk **ret, struct weir_error *);
void disk_unref(struct disk *); /* NULL allowed. No operation of this user's may be under way */
/* The mailbox on a loop, for disk_attach. */
struct disk_lane *disk_lane_on(struct disk *, struct loop *);
void disk_attach(struct disk_lane *, struct disk_user *); /* [lane] */
void disk_detach(struct disk_user *);                     /* [lane] */

/* Counts a record in the units other than `but` (whose room the caller took), or takes one out of all. [any] */
void disk_count_in(struct disk *, int but, uint64_t items, uint64_t bytes);
void disk_count_out(struct disk *, uint64_t items, uint64_t bytes);
/* Wakes all users in a later step: there may be room. [any] */
void disk_wake_all(struct disk *);
/* What came of an append that was no matter of room. While in trouble the process is not ready. Returns whether that is news. [any] */
int disk_set_trouble(struct disk *, int in_trouble);
/* Takes records that reading found damaged out of the law. [any] */
void disk_count_corrupt(struct disk *);

#endif
