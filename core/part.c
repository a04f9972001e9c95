#include "core/part.h"

#include <stdlib.h>

#include "core/assert.h"
#include "core/otlp.h"
#include "core/otlp_encode.h"
#include "core/part_internal.h"

#define TREE_SMALL 16384u
#define TREE_FREE (1u << 20)

struct part *part_new(struct pool *pool, uint32_t signal) {
  struct part *part = calloc(1, sizeof *part);
  WEIR_ASSERT(part != NULL);
  part->magic = PART_MAGIC;
  part->signal = signal;
  atomic_init(&part->refs, 1);
  arena_init(&part->arena, pool, 0);
  return part;
}

struct part *part_ref(struct part *part) {
  CHECK_MAGIC(part, PART_MAGIC);
  atomic_fetch_add_explicit(&part->refs, 1, memory_order_relaxed);
  return part;
}

/* What its bytes stand in, besides its own arena. */
static void drop_sources(struct part *part) {
  for (uint32_t i = 0; i < part->n_origins; i++) part_unref(part->origins[i]);
  free(part->origins);
  body_free(part->body);
  part->origins = NULL;
  part->n_origins = 0;
  part->body = NULL;
}

void part_unref(struct part *part) {
  if (!part) return;
  CHECK_MAGIC(part, PART_MAGIC);
  if (atomic_fetch_sub_explicit(&part->refs, 1, memory_order_acq_rel) != 1) return;
  drop_sources(part);
  arena_done(&part->arena);
  part->magic = 0;
  free(part);
}

/* A tree of spans takes about 1.7 times their bytes. One chunk for all of a small one; of a large one the first chunk is a bit short and small ones
 * follow, as classes of blocks are a quarter apart (measured for 10, 100 and 1000 spans: 1.92, 1.82, 1.83 times the wire). */
static void tree_arena(struct part *part, struct pool *pool) {
  part->arena.pool = pool; /* the lane that holds the part now may not be the one that made it */
  if (part->arena.chunks) return;
  arena_init(&part->arena, pool, part->raw_n + (part->raw_n < TREE_SMALL ? part->raw_n / 4 * 3 : part->raw_n / 2) + 512);
  arena_reserve(&part->arena);
}

static int build_tree(struct part *part, const struct otlp_limits *limits, struct otlp_counts *counts, struct weir_error *err) {
  struct weir_data *tree = arena_alloc(&part->arena, sizeof *tree);
  int r = otlp_decode(part->signal, &part->arena, part->raw, part->raw_n, limits, tree, counts, err);
  if (r) return r;
  part->tree = tree;
  return 0;
}

/* A message that was let in by its bytes may turn out to be many times as large: it is then refused as any other that finds no room, or for good when no room
 * would do. Small ones overdraw. */
static int build_tree_in_room(struct part *part, struct pool *pool, struct otlp_counts *counts, struct weir_error *err) {
  struct otlp_limits limits = part->limits;
  uint64_t room = pool_room(pool), limit = pool_limit(pool);
  limits.max_tree_bytes = room > TREE_FREE ? room : TREE_FREE;
  int r = build_tree(part, &limits, counts, err);
  if (r == WEIR_E_NOMEM && arena_size(&part->arena) > limit / 2)
    return weir_fail(err, WEIR_E_LIMIT, "decoded, the message takes over half of the memory limit of this process");
  return r;
}

int part_from_otlp(struct pool *pool, uint32_t signal, struct weir_body *body, const char *p, size_t n, int validation, int decode,
  const struct otlp_limits *limits, struct part **ret, struct weir_error *err) {
  struct otlp_counts counts = { 0 };
  struct part *part = part_new(pool, signal);
  int r;
  part->body = body;
  part->raw = p;
  part->raw_n = n;
  if (limits) part->limits = *limits;
  if (n > INT32_MAX) {
    r = weir_fail(err, WEIR_E_LIMIT, "a message of %zu bytes is over 2 GiB", n);
  } else if (decode) {
    tree_arena(part, pool);
    r = build_tree_in_room(part, pool, &counts, err);
  } else if (validation == WEIR_VALIDATE_ENVELOPE) {
    r = otlp_count(signal, p, n, limits, &counts, err);
  } else {
    r = otlp_scan(signal, p, n, limits, &counts, err);
  }
  if (r) {
    part_unref(part);
    return r;
  }
  if (decode || validation == WEIR_VALIDATE_FULL) part->flags |= PART_CHECKED;
  part->items = counts.items;
  *ret = part;
  return 0;
}

struct part *part_view(struct pool *pool, struct part *of) {
  struct part *part = part_new(pool, of->signal);
  part->origins = malloc(sizeof *part->origins);
  WEIR_ASSERT(part->origins != NULL);
  part->origins[0] = of; /* takes the caller's reference */
  part->n_origins = 1;
  part->raw = of->raw;
  part->raw_n = of->raw_n;
  part->items = of->items;
  part->flags = of->flags & PART_CHECKED;
  part->limits = of->limits;
  return part;
}

/* A part that was cut: its bytes are written anew, so that they can be decoded. */
static int frame_anew(struct part *part, const struct weir_data *tree, struct weir_error *err) {
  int r = otlp_encode_sized(tree, &part->arena, part->raw_n, &part->raw, &part->raw_n, err);
  if (r) return r;
  part->tree = NULL;
  part->flags &= ~(PART_SPLIT | PART_DIRTY);
  part->wire_valid = 0;
  return 0;
}

const struct weir_data *part_read(struct pool *pool, struct part **at, struct weir_error *err) {
  struct part *part = *at, *of = part;
  struct otlp_counts counts;
  CHECK_MAGIC(part, PART_MAGIC);
  if (part->tree && !(part->flags & PART_SPLIT)) return part->tree;
  if (part->flags & PART_CROSSED) part = *at = part_view(pool, part);
  part->arena.pool = pool;
  if (of->flags & PART_SPLIT && frame_anew(part, of->tree, err)) return NULL;
  tree_arena(part, pool);
  return build_tree(part, &part->limits, &counts, err) ? NULL : part->tree;
}

/* Fields that a stage assigned may be of any length: only encoding tells. */
static size_t measure(const struct part *part) {
  struct arena scratch;
  const char *p;
  size_t n = 0;
  arena_init(&scratch, NULL, 0);
  if (otlp_encode_sized(part->tree, &scratch, part->raw_n + part->added_bytes, &p, &n, NULL)) n = SIZE_MAX;
  arena_done(&scratch);
  return n;
}

size_t part_bytes(const struct part *part) {
  if (!(part->flags & PART_DIRTY)) return part->raw_n;
  if (part->wire_valid) return part->wire_n;
  return part->flags & PART_TOUCHED ? measure(part) : part->raw_n + part->added_bytes;
}

int part_encode(struct part *part, struct arena *scratch, struct iov_list *out, size_t *ret_bytes, struct weir_error *err) {
  CHECK_MAGIC(part, PART_MAGIC);
  const char *p = part->raw;
  size_t n = part->raw_n;
  if (part->flags & PART_DIRTY) {
    if (!part->wire_valid) {
      int keep = !(part->flags & PART_CROSSED);
      if (keep && scratch->pool) part->arena.pool = scratch->pool; /* of the lane that holds it now */
      int r = otlp_encode_sized(part->tree, keep ? &part->arena : scratch, part->raw_n + part->added_bytes, &p, &n, err);
      if (r) return r;
      if (keep) {
        part->wire = p;
        part->wire_n = n;
        part->wire_valid = 1;
      }
    } else {
      p = part->wire;
      n = part->wire_n;
    }
  }
  if (n) iov_push(out, p, n);
  *ret_bytes = n;
  return 0;
}

void part_seal(struct pool *pool, struct part *part) {
  CHECK_MAGIC(part, PART_MAGIC);
  if (!part->tree || part->flags & PART_SPLIT || !part_exclusive(part)) return;
  struct arena out;
  arena_init(&out, pool, part->raw_n + part->added_bytes + 1024);
  if (part->flags & PART_DIRTY) {
    const char *p;
    size_t n;
    if (otlp_encode_sized(part->tree, &out, part->raw_n + part->added_bytes, &p, &n, NULL)) {
      arena_done(&out);
      return;
    }
    drop_sources(part);
    part->raw = p;
    part->raw_n = n;
  } else if (!part->body) {
    return; /* its bytes may stand beside the tree */
  }
  arena_done(&part->arena);
  part->arena = out;
  part->tree = NULL;
  part->flags &= ~(PART_DIRTY | PART_TOUCHED);
  part->wire_valid = 0;
  part->added_bytes = 0;
}

void iov_push(struct iov_list *l, const void *p, size_t n) {
  size_t inline_cap = sizeof l->inline_v / sizeof *l->inline_v;
  if (!l->v && l->n == inline_cap) {
    l->cap = inline_cap * 4;
    l->v = malloc(l->cap * sizeof *l->v);
    WEIR_ASSERT(l->v != NULL);
    memcpy(l->v, l->inline_v, sizeof l->inline_v);
  } else if (l->v && l->n == l->cap) {
    l->cap *= 2;
    l->v = realloc(l->v, l->cap * sizeof *l->v);
    WEIR_ASSERT(l->v != NULL);
  }
  struct weir_iov *v = l->v ? l->v : l->inline_v;
  v[l->n++] = (struct weir_iov){ p, n };
}

void iov_done(struct iov_list *l) {
  free(l->v);
  l->v = NULL;
  l->n = l->cap = 0;
}
