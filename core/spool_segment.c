#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/spool_internal.h"

/* Segments and the cursor: in memory, and as files. */

static int sys_openat(int dir, const char *name, int flags, mode_t mode) { return openat(dir, name, flags, mode); }

const struct spool_sys spool_sys_default = { sys_openat, pwritev, pread, fdatasync, fsync, ftruncate, fallocate, unlinkat, renameat, fstatvfs };

/* --- files ---------------------------------------------------------------------------------------------------- */

int spool_openat(struct spool *s, const char *name, int flags) {
  int fd;
  do fd = s->sys->openat(s->dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600); /* a pipe by that name must not block */
  while (fd < 0 && errno == EINTR);
  return fd;
}

/* Uses iov up. */
int spool_pwrite(struct spool *s, int fd, struct iovec *iov, int n, uint64_t offset) {
  while (n > 0) {
    ssize_t done = s->sys->pwritev(fd, iov, n, (off_t)offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    if (done == 0 && iov->iov_len > 0) return EIO;
    offset += (uint64_t)done;
    for (size_t left = (size_t)done; n > 0 && left >= iov->iov_len; iov++, n--) left -= iov->iov_len, done -= (ssize_t)iov->iov_len;
    if (n > 0) {
      iov->iov_base = (char *)iov->iov_base + done;
      iov->iov_len -= (size_t)done;
    }
  }
  return 0;
}

int spool_pread(struct spool *s, int fd, void *to, size_t n, uint64_t offset, size_t *ret_n) {
  *ret_n = 0;
  while (*ret_n < n) {
    ssize_t r = s->sys->pread(fd, (char *)to + *ret_n, n - *ret_n, (off_t)(offset + *ret_n));
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) return errno;
    if (r == 0) break;
    *ret_n += (size_t)r;
  }
  return 0;
}

/* Never called again for the same bytes after a failure: the kernel takes them for written then. */
int spool_sync(struct spool *s, int fd, int (*sync)(int)) {
  int r;
  do r = sync(fd);
  while (r && errno == EINTR);
  s->syncs++;
  if (r) s->sync_errors++;
  return r ? errno : 0;
}

/* The directory is new: its name must not be lost either. */
static int sync_parent(struct spool *s) {
  int fd = openat(s->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  int r = spool_sync(s, fd, s->sys->fsync);
  close(fd);
  return r;
}

int spool_open_directory(struct spool *s, struct weir_error *err) {
  const char *d = s->directory;
  struct stat st;
  int made = !s->read_only && mkdir(d, 0700) == 0;
  if (!s->read_only && !made && errno != EEXIST) {
    weir_fail(err, WEIR_E_IO, "cannot create the queue's directory %s: %s", d, strerror(errno));
    weir_hint(err, "the directory above it must exist and be writable for weir");
    return WEIR_E_IO;
  }
  s->dir_fd = open(d, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (s->dir_fd >= 0 && made && (errno = sync_parent(s)) != 0) return weir_fail(err, WEIR_E_IO, "cannot sync the directory above %s: %s", d, strerror(errno));
  if (s->dir_fd < 0 || fstat(s->dir_fd, &st)) return weir_fail(err, WEIR_E_IO, "cannot open the queue's directory %s: %s", d, strerror(errno));
  if (!s->read_only && (st.st_mode & S_IWOTH)) { /* the group may write: Kubernetes' fsGroup makes it so at every mount */
    weir_fail(err, WEIR_E_IO, "the queue's directory %s is writable for everybody", d);
    weir_hint(err, "chmod o-w %s", d);
    return WEIR_E_IO;
  }
  return 0;
}

/* --- segments and their records --------------------------------------------------------------------------- */

struct segment *segment_new(const struct segment_header *h, const char *name) {
  struct segment *g = calloc(1, sizeof *g);
  WEIR_ASSERT(g != NULL);
  g->first_seq = h->first_seq;
  g->first_items = h->first_items;
  g->epoch = h->epoch;
  g->size = SEGMENT_HEADER;
  snprintf(g->name, sizeof g->name, "%s", name);
  return g;
}

void segment_free(struct segment *g) {
  if (!g) return;
  free(g->entries);
  free(g);
}

void segment_push(struct segment *g, const struct entry *e) {
  if (g->n == g->cap) {
    g->cap = g->cap ? g->cap * 2 : 64;
    g->entries = realloc(g->entries, g->cap * sizeof *g->entries);
    WEIR_ASSERT(g->entries != NULL);
  }
  if (e->state == ENTRY_UNREAD) g->n_unread++;
  g->entries[g->n++] = *e;
}

void spool_add_segment(struct spool *s, struct segment *g) {
  if (s->n_segs == s->cap_segs) {
    s->cap_segs = s->cap_segs ? s->cap_segs * 2 : 16;
    s->segs = realloc(s->segs, s->cap_segs * sizeof *s->segs);
    WEIR_ASSERT(s->segs != NULL);
  }
  s->segs[s->n_segs++] = g;
}

uint64_t segment_end(const struct spool *s, size_t i) { return i + 1 < s->n_segs ? s->segs[i + 1]->first_seq : s->next_seq; }

/* The last segment that begins at or before seq; n_segs: none. */
static size_t find_segment(const struct spool *s, uint64_t seq) {
  size_t low = 0, high = s->n_segs;
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (s->segs[mid]->first_seq <= seq) low = mid + 1;
    else high = mid;
  }
  return low ? low - 1 : s->n_segs;
}

struct entry *spool_entry(struct spool *s, uint64_t seq, struct segment **ret) {
  size_t i = find_segment(s, seq);
  if (i == s->n_segs) return NULL;
  struct segment *g = s->segs[i];
  *ret = g;
  return seq - g->first_seq < g->n ? &g->entries[seq - g->first_seq] : NULL;
}

void spool_advance(struct spool *s) {
  size_t i = find_segment(s, s->cursor_seq);
  for (i = i == s->n_segs ? 0 : i; i < s->n_segs; i++) {
    const struct segment *g = s->segs[i];
    uint64_t at = s->cursor_seq > g->first_seq ? s->cursor_seq - g->first_seq : 0;
    if (at == 0 || s->cursor_items < g->first_items) s->cursor_items = g->first_items;
    for (; at < g->n && g->entries[at].state >= ENTRY_RELEASED; at++) s->cursor_items += g->entries[at].items;
    s->cursor_seq = g->first_seq + at;
    if (at < g->n) return;
    s->cursor_seq = segment_end(s, i);
  }
  s->cursor_seq = s->next_seq;
  s->cursor_items = s->next_items;
}

/* --- the active segment ------------------------------------------------------------------------------------ */

/* Bytes that may be taken from the filesystem. */
static uint64_t fs_room(struct spool *s) {
  struct statvfs v;
  if (s->sys->fstatvfs(s->dir_fd, &v)) return UINT64_MAX;
  uint64_t unit = v.f_frsize, reserve = s->o.fs_reserve_bytes, free_bytes = (uint64_t)v.f_bavail * unit;
  if (!reserve) reserve = (uint64_t)v.f_blocks * unit / 20 < 64u << 20 ? (uint64_t)v.f_blocks * unit / 20 : 64u << 20;
  return free_bytes > reserve ? free_bytes - reserve : 0;
}

void spool_retire_active(struct spool *s) {
  if (!s->active) return;
  if (s->unsynced && s->o.sync != SPOOL_OS) (void)spool_sync(s, s->active_fd, s->sys->fdatasync);
  s->unsynced = 0;
  (void)s->sys->ftruncate(s->active_fd, (off_t)s->active->size); /* gives back what was allocated ahead; if not, unlink will */
  close(s->active_fd);
  s->active_fd = -1;
  spool_lock(s); /* lanes look at it when they release */
  s->active = NULL;
  spool_unlock(s);
}

/* A name that is free: two segments begin with the same record when the first took none. */
static int create_file(struct spool *s, char *name) {
  int fd = -1;
  for (uint64_t i = 0; fd < 0 && i < 16; i++) {
    if (i == 0) snprintf(name, SEGMENT_NAME_MAX, "%020" PRIu64 SEGMENT_SUFFIX, s->next_seq);
    else snprintf(name, SEGMENT_NAME_MAX, "%020" PRIu64 "-%08" PRIx64 SEGMENT_SUFFIX, s->next_seq, (s->epoch + i) & 0xffffffffu);
    fd = spool_openat(s, name, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0 && errno != EEXIST) break;
  }
  return fd;
}

/* 0 or errno. Its header is synced with the first records; that its name is must be certain before one of them is acknowledged. */
static int fill_new(struct spool *s, int fd, struct segment_header *h, uint64_t limit) {
  unsigned char bytes[SEGMENT_HEADER];
  int r;
  do r = s->sys->fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)limit);
  while (r && errno == EINTR);
  if (r && errno == ENOSPC) return ENOSPC; /* other errors: this filesystem can not; then writing will tell */
  segment_header_write(bytes, h);
  r = spool_write_header(s, fd, bytes);
  if (r) return r;
  return spool_sync(s, s->dir_fd, s->sys->fsync);
}

int spool_make_segment(struct spool *s, uint64_t bytes) {
  spool_retire_active(s);
  uint64_t need = bytes + SEGMENT_HEADER, room = fs_room(s), limit = s->o.segment_bytes > need ? s->o.segment_bytes : need;
  uint64_t used = atomic_load(&s->used), left = s->o.max_bytes > used ? s->o.max_bytes - used : 0; /* bytes are in used already */
  char name[SEGMENT_NAME_MAX];
  if (room < need) return WEIR_E_LIMIT;
  if (limit > room) limit = room;
  if (limit > need + left) limit = need + left;
  struct segment_header h = { .first_seq = s->next_seq, .first_items = s->next_items, .epoch = s->epoch + 1, .created_unix_ns = clock_unix_ns() };
  memcpy(h.uuid, s->uuid, UUID_BYTES);
  int fd = create_file(s, name), r = fd < 0 ? errno : fill_new(s, fd, &h, limit);
  if (r) {
    if (fd >= 0) {
      close(fd);
      (void)s->sys->unlinkat(s->dir_fd, name, 0); /* if not: a segment without records, which the next start removes */
    }
    if (r == ENOSPC || r == EDQUOT) return WEIR_E_LIMIT;
    s->write_errors++;
    log_warn("queue", "cannot make a segment in %s: %s", s->directory, strerror(r));
    return WEIR_E_IO;
  }
  struct segment *g = segment_new(&h, name);
  g->limit = limit;
  s->epoch++;
  s->active_fd = fd;
  spool_lock(s);
  s->active = g;
  spool_add_segment(s, g);
  spool_unlock(s);
  return 0;
}

/* --- the cursor ------------------------------------------------------------------------------------------------ */

static void take_cursor(struct spool *s, struct cursor_slot *c) {
  struct segment *g;
  spool_lock(s);
  memcpy(c->uuid, s->uuid, UUID_BYTES);
  c->seq = s->cursor_seq;
  c->items = s->cursor_items;
  c->end_seq = s->next_seq;
  c->end_items = s->next_items;
  c->released = 0;
  for (uint64_t i = 0; i < CURSOR_BITS && c->seq + 1 + i < s->next_seq; i++) {
    const struct entry *e = spool_entry(s, c->seq + 1 + i, &g);
    if (e && e->state >= ENTRY_RELEASED) c->released |= 1u << i;
  }
  s->cursor_dirty = 0;
  spool_unlock(s);
}

/* Segments wholly before the cursor that is safe on disk: unlinked only now, as a crash between would else find neither record nor cursor. */
static void unlink_released(struct spool *s) {
  int removed = 0;
  for (;;) {
    struct segment *g = s->n_segs ? s->segs[0] : NULL; /* the list is changed by this thread alone */
    if (!g || g == s->active || segment_end(s, 0) > s->durable_cursor) break;
    if (s->sys->unlinkat(s->dir_fd, g->name, 0) && errno != ENOENT) {
      s->write_errors++;
      spool_lock(s);
      s->cursor_dirty = 1; /* again with the next one */
      spool_unlock(s);
      break;
    }
    if (g == s->read_segment) {
      close(s->read_fd);
      s->read_segment = NULL;
    }
    spool_lock(s);
    memmove(s->segs, s->segs + 1, --s->n_segs * sizeof *s->segs);
    s->room_wanted = 0;
    spool_unlock(s);
    atomic_fetch_sub(&s->used, g->charged);
    segment_free(g);
    removed = 1;
  }
  if (removed) (void)spool_sync(s, s->dir_fd, s->sys->fsync);
  if (removed && s->o.on_room) s->o.on_room(s->o.on_room_arg);
}

int spool_write_cursor(struct spool *s) {
  unsigned char bytes[CURSOR_SLOT];
  struct iovec iov = { bytes, sizeof bytes };
  struct cursor_slot c = { .generation = s->generation + 1 };
  s->cursor_written_ns = spool_now_ns();
  take_cursor(s, &c);
  cursor_slot_write(bytes, &c);
  int r = spool_pwrite(s, s->cursor_fd, &iov, 1, c.generation % 2 * CURSOR_SLOT);
  if (r) s->write_errors++;
  else r = spool_sync(s, s->cursor_fd, s->sys->fdatasync);
  s->cursor_failed = r != 0;
  if (r) { /* the other slot stands, and this one is tried again */
    spool_lock(s);
    s->cursor_dirty = 1; /* written anew, not synced again: that makes the pages dirty once more */
    spool_unlock(s);
    log_warn("queue", "cannot write the cursor in %s: %s", s->directory, strerror(r));
    return WEIR_E_IO;
  }
  s->generation = c.generation;
  spool_lock(s); /* lanes look at it when they release */
  s->durable_cursor = c.seq;
  spool_unlock(s);
  unlink_released(s);
  return 0;
}
