/* From the tree to OTLP/JSON, by the tables: one object per message, its fields in the order of their numbers, what has its default left out. */
#include "core/assert.h"
#include "core/otlp_json.h"
#include "core/otlp_json_text.h"
#include "core/otlp_table.h"
#include "core/otlp_walk.h"

struct jenc {
  struct pool *pool;
  struct weir_body *out;
  char *o, *o_end;
};

static void put_message(struct jenc *e, const struct otlp_msg *msg, const char *obj);
static void put_any_value(struct jenc *e, const struct weir_value *v, uint32_t depth);

static void grow(struct jenc *e, size_t n) {
  size_t used = (size_t)(e->o - e->out->p);
  e->out->n = used;
  WEIR_ASSERT(body_grow(&e->out, e->out->cap * 2 > used + n ? e->out->cap * 2 : used + n) == 0); /* overdrawn: never refused */
  e->o = e->out->p + used;
  e->o_end = e->out->p + e->out->cap;
}

static inline void room(struct jenc *e, size_t n) {
  if ((size_t)(e->o_end - e->o) < n) grow(e, n);
}

static inline void put_char(struct jenc *e, char c) {
  room(e, 1);
  *e->o++ = c;
}

static void put_text(struct jenc *e, const char *p, size_t n) {
  room(e, n * 6 + 2);
  e->o = json_quote(e->o, p, n);
}

/* A comma unless it is the first in its array or object. */
static inline void put_comma(struct jenc *e) {
  room(e, 1);
  char before = e->o[-1];
  if (before != '{' && before != '[') *e->o++ = ',';
}

static void put_name(struct jenc *e, const char *name, size_t n) {
  put_comma(e);
  room(e, n + 3);
  *e->o++ = '"';
  memcpy(e->o, name, n);
  e->o += n;
  *e->o++ = '"';
  *e->o++ = ':';
}

/* --- scalars ----------------------------------------------------------------------------------------------------------------- */

static void put_hex(struct jenc *e, const char *p, size_t n) {
  static const char digits[] = "0123456789abcdef";
  room(e, n * 2 + 2);
  *e->o++ = '"';
  for (size_t i = 0; i < n; i++) {
    *e->o++ = digits[(unsigned char)p[i] >> 4];
    *e->o++ = digits[p[i] & 15];
  }
  *e->o++ = '"';
}

static void put_base64(struct jenc *e, const char *p, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *u = (const unsigned char *)p;
  room(e, n / 3 * 4 + 6);
  *e->o++ = '"';
  for (size_t i = 0; i < n; i += 3) {
    uint32_t bits = (uint32_t)u[i] << 16 | (i + 1 < n ? (uint32_t)u[i + 1] << 8 : 0) | (i + 2 < n ? u[i + 2] : 0);
    *e->o++ = digits[bits >> 18];
    *e->o++ = digits[bits >> 12 & 63];
    *e->o++ = i + 1 < n ? digits[bits >> 6 & 63] : '=';
    *e->o++ = i + 2 < n ? digits[bits & 63] : '=';
  }
  *e->o++ = '"';
}

/* A number by its kind; bits: as it stands in the tree, 4 or 8 bytes. */
static void put_number(struct jenc *e, uint8_t json, uint64_t bits) {
  double v;
  room(e, 34);
  switch (json) {
  case JSON_DOUBLE:
    memcpy(&v, &bits, 8);
    e->o = json_put_double(e->o, v);
    return;
  case JSON_BOOL:
    memcpy(e->o, bits ? "true" : "false", bits ? 4 : 5);
    e->o += bits ? 4 : 5;
    return;
  case JSON_UINT32: e->o = json_put_uint(e->o, bits); return;
  case JSON_ENUM:
  case JSON_SINT32: bits = (uint64_t)(int64_t)(int32_t)bits; /* fall through */
  default: break;
  }
  int quoted = json == JSON_INT64 || json == JSON_UINT64;
  if (quoted) *e->o++ = '"';
  if (json != JSON_UINT64 && (int64_t)bits < 0) {
    *e->o++ = '-';
    bits = 0 - bits;
  }
  e->o = json_put_uint(e->o, bits);
  if (quoted) *e->o++ = '"';
}

static void put_field_name(struct jenc *e, const struct otlp_field *f) { put_name(e, f->json_name, f->json_n); }

static void put_string_field(struct jenc *e, const struct otlp_field *f, const char *at) {
  struct weir_str s;
  memcpy(&s, at, sizeof s);
  if (!s.n) return;
  put_field_name(e, f);
  if (f->json == JSON_TEXT) put_text(e, s.p, s.n);
  else put_hex(e, s.p, s.n);
}

static void put_scalar(struct jenc *e, const struct otlp_field *f, const char *obj) {
  const char *at = obj + f->offset;
  uint64_t bits = 0;
  uint32_t has = 0;
  struct weir_value v;
  switch (f->op) {
  case OP_STR: put_string_field(e, f, at); return;
  case OP_OPT64: memcpy(&has, obj + f->count, sizeof has); /* fall through */
  case OP_FIXED64:
    memcpy(&bits, at, 8);
    if (f->op == OP_OPT64 ? !(has & f->arg) : !bits) return;
    break;
  case OP_NUM_DOUBLE:
  case OP_NUM_INT:
    memcpy(&v, at, sizeof v);
    if (v.kind != (f->op == OP_NUM_INT ? WEIR_V_INT : WEIR_V_DOUBLE)) return;
    memcpy(&bits, &v.u, 8);
    break;
  default:
    memcpy(&bits, at, 4);
    if (!bits) return;
    break;
  }
  put_field_name(e, f);
  put_number(e, f->json, bits);
}

/* --- values and attributes ----------------------------------------------------------------------------------------------------- */

static void put_attrs(struct jenc *e, const struct weir_attr *attrs, uint32_t n, uint32_t depth) {
  put_char(e, '[');
  for (uint32_t i = 0; i < n; i++) {
    put_comma(e);
    put_char(e, '{');
    if (attrs[i].key.n) {
      put_name(e, "key", 3);
      put_text(e, attrs[i].key.p, attrs[i].key.n);
    }
    put_name(e, "value", 5);
    put_any_value(e, &attrs[i].value, depth);
    put_char(e, '}');
  }
  put_char(e, ']');
}

static void put_items(struct jenc *e, const struct weir_value *items, uint32_t n, uint32_t depth) {
  put_char(e, '[');
  for (uint32_t i = 0; i < n; i++) {
    put_comma(e);
    put_any_value(e, &items[i], depth);
  }
  put_char(e, ']');
}

/* ArrayValue and KeyValueList: an object with the list, or without it when it is empty. */
static void put_list(struct jenc *e, const struct weir_value *v, uint32_t depth) {
  put_char(e, '{');
  if (v->n) {
    put_name(e, "values", 6);
    if (v->kind == WEIR_V_ARRAY) put_items(e, v->u.items, v->n, depth + 1);
    else put_attrs(e, v->u.attrs, v->n, depth + 1);
  }
  put_char(e, '}');
}

static void put_any_value(struct jenc *e, const struct weir_value *v, uint32_t depth) {
  static const uint8_t members[] = { [WEIR_V_STRING] = 1, [WEIR_V_BOOL] = 2, [WEIR_V_INT] = 3, [WEIR_V_DOUBLE] = 4, [WEIR_V_ARRAY] = 5,
    [WEIR_V_KVLIST] = 6, [WEIR_V_BYTES] = 7 };
  put_char(e, '{');
  if (v->kind != WEIR_V_EMPTY && v->kind <= WEIR_V_BYTES && depth < OTLP_MAX_DEPTH) {
    const struct otlp_field *f = &otlp_any_value.fields[members[v->kind]];
    uint64_t bits;
    put_field_name(e, f);
    switch (v->kind) {
    case WEIR_V_STRING: put_text(e, v->u.s, v->n); break;
    case WEIR_V_BYTES: put_base64(e, v->u.s, v->n); break;
    case WEIR_V_ARRAY:
    case WEIR_V_KVLIST: put_list(e, v, depth); break;
    default:
      memcpy(&bits, &v->u, 8);
      put_number(e, f->json, bits);
      break;
    }
  }
  put_char(e, '}');
}

/* --- messages --------------------------------------------------------------------------------------------------------------------- */

static void put_children(struct jenc *e, const struct otlp_field *f, const char *obj) {
  uint32_t n;
  char *const *kids;
  memcpy(&n, obj + f->count, sizeof n);
  memcpy(&kids, obj + f->offset, sizeof kids);
  if (!n) return;
  put_field_name(e, f);
  put_char(e, '[');
  for (uint32_t i = 0; i < n; i++) {
    put_comma(e);
    put_message(e, f->msg, kids[i]);
  }
  put_char(e, ']');
}

static void put_repeated(struct jenc *e, const struct otlp_field *f, const char *obj) {
  uint32_t n;
  const char *array;
  memcpy(&n, obj + f->count, sizeof n);
  memcpy(&array, obj + f->offset, sizeof array);
  if (!n) return;
  put_field_name(e, f);
  put_char(e, '[');
  for (uint32_t i = 0; i < n; i++) {
    put_comma(e);
    if (f->op == OP_QUANTILE) put_message(e, f->msg, array + i * sizeof(struct weir_quantile));
    else put_number(e, f->json, wire_load64(array + (size_t)i * 8));
  }
  put_char(e, ']');
}

/* Resource, InstrumentationScope: there when it was received, or when a stage gave it something to say. */
static void put_identity(struct jenc *e, const struct otlp_field *f, const char *obj) {
  const struct weir_rec *rec = (const struct weir_rec *)(const void *)obj;
  size_t before = (size_t)(e->o - e->out->p);
  put_field_name(e, f);
  size_t from = (size_t)(e->o - e->out->p);
  put_message(e, f->msg, obj);
  if (!rec->raw && e->o == e->out->p + from + 2) e->o = e->out->p + before;
}

static void put_sub(struct jenc *e, const struct otlp_field *f, const char *obj) {
  uint32_t present;
  if (f->arg == OTLP_IDENTITY) {
    put_identity(e, f, obj);
    return;
  }
  memcpy(&present, obj + f->count, sizeof present);
  if (!present || (f->op == OP_ONEOF_SUB && present != f->arg)) return;
  put_field_name(e, f);
  put_message(e, f->msg, obj);
}

static void put_field(struct jenc *e, const struct otlp_field *f, const char *obj) {
  const struct weir_rec *rec = (const struct weir_rec *)(const void *)obj;
  const struct weir_log *log = (const struct weir_log *)(const void *)obj;
  switch (f->op) {
  case OP_NONE: return;
  case OP_ATTR:
    if (!rec->n_attrs) return;
    put_field_name(e, f);
    put_attrs(e, rec->attrs, rec->n_attrs, 0);
    return;
  case OP_CHILD: put_children(e, f, obj); return;
  case OP_SUB:
  case OP_ONEOF_SUB: put_sub(e, f, obj); return;
  case OP_VALUE:
    if (!log->has_body) return;
    put_field_name(e, f);
    put_any_value(e, &log->body, 0);
    return;
  case OP_REP64:
  case OP_REPVAR:
  case OP_QUANTILE: put_repeated(e, f, obj); return;
  default: put_scalar(e, f, obj); return;
  }
}

static void put_message(struct jenc *e, const struct otlp_msg *msg, const char *obj) {
  put_char(e, '{');
  for (uint32_t i = 1; i < msg->n_fields; i++) put_field(e, &msg->fields[i], obj);
  put_char(e, '}');
}

int otlp_json_encode(struct pool *pool, const struct weir_data *data, struct weir_body **ret, struct weir_error *err) {
  struct jenc e = { .pool = pool, .out = body_overdraw(pool, 16384) };
  e.o = e.out->p;
  e.o_end = e.out->p + e.out->cap;
  put_message(&e, otlp_request(data->signal), (const char *)data);
  e.out->n = (size_t)(e.o - e.out->p);
  if (e.out->n > INT32_MAX) {
    body_free(e.out);
    return weir_fail(err, WEIR_E_LIMIT, "the message is over 2 GiB as JSON");
  }
  *ret = e.out;
  return 0;
}
