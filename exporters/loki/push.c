/*
 * The body of a push request: each record becomes an entry in one buffer, then each stream's entries, sorted by time, are listed behind its labels.
 *
 * What stands for all records of a resource or scope (its structured metadata) is encoded once and copied to each entry, as Loki keeps it per entry.
 * The buffers are the instance's, outside the byte budget, bounded by max_message_bytes.
 * push.proto: PushRequest {streams=1}, Stream {labels=1, entries=2}, Entry {timestamp=1, line=2, structuredMetadata=3}, LabelPair {name=1, value=2}.
 */
#include <stdlib.h>

#include "loki.h"
#include "plugins/kit/hash.h"
#include "plugins/kit/value_text.h"

#define FLATTEN_DEPTH 100            /* as the decoder's */
#define KEEP_BYTES (4u << 20)        /* larger buffers are given back after the batch */
#define ENTRY_HEAD 3u                /* tag and a length of two bytes: most entries */
#define STREAM_HEAD (4 * KIT_VARINT_MAX)

struct entry {
  uint64_t time;
  size_t at;
  uint32_t n, stream;
};

struct stream {
  uint64_t hash, last; /* last: the newest time so far */
  size_t labels, labels_n, bytes;
  uint32_t n, next, unsorted; /* next: where its next entry goes in `order` */
};

struct push {
  struct loki_labels labels;
  int json, over;
  uint64_t max_bytes, now;
  struct kit_bytes name, value;          /* of the pair that is being written */
  struct kit_bytes resource, scope;      /* structured metadata of all records below */
  struct kit_bytes entries, stream_text; /* every entry; every stream's labels */
  struct kit_bytes heads, iov;
  struct kit_bytes entry_list, stream_list, order, table; /* arrays */
  uint32_t n_entries, n_streams, table_mask;
  struct kit_hash_key key; /* labels come from outside */
};

/* --- arrays ---------------------------------------------------------------------------------------------------------------- */

static struct entry *entry_at(const struct push *p, uint32_t i) { return (struct entry *)(void *)p->entry_list.p + i; }
static struct stream *stream_at(const struct push *p, uint32_t i) { return (struct stream *)(void *)p->stream_list.p + i; }

/* A new last element of an array; NULL without memory. */
static void *one_more(struct kit_bytes *list, size_t size) {
  if (!kit_bytes_room(list, size)) return NULL;
  list->n += size;
  return list->p + list->n - size;
}

/* --- structured metadata --------------------------------------------------------------------------------------------------- */

static void put_pair(struct push *p, struct kit_bytes *out, struct weir_str name, struct weir_str value) {
  if (out->n > p->max_bytes) {
    p->over = 1;
    return;
  }
  if (p->json) {
    kit_put_json_str(out, name);
    kit_put_char(out, ':');
    kit_put_json_str(out, value);
    kit_put_char(out, ',');
    return;
  }
  size_t inner = 1 + kit_varint_size(name.n) + name.n + (value.n ? 1 + kit_varint_size(value.n) + value.n : 0);
  if (!kit_bytes_room(out, inner + 1 + KIT_VARINT_MAX)) return;
  char *to = out->p + out->n;
  *to++ = 0x1a;
  to = kit_varint_at(to, inner);
  *to++ = 0x0a;
  to = kit_varint_at(to, name.n);
  memcpy(to, name.p, name.n);
  to += name.n;
  if (value.n) {
    *to++ = 0x12;
    to = kit_varint_at(to, value.n);
    memcpy(to, value.p, value.n);
  }
  out->n = (size_t)(to + value.n - out->p);
}

static void put_attr(struct push *p, struct kit_bytes *out, size_t prefix, size_t prefix_n, const struct weir_attr *a, int depth) {
  size_t at = p->name.n, n;
  loki_put_name(&p->name, prefix, prefix_n, a->key);
  n = p->name.n - at;
  if (p->name.failed || p->over) return;
  if (n > LOKI_LABEL_NAME_MAX) n = LOKI_LABEL_NAME_MAX;
  if (a->value.kind == WEIR_V_KVLIST && depth < FLATTEN_DEPTH && n < LOKI_LABEL_NAME_MAX) {
    for (uint32_t i = 0; i < a->value.n; i++) put_attr(p, out, at, n, &a->value.u.attrs[i], depth + 1);
  } else if (a->value.kind == WEIR_V_STRING) {
    put_pair(p, out, (struct weir_str){ p->name.p + at, (uint32_t)n, 0 }, (struct weir_str){ a->value.u.s, a->value.n, 0 });
  } else {
    p->value.n = 0;
    kit_put_value(&p->value, &a->value);
    put_pair(p, out, (struct weir_str){ p->name.p + at, (uint32_t)n, 0 }, (struct weir_str){ p->value.p, (uint32_t)p->value.n, 0 });
  }
  p->name.n = at;
}

static void put_attrs(struct push *p, struct kit_bytes *out, const struct weir_rec *rec, const struct weir_attr *const *taken, size_t n_taken) {
  p->name.n = 0;
  for (uint32_t i = 0; i < rec->n_attrs; i++) {
    size_t k = 0;
    while (k < n_taken && taken[k] != &rec->attrs[i]) k++;
    if (k == n_taken) put_attr(p, out, 0, 0, &rec->attrs[i], 0);
  }
}

static void put_text(struct push *p, struct kit_bytes *out, const char *name, struct weir_str value) {
  if (value.n) put_pair(p, out, weir_str_of(name), value);
}

static void put_number(struct push *p, struct kit_bytes *out, const char *name, uint64_t value) {
  if (!value) return;
  p->value.n = 0;
  kit_put_uint(&p->value, value);
  put_pair(p, out, weir_str_of(name), (struct weir_str){ p->value.p, (uint32_t)p->value.n, 0 });
}

static void put_id(struct push *p, struct kit_bytes *out, const char *name, struct weir_str id) {
  uint32_t i = 0;
  while (i < id.n && !id.p[i]) i++;
  if (i == id.n) return; /* absent, or all zero */
  p->value.n = 0;
  kit_put_hex(&p->value, id);
  put_pair(p, out, weir_str_of(name), (struct weir_str){ p->value.p, (uint32_t)p->value.n, 0 });
}

/* Names and order as Loki's own reading of OTLP; event_name is ours, as Loki drops it. */
static void put_metadata(struct push *p, struct kit_bytes *out, const struct weir_log *log, const struct weir_attr *const *taken, size_t n_taken) {
  put_attrs(p, out, &log->rec, taken, n_taken);
  if (log->time_unix_nano) put_number(p, out, "observed_timestamp", log->observed_time_unix_nano);
  if (log->severity_number > 0) put_number(p, out, "severity_number", (uint64_t)log->severity_number);
  put_text(p, out, "severity_text", log->severity_text);
  put_number(p, out, "dropped_attributes_count", log->rec.dropped_attrs);
  put_number(p, out, "flags", log->flags);
  put_id(p, out, "trace_id", log->trace_id);
  put_id(p, out, "span_id", log->span_id);
  put_text(p, out, "event_name", log->event_name);
  kit_put(out, p->resource.p, p->resource.n);
  kit_put(out, p->scope.p, p->scope.n);
}

/* --- entries ----------------------------------------------------------------------------------------------------------------- */

/* Times behind 2262 do not fit Loki's 63 bits, and one of them would cost the whole request: they count as absent. */
static int is_time(uint64_t ns) { return ns && ns <= INT64_MAX; }

static uint64_t time_of(const struct push *p, const struct weir_log *log) {
  return is_time(log->time_unix_nano) ? log->time_unix_nano : is_time(log->observed_time_unix_nano) ? log->observed_time_unix_nano : p->now;
}

static struct weir_str line_of(struct push *p, const struct weir_log *log) {
  if (!log->has_body) return (struct weir_str){ "", 0, 0 };
  if (log->body.kind == WEIR_V_STRING) return (struct weir_str){ log->body.u.s, log->body.n, 0 };
  p->value.n = 0;
  kit_put_value(&p->value, &log->body);
  return (struct weir_str){ p->value.n ? p->value.p : "", (uint32_t)p->value.n, 0 };
}

/* ["<ns>","<line>",{...}], with a comma behind it, which the last of a stream loses again. */
static void put_json_entry(struct push *p, const struct weir_log *log, uint64_t time, const struct weir_attr *const *taken, size_t n_taken) {
  struct kit_bytes *out = &p->entries;
  kit_put_text(out, "[\"");
  kit_put_uint(out, time);
  kit_put_text(out, "\",");
  kit_put_json_str(out, line_of(p, log));
  kit_put_text(out, ",{");
  put_metadata(p, out, log, taken, n_taken);
  if (!out->failed && out->p[out->n - 1] == ',') out->n--;
  kit_put_text(out, "}],");
}

static void put_number_field(struct kit_bytes *out, char tag, uint64_t v) {
  if (!v) return;
  kit_put_char(out, tag);
  kit_put_varint(out, v);
}

static void put_time(struct kit_bytes *out, uint64_t ns) {
  uint64_t s = ns / 1000000000, rest = ns % 1000000000;
  kit_put_len(out, 1, (s ? 1 + kit_varint_size(s) : 0) + (rest ? 1 + kit_varint_size(rest) : 0));
  put_number_field(out, 0x08, s);
  put_number_field(out, 0x10, rest);
}

/* The length is known when the entry is there: room for one of two bytes is left, and another size moves the entry. */
static void put_proto_entry(struct push *p, const struct weir_log *log, uint64_t time, const struct weir_attr *const *taken, size_t n_taken) {
  struct kit_bytes *out = &p->entries;
  size_t at = out->n;
  if (!kit_bytes_room(out, ENTRY_HEAD + KIT_VARINT_MAX)) return;
  out->n += ENTRY_HEAD;
  put_time(out, time);
  struct weir_str line = line_of(p, log);
  if (line.n) kit_put_len(out, 2, line.n);
  kit_put_str(out, line);
  put_metadata(p, out, log, taken, n_taken);
  if (out->failed || !kit_bytes_room(out, KIT_VARINT_MAX)) return;
  size_t n = out->n - at - ENTRY_HEAD, head = 1 + kit_varint_size(n);
  if (head != ENTRY_HEAD) memmove(out->p + at + head, out->p + at + ENTRY_HEAD, n);
  out->p[at] = 0x12;
  kit_varint_at(out->p + at + 1, n);
  out->n = at + head + n;
}

static void put_entry(struct push *p, uint32_t at_stream, const struct weir_log *log, const struct weir_attr *const *taken, size_t n_taken) {
  size_t at = p->entries.n;
  uint64_t time = time_of(p, log);
  if (p->json) put_json_entry(p, log, time, taken, n_taken);
  else put_proto_entry(p, log, time, taken, n_taken);
  struct entry *e = one_more(&p->entry_list, sizeof *e);
  if (!e) return;
  *e = (struct entry){ time, at, (uint32_t)(p->entries.n - at), at_stream };
  struct stream *s = stream_at(p, at_stream);
  if (time < s->last) s->unsorted = 1;
  else s->last = time;
  s->n++;
  s->bytes += e->n;
  p->n_entries++;
  if (p->entries.n > p->max_bytes) p->over = 1;
}

/* --- streams ----------------------------------------------------------------------------------------------------------------- */

static uint32_t *slot_of(const struct push *p, uint64_t hash, const char *labels, size_t n) {
  uint32_t *table = (uint32_t *)(void *)p->table.p, i = (uint32_t)hash & p->table_mask;
  for (; table[i]; i = (i + 1) & p->table_mask) {
    const struct stream *s = stream_at(p, table[i] - 1);
    if (s->hash == hash && s->labels_n == n && !memcmp(p->stream_text.p + s->labels, labels, n)) break;
  }
  return &table[i];
}

/* At most half full; places are stream numbers plus one. */
static int make_table(struct push *p) {
  uint32_t size = p->table_mask ? (p->table_mask + 1) * 2 : 64;
  p->table.n = 0;
  if (!kit_bytes_room(&p->table, size * sizeof(uint32_t))) return 0;
  memset(p->table.p, 0, size * sizeof(uint32_t));
  p->table_mask = size - 1;
  for (uint32_t i = 0; i < p->n_streams; i++) {
    const struct stream *s = stream_at(p, i);
    *slot_of(p, s->hash, p->stream_text.p + s->labels, s->labels_n) = i + 1;
  }
  return 1;
}

/* The stream of the labels that are there now. Without memory: 0, and something has failed. */
static uint32_t find_stream(struct push *p) {
  size_t at = p->stream_text.n, n;
  loki_labels_put(&p->labels, p->json, &p->stream_text);
  n = p->stream_text.n - at;
  if (p->stream_text.failed || (p->n_streams >= p->table_mask / 2 && !make_table(p))) return 0;
  uint64_t hash = kit_hash(&p->key, p->stream_text.p + at, n);
  uint32_t *slot = slot_of(p, hash, p->stream_text.p + at, n);
  if (*slot) {
    p->stream_text.n = at;
    return *slot - 1;
  }
  struct stream *s = one_more(&p->stream_list, sizeof *s);
  if (!s) return 0;
  *s = (struct stream){ .hash = hash, .labels = at, .labels_n = n };
  return (*slot = ++p->n_streams) - 1;
}

/* --- the tree ----------------------------------------------------------------------------------------------------------------- */

static int has_failed(const struct push *p) {
  return p->over || p->labels.text.failed || p->name.failed || p->value.failed || p->resource.failed || p->scope.failed || p->entries.failed || p->stream_text.failed ||
         p->entry_list.failed || p->stream_list.failed || p->table.failed || p->heads.failed || p->iov.failed || p->order.failed;
}

static void put_scope(struct push *p, const struct weir_scope *s, uint32_t of_resource) {
  const struct loki_labels_config *rules = p->labels.config;
  const struct weir_attr *taken[LOKI_LABELS_MAX];
  size_t labels = p->labels.n, text = p->labels.text.n;
  p->scope.n = 0;
  put_attrs(p, &p->scope, &s->rec, NULL, 0);
  put_text(p, &p->scope, "scope_name", s->name);
  put_text(p, &p->scope, "scope_version", s->version);
  put_number(p, &p->scope, "scope_dropped_attributes_count", s->rec.dropped_attrs);
  for (uint32_t i = 0; i < s->n_records && !has_failed(p); i++) {
    size_t n_taken = 0;
    uint32_t stream = of_resource;
    if (rules->record.n) {
      loki_labels_take(&p->labels, &rules->record, &s->u.logs[i]->rec, taken, &n_taken);
      if (p->labels.n > labels) stream = find_stream(p);
      loki_labels_cut(&p->labels, labels);
      p->labels.text.n = text;
      if (has_failed(p)) return;
    }
    put_entry(p, stream, s->u.logs[i], taken, n_taken);
  }
}

static void put_resource(struct push *p, const struct weir_resource *r) {
  const struct weir_attr *taken[LOKI_LABELS_MAX];
  size_t n_taken;
  loki_labels_begin(&p->labels);
  loki_labels_take(&p->labels, &p->labels.config->resource, &r->rec, taken, &n_taken);
  uint32_t stream = find_stream(p);
  p->resource.n = 0;
  put_attrs(p, &p->resource, &r->rec, taken, n_taken);
  for (uint32_t i = 0; i < r->n_scopes && !has_failed(p); i++) put_scope(p, r->scopes[i], stream);
}

/* --- the message --------------------------------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b) {
  const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  return x < y ? -1 : 1; /* as they came */
}

/* `order`: the entries of the first stream, then those of the second ..., each stream's by time. */
static struct entry **sort(struct push *p) {
  uint32_t at = 0;
  p->order.n = 0;
  if (!kit_bytes_room(&p->order, p->n_entries * sizeof(struct entry *) + 1)) return NULL;
  struct entry **order = (struct entry **)(void *)p->order.p;
  for (uint32_t i = 0; i < p->n_streams; i++) {
    stream_at(p, i)->next = at;
    at += stream_at(p, i)->n;
  }
  for (uint32_t i = 0; i < p->n_entries; i++) order[stream_at(p, entry_at(p, i)->stream)->next++] = entry_at(p, i);
  for (uint32_t i = 0; i < p->n_streams; i++) {
    const struct stream *s = stream_at(p, i);
    if (s->unsorted) qsort(order + (s->next - s->n), s->n, sizeof *order, by_time);
  }
  return order;
}

static void push_iov(struct push *p, const char *at, size_t n) {
  struct weir_iov *last = p->iov.n ? (struct weir_iov *)(void *)(p->iov.p + p->iov.n) - 1 : NULL;
  if (last && (const char *)last->p + last->n == at) {
    last->n += n;
    return;
  }
  struct weir_iov *v = one_more(&p->iov, sizeof *v);
  if (v) *v = (struct weir_iov){ at, n };
}

/* The pieces of `heads` are pushed as they are made: it has all its room from the start. */
static void list_stream(struct push *p, const struct stream *s, struct entry *const *order, int is_first) {
  struct kit_bytes *h = &p->heads;
  size_t at = h->n;
  if (p->json) {
    kit_put_text(h, is_first ? "{\"streams\":[{\"stream\":" : ",{\"stream\":");
    kit_put(h, p->stream_text.p + s->labels, s->labels_n);
    kit_put_text(h, ",\"values\":[");
  } else {
    kit_put_len(h, 1, 1 + kit_varint_size(s->labels_n) + s->labels_n + s->bytes);
    kit_put_len(h, 1, s->labels_n);
    kit_put(h, p->stream_text.p + s->labels, s->labels_n);
  }
  push_iov(p, h->p + at, h->n - at);
  for (uint32_t i = 0; i < s->n; i++) {
    const struct entry *e = order[s->next - s->n + i];
    push_iov(p, p->entries.p + e->at, e->n - (p->json && i + 1 == s->n));
  }
  if (!p->json) return;
  at = h->n;
  kit_put_text(h, "]}");
  push_iov(p, h->p + at, h->n - at);
}

static int list_all(struct push *p, struct weir_error *err) {
  struct entry **order = sort(p);
  int n = 0;
  p->heads.n = p->iov.n = 0;
  if (order && kit_bytes_room(&p->heads, p->stream_text.n + (size_t)p->n_streams * STREAM_HEAD + STREAM_HEAD))
    for (uint32_t i = 0; i < p->n_streams; i++)
      if (stream_at(p, i)->n) list_stream(p, stream_at(p, i), order, n++ == 0);
  size_t at = p->heads.n;
  if (p->json && order) {
    kit_put_text(&p->heads, n ? "]}" : "{\"streams\":[]}");
    push_iov(p, p->heads.p + at, p->heads.n - at);
  }
  return has_failed(p) ? weir_fail(err, WEIR_E_NOMEM, "no memory for a push request") : 0;
}

static void give_back(struct kit_bytes *b) {
  if (b->failed || b->cap > KEEP_BYTES) kit_bytes_free(b);
  b->n = 0;
}

static void begin(struct push *p, uint64_t now) {
  struct kit_bytes *all[] = { &p->labels.text, &p->name, &p->value, &p->resource, &p->scope, &p->entries, &p->stream_text, &p->heads, &p->iov, &p->entry_list, &p->stream_list,
    &p->order, &p->table };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) give_back(all[i]);
  p->over = 0;
  p->now = now;
  p->n_entries = p->n_streams = p->table_mask = 0;
}

int push_encode(struct push *p, const struct weir_data *d, uint64_t now_unix_ns, const struct weir_iov **ret, size_t *ret_n, struct weir_error *err) {
  begin(p, now_unix_ns);
  for (uint32_t i = 0; i < d->n_resources && !has_failed(p); i++) put_resource(p, d->resources[i]);
  if (p->entries.n + p->stream_text.n > p->max_bytes) p->over = 1;
  if (p->over) return weir_fail(err, WEIR_E_LIMIT, "over max_message_bytes");
  int r = has_failed(p) ? weir_fail(err, WEIR_E_NOMEM, "no memory for a push request") : list_all(p, err);
  if (r) return r;
  *ret = (const struct weir_iov *)(void *)p->iov.p;
  *ret_n = p->iov.n / sizeof **ret;
  return 0;
}

struct push *push_new(const struct loki_labels_config *rules, int json, uint64_t max_bytes) {
  struct push *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  kit_hash_key_draw(&p->key);
  p->labels.config = rules;
  p->json = json;
  p->max_bytes = max_bytes;
  return p;
}

void push_free(struct push *p) {
  if (!p) return;
  begin(p, 0);
  struct kit_bytes *all[] = { &p->labels.text, &p->name, &p->value, &p->resource, &p->scope, &p->entries, &p->stream_text, &p->heads, &p->iov, &p->entry_list, &p->stream_list,
    &p->order, &p->table };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) kit_bytes_free(all[i]);
  free(p);
}
