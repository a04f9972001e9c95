#include "plugins/kit/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/kit/auth.h"

#define C(member) offsetof(struct kit_cors_config, member)

const struct weir_field kit_cors_fields[] = {
  { "allowed_origins", WEIR_T_STRINGS, 0, C(allowed_origins), NULL, NULL, NULL, NULL, NULL,
    "The origins whose pages may send, such as https://shop.example.com, at most 100, in any case. One `*` in an origin stands for any text, as in https://*.example.com; "
    "alone it is every origin. Empty: CORS is off. A request of another origin is served all the same, without leave for its page to read the answer.",
    NULL, 0 },
  { "allowed_headers", WEIR_T_STRINGS, 0, C(allowed_headers), NULL, NULL, NULL, NULL, NULL,
    "The request headers that they may use, at most 100; `*` = all. Empty: Accept, Content-Type and X-Requested-With. A list is used as it is, so it should have Content-Type, "
    "which browsers ask leave for when the body is JSON or protobuf.",
    NULL, 0 },
  { "exposed_headers", WEIR_T_STRINGS, 0, C(exposed_headers), NULL, NULL, NULL, NULL, NULL, "The headers of an answer that they may read, such as Retry-After, at most 100.", NULL, 0 },
  { "max_age", WEIR_T_INT, 0, C(max_age), "0", NULL, NULL, NULL, "seconds",
    "How long a browser may keep the answer to a preflight. 0: it is not told, and takes 5 s; below 0: not at all.", NULL, 0 },
  WEIR_FIELD_END,
};

/* --- checks ------------------------------------------------------------------------------------------------- */

static int is_token(const char *s) { return *s && !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")]; }

static int wrong(struct weir_error *err, const char *prefix, const char *list, size_t i, const char *text, const char *what, const char *hint) {
  char field[96];
  snprintf(field, sizeof field, "%s.cors.%s[%zu]", prefix, list, i);
  weir_fail_field(err, field, *text ? "`%.60s` %s" : "an empty text %s%s", text, what);
  weir_hint(err, "%s", hint);
  return WEIR_E_CONFIG;
}

static int check_count(const struct weir_strings *list, const char *prefix, const char *name, struct weir_error *err) {
  char field[96];
  if (list->n <= WEIR_HTTP_CORS_MAX) return 0;
  snprintf(field, sizeof field, "%s.cors.%s", prefix, name);
  return weir_fail_field(err, field, "more than %u", WEIR_HTTP_CORS_MAX);
}

static int check_origins(const struct weir_strings *list, const char *prefix, struct weir_error *err) {
  static const char name[] = "allowed_origins", one_star[] = "write one origin for each form, such as https://*.example.com", form[] = "an origin is scheme://host[:port], such as https://shop.example.com";
  for (size_t i = 0; i < list->n; i++) {
    const char *o = list->v[i], *star = strchr(o, '*');
    if (!*o) return wrong(err, prefix, name, i, o, "is no origin", form);
    if (star && strchr(star + 1, '*')) return wrong(err, prefix, name, i, o, "has more than one `*`", one_star);
    if (!kit_header_sendable(o, strlen(o))) return wrong(err, prefix, name, i, "...", "has a control character", form);
  }
  return check_count(list, prefix, name, err);
}

static int check_names(const struct weir_strings *list, const char *prefix, const char *name, struct weir_error *err) {
  for (size_t i = 0; i < list->n; i++)
    if (!is_token(list->v[i])) return wrong(err, prefix, name, i, list->v[i], "is no header name", "write names such as Content-Type");
  return check_count(list, prefix, name, err);
}

static const char *response_header_wrong(const struct weir_map_entry *h) {
  static const char *const own[] = { "connection", "content-length", "content-encoding", "content-type", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade" };
  if (!is_token(h->key)) return "is no header name";
  if (!strncasecmp(h->key, "grpc-", 5)) return "belongs to gRPC";
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (!strcasecmp(h->key, own[i])) return "belongs to the server";
  return kit_header_sendable(h->value, strlen(h->value)) ? NULL : "has a control character in its value, such as a line break";
}

static int check_response_headers(const struct weir_map *map, const char *prefix, struct weir_error *err) {
  char field[96];
  snprintf(field, sizeof field, "%s.response_headers", prefix);
  if (map->n > WEIR_HTTP_RESPONSE_HEADERS_MAX) return weir_fail_field(err, field, "more than %u headers", WEIR_HTTP_RESPONSE_HEADERS_MAX);
  for (size_t i = 0; i < map->n; i++) {
    const char *what = response_header_wrong(&map->v[i]);
    if (what) return weir_fail_field(err, field, "`%.60s` %s", map->v[i].key, what);
  }
  return 0;
}

int kit_http_check(const struct kit_cors_config *cors, const struct weir_map *response_headers, const char *prefix, struct weir_error *err) {
  int r = check_response_headers(response_headers, prefix, err);
  if (!r && cors) r = check_origins(&cors->allowed_origins, prefix, err);
  if (!r && cors) r = check_names(&cors->allowed_headers, prefix, "allowed_headers", err);
  if (!r && cors) r = check_names(&cors->exposed_headers, prefix, "exposed_headers", err);
  return r;
}

/* --- warnings ------------------------------------------------------------------------------------------------ */

static int has(const struct weir_strings *list, const char *name) {
  for (size_t i = 0; i < list->n; i++)
    if (!strcasecmp(list->v[i], name)) return 1;
  return 0;
}

/* What browsers send: scheme://host[:port], or null. */
static int looks_like_an_origin(const char *o) {
  const char *host = strstr(o, "://");
  return strchr(o, '*') || !strcasecmp(o, "null") || (host && !strchr(host + 3, '/'));
}

void kit_cors_warn(const struct kit_cors_config *cors, const struct weir_host *host, struct weir_stage *stage) {
  if (!cors || host->stage_lane(stage) != 0) return;
  if (!cors->allowed_origins.n && (cors->allowed_headers.n || cors->exposed_headers.n))
    host->log(stage, WEIR_LOG_WARN, "cors has headers but no allowed_origins, and is therefore ignored");
  for (size_t i = 0; i < cors->allowed_origins.n; i++)
    if (!looks_like_an_origin(cors->allowed_origins.v[i]))
      host->log(stage, WEIR_LOG_WARN, "cors.allowed_origins: `%.60s` fits no browser's origin, which is scheme://host[:port] without a path", cors->allowed_origins.v[i]);
  if (cors->allowed_origins.n && cors->allowed_headers.n && !has(&cors->allowed_headers, "*") && !has(&cors->allowed_headers, "content-type"))
    host->log(stage, WEIR_LOG_WARN, "cors.allowed_headers lacks Content-Type: browsers will not send JSON or protobuf");
}

/* --- into the server's form ------------------------------------------------------------------------------------- */

static char *lower(char *to, const char *from, size_t n) {
  for (size_t i = 0; i < n; i++) to[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] + 32 : from[i]);
  return to + n;
}

int kit_http_extra_fill(struct kit_http_extra *x, const struct kit_cors_config *cors, const struct weir_map *response_headers,
  struct weir_http_server_config *cfg, struct weir_error *err) {
  size_t bytes = 1;
  memset(x, 0, sizeof *x);
  for (size_t i = 0; i < response_headers->n; i++) bytes += strlen(response_headers->v[i].key);
  if (!(x->names = malloc(bytes))) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  char *at = x->names;
  for (size_t i = 0; i < response_headers->n; i++) {
    const struct weir_map_entry *h = &response_headers->v[i];
    size_t n = strlen(h->key);
    x->headers[i] = (struct weir_http_header){ { at, (uint32_t)n, 0 }, weir_str_of(h->value) };
    at = lower(at, h->key, n);
  }
  cfg->response_headers = x->headers;
  cfg->n_response_headers = response_headers->n;
  if (!cors) return 0;
  x->cors = (struct weir_http_cors){ .size = sizeof x->cors, .origins = cors->allowed_origins, .headers = cors->allowed_headers, .exposed = cors->exposed_headers,
    .max_age_s = cors->max_age };
  cfg->cors = &x->cors;
  return 0;
}

void kit_http_extra_done(struct kit_http_extra *x) { free(x->names); }
