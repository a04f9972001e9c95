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

static struct yaml_node *read_one(struct arena *a, struct diags *ds, const char *name, const char *p, size_t n) {
  static const struct source_io io = { fake_env, fake_read };
  struct yaml_node *root = yaml_parse(a, ds, diags_add_file(ds, name, p, n));
  WEIR_ASSERT(root != NULL || ds->n_errors > 0);
  if (!root) return NULL;
  check(ds, root, 0);
  yaml_expand_with(a, ds, root, &io);
  return ds->n_errors ? NULL : root;
}

/* Every key of both is in what they make, and of keys that both have the later one's value, unless both are mappings. */
static void check_merged(const struct yaml_node *merged, const struct yaml_node *base, const struct yaml_node *over) {
  if (base->kind != YAML_MAP || over->kind != YAML_MAP) {
    WEIR_ASSERT(merged == over);
    return;
  }
  for (size_t i = 0; i < base->n; i++) WEIR_ASSERT(yaml_get(merged, base->keys[i]->text) != NULL);
  for (size_t i = 0; i < over->n; i++) {
    const struct yaml_node *old = yaml_get(base, over->keys[i]->text), *now = yaml_get(merged, over->keys[i]->text);
    if (old) check_merged(now, old, over->items[i]);
    else WEIR_ASSERT(now == over->items[i]);
  }
}

/* Two files, as of two --config flags: the second begins behind a line of its own. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char between[] = "\n=====\n";
  const char *first = (const char *)data, *cut = size ? memmem(first, size, between, sizeof between - 1) : NULL;
  const char *second = cut ? cut + sizeof between - 1 : first;
  struct diags ds;
  struct arena a;
  diags_init(&ds);
  arena_init(&a, NULL, 4096);
  struct yaml_node *base = read_one(&a, &ds, "first.yaml", first, cut ? (size_t)(cut - first) : size);
  struct yaml_node *over = read_one(&a, &ds, "second.yaml", second, (size_t)(first + size - second));
  if (base && over) {
    struct yaml_node *merged = yaml_merge(&a, base, over);
    check(&ds, merged, 0);
    check_merged(merged, base, over);
  }
  free(diags_render(&ds));
  arena_done(&a);
  diags_done(&ds);
  return 0;
}
