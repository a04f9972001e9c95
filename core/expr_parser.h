/*
 * core/expr_parser.h - shared by core/expr_parse.c and core/expr_token.c: the state of the parser of conditions, its tokens and errors.
 */
#ifndef CORE_EXPR_PARSER_H
#define CORE_EXPR_PARSER_H

#include "core/expr_internal.h"

#define EXPR_WORD_MAX 128u   /* characters of a path or a name */

enum expr_token { EXPR_T_END, EXPR_T_INT, EXPR_T_FLOAT, EXPR_T_BYTES, EXPR_T_STRING, EXPR_T_WORD, EXPR_T_COMPARE, EXPR_T_SIGN };

struct expr_parser {
  struct weir_expr *e;
  uint32_t context;
  const char *text;
  size_t n, next; /* next: behind the token */
  struct weir_error *err;
  uint32_t depth, stack; /* stack: values that the program written so far leaves */
  /* the token */
  enum expr_token token;
  size_t at;
  int sign; /* EXPR_T_SIGN: its character; EXPR_T_COMPARE: enum expr_compare */
  char word[EXPR_WORD_MAX + 1];
  struct weir_value literal;
};

/* Fills the error; returns code. */
WEIR_PRINTF(4, 5) int expr_refuse(struct expr_parser *, int code, size_t at, const char *fmt, ...);
#define EXPR_INVALID(p, at, ...) expr_refuse(p, WEIR_E_INVALID, at, __VA_ARGS__)

/* Reads the next token. */
int expr_advance(struct expr_parser *);

#endif
