/*
 * Conditions: expressions on a span that is written as OTLP/JSON, each with its value or the byte and sentence of its refusal. Where the Collector evaluates an
 * expression too, the value is the Collector's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/expr.h"
#include "core/otlp_json.h"
#include "tests/unit/core/expr_fixture.h"

#define FAILS (-100) /* when it is evaluated */

static struct expr_record record;

static int value_of(uint32_t context, const char *text, struct weir_error *err) {
  struct weir_expr *e;
  size_t n = strlen(text);
  char *exact = malloc(n + 1); /* so that a sanitizer sees a read past the end */
  memcpy(exact, text, n + 1);
  memset(err, 0, sizeof *err);
  int r = expr_compile(context, exact, &e, err);
  free(exact);
  if (r) fail_msg("%s: %s", text, err->msg);
  r = expr_eval(e, &record.input, err);
  if (r < 0) assert_int_equal(expr_eval(e, &record.input, NULL), r);
  expr_free(e);
  return r < 0 ? FAILS : r;
}

struct row {
  const char *text;
  int value;
};

static void check(uint32_t context, const struct row *rows, size_t n) {
  struct weir_error err;
  for (size_t i = 0; i < n; i++) {
    int got = value_of(context, rows[i].text, &err);
    if (got != rows[i].value) fail_msg("%s: got %d, expected %d (%s)", rows[i].text, got, rows[i].value, err.msg);
  }
}

#define CHECK(context, rows) check(context, rows, sizeof(rows) / sizeof *(rows))

static void paths_of_spans(void **state) {
  static const struct row rows[] = { { "trace_id == TraceID(0x0102030405060708090a0b0c0d0e0f10)", 1 }, { "span.trace_id == TraceID(\"0102030405060708090A0B0C0D0E0F10\")", 1 },
    { "trace_id != TraceID(0x0102030405060708090a0b0c0d0e0f11)", 1 }, { "trace_id == 0x0102030405060708090a0b0c0d0e0f10", 0 }, { "trace_id.string == \"0102030405060708090a0b0c0d0e0f10\"", 1 },
    { "span_id == SpanID(0xa1a2a3a4a5a6a7a8)", 1 }, { "span.span_id.string == \"a1a2a3a4a5a6a7a8\"", 1 }, { "parent_span_id.string == \"0000000000000000\"", 1 }, { "parent_span_id == SpanID(0x0000000000000000)", 1 },
    { "trace_id == span_id", 0 }, { "trace_id > trace_id", 0 }, { "trace_id == nil", 0 }, { "trace_state == \"ot=th:8,a=b, c@d = e\"", 0 }, { "trace_state[\"ot\"] == \"th:8\"", 1 }, { "trace_state[\"rojo\"] == \"1 2\"", 1 },
    { "trace_state[\"none\"] == \"\"", 1 }, { "name == \"GET /api\"", 1 }, { "span.name != \"x\"", 1 }, { "kind == SPAN_KIND_SERVER", 1 }, { "kind == 2", 1 }, { "kind.string == \"Server\"", 1 },
    { "kind.deprecated_string == \"SPAN_KIND_SERVER\"", 1 }, { "start_time_unix_nano == 1000000000000000000", 1 }, { "end_time_unix_nano - start_time_unix_nano == 1500000000", 1 }, { "end_time_unix_nano - start_time_unix_nano > 1000000000", 1 },
    { "end_time - start_time == Duration(\"1.5s\")", 1 }, { "end_time - start_time > Duration(\"2s\")", 0 }, { "start_time < end_time", 1 }, { "start_time + Duration(\"1500ms\") == end_time", 1 }, { "Duration(\"1500ms\") + start_time == end_time", 1 },
    { "end_time - Duration(\"1500ms\") == start_time", 1 }, { "start_time == 1000000000000000000", 0 }, { "status.code == STATUS_CODE_ERROR", 1 }, { "status.message == \"boom\"", 1 }, { "flags == 257", 1 }, { "dropped_attributes_count == 1", 1 },
    { "dropped_events_count == 2", 1 }, { "span.dropped_links_count == 3", 1 }, { "attributes[\"http.status_code\"] == 503", 1 }, { "span.attributes[\"list\"][1] == \"b\"", 1 }, { "attributes[\"map\"][\"deep\"][\"er\"] == true", 1 }, { "attributes[\"map\"][\"list\"][0] == 7", 1 },
    { "attributes[\"none\"] == nil", 1 }, { "attributes[\"none\"][\"deeper\"] == nil", 1 }, { "attributes[\"map\"][\"none\"] == nil", 1 }, { "attributes[\"null\"] == nil", 1 }, { "attributes[\"list\"] == nil", 0 }, { "attributes != nil", 1 }, { "attributes == 1", 0 },
    { "resource.attributes[\"service.name\"] == \"shop\"", 1 }, { "resource.dropped_attributes_count == 4", 1 }, { "resource.schema_url == \"https://r\"", 1 }, { "instrumentation_scope.name == \"lib\"", 1 }, { "scope.version == \"1.2\"", 1 },
    { "scope.attributes[\"s\"] == \"t\"", 1 }, { "instrumentation_scope.dropped_attributes_count == 5", 1 }, { "scope.schema_url == \"https://s\"", 1 }, { "attributes[\"\"] == \"empty key\"", 1 },
    { "attributes[\"list\"][2] == 1", FAILS }, { "attributes[\"list\"][\"a\"] == 1", FAILS }, { "attributes[\"map\"][0] == 1", FAILS }, { "attributes[\"text\"][\"a\"] == 1", FAILS }, { "attributes[\"null\"][\"a\"] == 1", FAILS } };
  (void)state;
  CHECK(WEIR_EXPR_SPAN, rows);
}

static void paths_of_span_events(void **state) {
  static const struct row rows[] = { { "name == \"exception\"", 1 }, { "spanevent.name == \"exception\"", 1 }, { "span.name == \"GET /api\"", 1 }, { "time_unix_nano == 1000000000500000000", 1 }, { "spanevent.time == spanevent.time", 1 },
    { "time - span.start_time == Duration(\"500ms\")", 1 }, { "attributes[\"exception.type\"] == \"Timeout\"", 1 }, { "spanevent.dropped_attributes_count == 6", 1 }, { "dropped_attributes_count == 6", 1 }, { "resource.attributes[\"service.name\"] == \"shop\"", 1 },
    { "scope.name == \"lib\"", 1 }, { "span.attributes[\"http.status_code\"] == 503", 1 }, { "span.status.code == STATUS_CODE_ERROR", 1 }, { "Len(attributes) == 1", 1 } };
  (void)state;
  CHECK(WEIR_EXPR_SPANEVENT, rows);
}

static void comparisons(void **state) {
  static const struct row rows[] = { { "1 == 1.0", 1 }, { "1 < 1.5", 1 }, { "2.5 >= 2", 1 }, { "9007199254740993 == 9007199254740992.0", 1 }, { "\"a\" < \"b\"", 1 }, { "\"a\" < \"aa\"", 1 }, { "\"\" == \"\"", 1 }, { "\"\\u00e9\" > \"z\"", 1 }, { "0x01ff == 0x01FF", 1 },
    { "0x01 < 0x0100", 1 }, { "false < true", 1 }, { "true <= true", 1 }, { "nil == nil", 1 }, { "nil <= nil", 1 }, { "nil < nil", 0 }, { "nil != nil", 0 }, { "nil == 1", 0 }, { "1 != nil", 1 }, { "nil < 1", 0 }, { "\"1\" == 1", 0 }, { "\"1\" != 1", 1 },
    { "\"2\" > 1", 0 }, { "true == 1", 0 }, { "attributes[\"empty bytes\"] == nil", 1 }, { "attributes[\"bytes\"] == 0xdeadbeef", 1 }, { "attributes[\"nan\"] == attributes[\"nan\"]", 0 }, { "attributes[\"nan\"] != attributes[\"nan\"]", 1 },
    { "attributes[\"nan\"] < 1", 0 }, { "attributes[\"list\"] != \"x\"", 1 }, { "attributes[\"list\"] == attributes[\"list\"]", FAILS }, { "attributes == attributes", FAILS }, { "Duration(\"1m\") == Duration(\"60s\")", 1 }, { "Duration(\"1s\") == 1000000000", 0 },
    { "(attributes[\"http.status_code\"]) >= (500)", 1 }, { "attributes[\"text\"] >= 500", 0 } };
  (void)state;
  CHECK(WEIR_EXPR_SPAN, rows);
}

static void logic(void **state) {
  static const struct row rows[] = { { "true", 1 }, { "not true", 0 }, { "(not (true))", 0 }, { "true or false and false", 1 }, { "(true or false) and false", 0 }, { "not false and false", 0 }, { "not (false and false)", 1 }, { "not 1 == 2", 1 }, { "false or false or true", 1 },
    { "true and true and false", 0 }, { "true or attributes[\"text\"] + 1 == 2", 1 }, { "false and attributes[\"text\"] + 1 == 2", 0 }, { "true and attributes[\"text\"] + 1 == 2", FAILS }, { "not attributes[\"text\"] + 1 == 2", FAILS }, { "attributes[\"text\"] + 1 == 2 and false", 0 }, { "attributes[\"text\"] + 1 == 2 and 1 == 2", 0 }, { "attributes[\"text\"] + 1 == 2 or not false", 1 },
    { "attributes[\"text\"] + 1 == 2 and true", FAILS }, { "kind == 2 and attributes[\"text\"] + 1 == 2 and (kind == 3 and false) or true and kind == 2", 1 }, { "not (kind == 2 and false) and kind == 2", 1 }, { "kind == 2 and not (true and 1 == 2)", 1 },
    { "kind == 3 or (true and true)", 1 }, { "kind == 3 and false or kind == 2", 1 }, { "1 == 1and 2==2", 1 },
    { "\ttrue\r\n", 1 }, { "IsRootSpan() and not IsRootSpan() or IsRootSpan()", 1 }, { "IsRootSpan() == true", 1 }, { "(IsRootSpan())", 1 }, { "false == true or name == \"GET /api\" and kind == 2", 1 } };
  (void)state;
  CHECK(WEIR_EXPR_SPAN, rows);
}

static void arithmetic(void **state) {
  static const struct row rows[] = { { "1 + 2 * 3 == 7", 1 }, { "(1 + 2) * 3 == 9", 1 }, { "10 - 4 - 3 == 3", 1 }, { "7 / 2 == 3", 1 }, { "-7 / 2 == -3", 1 }, { "7 / 2.0 == 3.5", 1 }, { "1 - 1 == 0", 1 }, { "1-1 == 0", 1 }, { "-attributes[\"http.status_code\"] == -503", 1 }, { "+1 == 1", 1 },
    { "-(1 + 1) == -2", 1 }, { "1.5 + 1 == 2.5", 1 }, { ".5 + 1. == 1.5", 1 }, { "1.0e3 == 1000", 1 }, { "9223372036854775807 + 1 == -9223372036854775807 - 1", 1 }, { "(-9223372036854775807 - 1) / -1 == -9223372036854775807 - 1", 1 }, { "attributes[\"http.status_code\"] / 100 == 5", 1 },
    { "attributes[\"http.status_code\"] / attributes[\"zero\"] == 5", FAILS }, { "attributes[\"text\"] * 2 == 4", FAILS }, { "attributes[\"none\"] + 1 == 1", FAILS }, { "end_time + start_time == 1", FAILS }, { "start_time * 2 == 1", FAILS }, { "Duration(\"1s\") + Duration(\"1s\") == Duration(\"2s\")", 1 },
    { "Duration(\"1s\") - Duration(\"2s\") < Duration(\"0s\")", 1 }, { "end_time - attributes[\"http.status_code\"] == 1", FAILS } };
  (void)state;
  CHECK(WEIR_EXPR_SPAN, rows);
}

static void functions(void **state) {
  static const struct row rows[] = { { "IsMatch(name, \"^GET\")", 1 }, { "IsMatch(name, \"^get\")", 0 }, { "IsMatch(name, \"(?i)^get\")", 1 }, { "IsMatch(attributes[\"http.status_code\"], \"^5..$\")", 1 }, { "IsMatch(attributes[\"none\"], \".*\")", 0 }, { "IsMatch(attributes[\"bool\"], \"true\")", 1 },
    { "IsMatch(attributes[\"bytes\"], \"^deadbeef$\")", 1 }, { "IsMatch(attributes[\"double\"], \"^2\\\\.5$\")", 1 }, { "IsMatch(attributes[\"list\"], \"a\")", FAILS }, { "IsMatch(name, attributes[\"pattern\"])", 1 }, { "IsMatch(name, attributes[\"bad pattern\"])", FAILS },
    { "IsMatch(name, attributes[\"none\"])", FAILS }, { "IsMatch(attributes[\"evil\"], \"(a+)+$\")", FAILS }, { "HasPrefix(name, \"GET\")", 1 }, { "HasPrefix(name, \"GET /api and more\")", 0 }, { "HasPrefix(name, \"\")", 1 }, { "HasSuffix(name, \"/api\")", 1 }, { "HasSuffix(name, \"GET\")", 0 },
    { "HasPrefix(attributes[\"none\"], \"a\")", FAILS }, { "HasPrefix(attributes[\"bool\"], \"a\")", FAILS }, { "Len(name) == 8", 1 }, { "Len(attributes[\"list\"]) == 2", 1 }, { "Len(attributes[\"map\"]) == 2", 1 }, { "Len(attributes[\"bytes\"]) == 4", 1 }, { "Len(attributes[\"none\"]) == 0", FAILS },
    { "Len(attributes[\"bool\"]) == 0", FAILS }, { "Int(\"-42\") == -42", 1 }, { "Int(\"+42\") == 42", 1 }, { "Int(attributes[\"double\"]) == 2", 1 }, { "Int(true) == 1", 1 }, { "Int(nil) == nil", 1 }, { "Int(attributes[\"number\"]) == 12", 1 }, { "Int(attributes[\"text\"]) == 1", FAILS },
    { "Int(attributes[\"list\"]) == 1", FAILS }, { "Int(attributes[\"nan\"]) < 0", 1 }, { "Int(\"-9223372036854775808\") < 0", 1 }, { "Double(\"1e3\") == 1000", 1 }, { "Double(\"-Inf\") < 0", 1 }, { "Double(\"nan\") == 1", 0 }, { "Double(1) == 1.0", 1 }, { "Double(attributes[\"text\"]) == 1", FAILS },
    { "Double(attributes[\"hex\"]) == 16", FAILS }, { "Double(attributes[\"number\"]) == 12.0", 1 }, { "String(1) == \"1\"", 1 }, { "String(true) == \"true\"", 1 }, { "String(0xab) == \"ab\"", 1 }, { "String(nil) == nil", 1 }, { "String(2.0) == \"2\"", 1 }, { "String(0.1) == \"0.1\"", 1 },
    { "String(1.0e21) == \"1e+21\"", 1 }, { "String(123456789012345680000.0) == \"123456789012345680000\"", 1 }, { "String(0.000001) == \"0.000001\"", 1 }, { "String(0.00000012) == \"1.2e-07\"", 1 }, { "String(-1.5) == \"-1.5\"", 1 }, { "String(100.0) == \"100\"", 1 }, { "String(0.0) == \"0\"", 1 },
    { "String(1.7976931348623157e308) == \"1.7976931348623157e+308\"", 1 }, { "String(attributes[\"nan\"]) == \"x\"", FAILS }, { "IsString(name)", 1 }, { "IsString(attributes[\"none\"])", 0 }, { "IsInt(attributes[\"http.status_code\"])", 1 }, { "IsInt(attributes[\"double\"])", 0 }, { "IsDouble(attributes[\"double\"])", 1 },
    { "IsBool(attributes[\"bool\"])", 1 }, { "IsBool(1)", 0 }, { "IsMap(attributes)", 1 }, { "IsMap(attributes[\"map\"])", 1 }, { "IsMap(attributes[\"list\"])", 0 }, { "IsList(attributes[\"list\"])", 1 }, { "IsList(name)", 0 }, { "IsString(attributes[\"text\"][\"x\"])", FAILS },
    { "Concat([name, 1, nil, true, 0xff, attributes[\"double\"]], \"-\") == \"GET /api-1-<nil>-true-ff-2.5\"", 1 }, { "Concat([], \"x\") == \"\"", 1 }, { "Concat([\"a\"], \"x\") == \"a\"", 1 }, { "Concat([attributes[\"list\"], \"a\"], \"x\") == \"a\"", FAILS }, { "Concat([\"a\", \"b\"], attributes[\"bool\"]) == \"ab\"", FAILS },
    { "Concat([Concat([name, name], \"\"), String(1)], \"+\") == \"GET /apiGET /api+1\"", 1 }, { "Concat([1, Concat([2, attributes[\"double\"]], \"\")], \"\") == \"122.5\"", 1 }, { "Hex(0xab01) == \"ab01\"", 1 }, { "Hex(\"AB\") == \"4142\"", 1 }, { "Hex(1) == \"0000000000000001\"", 1 }, { "Hex(true) == \"01\"", 1 }, { "Hex(1.0) == \"3ff0000000000000\"", 1 },
    { "Hex(nil) == \"\"", 1 }, { "Hex(attributes[\"list\"]) == \"\"", FAILS }, { "ToLowerCase(name) == \"get /api\"", 1 }, { "ToUpperCase(name) == \"GET /API\"", 1 }, { "ToLowerCase(attributes[\"bool\"]) == \"true\"", FAILS }, { "ContainsValue(attributes[\"list\"], \"b\")", 1 }, { "ContainsValue(attributes[\"list\"], 1)", 0 },
    { "ContainsValue(attributes[\"map\"][\"list\"], 7.0)", 1 }, { "ContainsValue(attributes[\"text\"], \"b\")", FAILS }, { "TraceID(attributes[\"trace\"]) == trace_id", 1 }, { "SpanID(attributes[\"text\"]) == span_id", FAILS }, { "TraceID(attributes[\"bool\"]) == trace_id", FAILS }, { "SpanID(\"12345678\") == SpanID(0x3132333435363738)", 1 },
    { "Milliseconds(end_time - start_time) == 1500", 1 }, { "Seconds(end_time - start_time) == 1.5", 1 }, { "Nanoseconds(Duration(\"1us\")) == 1000", 1 }, { "Microseconds(Duration(\"1ms\")) == 1000", 1 }, { "Minutes(Duration(\"90s\")) == 1.5", 1 }, { "Hours(Duration(\"90m\")) == 1.5", 1 },
    { "Seconds(attributes[\"double\"]) == 1", FAILS }, { "Duration(attributes[\"duration\"]) == Duration(\"1m30s\")", 1 }, { "Duration(attributes[\"text\"]) == Duration(\"1m30s\")", FAILS }, { "Duration(attributes[\"none\"]) == Duration(\"1m30s\")", FAILS } };
  (void)state;
  CHECK(WEIR_EXPR_SPAN, rows);
}

static void strings(void **state) {
  static const struct row rows[] = { { "\"\\x41\\102\\u0043\\U00000044\" == \"ABCD\"", 1 }, { "\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\" == \"\\x07\\x08\\x0c\\x0a\\x0d\\x09\\x0b\\x5c\\x22\"", 1 }, { "\"\xc3\xa9\" == \"\\u00e9\"", 1 }, { "\"\\xff\" == \"\\377\"", 1 }, { "Len(\"\\U0001F600\") == 4", 1 }, { "Len(\"a\\x00b\") == 3", 1 } };
  (void)state;
  CHECK(WEIR_EXPR_SPAN, rows);
}

/* --- refusals -------------------------------------------------------------------------------------------------------------------- */

static void refusals_name_the_byte(void **state) {
  static const struct {
    const char *text;
    size_t at;
    const char *why;
  } rows[] = { { "", 0, "empty" }, { "  ", 2, "empty" }, { "nmae == 1", 0, "no path nmae" }, { "1 == span.statsu.code", 5, "no path span.statsu.code" }, { "Ismatch(name, \"a\")", 0, "no function Ismatch" }, { "isMatch(name, \"a\")", 0, "capital letter" },
    { "kind == SPAN_KIND_SERVR", 8, "no name SPAN_KIND_SERVR" }, { "spanevent.name == \"a\"", 0, "only conditions of `spanevent`" }, { "events == 1", 0, "lists of events" }, { "span.links == nil", 0, "lists of links" }, { "status == 1", 0, "status.code" }, { "cache[\"a\"] == 1", 0, "no cache" },
    { "name", 0, "a string is no condition" }, { "attributes[\"a\"]", 0, "a value alone is no condition" }, { "true and name", 9, "a string is no condition" }, { "not name", 4, "no condition" }, { "name or true", 0, "no condition" }, { "1 + 1", 0, "an int is no condition" },
    { "true and", 8, "the condition ends" }, { "name ==", 7, "the condition ends" }, { "name == and", 8, "got `and`" }, { "(true", 5, "`)`" }, { "true)", 4, "the end, got `)`" }, { "true true", 5, "got `true`" }, { "not not true", 4, "got `not`" }, { "== 1", 0, "expected a condition" },
    { "1 == 1 == true", 7, "can not be compared" }, { "(1 == 1) == true", 9, "can not be compared" }, { "1 == (1 == 1)", 5, "a comparison is no value" }, { "1 + (1 == 1) == 1", 4, "no value to compute with" }, { "\"a\" + 1 == 1", 0, "no value to compute with" }, { "1 + name == 1", 4, "no value to compute with" },
    { "-name == 1", 1, "no value to compute with" }, { "- -1 == 1", 2, "behind the sign" }, { "name = 1", 5, "`==` compares" }, { "true && false", 5, "write `and`" }, { "true || false", 5, "write `or`" }, { "!true", 0, "write `not`" }, { "name == 'a'", 8, "double quotes" }, { "name == \"a", 8, "closing quote" },
    { "name == \"a\\", 8, "closing quote" }, { "name == \"\\d\"", 9, "backslash is written twice" }, { "name == \"a\\ud800\"", 10, "escape" }, { "name == \"\\400\"", 9, "escape" }, { "name == \"\\x4\"", 9, "escape" }, { "name == \"a\nb\"", 10, "line break" }, { "name == 0x1", 8, "even number" }, { "name == 0x", 8, "even number" },
    { "1 == 9223372036854775808", 5, "too large for an int" }, { "1 == 1.0e999", 5, "too large for a float" }, { "1 == 1e5", 6, "got `e5`" }, { "name == #", 8, "means nothing" }, { "1 / 0 == 1", 2, "division by zero" }, { "1.0 / 0 == 1", 4, "division by zero" }, { "Int(\"x\") == 1", 0, "no int" },
    { "Duration(\"x\") == 1", 0, "no duration" }, { "TraceID(0x01) == trace_id", 0, "takes 16" }, { "SpanID(\"xxxxxxxxxxxxxxxx\") == span_id", 0, "no hex digits" }, { "IsMatch(name, \"(a\")", 14, "without its )" }, { "IsMatch(name, \"(a)\\\\1\")", 14, "backreferences" }, { "IsMatch(name)", 12, "takes 2 arguments" },
    { "IsMatch(name, \"a\", 1)", 17, "takes 2 arguments" }, { "IsMatch()", 8, "takes 2 arguments" }, { "IsRootSpan(1)", 11, "takes 0 arguments" }, { "Len(1) == 1", 4, "does not take an int" }, { "HasPrefix(1, \"a\")", 10, "does not take an int" }, { "IsMatch(trace_id, \"a\")", 8, ".string" },
    { "IsMatch(pattern=\"a\", name)", 15, "no names here" }, { "Concat(name, \"\") == \"\"", 7, "is a list" }, { "Concat([name name], \"\") == \"\"", 13, "`,` or `]`" }, { "Concat([name,], \"\") == \"\"", 13, "expected a value" }, { "Concat([trace_id], \"\") == \"\"", 8, "has no text" },
    { "name == [1]", 8, "Concat only" }, { "name == {}", 8, "maps" }, { "attributes[0] == 1", 10, "is a string" }, { "attributes[name] == 1", 11, "as key" }, { "attributes[\"a\" == 1", 15, "`]`" }, { "name[\"a\"] == 1", 4, "has no keys" }, { "attributes[\"a\"].b == 1", 15, "nothing may follow" },
    { "trace_state[\"a\"][\"b\"] == 1", 11, "one key" }, { "trace_state[1] == 1", 11, "is a string" }, { "span. == 1", 6, "behind the point" }, { "String(name)[0] == 1", 12, "behind a function" }, { "String(name)", 0, "no condition" }, { "Len(true and false) == 1", 4, "does not take a bool" }, { "IsBool(true and false)", 12, "got `and`" }, { "Len((true and false)) == 1", 4, "a comparison is no value" },
    { "true where false", 5, "no `where`" }, { "name == \"\xff\"", 9, "UTF-8" }, { "_x == 1", 0, "expected a value" } };
  struct weir_expr *e;
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct weir_error err = { 0 };
    if (expr_compile(WEIR_EXPR_SPAN, rows[i].text, &e, &err) != WEIR_E_INVALID) fail_msg("%s: not refused", rows[i].text);
    if (err.offset != rows[i].at || !strstr(err.msg, rows[i].why)) fail_msg("%s: at %d: %s", rows[i].text, (int)err.offset, err.msg);
    assert_int_equal(expr_compile(WEIR_EXPR_SPAN, rows[i].text, &e, NULL), WEIR_E_INVALID);
  }
  struct weir_error err = { 0 };
  assert_int_equal(expr_compile(WEIR_EXPR_SPANEVENT, "IsRootSpan()", &e, &err), WEIR_E_INVALID);
  assert_non_null(strstr(err.msg, "conditions on spans"));
  assert_int_equal(expr_compile(7, "true", &e, &err), WEIR_E_UNSUPPORTED);
}

static void hints_name_what_is_near(void **state) {
  static const char *const rows[][2] = { { "nmae == 1", "\"name\"" }, { "Ismatch(name, \"a\")", "\"IsMatch\"" }, { "isMatch(name, \"a\")", "\"IsMatch\"" }, { "kind == SPAN_KIND_SERVR", "\"SPAN_KIND_SERVER\"" }, { "status.cod == 1", "\"status.code\"" },
    { "resource.attribute[\"a\"] == 1", "\"attributes\"" }, { "Foo(1)", "docs/expressions.md" }, { "name", "== true" } };
  struct weir_expr *e;
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct weir_error err = { 0 };
    assert_int_equal(expr_compile(WEIR_EXPR_SPAN, rows[i][0], &e, &err), WEIR_E_INVALID);
    if (!strstr(err.hint, rows[i][1])) fail_msg("%s: %s", rows[i][0], err.hint);
  }
}

static void failures_say_why(void **state) {
  static const char *const rows[][2] = { { "attributes[\"list\"][2] == 1", "a list of 2 has no element [2]" }, { "IsMatch(attributes[\"evil\"], \"(a+)+$\")", "REGEX_STEPS_MAX" }, { "true and attributes[\"text\"] * 2 == 1", "a string * an int" },
    { "HasPrefix(attributes[\"none\"], \"a\")", "HasPrefix: nil is no string" } };
  struct weir_error err;
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_int_equal(value_of(WEIR_EXPR_SPAN, rows[i][0], &err), FAILS);
    if (!strstr(err.msg, rows[i][1])) fail_msg("%s: %s", rows[i][0], err.msg);
  }
  value_of(WEIR_EXPR_SPAN, "true and attributes[\"text\"] * 2 == 1", &err);
  assert_int_equal(err.offset, 28);
}

/* --- limits ------------------------------------------------------------------------------------------------------------------------ */

/* `head`, then `unit` n times, `middle`, `tail` n times. */
static char *bomb(const char *unit, const char *middle, const char *tail, size_t n) {
  size_t a = strlen(unit), b = strlen(middle), c = strlen(tail);
  char *text = malloc(n * (a + c) + b + 1), *p = text;
  for (size_t i = 0; i < n; i++, p += a) memcpy(p, unit, a);
  memcpy(p, middle, b);
  p += b;
  for (size_t i = 0; i < n; i++, p += c) memcpy(p, tail, c);
  *p = 0;
  return text;
}

static void compiles_to(int expected, const char *why, char *text) {
  struct weir_expr *e = NULL;
  struct weir_error err = { 0 };
  int r = expr_compile(WEIR_EXPR_SPAN, text, &e, &err);
  if (r != expected || (why && !strstr(err.msg, why))) fail_msg("%.40s...: %d %s", text, r, err.msg);
  if (!r) {
    r = expr_eval(e, &record.input, &err);
    assert_true(r == 0 || r == 1);
  }
  if (!r || !expected) expr_free(e);
  free(text);
}

static void limits_have_names(void **state) {
  (void)state;
  compiles_to(0, NULL, bomb("(", "true", ")", EXPR_DEPTH_MAX));
  compiles_to(WEIR_E_LIMIT, "EXPR_DEPTH_MAX", bomb("(", "true", ")", EXPR_DEPTH_MAX + 1));
  compiles_to(WEIR_E_LIMIT, "EXPR_DEPTH_MAX", bomb("(", "", "", 8000));
  compiles_to(WEIR_E_LIMIT, "EXPR_DEPTH_MAX", bomb("Len(", "name", ") == 1", 600));
  compiles_to(WEIR_E_LIMIT, "EXPR_DEPTH_MAX", bomb("not (", "true", ")", 600));
  compiles_to(WEIR_E_LIMIT, "EXPR_STACK_MAX", bomb("kind+(", "kind", ")", EXPR_STACK_MAX));
  compiles_to(WEIR_E_LIMIT, "EXPR_TEXT_MAX", bomb("1", " == 1", "", 1000000));
  compiles_to(0, NULL, bomb("true and ", "true", "", 900));
  compiles_to(0, NULL, bomb("kind == 1 or ", "IsRootSpan()", "", 620));
  compiles_to(0, NULL, bomb("1+", "1 == 1", "", 4000));
  compiles_to(0, NULL, bomb("kind+", "1 == 1", "", 1600));
  compiles_to(0, NULL, bomb("\"\" == \"\" and ", "true", "", 600));
  compiles_to(WEIR_E_LIMIT, "EXPR_KEYS_MAX", bomb("", "attributes[\"a\"][0][0][0][0][0][0][0][0] == 1", "", 0));
  compiles_to(WEIR_E_LIMIT, "EXPR_LIST_MAX", bomb("", "Concat([1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17], \"\") == \"\"", "", 0));
  struct weir_error err;
  assert_int_equal(value_of(WEIR_EXPR_SPAN, "Len(Concat([attributes[\"long\"], attributes[\"long\"]], \"\")) == 1", &err), FAILS);
  assert_non_null(strstr(err.msg, "EXPR_SCRATCH_MAX"));
  assert_int_equal(value_of(WEIR_EXPR_SPAN, "Len(ToUpperCase(attributes[\"long\"])) == 40000", &err), 1);
}

static void trace_states(void **state) {
  static const struct {
    const char *state, *key, *value; /* NULL: nil */
  } rows[] = { { "", "a", "" }, { "a=1", "a", "1" }, { " a=1 ,b=2", "b", "2" }, { "a=1 ,", "a", "1" }, { "a=1 ", "a", "1" }, { ",,a=1", "a", "1" }, { "a=1,a=2", "a", NULL }, { "a", "a", NULL }, { "A=1", "A", NULL }, { "a=", "a", NULL }, { "a=1=2", "a", NULL }, { "a =1", "a", NULL },
    { "1a@b=c", "1a@b", "c" }, { "1a=c", "1a", NULL }, { "a@1=c", "a@1", NULL }, { "a@=c", "a@", NULL }, { "a=\xc3\xa9", "a", NULL }, { "a= 1", "a", " 1" }, { " ", "a", NULL }, { "=", "a", NULL } };
  char text[100];
  struct weir_error err;
  struct weir_str before = record.span->trace_state;
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    record.span->trace_state = weir_str_of(rows[i].state);
    snprintf(text, sizeof text, rows[i].value ? "trace_state[\"%s\"] == \"%s\"" : "trace_state[\"%s\"] == nil", rows[i].key, rows[i].value);
    if (value_of(WEIR_EXPR_SPAN, text, &err) != 1) fail_msg("%s: %s", rows[i].state, text);
  }
  record.span->trace_state = before;
}

/* Ids of a sender that keeps no rules, and what is not there at all. */
static void odd_records(void **state) {
  static const struct row rows[] = { { "trace_id.string == \"00000000000000000000000000000000\"", 1 }, { "trace_id == TraceID(0x00000000000000000000000000000000)", 1 }, { "span_id == SpanID(0x0100000000000000)", 0 }, { "span_id.string == \"01\"", 1 }, { "IsRootSpan()", 1 },
    { "name == \"\"", 1 }, { "Len(name) == 0", 1 }, { "kind.string == \"\"", 1 }, { "status.message == \"\"", 1 }, { "attributes[\"a\"] == nil", 1 }, { "start_time_unix_nano == -1", 1 }, { "end_time - start_time == Duration(\"1ns\")", 1 }, { "IsMatch(name, \"^$\")", 1 }, { "HasPrefix(name, \"\")", 1 },
    { "Concat([name, name], name) == \"\"", 1 }, { "ToLowerCase(name) == \"\"", 1 } };
  struct weir_span span = { .rec = { .kind = WEIR_R_SPAN }, .kind = 9, .span_id = { "\1", 1, 0 }, .start_time_unix_nano = UINT64_MAX };
  const struct weir_span *before = record.input.span;
  (void)state;
  record.input.span = &span;
  CHECK(WEIR_EXPR_SPAN, rows);
  record.input.span = before;
}

static int setup(void **state) {
  (void)state;
  return expr_record_open(&record);
}

static int teardown(void **state) {
  (void)state;
  expr_record_close(&record);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(paths_of_spans), cmocka_unit_test(paths_of_span_events), cmocka_unit_test(comparisons), cmocka_unit_test(logic), cmocka_unit_test(arithmetic), cmocka_unit_test(functions), cmocka_unit_test(strings),
    cmocka_unit_test(refusals_name_the_byte), cmocka_unit_test(hints_name_what_is_near), cmocka_unit_test(failures_say_why), cmocka_unit_test(limits_have_names), cmocka_unit_test(trace_states), cmocka_unit_test(odd_records) };
  return cmocka_run_group_tests(tests, setup, teardown);
}
