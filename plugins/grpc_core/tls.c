/*
 * plugins/grpc_core/tls.c - TLS of servers and channels: core/tls.c reads, checks and watches the files, gRPC gets the texts and makes the connections.
 *
 * A server asks for the texts with every connection (gRPC's fetcher); a channel keeps those it was made with, so that client.c makes another one. The channel's
 * API (grpc_tls_*) is the experimental one of gRPC 1.51, as the other cannot leave a certificate unverified; its own file watcher takes whole seconds and passes
 * on a key that does not match.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <grpc/grpc_security.h>

#include "core/assert.h"
#include "plugins/grpc_core/server.h"

#define SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt" /* of Debian's ca-certificates */
#define SYSTEM_CAS_MAX (8u << 20)

/* --- settings ------------------------------------------------------------------------------------------------ */

static int refuse(struct weir_error *err, const char *key, const char *why) {
  char field[64];
  snprintf(field, sizeof field, "tls.%s", key);
  weir_fail_field(err, field, "the engine core cannot follow %s: gRPC's library %s", key, why);
  weir_hint(err, "remove it, or use `engine: native`");
  return WEIR_E_CONFIG;
}

/* What gRPC 1.51 has no setting for: going on without would be weaker than what was asked for. */
int core_tls_check(const struct weir_tls_config *config, struct weir_error *err) {
  struct weir_tls_config settings = { 0 }, *c = &settings;
  memcpy(c, config, config->size < sizeof *c ? config->size : sizeof *c);
  static const char versions[] = "always speaks TLS 1.2 and 1.3";
  if (c->min_version > 12) return refuse(err, "min_version", versions);
  if (c->max_version && c->max_version < 13) return refuse(err, "max_version", versions);
  if (c->n_cipher_suites) return refuse(err, "cipher_suites", "has a list of its own");
  if (c->n_curves > 1 || (c->n_curves && strcmp(c->curves[0], "P256") != 0)) return refuse(err, "curve_preferences", "offers P256 alone");
  return 0;
}

int core_tls_begin(struct tls_use *u, struct loop *loop, int is_server, const struct weir_tls_config *config, struct weir_error *err) {
  if (!config) return 0;
  int r = core_tls_check(config, err);
  return r ? r : tls_use_begin(u, loop, is_server, config, err);
}

/* --- servers --------------------------------------------------------------------------------------------------- */

static struct tls_texts *ref(struct tls_texts *t) {
  if (t) atomic_fetch_add(&t->refs, 1);
  return t;
}

void shared_offer(struct shared *s, struct tls_texts *t) {
  tls_texts_release(s->offer);
  s->offer = ref(t);
}

/* For each connection before its handshake [poll], and once while the address is bound. */
static grpc_ssl_certificate_config_reload_status fetch(void *arg, grpc_ssl_server_certificate_config **ret) {
  struct shared *s = arg;
  grpc_ssl_certificate_config_reload_status status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  pthread_mutex_lock(&s->lock);
  if (s->offer != s->served) {
    const grpc_ssl_pem_key_cert_pair pair = { s->offer->key, s->offer->cert };
    const char *ca = s->offer->ca ? s->offer->ca : s->offer->cert; /* gRPC 1.51 aborts without; clients that are not asked are not compared with it */
    *ret = grpc_ssl_server_certificate_config_create(ca, &pair, 1);
    tls_texts_release(s->served);
    s->served = ref(s->offer);
    status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }
  pthread_mutex_unlock(&s->lock);
  return status;
}

grpc_server_credentials *core_server_credentials(struct shared *s) {
  if (s->security == SECURITY_NONE) return grpc_insecure_server_credentials_create();
  return grpc_ssl_server_credentials_create_with_options(grpc_ssl_server_credentials_create_options_using_config_fetcher(
    s->security == SECURITY_MUTUAL ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, fetch, s));
}

/* --- channels -------------------------------------------------------------------------------------------------- */

struct text {
  char *p;
  size_t n;
};

/* Appends a file and a line end; what is no file, or would be too much, is left out. */
static void add_file(struct text *t, const char *path) {
  struct stat st;
  FILE *f = fopen(path, "re");
  if (f && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && t->n + (size_t)st.st_size < SYSTEM_CAS_MAX) {
    t->p = realloc(t->p, t->n + (size_t)st.st_size + 2);
    WEIR_ASSERT(t->p != NULL);
    t->n += fread(t->p + t->n, 1, (size_t)st.st_size, f);
    t->p[t->n++] = '\n';
    t->p[t->n] = 0;
  }
  if (f) fclose(f);
}

/* The files that OpenSSL would look into: named by a hash ("4042bcee.0"). */
static void add_folder(struct text *t, const char *folder) {
  DIR *d = opendir(folder);
  char path[PATH_MAX];
  for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
    if (strspn(e->d_name, "0123456789abcdef") != 8 || e->d_name[8] != '.' || strspn(e->d_name + 9, "0123456789") != strlen(e->d_name + 9)) continue;
    if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < (int)sizeof path) add_file(t, path);
  }
  if (d) closedir(d);
}

/* Appends the CAs that OpenSSL would trust by default. gRPC has a notion of its own, made once for a process and never together with others. */
static int add_system_cas(struct text *t, struct weir_error *err) {
  const char *file = getenv("SSL_CERT_FILE"), *folders = getenv("SSL_CERT_DIR");
  size_t before = t->n;
  if (file && *file) add_file(t, file);
  if (folders && *folders) {
    char *copy = strdup(folders), *rest = NULL;
    WEIR_ASSERT(copy != NULL);
    for (char *one = strtok_r(copy, ":", &rest); one; one = strtok_r(NULL, ":", &rest)) add_folder(t, one);
    free(copy);
  } else {
    add_file(t, SYSTEM_CAS);
  }
  if (t->n > before) return 0;
  weir_fail_field(err, "tls.ca_file", "there are no CAs of the system in %s", folders && *folders ? folders : SYSTEM_CAS);
  weir_hint(err, "apt-get install ca-certificates, or set ca_file");
  return WEIR_E_CONFIG;
}

static grpc_channel_credentials *credentials(const struct tls_texts *t, const char *cas) {
  grpc_tls_credentials_options *o = grpc_tls_credentials_options_create();
  grpc_tls_identity_pairs *pairs = t->cert ? grpc_tls_identity_pairs_create() : NULL;
  if (pairs) {
    grpc_tls_identity_pairs_add_pair(pairs, t->key, t->cert);
    grpc_tls_credentials_options_watch_identity_key_cert_pairs(o);
  }
  if (cas) grpc_tls_credentials_options_watch_root_certs(o);
  if (cas || pairs) {
    grpc_tls_certificate_provider *provider = grpc_tls_certificate_provider_static_data_create(cas, pairs);
    grpc_tls_credentials_options_set_certificate_provider(o, provider);
    grpc_tls_certificate_provider_release(provider);
  }
  grpc_tls_certificate_verifier *verifier = cas ? grpc_tls_certificate_verifier_host_name_create() : grpc_tls_certificate_verifier_no_op_create();
  grpc_tls_credentials_options_set_certificate_verifier(o, verifier);
  grpc_tls_certificate_verifier_release(verifier);
  grpc_tls_credentials_options_set_verify_server_cert(o, cas != NULL);
  grpc_tls_credentials_options_set_check_call_host(o, 0); /* all calls have the channel's authority; with server_name another name was verified */
  return grpc_tls_credentials_create(o);
}

int core_channel_credentials(const struct tls_texts *t, uint32_t flags, grpc_channel_credentials **ret, struct weir_error *err) {
  int verify = !(flags & WEIR_TLS_SKIP_VERIFY), r = 0;
  struct text cas = { NULL, 0 };
  if (verify && t->ca) {
    cas.n = strlen(t->ca) + 1;
    cas.p = malloc(cas.n + 1);
    WEIR_ASSERT(cas.p != NULL);
    snprintf(cas.p, cas.n + 1, "%s\n", t->ca);
  }
  if (verify && (!t->ca || flags & WEIR_TLS_SYSTEM_CAS)) r = add_system_cas(&cas, err);
  if (!r) *ret = credentials(t, cas.p);
  free(cas.p);
  return r;
}
