/*
 * gRPC against peers that speak HTTP/2 but break its rules: requests to the servers, answers to the clients of both engines. Where C-core
 * answers in its own way, the case says so.
 */
#include "grpc_fixture.h"

static const struct grpc_engine *engine;
static int served;

static int is_core(void) { return engine != &grpc_native; }

static void echo(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  struct weir_grpc_status st = { sizeof st, WEIR_GRPC_OK, NULL, -1 };
  served++;
  engine->reply(x, &st, r->msg, r->msg_n);
}

static const struct weir_grpc_method methods[] = { { "/t.Service/Echo", echo } };

/* A frame: the compressed flag, the declared length, the bytes. Returns the length. */
static size_t frame(char *out, int flag, uint32_t declared, const void *p, size_t n) {
  grpc_prefix_put(out, 0, declared);
  out[0] = (char)flag;
  memcpy(out + GRPC_PREFIX, p, n);
  return GRPC_PREFIX + n;
}

static size_t packed_as(const char *encoding, const void *p, size_t n, char *out, size_t cap) {
  struct weir_iov v = { p, n };
  struct weir_body *packed;
  struct weir_error err;
  assert_int_equal(compress_deflate(loop.pool, encoding, 6, &v, 1, &packed, &err), 0);
  size_t packed_n = packed->n;
  assert_true(packed_n <= cap);
  memcpy(out, packed->p, packed_n);
  body_free(packed);
  return packed_n;
}

/* --- hostile requests ------------------------------------------------------------------------------------- */

struct request {
  const char *what, *method, *path, *type, *encoding, *timeout;
  uint32_t want_http, want_code;
  const char *want_text;
};

struct heard {
  int done;
  uint32_t http;
  char code[8], text[512], accept[64], type[64], body[256];
  int32_t has_details;
};

static void copy(struct weir_str s, char *buf, size_t cap) { snprintf(buf, cap, "%.*s", (int)s.n, s.p ? s.p : ""); }

static struct weir_str line(const struct weir_http_response *r, const char *name) {
  struct weir_str v = weir_http_find(r->trailers, r->n_trailers, name);
  return v.p ? v : weir_http_find(r->headers, r->n_headers, name);
}

static void on_response(void *arg, const struct weir_http_response *r) {
  struct heard *h = arg;
  char encoded[512];
  h->done++;
  h->http = r->status;
  copy(line(r, "grpc-status"), h->code, sizeof h->code);
  copy(line(r, "grpc-accept-encoding"), h->accept, sizeof h->accept);
  copy(line(r, "content-type"), h->type, sizeof h->type);
  copy(line(r, "grpc-message"), encoded, sizeof encoded);
  grpc_msg_decode(weir_str_of(encoded), h->text, sizeof h->text);
  h->has_details = line(r, "grpc-status-details-bin").p != NULL;
  if (r->body) copy((struct weir_str){ r->body->p, (uint32_t)r->body->n, 0 }, h->body, sizeof h->body);
}

static struct weir_grpc_server *server;
static struct weir_http_client *raw;

static int server_setup(void **state) {
  engine = *state;
  char where[64];
  struct weir_error err = { 0 };
  fixture_loop_open();
  served = 0;
  struct weir_grpc_server_config c = {
    .size = sizeof c, .owner = "test", .endpoint = "127.0.0.1:0", .max_message_bytes = MAX_MESSAGE, .methods = methods, .n_methods = 1
  };
  if (engine->listen(&loop, &c, &server, &err)) return -1;
  endpoint_of(engine->port(server), where, sizeof where);
  struct weir_http_client_config h = { .size = sizeof h, .flags = WEIR_HTTP_H2_ONLY, .endpoint = where };
  return http_client_open(&loop, &h, &raw, &err);
}

static int server_teardown(void **state) {
  (void)state;
  http_client_close(raw);
  engine->close(server);
  fixture_loop_close();
  return 0;
}

static void add(struct weir_http_header *h, size_t *n, const char *name, const char *value) {
  if (value) h[(*n)++] = (struct weir_http_header){ weir_str_of(name), weir_str_of(value) };
}

static void ask(const struct request *q, const char *body, size_t n, struct heard *h) {
  struct weir_http_header headers[8];
  size_t n_headers = 0;
  struct weir_iov v = { body, n };
  add(headers, &n_headers, "content-type", q->type);
  add(headers, &n_headers, "te", "trailers");
  add(headers, &n_headers, "grpc-encoding", q->encoding);
  add(headers, &n_headers, "grpc-timeout", q->timeout);
  struct weir_http_call_config c = { .method = q->method,
    .path = q->path,
    .headers = headers,
    .n_headers = n_headers,
    .body = &v,
    .n_body = n ? 1 : 0,
    .deadline_ns = clock_mono_ns() + PATIENCE_NS,
    .on_response = on_response,
    .arg = h };
  memset(h, 0, sizeof *h);
  http_call(raw, &c);
  wait_for(&h->done, 1);
}

static void expect(const struct request *q, const char *body, size_t n) {
  struct heard h;
  char code[8];
  ask(q, body, n, &h);
  snprintf(code, sizeof code, "%u", q->want_code);
  if (h.http != q->want_http || (q->want_http == 200 && strcmp(h.code, code) != 0) ||
      !strstr(q->want_http == 200 ? h.text : h.body, q->want_text))
    fail_msg("%s: HTTP %u grpc-status %s \"%s\" body \"%s\"", q->what, h.http, h.code, h.text, h.body);
}

#define OK_TYPE "application/grpc"
#define POST_ECHO "POST", "/t.Service/Echo"

static void requests_that_are_not_grpc(void **state) {
  (void)state;
  char body[16];
  size_t n = frame(body, 0, 2, "hi", 2);
  const struct request cases[] = {
    { "json", POST_ECHO, "application/json", NULL, NULL, 415, 0, "content-type must be application/grpc" },
    { "grpc-web", POST_ECHO, "application/grpc-web", NULL, NULL, 415, 0, "content-type" },
    { "no type", POST_ECHO, NULL, NULL, NULL, 415, 0, "content-type" },
    { "GET", "GET", "/t.Service/Echo", OK_TYPE, NULL, NULL, 405, 0, "POST" },
    { "unknown method", "POST", "/t.Service/Nope", OK_TYPE, NULL, NULL, 200, 12, "unknown method /t.Service/Nope" },
    { "prefix of a method", "POST", "/t.Service/Ech", OK_TYPE, NULL, NULL, 200, 12, "unknown method" },
    { "unknown encoding", POST_ECHO, OK_TYPE, "lz4", NULL, 200, 12, "grpc-encoding \"lz4\" is not supported: use one of identity,gzip,zstd,snappy" },
    { "bad timeout", POST_ECHO, OK_TYPE, NULL, "5s", 200, 13, "malformed grpc-timeout" },
    { "endless timeout", POST_ECHO, OK_TYPE, NULL, "99999999H", 200, 0, "" },
    { "+proto", POST_ECHO, "application/grpc+proto", NULL, NULL, 200, 0, "" },
    { ";charset", POST_ECHO, "application/grpc;charset=utf-8", "identity", "1S", 200, 0, "" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect(&cases[i], body, n);
  assert_int_equal(served, 3);
}

static void an_unknown_encoding_is_told_what_is_known(void **state) {
  (void)state;
  struct request q = { .method = "POST", .path = "/t.Service/Echo", .type = OK_TYPE, .encoding = "br" };
  struct heard h;
  ask(&q, NULL, 0, &h);
  assert_string_equal(h.accept, "identity,gzip,zstd,snappy");
  assert_string_equal(h.code, "12");
  assert_string_equal(h.type, OK_TYPE);
  assert_false(h.has_details);
}

static void broken_framing_is_internal(void **state) {
  (void)state;
  char body[64];
  struct request q = { "", POST_ECHO, OK_TYPE, NULL, NULL, 200, 13, NULL };
  const struct {
    const char *what, *text;
    int flag;
    uint32_t declared;
    size_t n;
  } cases[] = {
    { "cut message", "message of 9 bytes ends after 4", 0, 9, 4 },
    { "bytes after", "1 bytes after the message", 0, 3, 4 },
    { "two messages", "7 bytes after the message", 0, 4, 11 },
    { "flag 2", "compressed flag 2", 2, 4, 4 },
    { "flag 255", "compressed flag 255", 255, 4, 4 },
    { "compressed without encoding", "grpc-encoding names no compression", 1, 4, 4 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    q.what = cases[i].what;
    q.want_text = cases[i].text;
    expect(&q, body, frame(body, cases[i].flag, cases[i].declared, "abcdefghijk", cases[i].n));
  }
  q.what = "empty body";
  q.want_text = "no message";
  expect(&q, NULL, 0);
  q.what = "cut prefix";
  q.want_text = "inside the 5-byte message prefix";
  expect(&q, "\0\0\0", 3);
  q.what = "4 GiB declared";
  q.want_code = 8;
  q.want_text = "message of 4294967295 bytes is over max_recv_msg_size_mib";
  expect(&q, body, frame(body, 0, 0xffffffffu, "abc", 3));
  assert_int_equal(served, 0);
}

static void check_encoding(const char *encoding) {
  static char packed[65536], body[65536 + 8];
  const char *own = strcmp(encoding, "snappy") == 0 ? "x-snappy-framed" : encoding; /* what gRPC means by it */
  char *zeros = calloc(1, 4 * MAX_MESSAGE);
  struct request q = { "good", POST_ECHO, OK_TYPE, encoding, NULL, 200, 0, "" };
  size_t n = packed_as(own, zeros, MAX_MESSAGE, packed, sizeof packed);
  served = 0;
  expect(&q, body, frame(body, 1, (uint32_t)n, packed, n));
  q.what = "flag clear under an encoding";
  expect(&q, body, frame(body, 0, 2, "hi", 2));
  assert_int_equal(served, 2);
  q.what = "bomb";
  q.want_code = 8;
  q.want_text = "over max_recv_msg_size_mib (256 KiB) after decompression";
  n = packed_as(own, zeros, 4 * MAX_MESSAGE, packed, sizeof packed);
  expect(&q, body, frame(body, 1, (uint32_t)n, packed, n));
  q.what = "cut";
  q.want_code = 13;
  q.want_text = "cannot decompress";
  n = packed_as(own, zeros, 1000, packed, sizeof packed);
  expect(&q, body, frame(body, 1, (uint32_t)n - 1, packed, n - 1));
  q.what = "another format";
  expect(&q, body, frame(body, 1, 3, "\xff\xfe\xfd", 3));
  q.what = "empty";
  expect(&q, body, frame(body, 1, 0, "", 0));
  assert_int_equal(served, 2);
  free(zeros);
}

static void encodings_are_bounded_and_checked(void **state) {
  (void)state;
  check_encoding("gzip");
  if (is_core()) return; /* it knows no other */
  check_encoding("zstd");
  check_encoding("snappy");
}

static void a_body_over_the_limit_is_refused_in_grpc(void **state) {
  (void)state;
  size_t n = 3 * MAX_MESSAGE;
  char *body = calloc(1, n);
  struct request q = { "large", POST_ECHO, OK_TYPE, NULL, NULL, 200, 8, "over max_recv_msg_size_mib (256 KiB)" };
  grpc_prefix_put(body, 0, (uint32_t)n - 5);
  expect(&q, body, n);
  q.path = "/t.Service/Nope"; /* refused by its headers: the body is never judged */
  q.want_code = 12;
  q.want_text = "unknown method";
  expect(&q, body, n);
  assert_int_equal(served, 0);
  free(body);
}

static void a_full_budget_is_unavailable_with_a_delay(void **state) {
  (void)state;
  struct heard h;
  size_t n = 200000;
  char *body = calloc(1, n);
  struct request q = { .method = "POST", .path = "/t.Service/Echo", .type = OK_TYPE };
  grpc_prefix_put(body, 0, (uint32_t)n - 5);
  env.budget.limit = atomic_load(&env.budget.used) + 1;
  ask(&q, body, n, &h);
  assert_int_equal(h.http, 200);
  assert_string_equal(h.code, "14");
  assert_true(h.has_details);
  env.budget.limit = 0;
  ask(&q, body, n, &h);
  assert_string_equal(h.code, "0");
  free(body);
}

/* --- hostile answers -------------------------------------------------------------------------------------- */

struct answer {
  const char *what;
  uint32_t http;
  const char *type, *encoding, *status_header, *status_trailer, *message, *details;
  const char *body;
  size_t n;
  uint32_t want_code;
  const char *want_text;
};

static const struct answer *answer;
static struct weir_http_server *fake;
static struct weir_grpc_client *client;

static void give_answer(void *self, struct weir_http_exchange *x, const struct weir_http_request *r) {
  (void)self;
  struct weir_http_header headers[5], trailers[3];
  size_t n_headers = 0, n_trailers = 0;
  struct weir_iov body = { answer->body, answer->n };
  assert_true(weir_str_eq(weir_http_find(r->headers, r->n_headers, "te"), weir_str_of("trailers")));
  assert_true(weir_str_eq(weir_http_find(r->headers, r->n_headers, "content-type"), weir_str_of("application/grpc")));
  assert_true(weir_str_eq(r->method, weir_str_of("POST")));
  add(headers, &n_headers, "content-type", answer->type);
  add(headers, &n_headers, "grpc-encoding", answer->encoding);
  add(headers, &n_headers, "grpc-status", answer->status_header);
  if (answer->status_header) {
    add(headers, &n_headers, "grpc-message", answer->message);
    add(headers, &n_headers, "grpc-status-details-bin", answer->details);
  } else {
    add(trailers, &n_trailers, "grpc-status", answer->status_trailer);
    add(trailers, &n_trailers, "grpc-message", answer->message);
    add(trailers, &n_trailers, "grpc-status-details-bin", answer->details);
  }
  struct weir_http_reply reply = { .status = answer->http,
    .headers = headers,
    .n_headers = n_headers,
    .body = &body,
    .n_body = answer->n ? 1 : 0,
    .trailers = trailers,
    .n_trailers = n_trailers };
  http_reply(x, &reply);
}

static int client_setup(void **state) {
  engine = *state;
  char where[64];
  struct weir_error err = { 0 };
  fixture_loop_open();
  struct weir_http_server_config h = { .size = sizeof h, .owner = "fake", .endpoint = "127.0.0.1:0", .on_request = give_answer };
  if (http_listen(&loop, &h, &fake, &err)) return -1;
  endpoint_of(http_server_port(fake), where, sizeof where);
  struct weir_grpc_client_config c = { .size = sizeof c, .endpoint = where };
  return engine->client_open(&loop, &c, &client, &err);
}

static int client_teardown(void **state) {
  (void)state;
  engine->client_close(client);
  http_server_close(fake);
  fixture_loop_close();
  return 0;
}

static void hear(const struct answer *a, struct outcome *o) {
  struct weir_iov v = { "request", 7 };
  memset(o, 0, sizeof *o);
  answer = a;
  engine->call(client, "/t.Service/Echo", &v, 1, clock_mono_ns() + PATIENCE_NS, keep_outcome, o);
  wait_for(&o->done, 1);
  if (o->code != a->want_code || !strstr(o->msg, a->want_text)) fail_msg("%s: %s \"%s\"", a->what, grpc_code_name(o->code), o->msg);
}

static void answers_that_are_not_grpc_map_by_http_status(void **state) {
  (void)state;
  static const struct {
    uint32_t http, code;
  } t[] = { { 400, 13 }, { 401, 16 }, { 403, 7 }, { 404, 12 }, { 429, 14 }, { 500, 2 }, { 502, 14 }, { 503, 14 }, { 504, 14 }, { 200, 2 } };
  struct outcome o;
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    struct answer a = { .what = "html",
      .http = t[i].http,
      .type = "text/html",
      .body = "<html>",
      .n = 6,
      .want_code = t[i].code,
      .want_text = is_core() ? (t[i].http == 200 ? "" : "header with status") : "without grpc-status, content-type \"text/html\"" };
    hear(&a, &o);
    assert_int_equal(o.n, 0);
    outcome_done(&o);
  }
}

static void statuses_are_read_wherever_they_stand(void **state) {
  (void)state;
  static const char ok[] = "\0\0\0\0\2hi",
                    retry[] = "CA4SBWxhdGVyGjYKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUluZm8SCgoICAEQgMq17gE";
  const struct answer cases[] = {
    { "ok", 200, OK_TYPE, NULL, NULL, "0", NULL, NULL, ok, 7, 0, "" },
    { "trailers-only error", 200, OK_TYPE, NULL, "8", NULL, "too%20much%21", NULL, NULL, 0, 8, "too much!" },
    { "error in trailers", 200, OK_TYPE, NULL, NULL, "14", "later", retry, NULL, 0, 14, "later" },
    { "error after a message", 200, OK_TYPE, NULL, NULL, "13", "half", NULL, ok, 7, 13, "half" },
    { "grpc-status wins over HTTP", 503, OK_TYPE, NULL, "3", NULL, "bad", NULL, NULL, 0, 3, "bad" },
    { "unknown code", 200, OK_TYPE, NULL, "99", NULL, "odd", NULL, NULL, 0, 2, "odd" },
    { "broken code", 200, OK_TYPE, NULL, "zero", NULL, "odd", NULL, NULL, 0, 2, "odd" },
    { "broken details", 200, OK_TYPE, NULL, "14", NULL, "later", "%%%%", NULL, 0, 14, "later" },
  };
  struct outcome o;
  for (size_t i = 0; i < sizeof cases / sizeof *cases - (is_core() ? 1 : 0); i++) { /* C-core resets the stream over broken base64 */
    hear(&cases[i], &o);
    assert_int_equal(o.n, i == 0 ? 2 : 0);
    assert_int_equal(o.retry_after_ns, i == 2 ? 1500000000 : -1);
    outcome_done(&o);
  }
}

/* What C-core answers itself, or lets pass where the native engine refuses (docs/design/grpc.md, "Differences"). Known here so that a change is seen. */
static void core_reads_requests_in_its_own_way(void **state) {
  (void)state;
  char body[32];
  size_t n = frame(body, 0, 2, "hi", 2);
  const struct request cases[] = {
    { "unknown method", "POST", "/t.Service/Nope", OK_TYPE, NULL, NULL, 200, 12, "unknown method /t.Service/Nope" },
    { "prefix of a method", "POST", "/t.Service/Ech", OK_TYPE, NULL, NULL, 200, 12, "unknown method" },
    { "GET", "GET", "/t.Service/Echo", OK_TYPE, NULL, NULL, 200, 2, "Bad method header" },
    { "json", POST_ECHO, "application/json", NULL, NULL, 200, 0, "" },
    { "unknown encoding, message not compressed", POST_ECHO, OK_TYPE, "snappy", NULL, 200, 0, "" },
    { "bad timeout", POST_ECHO, OK_TYPE, NULL, "5s", 200, 0, "" },
    { "endless timeout", POST_ECHO, OK_TYPE, NULL, "99999999H", 200, 0, "" },
    { "+proto", POST_ECHO, "application/grpc+proto", NULL, NULL, 200, 0, "" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect(&cases[i], body, n);
  assert_int_equal(served, 5);
  struct request q = { "empty body", POST_ECHO, OK_TYPE, NULL, NULL, 200, 13, "no message" };
  expect(&q, NULL, 0);
  q.what = "cut prefix";
  expect(&q, "\0\0\0", 3);
  q.what = "cut message";
  expect(&q, body, frame(body, 0, 9, "abcd", 4));
  q.what = "4 GiB declared";
  expect(&q, body, frame(body, 0, 0xffffffffu, "abc", 3));
  assert_int_equal(served, 5);
}

static void broken_messages_are_not_ok(void **state) {
  (void)state;
  static char packed[256], squeezed[300];
  size_t n = packed_as("gzip", "hello hello hello", 17, packed, sizeof packed);
  size_t squeezed_n = frame(squeezed, 1, (uint32_t)n, packed, n);
  const struct answer cases[] = {
    { "gzip", 200, OK_TYPE, "gzip", NULL, "0", NULL, NULL, squeezed, squeezed_n, 0, "" },
    { "ok without a message", 200, OK_TYPE, NULL, "0", NULL, NULL, NULL, NULL, 0, 13, "broken response: no message" },
    { "cut", 200, OK_TYPE, NULL, NULL, "0", NULL, NULL, "\0\0\0\0\5ab", 7, 13, "broken response: message of 5 bytes" },
    { "unknown encoding", 200, OK_TYPE, "br", NULL, "0", NULL, NULL, "\1\0\0\0\1a", 6, 13, "broken response: unknown grpc-encoding" },
    { "damaged gzip", 200, OK_TYPE, "gzip", NULL, "0", NULL, NULL, "\1\0\0\0\1a", 6, 13, "broken response: cannot decompress" },
    { "huge", 200, OK_TYPE, NULL, NULL, "0", NULL, NULL, "\0\177\0\0\0a", 6, 8, "over the response limit (4 MiB)" },
  };
  struct outcome o;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hear(&cases[i], &o);
    assert_int_equal(o.n, i == 0 ? 17 : 0);
    outcome_done(&o);
  }
}

static void core_finds_broken_messages(void **state) {
  (void)state;
  const struct answer cases[] = {
    { "ok without a message", 200, OK_TYPE, NULL, "0", NULL, NULL, NULL, NULL, 0, 13, "broken response: no message" },
    { "cut", 200, OK_TYPE, NULL, NULL, "0", NULL, NULL, "\0\0\0\0\5ab", 7, 13, "broken response: no message" },
    { "damaged gzip", 200, OK_TYPE, "gzip", NULL, "0", NULL, NULL, "\1\0\0\0\1a", 6, 13, "broken response: cannot decompress" },
    { "broken details", 200, OK_TYPE, NULL, "14", NULL, "later", "%%%%", NULL, 0, 2, "" },
  };
  struct outcome o;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hear(&cases[i], &o);
    assert_int_equal(o.n, 0);
    outcome_done(&o);
  }
}

/* Queued data may fill the budget; what the back end says of it is heard all the same, or nothing would ever leave. */
static void a_full_budget_does_not_lose_answers(void **state) {
  (void)state;
  static char packed[256], squeezed[300];
  size_t n = packed_as("gzip", "hello hello hello", 17, packed, sizeof packed);
  const struct answer a = {
    "gzip", 200, OK_TYPE, "gzip", NULL, "0", NULL, NULL, squeezed, frame(squeezed, 1, (uint32_t)n, packed, n), 0, ""
  };
  struct outcome o;
  struct weir_body *queued = body_new(loop.pool, 100000);
  env.budget.limit = atomic_load(&env.budget.used) + (4u << 10); /* one block, for the request at the fake back end */
  hear(&a, &o);
  assert_int_equal(o.n, 17);
  outcome_done(&o);
  env.budget.limit = 0;
  body_free(queued);
}

static void a_response_over_the_limit_is_resource_exhausted(void **state) {
  (void)state;
  size_t n = 6u << 20;
  char *body = calloc(1, n);
  struct outcome o;
  struct answer a = {
    .what = "large", .http = 200, .type = OK_TYPE, .status_trailer = "0", .body = body, .n = n, .want_code = 8, .want_text = ""
  };
  grpc_prefix_put(body, 0, (uint32_t)n - 5);
  hear(&a, &o);
  outcome_done(&o);
  free(body);
}

#define SERVER(fn) cmocka_unit_test_setup_teardown(fn, server_setup, server_teardown)
#define CLIENT(fn) cmocka_unit_test_setup_teardown(fn, client_setup, client_teardown)

#define BOTH                                                                                                                                                   \
  SERVER(encodings_are_bounded_and_checked), SERVER(a_body_over_the_limit_is_refused_in_grpc), SERVER(a_full_budget_is_unavailable_with_a_delay),                    \
    CLIENT(answers_that_are_not_grpc_map_by_http_status), CLIENT(statuses_are_read_wherever_they_stand), CLIENT(a_full_budget_does_not_lose_answers),          \
    CLIENT(a_response_over_the_limit_is_resource_exhausted)

static int run(const struct grpc_engine *e, struct CMUnitTest *tests, size_t n) {
  for (size_t i = 0; i < n; i++) tests[i].initial_state = (void *)(uintptr_t)e;
  return _cmocka_run_group_tests(e->name, tests, n, NULL, NULL);
}

int main(void) {
  struct CMUnitTest native[] = { SERVER(requests_that_are_not_grpc), SERVER(an_unknown_encoding_is_told_what_is_known), SERVER(broken_framing_is_internal),
    CLIENT(broken_messages_are_not_ok), BOTH };
  struct CMUnitTest core[] = { SERVER(core_reads_requests_in_its_own_way), CLIENT(core_finds_broken_messages), BOTH };
  const struct grpc_engine *loaded = core_engine();
  int failed = run(&grpc_native, native, sizeof native / sizeof *native);
  return loaded ? failed + run(loaded, core, sizeof core / sizeof *core) : failed;
}
