/*
 * A pattern, a NUL, a text: what is accepted matches or does not within bounded steps, twice the same; a refusal names a byte of the pattern.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/regex.h"

#define MUST(cond) do { if (!(cond)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint8_t *end = size ? memchr(data, 0, size) : NULL;
  size_t n = end ? (size_t)(end - data) : size, rest = end ? size - n - 1 : 0;
  struct weir_error err = { 0 };
  struct weir_regex *re;
  char *pattern = malloc(n + 1), *text = malloc(rest + 1);
  MUST(pattern && text);
  if (n) memcpy(pattern, data, n);
  if (rest) memcpy(text, end + 1, rest);
  int r = regex_compile(pattern, n, &re, &err);
  if (r) {
    MUST((r == WEIR_E_INVALID || r == WEIR_E_LIMIT) && err.code == r && err.offset <= n && err.msg[0]);
  } else {
    int match = regex_match(re, text, rest);
    MUST(match == 0 || match == 1 || match == WEIR_E_LIMIT);
    MUST(regex_match(re, text, rest) == match);
    regex_free(re);
  }
  free(pattern);
  free(text);
  return 0;
}
