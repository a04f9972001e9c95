/*
 * Cutting a part in two by item count, on its bytes: what stands on either side of the cut goes over as it is, and only the containers that the cut goes
 * through are framed twice. A metric is cut between its data points and repeats its name, unit and data header in both halves.
 */
#include "core/assert.h"
#include "core/otlp.h"
#include "core/otlp_table.h"
#include "core/wire.h"

#include <stdlib.h>

/* A growing run of bytes in an arena's block; the halves are never longer than the whole plus the repeated headers. */
struct out {
  char *buf;
  size_t n, cap;
};

static void out_put(struct out *o, const void *p, size_t n) {
  if (o->cap - o->n < n) {
    size_t cap = o->cap ? o->cap * 2 : 4096;
    while (cap - o->n < n) cap *= 2;
    o->buf = realloc(o->buf, cap);
    WEIR_ASSERT(o->buf != NULL);
    o->cap = cap;
  }
  if (n) memcpy(o->buf + o->n, p, n);
  o->n += n;
}

static void out_field(struct out *o, uint32_t number, const struct out *payload) {
  char head[20], *end = wire_put_varint(head, (uint64_t)number << 3 | WIRE_LEN);
  end = wire_put_varint(end, payload->n);
  out_put(o, head, (size_t)(end - head));
  out_put(o, payload->buf, payload->n);
}

/* Whether a field leads to records, or is one. */
static int leads_to_records(const struct otlp_field *f) {
  if (!f || !f->msg) return 0;
  uint16_t kind = f->msg->kind;
  return f->op == OP_ONEOF_SUB || (f->op == OP_CHILD && (f->msg->is_record || kind == WEIR_R_RESOURCE || kind == WEIR_R_SCOPE || kind == WEIR_R_METRIC));
}

static uint64_t count_items(const struct otlp_msg *msg, const char *p, const char *end) {
  uint64_t items = 0;
  struct wire_field f;
  while (p < end && (p = wire_next(p, end, &f))) {
    const struct otlp_field *field = otlp_field_of(msg, f.number);
    if (!leads_to_records(field)) continue;
    items += field->msg->is_record ? 1 : count_items(field->msg, f.p, f.p + f.v);
  }
  return items;
}

/* Puts the first *left items of a message into head, the others into tail; everything else into both. Depth: at most the containers'. */
static void split_message(const struct otlp_msg *msg, const char *p, const char *end, uint64_t *left, struct out *head, struct out *tail) {
  while (p < end) {
    struct wire_field f;
    const char *at = p;
    if (!(p = wire_next(p, end, &f))) return; /* checked when it was received */
    const struct otlp_field *field = otlp_field_of(msg, f.number);
    if (!leads_to_records(field)) {
      out_put(head, at, (size_t)(p - at));
      out_put(tail, at, (size_t)(p - at));
      continue;
    }
    uint64_t items = field->msg->is_record ? 1 : count_items(field->msg, f.p, f.p + f.v);
    if (items <= *left && *left > 0) {
      *left -= items;
      out_put(head, at, (size_t)(p - at));
    } else if (*left == 0) {
      out_put(tail, at, (size_t)(p - at));
    } else {
      struct out a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
      split_message(field->msg, f.p, f.p + f.v, left, &a, &b);
      out_field(head, f.number, &a);
      out_field(tail, f.number, &b);
      free(a.buf);
      free(b.buf);
    }
  }
}

static struct part *part_of_bytes(struct pool *pool, uint32_t signal, const struct out *o, struct weir_error *err) {
  struct part *part = NULL;
  struct weir_body *body = body_new(pool, o->n);
  if (!body) {
    weir_fail(err, WEIR_E_NOMEM, "no memory in the byte budget to split a batch of %zu bytes", o->n);
    return NULL;
  }
  if (o->n) memcpy(body->p, o->buf, o->n);
  body->n = o->n;
  if (part_from_otlp(pool, signal, body, body->p, body->n, WEIR_VALIDATE_ENVELOPE, 0, NULL, &part, err)) return NULL;
  return part;
}

int part_split(struct pool *pool, struct part **at, uint64_t items, struct part **ret_head, struct weir_error *err) {
  struct part *part = *at;
  CHECK_MAGIC(part, PART_MAGIC);
  WEIR_ASSERT(items > 0 && items < part->items);
  struct arena scratch;
  struct iov_list wire = { NULL, 0, 0, { { NULL, 0 } } };
  size_t n = 0;
  arena_init(&scratch, NULL, 0);
  int r = part_encode(part, &scratch, &wire, &n, err);
  if (!r) {
    struct out a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
    const char *p = wire.n ? wire.inline_v[0].p : "";
    split_message(otlp_request(part->signal), p, p + n, &items, &a, &b);
    struct part *head = part_of_bytes(pool, part->signal, &a, err);
    struct part *tail = head ? part_of_bytes(pool, part->signal, &b, err) : NULL;
    free(a.buf);
    free(b.buf);
    if (tail) {
      head->flags |= part->flags & PART_CHECKED;
      tail->flags |= part->flags & PART_CHECKED;
      part_unref(part);
      *at = tail;
      *ret_head = head;
    } else {
      part_unref(head);
      r = WEIR_E_NOMEM;
    }
  }
  iov_done(&wire);
  arena_done(&scratch);
  return r;
}
