/*
 * tests/stage/harness_check.h - what the tests of every stage ask again and again.
 */
#ifndef TESTS_STAGE_HARNESS_CHECK_H
#define TESTS_STAGE_HARNESS_CHECK_H

#include "harness.h"

/* The configuration is refused, and the diagnostics contain `text`. */
void harness_refuses(uint32_t role, const char *type, uint32_t signal, const char *yaml, const char *text);
/* The next emitted batch has records with these values of "i" ("0 1 2"), in order; it is settled with `code`. */
void harness_expect(struct harness *, const char *indexes, int code);
/* The batch, encoded, is these bytes. */
void harness_same_bytes(struct weir_batch *, const void *p, size_t n);
/* The text contains the part; the message shows both. */
void harness_contains(const char *text, const char *part);
/* The verdict of the latest attempt: its code and a part of its message (NULL = no message). */
void harness_done_is(const struct harness *, int code, const char *msg);
/* Replaces what the file holds. */
void harness_put_file(const char *path, const char *text);
/* Uses the rest of the byte budget up; how much it was, for budget_give. */
uint64_t harness_exhaust(struct harness *);

#endif
