/*
 * The memory_limiter processor: refuses what comes while data takes too much memory, so that senders wait and try again.
 *
 *   processors:
 *     memory_limiter: {check_interval: 1s, limit_percentage: 75, spike_limit_percentage: 20}
 *
 * It looks at the byte budget of the whole process at each request. Over the soft limit (the limit less the spike) the request is answered as retryable; nothing is dropped. It belongs first in a
 * pipeline: behind a stage that has answered its senders, such as batch, nobody is left to try again.
 */
#include <stdio.h>
#include <stdlib.h>

#include <weir/memory.h>
#include <weir/metrics.h>
#include <weir/stage.h>

struct limiter_config {
  int64_t check_interval, ignored;
  uint64_t limit_mib, spike_limit_mib, limit_percentage, spike_limit_percentage;
};

#define L(member) offsetof(struct limiter_config, member)

static const struct weir_field fields[] = {
  { "check_interval", WEIR_T_DURATION, 0, L(check_interval), "0s", "0", NULL, NULL, NULL,
    "Must be greater than zero, as in the Collector. Memory is looked at with each request, so it has no other effect.", NULL, 0 },
  { "limit_mib", WEIR_T_UINT, 0, L(limit_mib), "0", NULL, "1048576", NULL, "MiB",
    "The hard limit of what data may take; wins over limit_percentage. 0 = by limit_percentage.", NULL, 0 },
  { "spike_limit_mib", WEIR_T_UINT, 0, L(spike_limit_mib), "0", NULL, "1048576", NULL, "MiB",
    "How far below the limit requests begin to be refused. 0 = a fifth of the limit.", NULL, 0 },
  { "limit_percentage", WEIR_T_UINT, 0, L(limit_percentage), "0", NULL, NULL, NULL, "percent",
    "The hard limit as a part of the memory that the process may take: its cgroup's limit, or the machine's memory.", NULL, 0 },
  { "spike_limit_percentage", WEIR_T_UINT, 0, L(spike_limit_percentage), "0", NULL, NULL, NULL, "percent",
    "spike_limit_mib as a part of that memory, for limit_percentage.", NULL, 0 },
  { "min_gc_interval_when_soft_limited", WEIR_T_DURATION, 0, L(ignored), "10s", "0", NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: nothing collects garbage here.", NULL, 0 },
  { "min_gc_interval_when_hard_limited", WEIR_T_DURATION, 0, L(ignored), "0s", "0", NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect.", NULL, 0 },
  { "max_gc_interval_when_soft_limited", WEIR_T_DURATION, 0, L(ignored), "30s", "0", NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect.", NULL, 0 },
  { "max_gc_interval_when_hard_limited", WEIR_T_DURATION, 0, L(ignored), "30s", "0", NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect.", NULL, 0 },
  WEIR_FIELD_END,
};

struct limiter {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct weir_memory_service *memory;
  const struct weir_metrics_service *metrics;
  struct weir_cell *accepted, *refused;
  uint64_t soft_bytes;
  int refusing;
};

/* Small limits exist in tests and in small machines: whole MiB would say 0. */
static const char *size_text(uint64_t bytes, char *buf, size_t cap) {
  int small = bytes < UINT64_C(10) << 20;
  snprintf(buf, cap, "%llu %s", (unsigned long long)(bytes >> (small ? 10 : 20)), small ? "KiB" : "MiB");
  return buf;
}

static void limiter_consume(void *self, struct weir_batch *batch) {
  struct limiter *m = self;
  uint64_t used = m->memory->used_bytes(m->stage), items = m->host->batch_items(batch);
  int over = used > m->soft_bytes;
  if (over != m->refusing) {
    char takes[32], soft[32];
    m->refusing = over;
    m->host->log(m->stage, over ? WEIR_LOG_WARN : WEIR_LOG_INFO, over ? "data takes %s, over the soft limit of %s: refusing what comes"
      : "data takes %s, within the soft limit of %s again", size_text(used, takes, sizeof takes), size_text(m->soft_bytes, soft, sizeof soft));
  }
  m->metrics->add(over ? m->refused : m->accepted, (int64_t)items);
  if (!over) {
    m->host->emit(m->stage, 0, batch);
    return;
  }
  struct weir_verdict v = { .code = WEIR_RETRY, .msg = "data refused due to high memory usage" };
  m->host->settle(m->stage, batch, &v);
}

static void limiter_close(void *self) { free(self); }

/* --- configuration: the Collector's rules and texts ------------------------------------------------------------------ */

static int check_percentages(const struct limiter_config *cfg, struct weir_error *err) {
  const char *text = "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to hundred";
  if (cfg->limit_percentage > 100) return weir_fail_field(err, "limit_percentage", "%s", text);
  if (cfg->spike_limit_percentage > 100) return weir_fail_field(err, "spike_limit_percentage", "%s", text);
  if (cfg->spike_limit_percentage && cfg->limit_percentage && cfg->spike_limit_percentage >= cfg->limit_percentage)
    return weir_fail_field(err, "spike_limit_percentage", "'spike_limit_percentage' must be smaller than 'limit_percentage'");
  return 0;
}

static int check(const struct limiter_config *cfg, struct weir_error *err) {
  if (cfg->check_interval <= 0) {
    weir_fail_field(err, "check_interval", "'check_interval' must be greater than zero");
    weir_hint(err, "write check_interval: 1s");
    return WEIR_E_CONFIG;
  }
  if (!cfg->limit_mib && !cfg->limit_percentage) {
    weir_fail_field(err, "limit_mib", "'limit_mib' or 'limit_percentage' must be greater than zero");
    weir_hint(err, "write limit_percentage: 75, or limit_mib");
    return WEIR_E_CONFIG;
  }
  if (cfg->limit_mib && cfg->spike_limit_mib >= cfg->limit_mib)
    return weir_fail_field(err, "spike_limit_mib", "'spike_limit_mib' must be smaller than 'limit_mib'");
  return check_percentages(cfg, err);
}

static uint64_t soft_limit(const struct limiter_config *cfg, uint64_t total) {
  uint64_t limit = cfg->limit_mib ? cfg->limit_mib << 20 : total / 100 * cfg->limit_percentage;
  uint64_t spike = cfg->limit_mib ? cfg->spike_limit_mib << 20 : total / 100 * cfg->spike_limit_percentage;
  return limit - (spike ? spike : limit / 5);
}

/* --- life -------------------------------------------------------------------------------------------------------------- */

static void make_cells(struct limiter *m) {
  uint32_t signal = m->host->stage_signal(m->stage);
  const char *items = signal == WEIR_TRACES ? "spans" : signal == WEIR_METRICS ? "metric_points" : "log_records";
  char labels[256], name[96];
  snprintf(labels, sizeof labels, "processor=\"%s\"", m->host->stage_id(m->stage));
  snprintf(name, sizeof name, "otelcol_processor_memory_limiter_accepted_%s_total", items);
  m->accepted = m->metrics->counter(m->stage, name, labels, "Items that found enough memory.");
  snprintf(name, sizeof name, "otelcol_processor_memory_limiter_refused_%s_total", items);
  m->refused = m->metrics->counter(m->stage, name, labels, "Items that were refused, to be sent again, because data took too much memory.");
}

static int limiter_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  int code = check(config, err);
  if (code) return code;
  struct limiter *m = calloc(1, sizeof *m);
  if (!m) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  m->host = host;
  m->stage = stage;
  m->memory = host->service(stage, WEIR_MEMORY_SERVICE);
  m->metrics = host->service(stage, WEIR_METRICS_SERVICE);
  if (!m->memory || !m->metrics) {
    limiter_close(m);
    return weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that the memory_limiter processor needs");
  }
  m->soft_bytes = soft_limit(config, m->memory->total_bytes());
  make_cells(m);
  *ret_self = m;
  return 0;
}

static int limiter_need(void *self) {
  (void)self;
  return WEIR_NEED_COUNTS;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_PROCESSOR,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .name = "memory_limiter",
  .doc = "Refuses requests, as retryable, while data in the process takes more memory than the soft limit (the limit less the spike limit). Put it first in a pipeline: behind batch "
         "nobody is left to send again. `service.memory_limit` bounds the same memory earlier, before a request is read, and is there without this processor.",
  .example_yaml = "check_interval: 1s\nlimit_percentage: 75\nspike_limit_percentage: 20\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct limiter_config),
  .open = limiter_open,
  .consume = limiter_consume,
  .close = limiter_close,
  .need = limiter_need,
};

WEIR_PLUGIN("memory_limiter", "0.1.0", "Apache-2.0", &type);
