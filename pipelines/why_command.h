/*
 * pipelines/why_command.h - `weir why` and `weir decisions`: asks the weir that runs, by its socket, and prints what it says.
 *
 * Exit codes: 0 something was found, 1 nothing was, or nobody answers, 2 the words are wrong.
 * Threads: [control]; nothing else runs in the process.
 */
#ifndef PIPELINES_WHY_COMMAND_H
#define PIPELINES_WHY_COMMAND_H

#include "pipelines/command.h"

int why_command(const struct command *);

#endif
