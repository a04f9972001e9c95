/* YAML with expansion: whatever the text, it is read within its limits, every node's place is inside of its file, and the report can be
 * made. The environment and the files are made up: variables named by one letter hold what stands below. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/expand_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const values[] = { "1", "text", "[a, ${B}]", "{k: ${C}, l: '${D}'}", "${E}${E}", "${F}", "&a [*a, *a]", "0123", "a: b",
  "- ", "$${X}", "\t", "" };

static const char *fake_env(const char *name) {
  size_t i = (size_t)(name[0] - 'A');
  return !name[1] && name[0] >= 'A' && i < sizeof values / sizeof *values ? values[i] : NULL;
}

static int fake_read(struct arena *a, const char *path, char **ret, size_t *ret_n, struct weir_error *err) {
  if (path[0] != 'f') return weir_fail(err, WEIR_E_IO, "cannot open %s", path);
  *ret = arena_strdup(a, "a: ${A}\nb:\n  - ${file:g}\n  - ${C}\n");
  *ret_n = strlen(*ret);
  return 0;
}

static void check(const struct diags *ds, const struct yaml_node *node, int depth) {
  WEIR_ASSERT(depth <= YAML_DEPTH_MAX + 1);
  WEIR_ASSERT(node->pos.file < ds->n_files && node->pos.line >= 1 && node->pos.col >= 1);
  WEIR_ASSERT((size_t)node->pos.col - 1 + node->pos.len <= ds->files[node->pos.file].n);
  WEIR_ASSERT(node->kind != YAML_SCALAR || node->text != NULL);
  for (size_t i = 0; i < node->n; i++) {
    if (node->kind == YAML_MAP) check(ds, node->keys[i], depth + 1);
    check(ds, node->items[i], depth + 1);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const struct source_io io = { fake_env, fake_read };
  struct diags ds;
  struct arena a;
  diags_init(&ds);
  arena_init(&a, NULL, 4096);
  struct yaml_node *root = yaml_parse(&a, &ds, diags_add_file(&ds, "fuzz.yaml", (const char *)data, size));
  WEIR_ASSERT(root != NULL || ds.n_errors > 0);
  if (root) {
    check(&ds, root, 0);
    yaml_expand_with(&a, &ds, root, &io);
    if (ds.n_errors == 0) check(&ds, root, 0);
    (void)yaml_merge(&a, root, root);
  }
  free(diags_render(&ds));
  arena_done(&a);
  diags_done(&ds);
  return 0;
}
