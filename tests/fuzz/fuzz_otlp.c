/*
 * OTLP protobuf from outside: scan, count, decode, rewrite, edit, cut and place must agree with one another on any bytes. The first byte chooses the signal.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/otlp.h"
#include "core/part.h"

#define MUST(cond) do { if (!(cond)) abort(); } while (0)

static struct pool *pool;

static struct part *part_of(uint32_t signal, const void *p, size_t n, int decode) {
  struct part *part = NULL;
  struct weir_body *body = body_new(pool, n);
  MUST(body != NULL);
  if (n) memcpy(body->p, p, n);
  body->n = n;
  return part_from_otlp(pool, signal, body, body->p, n, WEIR_VALIDATE_FULL, decode, NULL, &part, NULL) ? NULL : part;
}

/* What a part puts on the wire must be accepted and hold its items. */
static void check_wire(struct part *part) {
  struct iov_list out = { NULL, 0, 0, { { NULL, 0 } } };
  struct arena scratch;
  size_t n = 0, bound = part_bytes(part);
  arena_init(&scratch, pool, 0);
  MUST(part_encode(part, &scratch, &out, &n, NULL) == 0);
  MUST(n <= bound && out.n <= 1);
  struct part *again = part_of(part->signal, n ? out.inline_v[0].p : "", n, 0);
  MUST(again && again->items == part->items);
  part_unref(again);
  iov_done(&out);
  arena_done(&scratch);
}

static void edit(struct part *part, struct weir_rec *rec, uint32_t i) {
  if (i % 3 == 0) part_attr_set(part, rec, weir_str_of("weir.fuzz"), weir_value_int(i));
  if (i % 3 == 1) part_touch(part, rec);
  if (i % 3 == 2 && rec->n_attrs) part_attr_delete(part, rec, rec->attrs[rec->n_attrs / 2].key);
}

static void edit_all(struct part *part) {
  uint32_t i = 0;
  for (uint32_t r = 0; r < part->tree->n_resources; r++) {
    struct weir_resource *res = part->tree->resources[r];
    edit(part, &res->rec, i++);
    for (uint32_t s = 0; s < res->n_scopes; s++) {
      edit(part, &res->scopes[s]->rec, i++);
      for (uint32_t k = 0; k < res->scopes[s]->n_records; k++) edit(part, res->scopes[s]->u.recs[k], i++);
    }
  }
}

static void cut(struct part *part, uint64_t step) {
  for (uint32_t times = 0; part->items > step && times < 50; times++) {
    struct part *head = NULL;
    MUST(part_split(pool, &part, step, &head, NULL) == 0);
    MUST(head->items == step);
    check_wire(head);
    part_unref(head);
  }
  check_wire(part);
  part_unref(part);
}

#define LANES 3u

static uint32_t n_records(const struct weir_data *d) {
  uint32_t n = 0;
  for (uint32_t r = 0; r < d->n_resources; r++)
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) n += d->resources[r]->scopes[s]->n_records;
  return n;
}

/* By where records belong: no item is lost, and each piece is a message. */
static void place(struct part *part) {
  struct part *pieces[LANES];
  uint32_t n = n_records(part->tree);
  uint64_t items = 0;
  uint8_t *lanes = malloc(n + 1);
  MUST(lanes != NULL);
  for (uint32_t i = 0; i < n; i++) lanes[i] = (uint8_t)((i * 7 + i / 5) % LANES);
  MUST(part_place(pool, part, lanes, LANES, 1, pieces, NULL) == 0);
  for (uint32_t i = 0; i < LANES; i++) {
    if (!pieces[i]) continue;
    items += pieces[i]->items;
    check_wire(pieces[i]);
    part_unref(pieces[i]);
  }
  MUST(items == part->items);
  free(lanes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };
  if (size == 0) return 0;
  if (!pool) pool_adopt(pool = pool_new(NULL));
  uint32_t signal = signals[data[0] % 3];
  struct otlp_counts c;
  struct weir_rpc_status status;
  struct weir_otlp_response response;
  rpc_status_parse((const char *)data + 1, size - 1, &status);
  otlp_response_parse((const char *)data + 1, size - 1, &response);
  int counted = otlp_count(signal, (const char *)data + 1, size - 1, NULL, &c, NULL);
  struct part *scanned = part_of(signal, data + 1, size - 1, 0), *decoded = part_of(signal, data + 1, size - 1, 1);
  MUST(!scanned == !decoded);
  if (!scanned) return 0;
  MUST(counted == 0 && c.items == scanned->items && c.items == decoded->items);
  check_wire(decoded);
  place(decoded);
  edit_all(decoded);
  check_wire(decoded);
  place(decoded);
  cut(decoded, 1 + decoded->items / 3);
  cut(scanned, 1);
  return 0;
}
