/* OTLP messages by hand: what must be refused and how the refusal reads, limits, merging, what survives a rewrite, hostile shapes in linear time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/otlp_sample.h"
#include "core/otlp.h"
#include "tests/unit/support/cost.h"

#define BYTES(s) (s), sizeof(s) - 1

static struct arena arena;
static struct weir_data tree;
static struct weir_error err;

static int set_up(void **state) {
  (void)state;
  arena_init(&arena, NULL, 0);
  memset(&err, 0, sizeof err);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  arena_done(&arena);
  return 0;
}

/* Scan and decode, which must say the same. */
static int read_with(uint32_t signal, const char *p, size_t n, const struct otlp_limits *limits, uint64_t *ret_items) {
  struct otlp_counts scanned, decoded;
  struct weir_error scan_err = { 0 };
  memset(&err, 0, sizeof err);
  int r = otlp_scan(signal, p, n, limits, &scanned, &scan_err);
  assert_int_equal(otlp_decode(signal, &arena, p, n, limits, &tree, &decoded, &err), r);
  assert_string_equal(scan_err.msg, err.msg);
  assert_int_equal(scan_err.offset, err.offset);
  if (!r) assert_int_equal(scanned.items, decoded.items);
  if (ret_items) *ret_items = scanned.items;
  return r;
}

static int read_it(uint32_t signal, const char *p, size_t n) { return read_with(signal, p, n, NULL, NULL); }

/* A request of one record, which is s's content; empties s. */
static struct sample request_of(struct sample *record) {
  struct sample ss = { NULL, 0, 0 }, rs = { NULL, 0, 0 }, req = { NULL, 0, 0 };
  sample_sub(&ss, 2, record);
  sample_sub(&rs, 2, &ss);
  sample_sub(&req, 1, &rs);
  free(ss.p);
  free(rs.p);
  return req;
}

static struct sample encoded(void) {
  const char *p;
  struct sample s = { NULL, 0, 0 };
  size_t n;
  assert_int_equal(otlp_encode(&tree, &arena, &p, &n, &err), 0);
  sample_bytes(&s, p, n);
  return s;
}

/* --- refusals ------------------------------------------------------------------------------------------- */

static void refused(uint32_t signal, const char *p, size_t n, uint64_t offset, const char *words) {
  assert_int_equal(read_it(signal, p, n), WEIR_E_INVALID);
  assert_int_equal(err.offset, offset);
  if (!strstr(err.msg, words)) fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

static void malformed_messages_are_refused_with_the_place(void **state) {
  (void)state;
  refused(WEIR_TRACES, BYTES("\x0a"), 0, "cut off");
  refused(WEIR_TRACES, BYTES("\x0a\x05\x12"), 0, "request: field 1 is 5 bytes long and runs past its message");
  refused(WEIR_TRACES, BYTES("\x0a\x02\x12\x01"), 2, "resource_spans: field 2 is 1 bytes long and runs past its message");
  refused(WEIR_TRACES, BYTES("\x02\x00"), 0, "field number 0");
  refused(WEIR_TRACES, BYTES("\x82\x00\x00"), 0, "field number 0");                         /* overlong, as well */
  refused(WEIR_TRACES, BYTES("\x82\x80\x80\x80\x10\x00"), 0, "field number");               /* 2^29 */
  refused(WEIR_TRACES, BYTES("\x8a\x80\x80\x80\x80\x00\x00"), 0, "longer than 5 bytes");    /* a tag of 6 bytes */
  refused(WEIR_TRACES, BYTES("\x0a\x80\x80\x80\x80\x80\x00"), 0, "longer than 5 bytes");    /* a length of 6 bytes */
  refused(WEIR_TRACES, BYTES("\x0b\x0c"), 0, "wire type 3");                                /* a group */
  refused(WEIR_TRACES, BYTES("\xa0\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0, "longer than 10 bytes"); /* unknown field 100 */
  refused(WEIR_TRACES, BYTES("\x08\x01"), 0, "resource_spans: wire type 0 instead of 2");
  refused(WEIR_TRACES, BYTES("\x0a\x08\x12\x06\x12\x04\x4a\x02\x0a\x09"), 8, "resource_spans.scope_spans.spans.attributes");
  refused(WEIR_LOGS, BYTES("\x0a\x08\x12\x06\x12\x04\x2a\x02\x1d\x01"), 8, "resource_logs.scope_logs.log_records.body");
  refused(WEIR_METRICS, BYTES("\x0a\x0b\x12\x09\x12\x07\x4a\x05\x0a\x03\x32\x01\x00"), 10, "histogram.data_points.bucket_counts: packed length 1");
  refused(WEIR_METRICS, BYTES("\x0a\x0d\x12\x0b\x12\x09\x52\x07\x0a\x05\x42\x03\x12\x01\x80"), 12, "positive.bucket_counts: a packed number");
}

static void groups_and_bad_types_are_refused_where_they_are_unknown_too(void **state) {
  (void)state;
  refused(WEIR_TRACES, BYTES("\xa3\x06\xa4\x06"), 0, "wire type 3");
  refused(WEIR_TRACES, BYTES("\xa6\x06"), 0, "wire type 6");
  assert_int_equal(read_it(WEIR_TRACES, BYTES("\xa2\x06\x03\x0b\xff\xff")), 0); /* but what stands inside an unknown field is nobody's business */
}

/* n nested arrays as the value of a span's attribute; each is an AnyValue in an ArrayValue. */
static struct sample nested(uint64_t n) {
  struct sample a = { NULL, 0, 0 }, b = { NULL, 0, 0 }, span = { NULL, 0, 0 };
  for (uint64_t i = 0; i < n; i++) {
    sample_sub(&b, 1, &a);
    sample_sub(&a, 5, &b);
  }
  sample_sub(&b, 2, &a);
  sample_sub(&span, 9, &b);
  struct sample req = request_of(&span);
  free(a.p);
  free(b.p);
  free(span.p);
  return req;
}

static void nesting_is_limited(void **state) {
  (void)state;
  struct sample ok = nested(47), over = nested(48), mad = nested(10000);
  assert_int_equal(read_it(WEIR_TRACES, ok.p, ok.n), 0); /* 5 messages down to the value, 2 a level: 99 */
  refused(WEIR_TRACES, over.p, over.n, over.n - 2, "nested deeper than 100 messages (max_depth)");
  assert_int_equal(read_it(WEIR_TRACES, mad.p, mad.n), WEIR_E_INVALID);
  assert_non_null(strstr(err.msg, "...")); /* the path is cut */
  struct otlp_limits three = { .max_depth = 4 };
  struct sample flat = nested(0);
  assert_int_equal(read_with(WEIR_TRACES, flat.p, flat.n, &three, NULL), WEIR_E_INVALID);
  assert_string_equal(err.msg, "resource_spans.scope_spans.spans.attributes.value: nested deeper than 4 messages (max_depth) (at byte 8)");
  free(ok.p);
  free(over.p);
  free(mad.p);
  free(flat.p);
}

static void counts_are_limited(void **state) {
  (void)state;
  struct sample s = sample_request(0, 5);
  struct otlp_limits records = { .max_records = 4 }, attributes = { .max_attributes = 9 }, elements = { .max_elements = 20 };
  struct otlp_counts c;
  assert_int_equal(read_with(WEIR_TRACES, s.p, s.n, &records, NULL), WEIR_E_LIMIT);
  assert_non_null(strstr(err.msg, "resource_spans.scope_spans.spans: more than 4 records in one message"));
  assert_int_equal(otlp_count(WEIR_TRACES, s.p, s.n, &records, &c, &err), WEIR_E_LIMIT);
  assert_int_equal(read_with(WEIR_TRACES, s.p, s.n, &attributes, NULL), WEIR_E_LIMIT);
  assert_non_null(strstr(err.msg, "more than 9 attributes on one record"));
  assert_int_equal(read_with(WEIR_TRACES, s.p, s.n, &elements, NULL), WEIR_E_LIMIT);
  assert_non_null(strstr(err.msg, "more than 20 elements"));
  free(s.p);
}

/* --- what is accepted ---------------------------------------------------------------------------------------- */

static void empty_messages_are_legal(void **state) {
  (void)state;
  uint64_t items;
  assert_int_equal(read_with(WEIR_TRACES, "", 0, NULL, &items), 0);
  assert_int_equal(items, 0);
  assert_int_equal(read_with(WEIR_TRACES, BYTES("\x0a\x04\x12\x02\x12\x00"), NULL, &items), 0);
  assert_int_equal(items, 1);
  struct weir_span *span = tree.resources[0]->scopes[0]->u.spans[0];
  assert_int_equal(span->rec.kind, WEIR_R_SPAN);
  assert_int_equal(span->rec.n_attrs, 0);
  struct sample out = encoded();
  assert_int_equal(out.n, 6);
  assert_memory_equal(out.p, "\x0a\x04\x12\x02\x12\x00", 6);
  free(out.p);
}

static void the_envelope_scan_counts_and_leaves_records_alone(void **state) {
  (void)state;
  struct otlp_counts c;
  assert_int_equal(otlp_count(WEIR_TRACES, BYTES("\x0a\x08\x12\x06\x12\x04\x4a\x02\x0a\x09"), NULL, &c, &err), 0);
  assert_int_equal(c.items, 1);
  assert_int_equal(otlp_count(WEIR_TRACES, BYTES("\x0a\x08\x12\x06\x12\x05\x4a\x02\x0a\x09"), NULL, &c, &err), WEIR_E_INVALID);
  assert_int_equal(otlp_count(WEIR_METRICS, BYTES("\x0a\x0a\x12\x08\x12\x06\x2a\x04\x0a\x00\x0a\x00"), NULL, &c, &err), 0); /* points, not metrics */
  assert_int_equal(c.items, 2);
}

/* The last member of Metric.data counts; points of those before it are gone, from the count too. */
static void the_last_member_of_a_oneof_stays(void **state) {
  (void)state;
  static const char bytes[] = "\x0a\x14\x12\x12\x12\x10\x3a\x06\x0a\x00\x0a\x00\x10\x02\x2a\x02\x0a\x00\x2a\x02\x0a\x00"; /* sum, gauge, gauge */
  struct otlp_counts c;
  uint64_t items;
  assert_int_equal(read_with(WEIR_METRICS, BYTES(bytes), NULL, &items), 0);
  assert_int_equal(items, 2);
  const struct weir_metric *m = tree.resources[0]->scopes[0]->u.metrics[0];
  assert_int_equal(m->type, WEIR_M_GAUGE);
  assert_int_equal(m->n_points, 2);
  assert_int_equal(m->temporality, 0);
  assert_int_equal(otlp_count(WEIR_METRICS, BYTES(bytes), NULL, &c, &err), 0);
  assert_int_equal(c.items, 2);
}

/* As the Go SDK writes: fields in descending order. */
static void field_order_is_free(void **state) {
  (void)state;
  struct sample kv = { NULL, 0, 0 }, span = { NULL, 0, 0 }, ss = { NULL, 0, 0 }, rs = { NULL, 0, 0 }, req = { NULL, 0, 0 };
  sample_field(&kv, 2, "\x0a\x01v", 3);
  sample_field(&kv, 1, "k", 1);
  sample_sub(&span, 9, &kv);
  sample_field(&span, 5, "name", 4);
  sample_sub(&ss, 2, &span);
  sample_field(&ss, 1, "\x0a\x05scope", 7);
  sample_sub(&rs, 2, &ss);
  sample_field(&rs, 1, "\x0a\x03\x0a\x01r", 5);
  sample_sub(&req, 1, &rs);
  assert_int_equal(read_it(WEIR_TRACES, req.p, req.n), 0);
  const struct weir_resource *r = tree.resources[0];
  assert_true(weir_str_eq(r->rec.attrs[0].key, weir_str_of("r")));
  assert_true(weir_str_eq(r->scopes[0]->name, weir_str_of("scope")));
  const struct weir_attr *a = weir_attr_find(&r->scopes[0]->u.spans[0]->rec, weir_str_of("k"));
  assert_true(a && a->value.kind == WEIR_V_STRING && a->value.u.s[0] == 'v');
  free(kv.p);
  free(span.p);
  free(ss.p);
  free(rs.p);
  free(req.p);
}

/* --- merging ---------------------------------------------------------------------------------------------------- */

static void a_resource_that_occurs_twice_is_merged(void **state) {
  (void)state;
  struct sample rs = { NULL, 0, 0 }, req = { NULL, 0, 0 };
  sample_field(&rs, 1, "\x0a\x03\x0a\x01" "a" "\xa0\x06\x07", 8); /* with an unknown field 100 */
  sample_field(&rs, 1, "\x10\x05", 2);
  sample_field(&rs, 1, "\x0a\x03\x0a\x01" "b", 5);
  sample_sub(&req, 1, &rs);
  assert_int_equal(read_it(WEIR_TRACES, req.p, req.n), 0);
  const struct weir_rec *rec = &tree.resources[0]->rec;
  assert_int_equal(rec->n_attrs, 2);
  assert_int_equal(rec->dropped_attrs, 5);
  struct sample out = encoded(); /* once, with all of it */
  static const char once[] = "\x0a\x11\x0a\x0f\x0a\x03\x0a\x01" "a" "\x0a\x03\x0a\x01" "b" "\x10\x05\xa0\x06\x07";
  assert_int_equal(out.n, sizeof once - 1);
  assert_memory_equal(out.p, once, out.n);
  free(out.p);
  free(rs.p);
  free(req.p);
}

/* A log record with two bodies, an attribute with two values: equal members merge, another one replaces. */
static void bodies_and_values_merge(void **state) {
  (void)state;
  struct sample log = { NULL, 0, 0 };
  sample_field(&log, 5, "\x32\x05\x0a\x03\x0a\x01" "a", 7);
  sample_field(&log, 6, "\x0a\x01k\x12\x06\x2a\x04\x0a\x02\x18\x01\x12\x06\x2a\x04\x0a\x02\x18\x02", 19);
  sample_field(&log, 6, "\x0a\x01l\x12\x06\x2a\x04\x0a\x02\x18\x01\x12\x03\x0a\x01x", 16);
  sample_field(&log, 5, "\x32\x05\x0a\x03\x0a\x01" "b", 7);
  struct sample req = request_of(&log);
  assert_int_equal(read_it(WEIR_LOGS, req.p, req.n), 0);
  const struct weir_log *l = tree.resources[0]->scopes[0]->u.logs[0];
  assert_int_equal(l->body.kind, WEIR_V_KVLIST);
  assert_int_equal(l->body.n, 2);
  assert_int_equal(l->body.u.attrs[1].key.p[0], 'b');
  assert_int_equal(l->rec.n_attrs, 2);
  assert_int_equal(l->rec.attrs[0].value.kind, WEIR_V_ARRAY);
  assert_int_equal(l->rec.attrs[0].value.n, 2);
  assert_int_equal(l->rec.attrs[0].value.u.items[1].u.i, 2);
  assert_int_equal(l->rec.attrs[1].value.kind, WEIR_V_STRING);
  free(log.p);
  free(req.p);
}

static void read_repetition(void *arg, size_t n) {
  const uint32_t *shape = arg; /* signal, field */
  struct sample record = { NULL, 0, 0 };
  for (size_t k = 0; k < n; k++) sample_field(&record, shape[1], "", 0);
  struct sample req = request_of(&record);
  assert_int_equal(read_it(shape[0], req.p, req.n), 0);
  if (shape[0] == WEIR_LOGS) { /* a rewrite must be in proportion too */
    tree.resources[0]->scopes[0]->u.logs[0]->rec.dirty |= RECORD_REWRITE;
    struct sample out = encoded();
    free(out.p);
  }
  assert_true(arena_size(&arena) < 120 * req.n);
  free(record.p);
  free(req.p);
  arena_done(&arena);
}

/* Two bytes each, half a million of them: the tree and the time must stay in proportion. */
static void hostile_repetition_costs_no_more_than_its_bytes(void **state) {
  static uint32_t shapes[][2] = { { WEIR_LOGS, 5 }, { WEIR_TRACES, 15 }, { WEIR_TRACES, 11 }, { WEIR_METRICS, 7 }, { WEIR_METRICS, 5 } };
  (void)state;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) assert_cost_in_proportion(read_repetition, shapes[i], 125000);
}

/* --- what a rewrite keeps ------------------------------------------------------------------------------------------- */

static void unknown_fields_survive_a_rewrite(void **state) {
  (void)state;
  struct sample status = { NULL, 0, 0 }, span = { NULL, 0, 0 };
  sample_field(&status, 2, "bad", 3);
  sample_field(&status, 90, "S", 1);
  sample_sub(&span, 15, &status);
  sample_field(&span, 91, "N", 1);
  struct sample req = request_of(&span);
  sample_field(&req, 92, "T", 1);
  assert_int_equal(read_it(WEIR_TRACES, req.p, req.n), 0);
  tree.resources[0]->scopes[0]->u.spans[0]->rec.dirty |= RECORD_REWRITE;
  struct sample out = encoded();
  assert_int_equal(out.n, req.n);
  assert_non_null(memmem(out.p, out.n, "\x7a\x09\x12\x03" "bad\xd2\x05\x01S", 11)); /* inside the status */
  assert_non_null(memmem(out.p, out.n, "\xda\x05\x01N", 4));
  assert_memory_equal(out.p + out.n - 4, "\xe2\x05\x01T", 4); /* at the end of the request */
  free(status.p);
  free(span.p);
  free(req.p);
  free(out.p);
}

/* proto3 leaves defaults out, but not what has presence. */
static void presence_survives_a_rewrite(void **state) {
  (void)state;
  /* histogram point with sum 0 and min -0.0; number point with as_int 0 */
  static const char bytes[] = "\x0a\x2b\x12\x29\x12\x16\x4a\x14\x0a\x12\x29\0\0\0\0\0\0\0\0\x59\0\0\0\0\0\0\0\x80\x12\x0f\x2a\x0d\x0a\x09\x31\0\0\0\0\0\0\0\0\x0a\x00";
  struct sample req = { NULL, 0, 0 };
  sample_bytes(&req, bytes, sizeof bytes - 1);
  assert_int_equal(read_it(WEIR_METRICS, req.p, req.n), 0);
  struct weir_scope *scope = tree.resources[0]->scopes[0];
  for (uint32_t i = 0; i < scope->n_records; i++) {
    scope->u.recs[i]->dirty |= RECORD_REWRITE;
    for (uint32_t k = 0; k < scope->u.metrics[i]->n_points; k++) scope->u.metrics[i]->points.any[k]->rec.dirty |= RECORD_REWRITE;
  }
  assert_int_equal(scope->u.metrics[0]->points.histogram[0]->has, WEIR_HAS_SUM | WEIR_HAS_MIN);
  struct sample out = encoded();
  assert_int_equal(out.n, req.n);
  assert_memory_equal(out.p, req.p, req.n);
  free(out.p);
  free(req.p);
}

static void numbers_are_written_canonically(void **state) {
  (void)state;
  struct sample span = { NULL, 0, 0 };
  static const char odd[] = "\x30\xff\xff\xff\xff\x0f"             /* kind -1 in 5 bytes */
                            "\x50\xff\xff\xff\xff\x0f"             /* dropped_attributes_count 4294967295 */
                            "\x60\x81\x80\x80\x80\x80\x80\x80\x00"; /* dropped_events_count 1, overlong */
  sample_bytes(&span, odd, sizeof odd - 1);
  struct sample req = request_of(&span);
  assert_int_equal(read_it(WEIR_TRACES, req.p, req.n), 0);
  struct weir_span *s = tree.resources[0]->scopes[0]->u.spans[0];
  assert_int_equal(s->kind, -1);
  assert_int_equal(s->rec.dropped_attrs, UINT32_MAX);
  assert_int_equal(s->dropped_events, 1);
  s->rec.dirty |= RECORD_REWRITE;
  struct sample out = encoded();
  static const char canonical[] = "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x50\xff\xff\xff\xff\x0f\x60\x01";
  assert_int_equal(out.n, 6 + sizeof canonical - 1);
  assert_memory_equal(out.p + 6, canonical, sizeof canonical - 1);
  free(out.p);
  free(req.p);
  free(span.p);
}

/* An unchanged body keeps unknown fields; a changed one is written from its value. */
static void log_bodies_are_copied_until_changed(void **state) {
  (void)state;
  struct sample log = { NULL, 0, 0 };
  sample_field(&log, 5, "\x0a\x01" "b\xa0\x06\x07", 6);
  struct sample req = request_of(&log);
  assert_int_equal(read_it(WEIR_LOGS, req.p, req.n), 0);
  struct weir_log *l = tree.resources[0]->scopes[0]->u.logs[0];
  l->severity_number = 9;
  l->rec.dirty |= RECORD_REWRITE;
  struct sample out = encoded();
  assert_non_null(memmem(out.p, out.n, "\x10\x09\x2a\x06\x0a\x01" "b\xa0\x06\x07", 10));
  l->body = weir_value_str("new", 3);
  struct sample changed = encoded();
  assert_non_null(memmem(changed.p, changed.n, "\x2a\x05\x0a\x03new", 7));
  assert_null(memmem(changed.p, changed.n, "\xa0\x06\x07", 3));
  free(log.p);
  free(req.p);
  free(out.p);
  free(changed.p);
}

/* --- the answer to an export ------------------------------------------------------------------------------------------ */

static void responses_round_trip(void **state) {
  (void)state;
  char buf[256];
  struct weir_otlp_response r;
  assert_int_equal(otlp_response_make(0, NULL, buf, sizeof buf), 0); /* full success is the empty message */
  assert_int_equal(otlp_response_parse(buf, 0, &r), 0);
  assert_int_equal(r.rejected, 0);
  size_t n = otlp_response_make(300, "too old", buf, sizeof buf);
  assert_int_equal(n, 14);
  assert_memory_equal(buf, "\x0a\x0c\x08\xac\x02\x12\x07too old", n);
  assert_int_equal(otlp_response_parse(buf, n, &r), 0);
  assert_int_equal(r.rejected, 300);
  assert_true(weir_str_eq(r.message, weir_str_of("too old")));
  n = otlp_response_make(0, "only a warning", buf, sizeof buf);
  assert_int_equal(otlp_response_parse(buf, n, &r), 0);
  assert_int_equal(r.rejected, 0);
  assert_int_equal(r.message.n, 14);
  assert_int_equal(otlp_response_parse("\x0a\x05\x08", 3, &r), WEIR_E_INVALID);
  assert_int_equal(otlp_response_parse("\x0a\x01\x08", 3, &r), WEIR_E_INVALID);
  char long_text[1000];
  memset(long_text, 'x', sizeof long_text - 1);
  long_text[sizeof long_text - 1] = 0;
  n = otlp_response_make(UINT64_MAX / 2, long_text, buf, sizeof buf);
  assert_true(n > 0 && n <= sizeof buf);
  assert_int_equal(otlp_response_parse(buf, n, &r), 0);
  assert_true(r.message.n > 200 && r.rejected == INT64_MAX);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
    TEST(malformed_messages_are_refused_with_the_place),
    TEST(groups_and_bad_types_are_refused_where_they_are_unknown_too),
    TEST(nesting_is_limited),
    TEST(counts_are_limited),
    TEST(empty_messages_are_legal),
    TEST(the_envelope_scan_counts_and_leaves_records_alone),
    TEST(the_last_member_of_a_oneof_stays),
    TEST(field_order_is_free),
    TEST(a_resource_that_occurs_twice_is_merged),
    TEST(bodies_and_values_merge),
    TEST(hostile_repetition_costs_no_more_than_its_bytes),
    TEST(unknown_fields_survive_a_rewrite),
    TEST(presence_survives_a_rewrite),
    TEST(numbers_are_written_canonically),
    TEST(log_bodies_are_copied_until_changed),
    TEST(responses_round_trip),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
