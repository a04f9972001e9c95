/* service: lanes, limits, own telemetry, plugins; pipelines and extensions are config_pipelines.c's. */
#include <string.h>
#include <sys/stat.h>

#include "core/listener.h"
#include "core/parse.h"
#include "pipelines/config_internal.h"
#include "pipelines/telemetry.h"

struct prometheus_keys {
  const char *host;
  int64_t port;
  int32_t without_type_suffix, ignored;
  const struct yaml_node *node;
};

struct reader_keys {
  const struct yaml_node *periodic;
  struct {
    const struct prometheus_keys *prometheus;
    const struct yaml_node *other;
  } exporter;
};

struct service_keys {
  const struct yaml_node *extensions, *pipelines, *plugins, *traces, *resource, *views, *ignored;
  uint64_t lanes, memory_limit_bytes;
  int64_t drain_grace_ns, drain_timeout_ns;
  int32_t log_level, log_encoding, ignored_bool, metrics_level;
  struct weir_strings log_outputs, ignored_strings;
  const char *metrics_address;
  struct weir_groups readers;
  int32_t reload_watch;
  int64_t reload_debounce_ns;
  const char *control_socket;
};

#define S(member) offsetof(struct service_keys, member)
#define P(member) offsetof(struct prometheus_keys, member)

static const struct weir_field prometheus_fields[] = {
  { .name = "host",
    .type = WEIR_T_STRING,
    .offset = P(host),
    .dflt = "127.0.0.1",
    .flags = WEIR_NONEMPTY,
    .doc = "Address that own metrics are served on." },
  { .name = "port",
    .type = WEIR_T_INT,
    .offset = P(port),
    .dflt = "8888",
    .min = "0",
    .max = "65535",
    .doc = "Port that own metrics are served on; 0 takes a free one." },
  { .name = "without_type_suffix",
    .type = WEIR_T_BOOL,
    .offset = P(without_type_suffix),
    .dflt = "false",
    .doc = "Names of counters without `_total`." },
  { .name = "without_scope_info", .type = WEIR_T_BOOL, .offset = P(ignored), .doc = "Accepted; own metrics carry no scope." },
  { .name = "without_units", .type = WEIR_T_BOOL, .offset = P(ignored), .doc = "Accepted; names carry no unit." },
  { .name = "with_resource_constant_labels",
    .type = SCHEMA_T_NODE,
    .offset = P(node),
    .doc = "Accepted; own metrics carry no resource labels." },
  WEIR_FIELD_END,
};

static const struct weir_field exporter_fields[] = {
  { .name = "prometheus",
    .type = WEIR_T_OPT_GROUP,
    .offset = offsetof(struct reader_keys, exporter.prometheus),
    .group = prometheus_fields,
    .group_size = sizeof(struct prometheus_keys),
    .doc = "The Prometheus endpoint of own metrics." },
  WEIR_FIELD_END,
};

static const struct weir_field pull_fields[] = {
  { .name = "exporter", .type = WEIR_T_GROUP, .offset = 0, .group = exporter_fields, .doc = "What serves own metrics." },
  WEIR_FIELD_END,
};

static const struct weir_field reader_fields[] = {
  { .name = "pull", .type = WEIR_T_GROUP, .offset = 0, .group = pull_fields, .doc = "Own metrics that are scraped." },
  { .name = "periodic",
    .type = SCHEMA_T_NODE,
    .offset = offsetof(struct reader_keys, periodic),
    .doc = "Own metrics that are pushed. Not supported." },
  WEIR_FIELD_END,
};

static const struct weir_field metrics_fields[] = {
  { .name = "level",
    .type = WEIR_T_ENUM,
    .offset = S(metrics_level),
    .dflt = "normal",
    .choices = "none|basic|normal|detailed",
    .doc = "none switches own metrics off; the others are the same in weir." },
  { .name = "readers",
    .type = WEIR_T_GROUPS,
    .offset = S(readers),
    .group = reader_fields,
    .group_size = sizeof(struct reader_keys),
    .doc = "How own metrics are read." },
  { .name = "address",
    .type = WEIR_T_STRING,
    .offset = S(metrics_address),
    .flags = WEIR_DEPRECATED,
    .doc = "Use `readers: [{pull: {exporter: {prometheus: {host: HOST, port: PORT}}}}]`." },
  { .name = "views", .type = SCHEMA_T_NODE, .offset = S(views), .doc = "Accepted without effect." },
  WEIR_FIELD_END,
};

static const struct weir_field logs_fields[] = {
  { .name = "level",
    .type = WEIR_T_ENUM,
    .offset = S(log_level),
    .dflt = "info",
    .choices = "debug|info|warn|error",
    .doc = "The least important lines that are written." },
  { .name = "encoding",
    .type = WEIR_T_ENUM,
    .offset = S(log_encoding),
    .dflt = "console",
    .choices = "console|json",
    .doc = "Lines for people or for machines." },
  { .name = "output_paths",
    .type = WEIR_T_STRINGS,
    .offset = S(log_outputs),
    .dflt = "[stderr]",
    .doc = "Where log lines go: stderr, stdout or a file." },
  { .name = "error_output_paths",
    .type = WEIR_T_STRINGS,
    .offset = S(ignored_strings),
    .doc = "Accepted without effect: errors of the logger go to stderr." },
  { .name = "development", .type = WEIR_T_BOOL, .offset = S(ignored_bool), .doc = "Accepted without effect." },
  { .name = "disable_caller",
    .type = WEIR_T_BOOL,
    .offset = S(ignored_bool),
    .doc = "Accepted without effect: lines name no source file." },
  { .name = "disable_stacktrace",
    .type = WEIR_T_BOOL,
    .offset = S(ignored_bool),
    .doc = "Accepted without effect: lines hold no stack trace." },
  { .name = "sampling",
    .type = SCHEMA_T_NODE,
    .offset = S(ignored),
    .doc = "Accepted without effect: repeats are always counted and told in one line." },
  { .name = "initial_fields", .type = SCHEMA_T_NODE, .offset = S(ignored), .doc = "Accepted without effect." },
  { .name = "processors", .type = SCHEMA_T_NODE, .offset = S(ignored), .doc = "Accepted without effect." },
  WEIR_FIELD_END,
};

static const struct weir_field telemetry_fields[] = {
  { .name = "logs", .type = WEIR_T_GROUP, .offset = 0, .group = logs_fields, .doc = "Weir's own log lines." },
  { .name = "metrics", .type = WEIR_T_GROUP, .offset = 0, .group = metrics_fields, .doc = "Weir's own metrics." },
  { .name = "traces", .type = SCHEMA_T_NODE, .offset = S(traces), .doc = "Accepted without effect." },
  { .name = "resource", .type = SCHEMA_T_NODE, .offset = S(resource), .doc = "Accepted without effect." },
  WEIR_FIELD_END,
};

static const struct weir_field drain_fields[] = {
  { .name = "grace",
    .type = WEIR_T_DURATION,
    .offset = S(drain_grace_ns),
    .dflt = "0s",
    .min = "0",
    .doc = "How long new connections are still taken after SIGTERM, while readiness says no." },
  { .name = "timeout",
    .type = WEIR_T_DURATION,
    .offset = S(drain_timeout_ns),
    .dflt = "10s",
    .min = "0",
    .doc = "How long what is held may take to be sent before the process ends." },
  WEIR_FIELD_END,
};

static const struct weir_field reload_fields[] = {
  { .name = "watch",
    .type = WEIR_T_BOOL,
    .offset = S(reload_watch),
    .dflt = "false",
    .doc = "Read the configuration again when one of its files changes, those that ${file:} names included." },
  { .name = "debounce",
    .type = WEIR_T_DURATION,
    .offset = S(reload_debounce_ns),
    .dflt = "300ms",
    .min = "1ms",
    .max = "1h",
    .doc = "How long after a change nothing else may change before the files are read." },
  WEIR_FIELD_END,
};

static const struct weir_field control_fields[] = {
  { .name = "socket",
    .type = WEIR_T_STRING,
    .offset = S(control_socket),
    .doc = "Path of the unix socket for `weir reload`; \"\" for none. Default: weir.sock in $XDG_RUNTIME_DIR, where that is set." },
  WEIR_FIELD_END,
};

/* For the hint when a pipeline stands directly below service. */
static const struct weir_field signal_fields[] = {
  { .name = "traces", .type = SCHEMA_T_NODE },
  { .name = "metrics", .type = SCHEMA_T_NODE },
  { .name = "logs", .type = SCHEMA_T_NODE },
  WEIR_FIELD_END,
};

static const struct weir_field service_fields[] = {
  { .name = "pipelines", .type = SCHEMA_T_NODE, .offset = S(pipelines), .group = signal_fields, .doc = "The pipelines, named by signal." },
  { .name = "extensions", .type = SCHEMA_T_NODE, .offset = S(extensions), .doc = "Ids of the extensions to start, in their order." },
  { .name = "telemetry", .type = WEIR_T_GROUP, .offset = 0, .group = telemetry_fields, .doc = "What weir tells about itself." },
  { .name = "lanes",
    .type = WEIR_T_UINT,
    .offset = S(lanes),
    .min = "1",
    .max = "64",
    .doc = "Number of lanes (threads). Without it, one for each CPU of the quota, at most 16." },
  { .name = "memory_limit",
    .type = WEIR_T_BYTES,
    .offset = S(memory_limit_bytes),
    .min = "4MiB",
    .doc =
      "Bytes that data in the process may take; beyond it senders are told to retry. Default: 80 % of the cgroup's limit or memory." },
  { .name = "drain", .type = WEIR_T_GROUP, .offset = 0, .group = drain_fields, .doc = "How the process ends." },
  { .name = "reload", .type = WEIR_T_GROUP, .offset = 0, .group = reload_fields, .doc = "When the configuration is read again." },
  { .name = "control", .type = WEIR_T_GROUP, .offset = 0, .group = control_fields, .doc = "How commands reach the running process." },
  { .name = "plugins", .type = SCHEMA_T_NODE, .offset = S(plugins), .doc = "Files or directories of further stages." },
  WEIR_FIELD_END,
};

const struct schema_table config_service_table = { service_fields, sizeof(struct weir_field) };

/* --- plugins --------------------------------------------------------------------------------- */

static void load_plugin(struct config_loader *l, const struct yaml_node *item) {
  struct weir_error err = { 0 };
  struct stat st;
  const char *path = yaml_string(item);
  if (item->kind == YAML_BROKEN) return;
  if (!path || !*path) {
    diag_error(l->ds, item->pos, "`service.plugins` must be a list of files or directories");
    return;
  }
  int dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
  if ((dir ? l->lookup->add_dir : l->lookup->load)(l->registry, path, &err) == 0) return;
  diag_error(l->ds, item->pos, "%s", err.msg);
  if (err.hint[0]) diag_caret(l->ds, "%s", err.hint);
}

static void load_plugins(struct config_loader *l, const struct yaml_node *node) {
  if (!node || node->kind == YAML_NULL || node->kind == YAML_BROKEN) return;
  if (node->kind == YAML_SCALAR)
    load_plugin(l, node);
  else if (node->kind == YAML_SEQ)
    for (size_t i = 0; i < node->n; i++) load_plugin(l, node->items[i]);
  else {
    diag_error(l->ds, node->pos, "`service.plugins` must be a list of files or directories, got a mapping");
    diag_caret(l->ds, "as in [./my_stage.so]");
  }
}

/* --- telemetry ------------------------------------------------------------------------------- */

static struct pos place(const struct config_loader *l, const char *path) {
  return schema_find(l->config->root, l->config->root->pos, path);
}

/* Something set that does nothing here: better said than found out. */
static void no_effect(struct config_loader *l, const struct yaml_node *node, const char *path, const char *why) {
  if (!node || node->kind == YAML_NULL || (node->kind == YAML_MAP && node->n == 0) || (node->kind == YAML_SEQ && node->n == 0)) return;
  const char *level = node->kind == YAML_MAP && node->n == 1 && yaml_get(node, "level") ? yaml_get(node, "level")->text : NULL;
  if (level && strcmp(level, "none") == 0) return;
  diag_warn(l->ds,
    yaml_key(yaml_get(yaml_get(l->config->root, "service"), "telemetry"), path)
      ? place(l, arena_printf(&l->config->arena, "service.telemetry.%s", path))
      : node->pos,
    "`service.telemetry.%s` has no effect", path);
  diag_caret(l->ds, "%s", why);
}

/* path: of what says where own metrics are; host, port: of these below it. */
static void place_metrics(struct config_loader *l, const char *path, const char *host, const char *port) {
  struct config_telemetry *t = &l->config->telemetry;
  struct weir_error err = { 0 };
  char endpoint[300];
  t->metrics_pos = place(l, arena_printf(&l->config->arena, "%s%s", path, port));
  telemetry_endpoint(t, endpoint, sizeof endpoint);
  if (!t->metrics_enabled || listener_check(endpoint, &err) == 0) return;
  diag_error(l->ds, place(l, arena_printf(&l->config->arena, "%s%s", path, host)), "`service.telemetry.metrics`: %s", err.msg);
  diag_caret(l->ds, "as in 127.0.0.1");
}

static void use_address(struct config_loader *l, const struct service_keys *k) {
  struct config_telemetry *t = &l->config->telemetry;
  char host[256];
  int port;
  if (!k->metrics_address) return;
  if (parse_endpoint(k->metrics_address, host, sizeof host, &port) || port < 0) {
    diag_error(l->ds, place(l, "service.telemetry.metrics.address"), "`service.telemetry.metrics.address`: expected host:port, got `%.80s`",
      k->metrics_address);
    diag_caret(l->ds, "as in 127.0.0.1:8888");
    return;
  }
  t->metrics_host = arena_strdup(&l->config->arena, *host ? host : "0.0.0.0");
  t->metrics_port = port;
  place_metrics(l, "service.telemetry.metrics.address", "", "");
}

static void use_readers(struct config_loader *l, const struct service_keys *k, const struct yaml_node *service) {
  struct config_telemetry *t = &l->config->telemetry;
  const struct yaml_node *readers = yaml_get(yaml_get(yaml_get(service, "telemetry"), "metrics"), "readers");
  const struct reader_keys *all = k->readers.v;
  int pulled = 0;
  if (readers && readers->kind == YAML_SEQ && readers->n == 0 && t->metrics_enabled) {
    diag_error(l->ds, readers->pos, "collector telemetry metrics reader should exist when metric level is not none");
    diag_caret(l->ds, "remove the empty list, or write `level: none`");
  }
  for (size_t i = 0; i < k->readers.n; i++) {
    const char *at = arena_printf(&l->config->arena, "service.telemetry.metrics.readers[%zu]", i);
    const struct prometheus_keys *p = all[i].exporter.prometheus;
    if (all[i].periodic || (p && pulled++)) {
      diag_warn(l->ds, place(l, at), "this reader of own metrics has no effect");
      diag_caret(
        l->ds, all[i].periodic ? "pushing own metrics is not supported: scrape them" : "one Prometheus endpoint is served, the first");
    } else if (p) {
      t->metrics_host = p->host;
      t->metrics_port = (int)p->port;
      t->legacy_names = p->without_type_suffix;
      place_metrics(l, arena_printf(&l->config->arena, "%s.pull.exporter.prometheus", at), ".host", ".port");
    }
  }
}

static void use_telemetry(struct config_loader *l, const struct service_keys *k, const struct yaml_node *service) {
  struct config_telemetry *t = &l->config->telemetry;
  t->log_level = k->log_level;
  t->log_json = k->log_encoding == 1;
  t->log_output = k->log_outputs.n > 0 && *k->log_outputs.v[0] ? k->log_outputs.v[0] : "stderr";
  t->metrics_enabled = k->metrics_level != 0;
  t->metrics_host = "127.0.0.1";
  t->metrics_port = 8888;
  t->metrics_pos = place(l, "service.telemetry.metrics");
  use_address(l, k);
  use_readers(l, k, service);
  if (k->log_outputs.n > 1) {
    diag_warn(l->ds, place(l, "service.telemetry.logs.output_paths[1]"), "log lines go to one output, the first");
    diag_caret(l->ds, "this one has no effect");
  }
  no_effect(l, k->traces, "traces", "weir does not trace itself");
  no_effect(l, k->resource, "resource", "own metrics carry no resource attributes");
  no_effect(l, k->views, "metrics.views", "own metrics can not be reshaped");
}

void config_read_service(struct config_loader *l) {
  struct config *c = l->config;
  const struct yaml_node *service = yaml_get(c->root, "service"), *key = yaml_key(c->root, "service");
  struct service_keys *k = arena_zalloc(&c->arena, sizeof *k);
  struct schema_binding binding = { { service_fields, sizeof(struct weir_field) }, k };
  struct pos at = { c->root->pos.file, 0, 0, 0 };
  if (key) at = key->pos;
  schema_bind(&c->arena, l->ds, "`service`", at, service, &binding, 1);
  use_telemetry(l, k, service);
  c->lanes = (uint32_t)k->lanes;
  c->memory_limit_bytes = k->memory_limit_bytes;
  c->drain_grace_ns = k->drain_grace_ns;
  c->drain_timeout_ns = k->drain_timeout_ns;
  c->reload.watch = k->reload_watch;
  c->reload.debounce_ns = k->reload_debounce_ns;
  c->control_socket = k->control_socket;
  load_plugins(l, k->plugins);
  config_read_extensions(l, k->extensions);
  const struct yaml_node *pipelines_key = yaml_key(service, "pipelines");
  int below_service =
    !k->pipelines && (yaml_get(service, "traces") || yaml_get(service, "metrics") || yaml_get(service, "logs")); /* told */
  if (!below_service && (!service || service->kind == YAML_MAP || service->kind == YAML_NULL))
    config_read_pipelines(l, k->pipelines, pipelines_key ? pipelines_key->pos : at);
}
