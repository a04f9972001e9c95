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

/* For tables of the host only: `const struct yaml_node *`, bound as it stands (NULL when absent), for what a table can not describe. */
#define SCHEMA_T_NODE 0x1000

/* A table plus what the host adds to it (sending_queue ... for WEIR_QUEUED exporters): the host's keys are bound into a second struct. */
struct schema_table {
  const struct weir_field *fields; /* NULL = none */
  uint32_t field_size;
};

struct schema_binding {
  struct schema_table table;
  void *out; /* zeroed struct to fill */
};

/* Binds node (NULL or YAML_NULL = all defaults) to each table in turn; a key must belong to one of them (first wins). what: "exporter `otlp`"
 * for messages; at: position for errors about the whole (the component's key). Strings and lists are made in arena. Errors go to diags. */
void schema_bind(struct arena *, struct diags *, const char *what, struct pos at, const struct yaml_node *node,
  const struct schema_binding *bindings, size_t n_bindings);
/* Checks the table itself (docs present, defaults parse, ranges parse, offsets inside config_size, no duplicate); for the loader. 0 or
 * WEIR_E_INVALID. */
int schema_check_table(const char *stage, struct schema_table, size_t config_size, struct weir_error *);
/* The node at a dotted path ("protocols.grpc.endpoint") below node, or the deepest that exists; for errors from open. */
struct pos schema_find(const struct yaml_node *node, struct pos dflt, const char *path);

/* Field i of a table, read by the table's stride into a zeroed struct; 0 at the end. */
int schema_field(struct schema_table, size_t i, struct weir_field *ret);
/* "duration", "size", "list of strings" ...: the type as a person would call it. */
const char *schema_type_name(uint32_t type);
/* A word for what stands there, for messages: "a list", "the text `abc`" ... never the value when secret. buf is used for texts. */
const char *schema_describe(const struct yaml_node *, int secret, char *buf, size_t cap);
/* 0, or WEIR_E_INVALID / WEIR_E_LIMIT: text as a value of the field's scalar type. out is what stands at the field's offset; not for
 * STRING. */
int schema_parse_scalar(const struct weir_field *, const char *text, void *out);
size_t schema_type_size(uint32_t type);

#define SCHEMA_DEPTH_MAX 16 /* nesting of groups; a table may contain itself (and/or policies) */

#endif
