/*
 * processors/tail_sampling/config.h - the settings as the host binds them. Keys, defaults and units are the Collector's where it has them (docs/tail-sampling.md
 * lists ours). config.c has the field tables. Durations in ns.
 */
#ifndef TAIL_SAMPLING_CONFIG_H
#define TAIL_SAMPLING_CONFIG_H

#include <weir/config.h>

#define TS_STRICT 0 /* semantics */
#define TS_COLLECTOR 1

#define TS_TRACE_COMPLETE 0 /* sampling_strategy */
#define TS_SPAN_INGEST 1

#define TS_POLICIES_MAX 1024u /* policies, and policies within policies: more is a configuration error */

/* One policy; the same struct for those within and, not, drop and composite. ts_type_of (policy_config.h) reads it from the configuration. */
enum ts_type {
  TS_ALWAYS_SAMPLE,
  TS_LATENCY,
  TS_NUMERIC,
  TS_PROBABILISTIC,
  TS_STATUS_CODE,
  TS_STRING,
  TS_RATE_LIMITING,
  TS_BYTES_LIMITING,
  TS_SPAN_COUNT,
  TS_TRACE_STATE,
  TS_TRACE_FLAGS,
  TS_BOOLEAN,
  TS_OTTL,
  TS_AND,
  TS_NOT,
  TS_DROP,
  TS_COMPOSITE,
};

struct ts_policy_config; /* policy_config.h: the blocks of each type */

struct ts_config {
  int64_t decision_wait, decision_wait_after_root_received;
  uint64_t num_traces, expected_new_traces_per_sec, num_shards;
  struct {
    int64_t sampled_cache_size, non_sampled_cache_size; /* traces; -1: by decision_memory */
  } decision_cache;
  int32_t sample_on_first_match, block_on_overflow, drop_pending_traces_on_shutdown;
  int32_t sampling_strategy, semantics;
  uint64_t maximum_trace_size_bytes;
  /* ours */
  uint64_t max_bytes;       /* undecided traces, in memory; 0: a quarter of the process's memory limit */
  uint64_t decision_memory; /* bytes for what was decided */
  uint64_t decision_log;    /* bytes for what `weir why` tells */
  struct weir_groups policies; /* struct ts_policy_config */
  const char *tail_storage;    /* ts_config_check refuses it */
};

extern const struct weir_field ts_fields[];

#endif
