/*
 * The loki exporter: sends logs to Grafana Loki, by OTLP or by its push API, each request for one tenant.
 *
 *   exporters:
 *     loki: {endpoint: http://loki:3100}
 *     loki/push: {endpoint: http://loki:3100, protocol: push, labels: {resource_attributes: [service.name], record_attributes: [event.domain]}}
 *
 * OTLP: Loki decides what becomes a label. push: the rules here do; the rest is structured metadata, named as Loki names it. docs/design/loki.md.
 */
#include "loki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/http_export.h"
#include "plugins/kit/otlp_export.h"
#include "plugins/kit/otlp_http.h"
#include "plugins/kit/tenant.h"

#define PUSH 1 /* protocol */
#define ZSTD 2 /* compression */
#define ANSWER_BYTES (1u << 20) /* Loki writes a line for each entry that it refuses */

struct loki_config {
  const char *endpoint;
  int32_t protocol, encoding; /* encoding: 1 = json */
  uint64_t max_message_bytes;
  const struct loki_labels_config *labels;
  struct tenant_config tenant;
  struct http_export_config http;
};

#define AT(member) offsetof(struct loki_config, member)
#define L(member) offsetof(struct loki_labels_config, member)

/* Loki's distributor.otlp.default_resource_attributes_as_index_labels, v3.7; as YAML for the manual, as a list for a configuration without `labels`. */
#define RESOURCE_LABELS(SEP) \
  "service.name" SEP "service.namespace" SEP "service.instance.id" SEP "deployment.environment" SEP "deployment.environment.name" SEP "cloud.region" SEP \
  "cloud.availability_zone" SEP "k8s.cluster.name" SEP "k8s.namespace.name" SEP "k8s.pod.name" SEP "k8s.container.name" SEP "container.name" SEP \
  "k8s.replicaset.name" SEP "k8s.deployment.name" SEP "k8s.statefulset.name" SEP "k8s.daemonset.name" SEP "k8s.cronjob.name" SEP "k8s.job.name"
#define COMMA ,
static const char *const resource_labels[] = { RESOURCE_LABELS(COMMA) };
static const struct loki_labels_config default_labels = { .resource = { resource_labels, sizeof resource_labels / sizeof *resource_labels }, .max = 15 };

static const struct weir_field label_fields[] = {
  { "resource_attributes", WEIR_T_STRINGS, 0, L(resource), "[" RESOURCE_LABELS(", ") "]", NULL, NULL, NULL, NULL,
    "Resource attributes that become labels, in the order in which they get the room there is. The default is what Loki itself takes from OTLP.", NULL, 0 },
  { "record_attributes", WEIR_T_STRINGS, 0, L(record), NULL, NULL, NULL, NULL, NULL,
    "Attributes of the log record that become labels. Each value makes a stream of its own: name few, with few values.", NULL, 0 },
  { "static", WEIR_T_MAP, 0, L(fixed), NULL, NULL, NULL, NULL, NULL, "Labels of every stream; they go first.", NULL, 0 },
  { "max", WEIR_T_UINT, 0, L(max), "15", "1", "64", NULL, "labels",
    "The most labels of a stream; attributes that find no room are structured metadata. Loki refuses streams with more than 15 by default.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field fields[] = {
  { "endpoint", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, AT(endpoint), NULL, NULL, NULL, NULL, NULL,
    "Loki's URL, http:// or https://, without a path: /otlp/v1/logs or /loki/api/v1/push is added. With a path: otlp adds /v1/logs to it (and refuses one that ends so, or with /loki/api/v1/push), push takes it as it is. Or unix:///path.", NULL, 0 },
  { "protocol", WEIR_T_ENUM, 0, AT(protocol), "otlp", NULL, NULL, "otlp|push", NULL,
    "otlp needs Loki 3 with its default allow_structured_metadata, and Loki decides about labels. push is Loki's own API, and `labels` decides.", NULL, 0 },
  { "encoding", WEIR_T_ENUM, 0, AT(encoding), "protobuf", NULL, NULL, "protobuf|json", NULL,
    "How requests are written. A push in protobuf is always a snappy block, whatever `compression` says.", NULL, 0 },
  { "labels", WEIR_T_OPT_GROUP, 0, AT(labels), NULL, NULL, NULL, NULL, NULL, "push: what becomes a label; without the key, what its defaults say. The rest of the attributes is structured metadata.", label_fields,
    sizeof(struct loki_labels_config) },
  TENANT_FIELDS(AT(tenant)),
  { "max_message_bytes", WEIR_T_BYTES, 0, AT(max_message_bytes), "4MiB", "1KiB", "1GiB", NULL, NULL,
    "A batch that encodes to more is cut before it is sent. A record that takes more on its own is refused by push, and sent by otlp.", NULL, 0 },
  HTTP_EXPORT_TIMEOUT(AT(http), "30s"),
  { "compression", WEIR_T_ENUM, 0, HTTP_EXPORT_AT(AT(http), compression), "gzip", NULL, NULL, "gzip|none|zstd", NULL, "How bodies are compressed; zstd with otlp only.", NULL, 0 },
  HTTP_EXPORT_COMPRESSION_PARAMS(AT(http)),
  HTTP_EXPORT_CLIENT(AT(http)),
  WEIR_FIELD_END,
};

struct loki {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct loki_config *cfg;
  struct tenant tenant;
  struct otlp_http otlp;
  struct http_export *client; /* push */
  struct push *push;
};

/* --- the answer ------------------------------------------------------------------------------------------------------------ */

/* 400 may be of some entries only, 5xx is worth another try (as Loki's own clients have it), and one refusal looks as if it were but is not. */
static void on_refusal(void *self, void *arg, const struct weir_http_response *r, struct weir_verdict *v, char *text, size_t cap) {
  struct loki *l = self;
  const char *p = r->body ? r->body->p : "";
  size_t n = r->body ? r->body->n : 0;
  uint64_t items = l->host->batch_items(arg), refused = r->status == 400 && !r->err ? loki_refused(p, n) : 0;
  (void)text;
  (void)cap;
  if (refused && refused < items) {
    v->code = WEIR_DELIVERED;
    v->rejected = refused;
    v->status = 0;
  }
  if (r->status >= 500) v->code = loki_says_no_schema(p, n) ? WEIR_REJECTED : WEIR_RETRY;
}

static void on_verdict(void *self, void *arg, const struct weir_verdict *v) {
  struct loki *l = self;
  l->host->done(l->stage, arg, v);
}

/* --- the attempt ------------------------------------------------------------------------------------------------------------- */

static void send_push(struct loki *l, struct weir_batch *batch, const struct weir_http_header *headers, size_t n_headers) {
  struct http_export_request q = { .batch = batch, .transient = 1, .headers = headers, .n_headers = n_headers, .arg = batch };
  struct weir_error err;
  struct weir_verdict v = { .code = WEIR_RETRY, .msg = err.msg };
  err.msg[0] = 0;
  const struct weir_data *d = l->host->batch_read(batch, &err);
  int code = d ? push_encode(l->push, d, (uint64_t)l->host->now_unix_ns(), &q.iov, &q.n_iov, &err) : WEIR_E_NOMEM;
  if (code == WEIR_E_LIMIT) v = (struct weir_verdict){ .code = WEIR_REJECTED, .too_large = 1, .msg = err.msg };
  if (!code) code = http_export_send(l->client, &q, &v, &err);
  if (code) l->host->done(l->stage, batch, &v);
}

static void loki_consume(void *self, struct weir_batch *batch) {
  struct loki *l = self;
  struct weir_http_header header;
  struct weir_verdict v;
  struct weir_error err;
  int n = tenant_of(&l->tenant, l->host, batch, &header, &v, &err);
  if (n < 0) l->host->done(l->stage, batch, &v);
  else if (l->push) send_push(l, batch, &header, (size_t)n);
  else otlp_http_send(&l->otlp, batch, &header, (size_t)n);
}

/* --- life ---------------------------------------------------------------------------------------------------------------------- */

static void loki_close(void *self) {
  struct loki *l = self;
  if (!l) return;
  otlp_http_close(&l->otlp);
  http_export_close(l->client);
  push_free(l->push);
  free(l);
}

/* The URL's path, behind http://host; "" when it has none, but a slash at most. */
static const char *path_of(const char *url) {
  const char *host = strstr(url, "://"), *path = host ? strchr(host + 3, '/') : NULL;
  return path && path[1] ? path : "";
}

/* The URL's length without this end (and slashes behind it); 0: it has no such end. */
static size_t length_before(const char *url, const char *end) {
  size_t n = strlen(url), n_end = strlen(end);
  while (n && url[n - 1] == '/') n--;
  return n > n_end && strncmp(url + n - n_end, end, n_end) == 0 ? n - n_end : 0;
}

/* /v1/logs goes behind the URL's path, and Loki answers 404 to all that makes no sense then: the push API's URL, as files of old Collectors have it, or OTLP's whole. */
static int check_otlp_url(const char *url, struct weir_error *err) {
  size_t n = length_before(url, "/loki/api/v1/push"), n_whole = length_before(url, "/v1/logs");
  if (!n && !n_whole) return 0;
  int r = otlp_refuse_userinfo(url, "endpoint", err);
  if (r) return r;
  if (n) {
    weir_fail_field(err, "endpoint", "this is the URL of Loki's push API, and `protocol` is otlp");
    weir_hint(err, "write `protocol: push`, or for OTLP `endpoint: %.*s/otlp`", (int)n, url);
  } else {
    weir_fail_field(err, "endpoint", "/v1/logs is added to this URL, which ends with it");
    weir_hint(err, "write `endpoint: %.*s`", (int)n_whole, url);
  }
  return WEIR_E_CONFIG;
}

static int check(const struct loki_config *cfg, struct weir_error *err) {
  if (cfg->protocol != PUSH && cfg->labels) {
    weir_fail_field(err, "labels", "with OTLP, Loki decides what becomes a label");
    weir_hint(err, "set limits_config.otlp_config in Loki, or write `protocol: push`");
    return WEIR_E_CONFIG;
  }
  if (cfg->protocol == PUSH && cfg->encoding && cfg->http.compression == ZSTD) {
    weir_fail_field(err, "compression", "Loki's push API does not take zstd");
    weir_hint(err, "write gzip or none");
    return WEIR_E_CONFIG;
  }
  if (cfg->protocol != PUSH) return check_otlp_url(cfg->endpoint, err);
  return cfg->labels ? loki_labels_check(cfg->labels, err) : 0;
}

static int open_push(struct loki *l, struct http_export_setup *setup, struct weir_error *err) {
  setup->suffix = *path_of(setup->url) && strncmp(setup->url, "unix://", 7) ? NULL : "/loki/api/v1/push";
  setup->content_type = l->cfg->encoding ? "application/json" : "application/x-protobuf";
  setup->coding = l->cfg->encoding ? NULL : "snappy";
  setup->self = l;
  setup->on_verdict = on_verdict;
  setup->refusal = on_refusal;
  l->push = push_new(l->cfg->labels ? l->cfg->labels : &default_labels, l->cfg->encoding, l->cfg->max_message_bytes);
  return l->push ? http_export_open(setup, &l->client, err) : weir_fail(err, WEIR_E_NOMEM, "no memory");
}

static int open_otlp(struct loki *l, struct http_export_setup *setup, struct weir_error *err) {
  setup->suffix = *path_of(setup->url) && strncmp(setup->url, "unix://", 7) ? "/v1/logs" : "/otlp/v1/logs";
  l->otlp.json = l->cfg->encoding;
  l->otlp.max_message_bytes = l->cfg->max_message_bytes;
  l->otlp.refusal = on_refusal;
  l->otlp.self = l;
  return otlp_http_open(&l->otlp, setup, err);
}

static int loki_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct loki_config *cfg = config;
  int r = check(cfg, err);
  if (r) return r;
  struct loki *l = calloc(1, sizeof *l);
  if (!l) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  l->host = host;
  l->stage = stage;
  l->cfg = cfg;
  struct http_export_setup setup = { .host = host, .stage = stage, .config = &cfg->http, .url = cfg->endpoint, .field = "endpoint", .max_response_bytes = ANSWER_BYTES };
  r = tenant_open(&l->tenant, &cfg->tenant, err);
  if (!r) r = cfg->protocol == PUSH ? open_push(l, &setup, err) : open_otlp(l, &setup, err);
  if (r) {
    loki_close(l);
    return r;
  }
  *ret_self = l;
  return 0;
}

static int loki_need(void *self) {
  const struct loki *l = self;
  return l->push || l->otlp.json || tenant_reads_records(&l->tenant) ? WEIR_NEED_RECORDS : WEIR_NEED_COUNTS;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_LOGS,
  .flags = WEIR_QUEUED,
  .name = "loki",
  .doc = "Sends logs to Grafana Loki by OTLP or by its push API, each request for one tenant.",
  .example_yaml = "endpoint: http://localhost:3100\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct loki_config),
  .open = loki_open,
  .consume = loki_consume,
  .close = loki_close,
  .need = loki_need,
};

WEIR_PLUGIN("loki exporter", "0.1.0", "Apache-2.0", &type);
