#include "pipelines/reload.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/listener.h"
#include "core/log.h"
#include "pipelines/control.h"
#include "pipelines/run_internal.h"

/* Reading the configuration again: docs/design/reload.md. All of it is one step of the control loop, so that one reload ends before the next begins. */

#define LOGGER "weir"

enum outcome { RELOADED, UNCHANGED, FAILED, NOT_NOW };

/* What is told: to the log, and to whoever asked. */
struct report {
  FILE *out;
};

static void WEIR_PRINTF(3, 4) tell(struct report *t, int level, const char *fmt, ...) {
  char text[1200];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  log_each(level, LOGGER, "reload: %s", text);
  fprintf(t->out, "%s\n", text);
}

/* In the log a line each; whoever asked gets them as at the start, with the lines of the files. */
static void tell_diags(struct report *t, const struct diags *ds) {
  run_log_diags(ds, "reload: ");
  if (!ds->first) return;
  char *text = diags_render(ds);
  fputs(text, t->out);
  free(text);
}

/* --- what a reload does not change --------------------------------------------------------------------------------- */

static int differ(const char *a, const char *b) { return a != b && (!a || !b || strcmp(a, b) != 0); }

static void tell_restart(struct report *t, const struct run *r, const struct config *c) {
  const struct config *f = r->first;
  const struct config_telemetry *a = &f->telemetry, *b = &c->telemetry;
  if (c->lanes != f->lanes) tell(t, WEIR_LOG_WARN, "`service.lanes` needs a restart: the number of threads is fixed");
  if (c->memory_limit_bytes != f->memory_limit_bytes) tell(t, WEIR_LOG_WARN, "`service.memory_limit` needs a restart: what is held was admitted under the old one");
  if (a->metrics_enabled != b->metrics_enabled || differ(a->metrics_host, b->metrics_host) || a->metrics_port != b->metrics_port || a->legacy_names != b->legacy_names)
    tell(t, WEIR_LOG_WARN, "`service.telemetry.metrics` needs a restart: the page stays where it is");
  if (a->log_json != b->log_json || differ(a->log_output, b->log_output))
    tell(t, WEIR_LOG_WARN, "`service.telemetry.logs` needs a restart for all but `level`");
  if (differ(f->control_socket, c->control_socket)) tell(t, WEIR_LOG_WARN, "`service.control.socket` needs a restart");
  const char *file;
  for (size_t i = 0; r->sources.registry && (file = registry_changed_file(r->sources.registry, i)); i++)
    tell(t, WEIR_LOG_WARN, "%s has changed on disk and needs a restart: loaded code stays", file);
}

/* --- the new graph ---------------------------------------------------------------------------------------------------- */

static void yield_addresses(struct run *r, const struct graph *next, int yields) {
  for (size_t i = 0; i < r->graph->n_sites; i++) {
    struct site *s = r->graph->sites[i];
    int kept = 0;
    for (size_t k = 0; k < next->n_sites && !kept; k++) kept = next->sites[k]->kept == s;
    if (!kept) listeners_yield(r->env.listeners, s->component->id, yields);
  }
}

/* Opened, started, not yet fed; or NULL, and everything is as it was. */
static struct graph *build_beside(struct run *r, struct config *c, struct diags *ds) {
  struct graph *g = graph_renew(r->graph, c, ds);
  if (!g) return NULL;
  listeners_next_generation(r->env.listeners);
  if (graph_open(g, ds)) {
    graph_disown(g);
    graph_close(g);
    graph_free(g);
    return NULL;
  }
  yield_addresses(r, g, 1);
  if (graph_start(g, ds) == 0) return g;
  yield_addresses(r, g, 0);
  graph_disown(g);
  retire_begin(&r->retirement, g, r->config->drain_timeout_ns); /* what did start may have taken requests */
  return NULL;
}

static void adopt(struct run *r, struct config *c, struct graph *g, struct report *t) {
  struct graph *before = r->graph;
  size_t kept = 0, heirs = 0, all = g->n_sites;
  for (size_t i = 0; i < g->n_sites; i++) kept += (size_t)site_is_kept(g->sites[i]);
  for (size_t i = 0; i < g->n_sites; i++) heirs += g->sites[i]->adopts != NULL;
  graph_swap(g, before);
  r->graph = g;
  tell(t, WEIR_LOG_INFO, "done: %zu stages kept, %zu new, %zu closing", kept, all - kept, before->n_sites);
  if (heirs) tell(t, WEIR_LOG_INFO, "%zu of the new stages took over what the old ones held", heirs);
  retire_begin(&r->retirement, before, c->drain_timeout_ns);
  graph_find_orphans(g);
  config_free(r->reloaded);
  r->config = r->reloaded = c;
  log_set_level(c->telemetry.log_level);
}

static enum outcome reload(struct run *r, struct report *t, struct diags *ds) {
  struct config *c = r->sources.load(r->sources.arg, ds);
  if (c && yaml_equal(c->root, r->config->root)) {
    config_free(c);
    return UNCHANGED;
  }
  struct graph *g = c ? build_beside(r, c, ds) : NULL;
  tell_diags(t, ds);
  if (!g) {
    config_free(c);
    return FAILED;
  }
  tell_restart(t, r, c);
  adopt(r, c, g, t);
  return RELOADED;
}

/* --- who asks for it ------------------------------------------------------------------------------------------------------ */

static void watch_again(struct run *r, uint64_t known);

static enum outcome reload_because(struct run *r, const char *why, char **ret_text) {
  struct diags ds;
  struct report t = { NULL };
  size_t n = 0;
  enum outcome outcome = NOT_NOW;
  uint64_t known = watch_identity(r->config->files, r->config->n_files);
  t.out = open_memstream(ret_text, &n);
  WEIR_ASSERT(t.out != NULL);
  diags_init(&ds);
  if (r->drain.phase) tell(&t, WEIR_LOG_WARN, "weir is shutting down: nothing is read again");
  else if (!r->sources.load) tell(&t, WEIR_LOG_WARN, "there is nothing to read again");
  else outcome = reload(r, &t, &ds);
  if (outcome == UNCHANGED) {
    log_write(*why ? WEIR_LOG_INFO : WEIR_LOG_DEBUG, LOGGER, "reload%s%s: the configuration is the same", *why ? " by " : "", why);
    fputs("the configuration is the same\n", t.out);
  } else if (outcome != NOT_NOW) {
    metric_add(outcome == FAILED ? r->reload_failures : r->reloads, 1);
  }
  if (outcome == FAILED) tell(&t, WEIR_LOG_ERROR, "failed: nothing has changed, weir runs on with the configuration that it had");
  diags_done(&ds);
  fclose(t.out);
  if (!r->drain.phase) watch_again(r, outcome == RELOADED ? 0 : known);
  return outcome;
}

int run_reload(struct run *r, const char *why, char **ret_text) {
  static const int codes[] = { [RELOADED] = EXIT_OK, [UNCHANGED] = EXIT_OK, [FAILED] = EXIT_CONFIG, [NOT_NOW] = EXIT_FAILED };
  return codes[reload_because(r, why, ret_text)];
}

static void on_change(void *arg) {
  char *text = NULL;
  reload_because(arg, "", &text);
  free(text);
}

/* Files may be others, and links lead elsewhere now. */
static void watch_again(struct run *r, uint64_t known) {
  watch_stop(r->watch);
  r->watch = NULL;
  if (r->config->reload.watch) r->watch = watch_start(&r->control, r->config->files, r->config->n_files, r->config->reload.debounce_ns, known, on_change, r);
}

static int replay(const struct run *r, const char *queue, char **ret_text) {
  uint64_t items = 0;
  size_t n;
  int code = graph_replay(r->graph, queue, &items) ? EXIT_FAILED : EXIT_OK;
  FILE *out = open_memstream(ret_text, &n);
  WEIR_ASSERT(out != NULL);
  if (code) fprintf(out, "weir: this weir has no dead letters `%s`\n", queue);
  else fprintf(out, "%s: %llu items are queued again, one request after the other\n", queue, (unsigned long long)items);
  fclose(out);
  return code;
}

#define REPLAY "replay "

static int on_command(void *arg, struct control_request *request, const char *command, char **ret_text) {
  if (strcmp(command, "reload") == 0) return run_reload(arg, "command", ret_text);
  if (strncmp(command, REPLAY, strlen(REPLAY)) == 0) return replay(arg, command + strlen(REPLAY), ret_text);
  if (run_ask_command(arg, request, command)) return CONTROL_LATER;
  *ret_text = strdup("this weir knows no such command; it knows: reload, replay QUEUE, why, decisions\n");
  return EXIT_USAGE;
}

/* A socket that the user asked for must be there; the default one may be missing. */
static int start_control(struct run *r, struct weir_error *err) {
  char buf[512];
  const char *asked = r->config->control_socket, *path = asked ? asked : control_default_path(buf, sizeof buf);
  if (!path || !*path) return 0;
  int failed = control_start(&r->control, path, on_command, r, &r->commands, err);
  if (!failed) log_info(LOGGER, "commands on %s", path);
  if (!failed || asked) return failed;
  log_info(LOGGER, "%s%s%s; `weir reload` can not reach this process, SIGHUP can", err->msg, *err->hint ? "; " : "", err->hint);
  *err = (struct weir_error){ 0 };
  return 0;
}

int reload_start(struct run *r, struct weir_error *err) {
  struct metrics *m = r->env.metrics;
  r->reloads = metrics_cell(m, METRIC_COUNTER, "weir_reloads_total", NULL, "Times that a changed configuration was taken over.", NULL, 0);
  r->reload_failures = metrics_cell(m, METRIC_COUNTER, "weir_reload_failures_total", NULL, "Times that a changed configuration was refused.", NULL, 0);
  if (r->sources.load) watch_again(r, 0);
  return start_control(r, err);
}

void reload_stop(struct run *r) {
  watch_stop(r->watch);
  r->watch = NULL;
  control_stop(r->commands);
  r->commands = NULL;
}
