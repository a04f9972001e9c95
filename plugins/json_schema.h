/*
 * plugins/json_schema.h - field tables as JSON Schema (draft 2020-12): types, ranges, choices, defaults and docs for editors and checks.
 *
 * Describes the document before ${...} is replaced, so text with `${` is allowed wherever a number is. Written for use below "$defs" of a document that defines
 * `expansion`, as json_schema_expansion does. Threads: [control].
 */
#ifndef PLUGINS_JSON_SCHEMA_H
#define PLUGINS_JSON_SCHEMA_H

#include <stdio.h>

#include "plugins/registry.h"
#include "plugins/schema.h"

/* "receiver_otlp" */
void json_schema_name(char *buf, size_t cap, const struct weir_stage_type *);
/* `"$schema": ..., ` at the head of a document. */
void json_schema_head(FILE *);
/* The schema of a stage's settings. sender_fields: what the host adds to WEIR_QUEUED exporters. */
void json_schema_stage(FILE *, const struct stage_entry *, struct schema_table sender_fields);
/* The schema of a mapping. node: writes the schema of a SCHEMA_T_NODE field; NULL = anything goes. */
typedef void json_schema_node_f(FILE *, const char *name);
void json_schema_table(FILE *, struct schema_table, json_schema_node_f *node);
/* A definition `"expansion": {...}`. */
void json_schema_expansion(FILE *);
void json_schema_text(FILE *, const char *); /* a JSON string */

#endif
