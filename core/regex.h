/*
 * core/regex.h - regular expressions in the syntax of Go's regexp (RE2), matched by PCRE2 under limits.
 *
 * A pattern is checked by the rules of Go's regexp/syntax and written anew for PCRE2 (core/regex_syntax.h), so that what RE2 refuses is refused and what both
 * read differently means what Go means; docs/expressions.md lists what remains. libpcre2-8.so.0 is loaded with the first pattern.
 * PCRE2 goes back, RE2 does not: each match is bounded by the limits below. Memory for matching belongs to the thread, and goes with it.
 * Patterns are immutable: made on one thread, matched on any. [any]
 */
#ifndef CORE_REGEX_H
#define CORE_REGEX_H

#include <weir/regex.h>

#define REGEX_PATTERN_MAX 8192u  /* bytes of a pattern */
#define REGEX_NEST_MAX 100u      /* groups within groups */
#define REGEX_REPEAT_MAX 1000u   /* {n}, and the product of those within each other; RE2's own limit */
#define REGEX_STEPS_MAX 50000u   /* of one match: each way through a repeat or a branch is one, as are 32 bytes passed over */
#define REGEX_TRIES_MAX 100000u  /* PCRE2's match limit, for one place where a match may begin */
#define REGEX_DEPTH_MAX 20000u   /* PCRE2's depth limit: choices that are open at a time */
#define REGEX_HEAP_KIB_MAX 4096u /* memory of one match */

int regex_compile(const char *pattern, size_t n, struct weir_regex **ret, struct weir_error *);
int regex_match(const struct weir_regex *, const char *p, size_t n);
void regex_free(struct weir_regex *);

#endif
