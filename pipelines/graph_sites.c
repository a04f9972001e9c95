#include "pipelines/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"

/* From the configuration's pipelines to sites and links, the order consumers first, and the check for cycles. */

const char *graph_signal_name(uint32_t signal) { return signal == WEIR_TRACES ? "traces" : signal == WEIR_METRICS ? "metrics" : "logs"; }

static struct site *find_site(
  struct graph *g, const struct config_component *c, const struct config_pipeline *p, uint32_t signal, uint32_t out) {
  for (struct site *s = g->newest; s; s = s->made_after)
    if (s->component == c && s->pipeline == p && (c->role == WEIR_RECEIVER || s->signal == signal) && s->out_signal == out) return s;
  return NULL;
}

static struct site *site_of(
  struct graph *g, const struct config_component *c, const struct config_pipeline *p, uint32_t signal, uint32_t out) {
  struct site *s = find_site(g, c, p, signal, out);
  if (!s) {
    s = calloc(1, sizeof *s);
    WEIR_ASSERT(s != NULL);
    s->role = c->role;
    s->component = c;
    s->pipeline = p;
    s->out_signal = out;
    s->made_after = g->newest;
    g->newest = s;
    g->n_made++;
  }
  s->signal |= signal;
  return s;
}

static void link_to(struct links *from, struct site *to, const struct config_pipeline *p) {
  if (from->n == from->cap) {
    from->cap = from->cap ? from->cap * 2 : 4;
    from->v = realloc(from->v, from->cap * sizeof *from->v);
    WEIR_ASSERT(from->v != NULL);
  }
  from->v[from->n++] = (struct link){ to, p->ack_delivered };
}

/* --- pipelines ------------------------------------------------------------------------------------------- */

static int connects(const struct config_component *c, uint32_t in, uint32_t out) {
  const struct weir_stage_type *t = &c->entry->type;
  if (!(t->signals & in)) return 0;
  return t->out_signals ? (t->out_signals & out) != 0 : in == out;
}

/* Calls fn for each site that this name stands for at the end of pipeline p: an exporter, or a connector once per signal that it feeds. */
static void each_consumer(struct graph *g, const struct config_pipeline *p, const struct config_ref *ref, struct links *from) {
  const struct config_component *c = ref->component;
  if (c->role == WEIR_EXPORTER) {
    link_to(from, site_of(g, c, NULL, p->signal, 0), p);
    return;
  }
  uint32_t fed = 0;
  for (const struct config_pipeline *q = g->config->pipelines; q; q = q->next)
    for (size_t i = 0; i < q->n_receivers; i++)
      if (q->receivers[i].component == c && connects(c, p->signal, q->signal)) fed |= q->signal;
  for (uint32_t out = WEIR_TRACES; out <= WEIR_LOGS; out <<= 1)
    if (fed & out) link_to(from, site_of(g, c, NULL, p->signal, out), p);
}

/* What a batch meets first in p: its first processor, or all that stand at its end. */
static void link_to_entry(struct graph *g, const struct config_pipeline *p, struct links *from) {
  if (p->n_processors) {
    link_to(from, site_of(g, p->processors[0].component, p, p->signal, p->signal), p);
    return;
  }
  for (size_t i = 0; i < p->n_exporters; i++) each_consumer(g, p, &p->exporters[i], from);
}

static void link_processors(struct graph *g, const struct config_pipeline *p) {
  for (size_t i = 0; i < p->n_processors; i++) {
    struct links *from = &site_of(g, p->processors[i].component, p, p->signal, p->signal)->next[graph_signal_index(p->signal)];
    if (i + 1 < p->n_processors) {
      link_to(from, site_of(g, p->processors[i + 1].component, p, p->signal, p->signal), p);
      continue;
    }
    for (size_t e = 0; e < p->n_exporters; e++) each_consumer(g, p, &p->exporters[e], from);
  }
}

static void link_receivers(struct graph *g, const struct config_pipeline *p) {
  uint32_t index = graph_signal_index(p->signal);
  for (size_t i = 0; i < p->n_receivers; i++) {
    const struct config_component *c = p->receivers[i].component;
    if (c->role == WEIR_RECEIVER) {
      link_to_entry(g, p, &site_of(g, c, NULL, p->signal, 0)->next[index]);
      continue;
    }
    for (uint32_t in = WEIR_TRACES; in <= WEIR_LOGS; in <<= 1) {
      struct site *s = find_site(g, c, NULL, in, p->signal);
      if (s) link_to_entry(g, p, &s->next[index]);
    }
  }
}

/* --- order and cycles ------------------------------------------------------------------------------------- */

struct walk {
  struct graph *g;
  struct diags *ds;
  struct site **path;
  size_t n_path;
  int failed;
};

static int name_of(const struct site *s, char *buf, size_t cap) {
  if (s->role == WEIR_CONNECTOR)
    return snprintf(
      buf, cap, "connector \"%s\" (%s to %s)", s->component->id, graph_signal_name(s->signal), graph_signal_name(s->out_signal));
  return snprintf(buf, cap, "%s \"%s\" in pipeline \"%s\"", role_name(s->role), s->component->id, s->pipeline ? s->pipeline->id : "");
}

/* The Collector's text; it begins and ends with a connector, as only connectors can close a circle. */
static void report_cycle(struct walk *w, size_t from) {
  size_t n = w->n_path - from, first = 0;
  while (first < n && w->path[from + first]->role != WEIR_CONNECTOR) first++;
  WEIR_ASSERT(first < n);
  char text[2000] = "", name[320];
  size_t at = 0;
  for (size_t i = 0; i <= n; i++) {
    name_of(w->path[from + (first + i) % n], name, sizeof name);
    int k = snprintf(text + at, sizeof text - at, "%s%s", i ? " -> " : "", name);
    if (k < 0 || (size_t)k >= sizeof text - at) break;
    at += (size_t)k;
  }
  diag_error(w->ds, w->path[from + first]->component->pos, "cycle detected: %s", text);
  diag_caret(w->ds, "this connector feeds itself");
  w->failed = 1;
}

#define MARK_OPEN 1
#define MARK_DONE 2

/* Depth first; a site is listed when all below it are. */
static void visit(struct walk *w, struct site *s) {
  if (s->mark == MARK_DONE || w->failed) return;
  if (s->mark == MARK_OPEN) {
    size_t from = 0;
    while (w->path[from] != s) from++;
    report_cycle(w, from);
    return;
  }
  s->mark = MARK_OPEN;
  w->path[w->n_path++] = s;
  for (size_t k = 0; k < GRAPH_SIGNALS; k++)
    for (size_t i = 0; i < s->next[k].n; i++) visit(w, s->next[k].v[i].to);
  w->n_path--;
  s->mark = MARK_DONE;
  w->g->sites[w->g->n_sites++] = s;
}

static int put_in_order(struct graph *g, struct diags *ds) {
  g->sites = calloc(g->n_made + 1, sizeof(struct site *));
  struct walk w = { g, ds, calloc(g->n_made + 1, sizeof(struct site *)), 0, 0 };
  WEIR_ASSERT(g->sites != NULL && w.path != NULL);
  for (struct site *s = g->newest; s; s = s->made_after)
    if (s->role == WEIR_EXTENSION) visit(&w, s);
  for (struct site *s = g->newest; s; s = s->made_after) visit(&w, s);
  free((void *)w.path);
  return w.failed ? -1 : 0;
}

int graph_build_sites(struct graph *g, struct diags *ds) {
  for (size_t i = g->config->n_extensions; i-- > 0;) site_of(g, g->config->extensions[i].component, NULL, 0, 0);
  for (const struct config_pipeline *p = g->config->pipelines; p; p = p->next) link_processors(g, p);
  /* Connectors at the end of pipelines without processors: all must be there before what they feed is linked. */
  for (const struct config_pipeline *p = g->config->pipelines; p; p = p->next)
    for (size_t e = 0; e < p->n_exporters; e++) {
      struct links unused = { NULL, 0, 0 };
      each_consumer(g, p, &p->exporters[e], &unused);
      free(unused.v);
    }
  for (const struct config_pipeline *p = g->config->pipelines; p; p = p->next) link_receivers(g, p);
  return put_in_order(g, ds);
}
