/* State that outlives a change of settings: who takes over what from whom, in which order, and what the counters say. Virtual loops and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/graph.h"
#include "pipelines/retire.h"

#define LANES 2

static struct env env;
static struct loop control, lanes[LANES];
static struct config *configs[4];
static size_t n_configs;
static struct diags ds;
static struct graph *graph;
static struct retirement retirement;
static char events[2000]; /* of lane 0, in order */
static int n_sent;

/* --- a stage that holds what it gets until it drains ------------------------------------------------------------------ */

struct holder {
  struct weir_stage *stage;
  struct weir_batch *held[16];
  int n;
};

static void note(struct weir_stage *s, const char *what) {
  size_t n = strlen(events);
  const char *settings = s->config;
  if (s->lane == 0) snprintf(events + n, sizeof events - n, "%s:%s%s%s ", what, s->id, settings ? "=" : "", settings ? settings : "");
}

static int h_open(const struct weir_host *host, struct weir_stage *s, const void *c, void **ret_self, struct weir_error *err) {
  (void)host;
  if (c && !strcmp(c, "bad")) return weir_fail(err, WEIR_E_CONFIG, "it is bad");
  struct holder *h = calloc(1, sizeof *h);
  h->stage = s;
  *ret_self = h;
  note(s, "open");
  return 0;
}

static int h_start(void *self, struct weir_error *err) {
  struct holder *h = self;
  if (h->stage->config && !strcmp(h->stage->config, "stuck")) return weir_fail(err, WEIR_E_IO, "it does not start");
  return 0;
}

static void h_consume(void *self, struct weir_batch *b) {
  struct holder *h = self;
  assert_true(h->n < 16);
  h->held[h->n++] = b;
  note(h->stage, "consume");
}

static void h_drain(void *self) {
  struct holder *h = self;
  note(h->stage, "drain");
  for (int i = 0; i < h->n; i++) host_table()->emit(h->stage, 0, h->held[i]);
  h->n = 0;
  host_table()->drained(h->stage);
}

static void h_close(void *self) {
  struct holder *h = self;
  note(h->stage, "close");
  for (int i = 0; i < h->n; i++) host_table()->drop(h->stage, h->held[i], "closed");
  free(h);
}

static void h_adopt(void *self, void *from) {
  struct holder *to = self, *of = from;
  note(to->stage, "adopt");
  assert_int_equal(to->stage->lane, of->stage->lane);
  assert_ptr_equal(loop_current() ? loop_current() : to->stage->loop, to->stage->loop);
  for (int i = 0; i < of->n; i++) to->held[to->n++] = of->held[i];
  of->n = 0;
}

static void x_consume(void *self, struct weir_batch *b) {
  struct holder *x = self;
  static const struct weir_verdict delivered = { .code = WEIR_DELIVERED };
  n_sent += (int)b->items;
  host_table()->done(x->stage, b, &delivered);
}

#define STAGE(r, n, fl, take, drains, adopts)                                                                                                \
  {                                                                                                                                          \
    .type = {                                                                                                                                \
      .size = sizeof(struct weir_stage_type),                                                                                                \
      .role = r,                                                                                                                             \
      .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,                                                                                     \
      .flags = fl,                                                                                                                           \
      .name = n,                                                                                                                             \
      .doc = "Of a test.",                                                                                                                   \
      .open = h_open,                                                                                                                        \
      .start = h_start,                                                                                                                      \
      .consume = take,                                                                                                                       \
      .drain = drains,                                                                                                                       \
      .close = h_close,                                                                                                                      \
      .adopt = adopts                                                                                                                        \
    }                                                                                                                                        \
  }

static const struct stage_entry types[] = { STAGE(WEIR_RECEIVER, "r", 0, NULL, NULL, NULL), STAGE(WEIR_PROCESSOR, "h", WEIR_HOLDS, h_consume, h_drain, h_adopt),
  STAGE(WEIR_PROCESSOR, "one", WEIR_HOLDS | WEIR_ONE_LANE, h_consume, h_drain, h_adopt), STAGE(WEIR_PROCESSOR, "k", WEIR_HOLDS, h_consume, h_drain, NULL),
  STAGE(WEIR_EXPORTER, "x", 0, x_consume, NULL, h_adopt) };

/* --- configurations: "id=settings" ---------------------------------------------------------------------------------------- */

static struct config_ref ref(struct config *c, const char *spec) {
  char *id = arena_strdup(&c->arena, spec), *settings = strchr(id, '=');
  size_t type_n = strcspn(id, "/=");
  if (settings) *settings++ = 0;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (strlen(types[i].type.name) != type_n || strncmp(types[i].type.name, id, type_n) != 0) continue;
    struct config_component *k = arena_zalloc(&c->arena, sizeof *k);
    *k = (struct config_component){ .role = types[i].type.role, .id = id, .entry = &types[i], .config = settings, .next = c->components };
    if (settings) k->body = yaml_new_map(&c->arena, k->pos, yaml_new_scalar(&c->arena, k->pos, "key"), yaml_new_scalar(&c->arena, k->pos, settings));
    c->components = k;
    return (struct config_ref){ .id = id, .component = k };
  }
  fail_msg("no component %s", spec);
  return (struct config_ref){ .id = NULL };
}

static struct config *config(const char *pipeline, const char *receiver, const char *processor) {
  struct config *c = calloc(1, sizeof *c);
  assert_true(n_configs < 4);
  arena_init(&c->arena, NULL, 0);
  struct config_pipeline *p = c->pipelines = arena_zalloc(&c->arena, sizeof *p);
  *p = (struct config_pipeline){ .signal = WEIR_TRACES, .id = pipeline, .n_receivers = 1, .n_processors = 1, .n_exporters = 1 };
  struct config_ref *refs = arena_zalloc(&c->arena, 3 * sizeof *refs);
  refs[0] = ref(c, receiver);
  refs[1] = ref(c, processor);
  refs[2] = ref(c, "x");
  p->receivers = refs;
  p->processors = refs + 1;
  p->exporters = refs + 2;
  return configs[n_configs++] = c;
}

static void run_all(int rounds) {
  while (rounds-- > 0) {
    for (int i = 0; i < LANES; i++) loop_run_once(&lanes[i]);
    loop_run_once(&control);
  }
}

static void pass(int64_t ns) {
  for (; ns > 0; ns -= 100 * NS_PER_MS) {
    clock_advance(100 * NS_PER_MS);
    run_all(3);
  }
}

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  clock_set_virtual(1000 * NS_PER_S, 1000 * NS_PER_S);
  events[0] = 0;
  n_sent = 0;
  diags_init(&ds);
  env = (struct env){ .metrics = metrics_new() };
  for (uint32_t i = 0; i < LANES; i++)
    if (loop_init(&lanes[i], i, &env, &err)) return -1;
  if (loop_init(&control, UINT32_MAX, &env, &err)) return -1;
  retirement = (struct retirement){ .control = &control };
  return 0;
}

static int teardown(void **state) {
  (void)state;
  struct graph **all = NULL;
  size_t n = retire_stop(&retirement, &all);
  if (graph) all[n++] = graph;
  graph_close_all(all, n);
  free((void *)all);
  run_all(2);
  graph_free(graph);
  graph = NULL;
  retire_free(&retirement);
  loop_done(&control);
  for (int i = 0; i < LANES; i++) loop_done(&lanes[i]);
  metrics_free(env.metrics);
  while (n_configs > 0) config_free(configs[--n_configs]);
  diags_done(&ds);
  return 0;
}

static void start(struct config *c) {
  graph = graph_new(c, &env, &control, lanes, LANES, &ds);
  assert_non_null(graph);
  assert_int_equal(graph_open(graph, &ds), 0);
  assert_int_equal(graph_start(graph, &ds), 0);
  events[0] = 0;
}

static struct graph *make_next(struct config *c) {
  struct graph *next = graph_renew(graph, c, &ds);
  assert_non_null(next);
  assert_int_equal(graph_open(next, &ds), 0);
  return next;
}

static void swap_in(struct graph *next) {
  struct graph *old = graph;
  graph_swap(next, old);
  graph = next;
  retire_begin(&retirement, old, 10 * NS_PER_S);
}

static void swap_to(struct config *c) {
  struct graph *next = make_next(c);
  assert_int_equal(graph_start(next, &ds), 0);
  swap_in(next);
}

static struct weir_stage *stage_of(struct graph *g, const char *id, uint32_t lane) {
  for (size_t i = 0; i < g->n_sites; i++)
    if (!strcmp(g->sites[i]->component->id, id)) return &g->sites[i]->nodes[lane].stage;
  fail_msg("no site %s", id);
  return NULL;
}

static struct weir_stage *stage(const char *id, uint32_t lane) { return stage_of(graph, id, lane); }

static void emit(struct weir_stage *s) {
  host_table()->emit(s, 0, flow_batch(s->loop, WEIR_TRACES, 3));
  run_all(1);
}

static int64_t held(struct weir_stage *s) { return atomic_load(&s->counts.held->value); }

static void metric_is(const char *name, const char *id, int value) {
  char line[200];
  snprintf(line, sizeof line, "%s{stage=\"processor/%s\",pipeline=\"traces\",signal=\"traces\"} %d\n", name, id, value);
  char *page = metrics_render(env.metrics, &(size_t){ 0 }, 0);
  if (!strstr(page, line)) fail_msg("not on the page: %s%s", line, strstr(page, name));
  free(page);
}

/* --- the tests ---------------------------------------------------------------------------------------------------------------- */

static void what_is_held_goes_to_who_comes_after(void **state) {
  (void)state;
  start(config("traces", "r", "h=1"));
  for (uint32_t lane = 0; lane < LANES; lane++) emit(stage("r", lane));
  emit(stage("r", 1));
  struct weir_stage *old = stage("h", 1);
  assert_int_equal(held(old), 6);
  events[0] = 0;
  swap_to(config("traces", "r", "h=2"));
  assert_string_equal(events, "open:h=2 adopt:h=2 ");
  assert_int_equal(held(old), 0);
  assert_int_equal(held(stage("h", 0)), 3);
  assert_int_equal(held(stage("h", 1)), 6);
  metric_is("weir_stage_items_held", "h", 9);
  pass(NS_PER_S);
  assert_string_equal(events, "open:h=2 adopt:h=2 drain:h=1 close:h=1 ");
  assert_int_equal(n_sent, 0);
  assert_null(retirement.first);
  emit(stage("r", 0));
  for (uint32_t lane = 0; lane < LANES; lane++) stage_drain(stage("h", lane));
  run_all(2);
  assert_int_equal(n_sent, 12);
  metric_is("weir_stage_items_in_total", "h", 12);
  metric_is("weir_stage_items_out_total", "h", 12);
  metric_is("weir_stage_items_held", "h", 0);
}

static void a_batch_that_comes_before_waits(void **state) {
  (void)state;
  start(config("traces", "r=1", "h=1"));
  emit(stage("r", 0));
  struct graph *next = make_next(config("traces", "r=2", "h=2"));
  assert_int_equal(graph_start(next, &ds), 0);
  events[0] = 0;
  emit(stage_of(next, "r", 0)); /* the new receiver has a connection already */
  emit(stage_of(next, "r", 0));
  assert_string_equal(events, "");
  swap_in(next);
  assert_string_equal(events, "adopt:h=2 consume:h=2 consume:h=2 ");
  assert_int_equal(held(stage("h", 0)), 9);
  metric_is("weir_stage_items_in_total", "h", 9);
}

static void a_batch_from_a_lane_that_is_behind_goes_on(void **state) {
  (void)state;
  start(config("traces", "r", "h=1"));
  struct weir_stage *old = stage("h", 0);
  emit(stage("r", 0));
  swap_to(config("traces", "r", "h=2"));
  events[0] = 0;
  stage_consume(old, flow_batch(&lanes[0], WEIR_TRACES, 2)); /* it was posted before that lane's swap */
  assert_string_equal(events, "consume:h=2 ");
  assert_int_equal(held(old), 0);
  assert_int_equal(held(stage("h", 0)), 5);
}

static void a_reload_that_fails_leaves_the_state(void **state) {
  (void)state;
  start(config("traces", "r=1", "h=1"));
  emit(stage("r", 0));
  struct graph *next = make_next(config("traces", "r=stuck", "h=2"));
  struct weir_stage *young = stage_of(next, "h", 0);
  assert_int_not_equal(graph_start(next, &ds), 0);
  emit(stage_of(next, "r", 0));
  events[0] = 0;
  graph_disown(next);
  assert_string_equal(events, "consume:h=2 ");
  assert_int_equal(held(young), 3);
  assert_int_equal(held(stage("h", 0)), 3);
  retire_begin(&retirement, next, 10 * NS_PER_S);
  pass(NS_PER_S);
  assert_string_equal(events, "consume:h=2 close:r=stuck drain:h=2 close:h=2 ");
  assert_int_equal(n_sent, 3);
  emit(stage("r", 0));
  assert_int_equal(held(stage("h", 0)), 6);
}

static void one_that_can_not_be_opened_leaves_the_state(void **state) {
  (void)state;
  start(config("traces", "r", "h=1"));
  emit(stage("r", 0));
  struct graph *next = graph_renew(graph, config("traces", "r", "h=bad"), &ds);
  assert_non_null(next);
  assert_int_not_equal(graph_open(next, &ds), 0);
  graph_disown(next);
  graph_close(next);
  graph_free(next);
  emit(stage("r", 0));
  assert_int_equal(held(stage("h", 0)), 6);
}

static void state_goes_on_from_reload_to_reload(void **state) {
  (void)state;
  start(config("traces", "r", "h=1"));
  emit(stage("r", 0));
  swap_to(config("traces", "r", "h=2"));
  emit(stage("r", 0));
  swap_to(config("traces", "r", "h=3")); /* while the first still retires */
  assert_int_equal(held(stage("h", 0)), 6);
  pass(NS_PER_S);
  assert_int_equal(n_sent, 0);
  assert_null(retirement.first);
  metric_is("weir_stage_items_held", "h", 6);
}

static void a_one_lane_stage_too(void **state) {
  (void)state;
  start(config("traces", "r", "one=1"));
  emit(stage("r", 1));
  run_all(2);
  swap_to(config("traces", "r", "one=2"));
  assert_int_equal(held(stage("one", 0)), 3);
}

static void only_the_same_component_at_the_same_place(void **state) {
  (void)state;
  static const char *const others[][2] = { { "traces/2", "h=2" }, { "traces", "h/2=2" }, { "traces", "one=2" } };
  for (size_t i = 0; i < 3; i++) {
    if (i) setup(NULL);
    start(config("traces", "r", "h=1"));
    emit(stage("r", 0));
    swap_to(config(others[i][0], "r", others[i][1]));
    assert_null(strstr(events, "adopt"));
    pass(NS_PER_S);
    assert_int_equal(n_sent, 3);
    if (i < 2) teardown(NULL);
  }
}

static void without_adopt_it_is_drained(void **state) {
  (void)state;
  start(config("traces", "r", "k=1"));
  emit(stage("r", 0));
  swap_to(config("traces", "r", "k=2"));
  pass(NS_PER_S);
  assert_null(strstr(events, "adopt"));
  assert_int_equal(n_sent, 3);
}

static void kept_ones_adopt_nothing(void **state) {
  (void)state;
  start(config("traces", "r=1", "h=1"));
  emit(stage("r", 0));
  swap_to(config("traces", "r=2", "h=1"));
  assert_null(strstr(events, "adopt"));
  assert_int_equal(held(stage("h", 0)), 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(what_is_held_goes_to_who_comes_after), T(a_batch_that_comes_before_waits), T(a_batch_from_a_lane_that_is_behind_goes_on),
    T(a_reload_that_fails_leaves_the_state), T(one_that_can_not_be_opened_leaves_the_state), T(state_goes_on_from_reload_to_reload), T(a_one_lane_stage_too),
    T(only_the_same_component_at_the_same_place), T(without_adopt_it_is_drained), T(kept_ones_adopt_nothing) };
  return cmocka_run_group_tests_name("graph_adopt", tests, NULL, NULL);
}
