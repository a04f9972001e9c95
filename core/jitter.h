/*
 * core/jitter.h - a time spread at random, so that what began together does not go on together. Not for secrets. [any]
 */
#ifndef CORE_JITTER_H
#define CORE_JITTER_H

#include <stdint.h>

/* `ns`, give or take up to `percent` of it, evenly. */
int64_t jitter_ns(int64_t ns, int percent);

#endif
