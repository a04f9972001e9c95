/*
 * core/yaml.h - YAML from libyaml events into our own tree that keeps file, line and column of every node.
 *
 * Limits: 4 MiB of text, 100 levels, 100,000 nodes, 100 alias expansions; duplicate keys are errors. Scalars keep their text and
 * whether they were quoted; types are decided by who reads them (a string field may receive 0123).
 */
#ifndef CORE_YAML_H
#define CORE_YAML_H

#include "core/arena.h"
#include "core/diag.h"

#define YAML_NULL 0 /* empty value, ~ or null (unquoted) */
#define YAML_SCALAR 1
#define YAML_SEQ 2
#define YAML_MAP 3
#define YAML_BROKEN 4 /* a ${...} here failed and was reported: readers pass over it in silence */

struct yaml_node {
  int kind, quoted;
  struct pos pos;
  const char *text; /* scalars: NUL-terminated, after expansion; embedded NUL is an error */
  int expanded;     /* text came (in part) from ${...}: errors show the source text and, unless secret, the value */
  size_t n;
  struct yaml_node **items; /* YAML_SEQ: n; YAML_MAP: n values */
  struct yaml_node **keys;  /* YAML_MAP: n scalar keys */
  const char *not_yaml;     /* why the file that ${file:} named is text and nothing else: "x.yaml:3:1: a tab ..."; else NULL */
  const char *original;     /* what ${...} gave, when it was the whole value: a string field takes this, whatever YAML makes of it */
};

#define YAML_TEXT_MAX (4u << 20) /* bytes of one document, and of all that one document's expansions give */
#define YAML_DEPTH_MAX 100
#define YAML_NODES_MAX 100000
#define YAML_ALIASES_MAX 100
#define YAML_KEYS_MAX 10000 /* in one mapping */

/* Parses one document; NULL and diagnostics on failure (an empty document is an error "empty configuration file"). Where reading can go on
 * after an error, the tree comes and ds->n_errors tells. file: index from diags_add_file. */
struct yaml_node *yaml_parse(struct arena *, struct diags *, uint32_t file);
/* As yaml_parse, for the n bytes at `from` of that file: the value in `--set a.b=VALUE`, say. Places are those in the file. */
struct yaml_node *yaml_parse_part(struct arena *, struct diags *, uint32_t file, size_t from, size_t n);
/* Nodes for what is built, not read. */
struct yaml_node *yaml_new_scalar(struct arena *, struct pos, const char *text);
struct yaml_node *yaml_new_map(struct arena *, struct pos, struct yaml_node *key, struct yaml_node *value);
/* The text for a string field: of a scalar, or whatever a whole-value expansion gave; NULL when the node has none. */
const char *yaml_string(const struct yaml_node *);
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key); /* value or NULL */
struct yaml_node *yaml_key(const struct yaml_node *map, const char *key); /* the key's node, for its position */
/* Whether two trees say the same to whoever reads them; NULL and an empty value are the same. Places do not matter, the order of keys does. */
int yaml_equal(const struct yaml_node *, const struct yaml_node *);
/* Expands ${env:NAME}, ${env:NAME:-default}, ${NAME}, ${file:PATH}, $$ in all scalars below node, in place, as the Collector does: a
 * whole-value expansion is parsed as YAML (types and even maps), text inside a longer string is substituted; nested up to 100 deep. */
void yaml_expand(struct arena *, struct diags *, struct yaml_node *);
/* Merges `over` into `base` as several --config do: maps deep, lists and scalars replaced. Returns the merged node. */
struct yaml_node *yaml_merge(struct arena *, struct yaml_node *base, struct yaml_node *over);

#endif
