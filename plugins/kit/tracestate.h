/*
 * plugins/kit/tracestate.h - a span's trace_state: the list of the vendors' members, and OpenTelemetry's member `ot` with its sampling threshold th and randomness rv.
 *
 * Reads and writes the text of one span; nothing is allocated, members point into the text that was parsed. th and rv are 56-bit numbers: a span is kept by a
 * probability iff rv >= th, and stands for 2^56 / (2^56 - th) spans then.
 * Source of the rules: W3C Trace Context Level 2, "tracestate header" (at most 32 members; keys, values of at most 256 characters; a changed member moves to the front);
 * OpenTelemetry specification, "TraceState handling" (`ot` has sub-keys joined by ";", each once, at most 256 characters; th has 1 to 14 hexadecimal digits, trailing
 * zeros left out; rv has 14) and "TraceState: probability sampling" (th may rise on the way, never fall).
 */
#ifndef KIT_TRACESTATE_H
#define KIT_TRACESTATE_H

#include <stdint.h>

#include <weir/data.h>

#define KIT_TRACESTATE_MEMBERS 32u
#define KIT_TRACESTATE_VALUE_MAX 256u
#define KIT_TRACESTATE_MAX 16384u /* bytes; 32 members of the longest kind are less */
#define KIT_TRACESTATE_TH_ROOM 24u /* how much longer kit_tracestate_set_th can make the text */

#define KIT_TRACESTATE_TH 1u     /* th is there */
#define KIT_TRACESTATE_RV 2u     /* rv is there */
#define KIT_TRACESTATE_OT 4u     /* the member `ot` is there */
#define KIT_TRACESTATE_BAD_OT 8u /* and does not parse: th and rv are not known, and it is left alone */

struct kit_tracestate {
  uint32_t n, flags;
  uint32_t ot, reserved; /* the index of `ot` */
  uint64_t th, rv;
  struct {
    struct weir_str key, value;
  } v[KIT_TRACESTATE_MEMBERS];
};

/* 0; WEIR_E_INVALID: breaks the grammar, or has a key twice; WEIR_E_LIMIT: too long or too many members. A th or rv that is no number is as if it were not there. */
int kit_tracestate_parse(const char *p, size_t n, struct kit_tracestate *ret);
/* The value of a key; p is NULL when it is not there. */
struct weir_str kit_tracestate_get(const struct kit_tracestate *, struct weir_str key);
/* Whether Level 1 of the recommendation, which most SDKs were written for, would have read it too: its keys begin with a letter, or are of a tenant and a system. */
int kit_tracestate_level1(const struct kit_tracestate *);
/* Writes the text with this th (under 2^56) to `out`, which has room for the parsed text and KIT_TRACESTATE_TH_ROOM: `ot` first, its other sub-keys and the other members in their
 * order; of 32 others the last is left out. Returns the length; 0: it stays as it is, because its th is as high already or because `ot` does not parse or has no room. */
size_t kit_tracestate_set_th(const struct kit_tracestate *, uint64_t th, char *out);

#endif
