#include <inttypes.h>
#include <stdio.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/disk.h"
#include "pipelines/run_internal.h"
#include "pipelines/sender.h"

/*
 * The drain: readiness turns 503, the grace passes while everything still serves, receivers stop, then processors and connectors send on what they
 * hold in the order of the data, then senders empty their queues, then extensions. What a reload replaced ends beside all that. service.drain.timeout bounds it all after the grace.
 */

#define LOGGER "weir"
#define PHASE_GRACE 1
#define PHASE_RECEIVERS 2
#define PHASE_MIDDLE 3
#define PHASE_EXPORTERS 4
#define PHASE_EXTENSIONS 5
#define PHASE_RETIRED 6
#define PHASE_OVER 7

static void next_phase(struct run *r);

/* --- what is counted ------------------------------------------------------------------------------------------ */

static void count_senders(const struct run *r, uint64_t *ret_sent, uint64_t *ret_lost) {
  *ret_sent = *ret_lost = 0;
  for (size_t i = 0; i < r->graph->n_sites; i++) {
    const struct sender *s = r->graph->sites[i]->sender;
    if (!s) continue;
    *ret_sent += sender_items_sent(s);
    *ret_lost += sender_items_lost(s);
  }
  retire_count(&r->retirement, ret_sent, ret_lost);
}

static int64_t value_of(const struct weir_cell *c) { return c ? atomic_load_explicit(&c->value, memory_order_relaxed) : 0; }

/* Items that stages hold which answered for them already: nobody will send them again. */
static uint64_t held_items(const struct run *r) {
  int64_t held = 0;
  for (size_t i = 0; i < r->graph->n_sites; i++) {
    const struct site *s = r->graph->sites[i];
    if (s->role != WEIR_PROCESSOR && s->role != WEIR_CONNECTOR) continue;
    for (uint32_t k = 0; k < s->n_nodes; k++)
      if (!s->nodes[k].stage.ack_delivered) held += value_of(s->nodes[k].stage.counts.held);
  }
  return held > 0 ? (uint64_t)held : 0;
}

void drain_report(struct run *r) {
  uint64_t sent, lost;
  count_senders(r, &sent, &lost);
  sent -= r->drain.sent_before;
  lost = lost - r->drain.lost_before + r->drain.held_lost;
  uint64_t on_disk;
  char left[64] = "";
  if (disks_items(r->env.disks, &on_disk)) snprintf(left, sizeof left, ", %" PRIu64 " left on disk", on_disk);
  double s = (double)(clock_mono_ns() - r->drain.began_ns) / 1e9;
  if (lost)
    log_warn(LOGGER, "drained: %" PRIu64 " items sent, %" PRIu64 " lost%s in %.1f s", sent, lost, left, s);
  else
    log_info(LOGGER, "drained: %" PRIu64 " items sent, 0 lost%s in %.1f s", sent, left, s);
}

/* --- the phases ------------------------------------------------------------------------------------------------- */

static int is_middle(const struct site *s) { return s->role == WEIR_PROCESSOR || s->role == WEIR_CONNECTOR; }

/* All sites of a role at once. Returns how many. */
static size_t drain_role(struct run *r, uint32_t role) {
  struct graph *g = r->graph;
  for (size_t i = 0; i < g->n_sites; i++)
    if (g->sites[i]->role == role) r->drain.left++;
  size_t n = r->drain.left;
  for (size_t i = 0; i < g->n_sites; i++)
    if (g->sites[i]->role == role) graph_drain_site(g, g->sites[i]);
  return n;
}

/* One by one, producers first: the sites stand consumers first. Returns 0 when there are no more. */
static size_t drain_next_middle(struct run *r) {
  struct graph *g = r->graph;
  while (r->drain.next_site > 0) {
    struct site *s = g->sites[--r->drain.next_site];
    if (!is_middle(s)) continue;
    r->drain.left = 1;
    graph_drain_site(g, s);
    return 1;
  }
  return 0;
}

static void over(struct run *r) {
  timer_cancel(&r->control, &r->drain.timer);
  r->drain.phase = PHASE_OVER;
  loop_stop(&r->control);
}

static void too_late(void *arg) {
  struct run *r = arg;
  if (r->drain.phase == PHASE_OVER) return;
  r->drain.held_lost = held_items(r);
  log_warn(LOGGER, "drain: service.drain.timeout has passed, what is left is given up");
  over(r);
}

/* Half of the time is for the queues: a receiver whose request waits for a dead back end, or a stage that is stuck, must not keep the others' data back. */
static void half_time(void *arg) {
  struct run *r = arg;
  r->drain.timer.fn = too_late;
  timer_set(&r->control, &r->drain.timer, r->config->drain_timeout_ns - r->config->drain_timeout_ns / 2);
  while (r->drain.phase == PHASE_RECEIVERS || r->drain.phase == PHASE_MIDDLE) next_phase(r);
}

static void grace_is_over(void *arg) {
  struct run *r = arg;
  r->drain.timer.fn = half_time;
  timer_set(&r->control, &r->drain.timer, r->config->drain_timeout_ns / 2);
  retire_hurry(&r->retirement, r->config->drain_timeout_ns / 2);
  next_phase(r);
}

static void next_phase(struct run *r) {
  struct drain *d = &r->drain;
  d->left = 0;
  if (d->phase == PHASE_GRACE) {
    d->phase = PHASE_RECEIVERS;
    if (drain_role(r, WEIR_RECEIVER)) return;
  }
  if (d->phase == PHASE_RECEIVERS) {
    d->phase = PHASE_MIDDLE;
    d->next_site = r->graph->n_sites;
  }
  if (d->phase == PHASE_MIDDLE) {
    if (drain_next_middle(r)) return;
    d->phase = PHASE_EXPORTERS;
    if (drain_role(r, WEIR_EXPORTER)) return;
  }
  if (d->phase == PHASE_EXPORTERS) {
    d->phase = PHASE_EXTENSIONS;
    if (drain_role(r, WEIR_EXTENSION)) return;
  }
  d->phase = PHASE_RETIRED;
  if (r->retirement.first) return;
  over(r);
}

/* Whether this phase waits for the site; one of an earlier phase may come late. */
static int is_awaited(const struct run *r, const struct site *s) {
  static const uint32_t roles[] = {
    [PHASE_RECEIVERS] = WEIR_RECEIVER, [PHASE_EXPORTERS] = WEIR_EXPORTER, [PHASE_EXTENSIONS] = WEIR_EXTENSION, [PHASE_OVER] = 0
  };
  if (r->drain.phase == PHASE_MIDDLE) return s == r->graph->sites[r->drain.next_site];
  return s->role == roles[r->drain.phase];
}

void drain_progress(void *arg, struct site *s) {
  struct run *r = arg;
  if (!is_awaited(r, s) || r->drain.left == 0 || --r->drain.left > 0) return;
  next_phase(r);
}

void drain_retired(void *arg) {
  struct run *r = arg;
  if (r->drain.phase == PHASE_RETIRED) over(r);
}

void drain_begin(struct run *r) {
  struct drain *d = &r->drain;
  if (d->phase) return;
  host_set_health(WEIR_HEALTH_STOPPING);
  d->phase = PHASE_GRACE;
  d->began_ns = clock_mono_ns();
  count_senders(r, &d->sent_before, &d->lost_before);
  d->timer.arg = r;
  if (r->config->drain_grace_ns > 0) {
    d->timer.fn = grace_is_over;
    timer_set(&r->control, &d->timer, r->config->drain_grace_ns);
  } else {
    grace_is_over(r);
  }
}
