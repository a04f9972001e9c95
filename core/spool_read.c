#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "core/spool_internal.h"

/* Records out: which one (under the lock), its bytes (the writer thread), whether they are right (the lane). */

/* The oldest unread entry; NULL: none. Locked. */
static struct entry *oldest_unread(struct spool *s, struct segment **ret, uint64_t *ret_seq) {
  for (size_t i = 0; i < s->n_segs && s->stats.unread; i++) {
    struct segment *g = s->segs[i];
    if (!g->n_unread) continue;
    while (g->entries[g->hint].state != ENTRY_UNREAD) g->hint++;
    *ret = g;
    *ret_seq = g->first_seq + g->hint;
    return &g->entries[g->hint];
  }
  return NULL;
}

int spool_read(struct spool_lane *lane, struct spool_read *r) {
  struct spool *s = lane->spool;
  struct segment *g = NULL;
  r->op.lane = lane;
  r->op.kind = OP_READ;
  r->op.error = 0;
  spool_lock(s);
  struct entry *e = oldest_unread(s, &g, &r->seq);
  if (!e) {
    lane->hungry = 1;
    spool_unlock(s);
    return 0;
  }
  e->state = ENTRY_HELD;
  g->n_unread--;
  s->stats.unread--;
  r->segment = g;
  r->offset = e->offset;
  r->data_n = e->data_n;
  size_t n = RECORD_HEADER + (size_t)e->data_n;
  spool_unlock(s);
  r->body = body_overdraw(lane->loop->pool, n); /* what empties a queue may not starve for memory */
  r->body->n = n;
  spool_lock(s);
  op_push(&s->reads, &r->op);
  spool_wake_writer(s);
  spool_unlock(s);
  return 1;
}

/* A descriptor of the segment; -1: errno. */
static int open_for_reading(struct spool *s, struct segment *g) {
  if (g == s->active && !s->direct) return s->active_fd;
  if (g == s->read_segment) return s->read_fd;
  int fd = spool_openat(s, g->name, O_RDONLY);
  if (fd < 0) return -1;
  if (s->read_segment) close(s->read_fd);
  s->read_segment = g;
  s->read_fd = fd;
  return fd;
}

void spool_serve_read(struct spool *s, struct spool_read *r) {
  size_t n = 0;
  int fd = open_for_reading(s, r->segment);
  if (fd < 0) {
    s->read_errors++;
    if (errno != ENOENT && errno != ELOOP) r->op.error = WEIR_E_IO; /* too many open files, say: the record is still there */
  } else if (spool_pread(s, fd, r->body->p, r->body->n, r->offset, &n)) {
    s->read_errors++;
  }
  r->body->n = n;
}

/* Whether the bytes are the record that they should be. */
static int is_right(const struct spool *s, struct spool_read *r, size_t data_n) {
  const char *p = r->body->p;
  struct record_header h;
  if (r->body->n != RECORD_HEADER + data_n || !record_header_read(p, s->salt, &h)) return 0;
  if (h.seq != r->seq || h.data_n != data_n || crc32c(0, p + RECORD_HEADER, data_n) != h.data_crc) return 0;
  r->context = p + RECORD_HEADER;
  r->context_n = h.context_n;
  r->payload = r->context + h.context_n;
  r->payload_n = h.data_n - h.context_n;
  r->items = h.items;
  r->signal = h.signal;
  r->flags = h.flags;
  r->enqueue_unix_ns = h.enqueue_unix_ns;
  return 1;
}

/* Its bytes are gone: never handed out again. */
static void lose(struct spool *s, uint64_t seq) {
  struct segment *g;
  spool_lock(s);
  struct entry *e = spool_entry(s, seq, &g);
  WEIR_ASSERT(e && e->state == ENTRY_HELD);
  uint32_t items = e->items;
  e->state = ENTRY_LOST;
  s->stats.records--;
  s->stats.items -= e->items;
  s->stats.bytes -= record_bytes(e->data_n);
  s->stats.corrupt_records++;
  s->stats.corrupt_items += e->items;
  s->stats.corrupt_found_records++;
  s->stats.corrupt_found_items += e->items;
  s->stats.corrupt_bytes += record_bytes(e->data_n);
  s->cursor_dirty = 1;
  if (seq == s->cursor_seq) spool_advance(s);
  spool_unlock(s);
  log_warn("queue", "a record of %u items in %s is damaged and skipped", items, s->directory);
}

void spool_finish_read(struct spool_read *r) {
  struct spool *s = r->op.lane->spool;
  if (!r->op.error && is_right(s, r, r->data_n)) {
    r->done(r);
    return;
  }
  body_free(r->body);
  r->body = NULL;
  if (r->op.error) {
    spool_return(s, r->seq);
  } else {
    lose(s, r->seq);
    if (spool_read(r->op.lane, r)) return; /* the next one */
  }
  r->done(r);
}

/* --- looking without owning ---------------------------------------------------------------------------------- */

void spool_peek_close(struct spool *s) {
  if (s) free(s->peek_buf);
  spool_close(s);
}

/* Whoever has the queue goes on meanwhile: it unlinks what was sent, and may be about to write the last record. Neither is damage. */
static int is_in_motion(const struct spool *s, const struct segment *g, const struct entry *e, int is_gone) {
  return is_gone || (g == s->segs[s->n_segs - 1] && e == &g->entries[g->n - 1] && spool_is_locked(s->directory));
}

/* 1; 0: it is damaged; -1: it is not there, or not yet. */
static int view(struct spool *s, struct segment *g, struct entry *e, uint64_t seq, struct spool_view *v) {
  size_t n = RECORD_HEADER + (size_t)e->data_n, got = 0;
  struct weir_body body = { NULL, 0, n };
  struct spool_read r = { .body = &body, .seq = seq };
  free(s->peek_buf);
  s->peek_buf = malloc(n);
  WEIR_ASSERT(s->peek_buf != NULL);
  int fd = open_for_reading(s, g), is_gone = fd < 0 && errno == ENOENT;
  if (fd >= 0 && spool_pread(s, fd, s->peek_buf, n, e->offset, &got)) s->read_errors++;
  body.p = s->peek_buf;
  body.n = got;
  if (!is_right(s, &r, e->data_n)) return is_in_motion(s, g, e, is_gone) ? -1 : 0;
  *v = (struct spool_view){ seq, r.enqueue_unix_ns, r.items, r.payload_n, r.context_n, r.signal, r.flags, r.payload, r.context };
  return 1;
}

int spool_peek_next(struct spool *s, struct spool_view *ret) {
  for (; s->peek_segment < s->n_segs; s->peek_segment++, s->peek_index = 0) {
    struct segment *g = s->segs[s->peek_segment];
    while (s->peek_index < g->n) {
      struct entry *e = &g->entries[s->peek_index];
      uint64_t seq = g->first_seq + s->peek_index++;
      if (e->state != ENTRY_UNREAD) continue;
      e->state = ENTRY_HELD;
      int r = view(s, g, e, seq, ret);
      if (r > 0) return 1;
      if (r == 0) lose(s, seq);
    }
  }
  return 0;
}
