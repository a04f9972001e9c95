/*
 * tests/unit/support/otlp_gen.h - random protobuf messages from protobuf-c descriptors, and what the tests do with them.
 *
 * A message is valid by construction. `wild` messages use what parsers get wrong: any field order, singular fields that occur twice, several
 * members of a oneof, unknown fields, explicit default values, unpacked repeated scalars, overlong varints. The same seed gives the same bytes.
 */
#ifndef OTLP_GEN_H
#define OTLP_GEN_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

struct gen {
  uint64_t state;
  int wild;
  int max_repeat; /* elements of a repeated field */
  int json;       /* only what OTLP/JSON can say: UTF-8, ids of their lengths, one NaN */
};

struct gen_bytes {
  char *p;
  size_t n, cap;
};

uint64_t gen_next(struct gen *);
uint64_t gen_below(struct gen *, uint64_t n);
void gen_append(struct gen_bytes *, const void *p, size_t n);
void gen_varint(struct gen_bytes *, uint64_t v);
void gen_field(struct gen_bytes *, uint32_t number, const void *p, size_t n); /* length-delimited */
/* Appends a random message. */
void gen_message(struct gen *, const ProtobufCMessageDescriptor *, int depth, struct gen_bytes *out);
/* Flips, cuts, repeats or inserts bytes, 1 to 4 times. */
void gen_mutate(struct gen *, struct gen_bytes *);

/*
 * Rewrites a message so that each singular submessage occurs once, by the published rules (encoding, "Last One Wins": submessages merge, which
 * is to read their concatenation; the last member of a oneof stays, and an equal member before it merges). protobuf-c 1.4 merges wrongly: it
 * loses scalars and unknown fields of the earlier message, and replaces members of a oneof. Everything dropped or joined on the way is checked.
 * Returns 0 when the message is malformed.
 */
int gen_normalize(const ProtobufCMessageDescriptor *, const char *p, size_t n, struct gen_bytes *out);
/* Whether two messages are equal field by field, doubles by their bits, unknown fields included. 0, or 1 with the place in `where`. */
int gen_differ(const ProtobufCMessage *a, const ProtobufCMessage *b, char *where, size_t cap);

#endif
