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

#define BUCKETS 1024u /* of partitions, by the hash of their values; a power of two */

static uint32_t n_buckets(const struct sender *s) { return s->keys.n ? BUCKETS : 1; }

/* --- in its bucket, and in the order of last use ------------------------------------------------------------ */

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

static struct partition *partition_new(struct sender_lane *l, struct partition **bucket) {
  struct partition *p = calloc(1, sizeof *p);
  WEIR_ASSERT(p != NULL);
  p->lane = l;
  p->bucket = bucket;
  p->next_of_bucket = *bucket;
  *bucket = p;
  use_link(&l->partitions, p);
  l->partitions.n++;
  if (l->cells.partitions) metric_add_own(l->cells.partitions, 1);
  return p;
}

void partition_end(struct partition *p) {
  struct sender_lane *l = p->lane;
  struct partition **at = p->bucket;
  WEIR_ASSERT(!p->gathered);
  timer_cancel(l->loop, &p->flush);
  while (*at != p) at = &(*at)->next_of_bucket;
  *at = p->next_of_bucket;
  use_unlink(&l->partitions, p);
  l->partitions.n--;
  if (l->cells.partitions) metric_add_own(l->cells.partitions, -1);
  context_unref(p->context);
  free(p);
}

void partitions_done(struct sender_lane *l) {
  WEIR_ASSERT(l->partitions.n == 0);
  free(l->partitions.buckets);
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
  if (l->partitions.n < (uint64_t)l->sender->config->queue.batch->cache_size) return;
  metric_add_own(l->cells.evicted, 1);
  partition_flush(l->partitions.oldest);
}

static struct partition *partition_open(struct sender_lane *l, const struct weir_context *context, struct partition **bucket) {
  if (l->sender->keys.n) make_room(l);
  struct partition *p = partition_new(l, bucket);
  if (l->sender->keys.n && narrow(l, context, &p->context)) {
    p->alone = 1;
    p->context = context_ref(context);
  }
  return p;
}

struct partition *partition_for(struct sender_lane *l, struct weir_batch *b) {
  const struct sender *s = l->sender;
  if (!l->partitions.buckets) l->partitions.buckets = calloc(n_buckets(s), sizeof *l->partitions.buckets);
  WEIR_ASSERT(l->partitions.buckets != NULL);
  struct partition **bucket = &l->partitions.buckets[kit_metadata_hash(&s->keys, b->context) & (n_buckets(s) - 1)], *p = *bucket;
  while (p && (p->stored != b->stored || !kit_metadata_same(&s->keys, p->context, b->context))) p = p->next_of_bucket;
  if (p) {
    use_unlink(&l->partitions, p);
    use_link(&l->partitions, p);
  } else {
    p = partition_open(l, b->context, bucket);
    p->stored = b->stored;
  }
  if (s->keys.n) batch_set_context(b, p->context); /* merging keeps it, as all have the same */
  return p;
}
