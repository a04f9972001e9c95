#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/nearest.h"
#include "core/parse.h"
#include "plugins/schema_internal.h"

struct type_info {
  const char *name, *expected;
  size_t size;
};

static const struct type_info types[] = {
  [WEIR_T_BOOL] = { "true or false", "true or false", sizeof(int32_t) },
  [WEIR_T_INT] = { "whole number", "a whole number", sizeof(int64_t) },
  [WEIR_T_UINT] = { "whole number", "a whole number", sizeof(uint64_t) },
  [WEIR_T_DOUBLE] = { "number", "a number", sizeof(double) },
  [WEIR_T_DURATION] = { "duration", "a duration such as 200ms", sizeof(int64_t) },
  [WEIR_T_BYTES] = { "size", "a size such as 4MiB", sizeof(uint64_t) },
  [WEIR_T_STRING] = { "text", "text", sizeof(const char *) },
  [WEIR_T_ENUM] = { "choice", "one of the choices", sizeof(int32_t) },
  [WEIR_T_STRINGS] = { "list of texts", "a list of texts", sizeof(struct weir_strings) },
  [WEIR_T_MAP] = { "mapping", "a mapping of names to texts", sizeof(struct weir_map) },
  [WEIR_T_GROUP] = { "group", "a mapping", 0 },
  [WEIR_T_OPT_GROUP] = { "optional group", "a mapping", sizeof(const void *) },
  [WEIR_T_GROUPS] = { "list of groups", "a list of mappings", sizeof(struct weir_groups) },
};

/* Room for one value of any scalar type. */
union scalar {
  int32_t b;
  int64_t i;
  uint64_t u;
  double d;
};

static const struct type_info *info(uint32_t type) { return type < sizeof types / sizeof *types ? &types[type] : &types[0]; }

const char *schema_type_name(uint32_t type) { return type == SCHEMA_T_NODE ? "any value" : info(type)->name; }
size_t schema_type_size(uint32_t type) { return type == SCHEMA_T_NODE ? sizeof(const void *) : info(type)->size; }

const char *schema_describe(const struct yaml_node *node, int secret, char *buf, size_t cap) {
  if (node->kind == YAML_SEQ) return "a list";
  if (node->kind == YAML_MAP) return "a mapping";
  if (node->kind != YAML_SCALAR) return "nothing";
  if (secret) return "a text (secret, not shown)";
  size_t n = strlen(node->text);
  if (n == 0) return "an empty text";
  const char *quote = node->quoted && !node->expanded ? "\"" : "";
  snprintf(buf, cap, "`%s%.*s%s%s`", quote, n > 60 ? 60 : (int)n, node->text, n > 60 ? "..." : "", quote);
  return buf;
}

static int parse_choice(const struct weir_field *f, const char *text, int32_t *ret) {
  int32_t at = 0;
  size_t n = strlen(text);
  for (const char *p = f->choices; p; at++) {
    size_t len = strcspn(p, "|");
    if (len == n && strncasecmp(p, text, n) == 0) {
      *ret = at;
      return 0;
    }
    p = p[len] ? p + len + 1 : NULL;
  }
  return WEIR_E_INVALID;
}

int schema_parse_scalar(const struct weir_field *f, const char *text, void *out) {
  int rc, b;
  switch (f->type) {
  case WEIR_T_BOOL:
    rc = parse_bool(text, &b);
    if (!rc) *(int32_t *)out = b;
    return rc;
  case WEIR_T_INT:
    return parse_i64(text, out);
  case WEIR_T_UINT:
    return parse_u64(text, out);
  case WEIR_T_DOUBLE:
    return parse_double(text, out);
  case WEIR_T_DURATION:
    return parse_duration_ns(text, out);
  case WEIR_T_BYTES:
    return parse_bytes(text, out);
  case WEIR_T_ENUM:
    return parse_choice(f, text, out);
  default:
    return WEIR_E_INVALID;
  }
}

/* --- messages -------------------------------------------------------------------------------- */

void schema_note_doc(const struct slot *s) {
  const char *doc = s->f->doc;
  if (!doc || !*doc) return;
  const char *end = strstr(doc, ". "), *type = schema_type_name(s->f->type), *dflt = s->f->flags & WEIR_SECRET ? NULL : s->f->dflt;
  int n = end ? (int)(end - doc) + 1 : (int)strlen(doc);
  diag_note(s->level->ds, "%s (%s%s%s): %.*s", s->f->name, type, dflt ? ", default " : "", dflt ? *dflt ? dflt : "\"\"" : "", n, doc);
}

void schema_wrong(const struct slot *s, const struct yaml_node *node, const char *expected, const char *fix) {
  char buf[128];
  int secret = (s->f->flags & WEIR_SECRET) != 0;
  diag_error(s->level->ds, node->pos, "`%s` of %s: expected %s, got %s", s->path, s->level->what, expected,
    schema_describe(node, secret, buf, sizeof buf));
  if (node->expanded && node->kind == YAML_SCALAR && !secret)
    diag_caret(s->level->ds, "gives `%.60s`", node->text);
  else if (fix)
    diag_caret(s->level->ds, "%s", fix);
  schema_note_doc(s);
}

static const char *nearest_choice(const struct slot *s, const char *text) {
  struct nearest near;
  char *copy = arena_strdup(s->level->arena, s->f->choices), *save = NULL;
  nearest_init(&near, text);
  for (char *c = strtok_r(copy, "|", &save); c; c = strtok_r(NULL, "|", &save)) nearest_offer(&near, c);
  return near.best ? arena_printf(s->level->arena, "did you mean `%s`?", near.best) : NULL;
}

/* yes, no, on, off and the like, which YAML 1.1 took for booleans. */
static const char *fix_bool(const struct slot *s, const char *text) {
  static const char *const yes[] = { "true", "yes", "on", "y", "1", "enabled", "enable" }, *const no[] = { "false", "no", "off", "n", "0",
    "disabled", "disable" };
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
    if (strcasecmp(text, yes[i]) == 0) return "write `true`";
    if (strcasecmp(text, no[i]) == 0) return "write `false`";
  }
  (void)s;
  return NULL;
}

/* The text without its spaces, if that makes it right: "5 s", "4 MiB". */
static const char *fix_spaces(const struct slot *s, const char *text) {
  char *tight = arena_strdup(s->level->arena, text);
  union scalar value;
  size_t n = 0;
  for (const char *p = text; *p; p++)
    if (*p != ' ') tight[n++] = *p;
  tight[n] = 0;
  if (n == strlen(text) || n > 40 || schema_parse_scalar(s->f, tight, &value)) return NULL;
  return arena_printf(s->level->arena, "write `%s`", tight);
}

const char *schema_fix(const struct slot *s, const struct yaml_node *node) {
  union scalar any;
  int64_t whole;
  const char *text = node->text, *fix;
  if (node->kind != YAML_SCALAR)
    return node->kind == YAML_SEQ && node->n == 1 ? "write the one value alone, without `-` or brackets" : NULL;
  if (s->f->type == WEIR_T_ENUM) return nearest_choice(s, text);
  if (s->f->type == WEIR_T_BOOL) return fix_bool(s, text);
  if (node->quoted && schema_parse_scalar(s->f, text, &any) == 0) return "remove the quotes";
  if ((fix = fix_spaces(s, text))) return fix;
  if (s->f->type == WEIR_T_DURATION)
    return parse_i64(text, &whole) == 0 ? arena_printf(s->level->arena, "give a unit: `%ss`", text)
                                        : "units: ns, us, ms, s, m, h, as in 1m30s";
  if (s->f->type == WEIR_T_BYTES) return "units: KiB, MiB, GiB (powers of 1024), KB, MB, GB (of 1000)";
  return NULL;
}

/* --- ranges ---------------------------------------------------------------------------------- */

static int compare(uint32_t type, const union scalar *a, const union scalar *b) {
  if (type == WEIR_T_DOUBLE) return a->d < b->d ? -1 : a->d > b->d ? 1 : a->d == b->d ? 0 : 2; /* 2: not a number, which no range holds */
  if (type == WEIR_T_UINT || type == WEIR_T_BYTES) return (a->u > b->u) - (a->u < b->u);
  return (a->i > b->i) - (a->i < b->i);
}

static int out_of_range(const struct weir_field *f, const union scalar *value) {
  union scalar bound;
  if (f->type < WEIR_T_INT || f->type > WEIR_T_BYTES) return 0;
  if (f->min && schema_parse_scalar(f, f->min, &bound) == 0) {
    int c = compare(f->type, value, &bound);
    if (c < 0 || c == 2) return 1;
  }
  if (f->max && schema_parse_scalar(f, f->max, &bound) == 0) return compare(f->type, value, &bound) > 0;
  return 0;
}

int schema_out_of_range(const struct weir_field *f, const char *text) {
  union scalar value;
  return schema_parse_scalar(f, text, &value) == 0 && out_of_range(f, &value);
}

static void wrong_range(const struct slot *s) {
  const struct weir_field *f = s->f;
  char buf[128];
  const char *unit = f->unit ? f->unit : "", *min = f->min, *max = f->max;
  if (!min && (f->type == WEIR_T_UINT || f->type == WEIR_T_BYTES)) min = "0";
  const char *limits = min && max ? arena_printf(s->level->arena, "between %s and %s", min, max)
                       : min      ? arena_printf(s->level->arena, "at least %s", min)
                       : max      ? arena_printf(s->level->arena, "at most %s", max)
                                  : "smaller";
  const char *got = schema_describe(s->node, (f->flags & WEIR_SECRET) != 0, buf, sizeof buf);
  diag_error(s->level->ds, s->node->pos, "`%s` of %s must be %s%s%s%s, got %s", s->path, s->level->what, limits, *unit ? " (" : "", unit,
    *unit ? ")" : "", got);
  if (s->node->expanded && !(f->flags & WEIR_SECRET)) diag_caret(s->level->ds, "gives `%.60s`", s->node->text);
  schema_note_doc(s);
}

static const char *expected(const struct slot *s) {
  if (s->f->type != WEIR_T_ENUM) return info(s->f->type)->expected;
  char *list = arena_alloc(s->level->arena, strlen(s->f->choices) * 2 + 8), *p = list;
  p += snprintf(list, 8, "one of ");
  for (const char *c = s->f->choices; *c; c++) {
    if (*c == '|')
      *p++ = ',', *p++ = ' ';
    else
      *p++ = *c;
  }
  *p = 0;
  return list;
}

static int negative(const struct weir_field *f, const char *text) {
  int64_t i;
  return (f->type == WEIR_T_UINT || f->type == WEIR_T_BYTES) && text[0] == '-' && parse_i64(text, &i) == 0;
}

void schema_bind_scalar(const struct slot *s) {
  union scalar value = { .u = 0 };
  const struct yaml_node *node = s->node;
  uint32_t type = s->f->type;
  if (node->kind != YAML_SCALAR) {
    schema_wrong(s, node, expected(s), schema_fix(s, node));
    return;
  }
  /* A quoted "5" or "true" is text in YAML; what ${...} gives has no quotes of its own. */
  int is_text =
    node->quoted && !node->expanded && (type == WEIR_T_BOOL || type == WEIR_T_INT || type == WEIR_T_UINT || type == WEIR_T_DOUBLE);
  int rc = schema_parse_scalar(s->f, node->text, &value);
  if (rc == WEIR_E_LIMIT || (rc && negative(s->f, node->text)) || (!rc && !is_text && out_of_range(s->f, &value)))
    wrong_range(s);
  else if (is_text && !rc)
    schema_wrong(s, node, expected(s), type == WEIR_T_BOOL ? "remove the quotes" : schema_fix(s, node));
  else if (rc)
    schema_wrong(s, node, expected(s), schema_fix(s, node));
  else
    memcpy(s->out, &value, info(type)->size);
}
