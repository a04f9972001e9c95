#include "core/batch.h"

#include <stdlib.h>
#include <string.h>

#include "core/ack.h"
#include "core/assert.h"

struct weir_batch *batch_new(struct loop *loop, uint32_t signal) {
  struct weir_batch *b = calloc(1, sizeof *b);
  WEIR_ASSERT(b != NULL);
  b->magic = BATCH_MAGIC;
  b->signal = signal;
  b->loop = loop;
  b->parts = b->parts_inline;
  b->cap_parts = sizeof b->parts_inline / sizeof *b->parts_inline;
  b->acks = b->acks_inline;
  b->cap_acks = sizeof b->acks_inline / sizeof *b->acks_inline;
  arena_init(&b->scratch, loop->pool, 0);
  return b;
}

/* Room for one more pointer in a list that starts inline. */
static void *grow(void *list, void *inline_list, uint32_t n, uint32_t *cap) {
  if (n < *cap) return list;
  *cap *= 2;
  void *grown = list == inline_list ? malloc(*cap * sizeof(void *)) : realloc(list, *cap * sizeof(void *));
  WEIR_ASSERT(grown != NULL);
  if (list == inline_list) memcpy(grown, list, n * sizeof(void *));
  return grown;
}

/* Parts changed: what was made from them is stale. */
static void forget_caches(struct weir_batch *b) {
  b->wire_valid = b->view_valid = 0;
  b->wire.n = 0;
}

static void add_part(struct weir_batch *b, struct part *part) {
  b->parts = grow(b->parts, b->parts_inline, b->n_parts, &b->cap_parts);
  b->parts[b->n_parts++] = part;
  b->items += part->items;
  forget_caches(b);
}

static void add_ack(struct weir_batch *b, struct ack *a) {
  b->acks = grow(b->acks, b->acks_inline, b->n_acks, &b->cap_acks);
  b->acks[b->n_acks++] = a;
}

struct weir_batch *batch_of_part(struct loop *loop, struct part *part) {
  struct weir_batch *b = batch_new(loop, part->signal);
  add_part(b, part);
  return b;
}

void batch_free(struct weir_batch *b) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  WEIR_ASSERT(b->n_acks == 0);
  for (uint32_t i = 0; i < b->n_parts; i++) part_unref(b->parts[i]);
  if (b->parts != b->parts_inline) free(b->parts);
  if (b->acks != b->acks_inline) free(b->acks);
  free(b->parents);
  iov_done(&b->wire);
  arena_done(&b->scratch);
  context_unref(b->context);
  b->magic = 0;
  free(b);
}

static void settle_acks(struct weir_batch *b, const struct weir_verdict *v) {
  struct weir_verdict w = *v;
  if (w.code == WEIR_REJECTED && w.rejected == 0 && b->n_acks == 1)
    w.rejected = b->items; /* "all", in items, so that branches can be added */
  for (uint32_t i = 0; i < b->n_acks; i++) ack_settle(b->acks[i], &w);
  b->n_acks = b->n_parents = 0;
}

void batch_settle(struct weir_batch *b, const struct weir_verdict *v) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  settle_acks(b, v);
  batch_free(b);
}

void batch_answer(struct weir_batch *b, const struct weir_verdict *v) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  settle_acks(b, v);
}

void batch_on_verdict(struct weir_batch *b, weir_ack_f *fn, void *arg) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  add_ack(b, ack_new(b->loop, fn, arg));
}

static void share_ack(struct weir_batch *to, struct ack *a) {
  ack_share(a);
  add_ack(to, a);
}

/* --- whose items are whose ---------------------------------------------------------------------------------- */

static void add_parent(struct weir_batch *b, uint64_t items, uint32_t n_acks) {
  if (b->n_parents == b->cap_parents) {
    b->cap_parents = b->cap_parents ? b->cap_parents * 2 : 8;
    b->parents = realloc(b->parents, b->cap_parents * sizeof *b->parents);
    WEIR_ASSERT(b->parents != NULL);
  }
  b->parents[b->n_parents++] = (struct batch_parent){ .items = items, .n_acks = n_acks };
}

static void add_parents_of(struct weir_batch *to, const struct weir_batch *b) {
  for (uint32_t i = 0; i < b->n_parents; i++) add_parent(to, b->parents[i].items, b->parents[i].n_acks);
  if (b->n_parents == 0 && (b->items || b->n_acks)) add_parent(to, b->items, b->n_acks);
}

static int knows_parents(const struct weir_batch *b) {
  uint64_t items = 0, acks = 0;
  for (uint32_t i = 0; i < b->n_parents; i++) {
    items += b->parents[i].items;
    acks += b->parents[i].n_acks;
  }
  return b->n_parents > 0 && items == b->items && acks == b->n_acks;
}

/* The acks of the first head->items items go to the head, those that stand on both sides are shared. Before the items move. */
static void split_acks(struct weir_batch *b, struct weir_batch *head, uint64_t items) {
  if (!knows_parents(b)) {
    b->n_parents = 0;
    for (uint32_t i = 0; i < b->n_acks; i++) share_ack(head, b->acks[i]);
    return;
  }
  uint32_t n = 0, gone = 0;
  for (; n < b->n_parents && b->parents[n].items <= items; n++) {
    struct batch_parent *p = &b->parents[n];
    items -= p->items;
    for (uint32_t i = 0; i < p->n_acks; i++) add_ack(head, b->acks[gone + i]);
    gone += p->n_acks;
    add_parent(head, p->items, p->n_acks);
  }
  memmove(b->acks, b->acks + gone, (b->n_acks - gone) * sizeof *b->acks);
  b->n_acks -= gone;
  memmove(b->parents, b->parents + n, (b->n_parents - n) * sizeof *b->parents);
  b->n_parents -= n;
  if (items == 0) return;
  for (uint32_t i = 0; i < b->parents[0].n_acks; i++) share_ack(head, b->acks[i]);
  add_parent(head, items, b->parents[0].n_acks);
  b->parents[0].items -= items;
}

/* --- context --------------------------------------------------------------------------------------------------- */

void batch_set_context(struct weir_batch *b, const struct weir_context *context) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  context_ref(context);
  context_unref(b->context);
  b->context = context;
}

static void merge_contexts(struct weir_batch *into, const struct weir_batch *from) {
  if (from->n_parts == 0) return;
  if (into->n_parts == 0) batch_set_context(into, from->context);
  else if (!context_equal(into->context, from->context)) batch_set_context(into, NULL);
}

/* --- forks, merges, cuts ------------------------------------------------------------------------------------- */

struct weir_batch *batch_fork(struct weir_batch *b) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  struct weir_batch *f = batch_new(b->loop, b->signal);
  for (uint32_t i = 0; i < b->n_parts; i++) add_part(f, part_ref(b->parts[i]));
  for (uint32_t i = 0; i < b->n_acks; i++) share_ack(f, b->acks[i]);
  for (uint32_t i = 0; i < b->n_parents; i++) add_parent(f, b->parents[i].items, b->parents[i].n_acks);
  f->ack_delivered = b->ack_delivered;
  f->context = context_ref(b->context);
  return f;
}

void batch_merge(struct weir_batch *into, struct weir_batch *from, int settle_now) {
  CHECK_MAGIC(into, BATCH_MAGIC);
  CHECK_MAGIC(from, BATCH_MAGIC);
  WEIR_ASSERT(into->signal == from->signal);
  if (!settle_now) {
    if (into->n_parents == 0) add_parents_of(into, into);
    add_parents_of(into, from);
  }
  merge_contexts(into, from);
  for (uint32_t i = 0; i < from->n_parts; i++) add_part(into, from->parts[i]);
  from->n_parts = 0;
  if (settle_now) {
    struct weir_verdict taken = verdict_delivered();
    settle_acks(from, &taken);
  } else {
    for (uint32_t i = 0; i < from->n_acks; i++) add_ack(into, from->acks[i]);
    from->n_acks = from->n_parents = 0;
  }
  batch_free(from);
}

/* Cuts the part that straddles the border, if one does. Returns how many parts belong to the head. */
static uint32_t cut_at(struct weir_batch *b, uint64_t items, struct part **ret_cut) {
  uint32_t i = 0;
  *ret_cut = NULL;
  for (; i < b->n_parts && b->parts[i]->items <= items; i++) items -= b->parts[i]->items;
  if (items == 0) return i;
  struct weir_error err;
  int r = part_split(b->loop->pool, &b->parts[i], items, ret_cut, &err);
  if (r) *ret_cut = NULL; /* no memory: the head is smaller than asked for, nothing is lost */
  return i;
}

struct weir_batch *batch_split(struct weir_batch *b, uint64_t items) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  if (items == 0 || items >= b->items) return NULL;
  struct part *cut;
  uint32_t whole = cut_at(b, items, &cut);
  if (whole == 0 && !cut) return NULL;
  struct weir_batch *head = batch_new(b->loop, b->signal);
  for (uint32_t i = 0; i < whole; i++) add_part(head, b->parts[i]);
  if (cut) add_part(head, cut);
  split_acks(b, head, head->items);
  memmove(b->parts, b->parts + whole, (b->n_parts - whole) * sizeof *b->parts);
  b->n_parts -= whole;
  b->items -= head->items;
  forget_caches(b);
  head->ack_delivered = b->ack_delivered;
  head->stored = b->stored;
  head->context = context_ref(b->context);
  return head;
}

struct weir_batch *batch_split_parents(struct weir_batch *b) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  if (b->n_parents < 2 || !knows_parents(b)) return NULL;
  uint64_t items = 0;
  for (uint32_t i = 0; i < b->n_parents / 2; i++) items += b->parents[i].items;
  return batch_split(b, items);
}

uint64_t batch_bytes(const struct weir_batch *b) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < b->n_parts; i++) n += part_bytes(b->parts[i]);
  return n;
}

static const struct weir_data *read_part(struct weir_batch *b, uint32_t i, struct weir_error *err) {
  const struct part *before = b->parts[i];
  const struct weir_data *d = part_read(b->loop->pool, &b->parts[i], err);
  if (b->parts[i] != before) b->wire_valid = 0; /* it was another lane's: the encoded form may point into what is gone */
  return d;
}

const struct weir_data *batch_read(struct weir_batch *b, struct weir_error *err) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  if (b->n_parts == 1) return read_part(b, 0, err);
  if (b->view_valid) return &b->view;
  uint32_t n = 0;
  for (uint32_t i = 0; i < b->n_parts; i++) {
    const struct weir_data *d = read_part(b, i, err);
    if (!d) return NULL;
    n += d->n_resources;
  }
  b->view.signal = b->signal;
  b->view.n_resources = 0;
  b->view.resources = arena_alloc(&b->scratch, n * sizeof *b->view.resources);
  for (uint32_t i = 0; i < b->n_parts; i++) {
    const struct weir_data *d = b->parts[i]->tree;
    for (uint32_t r = 0; r < d->n_resources; r++) b->view.resources[b->view.n_resources++] = d->resources[r];
  }
  b->view_valid = 1;
  return &b->view;
}

/* --- placement ----------------------------------------------------------------------------------------------- */

/* How many records there are, all parts decoded. -1 when one can not be. */
static int64_t read_all(struct weir_batch *b) {
  int64_t n = 0;
  for (uint32_t i = 0; i < b->n_parts; i++) {
    const struct weir_data *d = read_part(b, i, NULL);
    if (!d) return -1;
    for (uint32_t r = 0; r < d->n_resources; r++)
      for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) n += d->resources[r]->scopes[s]->n_records;
  }
  return n;
}

/* The lane of each record of a tree. Returns where the next tree's go; `seen` gets a bit for each lane. */
static uint8_t *find_lanes(const struct weir_data *d, weir_key_f *key, uint32_t n, uint8_t *lanes, uint64_t *seen) {
  for (uint32_t r = 0; r < d->n_resources; r++)
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) {
      const struct weir_scope *scope = d->resources[r]->scopes[s];
      for (uint32_t i = 0; i < scope->n_records; i++) {
        uint32_t lane = (uint32_t)(key(d->resources[r], scope, scope->u.recs[i]) % n);
        *lanes++ = (uint8_t)lane;
        *seen |= 1ull << lane;
      }
    }
  return lanes;
}

/* The pieces of all parts, lane by lane. On failure there are none. */
static int place_parts(struct weir_batch *b, const uint8_t *lanes, uint32_t n, struct weir_batch **ret, struct weir_error *err) {
  int r = 0;
  for (uint32_t i = 0; i < b->n_parts && !r; i++) {
    const struct weir_data *d = b->parts[i]->tree;
    struct part *pieces[PART_LANES_MAX];
    r = part_place(b->loop->pool, b->parts[i], lanes, n, b->n_acks == 0, pieces, err);
    for (uint32_t k = 0; k < n && !r; k++) {
      if (!pieces[k]) continue;
      if (!ret[k]) ret[k] = batch_new(b->loop, b->signal);
      add_part(ret[k], pieces[k]);
    }
    for (uint32_t k = 0; k < d->n_resources; k++)
      for (uint32_t s = 0; s < d->resources[k]->n_scopes; s++) lanes += d->resources[k]->scopes[s]->n_records;
  }
  for (uint32_t k = 0; k < n && r; k++) {
    if (ret[k]) batch_free(ret[k]);
    ret[k] = NULL;
  }
  return r;
}

/* Whose records are in which piece is not told to the acks: each hears when all pieces are settled. Frees the batch. */
static void give_to_pieces(struct weir_batch *b, uint32_t n, struct weir_batch *const *pieces) {
  uint32_t left = 0;
  for (uint32_t k = 0; k < n; k++) left += pieces[k] != NULL;
  for (uint32_t k = 0; k < n; k++) {
    struct weir_batch *piece = pieces[k];
    if (!piece) continue;
    left--;
    for (uint32_t i = 0; i < b->n_acks; i++) {
      if (left) share_ack(piece, b->acks[i]);
      else add_ack(piece, b->acks[i]);
    }
    piece->ack_delivered = b->ack_delivered;
    piece->context = context_ref(b->context);
  }
  b->n_acks = 0;
  batch_free(b);
}

int batch_place(struct weir_batch *b, weir_key_f *key, uint32_t n, uint32_t own, struct weir_batch **ret, struct weir_error *err) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  WEIR_ASSERT(n <= PART_LANES_MAX && own < n);
  int64_t records = read_all(b);
  memset(ret, 0, n * sizeof *ret);
  if (records <= 0) {
    ret[own] = b;
    return 0;
  }
  struct block *block = pool_take(b->loop->pool, (size_t)records);
  uint8_t *lanes = (uint8_t *)block->data, *next = lanes;
  uint64_t seen = 0;
  int r = 0;
  for (uint32_t i = 0; i < b->n_parts; i++) next = find_lanes(b->parts[i]->tree, key, n, next, &seen);
  int one = (seen & (seen - 1)) == 0;
  if (one) ret[lanes[0]] = b;
  else r = place_parts(b, lanes, n, ret, err);
  pool_put(block);
  if (!one && !r) give_to_pieces(b, n, ret);
  return r;
}

/* Strings that were made before the batch was written to must live as long as its records: their chunks go to the part. */
static void keep_scratch(struct part *own, struct arena *scratch) {
  struct block **tail = &own->arena.chunks;
  while (*tail) tail = &(*tail)->next;
  *tail = scratch->chunks;
  own->arena.taken += scratch->taken;
  scratch->chunks = NULL;
  scratch->at = scratch->end = NULL;
  scratch->taken = 0;
}

struct weir_data *batch_write(struct weir_batch *b, struct weir_error *err) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  struct part *own = NULL;
  int r = part_own(b->loop->pool, b->parts, b->n_parts, &own, err);
  b->n_parts = 0; /* taken, also on failure: the batch keeps its count for whoever settles it */
  forget_caches(b);
  if (r) return NULL;
  if (b->scratch.chunks) keep_scratch(own, &b->scratch);
  b->parts[0] = own;
  b->n_parts = 1;
  b->items = own->items;
  return own->tree;
}

void *batch_alloc(struct weir_batch *b, size_t n) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  int own = b->n_parts == 1 && b->parts[0]->tree && !(b->parts[0]->flags & PART_CROSSED) && atomic_load(&b->parts[0]->refs) == 1;
  return arena_alloc(own ? &b->parts[0]->arena : &b->scratch, n);
}

int batch_encode(struct weir_batch *b, const struct weir_iov **ret, size_t *ret_n, size_t *ret_bytes, struct weir_error *err) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  if (!b->wire_valid) {
    b->wire.n = 0;
    b->wire_bytes = 0;
    for (uint32_t i = 0; i < b->n_parts; i++) {
      size_t n = 0;
      int r = part_encode(b->parts[i], &b->scratch, &b->wire, &n, err);
      if (r) return r;
      b->wire_bytes += n;
    }
    b->wire_valid = 1;
  }
  *ret = b->wire.v ? b->wire.v : b->wire.inline_v;
  *ret_n = b->wire.n;
  *ret_bytes = b->wire_bytes;
  return 0;
}

uint64_t batch_measure(struct weir_batch *b) {
  const struct weir_iov *iov;
  size_t n, bytes;
  return batch_encode(b, &iov, &n, &bytes, NULL) ? batch_bytes(b) : bytes;
}

void batch_cross(struct weir_batch *b, struct loop *to) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  /* Also what nobody else holds: its arena takes memory from the pool of the lane it was made on. A part that crossed before is left alone, as
   * its other holders may read it now. */
  for (uint32_t i = 0; i < b->n_parts; i++)
    if (!(b->parts[i]->flags & PART_CROSSED)) b->parts[i]->flags |= PART_CROSSED;
  iov_done(&b->wire);
  memset(&b->wire, 0, sizeof b->wire);
  arena_done(&b->scratch);
  arena_init(&b->scratch, to->pool, 0);
  forget_caches(b);
  b->loop = to;
}

void batch_seal(struct weir_batch *b) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  for (uint32_t i = 0; i < b->n_parts; i++) part_seal(b->loop->pool, b->parts[i]);
  forget_caches(b);
}

static struct part *own_part(struct weir_batch *b) {
  CHECK_MAGIC(b, BATCH_MAGIC);
  WEIR_ASSERT(b->n_parts == 1 && b->parts[0]->tree); /* editing needs batch_write first */
  b->wire_valid = 0;
  return b->parts[0];
}

void batch_attr_set(struct weir_batch *b, struct weir_rec *rec, struct weir_str key, struct weir_value value) {
  part_attr_set(own_part(b), rec, key, value);
}

void batch_attr_delete(struct weir_batch *b, struct weir_rec *rec, struct weir_str key) { part_attr_delete(own_part(b), rec, key); }

void batch_touch(struct weir_batch *b, struct weir_rec *rec) { part_touch(own_part(b), rec); }
