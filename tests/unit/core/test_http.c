/* The HTTP server and client against each other on loopback, and raw bytes against the server. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/http_client.h"
#include "core/http_server.h"
#include "core/listener.h"
#include "core/metrics.h"

static struct env env;
static struct loop loop;
static struct weir_http_server *server;
static struct weir_http_exchange *parked; /* /wait leaves its exchange here */
static int handled, released, drained;

static void on_release(void *arg) {
  (void)arg;
  released++;
}

/* Echoes the body; says what it saw in headers. */
static void on_request(void *self, struct weir_http_exchange *ex, const struct weir_http_request *r) {
  char n[24];
  (void)self;
  handled++;
  if (r->path.n == 5 && !memcmp(r->path.p, "/wait", 5)) {
    parked = ex;
    return;
  }
  snprintf(n, sizeof n, "%zu", r->body->n);
  struct weir_http_header headers[] = { { weir_str_of("x-len"), weir_str_of(n) }, { weir_str_of("x-path"), r->path }, { weir_str_of("x-query"), r->query },
    { weir_str_of("x-host"), r->authority } };
  struct weir_http_header trailer = { weir_str_of("x-trailer"), weir_str_of("done") };
  struct weir_iov body = { r->body->p, r->body->n };
  struct weir_http_reply reply = { 200, headers, r->query.n ? 4 : 2, &body, 1, &trailer, r->version == 20, on_release, NULL };
  http_reply(ex, &reply);
}

static uint32_t on_headers(void *self, const struct weir_http_request *r, struct weir_http_reply *reply) {
  (void)self;
  (void)reply;
  return r->path.n == 8 && !memcmp(r->path.p, "/missing", 8) ? 404 : 0;
}

static void start_server(uint64_t max_body, uint32_t flags) {
  struct weir_error err = { 0 };
  struct weir_http_server_config cfg = { .size = sizeof cfg, .flags = flags, .owner = "test", .endpoint = "127.0.0.1:0", .max_body_bytes = max_body,
    .max_header_bytes = 4096, .max_headers = 40, .body_timeout_ns = 300 * NS_PER_MS, .read_header_timeout_ns = 300 * NS_PER_MS,
    .on_headers = on_headers, .on_request = on_request };
  assert_int_equal(http_listen(&loop, &cfg, &server, &err), 0);
}

static int setup(void **state) {
  struct weir_error err = { 0 };
  (void)state;
  budget_init(&env.budget, 64u << 20);
  env.metrics = metrics_new();
  env.listeners = listeners_new();
  handled = released = drained = 0;
  parked = NULL;
  server = NULL;
  return loop_init(&loop, 0, &env, &err);
}

static int teardown(void **state) {
  (void)state;
  http_server_close(server);
  for (int i = 0; i < 20; i++) loop_run_once(&loop);
  loop_done(&loop);
  listeners_free(env.listeners);
  metrics_free(env.metrics);
  assert_int_equal(env.budget.used, 0);
  return 0;
}

/* Runs the loop until *flag or two seconds are over. */
static void run_until(const int *flag, int value) {
  struct timespec ms = { 0, 1000000 };
  for (int i = 0; i < 3000 && *flag < value; i++) {
    loop_run_once(&loop);
    if (*flag < value && i > 50) nanosleep(&ms, NULL);
  }
}

/* --- client calls ---------------------------------------------------------------------------------------- */

struct outcome {
  int done;
  uint32_t status;
  int sent, timed_out;
  size_t body_n;
  uint64_t sum;
  char len[24], query[64], trailer[16], error[512], host[64];
};

static void keep(char *to, size_t cap, struct weir_str s) { snprintf(to, cap, "%.*s", (int)s.n, s.p ? s.p : ""); }

static uint64_t checksum(const char *p, size_t n) {
  uint64_t h = 1469598103934665603u;
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 1099511628211u;
  return h;
}

static void on_response(void *arg, const struct weir_http_response *r) {
  struct outcome *o = arg;
  o->done++;
  o->status = r->status;
  o->sent = r->sent;
  o->timed_out = r->timed_out;
  o->body_n = r->body ? r->body->n : 0;
  o->sum = checksum(r->body ? r->body->p : "", o->body_n);
  keep(o->len, sizeof o->len, weir_http_find(r->headers, r->n_headers, "x-len"));
  keep(o->query, sizeof o->query, weir_http_find(r->headers, r->n_headers, "x-query"));
  keep(o->host, sizeof o->host, weir_http_find(r->headers, r->n_headers, "x-host"));
  keep(o->trailer, sizeof o->trailer, weir_http_find(r->trailers, r->n_trailers, "x-trailer"));
  if (r->err) snprintf(o->error, sizeof o->error, "%s", r->err->msg);
}

static struct weir_http_client *new_client(uint32_t flags, int port) {
  struct weir_http_client *client = NULL;
  struct weir_error err = { 0 };
  char endpoint[64];
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", port);
  struct weir_http_client_config cfg = { .size = sizeof cfg, .flags = flags, .endpoint = endpoint, .max_response_bytes = 32u << 20 };
  assert_int_equal(http_client_open(&loop, &cfg, &client, &err), 0);
  return client;
}

static void call(struct weir_http_client *client, const char *path, const struct weir_iov *body, size_t n, int64_t timeout_ns, struct outcome *o) {
  struct weir_http_call_config cfg = { "POST", path, NULL, NULL, 0, body, n, timeout_ns ? clock_mono_ns() + timeout_ns : 0, on_response, o };
  memset(o, 0, sizeof *o);
  http_call(client, &cfg);
  assert_int_equal(o->done, 0); /* never inside the call */
}

static void echoes(uint32_t flags) {
  static const size_t sizes[] = { 0, 1, 100, 4096, 65536, 300000, 5u << 20 };
  start_server(20u << 20, 0);
  struct weir_http_client *client = new_client(flags, http_server_port(server));
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char *data = malloc(sizes[i] + 1);
    for (size_t k = 0; k < sizes[i]; k++) data[k] = (char)(k * 31 + i);
    struct weir_iov body[3] = { { data, sizes[i] / 3 }, { data + sizes[i] / 3, sizes[i] / 3 }, { data + sizes[i] / 3 * 2, sizes[i] - sizes[i] / 3 * 2 } };
    struct outcome o;
    call(client, "/echo?a=b", body, 3, 0, &o);
    run_until(&o.done, 1);
    assert_int_equal(o.done, 1);
    assert_int_equal(o.status, 200);
    assert_int_equal(o.body_n, sizes[i]);
    assert_true(o.sum == checksum(data, sizes[i]));
    assert_string_equal(o.query, "a=b");
    assert_non_null(strstr(o.host, "127.0.0.1:"));
    if (flags) assert_string_equal(o.trailer, "done");
    free(data);
  }
  run_until(&released, (int)(sizeof sizes / sizeof *sizes));
  assert_int_equal(released, sizeof sizes / sizeof *sizes);
  http_client_close(client);
}

static void http1_echoes(void **state) {
  (void)state;
  echoes(0);
}

static void http2_echoes(void **state) {
  (void)state;
  echoes(WEIR_HTTP_H2_ONLY);
}

static void many_calls(uint32_t flags) {
  enum { N = 300 };
  static struct outcome o[N];
  int done = 0;
  struct weir_iov body = { "0123456789", 10 };
  start_server(0, 0);
  struct weir_http_client *client = new_client(flags, http_server_port(server));
  for (int i = 0; i < N; i++) call(client, "/", &body, 1, 0, &o[i]);
  for (int64_t end = clock_mono_ns() + 5 * NS_PER_S; done < N && clock_mono_ns() < end;) {
    loop_run_once(&loop);
    done = 0;
    for (int k = 0; k < N; k++) done += o[k].done;
  }
  for (int i = 0; i < N; i++) {
    assert_int_equal(o[i].done, 1);
    assert_int_equal(o[i].status, 200);
    assert_int_equal(o[i].body_n, 10);
  }
  http_client_close(client);
}

static void many_calls_at_once(void **state) {
  (void)state;
  many_calls(0);
  http_server_close(server);
  many_calls(WEIR_HTTP_H2_ONLY);
}

static void failures_have_sentences(void **state) {
  (void)state;
  struct outcome o;
  start_server(1000, 0);
  int port = http_server_port(server);
  for (uint32_t flags = 0; flags < 2; flags++) {
    struct weir_http_client *client = new_client(flags, port), *nowhere = new_client(flags, 1);
    static char big[5000];
    struct weir_iov body = { big, sizeof big };
    call(nowhere, "/", NULL, 0, 0, &o);
    run_until(&o.done, 1);
    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.error, "127.0.0.1:1: connection refused"));
    call(client, "/missing", &body, 1, 0, &o);
    run_until(&o.done, 1);
    assert_int_equal(o.status, 404);
    call(client, "/", &body, 1, 0, &o);
    run_until(&o.done, 1);
    assert_int_equal(o.status, 413);
    call(client, "/wait", NULL, 0, 50 * NS_PER_MS, &o);
    run_until(&o.done, 1);
    assert_int_equal(o.timed_out, 1);
    assert_non_null(strstr(o.error, "no answer in time"));
    int before = released;
    for (int i = 0; i < 30; i++) loop_run_once(&loop);
    struct weir_http_reply reply = { .status = 200, .release = on_release };
    http_reply(parked, &reply); /* its peer is gone: only released */
    run_until(&released, before + 1);
    assert_int_equal(released, before + 1);
    call(client, "/", NULL, 0, 0, &o);
    run_until(&o.done, 1);
    assert_int_equal(o.status, 200);
    call(client, "/wait", NULL, 0, 0, &o);
    run_until(&handled, handled + 1);
    http_client_close(client);
    run_until(&o.done, 1);
    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.error, "closed"));
    struct weir_http_reply last = { .status = 200 };
    for (int i = 0; i < 30; i++) loop_run_once(&loop);
    http_reply(parked, &last);
    http_client_close(nowhere);
  }
}

static void on_drained(void *arg) {
  (void)arg;
  drained++;
}

static void drain_lets_requests_end(void **state) {
  (void)state;
  for (uint32_t flags = 0; flags < 2; flags++) {
    struct outcome o, idle;
    drained = 0;
    start_server(0, 0);
    struct weir_http_client *client = new_client(flags, http_server_port(server)), *other = new_client(flags, http_server_port(server));
    call(other, "/", NULL, 0, 0, &idle); /* leaves an idle connection */
    run_until(&idle.done, 1);
    call(client, "/wait", NULL, 0, 0, &o);
    int seen = handled;
    run_until(&handled, seen + 1);
    http_server_drain(server, on_drained, NULL);
    assert_int_equal(drained, 0);
    for (int i = 0; i < 60; i++) loop_run_once(&loop);
    assert_int_equal(drained, 0);
    struct weir_http_reply reply = { .status = 204 };
    http_reply(parked, &reply);
    run_until(&drained, 1);
    assert_int_equal(drained, 1);
    run_until(&o.done, 1);
    assert_int_equal(o.status, 204);
    http_client_close(client);
    http_client_close(other);
    http_server_close(server);
    server = NULL;
  }
}

/* --- raw bytes -------------------------------------------------------------------------------------------------- */

static int dial(void) {
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

/* Sends bytes in pieces of `step` and returns everything that comes back until the peer closes or it is quiet for a while. */
static const char *talk(const char *bytes, size_t n, size_t step, int wait_ms) {
  static char got[65536];
  size_t at = 0, got_n = 0;
  int fd = dial(), quiet = 0;
  struct timespec ms = { 0, 1000000 };
  while (quiet < wait_ms) {
    if (at < n) {
      ssize_t w = send(fd, bytes + at, n - at < step ? n - at : step, MSG_NOSIGNAL);
      if (w > 0) at += (size_t)w;
      else if (errno != EAGAIN) at = n;
    }
    loop_run_once(&loop);
    ssize_t r = recv(fd, got + got_n, sizeof got - 1 - got_n, 0);
    if (r == 0) break;
    if (r > 0) got_n += (size_t)r;
    if (r < 0 && at == n) {
      nanosleep(&ms, NULL);
      quiet++;
    }
  }
  got[got_n] = 0;
  close(fd);
  for (int i = 0; i < 5; i++) loop_run_once(&loop);
  return got;
}

static int count_of(const char *text, const char *what) {
  int n = 0;
  for (; (text = strstr(text, what)); text += strlen(what)) n++;
  return n;
}

static void smuggling_forms_never_reach_a_handler(void **state) {
  static const char *const forms[] = {
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\na\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\n Content-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/2.5\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "P\1ST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
  };
  (void)state;
  start_server(0, 0);
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    for (size_t step = 1; step < 2000; step += 1999 - 1) {
      const char *got = talk(forms[i], strlen(forms[i]), step, 30);
      if (handled || (*got && strncmp(got, "HTTP/1.1 4", 10) != 0)) print_error("form %zu: handled %d, answer %.60s\n", i, handled, got);
      assert_int_equal(handled, 0);
      assert_true(*got == 0 || strncmp(got, "HTTP/1.1 4", 10) == 0);
    }
}

static void pipelined_requests_are_answered_in_order(void **state) {
  static const char two[] = "POST /a?n=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "2\r\nde\r\n0\r\n\r\nPOST /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  (void)state;
  start_server(0, 0);
  for (size_t step = 1; step < sizeof two; step = step * 2 + 1) {
    const char *got = talk(two, sizeof two - 1, step, 100);
    assert_int_equal(count_of(got, "HTTP/1.1 200 OK"), 3);
    const char *a = strstr(got, "x-path: /a"), *b = strstr(got, "x-path: /b"), *c = strstr(got, "x-path: /c");
    assert_true(a && b && c && a < b && b < c);
    assert_non_null(strstr(c, "connection: close"));
  }
}

static void limits_and_time_outs(void **state) {
  static char big[9000] = "POST / HTTP/1.1\r\nHost: a\r\nX: ";
  (void)state;
  start_server(100, 0);
  size_t n = strlen(big);
  memset(big + n, 'a', sizeof big - n - 1);
  assert_non_null(strstr(talk(big, sizeof big - 1, 9000, 50), "HTTP/1.1 431"));
  char many[4000] = "POST / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 50; i++) strcat(many, "A: b\r\n");
  strcat(many, "\r\n");
  assert_non_null(strstr(talk(many, strlen(many), 9000, 50), "HTTP/1.1 431"));
  static const char declared[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n";
  assert_non_null(strstr(talk(declared, sizeof declared - 1, 9000, 50), "HTTP/1.1 413"));
  char chunked[400] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n78\r\n";
  memset(chunked + strlen(chunked), 'x', 120);
  assert_non_null(strstr(talk(chunked, strlen(chunked), 9000, 50), "HTTP/1.1 413"));
  static const char stalled[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
  assert_non_null(strstr(talk(stalled, sizeof stalled - 1, 9000, 2000), "HTTP/1.1 408"));
  static const char expects[] = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
  assert_non_null(strstr(talk(expects, sizeof expects - 1, 9000, 50), "HTTP/1.1 100 Continue"));
  assert_int_equal(handled, 0);
}

static void busy_port_is_one_sentence(void **state) {
  struct weir_error err = { 0 };
  struct weir_http_server *second = NULL;
  char endpoint[64];
  (void)state;
  start_server(0, 0);
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", http_server_port(server));
  struct weir_http_server_config cfg = { .size = sizeof cfg, .owner = "other", .endpoint = endpoint, .on_request = on_request };
  assert_int_equal(http_listen(&loop, &cfg, &second, &err), WEIR_E_IO);
  assert_non_null(strstr(err.msg, "is in use by another component of this process"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(http1_echoes, setup, teardown),
    cmocka_unit_test_setup_teardown(http2_echoes, setup, teardown),
    cmocka_unit_test_setup_teardown(many_calls_at_once, setup, teardown),
    cmocka_unit_test_setup_teardown(failures_have_sentences, setup, teardown),
    cmocka_unit_test_setup_teardown(drain_lets_requests_end, setup, teardown),
    cmocka_unit_test_setup_teardown(smuggling_forms_never_reach_a_handler, setup, teardown),
    cmocka_unit_test_setup_teardown(pipelined_requests_are_answered_in_order, setup, teardown),
    cmocka_unit_test_setup_teardown(limits_and_time_outs, setup, teardown),
    cmocka_unit_test_setup_teardown(busy_port_is_one_sentence, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
