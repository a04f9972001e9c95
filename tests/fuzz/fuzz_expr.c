/*
 * A condition (the first byte chooses the context): what is accepted can be evaluated on a span that has everything, twice the same; a refusal names a byte of the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/core/expr_fixture.h"

#define MUST(cond) do { if (!(cond)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct expr_record record;
  struct weir_error err = { 0 };
  struct weir_expr *e;
  if (!size || memchr(data, 0, size)) return 0;
  if (!record.pool) MUST(expr_record_open(&record) == 0);
  uint32_t context = data[0] & 1 ? WEIR_EXPR_SPANEVENT : WEIR_EXPR_SPAN;
  char *text = malloc(size);
  MUST(text);
  memcpy(text, data + 1, size - 1);
  text[size - 1] = 0;
  int r = expr_compile(context, text, &e, &err);
  if (r) {
    MUST((r == WEIR_E_INVALID || r == WEIR_E_LIMIT) && err.code == r && err.offset < size && err.msg[0]);
  } else {
    int truth = expr_eval(e, &record.input, &err);
    MUST(truth <= 1 && (truth >= 0 || (err.code == truth && err.msg[0] && err.offset < size)));
    MUST(expr_eval(e, &record.input, NULL) == truth);
    expr_free(e);
  }
  free(text);
  return 0;
}
