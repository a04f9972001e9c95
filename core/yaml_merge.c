#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/yaml.h"

/* Keys of the base, sorted, so that two large files merge in n log n. */
struct slot {
  const char *key;
  size_t at;
};

static int by_key(const void *a, const void *b) { return strcmp(((const struct slot *)a)->key, ((const struct slot *)b)->key); }

static struct slot *index_keys(const struct yaml_node *map) {
  struct slot *slots = calloc(map->n + 1, sizeof *slots);
  WEIR_ASSERT(slots != NULL);
  for (size_t i = 0; i < map->n; i++) slots[i] = (struct slot){ map->keys[i]->text, i };
  qsort(slots, map->n, sizeof *slots, by_key);
  return slots;
}

static struct yaml_node *merge_maps(struct arena *a, const struct yaml_node *base, const struct yaml_node *over) {
  struct yaml_node *out = arena_alloc(a, sizeof *out);
  struct slot *slots = index_keys(base);
  *out = *base;
  out->pos = over->pos;
  out->keys = arena_alloc(a, (base->n + over->n + 1) * sizeof *out->keys);
  out->items = arena_alloc(a, (base->n + over->n + 1) * sizeof *out->items);
  if (base->n) memcpy(out->keys, base->keys, base->n * sizeof *out->keys);
  if (base->n) memcpy(out->items, base->items, base->n * sizeof *out->items);
  for (size_t i = 0; i < over->n; i++) {
    struct slot want = { over->keys[i]->text, 0 };
    struct slot *have = bsearch(&want, slots, base->n, sizeof want, by_key);
    size_t at = have ? have->at : out->n++;
    out->keys[at] = over->keys[i];
    out->items[at] = have ? yaml_merge(a, base->items[at], over->items[i]) : over->items[i];
  }
  free(slots);
  return out;
}

struct yaml_node *yaml_merge(struct arena *a, struct yaml_node *base, struct yaml_node *over) {
  if (base && over && base->kind == YAML_MAP && over->kind == YAML_MAP) return merge_maps(a, base, over);
  return over ? over : base;
}

static int same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

int yaml_equal(const struct yaml_node *a, const struct yaml_node *b) {
  int a_kind = a ? a->kind : YAML_NULL, b_kind = b ? b->kind : YAML_NULL;
  if (a_kind != b_kind) return 0;
  if (!a || !b) return same_text(a ? a->original : NULL, b ? b->original : NULL);
  if (!same_text(a->original, b->original)) return 0;
  if (a_kind == YAML_SCALAR) return a->quoted == b->quoted && same_text(a->text, b->text);
  if (a->n != b->n) return 0;
  for (size_t i = 0; i < a->n; i++)
    if ((a_kind == YAML_MAP && strcmp(a->keys[i]->text, b->keys[i]->text) != 0) || !yaml_equal(a->items[i], b->items[i])) return 0;
  return 1;
}
