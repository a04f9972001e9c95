/* The ladder: from half of max_bytes on the oldest segments are compressed, from TS_SHED_FROM on new traces are thinned out, at max_bytes senders are pushed back. */
#include "tail_sampling.h"

#define TS_COMPRESS_FROM 0.5
#define TS_SHED_FROM 0.8
#define TS_SHED_MOST 0.99 /* of new traces, when max_bytes is all but reached */
#define TS_CHARGE_STEP (256u << 10)

static double level(const struct sampler *s) {
  return (double)atomic_load_explicit(&s->shared->bytes, memory_order_relaxed) / (double)s->shared->max_bytes;
}

int ts_has_room(struct sampler *s, struct weir_verdict *ret) {
  ret->retry_after_ns = TS_SECOND;
  if (level(s) >= 1.0) {
    ret->msg = "tail_sampling holds max_bytes of undecided traces";
    s->host->log(s->stage, WEIR_LOG_WARN, "senders are pushed back: undecided traces take max_bytes (%llu bytes); raise it, or lower decision_wait", (unsigned long long)s->shared->max_bytes);
    return 0;
  }
  if (s->cfg->block_on_overflow && s->cfg->num_traces && atomic_load_explicit(&s->shared->traces, memory_order_relaxed) >= s->cfg->num_traces) {
    ret->msg = "tail_sampling holds num_traces undecided traces";
    return 0;
  }
  if (s->out.n >= 4 * TS_OUT_BYTES) {
    ret->msg = "the memory limit of this process is reached";
    return 0;
  }
  return 1;
}

uint64_t ts_shed_threshold(const struct sampler *s) {
  double l = level(s);
  if (l < TS_SHED_FROM) return 0;
  double dropped = (l - TS_SHED_FROM) / (1.0 - TS_SHED_FROM) * TS_SHED_MOST;
  return (uint64_t)((dropped < TS_SHED_MOST ? dropped : TS_SHED_MOST) * (double)TS_R_ALWAYS);
}

/* The store is charged to the process's budget in steps. Where that has no room, what is here already stays: the budget refuses what comes. */
static void charge(struct sampler *s, uint64_t bytes) {
  uint64_t want = (bytes + TS_CHARGE_STEP - 1) / TS_CHARGE_STEP * TS_CHARGE_STEP;
  if (want > s->charged && s->memory_service->take(s->stage, want - s->charged) == 0) s->charged = want;
  if (want < s->charged) {
    s->memory_service->give(s->stage, s->charged - want);
    s->charged = want;
  }
}

static uint64_t held_bytes(const struct sampler *s) {
  struct ts_store_stats st;
  ts_store_stats(s->store, &st);
  return st.bytes + ts_table_bytes(s->table);
}

static void tell(struct sampler *s) {
  uint64_t bytes = held_bytes(s);
  atomic_fetch_add_explicit(&s->shared->bytes, bytes - s->told_bytes, memory_order_relaxed); /* wraps for less */
  s->told_bytes = bytes;
  charge(s, bytes);
}

/* Blocks that are kept for use again count as held: near the limit nobody may be refused for them. */
void ts_settle_bytes(struct sampler *s) {
  tell(s);
  if (level(s) >= TS_SHED_FROM) {
    ts_store_trim_blocks(s->store);
    tell(s);
  }
  if (level(s) > TS_COMPRESS_FROM && ts_store_compress_one(s->store) > 0) tell(s);
  ts_show(s);
}
