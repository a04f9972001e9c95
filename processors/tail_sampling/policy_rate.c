/*
 * Budgets that all lanes draw on, without locks: one atomic word each.
 *
 * A bucket of tokens (golang.org/x/time/rate, AllowN) is kept as the time at which it was empty: it holds (now - empty) * rate tokens now, at most burst. Taking
 * n moves that time n / rate on, rounded up, so that no more than the rate is ever given.
 */
#include "policy_internal.h"

#define SECOND_NS 1000000000
#define LONG_AGO (INT64_MIN / 4)
#define FAR (INT64_MAX / 4)

struct ts_rate *ts_rate_new(struct ts_program *p, uint64_t per_second, uint64_t burst) {
  struct ts_rate *r = ts_keep(p, sizeof *r);
  if (!r) return NULL;
  r->per_second = per_second;
  r->burst = burst ? burst : per_second > UINT64_MAX / 2 ? UINT64_MAX : per_second * 2;
  atomic_init(&r->empty_ns, per_second ? LONG_AGO : 0);
  atomic_init(&r->second, 0);
  return r;
}

/* n tokens at this rate, in ns, rounded up. */
static int64_t time_of(uint64_t n, uint64_t per_second) {
  uint64_t whole = n / per_second, rest = n % per_second;
  if (whole >= (uint64_t)(FAR / SECOND_NS)) return FAR;
  uint64_t ns = rest < UINT64_MAX / SECOND_NS - 1 ? (rest * SECOND_NS + per_second - 1) / per_second : rest / (per_second / SECOND_NS) + 1;
  return (int64_t)(whole * SECOND_NS + ns);
}

/* Without a rate the bucket is never filled again. */
static int take_once(struct ts_rate *r, uint64_t n) {
  int64_t used = atomic_load_explicit(&r->empty_ns, memory_order_relaxed);
  do {
    if (n > r->burst - (uint64_t)used) return 0;
  } while (!atomic_compare_exchange_weak_explicit(&r->empty_ns, &used, used + (int64_t)n, memory_order_relaxed, memory_order_relaxed));
  return 1;
}

int ts_rate_take(struct ts_rate *r, uint64_t n, int64_t now_ns) {
  if (n > r->burst || n > (uint64_t)FAR) return 0;
  if (!r->per_second) return take_once(r, n);
  int64_t cost = time_of(n, r->per_second), full = now_ns - time_of(r->burst, r->per_second);
  int64_t empty = atomic_load_explicit(&r->empty_ns, memory_order_relaxed), next;
  do {
    next = (empty < full ? full : empty) + cost;
    if (next > now_ns) return 0;
  } while (!atomic_compare_exchange_weak_explicit(&r->empty_ns, &empty, next, memory_order_relaxed, memory_order_relaxed));
  return 1;
}

/* --- the spans of one second --------------------------------------------------------------------- */

#define SPANS_BITS 40
#define SPANS_MASK ((1ull << SPANS_BITS) - 1)
#define SECONDS_MASK (UINT64_MAX >> SPANS_BITS)

/* The word as of now: lanes' clocks are a little apart, and a word that is ahead is the newer one. */
static uint64_t this_second(uint64_t word, int64_t now_ns) {
  uint64_t now = (uint64_t)(now_ns / SECOND_NS) & SECONDS_MASK, ahead = ((word >> SPANS_BITS) - now) & SECONDS_MASK;
  return ahead == 0 || ahead <= 2 ? word : now << SPANS_BITS;
}

int ts_second_take(struct ts_rate *r, uint64_t n, int64_t now_ns) {
  uint64_t word = atomic_load_explicit(&r->second, memory_order_relaxed), next;
  do {
    next = this_second(word, now_ns);
    uint64_t spans = (next & SPANS_MASK) + n;
    if (spans > r->per_second || spans > SPANS_MASK) return 0;
    next += n;
  } while (!atomic_compare_exchange_weak_explicit(&r->second, &word, next, memory_order_relaxed, memory_order_relaxed));
  return 1;
}

void ts_second_return(struct ts_rate *r, uint64_t n, int64_t now_ns) {
  uint64_t word = atomic_load_explicit(&r->second, memory_order_relaxed), next;
  do {
    next = this_second(word, now_ns);
    if (next != word || (word & SPANS_MASK) < n) return; /* another second has begun */
    next -= n;
  } while (!atomic_compare_exchange_weak_explicit(&r->second, &word, next, memory_order_relaxed, memory_order_relaxed));
}
