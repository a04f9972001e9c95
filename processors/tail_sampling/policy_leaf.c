/* One plain policy into a leaf: what its block says, checked. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy_internal.h"

int ts_refuse(struct ts_compiler *c, const char *key, const char *fmt, ...) {
  char msg[sizeof c->err->msg], field[sizeof c->path + 128];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  snprintf(field, sizeof field, "%s%s%s", c->path, key ? "." : "", key ? key : "");
  return weir_fail_field(c->err, field, "%s", msg);
}

static int no_memory(struct ts_compiler *c) { return weir_fail(c->err, WEIR_E_NOMEM, "no memory for the policies"); }

static int needs_block(struct ts_compiler *c, const char *name) {
  weir_hint(c->err, "add `%s:` with its settings below this policy", name);
  return ts_refuse(c, NULL, "a policy of type %s needs the key `%s`", name, name);
}

/* --- attributes ------------------------------------------------------------------------------------- */

static int numeric(struct ts_compiler *c, const struct ts_numeric_config *s, struct ts_leaf *l) {
  if (!s) return needs_block(c, "numeric_attribute");
  l->u.numeric.has_min = s->min_value != TS_NO_MIN && !(c->collector && s->min_value == 0);
  l->u.numeric.has_max = s->max_value != TS_NO_MAX && !(c->collector && s->max_value == 0);
  l->u.numeric.min = l->u.numeric.has_min ? s->min_value : INT64_MIN;
  l->u.numeric.max = l->u.numeric.has_max ? s->max_value : INT64_MAX;
  l->invert = s->invert_match != 0;
  if (l->u.numeric.has_min || l->u.numeric.has_max) return 0;
  weir_hint(c->err, c->collector ? "`semantics: collector` takes 0 as if it were not written, and the Collector crashes at the first trace then" : "write min_value, max_value, or both");
  return ts_refuse(c, "numeric_attribute", "numeric_attribute needs min_value or max_value");
}

/* The service's table; NULL and an error when this weir has none. */
static const void *ask(struct ts_compiler *c, const void *known, const char *id, const char *key, const char *what) {
  const void *table = known ? known : c->host->service(c->stage, id);
  if (!table) ts_refuse(c, key, "%s can not be used: this weir does not offer the service %s", what, id);
  return table;
}

/* A long text is cut, so that there is room for what is wrong with it. */
static int wrong_text(struct ts_compiler *c, const char *key, const char *what, const char *text, const struct weir_error *why) {
  return ts_refuse(c, key, "the %s `%.80s%s` is wrong at byte %llu: %s", what, text, strlen(text) > 80 ? "..." : "", (unsigned long long)why->offset, why->msg);
}

static int regexes(struct ts_compiler *c, struct weir_strings values, struct ts_leaf *l) {
  struct ts_program *p = c->program;
  p->regex = ask(c, p->regex, WEIR_REGEX_SERVICE, "string_attribute.enabled_regex_matching", "regular expressions");
  if (!p->regex) return WEIR_E_CONFIG;
  l->u.text.regexes = ts_keep(p, (values.n + 1) * sizeof *l->u.text.regexes);
  if (!l->u.text.regexes) return no_memory(c);
  for (size_t i = 0; i < values.n; i++) {
    struct weir_error why = { 0 };
    char key[64];
    int rc = p->regex->compile(values.v[i], strlen(values.v[i]), &l->u.text.regexes[i], &why);
    l->u.text.n_regexes = (uint32_t)i + !rc;
    if (rc == WEIR_E_NOMEM) return no_memory(c);
    snprintf(key, sizeof key, "string_attribute.values[%zu]", i);
    if (*why.hint) weir_hint(c->err, "%s", why.hint);
    if (rc == WEIR_E_INVALID) return wrong_text(c, key, "regular expression", values.v[i], &why);
    if (rc) return ts_refuse(c, key, "the regular expression `%s` can not be used: %s", values.v[i], why.msg);
  }
  return 0;
}

static int string(struct ts_compiler *c, const struct ts_string_config *s, struct ts_leaf *l) {
  if (!s) return needs_block(c, "string_attribute");
  l->invert = s->invert_match != 0;
  if (s->enabled_regex_matching) return regexes(c, s->values, l);
  return ts_texts_make(c->program, s->values, SIZE_MAX, &l->u.text.values) ? no_memory(c) : 0;
}

static int boolean(struct ts_compiler *c, const struct ts_boolean_config *s, struct ts_leaf *l) {
  if (!s) return needs_block(c, "boolean_attribute");
  l->u.boolean = s->value;
  l->invert = s->invert_match != 0;
  return 0;
}

/* --- other tests of spans --------------------------------------------------------------------------- */

static int status_code(struct ts_compiler *c, const struct ts_status_code_config *s, struct ts_leaf *l) {
  static const char *const names[] = { "UNSET", "OK", "ERROR" }; /* by Status.StatusCode */
  if (!s) return needs_block(c, "status_code");
  for (size_t i = 0; i < s->status_codes.n; i++) {
    uint32_t code = 0;
    while (code < 3 && strcmp(names[code], s->status_codes.v[i]) != 0) code++;
    char key[64];
    snprintf(key, sizeof key, "status_code.status_codes[%zu]", i);
    if (code == 3) {
      weir_hint(c->err, "it is OK, ERROR or UNSET, in capital letters");
      return ts_refuse(c, key, "there is no status code `%s`", s->status_codes.v[i]);
    }
    l->u.codes |= 1u << code;
  }
  return 0;
}

/* The Collector leaves out values that with their key do not fit into a tracestate. */
static int trace_state(struct ts_compiler *c, const struct ts_trace_state_config *s, struct ts_leaf *l) {
  if (!s) return needs_block(c, "trace_state");
  const char *key = ts_keep_text(c->program, s->key);
  if (!key) return no_memory(c);
  l->u.member.key = weir_str_of(key);
  size_t most = strlen(key) > 255 ? 0 : 255 - strlen(key);
  return ts_texts_make(c->program, s->values, c->collector ? most : 256, &l->u.member.values) ? no_memory(c) : 0;
}

static int conditions(struct ts_compiler *c, uint32_t context, const char *name, struct weir_strings texts, struct weir_expr ***ret, uint32_t *ret_n) {
  struct ts_program *p = c->program;
  struct weir_expr **v = ts_keep(p, (texts.n + 1) * sizeof *v);
  if (!v) return no_memory(c);
  *ret = v;
  for (size_t i = 0; i < texts.n; i++) {
    struct weir_error why = { 0 };
    char key[64];
    int rc = p->expr->compile(context, texts.v[i], &v[i], &why);
    *ret_n = (uint32_t)i + !rc;
    if (rc == WEIR_E_NOMEM) return no_memory(c);
    snprintf(key, sizeof key, "ottl_condition.%s[%zu]", name, i);
    if (*why.hint) weir_hint(c->err, "%s", why.hint);
    if (rc) return wrong_text(c, key, "condition", texts.v[i], &why);
  }
  return 0;
}

static int ottl(struct ts_compiler *c, const struct ts_ottl_config *s, struct ts_leaf *l) {
  if (!s) return needs_block(c, "ottl_condition");
  if (s->span.n + s->spanevent.n == 0) return ts_refuse(c, "ottl_condition", "ottl_condition needs a condition below `span` or `spanevent`");
  c->program->expr = ask(c, c->program->expr, WEIR_EXPR_SERVICE, "ottl_condition", "OTTL conditions");
  if (!c->program->expr) return WEIR_E_CONFIG;
  l->u.ottl.mode = s->error_mode;
  int rc = conditions(c, WEIR_EXPR_SPAN, "span", s->span, &l->u.ottl.span, &l->u.ottl.n_span);
  return rc ? rc : conditions(c, WEIR_EXPR_SPANEVENT, "spanevent", s->spanevent, &l->u.ottl.event, &l->u.ottl.n_event);
}

void ts_leaf_free(const struct ts_program *p, struct ts_leaf *l) {
  if (l->type == TS_STRING)
    for (uint32_t i = 0; i < l->u.text.n_regexes; i++) p->regex->regex_free(l->u.text.regexes[i]);
  if (l->type != TS_OTTL) return;
  for (uint32_t i = 0; i < l->u.ottl.n_span; i++) p->expr->expr_free(l->u.ottl.span[i]);
  for (uint32_t i = 0; i < l->u.ottl.n_event; i++) p->expr->expr_free(l->u.ottl.event[i]);
}

/* --- the whole trace ---------------------------------------------------------------------------------- */

static int probabilistic(const struct ts_compiler *c, const struct ts_probabilistic_config *s, struct ts_leaf *l) {
  const char *salt = s && s->hash_salt && *s->hash_salt ? s->hash_salt : NULL;
  ts_chance_set(l, s ? s->sampling_percentage : 0, salt || !c->collector ? salt : "");
  return 0;
}

static int rate(struct ts_compiler *c, const struct ts_rate_config *s, struct ts_leaf *l) {
  l->u.rate = ts_rate_new(c->program, s ? s->per_second : 0, s ? s->burst_capacity : 0);
  return l->u.rate ? 0 : no_memory(c);
}

static int whole_trace(struct ts_compiler *c, const struct ts_policy_config *p, struct ts_leaf *l) {
  switch (l->type) {
  case TS_LATENCY:
    l->u.latency.over_ms = p->latency ? p->latency->threshold_ms : 0;
    l->u.latency.upto_ms = p->latency ? p->latency->upper_threshold_ms : 0;
    return 0;
  case TS_SPAN_COUNT:
    l->u.count.min = p->span_count ? p->span_count->min_spans : 0;
    l->u.count.max = p->span_count ? p->span_count->max_spans : 0;
    return 0;
  case TS_PROBABILISTIC:
    return probabilistic(c, p->probabilistic, l);
  case TS_RATE_LIMITING:
    return rate(c, p->rate_limiting, l);
  case TS_BYTES_LIMITING:
    return rate(c, p->bytes_limiting, l);
  default: /* always_sample, trace_flags: no settings */
    return 0;
  }
}

int ts_leaf_compile(struct ts_compiler *c, const struct ts_policy_config *p, enum ts_type type, struct ts_leaf *l, const char **ret_key) {
  l->type = (uint8_t)type;
  l->bit = l->error_bit = TS_LEAF_NONE;
  *ret_key = NULL;
  switch (type) {
  case TS_NUMERIC:
    *ret_key = p->numeric_attribute ? p->numeric_attribute->key : NULL;
    return numeric(c, p->numeric_attribute, l);
  case TS_STRING:
    *ret_key = p->string_attribute ? p->string_attribute->key : NULL;
    return string(c, p->string_attribute, l);
  case TS_BOOLEAN:
    *ret_key = p->boolean_attribute ? p->boolean_attribute->key : NULL;
    return boolean(c, p->boolean_attribute, l);
  case TS_STATUS_CODE:
    return status_code(c, p->status_code, l);
  case TS_TRACE_STATE:
    return trace_state(c, p->trace_state, l);
  case TS_OTTL:
    return ottl(c, p->ottl_condition, l);
  default:
    return whole_trace(c, p, l);
  }
}
