/*
 * core/grpc_message.h - one length-prefixed gRPC message: 1 byte compressed flag, 4 bytes length (big endian), the message.
 *
 * A unary body holds exactly one. What breaks the framing is INTERNAL, as grpc-go (and so the Go collector) answers: a flag that
 * is not 0 or 1, a body that ends early or goes on, the flag without grpc-encoding, a damaged one. A message over the limit is
 * RESOURCE_EXHAUSTED, decided by the declared length and, when compressed, by the output while it grows. Pure; [lane] for the pool.
 */
#ifndef CORE_GRPC_MESSAGE_H
#define CORE_GRPC_MESSAGE_H

#include <weir/grpc.h>

#include "core/pool.h"

#define GRPC_PREFIX 5u /* bytes before a message */

/* What of a message is limited, and how the limit is called in texts: "max_recv_msg_size_mib". */
struct grpc_limit {
  uint64_t max_bytes;
  const char *name;
  int overdraw; /* the budget does not refuse it (core/pool.h) */
};

/* The message at p..p+n: inside the body it came in, or inside `inflated`, which the holder owns. */
struct grpc_message {
  const char *p;
  size_t n;
  struct weir_body *inflated; /* NULL when it came uncompressed */
};

void grpc_prefix_put(char prefix[GRPC_PREFIX], int compressed, uint32_t n);
/* For grpc-accept-encoding, and for texts. */
#define GRPC_ENCODINGS "identity,gzip,zstd,snappy"
/* One of GRPC_ENCODINGS or none named: what grpc_message_read can undo. */
int grpc_encoding_known(struct weir_str encoding);
/* A client's `compression`: the name for grpc-encoding and core/compress.h's (snappy is framed in gRPC), both static; NULL for none. WEIR_E_UNSUPPORTED. */
int grpc_encoding_out(const char *name, const char **ret_name, const char **ret_out);
/* Reads the one message of a body. Returns WEIR_GRPC_OK, or the status code and its text in err. */
uint32_t grpc_message_read(struct pool *, struct weir_str encoding, const char *body, size_t n, const struct grpc_limit *,
  struct grpc_message *ret, struct weir_error *);
/* "message of 5000000 bytes is over max_recv_msg_size_mib (4 MiB)"; n = 0: unknown. Returns RESOURCE_EXHAUSTED. */
uint32_t grpc_message_over(uint64_t n, const struct grpc_limit *, struct weir_error *);

#endif
