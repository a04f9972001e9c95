/* What the service tables promise before core is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <weir/grpc.h>
#include <weir/http.h>

#include "core/loop.h"
#include "plugins/host.h"
#include "plugins/host_services.h"

static struct env env;
static struct loop loop;
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

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(drain_of_no_server_is_told_later) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
