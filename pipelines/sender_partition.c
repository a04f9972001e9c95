/*
 * sending_queue.batch.partition: requests with different values of metadata_keys are gathered apart, and what is sent carries exactly these values.
 *
 * A partition stands while it holds something, so idle clients cost nothing. At most cache_size stand on a lane; for one more, the one that was used least
 * recently is sent early: nothing is refused, as it was taken already, but what is sent is smaller. Keys and limit are the Collector's, which also keeps empty ones.
 */
#include <stdlib.h>

#include "core/assert.h"
#include "core/pool.h"
#include "pipelines/sender_internal.h"

/* --- in the table, and in the order of last use ------------------------------------------------------------ */

static void use_unlink(struct partitions *all, struct partition *p) {
  if (p->older) p->older->newer = p->newer;
  else all->oldest = p->newer;
  if (p->newer) p->newer->older = p->older;
  else all->newest = p->older;
}

static void use_link(struct partitions *all, struct partition *p) {
  p->older = all->newest;
  p->newer = NULL;
  if (p->older) p->older->newer = p;
  else all->oldest = p;
  all->newest = p;
}

static struct partition *partition_new(struct sender_lane *l, uint64_t hash) {
  struct partition *p = calloc(1, sizeof *p);
  WEIR_ASSERT(p != NULL);
  p->lane = l;
  int bad = kit_table_add(&l->partitions.table, &p->node, hash);
  WEIR_ASSERT(!bad);
  use_link(&l->partitions, p);
  if (l->cells.partitions) metric_add_own(l->cells.partitions, 1);
  return p;
}

void partition_end(struct partition *p) {
  struct sender_lane *l = p->lane;
  WEIR_ASSERT(!p->gathered);
  timer_cancel(l->loop, &p->flush);
  kit_table_remove(&l->partitions.table, &p->node);
  use_unlink(&l->partitions, p);
  if (l->cells.partitions) metric_add_own(l->cells.partitions, -1);
  context_unref(p->context);
  free(p);
}

void partitions_done(struct sender_lane *l) {
  WEIR_ASSERT(l->partitions.table.n == 0);
  kit_table_done(&l->partitions.table);
}

/* --- whose it is ---------------------------------------------------------------------------------------------- */

/* A context of the keys' values alone; NULL where there are none. */
static int narrow(struct sender_lane *l, const struct weir_context *from, const struct weir_context **ret) {
  const struct kit_metadata_keys *keys = &l->sender->keys;
  struct weir_pair pairs[WEIR_CONTEXT_MAX_PAIRS];
  struct weir_error err;
  struct weir_context what = { .size = sizeof what, .metadata = pairs, .n_metadata = kit_metadata_pick(keys, from, pairs) };
  *ret = NULL;
  return what.n_metadata ? context_new(l->loop->pool, &what, ret, &err) : 0;
}

static void make_room(struct sender_lane *l) {
  if (l->partitions.table.n < (uint64_t)l->sender->config->queue.batch->cache_size) return;
  metric_add_own(l->cells.evicted, 1);
  partition_flush(l->partitions.oldest);
}

static struct partition *partition_open(struct sender_lane *l, const struct weir_context *context, uint64_t hash) {
  if (l->sender->keys.n) make_room(l);
  struct partition *p = partition_new(l, hash);
  if (l->sender->keys.n && narrow(l, context, &p->context)) {
    p->alone = 1;
    p->context = context_ref(context);
  }
  return p;
}

static struct partition *find(const struct sender_lane *l, const struct weir_batch *b, uint64_t hash) {
  for (struct kit_node *e = kit_table_first(&l->partitions.table, hash); e; e = kit_table_next(e)) {
    struct partition *p = (struct partition *)(void *)e;
    if (p->stored == b->stored && kit_metadata_same(&l->sender->keys, p->context, b->context)) return p;
  }
  return NULL;
}

struct partition *partition_for(struct sender_lane *l, struct weir_batch *b) {
  const struct sender *s = l->sender;
  uint64_t hash = kit_metadata_hash(&s->keys, b->context);
  struct partition *p = find(l, b, hash);
  if (p) {
    use_unlink(&l->partitions, p);
    use_link(&l->partitions, p);
  } else {
    p = partition_open(l, b->context, hash);
    p->stored = b->stored;
  }
  if (s->keys.n) batch_set_context(b, p->context); /* merging keeps it, as all have the same */
  return p;
}
