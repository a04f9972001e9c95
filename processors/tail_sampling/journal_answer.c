/* Questions about the journal, and its lines: text for people, or JSON. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "journal_internal.h"
#include "plugins/kit/bytes.h"
#include "plugins/kit/question.h"
#include "policy.h"

#define LIMIT_DEFAULT 100u
#define ANSWER_MAX (1u << 20) /* of one instance: weir/stage.h */
#define NAME_MAX_N 1100u      /* more than a text of the journal has */
#define NS_PER_S 1000000000ll

static void WEIR_PRINTF(2, 3) put_f(struct kit_bytes *b, const char *fmt, ...) {
  char buf[200];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(buf, sizeof buf, fmt, ap);
  va_end(ap);
  kit_put(b, buf, n < 0 ? 0 : (size_t)n < sizeof buf ? (size_t)n : sizeof buf - 1);
}

/* --- texts ------------------------------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at p (RFC 3629: shortest form, no surrogates), with its number; 0 when there is none. */
static size_t utf8_at(const char *p, size_t n, uint32_t *ret) {
  unsigned c = (unsigned char)*p;
  size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
  static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
  if (!len || len > n) return 0;
  uint32_t v = len == 1 ? c : c & (0x7fu >> len);
  for (size_t i = 1; i < len; i++) {
    if (((unsigned char)p[i] & 0xc0) != 0x80) return 0;
    v = v << 6 | ((unsigned char)p[i] & 0x3f);
  }
  if (v < least[len] || (v >= 0xd800 && v < 0xe000) || v > 0x10ffff) return 0;
  *ret = v;
  return len;
}

/* Moves a terminal, or changes the direction of what stands behind it. */
static int is_control(uint32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069); }

/* As the inside of a JSON string (RFC 8259), which is fit for a terminal too. quote 0: quotes stand as they are. */
static void put_escaped(struct kit_bytes *b, const char *s, int quote) {
  for (size_t n = strlen(s), len; n; s += len, n -= len) {
    uint32_t c = 0xfffd;
    len = utf8_at(s, n, &c);
    if (!len) {
      kit_put_text(b, "\\ufffd");
      len = 1;
    } else if (is_control(c)) {
      put_f(b, "\\u%04x", c);
    } else {
      if (quote && (c == '"' || c == '\\')) kit_put_char(b, '\\');
      kit_put(b, s, len);
    }
  }
}

static void put_quoted(struct kit_bytes *b, const char *s) {
  kit_put_char(b, '"');
  put_escaped(b, s, 1);
  kit_put_char(b, '"');
}

void ts_put_time(struct kit_bytes *b, int64_t unix_ns, int digits) {
  time_t s = (time_t)(unix_ns / NS_PER_S);
  int64_t ns = unix_ns % NS_PER_S;
  char buf[40];
  struct tm tm;
  if (ns < 0) {
    ns += NS_PER_S;
    s--;
  }
  gmtime_r(&s, &tm);
  strftime(buf, sizeof buf, "%Y-%m-%dT%H:%M:%S", &tm);
  if (digits == 3) put_f(b, "%s.%03dZ", buf, (int)(ns / 1000000));
  else put_f(b, "%s.%09dZ", buf, (int)ns);
}

static void put_id(struct kit_bytes *b, const uint8_t id[16]) {
  static const char digits[] = "0123456789abcdef";
  for (int i = 0; i < 16; i++) {
    kit_put_char(b, digits[id[i] >> 4]);
    kit_put_char(b, digits[id[i] & 15]);
  }
}

static double probability(uint64_t threshold) { return threshold >= TS_R_ALWAYS ? 0 : 1.0 - (double)threshold / (double)TS_R_ALWAYS; }

/* --- for people --------------------------------------------------------------------------------------------------------- */

static const char *const when_text[] = {
  [TS_WHEN_WAIT] = "decision_wait was over",
  [TS_WHEN_ROOT] = "decision_wait_after_root_received was over",
  [TS_WHEN_EARLY] = "what was there settled it",
  [TS_WHEN_NUM_TRACES] = "it was the oldest of num_traces, and a new one came",
  [TS_WHEN_TOO_LARGE] = "it grew over maximum_trace_size_bytes",
  [TS_WHEN_SHED] = "over the memory budget new traces are thinned out",
  [TS_WHEN_SHUTDOWN] = "weir was shut down",
  [TS_WHEN_LATE] = "its spans came late",
};

static void put_policy(struct kit_bytes *b, const struct ts_journal *j, const struct ts_record *r) {
  const char *policy = journal_text_of(j, r->policy), *predicate = journal_text_of(j, r->predicate);
  if (policy) {
    kit_put_text(b, " by policy ");
    put_quoted(b, policy);
  }
  if (!predicate) return;
  kit_put_text(b, " (");
  put_escaped(b, predicate, 0);
  if (r->span) put_f(b, " at span %016" PRIx64, r->span);
  kit_put_char(b, ')');
}

static void put_age(struct kit_bytes *b, int64_t age_ns) {
  int64_t ms = age_ns / 1000000;
  if (ms < 1000) put_f(b, " after %" PRId64 " ms", ms);
  else put_f(b, " after %.1f s", (double)age_ns / 1e9);
}

static void put_count(struct kit_bytes *b, uint64_t n, const char *one, const char *more) { put_f(b, "%" PRIu64 " %s", n, n == 1 ? one : more); }

static void put_size(struct kit_bytes *b, const struct ts_record *r) {
  put_count(b, r->spans, "span", "spans");
  kit_put_text(b, ", ");
  put_count(b, r->bytes, "byte", "bytes");
}

static void put_completeness(struct kit_bytes *b, const struct ts_record *r) {
  kit_put_text(b, r->roots ? ", root seen" : ", no root seen");
  if (r->missing_parents == UINT32_MAX) {
    kit_put_text(b, ", parents not looked at");
  } else if (r->missing_parents) {
    kit_put_text(b, ", ");
    put_count(b, r->missing_parents, "parent missing", "parents missing");
  }
}

static void put_late(struct kit_bytes *b, const struct ts_journal *j, const struct ts_record *r) {
  put_count(b, r->spans, "late span ", "late spans ");
  kit_put_text(b, r->outcome == TS_KEEP ? "kept, as the trace was" : "dropped, as the trace was");
  put_policy(b, j, r);
  if (r->age_ns > 0) put_age(b, r->age_ns);
  kit_put_text(b, "; ");
  put_count(b, r->bytes, "byte", "bytes");
}

static void put_shed(struct kit_bytes *b, const struct ts_record *r) {
  put_f(b, "shed: %s, and are taken with probability %.4g; ", when_text[TS_WHEN_SHED], probability(r->threshold));
  put_size(b, r);
}

static void put_decision(struct kit_bytes *b, const struct ts_journal *j, const struct ts_record *r) {
  int undecided = r->outcome == TS_NOT_SAMPLED && (r->when == TS_WHEN_NUM_TRACES || r->when == TS_WHEN_TOO_LARGE);
  if (undecided) kit_put_text(b, r->when == TS_WHEN_NUM_TRACES ? "evicted" : "dropped");
  else kit_put_text(b, r->outcome == TS_KEEP ? "kept" : r->outcome == TS_DROPPED ? "dropped" : "dropped, as no policy samples it,");
  if (r->outcome != TS_NOT_SAMPLED) put_policy(b, j, r);
  if (r->outcome == TS_KEEP && r->threshold) put_f(b, " with probability %.4g", probability(r->threshold));
  put_age(b, r->age_ns);
  put_f(b, ": %s; ", r->when < sizeof when_text / sizeof *when_text ? when_text[r->when] : "unknown");
  put_size(b, r);
  put_completeness(b, r);
}

static void put_text_line(struct kit_bytes *b, const struct ts_journal *j, const struct ts_record *r, int with_id) {
  ts_put_time(b, r->time_unix_ns, 3);
  kit_put_char(b, ' ');
  if (with_id) put_id(b, r->id);
  if (with_id) kit_put_char(b, ' ');
  if (r->when == TS_WHEN_LATE) put_late(b, j, r);
  else if (r->when == TS_WHEN_SHED && r->outcome != TS_KEEP) put_shed(b, r);
  else put_decision(b, j, r);
}

/* --- JSON ------------------------------------------------------------------------------------------------------------------ */

static const char *const when_key[] = {
  [TS_WHEN_WAIT] = "decision_wait",
  [TS_WHEN_ROOT] = "decision_wait_after_root_received",
  [TS_WHEN_EARLY] = "early",
  [TS_WHEN_NUM_TRACES] = "num_traces",
  [TS_WHEN_TOO_LARGE] = "maximum_trace_size_bytes",
  [TS_WHEN_SHED] = "shed",
  [TS_WHEN_SHUTDOWN] = "shutdown",
  [TS_WHEN_LATE] = "late",
};

static void put_member(struct kit_bytes *b, const char *key, const char *text) {
  if (!text) return;
  put_f(b, ",\"%s\":", key);
  put_quoted(b, text);
}

static void put_json_line(struct kit_bytes *b, const struct ts_journal *j, const struct ts_record *r) {
  kit_put_text(b, "{\"time\":\"");
  ts_put_time(b, r->time_unix_ns, 9);
  kit_put_text(b, "\",\"trace_id\":\"");
  put_id(b, r->id);
  put_f(b, "\",\"outcome\":\"%s\",\"reason\":\"%s\"", r->outcome == TS_KEEP ? "kept" : "dropped", r->when < sizeof when_key / sizeof *when_key ? when_key[r->when] : "unknown");
  put_member(b, "policy", journal_text_of(j, r->policy));
  put_member(b, "predicate", journal_text_of(j, r->predicate));
  if (r->span) put_f(b, ",\"span_id\":\"%016" PRIx64 "\"", r->span);
  if (r->threshold) put_f(b, ",\"probability\":%.9g", probability(r->threshold));
  put_f(b, ",\"age_ms\":%" PRId64 ",\"spans\":%" PRIu32 ",\"bytes\":%" PRIu64, r->age_ns / 1000000, r->spans, r->bytes);
  if (r->when != TS_WHEN_LATE && r->when != TS_WHEN_SHED) {
    put_f(b, ",\"root_seen\":%s", r->roots ? "true" : "false");
    if (r->missing_parents != UINT32_MAX) put_f(b, ",\"missing_parents\":%" PRIu32, r->missing_parents);
  }
  kit_put_char(b, '}');
}

/* --- answers ----------------------------------------------------------------------------------------------------------------- */

/* Lines as they are found, newest first; they are given in the other order. */
struct lines {
  struct kit_bytes text, ends; /* behind the last end: the line that did not fit, if there is one */
  uint64_t n, limit;           /* limit 0: none */
  int json, with_id;
};

/* 0 when the answer is full. */
static int add_line(struct lines *l, const struct ts_journal *j, const struct ts_record *r) {
  size_t from = l->text.n;
  if (l->limit && l->n == l->limit) return 0;
  if (l->json) put_json_line(&l->text, j, r);
  else put_text_line(&l->text, j, r, l->with_id);
  kit_put_char(&l->text, '\n');
  if (l->text.failed) l->text.n = from;
  if (l->text.failed || l->text.n > ANSWER_MAX) return 0;
  kit_put(&l->ends, &l->text.n, sizeof l->text.n);
  l->n++;
  return !l->ends.failed;
}

static size_t end_of(const struct lines *l, uint64_t i) {
  size_t end = 0;
  if (i) memcpy(&end, l->ends.p + (i - 1) * sizeof end, sizeof end);
  return end;
}

static void give(struct lines *l, struct weir_answer *a) {
  uint64_t n = l->ends.n / sizeof(size_t);
  for (uint64_t i = n; i > 0; i--) a->put(a, l->text.p + end_of(l, i - 1), end_of(l, i) - end_of(l, i - 1));
  if (l->text.n > end_of(l, n)) a->put(a, l->text.p + end_of(l, n), l->text.n - end_of(l, n)); /* over the limit: so whoever asked knows that there was more */
  kit_bytes_free(&l->text);
  kit_bytes_free(&l->ends);
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

static int read_id(const char *hex, uint8_t id[16]) {
  for (int i = 0; i < 32; i++) {
    int d = hex_digit(hex[i]);
    if (d < 0) return -1;
    id[i / 2] = (uint8_t)(i % 2 ? id[i / 2] | d : d << 4);
  }
  return hex[32] ? -1 : 0;
}

int ts_question_trace_id(const char *question, uint8_t id[16]) {
  char hex[40];
  return kit_question_is(question, "why") && kit_question_get(question, "trace_id", hex, sizeof hex) == 1 && read_id(hex, id) == 0;
}

int ts_question_is_json(const char *question) {
  char format[8];
  return kit_question_get(question, "format", format, sizeof format) == 1 && strcmp(format, "json") == 0;
}

static void why(const struct ts_journal *j, const char *question, struct lines *l) {
  uint8_t id[16];
  if (!j->cap || !ts_question_trace_id(question, id)) return;
  uint32_t at = *journal_head(j, id);
  for (const struct ts_record *r; (r = journal_at(j, at)) != NULL;) {
    if (memcmp(r->id, id, 16) == 0 && !add_line(l, j, r)) return;
    uint32_t older = j->older[at % j->cap];
    if (journal_age(j, older) <= journal_age(j, at)) return; /* the end */
    at = older;
  }
}

struct filter {
  int kept, dropped, by_policy;
  char policy[NAME_MAX_N];
  int64_t since_unix_ns;
};

static uint64_t number_of(const char *question, const char *key, uint64_t dflt) {
  char buf[32], *end;
  if (kit_question_get(question, key, buf, sizeof buf) != 1 || *buf < '0' || *buf > '9') return dflt;
  uint64_t v = strtoull(buf, &end, 10);
  return *end ? dflt : v;
}

static void read_filter(const char *question, struct filter *f) {
  char outcome[16] = "";
  int any = kit_question_get(question, "outcome", outcome, sizeof outcome);
  f->kept = any == 0 || strcmp(outcome, "kept") == 0;
  f->dropped = any == 0 || strcmp(outcome, "dropped") == 0;
  f->by_policy = kit_question_get(question, "policy", f->policy, sizeof f->policy);
  uint64_t since = number_of(question, "since_unix_ns", 0);
  f->since_unix_ns = since > INT64_MAX ? INT64_MAX : (int64_t)since;
}

/* Texts are kept once, so a policy is a number; 0: there is none of this name. */
static uint16_t number_of_policy(const struct ts_journal *j, const struct filter *f) {
  for (uint32_t i = 0; f->by_policy == 1 && i < j->n_texts; i++)
    if (strcmp(j->texts[i]->text, f->policy) == 0) return j->texts[i]->number;
  return 0;
}

static void decisions(const struct ts_journal *j, const char *question, struct lines *l) {
  struct filter f;
  read_filter(question, &f);
  l->limit = number_of(question, "limit", LIMIT_DEFAULT);
  uint16_t policy = number_of_policy(j, &f);
  if (f.by_policy && !policy) return;
  for (uint32_t i = 1; i <= j->n; i++) {
    const struct ts_record *r = journal_at(j, journal_number(j, i));
    if (!(r->outcome == TS_KEEP ? f.kept : f.dropped) || (policy && r->policy != policy) || r->time_unix_ns < f.since_unix_ns) continue; /* no end at `since`: clocks jump */
    if (!add_line(l, j, r)) return;
  }
}

int ts_journal_inspect(const struct ts_journal *j, const char *question, struct weir_answer *a) {
  struct lines l = { .n = 0 };
  int is_why = kit_question_is(question, "why");
  if (!is_why && !kit_question_is(question, "decisions")) return 0;
  l.json = ts_question_is_json(question);
  l.with_id = !is_why;
  if (is_why) why(j, question, &l);
  else decisions(j, question, &l);
  give(&l, a);
  return 1;
}
