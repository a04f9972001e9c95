/*
 * pipelines/test_command.h - `weir test FILE ...`: inputs, a clock, and the decisions that are expected of a pipeline's processors.
 *
 *     config: gateway.yaml             # beside the test file; several: a list
 *     pipeline: traces                 # may be left out when only one pipeline of traces has processors
 *     steps:
 *       - send:
 *           - trace: checkout          # a name, or 32 hexadecimal digits
 *             spans:
 *               - {name: GET /, service: shop, duration: 20ms}
 *               - {name: pay, service: bank, parent: GET /, status: ERROR, attributes: {http.response.status_code: 503}}
 *       - advance: 31s
 *       - expect:
 *           checkout: {outcome: kept, policy: errors, spans: 2}
 *           probe: dropped             # kept, dropped, undecided
 *
 * docs/testing-pipelines.md is the user's page. Every difference is shown with its place in the file and what the processors themselves say of the trace.
 */
#ifndef PIPELINES_TEST_COMMAND_H
#define PIPELINES_TEST_COMMAND_H

#include "pipelines/command.h"
#include "plugins/registry.h"

/* The exit code: 0 all is as expected, 1 a difference, 78 a file that can not be used. */
int test_command(const struct command *, struct registry *);

#endif
