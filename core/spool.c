#include "core/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "core/spool_internal.h"

/* What lanes and the control thread call. */

void spool_lock(struct spool *s) { pthread_mutex_lock(&s->lock); }
void spool_unlock(struct spool *s) { pthread_mutex_unlock(&s->lock); }

int64_t spool_now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void op_push(struct op_list *list, struct spool_op *op) {
  op->next = NULL;
  *list->tail = op;
  list->tail = &op->next;
}

struct spool_op *op_pop(struct op_list *list) {
  struct spool_op *op = list->head;
  if (!op) return NULL;
  list->head = op->next;
  if (!list->head) list->tail = &list->head;
  return op;
}

void spool_wake_writer(struct spool *s) {
  if (s->sleeping) pthread_cond_signal(&s->cond);
}

/* --- the way back to a lane -------------------------------------------------------------------------------- */

static void unref(struct spool *s) {
  spool_lock(s);
  uint32_t left = --s->refs;
  spool_unlock(s);
  if (left) return;
  for (struct spool_lane *l = s->lanes, *next; l; l = next) {
    next = l->next;
    free(l);
  }
  for (size_t i = 0; i < s->n_segs; i++) segment_free(s->segs[i]);
  free(s->segs);
  free(s->stage);
  pthread_cond_destroy(&s->cond);
  pthread_mutex_destroy(&s->lock);
  s->magic = 0;
  free(s);
}

static void run_mailbox(void *arg) {
  struct spool_lane *l = arg;
  struct spool *s = l->spool;
  CHECK_MAGIC(s, SPOOL_MAGIC);
  struct op_list list = { NULL, &list.head };
  spool_lock(s);
  l->posted = 0;
  for (struct spool_op *op; (op = op_pop(&l->done));) op_push(&list, op);
  int wake = l->wake_due && !s->closed;
  l->wake_due = 0;
  spool_unlock(s);
  for (struct spool_op *op; (op = op_pop(&list));) {
    struct spool_append *a = (struct spool_append *)(void *)op;
    if (op->kind == OP_APPEND) a->done(a);
    else spool_finish_read((struct spool_read *)(void *)op);
  }
  if (wake && l->wake) l->wake(l->wake_arg);
  unref(s);
}

static void post_mailbox(struct spool_lane *l) {
  if (l->posted) return;
  l->posted = 1;
  l->spool->refs++;
  loop_post_embedded(l->loop, &l->post);
}

void spool_tell(struct spool_op *op) {
  op_push(&op->lane->done, op);
  post_mailbox(op->lane);
}

void spool_tell_unread(struct spool *s) {
  for (struct spool_lane *l = s->lanes; l; l = l->next) {
    if (!l->hungry) continue;
    l->hungry = 0;
    l->wake_due = 1;
    post_mailbox(l);
  }
}

struct spool_lane *spool_add_lane(struct spool *s, struct loop *loop, weir_fn_f *wake, void *arg) {
  struct spool_lane *l = calloc(1, sizeof *l);
  WEIR_ASSERT(l != NULL);
  *l = (struct spool_lane){ .spool = s, .loop = loop, .wake = wake, .wake_arg = arg, .post = { .fn = run_mailbox, .arg = l } };
  l->done.tail = &l->done.head;
  spool_lock(s);
  l->next = s->lanes;
  s->lanes = l;
  spool_unlock(s);
  return l;
}

/* --- room ------------------------------------------------------------------------------------------------------ */

uint64_t spool_record_bytes(uint64_t context_n, uint64_t payload_n) { return record_bytes(context_n + payload_n); }

int spool_reserve(struct spool *s, uint64_t bytes) {
  if (atomic_load(&s->failed)) return WEIR_E_IO;
  uint64_t used = atomic_load(&s->used), max = s->o.max_bytes;
  do {
    if (used > max || bytes > max - used) {
      s->full_errors++;
      spool_lock(s);
      s->room_wanted = 1;
      spool_wake_writer(s);
      spool_unlock(s);
      return WEIR_E_LIMIT;
    }
  } while (!atomic_compare_exchange_weak(&s->used, &used, used + bytes));
  return 0;
}

void spool_unreserve(struct spool *s, uint64_t bytes) { atomic_fetch_sub(&s->used, bytes); }

/* --- operations -------------------------------------------------------------------------------------------------- */

/* Measures and sums on the lane, where the bytes are warm, and beside the other lanes. 0, or it is too large. */
static int measure(struct spool_append *a) {
  uint64_t n = a->context_n;
  if (a->context_n > SPOOL_CONTEXT_MAX || a->n_iov > SPOOL_IOV_MAX) return WEIR_E_INVALID;
  for (size_t i = 0; i < a->n_iov; i++) {
    if (a->iov[i].n > SPOOL_RECORD_MAX) return WEIR_E_INVALID;
    n += a->iov[i].n;
  }
  a->bytes = record_bytes(n);
  if (a->bytes > SPOOL_RECORD_MAX) return WEIR_E_INVALID;
  uint32_t crc = crc32c(0, a->context, a->context_n);
  for (size_t i = 0; i < a->n_iov; i++) crc = crc32c(crc, a->iov[i].p, a->iov[i].n);
  a->data_n = (uint32_t)n;
  a->data_crc = crc;
  return 0;
}

int spool_append(struct spool_lane *l, struct spool_append *a) {
  struct spool *s = l->spool;
  CHECK_MAGIC(s, SPOOL_MAGIC);
  int r = measure(a);
  a->op.lane = l;
  a->op.kind = OP_APPEND;
  a->op.error = 0;
  if (!r && atomic_load(&s->failed)) r = WEIR_E_IO;
  if (r && a->reserved) {
    uint64_t n = a->context_n;
    for (size_t i = 0; i < a->n_iov; i++) n += a->iov[i].n;
    spool_unreserve(s, record_bytes(n));
  }
  if (!r && !a->reserved) r = spool_reserve(s, a->bytes);
  if (r) return r;
  spool_lock(s);
  op_push(&s->appends, &a->op);
  if (++s->n_appends >= s->wanted) spool_wake_writer(s);
  spool_unlock(s);
  return 0;
}

void spool_release(struct spool *s, uint64_t seq) {
  struct segment *g;
  spool_lock(s);
  struct entry *e = spool_entry(s, seq, &g);
  WEIR_ASSERT(e && e->state == ENTRY_HELD);
  e->state = ENTRY_RELEASED;
  s->stats.records--;
  s->stats.items -= e->items;
  s->stats.bytes -= record_bytes(e->data_n);
  s->stats.released_records++;
  s->stats.released_items += e->items;
  if (seq == s->cursor_seq) spool_advance(s);
  if (!s->cursor_dirty || spool_wants_room(s)) spool_wake_writer(s); /* else its timer runs */
  s->cursor_dirty = 1;
  spool_unlock(s);
}

void spool_return(struct spool *s, uint64_t seq) {
  struct segment *g;
  spool_lock(s);
  struct entry *e = spool_entry(s, seq, &g);
  WEIR_ASSERT(e && e->state == ENTRY_HELD);
  e->state = ENTRY_UNREAD;
  g->n_unread++;
  s->stats.unread++;
  if (seq - g->first_seq < g->hint) g->hint = (uint32_t)(seq - g->first_seq);
  spool_tell_unread(s);
  spool_unlock(s);
}

void spool_stats(struct spool *s, struct spool_stats *ret) {
  struct segment *g;
  spool_lock(s);
  *ret = s->stats;
  const struct entry *e = spool_entry(s, s->cursor_seq, &g);
  ret->oldest_unix_ns = e ? e->enqueue_unix_ns : 0;
  spool_unlock(s);
  ret->disk_bytes = atomic_load(&s->used);
  ret->max_bytes = s->o.max_bytes;
  ret->syncs = s->syncs;
  ret->sync_errors = s->sync_errors;
  ret->write_errors = s->write_errors;
  ret->read_errors = s->read_errors;
  ret->full_errors = s->full_errors;
  ret->failed = s->failed;
}

/* --- life ---------------------------------------------------------------------------------------------------------- */

static struct spool *new_spool(const struct spool_options *o) {
  struct spool *s = calloc(1, sizeof *s);
  pthread_condattr_t attr;
  WEIR_ASSERT(s != NULL);
  s->magic = SPOOL_MAGIC;
  s->refs = 1;
  s->o = *o;
  s->sys = o->sys ? o->sys : &spool_sys_default;
  snprintf(s->directory, sizeof s->directory, "%s", o->directory);
  if (!s->o.max_bytes) s->o.max_bytes = 1ull << 30;
  if (!s->o.segment_bytes) s->o.segment_bytes = 16u << 20;
  if (s->o.segment_bytes > s->o.max_bytes / 4) s->o.segment_bytes = s->o.max_bytes / 4; /* room comes back by whole segments */
  if (s->o.segment_bytes > SEGMENT_MAX) s->o.segment_bytes = SEGMENT_MAX;
  if (!s->o.sync_interval_ns) s->o.sync_interval_ns = 200000000;
  s->dir_fd = s->lock_fd = s->cursor_fd = s->active_fd = s->read_fd = -1;
  s->wanted = 1;
  s->appends.tail = &s->appends.head;
  s->reads.tail = &s->reads.head;
  pthread_mutex_init(&s->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&s->cond, &attr);
  pthread_condattr_destroy(&attr);
  return s;
}

/* One owner. The file stays: its name is what is locked. */
static int take_lock(struct spool *s, struct weir_error *err) {
  char pid[32] = "";
  s->lock_fd = openat(s->dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
  if (s->lock_fd < 0) return weir_fail(err, WEIR_E_IO, "cannot open %s/%s: %s", s->directory, LOCK_NAME, strerror(errno));
  if (flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
    ssize_t n = errno == EWOULDBLOCK ? pread(s->lock_fd, pid, sizeof pid - 1, 0) : -1;
    if (n < 0) return weir_fail(err, WEIR_E_IO, "cannot lock %s/%s: %s", s->directory, LOCK_NAME, strerror(errno));
    weir_fail(err, WEIR_E_STATE, "the queue %s is in use by process %d", s->directory, (int)strtol(pid, NULL, 10));
    weir_hint(err, "one weir at a time can have a queue: stop the other one, or give this one another directory");
    return WEIR_E_STATE;
  }
  int n = snprintf(pid, sizeof pid, "%-10d\n", (int)getpid());
  if (pwrite(s->lock_fd, pid, (size_t)n, 0) != n) log_warn("queue", "cannot write %s/%s: %s", s->directory, LOCK_NAME, strerror(errno));
  return 0;
}

static int open_cursor(struct spool *s, struct weir_error *err) {
  s->cursor_fd = spool_openat(s, CURSOR_NAME, O_RDWR | O_CREAT);
  if (s->cursor_fd < 0) return weir_fail(err, WEIR_E_IO, "cannot open %s/%s: %s", s->directory, CURSOR_NAME, strerror(errno));
  int r = spool_sync(s, s->dir_fd, s->sys->fsync);
  return r ? weir_fail(err, WEIR_E_IO, "cannot sync %s: %s", s->directory, strerror(r)) : 0;
}

static int start(struct spool *s, struct weir_error *err) {
  int r = spool_open_directory(s, err);
  if (!r) r = take_lock(s, err);
  if (!r) r = open_cursor(s, err);
  if (!r) r = spool_recover(s, err);
  if (r) return r;
  r = pthread_create(&s->thread, NULL, spool_writer, s);
  if (r) return weir_fail(err, WEIR_E_IO, "cannot start the queue's thread: %s", strerror(r));
  s->started = 1;
  pthread_setname_np(s->thread, "weir-queue");
  return 0;
}

int spool_open(struct spool **ret, const struct spool_options *o, struct weir_error *err) {
  struct spool *s = new_spool(o);
  int r = start(s, err);
  *ret = r ? NULL : s;
  if (r) spool_close(s);
  return r;
}

/* Taken for a moment, and shared: whoever opens the queue in this very moment is refused as by any other process. */
int spool_is_locked(const char *directory) {
  int dir = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int fd = dir < 0 ? -1 : openat(dir, LOCK_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  int locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
  if (fd >= 0) close(fd);
  if (dir >= 0) close(dir);
  return locked;
}

int spool_peek_open(struct spool **ret, const char *directory, struct weir_error *err) {
  struct spool_options o = { .directory = directory };
  struct spool *s = new_spool(&o);
  s->read_only = 1;
  int r = spool_open_directory(s, err);
  if (!r) r = spool_recover(s, err);
  *ret = r ? NULL : s;
  if (r) spool_close(s);
  return r;
}

static void close_fd(int fd) {
  if (fd >= 0) close(fd);
}

void spool_close(struct spool *s) {
  if (!s) return;
  CHECK_MAGIC(s, SPOOL_MAGIC);
  if (s->started) {
    spool_lock(s);
    s->closing = 1;
    spool_wake_writer(s);
    spool_unlock(s);
    pthread_join(s->thread, NULL);
  }
  spool_lock(s);
  s->closed = 1;
  for (const struct spool_lane *l = s->lanes; l; l = l->next) WEIR_ASSERT(l->done.head == NULL);
  spool_unlock(s);
  if (s->read_segment) close_fd(s->read_fd);
  close_fd(s->cursor_fd);
  close_fd(s->lock_fd);
  close_fd(s->dir_fd);
  unref(s);
}
