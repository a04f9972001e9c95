/* How policies go together: what is refused, defaults, precedence, dry runs, budgets, what is known early, what is told of a decision. */
#include <pthread.h>

#include "plugins/kit/tracestate.h"
#include "processors/tail_sampling/policy_internal.h"
#include "tests/unit/processors/tail_fixture.h"

#define S 1000000000ll

static const uint8_t low[16] = { 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7 }; /* R = 7: chance below 100 % never keeps it */
static const uint8_t high[16] = { 2, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* --- configuration ------------------------------------------------------------------------------------------ */

static void defaults(void **state) {
  (void)state;
  struct bound b;
  assert_true(bind_yaml(&b, "policies: [{name: a, type: always_sample}]"));
  const struct ts_config *c = &b.config;
  assert_true(c->decision_wait == 30 * S && c->decision_wait_after_root_received == 0 && c->num_traces == 50000 && c->num_shards == 1);
  assert_true(c->decision_cache.sampled_cache_size == -1 && c->decision_cache.non_sampled_cache_size == -1);
  assert_true(c->semantics == TS_STRICT && c->sampling_strategy == TS_TRACE_COMPLETE && !c->block_on_overflow && !c->sample_on_first_match && !c->drop_pending_traces_on_shutdown);
  assert_true(c->max_bytes == 0 && c->decision_memory == 16u << 20 && c->decision_log == 16u << 20 && c->maximum_trace_size_bytes == 0);
  const struct ts_policy_config *p = c->policies.v;
  assert_true(c->policies.n == 1 && ts_type_of(p, TS_LEVEL_TOP) == TS_ALWAYS_SAMPLE && !p->dry_run);
  bound_done(&b);
  assert_int_equal(schema_check_table("tail_sampling", (struct schema_table){ ts_fields, sizeof *ts_fields }, sizeof(struct ts_config), NULL), 0);
}

/* What the tables refuse. */
static void nesting_is_the_collectors(void **state) {
  (void)state;
  static const char *const bad[] = {
    "[{name: a, type: and, and: {and_sub_policy: [{type: and}]}}]",
    "[{name: a, type: and, and: {and_sub_policy: [{type: composite}]}}]",
    "[{name: a, type: not, not: {not_sub_policy: {type: not}}}]",
    "[{name: a, type: drop, drop: {drop_sub_policy: [{type: drop}]}}]",
    "[{name: a, type: composite, composite: {composite_sub_policy: [{type: not}]}}]",
    "[{name: a, type: and, and: {and_sub_policy: []}}]",
    "[]",
    "[{name: a, type: string_attribute, string_attribute: {key: s, values: []}}]",
    "[{name: a, type: drop, drop: {drop_sub_policy: []}}]",
    "[{name: a, type: sometimes}]",
    "[{name: '', type: always_sample}]",
    "[{type: always_sample}]",
    "[{name: a, type: latency, latency: {threshold_ms: -1}}]",
    "[{name: a, type: composite, composite: {composite_sub_policy: [{name: x, type: always_sample}], rate_allocation: [{policy: x, percent: 101}]}}]",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct bound b;
    char yaml[512];
    snprintf(yaml, sizeof yaml, "policies: %s", bad[i]);
    if (bind_yaml(&b, yaml)) fail_msg("%s was taken", yaml);
    bound_done(&b);
  }
}

static void refused(const char *yaml, const char *field, const char *part) {
  struct bound b;
  struct ts_program *p;
  struct weir_error err = { 0 };
  if (!bind_yaml(&b, yaml)) fail_msg("%s\n%s", yaml, diags_render(&b.ds));
  int rc = ts_program_new(&fake_host, NULL, &b.config, &p, &err);
  if (rc != WEIR_E_CONFIG || p || strcmp(err.field, field) != 0 || !strstr(err.msg, part)) fail_msg("%s\n%d `%s`: %s", yaml, rc, err.field, err.msg);
  bound_done(&b);
}

static void what_can_not_work_is_refused(void **state) {
  (void)state;
  static const char *const rows[][3] = {
    { "policies: [{name: a, type: numeric_attribute, numeric_attribute: {key: k}}]", "policies[0].numeric_attribute", "min_value or max_value" },
    { "semantics: collector\npolicies: [{name: a, type: numeric_attribute, numeric_attribute: {key: k, min_value: 0, max_value: 0}}]", "policies[0].numeric_attribute", "min_value or max_value" },
    { "policies: [{name: a, type: always_sample}, {name: b, type: and, and: {and_sub_policy: [{type: not, not: {not_sub_policy: {type: numeric_attribute}}}]}}]",
      "policies[1].and.and_sub_policy[0].not.not_sub_policy", "numeric_attribute" },
    { "policies: [{name: a, type: always_sample}, {name: a, type: latency}]", "policies[1].name", "two policies `a`" },
    { "policies: [{name: a, type: status_code, status_code: {status_codes: [OK, error]}}]", "policies[0].status_code.status_codes[1]", "`error`" },
    { "policies: [{name: a, type: status_code}]", "policies[0]", "status_code" },
    { "policies: [{name: a, type: not}]", "policies[0]", "not" },
    { "policies: [{name: a, type: string_attribute, string_attribute: {key: s, values: [ok, 'a(b'], enabled_regex_matching: true}}]", "policies[0].string_attribute.values[1]", "missing ) (at byte 1)" },
    { "policies: [{name: a, type: ottl_condition, ottl_condition: {span: [error, has ??]}}]", "policies[0].ottl_condition.span[1]", "expected a path (at byte 4)" },
    { "policies: [{name: a, type: ottl_condition, ottl_condition: {error_mode: ignore}}]", "policies[0].ottl_condition", "needs a condition" },
    { "policies: [{name: a, type: composite, composite: {policy_order: [x], composite_sub_policy: [{name: y, type: always_sample}]}}]", "policies[0].composite.policy_order[0]", "`x`" },
    { "policies: [{name: a, type: composite, composite: {rate_allocation: [{policy: x}], composite_sub_policy: [{name: y, type: always_sample}]}}]",
      "policies[0].composite.rate_allocation[0].policy", "`x`" },
    { "policies: [{name: a, type: composite, composite: {composite_sub_policy: [{name: y, type: always_sample}, {name: y, type: latency}]}}]",
      "policies[0].composite.composite_sub_policy[1].name", "two sub-policies" },
    { "policies: [{name: a, type: composite, composite: {rate_allocation: [{policy: x, percent: 60}, {policy: y, percent: 41}], composite_sub_policy: [{name: x, type: always_sample}, {name: y, "
      "type: latency}]}}]",
      "policies[0].composite.rate_allocation", "101 percent" },
    { "sampling_strategy: span-ingest\npolicies: [{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 5}}]", "policies[0]", "span-ingest" },
    { "sampling_strategy: span-ingest\npolicies: [{name: a, type: and, and: {and_sub_policy: [{type: latency, latency: {upper_threshold_ms: 5}}]}}]", "policies[0]", "span-ingest" },
    { "sampling_strategy: span-ingest\npolicies: [{name: a, type: span_count, span_count: {max_spans: 5}}]", "policies[0]", "span-ingest" },
    { "tail_storage: pebble\npolicies: [{name: a, type: always_sample}]", "tail_storage", "storage" },
    { "semantics: collector\nblock_on_overflow: true\npolicies: [{name: a, type: always_sample}]", "block_on_overflow", "stand" },
    { "semantics: collector\nblock_on_overflow: true\ndecision_cache: {sampled_cache_size: 5}\npolicies: [{name: a, type: always_sample}]", "block_on_overflow", "stand" },
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) refused(rows[i][0], rows[i][1], rows[i][2]);
  no_services = 1;
  refused("policies: [{name: a, type: string_attribute, string_attribute: {key: s, values: [x], enabled_regex_matching: true}}]", "policies[0].string_attribute.enabled_regex_matching", "weir.regex/1");
  refused("policies: [{name: a, type: ottl_condition, ottl_condition: {span: [x]}}]", "policies[0].ottl_condition", "weir.expr/1");
  no_services = 0;
}

static void what_the_collector_takes_is_taken(void **state) {
  (void)state;
  static const char *const good[] = {
    "block_on_overflow: true\npolicies: [{name: a, type: always_sample}]",
    "semantics: collector\nblock_on_overflow: true\ndecision_cache: {sampled_cache_size: 5, non_sampled_cache_size: 5}\npolicies: [{name: a, type: always_sample}]",
    "num_shards: 256\nexpected_new_traces_per_sec: 100\npolicies: [{name: a, type: trace_flags}]",
    "sampling_strategy: span-ingest\npolicies: [{name: a, type: latency}, {name: b, type: span_count, span_count: {min_spans: 3}}]",
    "policies: [{name: a, type: composite, composite: {composite_sub_policy: [{type: always_sample}, {type: latency}]}}]",
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    struct bound b;
    struct judged j;
    struct ts_program *p = program_of(&b, good[i]);
    judge(p, &j, "1..2", low, S);
    ts_program_free(p);
    bound_done(&b);
  }
}

static void too_many_policies(void **state) {
  (void)state;
  char *yaml = malloc(TS_POLICIES_MAX * 64 + 64), *to = yaml + snprintf(yaml, 16, "policies:\n");
  for (uint32_t i = 0; i <= TS_POLICIES_MAX; i++) to += snprintf(to, 64, "- {name: p%u, type: trace_flags}\n", i);
  refused(yaml, "policies", "more than 1024");
  strrchr(yaml, '-')[0] = 0;
  struct bound b;
  struct ts_program *p = program_of(&b, yaml);
  assert_int_equal(ts_program_policies(p), TS_POLICIES_MAX);
  assert_int_equal(ts_program_words(p), 16);
  ts_program_free(p);
  bound_done(&b);
  free(yaml);
}

/* --- how they go together -------------------------------------------------------------------------------------- */

#define ERRORS "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}"
#define SLOW "{name: slow, type: latency, latency: {threshold_ms: 100}}"
#define NO_HEALTH "{name: health, type: drop, drop: {drop_sub_policy: [{type: string_attribute, string_attribute: {key: path, values: [/health]}}]}}"
#define TENTH "{name: tenth, type: probabilistic, probabilistic: {sampling_percentage: 10}}"
#define HALF "{name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}"
#define TENTH_TH 0xe6666666666666ull

static struct bound made;

static struct ts_program *make(const char *head, const char *policies) {
  char yaml[4096];
  snprintf(yaml, sizeof yaml, "%s\npolicies: [%s]\n", head, policies);
  return program_of(&made, yaml);
}

static void unmake(struct ts_program *p) {
  ts_program_free(p);
  bound_done(&made);
}

static void says(const char *head, const char *policies, const char *trace, const uint8_t id[16], uint8_t outcome, const char *policy, const char *said) {
  static const char letters[] = "-SNDE";
  struct ts_program *p = make(head, policies);
  struct judged j;
  char got[16] = { 0 };
  judge(p, &j, trace, id, S);
  for (uint32_t i = 0; i < ts_program_policies(p); i++) got[i] = letters[j.said[i]];
  const char *name = j.v.policy == TS_LEAF_NONE ? "" : ts_program_name(p, j.v.policy);
  if (j.v.outcome != outcome || strcmp(name, policy) != 0 || strcmp(got, said) != 0) fail_msg("%s %s on %s: %d by `%s`, %s", head, policies, trace, j.v.outcome, name, got);
  unmake(p);
}

#define BOTH(...)                          \
  do {                                     \
    says("", __VA_ARGS__);                 \
    says("semantics: collector", __VA_ARGS__); \
  } while (0)

static void precedence(void **state) {
  (void)state;
  BOTH(ERRORS ", " NO_HEALTH, "1..2 ERROR path='/health'", low, TS_DROPPED, "health", "-D");
  BOTH(ERRORS ", " NO_HEALTH, "1..2 ERROR", low, TS_KEEP, "errors", "SN");
  BOTH(SLOW ", " ERRORS, "1..2", low, TS_NOT_SAMPLED, "", "NN");
  BOTH(SLOW ", " ERRORS, "1..200 ERROR", low, TS_KEEP, "slow", "SS");
  BOTH("{name: odd, type: ottl_condition, ottl_condition: {error_mode: propagate, span: [fail]}}, " ERRORS, "1..2 ERROR", low, TS_KEEP, "errors", "ES");
  /* [M] an inverted policy keeps a trace without the key, whatever others say */
  BOTH(ERRORS ", {name: inv, type: string_attribute, string_attribute: {key: s, values: [x], invert_match: true}}", "1..2", low, TS_KEEP, "inv", "NS");
}

static void first_match_stops(void **state) {
  (void)state;
  static const char *const heads[] = { "sample_on_first_match: true", "sample_on_first_match: true\nsemantics: collector" };
  for (int i = 0; i < 2; i++) {
    says(heads[i], SLOW ", " ERRORS ", " NO_HEALTH, "1..200 ERROR", low, TS_KEEP, "slow", "S-N");
    says(heads[i], SLOW ", " ERRORS, "1..20 ERROR", low, TS_KEEP, "errors", "NS");
    says(heads[i], SLOW ", " NO_HEALTH, "1..200 path='/health'", low, TS_DROPPED, "health", "-D");
  }
}

static void the_lowest_threshold_has_the_word(void **state) {
  (void)state;
  struct judged j;
  struct ts_program *p = make("", TENTH ", " HALF ", " ERRORS);
  judge(p, &j, "1..2", high, S);
  assert_true(j.v.outcome == TS_KEEP && j.v.policy == 1 && j.v.threshold == 0x80000000000000);
  judge(p, &j, "1..2 ERROR", high, S);
  assert_true(j.v.policy == 2 && j.v.threshold == 0);
  unmake(p);
  p = make("sample_on_first_match: true", TENTH ", " HALF);
  judge(p, &j, "1..2", high, S);
  assert_true(j.v.policy == 0 && j.v.threshold >> 4 == TENTH_TH >> 4);
  unmake(p);
  /* all of an `and` must be passed: the highest */
  p = make("", "{name: a, type: and, and: {and_sub_policy: [{type: probabilistic, probabilistic: {sampling_percentage: 50}}, {type: probabilistic, probabilistic: {sampling_percentage: 25}}]}}");
  judge(p, &j, "1..2", high, S);
  assert_true(j.v.outcome == TS_KEEP && j.v.threshold == 0xc0000000000000);
  unmake(p);
}

static void dry_runs_have_no_say(void **state) {
  (void)state;
  static const char *const dry = "{name: errors, dry_run: true, type: status_code, status_code: {status_codes: [ERROR]}}";
  char two[1024];
  says("", dry, "1..2 ERROR", low, TS_NOT_SAMPLED, "", "S");
  says("", "{name: d, dry_run: true, type: drop, drop: {drop_sub_policy: [{type: always_sample}]}}, {name: a, type: always_sample}", "1..2", low, TS_KEEP, "a", "DS");
  snprintf(two, sizeof two, "%s, " SLOW, dry);
  says("sample_on_first_match: true", two, "1..200 ERROR", low, TS_KEEP, "slow", "SS");
}

/* --- facts and telling --------------------------------------------------------------------------------------------- */

static void facts(void **state) {
  (void)state;
  struct ts_program *p = make("", TENTH);
  struct judged j;
  judge(p, &j, "100..200 | 50..300 child | 0..0 child ts:ot=th:8;rv:000000000000ff | 60..70 ts:ot=th:c | 60..70 ts:broken | 60..70 ts:ot=rv:00000000000001", high, S);
  assert_true(j.facts.n_spans == 6 && j.facts.n_roots == 4 && j.facts.bytes == 600);
  assert_true(j.facts.min_start == T0 + 50 * 1000000 && j.facts.max_end == T0 + 300 * 1000000);
  assert_true(j.facts.flags == (TS_F_RV | TS_F_TH | TS_F_BAD_TRACESTATE) && j.facts.th == 0xc0000000000000 && j.facts.randomness == 0xff);
  judge(p, &j, "1..2", high, S);
  assert_true(j.facts.randomness == (1ull << 56) - 1 && j.facts.flags == 0);
  unmake(p);
}

static void texts(void **state) {
  (void)state;
  static const char *const rows[][2] = {
    { "type: status_code, status_code: {status_codes: [ERROR, OK]}", "status_code is ERROR or OK" },
    { "type: latency, latency: {threshold_ms: 500}", "latency > 500 ms" },
    { "type: latency, latency: {threshold_ms: 500, upper_threshold_ms: 900}", "latency > 500 ms and <= 900 ms" },
    { "type: numeric_attribute, numeric_attribute: {key: n, min_value: 0, max_value: 9, invert_match: true}", "not: n >= 0 and n <= 9" },
    { "type: string_attribute, string_attribute: {key: s, values: [a, b]}", "s is a or b" },
    { "type: string_attribute, string_attribute: {key: s, values: [^a], enabled_regex_matching: true}", "s matches ^a" },
    { "type: boolean_attribute, boolean_attribute: {key: b, value: true}", "b is true" },
    { "type: probabilistic, probabilistic: {sampling_percentage: 12.5}", "probability 12.5 %" },
    { "type: not, not: {not_sub_policy: {type: trace_flags}}", "not: trace_flags has sampled" },
    { "type: span_count, span_count: {min_spans: 2, max_spans: 9}", "span_count >= 2 and <= 9" },
    { "type: rate_limiting, rate_limiting: {spans_per_second: 5}", "within 5 spans a second (at most 10 at once)" },
    { "type: trace_state, trace_state: {key: k, values: [v]}", "trace_state k is v" },
    { "type: ottl_condition, ottl_condition: {span: [error], spanevent: [event x]}", "span: error; spanevent: event x" },
    { "type: always_sample", "always" },
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char policy[512];
    snprintf(policy, sizeof policy, "{name: p, %s}", rows[i][0]);
    struct ts_program *p = make("", policy);
    assert_string_equal(ts_leaf_text(p, 0), rows[i][1]);
    assert_string_equal(ts_leaf_text(p, TS_LEAF_NONE), "");
    unmake(p);
  }
  char policy[1024], value[600];
  memset(value, 'x', sizeof value);
  value[599] = 0;
  snprintf(policy, sizeof policy, "{name: p, type: string_attribute, string_attribute: {key: s, values: [%s]}}", value);
  struct ts_program *p = make("", policy);
  assert_int_equal(strlen(ts_leaf_text(p, 0)), 242);
  assert_string_equal(ts_leaf_text(p, 0) + 239, "...");
  unmake(p);
}

static void the_leaf_that_tells(void **state) {
  (void)state;
  struct ts_program *p = make("", "{name: a, type: and, and: {and_sub_policy: [{type: latency, latency: {threshold_ms: 10}}, {type: status_code, status_code: {status_codes: [ERROR]}}]}}");
  struct judged j;
  struct text_span t;
  judge(p, &j, "1..200 ERROR", low, S);
  assert_int_equal(j.v.leaf, 1);
  assert_true(ts_leaf_is_set(p, &j.facts, 1) && !ts_leaf_is_set(p, &j.facts, 0));
  text_span(&t, "1..200 ERROR", 12);
  assert_true(ts_leaf_matches(p, 1, &t.resource, &t.scope, &t.span));
  assert_false(ts_leaf_matches(p, 0, &t.resource, &t.scope, &t.span));
  assert_false(ts_leaf_matches(p, TS_LEAF_NONE, &t.resource, &t.scope, &t.span));
  unmake(p);
  static const char *const rows[][2] = {
    { "type: string_attribute, string_attribute: {key: s, values: [x]}", "1..2 s='x'" },
    { "type: string_attribute, string_attribute: {key: s, values: [x]}", "1..2 @s='x'" },
    { "type: numeric_attribute, numeric_attribute: {key: s, min_value: 3}", "1..2 s=3" },
    { "type: boolean_attribute, boolean_attribute: {key: s, value: true}", "1..2 s=true" },
    { "type: trace_state, trace_state: {key: k, values: [v]}", "1..2 ts:k=v" },
    { "type: trace_flags", "1..2 sampled" },
    { "type: ottl_condition, ottl_condition: {span: [has s]}", "1..2 s=1" },
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char policy[512];
    snprintf(policy, sizeof policy, "{name: p, %s}", rows[i][0]);
    p = make("", policy);
    text_span(&t, rows[i][1], strlen(rows[i][1]));
    assert_true(ts_leaf_matches(p, 0, &t.resource, &t.scope, &t.span));
    text_span(&t, "1..2", 4);
    assert_false(ts_leaf_matches(p, 0, &t.resource, &t.scope, &t.span));
    unmake(p);
  }
}

/* --- early ------------------------------------------------------------------------------------------------------------ */

/* After these spans: K kept, D dropped, N not sampled, - nothing is settled. */
static char early(const char *head, const char *policies, const char *trace, const uint8_t id[16], uint64_t *th) {
  static struct text_span v[TEXT_SPANS];
  static const char letters[] = "?KND";
  struct ts_program *p = make(head, policies);
  struct ts_observer o;
  struct judged j;
  size_t n = text_trace(v, trace);
  ts_observer_init(&o, p);
  judge_start(&j, p, id);
  for (size_t i = 0; i < n; i++) judge_see(&o, &j, &v[i]);
  char got = ts_settled(p, &j.facts, &j.v) ? letters[j.v.outcome] : '-';
  if (th) *th = j.v.threshold;
  ts_observer_done(&o);
  unmake(p);
  return got;
}

#define RATE "{name: rate, type: rate_limiting, rate_limiting: {spans_per_second: 5}}"
#define BAND "{name: band, type: latency, latency: {threshold_ms: 100, upper_threshold_ms: 1000}}"
#define DRY "{name: dry, dry_run: true, type: status_code, status_code: {status_codes: [OK]}}"

static void settled(void **state) {
  (void)state;
  uint64_t th;
  assert_int_equal(early("", ERRORS, "1..2 ERROR", low, &th), 'K');
  assert_true(th == 0);
  assert_int_equal(early("", ERRORS, "1..2", low, NULL), '-');
  assert_int_equal(early("", SLOW, "1..200", low, NULL), 'K');
  assert_int_equal(early("", BAND, "1..500", low, NULL), '-');
  assert_int_equal(early("", BAND, "1..5000", low, NULL), 'N');
  assert_int_equal(early("", ERRORS ", " NO_HEALTH, "1..2 ERROR", low, NULL), '-'); /* may still be dropped */
  assert_int_equal(early("", ERRORS ", " NO_HEALTH, "1..2 path='/health'", low, NULL), 'D');
  assert_int_equal(early("", TENTH, "1..2", high, &th), 'K'); /* chance alone is known at the first span */
  assert_true(th >> 4 == TENTH_TH >> 4);
  assert_int_equal(early("", TENTH, "1..2", low, NULL), 'N');
  assert_int_equal(early("", TENTH ", " ERRORS, "1..2", high, NULL), '-'); /* an error would lower the threshold */
  assert_int_equal(early("", TENTH ", " ERRORS, "1..2 ERROR", high, &th), 'K');
  assert_true(th == 0);
  assert_int_equal(early("", TENTH ", " HALF, "1..2", high, &th), 'K');
  assert_true(th == 0x80000000000000);
  assert_int_equal(early("", RATE, "1..2", high, NULL), '-');
  assert_int_equal(early("", TENTH ", " RATE, "1..2", high, NULL), '-');
  assert_int_equal(early("", RATE ", " ERRORS, "1..2 ERROR", high, NULL), 'K');
  assert_int_equal(early("", DRY ", " ERRORS, "1..2 ERROR", high, NULL), '-');
  assert_int_equal(early("", DRY ", " ERRORS, "1..2 OK | 1..2 ERROR", high, NULL), 'K');
  assert_int_equal(early("sample_on_first_match: true", TENTH ", " ERRORS, "1..2", high, NULL), 'K');
  assert_int_equal(early("sample_on_first_match: true", ERRORS ", " TENTH, "1..2", high, NULL), '-');
  assert_int_equal(early("sample_on_first_match: true", SLOW ", " ERRORS, "1..2 ERROR", high, NULL), 'K');
  assert_int_equal(early("semantics: collector", ERRORS, "1..2 ERROR", low, NULL), '-');
}

/* --- budgets ------------------------------------------------------------------------------------------------------------- */

static uint64_t kept_spans(struct ts_program *p, const char *trace, uint64_t spans, int64_t *now, int64_t step, int64_t end) {
  uint64_t kept = 0;
  struct judged j;
  for (; *now < end; *now += step) {
    judge(p, &j, trace, low, *now);
    if (j.v.outcome == TS_KEEP) kept += spans;
  }
  return kept;
}

static void rates_are_kept(void **state) {
  (void)state;
  static const char *const heads[] = { "", "semantics: collector" };
  for (int i = 0; i < 2; i++) {
    struct ts_program *p = make(heads[i], "{name: r, type: rate_limiting, rate_limiting: {spans_per_second: 100}}");
    int64_t now = 5 * S;
    uint64_t kept = kept_spans(p, "1..2 | 1..2", 2, &now, S / 997, 65 * S);
    assert_true(kept <= 60 * 100 + 200 && kept >= 60 * 100 - 2);
    unmake(p);
    p = make(heads[i], "{name: r, type: bytes_limiting, bytes_limiting: {bytes_per_second: 1000, burst_capacity: 150}}");
    now = 5 * S;
    kept = kept_spans(p, "1..2", 1, &now, S / 100, 15 * S); /* 100 bytes each */
    assert_true(kept <= 101 && kept >= 99);
    struct judged j;
    judge(p, &j, "1..2 | 1..2", low, 100 * S); /* more than the burst never passes */
    assert_int_equal(j.v.outcome, TS_NOT_SAMPLED);
    unmake(p);
    p = make(heads[i], "{name: r, type: rate_limiting, rate_limiting: {spans_per_second: 0, burst_capacity: 3}}");
    now = 0;
    assert_int_equal(kept_spans(p, "1..2", 1, &now, S, 100 * S), 3);
    unmake(p);
  }
}

static void a_rate_is_spent_on_what_needs_it(void **state) {
  (void)state;
  static const char *const policies = ERRORS ", {name: r, type: rate_limiting, rate_limiting: {spans_per_second: 1, burst_capacity: 1}}";
  for (int i = 0; i < 2; i++) {
    struct ts_program *p = make(i ? "semantics: collector" : "", policies);
    struct judged j;
    judge(p, &j, "1..2 ERROR", low, S);
    assert_int_equal(j.v.outcome, TS_KEEP);
    assert_int_equal(j.said[1], i ? TS_SAID_SAMPLE : TS_SAID_NOTHING);
    judge(p, &j, "1..2", low, S);
    assert_int_equal(j.v.outcome, i ? TS_NOT_SAMPLED : TS_KEEP);
    unmake(p);
    p = make(i ? "semantics: collector" : "",
      "{name: a, type: and, and: {and_sub_policy: [{type: rate_limiting, rate_limiting: {spans_per_second: 1, burst_capacity: 1}}, {type: status_code, status_code: {status_codes: [ERROR]}}]}}");
    judge(p, &j, "1..2", low, S);
    judge(p, &j, "1..2 ERROR", low, S);
    assert_int_equal(j.v.outcome, i ? TS_NOT_SAMPLED : TS_KEEP);
    unmake(p);
  }
}

#define COMPOSITE(order)                                                                                                                         \
  "{name: c, type: composite, composite: {max_total_spans_per_second: 10, policy_order: [" order "], rate_allocation: [{policy: x, percent: 50}], " \
  "composite_sub_policy: [{name: x, type: status_code, status_code: {status_codes: [ERROR, OK]}}, {name: y, type: status_code, status_code: {status_codes: [OK, UNSET]}}]}}"

static uint16_t sub_of(struct ts_program *p, const char *trace, int64_t now) {
  struct judged j;
  judge(p, &j, trace, low, now);
  return j.v.outcome == TS_KEEP ? j.v.sub : TS_LEAF_NONE;
}

static void composite_in_strict(void **state) {
  (void)state;
  struct ts_program *p = make("", COMPOSITE("y, x")); /* shares: x 5, y 5 */
  assert_string_equal(ts_program_sub_name(p, 0, 1), "y");
  for (int i = 0; i < 5; i++) assert_int_equal(sub_of(p, "1..2 OK", S), 1);
  for (int i = 0; i < 5; i++) assert_int_equal(sub_of(p, "1..2 OK", S), 0); /* falls through */
  assert_int_equal(sub_of(p, "1..2 OK", S), TS_LEAF_NONE);
  assert_int_equal(sub_of(p, "1..2 OK", 2 * S), 1); /* another second */
  unmake(p);
  /* shares of 10 and 5 in a total of 10 */
  p = make("", "{name: c, type: composite, composite: {max_total_spans_per_second: 10, rate_allocation: [{policy: x, percent: 100}], composite_sub_policy: [{name: x, type: status_code, status_code: "
               "{status_codes: [ERROR]}}, {name: y, type: always_sample}]}}");
  int kept = 0;
  for (int i = 0; i < 30; i++) kept += sub_of(p, i % 2 ? "1..2" : "1..2 ERROR", S) != TS_LEAF_NONE;
  assert_int_equal(kept, 10);
  /* what found no room in the total takes nothing from its share */
  assert_int_equal(sub_of(p, "1..2 | 1..2 | 1..2 | 1..2 | 1..2", 2 * S), 1);
  assert_int_equal(sub_of(p, "1..2 ERROR | 1..2 | 1..2 | 1..2 | 1..2 | 1..2", 2 * S), TS_LEAF_NONE);
  assert_int_equal(sub_of(p, "1..2 ERROR | 1..2 | 1..2 | 1..2 | 1..2", 2 * S), 0);
  unmake(p);
  p = make("", "{name: c, type: composite, composite: {max_total_spans_per_second: 100, composite_sub_policy: [{name: x, type: probabilistic, probabilistic: {sampling_percentage: 50}}]}}");
  struct judged j;
  judge(p, &j, "1..2", high, S);
  assert_true(j.v.outcome == TS_KEEP && j.v.threshold == 0x80000000000000);
  unmake(p);
}

static void composite_in_collector(void **state) {
  (void)state;
  struct ts_program *p = make("semantics: collector", COMPOSITE("y, x"));
  for (int i = 0; i < 5; i++) assert_int_equal(sub_of(p, "1..2 OK", S), 0); /* as written */
  assert_int_equal(sub_of(p, "1..2 OK", S), TS_LEAF_NONE); /* no fall-through */
  assert_int_equal(sub_of(p, "1..2", S), 1);
  unmake(p);
  p = make("semantics: collector", "{name: c, type: composite, composite: {max_total_spans_per_second: 10, rate_allocation: [{policy: x, percent: 100}], composite_sub_policy: [{name: x, type: "
                                   "status_code, status_code: {status_codes: [ERROR]}}, {name: y, type: always_sample}]}}");
  int kept = 0;
  for (int i = 0; i < 30; i++) kept += sub_of(p, i % 2 ? "1..2" : "1..2 ERROR", S) != TS_LEAF_NONE;
  assert_int_equal(kept, 15); /* the sum is more than the total */
  unmake(p);
}

static void composites_stay_in_their_budget(void **state) {
  (void)state;
  struct ts_program *p = make("", COMPOSITE(""));
  int64_t now = 0;
  for (int second = 0; second < 20; second++) {
    uint64_t kept = kept_spans(p, "1..2 OK | 1..2", 2, &now, S / 61, (second + 1) * S);
    assert_true(kept <= 10 && kept >= 8);
  }
  unmake(p);
}

/* --- lanes ------------------------------------------------------------------------------------------------------------------ */

struct lane {
  struct ts_rate *bucket, *second;
  uint64_t from_bucket, from_second;
};

static void *take(void *arg) {
  struct lane *l = arg;
  for (int64_t now = 0; now < 10 * S; now += S / 20000) {
    l->from_bucket += (uint64_t)ts_rate_take(l->bucket, 3, now) * 3;
    l->from_second += (uint64_t)ts_second_take(l->second, 7, S) * 7;
  }
  return NULL;
}

static void lanes_share_budgets(void **state) {
  (void)state;
  struct ts_program *p = make("", ERRORS);
  struct lane lanes[3] = { { .bucket = ts_rate_new(p, 1000, 500), .second = ts_rate_new(p, 700, 0) } };
  pthread_t t[3];
  lanes[1] = lanes[2] = lanes[0]; /* the same budgets */
  for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, take, &lanes[i]);
  for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
  uint64_t bucket = lanes[0].from_bucket + lanes[1].from_bucket + lanes[2].from_bucket;
  assert_true(bucket <= 10 * 1000 + 500 && bucket >= 10 * 1000 - 3);
  assert_int_equal(lanes[0].from_second + lanes[1].from_second + lanes[2].from_second, 700);
  unmake(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(defaults),
    cmocka_unit_test(nesting_is_the_collectors),
    cmocka_unit_test(what_can_not_work_is_refused),
    cmocka_unit_test(what_the_collector_takes_is_taken),
    cmocka_unit_test(too_many_policies),
    cmocka_unit_test(precedence),
    cmocka_unit_test(first_match_stops),
    cmocka_unit_test(the_lowest_threshold_has_the_word),
    cmocka_unit_test(dry_runs_have_no_say),
    cmocka_unit_test(facts),
    cmocka_unit_test(texts),
    cmocka_unit_test(the_leaf_that_tells),
    cmocka_unit_test(settled),
    cmocka_unit_test(rates_are_kept),
    cmocka_unit_test(a_rate_is_spent_on_what_needs_it),
    cmocka_unit_test(composite_in_strict),
    cmocka_unit_test(composite_in_collector),
    cmocka_unit_test(composites_stay_in_their_budget),
    cmocka_unit_test(lanes_share_budgets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
