/* What --config and --set name, as one merged and expanded document. */
#include <string.h>

#include "core/expand_source.h"
#include "pipelines/config_internal.h"

static const struct pos nowhere = { UINT32_MAX, 0, 0, 0 };

/* Keys of a yaml: source may be paths, `a::b::c: v`, as the Collector takes them. */
static struct yaml_node *unfold(struct arena *a, struct yaml_node *node) {
  struct yaml_node *out = node;
  if (node->kind != YAML_MAP) return node;
  int any = 0;
  for (size_t i = 0; i < node->n; i++) {
    node->items[i] = unfold(a, node->items[i]);
    any |= strstr(node->keys[i]->text, "::") != NULL;
  }
  if (!any) return node;
  out = arena_zalloc(a, sizeof *out);
  out->kind = YAML_MAP;
  out->pos = node->pos;
  for (size_t i = 0; i < node->n; i++) {
    struct yaml_node *one = node->items[i];
    const char *path = node->keys[i]->text;
    for (const char *end = path + strlen(path); end;) {
      const char *from = end;
      while (from > path && !(from - path >= 2 && from[-1] == ':' && from[-2] == ':')) from--;
      struct yaml_node *key = yaml_new_scalar(a, node->keys[i]->pos, arena_strndup(a, from, (size_t)(end - from)));
      one = yaml_new_map(a, key->pos, key, one);
      end = from > path ? from - 2 : NULL;
    }
    out = yaml_merge(a, out, one);
  }
  return out;
}

static struct yaml_node *read_uri(struct config_loader *l, const char *uri) {
  struct arena *a = &l->config->arena;
  struct weir_error err = { 0 };
  struct source_text got;
  const char *rest, *scheme = source_split(a, uri, "file", &rest);
  if (strcmp(scheme, "file") == 0 && *rest) diags_add_path(l->ds, rest);
  int rc = *uri ? source_fetch(a, &source_system, scheme, rest, &got, &err) : weir_fail(&err, WEIR_E_INVALID, "--config needs a file name");
  if (!rc && !got.set) rc = weir_fail(&err, WEIR_E_INVALID, "--config %s: the environment variable `%s` is not set", uri, rest);
  if (rc) {
    diag_error(l->ds, nowhere, "%s", err.msg);
    if (err.hint[0]) diag_note(l->ds, "%s", err.hint);
    return NULL;
  }
  int is_yaml = strcmp(scheme, "yaml") == 0;
  const char *name = is_yaml ? "--config yaml:" : got.is_file ? got.name : uri;
  struct yaml_node *root = yaml_parse(a, l->ds, diags_add_file(l->ds, name, got.p, got.n));
  if (!root || root->kind == YAML_MAP) return root && is_yaml ? unfold(a, root) : root;
  diag_error(l->ds, root->pos, "a configuration is a mapping of sections, got %s", root->kind == YAML_SEQ ? "a list" : "text");
  diag_caret(l->ds, "begin with `receivers:`");
  if (l->ds->newest) l->ds->newest->untyped = 1;
  return NULL;
}

/* `a.b.c=v`: the path becomes mappings, v is YAML. Places are those in the argument. */
static struct yaml_node *read_set(struct config_loader *l, const char *set) {
  struct arena *a = &l->config->arena;
  uint32_t file = diags_add_file(l->ds, "--set", set, strlen(set));
  const char *equal = strchr(set, '=');
  struct pos whole = { file, 1, 1, (uint32_t)strlen(set) };
  if (!equal || equal == set) {
    diag_error(l->ds, whole, equal ? "--set has no key before the `=`" : "--set: missing equal sign");
    diag_caret(l->ds, "write --set section.key=value");
    return NULL;
  }
  size_t at = (size_t)(equal - set) + 1;
  struct yaml_node *node = yaml_parse_part(a, l->ds, file, at, strlen(set) - at);
  for (size_t end = at - 1; node;) {
    size_t from = end;
    while (from > 0 && set[from - 1] != '.') from--;
    struct pos pos = { file, 1, (uint32_t)from + 1, (uint32_t)(end - from) };
    if (from == end) {
      diag_error(l->ds, whole, "--set: a part of the key is empty");
      diag_caret(l->ds, "write --set section.key=value");
      return NULL;
    }
    node = yaml_new_map(a, pos, yaml_new_scalar(a, pos, arena_strndup(a, set + from, end - from)), node);
    if (from == 0) break;
    end = from - 1;
  }
  return node;
}

struct yaml_node *config_read(struct config_loader *l, const char *const *uris, size_t n_uris, const char *const *sets, size_t n_sets) {
  struct arena *a = &l->config->arena;
  struct yaml_node *root = NULL;
  int complete = 1;
  if (n_uris == 0) diag_error(l->ds, nowhere, "no configuration given"), diag_note(l->ds, "use --config FILE");
  for (size_t i = 0; i < n_uris + n_sets; i++) {
    struct yaml_node *one = i < n_uris ? read_uri(l, uris[i]) : read_set(l, sets[i - n_uris]);
    if (!one)
      complete = 0;
    else
      root = root ? yaml_merge(a, root, one) : one;
  }
  if (!complete || n_uris == 0) return NULL;
  yaml_expand(a, l->ds, root);
  return root;
}
