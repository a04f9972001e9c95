/*
 * tests/fuzz/http_fuzz.h - what the HTTP targets share: a loop in the target's thread, sockets in pairs, and bytes given in pieces.
 *
 * An input begins with two bytes. The first is the size of a piece (0: all at once), the second has the target's own switches. Pieces go to the transport in
 * blocks of their exact size, past the socket, so that a sanitizer sees a read behind the end; what the transport writes does go through the socket.
 */
#ifndef TESTS_FUZZ_HTTP_FUZZ_H
#define TESTS_FUZZ_HTTP_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weir/http.h>

#include "core/assert.h"
#include "core/listener.h"
#include "core/loop.h"

#define FUZZ_TURNS 200 /* of the loop, for an end that must come */

static struct env fuzz_env;
static struct loop fuzz_loop;

static inline void fuzz_open_loop(void) {
  struct weir_error err = { 0 };
  budget_init(&fuzz_env.budget, 64u << 20);
  fuzz_env.listeners = listeners_new();
  WEIR_ASSERT(loop_init(&fuzz_loop, 0, &fuzz_env, &err) == 0);
}

/* Takes what was written to a socket that does not block. */
static inline void fuzz_swallow(int fd) {
  static char buf[65536];
  while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0) {}
}

/* Every byte, so that a sanitizer sees memory that is not there. */
static inline void fuzz_read_all(const char *p, size_t n) {
  static volatile unsigned sum;
  for (size_t i = 0; i < n; i++) sum = sum + (unsigned char)p[i];
}

static inline void fuzz_read_headers(const struct weir_http_header *h, size_t n) {
  for (size_t i = 0; i < n; i++) {
    fuzz_read_all(h[i].name.p, h[i].name.n);
    fuzz_read_all(h[i].value.p, h[i].value.n);
  }
}

typedef void fuzz_piece_f(const char *p, size_t n);

static inline void fuzz_give(const uint8_t *data, size_t size, size_t piece, fuzz_piece_f *give) {
  for (size_t at = 0, n; at < size; at += n) {
    n = piece && piece < size - at ? piece : size - at;
    char *copy = malloc(n);
    WEIR_ASSERT(copy != NULL);
    memcpy(copy, data + at, n);
    give(copy, n);
    free(copy);
  }
}

#endif
