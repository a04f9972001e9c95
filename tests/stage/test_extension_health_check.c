/* The health_check extension: what it answers in each state of the process, on which paths, and to which methods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <weir/health.h>

#include "harness_check.h"
#include "harness_net.h"

struct fixture {
  struct harness *h;
  struct harness_client client;
};

static void set_up(struct fixture *f, const char *yaml, int state) {
  f->h = harness_new(WEIR_EXTENSION, "health_check", yaml, 0);
  host_set_health(state);
  harness_client_http(&f->client, f->h, harness_port());
}

static void tear_down(struct fixture *f) {
  harness_client_close(&f->client);
  harness_free(f->h);
}

/* One request; the answer's status, type and body (NULL = any). */
static void check(struct fixture *f, const char *method, const char *path, uint32_t status, const char *type, const char *body) {
  struct harness_reply r = { 0 };
  struct harness_http q = { .method = method, .path = path };
  harness_send_http(&f->client, &q, &r);
  harness_wait_reply(f->h, &r);
  if (r.status != status) fail_msg("%s %s: %u, expected %u: %s%s", method, path, r.status, status, r.msg, r.body);
  if (type) harness_has_header(r.headers, "content-type", type);
  if (body) assert_string_equal(r.body, body);
  if (status == 405) harness_has_header(r.headers, "allow", "GET, HEAD");
  harness_reply_done(&r);
}

static void while_it_starts_it_is_alive_and_not_ready(void **state) {
  (void)state;
  static const char body[] = "{\"status\":\"Server starting\",\"upSince\":\"0001-01-01T00:00:00Z\",\"uptime\":\"0.000s\"}";
  struct fixture f;
  set_up(&f, "endpoint: 127.0.0.1:0", WEIR_HEALTH_STARTING);
  check(&f, "GET", "/", 503, "application/json", body);
  check(&f, "GET", "/ready", 503, "application/json", body);
  check(&f, "GET", "/live", 200, "application/json", body);
  tear_down(&f);
}

static void when_ready_it_says_since_when(void **state) {
  (void)state;
  static const char body[] = "{\"status\":\"Server available\",\"upSince\":\"2023-11-14T22:13:20Z\",\"uptime\":\"61.500s\"}";
  struct fixture f;
  set_up(&f, "endpoint: 127.0.0.1:0", WEIR_HEALTH_READY);
  check(&f, "GET", "/", 200, "application/json",
    "{\"status\":\"Server available\",\"upSince\":\"2023-11-14T22:13:20Z\",\"uptime\":\"0.000s\"}");
  harness_client_close(&f.client); /* its connection would have been idle for too long */
  harness_advance(f.h, 61500 * NS_PER_MS);
  harness_client_http(&f.client, f.h, harness_port());
  check(&f, "GET", "/", 200, "application/json", body);
  check(&f, "GET", "/ready", 200, "application/json", body);
  check(&f, "GET", "/live", 200, "application/json", body);
  tear_down(&f);
}

static void a_drain_is_not_ready_and_alive(void **state) {
  (void)state;
  static const char stopping[] = "{\"status\":\"Server shutting down\",\"upSince\":\"2023-11-14T22:13:20Z\",\"uptime\":\"0.000s\"}";
  struct fixture f;
  set_up(&f, "endpoint: 127.0.0.1:0", WEIR_HEALTH_READY);
  host_set_health(WEIR_HEALTH_STOPPING);
  check(&f, "GET", "/", 503, NULL, stopping);
  check(&f, "GET", "/ready", 503, NULL, stopping);
  check(&f, "GET", "/live", 200, NULL, stopping);
  host_set_health(WEIR_HEALTH_FAILED);
  check(&f, "GET", "/", 503, NULL, "{\"status\":\"Server failed\",\"upSince\":\"2023-11-14T22:13:20Z\",\"uptime\":\"0.000s\"}");
  check(&f, "GET", "/live", 200, NULL, NULL);
  tear_down(&f);
}

static void a_path_and_bodies_of_ones_own(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, "{endpoint: 127.0.0.1:0, path: /health/status, response_body: {healthy: fine, unhealthy: not now}}", WEIR_HEALTH_READY);
  check(&f, "GET", "/health/status", 200, "text/plain", "fine");
  check(&f, "GET", "/health/status?verbose", 200, "text/plain", "fine");
  check(&f, "GET", "/ready", 200, "text/plain", "fine");
  check(&f, "GET", "/live", 200, "text/plain", "fine");
  check(&f, "GET", "/", 404, "application/json", "{\"status\":\"not found\"}");
  host_set_health(WEIR_HEALTH_STOPPING);
  check(&f, "GET", "/health/status", 503, "text/plain", "not now");
  check(&f, "GET", "/live", 200, "text/plain", "fine");
  tear_down(&f);
}

static void other_paths_are_not_found(void **state) {
  (void)state;
  static const char *const paths[] = { "/health", "/ready/", "/readyz", "/LIVE", "//" };
  struct fixture f;
  set_up(&f, "endpoint: 127.0.0.1:0", WEIR_HEALTH_READY);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    check(&f, "GET", paths[i], 404, "application/json", "{\"status\":\"not found\"}");
  tear_down(&f);
}

static void only_get_and_head_are_answered(void **state) {
  (void)state;
  static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS" };
  struct fixture f;
  set_up(&f, "endpoint: 127.0.0.1:0", WEIR_HEALTH_READY);
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    check(&f, methods[i], "/", 405, NULL, NULL);
    check(&f, methods[i], "/live", 405, NULL, NULL);
  }
  check(&f, "HEAD", "/", 200, "application/json", "");
  host_set_health(WEIR_HEALTH_STOPPING);
  check(&f, "HEAD", "/ready", 503, "application/json", "");
  tear_down(&f);
}

static void refusals(void **state) {
  (void)state;
  char yaml[64];
  struct harness_sink taken;
  harness_refuses(WEIR_EXTENSION, "health_check", 0, "path: health", "path: a path begins with /, got `health`");
  harness_refuses(WEIR_EXTENSION, "health_check", 0, "path: ''", "`path`");
  harness_refuses(WEIR_EXTENSION, "health_check", 0, "endpoint: ''", "`endpoint`");
  harness_refuses(WEIR_EXTENSION, "health_check", 0, "endpoint: localhost", "endpoint: `localhost` is no address to listen on; write host:port");
  harness_refuses(WEIR_EXTENSION, "health_check", 0, "tls: {cert_file: /nope.pem, key_file: /nope.key}", "tls.cert_file: cert_file /nope.pem: No such file or directory");
  harness_refuses(WEIR_EXTENSION, "health_check", 0, "response_body: {heathy: x}", "did you mean `healthy`?");
  harness_sink_init(&taken);
  assert_int_equal(listen(taken.fd, 1), 0);
  snprintf(yaml, sizeof yaml, "endpoint: 127.0.0.1:%d", taken.port);
  harness_refuses(WEIR_EXTENSION, "health_check", 0, yaml, "endpoint: ");
  harness_refuses(WEIR_EXTENSION, "health_check", 0, yaml, yaml + strlen("endpoint: "));
  harness_sink_close(&taken);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(while_it_starts_it_is_alive_and_not_ready), /* first: it looks at what was never ready */
    cmocka_unit_test(when_ready_it_says_since_when),
    cmocka_unit_test(a_drain_is_not_ready_and_alive),
    cmocka_unit_test(a_path_and_bodies_of_ones_own),
    cmocka_unit_test(other_paths_are_not_found),
    cmocka_unit_test(only_get_and_head_are_answered),
    cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
