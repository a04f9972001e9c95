#include "pipelines/question.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/parse.h"
#include "plugins/kit/question.h"

static int hex_lower(char c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) return c;
  return c >= 'A' && c <= 'F' ? c - 'A' + 'a' : 0;
}

int question_trace_id(const char *text, char ret[33], struct weir_error *err) {
  size_t n = 0;
  weir_hint(err, "as in 4bf92f3577b34da6a3ce929d0e0e4736");
  for (const char *p = text; *p; p++) {
    int c = hex_lower(*p);
    if (*p == '-') continue;
    if (!c) return weir_fail(err, WEIR_E_INVALID, "a trace id has 32 hex digits, and character %zu is none", (size_t)(p - text) + 1);
    if (n < 32) ret[n] = (char)c;
    n++;
  }
  if (n != 32) return weir_fail(err, WEIR_E_INVALID, "a trace id has 32 hex digits, and this has %zu", n);
  ret[32] = 0;
  *err->hint = 0;
  return 0;
}

static int add(char *buf, const char *key, const char *value, struct weir_error *err) {
  if (!value || kit_question_put(buf, QUESTION_MAX_N, key, value) == 0) return 0;
  return weir_fail(err, WEIR_E_INVALID, "the question is longer than %u bytes with its `%s`", QUESTION_MAX_N, key);
}

static int add_since(char *buf, const char *since, struct weir_error *err) {
  int64_t ago, from;
  char text[24];
  if (!since) return 0;
  if (parse_duration_ns(since, &ago) || ago < 0) {
    weir_hint(err, "as in 5m, 90s, 1h30m");
    return weir_fail(err, WEIR_E_INVALID, "`since` is no duration");
  }
  from = clock_unix_ns() - ago;
  snprintf(text, sizeof text, "%" PRId64, from > 0 ? from : 0);
  return add(buf, "since_unix_ns", text, err);
}

static int add_limit(char *buf, const char *limit, struct weir_error *err) {
  uint64_t n;
  if (!limit || (*limit >= '0' && *limit <= '9' && parse_u64(limit, &n) == 0)) return add(buf, "limit", limit, err);
  weir_hint(err, "a number of decisions; 0 = all that are there");
  return weir_fail(err, WEIR_E_INVALID, "`limit` is no number");
}

static int add_outcome(char *buf, const char *outcome, struct weir_error *err) {
  if (!outcome || !strcmp(outcome, "kept") || !strcmp(outcome, "dropped")) return add(buf, "outcome", outcome, err);
  weir_hint(err, "kept or dropped");
  return weir_fail(err, WEIR_E_INVALID, "`outcome` is neither of two");
}

int question_line(const struct question *q, char buf[QUESTION_MAX_N], struct weir_error *err) {
  char id[33];
  snprintf(buf, QUESTION_MAX_N, "%s", q->trace_id ? "why" : "decisions");
  if (q->trace_id && question_trace_id(q->trace_id, id, err)) return err->code;
  int r = q->trace_id ? add(buf, "trace_id", id, err) : 0;
  if (!r) r = add_outcome(buf, q->outcome, err);
  if (!r) r = add_since(buf, q->since, err);
  if (!r) r = add_limit(buf, q->limit, err);
  if (!r) r = add(buf, "policy", q->policy, err);
  if (!r) r = add(buf, "stage", q->stage, err);
  return r ? r : add(buf, "format", q->json ? "json" : NULL, err);
}
