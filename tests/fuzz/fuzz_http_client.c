/* Responses to the HTTP client, both versions: any bytes behind one connection that has two or three calls. Each call must be told its end, once. */
#include <arpa/inet.h>
#include <stdio.h>

#include "core/http_call.h"
#include "tests/fuzz/http_fuzz.h"

#define HTTP2 1u
#define WITH_BODY 2u
#define HEAD 4u
#define ENDS 8u /* the peer closes at the end; else the client does */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct weir_http_client *client;
static struct http_link *peer;
static int listening, fd, n_told;
static char endpoint[40];

static void on_response(void *arg, const struct weir_http_response *r) {
  (void)arg;
  n_told++;
  WEIR_ASSERT(r->status != 0 || r->err != NULL);
  fuzz_read_headers(r->headers, r->n_headers);
  fuzz_read_headers(r->trailers, r->n_trailers);
  if (r->body) fuzz_read_all(r->body->p, r->body->n);
}

static void close_loop(void) {
  close(listening);
  for (int i = 0; i < 20; i++) loop_run_once(&fuzz_loop);
  loop_done(&fuzz_loop);
  listeners_free(fuzz_env.listeners);
}

static void open_listener(void) {
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t len = sizeof in;
  fuzz_open_loop();
  listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  WEIR_ASSERT(listening >= 0 && bind(listening, (struct sockaddr *)&in, sizeof in) == 0 && listen(listening, 64) == 0);
  WEIR_ASSERT(getsockname(listening, (struct sockaddr *)&in, &len) == 0);
  snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", ntohs(in.sin_port));
  atexit(close_loop);
}

/* With a reset, so that no port stays behind in TIME_WAIT. */
static void hang_up(int s) {
  struct linger now = { 1, 0 };
  setsockopt(s, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(s);
}

static void call(unsigned switches) {
  static const char text[] = "hello";
  static const struct weir_iov body = { text, 5 };
  struct weir_http_call_config c = { .method = switches & HEAD ? "HEAD" : "POST", .path = "/", .body = &body, .n_body = switches & WITH_BODY ? 1 : 0,
    .on_response = on_response };
  http_call(client, &c);
}

static void begin(unsigned switches) {
  struct weir_error err = { 0 };
  struct weir_http_client_config c = { .size = sizeof c, .flags = switches & HTTP2 ? WEIR_HTTP_H2_ONLY : 0, .endpoint = endpoint, .max_response_bytes = 1000,
    .max_connections = 1 };
  WEIR_ASSERT(http_client_open(&fuzz_loop, &c, &client, &err) == 0);
  for (int i = 0; i < 3; i++) call(switches);
  fd = -1;
  for (int i = 0; i < FUZZ_TURNS && (fd < 0 || !client->links || client->links->state != LINK_READY); i++) {
    loop_run_once(&fuzz_loop);
    if (fd < 0) fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
  }
  peer = client->links;
  WEIR_ASSERT(fd >= 0 && peer && peer->state == LINK_READY);
  loop_run_once(&fuzz_loop); /* the requests go out */
}

static int is_up(void) {
  for (struct http_link *l = client->links; l; l = l->next)
    if (l == peer) return l->state == LINK_READY && l->io.reading;
  return 0;
}

static void give(const char *p, size_t n) {
  if (!is_up()) return;
  peer->io.ops->on_read(&peer->io, p, n);
  loop_run_once(&fuzz_loop);
  fuzz_swallow(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  if (!listening) open_listener();
  n_told = 0;
  begin(data[1]);
  fuzz_give(data + 2, size - 2, data[0], give);
  if (data[1] & ENDS && is_up()) peer->io.ops->on_end(&peer->io, 0);
  http_client_close(client);
  hang_up(fd);
  for (int i = 0; i < 20; i++) {
    loop_run_once(&fuzz_loop);
    int more = accept4(listening, NULL, NULL, SOCK_CLOEXEC); /* for calls that the first connection did not end */
    if (more >= 0) hang_up(more);
  }
  WEIR_ASSERT(n_told == 3 && atomic_load(&fuzz_env.budget.used) == 0);
  return 0;
}
