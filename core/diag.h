/*
 * core/diag.h - everything that is wrong with a configuration, collected and shown at once.
 *
 * A diagnostic points at a place in a source file (kept in memory while diagnostics live) and is printed as
 *     error: unknown key `compresion` in exporter `otlp_http/tempo`
 *       --> gateway.yaml:41:5
 *        |
 *     41 |     compresion: gzip
 *        |     ^^^^^^^^^^ did you mean `compression`?
 *        = allowed here: compression, endpoint, ...
 */
#ifndef CORE_DIAG_H
#define CORE_DIAG_H

#include <stddef.h>
#include <stdint.h>

#include <weir/error.h>

#include "core/arena.h"

/* A place: file index into diags.files, 1-based line and column (in bytes), length of what is underlined (0 = 1). line 0 = whole file. */
struct pos {
  uint32_t file, line, col, len;
};

struct diag_file {
  const char *name, *text;
  size_t n;
};

#define DIAG_ERROR 1
#define DIAG_WARNING 2

struct diag {
  int level;
  struct pos pos;
  const char *msg;
  const char *caret; /* text behind the carets, or NULL */
  const char *note;  /* "allowed here: ...", or NULL; each line of it becomes one */
  struct diag *next;
  int untyped; /* found before field tables were known: values behind secret-looking keys are hidden by the key's name */
};

struct diag_secret {
  struct pos pos;
  struct diag_secret *next;
};

struct diags {
  struct arena arena;
  struct diag_file *files;
  size_t n_files;
  struct diag *first, **last;
  uint32_t n_errors, n_warnings; /* also those beyond DIAGS_KEPT */
  struct diag *newest;           /* NULL when it was not kept */
  struct diag_secret *secrets;
  uint32_t n_kept;
  const char **paths; /* files that were opened, whether or not they could be read: what a change of them would change */
  size_t n_paths;
};

#define DIAGS_KEPT 100 /* shown; the rest is only counted, so that a hostile file can not make a hostile report */

void diags_init(struct diags *);
void diags_done(struct diags *);
void diags_forget(struct diags *); /* those that were shown; what comes next may still point into the files */
uint32_t diags_add_file(struct diags *, const char *name, const char *text, size_t n); /* copies text; returns the index */
void diags_add_path(struct diags *, const char *path); /* each once */
/* Adds one; the newest is then decorated by diag_caret and diag_note. */
void diag_add(struct diags *, int level, struct pos, const char *fmt, ...) WEIR_PRINTF(4, 5);
void diag_caret(struct diags *, const char *fmt, ...) WEIR_PRINTF(2, 3);
void diag_note(struct diags *, const char *fmt, ...) WEIR_PRINTF(2, 3);
#define diag_error(ds, pos, ...) diag_add(ds, DIAG_ERROR, pos, __VA_ARGS__)
#define diag_warn(ds, pos, ...) diag_add(ds, DIAG_WARNING, pos, __VA_ARGS__)
/* The place holds a secret: whatever is reported about its lines, it is shown as ***. */
void diag_secret(struct diags *, struct pos);
/* Whether a key of that name most likely holds a secret; for where no field table tells. */
int diag_sounds_secret(const char *key, size_t n);
/* The next `user:password` of a URL or address ("https://user:password@host", "user:password@host:4317") at or behind `at`: 1 and its place [*from, *to), which must not be
 * shown; else 0. Rather too much than too little: a password may hold what ends it in a URL. */
int diag_userinfo(const char *s, size_t n, size_t at, size_t *from, size_t *to);
/* All of them in source order, then "2 errors, 1 warning". malloc'ed, NUL-terminated; caller frees. No colours. */
char *diags_render(const struct diags *);

#endif
