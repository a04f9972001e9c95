/*
 * pipelines/config.h - the configuration document as a checked model: what components exist and how pipelines use them.
 *
 * config_load reads, expands and merges the sources, checks everything that can be known without opening stages (ids, references, roles, signals,
 * cycles are the graph's) and binds every used component's own keys. All errors are collected in diags. Texts follow the Collector's where it has one.
 * Threads: [control]. Everything lives in the config's arena until config_free.
 */
#ifndef PIPELINES_CONFIG_H
#define PIPELINES_CONFIG_H

#include "core/diag.h"
#include "core/yaml.h"
#include "plugins/registry.h"

/* `receivers: {otlp/2: {...}}` */
struct config_component {
  uint32_t role; /* WEIR_RECEIVER ... */
  const char *id;   /* "otlp/2" as written, halves trimmed */
  const char *type; /* "otlp" */
  struct pos pos;   /* of the key */
  const struct yaml_node *body;
  const struct stage_entry *entry; /* NULL when not used or not found */
  const void *config;              /* the stage's bound struct; NULL when unused */
  const struct sender_config *sender; /* WEIR_QUEUED exporters: the host's keys */
  int used;
  struct config_component *next;
};

/* A name in a pipeline's list. */
struct config_ref {
  const char *id;
  struct pos pos;
  struct config_component *component; /* connectors appear as exporter in one pipeline and receiver in another */
};

struct config_pipeline {
  uint32_t signal;
  const char *id; /* "traces/prod" */
  struct pos pos;
  struct config_ref *receivers, *processors, *exporters;
  size_t n_receivers, n_processors, n_exporters;
  int ack_delivered; /* `ack: delivered`; default queued */
  int stored;        /* whatever leaves it goes through a queue on disk: a stage that holds may not answer before that has it */
  struct config_pipeline *next;
};

/* The keys that the host adds to WEIR_QUEUED exporters; names and defaults are the Collector's exporterhelper's. */
#define SIZER_REQUESTS 0
#define SIZER_ITEMS 1
#define SIZER_BYTES 2
struct sender_batch_config {
  int64_t flush_timeout_ns, min_size, max_size; /* 200ms 8192 0 (= without limit) */
  int32_t sizer;                                /* -1 not given, 0 items, 1 bytes: sender_batch_sizer */
  struct weir_strings metadata_keys;            /* partition.metadata_keys: gathered apart by their values */
  int64_t cache_size;                           /* partition.cache_size 10000: how many at the same time, per lane */
};
struct sender_config {
  int64_t timeout_ns; /* 5s; an exporter that declares its own `timeout` field (otlp_http: 30s) has that one copied here */
  struct {
    int32_t enabled; /* true */
    int64_t num_consumers; /* 10 */
    int64_t queue_size; /* 1000 */
    int32_t sizer; /* requests */
    int32_t block_on_overflow, wait_for_result; /* false */
    int32_t on_full; /* 0 refuse, 1 drop */
    const char *storage, *dead_letter; /* ids of extensions that offer weir.storage/1; NULL = none */
    const struct sender_batch_config *batch; /* NULL: requests are sent as they came */
  } queue;
  struct {
    int32_t enabled; /* true */
    int64_t initial_interval_ns, max_interval_ns, max_elapsed_time_ns; /* 5s 30s 300s (0 = for ever) */
    double randomization_factor, multiplier; /* 0.5 1.5 */
  } retry;
};
extern const struct weir_field sender_fields[]; /* its table; ends with WEIR_FIELD_END */
/* What the table can not say. 0, or the error, with err->field and a hint. */
int sender_fields_check(const struct sender_config *, struct weir_error *);
int sender_batch_sizer(const struct sender_config *); /* SIZER_ITEMS or SIZER_BYTES; the queue's, when that is one of them and batch names none */

struct config_telemetry {
  int log_level, log_json;
  const char *log_output; /* "stderr" */
  int metrics_enabled;
  const char *metrics_host; /* 127.0.0.1 */
  int metrics_port;         /* 8888 */
  int legacy_names;
  struct pos metrics_pos; /* of the port, or of what stands in the file */
};

struct config {
  struct arena arena;
  struct config_component *components;
  struct config_pipeline *pipelines;
  struct config_ref *extensions;
  size_t n_extensions;
  struct config_telemetry telemetry;
  uint32_t lanes;             /* service.lanes; 0 = by CPU quota, at most 16 */
  uint64_t memory_limit_bytes; /* service.memory_limit; 0 = 80 % of the cgroup or memory */
  int64_t drain_grace_ns, drain_timeout_ns; /* service.drain {grace 0s, timeout 10s} */
  const struct yaml_node *root;
  const char *const *files; /* that were read: for --config, and for ${file:}; names as they were given */
  size_t n_files;
  struct {
    int32_t watch;
    int64_t debounce_ns;
  } reload;                   /* service.reload {watch false, debounce 300ms} */
  const char *control_socket; /* service.control.socket; NULL = the default place */
  uint32_t refs;              /* holders besides whoever loaded it: each has one config_free */
};

/* uris: what --config got: a path, file:PATH, env:NAME, yaml:TEXT. sets: `a.b.c=v` from --set. NULL when there are errors (diags say). The registry
 * gets service.plugins added before stages are looked up. */
struct config *config_load(struct registry *, struct diags *, const char *const *uris, size_t n_uris, const char *const *sets, size_t n_sets);
void config_free(struct config *); /* [control]; the last holder's frees it. NULL allowed */

#endif
