/* What a gRPC peer controls: the message framing (identity and each encoding), grpc-timeout, grpc-message, grpc-status, details. */
#include <stdlib.h>
#include <string.h>

#include "core/compress.h"
#include "core/grpc_message.h"
#include "core/grpc_status.h"

#define LIMIT 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth) {
  if (!truth) abort();
}

static void framing(struct pool *pool, const char *encoding, const char *p, size_t n) {
  static const struct grpc_limit limit = { LIMIT, "the limit", 0 };
  struct grpc_message m;
  struct weir_error err = { 0 };
  uint32_t code = grpc_message_read(pool, weir_str_of(encoding), p, n, &limit, &m, &err);
  if (code != WEIR_GRPC_OK) {
    must(err.msg[0] != 0 && m.inflated == NULL);
    return;
  }
  must(m.n <= LIMIT && (m.inflated != NULL || m.n + GRPC_PREFIX == n));
  must(m.inflated == NULL || m.inflated->n == m.n);
  body_free(m.inflated);
}

static void timeout(struct weir_str s) {
  int64_t ns, back;
  char buf[GRPC_TIMEOUT_CAP];
  if (grpc_timeout_parse(s, &ns)) return;
  must(ns >= 0);
  size_t n = grpc_timeout_format(ns, buf);
  must(n >= 2 && n <= 9 && !grpc_timeout_parse((struct weir_str){ buf, (uint32_t)n, 0 }, &back) && back >= ns);
}

static void message(struct weir_str s) {
  char plain[GRPC_MSG_MAX + 1], encoded[3 * GRPC_MSG_MAX], again[GRPC_MSG_MAX + 1];
  grpc_msg_decode(s, plain, sizeof plain);
  size_t n = grpc_msg_encode(plain, encoded, sizeof encoded);
  for (size_t i = 0; i < n; i++) must(encoded[i] >= 0x20 && encoded[i] <= 0x7e);
  grpc_msg_decode((struct weir_str){ encoded, (uint32_t)n, 0 }, again, sizeof again);
  must(strncmp(plain, again, strlen(again)) == 0);
}

static void details(struct weir_str s) {
  char bytes[GRPC_DETAILS_MAX], text[2 * GRPC_DETAILS_MAX], back[GRPC_DETAILS_MAX];
  size_t n, back_n;
  must(grpc_details_retry_after(s) >= -1);
  if (grpc_base64_decode(s, bytes, sizeof bytes, &n)) return;
  size_t text_n = grpc_base64_encode(bytes, n, text, sizeof text);
  must(!grpc_base64_decode((struct weir_str){ text, (uint32_t)text_n, 0 }, back, sizeof back, &back_n));
  must(back_n == n && memcmp(bytes, back, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *p = (const char *)data;
  struct weir_str s = { p, (uint32_t)size, 0 };
  struct pool *pool = pool_new(NULL);
  framing(pool, "gzip", p, size);
  framing(pool, "zstd", p, size);
  framing(pool, "snappy", p, size);
  framing(pool, "identity", p, size);
  pool_free(pool);
  timeout(s);
  message(s);
  details(s);
  must(grpc_code_parse(s) <= WEIR_GRPC_UNAUTHENTICATED);
  return 0;
}
