/*
 * The headers_setter extension: headers of outgoing requests, from the configuration, from files, from the context of what is sent.
 *
 *   extensions:
 *     headers_setter:
 *       headers:
 *         - {key: x-scope-orgid, from_context: x-tenant, default_value: anonymous}
 *
 * Values of files are one immutable table, published to all lanes and made anew when a file changes (looked at every second, on the control thread).
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/auth.h>
#include <weir/timer.h>

#include "plugins/kit/auth.h"
#include "plugins/kit/secret.h"

#define LOOK_EVERY_NS 1000000000LL
#define MAX_HEADERS 16u
#define MAX_OPENING 64

enum { INSERT, UPDATE, UPSERT, DELETE };

struct header_config {
  int32_t action;
  const char *key, *value, *value_file, *from_context, *from_attribute, *default_value;
};

struct setter_config {
  struct weir_groups headers;
  const char *additional_auth;
};

#define H(member) offsetof(struct header_config, member)

static const struct weir_field header_fields[] = {
  { "action", WEIR_T_ENUM, 0, H(action), "upsert", NULL, NULL, "insert|update|upsert|delete", NULL,
    "insert adds the header where it is missing, update replaces it where it is there, upsert does both, delete removes it.", NULL, 0 },
  { "key", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, H(key), NULL, NULL, NULL, NULL, NULL, "The header's name.", NULL, 0 },
  { "value", WEIR_T_STRING, WEIR_SECRET, H(value), NULL, NULL, NULL, NULL, NULL, "The value.", NULL, 0 },
  { "value_file", WEIR_T_STRING, 0, H(value_file), NULL, NULL, NULL, NULL, NULL, "A file with the value, at most 64 KiB; looked at every second and read again when it has changed.", NULL, 0 },
  { "from_context", WEIR_T_STRING, 0, H(from_context), NULL, NULL, NULL, NULL, NULL,
    "The request metadata to take the value from: the receiver needs `include_metadata: true`, a batch processor on the way `metadata_keys`. A name with several values is an error.", NULL, 0 },
  { "from_attribute", WEIR_T_STRING, 0, H(from_attribute), NULL, NULL, NULL, NULL, NULL, "What the receiver's authenticator says of the client, as `username` of basicauth.", NULL, 0 },
  { "default_value", WEIR_T_STRING, WEIR_SECRET, H(default_value), NULL, NULL, NULL, NULL, NULL, "The value when from_context or from_attribute finds none; without it no header is set then.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field fields[] = {
  { "headers", WEIR_T_GROUPS, WEIR_REQUIRED | WEIR_NONEMPTY, offsetof(struct setter_config, headers), NULL, NULL, NULL, NULL, NULL, "What to do, in this order; at most 16.", header_fields,
    sizeof(struct header_config) },
  { "additional_auth", WEIR_T_STRING, 0, offsetof(struct setter_config, additional_auth), NULL, NULL, NULL, NULL, NULL,
    "The id of another extension with client authentication, which sets its headers first.", NULL, 0 },
  WEIR_FIELD_END,
};

struct texts {
  uint64_t generation;
  size_t n[MAX_HEADERS];
  char *p[MAX_HEADERS]; /* NULL: no file */
};

struct setter {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct setter_config *cfg;
  const struct weir_timer_service *timers;
  struct weir_timer *look;
  char *keys[MAX_HEADERS], *contexts[MAX_HEADERS]; /* lower case */
  struct kit_secret_file files[MAX_HEADERS];
  struct texts *newest; /* the control thread's own copy */
  struct kit_published texts;
  int has_files;
  _Atomic int opening; /* handles that are being opened now, each by way of the next extension */
};

static const struct header_config *header_at(const struct setter *s, size_t i) { return (const struct header_config *)s->cfg->headers.v + i; }

/* --- files ------------------------------------------------------------------------------------------------------------------ */

static void free_texts(void *arg) {
  struct texts *t = arg;
  for (size_t i = 0; t && i < MAX_HEADERS; i++) kit_secret_free(t->p[i], t->n[i]);
  free(t);
}

static struct texts *copy_texts(const struct texts *from) {
  struct texts *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->generation = from->generation;
  for (size_t i = 0; i < MAX_HEADERS; i++) {
    if (!from->p[i]) continue;
    t->n[i] = from->n[i];
    t->p[i] = malloc(from->n[i] + 1);
    if (!t->p[i]) {
      free_texts(t);
      return NULL;
    }
    memcpy(t->p[i], from->p[i], from->n[i]);
  }
  return t;
}

/* 1: the value is new. */
static int read_value(struct setter *s, size_t i, struct weir_error *err) {
  char *text;
  size_t n;
  int code = kit_secret_read(&s->files[i], &text, &n, err);
  if (code <= 0) return code;
  if (!kit_header_sendable(text, n)) {
    kit_secret_free(text, n);
    return weir_fail(err, WEIR_E_INVALID, "%s holds a control character, which no header can", s->files[i].path);
  }
  kit_secret_free(s->newest->p[i], s->newest->n[i]);
  s->newest->p[i] = text;
  s->newest->n[i] = n;
  return 1;
}

static int publish(struct setter *s, struct weir_error *err) {
  s->newest->generation++;
  struct texts *t = copy_texts(s->newest);
  if (!t) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  kit_published_set(&s->texts, t);
  return 0;
}

static void on_look(void *arg) {
  struct setter *s = arg;
  struct weir_error err = { 0 };
  int changed = 0;
  for (size_t i = 0; i < s->cfg->headers.n; i++) {
    int failed = s->files[i].failing, code = s->files[i].path ? read_value(s, i, &err) : 0;
    changed |= code == 1;
    if (code < 0 && !failed) s->host->log(s->stage, WEIR_LOG_WARN, "%s; the value read before stays in use", err.msg);
    if (code == 1) s->host->log(s->stage, WEIR_LOG_INFO, "%s has changed and was read again", s->files[i].path);
  }
  if (changed && publish(s, &err)) s->host->log(s->stage, WEIR_LOG_WARN, "%s", err.msg);
  kit_published_sweep(&s->texts);
  s->timers->set(s->look, LOOK_EVERY_NS);
}

/* --- requests ----------------------------------------------------------------------------------------------------------------- */

struct weir_auth_signer {
  struct setter *s;
  struct texts *texts; /* a copy of what was published */
  struct kit_signer before; /* additional_auth */
};

static int take_newest(struct weir_auth_signer *g) {
  if (!g->s->has_files) return 1;
  const struct texts *t = kit_published_enter(&g->s->texts);
  int ok = t != NULL;
  if (t && (!g->texts || g->texts->generation != t->generation)) {
    struct texts *copy = copy_texts(t);
    if ((ok = copy != NULL)) {
      free_texts(g->texts);
      g->texts = copy;
    }
  }
  kit_published_leave(&g->s->texts);
  return ok;
}

/* The one value of a name; several are an error, none leaves p NULL. */
static int look_up(const struct weir_pair *v, uint32_t n, const char *name, struct weir_str *ret, struct weir_error *err) {
  uint32_t found;
  const struct weir_pair *at = weir_pairs_find(v, n, weir_str_of(name), &found);
  if (found > 1) return weir_fail(err, WEIR_E_INVALID, "%u source keys found in the context, can't determine which one to use: %s", found, name);
  if (at && !kit_header_sendable(at->value.p, at->value.n)) return weir_fail(err, WEIR_E_INVALID, "the value of %s in the context holds a control character, which no header can", name);
  if (at && at->value.n) *ret = at->value;
  return 0;
}

static int value_of(struct weir_auth_signer *g, size_t i, const struct weir_context *c, struct weir_str *ret, struct weir_error *err) {
  const struct header_config *h = header_at(g->s, i);
  int code = 0;
  *ret = (struct weir_str){ NULL, 0, 0 };
  if (h->value) {
    *ret = weir_str_of(h->value);
  } else if (h->value_file) {
    *ret = (struct weir_str){ g->texts->p[i], (uint32_t)g->texts->n[i], 0 };
  } else {
    if (c && h->from_context) code = look_up(c->metadata, c->n_metadata, g->s->contexts[i], ret, err);
    if (c && h->from_attribute) code = look_up(c->auth, c->n_auth, h->from_attribute, ret, err);
    if (!ret->p && h->default_value) *ret = weir_str_of(h->default_value);
  }
  return code;
}

static int has_header(const struct weir_auth_headers *h, struct weir_str lower) {
  for (size_t i = 0; i < h->n; i++)
    if (kit_header_is(h->v[i].name, lower)) return 1;
  return 0;
}

static int apply(struct weir_auth_signer *g, size_t i, const struct weir_context *c, struct weir_auth_headers *headers, struct weir_error *err) {
  struct weir_str key = weir_str_of(g->s->keys[i]), value;
  int action = header_at(g->s, i)->action, there = has_header(headers, key);
  if (action == DELETE) {
    kit_headers_remove(headers, key);
    return 0;
  }
  if ((action == INSERT && there) || (action == UPDATE && !there)) return 0;
  int code = value_of(g, i, c, &value, err);
  if (code || !value.p) return code;
  return kit_headers_set(headers, key, value, err);
}

static int sign(struct weir_auth_signer *g, const struct weir_context *context, struct weir_auth_headers *headers, struct weir_error *err) {
  int code = kit_signer_sign(&g->before, context, headers, err);
  if (!code && !take_newest(g)) code = weir_fail(err, WEIR_E_NOMEM, "no memory");
  for (size_t i = 0; i < g->s->cfg->headers.n && !code; i++) code = apply(g, i, context, headers, err);
  return code;
}

static int refused(struct weir_auth_signer *g) { return kit_signer_refused(&g->before); }

static void signer_close(struct weir_auth_signer *g) {
  if (!g) return;
  kit_signer_close(&g->before);
  free_texts(g->texts);
  free(g);
}

static int signer_open(void *self, struct weir_stage *user, struct weir_auth_signer **ret, struct weir_error *err) {
  struct setter *s = self;
  struct kit_auth_config next = { .authenticator = s->cfg->additional_auth };
  struct weir_auth_signer *g = calloc(1, sizeof *g);
  if (!g) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  g->s = s;
  int code = 0;
  if (atomic_fetch_add(&s->opening, 1) >= MAX_OPENING) /* lanes may open at the same time, but not so many */
    code = weir_fail(err, WEIR_E_CONFIG, "additional_auth of `%s` goes in a circle", s->host->stage_id(s->stage));
  else if (next.authenticator) code = kit_signer_open(&g->before, s->host, user, &next, err);
  atomic_fetch_sub(&s->opening, 1);
  if (code) {
    signer_close(g);
    return code;
  }
  *ret = g;
  return 0;
}

static const struct weir_auth_client client_table = { sizeof client_table, 0, signer_open, sign, refused, signer_close };

static const void *setter_offer(void *self, const char *id) {
  (void)self;
  return strcmp(id, WEIR_AUTH_CLIENT_SERVICE) ? NULL : &client_table;
}

/* --- life ------------------------------------------------------------------------------------------------------------------------ */

static char *lowered(const char *text) {
  char *copy = text ? strdup(text) : NULL;
  for (char *p = copy; p && *p; p++) *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
  return copy;
}

static int check_header(const struct setter *s, size_t i, struct weir_error *err) {
  const struct header_config *h = header_at(s, i);
  int sources = (h->value != NULL) + (h->value_file != NULL) + (h->from_context != NULL) + (h->from_attribute != NULL);
  char field[64];
  const char *wrong = kit_header_wrong(h->key);
  snprintf(field, sizeof field, "headers[%zu].key", i);
  if (wrong) return weir_fail_field(err, field, "`%s` %s", h->key, wrong);
  snprintf(field, sizeof field, "headers[%zu]", i);
  if (h->action == DELETE) return 0;
  if (!sources) return weir_fail_field(err, field, "missing header source, must be 'from_context', 'from_attribute', 'value' or 'value_file'");
  if (sources > 1) return weir_fail_field(err, field, "invalid header source, must either be 'from_context', 'from_attribute', 'value' or 'value_file'");
  snprintf(field, sizeof field, "headers[%zu].%s", i, h->value ? "value" : "default_value");
  const char *fixed = h->value ? h->value : h->default_value;
  if (fixed && !kit_header_sendable(fixed, strlen(fixed))) return weir_fail_field(err, field, "a header's value can hold no control characters");
  return 0;
}

static int open_header(struct setter *s, size_t i, struct weir_error *err) {
  const struct header_config *h = header_at(s, i);
  s->keys[i] = lowered(h->key);
  s->contexts[i] = lowered(h->from_context);
  int code = check_header(s, i, err);
  if (code || !h->value_file || h->action == DELETE) return code;
  s->files[i].path = h->value_file;
  s->has_files = 1;
  if (read_value(s, i, err) >= 0) return 0;
  snprintf(err->field, sizeof err->field, "headers[%zu].value_file", i);
  return err->code;
}

static void setter_close(void *self) {
  struct setter *s = self;
  if (!s) return;
  if (s->timers) s->timers->timer_free(s->look);
  kit_published_done(&s->texts);
  free_texts(s->newest);
  for (size_t i = 0; i < MAX_HEADERS; i++) {
    free(s->keys[i]);
    free(s->contexts[i]);
  }
  free(s);
}

static int open_all(struct setter *s, struct weir_error *err) {
  if (!s->timers || !s->newest) return weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that headers_setter needs");
  if (s->cfg->headers.n == 0) return weir_fail_field(err, "headers", "missing headers configuration");
  if (s->cfg->headers.n > MAX_HEADERS) return weir_fail_field(err, "headers", "more than %u headers", MAX_HEADERS);
  for (size_t i = 0; i < s->cfg->headers.n; i++) {
    int code = open_header(s, i, err);
    if (code) return code;
  }
  return publish(s, err);
}

static int setter_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  struct setter *s = calloc(1, sizeof *s);
  if (!s) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  s->host = host;
  s->stage = stage;
  s->cfg = config;
  s->texts.free = free_texts;
  s->newest = calloc(1, sizeof *s->newest);
  s->timers = host->service(stage, WEIR_TIMER_SERVICE);
  int code = open_all(s, err);
  if (code) {
    setter_close(s);
    return code;
  }
  s->look = s->timers->timer_new(stage, on_look, s);
  *ret_self = s;
  return 0;
}

static int setter_start(void *self, struct weir_error *err) {
  struct setter *s = self;
  (void)err;
  if (s->has_files) s->timers->set(s->look, LOOK_EVERY_NS);
  return 0;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXTENSION,
  .name = "headers_setter",
  .doc = "Sets headers of an exporter's requests (`auth: {authenticator: headers_setter}`), from fixed values, files, request metadata or what authentication found out, so that a "
         "tenant that came in goes out.",
  .example_yaml = "headers:\n  - action: upsert\n    key: x-scope-orgid\n    from_context: x-tenant\n    default_value: anonymous\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct setter_config),
  .open = setter_open,
  .start = setter_start,
  .close = setter_close,
  .offer = setter_offer,
};

WEIR_PLUGIN("headers_setter extension", "0.1.0", "Apache-2.0", &type);
