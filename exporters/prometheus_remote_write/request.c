#include "request.h"

#include <stdlib.h>

#include "plugins/kit/hash.h"

#define NS_PER_MS 1000000u
#define FIRST_GUESS 300.0 /* bytes of a data point, until the first batch has shown */
#define SERIES_OVERHEAD 160u /* of a series beside its texts: tags, __name__, a suffix, a sample or a histogram without buckets, metadata */
#define BUCKET_BYTES 16u     /* of a bucket, or of a span of them, at most */
#define TEXT_OVERHEAD 20u   /* of a label: tags, lengths or references */
#define EXEMPLAR_BYTES 400u /* of an exemplar: 128 characters at most, and its numbers */
#define TARGETS 1024u       /* resources whose newest target_info is remembered */
#define FAMILIES 4096u      /* families whose metadata was written in this batch; over that some are written twice */

/* A family whose metadata the batch `batch` has. */
struct family_mark {
  uint64_t hash, batch;
};

/* The newest time of a target: of settled batches, and of the latest encoding that had it. */
struct target_mark {
  uint64_t hash, settled, latest, encoding;
};

struct example {
  double value;
  const struct weir_exemplar *exemplar;
};

struct rw_encoder {
  struct rw_encoder_config cfg;
  uint64_t key;
  double bytes_per_item, latest_bytes_per_item; /* running mean over settled batches; of the latest encoding */
  struct rw_writer shards[RW_MAX_SHARDS];
  uint32_t n_ready; /* shards that were initialised */
  struct target_mark targets[TARGETS];
  struct family_mark families[FAMILIES];
  uint64_t encoding, settled; /* counts encodings; the one that was the last of its batch */
  struct example *examples;
  size_t cap_examples;

  /* of the walk */
  struct rw_encoded *out;
  int v2, failed;
  uint64_t bytes;
  struct rw_request *only; /* the batch's first, while there is no other */
  struct rw_writer *w;
  const struct prom_family *family;
  const struct prom_label *labels;
  size_t n_labels, bound, n_examples, at_example;
  const char *extra;
  int64_t time_ms, start_ms;
};

/* --- requests ---------------------------------------------------------------------------------------------- */

/* Two lanes of multiply and rotate over 8 bytes each: it only has to tell bodies of this process apart, and its key is random. */
static uint64_t digest_of(uint64_t key, const char *p, size_t n) {
  uint64_t a = key, b = ~key, v;
  for (; n >= 8; p += 8, n -= 8) {
    memcpy(&v, p, 8);
    a = (a ^ v) * 0x9fb21c651e98df25u;
    b = (b << 27 | b >> 37) + a;
    a ^= a >> 29;
  }
  for (; n; p++, n--) a = (a ^ (unsigned char)*p) * 0x100000001b3u;
  a ^= b * 0xd6e8feb86659fd93u;
  return a ^ a >> 32;
}

/* A batch of one request has no use for it, and it costs a tenth of all. */
static void digest(struct rw_encoder *e, struct rw_request *q) {
  if (!e->out->n_requests) {
    e->only = q;
    return;
  }
  if (e->only) e->only->digest = digest_of(e->key, e->only->body->p, e->only->body->n);
  e->only = NULL;
  q->digest = digest_of(e->key, q->body->p, q->body->n);
}

static void request_free(struct rw_request *q, const struct weir_http_service *http) {
  http->body_free(q->body);
  free(q);
}

void rw_encoded_free(struct rw_encoded *r, const struct weir_http_service *http) {
  for (uint32_t i = 0; i < r->n_shards; i++)
    for (struct rw_request *q = r->first[i], *next; q; q = next) {
      next = q->next;
      request_free(q, http);
    }
  memset(r, 0, sizeof *r);
}

/* What the writer holds becomes a request; the writer is empty then. */
static void cut(struct rw_encoder *e, struct rw_writer *w) {
  uint32_t shard = (uint32_t)(w - e->shards);
  if (!w->out.n && !rw_writer_failed(w)) return;
  struct rw_request *q = rw_writer_failed(w) ? NULL : calloc(1, sizeof *q);
  if (q) q->body = e->cfg.http->body_new(e->cfg.stage, rw_size(w));
  if (!q || !q->body) {
    free(q);
    e->failed = 1;
  } else {
    rw_copy(w, q->body->p);
    q->body->n = rw_size(w);
    q->counts = w->counts;
    digest(e, q);
    e->bytes += q->body->n;
    e->out->series += q->counts.series;
    e->out->n_requests++;
    *e->out->last[shard] = q;
    e->out->last[shard] = &q->next;
  }
  rw_reset(w, e->v2);
}

/* --- what is left out ------------------------------------------------------------------------------------------ */

static void drop(struct rw_encoder *e, uint64_t items, const char *reason) {
  struct rw_encoded *r = e->out;
  uint32_t i = 0;
  r->items_dropped += items;
  while (i < r->n_dropped && strcmp(r->dropped[i].reason, reason) != 0) i++;
  if (i == RW_REASONS) i--;
  if (i == r->n_dropped) r->dropped[r->n_dropped++].reason = reason;
  r->dropped[i].items += items;
}

static void on_dropped(void *arg, const struct weir_metric *m, uint64_t items, const char *reason) {
  (void)m;
  drop(arg, items, reason);
}

/* --- exemplars --------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
  const struct example *x = a, *y = b;
  return x->value < y->value ? -1 : x->value > y->value;
}

/* As Prometheus' store wants them: by time, and those of one millisecond by value. */
static int by_time(const void *a, const void *b) {
  const struct example *x = a, *y = b;
  uint64_t s = x->exemplar->time_unix_nano / NS_PER_MS, t = y->exemplar->time_unix_nano / NS_PER_MS;
  return s < t ? -1 : s > t ? 1 : by_value(a, b);
}

/* The point's exemplars with a value that can be compared. */
static void collect_examples(struct rw_encoder *e, const struct weir_point *pt) {
  e->n_examples = e->at_example = 0;
  if (pt->n_exemplars > e->cap_examples) {
    struct example *v = realloc(e->examples, pt->n_exemplars * sizeof *v);
    if (!v) {
      e->failed = 1;
      return;
    }
    e->examples = v;
    e->cap_examples = pt->n_exemplars;
  }
  for (uint32_t i = 0; i < pt->n_exemplars; i++) {
    double value = pt->exemplars[i]->value.kind == WEIR_V_EMPTY ? 0 : prom_value(&pt->exemplars[i]->value);
    if (pt->exemplars[i]->value.kind != WEIR_V_EMPTY && value == value) e->examples[e->n_examples++] = (struct example){ value, pt->exemplars[i] };
  }
}

/* Those from at_example up to end. */
static void put_examples(struct rw_encoder *e, size_t end) {
  size_t n = end - e->at_example;
  if (n > 1) qsort(e->examples + e->at_example, n, sizeof *e->examples, by_time);
  for (; e->at_example < end; e->at_example++) {
    const struct example *x = &e->examples[e->at_example];
    const struct prom_label *labels;
    size_t n_labels = prom_exemplar(e->cfg.prom, x->exemplar, &labels);
    int64_t ms = (int64_t)(x->exemplar->time_unix_nano / NS_PER_MS);
    rw_exemplar(e->w, labels, n_labels, x->value, ms ? ms : e->time_ms);
  }
}

/* --- series -------------------------------------------------------------------------------------------------------- */

/* Closes the request when the next series, with so many bytes of its own, might not fit. */
static int make_room(struct rw_encoder *e, size_t more) {
  if (!e->w->out.n || rw_size(e->w) + e->bound + more <= e->cfg.max_bytes) return 0;
  cut(e, e->w);
  return 1;
}

static void begin_point(struct rw_encoder *e, const char *extra) {
  e->extra = extra;
  make_room(e, 0);
  e->w->counts.items++;
  rw_point(e->w, e->family, e->labels, e->n_labels, extra);
}

static void on_sample(void *arg, const struct prom_sample *s) {
  struct rw_encoder *e = arg;
  size_t more = s->extra ? TEXT_OVERHEAD + (size_t)s->extra->name.n + s->extra->value.n : 0;
  if (make_room(e, more)) rw_point(e->w, e->family, e->labels, e->n_labels, e->extra);
  rw_begin(e->w, e->family->name, s->suffix, s->extra);
  rw_sample(e->w, s->value, e->time_ms, e->start_ms);
  if (e->at_example < e->n_examples && s->above < s->upto) {
    size_t end = e->at_example;
    while (end < e->n_examples && e->examples[end].value <= s->upto) end++;
    put_examples(e, end);
  }
  rw_end(e->w);
}

static void put_native(struct rw_encoder *e, const struct weir_exp_histogram_point *pt) {
  struct prom_native h;
  if (prom_native(e->cfg.prom, pt, &h)) {
    drop(e, 1, "scale");
    return;
  }
  e->bound += BUCKET_BYTES * (h.positive.n_deltas + h.negative.n_deltas + h.positive.n_spans + h.negative.n_spans);
  begin_point(e, "");
  rw_begin(e->w, e->family->name, "", NULL);
  rw_histogram(e->w, &h, e->time_ms, e->start_ms);
  put_examples(e, e->n_examples);
  rw_end(e->w);
}

static void put_custom(struct rw_encoder *e, const struct weir_histogram_point *pt) {
  e->bound += 2 * BUCKET_BYTES * (size_t)pt->n_bucket_counts; /* and its bound */
  begin_point(e, "");
  rw_begin(e->w, e->family->name, "", NULL);
  rw_custom_histogram(e->w, pt, prom_is_stale(&pt->pt) ? prom_stale() : pt->has & WEIR_HAS_SUM ? pt->sum : 0, e->time_ms, e->start_ms);
  put_examples(e, e->n_examples);
  rw_end(e->w);
}

static void put_classic(struct rw_encoder *e, const struct weir_metric *m, const struct weir_point *pt, int again) {
  begin_point(e, m->type == WEIR_M_HISTOGRAM ? "le" : m->type == WEIR_M_SUMMARY ? "quantile" : "");
  if (again) e->w->counts.items--;
  if (e->n_examples > 1) qsort(e->examples, e->n_examples, sizeof *e->examples, by_value);
  e->at_example = 0;
  prom_expand(e->cfg.prom, m, pt, PROM_NUM_PLAIN, on_sample, e);
}

/* --- points --------------------------------------------------------------------------------------------------------- */

static struct rw_writer *shard_of(struct rw_encoder *e) {
  uint32_t n = e->out->n_shards;
  return &e->shards[n > 1 ? (uint32_t)(prom_hash(e->key, e->family->name, e->labels, e->n_labels) % n) : 0];
}

/* 1.0: once per family and batch. */
static void tell_family(struct rw_encoder *e) {
  uint64_t hash = prom_hash(e->key, e->family->name, NULL, 0);
  struct family_mark *m = &e->families[hash % FAMILIES];
  if (m->hash == hash && m->batch == e->encoding) return;
  *m = (struct family_mark){ hash, e->encoding };
  e->bound = e->family->name.n + (size_t)e->family->help.n + e->family->unit.n + SERIES_OVERHEAD;
  make_room(e, 0);
  rw_metadata(e->w, e->family);
}

static void take(struct rw_encoder *e, const struct prom_family *f, const struct prom_label *labels, size_t n, uint64_t time_ns, uint64_t start_ns) {
  e->family = f;
  e->labels = labels;
  e->n_labels = n;
  e->time_ms = (int64_t)(time_ns / NS_PER_MS);
  e->start_ms = (int64_t)(start_ns / NS_PER_MS);
  e->w = shard_of(e);
  if (!e->v2 && e->cfg.send_metadata) tell_family(e);
  e->bound = SERIES_OVERHEAD + f->name.n + (e->v2 ? (size_t)f->help.n + f->unit.n : 0);
  for (size_t i = 0; i < n; i++) e->bound += TEXT_OVERHEAD + labels[i].name.n + labels[i].value.n;
}

/* What counts up from a start has one; a gauge's start_time means nothing. */
static int has_start(int type) { return type == PROM_COUNTER || type == PROM_HISTOGRAM || type == PROM_SUMMARY || type == PROM_NATIVE_HISTOGRAM; }

static void on_point(void *arg, const struct prom_family *f, const struct prom_label *labels, size_t n, const struct weir_metric *m, const struct weir_point *pt) {
  struct rw_encoder *e = arg;
  if (!pt->time_unix_nano) { /* a store refuses 1970, and with it all that is in the request */
    drop(e, 1, "no_time");
    return;
  }
  take(e, f, labels, n, pt->time_unix_nano, has_start(f->type) ? pt->start_time_unix_nano : 0);
  e->n_examples = e->at_example = 0;
  if (pt->n_exemplars && has_start(f->type) && f->type != PROM_SUMMARY) collect_examples(e, pt);
  e->bound += EXEMPLAR_BYTES * e->n_examples;
  if (m->type == WEIR_M_EXP_HISTOGRAM) {
    put_native(e, (const struct weir_exp_histogram_point *)pt);
    return;
  }
  int custom = m->type == WEIR_M_HISTOGRAM && e->cfg.nhcb && e->v2;
  if (custom) put_custom(e, (const struct weir_histogram_point *)pt);
  if (!custom || e->cfg.keep_classic) put_classic(e, m, pt, custom);
}

/* Older than what was sent of this target, it would be refused as out of order, and a store may refuse the whole request then. A batch that is encoded again
 * must come out the same, so what the tries before had does not count. */
static int is_older(struct rw_encoder *e, const struct prom_target *t) {
  uint64_t hash = prom_hash(e->key, t->family->name, t->labels, t->n_labels);
  struct target_mark *m = &e->targets[hash % TARGETS];
  if (m->hash != hash) *m = (struct target_mark){ .hash = hash };
  if (m->encoding <= e->settled) m->settled = m->latest;
  if (t->time_unix_nano < (m->encoding == e->encoding ? m->latest : m->settled)) return 1;
  m->latest = t->time_unix_nano;
  m->encoding = e->encoding;
  return 0;
}

static void on_target(void *arg, const struct prom_target *t) {
  struct rw_encoder *e = arg;
  if (!t->n_other || !t->time_unix_nano || is_older(e, t)) return; /* job and instance alone say nothing new */
  take(e, t->family, t->labels, t->n_labels, t->time_unix_nano, 0);
  e->n_examples = 0;
  begin_point(e, "");
  e->w->counts.items--;
  rw_begin(e->w, e->family->name, "", NULL);
  rw_sample(e->w, 1, e->time_ms, 0);
  rw_end(e->w);
}

/* --- a batch ----------------------------------------------------------------------------------------------------------- */

static uint32_t shards_for(const struct rw_encoder *e, uint64_t items) {
  double n = (double)items * e->bytes_per_item / (double)e->cfg.max_bytes + 1;
  return n < e->cfg.max_shards ? (uint32_t)n : e->cfg.max_shards;
}

static int ready(struct rw_encoder *e, uint32_t n) {
  for (; e->n_ready < n; e->n_ready++)
    if (rw_writer_init(&e->shards[e->n_ready], e->key)) {
      rw_writer_done(&e->shards[e->n_ready]);
      return WEIR_E_NOMEM;
    }
  return 0;
}

int rw_encode(struct rw_encoder *e, const struct weir_data *data, uint64_t items, int v2, struct rw_encoded *ret) {
  struct prom_visitor visit = { .arg = e, .point = on_point, .target = e->cfg.target_info ? on_target : NULL, .dropped = on_dropped };
  memset(ret, 0, sizeof *ret);
  uint32_t n = shards_for(e, items);
  if (ready(e, n)) return WEIR_E_NOMEM;
  e->out = ret;
  e->v2 = v2;
  e->failed = 0;
  e->bytes = 0;
  e->encoding++;
  ret->n_shards = n;
  for (uint32_t i = 0; i < n; i++) {
    ret->last[i] = &ret->first[i];
    rw_reset(&e->shards[i], v2);
  }
  prom_walk(e->cfg.prom, data, &visit);
  for (uint32_t i = 0; i < n; i++) cut(e, &e->shards[i]);
  e->latest_bytes_per_item = items ? (double)e->bytes / (double)items : e->bytes_per_item;
  if (!e->failed) return 0;
  rw_encoded_free(ret, e->cfg.http);
  return WEIR_E_NOMEM;
}

void rw_encoder_settled(struct rw_encoder *e) {
  e->settled = e->encoding;
  e->bytes_per_item += 0.2 * (e->latest_bytes_per_item - e->bytes_per_item);
}

int rw_encoder_new(const struct rw_encoder_config *cfg, struct rw_encoder **ret, struct weir_error *err) {
  struct rw_encoder *e = calloc(1, sizeof *e);
  if (!e) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  e->cfg = *cfg;
  e->bytes_per_item = e->latest_bytes_per_item = FIRST_GUESS;
  struct kit_hash_key key;
  kit_hash_key_draw(&key);
  e->key = key.k[0];
  *ret = e;
  return 0;
}

void rw_encoder_free(struct rw_encoder *e) {
  if (!e) return;
  for (uint32_t i = 0; i < e->n_ready; i++) rw_writer_done(&e->shards[i]);
  free(e->examples);
  free(e);
}
