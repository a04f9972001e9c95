/*
 * plugins/grpc_core/bytes.c - between gRPC's slices and byte buffers, and bodies of the lane.
 */
#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>

#include "core/clock.h"
#include "core/assert.h"
#include "plugins/grpc_core/engine.h"

#define QUOTA_MIN (32u << 20)
#define QUOTA_MAX (128u << 20)
#define QUOTA_MESSAGES 8u

struct weir_str slice_str(const grpc_slice *s) {
  return (struct weir_str){ (const char *)GRPC_SLICE_START_PTR(*s), (uint32_t)GRPC_SLICE_LENGTH(*s), 0 };
}

grpc_slice slice_of(const char *p, size_t n) { return grpc_slice_from_copied_buffer(p, n); }

static struct weir_str encoding_of(const grpc_byte_buffer *b) {
  if (b->data.raw.compression == GRPC_COMPRESS_GZIP) return weir_str_of("gzip");
  if (b->data.raw.compression == GRPC_COMPRESS_DEFLATE) return weir_str_of("deflate");
  return weir_str_of("");
}

struct weir_body *body_of_message(struct pool *pool, grpc_byte_buffer *b, int overdraw, struct weir_str *ret_encoding) {
  const grpc_slice_buffer *slices = &b->data.raw.slice_buffer;
  size_t n = slices->length;
  struct weir_body *body = overdraw ? body_overdraw(pool, GRPC_PREFIX + n) : body_new(pool, GRPC_PREFIX + n);
  *ret_encoding = encoding_of(b);
  if (body) {
    unsigned char prefix[GRPC_PREFIX] = { ret_encoding->n != 0, (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n };
    memcpy(body->p, prefix, sizeof prefix);
    body->n = GRPC_PREFIX;
    for (size_t i = 0; i < slices->count; i++) { /* 41 KB come in 8 to 15 slices */
      memcpy(body->p + body->n, GRPC_SLICE_START_PTR(slices->slices[i]), GRPC_SLICE_LENGTH(slices->slices[i]));
      body->n += GRPC_SLICE_LENGTH(slices->slices[i]);
    }
  }
  grpc_byte_buffer_destroy(b);
  return body;
}

grpc_byte_buffer *message_of_slice(grpc_slice s, int gzip) {
  grpc_byte_buffer *b = gzip ? grpc_raw_compressed_byte_buffer_create(&s, 1, GRPC_COMPRESS_GZIP) : grpc_raw_byte_buffer_create(&s, 1);
  grpc_slice_unref(s);
  return b;
}

size_t text_length(const char *msg) {
  size_t n = strnlen(msg, MESSAGE_TEXT_MAX);
  if (n < MESSAGE_TEXT_MAX) return n;
  for (int i = 0; i < 3 && ((unsigned char)msg[n] & 0xc0) == 0x80; i++) n--;
  return n;
}

/* gRPC writes addresses as URIs: "ipv6:%5B::1%5D:4317". */
void peer_text(const char *peer, char *buf, size_t cap) {
  size_t n = 0;
  if (!peer || (strncmp(peer, "ipv4:", 5) != 0 && strncmp(peer, "ipv6:", 5) != 0)) {
    snprintf(buf, cap, "%s", peer && !strncmp(peer, "unix", 4) ? "unix" : "");
    return;
  }
  for (const char *p = peer + 5; *p && n + 1 < cap; p++) {
    char c = *p;
    if (!strncmp(p, "%5B", 3) || !strncmp(p, "%5D", 3) || !strncmp(p, "%25", 3)) {
      c = p[1] == '2' ? '%' : p[2] == 'B' ? '[' : ']';
      p += 2;
    }
    buf[n++] = c;
  }
  buf[n] = 0;
}

/* --- channel arguments ----------------------------------------------------------------------------------- */

static grpc_arg *add_arg(struct args *a, const char *key, grpc_arg_type type) {
  WEIR_ASSERT(a->n < sizeof a->v / sizeof *a->v);
  grpc_arg *arg = &a->v[a->n++];
  memset(arg, 0, sizeof *arg);
  arg->type = type;
  arg->key = (char *)(uintptr_t)key;
  return arg;
}

int ms_of(int64_t ns) {
  int64_t ms = ns / NS_PER_MS;
  return ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (int)ms;
}

void arg_int(struct args *a, const char *key, int value) { add_arg(a, key, GRPC_ARG_INTEGER)->value.integer = value; }
void arg_str(struct args *a, const char *key, const char *value) { add_arg(a, key, GRPC_ARG_STRING)->value.string = (char *)(uintptr_t)value; }

void arg_quota(struct args *a, grpc_resource_quota *quota) {
  grpc_arg *arg = add_arg(a, GRPC_ARG_RESOURCE_QUOTA, GRPC_ARG_POINTER);
  arg->value.pointer.p = quota;
  arg->value.pointer.vtable = grpc_resource_quota_arg_vtable();
}

/* gRPC 1.51 collects a message whole, whatever length it declares, before anybody can judge its size (300 MB at a limit of 4 MiB: 295 MB resident), and that
 * memory is not in the byte budget. So it has a bound beside it, over which gRPC resets streams: an eighth of the budget, within bounds, and room for some
 * messages of the permitted size. */
grpc_resource_quota *quota_new(const struct budget *budget, uint64_t max_message_bytes) {
  uint64_t bytes = budget->limit && budget->limit / 8 < QUOTA_MAX ? budget->limit / 8 : QUOTA_MAX;
  if (bytes < QUOTA_MIN) bytes = QUOTA_MIN;
  if (bytes < QUOTA_MESSAGES * max_message_bytes) bytes = QUOTA_MESSAGES * max_message_bytes;
  grpc_resource_quota *quota = grpc_resource_quota_create("weir");
  grpc_resource_quota_resize(quota, (size_t)bytes);
  return quota;
}
