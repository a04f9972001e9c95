/* Labels: attributes to names and values, sorted, unique by rank and joining, the base of a scope merged with those of a point. */
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/prom_internal.h"

static int str_cmp(struct weir_str a, struct weir_str b) {
  uint32_t n = a.n < b.n ? a.n : b.n;
  int c = n ? memcmp(a.p, b.p, n) : 0;
  return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

/* By name; of one name the highest rank first, then by the original key: the order in which values are joined. */
static int item_cmp(const void *pa, const void *pb) {
  const struct prom_item *a = pa, *b = pb;
  int c = str_cmp(a->name, b->name);
  if (!c) c = b->rank - a->rank;
  return c ? c : str_cmp(a->key, b->key);
}

int prom_items_add(struct prom *p, struct prom_items *items, struct prom_item item) {
  items->bytes += (uint64_t)item.name.n + item.value.n;
  p->why = "label_bytes";
  if (items->bytes > p->opt.max_label_bytes) return 0;
  if (items->n == items->cap) {
    size_t cap = items->cap ? items->cap * 2 : 32;
    struct prom_item *v = realloc(items->v, cap * sizeof *v);
    p->why = "memory";
    if (!v) return 0;
    items->v = v;
    items->cap = cap;
  }
  items->v[items->n++] = item;
  return 1;
}

int prom_items_attr(struct prom *p, struct prom_items *items, struct scratch *s, const char *prefix, const struct weir_attr *a, int rank) {
  struct prom_item item = { .key = a->key, .rank = rank };
  if (a->key.n + items->bytes > p->opt.max_label_bytes) {
    p->why = "label_bytes";
    return 0;
  }
  item.name = prom_label_name(p, s, prefix, a->key);
  p->why = "name";
  if (!item.name.n) return 0;
  item.value = prom_text_of(p, s, &a->value, p->opt.max_label_bytes - items->bytes);
  return item.value.p && prom_items_add(p, items, item);
}

/* Points have few attributes, often sorted already. */
void prom_items_sort(struct prom_items *items) {
  struct prom_item *v = items->v;
  if (items->n > 32) {
    qsort(v, items->n, sizeof *v, item_cmp);
    return;
  }
  for (size_t i = 1; i < items->n; i++) {
    size_t at = i;
    while (at && item_cmp(&v[at - 1], &v[i]) > 0) at--;
    if (at == i) continue;
    struct prom_item moved = v[i];
    memmove(v + at + 1, v + at, (i - at) * sizeof *v);
    v[at] = moved;
  }
}

static struct weir_str joined(struct prom *p, struct scratch *s, struct weir_str a, struct weir_str b) {
  char *to = scratch_take(s, (size_t)a.n + b.n + 1);
  p->why = "memory";
  if (!to) return (struct weir_str){ NULL, 0, 0 };
  if (a.n) memcpy(to, a.p, a.n);
  to[a.n] = ';';
  if (b.n) memcpy(to + a.n + 1, b.p, b.n);
  return (struct weir_str){ to, a.n + b.n + 1, 0 };
}

/* Puts b, which has the same name and stands behind a in the order, into a. */
static int absorb(struct prom *p, struct scratch *s, struct prom_item *a, const struct prom_item *b) {
  int joins = a->rank == b->rank && (a->rank == RANK_ATTRIBUTE || a->rank == RANK_SCOPE_ATTRIBUTE) && !weir_str_eq(a->key, b->key);
  if (!joins) return 1; /* a ranks higher, or is the first of a key that stands there twice */
  a->value = joined(p, s, a->value, b->value);
  a->key = b->key;
  return a->value.p != NULL;
}

int prom_items_combine(struct prom *p, struct prom_items *items, struct scratch *s) {
  size_t n = 0;
  prom_items_sort(items);
  for (size_t i = 0; i < items->n; i++) {
    struct prom_item *last = n ? &items->v[n - 1] : NULL;
    if (last && weir_str_eq(last->name, items->v[i].name)) {
      if (!absorb(p, s, last, &items->v[i])) return 0;
    } else {
      items->v[n++] = items->v[i];
    }
  }
  items->n = n;
  return 1;
}

/* The same name in the base and in a point: rank, or joined by key as one list would be; the resource's value wins where the key is the same. */
static int meet(struct prom *p, struct scratch *s, const struct prom_item *base, const struct prom_item *own, struct prom_item *ret) {
  int own_first = own->rank > base->rank || (own->rank == base->rank && str_cmp(own->key, base->key) < 0);
  *ret = own_first ? *own : *base;
  return absorb(p, s, ret, own_first ? base : own);
}

long prom_labels_merge(struct prom *p, struct prom_items *base, struct prom_items *items, struct scratch *s, struct prom_label **ret) {
  size_t i = 0, k = 0, n = 0;
  p->why = "label_bytes";
  if (base->bytes + items->bytes > p->opt.max_label_bytes) return -1;
  struct prom_label *labels = scratch_take(s, (base->n + items->n) * sizeof *labels);
  p->why = "memory";
  if (!labels) return -1;
  while (i < base->n || k < items->n) {
    int c = i == base->n ? 1 : k == items->n ? -1 : str_cmp(base->v[i].name, items->v[k].name);
    struct prom_item item;
    if (c < 0) item = base->v[i++];
    else if (c > 0) item = items->v[k++];
    else if (!meet(p, s, &base->v[i++], &items->v[k++], &item)) return -1;
    if (item.value.n) labels[n++] = (struct prom_label){ item.name, item.value };
  }
  *ret = labels;
  return (long)n;
}
