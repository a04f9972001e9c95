/*
 * pipelines/ask.h - questions to the stages of the running graph (weir_inspect_f), and their answers in one.
 *
 * A question goes to every lane at once; there each instance whose type has `inspect`, and which is started and not closed, is asked between callbacks of its lane. The lines are gathered, sorted
 * by their beginning, and given to whoever asked, in a later step of the control loop. A lane that does not answer within ASK_TIMEOUT_NS is told of; nobody waits for it longer.
 * Bounded: ASK_INSTANCE_MAX bytes of each instance, ASKS_MAX questions at a time. See docs/design/admin.md.
 * Threads: [control].
 */
#ifndef PIPELINES_ASK_H
#define PIPELINES_ASK_H

#include "core/clock.h"
#include "pipelines/graph.h"

#define ASK_TIMEOUT_NS (5 * NS_PER_S)
#define ASK_INSTANCE_MAX (1u << 20)
#define ASKS_MAX 8u

#define ASK_FOUND 0
#define ASK_NOTHING 1 /* stages answered, and know nothing of it */
#define ASK_NOBODY 2  /* no stage answers this question */
#define ASK_FAILED 3  /* too many questions, a lane that is stuck, a shutdown */

/* Valid for the call. */
struct ask_result {
  int code;
  const char *question;
  const char *why, *hint; /* unless ASK_FOUND: a sentence, and what to do ("" when there is nothing) */
  const struct weir_str *lines; /* without their newlines */
  size_t n_lines;
  int left_out; /* an instance had more to say */
};

typedef void ask_done_f(void *arg, const struct ask_result *);

struct asks;

struct asks *asks_new(struct loop *control);
/* Answers those that are open by ASK_FAILED, and frees it. What lanes still bring frees itself, so they and the control loop have to run once more. NULL allowed. */
void asks_stop(struct asks *);
/* `done` comes once, in a later step (or from asks_stop). The question is copied. With stage=ID in it only instances of this component or pipeline are asked. */
void ask_stages(struct asks *, const struct graph *, const char *question, ask_done_f *done, void *arg);

/* The answer as one malloc'ed text: lines for people (or of JSON, as they were asked for), or why there are none. */
char *ask_text(const struct ask_result *);
/* {"decisions":[...]}, with "left_out":true where that is so; or {"error":"..."}. Malloc'ed. */
char *ask_json(const struct ask_result *, size_t *ret_n);

#endif
