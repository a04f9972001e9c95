/* TLS below the HTTP server and client: who is trusted, what is agreed, what happens to bytes, and renewal. */
#include "tests/unit/core/tls_fixture.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BIG (3u << 20)

/* --- bytes ---------------------------------------------------------------------------------------------- */

static void both_protocols_carry_large_bodies_both_ways(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  char *big = malloc(BIG);
  (void)state;
  assert_non_null(big);
  memset(big, 'x', BIG);
  tls_listen(&s, 0);
  fix.no_trailers = 1;
  for (uint32_t flags = 0; flags <= WEIR_HTTP_H2_ONLY; flags++) {
    struct outcome small = tls_post(&c, flags, NULL, "hello", 5), up = tls_post(&c, flags, NULL, big, BIG);
    assert_int_equal(small.status, 200);
    assert_string_equal(small.body, "hello");
    assert_int_equal(up.status, 200);
    assert_int_equal(up.body_n, BIG);
  }
  assert_non_null(strstr(fix.seen, "POST /x? 11 "));
  assert_non_null(strstr(fix.seen, "POST /x? 20 "));
  free(big);
}

static void records_may_come_byte_by_byte(void **state) {
  struct weir_tls_config s = tls_server("chain.pem", "chain.key"), c = tls_client("ca.pem");
  (void)state;
  tls_listen(&s, 0);
  struct raw *r = raw_new(net_connect(fix.port), 0, &c, TLS_ALPN_HTTP1);
  for (int i = 0; i < 20 && !r->shaken; i++) raw_step(r, 1);
  assert_true(r->shaken);
  assert_int_equal(r->engine->alpn(r->session), TLS_ALPN_HTTP1);
  raw_send(r, 1);
  raw_write(r, "POST /slow HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello", 1);
  TURN_UNTIL((raw_step(r, 1), strstr(r->plain, "hello") != NULL));
  assert_non_null(strstr(r->plain, "HTTP/1.1 200 OK"));
  raw_free(r);
}

/* A peer that reads late: what the socket did not take is encrypted in order, once. */
static void a_slow_reader_gets_every_byte(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  (void)state;
  tls_listen(&s, 0);
  fix.big_reply = BIG;
  struct raw *r = raw_new(net_connect(fix.port), 0, &c, TLS_ALPN_NONE);
  for (int i = 0; i < 50 && !r->shaken; i++) raw_step(r, 4096);
  raw_write(r, "GET /big HTTP/1.1\r\nhost: h\r\n\r\n", 4096);
  for (int i = 0; i < 50; i++) turn(); /* buffers are full now */
  size_t total = 0, header = 0, wrong = 0;
  for (int64_t end = clock_mono_ns() + NET_WAIT_NS; total < BIG && clock_mono_ns() < end;) {
    raw_step(r, 4096);
    char *body = r->plain;
    if (!header) {
      body = strstr(r->plain, "\r\n\r\n");
      if (!body) continue;
      body += 4;
      header = 1;
    }
    for (; body < r->plain + r->plain_n; body++, total++) wrong += *body != (char)('a' + total % 23);
    r->plain_n = 0;
  }
  assert_int_equal(total, BIG);
  assert_int_equal(wrong, 0);
  raw_free(r);
}

/* --- whom to trust ---------------------------------------------------------------------------------------- */

static void a_certificate_that_does_not_verify_is_told(void **state) {
  static const struct {
    const char *cert, *ca, *name, *host, *want; /* want NULL: it verifies */
  } cases[] = {
    { "server", "ca.pem", NULL, "localhost", NULL },
    { "server", "ca.pem", NULL, "127.0.0.1", NULL },
    { "chain", "ca.pem", NULL, "localhost", NULL },
    { "self", "self.pem", NULL, "localhost", NULL },
    { "wrong_name", "ca.pem", "wrong.example", "localhost", NULL },
    { "expired", "ca.pem", NULL, "localhost", "certificate has expired (on 2021-01-01T00:00:00Z)" },
    { "wrong_name", "ca.pem", NULL, "localhost", "hostname mismatch: the certificate is for wrong.example, not for localhost" },
    { "wrong_name", "ca.pem", NULL, "127.0.0.1", "hostname mismatch: the certificate is for wrong.example, not for 127.0.0.1" },
    { "server", "ca.pem", "other.example", "localhost", "not for other.example" },
    { "self", "ca.pem", NULL, "localhost", "self-signed certificate" },
    { "stranger", "ca.pem", NULL, "localhost", "unable to get local issuer certificate (/CN=stranger); see ca_file" },
    { "server", NULL, NULL, "localhost", "unable to get local issuer certificate" }, /* the system's CAs do not know it */
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char pem[32], key[32], at[64];
    snprintf(pem, sizeof pem, "%s.pem", cases[i].cert);
    snprintf(key, sizeof key, "%s.key", cases[i].cert);
    struct weir_tls_config s = tls_server(pem, key), c = tls_client("ca.pem");
    c.ca_file = cases[i].ca ? cert(cases[i].ca) : NULL;
    c.server_name = cases[i].name;
    tls_listen(&s, 0);
    snprintf(at, sizeof at, "%s:%d", cases[i].host, fix.port);
    struct outcome o = tls_post(&c, 0, at, "x", 1);
    if (cases[i].want && !strstr(o.err, cases[i].want)) print_error("case %zu: %s\n", i, o.err);
    if (!cases[i].want && o.status != 200) print_error("case %zu: %s\n", i, o.err);
    assert_int_equal(o.status, cases[i].want ? 0 : 200);
    if (cases[i].want) assert_non_null(strstr(o.err, cases[i].want));
    c.flags = WEIR_TLS_SKIP_VERIFY;
    assert_int_equal(tls_post(&c, 0, at, "x", 1).status, 200);
    if (cases[i].want) assert_true(fix_metric("weir_http_refused_total{server=\"test\",reason=\"tls\"} 1"));
    fix_close();
  }
  fix_open_loop(0);
}

static void clients_show_a_certificate_where_it_is_asked_for(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  (void)state;
  s.client_ca_file = cert("ca.pem");
  for (uint32_t max = 12; max <= 13; max++) {
    c.max_version = max;
    for (uint32_t flags = 0; flags <= WEIR_HTTP_H2_ONLY; flags++) {
      tls_listen(&s, flags);
      c.cert_file = cert("client.pem");
      c.key_file = cert("client.key");
      assert_int_equal(tls_post(&c, flags, NULL, "x", 1).status, 200);
      assert_int_equal(tls_post(&c, flags, NULL, "x", 1).status, 200);
      c.cert_file = c.key_file = NULL;
      struct outcome none = tls_post(&c, flags, NULL, "x", 1);
      assert_int_equal(none.status, 0);
      assert_non_null(strstr(none.err, max == 13 ? "asks for a client certificate" : "the peer refused"));
      c.cert_file = cert("client_other.pem");
      c.key_file = cert("client_other.key");
      struct outcome other = tls_post(&c, flags, NULL, "x", 1);
      if (!strstr(other.err, "the peer refused: ")) print_error("TLS 1.%u: %s\n", max - 10, other.err);
      assert_int_equal(other.status, 0);
      assert_non_null(strstr(other.err, "the peer refused: "));
      assert_int_equal(fix.n_requests, 2);
      assert_true(fix_metric("weir_http_refused_total{server=\"test\",reason=\"tls\"} 2"));
      fix_close();
    }
  }
  fix_open_loop(0);
}

/* --- what is agreed ------------------------------------------------------------------------------------------ */

static void versions_and_suites_are_kept(void **state) {
  static const char *const suites[] = { "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256" }, *const curves[] = { "P256" };
  /* A hello of TLS 1.1: record, handshake, version 3.2, random, no session, one suite, no compression. */
  static const unsigned char hello[] = { 22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27, 28, 29, 30, 31, 0, 0, 2, 0xc0, 0x13, 1, 0 };
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  (void)state;
  tls_listen(&s, 0);
  struct net_peer old;
  net_peer_init(&old, net_connect(fix.port));
  assert_int_equal(send(old.fd, hello, sizeof hello, 0), sizeof hello);
  TURN_UNTIL(net_eof(&old));
  assert_int_equal(old.n, 7);
  assert_int_equal(old.got[0], 21); /* alert, fatal, protocol_version */
  assert_int_equal(old.got[6], 70);
  net_peer_done(&old);
  c.max_version = 12;
  c.cipher_suites = suites;
  c.n_cipher_suites = 2;
  c.curves = curves;
  c.n_curves = 1;
  assert_int_equal(tls_post(&c, 0, NULL, "x", 1).status, 200);
  fix_close();
  s.min_version = 13;
  tls_listen(&s, 0);
  struct outcome o = tls_post(&c, 0, NULL, "x", 1);
  assert_non_null(strstr(o.err, "the peer refused: tlsv1 alert protocol version"));
}

/* How a client with this offer fares: what was agreed, or -1 when it was turned away. */
static int offer(uint32_t alpn) {
  struct weir_tls_config c = tls_client("ca.pem");
  struct raw *r = raw_new(net_connect(fix.port), 0, &c, alpn);
  for (int i = 0; i < 200 && !r->failed && !r->closed && !net_eof(&r->net) && !(i > 50 && r->shaken); i++) raw_step(r, 4096);
  int agreed = r->shaken && !r->failed && !r->closed && !net_eof(&r->net) ? (int)r->engine->alpn(r->session) : -1;
  raw_free(r);
  return agreed;
}

static void protocols_are_agreed_by_alpn(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  (void)state;
  tls_listen(&s, 0);
  assert_int_equal(offer(TLS_ALPN_H2 | TLS_ALPN_HTTP1), TLS_ALPN_H2);
  assert_int_equal(offer(TLS_ALPN_HTTP1), TLS_ALPN_HTTP1);
  assert_int_equal(offer(TLS_ALPN_NONE), TLS_ALPN_NONE);
  fix_close();
  tls_listen(&s, WEIR_HTTP_H2_ONLY);
  assert_int_equal(offer(TLS_ALPN_H2 | TLS_ALPN_HTTP1), TLS_ALPN_H2);
  assert_int_equal(offer(TLS_ALPN_HTTP1), -1);
  assert_int_equal(offer(TLS_ALPN_NONE), -1);
  assert_true(fix_metric("weir_http_refused_total{server=\"test\",reason=\"tls\"} 2"));
  assert_int_equal(tls_post(&c, WEIR_HTTP_H2_ONLY, NULL, "x", 1).status, 200);
}

/* A server that agrees on nothing is no gRPC server. */
static void a_client_for_http2_insists_on_it(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  struct weir_error err = { 0 };
  struct weir_http_client *client;
  struct outcome o = { 0 };
  char at[64];
  int fd = -1, port, listening = net_listen(&port);
  (void)state;
  fix_open_loop(0);
  snprintf(at, sizeof at, "127.0.0.1:%d", port);
  struct weir_http_client_config cfg = { .size = sizeof cfg, .flags = WEIR_HTTP_H2_ONLY, .endpoint = at, .tls = &c };
  assert_int_equal(http_client_open(&fix.loop, &cfg, &client, &err), 0);
  struct weir_http_call_config call = { .method = "POST", .path = "/", .on_response = on_outcome, .arg = &o };
  http_call(client, &call);
  TURN_UNTIL((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0);
  struct raw *r = raw_new(fd, 1, &s, TLS_ALPN_NONE);
  TURN_UNTIL((raw_step(r, 4096), o.done));
  assert_non_null(strstr(o.err, "the server does not agree on HTTP/2 (ALPN h2), which gRPC needs"));
  raw_free(r);
  http_client_close(client);
  for (int i = 0; i < 10; i++) turn();
  close(listening);
}

/* --- rude ends --------------------------------------------------------------------------------------------- */

static void handshakes_that_stand_still_end(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  struct weir_http_server_config cfg = fix_config();
  int port, listening = net_listen(&port);
  char at[64];
  (void)state;
  cfg.tls = &s;
  cfg.read_header_timeout_ns = 100 * NS_PER_MS;
  fix_open(&cfg, 0);
  struct net_peer quiet, half;
  net_peer_init(&quiet, net_connect(fix.port));
  net_peer_init(&half, net_connect(fix.port));
  assert_int_equal(send(half.fd, "\x16\x03\x01\x02\x00\x01\x00", 7, 0), 7);
  TURN_UNTIL(net_eof(&quiet) && net_eof(&half));
  net_peer_done(&quiet);
  net_peer_done(&half);
  snprintf(at, sizeof at, "127.0.0.1:%d", port); /* takes connections and says nothing */
  struct outcome o = tls_post(&c, 0, at, "x", 1);
  assert_non_null(strstr(o.err, "no connection within the connect time-out: the TLS handshake stands still"));
  close(listening);
}

/* An answer that lasts until the connection ends is whole with close_notify, and cut without. */
static void an_end_without_close_notify_is_a_cut(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  struct weir_error err = { 0 };
  char at[64];
  int port, listening = net_listen(&port);
  (void)state;
  fix_open_loop(0);
  snprintf(at, sizeof at, "localhost:%d", port);
  for (int notify = 0; notify < 2; notify++) {
    struct weir_http_client *client;
    struct outcome o = { 0 };
    struct weir_http_client_config cfg = { .size = sizeof cfg, .endpoint = at, .tls = &c };
    assert_int_equal(http_client_open(&fix.loop, &cfg, &client, &err), 0);
    struct weir_http_call_config call = { .method = "POST", .path = "/", .on_response = on_outcome, .arg = &o };
    http_call(client, &call);
    int fd = -1;
    TURN_UNTIL((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    struct raw *r = raw_new(fd, 1, &s, TLS_ALPN_HTTP1);
    TURN_UNTIL((raw_step(r, 4096), strstr(r->plain, "POST / HTTP/1.1") != NULL));
    raw_write(r, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\npart", 4096);
    struct tls_wire w = { NULL, 0, &r->out };
    if (notify) r->engine->close(r->session, &w);
    raw_send(r, 4096);
    raw_free(r);
    TURN_UNTIL(o.done);
    assert_int_equal(o.status, notify ? 200 : 0);
    if (notify) assert_string_equal(o.body, "part");
    else if (!strstr(o.err, "close_notify")) print_error("%s\n", o.err);
    if (!notify) assert_non_null(strstr(o.err, "without TLS close_notify"));
    http_client_close(client);
    for (int i = 0; i < 10; i++) turn();
  }
  close(listening);
}

static void a_server_says_close_notify(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  (void)state;
  tls_listen(&s, 0);
  struct raw *r = raw_new(net_connect(fix.port), 0, &c, TLS_ALPN_HTTP1);
  for (int i = 0; i < 50 && !r->shaken; i++) raw_step(r, 4096);
  raw_write(r, "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", 4096);
  TURN_UNTIL((raw_step(r, 4096), r->closed));
  assert_non_null(strstr(r->plain, "200 OK"));
  raw_free(r);
}

static void plaintext_on_a_tls_port_is_told(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  struct net_peer p;
  (void)state;
  tls_listen(&s, 0);
  fix_text(&p, "GET / HTTP/1.1\r\nhost: h\r\n\r\n", NULL);
  assert_non_null(strstr(p.got, "400 Bad Request"));
  assert_non_null(strstr(p.got, "content-type: text/plain"));
  assert_non_null(strstr(p.got, "use https://"));
  net_peer_done(&p);
  fix_text(&p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NULL);
  assert_int_equal(p.n, 0);
  net_peer_done(&p);
  assert_true(fix_metric("weir_http_refused_total{server=\"test\",reason=\"tls\"} 2"));
  net_peer_init(&p, net_connect(fix.port)); /* a probe that connects and leaves is no failure */
  turn();
  net_peer_done(&p);
  for (int i = 0; i < 10; i++) turn();
  assert_true(fix_metric("weir_http_refused_total{server=\"test\",reason=\"tls\"} 2"));
  fix_close();
  struct weir_http_server_config plain = fix_config();
  fix_open(&plain, 0);
  struct outcome o = tls_post(&c, 0, NULL, "x", 1);
  assert_non_null(strstr(o.err, "the peer does not speak TLS here (plaintext?)"));
}

static void damaged_records_end_the_connection(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  (void)state;
  tls_listen(&s, 0);
  struct raw *r = raw_new(net_connect(fix.port), 0, &c, TLS_ALPN_HTTP1);
  for (int i = 0; i < 50 && !r->shaken; i++) raw_step(r, 4096);
  raw_send(r, 4096);
  struct tls_wire w = { NULL, 0, &r->out };
  const char *request = "GET /good HTTP/1.1\r\nhost: h\r\n\r\n";
  r->engine->write(r->session, &w, request, strlen(request));
  size_t whole = r->out.n;
  r->engine->write(r->session, &w, request, strlen(request));
  r->out.p[whole + 10] = (char)(r->out.p[whole + 10] ^ 1);
  raw_send(r, 65536); /* a good record and a bad one in one piece: the good one counts */
  TURN_UNTIL((raw_step(r, 4096), net_eof(&r->net)));
  assert_int_equal(fix.n_requests, 1);
  raw_free(r);
}

/* --- files -------------------------------------------------------------------------------------------------- */

static void good_settings_are_checked_and_nothing_is_kept(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key");
  struct weir_error err = { 0 };
  (void)state;
  fix_open_loop(0);
  assert_int_equal(tls_check(1, &s, &err), 0);
  assert_int_equal(tls_check(1, NULL, &err), 0);
  assert_false(fix_metric("weir_tls_certificate_expiry_seconds"));
}

static void wrong_settings_have_sentences(void **state) {
  static const char *const bad_name[] = { "TLS_NO_SUCH" };
  const struct {
    struct weir_tls_config c;
    int server;
    const char *field, *want;
  } cases[] = {
    { { .cert_file = "/nowhere/cert.pem", .key_file = cert("server.key") }, 1, "tls.cert_file", "cert_file /nowhere/cert.pem: No such file or directory" },
    { { .cert_file = cert("server.pem"), .key_file = certs }, 1, "tls.key_file", "it is no file" },
    { { .cert_file = cert("server.key"), .key_file = cert("server.key") }, 1, "tls.cert_file", "there is no PEM certificate" },
    { { .cert_file = cert("server.pem"), .key_file = cert("server.pem") }, 1, "tls.key_file", "there is no PEM private key" },
    { { .cert_file = cert("server.pem"), .key_file = cert("client.key") }, 1, "tls.key_file", "the key does not match the certificate" },
    { { .cert_file = cert("server.pem"), .key_file = cert("encrypted.key") }, 1, "tls.key_file", "the key is encrypted" },
    { { .cert_file = cert("server.pem") }, 1, "tls.cert_file", "a certificate and its key belong together" },
    { { .owner = NULL }, 1, "tls.cert_file", "a TLS server needs a certificate" },
    { { .cert_file = "a", .cert_pem = "b" }, 1, "tls.cert_pem", "provide either cert_file or cert_pem, not both" },
    { { .ca_pem = "no pem" }, 0, "tls.ca_pem", "ca_pem: there is no PEM certificate" },
    { { .ca_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" }, 0, "tls.ca_pem", "ca_pem: " },
    { { .min_version = 13, .max_version = 12 }, 0, "tls.max_version", "max_version is below min_version" },
    { { .cipher_suites = bad_name, .n_cipher_suites = 1 }, 0, "tls.cipher_suites", "`TLS_NO_SUCH` is no cipher suite" },
    { { .curves = bad_name, .n_curves = 1 }, 0, "tls.curve_preferences", "`TLS_NO_SUCH` is no curve" },
  };
  (void)state;
  fix_open_loop(0);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct weir_error err = { 0 };
    struct tls_use use = { 0 };
    struct weir_tls_config c = cases[i].c;
    c.size = sizeof c;
    assert_int_equal(tls_use_begin(&use, &fix.loop, cases[i].server, &c, &err), WEIR_E_CONFIG);
    if (!strstr(err.msg, cases[i].want) || strcmp(err.field, cases[i].field) != 0) print_error("case %zu: %s: %s\n", i, err.field, err.msg);
    assert_string_equal(err.field, cases[i].field);
    assert_non_null(strstr(err.msg, cases[i].want));
    struct weir_error before = { 0 };
    assert_int_equal(tls_check(cases[i].server, &c, &before), WEIR_E_CONFIG);
    assert_string_equal(before.field, err.field);
    assert_string_equal(before.msg, err.msg);
  }
}

/* The serial number tells which certificate the server shows. */
static int trusted_by(const char *ca) {
  struct weir_tls_config c = tls_client(ca);
  return tls_post(&c, 0, NULL, "x", 1).status == 200;
}

static void turn_for(int64_t ns) {
  for (int64_t end = clock_mono_ns() + ns; clock_mono_ns() < end;) turn();
}

static void changed_files_serve_new_connections(void **state) {
  struct weir_tls_config s = tls_server("live/tls.crt", "live/tls.key"), c = tls_client("ca.pem");
  (void)state;
  cert_secret("live");
  s.reload_interval_ns = 20 * NS_PER_MS;
  tls_listen(&s, 0);
  struct raw *old = raw_new(net_connect(fix.port), 0, &c, TLS_ALPN_HTTP1);
  for (int i = 0; i < 50 && !old->shaken; i++) raw_step(old, 4096);
  assert_true(trusted_by("ca.pem"));
  assert_false(trusted_by("other_ca.pem"));
  cert_swap("live", "v2");
  TURN_UNTIL(trusted_by("other_ca.pem"));
  assert_false(trusted_by("ca.pem"));
  raw_write(old, "GET /still HTTP/1.1\r\nhost: h\r\n\r\n", 4096); /* what was open lives on */
  TURN_UNTIL((raw_step(old, 4096), strstr(old->plain, "200 OK") != NULL));
  raw_free(old);
  assert_true(fix_metric("weir_tls_reload_failures_total{component=\"test\",role=\"server\"} 0"));
  cert_copy("server.pem", "live/v2/tls.crt"); /* without its key: the pair before stays, and it is counted once */
  turn_for(200 * NS_PER_MS);
  assert_true(trusted_by("other_ca.pem"));
  assert_true(fix_metric("weir_tls_reload_failures_total{component=\"test\",role=\"server\"} 1"));
  cert_copy("server.key", "live/v2/tls.key");
  TURN_UNTIL(trusted_by("ca.pem"));
  assert_true(fix_metric("weir_tls_reload_failures_total{component=\"test\",role=\"server\"} 1"));
}

static void a_changed_ca_counts_for_new_connections(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), c = tls_client("ca.pem");
  (void)state;
  cert_copy("ca.pem", "live_ca.pem");
  s.client_ca_file = cert("live_ca.pem");
  s.reload_interval_ns = 20 * NS_PER_MS;
  c.cert_file = cert("client_other.pem");
  c.key_file = cert("client_other.key");
  tls_listen(&s, 0);
  assert_int_equal(tls_post(&c, 0, NULL, "x", 1).status, 0);
  cert_copy("other_ca.pem", "live_ca.pem");
  TURN_UNTIL(tls_post(&c, 0, NULL, "x", 1).status == 200);
}

static void users_of_the_same_settings_share_a_context(void **state) {
  struct weir_tls_config s = tls_server("server.pem", "server.key"), other;
  struct tls_use a = { 0 }, b = { 0 }, d = { 0 };
  struct weir_error err;
  char want[200];
  (void)state;
  fix_open_loop(0);
  other = s;
  other.min_version = 13;
  assert_int_equal(tls_use_begin(&a, &fix.loop, 1, &s, &err), 0);
  assert_int_equal(tls_use_begin(&b, &fix.loop, 1, &s, &err), 0);
  assert_int_equal(tls_use_begin(&d, &fix.loop, 1, &other, &err), 0);
  assert_ptr_equal(a.context, b.context);
  assert_ptr_not_equal(a.context, d.context);
  int64_t soon = clock_unix_ns() / NS_PER_S + 2 * 86400;
  snprintf(want, sizeof want, "weir_tls_certificate_expiry_seconds{component=\"test\",role=\"server\",file=\"%s\"} %.4s", s.cert_file, (char[24]){ 0 });
  char digits[24];
  snprintf(digits, sizeof digits, "%lld", (long long)soon);
  snprintf(want + strlen(want), sizeof want - strlen(want), "%.5s", digits); /* not twice, thrice */
  assert_true(fix_metric(want));
  tls_use_end(&a);
  tls_use_end(&b);
  assert_true(fix_metric(want)); /* the third shows it now */
  tls_use_end(&d);
}

/* --- the program ------------------------------------------------------------------------------------------------- */

/* Whether a weir that runs this configuration has libssl or libcrypto mapped; -1 when it did not come up. */
static int maps_openssl(const char *http) {
  const char *build = getenv("WEIR_BUILD");
  char weir[200], yaml[900], maps[40], line[512];
  int out[2], found = 0, up = 0;
  snprintf(weir, sizeof weir, "%s/weir", build ? build : "build");
  snprintf(yaml, sizeof yaml, "yaml:{receivers: {otlp: {protocols: {http: %s}}}, exporters: {nop: {}}, service: {telemetry: {metrics: {level: none}}, "
    "pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}}", http);
  assert_int_equal(pipe(out), 0);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(out[1], 2);
    execl(weir, weir, "run", "--config", yaml, (char *)NULL);
    _exit(127);
  }
  close(out[1]);
  FILE *f = fdopen(out[0], "r");
  while (!up && fgets(line, sizeof line, f)) up = strstr(line, "Everything is ready") != NULL;
  snprintf(maps, sizeof maps, "/proc/%d/maps", (int)pid);
  FILE *m = fopen(maps, "r");
  while (m && fgets(line, sizeof line, m)) found |= strstr(line, "libssl") || strstr(line, "libcrypto") || strstr(line, "engines/tls.so");
  if (m) fclose(m);
  kill(pid, SIGTERM);
  waitpid(pid, NULL, 0);
  fclose(f);
  return up ? found : -1;
}

static void openssl_is_loaded_with_the_first_use_alone(void **state) {
  char http[400];
  (void)state;
  fix_open_loop(0);
  assert_int_equal(maps_openssl("{endpoint: 127.0.0.1:0}"), 0);
  snprintf(http, sizeof http, "{endpoint: 127.0.0.1:0, tls: {cert_file: %s/server.pem, key_file: %s/server.key}}", certs, certs);
  assert_int_equal(maps_openssl(http), 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, fix_teardown)
  const struct CMUnitTest tests[] = {
    TEST(openssl_is_loaded_with_the_first_use_alone),
    TEST(both_protocols_carry_large_bodies_both_ways),
    TEST(records_may_come_byte_by_byte),
    TEST(a_slow_reader_gets_every_byte),
    TEST(a_certificate_that_does_not_verify_is_told),
    TEST(clients_show_a_certificate_where_it_is_asked_for),
    TEST(versions_and_suites_are_kept),
    TEST(protocols_are_agreed_by_alpn),
    TEST(a_client_for_http2_insists_on_it),
    TEST(handshakes_that_stand_still_end),
    TEST(an_end_without_close_notify_is_a_cut),
    TEST(a_server_says_close_notify),
    TEST(plaintext_on_a_tls_port_is_told),
    TEST(damaged_records_end_the_connection),
    TEST(good_settings_are_checked_and_nothing_is_kept),
    TEST(wrong_settings_have_sentences),
    TEST(changed_files_serve_new_connections),
    TEST(a_changed_ca_counts_for_new_connections),
    TEST(users_of_the_same_settings_share_a_context),
  };
  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, tls_group_setup, tls_group_teardown);
}
