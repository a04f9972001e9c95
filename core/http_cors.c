/*
 * Headers that a server adds to its answers: CORS (the Fetch standard, "CORS protocol"), decided as the library decides that the Collector uses (rs/cors
 * v1.11 with AllowCredentials), and fixed ones.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/arena.h"
#include "core/assert.h"
#include "core/http_conn.h"

#define CORS_LINES 5u   /* of one answer, without access-control-allow-headers */
#define HEADER_LISTS 4u /* lines of access-control-request-headers; browsers send one, gateways may split it */

struct origin {
  struct weir_str before, after; /* what the `*` stands between; exact: all of it is before */
  int exact;
};

struct http_extra {
  struct arena arena;
  int has_cors, any_origin, any_header;
  struct origin *origins;
  struct weir_str *headers; /* lower case */
  size_t n_origins, n_headers;
  struct weir_str exposed, max_age; /* as they are sent; empty: not sent */
  struct weir_http_header *fixed;
  size_t n_fixed;
  struct weir_http_header *lines; /* of the answer being made */
  size_t n_lines, cap_lines;
};

/* --- configuration --------------------------------------------------------------------------------------- */

static struct weir_str copy(struct arena *a, const char *p, size_t n) { return (struct weir_str){ arena_strndup(a, p, n), (uint32_t)n, 0 }; }

static void add_origin(struct http_extra *x, const char *text) {
  const char *star = strchr(text, '*');
  struct origin *o = &x->origins[x->n_origins++];
  x->any_origin |= strcmp(text, "*") == 0;
  o->exact = !star;
  o->before = copy(&x->arena, text, star ? (size_t)(star - text) : strlen(text));
  o->after = star ? copy(&x->arena, star + 1, strlen(star + 1)) : weir_str_of("");
}

static struct weir_str join(struct arena *a, const struct weir_strings *list) {
  const char *text = "";
  for (size_t i = 0; i < list->n; i++) text = arena_printf(a, "%s%s%s", text, i ? ", " : "", list->v[i]);
  return weir_str_of(text);
}

static void add_cors(struct http_extra *x, const struct weir_http_cors *cors) {
  static const char *const usual[] = { "accept", "content-type", "x-requested-with" };
  struct weir_strings headers = cors->headers.n ? cors->headers : (struct weir_strings){ usual, sizeof usual / sizeof *usual };
  x->has_cors = 1;
  x->origins = arena_alloc(&x->arena, cors->origins.n * sizeof *x->origins);
  x->headers = arena_alloc(&x->arena, headers.n * sizeof *x->headers);
  for (size_t i = 0; i < cors->origins.n; i++) add_origin(x, cors->origins.v[i]);
  for (size_t i = 0; i < headers.n; i++) {
    x->any_header |= strcmp(headers.v[i], "*") == 0;
    x->headers[x->n_headers++] = copy(&x->arena, headers.v[i], strlen(headers.v[i]));
  }
  x->exposed = join(&x->arena, &cors->exposed);
  x->max_age = weir_str_of(cors->max_age_s ? arena_printf(&x->arena, "%lld", cors->max_age_s < 0 ? 0LL : (long long)cors->max_age_s) : "");
}

static void add_fixed(struct http_extra *x, const struct weir_http_header *h, size_t n) {
  x->fixed = arena_alloc(&x->arena, n * sizeof *x->fixed);
  for (; x->n_fixed < n; x->n_fixed++)
    x->fixed[x->n_fixed] = (struct weir_http_header){ copy(&x->arena, h[x->n_fixed].name.p, h[x->n_fixed].name.n),
      copy(&x->arena, h[x->n_fixed].value.p, h[x->n_fixed].value.n) };
}

int http_extra_config(struct weir_http_server *s, struct weir_error *err) {
  const struct weir_http_header *fixed = s->cfg.response_headers;
  size_t n = s->cfg.n_response_headers;
  struct weir_http_cors cors = { 0 };
  if (s->cfg.cors) memcpy(&cors, s->cfg.cors, s->cfg.cors->size < sizeof cors ? s->cfg.cors->size : sizeof cors);
  s->cfg.cors = NULL;
  s->cfg.response_headers = NULL; /* borrowed for the call */
  if (cors.origins.n > WEIR_HTTP_CORS_MAX || cors.headers.n > WEIR_HTTP_CORS_MAX || cors.exposed.n > WEIR_HTTP_CORS_MAX)
    return weir_fail(err, WEIR_E_LIMIT, "more than %u origins or headers for CORS", WEIR_HTTP_CORS_MAX);
  if (n > WEIR_HTTP_RESPONSE_HEADERS_MAX) return weir_fail(err, WEIR_E_LIMIT, "more than %u response headers", WEIR_HTTP_RESPONSE_HEADERS_MAX);
  if (!cors.origins.n && !n) return 0;
  s->extra = calloc(1, sizeof *s->extra);
  WEIR_ASSERT(s->extra != NULL);
  arena_init(&s->extra->arena, NULL, 1024);
  if (cors.origins.n) add_cors(s->extra, &cors);
  if (n) add_fixed(s->extra, fixed, n);
  return 0;
}

void http_extra_free(struct http_extra *x) {
  if (!x) return;
  arena_done(&x->arena);
  free(x->lines);
  free(x);
}

/* --- what is allowed --------------------------------------------------------------------------------------- */

static int same(struct weir_str a, const char *p, size_t n) { return a.n == n && strncasecmp(a.p, p, n) == 0; }

/* In any case, though the standard compares bytes: a browser writes it small, a user may not. */
static int origin_allowed(const struct http_extra *x, struct weir_str origin) {
  if (x->any_origin) return 1;
  for (size_t i = 0; i < x->n_origins; i++) {
    const struct origin *o = &x->origins[i];
    if (o->exact ? same(o->before, origin.p, origin.n)
                 : origin.n >= o->before.n + o->after.n && same(o->before, origin.p, o->before.n) && same(o->after, origin.p + origin.n - o->after.n, o->after.n))
      return 1;
  }
  return 0;
}

/* What rs/cors allows when nobody says more: the simple methods. */
static int method_allowed(struct weir_str method) {
  static const char *const methods[] = { "GET", "POST", "HEAD", "OPTIONS" };
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (weir_str_eq(method, weir_str_of(methods[i]))) return 1;
  return 0;
}

static int header_allowed(const struct http_extra *x, const char *p, size_t n) {
  for (size_t i = 0; i < x->n_headers; i++)
    if (same(x->headers[i], p, n)) return 1;
  return 0;
}

static int is_blank(char c) { return c == ' ' || c == '\t'; }

/* Names between commas, of one line. Their order does not matter here (rs/cors wants that of the alphabet, which browsers keep). */
static int list_allowed(const struct http_extra *x, struct weir_str list) {
  const char *end = list.p + list.n;
  for (const char *p = list.p; p < end; p++) {
    const char *comma = memchr(p, ',', (size_t)(end - p)), *to = comma ? comma : end;
    const char *next = to;
    while (p < to && is_blank(*p)) p++;
    while (to > p && is_blank(to[-1])) to--;
    if (to > p && !header_allowed(x, p, (size_t)(to - p))) return 0;
    p = next;
  }
  return 1;
}

/* Into lists the values as they came. 0: a header among them is not allowed. */
static int headers_allowed(const struct http_extra *x, const struct weir_http_request *r, struct weir_str lists[HEADER_LISTS], size_t *ret_n) {
  static const struct weir_str name = { "access-control-request-headers", 30, 0 };
  for (size_t i = 0; i < r->n_headers; i++) {
    struct weir_str list = r->headers[i].value;
    if (!weir_str_eq(r->headers[i].name, name)) continue;
    if (*ret_n == HEADER_LISTS || (!x->any_header && !list_allowed(x, list))) return 0;
    lists[(*ret_n)++] = list;
  }
  return 1;
}

/* --- the lines of an answer ---------------------------------------------------------------------------------- */

static void add(struct http_extra *x, const char *name, struct weir_str value) {
  if (value.n) x->lines[x->n_lines++] = (struct weir_http_header){ weir_str_of(name), value };
}

static struct weir_str header(const struct weir_http_request *r, const char *name) { return weir_http_find(r->headers, r->n_headers, name); }

static void add_origin_line(struct http_extra *x, struct weir_str origin) { add(x, "access-control-allow-origin", x->any_origin ? weir_str_of("*") : origin); }

static void add_preflight(struct http_extra *x, const struct weir_http_request *r) {
  struct weir_str origin = header(r, "origin"), method = header(r, "access-control-request-method"), lists[HEADER_LISTS];
  size_t n = 0;
  add(x, "vary", weir_str_of("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"));
  if (!origin.n || !origin_allowed(x, origin) || !method_allowed(method) || !headers_allowed(x, r, lists, &n)) return;
  add_origin_line(x, origin);
  add(x, "access-control-allow-methods", method);
  for (size_t i = 0; i < n; i++) add(x, "access-control-allow-headers", lists[i]);
  add(x, "access-control-allow-credentials", weir_str_of("true"));
  add(x, "access-control-max-age", x->max_age);
}

static void add_actual(struct http_extra *x, const struct weir_http_request *r) {
  struct weir_str origin = header(r, "origin");
  add(x, "vary", weir_str_of("Origin")); /* also where the origin is not allowed, or the next one would get a cache's answer */
  if (!origin.n || !origin_allowed(x, origin) || !method_allowed(r->method)) return;
  add_origin_line(x, origin);
  add(x, "access-control-expose-headers", x->exposed);
  add(x, "access-control-allow-credentials", weir_str_of("true"));
}

int http_is_preflight(const struct weir_http_exchange *ex) {
  return ex->server->extra->has_cors && weir_str_eq(ex->req.method, weir_str_of("OPTIONS")) && header(&ex->req, "access-control-request-method").n > 0;
}

/* A fixed one goes behind: what the answer says itself counts. `vary` may stand twice. */
static void add_fixed_lines(struct http_extra *x) {
  static const struct weir_str vary = { "vary", 4, 0 };
  size_t own = x->n_lines;
  for (size_t i = 0; i < x->n_fixed; i++) {
    size_t k = 0;
    while (k < own && !weir_str_eq(x->lines[k].name, x->fixed[i].name)) k++;
    if (k == own || weir_str_eq(x->fixed[i].name, vary)) x->lines[x->n_lines++] = x->fixed[i];
  }
}

struct weir_http_reply http_extra_reply(const struct weir_http_exchange *ex, const struct weir_http_reply *reply) {
  struct http_extra *x = ex->server->extra;
  struct weir_http_reply ret = *reply;
  size_t need = reply->n_headers + CORS_LINES + HEADER_LISTS + x->n_fixed;
  if (x->cap_lines < need) {
    x->lines = realloc(x->lines, need * sizeof *x->lines);
    WEIR_ASSERT(x->lines != NULL);
    x->cap_lines = need;
  }
  if (reply->n_headers) memcpy(x->lines, reply->headers, reply->n_headers * sizeof *x->lines);
  x->n_lines = reply->n_headers;
  int is_known = ex->req.size != 0; /* its headers were read */
  if (is_known && http_is_preflight(ex)) add_preflight(x, &ex->req);
  else if (is_known && x->has_cors) add_actual(x, &ex->req);
  add_fixed_lines(x);
  ret.headers = x->lines;
  ret.n_headers = x->n_lines;
  return ret;
}
