#include "pipelines/retire.h"

#include <stdlib.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/sender.h"

#define LOGGER "weir"
#define LOOK_FIRST_NS (5 * NS_PER_MS)
#define LOOK_LAST_NS (500 * NS_PER_MS)

enum phase { RECEIVERS, MIDDLE, SENDERS, EXPORTERS, EXTENSIONS, CLOSED };

struct retire {
  struct retirement *all;
  struct graph *graph;
  enum phase phase;
  size_t next_site; /* MIDDLE: sites from here on have drained */
  int64_t deadline_ns, look_ns;
  struct timer timer;
  struct retire *next;
};

/* --- looking at the lanes ---------------------------------------------------------------------------------------- */

struct look {
  struct site *site;
  uint32_t lane;
  int busy;
};

/* Whether the stage's last callback has come: all verdicts heard and, for an exporter, all requests answered. */
static int is_quiet(const struct weir_stage *s) {
  if (s->n_waiting) return 0;
  if (s->entry->type.role != WEIR_EXPORTER || !s->counts.held) return 1;
  return atomic_load_explicit(&s->counts.held->value, memory_order_relaxed) <= 0;
}

static void look_close(void *arg) {
  struct look *k = arg;
  struct weir_stage *s = &k->site->nodes[k->lane].stage;
  if (s->state == STAGE_CLOSED) return;
  k->busy = !is_quiet(s);
  if (!k->busy) stage_close(s);
}

static void look_queue(void *arg) {
  struct look *k = arg;
  k->busy = !sender_is_empty(k->site->sender_lanes[k->lane]);
}

static void hurry_queue(void *arg) {
  struct look *k = arg;
  sender_drain(k->site->sender_lanes[k->lane], NULL, NULL);
}

static void leave_disk(void *arg) {
  struct look *k = arg;
  sender_retire(k->site->sender_lanes[k->lane]);
}

/* Closes the instances of a site that can be. Returns whether all are. */
static int close_site(struct site *s) {
  int busy = 0;
  for (uint32_t i = 0; i < s->n_nodes; i++) {
    struct look k = { s, i, 0 };
    loop_call(s->nodes[i].stage.loop, look_close, &k);
    busy |= k.busy;
  }
  return !busy;
}

/* The lane with the exporter last: the others post to it what was parked there. */
static int queue_is_empty(const struct graph *g, struct site *s) {
  int busy = 0;
  for (uint32_t i = g->n_lanes; s->sender && i-- > 0 && !busy;) {
    struct look k = { s, i, 0 };
    loop_call(&g->lanes[i], look_queue, &k);
    busy = k.busy;
  }
  return !busy;
}

/* --- the phases ------------------------------------------------------------------------------------------------------ */

static int is_middle(const struct site *s) { return s->role == WEIR_PROCESSOR || s->role == WEIR_CONNECTOR; }

static int is_late(const struct retire *x) { return clock_mono_ns() >= x->deadline_ns; }

static void drain_role(struct retire *x, uint32_t role) {
  for (size_t i = 0; i < x->graph->n_sites; i++)
    if (x->graph->sites[i]->role == role) graph_drain_site(x->graph, x->graph->sites[i]);
}

static int role_has_drained(const struct retire *x, uint32_t role) {
  for (size_t i = 0; i < x->graph->n_sites; i++)
    if (x->graph->sites[i]->role == role && x->graph->sites[i]->drain_left) return 0;
  return 1;
}

static int receivers_are_closed(struct retire *x) {
  int open = 0;
  for (size_t i = 0; i < x->graph->n_sites; i++) {
    struct site *s = x->graph->sites[i];
    if (s->role == WEIR_RECEIVER && (s->drain_left == 0 || is_late(x))) open |= !close_site(s);
    else open |= s->role == WEIR_RECEIVER;
  }
  return !open;
}

static int older_ones_feed_nobody(const struct retire *x) {
  for (const struct retire *o = x->all->first; o != x; o = o->next)
    if (o->phase <= MIDDLE) return 0;
  return 1;
}

/* One site after the other, producers first: the sites stand consumers first. */
static int middle_is_closed(struct retire *x) {
  struct graph *g = x->graph;
  while (x->next_site > 0) {
    struct site *s = g->sites[x->next_site - 1];
    if (is_middle(s) && s->mark == 0) {
      s->mark = 1;
      graph_drain_site(g, s);
    }
    if (is_middle(s) && s->drain_left && !is_late(x)) return 0;
    x->next_site--;
  }
  int open = 0;
  for (size_t i = 0; i < g->n_sites; i++)
    if (is_middle(g->sites[i])) open |= !close_site(g->sites[i]);
  return !open;
}

static void begin_middle(struct retire *x) {
  x->phase = MIDDLE;
  x->next_site = x->graph->n_sites;
  for (size_t i = 0; i < x->graph->n_sites; i++) x->graph->sites[i]->mark = 0;
}

static int queues_are_empty(struct retire *x) {
  for (size_t i = 0; i < x->graph->n_sites; i++)
    if (x->graph->sites[i]->role == WEIR_EXPORTER && !queue_is_empty(x->graph, x->graph->sites[i])) return 0;
  return 1;
}

static int exporters_are_closed(struct retire *x) {
  int open = !role_has_drained(x, WEIR_EXPORTER);
  for (size_t i = 0; i < x->graph->n_sites && !open; i++)
    if (x->graph->sites[i]->role == WEIR_EXPORTER) open |= !close_site(x->graph->sites[i]);
  return !open;
}

/* What an older one still sends may ask an extension that goes with this one (host->extension). */
static int older_ones_ask_nobody(const struct retire *x) {
  int offers = 0;
  for (size_t i = 0; i < x->graph->n_sites; i++) offers |= x->graph->sites[i]->role == WEIR_EXTENSION && x->graph->sites[i]->component->entry->type.offer;
  for (const struct retire *o = x->all->first; offers && o != x; o = o->next)
    if (o->phase <= EXPORTERS) return 0;
  return 1;
}

/* 1 when a phase ended. */
static int go_on(struct retire *x) {
  switch (x->phase) {
  case RECEIVERS:
    if (!receivers_are_closed(x) || !older_ones_feed_nobody(x)) return 0;
    begin_middle(x);
    return 1;
  case MIDDLE:
    if (!middle_is_closed(x)) return 0;
    x->phase = SENDERS;
    return 1;
  case SENDERS:
    if (!queues_are_empty(x)) return 0;
    x->phase = EXPORTERS;
    drain_role(x, WEIR_EXPORTER);
    return 1;
  case EXPORTERS:
    if (!exporters_are_closed(x) || !older_ones_ask_nobody(x)) return 0;
    x->phase = EXTENSIONS;
    drain_role(x, WEIR_EXTENSION);
    return 1;
  case EXTENSIONS:
    if (!role_has_drained(x, WEIR_EXTENSION) && !is_late(x)) return 0;
    x->phase = CLOSED;
    graph_close(x->graph);
    return 0; /* what is on its way to the control loop may name a node: freed at the next look */
  default:
    return 0;
  }
}

static void count_graph(const struct graph *g, uint64_t *sent, uint64_t *lost) {
  for (size_t i = 0; i < g->n_sites; i++) {
    if (!g->sites[i]->sender) continue;
    *sent += sender_items_sent(g->sites[i]->sender);
    *lost += sender_items_lost(g->sites[i]->sender);
  }
}

/* Settings of a stage that edits stay until the end: what it put into records that still wait in a queue may be strings of its own configuration (weir/stage.h). */
static void keep_strings(struct retirement *all, struct graph *g) {
  for (size_t i = 0; i < g->n_sites; i++) {
    struct site *s = g->sites[i];
    if (!(s->component->entry->type.flags & WEIR_MUTATES)) continue;
    all->kept = realloc(all->kept, (all->n_kept + 1) * sizeof(struct config *));
    WEIR_ASSERT(all->kept != NULL);
    all->kept[all->n_kept++] = s->bound;
    s->bound = NULL;
  }
}

static void finish(struct retire *x) {
  struct retirement *all = x->all;
  struct retire **at = &all->first;
  while (*at != x) at = &(*at)->next;
  *at = x->next;
  count_graph(x->graph, &all->sent, &all->lost);
  keep_strings(all, x->graph);
  graph_free(x->graph);
  free(x);
  log_debug(LOGGER, "reload: what was replaced is closed");
  if (!all->first && all->on_empty) all->on_empty(all->arg);
}

static void look(void *arg) {
  struct retire *x = arg;
  if (x->phase == CLOSED) {
    finish(x);
    return;
  }
  while (go_on(x)) x->look_ns = LOOK_FIRST_NS;
  timer_set(x->all->control, &x->timer, x->look_ns);
  if (x->look_ns < LOOK_LAST_NS) x->look_ns += x->look_ns / 2;
}

void retire_begin(struct retirement *all, struct graph *g, int64_t timeout_ns) {
  struct retire *x = calloc(1, sizeof *x), **at = &all->first;
  WEIR_ASSERT(x != NULL);
  *x = (struct retire){ .all = all, .graph = g, .deadline_ns = clock_mono_ns() + timeout_ns, .look_ns = LOOK_FIRST_NS };
  x->timer.fn = look;
  x->timer.arg = x;
  while (*at) at = &(*at)->next;
  *at = x;
  g->on_drained = NULL;
  for (size_t i = 0; i < g->n_sites; i++)
    for (uint32_t lane = 0; g->sites[i]->sender && lane < g->n_lanes; lane++) loop_call(&g->lanes[lane], leave_disk, &(struct look){ g->sites[i], lane, 0 });
  drain_role(x, WEIR_RECEIVER);
  timer_set(all->control, &x->timer, x->look_ns);
}

void retire_hurry(struct retirement *all, int64_t timeout_ns) {
  for (struct retire *x = all->first; x; x = x->next) {
    struct graph *g = x->graph;
    int64_t deadline_ns = clock_mono_ns() + timeout_ns;
    if (deadline_ns < x->deadline_ns) x->deadline_ns = deadline_ns;
    for (size_t i = 0; i < g->n_sites; i++)
      for (uint32_t lane = 0; g->sites[i]->sender && lane < g->n_lanes; lane++) loop_call(&g->lanes[lane], hurry_queue, &(struct look){ g->sites[i], lane, 0 });
  }
}

size_t retire_stop(struct retirement *all, struct graph ***ret) {
  size_t n = 0;
  for (struct retire *x = all->first; x; x = x->next) n++;
  struct graph **graphs = calloc(n + 1, sizeof *graphs);
  WEIR_ASSERT(graphs != NULL);
  n = 0;
  for (struct retire *x = all->first; x; x = x->next) {
    timer_cancel(all->control, &x->timer);
    graphs[n++] = x->graph;
  }
  *ret = graphs;
  return n;
}

void retire_free(struct retirement *all) {
  for (struct retire *x = all->first, *next; x; x = next) {
    next = x->next;
    graph_free(x->graph);
    free(x);
  }
  all->first = NULL;
  for (size_t i = 0; i < all->n_kept; i++) config_free(all->kept[i]);
  free((void *)all->kept);
  all->kept = NULL;
  all->n_kept = 0;
}

void retire_count(const struct retirement *all, uint64_t *sent, uint64_t *lost) {
  *sent += all->sent;
  *lost += all->lost;
  for (const struct retire *x = all->first; x; x = x->next) count_graph(x->graph, sent, lost);
}
