/*
 * core/expr.h - conditions on telemetry in a subset of OTTL: the service weir.expr/1 (weir/expr.h). docs/expressions.md is the language.
 *
 * A text is parsed by recursive descent and becomes a flat program for a stack of typed values, once; evaluating it allocates nothing (but a pattern that is no
 * literal is compiled each time). Times and durations are nanoseconds, int64. Compiled conditions are immutable. [any]
 */
#ifndef CORE_EXPR_H
#define CORE_EXPR_H

#include <weir/expr.h>

#define EXPR_TEXT_MAX 8192u      /* bytes of a condition */
#define EXPR_DEPTH_MAX 64u       /* parentheses and calls within each other */
#define EXPR_STACK_MAX 64u       /* values that are needed at a time */
#define EXPR_KEYS_MAX 8u         /* ["a"]["b"][0] ... behind a path */
#define EXPR_LIST_MAX 16u        /* elements of Concat's list */
#define EXPR_SCRATCH_MAX 65536u  /* bytes of text that one evaluation may make */

int expr_compile(uint32_t context, const char *text, struct weir_expr **ret, struct weir_error *);
int expr_eval(const struct weir_expr *, const struct weir_expr_input *, struct weir_error *);
void expr_free(struct weir_expr *);

#endif
