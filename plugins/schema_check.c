/* Whether a stage's own field table can be used at all: the author's mistakes, found when the plugin is loaded. */
#include <stdio.h>
#include <string.h>

#include "plugins/schema_internal.h"

#define FIELDS_MAX 1000 /* a table without its end would be walked for ever */

struct check {
  const char *stage;
  struct weir_error *err;
  struct schema_table table;
  size_t size; /* of the struct that the table fills; 0 = not known */
  const char *path;
  int depth;
};

static int check_table(const struct check *);

static int bad(const struct check *c, const struct weir_field *f, const char *what) {
  weir_hint(c->err, "this is a mistake in the plugin: its author has to correct the field table");
  return weir_fail(c->err, WEIR_E_INVALID, "stage `%s`: field `%s%s%s`: %s", c->stage, c->path, *c->path ? "." : "", f->name, what);
}

static int name_ok(const char *s) {
  if (!*s) return 0;
  for (; *s; s++)
    if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_')) return 0;
  return 1;
}

static int parses(const struct weir_field *f, const char *text) {
  char room[16];
  return !text || schema_parse_scalar(f, text, room) == 0;
}

static int is_scalar(uint32_t type) { return (type >= WEIR_T_BOOL && type <= WEIR_T_BYTES) || type == WEIR_T_ENUM; }

/* A default that is a list or mapping is YAML of the right kind. */
static int default_parses(const struct weir_field *f) {
  struct diags ds;
  struct arena a;
  if (!f->dflt || f->type == WEIR_T_STRING) return 1;
  if (is_scalar(f->type)) return parses(f, f->dflt);
  if (f->type == WEIR_T_GROUP || f->type == WEIR_T_OPT_GROUP) return 0;
  diags_init(&ds);
  arena_init(&a, NULL, 1024);
  struct yaml_node *node = yaml_parse_part(&a, &ds, diags_add_file(&ds, "default", f->dflt, strlen(f->dflt)), 0, strlen(f->dflt));
  int want = f->type == WEIR_T_MAP ? YAML_MAP : YAML_SEQ;
  int ok = node && ds.n_errors == 0 && (node->kind == want || (f->type == WEIR_T_STRINGS && node->kind == YAML_SCALAR));
  arena_done(&a);
  diags_done(&ds);
  return ok;
}

static int check_group(const struct check *c, const struct weir_field *f) {
  char path[256];
  struct check sub = *c;
  int apart = f->type != WEIR_T_GROUP; /* has a struct of its own */
  if (f->type < WEIR_T_GROUP || f->type > WEIR_T_GROUPS) return f->group ? bad(c, f, "only a group may have a table of its own") : 0;
  if (!f->group) return bad(c, f, "a group needs a table");
  if (apart && f->group_size == 0) return bad(c, f, "group_size is missing");
  if (!apart && f->group_size && c->size && f->offset + f->group_size > c->size)
    return bad(c, f, "the group ends behind the end of the config struct");
  if (f->group == c->table.fields || c->depth >= SCHEMA_DEPTH_MAX) return 0; /* a table may contain itself */
  snprintf(path, sizeof path, "%s%s%s", c->path, *c->path ? "." : "", f->name);
  sub.table.fields = f->group;
  sub.path = path;
  sub.depth++;
  sub.size = apart || f->group_size ? f->group_size : c->size > f->offset ? c->size - f->offset : 0;
  return check_table(&sub);
}

static int check_field(const struct check *c, const struct weir_field *f) {
  size_t size = schema_type_size(f->type);
  if (!name_ok(f->name)) return bad(c, f, "a name has lower-case letters, digits and _ only");
  if (!f->doc || !*f->doc) return bad(c, f, "doc is missing");
  if (f->type < WEIR_T_BOOL || f->type > WEIR_T_GROUPS) return bad(c, f, "its type is not known to this weir");
  if (c->size && (f->offset > c->size || size > c->size - f->offset)) return bad(c, f, "it ends behind the end of the config struct");
  if (f->type == WEIR_T_ENUM && (!f->choices || !*f->choices)) return bad(c, f, "a choice needs `choices`");
  if (!default_parses(f)) return bad(c, f, "the default is not a value of its type");
  if ((f->min || f->max) && (f->type < WEIR_T_INT || f->type > WEIR_T_BYTES))
    return bad(c, f, "min and max are for numbers, durations and sizes");
  if (!parses(f, f->min) || !parses(f, f->max)) return bad(c, f, "min or max is not a value of its type");
  if (f->dflt && schema_out_of_range(f, f->dflt)) return bad(c, f, "the default is out of its own range");
  if ((f->flags & WEIR_REQUIRED) && f->dflt) return bad(c, f, "a required key has no default");
  return check_group(c, f);
}

static int check_table(const struct check *c) {
  struct weir_field f, other;
  for (size_t i = 0; schema_field(c->table, i, &f); i++) {
    if (i >= FIELDS_MAX)
      return weir_fail(c->err, WEIR_E_INVALID, "stage `%s`: a field table has more than %d fields: is its end (WEIR_FIELD_END) missing?",
        c->stage, FIELDS_MAX);
    int rc = check_field(c, &f);
    if (rc) return rc;
    for (size_t k = 0; k < i && schema_field(c->table, k, &other); k++)
      if (strcmp(f.name, other.name) == 0) return bad(c, &f, "it is declared twice");
  }
  return 0;
}

int schema_check_table(const char *stage, struct schema_table table, size_t config_size, struct weir_error *err) {
  struct check c = { stage, err, table, config_size, "", 0 };
  if (!table.fields) return 0;
  if (table.field_size < offsetof(struct weir_field, group_size) + sizeof(size_t))
    return weir_fail(
      err, WEIR_E_INVALID, "stage `%s`: field_size is %u, less than the first version of struct weir_field had", stage, table.field_size);
  return check_table(&c);
}
