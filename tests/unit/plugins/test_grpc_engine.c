/*
 * Finding a gRPC engine by name, and what is said where there is none. The engine itself is tested in tests/unit/core/test_grpc*.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/grpc_engine.h"

static void native_is_the_default(void **state) {
  static const char *const names[] = { NULL, "", "native" };
  (void)state;
  for (size_t i = 0; i < 3; i++) {
    const struct grpc_engine *e = NULL;
    struct weir_error err = { 0 };
    assert_int_equal(grpc_engine_find(names[i], &e, &err), 0);
    assert_ptr_equal(e, &grpc_native);
  }
}

static void an_unknown_name_is_told(void **state) {
  (void)state;
  const struct grpc_engine *e = NULL;
  struct weir_error err = { 0 };
  assert_int_equal(grpc_engine_find("fast", &e, &err), WEIR_E_CONFIG);
  assert_string_equal(err.msg, "\"fast\" is no gRPC engine: use native or core");
  assert_string_equal(err.field, "engine");
}

/* Beside this program there is no engines/. */
static void a_missing_engine_names_its_package(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) { /* the second time too: nothing was remembered */
    const struct grpc_engine *e = NULL;
    struct weir_error err = { 0 };
    assert_int_equal(grpc_engine_find("core", &e, &err), WEIR_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "engine: core is not part of this build"));
    assert_non_null(strstr(err.hint, "apt-get install libgrpc-dev"));
    assert_string_equal(err.field, "engine");
  }
}

static void a_file_that_is_none_is_refused(void **state) {
  (void)state;
  const struct grpc_engine *e = NULL;
  struct weir_error err = { 0 };
  assert_int_equal(grpc_engine_load("/nonexistent/grpc_core.so", &e, &err), WEIR_E_UNSUPPORTED);
  assert_non_null(strstr(err.msg, "cannot load /nonexistent/grpc_core.so"));
  assert_int_equal(grpc_engine_load("libuv.so.1", &e, &err), WEIR_E_UNSUPPORTED);
  assert_non_null(strstr(err.msg, "is no gRPC engine"));
  assert_null(e);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(native_is_the_default), cmocka_unit_test(an_unknown_name_is_told),
    cmocka_unit_test(a_missing_engine_names_its_package), cmocka_unit_test(a_file_that_is_none_is_refused) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
