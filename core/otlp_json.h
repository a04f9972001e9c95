/*
 * core/otlp_json.h - OTLP/JSON: between JSON text and the protobuf bytes and trees that everything else works on.
 *
 * Source of the rules: opentelemetry-proto docs/specification.md, "JSON Protobuf Encoding" (lowerCamelCase names only, trace and span ids in hex,
 * enums as numbers, unknown fields ignored), proto3's JSON mapping for the rest (64-bit integers as strings or numbers, base64, "NaN", null =
 * default), RFC 8259 for the text. Strict: what is no JSON, a name that occurs twice, two members of a oneof, a wrong type and an id of another
 * length are refused with WEIR_E_INVALID, err->offset = the byte, and a message that names the path and what was expected there. A lone surrogate
 * escape (JavaScript's SDK makes them where it shortens a text) becomes U+FFFD. Limits are those of the protobuf way, with the same texts.
 * All pure functions; [any].
 */
#ifndef CORE_OTLP_JSON_H
#define CORE_OTLP_JSON_H

#include "core/otlp.h"

/* Reads an ExportXServiceRequest and writes it as protobuf into a new body, which passes otlp_scan under the same limits: so batching, sending and
 * cutting need to know nothing of JSON. What is read is not kept. Errors: WEIR_E_INVALID, _LIMIT, _NOMEM. */
int otlp_json_decode(struct pool *, uint32_t signal, const char *p, size_t n, const struct otlp_limits *, struct weir_body **ret, struct otlp_counts *,
  struct weir_error *);
/* Writes a tree as JSON on one line, defaults left out. Invalid UTF-8 becomes U+FFFD; unknown fields have no form in JSON and are left out. The body
 * overdraws the budget: it is on its way out. */
int otlp_json_encode(struct pool *, const struct weir_data *, struct weir_body **ret, struct weir_error *);

/* The small messages; as their protobuf forms in core/otlp.h. Each returns its length, at most cap, cutting the text where need be. */
size_t otlp_json_response_make(uint32_t signal, uint64_t rejected, const char *msg, char *buf, size_t cap);
/* ret->message points into buf, cut at cap. 0 or WEIR_E_INVALID. */
int otlp_json_response_parse(const char *p, size_t n, struct weir_otlp_response *ret, char *buf, size_t cap);
size_t otlp_json_status_make(uint32_t code, const char *msg, int64_t retry_after_ns, char *buf, size_t cap);
int otlp_json_status_parse(const char *p, size_t n, struct weir_rpc_status *ret);

#endif
