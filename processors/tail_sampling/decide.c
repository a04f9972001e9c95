/* A trace's end: asked at its time, in small steps, with a record of why. */
#include "tail_sampling.h"

#include <stdlib.h>
#include <string.h>

static uint16_t policy_text(struct sampler *s, uint16_t policy) {
  if (policy >= ts_program_policies(s->program)) return 0;
  if (!s->policy_texts[policy]) s->policy_texts[policy] = ts_journal_text(s->journal, ts_program_name(s->program, policy));
  return s->policy_texts[policy];
}

void ts_forget(struct sampler *s, struct ts_trace *t) {
  if (s->cursor == t) s->cursor = t->newer;
  if (s->stale == t) s->stale = t->newer;
  if (t->alone) s->alone[t->alone - 1].trace = NULL;
  if (t->facts.bits != (uint64_t *)(void *)(t + 1)) free(t->facts.bits);
  ts_table_remove(s->table, t);
  atomic_fetch_sub_explicit(&s->shared->traces, 1, memory_order_relaxed);
}

/* --- counting ---------------------------------------------------------------------------------------------------------------------- */

static void count_said(struct sampler *s, const struct ts_verdict *v) {
  for (uint32_t i = 0; i < ts_program_policies(s->program); i++) {
    struct ts_policy_cells *c = &s->cells.policies[i];
    if (v->said[i] == TS_SAID_SAMPLE) s->metrics->add(c->sampled, 1);
    if (v->said[i] == TS_SAID_NOT) s->metrics->add(c->not_sampled, 1);
    if (v->said[i] == TS_SAID_DROP) s->metrics->add(c->dropped, 1);
    if (v->said[i] == TS_SAID_ERROR) s->metrics->add(s->cells.errors, 1);
  }
}

static void count_end(struct sampler *s, const struct ts_trace *t, int when, const struct ts_verdict *v, int64_t age_ns) {
  count_said(s, v);
  s->metrics->add(v->outcome == TS_KEEP ? s->cells.sampled : v->outcome == TS_DROPPED ? s->cells.dropped : s->cells.not_sampled, 1);
  s->metrics->add(s->cells.when[when], 1);
  if (!t->facts.n_roots && when != TS_WHEN_EARLY) s->metrics->add(s->cells.rootless, 1);
  if (when == TS_WHEN_TOO_LARGE) s->metrics->add(s->cells.too_large, 1);
  s->metrics->observe(s->cells.removal_age, (double)age_ns / 1e9);
}

static const char *drop_reason(int when, const struct ts_verdict *v) {
  if (when == TS_WHEN_TOO_LARGE) return "trace_too_large";
  if (when == TS_WHEN_NUM_TRACES && v->policy == TS_LEAF_NONE) return "num_traces";
  if (when == TS_WHEN_SHUTDOWN && v->policy == TS_LEAF_NONE) return "shutdown";
  return v->outcome == TS_DROPPED ? "drop_policy" : "not_sampled";
}

/* --- the end ----------------------------------------------------------------------------------------------------------------------- */

static void nobody_asked(struct sampler *s, struct ts_verdict *v) {
  memset(v->said, TS_SAID_NOTHING, ts_program_policies(s->program));
  v->outcome = TS_NOT_SAMPLED;
  v->policy = v->leaf = v->sub = TS_LEAF_NONE;
  v->threshold = 0;
}

static void ask(struct sampler *s, const struct ts_trace *t, int when, struct ts_verdict *v) {
  int by_ingest = s->cfg->sampling_strategy == TS_SPAN_INGEST; /* what a batch did not settle is not sampled */
  int unasked = when == TS_WHEN_TOO_LARGE || (when == TS_WHEN_NUM_TRACES && ts_is_collector(s)) || (when == TS_WHEN_SHUTDOWN && s->cfg->drop_pending_traces_on_shutdown);
  if (unasked || by_ingest) nobody_asked(s, v);
  else ts_decide(s->shared->program, &t->facts, s->host->now_mono_ns(), v);
}

static void fill_record(struct sampler *s, const struct ts_trace *t, int when, const struct ts_verdict *v, uint64_t span, struct ts_record *r) {
  uint32_t missing = ts_store_missing_parents(s->store, t->newest);
  *r = (struct ts_record){ .time_unix_ns = s->host->now_unix_ns(), .age_ns = s->host->now_mono_ns() - t->first_ns, .span = span, .threshold = v->threshold,
    .bytes = t->facts.bytes, .spans = t->spans, .missing_parents = missing, .policy = policy_text(s, v->policy),
    .predicate = v->leaf == TS_LEAF_NONE ? 0 : ts_journal_text(s->journal, ts_leaf_text(s->program, v->leaf)), .outcome = v->outcome, .when = (uint8_t)when,
    .roots = (uint8_t)(t->facts.n_roots > 255 ? 255 : t->facts.n_roots) };
  memcpy(r->id, t->facts.id, 16);
}

static uint64_t find_span(struct sampler *s, ts_ref newest, uint16_t leaf) {
  uint64_t span = 0;
  for (ts_ref rest; newest && !span; newest = rest) {
    struct weir_batch *b;
    uint32_t n;
    const struct weir_data *d = ts_reread(s, newest, &b, &n, &rest);
    span = d ? ts_find_span(s, d, leaf) : 0;
    if (b) s->host->absorb(s->stage, b);
  }
  return span;
}

static void let_go(struct sampler *s, struct ts_trace *t, int when, const struct ts_verdict *v, struct ts_record *r) {
  uint16_t leaf = v->outcome == TS_DROPPED && !r->span ? v->leaf : TS_LEAF_NONE;
  s->host->dropped(s->stage, t->spans, drop_reason(when, v));
  if (ts_leave(s, t, 0, 0, leaf, r)) return;
  if (leaf != TS_LEAF_NONE) r->span = find_span(s, t->newest, leaf);
  ts_journal_add(s->journal, r);
}

static void send(struct sampler *s, struct ts_trace *t, const struct ts_verdict *v, const struct ts_record *r) {
  uint16_t leaf = r->span ? TS_LEAF_NONE : v->leaf;
  if (!ts_leave(s, t, 1, v->threshold, leaf, r)) ts_output(s, t->newest, t->spans, v->threshold, leaf, r);
}

/* Under `semantics: collector` a trace that no cache takes stays known until num_traces needs its place, but for what span-ingest gives up at its time: that is forgotten. */
static void remember(struct sampler *s, struct ts_trace *t, int when, const struct ts_verdict *v) {
  int keep = v->outcome == TS_KEEP;
  int64_t cache = keep ? s->cfg->decision_cache.sampled_cache_size : s->cfg->decision_cache.non_sampled_cache_size;
  ts_store_release(s->store, t->newest);
  t->newest = 0;
  if (ts_judges_alone(s) && cache <= 0 && (when == TS_WHEN_WAIT || when == TS_WHEN_ROOT)) {
    ts_forget(s, t);
    return;
  }
  if (ts_is_collector(s) && cache <= 0) {
    t->state = TS_DECIDED;
    t->outcome = v->outcome;
    ts_table_unroot(s->table, t);
    if (s->cursor == t) s->cursor = t->newer;
    return;
  }
  if (keep) ts_memory_keep(s->memory, t->facts.id, t->hash, (struct ts_remembered){ .policy = v->policy, .threshold = v->threshold });
  else ts_memory_drop(s->memory, t->facts.id, t->hash);
  ts_forget(s, t);
}

void ts_end(struct sampler *s, struct ts_trace *t, int when, const struct ts_verdict *given, uint64_t span) {
  struct ts_verdict v = { .said = s->said };
  struct ts_record r;
  while (ts_renew(s, t)) continue;
  if (given) v = *given;
  else ask(s, t, when, &v);
  if (v.threshold < t->shed_threshold) v.threshold = t->shed_threshold;
  fill_record(s, t, when, &v, span, &r);
  count_end(s, t, when, &v, r.age_ns);
  if (v.outcome == TS_KEEP) send(s, t, &v, &r);
  else let_go(s, t, when, &v, &r);
  remember(s, t, when, &v);
}

void ts_forget_decided(struct sampler *s, struct ts_trace *t) {
  if (t->outcome == TS_KEEP) ts_memory_keep(s->memory, t->facts.id, t->hash, (struct ts_remembered){ .policy = TS_LEAF_NONE });
  else ts_memory_drop(s->memory, t->facts.id, t->hash);
  ts_forget(s, t);
}

void ts_evict(struct sampler *s) {
  struct ts_trace *t = ts_table_oldest(s->table);
  if (!t) return;
  if (!ts_is_collector(s)) {
    if (t->state == TS_DECIDED) {
      ts_forget_decided(s, t);
      return;
    }
    ts_end(s, t, TS_WHEN_NUM_TRACES, NULL, 0);
    return;
  }
  if (t->state == TS_UNDECIDED) { /* its later spans begin a new trace, as there */
    struct ts_verdict v = { .said = s->said };
    struct ts_record r;
    nobody_asked(s, &v);
    fill_record(s, t, TS_WHEN_NUM_TRACES, &v, 0, &r);
    s->metrics->add(s->cells.too_early, 1);
    let_go(s, t, TS_WHEN_NUM_TRACES, &v, &r);
    ts_store_release(s->store, t->newest);
  }
  ts_forget(s, t);
}

/* --- the time ---------------------------------------------------------------------------------------------------------------------- */

/* The Collector's clock ticks once a second, and whole seconds count from the tick after the arrival. */
static int64_t by_ticks(const struct sampler *s, int64_t from, int64_t wait, int64_t at_least) {
  int64_t seconds = wait / TS_SECOND < at_least ? at_least : wait / TS_SECOND, tick = (from - s->began_ns) / TS_SECOND;
  return s->began_ns + (tick + 1 + seconds) * TS_SECOND;
}

static int64_t due_by_arrival(const struct sampler *s, const struct ts_trace *t) {
  return ts_is_collector(s) ? by_ticks(s, t->first_ns, s->cfg->decision_wait, 1) : t->first_ns + s->cfg->decision_wait;
}

static int64_t due_by_root(const struct sampler *s, const struct ts_trace *t) {
  int64_t wait = s->cfg->decision_wait_after_root_received;
  return ts_is_collector(s) ? by_ticks(s, t->root_ns, wait, 0) : t->root_ns + wait;
}

static struct ts_trace *oldest_undecided(struct sampler *s) {
  struct ts_trace *t = s->cursor ? s->cursor : ts_table_oldest(s->table);
  while (t && t->state == TS_DECIDED) t = t->newer;
  s->cursor = t;
  return t;
}

/* The next trace that is due, whatever the time. NULL: none waits. */
static struct ts_trace *next_due(struct sampler *s, int64_t *ret_due, int *ret_when) {
  struct ts_trace *a = oldest_undecided(s), *r = s->cfg->decision_wait_after_root_received ? ts_table_oldest_root(s->table) : NULL;
  if (!a) return NULL;
  *ret_due = due_by_arrival(s, a);
  *ret_when = TS_WHEN_WAIT;
  if (!r || due_by_root(s, r) >= *ret_due) return a;
  *ret_due = due_by_root(s, r);
  *ret_when = TS_WHEN_ROOT;
  return r;
}

void ts_arm(struct sampler *s) {
  int64_t due = 0, now = s->host->now_mono_ns();
  int when;
  struct ts_trace *t = next_due(s, &due, &when);
  if (s->n_runs || s->leaving_waits) due = now + TS_RETRY_NS;
  else if (s->draining || s->stale || s->leaving) due = now;
  else if (!t) return;
  else if (!ts_is_collector(s) && due < now + TS_QUANTUM_NS) due = now + TS_QUANTUM_NS;
  if (s->due_ns && s->due_ns <= due) return;
  s->due_ns = due;
  s->timers->set(s->timer, due > now ? due - now : 0);
}

/* Ends at most so many traces as one step may. 1: there are more. */
static int end_due(struct sampler *s) {
  int64_t now = s->host->now_mono_ns(), due;
  int when;
  for (uint32_t n = 0; n < TS_STEP_TRACES && !ts_step_is_over(s) && s->out.n < 4 * TS_OUT_BYTES; n++) {
    struct ts_trace *t = next_due(s, &due, &when);
    if (!t || (due > now && !s->draining)) return 0;
    if (ts_renew(s, t)) continue;
    ts_end(s, t, due > now ? TS_WHEN_SHUTDOWN : when, NULL, 0);
  }
  return 1;
}

void ts_on_timer(void *self) {
  struct sampler *s = self;
  int64_t began = s->host->now_mono_ns();
  s->due_ns = 0;
  ts_step_begin(s);
  ts_leave_some(s);
  int more = end_due(s);
  ts_renew_some(s);
  ts_flush(s);
  if (!ts_table_count(s->table) && !s->leaving) ts_store_trim(s->store); /* a pause: what was kept for the next spans goes */
  ts_settle_bytes(s);
  s->metrics->observe(s->cells.latency, (double)(s->host->now_mono_ns() - began) / 1e6);
  if (s->draining && !more && !s->n_runs && !s->leaving) {
    s->draining = 0;
    s->host->drained(s->stage);
  } else if (more && !s->n_runs && !s->leaving_waits) {
    s->due_ns = began;
    s->timers->set(s->timer, 0);
  } else {
    ts_arm(s);
  }
}
