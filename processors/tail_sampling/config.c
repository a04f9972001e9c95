/* The field tables: what people may write, and its manual page. Names, defaults and meaning are the Collector's (tail_sampling v0.165); what is weir's own says so. */
#include "config.h"

#include <stddef.h>

#include <weir/error.h>

#include "policy_config.h"

#define PLAIN                                                                                                                                    \
  "always_sample|latency|numeric_attribute|probabilistic|status_code|string_attribute|rate_limiting|bytes_limiting|span_count|trace_state|trace_flags|" \
  "boolean_attribute|ottl_condition"
#define N_PLAIN (TS_OTTL + 1)

const char *ts_type_name(enum ts_type type) {
  static const char *const names[] = { "always_sample", "latency", "numeric_attribute", "probabilistic", "status_code", "string_attribute", "rate_limiting", "bytes_limiting", "span_count",
    "trace_state", "trace_flags", "boolean_attribute", "ottl_condition", "and", "not", "drop", "composite" };
  return names[type];
}

enum ts_type ts_type_of(const struct ts_policy_config *p, enum ts_level level) {
  if (p->type < N_PLAIN || level == TS_LEVEL_TOP) return (enum ts_type)p->type;
  return level == TS_LEVEL_LIST ? TS_NOT : TS_AND;
}

/* --- the block of each type ---------------------------------------------------------------------- */

#define O(s, member) .offset = offsetof(struct s, member)

static const struct weir_field latency_fields[] = {
  { "threshold_ms", WEIR_T_INT, 0, O(ts_latency_config, threshold_ms), .dflt = "0", .min = "0", .unit = "milliseconds",
    .doc = "Keeps traces that took longer than this: from the earliest start of a span to the latest end of one." },
  { "upper_threshold_ms", WEIR_T_INT, 0, O(ts_latency_config, upper_threshold_ms), .dflt = "0", .min = "0", .unit = "milliseconds",
    .doc = "And at most as long as this; 0 = no limit. A trace may always grow longer, so with a limit this policy answers at the end only." },
  WEIR_FIELD_END,
};

static const struct weir_field numeric_fields[] = {
  { "key", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_numeric_config, key), .doc = "The attribute, of a span or of its resource." },
  { "min_value", WEIR_T_INT, 0, O(ts_numeric_config, min_value), .dflt = "-9223372036854775808",
    .doc = "The least value that matches. At least one of min_value and max_value must be written. `semantics: collector` takes 0 as if it were not written." },
  { "max_value", WEIR_T_INT, 0, O(ts_numeric_config, max_value), .dflt = "9223372036854775807", .doc = "The greatest value that matches. `semantics: collector` takes 0 as if it were not written." },
  { "invert_match", WEIR_T_BOOL, 0, O(ts_numeric_config, invert_match), .dflt = "false", .doc = "Keeps traces in which no span and no resource matches, and those without the attribute." },
  WEIR_FIELD_END,
};

static const struct weir_field probabilistic_fields[] = {
  { "hash_salt", WEIR_T_STRING, 0, O(ts_probabilistic_config, hash_salt),
    .doc = "Chooses by the Collector's hash of salt and trace id. Without it the choice is OpenTelemetry's consistent one, by the randomness in tracestate (ot=rv) or in the trace id, so that all "
           "samplers on the way choose alike; under `semantics: collector` the hash is always used, with the Collector's own salt where none is written." },
  { "sampling_percentage", WEIR_T_DOUBLE, 0, O(ts_probabilistic_config, sampling_percentage), .dflt = "0", .min = "0", .unit = "percent", .doc = "How many of the traces to keep; 100 and more: all." },
  WEIR_FIELD_END,
};

static const struct weir_field status_code_fields[] = {
  { "status_codes", WEIR_T_STRINGS, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_status_code_config, status_codes), .doc = "Keeps traces with a span of one of these: OK, ERROR, UNSET." },
  WEIR_FIELD_END,
};

static const struct weir_field string_fields[] = {
  { "key", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_string_config, key), .doc = "The attribute, of a span or of its resource." },
  { "values", WEIR_T_STRINGS, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_string_config, values), .doc = "The values to keep, or regular expressions." },
  { "enabled_regex_matching", WEIR_T_BOOL, 0, O(ts_string_config, enabled_regex_matching), .dflt = "false",
    .doc = "The values are regular expressions in the syntax of Go (RE2), found anywhere in the attribute's value unless they say ^ or $." },
  { "cache_max_size", WEIR_T_INT, 0, O(ts_string_config, cache_max_size), .dflt = "0", .doc = "Accepted, no effect: matching needs no cache of results." },
  { "invert_match", WEIR_T_BOOL, 0, O(ts_string_config, invert_match), .dflt = "false", .doc = "Keeps traces in which no span and no resource matches, and those without the attribute." },
  WEIR_FIELD_END,
};

#define BURST "The most that can be kept at once, after a pause; 0 = twice the rate. A trace of more than this never passes."

static const struct weir_field rate_fields[] = {
  { "spans_per_second", WEIR_T_UINT, 0, O(ts_rate_config, per_second), .dflt = "0", .unit = "spans", .doc = "How many spans to keep in a second, on average, in this process." },
  { "burst_capacity", WEIR_T_UINT, 0, O(ts_rate_config, burst_capacity), .dflt = "0", .unit = "spans", .doc = BURST },
  WEIR_FIELD_END,
};

static const struct weir_field bytes_fields[] = {
  { "bytes_per_second", WEIR_T_UINT, 0, O(ts_rate_config, per_second), .dflt = "0", .unit = "bytes",
    .doc = "How many bytes of spans to keep in a second, on average, in this process. The size of a trace is that of its spans as they were received." },
  { "burst_capacity", WEIR_T_UINT, 0, O(ts_rate_config, burst_capacity), .dflt = "0", .unit = "bytes", .doc = BURST },
  WEIR_FIELD_END,
};

static const struct weir_field span_count_fields[] = {
  { "min_spans", WEIR_T_UINT, 0, O(ts_span_count_config, min_spans), .dflt = "0", .max = "2147483647", .unit = "spans", .doc = "Keeps traces of at least so many spans." },
  { "max_spans", WEIR_T_UINT, 0, O(ts_span_count_config, max_spans), .dflt = "0", .max = "2147483647", .unit = "spans",
    .doc = "And of at most so many; 0 = no limit. A trace may always get more spans, so with a limit this policy answers at the end only." },
  WEIR_FIELD_END,
};

static const struct weir_field trace_state_fields[] = {
  { "key", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_trace_state_config, key), .doc = "The member of W3C tracestate." },
  { "values", WEIR_T_STRINGS, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_trace_state_config, values), .doc = "Keeps traces with a span whose member has one of these values. What is too long for a tracestate never matches." },
  WEIR_FIELD_END,
};

static const struct weir_field boolean_fields[] = {
  { "key", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_boolean_config, key), .doc = "The attribute, of a span or of its resource." },
  { "value", WEIR_T_BOOL, 0, O(ts_boolean_config, value), .dflt = "false", .doc = "The value to keep." },
  { "invert_match", WEIR_T_BOOL, 0, O(ts_boolean_config, invert_match), .dflt = "false", .doc = "Keeps traces in which no span and no resource matches, and those without the attribute." },
  WEIR_FIELD_END,
};

static const struct weir_field ottl_fields[] = {
  { "error_mode", WEIR_T_ENUM, 0, O(ts_ottl_config, error_mode), .dflt = "silent", .choices = "ignore|propagate|silent",
    .doc = "What becomes of a condition that can not be evaluated. propagate: the policy has no word on this trace, unless another span makes it true. ignore and silent: the condition is false there; "
           "ignore counts it as an error too." },
  { "span", WEIR_T_STRINGS, 0, O(ts_ottl_config, span), .doc = "Conditions on spans. One that is true, of any span, keeps the trace. docs/expressions.md has the language." },
  { "spanevent", WEIR_T_STRINGS, 0, O(ts_ottl_config, spanevent), .doc = "Conditions on the events of spans, likewise." },
  WEIR_FIELD_END,
};

/* --- a policy, level by level ---------------------------------------------------------------------- */

#define BLOCK(key, table, type, text) \
  { #key, WEIR_T_OPT_GROUP, 0, O(ts_policy_config, key), .doc = text, .group = table, .group_size = sizeof(struct type) }

#define PLAIN_BLOCKS                                                                                                                                            \
  BLOCK(latency, latency_fields, ts_latency_config, "For `type: latency`."),                                                                                    \
    BLOCK(numeric_attribute, numeric_fields, ts_numeric_config, "For `type: numeric_attribute`: a number that lies in a range."),                               \
    BLOCK(probabilistic, probabilistic_fields, ts_probabilistic_config, "For `type: probabilistic`. What it keeps has its threshold written to tracestate (ot=th)."), \
    BLOCK(status_code, status_code_fields, ts_status_code_config, "For `type: status_code`."),                                                                  \
    BLOCK(string_attribute, string_fields, ts_string_config, "For `type: string_attribute`."),                                                                  \
    BLOCK(rate_limiting, rate_fields, ts_rate_config, "For `type: rate_limiting`. It is asked when the trace is decided, and only about traces that nothing else keeps for certain."), \
    BLOCK(bytes_limiting, bytes_fields, ts_rate_config, "For `type: bytes_limiting`: as rate_limiting."),                                                       \
    BLOCK(span_count, span_count_fields, ts_span_count_config, "For `type: span_count`."),                                                                      \
    BLOCK(trace_state, trace_state_fields, ts_trace_state_config, "For `type: trace_state`."),                                                                  \
    BLOCK(boolean_attribute, boolean_fields, ts_boolean_config, "For `type: boolean_attribute`."),                                                              \
    BLOCK(ottl_condition, ottl_fields, ts_ottl_config, "For `type: ottl_condition`.")

#define SUB_NAME { "name", WEIR_T_STRING, 0, O(ts_policy_config, name), .doc = "For people; within `composite` also for policy_order and rate_allocation." }
#define TYPE(names) { "type", WEIR_T_ENUM, WEIR_REQUIRED, O(ts_policy_config, type), .choices = names, .doc = "What it tests. The key of the same name has its settings." }

static const struct weir_field not_sub_fields[] = { SUB_NAME, TYPE(PLAIN), PLAIN_BLOCKS, WEIR_FIELD_END };

static const struct weir_field not_fields[] = {
  { "not_sub_policy", WEIR_T_OPT_GROUP, WEIR_REQUIRED, O(ts_not_config, policy), .doc = "The policy whose word is turned round.", .group = not_sub_fields, .group_size = sizeof(struct ts_policy_config) },
  WEIR_FIELD_END,
};

#define NOT_BLOCK BLOCK(not, not_fields, ts_not_config, "For `type: not`.")

static const struct weir_field list_sub_fields[] = { SUB_NAME, TYPE(PLAIN "|not"), PLAIN_BLOCKS, NOT_BLOCK, WEIR_FIELD_END };

static const struct weir_field and_fields[] = {
  { "and_sub_policy", WEIR_T_GROUPS, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_list_config, policies), .doc = "All of them must want the trace.", .group = list_sub_fields, .group_size = sizeof(struct ts_policy_config) },
  WEIR_FIELD_END,
};

static const struct weir_field drop_fields[] = {
  { "drop_sub_policy", WEIR_T_GROUPS, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_list_config, policies), .doc = "If all of them want the trace, it is dropped, whatever other policies say.", .group = list_sub_fields,
    .group_size = sizeof(struct ts_policy_config) },
  WEIR_FIELD_END,
};

#define AND_BLOCK BLOCK(and, and_fields, ts_list_config, "For `type: and`.")

static const struct weir_field composite_sub_fields[] = { SUB_NAME, TYPE(PLAIN "|and"), PLAIN_BLOCKS, AND_BLOCK, WEIR_FIELD_END };

static const struct weir_field allocation_fields[] = {
  { "policy", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_allocation_config, policy), .doc = "The name of a sub-policy." },
  { "percent", WEIR_T_UINT, 0, O(ts_allocation_config, percent), .dflt = "0", .max = "100", .unit = "percent",
    .doc = "Its share of max_total_spans_per_second; 0, and for sub-policies that are not listed: an equal part, the total by the number of sub-policies. All percents are at most 100 in sum." },
  WEIR_FIELD_END,
};

static const struct weir_field composite_fields[] = {
  { "max_total_spans_per_second", WEIR_T_UINT, 0, O(ts_composite_config, max_total_spans_per_second), .dflt = "0", .unit = "spans",
    .doc = "How many spans all sub-policies keep together in each second, in this process." },
  { "policy_order", WEIR_T_STRINGS, 0, O(ts_composite_config, policy_order),
    .doc = "Names of sub-policies: the first that wants the trace and has room in its share keeps it. Those that are not named come after, as written. `semantics: collector` has the order of "
           "composite_sub_policy, and only the first that wants the trace is asked for room." },
  { "composite_sub_policy", WEIR_T_GROUPS, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_composite_config, policies), .doc = "The policies that share the total.", .group = composite_sub_fields,
    .group_size = sizeof(struct ts_policy_config) },
  { "rate_allocation", WEIR_T_GROUPS, 0, O(ts_composite_config, rate_allocation), .doc = "The share of each.", .group = allocation_fields, .group_size = sizeof(struct ts_allocation_config) },
  WEIR_FIELD_END,
};

static const struct weir_field policy_fields[] = {
  { "name", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_policy_config, name), .doc = "Its name in metrics, records of decisions and answers; each has its own." },
  TYPE(PLAIN "|and|not|drop|composite"),
  { "dry_run", WEIR_T_BOOL, 0, O(ts_policy_config, dry_run), .dflt = "false",
    .doc = "weir's own: the policy is asked and counted, and has no say. While it can not answer yet, traces are not decided early, so that its count is of all traces." },
  PLAIN_BLOCKS,
  AND_BLOCK,
  NOT_BLOCK,
  BLOCK(drop, drop_fields, ts_list_config, "For `type: drop`. Drop policies are asked before all others."),
  BLOCK(composite, composite_fields, ts_composite_config, "For `type: composite`: several policies within one budget of spans per second."),
  WEIR_FIELD_END,
};

/* --- the processor -------------------------------------------------------------------------------------- */

static const struct weir_field cache_fields[] = {
  { "sampled_cache_size", WEIR_T_INT, 0, offsetof(struct ts_config, decision_cache.sampled_cache_size) - offsetof(struct ts_config, decision_cache), .dflt = "-1", .min = "-1", .unit = "traces",
    .doc = "How many kept traces to remember, so that late spans are kept too; -1: as many as decision_memory holds, and under `semantics: collector` none; 0: none." },
  { "non_sampled_cache_size", WEIR_T_INT, 0, offsetof(struct ts_config, decision_cache.non_sampled_cache_size) - offsetof(struct ts_config, decision_cache), .dflt = "-1", .min = "-1", .unit = "traces",
    .doc = "How many dropped traces to remember, so that late spans are dropped too; -1: as many as decision_memory holds, and under `semantics: collector` none; 0: none." },
  WEIR_FIELD_END,
};

const struct weir_field ts_fields[] = {
  { "policies", WEIR_T_GROUPS, WEIR_REQUIRED | WEIR_NONEMPTY, O(ts_config, policies),
    .doc = "What to keep. A trace that any policy wants is kept, unless a policy of type drop wants it gone. At most 1024, those within others counted too.", .group = policy_fields,
    .group_size = sizeof(struct ts_policy_config) },
  { "decision_wait", WEIR_T_DURATION, 0, O(ts_config, decision_wait), .dflt = "30s", .min = "0",
    .doc = "How long to wait for the other spans of a trace, from its first span on. Later spans do not extend it." },
  { "decision_wait_after_root_received", WEIR_T_DURATION, 0, O(ts_config, decision_wait_after_root_received), .dflt = "0", .min = "0",
    .doc = "How long to wait from a span without parent on, if that ends earlier; 0 = off." },
  { "num_traces", WEIR_T_UINT, 0, O(ts_config, num_traces), .dflt = "50000", .min = "1", .unit = "traces",
    .doc = "How many undecided traces to hold, in this process. With one more the oldest is decided on what is there, and counted; the Collector forgets it." },
  { "block_on_overflow", WEIR_T_BOOL, 0, O(ts_config, block_on_overflow), .dflt = "false", .doc = "Pushes senders back instead, until traces are decided." },
  { "expected_new_traces_per_sec", WEIR_T_UINT, 0, O(ts_config, expected_new_traces_per_sec), .dflt = "0", .unit = "traces", .doc = "Accepted, no effect: tables grow a piece at a time." },
  { "decision_cache", WEIR_T_GROUP, 0, O(ts_config, decision_cache), .doc = "What is remembered of traces that were decided.", .group = cache_fields },
  { "tail_storage", WEIR_T_STRING, 0, O(ts_config, tail_storage), .doc = "Refused: weir holds undecided traces itself, bounded by max_bytes." },
  { "sample_on_first_match", WEIR_T_BOOL, 0, O(ts_config, sample_on_first_match), .dflt = "false",
    .doc = "The first policy that wants a trace decides, after those of type drop; the others are not asked. Thresholds are then those of the first, not the least one." },
  { "sampling_strategy", WEIR_T_ENUM, 0, O(ts_config, sampling_strategy), .dflt = "trace-complete", .choices = "trace-complete|span-ingest",
    .doc = "trace-complete: policies see the whole trace. span-ingest: each incoming batch is looked at alone, and a trace that nothing wanted until its wait is over is dropped; with policies that depend on "
           "the whole trace or on a rate it is refused." },
  { "drop_pending_traces_on_shutdown", WEIR_T_BOOL, 0, O(ts_config, drop_pending_traces_on_shutdown), .dflt = "false", .doc = "Drops undecided traces when the process ends; else they are decided on what is there." },
  { "maximum_trace_size_bytes", WEIR_T_BYTES, 0, O(ts_config, maximum_trace_size_bytes), .dflt = "0", .doc = "A trace whose spans are more than this is dropped at once; 0 = no limit." },
  { "num_shards", WEIR_T_UINT, 0, O(ts_config, num_shards), .dflt = "1", .max = "256", .doc = "Accepted, no effect: traces are spread over weir's lanes, and limits are those of the whole process." },
  { "semantics", WEIR_T_ENUM, 0, O(ts_config, semantics), .dflt = "strict", .choices = "strict|collector",
    .doc = "weir's own. strict: policies do what their documentation says, whatever the order of spans, batches and fields, and traces are decided as soon as they can only come out one way. collector: each "
           "decision is the Collector's, its slips included, and none is early. docs/tail-sampling-differences.md lists where they differ." },
  { "max_bytes", WEIR_T_BYTES, 0, O(ts_config, max_bytes), .dflt = "0", .doc = "weir's own. How much memory undecided traces may take, in this process; 0: a quarter of the process's memory limit." },
  { "decision_memory", WEIR_T_BYTES, 0, O(ts_config, decision_memory), .dflt = "16MiB", .doc = "weir's own. How much memory to spend on remembering decided traces, in this process, so that late spans follow the decision." },
  { "decision_log", WEIR_T_BYTES, 0, O(ts_config, decision_log), .dflt = "16MiB",
    .doc = "weir's own. How much memory to spend on records of decisions, in this process, which `weir why` and `weir decisions` show; 0: none." },
  WEIR_FIELD_END,
};

int ts_config_check(const struct ts_config *c, struct weir_error *err) {
  if (c->tail_storage) {
    weir_hint(err, "remove the key; `max_bytes` says how much memory undecided traces may take");
    return weir_fail_field(err, "tail_storage", "undecided traces can not be kept in a storage extension");
  }
  int caches = c->decision_cache.sampled_cache_size > 0 && c->decision_cache.non_sampled_cache_size > 0;
  if (c->block_on_overflow && c->semantics == TS_COLLECTOR && !caches) {
    weir_hint(err, "set decision_cache.sampled_cache_size and decision_cache.non_sampled_cache_size, or use `semantics: strict`");
    return weir_fail_field(err, "block_on_overflow", "the Collector comes to a stand with this: without decision caches its decided traces make no room for new ones");
  }
  return 0;
}
