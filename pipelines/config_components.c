/* receivers, processors, exporters, connectors, extensions: ids, stages, their own keys. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/config_internal.h"

/* --- the index ------------------------------------------------------------------------------- */

static uint32_t bucket(uint32_t role, const char *id) {
  uint32_t h = 2166136261u ^ role;
  for (; *id; id++) h = (h ^ (unsigned char)*id) * 16777619u;
  return h % CONFIG_BUCKETS;
}

struct config_known *config_find(const struct config_loader *l, uint32_t role, const char *id) {
  struct config_known *k = l->known[bucket(role, id)];
  while (k && (k->component->role != role || strcmp(k->component->id, id) != 0)) k = k->next;
  return k;
}

static void add(struct config_loader *l, const struct config_component *from) {
  struct config_component *c = arena_alloc(&l->config->arena, sizeof *c);
  struct config_known *k = arena_zalloc(&l->config->arena, sizeof *k);
  uint32_t b = bucket(from->role, from->id);
  *c = *from;
  k->component = c;
  k->next = l->known[b];
  l->known[b] = k;
  *l->last_component = c;
  l->last_component = &c->next;
}

const char *config_where(const struct config_loader *l, struct pos from, struct pos of) {
  struct arena *a = &l->config->arena;
  if (from.file == of.file || of.file >= l->ds->n_files) return arena_printf(a, "line %u", of.line);
  return arena_printf(a, "%s:%u", l->ds->files[of.file].name, of.line);
}

/* --- ids --------------------------------------------------------------------------------------- */

/* A connector stands in lists of receivers and of exporters, so its id must differ from theirs. */
static int is_ambiguous(struct config_loader *l, const struct config_component *c) {
  static const uint32_t roles[] = { WEIR_RECEIVER, WEIR_EXPORTER };
  for (size_t i = 0; c->role == WEIR_CONNECTOR && i < 2; i++) {
    const char *noun = config_section(roles[i])->noun;
    struct config_known *k = config_find(l, roles[i], c->id);
    if (!k) continue;
    diag_error(l->ds, c->pos,
      "connectors::%s: ambiguous ID: Found both \"%s\" %s and \"%s\" connector. Change one of the components' IDs to eliminate ambiguity "
      "(e.g. rename \"%s\" connector to \"%s/connector\")",
      c->id, c->id, noun, c->id, c->id, c->id);
    diag_caret(l->ds, "the %s is at %s", noun, config_where(l, c->pos, k->component->pos));
    return 1;
  }
  return 0;
}

static void not_a_section(struct config_loader *l, const struct config_section *s, const struct yaml_node *node) {
  const char *first = node->kind == YAML_SCALAR ? node->text : node->n && node->items[0]->kind == YAML_SCALAR ? node->items[0]->text : NULL;
  l->broken |= 1u << s->role;
  diag_error(
    l->ds, node->pos, "`%s` must be a mapping of ids to their settings, got %s", s->key, node->kind == YAML_SEQ ? "a list" : "text");
  if (node->not_yaml) diag_note(l->ds, "not valid YAML: %s", node->not_yaml);
  if (node->expanded)
    diag_caret(l->ds, "what this gives is not a YAML mapping");
  else if (first && strlen(first) < 40 && strcspn(first, ": ") == strlen(first))
    diag_caret(l->ds, "write `%s:`", first);
  else if (first && strchr(first, ':'))
    diag_caret(l->ds, "put a space after the colon");
  else
    diag_caret(l->ds, "put each id on a line of its own, with a `:` behind it");
}

static void read_section(struct config_loader *l, const struct config_section *s) {
  const struct yaml_node *map = yaml_get(l->config->root, s->key);
  if (map && map->kind == YAML_BROKEN) l->broken |= 1u << s->role;
  if (!map || map->kind == YAML_NULL || map->kind == YAML_BROKEN) return;
  if (map->kind != YAML_MAP) {
    not_a_section(l, s, map);
    return;
  }
  for (size_t i = 0; i < map->n; i++) {
    struct config_component c = { .role = s->role, .pos = map->keys[i]->pos, .body = map->items[i] };
    if (config_is_section(map->keys[i]->text) || config_parse_id(l, map->keys[i], &c.id, &c.type)) continue;
    struct config_known *twin = config_find(l, c.role, c.id);
    if (twin) {
      diag_error(l->ds, c.pos, "duplicate ID \"%s\" in %s", c.id, s->key);
      diag_caret(l->ds, "the same as at %s", config_where(l, c.pos, twin->component->pos));
      continue;
    }
    if (!is_ambiguous(l, &c)) add(l, &c);
  }
}

void config_read_components(struct config_loader *l) {
  for (const struct config_section *s = config_sections; s->key; s++) read_section(l, s);
}

/* --- stages ------------------------------------------------------------------------------------ */

static void not_loaded(struct config_loader *l, const struct config_component *c, const struct weir_error *err) {
  const struct config_section *s = config_section(c->role);
  struct weir_error other;
  if (err->code != WEIR_E_CONFIG) { /* there is a file, but it was refused */
    diag_error(l->ds, c->pos, "%s `%s`: %s", s->noun, c->id, err->msg);
    if (err->hint[0]) diag_note(l->ds, "%s", err->hint);
    return;
  }
  diag_error(l->ds, c->pos, "%s: unknown type: \"%s\" for id: \"%s\"", s->key, c->type, c->id);
  if (err->hint[0]) diag_caret(l->ds, "%s", err->hint);
  for (const struct config_section *o = config_sections; o->key && l->ds->newest; o++)
    if (o != s && l->lookup->find(l->registry, o->role, c->type, &other))
      diag_note(l->ds, "there is %s %s `%s`: it belongs below `%s:`", strchr("aeio", o->noun[0]) ? "an" : "a", o->noun, c->type, o->key);
  diag_note(l->ds, "`weir components` lists what there is");
}

static int has_field(struct schema_table t, const char *name, struct weir_field *ret) {
  for (size_t i = 0; schema_field(t, i, ret); i++)
    if (strcmp(ret->name, name) == 0) return 1;
  return 0;
}

/* Keys that slipped out of the component by their indentation, and are now taken for components beside it. */
static int tell_fallen(struct config_loader *l, const struct config_component *c) {
  struct schema_table own = { c->entry->type.fields, c->entry->type.field_size };
  struct schema_table host = { c->entry->type.flags & WEIR_QUEUED ? sender_fields : NULL, sizeof(struct weir_field) };
  struct weir_error err;
  struct weir_field f;
  int any = 0;
  for (const struct config_component *next = c->next; next && !next->used && next->role == c->role; next = next->next) {
    if (!has_field(own, next->id, &f) && !has_field(host, next->id, &f)) break;
    if (l->lookup->find(l->registry, next->role, next->type, &err)) break;
    diag_error(l->ds, next->pos, "`%s` stands beside `%s`, not below it", next->id, c->id);
    diag_caret(l->ds, "`%s` is a key of %s `%s`: indent it more", next->id, config_section(c->role)->noun, c->id);
    config_find(l, next->role, next->id)->told = any = 1;
  }
  return any && (!c->body || c->body->kind == YAML_NULL);
}

/* The Collector's remote write exporter has its queue under a name of its own, in the exporter's table: {enabled, queue_size}. */
static void take_queue(struct config_loader *l, const struct config_component *c, struct schema_table own, const void *config, struct sender_config *sender,
  const char *what) {
  struct weir_field queue, enabled, size;
  if (!has_field(own, "remote_write_queue", &queue) || queue.type != WEIR_T_GROUP) return;
  struct schema_table keys = { queue.group, own.field_size };
  const struct yaml_node *both = yaml_get(c->body, "sending_queue");
  if (both && yaml_get(c->body, "remote_write_queue")) {
    diag_error(l->ds, both->pos, "`sending_queue` and `remote_write_queue` of %s are two names of one queue", what);
    diag_caret(l->ds, "keep one of the two");
  }
  if (both || !has_field(keys, "enabled", &enabled) || !has_field(keys, "queue_size", &size)) return;
  memcpy(&sender->queue.enabled, (const char *)config + enabled.offset, sizeof sender->queue.enabled);
  memcpy(&sender->queue.queue_size, (const char *)config + size.offset, sizeof sender->queue.queue_size);
}

static void warn_of(struct config_loader *l, const struct config_component *c, const char *what, const char *field, const char *why) {
  diag_warn(l->ds, schema_find(c->body, c->pos, field), "`%s` of %s without a queue (sending_queue.enabled: false)", field, what);
  diag_caret(l->ds, "%s", why);
}

static void warn_without_queue(struct config_loader *l, const struct config_component *c, const char *what) {
  if (c->sender->queue.enabled) return;
  if (c->sender->queue.storage) warn_of(l, c, what, "sending_queue.storage", "it has no effect: nothing is kept on disk");
  if (c->sender->queue.dead_letter)
    warn_of(l, c, what, "sending_queue.dead_letter", "whoever waits hears of a refusal: only what nobody waits for is kept");
}

static void bind(struct config_loader *l, struct config_component *c) {
  struct arena *a = &l->config->arena;
  const struct weir_stage_type *t = &c->entry->type;
  struct schema_table own = { t->fields, t->field_size }, host = { sender_fields, sizeof(struct weir_field) };
  struct sender_config *sender = t->flags & WEIR_QUEUED ? arena_zalloc(a, sizeof *sender) : NULL;
  void *config = arena_zalloc(a, t->config_size + 1);
  struct schema_binding bindings[] = { { own, config }, { host, sender } };
  struct weir_field timeout;
  const char *what = arena_printf(a, "%s `%s`", config_section(c->role)->noun, c->id);
  struct yaml_node fallen = { .kind = YAML_BROKEN };
  uint32_t errors = l->ds->n_errors;
  schema_bind(a, l->ds, what, c->pos, tell_fallen(l, c) ? &fallen : c->body, bindings, sender ? 2 : 1);
  if (l->ds->n_errors > errors) diag_note(l->ds, "all its keys: weir doc %s/%s", config_section(c->role)->noun, t->name);
  c->config = config;
  c->sender = sender;
  if (!sender) return;
  if (has_field(own, "timeout", &timeout) && timeout.type == WEIR_T_DURATION)
    memcpy(&sender->timeout_ns, (char *)config + timeout.offset, sizeof sender->timeout_ns);
  take_queue(l, c, own, config, sender, what);
  warn_without_queue(l, c, what);
  struct weir_error err = { 0 };
  if (!sender_fields_check(sender, &err)) return;
  diag_error(l->ds, schema_find(c->body, c->pos, err.field), "`%s` of %s: %s", err.field, what, err.msg);
  diag_caret(l->ds, "%s", err.hint);
}

void config_bind_components(struct config_loader *l) {
  for (struct config_component *c = l->config->components; c; c = c->next) {
    struct weir_error err = { 0 };
    if (!c->used) continue;
    c->entry = l->lookup->find(l->registry, c->role, c->type, &err);
    if (c->entry)
      bind(l, c);
    else
      not_loaded(l, c, &err);
  }
}

/* --- unused ------------------------------------------------------------------------------------ */

void config_warn_unused(struct config_loader *l) {
  if (!l->config->pipelines) return; /* then nothing is used, which was told */
  for (const struct config_component *c = l->config->components; c; c = c->next) {
    const struct config_section *s = config_section(c->role);
    if (c->used || config_find(l, c->role, c->id)->told) continue;
    diag_warn(l->ds, c->pos, "%s `%s` is defined but not used", s->noun, c->id);
    if (l->ds->newest) l->ds->newest->untyped = 1; /* its table was not looked at */
    if (c->role == WEIR_EXTENSION)
      diag_caret(l->ds, "list it in `extensions:` of `service`, or remove it");
    else if (c->role == WEIR_CONNECTOR)
      diag_caret(l->ds, "list it as exporter of one pipeline and receiver of another, or remove it");
    else
      diag_caret(l->ds, "list it in `%s:` of a pipeline, or remove it", s->key);
  }
}
