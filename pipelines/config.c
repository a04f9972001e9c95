#include "pipelines/config.h"

#include <stdlib.h>

#include "core/assert.h"
#include "pipelines/config_internal.h"

static const struct config_lookup from_registry = { registry_find, registry_load, registry_add_dir };

/* All checks that can be made are made, so that the user hears everything at once. */
static void check(struct config_loader *l) {
  config_read_components(l);
  config_read_service(l);
  config_bind_components(l);
  config_check_pipelines(l);
  if (l->ds->n_errors == 0) config_mark_stored(l);
  config_warn_unused(l);
}

static void keep_paths(struct config *c, const struct diags *ds) {
  const char **files = arena_alloc(&c->arena, (ds->n_paths + 1) * sizeof *files);
  for (size_t i = 0; i < ds->n_paths; i++) files[i] = arena_strdup(&c->arena, ds->paths[i]);
  c->files = files;
  c->n_files = ds->n_paths;
}

struct config *config_load_with(const struct config_lookup *lookup, struct registry *registry, struct diags *ds, const char *const *uris,
  size_t n_uris, const char *const *sets, size_t n_sets) {
  struct config *c = calloc(1, sizeof *c);
  struct config_loader *l = calloc(1, sizeof *l);
  WEIR_ASSERT(c != NULL && l != NULL);
  arena_init(&c->arena, NULL, 16384);
  l->config = c;
  l->ds = ds;
  l->registry = registry;
  l->lookup = lookup;
  l->last_component = &c->components;
  l->last_pipeline = &c->pipelines;
  struct yaml_node *root = config_read(l, uris, n_uris, sets, n_sets);
  if (root) {
    c->root = config_mend_sections(l, root);
    check(l);
  }
  free(l);
  keep_paths(c, ds);
  if (ds->n_errors == 0) return c;
  config_free(c);
  return NULL;
}

struct config *config_load(
  struct registry *registry, struct diags *ds, const char *const *uris, size_t n_uris, const char *const *sets, size_t n_sets) {
  return config_load_with(&from_registry, registry, ds, uris, n_uris, sets, n_sets);
}

void config_free(struct config *c) {
  if (!c) return;
  if (c->refs) {
    c->refs--;
    return;
  }
  arena_done(&c->arena);
  free(c);
}
