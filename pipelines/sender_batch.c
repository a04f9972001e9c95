/*
 * sending_queue.batch, as the Collector's exporterhelper has it: requests leave the queue into one that grows until it has min_size or flush_timeout
 * has passed, is cut at max_size, and then waits for a consumer. Each lane gathers its own. Whoever waits for a request waits for every piece that
 * its items are in (core/batch.h). Room in the queue is given back when a piece has been sent, in proportion to its items.
 */
#include "core/assert.h"
#include "pipelines/sender_internal.h"

static const struct sender_batch_config *config_of(const struct sender_lane *l) { return l->sender->config->queue.batch; }

static int by_bytes(const struct sender_lane *l) { return sender_batch_sizer(l->sender->config) == SIZER_BYTES; }

static uint64_t size_of(const struct sender_lane *l, struct weir_batch *b) { return by_bytes(l) ? batch_measure(b) : b->items; }

/* The first items, with their share of the room. */
static struct weir_batch *split(struct weir_batch *b, uint64_t items) {
  uint64_t all = b->items, charge = b->charge;
  struct weir_batch *head = batch_split(b, items);
  if (!head) return NULL;
  head->charge = charge / all * head->items + charge % all * head->items / all;
  b->charge = charge - head->charge;
  return head;
}

static struct weir_batch *merge(struct weir_batch *into, struct weir_batch *from) {
  uint64_t charge = into->charge + from->charge;
  batch_merge(into, from, 0);
  into->charge = charge;
  return into;
}

static uint64_t share(uint64_t items, uint64_t max, uint64_t size) {
  uint64_t n = (uint64_t)((double)items * ((double)max / (double)size));
  return n < 1 ? 1 : n < items ? n : items - 1;
}

/* At most max_size from the front of what is gathered. Bytes are not spread evenly: what is too much goes back. NULL: one item alone, which is larger. */
static struct weir_batch *cut(struct sender_lane *l) {
  uint64_t max = (uint64_t)config_of(l)->max_size, size;
  struct weir_batch *head = split(l->gathered, by_bytes(l) ? share(l->gathered->items, max, l->gathered_size) : max);
  while (head && by_bytes(l) && head->items > 1 && (size = batch_measure(head)) > max) {
    struct weir_batch *less = split(head, share(head->items, max, size));
    if (!less) break;
    l->gathered = merge(head, l->gathered);
    head = less;
  }
  return head;
}

/* Cuts while there is more than max_size; whether it did. What is left in bytes is only estimated until it may be the last, as measuring means encoding. */
static int cut_all(struct sender_lane *l) {
  uint64_t max = (uint64_t)config_of(l)->max_size;
  int any = 0;
  while (max && l->gathered_size > max) {
    struct weir_batch *head = cut(l);
    if (!head) return any;
    uint64_t gone = size_of(l, head);
    queue_push(&l->ready, head);
    any = 1;
    l->gathered_size = l->gathered_size > gone ? l->gathered_size - gone : 0;
    if (l->gathered_size <= max) l->gathered_size = size_of(l, l->gathered);
  }
  return any;
}

void gather_flush(struct sender_lane *l) {
  timer_cancel(l->loop, &l->flush);
  if (!l->gathered) return;
  queue_push(&l->ready, l->gathered);
  l->gathered = NULL;
  l->gathered_size = 0;
}

static void on_timeout(void *arg) {
  struct sender_lane *l = arg;
  gather_flush(l);
  sender_wake(l);
}

void gather_add(struct sender_lane *l, struct weir_batch *b) {
  const struct sender_batch_config *c = config_of(l);
  int first = !l->gathered;
  l->gathered_size += size_of(l, b);
  l->gathered = first ? b : merge(l->gathered, b);
  if (cut_all(l) || first) {
    l->flush.fn = on_timeout;
    l->flush.arg = l;
    timer_set(l->loop, &l->flush, c->flush_timeout_ns);
  }
  if (l->gathered_size >= (uint64_t)c->min_size) gather_flush(l);
}
