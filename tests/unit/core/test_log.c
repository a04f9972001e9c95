/* Log lines: levels, escaping, JSON, held-back repeats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"

static int fds[2];
static char got[65536];

static const char *written(void) {
  ssize_t n = read(fds[0], got, sizeof got - 1);
  got[n > 0 ? n : 0] = 0;
  return got;
}

static int setup(void **state) {
  (void)state;
  clock_set_virtual(NS_PER_S, 1000 * NS_PER_S);
  return pipe(fds);
}

static int teardown(void **state) {
  (void)state;
  return close(fds[0]) | close(fds[1]);
}

static void console_and_json(void **state) {
  (void)state;
  struct log_config c = { WEIR_LOG_INFO, 0, fds[1], 1 };
  log_setup(&c);
  log_debug("otlp", "not written");
  log_info("otlp", "line\n\x1b[31mforged \"%s\"", "x");
  assert_string_equal(written(), "1970-01-01T00:16:40.000Z\tinfo\totlp\tline\\n\\x1b[31mforged \"x\"\n");
  c.json = 1;
  log_setup(&c);
  log_warn("otlp/\"2", "tab\tquote\"");
  assert_string_equal(written(), "{\"ts\":\"1970-01-01T00:16:40.000Z\",\"level\":\"warn\",\"logger\":\"otlp/\\\"2\",\"msg\":\"tab\\u0009quote\\\"\"}\n");
}

static void repeats_are_counted(void **state) {
  (void)state;
  struct log_config c = { WEIR_LOG_INFO, 0, fds[1], 0 };
  log_setup(&c);
  for (int i = 0; i < 100; i++) log_error("otlp", "back end %d is away", i);
  const char *text = written();
  assert_non_null(strstr(text, "back end 4 is away"));
  assert_null(strstr(text, "back end 5 is away"));
  log_flush();
  assert_non_null(strstr(written(), "back end 99 is away (and 95 more like it)"));
  clock_advance(11 * NS_PER_S);
  log_error("otlp", "back end %d is away", 100); /* another format address in general; never lost silently */
  assert_non_null(strstr(written(), "back end 100 is away"));
}

/* Without the check in front of the write this test does not end. */
static void a_pipe_that_nobody_reads_blocks_nobody(void **state) {
  (void)state;
  struct log_config c = { WEIR_LOG_INFO, 0, fds[1], 1 };
  log_setup(&c);
  for (int i = 0; i < 5000; i++) log_info("otlp", "line %d of many", i);
  log_flush(); /* still nobody */
  size_t lines = 0;
  while (lines < 5000 && strstr(written(), "line")) {
    for (const char *at = got; (at = strchr(at, '\n')); at++) lines++;
    if (strlen(got) < sizeof got - 1) break;
  }
  assert_true(lines > 100 && lines < 5000);
  log_flush();
  unsigned long long lost = 0;
  const char *said = strstr(written(), "\tweir\t");
  assert_non_null(said);
  assert_int_equal(sscanf(said, "\tweir\t%llu log lines were lost", &lost), 1);
  assert_int_equal(lines + lost, 5000);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(console_and_json, setup, teardown),
    cmocka_unit_test_setup_teardown(repeats_are_counted, setup, teardown),
    cmocka_unit_test_setup_teardown(a_pipe_that_nobody_reads_blocks_nobody, setup, teardown) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
