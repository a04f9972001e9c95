/*
 * The file_storage extension: where exporters keep queues on disk, and how. It is only settings and their checks: the host opens the queues.
 *
 *   extensions:
 *     file_storage: {directory: /var/lib/weir/queues, create_directory: true}
 *   exporters:
 *     otlp: {endpoint: tempo:4317, sending_queue: {storage: file_storage}}
 */
#include <stdlib.h>
#include <string.h>

#include <weir/stage.h>
#include <weir/storage.h>

#define MODE_BITS 07777u

struct compaction_config {
  int32_t on_start, on_rebound, cleanup_on_start;
  const char *directory;
  int64_t max_transaction_size, needed_mib, trigger_mib, check_interval_ns;
};

struct storage_config {
  const char *directory, *permissions;
  int32_t create_directory, sync, recreate;
  int32_t fsync; /* -1 not given */
  uint64_t max_size, segment_size;
  int64_t timeout_ns, sync_interval_ns;
  struct compaction_config compaction;
};

#define S(member) offsetof(struct storage_config, member)
#define WITHOUT "Accepted and without effect: "

static const struct weir_field compaction_fields[] = {
  { .name = "on_start", .type = WEIR_T_BOOL, .offset = S(compaction.on_start), .dflt = "false", .doc = WITHOUT "space is given back by whole files." },
  { .name = "on_rebound", .type = WEIR_T_BOOL, .offset = S(compaction.on_rebound), .dflt = "false", .doc = WITHOUT "as on_start." },
  { .name = "directory", .type = WEIR_T_STRING, .offset = S(compaction.directory), .doc = WITHOUT "nothing is copied." },
  { .name = "max_transaction_size", .type = WEIR_T_INT, .offset = S(compaction.max_transaction_size), .dflt = "65536", .min = "0", .doc = WITHOUT "as on_start." },
  { .name = "rebound_needed_threshold_mib", .type = WEIR_T_INT, .offset = S(compaction.needed_mib), .dflt = "100", .min = "0", .doc = WITHOUT "as on_start." },
  { .name = "rebound_trigger_threshold_mib", .type = WEIR_T_INT, .offset = S(compaction.trigger_mib), .dflt = "10", .min = "0", .doc = WITHOUT "as on_start." },
  { .name = "check_interval", .type = WEIR_T_DURATION, .offset = S(compaction.check_interval_ns), .dflt = "5s", .min = "0", .doc = WITHOUT "as on_start." },
  { .name = "cleanup_on_start", .type = WEIR_T_BOOL, .offset = S(compaction.cleanup_on_start), .dflt = "false", .doc = WITHOUT "there are no temporary files." },
  WEIR_FIELD_END,
};

static const struct weir_field fields[] = {
  { .name = "directory",
    .type = WEIR_T_STRING,
    .flags = WEIR_NONEMPTY,
    .offset = S(directory),
    .dflt = "/var/lib/otelcol/file_storage",
    .doc = "Where the queues stand: each has a directory of its own below it, named after its exporter and signal. One process at a time uses a queue." },
  { .name = "create_directory",
    .type = WEIR_T_BOOL,
    .offset = S(create_directory),
    .dflt = "false",
    .doc = "Make the directory, and those above it, when they are missing. Otherwise a missing directory is an error at start." },
  { .name = "directory_permissions",
    .type = WEIR_T_STRING,
    .flags = WEIR_NONEMPTY,
    .offset = S(permissions),
    .dflt = "0750",
    .doc = "The mode of a directory that create_directory makes, in octal. The queues' own directories are always 0700, their files 0600." },
  { .name = "max_size",
    .type = WEIR_T_BYTES,
    .offset = S(max_size),
    .dflt = "1GiB",
    .min = "1MiB",
    .doc = "The most that one queue takes on disk, beside the queue_size of its exporter. The Collector's has no such limit." },
  { .name = "sync",
    .type = WEIR_T_ENUM,
    .offset = S(sync),
    .choices = "always|interval|os",
    .doc = "When what was written is forced to the disk. always (default): before it is acknowledged, many requests at a time; survives power loss. interval: every sync_interval. os: when "
           "the system likes. All three survive kill -9 of the process." },
  { .name = "sync_interval", .type = WEIR_T_DURATION, .offset = S(sync_interval_ns), .dflt = "200ms", .min = "1ms", .max = "1h", .doc = "For sync: interval." },
  { .name = "segment_size",
    .type = WEIR_T_BYTES,
    .offset = S(segment_size),
    .dflt = "16MiB",
    .min = "64KiB",
    .max = "1GiB",
    .doc = "A queue's files have this size: space is given back when all of a file has been sent. At most a quarter of max_size is taken." },
  { .name = "fsync",
    .type = WEIR_T_ENUM,
    .offset = S(fsync),
    .choices = "false|true",
    .doc = "The Collector's word for sync: true is always, false is os. Default: what sync says; here that is safe." },
  { .name = "timeout", .type = WEIR_T_DURATION, .offset = S(timeout_ns), .dflt = "1s", .min = "0", .doc = WITHOUT "a queue that another process has is refused at once." },
  { .name = "recreate", .type = WEIR_T_BOOL, .offset = S(recreate), .dflt = "false", .doc = WITHOUT "damage costs the damaged records only, and never the start." },
  { .name = "compaction", .type = WEIR_T_GROUP, .offset = 0, .doc = WITHOUT "a queue gives its space back as it is sent.", .group = compaction_fields },
  WEIR_FIELD_END,
};

struct storage {
  struct weir_storage_settings settings;
};

static int check_mode(const struct storage_config *c, uint32_t *ret, struct weir_error *err) {
  char *end;
  unsigned long mode = strtoul(c->permissions, &end, 8);
  *ret = (uint32_t)mode;
  if (*c->permissions >= '0' && *c->permissions <= '7' && !*end && mode <= MODE_BITS && (mode & 0700u) == 0700u) return 0;
  weir_fail_field(err, "directory_permissions", "`%s` is no mode that lets the owner in", c->permissions);
  weir_hint(err, "write octal digits, as \"0750\"");
  return err->code;
}

static int check(const struct storage_config *c, struct weir_error *err) {
  if (c->directory[0] != '/') {
    weir_fail_field(err, "directory", "`%s` is no absolute path", c->directory);
    weir_hint(err, "begin it with /: a queue must be found again from wherever weir is started");
  } else if (c->fsync >= 0 && c->sync >= 0) {
    weir_fail_field(err, "fsync", "fsync and sync say the same thing");
    weir_hint(err, "leave fsync out");
  } else {
    return 0;
  }
  return err->code;
}

static int storage_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct storage_config *c = config;
  struct weir_storage_settings s = { .size = sizeof s, .directory = c->directory, .max_bytes = c->max_size, .segment_bytes = c->segment_size,
    .sync_interval_ns = c->sync_interval_ns };
  (void)host, (void)stage;
  int code = check(c, err);
  if (!code) code = check_mode(c, &s.directory_mode, err);
  if (code) return code;
  struct storage *self = malloc(sizeof *self);
  if (!self) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  s.flags = c->create_directory ? WEIR_STORAGE_CREATE : 0u;
  s.sync = c->sync >= 0 ? (uint32_t)c->sync : c->fsync == 0 ? WEIR_SYNC_OS : WEIR_SYNC_ALWAYS;
  self->settings = s;
  *ret_self = self;
  return 0;
}

static const struct weir_storage_settings *settings_of(void *self) { return &((struct storage *)self)->settings; }

static const struct weir_storage table = { sizeof table, 0, settings_of };

static const void *storage_offer(void *self, const char *id) {
  (void)self;
  return strcmp(id, WEIR_STORAGE_SERVICE) ? NULL : &table;
}

static void storage_close(void *self) { free(self); }

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXTENSION,
  .name = "file_storage",
  .doc = "Queues on disk: an exporter with `sending_queue: {storage: file_storage}` loses nothing that it acknowledged, not by kill -9 nor by power loss. Also the place of dead letters "
         "(`sending_queue: {dead_letter: file_storage}`).",
  .example_yaml = "directory: /var/lib/weir/queues\ncreate_directory: true\nmax_size: 4GiB\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct storage_config),
  .open = storage_open,
  .close = storage_close,
  .offer = storage_offer,
};

WEIR_PLUGIN("file_storage extension", "0.1.0", "Apache-2.0", &type);
