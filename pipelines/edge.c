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

/* --- placement by key -------------------------------------------------------------------------------------- */

static int has_room(const struct loop *l) {
  return atomic_load_explicit(&((struct loop *)(uintptr_t)l)->inbox_n, memory_order_relaxed) < LOOP_INBOX_MAX;
}

static void give_piece(const struct placement *p, uint32_t lane, struct weir_batch *piece) {
  if (p->senders) sender_put(p->senders[lane], piece);
  else consume(p->stages[lane], piece);
}

static void piece_arrives(void *arg) {
  struct weir_batch *piece = arg;
  const struct placement *p = piece->holder;
  piece->holder = NULL;
  give_piece(p, piece->loop->id, piece);
}

static void post_piece(const struct placement *p, uint32_t lane, struct weir_batch *piece) {
  struct loop *to = p->stages[lane]->loop;
  batch_cross(piece, to);
  piece->holder = (void *)(uintptr_t)p;
  loop_post(to, piece_arrives, piece);
}

/* A refusal after a piece was taken would make a duplicate of it, so all lanes that get something are looked at before. */
static int pieces_have_room(const struct placement *p, uint32_t own, struct weir_batch *const *pieces) {
  for (uint32_t i = 0; i < p->n; i++)
    if (pieces[i] && i != own && !has_room(p->stages[i]->loop)) return 0;
  return 1;
}

static const char placed_lane_is_behind[] = "a lane that gets records by their key is behind";

/* The other lanes first: they work while this one does. */
static void place(const struct placement *p, uint32_t own, struct weir_batch *b) {
  struct weir_batch *pieces[PART_LANES_MAX];
  struct weir_error err = { 0 };
  int bounded = !b->reserved && b->n_acks > 0;
  b->reserved = 0; /* what comes out of the pieces' stages reserves for itself */
  if (batch_place(b, p->key, p->n, own, pieces, &err)) {
    struct weir_verdict v = verdict_retry(0, err.msg);
    batch_settle(b, &v);
    return;
  }
  int refused = bounded && !pieces_have_room(p, own, pieces);
  struct weir_verdict behind = verdict_retry(0, placed_lane_is_behind);
  for (uint32_t i = 0; i < p->n; i++) {
    if (!pieces[i]) continue;
    if (refused) batch_settle(pieces[i], &behind);
    else if (i != own) post_piece(p, i, pieces[i]);
  }
  if (pieces[own] && !refused) give_piece(p, own, pieces[own]);
}

static void hand_over(const struct target *t, struct weir_batch *b) {
  b->ack_delivered = t->ack_delivered;
  if (t->placement) {
    place(t->placement, t->lane, b);
    return;
  }
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

/* Inboxes are looked at, not reserved: two lanes may overshoot the bound by what they hand over in one step. Which lanes get something of a batch that is placed by key is
 * not known yet: all must have room. NULL, or why not. */
static const char *inbox_without_room(const struct edge *e) {
  for (uint32_t i = 0; i < e->n_targets; i++) {
    const struct target *t = &e->targets[i];
    if (t->away && !has_room(t->away)) return "the lane of a one-lane stage is behind";
    for (uint32_t k = 0; t->placement && k < t->placement->n; k++)
      if (k != t->lane && !has_room(t->placement->stages[k]->loop)) return placed_lane_is_behind;
  }
  return NULL;
}

static void take_back(struct edge *e, uint32_t n, const struct sender_level *levels) {
  while (n-- > 0) sender_unreserve(e->reach[n], levels[n]);
}

static void fan_out(struct edge *e, struct weir_batch *b) {
  const char *behind = inbox_without_room(e);
  struct weir_verdict v = verdict_retry(0, behind);
  struct sender_level levels[EDGE_REACH_MAX];
  uint32_t n = 0;
  int r = behind ? WEIR_E_LIMIT : 0;
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
