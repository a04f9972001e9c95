/*
 * pipelines/question.h - the questions that people ask of a running weir, from words of the command line or of a URL to the line that stages read (plugins/kit/question.h).
 *
 * Pure functions. [any]
 */
#ifndef PIPELINES_QUESTION_H
#define PIPELINES_QUESTION_H

#include <stddef.h>

#include <weir/error.h>

#define QUESTION_MAX_N 480u /* a line, with its 0: it has to fit into a command (pipelines/control.h) */

/* What is NULL was not said. */
struct question {
  const char *trace_id; /* `why`; NULL: `decisions` */
  const char *outcome;  /* "kept", "dropped" */
  const char *policy;
  const char *since; /* a duration: "5m" */
  const char *limit; /* a number; 0 = all */
  const char *stage; /* id of a component or of a pipeline: only instances there are asked */
  int json;
};

/* The line. 0; or WEIR_E_INVALID, with what is wrong and what to do, and nothing of what the words say in it. */
int question_line(const struct question *, char buf[QUESTION_MAX_N], struct weir_error *);
/* 32 hex digits in lower case from a trace id as people have it: upper case and dashes are allowed. */
int question_trace_id(const char *text, char ret[33], struct weir_error *);

#endif
