/* Addresses of both families: what a name gives, in which order, and that clients reach [::1] by it. A DNS server that the test plays; the clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/http_client.h"
#include "core/http_server.h"
#include "core/listener.h"
#include "core/metrics.h"
#include "core/resolve.h"
#include "tests/unit/support/dns.h"

static struct env env;
static struct loop loop;
static struct dns dns;
static struct weir_http_client *client;
static struct weir_http_server *servers[2]; /* on 127.0.0.1 and ::1 */
static int served[2];

static struct {
  int done;
  uint32_t n, status;
  int64_t ttl_s;
  char text[512];
} got;

static int has_ipv6(void) {
  struct sockaddr_in6 in = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), ok = fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof in) == 0;
  if (fd >= 0) close(fd);
  if (!ok) print_message("skipped: this machine has no IPv6 loopback address (::1)\n");
  return ok;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

/* "[::1]:4317 127.0.0.1:4317 " */
static void on_list(void *arg, const struct sockaddr_storage *list, uint32_t n, int64_t ttl_s, const char *why) {
  size_t at = 0;
  (void)arg;
  got.done++;
  got.n = n;
  got.ttl_s = ttl_s;
  if (why) snprintf(got.text, sizeof got.text, "%s", why);
  for (uint32_t i = 0; i < n; i++) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&list[i];
    const struct sockaddr_in *four = (const struct sockaddr_in *)&list[i];
    int is_six = list[i].ss_family == AF_INET6;
    char address[INET6_ADDRSTRLEN];
    inet_ntop(list[i].ss_family, is_six ? (const void *)&six->sin6_addr : (const void *)&four->sin_addr, address, sizeof address);
    at += (size_t)snprintf(got.text + at, sizeof got.text - at, is_six ? "[%s]:%d " : "%s:%d ", address, ntohs(is_six ? six->sin6_port : four->sin_port));
  }
}

static void resolve(void) {
  char server[40];
  const char *why = NULL;
  memset(&got, 0, sizeof got);
  snprintf(server, sizeof server, "127.0.0.1:%d", dns.port);
  assert_non_null(resolve_start(&loop, "back.test", 4317, server, on_list, NULL, &why));
  NET_UNTIL(&loop, (dns_serve(&dns), got.done));
}

/* Skips the test where there is no IPv6: c-ares leaves such addresses out then. */
static void six(const char *a, const char *b) {
  if (!has_ipv6()) skip();
  dns.six[0] = a;
  dns.six[1] = b;
  dns.n_six = b ? 2 : a ? 1 : 0;
}

static void aaaa_alone_is_enough(void **state) {
  (void)state;
  six("::1", NULL);
  dns.ttl_s = 40;
  resolve();
  assert_string_equal(got.text, "[::1]:4317 ");
  assert_int_equal(got.ttl_s, 40);
}

/* RFC 6724: the destination that can be reached before one that can not (rule 1); ::1 before what is IPv4 (rule 6, the policy table). */
static void both_families_come_with_the_ipv6_loopback_first(void **state) {
  (void)state;
  six("::1", NULL);
  dns.last[0] = 1;
  dns.last[1] = 2;
  dns.n = 2;
  resolve();
  assert_int_equal(got.n, 3);
  assert_int_equal(strncmp(got.text, "[::1]:4317 127.0.0.", 19), 0);
}

static void the_shortest_ttl_of_both_counts(void **state) {
  (void)state;
  six("::1", NULL);
  dns.last[0] = 1;
  dns.n = 1;
  dns.ttl_s = 100;
  dns.ttl_six_s = 35;
  resolve();
  assert_int_equal(got.n, 2);
  assert_int_equal(got.ttl_s, 35);
  dns.ttl_six_s = 200;
  resolve();
  assert_int_equal(got.ttl_s, 100);
}

static void an_address_twice_counts_once(void **state) {
  (void)state;
  six("::1", "0:0:0:0:0:0:0:1");
  resolve();
  assert_int_equal(got.n, 1);
}

static void a_name_without_addresses_is_an_error(void **state) {
  (void)state;
  resolve();
  assert_int_equal(got.n, 0);
  assert_true(got.text[0] != 0);
}

/* --- clients ---------------------------------------------------------------------------------------------------------- */

static void on_request(void *self, struct weir_http_exchange *ex, const struct weir_http_request *r) {
  struct weir_http_reply reply = { .status = 200 };
  (void)r;
  ++*(int *)self;
  http_reply(ex, &reply);
}

static void serve(int i, const char *address) {
  struct weir_error err = { 0 };
  struct weir_http_server_config c = { .size = sizeof c, .owner = "test", .endpoint = address, .on_request = on_request, .self = &served[i] };
  if (http_listen(&loop, &c, &servers[i], &err)) print_error("%s\n", err.msg);
  assert_non_null(servers[i]);
}

static void on_response(void *arg, const struct weir_http_response *r) {
  (void)arg;
  got.done++;
  got.status = r->status;
  snprintf(got.text, sizeof got.text, "%s", r->err ? r->err->msg : "");
}

static void turns(int n) {
  for (int i = 0; i < n; i++) {
    dns_serve(&dns);
    net_turn(&loop);
  }
}

/* A new client of the name makes so many calls, which all must be answered. */
static void calls(int n, int port, uint32_t flags) {
  char endpoint[80];
  struct weir_error err = { 0 };
  struct weir_http_client_config c = { .size = sizeof c, .endpoint = endpoint, .flags = flags };
  struct weir_http_call_config call = { .method = "GET", .path = "/", .on_response = on_response };
  snprintf(endpoint, sizeof endpoint, "dns://127.0.0.1:%d/back.test:%d", dns.port, port);
  assert_int_equal(http_client_open(&loop, &c, &client, &err), 0);
  served[0] = served[1] = 0;
  for (int i = 0; i < n; i++) {
    memset(&got, 0, sizeof got);
    http_call(client, &call);
    NET_UNTIL(&loop, (dns_serve(&dns), got.done));
    if (got.status != 200) print_error("%s\n", got.text);
    assert_int_equal(got.status, 200);
    turns(3);
  }
  http_client_close(client);
  client = NULL;
  turns(5);
}

static const uint32_t kinds[] = { 0, WEIR_HTTP_NO_KEEP_ALIVE, WEIR_HTTP_H2_ONLY, WEIR_HTTP_H2_ONLY | WEIR_HTTP_ROUND_ROBIN };
#define N_KINDS (sizeof kinds / sizeof *kinds)

static void a_back_end_on_ipv6_alone_is_reached_by_its_name(void **state) {
  (void)state;
  six("::1", NULL);
  serve(1, "[::1]:0");
  for (size_t i = 0; i < N_KINDS; i++) {
    calls(4, http_server_port(servers[1]), kinds[i]);
    assert_int_equal(served[1], 4);
  }
}

/* Whichever family is dead: the other has all calls, also the first. */
static void a_family_where_nobody_is_costs_no_call(void **state) {
  (void)state;
  six("::1", NULL);
  dns.last[0] = 1;
  dns.n = 1;
  for (int alive = 0; alive < 2; alive++) {
    serve(alive, alive ? "[::1]:0" : "127.0.0.1:0");
    for (size_t i = 0; i < N_KINDS; i++) {
      calls(4, http_server_port(servers[alive]), kinds[i]);
      assert_int_equal(served[alive], 4);
    }
    http_server_close(servers[alive]);
    servers[alive] = NULL;
    turns(5);
  }
}

/* Not happy eyeballs: round robin gives each address its share, whatever its family; pick_first uses the first of the order above. */
static void both_families_are_used_alike(void **state) {
  char address[40];
  (void)state;
  six("::1", NULL);
  serve(0, "127.0.0.1:0");
  int port = http_server_port(servers[0]);
  snprintf(address, sizeof address, "[::1]:%d", port);
  serve(1, address);
  dns.last[0] = 1;
  dns.n = 1;
  calls(21, port, WEIR_HTTP_H2_ONLY | WEIR_HTTP_ROUND_ROBIN);
  assert_in_range(served[0], 9, 12);
  assert_int_equal(served[0] + served[1], 21);
  calls(10, port, WEIR_HTTP_NO_KEEP_ALIVE);
  assert_int_equal(served[0], 5);
  calls(10, port, WEIR_HTTP_H2_ONLY);
  assert_int_equal(served[1], 10);
}

/* --- life --------------------------------------------------------------------------------------------------------------- */

static int setup(void **state) {
  struct weir_error err = { 0 };
  (void)state;
  memset(&env, 0, sizeof env);
  clock_set_virtual(1000 * NS_PER_S, 1000000 * NS_PER_S);
  env.metrics = metrics_new();
  env.listeners = listeners_new();
  dns_open(&dns);
  return loop_init(&loop, 0, &env, &err);
}

static int teardown(void **state) {
  (void)state;
  http_client_close(client);
  client = NULL;
  for (int i = 0; i < 2; i++) {
    http_server_close(servers[i]);
    servers[i] = NULL;
  }
  turns(10);
  close(dns.fd);
  loop_done(&loop);
  listeners_free(env.listeners);
  metrics_free(env.metrics);
  return 0;
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = { T(aaaa_alone_is_enough), T(both_families_come_with_the_ipv6_loopback_first), T(the_shortest_ttl_of_both_counts),
    T(an_address_twice_counts_once), T(a_name_without_addresses_is_an_error), T(a_back_end_on_ipv6_alone_is_reached_by_its_name),
    T(a_family_where_nobody_is_costs_no_call), T(both_families_are_used_alike) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
