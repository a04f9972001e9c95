/*
 * OTLP/JSON: generated messages of all signals go from protobuf to JSON and back and are the same; every kind of text that is no JSON, or no OTLP/JSON,
 * is refused at the byte; what is allowed is read as it should be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/otlp_json.h"
#include "core/otlp_json_text.h"
#include "core/otlp_table.h"
#include "tests/unit/oracle/otlp_oracle.h"
#include "tests/unit/support/otlp_gen.h"

static struct pool *pool;

/* A copy with no byte more, so that a sanitizer sees a read past the end. */
static int decode(uint32_t signal, const char *text, size_t n, const struct otlp_limits *limits, struct weir_body **ret, struct weir_error *err) {
  struct otlp_counts counts;
  char *exact = malloc(n ? n : 1);
  memcpy(exact, text, n);
  memset(err, 0, sizeof *err);
  int r = otlp_json_decode(pool, signal, exact, n, limits, ret, &counts, err);
  free(exact);
  if (r) return r;
  struct otlp_counts scanned;
  struct weir_error why = { 0 };
  if (otlp_scan(signal, (*ret)->p, (*ret)->n, limits, &scanned, &why)) fail_msg("what was written is refused: %s", why.msg);
  assert_int_equal(scanned.items, counts.items);
  return 0;
}

/* --- names ------------------------------------------------------------------------------------------------------------------- */

static void camel(const char *name, char *out) {
  for (; *name; name++) {
    if (*name == '_') *out++ = (char)(*++name - 32);
    else *out++ = *name;
  }
  *out = 0;
}

static void same_names(const struct otlp_msg *msg, const ProtobufCMessageDescriptor *d, int depth) {
  if (depth > 12) return; /* values nest without end */
  for (uint32_t i = 1; i < msg->n_fields; i++) {
    const struct otlp_field *f = &msg->fields[i];
    const ProtobufCFieldDescriptor *theirs = protobuf_c_message_descriptor_get_field(d, i);
    char name[64];
    if (f->op == OP_NONE) continue;
    assert_non_null(theirs);
    camel(theirs->name, name);
    assert_string_equal(f->json_name, name);
    assert_int_equal(f->json_n, strlen(name));
    assert_int_equal(f->json == JSON_MESSAGE, theirs->type == PROTOBUF_C_TYPE_MESSAGE);
    assert_int_equal(f->json == JSON_DOUBLE, theirs->type == PROTOBUF_C_TYPE_DOUBLE);
    assert_int_equal(f->json == JSON_BOOL, theirs->type == PROTOBUF_C_TYPE_BOOL);
    assert_int_equal(f->json == JSON_INT64, theirs->type == PROTOBUF_C_TYPE_INT64 || theirs->type == PROTOBUF_C_TYPE_SFIXED64);
    assert_int_equal(f->json == JSON_UINT64, theirs->type == PROTOBUF_C_TYPE_UINT64 || theirs->type == PROTOBUF_C_TYPE_FIXED64);
    assert_int_equal(f->json == JSON_TRACE_ID || f->json == JSON_SPAN_ID, strstr(theirs->name, "_id") != NULL);
    if (f->msg) same_names(f->msg, theirs->descriptor, depth + 1);
  }
}

static void names(void **state) {
  (void)state;
  same_names(otlp_request(WEIR_TRACES), oracle_request(WEIR_TRACES), 0);
  same_names(otlp_request(WEIR_METRICS), oracle_request(WEIR_METRICS), 0);
  same_names(otlp_request(WEIR_LOGS), oracle_request(WEIR_LOGS), 0);
}

/* --- there and back ------------------------------------------------------------------------------------------------------------ */

static struct weir_body *to_json(uint32_t signal, const char *p, size_t n) {
  struct weir_data tree;
  struct otlp_counts counts;
  struct arena a;
  struct weir_error err = { 0 };
  struct weir_body *text;
  arena_init(&a, NULL, 0);
  if (otlp_decode(signal, &a, p, n, NULL, &tree, &counts, &err)) fail_msg("%s", err.msg);
  assert_int_equal(otlp_json_encode(pool, &tree, &text, &err), 0);
  arena_done(&a);
  return text;
}

static void tree_equals(uint32_t signal, const struct weir_body *b, const ProtobufCMessage *expected) {
  struct weir_data tree;
  struct otlp_counts counts;
  struct arena a;
  arena_init(&a, NULL, 0);
  assert_int_equal(otlp_decode(signal, &a, b->p, b->n, NULL, &tree, &counts, NULL), 0);
  if (oracle_differs(&tree, expected)) fail_msg("what came back differs at %s", oracle_where);
  arena_done(&a);
}

static void there_and_back(uint64_t seed, int wild) {
  static const uint32_t signals[] = { WEIR_TRACES, WEIR_METRICS, WEIR_LOGS };
  struct gen_bytes b = { NULL, 0, 0 };
  uint64_t text_bytes = 0;
  for (int i = 0; i < 600; i++) {
    struct gen g = { seed + (uint64_t)i, wild, 1 + i / 3 % 4, 1 };
    uint32_t signal = signals[i % 3];
    struct gen_bytes normal = { NULL, 0, 0 };
    struct weir_body *back;
    struct weir_error err;
    b.n = 0;
    gen_message(&g, oracle_request(signal), 0, &b);
    assert_true(gen_normalize(oracle_request(signal), b.p, b.n, &normal));
    ProtobufCMessage *m = protobuf_c_message_unpack(oracle_request(signal), NULL, normal.n, (const uint8_t *)normal.p);
    struct weir_body *text = to_json(signal, b.p ? b.p : "", b.n);
    if (decode(signal, text->p, text->n, NULL, &back, &err)) fail_msg("seed %d: %s in %.*s", i, err.msg, (int)text->n, text->p);
    tree_equals(signal, back, m);
    struct weir_body *again = to_json(signal, back->p, back->n);
    assert_int_equal(again->n, text->n);
    assert_memory_equal(again->p, text->p, text->n);
    text_bytes += text->n;
    protobuf_c_message_free_unpacked(m, NULL);
    body_free(text);
    body_free(again);
    body_free(back);
    free(normal.p);
  }
  assert_true(text_bytes > 500000);
  free(b.p);
}

static void plain_messages(void **state) {
  (void)state;
  there_and_back(5000, 0);
}

static void wild_messages(void **state) {
  (void)state;
  there_and_back(6000, 1);
}

/* --- refused ----------------------------------------------------------------------------------------------------------------------- */

struct refusal {
  const char *text, *message; /* message: a part of it */
  size_t at;
};

static void refused(uint32_t signal, const struct refusal *r) {
  struct weir_body *body;
  struct weir_error err;
  size_t n = strlen(r->text);
  if (!decode(signal, r->text, n, NULL, &body, &err)) fail_msg("accepted: %s", r->text);
  assert_int_equal(err.code, WEIR_E_INVALID);
  if (!strstr(err.msg, r->message)) fail_msg("%s: `%s` instead of `%s`", r->text, err.msg, r->message);
  if (err.offset != r->at) fail_msg("%s: byte %d instead of %d", r->text, (int)err.offset, (int)r->at);
}

/* RFC 8259: what is no JSON, wherever it stands; here around the document, in its objects and arrays, and for an unknown name. */
static void no_json(void **state) {
  (void)state;
  static const struct refusal all[] = {
    { "", "expected {, got the end of the document", 0 },
    { " \n\t\r", "expected {, got the end of the document", 4 },
    { "\xef\xbb\xbf{}", "expected {, got the byte 0xef", 0 }, /* a byte order mark */
    { "[]", "expected {, got `[`", 0 },
    { "null", "expected {", 0 },
    { "\"\"", "expected {", 0 },
    { "{", "expected a name in quotes, got the end of the document", 1 },
    { "{}}", "expected the end of the document, got `}`", 2 },
    { "{} {}", "expected the end of the document", 3 },
    { "{}\v", "expected the end of the document, got the byte 0x0b", 2 }, /* no space of JSON's */
    { "{,}", "expected a name in quotes, got `,`", 1 },
    { "{a:1}", "expected a name in quotes, got `a`", 1 },
    { "{'a':1}", "expected a name in quotes", 1 },
    { "{\"a\"}", "expected :, got `}`", 4 },
    { "{\"a\":}", "expected a value, got `}`", 5 },
    { "{\"a\"=1}", "expected :", 4 },
    { "{\"a\":1,}", "expected a name in quotes, got `}`", 7 },
    { "{\"a\":1 \"b\":2}", "expected , or }, got `\"`", 7 },
    { "{\"a\":1;\"b\":2}", "expected , or }", 6 },
    { "{\"a\":[1,]}", "expected a value, got `]`", 8 },
    { "{\"a\":[,1]}", "expected a value, got `,`", 6 },
    { "{\"a\":[1 2]}", "expected , or ], got `2`", 8 },
    { "{\"a\":[1}", "expected , or ], got `}`", 7 },
    { "{\"a\":[", "expected a value, got the end of the document", 6 },
    { "{\"a\":{]}", "expected a name in quotes, got `]`", 6 },
    { "{\"a\":1] ", "expected , or }, got `]`", 6 },
    { "{/* c */}", "expected a name in quotes, got `/`", 1 },
    { "{} // c", "expected the end of the document", 3 },
    { "{\"a\":tru}", "expected a value", 5 },
    { "{\"a\":True}", "expected a value", 5 },
    { "{\"a\":nul}", "expected a value", 5 },
    { "{\"a\":truee}", "expected , or }", 9 },
    { "{\"a\":NaN}", "expected a value", 5 },
    { "{\"a\":Infinity}", "expected a value", 5 },
    { "{\"a\":-Infinity}", "expected a digit", 6 },
    { "{\"a\":undefined}", "expected a value", 5 },
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) refused(WEIR_TRACES, &all[i]);
}

static void no_json_number_or_string(void **state) {
  (void)state;
  static const struct refusal all[] = {
    { "{\"a\":01}", "a number must not begin with 0", 5 },
    { "{\"a\":-01}", "a number must not begin with 0", 6 },
    { "{\"a\":+1}", "expected a value, got `+`", 5 },
    { "{\"a\":-}", "expected a digit", 6 },
    { "{\"a\":.5}", "expected a value, got `.`", 5 },
    { "{\"a\":1.}", "expected a digit after the decimal point", 7 },
    { "{\"a\":1.e1}", "expected a digit after the decimal point", 7 },
    { "{\"a\":1e}", "expected a digit of the exponent", 7 },
    { "{\"a\":1e+}", "expected a digit of the exponent", 8 },
    { "{\"a\":0x10}", "expected , or }", 6 },
    { "{\"a\":1_000}", "expected , or }", 6 },
    { "{\"a\":\"", "expected the closing quote", 6 },
    { "{\"a\":\"x\\\"}", "expected the closing quote", 10 },
    { "{\"a\":'x'}", "expected a value", 5 },
    { "{\"a\":\"\\x41\"}", "expected one of", 7 },
    { "{\"a\":\"\\'\"}", "expected one of", 7 },
    { "{\"a\":\"\\", "expected one of", 7 },
    { "{\"a\":\"\\u12\"}", "expected four hex digits", 10 },
    { "{\"a\":\"\\u12g4\"}", "expected four hex digits", 10 },
    { "{\"a\":\"\\U0041\"}", "expected one of", 7 },
    { "{\"a\":\"\n\"}", "a control character", 6 },
    { "{\"a\":\"\t\"}", "a control character", 6 },
    { "{\"a\":\"12345678\x1f\"}", "a control character", 14 },
    { "{\"a\":\"\x80\"}", "not valid UTF-8", 6 },
    { "{\"a\":\"\xc3\"}", "not valid UTF-8", 6 },
    { "{\"a\":\"\xc0\xaf\"}", "not valid UTF-8", 6 },         /* overlong */
    { "{\"a\":\"\xe0\x80\xaf\"}", "not valid UTF-8", 6 },     /* overlong */
    { "{\"a\":\"\xed\xa0\x80\"}", "not valid UTF-8", 6 },     /* a surrogate */
    { "{\"a\":\"\xf4\x90\x80\x80\"}", "not valid UTF-8", 6 }, /* over U+10FFFF */
    { "{\"a\":\"\xf8\x88\x80\x80\x80\"}", "not valid UTF-8", 6 },
    { "{\"a\":\"ok\xff\"}", "not valid UTF-8", 8 },
    { "{\"\xff\":1}", "not valid UTF-8", 2 },
    { "\x00{}", "expected {", 0 },
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) refused(WEIR_TRACES, &all[i]);
  struct weir_body *body;
  struct weir_error err;
  assert_int_equal(decode(WEIR_TRACES, "{}\0", 3, NULL, &body, &err), WEIR_E_INVALID);
  assert_int_equal(err.offset, 2);
  assert_int_equal(decode(WEIR_TRACES, "{\"a\":\"\0\"}", 9, NULL, &body, &err), WEIR_E_INVALID);
  assert_int_equal(err.offset, 6);
}

#define SPAN(x) "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{" x "}]}]}]}"
#define LOG(x) "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{" x "}]}]}]}"
#define POINT(x) "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"gauge\":{\"dataPoints\":[{" x "}]}}]}]}]}"
#define BODY(x) LOG("\"body\":{" x "}")
#define SPAN_AT 44u
#define BODY_AT 55u
#define POINT_AT 74u

/* JSON, but not of this message. */
static void no_otlp(void **state) {
  (void)state;
  static const struct refusal spans[] = {
    { "{\"resourceSpans\":{}}", "resourceSpans: expected [, got `{`", 17 },
    { "{\"resourceSpans\":[1]}", "resourceSpans: expected {, got `1`", 18 },
    { "{\"resourceSpans\":[null]}", "resourceSpans: expected {, got `n`", 18 },
    { "{\"resourceSpans\":[{}", "resourceSpans: expected , or ], got the end of the document", 20 },
    { "{\"resourceSpans\":[],\"resourceSpans\":[]}", "resourceSpans: this name occurs twice", 20 },
    { SPAN("\"kind\":\"SPAN_KIND_SERVER\""), "resourceSpans.scopeSpans.spans.kind: expected a number (OTLP/JSON has no names of enum values), got `\"`", SPAN_AT + 7 },
    { SPAN("\"kind\":\"2\""), "no names of enum values", SPAN_AT + 7 },
    { SPAN("\"kind\":2.5"), "expected an integer", SPAN_AT + 7 },
    { SPAN("\"kind\":2147483648"), "too large", SPAN_AT + 7 },
    { SPAN("\"name\":1"), "resourceSpans.scopeSpans.spans.name: expected a string, got `1`", SPAN_AT + 7 },
    { SPAN("\"name\":\"a\",\"name\":\"b\""), "name: this name occurs twice", SPAN_AT + 11 },
    { SPAN("\"name\":null,\"n\\u0061me\":\"b\""), "name: this name occurs twice", SPAN_AT + 12 },
    { SPAN("\"traceId\":\"01\""), "traceId: expected 32 hex digits (a trace id) or none, got `0`", SPAN_AT + 11 },
    { SPAN("\"traceId\":\"000102030405060708090a0b0c0d0e0g\""), "expected a hex digit, got `g`", SPAN_AT + 42 },
    { SPAN("\"traceId\":\"AAECAwQFBgcICQoLDA0ODw==\""), "expected 32 hex digits", SPAN_AT + 11 }, /* base64, as plain proto3 JSON would have it */
    { SPAN("\"spanId\":\"000102030405060708\""), "expected 16 hex digits (a span id) or none", SPAN_AT + 10 },
    { SPAN("\"spanId\":\"\\u0030001020304050607\""), "hex digits without escapes", SPAN_AT + 10 },
    { SPAN("\"flags\":-1"), "takes no negative number", SPAN_AT + 8 },
    { SPAN("\"flags\":4294967296"), "too large", SPAN_AT + 8 },
    { SPAN("\"flags\":true"), "expected an integer, got `t`", SPAN_AT + 8 },
    { SPAN("\"startTimeUnixNano\":18446744073709551616"), "too large", SPAN_AT + 20 },
    { SPAN("\"startTimeUnixNano\":\"1.5\""), "expected an integer", SPAN_AT + 21 },
    { SPAN("\"startTimeUnixNano\":\"\""), "expected an integer", SPAN_AT + 21 },
    { SPAN("\"startTimeUnixNano\":\" 1\""), "expected an integer", SPAN_AT + 21 },
    { SPAN("\"startTimeUnixNano\":\"1 \""), "closing quote behind a number", SPAN_AT + 22 },
    { SPAN("\"startTimeUnixNano\":\"01\""), "must not begin with 0", SPAN_AT + 21 },
    { SPAN("\"startTimeUnixNano\":1e400"), "too large", SPAN_AT + 20 },
    { SPAN("\"events\":[{\"name\":\"a\"},]"), "expected {, got `]`", SPAN_AT + 23 },
    { SPAN("\"status\":[]"), "spans.status: expected {, got `[`", SPAN_AT + 9 },
  };
  static const struct refusal logs[] = {
    { BODY("\"stringValue\":\"a\",\"intValue\":1"), "body.intValue: another member of this oneof is set", BODY_AT + 18 },
    { BODY("\"boolValue\":1"), "expected true or false", BODY_AT + 12 },
    { BODY("\"boolValue\":\"true\""), "expected true or false", BODY_AT + 12 },
    { BODY("\"intValue\":9223372036854775808"), "too large", BODY_AT + 11 },
    { BODY("\"intValue\":-9223372036854775809"), "too large", BODY_AT + 11 },
    { BODY("\"doubleValue\":\"nan\""), "expected a number, \"NaN\", \"Infinity\" or \"-Infinity\"", BODY_AT + 15 },
    { BODY("\"doubleValue\":NaN"), "expected a number, \"NaN\"", BODY_AT + 14 },
    { BODY("\"doubleValue\":1e309"), "too large", BODY_AT + 14 },
    { BODY("\"bytesValue\":\"A\""), "no whole number of base64 groups", BODY_AT + 14 },
    { BODY("\"bytesValue\":\"AA=\""), "no whole number of base64 groups", BODY_AT + 14 },
    { BODY("\"bytesValue\":\"AA*A\""), "expected base64 (RFC 4648), got `*`", BODY_AT + 16 },
    { BODY("\"bytesValue\":\"A=AA\""), "expected base64", BODY_AT + 15 },
    { BODY("\"arrayValue\":[]"), "body.arrayValue: expected {", BODY_AT + 13 },
    { BODY("\"arrayValue\":{\"values\":[null]}"), "expected {", BODY_AT + 24 },
  };
  static const struct refusal points[] = {
    { POINT("\"asInt\":1,\"asDouble\":2"), "asDouble: another member of this oneof is set", POINT_AT + 10 },
    { POINT("\"exemplars\":[{\"asInt\":1,\"asDouble\":2}]"), "another member of this oneof is set", POINT_AT + 24 },
    { "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"gauge\":{},\"sum\":{}}]}]}]}", "sum: another member", 61 },
  };
  for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) refused(WEIR_TRACES, &spans[i]);
  for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) refused(WEIR_LOGS, &logs[i]);
  for (size_t i = 0; i < sizeof points / sizeof *points; i++) refused(WEIR_METRICS, &points[i]);
}

/* --- accepted -------------------------------------------------------------------------------------------------------------------------- */

/* Reads text and writes it again. */
static void becomes(uint32_t signal, const char *text, const char *expected) {
  struct weir_body *body;
  struct weir_error err;
  if (decode(signal, text, strlen(text), NULL, &body, &err)) fail_msg("%s: %s", text, err.msg);
  struct weir_body *again = to_json(signal, body->p, body->n);
  char *written = strndup(again->p, again->n);
  assert_string_equal(written, expected);
  free(written);
  body_free(again);
  body_free(body);
}

static void accepted(void **state) {
  (void)state;
  becomes(WEIR_TRACES, "{}", "{}");
  becomes(WEIR_TRACES, " {\n\t} \r\n", "{}");
  becomes(WEIR_TRACES, "{\"resourceSpans\":null}", "{}");
  becomes(WEIR_TRACES, "{\"resourceSpans\":[]}", "{}");
  becomes(WEIR_TRACES, "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{}}]}]}", "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{}}]}]}");
  /* names that are not ours, snake_case among them, are ignored with all that is in them */
  becomes(WEIR_TRACES, "{\"resource_spans\":[{\"a\":1}],\"x\":{\"a\":[1,-2.5e-3,\"\\ud83d\\ude00\",true,false,null,{}],\"a\":0},\"x\":1e999999}", "{}");
  becomes(WEIR_TRACES, SPAN("\"start_time_unix_nano\":\"x\",\"Name\":\"x\",\"name \":\"x\",\"\":1"), SPAN(""));
  becomes(WEIR_TRACES, SPAN("\"traceId\":\"000102030405060708090a0B0C0D0E0F\",\"spanId\":\"FFfffFFFffffffff\",\"parentSpanId\":\"\""),
    SPAN("\"traceId\":\"000102030405060708090a0b0c0d0e0f\",\"spanId\":\"ffffffffffffffff\""));
  becomes(WEIR_TRACES, SPAN("\"n\\u0061me\":\"\\u0041\\n\\/\""), SPAN("\"name\":\"A\\n/\""));
  becomes(WEIR_TRACES, SPAN("\"kind\":0,\"flags\":0,\"name\":\"\",\"status\":{},\"startTimeUnixNano\":\"0\",\"events\":[]"), SPAN("\"status\":{}"));
  becomes(WEIR_TRACES, SPAN("\"kind\":-1,\"startTimeUnixNano\":1700000000000000001,\"endTimeUnixNano\":\"18446744073709551615\",\"flags\":\"257\""),
    SPAN("\"kind\":-1,\"startTimeUnixNano\":\"1700000000000000001\",\"endTimeUnixNano\":\"18446744073709551615\",\"flags\":257"));
  becomes(WEIR_TRACES, SPAN("\"startTimeUnixNano\":1.7e18,\"endTimeUnixNano\":\"120e-1\",\"flags\":3.0"),
    SPAN("\"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":\"12\",\"flags\":3"));
  becomes(WEIR_LOGS, BODY("\"stringValue\":\"\""), BODY("\"stringValue\":\"\""));
  becomes(WEIR_LOGS, BODY("\"stringValue\":null,\"intValue\":\"-0\""), BODY("\"intValue\":\"0\""));
  becomes(WEIR_LOGS, BODY("\"intValue\":-9223372036854775808"), BODY("\"intValue\":\"-9223372036854775808\""));
  becomes(WEIR_LOGS, BODY("\"boolValue\":false"), BODY("\"boolValue\":false"));
  becomes(WEIR_LOGS, BODY("\"doubleValue\":\"1.5\""), BODY("\"doubleValue\":1.5"));
  becomes(WEIR_LOGS, BODY("\"doubleValue\":\"-Infinity\""), BODY("\"doubleValue\":\"-Infinity\""));
  becomes(WEIR_LOGS, BODY("\"doubleValue\":\"NaN\""), BODY("\"doubleValue\":\"NaN\""));
  becomes(WEIR_LOGS, BODY("\"doubleValue\":-0.0"), BODY("\"doubleValue\":-0"));
  becomes(WEIR_LOGS, BODY("\"doubleValue\":0.1"), BODY("\"doubleValue\":0.1"));
  becomes(WEIR_LOGS, BODY("\"doubleValue\":1e-400"), BODY("\"doubleValue\":0"));
  becomes(WEIR_LOGS, BODY("\"doubleValue\":4.9406564584124654e-324"), BODY("\"doubleValue\":4.94065645841247e-324"));
  becomes(WEIR_LOGS, BODY("\"doubleValue\":9007199254740993"), BODY("\"doubleValue\":9007199254740992"));
  becomes(WEIR_LOGS, BODY("\"bytesValue\":\"AP-_\""), BODY("\"bytesValue\":\"AP+/\"")); /* the URL alphabet */
  becomes(WEIR_LOGS, BODY("\"bytesValue\":\"AP+\\/\""), BODY("\"bytesValue\":\"AP+/\""));
  becomes(WEIR_LOGS, BODY("\"bytesValue\":\"AA\""), BODY("\"bytesValue\":\"AA==\""));
  becomes(WEIR_LOGS, BODY("\"bytesValue\":\"AAA=\""), BODY("\"bytesValue\":\"AAA=\""));
  becomes(WEIR_LOGS, BODY("\"arrayValue\":{\"values\":[{},{\"kvlistValue\":{}},{\"stringValue\":\"x\"}]}"), BODY("\"arrayValue\":{\"values\":[{},{\"kvlistValue\":{}},{\"stringValue\":\"x\"}]}"));
  becomes(WEIR_METRICS, POINT("\"asInt\":0"), POINT("\"asInt\":\"0\""));
  becomes(WEIR_METRICS, POINT("\"asDouble\":0,\"asInt\":null"), POINT("\"asDouble\":0"));
}

/* U+FFFD for each half that stands alone; a pair is one character. */
static void surrogates(void **state) {
  (void)state;
#define FFFD "\xef\xbf\xbd"
  becomes(WEIR_LOGS, BODY("\"stringValue\":\"\\ud83d\\ude00\""), BODY("\"stringValue\":\"\xf0\x9f\x98\x80\""));
  becomes(WEIR_LOGS, BODY("\"stringValue\":\"a\\ud83d\""), BODY("\"stringValue\":\"a" FFFD "\""));
  becomes(WEIR_LOGS, BODY("\"stringValue\":\"\\ude00b\""), BODY("\"stringValue\":\"" FFFD "b\""));
  becomes(WEIR_LOGS, BODY("\"stringValue\":\"\\ud83d\\ud83d\\ude00\""), BODY("\"stringValue\":\"" FFFD "\xf0\x9f\x98\x80\""));
  becomes(WEIR_LOGS, BODY("\"stringValue\":\"\\ud83d\\n\\u0041\""), BODY("\"stringValue\":\"" FFFD "\\nA\""));
}

/* --- limits ---------------------------------------------------------------------------------------------------------------------------- */

static char *repeat(const char *head, const char *piece, size_t times, const char *tail) {
  size_t n = strlen(piece);
  char *s = malloc(strlen(head) + n * times + strlen(tail) + 1), *at = s;
  at += strlen(strcpy(at, head)); /* NOLINT: sized above */
  for (size_t i = 0; i < times; i++, at += n) memcpy(at, piece, n);
  memcpy(at, tail, strlen(tail) + 1);
  return s;
}

static void limited(uint32_t signal, char *text, const struct otlp_limits *limits, int code, const char *message) {
  struct weir_body *body;
  struct weir_error err;
  assert_int_equal(decode(signal, text, strlen(text), limits, &body, &err), code);
  if (!strstr(err.msg, message)) fail_msg("`%s` instead of `%s`", err.msg, message);
  free(text);
}

static void limits(void **state) {
  (void)state;
  static const struct otlp_limits few = { .max_depth = 100, .max_records = 3, .max_attributes = 3, .max_elements = 20 };
  struct weir_body *body;
  struct weir_error err;
  limited(WEIR_LOGS, repeat("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[", "{},", 3, "{}]}]}]}"), &few, WEIR_E_LIMIT, "more than 3 records in one message");
  limited(WEIR_LOGS, repeat("{\"resourceLogs\":[{\"resource\":{\"attributes\":[", "{},", 3, "{}]}}]}"), &few, WEIR_E_LIMIT, "more than 3 attributes on one record");
  limited(WEIR_LOGS, repeat("{\"resourceLogs\":[", "{},", 30, "{}]}"), &few, WEIR_E_LIMIT, "more than 20 elements");
  limited(WEIR_LOGS, repeat("{\"x\":", "[", 200, ""), NULL, WEIR_E_INVALID, "nested deeper than 100 messages (max_depth)");
  limited(WEIR_LOGS, repeat("{\"x\":", "{\"a\":", 1000000, ""), NULL, WEIR_E_INVALID, "nested deeper than 100 messages (max_depth)");
  char *deep = repeat("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":", "{\"arrayValue\":{\"values\":[", 100000, "");
  limited(WEIR_LOGS, deep, NULL, WEIR_E_INVALID, "nested deeper than 100 messages");
  char *head = repeat("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":", "{\"arrayValue\":{\"values\":[", 48, "{\"stringValue\":\"x\"}");
  char *fits = repeat(head, "]}}", 48, "}]}]}]}");
  assert_int_equal(decode(WEIR_LOGS, fits, strlen(fits), NULL, &body, &err), 0); /* 4 + 2 * 48 messages */
  body_free(body);
  free(head);
  free(fits);
}

/* Lengths of one, two and three bytes, at each place that moves. */
static void lengths(void **state) {
  (void)state;
  static const size_t sizes[] = { 100, 127, 128, 129, 16383, 16384, 16385, 300000 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char *text = repeat(LOG("\"body\":{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"\"}}]}},\"attributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"y\"}}],\"severityText\":\""), "", 0, "");
    text[strlen(text) - strlen("}]}]}]}")] = 0;
    char *all = repeat(text, "z", sizes[i], "\"}]}]}]}");
    struct weir_body *body;
    struct weir_error err;
    assert_int_equal(decode(WEIR_LOGS, all, strlen(all), NULL, &body, &err), 0);
    struct weir_body *again = to_json(WEIR_LOGS, body->p, body->n);
    assert_true(again->n > sizes[i]);
    body_free(again);
    body_free(body);
    free(all);
    free(text);
  }
}

/* --- the small messages -------------------------------------------------------------------------------------------------------------------- */

static void responses(void **state) {
  (void)state;
  char buf[512], text[64];
  struct weir_otlp_response r;
  size_t n = otlp_json_response_make(WEIR_METRICS, 3, "too \"old\"", buf, sizeof buf);
  buf[n] = 0;
  assert_string_equal(buf, "{\"partialSuccess\":{\"rejectedDataPoints\":\"3\",\"errorMessage\":\"too \\\"old\\\"\"}}");
  assert_int_equal(otlp_json_response_parse(buf, n, &r, text, sizeof text), 0);
  assert_int_equal(r.rejected, 3);
  assert_string_equal(r.message.p, "too \"old\"");
  assert_int_equal(otlp_json_response_make(WEIR_TRACES, 0, NULL, buf, sizeof buf), 2);
  assert_int_equal(otlp_json_response_parse("", 0, &r, text, sizeof text), 0);
  assert_int_equal(otlp_json_response_parse("{\"partialSuccess\":{\"rejectedSpans\":7,\"x\":[]},\"y\":1}", 51, &r, text, sizeof text), 0);
  assert_int_equal(r.rejected, 7);
  assert_int_equal(otlp_json_response_parse("{\"partialSuccess\":{\"rejectedSpans\":\"-7\"}}", 41, &r, text, sizeof text), 0);
  assert_int_equal(r.rejected, 0);
  assert_int_equal(otlp_json_response_parse("{\"partialSuccess\":null}", 23, &r, text, sizeof text), 0);
  assert_int_equal(otlp_json_response_parse("{\"partialSuccess\":[]}", 21, &r, text, sizeof text), WEIR_E_INVALID);
  assert_int_equal(otlp_json_response_parse("no", 2, &r, text, sizeof text), WEIR_E_INVALID);
}

static void statuses(void **state) {
  (void)state;
  char buf[300], many[900];
  struct weir_rpc_status s;
  size_t n = otlp_json_status_make(14, "later\n", 1500000000, buf, sizeof buf);
  assert_int_equal(otlp_json_status_parse(buf, n, &s), 0);
  assert_int_equal(s.code, 14);
  assert_string_equal(s.msg, "later\n");
  assert_int_equal(s.retry_after_ns, 1500000000);
  for (size_t i = 0; i + 3 < sizeof many; i += 3) memcpy(many + i, "\xe4\xb8\x96", 4);
  n = otlp_json_status_make(3, many, -1, buf, sizeof buf); /* the text is cut between characters */
  assert_true(n <= sizeof buf);
  assert_int_equal(otlp_json_status_parse(buf, n, &s), 0);
  assert_int_equal(s.retry_after_ns, -1);
  assert_int_equal(strlen(s.msg) % 3, 0);
  assert_int_equal(otlp_json_status_parse("{\"message\":\"x\"}", 15, &s), 0); /* code may be omitted */
  assert_int_equal(otlp_json_status_parse("{\"details\":[{\"@type\":1},{\"x\":{}}]}", 34, &s), 0);
  assert_int_equal(otlp_json_status_parse("{\"details\":[1]}", 15, &s), WEIR_E_INVALID);
  assert_int_equal(otlp_json_status_parse("", 0, &s), WEIR_E_INVALID);
  char *wide = repeat("{\"message\":\"", "\\u00e9\xc3\xa9", 400, "\"}");
  assert_int_equal(otlp_json_status_parse(wide, strlen(wide), &s), 0);
  assert_int_equal(strlen(s.msg) % 2, 0); /* cut between characters */
  free(wide);
}

static int setup(void **state) {
  (void)state;
  pool_adopt(pool = pool_new(NULL));
  return 0;
}

static int teardown(void **state) {
  (void)state;
  pool_free(pool);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names),
    cmocka_unit_test(plain_messages),
    cmocka_unit_test(wild_messages),
    cmocka_unit_test(no_json),
    cmocka_unit_test(no_json_number_or_string),
    cmocka_unit_test(no_otlp),
    cmocka_unit_test(accepted),
    cmocka_unit_test(surrogates),
    cmocka_unit_test(limits),
    cmocka_unit_test(lengths),
    cmocka_unit_test(responses),
    cmocka_unit_test(statuses),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
