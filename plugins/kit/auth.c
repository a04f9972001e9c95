#include "plugins/kit/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/kit/query.h"

#define A(member) offsetof(struct kit_auth_config, member)

#define AUTHENTICATOR_FIELD                                                                                                                 \
  { "authenticator", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, A(authenticator), NULL, NULL, NULL, NULL, NULL,                          \
    "The id of the extension that judges requests, which stands in service.extensions. A refused request is answered 401 or UNAUTHENTICATED before its body is read.", \
    NULL, 0 }

const struct weir_field kit_auth_server_fields[] = { AUTHENTICATOR_FIELD, WEIR_FIELD_END };

const struct weir_field kit_auth_http_server_fields[] = {
  AUTHENTICATOR_FIELD,
  { "request_params", WEIR_T_STRINGS, 0, A(request_params), NULL, NULL, NULL, NULL, NULL,
    "Parameters of the query string, at most 16, whose values the authenticator sees as headers of that name, in place of real ones: with [authorization] a client that can "
    "set no headers may post to /v1/traces?authorization=Bearer%20TOKEN. Who keeps URLs, such as a proxy with its log, then keeps credentials; weir logs none.",
    NULL, 0 },
  WEIR_FIELD_END,
};

const struct weir_field kit_auth_client_fields[] = {
  { "authenticator", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, A(authenticator), NULL, NULL, NULL, NULL, NULL,
    "The id of the extension that adds headers to each request, which stands in service.extensions.", NULL, 0 },
  WEIR_FIELD_END,
};

/* --- receivers -------------------------------------------------------------------------------------------------------- */

static void make_cells(struct kit_gate *g, const char *transport) {
  static const char *const reasons[KIT_AUTH_CODES] = { NULL, "missing", "malformed", "invalid", "busy" };
  g->metrics = g->host->service(g->stage, WEIR_METRICS_SERVICE);
  for (int i = 1; g->metrics && i < KIT_AUTH_CODES; i++) {
    char labels[300];
    snprintf(labels, sizeof labels, "receiver=\"%s\",transport=\"%s\",reason=\"%s\"", g->host->stage_id(g->stage), transport, reasons[i]);
    g->refused[i] = g->metrics->counter(g->stage, "weir_receiver_auth_refused_total", labels, "Requests that authentication refused, by reason.");
  }
}

static int blame(struct weir_error *err, const char *field, const char *key) {
  snprintf(err->field, sizeof err->field, "%s.%s", field, key);
  return err->code = WEIR_E_CONFIG;
}

/* Room for their values, and their names as headers have them. */
static int open_params(struct kit_gate *g, const struct weir_strings *params, struct weir_error *err) {
  if (params->n > KIT_PARAMS_MAX) return weir_fail(err, WEIR_E_CONFIG, "more than %u parameters", KIT_PARAMS_MAX);
  for (size_t i = 0; i < params->n; i++)
    if (!*params->v[i]) return weir_fail(err, WEIR_E_CONFIG, "a parameter without a name");
  if (!params->n) return 0;
  size_t bytes = KIT_PARAM_BYTES;
  for (size_t i = 0; i < params->n; i++) bytes += strlen(params->v[i]);
  if (!(g->text = malloc(bytes))) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  char *at = g->text + KIT_PARAM_BYTES;
  g->params = *params;
  for (size_t i = 0; i < params->n; i++) {
    g->names[i] = (struct weir_str){ at, (uint32_t)strlen(params->v[i]), 0 };
    for (const char *c = params->v[i]; *c; c++) *at++ = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
  }
  return 0;
}

int kit_gate_open(struct kit_gate *g, const struct weir_host *host, struct weir_stage *stage, const struct kit_auth_config *auth, int include_metadata,
  const char *field, const char *transport, struct weir_error *err) {
  void *self;
  memset(g, 0, sizeof *g);
  g->host = host;
  g->stage = stage;
  g->include_metadata = include_metadata;
  if (!auth) return 0;
  if (open_params(g, &auth->request_params, err)) return blame(err, field, "request_params");
  const struct weir_auth_server *table = host->extension(stage, auth->authenticator, WEIR_AUTH_SERVER_SERVICE, &self, err);
  if (!table || table->open(self, stage, &g->checker, err)) return blame(err, field, "authenticator");
  g->table = table;
  make_cells(g, transport);
  return 0;
}

void kit_gate_close(struct kit_gate *g) {
  if (g->table) g->table->close(g->checker);
  free(g->text);
  free(g->sources);
  g->table = NULL;
  g->checker = NULL;
  g->text = NULL;
  g->sources = NULL;
}

static int is_param(const struct weir_http_header *found, size_t n, struct weir_str name) {
  for (size_t i = 0; i < n; i++)
    if (weir_str_eq(found[i].name, name)) return 1;
  return 0;
}

/* The request's headers, those named as a parameter that is there replaced by its value. An authenticator looks at the first value of a header. */
static const char *add_params(struct kit_gate *g, struct weir_str query, struct weir_auth_request *request) {
  size_t need = request->n_headers + g->params.n, used = 0, n = 0;
  if (g->cap_sources < need) {
    struct weir_http_header *v = realloc(g->sources, need * sizeof *v);
    if (!v) return "no memory for the parameters of the query string";
    g->sources = v;
    g->cap_sources = need;
  }
  for (size_t i = 0; i < g->params.n; i++) {
    struct weir_str value;
    int found = kit_query_get(query, g->params.v[i], g->text + used, KIT_PARAM_BYTES - used, &value);
    if (found < 0) return "the credentials in the query string are too long";
    if (found) g->sources[n++] = (struct weir_http_header){ g->names[i], value };
    if (found) used += value.n;
  }
  size_t n_params = n;
  for (size_t i = 0; i < request->n_headers; i++)
    if (!is_param(g->sources, n_params, request->headers[i].name)) g->sources[n++] = request->headers[i];
  request->headers = g->sources;
  request->n_headers = n;
  return NULL;
}

uint32_t kit_gate_check(struct kit_gate *g, const struct weir_http_header *headers, size_t n, struct weir_str query, struct weir_str peer,
  struct weir_auth_result *ret) {
  struct weir_auth_request request = { .size = sizeof request, .headers = headers, .n_headers = n, .peer = peer };
  *ret = (struct weir_auth_result){ .size = sizeof *ret, .code = WEIR_AUTH_OK };
  if (!g->table) return WEIR_AUTH_OK;
  const char *bad = g->params.n && query.n ? add_params(g, query, &request) : NULL;
  if (bad) *ret = (struct weir_auth_result){ .size = sizeof *ret, .code = WEIR_AUTH_MALFORMED, .msg = bad };
  else g->table->check(g->checker, &request, ret);
  uint32_t cell = ret->code < KIT_AUTH_CODES ? ret->code : WEIR_AUTH_INVALID;
  if (ret->code != WEIR_AUTH_OK && g->refused[cell]) g->metrics->add(g->refused[cell], 1);
  return ret->code;
}

/* grpc-go, internal/transport: these are the transport's and never reach the handler's metadata. */
static int is_grpcs_own(struct weir_str name) {
  static const char *const own[] = { "te", "grpc-encoding", "grpc-timeout", "grpc-message-type", "grpc-message", "grpc-status" };
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (weir_str_eq(name, weir_str_of(own[i]))) return 1;
  return 0;
}

int kit_gate_context(struct kit_gate *g, const struct weir_http_header *headers, size_t n, struct weir_str authority, struct weir_str peer,
  const struct weir_auth_result *result, int is_grpc, const struct weir_context **ret, struct weir_error *err) {
  struct weir_pair small[64], *v = small;
  struct weir_context what = { .size = sizeof what, .auth = result->attrs, .n_auth = (uint32_t)result->n_attrs, .peer = peer };
  int has_host = 0;
  *ret = NULL;
  if (!g->include_metadata && !result->n_attrs) return 0; /* the address alone is kept by nobody: docs/design/context.md */
  if (!g->include_metadata) return g->host->context_new(g->stage, &what, ret, err);
  if (n >= sizeof small / sizeof *small) v = calloc(n + 1, sizeof *v);
  if (!v) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  for (size_t i = 0; i < n; i++) {
    if (is_grpc && is_grpcs_own(headers[i].name)) continue;
    has_host |= weir_str_eq(headers[i].name, weir_str_of("host"));
    v[what.n_metadata++] = (struct weir_pair){ headers[i].name, headers[i].value };
  }
  if (!has_host && authority.n) v[what.n_metadata++] = (struct weir_pair){ weir_str_of("host"), authority };
  what.metadata = v;
  int code = g->host->context_new(g->stage, &what, ret, err);
  if (v != small) free(v);
  return code;
}

/* --- exporters ---------------------------------------------------------------------------------------------------------- */

int kit_signer_open(struct kit_signer *s, const struct weir_host *host, struct weir_stage *stage, const struct kit_auth_config *auth, struct weir_error *err) {
  void *self;
  memset(s, 0, sizeof *s);
  if (!auth) return 0;
  const struct weir_auth_client *table = host->extension(stage, auth->authenticator, WEIR_AUTH_CLIENT_SERVICE, &self, err);
  if (!table || table->open(self, stage, &s->signer, err)) return blame(err, "auth", "authenticator");
  s->table = table;
  return 0;
}

void kit_signer_close(struct kit_signer *s) {
  if (s->table) s->table->close(s->signer);
  s->table = NULL;
  s->signer = NULL;
}

void kit_signer_warn_plain(const struct kit_signer *s, const struct weir_host *host, struct weir_stage *stage, const char *endpoint) {
  if (!s->table || !(s->table->flags & WEIR_AUTH_CONFIDENTIAL) || host->stage_lane(stage) != 0) return;
  host->log(stage, WEIR_LOG_WARN, "credentials go to %s in plaintext, for everybody on the way to read", endpoint);
}

int kit_signer_sign(struct kit_signer *s, const struct weir_context *context, struct weir_auth_headers *headers, struct weir_error *err) {
  return s->table ? s->table->sign(s->signer, context, headers, err) : 0;
}

int kit_signer_refused(struct kit_signer *s) { return s->table && s->table->refused ? s->table->refused(s->signer) : 0; }

/* --- header lists -------------------------------------------------------------------------------------------------------- */

int kit_header_is(struct weir_str name, struct weir_str lower) {
  if (name.n != lower.n) return 0;
  for (uint32_t i = 0; i < name.n; i++)
    if ((name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]) != lower.p[i]) return 0;
  return 1;
}

void kit_headers_remove(struct weir_auth_headers *h, struct weir_str lower) {
  size_t kept = 0;
  for (size_t i = 0; i < h->n; i++)
    if (!kit_header_is(h->v[i].name, lower)) h->v[kept++] = h->v[i];
  h->n = kept;
}

int kit_headers_set(struct weir_auth_headers *h, struct weir_str lower, struct weir_str value, struct weir_error *err) {
  kit_headers_remove(h, lower);
  if (h->n == h->cap) return weir_fail(err, WEIR_E_INVALID, "no room for the header %.*s", (int)lower.n, lower.p);
  h->v[h->n++] = (struct weir_http_header){ lower, value };
  return 0;
}

/* --- header names and values from a configuration ------------------------------------------------------------------------- */

const char *kit_header_wrong(const char *name) {
  static const char *const own[] = { "connection", "content-length", "content-encoding", "content-type", "keep-alive", "te", "transfer-encoding", "upgrade" };
  if (!*name || name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")]) return "is no header name";
  if (!strncasecmp(name, "grpc-", 5)) return "belongs to gRPC";
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (!strcasecmp(name, own[i])) return "belongs to the exporter";
  return NULL;
}

int kit_header_sendable(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f) return 0;
  return 1;
}

int kit_headers_check(const struct weir_map *headers, struct weir_error *err) {
  for (size_t i = 0; i < headers->n; i++) {
    const struct weir_map_entry *h = &headers->v[i];
    const char *wrong = kit_header_wrong(h->key);
    if (!wrong && !kit_header_sendable(h->value, strlen(h->value))) wrong = "has a control character in its value, such as a line break";
    if (wrong) return weir_fail_field(err, "headers", "`%s` %s", h->key, wrong);
  }
  return 0;
}
