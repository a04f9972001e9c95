/*
 * plugins/kit/value_text.h - an attribute's value as text, as the Collector's pcommon.Value.AsString has it, which Loki and others show.
 *
 * Text as it is, numbers as Go writes them (shortest that reads back, exponents below 1e-6 and from 1e21 on; NaN and Infinity by the specification, "AnyValue
 * representation for non-OTLP protocols", where the Collector writes an error text), bytes as base64, lists and mappings as
 * JSON with sorted keys. Pure.
 */
#ifndef KIT_VALUE_TEXT_H
#define KIT_VALUE_TEXT_H

#include "plugins/kit/bytes.h"

void kit_put_value(struct kit_bytes *, const struct weir_value *);
void kit_put_int(struct kit_bytes *, int64_t);
void kit_put_uint(struct kit_bytes *, uint64_t);
void kit_put_double(struct kit_bytes *, double);
void kit_put_hex(struct kit_bytes *, struct weir_str);
/* A JSON string with its quotes, as Go writes it without HTML escapes: bytes that are not UTF-8 become U+FFFD. */
void kit_put_json_str(struct kit_bytes *, struct weir_str);
/* The length of the UTF-8 character at p (n > 0), or 0 when it is none. */
size_t kit_utf8_len(const char *p, size_t n);

#endif
