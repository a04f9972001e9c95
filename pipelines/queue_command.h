/*
 * pipelines/queue_command.h - `weir queue`: looks at queues on disk and dead letters, sends dead letters again, drops them.
 *
 * ls and peek lock nothing, so a weir may run; what it appends or removes meanwhile may be missed. replay and drop need the queue for themselves; replay with --socket
 * lets the weir that has it do the work.
 * Threads: [control]; nothing else runs in the process.
 */
#ifndef PIPELINES_QUEUE_COMMAND_H
#define PIPELINES_QUEUE_COMMAND_H

#include "pipelines/command.h"
#include "pipelines/config.h"

/* The queues below the directory that the command names, or below those of the configuration's file_storage extensions. Returns the exit code. */
int queue_command(const struct command *, const struct config *);

#endif
