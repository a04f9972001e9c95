/*
 * core/regex_syntax.h - reads a pattern in the syntax of Go's regexp and writes one for PCRE2 that matches the same texts.
 *
 * Only whether it matches counts: groups lose their names and numbers, lazy repeats stay lazy though it is all the same. A callout (?C) stands behind each
 * repeat and before each further branch, the only places with a choice: there core/regex.c counts the steps. Source of the rules: go.dev/s/re2syntax and regexp/syntax/parse.go (Perl flags). Pure; [any].
 */
#ifndef CORE_REGEX_SYNTAX_H
#define CORE_REGEX_SYNTAX_H

#include <stddef.h>

#include <weir/error.h>

/* The room that a pattern of n bytes needs when it is written for PCRE2, at most. */
#define REGEX_WRITTEN_MAX(n) ((n) * 32 + 64)

/* Writes to out (REGEX_WRITTEN_MAX bytes). 0, or WEIR_E_INVALID / WEIR_E_LIMIT with err->offset = the byte of the pattern. */
int regex_translate(const char *p, size_t n, char *out, size_t *ret_n, struct weir_error *);
/* The byte of the pattern that what stands at `at` of the written one came from. */
size_t regex_translated_from(const char *p, size_t n, char *out, size_t at);

#endif
