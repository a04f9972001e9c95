/* A reload: undecided traces go on under the new policies. Store, table, decisions and records move as they are; bits are made anew from the spans' bytes, a few traces in each
 * step, and at the latest when a trace gets a span or is due. */
#include "tail_sampling.h"

#include <stdlib.h>
#include <string.h>

#define TS_RENEW_TRACES 64u /* in one step */

/* A few words: where there is no memory for these, nothing can go on, as in the host. */
static void fit_bits(struct sampler *s, struct ts_trace *t) {
  uint64_t *own = (uint64_t *)(void *)(t + 1);
  uint64_t *bits = s->words > s->table_words ? calloc(s->words, sizeof *bits) : own;
  if (!bits) {
    s->host->log(s->stage, WEIR_LOG_ERROR, "no memory for %u bytes", (unsigned)(s->words * sizeof *bits));
    abort();
  }
  if (t->facts.bits != own) free(t->facts.bits);
  t->facts.bits = bits;
  memset(bits, 0, s->words * sizeof *bits);
}

/* It is judged without them. */
static void cannot_read(struct sampler *s, struct ts_trace *t, uint32_t n) {
  if (!n) t->unread = 0;
  s->observer.errors++;
  s->host->log(s->stage, WEIR_LOG_ERROR, "spans of a trace could not be read again for the new policies: no memory");
}

static void begin(struct sampler *s, struct ts_trace *t) {
  uint8_t id[16];
  memcpy(id, t->facts.id, 16);
  t->unread = 0;
  if (t->state != TS_DECIDED) fit_bits(s, t);
  t->generation = s->generation;
  if (t->state == TS_DECIDED) return;
  t->unread = t->newest;
  t->facts = (struct ts_facts){ .bits = t->facts.bits };
  ts_facts_init(s->program, &t->facts, id);
}

int ts_renew(struct sampler *s, struct ts_trace *t) {
  struct weir_batch *b;
  uint32_t n;
  if (t->generation != s->generation) begin(s, t);
  if (!t->unread) return 0;
  const struct weir_data *d = ts_reread(s, t->unread, &b, &n, &t->unread);
  if (!d) cannot_read(s, t, n);
  ts_observer_batch(&s->observer);
  for (uint32_t i = 0; d && i < d->n_resources; i++)
    for (uint32_t j = 0; j < d->resources[i]->n_scopes; j++)
      for (uint32_t k = 0; k < d->resources[i]->scopes[j]->n_records; k++) {
        const struct weir_span *span = d->resources[i]->scopes[j]->u.spans[k];
        ts_observe(&s->observer, d->resources[i], d->resources[i]->scopes[j], span, span->rec.raw_n, &t->facts);
      }
  if (b) s->host->absorb(s->stage, b);
  ts_observer_batch(&s->observer);
  return t->unread != 0;
}

void ts_renew_some(struct sampler *s) {
  struct ts_verdict v = { .said = s->said };
  for (uint32_t n = 0; s->stale && n < TS_RENEW_TRACES && !ts_step_is_over(s); n++) {
    struct ts_trace *t = s->stale;
    int is_new = t->generation == s->generation && !t->unread;
    if (t->state == TS_DECIDED && !ts_is_collector(s)) {
      s->stale = t->newer;
      ts_forget_decided(s, t);
      continue;
    }
    if (!is_new && ts_renew(s, t)) continue;
    s->stale = t->newer;
    if (is_new || t->state == TS_DECIDED) continue;
    if (!ts_is_collector(s) && ts_settled(s->program, &t->facts, &v)) ts_end(s, t, TS_WHEN_EARLY, &v, 0);
  }
}

/* Under `semantics: collector` without caches there is none: not even room for one. */
static int has_memory(const struct sampler *s) { return !ts_is_collector(s) || s->cfg->decision_cache.sampled_cache_size > 0 || s->cfg->decision_cache.non_sampled_cache_size > 0; }

void ts_adopt(void *self, void *from) {
  struct sampler *s = self, *old = from;
  struct ts_table *table = s->table;
  struct ts_store *store = s->store;
  uint64_t n = ts_table_count(old->table);
  ts_put_late(old);
  ts_flush(old);
  ts_leave_moves(s, old);
  s->table = old->table;
  s->store = old->store;
  s->table_words = old->table_words;
  s->began_ns = old->began_ns;
  s->generation = (uint8_t)(old->generation + 1);
  s->stale = ts_table_oldest(s->table);
  old->table = table;
  old->store = store;
  old->table_words = s->words;
  old->cursor = old->stale = NULL;
  atomic_fetch_sub_explicit(&old->shared->traces, n, memory_order_relaxed);
  atomic_fetch_add_explicit(&s->shared->traces, n, memory_order_relaxed);
  struct ts_memory *memory = s->memory;
  if (has_memory(old)) {
    s->memory = old->memory;
    old->memory = memory;
  }
  ts_journal_move(s->journal, old->journal);
  ts_settle_bytes(old);
  ts_settle_bytes(s);
  ts_arm(s);
}
