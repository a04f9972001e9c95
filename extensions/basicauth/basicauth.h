/* Inside the basicauth extension: its configuration, its state, and the server's side, whose handles keep what was checked. */
#ifndef BASICAUTH_H
#define BASICAUTH_H

#include <weir/auth.h>
#include <weir/timer.h>

#include "htpasswd.h"
#include "plugins/kit/credential.h"

struct htpasswd_config {
  const char *file, *inline_text;
  uint64_t max_checks_per_second;
};

struct client_config {
  const char *username, *username_file, *password, *password_file;
};

struct basic_config {
  const struct htpasswd_config *htpasswd;
  const struct client_config *client_auth;
};

struct basic {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct basic_config *cfg;
  const struct weir_timer_service *timers;
  struct weir_timer *look;
  struct htpasswd users;               /* server: constant after open */
  struct kit_secret_file files[2];     /* client: username_file, password_file */
  char *parts[2];                      /* client: the user name and password in use */
  size_t parts_n[2];
  struct kit_credential credential;    /* client: "Basic ..." */
};

/* What `Authorization: Basic ...` says. */
#define BASIC_MAX 1200u /* bytes of "user:password"; longer ones are malformed */
struct basic_credentials {
  char text[BASIC_MAX];
  size_t user_n, password_at, n; /* text: user, a colon, password */
};

/* 0, or the sentence for the client. */
const char *basic_parse(struct weir_str header, struct basic_credentials *ret);

extern const struct weir_auth_server basic_server_table;

#endif
