/* Paths of conditions: their names (contrib pkg/ottl/contexts/internal/ctxspan, ctxspanevent, ctxresource, ctxscope), and reading them. */
#include "core/expr_internal.h"
#include "core/nearest.h"

enum field {
  F_TRACE_ID, F_TRACE_ID_STRING, F_SPAN_ID, F_SPAN_ID_STRING, F_PARENT_SPAN_ID, F_PARENT_SPAN_ID_STRING, F_TRACE_STATE, F_NAME, F_KIND, F_KIND_STRING,
  F_KIND_DEPRECATED, F_START_NANO, F_END_NANO, F_START, F_END, F_STATUS_CODE, F_STATUS_MESSAGE, F_FLAGS, F_DROPPED_ATTRIBUTES, F_DROPPED_EVENTS, F_DROPPED_LINKS,
  F_ATTRIBUTES, F_EVENT_NAME, F_EVENT_NANO, F_EVENT_TIME, F_EVENT_DROPPED, F_EVENT_ATTRIBUTES, F_RESOURCE_ATTRIBUTES, F_RESOURCE_DROPPED, F_RESOURCE_SCHEMA,
  F_SCOPE_NAME, F_SCOPE_VERSION, F_SCOPE_ATTRIBUTES, F_SCOPE_DROPPED, F_SCOPE_SCHEMA
};

enum { OF_SPAN, OF_EVENT, OF_RESOURCE, OF_SCOPE };

static const struct {
  const char *name;
  uint8_t of;
  struct expr_place place;
} names[] = {
  { "trace_id", OF_SPAN, { F_TRACE_ID, EXPR_V_TRACE_ID, 0, 0 } },
  { "trace_id.string", OF_SPAN, { F_TRACE_ID_STRING, WEIR_V_STRING, 0, 1 } },
  { "span_id", OF_SPAN, { F_SPAN_ID, EXPR_V_SPAN_ID, 0, 0 } },
  { "span_id.string", OF_SPAN, { F_SPAN_ID_STRING, WEIR_V_STRING, 0, 1 } },
  { "parent_span_id", OF_SPAN, { F_PARENT_SPAN_ID, EXPR_V_SPAN_ID, 0, 0 } },
  { "parent_span_id.string", OF_SPAN, { F_PARENT_SPAN_ID_STRING, WEIR_V_STRING, 0, 1 } },
  { "trace_state", OF_SPAN, { F_TRACE_STATE, WEIR_V_STRING, 2, 0 } },
  { "name", OF_SPAN, { F_NAME, WEIR_V_STRING, 0, 0 } },
  { "kind", OF_SPAN, { F_KIND, WEIR_V_INT, 0, 0 } },
  { "kind.string", OF_SPAN, { F_KIND_STRING, WEIR_V_STRING, 0, 0 } },
  { "kind.deprecated_string", OF_SPAN, { F_KIND_DEPRECATED, WEIR_V_STRING, 0, 0 } },
  { "start_time_unix_nano", OF_SPAN, { F_START_NANO, WEIR_V_INT, 0, 0 } },
  { "end_time_unix_nano", OF_SPAN, { F_END_NANO, WEIR_V_INT, 0, 0 } },
  { "start_time", OF_SPAN, { F_START, EXPR_V_TIME, 0, 0 } },
  { "end_time", OF_SPAN, { F_END, EXPR_V_TIME, 0, 0 } },
  { "status.code", OF_SPAN, { F_STATUS_CODE, WEIR_V_INT, 0, 0 } },
  { "status.message", OF_SPAN, { F_STATUS_MESSAGE, WEIR_V_STRING, 0, 0 } },
  { "flags", OF_SPAN, { F_FLAGS, WEIR_V_INT, 0, 0 } },
  { "dropped_attributes_count", OF_SPAN, { F_DROPPED_ATTRIBUTES, WEIR_V_INT, 0, 0 } },
  { "dropped_events_count", OF_SPAN, { F_DROPPED_EVENTS, WEIR_V_INT, 0, 0 } },
  { "dropped_links_count", OF_SPAN, { F_DROPPED_LINKS, WEIR_V_INT, 0, 0 } },
  { "attributes", OF_SPAN, { F_ATTRIBUTES, WEIR_V_KVLIST, 1, 0 } },
  { "name", OF_EVENT, { F_EVENT_NAME, WEIR_V_STRING, 0, 0 } },
  { "time_unix_nano", OF_EVENT, { F_EVENT_NANO, WEIR_V_INT, 0, 0 } },
  { "time", OF_EVENT, { F_EVENT_TIME, EXPR_V_TIME, 0, 0 } },
  { "dropped_attributes_count", OF_EVENT, { F_EVENT_DROPPED, WEIR_V_INT, 0, 0 } },
  { "attributes", OF_EVENT, { F_EVENT_ATTRIBUTES, WEIR_V_KVLIST, 1, 0 } },
  { "attributes", OF_RESOURCE, { F_RESOURCE_ATTRIBUTES, WEIR_V_KVLIST, 1, 0 } },
  { "dropped_attributes_count", OF_RESOURCE, { F_RESOURCE_DROPPED, WEIR_V_INT, 0, 0 } },
  { "schema_url", OF_RESOURCE, { F_RESOURCE_SCHEMA, WEIR_V_STRING, 0, 0 } },
  { "name", OF_SCOPE, { F_SCOPE_NAME, WEIR_V_STRING, 0, 0 } },
  { "version", OF_SCOPE, { F_SCOPE_VERSION, WEIR_V_STRING, 0, 0 } },
  { "attributes", OF_SCOPE, { F_SCOPE_ATTRIBUTES, WEIR_V_KVLIST, 1, 0 } },
  { "dropped_attributes_count", OF_SCOPE, { F_SCOPE_DROPPED, WEIR_V_INT, 0, 0 } },
  { "schema_url", OF_SCOPE, { F_SCOPE_SCHEMA, WEIR_V_STRING, 0, 0 } },
};

static const struct {
  const char *prefix;
  uint8_t of;
} contexts[] = { { "span.", OF_SPAN }, { "spanevent.", OF_EVENT }, { "resource.", OF_RESOURCE }, { "scope.", OF_SCOPE }, { "instrumentation_scope.", OF_SCOPE } };

/* --- names --------------------------------------------------------------------------------------------------------------- */

static const char *why_not(const char *name, size_t n, int of) {
  static const struct {
    const char *name;
    int of;
    const char *why;
  } known[] = { { "events", OF_SPAN, "lists of events are not offered: conditions of `spanevent` see one event after the other" },
    { "links", OF_SPAN, "lists of links are not offered" }, { "status", OF_SPAN, "a status is compared by its parts: status.code, status.message" } };
  if (n == 5 && !memcmp(name, "cache", 5)) return "there is no cache here";
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].of == of && strlen(known[i].name) == n && !memcmp(known[i].name, name, n)) return known[i].why;
  return NULL;
}

int expr_path_find(uint32_t context, const char *name, struct expr_place *ret, const char **nearest, const char **why) {
  int of = context == WEIR_EXPR_SPANEVENT ? OF_EVENT : OF_SPAN, prefixed = 0;
  *nearest = NULL;
  for (size_t i = 0; i < sizeof contexts / sizeof *contexts && !prefixed; i++) {
    size_t n = strlen(contexts[i].prefix);
    if (strncmp(name, contexts[i].prefix, n) != 0) continue;
    prefixed = 1;
    name += n;
    of = contexts[i].of;
  }
  *why = NULL;
  if (of == OF_EVENT && context != WEIR_EXPR_SPANEVENT) {
    *why = "this is a condition on spans: only conditions of `spanevent` see an event";
    return WEIR_E_INVALID;
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (names[i].of != of || strcmp(names[i].name, name) != 0) continue;
    *ret = names[i].place;
    return 0;
  }
  struct nearest best;
  nearest_init(&best, name);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].of == of) nearest_offer(&best, names[i].name);
  if (!prefixed)
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++) nearest_offer(&best, contexts[i].prefix);
  *nearest = best.best;
  *why = why_not(name, strlen(name), of);
  return WEIR_E_INVALID;
}

/* --- reading ------------------------------------------------------------------------------------------------------------- */

static struct weir_value int_value(int kind, int64_t i) {
  struct weir_value v = weir_value_int(i);
  v.kind = (uint32_t)kind;
  return v;
}

static struct weir_value text_value(struct weir_str s) { return weir_value_str(s.p, s.n); }

/* An id that is not there is all zeros, as in the Collector. */
static struct weir_value id_value(uint32_t kind, struct weir_str id) {
  static const char zeros[16];
  struct weir_value v = id.n ? text_value(id) : weir_value_str(zeros, kind == EXPR_V_TRACE_ID ? 16 : 8);
  v.kind = kind;
  return v;
}

static int id_text(struct expr_run *run, uint32_t kind, struct weir_str id, struct weir_value *ret) {
  struct weir_value v = id_value(kind, id);
  *ret = expr_hex(run, v.u.s, v.n);
  return ret->kind == WEIR_V_EMPTY ? WEIR_E_LIMIT : 0;
}

static struct weir_value kind_text(int32_t kind, int deprecated) {
  static const char *const own[] = { "Unspecified", "Internal", "Server", "Client", "Producer", "Consumer" };
  static const char *const old[] = { "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER" };
  const char *text = kind < 0 || kind > 5 ? "" : deprecated ? old[kind] : own[kind];
  return weir_value_str(text, (uint32_t)strlen(text));
}

/* One step into a value. */
static int step_into(struct expr_run *run, const struct expr_key *key, struct weir_value *v) {
  if (v->kind == WEIR_V_KVLIST) {
    const struct weir_attr *attrs = v->u.attrs;
    uint32_t n = v->n;
    if (key->is_index) return expr_fail(run, WEIR_E_INVALID, "a map has no element [%lld]: its keys are strings", (long long)key->index);
    *v = (struct weir_value){ .kind = WEIR_V_EMPTY };
    for (uint32_t i = 0; i < n; i++) {
      if (!weir_str_eq(attrs[i].key, key->name)) continue;
      *v = attrs[i].value;
      return 0;
    }
    return 1;
  }
  if (v->kind != WEIR_V_ARRAY) return expr_fail(run, WEIR_E_INVALID, "%s has no elements", expr_kind_name(v->kind));
  if (!key->is_index) return expr_fail(run, WEIR_E_INVALID, "a list has no element \"%.*s\": its elements have numbers", (int)(key->name.n > 64 ? 64 : key->name.n), key->name.p);
  if (key->index < 0 || key->index >= (int64_t)v->n) return expr_fail(run, WEIR_E_INVALID, "a list of %u has no element [%lld]", v->n, (long long)key->index);
  *v = v->u.items[key->index];
  return 0;
}

static int attribute(struct expr_run *run, const struct weir_rec *rec, const struct expr_path *path, struct weir_value *ret) {
  ret->kind = WEIR_V_KVLIST;
  ret->n = rec->n_attrs;
  ret->u.attrs = rec->attrs;
  for (uint32_t i = 0; i < path->n_keys; i++) {
    int r = step_into(run, &path->keys[i], ret);
    if (r) return r < 0 ? r : 0;
  }
  return 0;
}

static int is_lower(int c) { return c >= 'a' && c <= 'z'; }
static int is_lower_digit(int c) { return is_lower(c) || (c >= '0' && c <= '9'); }

static int key_rest(const char *p, size_t n, size_t max) {
  if (n > max) return 0;
  for (size_t i = 0; i < n; i++)
    if (!is_lower_digit((unsigned char)p[i]) && !memchr("_-*/", p[i], 4)) return 0;
  return 1;
}

/* W3C Trace Context 3.3.1.3: simple keys and tenant@system. */
static int key_valid(const char *p, size_t n) {
  const char *sign = n ? memchr(p, '@', n) : NULL;
  if (!sign) return n > 0 && is_lower((unsigned char)p[0]) && key_rest(p + 1, n - 1, 255);
  size_t tenant = (size_t)(sign - p), system = n - tenant - 1;
  return tenant > 0 && system > 0 && is_lower_digit((unsigned char)p[0]) && key_rest(p + 1, tenant - 1, 240) && is_lower((unsigned char)sign[1]) && key_rest(sign + 2, system - 1, 13);
}

static int value_valid(const char *p, size_t n) {
  if (n == 0 || n > 256 || p[n - 1] == ' ') return 0;
  for (size_t i = 0; i < n; i++)
    if (p[i] < ' ' || p[i] > '~' || p[i] == '=') return 0;
  return 1;
}

/* One key of a trace state: nil when the whole is not valid (W3C, and at most 32 members), "" when it has no such key. */
static struct weir_value trace_state_key(struct weir_str state, struct weir_str key) {
  struct weir_str seen[32];
  struct weir_value found = weir_value_str("", 0), nil = { .kind = WEIR_V_EMPTY };
  uint32_t members = 0;
  for (const char *p = state.p, *end = p ? p + state.n : p; p < end;) {
    const char *comma = memchr(p, ',', (size_t)(end - p)), *next = comma ? comma : end, *stop = next;
    const char *sign = next > p ? memchr(p, '=', (size_t)(next - p)) : NULL;
    if (next == p) {
      p = next + 1;
      continue;
    }
    if (!sign) return nil;
    while (p < sign && (*p == ' ' || *p == '\t')) p++;
    while (stop > sign + 1 && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
    struct weir_str k = { p, (uint32_t)(sign - p), 0 }, v = { sign + 1, (uint32_t)(stop - sign - 1), 0 };
    if (!key_valid(k.p, k.n) || !value_valid(v.p, v.n) || members == 32) return nil;
    for (uint32_t i = 0; i < members; i++)
      if (weir_str_eq(seen[i], k)) return nil;
    seen[members++] = k;
    if (weir_str_eq(k, key)) found = text_value(v);
    p = next + 1;
  }
  return found;
}

static int read_span(struct expr_run *run, const struct expr_path *path, const struct weir_span *s, struct weir_value *ret) {
  switch (path->field) {
  case F_TRACE_ID: *ret = id_value(EXPR_V_TRACE_ID, s->trace_id); return 0;
  case F_TRACE_ID_STRING: return id_text(run, EXPR_V_TRACE_ID, s->trace_id, ret);
  case F_SPAN_ID: *ret = id_value(EXPR_V_SPAN_ID, s->span_id); return 0;
  case F_SPAN_ID_STRING: return id_text(run, EXPR_V_SPAN_ID, s->span_id, ret);
  case F_PARENT_SPAN_ID: *ret = id_value(EXPR_V_SPAN_ID, s->parent_span_id); return 0;
  case F_PARENT_SPAN_ID_STRING: return id_text(run, EXPR_V_SPAN_ID, s->parent_span_id, ret);
  case F_TRACE_STATE: *ret = path->n_keys ? trace_state_key(s->trace_state, path->keys[0].name) : text_value(s->trace_state); return 0;
  case F_NAME: *ret = text_value(s->name); return 0;
  case F_KIND: *ret = weir_value_int(s->kind); return 0;
  case F_KIND_STRING: *ret = kind_text(s->kind, 0); return 0;
  case F_KIND_DEPRECATED: *ret = kind_text(s->kind, 1); return 0;
  case F_START_NANO: *ret = weir_value_int((int64_t)s->start_time_unix_nano); return 0;
  case F_END_NANO: *ret = weir_value_int((int64_t)s->end_time_unix_nano); return 0;
  case F_START: *ret = int_value(EXPR_V_TIME, (int64_t)s->start_time_unix_nano); return 0;
  case F_END: *ret = int_value(EXPR_V_TIME, (int64_t)s->end_time_unix_nano); return 0;
  case F_STATUS_CODE: *ret = weir_value_int(s->status_code); return 0;
  case F_STATUS_MESSAGE: *ret = text_value(s->status_message); return 0;
  case F_FLAGS: *ret = weir_value_int(s->flags); return 0;
  case F_DROPPED_ATTRIBUTES: *ret = weir_value_int(s->rec.dropped_attrs); return 0;
  case F_DROPPED_EVENTS: *ret = weir_value_int(s->dropped_events); return 0;
  default: *ret = weir_value_int(s->dropped_links); return 0;
  }
}

int expr_path_read(struct expr_run *run, const struct expr_path *path, struct weir_value *ret) {
  const struct weir_expr_input *in = run->in;
  switch (path->field) {
  case F_ATTRIBUTES: return attribute(run, &in->span->rec, path, ret);
  case F_EVENT_ATTRIBUTES: return attribute(run, &in->event->rec, path, ret);
  case F_RESOURCE_ATTRIBUTES: return attribute(run, &in->resource->rec, path, ret);
  case F_SCOPE_ATTRIBUTES: return attribute(run, &in->scope->rec, path, ret);
  case F_EVENT_NAME: *ret = text_value(in->event->name); return 0;
  case F_EVENT_NANO: *ret = weir_value_int((int64_t)in->event->time_unix_nano); return 0;
  case F_EVENT_TIME: *ret = int_value(EXPR_V_TIME, (int64_t)in->event->time_unix_nano); return 0;
  case F_EVENT_DROPPED: *ret = weir_value_int(in->event->rec.dropped_attrs); return 0;
  case F_RESOURCE_DROPPED: *ret = weir_value_int(in->resource->rec.dropped_attrs); return 0;
  case F_RESOURCE_SCHEMA: *ret = text_value(in->resource->schema_url); return 0;
  case F_SCOPE_NAME: *ret = text_value(in->scope->name); return 0;
  case F_SCOPE_VERSION: *ret = text_value(in->scope->version); return 0;
  case F_SCOPE_DROPPED: *ret = weir_value_int(in->scope->rec.dropped_attrs); return 0;
  case F_SCOPE_SCHEMA: *ret = text_value(in->scope->schema_url); return 0;
  default: return read_span(run, path, in->span, ret);
  }
}
