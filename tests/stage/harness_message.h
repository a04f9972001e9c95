/*
 * tests/stage/harness_message.h - requests in which every field is set, with what is awkward to print: controls, invalid UTF-8, a value of every kind.
 *
 * Two spans (one full, one with a name only), two log records likewise, and a metric of each of the six kinds (one without data).
 */
#ifndef TESTS_STAGE_HARNESS_MESSAGE_H
#define TESTS_STAGE_HARNESS_MESSAGE_H

#include "harness.h"

struct message {
  char p[4096];
  size_t n;
};

/* An Export*ServiceRequest. */
struct message harness_every_field(uint32_t signal);

#endif
