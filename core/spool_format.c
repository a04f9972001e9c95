#include "core/crc32c.h"
#include "core/spool_internal.h"

/* The structures of spool_internal.h are what stands on disk: little endian is asserted by otlp_table.c, layout here. Each begins with a magic number and the checksum of the rest. */

_Static_assert(sizeof(struct segment_header) == SEGMENT_HEADER && offsetof(struct segment_header, first_seq) == 32, "format");
_Static_assert(sizeof(struct record_header) == RECORD_HEADER && offsetof(struct record_header, data_n) == 32, "format");
_Static_assert(sizeof(struct cursor_slot) == CURSOR_SLOT && offsetof(struct cursor_slot, seq) == 24, "format");

static void seal(void *to, struct sealed *s, uint32_t magic, uint32_t salt, size_t n) {
  s->magic = magic;
  s->crc = crc32c(salt, (char *)s + sizeof *s, n - sizeof *s);
  memcpy(to, s, n);
}

static int unseal(const void *from, struct sealed *s, uint32_t magic, uint32_t salt, size_t n) {
  memcpy(s, from, sizeof *s);
  if (s->magic != magic) return 0; /* before the rest, as a search asks at every place */
  memcpy(s, from, n);
  return s->crc == crc32c(salt, (char *)s + sizeof *s, n - sizeof *s);
}

uint32_t uuid_salt(const unsigned char *uuid) { return crc32c(0, uuid, UUID_BYTES); }

void segment_header_write(void *to, struct segment_header *h) {
  h->version = FORMAT_VERSION;
  seal(to, &h->sealed, SEGMENT_MAGIC, 0, sizeof *h);
}

int segment_header_read(const void *from, struct segment_header *h) {
  return unseal(from, &h->sealed, SEGMENT_MAGIC, 0, sizeof *h) && h->version == FORMAT_VERSION && h->first_seq > 0 && h->first_seq < UINT64_MAX / 2;
}

void record_header_write(void *to, uint32_t salt, struct record_header *h) { seal(to, &h->sealed, RECORD_MAGIC, salt, sizeof *h); }

int record_header_read(const void *from, uint32_t salt, struct record_header *h) {
  return unseal(from, &h->sealed, RECORD_MAGIC, salt, sizeof *h) && h->data_n <= SPOOL_RECORD_MAX - RECORD_HEADER && h->context_n <= h->data_n;
}

void cursor_slot_write(void *to, struct cursor_slot *c) { seal(to, &c->sealed, CURSOR_MAGIC, 0, sizeof *c); }

int cursor_slot_read(const void *from, struct cursor_slot *c) {
  return unseal(from, &c->sealed, CURSOR_MAGIC, 0, sizeof *c) && c->generation > 0 && c->seq > 0 && c->seq <= c->end_seq && c->end_seq < UINT64_MAX / 2;
}
