/*
 * plugins/kit/question.h - questions to a running stage (weir_inspect_f): one line of words, a name and key=value pairs.
 *
 *     why trace_id=4bf92f3577b34da6a3ce929d0e0e4736 format=json
 *     decisions policy=slow%20ones limit=20
 *
 * In a value, %XX stands for a byte; what is no letter, no digit and none of . _ ~ / : - is written so. Whoever asks builds the line here, and whoever answers reads
 * it here. No state. [any]
 */
#ifndef KIT_QUESTION_H
#define KIT_QUESTION_H

#include <stddef.h>

/* Whether the question's name is this. */
int kit_question_is(const char *question, const char *name);
/* The value of the first word `key=...`, decoded into buf, with a 0 behind it. 1: found; 0: not there; -1: longer than cap, a broken %XX, or %00. */
int kit_question_get(const char *question, const char *key, char *buf, size_t cap);
/* Adds ` key=value` to the line in buf. 0, or -1 when there is no room; buf is as it was then. */
int kit_question_put(char *buf, size_t cap, const char *key, const char *value);

#endif
