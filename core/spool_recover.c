#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/log.h"
#include "core/spool_internal.h"

/* From a directory to what is queued. Whatever the files hold, this succeeds: what is damaged is skipped, counted, and kept for a look where it can be. */

#define SCAN_BUF 4096u
#define RECORDS_MAX ((64u << 20) / RECORD_HEADER) /* a gap in a segment: more can not be meant */

struct found {
  struct segment_header h;
  char name[SEGMENT_NAME_MAX];
};

struct scan {
  struct spool *s;
  int fd;
  uint64_t size, bound; /* of the file; the sequence number that its records stay below */
  uint64_t buf_at, unreadable_to;
  size_t buf_n;
  unsigned char buf[SCAN_BUF];
};

/* --- records of one segment ------------------------------------------------------------------------------------ */

/* 48 bytes at a place, or NULL. */
static const unsigned char *look(struct scan *c, uint64_t at) {
  if (at + RECORD_HEADER > c->size || at < c->unreadable_to) return NULL;
  if (at < c->buf_at || at + RECORD_HEADER > c->buf_at + c->buf_n) {
    c->buf_at = at;
    if (spool_pread(c->s, c->fd, c->buf, SCAN_BUF, at, &c->buf_n)) {
      c->s->read_errors++;
      c->buf_n = 0;
      c->unreadable_to = at + SCAN_BUF; /* a disk that fails takes its time for each try */
    }
  }
  return at + RECORD_HEADER <= c->buf_at + c->buf_n ? c->buf + (at - c->buf_at) : NULL;
}

/* A record with a header that is right and of which nothing is cut off. */
static int record_at(struct scan *c, uint64_t at, struct record_header *h) {
  const unsigned char *p = look(c, at);
  return p && record_header_read(p, c->s->salt, h) && at + RECORD_HEADER + h->data_n <= c->size;
}

/* The next record that can follow seq `from`, searched on every place where one may begin. */
static int find_record(struct scan *c, const struct segment *g, uint64_t from, uint64_t *at, struct record_header *h) {
  for (; *at + RECORD_HEADER <= c->size; *at += 8)
    if (record_at(c, *at, h) && h->seq >= from && h->seq - g->first_seq < RECORDS_MAX) return 1;
  return 0;
}

static void lose_records(struct spool *s, uint64_t n, uint64_t items_from, uint64_t items_to) {
  s->stats.corrupt_records += n;
  if (items_to > items_from) s->stats.corrupt_items += items_to - items_from;
}

/* Records that are missing before this one. */
static void add_gap(struct spool *s, struct segment *g, const struct record_header *h, uint64_t expected_items) {
  if (expected_items < s->cursor_items) expected_items = s->cursor_items;
  uint64_t missing = 0, items = h->items_before > expected_items ? h->items_before - expected_items : 0;
  struct entry lost = { .state = ENTRY_LOST, .items = items < UINT32_MAX ? (uint32_t)items : UINT32_MAX }; /* the first stands for all */
  while (g->first_seq + g->n < h->seq) {
    missing += g->first_seq + g->n >= s->cursor_seq;
    segment_push(g, &lost);
    lost.items = 0;
  }
  if (missing) lose_records(s, missing, expected_items, h->items_before);
}

static void add_record(struct spool *s, struct segment *g, uint64_t at, const struct record_header *h) {
  struct entry e = { (uint32_t)at, h->data_n, h->items, h->seq < s->cursor_seq ? ENTRY_RELEASED : ENTRY_UNREAD, h->enqueue_unix_ns };
  segment_push(g, &e);
  if (e.state != ENTRY_UNREAD) return;
  s->stats.records++;
  s->stats.unread++;
  s->stats.items += h->items;
  s->stats.bytes += record_bytes(h->data_n);
}

/* Returns where its records end; *items: their sum, from the start of the queue. */
static uint64_t scan_records(struct scan *c, struct segment *g, uint64_t *items) {
  struct record_header h;
  uint64_t at = SEGMENT_HEADER;
  for (;;) {
    uint64_t from = at;
    if (!find_record(c, g, g->first_seq + g->n, &at, &h)) return from;
    if (h.seq >= c->bound) return from; /* written once more, to the next segment, after a failure */
    c->s->stats.corrupt_bytes += at - from;
    add_gap(c->s, g, &h, *items);
    add_record(c->s, g, at, &h);
    *items = h.items_before + h.items;
    at += record_bytes(h.data_n);
  }
}

/* Whole blocks are written: zeros behind the last record, up to the end of its block, are nothing that was lost. */
static int is_rest_of_block(struct scan *c, uint64_t end) {
  size_t n = 0;
  if (c->size - end >= DIRECT_BLOCK || spool_pread(c->s, c->fd, c->buf, (size_t)(c->size - end), end, &n)) return 0;
  c->buf_n = 0;
  while (n && !c->buf[n - 1]) n--;
  return n == 0;
}

/* In the last segment what follows the last record is an append that a crash cut off, or a damaged record: the two look the same. What was allocated ahead goes, too. */
static void cut_tail(struct spool *s, struct scan *c, const struct segment *g, uint64_t end) {
  int torn = end < c->size && !is_rest_of_block(c, end);
  s->stats.torn_tails += (uint64_t)torn;
  if (s->read_only) return;
  if (torn) log_warn("queue", "%s/%s: cut %" PRIu64 " bytes behind its last record that are no record", s->directory, g->name, c->size - end);
  if (s->sys->ftruncate(c->fd, (off_t)end)) s->write_errors++;
}

/* A segment that is there and can not be opened now is no damage: it would be counted as lost and then removed. */
static int refuse(const struct spool *s, const char *name, struct weir_error *err) {
  weir_fail(err, WEIR_E_IO, "cannot open %s/%s: %s", s->directory, name, strerror(errno));
  weir_hint(err, errno == EMFILE || errno == ENFILE ? "raise the limit of open files" : "the files of a queue must be readable and writable for weir; to start without this one, move it away");
  return WEIR_E_IO;
}

/* 1: its end is damaged; 0; or an error. */
static int scan_segment(struct spool *s, size_t i, uint64_t *items, struct weir_error *err) {
  struct segment *g = s->segs[i];
  struct scan c = { .s = s, .bound = i + 1 < s->n_segs ? s->segs[i + 1]->first_seq : UINT64_MAX };
  struct stat st;
  uint64_t at_items = g->first_items;
  if (c.bound <= s->cursor_seq || c.bound == g->first_seq) return 0; /* all released, or all written once more: nothing in it is of use */
  c.fd = spool_openat(s, g->name, s->read_only ? O_RDONLY : O_RDWR);
  if (c.fd < 0 || fstat(c.fd, &st)) return refuse(s, g->name, err);
  c.size = (uint64_t)st.st_size < SEGMENT_MAX + SPOOL_RECORD_MAX ? (uint64_t)st.st_size : SEGMENT_MAX + SPOOL_RECORD_MAX;
  uint64_t end = scan_records(&c, g, &at_items);
  if (at_items > *items) *items = at_items;
  if (i + 1 == s->n_segs) cut_tail(s, &c, g, end);
  else if (g->first_seq + g->n < c.bound) s->stats.corrupt_bytes += c.size - end;
  close(c.fd);
  return end < c.size;
}

/* What is missing from seq `expected` to `to`. Returns whether anything is. */
static int count_gap(struct spool *s, uint64_t expected, uint64_t to, uint64_t items, uint64_t to_items) {
  if (to <= expected) return 0;
  lose_records(s, to - expected, items, to_items);
  return 1;
}

/* --- the files -------------------------------------------------------------------------------------------------- */

static void set_aside(struct spool *s, const char *name, const char *why) {
  char bad[SEGMENT_NAME_MAX + 8];
  s->stats.lost_segments++;
  if (s->read_only) return;
  log_warn("queue", "%s/%s %s: it is set aside as %s.bad", s->directory, name, why, name);
  snprintf(bad, sizeof bad, "%s.bad", name);
  if (s->sys->renameat(s->dir_fd, name, s->dir_fd, bad)) s->write_errors++;
}

/* 1: a segment; 0: not; or an error. An empty file is what a crash leaves of one that was just made. */
static int read_header(struct spool *s, struct found *f, struct weir_error *err) {
  unsigned char p[SEGMENT_HEADER];
  size_t n = 0;
  struct stat st;
  int fd = spool_openat(s, f->name, O_RDONLY), r = fd < 0 ? errno : 0, ok = 0, empty = 0;
  if (r && r != ENOENT && r != ELOOP && r != ENXIO && r != EIO) return refuse(s, f->name, err);
  if (!r) r = spool_pread(s, fd, p, sizeof p, 0, &n);
  if (!r) {
    ok = n == sizeof p && segment_header_read(p, &f->h);
    empty = n == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
  }
  if (fd >= 0) close(fd);
  if (ok) return 1;
  if (empty && !s->read_only) (void)s->sys->unlinkat(s->dir_fd, f->name, 0);
  if (!empty && r != ENOENT) set_aside(s, f->name, r ? "can not be read" : "has no readable header");
  return 0;
}

static struct found *list_files(struct spool *s, size_t *n) {
  struct found *all = NULL;
  size_t cap = 0, suffix = strlen(SEGMENT_SUFFIX);
  int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  *n = 0;
  for (const struct dirent *e; d && (e = readdir(d));) {
    size_t len = strlen(e->d_name);
    if (len <= suffix || len >= SEGMENT_NAME_MAX || strcmp(e->d_name + len - suffix, SEGMENT_SUFFIX) != 0) continue;
    if (*n == SEGMENTS_MAX) {
      log_error("queue", "%s has more than %u segments: the rest is left alone", s->directory, SEGMENTS_MAX);
      break;
    }
    if (*n == cap) {
      cap = cap ? cap * 2 : 16;
      all = realloc(all, cap * sizeof *all);
      WEIR_ASSERT(all != NULL);
    }
    memcpy(all[*n].name, e->d_name, len + 1);
    ++*n;
  }
  if (d) closedir(d);
  else if (fd >= 0) close(fd);
  return all;
}

static int by_age(const void *a, const void *b) {
  const struct found *x = a, *y = b;
  if (x->h.first_seq != y->h.first_seq) return x->h.first_seq < y->h.first_seq ? -1 : 1;
  if (x->h.epoch != y->h.epoch) return x->h.epoch < y->h.epoch ? -1 : 1;
  return strcmp(x->name, y->name);
}

static int has_uuid(const struct found *all, size_t n, const unsigned char *uuid) {
  for (size_t i = 0; i < n; i++)
    if (memcmp(all[i].h.uuid, uuid, UUID_BYTES) == 0) return 1;
  return 0;
}

/* Whose queue this is: the cursor's, if it has segments here; else that of most segments (Boyer and Moore's vote). */
static int choose_uuid(struct spool *s, const struct found *all, size_t n, const struct cursor_slot *c, struct weir_error *err) {
  if (c->generation && (n == 0 || has_uuid(all, n, c->uuid))) {
    memcpy(s->uuid, c->uuid, UUID_BYTES);
    return 0;
  }
  const unsigned char *best = NULL;
  for (size_t i = 0, votes = 0; i < n; i++) {
    if (votes == 0) best = all[i].h.uuid;
    if (memcmp(best, all[i].h.uuid, UUID_BYTES) == 0) votes++;
    else votes--;
  }
  if (best) memcpy(s->uuid, best, UUID_BYTES);
  else if (getrandom(s->uuid, UUID_BYTES, 0) != UUID_BYTES) return weir_fail(err, WEIR_E_IO, "cannot draw random bytes: %s", strerror(errno));
  return 0;
}

static void read_cursor(struct spool *s, struct cursor_slot *best) {
  unsigned char p[2 * CURSOR_SLOT];
  struct cursor_slot c;
  size_t n = 0;
  int fd = s->read_only ? spool_openat(s, CURSOR_NAME, O_RDONLY) : s->cursor_fd;
  if (fd < 0 || spool_pread(s, fd, p, sizeof p, 0, &n)) n = 0; /* without a cursor all that stands here is queued */
  if (fd >= 0 && fd != s->cursor_fd) close(fd);
  for (size_t at = 0; at + CURSOR_SLOT <= n; at += CURSOR_SLOT)
    if (cursor_slot_read(p + at, &c) && c.generation > best->generation) *best = c;
}

static void add_segments(struct spool *s, const struct found *all, size_t n) {
  struct stat st;
  for (size_t i = 0; i < n; i++) {
    if (memcmp(all[i].h.uuid, s->uuid, UUID_BYTES) != 0) {
      set_aside(s, all[i].name, "belongs to another queue");
      continue;
    }
    struct segment *g = segment_new(&all[i].h, all[i].name);
    if (fstatat(s->dir_fd, g->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > SEGMENT_HEADER) g->charged = (uint64_t)st.st_size - SEGMENT_HEADER;
    if (g->epoch > s->epoch) s->epoch = g->epoch;
    s->used += g->charged;
    spool_add_segment(s, g);
  }
}

static int find_segments(struct spool *s, struct cursor_slot *c, struct weir_error *err) {
  size_t n, ok = 0;
  int r = 0;
  struct found *all = list_files(s, &n);
  for (size_t i = 0; i < n && r >= 0; i++)
    if ((r = read_header(s, &all[i], err)) > 0) all[ok++] = all[i];
  if (r >= 0) {
    if (ok) qsort(all, ok, sizeof *all, by_age);
    read_cursor(s, c);
    r = choose_uuid(s, all, ok, c, err);
    if (!r) add_segments(s, all, ok);
  }
  free(all);
  return r;
}

/* --- all together ------------------------------------------------------------------------------------------------- */

/* Records behind the cursor that it says are released. */
static void release_by_cursor(struct spool *s, const struct cursor_slot *c) {
  struct segment *g;
  for (uint64_t i = 0; i < CURSOR_BITS; i++) {
    struct entry *e = c->released >> i & 1 ? spool_entry(s, c->seq + 1 + i, &g) : NULL;
    if (!e || (e->state != ENTRY_UNREAD && e->state != ENTRY_LOST)) continue;
    if (e->state == ENTRY_LOST) {
      s->stats.corrupt_records--; /* damaged, but not missed */
    } else {
      g->n_unread--;
      s->stats.unread--;
      s->stats.records--;
      s->stats.items -= e->items;
      s->stats.bytes -= record_bytes(e->data_n);
    }
    e->state = ENTRY_RELEASED;
  }
}

static int scan_all(struct spool *s, const struct cursor_slot *c, struct weir_error *err) {
  uint64_t expected = s->cursor_seq, items = s->cursor_items, missing = 0;
  for (size_t i = 0; i < s->n_segs; i++) {
    const struct segment *g = s->segs[i];
    missing += (uint64_t)count_gap(s, expected, g->first_seq, items, g->first_items);
    int cut_short = scan_segment(s, i, &items, err);
    if (cut_short < 0) return cut_short;
    if (g->first_seq + g->n > expected) expected = g->first_seq + g->n;
    uint64_t end = i + 1 < s->n_segs ? s->segs[i + 1]->first_seq : 0;
    if (cut_short && end > expected) { /* its own end is damaged: no segment is missing */
      (void)count_gap(s, expected, end, items, s->segs[i + 1]->first_items);
      expected = end;
    }
  }
  if (c->generation) (void)count_gap(s, expected, c->end_seq, items, c->end_items);
  if (missing > s->stats.lost_segments) s->stats.lost_segments = missing; /* those set aside are missing, too */
  s->next_seq = expected > c->end_seq ? expected : c->end_seq;
  s->next_items = items > c->end_items ? items : c->end_items;
  return 0;
}

int spool_recover(struct spool *s, struct weir_error *err) {
  struct cursor_slot c = { .generation = 0 };
  int r = find_segments(s, &c, err);
  if (r) return r;
  if (memcmp(c.uuid, s->uuid, UUID_BYTES) != 0) c = (struct cursor_slot){ .generation = 0 };
  s->salt = uuid_salt(s->uuid);
  s->generation = c.generation;
  s->cursor_seq = s->durable_cursor = c.generation ? c.seq : s->n_segs ? s->segs[0]->first_seq : 1;
  s->cursor_items = c.generation ? c.items : s->n_segs ? s->segs[0]->first_items : 0;
  s->next_seq = s->cursor_seq;
  r = scan_all(s, &c, err);
  if (r) return r;
  if (c.generation) release_by_cursor(s, &c);
  spool_advance(s);
  s->cursor_dirty = !s->read_only;
  s->stats.recovered_records = s->stats.records;
  s->stats.recovered_items = s->stats.items;
  return 0;
}
