#include "tests/unit/support/otlp_gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t gen_next(struct gen *g) { /* splitmix64 */
  uint64_t z = (g->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

uint64_t gen_below(struct gen *g, uint64_t n) { return gen_next(g) % n; }

void gen_append(struct gen_bytes *b, const void *p, size_t n) {
  if (b->cap - b->n < n + 1) {
    b->cap = (b->cap + n + 64) * 2;
    b->p = realloc(b->p, b->cap);
    if (!b->p) abort();
  }
  if (n) memcpy(b->p + b->n, p, n);
  b->n += n;
}

void gen_varint(struct gen_bytes *b, uint64_t v) {
  do {
    char byte = (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
    gen_append(b, &byte, 1);
    v >>= 7;
  } while (v);
}

/* A varint with `more` needless bytes, at most 10 in all. */
static void put_overlong(struct gen_bytes *b, uint64_t v, int more) {
  size_t from = b->n;
  gen_varint(b, v);
  while (more-- > 0 && b->n - from < 10) {
    b->p[b->n - 1] = (char)(b->p[b->n - 1] | 0x80);
    gen_append(b, "", 1);
  }
}

void gen_field(struct gen_bytes *b, uint32_t number, const void *p, size_t n) {
  gen_varint(b, (uint64_t)number << 3 | 2);
  gen_varint(b, n);
  gen_append(b, p, n);
}

/* --- random messages ---------------------------------------------------------------------------------- */

static uint64_t random_number(struct gen *g) {
  static const uint64_t edges[] = { 0, 1, 2, 127, 128, 255, 16383, 16384, INT32_MAX, (uint64_t)INT32_MAX + 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1,
    INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX };
  uint64_t kind = gen_below(g, 4);
  if (kind == 0) return edges[gen_below(g, sizeof edges / sizeof *edges)];
  if (kind == 1) return gen_next(g);
  return gen_below(g, 300);
}

static void random_text(struct gen *g, struct gen_bytes *b) {
  static const char *const texts[] = { "service.name", "http.request.method", "GET", "ok", "\0nul\0", "\xff\xfe bad utf-8 \xc0", "k", "caf\xc3\xa9" };
  static const size_t lengths[] = { 12, 19, 3, 2, 5, 13, 1, 5 };
  uint64_t i = gen_below(g, 10);
  if (i < 8) {
    gen_append(b, texts[i], lengths[i]);
  } else if (i == 8) { /* 16 bytes like an id, or a long one over the one-byte lengths */
    for (uint64_t n = gen_below(g, 2) ? 16 : 100 + gen_below(g, 200); n-- > 0;) {
      char c = (char)gen_next(g);
      gen_append(b, &c, 1);
    }
  } /* 9: empty */
}

/* A field's bytes for a message that will be JSON. */
static void json_text(struct gen *g, const ProtobufCFieldDescriptor *f, struct gen_bytes *b) {
  static const char *const texts[] = { "GET", "", "\0nul\0", "\"quoted\" \\ / \b\f\n\r\t\x1f\x7f", "caf\xc3\xa9 \xe4\xb8\x96 \xf0\x9f\x98\x80", "12345678\"", "\xe2\x80\xa8" };
  static const size_t lengths[] = { 3, 0, 5, 20, 14, 9, 3 };
  size_t n = strstr(f->name, "trace_id") ? 16 : strstr(f->name, "span_id") ? 8 : 0;
  if (n || strcmp(f->name, "bytes_value") == 0) {
    for (n = n ? (gen_below(g, 4) ? n : 0) : gen_below(g, 40); n-- > 0;) {
      char c = (char)gen_next(g);
      gen_append(b, &c, 1);
    }
    return;
  }
  for (uint64_t times = gen_below(g, 20) ? gen_below(g, 3) : 40; times-- > 0;) {
    uint64_t i = gen_below(g, 7);
    gen_append(b, texts[i], lengths[i]);
  }
}

static uint32_t wire_type(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_DOUBLE: return 1;
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32:
  case PROTOBUF_C_TYPE_FLOAT: return 5;
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_BYTES:
  case PROTOBUF_C_TYPE_MESSAGE: return 2;
  default: return 0;
  }
}

static uint64_t scalar_of(struct gen *g, const ProtobufCFieldDescriptor *f) {
  uint64_t v = random_number(g);
  if (f->type == PROTOBUF_C_TYPE_BOOL) return v & 1;
  if (f->type == PROTOBUF_C_TYPE_UINT32 || f->type == PROTOBUF_C_TYPE_SINT32) return (uint32_t)v;
  if (f->type == PROTOBUF_C_TYPE_ENUM || f->type == PROTOBUF_C_TYPE_INT32) return (uint64_t)(int64_t)(int32_t)v;
  if (f->type == PROTOBUF_C_TYPE_DOUBLE && gen_below(g, 3) == 0) v = 0x8000000000000000u; /* -0.0 */
  if (f->type == PROTOBUF_C_TYPE_DOUBLE && g->json && (v & 0x7ff0000000000000u) == 0x7ff0000000000000u && v << 12) v = 0x7ff8000000000000u;
  return v;
}

static void put_scalar(struct gen *g, const ProtobufCFieldDescriptor *f, struct gen_bytes *b) {
  uint64_t v = scalar_of(g, f);
  uint32_t type = wire_type(f->type);
  if (type == 1) gen_append(b, &v, 8);
  else if (type == 5) gen_append(b, &v, 4);
  else put_overlong(b, v, g->wild && gen_below(g, 8) == 0 ? (int)gen_below(g, 10) : 0);
}

static void put_element(struct gen *g, const ProtobufCFieldDescriptor *f, int depth, struct gen_bytes *b) {
  uint32_t type = wire_type(f->type);
  put_overlong(b, (uint64_t)f->id << 3 | type, g->wild && gen_below(g, 30) == 0);
  if (type != 2) {
    put_scalar(g, f, b);
    return;
  }
  struct gen_bytes inner = { NULL, 0, 0 };
  if (f->type == PROTOBUF_C_TYPE_MESSAGE) gen_message(g, f->descriptor, depth + 1, &inner);
  else if (g->json) json_text(g, f, &inner);
  else random_text(g, &inner);
  put_overlong(b, inner.n, g->wild && gen_below(g, 30) == 0);
  gen_append(b, inner.p, inner.n);
  free(inner.p);
}

static void put_packed(struct gen *g, const ProtobufCFieldDescriptor *f, uint64_t times, struct gen_bytes *b) {
  struct gen_bytes inner = { NULL, 0, 0 };
  while (times-- > 0) put_scalar(g, f, &inner);
  gen_field(b, f->id, inner.p, inner.n);
  free(inner.p);
}

static void put_unknown(struct gen *g, struct gen_bytes *b) {
  uint64_t kind = gen_below(g, 4), v = gen_next(g);
  uint32_t number = (uint32_t)(100 + gen_below(g, 3) * 500);
  static const uint32_t types[] = { 0, 1, 2, 5 };
  if (kind == 2) {
    gen_field(b, number, "\x0a\xff\xff unknown", 11); /* no message: it must not be looked into */
    return;
  }
  gen_varint(b, (uint64_t)number << 3 | types[kind]);
  if (kind == 0) gen_varint(b, v);
  else gen_append(b, &v, kind == 1 ? 8 : 4);
}

/* How often a field is written. Deep down everything becomes rare, so that messages end. */
static uint64_t times_of(struct gen *g, const ProtobufCFieldDescriptor *f, int depth) {
  int recursive = f->type == PROTOBUF_C_TYPE_MESSAGE && depth > 6;
  if (recursive && gen_below(g, (uint64_t)depth) > 3) return 0;
  if (f->label == PROTOBUF_C_LABEL_REPEATED) return gen_below(g, (uint64_t)g->max_repeat + 1);
  if (g->wild && gen_below(g, 12) == 0) return 2;
  return gen_below(g, 4) > 0;
}

#define PIECES_MAX 256

/* The pieces of a message in an order of choice. */
static void put_ordered(struct gen *g, const struct gen_bytes *pieces, size_t n, struct gen_bytes *out) {
  size_t order[PIECES_MAX];
  uint64_t how = g->wild ? gen_below(g, 3) : 0;
  for (size_t i = 0; i < n; i++) order[i] = how == 1 ? n - 1 - i : i;
  for (size_t i = n; how == 2 && i > 1; i--) {
    size_t k = gen_below(g, i), tmp = order[i - 1];
    order[i - 1] = order[k];
    order[k] = tmp;
  }
  for (size_t i = 0; i < n; i++) gen_append(out, pieces[order[i]].p, pieces[order[i]].n);
}

/* Of a oneof one member is written: the one that `pick` chooses; wild messages may write more. */
static int skips_member(struct gen *g, const ProtobufCMessageDescriptor *d, unsigned i, uint64_t pick) {
  const ProtobufCFieldDescriptor *f = &d->fields[i];
  if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) return 0;
  unsigned members = 0, mine = 0;
  for (unsigned k = 0; k < d->n_fields; k++) {
    if (d->fields[k].quantifier_offset != f->quantifier_offset || !(d->fields[k].flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) continue;
    if (k == i) mine = members;
    members++;
  }
  return mine != pick % members && !(g->wild && gen_below(g, 10) == 0);
}

void gen_message(struct gen *g, const ProtobufCMessageDescriptor *d, int depth, struct gen_bytes *out) {
  struct gen_bytes pieces[PIECES_MAX];
  size_t n = 0;
  uint64_t pick = gen_next(g);
  for (unsigned i = 0; i < d->n_fields; i++) {
    const ProtobufCFieldDescriptor *f = &d->fields[i];
    uint64_t times = skips_member(g, d, i, pick) ? 0 : times_of(g, f, depth);
    if (f->label == PROTOBUF_C_LABEL_REPEATED && wire_type(f->type) != 2 && times && (!g->wild || gen_below(g, 2))) {
      pieces[n] = (struct gen_bytes){ NULL, 0, 0 };
      put_packed(g, f, times, &pieces[n++]);
      continue;
    }
    while (times-- > 0 && n < PIECES_MAX - 4) {
      pieces[n] = (struct gen_bytes){ NULL, 0, 0 };
      put_element(g, f, depth, &pieces[n++]);
    }
  }
  for (int k = 0; k < 3 && g->wild && gen_below(g, 6) == 0; k++) {
    pieces[n] = (struct gen_bytes){ NULL, 0, 0 };
    put_unknown(g, &pieces[n++]);
  }
  put_ordered(g, pieces, n, out);
  for (size_t i = 0; i < n; i++) free(pieces[i].p);
}

void gen_mutate(struct gen *g, struct gen_bytes *b) {
  for (uint64_t times = 1 + gen_below(g, 4); times-- > 0 && b->n > 0;) {
    size_t at = gen_below(g, b->n), n = 1 + gen_below(g, 8);
    if (n > b->n - at) n = b->n - at;
    switch (gen_below(g, 5)) {
    case 0: b->p[at] = (char)(b->p[at] ^ (1 << gen_below(g, 8))); break;
    case 1: b->p[at] = (char)gen_next(g); break;
    case 2: b->n = at; break;
    case 3: /* remove */
      memmove(b->p + at, b->p + at + n, b->n - at - n);
      b->n -= n;
      break;
    default: { /* splice a piece of itself in */
      char piece[8];
      memcpy(piece, b->p + gen_below(g, b->n - n + 1), n);
      gen_append(b, piece, n); /* room */
      memmove(b->p + at + n, b->p + at, b->n - n - at);
      memcpy(b->p + at, piece, n);
    }
    }
  }
}

/* --- normalize ------------------------------------------------------------------------------------------- */

struct one_field {
  uint32_t number, type;
  const char *start, *payload, *end;
};

static const char *read_varint(const char *p, const char *end, int max, uint64_t *ret) {
  *ret = 0;
  for (int i = 0; i < max && p < end; i++) {
    unsigned char c = (unsigned char)*p++;
    if (i < 9) *ret |= (uint64_t)(c & 0x7f) << (7 * i);
    else *ret |= (uint64_t)(c & 1) << 63;
    if (c < 0x80) return p;
  }
  return NULL;
}

static const char *read_field(const char *p, const char *end, struct one_field *f) {
  uint64_t v;
  f->start = p;
  if (!(p = read_varint(p, end, 5, &v))) return NULL;
  f->number = (uint32_t)(v >> 3);
  f->type = v & 7;
  f->payload = p;
  switch (f->type) {
  case 0: p = read_varint(p, end, 10, &v); break;
  case 1: p = end - p < 8 ? NULL : p + 8; break;
  case 2:
    if (!(p = read_varint(p, end, 5, &v)) || v > (uint64_t)(end - p)) return NULL;
    f->payload = p;
    p += v;
    break;
  case 5: p = end - p < 4 ? NULL : p + 4; break;
  default: return NULL;
  }
  f->end = p;
  return p;
}

static const ProtobufCFieldDescriptor *message_field(const ProtobufCMessageDescriptor *d, const struct one_field *f) {
  const ProtobufCFieldDescriptor *fd = protobuf_c_message_descriptor_get_field(d, f->number);
  return fd && fd->type == PROTOBUF_C_TYPE_MESSAGE && f->type == 2 ? fd : NULL;
}

static int same_oneof(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *a, uint32_t number) {
  const ProtobufCFieldDescriptor *b = protobuf_c_message_descriptor_get_field(d, number);
  return b && b != a && (b->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && a->quantifier_offset == b->quantifier_offset;
}

static int readable(const ProtobufCMessageDescriptor *d, const struct gen_bytes *b) {
  ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, b->n, (const uint8_t *)b->p);
  if (m) protobuf_c_message_free_unpacked(m, NULL);
  return m != NULL;
}

/* Joins every occurrence of field `fd` from p on; a different member of its oneof starts anew. Each occurrence must be readable alone. */
static int join(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *fd, const char *p, const char *end, struct gen_bytes *out) {
  struct one_field f;
  while (p < end) {
    if (!(p = read_field(p, end, &f))) return 0;
    if ((fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && same_oneof(d, fd, f.number)) out->n = 0;
    if (f.number != fd->id || f.type != 2) continue;
    struct gen_bytes one = { NULL, 0, 0 };
    int ok = gen_normalize(fd->descriptor, f.payload, (size_t)(f.end - f.payload), &one) && readable(fd->descriptor, &one);
    free(one.p);
    if (!ok) return 0;
    gen_append(out, f.payload, (size_t)(f.end - f.payload));
  }
  return 1;
}

/* Whether this occurrence of a singular message is the last that its oneof or field has. */
static int is_last(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *fd, const char *p, const char *end) {
  struct one_field f;
  while (p < end && (p = read_field(p, end, &f)))
    if (f.number == fd->id || ((fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && same_oneof(d, fd, f.number))) return 0;
  return 1;
}

int gen_normalize(const ProtobufCMessageDescriptor *d, const char *start, size_t n, struct gen_bytes *out) {
  const char *p = start, *end = start + n;
  struct one_field f;
  while (p < end) {
    if (!(p = read_field(p, end, &f))) return 0;
    const ProtobufCFieldDescriptor *fd = message_field(d, &f);
    if (!fd) {
      gen_append(out, f.start, (size_t)(f.end - f.start));
      continue;
    }
    struct gen_bytes joined = { NULL, 0, 0 }, inner = { NULL, 0, 0 };
    int ok = 1, last = 1;
    if (fd->label == PROTOBUF_C_LABEL_REPEATED) {
      gen_append(&joined, f.payload, (size_t)(f.end - f.payload));
    } else {
      last = is_last(d, fd, p, end);
      ok = join(d, fd, start, end, &joined);
    }
    ok = ok && gen_normalize(fd->descriptor, joined.p ? joined.p : "", joined.n, &inner);
    if (ok && last) gen_field(out, f.number, inner.p, inner.n);
    free(joined.p);
    free(inner.p);
    if (!ok) return 0;
  }
  return 1;
}

/* --- compare ------------------------------------------------------------------------------------------------ */

static int differ_at(const char *name, char *where, size_t cap) {
  char rest[512];
  snprintf(rest, sizeof rest, "%s", where);
  snprintf(where, cap, "%s%s%.400s", name, *rest ? "." : "", rest);
  return 1;
}

static int element_differs(const ProtobufCFieldDescriptor *f, const void *a, const void *b, char *where, size_t cap) {
  switch (f->type) {
  case PROTOBUF_C_TYPE_MESSAGE: {
    const ProtobufCMessage *ma = *(ProtobufCMessage *const *)a, *mb = *(ProtobufCMessage *const *)b;
    if (!ma || !mb) return ma != mb;
    return gen_differ(ma, mb, where, cap);
  }
  case PROTOBUF_C_TYPE_BYTES: {
    const ProtobufCBinaryData *x = a, *y = b;
    return x->len != y->len || (x->len && memcmp(x->data, y->data, x->len) != 0);
  }
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_DOUBLE:
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_UINT64: return memcmp(a, b, 8) != 0;
  default: return memcmp(a, b, 4) != 0;
  }
}

static size_t element_size(ProtobufCType type) {
  if (type == PROTOBUF_C_TYPE_BYTES) return sizeof(ProtobufCBinaryData);
  if (type == PROTOBUF_C_TYPE_MESSAGE) return sizeof(void *);
  return wire_type(type) == 1 || type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_UINT64 ? 8 : 4;
}

static int field_differs(const ProtobufCFieldDescriptor *f, const char *a, const char *b, char *where, size_t cap) {
  if (f->label == PROTOBUF_C_LABEL_REPEATED) {
    size_t na = *(const size_t *)(const void *)(a + f->quantifier_offset), nb = *(const size_t *)(const void *)(b + f->quantifier_offset);
    if (na != nb) return 1;
    const char *xa = *(char *const *)(const void *)(a + f->offset), *xb = *(char *const *)(const void *)(b + f->offset);
    for (size_t i = 0; i < na; i++)
      if (element_differs(f, xa + i * element_size(f->type), xb + i * element_size(f->type), where, cap)) return 1;
    return 0;
  }
  if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
    uint32_t ca = *(const uint32_t *)(const void *)(a + f->quantifier_offset), cb = *(const uint32_t *)(const void *)(b + f->quantifier_offset);
    if (ca != cb) return 1;
    if (ca != f->id) return 0;
  }
  return element_differs(f, a + f->offset, b + f->offset, where, cap);
}

int gen_differ(const ProtobufCMessage *a, const ProtobufCMessage *b, char *where, size_t cap) {
  where[0] = 0;
  if (a->descriptor != b->descriptor) return differ_at("descriptor", where, cap);
  for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
    const ProtobufCFieldDescriptor *f = &a->descriptor->fields[i];
    if (field_differs(f, (const char *)a, (const char *)b, where, cap)) return differ_at(f->name, where, cap);
    where[0] = 0;
  }
  if (a->n_unknown_fields != b->n_unknown_fields) return differ_at("unknown fields", where, cap);
  for (unsigned i = 0; i < a->n_unknown_fields; i++) {
    const ProtobufCMessageUnknownField *x = &a->unknown_fields[i], *y = &b->unknown_fields[i];
    if (x->tag != y->tag || x->len != y->len || memcmp(x->data, y->data, x->len) != 0) return differ_at("an unknown field", where, cap);
  }
  return 0;
}
