/*
 * core/otlp.h - the OTLP wire format: scan, decode, encode; and the small messages around an export.
 *
 * Source of the rules: opentelemetry-proto v1 .proto files and docs/specification.md; protobuf encoding rules (any field order, last value
 * of a singular scalar wins, duplicate singular messages merge, unknown fields are kept, packed and unpacked repeated
 * scalars are both read; of a oneof the last member stays, an equal one before it merges). Groups, wire types 6 and 7, field number 0 or over
 * 2^29-1, tags and lengths of more than 5 bytes and known fields of a wrong wire type are refused. Malformed input fails with WEIR_E_INVALID, err->offset = the byte, and a message that names
 * the path ("resource_spans.scope_spans.spans.attributes: length 90 runs past its message"). Depth is counted in messages.
 * All pure functions; [any].
 */
#ifndef CORE_OTLP_H
#define CORE_OTLP_H

#include "core/part.h"

/* weir_rec.dirty */
#define RECORD_APPENDED 1u /* attributes were added behind n_raw_attrs: raw plus those is the record */
#define RECORD_REWRITE 2u  /* raw is out of date, but for its unknown fields */
#define RECORD_UNKNOWN 4u  /* what was received of it holds unknown fields */
#define RECORD_SPLIT 8u    /* a container that part_split cut */
#define RECORD_CHANGED (RECORD_APPENDED | RECORD_REWRITE)

struct otlp_counts {
  uint64_t items; /* spans, data points, log records */
};

/* Checks structure, depth and counts of a whole ExportXServiceRequest in one pass, in full: decoding what passed cannot fail. */
int otlp_scan(uint32_t signal, const char *p, size_t n, const struct otlp_limits *, struct otlp_counts *ret, struct weir_error *);
/* Counts records, looking only at the containers (validation: envelope). */
int otlp_count(uint32_t signal, const char *p, size_t n, const struct otlp_limits *, struct otlp_counts *ret, struct weir_error *);
/* Builds the tree in `a`; checks as otlp_scan does. Strings point into p..p+n. */
int otlp_decode(uint32_t signal, struct arena *a, const char *p, size_t n, const struct otlp_limits *, struct weir_data *ret,
  struct otlp_counts *counts, struct weir_error *);
/* Builds only the containers, to cut and frame them anew: records are bare weir_rec of kind 0 with their raw slice. For bytes that were accepted
 * before; limits are not applied. */
int otlp_decode_containers(uint32_t signal, struct arena *a, const char *p, size_t n, struct weir_data *ret, struct otlp_counts *counts, struct weir_error *);
/* Encodes a tree: clean records are copied from their raw slices, appended attributes are added behind them, dirty ones rewritten
 * with their unknown fields. The result stands in `a`. */
int otlp_encode(const struct weir_data *, struct arena *a, const char **ret_p, size_t *ret_n, struct weir_error *);

size_t otlp_response_make(uint64_t rejected, const char *msg, char *buf, size_t cap);
int otlp_response_parse(const char *p, size_t n, struct weir_otlp_response *ret);
/* google.rpc.Status by protobuf-c (core/rpc_status.c). */
size_t rpc_status_make(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap);
int rpc_status_parse(const char *p, size_t n, struct weir_rpc_status *ret);

#endif
