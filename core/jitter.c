#include "core/jitter.h"

#include "core/clock.h"

int64_t jitter_ns(int64_t ns, int percent) {
  static _Thread_local uint64_t state;
  if (!state) state = (uint64_t)clock_unix_ns() ^ ((uint64_t)(uintptr_t)&state << 16) ^ 0x9e3779b97f4a7c15u;
  state ^= state << 13; /* xorshift64 */
  state ^= state >> 7;
  state ^= state << 17;
  double random = (double)(state >> 11) / 4503599627370496.0 - 1; /* [-1, 1): 2^52 */
  double spread = (double)ns * percent / 100 * random;
  return ns > INT64_MAX / 2 ? ns : ns + (int64_t)spread;
}
