#include "pipelines/sender_internal.h"

#include "core/clock.h"

/* Room, the FIFO of each lane, and the batches that wait for room. */

uint64_t queue_unit(const struct sender *s, const struct weir_batch *b) {
  if (s->config->queue.sizer == SIZER_ITEMS) return b->items;
  return s->config->queue.sizer == SIZER_BYTES ? batch_bytes(b) : 1;
}

uint64_t queue_measure(const struct sender *s, struct weir_batch *b) {
  return s->config->queue.sizer == SIZER_BYTES ? batch_measure(b) : queue_unit(s, b);
}

int queue_take_room(struct sender *s, uint64_t n) {
  uint64_t size = (uint64_t)s->config->queue.queue_size, used = atomic_load(s->used);
  do {
    if (used > size || n > size - used) return WEIR_E_LIMIT;
  } while (!atomic_compare_exchange_weak(s->used, &used, used + n));
  return 0;
}

static void woken(void *arg) { sender_wake(arg); }

/* Another lane's parked batches may fit now. */
static void wake_parked(struct sender *s, const struct sender_lane *from) {
  for (uint32_t i = 0; i < s->n_lanes; i++) {
    struct sender_lane *l = s->lanes[i];
    if (!atomic_load(&l->has_parked)) continue;
    if (l == from)
      sender_wake(l);
    else if (!atomic_exchange(&l->waking, 1))
      loop_post(l->loop, woken, l);
  }
}

void queue_wake_parked(struct sender_lane *l) {
  if (atomic_load(&l->sender->parking)) wake_parked(l->sender, l);
}

void queue_give_room(struct sender_lane *l, uint64_t n) {
  if (n == 0) return;
  struct sender *s = l->sender;
  atomic_fetch_sub(s->used, n);
  queue_wake_parked(l);
}

void queue_leave(struct sender_lane *l, uint64_t n) {
  metric_add_own(l->cells.queue_size, -(int64_t)n);
  queue_give_room(l, n);
}

void queue_push(struct batch_list *list, struct weir_batch *b) {
  b->next = NULL;
  *list->tail = b;
  list->tail = &b->next;
}

struct weir_batch *queue_pop(struct batch_list *list) {
  struct weir_batch *b = list->head;
  if (!b) return NULL;
  list->head = b->next;
  if (!list->head) list->tail = &list->head;
  b->next = NULL;
  return b;
}

static void line_up(struct sender_lane *l, struct weir_batch *b) {
  sender_count_queued(l, (int64_t)b->items);
  b->enqueued_ns = clock_mono_ns();
  queue_push(&l->queue, b);
  if (l->n_active < l->max_active || sender_gathers(l->sender)) sender_wake(l);
}

/* The batch came from a lane without the exporter; it brought its room along. */
static void arrived(void *arg) {
  struct weir_batch *b = arg;
  struct sender_lane *l = b->holder;
  b->holder = NULL;
  if (!l->abandoned) {
    line_up(l, b);
    return;
  }
  struct weir_verdict v = verdict_retry(0, "weir is shutting down");
  queue_leave(l, b->charge);
  sender_give_up(l, b, REASON_SHUTDOWN, &v, 0);
}

void queue_enter(struct sender_lane *l, struct weir_batch *b) {
  const struct sender_config *c = l->sender->config;
  metric_add_own(l->cells.enqueued, (int64_t)b->items);
  metric_add_own(l->cells.queue_size, (int64_t)b->charge);
  if (c->queue.enabled && !c->queue.wait_for_result && !b->ack_delivered) {
    struct weir_verdict v = verdict_delivered();
    batch_answer(b, &v);
  }
  if (l->exporter) {
    line_up(l, b);
    return;
  }
  struct sender_lane *home = l->sender->home;
  batch_cross(b, home->loop);
  b->holder = home;
  loop_post(home->loop, arrived, b); /* bounded by queue_size; without a queue by the receivers, who wait */
}

void queue_park(struct sender_lane *l, struct weir_batch *b) {
  queue_push(&l->parked, b);
  if (!atomic_exchange(&l->has_parked, 1)) atomic_fetch_add(&l->sender->parking, 1);
  sender_wake(l); /* tries once more: room that was given back before `parking` was seen woke nobody */
}

static int unpark_one(struct sender_lane *l) {
  struct weir_batch *b = l->parked.head, *next = b->next;
  int to_disk = l->disk && !b->ack_delivered;
  if (to_disk ? disk_put(l, b, 0) == WEIR_E_LIMIT : queue_take_room(l->sender, b->charge) != 0) return 0;
  l->parked.head = next;
  if (!next) l->parked.tail = &l->parked.head;
  if (!to_disk) queue_enter(l, b);
  return 1;
}

void queue_unpark(struct sender_lane *l) {
  while (l->parked.head && unpark_one(l)) continue;
  if (!l->parked.head && atomic_exchange(&l->has_parked, 0)) atomic_fetch_sub(&l->sender->parking, 1);
}
