/*
 * Cutting a part by where its records belong. The pieces share records and bytes with the whole; what they have of their own are arrays of pointers and copies
 * of the containers, all in one run of memory that they share, too. Two passes over the records, as a counting sort: the first counts what each lane gets, so
 * that the second fills arrays that stand lane after lane, and a container's records in a lane are a slice of them.
 */
#include "core/assert.h"
#include "core/otlp.h"
#include "core/part_internal.h"
#include "core/wire.h"

#define SMALL_BYTES (1u << 20) /* takes its memory in any case */

/* What one lane gets. */
struct place {
  uint32_t n_resources, n_scopes, n_records;
  const struct weir_resource *of_resource; /* whose records it got last */
  const struct weir_scope *of_scope;
  struct weir_data *tree;
  struct weir_resource *resource; /* its copies of these */
  struct weir_scope *scope;
  struct weir_scope **scopes; /* where the next one goes */
  struct weir_rec **records;
  uint64_t items;
};

/* What was received of a container, without its records: made for its first piece. */
struct stripped {
  const struct weir_rec *of;
  const char *p;
  size_t n;
};

struct placer {
  uint32_t signal, n;
  struct arena *arena;
  struct weir_resource *resources; /* copies that are not used yet */
  struct weir_scope *scopes;
  struct stripped resource_left, scope_left; /* of the last ones */
  struct place places[PART_LANES_MAX];
};

/* --- counting -------------------------------------------------------------------------------------------------- */

static void count_scope(struct placer *c, const struct weir_resource *r, const struct weir_scope *s, const uint8_t *lanes) {
  for (uint32_t i = 0; i < s->n_records; i++) {
    struct place *p = &c->places[lanes[i]];
    p->n_records++;
    if (p->of_scope == s) continue;
    p->of_scope = s;
    p->n_scopes++;
    if (p->of_resource != r) p->n_resources++;
    p->of_resource = r;
  }
}

static uint64_t count(struct placer *c, const struct weir_data *d, const uint8_t *lanes) {
  uint64_t records = 0;
  for (uint32_t i = 0; i < d->n_resources; i++)
    for (uint32_t k = 0; k < d->resources[i]->n_scopes; k++) {
      const struct weir_scope *s = d->resources[i]->scopes[k];
      count_scope(c, d->resources[i], s, lanes + records);
      records += s->n_records;
    }
  return records;
}

/* --- the pieces' memory ------------------------------------------------------------------------------------------ */

static size_t bytes_of(const struct placer *c) {
  size_t n = c->n * sizeof(struct weir_data);
  for (uint32_t i = 0; i < c->n; i++) {
    const struct place *p = &c->places[i];
    n += p->n_resources * (sizeof(struct weir_resource) + sizeof(void *)) + p->n_scopes * (sizeof(struct weir_scope) + sizeof(void *)) +
      p->n_records * sizeof(void *);
  }
  return n;
}

static void lay_out(struct placer *c, size_t bytes) {
  char *at = arena_alloc(c->arena, bytes);
  size_t resources = 0, scopes = 0;
  struct weir_data *trees = (struct weir_data *)(void *)at;
  at += c->n * sizeof *trees;
  for (uint32_t i = 0; i < c->n; i++) {
    struct place *p = &c->places[i];
    p->of_resource = NULL;
    p->of_scope = NULL;
    p->tree = &trees[i];
    *p->tree = (struct weir_data){ .signal = c->signal, .resources = (struct weir_resource **)(void *)at };
    at += p->n_resources * sizeof(void *);
    p->scopes = (struct weir_scope **)(void *)at;
    at += p->n_scopes * sizeof(void *);
    p->records = (struct weir_rec **)(void *)at;
    at += p->n_records * sizeof(void *);
    resources += p->n_resources;
    scopes += p->n_scopes;
  }
  c->resources = (struct weir_resource *)(void *)at;
  c->scopes = (struct weir_scope *)(void *)(c->resources + resources);
  WEIR_ASSERT((char *)(c->scopes + scopes) == (char *)(void *)trees + bytes);
}

/* --- filling ------------------------------------------------------------------------------------------------------ */

/* What is written anew, or with unknown fields, needs what was received. RECORD_REWRITE: of a Resource that came twice, too, of which raw is the second. */
static int needs_received(const struct weir_rec *container) { return (container->dirty & (RECORD_UNKNOWN | RECORD_REWRITE)) != 0; }

/* A container's received bytes go with each piece of it, without the records that stood in them. */
static void keep_received(
  struct placer *c, struct stripped *kept, const struct otlp_msg *msg, const struct weir_rec *of, const char **envelope, size_t *envelope_n) {
  if (!needs_received(of)) return;
  if (kept->of != of) {
    char *to = arena_alloc(c->arena, *envelope_n);
    *kept = (struct stripped){ of, to, part_strip_records(msg, *envelope, *envelope_n, to) };
  }
  *envelope = kept->p;
  *envelope_n = kept->n;
}

static void begin_resource(struct placer *c, struct place *p, const struct weir_resource *r) {
  const struct otlp_msg *msg = otlp_request(c->signal)->fields[1].msg;
  p->of_resource = r;
  p->resource = c->resources++;
  *p->resource = *r;
  keep_received(c, &c->resource_left, msg, &r->rec, &p->resource->envelope, &p->resource->envelope_n);
  p->resource->scopes = p->scopes;
  p->resource->n_scopes = 0;
  p->tree->resources[p->tree->n_resources++] = p->resource;
}

static void begin_scope(struct placer *c, struct place *p, const struct weir_resource *r, const struct weir_scope *s) {
  const struct otlp_msg *msg = otlp_request(c->signal)->fields[1].msg->fields[2].msg;
  if (p->of_resource != r) begin_resource(c, p, r);
  p->of_scope = s;
  p->scope = c->scopes++;
  *p->scope = *s;
  keep_received(c, &c->scope_left, msg, &s->rec, &p->scope->envelope, &p->scope->envelope_n);
  p->scope->u.recs = p->records;
  p->scope->n_records = 0;
  *p->scopes++ = p->scope;
  p->resource->n_scopes++;
}

static void fill_scope(struct placer *c, const struct weir_resource *r, const struct weir_scope *s, const uint8_t *lanes) {
  for (uint32_t i = 0; i < s->n_records; i++) {
    struct place *p = &c->places[lanes[i]];
    if (p->of_scope != s) begin_scope(c, p, r, s);
    *p->records++ = s->u.recs[i];
    p->scope->n_records++;
    p->items += c->signal == WEIR_METRICS ? s->u.metrics[i]->n_points : 1;
  }
}

static void fill(struct placer *c, const struct weir_data *d, const uint8_t *lanes) {
  for (uint32_t i = 0; i < d->n_resources; i++)
    for (uint32_t k = 0; k < d->resources[i]->n_scopes; k++) {
      const struct weir_scope *s = d->resources[i]->scopes[k];
      fill_scope(c, d->resources[i], s, lanes);
      lanes += s->n_records;
    }
}

/* Unknown fields of the request go with the first piece. */
static void keep_envelope(struct placer *c, const struct weir_data *d) {
  uint32_t first = 0;
  if (!d->envelope) return;
  while (!c->places[first].n_records) first++;
  char *to = arena_alloc(c->arena, d->envelope_n);
  c->places[first].tree->envelope_n = part_strip_records(otlp_request(c->signal), d->envelope, d->envelope_n, to);
  c->places[first].tree->envelope = to;
}

/* --- how long the pieces are on the wire: exact for what is clean ----------------------------------------------------- */

static size_t framed(size_t n) { return 1 + wire_varint_size(n) + n; }

static size_t own_bytes(const struct weir_rec *rec, struct weir_str schema_url, size_t envelope_n) {
  if (needs_received(rec)) return envelope_n;
  return (rec->raw ? framed(rec->raw_n) : 0) + (schema_url.n ? framed(schema_url.n) : 0);
}

static size_t wire_bytes(const struct weir_data *d) {
  size_t all = d->envelope_n;
  for (uint32_t i = 0; i < d->n_resources; i++) {
    const struct weir_resource *r = d->resources[i];
    size_t n = own_bytes(&r->rec, r->schema_url, r->envelope_n);
    for (uint32_t k = 0; k < r->n_scopes; k++) {
      const struct weir_scope *s = r->scopes[k];
      size_t in_scope = own_bytes(&s->rec, s->schema_url, s->envelope_n);
      for (uint32_t j = 0; j < s->n_records; j++) in_scope += framed(s->u.recs[j]->raw_n);
      n += framed(in_scope);
    }
    all += framed(n);
  }
  return all;
}

/* --- the cut --------------------------------------------------------------------------------------------------------- */

/* Never written by whoever holds it, even if nobody else does: its records are in the whole, which others may read. */
static struct part *piece_new(struct pool *pool, struct part *base, const struct part *whole, const struct place *p) {
  struct part *piece = part_view(pool, part_ref(base));
  piece->flags |= PART_DIRTY | PART_CROSSED | (whole->flags & PART_TOUCHED);
  piece->tree = p->tree;
  piece->raw = NULL;
  piece->raw_n = wire_bytes(p->tree);
  piece->added_bytes = whole->added_bytes;
  piece->items = p->items;
  return piece;
}

int part_place(struct pool *pool, struct part *part, const uint8_t *lanes, uint32_t n, int overdraw, struct part **ret, struct weir_error *err) {
  CHECK_MAGIC(part, PART_MAGIC);
  WEIR_ASSERT(n <= PART_LANES_MAX && part->tree && !(part->flags & PART_SPLIT));
  struct placer c;
  c.signal = part->signal;
  c.n = n;
  c.resource_left.of = c.scope_left.of = NULL;
  memset(c.places, 0, n * sizeof *c.places);
  memset(ret, 0, n * sizeof *ret);
  uint64_t records = count(&c, part->tree, lanes);
  if (!records) return 0;
  if (c.places[lanes[0]].n_records == records) {
    ret[lanes[0]] = part_ref(part);
    return 0;
  }
  size_t bytes = bytes_of(&c);
  if (!overdraw && bytes > SMALL_BYTES && bytes > pool_room(pool))
    return weir_fail(err, WEIR_E_NOMEM, "to place records by key takes more memory than there is room for");
  struct part *base = part_view(pool, part_ref(part));
  arena_init(&base->arena, pool, bytes);
  c.arena = &base->arena;
  lay_out(&c, bytes);
  fill(&c, part->tree, lanes);
  keep_envelope(&c, part->tree);
  for (uint32_t i = 0; i < n; i++)
    if (c.places[i].n_records) ret[i] = piece_new(pool, base, part, &c.places[i]);
  part_unref(base);
  return 0;
}
