#include "plugins/kit/tls_config.h"

#include <stddef.h>
#include <string.h>

#define T(member) offsetof(struct tls_settings, member)
#define TEXT(name, flags, doc) { #name, WEIR_T_STRING, flags, T(name), NULL, NULL, NULL, NULL, NULL, doc, NULL, 0 }
#define FLAG(name, doc) { #name, WEIR_T_BOOL, 0, T(name), "false", NULL, NULL, NULL, NULL, doc, NULL, 0 }

#define OWN_CERTIFICATE                                                                                                                      \
  TEXT(cert_file, 0, "The own certificate as a PEM file: the certificate itself first, then its chain. Read again when it changes, as the key and the CAs are."), \
    TEXT(cert_pem, 0, "The own certificate as PEM text, instead of cert_file."),                                                             \
    TEXT(key_file, 0, "The certificate's private key as a PEM file, not encrypted."),                                                        \
    TEXT(key_pem, WEIR_SECRET, "The private key as PEM text, instead of key_file.")

#define PROTOCOL                                                                                                                                       \
  { "min_version", WEIR_T_ENUM, 0, T(min_version), "1.2", NULL, NULL, "1.2|1.3", NULL, "The oldest TLS version to speak. 1.0 and 1.1 are not offered.", NULL, 0 },    \
    { "max_version", WEIR_T_ENUM, 0, T(max_version), NULL, NULL, NULL, "1.2|1.3", NULL, "The newest TLS version to speak; by default the newest there is.", NULL, 0 }, \
    { "cipher_suites", WEIR_T_STRINGS, 0, T(cipher_suites), NULL, NULL, NULL, NULL, NULL,                                                              \
      "Cipher suites for TLS 1.2 by their IANA names; by default ECDHE with AES-GCM or ChaCha20. Those of TLS 1.3 are fixed.", NULL, 0 },              \
    FLAG(include_insecure_cipher_suites, "Lets cipher_suites name suites that the Collector calls insecure: TLS_RSA_* without forward secrecy, CBC with SHA-256, 3DES."),            \
    { "curve_preferences", WEIR_T_STRINGS, 0, T(curve_preferences), NULL, NULL, NULL, NULL, NULL,                                                      \
      "Curves for the key exchange, the preferred first: X25519, P256, P384, P521.", NULL, 0 },                                                        \
    { "reload_interval", WEIR_T_DURATION, 0, T(reload_interval), "10s", "1ms", NULL, NULL, NULL,                                                       \
      "How often the files are looked at. Changed ones serve new connections; if they cannot be used, those before stay in use.", NULL, 0 },           \
    { "tpm", WEIR_T_MAP, 0, T(tpm), NULL, NULL, NULL, NULL, NULL, "Keys in a TPM are not supported: setting it is an error.", NULL, 0 }

#define CAS                                                                                                                                  \
  TEXT(ca_file, 0, "The CAs to trust, as a PEM file; by default those of the system."), TEXT(ca_pem, 0, "The CAs as PEM text, instead of ca_file."), \
    FLAG(include_system_ca_certs_pool, "Trust the system's CAs beside ca_file or ca_pem.")

const struct weir_field tls_client_fields[] = {
  FLAG(insecure, "true sends in plaintext, unless the endpoint begins with https:// or a CA is set."),
  FLAG(insecure_skip_verify, "true takes any certificate: encrypted, but to whom is not known. For tests."),
  CAS,
  OWN_CERTIFICATE,
  TEXT(server_name_override, 0, "The name to ask for (SNI) and to verify, instead of the endpoint's host."),
  PROTOCOL,
  WEIR_FIELD_END,
};

const struct weir_field tls_server_fields[] = {
  OWN_CERTIFICATE,
  TEXT(client_ca_file, 0, "Clients have to show a certificate that one of the CAs of this PEM file signed (mutual TLS)."),
  FLAG(client_ca_file_reload, "Accepted for the Collector's files: client_ca_file is always read again when it changes."),
  TEXT(ca_file, 0, "Accepted for the Collector's files and without effect on servers: see client_ca_file."),
  TEXT(ca_pem, 0, "Accepted for the Collector's files and without effect on servers."),
  FLAG(include_system_ca_certs_pool, "Accepted for the Collector's files and without effect on servers."),
  PROTOCOL,
  WEIR_FIELD_END,
};

int tls_settings_wanted(const struct tls_settings *s) { return !s || !s->insecure || s->ca_file || s->ca_pem; }

static uint32_t version_of(int32_t choice) { return choice < 0 ? 0 : 12u + (uint32_t)choice; }

/* Those of Go's tls.InsecureCipherSuites (1.25), by what they have in common. */
static int is_insecure(const char *suite) {
  return !strncmp(suite, "TLS_RSA_", 8) || strstr(suite, "_3DES_") || strstr(suite, "_RC4_") || (!strncmp(suite, "TLS_ECDHE_", 10) && strstr(suite, "_CBC_SHA256"));
}

static int check_suites(const struct tls_settings *s, struct weir_error *err) {
  for (size_t i = 0; i < s->cipher_suites.n && !s->include_insecure_cipher_suites; i++) {
    if (!is_insecure(s->cipher_suites.v[i])) continue;
    weir_fail_field(err, "tls.cipher_suites", "`%s` is an insecure cipher suite", s->cipher_suites.v[i]);
    weir_hint(err, "take one with ECDHE and GCM, or set `include_insecure_cipher_suites: true` where the peer has nothing else");
    return WEIR_E_CONFIG;
  }
  return 0;
}

int tls_settings_fill(const struct tls_settings *s, const char *owner, struct weir_tls_config *ret, struct weir_error *err) {
  *ret = (struct weir_tls_config){ .size = sizeof *ret, .owner = owner };
  if (!s) return 0;
  if (s->tpm.n) {
    weir_fail_field(err, "tls.tpm", "keys in a TPM are not supported");
    weir_hint(err, "give the key as key_file or key_pem");
    return WEIR_E_CONFIG;
  }
  int r = check_suites(s, err);
  if (r) return r;
  ret->flags = (s->insecure_skip_verify ? WEIR_TLS_SKIP_VERIFY : 0) | (s->include_system_ca_certs_pool ? WEIR_TLS_SYSTEM_CAS : 0);
  ret->cert_file = s->cert_file;
  ret->cert_pem = s->cert_pem;
  ret->key_file = s->key_file;
  ret->key_pem = s->key_pem;
  ret->ca_file = s->ca_file;
  ret->ca_pem = s->ca_pem;
  ret->client_ca_file = s->client_ca_file;
  ret->server_name = s->server_name_override;
  ret->min_version = version_of(s->min_version);
  ret->max_version = version_of(s->max_version);
  ret->cipher_suites = s->cipher_suites.v;
  ret->n_cipher_suites = s->cipher_suites.n;
  ret->curves = s->curve_preferences.v;
  ret->n_curves = s->curve_preferences.n;
  ret->reload_interval_ns = s->reload_interval;
  return 0;
}
