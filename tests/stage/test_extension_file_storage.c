/* The file_storage extension: what it tells the host, and what it will not take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weir/storage.h>

#include "harness_check.h"

static struct weir_storage_settings settings_of(const char *yaml) {
  struct harness *h = harness_new(WEIR_EXTENSION, "file_storage", yaml, 0);
  const struct weir_storage *table = h->stage.entry->type.offer(h->stage.self, WEIR_STORAGE_SERVICE);
  assert_non_null(table);
  assert_null(h->stage.entry->type.offer(h->stage.self, "weir.other/1"));
  struct weir_storage_settings s = *table->settings(h->stage.self);
  s.directory = strcmp(s.directory, "/var/lib/otelcol/file_storage") ? "another" : "default";
  harness_free(h);
  return s;
}

static void defaults(void **state) {
  (void)state;
  struct weir_storage_settings s = settings_of(NULL);
  assert_string_equal(s.directory, "default");
  assert_int_equal(s.flags, 0);
  assert_int_equal(s.directory_mode, 0750);
  assert_int_equal(s.sync, WEIR_SYNC_ALWAYS);
  assert_int_equal(s.max_bytes, 1u << 30);
  assert_int_equal(s.segment_bytes, 16u << 20);
  assert_int_equal(s.sync_interval_ns, 200 * NS_PER_MS);
}

static void all_keys(void **state) {
  (void)state;
  struct weir_storage_settings s = settings_of(
    "directory: /a\ncreate_directory: true\ndirectory_permissions: \"0700\"\nmax_size: 4GiB\nsegment_size: 1MiB\nsync: interval\nsync_interval: 1s\ntimeout: 3s\nrecreate: true\n"
    "compaction: {on_start: true, on_rebound: true, directory: /tmp, max_transaction_size: 0, rebound_needed_threshold_mib: 1, rebound_trigger_threshold_mib: 1, "
    "check_interval: 1s, cleanup_on_start: true}\n");
  assert_string_equal(s.directory, "another");
  assert_int_equal(s.flags, WEIR_STORAGE_CREATE);
  assert_int_equal(s.directory_mode, 0700);
  assert_int_equal(s.sync, WEIR_SYNC_INTERVAL);
  assert_int_equal(s.max_bytes, 4ull << 30);
  assert_int_equal(s.segment_bytes, 1u << 20);
  assert_int_equal(s.sync_interval_ns, NS_PER_S);
}

static void the_word_of_the_collector(void **state) {
  (void)state;
  assert_int_equal(settings_of("fsync: true").sync, WEIR_SYNC_ALWAYS);
  assert_int_equal(settings_of("fsync: false").sync, WEIR_SYNC_OS);
  assert_int_equal(settings_of("sync: os").sync, WEIR_SYNC_OS);
  assert_int_equal(settings_of("sync: always").sync, WEIR_SYNC_ALWAYS);
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { "directory: queues", "no absolute path" },
    { "directory_permissions: \"0070\"", "no mode that lets the owner in" },
    { "directory_permissions: \"0799\"", "no mode that lets the owner in" },
    { "directory_permissions: \"77777\"", "no mode that lets the owner in" },
    { "sync: os\nfsync: true", "say the same thing" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct harness_setup s = { .role = WEIR_EXTENSION, .type = "file_storage", .yaml = cases[i].yaml };
    char *why = harness_refused(&s);
    if (!strstr(why, cases[i].text)) fail_msg("wanted \"%s\" in: %s", cases[i].text, why);
    free(why);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(defaults), cmocka_unit_test(all_keys), cmocka_unit_test(the_word_of_the_collector), cmocka_unit_test(refusals) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
