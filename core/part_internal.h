/*
 * core/part_internal.h - what the files of the part share.
 */
#ifndef CORE_PART_INTERNAL_H
#define CORE_PART_INTERNAL_H

#include "core/otlp_table.h"
#include "core/part.h"

#define PART_SPLIT 8u   /* its tree is only containers and raw records: good for encoding and cutting, not for reading */
#define PART_TOUCHED 16u /* plain fields were assigned: added_bytes is no bound */

struct part *part_new(struct pool *, uint32_t signal);
/* A part of its own over the bytes of another one, whose reference it takes. */
struct part *part_view(struct pool *, struct part *of);
/* A copy of a message without its records (or containers of records), at most as long as the message. Returns its length. */
size_t part_strip_records(const struct otlp_msg *, const char *p, size_t n, char *out);
/* Whether the caller, who holds a reference, is the only one who can see it. */
static inline int part_exclusive(const struct part *part) {
  return atomic_load_explicit(&part->refs, memory_order_acquire) == 1 && !(part->flags & PART_CROSSED);
}

#endif
