#include "pipelines/disk.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "pipelines/graph.h"
#include "plugins/host.h"

/* Records that no exporter sends. */
struct orphan {
  char *path;
  struct weir_cell *items;
  struct orphan *next;
};

struct disks {
  struct metrics *metrics;
  struct loop *control;
  const struct spool_sys *sys;
  struct disk *first;
  struct orphan *orphans;
};

/* --- metrics -------------------------------------------------------------------------------------------------- */

enum { ERROR_SYNC, ERROR_WRITE, ERROR_READ, ERROR_FULL };
static const char *const error_kinds[] = { "sync", "write", "read", "full" };

static void open_law_cells(struct disk *d, struct metrics *m, const char *id, const char *signal) {
  char typed[400], labels[400], corrupt[440];
  snprintf(typed, sizeof typed, "data_type=\"%s\",exporter=\"%s\"", signal, id);
  snprintf(labels, sizeof labels, "exporter=\"%s\",signal=\"%s\"", id, signal);
  snprintf(corrupt, sizeof corrupt, "%s,reason=\"corrupt\"", labels);
  struct disk_cells *c = &d->cells;
  c->queue_size = metrics_cell(m, METRIC_GAUGE, "otelcol_exporter_queue_size", typed, "Room taken in the sending queue, in the unit of its sizer.", NULL, 0);
  c->enqueued = metrics_cell(m, METRIC_COUNTER, "weir_sender_items_enqueued_total", labels, "Items that a sender took: sent + rejected + queued + in flight.", NULL, 0);
  c->queued = metrics_cell(m, METRIC_GAUGE, "weir_sender_items_queued", labels, "Items that wait in a sender's queue.", NULL, 0);
  c->corrupt = metrics_cell(m, METRIC_COUNTER, "weir_sender_items_rejected_total", corrupt, "Items that were given up, by reason.", NULL, 0);
}

static void open_cells(struct disk *d, struct metrics *m, const char *exporter, uint32_t signal) {
  char id[200], labels[400];
  metrics_escape(exporter, id, sizeof id);
  if (!d->is_dead) open_law_cells(d, m, id, graph_signal_name(signal));
  snprintf(labels, sizeof labels, "exporter=\"%s\",queue=\"%s\",signal=\"%s\"", id, d->is_dead ? "dead_letter" : "sending", graph_signal_name(signal));
  struct disk_cells *c = &d->cells;
#define GAUGE(name, help) metrics_cell(m, METRIC_GAUGE, "weir_queue_" name, labels, help, NULL, 0)
#define COUNTER(name, help) metrics_cell(m, METRIC_COUNTER, "weir_queue_" name "_total", labels, help, NULL, 0)
  c->records = GAUGE("records", "Records on disk that are not done with.");
  c->items = GAUGE("items", "Items in these records.");
  c->bytes = GAUGE("bytes", "Bytes of these records.");
  c->disk_bytes = GAUGE("disk_bytes", "Bytes that the queue takes of its max_size: records that are done with count until their segment is given back.");
  c->max_bytes = GAUGE("max_bytes", "The queue's max_size.");
  c->oldest = GAUGE("oldest_age_seconds", "How long the oldest record waits.");
  c->appended = COUNTER("appended_items", "Items written to the queue.");
  c->released = COUNTER("released_items", "Items that were delivered or given up for good.");
  c->recovered = COUNTER("recovered_items", "Items that were found when the queue was opened.");
  c->corrupt_records = COUNTER("corrupt_records", "Records that were damaged and skipped.");
  c->corrupt_items = COUNTER("corrupt_items", "Items in these records.");
  c->corrupt_bytes = COUNTER("corrupt_bytes", "Bytes that were skipped.");
  c->lost_segments = COUNTER("lost_segments", "Files of the queue that were missing or unreadable.");
  c->torn_tails = COUNTER("torn_tails", "Ends that an interrupted write left, cut off at start.");
  c->syncs = COUNTER("syncs", "Calls of fdatasync and fsync.");
#undef GAUGE
#undef COUNTER
  for (size_t i = 0; i < 4; i++) {
    char with_kind[440];
    snprintf(with_kind, sizeof with_kind, "%s,kind=\"%s\"", labels, error_kinds[i]);
    c->errors[i] = metrics_cell(m, METRIC_COUNTER, "weir_queue_errors_total", with_kind, "What the disk refused, by kind; full counts refusals for want of room.", NULL, 0);
  }
}

static void release_cells(struct disk *d) {
  struct weir_cell **v = (struct weir_cell **)(void *)&d->cells;
  for (size_t i = 0; i < sizeof d->cells / sizeof *v; i++) metrics_release(d->all->metrics, v[i]);
}

static void put(struct weir_cell *c, uint64_t v) { metric_put(c, (int64_t)v); }

static void show(struct disk *d) {
  struct spool_stats s;
  struct disk_cells *c = &d->cells;
  spool_stats(d->spool, &s);
  if (c->queue_size) put(c->queue_size, atomic_load(&d->used[d->sizer]));
  put(c->records, s.records);
  put(c->items, s.items);
  put(c->bytes, s.bytes);
  put(c->disk_bytes, s.disk_bytes);
  put(c->max_bytes, s.max_bytes);
  int64_t age = s.oldest_unix_ns ? (clock_unix_ns() - s.oldest_unix_ns) / NS_PER_S : 0;
  metric_put(c->oldest, age > 0 ? age : 0);
  put(c->appended, s.appended_items);
  put(c->released, s.released_items);
  put(c->recovered, s.recovered_items);
  put(c->corrupt_records, s.corrupt_records);
  put(c->corrupt_items, s.corrupt_items);
  put(c->corrupt_bytes, s.corrupt_bytes);
  put(c->lost_segments, s.lost_segments);
  put(c->torn_tails, s.torn_tails);
  put(c->syncs, s.syncs);
  put(c->errors[ERROR_SYNC], s.sync_errors);
  put(c->errors[ERROR_WRITE], s.write_errors);
  put(c->errors[ERROR_READ], s.read_errors);
  put(c->errors[ERROR_FULL], s.full_errors);
}

static void on_scrape(void *arg) {
  struct disks *all = arg;
  for (struct disk *d = all->first; d; d = d->next)
    if (d->spool) show(d);
}

static void orphan_done(struct disks *all, struct orphan **at) {
  struct orphan *o = *at;
  *at = o->next;
  metrics_release(all->metrics, o->items);
  free(o->path);
  free(o);
}

static struct orphan **find_orphan(struct disks *all, const char *path) {
  struct orphan **at = &all->orphans;
  while (*at && strcmp((*at)->path, path) != 0) at = &(*at)->next;
  return at;
}

/* --- all of them ------------------------------------------------------------------------------------------------ */

struct disks *disks_new(struct metrics *m, struct loop *control) {
  struct disks *all = calloc(1, sizeof *all);
  WEIR_ASSERT(all != NULL);
  all->metrics = m;
  all->control = control;
  metrics_on_scrape(m, on_scrape, all);
  return all;
}

void disks_set_sys(struct disks *all, const struct spool_sys *sys) { all->sys = sys; }

void disks_close(struct disks *all) {
  for (struct disk *d = all ? all->first : NULL; d; d = d->next) {
    if (!d->spool || atomic_load(&d->ops)) continue;
    spool_close(d->spool);
    d->spool = NULL;
  }
}

void disks_free(struct disks *all) {
  if (!all) return;
  WEIR_ASSERT(all->first == NULL);
  while (all->orphans) orphan_done(all, &all->orphans);
  free(all);
}

int disks_items(const struct disks *all, uint64_t *ret) {
  int any = 0;
  *ret = 0;
  for (const struct disk *d = all ? all->first : NULL; d; d = d->next) {
    struct spool_stats s;
    if (!d->spool || d->is_dead) continue;
    spool_stats(d->spool, &s);
    *ret += s.items;
    any = 1;
  }
  return any;
}

int disks_busy(const struct disks *all) {
  for (const struct disk *d = all ? all->first : NULL; d; d = d->next)
    if (atomic_load(&((struct disk *)(uintptr_t)d)->ops)) return 1;
  return 0;
}

/* --- one ------------------------------------------------------------------------------------------------------------ */

/* What is no letter, digit, dot, dash or underscore becomes %XX, so that two ids never share a directory. */
static char *escape(char *at, const char *id) {
  for (; *id; id++) {
    unsigned char c = (unsigned char)*id;
    if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '_' || c == '.')
      *at++ = (char)c;
    else
      at += sprintf(at, "%%%02X", c);
  }
  *at = 0;
  return at;
}

/* Without slashes at the end: paths are compared. */
static size_t directory_size(const char *directory) {
  size_t n = strlen(directory);
  while (n && directory[n - 1] == '/') n--;
  return n;
}

char *disk_path(const char *directory, const char *exporter, uint32_t signal, int dead) {
  char *path = malloc(strlen(directory) + 3 * strlen(exporter) + 32);
  WEIR_ASSERT(path != NULL);
  char *at = path + sprintf(path, "%.*s/", (int)directory_size(directory), directory);
  at = escape(at, exporter);
  sprintf(at, "-%s%s", graph_signal_name(signal), dead ? ".dead" : "");
  return path;
}

/* The directory and those above it. */
static int make_directories(const char *path, uint32_t mode) {
  char *copy = strdup(path);
  int r = 0;
  WEIR_ASSERT(copy != NULL);
  for (char *p = copy + 1; *p && !r; p++) {
    if (*p != '/') continue;
    *p = 0;
    if (mkdir(copy, mode) && errno != EEXIST) r = errno;
    *p = '/';
  }
  if (!r && mkdir(copy, mode) && errno != EEXIST) r = errno;
  free(copy);
  return r;
}

static int check_directory(const struct weir_storage_settings *o, struct weir_error *err) {
  struct stat st;
  int e = 0;
  if (stat(o->directory, &st) == 0) {
    if (S_ISDIR(st.st_mode)) return 0;
    return weir_fail(err, WEIR_E_IO, "file_storage: %s is not a directory", o->directory);
  }
  if (errno == ENOENT && o->flags & WEIR_STORAGE_CREATE) {
    e = make_directories(o->directory, o->directory_mode);
    if (!e) return 0;
    return weir_fail(err, WEIR_E_IO, "file_storage: cannot make the directory %s: %s", o->directory, strerror(e));
  }
  weir_fail(err, WEIR_E_IO, "file_storage: the directory %s: %s", o->directory, strerror(errno));
  if (errno == ENOENT) weir_hint(err, "make it, or set create_directory: true of file_storage");
  return err->code;
}

static void on_lane_wake(void *arg) {
  struct disk_lane *l = arg;
  for (struct disk_user *u = l->users, *next; u; u = next) {
    next = u->next;
    u->wake(u->arg);
  }
}

/* Posted with the registry, which outlives what is posted; a disk may be gone by then. */
static void tell_room(void *arg) {
  struct disks *all = arg;
  for (struct disk *d = all->first; d; d = d->next) {
    if (!atomic_exchange(&d->room_posted, 0)) continue;
    for (struct disk_lane *l = d->lanes; l; l = l->next) loop_call(l->loop, on_lane_wake, l);
  }
}

void disk_wake_all(struct disk *d) {
  if (!atomic_exchange(&d->room_posted, 1)) loop_post(d->all->control, tell_room, d->all);
}

static void on_room(void *arg) { disk_wake_all(arg); }

static void log_found(const struct disk *d) {
  const struct spool_stats *s = &d->at_open;
  if (s->recovered_items && d->is_dead)
    log_info("queue", "%s: %llu dead letters", d->path, (unsigned long long)s->recovered_items);
  else if (s->recovered_items)
    log_info("queue", "%s: %llu items found, they are sent first", d->path, (unsigned long long)s->recovered_items);
  if (s->corrupt_records || s->lost_segments)
    log_error("queue", "%s: %llu damaged records with %llu items were skipped, %llu files could not be read", d->path, (unsigned long long)s->corrupt_records,
      (unsigned long long)s->corrupt_items, (unsigned long long)s->lost_segments);
}

static int open_spool(struct disk *d, const struct weir_storage_settings *o, struct weir_error *err) {
  struct spool_options so = { .directory = d->path,
    .max_bytes = o->max_bytes,
    .segment_bytes = o->segment_bytes,
    .sync = (int)o->sync,
    .sync_interval_ns = o->sync_interval_ns,
    .on_room = on_room,
    .on_room_arg = d,
    .sys = d->all->sys };
  int r = check_directory(o, err);
  if (!r) r = spool_open(&d->spool, &so, err);
  if (r) return r;
  spool_stats(d->spool, &d->at_open);
  atomic_store(&d->used[0], d->at_open.records);
  atomic_store(&d->used[1], d->at_open.items);
  atomic_store(&d->used[2], d->at_open.bytes);
  return 0;
}

static struct disk *find(struct disks *all, const char *path) {
  struct disk *d = all->first;
  while (d && strcmp(d->path, path) != 0) d = d->next;
  return d;
}

/* An open queue keeps its settings. */
static void tell_unchanged(const struct disk *d, const struct weir_storage_settings *o) {
  const struct weir_storage_settings *s = &d->settings;
  if (s->max_bytes == o->max_bytes && s->segment_bytes == o->segment_bytes && s->sync == o->sync && s->sync_interval_ns == o->sync_interval_ns) return;
  log_warn("queue", "%s: the changed settings of file_storage need a restart, as the queue is in use", d->path);
}

int disk_open(struct disks *all, const struct weir_storage_settings *o, const char *exporter, uint32_t signal, int sizer, int dead, struct disk **ret,
  struct weir_error *err) {
  char *path = disk_path(o->directory, exporter, signal, dead);
  struct disk *d = find(all, path);
  if (d) {
    free(path);
    d->users++;
    atomic_store(&d->shared, 1);
    d->sizer = sizer;
    *ret = d;
    tell_unchanged(d, o);
    return 0;
  }
  d = calloc(1, sizeof *d);
  WEIR_ASSERT(d != NULL);
  *d = (struct disk){ .all = all, .path = path, .users = 1, .sizer = sizer, .is_dead = dead, .settings = *o };
  d->settings.directory = NULL;
  pthread_mutex_init(&d->corrupt_lock, NULL);
  int r = open_spool(d, o, err);
  if (r) {
    pthread_mutex_destroy(&d->corrupt_lock);
    free(path);
    free(d);
    return r;
  }
  d->next = all->first;
  all->first = d;
  open_cells(d, all->metrics, exporter, signal);
  if (!dead) {
    put(d->cells.enqueued, d->at_open.recovered_items);
    put(d->cells.queued, d->at_open.items);
  }
  log_found(d);
  struct orphan **known = find_orphan(all, path);
  if (*known) orphan_done(all, known);
  *ret = d;
  return 0;
}

/* --- what nobody opened ------------------------------------------------------------------------------------------------ */

int disk_is_queue_name(const char *name) {
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };
  size_t n = strlen(name);
  for (size_t i = 0; i < 2 * sizeof signals / sizeof *signals; i++) {
    char *end = disk_path("", "", signals[i / 2], i % 2);
    size_t m = strlen(end + 1);
    int same = n > m && strcmp(name + n - m, end + 1) == 0;
    free(end);
    if (same) return 1;
  }
  return 0;
}

/* The label is the whole path: queues of two directories may have the same name. */
static void add_orphan(struct disks *all, const char *path, const struct spool_stats *s) {
  char name[400], labels[440];
  struct orphan *o = calloc(1, sizeof *o);
  WEIR_ASSERT(o != NULL);
  snprintf(labels, sizeof labels, "queue=\"%s\"", metrics_escape(path, name, sizeof name));
  *o = (struct orphan){ strdup(path), metrics_cell(all->metrics, METRIC_GAUGE, "weir_queue_orphaned_items", labels,
    "Items found in queues on disk that no exporter of the configuration has.", NULL, 0), all->orphans };
  WEIR_ASSERT(o->path != NULL);
  all->orphans = o;
  put(o->items, s->items);
  log_each(WEIR_LOG_WARN, "queue", "%s holds %llu records with %llu items, and no exporter of the configuration has it: nobody sends them; give an exporter the id and the "
    "sending_queue that it had, or see `weir queue ls`, `peek`, `replay` and `drop`", path, (unsigned long long)s->records, (unsigned long long)s->items);
}

/* Without the lock, but not if another weir has it: two may share a directory. */
static void look_at(struct disks *all, const char *path) {
  struct weir_error err = { 0 };
  struct spool_stats st;
  struct spool *s;
  if (spool_is_locked(path)) return;
  if (spool_peek_open(&s, path, &err)) {
    log_each(WEIR_LOG_WARN, "queue", "%s belongs to no exporter of the configuration, and can not be looked at: %s", path, err.msg);
    return;
  }
  spool_stats(s, &st);
  struct orphan **known = find_orphan(all, path);
  if (*known && st.records) put((*known)->items, st.items);
  else if (*known) orphan_done(all, known);
  else if (st.records) add_orphan(all, path, &st);
  spool_peek_close(s);
}

void disks_find_orphans(struct disks *all, const char *directory) {
  DIR *d = opendir(directory);
  uint32_t looked = 0;
  for (struct dirent *e; d && (e = readdir(d)) && looked < DISK_ORPHANS_MAX;) {
    char path[4096];
    if (!disk_is_queue_name(e->d_name)) continue;
    if (snprintf(path, sizeof path, "%.*s/%s", (int)directory_size(directory), directory, e->d_name) >= (int)sizeof path || find(all, path)) continue;
    look_at(all, path);
    looked++;
  }
  if (d) closedir(d);
}

/* Counters are kept; what is left belongs to whoever opens the queue next, where it is enqueued again. */
static void leave(struct disk *d) {
  show(d);
  if (!d->is_dead) metric_add(d->cells.enqueued, -atomic_load(&d->cells.queued->value));
}

void disk_unref(struct disk *d) {
  if (!d) return;
  d->users--;
  atomic_store(&d->shared, d->users > 1);
  if (d->users) return;
  struct disk **at = &d->all->first;
  while (*at != d) at = &(*at)->next;
  *at = d->next;
  (void)disk_set_trouble(d, 0);
  if (d->spool) leave(d);
  spool_close(d->spool);
  release_cells(d);
  for (struct disk_lane *l = d->lanes, *next; l; l = next) {
    next = l->next;
    WEIR_ASSERT(l->users == NULL);
    free(l);
  }
  pthread_mutex_destroy(&d->corrupt_lock);
  free(d->path);
  free(d);
}

struct disk_lane *disk_lane_on(struct disk *d, struct loop *loop) {
  struct disk_lane *l = d->lanes;
  while (l && l->loop != loop) l = l->next;
  if (l) return l;
  l = calloc(1, sizeof *l);
  WEIR_ASSERT(l != NULL);
  *l = (struct disk_lane){ .disk = d, .loop = loop, .next = d->lanes };
  l->spool = spool_add_lane(d->spool, loop, on_lane_wake, l);
  d->lanes = l;
  return l;
}

void disk_attach(struct disk_lane *l, struct disk_user *u) {
  u->lane = l;
  u->next = l->users;
  l->users = u;
}

void disk_detach(struct disk_user *u) {
  if (!u->lane) return;
  struct disk_user **at = &u->lane->users;
  while (*at != u) at = &(*at)->next;
  *at = u->next;
  u->lane = NULL;
}

/* --- counts ------------------------------------------------------------------------------------------------------------ */

void disk_count_in(struct disk *d, int but, uint64_t items, uint64_t bytes) {
  const uint64_t n[DISK_UNITS] = { 1, items, bytes };
  for (int i = 0; i < DISK_UNITS; i++)
    if (i != but) atomic_fetch_add(&d->used[i], n[i]);
}

void disk_count_out(struct disk *d, uint64_t items, uint64_t bytes) {
  atomic_fetch_sub(&d->used[0], 1);
  atomic_fetch_sub(&d->used[1], items);
  atomic_fetch_sub(&d->used[2], bytes);
}

int disk_set_trouble(struct disk *d, int in_trouble) {
  if (atomic_load(&d->in_trouble) == in_trouble || atomic_exchange(&d->in_trouble, in_trouble) == in_trouble) return 0;
  host_trouble(in_trouble);
  return 1;
}

void disk_count_corrupt(struct disk *d) {
  struct spool_stats s;
  pthread_mutex_lock(&d->corrupt_lock);
  spool_stats(d->spool, &s);
  uint64_t records = s.corrupt_found_records - d->corrupt_records, items = s.corrupt_found_items - d->corrupt_items;
  uint64_t bytes = s.corrupt_bytes - d->at_open.corrupt_bytes - d->corrupt_bytes;
  d->corrupt_records += records;
  d->corrupt_items += items;
  d->corrupt_bytes += bytes;
  pthread_mutex_unlock(&d->corrupt_lock);
  if (!records) return;
  atomic_fetch_sub(&d->used[0], records);
  atomic_fetch_sub(&d->used[1], items);
  atomic_fetch_sub(&d->used[2], bytes);
  if (d->is_dead) return;
  metric_add(d->cells.corrupt, (int64_t)items);
  metric_add(d->cells.queued, -(int64_t)items);
}
