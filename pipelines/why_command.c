#include "pipelines/why_command.h"

#include "pipelines/control.h"
#include "pipelines/question.h"
#include "pipelines/run.h"

int why_command(const struct command *c) {
  const struct question q = { .trace_id = c->trace_id,
    .outcome = c->kept ? "kept" : c->dropped ? "dropped" : NULL,
    .policy = c->policy,
    .since = c->since,
    .limit = c->limit_text,
    .stage = c->at,
    .json = c->json };
  char line[QUESTION_MAX_N];
  struct weir_error err = { 0 };
  if (question_line(&q, line, &err) == 0) return control_ask(c->socket, line);
  fprintf(stderr, "weir: %s\n", err.msg);
  if (*err.hint) fprintf(stderr, "  %s\n", err.hint);
  return EXIT_USAGE;
}
