#include "core/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"

struct metric_histogram {
  size_t n_bounds;
  double *bounds;
  _Atomic uint64_t *counts; /* n_bounds + 1, not cumulative */
  _Atomic uint64_t count;
  _Atomic double sum;
};

struct metric_family {
  char *name, *help;
  int type;
  struct weir_cell *cells, *retired; /* retired: counters of stages that were closed keep counting in the sum */
  struct metric_family *next;
};

struct scrape_hook {
  weir_fn_f *fn;
  void *arg;
  struct scrape_hook *next;
};

struct metrics {
  pthread_mutex_t lock;
  struct metric_family *families;
  struct scrape_hook *hooks;
};

struct metrics *metrics_new(void) {
  struct metrics *m = calloc(1, sizeof *m);
  WEIR_ASSERT(m != NULL);
  pthread_mutex_init(&m->lock, NULL);
  return m;
}

static void cell_free(struct weir_cell *c) {
  if (c->histogram) {
    free(c->histogram->bounds);
    free((void *)c->histogram->counts);
    free(c->histogram);
  }
  free(c->labels);
  free(c);
}

static void cells_free(struct weir_cell *c) {
  for (struct weir_cell *next; c; c = next) {
    next = c->next;
    cell_free(c);
  }
}

void metrics_free(struct metrics *m) {
  if (!m) return;
  for (struct metric_family *f = m->families, *next; f; f = next) {
    next = f->next;
    cells_free(f->cells);
    cells_free(f->retired);
    free(f->name);
    free(f->help);
    free(f);
  }
  for (struct scrape_hook *h = m->hooks, *next; h; h = next) {
    next = h->next;
    free(h);
  }
  pthread_mutex_destroy(&m->lock);
  free(m);
}

static char *copy(const char *s) {
  char *c = strdup(s ? s : "");
  WEIR_ASSERT(c != NULL);
  return c;
}

/* Families stand sorted by name, as the page shows them. */
static struct metric_family *family_of(struct metrics *m, int type, const char *name, const char *help) {
  struct metric_family **at = &m->families;
  while (*at && strcmp((*at)->name, name) < 0) at = &(*at)->next;
  if (*at && strcmp((*at)->name, name) == 0) {
    WEIR_ASSERT((*at)->type == type);
    return *at;
  }
  struct metric_family *f = calloc(1, sizeof *f);
  WEIR_ASSERT(f != NULL);
  f->name = copy(name);
  f->help = copy(help);
  f->type = type;
  f->next = *at;
  *at = f;
  return f;
}

static struct metric_histogram *histogram_new(const double *bounds, size_t n) {
  struct metric_histogram *h = calloc(1, sizeof *h);
  WEIR_ASSERT(h != NULL);
  h->n_bounds = n;
  h->bounds = calloc(n ? n : 1, sizeof *h->bounds);
  h->counts = calloc(n + 1, sizeof *h->counts);
  WEIR_ASSERT(h->bounds != NULL && h->counts != NULL);
  if (n) memcpy(h->bounds, bounds, n * sizeof *bounds);
  return h;
}

struct weir_cell *metrics_cell(struct metrics *m, int type, const char *name, const char *labels, const char *help, const double *bounds,
  size_t n_bounds) {
  struct weir_cell *c = calloc(1, sizeof *c);
  WEIR_ASSERT(c != NULL);
  c->labels = copy(labels);
  c->scale = 1;
  if (type == METRIC_HISTOGRAM) c->histogram = histogram_new(bounds, n_bounds);
  pthread_mutex_lock(&m->lock);
  c->family = family_of(m, type, name, help);
  struct weir_cell **at = &c->family->cells; /* sorted by labels, so that equal ones stand together */
  while (*at && strcmp((*at)->labels, c->labels) < 0) at = &(*at)->next;
  c->next = *at;
  *at = c;
  pthread_mutex_unlock(&m->lock);
  return c;
}

/* Adds a released cell's value to the retired cell of its labels, or makes it that cell. */
static void retire(struct metric_family *f, struct weir_cell *c) {
  for (struct weir_cell *r = f->retired; r; r = r->next) {
    if (strcmp(r->labels, c->labels) != 0) continue;
    metric_add(r, c->value);
    if (r->histogram && c->histogram && r->histogram->n_bounds == c->histogram->n_bounds) {
      for (size_t i = 0; i <= r->histogram->n_bounds; i++) r->histogram->counts[i] += c->histogram->counts[i];
      r->histogram->count += c->histogram->count;
      r->histogram->sum = r->histogram->sum + c->histogram->sum;
    }
    cell_free(c);
    return;
  }
  c->next = f->retired;
  f->retired = c;
}

void metrics_release(struct metrics *m, struct weir_cell *c) {
  if (!c) return;
  pthread_mutex_lock(&m->lock);
  struct metric_family *f = c->family;
  struct weir_cell **at = &f->cells;
  while (*at && *at != c) at = &(*at)->next;
  WEIR_ASSERT(*at == c);
  *at = c->next;
  c->next = NULL;
  if (f->type == METRIC_GAUGE) cell_free(c);
  else retire(f, c);
  pthread_mutex_unlock(&m->lock);
}

void metric_observe(struct weir_cell *c, double v) {
  struct metric_histogram *h = c->histogram;
  size_t i = 0;
  while (i < h->n_bounds && v > h->bounds[i]) i++;
  atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
  double old = atomic_load_explicit(&h->sum, memory_order_relaxed);
  atomic_store_explicit(&h->sum, old + v, memory_order_relaxed); /* one writer per cell */
}

void metrics_on_scrape(struct metrics *m, weir_fn_f *fn, void *arg) {
  struct scrape_hook *h = calloc(1, sizeof *h);
  WEIR_ASSERT(h != NULL);
  h->fn = fn;
  h->arg = arg;
  pthread_mutex_lock(&m->lock);
  h->next = m->hooks;
  m->hooks = h;
  pthread_mutex_unlock(&m->lock);
}

const char *metrics_escape(const char *value, char *buf, size_t cap) {
  size_t n = 0;
  for (; *value && n + 3 < cap; value++) {
    if (*value == '\\' || *value == '"') buf[n++] = '\\';
    if (*value == '\n') {
      buf[n++] = '\\';
      buf[n++] = 'n';
    } else {
      buf[n++] = *value;
    }
  }
  buf[n] = 0;
  return buf;
}

/* --- rendering: text format 0.0.4 --------------------------------------------------------------------- */

static void put_number(FILE *out, double v) {
  if (v > -1e15 && v < 1e15 && v == (double)(int64_t)v) fprintf(out, "%" PRId64 "\n", (int64_t)v);
  else fprintf(out, "%.17g\n", v);
}

static void put_series(FILE *out, const char *name, size_t name_n, const char *suffix, const char *labels, const char *le) {
  fprintf(out, "%.*s%s", (int)name_n, name, suffix);
  if (*labels || le) fprintf(out, "{%s%s%s%s%s}", labels, *labels && le ? "," : "", le ? "le=\"" : "", le ? le : "", le ? "\"" : "");
  fputc(' ', out);
}

static const struct weir_cell *retired_of(const struct metric_family *f, const char *labels) {
  for (const struct weir_cell *r = f->retired; r; r = r->next)
    if (!strcmp(r->labels, labels)) return r;
  return NULL;
}

static void put_histogram(FILE *out, const struct metric_family *f, size_t name_n, const struct weir_cell *first, const struct weir_cell *end) {
  const struct metric_histogram *shape = first->histogram;
  const struct weir_cell *r = retired_of(f, first->labels);
  uint64_t running = 0;
  double sum = r && r != first ? r->histogram->sum : 0;
  for (const struct weir_cell *c = first; c != end; c = c->next) sum += c->histogram->sum;
  for (size_t i = 0; i <= shape->n_bounds; i++) {
    char le[40] = "+Inf";
    if (i < shape->n_bounds) snprintf(le, sizeof le, "%g", shape->bounds[i]);
    for (const struct weir_cell *c = first; c != end; c = c->next) running += c->histogram->counts[i];
    if (r && r != first && i <= r->histogram->n_bounds) running += r->histogram->counts[i];
    put_series(out, f->name, name_n, "_bucket", first->labels, le);
    fprintf(out, "%" PRIu64 "\n", running);
  }
  put_series(out, f->name, name_n, "_sum", first->labels, NULL);
  put_number(out, sum);
  put_series(out, f->name, name_n, "_count", first->labels, NULL);
  fprintf(out, "%" PRIu64 "\n", running);
}

/* All cells first..end carry the same labels. */
static void put_sum(FILE *out, const struct metric_family *f, size_t name_n, const struct weir_cell *first, const struct weir_cell *end) {
  if (f->type == METRIC_HISTOGRAM) {
    put_histogram(out, f, name_n, first, end);
    return;
  }
  const struct weir_cell *r = retired_of(f, first->labels);
  double v = r && r != first ? (double)r->value * r->scale : 0;
  for (const struct weir_cell *c = first; c != end; c = c->next) v += (double)c->value * c->scale;
  put_series(out, f->name, name_n, "", first->labels, NULL);
  put_number(out, v);
}

static const char *const type_names[] = { "", "counter", "gauge", "histogram" };

static void put_family(FILE *out, const struct metric_family *f, int legacy) {
  size_t n = strlen(f->name);
  if (legacy && n > 6 && strcmp(f->name + n - 6, "_total") == 0) n -= 6;
  fprintf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)n, f->name, f->help, (int)n, f->name, type_names[f->type]);
  for (const struct weir_cell *c = f->cells, *end; c; c = end) {
    for (end = c->next; end && strcmp(end->labels, c->labels) == 0;) end = end->next;
    put_sum(out, f, n, c, end);
  }
  for (const struct weir_cell *r = f->retired; r; r = r->next) {
    const struct weir_cell *live = f->cells;
    while (live && strcmp(live->labels, r->labels) != 0) live = live->next;
    if (!live) put_sum(out, f, n, r, r->next);
  }
}

char *metrics_render(struct metrics *m, size_t *ret_n, int legacy) {
  pthread_mutex_lock(&m->lock);
  struct scrape_hook *hooks = m->hooks;
  pthread_mutex_unlock(&m->lock);
  for (struct scrape_hook *h = hooks; h; h = h->next) h->fn(h->arg);
  char *page = NULL;
  FILE *out = open_memstream(&page, ret_n);
  WEIR_ASSERT(out != NULL);
  pthread_mutex_lock(&m->lock);
  for (const struct metric_family *f = m->families; f; f = f->next)
    if (f->cells || f->retired) put_family(out, f, legacy);
  pthread_mutex_unlock(&m->lock);
  fclose(out);
  return page;
}
