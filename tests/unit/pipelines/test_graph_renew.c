/* The graph that follows another one: what is kept, what the swap changes, and how what was replaced ends. Virtual loops and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/graph.h"
#include "pipelines/retire.h"
#include "pipelines/sender.h"

#define LANES 2
#define TIMEOUT_NS (10 * NS_PER_S)

static struct env env;
static struct loop control, lanes[LANES];
static struct config *before, *after;
static struct diags ds;
static struct graph *graph;
static struct retirement retirement;
static char events[2000]; /* what the stages were told, in order */
static struct weir_stage *got_by[64];
static struct weir_batch *got[64];
static int n_got, emptied;
static const char *late_drainer; /* id of the stage that does not answer its drain */

/* --- stages of the test ---------------------------------------------------------------------------------- */

static void note(struct weir_stage *s, const char *what) {
  size_t n = strlen(events);
  if (s->lane == 0) snprintf(events + n, sizeof events - n, "%s:%s ", what, s->id);
}

static int t_open(const struct weir_host *host, struct weir_stage *s, const void *c, void **ret_self, struct weir_error *err) {
  (void)host;
  *ret_self = s;
  if (c) return weir_fail_field(err, "endpoint", "%s", (const char *)c);
  note(s, "open");
  return 0;
}

static int t_start(void *self, struct weir_error *err) {
  (void)err;
  note(self, "start");
  return 0;
}

static void t_consume(void *self, struct weir_batch *b) {
  assert_true(n_got < 64);
  got_by[n_got] = self;
  got[n_got++] = b;
}

static void t_pass(void *self, struct weir_batch *b) { host_table()->emit(self, 0, b); }

static void t_drain(void *self) {
  struct weir_stage *s = self;
  note(s, "drain");
  if (!late_drainer || strcmp(s->id, late_drainer) != 0) host_table()->drained(s);
}

static void t_close(void *self) { note(self, "close"); }

static const void *t_offer(void *self, const char *id) {
  (void)id;
  return self;
}

#define STAGE(r, n, fl, take)                                                                                                              \
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
      .consume = take,                                                                                                                     \
      .drain = t_drain,                                                                                                                    \
      .close = t_close,                                                                                                                    \
      .offer = t_offer                                                                                                                     \
    }                                                                                                                                      \
  }

static const struct stage_entry receiver = STAGE(WEIR_RECEIVER, "r", 0, NULL), plain = STAGE(WEIR_PROCESSOR, "p", 0, t_pass),
                                editor = STAGE(WEIR_PROCESSOR, "e", WEIR_MUTATES, t_pass),
                                queued = STAGE(WEIR_EXPORTER, "x", WEIR_QUEUED, t_consume),
                                direct = STAGE(WEIR_EXPORTER, "d", 0, t_consume), alone = STAGE(WEIR_EXPORTER, "one", WEIR_ONE_LANE | WEIR_QUEUED, t_consume),
                                extension = STAGE(WEIR_EXTENSION, "z", 0, NULL);
static const struct sender_config sender_defaults = { .queue = { .enabled = 1, .num_consumers = 2, .queue_size = 100 },
  .retry = { .enabled = 1, .initial_interval_ns = NS_PER_S, .max_interval_ns = NS_PER_S, .multiplier = 1 } };

/* --- configurations, by hand: an id's first letters name its type, "x=text" gives it settings ------------------------- */

static const struct {
  const char *type;
  const struct stage_entry *entry;
} types[] = { { "r", &receiver }, { "p", &plain }, { "e", &editor }, { "x", &queued }, { "d", &direct }, { "one", &alone }, { "z", &extension } };

static struct config_component *component(struct config *c, const char *spec) {
  char type[16] = "", *id = arena_strdup(&c->arena, spec), *body = strchr(id, '=');
  if (body) *body++ = 0;
  snprintf(type, sizeof type, "%.*s", (int)strcspn(id, "/"), id);
  for (struct config_component *k = c->components; k; k = k->next)
    if (!strcmp(k->id, id)) return k;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (strcmp(types[i].type, type) != 0) continue;
    struct config_component *k = arena_zalloc(&c->arena, sizeof *k);
    *k = (struct config_component){ .role = types[i].entry->type.role, .id = id, .entry = types[i].entry, .next = c->components };
    if (body) k->body = yaml_new_map(&c->arena, k->pos, yaml_new_scalar(&c->arena, k->pos, "key"), yaml_new_scalar(&c->arena, k->pos, body));
    if (body && !strcmp(body, "bad")) k->config = "it is bad";
    if (k->entry->type.flags & WEIR_QUEUED) k->sender = &sender_defaults;
    return c->components = k;
  }
  fail_msg("no component %s", spec);
  return NULL;
}

static size_t refs(struct config *c, const char *specs, struct config_ref **ret) {
  char *copy = arena_strdup(&c->arena, specs), *save = NULL;
  size_t n = 0;
  *ret = arena_zalloc(&c->arena, 8 * sizeof **ret);
  for (char *spec = strtok_r(copy, " ", &save); spec; spec = strtok_r(NULL, " ", &save)) {
    struct config_component *k = component(c, spec);
    (*ret)[n++] = (struct config_ref){ .id = k->id, .component = k };
  }
  return n;
}

static struct config *config_new(void) {
  struct config *c = calloc(1, sizeof *c);
  arena_init(&c->arena, NULL, 0);
  return c;
}

static struct config_pipeline *pipeline(
  struct config *c, uint32_t signal, const char *id, const char *receivers, const char *processors, const char *exporters) {
  struct config_pipeline *p = arena_zalloc(&c->arena, sizeof *p), **at = &c->pipelines;
  p->signal = signal;
  p->id = id;
  p->n_receivers = refs(c, receivers, &p->receivers);
  p->n_processors = refs(c, processors, &p->processors);
  p->n_exporters = refs(c, exporters, &p->exporters);
  while (*at) at = &(*at)->next;
  *at = p;
  return p;
}

static void run_all(int rounds) {
  while (rounds-- > 0) {
    for (int i = 0; i < LANES; i++) loop_run_once(&lanes[i]);
    loop_run_once(&control);
  }
}

static void pass(int64_t ns) {
  for (; ns > 0; ns -= 250 * NS_PER_MS) {
    clock_advance(ns < 250 * NS_PER_MS ? ns : 250 * NS_PER_MS);
    run_all(3);
  }
}

static void on_empty(void *arg) {
  (void)arg;
  emptied++;
}

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  clock_set_virtual(1000 * NS_PER_S, 1000 * NS_PER_S);
  events[0] = 0;
  n_got = emptied = 0;
  late_drainer = NULL;
  before = config_new();
  after = config_new();
  diags_init(&ds);
  env = (struct env){ .metrics = metrics_new() };
  for (uint32_t i = 0; i < LANES; i++)
    if (loop_init(&lanes[i], i, &env, &err)) return -1;
  if (loop_init(&control, UINT32_MAX, &env, &err)) return -1;
  retirement = (struct retirement){ .control = &control, .on_empty = on_empty };
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
  config_free(before);
  config_free(after);
  diags_done(&ds);
  return 0;
}

static void start(void) {
  graph = graph_new(before, &env, &control, lanes, LANES, &ds);
  assert_non_null(graph);
  assert_int_equal(graph_open(graph, &ds), 0);
  assert_int_equal(graph_start(graph, &ds), 0);
  events[0] = 0;
}

/* From graph to the one of `config`; what was replaced retires. */
static void swap_to(struct config *config) {
  struct graph *next = graph_renew(graph, config, &ds), *old = graph;
  assert_non_null(next);
  assert_int_equal(graph_open(next, &ds), 0);
  assert_int_equal(graph_start(next, &ds), 0);
  graph_swap(next, old);
  graph = next;
  retire_begin(&retirement, old, TIMEOUT_NS);
}

static struct site *site(const char *id) {
  for (size_t i = 0; i < graph->n_sites; i++)
    if (!strcmp(graph->sites[i]->component->id, id)) return graph->sites[i];
  fail_msg("no site %s", id);
  return NULL;
}

static struct weir_stage *stage(const char *id, uint32_t lane) { return &site(id)->nodes[lane].stage; }

static void emit(struct weir_stage *s, struct flow_waiter *w) {
  struct weir_batch *b = flow_batch(s->loop, WEIR_TRACES, 3);
  if (w) host_table()->on_verdict(s, b, flow_hear, w);
  host_table()->emit(s, 0, b);
  run_all(2);
}

static void answer(int code) {
  struct weir_verdict v = { .code = code };
  int n = n_got;
  n_got = 0;
  struct weir_batch *batches[64];
  struct weir_stage *by[64];
  memcpy(batches, got, sizeof batches);
  memcpy(by, got_by, sizeof by);
  for (int i = 0; i < n; i++) host_table()->done(by[i], batches[i], &v);
  run_all(2);
}

/* --- what is kept ------------------------------------------------------------------------------------------------ */

static void what_did_not_change_is_kept(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r=a", "p=b", "x=c one");
  pipeline(after, WEIR_TRACES, "traces", "r=a", "p=b", "x=c one");
  start();
  struct node *r = site("r")->nodes, *p = site("p")->nodes, *x = site("x")->nodes;
  struct sender *sender = site("x")->sender;
  swap_to(after);
  assert_string_equal(events, "");
  assert_ptr_equal(site("r")->nodes, r);
  assert_ptr_equal(site("p")->nodes, p);
  assert_ptr_equal(site("x")->nodes, x);
  assert_ptr_equal(site("x")->sender, sender);
  assert_ptr_equal(r[1].site, site("r"));
  pass(NS_PER_S);
  assert_int_equal(emptied, 1);
  for (uint32_t lane = 0; lane < LANES; lane++) emit(stage("r", lane), NULL);
  assert_int_equal(n_got, 4);
  answer(WEIR_DELIVERED);
}

static void settings_a_new_place_or_another_signal_make_it_another(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r", "p=1", "x=1 d");
  pipeline(after, WEIR_TRACES, "traces/2", "r", "p=1", "x=2 d");
  pipeline(after, WEIR_LOGS, "logs", "r", "", "d");
  start();
  struct node *r = site("r")->nodes, *p = site("p")->nodes, *x = site("x")->nodes;
  swap_to(after);
  assert_ptr_not_equal(site("r")->nodes, r); /* it takes logs now */
  assert_ptr_not_equal(site("p")->nodes, p); /* it stands in another pipeline */
  assert_ptr_not_equal(site("x")->nodes, x);
  pass(NS_PER_S);
  assert_int_equal(emptied, 1);
}

static void who_names_an_extension_changes_with_it(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r=z", "", "d=other");
  before->n_extensions = refs(before, "z=1", &before->extensions);
  pipeline(after, WEIR_TRACES, "traces", "r=z", "", "d=other");
  after->n_extensions = refs(after, "z=2", &after->extensions);
  start();
  struct node *d = site("d")->nodes;
  swap_to(after);
  assert_string_equal(events, "open:z open:r start:z start:r ");
  assert_ptr_equal(site("d")->nodes, d);
  events[0] = 0;
  pass(NS_PER_S);
  assert_string_equal(events, "drain:r close:r drain:z close:z ");
}

static void who_names_an_extension_that_is_gone_is_not_kept(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r=z", "", "d=other");
  before->n_extensions = refs(before, "z=1", &before->extensions);
  pipeline(after, WEIR_TRACES, "traces", "r=z", "", "d=other");
  start();
  struct node *r = site("r")->nodes, *d = site("d")->nodes;
  swap_to(after);
  assert_ptr_not_equal(site("r")->nodes, r); /* a stage that looks for it says so now */
  assert_ptr_equal(site("d")->nodes, d);
}

static void an_extension_waits_for_who_retired_before_it(void **state) {
  (void)state;
  struct config *third = config_new();
  struct flow_waiter w = { 0 };
  pipeline(before, WEIR_TRACES, "traces", "r", "", "x=z d=1");
  before->n_extensions = refs(before, "z=1", &before->extensions);
  pipeline(after, WEIR_TRACES, "traces", "r", "", "d=1");
  after->n_extensions = refs(after, "z=1", &after->extensions);
  pipeline(third, WEIR_TRACES, "traces", "r", "", "d=1");
  start();
  emit(stage("r", 0), &w);
  assert_int_equal(n_got, 2);
  struct weir_batch *late = got[0], *other = got[1];
  struct weir_stage *sending = got_by[0], *direct_one = got_by[1];
  if (strcmp(sending->id, "x") != 0) {
    late = got[1], other = got[0];
    sending = got_by[1], direct_one = got_by[0];
  }
  host_table()->done(direct_one, other, &(struct weir_verdict){ .code = WEIR_DELIVERED });
  swap_to(after); /* x retires, and still has a request in its hands */
  swap_to(third); /* the extension that x asks retires, in a generation of its own */
  events[0] = 0;
  pass(5 * NS_PER_S);
  assert_string_equal(events, "");
  host_table()->done(sending, late, &(struct weir_verdict){ .code = WEIR_DELIVERED });
  pass(2 * NS_PER_S);
  assert_string_equal(events, "drain:x close:x drain:z close:z ");
  assert_int_equal(emptied, 1);
  config_free(third);
}

static void need_follows_what_stands_below(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r", "", "d");
  pipeline(after, WEIR_TRACES, "traces", "r", "e", "d");
  start();
  struct weir_stage *r = stage("r", 1);
  assert_int_equal(r->downstream_need, WEIR_NEED_COUNTS);
  swap_to(after);
  assert_ptr_equal(stage("r", 1), r);
  assert_int_equal(r->downstream_need, WEIR_NEED_RECORDS);
}

/* --- the swap ------------------------------------------------------------------------------------------------------ */

static void a_processor_comes_and_goes_between_kept_stages(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r", "", "d");
  pipeline(after, WEIR_TRACES, "traces", "r", "p", "d");
  start();
  emit(stage("r", 0), NULL);
  swap_to(after);
  answer(WEIR_DELIVERED);
  emit(stage("r", 0), NULL);
  assert_int_equal(n_got, 1);
  struct weir_stage *p = stage("p", 0);
  assert_int_equal(atomic_load(&p->counts.out->value), 3);
  answer(WEIR_DELIVERED);
  struct config *third = config_new();
  pipeline(third, WEIR_TRACES, "traces", "r", "", "d");
  swap_to(third);
  emit(stage("r", 0), NULL);
  assert_int_equal(n_got, 1);
  answer(WEIR_DELIVERED);
  pass(NS_PER_S);
  assert_null(retirement.first);
  config_free(third);
}

static void a_replaced_sender_sends_its_queue_with_its_exporter(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r", "", "x=1");
  pipeline(after, WEIR_TRACES, "traces", "r", "", "x=2");
  start();
  struct weir_stage *x = stage("x", 0);
  for (int i = 0; i < 5; i++) emit(stage("r", 0), NULL);
  assert_int_equal(n_got, 1); /* one consumer on each lane, so four wait */
  swap_to(after);
  emit(stage("r", 0), NULL);
  assert_int_equal(n_got, 2);
  assert_ptr_equal(got_by[0], x);
  assert_ptr_equal(got_by[1], stage("x", 0));
  answer(WEIR_DELIVERED);
  pass(NS_PER_S);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(emptied, 0);
    assert_int_equal(n_got, 1);
    assert_ptr_equal(got_by[0], x);
    answer(WEIR_DELIVERED);
  }
  pass(NS_PER_S);
  assert_int_equal(emptied, 1);
  assert_int_equal(retirement.sent, 15);
  assert_int_equal(retirement.lost, 0);
  char *page = metrics_render(env.metrics, &(size_t){ 0 }, 0);
  assert_non_null(strstr(page, "weir_sender_items_sent_total{exporter=\"x\",signal=\"traces\"} 18\n"));
  free(page);
}

static void a_one_lane_exporter_is_replaced_too(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r", "", "one=1");
  pipeline(after, WEIR_TRACES, "traces", "r", "", "one=2");
  start();
  struct weir_stage *old = stage("one", 0);
  for (int i = 0; i < 3; i++) emit(stage("r", 1), NULL);
  swap_to(after);
  emit(stage("r", 1), NULL);
  assert_int_equal(n_got, 3); /* two consumers of the old one, one of the new one's */
  assert_ptr_equal(got_by[2], stage("one", 0));
  answer(WEIR_DELIVERED);
  assert_int_equal(n_got, 1);
  assert_ptr_equal(got_by[0], old);
  answer(WEIR_DELIVERED);
  pass(NS_PER_S);
  assert_int_equal(emptied, 1);
}

/* --- the end of what was replaced ------------------------------------------------------------------------------------ */

static void a_receiver_stays_until_it_has_heard(void **state) {
  (void)state;
  struct flow_waiter w = { 0 };
  pipeline(before, WEIR_TRACES, "traces", "r=1", "", "d");
  pipeline(after, WEIR_TRACES, "traces", "r=2", "", "d");
  start();
  emit(stage("r", 0), &w);
  swap_to(after);
  pass(2 * TIMEOUT_NS);
  assert_null(strstr(events, "close:r"));
  assert_int_equal(emptied, 0);
  answer(WEIR_DELIVERED);
  assert_int_equal(w.heard, 1);
  pass(NS_PER_S);
  assert_non_null(strstr(events, "close:r"));
  assert_int_equal(emptied, 1);
}

static void it_ends_in_the_order_of_the_data(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r=1", "p=1 p/2=1", "x=1");
  pipeline(after, WEIR_TRACES, "traces", "r=2", "p=2 p/2=2", "x=2");
  start();
  swap_to(after);
  assert_string_equal(events, "open:x open:p/2 open:p open:r start:x start:p/2 start:p start:r ");
  events[0] = 0;
  pass(NS_PER_S);
  assert_string_equal(events, "drain:r close:r drain:p drain:p/2 close:p/2 close:p drain:x close:x ");
}

static void who_does_not_drain_is_closed_after_the_timeout(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r=1", "p=1", "d");
  pipeline(after, WEIR_TRACES, "traces", "r=2", "p=2", "d");
  start();
  late_drainer = "p";
  swap_to(after);
  pass(TIMEOUT_NS - NS_PER_S);
  assert_null(strstr(events, "close:p"));
  pass(2 * NS_PER_S);
  assert_non_null(strstr(events, "close:p"));
  assert_int_equal(emptied, 1);
}

/* The older one's processor may still feed the exporter that the younger one retires. */
static void a_younger_one_waits_for_the_older_ones_processors(void **state) {
  (void)state;
  struct config *third = config_new();
  pipeline(before, WEIR_TRACES, "traces", "r", "p=1", "d=1");
  pipeline(after, WEIR_TRACES, "traces", "r", "p=2", "d=1");
  pipeline(third, WEIR_TRACES, "traces", "r", "p=2", "d=2");
  start();
  late_drainer = "p";
  struct weir_stage *p = stage("p", 0);
  swap_to(after);
  swap_to(third);
  pass(NS_PER_S);
  assert_null(strstr(events, "close:d"));
  emit(p, NULL); /* what it held */
  assert_int_equal(n_got, 1);
  answer(WEIR_DELIVERED);
  host_table()->drained(p);
  run_all(2);
  host_table()->drained(&((struct node *)p->owner)[1].stage);
  pass(NS_PER_S);
  assert_non_null(strstr(events, "close:p"));
  assert_non_null(strstr(events, "close:d"));
  assert_null(retirement.first);
  config_free(third);
}

/* --- a bad one --------------------------------------------------------------------------------------------------------- */

static void what_can_not_be_opened_changes_nothing(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r", "p=1", "x=1");
  pipeline(after, WEIR_TRACES, "traces", "r", "p=2", "x=bad");
  start();
  struct node *r = site("r")->nodes;
  struct graph *next = graph_renew(graph, after, &ds);
  assert_non_null(next);
  assert_int_equal(graph_open(next, &ds), WEIR_E_CONFIG);
  graph_disown(next);
  graph_close(next);
  graph_free(next);
  assert_int_equal(after->refs, 0);
  assert_ptr_equal(site("r")->nodes, r);
  emit(&r[0].stage, NULL);
  assert_int_equal(n_got, 1);
  answer(WEIR_DELIVERED);
}

/* Settings live as long as what was made from them, and no longer. */
static void a_configuration_stays_while_something_uses_it(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r", "", "x=1 d");
  pipeline(after, WEIR_TRACES, "traces", "r", "", "x=2 d");
  start();
  assert_int_equal(before->refs, 4); /* the graph and three sites */
  swap_to(after);
  pass(NS_PER_S);
  assert_int_equal(emptied, 1);
  assert_int_equal(before->refs, 2); /* r and d */
  assert_int_equal(after->refs, 2);  /* the graph and x */
}

/* What it put into records that wait may be strings of its settings. */
static void settings_of_an_editing_stage_stay(void **state) {
  (void)state;
  pipeline(before, WEIR_TRACES, "traces", "r", "e=1", "d");
  pipeline(after, WEIR_TRACES, "traces", "r", "e=2", "d");
  start();
  swap_to(after);
  pass(NS_PER_S);
  assert_int_equal(emptied, 1);
  assert_int_equal(retirement.n_kept, 1);
  assert_ptr_equal(retirement.kept[0], before);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(what_did_not_change_is_kept), T(settings_a_new_place_or_another_signal_make_it_another),
    T(who_names_an_extension_changes_with_it), T(who_names_an_extension_that_is_gone_is_not_kept),
    T(an_extension_waits_for_who_retired_before_it), T(need_follows_what_stands_below), T(a_processor_comes_and_goes_between_kept_stages),
    T(a_replaced_sender_sends_its_queue_with_its_exporter), T(a_one_lane_exporter_is_replaced_too), T(a_receiver_stays_until_it_has_heard),
    T(it_ends_in_the_order_of_the_data), T(who_does_not_drain_is_closed_after_the_timeout), T(a_younger_one_waits_for_the_older_ones_processors),
    T(what_can_not_be_opened_changes_nothing), T(a_configuration_stays_while_something_uses_it),
    T(settings_of_an_editing_stage_stay) };
  return cmocka_run_group_tests_name("graph_renew", tests, NULL, NULL);
}
