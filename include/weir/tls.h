/*
 * weir/tls.h - TLS settings of one HTTP or gRPC server or client, as the `tls` group of a configuration gives them.
 *
 * Each material is a file or a PEM text, never both. Files are read at listen_check, listen or client_open and again when they change (a renewed
 * certificate, the symlink swap of a Kubernetes secret); a bad new file keeps the old one. All pointers are borrowed for the call that
 * takes the struct. Rules: RFC 8446, RFC 5246, RFC 7301 (ALPN), RFC 6125 (names).
 */
#ifndef WEIR_TLS_H
#define WEIR_TLS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_TLS_SKIP_VERIFY 1u /* client: any certificate will do (for tests: who answers is not known then) */
#define WEIR_TLS_SYSTEM_CAS 2u  /* trust the system's CAs beside ca_file / ca_pem; without either they are trusted anyway */

struct weir_tls_config {
  uint32_t size, flags;
  const char *owner;                   /* the stage's id, for logs and metrics */
  const char *cert_file, *cert_pem;    /* own certificate, the leaf first, then its chain; a server needs one */
  const char *key_file, *key_pem;
  const char *ca_file, *ca_pem;        /* client: whom to trust */
  const char *client_ca_file;          /* server: clients must show a certificate that one of these signed */
  const char *server_name;             /* client: the name to ask for and to verify; NULL = the endpoint's host */
  uint32_t min_version, max_version;   /* 12 or 13; 0 = 12, and the newest */
  const char *const *cipher_suites;    /* IANA names, for TLS 1.2; those of TLS 1.3 are fixed. none = the library's */
  uint64_t n_cipher_suites;
  const char *const *curves;           /* X25519, P256, P384, P521 */
  uint64_t n_curves;
  int64_t reload_interval_ns;          /* how often files are looked at; 0 = 10 s */
};

#ifdef __cplusplus
}
#endif
#endif
