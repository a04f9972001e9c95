#include "pipelines/test_command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/expand_source.h"
#include "core/log.h"
#include "core/otlp_json_text.h"
#include "core/parse.h"
#include "core/yaml.h"
#include "pipelines/run.h"
#include "pipelines/test_spans.h"
#include "pipelines/trial.h"

struct test_step {
  struct weir_groups send; /* struct test_trace */
  int64_t advance_ns;
  const struct yaml_node *expect;
};

struct test_file {
  const struct yaml_node *config;
  struct weir_strings set;
  const char *pipeline, *title;
  struct weir_groups steps;
};

static const struct weir_field step_fields[] = {
  { "send", WEIR_T_GROUPS, 0, offsetof(struct test_step, send), NULL, NULL, NULL, NULL, NULL, "Traces that arrive now, in one request.", test_trace_fields, sizeof(struct test_trace) },
  { "advance", WEIR_T_DURATION, 0, offsetof(struct test_step, advance_ns), "0s", "0", NULL, NULL, NULL, "Turns the clock.", NULL, 0 },
  { "expect", SCHEMA_T_NODE, 0, offsetof(struct test_step, expect), NULL, NULL, NULL, NULL, NULL, "By trace: kept, dropped or undecided; or {outcome, policy, spans}.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field file_fields[] = {
  { "title", WEIR_T_STRING, 0, offsetof(struct test_file, title), NULL, NULL, NULL, NULL, NULL, "What it shows.", NULL, 0 },
  { "config", SCHEMA_T_NODE, WEIR_REQUIRED, offsetof(struct test_file, config), NULL, NULL, NULL, NULL, NULL, "The configuration: a file beside this one, or a list of them.", NULL, 0 },
  { "set", WEIR_T_STRINGS, 0, offsetof(struct test_file, set), NULL, NULL, NULL, NULL, NULL, "As --set: a.b=c.", NULL, 0 },
  { "pipeline", WEIR_T_STRING, 0, offsetof(struct test_file, pipeline), NULL, NULL, NULL, NULL, NULL, "Which pipeline; by default the one of traces that has processors.", NULL, 0 },
  { "steps", WEIR_T_GROUPS, WEIR_REQUIRED | WEIR_NONEMPTY, offsetof(struct test_file, steps), NULL, NULL, NULL, NULL, NULL, "What happens, in order.", step_fields, sizeof(struct test_step) },
  WEIR_FIELD_END,
};

/* One file under test. */
struct test {
  const char *path;
  struct arena arena;
  struct diags ds;
  struct test_file file;
  struct yaml_node *root;
  struct config *config;
  struct trial *trial;
  uint64_t checked, differences;
};

static const struct pos nowhere = { UINT32_MAX, 0, 0, 0 };

/* --- reading ---------------------------------------------------------------------------------------------------------------------- */

static int read_file(struct test *t) {
  struct source_text got;
  struct weir_error err = { 0 };
  struct schema_binding binding = { { file_fields, sizeof(struct weir_field) }, &t->file };
  if (source_fetch(&t->arena, &source_system, "file", t->path, &got, &err)) {
    diag_error(&t->ds, nowhere, "%s", err.msg);
    return -1;
  }
  uint32_t file = diags_add_file(&t->ds, t->path, got.p, got.n);
  t->root = yaml_parse(&t->arena, &t->ds, file);
  if (t->root) schema_bind(&t->arena, &t->ds, "the test", (struct pos){ file, 1, 1, 1 }, t->root, &binding, 1);
  return t->ds.n_errors ? -1 : 0;
}

/* A name in the file is beside the file. */
static const char *beside(struct test *t, const char *name) {
  const char *slash = strrchr(t->path, '/');
  return *name == '/' || !slash ? name : arena_printf(&t->arena, "%.*s/%s", (int)(slash - t->path), t->path, name);
}

static int load(struct test *t, struct registry *registry) {
  const struct yaml_node *c = t->file.config;
  size_t n = c->kind == YAML_SEQ ? c->n : 1;
  const char **uris = arena_alloc(&t->arena, (n + 1) * sizeof *uris);
  for (size_t i = 0; i < n; i++) {
    const struct yaml_node *one = c->kind == YAML_SEQ ? c->items[i] : c;
    if (one->kind != YAML_SCALAR) {
      diag_error(&t->ds, one->pos, "`config` names a file, or is a list of files");
      return -1;
    }
    uris[i] = beside(t, one->text);
  }
  t->config = config_load(registry, &t->ds, uris, n, t->file.set.v, t->file.set.n);
  return t->config ? 0 : -1;
}

static const struct config_pipeline *find_pipeline(struct test *t) {
  const struct config_pipeline *found = NULL;
  const struct yaml_node *at = yaml_get(t->root, "pipeline");
  for (const struct config_pipeline *p = t->config->pipelines; p; p = p->next) {
    if (t->file.pipeline ? strcmp(p->id, t->file.pipeline) != 0 : p->signal != WEIR_TRACES || !p->n_processors) continue;
    if (found) {
      diag_error(&t->ds, t->root->pos, "pipelines `%s` and `%s` both have processors: which one is tested?", found->id, p->id);
      diag_note(&t->ds, "write pipeline: %s", found->id);
      return NULL;
    }
    found = p;
  }
  if (!found) diag_error(&t->ds, at ? at->pos : t->root->pos, t->file.pipeline ? "there is no pipeline `%s`" : "no pipeline of traces has processors", t->file.pipeline);
  else if (found->signal != WEIR_TRACES) diag_error(&t->ds, at ? at->pos : t->root->pos, "pipeline `%s` is not one of traces", found->id);
  return t->ds.n_errors ? NULL : found;
}

/* --- steps ------------------------------------------------------------------------------------------------------------------------ */

static struct pos step_pos(const struct test *t, size_t i) {
  const struct yaml_node *steps = yaml_get(t->root, "steps");
  return steps && i < steps->n ? steps->items[i]->pos : t->root->pos;
}

static void send_traces(struct test *t, const struct test_step *s, size_t i) {
  const char *why;
  struct part *part = test_spans_make(trial_pool(t->trial), &s->send, clock_unix_ns(), step_pos(t, i), &t->ds);
  if (!part || trial_send(t->trial, part, &why)) return;
  diag_error(&t->ds, step_pos(t, i), "what was sent was refused: %s", why);
  t->differences++;
}

/* The text of a JSON member in the last line of an answer that has it; "" when none has. */
static const char *last_member(struct test *t, const char *lines, const char *name) {
  char key[40];
  const char *found = NULL;
  snprintf(key, sizeof key, "\"%s\":\"", name);
  for (const char *p = lines; (p = strstr(p, key)) != NULL; p++) found = p + strlen(key) - 1;
  struct json_in in = { .p = found, .end = found ? found + strlen(found) : NULL };
  struct json_token token;
  if (!found || json_string(&in, &token)) return "";
  char *out = arena_alloc(&t->arena, token.n + 1);
  out[json_unescape(&token, out)] = 0;
  return out;
}

struct outcome {
  const char *word, *policy, *lines;
  uint64_t spans;
};

static struct outcome look(struct test *t, const char *trace) {
  char id[33], question[80];
  test_trace_id(trace, id);
  snprintf(question, sizeof question, "why trace_id=%s format=json", id);
  char *json = trial_ask(t->trial, question);
  *strchr(question + 4, ' ') = 0;
  char *text = trial_ask(t->trial, question);
  struct outcome o = { .spans = trial_kept(t->trial, id), .policy = last_member(t, json, "policy"), .lines = arena_strdup(&t->arena, text) };
  o.word = strcmp(last_member(t, json, "outcome"), "undecided") == 0 ? "undecided" : o.spans ? "kept" : "dropped";
  free(json);
  free(text);
  return o;
}

static void differs(struct test *t, struct pos pos, const struct outcome *o, const char *what) {
  t->differences++;
  diag_error(&t->ds, pos, "%s", what);
  if (*o->lines) diag_note(&t->ds, "%.*s", (int)strcspn(o->lines, "\n"), o->lines);
}

static void check_word(struct test *t, const char *trace, const struct yaml_node *v, const struct outcome *o) {
  static const char *const words[] = { "kept", "dropped", "undecided" };
  size_t i = 0;
  while (i < 3 && (v->kind != YAML_SCALAR || strcmp(v->text, words[i]) != 0)) i++;
  t->checked++;
  if (i == 3) diag_error(&t->ds, v->pos, "an outcome is kept, dropped or undecided");
  else if (strcmp(v->text, o->word) != 0) differs(t, v->pos, o, arena_printf(&t->arena, "trace `%s`: expected %s, was %s", trace, v->text, o->word));
}

static void check_policy(struct test *t, const char *trace, const struct yaml_node *v, const struct outcome *o) {
  t->checked++;
  if (v->kind != YAML_SCALAR) diag_error(&t->ds, v->pos, "a policy's name is a text");
  else if (strcmp(v->text, o->policy) != 0)
    differs(t, v->pos, o, *o->policy ? arena_printf(&t->arena, "trace `%s`: expected policy `%s`, it was `%s`", trace, v->text, o->policy)
                                     : arena_printf(&t->arena, "trace `%s`: expected policy `%s`, no policy decided", trace, v->text));
}

static void check_spans(struct test *t, const char *trace, const struct yaml_node *v, const struct outcome *o) {
  uint64_t n;
  t->checked++;
  if (v->kind != YAML_SCALAR || parse_u64(v->text, &n)) diag_error(&t->ds, v->pos, "`spans` is the number of spans that were kept");
  else if (n != o->spans) differs(t, v->pos, o, arena_printf(&t->arena, "trace `%s`: expected %" PRIu64 " spans, %" PRIu64 " were kept", trace, n, o->spans));
}

static int is_sent(const struct test *t, const char *trace) {
  char id[33], sent[33];
  test_trace_id(trace, id);
  for (size_t i = 0; i < t->file.steps.n; i++) {
    const struct weir_groups *send = &((const struct test_step *)t->file.steps.v + i)->send;
    for (size_t k = 0; k < send->n; k++) {
      test_trace_id(((const struct test_trace *)send->v + k)->name, sent);
      if (!strcmp(id, sent)) return 1;
    }
  }
  return 0;
}

static void check(struct test *t, const struct yaml_node *key, const struct yaml_node *v) {
  const char *trace = key->text;
  if (!is_sent(t, trace)) {
    t->checked++;
    diag_error(&t->ds, key->pos, "no step sends a trace `%s`", trace);
    return;
  }
  struct outcome o = look(t, trace);
  if (v->kind != YAML_MAP) {
    check_word(t, trace, v, &o);
    return;
  }
  for (size_t i = 0; i < v->n; i++) {
    const char *what = v->keys[i]->text;
    if (!strcmp(what, "outcome")) check_word(t, trace, v->items[i], &o);
    else if (!strcmp(what, "policy")) check_policy(t, trace, v->items[i], &o);
    else if (!strcmp(what, "spans")) check_spans(t, trace, v->items[i], &o);
    else diag_error(&t->ds, v->keys[i]->pos, "unknown key `%s`; allowed here: outcome, policy, spans", what);
  }
}

static void expect(struct test *t, const struct yaml_node *map) {
  if (map->kind != YAML_MAP) {
    diag_error(&t->ds, map->pos, "`expect` is a mapping of traces to what is expected of them");
    return;
  }
  for (size_t i = 0; i < map->n; i++) check(t, map->keys[i], map->items[i]);
}

static void run_steps(struct test *t) {
  for (size_t i = 0; i < t->file.steps.n; i++) {
    const struct test_step *s = (const struct test_step *)t->file.steps.v + i;
    if (s->send.n) send_traces(t, s, i);
    if (s->advance_ns) trial_advance(t->trial, s->advance_ns);
    if (s->expect) expect(t, s->expect);
  }
  if (!t->checked) diag_error(&t->ds, t->root->pos, "nothing is expected: a test without `expect` can not fail");
}

/* --- the command -------------------------------------------------------------------------------------------------------------------- */

static int test_one(const char *path, struct registry *registry) {
  struct test t = { .path = path };
  arena_init(&t.arena, NULL, 4096);
  diags_init(&t.ds);
  const struct config_pipeline *p = read_file(&t) || load(&t, registry) ? NULL : find_pipeline(&t);
  t.trial = p ? trial_open(t.config, p, &t.ds) : NULL;
  if (t.trial) run_steps(&t);
  int code = t.ds.n_errors > t.differences ? EXIT_CONFIG : t.differences ? EXIT_FAILED : EXIT_OK;
  char *text = t.ds.first ? diags_render(&t.ds) : NULL;
  if (text) fputs(text, stderr);
  if (code == EXIT_OK) printf("%s: %" PRIu64 " expectations hold\n", path, t.checked);
  free(text);
  trial_close(t.trial);
  config_free(t.config);
  diags_done(&t.ds);
  arena_done(&t.arena);
  return code;
}

int test_command(const struct command *c, struct registry *registry) {
  int worst = EXIT_OK;
  log_setup(&(struct log_config){ WEIR_LOG_ERROR, 0, 2, 0 });
  for (size_t i = 0; i < c->n_files; i++) {
    int code = test_one(c->files[i], registry);
    if (code > worst) worst = code;
  }
  return worst;
}
