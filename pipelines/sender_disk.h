/*
 * pipelines/sender_disk.h - shared by pipelines/sender_disk*.c only: a record that a lane has.
 */
#ifndef PIPELINES_SENDER_DISK_H
#define PIPELINES_SENDER_DISK_H

#include "pipelines/disk_context.h"
#include "pipelines/sender_internal.h"

struct disk_record {
  struct spool_append append;
  struct sender_lane *lane; /* that has it */
  struct weir_batch *batch; /* while it is written */
  char *context;
  struct disk_payload payload;
  uint64_t seq, items, bytes;
  struct disk_record *next;
};

static inline int disk_is_reader(const struct sender_lane *l) { return l->exporter && (!l->sender->in_order || l == l->sender->home); }
struct disk_record *disk_record_new(struct sender_lane *);
void disk_op_begins(struct sender_disk *);
void disk_op_ended(struct sender_disk *);
/* What a record took, when it has left the disk. */
void disk_give_room(struct sender_lane *, uint64_t items, uint64_t bytes);
/* Its record is this lane's from now on, and one who waits for the batch. Takes both. */
void disk_line_up(struct sender_lane *, struct disk_record *, struct weir_batch *);

#endif
