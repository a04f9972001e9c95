/*
 * The bearertokenauth extension: one shared token, checked on servers and sent by clients.
 *
 *   extensions:
 *     bearertokenauth: {filename: /var/run/secrets/token}
 *
 * The values that are compared and sent ("Bearer TOKEN", one per token) are one immutable table, published to all lanes; with `filename` a timer on the
 * control thread looks every second whether the file is another one, also behind a symlink, and publishes a new table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/auth.h>
#include <weir/timer.h>

#include "plugins/kit/auth.h"
#include "plugins/kit/credential.h"

#define LOOK_EVERY_NS 1000000000LL
#define TOKENS_MAX 1000u

struct bearer_config {
  const char *scheme, *token, *filename, *header;
  struct weir_strings tokens;
};

static const struct weir_field fields[] = {
  { "scheme", WEIR_T_STRING, 0, offsetof(struct bearer_config, scheme), "Bearer", NULL, NULL, NULL, NULL, "What stands before the token in the header; empty = nothing.", NULL, 0 },
  { "token", WEIR_T_STRING, WEIR_SECRET, offsetof(struct bearer_config, token), NULL, NULL, NULL, NULL, NULL, "The token.", NULL, 0 },
  { "tokens", WEIR_T_STRINGS, WEIR_SECRET, offsetof(struct bearer_config, tokens), NULL, NULL, NULL, NULL, NULL,
    "Several tokens, at most 1000, instead of `token`: a server takes each of them, a client sends the first.", NULL, 0 },
  { "filename", WEIR_T_STRING, 0, offsetof(struct bearer_config, filename), NULL, NULL, NULL, NULL, NULL,
    "A file with one token per line, at most 64 KiB, used instead of `token` and `tokens`. It is looked at every second and read again when it has changed, also behind "
    "a symlink; when it can not be read, the tokens read before stay good.", NULL, 0 },
  { "header", WEIR_T_STRING, WEIR_NONEMPTY, offsetof(struct bearer_config, header), "Authorization", NULL, NULL, NULL, NULL, "The header that carries the token.", NULL, 0 },
  WEIR_FIELD_END,
};

/* --- the table that lanes read ------------------------------------------------------------------------------------------- */

struct values {
  size_t n, bytes;
  struct weir_str v[]; /* the text stands behind */
};

struct bearer {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct bearer_config *cfg;
  const struct weir_timer_service *timers;
  struct weir_timer *look;
  struct kit_secret_file file;
  struct kit_published values; /* struct values */
  struct kit_credential first; /* what clients send */
  char *header; /* lower case */
};

static void free_values(void *arg) {
  struct values *t = arg;
  kit_secret_free((char *)t, t->bytes);
}

/* "SCHEME TOKEN" for each token. */
static struct values *make_values(const char *scheme, const struct weir_str *tokens, size_t n) {
  size_t scheme_n = strlen(scheme), lead = scheme_n ? scheme_n + 1 : 0, bytes = sizeof(struct values) + n * sizeof(struct weir_str);
  for (size_t i = 0; i < n; i++) bytes += lead + tokens[i].n;
  struct values *t = calloc(1, bytes);
  if (!t) return NULL;
  char *at = (char *)&t->v[n];
  t->bytes = bytes;
  for (size_t i = 0; i < n; i++) {
    t->v[t->n++] = (struct weir_str){ at, (uint32_t)(lead + tokens[i].n), 0 };
    if (lead) {
      memcpy(at, scheme, scheme_n);
      at[scheme_n] = ' ';
    }
    memcpy(at + lead, tokens[i].p, tokens[i].n);
    at += lead + tokens[i].n;
  }
  return t;
}

static int publish(struct bearer *b, const struct weir_str *tokens, size_t n, struct weir_error *err) {
  for (size_t i = 0; i < n; i++)
    if (!tokens[i].n || !kit_header_sendable(tokens[i].p, tokens[i].n)) return weir_fail(err, WEIR_E_CONFIG, "token %zu is empty or holds a control character", i + 1);
  struct values *t = make_values(b->cfg->scheme, tokens, n);
  if (!t) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  int code = kit_credential_set(&b->first, t->v[0], err);
  if (code) free_values(t);
  else kit_published_set(&b->values, t);
  return code;
}

/* Lines without white space at their ends; empty ones are skipped. */
static size_t split_lines(const char *p, size_t n, struct weir_str *to, size_t cap) {
  size_t found = 0;
  for (size_t i = 0; i <= n && found < cap; i++) {
    size_t from = i;
    while (i < n && p[i] != '\n') i++;
    size_t end = i;
    while (from < end && (p[from] == ' ' || p[from] == '\t')) from++;
    while (end > from && (p[end - 1] == ' ' || p[end - 1] == '\t' || p[end - 1] == '\r')) end--;
    if (end > from) to[found++] = (struct weir_str){ p + from, (uint32_t)(end - from), 0 };
  }
  return found;
}

static int publish_lines(struct bearer *b, const char *text, size_t n, struct weir_error *err) {
  struct weir_str *tokens = calloc(TOKENS_MAX + 1, sizeof *tokens);
  if (!tokens) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  size_t found = split_lines(text, n, tokens, TOKENS_MAX + 1);
  int code = found == 0           ? weir_fail(err, WEIR_E_INVALID, "there is no token in %s", b->cfg->filename)
             : found > TOKENS_MAX ? weir_fail(err, WEIR_E_LIMIT, "%s has over %u tokens", b->cfg->filename, TOKENS_MAX)
                                  : publish(b, tokens, found, err);
  free(tokens);
  return code;
}

/* 1: new tokens; 0: the file is as it was. */
static int read_file(struct bearer *b, struct weir_error *err) {
  char *text;
  size_t n;
  int code = kit_secret_read(&b->file, &text, &n, err);
  if (code <= 0) return code;
  code = publish_lines(b, text, n, err);
  kit_secret_free(text, n);
  return code ? code : 1;
}

static void look_again(struct bearer *b) {
  struct weir_error err = { 0 };
  int failed = b->file.failing, code = read_file(b, &err);
  if (code == 1) b->host->log(b->stage, WEIR_LOG_INFO, "%s has changed and was read again", b->cfg->filename);
  if (code < 0 && !failed) b->host->log(b->stage, WEIR_LOG_WARN, "%s; the tokens read before stay in use", err.msg);
  kit_published_sweep(&b->values);
  kit_credential_sweep(&b->first);
}

static void on_look(void *arg) {
  struct bearer *b = arg;
  look_again(b);
  b->timers->set(b->look, LOOK_EVERY_NS);
}

/* --- server ---------------------------------------------------------------------------------------------------------------- */

struct weir_auth_checker {
  struct bearer *b;
  char challenge[128], missing[200];
};

static int checker_open(void *self, struct weir_stage *user, struct weir_auth_checker **ret, struct weir_error *err) {
  struct bearer *b = self;
  struct weir_auth_checker *c = calloc(1, sizeof *c);
  (void)user;
  if (!c) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  c->b = b;
  snprintf(c->challenge, sizeof c->challenge, "%.100s", b->cfg->scheme);
  snprintf(c->missing, sizeof c->missing, "missing or empty authorization header: %.100s", b->cfg->header);
  *ret = c;
  return 0;
}

/* Every token is compared, whichever fits. */
static int is_known(struct bearer *b, struct weir_str given) {
  const struct values *t = kit_published_enter(&b->values);
  int known = 0;
  for (size_t i = 0; t && i < t->n; i++) known |= kit_secret_equal(t->v[i].p, t->v[i].n, given.p, given.n);
  kit_published_leave(&b->values);
  return known;
}

static void check(struct weir_auth_checker *c, const struct weir_auth_request *r, struct weir_auth_result *ret) {
  struct weir_str given = weir_http_find(r->headers, r->n_headers, c->b->header);
  *ret = (struct weir_auth_result){ .size = sizeof *ret, .code = WEIR_AUTH_OK };
  if (given.n && is_known(c->b, given)) return;
  ret->code = given.n ? WEIR_AUTH_INVALID : WEIR_AUTH_MISSING;
  ret->msg = given.n ? "scheme or token does not match" : c->missing;
  ret->challenge = c->challenge[0] ? c->challenge : NULL;
}

static void checker_close(struct weir_auth_checker *c) { free(c); }

static const struct weir_auth_server server_table = { sizeof server_table, 0, checker_open, check, checker_close };

/* --- client ---------------------------------------------------------------------------------------------------------------- */

static int signer_open(void *self, struct weir_stage *user, struct weir_auth_signer **ret, struct weir_error *err) {
  struct bearer *b = self;
  (void)user;
  return kit_credential_signer(&b->first, ret, err);
}

static const struct weir_auth_client client_table = { sizeof client_table, WEIR_AUTH_CONFIDENTIAL, signer_open, kit_credential_sign, kit_credential_refused,
  kit_credential_signer_close };

static const void *bearer_offer(void *self, const char *id) {
  (void)self;
  if (!strcmp(id, WEIR_AUTH_SERVER_SERVICE)) return &server_table;
  return strcmp(id, WEIR_AUTH_CLIENT_SERVICE) ? NULL : &client_table;
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

/* What stands beside the tokens. */
static int check_header(const struct bearer_config *cfg, struct weir_error *err) {
  const char *wrong = kit_header_wrong(cfg->header);
  if (wrong) return weir_fail_field(err, "header", "`%s` %s", cfg->header, wrong);
  if (!kit_header_sendable(cfg->scheme, strlen(cfg->scheme))) return weir_fail_field(err, "scheme", "a header's value can hold no control characters");
  return 0;
}

static int first_tokens(struct bearer *b, struct weir_error *err) {
  const struct bearer_config *cfg = b->cfg;
  struct weir_str tokens[TOKENS_MAX];
  size_t n = cfg->tokens.n;
  if (cfg->filename) {
    if (cfg->token || n) b->host->log(b->stage, WEIR_LOG_WARN, "a filename is specified. Configured token(s) is ignored!");
    int code = read_file(b, err);
    if (code < 0) snprintf(err->field, sizeof err->field, "filename");
    return code < 0 ? code : 0;
  }
  if (cfg->token && n) return weir_fail_field(err, "token", "either tokens or token should be set, not both");
  if (!cfg->token && !n) {
    weir_fail_field(err, "token", "no bearer token provided");
    weir_hint(err, "set token, tokens or filename");
    return WEIR_E_CONFIG;
  }
  if (n > TOKENS_MAX) return weir_fail_field(err, "tokens", "more than %u tokens", TOKENS_MAX);
  for (size_t i = 0; i < n; i++) tokens[i] = weir_str_of(cfg->tokens.v[i]);
  if (!n) tokens[n++] = weir_str_of(cfg->token);
  snprintf(err->field, sizeof err->field, "%s", cfg->token ? "token" : "tokens");
  return publish(b, tokens, n, err);
}

static void bearer_close(void *self) {
  struct bearer *b = self;
  if (!b) return;
  if (b->timers) b->timers->timer_free(b->look);
  kit_published_done(&b->values);
  kit_credential_done(&b->first);
  free(b->header);
  free(b);
}

static int bearer_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  int code = check_header(config, err);
  if (code) return code;
  struct bearer *b = calloc(1, sizeof *b);
  if (!b) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  b->host = host;
  b->stage = stage;
  b->cfg = config;
  b->file.path = b->cfg->filename;
  b->values.free = free_values;
  b->timers = host->service(stage, WEIR_TIMER_SERVICE);
  b->header = strdup(b->cfg->header);
  kit_credential_init(&b->first, host, b->header, b->cfg->filename != NULL);
  code = b->timers && b->header ? first_tokens(b, err) : weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that bearertokenauth needs");
  if (code) {
    bearer_close(b);
    return code;
  }
  for (char *p = b->header; *p; p++) *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
  b->look = b->timers->timer_new(stage, on_look, b);
  *ret_self = b;
  return 0;
}

static int bearer_start(void *self, struct weir_error *err) {
  struct bearer *b = self;
  (void)err;
  if (b->cfg->filename) b->timers->set(b->look, LOOK_EVERY_NS);
  return 0;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXTENSION,
  .name = "bearertokenauth",
  .doc = "Authenticates with a shared token: `auth: {authenticator: bearertokenauth}` in a receiver checks it, in an exporter sends it. Tokens are compared in constant time and "
         "never shown. An exporter whose token comes from a file tries a request again that was refused while the file may be about to change.",
  .example_yaml = "scheme: Bearer\ntoken: ${env:WEIR_TOKEN:-change-me}\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct bearer_config),
  .open = bearer_open,
  .start = bearer_start,
  .close = bearer_close,
  .offer = bearer_offer,
};

WEIR_PLUGIN("bearertokenauth extension", "0.1.0", "Apache-2.0", &type);
