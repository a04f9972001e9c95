/*
 * pipelines/print_schema.h - `weir schema`: a JSON Schema (draft 2020-12) of the whole document, or of one stage's settings, from the field tables. [control]
 */
#ifndef PIPELINES_PRINT_SCHEMA_H
#define PIPELINES_PRINT_SCHEMA_H

#include <stdio.h>

#include "plugins/registry.h"

/* All stages that are loaded. */
void print_schema(FILE *, const struct registry *);
void print_schema_stage(FILE *, const struct stage_entry *);

#endif
