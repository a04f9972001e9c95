#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/assert.h"
#include "core/listener.h"
#include "core/tls.h"
#include "core/yaml.h"
#include "pipelines/config.h"

static struct harness *of(struct weir_stage *s) {
  CHECK_MAGIC(s, STAGE_MAGIC);
  return s->owner;
}

/* --- what surrounds the stage ------------------------------------------------------------------------------------- */

static void on_emit(struct weir_stage *s, uint32_t output, struct weir_batch *b) {
  struct harness *h = of(s);
  CHECK_MAGIC(b, BATCH_MAGIC);
  if (output != 0) fail_msg("emitted on output %u, which no stage has yet", output);
  b->next = NULL;
  *h->emitted_end = b;
  h->emitted_end = &b->next;
  h->n_emitted++;
  h->items_emitted += b->items;
}

static void on_done(struct weir_stage *s, struct weir_batch *b, const struct weir_verdict *v) {
  struct harness *h = of(s);
  if (h->n_done == HARNESS_MAX) fail_msg("more than %u verdicts", HARNESS_MAX);
  struct harness_done *d = &h->done[h->n_done++];
  d->items = b->items;
  d->verdict = *v;
  snprintf(d->msg, sizeof d->msg, "%s", v->msg ? v->msg : "");
  d->verdict.msg = d->msg;
  batch_settle(b, v);
}

static void on_drop(struct weir_stage *s, struct weir_batch *b, const char *reason) {
  struct harness *h = of(s);
  struct weir_verdict v = verdict_delivered();
  if (h->n_drops == HARNESS_MAX) fail_msg("more than %u drops", HARNESS_MAX);
  h->drops[h->n_drops++] = (struct harness_drop){ b->items, reason };
  batch_settle(b, &v);
}

static void on_drained(struct weir_stage *s) {
  if (s == of(s)->now) of(s)->n_drained++;
  else of(s)->n_older_drained++;
}

static void on_fail(struct weir_stage *s, const struct weir_error *err, int fatal) {
  struct harness *h = of(s);
  h->failure = *err;
  h->fatal = fatal;
  h->n_fails++;
}

static struct weir_stage *on_extension(struct weir_stage *s, const char *id, struct weir_error *err) {
  struct harness *h = of(s);
  if (!h->extension) weir_fail(err, WEIR_E_CONFIG, "extension `%s` is not configured", id);
  return h->extension;
}

static const struct stage_ops ops = { on_emit, on_done, on_drop, on_drained, on_fail, on_extension };

/* --- open ------------------------------------------------------------------------------------------------------------ */

static char *error_text(const struct weir_error *err) {
  char *text = malloc(1200);
  assert_non_null(text);
  snprintf(text, 1200, "%s%s%s%s%s", err->field, *err->field ? ": " : "", err->msg, *err->hint ? "; " : "", err->hint);
  return text;
}

static const struct stage_entry *find_entry(struct harness *h, const struct harness_setup *s, struct weir_error *err) {
  const char *build = getenv("WEIR_BUILD");
  char path[4096];
  if (!build) fail_msg("WEIR_BUILD is not set: it names the build directory, whose stages/ holds what is tested");
  static char engine[4096];
  snprintf(engine, sizeof engine, "%s/engines/tls.so", build);
  tls_engine_path(engine);
  snprintf(path, sizeof path, "%s/%s", build, s->file ? s->file : "stages");
  if (s->file ? registry_load(h->registry, path, err) : registry_add_dir(h->registry, path, err)) return NULL;
  return registry_find(h->registry, s->role, s->type, err);
}

/* Binds the text by the type's table, and by the sender's where a sender would stand in front. NULL when there are errors in h->diags. */
static const void *bind_config(struct harness *h, const struct stage_entry *e, const char *yaml) {
  const struct weir_stage_type *t = &e->type;
  struct sender_config sender = { 0 };
  void *config = arena_zalloc(&h->arena, t->config_size + 1);
  struct schema_binding bindings[] = { { { t->fields, t->field_size }, config },
    { { sender_fields, sizeof(struct weir_field) }, &sender } };
  const char *text = yaml ? yaml : "";
  uint32_t file = diags_add_file(&h->diags, "stage.yaml", text, strlen(text));
  struct yaml_node *root = yaml_parse_part(&h->arena, &h->diags, file, 0, strlen(text));
  if (root) yaml_expand(&h->arena, &h->diags, root);
  schema_bind(&h->arena, &h->diags, arena_printf(&h->arena, "%s `%s`", role_name(t->role), t->name), (struct pos){ file, 1, 1, 1 }, root,
    bindings, t->flags & WEIR_QUEUED ? 2 : 1);
  return h->diags.n_errors ? NULL : config;
}

static void fill_stage(struct harness *h, const struct harness_setup *s, const struct stage_entry *e, const void *config) {
  h->now = &h->stage;
  uint32_t signal = s->signal ? s->signal : s->role == WEIR_EXTENSION ? 0 : WEIR_TRACES;
  h->stage = (struct weir_stage){ .magic = STAGE_MAGIC,
    .entry = e,
    .id = s->id ? s->id : s->type,
    .pipeline = s->role == WEIR_PROCESSOR ? "harness" : NULL,
    .signal = signal,
    .out_signal = s->out_signal ? s->out_signal : signal,
    .lane = s->lane,
    .lanes = s->lanes ? s->lanes : 1,
    .ack_delivered = s->ack_delivered,
    .downstream_need = s->need,
    .loop = &h->loop,
    .ops = &ops,
    .owner = h,
    .config = config };
}

static struct harness *make(const struct harness_setup *s) {
  struct harness *h = calloc(1, sizeof *h);
  struct weir_error err = { 0 };
  assert_non_null(h);
  clock_set_virtual(HARNESS_MONO_NS, HARNESS_UNIX_NS);
  h->emitted_end = &h->emitted;
  h->timeout_ns = s->timeout_ns;
  h->extension = s->extension;
  h->unnamed.harness = h;
  budget_init(&h->env.budget, s->budget_bytes);
  h->env.metrics = metrics_new();
  h->env.listeners = listeners_new();
  h->registry = registry_new();
  arena_init(&h->arena, NULL, 4096);
  diags_init(&h->diags);
  assert_int_equal(loop_init(&h->loop, s->lane, &h->env, &err), 0);
  return h;
}

/* As the graph does for all instances at one place: here there is one. */
static int prepare_stage(struct weir_stage *s, struct weir_error *err) {
  const struct weir_stage_type *t = &s->entry->type;
  return t->prepare ? t->prepare(host_table(), s, s->config, &s->shared, err) : 0;
}

/* After the close. */
static void release_stage(struct weir_stage *s) {
  if (s->shared) s->entry->type.release(s->shared);
  s->shared = NULL;
}

/* All but the stage itself, which is closed. */
static void unmake(struct harness *h) {
  loop_done(&h->loop);
  listeners_free(h->env.listeners);
  metrics_free(h->env.metrics);
  registry_free(h->registry);
  diags_done(&h->diags);
  arena_done(&h->arena);
}

/* NULL, or why the stage was refused; then the harness is gone. */
static char *try_open(struct harness *h, const struct harness_setup *s) {
  struct weir_error err = { 0 };
  char *why = NULL;
  const struct stage_entry *e = find_entry(h, s, &err);
  const void *config = e ? bind_config(h, e, s->yaml) : NULL;
  if (!e)
    why = error_text(&err);
  else if (!config)
    why = diags_render(&h->diags);
  else {
    fill_stage(h, s, e, config);
    int prepared = !prepare_stage(&h->stage, &err);
    if (!prepared || stage_open(&h->stage, &err))
      why = error_text(&err);
    else if (!s->stopped && stage_start(&h->stage, &err)) {
      why = error_text(&err);
      stage_close(&h->stage);
    }
    if (why && prepared) release_stage(&h->stage);
  }
  if (!why) return NULL;
  unmake(h);
  assert_int_equal(h->env.budget.used, 0); /* a refused open leaves nothing behind */
  free(h);
  return why;
}

struct harness *harness_open(const struct harness_setup *s) {
  struct harness *h = make(s);
  char *why = try_open(h, s);
  if (!why) return h;
  print_error("%s `%s` was refused: %s\n", role_name(s->role), s->type, why);
  free(why);
  fail();
  return NULL;
}

struct harness *harness_new(uint32_t role, const char *type, const char *yaml, uint32_t signal) {
  struct harness_setup s = { .role = role, .type = type, .yaml = yaml, .signal = signal };
  return harness_open(&s);
}

char *harness_refused(const struct harness_setup *s) {
  struct harness *h = make(s);
  char *why = try_open(h, s);
  if (why) return why;
  harness_free(h);
  fail_msg("%s `%s` took a configuration that it should refuse:\n%s", role_name(s->role), s->type, s->yaml ? s->yaml : "");
  return NULL;
}

/* --- work -------------------------------------------------------------------------------------------------------------- */

static void check_settled(int r) {
  if (r) fail_msg("after %d rounds the stage still has steps to run: does one step always cause the next?", LOOP_SETTLE_MAX);
}

void harness_run(struct harness *h) { check_settled(loop_settle(&h->loop)); }

static int64_t real_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

void harness_run_until(struct harness *h, int (*done)(void *), void *arg) {
  struct timespec pause = { 0, 200000 };
  int64_t until = real_ns() + HARNESS_WAIT_NS;
  while (loop_run_once(&h->loop), !done(arg)) {
    if (real_ns() > until) fail_msg("waited %d s of real time in vain", (int)(HARNESS_WAIT_NS / NS_PER_S));
    nanosleep(&pause, NULL);
  }
}

void harness_feed(struct harness *h, struct weir_batch *b) {
  if (h->timeout_ns) b->deadline_ns = clock_mono_ns() + h->timeout_ns;
  b->ack_delivered = h->now->ack_delivered;
  stage_consume(h->now, b);
  harness_run(h);
}

void harness_advance(struct harness *h, int64_t ns) { check_settled(loop_advance(&h->loop, ns)); }

void harness_drain(struct harness *h) {
  stage_drain(h->now);
  harness_run(h);
}

/* --- what came of it ----------------------------------------------------------------------------------------------------- */

struct weir_batch *harness_take_emitted(struct harness *h) {
  struct weir_batch *b = h->emitted;
  if (!b) return NULL;
  h->emitted = b->next;
  if (!h->emitted) h->emitted_end = &h->emitted;
  h->n_emitted--;
  b->next = NULL;
  return b;
}

void harness_settle(struct harness *h, struct weir_batch *b, int code) {
  struct weir_verdict v = { .code = code, .retry_after_ns = code == WEIR_RETRY ? NS_PER_S : 0 };
  if (code != WEIR_DELIVERED) v.msg = "said by the test";
  batch_settle(b, &v);
  harness_run(h);
}

double harness_metric(struct harness *h, const char *name, const char *labels) {
  size_t n, len = strlen(name);
  char *page = metrics_render(h->env.metrics, &n, 0);
  double sum = 0;
  for (char *line = page, *next; line && *line; line = next) {
    next = strchr(line, '\n');
    if (next) *next++ = 0;
    char *value = strrchr(line, ' ');
    if (strncmp(line, name, len) != 0 || (line[len] != '{' && line[len] != ' ') || !value) continue;
    if (labels && !strstr(line + len, labels)) continue;
    sum += strtod(value, NULL);
  }
  free(page);
  return sum;
}

/* --- close --------------------------------------------------------------------------------------------------------------- */

static int has_drained(void *arg) { return ((struct harness *)arg)->n_drained > 0; }

static int64_t value_of(const struct weir_cell *c) { return c ? atomic_load(&c->value) : 0; }

static void add_counts(struct harness_counts *to, const struct weir_stage *s) {
  to->in += value_of(s->counts.in);
  to->out += value_of(s->counts.out);
  to->refused += value_of(s->counts.refused);
  to->held += value_of(s->counts.held);
  for (const struct stage_drop *d = s->drops; d; d = d->next) to->dropped += value_of(d->cell);
}

static void check_law(const struct harness *h) {
  struct harness_counts c = h->before;
  add_counts(&c, h->now);
  int64_t in = c.in, out = c.out, refused = c.refused, dropped = c.dropped, held = c.held;
  if (in != out + refused + dropped + held || held != 0)
    fail_msg("in %lld, out %lld, refused %lld, dropped %lld, held %lld after drain: items are lost or counted twice", (long long)in,
      (long long)out, (long long)refused, (long long)dropped, (long long)held);
}

static void settle_emitted(struct harness *h) {
  for (struct weir_batch *b; (b = harness_take_emitted(h));) harness_settle(h, b, WEIR_DELIVERED);
}

static void drain_all(struct harness *h) {
  if (h->now->state != STAGE_STARTED && h->now->state != STAGE_DRAINING) return;
  settle_emitted(h);
  if (h->now->state == STAGE_STARTED) harness_drain(h);
  harness_run_until(h, has_drained, h);
  if (h->n_drained != 1) fail_msg("drained was said %d times for one drain", h->n_drained);
  settle_emitted(h);
  check_law(h);
}

/* --- a second instance ------------------------------------------------------------------------------------------------------ */

struct older {
  struct weir_stage stage;
  struct older *next;
};

static struct weir_stage *successor(struct harness *h, const char *yaml) {
  const struct weir_stage *old = h->now;
  const void *config = bind_config(h, old->entry, yaml);
  struct older *o = calloc(1, sizeof *o);
  assert_non_null(o);
  if (!config) {
    print_error("%s", diags_render(&h->diags));
    fail();
  }
  o->next = h->more;
  h->more = o;
  o->stage = (struct weir_stage){ .magic = STAGE_MAGIC,
    .entry = old->entry,
    .id = old->id,
    .pipeline = old->pipeline,
    .signal = old->signal,
    .out_signal = old->out_signal,
    .lane = old->lane,
    .lanes = old->lanes,
    .ack_delivered = old->ack_delivered,
    .downstream_need = old->downstream_need,
    .loop = old->loop,
    .ops = old->ops,
    .owner = h,
    .config = config };
  return &o->stage;
}

static int older_has_drained(void *arg) { return ((struct harness *)arg)->n_older_drained > 0; }

static void end_older(struct harness *h, struct weir_stage *old) {
  h->n_older_drained = 0;
  stage_drain(old);
  harness_run(h);
  harness_run_until(h, older_has_drained, h);
  if (old->n_waiting) fail_msg("the old instance waits for %u verdicts: settle what was emitted before", old->n_waiting);
  add_counts(&h->before, old);
  stage_close(old);
  harness_run(h);
  release_stage(old);
}

void harness_adopt(struct harness *h, const char *yaml) {
  struct weir_error err = { 0 };
  struct weir_stage *old = h->now, *next = successor(h, yaml);
  if (!old->entry->type.adopt) fail_msg("`%s` has no adopt", old->entry->type.name);
  stage_expect(next, old);
  if (prepare_stage(next, &err) || stage_open(next, &err) || stage_start(next, &err)) fail_msg("the new settings were refused: %s: %s; %s", err.field, err.msg, err.hint);
  harness_run(h);
  stage_adopt(next);
  h->now = next;
  end_older(h, old);
}

struct asked {
  struct weir_answer answer; /* first: what the stage has is this */
  char *text;
  size_t n;
};

static void on_put(struct weir_answer *a, const char *p, size_t n) {
  struct asked *x = (struct asked *)(void *)a;
  x->text = realloc(x->text, x->n + n + 1);
  assert_non_null(x->text);
  memcpy(x->text + x->n, p, n);
  x->n += n;
  x->text[x->n] = 0;
}

char *harness_ask(struct harness *h, const char *question) {
  struct asked x = { { .size = sizeof(struct weir_answer), .put = on_put }, strdup(""), 0 };
  int is_for_it = stage_inspect(h->now, question, &x.answer);
  harness_run(h);
  if (is_for_it) return x.text;
  assert_int_equal(x.n, 0);
  free(x.text);
  return NULL;
}

/* --- the end ------------------------------------------------------------------------------------------------------------------ */

static void free_more(struct harness *h) {
  for (struct older *o = h->more, *next; o; o = next) {
    next = o->next;
    free(o);
  }
  h->more = NULL;
}

void harness_free(struct harness *h) {
  if (!h) return;
  drain_all(h);
  stage_close(h->now);
  settle_emitted(h);
  harness_run(h);
  release_stage(h->now);
  size_t timers = h->loop.n_heap;
  if (timers != 1) fail_msg("%zu timers are armed after close", timers - 1); /* the loop has one of its own */
  if (h->n_waiting) fail_msg("%zu batches were never settled", h->n_waiting);
  unmake(h);
  free_more(h);
  uint64_t used = h->env.budget.used;
  free(h);
  if (used) fail_msg("%llu bytes of batches are still held after close", (unsigned long long)used);
}
