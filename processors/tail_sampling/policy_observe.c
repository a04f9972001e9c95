/* Looking at one span: what it makes true becomes bits and sums of its trace. The hot path: one probe per attribute, typed compares only where a policy asks. */
#include <math.h>
#include <stdlib.h>

#include "plugins/kit/tracestate.h"
#include "policy_internal.h"

/* --- one value ------------------------------------------------------------------------------------ */

static int in_range(const struct ts_leaf *l, int64_t v) { return v >= l->u.numeric.min && v <= l->u.numeric.max; }

#define TWO_63 9223372036854775808.0

/* Exact: a double is compared by the whole numbers around it. */
static int double_in_range(const struct ts_leaf *l, double v) {
  if (isnan(v)) return 0;
  int above = !l->u.numeric.has_min || v >= TWO_63 || (v >= -TWO_63 && (int64_t)floor(v) >= l->u.numeric.min);
  int below = !l->u.numeric.has_max || v < -TWO_63 || (v < TWO_63 && (int64_t)ceil(v) <= l->u.numeric.max);
  return above && below;
}

static int number_matches(const struct ts_program *p, const struct ts_leaf *l, const struct weir_value *v) {
  if (v->kind == WEIR_V_INT) return in_range(l, v->u.i);
  if (p->collector) return in_range(l, 0); /* v.Int() of anything else */
  return v->kind == WEIR_V_DOUBLE && double_in_range(l, v->u.d);
}

static int text_matches(const struct ts_program *p, const struct ts_leaf *l, const struct weir_value *v, int of_resource, uint64_t *errors) {
  const char *s = v->u.s;
  uint32_t n = v->n;
  if (v->kind != WEIR_V_STRING) {
    if (!p->collector) return 0;
    s = ""; /* v.Str() of anything else */
    n = 0;
  }
  if (p->collector && n == 0 && !of_resource) return 0;
  if (!l->u.text.regexes) return ts_texts_have(&l->u.text.values, s, n);
  for (uint32_t i = 0; i < l->u.text.n_regexes; i++) {
    int rc = p->regex->match(l->u.text.regexes[i], n ? s : "", n);
    if (rc > 0) return 1;
    *errors += rc < 0;
  }
  return 0;
}

int ts_attr_matches(const struct ts_program *p, const struct ts_leaf *l, const struct weir_value *v, int of_resource, uint64_t *errors) {
  switch (l->type) {
  case TS_NUMERIC:
    return number_matches(p, l, v);
  case TS_STRING:
    return text_matches(p, l, v, of_resource, errors);
  default: /* TS_BOOLEAN; v.Bool() of anything else is false */
    if (v->kind == WEIR_V_BOOL) return (v->u.i != 0) == l->u.boolean;
    return p->collector && !l->u.boolean;
  }
}

/* --- conditions ------------------------------------------------------------------------------------- */

static int any_true(const struct ts_program *p, const struct ts_leaf *l, struct weir_expr *const *v, uint32_t n, const struct weir_expr_input *in, uint64_t *errors) {
  int failed = 0;
  for (uint32_t i = 0; i < n; i++) {
    int rc = p->expr->eval(v[i], in, NULL);
    if (rc > 0) return 1;
    if (rc == 0) continue;
    *errors += l->u.ottl.mode != TS_ERROR_SILENT;
    if (l->u.ottl.mode != TS_ERROR_PROPAGATE) continue;
    failed = -1;
    if (p->collector) break; /* the first error ends it; strict looks whether another one is true */
  }
  return failed;
}

int ts_ottl_matches(const struct ts_program *p, const struct ts_leaf *l, const struct weir_expr_input *in, uint64_t *errors) {
  int rc = any_true(p, l, l->u.ottl.span, l->u.ottl.n_span, in, errors);
  struct weir_expr_input event = *in;
  if (rc > 0 || (rc < 0 && p->collector)) return rc;
  for (uint32_t i = 0; i < in->span->n_events && l->u.ottl.n_event; i++) {
    event.event = in->span->events[i];
    int of_event = any_true(p, l, l->u.ottl.event, l->u.ottl.n_event, &event, errors);
    if (of_event > 0 || (of_event < 0 && p->collector)) return of_event;
    if (of_event < 0) rc = of_event;
  }
  return rc;
}

static int set_bit(uint64_t *bits, uint16_t bit) {
  uint64_t mask = 1ull << (bit & 63), *word = &bits[bit >> 6];
  int is_new = !(*word & mask);
  *word |= mask;
  return is_new;
}

static int look_at_conditions(struct ts_observer *o, const struct weir_resource *r, const struct weir_scope *s, const struct weir_span *span, uint64_t *bits) {
  const struct ts_program *p = o->program;
  struct weir_expr_input in = { sizeof in, 0, r, s, span, NULL };
  int changed = 0;
  for (uint32_t i = 0; i < p->n_conditions; i++) {
    const struct ts_leaf *l = &p->leaves[p->conditions[i]];
    int failed = l->error_bit != TS_LEAF_NONE && ts_bit(bits, l->error_bit);
    if (ts_bit(bits, l->bit) || (failed && p->collector)) continue;
    int rc = ts_ottl_matches(p, l, &in, &o->errors);
    if (rc) changed |= set_bit(bits, rc > 0 ? l->bit : l->error_bit);
  }
  return changed;
}

/* --- attributes --------------------------------------------------------------------------------------- */

static int test_key(struct ts_observer *o, const struct ts_key *k, const struct weir_value *v, int of_resource, uint64_t *bits) {
  const struct ts_program *p = o->program;
  int changed = 0;
  if (p->collector) {
    if (o->seen[k - p->keys] == o->serial) return 0;
    o->seen[k - p->keys] = o->serial;
  }
  for (uint32_t i = k->first; i < k->first + k->n; i++) {
    const struct ts_leaf *l = &p->leaves[p->by_key[i]];
    if (!ts_bit(bits, l->bit) && ts_attr_matches(p, l, v, of_resource, &o->errors)) changed |= set_bit(bits, l->bit);
  }
  return changed;
}

static int look_at_attributes(struct ts_observer *o, const struct weir_rec *rec, int of_resource, uint64_t *bits) {
  int changed = 0;
  if (++o->serial == 0 && o->seen) { /* once in 2^32 records */
    memset(o->seen, 0, (o->program->keys_mask + 1) * sizeof *o->seen);
    o->serial = 1;
  }
  for (const struct weir_attr *a = rec->attrs, *end = a + rec->n_attrs; a < end; a++) {
    const struct ts_key *k = ts_keys_find(o->program, a->key);
    if (k) changed |= test_key(o, k, &a->value, of_resource, bits);
  }
  return changed;
}

static void look_at_resource(struct ts_observer *o, const struct weir_resource *r) {
  o->resource = r;
  memset(o->resource_bits, 0, o->program->words * sizeof *o->resource_bits);
  look_at_attributes(o, &r->rec, 1, o->resource_bits);
}

static int set_bits(uint64_t *bits, const uint64_t *mask, uint32_t words) {
  uint64_t new_ones = 0;
  for (uint32_t i = 0; i < words; i++) {
    new_ones |= mask[i] & ~bits[i];
    bits[i] |= mask[i];
  }
  return new_ones != 0;
}

/* --- tracestate ------------------------------------------------------------------------------------------ */

static int member_matches(const struct ts_program *p, const struct ts_leaf *l, const struct kit_tracestate *t) {
  struct weir_str v = kit_tracestate_get(t, l->u.member.key);
  return v.p && ts_texts_have(&l->u.member.values, v.p, v.n) && (!p->collector || kit_tracestate_level1(t));
}

static int look_at_tracestate(struct ts_observer *o, struct weir_str text, struct ts_facts *f) {
  const struct ts_program *p = o->program;
  struct kit_tracestate t;
  int changed = 0, bad = kit_tracestate_parse(text.p, text.n, &t);
  if (bad || t.flags & KIT_TRACESTATE_BAD_OT) {
    f->flags |= TS_F_BAD_TRACESTATE;
    o->bad_tracestates++;
  }
  if (bad) return 0;
  if (t.flags & KIT_TRACESTATE_TH) {
    f->flags |= TS_F_TH;
    if (t.th > f->th) f->th = t.th;
  }
  if (t.flags & KIT_TRACESTATE_RV && (!(f->flags & TS_F_RV) || t.rv > f->randomness)) {
    changed = t.rv != f->randomness;
    f->flags |= TS_F_RV;
    f->randomness = t.rv;
  }
  for (uint32_t i = 0; i < p->n_members; i++) {
    const struct ts_leaf *l = &p->leaves[p->members[i]];
    if (!ts_bit(f->bits, l->bit) && member_matches(p, l, &t)) changed |= set_bit(f->bits, l->bit);
  }
  return changed;
}

/* --- sums ---------------------------------------------------------------------------------------------------- */

#define MS 1000000u

int ts_longer(const struct ts_facts *f, int64_t ms) {
  if (!f->min_start || f->max_end <= f->min_start) return 0;
  uint64_t ns = f->max_end - f->min_start, limit = (uint64_t)ms;
  return ns / MS > limit || (ns / MS == limit && ns % MS);
}

/* The Collector's test of each prefix, in whole milliseconds; a start of 0 in between makes it forget what was before. */
static int collector_latency(const struct ts_leaf *l, const struct ts_facts *f) {
  int64_t ms = (int64_t)(f->max_end - f->min_start) / (int64_t)MS;
  return l->u.latency.over_ms < ms && (!l->u.latency.upto_ms || ms <= l->u.latency.upto_ms);
}

static int sum_is_reached(const struct ts_program *p, const struct ts_leaf *l, const struct ts_facts *f) {
  if (l->type == TS_SPAN_COUNT) return l->u.count.max ? f->n_spans > l->u.count.max : f->n_spans >= l->u.count.min;
  if (p->collector) return collector_latency(l, f);
  return ts_longer(f, l->u.latency.upto_ms ? l->u.latency.upto_ms : l->u.latency.over_ms);
}

static int look_at_sums(const struct ts_program *p, struct ts_facts *f) {
  int changed = 0;
  for (uint32_t i = 0; i < p->n_sums; i++) {
    const struct ts_leaf *l = &p->leaves[p->sums[i]];
    if (!ts_bit(f->bits, l->bit) && sum_is_reached(p, l, f)) changed |= set_bit(f->bits, l->bit);
  }
  return changed;
}

static int is_root(const struct weir_span *span) {
  for (uint32_t i = 0; i < span->parent_span_id.n; i++)
    if (span->parent_span_id.p[i]) return 0;
  return 1;
}

static void add_up(const struct ts_program *p, const struct weir_span *span, uint64_t bytes, struct ts_facts *f) {
  uint64_t start = span->start_time_unix_nano;
  f->n_spans++;
  f->bytes += bytes;
  if ((start || p->collector) && (!f->min_start || start < f->min_start)) f->min_start = start;
  if (span->end_time_unix_nano > f->max_end) f->max_end = span->end_time_unix_nano;
  if (f->n_roots < UINT16_MAX && is_root(span)) f->n_roots++;
}

/* --- the whole ------------------------------------------------------------------------------------------------- */

int ts_observe(struct ts_observer *o, const struct weir_resource *r, const struct weir_scope *s, const struct weir_span *span, uint64_t bytes, struct ts_facts *f) {
  const struct ts_program *p = o->program;
  int changed = 0;
  add_up(p, span, bytes, f);
  if (p->n_keys) {
    if (r != o->resource) look_at_resource(o, r);
    changed |= set_bits(f->bits, o->resource_bits, p->words);
    changed |= look_at_attributes(o, &span->rec, 0, f->bits);
  }
  if (span->status_code >= 0 && span->status_code < 3) changed |= set_bits(f->bits, p->status_masks[span->status_code], p->words);
  if (span->flags & 1u) changed |= set_bits(f->bits, p->flags_mask, p->words);
  if (span->trace_state.n) changed |= look_at_tracestate(o, span->trace_state, f);
  if (p->n_conditions) changed |= look_at_conditions(o, r, s, span, f->bits);
  if (p->n_sums) changed |= look_at_sums(p, f);
  return changed;
}

void ts_facts_init(const struct ts_program *p, struct ts_facts *f, const uint8_t id[16]) {
  memcpy(f->id, id, sizeof f->id);
  f->randomness = 0;
  for (int i = 9; i < 16; i++) f->randomness = f->randomness << 8 | id[i];
  memset(f->bits, 0, p->words * sizeof *f->bits);
}

int ts_observer_init(struct ts_observer *o, const struct ts_program *p) {
  memset(o, 0, sizeof *o);
  o->program = p;
  o->resource_bits = calloc(p->words + 1, sizeof *o->resource_bits);
  o->seen = p->collector ? calloc(p->keys_mask + 1, sizeof *o->seen) : NULL;
  if (o->resource_bits && (o->seen || !p->collector)) return 0;
  ts_observer_done(o);
  return WEIR_E_NOMEM;
}

void ts_observer_done(struct ts_observer *o) {
  free(o->resource_bits);
  free(o->seen);
  memset(o, 0, sizeof *o);
}

void ts_observer_batch(struct ts_observer *o) { o->resource = NULL; }

/* --- explaining --------------------------------------------------------------------------------------------------- */

static int attribute_matches(const struct ts_program *p, const struct ts_leaf *l, const struct weir_rec *rec, int of_resource) {
  uint64_t ignored = 0;
  for (uint32_t i = 0; i < rec->n_attrs; i++) {
    if (!weir_str_eq(rec->attrs[i].key, l->key)) continue;
    if (ts_attr_matches(p, l, &rec->attrs[i].value, of_resource, &ignored)) return 1;
    if (p->collector) return 0;
  }
  return 0;
}

int ts_leaf_matches(const struct ts_program *p, uint16_t leaf, const struct weir_resource *r, const struct weir_scope *s, const struct weir_span *span) {
  const struct ts_leaf *l = leaf < p->n_leaves ? &p->leaves[leaf] : NULL;
  struct weir_expr_input in = { sizeof in, 0, r, s, span, NULL };
  struct kit_tracestate t;
  uint64_t ignored = 0;
  if (!l || l->invert) return 0;
  switch (l->type) {
  case TS_NUMERIC:
  case TS_STRING:
  case TS_BOOLEAN:
    return attribute_matches(p, l, &span->rec, 0) || attribute_matches(p, l, &r->rec, 1);
  case TS_STATUS_CODE:
    return span->status_code >= 0 && span->status_code < 3 && (l->u.codes >> span->status_code & 1);
  case TS_TRACE_FLAGS:
    return (span->flags & 1u) != 0;
  case TS_TRACE_STATE:
    return kit_tracestate_parse(span->trace_state.p, span->trace_state.n, &t) == 0 && member_matches(p, l, &t);
  case TS_OTTL:
    return ts_ottl_matches(p, l, &in, &ignored) > 0;
  default:
    return 0;
  }
}
