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

void diag_secret(struct diags *ds, struct pos pos) {
  if (pos.file >= ds->n_files || pos.line == 0) return;
  struct diag_secret *s = arena_alloc(&ds->arena, sizeof *s);
  s->pos = pos;
  s->next = ds->secrets;
  ds->secrets = s;
}
