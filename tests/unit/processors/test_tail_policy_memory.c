/* Each allocation of a program fails in turn: an error, nothing is left behind. */
#include "tests/unit/support/failing_alloc.h"

#include "tests/unit/processors/tail_fixture.h"

static const char *const yaml =
  "policies:\n"
  "- {name: a, type: status_code, status_code: {status_codes: [ERROR]}}\n"
  "- {name: b, type: string_attribute, string_attribute: {key: s, values: [x, y]}}\n"
  "- {name: c, type: string_attribute, string_attribute: {key: s, values: [x, y], enabled_regex_matching: true}}\n"
  "- {name: d, type: ottl_condition, ottl_condition: {span: [error, has x], spanevent: [event e]}}\n"
  "- {name: e, type: and, and: {and_sub_policy: [{type: trace_state, trace_state: {key: k, values: [v]}}, {type: not, not: {not_sub_policy: {type: latency}}}]}}\n"
  "- {name: f, type: drop, drop: {drop_sub_policy: [{type: numeric_attribute, numeric_attribute: {key: n, min_value: 1}}]}}\n"
  "- {name: g, type: composite, composite: {max_total_spans_per_second: 10, policy_order: [t], composite_sub_policy: [{name: s, type: rate_limiting}, {name: t, type: always_sample}]}}\n";

static void each_allocation_fails_in_turn(void **state) {
  (void)state;
  struct bound b;
  uint64_t n = 0;
  int rc = WEIR_E_NOMEM;
  assert_true(bind_yaml(&b, yaml));
  size_t before = alloc_live;
  while (rc) {
    struct ts_program *p;
    struct weir_error err = { 0 };
    alloc_calls = 0;
    alloc_fail_at = ++n;
    rc = ts_program_new(&fake_host, NULL, &b.config, &p, &err);
    alloc_fail_at = 0;
    assert_true(rc == 0 || (rc == WEIR_E_NOMEM && !p && *err.msg));
    ts_program_free(p);
    assert_int_equal(alloc_live, before);
    assert_true(n < 1000);
  }
  assert_true(n > 50);
  bound_done(&b);
}

static void an_observer_too(void **state) {
  (void)state;
  for (int collector = 0; collector < 2; collector++) {
    struct bound b;
    struct ts_observer o;
    char text[2048];
    snprintf(text, sizeof text, "%s\n%s", collector ? "semantics: collector" : "", yaml);
    struct ts_program *p = program_of(&b, text);
    size_t before = alloc_live;
    for (alloc_fail_at = 1; alloc_fail_at <= 1 + (uint64_t)collector; alloc_fail_at++) {
      alloc_calls = 0;
      assert_int_equal(ts_observer_init(&o, p), WEIR_E_NOMEM);
      assert_int_equal(alloc_live, before);
    }
    alloc_fail_at = 0;
    ts_program_free(p);
    bound_done(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(each_allocation_fails_in_turn), cmocka_unit_test(an_observer_too) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
