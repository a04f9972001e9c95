/* From the configuration to the flat program: the tree of policies, their names, shares and order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy_internal.h"

static const struct ts_policy_config *at(struct weir_groups g, size_t i) { return (const struct ts_policy_config *)g.v + i; }

static int no_memory(struct ts_compiler *c) { return weir_fail(c->err, WEIR_E_NOMEM, "no memory for the policies"); }

/* Extends the path; the returned length puts it back. */
WEIR_PRINTF(2, 3)
static size_t enter(struct ts_compiler *c, const char *fmt, ...) {
  size_t n = strlen(c->path);
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(c->path + n, sizeof c->path - n, fmt, ap);
  va_end(ap);
  return n;
}

/* --- how many ----------------------------------------------------------------------------------------- */

static size_t count_leaves(const struct ts_policy_config *p, enum ts_level level) {
  size_t n = 0;
  enum ts_type type = ts_type_of(p, level);
  const struct ts_list_config *list = type == TS_AND ? p->and : type == TS_DROP ? p->drop : NULL;
  if (type == TS_COMPOSITE && p->composite)
    for (size_t i = 0; i < p->composite->policies.n; i++) n += count_leaves(at(p->composite->policies, i), TS_LEVEL_COMPOSITE);
  if (type == TS_COMPOSITE) return n;
  return list ? list->policies.n : 1;
}

static int allocate(struct ts_compiler *c, const struct ts_config *config) {
  struct ts_program *p = c->program;
  size_t leaves = 0, terms = 0;
  for (size_t i = 0; i < config->policies.n; i++) {
    const struct ts_policy_config *q = at(config->policies, i);
    leaves += count_leaves(q, TS_LEVEL_TOP);
    terms += q->type == TS_COMPOSITE && q->composite ? q->composite->policies.n : 1;
  }
  if (leaves > TS_POLICIES_MAX || terms > TS_POLICIES_MAX || config->policies.n > TS_POLICIES_MAX) {
    snprintf(c->path, sizeof c->path, "policies");
    return ts_refuse(c, NULL, "there are more than %u policies, those within others counted too", TS_POLICIES_MAX);
  }
  p->leaves = ts_keep(p, leaves * sizeof *p->leaves);
  p->terms = ts_keep(p, terms * sizeof *p->terms);
  p->policies = ts_keep(p, config->policies.n * sizeof *p->policies);
  p->order = ts_keep(p, config->policies.n * sizeof *p->order);
  return p->leaves && p->terms && p->policies && p->order ? 0 : no_memory(c);
}

/* --- leaves and terms ----------------------------------------------------------------------------------- */

static void give_bits(struct ts_program *p, struct ts_leaf *l) {
  switch (l->type) {
  case TS_ALWAYS_SAMPLE:
  case TS_PROBABILISTIC:
  case TS_RATE_LIMITING:
  case TS_BYTES_LIMITING:
    return;
  case TS_OTTL:
    if (l->u.ottl.mode == TS_ERROR_PROPAGATE) l->error_bit = (uint16_t)p->n_bits++;
    break;
  default:
    break;
  }
  l->bit = (uint16_t)p->n_bits++;
}

static int leaf(struct ts_compiler *c, const struct ts_policy_config *from, enum ts_type type, const char **keys) {
  struct ts_program *p = c->program;
  struct ts_leaf *l = &p->leaves[p->n_leaves];
  const char *key;
  p->n_leaves++; /* half-built ones are freed too */
  int rc = ts_leaf_compile(c, from, type, l, &key);
  if (rc) return rc;
  if (key && !(keys[p->n_leaves - 1] = ts_keep_text(p, key))) return no_memory(c);
  give_bits(p, l);
  return 0;
}

/* Settings of another type would have no effect, and its own be the defaults: most likely the wrong type was written. */
static int check_blocks(struct ts_compiler *c, const struct ts_policy_config *p, enum ts_type type) {
  const struct {
    enum ts_type type;
    const void *block;
  } blocks[] = { { TS_LATENCY, p->latency }, { TS_NUMERIC, p->numeric_attribute }, { TS_PROBABILISTIC, p->probabilistic }, { TS_STATUS_CODE, p->status_code }, { TS_STRING, p->string_attribute },
    { TS_RATE_LIMITING, p->rate_limiting }, { TS_BYTES_LIMITING, p->bytes_limiting }, { TS_SPAN_COUNT, p->span_count }, { TS_TRACE_STATE, p->trace_state }, { TS_BOOLEAN, p->boolean_attribute },
    { TS_OTTL, p->ottl_condition }, { TS_AND, p->and }, { TS_DROP, p->drop }, { TS_NOT, p->not }, { TS_COMPOSITE, p->composite } };
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
    if (!blocks[i].block || blocks[i].type == type) continue;
    weir_hint(c->err, "write `type: %s`, or take `%s` away", ts_type_name(blocks[i].type), ts_type_name(blocks[i].type));
    return ts_refuse(c, ts_type_name(blocks[i].type), "a policy of type %s has no use for `%s`", ts_type_name(type), ts_type_name(blocks[i].type));
  }
  return 0;
}

/* A plain policy, or `not` with one. */
static int plain_or_not(struct ts_compiler *c, const struct ts_policy_config *from, enum ts_type type, const char **keys) {
  struct ts_program *p = c->program;
  struct ts_leaf *l = &p->leaves[p->n_leaves];
  size_t path = strlen(c->path);
  int rc = check_blocks(c, from, type);
  if (rc) return rc;
  if (type == TS_NOT && !from->not) return ts_refuse(c, NULL, "a policy of type not needs the key `not`");
  if (type == TS_NOT) {
    enter(c, ".not.not_sub_policy");
    from = from->not->policy;
    rc = check_blocks(c, from, ts_type_of(from, TS_LEVEL_NOT));
    if (!rc) rc = leaf(c, from, ts_type_of(from, TS_LEVEL_NOT), keys);
    l->invert ^= 1;
  } else {
    rc = leaf(c, from, type, keys);
  }
  if (rc) return rc;
  if (l->invert) l->threshold = 0; /* what chance left is no consistent choice: it stands for itself alone, as in the Collector */
  if (!(l->text = ts_leaf_describe(p, from, l))) return no_memory(c);
  c->path[path] = 0;
  return 0;
}

static int list(struct ts_compiler *c, const struct ts_list_config *from, const char *name, const char **keys) {
  if (!from) return ts_refuse(c, NULL, "a policy of type %s needs the key `%s`", name, name);
  for (size_t i = 0; i < from->policies.n; i++) {
    const struct ts_policy_config *sub = at(from->policies, i);
    size_t path = enter(c, ".%s.%s_sub_policy[%zu]", name, name, i);
    int rc = plain_or_not(c, sub, ts_type_of(sub, TS_LEVEL_LIST), keys);
    if (rc) return rc;
    c->path[path] = 0;
  }
  return 0;
}

static int is_rate(const struct ts_leaf *l) { return l->type == TS_RATE_LIMITING || l->type == TS_BYTES_LIMITING; }

static int term(struct ts_compiler *c, const struct ts_policy_config *from, enum ts_type type, const char **keys) {
  struct ts_program *p = c->program;
  struct ts_term *t = &p->terms[p->n_terms];
  t->first = (uint16_t)p->n_leaves;
  int rc = type == TS_AND || type == TS_DROP ? check_blocks(c, from, type) : 0;
  if (!rc) rc = type == TS_AND ? list(c, from->and, "and", keys) : type == TS_DROP ? list(c, from->drop, "drop", keys) : plain_or_not(c, from, type, keys);
  t->n = (uint16_t)(p->n_leaves - t->first);
  p->n_terms++;
  for (uint32_t i = t->first; i < p->n_leaves; i++) {
    if (p->leaves[i].threshold > t->threshold) t->threshold = p->leaves[i].threshold;
    if (is_rate(&p->leaves[i])) t->asks_rate = 1;
  }
  return rc;
}

/* --- composite ------------------------------------------------------------------------------------------- */

static int find(const struct ts_composite_config *s, const char *name, size_t *ret) {
  for (size_t i = 0; i < s->policies.n; i++)
    if (at(s->policies, i)->name && strcmp(at(s->policies, i)->name, name) == 0) {
      *ret = i;
      return 1;
    }
  return 0;
}

static int unknown_sub(struct ts_compiler *c, const char *key, const char *name) {
  weir_hint(c->err, "it takes the names that stand in composite_sub_policy");
  return ts_refuse(c, key, "there is no sub-policy `%s`", name);
}

static int check_composite(struct ts_compiler *c, const struct ts_composite_config *s) {
  char key[64];
  size_t same, sum = 0;
  const struct ts_allocation_config *a = s->rate_allocation.v;
  for (size_t i = 0; i < s->policies.n; i++) {
    const char *name = at(s->policies, i)->name;
    snprintf(key, sizeof key, "composite.composite_sub_policy[%zu].name", i);
    if (name && *name && find(s, name, &same) && same != i) return ts_refuse(c, key, "there are two sub-policies `%s`", name);
  }
  for (size_t i = 0; i < s->policy_order.n; i++) {
    snprintf(key, sizeof key, "composite.policy_order[%zu]", i);
    if (!find(s, s->policy_order.v[i], &same)) return unknown_sub(c, key, s->policy_order.v[i]);
    for (size_t k = 0; k < i; k++)
      if (strcmp(s->policy_order.v[i], s->policy_order.v[k]) == 0) return ts_refuse(c, key, "`%s` stands twice in policy_order", s->policy_order.v[i]);
  }
  for (size_t i = 0; i < s->rate_allocation.n; i++) {
    snprintf(key, sizeof key, "composite.rate_allocation[%zu].policy", i);
    if (!find(s, a[i].policy, &same)) return unknown_sub(c, key, a[i].policy);
    for (size_t k = 0; k < i; k++)
      if (strcmp(a[i].policy, a[k].policy) == 0) return ts_refuse(c, key, "`%s` has two shares", a[i].policy);
    sum += a[i].percent;
  }
  if (sum > 100) return ts_refuse(c, "composite.rate_allocation", "the shares are %zu percent in sum", sum);
  return 0;
}

/* As the Collector computes it, in doubles. */
static uint64_t share(const struct ts_composite_config *s, const char *name) {
  const struct ts_allocation_config *a = s->rate_allocation.v;
  double total = (double)s->max_total_spans_per_second;
  for (size_t i = 0; i < s->rate_allocation.n; i++)
    if (name && a[i].percent && strcmp(a[i].policy, name) == 0) return (uint64_t)((double)a[i].percent / 100 * total);
  return (uint64_t)(total / (double)s->policies.n);
}

/* The terms stand as they are written; sub_order says in which order they are asked. */
static int sub_order(struct ts_compiler *c, const struct ts_composite_config *s, struct ts_policy *q) {
  uint16_t n = 0, *order = ts_keep(c->program, (s->policies.n + 1) * sizeof *order);
  char *taken = ts_keep(c->program, s->policies.n + 1);
  size_t i, sub;
  if (!order || !taken) return no_memory(c);
  for (i = 0; !c->collector && i < s->policy_order.n; i++)
    if (find(s, s->policy_order.v[i], &sub)) {
      order[n++] = (uint16_t)sub;
      taken[sub] = 1;
    }
  for (i = 0; i < s->policies.n; i++)
    if (!taken[i]) order[n++] = (uint16_t)i;
  q->sub_order = order;
  return 0;
}

static int composite(struct ts_compiler *c, const struct ts_composite_config *s, struct ts_policy *q, const char **keys) {
  struct ts_program *p = c->program;
  if (!s) return ts_refuse(c, NULL, "a policy of type composite needs the key `composite`");
  int rc = check_composite(c, s);
  if (!rc) rc = sub_order(c, s, q);
  if (rc) return rc;
  q->sub_names = ts_keep(p, s->policies.n * sizeof *q->sub_names);
  q->total = ts_rate_new(p, s->max_total_spans_per_second, 0);
  if (!q->sub_names || !q->total) return no_memory(c);
  for (size_t i = 0; i < s->policies.n; i++) {
    const struct ts_policy_config *sub = at(s->policies, i);
    struct ts_term *t = &p->terms[p->n_terms];
    size_t path = enter(c, ".composite.composite_sub_policy[%zu]", i);
    rc = term(c, sub, ts_type_of(sub, TS_LEVEL_COMPOSITE), keys);
    if (rc) return rc;
    c->path[path] = 0;
    t->rate = ts_rate_new(p, share(s, sub->name), 0);
    q->sub_names[i] = ts_keep_text(p, sub->name ? sub->name : "");
    if (!t->rate || !q->sub_names[i]) return no_memory(c);
  }
  return 0;
}

/* --- policies ------------------------------------------------------------------------------------------------ */

/* Whether what it says of some spans may be wrong of more, as the Collector judges it. */
static int stateful(const struct ts_program *p, const struct ts_policy *q) {
  for (uint32_t t = q->first; t < (uint32_t)q->first + q->n; t++)
    for (uint32_t i = p->terms[t].first; i < (uint32_t)p->terms[t].first + p->terms[t].n; i++) {
      const struct ts_leaf *l = &p->leaves[i];
      if (is_rate(l) || (l->type == TS_LATENCY && l->u.latency.upto_ms) || (l->type == TS_SPAN_COUNT && l->u.count.max)) return 1;
    }
  return 0;
}

static int policy(struct ts_compiler *c, const struct ts_config *config, size_t i, const char **keys) {
  struct ts_program *p = c->program;
  const struct ts_policy_config *from = at(config->policies, i);
  struct ts_policy *q = &p->policies[i];
  for (size_t k = 0; k < i; k++)
    if (strcmp(from->name, p->policies[k].name) == 0) return ts_refuse(c, "name", "there are two policies `%s`", from->name);
  *q = (struct ts_policy){ .name = ts_keep_text(p, from->name), .type = (uint8_t)from->type, .dry_run = from->dry_run != 0, .first = (uint16_t)p->n_terms };
  p->n_policies++;
  if (!q->name) return no_memory(c);
  int rc = from->type == TS_COMPOSITE ? check_blocks(c, from, TS_COMPOSITE) : 0;
  if (!rc) rc = from->type == TS_COMPOSITE ? composite(c, from->composite, q, keys) : term(c, from, (enum ts_type)from->type, keys);
  q->n = (uint16_t)(p->n_terms - q->first);
  if (rc) return rc;
  q->asks_rate = from->type == TS_COMPOSITE;
  q->threshold = TS_R_ALWAYS;
  for (uint32_t t = q->first; t < p->n_terms; t++) {
    if (p->terms[t].asks_rate) q->asks_rate = 1;
    if (p->terms[t].threshold < q->threshold) q->threshold = p->terms[t].threshold;
  }
  if (config->sampling_strategy != TS_SPAN_INGEST || !stateful(p, q)) return 0;
  weir_hint(c->err, "latency and span_count without an upper limit can be decided span by span; rates can not");
  return ts_refuse(c, NULL, "sampling_strategy: span-ingest can not have policy `%s`, whose answer depends on the whole trace or on a rate", from->name);
}

/* --- what ts_observe walks -------------------------------------------------------------------------------------- */

static int leaf_lists(struct ts_compiler *c) {
  struct ts_program *p = c->program;
  size_t n = (p->n_leaves + 1) * sizeof(uint16_t);
  p->sums = ts_keep(p, n);
  p->members = ts_keep(p, n);
  p->conditions = ts_keep(p, n);
  if (!p->sums || !p->members || !p->conditions) return no_memory(c);
  for (uint32_t i = 0; i < p->n_leaves; i++) {
    if (p->leaves[i].type == TS_LATENCY || p->leaves[i].type == TS_SPAN_COUNT) p->sums[p->n_sums++] = (uint16_t)i;
    if (p->leaves[i].type == TS_TRACE_STATE) p->members[p->n_members++] = (uint16_t)i;
    if (p->leaves[i].type == TS_OTTL) p->conditions[p->n_conditions++] = (uint16_t)i;
  }
  return 0;
}

static int masks(struct ts_compiler *c) {
  struct ts_program *p = c->program;
  p->words = (p->n_bits + 63) / 64;
  size_t n = (p->words + 1) * sizeof(uint64_t);
  for (int code = 0; code < 3; code++)
    if (!(p->status_masks[code] = ts_keep(p, n))) return no_memory(c);
  if (!(p->flags_mask = ts_keep(p, n))) return no_memory(c);
  for (uint32_t i = 0; i < p->n_leaves; i++) {
    const struct ts_leaf *l = &p->leaves[i];
    uint64_t mask = 1ull << (l->bit & 63);
    if (l->type == TS_TRACE_FLAGS) p->flags_mask[l->bit >> 6] |= mask;
    for (int code = 0; code < 3 && l->type == TS_STATUS_CODE; code++)
      if (l->u.codes >> code & 1) p->status_masks[code][l->bit >> 6] |= mask;
  }
  return 0;
}

static void order(struct ts_program *p) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < p->n_policies; i++)
    if (p->policies[i].type == TS_DROP) p->order[n++] = (uint16_t)i;
  p->n_drop = n;
  for (uint32_t i = 0; i < p->n_policies; i++)
    if (p->policies[i].type != TS_DROP) p->order[n++] = (uint16_t)i;
}

int ts_compile(struct ts_program *p, const struct weir_host *host, struct weir_stage *stage, const struct ts_config *config, struct weir_error *err) {
  struct weir_error ignored = { 0 };
  struct ts_compiler c = { .program = p, .host = host, .stage = stage, .err = err ? err : &ignored, .collector = config->semantics == TS_COLLECTOR };
  const char *keys[TS_POLICIES_MAX] = { NULL };
  p->collector = c.collector;
  p->first_match = config->sample_on_first_match;
  int rc = ts_config_check(config, c.err);
  if (!rc) rc = allocate(&c, config);
  for (size_t i = 0; !rc && i < config->policies.n; i++) {
    snprintf(c.path, sizeof c.path, "policies[%zu]", i);
    rc = policy(&c, config, i, keys);
  }
  if (!rc) rc = leaf_lists(&c);
  if (!rc) rc = masks(&c);
  if (!rc && ts_keys_make(p, keys)) rc = no_memory(&c);
  order(p);
  return rc;
}
