/* Compression of sealed segments in frames, and reading them back by the frame. */
#include <stdlib.h>
#include <string.h>

#include <zstd_errors.h>

#include <weir/error.h>

#include "store_internal.h"

#define LEVEL 1

/* --- the codec's memory is part of the store's ----------------------------------------------------------- */

static int have_cctx(struct ts_store *s) {
  if (s->cctx) return 1;
  if (!(s->cctx = ZSTD_createCCtx())) return 0;
  ZSTD_CCtx_setParameter(s->cctx, ZSTD_c_compressionLevel, LEVEL);
  ZSTD_CCtx_setParameter(s->cctx, ZSTD_c_checksumFlag, 1);
  s->bytes += ZSTD_sizeof_CCtx(s->cctx);
  return 1;
}

static int have_dctx(struct ts_store *s) {
  if (s->dctx) return 1;
  if (!(s->dctx = ZSTD_createDCtx())) return 0;
  s->bytes += ZSTD_sizeof_DCtx(s->dctx);
  return 1;
}

static uint32_t frames_of(const struct ts_segment *seg) { return (seg->bytes + TS_FRAME_BYTES - 1) / TS_FRAME_BYTES; }

static uint32_t frame_length(const struct ts_segment *seg, uint32_t frame) {
  uint32_t left = seg->bytes - frame * TS_FRAME_BYTES;
  return left < TS_FRAME_BYTES ? left : TS_FRAME_BYTES;
}

/* --- compressing ----------------------------------------------------------------------------------------- */

static struct ts_segment *next_to_pack(struct ts_store *s) {
  for (; s->packing.next < s->end; s->packing.next++) {
    struct ts_segment *seg = s->ring[s->packing.next & (s->cap - 1)];
    if (seg && seg->state == TS_OPEN) return NULL;
    if (seg && seg->state == TS_SEALED) return seg;
  }
  return NULL;
}

/* What does not get shorter by 1/16 stays as it is. */
static int begin(struct ts_store *s, const struct ts_segment *seg) {
  struct ts_packing *p = &s->packing;
  size_t cap = seg->bytes - seg->bytes / 16, floor = TS_BLOCK_BYTES;
  if (cap < floor) cap = floor;
  if (p->out && p->cap != cap) {
    ts_block_give(s, p->out, p->cap);
    p->out = NULL;
  }
  if (!p->out && !(p->out = ts_store_alloc(s, cap))) return WEIR_E_NOMEM;
  p->cap = cap;
  p->seq = seg->seq;
  p->frame = 0;
  p->n = frames_of(seg) * sizeof(uint32_t);
  return 0;
}

/* 0; WEIR_E_NOMEM; 1: there is no room. */
static int pack_frame(struct ts_store *s, const struct ts_segment *seg) {
  struct ts_packing *p = &s->packing;
  size_t limit = seg->bytes - seg->bytes / 16, before = ZSTD_sizeof_CCtx(s->cctx);
  if (p->n >= limit) return 1;
  size_t n = ZSTD_compress2(s->cctx, p->out + p->n, limit - p->n, seg->block + (size_t)p->frame * TS_FRAME_BYTES, frame_length(seg, p->frame));
  s->bytes += ZSTD_sizeof_CCtx(s->cctx) - before;
  if (ZSTD_isError(n)) return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ? 1 : WEIR_E_NOMEM;
  p->n += n;
  uint32_t end = (uint32_t)p->n;
  memcpy(p->out + p->frame++ * sizeof end, &end, sizeof end);
  return 0;
}

static int finish(struct ts_store *s, struct ts_segment *seg) {
  size_t index = seg->n * sizeof(struct ts_entry), bytes = index + s->packing.n;
  char *block = ts_store_alloc(s, bytes);
  if (!block) return WEIR_E_NOMEM;
  memcpy(block, seg->index - seg->n, index);
  memcpy(block + index, s->packing.out, s->packing.n);
  ts_block_give(s, seg->block, seg->block_bytes);
  seg->block = block;
  seg->block_bytes = bytes;
  seg->index = (struct ts_entry *)(void *)(block + index);
  seg->state = TS_PACKED;
  s->packed_segments++;
  s->packed_bytes += bytes;
  return 0;
}

int ts_store_compress_one(struct ts_store *s) {
  struct ts_segment *seg = next_to_pack(s);
  if (!seg) return 0;
  if (!have_cctx(s) || (s->packing.seq != seg->seq && begin(s, seg))) return WEIR_E_NOMEM;
  int r = 0;
  uint32_t end = frames_of(seg), stop = s->packing.frame + TS_SEGMENT_BYTES / TS_FRAME_BYTES;
  while (!r && s->packing.frame < end && s->packing.frame < stop) r = pack_frame(s, seg);
  if (r == 1) seg->state = TS_INCOMPRESSIBLE;
  else if (!r && s->packing.frame == end) r = finish(s, seg);
  return r < 0 ? r : 1;
}

/* --- reading --------------------------------------------------------------------------------------------- */

static struct ts_frame *least_used(struct ts_store *s) {
  struct ts_frame *f = &s->frames[0];
  for (uint32_t i = 1; i < TS_CACHED_FRAMES; i++)
    if (s->frames[i].used < f->used) f = &s->frames[i];
  return f;
}

static int unpack(struct ts_store *s, const struct ts_segment *seg, uint32_t number, struct ts_frame *f) {
  const char *ends = (const char *)seg->index;
  uint32_t from = frames_of(seg) * (uint32_t)sizeof from, to;
  f->n = 0;
  if (!have_dctx(s) || (!f->p && !(f->p = ts_store_alloc(s, TS_FRAME_BYTES)))) return WEIR_E_NOMEM;
  if (number) memcpy(&from, ends + (number - 1) * sizeof from, sizeof from);
  memcpy(&to, ends + number * sizeof to, sizeof to);
  if (from > to || to > seg->block_bytes - seg->n * sizeof(struct ts_entry)) return WEIR_E_INVALID;
  if (ZSTD_decompressDCtx(s->dctx, f->p, TS_FRAME_BYTES, ends + from, to - from) != frame_length(seg, number)) return WEIR_E_INVALID;
  s->unpacked += frame_length(seg, number);
  f->seq = seg->seq;
  f->number = number;
  f->n = frame_length(seg, number);
  return 0;
}

static int frame_of(struct ts_store *s, const struct ts_segment *seg, uint32_t number, struct ts_frame **ret) {
  struct ts_frame *f = s->frames, *end = s->frames + TS_CACHED_FRAMES;
  while (f < end && !(f->n && f->seq == seg->seq && f->number == number)) f++;
  if (f == end) {
    f = least_used(s);
    int r = unpack(s, seg, number, f);
    if (r) return r;
  }
  f->used = ++s->clock;
  *ret = f;
  return 0;
}

int ts_segment_read(struct ts_store *s, const struct ts_segment *seg, uint32_t from, uint32_t n, struct kit_bytes *out) {
  if (seg->state != TS_PACKED) {
    kit_put(out, seg->block + from, n);
    return 0;
  }
  while (n) {
    struct ts_frame *f;
    int r = frame_of(s, seg, from / TS_FRAME_BYTES, &f);
    if (r) return r;
    uint32_t at = from % TS_FRAME_BYTES, k = f->n - at < n ? f->n - at : n;
    kit_put(out, f->p + at, k);
    from += k;
    n -= k;
  }
  return 0;
}

void ts_pack_trim(struct ts_store *s) {
  for (uint32_t i = 0; i < TS_CACHED_FRAMES; i++) ts_store_give(s, s->frames[i].p, TS_FRAME_BYTES);
  memset(s->frames, 0, sizeof s->frames);
  if (s->cctx) s->bytes -= ZSTD_sizeof_CCtx(s->cctx);
  if (s->dctx) s->bytes -= ZSTD_sizeof_DCtx(s->dctx);
  ZSTD_freeCCtx(s->cctx);
  ZSTD_freeDCtx(s->dctx);
  s->cctx = NULL;
  s->dctx = NULL;
  const struct ts_segment *next = next_to_pack(s);
  if (next && next->seq == s->packing.seq) return; /* half of a long one is done */
  ts_pack_stop(s);
}

void ts_pack_stop(struct ts_store *s) {
  ts_store_give(s, s->packing.out, s->packing.cap);
  s->packing = (struct ts_packing){ .next = s->packing.next };
}
