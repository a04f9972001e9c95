#include "pipelines/telemetry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/http_server.h"
#include "core/log.h"
#include "core/metrics.h"
#include "pipelines/question.h"
#include "plugins/kit/query.h"

struct telemetry {
  struct loop *loop;
  struct weir_http_server *server;
  int legacy_names;
  int64_t began_ns;
  telemetry_ask_f *ask;
  void *ask_arg;
  struct weir_cell *uptime, *cpu, *rss, *budget_used, *budget_limit, *budget_refused, *info;
};

/* --- the process ------------------------------------------------------------------------------------------ */

static int64_t rss_bytes(void) {
  long total = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "re");
  if (!f) return 0;
  if (fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
  fclose(f);
  return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

static int64_t cpu_ns(void) {
  struct timespec t;
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t)) return 0;
  return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void on_scrape(void *arg) {
  struct telemetry *t = arg;
  struct budget *b = &t->loop->env->budget;
  metric_put(t->uptime, clock_mono_ns() - t->began_ns);
  metric_put(t->cpu, cpu_ns());
  metric_put(t->rss, rss_bytes());
  metric_put(t->budget_used, (int64_t)atomic_load_explicit(&b->used, memory_order_relaxed));
  metric_put(t->budget_limit, (int64_t)b->limit);
  metric_put(t->budget_refused, (int64_t)atomic_load_explicit(&b->refused, memory_order_relaxed));
}

static void register_process(struct telemetry *t, uint32_t lanes) {
  struct metrics *m = t->loop->env->metrics;
  char labels[128];
  t->uptime = metrics_cell(m, METRIC_COUNTER, "otelcol_process_uptime_seconds_total", NULL, "Seconds since the process started.", NULL, 0);
  t->cpu = metrics_cell(m, METRIC_COUNTER, "otelcol_process_cpu_seconds_total", NULL, "CPU time, user and system.", NULL, 0);
  t->uptime->scale = t->cpu->scale = 1e-9;
  t->rss = metrics_cell(m, METRIC_GAUGE, "otelcol_process_memory_rss_bytes", NULL, "Resident memory.", NULL, 0);
  t->budget_used = metrics_cell(m, METRIC_GAUGE, "weir_budget_used_bytes", NULL, "Bytes that bodies, trees and queues pin.", NULL, 0);
  t->budget_limit =
    metrics_cell(m, METRIC_GAUGE, "weir_budget_limit_bytes", NULL, "The byte budget: over it requests are refused. 0 = none.", NULL, 0);
  t->budget_refused =
    metrics_cell(m, METRIC_COUNTER, "weir_budget_refused_total", NULL, "Times that the byte budget had no room.", NULL, 0);
  snprintf(labels, sizeof labels, "version=\"%s\",lanes=\"%u\"", WEIR_VERSION, lanes);
  t->info = metrics_cell(m, METRIC_GAUGE, "weir_build_info", labels, "Always 1; the labels tell.", NULL, 0);
  metric_put(t->info, 1);
  metrics_on_scrape(m, on_scrape, t);
}

/* --- the page ----------------------------------------------------------------------------------------------- */

static int is(struct weir_str s, const char *text) { return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0; }

static void reply_text(
  struct weir_http_exchange *x, uint32_t status, const char *type, const char *body, size_t n, weir_fn_f *release, void *arg) {
  struct weir_http_header header = { weir_str_of("content-type"), weir_str_of(type) };
  struct weir_iov iov = { body, n };
  struct weir_http_reply r = {
    .status = status, .headers = &header, .n_headers = 1, .body = &iov, .n_body = 1, .release = release, .release_arg = arg
  };
  http_reply(x, &r);
}

#define JSON_TYPE "application/json; charset=utf-8"

static void on_answer(void *arg, const struct ask_result *result) {
  static const uint32_t status[] = { [ASK_FOUND] = 200, [ASK_NOTHING] = 404, [ASK_NOBODY] = 404, [ASK_FAILED] = 503 };
  size_t n = 0;
  char *text = ask_json(result, &n);
  reply_text(arg, status[result->code], JSON_TYPE, text, n, free, text);
}

static void reply_error(struct weir_http_exchange *x, uint32_t status, int code, const char *why, const char *hint) {
  struct ask_result r = { .code = code, .question = "", .why = why, .hint = hint };
  size_t n = 0;
  char *text = ask_json(&r, &n);
  reply_text(x, status, JSON_TYPE, text, n, free, text);
}

/* The words of the URL. 0, or -1 when one is too long, or has a 0 in it. */
static int read_words(struct weir_str query, struct question *q, char words[6][QUESTION_MAX_N]) {
  static const char *const names[6] = { "trace_id", "outcome", "policy", "since", "limit", "stage" };
  const char **to[6] = { &q->trace_id, &q->outcome, &q->policy, &q->since, &q->limit, &q->stage };
  for (size_t i = 0; i < 6; i++) {
    struct weir_str value;
    int found = kit_query_get(query, names[i], words[i], QUESTION_MAX_N - 1, &value);
    if (found < 0 || (found && memchr(value.p, 0, value.n))) return -1;
    if (!found) continue;
    words[i][value.n] = 0;
    *to[i] = words[i];
  }
  return 0;
}

static void on_question(struct telemetry *t, struct weir_http_exchange *x, const struct weir_http_request *q, int why) {
  char words[6][QUESTION_MAX_N], line[QUESTION_MAX_N];
  struct question question = { .json = 1 };
  struct weir_error err = { 0 };
  if (read_words(q->query, &question, words)) {
    reply_error(x, 400, ASK_FAILED, "a word of the question is too long, or no text", "");
    return;
  }
  if (why && !question.trace_id) {
    reply_error(x, 400, ASK_FAILED, "which trace?", "ask for /why?trace_id=4bf92f3577b34da6a3ce929d0e0e4736");
    return;
  }
  if (!why) question.trace_id = NULL;
  if (question_line(&question, line, &err)) reply_error(x, 400, ASK_FAILED, err.msg, err.hint);
  else if (!t->ask) reply_error(x, 503, ASK_FAILED, "weir is starting or shutting down", "");
  else t->ask(t->ask_arg, line, on_answer, x);
}

static void on_request(void *self, struct weir_http_exchange *x, const struct weir_http_request *q) {
  struct telemetry *t = self;
  static const char elsewhere[] = "404: weir's own metrics are at /metrics, decisions of tail sampling at /why?trace_id=... and /decisions\n", method[] = "405: ask with GET\n";
  int why = is(q->path, "/why"), decisions = is(q->path, "/decisions");
  if (!is(q->path, "/metrics") && !why && !decisions) {
    reply_text(x, 404, "text/plain; charset=utf-8", elsewhere, sizeof elsewhere - 1, NULL, NULL);
  } else if (!is(q->method, "GET") && !is(q->method, "HEAD")) {
    reply_text(x, 405, "text/plain; charset=utf-8", method, sizeof method - 1, NULL, NULL);
  } else if (why || decisions) {
    on_question(t, x, q, why);
  } else {
    size_t n = 0;
    char *page = metrics_render(t->loop->env->metrics, &n, t->legacy_names);
    reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", page, n, free, page);
  }
}

static int is_bare_v6(const char *host) { return strchr(host, ':') && host[0] != '['; }

void telemetry_endpoint(const struct config_telemetry *c, char *buf, size_t cap) {
  snprintf(buf, cap, is_bare_v6(c->metrics_host) ? "[%s]:%d" : "%s:%d", c->metrics_host, c->metrics_port);
}

static int listen_on(struct telemetry *t, const struct config_telemetry *c, struct weir_error *err) {
  char endpoint[300];
  telemetry_endpoint(c, endpoint, sizeof endpoint);
  struct weir_http_server_config s = { .size = sizeof s,
    .owner = "service::telemetry::metrics",
    .endpoint = endpoint,
    .max_body_bytes = 4096,
    .max_connections = 100,
    .idle_timeout_ns = 120 * NS_PER_S,
    .on_request = on_request,
    .self = t };
  int r = http_listen(t->loop, &s, &t->server, err);
  if (!r) log_info("weir", is_bare_v6(c->metrics_host) ? "own metrics on http://[%s]:%d/metrics" : "own metrics on http://%s:%d/metrics", c->metrics_host, telemetry_port(t));
  if (r) weir_hint(err, "it is for own metrics: set another port in service::telemetry::metrics, or `level: none`");
  return r;
}

int telemetry_start(
  struct loop *control, const struct config_telemetry *c, uint32_t lanes, struct telemetry **ret, struct weir_error *err) {
  struct telemetry *t = calloc(1, sizeof *t);
  WEIR_ASSERT(t != NULL);
  t->loop = control;
  t->legacy_names = c->legacy_names;
  t->began_ns = clock_mono_ns();
  register_process(t, lanes);
  *ret = t;
  return c->metrics_enabled ? listen_on(t, c, err) : 0;
}

int telemetry_port(const struct telemetry *t) { return t && t->server ? http_server_port(t->server) : 0; }

void telemetry_on_question(struct telemetry *t, telemetry_ask_f *fn, void *arg) {
  if (!t) return;
  t->ask = fn;
  t->ask_arg = arg;
}

void telemetry_stop(struct telemetry *t) {
  if (!t) return;
  http_server_close(t->server);
  free(t); /* its cells and the scrape hook go with the process's metrics, which are rendered no more */
}
