/* The host table, the life of an instance, and its counters: in = out + refused + dropped(reason) + held, in items. */
#include "plugins/host.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/auth.h>
#include <weir/health.h>
#include <weir/storage.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "plugins/host_services.h"

/* --- health -------------------------------------------------------------------------------------------------- */

static _Atomic int health;
static _Atomic int troubles; /* that may pass */
static _Atomic int64_t ready_since_ns;

void host_set_health(int state) {
  if (state == WEIR_HEALTH_READY) atomic_store(&ready_since_ns, clock_unix_ns());
  atomic_store(&health, state);
}

void host_trouble(int begins) { atomic_fetch_add(&troubles, begins ? 1 : -1); }

int host_health(void) {
  int state = atomic_load(&health);
  return state == WEIR_HEALTH_READY && atomic_load(&troubles) ? WEIR_HEALTH_FAILED : state;
}

int64_t host_ready_since(void) { return atomic_load(&ready_since_ns); }

/* --- counters -------------------------------------------------------------------------------------------------- */

static const char *signal_name(uint32_t signal) {
  return signal == WEIR_TRACES ? "traces" : signal == WEIR_METRICS ? "metrics" : signal == WEIR_LOGS ? "logs" : "all";
}

static void make_labels(const struct weir_stage *s, const char *reason, char *buf, size_t cap) {
  char id[160], pipeline[160];
  snprintf(buf, cap, "stage=\"%s/%s\",pipeline=\"%s\",signal=\"%s\"%s%s%s", role_name(s->entry->type.role), metrics_escape(s->id, id, sizeof id),
    metrics_escape(s->pipeline ? s->pipeline : "", pipeline, sizeof pipeline), signal_name(s->signal), reason ? ",reason=\"" : "", reason ? reason : "",
    reason ? "\"" : "");
}

static void open_counts(struct weir_stage *s) {
  struct metrics *m = s->loop->env->metrics;
  char labels[512];
  if (!m || s->entry->type.role == WEIR_EXTENSION) return;
  make_labels(s, NULL, labels, sizeof labels);
  s->counts.in = metrics_cell(m, METRIC_COUNTER, "weir_stage_items_in_total", labels, "Items that a stage took (receivers: made).", NULL, 0);
  s->counts.out = metrics_cell(m, METRIC_COUNTER, "weir_stage_items_out_total", labels, "Items that a stage passed on (exporters: delivered).", NULL, 0);
  s->counts.refused = metrics_cell(m, METRIC_COUNTER, "weir_stage_items_refused_total", labels, "Items that a stage gave back to whoever sent them.", NULL, 0);
  s->counts.held = metrics_cell(m, METRIC_GAUGE, "weir_stage_items_held", labels, "Items that are in a stage now.", NULL, 0);
}

static void close_counts(struct weir_stage *s) {
  struct metrics *m = s->loop->env->metrics;
  if (!m) return;
  metrics_release(m, s->counts.in);
  metrics_release(m, s->counts.out);
  metrics_release(m, s->counts.refused);
  metrics_release(m, s->counts.held);
  memset(&s->counts, 0, sizeof s->counts);
  for (struct stage_drop *d = s->drops, *next; d; d = next) {
    next = d->next;
    metrics_release(m, d->cell);
    free(d);
  }
  s->drops = NULL;
  for (size_t i = 0; i < s->n_cells; i++) metrics_release(m, s->cells[i]);
  free(s->cells);
  s->cells = NULL;
  s->n_cells = s->cap_cells = 0;
}

static void count_in(struct weir_stage *s, uint64_t n) {
  if (!s->counts.in) return;
  metric_add_own(s->counts.in, (int64_t)n);
  metric_add_own(s->counts.held, (int64_t)n);
}

static void count_away(struct weir_stage *s, struct weir_cell *to, uint64_t n) {
  if (!s->counts.in) return;
  metric_add_own(to, (int64_t)n);
  metric_add_own(s->counts.held, -(int64_t)n);
}

static void count_dropped(struct weir_stage *s, const char *reason, uint64_t n) {
  struct stage_drop *d = s->drops;
  char labels[600];
  if (!s->counts.in || !n) return;
  while (d && strcmp(d->reason, reason) != 0) d = d->next;
  if (!d) {
    d = calloc(1, sizeof *d);
    WEIR_ASSERT(d != NULL);
    make_labels(s, reason, labels, sizeof labels);
    d->reason = reason;
    d->cell = metrics_cell(s->loop->env->metrics, METRIC_COUNTER, "weir_stage_items_dropped_total", labels, "Items that a stage dropped, by reason.", NULL, 0);
    d->next = s->drops;
    s->drops = d;
  }
  count_away(s, d->cell, n);
}

/* Closed before it gave away what it held: nobody will send that. */
static void count_lost(struct weir_stage *s) {
  int64_t held = s->counts.held ? atomic_load_explicit(&s->counts.held->value, memory_order_relaxed) : 0;
  if (held > 0) count_dropped(s, "closed", (uint64_t)held);
}

/* --- the host table: batches on their way ----------------------------------------------------------------------- */

static void host_log(struct weir_stage *s, int level, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  log_vwrite(level, s->id, fmt, ap);
  va_end(ap);
}

static void host_fail(struct weir_stage *s, const struct weir_error *err, int fatal) { s->ops->fail(s, err, fatal); }

static void host_emit(struct weir_stage *s, uint32_t output, struct weir_batch *b) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  if (s->entry->type.role == WEIR_RECEIVER) count_in(s, b->items);
  count_away(s, s->counts.out, b->items);
  s->ops->emit(s, output, b);
}

static void host_done(struct weir_stage *s, struct weir_batch *b, const struct weir_verdict *v) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  uint64_t n = b->items, bad = v->code == WEIR_REJECTED && !v->rejected ? n : v->rejected < n ? v->rejected : n;
  if (v->code == WEIR_RETRY) {
    count_away(s, s->counts.refused, n);
  } else {
    count_dropped(s, v->too_large ? "too_large" : "rejected", bad);
    count_away(s, s->counts.out, n - bad);
  }
  s->ops->done(s, b, v);
}

static void host_settle(struct weir_stage *s, struct weir_batch *b, const struct weir_verdict *v) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  if (s->entry->type.role == WEIR_EXPORTER) { /* its sender still points at the batch, and waits for the outcome */
    host_done(s, b, v);
    return;
  }
  if (s->entry->type.role == WEIR_RECEIVER) count_in(s, b->items);
  count_away(s, s->counts.refused, b->items);
  batch_settle(b, v);
}

static void host_drop(struct weir_stage *s, struct weir_batch *b, const char *reason) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  if (s->entry->type.role == WEIR_RECEIVER) count_in(s, b->items);
  count_dropped(s, reason, b->items);
  s->ops->drop(s, b, reason);
}

static void host_absorb(struct weir_stage *s, struct weir_batch *b) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  struct weir_verdict v = verdict_delivered();
  batch_settle(b, &v);
}

static void host_dropped(struct weir_stage *s, uint64_t n, const char *reason) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  count_dropped(s, reason, n);
}

static void *host_shared(struct weir_stage *s) { return s->shared; }

static void host_drained(struct weir_stage *s) { loop_defer(s->loop, &s->drained_step); }

/* Who hears a verdict, and that this instance still has one to hear. */
struct stage_waiter {
  struct weir_stage *stage;
  weir_ack_f *fn;
  void *arg;
  struct stage_waiter *next; /* of the stage's recycled ones */
};

static void on_heard(void *arg, const struct weir_verdict *v) {
  struct stage_waiter *w = arg;
  struct weir_stage *s = w->stage;
  s->n_waiting--;
  w->next = s->spare_waiters;
  s->spare_waiters = w;
  w->fn(w->arg, v);
}

static void host_on_verdict(struct weir_stage *s, struct weir_batch *b, weir_ack_f *fn, void *arg) {
  struct stage_waiter *w = s->spare_waiters;
  if (w) s->spare_waiters = w->next;
  else w = malloc(sizeof *w);
  WEIR_ASSERT(w != NULL);
  *w = (struct stage_waiter){ s, fn, arg, NULL };
  s->n_waiting++;
  batch_on_verdict(b, on_heard, w);
}

static void free_waiters(struct weir_stage *s) {
  for (struct stage_waiter *w = s->spare_waiters, *next; w; w = next) {
    next = w->next;
    free(w);
  }
  s->spare_waiters = NULL;
}

static void host_merge(struct weir_stage *s, struct weir_batch *into, struct weir_batch *from) {
  if (s->downstream_need < WEIR_NEED_RECORDS) batch_seal(from); /* they will wait for others */
  batch_merge(into, from, !s->ack_delivered);
}

static struct weir_batch *host_batch_new(struct weir_stage *s, uint32_t signal) {
  struct weir_batch *b = batch_new(s->loop, signal);
  b->ack_delivered = s->ack_delivered;
  return b;
}

static struct weir_batch *host_split(struct weir_stage *s, struct weir_batch *b, uint64_t items) {
  (void)s;
  return batch_split(b, items);
}

static uint32_t host_batch_signal(const struct weir_batch *b) { return b->signal; }
static uint64_t host_batch_items(const struct weir_batch *b) { return b->items; }
static int64_t host_batch_deadline(const struct weir_batch *b) { return b->deadline_ns; }

static int host_post(struct weir_stage *s, weir_fn_f *fn, void *arg) { return loop_post_bounded(s->loop, fn, arg); }

static const char *host_stage_id(const struct weir_stage *s) { return s->id; }
static uint32_t host_stage_signal(const struct weir_stage *s) { return s->entry->type.role == WEIR_CONNECTOR ? s->out_signal : s->signal; }
static uint32_t host_stage_lane(const struct weir_stage *s) { return s->lane; }
static uint32_t host_stage_lanes(const struct weir_stage *s) { return s->lanes; }

/* --- the host table: contexts and extensions ---------------------------------------------------------------------------- */

static int host_context_new(struct weir_stage *s, const struct weir_context *what, const struct weir_context **ret, struct weir_error *err) {
  return context_new(s->loop->pool, what, ret, err);
}

static const struct weir_context *host_batch_context(const struct weir_batch *b) { return b->context; }

static const char *service_in_words(const char *service) {
  if (!strcmp(service, WEIR_AUTH_SERVER_SERVICE)) return "server authentication";
  if (!strcmp(service, WEIR_AUTH_CLIENT_SERVICE)) return "client authentication";
  return strcmp(service, WEIR_STORAGE_SERVICE) ? service : "storage";
}

static void hint_offers(const char *service, struct weir_error *err) {
  if (!strcmp(service, WEIR_AUTH_SERVER_SERVICE)) weir_hint(err, "basicauth with `htpasswd` and bearertokenauth do");
  if (!strcmp(service, WEIR_AUTH_CLIENT_SERVICE)) weir_hint(err, "basicauth with `client_auth`, bearertokenauth and headers_setter do");
  if (!strcmp(service, WEIR_STORAGE_SERVICE)) weir_hint(err, "file_storage does");
}

static const void *host_extension(struct weir_stage *s, const char *id, const char *service, void **ret_self, struct weir_error *err) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  if (!s->ops->extension) {
    weir_fail(err, WEIR_E_UNSUPPORTED, "there are no extensions here, so `%s` is not one", id);
    return NULL;
  }
  struct weir_stage *e = s->ops->extension(s, id, err);
  if (!e) return NULL;
  const void *offered = e->entry->type.offer ? e->entry->type.offer(e->self, service) : NULL;
  if (!offered) {
    weir_fail(err, WEIR_E_CONFIG, "extension `%s` offers no %s", id, service_in_words(service));
    hint_offers(service, err);
  }
  *ret_self = e->self;
  return offered;
}

static const struct weir_host table = {
  .size = sizeof table,
  .abi_minor = WEIR_ABI_MINOR,
  .log = host_log,
  .fail = host_fail,
  .emit = host_emit,
  .done = host_done,
  .settle = host_settle,
  .drop = host_drop,
  .drained = host_drained,
  .on_verdict = host_on_verdict,
  .merge = host_merge,
  .batch_new = host_batch_new,
  .split = host_split,
  .batch_signal = host_batch_signal,
  .batch_items = host_batch_items,
  .batch_bytes = batch_bytes,
  .batch_read = batch_read,
  .batch_write = batch_write,
  .batch_alloc = batch_alloc,
  .attr_set = batch_attr_set,
  .attr_delete = batch_attr_delete,
  .touch = batch_touch,
  .batch_deadline_ns = host_batch_deadline,
  .service = host_service,
  .post = host_post,
  .now_mono_ns = clock_mono_ns,
  .now_unix_ns = clock_unix_ns,
  .stage_id = host_stage_id,
  .stage_signal = host_stage_signal,
  .stage_lane = host_stage_lane,
  .stage_lanes = host_stage_lanes,
  .context_new = host_context_new,
  .context_ref = context_ref,
  .context_unref = context_unref,
  .batch_context = host_batch_context,
  .batch_set_context = batch_set_context,
  .extension = host_extension,
  .shared = host_shared,
  .absorb = host_absorb,
  .dropped = host_dropped,
};

const struct weir_host *host_table(void) { return &table; }

/* --- the life of an instance ---------------------------------------------------------------------------------------- */

static void tell_drained(void *arg) {
  struct weir_stage *s = arg;
  s->ops->drained(s);
}

int stage_open(struct weir_stage *s, struct weir_error *err) {
  WEIR_ASSERT(s->entry && s->id && s->loop && s->ops);
  s->magic = STAGE_MAGIC;
  s->state = STAGE_CLOSED;
  s->drained_step.fn = tell_drained;
  s->drained_step.arg = s;
  open_counts(s);
  int r = s->entry->type.open(&table, s, s->config, &s->self, err);
  if (r) {
    close_counts(s);
    return r;
  }
  s->state = STAGE_OPEN;
  return 0;
}

int stage_start(struct weir_stage *s, struct weir_error *err) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  WEIR_ASSERT(s->state == STAGE_OPEN);
  int r = s->entry->type.start ? s->entry->type.start(s->self, err) : 0;
  if (!r) s->state = STAGE_STARTED;
  return r;
}

static void wait_for_adopt(struct weir_stage *s, struct weir_batch *b) {
  b->reserved = 0; /* what is reserved is for this step */
  b->next = NULL;
  *s->early_end = b;
  s->early_end = &b->next;
}

void stage_consume(struct weir_stage *s, struct weir_batch *b) {
  while (s->heir) s = s->heir;
  if (s->adopts) {
    wait_for_adopt(s, b);
    return;
  }
  WEIR_ASSERT(s->state == STAGE_STARTED || s->state == STAGE_DRAINING);
  count_in(s, b->items);
  s->entry->type.consume(s->self, b);
}

void stage_drain(struct weir_stage *s) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  int running = s->state == STAGE_STARTED;
  s->state = STAGE_DRAINING;
  if (running && s->entry->type.drain) s->entry->type.drain(s->self);
  else loop_defer(s->loop, &s->drained_step);
}

void stage_close(struct weir_stage *s) {
  if (s->magic != STAGE_MAGIC || s->state == STAGE_CLOSED) return;
  s->state = STAGE_CLOSED;
  loop_cancel(s->loop, &s->drained_step);
  s->entry->type.close(s->self);
  s->self = NULL;
  if (s->entry->type.role == WEIR_PROCESSOR || s->entry->type.role == WEIR_CONNECTOR) count_lost(s);
  free_waiters(s);
  close_counts(s);
}

/* --- state that outlives an instance -------------------------------------------------------------------------------------- */

void stage_expect(struct weir_stage *s, struct weir_stage *from) {
  s->adopts = from;
  s->early = NULL;
  s->early_end = &s->early;
}

static void take_early(struct weir_stage *s) {
  struct weir_batch *b = s->early;
  s->adopts = NULL;
  s->early = NULL;
  for (struct weir_batch *next; b; b = next) {
    struct weir_verdict v = verdict_retry(0, "the stage did not start");
    next = b->next;
    b->next = NULL;
    if (s->state == STAGE_STARTED || s->state == STAGE_DRAINING) stage_consume(s, b);
    else batch_settle(b, &v);
  }
}

static void move_held(struct weir_stage *to, struct weir_stage *from) {
  if (!from->counts.held || !to->counts.held) return;
  int64_t held = atomic_load_explicit(&from->counts.held->value, memory_order_relaxed);
  metric_add_own(from->counts.held, -held);
  metric_add_own(to->counts.held, held);
}

void stage_adopt(struct weir_stage *s) {
  struct weir_stage *from = s->adopts;
  if (!from) return;
  CHECK_MAGIC(s, STAGE_MAGIC);
  if (s->state == STAGE_STARTED && from->state == STAGE_STARTED) {
    s->entry->type.adopt(s->self, from->self);
    move_held(s, from);
    from->heir = s;
  }
  take_early(s);
}

void stage_adopt_none(struct weir_stage *s) {
  if (s->adopts) take_early(s);
}

/* --- questions ---------------------------------------------------------------------------------------------------------- */

int stage_inspect(struct weir_stage *s, const char *question, struct weir_answer *answer) {
  if (!s->entry->type.inspect || (s->state != STAGE_STARTED && s->state != STAGE_DRAINING)) return 0;
  return s->entry->type.inspect(s->self, question, answer);
}
