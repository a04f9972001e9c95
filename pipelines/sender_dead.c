/*
 * Dead letters: what is given up for good goes to a queue of its own on disk, with the reason, before it leaves the sending queue. Nobody reads it but
 * `weir queue`; when it fills, the oldest are dropped, so that it never stands in the way.
 *
 * A batch that several requests were merged into is one dead letter. Of a partial success nothing is kept, as nobody says which items were refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/disk_context.h"
#include "pipelines/graph.h"
#include "pipelines/sender_internal.h"

#define MESSAGE_MAX 1024u

struct dead_letter {
  struct spool_append append;
  struct sender_lane *lane;
  struct weir_batch *batch;
  struct disk_payload payload;
  struct weir_verdict over; /* for who waits for the batch */
  char *context;
};

static void op_begins(struct sender_dead *d) {
  d->n_ops++;
  atomic_fetch_add(&d->disk->ops, 1);
}

static void op_ended(struct sender_lane *l) {
  l->dead->n_ops--;
  atomic_fetch_sub(&l->dead->disk->ops, 1);
  sender_wake(l);
}

/* --- room ----------------------------------------------------------------------------------------------------- */

static void purge(struct sender_lane *l);

static void purged(struct spool_read *r) {
  struct sender_lane *l = r->arg;
  struct sender_dead *d = l->dead;
  d->purging = 0;
  op_ended(l);
  if (!r->body) return;
  metric_add_own(d->dropped, (int64_t)r->items);
  log_warn(l->sender->id, "the dead letters' queue is full: the oldest %u %s are dropped", r->items, l->sender->items_name);
  body_free(r->body);
  spool_release(d->disk->spool, r->seq);
  purge(l);
}

/* Room comes back by whole files, so it is made before it is needed. */
static void purge(struct sender_lane *l) {
  struct sender_dead *d = l->dead;
  struct spool_stats s;
  spool_stats(d->disk->spool, &s);
  if (d->purging || s.bytes <= s.max_bytes / 2) return;
  d->purge.done = purged;
  d->purge.arg = l;
  if (!spool_read(d->spool, &d->purge)) return;
  d->purging = 1;
  op_begins(d);
}

/* --- a letter --------------------------------------------------------------------------------------------------- */

static void letter_free(struct dead_letter *m) {
  disk_payload_done(&m->payload);
  free(m->context);
  free(m);
}

static void settle(struct sender_lane *l, struct dead_letter *m, int stored) {
  struct weir_batch *b = m->batch;
  metric_add_own(stored ? l->dead->stored : l->dead->failed, (int64_t)b->items);
  if (!stored) {
    log_error(l->sender->id, "%llu %s could not be kept as dead letters", (unsigned long long)b->items, l->sender->items_name);
    atomic_fetch_add_explicit(&l->sender->lost, b->items, memory_order_relaxed);
  }
  batch_settle(b, &m->over);
  letter_free(m);
}

static void appended(struct spool_append *a) {
  struct dead_letter *m = a->arg;
  struct sender_lane *l = m->lane;
  op_ended(l);
  settle(l, m, a->op.error == 0);
  purge(l);
}

/* 0, or it can not be written. */
static int fill(struct dead_letter *m, int reason, const struct weir_verdict *v) {
  struct weir_batch *b = m->batch;
  const char *text = v->msg ? v->msg : "";
  struct weir_str why = { sender_reasons[reason], (uint32_t)strlen(sender_reasons[reason]), 0 }, message = { text, (uint32_t)strnlen(text, MESSAGE_MAX), 0 };
  const struct weir_context *context = b->context;
  if (disk_context_size(&why, &message, context) > SPOOL_CONTEXT_MAX) context = NULL;
  size_t n = disk_context_size(&why, &message, context);
  m->context = malloc(n);
  WEIR_ASSERT(m->context != NULL);
  disk_context_write(&why, &message, context, m->context);
  if (disk_payload_init(&m->payload, b)) return WEIR_E_NOMEM;
  struct spool_append *a = &m->append;
  a->iov = m->payload.iov;
  a->n_iov = m->payload.n_iov;
  a->context = m->context;
  a->context_n = (uint32_t)n;
  a->items = (uint32_t)b->items;
  a->signal = (uint8_t)b->signal;
  a->enqueue_unix_ns = clock_unix_ns();
  a->done = appended;
  a->arg = m;
  return 0;
}

void dead_put(struct sender_lane *l, struct weir_batch *b, int reason, const struct weir_verdict *v) {
  struct dead_letter *m = calloc(1, sizeof *m);
  WEIR_ASSERT(m != NULL);
  m->lane = l;
  m->batch = b;
  m->over = verdict_rejected(0, NULL);
  if (fill(m, reason, v) || spool_append(l->dead->spool, &m->append)) {
    settle(l, m, 0);
    purge(l);
    return;
  }
  op_begins(l->dead);
}

/* --- back into the sending queue ---------------------------------------------------------------------------------- */

static void replay_next(struct sender_lane *l);

/* It stays: a person may look at it, or drop it. */
static void skip(struct sender_lane *l, const struct spool_read *r) {
  struct sender_dead *d = l->dead;
  d->unreadable = realloc(d->unreadable, (d->n_unreadable + 1) * sizeof *d->unreadable);
  WEIR_ASSERT(d->unreadable != NULL);
  d->unreadable[d->n_unreadable++] = r->seq;
  metric_add_own(d->skipped, (int64_t)r->items);
  log_warn(l->sender->id, "a dead letter of %u %s is no request: it stays where it is", r->items, l->sender->items_name);
}

static void end_replay(struct sender_lane *l, const char *why) {
  for (size_t i = 0; i < l->dead->n_unreadable; i++) spool_return(l->dead->disk->spool, l->dead->unreadable[i]);
  l->dead->n_unreadable = 0;
  l->dead->replaying = 0;
  if (why) log_warn(l->sender->id, "dead letters: %s; the rest stays where it is", why);
}

/* It is in the sending queue, or was refused there. What fails for good once more is a new letter, at the end. */
static void on_replayed(void *arg, const struct weir_verdict *v) {
  struct sender_lane *l = arg;
  op_ended(l);
  if (v->code != WEIR_DELIVERED) {
    spool_return(l->dead->disk->spool, l->dead->replay.seq);
    end_replay(l, v->msg ? v->msg : "the sending queue refuses them");
    return;
  }
  spool_release(l->dead->disk->spool, l->dead->replay.seq);
  replay_next(l);
}

static void read_back(struct spool_read *r) {
  struct sender_lane *l = r->arg;
  struct weir_batch *b = NULL;
  op_ended(l);
  int e = r->body ? disk_batch_of(l, r, &b) : 0;
  if (!r->body) {
    end_replay(l, r->op.error ? "the disk can not be read" : NULL);
  } else if (e == WEIR_E_INVALID) {
    skip(l, r);
    replay_next(l);
  } else if (e) {
    spool_return(l->dead->disk->spool, r->seq);
    end_replay(l, "there is no memory to read one");
  } else {
    op_begins(l->dead);
    batch_on_verdict(b, on_replayed, l);
    sender_put(l, b);
  }
}

static void replay_next(struct sender_lane *l) {
  struct sender_dead *d = l->dead;
  d->replay.done = read_back;
  d->replay.arg = l;
  if (l->draining || d->to_replay == 0 || !spool_read(d->spool, &d->replay)) {
    end_replay(l, NULL);
    return;
  }
  d->to_replay--;
  op_begins(d);
}

static void begin_replay(void *arg) {
  struct sender_lane *l = arg;
  struct spool_stats s;
  spool_stats(l->dead->disk->spool, &s);
  l->dead->to_replay = s.unread;
  if (l->dead->replaying) return;
  l->dead->replaying = 1;
  replay_next(l);
}

int sender_replay(struct sender *s, const char *queue, uint64_t *ret_items) {
  struct spool_stats st;
  if (!s->dead || strcmp(strrchr(s->dead->path, '/') + 1, queue) != 0) return WEIR_E_STATE;
  spool_stats(s->dead->spool, &st);
  *ret_items = st.items;
  loop_call(s->home->loop, begin_replay, s->home);
  return 0;
}

/* --- life ---------------------------------------------------------------------------------------------------------- */

static struct weir_cell *counter(struct sender_lane *l, const char *outcome) {
  char id[200], labels[400];
  metrics_escape(l->sender->id, id, sizeof id);
  snprintf(labels, sizeof labels, "exporter=\"%s\",outcome=\"%s\",signal=\"%s\"", id, outcome, graph_signal_name(l->sender->signal));
  return metrics_cell(l->sender->metrics, METRIC_COUNTER, "weir_dead_letter_items_total", labels,
    "Items that were given up for good: stored as dead letters, dropped from there as the oldest, failed to be stored, or skipped by a replay as they can not be read.", NULL, 0);
}

void dead_open_cells(struct sender_lane *l) {
  l->dead->stored = counter(l, "stored");
  l->dead->dropped = counter(l, "dropped");
  l->dead->failed = counter(l, "failed");
  l->dead->skipped = counter(l, "skipped");
}

void dead_lane_done(struct sender_lane *l) {
  struct sender_dead *d = l->dead;
  if (!d) return;
  WEIR_ASSERT(d->n_ops == 0);
  metrics_release(l->sender->metrics, d->stored);
  metrics_release(l->sender->metrics, d->dropped);
  metrics_release(l->sender->metrics, d->failed);
  metrics_release(l->sender->metrics, d->skipped);
  free(d->unreadable);
  free(d);
  l->dead = NULL;
}
