/*
 * plugins/kit/tenant.h - whose data a request carries, for back ends that keep tenants apart by a header (X-Scope-OrgID of Loki, Tempo and Mimir).
 *
 * A tenant is a fixed name, an attribute of the resource, or request metadata that the receiver kept; the most specific that is there wins:
 * attribute, metadata, fixed name. A request has one tenant, so a batch of several is cut (weir_verdict.cut) before anything of it is sent:
 * each piece is then tried and answered on its own. Pure, but for reading the batch; [lane].
 */
#ifndef KIT_TENANT_H
#define KIT_TENANT_H

#include <weir/config.h>
#include <weir/http.h>
#include <weir/stage.h>

#define TENANT_HEADER "x-scope-orgid"
#define TENANT_MAX_BYTES 150u /* dskit, tenant.ValidTenantID, as are the characters */

struct tenant_config {
  const char *tenant, *from_attribute, *from_context;
};

#define TENANT_AT(at, member) ((at) + offsetof(struct tenant_config, member))
#define TENANT_FIELDS(at) \
  { "tenant", WEIR_T_STRING, 0, TENANT_AT(at, tenant), NULL, NULL, NULL, NULL, NULL, \
    "Whose data this is, sent as X-Scope-OrgID. With one of the next two keys: for what has no tenant of its own. Absent = no such header.", NULL, 0 }, \
  { "tenant_from_attribute", WEIR_T_STRING, 0, TENANT_AT(at, from_attribute), NULL, NULL, NULL, NULL, NULL, \
    "A resource attribute that names the tenant, such as tenant.id. A batch with resources of several tenants is sent in several requests, each tried again on its own.", NULL, 0 }, \
  { "tenant_from_context", WEIR_T_STRING, 0, TENANT_AT(at, from_context), NULL, NULL, NULL, NULL, NULL, \
    "Request metadata that names the tenant, such as X-Scope-OrgID; the receiver keeps it with `include_metadata: true`, and the `metadata_keys` of `batch` and of `sending_queue.batch.partition` keep requests apart.", NULL, 0 }

struct tenant {
  const struct tenant_config *config;
  char context_name[128]; /* from_context in lower case */
};

/* Checks the keys. WEIR_E_CONFIG with err->field. */
int tenant_open(struct tenant *, const struct tenant_config *, struct weir_error *);
/* Whether batches must be read to know. */
int tenant_reads_records(const struct tenant *);
/* *ret_header: the header to send; its value lives as long as the batch. Returns the number of headers, 0 or 1; or, when the batch can not be sent as it is, -1
 * with *ret_v to settle it with: cut, or refused as the name is no tenant's (err has the text). */
int tenant_of(const struct tenant *, const struct weir_host *, struct weir_batch *, struct weir_http_header *ret_header, struct weir_verdict *ret_v, struct weir_error *);

#endif
