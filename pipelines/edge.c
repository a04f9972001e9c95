#include "pipelines/edge.h"

#include <stdlib.h>

#include "core/assert.h"
#include "pipelines/sender.h"

static void consume(struct weir_stage *stage, struct weir_batch *b) {
  if (stage->state != STAGE_CLOSED) {
    stage_consume(stage, b);
    return;
  }
  struct weir_verdict v = verdict_retry(0, "weir is shutting down"); /* past the drain's deadline, consumers are closed before producers */
  batch_settle(b, &v);
}

static void arrive(void *arg) {
  struct weir_batch *b = arg;
  struct weir_stage *stage = b->holder;
  b->holder = NULL;
  consume(stage, b);
}

static void cross(const struct target *t, struct weir_batch *b, int bounded) {
  batch_cross(b, t->away);
  b->holder = t->stage;
  if (!bounded) {
    loop_post(t->away, arrive, b);
  } else if (loop_post_bounded(t->away, arrive, b)) {
    b->holder = NULL;
    struct weir_verdict v = verdict_retry(0, "the lane of a one-lane stage is behind");
    batch_settle(b, &v);
  }
}

static void hand_over(const struct target *t, struct weir_batch *b) {
  b->ack_delivered = t->ack_delivered;
  if (t->sender) {
    sender_put(t->sender, b);
    return;
  }
  int reserved = (int)b->reserved;
  if (t->holds) b->reserved = 0;
  if (t->away)
    cross(t, b, !reserved && b->n_acks > 0); /* a refusal of what nobody waits for would lose it */
  else
    consume(t->stage, b);
}

/* --- fan-out --------------------------------------------------------------------------------------------- */

/* The last one gets the batch itself. */
static void hand_to_all(struct edge *e, struct weir_batch *b) {
  for (uint32_t i = 0; i + 1 < e->n_targets; i++) {
    struct weir_batch *f = batch_fork(b);
    f->reserved = b->reserved;
    hand_over(&e->targets[i], f);
  }
  hand_over(&e->targets[e->n_targets - 1], b);
}

/* Inboxes are looked at, not reserved: two lanes may overshoot the bound by what they hand over in one step. */
static int inboxes_have_room(const struct edge *e) {
  for (uint32_t i = 0; i < e->n_targets; i++) {
    const struct loop *away = e->targets[i].away;
    if (away && atomic_load_explicit(&((struct loop *)(uintptr_t)away)->inbox_n, memory_order_relaxed) >= LOOP_INBOX_MAX) return 0;
  }
  return 1;
}

static void take_back(struct edge *e, uint32_t n, const struct sender_level *levels) {
  while (n-- > 0) sender_unreserve(e->reach[n], levels[n]);
}

static void fan_out(struct edge *e, struct weir_batch *b) {
  struct weir_verdict v = verdict_retry(0, "the lane of a one-lane stage is behind");
  struct sender_level levels[EDGE_REACH_MAX];
  uint32_t n = 0;
  int r = inboxes_have_room(e) ? 0 : WEIR_E_LIMIT;
  for (; n < e->n_reach && !r; n++) {
    levels[n] = sender_reserved(e->reach[n]);
    r = sender_reserve(e->reach[n], b, &v);
  }
  if (r) {
    take_back(e, n, levels);
    batch_settle(b, &v);
    return;
  }
  b->reserved = 1;
  hand_to_all(e, b);
  take_back(e, n, levels);
}

void edge_send(struct edge *e, struct weir_batch *b) {
  if (e->n_targets == 1) {
    hand_over(&e->targets[0], b);
  } else if (e->n_targets == 0) {
    struct weir_verdict v = verdict_rejected(0, "no pipeline takes this signal from here");
    batch_settle(b, &v);
  } else if (b->reserved || b->n_acks == 0) { /* nobody could send again what nobody waits for: each queue takes or counts it for itself */
    hand_to_all(e, b);
  } else {
    fan_out(e, b);
  }
}

void edge_done(struct edge *e) {
  free(e->targets);
  free((void *)e->reach);
  e->targets = NULL;
  e->reach = NULL;
  e->n_targets = e->n_reach = 0;
}
