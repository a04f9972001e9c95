/*
 * From the tree to bytes, in one backward pass: a length is known when its header is written. What is clean is copied from what was received;
 * a record with appended attributes is its received bytes plus those; what is rewritten keeps its unknown fields, looked up in what was received.
 */
#include "core/assert.h"
#include "core/otlp_encode.h"
#include "core/otlp_table.h"
#include "core/wire.h"

struct encode {
  struct arena *a;
  char *buf, *p; /* written: p .. buf+cap */
  size_t cap;
};

/* Where unknown fields of a message may stand: the slices of field `number` in the parent's source, or `raw` itself at the top. */
struct source {
  const struct source *up;
  const char *raw;
  size_t raw_n;
  uint32_t number;
};

static void make_room(struct encode *e, size_t n) {
  size_t used = (size_t)(e->buf + e->cap - e->p), cap = e->cap * 2;
  while (cap - used < n) cap *= 2;
  char *grown = arena_alloc(e->a, cap);
  memcpy(grown + cap - used, e->p, used);
  e->buf = grown;
  e->p = grown + cap - used;
  e->cap = cap;
}

static inline char *push(struct encode *e, size_t n) {
  if ((size_t)(e->p - e->buf) < n) make_room(e, n);
  return e->p -= n;
}

static void put_bytes(struct encode *e, const char *p, size_t n) {
  char *to = push(e, n);
  if (n) memcpy(to, p, n);
}

static inline void put_varint(struct encode *e, uint64_t v) {
  if (v < 0x80) {
    *push(e, 1) = (char)v;
    return;
  }
  char tmp[10];
  size_t n = (size_t)(wire_put_varint(tmp, v) - tmp);
  put_bytes(e, tmp, n);
}

static void put_tag(struct encode *e, uint32_t number, uint32_t wire) { put_varint(e, (uint64_t)number << 3 | wire); }

static size_t mark(const struct encode *e) { return (size_t)(e->buf + e->cap - e->p); }

/* Ends a length-delimited field whose payload was written since `from`. */
static void put_header(struct encode *e, uint32_t number, size_t from) {
  put_varint(e, mark(e) - from);
  put_tag(e, number, WIRE_LEN);
}

static void put_field_bytes(struct encode *e, uint32_t number, const char *p, size_t n) {
  if (n < 0x80 && number < 16) {
    char *to = push(e, n + 2);
    to[0] = (char)(number << 3 | WIRE_LEN);
    to[1] = (char)n;
    if (n) memcpy(to + 2, p, n);
    return;
  }
  put_bytes(e, p, n);
  put_varint(e, n);
  put_tag(e, number, WIRE_LEN);
}

static void put_field_64(struct encode *e, uint32_t number, const void *v) {
  put_bytes(e, v, 8);
  put_tag(e, number, WIRE_64);
}

/* --- unknown fields -------------------------------------------------------------------------------------- */

struct unknown {
  const struct otlp_msg *msg;
  char *out; /* NULL: only count */
  size_t n;
};

static void unknown_in(struct unknown *u, const char *p, size_t n) {
  const char *end = p + n;
  while (p < end) {
    struct wire_field f;
    const char *at = p;
    if (!(p = wire_next(p, end, &f))) return; /* checked when it was received */
    if (otlp_field_of(u->msg, f.number)) continue;
    if (u->out) memcpy(u->out + u->n, at, (size_t)(p - at));
    u->n += (size_t)(p - at);
  }
}

/* Visits each slice of a source: the occurrences of a field in the occurrences of its parent. */
static void visit(struct unknown *u, const struct source *path[], size_t depth, const char *p, size_t n) {
  if (depth == 0) {
    unknown_in(u, p, n);
    return;
  }
  const char *end = p + n;
  struct wire_field f;
  while (p < end && (p = wire_next(p, end, &f)))
    if (f.number == path[depth - 1]->number && f.type == WIRE_LEN) visit(u, path, depth - 1, f.p, f.v);
}

static void put_unknown(struct encode *e, const struct otlp_msg *msg, const struct source *src) {
  const struct source *path[2]; /* a sub-message of a record or container: Status, Sum, Resource */
  size_t depth = 0;
  for (; src->up; src = src->up) path[depth++] = src;
  if (!src->raw) return;
  struct unknown u = { msg, NULL, 0 };
  visit(&u, path, depth, src->raw, src->raw_n);
  if (!u.n) return;
  u.out = push(e, u.n);
  u.n = 0;
  visit(&u, path, depth, src->raw, src->raw_n);
}

/* --- values ------------------------------------------------------------------------------------------------ */

static void put_attr(struct encode *e, uint32_t number, const struct weir_attr *attr, uint32_t depth);

/* The payload of an AnyValue. Values that a stage built are as deep as it built them; the limit keeps the next hop able to read them. */
static void put_value(struct encode *e, const struct weir_value *v, uint32_t depth) {
  if (depth > OTLP_VALUE_DEPTH) return;
  size_t from = mark(e);
  switch (v->kind) {
  case WEIR_V_STRING: put_field_bytes(e, 1, v->u.s, v->n); break;
  case WEIR_V_BYTES: put_field_bytes(e, 7, v->u.s, v->n); break;
  case WEIR_V_BOOL:
    put_varint(e, v->u.i != 0);
    put_tag(e, 2, WIRE_VARINT);
    break;
  case WEIR_V_INT:
    put_varint(e, (uint64_t)v->u.i);
    put_tag(e, 3, WIRE_VARINT);
    break;
  case WEIR_V_DOUBLE: put_field_64(e, 4, &v->u.d); break;
  case WEIR_V_ARRAY:
    for (uint32_t i = v->n; i-- > 0;) {
      size_t item = mark(e);
      put_value(e, &v->u.items[i], depth + 1);
      put_header(e, 1, item);
    }
    put_header(e, 5, from);
    break;
  case WEIR_V_KVLIST:
    for (uint32_t i = v->n; i-- > 0;) put_attr(e, 1, &v->u.attrs[i], depth + 1);
    put_header(e, 6, from);
    break;
  default: break;
  }
}

static void put_attr(struct encode *e, uint32_t number, const struct weir_attr *attr, uint32_t depth) {
  if (attr->raw) {
    put_field_bytes(e, number, attr->raw, attr->key.aux);
    return;
  }
  size_t from = mark(e);
  put_value(e, &attr->value, depth);
  put_header(e, 2, from);
  if (attr->key.n) put_field_bytes(e, 1, attr->key.p, attr->key.n);
  put_header(e, number, from);
}

static void put_body(struct encode *e, uint32_t number, const struct weir_log *log) {
  if (!log->has_body) return;
  size_t from = mark(e);
  if (log->body_raw && memcmp(&log->body, &log->body_read, sizeof log->body) == 0) put_bytes(e, log->body_raw, log->body_raw_n);
  else put_value(e, &log->body, 0);
  put_header(e, number, from);
}

/* --- messages -------------------------------------------------------------------------------------------------- */

static void put_message(struct encode *e, const struct otlp_msg *msg, const char *obj, const struct source *src);

/* The number under which a record's attributes stand. */
static uint32_t attr_number(const struct otlp_msg *msg) {
  for (uint32_t i = 1; i < msg->n_fields; i++)
    if (msg->fields[i].op == OP_ATTR) return i;
  return 0;
}

/* raw plus the attributes behind it, when that is what the record is. */
static int put_unchanged(struct encode *e, const struct otlp_msg *msg, const struct weir_rec *rec) {
  if (!rec->raw || rec->dirty & RECORD_REWRITE) return 0;
  if (rec->dirty & RECORD_APPENDED) {
    uint32_t number = attr_number(msg);
    for (uint32_t i = rec->n_attrs; i-- > rec->n_raw_attrs;) put_attr(e, number, &rec->attrs[i], 0);
  }
  put_bytes(e, rec->raw, rec->raw_n);
  return 1;
}

static int any_dirty(struct weir_rec *const *recs, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (recs[i]->dirty & RECORD_CHANGED) return 1;
  return 0;
}

/* A record below this one (event, link, point, exemplar) may be dirty while this one is not. */
static int has_dirty_child(const struct weir_rec *rec) {
  const void *obj = rec;
  if (rec->kind == WEIR_R_SPAN) {
    const struct weir_span *s = obj;
    return any_dirty((struct weir_rec *const *)(void *)s->events, s->n_events) || any_dirty((struct weir_rec *const *)(void *)s->links, s->n_links);
  }
  if (rec->kind == WEIR_R_POINT) {
    const struct weir_point *pt = obj;
    return any_dirty((struct weir_rec *const *)(void *)pt->exemplars, pt->n_exemplars);
  }
  if (rec->kind != WEIR_R_METRIC) return 0;
  const struct weir_metric *m = obj;
  for (uint32_t i = 0; i < m->n_points; i++)
    if (m->points.any[i]->rec.dirty & RECORD_CHANGED || has_dirty_child(&m->points.any[i]->rec)) return 1;
  return 0;
}

static void put_child(struct encode *e, uint32_t number, const struct otlp_msg *msg, const char *obj) {
  const struct weir_rec *rec = (const struct weir_rec *)(const void *)obj;
  size_t from = mark(e);
  struct source src = { NULL, rec->raw, rec->raw_n, 0 };
  if (msg->kind == WEIR_R_RESOURCE) {
    src.raw = ((const struct weir_resource *)(const void *)obj)->envelope;
    src.raw_n = ((const struct weir_resource *)(const void *)obj)->envelope_n;
  } else if (msg->kind == WEIR_R_SCOPE) {
    src.raw = ((const struct weir_scope *)(const void *)obj)->envelope;
    src.raw_n = ((const struct weir_scope *)(const void *)obj)->envelope_n;
  }
  int container = msg->kind == WEIR_R_RESOURCE || msg->kind == WEIR_R_SCOPE;
  if (container || has_dirty_child(rec) || !put_unchanged(e, msg, rec)) put_message(e, msg, obj, &src);
  put_header(e, number, from);
}

/* What was received of a metric behind the last member of its oneof that another one replaced. */
static struct source after_replaced(const struct source *metric, uint32_t member) {
  struct source left = *metric;
  const char *p = metric->raw, *end = p + metric->raw_n;
  struct wire_field f;
  while (metric->raw && p < end && (p = wire_next(p, end, &f))) {
    const struct otlp_field *field = otlp_field_of(&otlp_metric, f.number);
    if (!field || field->op != OP_ONEOF_SUB || f.number == member) continue;
    left.raw = p;
    left.raw_n = (size_t)(end - p);
  }
  return left;
}

/* A singular message whose fields live in obj. */
static void put_sub(struct encode *e, uint32_t number, const struct otlp_field *f, const char *obj, const struct source *up) {
  const struct weir_rec *rec = (const struct weir_rec *)(const void *)obj;
  uint32_t present;
  memcpy(&present, obj + f->count, sizeof present);
  if (!present) return;
  size_t from = mark(e);
  struct source src = { up, NULL, 0, number }, left;
  if (f->op == OP_ONEOF_SUB) {
    if (present != f->arg) return;
    if (rec->dirty & RECORD_UNKNOWN) {
      left = after_replaced(up, number);
      src.up = &left;
    }
  }
  put_message(e, f->msg, obj, &src);
  put_header(e, number, from);
}

/* Resource, InstrumentationScope. */
static void put_identity(struct encode *e, uint32_t number, const struct otlp_field *f, const char *obj, const struct source *up) {
  const struct weir_rec *rec = (const struct weir_rec *)(const void *)obj;
  struct source src = { up, NULL, 0, number };
  size_t from = mark(e);
  if (!put_unchanged(e, f->msg, rec)) put_message(e, f->msg, obj, &src);
  if (mark(e) == from && !rec->raw) return; /* there was none and there is nothing to say */
  put_header(e, number, from);
}

/* ValueAtQuantile has no raw of its own: the unknown fields of the i-th received one stay with the i-th. */
static void put_quantiles(struct encode *e, uint32_t number, const struct otlp_field *f, const char *array, uint32_t n, const struct source *src) {
  const struct source *received = NULL;
  struct wire_field w;
  if (src && src->raw) {
    struct source *list = arena_zalloc(e->a, n * sizeof *list);
    const char *p = src->raw, *end = p + src->raw_n;
    for (uint32_t i = 0; i < n && p < end && (p = wire_next(p, end, &w));)
      if (w.number == number) list[i++] = (struct source){ NULL, w.p, w.v, 0 };
    received = list;
  }
  for (uint32_t i = n; i-- > 0;) {
    size_t item = mark(e);
    if (received) put_unknown(e, f->msg, &received[i]);
    put_message(e, f->msg, array + i * sizeof(struct weir_quantile), NULL);
    put_header(e, number, item);
  }
}

static void put_repeated(struct encode *e, uint32_t number, const struct otlp_field *f, const char *obj, const struct source *src) {
  uint32_t n;
  const char *array;
  memcpy(&n, obj + f->count, sizeof n);
  memcpy(&array, obj + f->offset, sizeof array);
  if (!n) return;
  size_t from = mark(e);
  if (f->op == OP_REP64) {
    put_bytes(e, array, (size_t)n * 8);
  } else if (f->op == OP_REPVAR) {
    for (uint32_t i = n; i-- > 0;) put_varint(e, wire_load64(array + (size_t)i * 8));
  } else { /* OP_QUANTILE */
    put_quantiles(e, number, f, array, n, ((const struct weir_rec *)(const void *)obj)->dirty & RECORD_UNKNOWN ? src : NULL);
    return;
  }
  put_header(e, number, from);
}

static void put_scalar(struct encode *e, uint32_t number, const struct otlp_field *f, const char *obj) {
  const char *at = obj + f->offset;
  uint64_t v64;
  uint32_t v32, has = 0;
  switch (f->op) {
  case OP_STR: {
    struct weir_str s;
    memcpy(&s, at, sizeof s);
    if (s.n) put_field_bytes(e, number, s.p, s.n);
    return;
  }
  case OP_OPT64: memcpy(&has, obj + f->count, sizeof has); /* fall through */
  case OP_FIXED64:
    memcpy(&v64, at, 8);
    if (f->op == OP_OPT64 ? has & f->arg : v64 != 0) put_field_64(e, number, at);
    return;
  case OP_NUM_DOUBLE:
  case OP_NUM_INT: {
    struct weir_value v;
    memcpy(&v, at, sizeof v);
    if (v.kind == (f->op == OP_NUM_INT ? WEIR_V_INT : WEIR_V_DOUBLE)) put_field_64(e, number, &v.u);
    return;
  }
  default: break;
  }
  memcpy(&v32, at, 4);
  if (!v32) return;
  if (f->op == OP_FIXED32) put_bytes(e, at, 4);
  else if (f->op == OP_SINT32) put_varint(e, (v32 << 1) ^ (0u - (v32 >> 31)));
  else if (f->arg == OTLP_SIGNED) put_varint(e, (uint64_t)(int64_t)(int32_t)v32); /* negative enums take ten bytes, as everywhere */
  else put_varint(e, v32);
  put_tag(e, number, f->wire);
}

static void put_field(struct encode *e, uint32_t number, const struct otlp_field *f, const char *obj, const struct source *src) {
  const struct weir_rec *rec = (const struct weir_rec *)(const void *)obj;
  switch (f->op) {
  case OP_NONE: return;
  case OP_ATTR:
    for (uint32_t i = rec->n_attrs; i-- > 0;) put_attr(e, number, &rec->attrs[i], 0);
    return;
  case OP_CHILD: {
    uint32_t n;
    char *const *kids;
    memcpy(&n, obj + f->count, sizeof n);
    memcpy(&kids, obj + f->offset, sizeof kids);
    for (uint32_t i = n; i-- > 0;) put_child(e, number, f->msg, kids[i]);
    return;
  }
  case OP_SUB:
  case OP_ONEOF_SUB:
    if (f->arg == OTLP_IDENTITY) put_identity(e, number, f, obj, src);
    else put_sub(e, number, f, obj, src);
    return;
  case OP_VALUE: put_body(e, number, (const struct weir_log *)(const void *)obj); return;
  case OP_REP64:
  case OP_REPVAR:
  case OP_QUANTILE: put_repeated(e, number, f, obj, src); return;
  default: put_scalar(e, number, f, obj); return;
  }
}

static void put_message(struct encode *e, const struct otlp_msg *msg, const char *obj, const struct source *src) {
  if (src && ((const struct weir_rec *)(const void *)obj)->dirty & RECORD_UNKNOWN) put_unknown(e, msg, src);
  for (uint32_t i = msg->n_fields; i-- > 1;) put_field(e, i, &msg->fields[i], obj, src);
}

int otlp_encode_sized(const struct weir_data *data, struct arena *a, size_t guess, const char **ret_p, size_t *ret_n, struct weir_error *err) {
  struct encode e = { a, NULL, NULL, guess + 1024 };
  e.buf = arena_alloc(a, e.cap);
  e.p = e.buf + e.cap;
  const struct otlp_msg *container = otlp_request(data->signal)->fields[1].msg;
  struct source top = { NULL, data->envelope, data->envelope_n, 0 };
  put_unknown(&e, otlp_request(data->signal), &top);
  for (uint32_t i = data->n_resources; i-- > 0;) put_child(&e, 1, container, (const char *)data->resources[i]);
  *ret_p = e.p;
  *ret_n = mark(&e);
  if (*ret_n > INT32_MAX) return weir_fail(err, WEIR_E_LIMIT, "the encoded message is over 2 GiB");
  return 0;
}

int otlp_encode(const struct weir_data *data, struct arena *a, const char **ret_p, size_t *ret_n, struct weir_error *err) {
  return otlp_encode_sized(data, a, 4096, ret_p, ret_n, err);
}
