/*
 * pipelines/print_config.h - `weir print-config`: the document as weir understood it, merged and expanded, as YAML that weir reads again.
 *
 * Secrets are those that a field table marks and, where there is no table, values whose key sounds like one; they are shown as [REDACTED] unless asked for.
 * With origins, each value is followed by a comment with the place it came from. Threads: [control].
 */
#ifndef PIPELINES_PRINT_CONFIG_H
#define PIPELINES_PRINT_CONFIG_H

#include <stdio.h>

#include "pipelines/config.h"

#define PRINT_UNREDACTED 1
#define PRINT_ORIGIN 2

void print_config(FILE *, const struct config *, const struct diags *, int flags);

#endif
