#include "plugins/kit/tenant.h"

#include <stdio.h>
#include <string.h>

static const char wrong[] = "no tenant: letters, digits and !-_.*'() are allowed, at most 150 of them, and neither `.` nor `..`";

static int is_tenant(struct weir_str name) {
  if (!name.n || name.n > TENANT_MAX_BYTES || name.p[0] == 0) return 0;
  if (weir_str_eq(name, weir_str_of(".")) || weir_str_eq(name, weir_str_of(".."))) return 0;
  for (uint32_t i = 0; i < name.n; i++)
    if (!name.p[i] || !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!-_.*'()", name.p[i])) return 0;
  return 1;
}

int tenant_open(struct tenant *t, const struct tenant_config *c, struct weir_error *err) {
  t->config = c;
  if (c->tenant && !is_tenant(weir_str_of(c->tenant))) return weir_fail_field(err, "tenant", "`%s` is %s", c->tenant, wrong);
  if (c->from_attribute && !*c->from_attribute) return weir_fail_field(err, "tenant_from_attribute", "it may not be empty");
  if (!c->from_context) return 0;
  size_t n = strlen(c->from_context);
  if (!n || n >= sizeof t->context_name) return weir_fail_field(err, "tenant_from_context", "it must have 1 to %zu characters", sizeof t->context_name - 1);
  for (size_t i = 0; i <= n; i++) t->context_name[i] = (char)(c->from_context[i] >= 'A' && c->from_context[i] <= 'Z' ? c->from_context[i] + 32 : c->from_context[i]);
  return 0;
}

int tenant_reads_records(const struct tenant *t) { return t->config->from_attribute != NULL; }

/* What the request or else the configuration says; p == NULL: nothing. */
static struct weir_str without_attribute(const struct tenant *t, const struct weir_context *context) {
  struct weir_str none = { NULL, 0, 0 };
  uint32_t n = 0;
  const struct weir_pair *v = t->config->from_context && context ? weir_pairs_find(context->metadata, context->n_metadata, weir_str_of(t->context_name), &n) : NULL;
  if (n) return v->value;
  return t->config->tenant ? weir_str_of(t->config->tenant) : none;
}

static struct weir_str of_resource(const struct tenant *t, const struct weir_resource *r, struct weir_str otherwise) {
  const struct weir_attr *a = weir_attr_find(&r->rec, weir_str_of(t->config->from_attribute));
  if (!a || a->value.kind != WEIR_V_STRING || !a->value.n) return otherwise;
  return (struct weir_str){ a->value.u.s, a->value.n, 0 };
}

static uint64_t items_of(uint32_t signal, const struct weir_resource *r) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < r->n_scopes; i++) {
    const struct weir_scope *s = r->scopes[i];
    for (uint32_t k = 0; signal == WEIR_METRICS && k < s->n_records; k++) n += s->u.metrics[k]->n_points;
    if (signal != WEIR_METRICS) n += s->n_records;
  }
  return n;
}

/* The tenant of the first items, and how many they are. Resources without items belong to whoever is beside them. */
static struct weir_str first_run(const struct tenant *t, const struct weir_data *d, struct weir_str otherwise, uint64_t *ret_items) {
  struct weir_str name = otherwise;
  *ret_items = 0;
  for (uint32_t i = 0; i < d->n_resources; i++) {
    uint64_t items = items_of(d->signal, d->resources[i]);
    struct weir_str its = of_resource(t, d->resources[i], otherwise);
    if (!items) continue;
    if (*ret_items && !weir_str_eq(its, name)) break;
    name = its;
    *ret_items += items;
  }
  return name;
}

int tenant_of(const struct tenant *t, const struct weir_host *host, struct weir_batch *batch, struct weir_http_header *ret_header, struct weir_verdict *ret_v, struct weir_error *err) {
  struct weir_str name = without_attribute(t, host->batch_context(batch));
  *ret_v = (struct weir_verdict){ .code = WEIR_REJECTED, .msg = err->msg };
  if (t->config->from_attribute) {
    const struct weir_data *d = host->batch_read(batch, err);
    uint64_t items;
    if (!d) {
      ret_v->code = WEIR_RETRY;
      return -1;
    }
    name = first_run(t, d, name, &items);
    if (items && items < host->batch_items(batch)) {
      ret_v->too_large = 1;
      ret_v->cut = (uint32_t)items;
      weir_fail(err, WEIR_E_LIMIT, "resources of several tenants");
      return -1;
    }
  }
  if (!name.p) return 0;
  if (!is_tenant(name)) {
    weir_fail(err, WEIR_E_INVALID, "`%.*s` is %s", (int)(name.n < 64 ? name.n : 64), name.p, wrong);
    return -1;
  }
  *ret_header = (struct weir_http_header){ weir_str_of(TENANT_HEADER), name };
  return 1;
}
