/*
 * plugins/registry.h - the stage types that are loaded, by role and name.
 *
 * The loader opens shared objects (ELF note first, before any constructor runs; then RTLD_NOW | RTLD_LOCAL; signal dispositions restored), copies
 * min(size) of each struct into a zeroed one and registers the types. Nothing is ever dlclosed. Of a directory only what is looked for is loaded, by its
 * file name first (`receiver_otlp.so`); see registry_find.
 * Threads: [control].
 */
#ifndef PLUGINS_REGISTRY_H
#define PLUGINS_REGISTRY_H

#include <weir/stage.h>

#include "plugins/schema.h"

/* A loaded stage type: copies, so that an older plugin's shorter structs read as zero behind their end. */
struct stage_entry {
  struct weir_stage_type type;
  struct weir_plugin plugin;
  const char *file; /* path of the .so */
  struct stage_entry *next;
};

struct registry;

struct registry *registry_new(void);
void registry_free(struct registry *); /* frees the tables; never unloads */
/* Loads one plugin file. On refusal: one sentence in err->msg, what to do in err->hint, and none of its stages is there. A file already loaded is 0. */
int registry_load(struct registry *, const char *path, struct weir_error *);
/* The path of a loaded file that is another one on disk by now, or NULL: what is loaded stays until the process ends. i: how many to pass over. */
const char *registry_changed_file(const struct registry *, size_t i);
/* A search directory: stages beside the program, or service.plugins. Files are named <role>_<type>.so ("receiver_otlp.so"). Where no name fits, registry_find loads
 * all files of the role (aliases), then all files. */
int registry_add_dir(struct registry *, const char *dir, struct weir_error *);
/* The stage of this role and type name or alias, loading it if need be; NULL + err (unknown: hint names the nearest known ones). */
const struct stage_entry *registry_find(struct registry *, uint32_t role, const char *type, struct weir_error *);
/* Loads everything in the directories; for `weir components`, `weir doc`. Refusals are passed to on_refused. */
void registry_load_all(struct registry *, void (*on_refused)(void *arg, const char *path, const struct weir_error *), void *arg);
const struct stage_entry *registry_first(const struct registry *); /* then ->next; sorted by role, name */
const char *role_name(uint32_t role); /* "receiver" */

#endif
