/*
 * core/budget.h - the byte budget of the process: what bodies, trees and queues may pin together.
 *
 * Admission is decided on bytes before decoding: a request that finds no room is refused with the retryable status.
 * Default limit: 80 % of the smallest of physical memory and the limits of the process's cgroup and of all above it: v2 memory.max, v1 memory.limit_in_bytes, both where
 * both are mounted. v2 memory.high slows down and is not looked at.
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
/* The tightest limit of the cgroup that root/proc/self/cgroup names, below root/sys/fs/cgroup (root "": this machine); UINT64_MAX without one. */
uint64_t budget_cgroup_limit(const char *root);
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
