/* Headers that the server adds to its answers: CORS, decided as rs/cors v1.11 decides, and fixed ones. Over HTTP/1.1 as bytes, over HTTP/2 by the client. */
#include "tests/unit/core/http_fixture.h"

#include "core/http_client.h"

#define STRINGS(...) { (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *) }

static const struct weir_http_cors shop = { .size = sizeof shop, .origins = STRINGS("https://Shop.example.com", "https://*.test.com", "null"),
  .headers = STRINGS("Content-Type", "x-tok"), .exposed = STRINGS("retry-after", "x-thing"), .max_age_s = 600 };
static const struct weir_http_cors all = { .size = sizeof all, .origins = STRINGS("https://a", "*"), .headers = STRINGS("a", "*"), .max_age_s = -3 };
static const struct weir_http_cors plain = { .size = sizeof plain, .origins = STRINGS("https://a") };

static void open_with(const struct weir_http_cors *cors, const struct weir_http_header *fixed, size_t n) {
  struct weir_http_server_config c = fix_config();
  c.cors = cors;
  c.response_headers = fixed;
  c.n_response_headers = n;
  fix_open(&c, 0);
}

/* --- tables ------------------------------------------------------------------------------------------------ */

#define ALLOW_SHOP "access-control-allow-origin: https://shop.example.com\r\n"
#define PREFLIGHT_VARY "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"
#define ORIGIN "Origin: https://shop.example.com\r\n"
#define METHOD "Access-Control-Request-Method: POST\r\n"
#define ASKS "Access-Control-Request-Headers: "

struct ask {
  const char *request;           /* its headers; what stands before them is OPTIONS, unless it says more */
  const char *has[8], *lacks[5]; /* lines of the answer; NULL ends */
};

static void answers_are(const struct weir_http_cors *cors, const char *line, const struct ask *asks, size_t n) {
  open_with(cors, NULL, 0);
  for (size_t i = 0; i < n; i++) {
    struct net_peer p;
    char bytes[1000];
    snprintf(bytes, sizeof bytes, "%s / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n", line, asks[i].request);
    fix_text(&p, bytes, NULL);
    for (const char *const *want = asks[i].has; *want; want++)
      if (!net_has(&p, *want)) fail_msg("%s: no `%s` in:\n%s", asks[i].request, *want, p.got);
    for (const char *const *not = asks[i].lacks; *not; not++)
      if (net_has(&p, *not)) fail_msg("%s: `%s` in:\n%s", asks[i].request, *not, p.got);
    net_peer_done(&p);
  }
}

static void preflights(void **state) {
  (void)state;
  static const struct ask asks[] = {
    { ORIGIN METHOD, { "HTTP/1.1 204 No Content\r\n", PREFLIGHT_VARY, ALLOW_SHOP, "access-control-allow-methods: POST\r\n", "access-control-max-age: 600\r\n" },
      { "access-control-allow-headers", "content-length", "expose" } },
    { ORIGIN METHOD ASKS "content-type,x-tok\r\n", { "204", "access-control-allow-headers: content-type,x-tok\r\n", "access-control-allow-credentials: true\r\n" }, { NULL } },
    { ORIGIN METHOD ASKS "X-Tok, \t, Content-type \r\n", { "access-control-allow-headers: X-Tok, \t, Content-type" }, { NULL } },
    { ORIGIN METHOD ASKS "content-type\r\n" ASKS "x-tok\r\n", { "access-control-allow-headers: content-type\r\n", "access-control-allow-headers: x-tok\r\n" }, { NULL } },
    { ORIGIN METHOD ASKS "a\r\n" ASKS "x-tok\r\n", { "204", PREFLIGHT_VARY }, { "access-control-allow" } },
    { ORIGIN METHOD ASKS "x-tok\r\n" ASKS "x-tok\r\n" ASKS "x-tok\r\n" ASKS "x-tok\r\n" ASKS "x-tok\r\n", { "204" }, { "access-control-allow" } },
    { ORIGIN METHOD ASKS "content-type,x-toke\r\n", { "204", PREFLIGHT_VARY }, { "access-control" } },
    { ORIGIN METHOD ASKS "x-to\r\n", { "204" }, { "access-control" } },
    { ORIGIN "Access-Control-Request-Method: HEAD\r\n", { "204", "allow-methods: HEAD" }, { NULL } },
    { ORIGIN "Access-Control-Request-Method: PUT\r\n", { "204", PREFLIGHT_VARY }, { "access-control" } },
    { ORIGIN "Access-Control-Request-Method: post\r\n", { "204" }, { "access-control" } },
    { METHOD, { "204", PREFLIGHT_VARY }, { "access-control" } },
    { "Origin:\r\n" METHOD, { "204", PREFLIGHT_VARY }, { "access-control" } },
  };
  answers_are(&shop, "OPTIONS", asks, sizeof asks / sizeof *asks);
  assert_int_equal(fix.n_headers_calls, 0); /* nobody is asked who it is */
  assert_int_equal(fix.n_requests, 0);
  fix_close();
}

#define FROM(origin) "Origin: " origin "\r\n" METHOD
#define ALLOW(origin) "access-control-allow-origin: " origin "\r\n"

static void origins(void **state) {
  (void)state;
  static const struct ask asks[] = {
    { FROM("HTTPS://SHOP.example.com"), { ALLOW("HTTPS://SHOP.example.com") }, { NULL } },
    { FROM("https://a.b.test.COM"), { ALLOW("https://a.b.test.COM") }, { NULL } },
    { FROM("https://.test.com"), { ALLOW("https://.test.com") }, { NULL } }, /* no text is any text */
    { FROM("null"), { ALLOW("null") }, { NULL } },
    { FROM("https://test.com"), { "204" }, { "access-control" } },
    { FROM("http://a.test.com"), { "204" }, { "access-control" } },
    { FROM("https://a.test.com.evil.com"), { "204" }, { "access-control" } },
    { FROM("https://shop.example.com:8080"), { "204" }, { "access-control" } },
    { FROM("https://shop.example.co"), { "204" }, { "access-control" } },
    { FROM("x"), { "204" }, { "access-control" } },
  };
  answers_are(&shop, "OPTIONS", asks, sizeof asks / sizeof *asks);
  fix_close();
}

static void everything_is_allowed(void **state) {
  (void)state;
  static const struct ask asks[] = {
    { FROM("https://any.where") ASKS "x-what-ever\r\n", { ALLOW("*"), "allow-headers: x-what-ever\r\n", "credentials: true", "max-age: 0\r\n" }, { NULL } },
    { METHOD, { "204" }, { "access-control" } },
  };
  answers_are(&all, "OPTIONS", asks, 2);
  fix_close();
}

static void what_is_not_said_is_usual(void **state) {
  (void)state;
  static const struct ask asks[] = {
    { FROM("https://a") ASKS "accept,content-type,x-requested-with\r\n", { ALLOW("https://a"), "204" }, { "max-age", "expose" } },
    { FROM("https://a") ASKS "authorization\r\n", { "204" }, { "access-control" } },
  };
  answers_are(&plain, "OPTIONS", asks, 2);
  fix_close();
}

static void requests_are_served_whoever_asks(void **state) {
  (void)state;
  static const struct ask asks[] = {
    { ORIGIN, { "HTTP/1.1 200 OK\r\n", "vary: Origin\r\n", ALLOW_SHOP, "expose-headers: retry-after, x-thing\r\n", "credentials: true\r\n", "content-type: text/plain\r\n" },
      { "max-age", "allow-methods" } },
    { "Origin: https://evil.com\r\n", { "HTTP/1.1 200 OK\r\n", "vary: Origin\r\n" }, { "access-control" } },
    { "", { "HTTP/1.1 200 OK\r\n", "vary: Origin\r\n" }, { "access-control" } },
  };
  answers_are(&shop, "GET", asks, 3);
  assert_int_equal(fix.n_requests, 3);
  fix_close();
  answers_are(&shop, "OPTIONS", asks, 3); /* without a method that it asks for it is no preflight */
  assert_int_equal(fix.n_requests, 3);
  fix_close();
  answers_are(&shop, "PUT", (const struct ask[]){ { ORIGIN, { "200 OK", "vary: Origin\r\n" }, { "access-control" } } }, 1);
  fix_close();
}

/* --- refusals, fixed headers -------------------------------------------------------------------------------- */

/* A page has to be able to read why it was refused, whoever refuses. */
static void refusals_have_them_too(void **state) {
  (void)state;
  struct net_peer p;
  struct weir_http_server_config c = fix_config();
  c.cors = &shop;
  c.max_body_bytes = 10;
  fix_open(&c, 0);
  fix_text(&p, "POST / HTTP/1.1\r\nHost: h\r\n" ORIGIN "Content-Length: 11\r\n\r\nhello world", ALLOW_SHOP);
  assert_true(net_has(&p, "HTTP/1.1 413 ") && net_has(&p, "vary: Origin\r\n"));
  net_peer_done(&p);
  fix.refuse_with = 401;
  fix_text(&p, "POST / HTTP/1.1\r\nHost: h\r\n" ORIGIN "Content-Length: 1\r\n\r\nh", ALLOW_SHOP);
  assert_true(net_has(&p, "HTTP/1.1 401 "));
  net_peer_done(&p);
  fix_text(&p, "POST / HTTP/1.1\r\nHost: h\r\n" ORIGIN "Content Length: 1\r\n\r\n", NULL); /* whose headers can not be trusted */
  assert_true(net_has(&p, "HTTP/1.1 400 "));
  assert_false(net_has(&p, "access-control"));
  net_peer_done(&p);
  fix_close();
}

static void a_connection_goes_on_behind_a_preflight(void **state) {
  (void)state;
  struct net_peer p;
  open_with(&shop, NULL, 0);
  net_peer_init(&p, net_connect(fix.port));
  net_puts(&fix.loop, &p, "OPTIONS / HTTP/1.1\r\nHost: h\r\n" ORIGIN METHOD "\r\nPOST / HTTP/1.1\r\nHost: h\r\n" ORIGIN "Content-Length: 5\r\n\r\nhello");
  NET_UNTIL(&fix.loop, net_has(&p, "\r\n\r\nhello"));
  assert_int_equal(net_count(&p, ALLOW_SHOP), 2);
  net_peer_done(&p);
  fix_close();
}

#define H(name, value) { { name, sizeof name - 1, 0 }, { value, sizeof value - 1, 0 } }

static void fixed_headers_stand_behind_the_answers_own(void **state) {
  (void)state;
  static const struct weir_http_header fixed[] = { H("x-frame-options", "DENY"), H("content-type", "text/html"), H("vary", "Accept"),
    H("access-control-allow-origin", "https://fixed") };
  struct net_peer p;
  open_with(&shop, fixed, 4);
  fix_text(&p, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" ORIGIN "\r\n", NULL);
  assert_true(net_has(&p, "x-frame-options: DENY\r\n") && net_has(&p, "content-type: text/plain\r\n") && net_has(&p, ALLOW_SHOP));
  assert_true(net_has(&p, "vary: Origin\r\n") && net_has(&p, "vary: Accept\r\n"));
  assert_false(net_has(&p, "text/html") || net_has(&p, "https://fixed"));
  net_peer_done(&p);
  fix_text(&p, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL);
  assert_true(net_has(&p, ALLOW("https://fixed")));
  net_peer_done(&p);
  fix_text(&p, "GET / HTTP/1.1\r\nHost h\r\n\r\n", NULL);
  assert_true(net_has(&p, "HTTP/1.1 400 ") && net_has(&p, "x-frame-options: DENY\r\n"));
  net_peer_done(&p);
  fix_close();
  open_with(NULL, fixed, 1);
  fix_text(&p, "OPTIONS / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" ORIGIN METHOD "\r\n", NULL); /* CORS is off */
  assert_true(net_has(&p, "HTTP/1.1 200 OK\r\n") && net_has(&p, "x-frame-options: DENY\r\n"));
  assert_false(net_has(&p, "access-control") || net_has(&p, "vary"));
  net_peer_done(&p);
  fix_close();
}

static void too_many_are_refused(void **state) {
  (void)state;
  static const char *many[WEIR_HTTP_CORS_MAX + 1];
  static struct weir_http_header fixed[WEIR_HTTP_RESPONSE_HEADERS_MAX + 1];
  struct weir_http_cors cors = { .size = sizeof cors, .origins = { many, WEIR_HTTP_CORS_MAX + 1 } };
  struct weir_http_server_config c = fix_config();
  struct weir_error err = { 0 };
  for (size_t i = 0; i <= WEIR_HTTP_CORS_MAX; i++) many[i] = "https://a";
  for (size_t i = 0; i <= WEIR_HTTP_RESPONSE_HEADERS_MAX; i++) fixed[i] = (struct weir_http_header)H("x-a", "b");
  open_with(NULL, NULL, 0);
  struct weir_http_server *other = NULL;
  c.cors = &cors;
  assert_int_equal(http_listen(&fix.loop, &c, &other, &err), WEIR_E_LIMIT);
  cors.origins.n--;
  c.response_headers = fixed;
  c.n_response_headers = WEIR_HTTP_RESPONSE_HEADERS_MAX + 1;
  assert_int_equal(http_listen(&fix.loop, &c, &other, &err), WEIR_E_LIMIT);
  c.n_response_headers--;
  assert_int_equal(http_listen(&fix.loop, &c, &other, &err), 0);
  http_server_close(other);
  fix_close();
}

/* --- HTTP/2 ---------------------------------------------------------------------------------------------------- */

struct outcome {
  uint32_t done, status;
  char origin[64], methods[16];
};

static void on_response(void *arg, const struct weir_http_response *r) {
  struct outcome *o = arg;
  struct weir_str origin = weir_http_find(r->headers, r->n_headers, "access-control-allow-origin"), methods = weir_http_find(r->headers, r->n_headers, "access-control-allow-methods");
  o->done++;
  o->status = r->status;
  snprintf(o->origin, sizeof o->origin, "%.*s", (int)origin.n, origin.n ? origin.p : "");
  snprintf(o->methods, sizeof o->methods, "%.*s", (int)methods.n, methods.n ? methods.p : "");
}

static void http2_has_the_same(void **state) {
  (void)state;
  static const struct weir_http_header asks[] = { H("origin", "https://a.test.com"), H("access-control-request-method", "POST") };
  char endpoint[40];
  struct weir_error err = { 0 };
  struct weir_http_client *client = NULL;
  struct outcome o = { 0 };
  open_with(&shop, NULL, 0);
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", fix.port);
  struct weir_http_client_config cc = { .size = sizeof cc, .flags = WEIR_HTTP_H2_ONLY, .endpoint = endpoint };
  assert_int_equal(http_client_open(&fix.loop, &cc, &client, &err), 0);
  struct weir_http_call_config call = { .method = "OPTIONS", .path = "/v1/traces", .headers = asks, .n_headers = 2, .on_response = on_response, .arg = &o };
  http_call(client, &call);
  NET_UNTIL(&fix.loop, o.done);
  assert_int_equal(o.status, 204);
  assert_string_equal(o.origin, "https://a.test.com");
  assert_string_equal(o.methods, "POST");
  call.method = "POST";
  call.n_headers = 1;
  http_call(client, &call);
  NET_UNTIL(&fix.loop, o.done == 2);
  assert_int_equal(o.status, 200);
  assert_string_equal(o.origin, "https://a.test.com");
  http_client_close(client);
  fix_close();
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(preflights), cmocka_unit_test(origins), cmocka_unit_test(everything_is_allowed), cmocka_unit_test(what_is_not_said_is_usual),
    cmocka_unit_test(requests_are_served_whoever_asks), cmocka_unit_test(refusals_have_them_too), cmocka_unit_test(a_connection_goes_on_behind_a_preflight),
    cmocka_unit_test(fixed_headers_stand_behind_the_answers_own), cmocka_unit_test(too_many_are_refused), cmocka_unit_test(http2_has_the_same),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
