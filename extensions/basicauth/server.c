/*
 * The server's side of basicauth.
 *
 * A bcrypt check takes 50 to 100 ms of CPU by design, and a lane may not stand still that long for each request. So a handle keeps the digest (SHA-256
 * with a random key of the handle) of the credentials that it found right, and of the latest that it found wrong; both tables are bounded, and the wrong
 * ones can not push the right ones out. Costly checks that are left are limited in number per second: over it a client hears "try again", and a name whose
 * password was wrong is checked again after a second only, so that guessing at one name leaves the others their turn.
 */
#include "basicauth.h"

#include <crypt.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "plugins/kit/base64.h"

#define KNOWN 1024u /* right credentials kept per lane; a power of two */
#define WRONG 64u   /* wrong ones */
#define SECOND_NS 1000000000LL

struct digest {
  uint8_t v[SHA256_DIGEST_LENGTH];
};

struct weir_auth_checker {
  struct basic *b;
  uint8_t key[32];
  struct digest known[KNOWN], wrong[WRONG];
  int64_t *failed_ns; /* per user: when a costly check last said no */
  double tokens;      /* costly checks that may be made now */
  int64_t tokens_ns;
  struct crypt_data *scratch;
  struct basic_credentials credentials;
  struct weir_pair attr;
};

/* --- what a header says ------------------------------------------------------------------------------------------------------ */

static int has_prefix(struct weir_str s) {
  static const char prefix[] = "basic ";
  if (s.n < sizeof prefix - 1) return 0;
  for (size_t i = 0; i < sizeof prefix - 1; i++)
    if ((s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]) != prefix[i]) return 0;
  return 1;
}

const char *basic_parse(struct weir_str header, struct basic_credentials *ret) {
  if (!has_prefix(header)) return "invalid authorization scheme prefix";
  long n = kit_base64_decode(header.p + 6, header.n - 6u, ret->text, sizeof ret->text);
  const char *colon = n > 0 ? memchr(ret->text, ':', (size_t)n) : NULL;
  if (!colon || memchr(ret->text, 0, (size_t)n)) return "invalid authorization format"; /* a NUL would end the password where hashes are made */
  ret->n = (size_t)n;
  ret->user_n = (size_t)(colon - ret->text);
  ret->password_at = ret->user_n + 1;
  return NULL;
}

/* --- what was checked before --------------------------------------------------------------------------------------------------- */

static struct digest digest_of(const struct weir_auth_checker *c) {
  struct digest d;
  SHA2_CTX ctx;
  SHA256Init(&ctx);
  SHA256Update(&ctx, c->key, sizeof c->key);
  SHA256Update(&ctx, (const uint8_t *)c->credentials.text, c->credentials.n);
  SHA256Final(d.v, &ctx);
  return d;
}

static uint32_t slot_of(const struct digest *d, uint32_t slots) { return ((uint32_t)d->v[0] << 8 | d->v[1]) & (slots - 1); }

static int is_kept(const struct digest *table, uint32_t slots, const struct digest *d) {
  return kit_secret_equal(table[slot_of(d, slots)].v, sizeof d->v, d->v, sizeof d->v);
}

/* 1 when a costly check may be made now. */
static int take_turn(struct weir_auth_checker *c, size_t user, int64_t now) {
  double rate = (double)c->b->cfg->htpasswd->max_checks_per_second;
  if (c->failed_ns[user] && now - c->failed_ns[user] < SECOND_NS) return 0;
  c->tokens += (double)(now - c->tokens_ns) / (double)SECOND_NS * rate;
  if (c->tokens > rate) c->tokens = rate;
  c->tokens_ns = now;
  if (c->tokens < 1) return 0;
  c->tokens -= 1;
  return 1;
}

static uint32_t judge_costly(struct weir_auth_checker *c, const struct htpasswd_user *u) {
  struct digest d = digest_of(c);
  size_t user = (size_t)(u - c->b->users.users);
  int64_t now = c->b->host->now_mono_ns();
  if (is_kept(c->known, KNOWN, &d)) return WEIR_AUTH_OK;
  if (is_kept(c->wrong, WRONG, &d)) return WEIR_AUTH_INVALID;
  if (!take_turn(c, user, now)) return WEIR_AUTH_BUSY;
  const struct basic_credentials *given = &c->credentials;
  if (htpasswd_matches(u, given->text + given->password_at, given->n - given->password_at, c->scratch)) {
    c->known[slot_of(&d, KNOWN)] = d;
    return WEIR_AUTH_OK;
  }
  c->wrong[slot_of(&d, WRONG)] = d;
  c->failed_ns[user] = now;
  return WEIR_AUTH_INVALID;
}

static uint32_t judge(struct weir_auth_checker *c) {
  const struct basic_credentials *given = &c->credentials;
  const struct htpasswd_user *u = htpasswd_find(&c->b->users, given->text, given->user_n);
  if (!u) return WEIR_AUTH_INVALID;
  if (htpasswd_is_costly(u)) return judge_costly(c, u);
  return htpasswd_matches(u, given->text + given->password_at, given->n - given->password_at, c->scratch) ? WEIR_AUTH_OK : WEIR_AUTH_INVALID;
}

/* --- the service ------------------------------------------------------------------------------------------------------------------ */

static void check(struct weir_auth_checker *c, const struct weir_auth_request *r, struct weir_auth_result *ret) {
  struct weir_str header = weir_http_find(r->headers, r->n_headers, "authorization");
  *ret = (struct weir_auth_result){ .size = sizeof *ret, .challenge = "Basic realm=\"weir\", charset=\"UTF-8\"" };
  if (!header.n) {
    ret->code = WEIR_AUTH_MISSING;
    ret->msg = "no basic auth provided";
    return;
  }
  ret->msg = basic_parse(header, &c->credentials);
  ret->code = ret->msg ? WEIR_AUTH_MALFORMED : judge(c);
  if (ret->code == WEIR_AUTH_OK) {
    c->attr.name = weir_str_of("username");
    c->attr.value = (struct weir_str){ c->credentials.text, (uint32_t)c->credentials.user_n, 0 };
    ret->attrs = &c->attr;
    ret->n_attrs = 1;
  }
  if (ret->code == WEIR_AUTH_INVALID) ret->msg = "invalid credentials";
  if (ret->code == WEIR_AUTH_BUSY) ret->msg = "too many credentials to check; try again later";
  explicit_bzero(c->credentials.text + c->credentials.user_n, sizeof c->credentials.text - c->credentials.user_n);
}

static void checker_close(struct weir_auth_checker *c) {
  if (!c) return;
  free(c->failed_ns);
  free(c->scratch);
  kit_secret_free((char *)c, sizeof *c);
}

static int checker_open(void *self, struct weir_stage *user, struct weir_auth_checker **ret, struct weir_error *err) {
  struct basic *b = self;
  (void)user;
  struct weir_auth_checker *c = calloc(1, sizeof *c);
  if (!c) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  c->b = b;
  c->tokens = (double)b->cfg->htpasswd->max_checks_per_second;
  c->tokens_ns = b->host->now_mono_ns();
  c->failed_ns = calloc(b->users.n + 1, sizeof *c->failed_ns);
  c->scratch = calloc(1, sizeof *c->scratch);
  if (!c->failed_ns || !c->scratch || getrandom(c->key, sizeof c->key, 0) != (ssize_t)sizeof c->key) {
    checker_close(c);
    return weir_fail(err, WEIR_E_NOMEM, "no memory, or no random bytes");
  }
  *ret = c;
  return 0;
}

const struct weir_auth_server basic_server_table = { sizeof basic_server_table, 0, checker_open, check, checker_close };
