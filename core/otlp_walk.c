#include "core/otlp_walk.h"

#include <inttypes.h>
#include <stdio.h>

void otlp_walk_init(struct otlp_walk *w, const char *base, const struct otlp_limits *limits, struct weir_error *err) {
  static const struct otlp_limits none;
  if (!limits) limits = &none;
  w->base = base;
  w->limits.max_depth = limits->max_depth ? limits->max_depth : OTLP_MAX_DEPTH;
  w->limits.max_records = limits->max_records ? limits->max_records : OTLP_MAX_RECORDS;
  w->limits.max_attributes = limits->max_attributes ? limits->max_attributes : OTLP_MAX_ATTRIBUTES;
  w->limits.max_elements = limits->max_elements ? limits->max_elements : OTLP_MAX_ELEMENTS;
  w->limits.max_tree_bytes = limits->max_tree_bytes ? limits->max_tree_bytes : UINT64_MAX;
  w->err = err;
  w->items = w->elements = 0;
  w->json = 0;
}

/* The path from the request down, at most its last 12 names: a hostile path is 100 deep. */
static void put_path(const struct otlp_walk *w, char *buf, size_t cap, const struct otlp_frame *frame, const struct otlp_field *field) {
  const struct otlp_field *names[12];
  size_t n = 0, at = 0;
  if (field) names[n++] = field;
  for (; frame && frame->field && n < sizeof names / sizeof *names; frame = frame->up) names[n++] = frame->field;
  if (frame && frame->field) at += (size_t)snprintf(buf, cap, "...");
  buf[at] = 0;
  while (n > 0 && at < cap) {
    n--;
    at += (size_t)snprintf(buf + at, cap - at, "%s%s", at ? "." : "", w->json ? names[n]->json_name : names[n]->name);
  }
}

int otlp_walk_fail(const struct otlp_walk *w, int code, const struct otlp_frame *frame, const struct otlp_field *field, const char *at,
  const char *fmt, ...) {
  if (!w->err) return code;
  char path[256], text[200];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  put_path(w, path, sizeof path, frame, field);
  weir_fail(w->err, code, "%s: %s (at byte %zu)", *path ? path : "request", text, (size_t)(at - w->base));
  w->err->offset = (uint64_t)(at - w->base);
  return code;
}

int otlp_walk_malformed(const struct otlp_walk *w, const struct otlp_frame *frame, const char *at, const char *end) {
  uint64_t tag, length;
  const char *p = wire_varint32(at, end, &tag);
  if (!p) return otlp_walk_fail(w, WEIR_E_INVALID, frame, NULL, at, "the field tag is cut off or longer than 5 bytes");
  if (tag < 8 || tag > UINT32_MAX) return otlp_walk_fail(w, WEIR_E_INVALID, frame, NULL, at, "field number %" PRIu64 " is not legal", tag >> 3);
  switch (tag & 7) {
  case WIRE_LEN:
    if (!wire_varint32(p, end, &length)) return otlp_walk_fail(w, WEIR_E_INVALID, frame, NULL, at, "the length of field %u is cut off or longer than 5 bytes", (unsigned)(tag >> 3));
    return otlp_walk_fail(w, WEIR_E_INVALID, frame, NULL, at, "field %u is %" PRIu64 " bytes long and runs past its message", (unsigned)(tag >> 3), length);
  case WIRE_VARINT:
  case WIRE_64:
  case WIRE_32: break;
  default: return otlp_walk_fail(w, WEIR_E_INVALID, frame, NULL, at, "field %u has wire type %u, which is not in use", (unsigned)(tag >> 3), (unsigned)(tag & 7));
  }
  return otlp_walk_fail(w, WEIR_E_INVALID, frame, NULL, at, "field %u is cut off or its number is longer than 10 bytes", (unsigned)(tag >> 3));
}

int otlp_walk_wrong_type(const struct otlp_walk *w, const struct otlp_frame *frame, const struct otlp_field *field, uint32_t got, const char *at) {
  return otlp_walk_fail(w, WEIR_E_INVALID, frame, field, at, "wire type %u instead of %u", got, field->wire);
}

int otlp_walk_too_deep(const struct otlp_walk *w, const struct otlp_frame *frame, const struct otlp_field *field, const char *at) {
  return otlp_walk_fail(w, WEIR_E_INVALID, frame, field, at, "nested deeper than %u messages (max_depth)", w->limits.max_depth);
}

int otlp_walk_attributes(const struct otlp_walk *w, const struct otlp_frame *frame, const struct otlp_field *field, const char *at) {
  return otlp_walk_fail(w, WEIR_E_LIMIT, frame, field, at, "more than %u attributes on one record", w->limits.max_attributes);
}

int otlp_walk_elements(const struct otlp_walk *w, const struct otlp_frame *frame, const struct otlp_field *field, const char *at) {
  return otlp_walk_fail(w, WEIR_E_LIMIT, frame, field, at, "more than %u elements (attributes, values, events, ...) in one message", w->limits.max_elements);
}

int otlp_walk_records(const struct otlp_walk *w, const struct otlp_frame *frame, const struct otlp_field *field, const char *at) {
  return otlp_walk_fail(w, WEIR_E_LIMIT, frame, field, at, "more than %u records in one message", w->limits.max_records);
}
