#include "pipelines/sender_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"

const char *const sender_reasons[N_REASONS] = { "permanent", "partial_success", "too_large", "retries_exhausted", "queue_full", "shutdown", "corrupt", "storage" };

/* --- metrics ------------------------------------------------------------------------------------------ */

/* What the Collector calls the items, in metric names. */
static const char *metric_items(uint32_t signal) {
  return signal == WEIR_TRACES ? "spans" : signal == WEIR_METRICS ? "metric_points" : "log_records";
}

static const char *signal_name(uint32_t signal) { return signal == WEIR_TRACES ? "traces" : signal == WEIR_METRICS ? "metrics" : "logs"; }

static struct weir_cell *items_counter(struct sender *s, const char *what, const char *labels, const char *help) {
  char name[96];
  snprintf(name, sizeof name, "otelcol_exporter_%s_%s_total", what, metric_items(s->signal));
  return metrics_cell(s->metrics, METRIC_COUNTER, name, labels, help, NULL, 0);
}

static struct weir_cell *cell(struct sender *s, int type, const char *name, const char *labels, const char *help) {
  return metrics_cell(s->metrics, type, name, labels, help, NULL, 0);
}

/* The Collector's buckets: the first are for items, all for bytes. */
#define N_ITEM_SIZES 22u
static const double batch_sizes[] = { 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 20000, 30000,
  50000, 100000, 200000, 300000, 400000, 500000, 600000, 700000, 800000, 900000, 1000000, 2000000, 3000000, 4000000, 5000000, 6000000, 7000000, 8000000,
  9000000 };

static void open_cells(struct sender *s, struct sender_cells *c) {
  char id[200], exporter[256], typed[320], labels[320];
  metrics_escape(s->id, id, sizeof id);
  snprintf(exporter, sizeof exporter, "exporter=\"%s\"", id);
  snprintf(typed, sizeof typed, "data_type=\"%s\",exporter=\"%s\"", signal_name(s->signal), id);
  snprintf(labels, sizeof labels, "exporter=\"%s\",signal=\"%s\"", id, signal_name(s->signal));
  c->sent = items_counter(s, "sent", exporter, "Items that reached the back end.");
  c->send_failed = items_counter(s, "send_failed", exporter, "Items that were given up after trying to send them.");
  c->enqueue_failed = items_counter(s, "enqueue_failed", exporter, "Items that found no room in the sending queue.");
  c->queue_size = cell(s, METRIC_GAUGE, "otelcol_exporter_queue_size", typed, "Room taken in the sending queue, in the unit of its sizer.");
  c->in_flight_requests = cell(s, METRIC_GAUGE, "otelcol_exporter_in_flight_requests", typed, "Requests that hold a consumer.");
  c->enqueued =
    cell(s, METRIC_COUNTER, "weir_sender_items_enqueued_total", labels, "Items that a sender took: sent + rejected + queued + in flight.");
  c->items_sent = cell(s, METRIC_COUNTER, "weir_sender_items_sent_total", labels, "Items that the back end took.");
  c->queued = cell(s, METRIC_GAUGE, "weir_sender_items_queued", labels, "Items that wait in a sender's queue.");
  c->in_flight = cell(s, METRIC_GAUGE, "weir_sender_items_in_flight", labels, "Items being sent or waiting for their next try.");
  if (sender_gathers(s)) {
    c->batch_items = metrics_cell(s->metrics, METRIC_HISTOGRAM, "otelcol_exporter_queue_batch_send_size", typed, "Items in a request that was gathered.",
      batch_sizes, N_ITEM_SIZES);
    c->batch_bytes = metrics_cell(s->metrics, METRIC_HISTOGRAM, "otelcol_exporter_queue_batch_send_size_bytes", typed,
      "Bytes of a request that was gathered, uncompressed.", batch_sizes, sizeof batch_sizes / sizeof *batch_sizes);
  }
  if (sender_gathers(s) && s->keys.n) {
    c->partitions = cell(s, METRIC_GAUGE, "otelcol_exporter_queue_batch_partition_cache_size", typed,
      "Combinations of partition.metadata_keys that are being gathered, added up over the lanes.");
    c->partitions_max = cell(s, METRIC_GAUGE, "otelcol_exporter_queue_batch_partition_cache_capacity", typed,
      "The most combinations that are gathered at the same time, added up over the lanes.");
    c->evicted = cell(s, METRIC_COUNTER, "weir_sender_partitions_evicted_total", labels,
      "Batches that were sent early, as there were more combinations of partition.metadata_keys than partition.cache_size.");
  }
  for (int i = 0; i < N_REASONS; i++) {
    char with_reason[400];
    snprintf(with_reason, sizeof with_reason, "%s,reason=\"%s\"", labels, sender_reasons[i]);
    c->rejected[i] = cell(s, METRIC_COUNTER, "weir_sender_items_rejected_total", with_reason, "Items that were given up, by reason.");
  }
}

static void release_cells(struct metrics *m, struct sender_cells *c) {
  struct weir_cell *all[] = { c->sent, c->send_failed, c->enqueue_failed, c->queue_size, c->in_flight_requests, c->enqueued, c->items_sent,
    c->queued, c->in_flight, c->batch_items, c->batch_bytes, c->partitions, c->partitions_max, c->evicted };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) metrics_release(m, all[i]);
  for (int i = 0; i < N_REASONS; i++) metrics_release(m, c->rejected[i]);
}

/* --- life --------------------------------------------------------------------------------------------- */

static const char *sizer_unit(const struct sender *s) {
  static const char *const units[] = { "requests", "items", "bytes" };
  return s->config->queue.sizer == SIZER_ITEMS ? s->items_name : units[s->config->queue.sizer];
}

struct sender *sender_new(const struct sender_config *config, const char *id, uint32_t signal, uint32_t n_lanes, struct metrics *metrics) {
  WEIR_ASSERT(n_lanes > 0);
  struct sender *s = calloc(1, sizeof *s);
  WEIR_ASSERT(s != NULL);
  s->config = config;
  s->id = id;
  s->signal = signal;
  s->items_name = signal == WEIR_TRACES ? "spans" : signal == WEIR_METRICS ? "data points" : "log records";
  s->max_lanes = n_lanes;
  int bad = sender_gathers(s) ? kit_metadata_keys_init(&s->keys, &config->queue.batch->metadata_keys) : 0;
  WEIR_ASSERT(!bad);
  s->metrics = metrics;
  s->used = &s->own_used;
  s->lanes = calloc(n_lanes, sizeof(struct sender_lane *));
  WEIR_ASSERT(s->lanes != NULL);
  snprintf(s->full_msg, sizeof s->full_msg, "sending queue of exporter `%s` is full", id);
  snprintf(s->large_msg, sizeof s->large_msg, "request is larger than the whole sending queue of exporter `%s` (queue_size: %lld %s)", id,
    (long long)config->queue.queue_size, sizer_unit(s));
  snprintf(s->disk_full_msg, sizeof s->disk_full_msg, "sending queue of exporter `%s` is full: its disk queue has reached max_size, or the disk is full", id);
  snprintf(s->disk_failed_msg, sizeof s->disk_failed_msg, "the disk queue of exporter `%s` can not write", id);
  if (config->queue.enabled) {
    char escaped[200], labels[320];
    snprintf(labels, sizeof labels, "data_type=\"%s\",exporter=\"%s\"", signal_name(signal), metrics_escape(id, escaped, sizeof escaped));
    s->capacity = cell(s, METRIC_GAUGE, "otelcol_exporter_queue_capacity", labels, "Size of the sending queue, in the unit of its sizer.");
    metric_put(s->capacity, config->queue.queue_size);
  }
  return s;
}

/* Consumers are divided among the lanes that send, at least one each. */
static uint32_t consumers_of(const struct sender *s, uint32_t lane) {
  if (!s->config->queue.enabled) return UINT32_MAX;
  uint32_t all = (uint32_t)s->config->queue.num_consumers, n = s->max_lanes;
  uint32_t share = all / n + (lane < all % n);
  return share ? share : 1;
}

static void lane_step(void *arg);
static void gather_on(void *arg) { sender_wake(arg); }

struct sender_lane *sender_add_lane(struct sender *s, struct loop *loop, struct weir_stage *exporter) {
  WEIR_ASSERT(s->n_lanes < s->max_lanes);
  WEIR_ASSERT(exporter || s->home);
  struct sender_lane *l = calloc(1, sizeof *l);
  WEIR_ASSERT(l != NULL);
  l->sender = s;
  l->loop = loop;
  l->exporter = exporter;
  l->queue.tail = &l->queue.head;
  l->parked.tail = &l->parked.head;
  l->ready.tail = &l->ready.head;
  l->done_tail = &l->done;
  l->step.fn = lane_step;
  l->step.arg = l;
  l->more.fn = gather_on;
  l->more.arg = l;
  l->random = (uint64_t)clock_unix_ns() ^ ((uint64_t)(uintptr_t)l << 16) ^ 0x9e3779b97f4a7c15u;
  int alone = exporter && exporter->lanes == 1; /* a one-lane exporter has all the consumers */
  l->max_active = alone && s->config->queue.enabled ? (uint32_t)s->config->queue.num_consumers : consumers_of(s, s->n_lanes);
  if (exporter && exporter->entry && exporter->entry->type.flags & WEIR_IN_ORDER && s->config->queue.enabled) s->in_order = 1;
  if (s->in_order) l->max_active = 1;
  open_cells(s, &l->cells);
  if (exporter && l->cells.partitions_max) metric_put(l->cells.partitions_max, s->config->queue.batch->cache_size);
  if (exporter && !s->home) s->home = l;
  s->lanes[s->n_lanes++] = l;
  return l;
}

static void lane_free(struct sender_lane *l) {
  WEIR_ASSERT(!l->queue.head && !l->parked.head && !l->ready.head && !l->active);
  partitions_done(l);
  disk_lane_done(l);
  dead_lane_done(l);
  for (struct attempt *a = l->spare, *next; a; a = next) {
    next = a->next;
    free(a);
  }
  release_cells(l->sender->metrics, &l->cells);
  free(l);
}

void sender_free(struct sender *s) {
  if (!s) return;
  for (uint32_t i = 0; i < s->n_lanes; i++) lane_free(s->lanes[i]);
  metrics_release(s->metrics, s->capacity);
  disk_unref(s->disk);
  disk_unref(s->dead);
  kit_metadata_keys_done(&s->keys);
  free(s->lanes);
  free(s);
}

/* --- taking batches ------------------------------------------------------------------------------------- */

static int can_never_fit(const struct sender *s, uint64_t n) {
  return s->config->queue.enabled && n > (uint64_t)s->config->queue.queue_size;
}

int sender_reserve(struct sender_lane *l, const struct weir_batch *b, struct weir_verdict *ret) {
  struct sender *s = l->sender;
  const struct sender_config *c = s->config;
  if (!c->queue.enabled || b->items == 0) return 0;
  int best_effort = c->queue.on_full != 0 || c->queue.block_on_overflow, r;
  uint64_t n = queue_unit(s, b);
  if (can_never_fit(s, n)) {
    if (best_effort && !c->queue.block_on_overflow) return 0;
    *ret = verdict_rejected(0, s->large_msg);
  } else if (best_effort) {
    return 0; /* it drops or parks by itself: it never refuses */
  } else if (l->disk) {
    r = disk_reserve(l, b, ret);
    if (!r) return 0;
  } else if (queue_take_room(s, n) == 0) {
    l->reserved += n;
    return 0;
  } else {
    *ret = verdict_retry(0, s->full_msg);
  }
  metric_add_own(l->cells.enqueue_failed, (int64_t)b->items);
  return WEIR_E_LIMIT;
}

struct sender_level sender_reserved(const struct sender_lane *l) { return (struct sender_level){ l->reserved, l->reserved_disk }; }

void sender_unreserve(struct sender_lane *l, struct sender_level level) {
  if (l->reserved_disk > level.disk) {
    spool_unreserve(l->disk->disk->spool, l->reserved_disk - level.disk);
    l->reserved_disk = level.disk;
  }
  if (l->reserved <= level.room) return;
  uint64_t unused = l->reserved - level.room;
  l->reserved = level.room;
  queue_give_room(l, unused);
}

/* Behind `ack: queued` and a stage that holds, it was answered for further up. */
void sender_turn_away(struct sender_lane *l, struct weir_batch *b, int reason, const struct weir_verdict *v) {
  if (b->n_acks > 0) {
    batch_settle(b, v);
    return;
  }
  log_warn(l->sender->id, "dropping %llu %s that were acknowledged: %s", (unsigned long long)b->items, l->sender->items_name, v->msg);
  metric_add_own(l->cells.enqueued, (int64_t)b->items);
  metric_add_own(l->cells.rejected[reason], (int64_t)b->items);
  atomic_fetch_add_explicit(&l->sender->lost, b->items, memory_order_relaxed);
  batch_settle(b, v);
}

void sender_drop(struct sender_lane *l, struct weir_batch *b, int reason, const char *why) {
  metric_add_own(l->cells.enqueued, (int64_t)b->items);
  metric_add_own(l->cells.rejected[reason], (int64_t)b->items);
  log_warn(l->sender->id, "dropping %s: %s (on_full: drop)", l->sender->items_name, why);
  struct weir_verdict v = verdict_delivered();
  batch_settle(b, &v);
}

/* No room. Takes. */
static void overflow(struct sender_lane *l, struct weir_batch *b) {
  struct sender *s = l->sender;
  int never = can_never_fit(s, b->charge);
  if (s->config->queue.block_on_overflow && !never) {
    queue_park(l, b);
    return;
  }
  metric_add_own(l->cells.enqueue_failed, (int64_t)b->items);
  struct weir_verdict v = never ? verdict_rejected(0, s->large_msg) : verdict_retry(0, s->full_msg);
  if (s->config->queue.on_full) { /* best effort: whoever sent it is not held up by this exporter */
    sender_drop(l, b, REASON_QUEUE_FULL, "the sending queue is full");
    return;
  }
  sender_turn_away(l, b, REASON_QUEUE_FULL, &v);
}

/* What a fan-out reserved. An edit on the way may have made the batch larger: that much is overdrawn, as it was admitted. */
void queue_use_reserved(struct sender_lane *l, uint64_t n) {
  uint64_t use = n < l->reserved ? n : l->reserved;
  l->reserved -= use;
  if (n > use) atomic_fetch_add(l->sender->used, n - use);
}

/* First come, first served: behind what is parked it waits, too. */
static void put_on_disk(struct sender_lane *l, struct weir_batch *b) {
  int was_reserved = b->reserved && l->reserved > 0;
  b->reserved = 0;
  b->charge = 0;
  if ((l->parked.head && !was_reserved) || disk_put(l, b, was_reserved) == WEIR_E_LIMIT) queue_park(l, b);
}

void sender_put(struct sender_lane *l, struct weir_batch *b) {
  struct sender *s = l->sender;
  if (b->items == 0) { /* OTLP lets empty envelopes be dropped */
    struct weir_verdict v = verdict_delivered();
    batch_settle(b, &v);
    return;
  }
  if (l->abandoned) {
    struct weir_verdict v = verdict_retry(0, "weir is shutting down");
    sender_turn_away(l, b, REASON_SHUTDOWN, &v);
    return;
  }
  if (l->disk && !b->ack_delivered) {
    put_on_disk(l, b);
    return;
  }
  if (sender_gathers(s)) batch_seal(b); /* it will wait for others */
  b->charge = s->config->queue.enabled ? queue_measure(s, b) : 0;
  int was_reserved = b->reserved && l->reserved > 0;
  b->reserved = 0;
  if (s->config->queue.enabled) {
    if (was_reserved) {
      queue_use_reserved(l, b->charge);
    } else if (l->parked.head && s->config->queue.block_on_overflow) { /* first come, first served */
      overflow(l, b);
      return;
    } else if (queue_take_room(s, b->charge)) {
      overflow(l, b);
      return;
    }
  }
  queue_enter(l, b);
}

void sender_done(struct sender_lane *l, struct weir_batch *b, const struct weir_verdict *v) {
  struct attempt *a = b->holder;
  WEIR_ASSERT(a != NULL && a->batch == b && a->lane == l && a->state == ATTEMPT_SENDING); /* else the exporter answered twice */
  a->state = ATTEMPT_DONE;
  a->verdict = *v;
  a->verdict.msg = NULL;
  if (v->msg && *v->msg) {
    snprintf(a->msg, sizeof a->msg, "%s", v->msg);
    a->verdict.msg = a->msg;
  }
  a->next_done = NULL;
  *l->done_tail = a;
  l->done_tail = &a->next_done;
  loop_defer(l->loop, &l->step);
}

void sender_give_up(struct sender_lane *l, struct weir_batch *b, int reason, const struct weir_verdict *v, int told) {
  if (b->stored && reason == REASON_SHUTDOWN) { /* it stays on disk */
    l->disk->given_back += b->items;
    batch_settle(b, v);
    return;
  }
  metric_add_own(l->cells.rejected[reason], (int64_t)b->items);
  metric_add_own(l->cells.send_failed, (int64_t)b->items);
  if (l->dead && reason != REASON_SHUTDOWN && (b->stored || b->n_acks == 0)) {
    dead_put(l, b, reason, v);
    return;
  }
  if ((b->stored || b->n_acks == 0) && !told) atomic_fetch_add_explicit(&l->sender->lost, b->items, memory_order_relaxed);
  struct weir_verdict over = b->stored ? verdict_rejected(0, v->msg) : *v; /* for the disk there is no other try */
  batch_settle(b, &over);
}

/* --- the lane's step ------------------------------------------------------------------------------------ */

static void handle_answers(struct sender_lane *l) {
  struct attempt *a = l->done;
  l->done = NULL;
  l->done_tail = &l->done;
  for (struct attempt *next; a; a = next) {
    next = a->next_done;
    attempt_handle(a);
  }
}

int sender_is_empty(const struct sender_lane *l) {
  if (l->queue.head || l->parked.head || l->partitions.table.n || l->ready.head || l->active) return 0;
  return (!l->disk || disk_is_done(l)) && (!l->dead || l->dead->n_ops == 0);
}

static void tell_drained(struct sender_lane *l) {
  if (!l->drained || !sender_is_empty(l)) return;
  weir_fn_f *fn = l->drained;
  l->drained = NULL;
  fn(l->drained_arg);
}

static void begin_all(struct sender_lane *l, struct batch_list *from) {
  while (from->head && l->n_active < l->max_active) {
    struct weir_batch *b = queue_pop(from);
    sender_count_queued(l, -(int64_t)b->items);
    if (b->stored) disk_left_queue(l, b);
    if (from == &l->ready) {
      metric_observe(l->cells.batch_items, (double)b->items);
      metric_observe(l->cells.batch_bytes, (double)batch_bytes(b));
    }
    attempt_begin(l, b);
  }
}

/* From the queue to consumers, by way of what is gathered. Steps that answers cause run in the same pass of the loop, so only a timer lets the rest of the lane run. */
static void gather_all(struct sender_lane *l) {
  begin_all(l, &l->ready);
  for (uint32_t n = 0; l->queue.head && !l->ready.head && !l->more.slot; n++) {
    if (n == SENDER_GATHER_MOST) {
      timer_set(l->loop, &l->more, 0);
      break;
    }
    gather_add(l, queue_pop(&l->queue));
    begin_all(l, &l->ready);
  }
  if (l->draining && !l->queue.head) gather_flush(l);
  begin_all(l, &l->ready);
}

static void lane_step(void *arg) {
  struct sender_lane *l = arg;
  atomic_store(&l->waking, 0);
  handle_answers(l);
  queue_unpark(l);
  if (!l->abandoned && sender_gathers(l->sender))
    gather_all(l);
  else if (!l->abandoned)
    begin_all(l, &l->queue);
  if (l->disk) disk_read_more(l);
  tell_drained(l);
}

void sender_count_queued(struct sender_lane *l, int64_t items) {
  if (l->disk)
    metric_add(l->disk->disk->cells.queued, items);
  else
    metric_add_own(l->cells.queued, items);
}

void sender_wake(struct sender_lane *l) { loop_defer(l->loop, &l->step); }

/* --- the end -------------------------------------------------------------------------------------------- */

void sender_drain(struct sender_lane *l, weir_fn_f *fn, void *arg) {
  l->draining = 1;
  l->drained = fn;
  l->drained_arg = arg;
  for (struct attempt *a = l->active, *next; a; a = next) {
    next = a->next;
    attempt_hurry(a);
  }
  sender_wake(l);
}

void sender_abandon(struct sender_lane *l) {
  l->abandoned = l->draining = 1;
  struct weir_verdict v = verdict_retry(0, "weir is shutting down");
  struct weir_batch *b;
  while ((b = queue_pop(&l->parked))) sender_turn_away(l, b, REASON_SHUTDOWN, &v);
  if (atomic_exchange(&l->has_parked, 0)) atomic_fetch_sub(&l->sender->parking, 1);
  gather_flush(l);
  if (l->disk) disk_stop(l);
  while ((b = queue_pop(&l->ready)) || (b = queue_pop(&l->queue))) {
    sender_count_queued(l, -(int64_t)b->items);
    queue_leave(l, b->charge);
    sender_give_up(l, b, REASON_SHUTDOWN, &v, 0);
  }
  for (struct attempt *a = l->active, *next; a; a = next) {
    next = a->next;
    if (!attempt_is_stored(a)) attempt_answer(a, &v);
    if (a->state == ATTEMPT_WAITING) attempt_abandon(a);
  }
}

void sender_leave(struct sender_lane *l) {
  uint64_t lost = 0;
  for (const struct attempt *a = l->active; a; a = a->next) {
    if (a->told || attempt_is_stored(a)) continue; /* what is on disk comes again */
    if (a->batch) lost += a->batch->items;
    for (const struct weir_batch *b = a->pieces; b; b = b->next) lost += b->items;
  }
  atomic_fetch_add_explicit(&l->sender->lost, lost, memory_order_relaxed);
}

void sender_close(struct sender_lane *l) {
  if (!l->abandoned) sender_abandon(l);
  handle_answers(l);
  while (l->active) attempt_abandon(l->active);
  loop_cancel(l->loop, &l->step);
  timer_cancel(l->loop, &l->more);
  if (l->disk) disk_detach(&l->disk->user);
  if (l->disk) timer_cancel(l->loop, &l->disk->pause);
}

uint64_t sender_items_sent(const struct sender *s) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < s->n_lanes; i++)
    n += (uint64_t)atomic_load_explicit(&s->lanes[i]->cells.items_sent->value, memory_order_relaxed);
  return n;
}

uint64_t sender_items_lost(const struct sender *s) {
  return atomic_load_explicit(&((struct sender *)(uintptr_t)s)->lost, memory_order_relaxed);
}
