/*
 * plugins/manual.h - the manual page of a stage, printed from its type and field table (Markdown, also fine on a terminal).
 */
#ifndef PLUGINS_MANUAL_H
#define PLUGINS_MANUAL_H

#include <stdio.h>

#include "plugins/registry.h"

/* One stage's page; sender_fields are added for WEIR_QUEUED exporters. */
void manual_page(FILE *out, const struct stage_entry *, struct schema_table sender_fields);
/* The list for `weir components` (YAML: kinds, names, aliases, signals, stability, plugin and version, file). */
void manual_components(FILE *out, const struct registry *);

#endif
