/*
 * weir/expr.h - service "weir.expr/1": conditions on telemetry, compiled once and evaluated often. The language is a subset of OTTL, the OpenTelemetry
 * Transformation Language; docs/expressions.md lists it, and each difference.
 *
 * A compiled condition is immutable: made on one thread, evaluated on any. Evaluation allocates nothing but bounded scratch of its own thread, and ends: regular
 * expressions have limits (weir/regex.h).
 * Source of the rule: opentelemetry-collector-contrib pkg/ottl (LANGUAGE.md, contexts/ottlspan, ottlspanevent).
 */
#ifndef WEIR_EXPR_H
#define WEIR_EXPR_H

#include <weir/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_EXPR_SERVICE "weir.expr/1"

/* What a condition speaks of. */
#define WEIR_EXPR_SPAN 1u
#define WEIR_EXPR_SPANEVENT 2u

struct weir_expr;

/* The record that paths are read from. */
struct weir_expr_input {
  uint32_t size, reserved;
  const struct weir_resource *resource;
  const struct weir_scope *scope;
  const struct weir_span *span;
  const struct weir_event *event; /* WEIR_EXPR_SPANEVENT */
};

struct weir_expr_service {
  uint32_t size, reserved;
  /* Compiles a condition. WEIR_E_INVALID: err->msg says what is wrong, err->offset at which byte of `text` (0-based). [any] */
  int (*compile)(uint32_t context, const char *text, struct weir_expr **ret, struct weir_error *);
  /* 1 true, 0 false, negative: it could not be evaluated (err, which may be NULL, says why). [any] */
  int (*eval)(const struct weir_expr *, const struct weir_expr_input *, struct weir_error *);
  void (*expr_free)(struct weir_expr *); /* NULL is allowed. [any] */
};

#ifdef __cplusplus
}
#endif
#endif
