#include "core/yaml.h"

#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/yaml_internal.h"

static struct yaml_node *read_node(struct yaml_reader *, yaml_event_t *);

/* --- places ------------------------------------------------------------------------------------ */

static void index_lines(struct yaml_reader *r) {
  size_t n = 1;
  for (const char *p = r->text; (p = memchr(p, '\n', r->text_n - (size_t)(p - r->text))); p++) n++;
  r->lines = malloc(n * sizeof *r->lines);
  WEIR_ASSERT(r->lines != NULL);
  r->lines[r->n_lines++] = 0;
  for (const char *p = r->text; (p = memchr(p, '\n', r->text_n - (size_t)(p - r->text))); p++)
    r->lines[r->n_lines++] = (uint32_t)(p - r->text) + 1;
}

struct pos yaml_pos(const struct yaml_reader *r, size_t from, size_t to) {
  size_t lo = 0, hi = r->n_lines;
  while (hi - lo > 1) {
    size_t mid = lo + (hi - lo) / 2;
    if (r->lines[mid] <= from)
      lo = mid;
    else
      hi = mid;
  }
  size_t end = lo + 1 < r->n_lines ? r->lines[lo + 1] - 1u : r->text_n;
  if (to > end) to = end;
  while (to > from && (r->text[to - 1] == '\r' || r->text[to - 1] == ' ')) to--;
  struct pos p = { r->file, (uint32_t)lo + 1, (uint32_t)(from - r->lines[lo]) + 1, to > from ? (uint32_t)(to - from) : 0 };
  return p;
}

static int is_continuation(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

size_t yaml_byte(struct yaml_reader *r, struct cursor *c, size_t index) {
  const char *p = r->text + r->from;
  size_t n = r->to - r->from;
  while (c->index < index && c->byte < n) {
    c->byte++;
    while (c->byte < n && is_continuation(p[c->byte])) c->byte++;
    c->index++;
  }
  while (c->index > index && c->byte > 0) {
    c->byte--;
    while (c->byte > 0 && is_continuation(p[c->byte])) c->byte--;
    c->index--;
  }
  return r->from + c->byte;
}

static struct pos event_pos(struct yaml_reader *r, const yaml_event_t *ev) {
  size_t from = yaml_byte(r, &r->start, ev->start_mark.index), to = from;
  if (ev->type == YAML_SCALAR_EVENT || ev->type == YAML_ALIAS_EVENT)
    to = yaml_byte(r, &r->end, ev->end_mark.index);
  else if (r->text[from] == '[' || r->text[from] == '{')
    to = from + 1;
  return yaml_pos(r, from, to);
}

/* --- nodes --------------------------------------------------------------------------------------- */

static struct yaml_node *stop(struct yaml_reader *r) {
  r->failed = 1;
  return NULL;
}

static struct yaml_node *new_node(struct yaml_reader *r, int kind, struct pos pos) {
  if (++r->nodes > YAML_NODES_MAX) {
    diag_error(r->ds, pos, "the document has more than %d values, keys and lists", YAML_NODES_MAX);
    return stop(r);
  }
  struct yaml_node *node = arena_zalloc(r->arena, sizeof *node);
  node->kind = kind;
  node->pos = pos;
  return node;
}

/* Room for one more of n in a grown-by-doubling arena array. */
static struct yaml_node **grow(struct arena *a, struct yaml_node **v, size_t n) {
  if (n & (n - 1) || n == 1) return v; /* capacities are 2, 4, 8 ... and n == 0 allocates the first */
  struct yaml_node **more = arena_alloc(a, (n ? n * 2 : 2) * sizeof *more);
  if (n) memcpy(more, v, n * sizeof *v);
  return more;
}

static int next_event(struct yaml_reader *r, yaml_event_t *ev) {
  if (r->failed) return 0;
  if (yaml_parser_parse(&r->parser, ev)) return 1;
  yaml_syntax_error(r);
  r->failed = 1;
  return 0;
}

static int is_null(const char *s) {
  static const char *const words[] = { "", "~", "null", "Null", "NULL" };
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(s, words[i]) == 0) return 1;
  return 0;
}

static void set_anchor(struct yaml_reader *r, const char *name, struct anchor **ret) {
  *ret = NULL;
  if (!name) return;
  struct anchor *a = arena_zalloc(r->arena, sizeof *a);
  a->name = arena_strdup(r->arena, name);
  a->next = r->anchors;
  r->anchors = *ret = a;
}

/* Only !!str changes anything here: types are decided by who reads a value. */
static void check_tag(struct yaml_reader *r, const yaml_char_t *tag, struct yaml_node *node) {
  static const char core[] = "tag:yaml.org,2002:";
  if (!tag || strcmp((const char *)tag, "!") == 0) return;
  if (strcmp((const char *)tag, "tag:yaml.org,2002:str") == 0)
    node->quoted = 1;
  else if (strncmp((const char *)tag, core, sizeof core - 1) != 0)
    diag_error(r->ds, node->pos, "the YAML tag `%s` is not supported", (const char *)tag),
      diag_caret(r->ds, "remove the tag, or put the value in quotes");
}

static struct yaml_node *read_scalar(struct yaml_reader *r, const yaml_event_t *ev) {
  const char *value = (const char *)ev->data.scalar.value;
  int plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  struct yaml_node *node = new_node(r, YAML_SCALAR, event_pos(r, ev));
  struct anchor *anchor;
  if (!node) return NULL;
  set_anchor(r, (const char *)ev->data.scalar.anchor, &anchor);
  if (anchor) anchor->node = node;
  node->text = arena_strndup(r->arena, value, ev->data.scalar.length);
  node->quoted = !plain;
  check_tag(r, ev->data.scalar.tag, node);
  if (strlen(node->text) != ev->data.scalar.length)
    diag_error(r->ds, node->pos, "a value may not hold a NUL character"), diag_caret(r->ds, "remove the \\0");
  if (!node->quoted && is_null(node->text)) node->kind = YAML_NULL;
  if (plain && yaml_check_plain(r, r->from + r->start.byte, r->from + r->end.byte)) node->kind = YAML_BROKEN;
  return node;
}

static struct yaml_node *copy_tree(struct yaml_reader *r, const struct yaml_node *from, uint32_t depth) {
  if (depth > YAML_DEPTH_MAX) {
    diag_error(r->ds, from->pos, "the document is nested more than %d levels deep", YAML_DEPTH_MAX);
    return stop(r);
  }
  struct yaml_node *node = new_node(r, from->kind, from->pos);
  if (!node) return NULL;
  *node = *from;
  if (from->n == 0) return node;
  node->items = arena_alloc(r->arena, from->n * sizeof *node->items);
  for (size_t i = 0; i < from->n; i++)
    if (!(node->items[i] = copy_tree(r, from->items[i], depth + 1))) return NULL;
  return node;
}

static struct yaml_node *read_alias(struct yaml_reader *r, const yaml_event_t *ev) {
  const char *name = (const char *)ev->data.alias.anchor;
  struct pos pos = event_pos(r, ev);
  struct anchor *a = r->anchors;
  while (a && strcmp(a->name, name) != 0) a = a->next;
  if (++r->aliases > YAML_ALIASES_MAX) {
    diag_error(r->ds, pos, "more than %d aliases (`*name`) in one document", YAML_ALIASES_MAX);
    return stop(r);
  }
  if (a && a->node) return copy_tree(r, a->node, r->depth + 1);
  if (a)
    diag_error(r->ds, pos, "alias `*%s` stands inside the value that it names", name);
  else
    diag_error(r->ds, pos, "alias `*%s` has no anchor `&%s` above it", name, name),
      diag_caret(r->ds, "a text that begins with `*` must be in quotes");
  return new_node(r, YAML_BROKEN, pos);
}

/* --- lists and mappings ---------------------------------------------------------------------- */

static void read_items(struct yaml_reader *r, struct yaml_node *node) {
  yaml_event_t ev;
  while (next_event(r, &ev)) {
    int end = ev.type == YAML_SEQUENCE_END_EVENT;
    struct yaml_node *item = end ? NULL : read_node(r, &ev);
    yaml_event_delete(&ev);
    if (!item) return;
    node->items = grow(r->arena, node->items, node->n);
    node->items[node->n++] = item;
  }
}

static int by_text(const void *va, const void *vb) {
  const struct yaml_node *a = *(struct yaml_node *const *)va, *b = *(struct yaml_node *const *)vb;
  int c = strcmp(a->text, b->text);
  if (!c) c = (a->pos.line > b->pos.line) - (a->pos.line < b->pos.line);
  return c ? c : (a->pos.col > b->pos.col) - (a->pos.col < b->pos.col);
}

/* The second of two equal keys is told and taken out. */
static void check_duplicates(struct yaml_reader *r, struct yaml_node *map) {
  size_t left = 0;
  if (map->n < 2) return;
  struct yaml_node **keys = malloc(map->n * sizeof(struct yaml_node *));
  WEIR_ASSERT(keys != NULL);
  memcpy(keys, map->keys, map->n * sizeof *keys);
  qsort(keys, map->n, sizeof *keys, by_text);
  for (size_t i = 1; i < map->n; i++) {
    if (strcmp(keys[i]->text, keys[i - 1]->text) != 0) continue;
    diag_error(r->ds, keys[i]->pos, "mapping key `%s` already defined at line %u", keys[i]->text, keys[i - 1]->pos.line);
    if (r->depth == 1)
      diag_caret(r->ds, "put everything below one `%s:`", keys[i]->text);
    else if (r->depth == 2)
      diag_caret(r->ds, "give the second one a name of its own, such as `%s/2`, or remove it", keys[i]->text);
    else
      diag_caret(r->ds, "keep one of the two");
    if (r->ds->newest) r->ds->newest->untyped = 1;
    keys[i]->kind = YAML_BROKEN;
  }
  free(keys);
  for (size_t i = 0; i < map->n; i++) {
    if (map->keys[i]->kind == YAML_BROKEN) continue;
    map->keys[left] = map->keys[i];
    map->items[left++] = map->items[i];
  }
  map->n = left;
}

static void put(struct yaml_reader *r, struct yaml_node *map, struct yaml_node *key, struct yaml_node *value) {
  if (map->n >= YAML_KEYS_MAX) {
    if (!r->failed) diag_error(r->ds, key->pos, "a mapping has more than %d keys", YAML_KEYS_MAX);
    stop(r);
    return;
  }
  map->keys = grow(r->arena, map->keys, map->n);
  map->items = grow(r->arena, map->items, map->n);
  map->keys[map->n] = key;
  map->items[map->n++] = value;
}

/* The merge key of YAML 1.1 (yaml.org/type/merge.html): what the mapping has itself wins, then the earlier of several. */
static void merge_key(struct yaml_reader *r, struct yaml_node *map, const struct yaml_node *value) {
  if (value->kind == YAML_SEQ) {
    for (size_t i = 0; i < value->n; i++) merge_key(r, map, value->items[i]);
    return;
  }
  if (value->kind != YAML_MAP) {
    diag_error(r->ds, value->pos, "`<<` takes a mapping or a list of mappings");
    diag_caret(r->ds, "such as `<<: *name`");
    return;
  }
  for (size_t i = 0; i < value->n; i++)
    if (!yaml_key(map, value->keys[i]->text)) put(r, map, value->keys[i], value->items[i]);
}

static struct yaml_node *read_key(struct yaml_reader *r, yaml_event_t *ev) {
  struct yaml_node *key = read_node(r, ev);
  if (!key || key->kind == YAML_SCALAR || (key->kind == YAML_BROKEN && key->text)) return key;
  if (key->kind == YAML_BROKEN) return stop(r);
  if (yaml_check_braces(r, r->from + r->start.byte)) return stop(r);
  diag_error(
    r->ds, key->pos, key->kind == YAML_NULL ? "a key is missing before the `:`" : "a key must be plain text, not a list or mapping");
  return stop(r);
}

static void read_pairs(struct yaml_reader *r, struct yaml_node *map) {
  struct yaml_node *merges = new_node(r, YAML_SEQ, map->pos);
  yaml_event_t ev;
  while (merges && next_event(r, &ev)) {
    int end = ev.type == YAML_MAPPING_END_EVENT;
    struct yaml_node *key = end ? NULL : read_key(r, &ev), *value = NULL;
    yaml_event_delete(&ev);
    if (!key || !next_event(r, &ev)) break;
    value = read_node(r, &ev);
    yaml_event_delete(&ev);
    if (!value) break;
    if (!key->quoted && strcmp(key->text, "<<") == 0) {
      merges->items = grow(r->arena, merges->items, merges->n);
      merges->items[merges->n++] = value;
    } else
      put(r, map, key, value);
  }
  if (r->failed) return;
  check_duplicates(r, map);
  if (merges && merges->n) merge_key(r, map, merges);
}

static struct yaml_node *read_container(struct yaml_reader *r, const yaml_event_t *ev) {
  int map = ev->type == YAML_MAPPING_START_EVENT;
  struct yaml_node *node = new_node(r, map ? YAML_MAP : YAML_SEQ, event_pos(r, ev));
  struct anchor *anchor;
  if (!node) return NULL;
  if (++r->depth > YAML_DEPTH_MAX) {
    diag_error(r->ds, node->pos, "the document is nested more than %d levels deep", YAML_DEPTH_MAX);
    return stop(r);
  }
  set_anchor(r, (const char *)(map ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor), &anchor);
  check_tag(r, map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag, node);
  if (map)
    read_pairs(r, node);
  else
    read_items(r, node);
  r->depth--;
  if (anchor) anchor->node = node;
  return r->failed ? NULL : node;
}

/* The node that begins with ev; the caller deletes ev. NULL when reading must stop. */
static struct yaml_node *read_node(struct yaml_reader *r, yaml_event_t *ev) {
  if (ev->type == YAML_SCALAR_EVENT) return read_scalar(r, ev);
  if (ev->type == YAML_ALIAS_EVENT) return read_alias(r, ev);
  return read_container(r, ev);
}

/* --- documents --------------------------------------------------------------------------------- */

static struct yaml_node *read_document(struct yaml_reader *r) {
  struct yaml_node *root = NULL;
  yaml_event_t ev;
  for (int done = 0; !done && next_event(r, &ev);) {
    if (ev.type == YAML_DOCUMENT_START_EVENT && root) {
      diag_error(r->ds, event_pos(r, &ev), "a second YAML document begins here");
      diag_caret(r->ds, "one file holds one configuration: remove the `---`, or use several --config");
      r->failed = 1;
    } else if (ev.type == YAML_SCALAR_EVENT || ev.type == YAML_ALIAS_EVENT || ev.type == YAML_SEQUENCE_START_EVENT ||
               ev.type == YAML_MAPPING_START_EVENT)
      root = read_node(r, &ev);
    done = ev.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&ev);
  }
  return r->failed ? NULL : root;
}

/* Encodings and sizes that libyaml would accept or explain badly. */
static int check_text(struct yaml_reader *r) {
  const unsigned char *p = (const unsigned char *)r->text + r->from;
  size_t n = r->to - r->from;
  struct pos whole = { r->file, 0, 0, 0 };
  if (n > YAML_TEXT_MAX)
    diag_error(r->ds, whole, "the file is larger than %u MiB", YAML_TEXT_MAX >> 20);
  else if (n >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff)))
    diag_error(r->ds, whole, "the file is UTF-16"), diag_note(r->ds, "save it as UTF-8, as in: iconv -f UTF-16 -t UTF-8");
  else if (n >= 4 && memcmp(p, "\177ELF", 4) == 0)
    diag_error(r->ds, whole, "this is a program, not a configuration file");
  else
    return 1;
  return 0;
}

struct yaml_node *yaml_parse_counted(struct arena *a, struct diags *ds, uint32_t file, size_t from, size_t n, uint32_t *nodes) {
  struct yaml_reader r = {
    .arena = a, .ds = ds, .file = file, .text = ds->files[file].text, .text_n = ds->files[file].n, .from = from, .to = from + n
  };
  r.nodes = *nodes;
  if (!check_text(&r)) return NULL;
  if (r.to - r.from >= 3 && memcmp(r.text + r.from, "\xef\xbb\xbf", 3) == 0) r.from += 3; /* byte order mark */
  WEIR_ASSERT(yaml_parser_initialize(&r.parser));
  yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r.parser, (const unsigned char *)r.text + r.from, r.to - r.from);
  index_lines(&r);
  struct yaml_node *root = read_document(&r);
  if (!root && !r.failed) root = new_node(&r, YAML_NULL, yaml_pos(&r, r.from, r.from));
  yaml_parser_delete(&r.parser);
  free(r.lines);
  *nodes = r.nodes;
  return root;
}

struct yaml_node *yaml_parse_part(struct arena *a, struct diags *ds, uint32_t file, size_t from, size_t n) {
  uint32_t nodes = 0;
  return yaml_parse_counted(a, ds, file, from, n, &nodes);
}

struct yaml_node *yaml_parse(struct arena *a, struct diags *ds, uint32_t file) {
  struct yaml_node *root = yaml_parse_part(a, ds, file, 0, ds->files[file].n);
  if (!root || root->kind != YAML_NULL) return root;
  diag_error(ds, (struct pos){ file, 0, 0, 0 }, "empty configuration file");
  return NULL;
}

struct yaml_node *yaml_new_scalar(struct arena *a, struct pos pos, const char *text) {
  struct yaml_node *node = arena_zalloc(a, sizeof *node);
  node->kind = YAML_SCALAR;
  node->pos = pos;
  node->text = text;
  return node;
}

struct yaml_node *yaml_new_map(struct arena *a, struct pos pos, struct yaml_node *key, struct yaml_node *value) {
  struct yaml_node *node = arena_zalloc(a, sizeof *node);
  node->kind = YAML_MAP;
  node->pos = pos;
  node->n = 1;
  node->keys = arena_alloc(a, sizeof *node->keys);
  node->items = arena_alloc(a, sizeof *node->items);
  node->keys[0] = key;
  node->items[0] = value;
  return node;
}

const char *yaml_string(const struct yaml_node *node) {
  return node->original ? node->original : node->kind == YAML_SCALAR ? node->text : NULL;
}

static size_t find(const struct yaml_node *map, const char *key) {
  size_t i = 0;
  while (i < map->n && strcmp(map->keys[i]->text, key) != 0) i++;
  return i;
}

struct yaml_node *yaml_get(const struct yaml_node *map, const char *key) {
  if (!map || map->kind != YAML_MAP) return NULL;
  size_t i = find(map, key);
  return i < map->n ? map->items[i] : NULL;
}

struct yaml_node *yaml_key(const struct yaml_node *map, const char *key) {
  if (!map || map->kind != YAML_MAP) return NULL;
  size_t i = find(map, key);
  return i < map->n ? map->keys[i] : NULL;
}
