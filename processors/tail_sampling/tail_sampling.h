/*
 * processors/tail_sampling/tail_sampling.h - one instance (a lane's traces), what the lanes share, and which file does what:
 *
 *   tail_sampling.c  the stage: settings, life, drain
 *   ingest.c         a batch comes in: each span to its trace, to a decision that was made before, or to a new trace
 *   decide.c         a trace's end: asked at its time, in small steps; the record of why
 *   leave.c          the end of traces that are too large for one step
 *   output.c         kept traces become batches again, with their thresholds written
 *   pressure.c       the ladder: compress, thin out, push back
 *   adopt.c          a reload: traces go on under other policies
 *   report.c         metrics and answers
 *
 * policy.h, store.h, table.h, memory.h and journal.h are the parts that know nothing of a stage. Threads: [lane] of the instance, but for the atomics of
 * struct ts_shared.
 */
#ifndef TAIL_SAMPLING_H
#define TAIL_SAMPLING_H

#include <stdatomic.h>

#include <weir/http.h>
#include <weir/memory.h>
#include <weir/metrics.h>
#include <weir/otlp.h>
#include <weir/stage.h>
#include <weir/timer.h>

#include "config.h"
#include "journal.h"
#include "memory.h"
#include "policy.h"
#include "store.h"
#include "table.h"

#define TS_STEP_TRACES 128u       /* decided in one step of the lane at most */
#define TS_STEP_BYTES (512u << 10) /* of spans that are written, read again or let go in one step, and of what is decompressed for that */
#define TS_STEP_SPANS 2048u       /* of such spans */
#define TS_STEP_FRAMES 32u        /* a trace of more spans, of which some may be compressed, leaves in steps: each may stand in a frame of its own */
#define TS_OUT_BYTES (1u << 20)   /* a batch of kept traces is sent when it has so much */
#define TS_SECOND 1000000000LL
#define TS_RETRY_NS 50000000LL    /* when there was no memory for a batch of kept traces */
#define TS_QUANTUM_NS 5000000LL   /* strict: traces that are due are gathered for so long, so that not each of them wakes the lane */

/* What all lanes draw on together. Made by prepare. */
struct ts_shared {
  const struct weir_host *host;
  const struct ts_config *cfg;
  struct ts_program *program;
  uint64_t max_bytes;
  _Atomic uint64_t bytes;  /* of undecided traces, in all lanes */
  _Atomic uint64_t traces; /* undecided in all lanes; under `semantics: collector` also those decided that no cache has taken */
};

/* Spans of one trace in the output, in their order. */
struct ts_run {
  uint64_t spans;
  uint64_t threshold;
  uint16_t leaf;  /* whose span is still to be found for the record; TS_LEAF_NONE: it is complete */
  int has_record; /* else: late spans */
  struct ts_record record;
};

/* A decided trace that leaves in steps, the newest of its spans first. */
struct ts_leaving {
  struct ts_leaving *after;
  ts_ref newest; /* of those that are still there */
  uint64_t threshold;
  uint16_t leaf;  /* whose span is still to be found for the record */
  uint8_t keep, has_record; /* has_record: the record is not yet in the journal */
  struct ts_record record;
};

/* span-ingest under `semantics: collector`: the spans of one trace in one batch, judged without those before. */
struct ts_alone {
  struct ts_trace *trace; /* NULL: it has ended meanwhile */
  struct ts_facts facts;
};

/* Per policy and outcome. */
struct ts_policy_cells {
  struct weir_cell *sampled, *not_sampled, *dropped;
};

struct ts_cells {
  struct ts_policy_cells *policies;
  struct weir_cell *sampled, *not_sampled, *dropped; /* all policies together */
  struct weir_cell *new_traces, *late_kept, *late_dropped, *too_early, *too_large, *on_memory, *errors, *bad_tracestates;
  struct weir_cell *latency, *late_age, *removal_age;
  struct weir_cell *bytes, *wire_bytes, *spans, *compressed, *oldest, *rootless, *shed, *when[TS_WHEN_LATE]; /* late spans are no decision */
};

struct sampler {
  const struct weir_host *host;
  struct weir_stage *stage;
  const struct ts_config *cfg;
  struct ts_shared *shared;
  const struct ts_program *program;
  const struct weir_timer_service *timers;
  const struct weir_metrics_service *metrics;
  const struct weir_memory_service *memory_service;
  const struct weir_otlp_service *otlp;
  const struct weir_http_service *http;

  struct ts_observer observer;
  struct ts_store *store;
  struct ts_table *table;
  struct ts_memory *memory;
  struct ts_journal *journal;
  uint32_t words, table_words; /* of bits; a table from before a reload may have fewer */
  uint8_t generation;
  struct ts_trace *cursor;     /* collector: no trace before it in the order of arrival is undecided; NULL: from the oldest */
  struct ts_leaving *leaving, **leaving_end; /* in the order in which they were decided */
  int leaving_waits;           /* for memory */
  uint64_t step_bytes, step_spans, step_unpacked; /* of the lane's step; the last as ts_store_unpacked was when it began */
  struct ts_trace *stale;      /* reload: from here on bits may be of the policies before; NULL: all are of today's */

  struct weir_timer *timer;
  int64_t began_ns;            /* collector: its seconds are counted from here */
  int64_t due_ns;              /* the timer's; 0: not set */
  int draining;

  uint8_t *said;               /* scratch of a verdict */
  uint16_t *policy_texts;      /* journal numbers of the policies' names; 0: not yet asked */
  struct kit_bytes out;
  struct ts_run *runs;
  size_t n_runs, cap_runs, n_put; /* n_put: of so many runs the bytes are in `out` */
  ts_ref late;                 /* chain of late spans whose runs are in `runs` and whose bytes are not yet in `out` */
  uint8_t noted[16];           /* the last trace with a record of a late span */
  struct ts_alone *alone;
  size_t n_alone, cap_alone;
  int has_drop_policy;
  uint64_t charged;            /* of the process's budget */
  uint64_t told_bytes;         /* what it added to shared->bytes */
  uint64_t shown[6];           /* gauges as they are shown: bytes, wire bytes, spans, compressed segments, traces, oldest */
  struct ts_cells cells;
};

#define TS_UNDECIDED 0 /* ts_trace.state */
#define TS_DECIDED 1   /* collector: it stays for late spans until num_traces needs its place */

static inline int ts_judges_alone(const struct sampler *s) { return s->cfg->semantics == TS_COLLECTOR && s->cfg->sampling_strategy == TS_SPAN_INGEST; }
static inline int ts_is_collector(const struct sampler *s) { return s->cfg->semantics == TS_COLLECTOR; }

/* What a step of the lane has done so far. */
static inline void ts_step_begin(struct sampler *s) {
  s->step_bytes = s->step_spans = 0;
  s->step_unpacked = ts_store_unpacked(s->store);
}
static inline void ts_step_add(struct sampler *s, uint64_t bytes, uint64_t spans) {
  s->step_bytes += bytes;
  s->step_spans += spans;
}
static inline int ts_step_is_over(const struct sampler *s) {
  return s->step_spans >= TS_STEP_SPANS || s->step_bytes + (ts_store_unpacked(s->store) - s->step_unpacked) >= TS_STEP_BYTES;
}

/* ingest.c */
void ts_consume(void *self, struct weir_batch *);
void ts_put_late(struct sampler *); /* the bytes of late spans, to the output */

/* decide.c */
/* Decides this trace now; `verdict` NULL: asks the policies. Ends the trace's life, but under `semantics: collector` may leave it as decided. `span`: the one that settled it, 0
 * when none did. */
void ts_end(struct sampler *, struct ts_trace *, int when, const struct ts_verdict *, uint64_t span);
void ts_forget(struct sampler *, struct ts_trace *); /* removes it from the table; its spans were released */
/* strict, after a reload from `semantics: collector`: what stayed known there is remembered as others are. */
void ts_forget_decided(struct sampler *, struct ts_trace *);
/* num_traces is reached: the oldest makes room. */
void ts_evict(struct sampler *);
void ts_on_timer(void *self);
void ts_arm(struct sampler *); /* sets the timer for the next trace that is due */

/* leave.c */
/* Takes the spans of a trace that is decided, for later steps, when they are more than what is left of this one: 1; then t->newest is 0. 0: they are to leave now. */
int ts_leave(struct sampler *, struct ts_trace *, int keep, uint64_t threshold, uint16_t leaf, const struct ts_record *);
void ts_leave_some(struct sampler *); /* until the step is over */
void ts_leave_moves(struct sampler *to, struct sampler *from);
void ts_leave_free(struct sampler *);

/* output.c */
int ts_room_for_run(struct sampler *); /* 1, or 0: no memory */
/* A message in pieces as a batch. NULL: err. */
struct weir_batch *ts_to_batch(struct sampler *, const struct weir_iov *, size_t n_iov, size_t n, struct weir_error *);
/* Puts the trace's spans into the output; the record is completed (span) and written when it is sent. 0, or the spans were dropped and counted. */
int ts_output(struct sampler *, ts_ref newest, uint64_t spans, uint64_t threshold, uint16_t leaf, const struct ts_record *);
/* Sends what is in the output. What finds no memory stays, and the timer tries again. */
void ts_flush(struct sampler *);
/* Sends the newest spans of a trace that leaves, what one step may; it is the caller who releases them. 0 (sent, or damaged, and counted); WEIR_E_NOMEM: nothing has changed. */
int ts_output_some(struct sampler *, struct ts_leaving *, uint32_t *ret_n, ts_ref *ret_rest);
/* A batch of the newest spans, what one step may, for reading; to be absorbed. *ret_n, *ret_rest: as of ts_store_write_some. NULL: no memory or damage. */
const struct weir_data *ts_reread(struct sampler *, ts_ref newest, struct weir_batch **ret, uint32_t *ret_n, ts_ref *ret_rest);
/* Its first span that makes the leaf true; 0 = none. */
uint64_t ts_find_span(const struct sampler *, const struct weir_data *, uint16_t leaf);

/* pressure.c */
/* Whether there is room for a batch; else what its sender hears. */
int ts_has_room(struct sampler *, struct weir_verdict *ret);
/* The threshold by which new traces are thinned out now; 0: none is. */
uint64_t ts_shed_threshold(const struct sampler *);
/* After anything was put or released: counts, charges, compresses one segment when it is time to. */
void ts_settle_bytes(struct sampler *);

/* adopt.c */
void ts_adopt(void *self, void *from);
/* Brings the trace's bits to today's policies, at most what one step may of its spans. 1: there are more. Facts of a part of its spans are as if the others were still to come. */
int ts_renew(struct sampler *, struct ts_trace *);
void ts_renew_some(struct sampler *);

/* report.c */
void ts_make_cells(struct sampler *);
void ts_show(struct sampler *); /* the gauges */
int ts_inspect(void *self, const char *question, struct weir_answer *);

static inline uint64_t ts_span_id(struct weir_str id) {
  uint64_t v = 0;
  for (uint32_t i = 0; i < id.n && i < 8; i++) v = v << 8 | (uint8_t)id.p[i];
  return v;
}

#endif
