/* tests/unit/support/metric.h - one series of the own metrics page. Include it behind cmocka.h. */
#ifndef TEST_METRIC_H
#define TEST_METRIC_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/metrics.h"

/* Its value; -1 when it is not there. series: with its labels, sorted. */
static inline int64_t metric_value(struct metrics *m, const char *series) {
  size_t n;
  char *page = metrics_render(m, &n, 0), want[300];
  snprintf(want, sizeof want, "\n%s ", series);
  const char *at = strstr(page, want);
  long long v = -1;
  if (at) sscanf(at + strlen(want), "%lld", &v);
  free(page);
  return v;
}

/* Whether the page has this text; prints the page when not. */
static inline int metric_shown(struct metrics *m, const char *line) {
  size_t n;
  char *page = metrics_render(m, &n, 0);
  int found = strstr(page, line) != NULL;
  if (!found) print_error("no `%s` in:\n%s", line, page);
  free(page);
  return found;
}

#endif
