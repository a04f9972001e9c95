/* Documents against a handful of made-up stage types, so that nothing is loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pipelines/config_internal.h"
#include "tests/unit/support/cost.h"

struct listen_keys {
  const struct { const char *endpoint; } * grpc;
};

static const struct weir_field endpoint_fields[] = {
  { .name = "endpoint", .type = WEIR_T_STRING, .offset = 0, .dflt = "127.0.0.1:4317", .doc = "Where to listen." },
  WEIR_FIELD_END,
};
static const struct weir_field protocol_fields[] = {
  { .name = "grpc",
    .type = WEIR_T_OPT_GROUP,
    .offset = 0,
    .group = endpoint_fields,
    .group_size = sizeof(const char *),
    .doc = "OTLP over gRPC." },
  WEIR_FIELD_END,
};
static const struct weir_field receiver_fields[] = {
  { .name = "protocols", .type = WEIR_T_GROUP, .flags = WEIR_REQUIRED, .offset = 0, .group = protocol_fields, .doc = "What to listen to." },
  WEIR_FIELD_END,
};

struct send_keys {
  const char *endpoint, *token;
  int64_t timeout_ns;
};

static const struct weir_field send_fields[] = {
  { .name = "endpoint",
    .type = WEIR_T_STRING,
    .flags = WEIR_REQUIRED,
    .offset = offsetof(struct send_keys, endpoint),
    .doc = "Where to send." },
  { .name = "token", .type = WEIR_T_STRING, .flags = WEIR_SECRET, .offset = offsetof(struct send_keys, token), .doc = "A secret." },
  WEIR_FIELD_END,
};
static const struct weir_field slow_fields[] = {
  { .name = "timeout", .type = WEIR_T_DURATION, .offset = offsetof(struct send_keys, timeout_ns), .dflt = "30s", .doc = "Its own." },
  WEIR_FIELD_END,
};
static const struct weir_field batch_fields[] = {
  { .name = "timeout", .type = WEIR_T_DURATION, .offset = 0, .dflt = "200ms", .doc = "How long." },
  WEIR_FIELD_END,
};

#define ALL (WEIR_TRACES | WEIR_METRICS | WEIR_LOGS)
#define STAGE(r, n, f, size, fl, in, out)                                                                                                  \
  {                                                                                                                                        \
    .type = {                                                                                                                              \
      .role = r,                                                                                                                           \
      .name = n,                                                                                                                           \
      .fields = f,                                                                                                                         \
      .field_size = sizeof(struct weir_field),                                                                                             \
      .config_size = size,                                                                                                                 \
      .flags = fl,                                                                                                                         \
      .signals = in,                                                                                                                       \
      .out_signals = out                                                                                                                   \
    }                                                                                                                                      \
  }

static const struct stage_entry stages[] = {
  STAGE(WEIR_RECEIVER, "otlp", receiver_fields, sizeof(struct listen_keys), 0, ALL, 0),
  STAGE(WEIR_PROCESSOR, "batch", batch_fields, sizeof(int64_t), 0, ALL, 0),
  STAGE(WEIR_PROCESSOR, "sampler", NULL, 0, 0, WEIR_TRACES, 0),
  STAGE(WEIR_EXPORTER, "otlp", send_fields, sizeof(struct send_keys), WEIR_QUEUED, ALL, 0),
  STAGE(WEIR_EXPORTER, "slow", slow_fields, sizeof(struct send_keys), WEIR_QUEUED, ALL, 0),
  STAGE(WEIR_EXPORTER, "debug", NULL, 0, 0, ALL, 0),
  STAGE(WEIR_CONNECTOR, "forward", NULL, 0, 0, ALL, 0),
  STAGE(WEIR_CONNECTOR, "counter", NULL, 0, 0, WEIR_TRACES | WEIR_LOGS, WEIR_METRICS),
  STAGE(WEIR_EXTENSION, "health_check", NULL, 0, 0, 0, 0),
};

static const struct stage_entry *find(struct registry *r, uint32_t role, const char *type, struct weir_error *err) {
  (void)r;
  for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
    if (stages[i].type.role == role && strcmp(stages[i].type.name, type) == 0) return &stages[i];
  if (strcmp(type, "broken") == 0)
    weir_fail(err, WEIR_E_INVALID, "broken.so is of another ABI"), weir_hint(err, "build it again");
  else
    weir_fail(err, WEIR_E_CONFIG, "unknown type");
  return NULL;
}

static int refuse_path(struct registry *r, const char *path, struct weir_error *err) {
  (void)r;
  weir_hint(err, "check the path");
  return weir_fail(err, WEIR_E_IO, "cannot load %s", path);
}

static const struct config_lookup lookup = { find, refuse_path, refuse_path };
static struct diags ds;
static struct config *config;

static int set_up(void **state) {
  (void)state;
  diags_init(&ds);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  config_free(config);
  config = NULL;
  diags_done(&ds);
  return 0;
}

static void load_all(const char *const *docs, size_t n, const char *const *sets, size_t n_sets) {
  static const char *const names[] = { "WEIR_TEST_DOC0", "WEIR_TEST_DOC1" };
  static const char *const uris[] = { "env:WEIR_TEST_DOC0", "env:WEIR_TEST_DOC1" };
  tear_down(NULL);
  set_up(NULL);
  for (size_t i = 0; i < n; i++) setenv(names[i], docs[i], 1);
  config = config_load_with(&lookup, NULL, &ds, uris, n, sets, n_sets);
}

static void load(const char *doc) { load_all(&doc, 1, NULL, 0); }

static void assert_clean(void) {
  if (config && ds.n_errors + ds.n_warnings == 0) return;
  char *got = diags_render(&ds);
  print_error("%s", got);
  free(got);
  fail();
}

/* Exactly these messages (in source order, as rendered), none else. */
static void assert_messages(const char *doc, const char *const *want, size_t n) {
  load(doc);
  if (n == 1 && !*want[0]) n = 0;
  char *got = diags_render(&ds), *p = got;
  for (size_t i = 0; i < n; i++) {
    char *hit = strstr(p, want[i]);
    if (!hit) print_error("for:\n%s\nwanted `%s`, got:\n%s", doc, want[i], got);
    assert_non_null(hit);
    p = hit + 1;
  }
  if (ds.n_errors + ds.n_warnings != n) print_error("%s", got);
  assert_int_equal(ds.n_errors + ds.n_warnings, n);
  free(got);
}
/* "" as the only message: none is expected. */
#define MESSAGES(doc, ...)                                                                                                                 \
  assert_messages(doc, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

#define PARTS "receivers: {otlp: {protocols: {grpc: }}}\nexporters: {debug: }\n"
#define PIPE "service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n"

static struct config_component *component(uint32_t role, const char *id) {
  for (struct config_component *c = config->components; c; c = c->next)
    if (c->role == role && strcmp(c->id, id) == 0) return c;
  return NULL;
}

static void a_whole_document(void **state) {
  (void)state;
  load(
    "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpoint: 0.0.0.0:4317\nprocessors:\n  batch/a: {timeout: 1s}\nexporters:\n  debug:\n"
    "  otlp / back :\n    endpoint: back:4317\n    timeout: 7s\n    sending_queue: {queue_size: 5, sizer: items}\n  slow:\nextensions:\n  health_check:\nservice:\n"
    "  extensions: [health_check]\n  lanes: 2\n  memory_limit: 64MiB\n  drain: {grace: 5s}\n  pipelines:\n    traces:\n      receivers: [otlp]\n"
    "      processors: [batch/a]\n      exporters: [debug, otlp/back]\n    logs/x:\n      receivers: [otlp]\n      exporters: [slow]\n      ack: delivered\n");
  assert_clean();
  const struct config_pipeline *p = config->pipelines;
  assert_string_equal(p->id, "traces");
  assert_int_equal(p->signal, WEIR_TRACES);
  assert_int_equal(p->ack_delivered, 0);
  assert_int_equal(p->n_exporters, 2);
  assert_string_equal(p->exporters[1].id, "otlp/back");
  assert_string_equal(p->next->id, "logs/x");
  assert_int_equal(p->next->ack_delivered, 1);
  assert_int_equal(p->next->n_processors, 0);
  assert_null(p->next->next);
  assert_ptr_equal(p->receivers[0].component, p->next->receivers[0].component);
  const struct listen_keys *listen = p->receivers[0].component->config;
  assert_string_equal(listen->grpc->endpoint, "0.0.0.0:4317");
  assert_int_equal(*(const int64_t *)p->processors[0].component->config, 1000000000);
  const struct config_component *back = component(WEIR_EXPORTER, "otlp/back");
  assert_int_equal(back->sender->timeout_ns, 7000000000);
  assert_int_equal(back->sender->queue.queue_size, 5);
  assert_int_equal(back->sender->queue.sizer, SIZER_ITEMS);
  assert_int_equal(back->sender->queue.num_consumers, 10);
  assert_int_equal(back->sender->retry.max_elapsed_time_ns, 300000000000);
  assert_true(back->sender->retry.multiplier > 1.49 && back->sender->retry.multiplier < 1.51);
  assert_int_equal(component(WEIR_EXPORTER, "slow")->sender->timeout_ns, 30000000000);
  assert_null(component(WEIR_EXPORTER, "debug")->sender);
  assert_int_equal(config->n_extensions, 1);
  assert_ptr_equal(config->extensions[0].component, component(WEIR_EXTENSION, "health_check"));
  assert_int_equal(config->lanes, 2);
  assert_int_equal(config->memory_limit_bytes, 64 << 20);
  assert_int_equal(config->drain_grace_ns, 5000000000);
  assert_int_equal(config->drain_timeout_ns, 10000000000);
}

static void sender_table(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  assert_int_equal(
    schema_check_table("sender", (struct schema_table){ sender_fields, sizeof *sender_fields }, sizeof(struct sender_config), &err), 0);
}

static void telemetry(void **state) {
  (void)state;
  load(PARTS PIPE);
  assert_clean();
  assert_int_equal(config->telemetry.log_level, WEIR_LOG_INFO);
  assert_int_equal(config->telemetry.metrics_enabled, 1);
  assert_string_equal(config->telemetry.metrics_host, "127.0.0.1");
  assert_int_equal(config->telemetry.metrics_port, 8888);
  assert_string_equal(config->telemetry.log_output, "stderr");
  load(PARTS
    "service:\n  telemetry:\n    logs: {level: DEBUG, encoding: json, output_paths: [stdout]}\n    metrics:\n      level: detailed\n      readers:\n"
    "        - pull: {exporter: {prometheus: {host: 0.0.0.0, port: 9999, without_type_suffix: true, without_units: true}}}\n"
    "  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}\n");
  assert_clean();
  assert_int_equal(config->telemetry.log_level, WEIR_LOG_DEBUG);
  assert_int_equal(config->telemetry.log_json, 1);
  assert_string_equal(config->telemetry.log_output, "stdout");
  assert_string_equal(config->telemetry.metrics_host, "0.0.0.0");
  assert_int_equal(config->telemetry.metrics_port, 9999);
  assert_int_equal(config->telemetry.legacy_names, 1);
  MESSAGES(PARTS "service:\n  telemetry: {metrics: {level: none, readers: []}, traces: {level: none}, resource: {}}\n"
                 "  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}\n",
    "");
}

static void telemetry_without_effect(void **state) {
  (void)state;
  load(PARTS "service:\n  telemetry:\n    metrics: {address: \":9000\", readers: [{periodic: {}}]}\n    resource: {a: b}\n"
             "  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}\n");
  assert_non_null(config);
  assert_int_equal(ds.n_warnings, 3);
  assert_string_equal(config->telemetry.metrics_host, "0.0.0.0");
  assert_int_equal(config->telemetry.metrics_port, 9000);
  MESSAGES(PARTS "service:\n  telemetry: {metrics: {readers: []}}\n  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}\n",
    "collector telemetry metrics reader should exist when metric level is not none");
}

static void several_sources(void **state) {
  (void)state;
  static const char *const docs[] = { PARTS "processors: {batch: {timeout: 1s}}\n" PIPE,
    "processors: {batch: }\nexporters: {otlp: {endpoint: x}}\nservice: {pipelines: {traces: {processors: [batch], exporters: [otlp]}}}\n" };
  static const char *const sets[] = { "exporters.otlp.endpoint=y:1", "service.lanes=3", "exporters.otlp.sending_queue={queue_size: 9}" };
  load_all(docs, 2, sets, 3);
  assert_int_equal(ds.n_errors, 0);
  assert_int_equal(ds.n_warnings, 1);                                                        /* debug is not used any more: lists replace */
  assert_int_equal(*(const int64_t *)component(WEIR_PROCESSOR, "batch")->config, 200000000); /* null erased the 1s */
  assert_string_equal(((const struct send_keys *)component(WEIR_EXPORTER, "otlp")->config)->endpoint, "y:1");
  assert_int_equal(component(WEIR_EXPORTER, "otlp")->sender->queue.queue_size, 9);
  assert_int_equal(config->lanes, 3);
}

static void bad_sets(void **state) {
  (void)state;
  static const char *const doc = PARTS PIPE;
  static const char *const sets[] = { "service.lanes", "=x", "a..b=1", "service.lanes=many", "service.lanes=[" };
  load_all(&doc, 1, sets, 5);
  char *got = diags_render(&ds);
  assert_non_null(strstr(got, "--set: missing equal sign"));
  assert_non_null(strstr(got, "--set has no key before the `=`"));
  assert_non_null(strstr(got, "a part of the key is empty"));
  assert_non_null(strstr(got, "1 | service.lanes=[\n"));
  free(got);
  load_all(&doc, 1, sets + 3, 1);
  assert_int_equal(ds.n_errors, 1);
  assert_int_equal(ds.first->pos.col, 15);
}

static void kinds_of_sources(void **state) {
  (void)state;
  const char *uris[] = { "yaml:" PARTS, "yaml:service::pipelines::traces: {receivers: [otlp], exporters: [debug]}" };
  config = config_load_with(&lookup, NULL, &ds, uris, 2, NULL, 0);
  assert_clean();
  tear_down(NULL);
  set_up(NULL);
  const char *bad[] = { "/nonexistent/weir.yaml", "env:WEIR_TEST_NOT_SET", "https://x/y", "/tmp", "" };
  config = config_load_with(&lookup, NULL, &ds, bad, 5, NULL, 0);
  assert_null(config);
  char *got = diags_render(&ds);
  assert_non_null(strstr(got, "cannot open /nonexistent/weir.yaml: No such file or directory"));
  assert_non_null(strstr(got, "the environment variable `WEIR_TEST_NOT_SET` is not set"));
  assert_non_null(strstr(got, "scheme \"https\" is not supported"));
  assert_non_null(strstr(got, "/tmp is a directory"));
  assert_non_null(strstr(got, "--config needs a file name"));
  assert_int_equal(ds.n_errors, 5);
  free(got);
}

static void ids(void **state) {
  (void)state;
  MESSAGES(
    "receivers: {otlp: {protocols: }, \"otlp/\": , /x: , 1x: , a-b: , \"otlp/a b\": , \"otlp/a$\": , \"otlp /\": }\nexporters: {debug: }\n" PIPE,
    "in `otlp/` id: the part after / should not be empty", "in `/x` id: the part before / should not be empty",
    "in `1x` id: invalid character(s) in type", "in `a-b` id: invalid character(s) in type",
    "in `otlp/a b` id: invalid character(s) in name", "in `otlp/a$` id: invalid character(s) in name",
    "in `otlp /` id: the part after / should not be empty");
  MESSAGES("receivers: {otlp: {protocols: }, \" otlp\": }\nexporters: {debug: }\n" PIPE, "duplicate ID \"otlp\" in receivers");
  MESSAGES(PARTS "connectors: {otlp: , debug: }\n" PIPE,
    "connectors::otlp: ambiguous ID: Found both \"otlp\" receiver and \"otlp\" connector.",
    "connectors::debug: ambiguous ID: Found both \"debug\" exporter and \"debug\" connector.");
}

static void references(void **state) {
  (void)state;
  MESSAGES(PARTS
    "service: {extensions: [health], pipelines: {traces: {receivers: [oltp], processors: [batch], exporters: [debug, otlp]}}}\n",
    "service::extensions: references extension \"health\" which is not configured",
    "service::pipelines::traces: references receiver \"oltp\" which is not configured",
    "service::pipelines::traces: references processor \"batch\" which is not configured",
    "service::pipelines::traces: references exporter \"otlp\" which is not configured");
  MESSAGES(PARTS
    "processors: {batch: }\nservice: {pipelines: {traces: {receivers: [otlp], processors: [batch, batch], exporters: [debug]}}}\n",
    "service::pipelines::traces: references processor \"batch\" multiple times");
  MESSAGES(PARTS "service: {pipelines: {traces: {receivers: [otlp]}, logs: {exporters: [debug]}, metrics: }}\n",
    "service::pipelines::traces: must have at least one exporter", "service::pipelines::logs: must have at least one receiver",
    "service::pipelines::metrics: must have at least one receiver", "service::pipelines::metrics: must have at least one exporter");
  MESSAGES(PARTS "service: {pipelines: {traces: {receivers: otlp, exporters: \"debug\"}}}\n", "");
}

static void structure(void **state) {
  (void)state;
  MESSAGES("service: {}\n", "no receiver configuration specified in config", "no exporter configuration specified in config",
    "service must have at least one pipeline");
  MESSAGES(PARTS, "service must have at least one pipeline");
  MESSAGES(PARTS "service: {pipelines: {trace: {receivers: [otlp], exporters: [debug]}}}\n",
    "service::pipelines: unknown signal \"trace\" in pipeline \"trace\"");
  MESSAGES(PARTS "service: {pipelines: {profiles: {receivers: [otlp], exporters: [debug]}}}\n", "pipelines of profiles are not supported");
  MESSAGES("receiver: {otlp: {protocols: }}\nexporters: {debug: }\n" PIPE, "unknown section `receiver` in the configuration");
  MESSAGES(PARTS "pipelines: {traces: {receivers: [otlp], exporters: [debug]}}\n", "unknown section `pipelines` in the configuration");
  MESSAGES(
    "receivers: {otlp: {protocols: }}\nexporters:\n  debug:\n  service:\n    pipelines: {traces: {receivers: [otlp], exporters: [debug]}}\n",
    "the section `service` stands below `exporters`");
  MESSAGES(PARTS "service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}, \"traces \": {receivers: [otlp], exporters: [debug]}}}\n",
    "duplicate pipeline \"traces\"");
  MESSAGES("- a\n", "a configuration is a mapping of sections, got a list");
  MESSAGES("receivers: [otlp]\nexporters: {debug: }\n" PIPE, "`receivers` must be a mapping of ids to their settings, got a list");
  MESSAGES("receivers:\n  otlp:\n  protocols:\n    grpc:\nexporters: {debug: }\n" PIPE, "`protocols` stands beside `otlp`, not below it");
}

static void unused(void **state) {
  (void)state;
  load("receivers: {otlp: {protocols: }, nosuch: {any: 1}}\nexporters: {debug: }\nextensions: {health_check: }\n" PIPE);
  assert_non_null(config);
  assert_int_equal(ds.n_warnings, 2);
  assert_null(component(WEIR_RECEIVER, "nosuch")->entry);
  assert_int_equal(component(WEIR_RECEIVER, "nosuch")->used, 0);
}

static void stages_that_can_not_be_had(void **state) {
  (void)state;
  MESSAGES(
    "receivers: {batch: , broken: }\nexporters: {debug: }\nservice: {pipelines: {traces: {receivers: [batch, broken], exporters: [debug]}}}\n",
    "receivers: unknown type: \"batch\" for id: \"batch\"", "receiver `broken`: broken.so is of another ABI");
  MESSAGES(PARTS "service: {plugins: [/x.so], pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n", "cannot load /x.so");
}

static void signals(void **state) {
  (void)state;
  MESSAGES(PARTS "processors: {sampler: }\nservice: {pipelines: {logs: {receivers: [otlp], processors: [sampler], exporters: [debug]}}}\n",
    "processor `sampler` does not support logs");
  load(PARTS "connectors: {counter: , forward: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [counter, forward]}, "
             "traces/2: {receivers: [forward], exporters: [debug]}, metrics: {receivers: [counter], exporters: [debug]}}}\n");
  assert_clean();
  MESSAGES(PARTS "connectors: {forward: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug, forward]}}}\n",
    "connector \"forward\" used as exporter in [traces] pipeline but not used in any supported receiver pipeline");
  MESSAGES(PARTS "connectors: {forward: }\nservice: {pipelines: {traces: {receivers: [otlp, forward], exporters: [debug]}}}\n",
    "connector \"forward\" used as receiver in [traces] pipeline but not used in any supported exporter pipeline");
  MESSAGES(PARTS
    "connectors: {forward: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [forward]}, logs: {receivers: [forward], exporters: [debug]}}}\n",
    "connector \"forward\" used as exporter in [traces] pipeline", "connector \"forward\" used as receiver in [logs] pipeline");
  MESSAGES(PARTS
    "connectors: {counter: }\nservice: {pipelines: {metrics: {receivers: [otlp], exporters: [counter]}, metrics/2: {receivers: [counter], exporters: [debug]}}}\n",
    "connector `counter` does not support metrics", "connector \"counter\" used as receiver in [metrics/2] pipeline");
}

static int stored(const char *id) {
  const struct config_pipeline *p = config->pipelines;
  while (strcmp(p->id, id) != 0) p = p->next;
  return p->stored;
}

/* A stage that holds may not answer for what a disk is to have: only when all that leaves the pipeline goes through one. */
static void pipelines_whose_exporters_all_have_storage(void **state) {
  (void)state;
  load("receivers: {otlp: {protocols: {grpc: }}}\nexporters: {otlp: {endpoint: x, sending_queue: {storage: s}}, otlp/off: {endpoint: x, sending_queue: {enabled: false, storage: s}}, debug: }\n"
       "connectors: {forward/disk: , forward/both: , forward/round: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [otlp]}, traces/both: {receivers: [otlp, "
       "forward/both], exporters: [otlp, debug]}, traces/off: {receivers: [otlp], exporters: [otlp/off]}, traces/to: {receivers: [otlp], exporters: [forward/disk]}, traces/disk: "
       "{receivers: [forward/disk], exporters: [otlp]}, traces/to_both: {receivers: [otlp], exporters: [otlp, forward/both]}}}\n");
  assert_int_equal(stored("traces"), 1);
  assert_int_equal(stored("traces/both"), 0);
  assert_int_equal(stored("traces/off"), 0);
  assert_int_equal(stored("traces/to"), 1);
  assert_int_equal(stored("traces/disk"), 1);
  assert_int_equal(stored("traces/to_both"), 0);
}

static void a_queue_on_disk_does_not_wait_for_results(void **state) {
  (void)state;
  MESSAGES("receivers: {otlp: {protocols: }}\nexporters: {otlp: {endpoint: x, sending_queue: {storage: file_storage, wait_for_result: true}}}\n"
           "service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp]}}}\n",
    "`wait_for_result` is not supported with a persistent queue configured with `storage`");
}

#define QUEUE(keys)                                                                                              \
  "receivers: {otlp: {protocols: {grpc: }}}\nexporters: {otlp: {endpoint: x, sending_queue: {" keys "}}}\n" \
  "service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp]}}}\n"

static const struct sender_config *queue_of(const char *doc) {
  load(doc);
  assert_clean();
  return component(WEIR_EXPORTER, "otlp")->sender;
}

static void batches_of_the_queue(void **state) {
  (void)state;
  assert_null(queue_of(QUEUE(""))->queue.batch);
  const struct sender_config *c = queue_of(QUEUE("batch: {}"));
  assert_int_equal(c->queue.batch->flush_timeout_ns, 200000000);
  assert_int_equal(c->queue.batch->min_size, 8192);
  assert_int_equal(c->queue.batch->max_size, 0);
  assert_int_equal(sender_batch_sizer(c), SIZER_ITEMS);
  assert_int_equal(c->queue.batch->metadata_keys.n, 0);
  assert_int_equal(c->queue.batch->cache_size, 10000);
  assert_int_equal(sender_batch_sizer(queue_of(QUEUE("sizer: bytes, queue_size: 10000, batch: {min_size: 10}"))), SIZER_BYTES);
  assert_int_equal(sender_batch_sizer(queue_of(QUEUE("sizer: bytes, batch: {sizer: items}"))), SIZER_ITEMS);
  assert_int_equal(sender_batch_sizer(queue_of(QUEUE("batch: {sizer: bytes}"))), SIZER_BYTES);
  MESSAGES(QUEUE("batch: {min_size: 10, max_size: 9}"), "`sending_queue.batch.max_size` of exporter `otlp`: it must be greater or equal to min_size (10)");
  MESSAGES(QUEUE("sizer: items, batch: {}"), "min_size (8192) must be less than or equal to queue_size (1000), as both count items");
  c = queue_of(QUEUE("batch: {partition: {metadata_keys: [X-Tenant, zone], cache_size: 5}}"));
  assert_int_equal(c->queue.batch->metadata_keys.n, 2);
  assert_int_equal(c->queue.batch->cache_size, 5);
  MESSAGES(QUEUE("batch: {partition: {metadata_keys: [tenant, zone, Tenant]}}"),
    "`sending_queue.batch.partition.metadata_keys` of exporter `otlp`: duplicate entry in metadata_keys: \"Tenant\" (case-insensitive)");
  MESSAGES(QUEUE("batch: {partition: {cache_size: 0}}"), "sending_queue.batch.partition.cache_size");
  MESSAGES(QUEUE("batch: {flush_timeout: 0s}"), "sending_queue.batch.flush_timeout");
  MESSAGES(QUEUE("batch: {min_size: -1}"), "sending_queue.batch.min_size");
  MESSAGES(QUEUE("batch: {sizer: requests}"), "expected one of items, bytes");
}

static void places_survive_merge_and_expansion(void **state) {
  (void)state;
  static const char *const docs[] = { PARTS
    "processors:\n  batch: {timeout: 1s}\n"
    "service: {pipelines: {traces: {receivers: [otlp], processors: [batch], exporters: [debug]}}}\n",
    "\nprocessors:\n  batch:\n    timeout: ${env:WEIR_TEST_APPLES}\n" };
  setenv("WEIR_TEST_APPLES", "5 apples", 1);
  load_all(docs, 2, NULL, 0);
  assert_null(config);
  char *got = diags_render(&ds);
  assert_string_equal(got,
    "error: `timeout` of processor `batch`: expected a duration such as 200ms, got `5 apples`\n --> env:WEIR_TEST_DOC1:4:14\n  |\n"
    "4 |     timeout: ${env:WEIR_TEST_APPLES}\n  |              ^^^^^^^^^^^^^^^^^^^^^^^ gives `5 apples`\n"
    "  = timeout (duration, default 200ms): How long.\n  = all its keys: weir doc processor/batch\n1 error\n");
  free(got);
}

static void load_a_large_document(void *arg, size_t n_ids) {
  (void)arg;
  char *doc = malloc(3 << 20);
  size_t n = 0;
  assert_non_null(doc);
  n += (size_t)snprintf(doc + n, 64, "receivers:\n");
  for (size_t i = 0; i < n_ids; i++) n += (size_t)snprintf(doc + n, 64, "  otlp/%zu: {protocols: }\n", i);
  n += (size_t)snprintf(doc + n, 128, "exporters: {debug: }\nservice: {pipelines: {traces: {receivers: [");
  for (size_t i = 0; i < n_ids; i++) n += (size_t)snprintf(doc + n, 64, "otlp/%zu, otpl/%zu, ", i, i);
  n += (size_t)snprintf(doc + n, 64, "], exporters: [debug]}}}\n");
  char path[] = "/tmp/weir-test-XXXXXX";
  int fd = mkstemp(path);
  FILE *f = fdopen(fd, "w");
  assert_int_equal(fwrite(doc, 1, n, f), n);
  fclose(f);
  free(doc);
  const char *uri = path;
  tear_down(NULL);
  set_up(NULL);
  config = config_load_with(&lookup, NULL, &ds, &uri, 1, NULL, 0);
  remove(path);
  assert_null(config);
  assert_int_equal(ds.n_errors, n_ids);
}

/* 2,250 and 9,000 ids, each of which is looked up, and as many that are not there, for each of which the nearest is sought. */
static void large_documents_cost_in_proportion(void **state) {
  (void)state;
  assert_cost_in_proportion(load_a_large_document, NULL, 2250);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
  const struct CMUnitTest tests[] = { T(a_whole_document), T(sender_table), T(telemetry), T(telemetry_without_effect), T(several_sources),
    T(bad_sets), T(kinds_of_sources), T(ids), T(references), T(structure), T(unused), T(stages_that_can_not_be_had), T(signals),
    T(pipelines_whose_exporters_all_have_storage), T(a_queue_on_disk_does_not_wait_for_results), T(batches_of_the_queue), T(places_survive_merge_and_expansion), T(large_documents_cost_in_proportion) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
