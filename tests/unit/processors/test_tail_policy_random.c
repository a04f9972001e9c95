/*
 * Random policies and traces. In strict: any order and split of the spans gives the same verdict; it is the one of a plain evaluation over all spans, written below; and what was settled early is what
 * comes out at the end. And chance is unbiased: adjusted counts add up to what there was.
 */
#include <math.h>

#include "processors/tail_sampling/policy_internal.h"
#include "tests/unit/processors/tail_fixture.h"

#define PROGRAMS 400
#define TRACES 50 /* of each: 20,000 cases */
#define SPANS 8

static uint64_t seed = 42;

static uint64_t next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed * 0x2545f4914f6cdd1du;
}

static uint64_t below(uint64_t n) { return (next() >> 11) % n; }

/* --- random input ------------------------------------------------------------------------------------------- */

#define P(s) s
static const char *const plain[] = {
  P("type: always_sample"),
  P("type: latency, latency: {threshold_ms: 300}"),
  P("type: latency, latency: {threshold_ms: 100, upper_threshold_ms: 500}"),
  P("type: latency, latency: {threshold_ms: 600}"),
  P("type: numeric_attribute, numeric_attribute: {key: n, min_value: 3}"),
  P("type: numeric_attribute, numeric_attribute: {key: n, max_value: 0}"),
  P("type: numeric_attribute, numeric_attribute: {key: m, min_value: 2, max_value: 4, invert_match: true}"),
  P("type: string_attribute, string_attribute: {key: s, values: [a, '']}"),
  P("type: string_attribute, string_attribute: {key: s, values: [^b, c$], enabled_regex_matching: true}"),
  P("type: string_attribute, string_attribute: {key: longer.name.of.an.attribute, values: [a], invert_match: true}"),
  P("type: boolean_attribute, boolean_attribute: {key: b, value: false}"),
  P("type: boolean_attribute, boolean_attribute: {key: b, value: true, invert_match: true}"),
  P("type: status_code, status_code: {status_codes: [ERROR]}"),
  P("type: status_code, status_code: {status_codes: [OK, UNSET]}"),
  P("type: span_count, span_count: {min_spans: 4}"),
  P("type: span_count, span_count: {min_spans: 2, max_spans: 5}"),
  P("type: trace_state, trace_state: {key: k, values: [v, w]}"),
  P("type: trace_flags"),
  P("type: probabilistic, probabilistic: {sampling_percentage: 50}"),
  P("type: probabilistic, probabilistic: {sampling_percentage: 10}"),
  P("type: probabilistic, probabilistic: {sampling_percentage: 30, hash_salt: x}"),
  P("type: ottl_condition, ottl_condition: {span: [error, has n], spanevent: [event e]}"),
  P("type: ottl_condition, ottl_condition: {error_mode: propagate, span: [fail if m, has b]}"),
  P("type: rate_limiting, rate_limiting: {spans_per_second: 1000000000}"),
  P("type: rate_limiting, rate_limiting: {spans_per_second: 0}"),
};

#define N_PLAIN_ROWS (sizeof plain / sizeof *plain)

static int add(char *to, size_t room, const char *fmt, ...) WEIR_PRINTF(3, 4);
static int add(char *to, size_t room, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(to, room, fmt, ap);
  va_end(ap);
  assert_true(n >= 0 && (size_t)n < room);
  return n;
}

static const char *any_plain(void) { return plain[below(N_PLAIN_ROWS)]; }

static int add_subs(char *to, size_t room, int with_not, int with_and) {
  int n = 0;
  for (uint64_t i = 0, k = 1 + below(3); i < k; i++) {
    uint64_t kind = below(4);
    if (kind == 0 && with_not)
      n += add(to + n, room - (size_t)n, "%s{type: not, not: {not_sub_policy: {%s}}}", i ? ", " : "", any_plain());
    else if (kind == 1 && with_and)
      n += add(to + n, room - (size_t)n, "%s{name: s%d, type: and, and: {and_sub_policy: [{%s}, {%s}]}}", i ? ", " : "", (int)i, any_plain(), any_plain());
    else
      n += add(to + n, room - (size_t)n, "%s{name: s%d, %s}", i ? ", " : "", (int)i, any_plain());
  }
  return n;
}

static int add_policy(char *to, size_t room, int i) {
  int n = add(to, room, "- {name: p%d, dry_run: %s, ", i, below(8) ? "false" : "true");
  switch (below(8)) {
  case 0:
    n += add(to + n, room - (size_t)n, "type: and, and: {and_sub_policy: [");
    n += add_subs(to + n, room - (size_t)n, 1, 0);
    return n + add(to + n, room - (size_t)n, "]}}\n");
  case 1:
    n += add(to + n, room - (size_t)n, "type: drop, drop: {drop_sub_policy: [");
    n += add_subs(to + n, room - (size_t)n, 1, 0);
    return n + add(to + n, room - (size_t)n, "]}}\n");
  case 2:
    n += add(to + n, room - (size_t)n, "type: composite, composite: {max_total_spans_per_second: 1000000000, policy_order: [%s], composite_sub_policy: [", below(2) ? "s0" : "");
    n += add(to + n, room - (size_t)n, "{name: s0, %s}, ", any_plain());
    n += add(to + n, room - (size_t)n, "{name: t0, %s}", any_plain());
    return n + add(to + n, room - (size_t)n, "]}}\n");
  case 3:
    return n + add(to + n, room - (size_t)n, "type: not, not: {not_sub_policy: {%s}}}\n", any_plain());
  default:
    return n + add(to + n, room - (size_t)n, "%s}\n", any_plain());
  }
}

static void any_config(char *to, size_t room) {
  int n = add(to, room, "sample_on_first_match: %s\npolicies:\n", below(3) ? "false" : "true");
  for (int i = 0, k = 1 + (int)below(5); i < k; i++) n += add_policy(to + n, room - (size_t)n, i);
}

/* rv: NULL none, else of every span. */
static void any_span(struct text_span *t, const char *rv, int odd) {
  static const char *const words[] = { "ERROR", "OK", "sampled", "child", "ev:e", "ev:x", "n=1", "n=5", "n=-1", "n=3.5", "n='x'", "m=3", "m=7", "@n=4", "s='a'", "s=''", "s='bc'", "s='xc'", "s=5",
    "@s='b'", "b=true", "b=false", "b='x'", "longer.name.of.an.attribute='a'", "longer.name.of.the.attribute='a'", "n=9 n=1", "ts:k=v", "ts:k=x,j=v", "ts:broken" };
  char text[512];
  uint64_t from = below(6) ? 100 + below(400) : 0, to = below(6) ? from + below(500) : 0;
  int n = add(text, sizeof text, "%llu..%llu", (unsigned long long)from, (unsigned long long)to), state = 0;
  for (uint64_t i = 0, k = below(4); i < k; i++) {
    const char *w = words[below(sizeof words / sizeof *words)];
    if (strncmp(w, "ts:", 3) == 0) {
      if (rv) continue; /* it comes with the others */
      state = 1;
    }
    n += add(text + n, sizeof text - (size_t)n, " %s", w);
  }
  if (rv) add(text + n, sizeof text - (size_t)n, " ts:%sot=th:8;rv:%s", below(3) ? "" : "k=v,", rv);
  if (!rv && odd && !state && below(3) == 0) add(text + n, sizeof text - (size_t)n, " ts:ot=rv:%014llx", (unsigned long long)(next() >> 8));
  text_span(t, text, strlen(text));
}

struct input {
  uint8_t id[16];
  size_t n;
  struct text_span spans[SPANS];
};

/* odd: its spans disagree about rv. */
static void any_trace(struct input *in, int odd) {
  char rv[16];
  for (int i = 0; i < 16; i++) in->id[i] = (uint8_t)(next() >> 40);
  add(rv, sizeof rv, "%014llx", (unsigned long long)(next() >> 8));
  int with_rv = !odd && below(4) == 0;
  in->n = 1 + below(SPANS);
  for (size_t i = 0; i < in->n; i++) any_span(&in->spans[i], with_rv ? rv : NULL, odd);
}

/* --- the plain evaluation -------------------------------------------------------------------------------------- */

enum answer { NOT, SAMPLED, ERR };

struct said {
  enum answer a;
  uint64_t th;
};

static const struct input *in;
static uint64_t R;

static int o_value(const struct ts_policy_config *p, const struct weir_value *v) {
  if (p->type == TS_NUMERIC) {
    double d = v->kind == WEIR_V_INT ? (double)v->u.i : v->u.d; /* small numbers */
    return (v->kind == WEIR_V_INT || v->kind == WEIR_V_DOUBLE) && d >= (double)p->numeric_attribute->min_value && d <= (double)p->numeric_attribute->max_value;
  }
  if (p->type == TS_BOOLEAN) return v->kind == WEIR_V_BOOL && v->u.i == p->boolean_attribute->value;
  if (v->kind != WEIR_V_STRING) return 0;
  for (size_t i = 0; i < p->string_attribute->values.n; i++) {
    const char *want = p->string_attribute->values.v[i];
    struct weir_regex r = { (char *)(uintptr_t)want, strlen(want) };
    if (p->string_attribute->enabled_regex_matching ? fake_regex_match(&r, v->u.s, v->n) > 0 : strlen(want) == v->n && memcmp(want, v->u.s, v->n) == 0) return 1;
  }
  return 0;
}

static int o_rec(const struct ts_policy_config *p, const char *key, const struct weir_rec *rec) {
  for (uint32_t i = 0; i < rec->n_attrs; i++)
    if (weir_str_eq(rec->attrs[i].key, weir_str_of(key)) && o_value(p, &rec->attrs[i].value)) return 1;
  return 0;
}

static int o_attribute(const struct ts_policy_config *p, const char *key) {
  for (size_t i = 0; i < in->n; i++)
    if (o_rec(p, key, &in->spans[i].span.rec) || o_rec(p, key, &in->spans[i].resource.rec)) return 1;
  return 0;
}

static int o_latency(const struct ts_latency_config *c) {
  uint64_t first = UINT64_MAX, last = 0;
  for (size_t i = 0; i < in->n; i++) {
    const struct weir_span *s = &in->spans[i].span;
    if (s->start_time_unix_nano && s->start_time_unix_nano < first) first = s->start_time_unix_nano;
    if (s->end_time_unix_nano > last) last = s->end_time_unix_nano;
  }
  double ms = first < last ? (double)(last - first) / 1e6 : 0;
  return ms > (double)c->threshold_ms && (!c->upper_threshold_ms || ms <= (double)c->upper_threshold_ms);
}

static int o_span(const struct ts_policy_config *p, const struct weir_span *s) {
  static const char *const codes[] = { "UNSET", "OK", "ERROR" };
  char text[256];
  if (p->type == TS_TRACE_FLAGS) return s->flags & 1;
  if (p->type == TS_STATUS_CODE) {
    for (size_t i = 0; i < p->status_code->status_codes.n; i++)
      if (strcmp(p->status_code->status_codes.v[i], codes[s->status_code]) == 0) return 1;
    return 0;
  }
  snprintf(text, sizeof text, ",%.*s,", (int)s->trace_state.n, s->trace_state.p ? s->trace_state.p : "");
  return strstr(text, ",k=v,") || strstr(text, ",k=w,");
}

/* 1, 0, -1 */
static int o_ottl(const struct ts_ottl_config *c) {
  int failed = 0;
  for (size_t i = 0; i < in->n; i++) {
    struct weir_expr_input x = { sizeof x, 0, &in->spans[i].resource, &in->spans[i].scope, &in->spans[i].span, NULL };
    for (size_t k = 0; k < c->span.n + c->spanevent.n; k++) {
      struct weir_expr e;
      int of_event = k >= c->span.n;
      snprintf(e.text, sizeof e.text, "%s", of_event ? c->spanevent.v[k - c->span.n] : c->span.v[k]);
      for (uint32_t v = 0; v < (of_event ? x.span->n_events : 1); v++) {
        x.event = of_event ? x.span->events[v] : NULL;
        int rc = fake_expr_eval(&e, &x, NULL);
        if (rc > 0) return 1;
        failed |= rc < 0;
      }
    }
  }
  return failed && c->error_mode == TS_ERROR_PROPAGATE ? -1 : 0;
}

static struct said o_chance(const struct ts_probabilistic_config *c) {
  struct said s = { NOT, TS_R_ALWAYS - (uint64_t)round(c->sampling_percentage / 100 * (double)TS_R_ALWAYS) };
  if (!c->hash_salt) {
    s.a = R >= s.th ? SAMPLED : NOT;
    return s;
  }
  uint64_t h = 0xcbf29ce484222325u;
  for (const char *p = c->hash_salt; *p; p++) h = (h ^ (unsigned char)*p) * 0x100000001b3u;
  for (int i = 0; i < 16; i++) h = (h ^ in->id[i]) * 0x100000001b3u;
  s.a = (double)h <= c->sampling_percentage / 100 * 18446744073709551615.0 ? SAMPLED : NOT;
  return s;
}

static struct said o_plain(const struct ts_policy_config *p) {
  int yes = 0, invert = 0;
  switch ((enum ts_type)p->type) {
  case TS_ALWAYS_SAMPLE:
    yes = 1;
    break;
  case TS_LATENCY:
    yes = o_latency(p->latency);
    break;
  case TS_NUMERIC:
    yes = o_attribute(p, p->numeric_attribute->key);
    invert = p->numeric_attribute->invert_match;
    break;
  case TS_STRING:
    yes = o_attribute(p, p->string_attribute->key);
    invert = p->string_attribute->invert_match;
    break;
  case TS_BOOLEAN:
    yes = o_attribute(p, p->boolean_attribute->key);
    invert = p->boolean_attribute->invert_match;
    break;
  case TS_SPAN_COUNT:
    yes = in->n >= p->span_count->min_spans && (!p->span_count->max_spans || in->n <= p->span_count->max_spans);
    break;
  case TS_RATE_LIMITING:
    yes = p->rate_limiting->per_second > 0;
    break;
  case TS_PROBABILISTIC:
    return o_chance(p->probabilistic);
  case TS_OTTL:
    yes = o_ottl(p->ottl_condition);
    break;
  default:
    for (size_t i = 0; i < in->n; i++) yes |= o_span(p, &in->spans[i].span);
  }
  return (struct said){ yes < 0 ? ERR : (yes != 0) != invert ? SAMPLED : NOT, 0 };
}

static struct said o_not(struct said s) { return (struct said){ s.a == ERR ? ERR : s.a == NOT ? SAMPLED : NOT, 0 }; }

/* Rates after all others. */
static struct said o_list(const struct weir_groups *g) {
  struct said all = { SAMPLED, 0 };
  for (int rates = 0; rates < 2; rates++)
    for (size_t i = 0; i < g->n; i++) {
      const struct ts_policy_config *p = (const struct ts_policy_config *)g->v + i;
      enum ts_type type = ts_type_of(p, TS_LEVEL_LIST);
      const struct ts_policy_config *inner = type == TS_NOT ? p->not->policy : p;
      if ((inner->type == TS_RATE_LIMITING) != rates) continue;
      struct said s = type == TS_NOT ? o_not(o_plain(inner)) : o_plain(inner);
      if (s.a != SAMPLED) return s;
      if (s.th > all.th) all.th = s.th;
    }
  return all;
}

static struct said o_composite(const struct ts_composite_config *c) { /* policy_order is what is written, or its first; room is never short */
  for (size_t i = 0; i < c->policies.n; i++) {
    struct said s = o_plain((const struct ts_policy_config *)c->policies.v + i);
    if (s.a != NOT) return s;
  }
  return (struct said){ NOT, 0 };
}

static struct said o_policy(const struct ts_policy_config *p) {
  switch ((enum ts_type)p->type) {
  case TS_AND:
    return o_list(&p->and->policies);
  case TS_DROP:
    return o_list(&p->drop->policies);
  case TS_NOT:
    return o_not(o_plain(p->not->policy));
  case TS_COMPOSITE:
    return o_composite(p->composite);
  default:
    return o_plain(p);
  }
}

static int asks_rate(const struct ts_policy_config *p) {
  if (p->type == TS_AND) {
    for (size_t i = 0; i < p->and->policies.n; i++) {
      const struct ts_policy_config *q = (const struct ts_policy_config *)p->and->policies.v + i;
      if ((ts_type_of(q, TS_LEVEL_LIST) == TS_NOT ? q->not->policy : q)->type == TS_RATE_LIMITING) return 1;
    }
    return 0;
  }
  return p->type == TS_COMPOSITE || p->type == TS_RATE_LIMITING || (p->type == TS_NOT && p->not->policy->type == TS_RATE_LIMITING);
}

static void o_randomness(void) {
  int seen = 0;
  R = 0;
  for (int i = 9; i < 16; i++) R = R << 8 | in->id[i];
  for (size_t i = 0; i < in->n; i++) {
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)in->spans[i].span.trace_state.n, in->spans[i].span.trace_state.n ? in->spans[i].span.trace_state.p : "");
    const char *rv = strstr(text, "rv:");
    uint64_t v = rv ? strtoull(rv + 3, NULL, 16) : 0;
    if (rv && (!seen || v > R)) R = v;
    seen |= rv != NULL;
  }
}

/* Drop policies, those without a rate, those with one while the threshold is not 0. */
static uint8_t oracle(const struct ts_config *c, uint64_t *th) {
  const struct ts_policy_config *v = c->policies.v;
  size_t end = c->policies.n;
  int kept = 0;
  *th = 0;
  o_randomness();
  for (size_t i = 0; i < end; i++)
    if (v[i].type == TS_DROP && !v[i].dry_run && o_policy(&v[i]).a == SAMPLED) return TS_DROPPED;
  for (int rates = 0; rates < 2; rates++)
    for (size_t i = 0; i < end; i++) {
      if (v[i].type == TS_DROP || v[i].dry_run || asks_rate(&v[i]) != rates || (kept && *th == 0 && rates)) continue;
      struct said s = o_policy(&v[i]);
      if (s.a != SAMPLED) continue;
      if (!kept || s.th < *th || c->sample_on_first_match) *th = s.th;
      kept = 1;
      if (c->sample_on_first_match) end = i;
    }
  return kept ? TS_KEEP : TS_NOT_SAMPLED;
}

/* --- properties ------------------------------------------------------------------------------------------------------ */

/* Another order; a batch ends now and then. */
static void see_shuffled(struct ts_observer *o, struct judged *j, const struct ts_program *p) {
  size_t order[SPANS];
  for (size_t i = 0; i < in->n; i++) order[i] = i;
  for (size_t i = in->n; i > 1; i--) {
    size_t k = below(i), was = order[i - 1];
    order[i - 1] = order[k];
    order[k] = was;
  }
  judge_start(j, p, in->id);
  ts_observer_batch(o); /* the spans before stood at the same addresses */
  for (size_t i = 0; i < in->n; i++) {
    if (below(2)) ts_observer_batch(o);
    judge_see(o, j, (struct text_span *)(uintptr_t)&in->spans[order[i]]);
  }
}

static void fail_case(const char *what, const char *yaml, const struct judged *j, uint8_t outcome, uint64_t th) {
  for (size_t i = 0; i < in->n; i++) print_error("span %zu: status %d, %u attributes, tracestate %.*s\n", i, in->spans[i].span.status_code, in->spans[i].span.rec.n_attrs, (int)in->spans[i].span.trace_state.n,
    in->spans[i].span.trace_state.n ? in->spans[i].span.trace_state.p : "");
  fail_msg("%s\n%s\n outcome %d, threshold %llx; expected %d, %llx", what, yaml, j->v.outcome, (unsigned long long)j->v.threshold, outcome, (unsigned long long)th);
}

static void any_order_gives_what_the_plain_evaluation_gives(void **state) {
  (void)state;
  static struct input input;
  static char yaml[1 << 15];
  uint64_t counts[4] = { 0 }, chosen = 0;
  in = &input;
  for (int g = 0; g < PROGRAMS; g++) {
    struct bound b;
    struct ts_observer o;
    any_config(yaml, sizeof yaml);
    struct ts_program *p = program_of(&b, yaml);
    ts_observer_init(&o, p);
    for (int t = 0; t < TRACES; t++) {
      uint64_t th;
      struct judged j;
      any_trace(&input, 1);
      uint8_t want = oracle(&b.config, &th);
      for (int k = 0; k < 3; k++) {
        see_shuffled(&o, &j, p);
        ts_decide(p, &j.facts, 1000000000ll * (g * TRACES + t), &j.v);
        if (j.v.outcome != want || j.v.threshold != th) fail_case("the plain evaluation differs", yaml, &j, want, th);
      }
      counts[want]++;
      chosen += th > 0;
    }
    ts_observer_done(&o);
    ts_program_free(p);
    bound_done(&b);
  }
  assert_true(counts[TS_KEEP] > 2000 && counts[TS_NOT_SAMPLED] > 2000 && counts[TS_DROPPED] > 500 && chosen > 200);
}

static void what_is_settled_stays(void **state) {
  (void)state;
  static struct input input;
  static char yaml[1 << 15];
  uint64_t early[4] = { 0 }, missed = 0;
  in = &input;
  for (int g = 0; g < PROGRAMS; g++) {
    struct bound b;
    struct ts_observer o;
    any_config(yaml, sizeof yaml);
    struct ts_program *p = program_of(&b, yaml);
    ts_observer_init(&o, p);
    for (int t = 0; t < TRACES; t++) {
      struct judged j;
      uint8_t outcome = 0, said[TS_POLICIES_MAX];
      uint64_t th = 0;
      any_trace(&input, 0);
      judge_start(&j, p, in->id);
      ts_observer_batch(&o);
      for (size_t i = 0; i < in->n; i++) {
        int news = judge_see(&o, &j, &input.spans[i]);
        int is = ts_settled(p, &j.facts, &j.v);
        if (outcome && (!is || j.v.outcome != outcome || j.v.threshold != th)) fail_case("what was settled changed", yaml, &j, outcome, th);
        missed += is && !outcome && !news && i; /* ts_settled is asked only then */
        if (!is || outcome) continue;
        outcome = j.v.outcome;
        th = j.v.threshold;
        memcpy(said, j.said, sizeof said);
        early[outcome]++;
      }
      ts_decide(p, &j.facts, 1000000000ll * (g * TRACES + t), &j.v);
      if (outcome && (j.v.outcome != outcome || j.v.threshold != th)) fail_case("settled otherwise", yaml, &j, outcome, th);
      for (uint32_t i = 0; outcome && i < ts_program_policies(p); i++) /* a word that was given is kept, unless it is not asked for any more, or an error came before it */
        if (said[i] && j.said[i] && j.said[i] != said[i] && j.said[i] != TS_SAID_ERROR) fail_case("a policy changed its word", yaml, &j, said[i], i);
    }
    ts_observer_done(&o);
    ts_program_free(p);
    bound_done(&b);
  }
  assert_int_equal(missed, 0);
  assert_true(early[TS_KEEP] > 1000 && early[TS_NOT_SAMPLED] > 100 && early[TS_DROPPED] > 300);
}

/* --- chance ------------------------------------------------------------------------------------------------------------ */

#define MANY 200000

/* The sum of what kept traces stand for is the number of traces, within 4 sigma; and for those with an error exactly so. */
static void adjusted_counts_add_up(void **state) {
  (void)state;
  static const char *const policies[] = {
    "[{name: c, type: probabilistic, probabilistic: {sampling_percentage: 10}}]",
    "[{name: c, type: probabilistic, probabilistic: {sampling_percentage: 0.7}}, {name: e, type: status_code, status_code: {status_codes: [ERROR]}}]",
    "[{name: c, type: probabilistic, probabilistic: {sampling_percentage: 20, hash_salt: pepper}}]",
    "[{name: a, type: and, and: {and_sub_policy: [{type: probabilistic, probabilistic: {sampling_percentage: 25}}, {type: not, not: {not_sub_policy: {type: trace_flags}}}]}}, {name: e, type: probabilistic, probabilistic: {sampling_percentage: 50}}]",
  };
  static const double lowest[] = { 0.1, 0.007, 0.2, 0.5 };
  for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
    struct bound b;
    struct ts_observer o;
    struct text_span fine, failed;
    char yaml[1024];
    double sum = 0;
    snprintf(yaml, sizeof yaml, "policies: %s", policies[i]);
    struct ts_program *p = program_of(&b, yaml);
    ts_observer_init(&o, p);
    text_span(&fine, "1..2", 4);
    text_span(&failed, "1..2 ERROR", 10);
    for (int t = 0; t < MANY; t++) {
      struct judged j;
      uint8_t id[16];
      for (int k = 0; k < 16; k++) id[k] = (uint8_t)(next() >> 33);
      judge_start(&j, p, id);
      judge_see(&o, &j, t % 20 ? &fine : &failed);
      ts_decide(p, &j.facts, 1, &j.v);
      if (j.v.outcome == TS_KEEP) sum += (double)TS_R_ALWAYS / (double)(TS_R_ALWAYS - j.v.threshold);
      assert_true(j.v.outcome != TS_KEEP || b.config.policies.n == 0 || j.v.threshold < TS_R_ALWAYS);
    }
    double sigma = sqrt(MANY * (1 - lowest[i]) / lowest[i]);
    if (fabs(sum - MANY) > 4 * sigma) fail_msg("%s: %.0f of %d", policies[i], sum, MANY);
    ts_observer_done(&o);
    ts_program_free(p);
    bound_done(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(any_order_gives_what_the_plain_evaluation_gives),
    cmocka_unit_test(what_is_settled_stays),
    cmocka_unit_test(adjusted_counts_add_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
