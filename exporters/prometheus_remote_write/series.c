#include "series.h"

#include <weir/error.h>

#define SERIES_DIGITS 2u /* bytes of the usual length of a series */
#define NAME_LABEL "__name__"
#define CUSTOM_BUCKETS (-53)

int rw_writer_init(struct rw_writer *w, uint64_t key) { return rw_symbols_init(&w->symbols, key); }

void rw_writer_done(struct rw_writer *w) {
  kit_bytes_free(&w->out);
  kit_bytes_free(&w->labels);
  kit_bytes_free(&w->name);
  rw_symbols_done(&w->symbols);
}

void rw_reset(struct rw_writer *w, int v2) {
  w->v2 = v2;
  w->out.n = w->labels.n = 0;
  w->out.failed = w->labels.failed = w->name.failed = 0;
  memset(&w->counts, 0, sizeof w->counts);
  rw_symbols_clear(&w->symbols);
}

int rw_writer_failed(const struct rw_writer *w) { return w->out.failed || w->labels.failed || w->name.failed || w->symbols.wire.failed; }

void rw_copy(const struct rw_writer *w, char *to) {
  size_t symbols = w->v2 ? w->symbols.wire.n : 0; /* before the series, as the fields are numbered: a reader may need them in this order */
  if (symbols) memcpy(to, w->symbols.wire.p, symbols);
  if (w->out.n) memcpy(to + symbols, w->out.p, w->out.n);
}

/* --- labels ---------------------------------------------------------------------------------------------- */

static int compare(struct weir_str a, struct weir_str b) {
  size_t n = a.n < b.n ? a.n : b.n;
  int r = n ? memcmp(a.p, b.p, n) : 0;
  return r ? r : a.n < b.n ? -1 : a.n > b.n;
}

/* A third of all time went into looking texts up: neighbours share most of theirs, and comparing one is cheaper than hashing it. */
static uint32_t symbol_near(struct rw_symbols *t, struct weir_str s, uint32_t *hint) {
  const struct rw_symbol *v = &t->v[*hint];
  if (*hint < t->n && v->n == s.n && (!s.n || !memcmp(t->wire.p + v->at, s.p, s.n))) return *hint;
  return *hint = rw_symbol(t, s);
}

/* 1.0: TimeSeries.labels {name, value}; 2.0: two references. */
static void put_label(struct rw_writer *w, struct kit_bytes *b, struct weir_str name, struct weir_str value) {
  if (!kit_bytes_room(b, 40 + (size_t)name.n + value.n)) return;
  char *o = b->p + b->n;
  if (w->v2) {
    uint32_t *hint = w->hints[w->at_hint++ % RW_HINTS];
    o = kit_varint_at(o, symbol_near(&w->symbols, name, &hint[0]));
    o = kit_varint_at(o, symbol_near(&w->symbols, value, &hint[1]));
  } else {
    *o++ = (char)RW_FIELD(1, RW_LEN);
    o = kit_varint_at(o, 2 + kit_varint_size(name.n) + name.n + kit_varint_size(value.n) + value.n);
    *o++ = (char)RW_FIELD(1, RW_LEN);
    o = kit_varint_at(o, name.n);
    memcpy(o, name.p, name.n);
    o += name.n;
    *o++ = (char)RW_FIELD(2, RW_LEN);
    o = kit_varint_at(o, value.n);
    memcpy(o, value.p, value.n);
    o += value.n;
  }
  b->n = (size_t)(o - b->p);
}

/* The numbers of MetricType are the same in both messages. */
static int wire_type(int type) {
  switch (type) {
  case PROM_COUNTER: return 1;
  case PROM_GAUGE: return 2;
  case PROM_HISTOGRAM:
  case PROM_NATIVE_HISTOGRAM: return 3;
  case PROM_SUMMARY: return 5;
  case PROM_INFO: return 6;
  case PROM_STATESET: return 7;
  default: return 0;
  }
}

void rw_point(struct rw_writer *w, const struct prom_family *f, const struct prom_label *labels, size_t n, const char *extra) {
  struct weir_str name = weir_str_of(NAME_LABEL), also = weir_str_of(extra);
  size_t i = 0;
  w->labels.n = w->at_hint = 0;
  for (; i < n && compare(labels[i].name, name) < 0; i++) put_label(w, &w->labels, labels[i].name, labels[i].value);
  w->at_name = w->labels.n;
  if (i < n && weir_str_eq(labels[i].name, name)) i++;
  for (; i < n && also.n && compare(labels[i].name, also) < 0; i++) put_label(w, &w->labels, labels[i].name, labels[i].value);
  w->at_extra = w->labels.n;
  if (i < n && also.n && weir_str_eq(labels[i].name, also)) i++;
  for (; i < n; i++) put_label(w, &w->labels, labels[i].name, labels[i].value);
  if (!w->v2) return;
  w->type = wire_type(f->type);
  w->help = symbol_near(&w->symbols, f->help, &w->help);
  w->unit = symbol_near(&w->symbols, f->unit, &w->unit);
}

static struct weir_str joined(struct rw_writer *w, struct weir_str name, const char *suffix) {
  size_t n = strlen(suffix);
  if (!n) return name;
  w->name.n = 0;
  if (!kit_bytes_room(&w->name, name.n + n)) return name;
  memcpy(w->name.p, name.p, name.n);
  memcpy(w->name.p + name.n, suffix, n);
  return (struct weir_str){ w->name.p, (uint32_t)(name.n + n), 0 };
}

static void put_run(struct kit_bytes *b, const struct kit_bytes *from, size_t begin, size_t end) {
  if (begin < end && !from->failed) kit_put(b, from->p + begin, end - begin);
}

static void put_labels(struct rw_writer *w, struct weir_str name, const struct prom_label *extra) {
  put_run(&w->out, &w->labels, 0, w->at_name);
  put_label(w, &w->out, weir_str_of(NAME_LABEL), name);
  put_run(&w->out, &w->labels, w->at_name, w->at_extra);
  if (extra) put_label(w, &w->out, extra->name, extra->value);
  put_run(&w->out, &w->labels, w->at_extra, w->labels.n);
}

/* --- one series -------------------------------------------------------------------------------------------- */

void rw_begin(struct rw_writer *w, struct weir_str name, const char *suffix, const struct prom_label *extra) {
  struct weir_str whole = joined(w, name, suffix);
  w->begin = rw_open(&w->out, w->v2 ? 5 : 1, SERIES_DIGITS);
  w->counts.series++;
  if (!w->v2) {
    put_labels(w, whole, extra);
    return;
  }
  size_t refs = rw_open(&w->out, 1, 1);
  put_labels(w, whole, extra);
  rw_close(&w->out, refs, 1);
}

static void put_time(struct kit_bytes *b, uint32_t field, int64_t ms) {
  if (ms) rw_number(b, field, (uint64_t)ms);
}

void rw_sample(struct rw_writer *w, double value, int64_t time_ms, int64_t start_ms) {
  size_t begin = rw_open(&w->out, 2, 1);
  rw_double(&w->out, 1, value);
  put_time(&w->out, 2, time_ms);
  if (w->v2) put_time(&w->out, 3, start_ms);
  rw_close(&w->out, begin, 1);
  w->counts.samples++;
}

void rw_exemplar(struct rw_writer *w, const struct prom_label *labels, size_t n, double value, int64_t time_ms) {
  size_t begin = rw_open(&w->out, w->v2 ? 4 : 3, 1);
  size_t refs = w->v2 && n ? rw_open(&w->out, 1, 1) : 0;
  for (size_t i = 0; i < n; i++) put_label(w, &w->out, labels[i].name, labels[i].value);
  if (refs) rw_close(&w->out, refs, 1);
  rw_double(&w->out, 2, value);
  put_time(&w->out, 3, time_ms);
  rw_close(&w->out, begin, 1);
  w->counts.exemplars++;
}

void rw_end(struct rw_writer *w) {
  if (w->v2 && (w->type || w->help || w->unit)) {
    size_t begin = rw_open(&w->out, 5, 1);
    if (w->type) rw_number(&w->out, 1, (uint64_t)w->type);
    if (w->help) rw_number(&w->out, 3, w->help);
    if (w->unit) rw_number(&w->out, 4, w->unit);
    rw_close(&w->out, begin, 1);
  }
  rw_close(&w->out, w->begin, SERIES_DIGITS);
}

/* --- histograms --------------------------------------------------------------------------------------------- */

static void put_span(struct kit_bytes *b, uint32_t field, int32_t offset, uint32_t length) {
  size_t begin = rw_open(b, field, 1);
  if (offset) rw_number(b, 1, rw_zigzag(offset));
  if (length) rw_number(b, 2, length);
  rw_close(b, begin, 1);
}

static void put_buckets(struct kit_bytes *b, uint32_t field, const struct prom_buckets *v) {
  for (size_t i = 0; i < v->n_spans; i++) put_span(b, field, v->spans[i].offset, v->spans[i].length);
  if (!v->n_deltas) return;
  size_t begin = rw_open(b, field + 1, 1);
  for (size_t i = 0; i < v->n_deltas; i++) kit_put_varint(b, rw_zigzag(v->deltas[i]));
  rw_close(b, begin, 1);
}

static size_t open_histogram(struct rw_writer *w) { return rw_open(&w->out, w->v2 ? 3 : 4, 1); }

static void close_histogram(struct rw_writer *w, size_t begin, int64_t start_ms) {
  if (w->v2) put_time(&w->out, 17, start_ms);
  rw_close(&w->out, begin, 1);
  w->counts.histograms++;
}

/* reset_hint stays 0, "unknown": a wrong "no" would be believed. */
void rw_histogram(struct rw_writer *w, const struct prom_native *h, int64_t time_ms, int64_t start_ms) {
  struct kit_bytes *b = &w->out;
  size_t begin = open_histogram(w);
  rw_number(b, 1, h->count); /* members of a oneof are written also when 0 */
  rw_double(b, 3, h->sum);
  if (h->schema) rw_number(b, 4, rw_zigzag(h->schema));
  rw_double(b, 5, h->zero_threshold);
  rw_number(b, 6, h->zero_count);
  put_buckets(b, 8, &h->negative);
  put_buckets(b, 11, &h->positive);
  put_time(b, 15, time_ms);
  close_histogram(w, begin, start_ms);
}

static void put_custom_buckets(struct kit_bytes *b, const struct weir_histogram_point *h) {
  int64_t before = 0;
  put_span(b, 11, 0, h->n_bucket_counts);
  size_t begin = rw_open(b, 12, 1);
  for (uint32_t i = 0; i < h->n_bucket_counts; i++) {
    int64_t now = (int64_t)h->bucket_counts[i];
    kit_put_varint(b, rw_zigzag((int64_t)((uint64_t)now - (uint64_t)before)));
    before = now;
  }
  rw_close(b, begin, 1);
}

void rw_custom_histogram(struct rw_writer *w, const struct weir_histogram_point *h, double sum, int64_t time_ms, int64_t start_ms) {
  struct kit_bytes *b = &w->out;
  int stale = prom_is_stale(&h->pt);
  size_t begin = open_histogram(w);
  rw_number(b, 1, stale ? 0 : h->count);
  rw_double(b, 3, sum);
  rw_number(b, 4, rw_zigzag(CUSTOM_BUCKETS));
  if (!stale && h->n_bucket_counts) put_custom_buckets(b, h);
  put_time(b, 15, time_ms);
  if (!stale && h->n_explicit_bounds) {
    size_t bounds = rw_open(b, 16, 1);
    for (uint32_t i = 0; i < h->n_explicit_bounds; i++) rw_fixed64(b, h->explicit_bounds[i]);
    rw_close(b, bounds, 1);
  }
  close_histogram(w, begin, start_ms);
}

void rw_metadata(struct rw_writer *w, const struct prom_family *f) {
  size_t begin = rw_open(&w->out, 3, 1);
  int type = wire_type(f->type);
  if (type) rw_number(&w->out, 1, (uint64_t)type);
  rw_bytes(&w->out, 2, f->name);
  if (f->help.n) rw_bytes(&w->out, 4, f->help);
  if (f->unit.n) rw_bytes(&w->out, 5, f->unit);
  rw_close(&w->out, begin, 1);
}
