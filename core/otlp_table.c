#include "core/otlp_table.h"

#include "core/wire.h"

#define FIELDS(t) t, sizeof(t) / sizeof *(t)
#define JSON(kind, n) n, sizeof(n) - 1, JSON_##kind
#define SCALAR(op, wire, arg, s, m, kind, j) { op, wire, arg, offsetof(struct s, m), 0, NULL, #m, JSON(kind, j) }
#define STR(s, m, j) SCALAR(OP_STR, WIRE_LEN, 0, s, m, TEXT, j)
#define TRACE_ID(s, m, j) SCALAR(OP_STR, WIRE_LEN, 0, s, m, TRACE_ID, j)
#define SPAN_ID(s, m, j) SCALAR(OP_STR, WIRE_LEN, 0, s, m, SPAN_ID, j)
#define FIX64(s, m, j) SCALAR(OP_FIXED64, WIRE_64, 0, s, m, UINT64, j)
#define DOUBLE64(s, m, j) SCALAR(OP_FIXED64, WIRE_64, 0, s, m, DOUBLE, j)
#define FIX32(s, m, j) SCALAR(OP_FIXED32, WIRE_32, 0, s, m, UINT32, j)
#define ENUM32(s, m, j) SCALAR(OP_VARINT32, WIRE_VARINT, OTLP_SIGNED, s, m, ENUM, j)
#define BOOL32(s, m, j) SCALAR(OP_VARINT32, WIRE_VARINT, OTLP_BOOL, s, m, BOOL, j)
#define VAR32(s, m, j) SCALAR(OP_VARINT32, WIRE_VARINT, 0, s, m, UINT32, j)
#define ZIG32(s, m, j) SCALAR(OP_SINT32, WIRE_VARINT, 0, s, m, SINT32, j)
#define OPT64(s, m, bit) { OP_OPT64, WIRE_64, bit, offsetof(struct s, m), offsetof(struct s, has), NULL, #m, JSON(DOUBLE, #m) }
#define ATTRS(n, j) { OP_ATTR, WIRE_LEN, 0, 0, 0, &otlp_key_value, n, JSON(MESSAGE, j) }
#define DROPPED(s) \
  { OP_VARINT32, WIRE_VARINT, 0, offsetof(struct s, rec.dropped_attrs), 0, NULL, "dropped_attributes_count", JSON(UINT32, "droppedAttributesCount") }
#define CHILD(s, m, c, msg, n, j) { OP_CHILD, WIRE_LEN, 0, offsetof(struct s, m), offsetof(struct s, c), msg, n, JSON(MESSAGE, j) }
#define SUB(arg, c, msg, n, j) { OP_SUB, WIRE_LEN, arg, 0, c, msg, n, JSON(MESSAGE, j) }
#define NUMBER(op, s, n, kind, j) { op, WIRE_64, 0, offsetof(struct s, value), 0, NULL, n, JSON(kind, j) }
#define REPEATED(op, s, m, c, n, kind, j) { op, WIRE_LEN, 0, offsetof(struct s, m), offsetof(struct s, c), NULL, n, JSON(kind, j) }

/* --- common --------------------------------------------------------------------------------------- */

static const struct otlp_field any_value_fields[] = {
  [1] = { OP_STR, WIRE_LEN, 0, 0, 0, NULL, "string_value", JSON(TEXT, "stringValue") },
  [2] = { OP_VARINT32, WIRE_VARINT, 0, 0, 0, NULL, "bool_value", JSON(BOOL, "boolValue") },
  [3] = { OP_VARINT32, WIRE_VARINT, 0, 0, 0, NULL, "int_value", JSON(INT64, "intValue") },
  [4] = { OP_FIXED64, WIRE_64, 0, 0, 0, NULL, "double_value", JSON(DOUBLE, "doubleValue") },
  [5] = { OP_SUB, WIRE_LEN, 0, 0, 0, &otlp_array_value, "array_value", JSON(MESSAGE, "arrayValue") },
  [6] = { OP_SUB, WIRE_LEN, 0, 0, 0, &otlp_kvlist, "kvlist_value", JSON(MESSAGE, "kvlistValue") },
  [7] = { OP_STR, WIRE_LEN, 0, 0, 0, NULL, "bytes_value", JSON(BASE64, "bytesValue") },
};
const struct otlp_msg otlp_any_value = { "AnyValue", FIELDS(any_value_fields), 0, 0, 0, 0 };

static const struct otlp_field array_value_fields[] = { [1] = { OP_CHILD, WIRE_LEN, 0, 0, 0, &otlp_any_value, "values", JSON(MESSAGE, "values") } };
const struct otlp_msg otlp_array_value = { "ArrayValue", FIELDS(array_value_fields), 0, 0, 0, 0 };

static const struct otlp_field kvlist_fields[] = { [1] = { OP_CHILD, WIRE_LEN, 0, 0, 0, &otlp_key_value, "values", JSON(MESSAGE, "values") } };
const struct otlp_msg otlp_kvlist = { "KeyValueList", FIELDS(kvlist_fields), 0, 0, 0, 0 };

static const struct otlp_field key_value_fields[] = {
  [1] = { OP_STR, WIRE_LEN, 0, 0, 0, NULL, "key", JSON(TEXT, "key") },
  [2] = { OP_SUB, WIRE_LEN, 0, 0, 0, &otlp_any_value, "value", JSON(MESSAGE, "value") },
};
const struct otlp_msg otlp_key_value = { "KeyValue", FIELDS(key_value_fields), 0, 0, 0, 0 };

static const struct otlp_field resource_fields[] = { [1] = ATTRS("attributes", "attributes"), [2] = DROPPED(weir_resource) };
static const struct otlp_msg resource = { "Resource", FIELDS(resource_fields), 0, 0, 0, 0 };

static const struct otlp_field scope_fields[] = {
  [1] = STR(weir_scope, name, "name"),
  [2] = STR(weir_scope, version, "version"),
  [3] = ATTRS("attributes", "attributes"),
  [4] = DROPPED(weir_scope),
};
static const struct otlp_msg scope = { "InstrumentationScope", FIELDS(scope_fields), 0, 0, 0, 0 };

/* --- traces ---------------------------------------------------------------------------------------- */

static const struct otlp_field event_fields[] = {
  [1] = FIX64(weir_event, time_unix_nano, "timeUnixNano"),
  [2] = STR(weir_event, name, "name"),
  [3] = ATTRS("attributes", "attributes"),
  [4] = DROPPED(weir_event),
};
static const struct otlp_msg event = { "Event", FIELDS(event_fields), sizeof(struct weir_event), WEIR_R_EVENT, 0, 0 };

static const struct otlp_field link_fields[] = {
  [1] = TRACE_ID(weir_link, trace_id, "traceId"),
  [2] = SPAN_ID(weir_link, span_id, "spanId"),
  [3] = STR(weir_link, trace_state, "traceState"),
  [4] = ATTRS("attributes", "attributes"),
  [5] = DROPPED(weir_link),
  [6] = FIX32(weir_link, flags, "flags"),
};
static const struct otlp_msg span_link = { "Link", FIELDS(link_fields), sizeof(struct weir_link), WEIR_R_LINK, 0, 0 };

static const struct otlp_field status_fields[] = { [2] = STR(weir_span, status_message, "message"), [3] = ENUM32(weir_span, status_code, "code") };
static const struct otlp_msg status = { "Status", FIELDS(status_fields), 0, 0, 0, 0 };

static const struct otlp_field span_fields[] = {
  [1] = TRACE_ID(weir_span, trace_id, "traceId"),
  [2] = SPAN_ID(weir_span, span_id, "spanId"),
  [3] = STR(weir_span, trace_state, "traceState"),
  [4] = SPAN_ID(weir_span, parent_span_id, "parentSpanId"),
  [5] = STR(weir_span, name, "name"),
  [6] = ENUM32(weir_span, kind, "kind"),
  [7] = FIX64(weir_span, start_time_unix_nano, "startTimeUnixNano"),
  [8] = FIX64(weir_span, end_time_unix_nano, "endTimeUnixNano"),
  [9] = ATTRS("attributes", "attributes"),
  [10] = DROPPED(weir_span),
  [11] = CHILD(weir_span, events, n_events, &event, "events", "events"),
  [12] = VAR32(weir_span, dropped_events, "droppedEventsCount"),
  [13] = CHILD(weir_span, links, n_links, &span_link, "links", "links"),
  [14] = VAR32(weir_span, dropped_links, "droppedLinksCount"),
  [15] = SUB(0, offsetof(struct weir_span, has_status), &status, "status", "status"),
  [16] = FIX32(weir_span, flags, "flags"),
};
static const struct otlp_msg span = { "Span", FIELDS(span_fields), sizeof(struct weir_span), WEIR_R_SPAN, 1, 0 };

/* --- metrics --------------------------------------------------------------------------------------- */

static const struct otlp_field exemplar_fields[] = {
  [2] = FIX64(weir_exemplar, time_unix_nano, "timeUnixNano"),
  [3] = NUMBER(OP_NUM_DOUBLE, weir_exemplar, "as_double", DOUBLE, "asDouble"),
  [4] = SPAN_ID(weir_exemplar, span_id, "spanId"),
  [5] = TRACE_ID(weir_exemplar, trace_id, "traceId"),
  [6] = NUMBER(OP_NUM_INT, weir_exemplar, "as_int", INT64, "asInt"),
  [7] = ATTRS("filtered_attributes", "filteredAttributes"),
};
static const struct otlp_msg exemplar = { "Exemplar", FIELDS(exemplar_fields), sizeof(struct weir_exemplar), WEIR_R_EXEMPLAR, 0, 0 };

#define POINT_TIMES [2] = FIX64(weir_point, start_time_unix_nano, "startTimeUnixNano"), [3] = FIX64(weir_point, time_unix_nano, "timeUnixNano")
#define EXEMPLARS CHILD(weir_point, exemplars, n_exemplars, &exemplar, "exemplars", "exemplars")

static const struct otlp_field number_point_fields[] = {
  POINT_TIMES,
  [4] = NUMBER(OP_NUM_DOUBLE, weir_number_point, "as_double", DOUBLE, "asDouble"),
  [5] = EXEMPLARS,
  [6] = NUMBER(OP_NUM_INT, weir_number_point, "as_int", INT64, "asInt"),
  [7] = ATTRS("attributes", "attributes"),
  [8] = VAR32(weir_point, flags, "flags"),
};
static const struct otlp_msg number_point = { "NumberDataPoint", FIELDS(number_point_fields), sizeof(struct weir_number_point), WEIR_R_POINT, 1, 0 };

static const struct otlp_field histogram_point_fields[] = {
  POINT_TIMES,
  [4] = FIX64(weir_histogram_point, count, "count"),
  [5] = OPT64(weir_histogram_point, sum, WEIR_HAS_SUM),
  [6] = REPEATED(OP_REP64, weir_histogram_point, bucket_counts, n_bucket_counts, "bucket_counts", UINT64, "bucketCounts"),
  [7] = REPEATED(OP_REP64, weir_histogram_point, explicit_bounds, n_explicit_bounds, "explicit_bounds", DOUBLE, "explicitBounds"),
  [8] = EXEMPLARS,
  [9] = ATTRS("attributes", "attributes"),
  [10] = VAR32(weir_point, flags, "flags"),
  [11] = OPT64(weir_histogram_point, min, WEIR_HAS_MIN),
  [12] = OPT64(weir_histogram_point, max, WEIR_HAS_MAX),
};
static const struct otlp_msg histogram_point = { "HistogramDataPoint", FIELDS(histogram_point_fields), sizeof(struct weir_histogram_point), WEIR_R_POINT, 1,
  0 };

#define BUCKETS(side)                                                                                                            \
  static const struct otlp_field side##_fields[] = {                                                                            \
    [1] = ZIG32(weir_exp_histogram_point, side.offset, "offset"),                                                                         \
    [2] = REPEATED(OP_REPVAR, weir_exp_histogram_point, side.counts, side.n, "bucket_counts", UINT64, "bucketCounts"),                \
  };                                                                                                                            \
  static const struct otlp_msg side = { "Buckets", FIELDS(side##_fields), 0, 0, 0, 0 }
BUCKETS(positive);
BUCKETS(negative);

static const struct otlp_field exp_histogram_point_fields[] = {
  [1] = ATTRS("attributes", "attributes"),
  POINT_TIMES,
  [4] = FIX64(weir_exp_histogram_point, count, "count"),
  [5] = OPT64(weir_exp_histogram_point, sum, WEIR_HAS_SUM),
  [6] = ZIG32(weir_exp_histogram_point, scale, "scale"),
  [7] = FIX64(weir_exp_histogram_point, zero_count, "zeroCount"),
  [8] = SUB(0, offsetof(struct weir_exp_histogram_point, positive.present), &positive, "positive", "positive"),
  [9] = SUB(0, offsetof(struct weir_exp_histogram_point, negative.present), &negative, "negative", "negative"),
  [10] = VAR32(weir_point, flags, "flags"),
  [11] = EXEMPLARS,
  [12] = OPT64(weir_exp_histogram_point, min, WEIR_HAS_MIN),
  [13] = OPT64(weir_exp_histogram_point, max, WEIR_HAS_MAX),
  [14] = DOUBLE64(weir_exp_histogram_point, zero_threshold, "zeroThreshold"),
};
static const struct otlp_msg exp_histogram_point = { "ExponentialHistogramDataPoint", FIELDS(exp_histogram_point_fields),
  sizeof(struct weir_exp_histogram_point), WEIR_R_POINT, 1, 0 };

static const struct otlp_field quantile_fields[] = { [1] = DOUBLE64(weir_quantile, quantile, "quantile"), [2] = DOUBLE64(weir_quantile, value, "value") };
static const struct otlp_msg quantile = { "ValueAtQuantile", FIELDS(quantile_fields), sizeof(struct weir_quantile), 0, 0, 0 };

static const struct otlp_field summary_point_fields[] = {
  POINT_TIMES,
  [4] = FIX64(weir_summary_point, count, "count"),
  [5] = DOUBLE64(weir_summary_point, sum, "sum"),
  [6] = { OP_QUANTILE, WIRE_LEN, 0, offsetof(struct weir_summary_point, quantiles), offsetof(struct weir_summary_point, n_quantiles), &quantile,
    "quantile_values", JSON(MESSAGE, "quantileValues") },
  [7] = ATTRS("attributes", "attributes"),
  [8] = VAR32(weir_point, flags, "flags"),
};
static const struct otlp_msg summary_point = { "SummaryDataPoint", FIELDS(summary_point_fields), sizeof(struct weir_summary_point), WEIR_R_POINT, 1, 0 };

#define POINTS(msg) CHILD(weir_metric, points, n_points, msg, "data_points", "dataPoints")
#define TEMPORALITY ENUM32(weir_metric, temporality, "aggregationTemporality")
static const struct otlp_field gauge_fields[] = { [1] = POINTS(&number_point) };
static const struct otlp_field sum_fields[] = { [1] = POINTS(&number_point), [2] = TEMPORALITY, [3] = BOOL32(weir_metric, is_monotonic, "isMonotonic") };
static const struct otlp_field histogram_fields[] = { [1] = POINTS(&histogram_point), [2] = TEMPORALITY };
static const struct otlp_field exp_histogram_fields[] = { [1] = POINTS(&exp_histogram_point), [2] = TEMPORALITY };
static const struct otlp_field summary_fields[] = { [1] = POINTS(&summary_point) };
static const struct otlp_msg gauge = { "Gauge", FIELDS(gauge_fields), 0, 0, 0, 0 };
static const struct otlp_msg sum = { "Sum", FIELDS(sum_fields), 0, 0, 0, 0 };
static const struct otlp_msg histogram = { "Histogram", FIELDS(histogram_fields), 0, 0, 0, 0 };
static const struct otlp_msg exp_histogram = { "ExponentialHistogram", FIELDS(exp_histogram_fields), 0, 0, 0, 0 };
static const struct otlp_msg summary = { "Summary", FIELDS(summary_fields), 0, 0, 0, 0 };

#define DATA(number, msg, n, j) { OP_ONEOF_SUB, WIRE_LEN, number, 0, offsetof(struct weir_metric, type), msg, n, JSON(MESSAGE, j) }
static const struct otlp_field metric_fields[] = {
  [1] = STR(weir_metric, name, "name"),
  [2] = STR(weir_metric, description, "description"),
  [3] = STR(weir_metric, unit, "unit"),
  [WEIR_M_GAUGE] = DATA(WEIR_M_GAUGE, &gauge, "gauge", "gauge"),
  [WEIR_M_SUM] = DATA(WEIR_M_SUM, &sum, "sum", "sum"),
  [WEIR_M_HISTOGRAM] = DATA(WEIR_M_HISTOGRAM, &histogram, "histogram", "histogram"),
  [WEIR_M_EXP_HISTOGRAM] = DATA(WEIR_M_EXP_HISTOGRAM, &exp_histogram, "exponential_histogram", "exponentialHistogram"),
  [WEIR_M_SUMMARY] = DATA(WEIR_M_SUMMARY, &summary, "summary", "summary"),
  [12] = ATTRS("metadata", "metadata"),
};
const struct otlp_msg otlp_metric = { "Metric", FIELDS(metric_fields), sizeof(struct weir_metric), WEIR_R_METRIC, 0, 1 };

/* --- logs ------------------------------------------------------------------------------------------ */

static const struct otlp_field log_fields[] = {
  [1] = FIX64(weir_log, time_unix_nano, "timeUnixNano"),
  [2] = ENUM32(weir_log, severity_number, "severityNumber"),
  [3] = STR(weir_log, severity_text, "severityText"),
  [5] = { OP_VALUE, WIRE_LEN, 0, offsetof(struct weir_log, body), offsetof(struct weir_log, has_body), &otlp_any_value, "body",
    JSON(MESSAGE, "body") },
  [6] = ATTRS("attributes", "attributes"),
  [7] = DROPPED(weir_log),
  [8] = FIX32(weir_log, flags, "flags"),
  [9] = TRACE_ID(weir_log, trace_id, "traceId"),
  [10] = SPAN_ID(weir_log, span_id, "spanId"),
  [11] = FIX64(weir_log, observed_time_unix_nano, "observedTimeUnixNano"),
  [12] = STR(weir_log, event_name, "eventName"),
};
static const struct otlp_msg log_record = { "LogRecord", FIELDS(log_fields), sizeof(struct weir_log), WEIR_R_LOG, 1, 0 };

/* --- containers: the same shape for each signal -------------------------------------------------------- */

#define CONTAINERS(signal, record, records_name, records_json, scopes_name, scopes_json, request_name, request_json)                                                    \
  static const struct otlp_field signal##_scope_fields[] = {                                                                  \
    [1] = SUB(OTLP_IDENTITY, 0, &scope, "scope", "scope"),                                                                                         \
    [2] = CHILD(weir_scope, u, n_records, record, records_name, records_json),                                                              \
    [3] = STR(weir_scope, schema_url, "schemaUrl"),                                                                                        \
  };                                                                                                                          \
  static const struct otlp_msg signal##_scope = { "Scope", FIELDS(signal##_scope_fields), sizeof(struct weir_scope), WEIR_R_SCOPE, 0, 0 }; \
  static const struct otlp_field signal##_resource_fields[] = {                                                               \
    [1] = SUB(OTLP_IDENTITY, 0, &resource, "resource", "resource"),                                                                                   \
    [2] = CHILD(weir_resource, scopes, n_scopes, &signal##_scope, scopes_name, scopes_json),                                               \
    [3] = STR(weir_resource, schema_url, "schemaUrl"),                                                                                     \
  };                                                                                                                          \
  static const struct otlp_msg signal##_resource = { "Resource", FIELDS(signal##_resource_fields), sizeof(struct weir_resource), \
    WEIR_R_RESOURCE, 0, 0 };                                                                                                  \
  static const struct otlp_field signal##_request_fields[] = {                                                                \
    [1] = CHILD(weir_data, resources, n_resources, &signal##_resource, request_name, request_json),                                         \
  };                                                                                                                          \
  static const struct otlp_msg signal##_request = { "Export request", FIELDS(signal##_request_fields), sizeof(struct weir_data), 0, 0, 0 }

CONTAINERS(traces, &span, "spans", "spans", "scope_spans", "scopeSpans", "resource_spans", "resourceSpans");
CONTAINERS(metrics, &otlp_metric, "metrics", "metrics", "scope_metrics", "scopeMetrics", "resource_metrics", "resourceMetrics");
CONTAINERS(logs, &log_record, "log_records", "logRecords", "scope_logs", "scopeLogs", "resource_logs", "resourceLogs");

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire_load64 reads little-endian numbers in place");

const struct otlp_msg *otlp_request(uint32_t signal) {
  if (signal == WEIR_TRACES) return &traces_request;
  return signal == WEIR_METRICS ? &metrics_request : &logs_request;
}
