/* Each policy of tail_sampling, under both semantics: what it keeps. Rows of `strict` that differ from `collector` stand in docs/tail-sampling-differences.md by their key. */
#include "processors/tail_sampling/policy_internal.h"
#include "tests/unit/processors/tail_fixture.h"

static const uint8_t id0[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x80, 0, 0, 0, 0, 0, 1 }; /* R is a half and a little */

/* What one policy says: K it keeps, N not, D it drops, E it could not say. */
struct row {
  const char *policy, *trace;
  char strict, collector;
  const char *key; /* of the difference; NULL = none */
};

static char outcome(const char *semantics, const char *policy, const char *trace) {
  static const char letters[] = "?KND";
  struct bound b;
  struct judged j;
  char yaml[1024];
  snprintf(yaml, sizeof yaml, "semantics: %s\npolicies: [{name: p, %s}]\n", semantics, policy);
  struct ts_program *p = program_of(&b, yaml);
  judge(p, &j, trace, id0, 1000000000);
  char got = j.said[0] == TS_SAID_ERROR ? 'E' : letters[j.v.outcome];
  ts_program_free(p);
  bound_done(&b);
  return got;
}

static int is_documented(const char *key) {
  static char *page;
  char cell[64];
  if (!page) {
    FILE *f = fopen("docs/tail-sampling-differences.md", "r");
    assert_non_null(f);
    page = calloc(1, 1 << 16);
    assert_true(fread(page, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
  }
  snprintf(cell, sizeof cell, "| `%s` |", key);
  return strstr(page, cell) != NULL;
}

static void check(const struct row *r, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char s = outcome("strict", r[i].policy, r[i].trace), c = outcome("collector", r[i].policy, r[i].trace);
    if (s != r[i].strict || c != r[i].collector) fail_msg("%s\n  on %s: strict %c (expected %c), collector %c (expected %c)", r[i].policy, r[i].trace, s, r[i].strict, c, r[i].collector);
    if ((s != c) != (r[i].key != NULL)) fail_msg("%s on %s: the row names %s difference", r[i].policy, r[i].trace, r[i].key ? "a" : "no");
    if (r[i].key && !is_documented(r[i].key)) fail_msg("docs/tail-sampling-differences.md has no `%s`", r[i].key);
  }
}

#define CHECK(rows) check(rows, sizeof rows / sizeof *rows)

static void always_sample(void **state) {
  (void)state;
  static const struct row rows[] = { { "type: always_sample", "1..2", 'K', 'K', NULL } };
  CHECK(rows);
}

#define LATENCY "type: latency, latency: {threshold_ms: 100}"
#define BETWEEN "type: latency, latency: {threshold_ms: 100, upper_threshold_ms: 1000}"

static void latency(void **state) {
  (void)state;
  static const struct row rows[] = {
    { LATENCY, "1000..1100", 'N', 'N', NULL },
    { LATENCY, "1000..1101", 'K', 'K', NULL },
    { LATENCY, "1000..1050 | 1080..1150", 'K', 'K', NULL },
    { "type: latency", "1000..1001", 'K', 'K', NULL },
    { "type: latency", "1000..1000", 'N', 'N', NULL },
    { BETWEEN, "1000..1100", 'N', 'N', NULL },
    { BETWEEN, "1000..2000", 'K', 'K', NULL },
    { BETWEEN, "1000..2001", 'N', 'N', NULL },
    /* [M] the Collector tests each prefix of the trace */
    { BETWEEN, "1000..1500 | 1000..6000", 'N', 'K', "latency-upper-bound" },
    { BETWEEN, "1000..6000 | 1000..1500", 'N', 'N', NULL },
    { LATENCY, "1000..1090 | 0..1010", 'N', 'K', "latency-zero-times" },
    { LATENCY, "0..1010 | 1000..1090", 'N', 'K', "latency-zero-times" },
    { LATENCY, "1000..0", 'N', 'N', NULL },
    { LATENCY, "2000..1000", 'N', 'N', NULL },
    { LATENCY, "0..0", 'N', 'N', NULL },
  };
  CHECK(rows);
}

static void latency_counts_nanoseconds(void **state) {
  (void)state;
  const char *const semantics[] = { "strict", "collector" };
  for (int i = 0; i < 2; i++) {
    struct bound b;
    struct judged j;
    struct text_span t;
    struct ts_observer o;
    char yaml[256];
    snprintf(yaml, sizeof yaml, "semantics: %s\npolicies: [{name: p, " LATENCY "}]", semantics[i]);
    struct ts_program *p = program_of(&b, yaml);
    ts_observer_init(&o, p);
    judge_start(&j, p, id0);
    text_span(&t, "1000..1100", 10);
    t.span.end_time_unix_nano++;
    judge_see(&o, &j, &t);
    ts_decide(p, &j.facts, 1, &j.v);
    assert_int_equal(j.v.outcome, i ? TS_NOT_SAMPLED : TS_KEEP);
    ts_observer_done(&o);
    ts_program_free(p);
    bound_done(&b);
  }
  assert_true(is_documented("latency-truncation"));
}

#define NUMERIC(rest) "type: numeric_attribute, numeric_attribute: {key: n, " rest "}"

static void numeric_attribute(void **state) {
  (void)state;
  static const struct row rows[] = {
    { NUMERIC("min_value: 50, max_value: 100"), "1..2 n=50 | 1..2", 'K', 'K', NULL },
    { NUMERIC("min_value: 50, max_value: 100"), "1..2 n=100", 'K', 'K', NULL },
    { NUMERIC("min_value: 50, max_value: 100"), "1..2 n=49 | 1..2 n=101", 'N', 'N', NULL },
    { NUMERIC("min_value: 50, max_value: 100"), "1..2 @n=75", 'K', 'K', NULL },
    { NUMERIC("min_value: 50, max_value: 100"), "1..2 m=75", 'N', 'N', NULL },
    { NUMERIC("min_value: -5, max_value: -1"), "1..2 n=-3", 'K', 'K', NULL },
    /* [M] what is no int reads 0 in the Collector */
    { NUMERIC("max_value: 100"), "1..2 n='x'", 'N', 'K', "numeric-other-kinds" },
    { NUMERIC("min_value: 50, max_value: 100"), "1..2 n=75.0", 'K', 'N', "numeric-other-kinds" },
    { NUMERIC("min_value: 50, max_value: 100"), "1..2 n=100.5", 'N', 'N', NULL },
    { NUMERIC("min_value: 50, max_value: 100"), "1..2 n=49.9999", 'N', 'N', NULL },
    { NUMERIC("min_value: 50, max_value: 100"), "1..2 n=nan", 'N', 'N', NULL },
    { NUMERIC("min_value: 50"), "1..2 n=1e300", 'K', 'N', "numeric-other-kinds" },
    { NUMERIC("min_value: 9223372036854775807"), "1..2 n=9.2233720368547758e18", 'K', 'N', "numeric-other-kinds" },
    { NUMERIC("max_value: 100"), "1..2 n=true", 'N', 'K', "numeric-other-kinds" },
    { NUMERIC("max_value: 100"), "1..2 n=[]", 'N', 'K', "numeric-other-kinds" },
    /* 0 is not written, for the Collector */
    { NUMERIC("min_value: 0, max_value: 100"), "1..2 n=-7", 'N', 'K', "numeric-zero" },
    { NUMERIC("min_value: -10, max_value: 0"), "1..2 n=7", 'N', 'K', "numeric-zero" },
    { NUMERIC("max_value: 5, invert_match: true"), "1..2 n=6", 'K', 'K', NULL },
    { NUMERIC("max_value: 5, invert_match: true"), "1..2 n=6 | 1..2 n=5", 'N', 'N', NULL },
    { NUMERIC("max_value: 5, invert_match: true"), "1..2", 'K', 'K', NULL },
    { NUMERIC("max_value: 5"), "1..2 n=6 n=5", 'K', 'N', "duplicate-key" },
    { NUMERIC("max_value: 5"), "1..2 n=5 n=6", 'K', 'K', NULL },
    { NUMERIC("max_value: 5"), "1..2 @n=6 n=5", 'K', 'K', NULL },
  };
  CHECK(rows);
}

#define STRING(rest) "type: string_attribute, string_attribute: {key: s, " rest "}"

static void string_attribute(void **state) {
  (void)state;
  static const struct row rows[] = {
    { STRING("values: [a, bc]"), "1..2 s='bc'", 'K', 'K', NULL },
    { STRING("values: [a, bc]"), "1..2 @s='a'", 'K', 'K', NULL },
    { STRING("values: [a, bc]"), "1..2 s='b' | 1..2 s='abc' | 1..2 s=5", 'N', 'N', NULL },
    { STRING("values: ['', a]"), "1..2 s=''", 'K', 'N', "string-empty" },
    { STRING("values: [a], invert_match: true"), "1..2 s='b'", 'K', 'K', NULL },
    { STRING("values: [a], invert_match: true"), "1..2 s='b' | 1..2 s='a'", 'N', 'N', NULL },
    { STRING("values: [a], invert_match: true"), "1..2", 'K', 'K', NULL },
    { STRING("values: [^a, z$], enabled_regex_matching: true"), "1..2 s='abc'", 'K', 'K', NULL },
    { STRING("values: [^a, z$], enabled_regex_matching: true"), "1..2 s='xyz'", 'K', 'K', NULL },
    { STRING("values: [^a, z$], enabled_regex_matching: true"), "1..2 s='bab' | 1..2 s='zx'", 'N', 'N', NULL },
    { STRING("values: [b], enabled_regex_matching: true"), "1..2 s='abc'", 'K', 'K', NULL },
    { STRING("values: [^$], enabled_regex_matching: true"), "1..2 s=''", 'K', 'N', "string-empty" },
    { STRING("values: [^$], enabled_regex_matching: true"), "1..2 @s=''", 'K', 'K', NULL },
    { STRING("values: [^$], enabled_regex_matching: true"), "1..2 @s=7", 'N', 'K', "string-empty" },
    { STRING("values: [^$], enabled_regex_matching: true"), "1..2 s=7", 'N', 'N', NULL },
    { STRING("values: [slow, b], enabled_regex_matching: true"), "1..2 s='abc'", 'K', 'K', NULL },
    { STRING("values: [slow], enabled_regex_matching: true"), "1..2 s='abc'", 'N', 'N', NULL },
  };
  CHECK(rows);
}

#define BOOLEAN(rest) "type: boolean_attribute, boolean_attribute: {key: b, " rest "}"

static void boolean_attribute(void **state) {
  (void)state;
  static const struct row rows[] = {
    { BOOLEAN("value: true"), "1..2 b=true", 'K', 'K', NULL },
    { BOOLEAN("value: true"), "1..2 b=false", 'N', 'N', NULL },
    { BOOLEAN("value: false"), "1..2 b=false", 'K', 'K', NULL },
    { BOOLEAN("value: false"), "1..2", 'N', 'N', NULL },
    { BOOLEAN("value: true"), "1..2 @b=true", 'K', 'K', NULL },
    { BOOLEAN("value: true"), "1..2 b='true'", 'N', 'N', NULL },
    /* [M] what is no bool reads false in the Collector */
    { BOOLEAN("value: false"), "1..2 b='x'", 'N', 'K', "boolean-other-kinds" },
    { BOOLEAN("value: true, invert_match: true"), "1..2 b=false", 'K', 'K', NULL },
    { BOOLEAN("value: true, invert_match: true"), "1..2", 'K', 'K', NULL },
    { BOOLEAN("value: true, invert_match: true"), "1..2 b=false | 1..2 b=true", 'N', 'N', NULL },
    { BOOLEAN("value: false, invert_match: true"), "1..2 b='x'", 'K', 'N', "boolean-other-kinds" },
  };
  CHECK(rows);
}

static void status_code(void **state) {
  (void)state;
  static const struct row rows[] = {
    { "type: status_code, status_code: {status_codes: [ERROR]}", "1..2 | 1..2 ERROR", 'K', 'K', NULL },
    { "type: status_code, status_code: {status_codes: [ERROR]}", "1..2 | 1..2 OK", 'N', 'N', NULL },
    { "type: status_code, status_code: {status_codes: [OK, ERROR]}", "1..2 OK", 'K', 'K', NULL },
    { "type: status_code, status_code: {status_codes: [UNSET]}", "1..2 OK", 'N', 'N', NULL },
    { "type: status_code, status_code: {status_codes: [UNSET]}", "1..2", 'K', 'K', NULL },
  };
  CHECK(rows);
}

static void span_count(void **state) {
  (void)state;
  static const struct row rows[] = {
    { "type: span_count, span_count: {min_spans: 2}", "1..2", 'N', 'N', NULL },
    { "type: span_count, span_count: {min_spans: 2}", "1..2 | 1..2", 'K', 'K', NULL },
    { "type: span_count, span_count: {min_spans: 2, max_spans: 3}", "1..2 | 1..2 | 1..2", 'K', 'K', NULL },
    { "type: span_count, span_count: {min_spans: 2, max_spans: 3}", "1..2 | 1..2 | 1..2 | 1..2", 'N', 'N', NULL },
    { "type: span_count, span_count: {max_spans: 1}", "1..2", 'K', 'K', NULL },
    { "type: span_count", "1..2", 'K', 'K', NULL },
  };
  CHECK(rows);
}

#define MEMBER "type: trace_state, trace_state: {key: k, values: [v, w]}"

static void trace_state(void **state) {
  (void)state;
  static const struct row rows[] = {
    { MEMBER, "1..2 ts:a=1,k=w", 'K', 'K', NULL },
    { MEMBER, "1..2 ts:k=x | 1..2 ts:k=v", 'K', 'K', NULL },
    { MEMBER, "1..2 ts:k=x,kk=v", 'N', 'N', NULL },
    { MEMBER, "1..2 ts:k=v,k=w", 'N', 'N', NULL },
    { MEMBER, "1..2 ts:k=v,broken", 'N', 'N', NULL },
    { MEMBER, "1..2 ts:k=v,1a=b", 'K', 'N', "trace-state" },
    { MEMBER, "1..2 k='v'", 'N', 'N', NULL },
  };
  CHECK(rows);
}

static void trace_flags(void **state) {
  (void)state;
  static const struct row rows[] = { { "type: trace_flags", "1..2 | 1..2 sampled", 'K', 'K', NULL }, { "type: trace_flags", "1..2", 'N', 'N', NULL } };
  CHECK(rows);
}

#define OTTL(rest) "type: ottl_condition, ottl_condition: {" rest "}"

static void ottl_condition(void **state) {
  (void)state;
  static const struct row rows[] = {
    { OTTL("span: [error, has x]"), "1..2 | 1..2 x=1", 'K', 'K', NULL },
    { OTTL("span: [error, has x]"), "1..2", 'N', 'N', NULL },
    { OTTL("spanevent: [event boom]"), "1..2 ev:a ev:boom", 'K', 'K', NULL },
    { OTTL("spanevent: [event boom]"), "1..2 ev:a", 'N', 'N', NULL },
    { OTTL("span: [fail, has x]"), "1..2 x=1", 'K', 'K', NULL },
    { OTTL("error_mode: ignore, span: [fail]"), "1..2 x=1", 'N', 'N', NULL },
    { OTTL("error_mode: propagate, span: [fail]"), "1..2 x=1", 'E', 'E', NULL },
    /* the Collector stops at the first that is true or fails */
    { OTTL("error_mode: propagate, span: [has x, fail if y]"), "1..2 x=1 | 1..2 y=1", 'K', 'K', NULL },
    { OTTL("error_mode: propagate, span: [has x, fail if y]"), "1..2 y=1 | 1..2 x=1", 'K', 'E', "ottl-error-order" },
    { OTTL("error_mode: propagate, span: [fail if y], spanevent: [event a]"), "1..2 y=1 ev:a", 'K', 'E', "ottl-error-order" },
  };
  CHECK(rows);
}

#define SUB(n) "{name: s" #n ", type: status_code, status_code: {status_codes: [ERROR]}}"
#define HAS(key) "{type: numeric_attribute, numeric_attribute: {key: " key ", min_value: 1}}"

static void and_not_drop(void **state) {
  (void)state;
  static const struct row rows[] = {
    { "type: and, and: {and_sub_policy: [" HAS("a") ", " HAS("b") "]}", "1..2 a=1 | 1..2 b=1", 'K', 'K', NULL },
    { "type: and, and: {and_sub_policy: [" HAS("a") ", " HAS("b") "]}", "1..2 a=1", 'N', 'N', NULL },
    { "type: and, and: {and_sub_policy: [" HAS("a") ", {type: not, not: {not_sub_policy: " HAS("b") "}}]}", "1..2 a=1", 'K', 'K', NULL },
    { "type: and, and: {and_sub_policy: [" HAS("a") ", {type: not, not: {not_sub_policy: " HAS("b") "}}]}", "1..2 a=1 | 1..2 b=2", 'N', 'N', NULL },
    { "type: not, not: {not_sub_policy: " HAS("a") "}", "1..2", 'K', 'K', NULL },
    { "type: not, not: {not_sub_policy: " HAS("a") "}", "1..2 a=1", 'N', 'N', NULL },
    { "type: not, not: {not_sub_policy: {type: string_attribute, string_attribute: {key: s, values: [x], invert_match: true}}}", "1..2 s='x'", 'K', 'K', NULL },
    { "type: not, not: {not_sub_policy: {" OTTL("error_mode: propagate, span: [fail]") "}}", "1..2", 'E', 'E', NULL },
    { "type: and, and: {and_sub_policy: [" HAS("a") ", {" OTTL("error_mode: propagate, span: [fail]") "}]}", "1..2", 'N', 'N', NULL },
    { "type: and, and: {and_sub_policy: [" HAS("a") ", {" OTTL("error_mode: propagate, span: [fail]") "}]}", "1..2 a=1", 'E', 'E', NULL },
    { "type: drop, drop: {drop_sub_policy: [" HAS("a") ", " HAS("b") "]}", "1..2 a=1 | 1..2 b=1", 'D', 'D', NULL },
    { "type: drop, drop: {drop_sub_policy: [" HAS("a") ", " HAS("b") "]}", "1..2 a=1", 'N', 'N', NULL },
    { "type: composite, composite: {max_total_spans_per_second: 2, composite_sub_policy: [" HAS("a") ", " HAS("b") "]}", "1..2 a=1", 'K', 'K', NULL },
    { "type: composite, composite: {max_total_spans_per_second: 2, composite_sub_policy: [" HAS("a") "]}", "1..2 a=1 | 1..2 | 1..2", 'N', 'N', NULL },
    { "type: composite, composite: {max_total_spans_per_second: 4, composite_sub_policy: [{type: and, and: {and_sub_policy: [" HAS("a") ", " HAS("b") "]}}]}", "1..2 a=1 b=1", 'K', 'K', NULL },
    { "type: composite, composite: {max_total_spans_per_second: 4, composite_sub_policy: [" HAS("a") ", {" OTTL("error_mode: propagate, span: [fail]") "}]}", "1..2", 'E', 'E', NULL },
  };
  CHECK(rows);
}

/* --- chance ---------------------------------------------------------------------------------------------- */

static void consistent_probability(void **state) {
  (void)state;
  static const struct row rows[] = { /* id0 has R = 0x80000000000001 */
    { "type: probabilistic, probabilistic: {sampling_percentage: 50}", "1..2", 'K', 'N', "probability" },
    { "type: probabilistic, probabilistic: {sampling_percentage: 49.9}", "1..2", 'N', 'N', NULL },
    { "type: probabilistic, probabilistic: {sampling_percentage: 100}", "1..2", 'K', 'K', NULL },
    { "type: probabilistic, probabilistic: {sampling_percentage: 1000}", "1..2", 'K', 'K', NULL },
    { "type: probabilistic, probabilistic: {sampling_percentage: 0}", "1..2 ts:ot=rv:ffffffffffffff", 'N', 'N', NULL },
    { "type: probabilistic", "1..2", 'N', 'N', NULL },
    { "type: probabilistic, probabilistic: {sampling_percentage: 1}", "1..2 | 1..2 ts:ot=rv:fd70a3d70a3d71", 'K', 'N', "probability" },
    { "type: probabilistic, probabilistic: {sampling_percentage: 1}", "1..2 ts:ot=rv:fd70a3d70a3d71", 'K', 'N', "probability" },
    { "type: probabilistic, probabilistic: {sampling_percentage: 1}", "1..2 ts:ot=rv:fd70a3d70a3d70", 'N', 'N', NULL },
    { "type: not, not: {not_sub_policy: {type: probabilistic, probabilistic: {sampling_percentage: 50}}}", "1..2", 'N', 'K', "probability" },
  };
  CHECK(rows);
}

/* What Go 1 computes: the bound by math/big as in the Collector's calculateThreshold, the hash by hash/fnv. */
static void the_collectors_hash(void **state) {
  (void)state;
  static const struct {
    double percent;
    uint64_t bound;
  } bounds[] = { { 0, 0 }, { 1e-20, 0 }, { 1e-17, 1 }, { 0.0001, 0x000010c6f7a0b5edu }, { 0.1, 0x004189374bc6a7efu }, { 1, 0x028f5c28f5c28f5fu }, { 3, 0x07ae147ae147adffu }, { 5, 0x0cccccccccccccffu },
    { 10, 0x19999999999999ffu }, { 12.5, 0x1fffffffffffffffu }, { 25, 0x3fffffffffffffffu }, { 33.3, 0x553f7ced91686fffu }, { 50, 0x7fffffffffffffffu }, { 66.6, 0xaa7ef9db22d0dfffu },
    { 75, 0xbfffffffffffffffu }, { 90, 0xe6666666666667ffu }, { 99, 0xfd70a3d70a3d6fffu }, { 99.9, 0xffbe76c8b4395fffu }, { 99.99999999999999, 0xfffffffffffff7ffu }, { 100, UINT64_MAX },
    { 250, UINT64_MAX } };
  static const struct {
    const char *salt;
    int id;
    uint64_t hash;
  } hashes[] = { { "", 0, 0xda02f4d51f01829du }, { "", 1, 0x4830b9821f26571du }, { "default-hash-seed", 2, 0xbff4cef6c411dd6du }, { "x", 0, 0xc9dd4c78f27597f7u }, { "x", 1, 0xee316ef5ee205b17u },
    { "x", 2, 0x9ccd3355079afe77u } };
  struct ts_leaf l;
  struct ts_facts f = { .n_spans = 1 };
  for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
    ts_chance_set(&l, bounds[i].percent, "");
    if (l.u.chance.hash != bounds[i].bound) fail_msg("%g %%: %llx", bounds[i].percent, (unsigned long long)l.u.chance.hash);
  }
  for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
    for (int k = 0; k < 16; k++) f.id[k] = (uint8_t)(k * 7 + hashes[i].id * 31);
    ts_chance_set(&l, 12.5, hashes[i].salt);
    assert_true(l.threshold == 0xe0000000000000); /* written all the same */
    l.u.chance.hash = hashes[i].hash;
    assert_true(ts_chance(&l, &f));
    l.u.chance.hash--;
    assert_false(ts_chance(&l, &f));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(always_sample),
    cmocka_unit_test(latency),
    cmocka_unit_test(latency_counts_nanoseconds),
    cmocka_unit_test(numeric_attribute),
    cmocka_unit_test(string_attribute),
    cmocka_unit_test(boolean_attribute),
    cmocka_unit_test(status_code),
    cmocka_unit_test(span_count),
    cmocka_unit_test(trace_state),
    cmocka_unit_test(trace_flags),
    cmocka_unit_test(ottl_condition),
    cmocka_unit_test(and_not_drop),
    cmocka_unit_test(consistent_probability),
    cmocka_unit_test(the_collectors_hash),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
