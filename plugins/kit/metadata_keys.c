#include "plugins/kit/metadata_keys.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int kit_metadata_keys_check(const struct weir_strings *names, const char *field, struct weir_error *err) {
  for (size_t i = 0; i < names->n; i++)
    for (size_t k = 0; k < i; k++)
      if (strcasecmp(names->v[i], names->v[k]) == 0) {
        weir_fail_field(err, field, "duplicate entry in metadata_keys: \"%s\" (case-insensitive)", names->v[i]);
        weir_hint(err, "remove one of the two: case makes no difference in names of metadata");
        return WEIR_E_CONFIG;
      }
  if (names->n <= KIT_METADATA_KEYS_MAX) return 0;
  weir_fail_field(err, field, "more than %u keys", KIT_METADATA_KEYS_MAX);
  weir_hint(err, "name the few that tell clients apart: each combination of values is gathered by itself");
  return WEIR_E_CONFIG;
}

int kit_metadata_keys_init(struct kit_metadata_keys *keys, const struct weir_strings *names) {
  *keys = (struct kit_metadata_keys){ 0 };
  if (!names->n) return 0;
  kit_hash_key_draw(&keys->hash_key);
  keys->v = calloc(names->n, sizeof *keys->v);
  if (!keys->v) return WEIR_E_NOMEM;
  for (; keys->n < names->n; keys->n++) {
    char *key = strdup(names->v[keys->n]);
    if (!key) {
      kit_metadata_keys_done(keys);
      return WEIR_E_NOMEM;
    }
    keys->v[keys->n] = weir_str_of(key);
    for (; *key; key++) *key = (char)(*key >= 'A' && *key <= 'Z' ? *key + 32 : *key);
  }
  return 0;
}

void kit_metadata_keys_done(struct kit_metadata_keys *keys) {
  for (size_t k = 0; k < keys->n; k++) free((char *)(uintptr_t)keys->v[k].p);
  free(keys->v);
  *keys = (struct kit_metadata_keys){ 0 };
}

static const struct weir_pair *values_of(const struct weir_context *c, struct weir_str key, uint32_t *ret_n) {
  *ret_n = 0;
  return c ? weir_pairs_find(c->metadata, c->n_metadata, key, ret_n) : NULL;
}

uint64_t kit_metadata_hash(const struct kit_metadata_keys *keys, const struct weir_context *c) {
  struct kit_hash_state h;
  uint32_t n;
  kit_hash_begin(&h, &keys->hash_key);
  for (size_t k = 0; k < keys->n; k++) {
    const struct weir_pair *v = values_of(c, keys->v[k], &n);
    kit_hash_number(&h, n);
    for (uint32_t i = 0; i < n; i++) kit_hash_text(&h, v[i].value.p, v[i].value.n);
  }
  return kit_hash_end(&h);
}

int kit_metadata_same(const struct kit_metadata_keys *keys, const struct weir_context *x, const struct weir_context *y) {
  for (size_t k = 0; k < keys->n; k++) {
    uint32_t n, m;
    const struct weir_pair *v = values_of(x, keys->v[k], &n), *w = values_of(y, keys->v[k], &m);
    if (n != m) return 0;
    for (uint32_t i = 0; i < n; i++)
      if (!weir_str_eq(v[i].value, w[i].value)) return 0;
  }
  return 1;
}

uint32_t kit_metadata_pick(const struct kit_metadata_keys *keys, const struct weir_context *from, struct weir_pair *to) {
  uint32_t found = 0;
  for (size_t k = 0; k < keys->n; k++) {
    uint32_t n;
    const struct weir_pair *v = values_of(from, keys->v[k], &n);
    for (uint32_t i = 0; i < n; i++) to[found++] = v[i];
  }
  return found;
}
