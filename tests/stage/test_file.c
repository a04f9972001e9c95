/* The file exporter: lines and messages, rotation by a clock that the test turns, and disks that take nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/stage/harness.h"

static char dir[64];

static char *yaml(const char *more) {
  static char text[512];
  snprintf(text, sizeof text, "path: %s/sub/data.json\ncreate_directory: true\n%s", dir, more);
  return text;
}

static char *content_of(const char *name, size_t *ret_n) {
  char path[512];
  snprintf(path, sizeof path, "%s/sub/%s", dir, name);
  FILE *f = fopen(path, "rb");
  char *p = calloc(1, 4u << 20);
  size_t n = f && p ? fread(p, 1, (4u << 20) - 1, f) : 0;
  if (f) fclose(f);
  if (ret_n) *ret_n = n;
  return p;
}

static size_t lines_of(const char *name) {
  char *p = content_of(name, NULL);
  size_t n = 0;
  for (char *at = p; (at = strchr(at, '\n')); at++) n++;
  free(p);
  return n;
}

static size_t files(void) {
  char path[128];
  size_t n = 0;
  snprintf(path, sizeof path, "%s/sub", dir);
  DIR *d = opendir(path);
  for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
  if (d) closedir(d);
  return n;
}

static void one_line_per_batch(void **state) {
  (void)state;
  struct harness_waiter w = { 0 };
  struct harness *h = harness_new(WEIR_EXPORTER, "file", yaml(""), WEIR_LOGS);
  harness_feed(h, harness_batch(h, 3, &w));
  assert_int_equal(w.heard, 1);
  assert_int_equal(w.verdict.code, WEIR_DELIVERED);
  harness_feed(h, harness_batch(h, 1, NULL));
  assert_int_equal(lines_of("data.json"), 2);
  char *text = content_of("data.json", NULL);
  assert_int_equal(strncmp(text, "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"harness\"}}]}", 90), 0);
  assert_true(harness_metric(h, "weir_exporter_file_written_bytes_total", NULL) == (double)strlen(text));
  free(text);
  harness_free(h);
}

/* Emptied at the start, unless append says that it is kept. */
static void append(void **state) {
  (void)state;
  static const char *const more[] = { "", "", "append: true\n" };
  static const size_t lines[] = { 1, 1, 2 };
  for (size_t i = 0; i < 3; i++) {
    struct harness *h = harness_new(WEIR_EXPORTER, "file", yaml(more[i]), WEIR_TRACES);
    harness_feed(h, harness_batch(h, 1, NULL));
    harness_free(h);
    assert_int_equal(lines_of("data.json"), lines[i]);
  }
}

static void proto(void **state) {
  (void)state;
  struct harness *h = harness_new(WEIR_EXPORTER, "file", yaml("format: proto\n"), WEIR_METRICS);
  for (uint32_t i = 1; i < 4; i++) harness_feed(h, harness_batch(h, i, NULL));
  size_t n, at = 0, expected_n;
  char *p = content_of("data.json", &n);
  for (uint32_t i = 1; i < 4; i++) {
    unsigned char *u = (unsigned char *)p + at;
    size_t length = (size_t)u[0] << 24 | (size_t)u[1] << 16 | (size_t)u[2] << 8 | u[3];
    char *expected = harness_request(WEIR_METRICS, i, &expected_n);
    assert_int_equal(length, expected_n);
    assert_memory_equal(u + 4, expected, expected_n);
    free(expected);
    at += 4 + length;
  }
  assert_int_equal(at, n);
  free(p);
  harness_free(h);
}

/* Each of these is over 0.6 MiB, so that each second one begins a file. */
static void rotation(void **state) {
  (void)state;
  struct harness *h = harness_new(WEIR_EXPORTER, "file", yaml("rotation: {max_megabytes: 1, max_backups: 2}\n"), WEIR_LOGS);
  for (int i = 0; i < 5; i++) {
    harness_feed(h, harness_batch(h, 8000, NULL));
    assert_int_equal(lines_of("data.json"), 1);
    assert_int_equal(files(), i < 3 ? (size_t)i + 1 : 3);
    harness_advance(h, NS_PER_S);
  }
  assert_true(harness_metric(h, "weir_exporter_file_rotations_total", NULL) == 4);
  assert_int_equal(lines_of("data-2023-11-14T22-13-24.000.json"), 1); /* the last one: the clock stands at 22:13:20 at first */
  harness_advance(h, 3 * 24 * 3600 * NS_PER_S);
  harness_free(h);
  h = harness_new(WEIR_EXPORTER, "file", yaml("rotation: {max_megabytes: 1, max_days: 1}\n"), WEIR_LOGS);
  harness_advance(h, 2 * 24 * 3600 * NS_PER_S);
  harness_feed(h, harness_batch(h, 8000, NULL)); /* appended to or rotated: what was there is kept */
  assert_int_equal(files(), 2); /* the two old ones are over a day old */
  harness_free(h);
}

/* Somebody else renamed the file: what follows goes to the path. */
static void renamed(void **state) {
  (void)state;
  char from[128], to[128];
  struct harness *h = harness_new(WEIR_EXPORTER, "file", yaml("rotation:\n"), WEIR_LOGS);
  harness_feed(h, harness_batch(h, 1, NULL));
  snprintf(from, sizeof from, "%s/sub/data.json", dir);
  snprintf(to, sizeof to, "%s/sub/moved.json", dir);
  assert_int_equal(rename(from, to), 0);
  harness_feed(h, harness_batch(h, 1, NULL));
  assert_int_equal(lines_of("data.json"), 1);
  assert_int_equal(lines_of("moved.json"), 1);
  harness_free(h);
}

static void full_disk(void **state) {
  (void)state;
  struct harness_waiter w = { 0 };
  struct harness *h = harness_new(WEIR_EXPORTER, "file", "path: /dev/full", WEIR_TRACES);
  harness_feed(h, harness_batch(h, 1, &w));
  assert_int_equal(w.verdict.code, WEIR_RETRY);
  assert_string_equal(w.msg, "cannot write to /dev/full: No space left on device");
  assert_true(harness_metric(h, "weir_exporter_file_write_errors_total", NULL) == 1);
  harness_free(h);
}

/* A disk that becomes full in the middle of a line: the piece is cut off, and what comes when there is room again is whole. */
static void torn_line(void **state) {
  (void)state;
  struct harness_waiter ok = { 0 }, torn = { 0 };
  struct rlimit before, small;
  struct harness *h = harness_new(WEIR_EXPORTER, "file", yaml(""), WEIR_LOGS);
  harness_feed(h, harness_batch(h, 1, &ok));
  char *text = content_of("data.json", NULL);
  getrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_IGN);
  small = before;
  small.rlim_cur = strlen(text) + 100;
  setrlimit(RLIMIT_FSIZE, &small);
  harness_feed(h, harness_batch(h, 50, &torn));
  setrlimit(RLIMIT_FSIZE, &before);
  assert_int_equal(torn.verdict.code, WEIR_RETRY);
  assert_non_null(strstr(torn.msg, "File too large"));
  char *after = content_of("data.json", NULL);
  assert_string_equal(after, text);
  free(after);
  free(text);
  harness_feed(h, harness_batch(h, 50, NULL));
  assert_int_equal(lines_of("data.json"), 2);
  harness_free(h);
}

static void refused(const char *text, const char *message) {
  struct harness_setup s = { .role = WEIR_EXPORTER, .type = "file", .yaml = text, .stopped = 1 };
  char *said = harness_refused(&s);
  if (!strstr(said, message)) fail_msg("`%s` instead of `%s`", said, message);
  free(said);
}

static void refusals(void **state) {
  (void)state;
  refused("path: /nowhere/x.json", "path: cannot open /nowhere/x.json: No such file or directory; its directory must be there and writable; create_directory: true makes it");
  refused("path: /dev/null/x.json\ncreate_directory: true", "path: cannot open /dev/null/x.json: Not a directory; its directory must be there and writable");
  refused("path: /tmp", "path: cannot open /tmp: Is a directory; write the name of a file in it");
  refused("path: x\nappend: true\nrotation:\n", "append: append and rotation enabled at the same time is not supported");
  refused("path: x\ncompression: zstd", "compression: zstd is not in this version yet");
  refused("path: x\nencoding: otlp_encoding", "encoding: encoding extensions are not in this version");
  refused("path: x\ngroup_by: {enabled: true}", "group_by.enabled: group_by is not in this version");
  refused("path: x\ndirectory_permissions: \"0700\"", "directory_permissions requires create_directory");
  refused("path: x\ncreate_directory: true\ndirectory_permissions: \"9\"", "is no octal mode");
}

static int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/weir-test-file-XXXXXX");
  return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(one_line_per_batch, setup, teardown),
    cmocka_unit_test_setup_teardown(append, setup, teardown),
    cmocka_unit_test_setup_teardown(proto, setup, teardown),
    cmocka_unit_test_setup_teardown(rotation, setup, teardown),
    cmocka_unit_test_setup_teardown(renamed, setup, teardown),
    cmocka_unit_test(full_disk),
    cmocka_unit_test_setup_teardown(torn_line, setup, teardown),
    cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
