/*
 * plugins/kit/tls_config.h - the `tls` group of servers and of clients, with the keys of the Collector's configtls.
 *
 * One struct and two field tables; a stage puts WEIR_T_OPT_GROUP with one of them in its own table and gives what tls_settings_fill makes
 * of it to the http or grpc service. Pure functions.
 */
#ifndef KIT_TLS_CONFIG_H
#define KIT_TLS_CONFIG_H

#include <weir/config.h>
#include <weir/error.h>
#include <weir/tls.h>

struct tls_settings {
  const char *ca_file, *ca_pem, *cert_file, *cert_pem, *key_file, *key_pem;
  int32_t include_system_ca_certs_pool, min_version, max_version;
  struct weir_strings cipher_suites, curve_preferences;
  int64_t reload_interval;
  struct weir_map tpm;
  int32_t include_insecure_cipher_suites;
  int32_t insecure, insecure_skip_verify; /* clients */
  const char *server_name_override;
  const char *client_ca_file; /* servers */
  int32_t client_ca_file_reload;
};

extern const struct weir_field tls_client_fields[];
extern const struct weir_field tls_server_fields[];

/* 0 with *ret filled, whose pointers are those of the settings (NULL allowed: all defaults); or an error that names the field ("tls.tpm"). */
int tls_settings_fill(const struct tls_settings *, const char *owner, struct weir_tls_config *ret, struct weir_error *);
/* Whether settings of a client ask for TLS where the address leaves it open: always, but with `insecure` and no CA. */
int tls_settings_wanted(const struct tls_settings *);

#endif
