/*
 * core/clock.h - the two clocks. A test may make them virtual: then they stand still until advanced.
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL

int64_t clock_mono_ns(void);
int64_t clock_unix_ns(void);
void clock_set_virtual(int64_t mono_ns, int64_t unix_ns); /* from now on virtual (tests) */
void clock_advance(int64_t ns);

#endif
