/*
 * tests/unit/core/spool_fixture.h - a disk queue in a folder of its own, records that tell whether they are right, and operations that are waited for.
 *
 * A record is made from its number alone: context, size, content, items. So a reader can say of any record which one it is, or that nobody appended it.
 */
#ifndef TESTS_UNIT_CORE_SPOOL_FIXTURE_H
#define TESTS_UNIT_CORE_SPOOL_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/spool_internal.h"

#define RECORD_SPREAD 600u /* bytes: payloads are 0 .. so long */

static char dir[64];
static struct loop loop;
static struct spool *spool;
static struct spool_lane *lane;
static struct spool_options options;

/* --- records ------------------------------------------------------------------------------------------------- */

struct sample {
  char context[16], payload[8 + RECORD_SPREAD];
  uint32_t context_n, payload_n, items;
};

static inline void sample_make(struct sample *m, uint64_t id) {
  uint64_t x = id * 0x9e3779b97f4a7c15ull + 1;
  m->context_n = id % 4 == 3 ? 0 : (uint32_t)snprintf(m->context, sizeof m->context, "c%llu", (unsigned long long)id);
  m->payload_n = 8 + (uint32_t)(x >> 33) % RECORD_SPREAD;
  m->items = (uint32_t)(id % 50);
  memcpy(m->payload, &id, 8);
  for (uint32_t i = 8; i < m->payload_n; i++) m->payload[i] = (char)((x = x * 6364136223846793005ull + 1442695040888963407ull) >> 56);
}

/* Which record this is; UINT64_MAX: none that anybody made. */
static inline uint64_t sample_id(const char *payload, uint32_t n, const char *context, uint32_t context_n, uint32_t items) {
  struct sample m;
  uint64_t id;
  if (n < 8) return UINT64_MAX;
  memcpy(&id, payload, 8);
  sample_make(&m, id);
  int same = n == m.payload_n && context_n == m.context_n && items == m.items && memcmp(payload, m.payload, n) == 0;
  return same && (!context_n || memcmp(context, m.context, context_n) == 0) ? id : UINT64_MAX;
}

/* --- waiting ---------------------------------------------------------------------------------------------------- */

static inline void pump(const int *until) {
  int64_t end = spool_now_ns() + 20 * NS_PER_S;
  while (!*until) {
    struct pollfd ready = { .fd = uv_backend_fd(&loop.uv), .events = POLLIN };
    loop_run_once(&loop);
    if (!*until) poll(&ready, 1, 10);
    if (spool_now_ns() > end) {
      fprintf(stderr, "an operation did not end\n");
      abort();
    }
  }
}

struct adding {
  struct spool_append a;
  struct weir_iov iov[3];
  struct sample m;
  uint64_t id;
  int done;
};

static inline void added(struct spool_append *a) { ((struct adding *)a->arg)->done = 1; }

/* Begins to append record `id`. */
static inline int add_begin(struct adding *x, uint64_t id, int keep) {
  memset(x, 0, sizeof *x);
  x->id = id;
  sample_make(&x->m, id);
  uint32_t first = x->m.payload_n / 3;
  x->iov[0] = (struct weir_iov){ x->m.payload, first };
  x->iov[1] = (struct weir_iov){ NULL, 0 };
  x->iov[2] = (struct weir_iov){ x->m.payload + first, x->m.payload_n - first };
  x->a = (struct spool_append){ .iov = x->iov, .n_iov = 3, .context = x->m.context, .context_n = x->m.context_n, .items = x->m.items, .signal = 1, .flags = 7,
    .keep = (uint8_t)keep, .enqueue_unix_ns = (int64_t)(1000 + id), .done = added, .arg = x };
  return spool_append(lane, &x->a);
}

/* Appends and waits; 0 or the error. */
static inline int add_kept(uint64_t id, int keep, uint64_t *seq) {
  struct adding x;
  int r = add_begin(&x, id, keep);
  if (r) return r;
  pump(&x.done);
  if (seq) *seq = x.a.seq;
  return x.a.op.error;
}

static inline int add(uint64_t id) { return add_kept(id, 0, NULL); }

struct taking {
  struct spool_read r;
  uint64_t id;
  int done;
};

static inline void taken(struct spool_read *r) {
  struct taking *t = r->arg;
  t->done = 1;
  if (!r->body) return;
  t->id = sample_id(r->payload, r->payload_n, r->context, r->context_n, r->items);
  if (r->signal != 1 || r->flags != 7 || r->enqueue_unix_ns != (int64_t)(1000 + t->id)) t->id = UINT64_MAX;
  body_free(r->body);
}

/* Reads one and waits: 1, or 0 when there is none. */
static inline int take(uint64_t *id, uint64_t *seq) {
  *id = *seq = 0;
  struct taking t = { .r = { .done = taken, .arg = &t } };
  if (!spool_read(lane, &t.r)) return 0;
  pump(&t.done);
  if (!t.r.body) return 0;
  *id = t.id;
  *seq = t.r.seq;
  return 1;
}

static inline struct spool_stats stats(void) {
  struct spool_stats st;
  spool_stats(spool, &st);
  return st;
}

/* --- the queue -------------------------------------------------------------------------------------------------- */

static inline void wait_no_post(void) {
  for (int i = 0; i < 3; i++) loop_run_once(&loop);
}

static inline void start_queue(void) {
  struct weir_error err = { 0 };
  int r = spool_open(&spool, &options, &err);
  if (r) fprintf(stderr, "spool_open: %s\n", err.msg);
  assert_int_equal(r, 0);
  lane = spool_add_lane(spool, &loop, NULL, NULL);
}

static inline void stop_queue(void) {
  spool_close(spool);
  wait_no_post();
  spool = NULL;
}

/* As after a crash, without its damage: the same files, opened anew. */
static inline void restart_queue(void) {
  stop_queue();
  start_queue();
}

static inline void path_of(char *to, size_t n, const char *name) { snprintf(to, n, "%s/q/%s", dir, name); }

/* Runs fn on each file of the queue's folder. */
static inline void each_file(void (*fn)(const char *path, const char *name)) {
  char path[512];
  path_of(path, sizeof path, "");
  DIR *d = opendir(path);
  for (const struct dirent *e; d && (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    path_of(path, sizeof path, e->d_name);
    fn(path, e->d_name);
  }
  if (d) closedir(d);
}

static inline void unlink_file(const char *path, const char *name) {
  (void)name;
  unlink(path);
}

static inline void clear_files(void) { each_file(unlink_file); }

static inline int setup_folder(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR + 1, .fd = 2 });
  const char *fast = getenv("SPOOL_FOLDER"), *buffered = getenv("SPOOL_BUFFERED"); /* another filesystem, and through its page cache */
#ifdef SPOOL_FOLDER
  if (!fast) fast = SPOOL_FOLDER;
#endif
  if (!fast) fast = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  static char path[80];
  snprintf(dir, sizeof dir, "%s/weir-spool-XXXXXX", fast);
  if (!mkdtemp(dir)) return -1;
  snprintf(path, sizeof path, "%s/q", dir);
  options = (struct spool_options){ .directory = path, .max_bytes = 64u << 20, .segment_bytes = 1u << 20, .fs_reserve_bytes = 1, .buffered = buffered != NULL };
  return loop_init(&loop, 0, NULL, &err);
}

static inline int teardown_folder(void **state) {
  (void)state;
  char path[80];
  if (spool) stop_queue();
  loop_done(&loop);
  clear_files();
  snprintf(path, sizeof path, "%s/q", dir);
  rmdir(path);
  rmdir(dir);
  return 0;
}

#endif
