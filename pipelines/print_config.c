#include "pipelines/print_config.h"

#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "pipelines/config_internal.h"

/* Field tables that describe one mapping: a component's own, and the host's. */
struct tables {
  struct schema_table t[2];
};

struct printer {
  FILE *out;
  const struct diags *ds;
  const struct config *config;
  int flags;
};

static const struct tables no_tables;

static void put_node(struct printer *, const struct yaml_node *, const struct tables *, int secret, int indent);

/* --- scalars -------------------------------------------------------------------------------------------------- */

/* Text that is the same without quotes, whatever stands around it. */
static int is_plain(const char *s) {
  static const char first[] = "_./+-", rest[] = "_./+-:@%";
  if (!*s || (*s == '-' && !s[1])) return 0;
  for (const char *p = s; *p; p++) {
    int letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
    if (!letter && !strchr(p == s ? first : rest, *p)) return 0;
  }
  return s[strlen(s) - 1] != ':';
}

static void put_quoted(FILE *out, const char *s) {
  fputc('"', out);
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') fprintf(out, "\\%c", c);
    else if (c == '\n') fputs("\\n", out);
    else if (c == '\t') fputs("\\t", out);
    else if (c < 0x20 || c == 0x7f) fprintf(out, "\\x%02x", c);
    else if (c == '$') fputs("$$", out); /* or it would be expanded when it is read again */
    else fputc(c, out);
  }
  fputc('"', out);
}

static void put_text(FILE *out, const char *text, int quoted) {
  if (!quoted && is_plain(text)) fputs(text, out);
  else put_quoted(out, text);
}

/* The password of a URL is no more to be shown than one with a key of its own. */
static void put_value(struct printer *p, const char *text, int quoted) {
  size_t n = strlen(text), at = 0, from, to;
  if ((p->flags & PRINT_UNREDACTED) || !diag_userinfo(text, n, 0, &from, &to)) {
    put_text(p->out, text, quoted);
    return;
  }
  char *shown = NULL;
  size_t n_shown = 0;
  FILE *out = open_memstream(&shown, &n_shown);
  WEIR_ASSERT(out != NULL);
  for (; diag_userinfo(text, n, at, &from, &to); at = to) fprintf(out, "%.*s[REDACTED]", (int)(from - at), text + at);
  fputs(text + at, out);
  fclose(out);
  put_text(p->out, shown, 1);
  free(shown);
}

static void put_origin(const struct printer *p, struct pos pos) {
  if ((p->flags & PRINT_ORIGIN) && pos.file < p->ds->n_files && pos.line) fprintf(p->out, "  # %s:%u:%u", p->ds->files[pos.file].name, pos.line, pos.col);
}

static void put_leaf(struct printer *p, const struct yaml_node *node, int secret) {
  int hidden = secret && !(p->flags & PRINT_UNREDACTED);
  if (node->kind == YAML_SCALAR) {
    fputc(' ', p->out);
    if (hidden) fputs("\"[REDACTED]\"", p->out);
    else if (node->original && strcmp(node->original, node->text) != 0 && node->quoted) put_value(p, node->original, 1);
    else put_value(p, node->text, node->quoted);
  } else if (node->kind == YAML_MAP) {
    fputs(" {}", p->out);
  } else if (node->kind == YAML_SEQ) {
    fputs(" []", p->out);
  }
  put_origin(p, node->pos);
  fputc('\n', p->out);
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

static int find_field(const struct tables *ts, const char *name, struct weir_field *ret, uint32_t *ret_stride) {
  for (size_t i = 0; i < 2; i++)
    for (size_t k = 0; schema_field(ts->t[i], k, ret); k++)
      if (strcmp(ret->name, name) == 0) {
        *ret_stride = ts->t[i].field_size;
        return 1;
      }
  return 0;
}

static struct tables tables_of(const struct config_component *c) {
  struct tables ts = no_tables;
  if (!c->entry) return ts;
  ts.t[0] = (struct schema_table){ c->entry->type.fields, c->entry->type.field_size };
  if (c->entry->type.flags & WEIR_QUEUED) ts.t[1] = (struct schema_table){ sender_fields, sizeof(struct weir_field) };
  return ts;
}

/* --- mappings and lists -------------------------------------------------------------------------------------------- */

static int is_leaf(const struct yaml_node *node) { return (node->kind != YAML_MAP && node->kind != YAML_SEQ) || node->n == 0; }

static void put_indent(struct printer *p, int indent) { fprintf(p->out, "%*s", indent * 2, ""); }

static int has_keys(const struct yaml_node *node) {
  if (node->kind == YAML_MAP) return node->n > 0;
  for (size_t i = 0; i < node->n; i++)
    if (has_keys(node->items[i])) return 1;
  return 0;
}

static void put_entry(struct printer *p, const struct yaml_node *map, size_t i, const struct tables *ts, int secret, int indent) {
  const struct yaml_node *key = map->keys[i], *value = map->items[i];
  struct tables below = no_tables;
  struct weir_field f;
  uint32_t stride = 0;
  int keys_are_names = 0;
  if (find_field(ts, key->text, &f, &stride)) {
    secret |= (f.flags & WEIR_SECRET) != 0;
    keys_are_names = f.type == WEIR_T_MAP || f.group;
    if (f.group) below.t[0] = (struct schema_table){ f.group, stride };
  } else {
    secret |= diag_sounds_secret(key->text, strlen(key->text));
  }
  put_text(p->out, key->text, key->quoted);
  fputc(':', p->out);
  if (secret && !keys_are_names && has_keys(value) && !(p->flags & PRINT_UNREDACTED)) { /* a key may be the secret: `token: {s3cret: }` */
    fputs(" \"[REDACTED]\"", p->out);
    put_origin(p, value->pos);
    fputc('\n', p->out);
    return;
  }
  if (is_leaf(value)) {
    put_leaf(p, value, secret);
    return;
  }
  fputc('\n', p->out);
  put_node(p, value, &below, secret, indent + 1);
}

static void put_map(struct printer *p, const struct yaml_node *map, const struct tables *ts, int secret, int indent, int first_is_placed) {
  for (size_t i = 0; i < map->n; i++) {
    if (i || !first_is_placed) put_indent(p, indent);
    put_entry(p, map, i, ts, secret, indent);
  }
}

static void put_node(struct printer *p, const struct yaml_node *node, const struct tables *ts, int secret, int indent) {
  if (node->kind == YAML_MAP) {
    put_map(p, node, ts, secret, indent, 0);
    return;
  }
  for (size_t i = 0; i < node->n; i++) {
    const struct yaml_node *item = node->items[i];
    put_indent(p, indent);
    fputc('-', p->out);
    if (is_leaf(item)) {
      put_leaf(p, item, secret);
    } else if (item->kind == YAML_MAP) {
      fputc(' ', p->out);
      put_map(p, item, ts, secret, indent + 1, 1);
    } else {
      fputc('\n', p->out);
      put_node(p, item, ts, secret, indent + 1);
    }
  }
}

/* --- the document ------------------------------------------------------------------------------------------------------ */

static const struct config_component *component_at(const struct printer *p, struct pos pos) {
  for (const struct config_component *c = p->config->components; c; c = c->next)
    if (c->pos.file == pos.file && c->pos.line == pos.line && c->pos.col == pos.col) return c;
  return NULL;
}

static void put_section(struct printer *p, const struct yaml_node *section) {
  for (size_t i = 0; i < section->n; i++) {
    const struct config_component *c = component_at(p, section->keys[i]->pos);
    struct tables ts = c ? tables_of(c) : no_tables;
    put_indent(p, 1);
    put_text(p->out, section->keys[i]->text, section->keys[i]->quoted);
    fputc(':', p->out);
    if (is_leaf(section->items[i])) {
      put_leaf(p, section->items[i], 0);
    } else {
      fputc('\n', p->out);
      put_node(p, section->items[i], &ts, 0, 2);
    }
  }
}

void print_config(FILE *out, const struct config *config, const struct diags *ds, int flags) {
  struct printer p = { out, ds, config, flags };
  const struct yaml_node *root = config->root;
  for (size_t i = 0; i < root->n; i++) {
    const char *key = root->keys[i]->text;
    fprintf(out, "%s:", key);
    if (is_leaf(root->items[i])) {
      put_leaf(&p, root->items[i], 0);
      continue;
    }
    fputc('\n', out);
    if (strcmp(key, "service") == 0 || root->items[i]->kind != YAML_MAP) put_node(&p, root->items[i], &no_tables, 0, 1);
    else put_section(&p, root->items[i]);
  }
}
