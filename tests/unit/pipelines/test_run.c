/* The life of a process in this process: ready, SIGTERM, drain, deadline, exit code. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/flow.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/config.h"
#include "pipelines/run.h"

static const struct weir_host *host;
static struct weir_stage *receiver;
static struct weir_batch *held;
static struct flow_waiter waiter;
static int start_fails, drained_receivers, closed_with_batch;
static int32_t answers; /* the exporter's verdict, or never */
#define NEVER (-1)
#define RETRY_ONCE (-2)
static int tries;
static uint32_t start_errors;

/* --- a receiver that makes one batch when it starts, and an exporter that answers at once or only when it is closed ---- */

static int r_open(const struct weir_host *h, struct weir_stage *s, const void *c, void **ret_self, struct weir_error *err) {
  (void)c;
  (void)err;
  host = h;
  *ret_self = receiver = s;
  return 0;
}

static void heard(void *self, const struct weir_verdict *v) {
  flow_hear(&waiter, v);
  if (drained_receivers) host->drained(self);
}

static int r_start(void *self, struct weir_error *err) {
  if (start_fails) return weir_fail(err, WEIR_E_IO, "127.0.0.1:4317 is in use");
  struct weir_stage *s = self;
  struct weir_batch *b = flow_batch(s->loop, WEIR_TRACES, 5);
  host->on_verdict(s, b, heard, s);
  host->emit(s, 0, b);
  return 0;
}

static void r_drain(void *self) {
  drained_receivers++;
  if (waiter.heard) host->drained(self);
}

static void r_close(void *self) { (void)self; }

static int x_open(const struct weir_host *h, struct weir_stage *s, const void *c, void **ret_self, struct weir_error *err) {
  (void)h;
  (void)c;
  (void)err;
  *ret_self = s;
  return 0;
}

static void x_consume(void *self, struct weir_batch *b) {
  struct weir_verdict v = { .code = answers == RETRY_ONCE ? tries == 0 ? WEIR_RETRY : WEIR_DELIVERED : answers };
  tries++;
  if (answers == NEVER)
    held = b;
  else
    host->done(self, b, &v);
}

static void x_close(void *self) {
  (void)self;
  closed_with_batch = held != NULL;
}

static const struct stage_entry receiver_entry = { .type = { .size = sizeof(struct weir_stage_type),
                                                     .role = WEIR_RECEIVER,
                                                     .signals = WEIR_TRACES,
                                                     .name = "r",
                                                     .open = r_open,
                                                     .start = r_start,
                                                     .drain = r_drain,
                                                     .close = r_close } };
static const struct stage_entry exporter_entry = { .type = { .size = sizeof(struct weir_stage_type),
                                                     .role = WEIR_EXPORTER,
                                                     .signals = WEIR_TRACES,
                                                     .flags = WEIR_QUEUED,
                                                     .name = "x",
                                                     .open = x_open,
                                                     .consume = x_consume,
                                                     .close = x_close } };
static const struct sender_config sender = { .queue = { .enabled = 1, .num_consumers = 1, .queue_size = 10, .wait_for_result = 1 },
  .retry = { .enabled = 1, .initial_interval_ns = 60 * NS_PER_S, .max_interval_ns = 60 * NS_PER_S, .multiplier = 1 } };

/* --- a run ------------------------------------------------------------------------------------------------------ */

static void *send_term(void *arg) {
  (void)arg;
  struct timespec soon = { 0, 50 * NS_PER_MS };
  nanosleep(&soon, NULL);
  kill(getpid(), SIGTERM);
  return NULL;
}

#define LEFT_OPEN 42

/* Runs until the SIGTERM that comes after 50 ms; how long it took, in *ret_ns. */
static int run_once(int64_t *ret_ns) {
  struct config_component x = { .role = WEIR_EXPORTER, .id = "x", .type = "x", .entry = &exporter_entry, .sender = &sender, .used = 1 };
  struct config_component r = { .role = WEIR_RECEIVER, .id = "r", .type = "r", .entry = &receiver_entry, .used = 1, .next = &x };
  struct config_ref receivers = { .id = "r", .component = &r }, exporters = { .id = "x", .component = &x };
  struct config_pipeline p = {
    .signal = WEIR_TRACES, .id = "traces", .receivers = &receivers, .exporters = &exporters, .n_receivers = 1, .n_exporters = 1
  };
  struct config config = { .components = &r, .pipelines = &p, .lanes = 1, .drain_timeout_ns = 400 * NS_PER_MS };
  struct diags ds;
  pthread_t thread;
  int code;
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  diags_init(&ds);
  held = NULL;
  drained_receivers = closed_with_batch = tries = 0;
  waiter = (struct flow_waiter){ 0 };
  struct run *run = run_open(&config, &ds, &code);
  assert_non_null(run);
  if (!start_fails) pthread_create(&thread, NULL, send_term, NULL);
  int64_t before = clock_mono_ns();
  code = run_until_stopped(run, &ds);
  start_errors = ds.n_errors;
  if (start_fails) assert_string_equal(ds.first->msg, "receiver `r`: 127.0.0.1:4317 is in use");
  if (!start_fails) pthread_join(thread, NULL);
  if (run_close(run))
    _exit(waiter.heard == 1 && waiter.verdict.code == WEIR_RETRY && !closed_with_batch ? LEFT_OPEN
                                                                                       : 3); /* as the program does; only in a child */
  *ret_ns = clock_mono_ns() - before;
  diags_done(&ds);
  return code;
}

static void a_drain_ends_when_all_is_sent(void **state) {
  (void)state;
  int64_t took;
  answers = WEIR_DELIVERED;
  assert_int_equal(run_once(&took), EXIT_OK);
  assert_true(took < 10 * NS_PER_S);
  assert_int_equal(waiter.verdict.code, WEIR_DELIVERED);
  assert_int_equal(waiter.heard, 1);
  assert_int_equal(drained_receivers, 1);
  assert_int_equal(closed_with_batch, 0);
}

/* Its request waits for the next try, which is far away: at half time the queues are hurried although the receiver is not done. */
static void half_of_the_time_is_for_the_queues(void **state) {
  (void)state;
  int64_t took;
  answers = RETRY_ONCE;
  assert_int_equal(run_once(&took), EXIT_OK);
  assert_int_equal(tries, 2);
  assert_int_equal(waiter.verdict.code, WEIR_DELIVERED);
}

/* The receiver is done only when its request is answered, which is when everything is being closed: nobody asks any more. */
static void a_drain_ends_at_its_deadline(void **state) {
  (void)state;
  int64_t took;
  answers = WEIR_RETRY;
  assert_int_equal(run_once(&took), EXIT_OK);
  assert_true(took >= 400 * NS_PER_MS && took < 10 * NS_PER_S);
  assert_int_equal(waiter.heard, 1);
  assert_int_equal(waiter.verdict.code, WEIR_RETRY);
  assert_int_equal(closed_with_batch, 0);
}

/* Its call is still running, so its memory must stay; whoever waits is answered all the same. */
static void an_exporter_that_never_answers_is_left_open(void **state) {
  (void)state;
  int64_t took;
  int status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    answers = NEVER;
    int code = run_once(&took);
    _exit(code == EXIT_OK ? 1 : 2);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), LEFT_OPEN);
}

static void a_start_that_fails_is_exit_1(void **state) {
  (void)state;
  int64_t took;
  start_fails = 1;
  assert_int_equal(run_once(&took), EXIT_FAILED);
  start_fails = 0;
  assert_int_equal(start_errors, 1);
  assert_int_equal(drained_receivers, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(a_drain_ends_when_all_is_sent), cmocka_unit_test(half_of_the_time_is_for_the_queues),
    cmocka_unit_test(a_drain_ends_at_its_deadline), cmocka_unit_test(an_exporter_that_never_answers_is_left_open),
    cmocka_unit_test(a_start_that_fails_is_exit_1) };
  return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
