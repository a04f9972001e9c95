/*
 * The queue on disk: what waits there alone is read back, oldest first, when a consumer would take it; and how a queue is opened.
 */
#include <stdlib.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/otlp.h"
#include "pipelines/sender_disk.h"

/* --- from the disk ------------------------------------------------------------------------------------------------- */

static void go_on(void *arg) {
  struct sender_lane *l = arg;
  l->disk->paused = 0;
  sender_wake(l);
}

static void pause_reading(struct sender_lane *l) {
  struct sender_disk *d = l->disk;
  atomic_store(&d->unread, 1);
  if (l->abandoned) return;
  d->paused = 1;
  d->pause.fn = go_on;
  d->pause.arg = l;
  timer_set(l->loop, &d->pause, DISK_PAUSE_NS);
}

/* The checks of the receivers. What one let in with `validation: envelope` is let in again. Takes the body. NULL: it is no request. */
static struct part *parse(struct sender_lane *l, struct spool_read *r) {
  static const struct otlp_limits limits = { 0 };
  struct otlp_counts counts;
  struct part *part = NULL;
  int full = otlp_scan(l->sender->signal, r->payload, r->payload_n, &limits, &counts, NULL) == 0;
  int bad = part_from_otlp(l->loop->pool, l->sender->signal, r->body, r->payload, r->payload_n, WEIR_VALIDATE_ENVELOPE, 0, &limits, &part, NULL);
  if (bad) return NULL;
  if (full) part->flags |= PART_CHECKED;
  return part;
}

/* 0; WEIR_E_INVALID: it is damaged; WEIR_E_NOMEM: not now. */
static int read_context(struct sender_lane *l, const struct spool_read *r, const struct weir_context **ret) {
  *ret = NULL;
  if (r->context_n == 0) return 0;
  struct disk_context *c = malloc(sizeof *c);
  WEIR_ASSERT(c != NULL);
  int e = disk_context_read(r->context, r->context_n, c);
  if (!e && c->context) e = context_new(l->loop->pool, c->context, ret, NULL);
  free(c);
  return e == WEIR_E_LIMIT ? WEIR_E_INVALID : e;
}

/* The record says what nobody can send. */
static void lose(struct sender_lane *l, const struct spool_read *r, uint64_t bytes) {
  log_error(l->sender->id, "a record of %u %s on disk is no request: skipped", r->items, l->sender->items_name);
  sender_count_queued(l, -(int64_t)r->items);
  metric_add_own(l->cells.rejected[REASON_CORRUPT], (int64_t)r->items);
  spool_release(l->disk->disk->spool, r->seq);
  disk_give_room(l, r->items, bytes);
}

int disk_batch_of(struct sender_lane *l, struct spool_read *r, struct weir_batch **ret) {
  const struct weir_context *context = NULL;
  int e = r->signal == l->sender->signal ? read_context(l, r, &context) : WEIR_E_INVALID;
  struct part *part = NULL;
  if (!e) part = parse(l, r);
  else body_free(r->body);
  if (!e && (!part || part->items == 0)) e = WEIR_E_INVALID;
  if (e) {
    part_unref(part);
  } else {
    *ret = batch_of_part(l->loop, part);
    batch_set_context(*ret, context);
  }
  context_unref(context);
  return e;
}

static void take(struct sender_lane *l, struct spool_read *r) {
  uint64_t bytes = spool_record_bytes(r->context_n, r->payload_n);
  struct weir_batch *b;
  int e = disk_batch_of(l, r, &b);
  if (e == WEIR_E_NOMEM) {
    spool_return(l->disk->disk->spool, r->seq);
    pause_reading(l);
    return;
  }
  if (e) {
    lose(l, r, bytes);
    return;
  }
  int64_t more = (int64_t)b->items - (int64_t)r->items; /* 0, but for a count of another version of weir */
  metric_add_own(l->cells.enqueued, more);
  sender_count_queued(l, more);
  struct disk_record *rec = disk_record_new(l);
  rec->seq = r->seq;
  rec->items = r->items;
  rec->bytes = bytes;
  atomic_fetch_add(&l->disk->memory, bytes);
  disk_line_up(l, rec, b);
}

static void was_read(struct spool_read *r) {
  struct sender_lane *l = r->arg;
  struct sender_disk *d = l->disk;
  d->reading &= ~(1u << (r - d->reads));
  disk_op_ended(d);
  sender_wake(l);
  disk_count_corrupt(d->disk);
  if (!r->body) {
    if (r->op.error) pause_reading(l);
  } else if (l->abandoned || d->stopped) {
    body_free(r->body);
    spool_return(d->disk->spool, r->seq);
  } else {
    take(l, r);
  }
}

static int free_read(const struct sender_disk *d) {
  for (uint32_t i = 0; i < DISK_READS; i++)
    if (!(d->reading & 1u << i)) return (int)i;
  return -1;
}

/* Whether a consumer, or what is gathered, would take it. */
static int is_wanted(const struct sender_lane *l) {
  const struct sender_disk *d = l->disk;
  if (d->stopped || d->paused || l->abandoned || !disk_is_reader(l) || l->queue.head || l->ready.head) return 0;
  if (atomic_load(&d->memory) > DISK_MEMORY_MAX) return 0; /* in what is gathered, whose time comes */
  uint32_t reading = 0;
  for (uint32_t bits = d->reading; bits; bits &= bits - 1) reading++;
  return sender_gathers(l->sender) || l->n_active + reading < l->max_active;
}

void disk_read_more(struct sender_lane *l) {
  struct sender_disk *d = l->disk;
  int i;
  while (atomic_load(&d->unread) && is_wanted(l) && (i = free_read(d)) >= 0) {
    struct spool_read *r = &d->reads[i];
    r->done = was_read;
    r->arg = l;
    if (!spool_read(d->spool, r)) {
      atomic_store(&d->unread, 0); /* woken when there is something */
      return;
    }
    d->reading |= 1u << i;
    disk_op_begins(d);
  }
}

/* --- open ------------------------------------------------------------------------------------------------------------- */

static void on_wake(void *arg) {
  struct sender_lane *l = arg;
  atomic_store(&l->disk->unread, 1);
  sender_wake(l);
}

static void open_lane(void *arg) {
  struct sender_lane *l = arg;
  disk_attach(disk_lane_on(l->disk->disk, l->loop), &l->disk->user);
  sender_wake(l);
}

static void make_lane(struct sender_lane *l, struct disk *disk) {
  struct sender_disk *d = calloc(1, sizeof *d);
  WEIR_ASSERT(d != NULL);
  d->disk = disk;
  d->spool = disk_lane_on(disk, l->loop)->spool;
  d->user.wake = on_wake;
  d->user.arg = l;
  atomic_init(&d->unread, disk_is_reader(l));
  l->disk = d;
}

static void make_dead_lane(struct sender_lane *l, struct disk *disk) {
  struct sender_dead *d = calloc(1, sizeof *d);
  WEIR_ASSERT(d != NULL);
  d->disk = disk;
  d->spool = disk_lane_on(disk, l->loop)->spool;
  l->dead = d;
  dead_open_cells(l);
}

int sender_open_storage(struct sender *s, struct disks *disks, const struct weir_storage_settings *queue, const struct weir_storage_settings *dead,
  struct weir_error *err) {
  int sizer = s->config->queue.sizer;
  int r = queue ? disk_open(disks, queue, s->id, s->signal, sizer, 0, &s->disk, err) : 0;
  const char *field = r ? "sending_queue.storage" : "sending_queue.dead_letter";
  if (!r && dead) r = disk_open(disks, dead, s->id, s->signal, sizer, 1, &s->dead, err);
  if (r) {
    snprintf(err->field, sizeof err->field, "%s", field);
    disk_unref(s->disk);
    s->disk = NULL;
    return r;
  }
  if (s->disk) s->used = &s->disk->used[sizer];
  for (uint32_t i = 0; i < s->n_lanes; i++) {
    if (s->disk) make_lane(s->lanes[i], s->disk);
    if (s->dead) make_dead_lane(s->lanes[i], s->dead);
  }
  for (uint32_t i = 0; s->disk && i < s->n_lanes; i++) loop_call(s->lanes[i]->loop, open_lane, s->lanes[i]);
  return 0;
}
