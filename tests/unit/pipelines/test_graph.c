/* From a checked configuration to sites, instances and edges; open, drain, close. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "core/log.h"
#include "pipelines/graph.h"
#include "pipelines/sender.h"

#define LANES 2

static struct env env;
static struct loop control, lanes[LANES];
static struct config config;
static struct diags ds;
static struct graph *graph;
static char events[1000]; /* what the stages were told, in order */
static struct weir_stage *got_by[16];
static struct weir_batch *got[16];
static int n_got;

/* --- stages of the test -------------------------------------------------------------------------------- */

static void note(struct weir_stage *s, const char *what) {
  size_t n = strlen(events);
  snprintf(events + n, sizeof events - n, "%s:%s%u ", what, s->id, s->lane);
}

static int t_open(const struct weir_host *host, struct weir_stage *s, const void *c, void **ret_self, struct weir_error *err) {
  (void)host;
  *ret_self = s;
  if (c && strcmp(c, "unprepared")) return weir_fail_field(err, "endpoint", "%s", (const char *)c); /* the test's configuration is what to complain about */
  note(s, "open");
  return 0;
}

static const char *no_start = ""; /* ids of stages that do not start */

static int t_start(void *self, struct weir_error *err) {
  const struct weir_stage *s = self;
  if (strstr(no_start, s->id)) {
    weir_fail_field(err, "endpoint", "%s is in use", s->id);
    weir_hint(err, "choose another");
    return WEIR_E_IO;
  }
  note(self, "start");
  return 0;
}

static void t_consume(void *self, struct weir_batch *b) {
  assert_true(n_got < 16);
  got_by[n_got] = self;
  got[n_got++] = b;
}

static void t_drain(void *self) {
  note(self, "drain");
  struct weir_stage *s = self;
  s->ops->drained(s);
}

static void t_close(void *self) { note(self, "close"); }

static int t_needs_nothing(void *self) {
  (void)self;
  return WEIR_NEED_NONE;
}

static int t_prepare(const struct weir_host *host, struct weir_stage *s, const void *c, void **ret_shared, struct weir_error *err) {
  assert_ptr_equal(host, host_table());
  note(s, "prepare");
  if (c && !strcmp(c, "unprepared")) return weir_fail_field(err, "endpoint", "no table for it");
  *ret_shared = strdup(s->pipeline);
  return 0;
}

static void t_release(void *shared) {
  size_t n = strlen(events);
  snprintf(events + n, sizeof events - n, "release:%s ", (char *)shared);
  free(shared);
}

#define STAGE(r, n, fl, nd)                                                                                                                \
  {                                                                                                                                        \
    .type = {                                                                                                                              \
      .size = sizeof(struct weir_stage_type),                                                                                              \
      .role = r,                                                                                                                           \
      .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,                                                                                   \
      .flags = fl,                                                                                                                         \
      .name = n,                                                                                                                           \
      .doc = "Of a test.",                                                                                                                 \
      .open = t_open,                                                                                                                      \
      .start = t_start,                                                                                                                    \
      .consume = t_consume,                                                                                                                \
      .drain = t_drain,                                                                                                                    \
      .close = t_close,                                                                                                                    \
      .need = nd                                                                                                                           \
    }                                                                                                                                      \
  }

static const struct stage_entry receiver = STAGE(WEIR_RECEIVER, "r", 0, NULL), plain = STAGE(WEIR_PROCESSOR, "p", 0, t_needs_nothing),
                                holder = STAGE(WEIR_PROCESSOR, "h", WEIR_HOLDS, t_needs_nothing),
                                editor = STAGE(WEIR_PROCESSOR, "e", WEIR_MUTATES, NULL),
                                queued = STAGE(WEIR_EXPORTER, "x", WEIR_QUEUED, t_needs_nothing),
                                direct = STAGE(WEIR_EXPORTER, "d", 0, NULL), alone = STAGE(WEIR_EXPORTER, "one", WEIR_ONE_LANE, NULL),
                                forward = STAGE(WEIR_CONNECTOR, "c", 0, t_needs_nothing), extension = STAGE(WEIR_EXTENSION, "z", 0, NULL);
static struct stage_entry shares = STAGE(WEIR_PROCESSOR, "s", 0, t_needs_nothing); /* setup gives it prepare and release */
static const struct sender_config sender_defaults = { .queue = { .enabled = 1, .num_consumers = 10, .queue_size = 10 } };

/* --- the configuration, by hand --------------------------------------------------------------------------- */

static const struct {
  const char *id;
  const struct stage_entry *entry;
} known[] = { { "r", &receiver }, { "r2", &receiver }, { "r3", &receiver }, { "p", &plain }, { "h", &holder }, { "e", &editor }, { "s", &shares }, { "x", &queued },
  { "y", &queued }, { "d", &direct }, { "one", &alone }, { "c", &forward }, { "c2", &forward }, { "z", &extension }, { "z2", &extension } };

static struct config_component *component(const char *id) {
  for (struct config_component *c = config.components; c; c = c->next)
    if (!strcmp(c->id, id)) return c;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].id, id) != 0) continue;
    struct config_component *c = arena_zalloc(&config.arena, sizeof *c);
    c->role = known[i].entry->type.role;
    c->id = known[i].id;
    c->entry = known[i].entry;
    c->pos = (struct pos){ 0, 2, 3, 1 };
    c->sender = known[i].entry->type.flags & WEIR_QUEUED ? &sender_defaults : NULL;
    c->next = config.components;
    config.components = c;
    return c;
  }
  fail_msg("no component %s", id);
  return NULL;
}

/* "r r2" -> references */
static size_t refs(const char *ids, struct config_ref **ret) {
  char *copy = arena_strdup(&config.arena, ids), *save = NULL;
  size_t n = 0;
  *ret = arena_zalloc(&config.arena, 8 * sizeof **ret);
  for (char *id = strtok_r(copy, " ", &save); id; id = strtok_r(NULL, " ", &save))
    (*ret)[n++] = (struct config_ref){ .id = id, .component = component(id) };
  return n;
}

static struct config_pipeline *pipeline(
  uint32_t signal, const char *id, const char *receivers, const char *processors, const char *exporters) {
  struct config_pipeline *p = arena_zalloc(&config.arena, sizeof *p), **at = &config.pipelines;
  p->signal = signal;
  p->id = id;
  p->n_receivers = refs(receivers, &p->receivers);
  p->n_processors = refs(processors, &p->processors);
  p->n_exporters = refs(exporters, &p->exporters);
  while (*at) at = &(*at)->next;
  *at = p;
  return p;
}

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  events[0] = 0;
  n_got = 0;
  shares.type.prepare = t_prepare;
  shares.type.release = t_release;
  config = (struct config){ 0 };
  arena_init(&config.arena, NULL, 0);
  diags_init(&ds);
  diags_add_file(&ds, "t.yaml", "exporters:\n  x:\n    endpoint: nowhere\n", 38);
  env = (struct env){ .metrics = metrics_new() };
  for (uint32_t i = 0; i < LANES; i++)
    if (loop_init(&lanes[i], i, &env, &err)) return -1;
  return loop_init(&control, UINT32_MAX, &env, &err);
}

static int teardown(void **state) {
  (void)state;
  no_start = "";
  if (graph) graph_close(graph);
  graph_free(graph);
  graph = NULL;
  loop_done(&control);
  for (int i = 0; i < LANES; i++) loop_done(&lanes[i]);
  metrics_free(env.metrics);
  diags_done(&ds);
  arena_done(&config.arena);
  return 0;
}

static void build(void) {
  graph = graph_new(&config, &env, &control, lanes, LANES, &ds);
  assert_non_null(graph);
  assert_int_equal(graph_open(graph, &ds), 0);
}

static void build_and_start(void) {
  build();
  assert_int_equal(graph_start(graph, &ds), 0);
}

static struct site *site(const char *id, uint32_t signal) {
  for (size_t i = 0; i < graph->n_sites; i++)
    if (!strcmp(graph->sites[i]->component->id, id) && (!signal || graph->sites[i]->signal & signal)) return graph->sites[i];
  return NULL;
}

static void answer_all(void) {
  struct weir_verdict v = verdict_delivered();
  for (int i = 0; i < n_got; i++) got_by[i]->ops->done(got_by[i], got[i], &v);
  n_got = 0;
  for (int i = 0; i < LANES; i++) loop_run_once(&lanes[i]);
}

static void emit(struct weir_stage *s, uint32_t signal) {
  struct weir_batch *b = flow_batch(s->loop, signal, 3);
  s->ops->emit(s, 0, b);
  for (int i = 0; i < LANES; i++) loop_run_once(&lanes[i]);
}

/* --- tests --------------------------------------------------------------------------------------------------- */

static void instances_are_where_the_rules_say(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "p", "x one");
  pipeline(WEIR_TRACES, "traces/2", "r", "p", "x");
  pipeline(WEIR_LOGS, "logs", "r", "", "x");
  config.n_extensions = refs("z", &config.extensions);
  build();
  assert_int_equal(graph->n_sites, 7); /* z, one, x(traces), x(logs), p(traces), p(traces/2), r */
  struct site *r = site("r", 0), *x = site("x", WEIR_TRACES), *x_logs = site("x", WEIR_LOGS);
  assert_int_equal(r->signal, WEIR_TRACES | WEIR_LOGS);
  assert_int_equal(r->n_nodes, LANES);
  assert_ptr_not_equal(x, x_logs);
  assert_ptr_not_equal(x->sender, x_logs->sender);
  assert_int_equal(site("one", 0)->n_nodes, 1);
  assert_int_equal(site("z", 0)->n_nodes, 1);
  assert_ptr_equal(site("z", 0)->nodes[0].stage.loop, &control);
  assert_string_equal(site("p", 0)->nodes[1].stage.pipeline, site("p", 0)->pipeline->id);
  assert_ptr_equal(graph->sites[0], site("z", 0)); /* extensions first, receivers last */
  assert_ptr_equal(graph->sites[6], r);
}

static void a_batch_stays_on_its_lane_and_goes_where_its_signal_goes(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "", "x");
  pipeline(WEIR_LOGS, "logs", "r", "", "d");
  build_and_start();
  emit(&site("r", 0)->nodes[1].stage, WEIR_TRACES);
  assert_int_equal(n_got, 1);
  assert_ptr_equal(got_by[0], &site("x", 0)->nodes[1].stage);
  answer_all();
  emit(&site("r", 0)->nodes[0].stage, WEIR_LOGS);
  assert_ptr_equal(got_by[0], &site("d", 0)->nodes[0].stage);
  answer_all();
}

static void a_one_lane_stage_gets_batches_of_all_lanes(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "", "one");
  build_and_start();
  emit(&site("r", 0)->nodes[1].stage, WEIR_TRACES);
  emit(&site("r", 0)->nodes[0].stage, WEIR_TRACES);
  for (int i = 0; i < LANES; i++) loop_run_once(&lanes[i]);
  assert_int_equal(n_got, 2);
  for (int i = 0; i < n_got; i++) assert_ptr_equal(got_by[i], &site("one", 0)->nodes[0].stage);
  answer_all();
}

static void nested_fan_outs_are_one_list(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "", "x y");
  pipeline(WEIR_TRACES, "traces/2", "r", "p", "x d");
  build();
  struct edge *e = &site("r", 0)->nodes[0].out[0];
  assert_int_equal(e->n_targets, 3); /* x, y, p */
  assert_int_equal(e->n_reach, 3);   /* x, y, and x behind p */
  assert_int_equal(site("p", 0)->nodes[0].out[0].n_reach, 1);
}

static void reservations_end_at_a_stage_that_holds(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "h", "x y");
  pipeline(WEIR_TRACES, "traces/2", "r", "", "y");
  build();
  struct edge *e = &site("r", 0)->nodes[0].out[0];
  assert_int_equal(e->n_targets, 2);
  assert_int_equal(e->n_reach, 1);
  assert_int_equal(site("h", 0)->nodes[0].out[0].n_reach, 2);
}

static void a_connector_stands_once_per_pair_of_signals(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces/in", "r", "", "c");
  pipeline(WEIR_LOGS, "logs/in", "r", "", "c");
  pipeline(WEIR_TRACES, "traces/out", "c", "", "x");
  pipeline(WEIR_TRACES, "traces/out2", "c", "p", "y");
  pipeline(WEIR_LOGS, "logs/out", "c", "", "x");
  build();
  struct site *c = site("c", WEIR_TRACES);
  assert_ptr_not_equal(c, site("c", WEIR_LOGS));
  assert_int_equal(c->next[0].n, 2);
  assert_int_equal(site("c", WEIR_LOGS)->next[2].n, 1);
  assert_int_equal(c->nodes[0].stage.out_signal, WEIR_TRACES);
}

static void a_receiver_knows_what_stands_below_it_reads(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "p", "x");
  pipeline(WEIR_TRACES, "traces/2", "r2", "p", "c");
  pipeline(WEIR_TRACES, "traces/3", "c", "e", "x");
  build();
  assert_int_equal(site("r", 0)->nodes[0].stage.downstream_need, WEIR_NEED_NONE);
  assert_int_equal(site("r2", 0)->nodes[1].stage.downstream_need, WEIR_NEED_RECORDS);
}

static void each_pipeline_says_what_an_ack_means(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "", "d")->ack_delivered = 1;
  pipeline(WEIR_TRACES, "traces/2", "r", "p", "d");
  build_and_start();
  emit(&site("r", 0)->nodes[0].stage, WEIR_TRACES);
  assert_int_equal(n_got, 2);
  for (int i = 0; i < 2; i++) assert_int_equal(got[i]->ack_delivered, got_by[i] == &site("d", 0)->nodes[0].stage);
  answer_all();
}

static void hear(void *arg, const struct weir_verdict *v) {
  (void)v;
  note(arg, "heard");
}

/* An exporter without a sender answers past the deadline: who waits for that must still be there. */
static void who_waits_for_an_exporter_that_is_left_open_is_not_closed(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "", "d");
  build_and_start();
  struct weir_stage *r = &site("r", 0)->nodes[0].stage;
  struct weir_batch *b = flow_batch(r->loop, WEIR_TRACES, 3);
  struct weir_verdict v = verdict_delivered();
  batch_on_verdict(b, hear, r);
  host_table()->emit(r, 0, b);
  assert_int_equal(n_got, 1);
  events[0] = 0;
  assert_int_equal(graph_close(graph), 1);
  assert_string_equal(events, "close:d1 ");
  host_table()->done(got_by[0], got[0], &v);
  loop_run_once(&lanes[0]);
  assert_string_equal(events, "close:d1 heard:r0 ");
  assert_int_equal(graph_close(graph), 0);
  assert_string_equal(events, "close:d1 heard:r0 close:d0 close:r0 close:r1 ");
}

static void a_cycle_is_told_as_the_collector_tells_it(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "", "c");
  pipeline(WEIR_TRACES, "traces/2", "c", "p", "c2");
  pipeline(WEIR_TRACES, "traces/3", "c2", "", "c");
  graph = graph_new(&config, &env, &control, lanes, LANES, &ds);
  assert_null(graph);
  assert_int_equal(ds.n_errors, 1);
  const char *
    a =
     "cycle detected: connector \"c\" (traces to traces) -> processor \"p\" in pipeline \"traces/2\" -> connector \"c2\" (traces to traces) -> "
     "connector \"c\" (traces to traces)",
   *b =
     "cycle detected: connector \"c2\" (traces to traces) -> connector \"c\" (traces to traces) -> processor \"p\" in pipeline \"traces/2\" -> "
     "connector \"c2\" (traces to traces)";
  assert_true(!strcmp(ds.first->msg, a) || !strcmp(ds.first->msg, b));
}

static void what_a_stage_refuses_is_shown_at_its_key(void **state) {
  (void)state;
  struct yaml_node *root = yaml_parse(&config.arena, &ds, 0);
  pipeline(WEIR_TRACES, "traces", "r", "", "x");
  pipeline(WEIR_LOGS, "logs", "r", "", "x");
  component("x")->config = "no such place";
  component("x")->body = yaml_get(yaml_get(root, "exporters"), "x");
  graph = graph_new(&config, &env, &control, lanes, LANES, &ds);
  assert_int_equal(graph_open(graph, &ds), WEIR_E_CONFIG);
  assert_int_equal(ds.n_errors, 1); /* once, though it stands for two signals on two lanes */
  assert_string_equal(ds.first->msg, "exporter `x`: no such place");
  assert_int_equal(ds.first->pos.line, 3);
}

static int drained_sites;
static void on_drained(void *arg, struct site *s) {
  (void)arg;
  (void)s;
  drained_sites++;
}

static void consumers_start_first_and_receivers_close_last(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "p", "x");
  build();
  events[0] = 0;
  assert_int_equal(graph_start(graph, &ds), 0);
  assert_string_equal(events, "start:x0 start:x1 start:p0 start:p1 start:r0 start:r1 ");
  events[0] = 0;
  graph->on_drained = on_drained;
  drained_sites = 0;
  graph_drain_site(graph, site("x", 0));
  for (int i = 0; i < 3; i++) {
    for (int k = 0; k < LANES; k++) loop_run_once(&lanes[k]);
    loop_run_once(&control);
  }
  assert_int_equal(drained_sites, 1); /* once, when both lanes have */
  assert_string_equal(events, "drain:x0 drain:x1 ");
  events[0] = 0;
  graph_close(graph);
  assert_string_equal(events, "close:x0 close:x1 close:p0 close:p1 close:r0 close:r1 ");
}

/* As what open refuses: all of it, at its key, each component once. Who would feed it is not tried. */
static void what_does_not_start_is_shown_at_its_key(void **state) {
  (void)state;
  struct yaml_node *root = yaml_parse(&config.arena, &ds, 0);
  pipeline(WEIR_TRACES, "traces", "r", "p", "x");
  pipeline(WEIR_LOGS, "logs", "r2", "", "x d");
  pipeline(WEIR_METRICS, "metrics", "r3", "", "d one");
  component("x")->body = yaml_get(yaml_get(root, "exporters"), "x");
  build();
  events[0] = 0;
  no_start = "x one";
  assert_int_equal(graph_start(graph, &ds), WEIR_E_IO);
  assert_int_equal(ds.n_errors, 2);
  const struct diag *x = strstr(ds.first->msg, "`x`") ? ds.first : ds.first->next, *one = x == ds.first ? x->next : ds.first;
  assert_string_equal(x->msg, "exporter `x`: x is in use");
  assert_string_equal(x->note, "choose another");
  assert_int_equal(x->pos.line, 3);
  assert_string_equal(one->msg, "exporter `one`: one is in use");
  assert_int_equal(one->pos.line, 2); /* the component's, as it has no such key */
  assert_null(strstr(events, "start:p"));
  assert_null(strstr(events, "start:r"));
  assert_non_null(strstr(events, "start:d0"));
}

static void a_receiver_that_does_not_start_leaves_the_others_to_say_so(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r r2 r3", "", "d");
  build();
  no_start = "r2 r3";
  assert_int_equal(graph_start(graph, &ds), WEIR_E_IO);
  assert_int_equal(ds.n_errors, 3); /* "r" is in that text, too */
}

static void without_an_extension_nothing_else_starts(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "", "d");
  config.n_extensions = refs("z z2", &config.extensions);
  build();
  events[0] = 0;
  no_start = "z2";
  assert_int_equal(graph_start(graph, &ds), WEIR_E_IO);
  assert_int_equal(ds.n_errors, 2);
  assert_string_equal(events, "");
}

static void what_arrives_after_the_close_is_answered(void **state) {
  (void)state;
  struct flow_waiter waiter = { 0 };
  pipeline(WEIR_TRACES, "traces", "r", "", "x one");
  build_and_start();
  struct weir_stage *r = &site("r", 0)->nodes[1].stage;
  graph_close(graph);
  struct weir_batch *b = flow_batch(r->loop, WEIR_TRACES, 3);
  batch_on_verdict(b, flow_hear, &waiter);
  r->ops->emit(r, 0, b);
  for (int k = 0; k < 4; k++) loop_run_once(&lanes[k % LANES]);
  assert_int_equal(waiter.heard, 1);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
}

static void what_instances_share_is_prepared_once_per_place(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "s", "d");
  build();
  const char *opened = strstr(events, "prepare:s0 open:s0 open:s1 ");
  assert_non_null(opened);
  struct weir_stage *first = &site("s", 0)->nodes[0].stage, *second = &site("s", 0)->nodes[1].stage;
  assert_string_equal(host_table()->shared(first), "traces");
  assert_ptr_equal(host_table()->shared(second), host_table()->shared(first));
  assert_null(host_table()->shared(&site("d", 0)->nodes[0].stage));
  events[0] = 0;
  graph_close(graph);
  assert_non_null(strstr(events, "close:s0 close:s1 "));
  assert_non_null(strstr(events, "release:traces "));
  assert_string_equal(strstr(events, "release:"), "release:traces "); /* once, behind all */
}

static void each_place_has_its_own(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "s", "d");
  pipeline(WEIR_TRACES, "traces/2", "r", "s", "d");
  build();
  events[0] = 0;
  graph_close(graph);
  assert_non_null(strstr(events, "release:traces "));
  assert_non_null(strstr(events, "release:traces/2 "));
}

static void what_can_not_be_prepared_is_shown_at_its_key(void **state) {
  (void)state;
  struct yaml_node *root = yaml_parse(&config.arena, &ds, 0);
  pipeline(WEIR_TRACES, "traces", "r", "s", "d");
  pipeline(WEIR_TRACES, "traces/2", "r", "s", "d");
  component("s")->config = "unprepared";
  component("s")->body = yaml_get(yaml_get(root, "exporters"), "x");
  graph = graph_new(&config, &env, &control, lanes, LANES, &ds);
  assert_int_equal(graph_open(graph, &ds), WEIR_E_CONFIG);
  assert_int_equal(ds.n_errors, 1); /* once, though it stands in two pipelines */
  assert_string_equal(ds.first->msg, "processor `s`: no table for it");
  assert_int_equal(ds.first->pos.line, 3);
  assert_null(strstr(events, "open:s"));
  graph_close(graph);
  assert_null(strstr(events, "release"));
}

static void what_was_prepared_is_released_when_open_fails(void **state) {
  (void)state;
  pipeline(WEIR_TRACES, "traces", "r", "s", "d");
  component("s")->config = "no such place";
  graph = graph_new(&config, &env, &control, lanes, LANES, &ds);
  assert_int_equal(graph_open(graph, &ds), WEIR_E_CONFIG);
  assert_null(strstr(events, "release"));
  graph_close(graph);
  assert_non_null(strstr(events, "release:traces "));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(instances_are_where_the_rules_say), T(a_batch_stays_on_its_lane_and_goes_where_its_signal_goes),
    T(a_one_lane_stage_gets_batches_of_all_lanes), T(nested_fan_outs_are_one_list), T(reservations_end_at_a_stage_that_holds),
    T(a_connector_stands_once_per_pair_of_signals), T(a_receiver_knows_what_stands_below_it_reads), T(each_pipeline_says_what_an_ack_means),
    T(who_waits_for_an_exporter_that_is_left_open_is_not_closed), T(a_cycle_is_told_as_the_collector_tells_it), T(what_a_stage_refuses_is_shown_at_its_key),
    T(what_does_not_start_is_shown_at_its_key), T(a_receiver_that_does_not_start_leaves_the_others_to_say_so), T(without_an_extension_nothing_else_starts),
    T(consumers_start_first_and_receivers_close_last), T(what_arrives_after_the_close_is_answered),
    T(what_instances_share_is_prepared_once_per_place), T(each_place_has_its_own), T(what_can_not_be_prepared_is_shown_at_its_key),
    T(what_was_prepared_is_released_when_open_fails) };
  return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
