/* sending_queue.batch.partition: who is gathered with whom, what the requests carry, the limit, and the end. On a virtual clock. */
#include "sender_fixture.h"

static const char *const names[] = { "X-Tenant", "zone" };
static struct sender_batch_config batching;

static int setup_partitions(void **state) {
  batching = (struct sender_batch_config){ .flush_timeout_ns = 200 * NS_PER_MS, .min_size = 10, .sizer = -1, .metadata_keys = { names, 2 }, .cache_size = 4 };
  int code = setup(state);
  config.queue.batch = &batching;
  config.queue.wait_for_result = 1;
  return code;
}

/* metadata: "name: value" lines. */
static const struct weir_context *context_of(const char *metadata) {
  struct weir_pair pairs[8], auth = { weir_str_of("username"), weir_str_of("ann") };
  struct weir_context what = { .size = sizeof what, .metadata = pairs, .auth = &auth, .n_auth = 1, .peer = weir_str_of("127.0.0.1:9") };
  const struct weir_context *c;
  struct weir_error err;
  for (const char *line = metadata, *end; *line; line = end + 1) {
    const char *colon = strstr(line, ": ");
    end = strchr(line, '\n');
    pairs[what.n_metadata++] =
      (struct weir_pair){ { line, (uint32_t)(colon - line), 0 }, { colon + 2, (uint32_t)(end - colon - 2), 0 } };
  }
  assert_int_equal(context_new(loop.pool, &what, &c, &err), 0);
  return c;
}

static void put_of(uint32_t n, const char *metadata, struct flow_waiter *w) {
  const struct weir_context *c = context_of(metadata);
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, n);
  batch_set_context(b, c);
  context_unref(c);
  if (w) batch_on_verdict(b, flow_hear, w);
  sender_put(lane, b);
  loop_run_once(&loop);
}

/* The i-th request that the exporter holds: its items, and its context as lines ("" for none). */
static void sent_is(uint32_t i, uint64_t items, const char *lines) {
  char text[300] = "";
  size_t at = 0;
  assert_true(i < exporter.n_got);
  const struct weir_context *c = exporter.got[i]->context;
  for (uint32_t k = 0; c && k < c->n_metadata; k++)
    at += (size_t)snprintf(text + at, sizeof text - at, "%.*s: %.*s\n", (int)c->metadata[k].name.n, c->metadata[k].name.p, (int)c->metadata[k].value.n,
      c->metadata[k].value.p);
  assert_int_equal(exporter.got[i]->items, items);
  assert_string_equal(text, lines);
  if (c) assert_int_equal(c->n_auth + c->peer.n, 0);
}

#define OPEN value("otelcol_exporter_queue_batch_partition_cache_size{data_type=\"traces\",exporter=\"otlp\"}")
#define EVICTED value("weir_sender_partitions_evicted_total{exporter=\"otlp\",signal=\"traces\"}")

/* --- who with whom --------------------------------------------------------------------------------------------- */

static void each_combination_is_sent_by_itself(void **state) {
  (void)state;
  start();
  put_of(6, "x-tenant: a\nother: 1\n", NULL);
  put_of(6, "x-tenant: b\n", NULL);
  put_of(6, "x-tenant: a\nzone: z\n", NULL);
  assert_int_equal(exporter.n_got, 0);
  assert_int_equal(OPEN, 3);
  put_of(4, "other: 2\nx-tenant: a\n", NULL); /* what is no key keeps nothing apart, and is not sent on */
  assert_int_equal(exporter.n_got, 1);
  sent_is(0, 10, "x-tenant: a\n");
  put_of(5, "zone: z\nx-tenant: a\n", NULL);
  put_of(5, "x-tenant: b\n", NULL);
  sent_is(1, 11, "x-tenant: a\nzone: z\n");
  sent_is(2, 11, "x-tenant: b\n");
  assert_int_equal(OPEN, 0);
  assert_int_equal(value("otelcol_exporter_queue_batch_partition_cache_capacity{data_type=\"traces\",exporter=\"otlp\"}"), 4);
}

static void no_value_an_empty_one_and_several_are_kept_apart(void **state) {
  (void)state;
  start();
  put(1, NULL); /* no context at all */
  put_of(1, "x-tenant: \n", NULL);
  put_of(1, "x-tenant: a\nx-tenant: b\n", NULL);
  put_of(1, "x-tenant: b\nx-tenant: a\n", NULL);
  assert_int_equal(OPEN, 4);
  put_of(2, "other: 1\n", NULL); /* none of the keys: with those that have no context */
  assert_int_equal(OPEN, 4);
  pass(NS_PER_S);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 4);
  for (uint32_t i = 0; i < 4; i++) { /* timers of the same time come in any order */
    const struct weir_context *c = exporter.got[i]->context;
    if (!c) sent_is(i, 3, "");
    else if (c->n_metadata == 1) sent_is(i, 1, "x-tenant: \n");
    else sent_is(i, 1, c->metadata[0].value.p[0] == 'a' ? "x-tenant: a\nx-tenant: b\n" : "x-tenant: b\nx-tenant: a\n");
  }
}

static void each_has_its_own_time(void **state) {
  (void)state;
  start();
  put_of(1, "x-tenant: a\n", NULL);
  pass(100 * NS_PER_MS);
  put_of(2, "x-tenant: b\n", NULL);
  pass(101 * NS_PER_MS);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
  sent_is(0, 1, "x-tenant: a\n");
  pass(100 * NS_PER_MS);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 2);
  sent_is(1, 2, "x-tenant: b\n");
}

static void pieces_carry_it_too(void **state) {
  (void)state;
  batching.max_size = 10;
  start();
  put_of(4, "x-tenant: b\n", NULL);
  put_of(25, "x-tenant: a\nother: 1\n", &waiters[0]);
  assert_int_equal(exporter.n_got, 2);
  sent_is(0, 10, "x-tenant: a\n");
  sent_is(1, 10, "x-tenant: a\n");
  struct weir_verdict large = verdict_rejected(0, "too large");
  large.too_large = 1;
  answer(large); /* halves */
  sent_is(1, 5, "x-tenant: a\n");
  pass(201 * NS_PER_MS);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 4);
  while (exporter.n_got) answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(waiters[0].heard, 1);
  assert_int_equal(waiters[0].verdict.code, WEIR_DELIVERED);
}

static void without_keys_all_are_gathered_together(void **state) {
  (void)state;
  batching.metadata_keys.n = 0;
  batching.cache_size = 1;
  start();
  put_of(5, "x-tenant: a\n", NULL);
  put_of(5, "x-tenant: b\n", NULL);
  assert_int_equal(exporter.n_got, 1);
  sent_is(0, 10, ""); /* of several, so of nobody */
  assert_int_equal(OPEN, -1); /* and no metric of partitions */
}

/* --- the limit --------------------------------------------------------------------------------------------------- */

static void one_too_many_sends_the_least_recent_early(void **state) {
  (void)state;
  batching.cache_size = 2;
  start();
  put_of(1, "x-tenant: a\n", &waiters[0]);
  put_of(1, "x-tenant: b\n", &waiters[1]);
  put_of(1, "x-tenant: a\n", &waiters[2]); /* b is the older one now */
  put_of(1, "x-tenant: c\n", &waiters[3]);
  assert_int_equal(exporter.n_got, 1);
  sent_is(0, 1, "x-tenant: b\n");
  assert_int_equal(EVICTED, 1);
  assert_int_equal(OPEN, 2);
  put_of(1, "x-tenant: b\n", NULL);
  assert_int_equal(exporter.n_got, 2);
  sent_is(1, 2, "x-tenant: a\n");
  assert_int_equal(EVICTED, 2);
  while (exporter.n_got) answer(verdict_delivered());
  loop_run_once(&loop);
  for (int i = 0; i < 3; i++) assert_int_equal(waiters[i].heard, 1);
  assert_int_equal(waiters[3].heard, 0);
}

static void many_come_and_go(void **state) {
  (void)state;
  char text[40];
  batching.cache_size = 3;
  batching.min_size = 100;
  start();
  for (int i = 0; i < 50; i++) {
    snprintf(text, sizeof text, "x-tenant: t%d\n", i);
    put_of(1, text, NULL);
    while (exporter.n_got) answer(verdict_delivered());
  }
  assert_int_equal(OPEN, 3);
  assert_int_equal(EVICTED, 47);
  assert_int_equal(LAW("sent_total"), 47);
  assert_int_equal(QUEUE_SIZE, 3);
}

static void the_table_grows_with_what_it_holds(void **state) {
  (void)state;
  char text[40];
  batching.cache_size = 1000000;
  config.queue.queue_size = 5000;
  start();
  for (int i = 0; i < 5000; i++) {
    snprintf(text, sizeof text, "x-tenant: t%d\n", i);
    put_of(1, text, NULL);
  }
  assert_int_equal(OPEN, 5000);
  assert_true(lane->partitions.table.n_buckets >= 5000);
}

static void without_memory_a_request_goes_alone_as_it_came(void **state) {
  (void)state;
  budget_init(&env.budget, 4u << 20);
  start();
  put_of(1, "x-tenant: a\nother: 1\n", &waiters[0]);
  struct weir_batch *b = flow_batch(&loop, WEIR_TRACES, 2);
  const struct weir_context *c = context_of("x-tenant: b\nother: 1\n");
  batch_set_context(b, c);
  batch_on_verdict(b, flow_hear, &waiters[1]);
  struct weir_body *hog[1024];
  size_t n = 0;
  while (n < 1024 && (hog[n] = body_new(loop.pool, 4000))) n++;
  assert_true(n > 0 && n < 1024);
  sender_put(lane, b);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 1);
  assert_ptr_equal(exporter.got[0]->context, c);
  assert_int_equal(OPEN, 1); /* that of a, which waits on */
  context_unref(c);
  while (n) body_free(hog[--n]);
  answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(waiters[0].heard, 0);
  assert_int_equal(waiters[1].heard, 1);
}

/* --- the end -------------------------------------------------------------------------------------------------------- */

static void count_call(void *arg) { ++*(int *)arg; }

static void a_drain_sends_all(void **state) {
  (void)state;
  int drained = 0;
  start();
  put_of(1, "x-tenant: a\n", &waiters[0]);
  put_of(2, "x-tenant: b\n", &waiters[1]);
  put_of(3, "zone: a\n", &waiters[2]);
  sender_drain(lane, count_call, &drained);
  loop_run_once(&loop);
  assert_int_equal(exporter.n_got, 3);
  sent_is(0, 1, "x-tenant: a\n");
  sent_is(1, 2, "x-tenant: b\n");
  sent_is(2, 3, "zone: a\n");
  while (exporter.n_got) answer(verdict_delivered());
  loop_run_once(&loop);
  assert_int_equal(drained, 1);
  for (int i = 0; i < 3; i++) assert_int_equal(waiters[i].heard, 1);
}

static void at_the_deadline_each_hears_once(void **state) {
  (void)state;
  start();
  put_of(1, "x-tenant: a\n", &waiters[0]);
  put_of(2, "x-tenant: b\n", &waiters[1]);
  put_of(3, "x-tenant: b\n", &waiters[2]);
  sender_abandon(lane);
  loop_run_once(&loop);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(waiters[i].heard, 1);
    assert_int_equal(waiters[i].verdict.code, WEIR_RETRY);
  }
  assert_int_equal(REJECTED("shutdown"), 6);
  pass(NS_PER_S); /* no timer of theirs is left */
  assert_int_equal(exporter.consumed, 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup_partitions, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(each_combination_is_sent_by_itself), T(no_value_an_empty_one_and_several_are_kept_apart), T(each_has_its_own_time),
    T(pieces_carry_it_too), T(without_keys_all_are_gathered_together), T(one_too_many_sends_the_least_recent_early), T(many_come_and_go), T(the_table_grows_with_what_it_holds),
    T(without_memory_a_request_goes_alone_as_it_came), T(a_drain_sends_all), T(at_the_deadline_each_hears_once) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
