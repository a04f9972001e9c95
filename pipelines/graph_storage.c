#include "pipelines/graph.h"

#include <stdio.h>

#include "pipelines/disk.h"
#include "pipelines/sender.h"

/* Queues on disk: what the extension says that an exporter names, and the queue. */

/* NULL: err is set. */
static const struct weir_storage_settings *ask(struct site *s, const char *id, const char *field, struct weir_error *err) {
  void *self;
  const struct weir_storage *storage = host_table()->extension(&s->nodes[0].stage, id, WEIR_STORAGE_SERVICE, &self, err);
  if (storage) return storage->settings(self);
  snprintf(err->field, sizeof err->field, "%s", field);
  return NULL;
}

/* 0, and each NULL when it is not asked for. */
static int find(struct site *s, const struct weir_storage_settings **queue, const struct weir_storage_settings **dead, struct weir_error *err) {
  const struct sender_config *c = s->sender ? s->component->sender : NULL;
  *queue = *dead = NULL;
  if (!c) return 0;
  if (c->queue.enabled && c->queue.storage && !(*queue = ask(s, c->queue.storage, "sending_queue.storage", err))) return err->code;
  if (c->queue.dead_letter && !(*dead = ask(s, c->queue.dead_letter, "sending_queue.dead_letter", err))) return err->code;
  return 0;
}

int graph_check_storage(struct site *s, struct weir_error *err) {
  const struct weir_storage_settings *queue, *dead;
  return find(s, &queue, &dead, err);
}

int graph_open_storage(struct site *s, struct weir_error *err) {
  const struct weir_storage_settings *queue, *dead;
  int r = find(s, &queue, &dead, err);
  if (r || (!queue && !dead)) return r;
  if (!s->nodes[0].graph->env->disks) return weir_fail(err, WEIR_E_UNSUPPORTED, "this process has no queues on disk");
  return sender_open_storage(s->sender, s->nodes[0].graph->env->disks, queue, dead, err);
}

void graph_find_orphans(const struct graph *g) {
  for (size_t i = 0; i < g->n_sites && g->env->disks; i++) {
    const struct site *s = g->sites[i];
    const struct weir_stage *e = s->role == WEIR_EXTENSION ? &s->nodes[0].stage : NULL;
    const struct weir_storage *storage = e && e->entry->type.offer ? e->entry->type.offer(e->self, WEIR_STORAGE_SERVICE) : NULL;
    if (storage) disks_find_orphans(g->env->disks, storage->settings(e->self)->directory);
  }
}

int graph_replay(const struct graph *g, const char *queue, uint64_t *ret_items) {
  for (size_t i = 0; i < g->n_sites; i++)
    if (g->sites[i]->sender && sender_replay(g->sites[i]->sender, queue, ret_items) == 0) return 0;
  return WEIR_E_STATE;
}
