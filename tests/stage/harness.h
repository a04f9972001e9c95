/*
 * tests/stage/harness.h - one instance of one stage, from its real .so, on a real loop with a clock that the test turns.
 *
 * The stage is loaded through the registry from $WEIR_BUILD/stages (or from `file`), its YAML is bound by its field table, and it is opened and started as
 * the graph would. What it emits, answers and drops is kept for the test to look at. Services are the real ones: listeners and clients use
 * loopback sockets, timers follow the virtual clock.
 *
 *   struct harness *h = harness_new(WEIR_PROCESSOR, "batch", "timeout: 1s", WEIR_TRACES);
 *   struct harness_waiter w = { 0 };
 *   harness_feed(h, harness_batch(h, 10, &w));
 *   harness_advance(h, NS_PER_S);
 *   struct weir_batch *out = harness_take_emitted(h);
 *   harness_settle(h, out, WEIR_DELIVERED);
 *   harness_free(h);      drains, closes, and fails the test when something leaks, the law of counters is broken or a waiter has not heard once
 *
 * One harness at a time per process, on the test's thread.
 */
#ifndef TESTS_STAGE_HARNESS_H
#define TESTS_STAGE_HARNESS_H

#include "core/arena.h"
#include "core/batch.h"
#include "core/clock.h"
#include "core/loop.h"
#include "plugins/host.h"
#include "plugins/registry.h"

#define HARNESS_MAX 256u                  /* entries in each list; more fails the test */
#define HARNESS_MONO_NS (1000 * NS_PER_S) /* where the clock stands at first */
#define HARNESS_UNIX_NS (1700000000 * NS_PER_S)
#define HARNESS_WAIT_NS (5 * NS_PER_S) /* real time that harness_run_until waits at most */

/* How the instance is opened. What is 0 or NULL: the build's stages directory, no YAML, traces, lane 0 of 1, `ack: queued`. */
struct harness_setup {
  uint32_t role;
  const char *type, *yaml;
  const char *file; /* a .so below $WEIR_BUILD that is no file of stages/: "template/my_stage.so" */
  const char *id;   /* default: the type */
  uint32_t signal, out_signal;
  uint32_t lane, lanes;
  int ack_delivered;
  int need;              /* receivers: WEIR_NEED_* of what stands below */
  int64_t timeout_ns;    /* exporters: the deadline of each attempt, from harness_feed on; 0 = none */
  uint64_t budget_bytes; /* 0 = unlimited */
  int stopped;           /* opened, not started */
  struct weir_stage *extension; /* what host->extension finds, whatever the id; its type's `offer` is asked. NULL: none */
};

/* Who waits for the verdict of a batch that was fed. Zero it first. */
struct harness_waiter {
  int heard;
  struct weir_verdict verdict;
  char msg[256]; /* verdict.msg points here */
  struct harness *harness;
};

struct harness_done {
  uint64_t items;
  struct weir_verdict verdict;
  char msg[256];
};

struct harness_drop {
  uint64_t items;
  const char *reason;
};

/* Of instances that are closed: harness_adopt. */
struct harness_counts {
  int64_t in, out, refused, dropped, held;
};

struct older;

struct harness {
  struct weir_stage stage;  /* the first instance */
  struct weir_stage *now;   /* the one that is fed and drained */
  struct older *more;       /* instances behind the first */
  struct harness_counts before;
  int n_older_drained;
  struct loop loop;
  struct env env;
  struct registry *registry;
  struct arena arena;
  struct diags diags;
  int64_t timeout_ns;
  struct weir_stage *extension;
  struct weir_batch *emitted, **emitted_end; /* what the test has not taken */
  size_t n_emitted;                          /* how many of those */
  uint64_t items_emitted;                    /* in all */
  struct harness_done done[HARNESS_MAX];     /* exporters: verdicts, in order */
  size_t n_done;
  struct harness_drop drops[HARNESS_MAX];
  size_t n_drops;
  int n_drained, n_fails, fatal;
  struct weir_error failure;     /* the latest host->fail */
  size_t n_waiting;              /* batches that were made for it and have not heard */
  struct harness_waiter unnamed; /* for batches whose verdict the test does not ask for */
};

/* --- life ------------------------------------------------------------------------------------------------------- */

/* Opens and starts; the test fails, with the reason, when that is refused. yaml NULL = all defaults. */
struct harness *harness_new(uint32_t role, const char *type, const char *yaml, uint32_t signal);
struct harness *harness_open(const struct harness_setup *);
/* Expects a refusal: the diagnostics (bad YAML) or "field: message; hint" (refused by open or start) as one text. The caller frees it. */
char *harness_refused(const struct harness_setup *);
/* Drains unless that was done, settles what was emitted, closes, and checks that nothing is left. */
void harness_free(struct harness *);

/* --- work --------------------------------------------------------------------------------------------------------- */

/* Gives the stage a batch and runs the steps that follow. Takes. */
void harness_feed(struct harness *, struct weir_batch *);
/* Turns the clock, stopping at each timer that becomes due; runs the steps that follow. */
void harness_advance(struct harness *, int64_t ns);
/* Runs steps, posts and ready sockets until nothing is left to do. */
void harness_run(struct harness *);
/* Runs until done(arg) is not 0, with real waiting for sockets; fails the test after HARNESS_WAIT_NS. The virtual clock stands still. */
void harness_run_until(struct harness *, int (*done)(void *), void *arg);
/* Tells the stage to drain and runs; h->n_drained says whether it answered. */
void harness_drain(struct harness *);
/* As a reload does: opens and starts a second instance with these settings, lets it adopt the first one's state, drains and closes the first, and goes on with the second (h->now). The
 * law of counters holds for both together. What was emitted must be settled when the stage asked for verdicts. The test fails when the settings are refused. */
void harness_adopt(struct harness *, const char *yaml);
/* What the instance says to a question (weir_inspect_f), for the caller to free: "" when it knows nothing; NULL when it is no question for it. */
char *harness_ask(struct harness *, const char *question);

/* --- what came of it ------------------------------------------------------------------------------------------------ */

/* The oldest batch that was emitted and not taken; NULL when there is none. The test owns it: harness_settle. */
struct weir_batch *harness_take_emitted(struct harness *);
/* Settles with this code (WEIR_RETRY: after one second; WEIR_REJECTED: all), and runs. Takes. */
void harness_settle(struct harness *, struct weir_batch *, int code);
/* The sum of the samples of this metric whose labels contain `labels` (NULL = all); 0 when there are none. */
double harness_metric(struct harness *, const char *name, const char *labels);

/* --- batches made to measure ------------------------------------------------------------------------------------------ */

/* n records of the instance's signal, as they would be received: one resource (service.name "harness"), one scope, spans or log records or points of one
 * gauge, each with the integer attribute "i" = 0, 1, 2 ... waiter NULL: nobody looks, but that it is settled once is checked all the same. */
struct weir_batch *harness_batch(struct harness *, uint32_t n, struct harness_waiter *);
struct weir_batch *harness_batch_of(struct harness *, uint32_t signal, uint32_t n, struct harness_waiter *);
/* From the bytes of an Export*ServiceRequest; the test fails when they are not valid. */
struct weir_batch *harness_batch_bytes(struct harness *, uint32_t signal, const void *p, size_t n, struct harness_waiter *);
/* From OTLP/JSON of the instance's signal. */
struct weir_batch *harness_batch_json(struct harness *, const char *text, struct harness_waiter *);
/* Such a request in malloc'ed memory, for what speaks OTLP over a socket. The caller frees it. */
char *harness_request(uint32_t signal, uint32_t n, size_t *ret_n);
/* Calls fn for every span, log record or data point of a batch, in order. */
void harness_each(struct weir_batch *, void (*fn)(void *arg, const struct weir_rec *), void *arg);
/* What the attribute "i" of the batch's records is, in order; returns how many, at most cap. */
size_t harness_indexes(struct weir_batch *, int64_t *ret, size_t cap);
/* The batch as it would be sent: malloc'ed; the caller frees it. */
char *harness_encode(struct weir_batch *, size_t *ret_n);

#endif
