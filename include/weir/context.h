/*
 * weir/context.h - who sent a batch: request metadata, client address, what authentication found out.
 *
 * A context is immutable and counted. It belongs to the request that a batch was made of, as the Collector's client.Info: handles
 * that are forked or cut off share it, lanes share it, and a merge keeps it only when both sides have the same. Receivers make one
 * when `include_metadata` or `auth` asks for it, and none otherwise, so that plain traffic pays nothing for it.
 *
 * Names of metadata are lower case. A name that came more than once stands more than once, in the order of its values; pairs are
 * sorted by name, so that all values of a name are neighbours. Values are bytes as received (a "-bin" value stays base64 text).
 * Memory counts against the byte budget and is freed with the last reference, on any thread.
 */
#ifndef WEIR_CONTEXT_H
#define WEIR_CONTEXT_H

#include <weir/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most that a context holds; a server's own header limits are lower by default. */
#define WEIR_CONTEXT_MAX_PAIRS 512u
#define WEIR_CONTEXT_MAX_BYTES (256u << 10)

struct weir_pair {
  struct weir_str name, value;
};

struct weir_context {
  uint32_t size, reserved;
  uint32_t n_metadata, n_auth;
  const struct weir_pair *metadata; /* request headers, gRPC metadata */
  const struct weir_pair *auth;     /* what the authenticator says of the client: "username" ... */
  struct weir_str peer;             /* "127.0.0.1:1234", "unix"; empty = not kept */
};

/* Where the values of a lower-case name begin, and how many there are; NULL and 0 for none. */
static inline const struct weir_pair *weir_pairs_find(const struct weir_pair *v, uint32_t n, struct weir_str name, uint32_t *ret_n) {
  uint32_t i = 0, k = 0;
  while (i < n && !weir_str_eq(v[i].name, name)) i++;
  while (i + k < n && weir_str_eq(v[i + k].name, name)) k++;
  *ret_n = k;
  return k ? v + i : NULL;
}

#ifdef __cplusplus
}
#endif
#endif
