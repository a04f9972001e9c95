#include "pipelines/run_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/listener.h"
#include "core/log.h"
#include "pipelines/disk.h"
#include "pipelines/reload.h"

#define LOGGER "weir"

/* --- loops ------------------------------------------------------------------------------------------------- */

static int open_loops(struct run *r, struct weir_error *err) {
  r->env.metrics = metrics_new();
  r->env.listeners = listeners_new();
  budget_init(&r->env.budget, r->config->memory_limit_bytes ? r->config->memory_limit_bytes : budget_default_limit());
  r->n_lanes = r->config->lanes ? r->config->lanes : run_default_lanes();
  r->lanes = calloc(r->n_lanes, sizeof *r->lanes);
  WEIR_ASSERT(r->lanes != NULL);
  int e = loop_init(&r->control, UINT32_MAX, &r->env, err);
  if (e) return e;
  r->control_inited = 1;
  r->env.disks = disks_new(r->env.metrics, &r->control);
  for (; r->lanes_inited < r->n_lanes; r->lanes_inited++) {
    e = loop_init(&r->lanes[r->lanes_inited], r->lanes_inited, &r->env, err);
    if (e) return e;
  }
  return 0;
}

static int start_lanes(struct run *r, struct weir_error *err) {
  for (; r->lanes_running < r->n_lanes; r->lanes_running++) {
    int e = loop_start_thread(&r->lanes[r->lanes_running], err);
    if (e) return e;
  }
  return 0;
}

/* Everything is closed on its lane while all lanes still run, so that answers reach receivers on other lanes. */
static uint32_t close_graphs(struct run *r) {
  struct graph **graphs = NULL;
  size_t n = retire_stop(&r->retirement, &graphs);
  if (r->graph) graphs[n++] = r->graph;
  uint32_t left_open = graph_close_all(graphs, n);
  free((void *)graphs);
  return left_open;
}

static uint32_t close_all(struct run *r) {
  run_ask_stop(r);
  reload_stop(r);
  uint32_t left_open = close_graphs(r);
  for (uint32_t i = 0; i < r->lanes_running; i++) loop_stop(&r->lanes[i]);
  for (uint32_t i = 0; i < r->lanes_running; i++) loop_join(&r->lanes[i]);
  telemetry_stop(r->telemetry);
  /* What is still on its way to a loop may name a node: past the drain's deadline, "drained" comes when nobody asks any more. */
  for (uint32_t i = 0; i < r->lanes_inited; i++) loop_run_once(&r->lanes[i]);
  if (r->control_inited) loop_run_once(&r->control);
  for (int i = 0; i < r->n_signals; i++) uv_close((uv_handle_t *)&r->signals[i], NULL);
  return left_open;
}

/* All pools stay until the last block that any lane holds is back. */
static void free_all(struct run *r) {
  graph_free(r->graph);
  retire_free(&r->retirement);
  config_free(r->reloaded);
  for (uint32_t i = 0; i < r->lanes_inited; i++) loop_done(&r->lanes[i]);
  if (r->control_inited) loop_done(&r->control);
  free(r->lanes);
  disks_free(r->env.disks);
  listeners_free(r->env.listeners);
  metrics_free(r->env.metrics);
}

/* --- signals ----------------------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *h, int number) {
  struct run *r = h->data;
  if (number == SIGHUP) {
    char *text = NULL;
    run_reload(r, "SIGHUP", &text);
    free(text);
    return;
  }
  if (r->drain.phase) {
    log_warn(LOGGER, "second signal: ending at once, what is queued in memory is lost");
    log_flush();
    _exit(128 + number);
  }
  log_info(LOGGER, "%s: draining", number == SIGINT ? "SIGINT" : "SIGTERM");
  drain_begin(r);
}

static void watch_signals(struct run *r) {
  static const int numbers[N_SIGNALS] = { SIGTERM, SIGINT, SIGHUP };
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a full disk, for whoever writes it */
  for (int i = 0; i < N_SIGNALS; i++) {
    uv_signal_init(&r->control.uv, &r->signals[i]);
    r->signals[i].data = r;
    uv_signal_start(&r->signals[i], on_signal, numbers[i]);
  }
  r->n_signals = N_SIGNALS;
}

static void stop_failed(void *arg) {
  struct run *r = arg;
  r->exit_code = EXIT_FAILED;
  drain_begin(r);
}

static void on_fatal(void *arg) {
  struct run *r = arg;
  loop_post(&r->control, stop_failed, r);
}

static void every_second(void *arg) {
  struct run *r = arg;
  log_flush();
  timer_set(&r->control, &r->second, NS_PER_S);
}

/* --- open, run, close -------------------------------------------------------------------------------------- */

static int build(struct run *r, struct diags *ds) {
  struct weir_error err = { 0 };
  if (open_loops(r, &err)) {
    log_error(LOGGER, "%s", err.msg);
    return EXIT_FAILED;
  }
  r->graph = graph_new(r->config, &r->env, &r->control, r->lanes, r->n_lanes, ds);
  if (!r->graph || graph_open(r->graph, ds)) return EXIT_CONFIG;
  r->graph->on_fatal = on_fatal;
  r->graph->on_drained = drain_progress;
  r->graph->arg = r;
  return EXIT_OK;
}

struct run *run_open(struct config *config, struct diags *ds, int *ret_code) {
  struct run *r = calloc(1, sizeof *r);
  WEIR_ASSERT(r != NULL);
  r->config = config;
  r->first = config;
  r->retirement = (struct retirement){ .control = &r->control, .on_empty = drain_retired, .arg = r };
  *ret_code = build(r, ds);
  if (*ret_code == EXIT_OK) return r;
  run_close(r);
  return NULL;
}

void run_set_sources(struct run *r, const struct run_sources *s) { r->sources = *s; }

static void log_start_error(const struct weir_error *err) { log_error(LOGGER, "%s%s%s", err->msg, *err->hint ? "; " : "", err->hint); }

void run_log_diags(const struct diags *ds, const char *prefix) {
  for (const struct diag *d = ds->first; d; d = d->next) {
    int level = d->level == DIAG_ERROR ? WEIR_LOG_ERROR : WEIR_LOG_WARN;
    const char *todo = d->caret ? d->caret : d->note && !strchr(d->note, '\n') ? d->note : "", *sep = *todo ? "; " : "";
    if (d->pos.file < ds->n_files && d->pos.line)
      log_each(level, LOGGER, "%s%s:%u:%u: %s%s%s", prefix, ds->files[d->pos.file].name, d->pos.line, d->pos.col, d->msg, sep, todo);
    else
      log_each(level, LOGGER, "%s%s%s%s", prefix, d->msg, sep, todo);
  }
}

/* The page first, and alone: a second weir that was started by mistake ends here, before it touches files. */
static int start_parts(struct run *r, struct diags *ds) {
  const struct config_telemetry *t = &r->config->telemetry;
  struct weir_error err = { 0 };
  if (telemetry_start(&r->control, t, r->n_lanes, &r->telemetry, &err) == 0) return graph_start(r->graph, ds);
  diag_error(ds, t->metrics_pos, "`service.telemetry.metrics`: %s", err.msg);
  if (*err.hint) diag_note(ds, "%s", err.hint);
  return WEIR_E_IO;
}

static int start(struct run *r, struct diags *ds) {
  struct weir_error err = { 0 };
  if (start_parts(r, ds)) {
    /* Who started weir gets them with their lines, on stderr: where the log is the same for people, once is enough. */
    const struct config_telemetry *t = &r->config->telemetry;
    if (t->log_json || (t->log_output && strcmp(t->log_output, "stderr") != 0)) run_log_diags(ds, "");
    return EXIT_FAILED;
  }
  run_ask_start(r);
  if (reload_start(r, &err) || start_lanes(r, &err)) {
    log_start_error(&err);
    return EXIT_FAILED;
  }
  graph_find_orphans(r->graph);
  return EXIT_OK;
}

int run_until_stopped(struct run *r, struct diags *ds) {
  watch_signals(r);
  r->exit_code = start(r, ds);
  if (r->exit_code != EXIT_OK) return r->exit_code;
  r->second.fn = every_second;
  r->second.arg = r;
  every_second(r);
  host_set_health(WEIR_HEALTH_READY);
  log_info(LOGGER, "Everything is ready. Begin running and processing data.");
  loop_run(&r->control);
  return r->exit_code;
}

int run_close(struct run *r) {
  if (!r) return 0;
  uint32_t left_open = close_all(r);
  if (r->drain.phase) drain_report(r);
  log_flush();
  if (left_open) {
    disks_close(r->env.disks);
    return 1;
  }
  free_all(r);
  log_flush();
  free(r);
  return 0;
}
