/*
 * plugins/kit/otlp_export.h - an exporter that speaks OTLP over gRPC: what the otlp, jaeger and tempo exporters share.
 *
 * otlp and jaeger differ in name, signals and defaults only. Everything here is [lane] of the instance.
 */
#ifndef KIT_OTLP_EXPORT_H
#define KIT_OTLP_EXPORT_H

#include <weir/config.h>
#include <weir/stage.h>

#include "plugins/kit/auth.h"
#include "plugins/kit/tls_config.h"

struct otlp_keepalive_config {
  int64_t time, timeout;
  int32_t permit_without_stream;
};

struct otlp_export_config {
  const char *endpoint, *authority, *user_agent;
  int32_t balancer_name; /* 0 = round_robin */
  const struct otlp_keepalive_config *keepalive;
  int32_t compression; /* of the field's choices */
  int32_t engine;      /* 0 native, 1 core */
  struct weir_map headers;
  const struct tls_settings *tls;
  uint64_t read_buffer_size, write_buffer_size, max_message_bytes;
  int32_t wait_for_ready;
  const struct kit_auth_config *auth;
};

extern const struct weir_field otlp_export_fields[];

int otlp_export_open(const struct weir_host *, struct weir_stage *, const void *config, void **ret_self, struct weir_error *);
void otlp_export_consume(void *self, struct weir_batch *);
void otlp_export_close(void *self);
/* As consume, with metadata of this request alone (at most OTLP_EXPORT_REQUEST_HEADERS, names in lower case), each in place of the configuration's of its name. */
void otlp_export_send(void *self, struct weir_batch *, const struct weir_http_header *headers, size_t n_headers);
#define OTLP_EXPORT_REQUEST_HEADERS 8u

/* WEIR_E_CONFIG at `field` for https://user:password@host: it would be in every log line that names the endpoint. Nothing of it is in the error. */
int otlp_refuse_userinfo(const char *endpoint, const char *field, struct weir_error *);
/* Shared with otlp_http: what an address and its `tls` ask for. ret_skip: length of the scheme; ret_tls: whether TLS. 0, or the error, on `field`. */
int otlp_security(const char *endpoint, const char *field, const struct tls_settings *, int *ret_skip, int *ret_tls, struct weir_error *);
/* Whether a refusal's text says that the message was too large, so that a smaller one may pass. */
int otlp_says_too_large(const char *msg);

#endif
