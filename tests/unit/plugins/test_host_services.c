/* What the service tables promise before core is asked, and that what has a handle goes to the handle's engine. */
#include "tests/unit/core/grpc_fixture.h"

#include <signal.h>

#include <weir/http.h>

#include "plugins/host.h"
#include "plugins/host_services.h"

static struct weir_stage stage = { .magic = STAGE_MAGIC, .loop = &loop };

static void count_drained(void *arg) { ++*(int *)arg; }

static void drain_no_servers(void *arg) {
  const struct weir_http_service *http = host_service(&stage, WEIR_HTTP_SERVICE);
  const struct weir_grpc_service *grpc = host_service(&stage, WEIR_GRPC_SERVICE);
  http->drain(NULL, count_drained, arg);
  assert_int_equal(*(int *)arg, 0); /* not inside the call */
  grpc->drain(NULL, count_drained, arg);
  assert_int_equal(*(int *)arg, 0);
}

static void drain_of_no_server_is_told_later(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  int drained = 0;
  struct defer step = { .fn = drain_no_servers, .arg = &drained };
  assert_int_equal(loop_init(&loop, 0, &env, &err), 0);
  loop_defer(&loop, &step);
  for (int i = 0; i < 10 && drained < 2; i++) loop_run_once(&loop);
  assert_int_equal(drained, 2);
  loop_done(&loop);
}

/* --- weir.grpc/1 with the handles of each engine ------------------------------------------------------------------ */

static const struct weir_grpc_service *table;
static char tenant[32];

static void echo(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  struct weir_str v = weir_http_find(r->metadata, r->n_metadata, "x-tenant");
  const char *msg = r->msg;
  size_t n = r->msg_n;
  snprintf(tenant, sizeof tenant, "%.*s", (int)v.n, v.p ? v.p : "");
  struct weir_body *body = table->body_take(x);
  assert_non_null(body);
  table->reply(x, &(struct weir_grpc_status){ sizeof(struct weir_grpc_status), WEIR_GRPC_OK, NULL, -1 }, msg, n);
  body_free(body);
}

static void expect_echo(struct outcome *o, const char *want_tenant) {
  wait_for(&o->done, 1);
  assert_int_equal(o->code, WEIR_GRPC_OK);
  assert_int_equal(o->n, 5);
  assert_string_equal(tenant, want_tenant);
  outcome_done(o);
}

/* Every function of the table but the two that make handles, which find an engine by its name (test_grpc_engine.c). */
static void a_handle_goes_to_its_engine(void **state) {
  const struct grpc_engine *engine = *state;
  struct weir_error err = { 0 };
  struct weir_grpc_method method = { "/t.Service/Echo", echo };
  struct weir_grpc_server_config at = { .size = sizeof at, .owner = "test", .endpoint = "127.0.0.1:0", .methods = &method, .n_methods = 1 };
  struct weir_http_header own = { weir_str_of("x-tenant"), weir_str_of("red") };
  struct weir_iov msg = { "hello", 5 };
  struct weir_grpc_server *server = NULL;
  struct weir_grpc_client *client = NULL;
  struct outcome o = { 0 };
  char endpoint[64];
  int drained = 0;
  if (!engine) skip();
  fixture_loop_open();
  table = host_service(&stage, WEIR_GRPC_SERVICE);
  assert_int_equal(engine->listen(&loop, &at, &server, &err), 0);
  endpoint_of(engine->port(server), endpoint, sizeof endpoint);
  struct weir_grpc_client_config to = { .size = sizeof to, .endpoint = endpoint };
  assert_int_equal(engine->client_open(&loop, &to, &client, &err), 0);
  assert_ptr_equal(grpc_engine_of(client), engine);
  table->call(client, "/t.Service/Echo", &msg, 1, 0, keep_outcome, &o);
  expect_echo(&o, "");
  table->call_with(client, "/t.Service/Echo", &own, 1, &msg, 1, 0, keep_outcome, &o);
  expect_echo(&o, "red");
  table->client_close(client);
  table->drain(server, count_drained, &drained);
  wait_for(&drained, 1);
  table->close(server);
  fixture_loop_close();
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = { cmocka_unit_test(drain_of_no_server_is_told_later),
    { "a_handle_goes_to_its_engine (native)", a_handle_goes_to_its_engine, NULL, NULL, (void *)(uintptr_t)&grpc_native },
    { "a_handle_goes_to_its_engine (core)", a_handle_goes_to_its_engine, NULL, NULL, (void *)(uintptr_t)core_engine() } };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
