/*
 * What senders and readers of the prometheus exporter control. The first byte: 'a' an Accept and an Accept-Encoding header, one line each; else options of the mapping, and
 * OTLP metrics behind it. Whatever comes: labels are sorted, unique, not empty and valid; names are valid; numbers read back; buckets add up.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/otlp.h"
#include "core/utf8.h"
#include "exporters/prometheus/negotiate.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct prom *prom;
static int utf8_names;
static uint64_t seen;

static void must(int truth) {
  if (!truth) abort();
}

/* --- readers -------------------------------------------------------------------------------------------------------------------------- */

static void headers(const char *p, size_t n) {
  const char *end = memchr(p, '\n', n);
  size_t first = end ? (size_t)(end - p) : n;
  struct weir_http_header v[2] = { { weir_str_of("accept"), { p, (uint32_t)first, 0 } }, { weir_str_of("accept-encoding"), { p + first, (uint32_t)(n - first), 0 } } };
  struct weir_http_request req = { .headers = v, .n_headers = 2 };
  struct wanted w;
  for (int om = 0; om < 2; om++) {
    negotiate(&req, om, &w);
    must(w.format == FORMAT_TEXT || (om && w.format == FORMAT_OPENMETRICS));
    must(w.escaping >= PROM_ESCAPE_UNDERSCORES && w.escaping <= PROM_ESCAPE_UTF8);
    must(strlen(w.content_type) < sizeof w.content_type - 1);
  }
}

/* --- senders ---------------------------------------------------------------------------------------------------------------------------- */

static void check_text(struct weir_str s) {
  for (size_t i = 0, len; i < s.n; i += len) {
    len = utf8_len(s.p + i, s.n - i);
    must(len > 0);
  }
}

static void check_labels(const struct prom_label *l, size_t n) {
  for (size_t i = 0; i < n; i++) {
    must(l[i].name.n > 0 && l[i].value.n > 0);
    must(utf8_names || prom_name_valid(l[i].name, 0));
    must(l[i].name.n < 2 || memcmp(l[i].name.p, "__", 2) != 0);
    check_text(l[i].name);
    check_text(l[i].value);
    if (!i) continue;
    uint32_t shorter = l[i].name.n < l[i - 1].name.n ? l[i].name.n : l[i - 1].name.n;
    int c = memcmp(l[i - 1].name.p, l[i].name.p, shorter);
    must(c < 0 || (c == 0 && l[i - 1].name.n < l[i].name.n));
  }
}

static void check_escaped(struct weir_str name, int is_metric) {
  char buf[4096];
  if (prom_escaped_cap(name.n) > sizeof buf) return;
  for (int scheme = 0; scheme < 4; scheme++) {
    size_t n = prom_escape_name(name, scheme, is_metric, buf);
    must(n <= prom_escaped_cap(name.n));
    must(scheme == PROM_ESCAPE_UTF8 || prom_name_valid((struct weir_str){ buf, (uint32_t)n, 0 }, is_metric));
  }
}

static void on_sample(void *arg, const struct prom_sample *s) {
  char buf[PROM_NUM_CAP + 1];
  int stale = *(int *)arg;
  for (int form = 0; form < 3; form++) {
    size_t n = prom_number(s->value, form, buf);
    must(n > 0 && n <= PROM_NUM_CAP);
    buf[n] = 0;
    must(isnan(s->value) || strtod(buf, NULL) == s->value);
  }
  must(!stale || isnan(s->value));
}

static void check_side(const struct prom_buckets *b) {
  uint64_t length = 0;
  int64_t count = 0;
  for (size_t i = 0; i < b->n_spans; i++) {
    must(!i || b->spans[i].offset > 2);
    length += b->spans[i].length;
  }
  must(length == b->n_deltas);
  for (size_t i = 0; i < b->n_deltas; i++) count = (int64_t)((uint64_t)count + (uint64_t)b->deltas[i]);
}

static void on_point(void *arg, const struct prom_family *f, const struct prom_label *labels, size_t n, const struct weir_metric *m, const struct weir_point *pt) {
  const struct prom_label *exemplar;
  struct prom_native native;
  int stale = prom_is_stale(pt);
  (void)arg;
  seen++;
  must(f->name.n > 0 && (utf8_names || prom_name_valid(f->name, 1)));
  check_text(f->name);
  check_text(f->help);
  check_escaped(f->name, 1);
  check_labels(labels, n);
  for (size_t i = 0; i < n; i++) check_escaped(labels[i].name, 0);
  uint64_t hash = prom_hash(7, f->name, labels, n);
  prom_expand(prom, m, pt, PROM_NUM_TEXT, on_sample, &stale);
  for (uint32_t i = 0; i < pt->n_exemplars; i++) {
    size_t k = prom_exemplar(prom, pt->exemplars[i], &exemplar);
    check_labels(exemplar, k);
  }
  if (m->type == WEIR_M_EXP_HISTOGRAM && !prom_native(prom, (const struct weir_exp_histogram_point *)pt, &native)) {
    must(native.schema >= -4 && native.schema <= 8);
    check_side(&native.positive);
    check_side(&native.negative);
  }
  must(hash == prom_hash(7, f->name, labels, n)); /* nothing above has touched them */
}

static void on_target(void *arg, const struct prom_target *t) {
  (void)arg;
  check_labels(t->labels, t->n_labels);
  must(t->has_job || t->has_instance);
}

static void on_dropped(void *arg, const struct weir_metric *m, uint64_t items, const char *reason) {
  (void)arg;
  (void)m;
  must(reason && *reason);
  seen += items;
}

static void metrics(uint8_t options, const char *p, size_t n) {
  static const char *const all[] = { "*" };
  static const struct weir_map_entry constant[] = { { "env", "test" }, { "le", "1" } };
  struct prom_options o = { .add_metric_suffixes = options & 1, .utf8_names = options >> 1 & 1, .scope_labels = options >> 2 & 1, .keep_delta = options >> 3 & 1,
    .name_space = weir_str_of(options & 16 ? "n.s" : ""), .max_label_bytes = options & 32 ? 100 : 0, .constant = { constant, 2 } };
  if (options & 64) o.resource_included = (struct weir_strings){ all, 1 };
  const struct prom_visitor visitor = { NULL, on_point, on_target, on_dropped };
  struct arena a;
  struct weir_data data;
  struct otlp_counts counts;
  arena_init(&a, NULL, 0);
  if (!otlp_decode(WEIR_METRICS, &a, p, n, NULL, &data, &counts, NULL)) {
    must(prom_new(&o, "", &prom, NULL) == 0);
    utf8_names = o.utf8_names;
    seen = 0;
    prom_walk(prom, &data, &visitor);
    must(seen == counts.items);
    prom_free(prom);
  }
  arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  if (data[0] == 'a') headers((const char *)data + 1, size - 1);
  else metrics(data[0], (const char *)data + 1, size - 1);
  return 0;
}
