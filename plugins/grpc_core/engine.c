/*
 * plugins/grpc_core/engine.c - gRPC C-core as an engine: the completion queue, its threads, the ports of the lanes, the table.
 */
#include "plugins/grpc_core/engine.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <grpc/support/log.h>
#include <openssl/crypto.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"

#define EXIT_WAIT_S 2 /* at exit, for threads that end */
#define JOIN_WAIT_S 1 /* for one that has finished, before the next is started: in practice microseconds */

const struct grpc_host *grpc_host;

/* The engine's lock; runs and ports hang on it, and nothing slow happens under it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static struct run *current;
static struct port *ports;
static int n_runs; /* with those that are ending */
static int n_pollers;
static struct poller *finished; /* to be joined */

/* --- the queue ----------------------------------------------------------------------------------------- */

void tag_arm(struct tag *t, void (*fn)(struct tag *, int ok)) {
  t->fn = fn;
  atomic_store_explicit(&t->armed, 1, memory_order_release);
}

/* Threads that are started inside take no signals: those are the program's. */
static void block_signals(sigset_t *ret_before) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, ret_before);
}

static void restore_signals(const sigset_t *before) { pthread_sigmask(SIG_SETMASK, before, NULL); }

struct run *run_hold(void) {
  pthread_mutex_lock(&lock);
  if (!current) {
    sigset_t before;
    struct run *r = calloc(1, sizeof *r);
    WEIR_ASSERT(r != NULL);
    block_signals(&before);
    grpc_init();
    r->cq = grpc_completion_queue_create_for_next(NULL);
    restore_signals(&before);
    current = r;
    n_runs++;
  }
  struct run *r = current;
  r->refs++;
  pthread_mutex_unlock(&lock);
  return r;
}

void run_ref(struct run *r) {
  pthread_mutex_lock(&lock);
  r->refs++;
  pthread_mutex_unlock(&lock);
}

/* The queue is shut down and empty, and no thread polls it. */
static void run_free(struct run *r) {
  grpc_completion_queue_destroy(r->cq);
  grpc_shutdown();
  free(r);
  pthread_mutex_lock(&lock);
  n_runs--;
  pthread_cond_broadcast(&ended);
  pthread_mutex_unlock(&lock);
}

static void poll_queue(struct run *r) {
  for (;;) {
    grpc_event e = grpc_completion_queue_next(r->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    if (e.type == GRPC_QUEUE_SHUTDOWN) return;
    struct tag *t = e.tag;
    WEIR_ASSERT(e.type == GRPC_OP_COMPLETE && atomic_load_explicit(&t->armed, memory_order_acquire));
    t->fn(t, e.success);
  }
}

void run_release(struct run *r) {
  pthread_mutex_lock(&lock);
  int last = --r->refs == 0, threads = (int)r->threads;
  grpc_completion_queue *cq = r->cq;
  if (last && current == r) current = NULL;
  pthread_mutex_unlock(&lock);
  if (!last) return;
  grpc_completion_queue_shutdown(cq);
  if (threads) return; /* the last of them frees it, and may have done so already */
  poll_queue(r);
  run_free(r);
}

static struct timespec in_seconds(int s) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_sec += s;
  return t;
}

/* Finished threads have no more to do than the C library and OpenSSL do for each that ends. */
static void join_finished(const struct timespec *until) {
  pthread_mutex_lock(&lock);
  struct poller *list = finished;
  finished = NULL;
  pthread_mutex_unlock(&lock);
  while (list) {
    struct poller *p = list;
    list = p->next;
    if (pthread_timedjoin_np(p->thread, NULL, until)) pthread_detach(p->thread);
    free(p);
  }
}

static void *poll_main(void *arg) {
  struct poller *p = arg;
  struct run *r = p->run;
  poll_queue(r);
  pthread_mutex_lock(&lock);
  int last = --r->threads == 0;
  pthread_mutex_unlock(&lock);
  if (last) run_free(r);
  pthread_mutex_lock(&lock);
  p->thread = pthread_self();
  p->next = finished;
  finished = p;
  n_pollers--;
  pthread_cond_broadcast(&ended);
  pthread_mutex_unlock(&lock);
  return NULL;
}

static void count_thread(struct run *r, int n) {
  pthread_mutex_lock(&lock);
  r->threads += (uint32_t)n;
  n_pollers += n;
  pthread_mutex_unlock(&lock);
}

static int start_thread(struct run *r, uint32_t lane, struct weir_error *err) {
  struct timespec until = in_seconds(JOIN_WAIT_S);
  sigset_t before;
  pthread_t thread;
  char name[16];
  join_finished(&until);
  struct poller *p = calloc(1, sizeof *p);
  WEIR_ASSERT(p != NULL);
  p->run = r;
  count_thread(r, 1);
  block_signals(&before);
  int e = pthread_create(&thread, NULL, poll_main, p);
  restore_signals(&before);
  if (e) {
    count_thread(r, -1);
    free(p);
    return weir_fail(err, WEIR_E_IO, "cannot start the polling thread of the gRPC engine: %s", strerror(e));
  }
  snprintf(name, sizeof name, "weir-grpc-%u", lane == UINT32_MAX ? 0 : lane % 1000);
  pthread_setname_np(thread, name);
  return 0;
}

/* --- ports --------------------------------------------------------------------------------------------- */

static void port_free(struct port *p) {
  run_release(p->run);
  pthread_mutex_destroy(&p->lock);
  free(p);
}

void port_ref(struct port *p) { atomic_fetch_add(&p->refs, 1); }

void port_unref(struct port *p) {
  if (atomic_fetch_sub(&p->refs, 1) == 1) port_free(p);
}

int port_open(struct loop *loop, struct port **ret, struct weir_error *err) {
  struct port *p;
  pthread_mutex_lock(&lock);
  for (p = ports; p && p->loop != loop; p = p->next) continue;
  if (p) {
    p->users++;
    atomic_fetch_add(&p->refs, 1);
  }
  pthread_mutex_unlock(&lock);
  *ret = p;
  if (p) return 0;
  struct run *r = run_hold(); /* only this lane makes its port: nobody came in between */
  if (start_thread(r, loop->id, err)) {
    run_release(r);
    return WEIR_E_IO;
  }
  p = *ret = calloc(1, sizeof *p);
  WEIR_ASSERT(p != NULL);
  p->loop = loop;
  p->run = r;
  p->users = 1;
  atomic_init(&p->refs, 1);
  p->tail = &p->head;
  pthread_mutex_init(&p->lock, NULL);
  pthread_mutex_lock(&lock);
  p->next = ports;
  ports = p;
  pthread_mutex_unlock(&lock);
  return 0;
}

static struct job *take_jobs(struct port *p, int *flag, int value) {
  pthread_mutex_lock(&p->lock);
  struct job *list = p->head;
  p->head = NULL;
  p->tail = &p->head;
  *flag = value;
  pthread_mutex_unlock(&p->lock);
  return list;
}

static void run_jobs(struct job *list) {
  while (list) {
    struct job *j = list;
    list = j->next;
    j->fn(j);
  }
}

/* The step on the lane that stands for all jobs that wait. */
static void port_run(void *arg) {
  struct port *p = arg;
  run_jobs(take_jobs(p, &p->posted, 0));
  port_unref(p);
}

int port_push(struct port *p, struct job *j) {
  pthread_mutex_lock(&p->lock);
  int taken = !p->closed, post = taken && !p->posted;
  if (taken) {
    j->next = NULL;
    *p->tail = j;
    p->tail = &j->next;
    p->posted = 1;
  }
  if (post) {
    port_ref(p);
    loop_post(p->loop, port_run, p); /* under the lock: after port_close the loop may be gone */
  }
  pthread_mutex_unlock(&p->lock);
  return taken;
}

void port_close(struct port *p) {
  pthread_mutex_lock(&lock);
  int last = --p->users == 0;
  for (struct port **at = &ports; last && *at; at = &(*at)->next)
    if (*at == p) {
      *at = p->next;
      break;
    }
  pthread_mutex_unlock(&lock);
  if (last) run_jobs(take_jobs(p, &p->closed, 1));
  port_unref(p);
}

/* --- the table ------------------------------------------------------------------------------------------ */

const struct grpc_engine grpc_core = {
  .name = "core",
  .listen = core_listen,
  .port = core_port,
  .drain = core_drain,
  .close = core_close,
  .body_take = core_body_take,
  .reply = core_reply,
  .client_open = core_client_open,
  .client_close = core_client_close,
  .call = core_call,
  .call_with = core_call_with,
  .tls_check = core_tls_check,
};

/* gRPC's own log: its errors are told by the calls they end, so that here they are for who looks closely. GRPC_VERBOSITY rules what comes. Of a server's
 * handshakes that failed nobody else would hear. */
static void on_grpc_log(gpr_log_func_args *a) {
  if (!strncmp(a->message, "Handshake failed", 16)) log_warn("grpc_core", "no TLS connection: %s", a->message);
  else log_debug("grpc_core", "%s", a->message);
}

/* Threads that are ending when the program does would meet gRPC's destructors, and leave what OpenSSL has for each (random numbers, errors). */
static void wait_at_exit(void) {
  struct timespec until = in_seconds(EXIT_WAIT_S);
  pthread_mutex_lock(&lock);
  while ((n_runs || n_pollers) && pthread_cond_timedwait(&ended, &lock, &until) == 0) continue;
  pthread_mutex_unlock(&lock);
  join_finished(&until);
}

__attribute__((visibility("default"))) grpc_core_init_f weir_grpc_core_init;

int weir_grpc_core_init(const struct grpc_host *host, const struct grpc_engine **ret, struct weir_error *err) {
  if (host->size != sizeof *host || host->loop_size != sizeof(struct loop) || strcmp(host->version, WEIR_VERSION) != 0) {
    weir_fail(err, WEIR_E_UNSUPPORTED, "engines/grpc_core.so is of another build (" WEIR_VERSION ") than this program");
    weir_hint(err, "install both from one build");
    return WEIR_E_UNSUPPORTED;
  }
  grpc_host = host;
  gpr_set_log_function(on_grpc_log);
  /* OpenSSL registers its exit handler now (without an option it would not), so that ours runs first: threads that end behind it cannot give back what it has for them. */
  OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
  atexit(wait_at_exit);
  *ret = &grpc_core;
  return 0;
}
