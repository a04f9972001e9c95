#include "pipelines/print_schema.h"

#include <string.h>

#include "pipelines/config_internal.h"
#include "plugins/json_schema.h"

static const struct schema_table queue_table = { sender_fields, sizeof(struct weir_field) };
static const char ids[] = "{\"type\": [\"string\", \"number\", \"boolean\"]}";

/* Parts of service that its table leaves open. */
static void put_service_node(FILE *out, const char *name) {
  if (strcmp(name, "pipelines") == 0)
    fputs("\"type\": [\"object\", \"string\"], \"additionalProperties\": false, \"patternProperties\": {\"^(traces|metrics|logs)(/.+)?$\": {\"$ref\": \"#/$defs/pipeline\"}}",
      out);
  else if (strcmp(name, "extensions") == 0 || strcmp(name, "plugins") == 0)
    fprintf(out, "\"type\": [\"array\", \"string\", \"null\"], \"items\": %s", ids);
  else
    fputs("\"$comment\": \"anything\"", out);
}

static void put_pipeline_node(FILE *out, const char *name) {
  (void)name;
  fprintf(out, "\"type\": [\"array\", \"string\", \"null\"], \"items\": %s", ids);
}

/* "otlp|otlp_grpc" may each have a name behind it. */
static void put_key_pattern(FILE *out, const struct weir_stage_type *t) {
  fprintf(out, "\"^(%s%s%s)( */.*)?$\"", t->name, t->aliases ? "|" : "", t->aliases ? t->aliases : "");
}

static void put_section(FILE *out, const struct registry *r, const struct config_section *s) {
  const char *sep = "";
  char name[160];
  fprintf(out, "\n    \"%s\": {\"type\": [\"object\", \"null\"], \"patternProperties\": {", s->key);
  for (const struct stage_entry *e = registry_first(r); e; e = e->next) {
    if (e->type.role != s->role) continue;
    json_schema_name(name, sizeof name, &e->type);
    fprintf(out, "%s\n      ", sep);
    put_key_pattern(out, &e->type);
    fprintf(out, ": {\"$ref\": \"#/$defs/%s\"}", name);
    sep = ",";
  }
  fputs("}}", out);
}

static void put_defs(FILE *out, const struct registry *r) {
  char name[160];
  fputs(",\n  \"$defs\": {\n    ", out);
  json_schema_expansion(out);
  fputs(",\n    \"pipeline\": ", out);
  json_schema_table(out, config_pipeline_table, put_pipeline_node);
  fputs(",\n    \"service\": ", out);
  json_schema_table(out, config_service_table, put_service_node);
  for (const struct stage_entry *e = registry_first(r); e; e = e->next) {
    json_schema_name(name, sizeof name, &e->type);
    fprintf(out, ",\n    \"%s\": ", name);
    json_schema_stage(out, e, queue_table);
  }
  fputs("}", out);
}

void print_schema(FILE *out, const struct registry *r) {
  const char *sep = "";
  fputs("{\n  ", out);
  json_schema_head(out);
  fputs(",\n  \"title\": \"weir configuration\", \"type\": \"object\", \"additionalProperties\": false, \"properties\": {", out);
  for (const struct config_section *s = config_sections; s->key; s++) {
    fputs(sep, out);
    put_section(out, r, s);
    sep = ",";
  }
  fputs(",\n    \"service\": {\"$ref\": \"#/$defs/service\"}}", out);
  put_defs(out, r);
  fputs("\n}\n", out);
}

void print_schema_stage(FILE *out, const struct stage_entry *e) {
  char name[160];
  json_schema_name(name, sizeof name, &e->type);
  fputs("{\n  ", out);
  json_schema_head(out);
  fprintf(out, ",\n  \"title\": \"%s %s\", \"$ref\": \"#/$defs/%s\",\n  \"$defs\": {\n    ", e->type.name, role_name(e->type.role), name);
  json_schema_expansion(out);
  fprintf(out, ",\n    \"%s\": ", name);
  json_schema_stage(out, e, queue_table);
  fputs("}\n}\n", out);
}
