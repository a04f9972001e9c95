#include "pipelines/command.h"

#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/nearest.h"

struct verb {
  const char *name;
  int verb, takes_config; /* 0 no, 1 it must, 2 it may */
};

static const struct verb verbs[] = {
  { "run", COMMAND_RUN, 1 },
  { "validate", COMMAND_VALIDATE, 1 },
  { "print-config", COMMAND_PRINT_CONFIG, 1 },
  { "schema", COMMAND_SCHEMA, 0 },
  { "reload", COMMAND_RELOAD, 0 },
  { "queue", COMMAND_QUEUE, 2 },
  { "test", COMMAND_TEST, 0 },
  { "why", COMMAND_WHY, 0 },
  { "decisions", COMMAND_DECISIONS, 0 },
  { "components", COMMAND_COMPONENTS, 0 },
  { "doc", COMMAND_DOC, 0 },
  { "version", COMMAND_VERSION, 0 },
  { "help", COMMAND_HELP, 0 },
};
#define N_VERBS (sizeof verbs / sizeof *verbs)

void command_help(FILE *out) {
  fputs("weir: a telemetry collector\n"
        "\n"
        "  weir run --config FILE       receive, process and export until SIGTERM; also: weir --config FILE\n"
        "  weir validate --config FILE  check a configuration and say everything that is wrong with it\n"
        "  weir print-config --config FILE [--mode unredacted] [--origin]\n"
        "                               the configuration merged and expanded, secrets hidden; with each value's place\n"
        "  weir test FILE ...           run the tests of a pipeline: inputs, a virtual clock, the decisions expected of its processors\n"
        "  weir reload [--socket PATH]  let a running weir read its configuration again, and say what came of it\n"
        "  weir queue ls|peek|replay|drop DIRECTORY [QUEUE] [--limit N] [--yes] [--socket PATH]; or --config FILE for DIRECTORY\n"
        "                               queues on disk: list them, show what is in them, queue dead letters again (with --socket by a running weir), delete\n"
        "  weir why TRACE_ID [--json]   what a running weir decided about a trace (tail_sampling), and why\n"
        "  weir decisions [--kept|--dropped] [--policy P] [--since 5m] [--limit N] [--json]\n"
        "                               its newest decisions (100); --stage ID: those of one processor or pipeline\n"
        "  weir components              list the stages that are there\n"
        "  weir doc STAGE               the manual page of a stage: otlp, exporter/otlp\n"
        "  weir schema [STAGE]          JSON Schema of a configuration, or of one stage's settings\n"
        "  weir version\n"
        "  weir help\n"
        "\n"
        "  --config FILE   a path, file:PATH, env:NAME or yaml:TEXT; several are merged, the later wins\n"
        "  --set a.b=c     sets one value after all files\n"
        "  --socket PATH   the running weir's service.control.socket; default: weir.sock in $XDG_RUNTIME_DIR\n"
        "\n"
        "Exit codes: 0 ok, 1 failure, 2 wrong usage, 78 bad configuration.\n",
    out);
}

static int usage(FILE *out, const char *what, const char *about) {
  fprintf(out, "weir: %s%s%s%s\n", what, about ? " `" : "", about ? about : "", about ? "`" : "");
  return -1;
}

static int hint(FILE *out, const char *text) {
  fprintf(out, "  %s\n", text);
  return -1;
}

static const struct verb *find_verb(const char *name) {
  for (size_t i = 0; i < N_VERBS; i++)
    if (!strcmp(verbs[i].name, name)) return &verbs[i];
  return NULL;
}

static int unknown_verb(FILE *out, const char *name) {
  struct nearest near;
  nearest_init(&near, name);
  for (size_t i = 0; i < N_VERBS; i++) nearest_offer(&near, verbs[i].name);
  usage(out, "unknown command", name);
  if (near.best) fprintf(out, "  did you mean `weir %s`?\n", near.best);
  return hint(out, near.best ? "`weir help` lists them all" : "commands: run, validate, print-config, test, reload, queue, why, decisions, components, doc, schema, version, help");
}

static int unknown_option(FILE *out, const char *arg) {
  char name[64];
  struct nearest near;
  snprintf(name, sizeof name, "%.*s", (int)strcspn(arg, "="), arg);
  nearest_init(&near, name);
  nearest_offer(&near, "--config");
  nearest_offer(&near, "--set");
  nearest_offer(&near, "--socket");
  nearest_offer(&near, "--mode");
  nearest_offer(&near, "--origin");
  nearest_offer(&near, "--limit");
  nearest_offer(&near, "--yes");
  nearest_offer(&near, "--json");
  nearest_offer(&near, "--kept");
  nearest_offer(&near, "--dropped");
  nearest_offer(&near, "--policy");
  nearest_offer(&near, "--since");
  nearest_offer(&near, "--stage");
  nearest_offer(&near, "--help");
  nearest_offer(&near, "--version");
  usage(out, "unknown option", name);
  if (near.best) fprintf(out, "  did you mean `%s`?\n", near.best);
  return hint(out, "options: --config FILE, --set a.b=c");
}

/* `--name=value` or `--name value`; 1 when arg is that option, -1 when its value is missing. */
static int option(const char *name, int argc, char **argv, int *i, const char **ret, FILE *out) {
  size_t n = strlen(name);
  if (strncmp(argv[*i], name, n) != 0) return 0;
  if (argv[*i][n] == '=') {
    *ret = argv[*i] + n + 1;
  } else if (argv[*i][n]) {
    return 0;
  } else if (*i + 1 < argc) {
    *ret = argv[++*i];
  } else {
    usage(out, "a value is missing after", name);
    return -1;
  }
  if (**ret) return 1;
  usage(out, "an empty value was given to", name);
  return -1;
}

static int take_mode(struct command *c, const char *value, FILE *out) {
  c->unredacted = strcmp(value, "unredacted") == 0;
  if (c->unredacted || strcmp(value, "redacted") == 0) return 0;
  usage(out, "unknown --mode", value);
  return hint(out, "modes: redacted, unredacted");
}

static int take_limit(struct command *c, const char *value, FILE *out) {
  char *end;
  c->limit = strtoull(value, &end, 10);
  c->limit_text = value;
  c->limited = 1;
  if (*value >= '0' && *value <= '9' && !*end) return 0;
  usage(out, "no number in --limit", value);
  return hint(out, "write --limit 10; 0 shows all");
}

/* Of `weir why` and `weir decisions`: 1 taken, 0 another option, -1. */
static int take_question_option(struct command *c, int argc, char **argv, int *i, FILE *out) {
  const struct {
    const char *name;
    int *to;
  } flags[] = { { "--json", &c->json }, { "--kept", &c->kept }, { "--dropped", &c->dropped } };
  for (size_t k = 0; k < sizeof flags / sizeof *flags; k++) {
    if (strcmp(argv[*i], flags[k].name) != 0) continue;
    *flags[k].to = 1;
    return 1;
  }
  int r = option("--policy", argc, argv, i, &c->policy, out);
  if (!r) r = option("--since", argc, argv, i, &c->since, out);
  return r ? r : option("--stage", argc, argv, i, &c->at, out);
}

static int take_option(struct command *c, int argc, char **argv, int *i, FILE *out) {
  const char *value;
  int asks = take_question_option(c, argc, argv, i, out);
  if (asks) return asks > 0 ? 0 : -1;
  int r = option("--config", argc, argv, i, &value, out);
  if (r > 0) c->configs[c->n_configs++] = value;
  if (r) return r > 0 ? 0 : -1;
  r = option("--socket", argc, argv, i, &c->socket, out);
  if (r) return r > 0 ? 0 : -1;
  r = option("--mode", argc, argv, i, &value, out);
  if (r) return r > 0 ? take_mode(c, value, out) : -1;
  r = option("--limit", argc, argv, i, &value, out);
  if (r) return r > 0 ? take_limit(c, value, out) : -1;
  if (strcmp(argv[*i], "--origin") == 0) {
    c->origin = 1;
    return 0;
  }
  if (strcmp(argv[*i], "--yes") == 0) {
    c->yes = 1;
    return 0;
  }
  r = option("--set", argc, argv, i, &value, out);
  if (r < 0) return -1;
  if (r == 0) return unknown_option(out, argv[*i]);
  if (!strchr(value, '=')) {
    usage(out, "missing equal sign in --set", value);
    return hint(out, "write --set a.b=value");
  }
  c->sets[c->n_sets++] = value;
  return 0;
}

static int n_queue_words(const struct command *c) { return (c->action != NULL) + (c->directory != NULL) + (c->queue != NULL); }

static int take_word(struct command *c, const char *arg, FILE *out) {
  if ((c->verb == COMMAND_DOC || c->verb == COMMAND_SCHEMA) && !c->stage) {
    c->stage = arg;
    return 0;
  }
  if (c->verb == COMMAND_TEST) {
    c->files[c->n_files++] = arg;
    return 0;
  }
  if (c->verb == COMMAND_WHY && !c->trace_id) {
    c->trace_id = arg;
    return 0;
  }
  if (c->verb == COMMAND_QUEUE && n_queue_words(c) < 3) {
    const char **words[] = { &c->action, c->n_configs ? &c->queue : &c->directory, &c->queue };
    *words[n_queue_words(c)] = arg;
    return 0;
  }
  if (c->verb) {
    usage(out, "unexpected argument", arg);
    return hint(out, c->verb == COMMAND_RUN || c->verb == COMMAND_VALIDATE || c->verb == COMMAND_PRINT_CONFIG ? "files are named with --config FILE" : "see `weir help`");
  }
  const struct verb *v = find_verb(arg);
  if (!v) return unknown_verb(out, arg);
  c->verb = v->verb;
  return 0;
}

static int check_queue(struct command *c, FILE *out) {
  static const char *const actions[] = { "ls", "peek", "replay", "drop" };
  size_t i = 0;
  while (i < 4 && c->action && strcmp(actions[i], c->action) != 0) i++;
  if (!c->action || i == 4) {
    usage(out, c->action ? "unknown action of `weir queue`:" : "what about queues?", c->action);
    return hint(out, "weir queue ls|peek|replay|drop DIRECTORY [QUEUE]");
  }
  if (c->socket && strcmp(c->action, "replay") != 0) {
    usage(out, "--socket belongs to `weir queue replay`", NULL);
    return hint(out, "the other actions need no running weir: leave it out");
  }
  if (c->n_configs && c->directory && !c->queue) { /* --config came behind the words */
    c->queue = c->directory;
    c->directory = NULL;
  }
  if (!c->n_configs != !c->directory) {
    if (!c->limited) c->limit = 10;
    return 0;
  }
  usage(out, c->directory ? "a directory and a configuration: which?" : "which queues?", NULL);
  return hint(out, "weir queue ls DIRECTORY, as file_storage has it; or weir queue ls --config FILE");
}

static int is_question(const struct command *c) { return c->verb == COMMAND_WHY || c->verb == COMMAND_DECISIONS; }

static int check_question(const struct command *c, FILE *out) {
  if (c->verb == COMMAND_WHY && !c->trace_id) {
    usage(out, "which trace?", NULL);
    return hint(out, "weir why 4bf92f3577b34da6a3ce929d0e0e4736");
  }
  if (c->verb == COMMAND_WHY && (c->kept || c->dropped || c->policy || c->since || c->limited)) {
    usage(out, "--kept, --dropped, --policy, --since and --limit belong to `weir decisions`", NULL);
    return hint(out, "leave them out");
  }
  if (!c->kept || !c->dropped) return 0;
  usage(out, "--kept and --dropped: which?", NULL);
  return hint(out, "leave both out for all decisions");
}

/* Options of other commands. */
static int check_belongs(const struct command *c, FILE *out) {
  if (c->verb != COMMAND_QUEUE && (c->yes || (c->limited && !is_question(c)))) {
    usage(out, "--limit and --yes belong to `weir queue`, --limit to `weir decisions` too", NULL);
    return hint(out, "leave them out");
  }
  if (!is_question(c) && (c->json || c->kept || c->dropped || c->policy || c->since || c->at)) {
    usage(out, "--json, --kept, --dropped, --policy, --since and --stage belong to `weir decisions`, --json and --stage to `weir why` too", NULL);
    return hint(out, "leave them out");
  }
  return 0;
}

static int check( struct command *c, FILE *out) {
  const struct verb *v = verbs;
  while (v->verb != c->verb) v++;
  if (check_belongs(c, out)) return -1;
  if (c->verb == COMMAND_QUEUE) return check_queue(c, out);
  if (v->takes_config && !c->n_configs) {
    usage(out, "which configuration?", NULL);
    fprintf(out, "  weir %s --config FILE\n", v->name);
    return -1;
  }
  if (!v->takes_config && (c->n_configs || c->n_sets)) {
    usage(out, "this command reads no configuration:", v->name);
    return hint(out, "leave --config and --set out");
  }
  if ((c->unredacted || c->origin) && c->verb != COMMAND_PRINT_CONFIG) {
    usage(out, "--mode and --origin belong to `weir print-config`", NULL);
    return hint(out, "leave them out");
  }
  if (c->socket && c->verb != COMMAND_RELOAD && !is_question(c)) {
    usage(out, "--socket belongs to `weir reload`, `weir why`, `weir decisions` and `weir queue replay`", NULL);
    return hint(out, "a running weir's socket is set by service.control.socket in its configuration");
  }
  if (c->verb == COMMAND_TEST && !c->n_files) {
    usage(out, "which test?", NULL);
    return hint(out, "weir test FILE ...; pipelines/gateway-sampling.test.yaml is one");
  }
  if (is_question(c)) return check_question(c, out);
  if (c->verb == COMMAND_DOC && !c->stage) {
    usage(out, "which stage?", NULL);
    return hint(out, "weir doc otlp; `weir components` lists them");
  }
  return 0;
}

int command_parse(struct command *c, int argc, char **argv, FILE *out) {
  memset(c, 0, sizeof *c);
  c->configs = calloc((size_t)argc + 1, sizeof *c->configs);
  c->sets = calloc((size_t)argc + 1, sizeof *c->sets);
  c->files = calloc((size_t)argc + 1, sizeof *c->files);
  WEIR_ASSERT(c->configs != NULL && c->sets != NULL && c->files != NULL);
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
      c->verb = COMMAND_HELP;
      return 0;
    }
    if (!strcmp(argv[i], "--version")) {
      c->verb = COMMAND_VERSION;
      return 0;
    }
    int r = argv[i][0] == '-' && argv[i][1] ? take_option(c, argc, argv, &i, out) : take_word(c, argv[i], out);
    if (r) return r;
  }
  if (!c->verb && c->n_configs) c->verb = COMMAND_RUN;
  if (c->verb) return check(c, out);
  command_help(out);
  return -1;
}

void command_done(struct command *c) {
  free((void *)c->configs);
  free((void *)c->sets);
  free((void *)c->files);
}
