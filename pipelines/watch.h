/*
 * pipelines/watch.h - tells when one of some files has changed.
 *
 * Watches the folders that the files stand in, and those of every symbolic link on the way to them, with inotify: editors replace files by renaming, and
 * Kubernetes swaps a link for all files of a config map at once. When nothing else has changed for `debounce`, the files' identity (device, inode, size, time)
 * is compared. File systems that tell nobody (NFS, written from another machine) are not noticed.
 * Threads: [control].
 */
#ifndef PIPELINES_WATCH_H
#define PIPELINES_WATCH_H

#include "core/loop.h"

struct watch;

/* `known`: the identity that was last read; 0 = tell once after `debounce` in any case. Names are copied. Never NULL. */
struct watch *watch_start(struct loop *, const char *const *files, size_t n, int64_t debounce_ns, uint64_t known, weir_fn_f *changed, void *arg);
void watch_stop(struct watch *); /* allowed inside `changed`, NULL allowed */
/* What the files are now; never 0. */
uint64_t watch_identity(const char *const *files, size_t n);

#endif
