/*
 * processors/tail_sampling/journal.h - a record of each decision in a ring of fixed size, per lane, and what people ask of it.
 *
 * A record takes 80 bytes, its part of the index by trace id included; the newest overwrites the oldest. Texts
 * (policies, predicates) are kept once, for as long as the journal lives, so that they outlast the policies of a reload. Answers are lines: text for people or JSON, each
 * beginning with the time in UTC, so that lines of several lanes can be sorted. `why` follows the index; `decisions` may look at every record.
 * Threads: [lane].
 */
#ifndef TAIL_SAMPLING_JOURNAL_H
#define TAIL_SAMPLING_JOURNAL_H

#include <weir/stage.h>

#include "plugins/kit/bytes.h"

struct ts_journal;

/* Why a trace was decided then. */
#define TS_WHEN_WAIT 0      /* decision_wait was over */
#define TS_WHEN_ROOT 1      /* decision_wait_after_root_received was over */
#define TS_WHEN_EARLY 2     /* what was there settled it */
#define TS_WHEN_NUM_TRACES 3 /* the oldest of num_traces made room */
#define TS_WHEN_TOO_LARGE 4 /* maximum_trace_size_bytes */
#define TS_WHEN_SHED 5      /* over the budget: new traces were thinned out, by the threshold in the record */
#define TS_WHEN_SHUTDOWN 6
#define TS_WHEN_LATE 7      /* a span of a trace that was dropped before; of those that come one after the other, the first */

struct ts_record {
  uint8_t id[16];
  int64_t time_unix_ns;
  int64_t age_ns;           /* from its first span to the decision */
  uint64_t span;            /* the span that made the predicate true, its id as 8 bytes; 0 = none */
  uint64_t threshold;       /* of what was kept or shed */
  uint64_t bytes;
  uint32_t spans, missing_parents; /* missing_parents UINT32_MAX: was not looked at (ts_store_missing_parents) */
  uint16_t policy, predicate;      /* texts: ts_journal_text; 0 = none */
  uint8_t outcome, when;      /* TS_KEEP ... (policy.h), TS_WHEN_* */
  uint8_t roots, flags;
};

struct ts_journal *ts_journal_new(uint64_t bytes); /* NULL: no memory; 0 bytes: nothing is recorded */
void ts_journal_free(struct ts_journal *);
/* A number for a text, the same for the same text. At most 65535 texts; then 0, as for "". Of a text, 1000 bytes are kept. */
uint16_t ts_journal_text(struct ts_journal *, const char *);
void ts_journal_add(struct ts_journal *, const struct ts_record *);
/* All records of `from` into `to`, in order of time, the newest where not all have room; from is empty then. Numbers of texts that came from `to` stay good. When `to` is
 * empty and of the same size nothing is copied but numbers of texts. */
void ts_journal_move(struct ts_journal *to, struct ts_journal *from);
/* "why trace_id=HEX [format=json]", "decisions [outcome=kept|dropped] [policy=NAME] [since_unix_ns=N] [limit=N] [format=json]" (words as in plugins/kit/question.h); limit:
 * the newest so many, 100 when it is not said, 0 = all. Oldest first; over 1 MiB the oldest are left out. 1 when the question is one of these. */
int ts_journal_inspect(const struct ts_journal *, const char *question, struct weir_answer *);
/* For others who answer "why": the trace that is asked about, 1; 0: another question, or no id. Whether the answer shall be JSON. */
int ts_question_trace_id(const char *question, uint8_t id[16]);
int ts_question_is_json(const char *question);
/* A time as it begins each line: UTC, with 3 or 9 digits of a second. */
void ts_put_time(struct kit_bytes *, int64_t unix_ns, int digits);
uint64_t ts_journal_bytes(const struct ts_journal *);

#endif
