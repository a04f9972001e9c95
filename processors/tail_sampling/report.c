/* The metrics, under the Collector's names where it has them, and what is asked of undecided traces. */
#include "tail_sampling.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const when_names[] = { "wait", "root", "settled", "num_traces", "too_large", "shed", "shutdown" };

static struct weir_cell *counter(struct sampler *s, const char *name, const char *labels, const char *help) { return s->metrics->counter(s->stage, name, labels, help); }
static struct weir_cell *gauge(struct sampler *s, const char *name, const char *labels, const char *help) { return s->metrics->gauge(s->stage, name, labels, help); }

/* `labels` and more of them. */
static const char *with(char *buf, size_t cap, const char *labels, const char *more) {
  snprintf(buf, cap, "%s,%s", labels, more);
  return buf;
}

/* A name as a label's value: ours to escape, and to cut between two characters. */
static const char *escape(const char *name, char *buf, size_t cap) {
  size_t n = 0;
  for (; *name && n + 3 < cap; name++) {
    if (*name == '"' || *name == '\\') buf[n++] = '\\';
    if ((unsigned char)*name >= 0x20) buf[n++] = *name;
  }
  if (*name) {
    while (n && ((unsigned char)buf[n - 1] & 0xc0) == 0x80) n--;
    if (n && (unsigned char)buf[n - 1] >= 0xc0) n--;
  }
  buf[n] = 0;
  return buf;
}

static void make_policy_cells(struct sampler *s, const char *labels) {
  static const char name[] = "otelcol_processor_tail_sampling_count_traces_sampled_total", help[] = "Traces by what a policy said of them.";
  char policy[200], more[300], all[600];
  for (uint32_t i = 0; i < ts_program_policies(s->program); i++) {
    struct ts_policy_cells *c = &s->cells.policies[i];
    escape(ts_program_name(s->program, i), policy, sizeof policy);
    snprintf(more, sizeof more, "policy=\"%s\",sampled=\"true\",decision=\"sampled\"", policy);
    c->sampled = counter(s, name, with(all, sizeof all, labels, more), help);
    snprintf(more, sizeof more, "policy=\"%s\",sampled=\"false\",decision=\"not_sampled\"", policy);
    c->not_sampled = counter(s, name, with(all, sizeof all, labels, more), help);
    snprintf(more, sizeof more, "policy=\"%s\",sampled=\"false\",decision=\"dropped\"", policy);
    c->dropped = counter(s, name, with(all, sizeof all, labels, more), help);
    s->has_drop_policy |= !strcmp(ts_program_type(s->program, i), "drop");
  }
}

static void make_trace_cells(struct sampler *s, const char *labels) {
  static const char global[] = "otelcol_processor_tail_sampling_global_count_traces_sampled_total", help[] = "Traces by what became of them.";
  struct ts_cells *c = &s->cells;
  char all[400];
  c->sampled = counter(s, global, with(all, sizeof all, labels, "sampled=\"true\",decision=\"sampled\""), help);
  c->not_sampled = counter(s, global, with(all, sizeof all, labels, "sampled=\"false\",decision=\"not_sampled\""), help);
  c->dropped = counter(s, global, with(all, sizeof all, labels, "sampled=\"false\",decision=\"dropped\""), help);
  c->new_traces = counter(s, "otelcol_processor_tail_sampling_new_trace_id_received_total", labels, "Traces that began.");
  c->late_kept = counter(s, "otelcol_processor_tail_sampling_early_releases_from_cache_decision_total", with(all, sizeof all, labels, "sampled=\"true\""), "Spans of traces that were decided before.");
  c->late_dropped = counter(s, "otelcol_processor_tail_sampling_early_releases_from_cache_decision_total", with(all, sizeof all, labels, "sampled=\"false\""), "Spans of traces that were decided before.");
  c->too_early = counter(s, "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total", labels, "Traces that made room for others (num_traces) before they were decided.");
  c->too_large = counter(s, "otelcol_processor_tail_sampling_traces_dropped_too_large_total", labels, "Traces over maximum_trace_size_bytes.");
  c->errors = counter(s, "otelcol_processor_tail_sampling_sampling_policy_evaluation_error_total", labels, "Policies that could not be evaluated.");
  c->bad_tracestates = counter(s, "otelcol_processor_tail_sampling_count_spans_with_unparseable_tracestate_total", labels, "Spans whose tracestate does not parse.");
  c->on_memory = gauge(s, "otelcol_processor_tail_sampling_sampling_traces_on_memory", labels, "Undecided traces.");
}

static void make_own_cells(struct sampler *s, const char *labels) {
  struct ts_cells *c = &s->cells;
  char all[400], more[64];
  c->bytes = gauge(s, "weir_tail_sampling_held_bytes", labels, "Memory that undecided traces take; max_bytes is its limit.");
  c->wire_bytes = gauge(s, "weir_tail_sampling_held_wire_bytes", labels, "Bytes of their spans as they were received.");
  c->spans = gauge(s, "weir_tail_sampling_held_spans", labels, "Spans of undecided traces.");
  c->compressed = gauge(s, "weir_tail_sampling_compressed_segments", labels, "Segments that are compressed, as max_bytes is half used.");
  c->oldest = gauge(s, "weir_tail_sampling_oldest_trace_seconds", labels, "Age of the oldest undecided trace of each lane, added up over the lanes.");
  c->rootless = counter(s, "weir_tail_sampling_traces_without_root_total", labels, "Traces whose time had come before a span without a parent had; those that were settled early do not count.");
  c->shed = counter(s, "weir_tail_sampling_shed_traces_total", labels, "New traces that were thinned out near max_bytes.");
  for (size_t i = 0; i < sizeof when_names / sizeof *when_names; i++) {
    snprintf(more, sizeof more, "when=\"%s\"", when_names[i]);
    c->when[i] = counter(s, "weir_tail_sampling_decisions_total", with(all, sizeof all, labels, more), "Decisions by what made it time for them.");
  }
}

void ts_make_cells(struct sampler *s) {
  static const double ms[] = { 1, 2, 5, 10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2000, 3000, 4000, 5000, 10000, 20000, 30000, 50000 };
  static const double seconds[] = { 0, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 1800, 3600, 7200 };
  char id[180], labels[200];
  snprintf(labels, sizeof labels, "processor=\"%s\"", escape(s->host->stage_id(s->stage), id, sizeof id));
  make_policy_cells(s, labels);
  make_trace_cells(s, labels);
  make_own_cells(s, labels);
  s->cells.latency = s->metrics->histogram(s->stage, "otelcol_processor_tail_sampling_sampling_decision_timer_latency", labels, "Milliseconds of one step of decisions.", ms, sizeof ms / sizeof *ms);
  s->cells.late_age = s->metrics->histogram(s->stage, "otelcol_processor_tail_sampling_sampling_late_span_age", labels, "Seconds from a trace's first span to a late one.", seconds, sizeof seconds / sizeof *seconds);
  s->cells.removal_age = s->metrics->histogram(s->stage, "otelcol_processor_tail_sampling_sampling_trace_removal_age", labels, "Seconds from a trace's first span to its end.", seconds, sizeof seconds / sizeof *seconds);
}

static void show(struct sampler *s, struct weir_cell *cell, uint64_t *shown, uint64_t now) {
  if (*shown == now) return;
  s->metrics->add(cell, (int64_t)(now - *shown));
  *shown = now;
}

void ts_show(struct sampler *s) {
  struct ts_store_stats st;
  struct ts_trace *t = ts_table_oldest(s->table);
  ts_store_stats(s->store, &st);
  show(s, s->cells.bytes, &s->shown[0], s->told_bytes);
  show(s, s->cells.wire_bytes, &s->shown[1], st.wire_bytes);
  show(s, s->cells.spans, &s->shown[2], st.spans);
  show(s, s->cells.compressed, &s->shown[3], st.compressed_segments);
  show(s, s->cells.on_memory, &s->shown[4], ts_table_count(s->table));
  show(s, s->cells.oldest, &s->shown[5], t ? (uint64_t)((s->host->now_mono_ns() - t->first_ns) / TS_SECOND) : 0);
  if (s->observer.errors) s->metrics->add(s->cells.errors, (int64_t)s->observer.errors);
  if (s->observer.bad_tracestates) s->metrics->add(s->cells.bad_tracestates, (int64_t)s->observer.bad_tracestates);
  s->observer.errors = s->observer.bad_tracestates = 0;
}

/* --- questions --------------------------------------------------------------------------------------------------------------------- */

static void tell_undecided(struct sampler *s, const struct ts_trace *t, int json, struct weir_answer *answer) {
  char id[33], line[400];
  struct kit_bytes at = { 0 };
  int64_t age = s->host->now_mono_ns() - t->first_ns, left = s->cfg->decision_wait - age;
  ts_put_time(&at, s->host->now_unix_ns(), 3);
  kit_put_char(&at, 0);
  if (at.failed) { /* nothing is said */
    kit_bytes_free(&at);
    return;
  }
  for (size_t i = 0; i < 16; i++) snprintf(id + 2 * i, 3, "%02x", t->facts.id[i]);
  if (left < 0) left = 0;
  int n = json ? snprintf(line, sizeof line,
                   "{\"time\":\"%s\",\"trace_id\":\"%s\",\"outcome\":\"undecided\",\"age_ms\":%" PRId64 ",\"decided_in_ms\":%" PRId64 ",\"spans\":%" PRIu32 ",\"bytes\":%" PRIu64 ",\"root_seen\":%s}\n", at.p, id,
                   age / 1000000, left / 1000000, t->facts.n_spans, t->facts.bytes, t->facts.n_roots ? "true" : "false")
               : snprintf(line, sizeof line, "%s undecided: its first span came %.1f s ago, it is decided in %.1f s at the latest; %" PRIu32 " %s, %" PRIu64 " bytes, %s\n", at.p,
                   (double)age / 1e9, (double)left / 1e9, t->facts.n_spans, t->facts.n_spans == 1 ? "span" : "spans", t->facts.bytes, t->facts.n_roots ? "root seen" : "no root seen");
  answer->put(answer, line, (size_t)n);
  kit_bytes_free(&at);
}

int ts_inspect(void *self, const char *question, struct weir_answer *answer) {
  struct sampler *s = self;
  uint8_t id[16];
  int known = ts_journal_inspect(s->journal, question, answer);
  const struct ts_trace *t = ts_question_trace_id(question, id) ? ts_table_find(s->table, id, ts_table_hash(s->table, id)) : NULL;
  if (t && t->state == TS_UNDECIDED) tell_undecided(s, t, ts_question_is_json(question), answer);
  return known;
}
