/* A page in pieces while its series and families come and go between them. The harness makes all pieces of a page in one step, as its clock stands still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exporters/prometheus/prometheus.h"

#define N 2000 /* series of 1 KB: eight pieces */

static struct weir_http_server_config server;
static struct exporter e;
static struct prometheus_config config;
static struct weir_host host;
static struct series *series[N];
static char *page;
static size_t n_page;
static int n_bodies;

static const char *stage_id(const struct weir_stage *s) {
  (void)s;
  return "prometheus";
}
static int64_t now(void) { return 1000; }
static void say(struct weir_stage *s, int level, const char *fmt, ...) {
  (void)s;
  (void)level;
  (void)fmt;
}
static int listen_to(struct weir_stage *s, const struct weir_http_server_config *c, struct weir_http_server **ret, struct weir_error *err) {
  (void)s;
  (void)ret;
  (void)err;
  server = *c;
  return 0;
}
static struct weir_body *body_new(struct weir_stage *s, size_t cap) {
  (void)s;
  struct weir_body *b = malloc(sizeof *b + cap);
  *b = (struct weir_body){ (char *)(b + 1), 0, cap };
  n_bodies++;
  return b;
}
static int body_grow(struct weir_body **b, size_t cap) {
  struct weir_body *grown = body_new(NULL, cap);
  memcpy(grown->p, (*b)->p, (*b)->n);
  grown->n = (*b)->n;
  free(*b);
  *b = grown;
  n_bodies--;
  return 0;
}
static void body_free(struct weir_body *b) {
  free(b);
  n_bodies--;
}
static void reply(struct weir_http_exchange *x, const struct weir_http_reply *r) {
  (void)x;
  assert_int_equal(r->status, 200);
  page = calloc(1, 8u << 20);
  for (size_t i = 0; i < r->n_body; i++) {
    memcpy(page + n_page, r->body[i].p, r->body[i].n);
    n_page += r->body[i].n;
  }
  r->release(r->release_arg);
}
static void timer_set(struct weir_timer *t, int64_t ns) {
  (void)t;
  (void)ns;
}
static void add(struct weir_cell *c, int64_t n) {
  (void)c;
  (void)n;
}

static const struct weir_http_service http = { .size = sizeof http, .listen = listen_to, .reply = reply, .body_new = body_new, .body_grow = body_grow, .body_free = body_free };
static const struct weir_timer_service timers = { .size = sizeof timers, .set = timer_set };
static const struct weir_metrics_service metrics = { .size = sizeof metrics, .add = add };

static struct series *put(const char *name, int i) {
  static char text[1100];
  struct prom_family f = { .name = weir_str_of(name), .type = PROM_GAUGE };
  memset(text, 'x', 1000);
  struct prom_label l = { weir_str_of("i"), { text, (uint32_t)(1000 + snprintf(text + 1000, 20, "%d", i)), 0 } };
  uint64_t hash;
  struct family *family = table_family(&e.table, &f);
  assert_null(table_find(&e.table, family, &l, 1, &hash));
  return table_add(&e.table, family, hash, &l, 1, 1000);
}

static void end(struct series *s) {
  scrape_leave(&e, s);
  table_remove(&e.table, s);
}

static int set_up(void **state) {
  struct weir_error err;
  (void)state;
  host = (struct weir_host){ .size = sizeof host, .log = say, .stage_id = stage_id, .now_mono_ns = now };
  config = (struct prometheus_config){ .endpoint = "", .path = "/metrics", .metric_expiration = 100, .max_concurrent_scrapes = 2, .keep_alives_enabled = 1 };
  e = (struct exporter){ .host = &host, .cfg = &config, .http = &http, .metrics = &metrics, .timers = &timers };
  page = NULL;
  n_page = 0;
  n_bodies = 0;
  if (table_init(&e.table, 42)) return -1;
  for (int i = 0; i < N; i++) series[i] = put(i < N / 2 ? "a" : "b", i);
  put("zz", 0);
  return scrape_listen(&e, &err);
}

static int tear_down(void **state) {
  (void)state;
  scrape_free_all(&e);
  table_done(&e.table);
  free(page);
  return n_bodies;
}

static void begin(void) {
  const struct weir_http_request req = { .size = sizeof req };
  server.on_request(server.self, NULL, &req);
  assert_non_null(e.scrapes);
}

static void finish(void) {
  for (int i = 0; e.scrapes; i++) {
    assert_true(i < 100);
    scrape_step(&e);
  }
}

static int lines(const char *begins) {
  int n = 0;
  for (const char *at = page; at; at = strchr(at, '\n')) {
    at += *at == '\n';
    n += strncmp(at, begins, strlen(begins)) == 0;
  }
  return n;
}

static void the_whole_page(void **state) {
  (void)state;
  begin();
  finish();
  assert_int_equal(lines("a{"), N / 2);
  assert_int_equal(lines("b{"), N / 2);
  assert_int_equal(lines("# TYPE"), 3);
}

/* The one that would come next, the one after it, all of its family. */
static void what_comes_next_ends(void **state) {
  (void)state;
  begin();
  scrape_step(&e);
  for (int i = 0; i < N / 2; i++) end(series[i]);
  scrape_step(&e);
  for (int i = N - 1; i >= N / 2; i--) end(series[i]);
  finish();
  assert_in_range(lines("a{"), 100, 400);
  assert_in_range(lines("b{"), 100, 400);
  assert_int_equal(lines("zz{"), 1);
}

static void everything_ends_before_it_begins(void **state) {
  (void)state;
  begin();
  for (int i = 0; i < N; i++) end(series[i]);
  finish();
  assert_int_equal(lines("# TYPE"), 1);
  assert_int_equal(lines("zz{"), 1);
}

static void others_come(void **state) {
  (void)state;
  begin();
  scrape_step(&e);
  for (int i = N; i < 2 * N; i++) put(i % 2 ? "a" : "new", i);
  finish();
  assert_int_equal(lines("a{"), N);
  assert_int_equal(lines("new{"), 0); /* a family that was not there at first is on the next page */
}

static void two_take_turns(void **state) {
  (void)state;
  begin();
  begin();
  scrape_step(&e);
  scrape_step(&e);
  for (int i = 0; i < N; i += 2) end(series[i]);
  scrape_free_all(&e); /* cut off: nothing is answered, and nothing stays */
  assert_null(page);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(the_whole_page, set_up, tear_down),
    cmocka_unit_test_setup_teardown(what_comes_next_ends, set_up, tear_down),
    cmocka_unit_test_setup_teardown(everything_ends_before_it_begins, set_up, tear_down),
    cmocka_unit_test_setup_teardown(others_come, set_up, tear_down),
    cmocka_unit_test_setup_teardown(two_take_turns, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
