/* Inside the debug exporter: text that is built for one batch, and what writes each signal's records. */
#ifndef EXPORTERS_DEBUG_H
#define EXPORTERS_DEBUG_H

#include <weir/stage.h>

#include <stdarg.h>
#include <stddef.h>

/* A growing run of text. What comes from outside is escaped, so that no line can be forged. */
struct text {
  char *p;
  size_t n, cap;
  int failed;
};

void text_put(struct text *, const char *fmt, ...) WEIR_PRINTF(2, 3);
void text_str(struct text *, struct weir_str);           /* printable UTF-8 as it is, the rest as \xNN, \n, \t */
void text_hex(struct text *, struct weir_str);           /* ids; "" for none */
void text_time(struct text *, uint64_t unix_ns);         /* 2026-01-02 03:04:05.678901234 +0000 UTC */
void text_double(struct text *, const char *before, double); /* as few digits as read back the same */
void text_value(struct text *, const struct weir_value *, int depth); /* Str(x), Int(1), Map({...}) */
void text_inline_value(struct text *, const struct weir_value *, int depth); /* without the type, for one-line forms */
void text_attrs(struct text *, const char *indent, const char *title, const struct weir_rec *);
void text_inline_attrs(struct text *, const struct weir_rec *); /* " key=value ..." */

void debug_traces(struct text *, const struct weir_data *, int detailed);
void debug_metrics(struct text *, const struct weir_data *, int detailed);
void debug_logs(struct text *, const struct weir_data *, int detailed);
/* The resource's and the scope's part of the normal form, "ResourceSpans #0 service.name=x" and a line per scope; and of the detailed one. */
void debug_resource_line(struct text *, const char *kind, uint32_t i, const struct weir_resource *);
void debug_scope_line(struct text *, const char *kind, uint32_t i, const struct weir_scope *);
void debug_resource(struct text *, const char *kind, uint32_t i, const struct weir_resource *);
void debug_scope(struct text *, const char *kind, uint32_t i, const struct weir_scope *);

#endif
