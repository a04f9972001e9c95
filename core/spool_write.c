#include <errno.h>
#include <time.h>

#include "core/assert.h"
#include "core/log.h"
#include "core/spool_internal.h"

/* The writer thread: what was appended since its last round goes out together, with one sync. */

struct group {
  struct op_list list;
  uint64_t bytes;
  uint32_t n;
  int n_iov;
};

static struct spool_append *append_of(struct spool_op *op) { return (struct spool_append *)(void *)op; }

/* --- one round of appends ---------------------------------------------------------------------------------- */

static int pieces(const struct spool_append *a) { return (int)a->n_iov + 3; }

/*
 * Whoever hears of one sync appends again at once, but the first of them must not have the next sync for itself: the writer waits a moment for as many as last
 * time. Without it, 16 records in flight went out as 1 and 15, and half as many a second as a bare loop writes (bench/results.md).
 */
static void await_company(struct spool *s) {
  if (s->o.sync != SPOOL_ALWAYS || s->n_appends >= s->last_group || s->closing) return;
  int64_t due = spool_now_ns() + (s->sync_took_ns / 4 < LINGER_MAX_NS ? s->sync_took_ns / 4 : LINGER_MAX_NS);
  struct timespec at = { due / 1000000000, due % 1000000000 };
  s->wanted = s->last_group;
  s->sleeping = 1;
  while (s->n_appends < s->wanted && pthread_cond_timedwait(&s->cond, &s->lock, &at) == 0) {}
  s->sleeping = 0;
  s->wanted = 1;
}

/* As many as fit in the active segment and in one write. */
static void take_group(struct spool *s, struct group *g) {
  spool_lock(s);
  await_company(s);
  for (struct spool_op *op; (op = s->appends.head);) {
    const struct spool_append *a = append_of(op);
    if (g->list.head && (g->bytes + a->bytes > GROUP_BYTES || g->n_iov + pieces(a) > IOVS)) break;
    if (s->active->size + g->bytes + a->bytes > s->active->limit) break;
    g->bytes += a->bytes;
    g->n_iov += pieces(a);
    op_push(&g->list, op_pop(&s->appends));
    g->n++;
    s->n_appends--;
  }
  s->last_group = g->n;
  spool_unlock(s);
}

static int gather(struct spool *s, struct group *g) {
  static const char zeros[8];
  struct record_header h = { .seq = s->next_seq, .items_before = s->next_items };
  int n = 0;
  for (struct spool_op *op = g->list.head; op; op = op->next) {
    struct spool_append *a = append_of(op);
    h.enqueue_unix_ns = a->enqueue_unix_ns;
    h.data_n = a->data_n;
    h.items = a->items;
    h.data_crc = a->data_crc;
    h.context_n = (uint16_t)a->context_n;
    h.signal = a->signal;
    h.flags = a->flags;
    record_header_write(a->header, s->salt, &h);
    a->seq = h.seq++;
    h.items_before += a->items;
    s->iov[n++] = (struct iovec){ a->header, RECORD_HEADER };
    if (a->context_n) s->iov[n++] = (struct iovec){ (void *)(uintptr_t)a->context, a->context_n };
    for (size_t i = 0; i < a->n_iov; i++)
      if (a->iov[i].n) s->iov[n++] = (struct iovec){ (void *)(uintptr_t)a->iov[i].p, a->iov[i].n };
    size_t pad = (size_t)(a->bytes - RECORD_HEADER - a->data_n);
    if (pad) s->iov[n++] = (struct iovec){ (void *)(uintptr_t)zeros, pad };
  }
  return n;
}

/* Writing failed for want of space: the segment ends where it did before. */
static int cut_back(struct spool *s) {
  int r;
  do r = s->sys->ftruncate(s->active_fd, (off_t)s->active->size);
  while (r && errno == EINTR);
  return r;
}

/* The active segment takes nothing more and is not touched; what it holds beyond the next one's first record does not count. */
static void poison(struct spool *s, const char *what) {
  log_error("queue", "%s failed on %s/%s: going on in a new segment", what, s->directory, s->active->name);
  s->active->limit = 0;
}

static int put_group(struct spool *s, struct group *g) {
  int n = gather(s, g), r = s->direct ? spool_direct_write(s, s->iov, n) : spool_pwrite(s, s->active_fd, s->iov, n, s->active->size);
  if (r == ENOSPC || r == EDQUOT || r == EFBIG) {
    if (cut_back(s)) poison(s, "making it shorter");
    return WEIR_E_LIMIT;
  }
  if (r) {
    s->write_errors++;
    poison(s, "writing");
    return WEIR_E_IO;
  }
  if (s->o.sync != SPOOL_ALWAYS) return 0;
  int64_t begun = spool_now_ns();
  if (spool_sync(s, s->active_fd, s->sys->fdatasync)) {
    poison(s, "fdatasync");
    return WEIR_E_IO;
  }
  s->sync_took_ns = spool_now_ns() - begun;
  return 0;
}

/* After a failed write or sync nobody knows what is on the disk: the records, still in memory, go once more, to a new segment. */
static int write_group(struct spool *s, struct group *g) {
  int r = put_group(s, g);
  if (r != WEIR_E_IO) return r;
  r = spool_make_segment(s, g->bytes);
  if (!r) r = put_group(s, g);
  if (r != WEIR_E_IO) return r;
  log_error("queue", "%s: the disk failed twice in a row; nothing more is queued until weir is started anew, what is queued is still sent", s->directory);
  s->failed = 1;
  return r;
}

static void commit(struct spool *s, struct spool_append *a) {
  struct segment *g = s->active;
  struct entry e = { (uint32_t)g->size, a->data_n, a->items, a->keep ? ENTRY_HELD : ENTRY_UNREAD, a->enqueue_unix_ns };
  WEIR_ASSERT(a->seq == s->next_seq && g->first_seq + g->n == a->seq);
  segment_push(g, &e);
  g->size += a->bytes;
  g->charged += a->bytes;
  s->next_seq++;
  s->next_items += a->items;
  s->stats.records++;
  s->stats.items += a->items;
  s->stats.bytes += a->bytes;
  s->stats.appended_records++;
  s->stats.appended_items += a->items;
  s->stats.appended_bytes += a->bytes;
  if (!a->keep) {
    s->stats.unread++;
    spool_tell_unread(s);
  }
}

static void end_group(struct spool *s, struct group *g, int r) {
  spool_lock(s);
  for (struct spool_op *op; (op = op_pop(&g->list));) {
    struct spool_append *a = append_of(op);
    if (!r) commit(s, a);
    else atomic_fetch_sub(&s->used, a->bytes);
    op->error = r;
    spool_tell(op);
  }
  if (!r && s->o.sync == SPOOL_INTERVAL && !s->unsynced) s->sync_due_ns = spool_now_ns() + s->o.sync_interval_ns;
  if (!r && s->o.sync != SPOOL_ALWAYS) s->unsynced = 1;
  if (!r) s->cursor_dirty = 1; /* where the log ends */
  if (r == WEIR_E_LIMIT) s->room_wanted = 1;
  spool_unlock(s);
  if (r == WEIR_E_LIMIT) s->full_errors++;
}

static void write_round(struct spool *s) {
  struct group g = { .list = { NULL, &g.list.head } };
  spool_lock(s);
  struct spool_op *first = s->appends.head;
  spool_unlock(s);
  if (!first) return;
  uint64_t bytes = append_of(first)->bytes;
  int r = s->failed ? WEIR_E_IO : 0;
  if (!r && (!s->active || s->active->size + bytes > s->active->limit)) r = spool_make_segment(s, bytes);
  if (r) { /* there is no segment for this one; the others are asked for theirs in turn */
    spool_lock(s);
    op_push(&g.list, op_pop(&s->appends));
    s->n_appends--;
    spool_unlock(s);
  } else {
    take_group(s, &g);
    WEIR_ASSERT(g.list.head != NULL);
    r = write_group(s, &g);
  }
  end_group(s, &g, r);
}

/* --- the thread -------------------------------------------------------------------------------------------------- */

static void serve_reads(struct spool *s) {
  struct op_list list = { NULL, &list.head };
  spool_lock(s);
  for (struct spool_op *op; (op = op_pop(&s->reads));) op_push(&list, op);
  spool_unlock(s);
  if (!list.head) return;
  for (struct spool_op *op = list.head; op; op = op->next) spool_serve_read(s, (struct spool_read *)(void *)op);
  spool_lock(s);
  for (struct spool_op *op; (op = op_pop(&list));) spool_tell(op);
  spool_unlock(s);
}

static void sync_if_due(struct spool *s) {
  if (!s->unsynced || s->o.sync != SPOOL_INTERVAL || spool_now_ns() < s->sync_due_ns) return;
  s->unsynced = 0;
  if (spool_sync(s, s->active_fd, s->sys->fdatasync)) poison(s, "fdatasync"); /* those records were acknowledged: nobody has them any more */
}

/* Whether space is short and there is some to give back. Locked. */
int spool_wants_room(const struct spool *s) {
  if (!s->room_wanted && s->used <= s->o.max_bytes / 4 * 3) return 0;
  if (s->cursor_seq == s->next_seq && s->active && s->active->n) return 1; /* all of the active one is released, too */
  return s->cursor_seq > s->durable_cursor && s->n_segs > 0 && segment_end(s, 0) <= s->cursor_seq && s->segs[0] != s->active;
}

/* When the cursor is to be written; a disk that fails is not asked in a circle. Locked. */
static int64_t cursor_due_ns(const struct spool *s) {
  if (!s->cursor_failed && spool_wants_room(s)) return 0;
  return s->cursor_dirty ? s->cursor_written_ns + CURSOR_EVERY_NS : INT64_MAX;
}

/* When the next thing that nobody asks for is due. Locked. */
static int64_t due_ns(const struct spool *s) {
  int64_t due = cursor_due_ns(s);
  return s->unsynced && s->o.sync == SPOOL_INTERVAL && s->sync_due_ns < due ? s->sync_due_ns : due;
}

static void cursor_if_due(struct spool *s) {
  spool_lock(s);
  int64_t due = cursor_due_ns(s);
  int retire = due == 0 && s->cursor_seq == s->next_seq;
  spool_unlock(s);
  if (due > spool_now_ns()) return;
  if (retire) spool_retire_active(s);
  (void)spool_write_cursor(s);
}

/* Waits for work; 0: the end. */
static int wait_for_work(struct spool *s) {
  spool_lock(s);
  while (!s->closing && !s->appends.head && !s->reads.head) {
    int64_t due = due_ns(s), now = spool_now_ns();
    if (due <= now) break;
    s->sleeping = 1;
    if (due == INT64_MAX) {
      pthread_cond_wait(&s->cond, &s->lock);
    } else {
      struct timespec at = { due / 1000000000, due % 1000000000 };
      pthread_cond_timedwait(&s->cond, &s->lock, &at);
    }
    s->sleeping = 0;
  }
  int more = !s->closing || s->appends.head || s->reads.head;
  spool_unlock(s);
  return more;
}

void *spool_writer(void *arg) {
  struct spool *s = arg;
  while (wait_for_work(s)) {
    serve_reads(s);
    write_round(s);
    sync_if_due(s);
    cursor_if_due(s);
  }
  spool_retire_active(s);
  (void)spool_write_cursor(s);
  return NULL;
}
