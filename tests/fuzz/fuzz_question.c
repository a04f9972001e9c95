/* Questions as peers may write them, to a journal that has some records: what is answered is whole lines, and what is put into a question is read again. */
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/bytes.c"
#include "plugins/kit/question.h"
#include "processors/tail_sampling/journal.c"
#include "processors/tail_sampling/journal_answer.c"

#define LINE_MAX_N 600u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth) {
  if (!truth) abort();
}

static void take_lines(struct weir_answer *a, const char *p, size_t n) {
  (void)a;
  must(n > 0 && p[n - 1] == '\n' && memchr(p, '\n', n) == p + n - 1);
}

static void add_some(struct ts_journal *j, const char *text) {
  for (uint32_t i = 0; i < 40; i++) {
    struct ts_record r = { .id = { [15] = (uint8_t)(i % 7) }, .time_unix_ns = (int64_t)i * 1000000, .spans = i, .roots = i & 1, .outcome = (uint8_t)(i % 4), .when = (uint8_t)(i % 9) };
    r.policy = ts_journal_text(j, i % 3 ? "errors" : text);
    r.predicate = i % 5 ? 0 : ts_journal_text(j, text);
    ts_journal_add(j, &r);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char line[LINE_MAX_N], value[LINE_MAX_N], put[4 * LINE_MAX_N] = "q";
  struct weir_answer answer = { .size = sizeof answer, .put = take_lines };
  size_t n = size < sizeof line - 1 ? size : sizeof line - 1;
  memcpy(line, data, n);
  line[n] = 0;
  must(kit_question_put(put, sizeof put, "key", line) == 0 && kit_question_get(put, "key", value, sizeof value) == 1 && strcmp(value, line) == 0);
  must(!strpbrk(put, "\n\r\t\x1b"));
  kit_question_get(line, "policy", value, 8);
  struct ts_journal *j = ts_journal_new(32 * 80);
  must(j != NULL);
  add_some(j, line);
  ts_journal_inspect(j, line, &answer);
  ts_journal_free(j);
  return 0;
}
