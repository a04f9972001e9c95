/*
 * weir/regex.h - service "weir.regex/1": regular expressions in the syntax of Go's regexp (RE2), with limits.
 *
 * The library behind it is loaded with the first expression. What RE2 refuses (backreferences, look-around) is refused; a match that takes more steps or
 * memory than REGEX_*_MAX (core/regex.h) is given up.
 */
#ifndef WEIR_REGEX_H
#define WEIR_REGEX_H

#include <weir/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_REGEX_SERVICE "weir.regex/1"

struct weir_regex; /* immutable */

struct weir_regex_service {
  uint32_t size, reserved;
  /* WEIR_E_INVALID: err->msg, and err->offset is the byte. WEIR_E_UNSUPPORTED: the library is not installed. [any] */
  int (*compile)(const char *pattern, size_t n, struct weir_regex **ret, struct weir_error *);
  /* Whether it matches somewhere in the text (unanchored): 1, 0, or WEIR_E_LIMIT when a limit was reached. [any] */
  int (*match)(const struct weir_regex *, const char *p, size_t n);
  void (*regex_free)(struct weir_regex *); /* NULL is allowed. [any] */
};

#ifdef __cplusplus
}
#endif
#endif
