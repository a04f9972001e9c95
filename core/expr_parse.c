/*
 * The parser of conditions: contrib pkg/ottl/grammar.go as recursive descent, which writes the program while it reads. What is constant is computed at once, so
 * that its errors are told when the configuration is read.
 */
#include <stdlib.h>

#include "core/assert.h"
#include "core/expr_parser.h"
#include "core/nearest.h"
#include "core/regex.h"
#include "core/utf8.h"

/* What was parsed: operations from `first` on. */
struct part {
  uint32_t first, kind; /* kind: of its value, EXPR_V_ANY = not known before */
  size_t at;
  int comparison; /* or made of and, or, not: no value */
  int condition;  /* may stand alone */
};

/* --- errors ------------------------------------------------------------------------------------------------------- */

/* The token as an error shows it. */
static int unexpected(struct expr_parser *p, const char *wanted) {
  size_t n = p->next - p->at;
  if (p->token == EXPR_T_END) return EXPR_INVALID(p, p->at, "expected %s, but the condition ends", wanted);
  return EXPR_INVALID(p, p->at, "expected %s, got `%.*s`", wanted, (int)(n > 40 ? 40 : n), p->text + p->at);
}

static void did_you_mean(struct expr_parser *p, const char *nearest, const char *rest) {
  if (nearest) weir_hint(p->err, "did you mean \"%s\"?", nearest);
  else weir_hint(p->err, "%s", rest);
}

/* --- tokens ----------------------------------------------------------------------------------------------------------- */

static int is_sign(const struct expr_parser *p, int c) { return p->token == EXPR_T_SIGN && p->sign == c; }
static int is_keyword(const struct expr_parser *p, const char *word) { return p->token == EXPR_T_WORD && !strcmp(p->word, word); }

static int expect(struct expr_parser *p, int sign, const char *wanted) { return is_sign(p, sign) ? expr_advance(p) : unexpected(p, wanted); }

/* --- the program ---------------------------------------------------------------------------------------------------- */

/* There is room: what is written is never more than the text has bytes. takes: values it pops; each leaves one. */
static int emit(struct expr_parser *p, struct expr_op op, uint32_t takes) {
  p->stack = p->stack - takes + 1;
  if (p->stack > EXPR_STACK_MAX) return expr_refuse(p, WEIR_E_LIMIT, op.at, "more than %u values at a time (EXPR_STACK_MAX)", EXPR_STACK_MAX);
  p->e->ops[p->e->n_ops++] = op;
  return 0;
}

static int emit_const(struct expr_parser *p, struct weir_value v, size_t at) {
  p->e->consts[p->e->n_consts] = v;
  return emit(p, (struct expr_op){ .code = EXPR_CONST, .arg = p->e->n_consts++, .at = (uint32_t)at }, 0);
}

static struct part part_of(uint32_t first, uint32_t kind, size_t at) { return (struct part){ .first = first, .kind = kind, .at = at }; }

static int literal(struct expr_parser *p, struct part *ret) {
  *ret = part_of(p->e->n_ops, p->literal.kind, p->at);
  int r = emit_const(p, p->literal, p->at);
  return r ? r : expr_advance(p);
}

/* Computes what consists of constants only. */
static int fold(struct expr_parser *p, struct part *part) {
  struct weir_expr *e = p->e;
  struct weir_error why = { 0 };
  struct weir_value v;
  char scratch[1024];
  struct expr_run run = { .e = e, .err = &why, .scratch = scratch, .cap = sizeof scratch };
  for (uint32_t i = part->first; i < e->n_ops; i++)
    if (e->ops[i].code == EXPR_PATH || (e->ops[i].code == EXPR_CALL && !e->ops[i].argc)) return 0;
  int r = expr_run_ops(&run, part->first, e->n_ops, &v);
  if (r == WEIR_E_LIMIT) return 0; /* a long text: in its time */
  if (r) return EXPR_INVALID(p, why.offset, "%s", why.msg);
  if (v.kind == WEIR_V_STRING || v.kind == WEIR_V_BYTES || v.kind == EXPR_V_TRACE_ID || v.kind == EXPR_V_SPAN_ID) {
    char *copy = arena_alloc(&e->arena, v.n + 1u);
    if (v.n) memcpy(copy, v.u.s, v.n);
    v.u.s = copy;
  }
  e->n_ops = part->first;
  p->stack--;
  part->kind = v.kind;
  return emit_const(p, v, part->at);
}

/* --- values ------------------------------------------------------------------------------------------------------------ */

static int parse_or(struct expr_parser *, struct part *ret);
static int parse_value(struct expr_parser *, struct part *ret, const char *wanted);

static int enter(struct expr_parser *p) {
  return p->depth++ < EXPR_DEPTH_MAX ? 0 : expr_refuse(p, WEIR_E_LIMIT, p->at, "over %u parentheses and calls within each other (EXPR_DEPTH_MAX)", EXPR_DEPTH_MAX);
}

static int path_key(struct expr_parser *p, struct expr_path *path) {
  if (path->n_keys == EXPR_KEYS_MAX) return expr_refuse(p, WEIR_E_LIMIT, p->at, "over %u keys behind a path (EXPR_KEYS_MAX)", EXPR_KEYS_MAX);
  struct expr_key *key = &path->keys[path->n_keys++];
  int r = expr_advance(p);
  if (r) return r;
  if (p->token != EXPR_T_STRING && p->token != EXPR_T_INT) return unexpected(p, "a string or an int as key (keys that are computed are not offered)");
  key->is_index = p->token == EXPR_T_INT;
  if (key->is_index) key->index = p->literal.u.i;
  else key->name = (struct weir_str){ p->literal.u.s, p->literal.n, 0 };
  if ((r = expr_advance(p))) return r;
  return expect(p, ']', "`]`");
}

/* The name of a path up to its keys: "span.status.code". */
static int path_name(struct expr_parser *p, char name[EXPR_WORD_MAX + 1]) {
  size_t n = 0;
  for (;;) {
    size_t len = strlen(p->word);
    if (n + len + 1 > EXPR_WORD_MAX) return EXPR_INVALID(p, p->at, "a path of over %u characters", EXPR_WORD_MAX);
    memcpy(name + n, p->word, len);
    n += len;
    name[n] = 0;
    int r = expr_advance(p);
    if (r || !is_sign(p, '.')) return r;
    name[n++] = '.';
    if ((r = expr_advance(p))) return r;
    if (p->token != EXPR_T_WORD) return unexpected(p, "a name behind the point");
  }
}

static int path(struct expr_parser *p, struct part *ret) {
  char name[EXPR_WORD_MAX + 1];
  const char *nearest, *why;
  struct expr_place place;
  size_t at = p->at;
  int r = path_name(p, name);
  if (r) return r;
  if (is_sign(p, '(')) {
    EXPR_INVALID(p, at, "there is no function %s: those of conditions begin with a capital letter", name);
    const struct expr_function *f;
    expr_function_find(name, &f, &nearest);
    did_you_mean(p, nearest, "docs/expressions.md lists the functions");
    return WEIR_E_INVALID;
  }
  if (expr_path_find(p->context, name, &place, &nearest, &why)) {
    EXPR_INVALID(p, at, "there is no path %s%s%s", name, why ? ": " : "", why ? why : "");
    did_you_mean(p, nearest, "docs/expressions.md lists the paths");
    return WEIR_E_INVALID;
  }
  struct expr_path *to = &p->e->paths[p->e->n_paths];
  memset(to, 0, sizeof *to);
  to->field = place.field;
  size_t key = p->at;
  while (!r && is_sign(p, '[')) r = path_key(p, to);
  if (r) return r;
  if (to->n_keys && !place.keys) return EXPR_INVALID(p, key, "%s has no keys", name);
  if (to->n_keys && to->keys[0].is_index) return EXPR_INVALID(p, key, "the first key of %s is a string", name);
  if (place.keys == 2 && to->n_keys > 1) return EXPR_INVALID(p, key, "%s has one key", name);
  if (is_sign(p, '.')) return EXPR_INVALID(p, p->at, "nothing may follow a key but further keys");
  p->e->makes_text |= place.makes_text;
  *ret = part_of(p->e->n_ops, to->n_keys ? EXPR_V_ANY : place.kind, at);
  return emit(p, (struct expr_op){ .code = EXPR_PATH, .arg = p->e->n_paths++, .at = (uint32_t)at }, 0);
}

static int enum_value(struct expr_parser *p, struct part *ret) {
  static const struct {
    const char *name;
    int value;
  } all[] = { { "SPAN_KIND_UNSPECIFIED", 0 }, { "SPAN_KIND_INTERNAL", 1 }, { "SPAN_KIND_SERVER", 2 }, { "SPAN_KIND_CLIENT", 3 }, { "SPAN_KIND_PRODUCER", 4 },
    { "SPAN_KIND_CONSUMER", 5 }, { "STATUS_CODE_UNSET", 0 }, { "STATUS_CODE_OK", 1 }, { "STATUS_CODE_ERROR", 2 } };
  struct nearest best;
  nearest_init(&best, p->word);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    nearest_offer(&best, all[i].name);
    if (strcmp(all[i].name, p->word) != 0) continue;
    p->literal = weir_value_int(all[i].value);
    return literal(p, ret);
  }
  EXPR_INVALID(p, p->at, "there is no name %s", p->word);
  did_you_mean(p, best.best, "names in capitals are SPAN_KIND_* and STATUS_CODE_*");
  return WEIR_E_INVALID;
}

/* --- calls ---------------------------------------------------------------------------------------------------------------- */

static int check_kind(struct expr_parser *p, const struct expr_function *f, uint32_t i, const struct part *arg) {
  if (arg->kind == EXPR_V_ANY || f->args[i] & EXPR_MASK(arg->kind)) return 0;
  return EXPR_INVALID(p, arg->at, "%s does not take %s%s", f->name, expr_kind_name(arg->kind),
    arg->kind == EXPR_V_TRACE_ID || arg->kind == EXPR_V_SPAN_ID ? ": the path with .string is its text" : "");
}

/* [a, b, ...]: each element stays on the stack. */
static int list(struct expr_parser *p, const struct expr_function *f, uint32_t *n) {
  struct part element;
  if (!is_sign(p, '[')) return EXPR_INVALID(p, p->at, "the first argument of %s is a list: %s([a, b], \", \")", f->name, f->name);
  int r = expr_advance(p);
  while (!r && !is_sign(p, ']')) {
    if (*n == EXPR_LIST_MAX) return expr_refuse(p, WEIR_E_LIMIT, p->at, "a list of over %u elements (EXPR_LIST_MAX)", EXPR_LIST_MAX);
    r = parse_value(p, &element, "a value");
    if (!r && element.kind != EXPR_V_ANY && element.kind >= WEIR_V_ARRAY && element.kind != WEIR_V_BYTES) r = EXPR_INVALID(p, element.at, "%s has no text in %s", expr_kind_name(element.kind), f->name);
    ++*n;
    if (!r && !is_sign(p, ']')) r = expect(p, ',', "`,` or `]`");
    else continue;
    if (!r && is_sign(p, ']')) r = unexpected(p, "a value");
  }
  return r ? r : expr_advance(p);
}

static int argument(struct expr_parser *p, const struct expr_function *f, uint32_t i, uint32_t *argc) {
  struct part arg;
  if (f->args[i] == EXPR_MASK(EXPR_LIST)) return list(p, f, argc);
  int r = parse_value(p, &arg, "an argument");
  if (r) return r;
  ++*argc;
  return check_kind(p, f, i, &arg);
}

static int arguments(struct expr_parser *p, const struct expr_function *f, uint32_t *argc) {
  int r = expr_advance(p); /* the parenthesis */
  for (uint32_t i = 0; !r && i < f->argc; i++) {
    if (is_sign(p, ')') || (i && !is_sign(p, ','))) break;
    if (i) r = expr_advance(p);
    if (!r) r = argument(p, f, i, argc);
    if (!r && i + 1 == f->argc) return is_sign(p, ',') ? EXPR_INVALID(p, p->at, "%s takes %u argument%s", f->name, f->argc, f->argc == 1 ? "" : "s") : expect(p, ')', "`)`");
  }
  if (r) return r;
  if (f->argc == 0 && is_sign(p, ')')) return expr_advance(p);
  if (is_sign(p, ')') || f->argc == 0) return EXPR_INVALID(p, p->at, "%s takes %u argument%s", f->name, f->argc, f->argc == 1 ? "" : "s");
  return unexpected(p, "`,`");
}

/* A pattern that is a literal is compiled now. */
static int pattern(struct expr_parser *p, struct expr_op *op, uint32_t first) {
  struct weir_expr *e = p->e;
  const struct expr_op *last = &e->ops[e->n_ops - 1];
  struct weir_error why = { 0 };
  if (last->code != EXPR_CONST || e->n_ops - 1 <= first || e->consts[last->arg].kind != WEIR_V_STRING) return 0;
  const struct weir_value *v = &e->consts[last->arg];
  int r = regex_compile(v->u.s, v->n, &e->regexes[e->n_regexes], &why);
  if (r) return expr_refuse(p, r, last->at, "IsMatch: %s (at byte %llu of the pattern)", why.msg, (unsigned long long)why.offset);
  op->arg = e->n_regexes++;
  return 0;
}

static int call(struct expr_parser *p, struct part *ret) {
  const struct expr_function *f;
  const char *nearest;
  uint32_t argc = 0;
  size_t at = p->at;
  int fn = expr_function_find(p->word, &f, &nearest), r;
  if (fn < 0) {
    EXPR_INVALID(p, at, "there is no function %s", p->word);
    did_you_mean(p, nearest, "docs/expressions.md lists the functions");
    return WEIR_E_INVALID;
  }
  if (!(f->contexts & p->context)) return EXPR_INVALID(p, at, "%s is for conditions on spans", f->name);
  *ret = part_of(p->e->n_ops, f->kind, at);
  if ((r = enter(p)) || (r = expr_advance(p)) || (r = arguments(p, f, &argc))) return r;
  p->depth--;
  struct expr_op op = { .code = EXPR_CALL, .sub = (uint8_t)fn, .argc = (uint8_t)argc, .arg = EXPR_NO_REGEX, .at = (uint32_t)at };
  if (expr_function_is_match(fn) && (r = pattern(p, &op, ret->first))) return r;
  if ((r = emit(p, op, argc))) return r;
  if (is_sign(p, '[')) return EXPR_INVALID(p, p->at, "keys behind a function are not offered");
  p->e->makes_text |= f->makes_text;
  ret->condition = f->kind == WEIR_V_BOOL;
  return fold(p, ret);
}

/* --- the grammar, from the inside out ------------------------------------------------------------------------------------------- */

static int word(struct expr_parser *p, struct part *ret) {
  int c = p->word[0], truth = is_keyword(p, "true");
  if (truth || is_keyword(p, "false")) {
    p->literal = weir_value_int(truth);
    p->literal.kind = WEIR_V_BOOL;
    int r = literal(p, ret);
    ret->condition = 1;
    return r;
  }
  if (is_keyword(p, "nil")) {
    p->literal = (struct weir_value){ .kind = WEIR_V_EMPTY };
    return literal(p, ret);
  }
  if (is_keyword(p, "and") || is_keyword(p, "or") || is_keyword(p, "not")) return unexpected(p, "a value");
  if (c >= 'a' && c <= 'z') return path(p, ret);
  if (c < 'A' || c > 'Z') return unexpected(p, "a value");
  size_t at = p->next;
  while (at < p->n && strchr(" \t\n\f\r", p->text[at])) at++;
  return at < p->n && p->text[at] == '(' ? call(p, ret) : enum_value(p, ret);
}

static int primary(struct expr_parser *p, struct part *ret, const char *wanted) {
  int r;
  switch (p->token) {
  case EXPR_T_INT:
  case EXPR_T_FLOAT:
  case EXPR_T_BYTES:
  case EXPR_T_STRING: return literal(p, ret);
  case EXPR_T_WORD: return word(p, ret);
  default: break;
  }
  if (is_sign(p, '[')) return EXPR_INVALID(p, p->at, "lists stand in Concat only");
  if (is_sign(p, '{')) return EXPR_INVALID(p, p->at, "maps are not offered");
  if (!is_sign(p, '(')) return unexpected(p, wanted);
  size_t at = p->at;
  if ((r = enter(p)) || (r = expr_advance(p)) || (r = parse_or(p, ret))) return r;
  p->depth--;
  ret->at = at;
  return expect(p, ')', "`)`");
}

#define COMPUTES (EXPR_MASK(WEIR_V_INT) | EXPR_MASK(WEIR_V_DOUBLE) | EXPR_MASK(EXPR_V_TIME) | EXPR_MASK(EXPR_V_DURATION) | EXPR_MASK(EXPR_V_ANY))

static int operand(struct expr_parser *p, const struct part *part) {
  if (part->comparison) return EXPR_INVALID(p, part->at, "a comparison is no value to compute with");
  return EXPR_MASK(part->kind) & COMPUTES ? 0 : EXPR_INVALID(p, part->at, "%s is no value to compute with", expr_kind_name(part->kind));
}

static int unary(struct expr_parser *p, struct part *ret, const char *wanted) {
  int sign = is_sign(p, '-') ? '-' : is_sign(p, '+') ? '+' : 0, r = sign ? expr_advance(p) : 0;
  size_t at = p->at;
  if (r) return r;
  if (!sign) return primary(p, ret, wanted);
  if ((r = primary(p, ret, "a value behind the sign")) || (r = operand(p, ret)) || sign == '+') return r;
  if ((r = emit(p, (struct expr_op){ .code = EXPR_NEGATE, .at = (uint32_t)at }, 1))) return r;
  ret->condition = 0;
  return fold(p, ret);
}

static uint32_t kind_of_math(uint32_t a, uint32_t b) {
  if (a == WEIR_V_INT && b == WEIR_V_INT) return WEIR_V_INT;
  if ((a == WEIR_V_INT || a == WEIR_V_DOUBLE) && (b == WEIR_V_INT || b == WEIR_V_DOUBLE)) return WEIR_V_DOUBLE;
  return a == EXPR_V_TIME && b == EXPR_V_TIME ? EXPR_V_DURATION : a == b && a == EXPR_V_DURATION ? EXPR_V_DURATION : EXPR_V_ANY;
}

/* Left-associative: product of unaries, or sum of products. */
static int math(struct expr_parser *p, struct part *ret, const char *wanted, int sum) {
  int r = sum ? math(p, ret, wanted, 0) : unary(p, ret, wanted);
  while (!r && (is_sign(p, sum ? '+' : '*') || is_sign(p, sum ? '-' : '/'))) {
    struct part right;
    struct expr_op op = { .code = EXPR_MATH, .sub = (uint8_t)p->sign, .at = (uint32_t)p->at };
    if ((r = operand(p, ret)) || (r = expr_advance(p))) return r;
    if ((r = sum ? math(p, &right, "a value", 0) : unary(p, &right, "a value")) || (r = operand(p, &right))) return r;
    if ((r = emit(p, op, 2))) return r;
    ret->kind = kind_of_math(ret->kind, right.kind);
    ret->condition = 0;
    r = fold(p, ret);
  }
  return r;
}

static int parse_value(struct expr_parser *p, struct part *ret, const char *wanted) {
  int r = math(p, ret, wanted, 1);
  if (!r && ret->comparison) r = EXPR_INVALID(p, ret->at, "a comparison is no value");
  return r;
}

static int comparison(struct expr_parser *p, struct part *ret) {
  struct part right;
  int r = math(p, ret, "a condition", 1);
  if (r || p->token != EXPR_T_COMPARE) return r;
  struct expr_op op = { .code = EXPR_COMPARE, .sub = (uint8_t)p->sign, .at = (uint32_t)p->at };
  if (ret->comparison) return EXPR_INVALID(p, op.at, "a comparison can not be compared: write (a == b) and (b == c)");
  if ((r = expr_advance(p)) || (r = parse_value(p, &right, "a value"))) return r;
  if (p->token == EXPR_T_COMPARE) return EXPR_INVALID(p, p->at, "a comparison can not be compared: write (a == b) and (b == c)");
  ret->kind = WEIR_V_BOOL;
  ret->comparison = ret->condition = 1;
  return (r = emit(p, op, 2)) ? r : fold(p, ret);
}

/* and, or, not and the whole take conditions; a path alone is none, as its type is not known. */
static int need_condition(struct expr_parser *p, const struct part *part) {
  if (part->condition) return 0;
  EXPR_INVALID(p, part->at, "%s is no condition: compare it with something", part->kind == EXPR_V_ANY ? "a value alone" : expr_kind_name(part->kind));
  weir_hint(p->err, "for a bool write `... == true`, to see that there is one `... != nil`");
  return WEIR_E_INVALID;
}

static int negation(struct expr_parser *p, struct part *ret) {
  size_t at = p->at;
  int r;
  if (!is_keyword(p, "not")) return comparison(p, ret);
  if ((r = expr_advance(p)) || (r = comparison(p, ret)) || (r = need_condition(p, ret))) return r;
  ret->comparison = 1;
  return (r = emit(p, (struct expr_op){ .code = EXPR_NOT, .at = (uint32_t)at }, 1)) ? r : fold(p, ret);
}

/* `x and false`, `x or true`: x is not looked at, as in OTTL. */
static int decided(struct expr_parser *p, const struct part *ret, const struct part *right, int is_or) {
  struct weir_expr *e = p->e;
  const struct expr_op *only = &e->ops[right->first];
  if (e->n_ops != right->first + 1 || only->code != EXPR_CONST) return 0;
  struct weir_value v = e->consts[only->arg];
  if ((v.u.i != 0) != is_or) return 0;
  e->n_ops = ret->first;
  p->stack--;
  return emit_const(p, v, ret->at);
}

static int chain(struct expr_parser *p, struct part *ret, int is_or) {
  struct part right;
  int r = is_or ? chain(p, ret, 0) : negation(p, ret);
  while (!r && is_keyword(p, is_or ? "or" : "and")) {
    uint32_t jump = p->e->n_ops;
    if ((r = need_condition(p, ret)) || (r = emit(p, (struct expr_op){ .code = is_or ? EXPR_OR : EXPR_AND, .at = (uint32_t)p->at }, 1))) return r;
    p->stack--; /* where it does not jump, the left side is gone */
    if ((r = expr_advance(p)) || (r = is_or ? chain(p, &right, 0) : negation(p, &right)) || (r = need_condition(p, &right))) return r;
    p->e->ops[jump].arg = p->e->n_ops;
    ret->comparison = 1;
    r = decided(p, ret, &right, is_or);
  }
  return r;
}

static int parse_or(struct expr_parser *p, struct part *ret) { return chain(p, ret, 1); }

/* --- the whole --------------------------------------------------------------------------------------------------------------------- */

static int whole(struct expr_parser *p) {
  struct part part;
  int r;
  for (size_t at = 0, len; at < p->n; at += len)
    if (!(len = utf8_len(p->text + at, p->n - at))) return EXPR_INVALID(p, at, "no valid UTF-8");
  if ((r = expr_advance(p))) return r;
  if (p->token == EXPR_T_END) return EXPR_INVALID(p, p->at, "the condition is empty");
  if ((r = parse_or(p, &part)) || (r = need_condition(p, &part))) return r;
  if (p->token == EXPR_T_END) return 0;
  return is_keyword(p, "where") ? EXPR_INVALID(p, p->at, "a condition has no `where`") : unexpected(p, "`and`, `or` or the end");
}

static void *keep(struct weir_expr *e, const void *from, size_t size) {
  if (!size) return NULL;
  void *to = arena_alloc(&e->arena, size);
  memcpy(to, from, size);
  return to;
}

int expr_parse(struct weir_expr *e, uint32_t context, const char *text, size_t n, struct weir_error *err) {
  struct expr_parser p = { .e = e, .context = context, .text = text, .n = n, .err = err };
  size_t cap = n + 2; /* each operation and constant is at least a byte of the text, a path is two, IsMatch() eight */
  void *ops = e->ops = malloc(cap * sizeof *e->ops), *consts = e->consts = malloc(cap * sizeof *e->consts);
  void *paths = e->paths = malloc((cap / 2 + 1) * sizeof *e->paths), *regexes = e->regexes = malloc((cap / 8 + 1) * sizeof *e->regexes);
  WEIR_ASSERT(ops && consts && paths && regexes);
  int r = whole(&p);
  e->ops = keep(e, ops, e->n_ops * sizeof *e->ops);
  e->consts = keep(e, consts, e->n_consts * sizeof *e->consts);
  e->paths = keep(e, paths, e->n_paths * sizeof *e->paths);
  e->regexes = keep(e, regexes, e->n_regexes * sizeof *e->regexes);
  free(ops);
  free(consts);
  free(paths);
  free(regexes);
  return r;
}
