/*
 * core/budget.h - the byte budget of the process: what bodies, trees and queues may pin together.
 *
 * Admission is decided on bytes before decoding: a request that finds no room is refused with the retryable status.
 * Default limit: 80 % of the smallest of cgroup v2 memory.max, cgroup v1 limit_in_bytes and physical memory.
 * All calls [any], lock-free.
 */
#ifndef CORE_BUDGET_H
#define CORE_BUDGET_H

#include <stdatomic.h>
#include <stdint.h>

struct budget {
  uint64_t limit; /* bytes; 0 = unlimited */
  _Atomic uint64_t used, refused;
};

void budget_init(struct budget *, uint64_t limit_bytes);
/* What the machine or cgroup allows; at least 1. */
uint64_t budget_total(void);
/* 80 % of that. */
uint64_t budget_default_limit(void);
/* 1 and charged, or 0 and counted as refused. */
int budget_take(struct budget *, uint64_t n);
void budget_give(struct budget *, uint64_t n);
/* Whether n more bytes would fit right now (a hint for early refusal). */
int budget_has_room(const struct budget *, uint64_t n);

#endif
