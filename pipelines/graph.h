/*
 * pipelines/graph.h - the running graph: every stage instance on every lane, and the edges between them.
 *
 * A site is a place in the configuration's graph; a node is its instance on one lane:
 *   receiver   one site per id, for all its signals (they share ports); one node per lane
 *   processor  one site per id and pipeline; one node per lane
 *   exporter   one site per id and signal, with a sender in front when the type is WEIR_QUEUED; one node per lane
 *   connector  one site per id, signal in and signal out; one node per lane
 *   extension  one site and one node, on the control loop
 * A type with WEIR_ONE_LANE has one node, on lane 0. Sites stand in `sites` consumers first, extensions before them all.
 *
 * A reload makes a second graph from the first (graph_renew): sites whose component, settings and place did not change keep their nodes, senders and all
 * state, the others get new ones. graph_swap hands the kept nodes over and exchanges their edges, on each lane in one step; what the first graph has then are
 * the sites to retire. See docs/design/reload.md.
 * Threads: [control], but for what edges and ops do on the lanes.
 */
#ifndef PIPELINES_GRAPH_H
#define PIPELINES_GRAPH_H

#include <weir/health.h>

#include "core/diag.h"
#include "core/loop.h"
#include "pipelines/config.h"
#include "pipelines/edge.h"
#include "plugins/host.h"

struct graph;
struct site;
struct sender;

#define GRAPH_SIGNALS 3 /* traces, metrics, logs */

/* From a site to one below it, in a pipeline. */
struct link {
  struct site *to;
  int ack_delivered;
};

struct links {
  struct link *v;
  size_t n, cap;
};

struct node {
  struct weir_stage stage;
  struct graph *graph;
  struct site *site;
  struct edge out[GRAPH_SIGNALS];
  struct sender_lane *sender; /* exporters */
};

struct site {
  uint32_t role, signal, out_signal; /* receivers: signal is the OR of all */
  const struct config_component *component;
  const struct config_pipeline *pipeline; /* processors */
  struct links next[GRAPH_SIGNALS];
  struct node *nodes;
  uint32_t n_nodes;
  struct sender *sender;
  struct sender_lane **sender_lanes; /* one per lane */
  struct placement *placement;       /* by key; NULL: none, or there is one lane */
  void *shared;                      /* what the type's prepare made for the nodes; NULL: nothing */
  int need;                          /* the most that it or anything below it reads; set by graph_open */
  int below, own_need;               /* what stands below it reads; it does itself */
  struct config *bound;              /* the nodes' settings are in it: it lives as long as they do */
  struct site *kept;                 /* until the swap: the site of the graph before whose nodes these are */
  struct edge (*edges)[GRAPH_SIGNALS]; /* kept nodes': to be theirs at the swap */
  struct site *adopts;               /* until the swap: the site of the graph before whose state these nodes take over, as only its settings changed */
  int mark;
  int failed; /* it did not start, or what it feeds did not */
  uint32_t drain_left;
  struct site *made_after; /* all sites, newest first */
};

struct graph {
  struct config *config;
  struct env *env;
  struct loop *control, *lanes;
  uint32_t n_lanes;
  struct site **sites; /* consumers first */
  size_t n_sites;
  struct site *newest;
  size_t n_made;
  uint32_t n_left_open, n_unanswered; /* unanswered: left open with batches that somebody may wait for, as no sender answered for them */
  void (*on_fatal)(void *arg);                  /* a stage failed for good: [any] */
  void (*on_drained)(void *arg, struct site *); /* a site's last instance has drained: [control] */
  void *arg;
};

/* Builds the sites; problems (a cycle, nothing else so far) go to diags. NULL when there are any. */
struct graph *graph_new(struct config *, struct env *, struct loop *control, struct loop *lanes, uint32_t n_lanes, struct diags *);
/* As graph_new, for the graph that shall follow `before`, which runs on unchanged. Then graph_open, graph_start and graph_swap; or graph_disown. */
struct graph *graph_renew(const struct graph *before, struct config *, struct diags *);
/* Whether a site's nodes come from the graph before. */
static inline int site_is_kept(const struct site *s) { return s->kept != NULL; }
/* The kept nodes become this graph's, with their new edges. `before` has left what is to be drained and closed. [control]; the lanes may run. */
void graph_swap(struct graph *, struct graph *before);
/* Instead of graph_swap: the kept nodes stay with the graph before, and this one has left what was made for it. */
void graph_disown(struct graph *);
/* Opens all instances (but kept ones), consumers first; what a stage refuses is shown at its place in the configuration. 0, or WEIR_E_CONFIG. */
int graph_open(struct graph *, struct diags *);
/* Starts them, consumers first; what is refused is shown as by graph_open, all of it, but who feeds something that did not start is not tried. 0, or WEIR_E_IO. */
int graph_start(struct graph *, struct diags *);
/* Asks all instances of a site to drain; on_drained comes once, in a later step. The lanes may run. */
void graph_drain_site(struct graph *, struct site *);
/* Closes every instance on its lane: exporters and their senders first, receivers last, so that every waiter has heard. Lanes may run.
 * Close comes after a stage's last callback, so an exporter that still has a request in its hands stays open, and without a sender in front so does whoever may
 * hear of it. Returns how many exporters did: with any, nothing may be freed, and the process has to end as it is. */
uint32_t graph_close(struct graph *);
uint32_t graph_close_all(struct graph *const *, size_t n); /* several at once: those that were swapped for newer ones, too */
void graph_free(struct graph *); /* after graph_close and after the lanes have stopped */

/* graph.c, for graph_renew.c: nodes of a site; edges of all sites. */
void graph_make_nodes(struct graph *, struct site *);
void graph_make_edges(struct site *, struct diags *);
/* graph_storage.c: whether the extensions that an exporter's queue names are there; opens what they offer. Nothing for other sites. */
int graph_check_storage(struct site *, struct weir_error *);
/* Warns of queues below the storage extensions' directories that no exporter has opened, and counts them. After graph_start. */
void graph_find_orphans(const struct graph *);
/* sender_replay of whichever sender has these dead letters. */
int graph_replay(const struct graph *, const char *queue, uint64_t *ret_items);
int graph_open_storage(struct site *, struct weir_error *);
/* graph_sites.c: from pipelines to linked sites, consumers first. 0, or -1 when diags have an error. */
int graph_build_sites(struct graph *, struct diags *);
static inline uint32_t graph_signal_index(uint32_t signal) { return signal == WEIR_TRACES ? 0 : signal == WEIR_METRICS ? 1 : 2; }
const char *graph_signal_name(uint32_t signal);

#endif
