#include "plugins/kit/credential.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/kit/auth.h"

#define REFRESH_GRACE_NS 3000000000LL /* files are looked at every second */

struct value {
  uint64_t generation;
  size_t n;
  char text[];
};

struct weir_auth_signer {
  struct kit_credential *credential;
  char *value; /* a copy: what is published may be replaced while the request is written */
  size_t value_n;
  uint64_t generation, refused_generation;
  int64_t refused_ns;
};

static void free_value(void *arg) {
  struct value *v = arg;
  kit_secret_free((char *)v, sizeof *v + v->n);
}

void kit_credential_init(struct kit_credential *c, const struct weir_host *host, const char *header, int may_change) {
  c->host = host;
  c->header = header;
  c->may_change = may_change;
  c->value.free = free_value;
}

int kit_credential_set(struct kit_credential *c, struct weir_str value, struct weir_error *err) {
  struct value *v = malloc(sizeof *v + value.n);
  if (!v) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  memcpy(v->text, value.p, value.n);
  v->n = value.n;
  v->generation = ++c->generation;
  kit_published_set(&c->value, v);
  return 0;
}

void kit_credential_sweep(struct kit_credential *c) { kit_published_sweep(&c->value); }

void kit_credential_done(struct kit_credential *c) {
  if (c->host) kit_published_done(&c->value);
}

/* --- the signer ------------------------------------------------------------------------------------------------------- */

int kit_credential_signer(struct kit_credential *c, struct weir_auth_signer **ret, struct weir_error *err) {
  struct weir_auth_signer *s = calloc(1, sizeof *s);
  if (!s) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  s->credential = c;
  *ret = s;
  return 0;
}

static int take_newest(struct weir_auth_signer *s) {
  const struct value *v = kit_published_enter(&s->credential->value);
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
  kit_published_leave(&s->credential->value);
  return ok;
}

int kit_credential_sign(struct weir_auth_signer *s, const struct weir_context *context, struct weir_auth_headers *h, struct weir_error *err) {
  (void)context;
  if (!take_newest(s)) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  return kit_headers_set(h, weir_str_of(s->credential->header), (struct weir_str){ s->value, (uint32_t)s->value_n, 0 }, err);
}

int kit_credential_refused(struct weir_auth_signer *s) {
  int64_t now = s->credential->host->now_mono_ns();
  if (!s->credential->may_change) return 0;
  if (s->refused_generation != s->generation) {
    s->refused_generation = s->generation;
    s->refused_ns = now;
  }
  return now - s->refused_ns < REFRESH_GRACE_NS;
}

void kit_credential_signer_close(struct weir_auth_signer *s) {
  if (!s) return;
  kit_secret_free(s->value, s->value_n);
  free(s);
}
