#include "attempt.h"

#include <stdio.h>
#include <stdlib.h>

#define WRITTEN "x-prometheus-remote-write-"

struct rw_attempt {
  struct rw_sender *s;
  struct rw_attempt *next;
  struct weir_batch *batch;
  struct rw_encoded encoded;
  uint32_t under_way;
  uint64_t stopped; /* a bit for each shard that sends no more */
  int unsupported, retry, too_large, accepted;
  int64_t retry_after_ns;
  uint64_t rejected; /* items */
  uint32_t status;
  char msg[300];
};

static void start(struct rw_attempt *a);

/* --- what is counted ------------------------------------------------------------------------------------------- */

static void add(struct rw_sender *s, struct weir_cell *c, uint64_t n) {
  if (c && n) s->metrics->add(c, (int64_t)n);
}

static void count_dropped(struct rw_sender *s, const struct rw_dropped *d) {
  uint32_t i = 0;
  char labels[600];
  while (i < RW_REASONS - 1 && s->dropped[i].reason && strcmp(s->dropped[i].reason, d->reason) != 0) i++;
  if (!s->dropped[i].cell && s->metrics) {
    snprintf(labels, sizeof labels, "%s,reason=\"%s\"", s->labels, d->reason);
    s->dropped[i].reason = d->reason;
    s->dropped[i].cell = s->metrics->counter(s->stage, "weir_exporter_prometheusremotewrite_dropped_points_total", labels,
      "Data points that remote write has no place for, by reason.");
  }
  add(s, s->dropped[i].cell, d->items);
}

/* --- what is remembered between tries ---------------------------------------------------------------------------- */

static void remember(struct rw_sender *s, const struct rw_request *q, uint64_t rejected) {
  if (!s->settled) s->settled = malloc(RW_SETTLED * sizeof *s->settled);
  if (s->settled && s->n_settled < RW_SETTLED) s->settled[s->n_settled++] = (struct rw_settled){ q->digest, rejected };
}

static const struct rw_settled *recall(const struct rw_sender *s, const struct rw_request *q) {
  for (uint32_t i = 0; q->digest && i < s->n_settled; i++)
    if (s->settled[i].digest == q->digest) return &s->settled[i];
  return NULL;
}

/* --- the answer of one request -------------------------------------------------------------------------------------- */

/* A count that the answer gives; -1: it does not, or not in digits. */
static int64_t written(const struct weir_http_response *r, const char *what) {
  char name[64];
  int64_t n = 0;
  snprintf(name, sizeof name, WRITTEN "%s-written", what);
  struct weir_str v = weir_http_find(r->headers, r->n_headers, name);
  if (!v.n || v.n > 18) return -1;
  for (uint32_t i = 0; i < v.n; i++) {
    if (v.p[i] < '0' || v.p[i] > '9') return -1;
    n = n * 10 + (v.p[i] - '0');
  }
  return n;
}

static uint64_t at_most(int64_t n, uint64_t most) { return n < 0 ? 0 : (uint64_t)n < most ? (uint64_t)n : most; }

/* Reads the three headers. Returns how many samples and histograms are missing, or -1 when none of the headers is there. */
static int64_t missing(struct rw_flight *f, const struct weir_http_response *r) {
  const struct rw_counts *c = &f->attempt->encoded.first[f->shard]->counts;
  int64_t samples = written(r, "samples"), histograms = written(r, "histograms"), exemplars = written(r, "exemplars");
  if (samples < 0 && histograms < 0 && exemplars < 0) return -1;
  f->written = at_most(samples, c->samples);
  f->written_histograms = at_most(histograms, c->histograms);
  f->written_exemplars = at_most(exemplars, c->exemplars);
  return (int64_t)(c->samples - f->written + c->histograms - f->written_histograms);
}

static uint64_t items_of(const struct rw_flight *f, int64_t lost) {
  uint64_t items = f->attempt->encoded.first[f->shard]->counts.items;
  return (uint64_t)lost < items ? (uint64_t)lost : items;
}

void rw_on_success(void *self, void *arg, const struct weir_http_response *r, struct weir_verdict *v, char *text, size_t cap) {
  struct rw_sender *s = self;
  struct rw_flight *f = arg;
  if (!s->v2) return;
  int64_t lost = missing(f, r);
  f->unsupported = lost < 0;
  if (lost <= 0) return;
  v->rejected = items_of(f, lost);
  snprintf(text, cap, "HTTP %u: %lld samples and histograms of a request were not written", r->status, (long long)lost);
  v->msg = text;
}

/* 5xx and 429 are tried again, nothing else is. Of a 2.0 request the answer says how much was written all the same: Prometheus 3 answers 400 also when it has
 * all samples and refused exemplars alone, which come again with each collection of some SDKs. */
void rw_on_refusal(void *self, void *arg, const struct weir_http_response *r, struct weir_verdict *v, char *text, size_t cap) {
  struct rw_sender *s = self;
  struct rw_flight *f = arg;
  (void)text;
  (void)cap;
  if (r->status >= 500 || r->status == 429) v->code = WEIR_RETRY;
  if (!s->v2) return;
  if (r->status == 415) f->unsupported = 1;
  int64_t lost = missing(f, r);
  if (v->code == WEIR_RETRY || lost < 0 || f->written + f->written_histograms == 0) return;
  v->rejected = items_of(f, lost);
  if (!lost) *v = (struct weir_verdict){ .code = WEIR_DELIVERED };
}

/* --- one request after the other --------------------------------------------------------------------------------------- */

static void say(struct rw_attempt *a, const char *msg) {
  if (msg && !a->msg[0]) snprintf(a->msg, sizeof a->msg, "%s", msg);
}

static void pop(struct rw_attempt *a, uint32_t shard) {
  struct rw_request *q = a->encoded.first[shard];
  a->encoded.first[shard] = q->next;
  free(q);
}

static void stop(struct rw_attempt *a, uint32_t shard) { a->stopped |= 1ull << shard; }

static void settle(struct rw_attempt *a, struct rw_flight *f, const struct weir_verdict *v) {
  struct rw_request *q = a->encoded.first[f->shard];
  uint64_t refused = v->code == WEIR_REJECTED && !v->rejected ? q->counts.items : v->rejected;
  if (refused || v->code != WEIR_DELIVERED) say(a, v->msg);
  if (v->code != WEIR_REJECTED || refused < q->counts.items) a->accepted = 1;
  else a->status = v->status;
  a->rejected += refused;
  add(a->s, a->s->cells.samples, f->written);
  add(a->s, a->s->cells.histograms, f->written_histograms);
  add(a->s, a->s->cells.exemplars, f->written_exemplars);
  if (a->s->v2) add(a->s, a->s->cells.lost_exemplars, q->counts.exemplars - f->written_exemplars);
  remember(a->s, q, refused);
  pop(a, f->shard);
}

/* The outcome of the request at the head of its shard. */
static void note(struct rw_attempt *a, struct rw_flight *f, const struct weir_verdict *v) {
  if (f->unsupported) {
    a->unsupported = 1;
    stop(a, f->shard);
  } else if (v->code == WEIR_RETRY) {
    a->retry = 1;
    if (v->retry_after_ns > a->retry_after_ns) a->retry_after_ns = v->retry_after_ns;
    say(a, v->msg);
    stop(a, f->shard);
  } else if (v->too_large) {
    a->too_large = 1;
    say(a, v->msg);
    stop(a, f->shard);
  } else {
    settle(a, f, v);
  }
}

/* 0: a verdict follows. */
static int send(struct rw_attempt *a, uint32_t shard, struct weir_verdict *v, struct weir_error *err) {
  static const struct weir_http_header headers[2][2] = {
    { { { "content-type", 12, 0 }, { "application/x-protobuf", 22, 0 } }, { { WRITTEN "version", 33, 0 }, { "0.1.0", 5, 0 } } },
    { { { "content-type", 12, 0 }, { "application/x-protobuf;proto=io.prometheus.write.v2.Request", 59, 0 } }, { { WRITTEN "version", 33, 0 }, { "2.0.0", 5, 0 } } },
  };
  struct rw_sender *s = a->s;
  struct rw_request *q = a->encoded.first[shard];
  struct rw_flight *f = &s->flights[shard];
  *f = (struct rw_flight){ .attempt = a, .shard = shard };
  struct weir_iov iov = { q->body->p, q->body->n };
  struct http_export_request request = { .batch = a->batch, .iov = &iov, .n_iov = 1, .own = q->body, .headers = headers[s->v2 != 0], .n_headers = 2, .arg = f };
  q->body = NULL;
  int r = http_export_send(s->client, &request, v, err);
  if (!r) add(s, s->cells.sent_batches, 1);
  return r;
}

/* Sends the shard's next request, unless it has none or is stopped. */
static void advance(struct rw_attempt *a, uint32_t shard) {
  struct weir_error err;
  struct weir_verdict v;
  const struct rw_settled *known;
  while (a->encoded.first[shard] && !(a->stopped >> shard & 1)) {
    if ((known = recall(a->s, a->encoded.first[shard]))) {
      a->rejected += known->rejected;
      if (known->rejected < a->encoded.first[shard]->counts.items) a->accepted = 1;
      a->s->http->body_free(a->encoded.first[shard]->body);
      pop(a, shard);
    } else if (send(a, shard, &v, &err) == 0) {
      a->under_way++;
      return;
    } else {
      note(a, &a->s->flights[shard], &v);
    }
  }
}

/* --- the end of a batch -------------------------------------------------------------------------------------------------- */

/* Batches that end at once (no memory) are begun one after the other here, not inside each other. */
static void next_batch(struct rw_sender *s) {
  if (s->beginning) return;
  s->beginning = 1;
  while (!s->active && s->waiting) {
    s->active = s->waiting;
    s->waiting = s->active->next;
    if (!s->waiting) s->last_waiting = &s->waiting;
    start(s->active);
  }
  s->beginning = 0;
}

static void answer(struct rw_attempt *a, const struct weir_verdict *v) {
  struct rw_sender *s = a->s;
  struct weir_batch *batch = a->batch;
  if (v->code != WEIR_RETRY) {
    s->n_settled = 0;
    rw_encoder_settled(s->encoder);
  }
  rw_encoded_free(&a->encoded, s->http);
  s->host->done(s->stage, batch, v);
  free(a);
  s->active = NULL;
  next_batch(s);
}

static void answer_later(struct rw_attempt *a, const char *msg) {
  struct weir_verdict v = { .code = WEIR_RETRY, .retry_after_ns = a->retry_after_ns, .msg = msg };
  answer(a, &v);
}

/* What the sender shows of points that were left out. */
static const char *tell_dropped(const struct rw_attempt *a, char *text, size_t cap) {
  const struct rw_encoded *r = &a->encoded;
  size_t at = 0;
  if (a->msg[0]) at = (size_t)snprintf(text, cap, "%s", a->msg);
  for (uint32_t i = 0; i < r->n_dropped && at < cap; i++)
    at += (size_t)snprintf(text + at, cap - at, "%s%s (%llu)", i ? ", " : at ? "; left out: " : "left out: ", r->dropped[i].reason, (unsigned long long)r->dropped[i].items);
  return text;
}

static void answer_settled(struct rw_attempt *a) {
  struct rw_sender *s = a->s;
  const struct rw_encoded *r = &a->encoded;
  char text[500];
  for (uint32_t i = 0; i < r->n_dropped; i++) count_dropped(s, &r->dropped[i]);
  add(s, s->cells.series, r->series);
  struct weir_verdict v = { .code = WEIR_DELIVERED, .rejected = a->rejected + r->items_dropped };
  if (a->rejected && !a->accepted && !r->items_dropped) v = (struct weir_verdict){ .code = WEIR_REJECTED, .status = a->status };
  if (v.rejected || v.code == WEIR_REJECTED) v.msg = tell_dropped(a, text, sizeof text);
  answer(a, &v);
}

static void send_as_1_0(struct rw_attempt *a) {
  struct rw_sender *s = a->s;
  if (s->v2 && s->fall_back(s->fall_back_arg)) {
    answer_later(a, "no memory");
    return;
  }
  if (s->v2) {
    s->host->log(s->stage, WEIR_LOG_WARN, "%s does not know remote write 2.0 (status 415, or success without the headers that say what was written): 1.0 is sent until weir is started again",
      http_export_authority(s->client));
    add(s, s->cells.fallbacks, 1);
  }
  s->v2 = 0;
  s->n_settled = 0;
  rw_encoded_free(&a->encoded, s->http);
  a->stopped = a->rejected = 0;
  a->unsupported = a->retry = a->too_large = a->accepted = 0;
  a->msg[0] = 0;
  start(a);
}

static void finish_when_idle(struct rw_attempt *a) {
  if (a->under_way) return;
  if (a->unsupported) {
    send_as_1_0(a);
  } else if (a->retry) {
    answer_later(a, a->msg);
  } else if (a->too_large) {
    struct weir_verdict v = { .code = WEIR_REJECTED, .too_large = 1, .msg = a->msg };
    answer(a, &v);
  } else {
    answer_settled(a);
  }
}

void rw_on_verdict(void *self, void *arg, const struct weir_verdict *v) {
  struct rw_flight *f = arg;
  struct rw_attempt *a = f->attempt;
  (void)self;
  a->under_way--;
  note(a, f, v);
  advance(a, f->shard);
  finish_when_idle(a);
}

/* --- a batch ---------------------------------------------------------------------------------------------------------------- */

static void start(struct rw_attempt *a) {
  struct rw_sender *s = a->s;
  struct weir_error err = { 0 };
  const struct weir_data *data = s->host->batch_read(a->batch, &err);
  if (!data || rw_encode(s->encoder, data, s->host->batch_items(a->batch), s->v2, &a->encoded)) {
    answer_later(a, data ? "no memory" : err.msg);
    return;
  }
  for (uint32_t i = 0; i < a->encoded.n_shards; i++) advance(a, i);
  finish_when_idle(a);
}

void rw_sender_take(struct rw_sender *s, struct weir_batch *batch) {
  struct rw_attempt *a = calloc(1, sizeof *a);
  if (!a) {
    struct weir_verdict later = { .code = WEIR_RETRY, .msg = "no memory" };
    s->host->done(s->stage, batch, &later);
    return;
  }
  a->s = s;
  a->batch = batch;
  *s->last_waiting = a;
  s->last_waiting = &a->next;
  next_batch(s);
}

void rw_sender_init(struct rw_sender *s, const char *labels) {
  s->last_waiting = &s->waiting;
  snprintf(s->labels, sizeof s->labels, "%s", labels);
  if (!s->metrics) return;
#define COUNTER(name, help) s->metrics->counter(s->stage, "otelcol_exporter_prometheusremotewrite_" name "_total", s->labels, help)
  s->cells = (struct rw_cells){
    .sent_batches = COUNTER("sent_batches", "Requests that were sent, whatever came of them."),
    .series = COUNTER("translated_time_series", "Series in requests, each as often as it is in one."),
    .samples = COUNTER("written_samples", "Samples that the back end says it wrote (2.0)."),
    .histograms = COUNTER("written_histograms", "Native histograms that the back end says it wrote (2.0)."),
    .exemplars = COUNTER("written_exemplars", "Exemplars that the back end says it wrote (2.0)."),
    .lost_exemplars = s->metrics->counter(s->stage, "weir_exporter_prometheusremotewrite_refused_exemplars_total", s->labels,
      "Exemplars that the back end did not write (2.0): older than the newest of their series, for the most part."),
    .fallbacks = s->metrics->counter(s->stage, "weir_exporter_prometheusremotewrite_fallbacks_total", s->labels, "Times that 2.0 was given up for 1.0."),
  };
#undef COUNTER
}

void rw_sender_done(struct rw_sender *s) { free(s->settled); }
