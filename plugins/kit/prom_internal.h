/*
 * plugins/kit/prom_internal.h - what the files of the Prometheus mapping share; included by them alone.
 *
 * Scratch memory is an arena of chunks that are kept: pointers into it live until its reset. Each of four lifetimes has one: resource, scope,
 * point, and what the last prom_expand, prom_exemplar or prom_native gave.
 */
#ifndef KIT_PROM_INTERNAL_H
#define KIT_PROM_INTERNAL_H

#include "plugins/kit/bytes.h"
#include "plugins/kit/prom.h"

struct scratch_chunk;
struct scratch {
  struct scratch_chunk *first, *cur;
  size_t used; /* of cur */
};
/* Aligned for anything; NULL when memory is out. */
void *scratch_take(struct scratch *, size_t n);
void scratch_reset(struct scratch *);
void scratch_done(struct scratch *);

/* A label while it is made. The higher rank wins a name; equal ranks are joined in the order of their keys. */
#define RANK_CONSTANT 0
#define RANK_ATTRIBUTE 1
#define RANK_SCOPE_ATTRIBUTE 2
#define RANK_FIXED 3 /* job, instance, otel_scope_name ... */
struct prom_item {
  struct weir_str name, value, key;
  int rank;
};

/* A growing list of labels being made. bytes: names and values so far. */
struct prom_items {
  struct prom_item *v;
  size_t n, cap;
  uint64_t bytes;
};

#define PROM_CACHE 512        /* built family names, direct-mapped */
#define PROM_NAME_BYTES 2048u /* of a metric's name and unit together */
struct prom_cached {
  uint64_t hash;
  int type;
  uint32_t n_name, n_unit;   /* the key: metric name and unit, one behind the other in `text` */
  uint32_t n_full, n_words;  /* and what they give: family name, unit in words */
  char *text;
};

struct prom {
  struct prom_options opt;
  struct scratch fixed, resource, scope, point, out;
  struct prom_items constant, base, items, target; /* base: of a scope, sorted and combined */
  struct prom_family target_family;
  struct prom_cached cache[PROM_CACHE];
  struct kit_bytes text; /* of a value that is no string, while it is made */
  const char *why; /* reason of the last failure of a function that gives 0 */
};

/* --- names ---------------------------------------------------------------------------------------------------------------------- */

extern const unsigned char prom_class[256]; /* 1: letter, 2: digit, 4: '_', 8: ':' */

/* The family of a metric; 0 with p->why = "name" (or "memory") when it can not have a name. Borrowed until the next call. */
int prom_family_of(struct prom *, const struct weir_metric *, struct prom_family *ret);
/* A valid label name for a key, in s or the key itself; an empty one when there is none. prefix: "otel_scope_" or "". */
struct weir_str prom_label_name(struct prom *, struct scratch *, const char *prefix, struct weir_str key);
struct weir_str prom_metric_name(struct prom *, struct weir_str name, struct weir_str unit, int type, int suffixes, struct weir_str *ret_unit);

/* --- values ---------------------------------------------------------------------------------------------------------------------- */

/* Text of at most `room` bytes in s, or the value's own; valid UTF-8. ret->p == NULL: too long (why = "label_bytes") or no memory. */
struct weir_str prom_text_of(struct prom *, struct scratch *, const struct weir_value *, uint64_t room);
struct weir_str prom_text_repaired(struct prom *, struct scratch *, struct weir_str, uint64_t room);

/* --- labels ---------------------------------------------------------------------------------------------------------------------- */

int prom_items_add(struct prom *, struct prom_items *, struct prom_item);
/* Adds an attribute as a label. 0: p->why says why not. */
int prom_items_attr(struct prom *, struct prom_items *, struct scratch *, const char *prefix, const struct weir_attr *, int rank);
void prom_items_sort(struct prom_items *);
/* Sorts, and makes each name unique by rank and joining. 0: p->why. */
int prom_items_combine(struct prom *, struct prom_items *, struct scratch *);
/* Labels of a point, in s: base and items merged, without empty ones; both are combined. -1: p->why. */
long prom_labels_merge(struct prom *, struct prom_items *base, struct prom_items *items, struct scratch *, struct prom_label **ret);

#endif
