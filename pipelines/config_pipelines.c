/* service::pipelines and service::extensions: what uses what, and whether it can. */
#include <string.h>

#include "core/nearest.h"
#include "pipelines/config_internal.h"

struct signal {
  const char *name;
  uint32_t bit;
};

static const struct signal signals[] = { { "traces", WEIR_TRACES }, { "metrics", WEIR_METRICS }, { "logs", WEIR_LOGS } };
#define N_SIGNALS (sizeof signals / sizeof *signals)

uint32_t config_signal(const char *name) {
  for (size_t i = 0; i < N_SIGNALS; i++)
    if (strcmp(signals[i].name, name) == 0) return signals[i].bit;
  return 0;
}

const char *config_signal_name(uint32_t signal) {
  for (size_t i = 0; i < N_SIGNALS; i++)
    if (signals[i].bit == signal) return signals[i].name;
  return "";
}

static const char *signal_list(struct arena *a, uint32_t mask) {
  const char *list = "";
  for (size_t i = 0; i < N_SIGNALS; i++)
    if (mask & signals[i].bit) list = arena_printf(a, "%s%s%s", list, *list ? ", " : "", signals[i].name);
  return *list ? list : "no signal";
}

/* --- references ------------------------------------------------------------------------------ */

/* A list that names components: where it stands and what may stand in it. */
struct use {
  const char *owner; /* "service::pipelines::traces" */
  uint32_t role;
  int connectors; /* a connector may stand there too */
};

static void offer_ids(const struct config_loader *l, uint32_t role, struct nearest *near) {
  for (const struct config_component *c = l->config->components; c; c = c->next)
    if (c->role == role) nearest_offer(near, c->id);
}

#define IDS_SHOWN 20

static void note_defined(struct config_loader *l, const struct use *u) {
  const char *list = "";
  size_t n = 0;
  for (const struct config_component *c = l->config->components; c; c = c->next)
    if ((c->role == u->role || (u->connectors && c->role == WEIR_CONNECTOR)) && n++ < IDS_SHOWN)
      list = arena_printf(&l->config->arena, "%s%s%s", list, *list ? ", " : "", c->id);
  if (n)
    diag_note(
      l->ds, "%ss%s: %s%s", config_section(u->role)->noun, u->connectors ? " and connectors" : "", list, n > IDS_SHOWN ? ", ..." : "");
  else
    diag_note(l->ds, "no %s is defined", config_section(u->role)->noun);
}

/* The id is not configured in this role: where is it, what is near, where could it be defined. */
static void unconfigured(struct config_loader *l, const struct use *u, const struct config_ref *ref) {
  const struct config_section *s = config_section(u->role);
  struct nearest near;
  diag_error(l->ds, ref->pos, "%s: references %s \"%s\" which is not configured", u->owner, s->noun, ref->id);
  if (!l->ds->newest) return;
  for (const struct config_section *o = config_sections; o->key; o++) {
    struct config_known *k = o->role == u->role ? NULL : config_find(l, o->role, ref->id);
    if (!k) continue;
    diag_caret(l->ds, "`%s` is defined as %s %s, at %s; define it below `%s:` too", ref->id, strchr("aeio", o->noun[0]) ? "an" : "a",
      o->noun, config_where(l, ref->pos, k->component->pos), s->key);
    k->told = 1;
    note_defined(l, u);
    return;
  }
  nearest_init(&near, ref->id);
  offer_ids(l, u->role, &near);
  if (u->connectors) offer_ids(l, WEIR_CONNECTOR, &near);
  if (near.best) {
    struct config_known *k = config_find(l, u->role, near.best);
    if (!k) k = config_find(l, WEIR_CONNECTOR, near.best);
    k->component->used = 1; /* most likely: so its settings are checked too */
    diag_caret(l->ds, "did you mean `%s`?", near.best);
  } else
    diag_caret(l->ds, "define it: add `%s:` below `%s:`", ref->id, s->key);
  note_defined(l, u);
}

static void resolve(struct config_loader *l, const struct use *u, struct config_ref *ref) {
  struct config_known *k = config_find(l, u->role, ref->id);
  if (!k && u->connectors) k = config_find(l, WEIR_CONNECTOR, ref->id);
  if (!k) {
    if (!(l->broken & (1u << u->role))) unconfigured(l, u, ref);
    return;
  }
  if (k->listed_in == l->lists) {
    diag_error(l->ds, ref->pos, "%s: references %s \"%s\" multiple times", u->owner, config_section(u->role)->noun, ref->id);
    if (u->role == WEIR_PROCESSOR)
      diag_caret(l->ds, "remove it, or define a second one, such as `%s/2`", ref->id);
    else
      diag_caret(l->ds, "remove it");
    return;
  }
  k->listed_in = l->lists;
  k->component->used = 1;
  ref->component = k->component;
}

/* One text for a list is split at commas, as the Collector does. */
static const struct yaml_node *as_list(struct arena *a, const struct yaml_node *node) {
  struct yaml_node *list = arena_zalloc(a, sizeof *list);
  if (node->kind != YAML_SCALAR) return node;
  list->kind = YAML_SEQ;
  list->pos = node->pos;
  list->items = arena_alloc(a, (strlen(node->text) + 1) * sizeof *list->items);
  for (const char *p = node->text; p;) {
    size_t n = strcspn(p, ",");
    list->items[list->n++] = yaml_new_scalar(a, node->pos, arena_strndup(a, p, n));
    p = p[n] ? p + n + 1 : NULL;
  }
  return list;
}

static size_t read_refs(
  struct config_loader *l, const struct use *u, const char *key, const struct yaml_node *node, struct config_ref **ret) {
  struct arena *a = &l->config->arena;
  size_t n = 0;
  const char *type;
  if (!node || node->kind == YAML_NULL || node->kind == YAML_BROKEN) return 0;
  if (node->kind == YAML_MAP) {
    diag_error(l->ds, node->pos, "%s: `%s` must be a list of ids, got a mapping", u->owner, key);
    diag_caret(
      l->ds, "write [%s]; settings belong below `%s:` at the top", node->n ? node->keys[0]->text : "", config_section(u->role)->key);
    return 0;
  }
  node = as_list(a, node);
  *ret = arena_zalloc(a, (node->n + 1) * sizeof **ret);
  l->lists++;
  for (size_t i = 0; i < node->n; i++) {
    struct config_ref ref = { .pos = node->items[i]->pos };
    if (node->items[i]->kind == YAML_SCALAR) {
      if (config_parse_id(l, node->items[i], &ref.id, &type)) continue;
      resolve(l, u, &ref);
      if (ref.component) (*ret)[n++] = ref;
    } else if (node->items[i]->kind != YAML_BROKEN) {
      diag_error(l->ds, ref.pos, "%s: `%s` must be a list of ids", u->owner, key);
      diag_caret(l->ds, node->items[i]->kind == YAML_MAP ? "only the id belongs here, without `:` and settings" : "an id is missing here");
    }
  }
  return n;
}

void config_read_extensions(struct config_loader *l, const struct yaml_node *extensions) {
  struct use u = { "service::extensions", WEIR_EXTENSION, 0 };
  l->config->n_extensions = read_refs(l, &u, "extensions", extensions, &l->config->extensions);
}

/* --- pipelines ------------------------------------------------------------------------------- */

struct pipeline_keys {
  const struct yaml_node *receivers, *processors, *exporters;
  int32_t ack;
};

static const struct weir_field pipeline_fields[] = {
  { .name = "receivers",
    .type = SCHEMA_T_NODE,
    .offset = offsetof(struct pipeline_keys, receivers),
    .doc = "Ids of receivers and connectors." },
  { .name = "processors",
    .type = SCHEMA_T_NODE,
    .offset = offsetof(struct pipeline_keys, processors),
    .doc = "Ids of processors, in their order." },
  { .name = "exporters",
    .type = SCHEMA_T_NODE,
    .offset = offsetof(struct pipeline_keys, exporters),
    .doc = "Ids of exporters and connectors." },
  { .name = "ack",
    .type = WEIR_T_ENUM,
    .offset = offsetof(struct pipeline_keys, ack),
    .dflt = "queued",
    .choices = "queued|delivered",
    .doc = "When a sender is answered: queued, as soon as its data is held, or delivered, when the back end has it." },
  WEIR_FIELD_END,
};

const struct schema_table config_pipeline_table = { pipeline_fields, sizeof(struct weir_field) };

static void unknown_signal(struct config_loader *l, const struct yaml_node *key, const char *signal) {
  struct nearest near;
  if (strcmp(signal, "profiles") == 0) {
    diag_error(l->ds, key->pos, "pipelines of profiles are not supported");
    diag_caret(l->ds, "remove it: weir takes traces, metrics and logs");
    return;
  }
  diag_error(l->ds, key->pos, "service::pipelines: unknown signal \"%s\" in pipeline \"%s\"", signal, key->text);
  nearest_init(&near, signal);
  for (size_t i = 0; i < N_SIGNALS; i++) nearest_offer(&near, signals[i].name);
  if (near.best) diag_caret(l->ds, "did you mean `%s%s`?", near.best, strchr(key->text, '/') ? strchr(key->text, '/') : "");
  diag_note(l->ds, "a pipeline is named traces, metrics or logs, or traces/NAME and so on");
}

static void need_refs(
  struct config_loader *l, const struct config_pipeline *p, const struct yaml_node *body, const char *noun, const struct yaml_node *list) {
  if (list && list->kind != YAML_NULL && !(list->kind == YAML_SEQ && list->n == 0)) return; /* what is in it was told already */
  const char *key = arena_printf(&l->config->arena, "%ss", noun);
  const struct yaml_node *at = yaml_key(body, key);
  diag_error(l->ds, at ? at->pos : p->pos, "service::pipelines::%s: must have at least one %s", p->id, noun);
  diag_caret(l->ds, at ? "put an id into the list, such as [%s]" : "add `%s: [...]` below this",
    at ? strcmp(noun, "receiver") ? "debug" : "otlp" : key);
}

static void read_pipeline(struct config_loader *l, const struct yaml_node *key, const struct yaml_node *body) {
  struct arena *a = &l->config->arena;
  struct config_pipeline *p = arena_zalloc(a, sizeof *p);
  struct pipeline_keys keys = { 0 };
  struct schema_binding binding = { { pipeline_fields, sizeof(struct weir_field) }, &keys };
  const char *type;
  uint32_t before = l->ds->n_errors;
  if (config_parse_id(l, key, &p->id, &type)) return;
  for (const struct config_pipeline *q = l->config->pipelines; q; q = q->next) {
    if (strcmp(q->id, p->id) != 0) continue;
    diag_error(l->ds, key->pos, "duplicate pipeline \"%s\"", p->id);
    diag_caret(l->ds, "the same as at %s", config_where(l, key->pos, q->pos));
    return;
  }
  p->pos = key->pos;
  p->signal = config_signal(type);
  if (!p->signal) unknown_signal(l, key, type);
  schema_bind(a, l->ds, arena_printf(a, "pipeline `%s`", p->id), key->pos, body, &binding, 1);
  struct use u = { arena_printf(a, "service::pipelines::%s", p->id), WEIR_RECEIVER, 1 };
  p->n_receivers = read_refs(l, &u, "receivers", keys.receivers, &p->receivers);
  u.role = WEIR_PROCESSOR, u.connectors = 0;
  p->n_processors = read_refs(l, &u, "processors", keys.processors, &p->processors);
  u.role = WEIR_EXPORTER, u.connectors = 1;
  p->n_exporters = read_refs(l, &u, "exporters", keys.exporters, &p->exporters);
  p->ack_delivered = keys.ack == 1;
  int whole = l->ds->n_errors == before || (body && body->kind == YAML_MAP);
  if (whole) need_refs(l, p, body, "receiver", keys.receivers);
  if (whole) need_refs(l, p, body, "exporter", keys.exporters);
  if (!p->signal) return;
  *l->last_pipeline = p;
  l->last_pipeline = &p->next;
}

void config_read_pipelines(struct config_loader *l, const struct yaml_node *pipelines, struct pos at) {
  if (pipelines && (pipelines->kind == YAML_SEQ || pipelines->kind == YAML_SCALAR)) {
    diag_error(
      l->ds, pipelines->pos, "`service.pipelines` must be a mapping of pipelines, got %s", pipelines->kind == YAML_SEQ ? "a list" : "text");
    diag_caret(l->ds, "write `traces:` with `receivers` and `exporters` below it");
    return;
  }
  if (!pipelines || pipelines->n == 0) {
    if (pipelines && pipelines->kind == YAML_BROKEN) return;
    diag_error(l->ds, at, "service must have at least one pipeline");
    diag_note(l->ds, "add one below `service:`, such as `pipelines: {traces: {receivers: [otlp], exporters: [debug]}}`");
    return;
  }
  for (size_t i = 0; i < pipelines->n; i++) read_pipeline(l, pipelines->keys[i], pipelines->items[i]);
}

/* --- signals, connectors -------------------------------------------------------------------- */

static void check_signal(struct config_loader *l, const struct config_pipeline *p, const struct config_ref *ref, int as_receiver) {
  const struct config_component *c = ref->component;
  if (!c->entry) return;
  uint32_t in = c->entry->type.signals, out = c->entry->type.out_signals ? c->entry->type.out_signals : in;
  uint32_t can = c->role == WEIR_CONNECTOR && as_receiver ? out : in;
  if (can & p->signal) return;
  const char *noun = config_section(c->role)->noun;
  diag_error(l->ds, ref->pos, "%s `%s` does not support %s", noun, c->id, config_signal_name(p->signal));
  if (c->role == WEIR_CONNECTOR)
    diag_caret(l->ds, "it %s %s", as_receiver ? "gives" : "takes", signal_list(&l->config->arena, can));
  else
    diag_caret(l->ds, "it supports %s", signal_list(&l->config->arena, can));
}

static int lists(const struct config_ref *refs, size_t n, const struct config_component *c) {
  for (size_t i = 0; i < n; i++)
    if (refs[i].component == c) return 1;
  return 0;
}

static int carries(const struct weir_stage_type *t, uint32_t from, uint32_t to) {
  return (t->signals & from) && (t->out_signals ? (t->out_signals & to) != 0 : from == to);
}

/* A connector used here as exporter (or receiver) must be used as the other in a pipeline that it can carry data to (or from). */
static void check_connector(struct config_loader *l, const struct config_pipeline *p, const struct config_ref *ref, int as_receiver) {
  const struct config_component *c = ref->component;
  int found = 0, other_side = 0;
  if (c->role != WEIR_CONNECTOR || !c->entry) return;
  for (const struct config_pipeline *q = l->config->pipelines; q && !found; q = q->next) {
    if (!(as_receiver ? lists(q->exporters, q->n_exporters, c) : lists(q->receivers, q->n_receivers, c))) continue;
    other_side = 1;
    found = as_receiver ? carries(&c->entry->type, q->signal, p->signal) : carries(&c->entry->type, p->signal, q->signal);
  }
  if (found) return;
  const char *here = as_receiver ? "receiver" : "exporter", *there = as_receiver ? "exporter" : "receiver";
  diag_error(
    l->ds, ref->pos, "connector \"%s\" used as %s in [%s] pipeline but not used in any supported %s pipeline", c->id, here, p->id, there);
  if (other_side)
    diag_caret(l->ds, "it can not carry %s to the pipelines that it is used in", config_signal_name(p->signal));
  else
    diag_caret(l->ds, "list it in `%ss:` of another pipeline too", there);
}

static void check_refs(struct config_loader *l, const struct config_pipeline *p, const struct config_ref *refs, size_t n, int as_receiver) {
  for (size_t i = 0; i < n; i++) {
    uint32_t before = l->ds->n_errors;
    check_signal(l, p, &refs[i], as_receiver);
    if (l->ds->n_errors == before) check_connector(l, p, &refs[i], as_receiver);
  }
}

/* The Collector's advice, too; it does not look. With `ack: delivered` the senders still wait behind a stage that holds. */
static void check_limiter(struct config_loader *l, const struct config_pipeline *p) {
  const struct config_component *holds = NULL;
  for (size_t i = 0; i < p->n_processors && !p->ack_delivered; i++) {
    const struct config_component *c = p->processors[i].component;
    if (!c->entry) continue;
    if (c->entry->type.flags & WEIR_HOLDS) holds = c;
    if (!holds || strcmp(c->entry->type.name, "memory_limiter") != 0) continue;
    diag_warn(l->ds, p->processors[i].pos, "processor `%s` stands behind `%s`, which has answered the senders: what it refuses is lost", c->id, holds->id);
    diag_caret(l->ds, "put it first");
    return;
  }
}

/* Who decides minutes later can not keep a request waiting for that. */
static void check_delivered(struct config_loader *l, const struct config_pipeline *p) {
  for (size_t i = 0; i < p->n_processors && p->ack_delivered; i++) {
    const struct config_component *c = p->processors[i].component;
    if (!c->entry || !(c->entry->type.flags & WEIR_ABSORBS)) continue;
    diag_error(l->ds, p->processors[i].pos, "processor `%s` can not stand in a pipeline with `ack: delivered`", c->id);
    diag_caret(l->ds, "it answers for what it holds before it knows what becomes of it");
    diag_note(l->ds, "leave `ack: delivered` out of pipeline `%s`, or sample in a pipeline of its own", p->id);
  }
}

void config_check_pipelines(struct config_loader *l) {
  for (const struct config_pipeline *p = l->config->pipelines; p; p = p->next) {
    check_refs(l, p, p->receivers, p->n_receivers, 1);
    check_refs(l, p, p->processors, p->n_processors, 0);
    check_refs(l, p, p->exporters, p->n_exporters, 0);
    check_limiter(l, p);
    check_delivered(l, p);
  }
}

/* --- queues on disk ---------------------------------------------------------------------------- */

static int leads_to_disk(const struct config_loader *l, const struct config_component *c) {
  if (c->role != WEIR_CONNECTOR) return c->sender && c->sender->queue.enabled && c->sender->queue.storage;
  for (const struct config_pipeline *p = l->config->pipelines; p; p = p->next)
    if (lists(p->receivers, p->n_receivers, c) && !p->stored) return 0;
  return 1;
}

/* A pipeline is stored until one of its exporters is not, or a pipeline behind one of its connectors. */
void config_mark_stored(struct config_loader *l) {
  for (struct config_pipeline *p = l->config->pipelines; p; p = p->next) p->stored = 1;
  for (int changed = 1; changed;) {
    changed = 0;
    for (struct config_pipeline *p = l->config->pipelines; p; p = p->next)
      for (size_t i = 0; i < p->n_exporters && p->stored; i++)
        if (!leads_to_disk(l, p->exporters[i].component)) p->stored = 0, changed = 1;
  }
}
