/*
 * bench/floor.c - the least work that an OTLP/gRPC receiver can do: the baseline for bench/run.sh.
 *
 *   floor PORT MODE     MODE 1: walk HTTP/2 frames, touch no payload
 *                       MODE 2: also gather each request and count its spans
 *                       MODE 3: also walk every field of every span and attribute
 *
 * One thread, epoll, one read buffer. It is not a server: HPACK is not decoded, limits are not kept, any peer is trusted. Every
 * stream that ends is answered with an empty response and grpc-status 0. SIGTERM prints what was seen.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/parse.h"
#include "core/wire.h"

#define READ_BUF (256u << 10)
#define STREAMS 256
#define WINDOW (64u << 20)
#define LIFETIME_S 900 /* a forgotten one ends by itself */

#define FRAME_DATA 0
#define FRAME_HEADERS 1
#define FRAME_SETTINGS 4
#define FRAME_PING 6
#define FRAME_GOAWAY 7
#define FRAME_WINDOW_UPDATE 8
#define END_STREAM 1
#define END_HEADERS 4
#define ACK 1

struct stream {
  uint32_t id; /* 0 = free */
  char *buf;
  size_t n, cap;
};

struct conn {
  int fd;
  size_t preface_n, head_n, control_n;
  unsigned char head[9], control[64];
  uint32_t left, stream_id, unacked;
  unsigned char type, flags;
  char out[65536];
  size_t out_n;
  struct stream streams[STREAMS];
};

static int mode;
static uint64_t n_requests, n_spans, n_attributes;
static volatile sig_atomic_t stop;

static void on_signal(int sig) {
  (void)sig;
  stop = 1;
}

/* --- the protobuf walk ------------------------------------------------------------------------------------- */

enum message { REQUEST, RESOURCE_SPANS, SCOPE_SPANS, SPAN, KEY_VALUE, ANY_VALUE, LEAF };

/* The message that a length-delimited field holds, or LEAF. */
static enum message child_of(enum message m, uint32_t field) {
  if (m == REQUEST && field == 1) return RESOURCE_SPANS;
  if (m == RESOURCE_SPANS && field == 2) return SCOPE_SPANS;
  if (m == SCOPE_SPANS && field == 2) {
    n_spans++;
    return mode >= 3 ? SPAN : LEAF;
  }
  if (m == SPAN && field == 9) {
    n_attributes++;
    return KEY_VALUE;
  }
  if (m == KEY_VALUE && field == 2) return ANY_VALUE;
  return LEAF;
}

static int walk(const char *p, const char *end, enum message m) {
  while (p < end) {
    struct wire_field f;
    if (!(p = wire_next(p, end, &f))) return -1;
    if (f.type != WIRE_LEN) continue;
    enum message child = child_of(m, f.number);
    if (child != LEAF && walk(f.p, f.p + f.v, child)) return -1;
  }
  return 0;
}

/* --- frames out ------------------------------------------------------------------------------------------- */

static void flush(struct conn *c) {
  for (size_t done = 0; done < c->out_n;) {
    ssize_t w = write(c->fd, c->out + done, c->out_n - done);
    if (w < 0 && errno != EAGAIN && errno != EINTR) break;
    if (w > 0) done += (size_t)w;
  }
  c->out_n = 0;
}

static void put_frame(struct conn *c, int type, int flags, uint32_t stream_id, const void *payload, size_t n) {
  if (c->out_n + 9 + n > sizeof c->out) flush(c);
  char *o = c->out + c->out_n;
  uint32_t id = htonl(stream_id), length = htonl((uint32_t)n << 8);
  memcpy(o, &length, 3);
  o[3] = (char)type;
  o[4] = (char)flags;
  memcpy(o + 5, &id, 4);
  if (n) memcpy(o + 9, payload, n);
  c->out_n += 9 + n;
}

/* SETTINGS: no HPACK table, 16 MiB stream window, 200 streams; and a wide connection window. */
static void put_hello(struct conn *c) {
  static const unsigned char settings[] = { 0, 1, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 3, 0, 0, 0, 200 };
  uint32_t window = htonl(WINDOW);
  put_frame(c, FRAME_SETTINGS, 0, 0, settings, sizeof settings);
  put_frame(c, FRAME_WINDOW_UPDATE, 0, 0, &window, sizeof window);
  flush(c);
}

static void put_answer(struct conn *c, uint32_t stream_id) {
  static const char headers[] = "\x88\x5f\x10"
                                "application/grpc"; /* :status 200, content-type */
  static const char message[5] = { 0 };
  static const char trailers[] = "\x00\x0bgrpc-status\x01"
                                 "0";
  put_frame(c, FRAME_HEADERS, END_HEADERS, stream_id, headers, sizeof headers - 1);
  put_frame(c, FRAME_DATA, 0, stream_id, message, sizeof message);
  put_frame(c, FRAME_HEADERS, END_HEADERS | END_STREAM, stream_id, trailers, sizeof trailers - 1);
}

/* --- frames in -------------------------------------------------------------------------------------------- */

static struct stream *find_stream(struct conn *c, uint32_t id, int make) {
  struct stream *unused = NULL;
  for (int i = 0; i < STREAMS; i++) {
    if (c->streams[i].id == id) return &c->streams[i];
    if (!c->streams[i].id && !unused) unused = &c->streams[i];
  }
  if (!make || !unused) return NULL;
  unused->id = id;
  unused->n = 0;
  return unused;
}

static void gather(struct conn *c, const char *p, size_t n) {
  struct stream *s = find_stream(c, c->stream_id, 1);
  if (!s) return;
  if (s->n + n > s->cap) {
    size_t cap = (s->n + n) * 2 < 65536 ? 65536 : (s->n + n) * 2;
    char *grown = realloc(s->buf, cap);
    if (!grown) abort();
    s->buf = grown;
    s->cap = cap;
  }
  memcpy(s->buf + s->n, p, n);
  s->n += n;
}

static void end_stream(struct conn *c) {
  struct stream *s = mode >= 2 ? find_stream(c, c->stream_id, 0) : NULL;
  n_requests++;
  if (s) {
    if (s->n > 5) walk(s->buf + 5, s->buf + s->n, REQUEST);
    s->id = 0;
  }
  put_answer(c, c->stream_id);
}

static void payload(struct conn *c, const char *p, size_t n) {
  if (c->type == FRAME_DATA) {
    c->unacked += (uint32_t)n;
    if (mode >= 2) gather(c, p, n);
  } else if (c->type == FRAME_PING && c->control_n + n <= sizeof c->control) {
    memcpy(c->control + c->control_n, p, n);
    c->control_n += n;
  }
}

/* The frame is complete. -1: the peer says goodbye. */
static int end_frame(struct conn *c) {
  c->head_n = 0;
  if (c->type == FRAME_GOAWAY) return -1;
  if (c->type == FRAME_SETTINGS && !(c->flags & ACK)) put_frame(c, FRAME_SETTINGS, ACK, 0, NULL, 0);
  if (c->type == FRAME_PING && !(c->flags & ACK)) put_frame(c, FRAME_PING, ACK, 0, c->control, 8);
  if ((c->type == FRAME_DATA || c->type == FRAME_HEADERS) && (c->flags & END_STREAM)) end_stream(c);
  return 0;
}

static void begin_frame(struct conn *c) {
  uint32_t id;
  memcpy(&id, c->head + 5, 4);
  c->left = (uint32_t)c->head[0] << 16 | (uint32_t)c->head[1] << 8 | c->head[2];
  c->type = c->head[3];
  c->flags = c->head[4];
  c->stream_id = ntohl(id) & 0x7fffffffu;
  c->control_n = 0;
}

static size_t take(void *to, size_t *have, size_t want, const char *p, size_t n) {
  size_t k = want - *have < n ? want - *have : n;
  if (to) memcpy((char *)to + *have, p, k);
  *have += k;
  return k;
}

static int feed(struct conn *c, const char *p, size_t n) {
  size_t k = take(NULL, &c->preface_n, 24, p, n);
  p += k;
  n -= k;
  while (n) {
    if (c->head_n < 9) {
      k = take(c->head, &c->head_n, 9, p, n);
      p += k;
      n -= k;
      if (c->head_n < 9) return 0;
      begin_frame(c);
    }
    k = c->left < n ? c->left : n;
    payload(c, p, k);
    p += k;
    n -= k;
    c->left -= (uint32_t)k;
    if (!c->left && end_frame(c)) return -1;
  }
  return 0;
}

/* --- connections ------------------------------------------------------------------------------------------- */

static int listen_on(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (fd < 0 || bind(fd, (const void *)&a, sizeof a) || listen(fd, 64)) {
    perror("floor: listen");
    exit(1);
  }
  return fd;
}

static void take_connection(int epoll, int listener) {
  int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct conn *c = calloc(1, sizeof *c);
  if (!c) abort();
  c->fd = fd;
  struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
  put_hello(c);
}

static void drop_connection(struct conn *c) {
  close(c->fd);
  for (int i = 0; i < STREAMS; i++) free(c->streams[i].buf);
  free(c);
}

static void serve(struct conn *c, char *buf) {
  ssize_t n = read(c->fd, buf, READ_BUF);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0 || feed(c, buf, (size_t)n)) {
    drop_connection(c);
    return;
  }
  if (c->unacked > WINDOW / 8) {
    uint32_t more = htonl(c->unacked);
    put_frame(c, FRAME_WINDOW_UPDATE, 0, 0, &more, sizeof more);
    c->unacked = 0;
  }
  if (c->out_n) flush(c);
}

int main(int argc, char **argv) {
  int64_t port = 0, want = 0;
  if (argc != 3 || parse_i64(argv[1], &port) || parse_i64(argv[2], &want) || port < 1 || port > 65535 || want < 1 || want > 3) {
    fprintf(stderr, "usage: floor PORT 1|2|3\n");
    return 2;
  }
  mode = (int)want;
  struct sigaction sa = { .sa_handler = on_signal };
  sigaction(SIGTERM, &sa, NULL);
  sigaction(SIGALRM, &sa, NULL);
  signal(SIGPIPE, SIG_IGN);
  alarm(LIFETIME_S);
  int listener = listen_on((uint16_t)port), epoll = epoll_create1(0);
  struct epoll_event ev = { .events = EPOLLIN }, ready[64];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev);
  char *buf = malloc(READ_BUF);
  if (!buf) abort();
  while (!stop) {
    int n = epoll_wait(epoll, ready, 64, -1);
    for (int i = 0; i < n; i++) {
      if (ready[i].data.ptr)
        serve(ready[i].data.ptr, buf);
      else
        take_connection(epoll, listener);
    }
  }
  free(buf);
  printf("requests=%llu spans=%llu attributes=%llu\n", (unsigned long long)n_requests, (unsigned long long)n_spans,
    (unsigned long long)n_attributes);
  return 0;
}
