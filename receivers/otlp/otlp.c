/*
 * The otlp receiver: traces, metrics and logs over OTLP/gRPC and OTLP/HTTP (protobuf and JSON).
 *
 *   receivers:
 *     otlp:
 *       protocols:
 *         grpc: {endpoint: 127.0.0.1:4317}
 *         http: {endpoint: 127.0.0.1:4318}
 *
 * One instance per lane serves all its signals. A request becomes a batch at once; its answer is the batch's verdict.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp.h"

void otlp_sweep(void *arg); /* pending.c */

/* --- configuration --------------------------------------------------------------------------------------------------- */

#define KA(member, default_value, text) \
  { #member, WEIR_T_DURATION, 0, offsetof(struct keepalive_config, server_parameters.member), default_value, "0", NULL, NULL, NULL, text, NULL, 0 }

static const struct weir_field server_parameters[] = {
  KA(max_connection_idle, "0", "Ends a connection that had no request for this time; 0 = never."),
  KA(max_connection_age, "0",
    "Ends a connection of this age, give or take 10 %, so that clients behind a load balancer spread anew: GOAWAY, and its requests are served to their end; 0 = never."),
  KA(max_connection_age_grace, "0", "How long its requests may still run then; 0 = without limit."),
  KA(time, "2h", "Pings a client from which nothing came for this time. 0 = 2h; under 1s is 1s."),
  KA(timeout, "20s", "Closes the connection when nothing comes for so much longer; 0 = 20s."),
  WEIR_FIELD_END,
};

static const struct weir_field enforcement_policy[] = {
  { "min_time", WEIR_T_DURATION, 0, offsetof(struct keepalive_config, enforcement_policy.min_time), "5m", "0", NULL, NULL, NULL,
    "The shortest time between a client's pings; 0 = 5m. The third one that comes too early ends its connection (GOAWAY, too_many_pings). Pings after an answer are always allowed.", NULL, 0 },
  { "permit_without_stream", WEIR_T_BOOL, 0, offsetof(struct keepalive_config, enforcement_policy.permit_without_stream), "false", NULL, NULL, NULL, NULL,
    "Whether min_time holds for a client without a request, too; else the shortest time is 2 h then.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field keepalive_fields[] = {
  { "server_parameters", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "When the server ends connections and pings.", server_parameters, 0 },
  { "enforcement_policy", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "What pings of clients are accepted.", enforcement_policy, 0 },
  WEIR_FIELD_END,
};

#define TLS_FIELD(s) \
  { "tls", WEIR_T_OPT_GROUP, 0, offsetof(struct s, tls), NULL, NULL, NULL, NULL, NULL, "Serve TLS, and with client_ca_file mutual TLS; absent = plaintext.", tls_server_fields, \
    sizeof(struct tls_settings) }
#define AUTH_FIELD(s, fields_of_it)                                                                                                        \
  { "auth", WEIR_T_OPT_GROUP, 0, offsetof(struct s, auth), NULL, NULL, NULL, NULL, NULL, "Who may send; absent = everybody.", fields_of_it, \
    sizeof(struct kit_auth_config) }
#define METADATA_FIELD(s)                                                                                                               \
  { "include_metadata", WEIR_T_BOOL, 0, offsetof(struct s, include_metadata), "false", NULL, NULL, NULL, NULL,                             \
    "Keeps the request's headers with the data, for `metadata_keys` of batch and `from_context` of headers_setter.", NULL, 0 }

#define TRANSPORT_FIELD(s)                                                                                                                \
  { "transport", WEIR_T_ENUM, 0, offsetof(struct s, transport), "tcp", NULL, NULL, "tcp|unix", NULL,                                       \
    "The kind of address; with unix, endpoint is the socket's path, such as /run/weir/otlp.sock.", NULL, 0 }

/* Own keys, the same on both ports: the Collector has these limits too, fixed in its libraries, or none. */
#define LIMIT_FIELDS(s)                                                                                                                            \
  { "max_header_bytes", WEIR_T_BYTES, 0, offsetof(struct s, limits.max_header_bytes), "64KiB", "1KiB", "16MiB", NULL, NULL,                        \
    "The headers of one request, all together; larger ones are answered 431, or RESOURCE_EXHAUSTED.", NULL, 0 },                                   \
  { "max_headers", WEIR_T_UINT, 0, offsetof(struct s, limits.max_headers), "128", "8", "10000", NULL, "lines",                                     \
    "How many headers one request may have; more are answered as above.", NULL, 0 },                                                               \
  { "max_connections", WEIR_T_UINT, 0, offsetof(struct s, limits.max_connections), "10000", "1", "1000000", NULL, "connections",                   \
    "How many connections may be open, of all lanes; more are closed as they come.", NULL, 0 },                                                    \
  { "body_timeout", WEIR_T_DURATION, 0, offsetof(struct s, limits.body_timeout), "30s", "1ms", NULL, NULL, NULL,                                   \
    "The longest pause between two pieces of a request's body; then 408.", NULL, 0 }

static const struct weir_field grpc_fields[] = {
  { "endpoint", WEIR_T_STRING, WEIR_NONEMPTY, offsetof(struct grpc_config, endpoint), "127.0.0.1:4317", NULL, NULL, NULL, NULL,
    "The address to listen on: host:port, :port for all addresses, or unix:///path.", NULL, 0 },
  TRANSPORT_FIELD(grpc_config),
  { "max_recv_msg_size_mib", WEIR_T_UINT, 0, offsetof(struct grpc_config, max_recv_msg_size_mib), "4", "0", "2047", NULL, "MiB",
    "The largest message, before and after decompression; larger ones are answered RESOURCE_EXHAUSTED. 0 = 4.", NULL, 0 },
  { "max_concurrent_streams", WEIR_T_UINT, 0, offsetof(struct grpc_config, max_concurrent_streams), "100", "1", "65535", NULL, "requests",
    "How many requests one connection may have under way.", NULL, 0 },
  { "read_buffer_size", WEIR_T_BYTES, 0, offsetof(struct grpc_config, read_buffer_size), "512KiB", NULL, NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: a lane reads all its connections through one buffer.", NULL, 0 },
  { "write_buffer_size", WEIR_T_BYTES, 0, offsetof(struct grpc_config, write_buffer_size), "32KiB", NULL, NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: answers of one step share a write.", NULL, 0 },
  { "engine", WEIR_T_ENUM, 0, offsetof(struct grpc_config, engine), "native", NULL, NULL, "native|core", NULL,
    "What speaks gRPC: native is weir's own; core is gRPC C-core (Debian's libgrpc29), loaded when it is asked for. native costs less: core is there "
    "for what only gRPC's own library does. It refuses tls.min_version 1.3, tls.max_version 1.2, tls.cipher_suites and curves but P256. A key of weir's own; docs/design/grpc.md tells when to choose it.", NULL, 0 },
  LIMIT_FIELDS(grpc_config),
  { "read_header_timeout", WEIR_T_DURATION, 0, offsetof(struct grpc_config, limits.read_header_timeout), "1m", "1ms", NULL, NULL, NULL,
    "How long a request's headers may take, and a new connection's first bytes; then the connection is closed.", NULL, 0 },
  { "write_timeout", WEIR_T_DURATION, 0, offsetof(struct grpc_config, write_timeout), "30s", "1ms", NULL, NULL, NULL,
    "How long an answer may make no progress before its stream is reset, or the connection is closed.", NULL, 0 },
  METADATA_FIELD(grpc_config),
  { "keepalive", WEIR_T_OPT_GROUP, 0, offsetof(struct grpc_config, keepalive), NULL, NULL, NULL, NULL, NULL,
    "Ageing of connections and pings. Without it the defaults below hold.", keepalive_fields, sizeof(struct keepalive_config) },
  TLS_FIELD(grpc_config),
  AUTH_FIELD(grpc_config, kit_auth_server_fields),
  WEIR_FIELD_END,
};

static const struct weir_field http_fields[] = {
  { "endpoint", WEIR_T_STRING, WEIR_NONEMPTY, offsetof(struct http_config, endpoint), "127.0.0.1:4318", NULL, NULL, NULL, NULL,
    "The address to listen on: host:port, :port for all addresses, or unix:///path.", NULL, 0 },
  TRANSPORT_FIELD(http_config),
  { "traces_url_path", WEIR_T_STRING, WEIR_NONEMPTY, offsetof(struct http_config, traces_url_path), "/v1/traces", NULL, NULL, NULL, NULL, "Where traces are posted.", NULL, 0 },
  { "metrics_url_path", WEIR_T_STRING, WEIR_NONEMPTY, offsetof(struct http_config, metrics_url_path), "/v1/metrics", NULL, NULL, NULL, NULL, "Where metrics are posted.", NULL, 0 },
  { "logs_url_path", WEIR_T_STRING, WEIR_NONEMPTY, offsetof(struct http_config, logs_url_path), "/v1/logs", NULL, NULL, NULL, NULL, "Where logs are posted.", NULL, 0 },
  { "max_request_body_size", WEIR_T_BYTES, 0, offsetof(struct http_config, max_request_body_size), "20MiB", "1", "2147483647", NULL, NULL,
    "The largest body, before and after decompression; larger ones are answered 413 (the Collector: 400; the specification: 413).", NULL, 0 },
  { "compression_algorithms", WEIR_T_STRINGS, 0, offsetof(struct http_config, compression_algorithms),
    "[gzip, zstd, zlib, snappy, deflate, x-snappy-framed]", NULL, NULL, NULL, NULL,
    "The content-encodings that are taken; another one is answered 415 (the Collector: 400). [] takes uncompressed bodies only, which are always taken.", NULL, 0 },
  { "max_concurrent_streams", WEIR_T_UINT, 0, offsetof(struct http_config, max_concurrent_streams), "100", "1", "65535", NULL, "requests",
    "How many requests one HTTP/2 connection may have under way.", NULL, 0 },
  LIMIT_FIELDS(http_config),
  { "read_header_timeout", WEIR_T_DURATION, 0, offsetof(struct http_config, limits.read_header_timeout), "1m", "1ms", NULL, NULL, NULL,
    "How long a request's headers may take; then 408.", NULL, 0 },
  { "read_timeout", WEIR_T_DURATION, 0, offsetof(struct http_config, read_timeout), "0", "0", NULL, NULL, NULL,
    "How long a whole request may take; then 408. 0 = without limit, but no pause in its body may be longer than body_timeout.", NULL, 0 },
  { "write_timeout", WEIR_T_DURATION, 0, offsetof(struct http_config, write_timeout), "30s", "1ms", NULL, NULL, NULL,
    "How long an answer may make no progress before the connection is closed.", NULL, 0 },
  { "idle_timeout", WEIR_T_DURATION, 0, offsetof(struct http_config, idle_timeout), "1m", "0", NULL, NULL, NULL,
    "Closes a connection without requests after this time; 0 = never.", NULL, 0 },
  { "keep_alives_enabled", WEIR_T_BOOL, 0, offsetof(struct http_config, keep_alives_enabled), "true", NULL, NULL, NULL, NULL,
    "false: every answer ends its connection.", NULL, 0 },
  { "max_connection_age", WEIR_T_DURATION, 0, offsetof(struct http_config, max_connection_age), "0", "0", NULL, NULL, NULL,
    "Ends a connection of this age, give or take 10 %, so that clients behind a load balancer spread anew; 0 = never. HTTP/1.1: the next answer says `connection: close`; "
    "HTTP/2: GOAWAY, and its requests are served to their end. A key of weir's own.", NULL, 0 },
  METADATA_FIELD(http_config),
  { "cors", WEIR_T_OPT_GROUP, 0, offsetof(struct http_config, cors), NULL, NULL, NULL, NULL, NULL,
    "Requests from pages of other origins in browsers. Preflights are answered 204 before authentication, as they carry no credentials.", kit_cors_fields,
    sizeof(struct kit_cors_config) },
  KIT_RESPONSE_HEADERS_FIELD(offsetof(struct http_config, response_headers)),
  TLS_FIELD(http_config),
  AUTH_FIELD(http_config, kit_auth_http_server_fields),
  WEIR_FIELD_END,
};

static const struct weir_field protocol_fields[] = {
  { "grpc", WEIR_T_OPT_GROUP, 0, offsetof(struct otlp_config, protocols.grpc), NULL, NULL, NULL, NULL, NULL, "OTLP over gRPC; absent = off.", grpc_fields, sizeof(struct grpc_config) },
  { "http", WEIR_T_OPT_GROUP, 0, offsetof(struct otlp_config, protocols.http), NULL, NULL, NULL, NULL, NULL, "OTLP over HTTP; absent = off.", http_fields, sizeof(struct http_config) },
  WEIR_FIELD_END,
};

static const struct weir_field fields[] = {
  { "protocols", WEIR_T_GROUP, WEIR_REQUIRED, 0, NULL, NULL, NULL, NULL, NULL, "Which protocols to serve; at least one.", protocol_fields, 0 },
  { "validation", WEIR_T_ENUM, 0, offsetof(struct otlp_config, validation), "full", NULL, NULL, "full|envelope", NULL,
    "full checks every message to its end and answers malformed ones 400 / INVALID_ARGUMENT. envelope counts records and leaves what is inside "
    "them to the next hop: cheaper, for senders that are trusted. JSON is always checked.", NULL, 0 },
  WEIR_FIELD_END,
};

static int check_algorithms(const struct http_config *h, struct weir_error *err) {
  static const char *const known[] = { "gzip", "zstd", "zlib", "snappy", "deflate", "x-snappy-framed", "" }; /* "": uncompressed, as the Collector lists it */
  for (size_t i = 0; i < h->compression_algorithms.n; i++) {
    size_t k = 0;
    while (k < sizeof known / sizeof *known && strcmp(known[k], h->compression_algorithms.v[i]) != 0) k++;
    if (k < sizeof known / sizeof *known) continue;
    weir_fail_field(err, "protocols.http.compression_algorithms", "`%s` is not offered", h->compression_algorithms.v[i]);
    weir_hint(err, "use some of gzip, zstd, zlib, snappy, deflate, x-snappy-framed");
    return WEIR_E_CONFIG;
  }
  return 0;
}

static int check_address(const char *protocol, int32_t transport, const char *endpoint, struct weir_error *err) {
  char field[64];
  const char *path = strncmp(endpoint, "unix://", 7) == 0 ? endpoint + 7 : endpoint;
  if (transport != ADDRESS_UNIX || *path == '/') return 0;
  snprintf(field, sizeof field, "protocols.%s.endpoint", protocol);
  weir_fail_field(err, field, "`%s` is no path of a socket, which transport: unix asks for", endpoint);
  weir_hint(err, *path == '@' ? "abstract sockets are not supported: write a path, such as /run/weir/otlp.sock" : "write an absolute path, such as /run/weir/otlp.sock");
  return WEIR_E_CONFIG;
}

const char *otlp_address(int32_t transport, const char *endpoint, char *buf, size_t cap) {
  if (transport != ADDRESS_UNIX || *endpoint != '/') return endpoint;
  snprintf(buf, cap, "unix://%s", endpoint);
  return buf;
}

/* A socket is no URL: gRPC's libraries take unix:///path as it is, SDKs over HTTP have no spelling for it. */
void otlp_tell_address(struct otlp *r, const char *what, const char *address, int secure, const char *protocols) {
  const char *s = secure ? "s" : "";
  if (r->host->stage_lane(r->stage) != 0) return;
  if (strncmp(address, "unix://", 7) != 0)
    r->host->log(r->stage, WEIR_LOG_INFO, "OTLP over %s on %s (SDKs: OTEL_EXPORTER_OTLP_ENDPOINT=http%s://%s%s, protocol %s)", what, address, s,
      *address == ':' ? "localhost" : "", address, protocols);
  else if (strcmp(protocols, "grpc") == 0)
    r->host->log(r->stage, WEIR_LOG_INFO, "OTLP over %s on %s (gRPC clients: this is the target)", what, address);
  else
    r->host->log(r->stage, WEIR_LOG_INFO, "OTLP over %s on %s (curl --unix-socket %s http%s://localhost%s)", what, address, address + 7, s,
      r->cfg->protocols.http->traces_url_path);
}

/* Cuts host:port; 0 = a socket's path, or no number (the transport says so). [::1] keeps its brackets. */
static unsigned long port_of(const char *address, char *host, size_t cap) {
  const char *colon = strrchr(address, ':');
  char *end;
  if (!colon || strncmp(address, "unix:", 5) == 0) return 0;
  unsigned long port = strtoul(colon + 1, &end, 10);
  snprintf(host, cap, "%.*s", (int)(colon - address), address);
  if (strcmp(host, "localhost") == 0) snprintf(host, cap, "127.0.0.1"); /* as the listener reads it */
  return *end ? 0 : port;
}

/* One and the same written alike or not, and all addresses (no host) beside one of them. Each server with port 0 gets a port of its own. */
static int same_address(const char *a, const char *b) {
  char a_host[256], b_host[256];
  unsigned long a_port = port_of(a, a_host, sizeof a_host), b_port = port_of(b, b_host, sizeof b_host);
  if (strncmp(a, "unix:", 5) == 0) return strcmp(a, b) == 0;
  return a_port && a_port == b_port && (!*a_host || !*b_host || strcmp(a_host, b_host) == 0);
}

/* The Collector says "address already in use" here. */
static int check_two(const struct grpc_config *g, const struct http_config *h, struct weir_error *err) {
  char g_buf[ADDRESS_CAP], h_buf[ADDRESS_CAP];
  const char *g_address = otlp_address(g->transport, g->endpoint, g_buf, sizeof g_buf);
  if (!same_address(g_address, otlp_address(h->transport, h->endpoint, h_buf, sizeof h_buf))) return 0;
  weir_fail_field(err, "protocols.http.endpoint", "%s is taken already: protocols.grpc listens at %s", h->endpoint, g->endpoint);
  weir_hint(err, "give each protocol its own endpoint; the usual ports are 4317 for grpc and 4318 for http");
  return WEIR_E_CONFIG;
}

static int check(const struct otlp_config *cfg, struct weir_error *err) {
  const struct grpc_config *g = cfg->protocols.grpc;
  const struct http_config *h = cfg->protocols.http;
  int r = 0;
  if (!g && !h) {
    weir_fail_field(err, "protocols", "must specify at least one protocol when using the OTLP receiver");
    weir_hint(err, "write `grpc:` or `http:` below protocols");
    return WEIR_E_CONFIG;
  }
  if (g) {
    if ((r = check_address("grpc", g->transport, g->endpoint, err))) return r;
  }
  if (h) {
    if ((r = check_algorithms(h, err))) return r;
    if ((r = kit_http_check(h->cors, &h->response_headers, "protocols.http", err))) return r;
    if ((r = check_address("http", h->transport, h->endpoint, err))) return r;
  }
  return g && h ? check_two(g, h, err) : 0;
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

static void make_cells(struct otlp *r) {
  static const char *const items[3] = { "spans", "metric_points", "log_records" };
  static const char *const transports[2] = { "grpc", "http" };
  const struct weir_metrics_service *m = r->metrics;
  for (int s = 0; s < 3; s++)
    for (int t = 0; t < 2; t++) {
      char name[96], labels[256];
      if (!(r->host->stage_signal(r->stage) & (1u << s))) continue;
      snprintf(labels, sizeof labels, "receiver=\"%s\",transport=\"%s\"", r->host->stage_id(r->stage), transports[t]);
      snprintf(name, sizeof name, "otelcol_receiver_accepted_%s_total", items[s]);
      r->accepted[s][t] = m->counter(r->stage, name, labels, "Items that were taken into the pipeline.");
      snprintf(name, sizeof name, "otelcol_receiver_refused_%s_total", items[s]);
      r->refused[s][t] = m->counter(r->stage, name, labels, "Items that were refused with a retryable answer.");
      snprintf(name, sizeof name, "otelcol_receiver_failed_%s_total", items[s]);
      r->failed[s][t] = m->counter(r->stage, name, labels, "Items that were refused for good further down.");
    }
}

static void otlp_close(void *self) {
  struct otlp *r = self;
  if (!r) return;
  if (r->grpc) r->grpc->close(r->grpc_server);
  if (r->http) r->http->close(r->http_server);
  if (r->timers) r->timers->timer_free(r->sweep);
  for (int i = 0; i < 2; i++) kit_gate_close(&r->gate[i]);
  pending_free_all(r);
  free(r);
}

static int open_gates(struct otlp *r, struct weir_error *err) {
  const struct grpc_config *g = r->cfg->protocols.grpc;
  const struct http_config *h = r->cfg->protocols.http;
  int code = g ? kit_gate_open(&r->gate[TRANSPORT_GRPC], r->host, r->stage, g->auth, g->include_metadata, "protocols.grpc.auth", "grpc", err) : 0;
  if (!code && h) code = kit_gate_open(&r->gate[TRANSPORT_HTTP], r->host, r->stage, h->auth, h->include_metadata, "protocols.http.auth", "http", err);
  return code;
}

/* What is refused: the address, unless the error names another key of the protocol. */
static void name_field(struct weir_error *err, const char *protocol) {
  char field[sizeof err->field];
  snprintf(field, sizeof field, "protocols.%s.%.80s", protocol, err->field[0] ? err->field : "endpoint");
  memcpy(err->field, field, sizeof field);
}

/* Both protocols at once: often they have the same certificate. One lane is enough. */
static int check_servers(const struct otlp *r, struct weir_error *err) {
  struct weir_error http = { 0 };
  char hint[sizeof err->hint];
  if (r->host->stage_lane(r->stage) != 0) return 0;
  int code = r->cfg->protocols.grpc ? otlp_grpc_check(r, err) : 0, other = r->cfg->protocols.http ? otlp_http_check(r, &http) : 0;
  if (code) name_field(err, "grpc");
  if (other) name_field(&http, "http");
  if (!code && other) *err = http;
  if (!code || !other) return code ? code : other;
  memcpy(hint, err->hint, sizeof hint);
  weir_hint(err, "%s%s%s, too: %s", hint, *hint ? "; " : "", http.field, http.msg);
  return code;
}

static int otlp_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  int code = check(config, err);
  if (code) return code;
  struct otlp *r = calloc(1, sizeof *r);
  if (!r) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  r->host = host;
  r->stage = stage;
  r->cfg = config;
  r->http = host->service(stage, WEIR_HTTP_SERVICE);
  r->grpc = host->service(stage, WEIR_GRPC_SERVICE);
  r->otlp = host->service(stage, WEIR_OTLP_SERVICE);
  r->metrics = host->service(stage, WEIR_METRICS_SERVICE);
  r->timers = host->service(stage, WEIR_TIMER_SERVICE);
  if (!r->http || !r->grpc || !r->otlp || !r->metrics || !r->timers) {
    otlp_close(r);
    return weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that the otlp receiver needs");
  }
  if ((code = check_servers(r, err)) || (code = open_gates(r, err))) {
    otlp_close(r);
    return code;
  }
  r->sweep = r->timers->timer_new(stage, otlp_sweep, r);
  make_cells(r);
  *ret_self = r;
  return 0;
}

static int otlp_start(void *self, struct weir_error *err) {
  struct otlp *r = self;
  int code = 0;
  if (r->cfg->protocols.grpc && (code = otlp_grpc_start(r, err))) {
    name_field(err, "grpc");
    return code;
  }
  if (r->cfg->protocols.http && (code = otlp_http_start(r, err))) name_field(err, "http");
  return code;
}

static void on_drained(void *arg) {
  struct otlp *r = arg;
  if (--r->draining == 0) r->host->drained(r->stage);
}

static void otlp_drain(void *self) {
  struct otlp *r = self;
  r->draining = (r->grpc_server != NULL) + (r->http_server != NULL);
  if (r->grpc_server) r->grpc->drain(r->grpc_server, on_drained, r);
  if (r->http_server) r->http->drain(r->http_server, on_drained, r);
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_RECEIVER,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .name = "otlp",
  .doc = "Takes traces, metrics and logs over OTLP/gRPC and OTLP/HTTP, with protobuf or JSON. Answers are the specification's: success, partial success, a retryable "
         "refusal with RetryInfo or Retry-After, or a refusal for good that says why.",
  .example_yaml = "protocols:\n  grpc:\n    endpoint: 127.0.0.1:4317\n  http:\n    endpoint: 127.0.0.1:4318\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct otlp_config),
  .open = otlp_open,
  .start = otlp_start,
  .drain = otlp_drain,
  .close = otlp_close,
};

WEIR_PLUGIN("otlp receiver", "0.1.0", "Apache-2.0", &type);
