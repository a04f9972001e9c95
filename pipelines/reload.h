/*
 * pipelines/reload.h - reading the configuration again while the process runs: by SIGHUP, by command, by a change of its files.
 *
 * The new configuration is read and checked, its graph built, opened and started beside the old one, then swapped in; what is unchanged is kept. When
 * anything fails, nothing has changed. See docs/design/reload.md.
 * Threads: [control].
 */
#ifndef PIPELINES_RELOAD_H
#define PIPELINES_RELOAD_H

#include <weir/error.h>

struct run;

/* Counters, the watch on files (service.reload.watch) and the command socket. */
int reload_start(struct run *, struct weir_error *);
void reload_stop(struct run *);
/* why: for the log. *ret_text: malloc'ed, what to tell whoever asked. EXIT_OK, EXIT_CONFIG when it was refused, EXIT_FAILED when weir is
 * shutting down. */
int run_reload(struct run *, const char *why, char **ret_text);

#endif
