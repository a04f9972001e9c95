#include "core/expr_internal.h"

#include <stdlib.h>

#include "core/assert.h"
#include "core/regex.h"

int expr_fail(struct expr_run *run, int code, const char *fmt, ...) {
  if (run->err) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(run->err->msg, sizeof run->err->msg, fmt, ap);
    va_end(ap);
    run->err->code = code;
    run->err->offset = run->at;
  }
  return code;
}

/* --- compile ------------------------------------------------------------------------------------------------------ */

int expr_compile(uint32_t context, const char *text, struct weir_expr **ret, struct weir_error *err) {
  size_t n = strlen(text);
  if (context != WEIR_EXPR_SPAN && context != WEIR_EXPR_SPANEVENT) return weir_fail(err, WEIR_E_UNSUPPORTED, "conditions are on spans and span events here");
  if (n > EXPR_TEXT_MAX) {
    if (err) err->offset = EXPR_TEXT_MAX;
    return weir_fail(err, WEIR_E_LIMIT, "the condition is %zu bytes long, over %u (EXPR_TEXT_MAX)", n, EXPR_TEXT_MAX);
  }
  struct weir_expr *e = calloc(1, sizeof *e);
  WEIR_ASSERT(e != NULL);
  arena_init(&e->arena, NULL, 1024);
  int r = expr_parse(e, context, text, n, err);
  if (r) {
    expr_free(e);
    return r;
  }
  *ret = e;
  return 0;
}

void expr_free(struct weir_expr *e) {
  if (!e) return;
  for (uint32_t i = 0; i < e->n_regexes; i++) regex_free(e->regexes[i]);
  arena_done(&e->arena);
  free(e);
}

/* --- evaluate ------------------------------------------------------------------------------------------------------- */

static void set_bool(struct weir_value *v, int truth) {
  v->kind = WEIR_V_BOOL;
  v->n = 0;
  v->u.i = truth;
}

int expr_run_ops(struct expr_run *run, uint32_t from, uint32_t to, struct weir_value *ret) {
  struct weir_value stack[EXPR_STACK_MAX + 1], *top = stack; /* the first is not used; the parser has seen to it that there are enough */
  int r = 0;
  for (uint32_t pc = from; pc < to && r >= 0; pc++) {
    const struct expr_op *op = &run->e->ops[pc];
    run->at = op->at;
    switch (op->code) {
    case EXPR_CONST: *++top = run->e->consts[op->arg]; break;
    case EXPR_PATH: r = expr_path_read(run, &run->e->paths[op->arg], ++top); break;
    case EXPR_CALL:
      top -= op->argc - 1;
      r = expr_function_call(run, op, top, top);
      break;
    case EXPR_COMPARE:
      top--;
      r = expr_value_compare(run, top, top + 1, op->sub);
      set_bool(top, r);
      break;
    case EXPR_MATH:
      top--;
      r = expr_value_math(run, top, top + 1, op->sub, top);
      break;
    case EXPR_NEGATE: r = expr_value_negate(run, top, top); break;
    case EXPR_NOT: top->u.i = !top->u.i; break;
    case EXPR_AND:
    case EXPR_OR:
      if ((top->u.i != 0) == (op->code == EXPR_OR)) pc = op->arg - 1;
      else top--;
      break;
    }
  }
  if (r < 0) return r;
  *ret = *top;
  return 0;
}

/* Apart, so that a condition that makes no text needs no such frame. */
__attribute__((noinline)) static int eval_with_scratch(struct expr_run *run, struct weir_value *ret) {
  char scratch[EXPR_SCRATCH_MAX];
  run->scratch = scratch;
  run->cap = sizeof scratch;
  return expr_run_ops(run, 0, run->e->n_ops, ret);
}

int expr_eval(const struct weir_expr *e, const struct weir_expr_input *in, struct weir_error *err) {
  struct expr_run run = { .e = e, .in = in, .err = err };
  struct weir_value v;
  int r = e->makes_text ? eval_with_scratch(&run, &v) : expr_run_ops(&run, 0, e->n_ops, &v);
  return r < 0 ? r : v.u.i != 0;
}
