/* The top level of the document: its sections, and what is wrong with them. */
#include <string.h>

#include "core/nearest.h"
#include "pipelines/config_internal.h"

const struct config_section config_sections[] = {
  { "receivers", "receiver", WEIR_RECEIVER },
  { "processors", "processor", WEIR_PROCESSOR },
  { "exporters", "exporter", WEIR_EXPORTER },
  { "connectors", "connector", WEIR_CONNECTOR },
  { "extensions", "extension", WEIR_EXTENSION },
  { NULL, NULL, 0 },
};

const struct config_section *config_section(uint32_t role) {
  const struct config_section *s = config_sections;
  while (s->key && s->role != role) s++;
  return s;
}

int config_is_section(const char *name) {
  if (strcmp(name, "service") == 0) return 1;
  for (const struct config_section *s = config_sections; s->key; s++)
    if (strcmp(name, s->key) == 0) return 1;
  return 0;
}

static struct yaml_node *lift(struct config_loader *l, struct yaml_node *root, struct yaml_node *key, struct yaml_node *value) {
  return yaml_merge(&l->config->arena, root, yaml_new_map(&l->config->arena, root->pos, key, value));
}

/* A section below another one: indented too far. */
static struct yaml_node *mend_indented(struct config_loader *l, struct yaml_node *root) {
  struct yaml_node *out = root;
  for (size_t i = 0; i < root->n; i++) {
    const struct yaml_node *map = root->items[i];
    for (size_t k = 0; map->kind == YAML_MAP && k < map->n; k++) {
      struct yaml_node *key = map->keys[k];
      if (!config_is_section(key->text) || strcmp(root->keys[i]->text, "service") == 0) continue;
      diag_error(l->ds, key->pos, "the section `%s` stands below `%s`", key->text, root->keys[i]->text);
      diag_caret(l->ds, "move it to the beginning of the line");
      if (!yaml_get(out, key->text)) out = lift(l, out, key, map->items[k]);
    }
  }
  return out;
}

/* A part of service at the top level. */
static struct yaml_node *mend_service_part(struct config_loader *l, struct yaml_node *root, size_t i) {
  struct arena *a = &l->config->arena;
  struct yaml_node *key = root->keys[i], *service = yaml_new_map(a, key->pos, key, root->items[i]);
  diag_caret(l->ds, "`%s` belongs below `service:`", key->text);
  if (yaml_get(yaml_get(root, "service"), key->text)) return root;
  return lift(l, root, yaml_key(root, "service") ? yaml_key(root, "service") : yaml_new_scalar(a, key->pos, "service"), service);
}

static struct yaml_node *mend_unknown(struct config_loader *l, struct yaml_node *root, size_t i) {
  static const char *const in_service[] = { "pipelines", "telemetry", "lanes", "memory_limit", "drain", "plugins", "reload", "control" };
  struct nearest near;
  struct yaml_node *key = root->keys[i], *before = i > 0 ? root->items[i - 1] : NULL;
  diag_error(l->ds, key->pos, "unknown section `%s` in the configuration", key->text);
  diag_note(l->ds, "allowed here: connectors, exporters, extensions, processors, receivers, service");
  for (size_t k = 0; k < sizeof in_service / sizeof *in_service; k++)
    if (strcmp(key->text, in_service[k]) == 0) return mend_service_part(l, root, i);
  nearest_init(&near, key->text);
  for (const struct config_section *s = config_sections; s->key; s++) nearest_offer(&near, s->key);
  nearest_offer(&near, "service");
  if (near.best) {
    diag_caret(l->ds, "did you mean `%s`?", near.best);
    if (!yaml_get(root, near.best)) key->text = near.best;
  } else if (before && before->kind == YAML_NULL && config_is_section(root->keys[i - 1]->text))
    diag_caret(l->ds, "if it belongs below `%s:`, indent it", root->keys[i - 1]->text);
  return root;
}

static void need_section(struct config_loader *l, const struct yaml_node *root, const char *key, const char *msg, const char *note) {
  const struct yaml_node *map = yaml_get(root, key), *at = yaml_key(root, key);
  if (map && map->kind != YAML_NULL && !(map->kind == YAML_MAP && map->n == 0)) return;
  struct pos whole = { root->pos.file, 0, 0, 0 };
  diag_error(l->ds, at ? at->pos : whole, "%s", msg);
  if (at) diag_caret(l->ds, "nothing stands below it");
  diag_note(l->ds, "%s", note);
}

struct yaml_node *config_mend_sections(struct config_loader *l, struct yaml_node *root) {
  size_t n = root->n;
  for (size_t i = 0; i < n; i++)
    if (!config_is_section(root->keys[i]->text)) root = mend_unknown(l, root, i);
  root = mend_indented(l, root);
  need_section(
    l, root, "receivers", "no receiver configuration specified in config", "add `receivers:` with at least one below it, such as `otlp:`");
  need_section(
    l, root, "exporters", "no exporter configuration specified in config", "add `exporters:` with at least one below it, such as `debug:`");
  return root;
}
