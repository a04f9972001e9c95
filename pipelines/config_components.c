/* receivers, processors, exporters, connectors, extensions: ids, stages, their own keys. */
#include <stdlib.h>
#include <string.h>

#include "core/nearest.h"
#include "core/parse.h"
#include "pipelines/config_internal.h"

const struct config_section config_sections[] = {
  { "receivers", "receiver", WEIR_RECEIVER },
  { "processors", "processor", WEIR_PROCESSOR },
  { "exporters", "exporter", WEIR_EXPORTER },
  { "connectors", "connector", WEIR_CONNECTOR },
  { "extensions", "extension", WEIR_EXTENSION },
  { NULL, NULL, 0 },
};

const struct config_section *config_section(uint32_t role) {
  const struct config_section *s = config_sections;
  while (s->key && s->role != role) s++;
  return s;
}

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

/* --- ids --------------------------------------------------------------------------------------- */

/* A connector stands in lists of receivers and of exporters, so its id must differ from theirs. */
static void check_ambiguous(struct config_loader *l, const struct config_component *c) {
  static const uint32_t roles[] = { WEIR_RECEIVER, WEIR_EXPORTER };
  for (size_t i = 0; c->role == WEIR_CONNECTOR && i < 2; i++) {
    const char *noun = config_section(roles[i])->noun;
    struct config_known *k = config_find(l, roles[i], c->id);
    if (!k) continue;
    diag_error(l->ds, c->pos,
      "connectors::%s: ambiguous ID: Found both \"%s\" %s and \"%s\" connector. Change one of the components' IDs to eliminate ambiguity "
      "(e.g. rename \"%s\" connector to \"%s/connector\")",
      c->id, c->id, noun, c->id, c->id, c->id);
    diag_caret(l->ds, "the %s is at line %u", noun, k->component->pos.line);
  }
}

static void read_section(struct config_loader *l, const struct config_section *s) {
  const struct yaml_node *key = yaml_key(l->config->root, s->key), *map = yaml_get(l->config->root, s->key);
  if (!map || map->kind == YAML_NULL || map->kind == YAML_BROKEN) return;
  if (map->kind != YAML_MAP) {
    diag_error(l->ds, map->pos, "`%s` must be a mapping of ids to their settings, got %s", s->key, map->kind == YAML_SEQ ? "a list" : "text");
    diag_caret(l->ds, map->kind == YAML_SEQ ? "write `otlp:` instead of `- otlp`" : "put each id on a line of its own, with a `:` behind it");
    return;
  }
  for (size_t i = 0; i < map->n; i++) {
    struct config_component c = { .role = s->role, .pos = map->keys[i]->pos, .body = map->items[i] };
    if (config_parse_id(l, map->keys[i], &c.id, &c.type)) continue;
    struct config_known *twin = config_find(l, c.role, c.id);
    if (twin) {
      diag_error(l->ds, c.pos, "duplicate ID \"%s\" in %s", c.id, s->key);
      diag_caret(l->ds, "the same as in line %u", twin->component->pos.line);
      continue;
    }
    check_ambiguous(l, &c);
    add(l, &c);
  }
  (void)key;
}

/* --- sections ---------------------------------------------------------------------------------- */

static int is_section(const char *name) {
  if (strcmp(name, "service") == 0) return 1;
  for (const struct config_section *s = config_sections; s->key; s++)
    if (strcmp(name, s->key) == 0) return 1;
  return 0;
}

static void unknown_section(struct config_loader *l, const struct yaml_node *root, size_t i) {
  static const char *const in_service[] = { "pipelines", "telemetry", "lanes", "memory_limit", "drain", "plugins" };
  const char *name = root->keys[i]->text;
  struct nearest near;
  diag_error(l->ds, root->keys[i]->pos, "unknown section `%s` in the configuration", name);
  nearest_init(&near, name);
  for (const struct config_section *s = config_sections; s->key; s++) nearest_offer(&near, s->key);
  nearest_offer(&near, "service");
  int below_service = 0;
  for (size_t k = 0; k < sizeof in_service / sizeof *in_service; k++) below_service |= strcmp(name, in_service[k]) == 0;
  if (below_service) diag_caret(l->ds, "`%s` belongs below `service:`", name);
  else if (near.best) diag_caret(l->ds, "did you mean `%s`?", near.best);
  else if (i > 0 && root->items[i - 1]->kind == YAML_NULL && is_section(root->keys[i - 1]->text))
    diag_caret(l->ds, "if it belongs below `%s:`, indent it", root->keys[i - 1]->text);
  diag_note(l->ds, "allowed here: connectors, exporters, extensions, processors, receivers, service");
}

static void need_section(struct config_loader *l, const char *key, const char *msg, const char *note) {
  const struct yaml_node *map = yaml_get(l->config->root, key), *at = yaml_key(l->config->root, key);
  if (map && map->kind != YAML_NULL && !(map->kind == YAML_MAP && map->n == 0)) return;
  struct pos whole = { l->config->root->pos.file, 0, 0, 0 };
  diag_error(l->ds, at ? at->pos : whole, "%s", msg);
  if (at) diag_caret(l->ds, "nothing stands below it");
  diag_note(l->ds, "%s", note);
}

void config_read_components(struct config_loader *l) {
  const struct yaml_node *root = l->config->root;
  for (size_t i = 0; i < root->n; i++)
    if (!is_section(root->keys[i]->text)) unknown_section(l, root, i);
  need_section(l, "receivers", "no receiver configuration specified in config", "add `receivers:` with at least one below it, such as `otlp:`");
  need_section(l, "exporters", "no exporter configuration specified in config", "add `exporters:` with at least one below it, such as `debug:`");
  for (const struct config_section *s = config_sections; s->key; s++) read_section(l, s);
}

/* --- stages ------------------------------------------------------------------------------------ */

static void not_loaded(struct config_loader *l, const struct config_component *c, const struct weir_error *err) {
  const struct config_section *s = config_section(c->role);
  struct weir_error other;
  if (err->code != WEIR_E_UNSUPPORTED) { /* there is a file, but it was refused */
    diag_error(l->ds, c->pos, "%s `%s`: %s", s->noun, c->id, err->msg);
    if (err->hint[0]) diag_note(l->ds, "%s", err->hint);
    return;
  }
  diag_error(l->ds, c->pos, "%s: unknown type: \"%s\" for id: \"%s\"", s->key, c->type, c->id);
  if (err->hint[0]) diag_caret(l->ds, "%s", err->hint);
  for (const struct config_section *o = config_sections; o->key && l->ds->newest; o++)
    if (o != s && l->lookup->find(l->registry, o->role, c->type, &other)) diag_note(l->ds, "there is %s %s `%s`: it belongs below `%s:`", strchr("aeio", o->noun[0]) ? "an" : "a", o->noun, c->type, o->key);
  diag_note(l->ds, "`weir components` lists what there is");
}

static int has_field(struct schema_table t, const char *name, struct weir_field *ret) {
  for (size_t i = 0; schema_field(t, i, ret); i++)
    if (strcmp(ret->name, name) == 0) return 1;
  return 0;
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
  schema_bind(a, l->ds, what, c->pos, c->body, bindings, sender ? 2 : 1);
  c->config = config;
  c->sender = sender;
  if (!sender) return;
  if (has_field(own, "timeout", &timeout) && timeout.type == WEIR_T_DURATION) memcpy(&sender->timeout_ns, (char *)config + timeout.offset, sizeof sender->timeout_ns);
  if (!sender->queue.storage) return;
  diag_error(l->ds, schema_find(c->body, c->pos, "sending_queue.storage"), "`sending_queue.storage` of %s: queues on disk are not available yet", what);
  diag_caret(l->ds, "remove it: the queue is kept in memory");
}

void config_bind_components(struct config_loader *l) {
  for (struct config_component *c = l->config->components; c; c = c->next) {
    struct weir_error err = { 0 };
    if (!c->used) continue;
    c->entry = l->lookup->find(l->registry, c->role, c->type, &err);
    if (c->entry) bind(l, c);
    else not_loaded(l, c, &err);
  }
}

/* --- unused ------------------------------------------------------------------------------------ */

/* A key that slipped out of its component by its indentation: the component before it has a key of that name. */
static int slipped_out(struct config_loader *l, const struct config_component *before, const struct config_component *c) {
  struct weir_error err;
  struct weir_field f;
  if (!before || !before->entry || before->role != c->role) return 0;
  struct schema_table own = { before->entry->type.fields, before->entry->type.field_size };
  struct schema_table host = { before->entry->type.flags & WEIR_QUEUED ? sender_fields : NULL, sizeof(struct weir_field) };
  if (!has_field(own, c->id, &f) && !has_field(host, c->id, &f)) return 0;
  if (l->lookup->find(l->registry, c->role, c->type, &err)) return 0;
  diag_error(l->ds, c->pos, "`%s` stands beside `%s`, not below it", c->id, before->id);
  diag_caret(l->ds, "`%s` is a key of %s `%s`: indent it more", c->id, config_section(c->role)->noun, before->id);
  return 1;
}

void config_warn_unused(struct config_loader *l) {
  const struct config_component *before = NULL;
  for (const struct config_component *c = l->config->components; c; before = c, c = c->next) {
    const struct config_section *s = config_section(c->role);
    if (c->used) continue;
    if (is_section(c->id)) {
      diag_error(l->ds, c->pos, "the section `%s` stands below `%s`", c->id, s->key);
      diag_caret(l->ds, "move it to the beginning of the line");
    } else if (!slipped_out(l, before, c)) {
      diag_warn(l->ds, c->pos, "%s `%s` is defined but not used", s->noun, c->id);
      if (c->role == WEIR_EXTENSION) diag_caret(l->ds, "list it in `extensions:` of `service`, or remove it");
      else if (c->role == WEIR_CONNECTOR) diag_caret(l->ds, "list it as exporter of one pipeline and receiver of another, or remove it");
      else diag_caret(l->ds, "list it in `%s:` of a pipeline, or remove it", s->key);
    }
  }
}
