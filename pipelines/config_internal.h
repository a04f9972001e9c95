/*
 * pipelines/config_internal.h - shared by pipelines/config*.c and their test only: the state of one config_load.
 */
#ifndef PIPELINES_CONFIG_INTERNAL_H
#define PIPELINES_CONFIG_INTERNAL_H

#include "pipelines/config.h"

/* Where stages come from: the registry, or what a test offers. */
struct config_lookup {
  const struct stage_entry *(*find)(struct registry *, uint32_t role, const char *type, struct weir_error *);
  int (*load)(struct registry *, const char *path, struct weir_error *);
  int (*add_dir)(struct registry *, const char *dir, struct weir_error *);
};

/* A component in the index by role and id. */
struct config_known {
  struct config_component *component;
  struct config_known *next;
  uint32_t listed_in; /* number of the pipeline list that named it last */
  int told;           /* something is wrong with it: not called unused as well */
};

#define CONFIG_BUCKETS 1024

struct config_loader {
  struct config *config;
  struct diags *ds;
  struct registry *registry;
  const struct config_lookup *lookup;
  struct config_component **last_component;
  struct config_pipeline **last_pipeline;
  struct config_known *known[CONFIG_BUCKETS];
  uint32_t lists;  /* pipeline lists read so far */
  uint32_t broken; /* bit of each role whose section could not be read: references to it are not complained about */
};

/* One of the sections receivers, processors, ... */
struct config_section {
  const char *key, *noun; /* "receivers", "receiver" */
  uint32_t role;
};
extern const struct config_section config_sections[]; /* ends with key NULL */
const struct config_section *config_section(uint32_t role);

struct config *config_load_with(const struct config_lookup *, struct registry *, struct diags *, const char *const *uris, size_t n_uris,
  const char *const *sets, size_t n_sets);

/* config_source.c: all sources read, merged, expanded; NULL when one could not be read. */
struct yaml_node *config_read(struct config_loader *, const char *const *uris, size_t n_uris, const char *const *sets, size_t n_sets);

/* config_id.c: an id as `type[/name]`, halves trimmed. 0, or -1 when reported. */
int config_parse_id(struct config_loader *, const struct yaml_node *key, const char **ret_id, const char **ret_type);

/* config_sections.c: the top level. What is misspelled or stands in the wrong place is told and then read where it belongs, so that the
 * rest of the document is still checked. Takes and gives the root. */
struct yaml_node *config_mend_sections(struct config_loader *, struct yaml_node *root);
int config_is_section(const char *name);

/* config_components.c */
void config_read_components(struct config_loader *);
/* "line 12", or "base.yaml:12" when that is another file than `from`'s. */
const char *config_where(const struct config_loader *, struct pos from, struct pos of);
struct config_known *config_find(const struct config_loader *, uint32_t role, const char *id);
void config_bind_components(struct config_loader *); /* those that are used */
void config_warn_unused(struct config_loader *);

/* config_pipelines.c */
void config_read_pipelines(struct config_loader *, const struct yaml_node *pipelines, struct pos at);
void config_read_extensions(struct config_loader *, const struct yaml_node *extensions);
void config_check_pipelines(struct config_loader *); /* signals and connectors, when stages are known */
void config_mark_stored(struct config_loader *);     /* pipelines whose exporters all have their queue on disk */

/* What a pipeline and service may hold, for the JSON schema. */
extern const struct schema_table config_pipeline_table, config_service_table;

/* config_service.c */
void config_read_service(struct config_loader *);

uint32_t config_signal(const char *name); /* WEIR_TRACES ...; 0 = none of them */
const char *config_signal_name(uint32_t signal);

#endif
