/* What a leaf tests, for people. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy_internal.h"

#define TEXT_MAX 240

struct text {
  char p[TEXT_MAX + 8];
  size_t n;
};

WEIR_PRINTF(2, 3)
static void say(struct text *t, const char *fmt, ...) {
  va_list ap;
  if (t->n >= TEXT_MAX) return;
  va_start(ap, fmt);
  int n = vsnprintf(t->p + t->n, TEXT_MAX - t->n, fmt, ap);
  va_end(ap);
  if (n < 0) return;
  t->n += (size_t)n;
  if (t->n < TEXT_MAX) return;
  t->n = TEXT_MAX - 1;
  while (t->n && ((unsigned char)t->p[t->n - 1] & 0xc0) == 0x80) t->n--; /* not within a character */
  if (t->n && (unsigned char)t->p[t->n - 1] >= 0xc0) t->n--;
  memcpy(t->p + t->n, "...", 4);
  t->n = TEXT_MAX;
}

static void say_list(struct text *t, struct weir_strings s, const char *between) {
  for (size_t i = 0; i < s.n; i++) say(t, "%s%s", i ? between : "", s.v[i]);
}

static void say_latency(struct text *t, const struct ts_leaf *l) {
  say(t, "latency > %lld ms", (long long)l->u.latency.over_ms);
  if (l->u.latency.upto_ms) say(t, " and <= %lld ms", (long long)l->u.latency.upto_ms);
}

static void say_number(struct text *t, const char *key, const struct ts_leaf *l) {
  if (l->u.numeric.has_min) say(t, "%s >= %lld", key, (long long)l->u.numeric.min);
  if (l->u.numeric.has_max) say(t, "%s%s <= %lld", l->u.numeric.has_min ? " and " : "", key, (long long)l->u.numeric.max);
}

static void say_string(struct text *t, const struct ts_string_config *s) {
  say(t, s->enabled_regex_matching ? "%s matches " : "%s is ", s->key);
  say_list(t, s->values, " or ");
}

static void say_count(struct text *t, const struct ts_leaf *l) {
  say(t, "span_count >= %llu", (unsigned long long)l->u.count.min);
  if (l->u.count.max) say(t, " and <= %llu", (unsigned long long)l->u.count.max);
}

static void say_rate(struct text *t, const struct ts_leaf *l, const char *unit) {
  say(t, "within %llu %s a second (at most %llu at once)", (unsigned long long)l->u.rate->per_second, unit, (unsigned long long)l->u.rate->burst);
}

static void say_ottl(struct text *t, const struct ts_ottl_config *s) {
  if (s->span.n) say(t, "span: ");
  say_list(t, s->span, " or ");
  if (s->spanevent.n) say(t, "%sspanevent: ", s->span.n ? "; " : "");
  say_list(t, s->spanevent, " or ");
}

static void say_leaf(struct text *t, const struct ts_policy_config *p, const struct ts_leaf *l) {
  switch (l->type) {
  case TS_LATENCY:
    say_latency(t, l);
    break;
  case TS_NUMERIC:
    say_number(t, p->numeric_attribute->key, l);
    break;
  case TS_PROBABILISTIC:
    say(t, "probability %g %%", p->probabilistic ? p->probabilistic->sampling_percentage : 0);
    break;
  case TS_STATUS_CODE:
    say(t, "status_code is ");
    say_list(t, p->status_code->status_codes, " or ");
    break;
  case TS_STRING:
    say_string(t, p->string_attribute);
    break;
  case TS_RATE_LIMITING:
    say_rate(t, l, "spans");
    break;
  case TS_BYTES_LIMITING:
    say_rate(t, l, "bytes");
    break;
  case TS_SPAN_COUNT:
    say_count(t, l);
    break;
  case TS_TRACE_STATE:
    say(t, "trace_state %s is ", p->trace_state->key);
    say_list(t, p->trace_state->values, " or ");
    break;
  case TS_TRACE_FLAGS:
    say(t, "trace_flags has sampled");
    break;
  case TS_BOOLEAN:
    say(t, "%s is %s", p->boolean_attribute->key, l->u.boolean ? "true" : "false");
    break;
  case TS_OTTL:
    say_ottl(t, p->ottl_condition);
    break;
  default:
    say(t, "always");
  }
}

const char *ts_leaf_describe(struct ts_program *program, const struct ts_policy_config *p, const struct ts_leaf *l) {
  struct text t = { .n = 0 };
  if (l->invert) say(&t, "not: ");
  say_leaf(&t, p, l);
  return ts_keep_text(program, t.p);
}
