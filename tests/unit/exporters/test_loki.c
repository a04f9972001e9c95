/* What the loki exporter writes, read back with protobuf-c, and how it reads refusals. The code is the stage's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/otlp_json.h"
#include "exporters/loki/answer.c"
#include "exporters/loki/labels.c"
#include "exporters/loki/push.c"
#include "loki.pb-c.h"
#include "plugins/kit/base64.c"
#include "plugins/kit/bytes.c"
#include "plugins/kit/decimal.c"
#include "plugins/kit/value_text.c"

#define LIMIT (16u << 20)
#define NOW 1700000000000000007u

static struct pool *pool;
static const char *const some[] = { "service.name", "k8s.pod.name", "region" };
static const struct loki_labels_config plain = { .resource = { some, 3 }, .max = 15 };

/* --- helpers ------------------------------------------------------------------------------------------------------------- */

struct tree {
  struct weir_body *body;
  struct arena arena;
  struct weir_data data;
};

static void read_json(struct tree *t, const char *text) {
  struct otlp_counts c;
  struct weir_error err = { 0 };
  arena_init(&t->arena, pool, 0);
  if (otlp_json_decode(pool, WEIR_LOGS, text, strlen(text), NULL, &t->body, &c, &err)) fail_msg("%s", err.msg);
  assert_int_equal(otlp_decode(WEIR_LOGS, &t->arena, t->body->p, t->body->n, NULL, &t->data, &c, NULL), 0);
}

static void tree_done(struct tree *t) {
  arena_done(&t->arena);
  body_free(t->body);
}

/* Gathered: malloc'ed, with a NUL behind. */
static char *encode(struct push *p, const char *text, size_t *ret_n) {
  struct tree t;
  const struct weir_iov *iov;
  struct weir_error err = { 0 };
  size_t n, bytes = 0;
  read_json(&t, text);
  if (push_encode(p, &t.data, NOW, &iov, &n, &err)) fail_msg("%s", err.msg);
  for (size_t i = 0; i < n; i++) bytes += iov[i].n;
  char *out = malloc(bytes + 1), *to = out;
  for (size_t i = 0; i < n; i++) to = (char *)memcpy(to, iov[i].p, iov[i].n) + iov[i].n;
  *to = 0;
  *ret_n = bytes;
  tree_done(&t);
  return out;
}

static LokiOracle__PushRequest *push(const struct loki_labels_config *rules, const char *text) {
  struct push *p = push_new(rules, 0, LIMIT);
  size_t n;
  char *bytes = encode(p, text, &n);
  LokiOracle__PushRequest *r = loki_oracle__push_request__unpack(NULL, n, (uint8_t *)bytes);
  assert_non_null(r);
  assert_int_equal(loki_oracle__push_request__get_packed_size(r), n); /* no number is longer than it need be */
  free(bytes);
  push_free(p);
  return r;
}

#define DONE(r) loki_oracle__push_request__free_unpacked(r, NULL)

static void is_text(ProtobufCBinaryData b, const char *text) {
  if (b.len != strlen(text) || (b.len && memcmp(b.data, text, b.len))) fail_msg("expected %s, got %.*s", text, (int)b.len, (char *)b.data);
}

/* "name=value name=value": all the structured metadata, in its order. */
static void metadata_is(const LokiOracle__Entry *e, const char *text) {
  char all[4096];
  size_t n = 0;
  all[0] = 0;
  for (size_t i = 0; i < e->n_structured_metadata; i++) {
    const LokiOracle__LabelPair *p = e->structured_metadata[i];
    n += (size_t)snprintf(all + n, sizeof all - n, "%s%.*s=%.*s", i ? " " : "", (int)p->name.len, (char *)p->name.data, (int)p->value.len, (char *)p->value.data);
    assert_true(n < sizeof all);
  }
  assert_string_equal(all, text);
}

#define RESOURCE(attrs, rest) "{\"resource\":{\"attributes\":[" attrs "]}," rest "}"
#define LOGS(resources) "{\"resourceLogs\":[" resources "]}"
#define SCOPE(records) "\"scopeLogs\":[{\"logRecords\":[" records "]}]"
#define STR(key, value) "{\"key\":\"" key "\",\"value\":{\"stringValue\":\"" value "\"}}"
#define LINE(time, text) "{\"timeUnixNano\":\"" time "\",\"body\":{\"stringValue\":\"" text "\"}}"

/* --- names ---------------------------------------------------------------------------------------------------------------- */

static void names_are_lokis(void **state) {
  (void)state;
  static const struct {
    const char *key, *name;
  } cases[] = { { "http.method", "http_method" }, { "a..b--c", "a_b_c" }, { "a__b", "a_b" }, { "_x", "_x" }, { "__x", "_x" }, { "__x__", "__x__" }, { "__a.b__", "__a_b__" },
    { "9lives", "key_9lives" }, { "ü", "key_" }, { "größe", "gr_e" }, { "", "key" }, { "_", "key_" }, { "____", "key____" }, { "a.", "a_" }, { ".a", "_a" }, { "A1", "A1" }, { "a:b", "a_b" } };
  struct kit_bytes b = { 0 };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    b.n = 0;
    loki_put_name(&b, 0, 0, weir_str_of(cases[i].key));
    kit_put_char(&b, 0);
    assert_string_equal(b.p, cases[i].name);
  }
  b.n = 0;
  kit_put_text(&b, "outer_");
  loki_put_name(&b, 0, 6, weir_str_of(".in"));
  kit_put_char(&b, 0);
  assert_string_equal(b.p + 6, "outer_in");
  kit_bytes_free(&b);
}

/* --- labels ---------------------------------------------------------------------------------------------------------------- */

static void labels_are(const struct loki_labels_config *rules, const char *attrs, const char *labels) {
  char text[32768];
  snprintf(text, sizeof text, LOGS(RESOURCE("%s", SCOPE(LINE("1", "x")))), attrs);
  LokiOracle__PushRequest *r = push(rules, text);
  assert_int_equal(r->n_streams, 1);
  is_text(r->streams[0]->labels, labels);
  DONE(r);
}

static void labels_come_by_the_rules(void **state) {
  (void)state;
  static const struct weir_map_entry fixed[] = { { "env", "test" }, { "region", "here" } };
  struct loki_labels_config rules = plain;
  labels_are(&plain, STR("other", "o") "," STR("service.name", "shop") "," STR("k8s.pod.name", "p-1"), "{k8s_pod_name=\"p-1\", service_name=\"shop\"}");
  labels_are(&plain, STR("service.name", "a\\\"b\\\\c\\nd\\u0001\\u00fc"), "{service_name=\"a\\\"b\\\\c\\nd\\x01\xc3\xbc\"}");
  labels_are(&plain, STR("service.name", "") "," STR("other", "o"), "{service_name=\"unknown_service\"}");
  labels_are(&plain, "", "{service_name=\"unknown_service\"}");
  labels_are(&plain, "{\"key\":\"region\",\"value\":{\"intValue\":\"7\"}}", "{region=\"7\"}");
  labels_are(&plain, "{\"key\":\"region\",\"value\":{\"kvlistValue\":{\"values\":[" STR("b", "2") "," STR("a", "1") "]}}}", "{region_a=\"1\", region_b=\"2\"}");
  rules.fixed = (struct weir_map){ fixed, 2 };
  labels_are(&rules, STR("region", "there") "," STR("service.name", "s"), "{env=\"test\", region=\"here\", service_name=\"s\"}");
}

static void what_finds_no_room_is_metadata(void **state) {
  (void)state;
  struct loki_labels_config rules = plain;
  rules.max = 2;
  LokiOracle__PushRequest *r = push(&rules, LOGS(RESOURCE(STR("region", "r") "," STR("k8s.pod.name", "p") "," STR("service.name", "s"), SCOPE(LINE("1", "x")))));
  is_text(r->streams[0]->labels, "{k8s_pod_name=\"p\", service_name=\"s\"}"); /* the rules' order decides */
  metadata_is(r->streams[0]->entries[0], "region=r");
  DONE(r);
  rules.max = 2; /* a mapping goes in whole or not at all */
  r = push(&rules, LOGS(RESOURCE(STR("service.name", "s") ",{\"key\":\"region\",\"value\":{\"kvlistValue\":{\"values\":[" STR("a", "1") "," STR("b", "2") "]}}}", SCOPE(LINE("1", "x")))));
  is_text(r->streams[0]->labels, "{service_name=\"s\"}");
  metadata_is(r->streams[0]->entries[0], "region_a=1 region_b=2");
  DONE(r);
  char value[LOKI_LABEL_VALUE_MAX + 2], text[8192];
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = 0;
  snprintf(text, sizeof text, LOGS(RESOURCE(STR("region", "%s"), SCOPE(LINE("1", "x")))), value);
  r = push(&plain, text);
  is_text(r->streams[0]->labels, "{service_name=\"unknown_service\"}");
  assert_int_equal(r->streams[0]->entries[0]->structured_metadata[0]->value.len, LOKI_LABEL_VALUE_MAX + 1);
  DONE(r);
}

static void attributes_of_records_make_streams(void **state) {
  (void)state;
  static const char *const record[] = { "kind" };
  struct loki_labels_config rules = plain;
  rules.record = (struct weir_strings){ record, 1 };
#define OF(time, kind) "{\"timeUnixNano\":\"" time "\",\"body\":{\"stringValue\":\"" time "\"},\"attributes\":[" STR("kind", kind) "," STR("n", time) "]}"
  LokiOracle__PushRequest *r =
    push(&rules, LOGS(RESOURCE(STR("service.name", "s"), SCOPE(OF("1", "a") "," OF("2", "b") "," LINE("3", "none") "," OF("4", "a")))));
  assert_int_equal(r->n_streams, 3);
  is_text(r->streams[0]->labels, "{service_name=\"s\"}");
  is_text(r->streams[1]->labels, "{kind=\"a\", service_name=\"s\"}");
  is_text(r->streams[2]->labels, "{kind=\"b\", service_name=\"s\"}");
  assert_int_equal(r->streams[0]->n_entries, 1);
  assert_int_equal(r->streams[1]->n_entries, 2);
  is_text(r->streams[1]->entries[1]->line, "4");
  metadata_is(r->streams[1]->entries[1], "n=4");
  DONE(r);
}

/* --- entries ----------------------------------------------------------------------------------------------------------------- */

static void metadata_is_what_loki_makes_of_otlp(void **state) {
  (void)state;
  LokiOracle__PushRequest *r = push(&plain,
    LOGS(RESOURCE(STR("service.name", "s") "," STR("host.name", "h") ",{\"key\":\"nest\",\"value\":{\"kvlistValue\":{\"values\":[" STR("a.b", "1") ",{\"key\":\"c\",\"value\":{\"kvlistValue\":{\"values\":[" STR(
      "d", "2") "]}}},{\"key\":\"e\",\"value\":{\"kvlistValue\":{}}}]}}}",
      "\"scopeLogs\":[{\"scope\":{\"name\":\"lib\",\"version\":\"1.2\",\"droppedAttributesCount\":4,\"attributes\":[" STR("sa", "x") "]},\"logRecords\":[{\"timeUnixNano\":\"5000000009\","
      "\"observedTimeUnixNano\":\"6\",\"severityNumber\":9,\"severityText\":\"INFO\",\"droppedAttributesCount\":2,\"flags\":1,\"eventName\":\"ev\",\"body\":{\"stringValue\":\"the line\"},"
      "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"a1a2a3a4a5a6a7a8\",\"attributes\":[{\"key\":\"n\",\"value\":{\"doubleValue\":0.5}},{\"key\":\"e\",\"value\":{}}]}]}]")));
  const LokiOracle__Entry *e = r->streams[0]->entries[0];
  assert_int_equal(e->timestamp->seconds, 5);
  assert_int_equal(e->timestamp->nanos, 9);
  is_text(e->line, "the line");
  metadata_is(e, "n=0.5 e= observed_timestamp=6 severity_number=9 severity_text=INFO dropped_attributes_count=2 flags=1 trace_id=0102030405060708090a0b0c0d0e0f10 span_id=a1a2a3a4a5a6a7a8 "
                 "event_name=ev host_name=h nest_a_b=1 nest_c_d=2 sa=x scope_name=lib scope_version=1.2 scope_dropped_attributes_count=4");
  DONE(r);
}

static void times_and_bodies(void **state) {
  (void)state;
  LokiOracle__PushRequest *r = push(&plain, LOGS(RESOURCE("", SCOPE("{\"observedTimeUnixNano\":\"2000000000\"},{\"body\":{\"kvlistValue\":{\"values\":[" STR("b", "x") "," STR("a", "<y>") "]}}}"))));
  assert_int_equal(r->streams[0]->n_entries, 2);
  const LokiOracle__Entry *first = r->streams[0]->entries[0], *second = r->streams[0]->entries[1];
  assert_int_equal(first->timestamp->seconds, 2);
  assert_int_equal(first->timestamp->nanos, 0);
  is_text(first->line, "");
  metadata_is(first, ""); /* it is the time, so it is not told again */
  assert_int_equal(second->timestamp->seconds, NOW / 1000000000);
  assert_int_equal(second->timestamp->nanos, NOW % 1000000000);
  is_text(second->line, "{\"a\":\"<y>\",\"b\":\"x\"}");
  DONE(r);
  r = push(&plain, LOGS(RESOURCE("", SCOPE("{\"timeUnixNano\":\"9223372036854775808\",\"observedTimeUnixNano\":\"3000000000\"},{\"timeUnixNano\":\"18446744073709551615\"}"))));
  assert_int_equal(r->streams[0]->entries[0]->timestamp->seconds, 3);
  assert_int_equal(r->streams[0]->entries[1]->timestamp->seconds, NOW / 1000000000);
  DONE(r);
}

static void streams_are_grouped_and_sorted(void **state) {
  (void)state;
  LokiOracle__PushRequest *r = push(&plain, LOGS(RESOURCE(STR("service.name", "a"), SCOPE(LINE("30", "3") "," LINE("10", "1"))) "," RESOURCE(STR("service.name", "b"), SCOPE(LINE("5", "b"))) ","
    RESOURCE(STR("service.name", "a") "," STR("x", "y"), SCOPE(LINE("20", "2") "," LINE("10", "1 again"))) "," RESOURCE(STR("service.name", "c"), SCOPE(""))));
  static const char *const lines[] = { "1", "1 again", "2", "3" };
  assert_int_equal(r->n_streams, 2); /* c has no entry */
  assert_int_equal(r->streams[0]->n_entries, 4);
  for (size_t i = 0; i < 4; i++) is_text(r->streams[0]->entries[i]->line, lines[i]);
  metadata_is(r->streams[0]->entries[1], "x=y");
  metadata_is(r->streams[0]->entries[3], "");
  assert_int_equal(r->streams[1]->n_entries, 1);
  DONE(r);
}

static void entries_of_every_size(void **state) {
  (void)state;
  static const size_t sizes[] = { 1, 60, 115, 116, 117, 120, 125, 127, 128, 16370, 16378, 16384, 70000 };
  char *text = malloc(1 << 20);
  size_t n = (size_t)sprintf(text, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[");
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    n += (size_t)sprintf(text + n, "%s{\"timeUnixNano\":\"%zu\",\"body\":{\"stringValue\":\"", i ? "," : "", i + 1);
    memset(text + n, 'a' + (int)i, sizes[i]);
    n += sizes[i];
    n += (size_t)sprintf(text + n, "\"}}");
  }
  strcpy(text + n, "]}]}]}");
  LokiOracle__PushRequest *r = push(&plain, text);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const LokiOracle__Entry *e = r->streams[0]->entries[i];
    assert_int_equal(e->line.len, sizes[i]);
    for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(e->line.data[k], 'a' + (int)i);
  }
  DONE(r);
  free(text);
}

static void many_streams(void **state) {
  (void)state;
  enum { N = 3000 };
  char *text = malloc(N * 300);
  size_t n = (size_t)sprintf(text, "{\"resourceLogs\":[");
  for (int i = 0; i < 2 * N; i++)
    n += (size_t)sprintf(text + n, "%s{\"resource\":{\"attributes\":[{\"key\":\"region\",\"value\":{\"intValue\":\"%d\"}}]},\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"%d\"}]}]}", i ? "," : "",
      i % N, 2 * N - i);
  strcpy(text + n, "]}");
  struct push *p = push_new(&plain, 0, LIMIT);
  size_t bytes;
  for (int round = 0; round < 2; round++) { /* the second with the buffers of the first */
    char *out = encode(p, text, &bytes);
    LokiOracle__PushRequest *r = loki_oracle__push_request__unpack(NULL, bytes, (uint8_t *)out);
    assert_int_equal(r->n_streams, N);
    for (size_t i = 0; i < N; i++) {
      char labels[40];
      snprintf(labels, sizeof labels, "{region=\"%zu\"}", i);
      is_text(r->streams[i]->labels, labels);
      assert_int_equal(r->streams[i]->n_entries, 2);
      assert_true(r->streams[i]->entries[0]->timestamp->nanos < r->streams[i]->entries[1]->timestamp->nanos);
    }
    DONE(r);
    free(out);
  }
  push_free(p);
  free(text);
}

static void json_is_what_lokis_api_takes(void **state) {
  (void)state;
  struct push *p = push_new(&plain, 1, LIMIT);
  size_t n;
  char *out = encode(p, LOGS(RESOURCE(STR("service.name", "a\\\"b") "," STR("h", "\\u0001"), SCOPE(LINE("20", "two") "," LINE("10", "o\\ne"))) "," RESOURCE(STR("region", "r"), SCOPE(LINE("1", "x")))), &n);
  assert_string_equal(out, "{\"streams\":[{\"stream\":{\"service_name\":\"a\\\"b\"},\"values\":[[\"10\",\"o\\ne\",{\"h\":\"\\u0001\"}],[\"20\",\"two\",{\"h\":\"\\u0001\"}]]},"
                           "{\"stream\":{\"region\":\"r\"},\"values\":[[\"1\",\"x\",{}]]}]}");
  free(out);
  out = encode(p, "{}", &n);
  assert_string_equal(out, "{\"streams\":[]}");
  free(out);
  push_free(p);
}

static void what_is_larger_than_allowed_is_not_made(void **state) {
  (void)state;
  for (int json = 0; json < 2; json++) {
    struct push *p = push_new(&plain, json, 200);
    struct tree t;
    const struct weir_iov *iov;
    struct weir_error err = { 0 };
    size_t n;
    read_json(&t, LOGS(RESOURCE(STR("a", "0123456789012345678901234567890123456789"), SCOPE(LINE("1", "x") "," LINE("2", "x") "," LINE("3", "x") "," LINE("4", "x")))));
    assert_int_equal(push_encode(p, &t.data, NOW, &iov, &n, &err), WEIR_E_LIMIT);
    assert_string_equal(err.msg, "over max_message_bytes");
    tree_done(&t);
    char *out = encode(p, LOGS(RESOURCE("", SCOPE(LINE("1", "x")))), &n); /* and the next one is */
    assert_true(n < 200);
    free(out);
    push_free(p);
  }
}

/* A prefix is copied to each leaf below it, so deep mappings with long keys must not grow without bound. */
static void deep_mappings_stay_small(void **state) {
  (void)state;
  char *text = malloc(1 << 20), key[301];
  memset(key, 'k', 300);
  key[300] = 0;
  size_t n = (size_t)sprintf(text, "{\"resourceLogs\":[{\"resource\":{\"attributes\":[");
  for (int i = 0; i < 20; i++) n += (size_t)sprintf(text + n, "{\"key\":\"%s\",\"value\":{\"kvlistValue\":{\"values\":[", key);
  n += (size_t)sprintf(text + n, "{\"key\":\"leaf\",\"value\":{\"intValue\":\"1\"}}");
  for (int i = 0; i < 20; i++) n += (size_t)sprintf(text + n, "]}}}");
  strcpy(text + n, "]},\"scopeLogs\":[{\"logRecords\":[{}]}]}]}");
  LokiOracle__PushRequest *r = push(&plain, text);
  const LokiOracle__Entry *e = r->streams[0]->entries[0];
  assert_int_equal(e->n_structured_metadata, 1);
  assert_int_equal(e->structured_metadata[0]->name.len, LOKI_LABEL_NAME_MAX);
  assert_int_equal(e->structured_metadata[0]->value.data[0], '{'); /* the rest, as JSON */
  DONE(r);
  free(text);
}

/* --- rules and refusals --------------------------------------------------------------------------------------------------------- */

static void static_labels_are_checked(void **state) {
  (void)state;
  static const struct {
    const char *name, *value, *said;
  } cases[] = { { "1a", "x", "`1a` is no label name" }, { "a.b", "x", "`a.b` is no label name" }, { "", "x", "`` is no label name" }, { "a", "", "`a` has no value" } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct weir_map_entry one = { cases[i].name, cases[i].value };
    struct loki_labels_config c = { .fixed = { &one, 1 }, .max = 15 };
    struct weir_error err = { 0 };
    assert_int_equal(loki_labels_check(&c, &err), WEIR_E_CONFIG);
    assert_string_equal(err.field, "labels.static");
    assert_non_null(strstr(err.msg, cases[i].said));
  }
  static const struct weir_map_entry two[] = { { "a", "x" }, { "_b", "y" } };
  struct loki_labels_config c = { .fixed = { two, 2 }, .max = 1 };
  struct weir_error err = { 0 };
  assert_int_equal(loki_labels_check(&c, &err), WEIR_E_CONFIG);
  c.max = 2;
  assert_int_equal(loki_labels_check(&c, &err), 0);
}

/* As Loki 3.7 writes them. */
static void refusals_say_how_many(void **state) {
  (void)state;
#define OLD "entry for stream '{service_name=\"s\"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-01-01T00:00:00Z"
  static const struct {
    const char *text;
    uint64_t n;
  } cases[] = {
    { "entry with timestamp 2026-11-26 09:08:45 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: ...',\nuser 'fake', total ignored: 2 out of 3 for stream: {service_name=\"s\"}\n", 2 },
    { "user 'a', total ignored: 2 out of 3 for stream: {a=\"b\"}; user 'a', total ignored: 40 out of 50 for stream: {c=\"d\"}", 42 },
    { OLD, 1 },
    { "12 errors like: " OLD "; 3 errors like: Max entry size '262144' bytes exceeded for stream '{}' while adding an entry with length '300000' bytes", 15 },
    { "12 errors like: " OLD "; 1 errors like: stream '{}' has label name too long: 'x'", 0 }, /* so many as the stream has */
    { "couldn't parse labels: 1:2: parse error", 0 },
    { "symbolizer lookup: label name is empty", 0 },
    { "entry for stream '{}' has 16 label names; limit 15", 0 },
    { "total ignored: x", 0 },
    { "99999999999999999999 errors like: " OLD, 999999999 },
    { "", 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_int_equal(loki_refused(cases[i].text, strlen(cases[i].text)), cases[i].n);
  assert_int_equal(loki_refused("\x12\x20user 'a', total ignored: 7 out of", 36), 7); /* in a Status */
  static const char schema[] = "rpc error: code = Unknown desc = failed to create stream: no schema config found for time 1500000000";
  assert_true(loki_says_no_schema(schema, strlen(schema)));
  assert_false(loki_says_no_schema("no schema", 9));
}

static int set_up(void **state) {
  (void)state;
  pool_adopt(pool = pool_new(NULL));
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  pool_free(pool);
  return 0;
}

#define T(f) cmocka_unit_test(f)

int main(void) {
  const struct CMUnitTest tests[] = { T(names_are_lokis), T(labels_come_by_the_rules), T(what_finds_no_room_is_metadata), T(attributes_of_records_make_streams), T(metadata_is_what_loki_makes_of_otlp),
    T(times_and_bodies), T(streams_are_grouped_and_sorted), T(entries_of_every_size), T(many_streams), T(json_is_what_lokis_api_takes), T(what_is_larger_than_allowed_is_not_made),
    T(deep_mappings_stay_small), T(static_labels_are_checked), T(refusals_say_how_many) };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
