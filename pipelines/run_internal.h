/*
 * pipelines/run_internal.h - shared by pipelines/run*.c, drain.c only: the process while it runs.
 */
#ifndef PIPELINES_RUN_INTERNAL_H
#define PIPELINES_RUN_INTERNAL_H

#include "pipelines/graph.h"
#include "pipelines/retire.h"
#include "pipelines/run.h"
#include "pipelines/telemetry.h"
#include "pipelines/watch.h"

#define N_SIGNALS 3

/* Where a drain stands; see drain.c. */
struct drain {
  int phase;
  size_t next_site, left;
  struct timer timer;
  int64_t began_ns;
  uint64_t sent_before, lost_before, held_lost;
};

struct run {
  struct config *config;   /* the one that is in force */
  const struct config *first; /* the one of the start: what a reload does not change comes from it */
  struct config *reloaded; /* `config`, when it came by a reload: ours to free */
  struct run_sources sources;
  struct retirement retirement;
  struct watch *watch;
  struct control *commands;
  struct asks *asks; /* open questions: run_ask.c */
  struct weir_cell *reloads, *reload_failures;
  struct env env;
  struct loop control, *lanes;
  uint32_t n_lanes, lanes_inited, lanes_running;
  int control_inited;
  struct graph *graph;
  struct telemetry *telemetry;
  uv_signal_t signals[N_SIGNALS];
  int n_signals;
  struct timer second; /* tells held-back log repeats */
  struct drain drain;
  int exit_code;
};

/* A log line for each: prefix, file:line:col, what is wrong and what to do. */
void run_log_diags(const struct diags *, const char *prefix);
/* run_ask.c: from here on /why and /decisions are answered; until run_ask_stop, which answers what is open. */
void run_ask_start(struct run *);
void run_ask_stop(struct run *);
struct control_request;
/* A command `why ...` or `decisions ...`: 1, and control_answer comes. 0: it is another command. */
int run_ask_command(struct run *, struct control_request *, const char *command);
/* Begins the drain, once; the control loop stops when it is over. [control] */
void drain_begin(struct run *);
/* A site's last instance has drained (graph.on_drained). [control] */
void drain_progress(void *run, struct site *);
/* Nothing retires any more (retirement.on_empty). [control] */
void drain_retired(void *run);
/* The one line about what was sent and lost; after everything was closed. */
void drain_report(struct run *);

#endif
