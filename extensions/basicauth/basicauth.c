/*
 * The basicauth extension: user names and passwords (RFC 7617), checked on servers, sent by clients.
 *
 *   extensions:
 *     basicauth/server: {htpasswd: {file: /etc/weir/htpasswd}}
 *     basicauth/client: {client_auth: {username: weir, password_file: /var/run/secrets/password}}
 *
 * The htpasswd table is read once, at start. Files of the client's side are looked at every second by a timer on the control thread.
 */
#include "basicauth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/base64.h"

#define LOOK_EVERY_NS 1000000000LL

static const struct weir_field htpasswd_fields[] = {
  { "file", WEIR_T_STRING, 0, offsetof(struct htpasswd_config, file), NULL, NULL, NULL, NULL, NULL,
    "An htpasswd file, at most 64 KiB, read at start: lines of name:hash. bcrypt ($2a$ $2b$ $2y$), MD5 ($apr1$ $1$), SHA-crypt ($5$ $6$), yescrypt ($y$), {SHA}, {SSHA} and plain text are taken.",
    NULL, 0 },
  { "inline", WEIR_T_STRING, WEIR_SECRET, offsetof(struct htpasswd_config, inline_text), NULL, NULL, NULL, NULL, NULL, "Such lines in place; a name that stands in both is taken from here.", NULL, 0 },
  { "max_checks_per_second", WEIR_T_UINT, 0, offsetof(struct htpasswd_config, max_checks_per_second), "8", "1", "1000", NULL, "checks",
    "How many passwords a lane checks per second against hashes that are slow by design ($...); further ones are answered UNAVAILABLE or 503. Passwords that were right before are known "
    "and not checked again. A key of weir's own.",
    NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field client_fields[] = {
  { "username", WEIR_T_STRING, 0, offsetof(struct client_config, username), NULL, NULL, NULL, NULL, NULL, "The user name to send; no colon.", NULL, 0 },
  { "username_file", WEIR_T_STRING, 0, offsetof(struct client_config, username_file), NULL, NULL, NULL, NULL, NULL, "A file with the user name, used instead; read again when it changes.", NULL, 0 },
  { "password", WEIR_T_STRING, WEIR_SECRET, offsetof(struct client_config, password), NULL, NULL, NULL, NULL, NULL, "The password to send.", NULL, 0 },
  { "password_file", WEIR_T_STRING, 0, offsetof(struct client_config, password_file), NULL, NULL, NULL, NULL, NULL, "A file with the password, used instead; read again when it changes.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field fields[] = {
  { "htpasswd", WEIR_T_OPT_GROUP, 0, offsetof(struct basic_config, htpasswd), NULL, NULL, NULL, NULL, NULL, "For servers: who may pass.", htpasswd_fields, sizeof(struct htpasswd_config) },
  { "client_auth", WEIR_T_OPT_GROUP, 0, offsetof(struct basic_config, client_auth), NULL, NULL, NULL, NULL, NULL, "For clients: what to send.", client_fields, sizeof(struct client_config) },
  WEIR_FIELD_END,
};

/* --- client: the value to send ------------------------------------------------------------------------------------------------ */

static int publish(struct basic *b, struct weir_error *err) {
  size_t n = b->parts_n[0] + 1 + b->parts_n[1];
  if (memchr(b->parts[0], ':', b->parts_n[0])) return weir_fail(err, WEIR_E_CONFIG, "a user name with a colon can not be sent (RFC 7617)");
  if (n > BASIC_MAX) return weir_fail(err, WEIR_E_LIMIT, "user name and password have over %u bytes", BASIC_MAX - 1);
  char plain[BASIC_MAX], text[6 + KIT_BASE64_CAP(BASIC_MAX)] = "Basic ";
  memcpy(plain, b->parts[0], b->parts_n[0]);
  plain[b->parts_n[0]] = ':';
  memcpy(plain + b->parts_n[0] + 1, b->parts[1], b->parts_n[1]);
  struct weir_str value = { text, 6 + (uint32_t)kit_base64_encode(plain, n, text + 6), 0 };
  int code = kit_credential_set(&b->credential, value, err);
  explicit_bzero(plain, sizeof plain);
  explicit_bzero(text, sizeof text);
  return code;
}

static void set_part(struct basic *b, int which, char *text, size_t n) {
  kit_secret_free(b->parts[which], b->parts_n[which]);
  b->parts[which] = text;
  b->parts_n[which] = n;
}

/* 1: something is new. */
static int read_part(struct basic *b, int which, struct weir_error *err) {
  char *text;
  size_t n;
  if (!b->files[which].path) return 0;
  int code = kit_secret_read(&b->files[which], &text, &n, err);
  if (code == 1) set_part(b, which, text, n);
  return code;
}

static void on_look(void *arg) {
  struct basic *b = arg;
  int changed = 0;
  for (int i = 0; i < 2; i++) {
    struct weir_error err = { 0 };
    int failed = b->files[i].failing, code = read_part(b, i, &err);
    changed |= code == 1;
    if (code < 0 && !failed) b->host->log(b->stage, WEIR_LOG_WARN, "%s; what was read before stays in use", err.msg);
  }
  struct weir_error err = { 0 };
  if (changed && publish(b, &err)) b->host->log(b->stage, WEIR_LOG_WARN, "%s; what was read before stays in use", err.msg);
  else if (changed) b->host->log(b->stage, WEIR_LOG_INFO, "the credentials have changed and were read again");
  kit_credential_sweep(&b->credential);
  b->timers->set(b->look, LOOK_EVERY_NS);
}

static int open_client(struct basic *b, struct weir_error *err) {
  const struct client_config *c = b->cfg->client_auth;
  const char *texts[2] = { c->username, c->password };
  static const char *const names[2] = { "client_auth.username_file", "client_auth.password_file" };
  b->files[0].path = c->username_file;
  b->files[1].path = c->password_file;
  kit_credential_init(&b->credential, b->host, "authorization", c->username_file || c->password_file);
  for (int i = 0; i < 2; i++) {
    char *copy = strdup(!b->files[i].path && texts[i] ? texts[i] : "");
    if (!copy) return weir_fail(err, WEIR_E_NOMEM, "no memory");
    set_part(b, i, copy, strlen(copy));
    if (read_part(b, i, err) >= 0) continue;
    snprintf(err->field, sizeof err->field, "%s", names[i]);
    return err->code;
  }
  if (publish(b, err) == 0) return 0;
  snprintf(err->field, sizeof err->field, "client_auth.username");
  return err->code;
}

static int signer_open(void *self, struct weir_stage *user, struct weir_auth_signer **ret, struct weir_error *err) {
  struct basic *b = self;
  (void)user;
  return kit_credential_signer(&b->credential, ret, err);
}

static const struct weir_auth_client client_table = { sizeof client_table, WEIR_AUTH_CONFIDENTIAL, signer_open, kit_credential_sign, kit_credential_refused,
  kit_credential_signer_close };

/* --- server ---------------------------------------------------------------------------------------------------------------------- */

static int open_server(struct basic *b, struct weir_error *err) {
  const struct htpasswd_config *c = b->cfg->htpasswd;
  struct kit_secret_file file = { .path = c->file };
  char *text = NULL;
  size_t n = 0;
  int code = c->file ? kit_secret_read(&file, &text, &n, err) : 0;
  if (code >= 0) code = htpasswd_read(&b->users, text, n, c->file, c->inline_text, c->inline_text ? strlen(c->inline_text) : 0, err);
  kit_secret_free(text, n);
  if (!code && b->users.n) return 0;
  if (!code) weir_fail(err, WEIR_E_CONFIG, "no credential source provided: there is no user in it");
  snprintf(err->field, sizeof err->field, "htpasswd.%s", c->file ? "file" : "inline");
  return err->code;
}

static const void *basic_offer(void *self, const char *id) {
  const struct basic *b = self;
  if (b->cfg->htpasswd && !strcmp(id, WEIR_AUTH_SERVER_SERVICE)) return &basic_server_table;
  if (b->cfg->client_auth && !strcmp(id, WEIR_AUTH_CLIENT_SERVICE)) return &client_table;
  return NULL;
}

/* --- life ------------------------------------------------------------------------------------------------------------------------- */

static int check_config(const struct basic_config *cfg, struct weir_error *err) {
  const struct htpasswd_config *h = cfg->htpasswd;
  if (h && cfg->client_auth) return weir_fail_field(err, "client_auth", "only one of `htpasswd` or `client_auth` can be specified");
  if (cfg->client_auth || (h && ((h->file && *h->file) || (h->inline_text && *h->inline_text)))) return 0;
  weir_fail_field(err, h ? "htpasswd" : "", "no credential source provided");
  weir_hint(err, h ? "set htpasswd.file or htpasswd.inline" : "set htpasswd for servers, or client_auth for clients");
  return WEIR_E_CONFIG;
}

static void basic_close(void *self) {
  struct basic *b = self;
  if (!b) return;
  if (b->timers) b->timers->timer_free(b->look);
  kit_credential_done(&b->credential);
  htpasswd_done(&b->users);
  for (int i = 0; i < 2; i++) kit_secret_free(b->parts[i], b->parts_n[i]);
  free(b);
}

static int basic_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  int code = check_config(config, err);
  if (code) return code;
  struct basic *b = calloc(1, sizeof *b);
  if (!b) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  b->host = host;
  b->stage = stage;
  b->cfg = config;
  b->timers = host->service(stage, WEIR_TIMER_SERVICE);
  if (!b->timers) code = weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that basicauth needs");
  else code = b->cfg->htpasswd ? open_server(b, err) : open_client(b, err);
  if (code) {
    basic_close(b);
    return code;
  }
  b->look = b->timers->timer_new(stage, on_look, b);
  *ret_self = b;
  return 0;
}

static int basic_start(void *self, struct weir_error *err) {
  struct basic *b = self;
  (void)err;
  if (b->files[0].path || b->files[1].path) b->timers->set(b->look, LOOK_EVERY_NS);
  return 0;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXTENSION,
  .name = "basicauth",
  .doc = "Authenticates with user names and passwords: with `htpasswd`, `auth: {authenticator: basicauth}` in a receiver checks them; with `client_auth`, in an exporter it sends them. "
         "Passwords are compared in constant time and never shown. The user's name goes into the batch's context as `username`.",
  .example_yaml = "client_auth:\n  username: weir\n  password: ${env:WEIR_PASSWORD}\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct basic_config),
  .open = basic_open,
  .start = basic_start,
  .close = basic_close,
  .offer = basic_offer,
};

WEIR_PLUGIN("basicauth extension", "0.1.0", "Apache-2.0", &type);
