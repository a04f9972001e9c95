/*
 * core/holder.h - who holds a busy address, from /proc. For messages. [any]
 */
#ifndef CORE_HOLDER_H
#define CORE_HOLDER_H

#include <stddef.h>

/* "weir (pid 1234)", or "another process" when /proc does not tell. path: of a unix socket, else NULL. */
void holder_name(const char *path, int port, char *buf, size_t cap);

#endif
