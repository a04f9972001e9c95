/*
 * A plugin for scenario tests: a processor that holds batches for a while, hands them to its successor when a reload changes its settings, and answers questions about what it
 * holds. It fails the process when it gets a batch after it was adopted from.
 *
 *   service: {plugins: [build/tests/scenario/holder.so]}
 *   processors: {holder: {hold: 1s, mark: one}}
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/stage.h>
#include <weir/timer.h>

#define HELD_MAX 100000u
#define NS_PER_S 1000000000ll

struct holder_config {
  int64_t hold;
  const char *mark;
};

struct held {
  struct weir_batch *batch;
  int64_t due_ns, since_unix_ns;
  struct held *next;
};

struct holder {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct holder_config *config;
  const struct weir_timer_service *timers;
  struct weir_timer *timer;
  struct held *first, **end;
  int adopted; /* by a successor */
};

static void arm(struct holder *h) {
  int64_t left = h->first ? h->first->due_ns - h->host->now_mono_ns() : 0;
  if (h->first) h->timers->set(h->timer, left > 0 ? left : 0);
}

static void let_go(struct holder *h, int64_t until_ns) {
  while (h->first && h->first->due_ns <= until_ns) {
    struct held *x = h->first;
    h->first = x->next;
    if (!h->first) h->end = &h->first;
    h->host->emit(h->stage, 0, x->batch);
    free(x);
  }
}

static void on_timer(void *self) {
  struct holder *h = self;
  let_go(h, h->host->now_mono_ns());
  arm(h);
}

static int holder_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  struct holder *h = calloc(1, sizeof *h);
  if (!h) return weir_fail(err, WEIR_E_NOMEM, "out of memory");
  *h = (struct holder){ .host = host, .stage = stage, .config = config, .timers = host->service(stage, WEIR_TIMER_SERVICE) };
  h->end = &h->first;
  h->timer = h->timers->timer_new(stage, on_timer, h);
  *ret_self = h;
  return 0;
}

static void holder_consume(void *self, struct weir_batch *batch) {
  struct holder *h = self;
  struct held *x = calloc(1, sizeof *x);
  struct weir_error err = { 0 };
  if (h->adopted) {
    weir_fail(&err, WEIR_E_STATE, "a batch came to an instance whose successor has its state");
    h->host->fail(h->stage, &err, 1);
  }
  if (!x) abort();
  *x = (struct held){ h->host->batch_new(h->stage, WEIR_TRACES), h->host->now_mono_ns() + h->config->hold, h->host->now_unix_ns(), NULL };
  h->host->merge(h->stage, x->batch, batch); /* who waits is answered */
  *h->end = x;
  h->end = &x->next;
  arm(h);
}

static void holder_drain(void *self) {
  struct holder *h = self;
  let_go(h, INT64_MAX);
  h->host->drained(h->stage);
}

static void holder_close(void *self) {
  struct holder *h = self;
  h->timers->timer_free(h->timer);
  free(h);
}

/* What it held leaves by the new settings. */
static void holder_adopt(void *self, void *from) {
  struct holder *h = self, *old = from;
  int64_t due_ns = h->host->now_mono_ns() + h->config->hold;
  struct weir_error err = { 0 };
  if (h->first) {
    weir_fail(&err, WEIR_E_STATE, "a batch came before the state");
    h->host->fail(h->stage, &err, 1);
  }
  h->first = old->first;
  h->end = old->first ? old->end : &h->first;
  for (struct held *x = h->first; x; x = x->next) x->due_ns = due_ns;
  old->first = NULL;
  old->end = &old->first;
  old->adopted = 1;
  arm(h);
}

/* --- questions ---------------------------------------------------------------------------------------------------------- */

static uint64_t count_spans(const struct holder *h, struct held *x, const uint8_t id[16]) {
  struct weir_error err = { 0 };
  const struct weir_data *d = h->host->batch_read(x->batch, &err);
  uint64_t n = 0;
  for (uint32_t r = 0; d && r < d->n_resources; r++)
    for (uint32_t s = 0; s < d->resources[r]->n_scopes; s++)
      for (uint32_t i = 0; i < d->resources[r]->scopes[s]->n_records; i++) {
        const struct weir_span *span = d->resources[r]->scopes[s]->u.spans[i];
        n += span->trace_id.n == 16 && memcmp(span->trace_id.p, id, 16) == 0;
      }
  return n;
}

static void put_line(const struct holder *h, struct weir_answer *a, int json, const struct held *x, uint64_t spans) {
  time_t s = (time_t)(x->since_unix_ns / NS_PER_S);
  char when[40], line[300];
  struct tm tm;
  gmtime_r(&s, &tm);
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
  int n = snprintf(line, sizeof line, json ? "{\"time\":\"%s.%09dZ\",\"mark\":\"%s\",\"spans\":%" PRIu64 ",\"lane\":%u}\n" : "%s.%09dZ held by \"%s\": %" PRIu64 " spans on lane %u\n", when,
    (int)(x->since_unix_ns % NS_PER_S), h->config->mark, spans, h->host->stage_lane(h->stage));
  a->put(a, line, (size_t)n);
}

static int holder_inspect(void *self, const char *question, struct weir_answer *a) {
  struct holder *h = self;
  uint8_t id[16];
  int json = strstr(question, "format=json") != NULL, why = strncmp(question, "why trace_id=", 13) == 0;
  if (!why && strncmp(question, "decisions", 9) != 0) return 0;
  for (unsigned i = 0, byte; why && i < 16; i++) {
    if (sscanf(question + 13 + 2 * i, "%2x", &byte) != 1) return 1;
    id[i] = (uint8_t)byte;
  }
  for (struct held *x = h->first; x; x = x->next) {
    uint64_t n = why ? count_spans(h, x, id) : h->host->batch_items(x->batch);
    if (n) put_line(h, a, json, x, n);
  }
  return 1;
}

static const struct weir_field fields[] = {
  { "hold", WEIR_T_DURATION, 0, offsetof(struct holder_config, hold), "1s", "0", NULL, NULL, NULL, "How long each batch stays.", NULL, 0 },
  { "mark", WEIR_T_STRING, 0, offsetof(struct holder_config, mark), "", NULL, NULL, NULL, NULL, "Stands in answers.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_stage_type holder = {
  .size = sizeof(struct weir_stage_type),
  .role = WEIR_PROCESSOR,
  .signals = WEIR_TRACES,
  .flags = WEIR_HOLDS,
  .name = "holder",
  .doc = "Holds batches for a while.",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct holder_config),
  .open = holder_open,
  .consume = holder_consume,
  .drain = holder_drain,
  .close = holder_close,
  .adopt = holder_adopt,
  .inspect = holder_inspect,
};

WEIR_PLUGIN("holder", "1.0", "Apache-2.0", &holder);
