#include "core/otlp_table.h"

#include "core/wire.h"

#define FIELDS(t) t, sizeof(t) / sizeof *(t)
#define STR(s, m) { OP_STR, WIRE_LEN, 0, offsetof(struct s, m), 0, NULL, #m }
#define FIX64(s, m) { OP_FIXED64, WIRE_64, 0, offsetof(struct s, m), 0, NULL, #m }
#define FIX32(s, m) { OP_FIXED32, WIRE_32, 0, offsetof(struct s, m), 0, NULL, #m }
#define ENUM32(s, m) { OP_VARINT32, WIRE_VARINT, OTLP_SIGNED, offsetof(struct s, m), 0, NULL, #m }
#define BOOL32(s, m) { OP_VARINT32, WIRE_VARINT, OTLP_BOOL, offsetof(struct s, m), 0, NULL, #m }
#define VAR32(s, m) { OP_VARINT32, WIRE_VARINT, 0, offsetof(struct s, m), 0, NULL, #m }
#define ZIG32(s, m) { OP_SINT32, WIRE_VARINT, 0, offsetof(struct s, m), 0, NULL, #m }
#define OPT64(s, m, bit) { OP_OPT64, WIRE_64, bit, offsetof(struct s, m), offsetof(struct s, has), NULL, #m }
#define ATTRS(n) { OP_ATTR, WIRE_LEN, 0, 0, 0, &otlp_key_value, n }
#define DROPPED(s) { OP_VARINT32, WIRE_VARINT, 0, offsetof(struct s, rec.dropped_attrs), 0, NULL, "dropped_attributes_count" }
#define CHILD(s, m, c, msg, n) { OP_CHILD, WIRE_LEN, 0, offsetof(struct s, m), offsetof(struct s, c), msg, n }
#define SUB(arg, c, msg, n) { OP_SUB, WIRE_LEN, arg, 0, c, msg, n }

/* --- common --------------------------------------------------------------------------------------- */

static const struct otlp_field any_value_fields[] = {
  [1] = { OP_STR, WIRE_LEN, 0, 0, 0, NULL, "string_value" },
  [2] = { OP_VARINT32, WIRE_VARINT, 0, 0, 0, NULL, "bool_value" },
  [3] = { OP_VARINT32, WIRE_VARINT, 0, 0, 0, NULL, "int_value" },
  [4] = { OP_FIXED64, WIRE_64, 0, 0, 0, NULL, "double_value" },
  [5] = { OP_SUB, WIRE_LEN, 0, 0, 0, &otlp_array_value, "array_value" },
  [6] = { OP_SUB, WIRE_LEN, 0, 0, 0, &otlp_kvlist, "kvlist_value" },
  [7] = { OP_STR, WIRE_LEN, 0, 0, 0, NULL, "bytes_value" },
};
const struct otlp_msg otlp_any_value = { "AnyValue", FIELDS(any_value_fields), 0, 0, 0, 0 };

static const struct otlp_field array_value_fields[] = { [1] = { OP_CHILD, WIRE_LEN, 0, 0, 0, &otlp_any_value, "values" } };
const struct otlp_msg otlp_array_value = { "ArrayValue", FIELDS(array_value_fields), 0, 0, 0, 0 };

static const struct otlp_field kvlist_fields[] = { [1] = { OP_CHILD, WIRE_LEN, 0, 0, 0, &otlp_key_value, "values" } };
const struct otlp_msg otlp_kvlist = { "KeyValueList", FIELDS(kvlist_fields), 0, 0, 0, 0 };

static const struct otlp_field key_value_fields[] = {
  [1] = { OP_STR, WIRE_LEN, 0, 0, 0, NULL, "key" },
  [2] = { OP_SUB, WIRE_LEN, 0, 0, 0, &otlp_any_value, "value" },
};
const struct otlp_msg otlp_key_value = { "KeyValue", FIELDS(key_value_fields), 0, 0, 0, 0 };

static const struct otlp_field resource_fields[] = { [1] = ATTRS("attributes"), [2] = DROPPED(weir_resource) };
static const struct otlp_msg resource = { "Resource", FIELDS(resource_fields), 0, 0, 0, 0 };

static const struct otlp_field scope_fields[] = {
  [1] = STR(weir_scope, name),
  [2] = STR(weir_scope, version),
  [3] = ATTRS("attributes"),
  [4] = DROPPED(weir_scope),
};
static const struct otlp_msg scope = { "InstrumentationScope", FIELDS(scope_fields), 0, 0, 0, 0 };

/* --- traces ---------------------------------------------------------------------------------------- */

static const struct otlp_field event_fields[] = {
  [1] = FIX64(weir_event, time_unix_nano),
  [2] = STR(weir_event, name),
  [3] = ATTRS("attributes"),
  [4] = DROPPED(weir_event),
};
static const struct otlp_msg event = { "Event", FIELDS(event_fields), sizeof(struct weir_event), WEIR_R_EVENT, 0, 0 };

static const struct otlp_field link_fields[] = {
  [1] = STR(weir_link, trace_id),
  [2] = STR(weir_link, span_id),
  [3] = STR(weir_link, trace_state),
  [4] = ATTRS("attributes"),
  [5] = DROPPED(weir_link),
  [6] = FIX32(weir_link, flags),
};
static const struct otlp_msg span_link = { "Link", FIELDS(link_fields), sizeof(struct weir_link), WEIR_R_LINK, 0, 0 };

static const struct otlp_field status_fields[] = { [2] = STR(weir_span, status_message), [3] = ENUM32(weir_span, status_code) };
static const struct otlp_msg status = { "Status", FIELDS(status_fields), 0, 0, 0, 0 };

static const struct otlp_field span_fields[] = {
  [1] = STR(weir_span, trace_id),
  [2] = STR(weir_span, span_id),
  [3] = STR(weir_span, trace_state),
  [4] = STR(weir_span, parent_span_id),
  [5] = STR(weir_span, name),
  [6] = ENUM32(weir_span, kind),
  [7] = FIX64(weir_span, start_time_unix_nano),
  [8] = FIX64(weir_span, end_time_unix_nano),
  [9] = ATTRS("attributes"),
  [10] = DROPPED(weir_span),
  [11] = CHILD(weir_span, events, n_events, &event, "events"),
  [12] = VAR32(weir_span, dropped_events),
  [13] = CHILD(weir_span, links, n_links, &span_link, "links"),
  [14] = VAR32(weir_span, dropped_links),
  [15] = SUB(0, offsetof(struct weir_span, has_status), &status, "status"),
  [16] = FIX32(weir_span, flags),
};
static const struct otlp_msg span = { "Span", FIELDS(span_fields), sizeof(struct weir_span), WEIR_R_SPAN, 1, 0 };

/* --- metrics --------------------------------------------------------------------------------------- */

static const struct otlp_field exemplar_fields[] = {
  [2] = FIX64(weir_exemplar, time_unix_nano),
  [3] = { OP_NUM_DOUBLE, WIRE_64, 0, offsetof(struct weir_exemplar, value), 0, NULL, "as_double" },
  [4] = STR(weir_exemplar, span_id),
  [5] = STR(weir_exemplar, trace_id),
  [6] = { OP_NUM_INT, WIRE_64, 0, offsetof(struct weir_exemplar, value), 0, NULL, "as_int" },
  [7] = ATTRS("filtered_attributes"),
};
static const struct otlp_msg exemplar = { "Exemplar", FIELDS(exemplar_fields), sizeof(struct weir_exemplar), WEIR_R_EXEMPLAR, 0, 0 };

#define POINT_TIMES [2] = FIX64(weir_point, start_time_unix_nano), [3] = FIX64(weir_point, time_unix_nano)
#define EXEMPLARS CHILD(weir_point, exemplars, n_exemplars, &exemplar, "exemplars")

static const struct otlp_field number_point_fields[] = {
  POINT_TIMES,
  [4] = { OP_NUM_DOUBLE, WIRE_64, 0, offsetof(struct weir_number_point, value), 0, NULL, "as_double" },
  [5] = EXEMPLARS,
  [6] = { OP_NUM_INT, WIRE_64, 0, offsetof(struct weir_number_point, value), 0, NULL, "as_int" },
  [7] = ATTRS("attributes"),
  [8] = VAR32(weir_point, flags),
};
static const struct otlp_msg number_point = { "NumberDataPoint", FIELDS(number_point_fields), sizeof(struct weir_number_point), WEIR_R_POINT, 1, 0 };

static const struct otlp_field histogram_point_fields[] = {
  POINT_TIMES,
  [4] = FIX64(weir_histogram_point, count),
  [5] = OPT64(weir_histogram_point, sum, WEIR_HAS_SUM),
  [6] = { OP_REP64, WIRE_LEN, 0, offsetof(struct weir_histogram_point, bucket_counts), offsetof(struct weir_histogram_point, n_bucket_counts), NULL,
    "bucket_counts" },
  [7] = { OP_REP64, WIRE_LEN, 0, offsetof(struct weir_histogram_point, explicit_bounds),
    offsetof(struct weir_histogram_point, n_explicit_bounds), NULL, "explicit_bounds" },
  [8] = EXEMPLARS,
  [9] = ATTRS("attributes"),
  [10] = VAR32(weir_point, flags),
  [11] = OPT64(weir_histogram_point, min, WEIR_HAS_MIN),
  [12] = OPT64(weir_histogram_point, max, WEIR_HAS_MAX),
};
static const struct otlp_msg histogram_point = { "HistogramDataPoint", FIELDS(histogram_point_fields), sizeof(struct weir_histogram_point), WEIR_R_POINT, 1,
  0 };

#define BUCKETS(side)                                                                                                            \
  static const struct otlp_field side##_fields[] = {                                                                            \
    [1] = ZIG32(weir_exp_histogram_point, side.offset),                                                                         \
    [2] = { OP_REPVAR, WIRE_LEN, 0, offsetof(struct weir_exp_histogram_point, side.counts), offsetof(struct weir_exp_histogram_point, side.n), \
      NULL, "bucket_counts" },                                                                                                  \
  };                                                                                                                            \
  static const struct otlp_msg side = { "Buckets", FIELDS(side##_fields), 0, 0, 0, 0 }
BUCKETS(positive);
BUCKETS(negative);

static const struct otlp_field exp_histogram_point_fields[] = {
  [1] = ATTRS("attributes"),
  POINT_TIMES,
  [4] = FIX64(weir_exp_histogram_point, count),
  [5] = OPT64(weir_exp_histogram_point, sum, WEIR_HAS_SUM),
  [6] = ZIG32(weir_exp_histogram_point, scale),
  [7] = FIX64(weir_exp_histogram_point, zero_count),
  [8] = SUB(0, offsetof(struct weir_exp_histogram_point, positive.present), &positive, "positive"),
  [9] = SUB(0, offsetof(struct weir_exp_histogram_point, negative.present), &negative, "negative"),
  [10] = VAR32(weir_point, flags),
  [11] = EXEMPLARS,
  [12] = OPT64(weir_exp_histogram_point, min, WEIR_HAS_MIN),
  [13] = OPT64(weir_exp_histogram_point, max, WEIR_HAS_MAX),
  [14] = FIX64(weir_exp_histogram_point, zero_threshold),
};
static const struct otlp_msg exp_histogram_point = { "ExponentialHistogramDataPoint", FIELDS(exp_histogram_point_fields),
  sizeof(struct weir_exp_histogram_point), WEIR_R_POINT, 1, 0 };

static const struct otlp_field quantile_fields[] = { [1] = FIX64(weir_quantile, quantile), [2] = FIX64(weir_quantile, value) };
static const struct otlp_msg quantile = { "ValueAtQuantile", FIELDS(quantile_fields), sizeof(struct weir_quantile), 0, 0, 0 };

static const struct otlp_field summary_point_fields[] = {
  POINT_TIMES,
  [4] = FIX64(weir_summary_point, count),
  [5] = FIX64(weir_summary_point, sum),
  [6] = { OP_QUANTILE, WIRE_LEN, 0, offsetof(struct weir_summary_point, quantiles), offsetof(struct weir_summary_point, n_quantiles), &quantile,
    "quantile_values" },
  [7] = ATTRS("attributes"),
  [8] = VAR32(weir_point, flags),
};
static const struct otlp_msg summary_point = { "SummaryDataPoint", FIELDS(summary_point_fields), sizeof(struct weir_summary_point), WEIR_R_POINT, 1, 0 };

#define POINTS(msg) CHILD(weir_metric, points, n_points, msg, "data_points")
#define TEMPORALITY ENUM32(weir_metric, temporality)
static const struct otlp_field gauge_fields[] = { [1] = POINTS(&number_point) };
static const struct otlp_field sum_fields[] = { [1] = POINTS(&number_point), [2] = TEMPORALITY, [3] = BOOL32(weir_metric, is_monotonic) };
static const struct otlp_field histogram_fields[] = { [1] = POINTS(&histogram_point), [2] = TEMPORALITY };
static const struct otlp_field exp_histogram_fields[] = { [1] = POINTS(&exp_histogram_point), [2] = TEMPORALITY };
static const struct otlp_field summary_fields[] = { [1] = POINTS(&summary_point) };
static const struct otlp_msg gauge = { "Gauge", FIELDS(gauge_fields), 0, 0, 0, 0 };
static const struct otlp_msg sum = { "Sum", FIELDS(sum_fields), 0, 0, 0, 0 };
static const struct otlp_msg histogram = { "Histogram", FIELDS(histogram_fields), 0, 0, 0, 0 };
static const struct otlp_msg exp_histogram = { "ExponentialHistogram", FIELDS(exp_histogram_fields), 0, 0, 0, 0 };
static const struct otlp_msg summary = { "Summary", FIELDS(summary_fields), 0, 0, 0, 0 };

#define DATA(number, msg, n) { OP_ONEOF_SUB, WIRE_LEN, number, 0, offsetof(struct weir_metric, type), msg, n }
static const struct otlp_field metric_fields[] = {
  [1] = STR(weir_metric, name),
  [2] = STR(weir_metric, description),
  [3] = STR(weir_metric, unit),
  [WEIR_M_GAUGE] = DATA(WEIR_M_GAUGE, &gauge, "gauge"),
  [WEIR_M_SUM] = DATA(WEIR_M_SUM, &sum, "sum"),
  [WEIR_M_HISTOGRAM] = DATA(WEIR_M_HISTOGRAM, &histogram, "histogram"),
  [WEIR_M_EXP_HISTOGRAM] = DATA(WEIR_M_EXP_HISTOGRAM, &exp_histogram, "exponential_histogram"),
  [WEIR_M_SUMMARY] = DATA(WEIR_M_SUMMARY, &summary, "summary"),
  [12] = ATTRS("metadata"),
};
const struct otlp_msg otlp_metric = { "Metric", FIELDS(metric_fields), sizeof(struct weir_metric), WEIR_R_METRIC, 0, 1 };

/* --- logs ------------------------------------------------------------------------------------------ */

static const struct otlp_field log_fields[] = {
  [1] = FIX64(weir_log, time_unix_nano),
  [2] = ENUM32(weir_log, severity_number),
  [3] = STR(weir_log, severity_text),
  [5] = { OP_VALUE, WIRE_LEN, 0, offsetof(struct weir_log, body), offsetof(struct weir_log, has_body), &otlp_any_value, "body" },
  [6] = ATTRS("attributes"),
  [7] = DROPPED(weir_log),
  [8] = FIX32(weir_log, flags),
  [9] = STR(weir_log, trace_id),
  [10] = STR(weir_log, span_id),
  [11] = FIX64(weir_log, observed_time_unix_nano),
  [12] = STR(weir_log, event_name),
};
static const struct otlp_msg log_record = { "LogRecord", FIELDS(log_fields), sizeof(struct weir_log), WEIR_R_LOG, 1, 0 };

/* --- containers: the same shape for each signal -------------------------------------------------------- */

#define CONTAINERS(signal, record, records_name, scopes_name, request_name)                                                    \
  static const struct otlp_field signal##_scope_fields[] = {                                                                  \
    [1] = SUB(OTLP_IDENTITY, 0, &scope, "scope"),                                                                                         \
    [2] = CHILD(weir_scope, u, n_records, record, records_name),                                                              \
    [3] = STR(weir_scope, schema_url),                                                                                        \
  };                                                                                                                          \
  static const struct otlp_msg signal##_scope = { "Scope", FIELDS(signal##_scope_fields), sizeof(struct weir_scope), WEIR_R_SCOPE, 0, 0 }; \
  static const struct otlp_field signal##_resource_fields[] = {                                                               \
    [1] = SUB(OTLP_IDENTITY, 0, &resource, "resource"),                                                                                   \
    [2] = CHILD(weir_resource, scopes, n_scopes, &signal##_scope, scopes_name),                                               \
    [3] = STR(weir_resource, schema_url),                                                                                     \
  };                                                                                                                          \
  static const struct otlp_msg signal##_resource = { "Resource", FIELDS(signal##_resource_fields), sizeof(struct weir_resource), \
    WEIR_R_RESOURCE, 0, 0 };                                                                                                  \
  static const struct otlp_field signal##_request_fields[] = {                                                                \
    [1] = CHILD(weir_data, resources, n_resources, &signal##_resource, request_name),                                         \
  };                                                                                                                          \
  static const struct otlp_msg signal##_request = { "Export request", FIELDS(signal##_request_fields), sizeof(struct weir_data), 0, 0, 0 }

CONTAINERS(traces, &span, "spans", "scope_spans", "resource_spans");
CONTAINERS(metrics, &otlp_metric, "metrics", "scope_metrics", "resource_metrics");
CONTAINERS(logs, &log_record, "log_records", "scope_logs", "resource_logs");

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire_load64 reads little-endian numbers in place");

const struct otlp_msg *otlp_request(uint32_t signal) {
  if (signal == WEIR_TRACES) return &traces_request;
  return signal == WEIR_METRICS ? &metrics_request : &logs_request;
}
