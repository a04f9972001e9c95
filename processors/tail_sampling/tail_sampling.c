/*
 * The tail_sampling processor: holds the spans of a trace until the whole of it can be judged, then keeps or drops it as a whole.
 *
 *   processors:
 *     tail_sampling:
 *       decision_wait: 30s
 *       policies:
 *         - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
 *         - {name: slow, type: latency, latency: {threshold_ms: 500}}
 *         - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 5}}
 *
 * Placed by trace: all spans of a trace meet on one lane, in one instance, without a lock. A request is answered as soon as its spans are copied into the store. Which
 * file does what: tail_sampling.h. How to choose the settings: docs/tail-sampling.md; why it is made so: docs/design/tail_sampling.md.
 */
#include "tail_sampling.h"

#include <stdlib.h>
#include <string.h>

/* --- placement -------------------------------------------------------------------------------------------------------------- */

static struct kit_hash_key place_key; /* of the process: drawn by the first prepare, before a lane asks */

static void draw_place_key(void) {
  static int drawn;
  if (!drawn) kit_hash_key_draw(&place_key);
  drawn = 1;
}

static uint64_t ts_key(const struct weir_resource *r, const struct weir_scope *c, const struct weir_rec *rec) {
  const struct weir_span *span = (const struct weir_span *)(const void *)rec;
  (void)r;
  (void)c;
  return kit_hash(&place_key, span->trace_id.p, span->trace_id.n);
}

/* --- what the lanes share --------------------------------------------------------------------------------------------------- */

static uint64_t default_max_bytes(const struct weir_memory_service *m, struct weir_stage *stage) {
  uint64_t limit = m->limit_bytes(stage);
  return (limit ? limit : m->total_bytes()) / 4;
}

static void ts_release(void *shared) {
  struct ts_shared *h = shared;
  if (!h) return;
  ts_program_free(h->program);
  free(h);
}

static int ts_prepare(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_shared, struct weir_error *err) {
  const struct weir_memory_service *memory = host->service(stage, WEIR_MEMORY_SERVICE);
  struct ts_shared *h = calloc(1, sizeof *h);
  if (!h || !memory) {
    free(h);
    return weir_fail(err, WEIR_E_NOMEM, "no memory");
  }
  draw_place_key();
  h->host = host;
  h->cfg = config;
  h->max_bytes = h->cfg->max_bytes ? h->cfg->max_bytes : default_max_bytes(memory, stage);
  int code = ts_program_new(host, stage, h->cfg, &h->program, err);
  if (code) ts_release(h);
  else *ret_shared = h;
  return code;
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static void ts_close(void *self) {
  struct sampler *s = self;
  if (!s) return;
  if (s->timer) s->timers->timer_free(s->timer);
  if (s->charged) s->memory_service->give(s->stage, s->charged);
  if (s->table) {
    for (struct ts_trace *t; (t = ts_table_oldest(s->table)) != NULL;) ts_forget(s, t);
    atomic_fetch_sub_explicit(&s->shared->bytes, s->told_bytes, memory_order_relaxed);
  }
  ts_leave_free(s);
  ts_observer_done(&s->observer);
  ts_store_free(s->store);
  ts_table_free(s->table);
  ts_memory_free(s->memory);
  ts_journal_free(s->journal);
  kit_bytes_free(&s->out);
  free(s->runs);
  free(s->said);
  free(s->policy_texts);
  free(s->cells.policies);
  free(s);
}

static uint64_t remembered(int64_t configured, int collector, uint64_t by_bytes) {
  if (configured >= 0) return (uint64_t)configured;
  return collector ? 0 : by_bytes;
}

static int make_parts(struct sampler *s) {
  const struct ts_config *c = s->cfg;
  uint64_t lanes = s->host->stage_lanes(s->stage), half = c->decision_memory / 2 / lanes;
  int collector = ts_is_collector(s);
  s->words = s->table_words = ts_program_words(s->program);
  s->store = ts_store_new();
  s->table = ts_table_new(s->words);
  s->memory = ts_memory_new(remembered(c->decision_cache.sampled_cache_size, collector, ts_memory_kept_in(half)),
    remembered(c->decision_cache.non_sampled_cache_size, collector, ts_memory_dropped_in(half)));
  s->journal = ts_journal_new(c->decision_log / lanes);
  s->said = calloc(ts_program_policies(s->program) + 1, 1);
  s->policy_texts = calloc(ts_program_policies(s->program) + 1, sizeof *s->policy_texts);
  s->cells.policies = calloc(ts_program_policies(s->program) + 1, sizeof *s->cells.policies);
  if (!s->store || !s->table || !s->memory || !s->journal || !s->said || !s->policy_texts || !s->cells.policies) return WEIR_E_NOMEM;
  return ts_observer_init(&s->observer, s->program);
}

static int find_services(struct sampler *s) {
  s->timers = s->host->service(s->stage, WEIR_TIMER_SERVICE);
  s->metrics = s->host->service(s->stage, WEIR_METRICS_SERVICE);
  s->memory_service = s->host->service(s->stage, WEIR_MEMORY_SERVICE);
  s->otlp = s->host->service(s->stage, WEIR_OTLP_SERVICE);
  s->http = s->host->service(s->stage, WEIR_HTTP_SERVICE);
  return s->timers && s->metrics && s->memory_service && s->otlp && s->http ? 0 : WEIR_E_UNSUPPORTED;
}

static int ts_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  struct sampler *s = calloc(1, sizeof *s);
  if (!s) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  s->host = host;
  s->stage = stage;
  s->cfg = config;
  s->shared = host->shared(stage);
  s->program = s->shared->program;
  s->began_ns = host->now_mono_ns();
  if (find_services(s)) {
    ts_close(s);
    return weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that tail_sampling needs");
  }
  if (make_parts(s)) {
    ts_close(s);
    return weir_fail(err, WEIR_E_NOMEM, "no memory");
  }
  s->timer = s->timers->timer_new(stage, ts_on_timer, s);
  ts_make_cells(s);
  *ret_self = s;
  return 0;
}

static void ts_drain(void *self) {
  struct sampler *s = self;
  s->draining = 1;
  ts_arm(s);
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_PROCESSOR,
  .signals = WEIR_TRACES,
  .flags = WEIR_HOLDS | WEIR_BY_KEY | WEIR_ABSORBS | WEIR_MUTATES,
  .name = "tail_sampling",
  .doc = "Keeps or drops traces as a whole, once their spans have come: errors, slow ones, by attributes, by rate, by chance. Requests are answered when their spans are held. "
         "All spans of a trace meet on one lane; limits are those of the process. `weir why TRACE_ID` tells what became of a trace and why.",
  .example_yaml = "decision_wait: 30s\npolicies:\n  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}\n  - {name: slow, type: latency, latency: {threshold_ms: 500}}\n"
                  "  - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 5}}\n",
  .stability = "alpha",
  .fields = ts_fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct ts_config),
  .open = ts_open,
  .consume = ts_consume,
  .drain = ts_drain,
  .close = ts_close,
  .prepare = ts_prepare,
  .release = ts_release,
  .key = ts_key,
  .adopt = ts_adopt,
  .inspect = ts_inspect,
};

WEIR_PLUGIN("tail sampling processor", "0.1.0", "Apache-2.0", &type);
