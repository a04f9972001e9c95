/*
 * The prometheus_remote_write exporter (also prometheusremotewrite): sends metrics to Prometheus and what takes its remote write protocol, 1.0 or 2.0.
 *
 *   exporters:
 *     prometheus_remote_write: {endpoint: http://prometheus:9090/api/v1/write}
 *
 * Files: buffer (protobuf), symbols (the table of 2.0), series (both messages), request (from a batch to requests), attempt (the protocol).
 * The mapping of OTLP is plugins/kit/prom. Order and the rest of the contract: docs/design/prometheus.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"

#define MAX_EXTERNAL_LABELS 64u
#define MAX_BATCH_SIZE_BYTES 3000000u

/* The Collector's keys of the HTTP client, at the top or below `http`. */
struct client_config {
  struct http_export_config http;
  const char *endpoint;
  int32_t compression;
};

struct remote_write_config {
  struct client_config top;
  const struct client_config *http; /* goes before `top` */
  const char *name_space;
  struct weir_map external_labels;
  struct {
    int32_t enabled;
    int64_t queue_size, num_consumers;
  } queue; /* enabled and queue_size are read by the host */
  int64_t max_batch_size_bytes, max_batch_request_parallelism;
  int32_t protobuf_message, translation_strategy, add_metric_suffixes, send_metadata, target_info, disable_scope_info;
  int32_t convert_nhcb, keep_classic;
  struct {
    int32_t enabled, exclude_service_attributes;
  } to_telemetry;
  struct weir_strings included, excluded; /* resource_constant_labels */
  struct weir_strings metadata_keys;
  const struct wal_config *wal;
};

struct wal_config {
  const char *directory;
  int64_t buffer_size, truncate_frequency, lag_record_frequency;
};

#define AT(member) offsetof(struct remote_write_config, member)
#define ENDPOINT_DOC "The URL to write to, with its path, as none is added: http://prometheus:9090/api/v1/write, http://mimir:8080/api/v1/push. https:// is TLS, http:// is plaintext."
#define SNAPPY_DOC "Snappy blocks are what the protocol prescribes."

static const struct weir_field http_fields[] = {
  { "endpoint", WEIR_T_STRING, 0, offsetof(struct client_config, endpoint), NULL, NULL, NULL, NULL, NULL, ENDPOINT_DOC, NULL, 0 },
  { "compression", WEIR_T_ENUM, 0, offsetof(struct client_config, compression), "snappy", NULL, NULL, "snappy", NULL, SNAPPY_DOC, NULL, 0 },
  HTTP_EXPORT_CLIENT(offsetof(struct client_config, http)),
  WEIR_FIELD_END,
};

static const struct weir_field queue_fields[] = {
  { "enabled", WEIR_T_BOOL, 0, AT(queue.enabled), "true", NULL, NULL, NULL, NULL, "Whether requests wait in a queue. Without one, a receiver's request waits until it was sent or given up.", NULL, 0 },
  { "queue_size", WEIR_T_INT, 0, AT(queue.queue_size), "10000", "1", NULL, NULL, "requests", "How much fits in the queue.", NULL, 0 },
  { "num_consumers", WEIR_T_INT, 0, AT(queue.num_consumers), "5", "1", "64", NULL, "requests",
    "How many requests a large batch is sent in at the same time, where max_batch_request_parallelism does not say it. Batches go out one after the other, whatever stands here.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field target_info_fields[] = {
  { "enabled", WEIR_T_BOOL, 0, AT(target_info), "true", NULL, NULL, NULL, NULL, "Whether there is a target_info.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field to_telemetry_fields[] = {
  { "enabled", WEIR_T_BOOL, 0, AT(to_telemetry.enabled), "false", NULL, NULL, NULL, NULL, "Makes all attributes of the resource labels of each series.", NULL, 0 },
  { "exclude_service_attributes", WEIR_T_BOOL, 0, AT(to_telemetry.exclude_service_attributes), "false", NULL, NULL, NULL, NULL,
    "Leaves service.name, service.namespace and service.instance.id out, which are in job and instance.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field constant_fields[] = {
  { "included", WEIR_T_STRINGS, 0, AT(included), NULL, NULL, NULL, NULL, NULL, "Patterns of keys (`k8s.pod.*`) that become labels. Empty, with something excluded: all others.", NULL, 0 },
  { "excluded", WEIR_T_STRINGS, 0, AT(excluded), NULL, NULL, NULL, NULL, NULL, "Patterns of keys that do not.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field wal_fields[] = {
  { "directory", WEIR_T_STRING, 0, offsetof(struct wal_config, directory), NULL, NULL, NULL, NULL, NULL, "Not supported.", NULL, 0 },
  { "buffer_size", WEIR_T_INT, 0, offsetof(struct wal_config, buffer_size), "300", NULL, NULL, NULL, NULL, "Not supported.", NULL, 0 },
  { "truncate_frequency", WEIR_T_DURATION, 0, offsetof(struct wal_config, truncate_frequency), "1m", NULL, NULL, NULL, NULL, "Not supported.", NULL, 0 },
  { "lag_record_frequency", WEIR_T_DURATION, 0, offsetof(struct wal_config, lag_record_frequency), "15s", NULL, NULL, NULL, NULL, "Not supported.", NULL, 0 },
  WEIR_FIELD_END,
};

#define STRATEGY_SUFFIXES 0
#define STRATEGY_UTF8_SUFFIXES 2
#define STRATEGY_NONE 3
#define MESSAGE_V2 1

static const struct weir_field fields[] = {
  { "endpoint", WEIR_T_STRING, 0, AT(top.endpoint), NULL, NULL, NULL, NULL, NULL, ENDPOINT_DOC, NULL, 0 },
  { "http", WEIR_T_OPT_GROUP, 0, AT(http), NULL, NULL, NULL, NULL, NULL, "The client's keys, where the Collector's newer files have them; with it, those at the top have no effect.", http_fields,
    sizeof(struct client_config) },
  HTTP_EXPORT_TIMEOUT(AT(top.http), "5s"),
  { "protobuf_message", WEIR_T_ENUM, 0, AT(protobuf_message), "prometheus.WriteRequest", NULL, NULL, "prometheus.WriteRequest|io.prometheus.write.v2.Request", NULL,
    "prometheus.WriteRequest is remote write 1.0. io.prometheus.write.v2.Request is 2.0: smaller, with metadata and start times, and the answer says how much was written. A receiver that shows that it does not "
    "know 2.0 is sent 1.0, until a restart.", NULL, 0 },
  { "namespace", WEIR_T_STRING, 0, AT(name_space), NULL, NULL, NULL, NULL, NULL, "Goes before each metric's name, with `_` between.", NULL, 0 },
  { "external_labels", WEIR_T_MAP, 0, AT(external_labels), NULL, NULL, NULL, NULL, NULL, "Labels of each series. A label that the data has wins.", NULL, 0 },
  { "translation_strategy", WEIR_T_ENUM, 0, AT(translation_strategy), NULL, NULL, NULL,
    "UnderscoreEscapingWithSuffixes|UnderscoreEscapingWithoutSuffixes|NoUTF8EscapingWithSuffixes|NoTranslation", NULL,
    "How names are made: what Prometheus did not allow before version 3 becomes `_` or stays (2.0 only), with or without the suffixes for unit and type. Default: UnderscoreEscapingWithSuffixes.", NULL, 0 },
  { "add_metric_suffixes", WEIR_T_BOOL, WEIR_DEPRECATED, AT(add_metric_suffixes), "true", NULL, NULL, NULL, NULL,
    "Suffixes for unit and type. Without effect beside translation_strategy, which replaces it.", NULL, 0 },
  { "resource_constant_labels", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "Which attributes of the resource become labels of each series; none by default, as target_info has them.", constant_fields, 0 },
  { "resource_to_telemetry_conversion", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "The older form of resource_constant_labels.", to_telemetry_fields, 0 },
  { "target_info", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "A series for each resource with its attributes as labels.", target_info_fields, 0 },
  { "disable_scope_info", WEIR_T_BOOL, 0, AT(disable_scope_info), "false", NULL, NULL, NULL, NULL, "Leaves the otel_scope_... labels out.", NULL, 0 },
  { "send_metadata", WEIR_T_BOOL, 0, AT(send_metadata), "false", NULL, NULL, NULL, NULL, "Sends type, help and unit of each family with 1.0, once a batch. 2.0 always has them.", NULL, 0 },
  { "convert_explicit_histograms_to_nhcb", WEIR_T_BOOL, 0, AT(convert_nhcb), "false", NULL, NULL, NULL, NULL,
    "Sends histograms with explicit bounds as native ones with custom buckets, in place of _bucket, _sum and _count. 2.0 only; 1.0 goes on with those.", NULL, 0 },
  { "keep_classic_histograms", WEIR_T_BOOL, 0, AT(keep_classic), "false", NULL, NULL, NULL, NULL, "With convert_explicit_histograms_to_nhcb: sends both.", NULL, 0 },
  { "max_batch_size_bytes", WEIR_T_INT, 0, AT(max_batch_size_bytes), "3000000", "0", "1000000000", NULL, "bytes",
    "The largest request, before compression; 0 = 3000000. A larger batch is sent in several; a series is not cut.", NULL, 0 },
  { "max_batch_request_parallelism", WEIR_T_INT, 0, AT(max_batch_request_parallelism), "0", "0", "64", NULL, "requests",
    "How many requests of one batch are sent at the same time. Its series are dealt to so many shards, each of which sends one request after the other: the samples of a series stay in their order. "
    "0: as remote_write_queue.num_consumers says.", NULL, 0 },
  { "remote_write_queue", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL,
    "The queue in front of the exporter. To gather requests or to keep them on disk write `sending_queue` instead; both together are an error. Batches are sent one after the other, in the order of the queue, and one that must be "
    "tried again holds back the others, as a sample that comes after a newer one is refused.", queue_fields, 0 },
  { "include_metadata_keys", WEIR_T_STRINGS, 0, AT(metadata_keys), NULL, NULL, NULL, NULL, NULL, "Not supported: setting it is an error. The headers_setter extension does the same.", NULL, 0 },
  { "wal", WEIR_T_OPT_GROUP, 0, AT(wal), NULL, NULL, NULL, NULL, NULL, "Not supported: setting it is an error. A queue on disk is `sending_queue.storage`.", wal_fields, sizeof(struct wal_config) },
  { "compression", WEIR_T_ENUM, 0, AT(top.compression), "snappy", NULL, NULL, "snappy", NULL, SNAPPY_DOC, NULL, 0 },
  HTTP_EXPORT_CLIENT(AT(top.http)),
  WEIR_FIELD_END,
};

struct exporter {
  const struct remote_write_config *cfg;
  const struct weir_host *host;
  struct prom *prom, *plain; /* plain: names as 1.0 has them, where `prom` keeps UTF-8 */
  struct rw_sender sender;
};

/* --- checks ---------------------------------------------------------------------------------------------------- */

static int check_labels(const struct weir_map *labels, struct weir_error *err) {
  if (labels->n > MAX_EXTERNAL_LABELS) return weir_fail_field(err, "external_labels", "more than %u labels", MAX_EXTERNAL_LABELS);
  for (size_t i = 0; i < labels->n; i++)
    if (!*labels->v[i].key || !labels->v[i].value || !*labels->v[i].value)
      return weir_fail_field(err, "external_labels", "external labels configuration contains an empty key or value");
  return 0;
}

static int check_resource(const struct remote_write_config *c, struct weir_error *err) {
  int old = c->to_telemetry.enabled || c->to_telemetry.exclude_service_attributes;
  if (!old || !(c->included.n + c->excluded.n)) return 0;
  weir_fail_field(err, "resource_to_telemetry_conversion", "cannot configure both resource_to_telemetry_conversion and resource_constant_labels");
  weir_hint(err, "keep resource_constant_labels: the other is its older form");
  return WEIR_E_CONFIG;
}

static int refuse(const char *field, const char *what, const char *hint, struct weir_error *err) {
  weir_fail_field(err, field, "%s", what);
  weir_hint(err, "%s", hint);
  return WEIR_E_CONFIG;
}

static int check(const struct remote_write_config *c, struct weir_error *err) {
  if (c->wal) return refuse("wal", "a write-ahead log is not supported", "remove it; `sending_queue: {storage: ...}` is the queue on disk", err);
  if (c->metadata_keys.n)
    return refuse("include_metadata_keys", "headers are not taken from metadata here", "use the headers_setter extension: `auth: {authenticator: headers_setter}`", err);
  if (c->translation_strategy >= STRATEGY_UTF8_SUFFIXES && c->protobuf_message != MESSAGE_V2)
    return refuse("translation_strategy", "names that are not escaped require remote write 2.0",
      "add `protobuf_message: io.prometheus.write.v2.Request`, or choose a strategy with UnderscoreEscaping", err);
  int r = check_resource(c, err);
  return r ? r : check_labels(&c->external_labels, err);
}

/* --- parts ------------------------------------------------------------------------------------------------------- */

static struct prom_options options(const struct remote_write_config *c, int utf8) {
  static const char *const all[] = { "*" }, *const service[] = { "service.name", "service.namespace", "service.instance.id" };
  struct prom_options o = { .utf8_names = utf8, .scope_labels = !c->disable_scope_info, .constant = c->external_labels, .target_constant = 1,
    .resource_included = c->included, .resource_excluded = c->excluded };
  int s = c->translation_strategy;
  o.add_metric_suffixes = s < 0 ? c->add_metric_suffixes : s == STRATEGY_SUFFIXES || s == STRATEGY_UTF8_SUFFIXES;
  o.name_space = weir_str_of(c->name_space ? c->name_space : "");
  if (c->to_telemetry.enabled) o.resource_included = (struct weir_strings){ all, 1 };
  if (c->to_telemetry.enabled && c->to_telemetry.exclude_service_attributes) o.resource_excluded = (struct weir_strings){ service, 3 };
  return o;
}

static int new_encoder(struct exporter *e, struct prom *prom, struct rw_encoder **ret, struct weir_error *err) {
  const struct remote_write_config *c = e->cfg;
  int64_t shards = c->max_batch_request_parallelism ? c->max_batch_request_parallelism : c->queue.num_consumers;
  struct rw_encoder_config cfg = { .host = e->host, .stage = e->sender.stage, .http = e->sender.http, .prom = prom, .max_bytes = c->max_batch_size_bytes ? (uint64_t)c->max_batch_size_bytes : MAX_BATCH_SIZE_BYTES,
    .max_shards = (uint32_t)shards, .send_metadata = c->send_metadata, .target_info = c->target_info, .nhcb = c->convert_nhcb, .keep_classic = c->keep_classic };
  return rw_encoder_new(&cfg, ret, err);
}

/* 1.0 from now on. Its names are ASCII. */
static int fall_back(void *arg) {
  struct exporter *e = arg;
  struct weir_error err;
  struct prom_options o = options(e->cfg, 0);
  struct rw_encoder *encoder;
  if (e->cfg->translation_strategy < STRATEGY_UTF8_SUFFIXES) return 0;
  if (!e->plain && prom_new(&o, "external_labels", &e->plain, &err)) return -1;
  if (new_encoder(e, e->plain, &encoder, &err)) return -1;
  rw_encoder_free(e->sender.encoder);
  e->sender.encoder = encoder;
  return 0;
}

static void init_sender(struct exporter *e) {
  const char *id = e->host->stage_id(e->sender.stage), *parts[] = { id, http_export_authority(e->sender.client) };
  char labels[512];
  size_t n = 0;
  for (size_t i = 0; i < 2; i++) {
    n += (size_t)snprintf(labels + n, sizeof labels - n, "%s=\"", i ? ",endpoint" : "exporter");
    for (const char *p = parts[i]; *p && n < sizeof labels / 2 * (i + 1) - 32; p++) {
      if (*p == '"' || *p == '\\') labels[n++] = '\\';
      labels[n++] = *p;
    }
    labels[n++] = '"';
    labels[n] = 0;
  }
  e->sender.v2 = e->cfg->protobuf_message == MESSAGE_V2;
  e->sender.fall_back = fall_back;
  e->sender.fall_back_arg = e;
  rw_sender_init(&e->sender, labels);
}

/* Nothing is added to the URL, as in the Collector: without a path all is posted to /, where Prometheus answers 404 or 405. */
static void warn_without_path(const struct exporter *e, const char *url, const char *field) {
  const char *host = strstr(url, "://");
  size_t n = host ? strcspn(host + 3, "/?#") : 0;
  if (!host || (host[3 + n] == '/' && host[4 + n]) || host[3 + n] == '?' || e->host->stage_lane(e->sender.stage) != 0) return;
  e->host->log(e->sender.stage, WEIR_LOG_WARN,
    "`%s: %.200s` has no path, and none is added: requests go to /. Prometheus and VictoriaMetrics take them at /api/v1/write, Mimir at /api/v1/push, Thanos at /api/v1/receive", field, url);
}

static int open_client(struct exporter *e, struct weir_error *err) {
  const struct client_config *c = e->cfg->http ? e->cfg->http : &e->cfg->top;
  const char *field = e->cfg->http ? "http.endpoint" : "endpoint";
  if (!c->endpoint || !*c->endpoint) {
    weir_fail_field(err, field, "an endpoint must be specified");
    weir_hint(err, "add `endpoint: http://host:9090/api/v1/write`");
    return WEIR_E_CONFIG;
  }
  struct http_export_setup setup = { .host = e->host, .stage = e->sender.stage, .config = &c->http, .url = c->endpoint, .field = field, .content_type = "application/x-protobuf",
    .coding = "snappy", .self = &e->sender, .on_verdict = rw_on_verdict, .success = rw_on_success, .refusal = rw_on_refusal };
  int r = http_export_open(&setup, &e->sender.client, err);
  if (!r) warn_without_path(e, c->endpoint, field);
  return r;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static void remote_write_close(void *self) {
  struct exporter *e = self;
  if (!e) return;
  http_export_close(e->sender.client);
  rw_encoder_free(e->sender.encoder);
  rw_sender_done(&e->sender);
  prom_free(e->prom);
  prom_free(e->plain);
  free(e);
}

static int open_parts(struct exporter *e, struct weir_error *err) {
  struct prom_options o = options(e->cfg, e->cfg->translation_strategy >= STRATEGY_UTF8_SUFFIXES);
  if (!e->sender.http) return weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks the service %s", WEIR_HTTP_SERVICE);
  int r = prom_new(&o, "external_labels", &e->prom, err);
  if (!r) r = new_encoder(e, e->prom, &e->sender.encoder, err);
  if (!r) r = open_client(e, err);
  if (!r) init_sender(e);
  return r;
}

static int remote_write_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  int r = check(config, err);
  if (r) return r;
  struct exporter *e = calloc(1, sizeof *e);
  if (!e) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->cfg = config;
  e->host = host;
  e->sender.host = host;
  e->sender.stage = stage;
  e->sender.http = host->service(stage, WEIR_HTTP_SERVICE);
  e->sender.metrics = host->service(stage, WEIR_METRICS_SERVICE);
  r = open_parts(e, err);
  if (r) {
    remote_write_close(e);
    return r;
  }
  *ret_self = e;
  return 0;
}

static void remote_write_consume(void *self, struct weir_batch *batch) {
  struct exporter *e = self;
  rw_sender_take(&e->sender, batch);
}

static int remote_write_need(void *self) {
  (void)self;
  return WEIR_NEED_RECORDS;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_METRICS,
  .flags = WEIR_QUEUED | WEIR_ONE_LANE | WEIR_IN_ORDER,
  .name = "prometheus_remote_write",
  .aliases = "prometheusremotewrite",
  .doc = "Sends metrics by Prometheus' remote write protocol, 1.0 or 2.0. Cumulative metrics only: delta points are left out and counted. One request after the other for each series, so that its samples stay in their order; "
         "to send fewer and larger requests, gather with `sending_queue: {batch: {}}` or the batch processor.",
  .example_yaml = "endpoint: http://localhost:9090/api/v1/write\nexternal_labels: {cluster: east}\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct remote_write_config),
  .open = remote_write_open,
  .consume = remote_write_consume,
  .close = remote_write_close,
  .need = remote_write_need,
};

WEIR_PLUGIN("prometheus_remote_write exporter", "0.1.0", "Apache-2.0", &type);
