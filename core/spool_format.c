#include "core/crc32c.h"
#include "core/spool_internal.h"

/* The three things that stand on disk. Every one has its checksum in bytes 4..7, over the salt (records) and all bytes behind it. */

static void put16(unsigned char *p, uint16_t v) { memcpy(p, &v, sizeof v); } /* little endian, asserted by otlp_table.c */
static void put32(unsigned char *p, uint32_t v) { memcpy(p, &v, sizeof v); }
static void put64(unsigned char *p, uint64_t v) { memcpy(p, &v, sizeof v); }

static uint16_t get16(const unsigned char *p) {
  uint16_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

static uint32_t get32(const unsigned char *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

static uint64_t get64(const unsigned char *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

static void seal(unsigned char *p, uint32_t magic, uint32_t salt, size_t n) {
  put32(p, magic);
  put32(p + 4, crc32c(salt, p + 8, n - 8));
}

static int is_sealed(const unsigned char *p, uint32_t magic, uint32_t salt, size_t n) {
  return get32(p) == magic && get32(p + 4) == crc32c(salt, p + 8, n - 8);
}

uint32_t uuid_salt(const unsigned char *uuid) { return crc32c(0, uuid, UUID_BYTES); }

void segment_header_write(unsigned char *p, const struct segment_header *h) {
  memset(p, 0, SEGMENT_HEADER);
  put32(p + 8, FORMAT_VERSION);
  memcpy(p + 16, h->uuid, UUID_BYTES);
  put64(p + 32, h->first_seq);
  put64(p + 40, h->first_items);
  put64(p + 48, h->epoch);
  put64(p + 56, (uint64_t)h->created_unix_ns);
  seal(p, SEGMENT_MAGIC, 0, SEGMENT_HEADER);
}

int segment_header_read(const unsigned char *p, struct segment_header *h) {
  if (!is_sealed(p, SEGMENT_MAGIC, 0, SEGMENT_HEADER) || get32(p + 8) != FORMAT_VERSION) return 0;
  memcpy(h->uuid, p + 16, UUID_BYTES);
  h->first_seq = get64(p + 32);
  h->first_items = get64(p + 40);
  h->epoch = get64(p + 48);
  h->created_unix_ns = (int64_t)get64(p + 56);
  return h->first_seq > 0 && h->first_seq < UINT64_MAX / 2;
}

void record_header_write(unsigned char *p, uint32_t salt, const struct record_header *h) {
  put64(p + 8, h->seq);
  put64(p + 16, h->items_before);
  put64(p + 24, (uint64_t)h->enqueue_unix_ns);
  put32(p + 32, h->data_n);
  put32(p + 36, h->items);
  put32(p + 40, h->data_crc);
  put16(p + 44, h->context_n);
  p[46] = h->signal;
  p[47] = h->flags;
  seal(p, RECORD_MAGIC, salt, RECORD_HEADER);
}

int record_header_read(const unsigned char *p, uint32_t salt, struct record_header *h) {
  if (!is_sealed(p, RECORD_MAGIC, salt, RECORD_HEADER)) return 0;
  h->seq = get64(p + 8);
  h->items_before = get64(p + 16);
  h->enqueue_unix_ns = (int64_t)get64(p + 24);
  h->data_n = get32(p + 32);
  h->items = get32(p + 36);
  h->data_crc = get32(p + 40);
  h->context_n = get16(p + 44);
  h->signal = p[46];
  h->flags = p[47];
  return h->data_n <= SPOOL_RECORD_MAX - RECORD_HEADER && h->context_n <= h->data_n;
}

void cursor_slot_write(unsigned char *p, const struct cursor_slot *c) {
  memcpy(p + 8, c->uuid, UUID_BYTES);
  put64(p + 24, c->seq);
  put64(p + 32, c->items);
  put64(p + 40, c->end_seq);
  put64(p + 48, c->end_items);
  put32(p + 56, c->generation);
  put32(p + 60, c->released);
  seal(p, CURSOR_MAGIC, 0, CURSOR_SLOT);
}

int cursor_slot_read(const unsigned char *p, struct cursor_slot *c) {
  if (!is_sealed(p, CURSOR_MAGIC, 0, CURSOR_SLOT)) return 0;
  memcpy(c->uuid, p + 8, UUID_BYTES);
  c->seq = get64(p + 24);
  c->items = get64(p + 32);
  c->end_seq = get64(p + 40);
  c->end_items = get64(p + 48);
  c->generation = get32(p + 56);
  c->released = get32(p + 60);
  return c->generation > 0 && c->seq > 0 && c->seq <= c->end_seq && c->end_seq < UINT64_MAX / 2;
}
