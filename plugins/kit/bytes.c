#include "plugins/kit/bytes.h"

#define FIRST_BYTES 1024u

int kit_bytes_grow(struct kit_bytes *b, size_t n) {
  size_t cap = b->cap ? b->cap * 2 : FIRST_BYTES;
  if (b->failed) return 0;
  while (cap - b->n < n) cap *= 2;
  char *p = realloc(b->p, cap);
  if (!p) {
    b->failed = 1;
    return 0;
  }
  b->p = p;
  b->cap = cap;
  return 1;
}

void kit_bytes_free(struct kit_bytes *b) {
  free(b->p);
  *b = (struct kit_bytes){ 0 };
}
