#include "plugins/json_schema.h"

#include <stdlib.h>
#include <string.h>

#include "core/parse.h"

#define DURATION "^-?([0-9]+(\\\\.[0-9]*)?|\\\\.[0-9]+)(ns|us|\xc2\xb5s|\xce\xbcs|ms|s|m|h)(([0-9]+(\\\\.[0-9]*)?|\\\\.[0-9]+)(ns|us|\xc2\xb5s|\xce\xbcs|ms|s|m|h))*$"
#define BYTES "^[0-9]+(\\\\.[0-9]+)? ?([kKMGT]i?)?B?$"
#define EXPANSION "{\"$ref\": \"#/$defs/expansion\"}"

struct writer {
  FILE *out;
  json_schema_node_f *node;
  int depth;
};

static void put_table(struct writer *, const struct schema_table *, size_t n);

static void put_escaped(FILE *out, const char *s) {
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') fprintf(out, "\\%c", c);
    else if (c < 0x20) fprintf(out, "\\u%04x", c);
    else fputc(c, out);
  }
}

void json_schema_text(FILE *out, const char *s) {
  fputc('"', out);
  put_escaped(out, s);
  fputc('"', out);
}

/* --- one value ---------------------------------------------------------------------------------------------------- */

static int is_number(const struct weir_field *f) { return f->type == WEIR_T_INT || f->type == WEIR_T_UINT || f->type == WEIR_T_DOUBLE; }

/* Only what JSON has as a number; the unit of a size or a duration is told in the description. */
static void put_limits(struct writer *w, const struct weir_field *f) {
  double v;
  if (f->min && parse_double(f->min, &v) == 0) fprintf(w->out, ", \"minimum\": %.17g", v);
  else if (f->type == WEIR_T_UINT) fputs(", \"minimum\": 0", w->out);
  if (f->max && parse_double(f->max, &v) == 0) fprintf(w->out, ", \"maximum\": %.17g", v);
}

static void put_choices(FILE *out, const char *choices) {
  const char *sep = "";
  for (const char *p = choices; p && *p; p += p[strcspn(p, "|")] ? strcspn(p, "|") + 1 : strcspn(p, "|")) {
    char word[128];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(p, "|"), p);
    fputs(sep, out);
    json_schema_text(out, word);
    sep = ", ";
  }
}

/* A choice is taken in any case; patterns have no flag for that. */
static void put_any_case(FILE *out, const char *choices) {
  fputs("{\"type\": \"string\", \"pattern\": \"^(", out);
  for (const char *p = choices; *p; p++) {
    int c = *p, lower = c >= 'A' && c <= 'Z' ? c + 32 : c, upper = c >= 'a' && c <= 'z' ? c - 32 : c;
    if (lower != upper) fprintf(out, "[%c%c]", upper, lower);
    else if (c == '.' || c == '+') fprintf(out, "\\\\%c", c);
    else fputc(c, out);
  }
  fputs(")$\"}", out);
}

static void put_scalar(struct writer *w, const struct weir_field *f) {
  fputs("\"anyOf\": [", w->out);
  if (f->type == WEIR_T_BOOL) fputs("{\"type\": \"boolean\"}", w->out);
  else if (f->type == WEIR_T_DURATION) fputs("{\"type\": \"string\", \"pattern\": \"" DURATION "\"}, {\"const\": 0}", w->out);
  else if (f->type == WEIR_T_BYTES) fputs("{\"type\": \"integer\", \"minimum\": 0}, {\"type\": \"string\", \"pattern\": \"" BYTES "\"}", w->out);
  else if (f->type == WEIR_T_ENUM) {
    fputs("{\"enum\": [", w->out);
    put_choices(w->out, f->choices);
    fputs("]}, ", w->out);
    put_any_case(w->out, f->choices);
  } else {
    fprintf(w->out, "{\"type\": \"%s\"", f->type == WEIR_T_DOUBLE ? "number" : "integer");
    put_limits(w, f);
    fputc('}', w->out);
  }
  fprintf(w->out, ", " EXPANSION "%s]", f->flags & WEIR_REQUIRED ? "" : ", {\"type\": \"null\"}");
}

/* An unquoted number is text as it stands. */
#define TEXT_TYPES "\"string\", \"number\", \"boolean\""

static void put_group(struct writer *w, const struct weir_field *f, const struct schema_table *of, const char *null_too) {
  struct schema_table below = { f->group, of->field_size };
  if (!f->group || f->group == of->fields || w->depth >= SCHEMA_DEPTH_MAX) {
    fprintf(w->out, "\"type\": [\"object\"%s]", null_too);
    return;
  }
  fprintf(w->out, "\"type\": [\"object\"%s], ", null_too);
  w->depth++;
  put_table(w, &below, 1);
  w->depth--;
}

static void put_type(struct writer *w, const struct weir_field *f, const struct schema_table *of) {
  const char *null_too = f->flags & WEIR_REQUIRED && f->type != WEIR_T_GROUP ? "" : ", \"null\"";
  switch (f->type) {
  case WEIR_T_STRING:
    fprintf(w->out, "\"type\": [" TEXT_TYPES "%s]%s", null_too, f->flags & WEIR_NONEMPTY ? ", \"minLength\": 1" : "");
    break;
  case WEIR_T_STRINGS:
    fprintf(w->out, "\"type\": [\"array\", \"string\"%s], \"items\": {\"type\": [" TEXT_TYPES "]}", null_too);
    break;
  case WEIR_T_MAP:
    fprintf(w->out, "\"type\": [\"object\"%s], \"additionalProperties\": {\"type\": [" TEXT_TYPES ", \"null\"]}", null_too);
    break;
  case WEIR_T_GROUP:
  case WEIR_T_OPT_GROUP:
    put_group(w, f, of, null_too);
    break;
  case WEIR_T_GROUPS:
    fprintf(w->out, "\"type\": [\"array\"%s], \"items\": {", null_too);
    put_group(w, f, of, "");
    fputc('}', w->out);
    break;
  case SCHEMA_T_NODE:
    if (w->node) w->node(w->out, f->name);
    else fputs("\"$comment\": \"anything\"", w->out);
    break;
  default:
    put_scalar(w, f);
  }
}

/* --- what is said about it ------------------------------------------------------------------------------------------ */

static void put_default(struct writer *w, const struct weir_field *f) {
  double v;
  if (!f->dflt || f->flags & WEIR_SECRET) return;
  if (f->type == WEIR_T_BOOL || (is_number(f) && parse_double(f->dflt, &v) == 0 && v - v == 0)) {
    fprintf(w->out, ", \"default\": %s", f->dflt);
  } else if (f->type < WEIR_T_STRINGS) {
    fputs(", \"default\": ", w->out);
    json_schema_text(w->out, f->dflt);
  } else { /* lists and mappings, in YAML's spelling */
    fputs(", \"$comment\": ", w->out);
    char text[300];
    snprintf(text, sizeof text, "default: %s", f->dflt);
    json_schema_text(w->out, text);
  }
}

static void put_sentence(FILE *out, const char *begin, const char *what) {
  if (!what) return;
  fputs(begin, out);
  put_escaped(out, what);
  fputc('.', out);
}

static void put_description(struct writer *w, const struct weir_field *f) {
  int ranged = f->type == WEIR_T_DURATION || f->type == WEIR_T_BYTES;
  fputs(", \"description\": \"", w->out);
  put_escaped(w->out, f->doc ? f->doc : "");
  put_sentence(w->out, " In ", f->unit);
  put_sentence(w->out, " At least ", ranged ? f->min : NULL);
  put_sentence(w->out, " At most ", ranged ? f->max : NULL);
  fputc('"', w->out);
  if (f->flags & WEIR_DEPRECATED) fputs(", \"deprecated\": true", w->out);
  if (f->flags & WEIR_SECRET) fputs(", \"writeOnly\": true", w->out);
}

/* --- tables ----------------------------------------------------------------------------------------------------------- */

static void new_line(const struct writer *w) { fprintf(w->out, "\n%*s", 4 + 2 * w->depth, ""); }

static int has(const struct schema_table *t, const char *name) {
  struct weir_field f;
  for (size_t i = 0; schema_field(*t, i, &f); i++)
    if (strcmp(f.name, name) == 0) return 1;
  return 0;
}

/* The keys of n tables; of two with the same name the first table's. */
static void put_table(struct writer *w, const struct schema_table *t, size_t n) {
  struct weir_field f;
  const char *sep = "";
  fputs("\"additionalProperties\": false, \"properties\": {", w->out);
  for (size_t k = 0; k < n; k++)
    for (size_t i = 0; schema_field(t[k], i, &f); i++) {
      if (k && has(&t[0], f.name)) continue;
      fputs(sep, w->out);
      new_line(w);
      json_schema_text(w->out, f.name);
      fputs(": {", w->out);
      put_type(w, &f, &t[k]);
      put_default(w, &f);
      put_description(w, &f);
      fputc('}', w->out);
      sep = ",";
    }
  fputc('}', w->out);
  sep = ", \"required\": [";
  for (size_t k = 0; k < n; k++)
    for (size_t i = 0; schema_field(t[k], i, &f); i++)
      if (f.flags & WEIR_REQUIRED) {
        fputs(sep, w->out);
        json_schema_text(w->out, f.name);
        sep = ", ";
      }
  if (*sep == ',' && sep[2] != '"') fputs("]", w->out);
}

void json_schema_name(char *buf, size_t cap, const struct weir_stage_type *t) { snprintf(buf, cap, "%s_%s", role_name(t->role), t->name); }

void json_schema_head(FILE *out) { fputs("\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"", out); }

void json_schema_expansion(FILE *out) {
  fputs("\"expansion\": {\"type\": \"string\", \"pattern\": \"\\\\$\\\\{\", \"description\": \"What ${env:NAME}, ${file:PATH} or ${yaml:TEXT} gives.\"}", out);
}

void json_schema_stage(FILE *out, const struct stage_entry *e, struct schema_table host) {
  struct writer w = { out, NULL, 0 };
  struct schema_table tables[2] = { { e->type.fields, e->type.field_size }, host };
  struct weir_field f;
  int required = 0;
  for (size_t i = 0; schema_field(tables[0], i, &f); i++) required |= (f.flags & WEIR_REQUIRED) != 0;
  fprintf(out, "{\"description\": ");
  json_schema_text(out, e->type.doc);
  fprintf(out, ", \"type\": [\"object\"%s], ", required ? "" : ", \"null\"");
  put_table(&w, tables, e->type.flags & WEIR_QUEUED ? 2 : 1);
  fputc('}', out);
}

void json_schema_table(FILE *out, struct schema_table t, json_schema_node_f *node) {
  struct writer w = { out, node, 0 };
  fputs("{\"type\": [\"object\", \"null\"], ", out);
  put_table(&w, &t, 1);
  fputc('}', out);
}
