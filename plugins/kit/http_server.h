/*
 * plugins/kit/http_server.h - the keys that receivers on HTTP have in common beyond their address and limits: `cors` and `response_headers`, with the
 * Collector's names and meanings (confighttp). The work is the HTTP server's (weir_http_server_config). All calls are [control or lane].
 */
#ifndef KIT_HTTP_SERVER_H
#define KIT_HTTP_SERVER_H

#include <weir/http.h>

/* `cors: {...}`; the field is a WEIR_T_OPT_GROUP with these. */
struct kit_cors_config {
  struct weir_strings allowed_origins, allowed_headers, exposed_headers;
  int64_t max_age; /* seconds */
};
extern const struct weir_field kit_cors_fields[];

/* `response_headers: {...}` at `offset`: a secret WEIR_T_MAP. */
#define KIT_RESPONSE_HEADERS_FIELD(at)                                                                                                       \
  { "response_headers", WEIR_T_MAP, WEIR_SECRET, at, NULL, NULL, NULL, NULL, NULL,                                                           \
    "Headers added to each answer, at most 32. One that the answer has itself, such as Content-Type, stays as it is.", NULL, 0 }

/* Whether the settings can be used. cors may be NULL. WEIR_E_CONFIG with the field that is to blame: PREFIX.cors... or PREFIX.response_headers. */
int kit_http_check(const struct kit_cors_config *cors, const struct weir_map *response_headers, const char *prefix, struct weir_error *);
/* Says on lane 0 what is allowed but does not do what it looks like. */
void kit_cors_warn(const struct kit_cors_config *cors, const struct weir_host *, struct weir_stage *);

/* The settings in the server's form; to be kept until listen has returned. */
struct kit_http_extra {
  struct weir_http_cors cors;
  struct weir_http_header headers[WEIR_HTTP_RESPONSE_HEADERS_MAX];
  char *names; /* of headers, lower case */
};
/* Into cfg. cors may be NULL. */
int kit_http_extra_fill(struct kit_http_extra *, const struct kit_cors_config *cors, const struct weir_map *response_headers,
  struct weir_http_server_config *cfg, struct weir_error *);
void kit_http_extra_done(struct kit_http_extra *);

#endif
