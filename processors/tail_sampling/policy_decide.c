/* From the facts of a trace to its verdict: at the end (ts_decide), and before when nothing can change it any more (ts_settled). No span is looked at. */
#include <string.h>

#include "policy_internal.h"

/* What a leaf, a term or a policy says. */
#define NO 0
#define YES 1
#define OPEN 2 /* more spans may change it, or a rate was not asked */
#define FAILED 3

struct asked {
  const struct ts_program *p;
  const struct ts_facts *f;
  int64_t now_ns;
  uint16_t sub; /* composite: the term that decided */
};

static int is_rate(const struct ts_leaf *l) { return l->type == TS_RATE_LIMITING || l->type == TS_BYTES_LIMITING; }
static int turned(const struct ts_leaf *l, int yes) { return l->invert ? !yes : yes; }
static const struct ts_leaf *leaf_at(const struct ts_program *p, const struct ts_term *t, uint32_t i) { return &p->leaves[t->first + i]; }

/* --- at the end ------------------------------------------------------------------------------------- */

static int latency(const struct asked *a, const struct ts_leaf *l) {
  if (a->p->collector) return ts_bit(a->f->bits, l->bit);
  return ts_longer(a->f, l->u.latency.over_ms) && !(l->u.latency.upto_ms && ts_longer(a->f, l->u.latency.upto_ms));
}

static int span_count(const struct ts_leaf *l, uint64_t n) { return n >= l->u.count.min && (!l->u.count.max || n <= l->u.count.max); }

static int ask_leaf(const struct asked *a, const struct ts_leaf *l) {
  switch (l->type) {
  case TS_ALWAYS_SAMPLE:
    return turned(l, YES);
  case TS_LATENCY:
    return turned(l, latency(a, l));
  case TS_SPAN_COUNT:
    return turned(l, span_count(l, a->f->n_spans));
  case TS_PROBABILISTIC:
    return turned(l, ts_chance(l, a->f));
  case TS_RATE_LIMITING:
    return turned(l, ts_rate_take(l->u.rate, a->f->n_spans, a->now_ns));
  case TS_BYTES_LIMITING:
    return turned(l, ts_rate_take(l->u.rate, a->f->bytes, a->now_ns));
  case TS_OTTL:
    if (!ts_bit(a->f->bits, l->bit) && l->error_bit != TS_LEAF_NONE && ts_bit(a->f->bits, l->error_bit)) return FAILED;
    return turned(l, ts_bit(a->f->bits, l->bit));
  default:
    return turned(l, ts_bit(a->f->bits, l->bit));
  }
}

/* The first leaf that does not say yes has the word. Strict asks rates last, so that a budget is spent only on what all others want. */
static int ask_term(const struct asked *a, const struct ts_term *t) {
  int passes = t->asks_rate && !a->p->collector ? 2 : 1;
  for (int pass = 0; pass < passes; pass++)
    for (uint32_t i = 0; i < t->n; i++) {
      const struct ts_leaf *l = leaf_at(a->p, t, i);
      if (passes == 2 && is_rate(l) != pass) continue;
      int said = ask_leaf(a, l);
      if (said != YES) return said;
    }
  return YES;
}

/* Room in the share of this sub-policy, and in the total. The Collector compares the total with the share's own spans; a share is never more than that. */
static int has_room(const struct asked *a, const struct ts_policy *q, const struct ts_term *t) {
  uint64_t n = a->f->n_spans;
  if (!ts_second_take(t->rate, n, a->now_ns)) return 0;
  if (a->p->collector || ts_second_take(q->total, n, a->now_ns)) return 1;
  ts_second_return(t->rate, n, a->now_ns);
  return 0;
}

static int ask_composite(struct asked *a, const struct ts_policy *q) {
  for (uint32_t i = 0; i < q->n; i++) {
    const struct ts_term *t = &a->p->terms[q->first + q->sub_order[i]];
    int said = ask_term(a, t);
    if (said == FAILED) return FAILED;
    if (said != YES) continue;
    a->sub = q->sub_order[i];
    if (has_room(a, q, t)) return YES;
    if (a->p->collector) return NO; /* the next one is not asked */
  }
  return NO;
}

static int ask(struct asked *a, const struct ts_policy *q) {
  a->sub = TS_LEAF_NONE;
  return q->type == TS_COMPOSITE ? ask_composite(a, q) : ask_term(a, &a->p->terms[q->first]);
}

/* --- before the end ----------------------------------------------------------------------------------- */

/* A bit that is set stays set; sums only grow. */
static int known_leaf(const struct ts_leaf *l, const struct ts_facts *f) {
  int upper = (l->type == TS_LATENCY && l->u.latency.upto_ms) || (l->type == TS_SPAN_COUNT && l->u.count.max);
  if (l->type == TS_ALWAYS_SAMPLE) return turned(l, YES);
  if (l->type == TS_PROBABILISTIC) return turned(l, ts_chance(l, f));
  if (is_rate(l) || !ts_bit(f->bits, l->bit)) return OPEN;
  return turned(l, upper ? NO : YES);
}

static int known_term(const struct ts_program *p, const struct ts_term *t, const struct ts_facts *f) {
  int said = YES;
  for (uint32_t i = 0; i < t->n; i++) {
    int of_leaf = known_leaf(leaf_at(p, t, i), f);
    if (of_leaf == NO) return NO;
    if (of_leaf == OPEN) said = OPEN;
  }
  return said;
}

static int known(const struct ts_program *p, const struct ts_policy *q, const struct ts_facts *f) {
  if (q->type != TS_COMPOSITE) return known_term(p, &p->terms[q->first], f);
  for (uint32_t i = 0; i < q->n; i++)
    if (known_term(p, &p->terms[q->first + i], f) != NO) return OPEN; /* its room is known when it is asked */
  return NO;
}

/* --- the verdict ----------------------------------------------------------------------------------------- */

static uint8_t word(const struct ts_policy *q, int said) {
  if (said == OPEN) return TS_SAID_NOTHING;
  if (said == FAILED) return TS_SAID_ERROR;
  if (said == NO) return TS_SAID_NOT;
  return q->type == TS_DROP ? TS_SAID_DROP : TS_SAID_SAMPLE;
}

int ts_leaf_is_set(const struct ts_program *p, const struct ts_facts *f, uint16_t leaf) {
  const struct ts_leaf *l = leaf < p->n_leaves ? &p->leaves[leaf] : NULL;
  if (!l || l->invert || l->bit == TS_LEAF_NONE || l->type == TS_LATENCY || l->type == TS_SPAN_COUNT) return 0;
  return ts_bit(f->bits, l->bit);
}

/* Of the leaves of a term that is true the first that a span made true; else its first. */
static uint16_t telling_leaf(const struct ts_program *p, const struct ts_term *t, const struct ts_facts *f) {
  for (uint32_t i = t->first; i < (uint32_t)t->first + t->n; i++)
    if (ts_leaf_is_set(p, f, (uint16_t)i)) return (uint16_t)i;
  return t->first;
}

static void conclude(const struct ts_program *p, const struct ts_facts *f, uint8_t outcome, uint16_t policy, uint16_t sub, struct ts_verdict *v) {
  const struct ts_policy *q = &p->policies[policy];
  const struct ts_term *t = &p->terms[q->first + (sub == TS_LEAF_NONE ? 0 : sub)];
  v->outcome = outcome;
  v->policy = policy;
  v->sub = sub;
  v->leaf = telling_leaf(p, t, f);
  v->threshold = outcome != TS_KEEP || (p->collector && q->type == TS_COMPOSITE) ? 0 : t->threshold;
}

static void start(const struct ts_program *p, struct ts_verdict *v) {
  uint8_t *said = v->said;
  *v = (struct ts_verdict){ .outcome = TS_NOT_SAMPLED, .policy = TS_LEAF_NONE, .leaf = TS_LEAF_NONE, .sub = TS_LEAF_NONE, .said = said };
  memset(said, TS_SAID_NOTHING, p->n_policies);
}

/* Of all that keep it the one with the lowest threshold has the word, and of equals the first. */
static int better(const struct ts_verdict *v, uint16_t policy, uint64_t threshold) {
  if (v->outcome != TS_KEEP) return 1;
  return threshold < v->threshold || (threshold == v->threshold && policy < v->policy);
}

static int dropped(struct asked *a, struct ts_verdict *v) {
  for (uint32_t i = 0; i < a->p->n_drop; i++) {
    uint16_t policy = a->p->order[i];
    const struct ts_policy *q = &a->p->policies[policy];
    int said = ask(a, q);
    v->said[policy] = word(q, said);
    if (said != YES || q->dry_run) continue;
    conclude(a->p, a->f, TS_DROPPED, policy, TS_LEAF_NONE, v);
    return 1;
  }
  return 0;
}

/* Asks one policy; 1 when it keeps the trace. */
static int keeps(struct asked *a, uint16_t policy, struct ts_verdict *v) {
  const struct ts_policy *q = &a->p->policies[policy];
  int said = ask(a, q);
  v->said[policy] = word(q, said);
  if (said != YES || q->dry_run) return 0;
  struct ts_verdict mine = *v;
  conclude(a->p, a->f, TS_KEEP, policy, a->sub, &mine);
  if (a->p->first_match || better(v, policy, mine.threshold)) *v = mine;
  return 1;
}

static void ask_in_order(struct asked *a, struct ts_verdict *v) {
  for (uint32_t i = a->p->n_drop; i < a->p->n_policies; i++)
    if (keeps(a, a->p->order[i], v) && a->p->first_match) return;
}

/* Those without a rate first; rates only while the trace is not kept at threshold 0 anyway. So which traces take from a budget does not depend on how early others were settled. */
static void ask_rates_last(struct asked *a, struct ts_verdict *v) {
  const struct ts_program *p = a->p;
  uint32_t end = p->n_policies;
  for (uint32_t i = p->n_drop; i < end; i++)
    if (!p->policies[p->order[i]].asks_rate && keeps(a, p->order[i], v) && p->first_match) end = i;
  for (uint32_t i = p->n_drop; i < end; i++) {
    if (v->outcome == TS_KEEP && v->threshold == 0) return;
    if (p->policies[p->order[i]].asks_rate && keeps(a, p->order[i], v) && p->first_match) return;
  }
}

void ts_decide(struct ts_program *p, const struct ts_facts *f, int64_t now_mono_ns, struct ts_verdict *v) {
  struct asked a = { p, f, now_mono_ns, TS_LEAF_NONE };
  start(p, v);
  if (dropped(&a, v)) return;
  if (p->collector)
    ask_in_order(&a, v);
  else
    ask_rates_last(&a, v);
}

/* --- settled ------------------------------------------------------------------------------------------------- */

/* 1 dropped, 0 no drop policy can become true, -1 not known. */
static int settled_drop(const struct ts_program *p, const struct ts_facts *f, struct ts_verdict *v) {
  int open = 0;
  for (uint32_t i = 0; i < p->n_drop; i++) {
    uint16_t policy = p->order[i];
    const struct ts_policy *q = &p->policies[policy];
    int said = known(p, q, f);
    v->said[policy] = word(q, said);
    if (said == OPEN && !(q->dry_run && q->asks_rate)) open = 1;
    if (said != YES || q->dry_run || v->outcome == TS_DROPPED) continue;
    conclude(p, f, TS_DROPPED, policy, TS_LEAF_NONE, v);
  }
  return v->outcome == TS_DROPPED ? 1 : open ? -1 : 0;
}

int ts_settled(const struct ts_program *p, const struct ts_facts *f, struct ts_verdict *v) {
  uint64_t lowest = TS_R_ALWAYS + 1; /* that an open policy may keep it with */
  int open = 0, lowest_differs = 0;
  if (p->collector) return 0;
  start(p, v);
  int drop = settled_drop(p, f, v);
  if (drop) return drop > 0;
  for (uint32_t i = p->n_drop; i < p->n_policies; i++) {
    uint16_t policy = p->order[i];
    const struct ts_policy *q = &p->policies[policy];
    int said = known(p, q, f);
    v->said[policy] = word(q, said);
    if (said == OPEN && q->dry_run && !q->asks_rate) return 0;
    if (q->dry_run || said == NO) continue;
    if (said == OPEN) {
      open = 1;
      if (q->threshold < lowest) lowest = q->threshold;
      if (q->threshold && !q->asks_rate) lowest_differs = 1;
      continue;
    }
    struct ts_verdict mine = *v;
    conclude(p, f, TS_KEEP, policy, TS_LEAF_NONE, &mine);
    if (better(v, policy, mine.threshold)) *v = mine;
    if (p->first_match) break;
  }
  if (v->outcome != TS_KEEP) return !open;
  if (p->first_match) return v->threshold ? !open : !lowest_differs;
  return v->threshold <= lowest;
}
