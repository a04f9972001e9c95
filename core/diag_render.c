/* Diagnostics as text: message, place, the source line with carets, notes. What comes from the user is cleaned for the terminal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/assert.h"
#include "core/diag.h"
#include "core/utf8.h"

#define LINE_BEFORE 80 /* bytes of a long line that are shown before the place, and in all */
#define LINE_SHOWN 200
#define LINE_AROUND 4096 /* bytes around it that are looked through for what must not be shown */

/* Control characters and direction overrides, which could repaint the terminal or reorder what is read. */
static int unprintable(const char *p, size_t len) {
  unsigned char a = (unsigned char)p[0], b = len > 1 ? (unsigned char)p[1] : 0, c = len > 2 ? (unsigned char)p[2] : 0;
  if (len == 1) return a < 0x20 || a == 0x7f;
  if (len == 2) return a == 0xc2 && b < 0xa0;
  if (len == 3) return a == 0xe2 && ((b == 0x80 && c >= 0xaa && c <= 0xae) || (b == 0x81 && c >= 0xa6 && c <= 0xa9));
  return 0;
}

/* One character to out, cleaned; returns the bytes taken from p. A tab becomes an arrow, so that it is seen. */
static size_t put_char(FILE *out, const char *p, size_t n) {
  size_t len = utf8_len(p, n);
  if (*p == '\t')
    fputs("\xe2\x86\x92", out);
  else if (len == 0 || unprintable(p, len))
    fputs(UTF8_REPLACEMENT, out);
  else
    fwrite(p, 1, len, out);
  return len ? len : 1;
}

static void put_text(FILE *out, const char *p, size_t n) {
  size_t from, to;
  int hide = diag_userinfo(p, n, 0, &from, &to);
  for (size_t i = 0; i < n;)
    if (hide && i == from) {
      fputs("***", out);
      i = to;
      hide = diag_userinfo(p, n, i, &from, &to);
    } else if (p[i] == '\n') {
      fputc(' ', out);
      i++;
    } else
      i += put_char(out, p + i, n - i);
}

static int find_line(const struct diag_file *f, uint32_t line, const char **ret_p, size_t *ret_n) {
  const char *p = f->text, *end = f->text + f->n;
  for (uint32_t i = 1; i < line; i++) {
    p = memchr(p, '\n', (size_t)(end - p));
    if (!p) return 0;
    p++;
  }
  const char *nl = memchr(p, '\n', (size_t)(end - p));
  size_t n = (size_t)((nl ? nl : end) - p);
  if (n > 0 && p[n - 1] == '\r') n--;
  *ret_p = p;
  *ret_n = n;
  return 1;
}

int diag_sounds_secret(const char *key, size_t n) {
  static const char *const words[] = { "password", "passwd", "secret", "token", "api_key", "apikey", "api-key", "credential",
    "authorization", "_pem", "private" };
  for (size_t w = 0; w < sizeof words / sizeof *words; w++)
    for (size_t i = 0, len = strlen(words[w]); i + len <= n; i++)
      if (strncasecmp(key + i, words[w], len) == 0) return 1;
  return 0;
}

/* Bytes [from, to) of a line, the marked ones and those that must not be shown. */
struct window {
  const char *line;
  size_t n, from, to, mark, mark_end;
  char hide[LINE_SHOWN];
};

static void hide_range(struct window *w, size_t from, size_t to) {
  if (from < w->from) from = w->from;
  for (size_t i = from; i < to && i < w->to; i++) w->hide[i - w->from] = 1;
}

static void hide_secrets(struct window *w, const struct diags *ds, const struct diag *d) {
  for (const struct diag_secret *s = ds->secrets; s; s = s->next)
    if (s->pos.file == d->pos.file && s->pos.line == d->pos.line && s->pos.col > 0)
      hide_range(w, s->pos.col - 1, (size_t)s->pos.col - 1 + s->pos.len);
  size_t from = 0, to = w->from > LINE_AROUND ? w->from - LINE_AROUND : 0, end = w->n - w->to > LINE_AROUND ? w->to + LINE_AROUND : w->n;
  while (diag_userinfo(w->line, end, to, &from, &to)) hide_range(w, from, to);
  from = 0;
  for (size_t i = 0; d->untyped && i < w->n; i++) {
    if (strchr("{[,", w->line[i])) from = i;
    if ((w->line[i] != ':' && w->line[i] != '=') || !diag_sounds_secret(w->line + from, i - from)) continue;
    for (i++; i < w->n && w->line[i] == ' ';) i++;
    hide_range(w, i, w->n);
    return;
  }
}

/* Counts into *cells the columns before and under the mark. */
static void put_window(FILE *out, const struct window *w, size_t cells[2]) {
  int stars = 0;
  for (size_t i = w->from; i < w->to;) {
    int hide = w->hide[i - w->from];
    size_t len = utf8_len(w->line + i, w->n - i), width = 1;
    stars = hide ? stars + 1 : 0;
    if (stars > 3)
      width = 0;
    else if (hide)
      fputc('*', out);
    else
      put_char(out, w->line + i, w->n - i);
    if (i < w->mark)
      cells[0] += width;
    else if (i < w->mark_end)
      cells[1] += width;
    i += len ? len : 1;
  }
}

static void put_repeat(FILE *out, char c, size_t n) {
  for (size_t i = 0; i < n; i++) fputc(c, out);
}

/* A character boundary at or before i. */
static size_t boundary(const char *line, size_t i) {
  for (int back = 0; back < 3 && i > 0 && ((unsigned char)line[i] & 0xc0) == 0x80; back++) i--;
  return i;
}

static void put_source(FILE *out, const struct diags *ds, const struct diag *d, int gutter) {
  struct window w = { .mark = d->pos.col ? d->pos.col - 1 : 0 };
  size_t cells[2] = { 0, 0 };
  if (!find_line(&ds->files[d->pos.file], d->pos.line, &w.line, &w.n)) return;
  w.mark_end = w.mark + (d->pos.len ? d->pos.len : 1);
  size_t mark = w.mark > w.n ? w.n : w.mark;
  w.from = w.n > LINE_SHOWN && mark > LINE_BEFORE ? boundary(w.line, mark - LINE_BEFORE) : 0;
  w.to = w.n - w.from > LINE_SHOWN ? boundary(w.line, w.from + LINE_SHOWN) : w.n;
  hide_secrets(&w, ds, d);
  fprintf(out, "%*s |\n%*u | %s", gutter, "", gutter, d->pos.line, w.from > 0 ? "..." : "");
  put_window(out, &w, cells);
  fprintf(out, "%s\n%*s | ", w.to < w.n ? "..." : "", gutter, "");
  put_repeat(out, ' ', cells[0] + (w.from > 0 ? 3 : 0));
  put_repeat(out, '^', cells[1] > 0 ? cells[1] : 1); /* the place may be past the end: something is missing there */
  if (d->caret) {
    fputc(' ', out);
    put_text(out, d->caret, strlen(d->caret));
  }
  fputc('\n', out);
}

static void put_notes(FILE *out, const char *note, int gutter) {
  for (const char *p = note; p;) {
    const char *nl = strchr(p, '\n');
    fprintf(out, "%*s = ", gutter, "");
    put_text(out, p, nl ? (size_t)(nl - p) : strlen(p));
    fputc('\n', out);
    p = nl ? nl + 1 : NULL;
  }
}

static void put_diag(FILE *out, const struct diags *ds, const struct diag *d) {
  int placed = d->pos.file < ds->n_files, in_line = placed && d->pos.line > 0;
  int gutter = in_line ? snprintf(NULL, 0, "%u", d->pos.line) : 1;
  fputs(d->level == DIAG_ERROR ? "error: " : "warning: ", out);
  put_text(out, d->msg, strlen(d->msg));
  fputc('\n', out);
  if (placed) {
    fprintf(out, "%*s--> ", gutter, "");
    put_text(out, ds->files[d->pos.file].name, strlen(ds->files[d->pos.file].name));
    if (in_line) fprintf(out, ":%u:%u", d->pos.line, d->pos.col ? d->pos.col : 1);
    fputc('\n', out);
  }
  if (in_line)
    put_source(out, ds, d, gutter);
  else if (d->caret)
    put_notes(out, d->caret, gutter);
  if (d->note) put_notes(out, d->note, gutter);
}

struct sorted {
  const struct diag *d;
  size_t at;
};

static int cmp_u32(uint32_t a, uint32_t b) { return a < b ? -1 : a > b; }

static int by_place(const void *va, const void *vb) {
  const struct sorted *a = va, *b = vb;
  int c = cmp_u32(a->d->pos.file, b->d->pos.file);
  if (!c) c = cmp_u32(a->d->pos.line, b->d->pos.line);
  if (!c) c = cmp_u32(a->d->pos.col, b->d->pos.col);
  return c ? c : (a->at > b->at) - (a->at < b->at);
}

static int same(const struct diag *a, const struct diag *b) {
  return memcmp(&a->pos, &b->pos, sizeof a->pos) == 0 && a->level == b->level && strcmp(a->msg, b->msg) == 0;
}

/* twice[level]: what was left out because it was said already (an alias repeats its mistakes). */
static void put_counts(FILE *out, const struct diags *ds, const uint32_t twice[3]) {
  uint32_t e = ds->n_errors - twice[DIAG_ERROR], w = ds->n_warnings - twice[DIAG_WARNING];
  if (e) fprintf(out, "%u error%s", e, e == 1 ? "" : "s");
  if (e && w) fputs(", ", out);
  if (w) fprintf(out, "%u warning%s", w, w == 1 ? "" : "s");
  if (ds->n_errors + ds->n_warnings > ds->n_kept) fprintf(out, " (the first %u are shown)", ds->n_kept);
  if (e + w > 0) fputc('\n', out);
}

char *diags_render(const struct diags *ds) {
  char *text = NULL;
  size_t n = 0, n_text = 0;
  uint32_t twice[3] = { 0, 0, 0 };
  FILE *out = open_memstream(&text, &n_text);
  struct sorted *all = calloc(ds->n_kept + 1, sizeof *all);
  WEIR_ASSERT(out != NULL && all != NULL);
  for (const struct diag *d = ds->first; d; d = d->next, n++) all[n] = (struct sorted){ d, n };
  qsort(all, n, sizeof *all, by_place);
  for (size_t i = 0; i < n; i++)
    if (i > 0 && same(all[i].d, all[i - 1].d))
      twice[all[i].d->level]++;
    else
      put_diag(out, ds, all[i].d);
  put_counts(out, ds, twice);
  free(all);
  fclose(out);
  return text;
}
