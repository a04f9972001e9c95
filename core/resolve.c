#include "core/resolve.h"

#include <ares.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "core/assert.h"
#include "core/clock.h"

#define TRY_MS 2000 /* a lost datagram is sent again; the caller bounds the whole */
#define TRIES 2

struct watch;

struct resolve {
  struct loop *loop;
  ares_channel channel;
  struct watch *watches;
  struct timer timer;
  struct defer tell;
  resolve_f *fn;
  void *arg;
  int port, cancelled;
  const char *why;
  int64_t ttl_s;
  uint32_t n;
  struct sockaddr_storage list[RESOLVE_MAX];
};

/* One socket of c-ares. */
struct watch {
  uv_poll_t poll;
  struct resolve *resolve;
  struct watch *next;
  ares_socket_t fd;
};

static void rearm(struct resolve *r) {
  struct timeval tv, *next = ares_timeout(r->channel, NULL, &tv);
  if (next) timer_set(r->loop, &r->timer, (int64_t)next->tv_sec * NS_PER_S + (int64_t)next->tv_usec * 1000);
  else timer_cancel(r->loop, &r->timer);
}

static void on_timer(void *arg) {
  struct resolve *r = arg;
  ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  rearm(r);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct watch *w = poll->data;
  struct resolve *r = w->resolve;
  ares_socket_t fd = w->fd, none = ARES_SOCKET_BAD; /* w may go in there */
  if (status < 0) events = UV_READABLE | UV_WRITABLE; /* c-ares finds the error by itself */
  ares_process_fd(r->channel, events & UV_READABLE ? fd : none, events & UV_WRITABLE ? fd : none);
  rearm(r);
}

static void on_watch_closed(uv_handle_t *h) { free(h->data); }

static struct watch *watch_of(struct resolve *r, ares_socket_t fd) {
  for (struct watch *w = r->watches; w; w = w->next)
    if (w->fd == fd) return w;
  struct watch *w = calloc(1, sizeof *w);
  WEIR_ASSERT(w != NULL);
  w->resolve = r;
  w->fd = fd;
  w->poll.data = w;
  if (uv_poll_init_socket(&r->loop->uv, &w->poll, fd)) {
    free(w);
    return NULL; /* the query times out */
  }
  w->next = r->watches;
  r->watches = w;
  return w;
}

/* Neither: c-ares closes the socket next. */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable) {
  struct resolve *r = arg;
  struct watch *w = watch_of(r, fd);
  if (!w) return;
  if (readable || writable) {
    uv_poll_start(&w->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
    return;
  }
  for (struct watch **at = &r->watches; *at; at = &(*at)->next)
    if (*at == w) {
      *at = w->next;
      break;
    }
  uv_poll_stop(&w->poll);
  uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

/* A copy, as c-ares frees its own; the port goes in. */
static int take_address(const struct ares_addrinfo_node *node, int port, struct sockaddr_storage *to) {
  memset(to, 0, sizeof *to);
  if (node->ai_addrlen > sizeof *to) return 0;
  memcpy(to, node->ai_addr, node->ai_addrlen);
  if (node->ai_family == AF_INET) ((struct sockaddr_in *)to)->sin_port = htons((uint16_t)port);
  else if (node->ai_family == AF_INET6) ((struct sockaddr_in6 *)to)->sin6_port = htons((uint16_t)port);
  else return 0;
  return 1;
}

static int has_address(const struct resolve *r, const struct sockaddr_storage *a) {
  for (uint32_t i = 0; i < r->n; i++)
    if (memcmp(&r->list[i], a, sizeof *a) == 0) return 1;
  return 0;
}

static void on_result(void *arg, int status, int timeouts, struct ares_addrinfo *res) {
  struct resolve *r = arg;
  (void)timeouts;
  if (r->cancelled) {
    if (res) ares_freeaddrinfo(res);
    return;
  }
  for (const struct ares_addrinfo_node *node = res ? res->nodes : NULL; node && r->n < RESOLVE_MAX; node = node->ai_next) {
    if (!take_address(node, r->port, &r->list[r->n]) || has_address(r, &r->list[r->n])) continue;
    r->n++;
    if (node->ai_ttl > 0 && (!r->ttl_s || node->ai_ttl < r->ttl_s)) r->ttl_s = node->ai_ttl;
  }
  if (res) ares_freeaddrinfo(res);
  r->why = status == ARES_SUCCESS ? "it has no address" : ares_strerror(status);
  loop_defer(r->loop, &r->tell); /* the channel can not be destroyed inside of its own callback */
}

static void tell(void *arg) {
  struct resolve *r = arg;
  r->cancelled = 1;
  timer_cancel(r->loop, &r->timer);
  ares_destroy(r->channel);
  r->fn(r->arg, r->list, r->n, r->ttl_s, r->n ? NULL : r->why);
  free(r);
}

static int open_channel(struct resolve *r, const char *server) {
  struct ares_options o = { .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket, .sock_state_cb_data = r };
  int status = ares_init_options(&r->channel, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status) return status;
  status = server ? ares_set_servers_ports_csv(r->channel, server) : ARES_SUCCESS;
  if (status) ares_destroy(r->channel);
  return status;
}

struct resolve *resolve_start(struct loop *loop, const char *host, int port, const char *server, resolve_f *fn, void *arg, const char **ret_why) {
  struct resolve *r = calloc(1, sizeof *r);
  struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
  WEIR_ASSERT(r != NULL);
  r->loop = loop;
  r->port = port;
  r->fn = fn;
  r->arg = arg;
  r->timer.fn = on_timer;
  r->timer.arg = r;
  r->tell.fn = tell;
  r->tell.arg = r;
  int status = open_channel(r, server);
  if (status) {
    *ret_why = ares_strerror(status);
    free(r);
    return NULL;
  }
  ares_getaddrinfo(r->channel, host, NULL, &hints, on_result, r);
  if (!r->tell.pending) rearm(r);
  return r;
}

void resolve_cancel(struct resolve *r) {
  if (!r) return;
  r->cancelled = 1;
  timer_cancel(r->loop, &r->timer);
  loop_cancel(r->loop, &r->tell);
  ares_destroy(r->channel);
  free(r);
}
