/* Questions to the running graph, by socket and by HTTP. */
#include "pipelines/ask.h"
#include "pipelines/control.h"
#include "pipelines/run_internal.h"
#include "plugins/kit/question.h"

static void on_answer(void *arg, const struct ask_result *result) { control_answer(arg, result->code == ASK_FOUND ? EXIT_OK : EXIT_FAILED, ask_text(result)); }

int run_ask_command(struct run *r, struct control_request *request, const char *command) {
  if (!kit_question_is(command, "why") && !kit_question_is(command, "decisions")) return 0;
  ask_stages(r->asks, r->graph, command, on_answer, request);
  return 1;
}

static void ask_graph(void *arg, const char *question, ask_done_f *done, void *done_arg) {
  struct run *r = arg;
  ask_stages(r->asks, r->graph, question, done, done_arg);
}

void run_ask_start(struct run *r) {
  r->asks = asks_new(&r->control);
  telemetry_on_question(r->telemetry, ask_graph, r);
}

void run_ask_stop(struct run *r) {
  telemetry_on_question(r->telemetry, NULL, NULL);
  asks_stop(r->asks);
  r->asks = NULL;
}
