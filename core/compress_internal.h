/*
 * core/compress_internal.h - shared by core/compress*.c and core/snappy.c: a body that is filled up to its limit.
 */
#ifndef CORE_COMPRESS_INTERNAL_H
#define CORE_COMPRESS_INTERNAL_H

#include <weir/error.h>

#include "core/pool.h"

struct inflated {
  struct pool *pool;
  size_t limit;
  int overdraw;           /* the budget does not refuse it */
  struct weir_body *body; /* of those who fill it: body->n. Freed by whoever began it */
};

/* An empty body with room for the guess, within the limit. */
int inflated_begin(struct inflated *, size_t guess, struct weir_error *);
/* Free bytes at the end: body->cap may be over the limit. */
static inline size_t inflated_room(const struct inflated *o) { return (o->body->cap < o->limit ? o->body->cap : o->limit) - o->body->n; }
/* At least `more` free bytes; WEIR_E_LIMIT when that would pass the limit, WEIR_E_NOMEM (then there may be no body). Grows by doubling, content kept. */
int inflated_need(struct inflated *, size_t more, struct weir_error *);

/* What the first frame declares, else four times the input. */
size_t zstd_guess(const char *p, size_t n);
int zstd_inflate(struct inflated *, const char *p, size_t n, struct weir_error *);
/* Into a body of its own, which overdraws. */
int zstd_deflate(struct pool *, int level, const char *p, size_t n, struct weir_body **ret, struct weir_error *);
void zstd_thread_done(void);

#endif
