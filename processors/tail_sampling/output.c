/* Kept traces become batches again: their bytes behind each other, decoded as a receiver does, with their thresholds written into tracestate. */
#include "tail_sampling.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/kit/tracestate.h"

int ts_room_for_run(struct sampler *s) {
  if (s->n_runs < s->cap_runs) return 1;
  size_t cap = s->cap_runs ? 2 * s->cap_runs : 64;
  struct ts_run *runs = realloc(s->runs, cap * sizeof *runs);
  if (!runs) return 0;
  s->runs = runs;
  s->cap_runs = cap;
  return 1;
}

int ts_output(struct sampler *s, ts_ref newest, uint64_t spans, uint64_t threshold, uint16_t leaf, const struct ts_record *record) {
  ts_put_late(s);
  size_t before = s->out.n;
  if (!ts_room_for_run(s) || ts_store_write(s->store, newest, &s->out)) {
    s->out.n = before;
    s->out.failed = 0;
    s->host->dropped(s->stage, spans, "no_memory");
    s->host->log(s->stage, WEIR_LOG_ERROR, "a trace that was to be kept is lost: no memory for its %llu spans", (unsigned long long)spans);
    return WEIR_E_NOMEM;
  }
  s->runs[s->n_runs++] = (struct ts_run){ .spans = spans, .threshold = threshold, .leaf = leaf, .has_record = 1, .record = *record };
  s->n_put = s->n_runs;
  if (s->out.n >= TS_OUT_BYTES) ts_flush(s);
  return 0;
}

/* --- spans of a tree, one after the other ---------------------------------------------------------------------------------------- */

struct walk {
  const struct weir_data *d;
  uint32_t r, c, k;
};

static struct weir_span *next_span(struct walk *w) {
  for (; w->r < w->d->n_resources; w->r++, w->c = 0)
    for (const struct weir_resource *r = w->d->resources[w->r]; w->c < r->n_scopes; w->c++, w->k = 0)
      if (w->k < r->scopes[w->c]->n_records) return r->scopes[w->c]->u.spans[w->k++];
  return NULL;
}

static int matches(const struct sampler *s, const struct walk *w, uint16_t leaf, const struct weir_span *span) {
  const struct weir_resource *r = w->d->resources[w->r];
  return ts_leaf_matches(s->program, leaf, r, r->scopes[w->c], span);
}

uint64_t ts_find_span(const struct sampler *s, const struct weir_data *d, uint16_t leaf) {
  struct walk w = { .d = d };
  for (struct weir_span *span; (span = next_span(&w)) != NULL;)
    if (matches(s, &w, leaf, span)) return ts_span_id(span->span_id);
  return 0;
}

static void write_threshold(struct sampler *s, struct weir_batch *b, struct weir_span *span, uint64_t threshold) {
  struct kit_tracestate ts;
  if (kit_tracestate_parse(span->trace_state.p, span->trace_state.n, &ts)) return; /* counted when it came */
  char *text = s->host->batch_alloc(b, span->trace_state.n + KIT_TRACESTATE_TH_ROOM);
  size_t n = kit_tracestate_set_th(&ts, threshold, text);
  if (!n) return; /* it has a higher one already */
  span->trace_state = (struct weir_str){ text, (uint32_t)n, 0 };
  s->host->touch(b, &span->rec);
}

static void complete_run(struct sampler *s, struct weir_batch *b, struct ts_run *run, struct walk *w) {
  struct weir_span *span;
  for (uint64_t i = 0; i < run->spans && (span = next_span(w)) != NULL; i++) {
    if (run->leaf != TS_LEAF_NONE && matches(s, w, run->leaf, span)) {
      run->record.span = ts_span_id(span->span_id);
      run->leaf = TS_LEAF_NONE;
    }
    if (run->threshold) write_threshold(s, b, span, run->threshold);
  }
}

static int asks_for(const struct sampler *s, int thresholds) {
  for (size_t i = 0; i < s->n_runs; i++)
    if (thresholds ? s->runs[i].threshold != 0 : s->runs[i].leaf != TS_LEAF_NONE) return 1;
  return 0;
}

static void complete(struct sampler *s, struct weir_batch *b) {
  struct weir_error err;
  int edits = asks_for(s, 1);
  if (edits || asks_for(s, 0)) {
    struct walk w = { .d = edits ? s->host->batch_write(b, &err) : s->host->batch_read(b, &err) };
    for (size_t i = 0; w.d && i < s->n_runs; i++) complete_run(s, b, &s->runs[i], &w);
  }
  for (size_t i = 0; i < s->n_runs; i++)
    if (s->runs[i].has_record) ts_journal_add(s->journal, &s->runs[i].record);
}

/* --- bytes to a batch -------------------------------------------------------------------------------------------------------------- */

struct weir_batch *ts_to_batch(struct sampler *s, const struct weir_iov *iov, size_t n_iov, size_t n, struct weir_error *err) {
  struct weir_batch *b = NULL;
  struct weir_body *body = s->http->body_new(s->stage, n);
  if (!body) {
    weir_fail(err, WEIR_E_NOMEM, "the memory limit of this process is reached");
    return NULL;
  }
  for (size_t i = 0; i < n_iov; i++) {
    memcpy(body->p + body->n, iov[i].p, iov[i].n);
    body->n += iov[i].n;
  }
  return s->otlp->decode(s->stage, WEIR_TRACES, body, body->p, body->n, WEIR_VALIDATE_ENVELOPE, &b, err) ? NULL : b;
}

static struct weir_batch *to_batch(struct sampler *s, const struct kit_bytes *from, struct weir_error *err) {
  return ts_to_batch(s, &(struct weir_iov){ from->p, from->n }, 1, from->n, err);
}

static void lose_output(struct sampler *s, const char *why) {
  uint64_t n = 0;
  for (size_t i = 0; i < s->n_runs; i++) n += s->runs[i].spans;
  s->host->dropped(s->stage, n, "damaged");
  s->host->log(s->stage, WEIR_LOG_ERROR, "%llu spans that were to be kept are lost: %s", (unsigned long long)n, why);
}

static void reset(struct sampler *s) {
  s->n_runs = s->n_put = 0;
  s->out.n = 0;
  s->out.failed = 0;
  if (s->out.cap > 2 * TS_OUT_BYTES) kit_bytes_free(&s->out);
}

static int send(struct sampler *s) {
  struct weir_error err = { 0 };
  struct weir_batch *b = to_batch(s, &s->out, &err);
  if (!b && err.code == WEIR_E_NOMEM) {
    ts_store_trim(s->store);
    return WEIR_E_NOMEM;
  }
  if (b) {
    complete(s, b);
    s->host->emit(s->stage, 0, b);
  } else {
    lose_output(s, err.msg);
  }
  return 0;
}

void ts_flush(struct sampler *s) {
  ts_put_late(s);
  if (s->n_runs && send(s) == 0) reset(s); /* else: what was released gives room, and the timer comes back */
}

int ts_output_some(struct sampler *s, struct ts_leaving *l, uint32_t *ret_n, ts_ref *ret_rest) {
  ts_flush(s);
  if (s->n_runs || !ts_room_for_run(s)) return WEIR_E_NOMEM;
  struct ts_run *run = &s->runs[s->n_runs++];
  int r = ts_store_write_some(s->store, l->newest, TS_STEP_SPANS, TS_STEP_BYTES, &s->out, ret_n, ret_rest);
  *run = (struct ts_run){ .spans = *ret_n, .threshold = l->threshold, .leaf = l->leaf };
  if (r == WEIR_E_INVALID) lose_output(s, "a compressed segment is damaged");
  else if (!r) r = send(s);
  ts_step_add(s, s->out.n, *ret_n);
  if (!r) {
    l->leaf = run->leaf;
    l->record.span |= run->record.span;
  }
  reset(s);
  return r == WEIR_E_NOMEM ? r : 0;
}

const struct weir_data *ts_reread(struct sampler *s, ts_ref newest, struct weir_batch **ret, uint32_t *ret_n, ts_ref *ret_rest) {
  struct weir_error err = { 0 };
  struct kit_bytes bytes = { 0 };
  *ret = NULL;
  *ret_n = 0;
  *ret_rest = 0;
  if (ts_store_write_some(s->store, newest, TS_STEP_SPANS, TS_STEP_BYTES, &bytes, ret_n, ret_rest) == 0) *ret = to_batch(s, &bytes, &err);
  ts_step_add(s, bytes.n, *ret_n);
  kit_bytes_free(&bytes);
  return *ret ? s->host->batch_read(*ret, &err) : NULL;
}
