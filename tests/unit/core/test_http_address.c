/* Where clients connect: names by a DNS server that the test plays, round robin, addresses that fail, vanish and come back, sockets. The clock is the test's. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/http_client.h"
#include "core/http_server.h"
#include "core/listener.h"
#include "core/metrics.h"
#include "tests/unit/support/dns.h"

#define S(n) ((n) * NS_PER_S)

static struct env env;
static struct loop loop;
static struct dns dns;
static struct weir_http_client *client;

/* Back ends on one port of 127.0.0.1, .2, .3; [i] counts what came to it. */
struct back_end {
  struct weir_http_server *server;
  int n, port, hold;
  struct weir_http_exchange *held;
};
static struct back_end ends[3];
static int port;

static struct {
  int done;
  uint32_t status;
  char error[512];
} got;

static void on_request(void *self, struct weir_http_exchange *ex, const struct weir_http_request *r) {
  struct back_end *b = self;
  struct weir_http_reply reply = { .status = 200 };
  (void)r;
  b->n++;
  if (b->hold) b->held = ex;
  else http_reply(ex, &reply);
}

static void open_end(int i, const char *address, uint32_t flags) {
  struct weir_error err = { 0 };
  struct weir_http_server_config c = { .size = sizeof c, .owner = "test", .endpoint = address, .on_request = on_request, .self = &ends[i], .flags = flags };
  if (http_listen(&loop, &c, &ends[i].server, &err)) print_error("%s\n", err.msg);
  assert_non_null(ends[i].server);
  ends[i].port = http_server_port(ends[i].server);
}

static void turns(int n) {
  for (int i = 0; i < n; i++) {
    dns_serve(&dns);
    net_turn(&loop);
  }
}

static void close_end(int i) {
  http_server_close(ends[i].server);
  ends[i].server = NULL;
  turns(5);
}

/* 127.0.0.1 to .n, the same port. */
static void open_ends(int n) {
  char address[40];
  open_end(0, "127.0.0.1:0", 0);
  port = ends[0].port;
  for (int i = 1; i < n; i++) {
    snprintf(address, sizeof address, "127.0.0.%d:%d", i + 1, port);
    open_end(i, address, 0);
  }
}

static void reopen(int i) {
  char address[40];
  snprintf(address, sizeof address, "127.0.0.%d:%d", i + 1, port);
  open_end(i, address, 0);
}

static void open_client(const char *endpoint, struct weir_http_client_config c) {
  struct weir_error err = { 0 };
  c.size = sizeof c;
  c.endpoint = endpoint;
  if (http_client_open(&loop, &c, &client, &err)) print_error("%s\n", err.msg);
  assert_non_null(client);
}

/* A client of the name that the test's DNS server knows. */
static void open_named(struct weir_http_client_config c) {
  char endpoint[80];
  snprintf(endpoint, sizeof endpoint, "dns://127.0.0.1:%d/back.test:%d", dns.port, port);
  open_client(endpoint, c);
}

static void addresses(const char *last) {
  dns.n = strlen(last);
  for (size_t i = 0; i < dns.n; i++) dns.last[i] = (uint8_t)(last[i] - '0');
}

static void on_response(void *arg, const struct weir_http_response *r) {
  (void)arg;
  got.done++;
  got.status = r->status;
  snprintf(got.error, sizeof got.error, "%s", r->err ? r->err->msg : "");
}

static void begin_call(int64_t timeout_ns) {
  struct weir_http_call_config c = { .method = "GET", .path = "/", .deadline_ns = timeout_ns ? clock_mono_ns() + timeout_ns : 0, .on_response = on_response };
  memset(&got, 0, sizeof got);
  http_call(client, &c);
}

static uint32_t call(void) {
  begin_call(0);
  NET_UNTIL(&loop, (dns_serve(&dns), got.done));
  return got.status;
}

static void calls(int n) {
  for (int i = 0; i < n; i++) {
    if (call() != 200) print_error("%s\n", got.error);
    assert_int_equal(got.status, 200);
  }
}

static int setup(void **state) {
  struct weir_error err = { 0 };
  (void)state;
  memset(&env, 0, sizeof env);
  memset(ends, 0, sizeof ends);
  client = NULL;
  clock_set_virtual(S(1000), S(1000000));
  env.metrics = metrics_new();
  env.listeners = listeners_new();
  dns_open(&dns);
  return loop_init(&loop, 0, &env, &err);
}

static int teardown(void **state) {
  (void)state;
  http_client_close(client);
  for (int i = 0; i < 3; i++) http_server_close(ends[i].server);
  turns(10);
  close(dns.fd);
  loop_done(&loop);
  listeners_free(env.listeners);
  metrics_free(env.metrics);
  return 0;
}

static const struct weir_http_client_config in_turn = { .flags = WEIR_HTTP_H2_ONLY | WEIR_HTTP_ROUND_ROBIN }, first_one = { .flags = WEIR_HTTP_H2_ONLY };

/* --- which address ------------------------------------------------------------------------------------------------- */

static void round_robin_gives_each_address_its_share(void **state) {
  (void)state;
  open_ends(3);
  addresses("123");
  open_named(in_turn);
  calls(1);
  turns(10);
  for (int i = 0; i < 3; i++) ends[i].n = 0;
  calls(30);
  for (int i = 0; i < 3; i++) assert_int_equal(ends[i].n, 10);
  assert_int_equal(dns.n_queries, 1);
}

static void pick_first_uses_one_and_goes_on_when_it_fails(void **state) {
  (void)state;
  open_ends(2);
  addresses("12");
  open_named(first_one);
  calls(10);
  int first = ends[0].n ? 0 : 1;
  assert_int_equal(ends[first].n, 10);
  close_end(first);
  calls(10);
  assert_int_equal(ends[1 - first].n, 10);
}

static void http1_spreads_its_connections(void **state) {
  (void)state;
  open_ends(2);
  addresses("12");
  open_named((struct weir_http_client_config){ .flags = WEIR_HTTP_NO_KEEP_ALIVE });
  calls(10);
  assert_int_equal(ends[0].n, 5);
  assert_int_equal(ends[1].n, 5);
}

static void one_that_is_gone_costs_no_call_and_is_found_when_it_is_back(void **state) {
  (void)state;
  open_ends(2);
  addresses("12");
  open_named(in_turn);
  calls(2);
  turns(10);
  close_end(0);
  ends[1].n = 0;
  calls(10);
  assert_int_equal(ends[1].n, 10);
  reopen(0);
  ends[0].n = 0;
  for (int i = 0; i < 40; i++) { /* 40 s: the longest wait is 30 s, give or take 20 % */
    clock_advance(S(1));
    calls(1);
    turns(3);
  }
  assert_true(ends[0].n > 0);
}

/* --- the name anew -------------------------------------------------------------------------------------------------- */

static void an_address_that_vanishes_is_drained(void **state) {
  (void)state;
  open_ends(2);
  addresses("12");
  dns.ttl_s = 5;
  open_named(in_turn);
  calls(4);
  turns(10);
  for (int i = 0; i < 2; i++) ends[i].hold = 1;
  begin_call(0);
  NET_UNTIL(&loop, ends[0].held || ends[1].held);
  int busy = ends[0].held ? 0 : 1;
  addresses(busy ? "1" : "2"); /* the busy one is gone */
  for (int i = 0; i < 2; i++) ends[i].hold = ends[i].n = 0;
  clock_advance(S(29)); /* not before 30 s, whatever the TTL */
  int before = got.done;
  calls(2);
  assert_int_equal(before, 0);
  assert_int_equal(dns.n_queries, 1);
  clock_advance(S(2));
  calls(1);
  NET_UNTIL(&loop, (dns_serve(&dns), dns.n_queries == 2));
  turns(10);
  ends[busy].n = 0;
  calls(10);
  assert_int_equal(ends[busy].n, 0);
  struct weir_http_reply reply = { .status = 200 };
  memset(&got, 0, sizeof got);
  http_reply(ends[busy].held, &reply); /* what ran there ends well */
  NET_UNTIL(&loop, got.done);
  assert_int_equal(got.status, 200);
}

static void a_long_ttl_is_kept_unless_something_fails(void **state) {
  (void)state;
  open_ends(2);
  addresses("1");
  dns.ttl_s = 600;
  open_named(first_one);
  calls(1);
  clock_advance(S(300));
  calls(2);
  turns(5);
  assert_int_equal(dns.n_queries, 1);
  addresses("2");
  close_end(0); /* as a back end that moves */
  call();
  turns(10);
  assert_int_equal(dns.n_queries, 2);
  clock_advance(S(1));
  calls(1);
  assert_int_equal(ends[1].n, 1);
}

static void a_name_that_does_not_resolve_is_told(void **state) {
  (void)state;
  port = 4317;
  dns.mode = DNS_NO_NAME;
  open_named(in_turn);
  assert_int_equal(call(), 0);
  assert_non_null(strstr(got.error, "back.test:4317: cannot resolve the name: "));
  assert_non_null(strstr(got.error, "not found"));
}

static void a_silent_dns_server_ends_with_the_connect_time_out(void **state) {
  (void)state;
  port = 4317;
  dns.mode = DNS_SILENT;
  open_named(in_turn);
  begin_call(0);
  turns(5);
  clock_advance(S(4));
  turns(5);
  assert_int_equal(got.done, 0);
  clock_advance(S(2));
  NET_UNTIL(&loop, (dns_serve(&dns), got.done));
  assert_non_null(strstr(got.error, "no answer in time"));
  begin_call(0); /* and a client that closes meanwhile */
  clock_advance(S(1));
  turns(3);
  http_client_close(client);
  client = NULL;
  NET_UNTIL(&loop, got.done);
}

static void hostile_answers_are_errors(void **state) {
  static const enum dns_mode modes[] = { DNS_GARBAGE, DNS_LOOP };
  (void)state;
  port = 4317;
  for (size_t i = 0; i < 2; i++) {
    dns.mode = modes[i];
    open_named(in_turn);
    begin_call(0);
    turns(50);
    clock_advance(S(6)); /* where c-ares asks again */
    NET_UNTIL(&loop, (dns_serve(&dns), got.done));
    assert_int_equal(got.status, 0);
    assert_non_null(strstr(got.error, "cannot resolve the name"));
    http_client_close(client);
    client = NULL;
    turns(5);
  }
}

/* A failed renewal leaves what is known. */
static void a_dns_server_that_fails_later_does_no_harm(void **state) {
  (void)state;
  open_ends(2);
  addresses("12");
  open_named(in_turn);
  calls(2);
  dns.mode = DNS_NO_NAME;
  clock_advance(S(61));
  calls(4);
  turns(10);
  assert_true(dns.n_queries > 1);
  calls(4);
}

static void the_hosts_file_is_read(void **state) {
  char endpoint[40];
  (void)state;
  open_ends(1);
  snprintf(endpoint, sizeof endpoint, "localhost:%d", port);
  open_client(endpoint, in_turn);
  calls(3);
  assert_int_equal(ends[0].n, 3);
}

/* --- a back end that is dead ------------------------------------------------------------------------------------------ */

static int accept_all(int listening) {
  int n = 0;
  for (int fd; (fd = accept(listening, NULL, NULL)) >= 0; n++) close(fd);
  return n;
}

/* One that takes connections and ends them at once; each call waits for the next attempt, so a minute of calls is few connections. */
static void a_dead_back_end_is_not_hammered_and_found_soon(void **state) {
  char endpoint[40];
  (void)state;
  int listening = net_listen(&port), n = 0, failed = 0;
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  open_client(endpoint, in_turn);
  begin_call(0);
  for (int ms = 0; ms < 60000; ms += 20) {
    clock_advance(20 * NS_PER_MS);
    loop_run_once(&loop);
    n += accept_all(listening);
    if (!got.done) continue;
    failed++;
    begin_call(0);
  }
  assert_in_range(n, 5, 30);
  assert_in_range(failed, 5, 30);
  close(listening);
  for (int i = 0; i < 10; i++) loop_run_once(&loop);
  reopen(0);
  for (int ms = 0; ms < 8000 && got.status != 200; ms += 20) {
    clock_advance(20 * NS_PER_MS);
    turns(1);
    if (got.done && got.status != 200) begin_call(0);
  }
  assert_int_equal(got.status, 200);
}

static void a_time_out_while_waiting_tells_why(void **state) {
  char endpoint[40];
  (void)state;
  close(net_listen(&port)); /* nobody is there */
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  open_client(endpoint, first_one);
  assert_int_equal(call(), 0);
  assert_non_null(strstr(got.error, "connection refused"));
  begin_call(10 * NS_PER_MS);
  clock_advance(11 * NS_PER_MS);
  NET_UNTIL(&loop, got.done);
  assert_non_null(strstr(got.error, "no connection in time: connection refused"));
}

/* A client that closes in the step in which its work is due opens nothing any more. */
static void a_closed_client_connects_no_more(void **state) {
  char endpoint[40];
  (void)state;
  int listening = net_listen(&port);
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  open_client(endpoint, in_turn);
  begin_call(0);
  http_client_close(client);
  client = NULL;
  NET_UNTIL(&loop, got.done);
  turns(10);
  assert_int_equal(accept_all(listening), 0);
  assert_non_null(strstr(got.error, "the client was closed"));
  close(listening);
}

/* --- sockets and endpoints ---------------------------------------------------------------------------------------------- */

static void clients_reach_unix_sockets(void **state) {
  char dir[] = "/tmp/weir-address-XXXXXX", endpoint[80];
  (void)state;
  assert_non_null(mkdtemp(dir));
  snprintf(endpoint, sizeof endpoint, "unix://%s/socket", dir);
  open_end(0, endpoint, 0);
  for (uint32_t flags = 0; flags < 2; flags++) {
    open_client(endpoint, (struct weir_http_client_config){ .flags = flags });
    calls(3);
    http_client_close(client);
    client = NULL;
    turns(5);
  }
  assert_int_equal(ends[0].n, 6);
  close_end(0);
  open_client(endpoint, first_one);
  assert_int_equal(call(), 0);
  assert_non_null(strstr(got.error, "no such file or directory"));
  assert_int_equal(rmdir(dir), 0);
}

static void bad_endpoints_are_refused(void **state) {
  static const char *const bad[] = { "", "host", "host:", "host:0", "host:65536", ":4317", "unix://", "unix://relative", "unix://@abstract", "dns://", "dns://x", "dns:///host", "dns://1.2.3.4/",
    "unix:///0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890" };
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct weir_error err = { 0 };
    struct weir_http_client_config c = { .size = sizeof c, .endpoint = bad[i] };
    if (!http_client_open(&loop, &c, &client, &err)) print_error("%s\n", bad[i]);
    assert_int_equal(err.code, WEIR_E_CONFIG);
    assert_true(err.hint[0] != 0);
  }
}

/* --- HTTP/1.1 connections that idle ---------------------------------------------------------------------------------------- */

static void no_more_connections_idle_than_wanted(void **state) {
  char endpoint[40];
  struct weir_http_call_config c = { .method = "GET", .path = "/", .on_response = on_response };
  (void)state;
  open_ends(1);
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  open_client(endpoint, (struct weir_http_client_config){ .max_idle_connections = 2 });
  memset(&got, 0, sizeof got);
  for (int i = 0; i < 8; i++) http_call(client, &c);
  NET_UNTIL(&loop, got.done == 8);
  NET_UNTIL(&loop, atomic_load(&loop.n_connections) == 2);
}

/* --- keepalive of the client -------------------------------------------------------------------------------------------------- */

/* Takes the client's connection and says SETTINGS. */
static void take(int listening, struct net_peer *p) {
  int fd = -1;
  NET_UNTIL(&loop, (fd = accept(listening, NULL, NULL)) >= 0);
  net_nonblocking(fd);
  net_peer_init(p, fd);
  net_send(&loop, p, "\0\0\0\4\0\0\0\0\0", 9);
  NET_UNTIL(&loop, (net_read(p), p->n > 60)); /* preface, SETTINGS, window, request */
  turns(3);
  net_read(p);
  net_forget(p);
}

#define PING_FRAME "\0\0\x08\6\0\0\0\0\0"
#define PING_ACK "\0\0\x08\6\1\0\0\0\0\0\0\0\0\0\0\0\0"

static int has_ping(struct net_peer *p) {
  net_read(p);
  return memmem(p->got, p->n, PING_FRAME, 9) != NULL;
}

static void a_back_end_that_vanished_is_found_out_by_a_ping(void **state) {
  char endpoint[40];
  struct net_peer p;
  (void)state;
  int listening = net_listen(&port);
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  open_client(endpoint, (struct weir_http_client_config){ .flags = WEIR_HTTP_H2_ONLY, .ping_after_ns = S(10), .ping_timeout_ns = S(5) });
  begin_call(0);
  take(listening, &p);
  clock_advance(S(11));
  NET_UNTIL(&loop, has_ping(&p));
  net_forget(&p);
  net_send(&loop, &p, PING_ACK, sizeof PING_ACK - 1);
  turns(5);
  clock_advance(S(6));
  turns(3);
  assert_int_equal(got.done, 0);
  clock_advance(S(5));
  NET_UNTIL(&loop, has_ping(&p));
  clock_advance(S(6));
  NET_UNTIL(&loop, got.done);
  assert_non_null(strstr(got.error, "does not answer (keepalive)"));
  NET_UNTIL(&loop, net_eof(&p));
  net_peer_done(&p);
  close(listening);
}

/* GOAWAY "too_many_pings": half as many from then on. */
static void a_server_that_finds_pings_too_many_is_heeded(void **state) {
  static const char calm[] = "\0\0\x16\7\0\0\0\0\0" "\0\0\0\0" "\0\0\0\x0b" "too_many_pings";
  char endpoint[40];
  struct net_peer p, next;
  (void)state;
  int listening = net_listen(&port);
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  open_client(endpoint, (struct weir_http_client_config){ .flags = WEIR_HTTP_H2_ONLY, .ping_after_ns = S(10), .ping_timeout_ns = S(5) });
  begin_call(0);
  take(listening, &p);
  net_send(&loop, &p, calm, sizeof calm - 1);
  take(listening, &next); /* not processed there, so it was sent again */
  clock_advance(S(15));
  turns(5);
  assert_false(has_ping(&next));
  clock_advance(S(6));
  NET_UNTIL(&loop, has_ping(&next));
  net_peer_done(&p);
  net_peer_done(&next);
  close(listening);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = { T(round_robin_gives_each_address_its_share), T(pick_first_uses_one_and_goes_on_when_it_fails), T(http1_spreads_its_connections),
    T(one_that_is_gone_costs_no_call_and_is_found_when_it_is_back), T(an_address_that_vanishes_is_drained), T(a_long_ttl_is_kept_unless_something_fails),
    T(a_name_that_does_not_resolve_is_told), T(a_silent_dns_server_ends_with_the_connect_time_out), T(hostile_answers_are_errors),
    T(a_dns_server_that_fails_later_does_no_harm), T(the_hosts_file_is_read), T(a_dead_back_end_is_not_hammered_and_found_soon), T(a_time_out_while_waiting_tells_why), T(a_closed_client_connects_no_more),
    T(clients_reach_unix_sockets), T(bad_endpoints_are_refused), T(no_more_connections_idle_than_wanted), T(a_back_end_that_vanished_is_found_out_by_a_ping),
    T(a_server_that_finds_pings_too_many_is_heeded) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
