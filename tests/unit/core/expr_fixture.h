/*
 * tests/unit/core/expr_fixture.h - the span with everything on it that conditions are tried on: OTLP/JSON, decoded.
 */
#ifndef TESTS_EXPR_FIXTURE_H
#define TESTS_EXPR_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/expr.h"
#include "core/otlp_json.h"

static const char expr_record_json[] =
  "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}],\"droppedAttributesCount\":4},\"schemaUrl\":\"https://r\","
  "\"scopeSpans\":[{\"scope\":{\"name\":\"lib\",\"version\":\"1.2\",\"attributes\":[{\"key\":\"s\",\"value\":{\"stringValue\":\"t\"}}],\"droppedAttributesCount\":5},\"schemaUrl\":\"https://s\","
  "\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"a1a2a3a4a5a6a7a8\",\"traceState\":\"ot=th:8,rojo=1 2\",\"name\":\"GET /api\",\"kind\":2,\"flags\":257,"
  "\"startTimeUnixNano\":\"1000000000000000000\",\"endTimeUnixNano\":\"1000000001500000000\",\"droppedAttributesCount\":1,\"droppedEventsCount\":2,\"droppedLinksCount\":3,"
  "\"status\":{\"code\":2,\"message\":\"boom\"},\"events\":[{\"name\":\"exception\",\"timeUnixNano\":\"1000000000500000000\",\"droppedAttributesCount\":6,"
  "\"attributes\":[{\"key\":\"exception.type\",\"value\":{\"stringValue\":\"Timeout\"}}]}],\"attributes\":["
  "{\"key\":\"http.status_code\",\"value\":{\"intValue\":\"503\"}},{\"key\":\"http.status_code\",\"value\":{\"intValue\":\"200\"}},{\"key\":\"text\",\"value\":{\"stringValue\":\"some\"}},"
  "{\"key\":\"number\",\"value\":{\"stringValue\":\"12\"}},{\"key\":\"hex\",\"value\":{\"stringValue\":\"0x10\"}},{\"key\":\"bool\",\"value\":{\"boolValue\":true}},"
  "{\"key\":\"zero\",\"value\":{\"intValue\":0}},{\"key\":\"double\",\"value\":{\"doubleValue\":2.5}},{\"key\":\"nan\",\"value\":{\"doubleValue\":\"NaN\"}},"
  "{\"key\":\"bytes\",\"value\":{\"bytesValue\":\"3q2+7w==\"}},{\"key\":\"empty bytes\",\"value\":{\"bytesValue\":\"\"}},{\"key\":\"null\",\"value\":{}},"
  "{\"key\":\"list\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"},{\"stringValue\":\"b\"}]}}},"
  "{\"key\":\"map\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"deep\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"er\",\"value\":{\"boolValue\":true}}]}}},"
  "{\"key\":\"list\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":7}]}}}]}}},{\"key\":\"pattern\",\"value\":{\"stringValue\":\"^GET /a.i$\"}},"
  "{\"key\":\"bad pattern\",\"value\":{\"stringValue\":\"(a\"}},{\"key\":\"evil\",\"value\":{\"stringValue\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"}},"
  "{\"key\":\"duration\",\"value\":{\"stringValue\":\"1m30s\"}},{\"key\":\"trace\",\"value\":{\"stringValue\":\"0102030405060708090a0b0c0d0e0f10\"}},"
  "{\"key\":\"\",\"value\":{\"stringValue\":\"empty key\"}},{\"key\":\"long\",\"value\":{\"stringValue\":\"%s\"}}]}]}]}]}";

struct expr_record {
  struct pool *pool;
  struct arena arena;
  struct weir_body *body;
  struct weir_data data;
  struct weir_span *span;
  struct weir_expr_input input;
};

/* `long` is 40,000 letters. Not 0: the text does not decode. */
static int expr_record_open(struct expr_record *r) {
  struct otlp_counts counts;
  struct weir_error err = { 0 };
  char letters[40001], *text = malloc(sizeof expr_record_json + sizeof letters);
  memset(letters, 'a', sizeof letters - 1);
  letters[sizeof letters - 1] = 0;
  int n = snprintf(text, sizeof expr_record_json + sizeof letters, expr_record_json, letters);
  pool_adopt(r->pool = pool_new(NULL));
  arena_init(&r->arena, NULL, 0);
  int bad = otlp_json_decode(r->pool, WEIR_TRACES, text, (size_t)n, NULL, &r->body, &counts, &err);
  free(text);
  if (!bad) bad = otlp_decode(WEIR_TRACES, &r->arena, r->body->p, r->body->n, NULL, &r->data, &counts, &err);
  if (bad) {
    fprintf(stderr, "expr_record_json: %s\n", err.msg);
    return bad;
  }
  struct weir_resource *resource = r->data.resources[0];
  r->span = resource->scopes[0]->u.spans[0];
  r->input = (struct weir_expr_input){ .size = sizeof r->input, .resource = resource, .scope = resource->scopes[0], .span = r->span, .event = r->span->events[0] };
  return 0;
}

static inline void expr_record_close(struct expr_record *r) {
  arena_done(&r->arena);
  body_free(r->body);
  pool_free(r->pool);
}

#endif
