/*
 * Tail sampling's store: any sequence of put, compress, write, release and trim must agree with a naive model, byte for byte. The input is a list of operations of 4 bytes: what, which trace, and two
 * bytes of length or content. Afterwards a byte of a compressed segment that the input names is changed: reading must say so.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/support/tail_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPS_MAX 256u /* of one input, so that a run is short; with the bytes held at a time and those compared */
#define SPANS_MAX 2000u
#define BYTES_MAX (3u << 18)
#define CHECKED_MAX (1u << 20)

static uint32_t length_of(uint32_t how, uint32_t v) {
  switch (how) {
  case 0: return v % 16;
  case 1: return TS_SEGMENT_BYTES - 128 + v % 128;
  case 2: return TS_FRAME_BYTES * (1 + v % 20) + v / 20 % 3 - 1;
  default: return v % 4096;
  }
}

static uint64_t checked;

static void check(struct model *m, uint32_t trace) {
  for (uint32_t i = 0; i < m->traces[trace].n; i++) checked += m->traces[trace].spans[i].n;
  if (checked < CHECKED_MAX) MODEL_MUST(model_check(m, trace) == 0);
}

static void step(struct model *m, const uint8_t *op) {
  uint32_t trace = op[1] % 16, v = (uint32_t)op[2] << 8 | op[3];
  switch (op[0] % 8) {
  case 0: model_release(m, trace); break;
  case 1: check(m, trace); break;
  case 2: MODEL_MUST(ts_store_compress_one(m->store) >= 0); break;
  case 3:
    if (v % 4) model_batch(m, v);
    else ts_store_trim(m->store);
    break;
  default:
    for (uint32_t i = 0; i <= op[1] / 16u; i++) { /* up to 16 alike */
      uint32_t n = length_of(op[0] / 8 % 8, v);
      if (m->spans >= SPANS_MAX || m->wire_bytes + n > BYTES_MAX) return;
      MODEL_MUST(model_put(m, trace, v % MODEL_RESOURCES, v / MODEL_RESOURCES % MODEL_SCOPES, n, v + i));
    }
  }
}

static struct ts_segment *first_packed(const struct ts_store *s) {
  for (uint64_t seq = s->first; seq < s->end; seq++) {
    struct ts_segment *seg = s->ring[seq & (s->cap - 1)];
    if (seg && seg->state == TS_PACKED) return seg;
  }
  return NULL;
}

/* Every byte of the frames and of their ends counts: each trace is written as it was, or not at all. */
static void damage(struct model *m, uint32_t where, uint8_t flip) {
  struct ts_segment *seg = first_packed(m->store);
  if (!seg || !flip) return;
  char *byte = (char *)seg->index + where % (seg->block_bytes - seg->n * sizeof(struct ts_entry));
  *byte = (char)(*byte ^ flip);
  ts_store_trim(m->store);
  for (uint32_t i = 0; i < 16; i++) {
    struct kit_bytes got = { 0 }, want = { 0 };
    int r = ts_store_write(m->store, m->traces[i].newest, &got);
    MODEL_MUST(r == 0 || (r == WEIR_E_INVALID && got.n == 0));
    if (r == 0) model_write(m, &m->traces[i], &want);
    MODEL_MUST(got.n == want.n && (got.n == 0 || memcmp(got.p, want.p, got.n) == 0));
    kit_bytes_free(&got);
    kit_bytes_free(&want);
  }
  *byte = (char)(*byte ^ flip);
  ts_store_trim(m->store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct model m;
  struct ts_store_stats st;
  if (size < 4) return 0;
  checked = 0;
  MODEL_MUST(model_start(&m));
  ts_store_stats(m.store, &st);
  for (size_t at = 4; at + 4 <= size && at < 4 * OPS_MAX; at += 4) step(&m, data + at);
  damage(&m, (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2], data[3]);
  model_empty(&m, st.bytes);
  model_end(&m);
  return 0;
}
