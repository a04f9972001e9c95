/* Own copies and edits of parts. What is shared is never written: structs are copied, strings are not. */
#include <stdlib.h>

#include "core/assert.h"
#include "core/otlp.h"
#include "core/otlp_table.h"
#include "core/part_internal.h"

static void *copy_struct(struct arena *a, const struct otlp_msg *msg, const void *obj);

/* Copies the pointer arrays of obj's children and the children themselves. */
static void copy_children(struct arena *a, const struct otlp_msg *msg, char *obj) {
  for (uint32_t i = 1; i < msg->n_fields; i++) {
    const struct otlp_field *f = &msg->fields[i];
    if (f->op == OP_ONEOF_SUB && ((struct weir_metric *)(void *)obj)->type == f->arg) copy_children(a, f->msg, obj);
    if (f->op != OP_CHILD) continue;
    uint32_t n;
    void **from;
    memcpy(&n, obj + f->count, sizeof n);
    if (!n) continue;
    memcpy(&from, obj + f->offset, sizeof from);
    void **to = arena_alloc(a, n * sizeof *to);
    for (uint32_t k = 0; k < n; k++) to[k] = copy_struct(a, f->msg, from[k]);
    memcpy(obj + f->offset, &to, sizeof to);
  }
}

static void *copy_struct(struct arena *a, const struct otlp_msg *msg, const void *obj) {
  char *copy = arena_alloc(a, msg->size);
  memcpy(copy, obj, msg->size);
  ((struct weir_rec *)(void *)copy)->cap_attrs = 0; /* its attributes are borrowed until the first change */
  copy_children(a, msg, copy);
  return copy;
}

static struct weir_data *new_tree(struct part *own, uint32_t n_resources) {
  struct weir_data *tree = arena_zalloc(&own->arena, sizeof *tree);
  tree->signal = own->signal;
  tree->resources = arena_alloc(&own->arena, (n_resources ? n_resources : 1) * sizeof *tree->resources);
  own->tree = tree;
  return tree;
}

/* All parts decoded; on failure all references are given back. */
static int read_all(struct pool *pool, struct part **parts, size_t n, uint32_t *ret_resources, struct weir_error *err) {
  *ret_resources = 0;
  for (size_t i = 0; i < n; i++) {
    const struct weir_data *d = part_read(pool, &parts[i], err);
    if (!d) {
      for (size_t k = 0; k < n; k++) part_unref(parts[k]);
      return err && err->code ? err->code : WEIR_E_INVALID;
    }
    *ret_resources += d->n_resources;
  }
  return 0;
}

/* Unknown fields of the requests that are merged, one behind the other. */
static void keep_envelopes(struct part *own, struct part **parts, size_t n) {
  size_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += parts[i]->tree->envelope_n;
  if (!bytes) return;
  char *all = arena_alloc(&own->arena, bytes), *to = all;
  for (size_t i = 0; i < n; i++)
    to += part_strip_records(otlp_request(own->signal), parts[i]->tree->envelope, parts[i]->tree->envelope_n, to);
  own->tree->envelope = all;
  own->tree->envelope_n = (size_t)(to - all);
}

int part_own(struct pool *pool, struct part **parts, size_t n, struct part **ret, struct weir_error *err) {
  uint32_t n_resources;
  int r = read_all(pool, parts, n, &n_resources, err);
  if (r) return r;
  if (n == 1 && part_exclusive(parts[0])) {
    parts[0]->arena.pool = pool; /* of the lane that holds it now */
    *ret = parts[0];
    return 0;
  }
  WEIR_ASSERT(n > 0);
  struct part *own = part_new(pool, parts[0]->signal);
  own->flags = PART_DIRTY; /* its bytes are in several places: it is framed anew */
  own->limits = parts[0]->limits;
  own->origins = malloc(n * sizeof *own->origins);
  WEIR_ASSERT(own->origins != NULL);
  struct weir_data *tree = new_tree(own, n_resources);
  const struct otlp_msg *container = otlp_request(own->signal)->fields[1].msg;
  for (size_t i = 0; i < n; i++) {
    const struct weir_data *from = parts[i]->tree;
    int mine = part_exclusive(parts[i]);
    for (uint32_t k = 0; k < from->n_resources; k++)
      tree->resources[tree->n_resources++] = mine ? from->resources[k] : copy_struct(&own->arena, container, from->resources[k]);
    own->items += parts[i]->items;
    own->raw_n += part_bytes(parts[i]); /* the bound that part_bytes starts from */
    own->origins[own->n_origins++] = parts[i];
  }
  keep_envelopes(own, parts, n);
  *ret = own;
  return 0;
}

static void changed(struct part *part, struct weir_rec *rec, uint32_t how, size_t more_bytes) {
  rec->dirty |= (uint16_t)how;
  part->flags |= PART_DIRTY;
  part->wire_valid = 0;
  part->added_bytes += more_bytes + 16; /* headers of the attribute and growth of those around it */
}

/* Room for n attributes in memory that is this part's alone. */
static void own_attrs(struct part *part, struct weir_rec *rec, uint32_t n) {
  if (rec->cap_attrs >= n) return;
  uint32_t cap = n < 4 ? 4 : n + n / 2;
  struct weir_attr *copy = arena_alloc(&part->arena, cap * sizeof *copy);
  if (rec->n_attrs) memcpy(copy, rec->attrs, rec->n_attrs * sizeof *copy);
  rec->attrs = copy;
  rec->cap_attrs = cap;
}

static size_t value_bytes(const struct weir_value *v, uint32_t depth) {
  size_t n = 24;
  if (v->kind == WEIR_V_STRING || v->kind == WEIR_V_BYTES) n += v->n;
  if (depth > 64) return n;
  if (v->kind == WEIR_V_ARRAY)
    for (uint32_t i = 0; i < v->n; i++) n += value_bytes(&v->u.items[i], depth + 1);
  if (v->kind == WEIR_V_KVLIST)
    for (uint32_t i = 0; i < v->n; i++) n += v->u.attrs[i].key.n + 12 + value_bytes(&v->u.attrs[i].value, depth + 1);
  return n;
}

void part_attr_set(struct part *part, struct weir_rec *rec, struct weir_str key, struct weir_value value) {
  uint32_t i = 0;
  while (i < rec->n_attrs && !weir_str_eq(rec->attrs[i].key, key)) i++;
  int present = i < rec->n_attrs;
  own_attrs(part, rec, present ? rec->n_attrs : rec->n_attrs + 1);
  if (!present) {
    rec->n_attrs++;
    rec->attrs[i].key = key;
  }
  rec->attrs[i].key.aux = 0;
  rec->attrs[i].value = value;
  rec->attrs[i].raw = NULL;
  changed(part, rec, i >= rec->n_raw_attrs ? RECORD_APPENDED : RECORD_REWRITE, key.n + 12 + value_bytes(&value, 0));
}

void part_attr_delete(struct part *part, struct weir_rec *rec, struct weir_str key) {
  uint32_t i = 0, kept;
  while (i < rec->n_attrs && !weir_str_eq(rec->attrs[i].key, key)) i++;
  if (i == rec->n_attrs) return;
  own_attrs(part, rec, rec->n_attrs);
  for (kept = i; i < rec->n_attrs; i++)
    if (!weir_str_eq(rec->attrs[i].key, key)) rec->attrs[kept++] = rec->attrs[i];
  rec->n_attrs = kept;
  changed(part, rec, RECORD_REWRITE, 0);
}

void part_touch(struct part *part, struct weir_rec *rec) {
  changed(part, rec, RECORD_REWRITE, rec->raw_n);
  part->flags |= PART_TOUCHED;
}
