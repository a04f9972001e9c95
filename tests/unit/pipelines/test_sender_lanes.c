/* One sender on several lanes, each with its thread: the limit is the process's, parked batches are woken, nothing is lost or sent twice. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/sender.h"

#define LANES 3
#define BATCHES 300 /* per lane */

static struct env env;
static struct loop lanes[LANES];
static struct sender_config config;
static struct sender *sender;
static struct sender_lane *parts[LANES];
static struct flow_stage exporters[LANES];
static struct defer answers[LANES];
static _Atomic int in_exporters, most_in_exporters, delivered, refused;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void on_done(struct weir_stage *s, struct weir_batch *b, const struct weir_verdict *v) { sender_done(s->owner, b, v); }
static void on_drained(struct weir_stage *s) { (void)s; }
static const struct stage_ops ops = { .done = on_done, .drained = on_drained };

/* The exporter answers all that it has in the next step. */
static void answer(void *arg) {
  struct flow_stage *f = arg;
  struct weir_verdict v = verdict_delivered();
  while (f->n_got) {
    atomic_fetch_sub(&in_exporters, 1);
    sender_done(f->stage.owner, flow_take(f), &v);
  }
}

/* --- clients, for batches that are kept apart by them --- */

static _Atomic int items_of[3], items_of_nobody;

static void set_tenant(struct loop *loop, struct weir_batch *b, int tenant) {
  const char digit = (char)('0' + tenant);
  struct weir_pair pair = { weir_str_of("x-tenant"), { &digit, 1, 0 } };
  struct weir_context what = { .size = sizeof what, .metadata = &pair, .n_metadata = 1 };
  const struct weir_context *c;
  struct weir_error err;
  if (context_new(loop->pool, &what, &c, &err)) return;
  batch_set_context(b, c);
  context_unref(c);
}

static void count_tenant(const struct weir_batch *b) {
  const struct weir_context *c = b->context;
  atomic_fetch_add(c && c->n_metadata == 1 ? &items_of[*c->metadata[0].value.p - '0'] : &items_of_nobody, (int)b->items);
}

static void consume(void *self, struct weir_batch *b) {
  struct flow_stage *f = self;
  count_tenant(b);
  f->got[f->n_got++] = b;
  int now = atomic_fetch_add(&in_exporters, 1) + 1, most = atomic_load(&most_in_exporters);
  while (now > most && !atomic_compare_exchange_weak(&most_in_exporters, &most, now)) {
  }
  loop_defer(f->stage.loop, &answers[f->stage.lane]);
}

static void hear(void *arg, const struct weir_verdict *v) {
  (void)arg;
  pthread_mutex_lock(&lock);
  if (v->code == WEIR_DELIVERED)
    delivered++;
  else
    refused++;
  pthread_cond_signal(&cond);
  pthread_mutex_unlock(&lock);
}

static void produce(void *arg) {
  struct sender_lane *part = arg;
  struct loop *loop = loop_current();
  for (int i = 0; i < BATCHES; i++) {
    struct weir_batch *b = flow_batch(loop, WEIR_TRACES, 2);
    batch_on_verdict(b, hear, NULL);
    if (config.queue.batch) set_tenant(loop, b, i % 3);
    sender_put(part, b);
  }
}

static void start(uint32_t exporter_lanes) {
  struct weir_error err = { 0 };
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  in_exporters = most_in_exporters = delivered = refused = 0;
  env = (struct env){ .metrics = metrics_new() };
  sender = sender_new(&config, "x", WEIR_TRACES, LANES, env.metrics);
  for (uint32_t i = 0; i < LANES; i++) {
    assert_int_equal(loop_init(&lanes[i], i, &env, &err), 0);
    if (i < exporter_lanes) {
      flow_stage_open(&exporters[i], &lanes[i], WEIR_EXPORTER, "x", &ops, NULL);
      exporters[i].entry.type.consume = consume;
      exporters[i].stage.lane = i;
      exporters[i].stage.lanes = exporter_lanes;
      answers[i] = (struct defer){ .fn = answer, .arg = &exporters[i] };
    }
    parts[i] = sender_add_lane(sender, &lanes[i], i < exporter_lanes ? &exporters[i].stage : NULL);
    exporters[i].stage.owner = parts[i];
  }
  for (int i = 0; i < LANES; i++) assert_int_equal(loop_start_thread(&lanes[i], &err), 0);
  for (int i = 0; i < LANES; i++) loop_post(&lanes[i], produce, parts[i]);
}

static void count_down(void *arg) {
  pthread_mutex_lock(&lock);
  --*(int *)arg;
  pthread_cond_signal(&cond);
  pthread_mutex_unlock(&lock);
}

struct drain_call {
  struct sender_lane *part;
  int *left;
};

static void drain(void *arg) {
  struct drain_call *d = arg;
  sender_drain(d->part, count_down, d->left);
}

static void finish(uint32_t exporter_lanes) {
  int left = LANES;
  struct drain_call calls[LANES];
  pthread_mutex_lock(&lock);
  while (delivered + refused < LANES * BATCHES) pthread_cond_wait(&cond, &lock);
  pthread_mutex_unlock(&lock);
  for (int i = LANES - 1; i >= 0; i--) { /* those without an exporter first: what they have goes to the first */
    calls[i] = (struct drain_call){ parts[i], &left };
    loop_post(&lanes[i], drain, &calls[i]);
  }
  pthread_mutex_lock(&lock);
  while (left > 0) pthread_cond_wait(&cond, &lock);
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < LANES; i++) loop_stop(&lanes[i]);
  for (int i = 0; i < LANES; i++) loop_join(&lanes[i]);
  for (uint32_t i = 0; i < LANES; i++) {
    if (i < exporter_lanes) stage_close(&exporters[i].stage);
    sender_close(parts[i]);
  }
  assert_int_equal(sender_items_lost(sender), 0);
  assert_int_equal(sender_items_sent(sender), 2 * delivered);
  sender_free(sender);
  for (int i = 0; i < LANES; i++) loop_done(&lanes[i]);
  metrics_free(env.metrics);
}

static void parked_batches_of_all_lanes_get_through(void **state) {
  (void)state;
  config = (struct sender_config){ .queue = { .enabled = 1, .num_consumers = 6, .queue_size = 4, .block_on_overflow = 1 } };
  start(LANES);
  finish(LANES);
  assert_int_equal(delivered, LANES * BATCHES);
  assert_true(most_in_exporters <= 4); /* the process's limit, not each lane's */
}

static void what_does_not_fit_is_refused_whole(void **state) {
  (void)state;
  config = (struct sender_config){ .queue = { .enabled = 1, .num_consumers = 6, .queue_size = 4 } };
  start(LANES);
  finish(LANES);
  assert_int_equal(delivered + refused, LANES * BATCHES);
  assert_true(delivered >= 4 && refused > 0);
  assert_true(most_in_exporters <= 4);
}

static void lanes_without_the_exporter_post_to_the_one_that_has_it(void **state) {
  (void)state;
  config = (struct sender_config){ .queue = { .enabled = 1, .num_consumers = 2, .queue_size = 1000 } };
  start(1);
  finish(1);
  assert_int_equal(delivered, LANES * BATCHES);
  assert_true(most_in_exporters <= 2);
}

static void clients_stay_apart(uint32_t exporter_lanes) {
  static const char *const names[] = { "X-Tenant" };
  struct sender_batch_config batching = { .flush_timeout_ns = NS_PER_MS, .min_size = 6, .sizer = -1, .metadata_keys = { names, 1 }, .cache_size = 2 };
  config = (struct sender_config){ .queue = { .enabled = 1, .num_consumers = 6, .queue_size = 1000, .wait_for_result = 1, .batch = &batching } };
  for (int i = 0; i < 3; i++) items_of[i] = 0;
  items_of_nobody = 0;
  start(exporter_lanes);
  finish(exporter_lanes);
  assert_int_equal(delivered, LANES * BATCHES);
  for (int i = 0; i < 3; i++) assert_int_equal(items_of[i], 2 * LANES * BATCHES / 3);
  assert_int_equal(items_of_nobody, 0);
}

static void clients_stay_apart_on_each_lane(void **state) {
  (void)state;
  clients_stay_apart(LANES);
}

/* Their contexts stand in the pools of the lanes that they came from. */
static void clients_of_all_lanes_stay_apart_on_one(void **state) {
  (void)state;
  clients_stay_apart(1);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(parked_batches_of_all_lanes_get_through),
    cmocka_unit_test(what_does_not_fit_is_refused_whole), cmocka_unit_test(lanes_without_the_exporter_post_to_the_one_that_has_it),
    cmocka_unit_test(clients_stay_apart_on_each_lane), cmocka_unit_test(clients_of_all_lanes_stay_apart_on_one) };
  return cmocka_run_group_tests_name("sender_lanes", tests, NULL, NULL);
}
