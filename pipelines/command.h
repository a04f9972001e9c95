/*
 * pipelines/command.h - the command line.
 *
 *     weir run --config FILE ... [--set a.b=c ...]     also: weir --config FILE
 *     weir validate --config FILE ...
 *     weir print-config --config FILE ... [--mode redacted|unredacted] [--origin]
 *     weir test FILE ...
 *     weir reload [--socket PATH]
 *     weir queue ls|peek|replay|drop DIRECTORY|--config FILE [QUEUE]
 *     weir why TRACE_ID [--stage ID] [--json] [--socket PATH]
 *     weir decisions [--kept|--dropped] [--policy P] [--since 5m] [--limit N] [--stage ID] [--json] [--socket PATH]
 *     weir components | doc STAGE | schema [STAGE] | version | help
 */
#ifndef PIPELINES_COMMAND_H
#define PIPELINES_COMMAND_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define COMMAND_RUN 1
#define COMMAND_VALIDATE 2
#define COMMAND_COMPONENTS 3
#define COMMAND_DOC 4
#define COMMAND_VERSION 5
#define COMMAND_HELP 6
#define COMMAND_RELOAD 7
#define COMMAND_PRINT_CONFIG 8
#define COMMAND_SCHEMA 9
#define COMMAND_QUEUE 10
#define COMMAND_TEST 11
#define COMMAND_WHY 12
#define COMMAND_DECISIONS 13

struct command {
  int verb;
  const char **configs, **sets, **files; /* borrowed from argv; the arrays are ours. files: of `weir test` */
  size_t n_configs, n_sets, n_files;
  const char *socket; /* reload, why, decisions; NULL = the default */
  int unredacted, origin; /* print-config */
  const char *stage; /* doc, schema: "otlp", "exporter/otlp" */
  const char *action, *directory, *queue; /* queue: "ls" ...; directory NULL: the configuration's */
  const char *trace_id, *policy, *since, *at; /* why, decisions; at: --stage */
  int kept, dropped, json;
  const char *limit_text;                 /* --limit as it was written */
  uint64_t limit;                         /* queue peek: records of each queue, 0 = all */
  int limited, yes;                                /* queue drop */
};

/* 0, or -1 after one sentence and how to go on were written to `out`. */
int command_parse(struct command *, int argc, char **argv, FILE *out);
void command_done(struct command *);
void command_help(FILE *out);

#endif
