/*
 * OTLP/JSON from outside: what is accepted becomes protobuf that the scan accepts under the same limits, with the same number of records, and JSON again that reads
 * back as the same; a refusal names a byte of the input. The first byte chooses the signal.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/otlp_json.h"

#define MUST(cond) do { if (!(cond)) abort(); } while (0)

static struct pool *pool;

/* The tree of a message as JSON. */
static struct weir_body *json_of(uint32_t signal, const struct weir_body *message) {
  struct arena a;
  struct weir_data tree;
  struct otlp_counts c;
  struct weir_body *json = NULL;
  arena_init(&a, pool, 0);
  MUST(otlp_decode(signal, &a, message->p, message->n, NULL, &tree, &c, NULL) == 0);
  MUST(otlp_json_encode(pool, &tree, &json, NULL) == 0);
  arena_done(&a);
  return json;
}

static void small_messages(const char *p, size_t n) {
  char text[64], out[700];
  struct weir_otlp_response r;
  struct weir_rpc_status s;
  if (otlp_json_response_parse(p, n, &r, text, sizeof text) == 0 && r.message.n) MUST(strlen(r.message.p) == r.message.n || memchr(r.message.p, 0, r.message.n));
  if (otlp_json_status_parse(p, n, &s)) return;
  size_t len = otlp_json_status_make(s.code, s.msg, s.retry_after_ns, out, sizeof out);
  MUST(len <= sizeof out && otlp_json_status_parse(out, len, &s) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };
  if (size == 0) return 0;
  if (!pool) pool_adopt(pool = pool_new(NULL));
  uint32_t signal = signals[data[0] % 3];
  const char *p = (const char *)data + 1;
  struct weir_body *message, *again;
  struct otlp_counts c, scanned;
  struct weir_error err;
  memset(&err, 0, sizeof err);
  small_messages(p, size - 1);
  if (otlp_json_decode(pool, signal, p, size - 1, NULL, &message, &c, &err)) {
    MUST(err.code != WEIR_E_INVALID || (err.offset <= size - 1 && strstr(err.msg, "(at byte ")));
    return 0;
  }
  MUST(otlp_scan(signal, message->p, message->n, NULL, &scanned, NULL) == 0 && scanned.items == c.items);
  struct weir_body *json = json_of(signal, message);
  MUST(otlp_json_decode(pool, signal, json->p, json->n, NULL, &again, &c, &err) == 0 && c.items == scanned.items);
  struct weir_body *same = json_of(signal, again);
  MUST(same->n == json->n && memcmp(same->p, json->p, json->n) == 0);
  body_free(message);
  body_free(json);
  body_free(again);
  body_free(same);
  return 0;
}
