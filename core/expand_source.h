/*
 * core/expand_source.h - where configuration text comes from: the environment, files, the text itself.
 *
 * Used for ${...} inside a document and for what --config names. The two accesses to the system stand behind function pointers, so that
 * tests and the fuzzer bring their own. [control]
 */
#ifndef CORE_EXPAND_SOURCE_H
#define CORE_EXPAND_SOURCE_H

#include "core/yaml.h"

struct source_io {
  const char *(*env)(const char *name);                                                               /* NULL = unset */
  int (*read_file)(struct arena *, const char *path, char **ret, size_t *ret_n, struct weir_error *); /* at most YAML_TEXT_MAX bytes */
};
extern const struct source_io source_system;

/* What a source gave. set == 0: an environment variable that is not set. */
struct source_text {
  const char *p;
  size_t n;
  int set, is_file;
  const char *name; /* of the file */
};

/* "scheme:rest" -> the two halves; no scheme (or one letter before the colon, C:\...): `dflt`. rest points into uri. */
const char *source_split(struct arena *, const char *uri, const char *dflt, const char **ret_rest);
/* Fetches scheme:rest. 0, or a negative code and one sentence in err->msg (and err->hint). */
int source_fetch(
  struct arena *, const struct source_io *, const char *scheme, const char *rest, struct source_text *ret, struct weir_error *);
/* As yaml_expand, on another system. */
void yaml_expand_with(struct arena *, struct diags *, struct yaml_node *, const struct source_io *);

#endif
