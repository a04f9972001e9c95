/* The metrics page: what it serves, what it refuses, and a port that is taken. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/listener.h"
#include "core/log.h"
#include "core/metrics.h"
#include "pipelines/question.h"
#include "pipelines/telemetry.h"

static struct env env;
static struct loop loop;
static struct telemetry *telemetry;
static struct config_telemetry config = { .metrics_enabled = 1, .metrics_host = "127.0.0.1", .metrics_port = 0 };

static int setup(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  log_setup(&(struct log_config){ .level = WEIR_LOG_ERROR, .fd = 2 });
  env = (struct env){ .metrics = metrics_new(), .listeners = listeners_new() };
  budget_init(&env.budget, 1 << 20);
  return loop_init(&loop, UINT32_MAX, &env, &err) || telemetry_start(&loop, &config, 2, &telemetry, &err) || loop_start_thread(&loop, &err);
}

static void stop(void *t) { telemetry_stop(t); }

static int teardown(void **state) {
  (void)state;
  loop_call(&loop, stop, telemetry);
  loop_stop(&loop);
  loop_join(&loop);
  loop_done(&loop);
  listeners_free(env.listeners);
  metrics_free(env.metrics);
  return 0;
}

/* The whole answer to one request; the server closes. */
static const char *ask(const char *request) {
  static char page[65536];
  struct sockaddr_in to = {
    .sin_family = AF_INET, .sin_port = htons((uint16_t)telemetry_port(telemetry)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
  };
  struct timeval limit = { 5, 0 };
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  char text[300];
  int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", request);
  assert_int_equal(write(fd, text, (size_t)n), n);
  size_t got = 0;
  ssize_t r;
  while ((r = read(fd, page + got, sizeof page - 1 - got)) > 0) got += (size_t)r;
  assert_int_equal(r, 0);
  close(fd);
  page[got] = 0;
  return page;
}

static void the_page_shows_the_process(void **state) {
  (void)state;
  const char *page = ask("GET /metrics");
  assert_non_null(strstr(page, "HTTP/1.1 200"));
  assert_non_null(strstr(page, "text/plain; version=0.0.4"));
  assert_non_null(strstr(page, "\notelcol_process_uptime_seconds_total "));
  assert_non_null(strstr(page, "\notelcol_process_cpu_seconds_total "));
  assert_non_null(strstr(page, "\nweir_budget_limit_bytes 1048576\n"));
  assert_non_null(strstr(page, "lanes=\"2\"} 1\n"));
  const char *rss = strstr(page, "\notelcol_process_memory_rss_bytes ");
  assert_non_null(rss);
  assert_true(strtoll(strchr(rss, ' '), NULL, 10) > 100000);
}

static void other_paths_and_methods_are_told_where_to_go(void **state) {
  (void)state;
  assert_non_null(strstr(ask("GET /"), "HTTP/1.1 404"));
  assert_non_null(strstr(ask("GET /"), "/metrics"));
  assert_non_null(strstr(ask("DELETE /metrics"), "HTTP/1.1 405"));
}

static char asked[QUESTION_MAX_N];

/* On the loop's thread, as the graph's answer would come. */
static void answer_at_once(void *arg, const char *question, ask_done_f *done, void *done_arg) {
  struct weir_str line = { .p = "{\"time\":\"1\"}", .n = 12 };
  (void)arg;
  snprintf(asked, sizeof asked, "%s", question);
  int known = strstr(question, "policy=unknown") == NULL;
  struct ask_result r = { .code = known ? ASK_FOUND : ASK_NOTHING, .question = question, .why = known ? "" : "there is no such decision", .hint = "", .lines = &line, .n_lines = (size_t)known };
  done(done_arg, &r);
}

static void turn_on(void *t) { telemetry_on_question(t, answer_at_once, NULL); }

static void decisions_are_json(void **state) {
  (void)state;
  assert_non_null(strstr(ask("GET /decisions"), "HTTP/1.1 503"));
  loop_call(&loop, turn_on, telemetry);
  const char *page = ask("GET /why?trace_id=4BF92F3577B34DA6A3CE929D0E0E4736&stage=a%20b");
  assert_non_null(strstr(page, "HTTP/1.1 200"));
  assert_non_null(strstr(page, "content-type: application/json"));
  assert_non_null(strstr(page, "{\"decisions\":[\n{\"time\":\"1\"}\n]}\n"));
  assert_string_equal(asked, "why trace_id=4bf92f3577b34da6a3ce929d0e0e4736 stage=a%20b format=json");
  assert_non_null(strstr(ask("GET /decisions?outcome=dropped&policy=a%26b&limit=5"), "HTTP/1.1 200"));
  assert_string_equal(asked, "decisions outcome=dropped limit=5 policy=a%26b format=json");
  page = ask("GET /decisions?policy=unknown");
  assert_non_null(strstr(page, "HTTP/1.1 404"));
  assert_non_null(strstr(page, "{\"error\":\"there is no such decision\"}"));
}

static void bad_questions_are_400(void **state) {
  (void)state;
  static const char *const bad[][2] = { { "/why", "which trace?" }, { "/why?trace_id=", "this has 0" }, { "/why?trace_id=4bf9", "this has 4" }, { "/why?trace_id=%22%0a", "character 1 is none" },
    { "/decisions?since=x", "is no duration" }, { "/decisions?limit=-1", "is no number" }, { "/decisions?outcome=lost", "neither" }, { "/decisions?policy=a%00b", "or no text" } };
  loop_call(&loop, turn_on, telemetry);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char request[100];
    snprintf(request, sizeof request, "GET %s", bad[i][0]);
    const char *page = ask(request);
    if (!strstr(page, "HTTP/1.1 400") || !strstr(page, "{\"error\":\"") || !strstr(page, bad[i][1])) fail_msg("%s: %s", bad[i][0], page);
  }
  char longest[260] = "GET /decisions?policy=";
  memset(longest + strlen(longest), '%', 1);
  for (size_t n = strlen(longest) - 1; n + 3 < sizeof longest; n += 3) memcpy(longest + n, "%20", 4);
  assert_non_null(strstr(ask(longest), "HTTP/1.1 200"));
  assert_non_null(strstr(ask("POST /decisions"), "HTTP/1.1 405"));
  assert_non_null(strstr(ask("GET /decisions/"), "/why?trace_id=... and /decisions"));
}

static void a_taken_port_is_one_sentence_and_a_hint(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct telemetry *second = NULL;
  struct env other_env = { .metrics = metrics_new(), .listeners = listeners_new() };
  struct loop other;
  struct config_telemetry same = config;
  same.metrics_port = telemetry_port(telemetry);
  assert_int_equal(loop_init(&other, UINT32_MAX, &other_env, &err), 0);
  assert_true(telemetry_start(&other, &same, 1, &second, &err) < 0);
  char port[16];
  snprintf(port, sizeof port, ":%d", same.metrics_port);
  assert_non_null(strstr(err.msg, port));
  assert_non_null(strstr(err.hint, "service::telemetry::metrics"));
  telemetry_stop(second);
  loop_done(&other);
  listeners_free(other_env.listeners);
  metrics_free(other_env.metrics);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(the_page_shows_the_process), T(other_paths_and_methods_are_told_where_to_go), T(decisions_are_json), T(bad_questions_are_400),
    T(a_taken_port_is_one_sentence_and_a_hint) };
  return cmocka_run_group_tests_name("telemetry", tests, NULL, NULL);
}
