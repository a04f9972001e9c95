/*
 * core/spool_internal.h - shared by core/spool*.c and their tests: the file format, segments and their records in memory, the writer's state.
 *
 * Every record that stands in a segment has an entry in memory (24 bytes): where it is, what it counts, who has it. So a lane learns without the disk
 * what comes next and how large it is. `lock` guards all that lanes see; what only the writer thread (or the opening thread, before it) uses is marked so.
 */
#ifndef CORE_SPOOL_INTERNAL_H
#define CORE_SPOOL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/spool.h"

/* --- the system calls, as tests replace them ------------------------------------------------------------ */

struct spool_sys {
  int (*openat)(int dir, const char *name, int flags, mode_t);
  ssize_t (*pwritev)(int fd, const struct iovec *, int n, off_t);
  ssize_t (*pread)(int fd, void *, size_t, off_t);
  int (*fdatasync)(int fd);
  int (*fsync)(int fd);
  int (*ftruncate)(int fd, off_t);
  int (*fallocate)(int fd, int mode, off_t, off_t);
  int (*unlinkat)(int dir, const char *name, int flags);
  int (*renameat)(int from_dir, const char *from, int to_dir, const char *to);
  int (*fstatvfs)(int fd, struct statvfs *);
};

extern const struct spool_sys spool_sys_default;

/* --- the format (docs/design/queue.md). Little endian ------------------------------------------------------ */

#define FORMAT_VERSION 1u
#define SEGMENT_MAGIC 0x47535157u /* "WQSG" */
#define RECORD_MAGIC 0x45525157u  /* "WQRE" */
#define CURSOR_MAGIC 0x55435157u  /* "WQCU" */
#define SEGMENT_HEADER 64u
#define RECORD_HEADER 48u
#define CURSOR_SLOT 64u
#define UUID_BYTES 16u
#define CURSOR_BITS 32u /* records behind the cursor whose release it remembers */

#define CURSOR_NAME "cursor"
#define LOCK_NAME "q.lock"
#define SEGMENT_SUFFIX ".seg"
#define SEGMENT_NAME_MAX 48u
#define SEGMENTS_MAX 65536u        /* more files are left alone, and told */
#define SEGMENT_MAX (1u << 30)     /* bytes; what is longer is not looked at */
#define CURSOR_EVERY_NS 1000000000LL
#define GROUP_BYTES (1u << 20)     /* written and synced together */
#define LINGER_MAX_NS 1000000LL    /* and at most a quarter of what the last sync took */
#define IOVS 1024                  /* IOV_MAX of Linux */
#define DIRECT_BLOCK 4096u         /* of writes past the page cache; at least what a disk asks for */

struct sealed {
  uint32_t magic, crc;
};

struct segment_header {
  struct sealed sealed;
  uint32_t version, zero;
  unsigned char uuid[UUID_BYTES];
  uint64_t first_seq, first_items, epoch;
  int64_t created_unix_ns;
};

struct record_header {
  struct sealed sealed;
  uint64_t seq, items_before; /* items of all records of the queue before this one: a gap tells how many are lost */
  int64_t enqueue_unix_ns;
  uint32_t data_n; /* context and payload */
  uint32_t items, data_crc;
  uint16_t context_n;
  uint8_t signal, flags;
};

struct cursor_slot {
  struct sealed sealed;
  unsigned char uuid[UUID_BYTES];
  uint64_t seq, items;         /* all before it are released; its items_before */
  uint64_t end_seq, end_items; /* the same of the next append: tells a loss at the end of the log */
  uint32_t generation;         /* the larger one counts; 0 = none */
  uint32_t released;           /* bit i: seq + 1 + i is released, too */
};

/* Writing fills in magic, version and checksum; reading returns whether they, and the bounds, are right. */
void segment_header_write(void *to, struct segment_header *);
int segment_header_read(const void *from, struct segment_header *ret);
void record_header_write(void *to, uint32_t salt, struct record_header *);
int record_header_read(const void *from, uint32_t salt, struct record_header *ret);
void cursor_slot_write(void *to, struct cursor_slot *);
int cursor_slot_read(const void *from, struct cursor_slot *ret);
/* What all checksums of a queue's records begin with, so that blocks of another queue are never taken for its own. */
uint32_t uuid_salt(const unsigned char *uuid);

static inline uint64_t record_bytes(uint64_t data_n) { return RECORD_HEADER + ((data_n + 7) & ~(uint64_t)7); }

/* --- in memory ------------------------------------------------------------------------------------------------ */

#define ENTRY_UNREAD 0u
#define ENTRY_HELD 1u     /* a reader or its appender has it */
#define ENTRY_RELEASED 2u
#define ENTRY_LOST 3u     /* damaged; as released */

struct entry {
  uint32_t offset, data_n, items, state;
  int64_t enqueue_unix_ns;
};

/* Records first_seq .. first_seq + n - 1. */
struct segment {
  uint64_t first_seq, first_items, epoch;
  uint64_t size;    /* the writer's: where the next record goes */
  uint64_t limit;   /* the writer's: how large it may become */
  uint64_t charged; /* part of spool->used */
  struct entry *entries;
  uint32_t n, cap, n_unread, hint; /* hint: none before it is unread */
  char name[SEGMENT_NAME_MAX];
};

#define OP_APPEND 1
#define OP_READ 2

struct op_list {
  struct spool_op *head, **tail;
};

struct spool_lane {
  struct spool *spool;
  struct loop *loop;
  struct spool_lane *next;
  weir_fn_f *wake;
  void *wake_arg;
  struct op_list done; /* ended, to be told */
  struct post post;
  int posted, hungry, wake_due;
};

#define SPOOL_MAGIC 0x5b001e5cu

struct spool {
  uint32_t magic;
  uint32_t refs; /* the owner, and each mailbox that is posted */
  struct spool_options o;
  const struct spool_sys *sys;
  char directory[512]; /* for messages */
  int read_only, started, closed;
  int dir_fd, lock_fd, cursor_fd;
  unsigned char uuid[UUID_BYTES];
  uint32_t salt;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t cond;
  int sleeping, closing;
  uint32_t n_appends, wanted; /* waiting; how many of them wake the writer */
  struct op_list appends, reads;
  struct spool_lane *lanes;
  struct segment **segs; /* by first_seq, epoch */
  size_t n_segs, cap_segs;
  uint64_t cursor_seq, cursor_items, next_seq, next_items; /* next_*: of records that are committed */
  uint64_t durable_cursor; /* written by the writer: what the cursor file says for certain */
  int cursor_dirty, room_wanted, cursor_failed;
  _Atomic uint64_t used; /* bytes of records in segments and reserved */
  _Atomic int failed;
  struct spool_stats stats; /* what changes under the lock; the rest: */
  _Atomic uint64_t syncs, sync_errors, write_errors, read_errors, full_errors;
  /* the writer's */
  struct segment *active;
  int active_fd, unsynced;
  int64_t cursor_written_ns, sync_due_ns, sync_took_ns;
  uint32_t last_group; /* records */
  uint64_t epoch;
  uint32_t generation;
  struct segment *read_segment; /* the one that read_fd is open on */
  int read_fd;
  int direct;         /* the active segment is written past the page cache */
  char *stage, *tail; /* for that: a group in whole blocks; what the last block that was begun holds */
  struct iovec iov[IOVS];
  /* of spool_peek_*: the next record, and its bytes */
  size_t peek_segment;
  uint32_t peek_index;
  char *peek_buf;
};

/* spool.c */
void spool_lock(struct spool *);
void spool_unlock(struct spool *);
void spool_tell(struct spool_op *);              /* ended: goes to its lane. Locked */
void spool_tell_unread(struct spool *);          /* a record became unread. Locked */
void spool_wake_writer(struct spool *);          /* Locked */
int64_t spool_now_ns(void);                      /* CLOCK_MONOTONIC, never virtual: it times the disk */

/* spool_segment.c */
void op_push(struct op_list *, struct spool_op *);
struct spool_op *op_pop(struct op_list *);
int spool_open_directory(struct spool *, struct weir_error *);
struct segment *segment_new(const struct segment_header *, const char *name);
void segment_free(struct segment *);
void segment_push(struct segment *, const struct entry *);
void spool_add_segment(struct spool *, struct segment *); /* at the end. Locked, or before the thread runs */
uint64_t segment_end(const struct spool *, size_t i);     /* first seq behind it */
struct entry *spool_entry(struct spool *, uint64_t seq, struct segment **ret); /* NULL: none. Locked */
void spool_advance(struct spool *);                       /* the cursor, over what is released. Locked */
int spool_make_segment(struct spool *, uint64_t bytes);   /* the active one, with room for them. 0, WEIR_E_LIMIT, WEIR_E_IO */
void spool_retire_active(struct spool *);                 /* nothing is written to it any more */
int spool_write_cursor(struct spool *);                   /* and unlinks what is wholly released before it */
int spool_pwrite(struct spool *, int fd, struct iovec *, int n, uint64_t offset); /* 0 or errno */
int spool_pread(struct spool *, int fd, void *, size_t n, uint64_t offset, size_t *ret_n); /* 0 or errno */
int spool_openat(struct spool *, const char *name, int flags);                    /* -1: errno */
int spool_sync(struct spool *, int fd, int (*sync)(int));                         /* 0 or errno; counted */

/* spool_direct.c: writes past the page cache */
int spool_write_header(struct spool *, int fd, const void *header);      /* of a new segment; decides how it is written. 0 or errno */
int spool_direct_write(struct spool *, const struct iovec *, int n);     /* behind active->size. 0 or errno */

/* spool_recover.c: fills segs, cursor and counts from the directory */
int spool_recover(struct spool *, struct weir_error *);

/* spool_write.c */
int spool_wants_room(const struct spool *); /* and there is some to give back. Locked */
void *spool_writer(void *spool);

/* spool_read.c */
void spool_serve_read(struct spool *, struct spool_read *); /* the writer's: its bytes */
void spool_finish_read(struct spool_read *);                /* the lane's: checks them, tells */

#endif
