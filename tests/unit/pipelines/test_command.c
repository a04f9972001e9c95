/* The command line, and how many lanes a CPU quota gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipelines/command.h"
#include "pipelines/run.h"

static struct command c;
static char *said;

/* Words are split at spaces. */
static int parse(const char *line) {
  static char words[300];
  char *argv[20] = { "weir" }, *save = NULL;
  int argc = 1;
  size_t n;
  free(said);
  FILE *out = open_memstream(&said, &n);
  snprintf(words, sizeof words, "%s", line);
  for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) argv[argc++] = w;
  int r = command_parse(&c, argc, argv, out);
  fclose(out);
  return r;
}

static void takes(const char *line, int verb, size_t configs, size_t sets) {
  assert_int_equal(parse(line), 0);
  assert_int_equal(c.verb, verb);
  assert_int_equal(c.n_configs, configs);
  assert_int_equal(c.n_sets, sets);
  assert_string_equal(said, "");
  command_done(&c);
}

static void refuses(const char *line, const char *with) {
  assert_int_equal(parse(line), -1);
  if (!strstr(said, with)) fail_msg("`weir %s` says: %s", line, said);
  command_done(&c);
}

static void what_is_right(void **state) {
  (void)state;
  takes("--config a.yaml", COMMAND_RUN, 1, 0);
  takes("run --config a.yaml --config=b.yaml --set a.b=c", COMMAND_RUN, 2, 1);
  takes("--set=x=1 validate --config env:CONFIG", COMMAND_VALIDATE, 1, 1);
  takes("components", COMMAND_COMPONENTS, 0, 0);
  takes("version", COMMAND_VERSION, 0, 0);
  takes("schema", COMMAND_SCHEMA, 0, 0);
  takes("print-config --config a --set b=c --origin --mode=unredacted", COMMAND_PRINT_CONFIG, 1, 1);
  takes("reload --socket /run/weir.sock", COMMAND_RELOAD, 0, 0);
  takes("--version", COMMAND_VERSION, 0, 0);
  takes("run --help", COMMAND_HELP, 0, 0);
  takes("queue ls /q", COMMAND_QUEUE, 0, 0);
  takes("queue drop --config a otlp-traces --yes", COMMAND_QUEUE, 1, 0);
  assert_string_equal(c.queue, "otlp-traces");
  takes("queue peek otlp-traces --config a --limit 0", COMMAND_QUEUE, 1, 0);
  assert_string_equal(c.queue, "otlp-traces");
  assert_null(c.directory);
  takes("queue peek /q otlp-traces", COMMAND_QUEUE, 0, 0);
  assert_string_equal(c.directory, "/q");
  assert_int_equal(c.limit, 10);
  takes("why 4bf9 --json --socket s --stage traces", COMMAND_WHY, 0, 0);
  assert_string_equal(c.trace_id, "4bf9");
  assert_string_equal(c.at, "traces");
  assert_int_equal(c.json, 1);
  takes("--dropped decisions --policy errors --since=5m --limit 20", COMMAND_DECISIONS, 0, 0);
  assert_string_equal(c.policy, "errors");
  assert_string_equal(c.since, "5m");
  assert_string_equal(c.limit_text, "20");
  assert_int_equal(c.dropped, 1);
  assert_int_equal(c.kept, 0);
  assert_int_equal(parse("doc exporter/otlp"), 0);
  assert_string_equal(c.stage, "exporter/otlp");
  command_done(&c);
}

static void what_is_wrong_and_what_to_do(void **state) {
  (void)state;
  refuses("vaildate --config a", "did you mean `weir validate`?");
  refuses("frobnicate", "commands: run, validate");
  refuses("run", "weir run --config FILE");
  refuses("run a.yaml", "files are named with --config FILE");
  refuses("run --confg a.yaml", "did you mean `--config`?");
  refuses("run --config", "a value is missing after `--config`");
  refuses("run --config=", "an empty value was given to `--config`");
  refuses("run --config a --set a.b", "missing equal sign");
  refuses("components --config a", "reads no configuration");
  refuses("doc", "weir doc otlp");
  refuses("run --config a --socket b", "--socket belongs to `weir reload`");
  refuses("run --config a --origin", "belong to `weir print-config`");
  refuses("print-config --config a --mode secret", "modes: redacted, unredacted");
  refuses("print-config", "weir print-config --config FILE");
  refuses("relaod", "did you mean `weir reload`?");
  refuses("reload now", "unexpected argument `now`");
  refuses("queue", "weir queue ls|peek|replay|drop");
  refuses("queue list /q", "unknown action of `weir queue`: `list`");
  refuses("queue ls", "which queues?");
  refuses("queue ls /q a b", "unexpected argument `b`");
  refuses("queue ls /q a --config b", "a directory and a configuration");
  refuses("queue peek /q --limit many", "no number in --limit");
  refuses("queue ls /q --socket s", "--socket belongs to `weir queue replay`");
  refuses("run --config a --yes", "belong to `weir queue`");
  refuses("why", "weir why 4bf92f35");
  refuses("why a b", "unexpected argument `b`");
  refuses("why a --since 5m", "belong to `weir decisions`");
  refuses("why a --limit 5", "belong to `weir decisions`");
  refuses("why a --config b", "reads no configuration");
  refuses("decisions a", "unexpected argument `a`");
  refuses("decisions --kept --dropped", "which?");
  refuses("decisions --limit=many", "no number in --limit");
  refuses("decisions --policy", "a value is missing after `--policy`");
  refuses("decisions --drooped", "did you mean `--dropped`?");
  refuses("decisons", "did you mean `weir decisions`?");
  refuses("run --config a --json", "belong to `weir decisions`");
  refuses("queue ls /q --kept", "belong to `weir decisions`");
  refuses("components --limit 5", "--limit to `weir decisions` too");
  refuses("doc a b", "unexpected argument `b`");
  refuses("", "weir run --config FILE");
  free(said);
  said = NULL;
}

static void quotas_are_rounded_up(void **state) {
  (void)state;
  assert_int_equal(run_quota_cpus("max 100000\n"), 0);
  assert_int_equal(run_quota_cpus("50000 100000\n"), 1);
  assert_int_equal(run_quota_cpus("150000 100000"), 2);
  assert_int_equal(run_quota_cpus("200000 100000"), 2);
  assert_int_equal(run_quota_cpus("-1 100000"), 0);
  assert_int_equal(run_quota_cpus("9999999999 100000"), RUN_LANES_MAX);
  assert_int_equal(run_quota_cpus("100000 0"), 0);
  assert_int_equal(run_quota_cpus(""), 0);
  uint32_t n = run_default_lanes();
  assert_true(n >= 1 && n <= RUN_LANES_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_right), cmocka_unit_test(what_is_wrong_and_what_to_do),
    cmocka_unit_test(quotas_are_rounded_up) };
  return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
