/*
 * tests/unit/processors/tail_fixture.h - policies from YAML, spans from short texts, and stand-ins for the services of regular expressions and conditions.
 *
 * A span is words: `100..600` its time in ms, `ERROR` `OK` its status, `sampled` the flag, `child` it has a parent, `ts:TEXT` its trace_state, `ev:NAME` an event,
 * `key=5` `key=5.5` `key=true` `key='text'` `key=[]` attributes, `@key=..` of its resource.
 */
#ifndef TAIL_FIXTURE_H
#define TAIL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weir/expr.h>
#include <weir/regex.h>

#include "core/arena.h"
#include "plugins/schema.h"
#include "processors/tail_sampling/policy.h"
#include "processors/tail_sampling/policy_config.h"

/* --- services: ^a, a$, a; conditions `error`, `has KEY`, `event NAME`, `fail`, `fail if KEY` ------------- */

struct weir_regex {
  char *p;
  size_t n;
};

static int fake_regex_compile(const char *pattern, size_t n, struct weir_regex **ret, struct weir_error *err) {
  const char *wrong = memchr(pattern, '(', n);
  if (wrong) {
    err->offset = (uint64_t)(wrong - pattern);
    return weir_fail(err, WEIR_E_INVALID, "missing ) (at byte %u)", (unsigned)err->offset);
  }
  struct weir_regex *r = malloc(sizeof *r + n + 1);
  if (!r) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  *r = (struct weir_regex){ (char *)(r + 1), n };
  memcpy(r->p, pattern, n + 1);
  *ret = r;
  return 0;
}

static int fake_regex_match(const struct weir_regex *r, const char *p, size_t n) {
  int head = r->n && r->p[0] == '^', tail = r->n > (size_t)head && r->p[r->n - 1] == '$';
  const char *word = r->p + head;
  size_t m = r->n - (size_t)head - (size_t)tail;
  if (m == 4 && memcmp(word, "slow", 4) == 0) return WEIR_E_LIMIT;
  for (size_t i = 0; i + m <= n; i++)
    if (memcmp(p + i, word, m) == 0 && !(head && i) && !(tail && i + m < n)) return 1;
  return 0;
}

static void fake_regex_free(struct weir_regex *r) { free(r); }

static const struct weir_regex_service fake_regex = { sizeof fake_regex, 0, fake_regex_compile, fake_regex_match, fake_regex_free };

struct weir_expr {
  char text[64];
};

static int fake_expr_compile(uint32_t context, const char *text, struct weir_expr **ret, struct weir_error *err) {
  if (strstr(text, "??")) {
    err->offset = (uint64_t)(strstr(text, "??") - text);
    return weir_fail(err, WEIR_E_INVALID, "expected a path (at byte %u)", (unsigned)err->offset);
  }
  assert_true(context == WEIR_EXPR_SPAN || context == WEIR_EXPR_SPANEVENT);
  *ret = calloc(1, sizeof **ret);
  if (!*ret) return weir_fail(err, WEIR_E_NOMEM, "no memory");
  snprintf((*ret)->text, sizeof (*ret)->text, "%s", text);
  return 0;
}

static int fake_expr_eval(const struct weir_expr *e, const struct weir_expr_input *in, struct weir_error *err) {
  (void)err;
  if (strcmp(e->text, "error") == 0) return in->span->status_code == 2;
  if (strncmp(e->text, "has ", 4) == 0) return weir_attr_find(&in->span->rec, weir_str_of(e->text + 4)) != NULL;
  if (strncmp(e->text, "event ", 6) == 0) return weir_str_eq(in->event->name, weir_str_of(e->text + 6));
  if (strncmp(e->text, "fail if ", 8) == 0) return weir_attr_find(&in->span->rec, weir_str_of(e->text + 8)) ? WEIR_E_INVALID : 0;
  return WEIR_E_INVALID;
}

static void fake_expr_free(struct weir_expr *e) { free(e); }
static const struct weir_expr_service fake_expr = { sizeof fake_expr, 0, fake_expr_compile, fake_expr_eval, fake_expr_free };

static int no_services;

static const void *fake_service(struct weir_stage *stage, const char *id) {
  (void)stage;
  if (no_services) return NULL;
  return strcmp(id, WEIR_REGEX_SERVICE) == 0 ? (const void *)&fake_regex : strcmp(id, WEIR_EXPR_SERVICE) == 0 ? (const void *)&fake_expr : NULL;
}

static const struct weir_host fake_host = { .size = sizeof fake_host, .service = fake_service };

/* --- configuration --------------------------------------------------------------------------------------- */

struct bound {
  struct diags ds;
  struct arena a;
  struct ts_config config;
  struct yaml_node *root;
};

/* Whether the field tables take it. */
static int bind_yaml(struct bound *b, const char *yaml) {
  diags_init(&b->ds);
  arena_init(&b->a, NULL, 4096);
  memset(&b->config, 0, sizeof b->config);
  b->root = yaml_parse_part(&b->a, &b->ds, diags_add_file(&b->ds, "a.yaml", yaml, strlen(yaml)), 0, strlen(yaml));
  assert_non_null(b->root);
  yaml_expand(&b->a, &b->ds, b->root);
  struct schema_binding s = { { ts_fields, sizeof *ts_fields }, &b->config };
  schema_bind(&b->a, &b->ds, "processor `tail_sampling`", (struct pos){ 0, 1, 1, 1 }, b->root, &s, 1);
  return b->ds.n_errors == 0;
}

static void bound_done(struct bound *b) {
  arena_done(&b->a);
  diags_done(&b->ds);
}

__attribute__((unused)) static struct ts_program *program_of(struct bound *b, const char *yaml) {
  struct ts_program *p;
  struct weir_error err = { 0 };
  if (!bind_yaml(b, yaml)) {
    char *got = diags_render(&b->ds);
    fail_msg("%s\n%s", yaml, got);
  }
  if (ts_program_new(&fake_host, NULL, &b->config, &p, &err)) fail_msg("%s\n%s: %s", yaml, err.field, err.msg);
  return p;
}

/* --- spans ------------------------------------------------------------------------------------------------- */

#define TEXT_SPANS 32
#define TEXT_ATTRS 12
#define T0 1700000000000000000u

struct text_span {
  struct weir_span span;
  struct weir_resource resource;
  struct weir_scope scope;
  struct weir_attr attrs[TEXT_ATTRS], resource_attrs[TEXT_ATTRS];
  struct weir_event events[4], *event_list[4];
  char words[512];
};

static struct weir_value text_value(char *p) {
  size_t n = strlen(p);
  if (*p == '\'') return weir_value_str(p + 1, (uint32_t)(n - 2));
  if (*p == '[') return (struct weir_value){ WEIR_V_ARRAY, 0, { .items = NULL } };
  if (strcmp(p, "true") == 0 || strcmp(p, "false") == 0) return (struct weir_value){ WEIR_V_BOOL, 0, { .i = *p == 't' } };
  if (strpbrk(p, ".en")) return (struct weir_value){ WEIR_V_DOUBLE, 0, { .d = strtod(p, NULL) } };
  return weir_value_int(strtoll(p, NULL, 10));
}

static void text_word(struct text_span *t, char *w) {
  char *dots = strstr(w, ".."), *eq = strchr(w, '=');
  int of_resource = *w == '@';
  if (strncmp(w, "ts:", 3) == 0) {
    t->span.trace_state = weir_str_of(w + 3);
  } else if (strncmp(w, "ev:", 3) == 0) {
    t->events[t->span.n_events].name = weir_str_of(w + 3);
    t->event_list[t->span.n_events] = &t->events[t->span.n_events];
    t->span.n_events++;
  } else if (eq) {
    *eq = 0;
    struct weir_rec *rec = of_resource ? &t->resource.rec : &t->span.rec;
    assert_true(rec->n_attrs < TEXT_ATTRS);
    rec->attrs[rec->n_attrs].key = weir_str_of(w + of_resource);
    rec->attrs[rec->n_attrs++].value = text_value(eq + 1);
  } else if (dots) {
    uint64_t from = strtoull(w, NULL, 10), to = strtoull(dots + 2, NULL, 10);
    t->span.start_time_unix_nano = from ? T0 + from * 1000000 : 0;
    t->span.end_time_unix_nano = to ? T0 + to * 1000000 : 0;
  } else if (strcmp(w, "ERROR") == 0 || strcmp(w, "OK") == 0) {
    t->span.status_code = *w == 'E' ? 2 : 1;
  } else if (strcmp(w, "sampled") == 0) {
    t->span.flags = 0x101;
  } else if (strcmp(w, "child") == 0) {
    t->span.parent_span_id = (struct weir_str){ "parent00", 8, 0 };
  } else {
    fail_msg("what is `%s`?", w);
  }
}

static void text_span(struct text_span *t, const char *text, size_t n) {
  memset(t, 0, sizeof *t);
  assert_true(n < sizeof t->words);
  memcpy(t->words, text, n);
  t->span.rec.attrs = t->attrs;
  t->resource.rec.attrs = t->resource_attrs;
  t->span.events = t->event_list;
  for (char *save, *w = strtok_r(t->words, " ", &save); w; w = strtok_r(NULL, " ", &save)) text_word(t, w);
}

/* `a | b | c`: how many. */
static size_t text_trace(struct text_span *v, const char *text) {
  size_t n = 0;
  for (const char *p = text; p;) {
    const char *bar = strstr(p, " | ");
    assert_true(n < TEXT_SPANS);
    text_span(&v[n++], p, bar ? (size_t)(bar - p) : strlen(p));
    p = bar ? bar + 3 : NULL;
  }
  return n;
}

/* --- a trace's decision --------------------------------------------------------------------------------------- */

struct judged {
  struct ts_facts facts;
  struct ts_verdict v;
  uint64_t bits[64];
  uint8_t said[TS_POLICIES_MAX];
};

__attribute__((unused)) static void judge_start(struct judged *j, const struct ts_program *p, const uint8_t id[16]) {
  memset(j, 0, sizeof *j);
  j->facts.bits = j->bits;
  j->v.said = j->said;
  assert_true(ts_program_words(p) <= 64);
  ts_facts_init(p, &j->facts, id);
}

__attribute__((unused)) static int judge_see(struct ts_observer *o, struct judged *j, struct text_span *t) {
  return ts_observe(o, &t->resource, &t->scope, &t->span, 100, &j->facts);
}

__attribute__((unused)) static void judge(struct ts_program *p, struct judged *j, const char *trace, const uint8_t id[16], int64_t now_ns) {
  static struct text_span v[TEXT_SPANS];
  struct ts_observer o;
  size_t n = text_trace(v, trace);
  assert_int_equal(ts_observer_init(&o, p), 0);
  judge_start(j, p, id);
  for (size_t i = 0; i < n; i++) judge_see(&o, j, &v[i]);
  ts_decide(p, &j->facts, now_ns, &j->v);
  ts_observer_done(&o);
}

#endif
