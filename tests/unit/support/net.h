/*
 * tests/unit/support/net.h - loopback sockets against a loop in the same thread: raw bytes in, raw bytes out, bounded waits.
 */
#ifndef TESTS_UNIT_SUPPORT_NET_H
#define TESTS_UNIT_SUPPORT_NET_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/clock.h"
#include "core/loop.h"

#define NET_WAIT_NS (5 * NS_PER_S)

/* What a socket received so far, NUL-terminated. */
struct net_peer {
  int fd, eof;
  char *got;
  size_t n, cap;
};

static inline void net_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static inline int net_connect(int port) {
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  WEIR_ASSERT(fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof in) == 0);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  net_nonblocking(fd);
  return fd;
}

/* A listening socket on a free port of 127.0.0.1, for tests that play the server. */
static inline int net_listen(int *ret_port) {
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t len = sizeof in;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  WEIR_ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof in) == 0 && listen(fd, 64) == 0);
  WEIR_ASSERT(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
  *ret_port = ntohs(in.sin_port);
  return fd;
}

static inline void net_peer_init(struct net_peer *p, int fd) {
  memset(p, 0, sizeof *p);
  p->fd = fd;
  p->cap = 4096;
  p->got = calloc(1, p->cap);
  WEIR_ASSERT(p->got != NULL);
}

static inline void net_peer_done(struct net_peer *p) {
  if (p->fd >= 0) close(p->fd);
  free(p->got);
  memset(p, 0, sizeof *p);
  p->fd = -1;
}

/* Reads what is there now. */
static inline void net_read(struct net_peer *p) {
  while (!p->eof) {
    if (p->cap - p->n < 2048) {
      p->got = realloc(p->got, p->cap *= 2);
      WEIR_ASSERT(p->got != NULL);
    }
    ssize_t n = recv(p->fd, p->got + p->n, p->cap - p->n - 1, 0);
    if (n > 0) p->n += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR)) p->eof = 1;
    else break;
  }
  p->got[p->n] = 0;
}

/* Runs the loop once and waits a moment when nothing is ready. */
static inline void net_turn(struct loop *loop) {
  loop_run_once(loop);
  struct pollfd pfd = { uv_backend_fd(&loop->uv), POLLIN, 0 };
  poll(&pfd, 1, loop->step_head ? 0 : 1);
}

/* Runs the loop until `condition` holds, for at most 5 s of real time. */
#define NET_UNTIL(loop, condition)                                                        \
  do {                                                                                    \
    struct timespec net_t0, net_t1;                                                       \
    clock_gettime(CLOCK_MONOTONIC, &net_t0);                                              \
    while (!(condition)) {                                                                \
      net_turn(loop);                                                                     \
      clock_gettime(CLOCK_MONOTONIC, &net_t1);                                            \
      if (net_t1.tv_sec - net_t0.tv_sec > 5) {                                            \
        print_error("%s:%d: waited 5 s for: %s\n", __FILE__, __LINE__, #condition);       \
        fail();                                                                           \
      }                                                                                   \
    }                                                                                     \
  } while (0)

/* Sends everything, running the loop while the socket is full. Returns 0 when the peer has closed. */
static inline int net_send(struct loop *loop, struct net_peer *p, const void *data, size_t n) {
  const char *at = data;
  for (int i = 0; n && i < 200000; i++) {
    ssize_t w = send(p->fd, at, n, MSG_NOSIGNAL);
    if (w > 0) {
      at += w;
      n -= (size_t)w;
    } else if (errno != EAGAIN && errno != EINTR) {
      return 0;
    } else {
      net_turn(loop);
      net_read(p);
    }
  }
  return n == 0;
}

static inline int net_puts(struct loop *loop, struct net_peer *p, const char *text) { return net_send(loop, p, text, strlen(text)); }

/* Whether `text` has been received. */
static inline int net_has(struct net_peer *p, const char *text) {
  net_read(p);
  return memmem(p->got, p->n, text, strlen(text)) != NULL;
}

static inline int net_count(struct net_peer *p, const char *text) {
  int n = 0;
  net_read(p);
  for (const char *at = p->got; (at = memmem(at, (size_t)(p->got + p->n - at), text, strlen(text))); at++) n++;
  return n;
}

static inline int net_eof(struct net_peer *p) {
  net_read(p);
  return p->eof;
}

static inline void net_forget(struct net_peer *p) {
  p->n = 0;
  p->got[0] = 0;
}

#endif
