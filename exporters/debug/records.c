/* Traces and logs, one line a record (normal) or everything (detailed), in the Collector's forms. */
#include "debug.h"

#include <inttypes.h>

void debug_resource_line(struct text *t, const char *kind, uint32_t i, const struct weir_resource *r) {
  text_put(t, "Resource%s #%u", kind, i);
  text_inline_attrs(t, &r->rec);
  text_put(t, "\n");
}

void debug_scope_line(struct text *t, const char *kind, uint32_t i, const struct weir_scope *s) {
  text_put(t, " Scope%s #%u ", kind, i);
  text_str(t, s->name);
  if (s->version.n) text_put(t, "@");
  text_str(t, s->version);
  text_inline_attrs(t, &s->rec);
  text_put(t, "\n");
}

void debug_resource(struct text *t, const char *kind, uint32_t i, const struct weir_resource *r) {
  text_put(t, "Resource%s #%u\nResource SchemaURL: ", kind, i);
  text_str(t, r->schema_url);
  text_put(t, "\n");
  text_attrs(t, "", "Resource attributes", &r->rec);
}

void debug_scope(struct text *t, const char *kind, uint32_t i, const struct weir_scope *s) {
  text_put(t, "Scope%s #%u\nScope%s SchemaURL: ", kind, i, kind);
  text_str(t, s->schema_url);
  text_put(t, "\nInstrumentationScope ");
  text_str(t, s->name);
  text_put(t, " ");
  text_str(t, s->version);
  text_put(t, "\n");
  text_attrs(t, "", "InstrumentationScope attributes", &s->rec);
}

static void line(struct text *t, const char *title, struct weir_str s) {
  text_put(t, "    %-15s: ", title);
  text_str(t, s);
  text_put(t, "\n");
}

static void id_line(struct text *t, const char *title, struct weir_str s) {
  text_put(t, "    %-15s: ", title);
  text_hex(t, s);
  text_put(t, "\n");
}

static void time_line(struct text *t, const char *title, uint64_t ns) {
  text_put(t, "    %-15s: ", title);
  text_time(t, ns);
  text_put(t, "\n");
}

/* --- traces -------------------------------------------------------------------------------------------------------- */

static const char *kind_name(int32_t kind) {
  static const char *const names[] = { "Unspecified", "Internal", "Server", "Client", "Producer", "Consumer" };
  return kind >= 0 && kind <= 5 ? names[kind] : "?";
}

static const char *status_name(int32_t code) {
  static const char *const names[] = { "Unset", "Ok", "Error" };
  return code >= 0 && code <= 2 ? names[code] : "?";
}

static void events_and_links(struct text *t, const struct weir_span *s) {
  if (s->n_events) text_put(t, "Events:\n");
  for (uint32_t i = 0; i < s->n_events; i++) {
    const struct weir_event *e = s->events[i];
    text_put(t, "SpanEvent #%u\n     -> Name: ", i);
    text_str(t, e->name);
    text_put(t, "\n     -> Timestamp: ");
    text_time(t, e->time_unix_nano);
    text_put(t, "\n     -> DroppedAttributesCount: %u\n", e->rec.dropped_attrs);
    text_attrs(t, "     -> ", "Attributes:", &e->rec); /* with two colons, as there */
  }
  if (s->n_links) text_put(t, "Links:\n");
  for (uint32_t i = 0; i < s->n_links; i++) {
    const struct weir_link *l = s->links[i];
    text_put(t, "SpanLink #%u\n     -> Trace ID: ", i);
    text_hex(t, l->trace_id);
    text_put(t, "\n     -> ID: ");
    text_hex(t, l->span_id);
    text_put(t, "\n     -> TraceState: ");
    text_str(t, l->trace_state);
    text_put(t, "\n     -> DroppedAttributesCount: %u\n", l->rec.dropped_attrs);
    text_attrs(t, "     -> ", "Attributes:", &l->rec);
  }
}

static void detailed_span(struct text *t, uint32_t i, const struct weir_span *s) {
  text_put(t, "Span #%u\n", i);
  id_line(t, "Trace ID", s->trace_id);
  id_line(t, "Parent ID", s->parent_span_id);
  id_line(t, "ID", s->span_id);
  line(t, "Name", s->name);
  text_put(t, "    %-15s: %s\n", "Kind", kind_name(s->kind));
  if (s->trace_state.n) line(t, "TraceState", s->trace_state);
  if (s->flags) text_put(t, "    %-15s: 0x%x\n", "Flags", s->flags);
  time_line(t, "Start time", s->start_time_unix_nano);
  time_line(t, "End time", s->end_time_unix_nano);
  text_put(t, "    %-15s: %s\n", "Status code", status_name(s->status_code));
  line(t, "Status message", s->status_message);
  text_put(t, "    DroppedAttributesCount: %u\n    DroppedEventsCount: %u\n    DroppedLinksCount: %u\n", s->rec.dropped_attrs, s->dropped_events, s->dropped_links);
  text_attrs(t, "", "Attributes", &s->rec);
  events_and_links(t, s);
}

static void normal_span(struct text *t, const struct weir_span *s) {
  uint64_t ns = s->end_time_unix_nano > s->start_time_unix_nano ? s->end_time_unix_nano - s->start_time_unix_nano : 0;
  text_put(t, "  ");
  text_str(t, s->name);
  text_put(t, " trace=");
  text_hex(t, s->trace_id);
  text_put(t, " span=");
  text_hex(t, s->span_id);
  text_put(t, " %s %" PRIu64 ".%03" PRIu64 "ms", kind_name(s->kind), ns / 1000000, ns / 1000 % 1000);
  if (s->status_code) text_put(t, " status=%s", status_name(s->status_code));
  text_inline_attrs(t, &s->rec);
  text_put(t, "\n");
}

void debug_traces(struct text *t, const struct weir_data *d, int detailed) {
  for (uint32_t r = 0; r < d->n_resources; r++) {
    if (detailed) debug_resource(t, "Spans", r, d->resources[r]);
    else debug_resource_line(t, "Spans", r, d->resources[r]);
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) {
      const struct weir_scope *scope = d->resources[r]->scopes[s];
      if (detailed) debug_scope(t, "Spans", s, scope);
      else debug_scope_line(t, "Spans", s, scope);
      for (uint32_t i = 0; i < scope->n_records; i++) {
        if (detailed) detailed_span(t, i, scope->u.spans[i]);
        else normal_span(t, scope->u.spans[i]);
      }
    }
  }
}

/* --- logs -------------------------------------------------------------------------------------------------------------- */

/* Info2(10), as the Collector writes it; numbers that are none stand alone in the brackets. */
static void severity(struct text *t, int32_t number) {
  static const char *const names[] = { "Trace", "Debug", "Info", "Warn", "Error", "Fatal" };
  if (number == 0) text_put(t, "Unspecified");
  if (number >= 1 && number <= 24) text_put(t, "%s", names[(number - 1) / 4]);
  if (number >= 1 && number <= 24 && (number - 1) % 4) text_put(t, "%d", (number - 1) % 4 + 1);
  text_put(t, "(%d)\n", number);
}

static void detailed_log(struct text *t, uint32_t i, const struct weir_log *l) {
  text_put(t, "LogRecord #%u\nObservedTimestamp: ", i);
  text_time(t, l->observed_time_unix_nano);
  text_put(t, "\nTimestamp: ");
  text_time(t, l->time_unix_nano);
  text_put(t, "\nSeverityText: ");
  text_str(t, l->severity_text);
  text_put(t, "\nSeverityNumber: ");
  severity(t, l->severity_number);
  if (l->event_name.n) {
    text_put(t, "EventName: ");
    text_str(t, l->event_name);
    text_put(t, "\n");
  }
  text_put(t, "Body: ");
  text_value(t, &l->body, 0);
  text_put(t, "\n");
  text_attrs(t, "", "Attributes", &l->rec);
  text_put(t, "Trace ID: ");
  text_hex(t, l->trace_id);
  text_put(t, "\nSpan ID: ");
  text_hex(t, l->span_id);
  text_put(t, "\nFlags: %u\n", l->flags);
}

static void normal_log(struct text *t, const struct weir_log *l) {
  text_put(t, "  ");
  text_time(t, l->time_unix_nano ? l->time_unix_nano : l->observed_time_unix_nano);
  if (l->severity_text.n || l->severity_number) {
    text_put(t, " ");
    if (l->severity_text.n) text_str(t, l->severity_text);
    else text_put(t, "severity=%d", l->severity_number);
  }
  text_put(t, " ");
  if (l->event_name.n) {
    text_str(t, l->event_name);
    text_put(t, " ");
  }
  text_inline_value(t, &l->body, 0);
  text_inline_attrs(t, &l->rec);
  text_put(t, "\n");
}

void debug_logs(struct text *t, const struct weir_data *d, int detailed) {
  for (uint32_t r = 0; r < d->n_resources; r++) {
    if (detailed) debug_resource(t, "Log", r, d->resources[r]);
    else debug_resource_line(t, "Log", r, d->resources[r]);
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) {
      const struct weir_scope *scope = d->resources[r]->scopes[s];
      if (detailed) debug_scope(t, "Logs", s, scope);
      else debug_scope_line(t, "Logs", s, scope);
      for (uint32_t i = 0; i < scope->n_records; i++) {
        if (detailed) detailed_log(t, i, scope->u.logs[i]);
        else normal_log(t, scope->u.logs[i]);
      }
    }
  }
}
