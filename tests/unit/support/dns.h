/*
 * tests/unit/support/dns.h - a DNS server of one name on loopback, in the same thread: lists of IPv4 and IPv6 addresses and a TTL, or what hostile servers say.
 */
#ifndef TESTS_UNIT_SUPPORT_DNS_H
#define TESTS_UNIT_SUPPORT_DNS_H

#include "tests/unit/support/net.h"

enum dns_mode { DNS_LIST, DNS_SILENT, DNS_NO_NAME, DNS_GARBAGE, DNS_LOOP };

struct dns {
  int fd, port, n_queries;
  enum dns_mode mode;
  uint32_t ttl_s;
  uint8_t last[32]; /* 127.0.0.x */
  size_t n;
  const char *six[8]; /* AAAA: "::1" */
  size_t n_six;
  uint32_t ttl_six_s; /* 0 = ttl_s */
};

static inline void dns_open(struct dns *d) {
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t len = sizeof in;
  memset(d, 0, sizeof *d);
  d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  WEIR_ASSERT(d->fd >= 0 && bind(d->fd, (struct sockaddr *)&in, sizeof in) == 0 && getsockname(d->fd, (struct sockaddr *)&in, &len) == 0);
  d->port = ntohs(in.sin_port);
  d->ttl_s = 60;
}

static inline size_t dns_record(uint8_t *to, uint8_t last, uint32_t ttl_s) {
  const uint8_t r[] = { 0xc0, 12, 0, 1, 0, 1, (uint8_t)(ttl_s >> 24), (uint8_t)(ttl_s >> 16), (uint8_t)(ttl_s >> 8), (uint8_t)ttl_s, 0, 4, 127, 0, 0, last };
  memcpy(to, r, sizeof r);
  return sizeof r;
}

static inline size_t dns_record_six(uint8_t *to, const char *address, uint32_t ttl_s) {
  const uint8_t r[] = { 0xc0, 12, 0, 28, 0, 1, (uint8_t)(ttl_s >> 24), (uint8_t)(ttl_s >> 16), (uint8_t)(ttl_s >> 8), (uint8_t)ttl_s, 0, 16 };
  memcpy(to, r, sizeof r);
  WEIR_ASSERT(inet_pton(AF_INET6, address, to + sizeof r) == 1);
  return sizeof r + 16;
}

/* Answers what has come: A and AAAA with their lists. */
static inline void dns_serve(struct dns *d) {
  uint8_t q[512], a[1024];
  struct sockaddr_in from;
  socklen_t len = sizeof from;
  ssize_t n;
  while ((n = recvfrom(d->fd, q, sizeof q, 0, (struct sockaddr *)&from, &len)) > 16) {
    size_t end = 12, at;
    while (end < (size_t)n && q[end]) end += q[end] + 1u;
    int is_a = q[end + 2] == 1, is_six = q[end + 2] == 28;
    d->n_queries += is_a;
    at = end + 5;
    memcpy(a, q, at);
    a[2] = 0x81;
    a[3] = d->mode == DNS_NO_NAME ? 0x83 : 0x80;
    memset(a + 6, 0, 6);
    if (d->mode == DNS_SILENT) continue;
    if (d->mode == DNS_LIST && is_a) {
      a[7] = (uint8_t)d->n;
      for (size_t i = 0; i < d->n; i++) at += dns_record(a + at, d->last[i], d->ttl_s);
    }
    if (d->mode == DNS_LIST && is_six) {
      a[7] = (uint8_t)d->n_six;
      for (size_t i = 0; i < d->n_six; i++) at += dns_record_six(a + at, d->six[i], d->ttl_six_s ? d->ttl_six_s : d->ttl_s);
    }
    if (d->mode == DNS_GARBAGE) { /* says 65,535 records, has none that ends */
      a[6] = a[7] = 0xff;
      for (int i = 0; i < 200; i++) a[at++] = (uint8_t)(i * 37);
    }
    if (d->mode == DNS_LOOP) { /* a name that points at itself */
      static const uint8_t cname[] = { 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12 };
      a[7] = 1;
      memcpy(a + at, cname, sizeof cname);
      at += sizeof cname;
    }
    sendto(d->fd, a, at, 0, (struct sockaddr *)&from, len);
  }
}

#endif
