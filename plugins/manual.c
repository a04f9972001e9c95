#include "plugins/manual.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/schema.h"

/* --- the head ---------------------------------------------------------------------------------- */

static const char *section_of(uint32_t role) {
  static const char *const keys[] = { "", "receivers", "processors", "exporters", "connectors", "extensions" };
  return role < sizeof keys / sizeof *keys ? keys[role] : "";
}

static void put_signals(FILE *out, uint32_t mask) {
  static const char *const names[] = { "traces", "metrics", "logs" };
  const char *sep = "";
  for (size_t i = 0; i < 3; i++)
    if (mask & (1u << i)) fprintf(out, "%s%s", sep, names[i]), sep = ", ";
  if (!*sep) fputs("none", out);
}

/* "a|b" as "`a`, `b`". */
static void put_words(FILE *out, const char *words, const char *quote) {
  fputs(quote, out);
  for (const char *p = words; *p; p++)
    if (*p == '|')
      fprintf(out, "%s, %s", quote, quote);
    else
      fputc(*p, out);
  fputs(quote, out);
}

static void put_head(FILE *out, const struct stage_entry *e) {
  const struct weir_stage_type *t = &e->type;
  fprintf(out, "# %s %s\n\n%s\n\n", t->name, role_name(t->role), t->doc ? t->doc : "");
  if (t->role != WEIR_EXTENSION) {
    fprintf(out, "- %s: ", t->role == WEIR_CONNECTOR ? "takes" : "signals");
    put_signals(out, t->signals);
    fputc('\n', out);
  }
  if (t->role == WEIR_CONNECTOR) {
    fputs("- gives: ", out);
    if (t->out_signals)
      put_signals(out, t->out_signals);
    else
      fputs("the signal that it takes", out);
    fputc('\n', out);
  }
  if (t->stability) fprintf(out, "- stability: %s\n", t->stability);
  if (t->aliases) {
    fputs("- also called: ", out);
    put_words(out, t->aliases, "`");
    fputc('\n', out);
  }
  if (t->flags & WEIR_MUTATES) fputs("- changes the data that it passes on\n", out);
  if (t->flags & WEIR_ONE_LANE) fputs("- one instance in the process, whatever the number of lanes\n", out);
  if (t->flags & WEIR_IN_ORDER) fputs("- sends batches one after the other, in the order of the queue: `num_consumers` of sending_queue has no effect\n", out);
}

static void put_example(FILE *out, const struct weir_stage_type *t) {
  fprintf(out, "\n## Example\n\n```yaml\n%s:\n  %s:\n", section_of(t->role), t->name);
  for (const char *p = t->example_yaml; p && *p;) {
    size_t n = strcspn(p, "\n");
    if (n) fprintf(out, "    %.*s", (int)n, p);
    fputc('\n', out);
    p += n + (p[n] == '\n');
  }
  fputs("```\n", out);
}

/* --- keys ---------------------------------------------------------------------------------------- */

/* A key and those below it: path is its dotted name. */
static void put_keys(FILE *out, struct schema_table, const char *prefix, struct schema_table hidden_by, int depth);

static void put_default(FILE *out, const struct weir_field *f) {
  if (f->flags & WEIR_REQUIRED)
    fputs(", required", out);
  else if (f->flags & WEIR_SECRET && f->dflt)
    fputs(", has a default", out);
  else if (f->dflt)
    fprintf(out, ", default `%s`", *f->dflt ? f->dflt : "\"\"");
}

static void put_range(FILE *out, const struct weir_field *f) {
  if (f->min && f->max)
    fprintf(out, ", %s to %s", f->min, f->max);
  else if (f->min && strcmp(f->min, "0") != 0)
    fprintf(out, ", at least %s", f->min);
  else if (f->max)
    fprintf(out, ", at most %s", f->max);
  if (f->unit) fprintf(out, ", in %s", f->unit);
}

static void put_type(FILE *out, const struct weir_field *f) {
  if (f->type == WEIR_T_ENUM)
    fputs("one of ", out), put_words(out, f->choices, "`");
  else if (f->type == WEIR_T_OPT_GROUP)
    fputs("group, off unless the key is there", out);
  else
    fputs(schema_type_name(f->type), out);
  put_default(out, f);
  put_range(out, f);
  if (f->flags & WEIR_NONEMPTY) fputs(", not empty", out);
  if (f->flags & WEIR_SECRET) fputs(", secret", out);
  if (f->flags & WEIR_DEPRECATED) fputs(", deprecated", out);
}

static void put_key(FILE *out, const struct weir_field *f, const char *prefix, uint32_t stride, int depth) {
  char path[256];
  struct schema_table none = { NULL, 0 };
  snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", f->name);
  fprintf(out, "- `%s` (", path);
  put_type(out, f);
  fprintf(out, ")\n  %s\n", f->doc ? f->doc : "");
  if (!f->group || depth >= SCHEMA_DEPTH_MAX) return;
  snprintf(path, sizeof path, "%s%s%s%s", prefix, *prefix ? "." : "", f->name, f->type == WEIR_T_GROUPS ? "[]" : "");
  put_keys(out, (struct schema_table){ f->group, stride }, path, none, depth + 1);
}

static int has(struct schema_table t, const char *name) {
  struct weir_field f;
  for (size_t i = 0; schema_field(t, i, &f); i++)
    if (strcmp(f.name, name) == 0) return 1;
  return 0;
}

/* hidden_by: keys of that table are left out, as it has them first. */
static void put_keys(FILE *out, struct schema_table t, const char *prefix, struct schema_table hidden_by, int depth) {
  struct weir_field f;
  for (size_t i = 0; schema_field(t, i, &f); i++) {
    if (has(hidden_by, f.name)) continue;
    if (f.group == t.fields) f.group = NULL; /* a table that contains itself is printed once */
    put_key(out, &f, prefix, t.field_size, depth);
  }
}

void manual_page(FILE *out, const struct stage_entry *e, struct schema_table sender_fields) {
  struct schema_table own = { e->type.fields, e->type.field_size }, none = { NULL, 0 };
  struct weir_field f;
  put_head(out, e);
  put_example(out, &e->type);
  fputs("\n## Keys\n\n", out);
  if (!schema_field(own, 0, &f)) fputs("It has no keys of its own.\n", out);
  put_keys(out, own, "", none, 0);
  if (!(e->type.flags & WEIR_QUEUED)) return;
  fputs("\n## Queue and retry\n\nEvery exporter that sends over the network has these.\n\n", out);
  put_keys(out, sender_fields, "", own, 0);
}

/* --- weir components ------------------------------------------------------------------------------ */

static void put_component(FILE *out, const struct stage_entry *e) {
  const struct weir_stage_type *t = &e->type;
  const char *stability = t->stability ? t->stability : "unknown";
  static const char *const signals[] = { "traces", "metrics", "logs" };
  fprintf(out, "  - name: %s\n    module: %s %s\n    file: %s\n", t->name, e->plugin.name, e->plugin.version, e->file);
  if (t->aliases) {
    fputs("    aliases: [", out);
    put_words(out, t->aliases, "");
    fputs("]\n", out);
  }
  fputs("    stability:\n", out);
  if (t->role == WEIR_EXTENSION) fprintf(out, "      extension: %s\n", stability);
  for (size_t i = 0; i < 3 && t->role != WEIR_EXTENSION; i++) {
    if (!(t->signals & (1u << i))) continue;
    for (size_t o = 0; o < 3 && t->role == WEIR_CONNECTOR; o++)
      if (t->out_signals ? (t->out_signals & (1u << o)) != 0 : o == i)
        fprintf(out, "      %s-to-%s: %s\n", signals[i], signals[o], stability);
    if (t->role != WEIR_CONNECTOR) fprintf(out, "      %s: %s\n", signals[i], stability);
  }
}

void manual_components(FILE *out, const struct registry *registry) {
  static const uint32_t roles[] = { WEIR_RECEIVER, WEIR_PROCESSOR, WEIR_EXPORTER, WEIR_CONNECTOR, WEIR_EXTENSION };
  for (size_t r = 0; r < sizeof roles / sizeof *roles; r++) {
    int any = 0;
    for (const struct stage_entry *e = registry_first(registry); e; e = e->next) any |= e->type.role == roles[r];
    fprintf(out, "%s:%s\n", section_of(roles[r]), any ? "" : " []");
    for (const struct stage_entry *e = registry_first(registry); e; e = e->next)
      if (e->type.role == roles[r]) put_component(out, e);
  }
}
