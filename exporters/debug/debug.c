/*
 * The debug exporter: writes what arrives on the terminal, for people.
 *
 *   exporters:
 *     debug: {verbosity: detailed}
 *
 * basic: a line with counts for each batch. normal: a line per record. detailed: every field. What comes from outside is escaped, so that no line is forged.
 */
#include "debug.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASIC 0
#define NORMAL 1
#define DETAILED 2
#define OUTPUTS_MAX 4
#define WRITE_WAIT_MS 1000 /* an output that takes nothing for this long loses the text, and is not waited for again until it takes some */

struct debug_config {
  int32_t verbosity, use_internal_logger;
  uint64_t sampling_initial, sampling_thereafter;
  struct weir_strings output_paths;
};

static const struct weir_field fields[] = {
  { "verbosity", WEIR_T_ENUM, 0, offsetof(struct debug_config, verbosity), "basic", NULL, NULL, "basic|normal|detailed", NULL,
    "basic: counts; normal: a line per record; detailed: every field. The dropped_attributes_count of resources, scopes and log records is not written, as in the Collector.", NULL, 0 },
  { "sampling_initial", WEIR_T_UINT, 0, offsetof(struct debug_config, sampling_initial), "2", NULL, NULL, NULL, "batches",
    "How many batches are written in each second before sampling_thereafter counts.", NULL, 0 },
  { "sampling_thereafter", WEIR_T_UINT, 0, offsetof(struct debug_config, sampling_thereafter), "1", NULL, NULL, NULL, "batches",
    "After those, every n-th batch of the second is written; 0 and 1 write all.", NULL, 0 },
  { "use_internal_logger", WEIR_T_BOOL, 0, offsetof(struct debug_config, use_internal_logger), "true", NULL, NULL, NULL, NULL,
    "Accepted for the Collector's files and without effect: text goes to output_paths, the counts' line too.", NULL, 0 },
  { "output_paths", WEIR_T_STRINGS, 0, offsetof(struct debug_config, output_paths), "stdout", NULL, NULL, NULL, NULL,
    "Where to write: stdout, stderr or a file that is appended to.", NULL, 0 },
  WEIR_FIELD_END,
};

struct debug {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct debug_config *cfg;
  struct text text;
  int fds[OUTPUTS_MAX], stuck[OUTPUTS_MAX], n_fds;
  int64_t second;
  uint64_t in_second;
};

/* --- writing ----------------------------------------------------------------------------------------------------------- */

static void write_all(int fd, int *stuck, const char *p, size_t n) {
  while (n) {
    ssize_t w = write(fd, p, n);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0 && errno == EAGAIN) {
      struct pollfd wait = { fd, POLLOUT, 0 };
      if (poll(&wait, 1, *stuck ? 0 : WRITE_WAIT_MS) > 0) continue;
      *stuck = 1;
    }
    if (w <= 0) return;
    *stuck = 0;
    p += w;
    n -= (size_t)w;
  }
}

static uint64_t count_metrics(const struct weir_data *d) {
  uint64_t n = 0;
  for (uint32_t r = 0; r < d->n_resources; r++)
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++) n += d->resources[r]->scopes[s]->n_records;
  return n;
}

static void head_line(struct debug *e, struct weir_batch *batch, const struct weir_data *d) {
  uint32_t signal = e->host->batch_signal(batch);
  uint64_t items = e->host->batch_items(batch);
  if (signal == WEIR_TRACES) text_put(&e->text, "Traces  resource spans: %u, spans: %" PRIu64 "\n", d->n_resources, items);
  else if (signal == WEIR_LOGS) text_put(&e->text, "Logs  resource logs: %u, log records: %" PRIu64 "\n", d->n_resources, items);
  else text_put(&e->text, "Metrics  resource metrics: %u, metrics: %" PRIu64 ", data points: %" PRIu64 "\n", d->n_resources, count_metrics(d), items);
}

/* As zap's sampler, by the second. */
static int sampled(struct debug *e) {
  int64_t second = e->host->now_mono_ns() / 1000000000;
  if (second != e->second) {
    e->second = second;
    e->in_second = 0;
  }
  uint64_t n = ++e->in_second, initial = e->cfg->sampling_initial, step = e->cfg->sampling_thereafter;
  return n <= initial || step <= 1 || (n - initial) % step == 0;
}

static void debug_consume(void *self, struct weir_batch *batch) {
  struct debug *e = self;
  struct weir_error err;
  struct weir_verdict v = { .code = WEIR_DELIVERED };
  err.msg[0] = 0;
  if (sampled(e)) {
    const struct weir_data *d = e->host->batch_read(batch, &err);
    int detailed = e->cfg->verbosity == DETAILED;
    e->text.n = 0;
    if (d) head_line(e, batch, d);
    else text_put(&e->text, "a batch of %" PRIu64 " items cannot be read: %s\n", e->host->batch_items(batch), err.msg);
    if (d && e->cfg->verbosity != BASIC) {
      if (d->signal == WEIR_TRACES) debug_traces(&e->text, d, detailed);
      else if (d->signal == WEIR_METRICS) debug_metrics(&e->text, d, detailed);
      else debug_logs(&e->text, d, detailed);
    }
    for (int i = 0; i < e->n_fds && !e->text.failed; i++) write_all(e->fds[i], &e->stuck[i], e->text.p, e->text.n);
    if (e->text.failed || e->text.cap > (1u << 20)) { /* one huge batch does not pin its text for ever */
      free(e->text.p);
      memset(&e->text, 0, sizeof e->text);
    }
  }
  e->host->done(e->stage, batch, &v);
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

static void debug_close(void *self) {
  struct debug *e = self;
  if (!e) return;
  for (int i = 0; i < e->n_fds; i++)
    if (e->fds[i] > 2) close(e->fds[i]);
  free(e->text.p);
  free(e);
}

/* A pipe or terminal opened anew, as O_NONBLOCK on the one that was inherited would hold for all who share it. A file keeps its place that way, and never blocks. */
static int open_inherited(int fd) {
  struct stat st;
  char path[40];
  if (fstat(fd, &st) || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) return fd;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  return own < 0 ? fd : own;
}

static int open_output(struct debug *e, const char *path, struct weir_error *err) {
  int std = !strcmp(path, "stdout") ? 1 : !strcmp(path, "stderr") ? 2 : -1;
  int fd = std > 0 ? open_inherited(std) : open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
  if (fd < 0) return weir_fail_field(err, "output_paths", "cannot open %s: %s", path, strerror(errno));
  e->fds[e->n_fds++] = fd;
  return 0;
}

static int debug_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct debug_config *cfg = config;
  if (cfg->output_paths.n > OUTPUTS_MAX) return weir_fail_field(err, "output_paths", "more than %d outputs", OUTPUTS_MAX);
  struct debug *e = calloc(1, sizeof *e);
  if (!e) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->host = host;
  e->stage = stage;
  e->cfg = cfg;
  *ret_self = e;
  return 0;
}

/* Not in open: `weir validate` makes no files. */
static int debug_start(void *self, struct weir_error *err) {
  struct debug *e = self;
  for (size_t i = 0; i < e->cfg->output_paths.n; i++) {
    int r = open_output(e, e->cfg->output_paths.v[i], err);
    if (r) return r;
  }
  return 0;
}

static int debug_need(void *self) {
  (void)self;
  return WEIR_NEED_RECORDS;
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXPORTER,
  .signals = WEIR_TRACES | WEIR_METRICS | WEIR_LOGS,
  .name = "debug",
  .doc = "Writes what arrives on the terminal, for people. One write per batch, on the lane: not for production.",
  .example_yaml = "verbosity: normal\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct debug_config),
  .open = debug_open,
  .start = debug_start,
  .consume = debug_consume,
  .close = debug_close,
  .need = debug_need,
};

WEIR_PLUGIN("debug exporter", "0.1.0", "Apache-2.0", &type);
