/*
 * Cutting a part in two by item count. The part becomes a tree of its containers in which records are only slices of the received bytes, so that
 * cutting a head off costs what the head holds, however long the rest is: a large request is cut into hundreds. A container that the cut goes
 * through stands in both halves; a metric is cut between its data points and repeats its name, unit and data header.
 */
#include "core/assert.h"
#include "core/otlp.h"
#include "core/otlp_encode.h"
#include "core/otlp_table.h"
#include "core/part_internal.h"
#include "core/wire.h"

struct cutter {
  struct arena *head, *rest;
  uint64_t left;     /* items that the head still wants */
  size_t head_bytes; /* a guess of its encoded size */
  size_t gone_bytes; /* what the rest has less */
};

/* The array through which a container leads to records: scopes, spans, the points of the metric's data. NULL for a metric without data. */
static const struct otlp_field *records_of(const struct otlp_msg *msg, const void *obj) {
  for (uint32_t i = 1; i < msg->n_fields; i++) {
    const struct otlp_field *f = &msg->fields[i];
    if (f->op == OP_CHILD) return f;
    if (f->op == OP_ONEOF_SUB && ((const struct weir_metric *)obj)->type == f->arg) return &f->msg->fields[1];
  }
  return NULL;
}

static uint32_t length_of(const struct otlp_field *f, const char *obj) {
  uint32_t n = 0;
  if (f) memcpy(&n, obj + f->count, sizeof n);
  return n;
}

static void set_array(const struct otlp_field *f, char *obj, void **array, uint32_t n) {
  memcpy(obj + f->offset, &array, sizeof array);
  memcpy(obj + f->count, &n, sizeof n);
}

size_t part_strip_records(const struct otlp_msg *msg, const char *p, size_t n, char *out) {
  const char *end = p + n;
  char *to = out;
  struct wire_field f;
  while (p < end) {
    const char *at = p;
    if (!(p = wire_next(p, end, &f))) break; /* checked when it was received */
    const struct otlp_field *field = otlp_field_of(msg, f.number);
    if (field && field->op == OP_CHILD) continue;
    if (field && field->op == OP_ONEOF_SUB) { /* the new header fits in the place of the old one */
      char *payload = to + (f.p - at);
      size_t kept = part_strip_records(field->msg, f.p, f.v, payload);
      to = wire_put_varint(to, (uint64_t)f.number << 3 | WIRE_LEN);
      to = wire_put_varint(to, kept);
      memmove(to, payload, kept);
      to += kept;
    } else {
      memcpy(to, at, (size_t)(p - at));
      to += p - at;
    }
  }
  return (size_t)(to - out);
}

/* The place where a container keeps what was received of it. */
static const char **received(void *obj, uint16_t kind, size_t **ret_n) {
  struct weir_resource *r = obj;
  struct weir_scope *s = obj;
  *ret_n = kind == WEIR_R_RESOURCE ? &r->envelope_n : &s->envelope_n;
  return kind == WEIR_R_RESOURCE ? &r->envelope : &s->envelope;
}

/* A container that is cut for the first time: its unknown fields go to a short place, or each head to come would look through all of it. */
static void shorten(struct cutter *c, const struct otlp_msg *msg, struct weir_rec *rec) {
  int first = !(rec->dirty & RECORD_SPLIT);
  rec->dirty |= RECORD_SPLIT | (msg->is_metric ? RECORD_REWRITE : 0);
  if (!first || !(rec->dirty & RECORD_UNKNOWN)) return;
  size_t *envelope_n, n;
  if (msg->is_metric) {
    char *kept = arena_alloc(c->rest, rec->raw_n);
    rec->raw_n = (uint32_t)part_strip_records(msg, rec->raw, rec->raw_n, kept);
    rec->raw = kept;
    return;
  }
  const char **envelope = received(rec, msg->kind, &envelope_n);
  char *kept = arena_alloc(c->rest, *envelope_n);
  n = part_strip_records(msg, *envelope, *envelope_n, kept);
  *envelope = kept;
  *envelope_n = n;
}

/* Both halves of a cut container say the same about what was received. */
static void copy_received(const struct otlp_msg *msg, void *to, void *from) {
  memcpy(to, from, sizeof(struct weir_rec));
  if (msg->is_metric) return;
  size_t *to_n, *from_n;
  const char **a = received(to, msg->kind, &to_n), **b = received(from, msg->kind, &from_n);
  *a = *b;
  *to_n = *from_n;
}

static void take(struct cutter *c, const struct otlp_msg *msg, char *obj, char *head);

/* The head's copy of a container with the records that it gets. *ret_whole: nothing is left in obj. */
static void *take_container(struct cutter *c, const struct otlp_msg *msg, char *obj, int *ret_whole) {
  char *head = arena_alloc(c->head, msg->size);
  memcpy(head, obj, msg->size);
  c->head_bytes += ((struct weir_rec *)(void *)obj)->raw_n + 64u;
  take(c, msg, obj, head);
  *ret_whole = length_of(records_of(msg, obj), obj) == 0;
  if (*ret_whole) return head;
  shorten(c, msg, (struct weir_rec *)(void *)obj);
  copy_received(msg, head, obj);
  return head;
}

static void *take_record(struct cutter *c, struct weir_rec *rec) {
  c->left--;
  c->head_bytes += rec->raw_n + 8u;
  c->gone_bytes += 1 + wire_varint_size(rec->raw_n) + rec->raw_n;
  return rec;
}

/* Room for one more in an array whose room is the power of two at or above its length. */
static void **room_for_one(struct arena *a, void **array, uint32_t n) {
  if (n & (n - 1)) return array;
  void **grown = arena_alloc(a, (n ? 2 * (size_t)n : 1) * sizeof *grown);
  if (n) memcpy(grown, array, n * sizeof *grown);
  return grown;
}

/* Moves records from obj to head, a copy of it, until the head has enough or obj is empty. Depth: that of the containers. */
static void take(struct cutter *c, const struct otlp_msg *msg, char *obj, char *head) {
  const struct otlp_field *f = records_of(msg, obj);
  uint32_t n = length_of(f, obj), taken = 0, gone = 0;
  if (!n) return;
  void **from, **to = NULL;
  memcpy(&from, obj + f->offset, sizeof from);
  while (gone < n && c->left > 0) {
    int whole = 1;
    void *kid = f->msg->is_record ? take_record(c, from[gone]) : take_container(c, f->msg, from[gone], &whole);
    to = room_for_one(c->head, to, taken);
    to[taken++] = kid;
    if (!whole) break;
    gone++;
  }
  set_array(f, head, to, taken);
  set_array(f, obj, from + gone, n - gone);
}

/* The part as a tree of containers, over its bytes. Takes the reference, also on failure. */
static int open_part(struct pool *pool, struct part *part, struct part **ret, struct weir_error *err) {
  struct part *view = part_view(pool, part);
  struct iov_list wire = { NULL, 0, 0, { { NULL, 0 } } };
  struct otlp_counts counts;
  size_t n = 0;
  int r = part_encode(part, &view->arena, &wire, &n, err);
  if (!r) {
    view->raw = wire.inline_v[0].p;
    view->raw_n = n;
    view->tree = arena_alloc(&view->arena, sizeof *view->tree);
    r = otlp_decode_containers(view->signal, &view->arena, view->raw, n, view->tree, &counts, err);
  }
  iov_done(&wire);
  if (!r && counts.items != view->items) r = weir_fail(err, WEIR_E_STATE, "a part of %llu items holds %llu", (unsigned long long)view->items, (unsigned long long)counts.items);
  if (r) {
    part_unref(view);
    return r;
  }
  view->flags |= PART_SPLIT | PART_DIRTY;
  *ret = view;
  return 0;
}

int part_split(struct pool *pool, struct part **at, uint64_t items, struct part **ret_head, struct weir_error *err) {
  struct part *part = *at, *head;
  CHECK_MAGIC(part, PART_MAGIC);
  WEIR_ASSERT(items > 0 && items < part->items);
  if (!(part->flags & PART_SPLIT) || !part_exclusive(part)) {
    int r = open_part(pool, part_ref(part), &part, err);
    if (r) return r;
    part_unref(*at);
    *at = part;
  }
  part->arena.pool = pool;
  head = part_new(pool, part->signal);
  struct weir_data tree = *part->tree;
  struct cutter c = { &head->arena, &part->arena, items, 0, 0 };
  take(&c, otlp_request(part->signal), (char *)part->tree, (char *)&tree);
  part->tree->envelope = NULL; /* unknown fields of the request go with its first half */
  int r = otlp_encode_sized(&tree, &head->arena, c.head_bytes, &head->raw, &head->raw_n, err);
  WEIR_ASSERT(r == 0 && c.left == 0); /* it is a piece of a message that was encoded before */
  head->items = items;
  head->limits = part->limits;
  head->flags = part->flags & PART_CHECKED;
  part->items -= items;
  part->raw_n -= c.gone_bytes;
  part->added_bytes += 64; /* a metric's header that is written anew may be longer by some bytes */
  part->wire_valid = 0;
  *ret_head = head;
  return 0;
}
