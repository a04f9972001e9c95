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

static int set_direct(int fd, int on) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) ? -1 : 0;
}

/* The first n bytes of `stage`. */
static int put_blocks(struct spool *s, int fd, size_t n, uint64_t at) {
  struct iovec iov = { s->stage, n };
  int r = spool_pwrite(s, fd, &iov, 1, at);
  if (r != EINVAL) return r;
  (void)set_direct(fd, 0); /* larger blocks than ours, or a write that ended inside of one */
  s->direct = 0;
  iov = (struct iovec){ s->stage, n };
  return spool_pwrite(s, fd, &iov, 1, at);
}

int spool_write_header(struct spool *s, int fd, const void *header) {
  s->direct = s->o.sync == SPOOL_ALWAYS && !s->o.buffered && set_direct(fd, 1) == 0;
  if (!s->direct) {
    struct iovec iov = { (void *)(uintptr_t)header, SEGMENT_HEADER };
    return spool_pwrite(s, fd, &iov, 1, 0);
  }
  if (!s->stage) {
    s->stage = aligned_alloc(BLOCK, STAGE_BYTES + BLOCK);
    WEIR_ASSERT(s->stage != NULL);
    s->tail = s->stage + STAGE_BYTES;
  }
  memcpy(s->tail, header, SEGMENT_HEADER);
  memcpy(s->stage, header, SEGMENT_HEADER);
  memset(s->stage + SEGMENT_HEADER, 0, BLOCK - SEGMENT_HEADER);
  return put_blocks(s, fd, BLOCK, 0); /* never through the page cache: a dirty page would be in the way of what comes */
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
      int r = put_blocks(s, s->active_fd, used, at);
      if (r) return r;
      at += used;
      used = 0;
    }
  }
  rest = used % BLOCK;
  if (rest) memset(s->stage + used, 0, BLOCK - rest);
  int r = used ? put_blocks(s, s->active_fd, used + (rest ? BLOCK - rest : 0), at) : 0;
  if (!r && rest) memcpy(s->tail, s->stage + used - rest, rest);
  return r;
}
