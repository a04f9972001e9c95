#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "core/assert.h"
#include "core/log.h"
#include "core/spool_internal.h"

/*
 * Groups past the page cache (O_DIRECT), for SPOOL_ALWAYS: what is synced at once and hardly ever read again gains nothing there, and copying into cold pages, keeping
 * their books and writing them back costs more than all else that the writer does (docs/design/queue.md, "Cost"). The kernel wants whole blocks from aligned memory: a group is
 * put together in one buffer, behind what its first block holds already and before zeros, which the next group replaces. Bytes that are on the disk are written again as
 * they are, so a write that is cut off takes none of them away.
 */

#define BLOCK DIRECT_BLOCK
#define STAGE_BYTES (GROUP_BYTES + BLOCK)

/* The new active segment's file, of which `tail` is in place. Where it can not be, writes go through the page cache. */
void spool_direct_begin(struct spool *s, const void *header) {
  s->direct = 0;
  if (s->o.sync != SPOOL_ALWAYS || s->o.buffered) return;
  int flags = fcntl(s->active_fd, F_GETFL);
  if (flags < 0 || fcntl(s->active_fd, F_SETFL, flags | O_DIRECT)) return;
  if (!s->stage) {
    s->stage = aligned_alloc(BLOCK, STAGE_BYTES + BLOCK);
    WEIR_ASSERT(s->stage != NULL);
  }
  s->tail = s->stage + STAGE_BYTES;
  memcpy(s->tail, header, SEGMENT_HEADER);
  s->direct = 1;
}

static void go_on_buffered(struct spool *s) {
  int flags = fcntl(s->active_fd, F_GETFL);
  if (flags >= 0) (void)fcntl(s->active_fd, F_SETFL, flags & ~O_DIRECT);
  s->direct = 0;
}

static int put_blocks(struct spool *s, size_t n, uint64_t at) {
  struct iovec iov = { s->stage, n };
  int r = spool_pwrite(s, s->active_fd, &iov, 1, at);
  if (r != EINVAL || !s->direct) return r;
  go_on_buffered(s); /* larger blocks than ours, or a write that ended inside of one */
  iov = (struct iovec){ s->stage, n };
  return spool_pwrite(s, s->active_fd, &iov, 1, at);
}

int spool_direct_write(struct spool *s, const struct iovec *iov, int n) {
  size_t used = s->active->size % BLOCK, rest;
  uint64_t at = s->active->size - used;
  memcpy(s->stage, s->tail, used);
  for (int i = 0; i < n; i++) {
    const char *from = iov[i].iov_base;
    for (size_t left = iov[i].iov_len, k; left; left -= k, from += k) {
      k = STAGE_BYTES - used < left ? STAGE_BYTES - used : left;
      memcpy(s->stage + used, from, k);
      used += k;
      if (used < STAGE_BYTES) continue;
      int r = put_blocks(s, used, at);
      if (r) return r;
      at += used;
      used = 0;
    }
  }
  rest = used % BLOCK;
  if (rest) memset(s->stage + used, 0, BLOCK - rest);
  int r = used ? put_blocks(s, used + (rest ? BLOCK - rest : 0), at) : 0;
  if (!r && rest) memcpy(s->tail, s->stage + used - rest, rest);
  return r;
}
