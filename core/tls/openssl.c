/* TLS by OpenSSL 3, in a shared object of its own: loaded with the first `tls` setting. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/tls_engine.h"

#define TICKETS 1 /* one is enough for a client that comes back; OpenSSL sends two */

/* AES-128 first, as Go has it: 40 KB cost a quarter less than with AES-256. */
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_12                                                                                                                        \
  "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                 \
  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

struct session {
  SSL *ssl;
  struct tls_wire *wire; /* of the call that is running */
  uint32_t alpn;
  int closed, ended; /* ended: how the peer's stream ended, when bytes before it were given first */
  char name[256], why[320];
};

/* --- PEM ------------------------------------------------------------------------------------------------- */

static const char *last_reason(void) {
  unsigned long e = ERR_peek_last_error();
  const char *text = e ? ERR_reason_error_string(e) : NULL;
  return text ? text : "no reason given";
}

static int bad(struct weir_error *err, const struct tls_pem *pem, const char *what) {
  char text[200];
  snprintf(text, sizeof text, "%s", what); /* may be of the error queue, which is emptied here */
  ERR_clear_error();
  if (!strcmp(pem->where, pem->field)) return weir_fail_field(err, pem->field, "%s: %s", pem->field, text);
  return weir_fail_field(err, pem->field, "%s %s: %s", pem->field, pem->where, text);
}

static BIO *bio_of(const struct tls_pem *pem) { return BIO_new_mem_buf(pem->p, pem->n < INT32_MAX ? (int)pem->n : INT32_MAX); }

/* All certificates of a text; NULL when one is damaged or there is none. */
static STACK_OF(X509) *read_certificates(const struct tls_pem *pem, struct weir_error *err) {
  STACK_OF(X509) *list = sk_X509_new_null();
  BIO *bio = bio_of(pem);
  X509 *one = NULL;
  ERR_clear_error();
  while (list && bio && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) sk_X509_push(list, one);
  BIO_free(bio);
  int at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE, n = sk_X509_num(list);
  if (n > 0 && at_end) {
    ERR_clear_error();
    return list;
  }
  if (at_end) bad(err, pem, "there is no PEM certificate (-----BEGIN CERTIFICATE-----) in it");
  else bad(err, pem, last_reason());
  sk_X509_pop_free(list, X509_free);
  return NULL;
}

static int64_t unix_time(const ASN1_TIME *t) {
  struct tm tm;
  memset(&tm, 0, sizeof tm);
  return ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

static int64_t earliest_end(STACK_OF(X509) *list) {
  int64_t first = 0;
  for (int i = 0; i < sk_X509_num(list); i++) {
    int64_t end = unix_time(X509_get0_notAfter(sk_X509_value(list, i)));
    if (!first || end < first) first = end;
  }
  return first;
}

static int asked_for_password(char *buf, int size, int rwflag, void *arg) {
  (void)buf;
  (void)size;
  (void)rwflag;
  *(int *)arg = 1;
  return -1;
}

static EVP_PKEY *read_key(const struct tls_pem *pem, struct weir_error *err) {
  int encrypted = 0;
  BIO *bio = bio_of(pem);
  ERR_clear_error();
  EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, asked_for_password, &encrypted);
  BIO_free(bio);
  if (key) return key;
  int none = !strstr(pem->p, "PRIVATE KEY-----");
  if (encrypted) {
    bad(err, pem, "the key is encrypted, and nobody is there to give its password");
    weir_hint(err, "write it without one: openssl pkey -in KEY -out NEW_KEY");
  } else {
    bad(err, pem, none ? "there is no PEM private key (-----BEGIN PRIVATE KEY-----) in it" : last_reason());
  }
  return NULL;
}

/* --- contexts ---------------------------------------------------------------------------------------------- */

static int use_pair(SSL_CTX *ctx, const struct tls_setup *s, struct tls_facts *facts, struct weir_error *err) {
  STACK_OF(X509) *chain = read_certificates(&s->cert, err);
  EVP_PKEY *key = chain ? read_key(&s->key, err) : NULL;
  int r = chain && key ? 0 : WEIR_E_CONFIG;
  X509 *leaf = chain ? sk_X509_value(chain, 0) : NULL;
  if (!r && X509_check_private_key(leaf, key) != 1) {
    r = bad(err, &s->key, "the key does not match the certificate");
    weir_hint(err, "the first certificate of %s has to be the one of this key", s->cert.where);
  }
  if (!r && (SSL_CTX_use_certificate(ctx, leaf) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)) r = bad(err, &s->cert, last_reason());
  for (int i = 1; !r && i < sk_X509_num(chain); i++)
    if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)) != 1) r = bad(err, &s->cert, last_reason());
  if (leaf) {
    facts->cert_not_after = unix_time(X509_get0_notAfter(leaf));
    X509_NAME_oneline(X509_get_subject_name(leaf), facts->subject, sizeof facts->subject);
  }
  EVP_PKEY_free(key);
  sk_X509_pop_free(chain, X509_free);
  return r;
}

/* Trusts what is in the text; for a server the names also go to the clients, so that they know which certificate to show. */
static int trust(SSL_CTX *ctx, const struct tls_pem *pem, int tell_clients, struct tls_facts *facts, struct weir_error *err) {
  STACK_OF(X509) *list = read_certificates(pem, err);
  if (!list) return WEIR_E_CONFIG;
  X509_STORE *store = SSL_CTX_get_cert_store(ctx);
  int r = 0;
  for (int i = 0; !r && i < sk_X509_num(list); i++) {
    if (X509_STORE_add_cert(store, sk_X509_value(list, i)) != 1) r = bad(err, pem, last_reason());
    if (!r && tell_clients) SSL_CTX_add_client_CA(ctx, sk_X509_value(list, i));
  }
  facts->ca_not_after = earliest_end(list);
  sk_X509_pop_free(list, X509_free);
  return r;
}

static int set_versions(SSL_CTX *ctx, const struct weir_tls_config *cfg, struct weir_error *err) {
  uint32_t min = cfg->min_version ? cfg->min_version : 12, max = cfg->max_version;
  if (max && max < min) return weir_fail_field(err, "max_version", "max_version is below min_version");
  SSL_CTX_set_min_proto_version(ctx, min >= 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(ctx, !max ? 0 : max >= 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  return 0;
}

/* The library's name of an IANA cipher suite, or NULL. */
static const char *cipher_by_iana(STACK_OF(SSL_CIPHER) *all, const char *iana) {
  for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
    const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);
    const char *name = SSL_CIPHER_standard_name(c);
    if (name && !strcmp(name, iana)) return SSL_CIPHER_get_name(c);
  }
  return NULL;
}

/* As in Go, TLS 1.3 suites may be named and change nothing. */
static int set_suites(SSL_CTX *ctx, const struct weir_tls_config *cfg, struct weir_error *err) {
  char list[2048];
  size_t n = 0;
  if (SSL_CTX_set_ciphersuites(ctx, SUITES_13) != 1 || SSL_CTX_set_cipher_list(ctx, "ALL:!aNULL:!eNULL") != 1)
    return weir_fail(err, WEIR_E_UNSUPPORTED, "this OpenSSL has none of the cipher suites that are needed: %s", last_reason());
  for (uint64_t i = 0; i < cfg->n_cipher_suites; i++) {
    const char *iana = cfg->cipher_suites[i], *name = cipher_by_iana(SSL_CTX_get_ciphers(ctx), iana);
    if (!name || n + strlen(name) + 2 > sizeof list) {
      weir_fail_field(err, "cipher_suites", "`%s` is no cipher suite that this TLS library offers", iana);
      weir_hint(err, "names are those of IANA, such as TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
      return WEIR_E_CONFIG;
    }
    if (!strncmp(name, "TLS_", 4)) continue;
    n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ":" : "", name);
  }
  SSL_CTX_set_cipher_list(ctx, n ? list : SUITES_12);
  return 0;
}

static int set_curves(SSL_CTX *ctx, const struct weir_tls_config *cfg, struct weir_error *err) {
  static const char *const names[][2] = { { "X25519", "X25519" }, { "P256", "P-256" }, { "P384", "P-384" }, { "P521", "P-521" } };
  char list[64] = "";
  for (uint64_t i = 0; i < cfg->n_curves; i++) {
    size_t k = 0;
    while (k < 4 && strcmp(names[k][0], cfg->curves[i]) != 0) k++;
    if (k == 4 || strlen(list) + 8 > sizeof list) {
      weir_fail_field(err, "curve_preferences", "`%s` is no curve that this TLS library offers", cfg->curves[i]);
      weir_hint(err, "choose from X25519, P256, P384 and P521");
      return WEIR_E_CONFIG;
    }
    snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? ":" : "", names[k][1]);
  }
  if (*list && SSL_CTX_set1_groups_list(ctx, list) != 1) return weir_fail_field(err, "curve_preferences", "%s: %s", list, last_reason());
  return 0;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *arg) {
  static const unsigned char both[] = "\x02h2\x08http/1.1";
  const struct session *s = SSL_get_app_data(ssl);
  unsigned char *chosen = NULL;
  (void)arg;
  if (!s->alpn) return SSL_TLSEXT_ERR_NOACK;
  int r = SSL_select_next_proto(&chosen, out_n, both, s->alpn & TLS_ALPN_HTTP1 ? 12 : 3, in, in_n);
  *out = chosen;
  return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 section 3.2 */
}

static int set_up_server(SSL_CTX *ctx, const struct tls_setup *s, struct tls_facts *facts, struct weir_error *err) {
  static const unsigned char id[] = "weir";
  SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets alone: nothing is kept for a client that left */
  SSL_CTX_set_num_tickets(ctx, TICKETS);
  SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
  SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
  if (!s->client_ca.p) return 0;
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  return trust(ctx, &s->client_ca, 1, facts, err);
}

static int set_up_client(SSL_CTX *ctx, const struct tls_setup *s, struct tls_facts *facts, struct weir_error *err) {
  int system = s->cfg->flags & WEIR_TLS_SYSTEM_CAS || !s->ca.p;
  SSL_CTX_set_verify(ctx, s->cfg->flags & WEIR_TLS_SKIP_VERIFY ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
  if (system) SSL_CTX_set_default_verify_paths(ctx);
  ERR_clear_error();
  return s->ca.p ? trust(ctx, &s->ca, 0, facts, err) : 0;
}

static void context_free(void *context) { SSL_CTX_free(context); }

static int context_new(const struct tls_setup *s, void **ret, struct tls_facts *facts, struct weir_error *err) {
  SSL_CTX *ctx = SSL_CTX_new(s->is_server ? TLS_server_method() : TLS_client_method());
  memset(facts, 0, sizeof *facts);
  if (!ctx) return weir_fail(err, WEIR_E_NOMEM, "OpenSSL: %s", last_reason());
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER); /* an idle connection holds no record buffers */
  SSL_CTX_set_read_ahead(ctx, 1);
  int r = set_versions(ctx, s->cfg, err);
  if (!r) r = set_suites(ctx, s->cfg, err);
  if (!r) r = set_curves(ctx, s->cfg, err);
  if (!r && s->cert.p) r = use_pair(ctx, s, facts, err);
  if (!r) r = s->is_server ? set_up_server(ctx, s, facts, err) : set_up_client(ctx, s, facts, err);
  ERR_clear_error();
  if (r) context_free(ctx);
  else *ret = ctx;
  return r;
}

/* --- the wire: a BIO over the caller's buffers ----------------------------------------------------------------- */

static int wire_read(BIO *bio, char *buf, int n) {
  struct session *s = BIO_get_data(bio);
  struct tls_wire *w = s->wire;
  BIO_clear_retry_flags(bio);
  if (!w || !w->in_n) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t take = (size_t)n < w->in_n ? (size_t)n : w->in_n;
  memcpy(buf, w->in, take);
  w->in += take;
  w->in_n -= take;
  return (int)take;
}

static int wire_write(BIO *bio, const char *p, int n) {
  struct session *s = BIO_get_data(bio);
  struct tls_bytes *out = s->wire ? s->wire->out : NULL;
  BIO_clear_retry_flags(bio);
  if (!out || n <= 0) return -1;
  if (out->cap - out->n < (size_t)n) {
    size_t cap = out->cap ? out->cap * 2 : 4096;
    while (cap - out->n < (size_t)n) cap *= 2;
    char *grown = realloc(out->p, cap);
    if (!grown) return -1;
    out->p = grown;
    out->cap = cap;
  }
  memcpy(out->p + out->n, p, (size_t)n);
  out->n += (size_t)n;
  return n;
}

static long wire_ctrl(BIO *bio, int cmd, long num, void *ptr) {
  (void)bio;
  (void)num;
  (void)ptr;
  return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *wire_method;

__attribute__((constructor)) static void make_wire_method(void) {
  wire_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
  if (!wire_method) abort();
  BIO_meth_set_read(wire_method, wire_read);
  BIO_meth_set_write(wire_method, wire_write);
  BIO_meth_set_ctrl(wire_method, wire_ctrl);
}

/* --- why it failed ------------------------------------------------------------------------------------------- */

/* "a.example, *.b.example": what the certificate is for. */
static void names_of(X509 *cert, char *buf, size_t cap) {
  GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
  size_t n = 0;
  *buf = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && n + 64 < cap; i++) {
    const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
    char ip[64];
    const char *text = NULL;
    int text_n = 0;
    if (g->type == GEN_DNS) {
      text = (const char *)ASN1_STRING_get0_data(g->d.dNSName);
      text_n = ASN1_STRING_length(g->d.dNSName);
    } else if (g->type == GEN_IPADD && ASN1_STRING_length(g->d.iPAddress) == 4) {
      const unsigned char *a = ASN1_STRING_get0_data(g->d.iPAddress);
      text_n = snprintf(ip, sizeof ip, "%d.%d.%d.%d", a[0], a[1], a[2], a[3]);
      text = ip;
    }
    if (text) n += (size_t)snprintf(buf + n, cap - n, "%s%.*s", n ? ", " : "", text_n < 60 ? text_n : 60, text);
  }
  GENERAL_NAMES_free(names);
  if (!n) snprintf(buf, cap, "no name (it has no subjectAltName)");
}

static void clean(char *p) { /* names in a certificate are the peer's text */
  for (; *p; p++)
    if ((unsigned char)*p < ' ' || (unsigned char)*p > 126) *p = '?';
}

static void explain_certificate(struct session *s, X509_STORE_CTX *store, int code) {
  char detail[200] = "", date[40] = "";
  X509 *cert = X509_STORE_CTX_get_current_cert(store);
  int is_server = SSL_is_server(s->ssl);
  struct tm tm;
  if (cert && (code == X509_V_ERR_HOSTNAME_MISMATCH || code == X509_V_ERR_IP_ADDRESS_MISMATCH)) {
    names_of(cert, detail, sizeof detail);
    snprintf(s->why, sizeof s->why, "hostname mismatch: the certificate is for %s, not for %.80s", detail, s->name);
    clean(s->why);
    return;
  }
  if (cert && ASN1_TIME_to_tm(code == X509_V_ERR_CERT_NOT_YET_VALID ? X509_get0_notBefore(cert) : X509_get0_notAfter(cert), &tm))
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
  if (cert) X509_NAME_oneline(X509_get_subject_name(cert), detail, sizeof detail);
  const char *who = is_server ? "the client's certificate" : "the certificate of the peer";
  if (code == X509_V_ERR_CERT_HAS_EXPIRED) snprintf(s->why, sizeof s->why, "%s does not verify: certificate has expired (on %s)", who, date);
  else if (code == X509_V_ERR_CERT_NOT_YET_VALID) snprintf(s->why, sizeof s->why, "%s does not verify: certificate is not yet valid (before %s)", who, date);
  else
    snprintf(s->why, sizeof s->why, "%s does not verify: %s (%.120s)%s", who, X509_verify_cert_error_string(code), detail,
      is_server ? "; see client_ca_file" : "; see ca_file");
  clean(s->why);
}

static int on_verify(int ok, X509_STORE_CTX *store) {
  if (ok) return 1;
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  struct session *s = SSL_get_app_data(ssl);
  if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) return 1; /* insecure_skip_verify */
  if (!*s->why) explain_certificate(s, store, X509_STORE_CTX_get_error(store));
  return 0;
}

static void explain(struct session *s) {
  unsigned long e = ERR_peek_error();
  int reason = ERR_GET_REASON(e);
  if (*s->why) return; /* the certificate said more */
  if (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_UNKNOWN_PROTOCOL || reason == SSL_R_PACKET_LENGTH_TOO_LONG)
    snprintf(s->why, sizeof s->why, "the peer does not speak TLS here (plaintext?)");
  else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) snprintf(s->why, sizeof s->why, "the client showed no certificate, and client_ca_file asks for one");
  else if (reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED) snprintf(s->why, sizeof s->why, "the peer asks for a client certificate (cert_file, key_file)");
  else if (reason == SSL_R_NO_APPLICATION_PROTOCOL) snprintf(s->why, sizeof s->why, "the client offers no protocol that this port speaks (ALPN)");
  else if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_UNSUPPORTED_SSL_VERSION) snprintf(s->why, sizeof s->why, "the peer offers no TLS version that is allowed here (min_version)");
  else if (reason > SSL_AD_REASON_OFFSET) snprintf(s->why, sizeof s->why, "the peer refused: %s", ERR_reason_error_string(e));
  else snprintf(s->why, sizeof s->why, "%s", e && ERR_reason_error_string(e) ? ERR_reason_error_string(e) : "TLS failed");
}

/* --- sessions -------------------------------------------------------------------------------------------------- */

static void session_free(void *session) {
  struct session *s = session;
  if (!s) return;
  SSL_free(s->ssl);
  free(s);
}

static int is_address(const char *name) {
  ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
  ASN1_OCTET_STRING_free(ip);
  ERR_clear_error();
  return ip != NULL;
}

/* Whom a client talks to. Addresses are verified as such and not sent: RFC 6066 section 3. */
static int name_peer(struct session *s, const char *name, uint32_t alpn) {
  static const unsigned char both[] = "\x02h2\x08http/1.1";
  snprintf(s->name, sizeof s->name, "%s", name);
  if (is_address(name)) {
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), name) != 1) return -1;
  } else {
    X509_VERIFY_PARAM_set_hostflags(SSL_get0_param(s->ssl), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_host(SSL_get0_param(s->ssl), name, 0) != 1 || SSL_set_tlsext_host_name(s->ssl, name) != 1) return -1;
  }
  if (alpn == (TLS_ALPN_H2 | TLS_ALPN_HTTP1)) return SSL_set_alpn_protos(s->ssl, both, 12);
  if (alpn == TLS_ALPN_H2) return SSL_set_alpn_protos(s->ssl, both, 3);
  return alpn == TLS_ALPN_HTTP1 ? SSL_set_alpn_protos(s->ssl, both + 3, 9) : 0;
}

static void *session_new(void *context, const char *name, uint32_t alpn) {
  struct session *s = calloc(1, sizeof *s);
  BIO *bio = BIO_new(wire_method);
  if (!s || !bio || !(s->ssl = SSL_new(context))) {
    BIO_free(bio);
    session_free(s);
    return NULL;
  }
  BIO_set_data(bio, s);
  BIO_set_init(bio, 1);
  SSL_set_bio(s->ssl, bio, bio);
  SSL_set_app_data(s->ssl, s);
  SSL_set_verify(s->ssl, SSL_get_verify_mode(s->ssl), on_verify);
  s->alpn = alpn;
  if (!name) SSL_set_accept_state(s->ssl);
  else SSL_set_connect_state(s->ssl);
  if (!name || name_peer(s, name, alpn) == 0) return s;
  session_free(s);
  return NULL;
}

static int outcome(struct session *s, int r) {
  int e = SSL_get_error(s->ssl, r);
  if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return TLS_WANTS_MORE;
  if (e == SSL_ERROR_ZERO_RETURN) return TLS_PEER_CLOSED;
  explain(s);
  return TLS_FAILED;
}

static int session_handshake(void *session, struct tls_wire *w) {
  struct session *s = session;
  s->wire = w;
  ERR_clear_error();
  int r = SSL_do_handshake(s->ssl);
  r = r == 1 ? TLS_DONE : outcome(s, r);
  s->wire = NULL;
  return r;
}

static ssize_t session_read(void *session, struct tls_wire *w, char *buf, size_t cap) {
  struct session *s = session;
  size_t total = 0, n;
  int r = TLS_WANTS_MORE;
  if (s->ended) return s->ended;
  s->wire = w;
  ERR_clear_error();
  while (total < cap) {
    int ok = SSL_read_ex(s->ssl, buf + total, cap - total, &n);
    if (ok == 1) {
      total += n;
      continue;
    }
    r = outcome(s, ok);
    s->ended = r == TLS_WANTS_MORE ? 0 : r;
    break;
  }
  s->wire = NULL;
  return total ? (ssize_t)total : r;
}

static int session_write(void *session, struct tls_wire *w, const char *p, size_t n) {
  struct session *s = session;
  size_t wrote;
  s->wire = w;
  ERR_clear_error();
  int ok = SSL_write_ex(s->ssl, p, n, &wrote);
  if (ok != 1) outcome(s, ok);
  s->wire = NULL;
  return ok == 1 ? 0 : TLS_FAILED;
}

static void session_close(void *session, struct tls_wire *w) {
  struct session *s = session;
  if (s->closed) return;
  s->closed = 1;
  s->wire = w;
  SSL_shutdown(s->ssl);
  ERR_clear_error();
  s->wire = NULL;
}

static uint32_t session_alpn(void *session) {
  struct session *s = session;
  const unsigned char *p = NULL;
  unsigned n = 0;
  SSL_get0_alpn_selected(s->ssl, &p, &n);
  if (n == 2 && !memcmp(p, "h2", 2)) return TLS_ALPN_H2;
  return n == 8 && !memcmp(p, "http/1.1", 8) ? TLS_ALPN_HTTP1 : TLS_ALPN_NONE;
}

static const char *session_why(void *session) { return ((struct session *)session)->why; }

__attribute__((visibility("default"))) extern const struct tls_engine weir_tls_engine_v0;
const struct tls_engine weir_tls_engine_v0 = {
  .size = sizeof weir_tls_engine_v0,
  .library = OPENSSL_VERSION_TEXT,
  .context_new = context_new,
  .context_free = context_free,
  .session_new = session_new,
  .session_free = session_free,
  .handshake = session_handshake,
  .read = session_read,
  .write = session_write,
  .close = session_close,
  .alpn = session_alpn,
  .why = session_why,
};
