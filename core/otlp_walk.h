/*
 * core/otlp_walk.h - what scan and decode share: where in the message we are, limits, and errors that say so.
 */
#ifndef CORE_OTLP_WALK_H
#define CORE_OTLP_WALK_H

#include "core/otlp.h"
#include "core/otlp_table.h"
#include "core/wire.h"

#define OTLP_MAX_DEPTH 100u
#define OTLP_MAX_RECORDS 1000000u
#define OTLP_MAX_ATTRIBUTES 10000u
#define OTLP_MAX_ELEMENTS 4000000u

/* The way down to the message that is being read; lives on the C stack, whose depth max_depth bounds. */
struct otlp_frame {
  const struct otlp_frame *up;
  const struct otlp_field *field;
  uint32_t depth; /* messages above this one; the request is 0 */
};

struct otlp_walk {
  const char *base;
  struct otlp_limits limits; /* with the defaults filled in */
  struct weir_error *err;
  uint64_t items, elements;
  int json; /* paths are told in JSON's names */
};

void otlp_walk_init(struct otlp_walk *, const char *base, const struct otlp_limits *, struct weir_error *);
/* "resource_spans.scope_spans.spans: TEXT (at byte N)"; returns code. field may be NULL. */
int otlp_walk_fail(const struct otlp_walk *, int code, const struct otlp_frame *, const struct otlp_field *, const char *at, const char *fmt, ...)
  WEIR_PRINTF(6, 7);
/* Says why wire_next refused what stands at p. */
int otlp_walk_malformed(const struct otlp_walk *, const struct otlp_frame *, const char *at, const char *end);
int otlp_walk_wrong_type(const struct otlp_walk *, const struct otlp_frame *, const struct otlp_field *, uint32_t got, const char *at);
int otlp_walk_too_deep(const struct otlp_walk *, const struct otlp_frame *, const struct otlp_field *, const char *at);
int otlp_walk_attributes(const struct otlp_walk *, const struct otlp_frame *, const struct otlp_field *, const char *at);
int otlp_walk_elements(const struct otlp_walk *, const struct otlp_frame *, const struct otlp_field *, const char *at);
int otlp_walk_records(const struct otlp_walk *, const struct otlp_frame *, const struct otlp_field *, const char *at);

/* Whether a field may stand with this wire type: its own, or unpacked for repeated scalars. */
static inline int otlp_type_fits(const struct otlp_field *f, uint32_t type) {
  return f->wire == type || (f->op == OP_REP64 && type == WIRE_64) || (f->op == OP_REPVAR && type == WIRE_VARINT);
}

/* Whether a message field takes room in the tree each time it occurs. */
static inline int otlp_is_element(const struct otlp_field *f) { return f->op == OP_ATTR || f->op == OP_CHILD || f->op == OP_QUANTILE; }

/*
 * The layout that every SDK writes: key, then value with one member, all lengths under 128. 9 of 10 attributes have it; 1 = read. The general
 * ways of scan and decode accept the same (measured: decode 380 -> 215 ns a span, scan 265 -> 115).
 */
static inline int otlp_plain_attr(struct weir_attr *ret, const char *p, size_t n) {
  size_t key_n, value_n;
  if (n < 6 || p[0] != (1 << 3 | WIRE_LEN) || (key_n = (unsigned char)p[1]) > 127 || key_n + 6 > n) return 0;
  const char *v = p + 2 + key_n;
  if (v[0] != (2 << 3 | WIRE_LEN) || (value_n = (unsigned char)v[1]) > 127 || key_n + 4 + value_n != n || value_n < 2) return 0;
  v += 2;
  ret->key = (struct weir_str){ p + 2, (uint32_t)key_n, (uint32_t)n };
  ret->raw = p;
  if (v[0] == (1 << 3 | WIRE_LEN) && (unsigned char)v[1] == value_n - 2) {
    ret->value = weir_value_str(v + 2, (uint32_t)(value_n - 2));
    return 1;
  }
  if (v[0] == (3 << 3 | WIRE_VARINT)) {
    uint64_t i;
    if (wire_varint(v + 1, v + value_n, &i) != v + value_n) return 0;
    ret->value = weir_value_int((int64_t)i);
    return 1;
  }
  return 0;
}

#endif
