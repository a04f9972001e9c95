/*
 * The loki exporter with hostile records and hostile answers. The first byte chooses: an answer to read, or OTLP logs (protobuf or JSON) to push. What is made
 * reads back: every record is in it once, entries of a stream come by time, streams differ, and names and labels are such that Loki can not refuse them all.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/otlp_json.h"
#include "core/wire.h"
#include "exporters/loki/answer.c"
#include "exporters/loki/labels.c"
#include "exporters/loki/push.c"
#include "plugins/kit/base64.c"
#include "plugins/kit/bytes.c"
#include "plugins/kit/decimal.c"
#include "plugins/kit/value_text.c"

#define MUST(cond) do { if (!(cond)) abort(); } while (0)
#define LIMIT (1u << 20)

static struct pool *pool;
static const char *const resource[] = { "a", "service.name", "r" }, *const record[] = { "k", "a" };
static const struct loki_labels_config rules = { .resource = { resource, 3 }, .record = { record, 2 }, .max = 3 };

static void check_name(const char *p, size_t n) {
  MUST(n && n <= LOKI_LABEL_NAME_MAX && !(p[0] >= '0' && p[0] <= '9') && !only_underscores(p, n));
  for (size_t i = 0; i < n; i++) MUST(is_alnum(p[i]) || p[i] == '_');
}

static uint64_t check_entry(const char *p, const char *end) {
  struct wire_field f, g;
  uint64_t time = 0;
  while (p < end) {
    MUST((p = wire_next(p, end, &f)));
    for (const char *q = f.p; f.number == 1 && q < f.p + f.v;) {
      MUST((q = wire_next(q, f.p + f.v, &g)) && g.number <= 2);
      time += g.number == 1 ? g.v * 1000000000 : g.v;
    }
    if (f.number != 3) continue;
    MUST(wire_next(f.p, f.p + f.v, &g) && g.number == 1);
    check_name(g.p, g.v);
  }
  return time;
}

/* Returns the number of entries. */
static uint64_t check_request(const char *p, const char *end) {
  struct wire_field s, f;
  uint64_t n = 0;
  while (p < end) {
    uint64_t last = 0;
    MUST((p = wire_next(p, end, &s)) && s.number == 1);
    for (const char *q = s.p; q < s.p + s.v;) {
      MUST((q = wire_next(q, s.p + s.v, &f)) && (f.number == 1 || f.number == 2));
      if (f.number == 1) {
        MUST(f.v > 4 && f.p[0] == '{' && f.p[f.v - 1] == '}' && !memchr(f.p, '\n', f.v));
        continue;
      }
      uint64_t time = check_entry(f.p, f.p + f.v);
      MUST(time >= last);
      last = time;
      n++;
    }
  }
  return n;
}

static char *gather(const struct weir_iov *iov, size_t n, size_t *ret_n) {
  size_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += iov[i].n;
  char *out = malloc(bytes + 1), *to = out;
  for (size_t i = 0; i < n; i++) {
    memcpy(to, iov[i].p, iov[i].n);
    to += iov[i].n;
  }
  *ret_n = bytes;
  return out;
}

static void push_both(const struct weir_data *d, uint64_t items) {
  for (int json = 0; json < 2; json++) {
    const struct weir_iov *iov;
    struct weir_error err = { 0 };
    struct push *p = push_new(&rules, json, LIMIT);
    size_t n;
    for (int round = 0; round < 2; round++) {
      int r = push_encode(p, d, 1700000000000000000u, &iov, &n, &err);
      MUST(r == 0 || r == WEIR_E_LIMIT);
      if (r) continue;
      char *out = gather(iov, n, &n);
      if (!json) MUST(check_request(out, out + n) == items);
      else MUST(n > 13 && !memcmp(out, "{\"streams\":[", 12) && !memcmp(out + n - 2, "]}", 2));
      free(out);
    }
    push_free(p);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct weir_body *message = NULL;
  struct otlp_counts c;
  struct arena a;
  struct weir_data d;
  if (size == 0) return 0;
  if (!pool) pool_adopt(pool = pool_new(NULL));
  const char *p = (const char *)data + 1;
  size_t n = size - 1;
  if (data[0] % 3 == 0) {
    (void)loki_refused(p, n);
    (void)loki_says_no_schema(p, n);
    return 0;
  }
  if (data[0] % 3 == 1) {
    if (otlp_json_decode(pool, WEIR_LOGS, p, n, NULL, &message, &c, NULL)) return 0;
    p = message->p;
    n = message->n;
  }
  arena_init(&a, pool, 0);
  if (otlp_decode(WEIR_LOGS, &a, p, n, NULL, &d, &c, NULL) == 0) push_both(&d, c.items);
  arena_done(&a);
  body_free(message);
  return 0;
}
