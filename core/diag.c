#include "core/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"

void diags_init(struct diags *ds) {
  memset(ds, 0, sizeof *ds);
  arena_init(&ds->arena, NULL, 4096);
  ds->last = &ds->first;
}

void diags_done(struct diags *ds) {
  free(ds->files);
  free((void *)ds->paths);
  arena_done(&ds->arena);
  memset(ds, 0, sizeof *ds);
}

void diags_forget(struct diags *ds) {
  ds->first = ds->newest = NULL;
  ds->last = &ds->first;
  ds->n_errors = ds->n_warnings = ds->n_kept = 0;
}

uint32_t diags_add_file(struct diags *ds, const char *name, const char *text, size_t n) {
  struct diag_file *files = realloc(ds->files, (ds->n_files + 1) * sizeof *files);
  WEIR_ASSERT(files != NULL);
  ds->files = files;
  files[ds->n_files] = (struct diag_file){ arena_strdup(&ds->arena, name), arena_strndup(&ds->arena, text, n), n };
  return (uint32_t)ds->n_files++;
}

void diags_add_path(struct diags *ds, const char *path) {
  for (size_t i = 0; i < ds->n_paths; i++)
    if (strcmp(ds->paths[i], path) == 0) return;
  const char **paths = realloc((void *)ds->paths, (ds->n_paths + 1) * sizeof *paths);
  WEIR_ASSERT(paths != NULL);
  ds->paths = paths;
  paths[ds->n_paths++] = arena_strdup(&ds->arena, path);
}

static char *vprint(struct arena *a, const char *fmt, va_list ap) {
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  WEIR_ASSERT(n >= 0);
  char *s = arena_alloc(a, (size_t)n + 1);
  vsnprintf(s, (size_t)n + 1, fmt, ap);
  return s;
}

void diag_add(struct diags *ds, int level, struct pos pos, const char *fmt, ...) {
  if (level == DIAG_ERROR)
    ds->n_errors++;
  else
    ds->n_warnings++;
  ds->newest = NULL;
  if (ds->n_kept >= DIAGS_KEPT) return;
  struct diag *d = arena_zalloc(&ds->arena, sizeof *d);
  va_list ap;
  va_start(ap, fmt);
  d->level = level;
  d->pos = pos;
  d->msg = vprint(&ds->arena, fmt, ap);
  va_end(ap);
  *ds->last = d;
  ds->last = &d->next;
  ds->newest = d;
  ds->n_kept++;
}

void diag_caret(struct diags *ds, const char *fmt, ...) {
  if (!ds->newest) return;
  va_list ap;
  va_start(ap, fmt);
  ds->newest->caret = vprint(&ds->arena, fmt, ap);
  va_end(ap);
}

void diag_note(struct diags *ds, const char *fmt, ...) {
  if (!ds->newest) return;
  va_list ap;
  va_start(ap, fmt);
  const char *note = vprint(&ds->arena, fmt, ap);
  va_end(ap);
  ds->newest->note = ds->newest->note ? arena_printf(&ds->arena, "%s\n%s", ds->newest->note, note) : note;
}

/* [from, end) begins with an authority; whether what is before the last @ is more than a path with an @ in it. */
static int is_userinfo(const char *s, size_t from, size_t last_at) {
  size_t end = from, colon = 0;
  while (end < last_at && !strchr("/?#", s[end])) end++;
  if (end == last_at || memchr(s + from, '@', end - from)) return 1;
  if (s[from] == '[') return 0; /* an IPv6 address, its port, a path */
  for (size_t i = from; i < end; i++) {
    if (colon && (s[i] < '0' || s[i] > '9')) return 1; /* no port */
    if (s[i] == ':') colon = 1;
  }
  return 0;
}

int diag_userinfo(const char *s, size_t n, size_t at, size_t *from, size_t *to) {
  static const char breaks[] = " \t\r\n\"'`";
  for (size_t i = at; i < n;) {
    size_t begin = i, colon = 0, scheme = 0, last_at = 0;
    for (; i < n && s[i] && !strchr(breaks, s[i]); i++) {
      if (!scheme && i >= 2 && i - 2 >= begin && memcmp(s + i - 2, "://", 3) == 0) scheme = i + 1;
      if (s[i] == ':' && !colon) colon = i + 1;
      if (s[i] == '@') last_at = i;
    }
    i++; /* the break */
    while (!scheme && begin < last_at && strchr("([{,", s[begin])) begin++;
    if (scheme) begin = scheme;
    if (begin >= last_at || !(scheme || colon) || (!scheme && colon > last_at) || !is_userinfo(s, begin, last_at)) continue;
    *from = begin;
    *to = last_at;
    return 1;
  }
  return 0;
}

void diag_secret(struct diags *ds, struct pos pos) {
  if (pos.file >= ds->n_files || pos.line == 0) return;
  struct diag_secret *s = arena_alloc(&ds->arena, sizeof *s);
  s->pos = pos;
  s->next = ds->secrets;
  ds->secrets = s;
}
