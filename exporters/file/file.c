/*
 * The file exporter: appends what arrives to a file, as OTLP/JSON lines or as protobuf messages with their length before them.
 *
 *   exporters:
 *     file: {path: /var/log/otel/data.json, rotation: {max_megabytes: 100, max_backups: 10}}
 *
 * Keys and defaults are the Collector's (contrib, exporter/fileexporter). A batch is one line, written before it is answered: what a sender heard of as taken
 * is with the kernel. There is one instance per signal on one lane, so lines never mix.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/http.h>
#include <weir/metrics.h>
#include <weir/otlp.h>
#include <weir/stage.h>

#include "output.h"

#define JSON 0
#define NONE 0

struct group_config {
  int32_t enabled;
  const char *resource_attribute;
  uint64_t max_open_files;
};

struct file_config {
  const char *path, *encoding, *directory_permissions;
  int32_t format, append, compression, create_directory;
  int64_t flush_interval;
  const struct rotation_config *rotation;
  struct group_config group_by;
};

static const struct weir_field rotation_fields[] = {
  { "max_megabytes", WEIR_T_UINT, 0, offsetof(struct rotation_config, max_megabytes), "100", "0", "1048576", NULL, "MiB",
    "A message that would make the file larger goes to a new one; the old one is renamed to name-TIME.ext. 0 = 100.", NULL, 0 },
  { "max_days", WEIR_T_UINT, 0, offsetof(struct rotation_config, max_days), "0", "0", "36500", NULL, "days",
    "Renamed files older than this are removed at the next rotation; 0 = kept.", NULL, 0 },
  { "max_backups", WEIR_T_UINT, 0, offsetof(struct rotation_config, max_backups), "100", "0", NULL, NULL, "files", "How many renamed files are kept; 0 = all.", NULL, 0 },
  { "localtime", WEIR_T_BOOL, 0, offsetof(struct rotation_config, localtime), "false", NULL, NULL, NULL, NULL, "Whether the time in the name is local; else it is UTC.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field group_fields[] = {
  { "enabled", WEIR_T_BOOL, 0, offsetof(struct file_config, group_by.enabled), "false", NULL, NULL, NULL, NULL, "true is an error in this version.", NULL, 0 },
  { "resource_attribute", WEIR_T_STRING, 0, offsetof(struct file_config, group_by.resource_attribute), "fileexporter.path_segment", NULL, NULL, NULL, NULL,
    "For group_by, which is not in this version.", NULL, 0 },
  { "max_open_files", WEIR_T_UINT, 0, offsetof(struct file_config, group_by.max_open_files), "100", NULL, NULL, NULL, "files", "For group_by, which is not in this version.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field fields[] = {
  { "path", WEIR_T_STRING, WEIR_REQUIRED | WEIR_NONEMPTY, offsetof(struct file_config, path), NULL, NULL, NULL, NULL, NULL,
    "The file. Signals may share it: each line says which one it is of. Without append and rotation it is emptied at the start.", NULL, 0 },
  { "format", WEIR_T_ENUM, 0, offsetof(struct file_config, format), "json", NULL, NULL, "json|proto", NULL,
    "json: an OTLP/JSON export request on each line. proto: export requests as protobuf, each behind its length (4 bytes, big endian).", NULL, 0 },
  { "append", WEIR_T_BOOL, 0, offsetof(struct file_config, append), "false", NULL, NULL, NULL, NULL, "Whether what the file holds at the start is kept.", NULL, 0 },
  { "rotation", WEIR_T_OPT_GROUP, 0, offsetof(struct file_config, rotation), NULL, NULL, NULL, NULL, NULL,
    "When to begin a new file; absent = never. With rotation the file is appended to.", rotation_fields, sizeof(struct rotation_config) },
  { "compression", WEIR_T_ENUM, 0, offsetof(struct file_config, compression), "none", NULL, NULL, "none|zstd", NULL, "none. zstd is not in this version yet.", NULL, 0 },
  { "flush_interval", WEIR_T_DURATION, 0, offsetof(struct file_config, flush_interval), "1s", "0", NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: a batch is written before it is answered.", NULL, 0 },
  { "create_directory", WEIR_T_BOOL, 0, offsetof(struct file_config, create_directory), "false", NULL, NULL, NULL, NULL, "Whether missing directories above the file are made.", NULL, 0 },
  { "directory_permissions", WEIR_T_STRING, 0, offsetof(struct file_config, directory_permissions), NULL, NULL, NULL, NULL, NULL,
    "Of the directories that create_directory makes, octal, less the umask; absent = \"0755\".", NULL, 0 },
  { "encoding", WEIR_T_STRING, 0, offsetof(struct file_config, encoding), NULL, NULL, NULL, NULL, NULL, "Encoding extensions are not in this version: setting it is an error.", NULL, 0 },
  { "group_by", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "A file per value of a resource attribute: not in this version.", group_fields, 0 },
  WEIR_FIELD_END,
};

struct exporter {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct file_config *cfg;
  const struct weir_otlp_service *otlp;
  const struct weir_http_service *http; /* body_free */
  const struct weir_metrics_service *metrics;
  struct weir_cell *written, *errors, *rotations;
  struct output out;
  struct weir_iov *iov; /* room for a message's pieces and its length */
  size_t cap_iov;
};

/* --- a batch ---------------------------------------------------------------------------------------------------------------- */

static int room_for(struct exporter *e, size_t n, struct weir_error *err) {
  if (n <= e->cap_iov) return 0;
  struct weir_iov *grown = realloc(e->iov, n * 2 * sizeof *grown);
  if (!grown) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->iov = grown;
  e->cap_iov = n * 2;
  return 0;
}

static int put(struct exporter *e, size_t n, uint64_t bytes, struct weir_error *err) {
  uint64_t before = e->out.rotations;
  int r = output_write(&e->out, e->iov, n, bytes, e->host->now_unix_ns(), err);
  if (r) e->metrics->add(e->errors, 1);
  else e->metrics->add(e->written, (int64_t)bytes);
  e->metrics->add(e->rotations, (int64_t)(e->out.rotations - before));
  return r;
}

static int put_json(struct exporter *e, struct weir_batch *batch, struct weir_error *err) {
  struct weir_body *line;
  int r = e->otlp->encode_json(e->stage, batch, &line, err);
  if (r) return r;
  e->iov[0] = (struct weir_iov){ line->p, line->n };
  e->iov[1] = (struct weir_iov){ "\n", 1 };
  r = put(e, 2, line->n + 1, err);
  e->http->body_free(line);
  return r;
}

static int put_proto(struct exporter *e, struct weir_batch *batch, struct weir_error *err) {
  const struct weir_iov *iov;
  size_t n, bytes;
  int r = e->otlp->encode(batch, &iov, &n, &bytes, err);
  if (r || (r = room_for(e, n + 1, err))) return r;
  unsigned char length[4] = { (unsigned char)(bytes >> 24), (unsigned char)(bytes >> 16), (unsigned char)(bytes >> 8), (unsigned char)bytes };
  e->iov[0] = (struct weir_iov){ length, 4 };
  memcpy(e->iov + 1, iov, n * sizeof *iov);
  return put(e, n + 1, bytes + 4, err);
}

static void file_consume(void *self, struct weir_batch *batch) {
  struct exporter *e = self;
  struct weir_error err;
  struct weir_verdict v = { .code = WEIR_DELIVERED };
  err.msg[0] = 0;
  int r = e->cfg->format == JSON ? put_json(e, batch, &err) : put_proto(e, batch, &err);
  if (r) {
    v.code = r == WEIR_E_IO || r == WEIR_E_NOMEM ? WEIR_RETRY : WEIR_REJECTED;
    v.msg = err.msg;
    e->host->log(e->stage, WEIR_LOG_ERROR, "%s; %s", err.msg, v.code == WEIR_RETRY ? "the sender is told to try again" : "the batch is refused");
  }
  e->host->done(e->stage, batch, &v);
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static int read_mode(const char *text, mode_t *ret) {
  char *end;
  long v = strtol(text ? text : "0755", &end, 8);
  *ret = (mode_t)v;
  return *end || v < 0 || v > 0777 ? -1 : 0;
}

static int check(const struct file_config *cfg, struct weir_error *err) {
  mode_t mode;
  if (cfg->append && cfg->rotation) {
    weir_fail_field(err, "append", "append and rotation enabled at the same time is not supported");
    weir_hint(err, "remove append: a file that is rotated is appended to");
    return WEIR_E_CONFIG;
  }
  if (cfg->compression != NONE) {
    weir_fail_field(err, "compression", "zstd is not in this version yet");
    weir_hint(err, "remove compression");
    return WEIR_E_CONFIG;
  }
  if (cfg->encoding) return weir_fail_field(err, "encoding", "encoding extensions are not in this version");
  if (cfg->group_by.enabled) return weir_fail_field(err, "group_by.enabled", "group_by is not in this version");
  if (cfg->directory_permissions && !cfg->create_directory)
    return weir_fail_field(err, "directory_permissions", "directory_permissions requires create_directory to be true");
  if (read_mode(cfg->directory_permissions, &mode)) {
    weir_fail_field(err, "directory_permissions", "`%s` is no octal mode", cfg->directory_permissions);
    weir_hint(err, "write \"0755\", in quotes");
    return WEIR_E_CONFIG;
  }
  return 0;
}

static void file_close(void *self) {
  struct exporter *e = self;
  if (!e) return;
  output_close(&e->out);
  free(e->iov);
  free(e);
}

static void make_cells(struct exporter *e) {
  static const char *const signals[] = { "traces", "metrics", "logs" };
  char labels[256];
  uint32_t s = e->host->stage_signal(e->stage);
  snprintf(labels, sizeof labels, "exporter=\"%s\",signal=\"%s\"", e->host->stage_id(e->stage), signals[s == WEIR_TRACES ? 0 : s == WEIR_METRICS ? 1 : 2]);
  e->written = e->metrics->counter(e->stage, "weir_exporter_file_written_bytes_total", labels, "Bytes written to the file.");
  e->errors = e->metrics->counter(e->stage, "weir_exporter_file_write_errors_total", labels, "Batches that could not be written; their senders were told to try again.");
  e->rotations = e->metrics->counter(e->stage, "weir_exporter_file_rotations_total", labels, "Files that were renamed because they were full.");
}

static void hint_at_directory(const struct file_config *cfg, struct weir_error *err) {
  weir_hint(err, "its directory must be there and writable%s", cfg->create_directory ? "" : "; create_directory: true makes it");
}

static int file_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct file_config *cfg = config;
  int r = check(cfg, err);
  if (r) return r;
  if ((r = output_check(cfg->path, cfg->create_directory, err))) {
    if (!*err->hint) hint_at_directory(cfg, err);
    return r;
  }
  struct exporter *e = calloc(1, sizeof *e);
  if (!e) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->host = host;
  e->stage = stage;
  e->cfg = cfg;
  e->out = (struct output){ e->cfg->path, e->cfg->rotation, -1, 0 };
  e->otlp = host->service(stage, WEIR_OTLP_SERVICE);
  e->http = host->service(stage, WEIR_HTTP_SERVICE);
  e->metrics = host->service(stage, WEIR_METRICS_SERVICE);
  r = e->otlp && e->http && e->metrics ? room_for(e, 4, err) : weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that the file exporter needs");
  if (r) {
    file_close(e);
    return r;
  }
  make_cells(e);
  *ret_self = e;
  return 0;
}

/* Here, not in open: to look at a configuration empties no file. */
static int file_start(void *self, struct weir_error *err) {
  struct exporter *e = self;
  mode_t mode;
  int r = 0;
  read_mode(e->cfg->directory_permissions, &mode);
  if (e->cfg->create_directory && (r = output_make_directory(e->cfg->path, mode, err))) return r;
  r = output_open(&e->out, !e->cfg->append && !e->cfg->rotation, err);
  if (r) {
    snprintf(err->field, sizeof err->field, "path");
    hint_at_directory(e->cfg, err);
  }
  return r;
}

static int file_need(void *self) {
  const struct exporter *e = self;
  return e->cfg->format == JSON ? WEIR_NEED_RECORDS : WEIR_NEED_COUNTS;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .flags = WEIR_ONE_LANE,
  .name = "file",
  .doc = "Appends traces, metrics and logs to a file, as OTLP/JSON lines or protobuf messages. A batch is one line. It is written on the lane before it is "
         "answered, without fsync: a crash of the process loses nothing, one of the machine may. A disk that is slow slows the lane: use a local one. What "
         "can not be written (a full disk) is cut off again, counted, and answered so that the sender tries again.",
  .example_yaml = "path: ./data.json\nrotation:\n  max_megabytes: 10\n  max_backups: 5\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct file_config),
  .open = file_open,
  .start = file_start,
  .consume = file_consume,
  .close = file_close,
  .need = file_need,
};

WEIR_PLUGIN("file exporter", "0.1.0", "Apache-2.0", &type);
