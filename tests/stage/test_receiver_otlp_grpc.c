/* The otlp receiver over gRPC: requests become batches, verdicts become statuses. And what of its configuration is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "core/otlp.h"
#include "harness_check.h"
#include "harness_net.h"

#define ALL (WEIR_TRACES | WEIR_METRICS | WEIR_LOGS)
#define GRPC(keys) "protocols: {grpc: {endpoint: '127.0.0.1:0'" keys "}}"

static const struct {
  uint32_t signal;
  const char *path, *items;
} signals[] = { { WEIR_TRACES, HARNESS_TRACES_RPC, "spans" }, { WEIR_METRICS, HARNESS_METRICS_RPC, "metric_points" },
  { WEIR_LOGS, HARNESS_LOGS_RPC, "log_records" } };

struct fixture {
  struct harness *h;
  struct harness_client client;
  struct harness_reply r;
  char *p; /* a request of three spans */
  size_t n;
};

static void set_up_as(struct fixture *f, struct harness_setup s, const char *compression, const char *timeout) {
  memset(f, 0, sizeof *f);
  s.role = WEIR_RECEIVER;
  s.type = "otlp";
  if (!s.yaml) s.yaml = GRPC("");
  if (!s.signal) s.signal = ALL;
  f->h = harness_open(&s);
  harness_client_grpc(&f->client, f->h, harness_port(), compression, timeout);
  f->p = harness_request(WEIR_TRACES, 3, &f->n);
}

static void set_up(struct fixture *f, const char *yaml) { set_up_as(f, (struct harness_setup){ .yaml = yaml }, "none", NULL); }

static void tear_down(struct fixture *f) {
  harness_reply_done(&f->r);
  harness_client_close(&f->client);
  harness_free(f->h);
  free(f->p);
}

static void call(struct fixture *f, const char *path, const void *p, size_t n) {
  harness_reply_done(&f->r);
  harness_send_grpc(&f->client, path, p, n, &f->r);
}

static void call_and_settle(struct fixture *f, struct weir_verdict v) {
  call(f, HARNESS_TRACES_RPC, f->p, f->n);
  harness_wait_emitted(f->h, 1);
  assert_int_equal(f->r.done, 0);
  batch_settle(harness_take_emitted(f->h), &v);
  harness_wait_reply(f->h, &f->r);
}

static void check(struct fixture *f, uint32_t code, const char *msg, int64_t retry_after_ns) {
  harness_wait_reply(f->h, &f->r);
  if (f->r.status != code) fail_msg("code %u, expected %u: %s", f->r.status, code, f->r.msg);
  harness_contains(f->r.msg, msg);
  assert_int_equal(f->r.retry_after_ns, retry_after_ns);
  assert_int_equal(f->r.n, 0); /* a full success is an empty message, an error has none */
}

static double counted(struct fixture *f, const char *what, const char *items) {
  char name[96];
  snprintf(name, sizeof name, "otelcol_receiver_%s_%s_total", what, items);
  return harness_metric(f->h, name, "receiver=\"otlp\",transport=\"grpc\"");
}

/* --- requests that are taken ------------------------------------------------------------------------------------------- */

static void a_request_of_each_signal_becomes_a_batch(void **state) {
  (void)state;
  static const char *const compression[] = { "none", "gzip", "zstd", "snappy" };
  for (size_t k = 0; k < 4; k++) {
    struct fixture f;
    set_up_as(&f, (struct harness_setup){ 0 }, compression[k], NULL);
    for (size_t i = 0; i < 3; i++) {
      size_t n;
      char *p = harness_request(signals[i].signal, 4, &n);
      call(&f, signals[i].path, p, n);
      harness_wait_emitted(f.h, 1);
      assert_int_equal(f.r.done, 0);
      struct weir_batch *b = harness_take_emitted(f.h);
      assert_int_equal(b->signal, signals[i].signal);
      assert_int_equal(b->items, 4);
      harness_same_bytes(b, p, n);
      harness_settle(f.h, b, WEIR_DELIVERED);
      check(&f, WEIR_GRPC_OK, "", -1);
      assert_true(counted(&f, "accepted", signals[i].items) == 4);
      free(p);
    }
    tear_down(&f);
  }
}

static void an_empty_request_is_a_success_of_which_nobody_below_hears(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  call(&f, HARNESS_LOGS_RPC, NULL, 0);
  check(&f, WEIR_GRPC_OK, "", -1);
  assert_int_equal(f.h->n_emitted, 0);
  tear_down(&f);
}

/* --- verdicts ---------------------------------------------------------------------------------------------------------- */

static void a_partial_success_says_how_many_and_why(void **state) {
  (void)state;
  struct fixture f;
  struct weir_otlp_response o;
  set_up(&f, NULL);
  call_and_settle(&f, (struct weir_verdict){ .code = WEIR_DELIVERED, .rejected = 2, .msg = "two were too old" });
  assert_int_equal(f.r.status, WEIR_GRPC_OK);
  assert_int_equal(otlp_response_parse(f.r.body, f.r.n, &o), 0);
  assert_int_equal(o.rejected, 2);
  assert_int_equal(o.message.n, strlen("two were too old"));
  assert_memory_equal(o.message.p, "two were too old", o.message.n);
  assert_true(counted(&f, "accepted", "spans") == 1);
  assert_true(counted(&f, "failed", "spans") == 2);
  tear_down(&f);
}

static void a_retryable_refusal_says_when(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  call_and_settle(&f, (struct weir_verdict){ .code = WEIR_RETRY, .retry_after_ns = 2300 * NS_PER_MS, .msg = "the queue is full: 100 %" });
  check(&f, WEIR_GRPC_UNAVAILABLE, "the queue is full: 100 %", 2300 * NS_PER_MS);
  call_and_settle(&f, (struct weir_verdict){ .code = WEIR_RETRY });
  check(&f, WEIR_GRPC_UNAVAILABLE, "try again", NS_PER_S);
  assert_true(counted(&f, "refused", "spans") == 6);
  assert_true(counted(&f, "accepted", "spans") == 0);
  tear_down(&f);
}

static void a_refusal_for_good_says_why(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  call_and_settle(&f, (struct weir_verdict){ .code = WEIR_REJECTED, .msg = "the back end knows no such tenant" });
  check(&f, WEIR_GRPC_INTERNAL, "the back end knows no such tenant", -1);
  call_and_settle(&f, (struct weir_verdict){ .code = WEIR_REJECTED, .status = WEIR_GRPC_INVALID_ARGUMENT, .msg = "bad span" });
  check(&f, WEIR_GRPC_INVALID_ARGUMENT, "bad span", -1); /* in the next hop's words */
  assert_true(counted(&f, "failed", "spans") == 6);
  tear_down(&f);
}

static void each_call_hears_its_own_verdict(void **state) {
  (void)state;
  static const int codes[] = { WEIR_DELIVERED, WEIR_RETRY, WEIR_REJECTED };
  static const uint32_t answers[] = { WEIR_GRPC_OK, WEIR_GRPC_UNAVAILABLE, WEIR_GRPC_INTERNAL };
  static const size_t orders[][3] = { { 2, 1, 0 }, { 1, 2, 0 }, { 0, 1, 2 }, { 2, 0, 1 } };
  struct fixture f;
  set_up(&f, NULL);
  for (size_t o = 0; o < 4; o++) {
    struct harness_reply r[3] = { { 0 } };
    struct weir_batch *b[3];
    for (size_t i = 0; i < 3; i++) { /* on one connection */
      harness_send_grpc(&f.client, HARNESS_TRACES_RPC, f.p, f.n, &r[i]);
      harness_wait_emitted(f.h, 1);
      b[i] = harness_take_emitted(f.h);
    }
    for (size_t i = 0; i < 3; i++) {
      size_t k = orders[o][i];
      assert_int_equal(r[k].done, 0);
      harness_settle(f.h, b[k], codes[k]);
      harness_wait_reply(f.h, &r[k]);
      assert_int_equal(r[k].status, answers[k]);
    }
    for (size_t i = 0; i < 3; i++) harness_reply_done(&r[i]);
    harness_advance(f.h, NS_PER_S); /* nobody is left to be answered late */
  }
  tear_down(&f);
}

static void a_client_that_left_is_nobodys_trouble(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f, NULL);
  call(&f, HARNESS_TRACES_RPC, f.p, f.n);
  harness_wait_emitted(f.h, 1);
  harness_client_close(&f.client);
  harness_wait_reply(f.h, &f.r);
  assert_int_equal(f.r.status, WEIR_GRPC_UNAVAILABLE);
  harness_expect(f.h, "0 1 2", WEIR_DELIVERED);
  assert_true(counted(&f, "accepted", "spans") == 3);
  tear_down(&f);
}

/* Waits for no verdict; the answer comes at the latest a quarter of a second after the deadline. */
static void check_deadline(const char *timeout, int64_t deadline_ns) {
  struct fixture f;
  set_up_as(&f, (struct harness_setup){ 0 }, "none", timeout);
  call(&f, HARNESS_TRACES_RPC, f.p, f.n);
  harness_wait_emitted(f.h, 1);
  harness_advance(f.h, deadline_ns - NS_PER_MS);
  assert_int_equal(f.r.done, 0);
  harness_advance(f.h, 251 * NS_PER_MS);
  check(&f, WEIR_GRPC_UNAVAILABLE, "no delivery within the request's deadline", NS_PER_S);
  harness_expect(f.h, "0 1 2", WEIR_DELIVERED); /* comes too late */
  assert_int_equal(f.r.done, 1);
  tear_down(&f);
}

static void a_verdict_that_does_not_come_before_the_deadline_is_a_retry(void **state) {
  (void)state;
  check_deadline("2S", 2 * NS_PER_S);
  check_deadline(NULL, 10 * NS_PER_S);
  check_deadline("30S", 30 * NS_PER_S);
}

/* --- requests that are refused -------------------------------------------------------------------------------------------- */

static void malformed_bytes_are_told_by_their_place(void **state) {
  (void)state;
  struct fixture f;
  char at[32];
  set_up(&f, NULL);
  char *p = malloc(f.n + 2);
  assert_non_null(p);
  memcpy(p, f.p, f.n);
  memcpy(p + f.n, "\x0a\x7f", 2); /* behind a good one: 127 bytes that are not there */
  snprintf(at, sizeof at, "(at byte %zu)", f.n);
  call(&f, HARNESS_TRACES_RPC, p, f.n + 2);
  check(&f, WEIR_GRPC_INVALID_ARGUMENT, at, -1);
  call(&f, HARNESS_METRICS_RPC, "\xff", 1);
  check(&f, WEIR_GRPC_INVALID_ARGUMENT, "(at byte 0)", -1);
  assert_int_equal(f.h->items_emitted, 0);
  free(p);
  tear_down(&f);
}

static void signals_that_no_pipeline_uses_are_unimplemented(void **state) {
  (void)state;
  struct fixture f;
  set_up_as(&f, (struct harness_setup){ .signal = WEIR_METRICS }, "none", NULL);
  call(&f, HARNESS_TRACES_RPC, f.p, f.n);
  check(&f, WEIR_GRPC_UNIMPLEMENTED, "unknown method " HARNESS_TRACES_RPC, -1);
  call(&f, HARNESS_LOGS_RPC, NULL, 0);
  check(&f, WEIR_GRPC_UNIMPLEMENTED, "unknown method", -1);
  call(&f, HARNESS_METRICS_RPC, NULL, 0);
  check(&f, WEIR_GRPC_OK, "", -1);
  tear_down(&f);
}

static void a_message_over_the_limit_is_refused_packed_or_not(void **state) {
  (void)state;
  static char big[(1 << 20) + 1];
  static const char *const compression[] = { "none", "gzip", "zstd", "snappy" };
  for (size_t i = 0; i < 4; i++) {
    struct fixture f;
    set_up_as(&f, (struct harness_setup){ .yaml = GRPC(", max_recv_msg_size_mib: 1") }, compression[i], NULL);
    call(&f, HARNESS_TRACES_RPC, big, sizeof big);
    check(&f, WEIR_GRPC_RESOURCE_EXHAUSTED, "max_recv_msg_size_mib", -1); /* without RetryInfo: not to be sent again */
    call_and_settle(&f, (struct weir_verdict){ .code = WEIR_DELIVERED });
    check(&f, WEIR_GRPC_OK, "", -1);
    tear_down(&f);
  }
}

static void without_memory_a_request_may_come_again(void **state) {
  (void)state;
  struct fixture f;
  static char big[300000];
  set_up_as(&f, (struct harness_setup){ .budget_bytes = 128 << 10 }, "none", NULL);
  call(&f, HARNESS_TRACES_RPC, big, sizeof big);
  check(&f, WEIR_GRPC_UNAVAILABLE, "memory", NS_PER_S);
  call_and_settle(&f, (struct weir_verdict){ .code = WEIR_DELIVERED });
  check(&f, WEIR_GRPC_OK, "", -1);
  tear_down(&f);
}

static void what_a_batch_pins_counts_until_it_is_settled(void **state) {
  (void)state;
  struct fixture f;
  size_t n;
  char *p = harness_request(WEIR_TRACES, 1000, &n); /* 80 KB; its tree goes over the budget, as what was admitted is finished */
  set_up_as(&f, (struct harness_setup){ .budget_bytes = 160 << 10, .need = WEIR_NEED_RECORDS }, "none", NULL);
  struct harness_reply r = { 0 };
  harness_send_grpc(&f.client, HARNESS_TRACES_RPC, p, n, &r);
  harness_wait_emitted(f.h, 1);
  struct weir_batch *b = harness_take_emitted(f.h);
  assert_int_equal(b->items, 1000);
  call(&f, HARNESS_TRACES_RPC, f.p, f.n);
  check(&f, WEIR_GRPC_UNAVAILABLE, "memory", NS_PER_S);
  harness_settle(f.h, b, WEIR_DELIVERED);
  harness_wait_reply(f.h, &r);
  assert_int_equal(r.status, WEIR_GRPC_OK);
  call_and_settle(&f, (struct weir_verdict){ .code = WEIR_DELIVERED });
  check(&f, WEIR_GRPC_OK, "", -1);
  harness_reply_done(&r);
  free(p);
  tear_down(&f);
}

/* --- the end ------------------------------------------------------------------------------------------------------------------ */

static void a_drain_waits_for_the_answer_and_takes_nobody_new(void **state) {
  (void)state;
  struct fixture f;
  struct harness_client late;
  struct harness_reply r = { 0 };
  set_up(&f, NULL);
  int port = harness_port();
  call(&f, HARNESS_TRACES_RPC, f.p, f.n);
  harness_wait_emitted(f.h, 1);
  harness_drain(f.h);
  harness_client_grpc(&late, f.h, port, "none", NULL);
  harness_send_grpc(&late, HARNESS_TRACES_RPC, f.p, f.n, &r);
  harness_wait_reply(f.h, &r);
  assert_int_equal(r.status, WEIR_GRPC_UNAVAILABLE);
  harness_contains(r.msg, "refused");
  assert_int_equal(f.h->n_drained, 0); /* one is still waiting */
  harness_expect(f.h, "0 1 2", WEIR_DELIVERED);
  check(&f, WEIR_GRPC_OK, "", -1);
  harness_reply_done(&r);
  harness_client_close(&late);
  tear_down(&f); /* which waits for the drain's end */
}

static void both_protocols_drain_before_it_says_so(void **state) {
  (void)state;
  struct harness_sink grpc; /* for a port to know */
  struct harness_client client;
  struct harness_reply r = { 0 };
  char yaml[160];
  size_t n;
  char *p = harness_request(WEIR_TRACES, 1, &n);
  harness_sink_init(&grpc);
  snprintf(yaml, sizeof yaml, "protocols: {grpc: {endpoint: '127.0.0.1:%d'}, http: {endpoint: '127.0.0.1:0'}}", grpc.port);
  struct harness *h = harness_new(WEIR_RECEIVER, "otlp", yaml, WEIR_TRACES);
  harness_client_grpc(&client, h, grpc.port, "none", NULL);
  harness_send_grpc(&client, HARNESS_TRACES_RPC, p, n, &r);
  harness_wait_emitted(h, 1);
  harness_drain(h);
  harness_advance(h, NS_PER_S);
  assert_int_equal(h->n_drained, 0); /* HTTP has, gRPC has not */
  harness_expect(h, "0", WEIR_DELIVERED);
  harness_wait_reply(h, &r);
  assert_int_equal(r.status, WEIR_GRPC_OK);
  harness_reply_done(&r);
  harness_client_close(&client);
  harness_free(h);
  harness_sink_close(&grpc);
  free(p);
}

/* --- configuration -------------------------------------------------------------------------------------------------------------- */

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { "protocols: {}",
      "protocols: must specify at least one protocol when using the OTLP receiver; write `grpc:` or `http:` below protocols" },
    { "{}", "`protocols`" },
    { "protocols: {grpc: {tls: {cert_file: a}}}", "protocols.grpc.tls.cert_file: a certificate and its key belong together" },
    { "protocols: {grpc: {auth: {authenticator: a}}}", "protocols.grpc.auth.authenticator: extension `a` is not configured" },
    { "protocols: {grpc: {keepalive: {server_parameters: {max_connection_age: -1s}}}}", "max_connection_age" },
    { "protocols: {grpc: {transport: unix}}", "protocols.grpc.endpoint: `127.0.0.1:4317` is no path of a socket, which transport: unix asks for; write an absolute path" },
    { "protocols: {http: {transport: unix, endpoint: '@weir'}}", "protocols.http.endpoint: `@weir` is no path of a socket, which transport: unix asks for; abstract sockets are not supported" },
    { "protocols: {grpc: {max_recv_msg_size_mib: 2048}}", "max_recv_msg_size_mib" },
    { "protocols: {http: {tls: {cert_file: a}}}", "protocols.http.tls.cert_file: a certificate and its key belong together" },
    { "protocols: {http: {auth: {authenticator: a}}}", "protocols.http.auth.authenticator: extension `a` is not configured" },
    { "protocols: {http: {cors: {allowed_origins: [a, 'https://*.*']}}}", "protocols.http.cors.allowed_origins[1]: `https://*.*` has more than one `*`; write one origin" },
    { "protocols: {http: {cors: {allowed_origins: ['']}}}", "protocols.http.cors.allowed_origins[0]: an empty text is no origin; an origin is scheme://host[:port]" },
    { "protocols: {http: {cors: {allowed_headers: [a b]}}}", "protocols.http.cors.allowed_headers[0]: `a b` is no header name" },
    { "protocols: {http: {cors: {exposed_headers: ['a:']}}}", "protocols.http.cors.exposed_headers[0]: `a:` is no header name" },
    { "protocols: {http: {response_headers: {Content-Length: '1'}}}", "protocols.http.response_headers: `Content-Length` belongs to the server" },
    { "protocols: {http: {response_headers: {a b: '1'}}}", "protocols.http.response_headers: `a b` is no header name" },
    { "protocols: {http: {response_headers: {x-a: \"s3cret\\n\"}}}", "protocols.http.response_headers: `x-a` has a control character in its value" },
    { "protocols: {http: {auth: {authenticator: a, request_params: ['']}}}", "protocols.http.auth.request_params: a parameter without a name" },
    { "protocols: {http: {auth: {authenticator: a, request_params: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]}}}", "protocols.http.auth.request_params: more than 16 parameters" },
    { "protocols: {grpc: {auth: {authenticator: a, request_params: [a]}}}", "unknown key `request_params`" },
    { "protocols: {http: {traces_url_path: ''}}", "traces_url_path" },
    { "protocols: {grcp: {}}", "did you mean `grpc`?" },
    { "{validation: none, protocols: {grpc: }}", "`validation`" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    harness_refuses(WEIR_RECEIVER, "otlp", WEIR_TRACES, cases[i].yaml, cases[i].text);
}

/* Without a start: as `weir validate` sees it. */
static void what_can_be_known_before_the_start_is_refused_before_it(void **state) {
  (void)state;
  static const struct {
    const char *yaml, *text;
  } cases[] = {
    { "protocols: {grpc: {endpoint: '127.0.0.1:99999'}}", "protocols.grpc.endpoint: `127.0.0.1:99999` is no address to listen on: the highest port is 65535; write host:port" },
    { "protocols: {grpc: {}, http: {endpoint: nonsense}}", "protocols.http.endpoint: `nonsense` is no address to listen on" },
    { "protocols: {http: {tls: {key_file: a}}}", "protocols.http.tls.key_file: a certificate and its key belong together" },
    { "protocols: {http: {tls: {tpm: {enabled: true}}}}", "protocols.http.tls.tpm: keys in a TPM are not supported" },
    { "protocols: {grpc: {tls: {cert_file: /nope.pem, key_file: /nope.key}}}", "protocols.grpc.tls.cert_file: cert_file /nope.pem: No such file or directory" },
    { "protocols: {grpc: {tls: {}}, http: {endpoint: 'a:b:c'}}",
      "protocols.grpc.tls.cert_file: a TLS server needs a certificate; set cert_file and key_file; protocols.http.endpoint, too: `a:b:c` is no address to listen on" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct harness_setup s = { .role = WEIR_RECEIVER, .type = "otlp", .signal = WEIR_TRACES, .yaml = cases[i].yaml, .stopped = 1 };
    char *why = harness_refused(&s);
    if (!strstr(why, cases[i].text)) fail_msg("%s: %s", cases[i].yaml, why);
    free(why);
  }
}

static void an_address_that_is_taken_is_named(void **state) {
  (void)state;
  static const char *const protocols[] = { "grpc", "http" };
  for (size_t i = 0; i < 2; i++) {
    char yaml[96], field[64], address[32];
    struct harness_sink taken;
    harness_sink_init(&taken);
    assert_int_equal(listen(taken.fd, 1), 0);
    snprintf(yaml, sizeof yaml, "protocols: {%s: {endpoint: '127.0.0.1:%d'}}", protocols[i], taken.port);
    snprintf(field, sizeof field, "protocols.%s.endpoint: ", protocols[i]);
    snprintf(address, sizeof address, "127.0.0.1:%d is in use", taken.port);
    harness_refuses(WEIR_RECEIVER, "otlp", WEIR_TRACES, yaml, field);
    harness_refuses(WEIR_RECEIVER, "otlp", WEIR_TRACES, yaml, address);
    harness_sink_close(&taken);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_request_of_each_signal_becomes_a_batch),
    cmocka_unit_test(an_empty_request_is_a_success_of_which_nobody_below_hears),
    cmocka_unit_test(a_partial_success_says_how_many_and_why),
    cmocka_unit_test(a_retryable_refusal_says_when),
    cmocka_unit_test(a_refusal_for_good_says_why),
    cmocka_unit_test(each_call_hears_its_own_verdict),
    cmocka_unit_test(a_client_that_left_is_nobodys_trouble),
    cmocka_unit_test(a_verdict_that_does_not_come_before_the_deadline_is_a_retry),
    cmocka_unit_test(malformed_bytes_are_told_by_their_place),
    cmocka_unit_test(signals_that_no_pipeline_uses_are_unimplemented),
    cmocka_unit_test(a_message_over_the_limit_is_refused_packed_or_not),
    cmocka_unit_test(without_memory_a_request_may_come_again),
    cmocka_unit_test(what_a_batch_pins_counts_until_it_is_settled),
    cmocka_unit_test(a_drain_waits_for_the_answer_and_takes_nobody_new),
    cmocka_unit_test(both_protocols_drain_before_it_says_so),
    cmocka_unit_test(refusals),
    cmocka_unit_test(what_can_be_known_before_the_start_is_refused_before_it),
    cmocka_unit_test(an_address_that_is_taken_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
