/*
 * plugins/kit/auth.h - the two sides of authentication as receivers and exporters use them, and the context of a received request.
 *
 * A gate stands in a receiver, one per protocol: it asks the authenticator, counts refusals, and makes the context of what passes. A signer
 * stands in an exporter and edits the headers of each request. Both belong to one instance and its lane; all calls are [lane], open and close
 * also [control].
 */
#ifndef KIT_AUTH_H
#define KIT_AUTH_H

#include <weir/auth.h>
#include <weir/metrics.h>

/* `auth: {authenticator: ID}`; the field is a WEIR_T_OPT_GROUP with these. */
struct kit_auth_config {
  const char *authenticator;
  struct weir_strings request_params;
};
extern const struct weir_field kit_auth_server_fields[]; /* without request_params */
extern const struct weir_field kit_auth_http_server_fields[];
extern const struct weir_field kit_auth_client_fields[];

/* --- receivers -------------------------------------------------------------------------------------------------------- */

#define KIT_AUTH_CODES 5
#define KIT_PARAMS_MAX 16u
#define KIT_PARAM_BYTES 8192u /* of their values, decoded, all together; more is refused as malformed */

struct kit_gate {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct weir_auth_server *table; /* NULL: everybody may pass */
  struct weir_auth_checker *checker;
  struct weir_cell *refused[KIT_AUTH_CODES];
  const struct weir_metrics_service *metrics;
  int include_metadata;
  struct weir_strings params;
  struct weir_str names[KIT_PARAMS_MAX]; /* of the params, in lower case */
  char *text;                            /* their values in the present request; NULL without params */
  struct weir_http_header *sources;      /* what the authenticator is shown, where there are params */
  size_t cap_sources;
};

/* field: where `auth` stands in the configuration ("protocols.grpc.auth"), to blame. auth NULL: everybody may pass. */
int kit_gate_open(struct kit_gate *, const struct weir_host *, struct weir_stage *, const struct kit_auth_config *auth, int include_metadata,
  const char *field, const char *transport, struct weir_error *);
void kit_gate_close(struct kit_gate *);
/* Asks the authenticator. WEIR_AUTH_OK, or why not; refusals are counted. query: of HTTP, for request_params; empty where there is none. */
uint32_t kit_gate_check(struct kit_gate *, const struct weir_http_header *headers, size_t n, struct weir_str query, struct weir_str peer,
  struct weir_auth_result *ret);
/* The context of a request that passed with `result`: metadata if it is wanted, the client's address, attributes. *ret is NULL when there is nothing to
 * keep. is_grpc: without what gRPC itself says (grpc-timeout, te ...), as grpc-go gives it to the Collector. `host` is added from the authority where the
 * request has none. */
int kit_gate_context(struct kit_gate *, const struct weir_http_header *headers, size_t n, struct weir_str authority, struct weir_str peer,
  const struct weir_auth_result *result, int is_grpc, const struct weir_context **ret, struct weir_error *);

/* --- exporters ---------------------------------------------------------------------------------------------------------- */

#define KIT_AUTH_ROOM 24u /* headers that a signer may add to those of the configuration */

struct kit_signer {
  const struct weir_auth_client *table; /* NULL: nothing to do */
  struct weir_auth_signer *signer;
};

int kit_signer_open(struct kit_signer *, const struct weir_host *, struct weir_stage *, const struct kit_auth_config *auth, struct weir_error *);
void kit_signer_close(struct kit_signer *);
/* Says once that a secret will go to `endpoint` in plaintext, when it is so. The Collector refuses to start then. */
void kit_signer_warn_plain(const struct kit_signer *, const struct weir_host *, struct weir_stage *, const char *endpoint);
int kit_signer_sign(struct kit_signer *, const struct weir_context *, struct weir_auth_headers *, struct weir_error *);
/* The peer refused the credentials: 1 = try again. */
int kit_signer_refused(struct kit_signer *);

/* --- header lists, for those who implement a signer ------------------------------------------------------------------------ */

/* Whether a header's name is `lower`, whatever its case. */
int kit_header_is(struct weir_str name, struct weir_str lower);
/* Replaces the first header of this name and removes the others, or adds it. WEIR_E_INVALID when there is no room. */
int kit_headers_set(struct weir_auth_headers *, struct weir_str lower, struct weir_str value, struct weir_error *);
void kit_headers_remove(struct weir_auth_headers *, struct weir_str lower);

/* --- header names and values from a configuration ------------------------------------------------------------------------- */

/* Why a configuration can not set this header, as the end of a sentence: no token of RFC 9110 section 5.6.2, or what belongs to the connection,
 * the message's framing or gRPC. NULL = it can. */
const char *kit_header_wrong(const char *name);
/* Whether it holds no control character but the tab: a field value of RFC 9110 section 5.5. The one rule for all that goes into a header, tokens of bearertokenauth
 * too: RFC 6750's b64token is not asked for, as the Collector takes any text for a token, with whatever scheme, in whatever header. */
int kit_header_sendable(const char *p, size_t n);
/* Checks an exporter's `headers`. WEIR_E_CONFIG with the name, never the value. */
int kit_headers_check(const struct weir_map *headers, struct weir_error *);

#endif
