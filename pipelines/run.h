/*
 * pipelines/run.h - the life of the process: loops, graph, ready, signals, drain, exit.
 *
 * The control thread builds, opens and starts everything on behalf of the lanes, then each lane gets its thread and the control loop waits for
 * signals. SIGTERM and SIGINT drain (drain.c); a second one ends at once with 128 + its number. SIGHUP reads the configuration again (reload.h). Exit
 * codes: 0 after a drain, 1 when something could not start or a stage failed for good, 78 when the configuration can not work.
 */
#ifndef PIPELINES_RUN_H
#define PIPELINES_RUN_H

#include "core/diag.h"
#include "pipelines/config.h"

#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_CONFIG 78

#define RUN_LANES_MAX 16u

struct run;

/* Builds the graph and opens every stage; starts nothing, binds no port. NULL on failure: *ret_code is EXIT_CONFIG (diags say why) or EXIT_FAILED (logged). */
struct run *run_open(struct config *, struct diags *, int *ret_code);
/* Where a reload reads from. load: as config_load; what it gives is the run's. Without it, nothing is reloaded. */
struct run_sources {
  struct config *(*load)(void *arg, struct diags *);
  void *arg;
  struct registry *registry; /* NULL allowed */
};
void run_set_sources(struct run *, const struct run_sources *);
/* Starts everything, runs until told to stop, drains. Returns the exit code; what could not start is in the diags, which are those of run_open. At most once. */
int run_until_stopped(struct run *, struct diags *);
/* Closes and frees it all. NULL allowed. 0; or 1 when the drain's time was over and exporters still had requests under way: these can not be closed, nothing
 * was freed, and the process should end at once. */
int run_close(struct run *);

/* How many lanes when the user does not say: the CPU quota of the cgroup, rounded up, else the CPUs this process may use; 1 .. RUN_LANES_MAX. */
uint32_t run_default_lanes(void);
/* CPUs in the text of cgroup v2's cpu.max ("150000 100000", "max 100000"); 0 = no quota. */
uint32_t run_quota_cpus(const char *cpu_max);

#endif
