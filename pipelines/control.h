/*
 * pipelines/control.h - commands to a running weir, over a unix socket: the server in the process, and the client behind `weir reload`.
 *
 * One line in ("reload", "replay otlp-traces.dead", "why trace_id=..."), one answer out, at once or later: the exit code for the client in decimal, a newline, then text for its user; then the connection ends. Whoever may
 * open the socket may give commands: it has mode 0600, and a folder that everyone may write to is refused.
 * Threads: [control].
 */
#ifndef PIPELINES_CONTROL_H
#define PIPELINES_CONTROL_H

#include <stddef.h>

#include <weir/error.h>

#include "core/loop.h"

struct control;
struct control_request; /* one command that waits for its answer */

#define CONTROL_LATER (-1)

/* A command came. *ret_text: malloc'ed text to show (NULL = none). Returns the exit code for whoever sent it; or CONTROL_LATER, and control_answer comes within 10 s. */
typedef int control_command_f(void *arg, struct control_request *, const char *command, char **ret_text);
/* The answer to a command for which CONTROL_LATER was returned; once for each, also when whoever asked is gone or control_stop came. Takes the text. */
void control_answer(struct control_request *, int code, char *text);

int control_start(struct loop *, const char *path, control_command_f *, void *arg, struct control **ret, struct weir_error *);
void control_stop(struct control *); /* and removes the socket; NULL allowed. What still waits for an answer gets none */
/* weir.sock in $XDG_RUNTIME_DIR; NULL when that is not set. */
const char *control_default_path(char *buf, size_t cap);

/* The client: sends one command and prints the answer's text (stdout, or stderr on failure). Returns the exit code. path NULL = the default. */
int control_ask(const char *path, const char *command);

#endif
