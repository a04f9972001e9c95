/* The end of traces that are too large for one step: their spans leave in steps, the newest first. The trace itself is gone from the table and remembered at once, so that late spans follow. */
#include "tail_sampling.h"

#include <stdlib.h>

#define RELEASE_IS_LESS 16u /* than to read a span: no byte of it is touched */

static struct ts_store_stats stats(const struct sampler *s) {
  struct ts_store_stats st;
  ts_store_stats(s->store, &st);
  return st;
}

static int fits(struct sampler *s, const struct ts_trace *t, int is_read) {
  ts_step_add(s, is_read ? t->facts.bytes : 0, is_read ? t->spans : t->spans / RELEASE_IS_LESS);
  if (is_read && t->spans > TS_STEP_FRAMES && stats(s).compressed_segments) return 0;
  return s->step_spans <= TS_STEP_SPANS && s->step_bytes <= TS_STEP_BYTES;
}

static void record(struct sampler *s, struct ts_leaving *l) {
  if (l->has_record) ts_journal_add(s->journal, &l->record);
  l->has_record = 0;
  l->leaf = TS_LEAF_NONE;
}

int ts_leave(struct sampler *s, struct ts_trace *t, int keep, uint64_t threshold, uint16_t leaf, const struct ts_record *r) {
  struct ts_leaving *l = fits(s, t, keep || leaf != TS_LEAF_NONE) ? NULL : malloc(sizeof *l);
  if (!l) return 0;
  *l = (struct ts_leaving){ .newest = t->newest, .threshold = threshold, .leaf = leaf, .keep = keep != 0, .has_record = 1, .record = *r };
  if (leaf == TS_LEAF_NONE) record(s, l);
  t->newest = 0;
  if (!s->leaving) s->leaving_end = &s->leaving;
  *s->leaving_end = l;
  s->leaving_end = &l->after;
  return 1;
}

/* Of a dropped trace: nothing of it is read but for the record. */
static ts_ref let_go_some(struct sampler *s, struct ts_leaving *l) {
  struct weir_batch *b = NULL;
  uint32_t n = RELEASE_IS_LESS * TS_STEP_SPANS;
  uint64_t spans = stats(s).spans;
  ts_ref rest;
  if (l->leaf != TS_LEAF_NONE) {
    const struct weir_data *d = ts_reread(s, l->newest, &b, &n, &rest);
    l->record.span = d ? ts_find_span(s, d, l->leaf) : 0;
    if (b) s->host->absorb(s->stage, b);
    if (l->record.span || !d) record(s, l);
  }
  rest = ts_store_release_some(s->store, l->newest, n);
  ts_step_add(s, 0, (spans - stats(s).spans) / RELEASE_IS_LESS);
  return rest;
}

/* WEIR_E_NOMEM: later. */
static int step(struct sampler *s, struct ts_leaving *l) {
  uint32_t n = 0;
  ts_ref rest;
  if (!l->keep) {
    l->newest = let_go_some(s, l);
    return 0;
  }
  int r = ts_output_some(s, l, &n, &rest);
  if (r) return r;
  if (l->leaf == TS_LEAF_NONE) record(s, l);
  l->newest = ts_store_release_some(s->store, l->newest, n);
  return 0;
}

void ts_leave_some(struct sampler *s) {
  struct ts_leaving *l;
  s->leaving_waits = 0;
  while ((l = s->leaving) != NULL && !ts_step_is_over(s)) {
    if (step(s, l)) {
      s->leaving_waits = 1;
      return;
    }
    if (l->newest) continue;
    record(s, l);
    s->leaving = l->after;
    free(l);
  }
}

/* Predicates and texts of records are of the policies before. */
void ts_leave_moves(struct sampler *to, struct sampler *from) {
  for (struct ts_leaving *l = from->leaving; l; l = l->after) record(from, l);
  to->leaving = from->leaving;
  to->leaving_end = from->leaving ? from->leaving_end : NULL;
  from->leaving = NULL;
  from->leaving_waits = 0;
}

void ts_leave_free(struct sampler *s) {
  for (struct ts_leaving *l; (l = s->leaving) != NULL; free(l)) s->leaving = l->after;
}
