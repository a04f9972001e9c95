#include "pipelines/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/parse.h"
#include "pipelines/question.h"
#include "plugins/kit/bytes.h"
#include "plugins/kit/question.h"

#define ON_CONTROL UINT32_MAX
#define LIMIT_DEFAULT 100u /* of `decisions`, as each instance has it */

/* What one lane says. It belongs to the lane from the post until it comes back. */
struct lane_part {
  struct ask *ask;
  struct post post;
  const struct graph *graph;
  uint32_t lane;
  int answered, left_out, is_back;
  struct kit_bytes text;
};

struct ask {
  struct asks *all; /* NULL: who asked has heard */
  struct loop *control;
  char question[QUESTION_MAX_N], stage[QUESTION_MAX_N];
  int filtered;
  ask_done_f *done;
  void *arg;
  struct timer timer;
  struct defer refused;
  struct lane_part *parts;
  uint32_t n_parts, n_left;
  struct ask *next, **at;
};

struct asks {
  struct loop *control;
  struct ask *first;
  uint32_t n;
};

/* --- on the lanes ------------------------------------------------------------------------------------------------------- */

struct collector {
  struct weir_answer answer; /* first: what a stage has is this */
  struct lane_part *part;
  size_t from;
};

static void on_put(struct weir_answer *a, const char *p, size_t n) {
  struct collector *c = (struct collector *)(void *)a;
  struct kit_bytes *text = &c->part->text;
  if (c->part->left_out || n > ASK_INSTANCE_MAX - (text->n - c->from)) c->part->left_out = 1;
  else kit_put(text, p, n);
}

static void ask_stage(struct lane_part *p, struct weir_stage *stage) {
  struct collector c = { { .size = sizeof(struct weir_answer), .put = on_put }, p, p->text.n };
  int left_out = p->left_out;
  p->left_out = 0;
  p->answered += stage_inspect(stage, p->ask->question, &c.answer);
  if (p->left_out) /* the line that did not fit ends with the last newline */
    while (p->text.n > c.from && p->text.p[p->text.n - 1] != '\n') p->text.n--;
  if (p->text.n > c.from && p->text.p[p->text.n - 1] != '\n') kit_put_char(&p->text, '\n');
  p->left_out |= left_out;
}

static int is_meant(const struct ask *a, const struct site *s) {
  return !a->filtered || strcmp(s->component->id, a->stage) == 0 || (s->pipeline && strcmp(s->pipeline->id, a->stage) == 0);
}

static void come_back(void *arg);

/* The graph is still there: it is freed after a loop_call on each lane, behind this post. */
static void ask_lane(void *arg) {
  struct lane_part *p = arg;
  uint32_t node = p->lane == ON_CONTROL ? 0 : p->lane;
  for (size_t i = 0; i < p->graph->n_sites; i++) {
    struct site *s = p->graph->sites[i];
    if (!s->component->entry->type.inspect || (s->role == WEIR_EXTENSION) != (p->lane == ON_CONTROL) || node >= s->n_nodes) continue;
    if (is_meant(p->ask, s)) ask_stage(p, &s->nodes[node].stage);
  }
  p->post.fn = come_back;
  loop_post_embedded(p->ask->control, &p->post);
}

/* --- the answer ------------------------------------------------------------------------------------------------------------ */

static void forget(struct ask *a) {
  *a->at = a->next;
  if (a->next) a->next->at = a->at;
  a->all->n--;
  a->all = NULL;
  timer_cancel(a->control, &a->timer);
  loop_cancel(a->control, &a->refused);
}

static void free_ask(struct ask *a) {
  for (uint32_t i = 0; i < a->n_parts; i++) kit_bytes_free(&a->parts[i].text);
  free(a->parts);
  free(a);
}

static void answer(struct ask *a, struct ask_result *r) {
  r->question = a->question;
  if (!r->why) r->why = "";
  if (!r->hint) r->hint = "";
  forget(a);
  a->done(a->arg, r);
  if (!a->n_left) free_ask(a);
}

static void fail(struct ask *a, const char *why, const char *hint) { answer(a, &(struct ask_result){ .code = ASK_FAILED, .why = why, .hint = hint }); }

static int key_of(const struct weir_str *line) {
  size_t n = 0;
  while (n < line->n && line->p[n] != ' ' && line->p[n] != ',') n++;
  return (int)n;
}

/* By what stands before the first space or comma; equal ones stay in the order of lanes and of each answer, which is that of their addresses in one text. */
static int by_beginning(const void *x, const void *y) {
  const struct weir_str *a = x, *b = y;
  int n = key_of(a), m = key_of(b), r = memcmp(a->p, b->p, (size_t)(n < m ? n : m));
  if (!r) r = n - m;
  return r ? r : (a->p > b->p) - (a->p < b->p);
}

static struct weir_str *split_lines(const struct kit_bytes *text, size_t *ret_n) {
  size_t n = 0;
  for (size_t i = 0; i < text->n; i++) n += text->p[i] == '\n';
  struct weir_str *lines = calloc(n + 1, sizeof *lines);
  WEIR_ASSERT(lines != NULL);
  const char *at = text->p;
  for (size_t i = 0; i < n; i++) {
    const char *end = memchr(at, '\n', text->n - (size_t)(at - text->p));
    lines[i] = (struct weir_str){ .p = at, .n = (uint32_t)(end - at) };
    at = end + 1;
  }
  if (n) qsort(lines, n, sizeof *lines, by_beginning);
  *ret_n = n;
  return lines;
}

/* Each instance gave its newest; of all, the newest count. */
static size_t limit_of(const struct ask *a) {
  char text[24];
  uint64_t limit = LIMIT_DEFAULT;
  if (!kit_question_is(a->question, "decisions")) return SIZE_MAX;
  if (kit_question_get(a->question, "limit", text, sizeof text) == 1 && parse_u64(text, &limit)) limit = LIMIT_DEFAULT;
  return limit ? limit : SIZE_MAX;
}

static void explain(const struct ask *a, int answered, struct ask_result *r) {
  int why = kit_question_is(a->question, "why");
  if (!answered) {
    r->code = ASK_NOBODY;
    r->why = a->filtered ? "no running stage of that component or pipeline records decisions" : "no running stage records decisions";
    r->hint = "is there a tail_sampling processor in a pipeline?";
    return;
  }
  r->code = ASK_NOTHING;
  r->why = why ? "nothing is known of this trace" : "there is no such decision";
  r->hint = why ? "it did not come here, or is not decided yet, or newer decisions have taken its place (tail_sampling: decision_log)" : "";
}

static void give_answer(struct ask *a) {
  struct ask_result r = { .code = ASK_FOUND };
  struct kit_bytes all = { 0 };
  int answered = 0;
  size_t n, limit = limit_of(a);
  for (uint32_t i = 0; i < a->n_parts; i++) {
    answered += a->parts[i].answered;
    r.left_out |= a->parts[i].left_out;
    kit_put(&all, a->parts[i].text.p, a->parts[i].text.n);
    all.failed |= a->parts[i].text.failed;
  }
  struct weir_str *lines = split_lines(&all, &n);
  if (all.failed) {
    r = (struct ask_result){ .code = ASK_FAILED, .why = "there is no memory for the answer" };
  } else if (n) {
    r.n_lines = n < limit ? n : limit;
    r.lines = lines + (n - r.n_lines);
  } else {
    explain(a, answered, &r);
  }
  answer(a, &r);
  free(lines);
  kit_bytes_free(&all);
}

static void come_back(void *arg) {
  struct lane_part *p = arg;
  struct ask *a = p->ask;
  p->is_back = 1;
  if (--a->n_left) return;
  if (a->all) give_answer(a);
  else free_ask(a);
}

static void too_late(void *arg) {
  struct ask *a = arg;
  char why[100];
  uint32_t i = 0;
  while (a->parts[i].is_back) i++;
  snprintf(why, sizeof why, "lane %u did not answer within %d s: it is stuck, or has more to do than it can", a->parts[i].lane, (int)(ASK_TIMEOUT_NS / NS_PER_S));
  fail(a, why, "ask again");
}

static void refuse(void *arg) { fail(arg, "too many questions are open", "ask again"); }

/* --- asking ------------------------------------------------------------------------------------------------------------------ */

struct asks *asks_new(struct loop *control) {
  struct asks *all = calloc(1, sizeof *all);
  WEIR_ASSERT(all != NULL);
  all->control = control;
  return all;
}

void asks_stop(struct asks *all) {
  if (!all) return;
  while (all->first) fail(all->first, "weir is shutting down", "");
  free(all);
}

static void post_all(struct ask *a, const struct graph *g) {
  a->n_parts = a->n_left = g->n_lanes + 1;
  a->parts = calloc(a->n_parts, sizeof *a->parts);
  WEIR_ASSERT(a->parts != NULL);
  for (uint32_t i = 0; i < a->n_parts; i++) {
    struct lane_part *p = &a->parts[i];
    *p = (struct lane_part){ .ask = a, .graph = g, .lane = i < g->n_lanes ? i : ON_CONTROL, .post = { .fn = ask_lane, .arg = p } };
  }
  timer_set(a->control, &a->timer, ASK_TIMEOUT_NS);
  for (uint32_t i = 0; i < a->n_parts; i++) loop_post_embedded(i < g->n_lanes ? &g->lanes[i] : g->control, &a->parts[i].post);
}

void ask_stages(struct asks *all, const struct graph *g, const char *question, ask_done_f *done, void *arg) {
  struct ask *a = calloc(1, sizeof *a);
  WEIR_ASSERT(a != NULL);
  *a = (struct ask){ .all = all, .control = all->control, .done = done, .arg = arg, .next = all->first, .at = &all->first };
  snprintf(a->question, sizeof a->question, "%s", question);
  a->filtered = kit_question_get(a->question, "stage", a->stage, sizeof a->stage);
  a->timer.fn = too_late;
  a->refused.fn = refuse;
  a->timer.arg = a->refused.arg = a;
  if (a->next) a->next->at = &a->next;
  all->first = a;
  if (++all->n > ASKS_MAX) loop_defer(all->control, &a->refused);
  else post_all(a, g);
}

/* --- the answer as text -------------------------------------------------------------------------------------------------------- */

char *ask_text(const struct ask_result *r) {
  char *text = NULL, format[8];
  size_t n;
  FILE *out = open_memstream(&text, &n);
  WEIR_ASSERT(out != NULL);
  if (r->code != ASK_FOUND) fprintf(out, "weir: %s\n%s%s%s", r->why, *r->hint ? "  " : "", r->hint, *r->hint ? "\n" : "");
  for (size_t i = 0; i < r->n_lines; i++) {
    fwrite(r->lines[i].p, 1, r->lines[i].n, out);
    fputc('\n', out);
  }
  if (r->left_out && kit_question_get(r->question, "format", format, sizeof format) == 0) fprintf(out, "(older ones are left out: an answer has an end)\n");
  fclose(out);
  return text;
}

/* Own sentences: no control characters in them. */
static void put_string(FILE *out, const char *s) {
  fputc('"', out);
  for (; *s; s++) fprintf(out, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
  fputc('"', out);
}

char *ask_json(const struct ask_result *r, size_t *ret_n) {
  char *text = NULL;
  FILE *out = open_memstream(&text, ret_n);
  WEIR_ASSERT(out != NULL);
  if (r->code != ASK_FOUND) {
    fputs("{\"error\":", out);
    put_string(out, r->why);
    if (*r->hint) fputs(",\"hint\":", out);
    if (*r->hint) put_string(out, r->hint);
    fputs("}\n", out);
  } else {
    fputs("{\"decisions\":[", out);
    for (size_t i = 0; i < r->n_lines; i++) {
      fputs(i ? ",\n" : "\n", out);
      fwrite(r->lines[i].p, 1, r->lines[i].n, out);
    }
    fputs(r->left_out ? "\n],\"left_out\":true}\n" : "\n]}\n", out);
  }
  fclose(out);
  return text;
}
