/* Placement by key: what of a batch goes to which lane, all or none, under fan-outs, reloads and threads; and what all instances at a place share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "bench/otlp_sample.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/graph.h"
#include "pipelines/retire.h"
#include "pipelines/sender.h"

#define LANES 4
#define GOT_MAX 64

static struct env env;
static struct loop control, lanes[LANES];
static struct config *before, *after;
static struct diags ds;
static struct graph *graph;
static struct retirement retirement;
static struct weir_stage *got_by[GOT_MAX];
static struct weir_batch *got[GOT_MAX];
static int n_got, prepared, released;
static _Atomic uint64_t keys_asked, arrived, misplaced;
static _Atomic int at_once; /* exporters answer inside consume, so that lanes can run as threads */

/* --- stages of the test -------------------------------------------------------------------------------------- */

static int t_open(const struct weir_host *host, struct weir_stage *s, const void *c, void **ret_self, struct weir_error *err) {
  (void)host;
  *ret_self = s;
  return c ? weir_fail(err, WEIR_E_CONFIG, "%s", (const char *)c) : 0;
}

/* Which of the sample's spans it is. */
static uint64_t number_of(const struct weir_resource *resource, const struct weir_scope *scope, const struct weir_rec *rec) {
  (void)resource;
  (void)scope;
  atomic_fetch_add(&keys_asked, 1);
  return (((const struct weir_span *)(const void *)rec)->start_time_unix_nano - 1700000000000000000u) / 1000000u;
}

/* Records of other keys than this lane's are counted. */
static void check_keys(const struct weir_stage *s, struct weir_batch *b) {
  const struct weir_data *d = batch_read(b, NULL);
  for (uint32_t r = 0; d && r < d->n_resources; r++)
    for (uint32_t k = 0; k < d->resources[r]->n_scopes; k++)
      for (uint32_t i = 0; i < d->resources[r]->scopes[k]->n_records; i++)
        if (number_of(NULL, NULL, d->resources[r]->scopes[k]->u.recs[i]) % s->lanes != s->lane) atomic_fetch_add(&misplaced, 1);
}

static void t_pass(void *self, struct weir_batch *b) { host_table()->emit(self, 0, b); }

static void t_pass_checked(void *self, struct weir_batch *b) {
  check_keys(self, b);
  host_table()->emit(self, 0, b);
}

static void t_take(void *self, struct weir_batch *b) {
  struct weir_stage *s = self;
  if (s->entry->type.flags & WEIR_BY_KEY) check_keys(s, b);
  atomic_fetch_add(&arrived, b->items);
  if (atomic_load(&at_once)) {
    struct weir_verdict v = verdict_delivered();
    host_table()->done(self, b, &v);
    return;
  }
  assert_true(n_got < GOT_MAX);
  got_by[n_got] = self;
  got[n_got++] = b;
}

static void t_close(void *self) { (void)self; }

static int t_needs_nothing(void *self) {
  (void)self;
  return WEIR_NEED_NONE;
}

static int t_prepare(const struct weir_host *host, struct weir_stage *s, const void *c, void **ret_shared, struct weir_error *err) {
  (void)host;
  (void)c;
  (void)err;
  *ret_shared = strdup(s->id);
  prepared++;
  return 0;
}

static void t_release(void *shared) {
  free(shared);
  released++;
}

#define STAGE(r, n, fl, take, ...)                                                                                                         \
  {                                                                                                                                        \
    .type = {                                                                                                                              \
      .size = sizeof(struct weir_stage_type),                                                                                              \
      .role = r,                                                                                                                           \
      .signals = WEIR_TRACES,                                                                                                              \
      .flags = fl,                                                                                                                         \
      .name = n,                                                                                                                           \
      .doc = "Of a test.",                                                                                                                 \
      .open = t_open,                                                                                                                      \
      .consume = take,                                                                                                                     \
      .close = t_close,                                                                                                                    \
      __VA_ARGS__                                                                                                                          \
    }                                                                                                                                      \
  }

static const struct stage_entry receiver = STAGE(WEIR_RECEIVER, "r", 0, NULL, .need = t_needs_nothing),
                                keyed = STAGE(WEIR_PROCESSOR, "k", WEIR_BY_KEY, t_pass_checked, .key = number_of, .need = t_needs_nothing),
                                shares = STAGE(WEIR_PROCESSOR, "s", 0, t_pass, .prepare = t_prepare, .release = t_release),
                                direct = STAGE(WEIR_EXPORTER, "d", 0, t_take, .need = t_needs_nothing),
                                queued = STAGE(WEIR_EXPORTER, "x", WEIR_QUEUED, t_take, .need = t_needs_nothing),
                                keyed_queued = STAGE(WEIR_EXPORTER, "kx", WEIR_QUEUED | WEIR_BY_KEY, t_take, .key = number_of, .need = t_needs_nothing);
static struct sender_config sender_settings;

/* --- configurations, by hand: an id's first letters name its type, "k=text" gives it settings ----------------------- */

static const struct {
  const char *type;
  const struct stage_entry *entry;
} types[] = { { "r", &receiver }, { "k", &keyed }, { "s", &shares }, { "d", &direct }, { "x", &queued }, { "kx", &keyed_queued } };

static struct config_component *component(struct config *c, const char *spec) {
  char type[16], *id = arena_strdup(&c->arena, spec), *body = strchr(id, '=');
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
    if (k->entry->type.flags & WEIR_QUEUED) k->sender = &sender_settings;
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

static struct config_pipeline *pipeline(struct config *c, const char *id, const char *receivers, const char *processors, const char *exporters) {
  struct config_pipeline *p = arena_zalloc(&c->arena, sizeof *p), **at = &c->pipelines;
  p->signal = WEIR_TRACES;
  p->id = id;
  p->n_receivers = refs(c, receivers, &p->receivers);
  p->n_processors = refs(c, processors, &p->processors);
  p->n_exporters = refs(c, exporters, &p->exporters);
  while (*at) at = &(*at)->next;
  return *at = p;
}

static struct config *config_new(void) {
  struct config *c = calloc(1, sizeof *c);
  arena_init(&c->arena, NULL, 0);
  return c;
}

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  n_got = prepared = released = 0;
  keys_asked = arrived = misplaced = 0;
  at_once = 0;
  sender_settings = (struct sender_config){ .queue = { .enabled = 1, .num_consumers = LANES, .queue_size = 100 } };
  before = config_new();
  after = config_new();
  diags_init(&ds);
  env = (struct env){ .metrics = metrics_new() };
  for (uint32_t i = 0; i < LANES; i++)
    if (loop_init(&lanes[i], i, &env, &err)) return -1;
  if (loop_init(&control, UINT32_MAX, &env, &err)) return -1;
  retirement = (struct retirement){ .control = &control };
  return 0;
}

static void run_all(int rounds) {
  while (rounds-- > 0) {
    for (int i = 0; i < LANES; i++) loop_run_once(&lanes[i]);
    loop_run_once(&control);
  }
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
  return atomic_load(&misplaced) != 0;
}

static void start_on(uint32_t n) {
  graph = graph_new(before, &env, &control, lanes, n, &ds);
  assert_non_null(graph);
  assert_int_equal(graph_open(graph, &ds), 0);
  assert_int_equal(graph_start(graph, &ds), 0);
}

static void swap_to(struct config *config) {
  struct graph *next = graph_renew(graph, config, &ds), *old = graph;
  assert_non_null(next);
  assert_int_equal(graph_open(next, &ds), 0);
  assert_int_equal(graph_start(next, &ds), 0);
  graph_swap(next, old);
  graph = next;
  retire_begin(&retirement, old, NS_PER_S);
}

static struct site *site(const char *id) {
  for (size_t i = 0; i < graph->n_sites; i++)
    if (!strcmp(graph->sites[i]->component->id, id)) return graph->sites[i];
  fail_msg("no site %s", id);
  return NULL;
}

static struct weir_stage *stage(const char *id, uint32_t lane) { return &site(id)->nodes[lane].stage; }

static struct weir_batch *spans(struct loop *loop, uint64_t first, uint64_t n) {
  struct sample s = sample_request(first, n);
  struct weir_body *body = body_new(loop->pool, s.n);
  struct part *part = NULL;
  memcpy(body->p, s.p, s.n);
  body->n = s.n;
  int r = part_from_otlp(loop->pool, WEIR_TRACES, body, body->p, s.n, WEIR_VALIDATE_FULL, first % 2 == 0, NULL, &part, NULL);
  free(s.p);
  WEIR_ASSERT(r == 0);
  return batch_of_part(loop, part);
}

/* Emits without running the lanes. */
static void emit(uint32_t lane, uint64_t first, uint64_t n, struct flow_waiter *w) {
  struct weir_stage *r = stage("r", lane);
  struct weir_batch *b = spans(r->loop, first, n);
  if (w) {
    *w = (struct flow_waiter){ 0 };
    host_table()->on_verdict(r, b, flow_hear, w);
  }
  host_table()->emit(r, 0, b);
}

static void answer_all(int last_code) {
  for (int i = 0; i < n_got; i++) {
    struct weir_verdict v = { .code = i + 1 == n_got ? last_code : WEIR_DELIVERED };
    host_table()->done(got_by[i], got[i], &v);
  }
  n_got = 0;
  run_all(3);
}

/* --- which lane ----------------------------------------------------------------------------------------------------- */

static void each_record_goes_to_the_instance_of_its_key(void **state) {
  (void)state;
  struct flow_waiter w;
  pipeline(before, "traces", "r", "k", "d");
  start_on(LANES);
  emit(1, 0, 42, &w);
  assert_int_equal(n_got, 1); /* this lane's at once */
  assert_ptr_equal(got_by[0], stage("d", 1));
  assert_int_equal(got[0]->items, 11);
  run_all(1);
  assert_int_equal(n_got, LANES);
  assert_int_equal(arrived, 42);
  for (int i = 1; i < n_got; i++) {
    assert_ptr_equal(got[i]->loop, got_by[i]->loop);
    assert_int_equal(got[i]->items, got_by[i]->lane < 2 ? 11 : 10);
  }
  assert_int_equal(w.heard, 0);
  answer_all(WEIR_DELIVERED);
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_DELIVERED);
}

static void the_worst_of_the_pieces_is_the_verdict(void **state) {
  (void)state;
  struct flow_waiter w;
  pipeline(before, "traces", "r", "k", "d");
  start_on(LANES);
  emit(0, 0, 8, &w);
  run_all(1);
  answer_all(WEIR_RETRY);
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  emit(0, 0, 8, &w);
  run_all(1);
  answer_all(WEIR_REJECTED);
  assert_int_equal(w.verdict.code, WEIR_REJECTED);
  assert_int_equal(w.verdict.rejected, 2); /* the items of that piece */
}

static void what_has_one_key_is_one_batch(void **state) {
  (void)state;
  pipeline(before, "traces", "r", "k", "d");
  start_on(LANES);
  emit(0, 7, 1, NULL);
  assert_int_equal(n_got, 0);
  run_all(1);
  assert_int_equal(n_got, 1);
  assert_ptr_equal(got_by[0], stage("d", 3));
  answer_all(WEIR_DELIVERED);
  emit(3, 7, 1, NULL); /* its own */
  assert_int_equal(n_got, 1);
  assert_false(got[0]->parts[0]->flags & PART_CROSSED);
  answer_all(WEIR_DELIVERED);
}

static void on_one_lane_no_key_is_asked(void **state) {
  (void)state;
  pipeline(before, "traces", "r", "k/one", "d");
  start_on(1);
  struct weir_stage *r = stage("r", 0);
  struct weir_batch *b = spans(r->loop, 1, 10);
  const struct part *part = b->parts[0];
  host_table()->emit(r, 0, b);
  assert_int_equal(n_got, 1);
  assert_ptr_equal(got[0], b);
  assert_ptr_equal(got[0]->parts[0], part);
  assert_int_equal(keys_asked, 10); /* those of the test's own check */
  assert_int_equal(r->downstream_need, WEIR_NEED_NONE);
  answer_all(WEIR_DELIVERED);
}

static void keys_are_read_from_records(void **state) {
  (void)state;
  pipeline(before, "traces", "r", "k", "d");
  start_on(LANES);
  assert_int_equal(stage("r", 2)->downstream_need, WEIR_NEED_RECORDS); /* though the stage itself reads nothing */
}

/* --- all or none ----------------------------------------------------------------------------------------------------------- */

static void when_one_of_its_lanes_is_behind_the_whole_is_refused(void **state) {
  (void)state;
  struct flow_waiter w;
  pipeline(before, "traces", "r", "k", "d");
  start_on(LANES);
  uint32_t is = atomic_exchange(&lanes[2].inbox_n, LOOP_INBOX_MAX);
  emit(1, 0, 12, &w);
  loop_run_once(&lanes[1]);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  assert_string_equal(w.msg, "a lane that gets records by their key is behind");
  assert_int_equal(arrived, 0);
  emit(1, 5, 1, &w); /* nothing for the lane that is behind */
  assert_int_equal(n_got, 1);
  emit(1, 0, 12, NULL); /* a refusal would lose what nobody waits for */
  atomic_fetch_sub(&lanes[2].inbox_n, LOOP_INBOX_MAX - is);
  run_all(1);
  assert_int_equal(arrived, 13);
  answer_all(WEIR_DELIVERED);
  assert_int_equal(w.verdict.code, WEIR_DELIVERED);
}

static void a_fan_out_above_gives_to_all_or_none(void **state) {
  (void)state;
  struct flow_waiter w;
  pipeline(before, "traces", "r", "k", "d");
  pipeline(before, "traces/2", "r", "", "x");
  sender_settings.queue.queue_size = 1;
  start_on(LANES);
  emit(1, 0, 12, &w);
  run_all(2);
  assert_int_equal(arrived, 24);
  emit(1, 12, 12, &w); /* x holds its one request: the other branch gets nothing either */
  run_all(2);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  assert_string_equal(w.msg, "sending queue of exporter `x` is full");
  assert_int_equal(arrived, 24);
  answer_all(WEIR_DELIVERED);
  uint32_t is = atomic_exchange(&lanes[2].inbox_n, LOOP_INBOX_MAX);
  emit(1, 12, 12, &w); /* and x gets nothing when a lane is behind */
  atomic_fetch_sub(&lanes[2].inbox_n, LOOP_INBOX_MAX - is);
  run_all(2);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  assert_int_equal(arrived, 24);
  emit(1, 12, 12, &w);
  run_all(2);
  assert_int_equal(arrived, 48);
  answer_all(WEIR_DELIVERED);
  assert_int_equal(w.verdict.code, WEIR_DELIVERED);
}

/* Reservations end where a batch is cut: below, each piece takes room for itself. */
static void pieces_take_room_on_their_lanes(void **state) {
  (void)state;
  struct flow_waiter w;
  pipeline(before, "traces", "r", "k", "x x/2");
  pipeline(before, "traces/2", "r", "", "x/3");
  start_on(LANES);
  assert_int_equal(site("r")->nodes[0].out[0].n_reach, 1);
  assert_int_equal(site("k")->nodes[0].out[0].n_reach, 2);
  emit(0, 0, 16, &w);
  run_all(3);
  assert_int_equal(arrived, 48);
  assert_int_equal(w.verdict.code, WEIR_DELIVERED);
  for (uint32_t i = 0; i < LANES; i++) assert_int_equal(sender_reserved(site("x")->sender_lanes[i]).room, 0);
  answer_all(WEIR_DELIVERED);
}

static void exporters_are_placed_before_their_senders(void **state) {
  (void)state;
  struct flow_waiter w;
  pipeline(before, "traces", "r", "", "kx")->ack_delivered = 1;
  start_on(LANES);
  emit(2, 0, 40, &w);
  run_all(3);
  assert_int_equal(arrived, 40);
  assert_int_equal(n_got, LANES);
  assert_int_equal(w.heard, 0);
  answer_all(WEIR_DELIVERED);
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_DELIVERED);
}

/* --- reload and the end ------------------------------------------------------------------------------------------------------- */

static void a_kept_place_goes_on_under_new_edges(void **state) {
  (void)state;
  pipeline(before, "traces", "r", "k", "d");
  pipeline(after, "traces", "r", "s k", "d/2");
  start_on(LANES);
  struct weir_stage *k = stage("k", 3);
  swap_to(after);
  assert_ptr_equal(stage("k", 3), k);
  emit(1, 0, 40, NULL);
  run_all(2);
  assert_int_equal(arrived, 40);
  for (int i = 0; i < n_got; i++) assert_string_equal(got_by[i]->id, "d/2");
  answer_all(WEIR_DELIVERED);
}

/* Pieces that were on their way when the instance was replaced, and one that has an heir. */
static void pieces_on_their_way_arrive_after_a_swap(void **state) {
  (void)state;
  pipeline(before, "traces", "r", "k=1", "d");
  pipeline(after, "traces", "r", "k=2", "d/2");
  start_on(LANES);
  struct weir_stage *old = stage("k", 2);
  emit(1, 0, 40, NULL);
  swap_to(after);
  old->heir = stage("k", 2);
  run_all(2);
  assert_int_equal(arrived, 40);
  for (int i = 0; i < n_got; i++) assert_string_equal(got_by[i]->id, got_by[i]->lane == 2 ? "d/2" : "d");
  answer_all(WEIR_DELIVERED);
  emit(1, 0, 4, NULL);
  run_all(2);
  assert_int_equal(arrived, 44);
  answer_all(WEIR_DELIVERED);
}

static void what_arrives_after_the_close_is_answered(void **state) {
  (void)state;
  struct flow_waiter w = { 0 };
  pipeline(before, "traces", "r", "k", "d kx");
  start_on(LANES);
  struct weir_stage *r = stage("r", 1);
  graph_close(graph);
  struct weir_batch *b = spans(r->loop, 0, 8);
  batch_on_verdict(b, flow_hear, &w);
  r->ops->emit(r, 0, b);
  run_all(3);
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_RETRY);
}

/* What instances share goes with them: kept, made anew for a new place, given back by what retires. */
static void what_instances_share_stays_with_them(void **state) {
  (void)state;
  clock_set_virtual(NS_PER_S, NS_PER_S);
  pipeline(before, "traces", "r", "s/kept s/changed=1", "d");
  pipeline(after, "traces", "r", "s/kept s/changed=2", "d");
  start_on(LANES);
  void *kept = stage("s/kept", 1)->shared, *changed = stage("s/changed", 0)->shared;
  assert_int_equal(prepared, 2);
  swap_to(after);
  assert_int_equal(prepared, 3);
  assert_int_equal(released, 0);
  assert_ptr_equal(stage("s/kept", 1)->shared, kept);
  assert_ptr_equal(site("s/kept")->shared, kept);
  assert_ptr_not_equal(stage("s/changed", 1)->shared, changed);
  for (int i = 0; i < 20; i++) {
    clock_advance(NS_PER_S);
    run_all(3);
  }
  assert_null(retirement.first);
  assert_int_equal(released, 1);
  graph_close(graph);
  assert_int_equal(released, 3);
}

static void what_was_prepared_for_nothing_is_released(void **state) {
  (void)state;
  pipeline(before, "traces", "r", "s=1 s/kept", "d");
  pipeline(after, "traces", "r", "s=bad s/kept", "d");
  start_on(LANES);
  struct graph *next = graph_renew(graph, after, &ds);
  assert_int_equal(graph_open(next, &ds), WEIR_E_CONFIG);
  assert_int_equal(prepared, 3);
  graph_disown(next);
  graph_close(next);
  assert_int_equal(released, 1);
  graph_free(next);
  assert_int_equal(released, 1);
}

/* --- lanes that are threads ------------------------------------------------------------------------------------------------------ */

#define ROUNDS 200u

static _Atomic uint32_t heard;

static void hear(void *arg, const struct weir_verdict *v) {
  (void)arg;
  if (v->code == WEIR_DELIVERED) atomic_fetch_add(&heard, 1);
}

/* On its lane: merged, edited and plain batches. */
static void emit_one(void *arg) {
  struct weir_stage *r = arg;
  struct weir_error err = { 0 };
  static _Atomic uint64_t next;
  uint64_t first = atomic_fetch_add(&next, 20);
  struct weir_batch *b = spans(r->loop, first, 10);
  batch_merge(b, spans(r->loop, first + 10, 10), 0);
  if (first % 40 == 0) {
    struct weir_data *d = batch_write(b, &err);
    batch_attr_set(b, d->resources[0]->scopes[0]->u.recs[0], weir_str_of("new"), weir_value_int(1));
  }
  host_table()->on_verdict(r, b, hear, NULL);
  host_table()->emit(r, 0, b);
}

static void lanes_as_threads(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  pipeline(before, "traces", "r", "k", "d kx");
  pipeline(before, "traces/2", "r", "k", "x");
  at_once = 1;
  sender_settings.queue.queue_size = 1000000;
  heard = 0;
  start_on(LANES);
  for (int i = 0; i < LANES; i++) assert_int_equal(loop_start_thread(&lanes[i], &err), 0);
  for (uint32_t i = 0; i < ROUNDS; i++)
    for (uint32_t lane = 0; lane < LANES; lane++) loop_post(&lanes[lane], emit_one, stage("r", lane));
  for (int i = 0; i < 20000 && atomic_load(&heard) < ROUNDS * LANES; i++) nanosleep(&(struct timespec){ 0, NS_PER_MS }, NULL);
  assert_int_equal(heard, ROUNDS * LANES);
  graph_close(graph);
  assert_int_equal(arrived, 3u * 20u * ROUNDS * LANES);
  for (int i = 0; i < LANES; i++) loop_stop(&lanes[i]);
  for (int i = 0; i < LANES; i++) loop_join(&lanes[i]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(each_record_goes_to_the_instance_of_its_key), T(the_worst_of_the_pieces_is_the_verdict), T(what_has_one_key_is_one_batch),
    T(on_one_lane_no_key_is_asked), T(keys_are_read_from_records), T(when_one_of_its_lanes_is_behind_the_whole_is_refused),
    T(a_fan_out_above_gives_to_all_or_none), T(pieces_take_room_on_their_lanes), T(exporters_are_placed_before_their_senders),
    T(a_kept_place_goes_on_under_new_edges), T(pieces_on_their_way_arrive_after_a_swap), T(what_arrives_after_the_close_is_answered),
    T(lanes_as_threads), T(what_instances_share_stays_with_them), T(what_was_prepared_for_nothing_is_released) };
  return cmocka_run_group_tests_name("graph_place", tests, NULL, NULL);
}
