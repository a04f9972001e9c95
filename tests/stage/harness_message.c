/* Requests in which every field of every message of a signal is set. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/wire.h"
#include "harness_message.h"

#define T0 HARNESS_UNIX_NS /* 2023-11-14 22:13:20 */

/* --- writing ------------------------------------------------------------------------------------------------------------- */

static void put(struct message *m, const void *p, size_t n) {
  assert_true(n <= sizeof m->p - m->n);
  if (n) memcpy(m->p + m->n, p, n);
  m->n += n;
}

static void varint(struct message *m, uint64_t v) {
  char buf[10];
  put(m, buf, (size_t)(wire_put_varint(buf, v) - buf));
}

static void num(struct message *m, uint32_t field, uint64_t v) {
  varint(m, field << 3 | WIRE_VARINT);
  varint(m, v);
}

static void bytes(struct message *m, uint32_t field, const void *p, size_t n) {
  varint(m, field << 3 | WIRE_LEN);
  varint(m, n);
  put(m, p, n);
}

static void str(struct message *m, uint32_t field, const char *s) { bytes(m, field, s, strlen(s)); }
static void sub(struct message *m, uint32_t field, const struct message *in) { bytes(m, field, in->p, in->n); }

static void fix32(struct message *m, uint32_t field, uint32_t v) {
  varint(m, field << 3 | WIRE_32);
  put(m, &v, sizeof v);
}

static void fix64(struct message *m, uint32_t field, uint64_t v) {
  varint(m, field << 3 | WIRE_64);
  put(m, &v, sizeof v);
}

static void dbl(struct message *m, uint32_t field, double d) {
  uint64_t v;
  memcpy(&v, &d, sizeof v);
  fix64(m, field, v);
}

static void attr(struct message *m, uint32_t field, const char *key, const struct message *value) {
  struct message kv = { .n = 0 };
  str(&kv, 1, key);
  sub(&kv, 2, value);
  sub(m, field, &kv);
}

static void attr_str(struct message *m, uint32_t field, const char *key, const char *value) {
  struct message v = { .n = 0 };
  str(&v, 1, value);
  attr(m, field, key, &v);
}

static void attr_int(struct message *m, uint32_t field, const char *key, int64_t value) {
  struct message v = { .n = 0 };
  num(&v, 3, (uint64_t)value);
  attr(m, field, key, &v);
}

static void attr_double(struct message *m, uint32_t field, const char *key, double value) {
  struct message v = { .n = 0 };
  dbl(&v, 4, value);
  attr(m, field, key, &v);
}

static const char trace_id[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, (char)0xff },
                  span_id[8] = { 1, 2, 3, 4, 5, 6, 7, (char)0xab };

/* Resource* {resource = 1, Scope* = 2, schema_url = 3} with one scope {scope = 1, records = 2, schema_url = 3}. */
static struct message request(const struct message *records, size_t n) {
  struct message resource = { .n = 0 }, scope = { .n = 0 }, in = { .n = 0 }, out = { .n = 0 }, req = { .n = 0 };
  attr_str(&resource, 1, "service.name", "shop");
  str(&scope, 1, "lib");
  str(&scope, 2, "1.2");
  attr_int(&scope, 3, "build", 7);
  sub(&in, 1, &scope);
  for (size_t i = 0; i < n; i++) sub(&in, 2, &records[i]);
  str(&in, 3, "https://s/2");
  sub(&out, 1, &resource);
  sub(&out, 2, &in);
  str(&out, 3, "https://s/1");
  sub(&req, 1, &out);
  return req;
}

/* A value of every kind. */
static void attrs_of_all_kinds(struct message *m, uint32_t field) {
  struct message yes = { .n = 0 }, none = { .n = 0 }, array = { .n = 0 }, map = { .n = 0 }, one = { .n = 0 }, v = { .n = 0 };
  attr_str(m, field, "str", "a \"b\"\n\x1b[31m\xc3\xa9\xff");
  attr_str(m, field, "marks",
    "\x7f\xc2\x85\xe2\x80\xa8\xe2\x80\xae\xc0\x80\xed\xa0\x80"); /* DEL, a C1 control, a line, a direction; two that are none */
  num(&yes, 2, 1);
  attr(m, field, "bool", &yes);
  attr_int(m, field, "int", -5);
  attr_double(m, field, "double", 0.1);
  num(&one, 3, 1);
  sub(&array, 1, &one);
  sub(&array, 1, &yes);
  sub(&v, 5, &array);
  attr(m, field, "array", &v);
  attr_str(&map, 1, "k", "v\t");
  v.n = 0;
  sub(&v, 6, &map);
  attr(m, field, "map", &v);
  v.n = 0;
  bytes(&v, 7, "\x00\xfe", 2);
  attr(m, field, "bytes", &v);
  attr(m, field, "empty", &none);
}

static struct message full_span(void) {
  struct message s = { .n = 0 }, event = { .n = 0 }, link = { .n = 0 }, status = { .n = 0 };
  bytes(&s, 1, trace_id, 16);
  bytes(&s, 2, span_id, 8);
  str(&s, 3, "vendor=1");
  bytes(&s, 4, "parentid", 8);
  str(&s, 5, "GET /a\nFORGED");
  num(&s, 6, 2);
  fix64(&s, 7, T0);
  fix64(&s, 8, T0 + 1500250);
  attrs_of_all_kinds(&s, 9);
  num(&s, 10, 3);
  fix64(&event, 1, T0 + 120000000);
  str(&event, 2, "exception");
  attr_str(&event, 3, "exception.type", "E");
  sub(&s, 11, &event);
  num(&s, 12, 4);
  bytes(&link, 1, trace_id, 16);
  bytes(&link, 2, span_id, 8);
  str(&link, 3, "s=1");
  attr_int(&link, 4, "n", 1);
  num(&link, 5, 2);
  sub(&s, 13, &link);
  num(&s, 14, 5);
  str(&status, 2, "it broke");
  num(&status, 3, 2);
  sub(&s, 15, &status);
  fix32(&s, 16, 0x101);
  return s;
}

static struct message traces(void) {
  struct message spans[2] = { full_span(), { .n = 0 } };
  str(&spans[1], 5, "bare");
  return request(spans, 2);
}

static struct message logs(void) {
  struct message l[2] = { { .n = 0 }, { .n = 0 } }, body = { .n = 0 };
  fix64(&l[0], 1, T0 + 5);
  num(&l[0], 2, 13);
  str(&l[0], 3, "WARN");
  str(&body, 1, "disk is full\nnow");
  sub(&l[0], 5, &body);
  attr_str(&l[0], 6, "disk", "sda");
  fix32(&l[0], 8, 1);
  bytes(&l[0], 9, trace_id, 16);
  bytes(&l[0], 10, span_id, 8);
  fix64(&l[0], 11, T0 + 1000000000);
  str(&l[0], 12, "disk.full");
  num(&l[1], 2, 9);
  fix64(&l[1], 11, T0);
  return request(l, 2);
}

static struct message point(double value) {
  struct message p = { .n = 0 };
  fix64(&p, 2, T0);
  fix64(&p, 3, T0 + 1000000000);
  dbl(&p, 4, value);
  attr_str(&p, 7, "cpu", "0");
  return p;
}

static void metric(struct message *m, const char *name, uint32_t kind, const struct message *p, int temporality, int monotonic) {
  struct message data = { .n = 0 };
  str(m, 1, name);
  if (p) sub(&data, 1, p);
  if (temporality) num(&data, 2, (uint64_t)temporality);
  if (monotonic) num(&data, 3, 1);
  if (kind) sub(m, kind, &data);
}

static struct message histogram_point(void) {
  struct message p = { .n = 0 };
  uint64_t counts[3] = { 1, 2, 3 };
  double bounds[2] = { 0.5, 10 };
  fix64(&p, 3, T0);
  fix64(&p, 4, 6);
  dbl(&p, 5, 1234567.25);
  bytes(&p, 6, counts, sizeof counts);
  bytes(&p, 7, bounds, sizeof bounds);
  dbl(&p, 11, -1);
  dbl(&p, 12, 20);
  return p;
}

static struct message exp_point(void) {
  struct message p = { .n = 0 }, positive = { .n = 0 }, negative = { .n = 0 };
  fix64(&p, 3, T0);
  fix64(&p, 4, 4);
  dbl(&p, 5, 8);
  num(&p, 6, 3); /* zigzag: -2 */
  fix64(&p, 7, 1);
  num(&positive, 1, 2); /* 1 */
  bytes(&positive, 2, "\x01\x02", 2);
  sub(&p, 8, &positive);
  bytes(&negative, 2, "\x03", 1);
  sub(&p, 9, &negative);
  dbl(&p, 14, 0.25);
  return p;
}

static struct message summary_point(void) {
  struct message p = { .n = 0 }, q = { .n = 0 };
  fix64(&p, 3, T0);
  fix64(&p, 4, 9);
  dbl(&p, 5, 4.5);
  dbl(&q, 1, 0.99);
  dbl(&q, 2, 2.5);
  sub(&p, 6, &q);
  return p;
}

static struct message metrics(void) {
  struct message m[6] = { { .n = 0 } }, p = point(0.1), exemplar = { .n = 0 };
  fix64(&exemplar, 2, T0);
  dbl(&exemplar, 3, 1.5);
  bytes(&exemplar, 4, span_id, 8);
  bytes(&exemplar, 5, trace_id, 16);
  attr_str(&exemplar, 7, "user", "u");
  sub(&p, 5, &exemplar);
  num(&p, 8, 1);
  str(&m[0], 2, "How busy it is");
  str(&m[0], 3, "1");
  attr_str(&m[0], 12, "origin", "test");
  metric(&m[0], "cpu", WEIR_M_GAUGE, &p, 0, 0);
  p = point(1234567.25);
  metric(&m[1], "requests", WEIR_M_SUM, &p, 2, 1);
  p = histogram_point();
  metric(&m[2], "latency", WEIR_M_HISTOGRAM, &p, 1, 0);
  p = exp_point();
  metric(&m[3], "sizes", WEIR_M_EXP_HISTOGRAM, &p, 2, 0);
  p = summary_point();
  metric(&m[4], "old", WEIR_M_SUMMARY, &p, 0, 0);
  metric(&m[5], "nothing", 0, NULL, 0, 0);
  return request(m, 6);
}

struct message harness_every_field(uint32_t signal) {
  return signal == WEIR_TRACES ? traces() : signal == WEIR_LOGS ? logs() : metrics();
}
