/*
 * processors/tail_sampling/policy_config.h - one policy as the host binds it, and the block of each type. A block that is not written is NULL.
 *
 * The same struct serves policies within policies; each level has a table of its own in config.c, so that they nest as in the Collector:
 * a policy is of any type; within `and` and `drop` the plain types and `not`; within `composite` the plain types and `and`; within `not` the plain types.
 */
#ifndef TAIL_SAMPLING_POLICY_CONFIG_H
#define TAIL_SAMPLING_POLICY_CONFIG_H

#include "config.h"

struct ts_latency_config {
  int64_t threshold_ms, upper_threshold_ms;
};

#define TS_NO_MIN INT64_MIN /* the key is not there */
#define TS_NO_MAX INT64_MAX

struct ts_numeric_config {
  const char *key;
  int64_t min_value, max_value;
  int32_t invert_match;
};

struct ts_probabilistic_config {
  const char *hash_salt;
  double sampling_percentage;
};

struct ts_status_code_config {
  struct weir_strings status_codes;
};

struct ts_string_config {
  const char *key;
  struct weir_strings values;
  int32_t enabled_regex_matching, invert_match;
  int64_t cache_max_size;
};

struct ts_rate_config {
  uint64_t per_second, burst_capacity;
};

struct ts_span_count_config {
  uint64_t min_spans, max_spans;
};

struct ts_trace_state_config {
  const char *key;
  struct weir_strings values;
};

struct ts_boolean_config {
  const char *key;
  int32_t value, invert_match;
};

#define TS_ERROR_IGNORE 0 /* error_mode */
#define TS_ERROR_PROPAGATE 1
#define TS_ERROR_SILENT 2

struct ts_ottl_config {
  int32_t error_mode;
  struct weir_strings span, spanevent;
};

struct ts_list_config { /* and, drop */
  struct weir_groups policies; /* struct ts_policy_config */
};

struct ts_not_config {
  const struct ts_policy_config *policy;
};

struct ts_allocation_config {
  const char *policy;
  uint64_t percent;
};

struct ts_composite_config {
  uint64_t max_total_spans_per_second;
  struct weir_strings policy_order;
  struct weir_groups policies;        /* struct ts_policy_config */
  struct weir_groups rate_allocation; /* struct ts_allocation_config */
};

/* Where a policy stands: says what the index in `type` means. */
enum ts_level { TS_LEVEL_TOP, TS_LEVEL_LIST, TS_LEVEL_COMPOSITE, TS_LEVEL_NOT };

struct ts_policy_config {
  const char *name;
  int32_t type; /* an index of its level's choices: ts_type_of */
  int32_t dry_run;
  const struct ts_latency_config *latency;
  const struct ts_numeric_config *numeric_attribute;
  const struct ts_probabilistic_config *probabilistic;
  const struct ts_status_code_config *status_code;
  const struct ts_string_config *string_attribute;
  const struct ts_rate_config *rate_limiting, *bytes_limiting;
  const struct ts_span_count_config *span_count;
  const struct ts_trace_state_config *trace_state;
  const struct ts_boolean_config *boolean_attribute;
  const struct ts_ottl_config *ottl_condition;
  const struct ts_list_config *and, *drop;
  const struct ts_not_config *not;
  const struct ts_composite_config *composite;
};

enum ts_type ts_type_of(const struct ts_policy_config *, enum ts_level);
const char *ts_type_name(enum ts_type);
/* What tables can not say of the whole: 0 or WEIR_E_CONFIG. */
int ts_config_check(const struct ts_config *, struct weir_error *);

#endif
