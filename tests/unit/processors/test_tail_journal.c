/* The journal of decisions: the ring, its index, and the lines that people get. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "processors/tail_sampling/journal.h"
#include "processors/tail_sampling/journal_internal.h"
#include "processors/tail_sampling/policy.h"

#define NOW 1795953601123000000ll /* 2026-11-29T12:00:01.123Z */
#define RECORDS(n) (80ull * (n))

static struct ts_journal *j;

static int setup(void **state) {
  (void)state;
  j = ts_journal_new(RECORDS(64));
  return !j;
}

static int teardown(void **state) {
  (void)state;
  ts_journal_free(j);
  return 0;
}

#define ANSWER_MAX (1u << 20) /* weir/stage.h */

/* --- asking ---------------------------------------------------------------------------------------------------------- */

static struct {
  struct weir_answer answer;
  char text[ANSWER_MAX + 1];
  size_t n, over; /* over: bytes of what came when there was no room, as the host has it */
} got;

static void put(struct weir_answer *a, const char *p, size_t n) {
  (void)a;
  assert_true(n && p[n - 1] == '\n');
  if (got.over || got.n + n > ANSWER_MAX) {
    got.over += n;
    return;
  }
  memcpy(got.text + got.n, p, n);
  got.n += n;
  got.text[got.n] = 0;
}

static const char *ask_of(struct ts_journal *of, const char *question) {
  got.answer = (struct weir_answer){ .size = sizeof got.answer, .put = put };
  got.n = got.over = 0;
  got.text[0] = 0;
  assert_int_equal(ts_journal_inspect(of, question, &got.answer), 1);
  return got.text;
}

static const char *ask(const char *question) { return ask_of(j, question); }

static size_t n_lines(const char *text) {
  size_t n = 0;
  for (; *text; text++) n += *text == '\n';
  return n;
}

static void says(const char *question, const char *text) { assert_string_equal(ask(question), text); }

static void has(const char *question, const char *text) {
  if (!strstr(ask(question), text)) fail_msg("`%s` is not in: %s", text, got.text);
}

/* --- records ----------------------------------------------------------------------------------------------------------- */

static struct ts_record record(uint32_t trace, int outcome, int when) {
  struct ts_record r = { .time_unix_ns = NOW + (int64_t)trace, .age_ns = 30000000000ll, .bytes = 5280, .spans = 12, .outcome = (uint8_t)outcome, .when = (uint8_t)when, .roots = 1 };
  for (int i = 0; i < 4; i++) r.id[15 - i] = (uint8_t)(trace >> (8 * i));
  return r;
}

static const char *why(uint32_t trace, const char *more) {
  static char q[120];
  snprintf(q, sizeof q, "why trace_id=%032x%s", trace, more);
  return q;
}

static void add(uint32_t trace, int outcome, const char *policy) {
  struct ts_record r = record(trace, outcome, TS_WHEN_WAIT);
  if (policy) r.policy = ts_journal_text(j, policy);
  ts_journal_add(j, &r);
}

/* --- lines ----------------------------------------------------------------------------------------------------------------- */

static void each_kind_of_decision_has_its_sentence(void **state) {
  (void)state;
  struct ts_record r = record(0, TS_KEEP, TS_WHEN_WAIT);
  r.policy = ts_journal_text(j, "errors");
  r.predicate = ts_journal_text(j, "status_code is ERROR");
  r.span = 0x00f067aa0ba902b7u;
  r.missing_parents = 1;
  ts_journal_add(j, &r);
  says(why(0, ""), "2026-11-29T12:00:01.123Z kept by policy \"errors\" (status_code is ERROR at span 00f067aa0ba902b7) after 30.0 s: decision_wait was over; 12 spans, 5280 bytes, root "
                   "seen, 1 parent missing\n");
  r = record(1, TS_KEEP, TS_WHEN_ROOT);
  r.policy = ts_journal_text(j, "some");
  r.threshold = TS_R_ALWAYS / 4 * 3;
  r.age_ns = 250000000;
  r.roots = 0;
  r.missing_parents = UINT32_MAX;
  ts_journal_add(j, &r);
  says(why(1, ""), "2026-11-29T12:00:01.123Z kept by policy \"some\" with probability 0.25 after 250 ms: decision_wait_after_root_received was over; 12 spans, 5280 bytes, no root seen, "
                   "parents not looked at\n");
  r = record(2, TS_NOT_SAMPLED, TS_WHEN_EARLY);
  r.spans = 1;
  ts_journal_add(j, &r);
  says(why(2, ""), "2026-11-29T12:00:01.123Z dropped, as no policy samples it, after 30.0 s: what was there settled it; 1 span, 5280 bytes, root seen\n");
  r = record(3, TS_DROPPED, TS_WHEN_WAIT);
  r.policy = ts_journal_text(j, "health");
  ts_journal_add(j, &r);
  has(why(3, ""), "Z dropped by policy \"health\" after 30.0 s: decision_wait was over; 12 spans, 5280 bytes, root seen\n");
  r = record(4, TS_NOT_SAMPLED, TS_WHEN_SHED);
  r.threshold = TS_R_ALWAYS / 2;
  ts_journal_add(j, &r);
  has(why(4, ""), "Z shed: over the memory budget new traces are thinned out, and are taken with probability 0.5; 12 spans, 5280 bytes\n");
  r = record(5, TS_NOT_SAMPLED, TS_WHEN_NUM_TRACES);
  ts_journal_add(j, &r);
  has(why(5, ""), "Z evicted after 30.0 s: it was the oldest of num_traces, and a new one came; 12");
  r = record(6, TS_NOT_SAMPLED, TS_WHEN_TOO_LARGE);
  ts_journal_add(j, &r);
  has(why(6, ""), "Z dropped after 30.0 s: it grew over maximum_trace_size_bytes; 12");
  r = record(7, TS_KEEP, TS_WHEN_SHUTDOWN);
  ts_journal_add(j, &r);
  has(why(7, ""), "Z kept after 30.0 s: weir was shut down; 12");
}

static void late_spans_stand_below_the_decision(void **state) {
  (void)state;
  add(9, TS_KEEP, "errors");
  struct ts_record r = record(9, TS_KEEP, TS_WHEN_LATE);
  r.time_unix_ns += 1000000;
  r.spans = 1;
  r.age_ns = 0;
  r.policy = ts_journal_text(j, "errors");
  ts_journal_add(j, &r);
  assert_int_equal(n_lines(ask(why(9, ""))), 2);
  assert_non_null(strstr(got.text, "seen\n2026-11-29T12:00:01.124Z 1 late span kept, as the trace was by policy \"errors\"; 5280 bytes\n"));
}

static void json_has_a_line_for_each(void **state) {
  (void)state;
  struct ts_record r = record(0, TS_KEEP, TS_WHEN_WAIT);
  r.policy = ts_journal_text(j, "errors");
  r.predicate = ts_journal_text(j, "status_code is ERROR");
  r.span = 0xf067aa0ba902b7u;
  r.threshold = TS_R_ALWAYS / 2;
  r.missing_parents = 1;
  ts_journal_add(j, &r);
  says("decisions format=json",
    "{\"time\":\"2026-11-29T12:00:01.123000000Z\",\"trace_id\":\"00000000000000000000000000000000\",\"outcome\":\"kept\",\"reason\":\"decision_wait\",\"policy\":\"errors\",\"predicate\":"
    "\"status_code is ERROR\",\"span_id\":\"00f067aa0ba902b7\",\"probability\":0.5,\"age_ms\":30000,\"spans\":12,\"bytes\":5280,\"root_seen\":true,\"missing_parents\":1}\n");
  ask(why(0, " format=json"));
  assert_int_equal(n_lines(got.text), 1);
  assert_int_equal(got.text[0], '{');
}

static void hostile_texts_are_escaped(void **state) {
  (void)state;
  struct ts_record r = record(0, TS_KEEP, TS_WHEN_WAIT);
  r.policy = ts_journal_text(j, "a\"b\\c\n\x1b[2J\xff\xc3\xa9\xe2\x80\xae\xc0\xaf\xc2\x85");
  r.predicate = ts_journal_text(j, "x = \"y\"\r\n2026 kept");
  ts_journal_add(j, &r);
  has(why(0, " format=json"), "\"policy\":\"a\\\"b\\\\c\\u000a\\u001b[2J\\ufffd\xc3\xa9\\u202e\\ufffd\\ufffd\\u0085\",\"predicate\":\"x = \\\"y\\\"\\u000d\\u000a2026 kept\"");
  has(why(0, ""), "kept by policy \"a\\\"b\\\\c\\u000a\\u001b[2J\\ufffd\xc3\xa9\\u202e\\ufffd\\ufffd\\u0085\" (x = \"y\"\\u000d\\u000a2026 kept)");
  assert_int_equal(n_lines(got.text), 1);
}

/* --- the ring ------------------------------------------------------------------------------------------------------------- */

static void the_newest_overwrites_the_oldest(void **state) {
  (void)state;
  for (uint32_t i = 0; i < 1000; i++) add(i, i % 2 ? TS_KEEP : TS_DROPPED, NULL);
  for (uint32_t i = 0; i < 1000; i++) assert_int_equal(n_lines(ask(why(i, ""))), i >= 1000 - 64);
  assert_int_equal(n_lines(ask("decisions limit=0")), 64);
  assert_true(strncmp(got.text, "2026-11-29T12:00:01.123Z 000000000000000000000000000003a8 dropped", 65) == 0);
  assert_true(ts_journal_bytes(j) < RECORDS(64) + 1000);
}

static void records_of_one_trace_stay_together_while_others_come(void **state) {
  (void)state;
  for (uint32_t i = 0; i < 500; i++) add(i % 10 ? i : 7777, TS_KEEP, NULL);
  size_t expected = 0;
  for (uint32_t i = 500 - 64; i < 500; i++) expected += i % 10 == 0;
  assert_int_equal(n_lines(ask(why(7777, ""))), expected);
}

/* Of sizes that are no power of two, as long as a model of it: the newest so many. */
static void any_size_does(void **state) {
  (void)state;
  static const uint32_t sizes[] = { 1, 2, 3, 7, 50, 63, 65, 100 };
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    ts_journal_free(j);
    j = ts_journal_new(RECORDS(sizes[s]) + 79);
    for (uint32_t i = 0; i < 300; i++) add(i % 90, TS_KEEP, NULL);
    size_t n = 0;
    for (uint32_t t = 0; t < 90; t++) {
      size_t expected = 0;
      for (uint32_t i = 300 - sizes[s]; i < 300; i++) expected += i % 90 == t;
      assert_int_equal(n_lines(ask(why(t, ""))), expected);
      n += expected;
    }
    assert_int_equal(n_lines(ask("decisions limit=0")), n);
    assert_int_equal(n, sizes[s]);
  }
}

/* Where numbers wrap, far beyond what a test can add. */
static void numbers_wrap(void **state) {
  (void)state;
  ts_journal_free(j);
  j = ts_journal_new(RECORDS(50));
  j->next = (uint32_t)(j->wrap - 120);
  assert_int_equal(j->wrap % 50, 0);
  for (uint32_t i = 0; i < 300; i++) {
    add(i % 20, TS_KEEP, NULL);
    size_t n = 0;
    for (uint32_t t = 0; t < 20; t++) n += n_lines(ask(why(t, "")));
    assert_int_equal(n, i + 1 < 50 ? i + 1 : 50);
    assert_int_equal(n_lines(ask("decisions limit=0")), n);
  }
  assert_true(j->next < 300);
}

static void without_room_nothing_is_recorded(void **state) {
  (void)state;
  struct ts_journal *none = ts_journal_new(0);
  struct ts_record r = record(1, TS_KEEP, TS_WHEN_WAIT);
  assert_int_equal(ts_journal_text(none, "a"), 0);
  ts_journal_add(none, &r);
  assert_string_equal(ask_of(none, "decisions"), "");
  assert_string_equal(ask_of(none, why(1, "")), "");
  add(2, TS_KEEP, "a");
  ts_journal_move(none, j);
  assert_string_equal(ask_of(none, "decisions"), "");
  ts_journal_free(none);
}

static void a_text_has_one_number(void **state) {
  (void)state;
  uint16_t a = ts_journal_text(j, "a"), b = ts_journal_text(j, "b");
  char text[16], *longest = malloc(5000);
  assert_true(a && b && a != b);
  assert_int_equal(ts_journal_text(j, "a"), a);
  assert_int_equal(ts_journal_text(j, ""), 0);
  memset(longest, 'x', 4999);
  longest[4999] = 0;
  uint16_t cut = ts_journal_text(j, longest);
  longest[1000] = 0;
  assert_true(cut && ts_journal_text(j, longest) == cut);
  free(longest);
  for (int i = 0; i < 65535; i++) {
    snprintf(text, sizeof text, "t%d", i);
    ts_journal_text(j, text);
  }
  assert_int_equal(ts_journal_text(j, "one too many"), 0);
  assert_int_equal(ts_journal_text(j, "b"), b);
}

/* --- questions ------------------------------------------------------------------------------------------------------------- */

static void decisions_are_filtered(void **state) {
  (void)state;
  for (uint32_t i = 0; i < 60; i++) add(i, i % 3 == 0 ? TS_KEEP : i % 3 == 1 ? TS_DROPPED : TS_NOT_SAMPLED, i % 3 == 0 ? "errors" : i % 3 == 1 ? "slow ones" : NULL);
  char since[80];
  assert_int_equal(n_lines(ask("decisions")), 60);
  assert_int_equal(n_lines(ask("decisions outcome=kept")), 20);
  assert_int_equal(n_lines(ask("decisions outcome=dropped")), 40);
  assert_int_equal(n_lines(ask("decisions outcome=lost")), 0);
  assert_int_equal(n_lines(ask("decisions policy=slow%20ones")), 20);
  assert_int_equal(n_lines(ask("decisions policy=slow%20ones outcome=kept")), 0);
  assert_int_equal(n_lines(ask("decisions policy=none")), 0);
  assert_int_equal(n_lines(ask("decisions limit=7")), 7);
  assert_non_null(strstr(got.text, "Z 0000000000000000000000000000003b "));
  assert_true(strncmp(got.text, "2026-11-29T12:00:01.123Z 00000000000000000000000000000035 ", 58) == 0);
  snprintf(since, sizeof since, "decisions since_unix_ns=%" PRId64, (int64_t)NOW + 50);
  assert_int_equal(n_lines(ask(since)), 10);
  assert_int_equal(n_lines(ask("decisions since_unix_ns=99999999999999999999")), 0);
  assert_int_equal(n_lines(ask("decisions limit=x")), 60);
}

static void other_questions_are_not_for_it(void **state) {
  (void)state;
  struct weir_answer a = { .size = sizeof a, .put = put };
  assert_int_equal(ts_journal_inspect(j, "whynot trace_id=1", &a), 0);
  assert_int_equal(ts_journal_inspect(j, "", &a), 0);
  add(0, TS_KEEP, NULL);
  says("why", "");
  says("why trace_id=00", "");
  says("why trace_id=0000000000000000000000000000000g", "");
  says("why trace_id=000000000000000000000000000000000", "");
  has("why trace_id=00000000000000000000000000000000", "kept");
}

static void an_answer_that_fits_is_whole(void **state) {
  (void)state;
  for (uint32_t i = 0; i < 64; i++) add(i, TS_KEEP, NULL);
  assert_int_equal(n_lines(ask("decisions limit=10")), 10);
  assert_int_equal(n_lines(ask("decisions limit=0")), 64);
  assert_true(got.over == 0);
}

static void an_answer_ends_at_a_mebibyte_with_the_newest(void **state) {
  (void)state;
  ts_journal_free(j);
  j = ts_journal_new(RECORDS(16384));
  for (uint32_t i = 0; i < 16384; i++) add(i, TS_KEEP, NULL);
  size_t n = n_lines(ask("decisions limit=0 format=json"));
  assert_true(got.n > ANSWER_MAX - 500 && got.over && got.over < 500); /* one line more says that there are others */
  assert_true(n > 1000 && n < 16384);
  assert_non_null(strstr(got.text + got.n - 300, "00003fff\""));
}

/* --- moving ------------------------------------------------------------------------------------------------------------------ */

static void an_empty_journal_takes_the_other_over(void **state) {
  (void)state;
  struct ts_journal *to = ts_journal_new(RECORDS(64));
  uint16_t first = ts_journal_text(to, "new"), second = ts_journal_text(to, "errors");
  for (uint32_t i = 0; i < 100; i++) add(i, TS_KEEP, i % 2 ? "errors" : "old");
  ts_journal_move(to, j);
  assert_string_equal(ask("decisions"), "");
  assert_int_equal(n_lines(ask_of(to, "decisions policy=errors")), 32);
  assert_int_equal(n_lines(ask_of(to, "decisions policy=old")), 32);
  assert_int_equal(n_lines(ask_of(to, why(99, ""))), 1);
  assert_int_equal(ts_journal_text(to, "new"), first);
  assert_int_equal(ts_journal_text(to, "errors"), second);
  struct ts_record r = record(200, TS_KEEP, TS_WHEN_WAIT);
  r.policy = first;
  ts_journal_add(to, &r);
  assert_non_null(strstr(ask_of(to, why(200, "")), "\"new\""));
  add(5, TS_KEEP, "errors"); /* the old one can be used again */
  assert_int_equal(n_lines(ask("decisions")), 1);
  assert_int_equal(n_lines(ask(why(5, ""))), 1);
  assert_int_equal(n_lines(ask(why(6, ""))), 0);
  ts_journal_free(to);
}

static void records_of_both_stand_in_order_of_time(void **state) {
  (void)state;
  struct ts_journal *to = ts_journal_new(RECORDS(32));
  uint16_t policy = ts_journal_text(to, "mine");
  for (uint32_t i = 0; i < 20; i++) {
    struct ts_record r = record(2 * i, TS_KEEP, TS_WHEN_WAIT);
    r.policy = policy;
    ts_journal_add(to, &r);
    add(2 * i + 1, TS_DROPPED, "theirs");
  }
  ts_journal_move(to, j);
  assert_int_equal(n_lines(ask_of(to, "decisions")), 32); /* the newest of 40 */
  const char *at = got.text;
  for (uint32_t i = 8; i < 40; i++, at = strchr(at, '\n') + 1) {
    char begin[100];
    snprintf(begin, sizeof begin, "2026-11-29T12:00:01.123Z %032x %s by policy \"%s\"", i, i % 2 ? "dropped" : "kept", i % 2 ? "theirs" : "mine");
    if (strncmp(at, begin, strlen(begin)) != 0) fail_msg("%u: %.120s", i, at);
  }
  assert_int_equal(n_lines(ask_of(to, why(39, ""))), 1);
  assert_int_equal(n_lines(ask_of(to, why(7, ""))), 0);
  ts_journal_free(to);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(each_kind_of_decision_has_its_sentence), T(late_spans_stand_below_the_decision), T(json_has_a_line_for_each), T(hostile_texts_are_escaped),
    T(the_newest_overwrites_the_oldest), T(records_of_one_trace_stay_together_while_others_come), T(any_size_does), T(numbers_wrap), T(without_room_nothing_is_recorded), T(a_text_has_one_number),
    T(decisions_are_filtered), T(other_questions_are_not_for_it), T(an_answer_that_fits_is_whole),
    T(an_answer_ends_at_a_mebibyte_with_the_newest), T(an_empty_journal_takes_the_other_over),
    T(records_of_both_stand_in_order_of_time) };
  return cmocka_run_group_tests_name("tail_journal", tests, NULL, NULL);
}
