#include "pipelines/queue_command.h"

#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/otlp_json.h"
#include "pipelines/control.h"
#include "pipelines/disk.h"
#include "pipelines/disk_context.h"
#include "pipelines/graph.h"
#include "pipelines/run.h"

#define DEAD ".dead"

/* --- which queues ------------------------------------------------------------------------------------------------ */

struct queue {
  char *path;
  const char *name; /* the end of path */
};

struct queues {
  struct queue *v;
  size_t n;
};

static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };

static int ends_with(const char *s, const char *end) {
  size_t n = strlen(s), m = strlen(end);
  return n >= m && strcmp(s + n - m, end) == 0;
}

static int is_dead(const struct queue *q) { return ends_with(q->name, DEAD); }

/* Its directory's name, or the id of its exporter. */
static int is_wanted(const char *name, const char *wanted) {
  if (!wanted || strcmp(name, wanted) == 0) return 1;
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    for (int dead = 0; dead < 2; dead++) {
      char *path = disk_path("", wanted, signals[i], dead);
      int same = strcmp(path + 1, name) == 0;
      free(path);
      if (same) return 1;
    }
  return 0;
}

static int by_name(const void *a, const void *b) { return strcmp(((const struct queue *)a)->path, ((const struct queue *)b)->path); }

static void add(struct queues *all, const char *directory, const char *name) {
  size_t n = strlen(directory) + strlen(name) + 2;
  all->v = realloc(all->v, (all->n + 1) * sizeof *all->v);
  char *path = malloc(n);
  WEIR_ASSERT(all->v != NULL && path != NULL);
  snprintf(path, n, "%s/%s", directory, name);
  all->v[all->n++] = (struct queue){ path, path + strlen(directory) + 1 };
}

/* 0, or -1 when the directory can not be read. */
static int scan(struct queues *all, const char *directory, const char *wanted) {
  DIR *d = opendir(directory);
  if (!d) {
    fprintf(stderr, "weir: cannot read the directory %s\n", directory);
    return -1;
  }
  for (struct dirent *e; (e = readdir(d));)
    if (disk_is_queue_name(e->d_name) && is_wanted(e->d_name, wanted)) add(all, directory, e->d_name);
  closedir(d);
  return 0;
}

static int is_storage(const struct config_component *c) { return c->role == WEIR_EXTENSION && strcmp(c->type, "file_storage") == 0; }

static const char *directory_of(const struct config_component *c) {
  const struct yaml_node *directory = c->body && c->body->kind == YAML_MAP ? yaml_get(c->body, "directory") : NULL;
  return directory && directory->kind == YAML_SCALAR ? directory->text : DISK_DIRECTORY;
}

static int scan_config(struct queues *all, const struct config *config, const char *wanted) {
  int any = 0, bad = 0;
  for (const struct config_component *c = config->components; c; c = c->next) {
    if (!is_storage(c)) continue;
    any = 1;
    bad |= scan(all, directory_of(c), wanted);
  }
  if (!any) fprintf(stderr, "weir: the configuration has no file_storage extension\n");
  return any ? bad : -1;
}

static void queues_done(struct queues *all) {
  for (size_t i = 0; i < all->n; i++) free(all->v[i].path);
  free(all->v);
}

static int failed(const struct weir_error *err) {
  fprintf(stderr, "weir: %s\n", err->msg);
  if (*err->hint) fprintf(stderr, "  %s\n", err->hint);
  return EXIT_FAILED;
}

/* --- ls ------------------------------------------------------------------------------------------------------------ */

static const char *time_text(int64_t unix_ns, char *buf, size_t cap) {
  time_t t = (time_t)(unix_ns / NS_PER_S);
  struct tm tm;
  gmtime_r(&t, &tm);
  strftime(buf, cap, "%Y-%m-%dT%H:%M:%SZ", &tm);
  return buf;
}

static int list_one(const struct queue *q) {
  struct weir_error err = { 0 };
  struct spool *s;
  struct spool_stats st;
  char oldest[40] = "-";
  if (spool_peek_open(&s, q->path, &err)) return failed(&err);
  spool_stats(s, &st);
  if (st.oldest_unix_ns) time_text(st.oldest_unix_ns, oldest, sizeof oldest);
  printf("%-40s %10" PRIu64 " %12" PRIu64 " %14" PRIu64 "  %-20s", q->name, st.records, st.items, st.bytes, oldest);
  if (st.corrupt_records || st.lost_segments) printf("  damaged: %" PRIu64 " records, %" PRIu64 " files", st.corrupt_records, st.lost_segments);
  printf("\n");
  spool_peek_close(s);
  return EXIT_OK;
}

static int list(const struct queues *all) {
  int code = EXIT_OK;
  printf("%-40s %10s %12s %14s  %-20s\n", "QUEUE", "RECORDS", "ITEMS", "BYTES", "OLDEST");
  for (size_t i = 0; i < all->n; i++)
    if (list_one(&all->v[i])) code = EXIT_FAILED;
  return code;
}

/* --- peek ------------------------------------------------------------------------------------------------------------- */

/* A back end wrote it: it may hold whatever moves a terminal. */
static void put_foreign(const char *before, const struct weir_str *s) {
  char text[1200], escaped[4 * sizeof text];
  snprintf(text, sizeof text, "%.*s", (int)s->n, s->p);
  log_escape(escaped, sizeof escaped, text, 0);
  fprintf(stderr, "%s%s", before, escaped);
}

/* The request on one line of OTLP/JSON (stdout); about it on another (stderr). */
static int show_record(struct pool *pool, const struct spool_view *v) {
  static struct disk_context c;
  static const struct otlp_limits limits = { 0 };
  struct weir_error err = { 0 };
  struct arena arena;
  struct weir_data data;
  struct otlp_counts counts;
  struct weir_body *body = NULL;
  char when[40];
  arena_init(&arena, pool, 0);
  int r = disk_context_read(v->context, v->context_n, &c);
  fprintf(stderr, "#%" PRIu64 " %s, %u items, %s", v->seq, graph_signal_name(v->signal), v->items, time_text(v->enqueue_unix_ns, when, sizeof when));
  if (!r && c.reason.p) put_foreign(", ", &c.reason);
  if (!r && c.reason.p) put_foreign(": ", &c.message);
  fprintf(stderr, "\n");
  r = otlp_decode(v->signal, &arena, v->payload, v->payload_n, &limits, &data, &counts, &err);
  if (!r) r = otlp_json_encode(pool, &data, &body, &err);
  if (!r) printf("%.*s%s", (int)body->n, body->p, body->n && body->p[body->n - 1] == '\n' ? "" : "\n");
  body_free(body);
  arena_done(&arena);
  return r ? failed(&err) : EXIT_OK;
}

static int peek(const struct queues *all, uint64_t limit) {
  struct pool *pool = pool_new(NULL);
  int code = EXIT_OK;
  for (size_t i = 0; i < all->n; i++) {
    struct weir_error err = { 0 };
    struct spool *s;
    struct spool_view v;
    if (spool_peek_open(&s, all->v[i].path, &err)) {
      code = failed(&err);
      continue;
    }
    fprintf(stderr, "%s\n", all->v[i].path);
    for (uint64_t n = 0; (!limit || n < limit) && spool_peek_next(s, &v); n++)
      if (show_record(pool, &v)) code = EXIT_FAILED;
    spool_peek_close(s);
  }
  pool_free(pool);
  return code;
}

/* --- replay, drop: on a loop of our own ---------------------------------------------------------------------------------- */

struct mover {
  struct env env;
  struct loop loop;
  struct spool *from, *to; /* to == NULL: what is read is dropped */
  struct spool_lane *from_lane, *to_lane;
  struct spool_read read;
  struct spool_append append;
  struct weir_iov iov;
  char *context;
  int waiting, error;
  uint64_t items;
};

static void run_until_done(struct mover *m) {
  while (m->waiting) {
    struct pollfd ready = { .fd = uv_backend_fd(&m->loop.uv), .events = POLLIN };
    loop_run_once(&m->loop);
    if (m->waiting) poll(&ready, 1, 20);
  }
}

static void was_appended(struct spool_append *a) {
  struct mover *m = a->arg;
  m->error = a->op.error;
  m->waiting = 0;
}

static void was_read(struct spool_read *r) { ((struct mover *)r->arg)->waiting = 0; }

/* Without the reason. 0 when the other queue has it. */
static int move_record(struct mover *m) {
  static struct disk_context c;
  const struct spool_read *r = &m->read;
  if (disk_context_read(r->context, r->context_n, &c)) c.context = NULL;
  size_t n = disk_context_size(NULL, NULL, c.context);
  m->context = malloc(n + 1);
  WEIR_ASSERT(m->context != NULL);
  disk_context_write(NULL, NULL, c.context, m->context);
  m->iov = (struct weir_iov){ r->payload, r->payload_n };
  m->append = (struct spool_append){ .iov = &m->iov, .n_iov = 1, .context = m->context, .context_n = (uint32_t)n, .items = r->items, .signal = r->signal,
    .enqueue_unix_ns = clock_unix_ns(), .done = was_appended, .arg = m };
  m->error = spool_append(m->to_lane, &m->append);
  m->waiting = !m->error;
  run_until_done(m);
  free(m->context);
  return m->error;
}

static int next_record(struct mover *m) {
  m->read = (struct spool_read){ .done = was_read, .arg = m };
  if (!spool_read(m->from_lane, &m->read)) return 0;
  m->waiting = 1;
  run_until_done(m);
  return m->read.body != NULL;
}

static int move_all(struct mover *m) {
  while (next_record(m)) {
    int r = m->to ? move_record(m) : 0;
    body_free(m->read.body);
    if (r) {
      spool_return(m->from, m->read.seq);
      fprintf(stderr, "weir: the queue could not be written to; what was not moved is still among the dead letters\n");
      return EXIT_FAILED;
    }
    spool_release(m->from, m->read.seq);
    m->items += m->read.items;
  }
  return EXIT_OK;
}

static int open_one(struct mover *m, const char *path, struct spool **ret, struct spool_lane **ret_lane) {
  struct weir_error err = { 0 };
  struct spool_options o = { .directory = path, .max_bytes = UINT64_MAX / 4 }; /* its limit is the running weir's */
  if (spool_open(ret, &o, &err)) return failed(&err);
  *ret_lane = spool_add_lane(*ret, &m->loop, NULL, NULL);
  return EXIT_OK;
}

/* to NULL: drops. */
static int move_queue(const char *from, const char *to, uint64_t *ret_items) {
  struct mover *m = calloc(1, sizeof *m);
  struct weir_error err = { 0 };
  WEIR_ASSERT(m != NULL);
  if (loop_init(&m->loop, 0, &m->env, &err)) {
    free(m);
    return failed(&err);
  }
  int code = open_one(m, from, &m->from, &m->from_lane);
  if (!code && to) code = open_one(m, to, &m->to, &m->to_lane);
  if (!code) code = move_all(m);
  loop_run_once(&m->loop);
  spool_close(m->to);
  spool_close(m->from);
  *ret_items = m->items;
  loop_run_once(&m->loop);
  loop_done(&m->loop);
  free(m);
  return code;
}

/* By the weir that has the queue. */
static int ask_to_replay(const struct queue *q, const char *socket) {
  char line[400];
  snprintf(line, sizeof line, "replay %s", q->name);
  return control_ask(socket, line);
}

static int has_exporter(const struct config_pipeline *p, const struct config_component *c) {
  for (size_t i = 0; i < p->n_exporters; i++)
    if (p->exporters[i].component == c) return 1;
  return 0;
}

/* Whether these are letters of this exporter, for a signal that it still sends. */
static int is_of(const struct queue *q, const struct config *config, const struct config_component *c, uint32_t *ret_signal) {
  int same = 0;
  for (const struct config_pipeline *p = config->pipelines; p && !same; p = p->next) {
    if (!has_exporter(p, c)) continue;
    char *path = disk_path("", c->id, p->signal, 1);
    same = strcmp(path + 1, q->name) == 0;
    free(path);
    *ret_signal = p->signal;
  }
  return same;
}

static const struct config_component *storage_of(const struct config *config, const struct config_component *exporter) {
  const struct config_component *c = config->components;
  while (c && !(is_storage(c) && strcmp(c->id, exporter->sender->queue.storage) == 0)) c = c->next;
  return c;
}

/* Where the exporter that gave these letters up has its queue, so that whoever starts weir sends them. Malloc'ed; NULL: said why there is none. */
static char *live_path(const struct queue *q, const struct config *config) {
  uint32_t signal = 0;
  const struct config_component *c = config->components;
  while (c && !(c->role == WEIR_EXPORTER && c->sender && is_of(q, config, c, &signal))) c = c->next;
  if (!c) {
    fprintf(stderr, "weir: %s: no exporter of the configuration sends these\n  give an exporter the id that it had; or drop them\n", q->name);
    return NULL;
  }
  const struct config_component *storage = c->sender->queue.enabled && c->sender->queue.storage ? storage_of(config, c) : NULL;
  if (storage) return disk_path(directory_of(storage), c->id, signal, 0);
  fprintf(stderr, "weir: %s: exporter `%s` has no queue on disk (sending_queue.storage), so nobody would read what is put there\n"
                  "  start weir, and write --socket PATH: then the running weir queues them again\n", q->name, c->id);
  return NULL;
}

static int replay_one(const struct queue *q, const struct config *config) {
  uint64_t items = 0;
  char *live = live_path(q, config);
  if (!live) return EXIT_FAILED;
  int code = move_queue(q->path, live, &items);
  if (!code || items) printf("%s: %" PRIu64 " items are queued again\n", q->name, items);
  free(live);
  return code;
}

static int replay(const struct queues *all, const struct config *config, const char *socket) {
  int code = EXIT_OK, any = 0;
  if (!config && !socket) {
    fprintf(stderr, "weir: which queue sends dead letters again stands in the configuration\n"
                    "  write --config FILE for the directory; or --socket PATH, and the running weir queues them again\n");
    return EXIT_USAGE;
  }
  for (size_t i = 0; i < all->n; i++) {
    const struct queue *q = &all->v[i];
    if (!is_dead(q)) continue;
    any = 1;
    if (socket ? ask_to_replay(q, socket) : replay_one(q, config)) code = EXIT_FAILED;
  }
  if (any) return code;
  fprintf(stderr, "weir: no dead letters there\n");
  return EXIT_FAILED;
}

static int drop(const struct queues *all, const struct command *c) {
  uint64_t items = 0;
  if (all->n != 1 || strcmp(all->v[0].name, c->queue) != 0) {
    fprintf(stderr, "weir: which queue?\n  write its whole name, as `weir queue ls` shows it\n");
    return EXIT_USAGE;
  }
  if (!c->yes) {
    list(all);
    fprintf(stderr, "weir: this deletes what stands above for good\n  say so with --yes\n");
    return EXIT_USAGE;
  }
  int code = move_queue(all->v[0].path, NULL, &items);
  if (!code || items) printf("%s: %" PRIu64 " items dropped\n", all->v[0].name, items);
  return code;
}

int queue_command(const struct command *c, const struct config *config) {
  struct queues all = { NULL, 0 };
  int code = EXIT_FAILED;
  log_setup(&(struct log_config){ .level = WEIR_LOG_WARN, .fd = 2 });
  int bad = config ? scan_config(&all, config, c->queue) : scan(&all, c->directory, c->queue);
  if (all.n) qsort(all.v, all.n, sizeof *all.v, by_name);
  if (bad) {
    code = EXIT_FAILED;
  } else if (all.n == 0) {
    if (c->queue) fprintf(stderr, "weir: no queue `%s`\n  `weir queue ls` shows them all\n", c->queue);
    else fprintf(stderr, "weir: there are no queues\n");
  } else if (strcmp(c->action, "ls") == 0) {
    code = list(&all);
  } else if (strcmp(c->action, "peek") == 0) {
    code = peek(&all, c->limit);
  } else if (strcmp(c->action, "replay") == 0) {
    code = replay(&all, config, c->socket);
  } else {
    code = drop(&all, c);
  }
  log_flush();
  queues_done(&all);
  return code;
}
