/*
 * core/expr_internal.h - shared by core/expr*.c: the program of a condition, its values, and the parts that parse, read paths, compute and call.
 *
 * Values are weir_value with kinds of their own behind OTLP's: text and bytes are borrowed from the record, the program or the scratch of the evaluation.
 */
#ifndef CORE_EXPR_INTERNAL_H
#define CORE_EXPR_INTERNAL_H

#include "core/arena.h"
#include "core/expr.h"

/* Kinds of values beside WEIR_V_* (WEIR_V_EMPTY is nil). */
#define EXPR_V_TIME 8u     /* u.i, Unix ns */
#define EXPR_V_DURATION 9u /* u.i, ns */
#define EXPR_V_TRACE_ID 10u
#define EXPR_V_SPAN_ID 11u
#define EXPR_V_ANY 12u /* of an expression: only its value tells */
#define EXPR_MASK(kind) (1u << (kind))

enum expr_code { EXPR_CONST, EXPR_PATH, EXPR_CALL, EXPR_COMPARE, EXPR_MATH, EXPR_NEGATE, EXPR_NOT, EXPR_AND, EXPR_OR };
enum expr_compare { EXPR_EQ, EXPR_NE, EXPR_LT, EXPR_LE, EXPR_GT, EXPR_GE };

#define EXPR_NO_REGEX UINT32_MAX

struct expr_op {
  uint8_t code, sub, argc; /* sub: enum expr_compare, the character of a math operator, the function */
  uint32_t arg;            /* index of the constant, path or regex; where EXPR_AND and EXPR_OR jump to */
  uint32_t at;             /* byte of the text, for errors */
};

struct expr_key {
  struct weir_str name;
  int64_t index;
  int is_index;
};

struct expr_path {
  uint32_t field, n_keys; /* field: of core/expr_path.c */
  struct expr_key keys[EXPR_KEYS_MAX];
};

struct weir_expr {
  struct arena arena;
  struct expr_op *ops;
  struct weir_value *consts;
  struct expr_path *paths;
  struct weir_regex **regexes;
  uint32_t n_ops, n_consts, n_paths, n_regexes;
  uint32_t makes_text; /* evaluation needs scratch */
};

/* One evaluation. */
struct expr_run {
  const struct weir_expr *e;
  const struct weir_expr_input *in;
  struct weir_error *err;
  char *scratch;
  size_t used, cap;
  uint32_t at; /* of the operation that runs */
};

int expr_parse(struct weir_expr *, uint32_t context, const char *text, size_t n, struct weir_error *);
/* Runs the operations from..to, whose jumps stay inside. */
int expr_run_ops(struct expr_run *, uint32_t from, uint32_t to, struct weir_value *ret);
WEIR_PRINTF(3, 4) int expr_fail(struct expr_run *, int code, const char *fmt, ...);

/* --- paths --- */
struct expr_place {
  uint32_t field, kind; /* kind: EXPR_V_ANY where keys may follow */
  uint32_t keys;        /* 0 none, 1 an attribute's keys or none, 2 trace_state's one key or none */
  uint32_t makes_text;
};
/* name: with its context ("span.status.code") or without. 0, or WEIR_E_INVALID with what is wrong; nearest: a name that is near, or NULL. */
int expr_path_find(uint32_t context, const char *name, struct expr_place *ret, const char **nearest, const char **why);
int expr_path_read(struct expr_run *, const struct expr_path *, struct weir_value *ret);

/* --- values --- */
const char *expr_kind_name(uint32_t kind);
int expr_value_compare(struct expr_run *, const struct weir_value *a, const struct weir_value *b, int op);
int expr_value_math(struct expr_run *, const struct weir_value *a, const struct weir_value *b, int op, struct weir_value *ret);
int expr_value_negate(struct expr_run *, const struct weir_value *a, struct weir_value *ret);
/* The text of a value, as OTTL's functions that take "string-like" see it. 1, 0 for nil, negative. */
int expr_value_text(struct expr_run *, const struct weir_value *, const char **ret, size_t *ret_n);
/* Room for n bytes of text; NULL: over EXPR_SCRATCH_MAX, and the error is set. */
char *expr_scratch(struct expr_run *, size_t n);
struct weir_value expr_hex(struct expr_run *, const char *p, size_t n); /* kind WEIR_V_EMPTY: no room */

/* --- functions --- */
#define EXPR_ARGS_MAX 2u
#define EXPR_LIST 31u /* of an argument: [a, b] */

struct expr_function {
  const char *name;
  uint8_t argc, kind, contexts, makes_text; /* kind of the result */
  uint32_t args[EXPR_ARGS_MAX];             /* kinds that are taken; EXPR_MASK(EXPR_LIST): a list of them, the first argument only */
};
/* Its number, or -1 and a name that is near. */
int expr_function_find(const char *name, const struct expr_function **ret, const char **nearest);
int expr_function_is_match(int fn);
int expr_function_call(struct expr_run *, const struct expr_op *, const struct weir_value *args, struct weir_value *ret);

#endif
