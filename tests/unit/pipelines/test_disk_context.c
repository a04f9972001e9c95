/* What stands beside the data of a record on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipelines/disk_context.h"

static struct disk_context got;

static struct weir_str str(const char *text) { return (struct weir_str){ text, (uint32_t)strlen(text), 0 }; }

static int same(struct weir_str a, struct weir_str b) { return a.n == b.n && memcmp(a.p, b.p, a.n) == 0; }

/* Writes and reads; then every shorter text is refused. */
static void round_trip(const struct weir_str *reason, const struct weir_str *message, const struct weir_context *c) {
  static char buf[SPOOL_CONTEXT_MAX + 1];
  size_t n = disk_context_size(reason, message, c);
  assert_true(n <= SPOOL_CONTEXT_MAX);
  disk_context_write(reason, message, c, buf);
  for (size_t cut = n > 300 ? n - 300 : 1; cut < n; cut++) assert_int_equal(disk_context_read(buf, cut, &got), WEIR_E_INVALID);
  buf[n] = 0;
  if (n) assert_int_equal(disk_context_read(buf, n + 1, &got), WEIR_E_INVALID);
  assert_int_equal(disk_context_read(buf, n, &got), 0);
}

static void all_of_it_comes_back(void **state) {
  (void)state;
  struct weir_pair pairs[] = { { str("x-tenant"), str("blue") }, { str("x-tenant"), str("") }, { str("username"), str("ann\n\xff") } };
  struct weir_context c = { .size = sizeof c, .n_metadata = 2, .n_auth = 1, .metadata = pairs, .auth = pairs + 2, .peer = str("127.0.0.1:9") };
  struct weir_str reason = str("permanent"), message = str("");
  round_trip(NULL, NULL, &c);
  assert_null(got.reason.p);
  assert_int_equal(got.context->n_metadata, 2);
  assert_int_equal(got.context->n_auth, 1);
  for (int i = 0; i < 3; i++) assert_true(same(got.pairs[i].name, pairs[i].name) && same(got.pairs[i].value, pairs[i].value));
  assert_true(same(got.context->peer, c.peer));
  round_trip(&reason, &message, &c);
  assert_true(same(got.reason, reason) && same(got.message, message) && got.context);
  round_trip(&reason, &message, NULL);
  assert_null(got.context);
  round_trip(NULL, NULL, NULL);
  assert_null(got.context);
  assert_int_equal(disk_context_size(NULL, NULL, NULL), 0);
}

static void limits(void **state) {
  (void)state;
  static char large[70000];
  memset(large, 'a', sizeof large);
  static struct weir_pair pairs[WEIR_CONTEXT_MAX_PAIRS];
  for (size_t i = 0; i < WEIR_CONTEXT_MAX_PAIRS; i++) pairs[i] = (struct weir_pair){ str("name"), str("value") };
  struct weir_context c = { .size = sizeof c, .n_metadata = WEIR_CONTEXT_MAX_PAIRS, .metadata = pairs };
  round_trip(NULL, NULL, &c);
  assert_int_equal(got.context->n_metadata, WEIR_CONTEXT_MAX_PAIRS);
  c.n_metadata = 1;
  pairs[0].value = (struct weir_str){ large, 65000, 0 };
  round_trip(NULL, NULL, &c);
  pairs[0].value.n = 65535;
  assert_true(disk_context_size(NULL, NULL, &c) > SPOOL_CONTEXT_MAX);
  pairs[0].value.n = 70000;
  assert_true(disk_context_size(NULL, NULL, &c) > SPOOL_CONTEXT_MAX);
}

static void what_is_no_context_is_refused(void **state) {
  (void)state;
  assert_int_equal(disk_context_read("\1", 1, &got), WEIR_E_INVALID);
  assert_int_equal(disk_context_read("\2\2\0\0\0\0\0\0", 8, &got), WEIR_E_INVALID); /* another version */
  assert_int_equal(disk_context_read("\1\6\0\0\0\0\0\0", 8, &got), WEIR_E_INVALID); /* unknown flags */
  assert_int_equal(disk_context_read("\1\2\377\377\377\377\0\0", 8, &got), WEIR_E_INVALID); /* more pairs than there may be */
  assert_int_equal(disk_context_read("\1\2\0\0\0\0\0\0", 8, &got), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(all_of_it_comes_back), cmocka_unit_test(limits), cmocka_unit_test(what_is_no_context_is_refused) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
