#include "pipelines/graph.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/disk.h"
#include "pipelines/sender.h"

/* Nodes and edges on every lane, and their life: open, start, drain, close. */

#define DISK_WAIT_MS 5000

static const struct stage_ops node_ops;

/* --- nodes ------------------------------------------------------------------------------------------------- */

static int is_one_lane(const struct site *s) { return s->role == WEIR_EXTENSION || (s->component->entry->type.flags & WEIR_ONE_LANE) != 0; }

static void fill_node(struct graph *g, struct site *s, uint32_t lane) {
  struct node *n = &s->nodes[lane];
  n->graph = g;
  n->site = s;
  n->stage = (struct weir_stage){ .magic = STAGE_MAGIC,
    .entry = s->component->entry,
    .id = s->component->id,
    .pipeline = s->pipeline ? s->pipeline->id : NULL,
    .signal = s->signal,
    .out_signal = s->out_signal,
    .lane = lane,
    .lanes = s->n_nodes,
    .ack_delivered = s->pipeline ? s->pipeline->ack_delivered || s->pipeline->stored : 0,
    .loop = s->role == WEIR_EXTENSION ? g->control : &g->lanes[lane],
    .ops = &node_ops,
    .owner = n,
    .config = s->component->config };
}

static void make_sender(struct graph *g, struct site *s) {
  s->sender = sender_new(s->component->sender, s->component->id, s->signal, g->n_lanes, g->env->metrics);
  s->sender_lanes = calloc(g->n_lanes, sizeof(struct sender_lane *));
  WEIR_ASSERT(s->sender_lanes != NULL);
  for (uint32_t i = 0; i < g->n_lanes; i++) {
    struct node *n = i < s->n_nodes ? &s->nodes[i] : NULL;
    s->sender_lanes[i] = sender_add_lane(s->sender, &g->lanes[i], n ? &n->stage : NULL);
    if (n) n->sender = s->sender_lanes[i];
  }
}

static void make_placement(struct site *s) {
  struct placement *p = s->placement = calloc(1, sizeof *p);
  WEIR_ASSERT(p != NULL);
  *p = (struct placement){ s->component->entry->type.key, s->n_nodes, calloc(s->n_nodes, sizeof(struct weir_stage *)), s->sender_lanes };
  WEIR_ASSERT(p->stages != NULL);
  for (uint32_t i = 0; i < s->n_nodes; i++) p->stages[i] = &s->nodes[i].stage;
}

void graph_make_nodes(struct graph *g, struct site *s) {
  s->bound = g->config;
  s->bound->refs++;
  s->n_nodes = is_one_lane(s) ? 1 : g->n_lanes;
  s->nodes = calloc(s->n_nodes, sizeof *s->nodes);
  WEIR_ASSERT(s->nodes != NULL);
  for (uint32_t i = 0; i < s->n_nodes; i++) fill_node(g, s, i);
  if (s->role == WEIR_EXPORTER && s->component->sender && (s->component->entry->type.flags & WEIR_QUEUED)) make_sender(g, s);
  if (s->component->entry->type.flags & WEIR_BY_KEY && s->n_nodes > 1) make_placement(s);
}

/* --- edges: what a site's links are on one lane -------------------------------------------------------------- */

struct reach {
  struct sender_lane *v[EDGE_REACH_MAX];
  uint32_t n, lane, visits;
  int too_many;
};

#define REACH_VISITS_MAX 100000u

static int holds(const struct site *s) { return (s->component->entry->type.flags & WEIR_HOLDS) != 0; }

static int is_away(const struct site *s, uint32_t lane) { return lane >= s->n_nodes; }

/* The queues that a batch reaches on this lane from here before a stage that holds it, another lane, or a place where it is cut. */
static void collect_reach(const struct site *s, struct reach *r) {
  if (r->too_many || ++r->visits > REACH_VISITS_MAX) {
    r->too_many = 1;
    return;
  }
  if (s->placement) return;
  if (s->sender) {
    if (r->n == EDGE_REACH_MAX)
      r->too_many = 1;
    else
      r->v[r->n++] = s->sender_lanes[r->lane];
    return;
  }
  if (s->role == WEIR_EXPORTER || holds(s) || is_away(s, r->lane)) return;
  for (size_t k = 0; k < GRAPH_SIGNALS; k++)
    for (size_t i = 0; i < s->next[k].n; i++) collect_reach(s->next[k].v[i].to, r);
}

static struct target target_of(const struct link *l, uint32_t lane) {
  const struct site *s = l->to;
  struct target t = { .ack_delivered = l->ack_delivered, .placement = s->placement, .lane = lane };
  if (s->placement) return t;
  if (s->sender) {
    t.sender = s->sender_lanes[lane];
    return t;
  }
  int away = is_away(s, lane);
  t.stage = &s->nodes[away ? 0 : lane].stage;
  t.away = away ? t.stage->loop : NULL;
  t.holds = holds(s) || away;
  return t;
}

/* 0, or -1 when the fan-out is too wide. */
static int make_edge(struct edge *e, const struct links *links, uint32_t lane) {
  if (links->n == 0) return 0;
  e->targets = calloc(links->n, sizeof *e->targets);
  WEIR_ASSERT(e->targets != NULL);
  for (size_t i = 0; i < links->n; i++) e->targets[i] = target_of(&links->v[i], lane);
  e->n_targets = (uint32_t)links->n;
  if (links->n == 1) return 0;
  struct reach r = { .n = 0, .lane = lane };
  for (size_t i = 0; i < links->n; i++) collect_reach(links->v[i].to, &r);
  if (r.too_many) return -1;
  if (r.n == 0) return 0;
  e->reach = calloc(r.n, sizeof(struct sender_lane *));
  WEIR_ASSERT(e->reach != NULL);
  memcpy(e->reach, r.v, r.n * sizeof(struct sender_lane *));
  e->n_reach = r.n;
  return 0;
}

void graph_make_edges(struct site *s, struct diags *ds) {
  int wide = 0;
  if (s->kept) {
    s->edges = calloc(s->n_nodes, sizeof *s->edges);
    WEIR_ASSERT(s->edges != NULL);
  }
  for (uint32_t i = 0; i < s->n_nodes; i++)
    for (size_t k = 0; k < GRAPH_SIGNALS; k++) wide |= make_edge(s->kept ? &s->edges[i][k] : &s->nodes[i].out[k], &s->next[k], i);
  if (!wide) return;
  diag_error(ds, s->component->pos, "%s `%s` feeds too many exporters: one batch would enter more than %d queues", role_name(s->role),
    s->component->id, EDGE_REACH_MAX);
}

struct graph *graph_new(struct config *config, struct env *env, struct loop *control, struct loop *lanes, uint32_t n_lanes, struct diags *ds) {
  struct graph *g = calloc(1, sizeof *g);
  WEIR_ASSERT(g != NULL);
  *g = (struct graph){ .config = config, .env = env, .control = control, .lanes = lanes, .n_lanes = n_lanes };
  config->refs++;
  uint32_t errors = ds->n_errors;
  if (graph_build_sites(g, ds) == 0) {
    for (size_t i = 0; i < g->n_sites; i++) graph_make_nodes(g, g->sites[i]);
    for (size_t i = 0; i < g->n_sites; i++) graph_make_edges(g->sites[i], ds);
  }
  if (ds->n_errors == errors) return g;
  graph_free(g);
  return NULL;
}

/* --- what surrounds a stage (struct stage_ops) ---------------------------------------------------------------- */

static struct node *node_of(struct weir_stage *stage) {
  CHECK_MAGIC(stage, STAGE_MAGIC);
  return stage->owner;
}

static void on_emit(struct weir_stage *stage, uint32_t output, struct weir_batch *b) {
  (void)output; /* stages with several named outputs come later; until then the batch's signal chooses */
  edge_send(&node_of(stage)->out[graph_signal_index(b->signal)], b);
}

static void on_done(struct weir_stage *stage, struct weir_batch *b, const struct weir_verdict *v) {
  struct node *n = node_of(stage);
  if (n->sender)
    sender_done(n->sender, b, v);
  else
    batch_settle(b, v);
}

/* The host has counted it. A sender counts what its exporter drops as refused, not as sent. */
static void on_drop(struct weir_stage *stage, struct weir_batch *b, const char *reason) {
  struct weir_verdict v = verdict_delivered();
  if (node_of(stage)->sender) {
    v.rejected = b->items;
    v.msg = reason;
  }
  on_done(stage, b, &v);
}

static void site_drained(void *arg) {
  struct site *s = ((struct node *)arg)->site;
  struct graph *g = ((struct node *)arg)->graph;
  if (s->drain_left == 0 || --s->drain_left > 0) return;
  if (g->on_drained) g->on_drained(g->arg, s);
}

static void on_drained(struct weir_stage *stage) {
  struct node *n = node_of(stage);
  loop_post(n->graph->control, site_drained, n);
}

static void on_fail(struct weir_stage *stage, const struct weir_error *err, int fatal) {
  struct graph *g = node_of(stage)->graph;
  log_error(stage->id, "%s%s%s", err->msg, *err->hint ? "; " : "", err->hint);
  host_set_health(WEIR_HEALTH_FAILED);
  if (fatal && g->on_fatal) g->on_fatal(g->arg);
}

/* Why there is no such extension. */
static void refuse_extension(const struct graph *g, const char *id, struct weir_error *err) {
  const struct config_component *c = g->config->components;
  while (c && (c->role != WEIR_EXTENSION || strcmp(c->id, id) != 0)) c = c->next;
  if (!c) {
    weir_fail(err, WEIR_E_CONFIG, "extension `%s` is not configured", id);
    weir_hint(err, "add it below `extensions:`, and to service.extensions");
  } else {
    weir_fail(err, WEIR_E_CONFIG, "extension `%s` is not listed in service.extensions", id);
    weir_hint(err, "write `extensions: [%s]` below `service:`", id);
  }
}

/* Extensions are opened first. One whose open failed has no instance, and has said why. */
static struct weir_stage *on_extension(struct weir_stage *stage, const char *id, struct weir_error *err) {
  const struct graph *g = node_of(stage)->graph;
  for (size_t i = 0; i < g->n_sites; i++) {
    struct site *s = g->sites[i];
    if (s->role != WEIR_EXTENSION || strcmp(s->component->id, id) != 0) continue;
    if (s->nodes[0].stage.state != STAGE_CLOSED) return &s->nodes[0].stage;
    weir_fail(err, WEIR_E_CONFIG, "extension `%s` could not be opened", id);
    return NULL;
  }
  refuse_extension(g, id, err);
  return NULL;
}

static const struct stage_ops node_ops = { on_emit, on_done, on_drop, on_drained, on_fail, on_extension };

/* --- open and start -------------------------------------------------------------------------------------------- */

static int own_need(struct site *s) {
  const struct weir_stage_type *t = &s->component->entry->type;
  struct weir_stage *first = &s->nodes[0].stage;
  if (s->placement) return WEIR_NEED_RECORDS; /* for their keys */
  if (t->need) return t->need(first->self);
  return t->flags & WEIR_MUTATES ? WEIR_NEED_RECORDS : WEIR_NEED_COUNTS;
}

static int need_below(const struct site *s) {
  int need = WEIR_NEED_NONE;
  for (size_t k = 0; k < GRAPH_SIGNALS; k++)
    for (size_t i = 0; i < s->next[k].n; i++)
      if (s->next[k].v[i].to->need > need) need = s->next[k].v[i].to->need;
  return need;
}

static void show_refusal(struct site *s, const struct weir_error *err, struct diags *ds) {
  const struct config_component *c = s->component;
  struct pos at = *err->field ? schema_find(c->body, c->pos, err->field) : c->pos;
  diag_error(ds, at, "%s `%s`: %s", role_name(c->role), c->id, err->msg);
  if (*err->hint) diag_note(ds, "%s", err->hint);
}

/* What a stage is told on the lane that it lives on. */
struct lane_call {
  struct weir_stage *stage;
  struct weir_error *err;
  int result;
};

static void open_on_lane(void *arg) {
  struct lane_call *c = arg;
  c->result = stage_open(c->stage, c->err);
}

static void start_on_lane(void *arg) {
  struct lane_call *c = arg;
  c->result = stage_start(c->stage, c->err);
}

/* What the nodes have in common, before the first is opened. */
static int prepare_site(struct site *s, struct weir_error *err) {
  const struct weir_stage_type *t = &s->component->entry->type;
  struct weir_stage *first = &s->nodes[0].stage;
  if (!t->prepare || s->kept) return 0;
  int r = t->prepare(host_table(), first, first->config, &s->shared, err);
  if (r) s->shared = NULL; /* a failed one leaves nothing behind */
  for (uint32_t i = 0; i < s->n_nodes; i++) s->nodes[i].stage.shared = s->shared;
  return r;
}

/* Once all nodes are closed. */
static void release_site(struct site *s) {
  if (!s->shared || s->kept) return;
  for (uint32_t i = 0; i < s->n_nodes; i++)
    if (s->nodes[i].stage.state != STAGE_CLOSED) return;
  s->component->entry->type.release(s->shared);
  s->shared = NULL;
}

static int open_site(struct site *s, struct diags *ds) {
  s->need = s->below = need_below(s);
  struct weir_error not_prepared = { 0 };
  if (prepare_site(s, &not_prepared)) {
    show_refusal(s, &not_prepared, ds);
    return WEIR_E_CONFIG;
  }
  for (uint32_t i = 0; i < s->n_nodes && !s->kept; i++) {
    struct weir_error err = { 0 };
    struct lane_call c = { &s->nodes[i].stage, &err, 0 };
    c.stage->downstream_need = s->below;
    loop_call(c.stage->loop, open_on_lane, &c);
    if (c.result) {
      show_refusal(s, &err, ds); /* the other lanes would say the same */
      return WEIR_E_CONFIG;
    }
  }
  struct weir_error no_storage = { 0 };
  if (!s->kept && graph_check_storage(s, &no_storage)) {
    show_refusal(s, &no_storage, ds);
    return WEIR_E_CONFIG;
  }
  if (s->role == WEIR_RECEIVER || s->role == WEIR_EXTENSION) return 0;
  if (!s->kept) s->own_need = own_need(s);
  if (s->own_need > s->need) s->need = s->own_need;
  return 0;
}

/* A component that failed once is not opened for its other signals or pipelines: it would say the same again. */
static int failed_before(const struct graph *g, size_t i, const int *failed) {
  for (size_t k = 0; k < i; k++)
    if (failed[k] && g->sites[k]->component == g->sites[i]->component) return 1;
  return 0;
}

int graph_open(struct graph *g, struct diags *ds) {
  int *failed = calloc(g->n_sites + 1, sizeof *failed), any = 0;
  WEIR_ASSERT(failed != NULL);
  for (size_t i = 0; i < g->n_sites; i++) {
    failed[i] = failed_before(g, i, failed) || open_site(g->sites[i], ds);
    any |= failed[i];
  }
  free(failed);
  return any ? WEIR_E_CONFIG : 0;
}

static int start_site(struct site *s, struct diags *ds) {
  for (uint32_t k = 0; k < s->n_nodes; k++) {
    struct weir_error err = { 0 };
    struct lane_call c = { &s->nodes[k].stage, &err, 0 };
    loop_call(c.stage->loop, start_on_lane, &c);
    if (!c.result) continue;
    show_refusal(s, &err, ds);
    return c.result;
  }
  struct weir_error err = { 0 };
  int r = graph_open_storage(s, &err);
  if (r) show_refusal(s, &err, ds);
  return r;
}

static int feeds_failed(const struct site *s) {
  for (size_t k = 0; k < GRAPH_SIGNALS; k++)
    for (size_t i = 0; i < s->next[k].n; i++)
      if (s->next[k].v[i].to->failed) return 1;
  return 0;
}

/* Not worth a try: it would say the same again, or nobody could take what it gives. */
static int is_hopeless(const struct graph *g, size_t i) {
  for (size_t k = 0; k < i; k++)
    if (g->sites[k]->failed && g->sites[k]->component == g->sites[i]->component) return 1;
  return feeds_failed(g->sites[i]);
}

/* Extensions stand first. When one fails the others are still asked, but nothing else: stages use them, and a second weir that was started by mistake should not
 * come as far as to empty the first one's files. */
int graph_start(struct graph *g, struct diags *ds) {
  int any = 0, last = WEIR_EXTENSION;
  for (size_t i = 0; i < g->n_sites; i++) {
    struct site *s = g->sites[i];
    if (any && last == WEIR_EXTENSION && s->role != WEIR_EXTENSION) break;
    last = (int)s->role;
    s->failed = !s->kept && (is_hopeless(g, i) || start_site(s, ds));
    any |= s->failed;
  }
  return any ? WEIR_E_IO : 0;
}

/* --- drain and close --------------------------------------------------------------------------------------------- */

static void drain_node(void *arg) {
  struct node *n = arg;
  if (n->stage.state == STAGE_STARTED)
    stage_drain(&n->stage);
  else
    on_drained(&n->stage);
}

static void drain_sender_first(void *arg) {
  struct node *n = arg;
  sender_drain(n->sender, drain_node, n);
}

void graph_drain_site(struct graph *g, struct site *s) {
  (void)g;
  s->drain_left = s->n_nodes;
  for (uint32_t i = 0; i < s->n_nodes; i++)
    loop_post(s->nodes[i].stage.loop, s->nodes[i].sender ? drain_sender_first : drain_node, &s->nodes[i]);
}

struct close_lane {
  struct graph *g;
  uint32_t lane, role;
};

/* An exporter that was given something it has not answered for: a call of its is still running. */
static int is_busy(const struct weir_stage *stage) {
  if (stage->entry->type.role != WEIR_EXPORTER || stage->state == STAGE_CLOSED || !stage->counts.held) return 0;
  return atomic_load_explicit(&stage->counts.held->value, memory_order_relaxed) > 0;
}

static void close_role(void *arg) {
  struct close_lane *c = arg;
  for (size_t i = 0; i < c->g->n_sites; i++) {
    struct site *s = c->g->sites[i];
    if (s->role != c->role) continue;
    struct sender_lane *sender = s->sender ? s->sender_lanes[c->lane] : NULL;
    struct weir_stage *stage = c->lane < s->n_nodes ? &s->nodes[c->lane].stage : NULL;
    if (sender) sender_abandon(sender);
    if (stage && is_busy(stage)) {
      c->g->n_left_open++;
      if (sender) sender_leave(sender);
      else c->g->n_unanswered++;
      continue;
    }
    if (stage && stage->state != STAGE_CLOSED) stage_close(stage);
    if (sender) sender_close(sender);
  }
}

static void nothing(void *arg) { (void)arg; }

/* Lets every lane run through what was posted to it: answers on their way to receivers on other lanes. */
static void settle_down(struct graph *g) {
  for (int round = 0; round < 2; round++)
    for (uint32_t i = 0; i < g->n_lanes; i++) {
      loop_call(&g->lanes[i], nothing, NULL);
      if (!atomic_load(&g->lanes[i].running)) loop_run_once(&g->lanes[i]);
    }
}

/* What is being written ends on its lane; bounded, as a disk may hang. */
static void wait_for_disks(struct graph *g) {
  for (int i = 0; i < DISK_WAIT_MS && disks_busy(g->env->disks); i++) {
    nanosleep(&(struct timespec){ 0, NS_PER_MS }, NULL);
    settle_down(g);
  }
  settle_down(g);
}

static void close_extensions(struct graph *g) {
  for (size_t i = 0; i < g->n_sites; i++) {
    struct site *s = g->sites[i];
    if (s->role != WEIR_EXTENSION || !s->nodes) continue;
    if (s->nodes[0].stage.state != STAGE_CLOSED) stage_close(&s->nodes[0].stage);
    release_site(s);
  }
}

/* Before the extensions are closed: what was prepared may use them. */
static void release_all(struct graph *g) {
  for (size_t i = 0; i < g->n_sites; i++)
    if (g->sites[i]->role != WEIR_EXTENSION) release_site(g->sites[i]);
}

uint32_t graph_close_all(struct graph *const *graphs, size_t n) {
  static const uint32_t order[] = { WEIR_EXPORTER, WEIR_CONNECTOR, WEIR_PROCESSOR, WEIR_RECEIVER };
  uint32_t left_open = 0, unanswered = 0;
  for (size_t k = 0; k < n; k++) graphs[k]->n_left_open = graphs[k]->n_unanswered = 0;
  for (size_t r = 0; n && r < sizeof order / sizeof *order && !unanswered; r++) {
    for (size_t k = 0; k < n; k++)
      for (uint32_t i = 0; i < graphs[k]->n_lanes; i++) {
        struct close_lane c = { graphs[k], i, order[r] };
        loop_call(&graphs[k]->lanes[i], close_role, &c);
      }
    settle_down(graphs[0]);
    if (order[r] == WEIR_EXPORTER) wait_for_disks(graphs[0]);
    for (size_t k = 0; k < n; k++) unanswered += graphs[k]->n_unanswered;
  }
  for (size_t k = 0; k < n; k++) left_open += graphs[k]->n_left_open;
  if (n && disks_busy(graphs[0]->env->disks)) left_open++; /* a disk that hangs */
  for (size_t k = 0; k < n && !left_open; k++) release_all(graphs[k]);
  for (size_t k = 0; k < n && !left_open; k++) close_extensions(graphs[k]); /* an exporter that stays open may still ask its extension, of whichever graph */
  return left_open;
}

uint32_t graph_close(struct graph *g) { return graph_close_all(&g, 1); }

static void free_site(struct site *s) {
  int own = !s->kept;
  for (uint32_t i = 0; s->nodes && i < s->n_nodes; i++)
    for (size_t k = 0; k < GRAPH_SIGNALS; k++) edge_done(own ? &s->nodes[i].out[k] : &s->edges[i][k]);
  for (size_t k = 0; k < GRAPH_SIGNALS; k++) free(s->next[k].v);
  free(s->edges);
  if (own) {
    sender_free(s->sender);
    free((void *)s->sender_lanes);
    if (s->placement) free((void *)s->placement->stages);
    free(s->placement);
    free(s->nodes);
    config_free(s->bound);
  }
  free(s);
}

void graph_free(struct graph *g) {
  if (!g) return;
  for (struct site *s = g->newest, *next; s; s = next) {
    next = s->made_after;
    free_site(s);
  }
  free((void *)g->sites);
  config_free(g->config);
  free(g);
}
