#include "pipelines/test_spans.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/otlp_json.h"
#include "core/otlp_json_text.h"
#include "core/parse.h"
#include "core/yaml.h"
#include "plugins/schema.h"

static const struct weir_field span_fields[] = {
  { "name", WEIR_T_STRING, 0, offsetof(struct test_span, name), "span", NULL, NULL, NULL, NULL, "The span's name; `parent` of others refers to it.", NULL, 0 },
  { "service", WEIR_T_STRING, 0, offsetof(struct test_span, service), "test", NULL, NULL, NULL, NULL, "service.name of its resource.", NULL, 0 },
  { "id", WEIR_T_STRING, 0, offsetof(struct test_span, id), NULL, NULL, NULL, NULL, NULL, "Span id, 16 hexadecimal digits; by default made from the name.", NULL, 0 },
  { "parent", WEIR_T_STRING, 0, offsetof(struct test_span, parent), NULL, NULL, NULL, NULL, NULL, "Name or id of its parent; without, it is a root.", NULL, 0 },
  { "kind", WEIR_T_ENUM, 0, offsetof(struct test_span, kind), "UNSPECIFIED", NULL, NULL, "UNSPECIFIED|INTERNAL|SERVER|CLIENT|PRODUCER|CONSUMER", NULL, "Span kind.", NULL, 0 },
  { "status", WEIR_T_ENUM, 0, offsetof(struct test_span, status), "UNSET", NULL, NULL, "UNSET|OK|ERROR", NULL, "Status code.", NULL, 0 },
  { "message", WEIR_T_STRING, 0, offsetof(struct test_span, message), NULL, NULL, NULL, NULL, NULL, "Status message.", NULL, 0 },
  { "start", WEIR_T_DURATION, 0, offsetof(struct test_span, start_ns), "0s", NULL, NULL, NULL, NULL, "Start, counted from the time when it is sent.", NULL, 0 },
  { "duration", WEIR_T_DURATION, 0, offsetof(struct test_span, duration_ns), "1ms", NULL, NULL, NULL, NULL, "How long it took.", NULL, 0 },
  { "trace_state", WEIR_T_STRING, 0, offsetof(struct test_span, trace_state), NULL, NULL, NULL, NULL, NULL, "W3C tracestate.", NULL, 0 },
  { "attributes", SCHEMA_T_NODE, 0, offsetof(struct test_span, attributes), NULL, NULL, NULL, NULL, NULL, "Attributes: a mapping. Numbers and true and false are such unless quoted.", NULL, 0 },
  { "resource", SCHEMA_T_NODE, 0, offsetof(struct test_span, resource), NULL, NULL, NULL, NULL, NULL, "Further attributes of its resource.", NULL, 0 },
  WEIR_FIELD_END,
};

const struct weir_field test_trace_fields[] = {
  { "trace", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, offsetof(struct test_trace, name), NULL, NULL, NULL, NULL, NULL, "A name for the trace, or its id, 32 hexadecimal digits.", NULL, 0 },
  { "spans", WEIR_T_GROUPS, WEIR_REQUIRED | WEIR_NONEMPTY, offsetof(struct test_trace, spans), NULL, NULL, NULL, NULL, NULL, "Its spans, in the order in which they arrive.", span_fields, sizeof(struct test_span) },
  WEIR_FIELD_END,
};

/* --- ids ------------------------------------------------------------------------------------------------------------------------------ */

static int is_hex(const char *s, size_t n) { return strlen(s) == n && strspn(s, "0123456789abcdefABCDEF") == n; }

/* FNV-1a: the same name is the same id in every run, and so the same side of a probability. */
static uint64_t number_of(const char *a, const char *b, uint64_t seed) {
  uint64_t h = 0xcbf29ce484222325u ^ seed;
  for (const char *texts[] = { a, b }, **t = texts; t < texts + 2; t++)
    for (const char *p = *t; *p; p++) h = (h ^ (unsigned char)*p) * 0x100000001b3u;
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdu;
  return h ^ h >> 33;
}

void test_trace_id(const char *name, char id[33]) {
  if (is_hex(name, 32)) {
    for (size_t i = 0; i < 33; i++) id[i] = (char)(name[i] >= 'A' && name[i] <= 'F' ? name[i] + 32 : name[i]);
    return;
  }
  snprintf(id, 33, "%016" PRIx64 "%016" PRIx64, number_of(name, "", 1) | 1, number_of(name, "", 2));
}

static void span_id(const char *trace, const char *name, char id[17]) {
  if (is_hex(name, 16)) snprintf(id, 17, "%s", name);
  else snprintf(id, 17, "%016" PRIx64, number_of(trace, name, 3) | 1);
}

/* --- JSON ------------------------------------------------------------------------------------------------------------------------------ */

struct text {
  char *p;
  size_t n, cap;
  struct diags *ds;
};

static char *room(struct text *t, size_t n) {
  if (t->cap - t->n < n) {
    t->cap = 2 * t->cap + n;
    t->p = realloc(t->p, t->cap);
    WEIR_ASSERT(t->p != NULL);
  }
  return t->p + t->n;
}

static void put(struct text *t, const char *s) {
  size_t n = strlen(s);
  memcpy(room(t, n), s, n);
  t->n += n;
}

static void quote(struct text *t, const char *s) {
  size_t n = strlen(s);
  t->n = (size_t)(json_quote(room(t, 6 * n + 2), s, n) - t->p);
}

static void member(struct text *t, const char *name, const char *value) {
  put(t, ",\"");
  put(t, name);
  put(t, "\":");
  quote(t, value);
}

static void put_attributes(struct text *t, const struct yaml_node *map, const char *service);

static void put_number(struct text *t, double d) { t->n = (size_t)(json_put_double(room(t, 40), d) - t->p); }

static void put_scalar(struct text *t, const struct yaml_node *v) {
  int64_t i;
  double d;
  int b;
  char buf[40];
  if (!v->quoted && parse_i64(v->text, &i) == 0) {
    snprintf(buf, sizeof buf, "{\"intValue\":\"%" PRId64 "\"}", i);
    put(t, buf);
  } else if (!v->quoted && parse_double(v->text, &d) == 0) {
    put(t, "{\"doubleValue\":");
    put_number(t, d);
    put(t, "}");
  } else if (!v->quoted && parse_bool(v->text, &b) == 0) {
    put(t, b ? "{\"boolValue\":true}" : "{\"boolValue\":false}");
  } else {
    put(t, "{\"stringValue\":");
    quote(t, v->text);
    put(t, "}");
  }
}

static void put_value(struct text *t, const struct yaml_node *v) {
  if (v->kind == YAML_SCALAR) {
    put_scalar(t, v);
  } else if (v->kind == YAML_SEQ) {
    put(t, "{\"arrayValue\":{\"values\":[");
    for (size_t i = 0; i < v->n; i++) {
      if (i) put(t, ",");
      put_value(t, v->items[i]);
    }
    put(t, "]}}");
  } else if (v->kind == YAML_MAP) {
    put(t, "{\"kvlistValue\":{\"values\":[");
    put_attributes(t, v, NULL);
    put(t, "]}}");
  } else {
    put(t, "{}");
  }
}

static void put_attributes(struct text *t, const struct yaml_node *map, const char *service) {
  const char *comma = "";
  if (service) {
    put(t, "{\"key\":\"service.name\",\"value\":{\"stringValue\":");
    quote(t, service);
    put(t, "}}");
    comma = ",";
  }
  if (map && map->kind != YAML_MAP && map->kind != YAML_NULL) diag_error(t->ds, map->pos, "attributes are a mapping of names to values");
  for (size_t i = 0; map && map->kind == YAML_MAP && i < map->n; i++, comma = ",") {
    put(t, comma);
    put(t, "{\"key\":");
    quote(t, map->keys[i]->text);
    put(t, ",\"value\":");
    put_value(t, map->items[i]);
    put(t, "}");
  }
}

static void put_span(struct text *t, const char *trace, const struct test_span *s, int64_t now) {
  char id[17], buf[200];
  put(t, "{\"resource\":{\"attributes\":[");
  put_attributes(t, s->resource, s->service);
  put(t, "]},\"scopeSpans\":[{\"spans\":[{\"name\":");
  quote(t, s->name);
  member(t, "traceId", trace);
  span_id(trace, s->id ? s->id : s->name, id);
  member(t, "spanId", id);
  if (s->parent) {
    span_id(trace, s->parent, id);
    member(t, "parentSpanId", id);
  }
  if (s->trace_state) member(t, "traceState", s->trace_state);
  snprintf(buf, sizeof buf, ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRId64 "\",\"endTimeUnixNano\":\"%" PRId64 "\",\"status\":{\"code\":%d", s->kind, now + s->start_ns,
    now + s->start_ns + s->duration_ns, s->status);
  put(t, buf);
  if (s->message) member(t, "message", s->message);
  put(t, "},\"attributes\":[");
  put_attributes(t, s->attributes, NULL);
  put(t, "]}]}]}");
}

static char *as_json(const struct weir_groups *traces, int64_t now, struct diags *ds, size_t *ret_n) {
  struct text t = { .ds = ds };
  const char *comma = "";
  put(&t, "{\"resourceSpans\":[");
  for (size_t i = 0; i < traces->n; i++) {
    const struct test_trace *trace = (const struct test_trace *)traces->v + i;
    char id[33];
    test_trace_id(trace->name, id);
    for (size_t k = 0; k < trace->spans.n; k++, comma = ",") {
      put(&t, comma);
      put_span(&t, id, (const struct test_span *)trace->spans.v + k, now);
    }
  }
  put(&t, "]}");
  *ret_n = t.n;
  return t.p;
}

struct part *test_spans_make(struct pool *pool, const struct weir_groups *traces, int64_t unix_ns, struct pos at, struct diags *ds) {
  struct weir_body *body = NULL;
  struct otlp_counts counts;
  struct otlp_limits limits = { 0 };
  struct weir_error err = { 0 };
  struct part *part = NULL;
  size_t n;
  uint32_t before = ds->n_errors;
  char *text = as_json(traces, unix_ns, ds, &n);
  if (ds->n_errors == before && (otlp_json_decode(pool, WEIR_TRACES, text, n, &limits, &body, &counts, &err) ||
                                  part_from_otlp(pool, WEIR_TRACES, body, body->p, body->n, WEIR_VALIDATE_FULL, 1, &limits, &part, &err)))
    diag_error(ds, at, "these spans can not be sent: %s", err.msg);
  free(text);
  return part;
}
