/*
 * plugins/host.h - the host side of the ABI: `struct weir_stage` (one instance), the host table and the service tables.
 *
 * The host table forwards to where the idea lives: emit/done/settle/drop to the instance's ops (set by pipelines/ or by the test harness),
 * batches to core/batch, services to core. plugins/ knows nothing of pipelines/: the graph plugs itself in through struct stage_ops.
 */
#ifndef PLUGINS_HOST_H
#define PLUGINS_HOST_H

#include "core/batch.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "plugins/registry.h"

#define STAGE_MAGIC 0x57a6e57au

/* What surrounds an instance: the graph, or the harness. All [lane]. */
struct stage_ops {
  void (*emit)(struct weir_stage *, uint32_t output, struct weir_batch *);
  void (*done)(struct weir_stage *, struct weir_batch *, const struct weir_verdict *);
  void (*drop)(struct weir_stage *, struct weir_batch *, const char *reason);
  void (*drained)(struct weir_stage *);
  void (*fail)(struct weir_stage *, const struct weir_error *, int fatal);
  /* The open instance of the extension with this id, or NULL and err. NULL: there are no extensions here. */
  struct weir_stage *(*extension)(struct weir_stage *, const char *id, struct weir_error *);
};

/* The law's counters of one instance, in items: in = out + refused + dropped + held. */
struct stage_counts {
  struct weir_cell *in, *out, *refused, *held;
};

/* Items dropped for one reason. */
struct stage_drop {
  const char *reason;
  struct weir_cell *cell;
  struct stage_drop *next;
};

struct weir_stage {
  uint32_t magic, state;
  const struct stage_entry *entry;
  void *self;            /* what open returned */
  const char *id;        /* "otlp/2" */
  const char *pipeline;  /* "traces/a" for processors, else NULL */
  uint32_t signal;       /* of this instance; 0 for extensions */
  uint32_t out_signal;   /* connectors */
  uint32_t lane, lanes;
  int ack_delivered;     /* the pipeline says `ack: delivered` */
  int downstream_need;   /* WEIR_NEED_* of what stands below */
  struct loop *loop;
  const struct stage_ops *ops;
  void *owner;           /* the graph's node or the harness */
  struct stage_counts counts;
  const void *config;
  void *shared;          /* what its type's prepare made for all instances at this place */
  struct otlp_limits limits;
  struct stage_drop *drops;
  struct weir_cell **cells; /* what it registered through weir.metrics/1 */
  size_t n_cells, cap_cells;
  struct stage_waiter *spare_waiters;
  uint32_t n_waiting; /* verdicts that it asked for and has not heard: until then it can not be closed */
  struct defer drained_step;
  struct weir_stage *adopts; /* until stage_adopt: whose state it will take over, on the same lane. What comes for it waits in `early` */
  struct weir_stage *heir;   /* after that, at the other end: what a lane that was swapped later still sends here is the heir's */
  struct weir_batch *early, **early_end;
};

#define STAGE_CLOSED 0
#define STAGE_OPEN 1
#define STAGE_STARTED 2
#define STAGE_DRAINING 3

/* The table given to every stage of the process. */
const struct weir_host *host_table(void);
/* Opens an instance that the caller filled (entry, id, signal, lane, loop, ops, config ...); registers its counters. 0 or the stage's error. */
int stage_open(struct weir_stage *, struct weir_error *);
int stage_start(struct weir_stage *, struct weir_error *);
/* Hands it a batch: counts `in`, calls consume. Takes. */
void stage_consume(struct weir_stage *, struct weir_batch *);
void stage_drain(struct weir_stage *); /* ops->drained comes, at once in a later step when the type has no drain */
void stage_close(struct weir_stage *);
/* This instance, not opened yet, will take over the state of `from`: batches that come before stage_adopt wait. */
void stage_expect(struct weir_stage *, struct weir_stage *from);
/* Calls the type's adopt, once; what `from` held is counted here from now on; then consumes what waited. `from` is to be drained and closed. Nothing for one that expects nothing. */
void stage_adopt(struct weir_stage *);
/* Instead: it keeps the state it has, and `from` goes on. */
void stage_adopt_none(struct weir_stage *);
/* Asks the type's inspect: weir_inspect_f. 0 too when it has none, or when the instance is not started or closed. */
int stage_inspect(struct weir_stage *, const char *question, struct weir_answer *);
/* The process's health, shown by weir.health/1; set by pipelines/run. */
void host_set_health(int state);
/* One more thing (1), or one less (0), that keeps the process from being ready until it has passed. [any] */
void host_trouble(int begins);
int host_health(void);
int64_t host_ready_since(void); /* Unix nanoseconds; 0 = not yet ready */

#endif
