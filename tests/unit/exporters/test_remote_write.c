/* The messages of remote write against protobuf-c, value by value, on series made at random; the symbol table; lengths that need moving. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exporters/prometheus_remote_write/series.c"
#include "exporters/prometheus_remote_write/symbols.c"
#include "plugins/kit/bytes.c"
#include "remote_write.pb-c.h"
#include "tests/unit/support/otlp_gen.h"

#define MAX_LABELS 12
#define MAX_SERIES 40
#define MAX_EXEMPLARS 3
#define MAX_DELTAS 300

static struct gen random_state;
static uint64_t below(uint64_t n) { return gen_below(&random_state, n); }

/* --- what is to be written ------------------------------------------------------------------------------------- */

static char pool[1 << 20];
static size_t pool_at;

static struct weir_str text(uint64_t most) {
  uint32_t n = (uint32_t)below(most + 1);
  if (pool_at + n > sizeof pool) pool_at = 0;
  char *p = pool + pool_at;
  pool_at += n;
  for (uint32_t i = 0; i < n; i++) p[i] = (char)('a' + below(26));
  return (struct weir_str){ p, n, 0 };
}

static int label_order(const void *a, const void *b) { return compare(((const struct prom_label *)a)->name, ((const struct prom_label *)b)->name); }

struct model {
  struct prom_family family;
  const char *suffix;
  struct prom_label labels[MAX_LABELS], extra;
  size_t n_labels;
  int has_extra, is_histogram;
  double value;
  int64_t time_ms, start_ms;
  struct prom_native native;
  struct prom_span spans[2];
  int64_t deltas[MAX_DELTAS];
  size_t n_exemplars;
  struct {
    struct prom_label labels[2];
    size_t n_labels;
    double value;
    int64_t time_ms;
  } exemplars[MAX_EXEMPLARS];
};

static double any_double(void) {
  uint64_t bits = gen_next(&random_state);
  static const double some[] = { 0, 1, -1, 1e300, 0.1 };
  double v;
  if (below(2)) return some[below(5)];
  memcpy(&v, &bits, 8);
  return v;
}

static int64_t any_time(void) { return below(5) ? (int64_t)(1700000000000 + below(1000000)) : (int64_t)gen_next(&random_state); }

static void make_native(struct model *m) {
  struct prom_native *h = &m->native;
  size_t n = below(MAX_DELTAS);
  *h = (struct prom_native){ .schema = (int32_t)below(13) - 4, .count = gen_next(&random_state) >> below(64), .zero_count = below(3), .sum = any_double(), .zero_threshold = 1e-128 };
  for (size_t i = 0; i < n; i++) m->deltas[i] = (int64_t)gen_next(&random_state) >> below(64);
  m->spans[0] = (struct prom_span){ (int32_t)below(2000) - 1000, (uint32_t)(n / 2) };
  m->spans[1] = (struct prom_span){ (int32_t)below(50), (uint32_t)(n - n / 2) };
  struct prom_buckets b = { m->spans, m->deltas, n ? 2 : 0, n };
  if (below(2)) h->positive = b;
  else h->negative = b;
}

static void make(struct model *m) {
  static const char *const suffixes[] = { "", "_bucket", "_sum", "_count" };
  memset(m, 0, sizeof *m);
  m->family.name = text(30);
  m->family.help = text(below(2) ? 200 : 0);
  m->family.unit = text(8);
  m->family.type = (int)below(8);
  m->suffix = suffixes[below(4)];
  m->n_labels = below(MAX_LABELS + 1);
  for (size_t i = 0; i < m->n_labels; i++) { /* unique by their number; some sort before __name__, some behind le */
    m->labels[i].name = text(below(4) ? 8 : 0);
    char *p = pool + pool_at;
    int n = snprintf(p, 20, "%c%u", "A_ahlmz"[below(7)], (unsigned)i);
    pool_at += (size_t)n;
    m->labels[i].name = (struct weir_str){ p, (uint32_t)n, 0 };
    m->labels[i].value = text(below(10) ? 20 : 2000);
  }
  qsort(m->labels, m->n_labels, sizeof *m->labels, label_order);
  m->has_extra = (int)below(2);
  m->extra = (struct prom_label){ weir_str_of("le"), text(6) };
  m->is_histogram = !below(3);
  m->value = any_double();
  m->time_ms = any_time();
  m->start_ms = below(2) ? any_time() : 0;
  make_native(m);
  m->n_exemplars = below(MAX_EXEMPLARS + 1);
  for (size_t i = 0; i < m->n_exemplars; i++) {
    m->exemplars[i].n_labels = below(3);
    m->exemplars[i].labels[0] = (struct prom_label){ weir_str_of("span_id"), text(16) };
    m->exemplars[i].labels[1] = (struct prom_label){ weir_str_of("trace_id"), text(200) };
    m->exemplars[i].value = any_double();
    m->exemplars[i].time_ms = any_time();
  }
}

static void write_model(struct rw_writer *w, const struct model *m) {
  rw_point(w, &m->family, m->labels, m->n_labels, m->has_extra ? "le" : "");
  rw_begin(w, m->family.name, m->suffix, m->has_extra ? &m->extra : NULL);
  if (m->is_histogram) rw_histogram(w, &m->native, m->time_ms, m->start_ms);
  else rw_sample(w, m->value, m->time_ms, m->start_ms);
  for (size_t i = 0; i < m->n_exemplars; i++)
    rw_exemplar(w, m->exemplars[i].labels, m->exemplars[i].n_labels, m->exemplars[i].value, m->exemplars[i].time_ms);
  rw_end(w);
}

/* --- what must have been read -------------------------------------------------------------------------------------- */

static void same_bytes(ProtobufCBinaryData got, struct weir_str want) {
  assert_int_equal(got.len, want.n);
  if (want.n) assert_memory_equal(got.data, want.p, want.n);
}

static void same_double(double got, double want) {
  uint64_t zero = 0;
  if (memcmp(&want, &zero, 8) == 0) assert_true(got == 0);
  else assert_memory_equal(&got, &want, 8);
}

/* The labels that a series must have, in order. */
static size_t wanted(const struct model *m, struct prom_label *out, char *name) {
  size_t n = m->n_labels;
  memcpy(out, m->labels, n * sizeof *out);
  int length = snprintf(name, 64, "%.*s%s", (int)m->family.name.n, m->family.name.n ? m->family.name.p : "", m->suffix);
  out[n++] = (struct prom_label){ weir_str_of("__name__"), { name, (uint32_t)length, 0 } };
  if (m->has_extra) out[n++] = m->extra;
  qsort(out, n, sizeof *out, label_order);
  return n;
}

static void same_buckets(Rw__BucketSpan **spans, size_t n_spans, const int64_t *deltas, size_t n_deltas, const struct prom_buckets *want) {
  assert_int_equal(n_spans, want->n_spans);
  assert_int_equal(n_deltas, want->n_deltas);
  for (size_t i = 0; i < n_spans; i++) {
    assert_int_equal(spans[i]->offset, want->spans[i].offset);
    assert_int_equal(spans[i]->length, want->spans[i].length);
  }
  for (size_t i = 0; i < n_deltas; i++) assert_int_equal(deltas[i], want->deltas[i]);
}

static void same_histogram(const Rw__Histogram *h, const struct model *m, int v2) {
  assert_int_equal(h->count_case, RW__HISTOGRAM__COUNT_COUNT_INT);
  assert_true(h->count_int == m->native.count);
  assert_int_equal(h->zero_count_case, RW__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT);
  assert_true(h->zero_count_int == m->native.zero_count);
  same_double(h->sum, m->native.sum);
  same_double(h->zero_threshold, m->native.zero_threshold);
  assert_int_equal(h->schema, m->native.schema);
  assert_int_equal(h->reset_hint, 0);
  assert_true(h->timestamp == m->time_ms);
  assert_true(h->start_timestamp == (v2 ? m->start_ms : 0));
  same_buckets(h->positive_spans, h->n_positive_spans, h->positive_deltas, h->n_positive_deltas, &m->native.positive);
  same_buckets(h->negative_spans, h->n_negative_spans, h->negative_deltas, h->n_negative_deltas, &m->native.negative);
}

static void same_series_1(const Rw__TimeSeries1 *t, const struct model *m) {
  struct prom_label want[MAX_LABELS + 2];
  char name[64];
  assert_int_equal(t->n_labels, wanted(m, want, name));
  for (size_t i = 0; i < t->n_labels; i++) {
    same_bytes(t->labels[i]->name, want[i].name);
    same_bytes(t->labels[i]->value, want[i].value);
  }
  assert_int_equal(t->n_samples, !m->is_histogram);
  assert_int_equal(t->n_histograms, m->is_histogram);
  if (m->is_histogram) same_histogram(t->histograms[0], m, 0);
  else same_double(t->samples[0]->value, m->value);
  if (!m->is_histogram) assert_true(t->samples[0]->timestamp == m->time_ms);
  assert_int_equal(t->n_exemplars, m->n_exemplars);
  for (size_t i = 0; i < m->n_exemplars; i++) {
    const Rw__Exemplar1 *x = t->exemplars[i];
    same_double(x->value, m->exemplars[i].value);
    assert_true(x->timestamp == m->exemplars[i].time_ms);
    assert_int_equal(x->n_labels, m->exemplars[i].n_labels);
    for (size_t k = 0; k < x->n_labels; k++) same_bytes(x->labels[k]->value, m->exemplars[i].labels[k].value);
  }
}

static void same_ref(const Rw__Request2 *r, uint32_t ref, struct weir_str want) {
  assert_true(ref < r->n_symbols);
  same_bytes(r->symbols[ref], want);
}

static void same_series_2(const Rw__Request2 *r, const Rw__TimeSeries2 *t, const struct model *m) {
  struct prom_label want[MAX_LABELS + 2];
  char name[64];
  assert_int_equal(t->n_labels_refs, 2 * wanted(m, want, name));
  for (size_t i = 0; i < t->n_labels_refs; i++) same_ref(r, t->labels_refs[i], i % 2 ? want[i / 2].value : want[i / 2].name);
  assert_int_equal(t->n_samples, !m->is_histogram);
  assert_int_equal(t->n_histograms, m->is_histogram);
  if (m->is_histogram) same_histogram(t->histograms[0], m, 1);
  else same_double(t->samples[0]->value, m->value);
  if (!m->is_histogram) assert_true(t->samples[0]->timestamp == m->time_ms && t->samples[0]->start_timestamp == m->start_ms);
  assert_int_equal(t->n_exemplars, m->n_exemplars);
  for (size_t i = 0; i < m->n_exemplars; i++) {
    const Rw__Exemplar2 *x = t->exemplars[i];
    same_double(x->value, m->exemplars[i].value);
    assert_true(x->timestamp == m->exemplars[i].time_ms);
    assert_int_equal(x->n_labels_refs, 2 * m->exemplars[i].n_labels);
    for (size_t k = 0; k < m->exemplars[i].n_labels; k++) same_ref(r, x->labels_refs[2 * k + 1], m->exemplars[i].labels[k].value);
  }
  static const uint32_t types[] = { 0, 1, 2, 3, 5, 6, 7, 3 };
  assert_int_equal(t->metadata ? t->metadata->type : 0, types[m->family.type]);
  same_ref(r, t->metadata ? t->metadata->help_ref : 0, m->family.help);
  same_ref(r, t->metadata ? t->metadata->unit_ref : 0, m->family.unit);
}

/* --- tests ------------------------------------------------------------------------------------------------------------- */

static uint8_t *bytes_of(const struct rw_writer *w) {
  uint8_t *p = malloc(rw_size(w) + 1);
  assert_non_null(p);
  rw_copy(w, (char *)p);
  return p;
}

static void each_value_as_the_oracle_reads_it(void **state) {
  (void)state;
  static struct model models[MAX_SERIES];
  struct rw_writer w;
  memset(&w, 0, sizeof w);
  assert_int_equal(rw_writer_init(&w, 42), 0);
  for (int round = 0; round < 600; round++) {
    int v2 = round & 1;
    size_t n = below(MAX_SERIES + 1);
    rw_reset(&w, v2);
    pool_at = 0;
    for (size_t i = 0; i < n; i++) {
      make(&models[i]);
      write_model(&w, &models[i]);
    }
    assert_int_equal(rw_writer_failed(&w), 0);
    assert_int_equal(w.counts.series, n);
    uint8_t *p = bytes_of(&w);
    Rw__Request1 *one = v2 ? NULL : rw__request1__unpack(NULL, rw_size(&w), p);
    Rw__Request2 *two = v2 ? rw__request2__unpack(NULL, rw_size(&w), p) : NULL;
    assert_true(one || two);
    assert_int_equal(one ? one->n_timeseries : two->n_timeseries, n);
    for (size_t i = 0; one && i < n; i++) same_series_1(one->timeseries[i], &models[i]);
    for (size_t i = 0; two && i < n; i++) same_series_2(two, two->timeseries[i], &models[i]);
    if (two) assert_int_equal(two->symbols[0].len, 0);
    for (size_t i = 0; two && i < two->n_symbols; i++) /* each once */
      for (size_t k = 0; k < i; k++) assert_false(two->symbols[i].len == two->symbols[k].len && !memcmp(two->symbols[i].data, two->symbols[k].data, two->symbols[i].len));
    if (one) rw__request1__free_unpacked(one, NULL);
    if (two) rw__request2__free_unpacked(two, NULL);
    free(p);
  }
  rw_writer_done(&w);
}

static void metadata_of_families(void **state) {
  (void)state;
  struct prom_family f = { .name = weir_str_of("http_requests_total"), .unit = weir_str_of("requests"), .help = weir_str_of("How many."), .type = PROM_COUNTER };
  struct rw_writer w;
  memset(&w, 0, sizeof w);
  assert_int_equal(rw_writer_init(&w, 1), 0);
  rw_reset(&w, 0);
  rw_metadata(&w, &f);
  uint8_t *p = bytes_of(&w);
  Rw__Request1 *r = rw__request1__unpack(NULL, rw_size(&w), p);
  assert_non_null(r);
  assert_int_equal(r->n_metadata, 1);
  assert_int_equal(r->metadata[0]->type, 1);
  same_bytes(r->metadata[0]->metric_family_name, f.name);
  same_bytes(r->metadata[0]->help, f.help);
  same_bytes(r->metadata[0]->unit, f.unit);
  rw__request1__free_unpacked(r, NULL);
  free(p);
  rw_writer_done(&w);
}

/* An explicit histogram as a native one: bounds in custom_values, counts as differences. */
static void custom_buckets(void **state) {
  (void)state;
  static const uint64_t counts[] = { 3, 0, 5, 1 };
  static const double bounds[] = { 0.1, 1, 10 };
  static const int64_t deltas[] = { 3, -3, 5, -4 };
  struct weir_histogram_point h = { .count = 9, .n_bucket_counts = 4, .n_explicit_bounds = 3, .bucket_counts = counts, .explicit_bounds = bounds };
  struct prom_family f = { .name = weir_str_of("h"), .type = PROM_HISTOGRAM };
  struct rw_writer w;
  memset(&w, 0, sizeof w);
  assert_int_equal(rw_writer_init(&w, 1), 0);
  rw_reset(&w, 1);
  rw_point(&w, &f, NULL, 0, "");
  rw_begin(&w, f.name, "", NULL);
  rw_custom_histogram(&w, &h, 12.5, 1000, 500);
  rw_end(&w);
  uint8_t *p = bytes_of(&w);
  Rw__Request2 *r = rw__request2__unpack(NULL, rw_size(&w), p);
  assert_non_null(r);
  const Rw__Histogram *g = r->timeseries[0]->histograms[0];
  assert_int_equal(g->schema, -53);
  assert_int_equal(g->count_int, 9);
  assert_true(g->sum == 12.5 && g->timestamp == 1000 && g->start_timestamp == 500);
  assert_int_equal(g->n_positive_spans, 1);
  assert_int_equal(g->positive_spans[0]->length, 4);
  assert_memory_equal(g->positive_deltas, deltas, sizeof deltas);
  assert_int_equal(g->n_custom_values, 3);
  assert_memory_equal(g->custom_values, bounds, sizeof bounds);
  rw__request2__free_unpacked(r, NULL);
  free(p);
  rw_writer_done(&w);
}

/* What the data calls `le` or `__name__` gives way to the histogram's own. */
static void own_labels_give_way(void **state) {
  (void)state;
  struct prom_label labels[] = { { weir_str_of("__name__"), weir_str_of("evil") }, { weir_str_of("le"), weir_str_of("7") }, { weir_str_of("zone"), weir_str_of("a") } };
  struct prom_label le = { weir_str_of("le"), weir_str_of("+Inf") };
  struct prom_family f = { .name = weir_str_of("h") };
  struct rw_writer w;
  memset(&w, 0, sizeof w);
  assert_int_equal(rw_writer_init(&w, 1), 0);
  rw_reset(&w, 0);
  rw_point(&w, &f, labels, 3, "le");
  rw_begin(&w, f.name, "_bucket", &le);
  rw_sample(&w, 1, 1, 0);
  rw_end(&w);
  uint8_t *p = bytes_of(&w);
  Rw__Request1 *r = rw__request1__unpack(NULL, rw_size(&w), p);
  assert_non_null(r);
  assert_int_equal(r->timeseries[0]->n_labels, 3);
  same_bytes(r->timeseries[0]->labels[0]->value, weir_str_of("h_bucket"));
  same_bytes(r->timeseries[0]->labels[1]->value, weir_str_of("+Inf"));
  same_bytes(r->timeseries[0]->labels[2]->name, weir_str_of("zone"));
  rw__request1__free_unpacked(r, NULL);
  free(p);
  rw_writer_done(&w);
}

/* More texts than the table has room for at first, over many requests; the texts are found again and nothing of an earlier request is. */
static void symbols_grow_and_are_cleared(void **state) {
  (void)state;
  struct rw_symbols t;
  memset(&t, 0, sizeof t);
  assert_int_equal(rw_symbols_init(&t, 7), 0);
  for (uint32_t round = 0; round < 5; round++) {
    for (uint32_t twice = 0; twice < 2; twice++)
      for (uint32_t i = 0; i < 3000; i++) {
        char s[40];
        int n = snprintf(s, sizeof s, "text-%u-%.*s%u", round, (int)(i % 20), "aaaaaaaaaaaaaaaaaaaa", i);
        assert_int_equal(rw_symbol(&t, (struct weir_str){ s, (uint32_t)n, 0 }), i + 1);
      }
    assert_int_equal(rw_symbol(&t, weir_str_of("")), 0);
    assert_int_equal(t.n, 3001);
    rw_symbols_clear(&t);
    assert_int_equal(t.n, 1);
  }
  t.generation = UINT32_MAX; /* the next one is the first again */
  rw_symbols_clear(&t);
  assert_int_equal(rw_symbol(&t, weir_str_of("text-0-0")), 1);
  rw_symbols_done(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_value_as_the_oracle_reads_it),
    cmocka_unit_test(metadata_of_families),
    cmocka_unit_test(custom_buckets),
    cmocka_unit_test(own_labels_give_way),
    cmocka_unit_test(symbols_grow_and_are_cleared),
  };
  random_state.state = 20261129;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
