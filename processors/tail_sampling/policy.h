/*
 * processors/tail_sampling/policy.h - policies compiled once, looked at span by span as spans arrive, and decided at the end.
 *
 * A program is made of leaves (one test each) and of the policies that combine them. A leaf that a span can only turn true ("some span has status ERROR") is a bit
 * of the trace, set by ts_observe; what depends on the whole (duration, counts, a rate) is computed by ts_decide from the trace's sums. So
 * deciding looks at no span again, and does not depend on the order of spans, batches or fields (`semantics: strict`).
 *
 * Ownership: the program is immutable after ts_program_new and shared by all lanes; rates are shared too and are atomic. Facts belong to one lane.
 * Source of the rules: shared facts of the Collector's tail_sampling v0.165 (docs/tail-sampling.md, "Policies"). Units: ns, bytes of the spans' wire form.
 */
#ifndef TAIL_SAMPLING_POLICY_H
#define TAIL_SAMPLING_POLICY_H

#include <weir/stage.h>

#include "config.h"

#define TS_LEAF_NONE UINT16_MAX
#define TS_R_ALWAYS (1ull << 56) /* thresholds and randomness are 56 bits (W3C tracestate ot=th, ot=rv); a threshold of 0 keeps everything */

struct ts_program;

/* What is known of one trace. Zeroed at its first span, but id and bits, which ts_facts_init sets. */
struct ts_facts {
  uint8_t id[16];
  uint64_t min_start, max_end; /* Unix ns over all spans; 0 = unset */
  uint64_t bytes;              /* wire form of its spans, for bytes_limiting and maximum_trace_size_bytes */
  uint32_t n_spans;
  uint16_t n_roots;            /* spans without a parent, saturating */
  uint16_t flags;              /* TS_F_* */
  uint64_t randomness;         /* R: tracestate rv if a span has it, else the low 56 bits of the id */
  uint64_t th;                 /* the highest th that a span came with */
  uint64_t *bits;              /* ts_program_words, the owner's memory */
};

#define TS_F_RV 1u             /* randomness is from rv */
#define TS_F_TH 2u             /* a span came with th */
#define TS_F_BAD_TRACESTATE 4u /* of a span: does not parse */

/* One per lane: what is remembered between the spans of one batch (the resource's own bits), scratch, and counts of what could not be evaluated. */
struct ts_observer {
  const struct ts_program *program;
  const struct weir_resource *resource;
  uint64_t *resource_bits; /* owned */
  uint64_t errors, bad_tracestates;
  uint32_t *seen, serial, reserved; /* TS_COLLECTOR: of a key that a record has twice the first counts; owned */
};

#define TS_KEEP 1
#define TS_NOT_SAMPLED 2 /* no policy wants it */
#define TS_DROPPED 3     /* a drop policy wants it gone */

/* What each policy said. */
#define TS_SAID_NOTHING 0 /* was not asked: sample_on_first_match, or dropped before */
#define TS_SAID_SAMPLE 1
#define TS_SAID_NOT 2
#define TS_SAID_DROP 3
#define TS_SAID_ERROR 4

struct ts_verdict {
  uint8_t outcome;
  uint8_t reserved;
  uint16_t policy;    /* whose word it was; TS_LEAF_NONE for TS_NOT_SAMPLED */
  uint16_t leaf;      /* the leaf of that policy that was true, the first that speaks of a span if there is one; TS_LEAF_NONE */
  uint16_t sub;       /* composite: the index of its sub-policy that decided; TS_LEAF_NONE */
  uint64_t threshold; /* of TS_KEEP: kept iff R >= threshold; 0: it would always be kept */
  uint8_t *said;      /* n_policies, the caller's memory */
};

/* Compiles; `field` of err is the path below the configuration ("policies[2].latency.threshold_ms"). [control] */
int ts_program_new(const struct weir_host *, struct weir_stage *, const struct ts_config *, struct ts_program **ret, struct weir_error *);
void ts_program_free(struct ts_program *);
uint32_t ts_program_words(const struct ts_program *);   /* 64-bit words of bits in the facts of a trace */
uint32_t ts_program_policies(const struct ts_program *); /* how many; indexes are those of the configuration */
const char *ts_program_name(const struct ts_program *, uint32_t policy);
const char *ts_program_type(const struct ts_program *, uint32_t policy);
const char *ts_program_sub_name(const struct ts_program *, uint32_t policy, uint16_t sub); /* ts_verdict.sub of a composite; "" when it has no name */
/* A short text for people: `status_code is ERROR`, `latency > 500 ms`; "" for TS_LEAF_NONE. */
const char *ts_leaf_text(const struct ts_program *, uint16_t leaf);
/* Whether this span alone makes the leaf true; 0 for leaves that speak of the whole trace. */
int ts_leaf_matches(const struct ts_program *, uint16_t leaf, const struct weir_resource *, const struct weir_scope *, const struct weir_span *);
/* Whether some span has made it true; 0 for leaves that speak of the whole trace, and for inverted ones. */
int ts_leaf_is_set(const struct ts_program *, const struct ts_facts *, uint16_t leaf);

int ts_observer_init(struct ts_observer *, const struct ts_program *); /* 0, or WEIR_E_NOMEM */
void ts_observer_done(struct ts_observer *);
void ts_observer_batch(struct ts_observer *); /* a new batch: pointers to records are void */

void ts_facts_init(const struct ts_program *, struct ts_facts *, const uint8_t id[16]);
/* Adds one span (its n_spans, bytes, times, roots, flags, bits). Returns 1 when it set a bit that was not set before (among them: the trace is longer, or has more
 * spans, than a policy asks for) or the randomness changed: only then can ts_settled know more. Of several rv in one trace the largest counts; they should be equal. [lane] */
int ts_observe(struct ts_observer *, const struct weir_resource *, const struct weir_scope *, const struct weir_span *, uint64_t bytes, struct ts_facts *);

/* What is known already settles it, whatever else comes: 1 and the verdict, with no rate asked and nothing counted. Only under `semantics: strict`. Cheap: to be called when
 * ts_observe returned 1, and at the first span. Outcome and threshold are then what ts_decide would come to; `policy` is the first that is known to say so.
 *   dropped      a drop policy is satisfied.
 *   kept         no drop policy can become true, a policy is true for ever, and no other can keep it with a lower threshold: at threshold 0 at once; by chance alone
 *                when nothing else can keep it any more. Rates and composites are not asked about a trace that is kept at threshold 0, here and in ts_decide, so that a budget
 *                does not depend on when a trace was settled.
 *   not sampled  no policy can become true.
 * What a policy says that is not known yet is TS_SAID_NOTHING; while this is so of a dry_run policy (but a rate), nothing is settled, so that it is counted in full.
 * It holds as long as the spans of a trace agree on rv, as OpenTelemetry demands. */
int ts_settled(const struct ts_program *, const struct ts_facts *, struct ts_verdict *);
/* Decides. Takes from the rates, at this time. [lane] */
void ts_decide(struct ts_program *, const struct ts_facts *, int64_t now_mono_ns, struct ts_verdict *);

#endif
