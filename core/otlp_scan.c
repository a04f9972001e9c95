/* One pass over a request that checks everything a decode relies on, or (envelope) counts its records. */
#include "core/otlp_walk.h"

struct scan {
  struct otlp_walk w;
  int envelope;
};

static int scan_message(struct scan *s, const struct otlp_msg *msg, const char *p, const char *end, const struct otlp_frame *frame);

/* Packed varints must end with their field. */
static int scan_packed(struct scan *s, const struct otlp_field *field, const struct wire_field *f, const char *at, const struct otlp_frame *frame) {
  const char *p = f->p, *end = f->p + f->v;
  uint64_t v;
  if (field->op == OP_REP64 && f->v % 8) return otlp_walk_fail(&s->w, WEIR_E_INVALID, frame, field, at, "packed length %llu is no multiple of 8", (unsigned long long)f->v);
  if (field->op == OP_REPVAR)
    while (p < end)
      if (!(p = wire_varint(p, end, &v))) return otlp_walk_fail(&s->w, WEIR_E_INVALID, frame, field, at, "a packed number is cut off");
  return 0;
}

/* With validation: envelope only containers are entered; what is inside a record is the next hop's. */
static int skips(const struct scan *s, const struct otlp_field *field) {
  if (!s->envelope) return 0;
  uint16_t kind = field->msg->kind;
  return !(field->op == OP_ONEOF_SUB || (field->op == OP_CHILD && (kind == WEIR_R_RESOURCE || kind == WEIR_R_SCOPE || kind == WEIR_R_METRIC)));
}

static int scan_child(struct scan *s, const struct otlp_field *field, const struct wire_field *f, const char *at, const struct otlp_frame *frame) {
  int enters = !skips(s, field);
  if (enters && otlp_is_element(field) && ++s->w.elements > s->w.limits.max_elements) return otlp_walk_elements(&s->w, frame, field, at);
  struct weir_attr plain;
  if (field->op == OP_ATTR && frame->depth + 2 <= s->w.limits.max_depth && otlp_plain_attr(&plain, f->p, f->v)) return 0;
  struct otlp_frame down = { frame, field, frame->depth + 1 };
  if (enters && down.depth > s->w.limits.max_depth) return otlp_walk_too_deep(&s->w, frame, field, at);
  if (field->msg->is_record && ++s->w.items > s->w.limits.max_records) return otlp_walk_records(&s->w, frame, field, at);
  if (!enters) return 0;
  return scan_message(s, field->msg, f->p, f->p + f->v, &down);
}

static int scan_message(struct scan *s, const struct otlp_msg *msg, const char *p, const char *end, const struct otlp_frame *frame) {
  uint32_t n_attrs = 0, member = 0;
  uint64_t items_before = s->w.items;
  while (p < end) {
    struct wire_field f;
    const char *at = p;
    if (!(p = wire_next(p, end, &f))) return otlp_walk_malformed(&s->w, frame, at, end);
    const struct otlp_field *field = otlp_field_of(msg, f.number);
    if (!field) continue;
    int r = 0;
    if (f.type != field->wire) {
      if (!otlp_type_fits(field, f.type)) return otlp_walk_wrong_type(&s->w, frame, field, f.type, at);
    } else if (field->msg) {
      if (field->op == OP_ATTR && ++n_attrs > s->w.limits.max_attributes) return otlp_walk_attributes(&s->w, frame, field, at);
      if (field->op == OP_ONEOF_SUB && member != f.number) { /* another member replaces what came before */
        member = f.number;
        s->w.items = items_before;
      }
      r = scan_child(s, field, &f, at, frame);
    } else if (field->op >= OP_REP64 && !s->envelope) {
      r = scan_packed(s, field, &f, at, frame);
    }
    if (r) return r;
  }
  return 0;
}

static int scan(uint32_t signal, const char *p, size_t n, const struct otlp_limits *limits, int envelope, struct otlp_counts *ret,
  struct weir_error *err) {
  struct scan s;
  struct otlp_frame top = { NULL, NULL, 0 };
  otlp_walk_init(&s.w, p, limits, err);
  s.envelope = envelope;
  int r = scan_message(&s, otlp_request(signal), p, p + n, &top);
  ret->items = s.w.items;
  return r;
}

int otlp_scan(uint32_t signal, const char *p, size_t n, const struct otlp_limits *limits, struct otlp_counts *ret, struct weir_error *err) {
  return scan(signal, p, n, limits, 0, ret, err);
}

int otlp_count(uint32_t signal, const char *p, size_t n, const struct otlp_limits *limits, struct otlp_counts *ret, struct weir_error *err) {
  return scan(signal, p, n, limits, 1, ret, err);
}
