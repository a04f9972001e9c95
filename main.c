/*
 * weir: the whole program on one page. Arguments (pipelines/command), the stages that can be loaded (plugins/registry), the configuration
 * (pipelines/config), and then either a look at it or its life (pipelines/run): build the graph, open, start, run, drain, close.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/log.h"
#include "core/nearest.h"
#include "pipelines/command.h"
#include "pipelines/config.h"
#include "pipelines/control.h"
#include "pipelines/print_config.h"
#include "pipelines/print_schema.h"
#include "pipelines/queue_command.h"
#include "pipelines/run.h"
#include "pipelines/test_command.h"
#include "pipelines/why_command.h"
#include "plugins/manual.h"

/* Stages stand beside the program (build/stages), or where `make install` puts them (../lib/weir/stages). */
static void add_stage_dirs(struct registry *registry) {
  char exe[3000], dir[3100];
  ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  if (n <= 0) return;
  exe[n] = 0;
  *strrchr(exe, '/') = 0;
  static const char *const places[] = { "stages", "../lib/weir/stages" };
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    struct weir_error err = { 0 };
    snprintf(dir, sizeof dir, "%s/%s", exe, places[i]);
    if (access(dir, R_OK | X_OK)) continue;
    if (registry_add_dir(registry, dir, &err)) log_warn("weir", "%s", err.msg);
  }
}

/* Standard error is where logs go unless the configuration names a file. Returns 0 or an exit code. */
static int set_up_log(const struct config_telemetry *t) {
  struct log_config c = { t->log_level, t->log_json, 2, 0 };
  if (t->log_output && !strcmp(t->log_output, "stdout")) {
    c.fd = 1;
  } else if (t->log_output && strcmp(t->log_output, "stderr") != 0) {
    c.fd = open(t->log_output, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644); /* for the life of the process */
    if (c.fd < 0) {
      fprintf(stderr, "weir: cannot open the log file %s: %s\n", t->log_output, strerror(errno));
      return EXIT_FAILED;
    }
  }
  log_setup(&c);
  return EXIT_OK;
}

/* A shell or systemd allows 1024 open files at first and far more when asked: each connection is one. */
static void raise_file_limit(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == files.rlim_max) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

static void show(struct diags *ds) {
  if (!ds->first) return;
  char *text = diags_render(ds);
  fputs(text, stderr);
  free(text);
  diags_forget(ds);
}

static int print_config_command(const struct command *c, struct registry *registry) {
  struct diags ds;
  diags_init(&ds);
  struct config *config = config_load(registry, &ds, c->configs, c->n_configs, c->sets, c->n_sets);
  if (config) print_config(stdout, config, &ds, (c->unredacted ? PRINT_UNREDACTED : 0) | (c->origin ? PRINT_ORIGIN : 0));
  else show(&ds);
  int code = config ? EXIT_OK : EXIT_CONFIG;
  config_free(config);
  diags_done(&ds);
  return code;
}

/* --- running ------------------------------------------------------------------------------------------------ */

struct sources {
  const struct command *command;
  struct registry *registry;
};

static struct config *load(void *arg, struct diags *ds) {
  const struct sources *s = arg;
  return config_load(s->registry, ds, s->command->configs, s->command->n_configs, s->command->sets, s->command->n_sets);
}

static int run_command(const struct command *c, struct registry *registry) {
  struct sources sources = { c, registry };
  struct diags ds;
  struct run *run = NULL;
  int code = EXIT_CONFIG;
  diags_init(&ds);
  struct config *config = load(&sources, &ds);
  if (config) code = c->verb == COMMAND_RUN ? set_up_log(&config->telemetry) : EXIT_OK;
  if (c->verb == COMMAND_RUN) raise_file_limit();
  if (code == EXIT_OK) run = run_open(config, &ds, &code);
  show(&ds);
  if (run) run_set_sources(run, &(struct run_sources){ load, &sources, registry });
  if (run && c->verb == COMMAND_RUN) code = run_until_stopped(run, &ds);
  show(&ds);
  if (run_close(run)) {
    fflush(NULL);
    _exit(code); /* requests are still under way, and what they point at must stay */
  }
  config_free(config);
  diags_done(&ds);
  return code;
}

static int queues_command(const struct command *c, struct registry *registry) {
  struct diags ds;
  struct config *config = NULL;
  if (!c->n_configs) return queue_command(c, NULL);
  diags_init(&ds);
  config = config_load(registry, &ds, c->configs, c->n_configs, c->sets, c->n_sets);
  if (!config) show(&ds);
  int code = config ? queue_command(c, config) : EXIT_CONFIG;
  config_free(config);
  diags_done(&ds);
  return code;
}

/* --- looking at stages -------------------------------------------------------------------------------------- */

static void on_refused(void *arg, const char *path, const struct weir_error *err) {
  (void)arg;
  fprintf(stderr, "weir: %s: %s%s%s\n", path, err->msg, *err->hint ? "\n  " : "", err->hint);
}

static int has_name(const struct weir_stage_type *t, const char *name) {
  size_t n = strlen(name);
  if (!strcmp(t->name, name)) return 1;
  for (const char *at = t->aliases; at && *at; at += strcspn(at, "|") + (at[strcspn(at, "|")] == '|'))
    if (strcspn(at, "|") == n && !strncmp(at, name, n)) return 1;
  return 0;
}

/* `otlp` is a receiver and an exporter; `exporter/otlp` is one of them. */
static int is_wanted(const struct weir_stage_type *t, const char *wanted) {
  const char *slash = strchr(wanted, '/'), *role = role_name(t->role);
  if (!has_name(t, slash ? slash + 1 : wanted)) return 0;
  return !slash || (strlen(role) == (size_t)(slash - wanted) && strncmp(role, wanted, strlen(role)) == 0);
}

static int no_such_stage(const char *wanted, const struct registry *registry) {
  struct nearest near;
  nearest_init(&near, strchr(wanted, '/') ? strchr(wanted, '/') + 1 : wanted);
  for (const struct stage_entry *e = registry_first(registry); e; e = e->next) nearest_offer(&near, e->type.name);
  fprintf(stderr, "weir: no stage `%s`\n", wanted);
  if (near.best) fprintf(stderr, "  did you mean `%s`?\n", near.best);
  fprintf(stderr, "  `weir components` lists them all\n");
  return EXIT_USAGE;
}

/* Pages of all stages of that name. */
static int doc_command(const char *wanted, struct registry *registry) {
  int shown = 0;
  registry_load_all(registry, on_refused, NULL);
  for (const struct stage_entry *e = registry_first(registry); e; e = e->next) {
    if (!is_wanted(&e->type, wanted)) continue;
    if (shown++) fputs("\n", stdout);
    manual_page(stdout, e, (struct schema_table){ sender_fields, sizeof *sender_fields });
  }
  return shown ? EXIT_OK : no_such_stage(wanted, registry);
}

/* One JSON document, so one stage. */
static int schema_command(const char *wanted, struct registry *registry) {
  const struct stage_entry *found = NULL;
  registry_load_all(registry, on_refused, NULL);
  for (const struct stage_entry *e = registry_first(registry); wanted && e; e = e->next) {
    if (!is_wanted(&e->type, wanted)) continue;
    if (found) {
      fprintf(stderr, "weir: there are several stages `%s`\n  write %s/%s or %s/%s\n", wanted, role_name(found->type.role), wanted,
        role_name(e->type.role), wanted);
      return EXIT_USAGE;
    }
    found = e;
  }
  if (wanted && !found) return no_such_stage(wanted, registry);
  if (found) print_schema_stage(stdout, found);
  else print_schema(stdout, registry);
  return EXIT_OK;
}

static int components_command(struct registry *registry) {
  registry_load_all(registry, on_refused, NULL);
  manual_components(stdout, registry);
  return EXIT_OK;
}

int main(int argc, char **argv) {
  struct command command;
  mallopt(M_MMAP_THRESHOLD, 128 << 10); /* fixed: else freed segments of tail sampling stay on the heap after the first that was freed (bench/results.md, "Tail sampling's store") */
  int code = EXIT_USAGE;
  if (command_parse(&command, argc, argv, stderr) == 0) {
    struct registry *registry = registry_new();
    add_stage_dirs(registry);
    code = EXIT_OK;
    if (command.verb == COMMAND_HELP)
      command_help(stdout);
    else if (command.verb == COMMAND_VERSION)
      puts("weir " WEIR_VERSION);
    else if (command.verb == COMMAND_COMPONENTS)
      code = components_command(registry);
    else if (command.verb == COMMAND_DOC)
      code = doc_command(command.stage, registry);
    else if (command.verb == COMMAND_SCHEMA)
      code = schema_command(command.stage, registry);
    else if (command.verb == COMMAND_PRINT_CONFIG)
      code = print_config_command(&command, registry);
    else if (command.verb == COMMAND_QUEUE)
      code = queues_command(&command, registry);
    else if (command.verb == COMMAND_TEST)
      code = test_command(&command, registry);
    else if (command.verb == COMMAND_WHY || command.verb == COMMAND_DECISIONS)
      code = why_command(&command);
    else if (command.verb == COMMAND_RELOAD)
      code = control_ask(command.socket, "reload");
    else
      code = run_command(&command, registry);
    registry_free(registry);
  }
  command_done(&command);
  return code;
}
