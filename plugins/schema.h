/*
 * plugins/schema.h - from a YAML node to a stage's own config struct, by its field table.
 *
 * Walks the declared table by its declared stride. Every problem becomes a diagnostic at its place, and binding goes on,
 * so that all are reported at once: unknown key (nearest name, list of allowed keys), wrong type, range, choice, missing
 * required key, deprecated key (warning).
 */
#ifndef PLUGINS_SCHEMA_H
#define PLUGINS_SCHEMA_H

#include <weir/config.h>

#include "core/diag.h"
#include "core/yaml.h"

/* A table plus what the host adds to it (sending_queue ... for WEIR_QUEUED exporters): the host's keys are bound into a second struct. */
struct schema_table {
  const struct weir_field *fields; /* NULL = none */
  uint32_t field_size;
};

struct schema_binding {
  struct schema_table table;
  void *out; /* zeroed struct to fill */
};

/* Binds node (NULL or YAML_NULL = all defaults) to each table in turn; a key must belong to one of them (first wins). what: "exporter `otlp`" for
 * messages; at: position for errors about the whole (the component's key). Strings and lists are made in arena. Errors go to diags. */
void schema_bind(struct arena *, struct diags *, const char *what, struct pos at, const struct yaml_node *node,
  const struct schema_binding *bindings, size_t n_bindings);
/* Checks the table itself (docs present, defaults parse, ranges parse, offsets inside config_size, no duplicate); for the loader. 0 or WEIR_E_INVALID. */
int schema_check_table(const char *stage, struct schema_table, size_t config_size, struct weir_error *);
/* The node at a dotted path ("protocols.grpc.endpoint") below node, or the deepest that exists; for errors from open. */
struct pos schema_find(const struct yaml_node *node, struct pos dflt, const char *path);

#endif
