/* ${...} in a document: walking the tree, finding what is to be replaced, and the limits. What a source gives: expand_source.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/expand_source.h"
#include "core/yaml_internal.h"

#define DEPTH_MAX 100   /* values that hold ${...} again, and ${...} inside of ${...} */
#define COUNT_MAX 10000 /* sources fetched for one document: depth alone allows 2^100 */

struct expand {
  struct arena *arena;
  struct diags *ds;
  const struct source_io *io;
  const struct yaml_node *site; /* the scalar that is being expanded */
  size_t bytes;
  uint32_t count, nodes;
  int stopped; /* a limit was met: nothing more is expanded */
};

struct text {
  char *p;
  size_t n, cap;
};

static void expand_node(struct expand *, struct yaml_node *, int nested, int depth);
static int expand_text(struct expand *, const char *p, size_t n, int depth, struct text *out);

static void append(struct text *t, const char *p, size_t n) {
  if (t->n + n + 1 > t->cap) {
    t->cap = (t->n + n + 1) * 2;
    t->p = realloc(t->p, t->cap);
    WEIR_ASSERT(t->p != NULL);
  }
  if (n) memcpy(t->p + t->n, p, n);
  t->n += n;
  t->p[t->n] = 0;
}

static const char *take(struct expand *x, struct text *t) {
  const char *s = arena_strndup(x->arena, t->p ? t->p : "", t->n);
  free(t->p);
  return s;
}

/* The place of `what` on the site's source line, where it is found there, else the site. */
static struct pos place(const struct expand *x, const char *what, size_t n) {
  struct pos pos = x->site->pos;
  if (pos.file >= x->ds->n_files || pos.line == 0 || x->ds->n_kept >= DIAGS_KEPT) return pos;
  const struct diag_file *f = &x->ds->files[pos.file];
  const char *line = f->text, *end = f->text + f->n;
  for (uint32_t i = 1; i < pos.line && line; i++) {
    line = memchr(line, '\n', (size_t)(end - line));
    if (line) line++;
  }
  if (!line || (size_t)(end - line) < pos.col - 1) return pos;
  const char *from = line + (pos.col - 1), *nl = memchr(from, '\n', (size_t)(end - from));
  const char *hit = memmem(from, (size_t)((nl ? nl : end) - from), what, n);
  if (!hit) return pos;
  pos.col = (uint32_t)(hit - line) + 1;
  pos.len = (uint32_t)n;
  return pos;
}

static int over_limit(struct expand *x, const char *what) {
  if (!x->stopped) diag_error(x->ds, x->site->pos, "%s", what);
  x->stopped = 1;
  return 0;
}

/* Index of the `}` that closes the `${` at p[0], or n. */
static size_t closing(const char *p, size_t n) {
  size_t open = 0;
  for (size_t i = 0; i < n; i++)
    if (p[i] == '$' && i + 1 < n && p[i + 1] == '{')
      open++, i++;
    else if (p[i] == '}' && --open == 0)
      return i;
  return n;
}

/* Index of ":-" in p outside of inner ${}, or n. */
static size_t default_at(const char *p, size_t n) {
  size_t open = 0;
  for (size_t i = 0; i + 1 < n; i++)
    if (p[i] == '$' && p[i + 1] == '{')
      open++, i++;
    else if (p[i] == '}' && open > 0)
      open--;
    else if (p[i] == ':' && p[i + 1] == '-' && open == 0)
      return i;
  return n;
}

static const char *text_of(struct expand *x, const char *p, size_t n, int depth) {
  struct text t = { 0 };
  int ok = expand_text(x, p, n, depth + 1, &t);
  const char *s = take(x, &t);
  return ok ? s : NULL;
}

static int charge(struct expand *x, size_t bytes) {
  x->bytes += bytes;
  if (x->bytes > YAML_TEXT_MAX) return over_limit(x, "the expansions of ${...} give more than 4 MiB of text");
  if (++x->count > COUNT_MAX) return over_limit(x, "more than 10000 expansions of ${...}");
  return 1;
}

static void report(struct expand *x, const char *whole, size_t n, const struct weir_error *err) {
  diag_error(x->ds, place(x, whole, n), "%s", err->msg);
  if (err->hint[0]) diag_caret(x->ds, "%s", err->hint);
}

static void warn_unset(struct expand *x, const char *whole, size_t n, const char *name) {
  diag_warn(x->ds, place(x, whole, n), "Configuration references unset environment variable `%s`", name);
  diag_caret(x->ds, "it counts as empty; set it, or give a default: ${env:%s:-value}", name);
}

/* What `${...}` (n bytes at whole) gives. 0 when it was reported. */
static int fetch(struct expand *x, const char *whole, size_t n, int depth, struct source_text *ret) {
  const char *in = whole + 2, *rest;
  size_t in_n = n - 3, dflt = default_at(in, in_n);
  struct weir_error err = { 0 };
  if (depth > DEPTH_MAX) return over_limit(x, "too many recursive expansions");
  const char *uri = text_of(x, in, dflt, depth);
  if (!uri) return 0;
  const char *scheme = source_split(x->arena, uri, "env", &rest);
  int env = strcmp(scheme, "env") == 0;
  if (!env && dflt < in_n) { /* only env: has defaults */
    if (!(uri = text_of(x, in, in_n, depth))) return 0;
    scheme = source_split(x->arena, uri, "env", &rest);
    dflt = in_n;
  }
  if (*uri && *rest && strcmp(scheme, "file") == 0) diags_add_path(x->ds, rest);
  int rc = *uri ? source_fetch(x->arena, x->io, scheme, rest, ret, &err) : weir_fail(&err, WEIR_E_INVALID, "`${}` names nothing");
  if (rc) {
    report(x, whole, n, &err);
    return 0;
  }
  if (ret->is_file) /* editors end a file with a newline that nobody means */
    while (ret->n > 0 && (ret->p[ret->n - 1] == '\n' || ret->p[ret->n - 1] == '\r')) ret->n--;
  if (!ret->set && dflt < in_n) {
    const char *value = text_of(x, in + dflt + 2, in_n - dflt - 2, depth);
    if (!value) return 0;
    *ret = (struct source_text){ .p = value, .n = strlen(value), .set = 1 };
  } else if (!ret->set)
    warn_unset(x, whole, n, rest);
  return charge(x, ret->n);
}

static int expand_one(struct expand *x, const char *whole, size_t n, int depth, struct text *out) {
  struct source_text got;
  return fetch(x, whole, n, depth, &got) && expand_text(x, got.p, got.n, depth + 1, out);
}

/* Replaces all ${...} and $$ of n bytes at p. 0 when something was reported. */
static int expand_text(struct expand *x, const char *p, size_t n, int depth, struct text *out) {
  if (x->stopped) return 0;
  if (depth > DEPTH_MAX) return over_limit(x, "too many recursive expansions");
  for (size_t i = 0; i < n;) {
    const char *dollar = memchr(p + i, '$', n - i);
    size_t at = dollar ? (size_t)(dollar - p) : n, end;
    append(out, p + i, at - i);
    if (at == n) break;
    i = at + 1;
    if (i < n && p[i] == '$')
      append(out, "$", 1), i++;
    else if (i >= n || p[i] != '{')
      append(out, "$", 1);
    else if ((end = at + closing(p + at, n - at)) == n) {
      diag_error(x->ds, place(x, p + at, 2), "`${` is never closed");
      diag_caret(x->ds, "add the `}`, or write `$$` where a plain `$` is meant");
      return 0;
    } else {
      if (!expand_one(x, p + at, end + 1 - at, depth, out)) return 0;
      i = end + 1;
    }
  }
  return x->bytes <= YAML_TEXT_MAX;
}

/* All nodes below get the site's place: that is where the user looks. Nodes of a file keep theirs. */
static void mark_expanded(struct expand *x, struct yaml_node *node, int keep_places) {
  node->expanded = 1;
  if (!keep_places) node->pos = x->site->pos;
  for (size_t i = 0; i < node->n; i++) {
    if (node->kind == YAML_MAP) mark_expanded(x, node->keys[i], keep_places);
    mark_expanded(x, node->items[i], keep_places);
  }
}

/* The text as YAML, or NULL when it is none: then it is a string. */
static struct yaml_node *parse_value(struct expand *x, const struct source_text *got, const char **ret_why) {
  struct diags quiet;
  diags_init(&quiet);
  uint32_t file = diags_add_file(&quiet, "", got->p, got->n);
  struct yaml_node *node = yaml_parse_counted(x->arena, &quiet, file, 0, got->n, &x->nodes);
  int bad = quiet.n_errors > 0;
  if (bad && got->is_file && quiet.first)
    *ret_why = arena_printf(x->arena, "%s:%u:%u: %s", got->name, quiet.first->pos.line, quiet.first->pos.col, quiet.first->msg);
  diags_done(&quiet);
  if (!node || bad) return NULL;
  int keep = got->is_file && (node->kind == YAML_MAP || node->kind == YAML_SEQ);
  if (keep) node = yaml_parse_counted(x->arena, x->ds, diags_add_file(x->ds, got->name, got->p, got->n), 0, got->n, &x->nodes);
  if (node) mark_expanded(x, node, keep);
  return node;
}

/* What a string field takes: the value as it came, not as YAML reads it (0123, 1e3, yes, "a: b"). */
static void keep_original(struct expand *x, struct yaml_node *node, const struct source_text *got, int nested) {
  const char *original = arena_strndup(x->arena, got->p, got->n);
  struct text plain = { 0 };
  if (strstr(original, "${"))
    original = node->kind == YAML_SCALAR ? node->text : NULL;
  else if (strchr(original, '$') && expand_text(x, got->p, got->n, nested, &plain))
    original = take(x, &plain);
  if (!node->original && original && *original) node->original = original;
}

/* A scalar that is one ${...} and nothing else takes what it gives as YAML: a number, a list, a mapping. */
static void expand_whole(struct expand *x, struct yaml_node *node, int nested, int depth) {
  struct source_text got;
  struct yaml_node site = *node;
  const char *why = NULL;
  x->site = &site;
  node->expanded = 1;
  node->kind = YAML_BROKEN;
  if (!fetch(x, site.text, strlen(site.text), nested, &got)) return;
  struct yaml_node *value = got.set ? parse_value(x, &got, &why) : NULL;
  if (x->nodes > YAML_NODES_MAX) {
    over_limit(x, "the expansions of ${...} give more than 100000 values, keys and lists");
    return;
  }
  if (value)
    *node = *value;
  else
    node->kind = got.set ? YAML_SCALAR : YAML_NULL, node->text = arena_strndup(x->arena, got.p, got.n), node->quoted = 0;
  if (node->kind == YAML_SCALAR || node->kind == YAML_NULL) node->pos = site.pos;
  expand_node(x, node, nested + 1, depth);
  node->not_yaml = why;
  if (got.set) keep_original(x, node, &got, nested + 1);
}

static void expand_scalar(struct expand *x, struct yaml_node *node, int nested, int depth) {
  size_t n = strlen(node->text);
  struct text out = { 0 };
  if (!strchr(node->text, '$')) return;
  if (nested > DEPTH_MAX) {
    over_limit(x, "too many recursive expansions");
    return;
  }
  if (n > 3 && node->text[0] == '$' && node->text[1] == '{' && closing(node->text, n) == n - 1) {
    expand_whole(x, node, nested, depth);
    return;
  }
  struct yaml_node site = *node;
  x->site = &site;
  int ok = expand_text(x, site.text, n, nested, &out);
  node->text = take(x, &out);
  node->expanded |= strstr(site.text, "${") != NULL;
  if (!ok) node->kind = YAML_BROKEN;
}

static void expand_node(struct expand *x, struct yaml_node *node, int nested, int depth) {
  if (x->stopped) return;
  if (depth > YAML_DEPTH_MAX) {
    diag_error(x->ds, node->pos, "the document is nested more than %d levels deep", YAML_DEPTH_MAX);
    x->stopped = 1;
    return;
  }
  if (node->kind == YAML_SCALAR)
    expand_scalar(x, node, nested, depth);
  else
    for (size_t i = 0; i < node->n; i++) expand_node(x, node->items[i], nested, depth + 1);
}

void yaml_expand_with(struct arena *a, struct diags *ds, struct yaml_node *node, const struct source_io *io) {
  struct expand x = { .arena = a, .ds = ds, .io = io, .site = node };
  expand_node(&x, node, 0, 0);
}

void yaml_expand(struct arena *a, struct diags *ds, struct yaml_node *node) { yaml_expand_with(a, ds, node, &source_system); }
