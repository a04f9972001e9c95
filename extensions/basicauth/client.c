/* The client's side of basicauth: "Basic user:password" in each request. The value is published to all lanes; one that comes from files is made anew when they change. */
#include "basicauth.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/kit/auth.h"

#define REFRESH_GRACE_NS 3000000000LL /* files are looked at every second: a refused credential may be replaced within this time */

struct weir_auth_signer {
  struct basic *b;
  char *value; /* a copy: what is published may be replaced while the request is written */
  size_t value_n;
  uint64_t generation, refused_generation;
  int64_t refused_ns;
};

static int signer_open(void *self, struct weir_stage *user, struct weir_auth_signer **ret, struct weir_error *err) {
  struct weir_auth_signer *s = calloc(1, sizeof *s);
  (void)user;
  if (!s) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  s->b = self;
  *ret = s;
  return 0;
}

static int take_newest(struct weir_auth_signer *s) {
  const struct basic_value *v = kit_published_enter(&s->b->value);
  int ok = v != NULL;
  if (v && v->generation != s->generation) {
    char *copy = malloc(v->n + 1);
    if ((ok = copy != NULL)) {
      memcpy(copy, v->text, v->n);
      kit_secret_free(s->value, s->value_n);
      s->value = copy;
      s->value_n = v->n;
      s->generation = v->generation;
    }
  }
  kit_published_leave(&s->b->value);
  return ok;
}

static int sign(struct weir_auth_signer *s, const struct weir_context *context, struct weir_auth_headers *h, struct weir_error *err) {
  struct weir_str value = { NULL, 0, 0 };
  (void)context;
  if (!take_newest(s)) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  value.p = s->value;
  value.n = (uint32_t)s->value_n;
  return kit_headers_set(h, weir_str_of("authorization"), value, err);
}

static int refused(struct weir_auth_signer *s) {
  const struct client_config *cfg = s->b->cfg->client_auth;
  int64_t now = s->b->host->now_mono_ns();
  if (!cfg->username_file && !cfg->password_file) return 0;
  if (s->refused_generation != s->generation) {
    s->refused_generation = s->generation;
    s->refused_ns = now;
  }
  return now - s->refused_ns < REFRESH_GRACE_NS;
}

static void signer_close(struct weir_auth_signer *s) {
  if (!s) return;
  kit_secret_free(s->value, s->value_n);
  free(s);
}

const struct weir_auth_client basic_client_table = { sizeof basic_client_table, WEIR_AUTH_CONFIDENTIAL, signer_open, sign, refused, signer_close };
