/* Questions to stages on lanes that run: whose lines come together, what is cut, what is said when there are none, and what ends a question early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "pipelines/ask.h"

#define LANES 3

static struct env env;
static struct loop control, lanes[LANES];
static struct asks *asks;
static struct graph graph;
static struct site sites[2], *site_list[2];
static struct config_component components[2] = { { .role = WEIR_PROCESSOR, .id = "a" }, { .role = WEIR_PROCESSOR, .id = "b/2" } };
static struct config_pipeline pipeline = { .id = "traces/x" };
static struct node nodes[2][LANES];
static const char *mode; /* what the stages do */
static _Atomic int go, answers;

/* --- stages ------------------------------------------------------------------------------------------------------------ */

static void put_text(struct weir_answer *a, const char *text) { a->put(a, text, strlen(text)); }

static void much(struct weir_answer *a, uint32_t lane) {
  char line[1000];
  memset(line, 'x', sizeof line);
  for (int i = 0; i < 2000; i++) {
    int n = snprintf(line, sizeof line, "%04d,%u", i, lane);
    line[n] = 'x';
    line[sizeof line - 1] = '\n';
    a->put(a, line, sizeof line);
  }
}

static int inspect(void *self, const char *question, struct weir_answer *a) {
  struct weir_stage *s = self;
  char line[100];
  assert_ptr_equal(loop_current(), s->loop);
  while (strcmp(mode, "slow") == 0 && s->lane == 1 && !go) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  atomic_fetch_add(&answers, 1);
  if (strncmp(question, "why", 3) != 0 && strncmp(question, "decisions", 9) != 0) return 0;
  if (strcmp(mode, "much") == 0) much(a, s->lane);
  if (strcmp(mode, "nothing") == 0 || strcmp(mode, "much") == 0) return 1;
  for (int i = 0; i < 5; i++) {
    snprintf(line, sizeof line, "%d,\"%s\" lane %u%s", 2 * i + (s->lane == 2), s->id, s->lane, i < 4 ? "\n" : ""); /* the last without its newline */
    put_text(a, line);
  }
  return 1;
}

static const struct stage_entry asked = { .type = { .size = sizeof(struct weir_stage_type), .role = WEIR_PROCESSOR, .name = "a", .inspect = inspect } },
                                deaf = { .type = { .size = sizeof(struct weir_stage_type), .role = WEIR_PROCESSOR, .name = "d" } };

static void make_graph(void) {
  graph = (struct graph){ .env = &env, .control = &control, .lanes = lanes, .n_lanes = LANES, .sites = site_list, .n_sites = 2 };
  for (int s = 0; s < 2; s++) {
    components[s].entry = &asked;
    site_list[s] = &sites[s];
    sites[s] = (struct site){ .role = WEIR_PROCESSOR, .component = &components[s], .pipeline = s ? &pipeline : NULL, .nodes = nodes[s], .n_nodes = LANES };
    for (uint32_t i = 0; i < LANES; i++) {
      struct weir_stage *stage = &nodes[s][i].stage;
      *stage = (struct weir_stage){ .magic = STAGE_MAGIC, .state = STAGE_STARTED, .entry = &asked, .id = components[s].id, .lane = i, .loop = &lanes[i] };
      stage->self = stage;
    }
  }
}

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  mode = "";
  go = answers = 0;
  if (loop_init(&control, UINT32_MAX, &env, &err)) return -1;
  for (uint32_t i = 0; i < LANES; i++)
    if (loop_init(&lanes[i], i, &env, &err)) return -1;
  make_graph();
  asks = asks_new(&control);
  for (uint32_t i = 0; i < LANES; i++)
    if (loop_start_thread(&lanes[i], &err)) return -1;
  return 0;
}

static int teardown(void **state) {
  (void)state;
  go = 1;
  asks_stop(asks);
  for (uint32_t i = 0; i < LANES; i++) loop_stop(&lanes[i]);
  for (uint32_t i = 0; i < LANES; i++) loop_join(&lanes[i]);
  for (uint32_t i = 0; i < LANES; i++) loop_run_once(&lanes[i]);
  loop_run_once(&control);
  for (uint32_t i = 0; i < LANES; i++) loop_done(&lanes[i]);
  loop_done(&control);
  return 0;
}

/* --- who asks -------------------------------------------------------------------------------------------------------------- */

struct answer {
  int heard, code;
  size_t n_lines;
  char *text, *json;
};

static void on_done(void *arg, const struct ask_result *r) {
  struct answer *a = arg;
  size_t n;
  a->heard++;
  a->code = r->code;
  a->n_lines = r->n_lines;
  a->text = ask_text(r);
  a->json = ask_json(r, &n);
  assert_int_equal(n, strlen(a->json));
}

static void run_until_heard(struct answer *a) {
  for (int i = 0; i < 5000 && !a->heard; i++) {
    loop_run_once(&control);
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  }
  assert_int_equal(a->heard, 1);
}

static void begin(struct answer *a, const char *question) {
  *a = (struct answer){ .heard = 0 };
  ask_stages(asks, &graph, question, on_done, a);
  assert_int_equal(a->heard, 0);
}

static void end(struct answer *a) {
  free(a->text);
  free(a->json);
}

static void says(const char *question, int code, const char *text, const char *json) {
  struct answer a;
  begin(&a, question);
  run_until_heard(&a);
  assert_int_equal(a.code, code);
  assert_string_equal(a.text, text);
  assert_string_equal(a.json, json);
  end(&a);
}

/* --- the tests ---------------------------------------------------------------------------------------------------------------- */

static void lines_of_all_lanes_are_sorted_by_their_beginning(void **state) {
  (void)state;
  says("why stage=a", ASK_FOUND,
    "0,\"a\" lane 0\n0,\"a\" lane 1\n1,\"a\" lane 2\n2,\"a\" lane 0\n2,\"a\" lane 1\n3,\"a\" lane 2\n4,\"a\" lane 0\n4,\"a\" lane 1\n5,\"a\" lane 2\n6,\"a\" lane 0\n6,\"a\" lane 1\n7,\"a\" lane "
    "2\n8,\"a\" lane 0\n8,\"a\" lane 1\n9,\"a\" lane 2\n",
    "{\"decisions\":[\n0,\"a\" lane 0,\n0,\"a\" lane 1,\n1,\"a\" lane 2,\n2,\"a\" lane 0,\n2,\"a\" lane 1,\n3,\"a\" lane 2,\n4,\"a\" lane 0,\n4,\"a\" lane 1,\n5,\"a\" lane 2,\n6,\"a\" lane "
    "0,\n6,\"a\" lane 1,\n7,\"a\" lane 2,\n8,\"a\" lane 0,\n8,\"a\" lane 1,\n9,\"a\" lane 2\n]}\n");
}

static void the_newest_of_all_stay_within_the_limit(void **state) {
  (void)state;
  says("decisions limit=2 stage=traces/x", ASK_FOUND, "8,\"b/2\" lane 1\n9,\"b/2\" lane 2\n", "{\"decisions\":[\n8,\"b/2\" lane 1,\n9,\"b/2\" lane 2\n]}\n");
  struct answer a;
  begin(&a, "decisions limit=0");
  run_until_heard(&a);
  assert_int_equal(a.n_lines, 30);
  end(&a);
}

static void it_is_said_why_there_are_none(void **state) {
  (void)state;
  says("else", ASK_NOBODY, "weir: no running stage records decisions\n  is there a tail_sampling processor in a pipeline?\n",
    "{\"error\":\"no running stage records decisions\",\"hint\":\"is there a tail_sampling processor in a pipeline?\"}\n");
  mode = "nothing";
  says("decisions", ASK_NOTHING, "weir: there is no such decision\n", "{\"error\":\"there is no such decision\"}\n");
  says("why stage=c", ASK_NOBODY, "weir: no running stage of that component or pipeline records decisions\n  is there a tail_sampling processor in a pipeline?\n",
    "{\"error\":\"no running stage of that component or pipeline records decisions\",\"hint\":\"is there a tail_sampling processor in a pipeline?\"}\n");
}

static void who_is_closed_or_has_no_ear_is_not_asked(void **state) {
  (void)state;
  struct answer a;
  components[1].entry = &deaf;
  nodes[0][0].stage.state = STAGE_CLOSED;
  nodes[0][1].stage.state = STAGE_DRAINING;
  begin(&a, "why");
  run_until_heard(&a);
  assert_int_equal(answers, 2);
  assert_int_equal(a.n_lines, 10);
  assert_null(strstr(a.text, "lane 0"));
  end(&a);
}

static void an_instance_has_a_mebibyte(void **state) {
  (void)state;
  struct answer a;
  mode = "much";
  begin(&a, "why stage=a");
  run_until_heard(&a);
  assert_int_equal(a.n_lines, LANES * (ASK_INSTANCE_MAX / 1000));
  assert_non_null(strstr(a.text, "are left out"));
  assert_non_null(strstr(a.json, "],\"left_out\":true}\n"));
  end(&a);
}

static void a_lane_that_is_stuck_is_named_in_time(void **state) {
  (void)state;
  struct answer a;
  mode = "slow";
  begin(&a, "why");
  for (int i = 0; i < 5000 && (answers < 4 || i < 50); i++) { /* the other lanes are back */
    loop_run_once(&control);
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  }
  clock_set_virtual(clock_mono_ns() + ASK_TIMEOUT_NS + NS_PER_S, 0);
  run_until_heard(&a);
  assert_int_equal(a.code, ASK_FAILED);
  assert_non_null(strstr(a.text, "lane 1 did not answer within 5 s"));
  end(&a);
  go = 1; /* it comes back when nobody waits any more */
  for (int i = 0; i < 50; i++) {
    loop_run_once(&control);
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  }
  assert_int_equal(a.heard, 1);
  begin(&a, "why");
  run_until_heard(&a);
  assert_int_equal(a.n_lines, 30);
  end(&a);
}

static void the_ninth_question_is_refused_and_a_shutdown_answers_all(void **state) {
  (void)state;
  struct answer a[ASKS_MAX + 1];
  mode = "slow";
  for (uint32_t i = 0; i <= ASKS_MAX; i++) begin(&a[i], "why");
  run_until_heard(&a[ASKS_MAX]);
  assert_int_equal(a[ASKS_MAX].code, ASK_FAILED);
  assert_non_null(strstr(a[ASKS_MAX].text, "too many questions are open"));
  asks_stop(asks);
  asks = NULL;
  for (uint32_t i = 0; i <= ASKS_MAX; i++) {
    assert_int_equal(a[i].heard, 1);
    if (i < ASKS_MAX) assert_string_equal(a[i].json, "{\"error\":\"weir is shutting down\"}\n");
    end(&a[i]);
  }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(lines_of_all_lanes_are_sorted_by_their_beginning), T(the_newest_of_all_stay_within_the_limit), T(it_is_said_why_there_are_none),
    T(who_is_closed_or_has_no_ear_is_not_asked), T(an_instance_has_a_mebibyte), T(the_ninth_question_is_refused_and_a_shutdown_answers_all), T(a_lane_that_is_stuck_is_named_in_time) };
  return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
