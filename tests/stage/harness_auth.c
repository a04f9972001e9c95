#include "harness_auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const void *harness_offer(struct harness *h, const char *service) {
  const void *table = h->stage.entry->type.offer(h->stage.self, service);
  assert_non_null(table);
  return table;
}

static const struct weir_auth_server *server(struct harness *h) { return harness_offer(h, WEIR_AUTH_SERVER_SERVICE); }
static const struct weir_auth_client *client(struct harness *h) { return harness_offer(h, WEIR_AUTH_CLIENT_SERVICE); }

/* --- lines ----------------------------------------------------------------------------------------------------------------- */

#define LINES_MAX 40

/* "a: b\nc: d\n" */
static size_t split(const char *lines, struct weir_pair *to) {
  size_t n = 0;
  while (lines && *lines) {
    const char *colon = strchr(lines, ':'), *end = strchr(lines, '\n');
    assert_true(colon && end && colon < end && n < LINES_MAX);
    to[n].name = (struct weir_str){ lines, (uint32_t)(colon - lines), 0 };
    to[n++].value = (struct weir_str){ colon + 2, (uint32_t)(end - colon - 2), 0 };
    lines = end + 1;
  }
  return n;
}

/* --- server ------------------------------------------------------------------------------------------------------------------ */

struct weir_auth_checker *harness_checker(struct harness *h) {
  struct weir_auth_checker *c = NULL;
  struct weir_error err = { 0 };
  if (server(h)->open(h->stage.self, &h->stage, &c, &err)) fail_msg("%s", err.msg);
  return c;
}

void harness_checker_close(struct harness *h, struct weir_auth_checker *c) { server(h)->close(c); }

struct weir_auth_result harness_check(struct harness *h, struct weir_auth_checker *c, const char *header, const char *value) {
  struct weir_http_header line = { header ? weir_str_of(header) : (struct weir_str){ NULL, 0, 0 }, value ? weir_str_of(value) : (struct weir_str){ NULL, 0, 0 } };
  struct weir_auth_request request = { .size = sizeof request, .headers = &line, .n_headers = header ? 1 : 0 };
  struct weir_auth_result result;
  server(h)->check(c, &request, &result);
  assert_true(result.code == WEIR_AUTH_OK || result.msg);
  return result;
}

/* --- client ------------------------------------------------------------------------------------------------------------------ */

struct weir_auth_signer *harness_signer(struct harness *h) {
  struct weir_auth_signer *s = NULL;
  struct weir_error err = { 0 };
  if (client(h)->open(h->stage.self, &h->stage, &s, &err)) fail_msg("%s", err.msg);
  return s;
}

void harness_signer_close(struct harness *h, struct weir_auth_signer *s) { client(h)->close(s); }

const char *harness_sign(struct harness *h, struct weir_auth_signer *s, const struct weir_context *context, const char *headers) {
  static char text[4096];
  struct weir_pair pairs[LINES_MAX];
  struct weir_http_header v[LINES_MAX];
  struct weir_auth_headers list = { .size = sizeof list, .v = v, .n = split(headers, pairs), .cap = LINES_MAX };
  struct weir_error err = { 0 };
  size_t at = 0;
  for (size_t i = 0; i < list.n; i++) v[i] = (struct weir_http_header){ pairs[i].name, pairs[i].value };
  if (client(h)->sign(s, context, &list, &err)) {
    snprintf(text, sizeof text, "error: %s", err.msg);
    return text;
  }
  text[0] = 0;
  for (size_t i = 0; i < list.n; i++)
    at += (size_t)snprintf(text + at, sizeof text - at, "%.*s: %.*s\n", (int)v[i].name.n, v[i].name.p, (int)v[i].value.n, v[i].value.n ? v[i].value.p : "");
  return text;
}

const struct weir_context *harness_context(struct harness *h, const char *metadata, const char *auth) {
  struct weir_pair m[LINES_MAX], a[LINES_MAX];
  struct weir_context what = { .size = sizeof what, .metadata = m, .auth = a };
  const struct weir_context *c;
  struct weir_error err = { 0 };
  what.n_metadata = (uint32_t)split(metadata, m);
  what.n_auth = (uint32_t)split(auth, a);
  assert_int_equal(context_new(h->loop.pool, &what, &c, &err), 0);
  return c;
}

/* --- a made-up extension --------------------------------------------------------------------------------------------------------- */

int harness_fake_refused, harness_fake_handles;

static int fake_checker(void *self, struct weir_stage *user, struct weir_auth_checker **ret, struct weir_error *err) {
  (void)user;
  (void)err;
  harness_fake_handles++;
  *ret = self;
  return 0;
}

static void fake_check(struct weir_auth_checker *c, const struct weir_auth_request *r, struct weir_auth_result *ret) {
  static const struct weir_pair ann = { { "username", 8, 0 }, { "ann", 3, 0 } };
  struct weir_str given = weir_http_find(r->headers, r->n_headers, "authorization");
  assert_non_null(c);
  *ret = (struct weir_auth_result){ .size = sizeof *ret, .code = WEIR_AUTH_INVALID, .msg = "who are you", .challenge = "Fake realm=\"x\"" };
  if (!given.p) ret->code = WEIR_AUTH_MISSING;
  if (weir_str_eq(given, weir_str_of("busy"))) ret->code = WEIR_AUTH_BUSY;
  if (!weir_str_eq(given, weir_str_of("ok"))) return;
  *ret = (struct weir_auth_result){ .size = sizeof *ret, .code = WEIR_AUTH_OK, .attrs = &ann, .n_attrs = 1 };
}

static void fake_checker_close(struct weir_auth_checker *c) { harness_fake_handles -= c != NULL; }

static int fake_signer(void *self, struct weir_stage *user, struct weir_auth_signer **ret, struct weir_error *err) {
  (void)user;
  (void)err;
  harness_fake_handles++;
  *ret = self;
  return 0;
}

static int fake_sign(struct weir_auth_signer *s, const struct weir_context *c, struct weir_auth_headers *h, struct weir_error *err) {
  uint32_t n = 0;
  const struct weir_pair *tenant = c ? weir_pairs_find(c->metadata, c->n_metadata, weir_str_of("x-tenant"), &n) : NULL;
  assert_non_null(s);
  if (n > 1) return weir_fail(err, WEIR_E_INVALID, "two tenants");
  h->v[h->n++] = (struct weir_http_header){ weir_str_of("authorization"), weir_str_of("ok") };
  if (tenant) h->v[h->n++] = (struct weir_http_header){ weir_str_of("x-out"), tenant->value };
  return 0;
}

static int fake_refused(struct weir_auth_signer *s) {
  assert_non_null(s);
  return harness_fake_refused;
}

static void fake_signer_close(struct weir_auth_signer *s) { harness_fake_handles -= s != NULL; }

static const struct weir_auth_server fake_server = { sizeof fake_server, 0, fake_checker, fake_check, fake_checker_close };
static const struct weir_auth_client fake_client = { sizeof fake_client, WEIR_AUTH_CONFIDENTIAL, fake_signer, fake_sign, fake_refused, fake_signer_close };

static const void *fake_offer(void *self, const char *id) {
  (void)self;
  if (!strcmp(id, WEIR_AUTH_SERVER_SERVICE)) return &fake_server;
  return strcmp(id, WEIR_AUTH_CLIENT_SERVICE) ? NULL : &fake_client;
}

struct weir_stage *harness_fake_auth(void) {
  static const struct stage_entry entry = { .type = { .size = sizeof entry.type, .role = WEIR_EXTENSION, .name = "fake", .offer = fake_offer } };
  static struct weir_stage stage = { .magic = STAGE_MAGIC, .entry = &entry, .id = "fake", .self = &stage };
  harness_fake_refused = 0;
  return &stage;
}
