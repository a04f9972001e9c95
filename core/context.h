/*
 * core/context.h - makes and counts contexts. What they are: include/weir/context.h.
 *
 * A context is one recycled block of the lane's pool that holds the struct, the pairs and their text; it is charged to the byte
 * budget while it lives, so that what queues hold of it is bounded with the rest.
 * Threads: context_new [lane of the pool]; the rest [any].
 */
#ifndef CORE_CONTEXT_H
#define CORE_CONTEXT_H

#include <weir/context.h>
#include <weir/error.h>

struct pool;

/* A copy of `what`, names in lower case and sorted. WEIR_E_LIMIT over WEIR_CONTEXT_MAX_*, WEIR_E_NOMEM when the budget has no room. */
int context_new(struct pool *, const struct weir_context *what, const struct weir_context **ret, struct weir_error *);
const struct weir_context *context_ref(const struct weir_context *); /* NULL allowed */
void context_unref(const struct weir_context *);                    /* NULL allowed */
/* The same, by pointer or by content. */
int context_equal(const struct weir_context *, const struct weir_context *);

#endif
