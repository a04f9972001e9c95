#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "pipelines/graph.h"

/* The graph that follows another one: what is kept, the swap, and the way back. */

/* --- what did not change ------------------------------------------------------------------------------------- */

static int same_component(const struct config_component *a, const struct config_component *b) {
  return a->role == b->role && strcmp(a->id, b->id) == 0 && a->entry == b->entry && yaml_equal(a->body, b->body);
}

static int same_place(const struct config_pipeline *a, const struct config_pipeline *b) {
  if (!a || !b) return a == b;
  return strcmp(a->id, b->id) == 0 && a->ack_delivered == b->ack_delivered && a->stored == b->stored;
}

/* The text of some value below: a component that names an extension holds on to what that one offers. */
static int mentions(const struct yaml_node *body, const char *id) {
  if (!body) return 0;
  if (body->kind == YAML_SCALAR) return strcmp(body->text, id) == 0;
  for (size_t i = 0; i < body->n; i++)
    if (mentions(body->items[i], id)) return 1;
  return 0;
}

static int stays(const struct graph *g, const struct site *of) {
  for (size_t i = 0; i < g->n_sites; i++)
    if (g->sites[i]->kept == of) return 1;
  return 0;
}

/* Extensions stand before all others, so what becomes of them is known. One that is new may be asked for; one that goes, replaced or not, takes what it offers with it. */
static int uses_changed_extension(const struct graph *g, const struct graph *before, const struct site *s) {
  for (size_t i = 0; i < g->n_sites; i++) {
    const struct site *e = g->sites[i];
    if (e->role == WEIR_EXTENSION && e != s && !e->kept && mentions(s->component->body, e->component->id)) return 1;
  }
  for (size_t i = 0; i < before->n_sites; i++) {
    const struct site *e = before->sites[i];
    if (e->role == WEIR_EXTENSION && s->role != WEIR_EXTENSION && !stays(g, e) && mentions(s->component->body, e->component->id)) return 1;
  }
  return 0;
}

static struct site *same_site(const struct graph *before, const struct site *s) {
  for (size_t i = 0; i < before->n_sites; i++) {
    struct site *o = before->sites[i];
    if (o->signal == s->signal && o->out_signal == s->out_signal && same_component(o->component, s->component) && same_place(o->pipeline, s->pipeline))
      return o;
  }
  return NULL;
}

/* The one whose state this site may take over: only its settings, or an extension that it names, are others. */
static struct site *predecessor(const struct graph *before, const struct site *s) {
  const struct weir_stage_type *t = &s->component->entry->type;
  if (!t->adopt || (s->role != WEIR_PROCESSOR && s->role != WEIR_CONNECTOR)) return NULL;
  for (size_t i = 0; i < before->n_sites; i++) {
    struct site *o = before->sites[i];
    if (o->role != s->role || o->signal != s->signal || o->out_signal != s->out_signal || o->component->entry != s->component->entry) continue;
    if (!o->pipeline != !s->pipeline || (o->pipeline && strcmp(o->pipeline->id, s->pipeline->id) != 0)) continue;
    if (strcmp(o->component->id, s->component->id) == 0 && o->n_nodes == s->n_nodes) return o;
  }
  return NULL;
}

static void make_new(struct graph *g, const struct graph *before, struct site *s) {
  graph_make_nodes(g, s);
  s->adopts = predecessor(before, s);
  for (uint32_t i = 0; s->adopts && i < s->n_nodes; i++) stage_expect(&s->nodes[i].stage, &s->adopts->nodes[i].stage);
}

static void keep(struct site *s, struct site *of) {
  s->kept = of;
  s->nodes = of->nodes;
  s->n_nodes = of->n_nodes;
  s->sender = of->sender;
  s->sender_lanes = of->sender_lanes;
  s->placement = of->placement;
  s->shared = of->shared;
  s->own_need = of->own_need;
}

struct graph *graph_renew(const struct graph *before, struct config *config, struct diags *ds) {
  struct graph *g = calloc(1, sizeof *g);
  WEIR_ASSERT(g != NULL);
  *g = (struct graph){ .config = config,
    .env = before->env,
    .control = before->control,
    .lanes = before->lanes,
    .n_lanes = before->n_lanes,
    .on_fatal = before->on_fatal,
    .on_drained = before->on_drained,
    .arg = before->arg };
  config->refs++;
  uint32_t errors = ds->n_errors;
  if (graph_build_sites(g, ds) == 0) {
    for (size_t i = 0; i < g->n_sites; i++) {
      struct site *of = same_site(before, g->sites[i]);
      if (of && !uses_changed_extension(g, before, g->sites[i]))
        keep(g->sites[i], of);
      else
        make_new(g, before, g->sites[i]);
    }
    for (size_t i = 0; i < g->n_sites; i++) graph_make_edges(g->sites[i], ds);
  }
  if (ds->n_errors == errors) return g;
  graph_free(g);
  return NULL;
}

/* --- the swap --------------------------------------------------------------------------------------------------- */

struct swap {
  struct graph *g;
  uint32_t lane; /* UINT32_MAX: the control loop */
};

static void swap_node(struct graph *g, struct site *s, uint32_t i) {
  struct node *n = &s->nodes[i];
  for (size_t k = 0; k < GRAPH_SIGNALS; k++) {
    edge_done(&n->out[k]);
    n->out[k] = s->edges[i][k];
    s->edges[i][k] = (struct edge){ NULL, 0, 0, NULL };
  }
  n->graph = g;
  n->site = s;
  n->stage.downstream_need = s->below;
}

/* A batch from a lane that was swapped before this one waits in the new instance; one that a later lane sends to the old instance goes on to the new (plugins/host.h). */
static void adopt_lane(const struct swap *w) {
  for (size_t i = 0; i < w->g->n_sites; i++) {
    struct site *s = w->g->sites[i];
    if (s->adopts && w->lane < s->n_nodes) stage_adopt(&s->nodes[w->lane].stage);
  }
}

/* One step of a lane, between the callbacks of its stages: no batch is on its way through an edge. */
static void swap_lane(void *arg) {
  const struct swap *w = arg;
  for (size_t i = 0; i < w->g->n_sites; i++) {
    struct site *s = w->g->sites[i];
    if (!s->kept) continue;
    uint32_t k = w->lane == UINT32_MAX ? 0 : w->lane;
    if ((s->role == WEIR_EXTENSION) == (w->lane == UINT32_MAX) && k < s->n_nodes) swap_node(w->g, s, k);
  }
  adopt_lane(w);
}

static void give_up_nodes(struct site *s) {
  s->nodes = NULL;
  s->n_nodes = 0;
  s->sender = NULL;
  s->sender_lanes = NULL;
  s->placement = NULL;
  s->shared = NULL;
}

/* Sites without nodes leave the list; they are freed with the graph. */
static void forget_empty(struct graph *g) {
  size_t n = 0;
  for (size_t i = 0; i < g->n_sites; i++)
    if (g->sites[i]->nodes) g->sites[n++] = g->sites[i];
  g->n_sites = n;
}

void graph_swap(struct graph *g, struct graph *before) {
  for (uint32_t i = 0; i < g->n_lanes; i++) loop_call(&g->lanes[i], swap_lane, &(struct swap){ g, i });
  swap_lane(&(struct swap){ g, UINT32_MAX });
  for (size_t i = 0; i < g->n_sites; i++) {
    struct site *s = g->sites[i], *of = s->kept;
    s->adopts = NULL;
    if (!of) continue;
    s->bound = of->bound;
    of->bound = NULL;
    s->kept = NULL;
    free(s->edges);
    s->edges = NULL;
    give_up_nodes(of);
  }
  forget_empty(before);
}

static void adopt_none(void *arg) { stage_adopt_none(arg); }

static void go_without_state(struct site *s) {
  for (uint32_t i = 0; s->adopts && i < s->n_nodes; i++) loop_call(s->nodes[i].stage.loop, adopt_none, &s->nodes[i].stage);
  s->adopts = NULL;
}

void graph_disown(struct graph *g) {
  for (size_t i = 0; i < g->n_sites; i++) {
    struct site *s = g->sites[i];
    go_without_state(s);
    if (!s->kept) continue;
    for (uint32_t n = 0; n < s->n_nodes; n++)
      for (size_t k = 0; k < GRAPH_SIGNALS; k++) edge_done(&s->edges[n][k]);
    free(s->edges);
    s->edges = NULL;
    s->kept = NULL;
    give_up_nodes(s);
  }
  forget_empty(g);
}
