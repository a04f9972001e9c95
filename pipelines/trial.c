#include "pipelines/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/batch.h"
#include "core/clock.h"
#include "core/listener.h"
#include "plugins/host.h"
#include "plugins/schema.h"

#define TRIAL_MONO_NS (1000 * NS_PER_S)
#define TRIAL_UNIX_NS (1700000000 * NS_PER_S)

/* Spans of one trace that came out. */
struct counted {
  char trace[33];
  uint64_t spans;
};

struct trial {
  struct env env;
  struct loop loop;
  struct weir_stage *stages;
  size_t n_stages, n_open;
  struct counted *counted;
  size_t n_counted, cap_counted;
  int heard;
  struct weir_verdict verdict;
  char why[256];
  char *answer;
  size_t n_answer;
};

/* --- what leaves -------------------------------------------------------------------------------------------------------------------- */

static struct counted *count_of(struct trial *t, const char *trace) {
  for (size_t i = 0; i < t->n_counted; i++)
    if (!strcmp(t->counted[i].trace, trace)) return &t->counted[i];
  if (t->n_counted == t->cap_counted) {
    t->cap_counted = t->cap_counted ? 2 * t->cap_counted : 64;
    t->counted = realloc(t->counted, t->cap_counted * sizeof *t->counted);
    WEIR_ASSERT(t->counted != NULL);
  }
  struct counted *c = &t->counted[t->n_counted++];
  *c = (struct counted){ .spans = 0 };
  snprintf(c->trace, sizeof c->trace, "%s", trace);
  return c;
}

static void count_span(struct trial *t, const struct weir_span *span) {
  char trace[33] = "";
  for (uint32_t i = 0; i < span->trace_id.n && i < 16; i++) snprintf(trace + 2 * i, 3, "%02x", (unsigned char)span->trace_id.p[i]);
  count_of(t, trace)->spans++;
}

static void count_batch(struct trial *t, struct weir_batch *b) {
  struct weir_error err;
  const struct weir_data *d = batch_read(b, &err);
  for (uint32_t i = 0; d && i < d->n_resources; i++)
    for (uint32_t j = 0; j < d->resources[i]->n_scopes; j++)
      for (uint32_t k = 0; k < d->resources[i]->scopes[j]->n_records; k++) count_span(t, d->resources[i]->scopes[j]->u.spans[k]);
}

static void on_emit(struct weir_stage *s, uint32_t output, struct weir_batch *b) {
  struct trial *t = s->owner;
  struct weir_verdict v = verdict_delivered();
  (void)output;
  if (s + 1 < t->stages + t->n_stages) {
    stage_consume(s + 1, b);
    return;
  }
  count_batch(t, b);
  batch_settle(b, &v);
}

static void on_done(struct weir_stage *s, struct weir_batch *b, const struct weir_verdict *v) {
  (void)s;
  batch_settle(b, v);
}

static void on_drop(struct weir_stage *s, struct weir_batch *b, const char *reason) {
  struct weir_verdict v = verdict_delivered();
  (void)s;
  (void)reason;
  batch_settle(b, &v);
}

static void on_drained(struct weir_stage *s) { (void)s; }

static void on_fail(struct weir_stage *s, const struct weir_error *err, int fatal) {
  (void)fatal;
  fprintf(stderr, "weir: %s: %s\n", s->id, err->msg);
}

static const struct stage_ops ops = { on_emit, on_done, on_drop, on_drained, on_fail, NULL };

/* --- life ---------------------------------------------------------------------------------------------------------------------------- */

static int open_one(struct weir_stage *s, struct weir_error *err) {
  const struct weir_stage_type *type = &s->entry->type;
  if (type->prepare && type->prepare(host_table(), s, s->config, &s->shared, err)) return -1;
  int code = stage_open(s, err);
  if (!code && (code = stage_start(s, err)) != 0) stage_close(s);
  if (code && s->shared) type->release(s->shared);
  return code;
}

static int open_all(struct trial *t, const struct config_pipeline *p, struct diags *ds) {
  for (size_t i = p->n_processors; i-- > 0;) { /* consumers first */
    const struct config_component *c = p->processors[i].component;
    struct weir_error err = { 0 };
    t->stages[i] = (struct weir_stage){ .magic = STAGE_MAGIC, .entry = c->entry, .id = c->id, .pipeline = p->id, .signal = p->signal, .out_signal = p->signal, .lanes = 1,
      .downstream_need = WEIR_NEED_RECORDS, .loop = &t->loop, .ops = &ops, .owner = t, .config = c->config };
    if (open_one(&t->stages[i], &err)) {
      diag_error(ds, schema_find(c->body, c->pos, err.field), "processor `%s`: %s", c->id, err.msg);
      if (*err.hint) diag_note(ds, "%s", err.hint);
      return -1;
    }
    t->n_open++;
  }
  return 0;
}

struct trial *trial_open(const struct config *config, const struct config_pipeline *p, struct diags *ds) {
  struct trial *t = calloc(1, sizeof *t);
  struct weir_error err = { 0 };
  WEIR_ASSERT(t != NULL);
  clock_set_virtual(TRIAL_MONO_NS, TRIAL_UNIX_NS);
  budget_init(&t->env.budget, config->memory_limit_bytes ? config->memory_limit_bytes : budget_default_limit());
  t->env.metrics = metrics_new();
  t->env.listeners = listeners_new();
  t->stages = calloc(p->n_processors + 1, sizeof *t->stages);
  t->n_stages = p->n_processors;
  WEIR_ASSERT(t->stages != NULL && loop_init(&t->loop, 0, &t->env, &err) == 0);
  if (open_all(t, p, ds) == 0) return t;
  trial_close(t);
  return NULL;
}

void trial_close(struct trial *t) {
  if (!t) return;
  struct weir_stage *first = t->stages + (t->n_stages - t->n_open);
  for (struct weir_stage *s = first; s < t->stages + t->n_stages; s++) {
    stage_drain(s);
    trial_advance(t, NS_PER_S);
  }
  for (struct weir_stage *s = first; s < t->stages + t->n_stages; s++) {
    stage_close(s);
    if (s->shared) s->entry->type.release(s->shared);
  }
  loop_settle(&t->loop);
  loop_done(&t->loop);
  listeners_free(t->env.listeners);
  metrics_free(t->env.metrics);
  free(t->stages);
  free(t->counted);
  free(t);
}

/* --- work ----------------------------------------------------------------------------------------------------------------------------- */

struct pool *trial_pool(struct trial *t) { return t->loop.pool; }

static void on_verdict(void *arg, const struct weir_verdict *v) {
  struct trial *t = arg;
  t->heard = 1;
  t->verdict = *v;
  snprintf(t->why, sizeof t->why, "%s", v->msg ? v->msg : v->code == WEIR_RETRY ? "refused, retryable" : "refused");
}

static void take(struct trial *t, struct weir_batch *b) {
  struct weir_verdict v = verdict_delivered();
  if (t->n_stages) {
    stage_consume(&t->stages[0], b);
    return;
  }
  count_batch(t, b);
  batch_settle(b, &v);
}

struct sending {
  struct trial *trial;
  struct part *part;
};

/* Acks come home to the lane: on its loop. */
static void take_part(void *arg) {
  struct sending *s = arg;
  struct weir_batch *b = batch_of_part(&s->trial->loop, s->part);
  batch_on_verdict(b, on_verdict, s->trial);
  take(s->trial, b);
}

int trial_send(struct trial *t, struct part *part, const char **ret_why) {
  struct sending s = { t, part };
  t->heard = 0;
  loop_post(&t->loop, take_part, &s);
  loop_settle(&t->loop);
  *ret_why = t->why;
  return !t->heard || t->verdict.code == WEIR_DELIVERED;
}

void trial_advance(struct trial *t, int64_t ns) { loop_advance(&t->loop, ns); }

uint64_t trial_kept(const struct trial *t, const char *trace_id) {
  for (size_t i = 0; i < t->n_counted; i++)
    if (!strcmp(t->counted[i].trace, trace_id)) return t->counted[i].spans;
  return 0;
}

struct collected {
  struct weir_answer answer; /* first: what the stage sees */
  struct trial *trial;
};

static void put(struct weir_answer *answer, const char *p, size_t n) {
  struct trial *t = ((struct collected *)(void *)answer)->trial;
  t->answer = realloc(t->answer, t->n_answer + n + 1);
  WEIR_ASSERT(t->answer != NULL);
  memcpy(t->answer + t->n_answer, p, n);
  t->n_answer += n;
  t->answer[t->n_answer] = 0;
}

char *trial_ask(struct trial *t, const char *question) {
  struct collected c = { { sizeof c.answer, 0, put }, t };
  t->answer = strdup("");
  t->n_answer = 0;
  WEIR_ASSERT(t->answer != NULL);
  for (size_t i = 0; i < t->n_stages; i++)
    if (t->stages[i].entry->type.inspect) t->stages[i].entry->type.inspect(t->stages[i].self, question, &c.answer);
  return t->answer;
}
