/*
 * core/otlp_table.h - the OTLP messages as tables: field numbers, wire types, and where a field lives in weir/data.h.
 *
 * Scan, decode, encode, copy and split all walk these tables, so that a message is described once. Numbers are those of
 * opentelemetry-proto v1 (common, resource, trace, metrics, logs and the three collector services).
 */
#ifndef CORE_OTLP_TABLE_H
#define CORE_OTLP_TABLE_H

#include <weir/data.h>

/* What a field is, and what stands at its offset. */
enum otlp_op {
  OP_NONE,      /* not a field that we know: kept as it is */
  OP_STR,       /* string, bytes: struct weir_str */
  OP_FIXED64,   /* fixed64, sfixed64, double: 8 bytes */
  OP_FIXED32,   /* fixed32: uint32_t */
  OP_VARINT32,  /* uint32, enum (arg OTLP_SIGNED), bool (arg OTLP_BOOL): 4 bytes */
  OP_SINT32,    /* zigzag: int32_t */
  OP_OPT64,     /* optional double: 8 bytes, presence bit `arg` in the uint32_t at `count` */
  OP_NUM_DOUBLE, OP_NUM_INT, /* oneof of number points and exemplars: struct weir_value */
  OP_VALUE,     /* AnyValue: struct weir_value */
  OP_ATTR,      /* repeated KeyValue: rec.attrs */
  OP_CHILD,     /* repeated message: array of pointers at offset, uint32_t count at `count` */
  OP_SUB,       /* singular message whose fields live in the same struct; presence at `count`, or arg OTLP_IDENTITY: it has rec.raw */
  OP_ONEOF_SUB, /* as OP_SUB, member of Metric.data: `arg` is the member's number, kept at `count` */
  OP_REP64,     /* repeated fixed64 / double, packed or not: pointer at offset, uint32_t count at `count` */
  OP_REPVAR,    /* repeated uint64, packed or not: as OP_REP64 */
  OP_QUANTILE,  /* repeated ValueAtQuantile: array of struct weir_quantile */
};

#define OTLP_SIGNED 1u
#define OTLP_BOOL 2u
#define OTLP_IDENTITY 3u /* Resource, InstrumentationScope */

/* What stands in OTLP/JSON where the field (of a repeated one: each element) stands. */
enum otlp_json {
  JSON_NONE,
  JSON_TEXT,
  JSON_TRACE_ID, JSON_SPAN_ID, /* hex of 16 and 8 bytes */
  JSON_BASE64,
  JSON_BOOL,
  JSON_ENUM,            /* a number: names are not OTLP/JSON */
  JSON_UINT32, JSON_SINT32,
  JSON_INT64, JSON_UINT64, /* written as decimal strings */
  JSON_DOUBLE,
  JSON_MESSAGE,
};

struct otlp_field {
  uint8_t op, wire, arg;
  uint16_t offset, count;
  const struct otlp_msg *msg;
  const char *name, *json_name;
  uint8_t json_n, json; /* length of json_name; JSON_* */
};

struct otlp_msg {
  const char *name;
  const struct otlp_field *fields; /* index = field number; [0] unused */
  uint32_t n_fields;
  uint16_t size, kind; /* of the struct that an OP_CHILD of this message allocates; kind: WEIR_R_* or 0 */
  uint8_t is_record;   /* counts as an item: span, data point, log record */
  uint8_t is_metric;   /* members of its oneof replace each other */
};

#define OTLP_LOG_BODY 5u /* LogRecord.body */

extern const struct otlp_msg otlp_any_value, otlp_key_value, otlp_array_value, otlp_kvlist, otlp_metric;
/* The request message of a signal; its field 1 is ResourceSpans / ResourceMetrics / ResourceLogs. */
const struct otlp_msg *otlp_request(uint32_t signal);

/* The field of a message by number, or NULL when it is unknown to us. */
static inline const struct otlp_field *otlp_field_of(const struct otlp_msg *m, uint32_t number) {
  return number < m->n_fields && m->fields[number].op != OP_NONE ? &m->fields[number] : NULL;
}

#endif
