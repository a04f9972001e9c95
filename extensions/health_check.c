/*
 * The health_check extension: whether this process is ready and alive, over HTTP.
 *
 *   extensions:
 *     health_check: {endpoint: 127.0.0.1:13133}
 *
 * `path` (default /) and /ready answer 200 when the process takes data, 503 while it starts, drains or has failed; /live answers 200 as long as it runs, so that a
 * drain is not mistaken for a hang.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/health.h>
#include <weir/http.h>
#include <weir/stage.h>

#include "plugins/kit/tls_config.h"

struct health_config {
  const char *endpoint, *path;
  struct {
    const char *healthy, *unhealthy;
  } response_body;
  const struct tls_settings *tls;
};

static const struct weir_field body_fields[] = {
  { "healthy", WEIR_T_STRING, 0, offsetof(struct health_config, response_body.healthy), NULL, NULL, NULL, NULL, NULL, "The body of a 200 instead of the JSON status.", NULL, 0 },
  { "unhealthy", WEIR_T_STRING, 0, offsetof(struct health_config, response_body.unhealthy), NULL, NULL, NULL, NULL, NULL, "The body of a 503 instead of the JSON status.", NULL, 0 },
  WEIR_FIELD_END,
};

static const struct weir_field fields[] = {
  { "endpoint", WEIR_T_STRING, WEIR_NONEMPTY, offsetof(struct health_config, endpoint), "127.0.0.1:13133", NULL, NULL, NULL, NULL, "The address to listen on.", NULL, 0 },
  { "path", WEIR_T_STRING, WEIR_NONEMPTY, offsetof(struct health_config, path), "/", NULL, NULL, NULL, NULL, "The path that answers for readiness, besides /ready.", NULL, 0 },
  { "response_body", WEIR_T_GROUP, 0, 0, NULL, NULL, NULL, NULL, NULL, "Texts to answer with instead of the JSON status.", body_fields, 0 },
  { "tls", WEIR_T_OPT_GROUP, 0, offsetof(struct health_config, tls), NULL, NULL, NULL, NULL, NULL, "Serve TLS; absent = plaintext.", tls_server_fields, sizeof(struct tls_settings) },
  WEIR_FIELD_END,
};

struct health {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct health_config *cfg;
  const struct weir_http_service *http;
  const struct weir_health_service *health;
  struct weir_http_server *server;
};

static int path_is(const struct weir_http_request *req, const char *path) { return weir_str_eq(req->path, weir_str_of(path)); }

static void status_json(const struct health *h, int state, char *buf, size_t cap) {
  static const char *const texts[] = { "Server starting", "Server available", "Server shutting down", "Server failed" };
  int64_t since = h->health->ready_since_unix_ns();
  time_t s = (time_t)(since / 1000000000);
  struct tm tm;
  char when[40] = "0001-01-01T00:00:00Z";
  if (since) {
    gmtime_r(&s, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
  }
  double up = since && state == WEIR_HEALTH_READY ? (double)(h->host->now_unix_ns() - since) / 1e9 : 0;
  snprintf(buf, cap, "{\"status\":\"%s\",\"upSince\":\"%s\",\"uptime\":\"%.3fs\"}", texts[state], when, up);
}

static void not_allowed(struct health *h, struct weir_http_exchange *ex) {
  struct weir_http_header allow = { weir_str_of("allow"), weir_str_of("GET, HEAD") };
  struct weir_http_reply reply = { .status = 405, .headers = &allow, .n_headers = 1 };
  h->http->reply(ex, &reply);
}

static void on_request(void *self, struct weir_http_exchange *ex, const struct weir_http_request *req) {
  struct health *h = self;
  if (!weir_str_eq(req->method, weir_str_of("GET")) && !weir_str_eq(req->method, weir_str_of("HEAD"))) {
    not_allowed(h, ex);
    return;
  }
  int state = h->health->state(), live = path_is(req, "/live"), ready = state == WEIR_HEALTH_READY;
  char json[256];
  struct weir_http_header type = { weir_str_of("content-type"), weir_str_of("application/json") };
  struct weir_iov body = { json, 0 };
  struct weir_http_reply reply = { .status = 404, .headers = &type, .n_headers = 1, .body = &body, .n_body = 1 };
  if (live || path_is(req, h->cfg->path) || path_is(req, "/ready")) {
    const char *own = ready || live ? h->cfg->response_body.healthy : h->cfg->response_body.unhealthy;
    reply.status = live || ready ? 200 : 503;
    status_json(h, state, json, sizeof json);
    if (own) {
      body.p = own;
      type.value = weir_str_of("text/plain");
    }
  } else {
    snprintf(json, sizeof json, "{\"status\":\"not found\"}");
  }
  body.n = strlen(body.p);
  h->http->reply(ex, &reply);
}

/* How it listens; tls: room for its settings. */
static int server_config(const struct health *h, struct weir_http_server_config *ret, struct weir_tls_config *tls, struct weir_error *err) {
  *ret = (struct weir_http_server_config){ .size = sizeof *ret, .owner = h->host->stage_id(h->stage), .endpoint = h->cfg->endpoint, .max_body_bytes = 4096,
    .max_connections = 256, .read_header_timeout_ns = 10000000000, .idle_timeout_ns = 60000000000, .on_request = on_request };
  if (!h->cfg->tls) return 0;
  ret->tls = tls;
  return tls_settings_fill(h->cfg->tls, ret->owner, tls, err);
}

static int check_server(const struct health *h, struct weir_error *err) {
  struct weir_http_server_config cfg;
  struct weir_tls_config tls;
  int r = server_config(h, &cfg, &tls, err);
  if (!r) r = h->http->listen_check(h->stage, &cfg, err);
  if (r && !err->field[0]) snprintf(err->field, sizeof err->field, "endpoint");
  return r;
}

static int health_open(const struct weir_host *host, struct weir_stage *stage, const void *config, void **ret_self, struct weir_error *err) {
  const struct health_config *cfg = config;
  if (cfg->path[0] != '/') return weir_fail_field(err, "path", "a path begins with /, got `%s`", cfg->path);
  struct health *h = calloc(1, sizeof *h);
  if (!h) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  h->host = host;
  h->stage = stage;
  h->cfg = cfg;
  h->http = host->service(stage, WEIR_HTTP_SERVICE);
  h->health = host->service(stage, WEIR_HEALTH_SERVICE);
  if (!h->http || !h->health) {
    free(h);
    return weir_fail(err, WEIR_E_UNSUPPORTED, "this host lacks a service that health_check needs");
  }
  int r = check_server(h, err);
  if (r) {
    free(h);
    return r;
  }
  *ret_self = h;
  return 0;
}

static int health_start(void *self, struct weir_error *err) {
  struct health *h = self;
  struct weir_http_server_config cfg;
  struct weir_tls_config tls;
  int r = server_config(h, &cfg, &tls, err);
  cfg.self = h;
  if (!r) r = h->http->listen(h->stage, &cfg, &h->server, err);
  if (r) {
    if (!err->field[0]) snprintf(err->field, sizeof err->field, "endpoint");
    return r;
  }
  h->host->log(h->stage, WEIR_LOG_INFO, "health on http%s://%s%s", h->cfg->tls ? "s" : "", h->cfg->endpoint, h->cfg->path);
  return 0;
}

static void health_close(void *self) {
  struct health *h = self;
  if (!h) return;
  h->http->close(h->server);
  free(h);
}

static const struct weir_stage_type type = {
  .size = sizeof type,
  .role = WEIR_EXTENSION,
  .name = "health_check",
  .doc = "Tells over HTTP whether the process takes data (`path`, /ready) and whether it runs (/live), to GET and HEAD. During a drain readiness is 503 and liveness stays 200.",
  .example_yaml = "endpoint: 127.0.0.1:13133\n",
  .stability = "alpha",
  .fields = fields,
  .field_size = sizeof(struct weir_field),
  .config_size = sizeof(struct health_config),
  .open = health_open,
  .start = health_start,
  .close = health_close,
};

WEIR_PLUGIN("health_check extension", "0.1.0", "Apache-2.0", &type);
