/*
 * Whom gRPC's engines trust, server against client on loopback, each engine against each; certificates that are renewed while calls are made. test_grpc.c has
 * the calls themselves over TLS, test_tls.c what TLS does below HTTP.
 */
#include "cert_fixture.h"
#include "grpc_fixture.h"
#include "tests/unit/support/metric.h"

#include <signal.h>

#if defined(__SANITIZE_ADDRESS__)
/* gRPC's look-up of `localhost` leaks a copy of the name inside c-ares, in cleartext as well. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libcares.so\n"; }
#endif

struct pair {
  const struct grpc_engine *server, *client;
};

static const struct grpc_engine *engine, *caller; /* the server's, the client's */
static struct weir_grpc_server *server;
static struct weir_grpc_exchange *held;
static int served;

static void echo(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  served++;
  engine->reply(x, &(struct weir_grpc_status){ sizeof(struct weir_grpc_status), WEIR_GRPC_OK, NULL, -1 }, r->msg, r->msg_n);
}

static void hold(void *self, struct weir_grpc_exchange *x, const struct weir_grpc_request *r) {
  (void)self;
  (void)r;
  served++;
  held = x;
}

static const struct weir_grpc_method methods[] = { { "/t.Service/Echo", echo }, { "/t.Service/Hold", hold } };

static int is_core(const struct grpc_engine *e) { return e != &grpc_native; }

static int setup(void **state) {
  const struct pair *pair = *state;
  engine = pair->server;
  caller = pair->client;
  server = NULL;
  served = 0;
  fixture_loop_open();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  engine->close(server);
  server = NULL;
  fixture_loop_close();
  return 0;
}

static int try_listen(const struct weir_tls_config *tls, const char *at, struct weir_grpc_server **ret, struct weir_error *err) {
  struct weir_grpc_server_config c = { .size = sizeof c, .owner = "test", .endpoint = at, .methods = methods, .n_methods = 2, .tls = tls };
  memset(err, 0, sizeof *err);
  return engine->listen(&loop, &c, ret, err);
}

static void listen_with(const struct weir_tls_config *tls) {
  struct weir_error err;
  engine->close(server);
  server = NULL;
  if (try_listen(tls, "127.0.0.1:0", &server, &err)) print_error("%s: %s\n", err.field, err.msg);
  assert_non_null(server);
}

static struct weir_grpc_client *connect_to(const char *host, const struct weir_tls_config *tls) {
  struct weir_error err = { 0 };
  struct weir_grpc_client *client = NULL;
  char at[200];
  if (strchr(host, '/')) snprintf(at, sizeof at, "%s", host);
  else snprintf(at, sizeof at, "%s:%d", host, engine->port(server));
  struct weir_grpc_client_config c = { .size = sizeof c, .endpoint = at, .tls = tls };
  if (caller->client_open(&loop, &c, &client, &err)) print_error("%s: %s\n", err.field, err.msg);
  assert_non_null(client);
  return client;
}

static void call(struct weir_grpc_client *client, struct outcome *o) {
  struct weir_iov v = { "hello", 5 };
  outcome_done(o);
  caller->call(client, "/t.Service/Echo", &v, 1, clock_mono_ns() + PATIENCE_NS, keep_outcome, o);
  wait_for(&o->done, 1);
}

/* A call on a client of its own. */
static uint32_t call_once(const char *host, const struct weir_tls_config *tls, char *msg, size_t cap) {
  struct weir_grpc_client *client = connect_to(host, tls);
  struct outcome o = { 0 };
  call(client, &o);
  caller->client_close(client);
  turn_for_ms(5);
  uint32_t code = o.code;
  snprintf(msg, cap, "%s", o.msg);
  outcome_done(&o);
  return code;
}

/* --- whom to trust ------------------------------------------------------------------------------------------- */

/* Native names the reason; of core's texts only that there is one. */
static void a_certificate_that_does_not_verify_is_told(void **state) {
  static const struct {
    const char *cert, *ca, *name, *host, *want, *want_core; /* want NULL: it verifies */
  } cases[] = {
    { "server", "ca.pem", NULL, "localhost", NULL, NULL },
    { "server", "ca.pem", NULL, "127.0.0.1", NULL, NULL },
    { "chain", "ca.pem", NULL, "localhost", NULL, NULL },
    { "self", "self.pem", NULL, "localhost", NULL, NULL },
    { "wrong_name", "ca.pem", "wrong.example", "localhost", NULL, NULL },
    { "expired", "ca.pem", NULL, "localhost", "certificate has expired", "handshake" },
    { "wrong_name", "ca.pem", NULL, "localhost", "hostname mismatch", "Hostname Verification" },
    { "wrong_name", "ca.pem", NULL, "127.0.0.1", "hostname mismatch", "Hostname Verification" },
    { "server", "ca.pem", "other.example", "localhost", "not for other.example", "Hostname Verification" },
    { "self", "ca.pem", NULL, "localhost", "self-signed certificate", "handshake" },
    { "stranger", "ca.pem", NULL, "localhost", "unable to get local issuer certificate", "handshake" },
    { "server", NULL, NULL, "localhost", "unable to get local issuer certificate", "handshake" }, /* the system's CAs do not know it */
  };
  char msg[2048];
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char pem[32], key[32];
    snprintf(pem, sizeof pem, "%s.pem", cases[i].cert);
    snprintf(key, sizeof key, "%s.key", cases[i].cert);
    struct weir_tls_config s = tls_server(pem, key), c = tls_client("ca.pem");
    const char *want = is_core(caller) ? cases[i].want_core : cases[i].want;
    c.ca_file = cases[i].ca ? cert(cases[i].ca) : NULL;
    c.server_name = cases[i].name;
    listen_with(&s);
    uint32_t code = call_once(cases[i].host, &c, msg, sizeof msg);
    if (code != (want ? WEIR_GRPC_UNAVAILABLE : WEIR_GRPC_OK) || (want && !strstr(msg, want))) print_error("case %zu: %s\n", i, msg);
    assert_int_equal(code, want ? WEIR_GRPC_UNAVAILABLE : WEIR_GRPC_OK);
    if (want) assert_non_null(strstr(msg, want));
    c.flags = WEIR_TLS_SKIP_VERIFY;
    assert_int_equal(call_once(cases[i].host, &c, msg, sizeof msg), WEIR_GRPC_OK);
  }
}

static void clients_show_a_certificate_where_it_is_asked_for(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  char msg[2048];
  (void)state;
  s.client_ca_file = cert("ca.pem");
  listen_with(&s);
  c.cert_file = cert("client.pem");
  c.key_file = cert("client.key");
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_OK);
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_OK);
  c.cert_file = cert("client_other.pem");
  c.key_file = cert("client_other.key");
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_UNAVAILABLE);
  c.cert_file = cert("expired.pem");
  c.key_file = cert("expired.key");
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_UNAVAILABLE);
  c.cert_file = c.key_file = NULL;
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_UNAVAILABLE);
  assert_int_equal(call_once("localhost", NULL, msg, sizeof msg), WEIR_GRPC_UNAVAILABLE);
  assert_int_equal(served, 2);
}

static char *slurp(const char *path) {
  char *p = calloc(1, 10000);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  assert_true(fread(p, 1, 9999, f) > 0);
  fclose(f);
  return p;
}

static void certificates_may_be_texts(void **state) {
  struct weir_tls_config s = { .size = sizeof s, .owner = "test" }, c = { .size = sizeof c, .owner = "client" };
  char *pem = slurp(cert("server.pem")), *key = slurp(cert("server.key")), *ca = slurp(cert("ca.pem")), msg[2048];
  (void)state;
  s.cert_pem = pem;
  s.key_pem = key;
  c.ca_pem = ca;
  listen_with(&s);
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_OK);
  free(pem);
  free(key);
  free(ca);
}

static void the_systems_cas_are_openssls(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("other_ca.pem");
  char msg[2048], *folder = getenv("SSL_CERT_DIR") ? strdup(getenv("SSL_CERT_DIR")) : NULL, command[300];
  (void)state;
  listen_with(&s);
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_UNAVAILABLE);
  setenv("SSL_CERT_FILE", cert("ca.pem"), 1);
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_UNAVAILABLE); /* they are not asked for */
  c.flags = WEIR_TLS_SYSTEM_CAS;
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_OK);
  c.flags = 0;
  c.ca_file = NULL;
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_OK);
  unsetenv("SSL_CERT_FILE");
  snprintf(command, sizeof command, "cd %s && mkdir -p cas && cp ca.pem cas/ && openssl rehash cas", certs);
  assert_int_equal(system(command), 0);
  setenv("SSL_CERT_DIR", cert("cas"), 1);
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_OK);
  if (folder) setenv("SSL_CERT_DIR", folder, 1);
  else unsetenv("SSL_CERT_DIR");
  free(folder);
}

static void unix_sockets_speak_it_too(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  struct weir_error err;
  char at[200], msg[2048];
  (void)state;
  snprintf(at, sizeof at, "unix://%.150s", cert("weir.sock"));
  assert_int_equal(try_listen(&s, at, &server, &err), 0);
  c.server_name = "localhost";
  assert_int_equal(call_once(at, &c, msg, sizeof msg), WEIR_GRPC_OK);
  c.server_name = "other.example";
  assert_int_equal(call_once(at, &c, msg, sizeof msg), WEIR_GRPC_UNAVAILABLE);
}

/* --- settings -------------------------------------------------------------------------------------------------- */

static void what_an_engine_can_not_do_is_refused(void **state) {
  static const char *const suites[] = { "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" }, *const p384[] = { "P384" }, *const p256[] = { "P256" };
  static const struct {
    uint32_t min, max;
    const char *const *suites, *const *curves, *field; /* field: that core refuses */
  } cases[] = {
    { 13, 0, NULL, NULL, "tls.min_version" },
    { 0, 12, NULL, NULL, "tls.max_version" },
    { 0, 0, suites, NULL, "tls.cipher_suites" },
    { 0, 0, NULL, p384, "tls.curve_preferences" },
    { 12, 13, NULL, p256, NULL },
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct weir_tls_config s = tls_server("server.pem", "server.key");
    struct weir_error err;
    s.min_version = cases[i].min;
    s.max_version = cases[i].max;
    s.cipher_suites = cases[i].suites;
    s.n_cipher_suites = cases[i].suites != NULL;
    s.curves = cases[i].curves;
    s.n_curves = cases[i].curves != NULL;
    const char *field = is_core(engine) ? cases[i].field : NULL;
    assert_int_equal(try_listen(&s, "127.0.0.1:0", &server, &err), field ? WEIR_E_CONFIG : 0);
    assert_string_equal(err.field, field ? field : "");
    if (field) assert_string_equal(err.hint, "remove it, or use `engine: native`");
    engine->close(server);
    server = NULL;
    s.cert_file = s.key_file = NULL;
    struct weir_grpc_client_config c = { .size = sizeof c, .endpoint = "127.0.0.1:1", .tls = &s };
    struct weir_grpc_client *client = NULL;
    memset(&err, 0, sizeof err);
    field = is_core(caller) ? cases[i].field : NULL;
    assert_int_equal(caller->client_open(&loop, &c, &client, &err), field ? WEIR_E_CONFIG : 0);
    assert_string_equal(err.field, field ? field : "");
    caller->client_close(client);
  }
}

static void unusable_files_have_the_same_sentences(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "client.key");
  struct weir_error err;
  (void)state;
  assert_int_equal(try_listen(&s, "127.0.0.1:0", &server, &err), WEIR_E_CONFIG);
  assert_string_equal(err.field, "tls.key_file");
  assert_non_null(strstr(err.msg, "the key does not match the certificate"));
  s = (struct weir_tls_config){ .size = sizeof s };
  assert_int_equal(try_listen(&s, "127.0.0.1:0", &server, &err), WEIR_E_CONFIG);
  assert_string_equal(err.msg, "a TLS server needs a certificate");
}

/* --- renewal --------------------------------------------------------------------------------------------------- */

static int metric(const char *line) { return metric_shown(env.metrics, line); }

/* Whose certificate the server shows to a new connection. */
static int trusted_by(const char *ca) {
  struct weir_tls_config c = tls_client(ca);
  char msg[2048];
  return call_once("localhost", &c, msg, sizeof msg) == WEIR_GRPC_OK;
}

static void wait_trusted_by(const char *ca) {
  int trusted = 0;
  for (int64_t end = clock_mono_ns() + PATIENCE_NS; !trusted && clock_mono_ns() < end;) trusted = trusted_by(ca);
  assert_true(trusted);
}

static void changed_files_serve_new_connections(void **state) {
  struct weir_tls_config s = tls_server("live/tls.crt", "live/tls.key"), c = tls_client("ca.pem");
  struct outcome o = { 0 };
  (void)state;
  cert_secret("live");
  s.reload_interval_ns = 20 * NS_PER_MS;
  listen_with(&s);
  struct weir_grpc_client *old = connect_to("localhost", &c);
  call(old, &o);
  assert_int_equal(o.code, WEIR_GRPC_OK);
  assert_true(trusted_by("ca.pem"));
  assert_false(trusted_by("other_ca.pem"));
  cert_swap("live", "v2");
  wait_trusted_by("other_ca.pem");
  assert_false(trusted_by("ca.pem"));
  call(old, &o); /* what was open lives on */
  assert_int_equal(o.code, WEIR_GRPC_OK);
  caller->client_close(old);
  assert_true(metric("weir_tls_reload_failures_total{component=\"test\",role=\"server\"} 0"));
  cert_copy("server.pem", "live/v2/tls.crt"); /* without its key: the pair before stays, and it is counted once */
  turn_for_ms(200);
  assert_true(trusted_by("other_ca.pem"));
  assert_true(metric("weir_tls_reload_failures_total{component=\"test\",role=\"server\"} 1"));
  assert_true(metric("weir_tls_certificate_expiry_seconds{component=\"test\",role=\"server\",file="));
  cert_copy("server.key", "live/v2/tls.key");
  wait_trusted_by("ca.pem");
  assert_true(metric("weir_tls_reload_failures_total{component=\"test\",role=\"server\"} 1"));
  outcome_done(&o);
}

static void a_changed_client_ca_counts_for_new_connections(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  char msg[2048];
  uint32_t code = WEIR_GRPC_UNAVAILABLE;
  (void)state;
  cert_copy("ca.pem", "live_ca.pem");
  s.client_ca_file = cert("live_ca.pem");
  s.reload_interval_ns = 20 * NS_PER_MS;
  c.cert_file = cert("client_other.pem");
  c.key_file = cert("client_other.key");
  listen_with(&s);
  assert_int_equal(call_once("localhost", &c, msg, sizeof msg), WEIR_GRPC_UNAVAILABLE);
  cert_copy("other_ca.pem", "live_ca.pem");
  for (int64_t end = clock_mono_ns() + PATIENCE_NS; code && clock_mono_ns() < end;) code = call_once("localhost", &c, msg, sizeof msg);
  assert_int_equal(code, WEIR_GRPC_OK);
}

static void a_client_finds_out_that_it_may_trust(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("live_ca.pem");
  struct outcome o = { 0 };
  (void)state;
  cert_copy("other_ca.pem", "live_ca.pem");
  c.reload_interval_ns = 20 * NS_PER_MS;
  listen_with(&s);
  struct weir_grpc_client *client = connect_to("localhost", &c);
  call(client, &o);
  assert_int_equal(o.code, WEIR_GRPC_UNAVAILABLE);
  cert_copy("ca.pem", "live_ca.pem");
  for (int64_t end = clock_mono_ns() + PATIENCE_NS; o.code && clock_mono_ns() < end; turn_for_ms(5)) call(client, &o);
  assert_int_equal(o.code, WEIR_GRPC_OK);
  caller->client_close(client);
  outcome_done(&o);
}

/* Several renewals, while a call is under way from before the first. */
static void calls_live_through_the_renewal_of_a_client(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("live_ca.pem");
  struct outcome old = { 0 }, o = { 0 };
  struct weir_iov v = { "x", 1 };
  (void)state;
  cert_copy("ca.pem", "live_ca.pem");
  c.reload_interval_ns = 20 * NS_PER_MS;
  listen_with(&s);
  struct weir_grpc_client *client = connect_to("localhost", &c);
  caller->call(client, "/t.Service/Hold", &v, 1, 0, keep_outcome, &old);
  wait_for(&served, 1);
  for (int i = 0; i < 5; i++) {
    cert_copy("ca.pem", "live_ca.pem");
    turn_for_ms(40);
    call(client, &o);
    assert_int_equal(o.code, WEIR_GRPC_OK);
  }
  assert_int_equal(old.done, 0);
  engine->reply(held, &(struct weir_grpc_status){ sizeof(struct weir_grpc_status), WEIR_GRPC_OK, NULL, -1 }, "done", 4);
  wait_for(&old.done, 1);
  assert_int_equal(old.code, WEIR_GRPC_OK);
  caller->client_close(client);
  outcome_done(&old);
  outcome_done(&o);
}

/* As a reload does: the successor joins, the other leaves, or the successor is given up. With core it is one server of gRPC, which has to show another certificate. */
static void a_successor_brings_its_certificate(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), next = tls_server("stranger.pem", "stranger.key"), mutual = s;
  struct weir_grpc_server *first, *second = NULL;
  struct weir_error err;
  (void)state;
  if (!is_core(engine)) return; /* of native, test_listener.c */
  listen_with(&s);
  first = server;
  mutual.client_ca_file = cert("ca.pem");
  assert_int_equal(try_listen(&mutual, "127.0.0.1:0", &second, &err), WEIR_E_CONFIG);
  assert_string_equal(err.field, "tls");
  assert_int_equal(try_listen(NULL, "127.0.0.1:0", &second, &err), WEIR_E_CONFIG);
  assert_non_null(strstr(err.msg, "cannot turn TLS"));
  assert_int_equal(try_listen(&next, "127.0.0.1:0", &second, &err), 0);
  assert_int_equal(engine->port(second), engine->port(first));
  assert_true(trusted_by("other_ca.pem"));
  engine->close(second);
  assert_true(trusted_by("ca.pem"));
  assert_int_equal(try_listen(&next, "127.0.0.1:0", &second, &err), 0);
  engine->close(first);
  server = second;
  assert_true(trusted_by("other_ca.pem"));
  assert_false(trusted_by("ca.pem"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  struct CMUnitTest tests[] = { T(a_certificate_that_does_not_verify_is_told), T(clients_show_a_certificate_where_it_is_asked_for),
    T(certificates_may_be_texts), T(the_systems_cas_are_openssls), T(unix_sockets_speak_it_too), T(what_an_engine_can_not_do_is_refused),
    T(unusable_files_have_the_same_sentences), T(changed_files_serve_new_connections), T(a_changed_client_ca_counts_for_new_connections),
    T(a_client_finds_out_that_it_may_trust), T(calls_live_through_the_renewal_of_a_client), T(a_successor_brings_its_certificate) };
  const struct grpc_engine *core = core_engine();
  const struct pair pairs[] = { { &grpc_native, &grpc_native }, { core, core }, { core, &grpc_native }, { &grpc_native, core } };
  int failed = 0;
  for (size_t e = 0; e < (core ? sizeof pairs / sizeof *pairs : 1); e++) {
    char name[64];
    if (SLOW && pairs[e].server != pairs[e].client) continue;
    snprintf(name, sizeof name, "%s serves %s", pairs[e].server->name, pairs[e].client->name);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tests[i].initial_state = (void *)(uintptr_t)&pairs[e];
    failed += _cmocka_run_group_tests(name, tests, sizeof tests / sizeof *tests, tls_group_setup, tls_group_teardown);
  }
  return failed;
}
