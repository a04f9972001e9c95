/*
 * pipelines/trial.h - a pipeline's processors, one after the other, on one lane and a clock that is turned by hand: for `weir test`.
 *
 * Receivers and exporters stay out: what is sent goes to the first processor, what leaves the last is counted, by trace. Time stands still but for
 * trial_advance, which stops at each timer that is due. [control]
 */
#ifndef PIPELINES_TRIAL_H
#define PIPELINES_TRIAL_H

#include "core/diag.h"
#include "core/part.h"
#include "pipelines/config.h"

struct trial;

/* NULL: a processor was refused; diags say why, at its place. */
struct trial *trial_open(const struct config *, const struct config_pipeline *, struct diags *);
/* Takes the part. 1 when it was taken; 0: refused, *ret_why (valid until the next call) says why. */
int trial_send(struct trial *, struct part *, const char **ret_why);
struct pool *trial_pool(struct trial *);
void trial_advance(struct trial *, int64_t ns);
/* Spans of this trace (32 hexadecimal digits) that have left the last processor. */
uint64_t trial_kept(const struct trial *, const char *trace_id);
/* What the processors answer to a question (weir_inspect_f): lines, "" when nothing is known. malloc'ed. */
char *trial_ask(struct trial *, const char *question);
void trial_close(struct trial *); /* drains; NULL allowed */

#endif
