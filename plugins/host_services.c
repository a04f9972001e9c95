#include "plugins/host_services.h"

#include <stdlib.h>
#include <string.h>

#include <weir/expr.h>
#include <weir/grpc.h>
#include <weir/health.h>
#include <weir/http.h>
#include <weir/memory.h>
#include <weir/metrics.h>
#include <weir/otlp.h>
#include <weir/regex.h>
#include <weir/timer.h>

#include "core/assert.h"
#include "core/compress.h"
#include "core/expr.h"
#include "core/http_client.h"
#include "core/http_server.h"
#include "core/otlp_json.h"
#include "core/regex.h"
#include "plugins/grpc_engine.h"
#include "plugins/host.h"

/* --- weir.http/1 --------------------------------------------------------------------------------------------- */

static int http_listen_stage(struct weir_stage *s, const struct weir_http_server_config *cfg, struct weir_http_server **ret, struct weir_error *err) {
  return http_listen(s->loop, cfg, ret, err);
}

static int http_check_stage(struct weir_stage *s, const struct weir_http_server_config *cfg, struct weir_error *err) {
  (void)s;
  return http_listen_check(cfg, err);
}

static int http_open_stage(struct weir_stage *s, const struct weir_http_client_config *cfg, struct weir_http_client **ret, struct weir_error *err) {
  return http_client_open(s->loop, cfg, ret, err);
}

static struct weir_body *body_new_stage(struct weir_stage *s, size_t cap) { return body_new(s->loop->pool, cap); }

static int inflate_stage(struct weir_stage *s, struct weir_str encoding, const void *p, size_t n, uint64_t max_bytes, struct weir_body **ret,
  struct weir_error *err) {
  return compress_inflate(s->loop->pool, encoding, p, n, max_bytes, 0, ret, err);
}

static int deflate_stage(struct weir_stage *s, const char *encoding, int level, const struct weir_iov *iov, size_t n, struct weir_body **ret,
  struct weir_error *err) {
  return compress_deflate(s->loop->pool, encoding, level, iov, n, ret, err);
}

/* A receiver without this protocol drains NULL: it hears so in a later step all the same. */
struct late {
  struct defer step;
  weir_fn_f *fn;
  void *arg;
};

static void late_run(void *arg) {
  struct late late = *(struct late *)arg;
  free(arg);
  late.fn(late.arg);
}

static void late_call(weir_fn_f *fn, void *arg) {
  struct late *late = malloc(sizeof *late);
  WEIR_ASSERT(late != NULL && loop_current() != NULL);
  *late = (struct late){ { .fn = late_run, .arg = late }, fn, arg };
  loop_defer(loop_current(), &late->step);
}

static void http_drain(struct weir_http_server *h, weir_fn_f *drained, void *arg) {
  if (h) http_server_drain(h, drained, arg);
  else late_call(drained, arg);
}

static const struct weir_http_service http_table = {
  .size = sizeof http_table,
  .listen = http_listen_stage,
  .drain = http_drain,
  .close = http_server_close,
  .reply = http_reply,
  .body_take = http_body_take,
  .client_open = http_open_stage,
  .client_close = http_client_close,
  .call = http_call,
  .body_new = body_new_stage,
  .body_grow = body_grow,
  .body_free = body_free,
  .inflate = inflate_stage,
  .deflate = deflate_stage,
  .listen_check = http_check_stage,
};

/* --- weir.grpc/1: each handle knows its engine ------------------------------------------------------------------- */

static int grpc_listen_stage(struct weir_stage *s, const struct weir_grpc_server_config *cfg, struct weir_grpc_server **ret, struct weir_error *err) {
  const struct grpc_engine *engine;
  const char *name = cfg->size >= offsetof(struct weir_grpc_server_config, engine) + sizeof cfg->engine ? cfg->engine : NULL;
  int r = grpc_engine_find(name, &engine, err);
  return r ? r : engine->listen(s->loop, cfg, ret, err);
}

static int grpc_check_stage(struct weir_stage *s, const struct weir_grpc_server_config *cfg, struct weir_error *err) {
  const struct grpc_engine *engine;
  struct weir_grpc_server_config c = { 0 };
  (void)s;
  memcpy(&c, cfg, cfg->size < sizeof c ? cfg->size : sizeof c);
  int r = grpc_engine_find(c.engine, &engine, err);
  if (!r && c.tls && engine->tls_check) r = engine->tls_check(c.tls, err);
  return r ? r : http_listen_check(&(struct weir_http_server_config){ .size = sizeof(struct weir_http_server_config), .endpoint = c.endpoint, .tls = c.tls }, err);
}

static void grpc_drain(struct weir_grpc_server *g, weir_fn_f *drained, void *arg) {
  if (g) grpc_engine_of(g)->drain(g, drained, arg);
  else late_call(drained, arg);
}

static void grpc_close(struct weir_grpc_server *g) {
  if (g) grpc_engine_of(g)->close(g);
}

static struct weir_body *grpc_body_take(struct weir_grpc_exchange *ex) { return grpc_engine_of(ex)->body_take(ex); }

static void grpc_reply(struct weir_grpc_exchange *ex, const struct weir_grpc_status *status, const char *msg, size_t n) {
  grpc_engine_of(ex)->reply(ex, status, msg, n);
}

static int grpc_open_stage(struct weir_stage *s, const struct weir_grpc_client_config *cfg, struct weir_grpc_client **ret, struct weir_error *err) {
  const struct grpc_engine *engine;
  const char *name = cfg->size >= offsetof(struct weir_grpc_client_config, engine) + sizeof cfg->engine ? cfg->engine : NULL;
  int r = grpc_engine_find(name, &engine, err);
  return r ? r : engine->client_open(s->loop, cfg, ret, err);
}

static void grpc_close_client(struct weir_grpc_client *c) {
  if (c) grpc_engine_of(c)->client_close(c);
}

static void grpc_call_path(struct weir_grpc_client *c, const char *path, const struct weir_iov *msg, size_t n, int64_t deadline_ns,
  weir_grpc_response_f *fn, void *arg) {
  grpc_engine_of(c)->call(c, path, msg, n, deadline_ns, fn, arg);
}

static void grpc_call_path_with(struct weir_grpc_client *c, const char *path, const struct weir_http_header *metadata, size_t n_metadata,
  const struct weir_iov *msg, size_t n, int64_t deadline_ns, weir_grpc_response_f *fn, void *arg) {
  grpc_engine_of(c)->call_with(c, path, metadata, n_metadata, msg, n, deadline_ns, fn, arg);
}

static const struct weir_grpc_service grpc_table = {
  .size = sizeof grpc_table,
  .listen = grpc_listen_stage,
  .drain = grpc_drain,
  .close = grpc_close,
  .body_take = grpc_body_take,
  .reply = grpc_reply,
  .client_open = grpc_open_stage,
  .client_close = grpc_close_client,
  .call = grpc_call_path,
  .call_with = grpc_call_path_with,
  .listen_check = grpc_check_stage,
};

/* --- weir.otlp/1 -------------------------------------------------------------------------------------------------- */

static int otlp_decode_stage(struct weir_stage *s, uint32_t signal, struct weir_body *body, const char *p, size_t n, int validation,
  struct weir_batch **ret, struct weir_error *err) {
  struct part *part = NULL;
  int decode = s->downstream_need >= WEIR_NEED_RECORDS;
  int r = part_from_otlp(s->loop->pool, signal, body, p, n, validation, decode, &s->limits, &part, err);
  if (r) return r;
  *ret = batch_of_part(s->loop, part);
  return 0;
}

/* What the JSON reader writes has passed every check, so it is only counted here. */
static int otlp_decode_json_stage(struct weir_stage *s, uint32_t signal, struct weir_body *body, const char *p, size_t n, struct weir_batch **ret,
  struct weir_error *err) {
  struct part *part = NULL;
  struct weir_body *message;
  struct otlp_counts counts;
  int r = otlp_json_decode(s->loop->pool, signal, p, n, &s->limits, &message, &counts, err);
  body_free(body);
  if (r) return r;
  int decode = s->downstream_need >= WEIR_NEED_RECORDS;
  r = part_from_otlp(s->loop->pool, signal, message, message->p, message->n, WEIR_VALIDATE_ENVELOPE, decode, &s->limits, &part, err);
  if (r) return r;
  part->flags |= PART_CHECKED;
  *ret = batch_of_part(s->loop, part);
  return 0;
}

static int otlp_encode_json_stage(struct weir_stage *s, struct weir_batch *batch, struct weir_body **ret, struct weir_error *err) {
  const struct weir_data *tree = batch_read(batch, err);
  return tree ? otlp_json_encode(s->loop->pool, tree, ret, err) : err->code;
}

static const struct weir_otlp_service otlp_table = {
  .size = sizeof otlp_table,
  .decode = otlp_decode_stage,
  .encode = batch_encode,
  .response_make = otlp_response_make,
  .response_parse = otlp_response_parse,
  .status_make = rpc_status_make,
  .status_parse = rpc_status_parse,
  .decode_json = otlp_decode_json_stage,
  .encode_json = otlp_encode_json_stage,
  .response_json_make = otlp_json_response_make,
  .response_json_parse = otlp_json_response_parse,
  .status_json_make = otlp_json_status_make,
  .status_json_parse = otlp_json_status_parse,
};

/* --- weir.timer/1 -------------------------------------------------------------------------------------------------- */

struct weir_timer {
  struct timer timer;
  struct loop *loop;
};

static struct weir_timer *timer_new_stage(struct weir_stage *s, weir_fn_f *fn, void *arg) {
  struct weir_timer *t = calloc(1, sizeof *t);
  WEIR_ASSERT(t != NULL);
  t->loop = s->loop;
  t->timer.fn = fn;
  t->timer.arg = arg;
  return t;
}

static void timer_set_stage(struct weir_timer *t, int64_t delay_ns) { timer_set(t->loop, &t->timer, delay_ns); }
static void timer_cancel_stage(struct weir_timer *t) { timer_cancel(t->loop, &t->timer); }

static void timer_free_stage(struct weir_timer *t) {
  if (!t) return;
  timer_cancel(t->loop, &t->timer);
  free(t);
}

static const struct weir_timer_service timer_table = { sizeof timer_table, 0, timer_new_stage, timer_set_stage, timer_cancel_stage, timer_free_stage };

/* --- weir.metrics/1: cells are released when the stage closes --------------------------------------------------------- */

static struct weir_cell *add_cell(struct weir_stage *s, int type, const char *name, const char *labels, const char *help, const double *bounds, size_t n) {
  if (s->n_cells == s->cap_cells) {
    s->cap_cells = s->cap_cells ? s->cap_cells * 2 : 8;
    s->cells = realloc(s->cells, s->cap_cells * sizeof *s->cells);
    WEIR_ASSERT(s->cells != NULL);
  }
  return s->cells[s->n_cells++] = metrics_cell(s->loop->env->metrics, type, name, labels, help, bounds, n);
}

static struct weir_cell *counter_stage(struct weir_stage *s, const char *name, const char *labels, const char *help) {
  return add_cell(s, METRIC_COUNTER, name, labels, help, NULL, 0);
}

static struct weir_cell *gauge_stage(struct weir_stage *s, const char *name, const char *labels, const char *help) {
  return add_cell(s, METRIC_GAUGE, name, labels, help, NULL, 0);
}

static struct weir_cell *histogram_stage(struct weir_stage *s, const char *name, const char *labels, const char *help, const double *bounds, size_t n) {
  return add_cell(s, METRIC_HISTOGRAM, name, labels, help, bounds, n);
}

static void cell_add(struct weir_cell *c, int64_t delta) { metric_add(c, delta); }
static void cell_observe(struct weir_cell *c, double v) { metric_observe(c, v); }

static const struct weir_metrics_service metrics_table = { sizeof metrics_table, 0, counter_stage, gauge_stage, histogram_stage, cell_add, cell_observe };

/* --- weir.health/1 ------------------------------------------------------------------------------------------------------ */

static const struct weir_health_service health_table = { sizeof health_table, 0, host_health, host_ready_since };

/* --- weir.memory/1 ----------------------------------------------------------------------------------------------------- */

static uint64_t memory_used(struct weir_stage *s) { return atomic_load_explicit(&s->loop->env->budget.used, memory_order_relaxed); }

static int memory_take(struct weir_stage *s, uint64_t n) { return budget_take(&s->loop->env->budget, n) ? 0 : WEIR_E_NOMEM; }
static void memory_give(struct weir_stage *s, uint64_t n) { budget_give(&s->loop->env->budget, n); }
static uint64_t memory_limit(struct weir_stage *s) { return s->loop->env->budget.limit; }

static const struct weir_memory_service memory_table = { sizeof memory_table, 0, memory_used, budget_total, memory_take, memory_give, memory_limit };

/* --- weir.expr/1, weir.regex/1 --------------------------------------------------------------------------------------------- */

static const struct weir_expr_service expr_table = { sizeof expr_table, 0, expr_compile, expr_eval, expr_free };
static const struct weir_regex_service regex_table = { sizeof regex_table, 0, regex_compile, regex_match, regex_free };

const void *host_service(struct weir_stage *s, const char *id) {
  static const struct {
    const char *id;
    const void *table;
  } services[] = { { WEIR_HTTP_SERVICE, &http_table }, { WEIR_GRPC_SERVICE, &grpc_table }, { WEIR_OTLP_SERVICE, &otlp_table },
    { WEIR_TIMER_SERVICE, &timer_table }, { WEIR_METRICS_SERVICE, &metrics_table }, { WEIR_HEALTH_SERVICE, &health_table },
    { WEIR_MEMORY_SERVICE, &memory_table }, { WEIR_EXPR_SERVICE, &expr_table }, { WEIR_REGEX_SERVICE, &regex_table } };
  CHECK_MAGIC(s, STAGE_MAGIC);
  for (size_t i = 0; i < sizeof services / sizeof *services; i++)
    if (!strcmp(services[i].id, id)) return services[i].table;
  return NULL;
}
