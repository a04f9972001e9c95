#include "buffer.h"

#include <stdlib.h>

int rw_grow(struct rw_buf *b, size_t n) {
  size_t cap = b->cap ? b->cap : 4096;
  if (b->failed) return -1;
  while (cap - b->n < n) cap *= 2;
  char *p = realloc(b->p, cap);
  if (!p) {
    b->failed = 1;
    return -1;
  }
  b->p = p;
  b->cap = cap;
  return 0;
}

void rw_buf_done(struct rw_buf *b) {
  free(b->p);
  memset(b, 0, sizeof *b);
}

void rw_close(struct rw_buf *b, size_t begin, size_t digits) {
  if (b->failed) return;
  size_t length = b->n - begin, want = rw_varint_size(length);
  if (want != digits) {
    if (want > digits && rw_need(b, want - digits)) return;
    memmove(b->p + begin + want - digits, b->p + begin, length);
    b->n = begin + want - digits + length;
  }
  rw_put_varint(b->p + begin - digits, length);
}
