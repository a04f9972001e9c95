/*
 * pipelines/test_spans.h - the traces of a test file (`weir test`) as OTLP.
 */
#ifndef PIPELINES_TEST_SPANS_H
#define PIPELINES_TEST_SPANS_H

#include <weir/config.h>

#include "core/diag.h"
#include "core/part.h"

struct yaml_node;

struct test_span {
  const char *name, *service, *id, *parent, *message, *trace_state;
  int64_t start_ns, duration_ns; /* start: after the time of sending */
  int32_t kind, status;
  const struct yaml_node *attributes, *resource;
};

struct test_trace {
  const char *name;
  struct weir_groups spans; /* struct test_span */
};

extern const struct weir_field test_trace_fields[];

/* The trace's id as 32 hexadecimal digits: the name itself if it is one, else made from it. */
void test_trace_id(const char *name, char id[33]);
/* One request with these traces' spans, at this time. NULL: diags say what is wrong. */
struct part *test_spans_make(struct pool *, const struct weir_groups *traces, int64_t unix_ns, struct pos at, struct diags *);

#endif
