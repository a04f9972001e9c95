/*
 * From bytes to the tree of weir/data.h, in one pass. Strings point into the bytes. Repeated things collect on stacks while their parent is read
 * and are copied to the arena, exactly sized, when it ends; so field order is free.
 */
#include <stdlib.h>

#include "core/assert.h"
#include "core/otlp_walk.h"

struct kid {
  void *p;
  const struct otlp_field *field;
};

#define STACK_INLINE 160u

struct decode {
  struct otlp_walk w;
  struct arena *a;
  struct weir_attr *attrs;
  struct weir_value *values;
  struct kid *kids;
  size_t n_attrs, cap_attrs, n_values, cap_values, n_kids, cap_kids;
  int unknown;    /* the struct that is being read has unknown fields */
  int containers; /* records are not entered */
  struct weir_attr attrs_inline[STACK_INLINE];
  struct weir_value values_inline[16];
  struct kid kids_inline[STACK_INLINE];
};

/* A stack that is full moves to the heap, or to a larger place there. */
static void *stack_grow(void *stack, const void *inline_stack, size_t *cap, size_t item) {
  void *grown = malloc(*cap * 2 * item);
  WEIR_ASSERT(grown != NULL);
  memcpy(grown, stack, *cap * item);
  if (stack != inline_stack) free(stack);
  *cap *= 2;
  return grown;
}

static struct weir_attr *push_attr(struct decode *d) {
  if (d->n_attrs == d->cap_attrs) d->attrs = stack_grow(d->attrs, d->attrs_inline, &d->cap_attrs, sizeof *d->attrs);
  return &d->attrs[d->n_attrs++];
}

static void push_value(struct decode *d, const struct weir_value *v) {
  if (d->n_values == d->cap_values) d->values = stack_grow(d->values, d->values_inline, &d->cap_values, sizeof *d->values);
  d->values[d->n_values++] = *v;
}

static void push_kid(struct decode *d, void *p, const struct otlp_field *field) {
  if (d->n_kids == d->cap_kids) d->kids = stack_grow(d->kids, d->kids_inline, &d->cap_kids, sizeof *d->kids);
  d->kids[d->n_kids++] = (struct kid){ p, field };
}

/* The limit on elements, or the memory that they take here: 2 bytes on the wire can be 250 in the tree. */
static int is_too_much(const struct decode *d) {
  size_t stacks = d->n_values * sizeof *d->values + d->n_attrs * sizeof *d->attrs + d->n_kids * sizeof *d->kids;
  return d->w.elements > d->w.limits.max_elements || arena_size(d->a) + stacks > d->w.limits.max_tree_bytes;
}

static int too_much(const struct decode *d, const struct otlp_frame *frame, const struct otlp_field *field, const char *at) {
  if (d->w.elements > d->w.limits.max_elements) return otlp_walk_elements(&d->w, frame, field, at);
  return otlp_walk_fail(&d->w, WEIR_E_NOMEM, frame, field, at, "decoded, the message takes more memory than there is room for");
}

static void *pop_copy(struct decode *d, const void *stack, size_t item, size_t from, size_t *n) {
  size_t bytes = (*n - from) * item;
  void *copy = arena_alloc(d->a, bytes);
  if (bytes) memcpy(copy, (const char *)stack + from * item, bytes);
  *n = from;
  return copy;
}

/* --- attributes and values ------------------------------------------------------------------------- */

/* An AnyValue that is being read. Its elements stay on the stacks until it ends, so that an equal member that comes again merges. */
struct building {
  struct weir_value v;
  size_t values0, attrs0;
};

static int decode_attr(struct decode *d, const char *p, const char *end, const struct otlp_frame *frame);

static struct building build_value(const struct decode *d) {
  struct building b = { { WEIR_V_EMPTY, 0, { NULL } }, d->n_values, d->n_attrs };
  return b;
}

static struct weir_value built_value(struct decode *d, struct building *b) {
  if (b->v.kind == WEIR_V_ARRAY) {
    b->v.n = (uint32_t)(d->n_values - b->values0);
    b->v.u.items = pop_copy(d, d->values, sizeof *d->values, b->values0, &d->n_values);
  } else if (b->v.kind == WEIR_V_KVLIST) {
    b->v.n = (uint32_t)(d->n_attrs - b->attrs0);
    b->v.u.attrs = pop_copy(d, d->attrs, sizeof *d->attrs, b->attrs0, &d->n_attrs);
  }
  return b->v;
}

/* Attributes are most of what is decoded. */
static inline int decode_plain_attr(struct decode *d, const struct wire_field *f, uint32_t depth) {
  if (d->n_attrs == d->cap_attrs || depth >= d->w.limits.max_depth || !otlp_plain_attr(&d->attrs[d->n_attrs], f->p, f->v)) return 0;
  d->n_attrs++;
  return 1;
}

/* ArrayValue / KeyValueList: their elements go on the stack of the value that they belong to. */
static int decode_list(struct decode *d, const struct otlp_msg *list, const char *p, const char *end, const struct otlp_frame *frame);

static void build_scalar(struct weir_value *v, const struct wire_field *f) {
  static const uint8_t kinds[] = { WEIR_V_EMPTY, WEIR_V_STRING, WEIR_V_BOOL, WEIR_V_INT, WEIR_V_DOUBLE, WEIR_V_ARRAY, WEIR_V_KVLIST, WEIR_V_BYTES };
  v->kind = kinds[f->number];
  v->n = f->type == WIRE_LEN ? (uint32_t)f->v : 0;
  if (f->type == WIRE_LEN) v->u.s = f->p;
  else if (v->kind == WEIR_V_BOOL) v->u.i = f->v != 0;
  else memcpy(&v->u, &f->v, 8); /* the bits of an int64 or a double */
}

/* Reads an AnyValue, or one more occurrence of it, into b. */
static int decode_value(struct decode *d, struct building *b, const char *p, const char *end, const struct otlp_frame *frame) {
  while (p < end) {
    struct wire_field f;
    const char *at = p;
    if (!(p = wire_next(p, end, &f))) return otlp_walk_malformed(&d->w, frame, at, end);
    const struct otlp_field *field = otlp_field_of(&otlp_any_value, f.number);
    if (!field) continue;
    if (f.type != field->wire) return otlp_walk_wrong_type(&d->w, frame, field, f.type, at);
    if (f.number != 5 || b->v.kind != WEIR_V_ARRAY) d->n_values = b->values0; /* the same member merges, another one replaces */
    if (f.number != 6 || b->v.kind != WEIR_V_KVLIST) d->n_attrs = b->attrs0;
    build_scalar(&b->v, &f);
    if (!field->msg) continue;
    struct otlp_frame down = { frame, field, frame->depth + 1 };
    if (down.depth > d->w.limits.max_depth) return otlp_walk_too_deep(&d->w, frame, field, at);
    int r = decode_list(d, field->msg, f.p, f.p + f.v, &down);
    if (r) return r;
  }
  return 0;
}

static int decode_element(struct decode *d, const struct wire_field *f, const struct otlp_frame *frame) {
  struct building b = build_value(d);
  int r = decode_value(d, &b, f->p, f->p + f->v, frame);
  if (r) return r;
  struct weir_value v = built_value(d, &b);
  push_value(d, &v);
  return 0;
}

static int decode_list(struct decode *d, const struct otlp_msg *list, const char *p, const char *end, const struct otlp_frame *frame) {
  while (p < end) {
    struct wire_field f;
    const char *at = p;
    if (!(p = wire_next(p, end, &f))) return otlp_walk_malformed(&d->w, frame, at, end);
    if (f.number != 1) continue;
    const struct otlp_field *field = &list->fields[1];
    struct otlp_frame down = { frame, field, frame->depth + 1 };
    if (f.type != WIRE_LEN) return otlp_walk_wrong_type(&d->w, frame, field, f.type, at);
    d->w.elements++;
    if (is_too_much(d)) return too_much(d, frame, field, at);
    if (down.depth > d->w.limits.max_depth) return otlp_walk_too_deep(&d->w, frame, field, at);
    if (field->msg == &otlp_key_value && decode_plain_attr(d, &f, down.depth)) continue;
    int r = field->msg == &otlp_key_value ? decode_attr(d, f.p, f.p + f.v, &down) : decode_element(d, &f, &down);
    if (r) return r;
  }
  return 0;
}

static int decode_attr(struct decode *d, const char *p, const char *end, const struct otlp_frame *frame) {
  struct weir_attr attr = { { p, 0, (uint32_t)(end - p) }, { WEIR_V_EMPTY, 0, { NULL } }, p };
  struct building b = build_value(d);
  struct otlp_frame down = { frame, &otlp_key_value.fields[2], frame->depth + 1 };
  while (p < end) {
    struct wire_field f;
    const char *at = p;
    if (!(p = wire_next(p, end, &f))) return otlp_walk_malformed(&d->w, frame, at, end);
    if (f.number != 1 && f.number != 2) continue;
    if (f.type != WIRE_LEN) return otlp_walk_wrong_type(&d->w, frame, &otlp_key_value.fields[f.number], f.type, at);
    if (f.number == 1) {
      attr.key.p = f.p;
      attr.key.n = (uint32_t)f.v;
      continue;
    }
    if (down.depth > d->w.limits.max_depth) return otlp_walk_too_deep(&d->w, frame, down.field, at);
    int r = decode_value(d, &b, f.p, f.p + f.v, &down);
    if (r) return r;
  }
  attr.value = built_value(d, &b);
  *push_attr(d) = attr;
  return 0;
}

/* A body that comes again is only checked here: attributes may stand between the two. merge_body reads them together. */
static int decode_body(struct decode *d, struct weir_log *log, const struct wire_field *f, const struct otlp_frame *down) {
  struct building b = build_value(d);
  int r = decode_value(d, &b, f->p, f->p + f->v, down);
  if (r) return r;
  struct weir_value v = built_value(d, &b);
  if (log->has_body++) return 0;
  log->body_raw = f->p;
  log->body_raw_n = (uint32_t)f->v;
  log->body = log->body_read = v;
  return 0;
}

/* A body that occurs more than once is what reading the concatenation gives: so protobuf defines merging. It was checked, so nothing fails. */
static void merge_body(struct decode *d, struct weir_log *log, const char *p, const char *end, const struct otlp_frame *frame) {
  char *all = arena_alloc(d->a, (size_t)(end - p)), *out = all;
  uint64_t elements = d->w.elements;
  struct wire_field f;
  while (p < end && (p = wire_next(p, end, &f)))
    if (f.number == OTLP_LOG_BODY) {
      memcpy(out, f.p, f.v);
      out += f.v;
    }
  struct building b = build_value(d);
  struct otlp_frame down = { frame, NULL, frame->depth + 1 };
  d->w.limits.max_elements = UINT32_MAX; /* counted when they were checked */
  d->w.limits.max_tree_bytes = UINT64_MAX;
  decode_value(d, &b, all, out, &down);
  d->w.elements = elements;
  log->has_body = 1;
  log->body_raw = all;
  log->body_raw_n = (uint32_t)(out - all);
  log->body = log->body_read = built_value(d, &b);
}

/* --- repeated scalars: arrays whose room is the next power of two of what they hold ------------------- */

static uint32_t room_for(uint32_t n) {
  uint32_t room = 4;
  while (room < n) room *= 2;
  return room;
}

static void *repeat_room(struct decode *d, void *slot, uint32_t *n, uint32_t more, size_t item) {
  void *array;
  memcpy(&array, slot, sizeof array);
  uint32_t have = *n ? room_for(*n) : 0;
  if (*n + more > have) {
    void *grown = arena_alloc(d->a, room_for(*n + more) * item);
    if (*n) memcpy(grown, array, *n * item);
    array = grown;
    memcpy(slot, &array, sizeof array);
  }
  char *at = (char *)array + *n * item;
  *n += more;
  return at;
}

static int decode_repeated(struct decode *d, const struct otlp_field *field, const struct wire_field *f, char *obj, const char *at,
  const struct otlp_frame *frame) {
  void *slot = obj + field->offset;
  uint32_t *n = (uint32_t *)(void *)(obj + field->count);
  if (f->type != WIRE_LEN) {
    memcpy(repeat_room(d, slot, n, 1, 8), &f->v, 8);
    return 0;
  }
  if (field->op == OP_REP64) {
    if (f->v % 8) return otlp_walk_fail(&d->w, WEIR_E_INVALID, frame, field, at, "packed length %llu is no multiple of 8", (unsigned long long)f->v);
    if (f->v) memcpy(repeat_room(d, slot, n, (uint32_t)(f->v / 8), 8), f->p, f->v);
    return 0;
  }
  const char *p = f->p, *end = f->p + f->v;
  while (p < end) {
    uint64_t v;
    if (!(p = wire_varint(p, end, &v))) return otlp_walk_fail(&d->w, WEIR_E_INVALID, frame, field, at, "a packed number is cut off");
    memcpy(repeat_room(d, slot, n, 1, 8), &v, 8);
  }
  return 0;
}

/* --- messages -------------------------------------------------------------------------------------------- */

static int decode_message(struct decode *d, const struct otlp_msg *msg, char *obj, const char *p, const char *end, const struct otlp_frame *frame);

/* Moves what was collected for obj from the stacks to its arrays. */
static void finish(struct decode *d, char *obj, size_t attrs0, size_t kids0) {
  if (d->n_attrs > attrs0) {
    struct weir_rec *rec = (struct weir_rec *)(void *)obj;
    rec->n_attrs = rec->cap_attrs = rec->n_raw_attrs = (uint32_t)(d->n_attrs - attrs0);
    rec->attrs = pop_copy(d, d->attrs, sizeof *d->attrs, attrs0, &d->n_attrs);
  }
  while (d->n_kids > kids0) { /* one round for each kind of child: events, then links */
    const struct otlp_field *field = d->kids[kids0].field;
    uint32_t n = 0, left = 0;
    for (size_t i = kids0; i < d->n_kids; i++) n += d->kids[i].field == field;
    void **array = arena_alloc(d->a, n * sizeof *array);
    memcpy(obj + field->offset, &array, sizeof array);
    memcpy(obj + field->count, &n, sizeof n);
    for (size_t i = kids0; i < d->n_kids; i++) {
      if (d->kids[i].field == field) *array++ = d->kids[i].p;
      else d->kids[kids0 + left++] = d->kids[i];
    }
    d->n_kids = kids0 + left;
  }
}

/* A message with a struct of its own: span, event, point, scope ... */
static int decode_struct(struct decode *d, const struct otlp_msg *msg, const char *p, const char *end, const struct otlp_frame *frame, void **ret) {
  char *obj = arena_zalloc(d->a, msg->size);
  struct weir_rec *rec = (struct weir_rec *)(void *)obj;
  size_t attrs0 = d->n_attrs, kids0 = d->n_kids;
  rec->kind = msg->kind;
  if (msg->kind == WEIR_R_RESOURCE) {
    ((struct weir_resource *)(void *)obj)->envelope = p;
    ((struct weir_resource *)(void *)obj)->envelope_n = (size_t)(end - p);
  } else if (msg->kind == WEIR_R_SCOPE) {
    ((struct weir_scope *)(void *)obj)->envelope = p;
    ((struct weir_scope *)(void *)obj)->envelope_n = (size_t)(end - p);
  } else {
    rec->raw = p;
    rec->raw_n = (uint32_t)(end - p);
  }
  int unknown = d->unknown;
  d->unknown = 0;
  int r = decode_message(d, msg, obj, p, end, frame);
  if (r) return r;
  if (msg->kind == WEIR_R_LOG && ((struct weir_log *)(void *)obj)->has_body > 1) merge_body(d, (struct weir_log *)(void *)obj, p, end, frame);
  if (d->unknown) rec->dirty |= RECORD_UNKNOWN;
  d->unknown = unknown;
  finish(d, obj, attrs0, kids0);
  *ret = obj;
  return 0;
}

/* Resource, InstrumentationScope: seen twice, it is rewritten when its container is. Containers alone need no more than its place, unless it is
 * to be rewritten; its attributes are the only ones on the stack, so the first can still be read when the second is found. */
static int decode_identity(struct decode *d, const struct otlp_field *field, const struct wire_field *f, char *obj, const struct otlp_frame *down) {
  struct weir_rec *rec = (struct weir_rec *)(void *)obj;
  const char *first = rec->raw;
  uint32_t first_n = rec->raw_n;
  int again = rec->dirty & RECORD_REWRITE;
  if (first) rec->dirty |= RECORD_REWRITE;
  rec->raw = f->p;
  rec->raw_n = (uint32_t)f->v;
  if (d->containers && !first) return 0;
  if (d->containers && !again) {
    int r = decode_message(d, field->msg, obj, first, first + first_n, down);
    if (r) return r;
  }
  return decode_message(d, field->msg, obj, f->p, f->p + f->v, down);
}

/* A singular message whose fields live in obj. Read again, it merges by itself, as its fields overwrite or append. */
static int decode_sub(struct decode *d, const struct otlp_field *field, const struct wire_field *f, char *obj, const struct otlp_frame *down) {
  uint32_t yes = 1;
  if (field->arg == OTLP_IDENTITY) return decode_identity(d, field, f, obj, down);
  memcpy(obj + field->count, &yes, sizeof yes);
  return decode_message(d, field->msg, obj, f->p, f->p + f->v, down);
}

/* A member of Metric.data; another member than before replaces it. */
static int decode_oneof(struct decode *d, const struct otlp_field *field, const struct wire_field *f, char *obj, const struct otlp_frame *down,
  size_t kids0, uint64_t items0) {
  struct weir_metric *m = (struct weir_metric *)(void *)obj;
  if (m->type != field->arg) {
    d->n_kids = kids0;
    d->w.items = items0;
    m->temporality = 0;
    m->is_monotonic = 0;
    m->type = field->arg;
  }
  return decode_message(d, field->msg, obj, f->p, f->p + f->v, down);
}

static struct weir_rec *bare_record(struct decode *d, const struct wire_field *f) {
  struct weir_rec *rec = arena_zalloc(d->a, sizeof *rec);
  rec->raw = f->p;
  rec->raw_n = (uint32_t)f->v;
  return rec;
}

static int decode_submessage(struct decode *d, const struct otlp_field *field, const struct wire_field *f, char *obj, const char *at,
  const struct otlp_frame *frame) {
  struct otlp_frame down = { frame, field, frame->depth + 1 };
  const char *p = f->p, *end = f->p + f->v;
  void *kid;
  if (field->op != OP_SUB) d->w.elements++;
  if (is_too_much(d)) return too_much(d, frame, field, at);
  if (down.depth > d->w.limits.max_depth) return otlp_walk_too_deep(&d->w, frame, field, at);
  switch (field->op) {
  case OP_ATTR: return decode_attr(d, p, end, &down);
  case OP_CHILD: {
    if (field->msg->is_record && ++d->w.items > d->w.limits.max_records) return otlp_walk_records(&d->w, frame, field, at);
    if (d->containers && field->msg->is_record) {
      push_kid(d, bare_record(d, f), field);
      return 0;
    }
    int r = decode_struct(d, field->msg, p, end, &down, &kid);
    if (!r) push_kid(d, kid, field);
    return r;
  }
  case OP_SUB: return decode_sub(d, field, f, obj, &down);
  default: { /* OP_QUANTILE */
    struct weir_quantile *q = repeat_room(d, obj + field->offset, (uint32_t *)(void *)(obj + field->count), 1, sizeof *q);
    memset(q, 0, sizeof *q);
    return decode_message(d, field->msg, (char *)q, p, end, &down);
  }
  }
}

static void store_scalar(const struct otlp_field *field, const struct wire_field *f, char *obj) {
  char *to = obj + field->offset;
  uint32_t v32 = (uint32_t)f->v;
  switch (field->op) {
  case OP_STR: {
    struct weir_str s = { f->p, (uint32_t)f->v, 0 };
    memcpy(to, &s, sizeof s);
    break;
  }
  case OP_OPT64: {
    uint32_t has;
    memcpy(&has, obj + field->count, sizeof has);
    has |= field->arg;
    memcpy(obj + field->count, &has, sizeof has);
    memcpy(to, &f->v, 8);
    break;
  }
  case OP_FIXED64: memcpy(to, &f->v, 8); break;
  case OP_SINT32: v32 = (v32 >> 1) ^ (0u - (v32 & 1)); memcpy(to, &v32, 4); break;
  case OP_NUM_DOUBLE:
  case OP_NUM_INT: {
    struct weir_value v = { field->op == OP_NUM_INT ? WEIR_V_INT : WEIR_V_DOUBLE, 0, { NULL } };
    memcpy(&v.u, &f->v, 8);
    memcpy(to, &v, sizeof v);
    break;
  }
  default: /* OP_FIXED32, OP_VARINT32 */
    if (field->arg == OTLP_BOOL) v32 = f->v != 0;
    memcpy(to, &v32, 4);
    break;
  }
}

static int decode_message(struct decode *d, const struct otlp_msg *msg, char *obj, const char *p, const char *end, const struct otlp_frame *frame) {
  size_t kids0 = d->n_kids;
  uint64_t items0 = d->w.items;
  uint32_t n_attrs = 0;
  while (p < end) {
    struct wire_field f;
    const char *at = p;
    if (!(p = wire_next(p, end, &f))) return otlp_walk_malformed(&d->w, frame, at, end);
    const struct otlp_field *field = otlp_field_of(msg, f.number);
    if (!field) {
      d->unknown = 1;
      continue;
    }
    int r = 0;
    if (!otlp_type_fits(field, f.type)) return otlp_walk_wrong_type(&d->w, frame, field, f.type, at);
    if (field->op == OP_ATTR) {
      if (++n_attrs > d->w.limits.max_attributes) return otlp_walk_attributes(&d->w, frame, field, at);
      if (d->w.elements < d->w.limits.max_elements && decode_plain_attr(d, &f, frame->depth + 1)) {
        d->w.elements++;
        continue;
      }
    }
    if (field->op == OP_REP64 || field->op == OP_REPVAR) {
      r = decode_repeated(d, field, &f, obj, at, frame);
    } else if (field->op == OP_ONEOF_SUB || field->op == OP_VALUE) {
      struct otlp_frame down = { frame, field, frame->depth + 1 };
      if (down.depth > d->w.limits.max_depth) return otlp_walk_too_deep(&d->w, frame, field, at);
      r = field->op == OP_VALUE ? decode_body(d, (struct weir_log *)(void *)obj, &f, &down)
                                : decode_oneof(d, field, &f, obj, &down, kids0, items0);
    } else if (field->msg) {
      r = decode_submessage(d, field, &f, obj, at, frame);
    } else {
      store_scalar(field, &f, obj);
    }
    if (r) return r;
  }
  return 0;
}

static int decode(uint32_t signal, struct arena *a, const char *p, size_t n, const struct otlp_limits *limits, int containers, struct weir_data *ret,
  struct otlp_counts *counts, struct weir_error *err) {
  struct decode d;
  struct otlp_frame top = { NULL, NULL, 0 };
  otlp_walk_init(&d.w, p, limits, err);
  d.a = a;
  d.unknown = 0;
  d.containers = containers;
  d.attrs = d.attrs_inline;
  d.values = d.values_inline;
  d.kids = d.kids_inline;
  d.n_attrs = d.n_values = d.n_kids = 0;
  d.cap_attrs = d.cap_kids = STACK_INLINE;
  d.cap_values = sizeof d.values_inline / sizeof *d.values_inline;
  memset(ret, 0, sizeof *ret);
  ret->signal = signal;
  int r = decode_message(&d, otlp_request(signal), (char *)ret, p, p + n, &top);
  if (!r) finish(&d, (char *)ret, 0, 0);
  if (d.unknown) {
    ret->envelope = p;
    ret->envelope_n = n;
  }
  counts->items = d.w.items;
  if (d.attrs != d.attrs_inline) free(d.attrs);
  if (d.values != d.values_inline) free(d.values);
  if (d.kids != d.kids_inline) free(d.kids);
  return r;
}

int otlp_decode(uint32_t signal, struct arena *a, const char *p, size_t n, const struct otlp_limits *limits, struct weir_data *ret,
  struct otlp_counts *counts, struct weir_error *err) {
  return decode(signal, a, p, n, limits, 0, ret, counts, err);
}

int otlp_decode_containers(uint32_t signal, struct arena *a, const char *p, size_t n, struct weir_data *ret, struct otlp_counts *counts,
  struct weir_error *err) {
  static const struct otlp_limits none = { UINT16_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0 };
  return decode(signal, a, p, n, &none, 1, ret, counts, err);
}
