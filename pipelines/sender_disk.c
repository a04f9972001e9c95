/*
 * The queue on disk: the way of a batch by way of its record.
 *
 * A request is written and, when the disk has it, answered. Then the record is who waits for the batch: one more ack, which travels with the items through
 * merging, cutting and halving as any other. Delivered or given up for good, the record is released; what the end of the process left undone is returned and is
 * sent again. While a lane's queue keeps less than DISK_MEMORY_MAX in memory, a batch stays there as well and is sent without being read; what comes beyond waits on disk
 * alone and is read back, oldest first, when the lane's queue is empty.
 *
 * What an `ack: delivered` pipeline brings is not written: whoever sent it still has it.
 */
#include <stdlib.h>
#include <string.h>

#include <weir/health.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/sender_disk.h"

#define SPARE_RECORDS 64u

struct disk_record *disk_record_new(struct sender_lane *l) {
  struct sender_disk *d = l->disk;
  struct disk_record *r = d->spare;
  if (r) {
    d->spare = r->next;
    d->n_spare--;
    memset(r, 0, sizeof *r);
  } else {
    r = calloc(1, sizeof *r);
    WEIR_ASSERT(r != NULL);
  }
  r->lane = l;
  r->append.arg = r;
  return r;
}

static void forget_bytes(struct disk_record *r) {
  free(r->context);
  disk_payload_done(&r->payload);
  r->context = NULL;
}

static void record_free(struct sender_lane *l, struct disk_record *r) {
  struct sender_disk *d = l->disk;
  forget_bytes(r);
  if (d->n_spare >= SPARE_RECORDS) {
    free(r);
    return;
  }
  r->next = d->spare;
  d->spare = r;
  d->n_spare++;
}

void disk_lane_done(struct sender_lane *l) {
  struct sender_disk *d = l->disk;
  if (!d) return;
  WEIR_ASSERT(d->n_ops == 0 && d->n_records == 0 && !d->user.lane);
  for (struct disk_record *r = d->spare, *next; r; r = next) {
    next = r->next;
    free(r);
  }
  free(d);
  l->disk = NULL;
}

void disk_op_begins(struct sender_disk *d) {
  d->n_ops++;
  atomic_fetch_add(&d->disk->ops, 1);
}

void disk_op_ended(struct sender_disk *d) {
  d->n_ops--;
  atomic_fetch_sub(&d->disk->ops, 1);
}

/* The lane that sends what this one writes, and so reads. An exporter that keeps an order has one: else a lane would overtake another with what stands on disk. */
static struct sender_lane *reader_of(struct sender_lane *l) { return disk_is_reader(l) ? l : l->sender->home; }

/* --- a record is done with, or is not ----------------------------------------------------------------------------- */

void disk_give_room(struct sender_lane *l, uint64_t items, uint64_t bytes) {
  disk_count_out(l->disk->disk, items, bytes);
  queue_wake_parked(l);
  if (atomic_load(&l->disk->disk->shared)) disk_wake_all(l->disk->disk); /* another sender's parked ones may fit */
}

/* Back to the disk. What was abandoned in pieces may be less than the record: the rest was sent and will be sent again, so it is enqueued again. */
static void give_back(struct sender_lane *l, struct disk_record *r) {
  struct sender_disk *d = l->disk;
  uint64_t abandoned = d->given_back < r->items ? d->given_back : r->items;
  d->given_back -= abandoned;
  metric_add_own(l->cells.enqueued, (int64_t)(r->items - abandoned));
  sender_count_queued(l, (int64_t)r->items);
  atomic_store(&d->unread, 1);
  spool_return(d->disk->spool, r->seq);
}

/* The record's ack. [lane] */
static void on_verdict(void *arg, const struct weir_verdict *v) {
  struct disk_record *r = arg;
  struct sender_lane *l = r->lane;
  struct sender_disk *d = l->disk;
  d->n_records--;
  if (v->code == WEIR_RETRY) {
    give_back(l, r);
  } else {
    spool_release(d->disk->spool, r->seq);
    disk_give_room(l, r->items, r->bytes);
  }
  record_free(l, r);
  sender_wake(l);
}

/* --- the lane's queue ---------------------------------------------------------------------------------------------- */

void disk_left_queue(struct sender_lane *l, const struct weir_batch *b) { atomic_fetch_sub(&l->disk->memory, b->charge); }

void disk_put_back(struct sender_lane *l, struct weir_batch *b) {
  struct weir_verdict v = verdict_retry(0, "weir is shutting down");
  disk_left_queue(l, b);
  sender_count_queued(l, -(int64_t)b->items);
  sender_give_up(l, b, REASON_SHUTDOWN, &v, 0);
}

/* Its record is this lane's from now on. Takes. */
void disk_line_up(struct sender_lane *l, struct disk_record *r, struct weir_batch *b) {
  l->disk->n_records++;
  r->lane = l;
  batch_on_verdict(b, on_verdict, r);
  b->stored = 1;
  b->charge = r->bytes;
  b->enqueued_ns = clock_mono_ns();
  if (l->abandoned || l->disk->stopped) {
    disk_put_back(l, b);
    return;
  }
  queue_push(&l->queue, b);
  sender_wake(l);
}

static void put_back_all(struct sender_lane *l, struct batch_list *list) {
  struct batch_list all = *list;
  list->head = NULL;
  list->tail = &list->head;
  if (all.head == NULL) return;
  for (struct weir_batch *b = all.head, *next; b; b = next) {
    next = b->next;
    b->next = NULL;
    if (b->stored) disk_put_back(l, b);
    else queue_push(list, b);
  }
}

void disk_stop(struct sender_lane *l) {
  if (l->disk->stopped) return;
  l->disk->stopped = 1;
  gather_flush(l);
  put_back_all(l, &l->ready);
  put_back_all(l, &l->queue);
}

int disk_is_done(const struct sender_lane *l) {
  const struct sender_disk *d = l->disk;
  if (d->n_ops || d->n_records) return 0;
  if (!disk_is_reader(l)) return 1;
  return !atomic_load(&l->sender->coming) && (d->stopped || l->abandoned || !atomic_load(&d->unread));
}

void sender_retire(struct sender_lane *l) {
  if (!l->disk || !atomic_load(&l->disk->disk->shared)) return;
  disk_stop(l);
  for (struct attempt *a = l->active, *next; a; a = next) {
    next = a->next;
    if (a->state == ATTEMPT_WAITING && attempt_is_stored(a)) attempt_abandon(a);
  }
  sender_wake(l);
}

/* --- onto the disk ----------------------------------------------------------------------------------------------- */

/* The disk has it: the lane with the exporter takes it over. */
static void arrived(void *arg) {
  struct disk_record *r = arg;
  struct sender_lane *home = r->lane->sender->home;
  struct weir_batch *b = r->batch;
  r->batch = NULL;
  atomic_fetch_sub(&home->sender->coming, 1);
  disk_line_up(home, r, b);
}

static void wake_home(void *arg) {
  struct sender_lane *home = arg;
  atomic_fetch_sub(&home->sender->coming, 1);
  sender_wake(home);
}

/* Of what this lane wrote: the lane with the exporter may have waited for it. */
static void nothing_comes(struct sender_lane *l) {
  if (!disk_is_reader(l)) loop_post(l->sender->home->loop, wake_home, l->sender->home);
}

static void hand_on(struct sender_lane *l, struct disk_record *r) {
  struct weir_batch *b = r->batch;
  if (disk_is_reader(l)) {
    r->batch = NULL;
    disk_line_up(l, r, b);
    return;
  }
  batch_cross(b, l->sender->home->loop);
  loop_post(l->sender->home->loop, arrived, r);
}

/* A segment that could not be made, say, is tried again at the next append; what failed twice in a row is not. */
static void tell_failure(const struct sender *s) {
  struct spool_stats st;
  spool_stats(s->disk->spool, &st);
  if (st.failed) {
    log_error(s->id, "the disk queue can not write: what comes is refused until weir is started anew");
    host_set_health(WEIR_HEALTH_FAILED);
    return;
  }
  log_error(s->id, "the disk queue could not write: what comes is refused, and tried again each time; see that %s can be written to", s->disk->path);
  (void)disk_set_trouble(s->disk, 1);
}

static void not_written(struct sender_lane *l, struct disk_record *r, int error) {
  struct sender *s = l->sender;
  struct weir_batch *b = r->batch;
  int full = error == WEIR_E_LIMIT, reason = full ? REASON_QUEUE_FULL : REASON_STORAGE;
  struct weir_verdict v = verdict_retry(0, full ? s->disk_full_msg : s->disk_failed_msg);
  if (!full) tell_failure(s);
  disk_give_room(l, r->items, r->bytes);
  record_free(l, r);
  nothing_comes(l);
  metric_add_own(l->cells.enqueue_failed, (int64_t)b->items);
  if (s->config->queue.on_full)
    sender_drop(l, b, reason, v.msg);
  else
    sender_turn_away(l, b, reason, &v);
}

static void appended(struct spool_append *a) {
  struct disk_record *r = a->arg;
  struct sender_lane *l = r->lane;
  struct weir_verdict taken = verdict_delivered();
  disk_op_ended(l->disk);
  sender_wake(l);
  if (a->op.error) {
    if (a->keep) atomic_fetch_sub(&reader_of(l)->disk->memory, r->bytes);
    not_written(l, r, a->op.error);
    return;
  }
  if (disk_set_trouble(l->disk->disk, 0)) log_info(l->sender->id, "the disk queue can write again");
  forget_bytes(r);
  r->seq = a->seq;
  metric_add_own(l->cells.enqueued, (int64_t)r->items);
  sender_count_queued(l, (int64_t)r->items);
  batch_answer(r->batch, &taken);
  if (a->keep) {
    hand_on(l, r);
    return;
  }
  batch_free(r->batch);
  record_free(l, r);
  nothing_comes(l);
}

/* The spool takes a limited number of pieces. */
int disk_payload_init(struct disk_payload *p, struct weir_batch *b) {
  size_t bytes;
  p->copy = NULL;
  if (batch_encode(b, &p->iov, &p->n_iov, &bytes, NULL)) return WEIR_E_NOMEM;
  p->bytes = bytes;
  if (p->n_iov <= SPOOL_IOV_MAX) return 0;
  p->copy = body_overdraw(b->loop->pool, bytes);
  p->copy->n = 0;
  for (size_t i = 0; i < p->n_iov; i++) {
    if (p->iov[i].n) memcpy(p->copy->p + p->copy->n, p->iov[i].p, p->iov[i].n);
    p->copy->n += p->iov[i].n;
  }
  p->single = (struct weir_iov){ p->copy->p, p->copy->n };
  p->iov = &p->single;
  p->n_iov = 1;
  return 0;
}

void disk_payload_done(struct disk_payload *p) {
  body_free(p->copy);
  p->copy = NULL;
}

/* What the record is made of. 0, or whoever sent it is refused with *ret. */
static int fill(struct disk_record *r, struct weir_batch *b, struct weir_verdict *ret) {
  size_t context_n = disk_context_size(NULL, NULL, b->context);
  if (disk_payload_init(&r->payload, b)) {
    *ret = verdict_retry(0, "the memory limit of this process is reached");
    return WEIR_E_NOMEM;
  }
  r->bytes = spool_record_bytes(context_n, r->payload.bytes);
  if (context_n > SPOOL_CONTEXT_MAX || r->bytes > SPOOL_RECORD_MAX) {
    *ret = verdict_rejected(0, context_n > SPOOL_CONTEXT_MAX ? "the request's metadata is too large for a queue on disk" : "the request is too large for a queue on disk");
    return WEIR_E_INVALID;
  }
  if (context_n) {
    r->context = malloc(context_n);
    WEIR_ASSERT(r->context != NULL);
    disk_context_write(NULL, NULL, b->context, r->context);
  }
  r->batch = b;
  r->items = b->items;
  r->append.iov = r->payload.iov;
  r->append.n_iov = r->payload.n_iov;
  r->append.context = r->context;
  r->append.context_n = (uint32_t)context_n;
  r->append.items = (uint32_t)b->items;
  r->append.signal = (uint8_t)b->signal;
  r->append.enqueue_unix_ns = clock_unix_ns();
  r->append.done = appended;
  return 0;
}

/* What is not parked. Takes. */
static void refuse(struct sender_lane *l, struct weir_batch *b, int reason, const struct weir_verdict *v) {
  metric_add_own(l->cells.enqueue_failed, (int64_t)b->items);
  if (l->sender->config->queue.on_full)
    sender_drop(l, b, reason, v->msg);
  else
    sender_turn_away(l, b, reason, v);
}

static uint64_t unit_of(const struct sender *s, uint64_t items, uint64_t bytes) {
  return s->config->queue.sizer == SIZER_ITEMS ? items : s->config->queue.sizer == SIZER_BYTES ? bytes : 1;
}

/* Room in the queue and on the disk; 0, or none of both is taken. */
static int take_room(struct sender_lane *l, uint64_t items, uint64_t bytes, struct weir_verdict *ret) {
  struct sender *s = l->sender;
  struct spool_stats st;
  if (unit_of(s, items, bytes) > (uint64_t)s->config->queue.queue_size) {
    *ret = verdict_rejected(0, s->large_msg);
    return WEIR_E_INVALID;
  }
  if (queue_take_room(s, unit_of(s, items, bytes))) {
    *ret = verdict_retry(0, s->full_msg);
    return WEIR_E_LIMIT;
  }
  int r = spool_reserve(l->disk->disk->spool, bytes);
  if (!r) return 0;
  queue_give_room(l, unit_of(s, items, bytes));
  *ret = verdict_retry(0, r == WEIR_E_IO ? s->disk_failed_msg : s->disk_full_msg);
  spool_stats(l->disk->disk->spool, &st);
  if (r != WEIR_E_LIMIT || bytes <= st.max_bytes) return r;
  *ret = verdict_rejected(0, "the request is larger than the whole disk queue (max_size of file_storage)");
  return WEIR_E_INVALID;
}

int disk_reserve(struct sender_lane *l, const struct weir_batch *b, struct weir_verdict *ret) {
  uint64_t bytes = spool_record_bytes(disk_context_size(NULL, NULL, b->context), batch_bytes(b));
  int r = take_room(l, b->items, bytes, ret);
  if (r) return r;
  l->reserved += unit_of(l->sender, b->items, bytes);
  l->reserved_disk += bytes;
  return 0;
}

/* What a fan-out reserved; an edit on the way may have made it larger. */
static int use_reserved(struct sender_lane *l, const struct disk_record *r, struct weir_verdict *ret) {
  uint64_t use = r->bytes < l->reserved_disk ? r->bytes : l->reserved_disk;
  if (r->bytes > use && spool_reserve(l->disk->disk->spool, r->bytes - use)) {
    *ret = verdict_retry(0, l->sender->disk_full_msg);
    return WEIR_E_IO; /* it may not wait: the others have it */
  }
  l->reserved_disk -= use;
  queue_use_reserved(l, unit_of(l->sender, r->items, r->bytes));
  return 0;
}

/* In memory, too, unless the queue there is long, or what was there before waits on disk alone. */
static int keeps_in_memory(struct sender_lane *l, uint64_t bytes) {
  struct sender_disk *d = reader_of(l)->disk;
  if (!l->disk->stopped && !atomic_load(&d->unread) && atomic_load(&d->memory) + bytes <= DISK_MEMORY_MAX) return 1;
  atomic_store(&d->unread, 1);
  return 0;
}

static void append(struct sender_lane *l, struct disk_record *r) {
  struct sender_disk *d = l->disk;
  disk_count_in(d->disk, l->sender->config->queue.sizer, r->items, r->bytes);
  r->append.reserved = 1;
  r->append.keep = (uint8_t)keeps_in_memory(l, r->bytes);
  if (r->append.keep) atomic_fetch_add(&reader_of(l)->disk->memory, r->bytes);
  disk_op_begins(d);
  if (!disk_is_reader(l)) atomic_fetch_add(&l->sender->coming, 1);
  int e = spool_append(d->spool, &r->append);
  if (!e) return;
  r->append.op.error = e; /* as if the disk had said so */
  appended(&r->append);
}

int disk_put(struct sender_lane *l, struct weir_batch *b, int reserved) {
  const struct sender_config *c = l->sender->config;
  struct disk_record *r = disk_record_new(l);
  struct weir_verdict v;
  if (sender_gathers(l->sender)) batch_seal(b);
  int e = fill(r, b, &v);
  if (!e) e = reserved ? use_reserved(l, r, &v) : take_room(l, b->items, r->bytes, &v);
  if (!e) {
    append(l, r);
    return 0;
  }
  record_free(l, r);
  if (e == WEIR_E_LIMIT && c->queue.block_on_overflow) return WEIR_E_LIMIT;
  refuse(l, b, e == WEIR_E_IO ? REASON_STORAGE : REASON_QUEUE_FULL, &v);
  return 0;
}
