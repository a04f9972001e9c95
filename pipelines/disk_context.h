/*
 * pipelines/disk_context.h - what a record on disk says beside its data: the context of the batch (include/weir/context.h), and of a dead letter why it is one.
 *
 * Little endian: version 1, flags (1 reason, 2 context); reason and message, each with its length in 16 bits; the numbers of metadata and auth pairs in 16 bits, the
 * pairs, the peer, each text with its length in 16 bits. Nothing at all is written when there is nothing to say.
 * Pure functions; [any].
 */
#ifndef PIPELINES_DISK_CONTEXT_H
#define PIPELINES_DISK_CONTEXT_H

#include <weir/context.h>
#include <weir/error.h>

#include "core/spool.h"

struct disk_context {
  struct weir_str reason, message;    /* of a dead letter; p == NULL: none */
  const struct weir_context *context; /* NULL: none. After disk_context_read: at `what` */
  struct weir_context what;
  struct weir_pair pairs[WEIR_CONTEXT_MAX_PAIRS];
};

/* 0 when there is nothing to say; over SPOOL_CONTEXT_MAX: it can not be written. */
size_t disk_context_size(const struct weir_str *reason, const struct weir_str *message, const struct weir_context *);
/* reason NULL: none, and no message. */
void disk_context_write(const struct weir_str *reason, const struct weir_str *message, const struct weir_context *, char *to);
/* Texts point into p. 0, or WEIR_E_INVALID. */
int disk_context_read(const char *p, size_t n, struct disk_context *ret);

#endif
