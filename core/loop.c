#include "core/loop.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/compress.h"

#define TRIM_EVERY_NS (5 * NS_PER_S)

static __thread struct loop *current;

struct loop *loop_current(void) { return current; }

/* --- timers: a binary heap by due time; one uv_timer wakes for the earliest ----------------------- */

static void heap_place(struct loop *l, size_t slot, struct timer *t) {
  l->heap[slot] = t;
  t->slot = slot;
}

static void heap_up(struct loop *l, size_t slot) {
  struct timer *t = l->heap[slot];
  while (slot > 1 && l->heap[slot / 2]->due_ns > t->due_ns) {
    heap_place(l, slot, l->heap[slot / 2]);
    slot /= 2;
  }
  heap_place(l, slot, t);
}

static void heap_down(struct loop *l, size_t slot) {
  struct timer *t = l->heap[slot];
  for (;;) {
    size_t child = slot * 2;
    if (child > l->n_heap) break;
    if (child < l->n_heap && l->heap[child + 1]->due_ns < l->heap[child]->due_ns) child++;
    if (l->heap[child]->due_ns >= t->due_ns) break;
    heap_place(l, slot, l->heap[child]);
    slot = child;
  }
  heap_place(l, slot, t);
}

void timer_cancel(struct loop *l, struct timer *t) {
  size_t slot = t->slot;
  if (!slot) return;
  t->slot = 0;
  struct timer *last = l->heap[l->n_heap--];
  if (last == t) return;
  heap_place(l, slot, last);
  heap_up(l, slot);
  heap_down(l, last->slot);
}

void timer_set(struct loop *l, struct timer *t, int64_t delay_ns) {
  timer_cancel(l, t);
  t->due_ns = clock_mono_ns() + (delay_ns > 0 ? delay_ns : 0);
  if (l->n_heap + 2 > l->cap_heap) {
    l->cap_heap = l->cap_heap ? l->cap_heap * 2 : 64;
    l->heap = realloc(l->heap, l->cap_heap * sizeof *l->heap); /* slot 0 is unused */
    WEIR_ASSERT(l->heap != NULL);
  }
  heap_place(l, ++l->n_heap, t);
  heap_up(l, l->n_heap);
}

void loop_run_timers(struct loop *l) {
  int64_t now = clock_mono_ns();
  while (l->n_heap && l->heap[1]->due_ns <= now) {
    struct timer *t = l->heap[1];
    timer_cancel(l, t);
    t->fn(t->arg);
  }
}

int loop_settle(struct loop *l) {
  for (int left = LOOP_SETTLE_MAX; left > 0; left--) {
    loop_run_once(l);
    if (!l->step_head && atomic_load(&l->inbox_n) == 0) return 0;
  }
  return -1;
}

int loop_advance(struct loop *l, int64_t ns) {
  int64_t until = clock_mono_ns() + ns;
  while (l->n_heap && l->heap[1]->due_ns <= until) {
    int64_t due = l->heap[1]->due_ns, now = clock_mono_ns();
    if (due > now) clock_advance(due - now);
    loop_run_timers(l);
    if (loop_settle(l)) return -1;
  }
  clock_advance(until - clock_mono_ns());
  return loop_settle(l);
}

/* --- steps ----------------------------------------------------------------------------------------- */

void loop_defer(struct loop *l, struct defer *d) {
  if (d->pending) return;
  d->pending = 1;
  d->next = NULL;
  *l->step_tail = d;
  l->step_tail = &d->next;
}

void loop_cancel(struct loop *l, struct defer *d) {
  if (!d->pending) return;
  for (struct defer **p = &l->step_head; *p; p = &(*p)->next)
    if (*p == d) {
      *p = d->next;
      if (!d->next) l->step_tail = p;
      break;
    }
  d->pending = 0;
}

static void run_steps(struct loop *l) {
  /* Steps that steps add run too, but one full I/O round comes after a bounded number, so that nobody starves. */
  for (int left = 10000; l->step_head && left > 0; left--) {
    struct defer *d = l->step_head;
    l->step_head = d->next;
    if (!l->step_head) l->step_tail = &l->step_head;
    d->pending = 0;
    d->fn(d->arg);
  }
}

/* --- posts from other threads: a lock-free stack, taken whole and reversed -------------------------- */

static void run_posts(struct loop *l) {
  if (atomic_load_explicit(&l->inbox, memory_order_relaxed) == NULL) return;
  struct post *p = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire), *in_order = NULL;
  while (p) {
    struct post *next = p->next;
    p->next = in_order;
    in_order = p;
    p = next;
  }
  while (in_order) {
    p = in_order;
    in_order = p->next;
    weir_fn_f *fn = p->fn;
    void *arg = p->arg;
    if (!p->embedded) free(p);
    atomic_fetch_sub_explicit(&l->inbox_n, 1, memory_order_relaxed);
    fn(arg);
  }
}

static void put_post(struct loop *l, struct post *p) {
  atomic_fetch_add_explicit(&l->inbox_n, 1, memory_order_relaxed);
  struct post *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);
  do p->next = head;
  while (!atomic_compare_exchange_weak_explicit(&l->inbox, &head, p, memory_order_release, memory_order_relaxed));
  if (!head) uv_async_send(&l->wake); /* a non-empty inbox has its wake-up under way already */
}

void loop_post(struct loop *l, weir_fn_f *fn, void *arg) {
  struct post *p = malloc(sizeof *p);
  WEIR_ASSERT(p != NULL);
  *p = (struct post){ .fn = fn, .arg = arg };
  put_post(l, p);
}

void loop_post_embedded(struct loop *l, struct post *p) {
  p->embedded = 1;
  put_post(l, p);
}

int loop_post_bounded(struct loop *l, weir_fn_f *fn, void *arg) {
  if (atomic_load_explicit(&l->inbox_n, memory_order_relaxed) >= LOOP_INBOX_MAX) return WEIR_E_LIMIT;
  loop_post(l, fn, arg);
  return 0;
}

struct call {
  weir_fn_f *fn;
  void *arg;
  pthread_mutex_t lock;
  pthread_cond_t cond;
  int done;
};

static void call_run(void *arg) {
  struct call *c = arg;
  c->fn(c->arg);
  pthread_mutex_lock(&c->lock);
  c->done = 1;
  pthread_cond_signal(&c->cond);
  pthread_mutex_unlock(&c->lock);
}

void loop_call(struct loop *l, weir_fn_f *fn, void *arg) {
  if (!atomic_load(&l->running) || current == l) {
    fn(arg);
    return;
  }
  struct call c = { fn, arg, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };
  loop_post(l, call_run, &c);
  pthread_mutex_lock(&c.lock);
  while (!c.done) pthread_cond_wait(&c.cond, &c.lock);
  pthread_mutex_unlock(&c.lock);
  pthread_mutex_destroy(&c.lock);
  pthread_cond_destroy(&c.cond);
}

/* --- the loop itself --------------------------------------------------------------------------------- */

static void on_wake(uv_async_t *h) { run_posts(h->data); }

static void on_tick(uv_timer_t *h) { (void)h; /* waking was its purpose: after_wait runs what is due */ }

static void on_idle(uv_idle_t *h) { (void)h; /* keeps the poll from waiting while steps are left */ }

static void on_after_wait(uv_check_t *h) {
  struct loop *l = h->data;
  run_posts(l);
  loop_run_timers(l);
  run_steps(l);
  if (atomic_load_explicit(&l->stopping, memory_order_relaxed)) uv_stop(&l->uv);
}

static void on_before_wait(uv_prepare_t *h) {
  struct loop *l = h->data;
  run_steps(l);
  if (l->step_head || atomic_load_explicit(&l->stopping, memory_order_relaxed)) {
    uv_idle_start(&l->dont_wait, on_idle);
    return;
  }
  uv_idle_stop(&l->dont_wait);
  if (!l->n_heap) {
    uv_timer_stop(&l->tick);
    return;
  }
  int64_t wait_ns = l->heap[1]->due_ns - clock_mono_ns();
  uint64_t ms = wait_ns <= 0 ? 0 : (uint64_t)((wait_ns + NS_PER_MS - 1) / NS_PER_MS);
  uv_update_time(&l->uv);
  uv_timer_start(&l->tick, on_tick, ms, 0);
}

static void on_trim(void *arg) {
  struct loop *l = arg;
  pool_trim(l->pool);
  timer_set(l, &l->trim, TRIM_EVERY_NS);
}

int loop_init(struct loop *l, uint32_t id, struct env *env, struct weir_error *err) {
  memset(l, 0, sizeof *l);
  int r = uv_loop_init(&l->uv);
  if (r) return weir_fail(err, WEIR_E_IO, "cannot make an event loop: %s", uv_strerror(r));
  l->magic = LOOP_MAGIC;
  l->id = id;
  l->env = env;
  l->step_tail = &l->step_head;
  l->read_buf = malloc(LOOP_READ_BUF);
  WEIR_ASSERT(l->read_buf != NULL);
  l->pool = pool_new(env ? &env->budget : NULL);
  uv_async_init(&l->uv, &l->wake, on_wake);
  uv_timer_init(&l->uv, &l->tick);
  uv_prepare_init(&l->uv, &l->before_wait);
  uv_check_init(&l->uv, &l->after_wait);
  uv_idle_init(&l->uv, &l->dont_wait);
  l->wake.data = l->tick.data = l->before_wait.data = l->after_wait.data = l->dont_wait.data = l;
  uv_prepare_start(&l->before_wait, on_before_wait);
  uv_check_start(&l->after_wait, on_after_wait);
  l->trim.fn = on_trim;
  l->trim.arg = l;
  timer_set(l, &l->trim, TRIM_EVERY_NS);
  return 0;
}

static void close_own_handles(struct loop *l) {
  uv_handle_t *own[] = { (uv_handle_t *)&l->wake, (uv_handle_t *)&l->tick, (uv_handle_t *)&l->before_wait, (uv_handle_t *)&l->after_wait,
    (uv_handle_t *)&l->dont_wait };
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) uv_close(own[i], NULL);
}

void loop_done(struct loop *l) {
  CHECK_MAGIC(l, LOOP_MAGIC);
  struct loop *before = current;
  current = l;
  pool_adopt(l->pool);
  run_posts(l);
  run_steps(l);
  close_own_handles(l);
  struct timespec pause = { 0, 1000000 };
  for (int i = 0; i < 2000; i++) { /* bounded: a handle that somebody forgot to close is a bug to show, not a hang */
    uv_run(&l->uv, UV_RUN_NOWAIT);
    run_posts(l);
    run_steps(l);
    if (!uv_loop_alive(&l->uv)) break;
    nanosleep(&pause, NULL);
  }
  WEIR_ASSERT(uv_loop_close(&l->uv) == 0);
  compress_thread_done();
  pool_free(l->pool);
  free(l->heap);
  free(l->read_buf);
  tls_scratch_free(l->tls);
  l->magic = 0;
  current = before == l ? NULL : before;
}

void loop_run(struct loop *l) {
  CHECK_MAGIC(l, LOOP_MAGIC);
  struct loop *before = current;
  current = l;
  pool_adopt(l->pool);
  atomic_store(&l->running, 1);
  uv_run(&l->uv, UV_RUN_DEFAULT);
  run_posts(l);
  run_steps(l);
  compress_thread_done();
  atomic_store(&l->running, 0);
  current = before;
}

void loop_run_once(struct loop *l) {
  CHECK_MAGIC(l, LOOP_MAGIC);
  struct loop *before = current;
  current = l;
  pool_adopt(l->pool);
  uv_run(&l->uv, UV_RUN_NOWAIT);
  run_posts(l);
  loop_run_timers(l);
  run_steps(l);
  current = before;
}

void loop_stop(struct loop *l) {
  atomic_store(&l->stopping, 1);
  uv_async_send(&l->wake);
}

static void *thread_main(void *arg) {
  loop_run(arg);
  return NULL;
}

int loop_start_thread(struct loop *l, struct weir_error *err) {
  atomic_store(&l->running, 1); /* from here on loop_call posts */
  int r = pthread_create(&l->thread, NULL, thread_main, l);
  if (r) {
    atomic_store(&l->running, 0);
    return weir_fail(err, WEIR_E_IO, "cannot start lane %u: %s", l->id, strerror(r));
  }
  char name[16];
  snprintf(name, sizeof name, "weir-lane-%u", l->id);
  pthread_setname_np(l->thread, name);
  return 0;
}

void loop_join(struct loop *l) { pthread_join(l->thread, NULL); }
