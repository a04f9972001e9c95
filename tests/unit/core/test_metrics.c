/* Cells, their sums, and the text exposition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/metrics.h"

static void cells_of_equal_labels_are_summed(void **state) {
  (void)state;
  struct metrics *m = metrics_new();
  struct weir_cell *a = metrics_cell(m, METRIC_COUNTER, "x_total", "exporter=\"a\"", "Things.", NULL, 0);
  struct weir_cell *b = metrics_cell(m, METRIC_COUNTER, "x_total", "exporter=\"a\"", "Things.", NULL, 0);
  struct weir_cell *c = metrics_cell(m, METRIC_COUNTER, "x_total", "exporter=\"b\"", "Things.", NULL, 0);
  struct weir_cell *g = metrics_cell(m, METRIC_GAUGE, "depth", NULL, "How deep.", NULL, 0);
  metric_add(a, 3);
  metric_add(b, 4);
  metric_add(c, 1);
  metric_put(g, -2);
  size_t n;
  char *page = metrics_render(m, &n, 0);
  assert_string_equal(page, "# HELP depth How deep.\n# TYPE depth gauge\ndepth -2\n# HELP x_total Things.\n# TYPE x_total counter\n"
                            "x_total{exporter=\"a\"} 7\nx_total{exporter=\"b\"} 1\n");
  assert_int_equal(n, strlen(page));
  free(page);
  metrics_release(m, a); /* a closed stage's counts stay */
  metrics_release(m, c);
  metrics_release(m, g);
  page = metrics_render(m, &n, 1);
  assert_string_equal(page, "# HELP x Things.\n# TYPE x counter\nx{exporter=\"a\"} 7\nx{exporter=\"b\"} 1\n");
  free(page);
  metrics_free(m);
}

static void histograms_are_cumulative(void **state) {
  (void)state;
  static const double bounds[] = { 10, 100 };
  struct metrics *m = metrics_new();
  struct weir_cell *a = metrics_cell(m, METRIC_HISTOGRAM, "size", "p=\"1\"", "Sizes.", bounds, 2);
  struct weir_cell *b = metrics_cell(m, METRIC_HISTOGRAM, "size", "p=\"1\"", "Sizes.", bounds, 2);
  metric_observe(a, 10);
  metric_observe(a, 11);
  metric_observe(b, 1000);
  metrics_release(m, b);
  size_t n;
  char *page = metrics_render(m, &n, 0);
  assert_string_equal(page, "# HELP size Sizes.\n# TYPE size histogram\nsize_bucket{p=\"1\",le=\"10\"} 1\nsize_bucket{p=\"1\",le=\"100\"} 2\n"
                            "size_bucket{p=\"1\",le=\"+Inf\"} 3\nsize_sum{p=\"1\"} 1021\nsize_count{p=\"1\"} 3\n");
  free(page);
  metrics_free(m);
}

static void labels_are_escaped(void **state) {
  (void)state;
  char buf[64];
  assert_string_equal(metrics_escape("a\"b\\c\nd", buf, sizeof buf), "a\\\"b\\\\c\\nd");
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(cells_of_equal_labels_are_summed), cmocka_unit_test(histograms_are_cumulative),
    cmocka_unit_test(labels_are_escaped) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
