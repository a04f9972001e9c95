/*
 * plugins/kit/otlp_export.h - an exporter that speaks OTLP over gRPC: what the otlp and jaeger exporters share.
 *
 * The two differ in name, signals and defaults only. Everything here is [lane] of the instance.
 */
#ifndef KIT_OTLP_EXPORT_H
#define KIT_OTLP_EXPORT_H

#include <weir/config.h>
#include <weir/stage.h>

struct otlp_tls_config {
  int32_t insecure, insecure_skip_verify;
  const char *ca_file, *cert_file, *key_file, *server_name_override;
};

struct otlp_keepalive_config {
  int64_t time, timeout;
  int32_t permit_without_stream;
};

struct otlp_export_config {
  const char *endpoint, *authority, *user_agent;
  int32_t balancer_name; /* 0 = round_robin */
  const struct otlp_keepalive_config *keepalive;
  int32_t compression; /* OTLP_GZIP ... */
  struct weir_map headers;
  const struct otlp_tls_config *tls;
  uint64_t read_buffer_size, write_buffer_size, max_message_bytes;
  int32_t wait_for_ready;
  struct weir_map auth;
};

extern const struct weir_field otlp_export_fields[];
extern const struct weir_field otlp_tls_fields[];

int otlp_export_open(const struct weir_host *, struct weir_stage *, const void *config, void **ret_self, struct weir_error *);
void otlp_export_consume(void *self, struct weir_batch *);
void otlp_export_close(void *self);

/* Shared with otlp_http: keys that later versions bring, and what an address without TLS must say. 0, or the error. */
int otlp_check_plain(const char *endpoint, int insecure, int tls_given, int *ret_skip, struct weir_error *);
/* Whether a refusal's text says that the message was too large, so that a smaller one may pass. */
int otlp_says_too_large(const char *msg);

#endif
