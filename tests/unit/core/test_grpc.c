/*
 * Unary gRPC: what every engine must do, server against client on loopback, each engine against each, in cleartext and with mutual TLS. The tests know only
 * struct grpc_engine; test_grpc_wire.c has the peers that break the protocol, test_grpc_tls.c whom engines trust.
 */
#include "cert_fixture.h"
#include "grpc_fixture.h"

#include <signal.h>

struct pair {
  const struct grpc_engine *server, *client;
  int secure;
};

static const struct grpc_engine *engine, *caller; /* the server's, the client's */
static int secure;

static struct weir_grpc_server *server;
static struct weir_grpc_client *client;
static char endpoint[64];

/* What the server saw last, and the call that Hold keeps. */
static struct {
  int calls, judged;
  int64_t deadline_ns;
  char metadata[64], peer[64], agent[64], authority[64];
  struct weir_grpc_exchange *held;
} seen;

static void copy_header(const struct weir_grpc_request *r, const char *name, char *buf, size_t cap) {
  struct weir_str v = weir_http_find(r->metadata, r->n_metadata, name);
  snprintf(buf, cap, "%.*s", (int)v.n, v.p ? v.p : "");
}

static void note(const struct weir_grpc_request *r) {
  seen.calls++;
  seen.deadline_ns = r->deadline_ns;
  snprintf(seen.peer, sizeof seen.peer, "%.*s", (int)r->peer.n, r->peer.p);
  copy_header(r, "x-tenant", seen.metadata, sizeof seen.metadata);
  copy_header(r, "user-agent", seen.agent, sizeof seen.agent);
  snprintf(seen.authority, sizeof seen.authority, "%.*s", (int)r->authority.n, r->authority.p ? r->authority.p : "");
}

/* Before the message is there: strangers do not get in. */
static int judge(void *self, const struct weir_grpc_request *r, struct weir_grpc_status *st) {
  assert_ptr_equal(self, &server);
  assert_null(r->body);
  assert_null(r->msg);
  assert_memory_equal(r->path.p, "/t.Service/", 11);
  seen.judged++;
  if (!weir_str_eq(weir_http_find(r->metadata, r->n_metadata, "x-tenant"), weir_str_of("stranger"))) return 0;
  st->code = WEIR_GRPC_UNAUTHENTICATED;
  st->msg = "who are you? 100%";
  return -1;
}

static void reply(struct weir_grpc_exchange *x, uint32_t code, const char *text, int64_t retry_after_ns, const char *msg, size_t n) {
  engine->reply(x, &(struct weir_grpc_status){ sizeof(struct weir_grpc_status), code, text, retry_after_ns }, msg, n);
}

static void echo(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  assert_ptr_equal(self, &server);
  note(r);
  reply(x, WEIR_GRPC_OK, NULL, -1, r->msg, r->msg_n);
}

/* Takes the body and answers from it afterwards. */
static void take(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  note(r);
  const char *msg = r->msg;
  size_t n = r->msg_n;
  struct weir_body *body = engine->body_take(x);
  assert_non_null(body);
  assert_true(msg >= body->p && msg + n <= body->p + body->n);
  reply(x, WEIR_GRPC_OK, NULL, -1, msg, n);
  body_free(body);
}

/* The request names the status: code byte, then 8 bytes of delay, then the text. */
static void status(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  int64_t retry_after_ns;
  char text[2048];
  assert_true(r->msg_n >= 9 && r->msg_n < sizeof text);
  memcpy(&retry_after_ns, r->msg + 1, 8);
  memcpy(text, r->msg + 9, r->msg_n - 9);
  text[r->msg_n - 9] = 0;
  reply(x, (uint32_t)r->msg[0], text, retry_after_ns, "ignored", 7);
}

static void hold(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  note(r);
  seen.held = x;
}

static const struct weir_grpc_method methods[] = { { "/t.Service/Echo", echo }, { "/t.Service/Take", take },
  { "/t.Service/Status", status }, { "/t.Service/Hold", hold } };

static int listen_at(const char *where) {
  struct weir_error err = { 0 };
  struct weir_tls_config tls = tls_server("server.pem", "server.key");
  tls.client_ca_file = cert("ca.pem");
  struct weir_grpc_server_config c = { .size = sizeof c,
    .owner = "test",
    .endpoint = where,
    .tls = secure ? &tls : NULL,
    .max_message_bytes = MAX_MESSAGE,
    .methods = methods,
    .n_methods = sizeof methods / sizeof *methods,
    .self = &server,
    .on_metadata = judge };
  int r = engine->listen(&loop, &c, &server, &err);
  if (r) print_message("listen %s: %s\n", where, err.msg);
  return r;
}

static void connect_with(const char *compression) {
  struct weir_error err = { 0 };
  struct weir_http_header tenant = { weir_str_of("x-tenant"), weir_str_of("blue") };
  struct weir_tls_config tls = tls_client("ca.pem");
  tls.cert_file = cert("client.pem");
  tls.key_file = cert("client.key");
  struct weir_grpc_client_config c = { .size = sizeof c, .endpoint = endpoint, .tls = secure ? &tls : NULL, .compression = compression, .user_agent = "test/1",
    .metadata = &tenant, .n_metadata = 1 };
  assert_int_equal(caller->client_open(&loop, &c, &client, &err), 0);
}

static int setup(void **state) {
  const struct pair *pair = *state;
  engine = pair->server;
  caller = pair->client;
  secure = pair->secure;
  memset(&seen, 0, sizeof seen);
  server = NULL;
  client = NULL;
  fixture_loop_open();
  if (listen_at("127.0.0.1:0")) return -1;
  endpoint_of(engine->port(server), endpoint, sizeof endpoint);
  connect_with("none");
  return 0;
}

static int teardown(void **state) {
  (void)state;
  caller->client_close(client);
  engine->close(server);
  fixture_loop_close();
  return 0;
}

static void call_bytes(const char *path, const char *msg, size_t n, int64_t deadline_ns, struct outcome *o) {
  struct weir_iov v = { msg, n };
  memset(o, 0, sizeof *o);
  caller->call(client, path, &v, n ? 1 : 0, deadline_ns, keep_outcome, o);
  assert_int_equal(o->done, 0); /* never inside the call */
  wait_for(&o->done, 1);
}

static char *pattern(size_t n) {
  char *p = malloc(n + 1);
  uint32_t x = 12345;
  for (size_t i = 0; i < n; i++) {
    x = x * 1103515245u + 12345u;
    p[i] = (char)(x >> 24);
  }
  return p;
}

static void echo_sizes(const char *path) {
  static const size_t sizes[] = { 0, 1, 5, 187, 188, 4096, 65535, 65536, 100000, MAX_MESSAGE };
  struct outcome o;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char *p = pattern(sizes[i]);
    call_bytes(path, p, sizes[i], 0, &o);
    assert_string_equal(o.msg, "");
    assert_int_equal(o.code, WEIR_GRPC_OK);
    assert_int_equal(o.n, sizes[i]);
    assert_memory_equal(o.answer, p, sizes[i]);
    free(p);
    outcome_done(&o);
  }
}

static void messages_of_all_sizes_come_back(void **state) {
  (void)state;
  echo_sizes("/t.Service/Echo");
  assert_int_equal(seen.calls, 10);
  assert_string_equal(seen.metadata, "blue");
  assert_non_null(strstr(seen.agent, "test/1"));
  assert_memory_equal(seen.peer, "127.0.0.1:", 10);
  assert_int_equal(seen.deadline_ns, 0);
}

static void call_as(const char *tenant, const char *msg, int64_t deadline_ns, struct outcome *o) {
  struct weir_http_header lines[60];
  struct weir_iov v = { msg, strlen(msg) };
  lines[0] = (struct weir_http_header){ weir_str_of("x-tenant"), weir_str_of(tenant) };
  for (size_t i = 1; i < 60; i++) lines[i] = (struct weir_http_header){ weir_str_of("x-more"), weir_str_of("line") };
  memset(o, 0, sizeof *o);
  caller->call_with(client, "/t.Service/Echo", lines, strcmp(tenant, "many") ? 1 : 60, &v, 1, deadline_ns, keep_outcome, o);
  memset(lines, 0, sizeof lines); /* borrowed for the call */
  wait_for(&o->done, 1);
}

static void a_call_may_have_its_own_metadata(void **state) {
  (void)state;
  static const char *const tenants[] = { "red", "many" };
  struct outcome o;
  for (size_t i = 0; i < 2; i++) {
    call_as(tenants[i], "hello", i ? clock_mono_ns() + 5 * NS_PER_S : 0, &o);
    assert_int_equal(o.code, WEIR_GRPC_OK);
    assert_int_equal(o.n, 5);
    assert_string_equal(seen.metadata, tenants[i]);
    assert_non_null(strstr(seen.agent, "test/1"));
    assert_string_equal(seen.authority, endpoint);
    assert_int_equal(seen.deadline_ns != 0, i);
    outcome_done(&o);
  }
  call_bytes("/t.Service/Echo", "x", 1, 0, &o);
  assert_string_equal(seen.metadata, "blue"); /* the client's own again */
  outcome_done(&o);
}

static void a_request_is_judged_by_its_metadata(void **state) {
  (void)state;
  struct outcome o;
  call_as("stranger", "hello", 0, &o);
  assert_int_equal(seen.judged, 1);
  assert_int_equal(o.code, WEIR_GRPC_UNAUTHENTICATED);
  assert_string_equal(o.msg, "who are you? 100%");
  assert_int_equal(o.retry_after_ns, -1);
  assert_int_equal(seen.calls, 0);
  outcome_done(&o);
  call_as("friend", "hello", 0, &o);
  assert_int_equal(o.code, WEIR_GRPC_OK);
  assert_int_equal(seen.judged, 2);
  assert_int_equal(seen.calls, 1);
  outcome_done(&o);
}

static void a_taken_body_outlives_the_request(void **state) {
  (void)state;
  echo_sizes("/t.Service/Take");
}

static void compressed_requests_are_inflated(void **state) {
  static const char *const compressions[] = { "gzip", "zstd", "snappy" };
  (void)state;
  int both_native = engine == &grpc_native && caller == &grpc_native;
  size_t n = MAX_MESSAGE;
  char *p = calloc(1, n);
  for (int i = 0; i < (both_native ? 3 : 1); i++) { /* core knows gzip alone */
    struct outcome o;
    caller->client_close(client);
    connect_with(compressions[i]);
    call_bytes("/t.Service/Take", p, n, 0, &o);
    assert_int_equal(o.code, WEIR_GRPC_OK);
    assert_int_equal(o.n, n);
    assert_memory_equal(o.answer, p, n);
    outcome_done(&o);
    call_bytes("/t.Service/Echo", NULL, 0, 0, &o);
    assert_int_equal(o.code, WEIR_GRPC_OK);
    assert_int_equal(o.n, 0);
    outcome_done(&o);
  }
  free(p);
}

/* What leaves makes room: a client compresses and sends over a full budget. Here it is the server that refuses, being of the same process. */
static void a_full_budget_does_not_keep_a_client_from_sending(void **state) {
  (void)state;
  caller->client_close(client);
  connect_with("gzip");
  struct outcome o;
  env.budget.limit = 1;
  call_bytes("/t.Service/Echo", "hello", 5, 0, &o);
  assert_int_equal(o.code, WEIR_GRPC_UNAVAILABLE);
  assert_string_equal(o.msg, "out of memory budget; try again later");
  outcome_done(&o);
  env.budget.limit = 0;
  call_bytes("/t.Service/Echo", "hello", 5, 0, &o);
  assert_int_equal(o.code, WEIR_GRPC_OK);
  outcome_done(&o);
}

static void a_message_over_the_limit_is_resource_exhausted(void **state) {
  static const char *const compressions[] = { "none", "gzip", "zstd", "snappy" };
  (void)state;
  struct outcome o;
  char *p = calloc(1, 3 * MAX_MESSAGE);
  int both_native = engine == &grpc_native && caller == &grpc_native;
  for (int i = 0; i < (both_native ? 4 : 2); i++) {
    caller->client_close(client);
    connect_with(compressions[i]);
    for (size_t n = MAX_MESSAGE + 1; n <= 3 * MAX_MESSAGE; n += 2 * MAX_MESSAGE - 1) {
      call_bytes("/t.Service/Echo", p, n, 0, &o);
      assert_int_equal(o.code, WEIR_GRPC_RESOURCE_EXHAUSTED);
      assert_non_null(strstr(o.msg, "over max_recv_msg_size_mib (256 KiB)"));
      assert_int_equal(o.retry_after_ns, -1);
      outcome_done(&o);
    }
  }
  assert_int_equal(seen.calls, 0);
  call_bytes("/t.Service/Echo", "x", 1, 0, &o); /* the connection still serves */
  assert_int_equal(o.code, WEIR_GRPC_OK);
  outcome_done(&o);
  free(p);
}

static void statuses_travel_whole(void **state) {
  static const int64_t delays[] = { -1, 0, 2500000000, 60 * NS_PER_S };
  static const char *const texts[] = { "", "plain", "100% caf\xc3\xa9\n\ttab" };
  (void)state;
  char msg[64];
  struct outcome o;
  for (int i = 0; i < 16 * 4 * 3; i++) {
    const char *text = texts[i % 3];
    msg[0] = (char)(i / 12 + 1);
    memcpy(msg + 1, &delays[i / 3 % 4], 8);
    memcpy(msg + 9, text, strlen(text));
    call_bytes("/t.Service/Status", msg, 9 + strlen(text), 0, &o);
    assert_int_equal(o.code, msg[0]);
    assert_string_equal(o.msg, text);
    assert_int_equal(o.retry_after_ns, delays[i / 3 % 4]);
    assert_int_equal(o.n, 0);
    outcome_done(&o);
  }
}

static void an_unknown_method_is_unimplemented(void **state) {
  (void)state;
  struct outcome o;
  call_bytes("/t.Service/Nope", "x", 1, 0, &o);
  assert_int_equal(o.code, WEIR_GRPC_UNIMPLEMENTED);
  assert_string_equal(o.msg, "unknown method /t.Service/Nope");
  outcome_done(&o);
}

static void a_call_ends_at_its_deadline(void **state) {
  (void)state;
  struct outcome o;
  call_bytes("/t.Service/Echo", "x", 1, 0, &o); /* the connection is there */
  outcome_done(&o);
  int64_t given = (SLOW ? 1500 : 500) * NS_PER_MS, deadline_ns = clock_mono_ns() + given;
  call_bytes("/t.Service/Hold", "x", 1, deadline_ns, &o);
  assert_int_equal(o.code, WEIR_GRPC_DEADLINE_EXCEEDED);
  assert_true(clock_mono_ns() >= deadline_ns);
  assert_true(seen.deadline_ns > deadline_ns - 100 * NS_PER_MS && seen.deadline_ns < deadline_ns + given); /* counted from when it came */
  outcome_done(&o);
  reply(seen.held, WEIR_GRPC_OK, NULL, -1, "late", 4); /* the answer goes nowhere */
  call_bytes("/t.Service/Echo", "y", 1, clock_mono_ns() + PATIENCE_NS, &o);
  assert_int_equal(o.code, WEIR_GRPC_OK);
  outcome_done(&o);
}

static void an_answer_may_come_later(void **state) {
  (void)state;
  struct outcome o = { 0 };
  struct weir_iov parts[] = { { "a", 1 }, { "bc", 2 }, { "", 0 }, { "def", 3 } };
  caller->call(client, "/t.Service/Hold", parts, 4, 0, keep_outcome, &o);
  wait_for(&seen.calls, 1);
  turn_for_ms(20);
  assert_int_equal(o.done, 0);
  reply(seen.held, WEIR_GRPC_OK, NULL, -1, "done", 4);
  wait_for(&o.done, 1);
  assert_int_equal(o.n, 4);
  assert_memory_equal(o.answer, "done", 4);
  outcome_done(&o);
}

static void many_calls_share_a_connection(void **state) {
  (void)state;
  enum { N = 300 }; /* more than max_concurrent_streams: the rest waits */
  static struct outcome o[N];
  static char text[N][16];
  struct weir_iov v[N];
  memset(o, 0, sizeof o);
  for (int i = 0; i < N; i++) {
    v[i] = (struct weir_iov){ text[i], (size_t)snprintf(text[i], sizeof text[i], "call %d", i) };
    caller->call(client, "/t.Service/Echo", &v[i], 1, 0, keep_outcome, &o[i]);
  }
  for (int i = 0; i < N; i++) {
    wait_for(&o[i].done, 1);
    assert_int_equal(o[i].code, WEIR_GRPC_OK);
    assert_int_equal(o[i].n, v[i].n);
    assert_memory_equal(o[i].answer, text[i], o[i].n);
    outcome_done(&o[i]);
  }
}

static void a_client_finds_a_server_that_comes_back(void **state) {
  (void)state;
  struct outcome o;
  call_bytes("/t.Service/Echo", "1", 1, 0, &o);
  outcome_done(&o);
  engine->close(server);
  server = NULL;
  turn_for_ms(20);
  call_bytes("/t.Service/Echo", "2", 1, clock_mono_ns() + 2 * NS_PER_S, &o);
  assert_int_equal(o.code, WEIR_GRPC_UNAVAILABLE);
  assert_true(strlen(o.msg) > 10); /* with the reason */
  outcome_done(&o);
  assert_int_equal(listen_at(endpoint), 0);
  o.code = WEIR_GRPC_UNAVAILABLE; /* an engine may have a back-off of its own */
  for (int64_t end = clock_mono_ns() + PATIENCE_NS; o.code != WEIR_GRPC_OK && clock_mono_ns() < end; turn_for_ms(5)) {
    outcome_done(&o);
    call_bytes("/t.Service/Echo", "3", 1, clock_mono_ns() + 2 * NS_PER_S, &o);
  }
  assert_int_equal(o.code, WEIR_GRPC_OK);
  outcome_done(&o);
}

static void a_closed_server_ends_its_calls(void **state) {
  (void)state;
  struct outcome o = { 0 };
  struct weir_iov v = { "x", 1 };
  caller->call(client, "/t.Service/Hold", &v, 1, 0, keep_outcome, &o);
  wait_for(&seen.calls, 1);
  engine->close(server);
  server = NULL;
  wait_for(&o.done, 1);
  assert_int_equal(o.code, WEIR_GRPC_UNAVAILABLE);
  reply(seen.held, WEIR_GRPC_OK, NULL, -1, "late", 4); /* still allowed, once */
  turn_for_ms(5);
  outcome_done(&o);
}

static void count_drained(void *arg) { ++*(int *)arg; }

static void drain_lets_running_calls_end(void **state) {
  (void)state;
  struct outcome o = { 0 }, late;
  struct weir_iov v = { "x", 1 };
  int drained = 0;
  caller->call(client, "/t.Service/Hold", &v, 1, 0, keep_outcome, &o);
  wait_for(&seen.calls, 1);
  engine->drain(server, count_drained, &drained);
  turn_for_ms(20);
  assert_int_equal(drained, 0);
  call_bytes("/t.Service/Echo", "y", 1, clock_mono_ns() + PATIENCE_NS / 2, &late); /* connects anew, and nobody listens */
  assert_int_equal(late.code, WEIR_GRPC_UNAVAILABLE);
  outcome_done(&late);
  reply(seen.held, WEIR_GRPC_OK, NULL, -1, "end", 3);
  wait_for(&o.done, 1);
  assert_int_equal(o.code, WEIR_GRPC_OK);
  wait_for(&drained, 1);
  outcome_done(&o);
}

static void a_closed_client_ends_its_calls(void **state) {
  (void)state;
  struct outcome o = { 0 };
  struct weir_iov v = { "x", 1 };
  caller->call(client, "/t.Service/Hold", &v, 1, 0, keep_outcome, &o);
  wait_for(&seen.calls, 1);
  caller->client_close(client);
  client = NULL;
  wait_for(&o.done, 1);
  assert_int_not_equal(o.code, WEIR_GRPC_OK);
  turn_for_ms(5);
  assert_int_equal(o.done, 1);
  reply(seen.held, WEIR_GRPC_OK, NULL, -1, "late", 4);
  outcome_done(&o);
}

/* Each answer starts the next call from inside the callback, and the last closes the client there. */
static struct {
  int left, done;
  struct weir_iov v;
} chain;

static void chain_next(void *arg, const struct weir_grpc_status *st, const char *msg, size_t n) {
  (void)msg;
  (void)n;
  assert_int_equal(st->code, WEIR_GRPC_OK);
  if (--chain.left > 0) {
    caller->call(client, "/t.Service/Echo", &chain.v, 1, 0, chain_next, arg);
    return;
  }
  caller->client_close(client);
  client = NULL;
  chain.done = 1;
}

static void calls_may_be_made_and_closed_in_a_callback(void **state) {
  (void)state;
  chain.left = 50;
  chain.done = 0;
  chain.v = (struct weir_iov){ "x", 1 };
  caller->call(client, "/t.Service/Echo", &chain.v, 1, 0, chain_next, NULL);
  wait_for(&chain.done, 1);
  assert_int_equal(seen.calls, 50);
}

static void an_address_in_use_is_told(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct weir_grpc_server *second = NULL;
  struct weir_grpc_server_config c = { .size = sizeof c, .owner = "another", .endpoint = endpoint, .methods = methods, .n_methods = 1 };
  assert_int_not_equal(engine->listen(&loop, &c, &second, &err), 0);
  assert_non_null(strstr(err.msg, endpoint));
  assert_null(second);
}

/* As two lanes of one receiver do. */
static void instances_of_one_owner_share_an_address(void **state) {
  (void)state;
  struct outcome o;
  struct weir_grpc_server *first = server;
  assert_int_equal(listen_at("127.0.0.1:0"), 0); /* the same endpoint, as it was written */
  struct weir_grpc_server *second = server;
  server = first;
  assert_int_equal(engine->port(second), engine->port(first));
  for (int i = 0; i < 4; i++) {
    call_bytes("/t.Service/Echo", "x", 1, 0, &o);
    assert_int_equal(o.code, WEIR_GRPC_OK);
    outcome_done(&o);
  }
  assert_int_equal(seen.calls, 4);
  engine->close(second);
  turn_for_ms(5);
}

static void an_unknown_compression_is_refused(void **state) {
  (void)state;
  struct weir_error err = { 0 };
  struct weir_grpc_client *c = NULL;
  struct weir_grpc_client_config config = { .size = sizeof config, .endpoint = endpoint, .compression = "lz4" };
  assert_int_equal(caller->client_open(&loop, &config, &c, &err), WEIR_E_CONFIG);
  assert_string_equal(err.field, "compression");
  assert_null(c);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  struct CMUnitTest tests[] = { T(messages_of_all_sizes_come_back), T(a_taken_body_outlives_the_request),
    T(a_call_may_have_its_own_metadata), T(a_request_is_judged_by_its_metadata), T(compressed_requests_are_inflated),
    T(a_full_budget_does_not_keep_a_client_from_sending),
    T(a_message_over_the_limit_is_resource_exhausted), T(statuses_travel_whole), T(an_unknown_method_is_unimplemented),
    T(a_call_ends_at_its_deadline), T(an_answer_may_come_later), T(many_calls_share_a_connection),
    T(a_client_finds_a_server_that_comes_back), T(a_closed_server_ends_its_calls), T(drain_lets_running_calls_end),
    T(a_closed_client_ends_its_calls), T(calls_may_be_made_and_closed_in_a_callback),
    T(an_address_in_use_is_told), T(instances_of_one_owner_share_an_address),
    T(an_unknown_compression_is_refused) };
  const struct grpc_engine *core = core_engine();
  const struct pair pairs[] = { { &grpc_native, &grpc_native, 0 }, { &grpc_native, &grpc_native, 1 }, { core, core, 0 }, { core, core, 1 },
    { core, &grpc_native, 0 }, { core, &grpc_native, 1 }, { &grpc_native, core, 0 }, { &grpc_native, core, 1 } };
  int failed = 0;
  for (size_t e = 0; e < (core ? sizeof pairs / sizeof *pairs : 2); e++) {
    char name[64];
    if (SLOW && pairs[e].secure && (pairs[e].server == core || pairs[e].client == core)) continue; /* test_grpc_tls.c has to do: reports on OpenSSL take minutes */
    snprintf(name, sizeof name, "%s serves %s%s", pairs[e].server->name, pairs[e].client->name, pairs[e].secure ? ", TLS" : "");
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tests[i].initial_state = (void *)(uintptr_t)&pairs[e];
    failed += _cmocka_run_group_tests(name, tests, sizeof tests / sizeof *tests, tls_group_setup, tls_group_teardown);
  }
  return failed;
}
