/* A batch comes in: each span goes to its trace, to a decision that was made before, or begins a trace. */
#include "tail_sampling.h"

#include <stdlib.h>
#include <string.h>

/* --- records as they were received -------------------------------------------------------------------------------------------- */

static int is_clean(const struct weir_data *d) {
  for (uint32_t i = 0; i < d->n_resources; i++) {
    const struct weir_resource *r = d->resources[i];
    if (r->rec.dirty) return 0;
    for (uint32_t j = 0; j < r->n_scopes; j++) {
      const struct weir_scope *c = r->scopes[j];
      if (c->rec.dirty) return 0;
      for (uint32_t k = 0; k < c->n_records; k++)
        if (c->u.spans[k]->rec.dirty || !c->u.spans[k]->rec.raw) return 0;
    }
  }
  return 1;
}

/* What an earlier stage edited is written out once and read again, into *ret_own: the store keeps bytes. */
static const struct weir_data *read_clean(struct sampler *s, struct weir_batch *b, struct weir_batch **ret_own, struct weir_error *err) {
  const struct weir_data *d = s->host->batch_read(b, err);
  const struct weir_iov *iov;
  size_t n_iov, n;
  *ret_own = NULL;
  if (!d || is_clean(d)) return d;
  if (s->otlp->encode(b, &iov, &n_iov, &n, err) || !(*ret_own = ts_to_batch(s, iov, n_iov, n, err))) return NULL;
  return s->host->batch_read(*ret_own, err);
}

/* --- one span ------------------------------------------------------------------------------------------------------------------ */

struct arrival {
  struct sampler *s;
  int64_t now;
  const struct weir_resource *resource;
  const struct weir_scope *scope;
  const struct weir_span *span;
  uint8_t id[16];
  uint64_t hash;
};

static const uint8_t no_id[16];

/* 0: no id that a trace can have. The Collector takes them all as spans of one trace of zeros. */
static int take_id(const struct sampler *s, const struct weir_span *span, uint8_t id[16]) {
  memset(id, 0, 16);
  if (span->trace_id.n) memcpy(id, span->trace_id.p, span->trace_id.n < 16 ? span->trace_id.n : 16);
  return ts_is_collector(s) || (span->trace_id.n == 16 && memcmp(id, no_id, 16) != 0);
}

/* Late spans that are dropped: one record for those of a trace that come one after the other. Those that are kept stream through; the trace's own record tells of them. */
static void note_late(struct arrival *a, int outcome) {
  struct ts_record r = { .time_unix_ns = a->s->host->now_unix_ns(), .outcome = (uint8_t)outcome, .when = TS_WHEN_LATE, .spans = 1, .bytes = a->span->rec.raw_n };
  if (!memcmp(a->s->noted, a->id, 16)) return;
  memcpy(a->s->noted, a->id, 16);
  memcpy(r.id, a->id, 16);
  r.span = ts_span_id(a->span->span_id);
  ts_journal_add(a->s->journal, &r);
}

/* A run of late spans ends where the threshold changes. There is room for one more. */
static void run_of_late(struct sampler *s, uint64_t threshold) {
  struct ts_run *last = s->n_runs > s->n_put ? &s->runs[s->n_runs - 1] : NULL;
  if (last && last->threshold == threshold) {
    last->spans++;
    return;
  }
  s->runs[s->n_runs++] = (struct ts_run){ .spans = 1, .threshold = threshold, .leaf = TS_LEAF_NONE };
}

static void late_kept(struct arrival *a, uint64_t threshold) {
  struct sampler *s = a->s;
  ts_ref ref = ts_room_for_run(s) ? ts_store_put(s->store, a->resource, a->scope, a->span, s->late) : 0;
  s->metrics->add(s->cells.late_kept, 1);
  if (!ref) {
    s->host->dropped(s->stage, 1, "no_memory");
    return;
  }
  s->late = ref;
  run_of_late(s, threshold);
}

static void late_dropped(struct arrival *a, int outcome) {
  struct sampler *s = a->s;
  s->metrics->add(s->cells.late_dropped, 1);
  s->host->dropped(s->stage, 1, "late");
  note_late(a, outcome);
}

/* 1: the trace was decided before, and this span follows it. */
static int follows_decision(struct arrival *a, const struct ts_trace *t) {
  struct sampler *s = a->s;
  struct ts_remembered was;
  if (t && t->state == TS_DECIDED) {
    s->metrics->observe(s->cells.late_age, (double)(a->now - t->first_ns) / 1e9);
    if (t->outcome == TS_KEEP) late_kept(a, 0);
    else late_dropped(a, t->outcome);
    return 1;
  }
  if (t) return 0;
  int found = ts_memory_find(s->memory, a->id, a->hash, &was);
  if (found == TS_WAS_KEPT) late_kept(a, was.threshold);
  if (found == TS_WAS_DROPPED) late_dropped(a, TS_NOT_SAMPLED);
  return found != TS_FORGOTTEN;
}

static int shed(struct arrival *a, uint64_t threshold) {
  struct sampler *s = a->s;
  struct ts_facts f = { .n_spans = 0 };
  uint64_t bits[16] = { 0 };
  f.bits = bits;
  if (s->words > 16) return 0;
  ts_facts_init(s->program, &f, a->id);
  ts_observe(&s->observer, a->resource, a->scope, a->span, a->span->rec.raw_n, &f);
  if (f.randomness >= threshold) return 0;
  struct ts_record r = { .time_unix_ns = s->host->now_unix_ns(), .outcome = TS_NOT_SAMPLED, .when = TS_WHEN_SHED, .threshold = threshold, .spans = 1, .bytes = a->span->rec.raw_n };
  memcpy(r.id, a->id, 16);
  ts_journal_add(s->journal, &r);
  ts_memory_drop(s->memory, a->id, a->hash);
  s->metrics->add(s->cells.shed, 1);
  s->metrics->add(s->cells.when[TS_WHEN_SHED], 1);
  s->host->dropped(s->stage, 1, "shed");
  return 1;
}

/* NULL: the span was counted as dropped. */
static struct ts_trace *begin_trace(struct arrival *a) {
  struct sampler *s = a->s;
  uint64_t threshold = ts_shed_threshold(s);
  if (threshold && shed(a, threshold)) return NULL;
  int full = s->cfg->num_traces && atomic_load_explicit(&s->shared->traces, memory_order_relaxed) >= s->cfg->num_traces;
  if (full && !s->cfg->block_on_overflow) ts_evict(s); /* else what began within this batch is over the limit, and the next batch is refused */
  struct ts_trace *t = ts_table_add(s->table, a->id, a->hash);
  uint64_t *bits = t && s->words > s->table_words ? calloc(s->words, sizeof *bits) : NULL;
  if (!t || (s->words > s->table_words && !bits)) {
    if (t) ts_table_remove(s->table, t);
    s->host->dropped(s->stage, 1, "no_memory");
    return NULL;
  }
  if (bits) t->facts.bits = bits;
  atomic_fetch_add_explicit(&s->shared->traces, 1, memory_order_relaxed);
  ts_facts_init(s->program, &t->facts, a->id);
  t->first_ns = a->now;
  t->generation = s->generation;
  t->shed_threshold = threshold;
  s->metrics->add(s->cells.new_traces, 1);
  return t;
}

static int too_large(struct sampler *s, struct ts_trace *t) {
  if (!s->cfg->maximum_trace_size_bytes || t->facts.bytes <= s->cfg->maximum_trace_size_bytes) return 0;
  ts_end(s, t, TS_WHEN_TOO_LARGE, NULL, 0);
  return 1;
}

/* What can be said already. */
static void judge(struct arrival *a, struct ts_trace *t, int news) {
  struct sampler *s = a->s;
  struct ts_verdict v = { .said = s->said };
  if (t->unread || too_large(s, t) || ts_is_collector(s) || !news || !ts_settled(s->program, &t->facts, &v)) return;
  ts_end(s, t, TS_WHEN_EARLY, &v, v.leaf != TS_LEAF_NONE && ts_leaf_matches(s->program, v.leaf, a->resource, a->scope, a->span) ? ts_span_id(a->span->span_id) : 0);
}

/* --- span-ingest as the Collector does it: each batch by itself ------------------------------------------------------------------ */

static struct ts_alone *alone_of(struct sampler *s, struct ts_trace *t) {
  if (t->alone) return &s->alone[t->alone - 1];
  uint64_t *bits = calloc(s->words + 1, sizeof *bits);
  if (s->n_alone == s->cap_alone) {
    size_t cap = s->cap_alone ? 2 * s->cap_alone : 64;
    struct ts_alone *more = realloc(s->alone, cap * sizeof *more);
    if (more) {
      s->alone = more;
      s->cap_alone = cap;
    }
  }
  if (!bits || s->n_alone == s->cap_alone) {
    free(bits);
    return NULL;
  }
  struct ts_alone *al = &s->alone[s->n_alone++];
  *al = (struct ts_alone){ .trace = t, .facts = { .bits = bits } };
  ts_facts_init(s->program, &al->facts, t->facts.id);
  t->alone = (uint32_t)s->n_alone;
  return al;
}

static void judge_alone(struct sampler *s, struct ts_alone *al) {
  struct ts_trace *t = al->trace;
  struct ts_verdict v = { .said = s->said };
  t->alone = 0;
  if (too_large(s, t)) return;
  al->facts.n_spans = t->facts.n_spans;
  ts_decide(s->shared->program, &al->facts, s->host->now_mono_ns(), &v);
  if (v.outcome == TS_DROPPED || (v.outcome == TS_KEEP && !s->has_drop_policy)) ts_end(s, t, TS_WHEN_EARLY, &v, 0);
}

static void judge_all_alone(struct sampler *s) {
  for (size_t i = 0; i < s->n_alone; i++) {
    if (s->alone[i].trace) judge_alone(s, &s->alone[i]);
    free(s->alone[i].facts.bits);
  }
  s->n_alone = 0;
}

/* --- into its trace --------------------------------------------------------------------------------------------------------------- */

static void add_to_trace(struct arrival *a, struct ts_trace *t) {
  struct sampler *s = a->s;
  int first = t->newest == 0, had_root = t->facts.n_roots != 0;
  ts_ref ref = ts_store_put(s->store, a->resource, a->scope, a->span, t->newest);
  if (!ref) {
    s->host->dropped(s->stage, 1, "no_memory");
    if (first) ts_forget(s, t);
    return;
  }
  t->newest = ref;
  t->spans++;
  int news = ts_observe(&s->observer, a->resource, a->scope, a->span, a->span->rec.raw_n, &t->facts);
  if (!had_root && t->facts.n_roots && s->cfg->decision_wait_after_root_received) {
    t->root_ns = a->now;
    ts_table_root(s->table, t);
  }
  struct ts_alone *al = ts_judges_alone(s) ? alone_of(s, t) : NULL;
  if (al) ts_observe(&s->observer, a->resource, a->scope, a->span, a->span->rec.raw_n, &al->facts);
  else judge(a, t, news || first);
}

static void take_span(struct arrival *a) {
  struct sampler *s = a->s;
  if (!take_id(s, a->span, a->id)) {
    s->host->dropped(s->stage, 1, "invalid_trace_id");
    s->host->log(s->stage, WEIR_LOG_WARN, "a span was dropped: its trace id has %u bytes, or is all zeros", a->span->trace_id.n);
    return;
  }
  a->hash = ts_table_hash(s->table, a->id);
  struct ts_trace *t = ts_table_find(s->table, a->id, a->hash);
  if (follows_decision(a, t)) return;
  if (t && t->generation != s->generation) ts_renew(s, t);
  if (!t) t = begin_trace(a);
  if (t) add_to_trace(a, t);
}

static void take_all(struct sampler *s, const struct weir_data *d) {
  struct arrival a = { .s = s, .now = s->host->now_mono_ns() };
  ts_store_batch(s->store);
  ts_observer_batch(&s->observer);
  for (uint32_t i = 0; i < d->n_resources; i++) {
    a.resource = d->resources[i];
    for (uint32_t j = 0; j < a.resource->n_scopes; j++) {
      a.scope = a.resource->scopes[j];
      for (uint32_t k = 0; k < a.scope->n_records; k++) {
        a.span = a.scope->u.spans[k];
        take_span(&a);
      }
    }
    if (s->n_alone) judge_all_alone(s); /* there, a batch of one trace is what stands below one ResourceSpans */
  }
}

/* The late spans of traces that were kept go on at once, in the order in which they came. */
void ts_put_late(struct sampler *s) {
  if (!s->late) return;
  size_t before = s->out.n;
  if (ts_store_write(s->store, s->late, &s->out)) {
    s->out.n = before;
    s->out.failed = 0;
    while (s->n_runs > s->n_put) s->host->dropped(s->stage, s->runs[--s->n_runs].spans, "no_memory");
  }
  ts_store_release(s->store, s->late);
  s->late = 0;
  s->n_put = s->n_runs;
}

void ts_consume(void *self, struct weir_batch *b) {
  struct sampler *s = self;
  struct weir_error err = { 0 };
  struct weir_verdict why = { .code = WEIR_RETRY };
  struct weir_batch *own = NULL;
  if (!ts_has_room(s, &why)) {
    s->host->settle(s->stage, b, &why);
    return;
  }
  const struct weir_data *d = read_clean(s, b, &own, &err);
  if (!d) {
    why.code = err.code == WEIR_E_INVALID ? WEIR_REJECTED : WEIR_RETRY;
    why.msg = err.msg;
    s->host->settle(s->stage, b, &why);
    if (own) s->host->absorb(s->stage, own);
    return;
  }
  ts_step_begin(s);
  take_all(s, d);
  ts_flush(s);
  if (own) s->host->absorb(s->stage, own);
  s->host->absorb(s->stage, b);
  ts_settle_bytes(s);
  ts_arm(s);
}
