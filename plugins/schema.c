#include "plugins/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nearest.h"
#include "plugins/schema_internal.h"

static void bind_level(const struct level *, const struct yaml_node *);

int schema_field(struct schema_table t, size_t i, struct weir_field *ret) {
  memset(ret, 0, sizeof *ret);
  if (!t.fields || t.field_size == 0) return 0;
  memcpy(ret, (const char *)t.fields + i * t.field_size, t.field_size < sizeof *ret ? t.field_size : sizeof *ret);
  return ret->name != NULL;
}

static int find_field(struct schema_table t, const char *name, struct weir_field *ret) {
  for (size_t i = 0; schema_field(t, i, ret); i++)
    if (strcmp(ret->name, name) == 0) return 1;
  return 0;
}

/* "exporter `otlp`", or "`tls` of exporter `otlp`". */
static const char *level_name(const struct level *l) { return *l->path ? arena_printf(l->arena, "`%s` of %s", l->path, l->what) : l->what; }

static const char *join(const struct level *l, const char *name) {
  return *l->path ? arena_printf(l->arena, "%s.%s", l->path, name) : name;
}

/* --- unknown keys ------------------------------------------------------------------------------ */

/* The path of a key of that name somewhere below the table, or NULL. */
static const char *find_below(struct arena *a, struct schema_table t, const char *name, int depth) {
  struct weir_field f;
  for (size_t i = 0; depth < SCHEMA_DEPTH_MAX && schema_field(t, i, &f); i++) {
    struct schema_table sub = { f.group, t.field_size };
    struct weir_field hit;
    if (f.type == WEIR_T_GROUPS || !f.group || f.group == t.fields) continue;
    if (find_field(sub, name, &hit)) return f.name;
    const char *deeper = find_below(a, sub, name, depth + 1);
    if (deeper) return arena_printf(a, "%s.%s", f.name, deeper);
  }
  return NULL;
}

static int cmp_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

#define NAMES_MAX 64

static void note_allowed(const struct level *l) {
  const char *names[NAMES_MAX];
  size_t n = 0;
  struct weir_field f;
  for (size_t b = 0; b < l->n_bindings; b++)
    for (size_t i = 0; n < NAMES_MAX && schema_field(l->bindings[b].table, i, &f); i++)
      if (!(f.flags & WEIR_DEPRECATED)) names[n++] = f.name;
  qsort(names, n, sizeof *names, cmp_names);
  const char *list = "";
  for (size_t i = 0; i < n; i++)
    if (i == 0 || strcmp(names[i], names[i - 1]) != 0) list = arena_printf(l->arena, "%s%s%s", list, *list ? ", " : "", names[i]);
  if (n)
    diag_note(l->ds, "allowed here: %s", list);
  else
    diag_note(l->ds, "%s takes no keys", l->what);
}

static int known_at(const struct level *l, const char *name) {
  struct weir_field f;
  for (size_t b = 0; b < l->n_bindings; b++)
    if (find_field(l->bindings[b].table, name, &f)) return 1;
  return 0;
}

/* ret_field: the field that is meant, if it was found; its name is NULL else. */
static const char *suggest(const struct level *l, const char *name, struct weir_field *ret_field) {
  struct nearest near;
  struct weir_field f;
  for (const struct level *up = l->up; up; up = up->up)
    if (known_at(up, name)) return arena_printf(l->arena, "`%s` belongs to %s: indent it less", name, level_name(up));
  for (size_t b = 0; b < l->n_bindings; b++) {
    const char *below = find_below(l->arena, l->bindings[b].table, name, 0);
    if (below) return arena_printf(l->arena, "`%s` belongs below `%s`", name, below);
  }
  nearest_init(&near, name);
  for (size_t b = 0; b < l->n_bindings; b++)
    for (size_t i = 0; schema_field(l->bindings[b].table, i, &f); i++) {
      const char *best = near.best;
      nearest_offer(&near, f.name);
      if (near.best != best) *ret_field = f;
    }
  return near.best ? arena_printf(l->arena, "did you mean `%s`?", near.best) : NULL;
}

static void hide_node(struct diags *ds, const struct yaml_node *node, int keys_are_names) {
  int only_expansion = node->expanded && node->original; /* the line shows ${...}, not what it gives */
  if (node->kind == YAML_SCALAR && !only_expansion) diag_secret(ds, node->pos);
  for (size_t i = 0; i < node->n; i++) {
    if (node->kind == YAML_MAP && !keys_are_names) diag_secret(ds, node->keys[i]->pos);
    hide_node(ds, node->items[i], 0);
  }
}

/* What stands at a secret field. Only a mapping of names to texts has keys that are none: `token: {s3cret: }` is a slip of the hand. */
static void hide(struct diags *ds, const struct weir_field *f, const struct yaml_node *node) { hide_node(ds, node, f->type == WEIR_T_MAP); }

static void unknown_key(const struct level *l, const struct yaml_node *key, const struct yaml_node *value) {
  diag_error(l->ds, key->pos, "unknown key `%s` in %s", key->text, level_name(l));
  if (!l->ds->newest) return; /* not shown: save the work */
  struct weir_field meant = { 0 };
  const char *hint = suggest(l, key->text, &meant);
  if (meant.flags & WEIR_SECRET) hide(l->ds, &meant, value);
  l->ds->newest->untyped = 1;
  if (hint) diag_caret(l->ds, "%s", hint);
  note_allowed(l);
}

/* --- values -------------------------------------------------------------------------------------- */

static void bind_string(const struct slot *s) {
  const char *text = yaml_string(s->node);
  if (!text) {
    schema_wrong(s, s->node, "text", schema_fix(s, s->node));
    return;
  }
  if ((s->f->flags & WEIR_NONEMPTY) && !*text) {
    diag_error(s->level->ds, s->node->pos, "`%s` of %s may not be empty", s->path, s->level->what);
    schema_note_doc(s);
  }
  *(const char **)s->out = text;
}

/* One text for a list: split at commas, as the Collector does (so that one variable can hold a list). */
static void split_commas(const struct slot *s, const char *text, struct weir_strings *out) {
  size_t n = 1, i = 0;
  for (const char *p = text; *p; p++) n += *p == ',';
  const char **v = arena_alloc(s->level->arena, n * sizeof *v);
  for (const char *p = text; p; i++) {
    size_t len = strcspn(p, ","), from = strspn(p, " "), to = len;
    if (from > len) from = len;
    while (to > from && p[to - 1] == ' ') to--;
    v[i] = arena_strndup(s->level->arena, p + from, to - from);
    p = p[len] ? p + len + 1 : NULL;
  }
  out->v = v;
  out->n = *text ? n : 0;
}

static void bind_strings(const struct slot *s) {
  const struct yaml_node *node = s->node;
  struct weir_strings *out = s->out;
  if (node->kind == YAML_SCALAR)
    split_commas(s, node->text, out);
  else if (node->kind != YAML_SEQ)
    schema_wrong(s, node, "a list of texts", "as in [a, b], or one item with `- ` on each line");
  else {
    const char **v = arena_alloc(s->level->arena, (node->n + 1) * sizeof *v);
    for (size_t i = 0; i < node->n; i++) {
      v[i] = yaml_string(node->items[i]);
      if (!v[i] && node->items[i]->kind != YAML_BROKEN) schema_wrong(s, node->items[i], "a list of texts", "this item is not text");
      if (!v[i]) v[i] = "";
    }
    out->v = v;
    out->n = node->n;
  }
  if ((s->f->flags & WEIR_NONEMPTY) && out->n == 0 && (node->kind == YAML_SEQ || node->kind == YAML_SCALAR)) {
    diag_error(s->level->ds, node->pos, "`%s` of %s may not be empty", s->path, s->level->what);
    schema_note_doc(s);
  }
}

static const char *missing_space(const struct slot *s, const struct yaml_node *node) {
  const char *colon = node->kind == YAML_SCALAR && !node->quoted && !node->expanded ? strchr(node->text, ':') : NULL;
  if (!colon || !colon[1] || strlen(node->text) > 80 || (s->f->flags & WEIR_SECRET)) return NULL;
  return arena_printf(s->level->arena, "put a space after `%.*s`", (int)(colon - node->text) + 1, node->text);
}

static void bind_map(const struct slot *s) {
  const struct yaml_node *node = s->node;
  struct weir_map *out = s->out;
  if (node->kind != YAML_MAP) {
    schema_wrong(s, node, "a mapping of names to texts", missing_space(s, node));
    return;
  }
  struct weir_map_entry *v = arena_alloc(s->level->arena, (node->n + 1) * sizeof *v);
  for (size_t i = 0; i < node->n; i++) {
    const struct yaml_node *value = node->items[i];
    v[i] = (struct weir_map_entry){ node->keys[i]->text, yaml_string(value) };
    if (!v[i].value && value->kind != YAML_NULL && value->kind != YAML_BROKEN) {
      struct slot item = *s;
      item.path = arena_printf(s->level->arena, "%s.%s", s->path, v[i].key);
      schema_wrong(&item, value, "text", NULL);
    }
    if (!v[i].value) v[i].value = "";
  }
  out->v = v;
  out->n = node->n;
  if (!(s->f->flags & WEIR_NONEMPTY) || out->n) return;
  diag_error(s->level->ds, node->pos, "`%s` of %s may not be empty", s->path, s->level->what);
  schema_note_doc(s);
}

/* The text is not repeated: what stands where a group belongs may well be a secret. */
static void not_map(const struct slot *s, const struct yaml_node *node, const char *fix) {
  diag_error(
    s->level->ds, node->pos, "`%s` of %s: expected a mapping, got %s", s->path, s->level->what, node->kind == YAML_SEQ ? "a list" : "text");
  if (node->not_yaml) diag_note(s->level->ds, "not valid YAML: %s", node->not_yaml);
  if (node->expanded)
    diag_caret(s->level->ds, "what this gives is not a YAML mapping");
  else if (fix)
    diag_caret(s->level->ds, "%s", fix);
  if (s->level->ds->newest) s->level->ds->newest->untyped = 1;
}

/* The level of keys in a group; out is its struct. */
static void bind_group(const struct slot *s, const struct yaml_node *node, void *out) {
  struct schema_binding binding = { { s->f->group, s->level->bindings[0].table.field_size }, out };
  struct level sub = *s->level;
  sub.up = s->level;
  sub.path = s->path;
  sub.bindings = &binding;
  sub.n_bindings = 1;
  sub.depth++;
  sub.broken |= node && node->kind == YAML_BROKEN;
  if (s->key) sub.at = s->key->pos;
  if (sub.depth > SCHEMA_DEPTH_MAX)
    diag_error(s->level->ds, sub.at, "`%s` of %s is nested more than %d levels deep", s->path, s->level->what, SCHEMA_DEPTH_MAX);
  else if (node && node->kind != YAML_MAP && node->kind != YAML_NULL && node->kind != YAML_BROKEN)
    not_map(s, node, node->kind == YAML_SEQ ? "remove the `-` or the brackets" : missing_space(s, node));
  else
    bind_level(&sub, node);
}

static void bind_opt_group(const struct slot *s) {
  void *out = arena_zalloc(s->level->arena, s->f->group_size + 1);
  bind_group(s, s->node, out);
  *(const void **)s->out = out;
}

static void bind_groups(const struct slot *s) {
  const struct yaml_node *node = s->node;
  struct weir_groups *out = s->out;
  if (node->kind != YAML_SEQ) {
    schema_wrong(s, node, "a list of mappings", node->kind == YAML_MAP ? "put `- ` in front of each one" : NULL);
    return;
  }
  char *v = arena_zalloc(s->level->arena, node->n * s->f->group_size + 1);
  for (size_t i = 0; i < node->n; i++) {
    struct slot item = *s;
    item.key = node->items[i];
    item.path = arena_printf(s->level->arena, "%s[%zu]", s->path, i);
    bind_group(&item, node->items[i], v + i * s->f->group_size);
  }
  out->v = v;
  out->n = node->n;
  if (!(s->f->flags & WEIR_NONEMPTY) || out->n) return;
  diag_error(s->level->ds, node->pos, "`%s` of %s may not be empty", s->path, s->level->what);
  schema_note_doc(s);
}

/* --- fields -------------------------------------------------------------------------------------- */

static void bind_value(const struct slot *s) {
  switch (s->f->type) {
  case WEIR_T_STRING:
    bind_string(s);
    break;
  case WEIR_T_STRINGS:
    bind_strings(s);
    break;
  case WEIR_T_MAP:
    bind_map(s);
    break;
  case WEIR_T_GROUP:
    bind_group(s, s->node, s->out);
    break;
  case WEIR_T_OPT_GROUP:
    bind_opt_group(s);
    break;
  case WEIR_T_GROUPS:
    bind_groups(s);
    break;
  case SCHEMA_T_NODE:
    *(const struct yaml_node **)s->out = s->node;
    break;
  default:
    schema_bind_scalar(s);
  }
}

/* Lists and mappings as defaults are YAML; schema_check_table has seen that they parse. */
static void bind_default(const struct slot *s) {
  struct slot d = *s;
  struct diags quiet;
  if (s->f->type == WEIR_T_ENUM) *(int32_t *)s->out = -1;
  if (s->f->type == WEIR_T_GROUP) bind_group(s, NULL, s->out);
  if (!s->f->dflt || s->f->type == WEIR_T_GROUP || s->f->type == SCHEMA_T_NODE) return;
  if (s->f->type == WEIR_T_STRING)
    *(const char **)s->out = s->f->dflt;
  else if (s->f->type <= WEIR_T_BYTES || s->f->type == WEIR_T_ENUM)
    (void)schema_parse_scalar(s->f, s->f->dflt, s->out);
  else {
    struct level level = *s->level;
    diags_init(&quiet);
    level.ds = &quiet;
    d.level = &level;
    d.node =
      yaml_parse_part(s->level->arena, &quiet, diags_add_file(&quiet, "default", s->f->dflt, strlen(s->f->dflt)), 0, strlen(s->f->dflt));
    if (d.node && d.node->kind != YAML_NULL) bind_value(&d);
    diags_done(&quiet);
  }
}

static void missing(const struct slot *s) {
  if (s->level->broken) return;
  diag_error(s->level->ds, s->key ? s->key->pos : s->level->at, s->key ? "`%s` of %s has no value" : "`%s` of %s is missing", s->path,
    s->level->what);
  if (s->key)
    diag_caret(s->level->ds, "a value must follow");
  else
    diag_caret(s->level->ds, "add `%s:` below this", s->f->name);
  schema_note_doc(s);
}

/* A key with nothing behind it keeps the default, as in the Collector; a written one is more likely a forgotten value. */
static void no_value(const struct slot *s) {
  int container = s->f->type > WEIR_T_ENUM;
  if (s->f->flags & WEIR_REQUIRED)
    missing(s);
  else if (!container && !s->node->expanded) {
    diag_warn(s->level->ds, s->key->pos, "`%s` of %s has no value", s->path, s->level->what);
    if (s->f->dflt)
      diag_caret(s->level->ds, "the default %s is used", *s->f->dflt ? s->f->dflt : "\"\"");
    else
      diag_caret(s->level->ds, "it is not set");
  }
  bind_default(s);
}

static void bind_field(const struct level *l, const struct weir_field *f, const struct yaml_node *map, void *struct_out) {
  struct slot s = { l, f, join(l, f->name), yaml_key(map, f->name), yaml_get(map, f->name), (char *)struct_out + f->offset };
  int group = f->type == WEIR_T_GROUP || f->type == WEIR_T_OPT_GROUP || f->type == SCHEMA_T_NODE;
  if (s.node && (f->flags & WEIR_SECRET)) hide(l->ds, f, s.node);
  if (s.node && (f->flags & WEIR_DEPRECATED)) {
    diag_warn(l->ds, s.key->pos, "`%s` of %s is deprecated", s.path, l->what);
    schema_note_doc(&s);
  }
  if (!s.node && (f->flags & WEIR_REQUIRED))
    missing(&s);
  else if (!s.node || s.node->kind == YAML_BROKEN)
    bind_default(&s);
  else if (s.node->kind == YAML_NULL && !group && !(f->type == WEIR_T_STRING && s.node->original))
    no_value(&s);
  else {
    if (f->type < WEIR_T_STRING || f->type == WEIR_T_ENUM) bind_default(&s); /* a wrong value leaves it */
    bind_value(&s);
  }
}

/* map: NULL, YAML_NULL, YAML_BROKEN or YAML_MAP. */
static void bind_level(const struct level *l, const struct yaml_node *map) {
  struct weir_field f;
  for (size_t b = 0; b < l->n_bindings; b++)
    for (size_t i = 0; schema_field(l->bindings[b].table, i, &f); i++) bind_field(l, &f, map, l->bindings[b].out);
  if (!map || map->kind != YAML_MAP) return;
  for (size_t i = 0; i < map->n; i++)
    if (!known_at(l, map->keys[i]->text)) unknown_key(l, map->keys[i], map->items[i]);
}

void schema_bind(struct arena *a, struct diags *ds, const char *what, struct pos at, const struct yaml_node *node,
  const struct schema_binding *bindings, size_t n_bindings) {
  struct level top = { .arena = a, .ds = ds, .what = what, .path = "", .at = at, .bindings = bindings, .n_bindings = n_bindings };
  top.broken = node && node->kind == YAML_BROKEN;
  if (node && node->kind == YAML_SCALAR) {
    const char *colon = !node->quoted && !node->expanded ? strchr(node->text, ':') : NULL;
    if (colon && colon[1]) {
      diag_error(ds, node->pos, "a space is missing after the colon");
      diag_caret(ds, "put a space after `%.*s`", (int)(colon - node->text) + 1, node->text);
    } else {
      diag_error(ds, node->pos, "%s: expected a mapping of its keys, got text", what);
      if (node->expanded) diag_caret(ds, "what this gives is not a YAML mapping");
      if (node->not_yaml) diag_note(ds, "not valid YAML: %s", node->not_yaml);
    }
    if (ds->newest) ds->newest->untyped = 1;
  } else if (node && node->kind == YAML_SEQ) {
    diag_error(ds, node->pos, "%s: expected a mapping of its keys, got a list", what);
    diag_caret(ds, "remove the `-` or the brackets");
  } else
    bind_level(&top, node);
}

struct pos schema_find(const struct yaml_node *node, struct pos dflt, const char *path) {
  struct pos pos = dflt;
  while (node && *path) {
    size_t n = strcspn(path, ".[");
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)n, path);
    const struct yaml_node *next = NULL, *key = NULL;
    if (*path == '[') {
      size_t i = strtoul(path + 1, NULL, 10);
      next = key = node->kind == YAML_SEQ && i < node->n ? node->items[i] : NULL;
      n = strcspn(path, "]") + (strchr(path, ']') != NULL);
    } else {
      next = yaml_get(node, name);
      key = yaml_key(node, name);
    }
    if (!next) break;
    path += n;
    if (*path == '.') path++;
    pos = !*path && next->kind == YAML_SCALAR ? next->pos : key->pos;
    node = next;
  }
  return pos;
}
