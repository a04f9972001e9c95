/*
 * core/loop.h - one thread's event loop: libuv, a step queue, posts from other threads, timers, the lane's pool.
 *
 * A lane is a thread that runs one loop; the control thread runs one too. "Later step" means: after the callback that
 * is running has returned, before the loop waits for events again. Timers follow core/clock, so that a virtual clock
 * drives them in tests.
 * Threads: everything [lane] (or before the loop runs) except loop_post, loop_stop and the notes at `post`.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <weir/stage.h>

#include "core/pool.h"

struct metrics;
struct listeners;
struct disks; /* of pipelines/disk.h */
struct tls_scratch;

/* What the whole process shares; borrowed by every loop. */
struct env {
  struct budget budget;
  struct metrics *metrics;
  struct listeners *listeners;
  struct disks *disks; /* NULL: there is no storage here */
};

/* A step to run later, embedded in its owner; pending at most once. */
struct defer {
  struct defer *next;
  weir_fn_f *fn;
  void *arg;
  int pending;
};

/* A one-shot timer, embedded in its owner. `slot` is its place in the heap, 0 when unarmed. */
struct timer {
  int64_t due_ns;
  size_t slot;
  weir_fn_f *fn;
  void *arg;
};

/* A message from another thread; `embedded` in its owner, or allocated by loop_post. */
struct post {
  struct post *next;
  weir_fn_f *fn;
  void *arg;
  int embedded;
};

struct loop {
  uint32_t magic, id; /* id: lane number; UINT32_MAX for control */
  uv_loop_t uv;
  uv_async_t wake;
  uv_timer_t tick;
  uv_prepare_t before_wait;
  uv_check_t after_wait;
  uv_idle_t dont_wait;
  struct env *env;
  struct pool *pool;
  struct defer *step_head, **step_tail;
  struct timer **heap;
  size_t n_heap, cap_heap;
  struct timer trim; /* gives idle blocks of the pool back, every 5 s */
  _Atomic(struct post *) inbox;
  _Atomic uint32_t inbox_n;
  _Atomic int stopping, running;
  _Atomic uint32_t n_connections; /* for the least-loaded choice */
  pthread_t thread;
  char *read_buf; /* LOOP_READ_BUF bytes shared by all stream reads: valid only inside the read callback */
  struct tls_scratch *tls; /* of core/http_io_tls.c; NULL until the lane has a TLS connection */
};

void tls_scratch_free(struct tls_scratch *); /* NULL allowed */

#define LOOP_MAGIC 0x100f100fu
#define LOOP_READ_BUF (256u << 10)
#define LOOP_INBOX_MAX 4096u /* batches in flight to one lane; over it loop_post_bounded refuses */

int loop_init(struct loop *, uint32_t id, struct env *, struct weir_error *);
void loop_done(struct loop *); /* after it stopped and all its handles are closed */
/* Runs until loop_stop; runs pending steps and timers. */
void loop_run(struct loop *);
/* One pass: ready I/O, posts, due timers, steps; does not wait. For tests and for closing. */
void loop_run_once(struct loop *);
void loop_stop(struct loop *); /* [any] */
int loop_start_thread(struct loop *, struct weir_error *); /* runs loop_run on a new thread named weir-lane-N */
void loop_join(struct loop *);
struct loop *loop_current(void); /* the loop whose thread this is, or NULL */

void loop_defer(struct loop *, struct defer *); /* no effect when it is pending already */
void loop_cancel(struct loop *, struct defer *);

/* Runs fn(arg) on the loop's thread. loop_post never fails; loop_post_bounded returns WEIR_E_LIMIT over LOOP_INBOX_MAX. [any] */
void loop_post(struct loop *, weir_fn_f *, void *arg);
int loop_post_bounded(struct loop *, weir_fn_f *, void *arg);
/* As loop_post, with a message that the caller owns and has filled (fn, arg): allocates nothing. It may be posted again once its fn has begun. [any] */
void loop_post_embedded(struct loop *, struct post *);
/* Runs fn(arg) on the loop's thread and waits for it; direct when the loop is not running or is the current one. [control] */
void loop_call(struct loop *, weir_fn_f *, void *arg);

void timer_set(struct loop *, struct timer *, int64_t delay_ns); /* (re)arms; fn and arg set by the caller before */
void timer_cancel(struct loop *, struct timer *);
/* Runs what is due; for tests with a virtual clock (loop_run does it by itself). */
void loop_run_timers(struct loop *);
/* With a virtual clock: passes until no step and no post is left. 0, or -1 when there are still some after LOOP_SETTLE_MAX passes. */
#define LOOP_SETTLE_MAX 1000
int loop_settle(struct loop *);
/* Turns the virtual clock, stopping at each timer that becomes due, and settles after each. As loop_settle. */
int loop_advance(struct loop *, int64_t ns);

#endif
