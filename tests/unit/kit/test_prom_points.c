/* Numbers as Prometheus writes them, points as samples, native histograms, exemplars, escaping. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/kit/prom.h"

static struct prom *prom;
static char out[8192];
static size_t n_out;

static int set_up(void **state) {
  (void)state;
  static const struct prom_options o = { .add_metric_suffixes = 1 };
  return prom_new(&o, "", &prom, NULL);
}

static int tear_down(void **state) {
  (void)state;
  prom_free(prom);
  return 0;
}

/* --- numbers: Go's FormatFloat(v, 'g', -1, 64) and expfmt's writeOpenMetricsFloat ------------------------------------------------------ */

static void number(double v, const char *text, const char *openmetrics, const char *plain) {
  const char *const want[] = { text, openmetrics, plain };
  for (int form = 0; form < 3; form++) {
    char buf[PROM_NUM_CAP + 1];
    buf[prom_number(v, form, buf)] = 0;
    assert_string_equal(buf, want[form]);
    if (isfinite(v)) assert_true(strtod(buf, NULL) == v);
  }
}

static void numbers(void **state) {
  (void)state;
  number(0, "0", "0.0", "0");
  number(-0.0, "-0", "-0.0", "-0");
  number(1, "1", "1.0", "1");
  number(-1, "-1", "-1.0", "-1");
  number(0.5, "0.5", "0.5", "0.5");
  number(3.14, "3.14", "3.14", "3.14");
  number(0.1, "0.1", "0.1", "0.1");
  number(0.30000000000000004, "0.30000000000000004", "0.30000000000000004", "0.30000000000000004");
  number(100000, "100000", "100000.0", "100000");
  number(1e6, "1e+06", "1e+06", "1000000");
  number(1234567, "1.234567e+06", "1.234567e+06", "1234567");
  number(0.0001, "0.0001", "0.0001", "0.0001");
  number(0.00001, "1e-05", "1e-05", "0.00001");
  number(9007199254740993.0, "9.007199254740992e+15", "9.007199254740992e+15", "9007199254740992");
  number(1795942413.8969772, "1.7959424138969772e+09", "1.7959424138969772e+09", "1795942413.8969772");
  number(1e21, "1e+21", "1e+21", "1000000000000000000000");
  number(1e-7, "1e-07", "1e-07", "0.0000001");
  number(1e100, "1e+100", "1e+100", "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000");
  number(2.5e-15, "2.5e-15", "2.5e-15", "0.0000000000000025");
  number(NAN, "NaN", "NaN", "NaN");
  number(INFINITY, "+Inf", "+Inf", "+Inf");
  number(-INFINITY, "-Inf", "-Inf", "-Inf");
}

static void the_smallest_number(void **state) {
  (void)state;
  char buf[PROM_NUM_CAP + 1];
  buf[prom_number(5e-324, PROM_NUM_TEXT, buf)] = 0;
  assert_string_equal(buf, "5e-324");
  assert_int_equal(prom_number(5e-324, PROM_NUM_PLAIN, buf), 2 + 324);
}

/* The longest there are fit their buffer, and what is written reads back. */
static void numbers_at_random(void **state) {
  (void)state;
  uint64_t x = 88172645463325252u;
  for (int i = 0; i < 20000; i++) {
    double v;
    char buf[PROM_NUM_CAP + 1];
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    uint64_t bits = i % 3 ? x : x & 0xffff000000000000u;
    memcpy(&v, &bits, sizeof v);
    if (i % 3 == 2) v = (double)(int64_t)(x % 2000000) / 1000.0;
    for (int form = 0; form < 3 && !isnan(v); form++) {
      size_t n = prom_number(v, form, buf);
      assert_true(n <= PROM_NUM_CAP);
      buf[n] = 0;
      assert_true(strtod(buf, NULL) == v);
    }
  }
}

/* --- samples ------------------------------------------------------------------------------------------------------------------------------ */

static void on_sample(void *arg, const struct prom_sample *s) {
  char value[PROM_NUM_CAP + 1];
  (void)arg;
  uint64_t bits;
  memcpy(&bits, &s->value, sizeof bits);
  value[prom_number(s->value, PROM_NUM_TEXT, value)] = 0;
  n_out += (size_t)snprintf(out + n_out, sizeof out - n_out, "%s%s", n_out ? " " : "", *s->suffix ? s->suffix + 1 : "=");
  if (s->extra) n_out += (size_t)snprintf(out + n_out, sizeof out - n_out, "{%.*s=%.*s}", (int)s->extra->name.n, s->extra->name.p, (int)s->extra->value.n, s->extra->value.p);
  n_out += (size_t)snprintf(out + n_out, sizeof out - n_out, ":%s%s", bits == PROM_STALE_BITS ? "stale" : value, s->above < s->upto ? "!" : "");
}

static void samples(uint32_t type, const struct weir_point *pt, int form, const char *want) {
  struct weir_metric m = { .type = type };
  n_out = 0;
  out[0] = 0;
  prom_expand(prom, &m, pt, form, on_sample, NULL);
  assert_string_equal(out, want);
}

static void histogram_samples(void **state) {
  (void)state;
  const uint64_t counts[] = { 1, 2, 3 };
  const double bounds[] = { 0.5, 1000000 }, to_inf[] = { 1, INFINITY };
  struct weir_histogram_point h = { .count = 6, .sum = 7.5, .has = WEIR_HAS_SUM, .n_bucket_counts = 3, .n_explicit_bounds = 2, .bucket_counts = counts, .explicit_bounds = bounds };
  samples(WEIR_M_HISTOGRAM, &h.pt, PROM_NUM_TEXT, "bucket{le=0.5}:1! bucket{le=1e+06}:3! bucket{le=+Inf}:6! sum:7.5 count:6");
  samples(WEIR_M_HISTOGRAM, &h.pt, PROM_NUM_PLAIN, "bucket{le=0.5}:1! bucket{le=1000000}:3! bucket{le=+Inf}:6! sum:7.5 count:6");
  h.explicit_bounds = to_inf;
  samples(WEIR_M_HISTOGRAM, &h.pt, PROM_NUM_OPENMETRICS, "bucket{le=1.0}:1! bucket{le=+Inf}:6! sum:7.5 count:6");
  h.has = 0;
  h.n_bucket_counts = h.n_explicit_bounds = 0;
  samples(WEIR_M_HISTOGRAM, &h.pt, PROM_NUM_TEXT, "bucket{le=+Inf}:6! count:6");
  h.pt.flags = 1;
  samples(WEIR_M_HISTOGRAM, &h.pt, PROM_NUM_TEXT, "bucket{le=+Inf}:stale! sum:stale count:stale");
}

static void other_samples(void **state) {
  (void)state;
  const struct weir_quantile q[] = { { 0.5, 1 }, { 0.99, 2.5 } };
  struct weir_summary_point s = { .count = 3, .sum = 4, .n_quantiles = 2, .quantiles = q };
  struct weir_exp_histogram_point e = { .count = 3, .sum = 4, .has = WEIR_HAS_SUM };
  struct weir_number_point n = { .value = weir_value_int(9) };
  samples(WEIR_M_SUMMARY, &s.pt, PROM_NUM_TEXT, "={quantile=0.5}:1 ={quantile=0.99}:2.5 sum:4 count:3");
  samples(WEIR_M_EXP_HISTOGRAM, &e.pt, PROM_NUM_TEXT, "bucket{le=+Inf}:3! sum:4 count:3");
  samples(WEIR_M_GAUGE, &n.pt, PROM_NUM_TEXT, "=:9!");
  n.pt.flags = 1;
  samples(WEIR_M_SUM, &n.pt, PROM_NUM_TEXT, "=:stale!");
}

/* --- native histograms: "Exponential Histograms" -------------------------------------------------------------------------------------------- */

static void side(const char *name, const struct prom_buckets *b) {
  n_out += (size_t)snprintf(out + n_out, sizeof out - n_out, " %s", name);
  for (size_t i = 0; i < b->n_spans; i++) n_out += (size_t)snprintf(out + n_out, sizeof out - n_out, "[%d,%u]", b->spans[i].offset, b->spans[i].length);
  for (size_t i = 0; i < b->n_deltas; i++) n_out += (size_t)snprintf(out + n_out, sizeof out - n_out, "%s%lld", i ? "," : "", (long long)b->deltas[i]);
}

static void native(const struct weir_exp_histogram_point *h, const char *want) {
  struct prom_native r;
  if (prom_native(prom, h, &r)) {
    assert_null(want);
    return;
  }
  n_out = (size_t)snprintf(out, sizeof out, "%d %llu/%llu %g %g", r.schema, (unsigned long long)r.count, (unsigned long long)r.zero_count, r.zero_threshold, r.sum);
  side("+", &r.positive);
  side("-", &r.negative);
  assert_non_null(want);
  assert_string_equal(out, want);
}

static void native_histograms(void **state) {
  (void)state;
  const uint64_t simple[] = { 1, 2 }, gaps[] = { 1, 0, 0, 4, 0, 0, 0, 2, 0 }, many[] = { 1, 1, 1, 1, 1, 1, 1, 1 };
  struct weir_exp_histogram_point h = { .count = 6, .zero_count = 1, .sum = 4, .has = WEIR_HAS_SUM, .scale = 1, .positive = { .offset = -1, .n = 2, .counts = simple } };
  native(&h, "1 6/1 1e-128 4 +[0,2]1,1 -");
  h.negative = (struct weir_buckets){ .offset = 3, .n = 2, .counts = simple };
  h.zero_threshold = 0.25;
  native(&h, "1 6/1 0.25 4 +[0,2]1,1 -[4,2]1,1");
  h.negative.n = 0;
  h.has = 0;
  h.positive = (struct weir_buckets){ .offset = 0, .n = 9, .counts = gaps }; /* two empty ones are filled, three begin a span */
  native(&h, "1 6/1 0.25 0 +[1,4][3,1]1,-1,0,4,-2 -");
  h.scale = 10; /* 8 is the finest: four buckets become one */
  h.positive = (struct weir_buckets){ .offset = -2, .n = 8, .counts = many };
  native(&h, "8 6/1 0.25 0 +[0,3]2,2,-2 -");
  h.scale = 200;
  native(&h, "8 6/1 0.25 0 +[0,2]2,4 -");
  h.scale = -4;
  native(&h, "-4 6/1 0.25 0 +[-1,8]1,0,0,0,0,0,0,0 -");
  h.scale = -5;
  native(&h, NULL);
  h.scale = 0;
  h.positive = (struct weir_buckets){ .offset = INT32_MAX, .n = 8, .counts = many };
  native(&h, NULL);
  h.positive = (struct weir_buckets){ .offset = INT32_MIN, .n = 1, .counts = many };
  native(&h, "0 6/1 0.25 0 +[-2147483647,1]1 -");
  h.pt.flags = 1;
  h.scale = -9;
  native(&h, "0 0/0 0.25 nan + -");
}

/* --- exemplars: "Exemplars", OpenMetrics 1.0 ------------------------------------------------------------------------------------------------ */

static void exemplar(const struct weir_exemplar *e, const char *want) {
  const struct prom_label *l;
  size_t n = prom_exemplar(prom, e, &l);
  out[n_out = 0] = 0;
  for (size_t i = 0; i < n; i++)
    n_out += (size_t)snprintf(out + n_out, sizeof out - n_out, "%s%.*s=%.*s", i ? "," : "", (int)l[i].name.n, l[i].name.p, (int)l[i].value.n, l[i].value.p);
  assert_string_equal(out, want);
}

static void exemplars(void **state) {
  (void)state;
  static const char trace[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, (char)0xff }, span[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
  char text[200];
  memset(text, 'x', sizeof text);
#define IDS "span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0fff"
  struct weir_attr attrs[] = { { .key = weir_str_of("z.z"), .value = weir_value_int(1) }, { .key = weir_str_of("trace.id"), .value = weir_value_str("no", 2) } };
  struct weir_exemplar e = { .trace_id = { trace, 16, 0 }, .span_id = { span, 8, 0 } };
  exemplar(&e, IDS);
  e.rec = (struct weir_rec){ .attrs = attrs, .n_attrs = 2 };
  exemplar(&e, IDS ",z_z=1"); /* the ids rank above an attribute of that name */
  attrs[1] = (struct weir_attr){ .key = weir_str_of("long"), .value = weir_value_str(text, 128 - 15 - 48 - 4 - 4) };
  assert_true(prom_exemplar(prom, &e, &(const struct prom_label *){ NULL }) == 4);
  attrs[1].value.n++;
  exemplar(&e, IDS);
  e.trace_id.n = e.span_id.n = 0;
  e.rec.n_attrs = 1;
  exemplar(&e, "z_z=1");
}

/* --- escaping: content negotiation, `escaping`; exposition formats --------------------------------------------------------------------------- */

static void escaped(const char *name, int is_metric, const char *underscores, const char *dots, const char *values) {
  const char *const want[] = { underscores, dots, values, name };
  char buf[200];
  for (int scheme = 0; scheme < 4; scheme++) {
    size_t n = prom_escape_name(weir_str_of(name), scheme, is_metric, buf);
    assert_true(n <= prom_escaped_cap(strlen(name)));
    buf[n] = 0;
    assert_string_equal(buf, want[scheme]);
  }
}

static void escaping(void **state) {
  (void)state;
  char buf[64];
  escaped("c__d_seconds_total", 1, "c__d_seconds_total", "c__d_seconds_total", "c__d_seconds_total");
  escaped("a:b", 1, "a:b", "a:b", "a:b");
  escaped("a:b", 0, "a_b", "a__b", "U__a_3a_b");
  escaped("9lives_total", 1, "_lives_total", "__lives__total", "U___39_lives__total");
  escaped("a.b_bytes_total", 1, "a_b_bytes_total", "a_dot_b__bytes__total", "U__a_2e_b__bytes__total");
  escaped("\xc3\xa9t\xe2\x82\xac\xf0\x9f\x98\x80", 1, "_t__", "__t____", "U___e9_t_20ac__1f600_");
  size_t n = prom_escape_text(weir_str_of("a\nb\"c\\d"), 1, buf);
  buf[n] = 0;
  assert_string_equal(buf, "a\\nb\\\"c\\\\d");
  n = prom_escape_text(weir_str_of("a\nb\"c\\d"), 0, buf);
  buf[n] = 0;
  assert_string_equal(buf, "a\\nb\"c\\\\d");
}

static void valid_names(void **state) {
  (void)state;
  assert_true(prom_name_valid(weir_str_of("a:b_9"), 1));
  assert_false(prom_name_valid(weir_str_of("a:b_9"), 0));
  assert_false(prom_name_valid(weir_str_of("9a"), 1));
  assert_false(prom_name_valid(weir_str_of(""), 1));
  assert_false(prom_name_valid(weir_str_of("a b"), 1));
}

static void hashes(void **state) {
  (void)state;
  struct prom_label l[] = { { weir_str_of("a"), weir_str_of("bc") }, { weir_str_of("ab"), weir_str_of("c") } };
  uint64_t h = prom_hash(1, weir_str_of("m"), l, 1);
  assert_true(h == prom_hash(1, weir_str_of("m"), l, 1));
  assert_true(h != prom_hash(2, weir_str_of("m"), l, 1));
  assert_true(h != prom_hash(1, weir_str_of("n"), l, 1));
  assert_true(h != prom_hash(1, weir_str_of("m"), l + 1, 1)); /* where a name ends counts */
  assert_true(h != prom_hash(1, weir_str_of("m"), l, 2));
}

static int by_number(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* A hash that multiplies by a constant and folds (h = (h ^ v) * c; h ^= h >> 29) lets a changed bit of one word be taken back by two bits of the next, for every other
 * seed: with 10 such pairs of words most of 1024 values had the hash of another, whatever the seed. */
#define PAIRS 10
static void values_that_collide_can_not_be_made_without_the_seed(void **state) {
  (void)state;
  static uint64_t hashes[1u << PAIRS];
  for (uint32_t i = 0; i < 1u << PAIRS; i++) {
    char text[PAIRS * 16];
    memset(text, 'a', sizeof text);
    for (uint32_t k = 0; k < PAIRS; k++)
      if (i >> k & 1) {
        text[k * 16 + 7] ^= 1 << 6;
        text[k * 16 + 15] ^= 1 << 6;
        text[k * 16 + 12] ^= 1 << 1;
      }
    struct prom_label l = { weir_str_of("l"), { text, sizeof text, 0 } };
    hashes[i] = prom_hash(0x0123456789abcdefu, weir_str_of("m"), &l, 1);
  }
  qsort(hashes, 1u << PAIRS, sizeof *hashes, by_number);
  for (uint32_t i = 1; i < 1u << PAIRS; i++) assert_true(hashes[i] != hashes[i - 1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(numbers),
    cmocka_unit_test(the_smallest_number),
    cmocka_unit_test(numbers_at_random),
    cmocka_unit_test(histogram_samples),
    cmocka_unit_test(other_samples),
    cmocka_unit_test(native_histograms),
    cmocka_unit_test(exemplars),
    cmocka_unit_test(escaping),
    cmocka_unit_test(valid_names),
    cmocka_unit_test(hashes),
    cmocka_unit_test(values_that_collide_can_not_be_made_without_the_seed),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
