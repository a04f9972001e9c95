#include "core/grpc_message.h"

#include <string.h>

#include "core/compress.h"
#include "core/parse.h"

void grpc_prefix_put(char prefix[GRPC_PREFIX], int compressed, uint32_t n) {
  prefix[0] = compressed ? 1 : 0;
  prefix[1] = (char)(n >> 24);
  prefix[2] = (char)(n >> 16);
  prefix[3] = (char)(n >> 8);
  prefix[4] = (char)n;
}

static uint32_t prefix_length(const char *p) {
  const unsigned char *u = (const unsigned char *)p;
  return (uint32_t)u[1] << 24 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 8 | u[4];
}

static int is_identity(struct weir_str encoding) { return encoding.n == 0 || weir_str_eq(encoding, weir_str_of("identity")); }

static const struct {
  const char *name, *out; /* out: what core/compress.h calls what is written */
} encodings[] = { { "gzip", "gzip" }, { "zstd", "zstd" }, { "snappy", "x-snappy-framed" } };

int grpc_encoding_known(struct weir_str encoding) {
  for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
    if (weir_str_eq(encoding, weir_str_of(encodings[i].name))) return 1;
  return is_identity(encoding);
}

int grpc_encoding_out(const char *name, const char **ret_name, const char **ret_out) {
  *ret_name = *ret_out = NULL;
  if (!name || !*name || strcmp(name, "none") == 0) return 0;
  for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
    if (strcmp(name, encodings[i].name) == 0) {
      *ret_name = encodings[i].name;
      *ret_out = encodings[i].out;
      return 0;
    }
  return WEIR_E_UNSUPPORTED;
}

uint32_t grpc_message_over(uint64_t n, const struct grpc_limit *limit, struct weir_error *err) {
  char size[32], exact[48] = "message";
  if (n) snprintf(exact, sizeof exact, "message of %llu bytes", (unsigned long long)n);
  weir_fail(err, WEIR_E_LIMIT, "%s is over %s (%s)", exact, limit->name, parse_format_bytes(limit->max_bytes, size, sizeof size));
  return WEIR_GRPC_RESOURCE_EXHAUSTED;
}

WEIR_PRINTF(2, 3)
static uint32_t broken(struct weir_error *err, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(err->msg, sizeof err->msg, fmt, ap);
  va_end(ap);
  err->code = WEIR_E_INVALID;
  return WEIR_GRPC_INTERNAL;
}

static uint32_t inflate(
  struct pool *pool, struct weir_str encoding, const struct grpc_limit *limit, struct grpc_message *m, struct weir_error *err) {
  struct weir_error why = { 0 };
  int r = compress_inflate(pool, encoding, m->p, m->n, limit->max_bytes, limit->overdraw, &m->inflated, &why);
  if (r == WEIR_E_LIMIT) {
    char size[32];
    weir_fail(err, r, "message is over %s (%s) after decompression", limit->name, parse_format_bytes(limit->max_bytes, size, sizeof size));
    return WEIR_GRPC_RESOURCE_EXHAUSTED;
  }
  if (r) {
    weir_fail(err, r, "cannot decompress the message: %s", why.msg);
    return r == WEIR_E_NOMEM ? WEIR_GRPC_UNAVAILABLE : WEIR_GRPC_INTERNAL;
  }
  m->p = m->inflated->p;
  m->n = m->inflated->n;
  return WEIR_GRPC_OK;
}

uint32_t grpc_message_read(struct pool *pool, struct weir_str encoding, const char *body, size_t n, const struct grpc_limit *limit,
  struct grpc_message *ret, struct weir_error *err) {
  *ret = (struct grpc_message){ 0 };
  if (n == 0) return broken(err, "no message: the body is empty");
  if (n < GRPC_PREFIX) return broken(err, "the body ends inside the 5-byte message prefix");
  uint32_t declared = prefix_length(body);
  if (body[0] != 0 && body[0] != 1) return broken(err, "message prefix: compressed flag %d, expected 0 or 1", (unsigned char)body[0]);
  if (declared > limit->max_bytes) return grpc_message_over(declared, limit, err);
  if (declared > n - GRPC_PREFIX) return broken(err, "message of %u bytes ends after %zu", declared, n - GRPC_PREFIX);
  if (declared < n - GRPC_PREFIX)
    return broken(err, "%zu bytes after the message: a unary call has one message", n - GRPC_PREFIX - declared);
  ret->p = body + GRPC_PREFIX;
  ret->n = declared;
  if (!body[0]) return WEIR_GRPC_OK;
  if (is_identity(encoding)) return broken(err, "the compressed flag is set, but grpc-encoding names no compression");
  return inflate(pool, encoding, limit, ret, err);
}
