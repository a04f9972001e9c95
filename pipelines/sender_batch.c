/*
 * sending_queue.batch, as the Collector's exporterhelper has it: requests leave the queue into one that grows until it has min_size or flush_timeout
 * has passed, is cut at max_size, and then waits for a consumer. Each lane gathers its own, one for each partition. Whoever waits for a request waits for every piece that
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
static struct weir_batch *cut(struct partition *p) {
  struct sender_lane *l = p->lane;
  uint64_t max = (uint64_t)config_of(l)->max_size, size;
  struct weir_batch *head = split(p->gathered, by_bytes(l) ? share(p->gathered->items, max, p->size) : max);
  while (head && by_bytes(l) && head->items > 1 && (size = batch_measure(head)) > max) {
    struct weir_batch *less = split(head, share(head->items, max, size));
    if (!less) break;
    p->gathered = merge(head, p->gathered);
    head = less;
  }
  return head;
}

/* Cuts while there is more than max_size; whether it did. What is left in bytes is only estimated until it may be the last, as measuring means encoding. */
static int cut_all(struct partition *p) {
  struct sender_lane *l = p->lane;
  uint64_t max = (uint64_t)config_of(l)->max_size;
  int any = 0;
  while (max && p->size > max) {
    struct weir_batch *head = cut(p);
    if (!head) return any;
    uint64_t gone = size_of(l, head);
    queue_push(&l->ready, head);
    any = 1;
    p->size = p->size > gone ? p->size - gone : 0;
    if (p->size <= max) p->size = size_of(l, p->gathered);
  }
  return any;
}

void partition_flush(struct partition *p) {
  queue_push(&p->lane->ready, p->gathered);
  p->gathered = NULL;
  partition_end(p);
}

void gather_flush(struct sender_lane *l) {
  while (l->partitions.oldest) partition_flush(l->partitions.oldest);
}

static void on_timeout(void *arg) {
  struct partition *p = arg;
  struct sender_lane *l = p->lane;
  partition_flush(p);
  sender_wake(l);
}

void gather_add(struct sender_lane *l, struct weir_batch *b) {
  const struct sender_batch_config *c = config_of(l);
  struct partition *p = partition_for(l, b);
  int first = !p->gathered;
  p->size += size_of(l, b);
  p->gathered = first ? b : merge(p->gathered, b);
  if (cut_all(p) || first) {
    p->flush.fn = on_timeout;
    p->flush.arg = p;
    timer_set(l->loop, &p->flush, c->flush_timeout_ns);
  }
  if (p->alone || p->size >= (uint64_t)c->min_size) partition_flush(p);
}
